"""Steps on files that a data set in the making is put together from."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from magid_graph.errors import StorageFailed

_AT_FDCWD, _EXCHANGE = -100, 2


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Faults of the disk become `StorageFailed`, naming the path."""
    try:
        yield
    except OSError as error:
        raise StorageFailed(f"`{path}` cannot be written: {error.strerror or error}") from error


def refuse(path: Path | str, why: str) -> StorageFailed:
    """The error for a file that does not read back by the rules of those who will read it."""
    return StorageFailed(f"`{path}` does not read back as it was written: {why}; the disk may be failing")


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def link_or_copy(origin: Path, target: Path) -> None:
    """The same bytes under another name: a hard link where the file system has them."""
    try:
        os.link(origin, target)
    except OSError:
        # Another file system, one without links, or too many of them.
        shutil.copyfile(origin, target)


def to_disk(path: Path) -> None:
    """Wait until the file's bytes are on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def aside(folder: Path) -> Path:
    """Where a folder waits for the moment in which another takes its place, on systems that cannot exchange two."""
    return folder.with_name(f".{folder.name}.aside")


def put_in_place(made: Path, folder: Path) -> None:
    """`made` becomes `folder`; what was there before is at `made` then, or nothing.

    In one step where the system can exchange two names, so that at no time is the data set missing or mixed.
    """
    if not folder.exists():
        made.rename(folder)
    elif not _exchanged(made, folder):
        folder.rename(aside(folder))
        made.rename(folder)
        aside(folder).rename(made)


def mend(folder: Path) -> None:
    """Bring back what a process left that was killed while it put a data set in place."""
    if aside(folder).exists():
        if folder.exists():
            shutil.rmtree(aside(folder))
        else:
            aside(folder).rename(folder)


def _exchanged(one: Path, other: Path) -> bool:
    """Whether the system has exchanged the two names."""
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None, use_errno=True)
        names = os.fsencode(one), os.fsencode(other)
        if sys.platform == "darwin":
            return bool(library.renamex_np(*names, _EXCHANGE) == 0)
        return bool(library.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _EXCHANGE) == 0)
    return False


@contextmanager
def replacing(path: Path, check: Callable[[Path], None] = lambda part: None) -> Iterator[TextIO]:
    """A neighbour of `path` to write to; it takes the place of `path` once it is on disk and `check` let it pass.

    Raises `StorageFailed` when it cannot be written. After any error, `path` is as it was.
    """
    part = path.with_name(f".{path.name}.part")
    with storing(path):
        try:
            with part.open("w", encoding="utf-8", newline="\n") as file:
                yield file
            to_disk(part)
            check(part)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
