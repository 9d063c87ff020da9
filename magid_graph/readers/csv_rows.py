"""CSV with a header line (`.tsv`: tabs): a row is an object of its columns."""

from __future__ import annotations

import csv
from collections.abc import Iterator

from magid_graph.errors import InputError
from magid_graph.readers.draft import Row
from magid_graph.readers.files import Part, extension, opened_text

_MAX_CELL_CHARS = 1 << 24
"""A quote that is never closed would take the rest of the file into one cell."""


def rows(part: Part) -> Iterator[Row]:
    """The rows that are not blank. Raises `InputError` where there is no header."""
    csv.field_size_limit(_MAX_CELL_CHARS)
    with opened_text(part, newline="") as text:
        lines = csv.reader(text, delimiter="\t" if extension(part.path) == ".tsv" else ",", strict=True)
        header = _next(lines)
        if header is None:
            return
        if isinstance(header, str) or len(set(header)) < len(header):
            raise InputError(f"`{part.name}` has no header line with a name for each column")
        end = lines.line_num
        while (cells := _next(lines)) is not None:
            line, end = end + 1, lines.line_num
            if isinstance(cells, str):
                yield Row(line, "", cells)
            elif cells:
                yield _row(line, header, cells)


def _row(line: int, header: list[str], cells: list[str]) -> Row:
    if len(cells) != len(header):
        return Row(line, cells, f"the row has {len(cells)} columns, the header {len(header)}")
    return Row(line, dict(zip(header, cells, strict=True)))


def _next(lines: Iterator[list[str]]) -> list[str] | str | None:
    """The next row, or what is wrong with it; `None` at the end."""
    try:
        return next(lines, None)
    except csv.Error as error:
        return f"the row is not valid CSV: {error}"
