"""Trains the pocket CLIP: `python -m training.pocket.clip DATA_DIR --state STATE_DIR --minutes 25 --out FOLDER`.

A small vision transformer and a small text transformer of open_clip's own classes, trained with the contrastive
loss and, since the world knows what it drew, with three more tasks on the image tower: the place, the objects, and
what every patch shows. A fourth task, telling clean from broken, keeps the embedding useful for the aesthetic head.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from open_clip.model import CLIP
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from training.pocket import scenes, words
from training.pocket.broken import broken, worn
from training.pocket.muon import optimizers_for
from training.pocket.progress import quick_type
from training.pocket.utterances import utter
from training.pocket.world import NAMES, PLACES, Scene, Split, caption

IMAGE_SIZE = 64
PATCH = 8
GRID = IMAGE_SIZE // PATCH
CONTEXT = 48
EMBED = 128
BATCH = 128
BROKEN = 32
"""Broken pictures per step, beside the batch; twice as many in the last part."""
KEPT, WHOLE_FROM = 28, 0.8
"""Patches that a step looks at, and the share of training after which it looks at all of them."""
CAPTIONS, UTTERANCES = 4, 2
"""Texts written per scene before training."""
LEARNING_RATE = 1.5e-3
HEAD_START = 40
"""Steps in which only the heads of the tasks learn."""
CONFIG_NAME, WEIGHTS_NAME = "open_clip_config.json", "open_clip_model.safetensors"


def config(vocab_size: int, eos_id: int, text_width: int) -> dict[str, Any]:
    """What open_clip needs to open the folder."""
    vision = {"image_size": IMAGE_SIZE, "patch_size": PATCH, "width": 192, "layers": 4, "head_width": 64}
    text = {"context_length": CONTEXT, "vocab_size": vocab_size, "width": text_width, "heads": 4, "layers": 2}
    return {
        "model_cfg": {
            "embed_dim": EMBED,
            "vision_cfg": vision | {"pool_type": "avg", "no_ln_pre": True},
            "text_cfg": text | {"pool_type": "eos", "eos_id": eos_id, "hf_tokenizer_name": "local"},
        },
        "preprocess_cfg": {
            "size": IMAGE_SIZE,
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
            "interpolation": "bicubic",
            "resize_mode": "squash",
        },
    }


# open_clip's forward spends two thirds of a CPU's time in casts and in the fused attention's backward; these functions
# compute the same from the same parameters, in half precision where the processor can, 2.1 times as fast.


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return F.linear(x, weight.to(x.dtype), None if bias is None else bias.to(x.dtype))


def _norm(layer: nn.LayerNorm, x: Tensor) -> Tensor:
    return F.layer_norm(x, layer.normalized_shape, layer.weight.to(x.dtype), layer.bias.to(x.dtype), layer.eps)


def _block(block: nn.Module, x: Tensor, mask: Tensor | None = None) -> Tensor:
    attention, (n, length, width) = block.attn, x.shape
    heads = attention.num_heads
    joint = _linear(_norm(block.ln_1, x), attention.in_proj_weight, attention.in_proj_bias)
    q, k, v = joint.view(n, length, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
    scores = q @ k.transpose(-1, -2) * (width // heads) ** -0.5
    mixed = (scores if mask is None else scores + mask).softmax(-1) @ v
    mixed = mixed.transpose(1, 2).reshape(n, length, width)
    x = x + _linear(mixed, attention.out_proj.weight, attention.out_proj.bias)
    hidden = F.gelu(_linear(_norm(block.ln_2, x), block.mlp.c_fc.weight, block.mlp.c_fc.bias))
    return x + _linear(hidden, block.mlp.c_proj.weight, block.mlp.c_proj.bias)


def image_tokens(tower: nn.Module, pixels: Tensor, kept: Tensor | None = None) -> Tensor:
    """The last hidden states (n, 1 + patches, width) of open_clip's vision tower; of the patches `kept` (n, k) only."""
    x = F.conv2d(pixels, tower.conv1.weight.to(pixels.dtype), stride=PATCH).flatten(2).transpose(1, 2)
    x = x + tower.positional_embedding[1:].to(x.dtype)
    if kept is not None:
        x = x.gather(1, kept[..., None].expand(-1, -1, x.shape[-1]))
    first = tower.class_embedding + tower.positional_embedding[0]
    x = torch.cat([first.to(x.dtype).expand(len(x), 1, -1), x], 1)
    for block in tower.transformer.resblocks:
        x = _block(block, x)
    return _norm(tower.ln_post, x)


