"""PhotoChat: `{dialogue: [{message, share_photo, user_id}], dialogue_id, photo_description, photo_url, photo_id}`.

People often send several messages in a row. With `reader.merge_consecutive` they become one turn, and the photo belongs
to the turn of whoever shared it, as in the MAGID paper. User 0 is called A, user 1 B.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import groupby
from typing import Any

from magid_graph.config import ReaderSettings
from magid_graph.errors import BadItem
from magid_graph.readers.draft import SPEAKERS, Draft, drafts
from magid_graph.readers.fields import entry_of, listed, speaker_of, text_of
from magid_graph.readers.files import Part
from magid_graph.readers.format import Format
from magid_graph.readers.values import values


def read(part: Part, settings: ReaderSettings) -> Iterator[Draft]:
    return drafts(values(part), partial(_dialogue, is_merged=settings.merge_consecutive), id="dialogue_id")


def _dialogue(value: Any, *, is_merged: bool) -> Draft:
    if not isinstance(value, dict):
        raise BadItem("the row is no object with `dialogue`")
    draft = Draft(id=value.get("dialogue_id"))
    entries = listed(value, "dialogue")
    messages = [(_speaker(entry_of(entries, at), at), _text(entries[at], at)) for at in range(len(entries))]
    photo = {
        "id": value.get("photo_id"),
        "url": value.get("photo_url"),
        "description": value.get("photo_description"),
    }
    for speaker, group in groupby(messages, key=lambda message: message[0]) if is_merged else _one_by_one(messages):
        sent = [text for _, text in group]
        if said := [text for text in sent if text is not None]:
            draft.say(speaker, " ".join(said))
        for _ in range(sent.count(None)):
            draft.show("own_turn", speaker=speaker, **photo)
    return draft


def _one_by_one(
    messages: list[tuple[str | None, str | None]],
) -> Iterator[tuple[str | None, list[tuple[str | None, str | None]]]]:
    return ((message[0], [message]) for message in messages)


def _speaker(entry: dict[str, Any], at: int) -> str | None:
    user = entry.get("user_id")
    return SPEAKERS[user] if user in (0, 1) and not isinstance(user, (bool, float)) else speaker_of(user, at)


def _text(entry: dict[str, Any], at: int) -> str | None:
    """`None` for the photo."""
    if entry.get("share_photo") is True and not entry.get("message"):
        return None
    return text_of(entry.get("message"), at)


def _fits(value: Any) -> bool:
    entries = value.get("dialogue") if isinstance(value, dict) else None
    return isinstance(entries, list) and any(isinstance(one, dict) and "share_photo" in one for one in entries)


FORMAT = Format(
    name="photochat",
    looks_like="its rows have `dialogue` with `message` and `share_photo`",
    read=read,
    fits=_fits,
    dataset="PhotoChat",
    has_ids_per_split=True,
)
