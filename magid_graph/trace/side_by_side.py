"""Two recordings side by side, in the terminal."""

from __future__ import annotations

from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from magid_graph.records import Attempt
from magid_graph.trace.diffing import Beside, Pair, RunDiff, end_of, told
from magid_graph.trace.pictures import Graphics, Picture
from magid_graph.trace.screens import COLOURS

_MOST = 20
"""Changed items in a table; `--json` has them all."""


def item_beside(pair: Pair, places: tuple[Path, Path], names: tuple[str, str], graphics: Graphics) -> RenderableType:
    """The attempts that differ, each on both sides; what is the same is counted."""
    changed = pair.changed()
    head = Text.assemble((pair.left.key, "bold"), "  ", end_of(pair.left), (" → ", "dim"), end_of(pair.right))
    parts: list[RenderableType] = [head]
    if same := len(pair.attempts()) - len(changed):
        parts.append(Text(f"{same} attempt{'' if same == 1 else 's'} the same on both sides", "dim"))
    if not changed:
        parts.append(Text("nothing differs", "green"))
    both = [beside for beside in changed if beside.left is not None and beside.right is not None]
    parts += [_attempt(beside, places, names, graphics) for beside in both]
    for name, sides in zip(names, ([b.left for b in changed], [b.right for b in changed]), strict=True):
        only = [side for side, beside in zip(sides, changed, strict=True) if side is not None and beside not in both]
        if only:
            parts += [Text(f"\nonly in {name}", "bold"), *(_alone(side) for side in only)]
    return Group(*parts)


def _alone(side: Attempt) -> Text:
    """An attempt that the other side did not make."""
    words = told(side)
    head = f"  turn {side['turn']}, attempt {side['n'] + 1}  "
    return Text.assemble(head, (words["verdict"], COLOURS[side["verdict"]]), f"  “{side['description']}”")


def _attempt(beside: Beside, places: tuple[Path, Path], names: tuple[str, str], graphics: Graphics) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="bold", title_justify="left")
    table.title = Text(f"\nturn {beside.turn}, attempt {beside.number}", "bold")
    table.add_column("", style="dim", no_wrap=True)
    for name in names:
        table.add_column(Text(name), overflow="fold", ratio=1)
    sides = (beside.left, beside.right)
    if graphics != "none" and any(side is not None and side["image"] for side in sides):
        table.add_row("", *(_picture(side, place, graphics) for side, place in zip(sides, places, strict=True)))
    ones, others = (told(side) if side is not None else {} for side in sides)
    changed = beside.changed()
    for name in ones or others:
        style = "yellow" if name in changed else "dim" if ones and others else ""
        cells = [
            Text(words.get(name, "–"), _colour(name, side, style))
            for words, side in zip((ones, others), sides, strict=True)
        ]
        table.add_row(("≠ " if name in changed else "  ") + name, *cells)
    return table


def _colour(name: str, side: Attempt | None, style: str) -> str:
    return COLOURS[side["verdict"]] if name == "verdict" and side is not None else style


def _picture(side: Attempt | None, place: Path, graphics: Graphics) -> RenderableType:
    if side is None or side["image"] is None:
        return Text("no picture", "dim")
    return Picture(place / side["image"]["path"], 22, graphics)


def runs_beside(found: RunDiff, changes: list[str], names: tuple[str, str]) -> RenderableType:
    """How many items are the same, how the others' ends moved, and which they are."""
    parts: list[RenderableType] = [
        Text.assemble((names[0], "bold"), (" → ", "dim"), (names[1], "bold")),
        Text("what they depend on: " + ("; ".join(changes) or "the same")),
        Text(f"{found.same:,} items the same, {len(found.changed):,} changed"),
    ]
    for keys, name in ((found.only_left, names[0]), (found.only_right, names[1])):
        if keys:
            more = ", …" if len(keys) > 3 else ""
            parts.append(Text(f"{len(keys):,} only in {name}: {', '.join(keys[:3])}{more}"))
    if found.changed:
        ends = Table(box=None, padding=(0, 1), header_style="dim")
        for column in ("left", "right"):
            ends.add_column(column)
        ends.add_column("items", justify="right")
        for (one, other), count in found.ends().most_common():
            ends.add_row(_end(one), _end(other), f"{count:,}")
        items = Table(box=None, padding=(0, 1), header_style="dim")
        for column in ("item", "left", "right", "differs in"):
            items.add_column(column, overflow="fold")
        for pair in found.changed[:_MOST]:
            items.add_row(pair.left.key, _end(end_of(pair.left)), _end(end_of(pair.right)), ", ".join(pair.what()))
        parts += [Text(), ends, Text(), items]
        if len(found.changed) > _MOST:
            parts.append(Text(f"… and {len(found.changed) - _MOST:,} more; `--json` has them all"))
    return Group(*parts)


def _end(end: str) -> Text:
    return Text(end, COLOURS[end.partition(":")[0]])
