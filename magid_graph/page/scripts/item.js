// One item: what it is, every attempt with its figures, what was asked and answered, and its way through the graph.

async function showItem() {
  const dialog = $("item");
  const position = run.items.findIndex((row) => row.key === wanted.item);
  if (position < 0) {
    if (dialog.open) dialog.close();
    return;
  }
  const item = await itemAt(position);
  if (item.key !== wanted.item) return;
  fill(dialog, itemTop(item, position), h("div", { class: "columns" },
    h("section", { class: "said" }, h("h3", {}, item.chain ? "The chain" : "The dialogue"), body(item, position, { isLink: true })),
    h("section", { class: "story" }, h("h3", {}, "What happened"), story(item, position)),
    h("section", { class: "path" }, h("h3", {}, "Its way through the graph"), path(item), steps(item))));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
}

function itemTop(item, position) {
  const at = found.indexOf(position);
  const step = (by, label, text) => h("button", { type: "button", class: "plain", "aria-label": label, title: label,
    disabled: at < 0 || !(at + by in found), onclick: () => goBy(by) }, text);
  return h("header", {},
    h("div", {}, h("h2", { id: "item-title", tabindex: "-1", autofocus: true }, item.key), badge(item.state, item.reason ? `${item.state}: ${item.reason}` : item.state)),
    h("p", { class: "facts" }, [item.duration_s ? seconds(item.duration_s) : null, counted(item.attempts.length, "attempt"),
      item.retries ? `taken up again ${counted(item.retries, "time")}` : null].filter(Boolean).map((fact) => h("span", {}, fact))),
    item.message && h("p", { class: "notice" }, item.message),
    h("nav", {}, step(-1, "previous item (←)", "←"), step(1, "next item (→)", "→"),
      h("button", { type: "button", class: "plain", "aria-label": "close (Esc)", title: "close (Esc)", onclick: () => go({ item: "" }) }, "✕")));
}

// -- what happened

function story(item, position) {
  const first = item.steps.filter((step) => step.turn === null);
  const moments = [...momentsOf(item)].sort((one, other) => one[0] - other[0]);
  const parts = [...first.map((step) => asked(step)), ...moments.map(([turn, attempts]) => moment(item, position, turn, attempts))];
  return parts.length ? parts : h("p", { class: "hint" }, "Nothing was recorded about this item.");
}

function moment(item, position, turn, attempts) {
  const others = item.steps.filter((step) => step.turn === turn && step.node !== "generator" && step.node !== "qa");
  const events = [
    ...attempts.map((attempt) => [attemptTime(item, turn, attempt), attemptCard(position, attempt)]),
    ...others.map((step) => [step.after_s, asked(step)]),
  ].sort((one, other) => one[0] - other[0]);
  const title = item.chain ? `Iteration ${turn}` : `Turn ${turn}`;
  return h("section", { class: "moment" },
    h("h4", {}, title, item.turns?.[turn] && h("q", { dir: "auto" }, item.turns[turn].text)),
    events.map(([, element]) => element));
}

function attemptTime(item, turn, attempt) {
  const drawn = item.steps.find((step) => step.node === "generator" && step.turn === turn && step.number === attempt.n + 1);
  return drawn?.after_s ?? 0;
}

function attemptCard(position, attempt) {
  const isNew = attempt.prompt !== attempt.description;
  return h("article", { class: `attempt ${attempt.verdict}` },
    picture(position, attempt.image, attempt.description, { isLink: true }),
    h("div", {},
      h("header", {}, h("h5", {}, `Attempt ${attempt.n + 1}`), badge(attempt.verdict, WORDS[attempt.verdict]),
        h("span", { class: "seed" }, `seed ${attempt.seed}`)),
      h("p", { class: "description", dir: "auto" }, attempt.description),
      attempt.reason && h("p", { class: "why" }, h("b", {}, attempt.reason.replaceAll("_", " ")), attempt.note ? ` · ${attempt.note}` : ""),
      h("div", { class: "meters" }, JUDGED.map((judged) => meter(attempt, judged))),
      h("dl", { class: "small" },
        isNew && h("div", {}, h("dt", {}, "drawn from"), h("dd", { dir: "auto" }, attempt.prompt)),
        attempt.fitted !== "whole" && h("div", {}, h("dt", {}, "fitted"), h("dd", {}, attempt.fitted)))));
}

function meter(attempt, [score, limit, low, high]) {
  const value = attempt.scores[score];
  const bound = attempt.limits[limit];
  if (value === null) return h("div", { class: "meter off" }, h("span", {}, WORDS[score]), h("span", { class: "rail" }), h("output", {}, "not measured"));
  const passes = limit.startsWith("max") ? value <= bound : value >= bound;
  const at = (figure) => `${Math.min(100, Math.max(0, (100 * (figure - low)) / (high - low)))}%`;
  return h("div", { class: `meter ${passes ? "passes" : "fails"}` }, h("span", {}, WORDS[score]),
    h("span", { class: "rail" }, styled(h("i", {}), { width: at(value) }), styled(h("b", {}), { left: at(bound) })),
    h("output", { title: `${score} ${value}, ${limit} ${bound}` }, figure(value),
      h("small", {}, ` ${limit.startsWith("max") ? "≤" : "≥"} ${figure(bound)}`)));
}

// -- what was asked

function asked(step) {
  const moments = step.wrote.moments;
  return h("article", { class: "asked" },
    h("header", {}, h("h5", {}, step.name), step.edge && badge("edge", step.edge), h("span", { class: "hint" }, seconds(step.duration_s))),
    step.error && h("p", { class: "why" }, step.error),
    moments?.map((found) => h("p", { class: "description", dir: "auto" }, h("b", {}, `${found.turn} `), found.description)),
    moments?.length ? h("p", { class: "hint", dir: "auto" }, moments[0].reason) : null,
    step.wrote.description && h("p", { class: "description", dir: "auto" }, step.wrote.description),
    step.wrote.caption && h("p", { class: "description", dir: "auto" }, step.wrote.caption),
    step.exchanges.map(exchange));
}

function exchange(one) {
  return h("details", {}, h("summary", {}, `asked ${one.model}`, h("small", {},
    one.cached ? "from the cache" : `${seconds(one.duration_s)} · ${count(one.prompt_tokens + one.completion_tokens)} tokens`)),
    one.messages.map((message) => [h("h6", {}, message.role), h("pre", { dir: "auto" }, message.content)]),
    h("h6", {}, "reply"), h("pre", { class: "reply", dir: "auto" }, one.reply));
}

// -- its way

function path(item) {
  const edges = {};
  if (item.first) edges[item.first] = 1;
  for (const { path: [edge, times] } of item.steps) if (edge) edges[edge] = (edges[edge] ?? 0) + times;
  return graph(edges);
}

function steps(item) {
  if (!item.steps.length) return null;
  return h("details", { class: "steps" }, h("summary", {}, counted(item.steps.length, "step")), h("table", {},
    h("thead", {}, h("tr", {}, ["after", "node", "took", "then"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, [...item.steps].sort((one, other) => one.after_s - other.after_s).map((step) => h("tr", { class: step.error ? "fails" : "" },
      h("td", { class: "number" }, seconds(step.after_s)),
      h("td", {}, step.name, step.turn === null ? "" : h("small", {}, ` ${item.chain ? "iteration" : "turn"} ${step.turn}`)),
      h("td", { class: "number" }, seconds(step.duration_s)),
      h("td", {}, step.error ?? [step.edge ?? "", step.why ? h("small", {}, ` ${step.why}`) : ""]))))));
}
