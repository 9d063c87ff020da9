"""Writing data sets: one format per file, each a view of a run that can be written again at any time.

A format is a function of one signature: it takes a stream of samples, writes into a `Folder`, and reads what it wrote
by the rules of those who will load it. Memory does not grow with the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from magid_graph.exporters.csv import write_csv
from magid_graph.exporters.folder import Folder
from magid_graph.exporters.imagefolder import write_imagefolder
from magid_graph.exporters.items import FinishedItem
from magid_graph.exporters.jsonl import write_jsonl
from magid_graph.exporters.layout import Layout
from magid_graph.exporters.llava import write_llava
from magid_graph.exporters.magid import write_magid
from magid_graph.exporters.openai import write_openai
from magid_graph.exporters.parquet import write_parquet
from magid_graph.exporters.recipe import write_recipe
from magid_graph.exporters.samples import Sample
from magid_graph.exporters.sharegpt import write_sharegpt
from magid_graph.exporters.webdataset import write_webdataset
from magid_graph.records import Kind

Write: TypeAlias = Callable[[Iterable[Sample], Folder, Layout], None]
"""Raises `DamagedPicture`, which names the picture, or `StorageFailed`; what was there before then stays as it was."""


@dataclass(frozen=True, slots=True)
class Format:
    """A way to write a data set."""

    write: Write
    data_files: str | None
    """Where `datasets` finds the rows of a split, with `{split}`; `None`: it has no loader for this format."""
    kinds: tuple[Kind, ...] = ("dialogue", "pairs")
    """The runs that it can show."""


FORMATS: dict[str, Format] = {
    "magid": Format(write_magid, None, ("dialogue",)),
    "imagefolder": Format(write_imagefolder, "{split}/**"),
    "parquet": Format(write_parquet, "data/{split}-*.parquet"),
    "webdataset": Format(write_webdataset, "{split}/*.tar"),
    "llava": Format(write_llava, "{split}.json"),
    "sharegpt": Format(write_sharegpt, "{split}.json"),
    "openai": Format(write_openai, "{split}.jsonl"),
    "csv": Format(write_csv, "{split}.csv"),
    "jsonl": Format(write_jsonl, "{split}.jsonl"),
    "recipe": Format(write_recipe, None),
}

__all__ = ["FORMATS", "FinishedItem", "Folder", "Format", "Layout", "Sample"]
