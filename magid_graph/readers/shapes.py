"""The shapes in which a dialogue may be written, and what is wrong with those that are none of them.

* a list of strings, or of `{speaker, text}` (`speaker` may be missing)
* `{id, turns}`, where `turns` is such a list
* OpenAI's `{messages}`, or the bare list of `{role, content}`: the role (or `name`) is the speaker, the text parts of a
  content are joined. `system`, `developer` and `tool` messages and messages that only call tools are left out: they
  were never said in the conversation.
"""

from __future__ import annotations

from typing import Any

from magid_graph.errors import BadItem
from magid_graph.readers.text import normalise
from magid_graph.records import Turn

_UNSAID = ("system", "developer", "tool", "function")
_SHAPES = "a list of turns, or an object with `turns` or `messages`"


def given_id(value: Any) -> str | None:
    """The dialogue's own id as text; `None` where it has none. Raises `BadItem` on another type."""
    found = value.get("id") if isinstance(value, dict) else None
    if found is None or found == "":
        return None
    if isinstance(found, bool) or not isinstance(found, (str, int)):
        raise BadItem(f"`id` is {_kind(found)}; it must be a string or an integer")
    return normalise(str(found)) or None


def turns_of(value: Any, *, max_chars: int) -> list[Turn]:
    """The turns of a dialogue in any of the shapes. Raises `BadItem`, which names the turn."""
    listed = _list_of_turns(value)
    turns = [_turn(entry, at, max_chars) for at, entry in enumerate(listed) if not _is_unsaid(entry)]
    if not turns:
        raise BadItem("the dialogue has no turns")
    return turns


def is_dialogue(value: Any) -> bool:
    """Whether the value is shaped like a whole dialogue, good or bad."""
    return isinstance(value, list) or (isinstance(value, dict) and ("turns" in value or "messages" in value))


def is_turn(value: Any) -> bool:
    """Whether the value is shaped like a single turn."""
    return isinstance(value, str) or (
        isinstance(value, dict) and not is_dialogue(value) and ("text" in value or "content" in value)
    )


def _list_of_turns(value: Any) -> list[Any]:
    if isinstance(value, dict):
        name = "turns" if "turns" in value else "messages"
        if name not in value:
            raise BadItem(f"the object has neither `turns` nor `messages`; a dialogue is {_SHAPES}")
        if not isinstance(value[name], list):
            raise BadItem(f"`{name}` is {_kind(value[name])}; it must be a list")
        value = value[name]
    if not isinstance(value, list):
        raise BadItem(f"the row is {_kind(value)}; a dialogue is {_SHAPES}")
    return value


def _is_unsaid(entry: Any) -> bool:
    if not isinstance(entry, dict) or "role" not in entry:
        return False
    return entry["role"] in _UNSAID or (entry.get("content") is None and "text" not in entry and "tool_calls" in entry)


def _turn(entry: Any, at: int, max_chars: int) -> Turn:
    if isinstance(entry, str):
        return Turn(speaker=None, text=_text(entry, at, max_chars))
    if not isinstance(entry, dict):
        raise BadItem(f"turn {at} is {_kind(entry)}; it must be a string or an object with `text`")
    text = entry.get("text", entry.get("content"))
    if isinstance(text, list):
        text = "\n".join(_parts(text, at))
    if not isinstance(text, str):
        raise BadItem(f"turn {at} has no text" if text is None else f"the text of turn {at} is {_kind(text)}")
    return Turn(speaker=_speaker(entry, at), text=_text(text, at, max_chars))


def _parts(parts: list[Any], at: int) -> list[str]:
    texts = [part.get("text") for part in parts if isinstance(part, dict) and part.get("type") == "text"]
    if not all(isinstance(text, str) for text in texts):
        raise BadItem(f"a text part of turn {at} is not a string")
    return [str(text) for text in texts]


def _speaker(entry: dict[str, Any], at: int) -> str | None:
    speaker = next((entry[name] for name in ("speaker", "name", "role") if entry.get(name) is not None), None)
    if speaker is None:
        return None
    if isinstance(speaker, bool) or not isinstance(speaker, (str, int)):
        raise BadItem(f"the speaker of turn {at} is {_kind(speaker)}; it must be a string")
    return " ".join(normalise(str(speaker)).split()) or None


def _text(text: str, at: int, max_chars: int) -> str:
    if len(text) > max_chars:
        raise BadItem(f"turn {at} has {len(text):,} characters; `max_utterance_chars` is {max_chars:,}")
    text = normalise(text).strip()
    if not text:
        raise BadItem(f"turn {at} has no text")
    return text


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
