"""What differs between the kinds of runs: one runner and one session work on dialogues and on chains of pairs alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from magid_graph import graph, records
from magid_graph.config import Retry, Settings
from magid_graph.context import Context, Desk
from magid_graph.feed import Feed, JournalFeed
from magid_graph.journal import Journal, Outcome
from magid_graph.pair_feed import PairFeed
from magid_graph.pair_rows import has_work
from magid_graph.records import Attempt, Chain, Dialogue, Turn
from magid_graph.routing import Beginning
from magid_graph.state import ChainInput, DialogueInput, Drawing


@dataclass(frozen=True, slots=True)
class Kind:
    """How the items of a run are worked on."""

    name: records.Kind
    noun: str
    """What its items are called, in the plural."""
    in_force: Callable[[Settings], Settings]
    """The settings as nodes see them."""
    graph: Callable[[Settings], Any]
    recursion_limit: Callable[[Settings], int]
    given: Callable[[Any], Any]
    """What the graph starts with, from a row of the journal."""
    conclude: Callable[[str, Context], Outcome]
    """What became of an item whose graph run came to its end, from what the run left in its context."""
    has_work: Callable[[Journal, Settings, bool], bool]
    """Whether anything is left to do; or anything that was taken up again."""
    feed: Callable[[Journal, Desk, Settings, int | None, bool], Feed]
    """Where items come from: at most so many, and only those that were taken up again."""


def _dialogue_given(row: Dialogue) -> DialogueInput:
    return {"key": row["key"], "turns": row["turns"]}


def conclude(key: str, attempts: Sequence[Attempt]) -> Outcome:
    """Of a dialogue: accepted when at least one picture was kept; else rejected, with the reason.

    A moment that ended because a check could not run is a fault: with the check mended, a retry may accept it.
    """
    attempts = _in_order(attempts)
    if (unchecked := _unchecked(attempts)) is not None:
        return Outcome(key, "failed", "unchecked", unchecked["note"])
    if any(attempt["verdict"] == "accept" for attempt in attempts):
        return Outcome(key, "accepted")
    return Outcome(key, "rejected", attempts[-1]["reason"] if attempts else "no_moment")


def _chain_given(row: Chain) -> ChainInput:
    first, image = row["description"], row.get("image")
    assert first or image
    moment: dict[str, Any] = {
        "key": row["key"],
        "turn": 0,
        "context": [Turn(speaker=None, text=first or "")],
        "description": first or "",
        "attempts": [],
    }
    if image is not None:
        moment["drawing"] = Drawing(prompt="", fitted="whole", seed=0, image=image, refused_term=None)
    return {
        "key": row["key"],
        "batch": row["batch"],
        "chain": row["chain"],
        "topic": row["topic"],
        "first": first,
        "moment": moment,  # type: ignore[typeddict-item]
    }


def conclude_chain(key: str, context: Context) -> Outcome:
    """Accepted, with why it ended, when at least one pair was; else rejected, with the reason."""
    attempts = _in_order(context.attempts)
    if (unchecked := _unchecked(attempts)) is not None:
        return Outcome(key, "failed", "unchecked", unchecked["note"])
    if any(pair["accepted"] for pair in context.pairs):
        return Outcome(key, "accepted", context.ends[-1] if context.ends else "refused")
    return Outcome(key, "rejected", attempts[-1]["reason"] if attempts else "unsafe")


def _in_order(attempts: Sequence[Attempt]) -> list[Attempt]:
    return sorted(attempts, key=lambda attempt: (attempt["turn"], attempt["n"]))


def _unchecked(attempts: Sequence[Attempt]) -> Attempt | None:
    return next((a for a in attempts if a["verdict"] == "discard" and a["reason"] == "unchecked"), None)


def in_cycle(settings: Settings) -> Settings:
    """The settings of QA and retries that `cycle.qa` stands for."""
    match settings.cycle.qa:
        case "gate":
            return settings
        case "filter":
            changed: dict[str, Any] = {}
        case "off":
            changed = {
                "qa": settings.qa.model_copy(update={"never_refuse": ("match", "aesthetic"), "measure_all": True})
            }
    return settings.model_copy(update={"retry": Retry(regenerate=0, feedback=0), **changed})


DIALOGUE = Kind(
    name="dialogue",
    noun="dialogues",
    in_force=lambda settings: settings,
    graph=lambda settings: Beginning(graph.dialogue(), "scanner"),
    recursion_limit=lambda settings: graph.recursion_limit(settings.retry),
    given=_dialogue_given,
    conclude=lambda key, context: conclude(key, context.attempts),
    has_work=lambda journal, settings, only_retried: journal.pending_count(only_retried=only_retried) > 0,
    feed=lambda journal, desk, settings, limit, only_retried: JournalFeed(journal, limit, only_retried=only_retried),
)

PAIRS = Kind(
    name="pairs",
    noun="chains",
    in_force=in_cycle,
    graph=lambda settings: graph.chain(is_gated=settings.cycle.qa == "gate"),
    recursion_limit=graph.chain_recursion_limit,
    given=_chain_given,
    conclude=conclude_chain,
    has_work=has_work,
    feed=lambda journal, desk, settings, limit, only_retried: PairFeed(
        journal, desk, settings, only_retried=only_retried
    ),
)

KINDS: dict[records.Kind, Kind] = {"dialogue": DIALOGUE, "pairs": PAIRS}
