"""`recipe.json` and `samples.jsonl`: a data set without its pictures, from which they can be drawn again.

For data whose pictures may not be given on, or are too many to ship. Each picture is there by its prompt, its seed, the
hash of its bytes and a perceptual hash; `magid-graph rebuild` draws it and compares.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from magid_graph.config import Settings, determining
from magid_graph.exporters.folder import Folder
from magid_graph.exporters.layout import Layout
from magid_graph.exporters.samples import Picture, Sample

HEADER, SAMPLES = "recipe.json", "samples.jsonl"
WITHOUT = "pictures described, not included; `magid-graph rebuild` draws them again"

_DRAWN_BY = ("models.text_to_image", "models.clip", "run.image_format", "run.provenance")
"""What pictures depend on, besides the settings of the generator."""


class Recipe(TypedDict):
    """How the pictures were drawn."""

    magid_graph: str
    model: str
    """The text-to-image model that was opened, with its revision or hash."""
    settings: dict[str, object]
    """By their names; those that pictures depend on."""
    versions: dict[str, str | None]
    """Of the libraries: others may draw the same picture with slightly other pixels."""


class Described(TypedDict):
    """A line of `samples.jsonl`."""

    sample: Sample
    phashes: list[str]
    """Of its pictures, in order."""


def write_recipe(samples: Iterable[Sample], folder: Folder, layout: Layout) -> None:
    """Write every sample with the hashes of its pictures, and how they were drawn."""
    with folder.split_files(SAMPLES) as files:
        for sample in samples:
            row = Described(sample=sample, phashes=[_phash(picture, folder) for picture in sample["pictures"]])
            files.write("all", json.dumps(row, ensure_ascii=False))
            folder.tally["samples"] += 1
            folder.tally["pictures"] += len(sample["pictures"])
    files.check(_fault)
    folder.notes[WITHOUT] += folder.tally["pictures"]
    with folder.text(HEADER) as file:
        json.dump(_recipe(json.loads((folder.root / "run.json").read_text("utf-8"))), file, indent=2)


def _recipe(manifest: dict[str, Any]) -> Recipe:
    known = determining(Settings.model_validate(manifest["settings"]))
    settings = {name: known[name] for name in known if name in _DRAWN_BY or name.startswith("generator.")}
    return Recipe(
        magid_graph=manifest["magid_graph"],
        model=manifest.get("opened", {}).get("text_to_image", settings["models.text_to_image"]),
        settings=settings,
        versions=manifest["versions"],
    )


def _phash(picture: Picture, folder: Folder) -> str:
    from PIL import Image

    from magid_graph.phash import phash

    with Image.open(io.BytesIO(folder.data(picture["image"]))) as image:
        return phash(image)


def _fault(lines: Iterator[str], at: Path) -> str | None:
    """As many perceptual hashes as pictures in every line."""
    for number, line in enumerate(lines, 1):
        row: Described = json.loads(line)
        if len(row["phashes"]) != len(row["sample"]["pictures"]):
            return f"line {number}"
    return None