def pooled(tower: nn.Module, tokens: Tensor) -> Tensor:
    """The unit embeddings of pictures, from their tokens."""
    return F.normalize((tokens[:, 1:].mean(1) @ tower.proj.to(tokens.dtype)).float(), dim=-1)


def text_vectors(model: CLIP, ids: Tensor) -> Tensor:
    """The unit embeddings of texts; columns that are padding everywhere cost nothing."""
    ids = ids[:, : int((ids != 0).sum(1).max())]
    length = ids.shape[1]
    kind = quick_type()
    x = model.token_embedding(ids).to(kind) + model.positional_embedding[:length].to(kind)
    mask = model.attn_mask[:length, :length].to(kind)
    for block in model.transformer.resblocks:
        x = _block(block, x, mask)
    ends = (ids == model.text_eos_id).int().argmax(1)
    x = _norm(model.ln_final, x)[torch.arange(len(x)), ends]
    return F.normalize((x @ model.text_projection.to(x.dtype)).float(), dim=-1)


@dataclass
class Lessons:
    """Everything there is to learn from, as arrays of equal length."""

    pixels: Tensor
    """uint8 (n, 3, 72, 72): a little larger than the tower reads, for random crops."""
    texts: Tensor
    """int16 (n, CAPTIONS + UTTERANCES, CONTEXT) token ids."""
    places: Tensor
    """(n,) index into PLACES."""
    grids: Tensor
    """(n, GRID, GRID) what a patch shows: 0 the place, else 1 + index into NAMES."""
    same: Tensor
    """(n,) equal for scenes that a text cannot tell apart."""
    drawn_from: Tensor
    """Indices of scenes; those with two objects or a tiny one, which are harder, are in it oftener."""


CROP = 72


def lessons(split: Split, data_dir: Path, tokenizer: Any, limit: int | None = None) -> Lessons:
    pixels, drawn = scenes.read(split, data_dir)
    drawn = drawn[:limit]
    rng = Random(f"clip-{split}")
    texts = [say(scene, rng, split) for scene in drawn for say in (*[caption] * CAPTIONS, *[utter] * UTTERANCES)]
    ids = tokenizer(texts, max_length=CONTEXT, padding="max_length", truncation=True, return_tensors="np")["input_ids"]
    return Lessons(
        pixels=torch.cat([shrunk(pixels[i : i + 512]) for i in range(0, len(drawn), 512)])[: len(drawn)],
        texts=torch.from_numpy(ids.astype(np.int16)).view(len(drawn), CAPTIONS + UTTERANCES, CONTEXT),
        places=torch.tensor([PLACES.index(scene.setting) for scene in drawn]),
        grids=torch.stack([grid_of(scene) for scene in drawn]),
        same=torch.tensor(numbered([key_of(scene) for scene in drawn])),
        drawn_from=torch.tensor([i for i, scene in enumerate(drawn) for _ in range(times_drawn(scene))]),
    )


def times_drawn(scene: Scene) -> int:
    """How much oftener than others a scene is learnt from."""
    if len(scene.objects) == 2:
        return 2
    return 3 if scene.objects and scene.objects[0].size == "tiny" else 1


def shrunk(pixels: np.ndarray[Any, Any]) -> Tensor:
    big = torch.from_numpy(np.array(pixels)).permute(0, 3, 1, 2).float()
    return F.interpolate(big, size=CROP, mode="bilinear", antialias=True, align_corners=False).round().byte()


def key_of(scene: Scene) -> tuple[str, ...]:
    """What a text can say about the scene: place, objects, counts."""
    return (scene.setting, *sorted(f"{placed.count} {placed.name}" for placed in scene.objects))


def numbered(keys: list[tuple[str, ...]]) -> list[int]:
    """Equal keys get equal numbers."""
    numbers = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    return [numbers[key] for key in keys]


