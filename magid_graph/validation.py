"""`validate`: what an input holds, counted in one pass and in bounded memory."""

from __future__ import annotations

from collections import Counter
from typing import TypedDict

from magid_graph.readers import Input
from magid_graph.records import Dialogue, is_bad

_SHOWN_DIALOGUES = 2
_SHOWN_TURNS = 6
_SHOWN_CHARS = 100
_SHOWN_PROBLEMS = 20
_MOST_NAMES = 100
"""Speakers are counted to here: the names of a large data set are no use to anybody."""


class File(TypedDict):
    """One file that was read."""

    file: str
    split: str | None
    dialogues: int
    unreadable: int


class Shown(TypedDict):
    """One of the first dialogues."""

    key: str
    turns: list[str]


class Report(TypedDict):
    """What `validate` found."""

    input: str
    format: str
    why: str
    dataset: str | None
    licenses: list[str]
    files: list[File]
    left_out: dict[str, str]
    """Files that are not read, and why not."""
    dialogues: int
    turns: int
    speakers: str
    """How many, or `no`."""
    pictures: int
    """Ground truth that came with the dialogues."""
    splits: dict[str, int]
    """Dialogues by split, as their rows or files say it."""
    unreadable: int
    problems: list[str]
    """The first of them."""
    first: list[Shown]


def report_on(source: Input, *, limit: int | None, max_utterance_chars: int) -> Report:
    """Read the input, to its end or to the limit.

    Raises:
        InputError: it cannot be read as a whole.
    """
    good: Counter[str] = Counter()
    bad: Counter[str] = Counter()
    sums: Counter[str] = Counter()
    splits: Counter[str] = Counter()
    names: set[str] = set()
    licenses: set[str] = set()
    problems: list[str] = []
    first: list[Shown] = []
    for row in source.dialogues(limit=limit, max_utterance_chars=max_utterance_chars):
        where = row["source"]
        if is_bad(row):
            bad[where["file"]] += 1
            problems += [row["message"]][: _SHOWN_PROBLEMS - len(problems)]
            continue
        good[where["file"]] += 1
        splits.update([where["split"]] if "split" in where else [])
        licenses.update([where["license"]] if "license" in where and len(licenses) < _MOST_NAMES else [])
        sums.update(turns=len(row["turns"]), pictures=len(row.get("pictures", ())))
        if len(names) <= _MOST_NAMES:
            names.update(turn["speaker"] for turn in row["turns"] if turn["speaker"])
        if len(first) < _SHOWN_DIALOGUES:
            first.append(_shown(row))
    found = source.found
    return Report(
        input=source.name,
        format=found.form.name,
        why=found.why,
        dataset=found.form.dataset,
        licenses=sorted(licenses),
        files=[
            File(file=part.name, split=part.split, dialogues=good[part.name], unreadable=bad[part.name])
            for part in found.parts
        ],
        left_out=found.left_out,
        dialogues=good.total(),
        turns=sums["turns"],
        speakers=f"more than {_MOST_NAMES}" if len(names) > _MOST_NAMES else str(len(names) or "no"),
        pictures=sums["pictures"],
        splits=dict(splits),
        unreadable=bad.total(),
        problems=problems,
        first=first,
    )


def _shown(row: Dialogue) -> Shown:
    """The first turns, with the pictures that came with them."""
    pictures = Counter(picture["turn"] for picture in row.get("pictures", ()))
    lines = []
    for at, turn in enumerate(row["turns"][:_SHOWN_TURNS]):
        name = f"{turn['speaker']}: " if turn["speaker"] else ""
        text = " ".join(turn["text"].split())
        text = text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"
        lines.append(f"{name}{text}" + (f"  [{pictures[at]} of its own pictures]" if pictures[at] else ""))
    if len(row["turns"]) > _SHOWN_TURNS:
        lines.append(f"… {len(row['turns']) - _SHOWN_TURNS} more turns")
    return Shown(key=row["key"], turns=lines)
