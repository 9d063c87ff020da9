"""ShareGPT, as LLaMA-Factory and LLaVA read it: `{conversations: [{from, value}], images}`.

`<image>` in a text stands for the next of `images` (LLaVA: `image`, one path). System and tool messages are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from magid_graph.config import ReaderSettings
from magid_graph.errors import BadItem
from magid_graph.readers.draft import Draft, drafts
from magid_graph.readers.fields import entry_of, listed, speaker_of, text_of
from magid_graph.readers.files import Part
from magid_graph.readers.format import Format
from magid_graph.readers.values import values

_UNSAID = ("system", "observation", "function", "function_call", "tool")
_MARK = "<image>"


def read(part: Part, settings: ReaderSettings) -> Iterator[Draft]:
    return drafts(values(part), _dialogue)


def _dialogue(value: Any) -> Draft:
    if not isinstance(value, dict):
        raise BadItem("the row is no object with `conversations`")
    draft = Draft(id=value.get("id"), split=value.get("split"), license=value.get("license"))
    images = _images(value)
    entries = listed(value, "conversations")
    marks = sum(str(entry.get("value")).count(_MARK) for entry in entries if isinstance(entry, dict))
    if images and marks != len(images):
        raise BadItem(f"the texts have {marks} `{_MARK}`, but there are {len(images)} pictures")
    waiting = iter(images or [None] * marks)
    for at in range(len(entries)):
        _add(draft, entry_of(entries, at), at, waiting)
    return draft


def _images(value: dict[str, Any]) -> list[Any]:
    images = value.get("images", value.get("image"))
    if images is None or images == "":
        return []
    return images if isinstance(images, list) else [images]


def _add(draft: Draft, entry: dict[str, Any], at: int, images: Iterator[Any]) -> None:
    speaker = speaker_of(entry.get("from", entry.get("role")), at)
    text = text_of(entry.get("value", entry.get("content")), at)
    shown = [next(images) for _ in range(text.count(_MARK))]
    if speaker in _UNSAID:
        return
    text = text.replace(_MARK, "").strip() if shown else text
    if text or not shown:
        draft.say(speaker, text)
    for image in shown:
        draft.show("after" if text else "own_turn", speaker=None if text else speaker, id=image)


def _fits(value: Any) -> bool:
    entries = value.get("conversations") if isinstance(value, dict) else None
    return isinstance(entries, list) and any(
        isinstance(one, dict) and {"from", "value"} <= one.keys() for one in entries
    )


FORMAT = Format(
    name="sharegpt",
    looks_like="its rows have `conversations` with `from` and `value`",
    read=read,
    fits=_fits,
)
