"""`magid-graph status` and `retry`: how a run stands, and going on with it."""

from __future__ import annotations

import contextlib
from typing import Annotated

import typer

from magid_graph.cli import options
from magid_graph.cli.ending import finish

_MOST_SHOWN = 50
"""Failures in a table; a person reads no more."""


def status(run: options.Run, as_json: options.AsJson = False) -> None:
    """Show how a run stands: items by state, pictures by verdict, and what failed."""
    from magid_graph import console, run_dir
    from magid_graph.summary import sum_up

    opened = run_dir.open_run(run)
    with contextlib.closing(opened.journal_there()) as journal:
        summary = sum_up(opened, journal, {"run directory": str(opened.path)})
        failures = [(item.key, item.reason, item.message) for item in journal.items(("failed",))]
    columns = ("key", "cause", "message")
    if as_json:
        console.show_json({**summary, "failures": [dict(zip(columns, row, strict=True)) for row in failures]})
        return
    console.show_summary(summary)
    if failures:
        console.show_table(columns, failures[:_MOST_SHOWN])
    if len(failures) > _MOST_SHOWN:
        console.show(f"… and {len(failures) - _MOST_SHOWN} more; `--json` shows all")


def retry(
    run: options.Run,
    reason: Annotated[str | None, typer.Option(help="Only items that failed for this cause.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Take up failed items again; finished calls are not paid for twice."""
    from magid_graph import run_dir, session

    ended = session.take_up_again(run_dir.open_run(run), reason=reason, is_quiet=quiet)
    finish(ended, is_quiet=quiet, as_json=as_json)
