"""Where dialogues come from: a file, a folder, or standard input."""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from magid_graph.config import ReaderSettings, fingerprint
from magid_graph.errors import InputError, StorageFailed
from magid_graph.readers.detect import Found, detect
from magid_graph.readers.files import Part, check_file, container_of
from magid_graph.readers.finishing import Finishing
from magid_graph.readers.folder import part_of, parts_of
from magid_graph.readers.text import normalise
from magid_graph.records import BadRow, Dialogue

STDIN = "-"
MAX_UTTERANCE_CHARS = 20_000


@dataclass(frozen=True, slots=True)
class Input:
    """Dialogues that can be read any number of times."""

    name: str
    """As it is called in messages: the file's or the folder's name, or `-`."""
    found: Found
    settings: ReaderSettings
    is_folder: bool

    @property
    def stem(self) -> str:
        """What a run of it is called."""
        if self.name == STDIN:
            return "stdin"
        return self.name if self.is_folder else Path(self.name.removesuffix(".gz")).stem

    def dialogues(
        self, *, limit: int | None = None, max_utterance_chars: int = MAX_UTTERANCE_CHARS
    ) -> Iterator[Dialogue | BadRow]:
        """One record per row, in order; `limit` stops after that many.

        Raises `InputError` for a problem of the whole. It may show only after some records: read to the end before any
        work is done.
        """
        finishing = Finishing(self.found.parts, self.found.form, self.settings, max_chars=max_utterance_chars)
        yield from islice(_not_empty(finishing.records(), self.name), limit)

    def sha256(self) -> str:
        """Changes with whatever the records depend on besides the settings.

        For a file it is that of its bytes; for a folder, of the names, splits and bytes of those of its files that are
        read. Pictures beside them are not looked at.
        """
        parts = self.found.parts
        if not self.is_folder and not parts[0].beside:
            return _sha256_of(parts[0].path)
        return fingerprint([[part.name, part.split, part.license, *_hashes(part)] for part in parts])


@contextmanager
def open_input(path: Path | str, settings: ReaderSettings | None = None) -> Iterator[Input]:
    """The input at this path; `-` is standard input, which is kept in a temporary file meanwhile.

    Raises `InputError` when there is no such file, or when it is in no format that is known or asked for.
    """
    settings = settings or ReaderSettings()
    if str(path) != STDIN:
        yield _input(Path(path), settings)
        return
    with tempfile.TemporaryDirectory(prefix="magid-graph-") as folder:
        copy = Path(folder) / "stdin"
        _keep_stdin(copy)
        part = Part(copy, STDIN, container_of(copy, is_named=False))
        yield Input(STDIN, detect([part], settings, name=STDIN), settings, is_folder=False)


def read(
    path: Path | str,
    settings: ReaderSettings | None = None,
    *,
    limit: int | None = None,
    max_utterance_chars: int = MAX_UTTERANCE_CHARS,
) -> Iterator[Dialogue | BadRow]:
    """`open_input` and `Input.dialogues` in one, for reading once."""
    with open_input(path, settings) as source:
        yield from source.dialogues(limit=limit, max_utterance_chars=max_utterance_chars)


def _input(path: Path, settings: ReaderSettings) -> Input:
    is_folder = path.is_dir()
    if not is_folder:
        check_file(path)
    parts = parts_of(path) if is_folder else [part_of(path)]
    name = normalise(path.resolve().name if is_folder else path.name)
    return Input(name, detect(parts, settings, name=name), settings, is_folder)


def _keep_stdin(copy: Path) -> None:
    try:
        with copy.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
    except OSError as error:
        raise StorageFailed(f"standard input cannot be kept in `{copy}`: {error.strerror or error}") from error


def _hashes(part: Part) -> list[str]:
    return [_sha256_of(path) for path in (part.path, *part.beside)]


def _sha256_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"`{path}` cannot be read: {error.strerror or error}") from error


def _not_empty(records: Iterator[Dialogue | BadRow], name: str) -> Iterator[Dialogue | BadRow]:
    """The records. Raises `InputError` when there are none."""
    first = next(records, None)
    if first is None:
        raise InputError(f"`{name}` is empty: it holds no dialogue")
    yield first
    yield from records
