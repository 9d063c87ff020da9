"""Persona-Chat: ParlAI's text, Hugging Face's JSON (`{personality, utterances}`), or a CSV with a column `chat`.

A is the partner, B the one whose persona and replies the data set is about. Candidates are not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from magid_graph.config import ReaderSettings
from magid_graph.errors import BadItem
from magid_graph.readers.draft import Draft, Row, alternate, drafts
from magid_graph.readers.fields import entry_of, listed, strings, text_of
from magid_graph.readers.files import Part, text_lines
from magid_graph.readers.format import Format, Kept
from magid_graph.readers.values import values

_NUMBERED = re.compile(r"(\d+) (.*)", re.DOTALL)
_PERSONA = {"your persona: ": "B", "partner's persona: ": "A"}
_VARIANT = re.compile(r"_(none|self|other|both)_(original|revised)")
_BEST = ("both_original", "self_original", "other_original", "none_original")
"""Of the same dialogues with more or less of the personas; the revised personas come last."""


def read(part: Part, settings: ReaderSettings) -> Iterator[Draft]:
    match part.container:
        case "txt":
            return drafts(_episodes(part), _of_episode)
        case "csv":
            return drafts(values(part), _of_csv)
    return drafts(values(part), _of_json)


def choose(parts: Sequence[Part]) -> Kept:
    """One file of each split: they hold the same dialogues with other personas, with or without candidates."""
    best: dict[Any, Part] = {}
    for part in sorted(parts, key=_rank):
        best.setdefault(part.split if _VARIANT.search(part.name) else part.name, part)
    kept = [part for part in parts if part in best.values()]
    return kept, {part.name: "another file has the same dialogues" for part in parts if part not in kept}


def _rank(part: Part) -> tuple[int, str]:
    found = _VARIANT.search(part.name)
    variant = "_".join(found.groups()) if found else ""
    return _BEST.index(variant) if variant in _BEST else len(_BEST), part.name


def _episodes(part: Part) -> Iterator[Row]:
    """The lines of each episode; their numbers begin anew with it."""
    lines: list[str] = []
    begin, last, problem = 1, 0, None
    for number, line, fault in text_lines(part):
        if not line.strip():
            continue
        found = _NUMBERED.match(line)
        count = int(found[1][:9]) if found else last + 1
        if lines and count <= last:
            yield Row(begin, lines, problem)
            lines, problem = [], None
        begin = begin if lines else number
        lines.append(found[2] if found else line)
        last = count
        fault = fault or (None if found else "a line of the episode has no number")
        problem = problem or (fault and f"{fault}, line {number}")
    if lines:
        yield Row(begin, lines, problem)


def _of_episode(lines: list[str]) -> Draft:
    draft = Draft()
    persona: dict[str, list[str]] = {}
    for at, line in enumerate(lines):
        if mark := next((mark for mark in _PERSONA if line.startswith(mark)), None):
            persona.setdefault(_PERSONA[mark], []).append(line.removeprefix(mark).strip())
            continue
        said = line.split("\t")
        if len(said) < 2:
            raise BadItem(f"line {at + 1} of the episode has no reply after a tab")
        draft.say("A", said[0])
        draft.say("B", said[1])
    if persona:
        draft.labels["persona"] = persona
    return draft


def _of_json(value: Any) -> Draft:
    if not isinstance(value, dict):
        raise BadItem("the row is no object with `utterances`")
    utterances = listed(value, "utterances")
    if not utterances:
        raise BadItem("the dialogue has no turns")
    last = entry_of(utterances, len(utterances) - 1)
    draft = Draft(labels={"persona": {"B": strings(value, "personality")}})
    candidates = listed(last, "candidates")
    if not candidates:
        raise BadItem("the last utterance has no candidates; the right reply is the last of them")
    for at, text in enumerate([*strings(last, "history"), text_of(candidates[-1], -1)]):
        draft.say(alternate(at), text)
    return draft


def _of_csv(value: dict[str, Any]) -> Draft:
    draft = Draft()
    for at, line in enumerate(text_of(value.get("chat"), 0).strip("\r\n").split("\n")):
        draft.say(alternate(at), line)
    persona = next((text for name, text in value.items() if name.strip().lower() == "persona" and text), None)
    if isinstance(persona, str):
        draft.labels["persona"] = {"B": [line for line in persona.splitlines() if line.strip()]}
    return draft


def _fits(value: Any) -> bool:
    return isinstance(value, dict) and (
        {"personality", "utterances"} <= value.keys() or isinstance(value.get("chat"), str)
    )


def _fits_text(lines: Sequence[str]) -> bool:
    """The first line opens an episode: with a persona, or with an utterance and its reply."""
    first = lines[0] if lines else ""
    return first.startswith(tuple(f"1 {mark}" for mark in _PERSONA)) or bool(re.match(r"1 [^\t]+\t[^\t]+", first))


FORMAT = Format(
    name="personachat",
    looks_like="its lines are numbered episodes, or its rows have `personality` and `utterances`, or `chat`",
    read=read,
    fits=_fits,
    fits_text=_fits_text,
    dataset="Persona-Chat",
    is_tokenised=True,
    choose=choose,
)
