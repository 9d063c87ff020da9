"""Runs a graph over the unfinished items of a journal: one graph run per item, many in flight."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import time
from collections.abc import Iterator

from langsmith import tracing_context

from magid_graph.config import Settings
from magid_graph.context import Context, Desk
from magid_graph.errors import MagidError, RunStopped
from magid_graph.feed import Feed
from magid_graph.journal import Journal, Outcome, Pending
from magid_graph.kinds import DIALOGUE, Kind
from magid_graph.progress import Progress
from magid_graph.readers.text import normalise
from magid_graph.spans import told_once

logger = logging.getLogger(__name__)


class Runner:
    """Feeds items to their graph, `settings.in_flight()` at a time, and commits each as it ends."""

    def __init__(self, journal: Journal, desk: Desk, settings: Settings, kind: Kind = DIALOGUE) -> None:
        self._journal = journal
        self._desk = desk
        self._kind = kind
        self._settings = kind.in_force(settings)
        self._graph = kind.graph(self._settings)
        self._config = {"recursion_limit": kind.recursion_limit(self._settings)}
        self._tasks: set[asyncio.Task[None]] = set()
        self._feed: Feed | None = None
        self._fault: RunStopped | None = None
        counts = journal.counts()
        self.progress = Progress(noun=kind.noun, total=sum(counts.values()), at_start=counts)

    async def run(self, limit: int | None = None, *, only_retried: bool = False) -> None:
        """Work on pending items, at most `limit`, until none is left or `stop` is called.

        `only_retried`: on those that failed before and were reopened.

        Raises:
            RunStopped: a fault that every further item would meet too. Items in flight stay pending.
        """
        self._feed = feed = self._kind.feed(self._journal, self._desk, self._settings, limit, only_retried)
        # Dialogues are people's words: they go to the models and nowhere else, whatever the environment says.
        with tracing_context(enabled=False), _rarely_collected():
            await self._begin_all(feed)
        # Also when it was stopped: what ended meanwhile may be all that was wanted.
        feed.settle()

    async def _begin_all(self, feed: Feed) -> None:
        self.progress.goal, self.progress.more = feed.goal, feed.told
        self.progress.started_at = time.monotonic()
        try:
            await self._begin_each(feed)
        except RunStopped as fault:
            self._give_up(fault)
        ends = await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._fault is not None:
            raise self._fault
        for end in ends:
            if isinstance(end, Exception):
                raise end

    async def _begin_each(self, feed: Feed) -> None:
        free = asyncio.Semaphore(self._settings.in_flight())
        async with contextlib.aclosing(feed.items()) as items:
            async for item in items:
                self.progress.goal = feed.goal
                await free.acquire()
                if self.progress.is_stopping:
                    break
                task = asyncio.create_task(self._run_item(item))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                task.add_done_callback(lambda _: free.release())

    def stop(self) -> None:
        """Begin no further item; those in flight are finished."""
        self.progress.is_stopping = True
        if self._feed is not None:
            self._feed.stop(at_once=False)

    def abandon(self) -> None:
        """Stop at once: items in flight stay pending."""
        self.progress.is_stopping = True
        if self._feed is not None:
            self._feed.stop(at_once=True)
        for task in self._tasks:
            task.cancel()

    def _give_up(self, fault: RunStopped) -> None:
        if self._fault is None:
            self._fault = fault
            self.abandon()

    async def _run_item(self, item: Pending) -> None:
        self.progress.in_flight += 1
        try:
            outcome = await self._outcome(item)
            await self._journal.finish(outcome)
            self.progress.note(outcome)
            if self._feed is not None:
                self._feed.note(outcome)
        except RunStopped as fault:
            self._give_up(fault)
        finally:
            self.progress.in_flight -= 1

    async def _run_graph(self, item: Pending, context: Context) -> None:
        """Run the graph to its end. All that is wanted of it is in the context: to be told of each step takes time."""
        given = self._kind.given(item.row)
        async for _ in self._graph.astream(given, self._config, context=context, stream_mode=[]):
            pass

    async def _outcome(self, item: Pending) -> Outcome:
        """Run the graph; a fault of this one item becomes its outcome."""
        key, context = item.row["key"], Context(self._desk, self._settings, retries=item.retries)
        started = time.perf_counter()
        try:
            await self._run_graph(item, context)
            outcome = self._kind.conclude(key, context)
        except RunStopped:
            raise
        except MagidError as fault:
            outcome = Outcome(key, "failed", fault.cause, str(fault))
        except Exception as fault:
            logger.warning("item `%s` failed", key, exc_info=True)
            outcome = Outcome(key, "failed", "unexpected", f"{type(fault).__name__}: {fault}")
        outcome.duration_s = round(time.perf_counter() - started, 4)
        outcome.attempts = sorted(context.attempts, key=lambda attempt: (attempt["turn"], attempt["n"]))
        outcome.pairs, outcome.asked = context.pairs, context.asked
        outcome.spans = told_once(context.spans, outcome.attempts)
        outcome.message = normalise(outcome.message) if outcome.message else None
        return outcome


@contextlib.contextmanager
def _rarely_collected() -> Iterator[None]:
    """What is loaded by now stays: looking through it for garbage took a tenth of each dialogue's time."""
    often = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)
    try:
        yield
    finally:
        gc.set_threshold(*often)
        gc.unfreeze()
