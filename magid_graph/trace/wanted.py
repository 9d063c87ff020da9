"""Which items a person asks for: `--state rejected --reason off_topic --node feedback --attempts ">2" --grep TEXT`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

from magid_graph.errors import UsageError
from magid_graph.records import ItemState
from magid_graph.trace.reading import Reading, Trace

_COMPARE: dict[str, Callable[[int, int], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
    "": operator.eq,
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an item must be to be shown; every part that is given must hold."""

    states: Sequence[ItemState] = ()
    reasons: Sequence[str] = ()
    """Why it, or any moment of it, ended without a picture."""
    nodes: Sequence[str] = ()
    """Nodes that it came to; any of them."""
    attempts: str | None = None
    """Of the moment with most: `>2`, `<=3`, `6`."""
    grep: str | None = None
    """A text, whatever its case, in what was said, described, asked, replied or noted."""

    def __post_init__(self) -> None:
        for state in self.states:
            if state not in get_args(ItemState):
                raise UsageError(f"there is no state `{state}`; states: {', '.join(get_args(ItemState))}")
        _bound(self.attempts)

    def __bool__(self) -> bool:
        return bool(self.states or self.reasons or self.nodes or self.attempts or self.grep)

    def traces(self, reading: Reading) -> Iterator[Trace]:
        """The items that are asked for, streamed; exchanges are read only where they are searched."""
        found = reading.traces(self.states or None, with_exchanges=bool(self.grep))
        return (trace for trace in found if self.admits(trace))

    def admits(self, trace: Trace) -> bool:
        compare, bound = _bound(self.attempts)
        return (
            (not self.states or trace.state in self.states)
            and (not self.reasons or not set(self.reasons).isdisjoint(trace.reasons()))
            and (not self.nodes or any(step.node in self.nodes for step in trace.steps))
            and (not self.attempts or compare(trace.most_attempts(), bound))
            and (not self.grep or self.grep.casefold() in "\n".join(_texts(trace)).casefold())
        )


def _bound(text: str | None) -> tuple[Callable[[int, int], bool], int]:
    """How many attempts, and how that is compared."""
    found = re.fullmatch(r"\s*(>=|<=|>|<|=|)\s*(\d+)\s*", text or "0")
    if found is None:
        raise UsageError(f'`--attempts {text}`: write a number, or a bound such as `--attempts ">2"`')
    return _COMPARE[found[1]], int(found[2])


def _texts(trace: Trace) -> Iterator[str]:
    """Everything in an item that a person may remember."""
    yield trace.key
    yield trace.message or ""
    for turn in trace.dialogue["turns"] if trace.dialogue else ():
        yield turn["text"]
    for attempt in trace.attempts:
        yield from (attempt["description"], attempt["prompt"], attempt["note"] or "")
    for pair in trace.pairs:
        yield pair["caption"]
    for step in trace.steps:
        yield step.error or ""
        for exchange in step.exchanges:
            yield from (message["content"] for message in exchange["messages"])
            yield exchange["reply"]
