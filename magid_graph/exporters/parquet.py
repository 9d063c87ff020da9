"""`data/<split>-NNNNN.parquet`: pictures inside, as the `Image` feature of `datasets`.

A pair is a row with its picture; a dialogue is a row with its turns and the list of its pictures. The files carry their
features, so that `datasets` opens them without being told.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from magid_graph.exporters.features import IMAGE, PICTURE, TEXT, WHOLE, arrow_schema, list_of
from magid_graph.exporters.files import refuse
from magid_graph.exporters.folder import Folder
from magid_graph.exporters.layout import Layout
from magid_graph.exporters.placement import placed
from magid_graph.exporters.rows import picture_rows
from magid_graph.exporters.samples import Sample
from magid_graph.exporters.shards import Shard, sharded
from magid_graph.records import ImageFile

_ROWS_IN_HAND = 32
"""Rows whose pictures are in memory together, and that make a row group: who reads one row reads no more."""
_MADE_HOW = ("parquet", 1)
"""Changes when the files come out differently for the same samples."""

_OF_PAIRS = {"image": IMAGE, **PICTURE}
_OF_DIALOGUES = {
    "id": TEXT,
    "turns": list_of({"speaker": TEXT, "text": TEXT, "pictures": list_of(WHOLE), "replaced": TEXT}),
    "images": list_of(IMAGE),
    "pictures": list_of(PICTURE),
    "source": TEXT,
}


def write_parquet(samples: Iterable[Sample], folder: Folder, layout: Layout) -> None:
    """Write the shards; those that have not changed are kept."""
    numbers: Counter[str] = Counter()
    for shard in sharded(samples, layout.shard_size):
        name = f"data/{shard.split}-{numbers[shard.split]:05d}.parquet"
        numbers[shard.split] += 1
        content = shard.content(*_MADE_HOW, layout.placement)
        if not folder.keep(name, content, images=shard.images()):
            _write(shard, folder, layout, folder.place(name))
            _check(shard, folder.made / name)
            folder.settle(name, content)
        folder.tally["samples"] += len(shard.samples)
        folder.tally["pictures"] += sum(len(sample["pictures"]) for sample in shard.samples)


def _write(shard: Shard, folder: Folder, layout: Layout, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    features = _OF_PAIRS if shard.samples[0]["kind"] == "pair" else _OF_DIALOGUES
    schema = arrow_schema(features)
    rows = _rows(shard, folder, layout)
    # Pictures are packed already, and no two are the same: packing them, or looking for those that are, saves nothing.
    options = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    with pq.ParquetWriter(path, schema, **options) as file:
        while hand := [row for _, row in zip(range(_ROWS_IN_HAND), rows, strict=False)]:
            # Not `write_batch`, which gathers a million rows for one row group.
            file.write_table(pa.Table.from_pylist(hand, schema))


def _rows(shard: Shard, folder: Folder, layout: Layout) -> Iterator[dict[str, Any]]:
    for sample in shard.samples:
        rows = list(picture_rows(sample))
        if sample["kind"] == "pair":
            for picture, row in rows:
                yield {"image": _image(picture["image"], folder), **row}
            continue
        yield {
            "id": sample["key"],
            "turns": placed(sample, layout.placement),
            "images": [_image(picture["image"], folder) for picture, _ in rows],
            "pictures": [row for _, row in rows],
            "source": json.dumps(sample["source"], ensure_ascii=False),
        }


def _image(image: ImageFile, folder: Folder) -> dict[str, object]:
    return {"bytes": folder.data(image), "path": Path(image["path"]).name}


def _check(shard: Shard, path: Path) -> None:
    """Read it again: the ids in their order, and every picture's bytes."""
    import pyarrow.parquet as pq

    expected = iter([(s["key"], [p["image"]["sha256"] for p in s["pictures"]]) for s in shard.samples])
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            for row in file.read_row_group(group).to_pylist():
                images = row["images"] if "images" in row else [row["image"]]
                found = [hashlib.sha256(image["bytes"]).hexdigest() for image in images]
                if (row["id"], found) != next(expected, None):
                    raise refuse(path, f"the row of `{row['id']}`")
    if next(expected, None) is not None:
        raise refuse(path, "rows are missing")
