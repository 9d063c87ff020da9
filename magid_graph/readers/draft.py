"""What a reader makes of one row: a dialogue in the words of its source, before they are cleaned and given a key."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from magid_graph.errors import BadItem
from magid_graph.readers.text import normalise
from magid_graph.records import Placement, SourcePicture

SPEAKERS = ("A", "B")
"""Names for the two people of a data set that does not name them."""


@dataclass(slots=True)
class Row:
    """One row of a file: a value that may be a dialogue, or why there is none.

    Not frozen: making a frozen one takes a tenth of the time in which a dialogue is read.
    """

    line: int
    """1-based line of the file at which the row begins."""
    value: Any = None
    problem: str | None = None
    """Why the row could not be read at all; `value` is then its text."""
    name: str | None = None
    """The key under which it stands, in a file that is one object of dialogues."""
    split: str | None = None
    """The key of the list in which it stands, in a file that is one object of lists."""


@dataclass(slots=True)
class Draft:
    """One dialogue as its source says it, or why it cannot be read."""

    line: int = 0
    turns: list[tuple[str | None, str]] = field(default_factory=list)
    """Speaker and text."""
    id: Any = None
    split: Any = None
    license: Any = None
    pictures: list[SourcePicture] = field(default_factory=list)
    labels: dict[str, object] = field(default_factory=dict)
    problem: str | None = None
    raw: Any = None
    """The row itself, where there is a problem."""

    def say(self, speaker: str | None, text: str) -> None:
        self.turns.append((speaker, text))

    def show(self, placement: Placement, *, score: Any = None, **what: Any) -> None:
        """A picture that belongs to the turn said last; to the first one, where none was said yet.

        `score` and `what` are fields of `SourcePicture`; those that are missing, empty or of another type are left out.
        """
        picture: SourcePicture = {"turn": max(0, len(self.turns) - 1), "placement": placement}
        if isinstance(score, (int, float)) and not isinstance(score, bool) and math.isfinite(score):
            picture["score"] = float(score)
        for name, value in what.items():
            text = str(value) if type(value) is int else value  # a boolean is no name
            if isinstance(text, str) and (text := normalise(text).strip()):
                picture[name] = text  # type: ignore[literal-required]
        self.pictures.append(picture)


def drafts(rows: Iterable[Row], read: Callable[[Any], Draft], *, id: str = "id") -> Iterator[Draft]:
    """A draft per row, in order. `read` raises `BadItem` for a value that it cannot use.

    `id` is the field with the row's own id, by which a row that cannot be used is still known.
    """
    for row in rows:
        if row.problem is not None:
            yield Draft(row.line, problem=row.problem, raw=row.value)
            continue
        try:
            draft = read(row.value)
        except BadItem as fault:
            known = row.value if isinstance(row.value, dict) else {}
            draft = Draft(problem=str(fault), raw=row.value, id=known.get(id), split=known.get("split"))
        draft.line = row.line
        if draft.id is None:
            draft.id = row.name
        if draft.split is None:
            draft.split = row.split
        yield draft


def alternate(at: int) -> str:
    """Who says the turn at this position, where two people take turns."""
    return SPEAKERS[at % 2]
