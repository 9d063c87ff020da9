"""Running the real graph on from a recorded state, as a branch beside the original."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langsmith import tracing_context

from magid_graph import graph
from magid_graph.artifacts import Artifacts
from magid_graph.config import Settings, changed, flat
from magid_graph.context import Context, Desk, Models, Tally
from magid_graph.errors import MagidError, RunStopped, UsageError
from magid_graph.journal import Asked, Outcome
from magid_graph.kinds import KINDS
from magid_graph.records import Attempt, Pair, Span, is_chain
from magid_graph.run_dir import RunDir, changed_since
from magid_graph.spans import told_once
from magid_graph.trace.before import chain_before
from magid_graph.trace.branch import CallsOfBranch, begin, link
from magid_graph.trace.reading import Reading, Trace
from magid_graph.trace.rows import Row
from magid_graph.trace.steps import Step


@dataclass(frozen=True, slots=True)
class Change:
    """What is different in a branch."""

    assignments: Sequence[str] = ()
    """`key=value`, of any setting."""
    description: str | None = None
    """Drawn instead of the recorded one."""
    seed: int | None = None
    """Of the next picture."""

    def told(self, before: Settings, after: Settings) -> list[str]:
        """`qa.min_aesthetic 5.1 -> 5.4`"""
        was, now = flat(before), flat(after)
        told = [f"{key} {was[key]} -> {now[key]}" for key in now if was[key] != now[key]]
        told += [f"description “{self.description}”"] if self.description is not None else []
        return told + ([f"seed {self.seed}"] if self.seed is not None else [])


@dataclass(frozen=True, slots=True)
class Plan:
    """What is going to be replayed: known before any model is opened."""

    reading: Reading
    trace: Trace
    row: Row
    step: Step
    settings: Settings
    change: Change

    def told(self) -> list[str]:
        """What was asked to differ, and what differs because the program's own files have changed since."""
        run = self.reading.run
        since = [f"{name}, which changed since the run" for name in changed_since(run)]
        return since + self.change.told(run.settings(), self.settings)


@dataclass(frozen=True, slots=True)
class Branch:
    """What a replay left."""

    run: RunDir
    key: str
    outcome: Outcome
    paid: Tally
    """The calls of this replay: what was paid, and what the original had paid for."""
    changes: list[str] = field(default_factory=list)


def plan(reading: Reading, item: str, start: str, change: Change, *, turn: int | None = None) -> Plan:
    """Find the recorded state, and see that the change can have an effect there.

    Raises:
        UsageError: no such item or node run, or the change comes too late.
        SettingsError: a setting that there is none of.
    """
    trace = reading.trace(item)
    step = find_step(trace, start, turn)
    if change.description is not None and step.node != "generator":
        raise UsageError(f"`{step.node}` does not draw a description: replay `--from generator#…` with `--description`")
    if change.seed is not None and step.node == "scanner":
        raise UsageError("`--seed` is of one picture: replay `--from generator#…`; all seeds follow `--set run.seed=N`")
    row = reading.rows.one(trace.key)
    assert row is not None
    return Plan(reading, trace, row, step, changed(reading.run.settings(), change.assignments), change)


def find_step(trace: Trace, name: str, turn: int | None = None) -> Step:
    """The node run of this name: `qa#2`, or `qa` for its first. Raises `UsageError` where there is none, or several."""
    found = [step for step in trace.steps if name in (step.name, step.node) and turn in (None, step.turn)]
    if not found:
        known = ", ".join(dict.fromkeys(step.name for step in trace.steps if turn in (None, step.turn))) or "no node"
        raise UsageError(f"`{trace.key}` did not come to `{name}`; it came to {known}")
    turns = sorted({step.turn for step in found if step.turn is not None})
    if len(turns) > 1:
        choices = ", ".join(f"`--turn {one}`" for one in turns)
        raise UsageError(f"`{trace.key}` came to `{name}` for several moments; choose one: {choices}")
    return found[0]


