"""Reads a caption back: which objects of the world it names, how many, and where."""

from __future__ import annotations

import re
from functools import cache

from training.pocket.captions import COUNTS
from training.pocket.world import OBJECTS, SETTINGS

Found = tuple[str, int]
"""Canonical name and count."""


@cache
def _places() -> dict[str, str]:
    """Phrases that name a place, longest first."""
    said = {phrase: place.name for place in SETTINGS.values() for phrase in (*place.phrases, *place.alone)}
    return dict(sorted(said.items(), key=lambda item: -len(item[0])))


@cache
def _things() -> re.Pattern[str]:
    return re.compile(r"\b(" + "|".join(re.escape(word) for word in sorted(_words(), key=len, reverse=True)) + r")\b")


@cache
def _words() -> dict[str, str]:
    """Every word for an object, singular and plural; canonical names win over synonyms."""
    words: dict[str, str] = {}
    for known in OBJECTS.values():
        for synonym in known.synonyms:
            words |= {synonym: known.name, f"{synonym}s": known.name}
    for known in OBJECTS.values():
        words |= {known.plural: known.name, known.name: known.name}
    return words


def place_in(text: str) -> str:
    """The place a caption names; `plain` when it names none."""
    return _split(text)[0]


def objects_in(text: str) -> list[Found]:
    """The objects a caption names, in order, with their counts (1 when no number is said)."""
    rest = _split(text)[1]
    found: list[Found] = []
    for match in _things().finditer(rest):
        found.append((_words()[match[0]], _count_before(rest[: match.start()])))
    return found


def _split(text: str) -> tuple[str, str]:
    """The place, and the text without the words that name it."""
    lowered = text.lower().replace("looking at the camera", "looking")
    for phrase, place in _places().items():
        if match := re.search(rf"\b{re.escape(phrase)}\b", lowered):
            return place, lowered[: match.start()] + " | " + lowered[match.end() :]
    return "plain", lowered


def _count_before(text: str) -> int:
    """The number said in the words before an object, back to a comma or another thing."""
    near = " ".join(re.split(r"[,.|]| and | with | next to ", text)[-1].split()[-5:])
    for number, sayings in COUNTS.items():
        if any(re.search(rf"\b{re.escape(saying)}\b", near) for saying in sayings):
            return number
    return 1
