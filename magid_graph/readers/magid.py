"""MAGID's `data.json`: `{id: [["txt", text], ["img", file], …]}`; released files add a caption to each `img`.

A picture belongs to the text before it; two people take turns.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from magid_graph.config import ReaderSettings
from magid_graph.errors import BadItem
from magid_graph.readers.draft import Draft, alternate, drafts
from magid_graph.readers.fields import kind, text_of
from magid_graph.readers.files import Part
from magid_graph.readers.format import Format
from magid_graph.readers.values import values


def read(part: Part, settings: ReaderSettings) -> Iterator[Draft]:
    return drafts(values(part), _dialogue)


def _dialogue(value: Any) -> Draft:
    if not isinstance(value, list):
        raise BadItem(f"the row is {kind(value)}; it must be a list of `txt` and `img`")
    draft = Draft()
    for at, entry in enumerate(value):
        match entry:
            case ["txt", text]:
                draft.say(alternate(len(draft.turns)), text_of(text, at))
            case ["img", file]:
                draft.show("after", id=file)
            case ["img", file, caption]:
                draft.show("after", id=file, description=caption)
            case _:
                raise BadItem(f"entry {at} is neither `txt` with a text nor `img` with a file and a caption")
    return draft


FORMAT = Format(
    name="magid",
    looks_like="its rows are lists of `txt` and `img`",
    read=read,
    fits=lambda value: (
        isinstance(value, list) and any(isinstance(one, list) and one[:1] in (["txt"], ["img"]) for one in value)
    ),
    has_ids_per_split=True,
)
