"""From drafts to records: text is cleaned, speakers are made where asked, and every record gets a key of its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

import orjson

from magid_graph.config import ReaderSettings
from magid_graph.errors import BadItem
from magid_graph.readers.draft import Draft, alternate
from magid_graph.readers.fields import kind
from magid_graph.readers.files import Part
from magid_graph.readers.format import Format
from magid_graph.readers.keys import Keys
from magid_graph.readers.splits import split_named
from magid_graph.readers.text import normalise
from magid_graph.readers.wording import wording
from magid_graph.records import BadRow, Dialogue, Source, Turn


class Finishing:
    """Makes the records of one input, in order."""

    def __init__(self, parts: Sequence[Part], form: Format, settings: ReaderSettings, *, max_chars: int) -> None:
        self._parts, self._form, self._settings, self._max_chars = parts, form, settings, max_chars
        self._wording = _wording(form, settings)
        # Ids that begin anew in every split are told apart by it, wherever the split is known.
        self._is_split_in_key = form.has_ids_per_split or len({part.split for part in parts}) > 1
        self._is_alternate = settings.speakers == "alternate"
        self._keys = Keys()
        self._index = 0

    def records(self) -> Iterator[Dialogue | BadRow]:
        """A record per row. Raises `InputError` for a problem of a file as a whole, perhaps after some records."""
        for number, part in enumerate(self._parts):
            for draft in self._form.read(part, self._settings):
                yield self._record(draft, part, number)
                self._index += 1

    def _record(self, draft: Draft, part: Part, number: int) -> Dialogue | BadRow:
        source = self._source(draft, part)
        try:
            if draft.problem is not None:
                raise BadItem(draft.problem)
            turns = self._turns(draft)
            given = _given(draft.id)
            key = self._made(_hash_of(turns)) if given is None else self._claimed(given, source, number)
        except BadItem as fault:
            message = f"{fault} ({_place(part, draft.line)})"
            key = self._key_of_bad(draft, source, number)
            return BadRow(key=key, cause=fault.cause, message=message, source=source)
        # A literal is made in half the time of a call.
        record: Dialogue = {"key": key, "turns": turns, "source": source}
        if draft.pictures:
            record["pictures"] = draft.pictures
        if draft.labels:
            record["labels"] = {name: _clean(value) for name, value in draft.labels.items()}
        return record

    def _key_of_bad(self, draft: Draft, source: Source, number: int) -> str:
        """The row's own id, by which it is found in its file; a hash where it has none, or where that is the fault."""
        with suppress(BadItem):
            if (given := _given(draft.id)) is not None:
                return self._claimed(given, source, number)
        return self._made(_hash(draft.raw if draft.problem else draft.turns))

    def _source(self, draft: Draft, part: Part) -> Source:
        source: Source = {"file": part.name, "index": self._index, "line": draft.line}
        if self._form.dataset is not None:
            source["dataset"] = self._form.dataset
        if (split := (split_named(draft.split) if draft.split else None) or part.split) is not None:
            source["split"] = split
        given = draft.license if isinstance(draft.license, str) else None
        if named := given or self._settings.license or part.license or self._form.license:
            source["license"] = normalise(named)
        return source

    def _turns(self, draft: Draft) -> list[Turn]:
        is_made = self._is_alternate and not any(speaker for speaker, _ in draft.turns)
        turns: list[Turn] = []
        reword, most = self._wording, self._max_chars
        for at, (speaker, text) in enumerate(draft.turns):
            if len(text) > most:
                raise BadItem(f"turn {at} has {len(text):,} characters; `max_utterance_chars` is {most:,}")
            if not text.isprintable():
                text = normalise(text)
            text = reword(text).strip() if reword else text.strip()
            if not text:
                raise BadItem(f"turn {at} has no text")
            turns.append({"speaker": alternate(at) if is_made else _name(speaker), "text": text})
        if not turns:
            raise BadItem("the dialogue has no turns")
        return turns

    def _claimed(self, given: str, source: Source, part: int) -> str:
        """The key of the row with this id. Raises `BadItem` where another row has the same id."""
        key = f"{source['split']}-{given}" if self._is_split_in_key and "split" in source else given
        if key != given:
            source["id"] = given
        first = self._keys.claim(key, part, source["line"])
        if first is not None:
            raise BadItem(
                f"the id `{_shown(given)}` was given before ({_place(self._parts[first[0]], first[1])});"
                f" make ids unique, or leave them out"
            )
        return key

    def _made(self, key: str) -> str:
        """The key; the second row with the same content gets `-2`, and so on: a copy is an item of its own."""
        made = key
        while (count := self._keys.count(made)) > 1:
            made = f"{key}-{count}"
        return made


def _place(part: Part, line: int) -> str:
    return f"`{part.name}`, {'row' if part.container in ('parquet', 'arrow') else 'line'} {line}"


def _wording(form: Format, settings: ReaderSettings) -> Callable[[str], str] | None:
    return wording(
        emoji=settings.emoji == "always" or (settings.emoji == "auto" and form.has_named_emoji),
        detokenise=settings.detokenise == "always" or (settings.detokenise == "auto" and form.is_tokenised),
    )


def _given(found: Any) -> str | None:
    """The dialogue's own id as text; `None` where it has none. Raises `BadItem` on another type."""
    if found is None or found == "":
        return None
    if type(found) is str and found.isprintable():
        return found
    if isinstance(found, bool) or not isinstance(found, (str, int)):
        raise BadItem(f"`id` is {kind(found)}; it must be a string or an integer")
    return normalise(str(found)) or None


@lru_cache(4096)
def _name(speaker: str | None) -> str | None:
    return None if speaker is None else " ".join(normalise(speaker).split()) or None


def _clean(value: Any) -> Any:
    """A label with normalised text."""
    if isinstance(value, str):
        return normalise(value)
    if isinstance(value, list):
        return [_clean(one) for one in value]
    return {normalise(str(name)): _clean(one) for name, one in value.items()} if isinstance(value, dict) else value


def _hash_of(turns: list[Turn]) -> str:
    return _hash([[turn["speaker"], turn["text"]] for turn in turns])


def _hash(content: Any) -> str:
    try:
        text = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # lone surrogates, or what Parquet holds beyond JSON
        text = _by_the_slow_way(content).encode()
    return hashlib.sha256(text).hexdigest()[:16]


def _by_the_slow_way(content: Any) -> str:
    try:
        return normalise(json.dumps(content, ensure_ascii=False, separators=(",", ":"), sort_keys=True, default=str))
    except (RecursionError, TypeError):
        return "cannot be written"


def _shown(key: str) -> str:
    return key if len(key) <= 60 else f"{key[:57]}…"
