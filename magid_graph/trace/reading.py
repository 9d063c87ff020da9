"""A run read back: each item with its node runs in order, and what each of them read, wrote and led to.

Nothing is written: the journal is opened for reading, also while a run is working on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from magid_graph.config import Retry
from magid_graph.records import Attempt, Chain, Dialogue, ItemState, Kind, Pair, is_chain
from magid_graph.run_dir import RunDir
from magid_graph.trace.rows import Row, Rows
from magid_graph.trace.steps import Step, steps_of


@dataclass(frozen=True, slots=True)
class Trace:
    """One item and all that was recorded about it."""

    position: int
    key: str
    kind: Kind
    state: ItemState
    reason: str | None
    """Why it was rejected, or the cause of the fault."""
    message: str | None
    duration_s: float | None
    retries: int
    """How often it was taken up again after it had failed."""
    input: Dialogue | Chain | None
    """What the item began with; `None` for a row of the input that could not be read."""
    pairs: Sequence[Pair]
    """Of a chain, by iteration."""
    attempts: Sequence[Attempt]
    """By turn, then in the order they were made."""
    steps: Sequence[Step]
    """By turn (those of the whole item first), then in the order they were made."""

    @property
    def dialogue(self) -> Dialogue | None:
        return None if self.input is None or is_chain(self.input) else self.input

    @property
    def chain(self) -> Chain | None:
        return self.input if self.input is not None and is_chain(self.input) else None

    def moments(self) -> dict[int, list[Attempt]]:
        """The attempts of each turn."""
        found: dict[int, list[Attempt]] = {}
        for attempt in self.attempts:
            found.setdefault(attempt["turn"], []).append(attempt)
        return found

    def branches(self) -> dict[int | None, list[Step]]:
        """The node runs of each turn; `None`: of the whole item."""
        found: dict[int | None, list[Step]] = {}
        for step in self.steps:
            found.setdefault(step.turn, []).append(step)
        return found

    def most_attempts(self) -> int:
        """Of any one moment."""
        return max((len(attempts) for attempts in self.moments().values()), default=0)

    def reasons(self) -> list[str]:
        """Why the item, or any of its moments, ended without a picture."""
        given_up = [attempts[-1]["reason"] for attempts in self.moments().values()]
        return list(dict.fromkeys(reason for reason in (self.reason, *given_up) if reason))


class Reading:
    """The items of a run, read as traces."""

    def __init__(self, run: RunDir) -> None:
        """Raises `UsageError` where the run has no journal, or one of another program."""
        self.run = run
        self.kind: Kind = run.kind()
        self.retry = Retry.model_validate(run.manifest["settings"].get("retry", {}))
        self.limits = run.settings().qa.limits()
        self.rows = Rows(run)

    def traces(self, states: Sequence[ItemState] | None = None, *, with_exchanges: bool = True) -> Iterator[Trace]:
        """The items in the input's order, streamed; without exchanges, the steps' are empty and reading is faster."""
        for row in self.rows.stream(states, with_exchanges=with_exchanges):
            yield self._trace(row)

    def trace(self, name: str) -> Trace:
        """One item by its key, the beginning of its key, or the file name (or hash) of a picture that was drawn for it.

        Raises:
            UsageError: there is no such item, or several keys begin so.
        """
        key = self.rows.key_of(name)
        row = self.rows.one(key)
        assert row is not None
        return self._trace(row)

    def find(self, key: str) -> Trace | None:
        """The item with exactly this key, if there is one."""
        row = self.rows.one(key)
        return None if row is None else self._trace(row)

    def counts(self) -> dict[ItemState, int]:
        """How many items are in each state."""
        return self.rows.counts()

    def pictures(self) -> int:
        """How many attempts and pairs there are, each with a picture or, where none was drawn, without."""
        return self.rows.pictures()

    def _trace(self, row: Row) -> Trace:
        return Trace(
            position=row.position,
            key=row.key,
            kind=self.kind,
            state=row.state,
            reason=row.reason,
            message=row.message,
            duration_s=row.duration_s,
            retries=row.retries,
            input=row.input,
            pairs=row.pairs,
            attempts=row.attempts,
            steps=steps_of(row, self.retry),
        )

    def close(self) -> None:
        self.rows.close()
