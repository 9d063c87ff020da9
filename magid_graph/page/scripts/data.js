// The run's data: a row for each item at hand, the rest packed in chunks and unpacked when somebody looks.

const run = JSON.parse($("run").textContent);

const KEPT_CHUNKS = 40;
const chunks = new Map();

async function unpacked(id) {
  const bytes = Uint8Array.from(atob($(id).textContent), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

function chunk(n) {
  const known = chunks.get(n);
  chunks.delete(n);
  chunks.set(n, known ?? unpacked(`items-${n}`));
  if (chunks.size > KEPT_CHUNKS) chunks.delete(chunks.keys().next().value);
  return chunks.get(n);
}

async function itemAt(position) {
  return (await chunk(Math.floor(position / run.chunk)))[position % run.chunk];
}

// -- pictures

const thumbnails = new Map();

function embedded(position, path) {
  const n = Math.floor(position / run.chunk);
  if (!thumbnails.has(n)) {
    const element = $(`thumbnails-${n}`);
    thumbnails.set(n, element ? JSON.parse(element.textContent) : {});
  }
  return thumbnails.get(n)[path];
}

// Paths are the run's own, named by content; anything else is no picture of it.
const isPicture = (path) => /^images\/[0-9a-f]{2}\/[0-9a-f]{64}\.(png|jpeg|jpg|webp)$/.test(path);
const fileOf = (path) => (run.images !== null && isPicture(path) ? run.images + path : null);

// -- search

const haystacks = new Map();

function strings(value, into) {
  if (typeof value === "string") into.push(value);
  else if (value && typeof value === "object") Object.values(value).forEach((part) => strings(part, into));
  return into;
}

async function haystack(position) {
  if (!haystacks.has(position)) haystacks.set(position, strings(await itemAt(position), []).join("\n").toLowerCase());
  return haystacks.get(position);
}

const isWanted = (row, wanted) =>
  (!wanted.state || row.state === wanted.state) &&
  (!wanted.reason || row.reasons.includes(wanted.reason)) &&
  (!wanted.attempts || row.attempts >= wanted.attempts) &&
  (!wanted.edge || (row.edges[wanted.edge] ?? 0) > 0);

// Positions of the items that are wanted, handed to `tell` as they are found; stops when `isStale` says so.
async function search(wanted, tell, isStale) {
  const words = wanted.q.toLowerCase().split(/\s+/).filter(Boolean);
  const candidates = run.items.flatMap((row, position) => (isWanted(row, wanted) ? [position] : []));
  if (!words.length) return tell(candidates, true);
  const found = [];
  let told = performance.now();
  for (const position of candidates) {
    const text = await haystack(position);
    if (isStale()) return;
    if (words.every((word) => text.includes(word))) found.push(position);
    if (performance.now() - told > 150) {
      tell(found.slice(), false);
      await new Promise((wake) => setTimeout(wake));
      told = performance.now();
    }
  }
  tell(found, true);
}
