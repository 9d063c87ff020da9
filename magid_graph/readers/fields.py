"""Fields of rows that strangers wrote: each is checked where it is taken, and a fault says what was found."""

from __future__ import annotations

from typing import Any

from magid_graph.errors import BadItem

_KINDS = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}


def kind(value: Any) -> str:
    """What a JSON value is, in words."""
    return _KINDS.get(type(value), "a number" if isinstance(value, (int, float)) else f"a {type(value).__name__}")


def listed(row: dict[str, Any], name: str) -> list[Any]:
    value = row.get(name)
    if not isinstance(value, list):
        raise BadItem(f"`{name}` is {kind(value)}; it must be a list" if name in row else f"there is no `{name}`")
    return value


def entry_of(entries: list[Any], at: int) -> dict[str, Any]:
    """The turn at this position, which is an object."""
    entry = entries[at]
    if not isinstance(entry, dict):
        raise BadItem(f"turn {at} is {kind(entry)}; it must be an object")
    return entry


def text_of(value: Any, at: int) -> str:
    """The text of the turn at this position."""
    if isinstance(value, str):
        return value
    raise BadItem(f"turn {at} has no text" if value is None else f"the text of turn {at} is {kind(value)}")


def strings(row: dict[str, Any], name: str) -> list[str]:
    """A list of strings: turns, that is."""
    return [text_of(value, at) for at, value in enumerate(listed(row, name))]


def speaker_of(value: Any, at: int) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise BadItem(f"the speaker of turn {at} is {kind(value)}; it must be a string")
