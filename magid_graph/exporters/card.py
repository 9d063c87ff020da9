"""`README.md` and `scores.svg`: a data set's papers, as the Hugging Face hub shows them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined

from magid_graph import __version__
from magid_graph.exporters.folder import Folder
from magid_graph.exporters.layout import SPLITS

_WIDTH, _BASE, _TOP, _GAP = 260, 150, 28, 30
_ACCEPTED, _REFUSED = "#3b6ea8", "#c9c3b8"
_LIMITS = {"clip_similarity": "min_clip_similarity", "aesthetic": "min_aesthetic", "nsfw": "max_nsfw"}
_HUB_SPLITS = {"valid": "validation"}


def write_card(
    folder: Folder,
    figures: Mapping[str, Any],
    *,
    title: str,
    formats: Mapping[str, str | None],
    licence: str | None,
) -> None:
    """Write the papers of what is in the folder by now.

    Args:
        figures: those of the run.
        formats: what the folder holds, each with where `datasets` finds a split of it.
        licence: what it is given on under, if that can be said.
    """
    count = figures["all"]["pairs" if figures["kind"] == "pairs" else "dialogues"]
    with folder.text("README.md") as file:
        file.write(
            _environment()
            .from_string(_template("card.md"))
            .render(
                f=figures,
                title=title,
                version=__version__,
                formats=list(formats),
                licence=licence,
                size=size_category(count),
                tasks=["text-to-image", "image-to-text"] if figures["kind"] == "pairs" else ["image-text-to-text"],
                data_files=_data_files(folder, [where for where in formats.values() if where]),
                notes=sorted((note, number) for note, number in folder.notes.items() if number),
            )
        )
    if figures["scores"]:
        with folder.text("scores.svg") as file:
            file.write(_plots(figures["scores"], figures["limits"]))


def size_category(count: int) -> str:
    """As the hub names sizes: `1K<n<10K`."""
    bounds = ("1K", "10K", "100K", "1M", "10M", "100M")
    place = next((at for at in range(len(bounds)) if count < 1000 * 10**at), len(bounds))
    if place == 0:
        return "n<1K"
    return f"n>{bounds[-1]}" if place == len(bounds) else f"{bounds[place - 1]}<n<{bounds[place]}"


def _data_files(folder: Folder, places: Sequence[str]) -> list[tuple[str, str]]:
    """The splits that are there, by the hub's names, and where their rows are."""
    if not places:
        return []
    found = ((split, places[0].format(split=split)) for split in SPLITS)
    return [
        (_HUB_SPLITS.get(split, split), place)
        for split, place in found
        if next(folder.made.glob(place), None) is not None
    ]


def _environment() -> Environment:
    environment = Environment(
        trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    environment.filters.update(quoted=json.dumps, cell=_cell, words=lambda name: str(name).replace("_", " "))
    return environment


def _template(name: str) -> str:
    return (resources.files(__package__) / name).read_text("utf-8")


def _cell(text: object) -> str:
    """A stranger's text in one cell of a table, as text."""
    kept = " ".join(str(text).split())
    return "".join(f"\\{mark}" if mark in "\\`*_{}[]<>()#+!|~" else mark for mark in kept)


def _plots(scores: Mapping[str, Any], limits: Mapping[str, float]) -> str:
    plots = [
        _plot(name, spread["bars"], limits[_LIMITS[name]], 20 + number * (_WIDTH + _GAP))
        for number, (name, spread) in enumerate(scores.items())
    ]
    width = 20 + len(plots) * (_WIDTH + _GAP)
    return (
        Environment(trim_blocks=True, autoescape=True)
        .from_string(_template("scores.svg"))
        .render(plots=plots, width=width, height=_BASE + 60, base=_BASE)
    )


def _plot(name: str, bars: Mapping[str, Any], limit: float, x: int) -> dict[str, Any]:
    accepted, refused = bars["accepted"], bars["refused"]
    places = len(accepted)
    step, tallest = _WIDTH / places, max(a + r for a, r in zip(accepted, refused, strict=True))
    first, last = bars["from"], round(bars["from"] + places * bars["width"], 6)
    at = (limit - first) / (last - first) * _WIDTH
    return {
        "name": name.replace("_", " "),
        "x": x,
        "width": _WIDTH,
        "first": first,
        "last": last,
        "limit": {"x": round(at, 1), "value": limit} if 0 <= at <= _WIDTH else None,
        "bars": [
            bar
            for place, (a, r) in enumerate(zip(accepted, refused, strict=True))
            for bar in _stack(place * step, step, a / tallest, r / tallest)
        ],
    }


def _stack(x: float, step: float, accepted: float, refused: float) -> list[dict[str, Any]]:
    """The bar of what was accepted, and on it that of what was refused."""
    room = _BASE - _TOP
    tops = (accepted * room, (accepted + refused) * room)
    wide = max(1.0, math.floor(step * 10) / 10 - 0.5)
    shapes = ((0.0, tops[0], _ACCEPTED), (tops[0], tops[1], _REFUSED))
    return [
        {
            "x": round(x, 1),
            "y": round(_BASE - top, 1),
            "width": round(wide, 1),
            "height": round(top - bottom, 1),
            "fill": fill,
        }
        for bottom, top, fill in shapes
        if top > bottom
    ]
