"""Which files of a folder hold dialogues, and in which split each is."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from magid_graph.errors import InputError
from magid_graph.readers import dailydialog
from magid_graph.readers.files import CONTAINERS, Part, container_of, extension
from magid_graph.readers.splits import split_of
from magid_graph.readers.text import normalise

_NOTES = re.compile(
    r"(readme|licen[cs]e|copying|changelog|requirements|citation|notice)\b.*"
    r"|(dataset_infos?|dataset_dict|state|config|package(-lock)?)\.json|\..*",
    re.IGNORECASE,
)
"""What lies beside data sets and holds no dialogues."""
_LICENSE = re.compile(r"^license:\s*[\"']?([\w.+-]+)[\"']?\s*$", re.MULTILINE)


def parts_of(folder: Path) -> list[Part]:
    """The folder's files that may hold dialogues, in order of their names. Raises `InputError` where there are none."""
    license = _license_in(folder)
    found = [_part(path, folder, license) for path in sorted(_files(folder))]
    if not found:
        known = "`, `".join(sorted(CONTAINERS))
        raise InputError(f"`{folder}` holds no file with dialogues; known are `{known}`")
    return found


def part_of(path: Path) -> Part:
    """A single file. Raises `InputError` where it cannot be read."""
    name = normalise(path.name)
    split = split_of(PurePosixPath(path.parent.name, path.name))
    return Part(path, name, container_of(path), split, beside=dailydialog.beside(path))


def _part(path: Path, folder: Path, license: str | None) -> Part:
    relative = path.relative_to(folder)
    split = split_of(PurePosixPath(folder.name, *relative.parts))
    return replace(part_of(path), name=normalise(relative.as_posix()), split=split, license=license)


def _files(folder: Path) -> Iterator[Path]:
    # Links to files are followed (the hub's cache is made of them), links to folders are not: they may lead in circles.
    try:
        for place, folders, names in os.walk(folder, onerror=_raise):
            folders[:] = [name for name in folders if not name.startswith((".", "__"))]
            for name in names:
                path = Path(place, name)
                if extension(path) in CONTAINERS and not _NOTES.fullmatch(name) and not _is_beside(name):
                    yield path
    except OSError as error:
        raise InputError(f"`{error.filename or folder}` cannot be read: {error.strerror or error}") from error


def _is_beside(name: str) -> bool:
    return dailydialog.is_label_file(name)


def _raise(error: OSError) -> None:
    raise error


def _license_in(folder: Path) -> str | None:
    """As the front matter of a data set card says it."""
    try:
        text = (folder / "README.md").read_text("utf-8", "replace")[:20_000]
    except OSError:
        return None
    front = text.split("---", 2)[1] if text.startswith("---") and text.count("---") > 1 else ""
    found = _LICENSE.search(front)
    return found[1] if found else None
