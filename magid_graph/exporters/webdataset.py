"""`<split>/NNNNN.tar`: one sample per picture, as WebDataset loads it, with the side files that img2dataset writes.

`KEY.png`, `KEY.txt` and `KEY.json` stand together. `NNNNN.parquet` has the rows without the pictures,
`NNNNN_stats.json` the counts. A key is a hash of the picture's id: it holds no dot, and stays when shards move.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from magid_graph.exporters.features import PICTURE, TEXT, arrow_schema
from magid_graph.exporters.files import refuse
from magid_graph.exporters.folder import Folder
from magid_graph.exporters.layout import Layout
from magid_graph.exporters.rows import PictureRow, picture_rows
from magid_graph.exporters.samples import Picture, Sample
from magid_graph.exporters.shards import Shard, sharded

_MADE_HOW = ("webdataset", 1)
"""Changes when the files come out differently for the same samples."""


def write_webdataset(samples: Iterable[Sample], folder: Folder, layout: Layout) -> None:
    """Write the shards; those that have not changed are kept."""
    numbers: Counter[str] = Counter()
    for shard in sharded(_with_pictures(samples, folder), layout.shard_size):
        stem = f"{shard.split}/{numbers[shard.split]:05d}"
        numbers[shard.split] += 1
        _shard(shard, folder, stem)


def _with_pictures(samples: Iterable[Sample], folder: Folder) -> Iterator[Sample]:
    for sample in samples:
        folder.tally["samples"] += 1
        folder.tally["pictures"] += len(sample["pictures"])
        if sample["pictures"]:
            yield sample


def _shard(shard: Shard, folder: Folder, stem: str) -> None:
    content = shard.content(*_MADE_HOW)
    rows = [row for sample in shard.samples for row in picture_rows(sample)]
    if not folder.keep(f"{stem}.tar", content, images=shard.images()):
        with tarfile.open(folder.place(f"{stem}.tar"), "w", format=tarfile.USTAR_FORMAT) as tar:
            for picture, row in rows:
                for name, data in _files(picture, row, folder):
                    member = tarfile.TarInfo(name)
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
        _check(folder.made / f"{stem}.tar", [row for _, row in rows])
        folder.settle(f"{stem}.tar", content)
    if not folder.keep(f"{stem}.parquet", f"{content} side"):
        _write_side_file(folder.place(f"{stem}.parquet"), [row for _, row in rows])
        folder.settle(f"{stem}.parquet", f"{content} side")
    with folder.text(f"{stem}_stats.json") as file:
        count = len(rows)
        stats = {"count": count, "successes": count, "failed_to_download": 0, "failed_to_resize": 0}
        json.dump({**stats, "status_dict": {"success": count}}, file, indent=4)


def key_of(row: PictureRow) -> str:
    """The sample's name in the tar."""
    return hashlib.sha256(row["id"].encode()).hexdigest()[:16]


def _files(picture: Picture, row: PictureRow, folder: Folder) -> Iterator[tuple[str, bytes]]:
    key, suffix = key_of(row), Path(picture["image"]["path"]).suffix
    yield f"{key}{suffix}", folder.data(picture["image"])
    yield f"{key}.txt", row["text"].encode()
    yield f"{key}.json", json.dumps({"key": key, **row}, ensure_ascii=False).encode()


def _write_side_file(path: Path, rows: list[PictureRow]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = arrow_schema({**dict.fromkeys(("key", "caption", "status", "error_message"), TEXT), **PICTURE})
    told = [{"key": key_of(row), "caption": row["text"], "status": "success", **row} for row in rows]
    pq.write_table(pa.Table.from_pylist(told, schema), path)


def _check(path: Path, rows: list[PictureRow]) -> None:
    """Read it as WebDataset does: files of a sample together, the same fields in each, every picture whole."""
    with tarfile.open(path) as tar:
        found = list(_groups(tar))
    if [(key, sha256) for key, _, sha256 in found] != [(key_of(row), row["sha256"]) for row in rows]:
        raise refuse(path, "its samples")
    if len({names for _, names, _ in found}) > 1:
        raise refuse(path, "its samples have different fields")


def _groups(tar: tarfile.TarFile) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Neighbours whose names are the same up to the first dot: key, fields, the picture's hash."""
    for key, members in groupby(tar, key=lambda member: member.name.partition(".")[0]):
        names, sha256 = [], ""
        for member in members:
            names.append(member.name.partition(".")[2])
            if names[-1] not in ("txt", "json"):
                file = tar.extractfile(member)
                sha256 = hashlib.sha256(file.read() if file else b"").hexdigest()
        yield key, tuple(names), sha256
