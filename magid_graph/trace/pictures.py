"""Pictures in the terminal: kitty, iTerm2 or sixel graphics where it has them, half-blocks otherwise."""

from __future__ import annotations

import base64
import io
import os
import re
import select
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.color import Color
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.segment import ControlType, Segment
from rich.style import Style

if TYPE_CHECKING:
    from PIL.Image import Image

Graphics = Literal["kitty", "iterm2", "sixel", "blocks", "none"]

_CELL = (10, 20)
"""Pixels of a character cell, where graphics are scaled by pixels: VT340's, which most emulators keep to."""


def graphics_of(console: Console, environ: Mapping[str, str] = os.environ) -> Graphics:
    """The best that this terminal can show; `none` where the output is no terminal, or has no colours."""
    if not console.is_terminal or console.color_system in (None, "standard"):
        return "none"
    # A multiplexer hands on the environment of the terminal around it, but not its graphics.
    if "TMUX" not in environ and "STY" not in environ:
        program, term = environ.get("TERM_PROGRAM", ""), environ.get("TERM", "")
        if "KITTY_WINDOW_ID" in environ or "kitty" in term or program == "ghostty":
            return "kitty"
        if program in ("iTerm.app", "WezTerm", "mintty"):
            return "iterm2"
    return "sixel" if _has_sixel() else "blocks"


def _has_sixel() -> bool:
    """Ask the terminal for its device attributes, of which 4 is sixel; one that does not answer has none."""
    try:
        import termios
        import tty
    except ImportError:  # Windows
        return False
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    stdin = sys.stdin.fileno()
    before = termios.tcgetattr(stdin)
    try:
        tty.setcbreak(stdin, termios.TCSANOW)
        sys.stdout.write("\x1b[c")
        sys.stdout.flush()
        answer = b""
        while not answer.endswith(b"c") and select.select([stdin], [], [], 0.2)[0]:
            answer += os.read(stdin, 64)
    finally:
        termios.tcsetattr(stdin, termios.TCSANOW, before)
    found = re.search(rb"\x1b\[\?([\d;]*)c", answer)
    return found is not None and b"4" in found[1].split(b";")


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as many columns wide; rows follow from its shape."""

    path: Path
    columns: int
    graphics: Graphics

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(self.columns, self.columns)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from PIL import Image

        try:
            with Image.open(self.path) as opened:
                image = opened.convert("RGB")
        except OSError:
            yield Segment("picture missing".ljust(self.columns)[: self.columns], Style(dim=True))
            return
        rows = max(1, round(self.columns * image.height / image.width / 2))
        if self.graphics == "blocks":
            yield from _half_blocks(image, self.columns, rows)
        else:
            yield from _blank_then_drawn(image, self.columns, rows, self.graphics)


def _half_blocks(image: Image, columns: int, rows: int) -> RenderResult:
    """Two pixels in each cell, one above the other."""
    pixels = image.resize((columns, 2 * rows)).load()
    assert pixels is not None
    for row in range(rows):
        for column in range(columns):
            above, below = pixels[column, 2 * row], pixels[column, 2 * row + 1]
            yield Segment("▀", Style(color=Color.from_rgb(*above), bgcolor=Color.from_rgb(*below)))  # type: ignore[misc]
        yield Segment.line()


def _blank_then_drawn(image: Image, columns: int, rows: int, graphics: Graphics) -> RenderResult:
    """Empty cells first, so that nothing scrolls while the picture is drawn over them from their last row."""
    for row in range(rows):
        yield Segment(" " * columns)
        if row == rows - 1:
            up = f"\x1b[{rows - 1}A" if rows > 1 else ""
            drawn = f"\x1b7\x1b[{columns}D{up}{_sequence(image, columns, rows, graphics)}\x1b8"
            # A control segment takes no room in the layout.
            yield Segment(drawn, None, [(ControlType.CURSOR_MOVE_TO_COLUMN, 0)])
        yield Segment.line()


def _sequence(image: Image, columns: int, rows: int, graphics: Graphics) -> str:
    match graphics:
        case "kitty":
            return _kitty(image, columns, rows)
        case "iterm2":
            data = _png(image)
            size = f"size={len(data)};width={columns};height={rows};preserveAspectRatio=0"
            return f"\x1b]1337;File=inline=1;{size}:{base64.b64encode(data).decode()}\x07"
        case _:
            # One row less: a terminal may scroll when a sixel ends in the last line.
            return sixel(image.resize((columns * _CELL[0], max(1, rows - 1) * _CELL[1])))


def _kitty(image: Image, columns: int, rows: int) -> str:
    """https://sw.kovidgoyal.net/kitty/graphics-protocol: PNG in pieces of 4096 characters, the cursor left in place."""
    data = base64.b64encode(_png(image)).decode()
    pieces = [data[at : at + 4096] for at in range(0, len(data), 4096)]
    first = f"a=T,f=100,q=2,C=1,c={columns},r={rows},"
    return "".join(
        f"\x1b_G{first if n == 0 else ''}m={int(n < len(pieces) - 1)};{piece}\x1b\\" for n, piece in enumerate(pieces)
    )


def sixel(image: Image) -> str:
    """The picture in 256 colours as DEC sixels: bands of six rows, each colour of a band in one pass."""
    import numpy as np

    indexed = image.quantize(256)
    palette = indexed.getpalette() or []
    cells = np.asarray(indexed)
    height, width = cells.shape
    out = [f'\x1bP0;1;q"1;1;{width};{height}']
    for colour in np.unique(cells):
        red, green, blue = (round(part * 100 / 255) for part in palette[3 * colour : 3 * colour + 3])
        out.append(f"#{colour};2;{red};{green};{blue}")
    weights = 1 << np.arange(6)
    for top in range(0, height, 6):
        band = cells[top : top + 6]
        for colour in np.unique(band):
            bits = ((band == colour) * weights[: len(band), None]).sum(axis=0)
            out.append(f"#{colour}{_run_lengths(bytes((bits + 63).astype(np.uint8)).decode())}$")
        out.append("-")
    return "".join(out) + "\x1b\\"


def _run_lengths(text: str) -> str:
    return re.sub(r"(.)\1{3,}", lambda run: f"!{len(run[0])}{run[1]}", text)


def _png(image: Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
