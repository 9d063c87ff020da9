// The items as cards, a page at a time, with filters and full-text search.

const NOTHING = { q: "", state: "", reason: "", attempts: 0, edge: "", page: 0, item: "" };
let wanted = { ...NOTHING };
let found = [];
let searches = 0;

function showFilters() {
  const { items: states, reasons } = run.glance;
  const most = Math.max(0, ...run.items.map((row) => row.attempts));
  const some = Object.keys(reasons);
  fill($("filters"),
    h("input", { type: "search", id: "q", placeholder: "Search texts, descriptions, prompts, replies …", "aria-label": "Search",
      autocomplete: "off", spellcheck: "false", oninput: (event) => typed(event.target.value) }),
    h("span", { class: "chips", role: "group", "aria-label": "State" },
      ["", ...STATES.filter((state) => states[state])].map((state) => h("button", { type: "button", class: "chip", "data-state": state,
        onclick: () => go({ state, page: 0 }) }, state || "all", h("small", {}, count(state ? states[state] : run.items.length))))),
    some.length ? select("reason", "any reason", some.map((reason) => [reason, reason.replaceAll("_", " ")])) : null,
    most > 1 ? select("attempts", "any attempts", Array.from({ length: most - 1 }, (_, n) => [n + 2, `${n + 2}+ attempts`])) : null,
    h("button", { type: "button", id: "edge", class: "chip", hidden: true, onclick: () => go({ edge: "", page: 0 }) }),
    h("button", { type: "button", id: "clear", class: "plain", onclick: () => go({ ...NOTHING }) }, "clear"));
  $("filters").addEventListener("submit", (event) => event.preventDefault());
}

const select = (name, any, options) => h("select", { id: name, "aria-label": name, onchange: (event) => go({ [name]: event.target.value, page: 0 }) },
  h("option", { value: "" }, any), options.map(([value, text]) => h("option", { value }, text)));

let typing = 0;
function typed(q) {
  clearTimeout(typing);
  typing = setTimeout(() => go({ q, page: 0 }), 120);
}

function markFilters() {
  if ($("q").value !== wanted.q && document.activeElement !== $("q")) $("q").value = wanted.q;
  for (const chip of document.querySelectorAll("[data-state]")) chip.setAttribute("aria-pressed", chip.dataset.state === wanted.state);
  if ($("reason")) $("reason").value = wanted.reason;
  if ($("attempts")) $("attempts").value = wanted.attempts || "";
  $("edge").hidden = !wanted.edge;
  fill($("edge"), `took ${wanted.edge.replace("/", " → ")} `, h("small", {}, "×"));
  for (const edge of document.querySelectorAll("#overview .edge")) edge.classList.toggle("chosen", edge.dataset.edge === wanted.edge);
  $("clear").hidden = !(wanted.q || wanted.state || wanted.reason || wanted.attempts || wanted.edge);
}

async function showFound() {
  const number = ++searches;
  markFilters();
  await search(wanted, (positions, isDone) => {
    if (number !== searches) return;
    found = positions;
    $("found").textContent = isDone ? `${counted(found.length, "item")}` : `${counted(found.length, "item")} so far …`;
    showCards(number);
  }, () => number !== searches);
}

async function showCards(number) {
  const pages = Math.max(1, Math.ceil(found.length / run.chunk));
  const page = Math.min(wanted.page, pages - 1);
  const shown = found.slice(page * run.chunk, (page + 1) * run.chunk);
  const cards = await Promise.all(shown.map(card));
  if (number !== searches) return;
  fill($("cards"), cards.length ? cards : h("p", { class: "nothing" }, "Nothing here. ",
    h("button", { type: "button", class: "plain", onclick: () => go({ ...NOTHING }) }, "Show all items")));
  for (const shown of document.querySelectorAll(".card .body")) shown.classList.toggle("long", shown.scrollHeight > shown.clientHeight + 2);
  fill($("pages"), pages < 2 ? null : [turn("‹ earlier", page - 1, page > 0), h("span", {}, `page ${count(page + 1)} of ${count(pages)}`),
    turn("later ›", page + 1, page < pages - 1)]);
}

const turn = (text, page, isThere) => h("button", { type: "button", class: "chip", disabled: !isThere,
  onclick: () => { go({ page }); $("gallery").scrollIntoView(); } }, text);

async function card(position) {
  const item = await itemAt(position);
  const attempts = item.attempts.length;
  return h("article", { class: `card${item.chain ? " chain" : ""}`, "data-position": position, tabindex: "0",
    "aria-label": `${item.key}, ${item.state}`, onclick: (event) => { if (!event.target.closest("a")) go({ item: item.key }); } },
    h("header", {}, h("h3", {}, item.key), badge(item.state, item.reason ? `${item.state}: ${item.reason}` : item.state)),
    h("div", { class: "body" }, body(item, position, { isBrief: true })),
    h("footer", {}, counted(attempts, "attempt"), item.duration_s ? ` · ${seconds(item.duration_s)}` : ""));
}
