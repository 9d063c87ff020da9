"""Runs a graph over the unfinished items of a journal: one graph run per dialogue, many in flight."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import time
from collections.abc import Iterator
from typing import Any

from langsmith import tracing_context

from magid_graph import graph
from magid_graph.config import Settings
from magid_graph.context import Context, Desk
from magid_graph.errors import MagidError, RunStopped
from magid_graph.journal import Journal, Outcome, Pending
from magid_graph.progress import Progress
from magid_graph.readers.text import normalise
from magid_graph.records import is_chain
from magid_graph.spans import told_once

logger = logging.getLogger(__name__)


class Runner:
    """Feeds dialogues to the graph, `settings.in_flight()` at a time, and commits each as it ends."""

    def __init__(self, journal: Journal, desk: Desk, settings: Settings, *, dialogue_graph: Any = None) -> None:
        self._journal = journal
        self._desk = desk
        self._settings = settings
        self._graph = dialogue_graph or graph.dialogue()
        self._config = {"recursion_limit": graph.recursion_limit(settings.retry)}
        self._tasks: set[asyncio.Task[None]] = set()
        self._fault: RunStopped | None = None
        counts = journal.counts()
        self.progress = Progress(total=sum(counts.values()), at_start=counts)

    async def run(self, limit: int | None = None, *, only_retried: bool = False) -> None:
        """Work on pending items, at most `limit`, until none is left or `stop` is called.

        `only_retried`: on those that failed before and were reopened.

        Raises:
            RunStopped: a fault that every further item would meet too. Items in flight stay pending.
        """
        # Dialogues are people's words: they go to the models and nowhere else, whatever the environment says.
        with tracing_context(enabled=False), _rarely_collected():
            await self._feed(limit, only_retried)

    async def _feed(self, limit: int | None, only_retried: bool) -> None:
        pending = self._journal.pending_count(only_retried=only_retried)
        self.progress.goal = pending if limit is None else min(pending, limit)
        self.progress.started_at = time.monotonic()
        free = asyncio.Semaphore(self._settings.in_flight())
        for item in self._journal.pending(limit, only_retried=only_retried):
            await free.acquire()
            if self.progress.is_stopping:
                break
            task = asyncio.create_task(self._run_item(item))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            task.add_done_callback(lambda _: free.release())
        ends = await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._fault is not None:
            raise self._fault
        for end in ends:
            if isinstance(end, Exception):
                raise end

    def stop(self) -> None:
        """Begin no further item; those in flight are finished."""
        self.progress.is_stopping = True

    def abandon(self) -> None:
        """Stop at once: items in flight stay pending."""
        self.stop()
        for task in self._tasks:
            task.cancel()

    async def _run_item(self, item: Pending) -> None:
        self.progress.in_flight += 1
        try:
            outcome = await self._outcome(item)
            await self._journal.finish(outcome)
            self.progress.note(outcome)
        except RunStopped as fault:
            if self._fault is None:
                self._fault = fault
                self.abandon()
        finally:
            self.progress.in_flight -= 1

    async def _outcome(self, item: Pending) -> Outcome:
        """Run the graph; a fault of this one item becomes its outcome."""
        dialogue, context = item.row, Context(self._desk, self._settings, retries=item.retries)
        assert not is_chain(dialogue)
        started = time.perf_counter()
        try:
            state = await self._graph.ainvoke(
                {"key": dialogue["key"], "turns": dialogue["turns"]}, self._config, context=context
            )
            outcome = conclude(dialogue["key"], state)
        except RunStopped:
            raise
        except MagidError as fault:
            outcome = Outcome(dialogue["key"], "failed", fault.cause, str(fault))
        except Exception as fault:
            logger.warning("item `%s` failed", dialogue["key"], exc_info=True)
            outcome = Outcome(dialogue["key"], "failed", "unexpected", f"{type(fault).__name__}: {fault}")
        outcome.duration_s = round(time.perf_counter() - started, 4)
        outcome.attempts = sorted(context.attempts, key=lambda attempt: (attempt["turn"], attempt["n"]))
        outcome.spans, outcome.asked = told_once(context.spans, outcome.attempts), context.asked
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


def conclude(key: str, state: dict[str, Any]) -> Outcome:
    """Accepted when at least one picture was kept; else rejected, with the reason.

    A moment that ended because a check could not run is a fault: with the check mended, a retry may accept it.
    """
    attempts = sorted(state["attempts"], key=lambda attempt: (attempt["turn"], attempt["n"]))
    for attempt in attempts:
        if attempt["verdict"] == "discard" and attempt["reason"] == "unchecked":
            return Outcome(key, "failed", "unchecked", attempt["note"])
    if any(attempt["verdict"] == "accept" for attempt in attempts):
        return Outcome(key, "accepted")
    return Outcome(key, "rejected", attempts[-1]["reason"] if attempts else "no_moment")
