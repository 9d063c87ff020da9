"""What exporters are given: finished items, each with all that was recorded about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypedDict

from magid_graph.records import Attempt, Dialogue, Exchange, ItemState, exchange_of

if TYPE_CHECKING:
    from magid_graph.journal import Journal


class FinishedItem(TypedDict):
    """One item that is accepted, rejected or failed."""

    key: str
    state: ItemState
    reason: str | None
    """Why it was rejected, or the cause of the fault."""
    dialogue: Dialogue | None
    """`None` for a row of the input that could not be read."""
    attempts: list[Attempt]
    exchanges: list[Exchange]


def finished_items(journal: Journal) -> Iterator[FinishedItem]:
    """The journal's finished items in the order of the input."""
    for item in journal.items(("accepted", "rejected", "failed")):
        yield FinishedItem(
            key=item.key,
            state=item.state,
            reason=item.reason,
            dialogue=item.dialogue,
            attempts=journal.attempts(item.position),
            exchanges=_exchanges(journal, item.position),
        )


def _exchanges(journal: Journal, position: int) -> list[Exchange]:
    asked = journal.asked(position)
    return _in_order([exchange_of((one.node, one.turn, one.cached), call) for one, call in asked])


def _in_order(exchanges: list[Exchange]) -> list[Exchange]:
    """By turn: moments are worked on side by side, and which of them asks first differs from run to run."""
    return sorted(exchanges, key=lambda exchange: -1 if exchange["turn"] is None else exchange["turn"])
