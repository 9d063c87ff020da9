"""The input as a file: standard input is read once into a temporary one, so that it can be hashed and then parsed."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from magid_graph.errors import InputError


@contextmanager
def spooled(source: str) -> Iterator[tuple[Path, str]]:
    """The path to read, and the stem that a run is named after.

    Raises:
        InputError: there is no such file, or it is a directory or empty.
    """
    if source != "-":
        yield _checked(Path(source)), Path(source).stem
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stdin"
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        if not path.stat().st_size:
            raise InputError("standard input is empty")
        yield path, "stdin"


def _checked(path: Path) -> Path:
    if path.is_dir():
        raise InputError(f"`{path}` is a directory; name a .json, .jsonl or .txt file")
    if not path.exists():
        raise InputError(f"there is no file `{path}`")
    if not path.stat().st_size:
        raise InputError(f"`{path}` is empty")
    return path
