"""`gallery.html`: the dialogues as chats with their pictures, for a person to look at. No script, no network."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import TypedDict

from magid_graph.exporters.files import replacing
from magid_graph.exporters.items import FinishedItem, accepted_pictures
from magid_graph.readers.text import normalise
from magid_graph.records import Attempt, Turn

MOST = 500
"""Dialogues on the page: a browser lays out this many at once."""


class _Picture(TypedDict):
    path: str
    width: int
    height: int
    description: str
    scores: str
    attempt: int


class _Bubble(TypedDict):
    speaker: str | None
    text: str
    is_other: bool
    pictures: list[_Picture]
    refused: str | None


class _Chat(TypedDict):
    key: str
    state: str
    reason: str | None
    turns: list[_Bubble]


def write_gallery(items: Iterable[FinishedItem], run_dir: Path) -> Path:
    """Write the page beside `images/`, whose files it shows."""
    from jinja2 import Environment

    # Dialogues and descriptions are text from strangers: everything is escaped.
    page = Environment(autoescape=True, trim_blocks=True).from_string(
        (resources.files(__package__) / "gallery.html").read_text("utf-8")
    )
    known = (item for item in items if item["dialogue"] is not None)
    chats = [_chat(item) for item in islice(known, MOST)]
    left_out = sum(1 for _ in known)
    pictures = sum(len(turn["pictures"]) for chat in chats for turn in chat["turns"])
    path = run_dir / "gallery.html"
    with replacing(path) as file:
        file.write(
            page.render(
                title=normalise(run_dir.name), count=len(chats), pictures=pictures, left_out=left_out, dialogues=chats
            )
        )
    return path


def _chat(item: FinishedItem) -> _Chat:
    turns = item["dialogue"]["turns"] if item["dialogue"] else []
    pictures = accepted_pictures(item)
    first = turns[0]["speaker"] if turns else None
    return _Chat(
        key=item["key"],
        state=item["state"],
        reason=item["reason"],
        turns=[
            _Bubble(
                speaker=turn["speaker"],
                text=turn["text"],
                is_other=_is_other(turn, at, first),
                pictures=[_picture(attempt) for attempt in pictures.get(at, ())],
                refused=_refused([attempt for attempt in item["attempts"] if attempt["turn"] == at]),
            )
            for at, turn in enumerate(turns)
        ],
    )


def _is_other(turn: Turn, at: int, first: str | None) -> bool:
    """Whether the bubble stands on the right: not the first speaker, or every second turn where nobody is named."""
    return turn["speaker"] != first if first is not None else at % 2 == 1


def _picture(attempt: Attempt) -> _Picture:
    image = attempt["image"]
    assert image is not None
    return _Picture(
        path=image["path"],
        width=image["width"],
        height=image["height"],
        description=attempt["description"],
        scores=_scores(attempt),
        attempt=attempt["n"] + 1,
    )


def _scores(attempt: Attempt) -> str:
    scores = attempt["scores"]
    named = {"match": scores["clip_similarity"], "aesthetic": scores["aesthetic"], "nsfw": scores["nsfw"]}
    return ", ".join(f"{name} {value:.2f}" for name, value in named.items() if value is not None)


def _refused(attempts: list[Attempt]) -> str | None:
    """Why a moment has no picture in the end."""
    if not attempts or attempts[-1]["verdict"] != "discard":
        return None
    last = attempts[-1]
    return f"{last['description']} · {last['reason']} after {len(attempts)} attempts · {_scores(last)}"
