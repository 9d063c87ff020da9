"""From the values of a file to dialogues with stable keys."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from magid_graph.errors import BadItem, InputError
from magid_graph.readers.shapes import given_id, turns_of
from magid_graph.readers.text import normalise
from magid_graph.records import BadRow, Dialogue, Source


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file: a value that may be a dialogue, or why there is none."""

    line: int
    """1-based line of the file at which the row begins."""
    value: Any = None
    problem: str | None = None
    """Why the row could not be read at all; `value` is then its text."""


def dialogues(rows: Iterable[Row], *, name: str, max_chars: int) -> Iterator[Dialogue | BadRow]:
    """A record for each row, with a key that no other has.

    The key is the given id, else a hash of the content; the second row with the same content gets `-2`, and so on, so
    that a copy is an item of its own. Raises `InputError`, naming both places, when two rows give the same id.
    """
    # A million places are held: one integer each takes a third of the memory of a tuple.
    places: dict[str, int] = {}
    copies: dict[str, int] = {}
    for index, row in enumerate(rows):
        given, record = _record(row, Source(file=name, index=index, line=row.line), max_chars)
        if given is None:
            record["key"] = _told_apart(record["key"], places, copies)
        if record["key"] in places:
            raise InputError(
                f"`{name}` gives the id `{_shown(record['key'])}` to two dialogues: {_named(places[record['key']])}"
                f" and {_named(_place(record))}; make ids unique, or leave them out"
            )
        places[record["key"]] = _place(record)
        yield record


def _told_apart(key: str, places: Mapping[str, int], copies: dict[str, int]) -> str:
    if key not in places:
        return key
    copies[key] = copies.get(key, 1) + 1
    return f"{key}-{copies[key]}"


def _place(record: Dialogue | BadRow) -> int:
    return record["source"]["index"] << 40 | record["source"].get("line", 0)


def _named(place: int) -> str:
    return f"number {(place >> 40) + 1} (line {place & (1 << 40) - 1})"


def _record(row: Row, source: Source, max_chars: int) -> tuple[str | None, Dialogue | BadRow]:
    given: str | None = None
    try:
        if row.problem is not None:
            raise BadItem(row.problem)
        given = given_id(row.value)
        turns = turns_of(row.value, max_chars=max_chars)
    except BadItem as fault:
        message = f"{fault} (`{source['file']}`, line {row.line})"
        return given, BadRow(key=given or _hash(row.value), cause=fault.cause, message=message, source=source)
    content = [[turn["speaker"], turn["text"]] for turn in turns]
    return given, Dialogue(key=given or _hash(content), turns=turns, source=source)


def _hash(content: Any) -> str:
    try:
        text = normalise(json.dumps(content, ensure_ascii=False, separators=(",", ":"), sort_keys=True))
    except RecursionError:
        text = "nested too deeply"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _shown(key: str) -> str:
    return key if len(key) <= 60 else f"{key[:57]}…"
