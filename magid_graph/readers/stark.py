"""Stark-like sessions: `{unique_id, episode: [{"session1:dialogue": "[{'speaker': …, 'utter': …}]"}]}`.

Each session is a dialogue of its own. Its list may be written as Python writes one.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import chain
from typing import Any

from magid_graph.config import ReaderSettings
from magid_graph.errors import BadItem
from magid_graph.readers.draft import Draft, Row, drafts
from magid_graph.readers.fields import entry_of, kind, speaker_of, text_of
from magid_graph.readers.files import Part
from magid_graph.readers.format import Format
from magid_graph.readers.values import values

_SESSION = re.compile(r"session_?(\d+):dialogue")
_MAX_CHARS = 1 << 20
"""Of a list that Python wrote: reading one takes a hundred times its size."""


def read(part: Part, settings: ReaderSettings) -> Iterator[Draft]:
    return drafts(_sessions(values(part)), _dialogue)


def _sessions(rows: Iterator[Row]) -> Iterator[Row]:
    """A row per session; a row without any stays as it is."""
    for row in rows:
        found = list(_sessions_of(row.value)) if isinstance(row.value, dict) else []
        for number, session in found:
            yield Row(row.line, (_id(row.value, number), session))
        if not found:
            yield row


def _sessions_of(value: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    episode = value.get("episode")
    places = episode if isinstance(episode, list) else [episode] if isinstance(episode, dict) else [value]
    for name, session in chain.from_iterable(place.items() for place in places if isinstance(place, dict)):
        if found := _SESSION.fullmatch(name):
            yield found[1], session


def _id(value: dict[str, Any], number: str) -> str | None:
    given = value.get("unique_id")
    return f"{given}-session{number}" if isinstance(given, (str, int)) else None


def _dialogue(value: Any) -> Draft:
    if not isinstance(value, tuple):
        raise BadItem("the row has no `session1:dialogue`")
    given, session = value
    entries = _list_of(session)
    draft = Draft(id=given)
    for at in range(len(entries)):
        entry = entry_of(entries, at)
        speaker, text = speaker_of(entry.get("speaker"), at), text_of(entry.get("utter"), at)
        if text.strip():
            draft.say(speaker, text)
        if isinstance(shared := entry.get("sharing_info"), dict):
            draft.show(
                "after" if text.strip() else "own_turn",
                speaker=None if text.strip() else speaker,
                id=shared.get("image_id_from_mobile"),
                description=shared.get("image_description"),
                rationale=shared.get("rationale"),
            )
    return draft


def _list_of(session: Any) -> list[Any]:
    if isinstance(session, str):
        if len(session) > _MAX_CHARS:
            raise BadItem(f"a session has {len(session):,} characters; at most {_MAX_CHARS:,} are read")
        try:
            session = ast.literal_eval(session)
        except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
            raise BadItem("a session is no list as Python or JSON write it") from error
    if not isinstance(session, list):
        raise BadItem(f"a session is {kind(session)}; it must be a list")
    return session


def _fits(value: Any) -> bool:
    return isinstance(value, dict) and any(_sessions_of(value))


FORMAT = Format(name="stark", looks_like="its rows have `session1:dialogue`", read=read, fits=_fits, dataset="Stark")
