"""Traces as JSON, for machines."""

from __future__ import annotations

from typing import Any

from magid_graph.trace.judging import fault_of
from magid_graph.trace.reading import Trace
from magid_graph.trace.steps import Step


def brief(trace: Trace) -> dict[str, Any]:
    """How an item ended, in one line."""
    return {
        "key": trace.key,
        "state": trace.state,
        "reason": trace.reason,
        "message": trace.message,
        "reasons": trace.reasons(),
        "attempts": {str(turn): len(attempts) for turn, attempts in trace.moments().items()},
        "duration_s": trace.duration_s,
    }


def whole(trace: Trace) -> dict[str, Any]:
    """Everything about an item."""
    return {
        **brief(trace),
        "kind": trace.kind,
        "retries": trace.retries,
        "input": trace.input,
        "pairs": list(trace.pairs),
        "steps": [_step(step) for step in trace.steps],
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "name": step.name,
        "node": step.node,
        "turn": step.turn,
        "attempt": step.number,
        "started_at": step.started_at,
        "duration_s": step.duration_s,
        "read": dict(step.read),
        "wrote": dict(step.wrote),
        "scores": [
            {"score": one.score, "value": one.value, one.limit_name: one.limit, "passes": one.passes}
            for one in step.scores()
        ],
        "failed": fault_of(step.attempt) or None if step.node == "qa" and step.attempt else None,
        "edge": step.edge,
        "why": step.why,
        "error": step.error,
        "exchanges": list(step.exchanges),
    }
