"""The nodes and edges of a compiled graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from langgraph.graph import END, START


@dataclass(frozen=True, slots=True)
class Edge:
    """From one node to another, by their positions' names."""

    source: str
    target: str
    label: str | None = None
    """The name under which a router takes it; `None` where there is no choice."""
    bound: int | None = None
    """How often it may be taken in a row; `None`: by nature once."""

    @property
    def id(self) -> str:
        """What spans and pages call it: `qa/regenerate`, or `generator/` where there is no choice."""
        return f"{self.source}/{self.label or ''}"

    @property
    def text(self) -> str | None:
        """The label with its bound."""
        if self.bound is None:
            return self.label
        return f"{self.label} (off)" if self.bound == 0 else f"{self.label} (≤ {self.bound}×)"


@dataclass(frozen=True, slots=True)
class Diagram:
    """What is drawn."""

    name: str
    nodes: tuple[str, ...]
    """`START` first and `END` last, the others as `graph.py` adds them."""
    edges: tuple[Edge, ...]


def diagram_of(compiled: Any, bounds: Mapping[str, int]) -> Diagram:
    """Read a compiled graph. `bounds`: how often the edge with this label may be taken, where it is bounded."""
    return Diagram(
        name=compiled.name,
        nodes=("START", *compiled.builder.nodes, "END"),
        edges=tuple(replace(edge, bound=bounds.get(edge.label or "")) for edge in _edges(compiled.builder)),
    )


def _edges(builder: Any) -> Iterator[Edge]:
    """Every edge, in the order of the nodes; a router's in the order of its names."""
    order = [START, *builder.nodes, END]
    for source, target in sorted(builder.edges, key=lambda pair: [order.index(name) for name in pair]):
        yield Edge(_shown(source), _shown(target))
    for source in order:
        for branch in builder.branches.get(source, {}).values():
            for name, target in branch.ends.items():
                # A router with one end is an edge that sends something along, and no choice.
                yield Edge(_shown(source), _shown(target), name if len(branch.ends) > 1 else None)


def _shown(name: str) -> str:
    return {START: "START", END: "END"}.get(name, name)
