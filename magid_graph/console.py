"""What a person sees in the terminal. The only module that imports rich.

Results go to stdout; progress and errors go to stderr.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from magid_graph import cycle_view
from magid_graph.errors import MagidError
from magid_graph.progress import Progress

if TYPE_CHECKING:
    from magid_graph.context import Desk

_PLAIN_EVERY_S = 5.0
_UNBOUNDED = 100_000

# A program that reads our output shall not meet tables cut to the width of a screen that is not there.
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _UNBOUNDED)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """A line for the person, beside the results."""
    err.print(_encodable(text), markup=False)


def show(text: str = "") -> None:
    """A line of the result."""
    out.print(_encodable(text), markup=False)


def show_json(value: object) -> None:
    is_unicode = "utf" in (sys.stdout.encoding or "").lower()
    sys.stdout.write(_encodable(json.dumps(value, indent=2, ensure_ascii=not is_unicode)) + "\n")


def _encodable(text: str) -> str:
    """The text with `?` for what is not UTF-8 in the names of files."""
    return text.encode(errors="replace").decode()


def draw(drawn: RenderableType) -> None:
    """A result that is drawn: a table, a tree."""
    # Without soft wrapping, long lines are folded inside their column or branch.
    out.print(drawn, soft_wrap=False)


def show_table(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str | None = None) -> None:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if cell is None else _encodable(str(cell))) for cell in row))
    out.print(table)


def show_error(error: MagidError) -> None:
    err.print(Text("error: ", style="bold red") + Text(_encodable(str(error))))


@contextlib.asynccontextmanager
async def watching(progress: Progress, desk: Desk, *, is_quiet: bool) -> AsyncIterator[None]:
    """Show the run's progress while the body runs: a live view on a terminal, else a line every few seconds."""
    if is_quiet:
        yield
    elif err.is_terminal:
        with Live(get_renderable=lambda: _live_view(progress, desk), console=err, refresh_per_second=5):
            yield
    else:
        task = asyncio.create_task(_print_lines(progress, desk))
        try:
            yield
        finally:
            task.cancel()
            say(_line(progress, desk))


async def _print_lines(progress: Progress, desk: Desk) -> None:
    while True:
        await asyncio.sleep(_PLAIN_EVERY_S)
        say(_line(progress, desk))


def _line(progress: Progress, desk: Desk) -> str:
    more = "".join(f" | {name} {figure} {what}" for name, figure, what in progress.more())
    return (
        f"{progress.noun} {progress.ended.total()}/{progress.goal}, {progress.in_flight} in flight,"
        f" {progress.ended['failed']} failed{more} | pictures {_verdicts(progress)} |"
        f" {desk.tally.llm_calls} LLM calls, {_tokens(desk)} | {progress.elapsed_s:.0f} s, {_eta(progress)}"
    )


def _live_view(progress: Progress, desk: Desk) -> Group:
    table = Table.grid(padding=(0, 2))
    done = progress.ended.total()
    counts = f"{done}/{progress.goal} done, {progress.in_flight} in flight, {progress.ended['failed']} failed"
    table.add_row(progress.noun, ProgressBar(total=max(1, progress.goal), completed=done, width=24), counts)
    for name, figure, what in progress.more():
        table.add_row(name, figure, what)
    table.add_row("pictures", _rate(progress, desk), _verdicts(progress))
    table.add_row("language model", f"{desk.tally.llm_calls} calls", _tokens(desk))
    table.add_row("time", f"{progress.elapsed_s:.0f} s", _eta(progress))
    hint = (
        "finishing what is in hand; Ctrl-C again stops at once"
        if progress.is_stopping
        else "Ctrl-C finishes what is in hand"
    )
    return Group(table, Text(hint, style="dim"))


def _verdicts(progress: Progress) -> str:
    verdicts = progress.verdicts
    return (
        f"{verdicts['accept']} accepted, {verdicts['regenerate']} redrawn,"
        f" {verdicts['feedback']} re-described, {verdicts['discard']} discarded"
    )


def _rate(progress: Progress, desk: Desk) -> str:
    return f"{desk.tally.drawn} drawn, {desk.tally.drawn / max(progress.elapsed_s, 1e-9):.1f}/s"


def _tokens(desk: Desk) -> str:
    cached = f", {desk.tally.from_cache} answers from the cache" if desk.tally.from_cache else ""
    return f"{desk.tally.llm_tokens} tokens{cached}"


def _eta(progress: Progress) -> str:
    eta = progress.eta_s
    return "ETA unknown yet" if eta is None else f"ETA {eta:.0f} s"


def conservation(rows: int, counts: Mapping[str, int]) -> str:
    """`input 32 = accepted 25 + rejected 6 + failed 1 + pending 0`"""
    parts = " + ".join(f"{state} {counts[state]}" for state in ("accepted", "rejected", "failed", "pending"))
    return f"input {rows} = {parts}"


def show_summary(summary: Mapping[str, Any]) -> None:
    """How the run stands, where things are, and what to type next."""
    show(conservation(summary["input"], summary["items"]))
    verdicts = summary["attempts"]
    show(
        f"pictures: {verdicts.get('accept', 0)} accepted, {verdicts.get('regenerate', 0)} redrawn,"
        f" {verdicts.get('feedback', 0)} re-described, {verdicts.get('discard', 0)} discarded"
    )
    for state in ("rejected", "failed"):
        if summary[state]:
            show(f"{state}: " + ", ".join(f"{count} {reason}" for reason, count in summary[state].items()))
    if "pairs" in summary:
        _show_cycle(summary)
    for name, path in summary["files"].items():
        show(f"{name}: {path}")
    for hint in summary["next"]:
        show(f"next: {hint}")


def _show_cycle(summary: Mapping[str, Any]) -> None:
    """Pairs, and how the cycle fared iteration by iteration."""
    show(cycle_view.pairs_line(summary["pairs"]))
    if summary["cycle"]:
        show_table(*cycle_view.table(summary["cycle"]))
    if curves := cycle_view.plot(summary["cycle"]):
        for line in (*curves, f"       {cycle_view.LEGEND}"):
            show(line)
    if summary["diversity"] is not None:
        show(cycle_view.diversity_line(summary["diversity"]))


def show_plan(plan: Mapping[str, Any]) -> None:
    """What `--dry-run` found."""
    show(f"preset {plan['preset']}; no model was loaded")
    show_table(("model", "name"), [(kind, name) for kind, name in plan["models"].items() if name])
    if "chains" in plan:
        show(cycle_view.plan_line(plan))
    else:
        show(f"input: {plan['dialogues']} dialogues with {plan['turns']} turns, {plan['unreadable']} unreadable rows")
    for fault in plan.get("faults", ()):
        show(f"  unreadable: {fault}")
    estimate = plan["estimate"]
    rows = [(name.replace("_", " "), f"{least:,}", f"{most:,}") for name, (least, most) in estimate.items()]
    show_table(("estimate", "at least", "at most"), rows)