async def replay(planned: Plan, models: Models) -> Branch:
    """Run the graph on from the recorded state. The original is only read.

    Raises:
        RunStopped: a fault that every item would meet; the branch is left without its item.
    """
    original, settings, step = planned.reading.run, planned.settings, planned.step
    note = {"item": planned.trace.key, "from": step.name, "turn": step.turn, "changes": planned.told()}
    run = begin(original, "branches", settings, note)
    for attempt in planned.row.attempts:
        if attempt["image"] is not None:
            link(attempt["image"], original.path, run.path)
    with contextlib.closing(run.journal()) as journal:
        assert planned.row.input is not None
        journal.ingest([planned.row.input])
        calls = CallsOfBranch(planned.reading.rows, original.path, journal, run.path)
        desk = Desk(models, settings, calls, Artifacts(run.path, settings.run.image_format))
        try:
            outcome = await _run(planned, desk, calls)
        finally:
            await desk.aclose()
        await journal.finish(outcome)
    return Branch(run, planned.trace.key, outcome, desk.tally, planned.told())


async def _run(planned: Plan, desk: Desk, calls: CallsOfBranch) -> Outcome:
    """The item with what was kept from the original and what the graph has made anew."""
    step, row, kind = planned.step, planned.row, KINDS[planned.trace.kind]
    settings = kind.in_force(planned.settings)
    kept = _kept(row, step)
    context = Context(
        desk,
        settings,
        retries=row.retries,
        seeds=_seeds(planned),
        attempts=list(kept.attempts),
        pairs=list(kept.pairs),
    )
    started = time.perf_counter()
    try:
        with tracing_context(enabled=False):
            config = {"recursion_limit": kind.recursion_limit(settings)}
            await _resumed(planned, settings).ainvoke(_given(planned), config, context=context)
        outcome = kind.conclude(row.key, context)
    except RunStopped:
        raise
    except MagidError as fault:
        outcome = Outcome(row.key, "failed", fault.cause, str(fault))
    asked = _asked_by(planned.reading.rows.asked(row.position), kept.spans)
    for one in asked:
        calls.recall(one.call)
    outcome.duration_s = round(time.perf_counter() - started, 4)
    outcome.attempts = sorted(context.attempts, key=lambda one: (one["turn"], one["n"]))
    outcome.pairs = context.pairs
    outcome.spans = [*kept.spans, *told_once(context.spans, outcome.attempts)]
    outcome.asked = [*asked, *context.asked]
    return outcome


def _resumed(planned: Plan, settings: Settings) -> Any:
    """The real graph, begun at the node."""
    node = planned.step.node
    if planned.trace.kind == "pairs":
        return graph.chain_from(node, is_gated=settings.cycle.qa == "gate")
    return graph.dialogue() if node == "scanner" else graph.illustrate_from(node)


def _given(planned: Plan) -> Mapping[str, Any]:
    step = planned.step
    state = dict(step.read)
    if planned.change.description is not None:
        state["description"] = planned.change.description
    if step.node == "scanner":
        return state
    if planned.trace.kind == "pairs":
        return {**chain_before(planned.row, step.turn or 0), "moment": state, "attempts": [], "ended": None}
    return {"moment": state, "attempts": []}


def _seeds(planned: Plan) -> dict[tuple[int, int], int]:
    """The chosen seed, for the next picture of the moment."""
    if planned.change.seed is None or planned.step.turn is None:
        return {}
    n = len(planned.step.read["attempts"]) + (planned.step.node == "qa")
    return {(planned.step.turn, n): planned.change.seed}


@dataclass(frozen=True, slots=True)
class _Kept:
    attempts: list[Attempt]
    pairs: list[Pair]
    spans: list[Span]


def _kept(row: Row, step: Step) -> _Kept:
    """What was recorded before the node run; of a dialogue, also what was recorded for other moments."""
    if step.turn is None:
        return _Kept([], [], [])
    turn, made = step.turn, len(step.read["attempts"])
    is_chained = row.input is not None and is_chain(row.input)

    def is_other(place: int | None) -> bool:
        return place is None or (place < turn if is_chained else place != turn)

    return _Kept(
        [one for one in row.attempts if is_other(one["turn"]) or (one["turn"] == turn and one["n"] < made)],
        [one for one in row.pairs if one["iteration"] < turn],
        [
            one
            for one in row.spans
            if is_other(one["turn"]) or (one["turn"] == turn and one["started_at"] < step.started_at)
        ],
    )


def _asked_by(asked: Iterable[Asked], spans: Sequence[Span]) -> list[Asked]:
    """The exchanges of these spans: of each node and turn, the first ones."""
    left: Counter[tuple[str, int | None]] = Counter()
    for span in spans:
        left[span["node"], span["turn"]] += span.get("asked", 0)
    kept = []
    for one in asked:
        if left[one.node, one.turn] > 0:
            left[one.node, one.turn] -= 1
            kept.append(one)
    return kept
