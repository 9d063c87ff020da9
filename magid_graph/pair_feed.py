"""Chains of pairs as they are described: one batch ahead of those that are drawn, and no batch that is not needed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, TypeVar

from magid_graph import graph
from magid_graph.config import Settings
from magid_graph.context import Context, Desk
from magid_graph.diversity import Seen, balance, distinct
from magid_graph.errors import ItemError, NoProgress, TooFewDescriptions
from magid_graph.journal import Journal, Outcome, Pending
from magid_graph.pair_rows import describes, wanted_pairs
from magid_graph.records import Batch, Chain
from magid_graph.state import PairsInput

T = TypeVar("T")

_IN_VAIN = 10
"""Batches in a row without an accepted pair after which `--count` gives up."""

_EMBEDDED_AT_ONCE = 64


class PairFeed:
    """A batch is described when it is certain to be needed, and committed with its chains before any of them begins.

    With `cycle.count`, the same holds for each chain: it begins only when those before it cannot have enough pairs,
    even if every picture in flight is accepted. So the same chains are drawn whatever ends first, also over a kill.
    """

    def __init__(self, journal: Journal, desk: Desk, settings: Settings, *, only_retried: bool = False) -> None:
        self._journal, self._rows = journal, journal.pair_rows
        self._desk, self._settings = desk, settings
        self._only_retried = only_retried
        self._describes = not only_retried and describes(journal)
        self._graph: Any = graph.pairs() if self._describes or only_retried else None
        self.seen: Seen | None = None
        """All first descriptions; `None` before any is needed."""
        self._described = self._described_before = self._rows.batches()
        self._at_start = journal.pending_count(only_retried=only_retried)
        self._accepted = self._rows.accepted()
        self._in_flight = 0
        self._position = -1
        self._changed = asyncio.Event()
        self._is_stopping = False
        self._ahead: asyncio.Task[None] | None = None
        """The batch that is being described."""
        self._asked_again: asyncio.Task[Batch] | None = None
        """The same for a chain that had no description."""
        self._begun = 0

    @property
    def goal(self) -> int:
        """Chains that this command works on; with `cycle.count`, as few as there may be."""
        cycle = self._settings.cycle
        if cycle.count is None:
            return (
                self._at_start + (cycle.batches - self._described_before if self._describes else 0) * cycle.descriptions
            )
        missing = -(-(cycle.count - self._possible()) // cycle.iterations)
        return self._begun + max(0, missing if self._describes else min(missing, self._at_start - self._begun))

    async def items(self) -> AsyncGenerator[Pending, None]:
        try:
            while not self._is_stopping:
                if self._ahead is None and self._wants_batch():
                    self._ahead = asyncio.create_task(self._describe_batch())
                for item in self._journal.pending(only_retried=self._only_retried, after=self._position):
                    if not await self._is_needed() or self._is_stopping:
                        return
                    self._position = item.position
                    if (ready := await self._with_description(item)) is not None:
                        self._begun += 1
                        self._in_flight += 1
                        yield ready
                if self._ahead is not None:
                    await self._unless_stopped(self._ahead)
                    self._ahead = None
                elif not await self._may_want_batch():
                    return
        finally:
            if self._ahead is not None:
                await asyncio.gather(self._ahead, return_exceptions=True)

    def note(self, outcome: Outcome) -> None:
        self._in_flight -= 1
        if outcome.state == "accepted":
            self._accepted += sum(pair["accepted"] for pair in outcome.pairs)
        self._changed.set()

    def stop(self, *, at_once: bool) -> None:
        self._is_stopping = True
        self._changed.set()
        for task in (self._ahead, self._asked_again) if at_once else ():
            if task is not None:
                task.cancel()

    def told(self) -> list[tuple[str, str, str]]:
        cycle = self._settings.cycle
        wanted = f"/{cycle.batches}" if cycle.count is None else ""
        lines = [("pairs", f"{self._accepted}/{wanted_pairs(self._journal, self._settings)}", "accepted")]
        if self._describes:
            lines.append(("batches", f"{self._described}{wanted}", "described"))
        if self.seen is not None and len(self.seen) > 1:
            lines.append(("diversity", f"{self.seen.distance():.2f}", f"mean distance, {self._other_figures()}"))
        return lines

    def _other_figures(self) -> str:
        assert self.seen is not None
        latest = self.seen.latest()
        figures = {"distinct-2": distinct(latest, 2), "topic balance": balance(self.seen.topics())}
        return ", ".join(f"{name} {value:.2f}" for name, value in figures.items() if value is not None)

    def settle(self) -> None:
        if self._settings.cycle.count is not None:
            self._rows.settle(self._settings.cycle.count)

    # -- what is needed

    def _possible(self) -> int:
        """Pairs that there may be once what is in flight has ended."""
        return self._accepted + self._in_flight * self._settings.cycle.iterations

    async def _is_needed(self) -> bool:
        """Whether one more chain is needed; where that depends on those in flight, wait for them."""
        count = self._settings.cycle.count
        while count is not None and not self._is_stopping and self._possible() >= count:
            if not self._in_flight:
                return False
            self._changed.clear()
            await self._changed.wait()
        return True

    def _wants_batch(self) -> bool:
        """Whether one more batch is certain to be needed."""
        cycle = self._settings.cycle
        if not self._describes or self._is_stopping:
            return False
        if cycle.count is None:
            return self._described < cycle.batches
        waiting = self._journal.pending_count(after=self._position)
        return self._possible() + waiting * cycle.iterations < cycle.count

    async def _may_want_batch(self) -> bool:
        """With nothing left to begin: whether a further batch will be needed after all."""
        if self._settings.cycle.count is None:
            return self._wants_batch()
        return self._describes and await self._is_needed() and self._wants_batch()

    # -- describing

    async def _describe_batch(self) -> None:
        """Ask for the next batch, and commit it."""
        number, cycle = self._described, self._settings.cycle
        if cycle.count is not None and number - self._rows.last_batch_with_pairs() > _IN_VAIN + self._ahead_of():
            raise NoProgress(
                f"{_IN_VAIN} batches in a row brought no accepted pair: loosen `qa.*`, or see what was refused with"
                " `magid-graph status`"
            )
        batch = await self._ask(f"b{number:03d}", number, cycle.descriptions, retries=0)
        chains = [_chain(batch, at, self._settings) for at in range(cycle.descriptions)]
        await self._rows.add_batch(batch, chains)
        self._described += 1

    def _ahead_of(self) -> int:
        """Batches that may be in flight, of which nothing is known yet."""
        return -(-self._settings.in_flight() // self._settings.cycle.descriptions) + 1

    async def _with_description(self, item: Pending) -> Pending | None:
        """The item; one that failed for want of a description is given one, or fails again."""
        chain: Chain = item.row  # type: ignore[assignment]
        if chain["description"] is not None or "image" in chain:
            return item
        asking = self._ask(chain["key"], chain["batch"], 1, retries=item.retries)
        self._asked_again = asyncio.create_task(asking)
        batch = await self._unless_stopped(self._asked_again)
        if batch is None:
            return None
        if not batch["descriptions"]:
            await self._journal.finish(Outcome(chain["key"], "failed", TooFewDescriptions.cause, batch["fault"]))
            return None
        described = chain | {"description": batch["descriptions"][0]}
        await self._rows.describe(item.position, described)
        return Pending(item.position, described, item.retries)

    async def _unless_stopped(self, task: asyncio.Task[T]) -> T | None:
        """What the task brings, or nothing where `stop` has cancelled it."""
        try:
            return await task
        except asyncio.CancelledError:
            if self._is_stopping and task.cancelled():
                return None
            raise

    async def _ask(self, key: str, number: int, wanted: int, *, retries: int) -> Batch:
        """Run the graph that finds first descriptions; a fault of this batch is told in its record."""
        if self.seen is None:
            self.seen = await self._remembered()
        asking, fault = self._settings.describer, None
        context = Context(self._desk, self._settings, retries=retries, seen=self.seen)
        topic = asking.topics[number % len(asking.topics)] if asking.topics else None
        given = PairsInput(
            key=key,
            topic=topic,
            # Not simply in turn: with as many prompts as topics, each topic would always meet the same one.
            prompt=asking.prompts[(number + number // max(1, len(asking.topics))) % len(asking.prompts)],
            wanted=wanted,
            earlier=self.seen.worth_telling(topic, asking.shown),
            descriptions=[],
            dropped=[],
            questions=0,
            in_vain=0,
        )
        limit = {"recursion_limit": graph.pairs_recursion_limit(wanted, self._settings)}
        state: dict[str, Any] = dict(given)
        try:
            state = await self._graph.ainvoke(given, limit, context=context)
        except ItemError as error:
            fault = str(error)
        found: list[str] = state["descriptions"]
        if len(found) < wanted and fault is None:
            fault = _too_few(len(found), wanted, state["questions"])
        await self._take_in(found, topic)
        return Batch(
            batch=number,
            topic=topic,
            prompt=given["prompt"],
            wanted=wanted,
            descriptions=found,
            dropped=state["dropped"],
            questions=state["questions"],
            fault=fault,
            distance=self.seen.distance(),
            spans=context.spans,
            calls=[asked.call for asked in context.asked],
        )

    async def _take_in(self, texts: list[str], topic: str | None) -> None:
        assert self.seen is not None
        vectors = await self._desk.vectors(self._desk.models.clip, *texts) if texts else []
        for text, vector in zip(texts, vectors, strict=True):
            self.seen.add(text, vector, topic)

    async def _remembered(self) -> Seen:
        """What earlier commands on this run have described."""
        self.seen = Seen()
        for batch in self._journal.batches():
            for first in range(0, len(batch["descriptions"]), _EMBEDDED_AT_ONCE):
                await self._take_in(batch["descriptions"][first : first + _EMBEDDED_AT_ONCE], batch["topic"])
        return self.seen


def _too_few(found: int, wanted: int, questions: int) -> str:
    return (
        f"the describer found {found} of {wanted} different descriptions in {questions} questions;"
        f" `magid-graph retry` asks again, more topics or a lower `cycle.descriptions` ask for less"
    )


def _chain(batch: Batch, at: int, settings: Settings) -> Chain:
    found = batch["descriptions"]
    return Chain(
        key=f"b{batch['batch']:03d}-c{at:02d}",
        batch=batch["batch"],
        chain=at,
        topic=batch["topic"],
        description=found[at] if at < len(found) else None,
        describer=batch["prompt"],
    )
