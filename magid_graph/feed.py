"""Where a runner's items come from."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from magid_graph.journal import Journal, Outcome, Pending


class Feed(Protocol):
    """Items in the order in which they are begun."""

    @property
    def goal(self) -> int:
        """How many there will be, as far as is known."""

    def items(self) -> AsyncGenerator[Pending, None]:
        """Each item once. Raises `RunStopped` for a fault that every further item would meet too."""

    def note(self, outcome: Outcome) -> None:
        """Learn what became of an item."""

    def stop(self, *, at_once: bool) -> None:
        """Bring no further item; `at_once`: give up what is on its way."""

    def told(self) -> list[tuple[str, str, str]]:
        """What the live view shows of it: a name, a figure, and what that is."""

    def settle(self) -> None:
        """Put the journal in order, once all items that were begun have ended or are left for another time."""


class JournalFeed:
    """The pending items of a journal, at most `limit`; `only_retried`: those that failed before and were reopened."""

    def __init__(self, journal: Journal, limit: int | None = None, *, only_retried: bool = False) -> None:
        pending = journal.pending_count(only_retried=only_retried)
        self.goal = pending if limit is None else min(pending, limit)
        self._pending = journal.pending(limit, only_retried=only_retried)

    async def items(self) -> AsyncGenerator[Pending, None]:
        for item in self._pending:
            yield item

    def note(self, outcome: Outcome) -> None:
        """Nothing depends on it."""

    def stop(self, *, at_once: bool) -> None:
        """Nothing is on its way."""

    def told(self) -> list[tuple[str, str, str]]:
        return []

    def settle(self) -> None:
        """Nothing to do."""
