"""Opening the files of an input, and what their first bytes tell about them."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader, TextIOWrapper
from pathlib import Path
from typing import Literal, TextIO

import orjson

from magid_graph.errors import InputError
from magid_graph.records import Split

Container = Literal["json", "jsonl", "txt", "csv", "parquet", "arrow"]

CONTAINERS: dict[str, Container] = {
    ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".txt": "txt",
    ".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".arrow": "arrow",
}  # fmt: skip
"""File name extensions and what they stand for; `.gz` may follow."""

MAX_LINE_BYTES = 1 << 26
"""64 MiB: a longer line is skipped without being held in memory."""
_HEAD_BYTES = 1 << 19
"""How much is looked at to tell JSON Lines from a JSON document."""
_BUFFER_BYTES = 1 << 18
"""What is read from the disk at once: with the usual 8 KiB, taking a line out takes more than twice as long."""
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Part:
    """One file of an input."""

    path: Path
    name: str
    """As it is called in messages and in `source`."""
    container: Container
    split: Split | None = None
    license: str | None = None
    beside: tuple[Path, ...] = ()
    """Files with labels of its rows."""


def extension(path: Path) -> str:
    """In lower case; that before `.gz`, where it ends so."""
    return Path(path.stem).suffix.lower() if path.suffix.lower() == ".gz" else path.suffix.lower()


def check_file(path: Path) -> None:
    """Raises `InputError` where nothing can be read."""
    if not path.exists():
        raise InputError(f"`{path}` does not exist")
    if path.is_dir():
        raise InputError(f"`{path}` is a directory; name a file in it")
    if not path.is_file():
        raise InputError(f"`{path}` is no regular file; use `-` to read standard input")


def container_of(path: Path, *, is_named: bool = True) -> Container:
    """What kind of file this is, by its content where that is plain, else by its name.

    Raises `InputError` where neither tells; without a name (standard input), it is then text.
    """
    by_name = CONTAINERS.get(extension(path)) if is_named else None
    if by_name in ("csv", "parquet", "arrow"):
        return by_name
    with opened(path) as file:
        first = next((line for line in iter(lambda: file.readline(_HEAD_BYTES), b"") if not line.isspace()), b"")
        has_more = bool(file.read(64).strip())
    if first.startswith(b"PAR1"):
        return "parquet"
    found = _json_or_lines(first, by_name, has_more=has_more)
    if found is None and by_name is None and is_named:
        known = "`, `".join(sorted(CONTAINERS))
        raise InputError(f"`{path.name}` has no known extension; name it `{known}`")
    return found or by_name or "txt"


def _json_or_lines(first: bytes, by_name: Container | None, *, has_more: bool) -> Container | None:
    """By the first line: a whole value of its own, with more lines after it, is JSON Lines."""
    if not first.lstrip().startswith((b"[", b"{")):
        return None
    if first.strip() in (b"[", b"{") and by_name != "txt":
        return "json"
    if len(first) == _HEAD_BYTES and not first.endswith(b"\n"):
        return by_name or "json"
    try:
        orjson.loads(first)
    except ValueError:
        return by_name or "json"
    return "jsonl" if has_more or by_name == "jsonl" else "json"


@contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
    """The file's bytes behind its byte order mark, unpacked where it is gzip. Raises `InputError`."""
    check_file(path)
    try:
        with path.open("rb", buffering=0) as raw, _unpacked(io.BufferedReader(raw, _BUFFER_BYTES)) as file:
            head = file.peek(4)[:4]
            _check_encoding(head, path.name)
            file.read(len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0)
            yield file
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise InputError(f"`{path.name}` is damaged gzip: {error}") from error
    except OSError as error:
        raise InputError(f"`{path}` cannot be read: {error.strerror or error}") from error


def _unpacked(raw: BufferedReader) -> BufferedReader:
    if not raw.peek(2).startswith(_GZIP):
        return raw
    return io.BufferedReader(gzip.GzipFile(fileobj=raw), _BUFFER_BYTES)


def _check_encoding(head: bytes, name: str) -> None:
    marks = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    without_mark = len(head) == 4 and (head[1::2] == b"\0\0" or head[::2] == b"\0\0")
    if head.startswith(marks) or without_mark:
        raise InputError(f"`{name}` is UTF-16 or UTF-32; save it as UTF-8")


@contextmanager
def opened_text(part: Part, *, newline: str | None = None) -> Iterator[TextIO]:
    """The file as text. Raises `InputError` with the offset of the first byte that is not UTF-8."""
    with opened(part.path) as file:
        text = TextIOWrapper(file, encoding="utf-8", newline=newline)
        try:
            yield text
        except UnicodeDecodeError as error:
            at = _bad_byte(part.path)
            raise InputError(f"`{part.name}` is not UTF-8: {error.reason} at byte {at:,}") from error


def _bad_byte(path: Path) -> int:
    """Where decoding fails, found by decoding once more: the error knows its place in a piece of the file only."""
    with opened(path) as file:
        decoder, passed = codecs.getincrementaldecoder("utf-8")(), file.tell()
        for piece in iter(lambda: file.read(1 << 16), b""):
            pending = len(decoder.getstate()[0])
            try:
                decoder.decode(piece)
            except UnicodeDecodeError as error:
                return passed - pending + error.start
            passed += len(piece)
        return passed - len(decoder.getstate()[0])


def text_lines(part: Part) -> Iterator[tuple[int, str, str | None]]:
    """The number, text and problem of each line; a line that is too long or not UTF-8 has one, the others are read."""
    with opened(part.path) as file:
        number = 0
        while line := file.readline(MAX_LINE_BYTES):
            number += 1
            if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
                skip_line(file)
                yield number, line[:64].decode("latin-1"), f"the line is longer than {MAX_LINE_BYTES:,} bytes"
                continue
            try:
                yield number, line.decode("utf-8").rstrip("\r\n"), None
            except UnicodeDecodeError as error:
                yield number, line.decode("latin-1").rstrip("\r\n"), f"the line is not UTF-8 (byte {error.start + 1})"


def skip_line(file: BufferedReader) -> None:
    """Read to the end of the line, without holding it in memory."""
    while (piece := file.readline(1 << 20)) and not piece.endswith(b"\n"):
        pass
