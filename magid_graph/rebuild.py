"""Drawing the pictures of a recipe again, and comparing them with those that were described."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeAlias

from magid_graph.artifacts import Artifacts
from magid_graph.config import Settings, load
from magid_graph.context import Desk, Models
from magid_graph.errors import ItemError, UsageError
from magid_graph.exporters import FORMATS, Layout, Sample
from magid_graph.exporters.files import replacing
from magid_graph.exporters.folder import renewed
from magid_graph.exporters.recipe import HEADER, SAMPLES, Described, Recipe
from magid_graph.exporters.samples import Picture
from magid_graph.journal import Journal
from magid_graph.models.fake import FakeChat, FakeEmbedder
from magid_graph.models.opening import open_embedder, open_text_to_image, split_name
from magid_graph.phash import SAME, bits_apart, phash
from magid_graph.run_dir import sha256_of

Likeness: TypeAlias = Literal["same", "alike", "different", "not_drawn"]
"""The same bytes; a few bits of the perceptual hash apart; more; no prompt, or a fault."""

logger = logging.getLogger(__name__)

REBUILT = "rebuilt.jsonl"


def rebuild(recipe_dir: Path, out: Path, names: Sequence[str], *, assignments: Sequence[str] = ()) -> dict[str, Any]:
    """Draw every picture of the recipe into `out`, compare, and write the data set of those that are alike.

    Stopped, it goes on where it was when it is called again.

    Raises:
        UsageError: there is no recipe, or a format cannot be written.
        RunStopped: the model cannot be opened, or the disk be written.
    """
    recipe = _recipe_in(recipe_dir)
    settings = _settings(recipe, assignments)
    out.mkdir(parents=True, exist_ok=True)
    counts = asyncio.run(_draw_all(recipe_dir, out, settings))
    paths = {}
    for name in names:
        with renewed(out / name, root=out, owner=sha256_of(recipe_dir / SAMPLES)) as folder:
            FORMATS[name].write(_rebuilt(out), folder, Layout())
        paths[name] = str(out / name)
    return {
        "pictures": {likeness: counts[likeness] for likeness in ("same", "alike", "different", "not_drawn")},
        "compared": str(out / REBUILT),
        "data_sets": paths,
    }


def _recipe_in(folder: Path) -> Recipe:
    try:
        recipe: Recipe = json.loads((folder / HEADER).read_text("utf-8"))
        if recipe["settings"] and (folder / SAMPLES).is_file():
            return recipe
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"`{folder}` is no recipe ({error}); `export RUN --recipe-only` makes one") from error
    raise UsageError(f"`{folder}` is no recipe (`{SAMPLES}` is missing); `export RUN --recipe-only` makes one")


def _settings(recipe: Recipe, assignments: Sequence[str]) -> Settings:
    """Those that the pictures were drawn with; how the work is done, and where the model is, may be said anew."""
    told = [f"{name}={_written(value)}" for name, value in recipe["settings"].items()]
    return load(assignments=[*told, *assignments]).settings


def _written(value: object) -> str:
    """As `--set` takes it."""
    return "none" if value is None else json.dumps(value)


async def _draw_all(recipe_dir: Path, out: Path, settings: Settings) -> Counter[Likeness]:
    counts: Counter[Likeness] = Counter()
    with closing(Journal(out / "rebuild.db")) as journal, replacing(out / REBUILT) as file:
        desk = Desk(_models(settings), settings, journal, Artifacts(out, settings.run.image_format))
        try:
            rows = _described(recipe_dir)
            while hand := list(islice(rows, settings.in_flight())):
                for row in await asyncio.gather(*(_draw(desk, one) for one in hand)):
                    counts.update(row["likeness"])
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
        finally:
            await desk.aclose()
    return counts


def _models(settings: Settings) -> Models:
    """The text-to-image model; nobody asks the others."""
    is_found = split_name(settings.models.text_to_image)[0] == "retrieval"
    clip = open_embedder(settings.models.clip, settings) if is_found else FakeEmbedder()
    return Models(
        chat=FakeChat(),
        text_to_image=open_text_to_image(settings, clip),
        clip=clip,
        aesthetic_clip=clip,
        aesthetic=None,
        safety=None,
    )


def _described(recipe_dir: Path) -> Iterator[Described]:
    with (recipe_dir / SAMPLES).open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


async def _draw(desk: Desk, described: Described) -> dict[str, Any]:
    """The sample with the pictures that were drawn for it, and how like each is to the one that was described."""
    sample = described["sample"]
    drawn = await asyncio.gather(
        *(_drawn(desk, *one) for one in zip(sample["pictures"], described["phashes"], strict=True))
    )
    kept = [picture for picture, likeness, _ in drawn if likeness in ("same", "alike")]
    return {
        "key": sample["key"],
        "likeness": [likeness for _, likeness, _ in drawn],
        "bits_apart": [bits for _, _, bits in drawn],
        "sample": {**sample, "pictures": kept},
    }


async def _drawn(desk: Desk, picture: Picture, expected: str) -> tuple[Picture, Likeness, int | None]:
    if picture["prompt"] is None or picture["seed"] is None:
        return picture, "not_drawn", None
    try:
        image = await desk.draw(picture["prompt"], picture["seed"], retry=False)
    except ItemError as fault:
        logger.warning("%s", fault)
        return picture, "not_drawn", None
    apart = bits_apart(expected, phash(desk.artifacts.open(image)))
    is_same = image["sha256"] == picture["image"]["sha256"]
    likeness: Likeness = "same" if is_same else "alike" if apart <= SAME else "different"
    return {**picture, "image": image}, likeness, apart


def _rebuilt(out: Path) -> Iterator[Sample]:
    with (out / REBUILT).open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)["sample"]
