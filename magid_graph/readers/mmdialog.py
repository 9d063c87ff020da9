"""MMDialog: `{conversation_id, conversation: [{turn: [{__TEXT__}, {__MEDIA__}, …]}]}`, two people in turns.

The texts of a turn are joined by a space. Negative candidates (validation and test) are not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from magid_graph.config import ReaderSettings
from magid_graph.errors import BadItem
from magid_graph.readers.draft import SPEAKERS, Draft, alternate, drafts
from magid_graph.readers.fields import entry_of, listed, text_of
from magid_graph.readers.files import Part
from magid_graph.readers.format import Format
from magid_graph.readers.values import values


def read(part: Part, settings: ReaderSettings) -> Iterator[Draft]:
    return drafts(values(part), _dialogue, id="conversation_id")


def _dialogue(value: Any) -> Draft:
    if not isinstance(value, dict):
        raise BadItem("the row is no object with `conversation`")
    draft = Draft(id=value.get("conversation_id"))
    entries = listed(value, "conversation")
    say = draft.turns.append
    for at, entry in enumerate(entries):
        # Nearly all turns are one text; trying that first takes half the time of looking at everything.
        try:
            text, count = entry["turn"][0]["__TEXT__"], len(entry["turn"])
        except (IndexError, KeyError, TypeError):
            text, count = None, 0
        if count == 1 and type(text) is str:
            say((SPEAKERS[at % 2], text))
        else:
            _add(draft, listed(entry_of(entries, at), "turn"), at)
    return draft


def _add(draft: Draft, elements: list[Any], at: int) -> None:
    texts, media = [], []
    for element in elements:
        # A `match` on the keys takes three times as long.
        if isinstance(element, dict) and "__TEXT__" in element:
            texts.append(text_of(element["__TEXT__"], at))
        elif isinstance(element, dict) and "__MEDIA__" in element:
            media.append(element["__MEDIA__"])
        else:
            raise BadItem(f"an element of turn {at} is neither `__TEXT__` nor `__MEDIA__`")
    if texts or not media:
        draft.say(alternate(at), " ".join(texts))
    for key in media:
        draft.show("after" if texts else "own_turn", speaker=None if texts else alternate(at), id=key)


def _fits(value: Any) -> bool:
    entries = value.get("conversation") if isinstance(value, dict) else None
    return isinstance(entries, list) and any(isinstance(one, dict) and "turn" in one for one in entries)


FORMAT = Format(
    name="mmdialog",
    looks_like="its rows have `conversation` with `turn`",
    read=read,
    fits=_fits,
    dataset="MMDialog",
    has_named_emoji=True,
    has_ids_per_split=True,
)
