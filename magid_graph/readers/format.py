"""What a format is: how it is told from the others, and how it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from magid_graph.config import ReaderSettings
from magid_graph.readers.draft import Draft
from magid_graph.readers.files import Part

Read = Callable[[Part, ReaderSettings], Iterator[Draft]]
"""Every reader is a generator of this signature: one draft per dialogue, in the file's order, in bounded memory."""

Kept = tuple[list[Part], dict[str, str]]
"""The files of a folder that are read, and why each of the others is not."""


def keep_all(parts: Sequence[Part]) -> Kept:
    return list(parts), {}


@dataclass(frozen=True, slots=True)
class Format:
    """One shape in which dialogues are published."""

    name: str
    """As `--format` takes it."""
    looks_like: str
    """How it is recognised, to follow "because"."""
    read: Read
    fits: Callable[[Any], bool] = lambda value: False
    """Whether a row of JSON, CSV or Parquet is in this shape."""
    fits_text: Callable[[Sequence[str]], bool] = lambda lines: False
    """Whether the first lines of a text file, blank ones left out, are in this shape."""
    dataset: str | None = None
    """The published data set that is always meant by it."""
    license: str | None = None
    """Under which that data set is published, where this is known."""
    is_tokenised: bool = False
    """Whether it is published as `do n't , you know ?`."""
    has_named_emoji: bool = False
    """Whether it is published with `:camera_with_flash:` for the emoji."""
    has_ids_per_split: bool = False
    """Whether its ids begin anew with every split."""
    choose: Callable[[Sequence[Part]], Kept] = keep_all
    """Of a folder's files, those to read: some data sets publish the same dialogues several times."""
