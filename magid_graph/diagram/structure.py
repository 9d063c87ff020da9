"""The nodes and edges of a compiled graph, subgraphs unfolded in their place."""

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
    groups: Mapping[str, tuple[str, ...]]
    """Nodes of each subgraph, by its name."""


def diagram_of(compiled: Any, bounds: Mapping[str, int]) -> Diagram:
    """Read a compiled graph. `bounds`: how often the edge with this label may be taken, where it is bounded."""
    nodes, edges, groups = _unfolded(compiled)
    return Diagram(
        name=compiled.name,
        nodes=("START", *nodes, "END"),
        edges=tuple(replace(edge, bound=bounds.get(edge.label or "")) for edge in edges),
        groups=groups,
    )


def _unfolded(compiled: Any) -> tuple[list[str], list[Edge], dict[str, tuple[str, ...]]]:
    """The inner nodes in order, all edges, and the nodes of each subgraph."""
    nodes, edges = list(compiled.builder.nodes), list(_edges(compiled))
    groups: dict[str, tuple[str, ...]] = {}
    for name, subgraph in compiled.get_subgraphs():
        inner, inner_edges, _ = _unfolded(subgraph)
        at = nodes.index(name)
        nodes[at : at + 1] = inner
        edges = _spliced(edges, name, inner_edges)
        groups[name] = tuple(inner)
    return nodes, edges, groups


def _edges(compiled: Any) -> Iterator[Edge]:
    """Every edge, in the order of the nodes; a router's in the order of its names."""
    builder = compiled.builder
    order = [START, *builder.nodes, END]
    for source, target in sorted(builder.edges, key=lambda pair: [order.index(name) for name in pair]):
        yield Edge(_shown(source), _shown(target))
    for source in order:
        for branch in builder.branches.get(source, {}).values():
            for label, target in branch.ends.items():
                yield Edge(_shown(source), _shown(target), label)


def _spliced(edges: list[Edge], name: str, inner: list[Edge]) -> list[Edge]:
    """The edges with a subgraph's own in the place of its node."""
    entries = [edge.target for edge in inner if edge.source == "START"]
    exits = [edge.target for edge in edges if edge.source == name]
    into = [replace(edge, target=entry) for edge in edges if edge.target == name for entry in entries]
    within = [edge for edge in inner if edge.source != "START" and edge.target != "END"]
    out = [replace(edge, target=target) for edge in inner if edge.target == "END" for target in exits]
    around = [edge for edge in edges if name not in (edge.source, edge.target)]
    return [*around, *into, *within, *out]


def _shown(name: str) -> str:
    return {START: "START", END: "END"}.get(name, name)
