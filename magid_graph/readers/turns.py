"""The plain shape: a list of turns, or `{id, turns}`.

A turn is a string, or `{speaker, text}` (`speaker` may be missing). `{messages}` among them are read as chat messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

from magid_graph.config import ReaderSettings
from magid_graph.errors import BadItem, InputError
from magid_graph.readers import openai_chat
from magid_graph.readers.draft import Draft, Row, drafts
from magid_graph.readers.fields import kind, speaker_of, text_of
from magid_graph.readers.files import Part
from magid_graph.readers.format import Format
from magid_graph.readers.values import values

_SHAPES = "a list of turns, or an object with `turns` or `messages`"
_MAX_BARE_TURNS = 10_000
"""A list of more strings than this is no one dialogue."""


def read(part: Part, settings: ReaderSettings) -> Iterator[Draft]:
    rows = values(part)
    return drafts(_told_apart(rows, part.name) if part.container == "json" else rows, dialogue)


def dialogue(value: Any) -> Draft:
    """The dialogue in one row. Raises `BadItem`, which names the turn."""
    if isinstance(value, dict):
        if "turns" not in value and "messages" not in value:
            raise BadItem(f"the object has neither `turns` nor `messages`; a dialogue is {_SHAPES}")
        if "turns" not in value:
            return openai_chat.dialogue(value)
        draft = Draft(id=value.get("id"), split=value.get("split"), license=value.get("license"))
        entries = value["turns"]
        if not isinstance(entries, list):
            raise BadItem(f"`turns` is {kind(entries)}; it must be a list")
    else:
        draft, entries = Draft(), value
    if not isinstance(entries, list):
        raise BadItem(f"the row is {kind(value)}; a dialogue is {_SHAPES}")
    say = draft.turns.append
    for at, entry in enumerate(entries):
        # Nearly all turns are of the first kind; looking at it first reads a file in three quarters of the time.
        if type(entry) is dict and type(text := entry.get("text")) is str and type(by := entry.get("speaker")) is str:
            say((by, text))
        else:
            _add(draft, entry, at)
    return draft


def _add(draft: Draft, entry: Any, at: int) -> None:
    if isinstance(entry, str):
        draft.say(None, entry)
    elif not isinstance(entry, dict):
        raise BadItem(f"turn {at} is {kind(entry)}; it must be a string or an object with `text`")
    elif "text" not in entry and ("role" in entry or "content" in entry):
        openai_chat.add(draft, entry, at)
    else:
        draft.say(speaker_of(entry.get("speaker", entry.get("name")), at), text_of(entry.get("text"), at))


def is_dialogue(value: Any) -> bool:
    """Whether the value is shaped like a whole dialogue, good or bad."""
    return isinstance(value, list) or (isinstance(value, dict) and ("turns" in value or "messages" in value))


def is_turn(value: Any) -> bool:
    """Whether the value is shaped like a single turn."""
    return isinstance(value, str) or (
        isinstance(value, dict) and not is_dialogue(value) and ("text" in value or "content" in value)
    )


def _told_apart(elements: Iterator[Row], name: str) -> Iterator[Row]:
    """The document's rows, or all of them as one where each is a turn."""
    turns: list[Row] = []
    for row in elements:
        if is_dialogue(row.value) or not (turns or is_turn(row.value)):
            # What looked like turns before was a bad row each.
            yield from chain(turns, [row], elements)
            return
        turns.append(row)
        if len(turns) > _MAX_BARE_TURNS:
            raise InputError(f"`{name}` is a list of strings, too long to be one dialogue; write a list of dialogues")
    if turns:
        yield Row(turns[0].line, [row.value for row in turns])


FORMAT = Format(
    name="turns",
    looks_like="its rows are lists of turns, or have `turns`",
    read=read,
    fits=lambda value: _is_plain_list(value) or (isinstance(value, dict) and "turns" in value) or is_turn(value),
)


def _is_plain_list(value: Any) -> bool:
    return isinstance(value, list) and not any(isinstance(one, list) for one in value)
