"""`.jsonl`: one dialogue per line. A line that cannot be read is a bad row; the others are read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import BinaryIO

from magid_graph.errors import InputError
from magid_graph.readers.rows import Row

MAX_LINE_BYTES = 1 << 26
"""64 MiB: a longer line is skipped without being held in memory."""


def rows(file: BinaryIO, name: str) -> Iterator[Row]:
    """The lines that are not blank. Raises `InputError` where the file is one JSON document over many lines."""
    number, is_first = 0, True
    while line := file.readline(MAX_LINE_BYTES):
        number += 1
        if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
            _skip_line(file)
            yield Row(number, line[:64].decode("utf-8", "replace"), f"the line is longer than {MAX_LINE_BYTES:,} bytes")
        elif text := line.strip():
            if is_first and text in (b"[", b"{"):
                raise InputError(f"`{name}` is one JSON document, not one per line; name the file `.json`")
            yield _row(text, number, len(line) - len(line.lstrip()))
        is_first = is_first and not line.strip()


def _row(line: bytes, number: int, indent: int) -> Row:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        return Row(number, line.decode("latin-1"), f"the line is not UTF-8 (byte {indent + error.start} of the line)")
    try:
        return Row(number, json.loads(text))
    except json.JSONDecodeError as error:
        return Row(number, text, f"the line is not valid JSON: {error.msg} (column {indent + error.pos + 1})")
    except RecursionError:
        return Row(number, text, "the line is not valid JSON: too many brackets inside one another")
    except ValueError as error:
        return Row(number, text, f"the line is not valid JSON: {error}")


def _skip_line(file: BinaryIO) -> None:
    while (piece := file.readline(1 << 20)) and not piece.endswith(b"\n"):
        pass
