"""Runs that are made from a recorded one: a directory of their own inside it, which holds all that they need.

The original is only read. Pictures are linked, so that they take no room twice.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from magid_graph.config import Settings, fingerprint
from magid_graph.errors import StorageFailed, UsageError
from magid_graph.journal import Journal
from magid_graph.records import ImageFile
from magid_graph.run_dir import RunDir, open_run, write_manifest
from magid_graph.trace.rows import Rows


def begin(original: RunDir, place: str, settings: Settings, note: Mapping[str, Any]) -> RunDir:
    """A new directory `place/1`, `place/2`, … in the original's, with a `run.json` that says where it comes from.

    Raises:
        StorageFailed: it cannot be made.
    """
    number = 1
    while True:
        path = original.path / place / str(number)
        try:
            path.mkdir(parents=True)
            break
        except FileExistsError:
            number += 1
        except OSError as error:
            raise StorageFailed(f"`{path}` cannot be made: {error.strerror}") from error
    manifest = {
        **original.manifest,
        "identity": fingerprint(original.manifest["identity"], place, number),
        "settings": settings.model_dump(mode="json"),
        "models": settings.models.model_dump(),
        "seed": settings.run.seed,
        "derived": dict(note),
        "command": sys.argv[1:],
        "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    derived = RunDir(path, manifest, is_new=True)
    write_manifest(derived)
    return derived


def original_of(derived: RunDir) -> RunDir:
    """The run that this one was made from. Raises `UsageError` where it was made from none."""
    if "derived" not in derived.manifest:
        raise UsageError(f"`{derived.path}` is no branch; name two runs to compare them")
    return open_run(derived.path.resolve().parent.parent)


def branches_of(run: RunDir) -> list[Path]:
    """The branches that were made from this run, oldest first."""
    places = (file.parent for file in run.path.glob("branches/*/run.json"))
    return sorted((place for place in places if place.name.isdecimal()), key=lambda place: int(place.name))


def link(image: ImageFile, original: Path, derived: Path) -> None:
    """Bring a picture along; one that is missing in the original stays missing."""
    source, target = original / image["path"], derived / image["path"]
    if target.exists() or not source.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


class CallsOfBranch:
    """What the original has paid for, and what the branch adds to it; pictures come along."""

    def __init__(self, rows: Rows, original: Path, journal: Journal, branch: Path) -> None:
        self._rows = rows
        self._original = original
        self._journal = journal
        self._branch = branch

    def recall(self, call: str) -> dict[str, Any] | None:
        known = self._rows.call(call)
        if known is None:
            return None
        kind, value = known
        if "image" in value:
            link(value["image"], self._original, self._branch)
        self._journal.remember(call, kind, value)
        return value

    def remember(self, call: str, kind: str, value: dict[str, Any]) -> None:
        self._journal.remember(call, kind, value)
