"""What differs between two recordings of the same items: a branch and its original, or two runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from magid_graph.errors import UsageError
from magid_graph.records import Attempt
from magid_graph.trace.judging import fault_of, measured
from magid_graph.trace.reading import Reading, Trace

_SAME_SCORE = 1e-4
"""Models that work on batches of another size differ in the last digits."""


@dataclass(frozen=True, slots=True)
class Beside:
    """The same attempt on both sides; `None`: there it was not made."""

    turn: int
    number: int
    """Counted from 1."""
    left: Attempt | None
    right: Attempt | None

    def changed(self) -> list[str]:
        """The names of what differs."""
        if self.left is None or self.right is None:
            return ["only left" if self.left else "only right"]
        one, other = told(self.left), told(self.right)
        return [name for name in one if one[name] != other[name] and not _is_near(name, self.left, self.right)]


@dataclass(frozen=True, slots=True)
class Pair:
    """One item on both sides."""

    left: Trace
    right: Trace

    def attempts(self) -> list[Beside]:
        ones = {(a["turn"], a["n"]): a for a in self.left.attempts}
        others = {(a["turn"], a["n"]): a for a in self.right.attempts}
        return [
            Beside(turn, n + 1, ones.get((turn, n)), others.get((turn, n))) for turn, n in sorted(ones.keys() | others)
        ]

    def changed(self) -> list[Beside]:
        return [beside for beside in self.attempts() if beside.changed()]

    def what(self) -> list[str]:
        """In which respects the item differs; empty where it is the same."""
        ends = [] if end_of(self.left) == end_of(self.right) else ["end"]
        kept = [] if _kept(self.left) == _kept(self.right) else ["pictures kept"]
        inner = {name for beside in self.changed() for name in beside.changed()}
        attempts = ["attempts made"] if inner & {"only left", "only right"} else []
        return ends + kept + attempts + sorted(inner - {"only left", "only right"})


def told(attempt: Attempt) -> dict[str, str]:
    """An attempt as it is shown beside another."""
    image = attempt["image"]
    return {
        "description": attempt["description"],
        "prompt": attempt["prompt"],
        "seed": str(attempt["seed"]),
        "picture": image["sha256"][:12] if image else "none",
        **{one.score: str(one) for one in measured(attempt)},
        "verdict": f"{attempt['verdict']}{': ' + fault_of(attempt) if attempt['reason'] else ''}",
    }


def end_of(trace: Trace) -> str:
    """`rejected: ugly`"""
    return f"{trace.state}: {trace.reason}" if trace.reason else trace.state


@dataclass(slots=True)
class RunDiff:
    """Two runs over the same items."""

    same: int
    changed: list[Pair]
    only_left: list[str]
    only_right: list[str]

    def ends(self) -> Counter[tuple[str, str]]:
        """How many of the changed items ended so on the left and so on the right."""
        return Counter((end_of(pair.left), end_of(pair.right)) for pair in self.changed)


def pairs(left: Reading, right: Reading) -> Iterator[Pair]:
    """The items that both runs have, in the left one's order."""
    for trace in left.traces(with_exchanges=False):
        other = right.find(trace.key)
        if other is not None:
            yield Pair(trace, other)


def compare(left: Reading, right: Reading) -> RunDiff:
    """All items of two runs. Raises `UsageError` where they have none in common."""
    found = RunDiff(0, [], [], [])
    for pair in pairs(left, right):
        if pair.what():
            found.changed.append(pair)
        else:
            found.same += 1
    lefts, rights = set(left.rows.keys()), set(right.rows.keys())
    found.only_left, found.only_right = sorted(lefts - rights), sorted(rights - lefts)
    if not found.same and not found.changed:
        raise UsageError(f"`{left.run.path}` and `{right.run.path}` have no item in common: nothing can be compared")
    return found


def as_json(pair: Pair) -> dict[str, Any]:
    return {
        "key": pair.left.key,
        "left": end_of(pair.left),
        "right": end_of(pair.right),
        "changed": pair.what(),
        "attempts": [
            {
                "turn": beside.turn,
                "attempt": beside.number,
                "changed": beside.changed(),
                "left": beside.left,
                "right": beside.right,
            }
            for beside in pair.changed()
        ],
    }


def _kept(trace: Trace) -> list[tuple[int, str]]:
    return [(a["turn"], a["image"]["sha256"]) for a in trace.attempts if a["verdict"] == "accept" and a["image"]]


def _is_near(name: str, left: Attempt, right: Attempt) -> bool:
    if left["limits"] != right["limits"]:
        return False
    ones, others = measured(left), measured(right)
    return any(
        one.score == name
        and one.value is not None
        and other.value is not None
        and abs(one.value - other.value) < _SAME_SCORE
        for one, other in zip(ones, others, strict=True)
    )
