"""Files that are complete, right, or not there."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from magid_graph.errors import DamagedPicture, StorageFailed
from magid_graph.records import ImageFile


@contextmanager
def replacing(path: Path, check: Callable[[Path], None]) -> Iterator[TextIO]:
    """A neighbour of `path` to write to; it takes the place of `path` once it is on disk and `check` let it pass.

    Raises `StorageFailed` when it cannot be written. After any error, `path` is as it was.
    """
    with _storing(path), _neighbour(path) as part:
        with part.open("w", encoding="utf-8", newline="\n") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        check(part)
        part.replace(path)


def ship(image: ImageFile, run_dir: Path, images_dir: Path) -> Path:
    """The picture as a file of `images_dir`: a hard link where the file system has them, else a copy.

    Raises `DamagedPicture` unless its bytes are those that were judged.
    """
    origin = run_dir / image["path"]
    target = images_dir / (image["sha256"] + origin.suffix)
    if not origin.is_file():
        raise DamagedPicture(f"`{origin}` is missing; it cannot be shipped")
    with _storing(target):
        if target.exists() and target.samefile(origin):
            _check_picture(origin, image)
            return target
        with _neighbour(target) as part:
            _link_or_copy(origin, part)
            # The file that is shipped is the one that is read: a link is the picture, a copy may differ from it.
            _check_picture(part, image)
            part.replace(target)
    return target


def _check_picture(path: Path, image: ImageFile) -> None:
    """Raise `DamagedPicture` unless the file's bytes are those of the image."""
    try:
        with path.open("rb") as file:
            is_intact = hashlib.file_digest(file, "sha256").hexdigest() == image["sha256"]
    except OSError as error:
        raise DamagedPicture(f"`{image['path']}` cannot be read ({error.strerror}); it cannot be shipped") from error
    if not is_intact:
        raise DamagedPicture(f"`{image['path']}` is not the picture that was judged")


def remove_others(folder: Path, kept: set[str]) -> None:
    """Delete the files of a folder that an earlier export left and this one does not name."""
    with _storing(folder):
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.name not in kept and path.is_file():
                path.unlink()


def refuse(path: Path, why: str) -> StorageFailed:
    """The error for a file that does not read back as it was written."""
    return StorageFailed(f"`{path}` does not read back as it was written: {why}; the disk may be failing")


@contextmanager
def _storing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageFailed(f"`{path}` cannot be written: {error.strerror or error}") from error


@contextmanager
def _neighbour(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    os.close(handle)
    part = Path(name)
    part.chmod(0o644)
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


def _link_or_copy(origin: Path, part: Path) -> None:
    part.unlink()
    try:
        part.hardlink_to(origin)
    except OSError:
        # Another file system, or one without links.
        shutil.copyfile(origin, part)
