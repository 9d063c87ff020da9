"""One command's work on one run: read the input, run the graphs, write the data set, sum up."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from magid_graph import console, run_dir
from magid_graph.artifacts import Artifacts
from magid_graph.beginnings import Beginnings
from magid_graph.context import Desk, Models
from magid_graph.errors import InputError, RunStopped, StorageFailed, UsageError
from magid_graph.journal import Journal
from magid_graph.kinds import KINDS
from magid_graph.models.opening import open_models
from magid_graph.readers import Input
from magid_graph.records import BadRow, Row
from magid_graph.run_dir import RunDir
from magid_graph.runner import Runner
from magid_graph.summary import sum_up
from magid_graph.views import expire_views, renew_views

DONE, STOPPED, WITH_FAILURES, INTERRUPTED = 0, 1, 3, 130

Interruption = Literal["none", "finished", "abandoned"]
"""Whether a person stopped the work, and what became of the items in hand."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command that worked on a run ended."""

    code: int
    summary: dict[str, Any]
    fault: RunStopped | None = None
    """Why the work stopped before its end; run the same command again once it is mended."""
    is_abandoned: bool = False
    """A model may still be at work, on a thread that nobody waits for."""


def make(
    run: RunDir, source: Input | Beginnings | None, *, limit: int | None, is_quiet: bool, greeting: Sequence[str] = ()
) -> Ended:
    """Work on the run's pending items, then write its data set.

    Without a `source`, the describer finds what chains begin with. `greeting` is said once the input is known to be
    good.

    Raises:
        UsageError: the input cannot be read, or another process works on this run, or its models have changed.
        StorageFailed: the run directory cannot be written.
    """
    run_dir.create(run)
    with run.lock():
        run_dir.write_manifest(run)
        if source is not None:
            _ingest(run, source)
        if not is_quiet:
            for line in greeting:
                console.say(line)
        return _work(run, limit=limit, only_retried=False, is_quiet=is_quiet)


def take_up_again(run: RunDir, *, reason: str | None, is_quiet: bool) -> Ended:
    """Work on what failed (for this reason), and on what an earlier retry did not come to; then like `make`.

    Raises:
        UsageError: nothing failed for this reason, or what the run depends on has changed; else as `make`.
    """
    run_dir.check_unchanged(run)
    with run.lock():
        with contextlib.closing(run.journal_there()) as journal:
            left = journal.pending_count(only_retried=True)
            causes = journal.reasons("failed")
            if reason is not None and reason not in causes and not left:
                known = ", ".join(causes) or "none"
                raise UsageError(f"nothing in `{run.path}` failed for `{reason}`; causes there: {known}")
            reopened = journal.reopen_failed(reason)
        if not is_quiet:
            console.say(f"taking up again: {reopened} failed" + (f", {left} of an earlier retry" if left else ""))
        return _work(run, limit=None, only_retried=True, is_quiet=is_quiet)


def _ingest(run: RunDir, source: Input | Beginnings) -> None:
    """Put the input into a journal that does not have it yet. An input that cannot be read leaves no run behind."""
    try:
        with contextlib.closing(run.journal()) as journal:
            if not journal.is_ingested():
                journal.ingest(_rows(run, source))
    except InputError:
        run_dir.discard(run)
        raise


def _rows(run: RunDir, source: Input | Beginnings) -> Iterable[Row | BadRow]:
    if isinstance(source, Beginnings):
        return source.chains(run)
    return source.dialogues(max_utterance_chars=run.settings().run.max_utterance_chars)


def _work(run: RunDir, *, limit: int | None, only_retried: bool, is_quiet: bool) -> Ended:
    interruption: Interruption = "none"
    fault: RunStopped | None = None
    with contextlib.closing(run.journal()) as journal:
        try:
            interruption = _illustrate(run, journal, limit=limit, only_retried=only_retried, is_quiet=is_quiet)
        except StorageFailed:  # then no view could be written either
            raise
        except RunStopped as error:
            fault = error
        # Whoever presses Ctrl-C twice does not wait for a large data set to be written.
        files = {} if interruption == "abandoned" else renew_views(run, journal)
        summary = sum_up(run, journal, files)
    return Ended(_code(interruption, fault, summary), summary, fault, interruption == "abandoned")


def _code(interruption: Interruption, fault: RunStopped | None, summary: dict[str, Any]) -> int:
    if fault is not None:
        return STOPPED
    if interruption != "none":
        return INTERRUPTED
    is_short = "pairs" in summary and summary["pairs"]["is_short"]
    return WITH_FAILURES if summary["items"]["failed"] or is_short else DONE


def _illustrate(
    run: RunDir, journal: Journal, *, limit: int | None, only_retried: bool, is_quiet: bool
) -> Interruption:
    """Run the graphs over what is pending."""
    settings, kind = run.settings(), KINDS[run.kind()]
    if not kind.has_work(journal, settings, only_retried):
        return "none"
    expire_views(run)
    if not is_quiet:
        console.say(f"opening the models of preset `{run.manifest['preset']}` …")
    with open_models(settings) as models:
        run_dir.note_opened(run, _ids(models))
        desk = Desk(models, settings, journal, Artifacts(run.path, settings.run.image_format))
        runner = Runner(journal, desk, settings, kind)
        return asyncio.run(_run(runner, desk, limit=limit, only_retried=only_retried, is_quiet=is_quiet))


def _ids(models: Models) -> dict[str, str]:
    """The opened models by what they do: their names, and the hashes of their files where they have any."""
    kinds = ("chat", "text_to_image", "clip", "aesthetic_clip", "aesthetic", "safety", "captioner")
    opened = {kind: getattr(models, kind) for kind in kinds}
    return {kind: model.model_id for kind, model in opened.items() if model is not None}


async def _run(runner: Runner, desk: Desk, *, limit: int | None, only_retried: bool, is_quiet: bool) -> Interruption:
    try:
        with _interruptible(runner, is_quiet=is_quiet):
            async with console.watching(runner.progress, desk, is_quiet=is_quiet):
                await runner.run(limit, only_retried=only_retried)
    except RunStopped:
        # A fault that is met on the way out is met again by whoever goes on.
        if not runner.progress.is_abandoned:
            raise
    finally:
        # Closing waits for the batch that is running, which may be minutes of drawing.
        if not runner.progress.is_abandoned:
            await desk.aclose()
    if runner.progress.is_abandoned:
        return "abandoned"
    return "finished" if runner.progress.is_stopping else "none"


@contextlib.contextmanager
def _interruptible(runner: Runner, *, is_quiet: bool) -> Iterator[None]:
    """The first Ctrl-C (or SIGTERM) finishes what is in hand, the second stops at once."""
    loop = asyncio.get_running_loop()

    def interrupt() -> None:
        if runner.progress.is_stopping:
            runner.progress.is_abandoned = True
            runner.abandon()
            return
        runner.stop()
        if not is_quiet:
            console.say(
                f"finishing {runner.progress.in_flight} {runner.progress.noun} in hand; Ctrl-C again stops at once"
            )

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
