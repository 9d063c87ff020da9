"""`pairs --dry-run`: what a run of pairs would do, without loading a model."""

from __future__ import annotations

from typing import Any

from magid_graph.beginnings import Beginnings
from magid_graph.config import Cycle, Loaded, Retry, Settings
from magid_graph.plan import bytes_each


def plan_of_pairs(source: Beginnings | None, loaded: Loaded) -> dict[str, Any]:
    """Chains, pairs, and an estimate of calls and disk; the input is read.

    Raises:
        InputError: the input cannot be read.
    """
    settings = loaded.settings
    given = None if source is None else source.count()
    chains = _chains(settings.cycle, given)
    drawn_first = source is None or source.begins_with == "descriptions"
    return {
        "preset": loaded.preset,
        "models": settings.models.model_dump(),
        "chains": _told(settings.cycle, given, chains),
        "iterations": settings.cycle.iterations,
        "pairs": _pairs(settings, chains),
        "estimate": _estimate(settings, chains, is_described=source is None, drawn_first=drawn_first),
    }


def _chains(cycle: Cycle, given: int | None) -> list[int]:
    """Least and most; with a count and nothing refused or stopped early, the least are enough."""
    if cycle.count is None:
        chains = cycle.batches * cycle.descriptions if given is None else given
        return [chains, chains]
    least = -(-cycle.count // cycle.iterations)
    # A pair is at least one iteration of a chain: where every other is refused, it takes a chain for each.
    return [least, cycle.count] if given is None else [min(least, given), min(cycle.count, given)]


def _told(cycle: Cycle, given: int | None, chains: list[int]) -> str:
    if given is not None:
        return f"{given:,} chains that are given"
    if cycle.count is None:
        return f"{chains[0]:,} chains ({cycle.batches} batches of {cycle.descriptions})"
    return f"{chains[0]:,} chains or more, until {cycle.count:,} pairs are accepted"


def _pairs(settings: Settings, chains: list[int]) -> list[int]:
    cycle = settings.cycle
    if cycle.count is not None:
        return [cycle.count, cycle.count]
    may_end_early = cycle.stop_fixed_point or cycle.stop_drift is not None
    sure = not may_end_early and cycle.qa == "off" and "safety" not in settings.qa.checks
    whole = chains[1] * cycle.iterations
    # A picture that is found unsafe is no pair, also with QA off.
    return [whole if sure else 0, whole]


def _estimate(settings: Settings, chains: list[int], *, is_described: bool, drawn_first: bool) -> dict[str, list[int]]:
    """Least and most: each chain ends with its first picture and no question is asked twice; or all of it."""
    cycle, asking, drawing = settings.cycle, settings.describer, settings.generator
    may_end = cycle.stop_fixed_point or cycle.stop_drift is not None or cycle.qa == "gate"
    retry = settings.retry if cycle.qa == "gate" else Retry(regenerate=0, feedback=0)
    looked = [chains[0] * (1 if may_end else cycle.iterations), chains[1] * cycle.iterations]
    pictures = [max(0, n - (0 if drawn_first else chains[at])) for at, n in enumerate(looked)]
    batches = [-(-n // cycle.descriptions) if is_described else 0 for n in chains]
    least, most = -(-cycle.descriptions // asking.at_once), cycle.descriptions * asking.patience
    shortened = pictures[1] * (1 + retry.feedback) if drawing.too_long == "shorten" else 0
    drawn = pictures[1] * retry.max_attempts()
    return {
        "describer_questions": [batches[0] * least, batches[1] * most],
        "other_llm_calls": [0, shortened + 2 * pictures[1] * retry.feedback],
        "pictures": [pictures[0], drawn],
        "pictures_drawn_with_blanks": [pictures[0], drawn * (1 + drawing.max_faults)],
        "captions": [looked[0], 2 * looked[1]],
        "disk_bytes": [pictures[0] * bytes_each(settings), drawn * bytes_each(settings)],
    }
