"""MMDD: `{dialog: [str], replaced_idx, img_file, …}`; the picture replaces that utterance."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from magid_graph.config import ReaderSettings
from magid_graph.errors import BadItem
from magid_graph.readers.draft import Draft, alternate, drafts
from magid_graph.readers.fields import strings
from magid_graph.readers.files import Part
from magid_graph.readers.format import Format
from magid_graph.readers.values import values
from magid_graph.records import SourcePicture

_LABELS = ("dialog_dataset", "dialog_file", "img_dataset")


def read(part: Part, settings: ReaderSettings) -> Iterator[Draft]:
    return drafts(values(part), _dialogue)


def _dialogue(value: Any) -> Draft:
    if not isinstance(value, dict):
        raise BadItem("the row is no object with `dialog`")
    draft = Draft(labels={name: value[name] for name in _LABELS if isinstance(value.get(name), str)})
    for at, text in enumerate(strings(value, "dialog")):
        draft.say(alternate(at), text)
    place = value.get("replaced_idx")
    if not isinstance(place, int) or isinstance(place, bool) or not 0 <= place < len(draft.turns):
        raise BadItem(f"`replaced_idx` is {place!r}, but the dialogue has {len(draft.turns)} turns")
    draft.show("in_place", id=value.get("img_file"), score=value.get("score"))
    draft.pictures[0] = SourcePicture({**draft.pictures[0], "turn": place})
    return draft


FORMAT = Format(
    name="mmdd",
    looks_like="its rows have `dialog` and `replaced_idx`",
    read=read,
    fits=lambda value: isinstance(value, dict) and {"dialog", "replaced_idx"} <= value.keys(),
    dataset="MMDD",
    is_tokenised=True,
)
