"""How a run stands, and the data set as views of its journal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from magid_graph.artifacts import Artifacts
from magid_graph.errors import BadItem, DamagedPicture
from magid_graph.exporters import EXPORTERS
from magid_graph.exporters.items import finished_items
from magid_graph.journal import Journal
from magid_graph.run_dir import RunDir


def write_views(run: RunDir, journal: Journal, formats: tuple[str, ...] = tuple(EXPORTERS)) -> dict[str, str]:
    """Write the data set in each format from `run.db`. Returns where each is.

    A picture that is no longer what was judged is not shipped: its dialogue becomes `failed`, and `retry` draws anew.
    """
    try:
        return {name: str(EXPORTERS[name](finished_items(journal), run.path)) for name in formats}
    except DamagedPicture:
        _fail_damaged(run, journal)
        return {name: str(EXPORTERS[name](finished_items(journal), run.path)) for name in formats}


def _fail_damaged(run: RunDir, journal: Journal) -> None:
    artifacts = Artifacts(run.path)
    for item in journal.items(("accepted",)):
        images = [attempt["image"] for attempt in journal.attempts(item.position) if attempt["verdict"] == "accept"]
        damaged = [image["path"] for image in images if image is not None and not artifacts.is_intact(image)]
        if damaged:
            journal.fail(item.position, DamagedPicture.cause, f"`{damaged[0]}` is missing or is not what was judged")


def sum_up(run: RunDir, journal: Journal, files: dict[str, str]) -> dict[str, Any]:
    """How the run stands: the conservation law, causes, places, and what to type next."""
    counts = journal.counts()
    failed = journal.reasons("failed")
    return {
        "run": str(run.path),
        "items": dict(counts),
        "attempts": journal.verdicts(),
        "rejected": journal.reasons("rejected"),
        "failed": failed,
        "files": files,
        "next": _next_steps(run, counts["pending"], failed),
    }


def _next_steps(run: RunDir, pending: int, failed: Mapping[str, int]) -> list[str]:
    steps = []
    unusable = failed.get(BadItem.cause, 0)
    retryable = sum(failed.values()) - unusable
    why = f"`magid-graph status {run.path}` says why"
    if pending:
        steps.append(f"{pending} pending: `{run.command()}` goes on")
    if retryable:
        steps.append(f"{retryable} failed: `magid-graph retry {run.path}` takes them up again, {why}")
    if unusable:  # retry is of no use: the same words would be refused again
        source = run.manifest["input"]["path"]
        steps.append(f"{unusable} bad_input: mend them in `{source}` (a changed input is a new run), {why}")
    if (gallery := run.path / "gallery.html").exists():
        steps.append(f"open `{gallery}` in a browser to see the dialogues with their pictures")
    return steps
