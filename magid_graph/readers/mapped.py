"""Any rows with columns, told which column is what: `--map turns=dialog --map speaker=name`.

`turns` names the column with the turns (`a.b`: the field `b` of column `a`): a list of strings or of objects, or text
with one turn per line or `__eou__` between them. `text` and `speaker` name fields of such objects, or a column with one
speaker per turn. `id`, `split` and `license` name columns too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from magid_graph.config import ReaderSettings
from magid_graph.errors import BadItem, InputError
from magid_graph.readers.draft import Draft, drafts
from magid_graph.readers.fields import kind, speaker_of, text_of
from magid_graph.readers.files import Part
from magid_graph.readers.format import Format
from magid_graph.readers.values import values

NAMES = ("turns", "text", "speaker", "id", "split", "license")
_TEXTS = ("text", "content", "value", "utterance", "message", "utter")
_SPEAKERS = ("speaker", "role", "from", "name", "user_id")


def read(part: Part, settings: ReaderSettings) -> Iterator[Draft]:
    columns = mapping(settings.map)
    if part.container == "txt":
        raise InputError(f"`{part.name}` is text and has no columns; leave out `--map`")
    return drafts(values(part), partial(_dialogue, columns=columns), id=columns.get("id", "id"))


def mapping(assignments: tuple[str, ...]) -> dict[str, str]:
    """`{"turns": "dialog"}`. Raises `InputError` for what is no mapping."""
    columns: dict[str, str] = {}
    for assignment in assignments:
        name, equals, column = (word.strip() for word in assignment.partition("="))
        if not equals or not column or name not in NAMES:
            known = ", ".join(f"`{one}`" for one in NAMES)
            raise InputError(f"`--map {assignment}`: write it as `--map turns=COLUMN`; what can be mapped: {known}")
        columns[name] = column
    if columns and "turns" not in columns:
        raise InputError("`--map` does not say which column holds the turns; add `--map turns=COLUMN`")
    return columns


def _dialogue(value: Any, *, columns: Mapping[str, str]) -> Draft:
    if not isinstance(value, dict):
        raise BadItem(f"the row is {kind(value)}; `--map` needs rows with columns")
    column = columns.get("turns", "turns")
    entries = _entries(_found(value, column), column, columns)
    draft = Draft(**{name: _found(value, columns[name]) for name in ("id", "split", "license") if name in columns})
    speakers = _speakers(value, columns, len(entries))
    for at, entry in enumerate(entries):
        speaker, text = _turn(entry, at, columns)
        draft.say(speakers[at] if speakers else speaker, text)
    return draft


def _found(value: dict[str, Any], path: str) -> Any:
    """A column, or a field inside one. Raises `BadItem` where it is not there."""
    if path in value:
        return value[path]
    found: Any = value
    for name in path.split("."):
        if not isinstance(found, dict) or name not in found:
            raise BadItem(f"there is no column `{path}`; there are {', '.join(f'`{one}`' for one in list(value)[:20])}")
        found = found[name]
    return found


def _entries(found: Any, column: str, columns: Mapping[str, str]) -> list[Any]:
    if isinstance(found, str):
        text = found.strip()
        return text.removesuffix("__eou__").split("__eou__") if "__eou__" in text else text.splitlines()
    if isinstance(found, dict):  # `datasets` keeps a list of objects as an object of lists
        lists = {name: entries for name, entries in found.items() if isinstance(entries, list)}
        length = {len(entries) for entries in lists.values()}
        if len(length) == 1:
            return [{name: entries[at] for name, entries in lists.items()} for at in range(length.pop())]
    if not isinstance(found, list):
        raise BadItem(f"column `{column}` is {kind(found)}; it must be a list, or text")
    return found


def _turn(entry: Any, at: int, columns: Mapping[str, str]) -> tuple[str | None, str]:
    if not isinstance(entry, dict):
        return None, text_of(entry, at)
    texts = (columns["text"],) if "text" in columns else _TEXTS
    speakers = (columns["speaker"],) if "speaker" in columns else _SPEAKERS
    text = next((entry[name] for name in texts if entry.get(name) is not None), None)
    if text is None and not any(name in entry for name in texts):
        raise BadItem(f"turn {at} has none of the fields `{'`, `'.join(texts)}`; add `--map text=FIELD`")
    return speaker_of(next((entry[name] for name in speakers if entry.get(name) is not None), None), at), text_of(
        text, at
    )


def _speakers(value: dict[str, Any], columns: Mapping[str, str], turns: int) -> list[str | None] | None:
    """Of a column with one speaker per turn."""
    found = value.get(columns["speaker"]) if "speaker" in columns else None
    if not isinstance(found, list):
        return None
    if len(found) != turns:
        raise BadItem(f"column `{columns['speaker']}` names {len(found)} speakers for {turns} turns")
    return [speaker_of(one, at) for at, one in enumerate(found)]


FORMAT = Format(name="mapped", looks_like="`--map` says which column is what", read=read)
