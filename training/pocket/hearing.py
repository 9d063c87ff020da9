"""What the pocket diffuser's text encoder says, and how it learns to.

Its first three tokens say in a fixed code what a caption asks for, the next sixteen sketch it (see sketch.py). The
inner two of its four layers find the code, the outer two draw. Language is learnt apart from pictures, because captions
cost nothing: the diffuser learns at the same time, from what an ideal encoder would say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from transformers import BertModel, BertTokenizerFast

from training.pocket import words
from training.pocket.autoencoder import patches_of
from training.pocket.muon import optimizers_for
from training.pocket.progress import Clock, learning_rate, load_state, save_state
from training.pocket.sketch import AXES, BLOCKS, FIRST, WHERE, Sketches, filled_up
from training.pocket.world import COLOURS, NAMES, PLACES, Placed, Scene, caption, render, sample_scene

INNER, OUTER = 2, 2
"""Layers of the encoder."""
INNER_FIRST = 0.2
"""Share of the training in which only the inner layers learn."""
HEARD = {"one": 40, "two": 44, "several": 8, "closeup": 4, "empty": 4}
"""What captions are of that teach the encoder: two objects are misheard most."""
SAVE_EVERY_S = 60
COUNTS = 5
SIZES = ("large", "medium", "small", "tiny", "closeup")
HUES = (None, *COLOURS)


Block = Literal["thing", "role", "count", "size", "hue"]
PARTS: dict[Block, tuple[int, int]] = {
    "thing": (0, 80),
    "role": (80, 96),
    "count": (96, 106),
    "size": (106, 117),
    "hue": (117, 128),
}
"""Which coordinates of a token say what; `thing` is an object or a place."""
ROLES = ("nothing", "first", "second", "setting")
NOTHING = len(NAMES) + len(PLACES)
"""Row of the `thing` code that stands for no object."""


def codebook(state_dir: Path) -> dict[Block, Tensor]:
    """The fixed code of every answer, [answers, width]: what the text encoder learns to say and the UNet to read.

    Fixed, so that both can be trained at the same time. Random, except that an object's code tells what it looks
    like: then what the UNet learns about drawing one object helps it with all that resemble it.
    """
    numbers = torch.Generator().manual_seed(20)
    rows: dict[Block, int] = {
        "thing": NOTHING + 1,
        "role": len(ROLES),
        "count": COUNTS,
        "size": len(SIZES),
        "hue": len(HUES),
    }
    codes = {block: torch.randn(rows[block], end - start, generator=numbers) for block, (start, end) in PARTS.items()}
    path = state_dir / "looks.pt"
    looks = load_state(path)
    if looks is None:
        looks = {"looks": looks_of_objects(state_dir)}
        save_state(looks, path)
    codes["thing"][: len(NAMES)] = looks["looks"]
    return codes


def looks_of_objects(state_dir: Path) -> Tensor:
    """Each object, drawn large, on the main axes along which objects differ; [objects, width], deviation 1."""
    axes = load_state(state_dir / "axes.pt")
    if axes is None:
        raise SystemExit(f"no `axes.pt` in `{state_dir}`: run `training.pocket.autoencoder latents` first")
    drawn = np.stack([np.asarray(render(Scene("plain", (Placed(name),)))) for name in NAMES])
    latents = ((patches_of(drawn) - axes["mean"]) @ axes["map"]).flatten(1)
    start, end = PARTS["thing"]
    left, spread, _ = torch.linalg.svd(latents - latents.mean(0), full_matrices=False)
    # Between whitened (all axes alike, objects easy to tell apart) and not (what matters most is loudest).
    looks = left[:, : end - start] * spread[: end - start] ** 0.35
    # Pale objects differ little from the pale ground; without this they would differ too little from each other.
    looks = looks / looks.norm(dim=1, keepdim=True) ** 0.7
    return looks / looks.std()


def answers(scene: Scene) -> list[list[int]]:
    """Rows of the codebook for the first object, the second and the setting; columns as in PARTS."""
    nothing = [NOTHING, 0, 0, 0, 0]
    said = [nothing[:], nothing[:], [len(NAMES) + PLACES.index(scene.setting), ROLES.index("setting"), 0, 0, 0]]
    for place, placed in enumerate(scene.objects[:2]):
        said[place] = [
            NAMES.index(placed.name),
            1 + place,
            placed.count,
            SIZES.index(placed.size),
            HUES.index(placed.colour),
        ]
    return said


def code_of(said: Tensor, codes: dict[Block, Tensor]) -> Tensor:
    """What an ideal text encoder says at its first three tokens, [B, 3, 128], from answers [B, 3, 5].

    Token 0 tells the first object, 1 the second, 2 the setting. Each has mean 0 and deviation 1, as the encoder's
    normalisation leaves them. Without a caption every token tells nothing: mark that by answers of -1.
    """
    silent = said[..., 0] < 0
    rows = torch.where(silent.unsqueeze(-1), torch.tensor([NOTHING, 0, 0, 0, 0]), said)
    told = torch.cat([table[rows[..., i]] for i, table in enumerate(codes.values())], dim=-1)
    return nn.functional.layer_norm(told, (words.DIM,))


def idle_code(codes: dict[Block, Tensor], tokens: int) -> Tensor:
    """What tokens say that have nothing to say, [tokens, 128]."""
    return code_of(torch.full((1, tokens, len(PARTS)), -1), codes)[0]


def states_of(said: Tensor, sketched: Tensor, codes: dict[Block, Tensor]) -> Tensor:
    """What an ideal text encoder returns, [B, 40, 128]: its code, the sketch of the objects [B, 16, 128], no more."""
    blank = said[:, :1, :1] < 0
    sketched = torch.where(blank, filled_up(torch.zeros(BLOCKS, AXES)), sketched)
    rest = idle_code(codes, words.MAX_LENGTH - FIRST - BLOCKS)
    return torch.cat([code_of(said, codes), sketched, rest.expand(len(said), -1, -1)], dim=1)


def idle_words(tokenizer: BertTokenizerFast, vectors: Tensor) -> list[str]:
    """Vocabulary far from everything the world knows, thrown into captions for the encoder to pass over."""
    from training.pocket.captions import BIG, SMALL
    from training.pocket.world import OBJECTS, SETTINGS

    texts = [name for known in OBJECTS.values() for name in (known.name, known.plural, *known.synonyms)]
    texts += [phrase for place in SETTINGS.values() for phrase in (place.name, *place.phrases)]
    texts += [
        *COLOURS,
        *SMALL,
        *BIG,
        "two three four 2 3 4 5 five six ten dozen single pair couple group few several both many trio",
    ]
    common = {"a", "the", "in", "on", "at", "of", "with", "by", "and", "to", "up", "out", "is", "for"}
    known_ids = sorted({i for ids in tokenizer(texts, add_special_tokens=False)["input_ids"] for i in ids})
    nearest = (vectors @ vectors[known_ids].T).max(1).values
    tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    return [
        token
        for i, token in enumerate(tokens)
        if token.isalpha() and len(token) > 2 and nearest[i] < 0.7 and token not in common
    ]


def told(scene: Scene, idle: Sequence[str], rng: Random) -> str:
    """A training caption of the scene."""
    text = caption(scene, rng)
    return joined_anew(text, idle, rng) if len(scene.objects) == 2 else text


def joined_anew(text: str, idle: Sequence[str], rng: Random) -> str:
    """The caption of two objects, now and then with another word between them: there are more than frames know."""
    from training.pocket.captions import TOGETHER

    joint = next((joint for joint in sorted(TOGETHER["train"], key=len, reverse=True) if joint in text), None)
    if joint is None or rng.random() > 0.3:
        return text
    return text.replace(joint, f" {' '.join(rng.choice(idle) for _ in range(rng.choice((1, 1, 2))))} ", 1)


def scattered(text: str, idle: Sequence[str], rng: Random) -> str:
    """The caption with now and then words that mean nothing here, strewn in or as a sentence before or after it."""
    draw = rng.random()
    if draw < 0.35:
        return text
    strewn = [rng.choice(idle) for _ in range(rng.randint(1, 4))]
    if draw < 0.6:
        parts = text.split(" ")
        for word in strewn:
            parts.insert(rng.randrange(len(parts) + 1), word)
        return " ".join(parts)
    phrase = rng.choice(("{}", "the {}", "our {}", "a {} of", "a {}", "by {}", "with {}")).format(" ".join(strewn))
    if draw < 0.75:
        return f"{phrase} {text}"
    verb = rng.choice(("is", "fills", "looks", "makes", "has", "seems"))
    return rng.choice((f"{text}, {phrase}", f"{text} {phrase}", f"{text}. The {strewn[0]} {verb} {strewn[-1]}."))


def tokens_of(tokenizer: BertTokenizerFast, texts: list[str], *, padding: str = "max_length") -> dict[str, Tensor]:
    """Ids and mask; padded to the full length unless told otherwise, as the pipeline does it."""
    made = tokenizer(
        texts,
        padding=padding,
        truncation=True,
        max_length=words.MAX_LENGTH,
        return_tensors="pt",
        return_token_type_ids=False,
    )
    return dict(made)


def encode_inner(encoder: BertModel, tokens: dict[str, Tensor], noise: float = 0.0) -> Tensor:
    """What the inner layers say, [B, T, dim].

    `noise` blurs the word vectors, so that neighbours of a known word mean the same.
    """
    vectors = encoder.embeddings.word_embeddings(tokens["input_ids"])
    if noise:
        vectors = vectors + noise * torch.randn_like(vectors)
    states = encoder.embeddings(inputs_embeds=vectors)
    for layer in encoder.encoder.layer[:INNER]:
        states = layer(states, _mask(tokens))
    return states


def encode_outer(encoder: BertModel, inner: Tensor, tokens: dict[str, Tensor]) -> Tensor:
    """The last hidden states [B, T, dim], from what the inner layers said."""
    for layer in encoder.encoder.layer[INNER:]:
        inner = layer(inner, _mask(tokens))
    return inner


def _mask(tokens: dict[str, Tensor]) -> Tensor:
    return tokens["attention_mask"][:, None, None, :].bool()


def encode(encoder: BertModel, tokens: dict[str, Tensor]) -> Tensor:
    """The last hidden states [B, T, dim], as transformers computes them."""
    return encoder(**tokens).last_hidden_state


def read_things(states: Tensor, codes: dict[Block, Tensor]) -> Tensor:
    """Which thing each of the first three tokens means, [B, 3]."""
    start, end = PARTS["thing"]
    table = codes["thing"]
    return (states[:, :3, start:end] @ table.T - 0.5 * table.square().sum(-1)).argmax(-1)


def word_loss(states: Tensor, said: Tensor, codes: dict[Block, Tensor]) -> tuple[Tensor, Tensor]:
    """Distance of the first three tokens from the ideal code plus cross-entropy of the answers read back.

    Also the share of right things, for each of the three.
    """
    total = (states[:, :FIRST] - code_of(said, codes)).square().mean()
    right = torch.zeros(())
    heard = said[:, 0, 0] >= 0
    for i, (block, (start, end)) in enumerate(PARTS.items()):
        table = codes[block]
        likeness = states[heard, :FIRST, start:end] @ table.T - 0.5 * table.square().sum(-1)
        logits = likeness * (8 / (end - start))
        total = total + 0.3 * nn.functional.cross_entropy(logits.flatten(0, 1), said[heard, :, i].flatten())
        if block == "thing":
            right = (logits.argmax(-1) == said[heard, :, 0]).float().mean(0)
    return total, right


def sketch_loss(states: Tensor, ideal: Tensor) -> tuple[Tensor, Tensor]:
    """Distance of drawn sketches [B, 16, 128] from the ideal ones, and how much of these is missing, 0 to 1."""
    error = (states - ideal).square().sum((0, 1))
    total = ideal[..., :AXES].square().sum()
    loss = (error[:WHERE].sum() + 0.05 * error[WHERE:].sum()) / (50 * len(states))
    return loss, error[:AXES].sum() / total


@dataclass
class Lesson:
    """A training that goes on where it stopped."""

    model: nn.Module
    optimizers: list[torch.optim.Optimizer]
    clock: Clock
    peak: float
    path: Path
    step: int = 0
    saved_s: float = 0.0

    @classmethod
    def open(cls, model: nn.Module, path: Path, *, minutes: float, peak: float) -> Lesson:
        matrices = [weight for weight in model.parameters() if weight.ndim > 1 and weight.shape[0] >= words.DIM]
        optimizers = optimizers_for(model.parameters(), matrices, peak, decay=0.0)
        lesson = cls(model, optimizers, Clock(minutes), peak, path)
        state = load_state(path)
        if state is not None:
            model.load_state_dict(state["model"])
        if state is not None and "optimizers" in state:
            for optimizer, saved in zip(lesson.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
            lesson.step, lesson.saved_s = state["step"], state["spent_s"]
            lesson.clock = Clock(minutes, state["spent_s"])
        return lesson

    def learn(self, loss: Tensor) -> None:
        """One step down the loss; now and then the state is saved."""
        for group in (group for optimizer in self.optimizers for group in optimizer.param_groups):
            group["lr"] = learning_rate(self.peak, self.step, self.clock.fraction, warmup=50)
        self.model.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        if self.clock.spent_s - self.saved_s > SAVE_EVERY_S or self.clock.is_over:
            self.saved_s = self.clock.spent_s
            parts = {"model": self.model.state_dict(), "step": self.step, "spent_s": self.saved_s}
            save_state(parts | {"optimizers": [optimizer.state_dict() for optimizer in self.optimizers]}, self.path)


def train_sketch(data_dir: Path, state_dir: Path, *, minutes: float, peak: float, batch: int) -> None:
    """Teach the encoder's outer layers to draw sketches from the ideal code, which needs no captions."""
    _, vectors = words.build(data_dir / "words")
    outer = words.build_encoder(vectors, INNER + OUTER).encoder.layer[INNER:]
    for weight in outer.parameters():
        if weight.ndim > 1:
            nn.init.normal_(weight, std=0.06)
    sketches, codes = Sketches(state_dir), codebook(state_dir)
    lesson = Lesson.open(outer, state_dir / "sketch.pt", minutes=minutes, peak=peak)
    rng = Random(lesson.step + 6)
    while not lesson.clock.is_over:
        scenes = [scene for scene in (sample_scene(rng) for _ in range(batch)) if scene.objects]
        ideal = code_of(torch.tensor([answers(scene) for scene in scenes]), codes)
        states = torch.cat([ideal + 0.1 * torch.randn_like(ideal), sketches.codes.expand(len(scenes), -1, -1)], 1)
        for layer in outer:
            states = layer(states)
        drawn, missing = sketch_loss(states[:, FIRST:], sketches(scenes))
        lesson.learn(drawn + (states[:, :FIRST] - ideal).square().mean())
        if lesson.step % 100 == 0:
            print(f"step {lesson.step} missing {missing.item():.4f} {lesson.clock.fraction:.0%}", flush=True)


