"""`magid-graph trace`: a run at a glance, one item step by step, and what can be done with either."""

from __future__ import annotations

import contextlib
import shlex
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from magid_graph.cli import options

if TYPE_CHECKING:
    from magid_graph.trace.reading import Reading
    from magid_graph.trace.wanted import Wanted

_MOST_SHOWN = 20
"""Items in a table; `--json` has them all."""


class ShowUnlessNamed(TyperGroup):
    """A group whose words are RUN and ITEM, unless the first names a command: `trace RUN` is `trace show RUN`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        first = args[0] if args else ""
        is_named = first in self.commands or first in ("--help",)
        return super().parse_args(ctx, args if is_named else ["show", *args])


trace = typer.Typer(
    name="trace",
    cls=ShowUnlessNamed,
    help="See, replay and compare what the graph did: `trace [RUN [ITEM]]`, or one of these commands.",
    rich_markup_mode=None,
)

Run = Annotated[
    Path | None,
    typer.Argument(metavar="[RUN]", help="Run directory, or its name under outputs/; default: the newest there."),
]
Item = Annotated[
    str | None, typer.Argument(metavar="[ITEM]", help="Key of an item, its beginning, or a picture's file name.")
]
States = Annotated[list[str] | None, typer.Option("--state", help="accepted, rejected, failed, pending.")]
Reasons = Annotated[list[str] | None, typer.Option("--reason", help="Why it ended without a picture, e.g. off_topic.")]
Nodes = Annotated[list[str] | None, typer.Option("--node", help="Only items that came to this node.")]
Attempts = Annotated[str | None, typer.Option(metavar="BOUND", help='Attempts of one moment, e.g. ">2".')]
Grep = Annotated[str | None, typer.Option(metavar="TEXT", help="Said, described, asked or replied; any case.")]


@trace.command()
def show(
    run: Run = None,
    item: Item = None,
    state: States = None,
    reason: Reasons = None,
    node: Nodes = None,
    attempts: Attempts = None,
    grep: Grep = None,
    full: Annotated[bool, typer.Option("--full", help="Unfold prompts and replies.")] = False,
    images: Annotated[bool, typer.Option("--images/--no-images", help="Draw pictures in the terminal.")] = True,
    as_json: options.AsJson = False,
) -> None:
    """The run at a glance, or one item step by step (the default command: `show` may be left out)."""
    from magid_graph import run_dir
    from magid_graph.trace.reading import Reading
    from magid_graph.trace.wanted import Wanted

    opened = run_dir.open_run(run) if run else run_dir.newest_run()
    wanted = Wanted(state or (), reason or (), node or (), attempts, grep)  # type: ignore[arg-type]
    with contextlib.closing(Reading(opened)) as reading:
        if item is None:
            _show_run(reading, wanted, as_json=as_json)
        else:
            _show_item(reading, item, wanted, full=full, images=images, as_json=as_json)


def _show_run(reading: Reading, wanted: Wanted, *, as_json: bool) -> None:
    from magid_graph import console
    from magid_graph.trace.brief import brief
    from magid_graph.trace.glance import glance

    seen = glance(wanted.traces(reading), reading.limits)
    if as_json:
        items = [brief(trace) for trace in wanted.traces(reading)] if wanted else []
        console.show_json({"run": str(reading.run.path), "kind": reading.kind, **seen.as_json(), "matching": items})
        return
    from magid_graph.trace.screens import at_a_glance, items_table, next_steps

    console.draw(at_a_glance(reading.run, seen, is_chosen=bool(wanted)))
    shown = list(islice(wanted.traces(reading), _MOST_SHOWN)) if wanted else []
    if shown:
        console.show()
        console.draw(items_table(shown))
        if seen.items.total() > len(shown):
            console.show(f"… and {seen.items.total() - len(shown):,} more; `--json` has them all")
    for step in next_steps(reading.run, seen, shown):
        console.show(f"next: {step}")


def _show_item(reading: Reading, item: str, wanted: Wanted, *, full: bool, images: bool, as_json: bool) -> None:
    from magid_graph import console
    from magid_graph.trace.brief import whole

    trace = reading.trace(item)
    if as_json:
        console.show_json(whole(trace))
        return
    from magid_graph.trace.pictures import graphics_of
    from magid_graph.trace.tree import Look, item_tree, next_steps

    graphics = graphics_of(console.out) if images else "none"
    look = Look(reading.run.path, graphics, 20 if console.out.width < 100 else 28, is_full=full)
    console.draw(item_tree(trace, look, wanted.nodes))
    place = shlex.join([str(reading.run.path), trace.key])
    for step in next_steps(trace, f"magid-graph trace{{}} {place}"):
        console.show(f"next: {step}")
