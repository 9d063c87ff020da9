"""A diagram as SVG. Each edge is an element of its own, `data-edge` its id, so that a page can light up a path."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from importlib import resources

from magid_graph.diagram.layout import Box, Lane, Layout, Side, lay_out
from magid_graph.diagram.structure import Diagram, Edge

_LINE = 22
"""Pixels from one line of the layout to the next."""

_LANE = 26
"""Pixels from one lane to the next."""

_CHARACTER = 7
"""Pixels, about, of a character of a label."""

_COUNT = 40
"""Pixels beside a label, where a page can write how often the edge was taken."""

_ROUND, _MARGIN = 9, 10


def style() -> str:
    """The style sheet of the drawing; a page that shows it brings its own colours as `--ink`, `--line` and so on."""
    return (resources.files(__package__) / "diagram.css").read_text("utf-8")


def as_svg(diagram: Diagram, *, is_alone: bool = True) -> str:
    """The drawing. `is_alone`: it brings its style along, to be a file of its own."""
    return "".join(_Drawing(diagram).parts(is_alone))


class _Drawing:
    """One diagram, measured in pixels."""

    def __init__(self, diagram: Diagram) -> None:
        self._name = diagram.name
        self._layout = lay_out(diagram)
        self._edges = diagram.edges
        self._width = max(len(name) for name in diagram.nodes) * 9 + 40
        self._left = _MARGIN + _reach(self._layout, "left")
        self._middle = self._left + self._width // 2
        right = self._left + self._width + _reach(self._layout, "right")
        self._size = (right + _MARGIN, self._layout.height * _LINE + 2)

    def parts(self, is_alone: bool) -> Iterator[str]:
        width, height = self._size
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="diagram" viewBox="0 0 {width} {height}"'
            f' width="{width}" height="{height}" role="img" aria-label="the graph {escape(self._name)}">'
        )
        if is_alone:
            yield f"<style>{style()}</style>"
        for edge in self._edges:
            yield self._edge(edge)
        for box in self._layout.boxes:
            yield self._box(box)
        yield "</svg>"

    def _box(self, box: Box) -> str:
        top, height = box.top * _LINE + 1, box.height * _LINE - 2
        is_end = box.height == 1
        width, round_ = (64, height // 2) if is_end else (self._width, _ROUND)
        return (
            f'<g class="node{" end" if is_end else ""}" data-node="{escape(box.name)}">'
            f'<rect x="{self._middle - width // 2}" y="{top}" width="{width}" height="{height}" rx="{round_}"/>'
            f'<text x="{self._middle}" y="{top + height // 2}">{escape(box.name)}</text></g>'
        )

    def _edge(self, edge: Edge) -> str:
        path, tip, label = self._straight(edge) or self._around(edge)
        text = f"<tspan>{escape(edge.text)}</tspan>" if edge.text else ""
        x, y, anchor = label
        return (
            f'<g class="edge{" choice" if edge.label else ""}" data-edge="{escape(edge.id)}">'
            f'<path d="{path}"/><path class="tip" d="{tip}"/>'
            f'<text class="{anchor}" x="{x}" y="{y}">{text}<tspan class="count"></tspan></text></g>'
        )

    def _straight(self, edge: Edge) -> tuple[str, str, tuple[int, int, str]] | None:
        for way in self._layout.straights:
            if edge in way.edges:
                begin, end = (way.source.bottom + 1) * _LINE, way.target.top * _LINE
                line = f"M{self._middle} {begin}V{end - 4}"
                label = begin + _LINE // 2 + _LINE * way.edges.index(edge)
                return line, _tip(self._middle, end, "down"), (self._middle + 10, label, "start")
        return None

    def _around(self, edge: Edge) -> tuple[str, str, tuple[int, int, str]]:
        lane, line = next((lane, p.line) for lane in self._layout.lanes for p in lane.ports if p.edge == edge)
        away = -1 if lane.side == "left" else 1
        column = self._left if away < 0 else self._left + self._width
        side = self._middle + away * 32 if edge.source == "START" else column
        place = column + away * (_labels(self._layout, lane.side) + _LANE * lane.rank)
        start, end = _center(line), _center(lane.target.entry)
        half = 32 if lane.target.height == 1 else self._width // 2
        arrives = self._middle + away * half
        bend = _ROUND if end > start else -_ROUND
        path = (
            f"M{side} {start}H{place - away * _ROUND}q{away * _ROUND} 0 {away * _ROUND} {bend}"
            f"V{end - bend}q0 {bend} {-away * _ROUND} {bend}H{arrives + away * 4}"
        )
        label = (column + away * 12, start - 9, "start" if away > 0 else "stop")
        return path, _tip(arrives, end, "right" if away < 0 else "left"), label


def _center(line: int) -> int:
    return line * _LINE + _LINE // 2


def _tip(x: int, y: int, heading: str) -> str:
    """The head of an arrow whose point is here."""
    return {
        "down": f"M{x} {y}l-5 -8h10z",
        "left": f"M{x} {y}l8 -5v10z",
        "right": f"M{x} {y}l-8 -5v10z",
    }[heading]


def _lanes(layout: Layout, side: Side) -> list[Lane]:
    return [lane for lane in layout.lanes if lane.side == side]


def _reach(layout: Layout, side: Side) -> int:
    lanes = _lanes(layout, side)
    return _labels(layout, side) + _LANE * (len(lanes) - 1) + _ROUND if lanes else 0


def _labels(layout: Layout, side: Side) -> int:
    """Pixels between the boxes and the nearest lane: room for the longest label and its count."""
    texts = [port.edge.text or "" for lane in _lanes(layout, side) for port in lane.ports]
    return max(len(text) for text in texts) * _CHARACTER + _COUNT + 24
