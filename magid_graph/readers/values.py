"""The rows of a file, whatever container they are kept in."""

from __future__ import annotations

from collections.abc import Iterator

from magid_graph.readers import columnar, csv_rows, json_lines, json_values
from magid_graph.readers.draft import Row
from magid_graph.readers.files import Part, opened, opened_text


def values(part: Part) -> Iterator[Row]:
    """One row after the other, in bounded memory. Raises `InputError` for a problem of the file as a whole."""
    match part.container:
        case "jsonl":
            with opened(part.path) as file:
                yield from json_lines.rows(file)
        case "json":
            with opened_text(part) as text:
                yield from json_values.rows(text, part.name)
        case "csv":
            yield from csv_rows.rows(part)
        case "parquet" | "arrow":
            yield from columnar.rows(part)
        case "txt":
            raise AssertionError("a text file has lines, not values")
