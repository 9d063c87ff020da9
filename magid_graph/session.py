"""One command's work on one run: read the input, run the graphs, write the data set, sum up."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from magid_graph import console, run_dir
from magid_graph.artifacts import Artifacts
from magid_graph.config import Settings
from magid_graph.context import Desk, Models
from magid_graph.journal import Journal
from magid_graph.models.opening import open_models
from magid_graph.readers import Input
from magid_graph.run_dir import RunDir
from magid_graph.runner import Runner
from magid_graph.summary import sum_up, write_views

DONE, WITH_FAILURES, INTERRUPTED = 0, 3, 130


def make(run: RunDir, source: Input | None, *, limit: int | None, is_quiet: bool) -> tuple[int, dict[str, Any]]:
    """Work on the run's pending items, then write its data set. Returns the exit code and the summary.

    Raises:
        UsageError: the input cannot be read, or another process works on this run.
        RunStopped: a fault that every item would meet; run the same command again once it is mended.
    """
    if run.is_new:
        run_dir.create(run)
    with run.lock(), contextlib.closing(run.journal()) as journal:
        if source is not None and not journal.is_ingested():
            journal.ingest(source.dialogues(max_utterance_chars=run.settings().run.max_utterance_chars))
        is_interrupted = _work(run, journal, limit, is_quiet)
        files = write_views(run, journal)
        summary = sum_up(run, journal, files)
    if is_interrupted:
        return INTERRUPTED, summary
    return (WITH_FAILURES if summary["items"]["failed"] else DONE), summary


def _work(run: RunDir, journal: Journal, limit: int | None, is_quiet: bool) -> bool:
    """Run the graphs over what is pending. Returns whether a person interrupted it."""
    if not journal.counts()["pending"]:
        return False
    settings = run.settings()
    if not is_quiet:
        console.say(f"opening the models of preset `{run.manifest['preset']}` …")
    with open_models(settings) as models:
        return asyncio.run(_run(run.path, journal, models, settings, limit=limit, is_quiet=is_quiet))


async def _run(
    path: Path, journal: Journal, models: Models, settings: Settings, *, limit: int | None, is_quiet: bool
) -> bool:
    desk = Desk(models, settings, journal, Artifacts(path, settings.run.image_format))
    runner = Runner(journal, desk, settings)
    try:
        with _interruptible(runner):
            async with console.watching(runner.progress, desk, is_quiet=is_quiet):
                await runner.run(limit)
    finally:
        await desk.aclose()
    return runner.progress.is_stopping


@contextlib.contextmanager
def _interruptible(runner: Runner) -> Iterator[None]:
    """The first Ctrl-C (or SIGTERM) finishes what is in hand, the second stops at once."""
    loop = asyncio.get_running_loop()

    def interrupt() -> None:
        if runner.progress.is_stopping:
            runner.abandon()
        else:
            runner.stop()
            console.say(f"finishing {runner.progress.in_flight} dialogues in hand; Ctrl-C again stops at once")

    if sys.platform == "win32":
        # No signal handlers on this event loop: Ctrl-C raises KeyboardInterrupt, and what is in hand stays pending.
        yield
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    for number in signals:
        loop.add_signal_handler(number, interrupt)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