def begun_encoder(vectors: Tensor, state_dir: Path, begin_from: Path | None) -> BertModel:
    """The encoder before its words are trained: untrained, or what the inner layers of a pipeline folder know.

    Its outer layers are those of the sketch step, if that was taken.
    """
    encoder = words.build_encoder(vectors, INNER + OUTER)
    if begin_from is not None:
        known = BertModel.from_pretrained(begin_from / "text_encoder", add_pooling_layer=False).float()
        encoder.load_state_dict(known.state_dict(), strict=False)
    drawing = load_state(state_dir / "sketch.pt")
    if drawing is not None:
        encoder.encoder.layer[INNER:].load_state_dict(drawing["model"])
    return encoder.train()


def train_words(
    data_dir: Path, state_dir: Path, *, minutes: float, peak: float, batch: int, begin_from: Path | None = None
) -> None:
    """Teach the text encoder what captions say, on endless captions."""
    tokenizer, vectors = words.build(data_dir / "words")
    sketches, codes = Sketches(state_dir), codebook(state_dir)
    lesson = Lesson.open(
        begun_encoder(vectors, state_dir, begin_from), state_dir / "text.pt", minutes=minutes, peak=peak
    )
    rng, idle = Random(lesson.step + 5), idle_words(tokenizer, vectors)
    while not lesson.clock.is_over:
        scenes = [sample_scene(rng, HEARD) for _ in range(batch)]
        said = torch.tensor([answers(scene) for scene in scenes])
        texts = [scattered(told(scene, idle, rng), idle, rng) for scene in scenes]
        texts[0], said[0] = "", -1
        tokens = at_least(tokens_of(tokenizer, texts, padding="longest"), FIRST + BLOCKS)
        inner = encode_inner(lesson.model, tokens, noise=0.025)
        loss, right = word_loss(inner, said, codes)
        loss = loss + 0.5 * (inner[:, FIRST : FIRST + BLOCKS] - sketches.codes).square().mean()
        # Outer layers that hear gibberish would draw gibberish, and teach it to the inner ones.
        if lesson.clock.fraction > INNER_FIRST:
            states = encode_outer(lesson.model, inner, tokens)
            more, right = outer_loss(states, states_of(said, sketches(scenes), codes), said, codes)
            loss = loss + more
        lesson.learn(loss)
        if lesson.step % 50 == 0:
            print(f"step {lesson.step} {loss.item():.3f} {right.tolist()} {lesson.clock.fraction:.0%}", flush=True)
    report_words(data_dir, state_dir)


