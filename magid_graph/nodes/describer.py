"""Describer: first descriptions of a batch, each different from all of the run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from langgraph.runtime import Runtime

from magid_graph import prompts
from magid_graph.context import Context
from magid_graph.diversity import Seen
from magid_graph.errors import ReplyFault
from magid_graph.models.grammars import describer_grammar
from magid_graph.models.safety import read_terms, unsafe_term
from magid_graph.protocol import check_description, harmless, read_list
from magid_graph.records import Dropped
from magid_graph.seeds import seed_for
from magid_graph.state import Described, PairsState

if TYPE_CHECKING:
    from magid_graph.diversity import Vector

_MOST_WORDS = 100
"""A longer line is no description of one picture."""


async def describe(state: PairsState, runtime: Runtime[Context]) -> Described:
    """Ask for the descriptions that are missing, and keep those that are new."""
    ctx, asking = runtime.context, runtime.context.settings.describer
    missing = state["wanted"] - len(state["descriptions"])
    count, is_brief = min(asking.at_once, missing), ctx.settings.scanner.is_brief
    told = [*reversed(state["descriptions"]), *state["earlier"]][: asking.shown]
    reply = await ctx.ask(
        "describer",
        prompts.render(
            f"describer/{state['prompt']}",
            count=count,
            topic=harmless(state["topic"] or "anything"),
            avoid="\n".join(map(harmless, told)),
        ),
        seed=seed_for(ctx.settings.run.seed, state["key"], "describer", ctx.retries, state["questions"]),
        grammar=describer_grammar(count, is_brief=is_brief),
        temperature=asking.temperature,
        top_p=asking.top_p,
        top_k=asking.top_k,
    )
    kept, dropped = await _sort(ctx, read_list(reply.text), state["descriptions"], missing)
    in_vain = 0 if kept else state["in_vain"] + 1
    return {
        "descriptions": kept,
        "dropped": dropped,
        "questions": state["questions"] + 1,
        "in_vain": in_vain,
        "asking": "enough" if len(kept) == missing else "given up" if in_vain >= asking.patience else "more",
    }


async def _sort(
    ctx: Context, lines: Sequence[str], before: Sequence[str], missing: int
) -> tuple[list[str], list[Dropped]]:
    """The lines that are new descriptions, as many as are missing; and the others, each with the reason."""
    assert ctx.seen is not None
    embed = ctx.desk.models.clip
    batch, kept, dropped = Seen(), list[str](), list[Dropped]()
    vectors = await ctx.desk.vectors(embed, *before, *lines) if lines else []
    for text, vector in zip(before, vectors, strict=False):
        batch.add(text, vector)
    terms = (*read_terms(), *ctx.settings.qa.blocked_terms)
    for line, vector in zip(lines, vectors[len(before) :], strict=True):
        fault = _fault(line, terms) or _sameness(line, vector, (ctx.seen, batch), ctx.settings.describer.max_similarity)
        if fault is None and len(kept) == missing:
            fault = Dropped(text=line, why="surplus", note=f"{missing} were wanted")
        if fault is not None:
            dropped.append(fault)
        else:
            kept.append(line)
            batch.add(line, vector)
    return kept, dropped


def _fault(line: str, terms: Sequence[str]) -> Dropped | None:
    """Why a line cannot be drawn."""
    if len(line.split()) > _MOST_WORDS:
        return Dropped(text=line, why="unusable", note=f"it has more than {_MOST_WORDS} words")
    if (term := unsafe_term(line, terms)) is not None:
        return Dropped(text=line, why="unusable", note=f"it holds `{term}`")
    try:
        check_description(line, what="the description")
    except ReplyFault as fault:
        return Dropped(text=line, why="unusable", note=str(fault))
    return None


def _sameness(line: str, vector: Vector, earlier: Sequence[Seen], limit: float) -> Dropped | None:
    """What a line says again, or almost."""
    if any(seen.repeats(line) for seen in earlier):
        return Dropped(text=line, why="repeats", note=line)
    cosine, text = max(seen.nearest(vector) for seen in earlier)
    # A cosine of 1 may come out as a little more.
    if limit < 1 and cosine > limit:
        return Dropped(text=line, why="near_duplicate", note=f"{text} ({cosine:.3f})")
    return None
