"""The cycle of a run of pairs on the terminal: a table and a plot by iteration, and how different the texts are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from magid_graph.health import Iteration

_COLUMNS = ("iteration", "pairs", "agreement", "drift text", "drift image", "fixed", "unmoved", "alike", "distinct-2")
_CURVES = (("agreement", "+"), ("drift_text", "o"), ("drift_image", "x"))
_HEIGHT = 8
_MOST_ROWS = 20
"""Iterations in table and plot; of more, as many spread evenly."""


def table(cycle: Sequence[Iteration]) -> tuple[Sequence[str], list[tuple[str, ...]]]:
    """Columns and rows, a row for each iteration."""
    return _COLUMNS, [_row(one) for one in _spread(cycle)]


def plot(cycle: Sequence[Iteration]) -> list[str]:
    """Agreement and drift over the iterations, on a scale from 0 to the largest of them."""
    shown = _spread(cycle)
    top = max((value for one in shown for name, _ in _CURVES if (value := _value(one, name)) is not None), default=0.0)
    if len(shown) < 2 or top <= 0:
        return []
    width = max(3, len(str(shown[-1]["iteration"])) + 1)
    grid = [[" " * width for _ in shown] for _ in range(_HEIGHT)]
    for column, one in enumerate(shown):
        for name, mark in _CURVES:
            if (value := _value(one, name)) is not None:
                row = _HEIGHT - 1 - round(max(0.0, value) / top * (_HEIGHT - 1))
                grid[row][column] = (grid[row][column].strip() + mark).rjust(width)
    labels = [f"{top:.2f}", *[""] * (_HEIGHT - 2), "0.00"]
    lines = [f"{label:>5} |{''.join(cells)}" for label, cells in zip(labels, grid, strict=True)]
    axis = "".join(f"{one['iteration']:>{width}}" for one in shown)
    return [*lines, f"      +{'-' * len(axis)}", f"       {axis}  iteration"]


LEGEND = "+ agreement of picture and caption, o drift of the text, x drift of the picture"


def diversity_line(found: Mapping[str, Any]) -> str:
    """`100 descriptions: mean distance 0.41, distinct-2 0.83, topic balance 0.99`"""
    figures = (
        ("mean distance", found["distance"]),
        ("distinct-1", found["distinct_1"]),
        ("distinct-2", found["distinct_2"]),
        ("topic balance", found["topic_balance"]),
    )
    told = ", ".join(f"{name} {value:.2f}" for name, value in figures if value is not None)
    dropped = ", ".join(f"{count} {why}" for why, count in found["dropped"].items())
    asked = f"{found['descriptions']} first descriptions in {found['questions']} questions"
    return f"{asked}: {told}" + (f" (lines dropped: {dropped})" if dropped else "")


def pairs_line(pairs: Mapping[str, Any]) -> str:
    """`pairs: 500 accepted of 500`"""
    wanted = f" of {pairs['wanted']}" if pairs["wanted"] else ""
    refused = "".join(f", {count} {reason}" for reason, count in pairs["refused"].items())
    ends = ", ".join(f"{count} {end}" for end, count in pairs["ends"].items())
    refused += " (what was given is used up)" if pairs["is_short"] else ""
    return f"pairs: {pairs['accepted']} accepted{wanted}{refused}" + (f" | chains ended by: {ends}" if ends else "")


def plan_line(plan: Mapping[str, Any]) -> str:
    """`100 chains (10 batches of 10) of at most 5 iterations: 500 pairs`"""
    pairs = plan["pairs"]
    told = f"{pairs[1]:,}" if pairs[0] == pairs[1] else f"{pairs[0]:,} to {pairs[1]:,}"
    return f"{plan['chains']}, {plan['iterations']} iterations each: {told} pairs"


def _spread(cycle: Sequence[Iteration]) -> list[Iteration]:
    if len(cycle) <= _MOST_ROWS:
        return list(cycle)
    return [cycle[round(at * (len(cycle) - 1) / (_MOST_ROWS - 1))] for at in range(_MOST_ROWS)]


def _row(one: Iteration) -> tuple[str, ...]:
    means = [_value(one, name) for name in ("agreement", "drift_text", "drift_image")]
    shares = (one["fixed_points"], one["unmoved"], one["alike"])
    return (
        str(one["iteration"]),
        str(one["pairs"]),
        *("" if value is None else f"{value:.3f}" for value in means),
        *(f"{100 * share:.0f} %" for share in shares),
        "" if one["distinct_2"] is None else f"{one['distinct_2']:.3f}",
    )


def _value(one: Iteration, name: str) -> float | None:
    value: float | None = one[name]  # type: ignore[literal-required]
    return value
