"""A diagram in box-drawing characters, for terminals and READMEs."""

from __future__ import annotations

from magid_graph.diagram.layout import Box, Lane, Layout, Straight, lay_out
from magid_graph.diagram.structure import Diagram

_UP, _DOWN, _LEFT, _RIGHT = 1, 2, 4, 8
_CHARACTERS = " ╵╷│╴┘┐┤╶└┌├─┴┬┼"
"""By the sum of the directions in which a cell is joined to its neighbours."""

_LANE = 3
"""Columns from one lane to the next."""


class _Canvas:
    """Cells that know which neighbours they are joined to, so that lines which meet become corners and crossings."""

    def __init__(self) -> None:
        self._joined: dict[tuple[int, int], int] = {}
        self._written: dict[tuple[int, int], str] = {}

    def across(self, line: int, start: int, end: int) -> None:
        for column in range(min(start, end), max(start, end)):
            self._join((line, column), _RIGHT)
            self._join((line, column + 1), _LEFT)

    def down(self, column: int, start: int, end: int) -> None:
        for line in range(start, end):
            self._join((line, column), _DOWN)
            self._join((line + 1, column), _UP)

    def write(self, line: int, column: int, text: str) -> None:
        self._written.update({(line, column + n): character for n, character in enumerate(text)})

    def _join(self, cell: tuple[int, int], direction: int) -> None:
        self._joined[cell] = self._joined.get(cell, 0) | direction

    def __str__(self) -> str:
        cells = {cell: _CHARACTERS[joined] for cell, joined in self._joined.items()} | self._written
        height, width = (1 + max(cell[axis] for cell in cells) for axis in (0, 1))
        lines = ("".join(cells.get((line, column), " ") for column in range(width)) for line in range(height))
        return "\n".join(line.rstrip() for line in lines)


def as_text(diagram: Diagram) -> str:
    """The drawing, without a line break at its end."""
    layout = lay_out(diagram)
    width = max(len(name) for name in diagram.nodes) + 4
    column = _column(layout)
    canvas = _Canvas()
    for box in layout.boxes:
        _draw_box(canvas, box, column, width)
    for straight in layout.straights:
        _draw_straight(canvas, straight, column + width // 2)
    for lane in layout.lanes:
        _draw_lane(canvas, lane, layout, column, width)
    return str(canvas)


def _column(layout: Layout) -> int:
    """Where the boxes begin: right of the lanes that go back, and of their labels."""
    return _reach(layout, "left") + 1


def _reach(layout: Layout, side: str) -> int:
    """How far the lanes of this side reach away from the boxes."""
    lanes = [lane for lane in layout.lanes if lane.side == side]
    return _labels(layout, side) + _LANE * (len(lanes) - 1) if lanes else 0


def _labels(layout: Layout, side: str) -> int:
    """Columns between the boxes and the nearest lane: room for the longest label."""
    texts = [port.edge.text or "" for lane in layout.lanes if lane.side == side for port in lane.ports]
    return max(len(text) for text in texts) + 7


def _draw_box(canvas: _Canvas, box: Box, column: int, width: int) -> None:
    if box.height > 1:
        for line in (box.top, box.bottom):
            canvas.across(line, column, column + width - 1)
        for side in (column, column + width - 1):
            canvas.down(side, box.top, box.bottom)
    middle = (box.top + box.bottom) // 2
    canvas.write(middle, column + (width - len(box.name) + 1) // 2, box.name)


def _draw_straight(canvas: _Canvas, straight: Straight, column: int) -> None:
    begin = straight.source.bottom + (straight.source.height == 1)
    canvas.down(column, begin, straight.target.top - 1)
    canvas.write(straight.target.top - 1, column, "▼")
    labels = [edge.text for edge in straight.edges if edge.text]
    for n, label in enumerate(labels):
        canvas.write(straight.source.bottom + 1 + n, column + 2, label)


def _draw_lane(canvas: _Canvas, lane: Lane, layout: Layout, column: int, width: int) -> None:
    away = -1 if lane.side == "left" else 1
    edge = column if lane.side == "left" else column + width - 1
    place = edge + away * (_labels(layout, lane.side) + _LANE * lane.rank)
    canvas.down(place, lane.first, lane.last)
    for port in lane.ports:
        canvas.across(port.line, edge, place)
        label = f" {port.edge.text} " if port.edge.text else ""
        canvas.write(port.line, edge + 3 if away > 0 else edge - 2 - len(label), label)
    # The word END is narrower than a box: its arrow ends beside the word.
    tip = edge + away if lane.target.height > 1 else column + (width + away * len(lane.target.name)) // 2 + away
    canvas.across(lane.target.entry, tip, place)
    canvas.write(lane.target.entry, tip, "►" if lane.side == "left" else "◄")
