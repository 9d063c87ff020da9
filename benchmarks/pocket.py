"""What the pocket models can do: `python -m benchmarks.pocket` prints the table that docs/pocket.md keeps.

Scenes, captions and sentence frames are held out: other seeds and other frames than in training. Everything goes
through the folders that ship. `--quick` takes a fifth of the samples; `--write` renews docs/pocket.md and its
contact sheet.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from magid_graph import pocket
from training.pocket.captions import MASS
from training.pocket.reading import objects_in, place_in
from training.pocket.utterances import utter
from training.pocket.world import (
    NAMES,
    OBJECTS,
    PLACES,
    PLAUSIBLE,
    SETTINGS,
    Placed,
    Scene,
    caption,
    render,
    sample_scene,
)

ROOT = Path(__file__).parent.parent
DOC = ROOT / "docs" / "pocket.md"
SHEET = ROOT / "docs" / "images" / "pocket.png"
TABLE_MARKS = "<!-- table -->", "<!-- /table -->"
SEED = 424_242
WAYS = 100
BATCH = 8

Vectors = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    measured: str
    bar: str = ""
    reached: bool | None = None
    """`None` where there is no bar."""


def share(name: str, values: Iterable[bool], bar: float | None = None) -> Row:
    """A row for how often something is right."""
    marks = list(values)
    value = sum(marks) / max(1, len(marks))
    told = f"{value:.1%} of {len(marks)}"
    return Row(name, told) if bar is None else Row(name, told, f"≥ {bar:.0%}", value >= bar)


class Models:
    """The shipped models, opened when first used."""

    @cached_property
    def drawing(self) -> Any:
        from magid_graph.models.diffusion import DiffusersTextToImage

        options = preset()["generator"]
        names = "num_inference_steps", "guidance_scale", "upscale_to", "height", "width"
        return DiffusersTextToImage(
            str(pocket.weights("text_to_image")), **{name: options[name] for name in names if name in options}
        )

    @cached_property
    def clip(self) -> Any:
        from magid_graph.models.clip import OpenClipEmbedder

        return OpenClipEmbedder(str(pocket.weights("clip")))

    @cached_property
    def aesthetic(self) -> Any:
        from magid_graph.models.aesthetic import EmbeddingHead

        return EmbeddingHead(str(pocket.weights("aesthetic")), embedding=self.clip.model_id)

    @cached_property
    def captioner(self) -> Any:
        from magid_graph.models.caption import TransformersCaptioner

        return TransformersCaptioner(str(pocket.weights("captioner")))

    def draw(self, prompts: Sequence[str], seed: int = 0) -> list[Image.Image]:
        """One picture per prompt, in batches of `BATCH`."""
        pictures: list[Image.Image] = []
        for start in range(0, len(prompts), BATCH):
            part = prompts[start : start + BATCH]
            pictures += self.drawing.generate(part, [seed * 100_003 + start + i for i in range(len(part))])
        return pictures

    def describe(self, pictures: Sequence[Image.Image]) -> list[str]:
        texts: list[str] = []
        for start in range(0, len(pictures), 64):
            part = pictures[start : start + 64]
            texts += self.captioner.caption(part, list(range(len(part))))
        return texts


def preset() -> dict[str, Any]:
    """The pocket preset's settings."""
    return tomllib.loads((ROOT / "magid_graph" / "presets" / "pocket.toml").read_text(encoding="utf-8"))


def held_out(count: int, rng: Random) -> list[Scene]:
    """Scenes with different contents that no training run has drawn."""
    found: dict[object, Scene] = {}
    while len(found) < count:
        scene = sample_scene(rng)
        found.setdefault((scene.setting, *sorted(f"{placed.count} {placed.name}" for placed in scene.objects)), scene)
    return list(found.values())


# Drawing


