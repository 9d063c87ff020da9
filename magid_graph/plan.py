"""`--dry-run`: what a run would do, without loading a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from magid_graph.config import Generator, Loaded, Settings
from magid_graph.errors import InputError
from magid_graph.protocol import render_turns, rough_tokens, windows
from magid_graph.readers import Input
from magid_graph.records import Turn, is_bad
from magid_graph.room import room_for_dialogue


@dataclass(slots=True)
class _Sums:
    """Over the good dialogues of an input."""

    dialogues: int = 0
    turns: int = 0
    windows: int = 0
    """Scanned one by one: more than dialogues where some are longer than the language model's context."""
    moments: int = 0
    """At most."""


def plan_of(source: Input, loaded: Loaded, *, limit: int | None) -> dict[str, Any]:
    """What a run would do, without loading a model: input checked, models, and an estimate of calls and disk.

    Raises:
        InputError: the input cannot be read.
    """
    settings = loaded.settings
    budget, sums = room_for_dialogue(settings), _Sums()
    faults: list[str] = []
    for row in source.dialogues(limit=limit, max_utterance_chars=settings.run.max_utterance_chars):
        if is_bad(row):
            faults.append(row["message"])
        else:
            _add(sums, row["turns"], settings, budget)
    if not sums.dialogues and not faults:
        raise InputError(f"`{source.name}` holds no dialogue")
    return {
        "preset": loaded.preset,
        "models": settings.models.model_dump(),
        "dialogues": sums.dialogues,
        "turns": sums.turns,
        "unreadable": len(faults),
        "faults": faults[:10],
        "estimate": _estimate(settings, sums),
    }


def _add(sums: _Sums, turns: Sequence[Turn], settings: Settings, budget: int) -> None:
    sums.dialogues += 1
    sums.turns += len(turns)
    lines = render_turns(turns, range(len(turns)))
    sums.windows += len(windows(lines, budget, settings.scanner.window_overlap, rough_tokens))
    sums.moments += min(len(turns), settings.scanner.max_images_per_dialogue or len(turns))


def _estimate(settings: Settings, sums: _Sums) -> dict[str, list[int]]:
    """Least and most: no moment in any dialogue; the limit in every one, and every question and drawing repeated."""
    retry, drawing = settings.retry, settings.generator
    pictures = sums.moments * retry.max_attempts()
    shortened = sums.moments * (1 + retry.feedback) if drawing.too_long == "shorten" else 0
    return {
        # Replies that cannot be read are asked again once; one that shortens is not.
        "llm_calls": [sums.windows, 2 * (sums.windows + sums.moments * retry.feedback) + shortened],
        "moments": [0, sums.moments],
        "pictures": [0, pictures],
        "pictures_drawn_with_blanks": [0, pictures * (1 + drawing.max_faults)],
        "disk_bytes": [0, pictures * bytes_each(settings)],
    }


def bytes_each(settings: Settings) -> int:
    """Of one picture: a photographic one takes about 1.9 bytes a pixel as PNG and 0.4 as JPEG at quality 95."""
    return int(_pixels(settings.generator) * (1.9 if settings.run.image_format == "png" else 0.4))


def _pixels(drawing: Generator) -> int:
    """Of one picture; where only the pipeline knows its size, that of SDXL, or a square that is scaled up."""
    default = drawing.upscale_to or 1024
    width, height = drawing.width or drawing.height or default, drawing.height or drawing.width or default
    factor = max(1.0, (drawing.upscale_to or 0) / min(width, height))
    return int(width * height * factor**2)
