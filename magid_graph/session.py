"""One command's work on one run: read the input, run the graphs, write the data set, sum up."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from magid_graph import console, run_dir
from magid_graph.artifacts import Artifacts
from magid_graph.config import Settings
from magid_graph.context import Desk, Models
from magid_graph.errors import InputError, UsageError
from magid_graph.journal import Journal
from magid_graph.models.opening import open_models
from magid_graph.readers import Input
from magid_graph.run_dir import RunDir
from magid_graph.runner import Runner
from magid_graph.summary import sum_up, write_views

DONE, WITH_FAILURES, INTERRUPTED = 0, 3, 130


def make(
    run: RunDir, source: Input, *, limit: int | None, is_quiet: bool, greeting: Sequence[str] = ()
) -> tuple[int, dict[str, Any]]:
    """Work on the run's pending items, then write its data set. Returns the exit code and the summary.

    `greeting` is said once the input is known to be good.

    Raises:
        UsageError: the input cannot be read, or another process works on this run.
        RunStopped: a fault that every item would meet; run the same command again once it is mended.
    """
    run_dir.create(run)
    with run.lock():
        run_dir.write_manifest(run)
        _ingest(run, source)
        if not is_quiet:
            for line in greeting:
                console.say(line)
        return _work(run, limit, is_quiet)


def take_up_again(run: RunDir, *, reason: str | None, is_quiet: bool) -> tuple[int, dict[str, Any]]:
    """Work on what failed (for this reason) and what is pending, like `make`.

    Raises:
        UsageError: nothing failed for this reason.
    """
    with run.lock():
        with contextlib.closing(run.journal()) as journal:
            causes = journal.reasons("failed")
            if reason is not None and reason not in causes:
                known = ", ".join(causes) or "none"
                raise UsageError(f"nothing in `{run.path}` failed for `{reason}`; causes there: {known}")
            reopened, pending = journal.reopen_failed(reason), journal.counts()["pending"]
        if not is_quiet:
            console.say(f"taking up again: {reopened} failed, {pending - reopened} pending")
        return _work(run, None, is_quiet)


def _ingest(run: RunDir, source: Input) -> None:
    """Put the input into a journal that does not have it yet. An input that cannot be read leaves no run behind."""
    try:
        with contextlib.closing(run.journal()) as journal:
            if not journal.is_ingested():
                journal.ingest(source.dialogues(max_utterance_chars=run.settings().run.max_utterance_chars))
    except InputError:
        run_dir.discard(run)
        raise


def _work(run: RunDir, limit: int | None, is_quiet: bool) -> tuple[int, dict[str, Any]]:
    with contextlib.closing(run.journal()) as journal:
        is_interrupted = _illustrate(run, journal, limit, is_quiet)
        summary = sum_up(run, journal, write_views(run, journal))
    if is_interrupted:
        return INTERRUPTED, summary
    return (WITH_FAILURES if summary["items"]["failed"] else DONE), summary


def _illustrate(run: RunDir, journal: Journal, limit: int | None, is_quiet: bool) -> bool:
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
        with _interruptible(runner, is_quiet=is_quiet):
            async with console.watching(runner.progress, desk, is_quiet=is_quiet):
                await runner.run(limit)
    finally:
        await desk.aclose()
    return runner.progress.is_stopping


@contextlib.contextmanager
def _interruptible(runner: Runner, *, is_quiet: bool) -> Iterator[None]:
    """The first Ctrl-C (or SIGTERM) finishes what is in hand, the second stops at once."""
    loop = asyncio.get_running_loop()

    def interrupt() -> None:
        if runner.progress.is_stopping:
            runner.abandon()
            return
        runner.stop()
        if not is_quiet:
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
