"""`<split>.jsonl` and `images/`: one whole sample per line, with all that is known of it. Nothing is left out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from magid_graph.exporters.folder import Folder
from magid_graph.exporters.layout import Layout
from magid_graph.exporters.placement import placed
from magid_graph.exporters.samples import Sample

_KEYS = {"id", "kind", "group", "turns", "pictures", "source", "link"}


def write_jsonl(samples: Iterable[Sample], folder: Folder, layout: Layout) -> None:
    """Write every sample, its turns as the layout places its pictures among them."""
    with folder.split_files("{split}.jsonl") as files:
        for sample in samples:
            pictures = [{**picture, "file_name": folder.ship(picture["image"])} for picture in sample["pictures"]]
            row = {
                "id": sample["key"],
                "kind": sample["kind"],
                "group": sample["group"],
                "turns": placed(sample, layout.placement),
                "pictures": pictures,
                "source": sample["source"],
                "link": sample["link"],
            }
            files.write(sample["split"], json.dumps(row, ensure_ascii=False))
            folder.tally["samples"] += 1
            folder.tally["pictures"] += len(pictures)
    files.check(_fault)


def _fault(lines: Iterator[str], at: Path) -> str | None:
    """The same keys everywhere, every picture in exactly one turn, and there."""
    for number, line in enumerate(lines, 1):
        row = json.loads(line)
        if row.keys() != _KEYS:
            return f"the keys of line {number}"
        if sorted(n for turn in row["turns"] for n in turn["pictures"]) != list(range(len(row["pictures"]))):
            return f"the pictures of line {number}"
        for picture in row["pictures"]:
            if not (at.parent / picture["file_name"]).is_file():
                return f"`{picture['file_name']}` is not there"
    return None
