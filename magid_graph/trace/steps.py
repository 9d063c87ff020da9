"""Node runs from an item's spans, attempts and exchanges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from magid_graph.config import Retry
from magid_graph.records import Attempt, Exchange, Span
from magid_graph.trace.before import description_of, drawing_of, moments_in, state_before
from magid_graph.trace.judging import Measured, measured, why
from magid_graph.trace.rows import Row


@dataclass(frozen=True, slots=True)
class Step:
    """One node run."""

    node: str
    turn: int | None
    """The moment's turn, or the chain's iteration; `None` for nodes that see the whole item."""
    number: int | None
    """The attempt that the node run belongs to, counted from 1; `None` where there is none."""
    started_at: float
    """Seconds since the epoch."""
    duration_s: float
    read: Mapping[str, Any]
    """The slice of state that the node saw, by key."""
    wrote: Mapping[str, Any]
    """What it wrote to the state, whole: also what the journal keeps in an attempt's row."""
    exchanges: Sequence[Exchange]
    """What it asked the language model; empty where exchanges were not read."""
    attempt: Attempt | None
    """What QA has recorded about the picture that this node run drew or judged."""
    edge: str | None
    """The edge taken next, where there was a choice: a verdict, or `each moment` or `no moment` after the scanner."""
    why: str
    """Why that edge, in words; empty where there was no choice."""
    error: str | None

    @property
    def name(self) -> str:
        """`qa#2`: how this node run is named to `trace replay --from`."""
        return self.node if self.number is None else f"{self.node}#{self.number}"

    @property
    def branches(self) -> int:
        """How often its edge is taken: the scanner's once for each moment."""
        moments = self.wrote.get("moments")
        return max(1, len(moments)) if isinstance(moments, list) else 1

    def scores(self) -> list[Measured]:
        """The scores that this node run measured, each beside its limit."""
        return measured(self.attempt) if self.node == "qa" and self.attempt else []


def steps_of(row: Row, retry: Retry) -> list[Step]:
    """The item's node runs: those of the whole item, then each moment's, in the order they were made."""
    left = list(row.exchanges)
    spans = sorted(row.spans, key=lambda span: (-1 if span["turn"] is None else span["turn"], span["started_at"]))
    return [_step(row, span, retry, _taken(left, span)) for span in spans]


def _step(row: Row, span: Span, retry: Retry, exchanges: Sequence[Exchange]) -> Step:
    turn, n = span["turn"], span["attempt"]
    of_turn = [attempt for attempt in row.attempts if attempt["turn"] == turn]
    is_of_attempt = span["node"] in ("generator", "qa")
    attempt = next((one for one in of_turn if one["n"] == n), None) if is_of_attempt else None
    earlier = [one for one in of_turn if n is not None and one["n"] < n]
    wrote = _wrote(row, span, attempt, of_turn)
    edge, reason = _edge(span, wrote, attempt, earlier, retry)
    return Step(
        node=span["node"],
        turn=turn,
        number=None if n is None else n + 1 if is_of_attempt else n,
        started_at=span["started_at"],
        duration_s=span["duration_s"],
        read=state_before(row, span),
        wrote=wrote,
        exchanges=exchanges,
        attempt=attempt,
        edge=edge,
        why=reason,
        error=span.get("error"),
    )


def _wrote(row: Row, span: Span, attempt: Attempt | None, of_turn: Sequence[Attempt]) -> Mapping[str, Any]:
    """What the node wrote, with what the attempts' rows keep put back."""
    turn, n = span["turn"], span["attempt"] or 0
    if "error" in span:
        return span["wrote"]
    match span["node"]:
        case "scanner":
            return {"moments": [_moment(row, moment) for moment in moments_in(span)]}
        case "generator":
            return {"drawing": drawing_of(row, turn, n)} if turn is not None else span["wrote"]
        case "qa" if attempt is not None:
            return {"attempts": [attempt], "verdict": attempt["verdict"]}
        case "captioner":
            pairs = [pair for pair in row.pairs if pair["iteration"] == turn]
            return {**span["wrote"], "pairs": pairs}
        case "feedback" if turn is not None:
            return {"description": description_of(row, turn, n, is_written=True)}
        case _:
            return span["wrote"]


def _moment(row: Row, moment: dict[str, Any]) -> dict[str, Any]:
    return {**moment, "description": description_of(row, moment["turn"], 0, is_written=True)}


def _edge(
    span: Span, wrote: Mapping[str, Any], attempt: Attempt | None, earlier: Sequence[Attempt], retry: Retry
) -> tuple[str | None, str]:
    """The edge taken next, where there was a choice, and why."""
    if "error" in span:
        return None, ""
    if span["node"] == "scanner":
        count = len(wrote["moments"])
        found = "no turn deserves a picture" if not count else "1 moment" if count == 1 else f"{count} moments"
        return ("each moment" if count else "no moment"), found
    if attempt is not None and span["node"] == "qa":
        return attempt["verdict"], why(attempt, earlier, retry)
    return span.get("edge"), ""


def _taken(left: list[Exchange], span: Span) -> list[Exchange]:
    """The exchanges of this node run: the next ones of its node and turn, as many as it counted."""
    taken: list[Exchange] = []
    for exchange in list(left):
        if len(taken) == span.get("asked", 0):
            break
        if (exchange["node"], exchange["turn"]) == (span["node"], span["turn"]):
            taken.append(exchange)
            left.remove(exchange)
    return taken
