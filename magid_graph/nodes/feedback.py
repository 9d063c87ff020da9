"""Feedback: has a moment described anew, once drawing the same description again did not help."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from langgraph.runtime import Runtime

from magid_graph import prompts
from magid_graph.context import Context
from magid_graph.models.grammars import feedback_grammar
from magid_graph.nodes.asking import ask_until_readable
from magid_graph.protocol import harmless, parse_feedback, render_dialogue
from magid_graph.records import Attempt
from magid_graph.seeds import seed_for
from magid_graph.state import IllustrateState, Redescribed

_CONTEXT_TURNS = 8
"""Turns before the utterance that the language model is shown."""


async def redescribe(state: IllustrateState, runtime: Runtime[Context]) -> Redescribed:
    """Ask for a better description, telling which checks failed, by how much, and what the pictures showed."""
    ctx, context, turn = runtime.context, state["context"], state["turn"]
    # Of a dialogue that is the turn itself; a chain's context is one text, whatever the iteration.
    at = len(context) - 1
    earlier = list(dict.fromkeys(attempt["description"] for attempt in state["attempts"]))
    shown = range(max(0, len(context) - _CONTEXT_TURNS), len(context))
    messages = prompts.render(
        "feedback/brief" if ctx.settings.scanner.is_brief else "feedback/full",
        dialogue=render_dialogue(context, shown),
        index=at,
        utterance=harmless(context[-1]["text"]),
        attempts="\n".join(await _tell_all(ctx, state["attempts"])),
    )
    description = await ask_until_readable(
        ctx,
        "feedback",
        messages,
        # A description that repeats an earlier one is refused once; the second time it is drawn with new seeds.
        lambda reply, is_last: parse_feedback(reply, turn=at, earlier=[] if is_last else earlier),
        seed=seed_for(ctx.settings.run.seed, state["key"], "feedback", turn, len(state["attempts"])),
        turn=turn,
        grammar=_grammar(ctx, state, at, earlier),
    )
    return {"description": description}


def _grammar(ctx: Context, state: IllustrateState, at: int, earlier: Sequence[str]) -> str:
    is_brief = ctx.settings.scanner.is_brief
    said = [*(turn["text"] for turn in state["context"][-_CONTEXT_TURNS:]), *earlier] if is_brief else None
    return feedback_grammar(at, is_brief=is_brief, said=said)


async def _tell_all(ctx: Context, attempts: Sequence[Attempt]) -> list[str]:
    shown = await asyncio.gather(*(_showed(ctx, attempt) for attempt in attempts))
    return [
        f"{n}. {tell(attempt, caption)}" for n, (attempt, caption) in enumerate(zip(attempts, shown, strict=True), 1)
    ]


def tell(attempt: Attempt, showed: str | None) -> str:
    """One attempt in a line: `"a dog": off_topic, clip_similarity 0.182 < 0.210 (the picture showed: a cat)`."""
    return f'"{attempt["description"]}": {attempt["reason"]}{_shortfall(attempt)}' + (
        f" (the picture showed: {showed})" if showed else ""
    )


def _shortfall(attempt: Attempt) -> str:
    """The score that failed beside its limit."""
    scores, limits = attempt["scores"], attempt["limits"]
    name, value, sign, limit = {
        "off_topic": ("clip_similarity", scores["clip_similarity"], "<", limits["min_clip_similarity"]),
        "ugly": ("aesthetic", scores["aesthetic"], "<", limits["min_aesthetic"]),
        "unsafe": ("nsfw", scores["nsfw"], ">", limits["max_nsfw"]),
    }.get(attempt["reason"] or "", ("", None, "", 0.0))
    if value is not None:
        return f", {name} {value:.3f} {sign} {limit:.3f}"
    return f", {attempt['note']}" if attempt["note"] else ""


async def _showed(ctx: Context, attempt: Attempt) -> str | None:
    if attempt["image"] is None or ctx.desk.models.captioner is None:
        return None
    return await ctx.desk.caption(attempt["image"], attempt["seed"])
