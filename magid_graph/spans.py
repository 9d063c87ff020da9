"""Spans: what each node run read its clock for, wrote and led to."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Mapping
from typing import Any, Protocol, TypeVar

from langgraph.runtime import Runtime

from magid_graph.context import Context
from magid_graph.records import Span

StateT_contra = TypeVar("StateT_contra", bound=Mapping[str, Any], contravariant=True)


class Node(Protocol[StateT_contra]):
    """A function from a slice of state to a slice of state."""

    __name__: str

    def __call__(self, state: StateT_contra, runtime: Runtime[Context]) -> Awaitable[Any]: ...


def traced(name: str, node: Node[StateT_contra]) -> Node[StateT_contra]:
    """The node, leaving a span in its run's context each time it runs."""

    async def run(state: StateT_contra, runtime: Runtime[Context]) -> Any:
        span: Span = {
            "node": name,
            "turn": state.get("turn"),
            "attempt": len(state["attempts"]) if "turn" in state else None,
            "started_at": round(time.time(), 4),
            "duration_s": 0.0,
            "wrote": {},
        }
        started = time.perf_counter()
        try:
            wrote = await node(state, runtime)
        except BaseException as error:
            span["error"] = f"{type(error).__name__}: {error}"
            raise
        else:
            span["wrote"] = _without_attempts(wrote)
            runtime.context.attempts.extend(wrote.get("attempts", ()))
            if "verdict" in wrote:
                span["edge"] = wrote["verdict"]
            return wrote
        finally:
            span["duration_s"] = round(time.perf_counter() - started, 4)
            runtime.context.spans.append(span)

    run.__name__ = node.__name__
    run.__doc__ = node.__doc__
    return run


def _without_attempts(wrote: Mapping[str, Any]) -> dict[str, object]:
    """An attempt has a row of its own in the journal; it is not kept twice."""
    return {key: value for key, value in wrote.items() if key != "attempts"}
