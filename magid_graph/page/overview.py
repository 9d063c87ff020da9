"""What the page says about the run as a whole, gathered while its items stream by."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from magid_graph.page.items import accepted
from magid_graph.records import Attempt
from magid_graph.trace.judging import JUDGED
from magid_graph.trace.reading import Trace

_BINS = 28
"""Bars of a histogram."""


@dataclass(slots=True)
class _Scores:
    """The values of one score, of pictures that were kept and of others."""

    kept: array[float] = field(default_factory=lambda: array("f"))
    refused: array[float] = field(default_factory=lambda: array("f"))

    def add(self, value: float, *, is_kept: bool) -> None:
        (self.kept if is_kept else self.refused).append(value)

    def histogram(self, limit: float) -> dict[str, Any]:
        """Counts in bins from the smallest to the largest value, the limit among them."""
        values = [*self.kept, *self.refused, limit]
        low, high = min(values), max(values)
        width = (high - low) / _BINS or 1.0

        def counts(some: array[float]) -> list[int]:
            found = Counter(min(_BINS - 1, int((value - low) / width)) for value in some)
            return [found[n] for n in range(_BINS)]

        return {
            "low": low,
            "high": high,
            "limit": limit,
            "kept": counts(self.kept),
            "refused": counts(self.refused),
        }


@dataclass(slots=True)
class Overview:
    """Counts over all items that were added."""

    states: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    edges: Counter[str] = field(default_factory=Counter)
    accepted_at: Counter[int] = field(default_factory=Counter)
    """Pictures kept, by the number of the attempt."""
    attempts_at: Counter[int] = field(default_factory=Counter)
    """Pictures drawn, by the number of the attempt."""
    pairs: int = 0
    _scores: dict[str, _Scores] = field(default_factory=lambda: {score: _Scores() for score, _ in JUDGED.values()})
    _limits: dict[str, float] = field(default_factory=dict)

    def add(self, trace: Trace, edges: dict[str, int]) -> None:
        self.states[trace.state] += 1
        self.reasons.update(trace.reasons())
        self.edges.update(edges)
        self.pairs += len(trace.pairs)
        self.accepted_at.update(attempt["n"] + 1 for attempt in accepted(trace.attempts))
        for attempt in trace.attempts:
            self.verdicts[attempt["verdict"]] += 1
            self.attempts_at[attempt["n"] + 1] += 1
            self._add_scores(attempt)

    def _add_scores(self, attempt: Attempt) -> None:
        for score, limit in JUDGED.values():
            self._limits[score] = attempt["limits"][limit]
            if (value := attempt["scores"][score]) is not None:
                self._scores[score].add(value, is_kept=attempt["verdict"] == "accept")

    def as_json(self) -> dict[str, Any]:
        measured = {name: one for name, one in self._scores.items() if one.kept or one.refused}
        return {
            "states": dict(self.states),
            "reasons": dict(self.reasons.most_common()),
            "verdicts": dict(self.verdicts),
            "edges": dict(self.edges),
            "yield": [[n, self.attempts_at[n], self.accepted_at[n]] for n in sorted(self.attempts_at)],
            "pairs": self.pairs,
            "histograms": {name: one.histogram(self._limits[name]) for name, one in measured.items()},
        }