def drawn_rows(models: Models, count: int) -> list[Row]:
    """Asked for one object in one place: do the captioner and CLIP see both? Asked for two objects: are both there?"""
    rng = Random(SEED)
    names = [NAMES[i % len(NAMES)] for i in range(count)]
    asked = [Scene(rng.choice(PLAUSIBLE[OBJECTS[name].category]), (Placed(name),)) for name in names]
    pictures = models.draw([caption(scene, rng, "heldout") for scene in asked], seed=1)
    texts = models.describe(pictures)
    objects = clip_names_object(models, asked, pictures, rng)
    places = clip_names_place(models, asked, pictures)
    said = [scene.objects[0].name in named(text) for scene, text in zip(asked, texts, strict=True)]
    placed = [place_in(text) == scene.setting for scene, text in zip(asked, texts, strict=True)]
    return [
        share(
            "drawn: object named by captioner and CLIP (100-way)",
            [a and b for a, b in zip(said, objects, strict=True)],
            0.85,
        ),
        share("· by the captioner alone", said),
        share("· by CLIP alone (100-way)", objects),
        share("drawn: place named by captioner and CLIP", [a and b for a, b in zip(placed, places, strict=True)], 0.90),
        share("· by the captioner alone", placed),
        share(f"· by CLIP alone ({len(PLACES)}-way)", places),
        *two_object_rows(models, count // 2),
    ]


def two_object_rows(models: Models, count: int) -> list[Row]:
    """Asked for two objects in one place: does the captioner name both?"""
    rng = Random(SEED + 1)
    asked: list[Scene] = []
    while len(asked) < count:
        scene = sample_scene(rng)
        if len(scene.objects) == 2:
            asked.append(scene)
    texts = models.describe(models.draw([caption(scene, rng, "heldout") for scene in asked], seed=2))
    both = [{placed.name for placed in scene.objects} <= named(text) for scene, text in zip(asked, texts, strict=True)]
    return [share("drawn: two objects asked for, both named by the captioner", both, 0.60)]


def named(text: str) -> set[str]:
    return {name for name, _ in objects_in(text)}


def plain_caption(name: str, place: str) -> str:
    """The plainest words for one object in one place."""
    noun = name if name in MASS else f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
    where = "" if place == "plain" else SETTINGS[place].phrases[0]
    return f"{noun} {where}".strip()


def clip_names_object(
    models: Models, asked: Sequence[Scene], pictures: Sequence[Image.Image], rng: Random
) -> list[bool]:
    """Whether the object asked for fits the picture better than 99 others would, all in the same place."""
    images = models.clip.embed_images(pictures)
    right = []
    for scene, image in zip(asked, images, strict=True):
        own = scene.objects[0].name
        others = rng.sample([name for name in NAMES if name != own], WAYS - 1)
        texts = models.clip.embed_texts([plain_caption(name, scene.setting) for name in [own, *others]])
        right.append(int((texts @ image).argmax()) == 0)
    return right


def clip_names_place(models: Models, asked: Sequence[Scene], pictures: Sequence[Image.Image]) -> list[bool]:
    """Whether the place asked for fits better than all others, with the same object."""
    right = []
    for scene, image in zip(asked, models.clip.embed_images(pictures), strict=True):
        texts = models.clip.embed_texts([plain_caption(scene.objects[0].name, place) for place in PLACES])
        right.append(PLACES[int((texts @ image).argmax())] == scene.setting)
    return right


# Judging


def clip_rows(models: Models, count: int) -> list[Row]:
    """Retrieval among 100 distinct scenes, and the cosines at which limits make sense."""
    rng = Random(SEED + 2)
    to_text, to_image = [], []
    pairs: list[tuple[Vectors, Vectors, Vectors]] = []
    for _ in range(max(1, count // WAYS)):
        scenes = held_out(WAYS, rng)
        images = models.clip.embed_images([render(scene) for scene in scenes])
        texts = models.clip.embed_texts([caption(scene, rng, "heldout") for scene in scenes])
        chats = models.clip.embed_texts([utter(scene, rng, "heldout") for scene in scenes])
        likeness, own = images @ texts.T, np.arange(WAYS)
        to_text += list(likeness.argmax(1) == own)
        to_image += list(likeness.argmax(0) == own)
        pairs.append((likeness, images @ chats.T, own))
    return [
        share("CLIP: text → picture, R@1 of 100", to_image, 0.90),
        share("CLIP: picture → text, R@1 of 100", to_text, 0.90),
        calibrated("CLIP: descriptions", [likeness for likeness, _, _ in pairs]),
        calibrated("CLIP: what people say", [likeness for _, likeness, _ in pairs]),
    ]


def calibrated(name: str, likenesses: Sequence[Vectors]) -> Row:
    """The cosine that 95 % of true pairs reach, and how many wrong pairs reach it too."""
    true = np.concatenate([likeness.diagonal() for likeness in likenesses])
    wrong = np.concatenate([likeness[~np.eye(len(likeness), dtype=bool)] for likeness in likenesses])
    limit = float(np.quantile(true, 0.05))
    return Row(
        f"{name}: cosine that 95 % of true pairs reach",
        f"{limit:.3f} (and {(wrong >= limit).mean():.1%} of wrong pairs)",
    )


def captioner_rows(models: Models, count: int) -> list[Row]:
    """Captions of held-out scenes, read back."""
    rng = Random(SEED + 3)
    scenes = held_out(count, rng)
    texts = models.describe([render(scene) for scene in scenes])
    filled = [(scene, text) for scene, text in zip(scenes, texts, strict=True) if scene.objects]
    wanted = [[(placed.name, placed.count) for placed in scene.objects] for scene, _ in filled]
    return [
        share("captioner: main object", [scene.objects[0].name in named(text) for scene, text in filled], 0.92),
        share(
            "captioner: place",
            [place_in(text) == scene.setting for scene, text in zip(scenes, texts, strict=True)],
            0.95,
        ),
        share(
            "captioner: all objects and their number",
            [objects_in(t) == w for (_, t), w in zip(filled, wanted, strict=True)],
        ),
        Row("captioner: different sentences", f"{len(set(texts))} of {len(texts)}"),
    ]


def aesthetic_rows(models: Models, count: int) -> list[Row]:
    """Clean scenes against the same ones blurred, noisy, torn, half-denoised, garbled …"""
    import torch

    from training.pocket.broken import broken

    torch.manual_seed(SEED)
    clean = [render(scene) for scene in held_out(count, Random(SEED + 4))]
    pixels = torch.stack([torch.from_numpy(np.array(picture)) for picture in clean]).permute(0, 3, 1, 2) / 255
    damaged, _ = broken(pixels)
    bad = [Image.fromarray(p) for p in (damaged.permute(0, 2, 3, 1) * 255).byte().numpy()]
    good_scores, bad_scores = (np.array(models.aesthetic.score(models.clip.embed_images(p))) for p in (clean, bad))
    area = float((good_scores[:, None] > bad_scores[None, :]).mean())
    return [
        Row("aesthetic head: AUC clean against broken", f"{area:.3f}", "≥ 0.95", area >= 0.95),
        Row("· median score of clean, of broken", f"{np.median(good_scores):.1f}, {np.median(bad_scores):.1f}"),
    ]


# Speed

PROBE = """
import json, resource, sys, time
begun = time.monotonic()
from benchmarks.pocket import BATCH, Models
models = Models()
models.draw(["a dog on a beach"])
first = time.monotonic() - begun
count = int(sys.argv[1])
begun = time.monotonic()
pictures = models.draw(["a cat on a sofa in the living room"] * count)
rate = count / (time.monotonic() - begun)
models.aesthetic.score(models.clip.embed_images(pictures))
models.describe(pictures)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"first": first, "rate": rate, "peak": peak}))
"""


def speed_rows(count: int) -> list[Row]:
    """A fresh process: import to first picture, pictures per second, peak memory with all picture models open."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(count)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    gigabytes = found["peak"] * (1 if sys.platform == "darwin" else 1024) / 1e9
    return [
        Row("import to first picture", f"{found['first']:.1f} s", "≤ 15 s", found["first"] <= 15),
        Row(f"pictures a second in batches of {BATCH}", f"{found['rate']:.2f}", "≥ 2", found["rate"] >= 2),
        Row("peak memory of the picture models", f"{gigabytes:.2f} GB", "≤ 2 GB", gigabytes <= 2),
    ]


def size_rows() -> list[Row]:
    """What ships."""
    sizes = [(pocket.WEIGHTS_DIR / file).stat().st_size for _, file in pocket.shipped()]
    total, largest = sum(sizes) / 1e6, max(sizes) / 1e6
    return [
        Row(
            "all weights, largest file",
            f"{total:.1f} MB, {largest:.1f} MB",
            "≤ 50 MB, ≤ 25 MB",
            total <= 50 and largest <= 25,
        )
    ]


def llm_rows() -> list[Row]:
    """The language model's part, measured by its own benchmark."""
    from benchmarks import pocket_llm

    return [_of_llm(*row) for row in pocket_llm.rows()]


def _of_llm(name: str, value: float, bar: str) -> Row:
    """Shares to three digits; bars are written `≥ 0.80` or `= 1.00`."""
    told = f"{value:.3f}" if value <= 1 else f"{value:.0f}"
    if not bar:
        return Row(name, told)
    sign, _, limit = bar.partition(" ")
    return Row(name, told, bar, value >= float(limit) if sign == "≥" else value == float(limit))


# Showing


def sheet(models: Models, path: Path, count: int = 40, columns: int = 8) -> None:
    """A contact sheet of pictures with the descriptions they were drawn from."""
    rng = Random(SEED + 5)
    scenes = [scene for scene in held_out(count * 2, rng) if scene.objects][:count]
    prompts = [caption(scene, rng, "heldout") for scene in scenes]
    pictures = models.draw(prompts, seed=3)
    cell, text_height = 192, 66
    page = Image.new("RGB", (columns * cell, -(-count // columns) * (cell + text_height)), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(12)
    for i, (prompt, picture) in enumerate(zip(prompts, pictures, strict=True)):
        x, y = i % columns * cell, i // columns * (cell + text_height)
        page.paste(picture.resize((cell - 6, cell - 6), Image.Resampling.LANCZOS), (x + 3, y + 3))
        pen.multiline_text((x + 4, y + cell), wrapped(prompt, font, cell - 8), "black", font, spacing=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    page.quantize(256).save(path, optimize=True)


def wrapped(text: str, font: Any, width: float, lines: int = 4) -> str:
    """The text in at most `lines` lines of `width` pixels."""
    rows = [""]
    for word in text.split():
        longer = f"{rows[-1]} {word}".strip()
        if font.getlength(longer) > width and rows[-1]:
            rows.append(word)
        else:
            rows[-1] = longer
    return "\n".join(rows[:lines]) + ("…" if len(rows) > lines else "")


def table(rows: Sequence[Row]) -> str:
    """Markdown."""
    verdicts = {True: "yes", False: "**no**", None: ""}
    lines = [f"| {row.name} | {row.measured} | {row.bar} | {verdicts[row.reached]} |" for row in rows]
    return "\n".join(["| what | measured | bar | reached |", "|---|---|---|---|", *lines])


def renew(doc: Path, rows: Sequence[Row]) -> None:
    """Put the table between the marks of the document."""
    text = doc.read_text(encoding="utf-8")
    before, rest = text.split(TABLE_MARKS[0])
    _, after = rest.split(TABLE_MARKS[1])
    doc.write_text(f"{before}{TABLE_MARKS[0]}\n{table(rows)}\n{TABLE_MARKS[1]}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a fifth of the samples, under three minutes on two cores")
    parser.add_argument(
        "--only", default="size,speed,drawn,clip,captioner,aesthetic,llm", help="parts, comma-separated"
    )
    parser.add_argument("--write", action="store_true", help="renew docs/pocket.md and its contact sheet")
    args = parser.parse_args()
    scale, models, rows = 1 if args.quick else 5, Models(), list[Row]()
    parts: dict[str, Callable[[], list[Row]]] = {
        "size": size_rows,
        "speed": lambda: speed_rows(16 * scale),
        "drawn": lambda: drawn_rows(models, 80 * scale),
        "clip": lambda: clip_rows(models, 200 * scale),
        "captioner": lambda: captioner_rows(models, 200 * scale),
        "aesthetic": lambda: aesthetic_rows(models, 200 * scale),
        "llm": llm_rows,
    }
    for part in args.only.split(","):
        found = parts[part]()
        rows += found
        print(*(f"{row.name:62} {row.measured:32} {row.bar:18} {row.reached}" for row in found), sep="\n", flush=True)
    if args.write:
        renew(DOC, rows)
        sheet(models, SHEET)


if __name__ == "__main__":
    main()