def grid_of(scene: Scene) -> Tensor:
    """Which object covers the middle of each patch, by the boxes that the drawing uses."""
    from training.pocket.drawing import BASELINE, CENTRES, GROUPS, PIXELS

    grid = torch.zeros(GRID, GRID, dtype=torch.long)
    middles = (torch.arange(GRID) + 0.5) * (128 / GRID)
    for placed in scene.objects:
        size = PIXELS[placed.size]
        spots = GROUPS[placed.count] if placed.slot == "group" else ((CENTRES[placed.slot], 0),)
        for x, lift in spots:
            y = 64.0 if placed.size == "closeup" else BASELINE + lift - size / 2
            inside = ((middles - y).abs() < size / 2)[:, None] & ((middles - x).abs() < size / 2)[None, :]
            grid[inside] = 1 + NAMES.index(placed.name)
    return grid


class Tasks(nn.Module):
    """What the image tower is asked besides matching texts; thrown away after training."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.patch = nn.Linear(width, 1 + len(NAMES))
        # Most patches show the place, which is easy.
        self.register_buffer("care", torch.tensor([0.15] + [1.0] * len(NAMES)), persistent=False)
        self.place = nn.Linear(EMBED, len(PLACES))
        self.objects = nn.Linear(EMBED, len(NAMES))
        nn.init.constant_(self.objects.bias, -4.5)  # one object in a hundred is there
        self.quality = nn.Sequential(nn.Linear(EMBED, 64), nn.ReLU(), nn.Linear(64, 1))


def matching_loss(pictures: Tensor, texts: Tensor, scale: Tensor, same: Tensor) -> Tensor:
    """Contrastive loss both ways; scenes that a text cannot tell apart share the target."""
    logits = scale.exp().clamp(max=60) * pictures @ texts.T
    targets = (same[:, None] == same[None, :]).float()
    targets = targets / targets.sum(1, keepdim=True)
    return (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)) / 2


def target_score(severity: Tensor) -> Tensor:
    """What a picture broken this badly deserves on the 1 to 10 scale: 3.5 at 0.25, 1 at 1."""
    return 4.3 - 3.3 * severity


CLEAN_SCORE = 8.0


def chosen(grids: Tensor, rng: torch.Generator) -> Tensor:
    """`KEPT` patches of each picture (n, KEPT), rather those that show an object."""
    chance = torch.rand(len(grids), GRID * GRID, generator=rng) + 0.5 * (grids.flatten(1) > 0)
    return chance.topk(KEPT, dim=1).indices


def step_loss(model: CLIP, tasks: Tasks, batch: dict[str, Tensor], kept: Tensor | None) -> dict[str, Tensor]:
    """The five losses of one batch, from the patches `kept`, or from all."""
    n, shown = len(batch["pixels"]), batch["grids"].flatten(1)
    damaged, severity = broken(batch["pixels"][: BROKEN if kept is not None else 2 * BROKEN])
    pixels = torch.cat([worn(batch["pixels"]), damaged]) * 2 - 1
    looked = None if kept is None else torch.cat([kept, kept[: len(damaged)]])
    tokens = image_tokens(model.visual, pixels.to(quick_type()), looked)
    vectors = pooled(model.visual, tokens)
    good = vectors[:n]
    present = torch.zeros(n, 1 + len(NAMES)).scatter_(1, shown, 1.0)[:, 1:]
    patches = _linear(tokens[:n, 1:], tasks.patch.weight, tasks.patch.bias).float()
    labels = shown if kept is None else shown.gather(1, kept)
    wanted = torch.cat([torch.full((n,), CLEAN_SCORE), target_score(severity)])
    judged = tasks.quality(vectors * EMBED**0.5)[:, 0] + 5
    return {
        "match": matching_loss(good, text_vectors(model, batch["texts"]), model.logit_scale, batch["same"]),
        "patch": F.cross_entropy(patches.flatten(0, 1), labels.flatten(), weight=tasks.care),
        "place": 0.3 * F.cross_entropy(tasks.place(good * EMBED**0.5), batch["places"]),
        "objects": 20 * F.binary_cross_entropy_with_logits(tasks.objects(good * EMBED**0.5), present),
        "quality": (0.3 if kept is not None else 1.0) * F.smooth_l1_loss(judged, wanted),
    }


def draw_batch(data: Lessons, rng: torch.Generator) -> dict[str, Tensor]:
    """A random batch: cropped, now and then mirrored, each scene with one of its texts."""
    picks = data.drawn_from[torch.randint(len(data.drawn_from), (BATCH,), generator=rng)]
    y, x = torch.randint(CROP - IMAGE_SIZE + 1, (2,), generator=rng).tolist()
    if torch.rand(1, generator=rng) < 0.4:
        pixels = F.interpolate(
            data.pixels[picks].float(), size=IMAGE_SIZE, mode="bilinear", antialias=True, align_corners=False
        )
    else:
        pixels = data.pixels[picks, :, y : y + IMAGE_SIZE, x : x + IMAGE_SIZE].float()
    pixels, grids = pixels / 255, data.grids[picks]
    if torch.rand(1, generator=rng) < 0.5:
        pixels, grids = pixels.flip(-1), grids.flip(-1)
    which = torch.randint(data.texts.shape[1], (BATCH,), generator=rng)
    return {
        "pixels": pixels,
        "texts": data.texts[picks, which].long(),
        "places": data.places[picks],
        "grids": grids,
        "same": data.same[picks],
    }


def start(tokenizer: Any, embeddings: Tensor) -> CLIP:
    """A fresh model whose words already mean something."""
    cfg = config(len(tokenizer), tokenizer.sep_token_id, embeddings.shape[1])["model_cfg"]
    torch.manual_seed(5)
    model = CLIP(**cfg)
    with torch.no_grad():
        model.token_embedding.weight.copy_(embeddings * 3)
    # Frozen: a word that no caption uses stays near the words it resembles.
    model.token_embedding.weight.requires_grad_(False)
    return model


@dataclass
class Course:
    """Where training stands."""

    model: CLIP
    tasks: Tasks
    optimizers: list[torch.optim.Optimizer]
    average: dict[str, Tensor]
    step: int = 0
    spent_s: float = 0.0

    def save(self, state_dir: Path) -> None:
        state_dir.mkdir(parents=True, exist_ok=True)
        parts = {"model": self.model.state_dict(), "tasks": self.tasks.state_dict(), "average": self.average}
        parts |= {"optimizers": [optimizer.state_dict() for optimizer in self.optimizers]}
        parts |= {"step": self.step, "spent_s": self.spent_s}
        torch.save(parts, state_dir / "course.part")
        (state_dir / "course.part").replace(state_dir / "course.pt")

    def load(self, state_dir: Path) -> None:
        parts = torch.load(state_dir / "course.pt", weights_only=True)
        self.model.load_state_dict(parts["model"])
        self.tasks.load_state_dict(parts["tasks"])
        for optimizer, state in zip(self.optimizers, parts["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self.average, self.step, self.spent_s = parts["average"], parts["step"], parts["spent_s"]


def open_course(tokenizer: Any, embeddings: Tensor, state_dir: Path, begin_from: Path | None = None) -> Course:
    """The course that `state_dir` holds, or a new one: from the folder `begin_from`, or from nothing."""
    model = start(tokenizer, embeddings)
    if begin_from is not None:
        model.load_state_dict({k: v.float() for k, v in load_file(begin_from / WEIGHTS_NAME).items()})
    tasks = Tasks(192)
    inner = [weight for name, weight in model.named_parameters() if ".resblocks." in name and weight.ndim == 2]
    optimizers = optimizers_for([*model.parameters(), *tasks.parameters()], inner, LEARNING_RATE, decay=0.05)
    course = Course(model, tasks, optimizers, {name: value.clone() for name, value in model.state_dict().items()})
    if (state_dir / "course.pt").exists():
        course.load(state_dir)
    return course


def rate(step: int, progress: float) -> float:
    """Learning rate: a short warm-up, then down to nothing over the time there is."""
    return LEARNING_RATE * min(1, (step + 1) / 150) * max(0.01, 1 - progress)


def train(course: Course, data: Lessons, minutes: float, state_dir: Path) -> None:
    """Go on until `minutes` of processor time in all are spent."""
    rng = torch.Generator().manual_seed(1000 + course.step)
    torch.manual_seed(2000 + course.step)
    # Time on the processor: machines are shared, and the learning rate follows the clock.
    begun, saved = time.process_time() - course.spent_s, time.process_time()
    while course.spent_s < minutes * 60:
        for group in (group for optimizer in course.optimizers for group in optimizer.param_groups):
            group["lr"] = rate(course.step, course.spent_s / (minutes * 60))
        # Half of the patches are enough to learn from most of the time, and cost half.
        is_partial = course.spent_s < WHOLE_FROM * minutes * 60
        batch = draw_batch(data, rng)
        losses = step_loss(course.model, course.tasks, batch, chosen(batch["grids"], rng) if is_partial else None)
        learn(course, losses)
        _average(course)
        course.step += 1
        course.spent_s = time.process_time() - begun
        if course.step % 25 == 0:
            told = " ".join(f"{name} {loss.item():.3f}" for name, loss in losses.items())
            print(
                f"{course.step} {course.spent_s:.0f}s {told} scale {course.model.logit_scale.exp().item():.1f}",
                flush=True,
            )
        if time.process_time() - saved > 60:
            course.save(state_dir)
            saved = time.process_time()
    course.save(state_dir)


def learn(course: Course, losses: dict[str, Tensor]) -> None:
    """One step down. Heads that know nothing yet would first of all spoil a tower that knows something."""
    sum(losses.values()).backward()
    if course.step < HEAD_START:
        for weight in course.model.parameters():
            weight.grad = None
    nn.utils.clip_grad_norm_([p for o in course.optimizers for g in o.param_groups for p in g["params"]], 1.0)
    for optimizer in course.optimizers:
        optimizer.step()
        optimizer.zero_grad()


def _average(course: Course) -> None:
    keep = min(0.998, (1 + course.step) / (20 + course.step))
    for name, value in course.model.state_dict().items():
        course.average[name].lerp_(value, 1 - keep)


def export(course: Course, tokenizer: Any, folder: Path) -> None:
    """The averaged model as open_clip's folder, in half precision."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
    width = course.model.token_embedding.weight.shape[1]
    text = json.dumps(config(len(tokenizer), tokenizer.sep_token_id, width), indent=2)
    (folder / CONFIG_NAME).write_text(text + "\n", encoding="utf-8")
    save_file({name: value.half().contiguous() for name, value in course.average.items()}, folder / WEIGHTS_NAME)


