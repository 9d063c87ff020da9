// What cards and the item's own view share: badges, pictures, chats, filmstrips.

const WORDS = {
  accept: "kept", regenerate: "drawn again", feedback: "described anew", discard: "given up",
  clip_similarity: "match", aesthetic: "aesthetic", nsfw: "unsafe",
};
const JUDGED = [
  ["clip_similarity", "min_clip_similarity", 0, 1],
  ["aesthetic", "min_aesthetic", 1, 10],
  ["nsfw", "max_nsfw", 0, 1],
];

const badge = (kind, text = kind) => h("span", { class: `badge ${kind}` }, text.replaceAll("_", " "));

function picture(position, image, description, { isLink = false } = {}) {
  if (!image) return h("div", { class: "picture none" }, "not drawn");
  const file = fileOf(image.path);
  const source = embedded(position, image.path) ?? file;
  if (!source) return h("div", { class: "picture none" }, "no file");
  const shown = h("img", {
    src: source, alt: description ?? "", width: image.width, height: image.height, loading: "lazy", decoding: "async",
    onerror: (event) => event.target.replaceWith(h("div", { class: "picture none" }, "file missing")),
  });
  return isLink && file ? h("a", { class: "picture", href: file, title: "open the file" }, shown) : h("div", { class: "picture" }, shown);
}

// -- dialogues

function momentsOf(item) {
  const moments = new Map();
  for (const attempt of item.attempts) {
    if (!moments.has(attempt.turn)) moments.set(attempt.turn, []);
    moments.get(attempt.turn).push(attempt);
  }
  return moments;
}

// The first speaker stands on the left; where nobody is named, every second turn does.
function isOther(turns, at) {
  const first = turns[0].speaker;
  return first !== null ? turns[at].speaker !== first : at % 2 === 1;
}

function chat(item, position, { isBrief = false, ...options } = {}) {
  const moments = momentsOf(item);
  const isShown = (at) => !isBrief || at === 0 || moments.has(at) || moments.has(at + 1) || (!moments.size && at < 5);
  const parts = [];
  let hidden = [];
  const unfold = () => {
    // A note in the place of a single turn would save nothing.
    parts.push(...(hidden.length < 2 ? hidden.map((at) => said(item, position, at, [], options)) : [gap(hidden.length)]));
    hidden = [];
  };
  item.turns.forEach((_, at) => {
    if (!isShown(at)) return hidden.push(at);
    unfold();
    return parts.push(said(item, position, at, moments.get(at) ?? [], options));
  });
  unfold();
  return h("div", { class: "chat" }, parts);
}

const gap = (n) => h("p", { class: "gap" }, `${counted(n, "more turn")}`);

function said(item, position, at, attempts, options) {
  const turn = item.turns[at];
  return h("div", { class: `turn${isOther(item.turns, at) ? " other" : ""}` },
    turn.speaker && h("span", { class: "speaker", dir: "auto" }, turn.speaker),
    h("p", { class: "bubble", dir: "auto" }, turn.text),
    shared(item, position, attempts, options));
}

function shared(item, position, attempts, options) {
  const kept = item.state === "accepted" ? attempts.find((attempt) => attempt.verdict === "accept" && attempt.image) : null;
  if (kept) {
    return h("figure", {}, picture(position, kept.image, kept.description, options),
      h("figcaption", { dir: "auto" }, kept.description));
  }
  const last = attempts.at(-1);
  if (!last || last.verdict === "accept") return null;
  return h("p", { class: "refused" }, "no picture: ", h("q", { dir: "auto" }, last.description),
    ` · ${(last.reason ?? "").replaceAll("_", " ")} after ${counted(attempts.length, "attempt")}`);
}

// -- chains

function filmstrip(item, position, options) {
  return h("ol", { class: "film" }, item.pairs.map((pair) => h("li", { class: pair.accepted ? "" : "dim" },
    picture(position, pair.image, pair.caption, options),
    h("p", { class: "frame" }, `${pair.iteration + 1}`, drift(pair), pair.accepted ? null : badge("rejected", pair.reason ?? "refused")),
    h("p", { class: "caption", dir: "auto" }, pair.caption))));
}

const drift = (pair) => (pair.drift?.text === null || pair.drift?.text === undefined ? null
  : h("span", { class: "drift", title: "how far the caption is from the chain's first description, 0 to 2" }, `drift ${figure(pair.drift.text)}`));

function body(item, position, options) {
  if (item.turns) return chat(item, position, options);
  if (item.chain) {
    return [item.chain.description && h("p", { class: "first", dir: "auto" }, item.chain.description),
      item.pairs.length ? filmstrip(item, position, options) : h("p", { class: "refused" }, item.message ?? "no pairs")];
  }
  return h("p", { class: "refused" }, item.message ?? "this row of the input could not be read");
}
