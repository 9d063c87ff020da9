"""`magid-graph trace`: a run at a glance, one item step by step, and what can be done with either."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from magid_graph.cli import options
from magid_graph.cli.trace_out import named, write_out

if TYPE_CHECKING:
    from magid_graph.run_dir import RunDir
    from magid_graph.trace.diffing import Pair
    from magid_graph.trace.reading import Reading
    from magid_graph.trace.wanted import Wanted

_MOST_SHOWN = 20
"""Items in a table; `--json` has them all."""


class ShowUnlessNamed(TyperGroup):
    """A group whose words are RUN and ITEM, unless the first names a command: `trace RUN` is `trace show RUN`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        first = args[0] if args else ""
        is_named = first in self.commands or first in ("--help",)
        return super().parse_args(ctx, args if is_named else ["show", *named(args)])


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
    html: Annotated[
        str | None, typer.Option(metavar="[FILE]", help="Write the run as one page (default: RUN/trace.html).")
    ] = None,
    chat_png: Annotated[bool, typer.Option("--chat-png", help="Draw each dialogue as a chat, into RUN/chats.")] = False,
    otlp: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Send spans to an OTLP/HTTP receiver, or to langfuse or langsmith."),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """The run at a glance, or one item step by step (the default command: `show` may be left out)."""
    from magid_graph import run_dir
    from magid_graph.trace.reading import Reading
    from magid_graph.trace.wanted import Wanted

    opened = run_dir.open_run(run) if run else run_dir.newest_run()
    wanted = Wanted(state or (), reason or (), node or (), attempts, grep)  # type: ignore[arg-type]
    with contextlib.closing(Reading(opened)) as reading:
        if html is not None or chat_png or otlp:
            write_out(reading, html=html, chat_png=chat_png, otlp=otlp)
        elif item is None:
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


@trace.command()
def replay(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run directory, or its name under outputs/.")],
    item: Annotated[str, typer.Argument(metavar="ITEM", help="Key of an item, or its beginning.")],
    from_: Annotated[str, typer.Option("--from", metavar="NODE[#ATTEMPT]", help="Where to begin, e.g. qa#2.")],
    turn: Annotated[int | None, typer.Option(help="Which moment (or iteration), where there are several.")] = None,
    set_: options.Assignments = None,
    limit: Annotated[
        list[str] | None,
        typer.Option("--limit", metavar="NAME=VALUE", help="A limit of QA, e.g. min_aesthetic=5.4; may be repeated."),
    ] = None,
    description: Annotated[str | None, typer.Option(help="Draw this instead; from generator.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the next picture.")] = None,
    images: Annotated[bool, typer.Option("--images/--no-images", help="Draw pictures in the terminal.")] = True,
    as_json: options.AsJson = False,
) -> None:
    """Run the graph on from a recorded state, as a branch beside the original, which stays as it is.

    What the original has paid for is not paid again. Without a change, the pictures come out the same.
    """
    from magid_graph import console, run_dir
    from magid_graph.models.opening import check_names, open_models
    from magid_graph.trace.reading import Reading
    from magid_graph.trace.replay import Change, plan
    from magid_graph.trace.replay import replay as run_on

    assignments = [*(set_ or ()), *(f"qa.{one}" for one in limit or ())]
    opened = run_dir.open_run(run)
    with contextlib.closing(Reading(opened)) as reading:
        planned = plan(reading, item, from_, Change(assignments, description, seed), turn=turn)
        check_names(planned.settings)
        console.say(f"changed: {'; '.join(planned.told()) or 'nothing'}")
        console.say("opening the models …")
        with open_models(planned.settings) as models:
            branch = asyncio.run(run_on(planned, models))
    paid = {
        "questions": branch.paid.llm_calls,
        "pictures": branch.paid.drawn,
        "captions": branch.paid.captions,
        "from_cache": branch.paid.from_cache,
    }
    if as_json:
        compared = _compared(opened, branch.run, branch.key)
        console.show_json({"branch": str(branch.run.path), "changes": branch.changes, "paid": paid, **compared})
        return
    console.show(f"branch {branch.run.path}: {branch.key} from {planned.step.name}")
    console.show(f"changed: {'; '.join(branch.changes) or 'nothing'}")
    console.show("paid: " + ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in paid.items()))
    console.show()
    _show_beside(opened, branch.run, branch.key, images=images)
    console.show(f"next: `magid-graph trace diff {shlex.quote(str(branch.run.path))}` shows this again")


@trace.command()
def diff(
    one: Annotated[Path, typer.Argument(metavar="RUN", help="A branch, to be compared with its original; or a run.")],
    other: Annotated[Path | None, typer.Argument(metavar="[RUN]", help="The run to compare it with.")] = None,
    item: Annotated[str | None, typer.Argument(metavar="[ITEM]", help="Only this item, attempt by attempt.")] = None,
    images: Annotated[bool, typer.Option("--images/--no-images", help="Draw pictures in the terminal.")] = True,
    as_json: options.AsJson = False,
) -> None:
    """Show a branch beside its original, or two runs over the same items."""
    from magid_graph import console, run_dir
    from magid_graph.trace.branch import original_of

    right = run_dir.open_run(one)
    if other is None:
        left = original_of(right)
        item = right.manifest["derived"].get("item")
    else:
        left, right = right, run_dir.open_run(other)
    if item is not None:
        if as_json:
            console.show_json(_compared(left, right, item))
        else:
            _show_beside(left, right, item, images=images)
        return
    _show_runs(left, right, as_json=as_json)


def _show_runs(left: RunDir, right: RunDir, *, as_json: bool) -> None:
    from magid_graph import console, run_dir
    from magid_graph.trace import diffing
    from magid_graph.trace.reading import Reading
    from magid_graph.trace.side_by_side import runs_beside

    changes = run_dir.difference(left, right)
    with contextlib.closing(Reading(left)) as one, contextlib.closing(Reading(right)) as other:
        found = diffing.compare(one, other)
    if as_json:
        items = [diffing.as_json(pair) for pair in found.changed]
        only = {"only_left": found.only_left, "only_right": found.only_right}
        console.show_json({"changes": changes, "same": found.same, "changed": items, **only})
        return
    console.draw(runs_beside(found, changes, (str(left.path), str(right.path))))
    if found.changed:
        place = shlex.join([str(left.path), str(right.path), found.changed[0].left.key])
        console.show(f"next: `magid-graph trace diff {place}` shows one item attempt by attempt")


def _pair(left: RunDir, right: RunDir, item: str) -> Pair:
    from magid_graph.trace.diffing import Pair
    from magid_graph.trace.reading import Reading

    with contextlib.closing(Reading(left)) as one, contextlib.closing(Reading(right)) as other:
        return Pair(one.trace(item), other.trace(item))


def _compared(left: RunDir, right: RunDir, item: str) -> dict[str, Any]:
    from magid_graph.trace.diffing import as_json

    return as_json(_pair(left, right, item))


def _show_beside(left: RunDir, right: RunDir, item: str, *, images: bool) -> None:
    from magid_graph import console
    from magid_graph.trace.pictures import graphics_of
    from magid_graph.trace.side_by_side import item_beside

    graphics = graphics_of(console.out) if images else "none"
    names = (
        ("original", f"branch {right.path.name}") if "derived" in right.manifest else (left.path.name, right.path.name)
    )
    console.draw(item_beside(_pair(left, right, item), (left.path, right.path), names, graphics))


@trace.command()
def prune(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run directory, or its name under outputs/.")],
    keep: Annotated[int, typer.Option(min=0, help="Items without a refusal that keep their node runs.")] = 100,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go; take nothing away.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Make run.db smaller: keep the node runs and prompts of every failure and refusal, and of a sample of the rest.

    Attempts with their scores, and pictures, always stay.
    """
    from dataclasses import asdict

    from magid_graph import console, run_dir
    from magid_graph.trace.prune import prune as take_away

    opened = run_dir.open_run(run)
    opened.journal_there().close()
    with opened.lock():
        gone = take_away(opened, keep, is_trial=dry_run)
    if as_json:
        console.show_json(asdict(gone))
        return
    verb = "would lose" if dry_run else "lost"
    console.show(f"{gone.items - gone.kept:,} of {gone.items:,} items {verb} {gone.spans:,} node runs")
    console.show(f"and {gone.exchanges:,} exchanges; {gone.kept:,} keep theirs")
    if not dry_run:
        console.show(f"run.db: {gone.bytes_before / 1e6:.1f} MB -> {gone.bytes_after / 1e6:.1f} MB")
