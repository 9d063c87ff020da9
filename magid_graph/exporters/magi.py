"""`dataset/magi_dataset.json`: the shape of the released MAGID data, with captions.

`{key: [["txt", utterance], ["img", file, caption], …]}`: a picture supports the text before it. The file is relative to
the folder of `magi_dataset.json`. Dialogues without pictures are rows too. One row per line, so that the file can be
read in a stream.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from magid_graph.exporters.files import refuse, replacing, ship
from magid_graph.exporters.items import FinishedItem, accepted_pictures


def write_magi(items: Iterable[FinishedItem], run_dir: Path) -> Path:
    """Write every dialogue that was worked on to its end, with its accepted pictures."""
    path = run_dir / "dataset" / "magi_dataset.json"
    with replacing(path, lambda part: _check(part, path.parent)) as file:
        file.write("{")
        separator = "\n"
        for item in items:
            if item["state"] in ("accepted", "rejected") and item["dialogue"] is not None:
                file.write(f"{separator}{_json(item['key'])}: {_json(_row(item, run_dir))}")
                separator = ",\n"
        file.write("\n}\n")
    return path


def _row(item: FinishedItem, run_dir: Path) -> list[list[str]]:
    pictures = accepted_pictures(item)
    row: list[list[str]] = []
    for at, turn in enumerate(item["dialogue"]["turns"] if item["dialogue"] else ()):
        row.append(["txt", turn["text"]])
        for attempt in pictures.get(at, ()):
            assert attempt["image"] is not None
            target = ship(attempt["image"], run_dir, run_dir / "dataset" / "train" / "images")
            row.append(["img", f"train/images/{target.name}", attempt["description"]])
    return row


def _check(part: Path, folder: Path) -> None:
    """Read it as its users do: text first, every picture after a text, every file there."""
    with part.open(encoding="utf-8") as file:
        for line in file:
            if line.strip() in ("{", "}"):
                continue
            ((key, row),) = json.loads(f"{{{line.strip().removesuffix(',')}}}").items()
            if row[0][0] != "txt" or not all(_is_entry(entry, folder) for entry in row):
                raise refuse(part, f"the row of `{key}`")


def _is_entry(entry: list[str], folder: Path) -> bool:
    match entry:
        case ["txt", str()]:
            return True
        case ["img", str(file), str()]:
            return (folder / file).is_file()
    return False


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
