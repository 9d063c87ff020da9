"""`--dry-run`: what a run would do, without loading a model."""

from __future__ import annotations

from typing import Any

from magid_graph.config import Loaded, Settings
from magid_graph.errors import InputError
from magid_graph.readers import Input
from magid_graph.records import is_bad


def plan_of(source: Input, loaded: Loaded, *, limit: int | None) -> dict[str, Any]:
    """What a run would do, without loading a model: input checked, models, and an estimate of calls and disk.

    Raises:
        InputError: the input cannot be read.
    """
    settings = loaded.settings
    good = bad = turns = 0
    faults: list[str] = []
    for row in source.dialogues(limit=limit, max_utterance_chars=settings.run.max_utterance_chars):
        if is_bad(row):
            bad += 1
            faults.append(row["message"])
        else:
            good += 1
            turns += len(row["turns"])
    if not good and not bad:
        raise InputError(f"`{source.name}` holds no dialogue")
    return {
        "preset": loaded.preset,
        "models": settings.models.model_dump(),
        "dialogues": good,
        "turns": turns,
        "unreadable": bad,
        "faults": faults[:10],
        "estimate": _estimate(settings, good, turns),
    }


def _estimate(settings: Settings, dialogues: int, turns: int) -> dict[str, list[int]]:
    """Least and most: `[0 moments in every dialogue, the limit in every dialogue and every attempt needed]`."""
    moments = min(turns, dialogues * (settings.scanner.max_images_per_dialogue or turns))
    pictures = moments * settings.retry.max_attempts()
    side = settings.generator.upscale_to or settings.generator.width or 1024
    # A photographic picture takes about 1.9 bytes a pixel as PNG and 0.4 as JPEG at quality 95.
    bytes_each = int(side * side * (1.9 if settings.run.image_format == "png" else 0.4))
    return {
        "llm_calls": [dialogues, 2 * (dialogues + moments * settings.retry.feedback)],
        "moments": [0, moments],
        "pictures": [0, pictures],
        "disk_bytes": [0, pictures * bytes_each],
    }
