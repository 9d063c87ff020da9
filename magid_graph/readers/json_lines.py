"""JSON Lines: one dialogue per line. A line that cannot be read is a bad row; the others are read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BufferedReader

import orjson

from magid_graph.readers import files
from magid_graph.readers.draft import Row


def rows(file: BufferedReader) -> Iterator[Row]:
    """The lines that are not blank."""
    number = 0
    while line := file.readline(files.MAX_LINE_BYTES):
        number += 1
        if len(line) == files.MAX_LINE_BYTES and not line.endswith(b"\n"):
            files.skip_line(file)
            yield Row(
                number, line[:64].decode("utf-8", "replace"), f"the line is longer than {files.MAX_LINE_BYTES:,} bytes"
            )
            continue
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError:
            if line.strip():
                yield _row(line, number)
        else:
            yield Row(number, value)


def _row(line: bytes, number: int) -> Row:
    """What the fast parser refused: lone surrogates and NaN are common and harmless, other faults get their place."""
    text = line.strip()
    indent = len(line) - len(line.lstrip())
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError as error:
        at = indent + error.start + 1
        return Row(number, text.decode("latin-1"), f"the line is not UTF-8 (byte {at} of the line)")
    try:
        return Row(number, json.loads(decoded, parse_constant=as_null))
    except json.JSONDecodeError as error:
        return Row(number, decoded, f"the line is not valid JSON: {error.msg} (column {indent + error.pos + 1})")
    except RecursionError:
        return Row(number, decoded, "the line is not valid JSON: too many brackets inside one another")
    except ValueError as error:
        return Row(number, decoded, f"the line is not valid JSON: {error}")


def as_null(_: str) -> None:
    """`NaN` and `Infinity` are not JSON, but Python writes them; read as `null`, they go no further."""
