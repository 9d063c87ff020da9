"""How a run stands, and what to type next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from magid_graph.errors import BadItem, StorageFailed
from magid_graph.health import of_pairs
from magid_graph.journal import Journal
from magid_graph.pair_rows import has_work
from magid_graph.run_dir import RunDir


def sum_up(run: RunDir, journal: Journal, files: dict[str, str]) -> dict[str, Any]:
    """How the run stands: the conservation law, causes, places, and what to type next.

    Raises:
        StorageFailed: the journal does not hold as many items as the input had rows.
    """
    counts = journal.counts()
    failed = journal.reasons("failed")
    more = of_pairs(journal, run.settings()) if run.kind() == "pairs" else {}
    return {
        "run": str(run.path),
        "input": _rows_of_input(run, journal, sum(counts.values())),
        "items": dict(counts),
        "attempts": journal.verdicts(),
        "rejected": journal.reasons("rejected"),
        "failed": failed,
        **more,
        "files": files,
        "next": _next_steps(run, counts["pending"], failed, journal),
    }


def _rows_of_input(run: RunDir, journal: Journal, items: int) -> int:
    """As they were counted when the input was read; checked against the items of today."""
    rows = journal.ingested_rows() or 0
    if rows != items:
        raise StorageFailed(
            f"the input had {rows} rows, but `{run.path / 'run.db'}` holds {items} items: it was changed or damaged;"
            f" begin anew with `--new`"
        )
    return rows


def _next_steps(run: RunDir, pending: int, failed: Mapping[str, int], journal: Journal) -> list[str]:
    steps = []
    unusable = failed.get(BadItem.cause, 0)
    retryable = sum(failed.values()) - unusable
    trace = f"magid-graph trace {shlex.quote(str(run.path))}"
    why = f"`{trace} --state failed` says why"
    if pending:
        steps.append(f"{pending} pending: `{run.command()}` goes on")
    elif run.kind() == "pairs" and has_work(journal, run.settings(), False):
        steps.append(f"there are batches to describe: `{run.command()}` goes on")
    if retryable:
        only = ", and nothing else" if pending else ""
        steps.append(f"{retryable} failed: `magid-graph retry {run.path}` takes them up again{only}, {why}")
    if unusable:  # retry is of no use: the same words would be refused again
        source = run.manifest["input"]["path"]
        steps.append(f"{unusable} bad_input: mend them in `{source}` (a changed input is a new run), {why}")
    if reasons := {**journal.given_up(), **_without_moment(journal)}:
        told = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
        chosen = " ".join(f"--reason {shlex.quote(reason)}" for reason in reasons)
        steps.append(f"without a picture: {told}: `{trace} {chosen}` says why")
    if (gallery := run.path / "gallery.html").exists():
        shown = "dialogues with their pictures" if run.kind() == "dialogue" else "pairs"
        steps.append(f"open `{gallery}` in a browser to see the {shown}")
    return steps


def _without_moment(journal: Journal) -> dict[str, int]:
    return {reason: count for reason, count in journal.reasons("rejected").items() if reason == "no_moment"}
