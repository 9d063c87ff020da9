"""`magi_dataset.json`: the shape of the released MAGID data, with captions.

`{key: [["txt", utterance], ["img", file, caption], …]}`: a picture supports the text before it. The file is relative to
the folder of the JSON file. Dialogues without pictures are rows too. One row per line, so that it can be read in a
stream. A data set of several splits also has `<split>/data.json`, as the released one does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from magid_graph.exporters.folder import Folder
from magid_graph.exporters.layout import Layout
from magid_graph.exporters.placement import placed
from magid_graph.exporters.samples import Sample

_SHAPE = {"first": "{\n", "between": ",\n", "last": "}\n"}


def write_magid(samples: Iterable[Sample], folder: Folder, layout: Layout) -> None:
    """Write every dialogue, with its pictures where the layout puts them."""
    with (
        folder.split_files("magi_dataset.json", **_SHAPE) as whole,
        folder.split_files("{split}/data.json", **_SHAPE) as parts,
    ):
        for sample in samples:
            split = sample["split"]
            whole.write("all", _line(sample, _row(sample, folder, layout, within="")))
            parts.write(split, _line(sample, _row(sample, folder, layout, within=f"{split}/")))
            folder.tally["samples"] += 1
            folder.tally["pictures"] += len(sample["pictures"])
    if len(parts.names) == 1:
        folder.drop(parts.names[0])
    else:
        parts.check(_fault)
    whole.check(_fault)


def _row(sample: Sample, folder: Folder, layout: Layout, *, within: str) -> list[list[str]]:
    row: list[list[str]] = []
    for turn in placed(sample, layout.placement):
        if turn["text"]:
            row.append(["txt", turn["text"]])
        for number in turn["pictures"]:
            picture = sample["pictures"][number]
            name = folder.ship(picture["image"], f"{sample['split']}/images")
            row.append(["img", name.removeprefix(within), picture["description"] or ""])
    return row


def _line(sample: Sample, row: list[list[str]]) -> str:
    return f"{json.dumps(sample['key'], ensure_ascii=False)}: {json.dumps(row, ensure_ascii=False)}"


def _fault(lines: Iterator[str], at: Path) -> str | None:
    """Read it as its users do: rows of texts and pictures, every picture there."""
    for line in lines:
        if line.strip() in ("{", "}"):
            continue
        ((key, row),) = json.loads(f"{{{line.strip().removesuffix(',')}}}").items()
        if not all(_is_entry(entry, at.parent) for entry in row):
            return f"the row of `{key}`"
    return None


def _is_entry(entry: list[str], folder: Path) -> bool:
    match entry:
        case ["txt", str()]:
            return True
        case ["img", str(file), str()]:
            return (folder / file).is_file()
    return False
