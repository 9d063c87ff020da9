"""`<split>.csv` and `images/`: one row per picture, for spreadsheets and pandas."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

from magid_graph.exporters.folder import Folder
from magid_graph.exporters.layout import Layout
from magid_graph.exporters.rows import PictureRow, picture_rows
from magid_graph.exporters.samples import Sample

COLUMNS = ("file_name", *PictureRow.__annotations__)


def write_csv(samples: Iterable[Sample], folder: Folder, layout: Layout) -> None:
    """Write a row for every picture; a cell is empty where there is nothing."""
    with folder.split_files("{split}.csv", first=f"{','.join(COLUMNS)}\n") as files:
        for sample in samples:
            for picture, row in picture_rows(sample):
                files.write(sample["split"], _line({"file_name": folder.ship(picture["image"]), **row}))
                folder.tally["pictures"] += 1
            folder.tally["samples"] += 1
    files.check(_fault)


def _line(row: dict[str, object]) -> str:
    line = io.StringIO()
    # Cells are quoted for the characters of the line's end: with none, a cell of two lines would be two rows.
    csv.DictWriter(line, COLUMNS, lineterminator="\r\n").writerow(row)
    return line.getvalue().removesuffix("\r\n")


def _fault(lines: Iterator[str], at: Path) -> str | None:
    """Read it as a spreadsheet does: the same columns everywhere, every picture there."""
    for number, row in enumerate(csv.DictReader(lines), 1):
        if None in row or None in row.values():
            return f"row {number} has not {len(COLUMNS)} columns"
        if not (at.parent / row["file_name"]).is_file():
            return f"`{row['file_name']}` is not there"
    return None
