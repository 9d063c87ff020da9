"""Where everything stands, in lines and lanes; what a line or a lane measures is the drawing's own business."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from magid_graph.diagram.structure import Diagram, Edge

Side = Literal["left", "right"]


@dataclass(frozen=True, slots=True)
class Box:
    """A node."""

    name: str
    top: int
    """Its first line."""
    height: int
    """In lines; 1 for `START` and `END`, which have no frame."""
    entry: int
    """The line at which lanes arrive."""

    @property
    def bottom(self) -> int:
        """Its last line."""
        return self.top + self.height - 1


@dataclass(frozen=True, slots=True)
class Port:
    """Where an edge leaves its node for a lane."""

    edge: Edge
    line: int


@dataclass(frozen=True, slots=True)
class Lane:
    """The way beside the column that all edges to one node share."""

    side: Side
    rank: int
    """0 is nearest to the column."""
    target: Box
    ports: tuple[Port, ...]

    @property
    def first(self) -> int:
        return min(self.target.entry, *(port.line for port in self.ports))

    @property
    def last(self) -> int:
        return max(self.target.entry, *(port.line for port in self.ports))


@dataclass(frozen=True, slots=True)
class Straight:
    """The way down to the next node, with all edges that take it."""

    source: Box
    target: Box
    edges: tuple[Edge, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    boxes: tuple[Box, ...]
    straights: tuple[Straight, ...]
    lanes: tuple[Lane, ...]
    height: int


def lay_out(diagram: Diagram) -> Layout:
    """One column of nodes, top down."""
    down, left, right = _ways(diagram)
    boxes: dict[str, Box] = {}
    ports: list[Port] = []
    top = 0
    for name in diagram.nodes:
        box, own = _box(name, top, left, right)
        boxes[name] = box
        ports += own
        labels = [edge.label for edge in down if edge.source == name and edge.label]
        top += box.height + len(labels) + 1
    lanes = [*_lanes("left", left, ports, boxes), *_lanes("right", right, ports, boxes)]
    straights = [
        Straight(boxes[edge.source], boxes[edge.target], tuple(e for e in down if e.source == edge.source))
        for edge in {edge.source: edge for edge in down}.values()
    ]
    return Layout(
        boxes=tuple(boxes.values()),
        straights=tuple(straights),
        lanes=tuple(lanes),
        height=boxes[diagram.nodes[-1]].bottom + 1,
    )


def _ways(diagram: Diagram) -> tuple[list[Edge], list[Edge], list[Edge]]:
    """The edges that go straight down, that go back, and that skip nodes."""
    at = {name: position for position, name in enumerate(diagram.nodes)}
    span = {edge: at[edge.target] - at[edge.source] for edge in diagram.edges}
    return (
        [edge for edge, length in span.items() if length == 1],
        [edge for edge, length in span.items() if length <= 0],
        [edge for edge, length in span.items() if length > 1],
    )


def _box(name: str, top: int, left: Sequence[Edge], right: Sequence[Edge]) -> tuple[Box, list[Port]]:
    """A node with a line for what arrives, where something does, and one for each edge that leaves on a side."""
    if name in ("START", "END"):
        return Box(name, top, 1, top), [Port(edge, top) for edge in right if edge.source == name]
    ports, lines = [], 1
    for way in (left, right):
        arriving = any(edge.target == name for edge in way)
        leaving = [edge for edge in way if edge.source == name]
        ports += [Port(edge, top + 1 + arriving + n) for n, edge in enumerate(leaving)]
        lines = max(lines, arriving + len(leaving))
    return Box(name, top, lines + 2, top + 1), ports


def _lanes(side: Side, way: Sequence[Edge], ports: Sequence[Port], boxes: dict[str, Box]) -> list[Lane]:
    """One lane for each target, short ones near the column: they then cross least."""
    targets = dict.fromkeys(edge.target for edge in way)
    lanes = [
        Lane(side, 0, boxes[name], tuple(p for p in ports if p.edge.target == name and p.edge in way))
        for name in targets
    ]
    lanes.sort(key=lambda lane: lane.last - lane.first)
    return [Lane(side, rank, lane.target, lane.ports) for rank, lane in enumerate(lanes)]