def outer_loss(states: Tensor, ideal: Tensor, said: Tensor, codes: dict[Block, Tensor]) -> tuple[Tensor, Tensor]:
    """What the encoder says against the ideal; also the shares of right things, and what its sketches miss."""
    end = FIRST + BLOCKS
    kept, right = word_loss(states, said, codes)
    drawn, missing = sketch_loss(states[:, FIRST:end], ideal[:, FIRST:end])
    idle = (states[:, end:] - ideal[:, end : states.shape[1]]).square().sum() / (len(states) * words.DIM * end)
    return kept + drawn + 0.1 * idle, torch.cat([right, missing.view(1)])


def at_least(tokens: dict[str, Tensor], length: int) -> dict[str, Tensor]:
    """The tokens, padded further if there are fewer: blocks need tokens that speak for them."""
    short = max(0, length - tokens["input_ids"].shape[1])
    return {name: nn.functional.pad(ids, (0, short)) for name, ids in tokens.items()}


@torch.no_grad()
def report_words(data_dir: Path, state_dir: Path, count: int = 1000) -> None:
    """Print how often held-out captions are understood."""
    tokenizer, encoder = load_encoder(data_dir, state_dir)
    rng, codes, sketches = Random(123_456_789), codebook(state_dir), Sketches(state_dir)
    scenes = [sample_scene(rng) for _ in range(count)]
    texts = [caption(scene, rng, "heldout") for scene in scenes]
    said = torch.tensor([answers(scene) for scene in scenes])
    states = encode(encoder, tokens_of(tokenizer, texts))
    _, right = word_loss(states, said, codes)
    _, missing = sketch_loss(states[:, FIRST : FIRST + BLOCKS], sketches(scenes))
    print(f"held-out captions: first, second, setting right {right.tolist()}, missing {missing:.3f}", flush=True)


def load_encoder(data_dir: Path, state_dir: Path) -> tuple[BertTokenizerFast, BertModel]:
    """The tokenizer and the trained text encoder."""
    tokenizer, vectors = words.build(data_dir / "words")
    state = load_state(state_dir / "text.pt")
    if state is None:
        raise SystemExit(f"no `text.pt` in `{state_dir}`: run the words step first")
    encoder = words.build_encoder(vectors, INNER + OUTER)
    encoder.load_state_dict(state["model"])
    return tokenizer, encoder.eval()
