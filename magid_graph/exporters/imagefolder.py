"""`<split>/metadata.jsonl` and `<split>/images/`: what `datasets.load_dataset("imagefolder")` opens.

One row per accepted picture. Every key is in every row, `null` where there is nothing: the loader takes the schema from
the first rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from magid_graph.exporters.folder import Folder
from magid_graph.exporters.layout import Layout
from magid_graph.exporters.rows import PictureRow, picture_rows
from magid_graph.exporters.samples import Sample

_KEYS = {"file_name", *PictureRow.__annotations__}


def write_imagefolder(samples: Iterable[Sample], folder: Folder, layout: Layout) -> None:
    """Write a row for every picture; the loader makes the column `image` of its `file_name`."""
    with folder.split_files("{split}/metadata.jsonl") as files:
        for sample in samples:
            split = sample["split"]
            for picture, row in picture_rows(sample):
                name = folder.ship(picture["image"], f"{split}/images").removeprefix(f"{split}/")
                files.write(split, json.dumps({"file_name": name, **row}, ensure_ascii=False))
                folder.tally["pictures"] += 1
            folder.tally["samples"] += 1
    files.check(_fault)


def _fault(lines: Iterator[str], at: Path) -> str | None:
    """Read it as the loader does: the same keys everywhere, pictures inside the folder and there."""
    for number, line in enumerate(lines, 1):
        row = json.loads(line)
        name = row.get("file_name", "")
        if row.keys() != _KEYS:
            return f"the keys of line {number}"
        if Path(name).is_absolute() or ".." in Path(name).parts or "://" in name:
            return f"`{name}` is not inside the folder"
        if not (at.parent / name).is_file():
            return f"`{name}` is not there"
    return None
