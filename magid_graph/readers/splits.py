"""Which split of a data set a file or a row belongs to, by how it is called."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any

from magid_graph.records import Split

_SPLITS: dict[str, Split] = {
    "train": "train", "training": "train",
    "valid": "valid", "validation": "valid", "val": "valid", "dev": "valid",
    "test": "test",
}  # fmt: skip
_WORD = re.compile(r"[^\W\d_]+")


def split_named(name: Any) -> Split | None:
    """`validation` is `valid`; anything that is no name of a split is none."""
    return _SPLITS.get(name.strip().lower()) if isinstance(name, str) else None


def split_of(path: PurePath) -> Split | None:
    """By the first or last word of the file's name (`train_00`, `MultiModalDialogue_dev`), else by its folders."""
    words = _WORD.findall(path.name.partition(".")[0])
    named = [split_named(word) for word in (words[:1] + words[-1:])] + [split_named(one) for one in path.parts[-2::-1]]
    return next((split for split in named if split is not None), None)
