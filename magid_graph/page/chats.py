"""Dialogues as chat pictures, one PNG each, drawn with Pillow alone: MAGID's visualisation of a sample."""

from __future__ import annotations

import hashlib
import io
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magid_graph.artifacts import write_atomically
from magid_graph.records import Attempt, Turn
from magid_graph.trace.reading import Reading, Trace

if TYPE_CHECKING:
    from PIL.Image import Image

_WIDTH, _MARGIN, _PAD, _GAP = 720, 28, 16, 12
_BUBBLE = 480
"""Pixels of the widest bubble."""
_PICTURE = 320
"""Pixels of a picture's longer side."""
_LINE, _SMALL_LINE = 30, 22
_MOST_LINES = 40
"""Of one utterance: a picture has a bottom."""

_PAGE, _INK, _SOFT, _WARN = "#f6f4ef", "#22211f", "#6d6a63", "#a8620b"
_THEIRS, _MINE = "#eae6db", "#dfe4f8"


def write_chats(reading: Reading, folder: Path) -> int:
    """Draw every finished dialogue that has an accepted picture. Returns how many there are.

    Files are named by the item's key as far as it is plain, and by its hash: no key chooses a path.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn = 0
    for trace in reading.traces(("accepted",), with_exchanges=False):
        if trace.dialogue is not None:
            buffer = io.BytesIO()
            chat(trace, reading.run.path).save(buffer, "PNG")
            write_atomically(folder / file_name(trace.key), buffer.getvalue())
            drawn += 1
    return drawn


def file_name(key: str) -> str:
    """`picnic-plans-1a2b3c4d.png`"""
    plain = "".join(c if c.isascii() and c.isalnum() else "-" for c in key).strip("-")[:40]
    return f"{plain or 'dialogue'}-{hashlib.sha256(key.encode()).hexdigest()[:8]}.png"


def chat(trace: Trace, run_dir: Path) -> Image:
    """The dialogue with its accepted pictures, as tall as it needs to be."""
    from PIL import Image, ImageDraw

    assert trace.dialogue is not None
    parts = list(_parts(trace, trace.dialogue["turns"], run_dir))
    height = 2 * _MARGIN + sum(part.height + _GAP for part in parts)
    canvas = Image.new("RGB", (_WIDTH, height), _PAGE)
    pen, y = ImageDraw.Draw(canvas), _MARGIN
    for part in parts:
        _draw(part, canvas, pen, y)
        y += part.height + _GAP
    return canvas


@dataclass(frozen=True, slots=True)
class _Part:
    """A bubble with what is written above it, or a picture with what is written below."""

    is_other: bool
    lines: list[str] = field(default_factory=list)
    speaker: str = ""
    picture: Any = None
    captions: list[str] = field(default_factory=list)

    @property
    def height(self) -> int:
        if self.picture is not None:
            return int(self.picture.height) + 6 + _SMALL_LINE * len(self.captions)
        return (_SMALL_LINE if self.speaker else 0) + _LINE * len(self.lines) + 2 * _PAD - 8


def _parts(trace: Trace, turns: list[Turn], run_dir: Path) -> Iterator[_Part]:
    first = turns[0]["speaker"]
    for at, turn in enumerate(turns):
        is_other = turn["speaker"] != first if first is not None else at % 2 == 1
        lines = _wrapped(turn["text"], _font(22), _BUBBLE)
        yield _Part(is_other, lines=lines, speaker=_shown(turn["speaker"] or ""))
        for attempt in trace.attempts:
            if attempt["turn"] == at and attempt["verdict"] == "accept" and attempt["image"]:
                yield _picture(attempt, run_dir, is_other=is_other)


def _picture(attempt: Attempt, run_dir: Path, *, is_other: bool) -> _Part:
    from PIL import Image, ImageDraw

    assert attempt["image"] is not None
    try:
        with Image.open(run_dir / attempt["image"]["path"]) as opened:
            picture = opened.convert("RGB")
            picture.thumbnail((_PICTURE, _PICTURE))
    except (OSError, ValueError, Image.DecompressionBombError):
        picture = Image.new("RGB", (_PICTURE, 80), _THEIRS)
        ImageDraw.Draw(picture).text((_PAD, 28), "the file is missing", _SOFT, _font(16))
    return _Part(is_other, picture=picture, captions=_wrapped(attempt["description"], _font(16), _PICTURE)[:4])


def _draw(part: _Part, canvas: Image, pen: Any, y: int) -> None:
    if part.picture is not None:
        x = _WIDTH - _MARGIN - part.picture.width if part.is_other else _MARGIN
        canvas.paste(part.picture, (x, y))
        for n, line in enumerate(part.captions):
            pen.text((x, y + part.picture.height + 6 + _SMALL_LINE * n), line, _SOFT, _font(16))
        return
    width = max(_length(line, _font(22)) for line in part.lines) + 2 * _PAD
    x = _WIDTH - _MARGIN - width if part.is_other else _MARGIN
    if part.speaker:
        speaker_x = _WIDTH - _MARGIN - 6 - _length(part.speaker, _font(16)) if part.is_other else x + 6
        pen.text((speaker_x, y), part.speaker, _SOFT, _font(16))
        y += _SMALL_LINE
    bottom = y + _LINE * len(part.lines) + 2 * _PAD - 8
    pen.rounded_rectangle((x, y, x + width, bottom), 16, _MINE if part.is_other else _THEIRS)
    for n, line in enumerate(part.lines):
        # Right-to-left lines begin on the right.
        inner = x + width - _PAD - _length(line, _font(22)) if _is_rtl(line) else x + _PAD
        pen.text((inner, y + _PAD - 6 + _LINE * n), _visual(line), _INK, _font(22))


# -- text


@cache
def _font(size: int) -> Any:
    """DejaVu Sans where the system has it (most scripts); else the font that ships with Pillow: Latin letters only."""
    from PIL import ImageFont

    try:
        return ImageFont.truetype("DejaVuSans.ttf", size)
    except OSError:
        return ImageFont.load_default(size)


def _length(text: str, font: Any) -> int:
    return int(font.getlength(text)) + 1


def _wrapped(text: str, font: Any, width: int) -> list[str]:
    """Lines no wider than this; words that are too long are broken."""
    lines: list[str] = []
    for paragraph in _shown(text).split("\n"):
        line = ""
        for word in paragraph.split(" "):
            longer = f"{line} {word}" if line else word
            if _length(longer, font) <= width:
                line = longer
                continue
            if line:
                lines.append(line)
            line = word
            while _length(line, font) > width:
                fits = next(n for n in range(len(line) - 1, 0, -1) if n == 1 or _length(line[:n], font) <= width)
                lines.append(line[:fits])
                line = line[fits:]
        lines.append(line)
    return lines if len(lines) <= _MOST_LINES else [*lines[: _MOST_LINES - 1], "…"]


def _shown(text: str) -> str:
    """The text in letters that the font has: an emoji by its name, anything else that is missing as `·`."""
    return "".join(_letter(character) for character in text.replace("\t", " "))


def _letter(character: str) -> str:
    if character == "\n" or _has(character):
        return character
    category = unicodedata.category(character)
    if category in ("Cf", "Mn", "Me", "Cc", "Sk"):  # joiners, marks, skin tones: they only change another letter
        return ""
    if category == "So":
        return f"[{unicodedata.name(character, 'symbol').lower()}]"
    plain = unicodedata.normalize("NFKD", character)[0]
    return plain if plain != character and _has(plain) else "·"


@cache
def _has(character: str) -> bool:
    """Whether the font draws it as something else than its sign for what is missing."""
    font = _font(22)
    return character == " " or bytes(font.getmask(character)) != bytes(font.getmask("\U0010fffd"))


def _is_rtl(line: str) -> bool:
    return next((unicodedata.bidirectional(c) in ("R", "AL") for c in line if unicodedata.category(c)[0] == "L"), False)


def _visual(line: str) -> str:
    """Letters in the order in which they stand, where Pillow was built without the library that knows it."""
    from PIL import features

    return line[::-1] if _is_rtl(line) and not features.check("raqm") else line
