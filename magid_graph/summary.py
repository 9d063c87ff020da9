"""How a run stands, and the data set as views of its journal."""

from __future__ import annotations

from typing import Any

from magid_graph.artifacts import Artifacts
from magid_graph.errors import DamagedPicture
from magid_graph.exporters import EXPORTERS
from magid_graph.exporters.items import finished_items
from magid_graph.journal import Journal
from magid_graph.run_dir import RunDir


def write_views(run: RunDir, journal: Journal, formats: tuple[str, ...] = tuple(EXPORTERS)) -> dict[str, str]:
    """Write the data set in each format from `run.db`. Returns where each is.

    A picture that is no longer what was judged is not shipped: its dialogue becomes `failed`, and `retry` draws it again.
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
    return {
        "run": str(run.path),
        "items": dict(counts),
        "attempts": journal.verdicts(),
        "rejected": journal.reasons("rejected"),
        "failed": journal.reasons("failed"),
        "files": files,
        "next": _next_steps(run, counts["failed"], counts["pending"]),
    }


def _next_steps(run: RunDir, failed: int, pending: int) -> list[str]:
    steps = []
    if pending:
        steps.append(f"{pending} dialogues are left: run the same command again")
    if failed:
        steps.append(f"`magid-graph status {run.path}` shows what failed; `magid-graph retry {run.path}` tries again")
    return steps
