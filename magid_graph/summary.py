"""How a run stands, and the data set as views of its journal."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from magid_graph import __version__
from magid_graph.artifacts import Artifacts, write_atomically
from magid_graph.errors import BadItem, DamagedPicture, StorageFailed
from magid_graph.exporters import EXPORTERS, READS_EXCHANGES
from magid_graph.exporters.items import finished_items
from magid_graph.journal import Journal
from magid_graph.run_dir import RunDir


def renew_views(run: RunDir, journal: Journal) -> dict[str, str]:
    """Write the data set in all formats, unless this version did and `expire_views` was not called since."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        note = json.loads(_note(run).read_text("utf-8"))
        files = {name: run.path / file for name, file in note["files"].items()}
        if note["magid_graph"] == __version__ and all(file.is_file() for file in files.values()):
            return {name: str(file) for name, file in files.items()}
    return write_views(run, journal)


def expire_views(run: RunDir) -> None:
    """Say, before the journal changes, that the data set has to be written again."""
    _note(run).unlink(missing_ok=True)


def write_views(run: RunDir, journal: Journal, formats: tuple[str, ...] = tuple(EXPORTERS)) -> dict[str, str]:
    """Write the data set in each format from `run.db`. Returns where each is.

    A picture that is no longer what was judged is not shipped: its dialogue becomes `failed`, and `retry` draws anew.
    """
    expire_views(run)
    try:
        files = _written(run, journal, formats)
    except DamagedPicture:
        _fail_damaged(run, journal)
        files = _written(run, journal, formats)
    if set(formats) == set(EXPORTERS):
        places = {name: file.relative_to(run.path).as_posix() for name, file in files.items()}
        write_atomically(_note(run), json.dumps({"magid_graph": __version__, "files": places}).encode())
    return {name: str(file) for name, file in files.items()}


def _note(run: RunDir) -> Path:
    """Where it is kept that the data set is the journal's."""
    return run.path / "dataset" / ".written"


def _written(run: RunDir, journal: Journal, formats: tuple[str, ...]) -> dict[str, Path]:
    # Exchanges are most of a journal: only the format that shows them reads them.
    return {
        name: EXPORTERS[name](finished_items(journal, with_exchanges=name in READS_EXCHANGES), run.path)
        for name in formats
    }


def _fail_damaged(run: RunDir, journal: Journal) -> None:
    artifacts = Artifacts(run.path)
    for item in journal.items(("accepted",)):
        images = [attempt["image"] for attempt in journal.attempts(item.position) if attempt["verdict"] == "accept"]
        damaged = [image["path"] for image in images if image is not None and not artifacts.is_intact(image)]
        if damaged:
            journal.fail(item.position, DamagedPicture.cause, f"`{damaged[0]}` is missing or is not what was judged")


def sum_up(run: RunDir, journal: Journal, files: dict[str, str]) -> dict[str, Any]:
    """How the run stands: the conservation law, causes, places, and what to type next.

    Raises:
        StorageFailed: the journal does not hold as many items as the input had rows.
    """
    counts = journal.counts()
    failed = journal.reasons("failed")
    return {
        "run": str(run.path),
        "input": _rows_of_input(run, journal, sum(counts.values())),
        "items": dict(counts),
        "attempts": journal.verdicts(),
        "rejected": journal.reasons("rejected"),
        "failed": failed,
        "files": files,
        "next": _next_steps(run, counts["pending"], failed),
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


def _next_steps(run: RunDir, pending: int, failed: Mapping[str, int]) -> list[str]:
    steps = []
    unusable = failed.get(BadItem.cause, 0)
    retryable = sum(failed.values()) - unusable
    why = f"`magid-graph status {run.path}` says why"
    if pending:
        steps.append(f"{pending} pending: `{run.command()}` goes on")
    if retryable:
        only = ", and nothing else" if pending else ""
        steps.append(f"{retryable} failed: `magid-graph retry {run.path}` takes them up again{only}, {why}")
    if unusable:  # retry is of no use: the same words would be refused again
        source = run.manifest["input"]["path"]
        steps.append(f"{unusable} bad_input: mend them in `{source}` (a changed input is a new run), {why}")
    if (gallery := run.path / "gallery.html").exists():
        steps.append(f"open `{gallery}` in a browser to see the dialogues with their pictures")
    return steps
