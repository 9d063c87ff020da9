"""DailyDialog: lines of utterances, each ended by `__eou__`; or rows with `dialog`, `act` and `emotion` from the hub.

Beside a text file, those with the topic, the act and the emotion of each line are read into `labels`. Where they do not
have one label per utterance, that kind is left out and named in `labels["mismatched"]`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from magid_graph.config import ReaderSettings
from magid_graph.errors import BadItem
from magid_graph.readers.draft import Draft, Row, alternate, drafts
from magid_graph.readers.fields import strings
from magid_graph.readers.files import Part, text_lines
from magid_graph.readers.format import Format, Kept
from magid_graph.readers.values import values

_END = "__eou__"
_TOPICS = (
    "Ordinary Life", "School Life", "Culture & Education", "Attitude & Emotion", "Relationship", "Tourism", "Health",
    "Work", "Politics", "Finance",
)  # fmt: skip
_ACTS = ("none", "inform", "question", "directive", "commissive")
_EMOTIONS = ("none", "anger", "disgust", "fear", "happiness", "sadness", "surprise")


def read(part: Part, settings: ReaderSettings) -> Iterator[Draft]:
    return drafts(_lines(part), _of_line) if part.container == "txt" else drafts(values(part), _of_row)


def beside(path: Path) -> tuple[Path, ...]:
    """The files with labels of a text file's lines, those that are there."""
    named = (path.with_name(_sibling(path.name, kind)) for kind in ("topic", "act", "emotion"))
    return tuple(file for file in named if file != path and file.is_file())


def is_label_file(name: str) -> bool:
    return name.startswith(tuple(f"dialogues_{kind}" for kind in ("topic", "act", "emotion")))


def choose(parts: Sequence[Part]) -> Kept:
    """The splits, where they lie beside the file of all dialogues."""
    if not any(part.split for part in parts):
        return list(parts), {}
    kept = [part for part in parts if part.split]
    return kept, {part.name: "its dialogues are in the files of the splits too" for part in parts if not part.split}


def _sibling(name: str, kind: str) -> str:
    """`dialogues_text.txt` → `dialogues_act.txt`, `dialogues_train.txt` → `dialogues_act_train.txt`."""
    if "_text" in name:
        return name.replace("_text", f"_{kind}")
    return name.replace("dialogues_", f"dialogues_{kind}_")


def _lines(part: Part) -> Iterator[Row]:
    """The lines that are not blank, each with its labels as text."""
    with contextlib.ExitStack() as stack:
        kinds = [next(kind for kind in ("topic", "act", "emotion") if kind in file.name) for file in part.beside]
        files = [stack.enter_context(file.open(encoding="utf-8", errors="replace")) for file in part.beside]
        for number, text, problem in text_lines(part):
            labels = {kind: file.readline() for kind, file in zip(kinds, files, strict=True)}
            if text.strip():
                yield Row(number, text if problem else (text, labels), problem)


def _of_line(value: tuple[str, dict[str, str]]) -> Draft:
    line, labels = value
    utterances = line.strip().removesuffix(_END).split(_END)
    draft = _spoken(utterances)
    codes = {kind: text.split() for kind, text in labels.items()}
    if topic := _named(codes.pop("topic", []), _TOPICS, first=1):
        draft.labels["topic"] = topic[0]
    _label(draft, codes)
    return draft


def _of_row(value: Any) -> Draft:
    if not isinstance(value, dict):
        raise BadItem("the row is no object with `dialog`")
    draft = _spoken(strings(value, "dialog"))
    draft.id, draft.split = value.get("id"), value.get("split")
    _label(draft, {kind: value[kind] for kind in ("act", "emotion") if isinstance(value.get(kind), list)})
    return draft


def _spoken(utterances: list[str]) -> Draft:
    draft = Draft()
    for at, text in enumerate(utterances):
        draft.say(alternate(at), text)
    return draft


def _label(draft: Draft, codes: Mapping[str, Sequence[Any]]) -> None:
    mismatched = []
    for kind, names in (("act", _ACTS), ("emotion", _EMOTIONS)):
        found = _named(codes.get(kind, []), names, first=0)
        if len(found) == len(draft.turns):
            draft.labels[f"{kind}s"] = found
        elif kind in codes:
            mismatched.append(f"{kind}s")
    if mismatched:
        draft.labels["mismatched"] = mismatched


def _named(codes: Sequence[Any], names: Sequence[str], *, first: int) -> list[str]:
    """The names of the codes; none where one of them is unknown."""
    try:
        places = [int(code) - first for code in codes]
    except (TypeError, ValueError):
        return []
    return [names[place] for place in places] if all(0 <= place < len(names) for place in places) else []


FORMAT = Format(
    name="dailydialog",
    looks_like=f"its lines have `{_END}`, or its rows `dialog` with `act` or `emotion`",
    read=read,
    fits=lambda value: isinstance(value, dict) and "dialog" in value and bool({"act", "emotion"} & value.keys()),
    fits_text=lambda lines: any(_END in line for line in lines),
    dataset="DailyDialog",
    license="CC-BY-NC-SA-4.0",
    is_tokenised=True,
    choose=choose,
)
