"""How a run stands, and the data set as views of its journal."""

from __future__ import annotations

from typing import Any

from magid_graph.exporters import EXPORTERS
from magid_graph.exporters.items import finished_items
from magid_graph.journal import Journal
from magid_graph.run_dir import RunDir


def write_views(run: RunDir, journal: Journal, formats: tuple[str, ...] = tuple(EXPORTERS)) -> dict[str, str]:
    """Write the data set in each format from `run.db`. Returns where each is."""
    return {name: str(EXPORTERS[name](finished_items(journal), run.path)) for name in formats}


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
