"""`.txt`: one turn per line, blank lines between dialogues, `Name: text` where every line says who speaks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TextIO

from magid_graph.readers.rows import Row

_NAMED = re.compile(r"([^\W\d_][^:\n]{0,39}?)\s*:\s+(\S.*)")
_MAX_NAME_WORDS = 3


def rows(file: TextIO) -> Iterator[Row]:
    """A row per dialogue."""
    lines: list[str] = []
    begin = 0
    for number, line in enumerate(file, 1):
        if line.strip():
            begin = begin if lines else number
            lines.append(line.strip())
        elif lines:
            yield Row(begin, _turns(lines))
            lines = []
    if lines:
        yield Row(begin, _turns(lines))


def _turns(lines: list[str]) -> list[str] | list[dict[str, str]]:
    """With speakers only where all lines have one: "Note: bring milk" among other lines is text."""
    named = [match for line in lines if (match := _NAMED.fullmatch(line)) and len(match[1].split()) <= _MAX_NAME_WORDS]
    if len(lines) < 2 or len(named) < len(lines):
        return lines
    return [{"speaker": match[1], "text": match[2]} for match in named]
