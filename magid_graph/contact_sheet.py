"""`contact_sheet.png`: chains of pairs, each picture above the caption that was written from it."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from magid_graph.artifacts import Artifacts, write_atomically

if TYPE_CHECKING:
    from PIL.Image import Image

    from magid_graph.journal import Journal
    from magid_graph.records import Pair

CHAINS, ITERATIONS = 10, 5
"""The most that are shown: chains spread over the run, and their first iterations."""

_SIDE, _GAP, _LINE, _LINES, _LETTERS = 160, 12, 14, 3, 27
_INK, _DIM, _PAPER = (20, 20, 20), (110, 110, 110), (255, 255, 255)


def write_contact_sheet(journal: Journal, run_dir: Path) -> Path | None:
    """Draw it, if there is any pair. Raises `DamagedPicture` where a picture is not the one that was judged."""
    chains = _chains(journal)
    path = run_dir / "contact_sheet.png"
    if not chains:
        return None
    buffer = io.BytesIO()
    sheet(chains, Artifacts(run_dir)).save(buffer, "PNG", optimize=True)
    write_atomically(path, buffer.getvalue())
    return path


def sheet(chains: Sequence[Sequence[Pair]], artifacts: Artifacts) -> Image:
    """One row for each chain: what it began with, then its pictures with their captions."""
    from PIL import Image as pillow
    from PIL import ImageDraw

    cell = _SIDE + _GAP
    columns = 1 + max(len(chain) for chain in chains)
    height = _SIDE + _LINES * _LINE + 2 * _GAP
    canvas = pillow.new("RGB", (columns * cell + _GAP, len(chains) * height + _GAP), _PAPER)
    pen = ImageDraw.Draw(canvas)
    for row, chain in enumerate(chains):
        top = _GAP + row * height
        begun = chain[0]["description"]
        _write(pen, (_GAP, top + _SIDE // 3), f"“{begun}”" if begun else "a given picture", _DIM)
        for column, pair in enumerate(chain, 1):
            left = _GAP + column * cell
            picture = artifacts.open(pair["image"]).copy()
            picture.thumbnail((_SIDE, _SIDE), pillow.Resampling.LANCZOS)
            canvas.paste(picture, (left, top))
            _write(pen, (left, top + _SIDE + 3), pair["caption"], _INK)
    # Few colours are enough for a glance, and a third of the size.
    return canvas.quantize(256, dither=pillow.Dither.NONE)


def _write(pen: object, at: tuple[int, int], text: str, ink: tuple[int, int, int]) -> None:
    from PIL import ImageFont

    lines = textwrap.wrap(text, _LETTERS)
    if len(lines) > _LINES:
        lines = [*lines[: _LINES - 1], f"{lines[_LINES - 1][: _LETTERS - 2]} …"]
    pen.multiline_text(at, "\n".join(lines), fill=ink, font=ImageFont.load_default(11), spacing=2)  # type: ignore[attr-defined]


def _chains(journal: Journal) -> list[list[Pair]]:
    """The first pairs of accepted chains, evenly spread over the run."""
    accepted = journal.counts()["accepted"]
    shown = min(CHAINS, accepted)
    places = {round(n * accepted / max(1, shown)) for n in range(shown)}
    found: list[list[Pair]] = []
    for number, (_, chain) in enumerate(groupby(journal.pairs(), key=lambda pair: pair["key"])):
        if number in places:
            found.append(list(chain)[:ITERATIONS])
            if len(found) == shown:
                break
    return found
