"""OpenAI's chat: `{messages}`, each `{role, content}`; the role (or `name`) is the speaker.

The text parts of a content are joined, its pictures are kept as ground truth. `system`, `developer` and `tool` messages
and messages that only call tools are left out: they were never said in the conversation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from magid_graph.config import ReaderSettings
from magid_graph.errors import BadItem
from magid_graph.readers.draft import Draft, drafts
from magid_graph.readers.fields import kind, listed, speaker_of, text_of
from magid_graph.readers.files import Part
from magid_graph.readers.format import Format
from magid_graph.readers.values import values

_UNSAID = ("system", "developer", "tool", "function")


def read(part: Part, settings: ReaderSettings) -> Iterator[Draft]:
    return drafts(values(part), dialogue)


def dialogue(value: Any) -> Draft:
    if not isinstance(value, dict):
        raise BadItem(f"the row is {kind(value)}; it must be an object with `messages`")
    draft = Draft(id=value.get("id"), split=value.get("split"), license=value.get("license"))
    for at, entry in enumerate(listed(value, "messages")):
        if not isinstance(entry, dict):
            raise BadItem(f"turn {at} is {kind(entry)}; it must be an object with `role` and `content`")
        add(draft, entry, at)
    return draft


def add(draft: Draft, entry: dict[str, Any], at: int) -> None:
    """Add one message, unless it is unsaid."""
    content = entry.get("content")
    if entry.get("role") in _UNSAID or (content is None and "tool_calls" in entry):
        return
    speaker = speaker_of(entry["name"] if entry.get("name") is not None else entry.get("role"), at)
    if not isinstance(content, list):
        draft.say(speaker, text_of(content, at))
        return
    parts = [part for part in content if isinstance(part, dict)]
    pictures = [part for part in parts if part.get("type") in ("image_url", "image", "input_image")]
    texts = [text_of(part.get("text"), at) for part in parts if part.get("type") in ("text", "input_text")]
    if texts or not pictures:
        draft.say(speaker, "\n".join(texts))
    for part in pictures:
        draft.show("after" if texts else "own_turn", speaker=None if texts else speaker, **_name(part))


def _name(part: dict[str, Any]) -> dict[str, Any]:
    """A picture's address; of one that stands in the message itself, its hash."""
    found = next((part[name] for name in ("image_url", "image", "url") if part.get(name)), None)
    url = found.get("url") if isinstance(found, dict) else found
    if isinstance(url, str) and url.startswith("data:"):
        return {"id": "sha256:" + hashlib.sha256(url.encode("utf-8", "replace")).hexdigest()}
    return {"url": url}


FORMAT = Format(
    name="openai",
    looks_like="its rows have `messages`",
    read=read,
    fits=lambda value: isinstance(value, dict) and "messages" in value and "turns" not in value,
)
