"""Deciding again from recorded scores: no model is asked, and the run is only read."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from magid_graph.config import Qa
from magid_graph.nodes.qa import judged_similarity, refusal
from magid_graph.records import Attempt, Limits, Pair, Reason, Scores
from magid_graph.trace.judging import JUDGED, LimitName, ScoreName
from magid_graph.trace.reading import Trace

CHANGEABLE = ("qa.checks", "qa.clip_against", "qa.never_refuse", *(f"qa.{limit}" for _, limit in JUDGED.values()))
"""Settings that decide on recorded scores; any other would need a model."""

_STEPS = 9
"""Values of a limit in its curve."""

Change = Literal["accepted", "refused", "another picture"]
"""What becomes of a moment that was decided otherwise before."""


@dataclass(frozen=True, slots=True)
class Again:
    """One moment, decided again."""

    attempts: list[Attempt]
    """Up to the first that passes, with the verdicts that they would have had."""
    kept: Attempt | None
    is_unknown: bool
    """A check that would decide was not measured: an earlier one had failed, and `qa.measure_all` was off."""

    def change(self, before: Sequence[Attempt]) -> Change | None:
        was = next((attempt for attempt in before if attempt["verdict"] == "accept"), None)
        if (was is None) == (self.kept is None):
            return "another picture" if was and self.kept and was["n"] != self.kept["n"] else None
        return "accepted" if was is None else "refused"


def decide(attempts: Sequence[Attempt], qa: Qa, limits: Limits) -> Again:
    """The first attempt that passes is kept; those after it would not have been drawn.

    A score that was not measured is a refusal, as it is in a run.
    """
    made: list[Attempt] = []
    is_unknown = False
    for attempt in attempts:
        scores = _scores(attempt["scores"], qa)
        reason = reason_of(attempt, scores, qa, limits)
        # A check that raised is known to have refused; one that nobody ran is not known at all.
        is_unknown |= reason == "unchecked" != attempt["reason"]
        verdict = "accept" if reason is None else attempt["verdict"]
        made.append({**attempt, "scores": scores, "limits": limits, "reason": reason, "verdict": verdict})
        if reason is None:
            return Again(made, made[-1], False)
    made[-1] = {**made[-1], "verdict": "discard"}
    return Again(made, None, is_unknown)


def reason_of(attempt: Attempt, scores: Scores, qa: Qa, limits: Limits) -> Reason | None:
    """The first check that the picture fails."""
    if attempt["image"] is None:  # refused for a word
        return attempt["reason"]
    for check in qa.checks:
        reason = None if check in qa.never_refuse else refusal(check, scores, limits)
        if reason is not None:
            return reason
    return None


def _scores(scores: Scores, qa: Qa) -> Scores:
    """With the similarity that these settings judge."""
    utterance, description = scores["clip_utterance"], scores["clip_description"]
    if utterance is None or description is None:
        return scores
    cosines = {"clip_utterance": utterance, "clip_description": description}
    return {**scores, "clip_similarity": judged_similarity(cosines, qa)}


@dataclass(slots=True)
class Requalified:
    """What other limits would change, over a whole run."""

    qa: Qa
    moments: int = 0
    kept_before: int = 0
    kept: int = 0
    unknown: int = 0
    changes: Counter[Change] = field(default_factory=Counter)
    examples: dict[Change, list[tuple[str, int]]] = field(default_factory=lambda: defaultdict(list))
    """Key and turn of the first few moments that change."""
    _scores: dict[ScoreName, array[float]] = field(default_factory=lambda: defaultdict(lambda: array("d")))
    _moments: list[list[Attempt]] = field(default_factory=list)

    def add(self, trace: Trace) -> None:
        for turn, attempts in trace.moments().items():
            again = decide(attempts, self.qa, self.qa.limits())
            change = again.change(attempts)
            self.moments += 1
            self.kept_before += attempts[-1]["verdict"] == "accept"
            self.kept += again.kept is not None
            self.unknown += again.is_unknown
            self._moments.append(attempts)
            if change:
                self.changes[change] += 1
                if len(self.examples[change]) < 5:
                    self.examples[change].append((trace.key, turn))
            for attempt in attempts:
                for score, _ in JUDGED.values():
                    if (value := attempt["scores"][score]) is not None:
                        self._scores[score].append(value)

    def curves(self) -> dict[LimitName, list[tuple[float, int]]]:
        """Moments kept at several values of each limit, the others as they are now."""
        return {limit: list(self._curve(score, limit)) for score, limit in JUDGED.values() if self._scores[score]}

    def _curve(self, score: ScoreName, limit: LimitName) -> Iterator[tuple[float, int]]:
        now = self.qa.limits()
        values = sorted(self._scores[score])
        at = {values[round((len(values) - 1) * part / (_STEPS - 1))] for part in range(_STEPS)}
        for value in sorted({round(one, 3) for one in at} | {now[limit]}):
            limits: Limits = {**now, limit: value}  # type: ignore[misc]
            yield value, sum(decide(one, self.qa, limits).kept is not None for one in self._moments)

    def as_json(self) -> dict[str, Any]:
        return {
            "moments": self.moments,
            "kept_before": self.kept_before,
            "kept": self.kept,
            "unknown": self.unknown,
            "changes": dict(self.changes),
            "examples": {name: [list(one) for one in found] for name, found in self.examples.items()},
            "curves": {name: [list(point) for point in points] for name, points in self.curves().items()},
        }


def requalify(traces: Iterable[Trace], qa: Qa) -> Requalified:
    found = Requalified(qa)
    for trace in traces:
        found.add(trace)
    return found


def pairs_again(pairs: Iterable[Pair], attempts: Sequence[Attempt]) -> list[Pair]:
    """Pairs by the attempts as they are decided now; what refuses a caption, or is one too many, stays."""
    reasons = {attempt["image"]["sha256"]: attempt["reason"] for attempt in attempts if attempt["image"]}
    return [_pair_again(pair, reasons) for pair in pairs]


def _pair_again(pair: Pair, reasons: dict[str, Reason | None]) -> Pair:
    sha256 = pair["image"]["sha256"]
    if pair["reason"] in ("unsafe", "surplus") or sha256 not in reasons:
        return pair
    return {**pair, "reason": reasons[sha256], "accepted": reasons[sha256] is None}
