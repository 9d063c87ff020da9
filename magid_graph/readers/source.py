"""Where dialogues come from: a file, or standard input."""

from __future__ import annotations

import codecs
import json
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader, TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import TextIO

from magid_graph.errors import InputError, StorageFailed
from magid_graph.readers import json_lines, json_values, plain_text
from magid_graph.readers.rows import Row, dialogues
from magid_graph.readers.text import normalise
from magid_graph.records import BadRow, Dialogue

STDIN = "-"
FORMATS = {".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".txt": "txt"}
"""File name extensions and what they stand for."""
MAX_UTTERANCE_CHARS = 20_000


@dataclass(frozen=True, slots=True)
class Input:
    """Dialogues that can be read any number of times."""

    path: Path
    name: str
    """As it is called in messages and in `source`: the file's name, or `-`."""
    format: str

    def dialogues(
        self, *, limit: int | None = None, max_utterance_chars: int = MAX_UTTERANCE_CHARS
    ) -> Iterator[Dialogue | BadRow]:
        """One record per row, in order; `limit` stops after that many.

        Raises `InputError` for a problem of the whole, two equal ids among them. It may show only after some records:
        read to the end before any work is done.
        """
        with _opened(self.path) as file:
            rows = _not_empty(self._rows(file), self.name)
            yield from islice(dialogues(rows, name=self.name, max_chars=max_utterance_chars), limit)

    def _rows(self, file: BufferedReader) -> Iterator[Row]:
        if self.format == "jsonl":
            yield from json_lines.rows(file, self.name)
            return
        with _utf8(file, self.name) as text:
            yield from json_values.rows(text, self.name) if self.format == "json" else plain_text.rows(text)


@contextmanager
def open_input(path: Path | str, *, format: str | None = None) -> Iterator[Input]:
    """The input at this path; `-` is standard input, which is kept in a temporary file meanwhile.

    Raises `InputError` when there is no such file, or when neither its name nor `format` tells what it holds.
    """
    if format is not None and format not in FORMATS.values():
        raise InputError(f"`{format}` is not a format; there are {_known(FORMATS.values())}")
    if str(path) != STDIN:
        _check_file(Path(path))
        yield Input(Path(path), normalise(Path(path).name), format or _format_of(Path(path)))
        return
    with tempfile.TemporaryDirectory(prefix="magid-graph-") as folder:
        copy = Path(folder) / "stdin"
        _keep_stdin(copy)
        yield Input(copy, STDIN, format or _sniffed(copy))


def read(
    path: Path | str,
    *,
    format: str | None = None,
    limit: int | None = None,
    max_utterance_chars: int = MAX_UTTERANCE_CHARS,
) -> Iterator[Dialogue | BadRow]:
    """`open_input` and `Input.dialogues` in one, for reading once."""
    with open_input(path, format=format) as source:
        yield from source.dialogues(limit=limit, max_utterance_chars=max_utterance_chars)


def _keep_stdin(copy: Path) -> None:
    try:
        with copy.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
    except OSError as error:
        raise StorageFailed(f"standard input cannot be kept in `{copy}`: {error.strerror or error}") from error


def _format_of(path: Path) -> str:
    found = FORMATS.get(path.suffix.lower())
    if found is None:
        raise InputError(f"`{path.name}` has no known extension; name it {_known(FORMATS)}, or give its format")
    return found


def _check_file(path: Path) -> None:
    if not path.exists():
        raise InputError(f"`{path}` does not exist")
    if path.is_dir():
        raise InputError(f"`{path}` is a directory; name a file in it")


def _known(names: Iterable[str]) -> str:
    listed = sorted(set(names))
    return f"`{'`, `'.join(listed[:-1])}` or `{listed[-1]}`"


def _sniffed(path: Path) -> str:
    """The format of what came on standard input: JSON Lines when its first line is a whole value and more follow."""
    with _opened(path) as file:
        lines = (line for line in file if line.strip())
        first, more = next(lines, b""), next(lines, b"")
    if not first.lstrip().startswith((b"[", b"{")):
        return "txt"
    try:
        json.loads(first)
    except ValueError:
        return "json"
    return "jsonl" if more else "json"


@contextmanager
def _opened(path: Path) -> Iterator[BufferedReader]:
    """The file behind its byte order mark. Raises `InputError`."""
    _check_file(path)
    try:
        with path.open("rb") as file:
            head = file.peek(4)[:4]
            _check_encoding(head, path.name)
            file.read(len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0)
            yield file
    except OSError as error:
        raise InputError(f"`{path}` cannot be read: {error.strerror or error}") from error


def _check_encoding(head: bytes, name: str) -> None:
    marks = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    without_mark = len(head) == 4 and (head[1::2] == b"\0\0" or head[::2] == b"\0\0")
    if head.startswith(marks) or without_mark:
        raise InputError(f"`{name}` is UTF-16 or UTF-32; save it as UTF-8")


@contextmanager
def _utf8(file: BufferedReader, name: str) -> Iterator[TextIO]:
    """The file as text. Raises `InputError` with the offset of the first byte that is not UTF-8."""
    text = TextIOWrapper(file, encoding="utf-8")
    try:
        yield text
    except UnicodeDecodeError as error:
        raise InputError(f"`{name}` is not UTF-8: {error.reason} at byte {_bad_byte(file):,}") from error


def _bad_byte(file: BufferedReader) -> int:
    """Where decoding fails, found by decoding once more: the error knows its place in a piece of the file only."""
    decoder, passed = codecs.getincrementaldecoder("utf-8")(), 0
    file.seek(0)
    for piece in iter(lambda: file.read(1 << 16), b""):
        pending = len(decoder.getstate()[0])
        try:
            decoder.decode(piece)
        except UnicodeDecodeError as error:
            return passed - pending + error.start
        passed += len(piece)
    return passed - len(decoder.getstate()[0])


def _not_empty(rows: Iterator[Row], name: str) -> Iterator[Row]:
    """The rows. Raises `InputError` when there are none."""
    first = next(rows, None)
    if first is None:
        raise InputError(f"`{name}` is empty: it holds no dialogue")
    yield first
    yield from rows
