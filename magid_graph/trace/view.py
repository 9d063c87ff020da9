"""A data set by other limits: a run directory of its own beside the original's, with the pictures linked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from magid_graph.config import Settings
from magid_graph.journal import Outcome
from magid_graph.kinds import conclude
from magid_graph.records import BadRow, Row, Source
from magid_graph.run_dir import RunDir
from magid_graph.trace.branch import begin, link
from magid_graph.trace.reading import Reading, Trace
from magid_graph.trace.requalify import decide, pairs_again


async def apply(reading: Reading, settings: Settings, note: Mapping[str, Any]) -> tuple[RunDir, dict[str, str]]:
    """Write the view and its data set. Returns where both are."""
    from magid_graph.views import write_views

    original = reading.run
    view = begin(original, "views", settings, note)
    with contextlib.closing(view.journal()) as journal:
        journal.ingest(_rows(reading))
        for trace in reading.traces(with_exchanges=False):
            if trace.state == "pending" or trace.input is None:
                continue
            outcome = _outcome(trace, settings)
            for attempt in outcome.attempts:
                if attempt["image"] is not None:
                    link(attempt["image"], original.path, view.path)
            for pair in outcome.pairs:
                link(pair["image"], original.path, view.path)
            await journal.finish(outcome)
        return view, write_views(view, journal)


def _rows(reading: Reading) -> Iterator[Row | BadRow]:
    for trace in reading.traces(with_exchanges=False):
        if trace.input is not None:
            yield trace.input
        else:
            source = Source(file="", index=trace.position)
            yield BadRow(key=trace.key, cause=trace.reason or "", message=trace.message or "", source=source)


def _outcome(trace: Trace, settings: Settings) -> Outcome:
    """The item as it would have ended; what failed has failed."""
    qa = settings.qa
    if trace.state == "failed":
        return Outcome(trace.key, "failed", trace.reason, trace.message, attempts=trace.attempts, pairs=trace.pairs)
    every = [one for attempts in trace.moments().values() for one in decide(attempts, qa, qa.limits()).attempts]
    if trace.kind == "dialogue":
        outcome = conclude(trace.key, every)
        outcome.attempts = every
        return outcome
    pairs = pairs_again(trace.pairs, every)
    is_kept = any(pair["accepted"] for pair in pairs)
    reason = next((pair["reason"] for pair in reversed(pairs) if pair["reason"]), trace.reason)
    return Outcome(
        trace.key,
        "accepted" if is_kept else "rejected",
        trace.reason if is_kept else reason,
        attempts=every,
        pairs=pairs,
    )
