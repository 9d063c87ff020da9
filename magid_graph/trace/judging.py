"""An attempt's scores beside its limits, and its verdict, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from magid_graph.config import Check, Retry
from magid_graph.records import Attempt, Limits, Scores

ScoreName = Literal["nsfw", "clip_similarity", "aesthetic"]
LimitName = Literal["max_nsfw", "min_clip_similarity", "min_aesthetic"]

JUDGED: dict[Check, tuple[ScoreName, LimitName]] = {
    "safety": ("nsfw", "max_nsfw"),
    "match": ("clip_similarity", "min_clip_similarity"),
    "aesthetic": ("aesthetic", "min_aesthetic"),
}
"""Each check with the score that it judges and the limit that it holds it against."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One score beside its limit."""

    check: Check
    score: ScoreName
    value: float | None
    """`None`: not measured."""
    limit: float
    limit_name: LimitName

    @property
    def passes(self) -> bool:
        """Whether the check lets the picture pass; what was not measured does not."""
        if self.value is None:
            return False
        return self.value <= self.limit if self.check == "safety" else self.value >= self.limit

    def __str__(self) -> str:
        """`clip_similarity 0.182 < 0.210`"""
        if self.value is None:
            return f"{self.score} was not measured"
        sign = {True: "≤", False: ">"} if self.check == "safety" else {True: "≥", False: "<"}
        return f"{self.score} {self.value:.3f} {sign[self.passes]} {self.limit:.3f}"


def measured(attempt: Attempt) -> list[Measured]:
    """The three scores, in the order of the checks; those of a description that was not drawn are `None`."""
    return beside(attempt["scores"], attempt["limits"])


def beside(scores: Scores, limits: Limits) -> list[Measured]:
    return [Measured(check, score, scores[score], limits[limit], limit) for check, (score, limit) in JUDGED.items()]


def fault_of(attempt: Attempt) -> str:
    """Why QA refused the picture: the first check that failed, with its figures; empty for one that passed."""
    reason = attempt["reason"]
    if reason is None:
        return ""
    check: dict[str, Check] = {"unsafe": "safety", "off_topic": "match", "ugly": "aesthetic"}
    found = [one for one in measured(attempt) if one.check == check.get(reason) and one.value is not None]
    detail = str(found[0]) if found else attempt["note"]
    return f"{reason}: {detail}" if detail else reason


def why(attempt: Attempt, earlier: Sequence[Attempt], retry: Retry) -> str:
    """Why the verdict is what it is, given the attempts before and how many are allowed."""
    rounds = sum(one["verdict"] == "feedback" for one in earlier)
    redrawn = len(earlier) - max((one["n"] + 1 for one in earlier if one["verdict"] == "feedback"), default=0)
    fault = fault_of(attempt)
    match attempt["verdict"]:
        case "accept":
            passed = all(one.passes for one in measured(attempt) if one.value is not None)
            return "every check passed" if passed else "no check that counts refused it"
        case "regenerate":
            return f"{fault}; redraw {redrawn + 1} of {retry.regenerate}"
        case "feedback":
            return f"{fault}; feedback {rounds + 1} of {retry.feedback}"
        case _:
            return f"{fault}; {_nothing_left(attempt, rounds, retry)}"


def _nothing_left(attempt: Attempt, rounds: int, retry: Retry) -> str:
    if attempt["reason"] == "unchecked" and rounds < retry.feedback:
        return "a new description does not help a check that cannot run"
    return f"no attempt of {retry.max_attempts()} is left"
