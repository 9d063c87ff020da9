"""Spans: what each node run read its clock for, wrote and led to. At most 2 KB each, and nothing twice."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from langgraph.runtime import Runtime

from magid_graph.context import Context
from magid_graph.journal import Asked
from magid_graph.readers.text import normalise
from magid_graph.records import Attempt, Span

StateT_contra = TypeVar("StateT_contra", bound=Mapping[str, Any], contravariant=True)


_MOST_CHARS = 400
"""Of an error's message, and of the reason for a moment: the raw reply, which is kept, has it whole."""


class Node(Protocol[StateT_contra]):
    """A function from a slice of state to a slice of state."""

    __name__: str

    def __call__(self, state: StateT_contra, runtime: Runtime[Context]) -> Awaitable[Any]: ...


def traced(name: str, node: Node[StateT_contra]) -> Node[StateT_contra]:
    """The node, leaving a span in its run's context each time it runs."""

    async def run(state: StateT_contra, runtime: Runtime[Context]) -> Any:
        if not runtime.context.settings.run.spans:
            return _kept(await node(state, runtime), runtime.context)
        span: Span = {
            "node": name,
            "turn": state.get("turn"),
            "attempt": len(state["attempts"]) if "turn" in state else None,
            "started_at": round(time.time(), 4),
            "duration_s": 0.0,
            "wrote": {},
        }
        asked_before = len(runtime.context.asked)
        started = time.perf_counter()
        try:
            wrote = _kept(await node(state, runtime), runtime.context)
        except BaseException as error:
            span["error"] = normalise(f"{type(error).__name__}: {error}")[:_MOST_CHARS]
            raise
        else:
            span["wrote"] = _without_rows(wrote)
            if "verdict" in wrote:
                span["edge"] = wrote["verdict"]
            elif "ended" in wrote:
                span["edge"] = wrote["ended"] or "next"
            elif "asking" in wrote:
                span["edge"] = wrote["asking"]
            return wrote
        finally:
            span["duration_s"] = round(time.perf_counter() - started, 4)
            if asked := _asked_by(span, runtime.context.asked[asked_before:]):
                span["asked"] = asked
            runtime.context.spans.append(span)

    run.__name__ = node.__name__
    run.__doc__ = node.__doc__
    return run


def _kept(wrote: Any, context: Context) -> Any:
    """What the node wrote; what has rows of its own in the journal is kept for them."""
    context.attempts.extend(wrote.get("attempts", ()))
    context.pairs.extend(wrote.get("pairs", ()))
    if wrote.get("ended"):
        context.ends.append(wrote["ended"])
    return wrote


def _asked_by(span: Span, asked: Sequence[Asked]) -> int:
    """How many of these exchanges are this node run's: moments are worked on side by side."""
    return sum(one.node == span["node"] and one.turn == span["turn"] for one in asked)


def told_once(spans: Sequence[Span], attempts: Sequence[Attempt]) -> list[Span]:
    """The spans without what the attempts' rows tell: the picture that was drawn, the description it was drawn from."""
    rows = {(attempt["turn"], attempt["n"]): attempt for attempt in attempts}
    return [_told_once(span, rows) for span in spans]


def _told_once(span: Span, rows: Mapping[tuple[int, int], Attempt]) -> Span:
    wrote = span["wrote"]
    if span["turn"] is None or span["attempt"] is None:
        moments = wrote.get("moments")
        if isinstance(moments, list):
            return {**span, "wrote": {**wrote, "moments": [_moment(moment, rows) for moment in moments]}}
        return span
    attempt = rows.get((span["turn"], span["attempt"]))
    if attempt is None:
        return span
    # What was not drawn, because of a word, is told here: the row has no place for that word.
    told = {"description", "verdict"} | ({"drawing"} if attempt["image"] is not None else set())
    return {**span, "wrote": {key: value for key, value in wrote.items() if key not in told}}


def _moment(moment: Mapping[str, Any], rows: Mapping[tuple[int, int], Attempt]) -> dict[str, Any]:
    is_told = (moment["turn"], 0) in rows
    brief = {key: value for key, value in moment.items() if key != "description" or not is_told}
    return brief | {"reason": moment["reason"][:_MOST_CHARS]}


def _without_rows(wrote: Mapping[str, Any]) -> dict[str, object]:
    """An attempt and a pair have a row of their own in the journal; they are not kept twice, nor is a caption."""
    return {key: value for key, value in wrote.items() if key not in ("attempts", "pairs", "context")}
