"""What the page is told about an item: a small row for lists and filters, and everything for whoever looks closer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from typing_extensions import TypedDict

from magid_graph.diagram import Diagram
from magid_graph.records import ImageFile
from magid_graph.trace.reading import Trace
from magid_graph.trace.steps import Step


class IndexRow(TypedDict):
    """What the page filters by, for all items at once."""

    key: str
    state: str
    reasons: list[str]
    attempts: int
    """Most attempts of any one moment."""
    edges: dict[str, int]
    """How often each edge of the graph was taken, by the edge's id."""


def index_row(trace: Trace, edges: Mapping[str, int]) -> IndexRow:
    return IndexRow(
        key=trace.key, state=trace.state, reasons=trace.reasons(), attempts=trace.most_attempts(), edges=dict(edges)
    )


def detail(trace: Trace, edges: Edges) -> dict[str, Any]:
    """The item with its attempts and node runs, as the journal has them."""
    started = min((step.started_at for step in trace.steps), default=0.0)
    return {
        "key": trace.key,
        "state": trace.state,
        "reason": trace.reason,
        "message": trace.message,
        "duration_s": trace.duration_s,
        "retries": trace.retries,
        "turns": trace.dialogue["turns"] if trace.dialogue else None,
        "chain": trace.chain,
        "pairs": list(trace.pairs),
        "attempts": list(trace.attempts),
        "first": edges.first(trace.steps),
        "steps": [_step(step, started, edges) for step in trace.steps],
    }


def images(trace: Trace) -> list[ImageFile]:
    """Every picture of the item, kept or not, once."""
    drawn = [attempt["image"] for attempt in trace.attempts] + [pair["image"] for pair in trace.pairs]
    return list({image["path"]: image for image in drawn if image is not None}.values())


class Edges:
    """The edges of a graph, found again in what its nodes left."""

    def __init__(self, diagram: Diagram) -> None:
        self._only = {edge.source: edge.id for edge in diagram.edges if edge.label is None}
        self._first = {edge.target: edge.id for edge in diagram.edges if edge.source == "START"}

    def of(self, step: Step) -> str | None:
        """The id of the edge that followed the node run; `None` after an error."""
        if step.error is not None:
            return None
        return f"{step.node}/{step.edge}" if step.edge else self._only.get(step.node)

    def first(self, steps: Sequence[Step]) -> str | None:
        """The id of the edge with which the item began."""
        return self._first.get(steps[0].node) if steps else None

    def taken(self, steps: Sequence[Step]) -> dict[str, int]:
        """How often each edge was taken, by its id."""
        begin = self.first(steps)
        counts = Counter({begin: 1} if begin else {})
        for step in steps:
            if (edge := self.of(step)) is not None:
                counts[edge] += step.branches
        return dict(counts)


def _step(step: Step, started: float, edges: Edges) -> dict[str, Any]:
    return {
        "name": step.name,
        "node": step.node,
        "turn": step.turn,
        "number": step.number,
        "after_s": round(step.started_at - started, 3),
        "duration_s": step.duration_s,
        "edge": step.edge,
        "path": [edges.of(step), step.branches],
        "why": step.why,
        "error": step.error,
        # Pictures and scores are in the attempts.
        "wrote": {key: value for key, value in step.wrote.items() if key in ("moments", "description", "caption")},
        "exchanges": list(step.exchanges),
    }