def check(folder: Path, data: Lessons, rounds: int = 10, ways: int = 100) -> dict[str, float]:
    """Retrieval among `ways` distinct scenes, first text of each, through the exported folder."""
    model = open_clip.create_model(f"local-dir:{folder}").eval()
    rng, right = torch.Generator().manual_seed(3), torch.zeros(2)
    for _ in range(rounds):
        order = torch.randperm(len(data.same), generator=rng).tolist()
        picks = torch.tensor(list({int(data.same[i]): i for i in order}.values())[:ways])
        small = F.interpolate(data.pixels[picks].float(), size=IMAGE_SIZE, mode="bilinear", antialias=True)
        with torch.no_grad():
            pictures = model.encode_image(small / 127.5 - 1, normalize=True)
            texts = model.encode_text(data.texts[picks, 0].long(), normalize=True)
        likeness, own = pictures @ texts.T, torch.arange(len(picks))
        right += torch.stack([(likeness.argmax(1) == own).sum(), (likeness.argmax(0) == own).sum()]) / len(picks)
    to_text, to_image = (right / rounds).tolist()
    return {"image→text": to_text, "text→image": to_image}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--state", type=Path, required=True, help="checkpoints; training goes on from there")
    parser.add_argument("--minutes", type=float, default=25)
    parser.add_argument("--limit", type=int, help="train on this many scenes")
    parser.add_argument("--begin-from", type=Path, help="a CLIP folder whose weights the first sitting begins with")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer, embeddings = words.build(args.data_dir / "words")
    course = open_course(tokenizer, embeddings, args.state, args.begin_from)
    if course.spent_s < args.minutes * 60:
        train(course, lessons("train", args.data_dir, tokenizer, args.limit), args.minutes, args.state)
    export(course, tokenizer, args.out)
    print(check(args.out, lessons("heldout", args.data_dir, tokenizer)))


if __name__ == "__main__":
    main()
