"""What a command has done so far on its run; the live view reads it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from magid_graph.journal import Outcome
from magid_graph.records import ItemState, Verdict


@dataclass(slots=True)
class Progress:
    """Counts since the command began."""

    noun: str = "dialogues"
    """What the items are called."""
    total: int = 0
    """Items of the whole input."""
    at_start: dict[ItemState, int] = field(default_factory=dict)
    """Where they stood when this command began."""
    goal: int = 0
    """Items that this command works on."""
    in_flight: int = 0
    ended: Counter[ItemState] = field(default_factory=Counter)
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    started_at: float = field(default_factory=time.monotonic)
    more: Callable[[], Sequence[tuple[str, str, str]]] = tuple
    """What else the live view shows: a name, a figure, and what that is."""
    is_stopping: bool = False
    is_abandoned: bool = False
    """A person would not wait for the items in hand; they stay pending."""

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.started_at

    @property
    def eta_s(self) -> float | None:
        """Seconds left at the pace so far; `None` before anything has ended."""
        done = self.ended.total()
        return self.elapsed_s / done * (self.goal - done) if done else None

    def note(self, outcome: Outcome) -> None:
        self.ended[outcome.state] += 1
        self.verdicts.update(attempt["verdict"] for attempt in outcome.attempts)
