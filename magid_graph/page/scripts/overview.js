// The run at a glance: how items ended, the graph with its counts, the yield of each attempt, scores against limits.

const STATES = ["accepted", "rejected", "failed"];

function showTop() {
  const models = Object.entries(run.models).map(([kind, name]) => h("div", {}, h("dt", {}, kind.replaceAll("_", " ")), h("dd", {}, name)));
  fill($("top"),
    h("p", { class: "kicker" }, `magid-graph · ${run.kind === "pairs" ? "image-text pairs" : "dialogues"}`),
    h("h1", {}, run.title),
    h("p", { class: "facts" }, [`preset ${run.preset}`, `seed ${run.seed}`, run.created_at.replace("T", " ").replace("Z", " UTC"),
      "all pictures are AI-generated"].map((fact) => h("span", {}, fact))),
    h("details", { class: "models" }, h("summary", {}, "models"), h("dl", {}, models)));
  if (run.left_out) {
    $("top").append(h("p", { class: "notice" }, `${counted(run.left_out, "more item")} of this run are not on this page; `,
      h("code", {}, "magid-graph trace RUN --html"), " shows them all."));
  }
}

function showOverview() {
  fill($("overview"),
    h("div", { class: "panel ends" }, h("h2", {}, "Items"), stateBar(), endings(), yields(), mostRedrawn()),
    h("div", { class: "panel way" }, h("h2", {}, "The way they took"), graph(run.edges, { isFilter: true }),
      h("p", { class: "hint" }, "Choose an edge to see the items that took it.")),
    h("div", { class: "panel scores" }, h("h2", {}, "Scores against limits"), histograms()));
}

function stateBar() {
  const states = run.glance.items;
  const known = STATES.filter((state) => states[state]);
  return [
    h("div", { class: "bar", role: "img", "aria-label": known.map((state) => `${states[state]} ${state}`).join(", ") },
      known.map((state) => styled(h("span", { class: state }), { "flex-grow": states[state] }))),
    h("dl", { class: "figures" }, known.map((state) => h("div", {}, h("dt", {}, state), h("dd", { class: state }, count(states[state]))))),
  ];
}

function endings() {
  const reasons = Object.entries(run.glance.reasons);
  if (!reasons.length) return null;
  return h("p", { class: "reasons" }, run.kind === "pairs" ? "ended by: " : "without a picture: ", reasons.map(([reason, n]) =>
    h("button", { type: "button", class: "chip", onclick: () => go({ reason, page: 0 }) }, `${reason.replaceAll("_", " ")} ${count(n)}`)));
}

function yields() {
  const rows = run.glance.by_attempt.map((row) => [row.attempt, row.accept + row.regenerate + row.feedback + row.discard, row.accept]);
  if (!rows.length) return null;
  const all = rows.reduce((sum, row) => sum + row[2], 0) || 1;
  const most = Math.max(...rows.map((row) => row[1]));
  return h("table", { class: "yield" }, h("caption", {}, "What each attempt gave"),
    h("tbody", {}, rows.map(([n, drawn, kept]) => h("tr", {},
      h("th", { scope: "row" }, `${n}.`),
      h("td", {}, h("span", { class: "track" },
        styled(h("span", { class: "drawn" }), { width: `${(100 * drawn) / most}%` }),
        styled(h("span", { class: "kept" }), { width: `${(100 * kept) / most}%` }))),
      h("td", { class: "number" }, `${count(kept)} of ${count(drawn)}`),
      h("td", { class: "number" }, `${((100 * kept) / all).toFixed(kept * 10 < all ? 1 : 0)} %`)))));
}

function mostRedrawn() {
  const rows = run.items.filter((row) => row.attempts > 1).sort((one, other) => other.attempts - one.attempts).slice(0, 5);
  if (!rows.length) return null;
  return h("div", { class: "redrawn" }, h("h3", {}, "Most redrawn"), h("ol", {}, rows.map((row) => h("li", {},
    h("button", { type: "button", class: "plain", onclick: () => go({ item: row.key }) }, row.key), counted(row.attempts, "attempt")))));
}

function histograms() {
  const measured = JUDGED.map(([score]) => run.glance.scores.find((one) => one.score === score)).filter(Boolean);
  if (!measured.length) return h("p", { class: "hint" }, "no picture was measured");
  return measured.map((one) => histogram(WORDS[one.score], one));
}

function histogram(name, one) {
  const most = Math.max(...one.bins);
  // Small counts stay visible beside large ones.
  const height = (n) => `${n ? Math.max(3, 100 * Math.sqrt(n / most)) : 0}%`;
  const at = (one.limit - one.low) / (one.high - one.low || 1);
  const limit = one.limit_name.replaceAll("_", " ");
  return h("figure", { class: "histogram" },
    h("figcaption", {}, h("b", {}, name), h("span", {}, `${limit.slice(0, 3)} ${figure(one.limit)}`)),
    h("div", { class: "bins", role: "img", "aria-label": `histogram of ${name}, ${limit} ${figure(one.limit)}` },
      one.kept.map((kept, n) => h("span", { class: "bin", title: `${kept} kept, ${one.bins[n] - kept} not` },
        styled(h("span", { class: "refused" }), { height: height(one.bins[n] - kept) }),
        styled(h("span", { class: "kept" }), { height: height(kept) }))),
      styled(h("span", { class: "limit" }), { left: `${100 * at}%` })),
    h("div", { class: "scale" }, h("span", {}, figure(one.low)), h("span", {}, figure(one.high))));
}

// -- the graph

// The drawing, lit where it was taken: `edges` holds counts by the edges' ids.
function graph(edges, { isFilter = false, isCounted = true } = {}) {
  const drawing = $("graph").content.firstElementChild.cloneNode(true);
  const most = Math.max(...Object.values(edges));
  const lit = [];
  for (const edge of drawing.querySelectorAll(".edge")) {
    const n = edges[edge.dataset.edge] ?? 0;
    if (n) {
      lit.push(edge);
      if (isFilter) edge.style.setProperty("--weight", `${1.5 + 3 * Math.sqrt(n / most)}px`);
      if (isCounted) edge.querySelector(".count").textContent = ` ${count(n)}${isFilter ? "" : "×"}`;
    }
    if (isFilter && n && edge.classList.contains("choice")) asFilter(edge);
  }
  for (const edge of lit) {
    edge.classList.add("lit");
    drawing.insertBefore(edge, drawing.querySelector(".node"));
    const source = edge.dataset.edge.split("/")[0];
    drawing.querySelector(`[data-node="${CSS.escape(source)}"]`)?.classList.add("lit");
  }
  if (lit.length) drawing.querySelector('[data-node="END"]').classList.add("lit");
  return h("div", { class: "graph" }, drawing);
}

function asFilter(edge) {
  const choose = () => go({ edge: edge.dataset.edge === wanted.edge ? "" : edge.dataset.edge, page: 0 });
  edge.setAttribute("tabindex", "0");
  edge.setAttribute("role", "button");
  edge.setAttribute("aria-label", `items that took ${edge.dataset.edge.replace("/", ": ")}`);
  edge.addEventListener("click", choose);
  edge.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    choose();
  });
}
