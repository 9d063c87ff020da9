"""Plain text: one turn per line, blank lines between dialogues, `Name: text` where every line says who speaks."""

from __future__ import annotations

import re
from collections.abc import Iterator

from magid_graph.config import ReaderSettings
from magid_graph.readers.draft import Draft
from magid_graph.readers.files import Part, opened_text
from magid_graph.readers.format import Format

_NAMED = re.compile(r"([^\W\d_][^:\n]{0,39}?)\s*:\s+(\S.*)")
_MAX_NAME_WORDS = 3
_MAX_TURNS = 100_000
"""A dialogue of more lines has no blank lines in it by mistake."""
_MAX_LINE_CHARS = 1 << 20
"""A longer line is read in pieces, each too long to be an utterance."""


def read(part: Part, settings: ReaderSettings) -> Iterator[Draft]:
    lines: list[str] = []
    begin = 0
    with opened_text(part) as text:
        for number, line in enumerate(iter(lambda: text.readline(_MAX_LINE_CHARS), ""), 1):
            if line.strip() and len(lines) < _MAX_TURNS:
                begin = begin if lines else number
                lines.append(line.strip())
            elif lines and not line.strip():
                yield _dialogue(begin, lines)
                lines = []
    if lines:
        yield _dialogue(begin, lines)


def _dialogue(begin: int, lines: list[str]) -> Draft:
    """With speakers only where all lines have one: "Note: bring milk" among other lines is text."""
    if len(lines) >= _MAX_TURNS:
        return Draft(
            begin, problem=f"more than {_MAX_TURNS:,} lines without a blank one are no dialogue", raw=lines[:9]
        )
    named = [match for line in lines if (match := _NAMED.fullmatch(line)) and len(match[1].split()) <= _MAX_NAME_WORDS]
    if len(lines) < 2 or len(named) < len(lines):
        return Draft(begin, [(None, line) for line in lines])
    return Draft(begin, [(match[1], match[2]) for match in named])


FORMAT = Format(
    name="text",
    looks_like="it is text: a turn per line, blank lines between dialogues",
    read=read,
    fits_text=lambda lines: True,
)
