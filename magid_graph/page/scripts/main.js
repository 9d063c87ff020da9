// Where the reader is stands in the address; keys move.

function go(change) {
  wanted = { ...wanted, ...change };
  const there = Object.entries(wanted).filter(([name, value]) => value && value !== NOTHING[name]);
  const address = `#${new URLSearchParams(there)}`;
  if (address === (location.hash || "#")) return;
  // A letter more in the search box is no place to come back to.
  if ("q" in change && !("item" in change)) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
  follow();
}

let shown = "";
function follow() {
  const place = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  wanted = { ...NOTHING, ...place, page: Number(place.page) || 0, attempts: Number(place.attempts) || 0 };
  const { item, ...list } = wanted;
  const now = JSON.stringify(list);
  const isNew = now !== shown;
  shown = now;
  return Promise.all([isNew ? showFound() : null, showItem()]);
}

function goBy(by) {
  const at = found.indexOf(run.items.findIndex((row) => row.key === wanted.item));
  const next = found[at + by];
  if (at >= 0 && next !== undefined) go({ item: run.items[next].key });
}

function focusBy(by) {
  const cards = [...document.querySelectorAll(".card")];
  const at = cards.indexOf(document.activeElement.closest?.(".card"));
  const next = cards[at < 0 ? 0 : Math.min(cards.length - 1, Math.max(0, at + by))];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

const KEYS = {
  "/": ["search", () => { $("q").focus(); $("q").select(); }],
  j: ["next card", () => focusBy(1)],
  k: ["previous card", () => focusBy(-1)],
  Enter: ["open the card", () => document.activeElement.classList.contains("card") && document.activeElement.click()],
  n: ["next page", () => document.querySelector("#pages button:last-child:not(:disabled)")?.click()],
  p: ["previous page", () => document.querySelector("#pages button:first-child:not(:disabled)")?.click()],
  "?": ["these keys", () => $("help").showModal()],
};
const ITEM_KEYS = { ArrowRight: ["next item", () => goBy(1)], ArrowLeft: ["previous item", () => goBy(-1)], j: ["next item", () => goBy(1)], k: ["previous item", () => goBy(-1)] };

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input, select, textarea")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const action = ($("item").open ? ITEM_KEYS : KEYS)[event.key];
  if (!action || event.target.matches("button, summary") && event.key === "Enter") return;
  if (event.key !== "Enter") event.preventDefault();
  action[1]();
});

$("item").addEventListener("cancel", (event) => { event.preventDefault(); go({ item: "" }); });
$("item").addEventListener("click", (event) => { if (event.target === $("item")) go({ item: "" }); });
$("help").addEventListener("click", () => $("help").close());
window.addEventListener("popstate", follow);
window.addEventListener("hashchange", follow);

fill($("help"), h("h2", {}, "Keys"), h("dl", {}, [...Object.entries(KEYS), ["← →", ["previous, next item"]], ["Esc", ["close"]]]
  .map(([key, [does]]) => h("div", {}, h("dt", {}, h("kbd", {}, key)), h("dd", {}, does)))));
showTop();
showOverview();
showFilters();
follow();
