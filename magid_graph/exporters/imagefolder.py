"""`dataset/train/metadata.jsonl` and `dataset/train/images/`: what `datasets.load_dataset("imagefolder")` opens.

One row per accepted picture. Every key is in every row, `null` where there is nothing: the loader takes the schema from
the first rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TypedDict

from magid_graph.exporters.files import refuse, remove_others, replacing, ship
from magid_graph.exporters.items import FinishedItem, accepted_pictures, said
from magid_graph.records import Attempt


class PictureRow(TypedDict):
    """A row of `metadata.jsonl`."""

    file_name: str
    """Relative to `metadata.jsonl`; the loader makes it the column `image`."""
    text: str
    """The description that the picture was drawn from."""
    dialogue: str
    """Key of the dialogue in `magi_dataset.json`."""
    turn: int
    utterance: str
    speaker: str
    """Empty where the input names none: a column that is null in its first thousands of rows cannot hold text later."""
    clip_similarity: float | None
    clip_utterance: float | None
    clip_description: float | None
    aesthetic: float | None
    nsfw: float | None
    seed: int
    attempt: int
    """0-based: how often this moment was drawn before."""
    sha256: str


def write_imagefolder(items: Iterable[FinishedItem], run_dir: Path) -> Path:
    """Write a row for every accepted picture, and remove pictures that an earlier export left."""
    path = run_dir / "dataset" / "train" / "metadata.jsonl"
    names: set[str] = set()
    with replacing(path, lambda part: _check(part, path.parent)) as file:
        for item in items:
            for turn, attempts in sorted(accepted_pictures(item).items()):
                for attempt in attempts:
                    row = _row(item, turn, attempt, run_dir)
                    names.add(Path(row["file_name"]).name)
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
    remove_others(path.parent / "images", names)
    return path


def _row(item: FinishedItem, turn: int, attempt: Attempt, run_dir: Path) -> PictureRow:
    assert attempt["image"] is not None
    target = ship(attempt["image"], run_dir, run_dir / "dataset" / "train" / "images")
    utterance, scores = said(item, turn), attempt["scores"]
    return PictureRow(
        file_name=f"images/{target.name}",
        text=attempt["description"],
        dialogue=item["key"],
        turn=turn,
        utterance=utterance["text"],
        speaker=utterance["speaker"] or "",
        clip_similarity=scores["clip_similarity"],
        clip_utterance=scores["clip_utterance"],
        clip_description=scores["clip_description"],
        aesthetic=scores["aesthetic"],
        nsfw=scores["nsfw"],
        seed=attempt["seed"],
        attempt=attempt["n"],
        sha256=attempt["image"]["sha256"],
    )


def _check(part: Path, folder: Path) -> None:
    """Read it as the loader does: the same keys everywhere, pictures inside the folder and there."""
    with part.open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            if row.keys() != PictureRow.__annotations__.keys():
                raise refuse(part, f"the keys of `{row['file_name']}`")
            if Path(row["file_name"]).is_absolute() or ".." in Path(row["file_name"]).parts:
                raise refuse(part, f"`{row['file_name']}` is not inside the folder")
            if not (folder / row["file_name"]).is_file():
                raise refuse(part, f"`{row['file_name']}` is not there")
