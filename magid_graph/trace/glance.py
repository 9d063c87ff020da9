"""A run at a glance: what became of its items, which edges they took, and how the scores lie against the limits."""

from __future__ import annotations

import heapq
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import TypedDict

from magid_graph.records import Attempt, Limits, Verdict
from magid_graph.trace.judging import JUDGED, ScoreName, fault_of
from magid_graph.trace.reading import Trace

BINS = 32
_MOST = 5
"""Slowest and most redrawn items that are named."""


class Judged(TypedDict):
    """What became of all attempts with the same number."""

    attempt: int
    """Counted from 1 within each moment."""
    accept: int
    regenerate: int
    feedback: int
    discard: int
    rescued: float
    """Share of all moments that were kept at this attempt, 0 to 1."""


class Histogram(TypedDict):
    """How often a score fell into each of equal parts of its range."""

    score: str
    limit_name: str
    limit: float
    low: float
    high: float
    bins: list[int]
    kept: list[int]
    """Those of `bins` whose pictures were kept."""
    passed: int
    refused: int


@dataclass(slots=True)
class _Scores:
    """The values of one score, of pictures that were kept and of others."""

    kept: array[float] = field(default_factory=lambda: array("d"))
    others: array[float] = field(default_factory=lambda: array("d"))


@dataclass(slots=True)
class Glance:
    """Counts over the items that were asked for."""

    limits: Limits
    items: Counter[str] = field(default_factory=Counter)
    """By state."""
    why: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """By state, then by reason or cause; `given up` counts moments of items that ended otherwise too."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Items by each reason why they, or moments of theirs, have no picture."""
    moments: int = 0
    edges: Counter[str] = field(default_factory=Counter)
    """How often each edge was taken, where there was a choice: `qa/accept`, `scanner/each moment`."""
    verdicts: dict[int, Counter[Verdict]] = field(default_factory=lambda: defaultdict(Counter))
    """By number of the attempt, counted from 1."""
    refused: Counter[str] = field(default_factory=Counter)
    """Attempts by the reason they were refused for."""
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(lambda: [0, 0.0]))
    """By node: how often it ran, and for how long."""
    pairs: Counter[int] = field(default_factory=Counter)
    """Accepted pairs by iteration."""
    slowest: list[tuple[float, str]] = field(default_factory=list)
    most_redrawn: list[tuple[int, str, int, str]] = field(default_factory=list)
    """Attempts, key, turn, and how it ended."""
    _scores: dict[ScoreName, _Scores] = field(default_factory=lambda: defaultdict(_Scores))

    def add(self, trace: Trace) -> None:
        self.items[trace.state] += 1
        if trace.reason:
            self.why[trace.state][trace.reason] += 1
        self.reasons.update(trace.reasons())
        _keep(self.slowest, (trace.duration_s or 0.0, trace.key))
        for step in trace.steps:
            ran = self.seconds[step.node]
            ran[0] += 1
            ran[1] += step.duration_s
            if step.edge:
                self.edges[f"{step.node}/{step.edge}"] += step.branches
        self.pairs.update(pair["iteration"] for pair in trace.pairs if pair["accepted"])
        for turn, attempts in trace.moments().items():
            self._add_moment(trace.key, turn, attempts)

    def _add_moment(self, key: str, turn: int, attempts: Sequence[Attempt]) -> None:
        self.moments += 1
        last = attempts[-1]
        if last["verdict"] == "discard":
            self.why["given up"][last["reason"] or "?"] += 1
        if len(attempts) > 1:
            _keep(self.most_redrawn, (len(attempts), key, turn, fault_of(last) or "accepted"))
        for number, attempt in enumerate(attempts, 1):
            self.verdicts[number][attempt["verdict"]] += 1
            if attempt["reason"]:
                self.refused[attempt["reason"]] += 1
            for score, _ in JUDGED.values():
                if (value := attempt["scores"][score]) is not None:
                    scores = self._scores[score]
                    (scores.kept if attempt["verdict"] == "accept" else scores.others).append(value)

    def judged(self) -> list[Judged]:
        """What each further attempt was good for."""
        return [
            Judged(
                attempt=number,
                accept=counts["accept"],
                regenerate=counts["regenerate"],
                feedback=counts["feedback"],
                discard=counts["discard"],
                rescued=counts["accept"] / self.moments,
            )
            for number, counts in sorted(self.verdicts.items())
        ]

    def histograms(self) -> list[Histogram]:
        """Each score that was measured, beside the limit of the run."""
        return [
            _histogram(score, limit, self.limits[limit], self._scores[score], is_most=check == "safety")
            for check, (score, limit) in JUDGED.items()
            if score in self._scores
        ]

    def as_json(self) -> dict[str, Any]:
        return {
            "items": dict(self.items),
            "reasons": dict(self.reasons.most_common()),
            "why": {state: dict(counts) for state, counts in self.why.items()},
            "edges": dict(self.edges),
            "by_attempt": self.judged(),
            "moments": self.moments,
            "refused": dict(self.refused),
            "scores": self.histograms(),
            "pairs_by_iteration": {str(iteration): count for iteration, count in sorted(self.pairs.items())},
            "nodes": {node: {"runs": int(runs), "seconds": round(s, 3)} for node, (runs, s) in self.seconds.items()},
            "slowest": [{"key": key, "duration_s": seconds} for seconds, key in sorted(self.slowest, reverse=True)],
            "most_redrawn": [
                {"key": key, "turn": turn, "attempts": attempts, "end": end}
                for attempts, key, turn, end in sorted(self.most_redrawn, reverse=True)
            ],
        }


def glance(traces: Iterable[Trace], limits: Limits) -> Glance:
    """Look at each trace once."""
    seen = Glance(limits)
    for trace in traces:
        seen.add(trace)
    return seen


def _histogram(score: str, limit_name: str, limit: float, values: _Scores, *, is_most: bool) -> Histogram:
    """`is_most`: the limit is the largest value that passes, else the smallest."""
    every = [*values.kept, *values.others]
    low, high = min(*every, limit), max(*every, limit)
    passed = sum(value <= limit if is_most else value >= limit for value in every)
    return Histogram(
        score=score,
        limit_name=limit_name,
        limit=limit,
        low=low,
        high=high,
        bins=_bins(every, low, high),
        kept=_bins(values.kept, low, high),
        passed=passed,
        refused=len(every) - passed,
    )


def _bins(values: Iterable[float], low: float, high: float) -> list[int]:
    width = (high - low) / BINS or 1.0
    counts = Counter(min(BINS - 1, int((value - low) / width)) for value in values)
    return [counts[n] for n in range(BINS)]


def _keep(largest: list[Any], entry: Any) -> None:
    heapq.heappush(largest, entry)
    if len(largest) > _MOST:
        heapq.heappop(largest)
