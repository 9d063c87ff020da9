"""Scanner: which turns deserve a picture, and what it shows."""

from __future__ import annotations

from collections.abc import Sequence

from langgraph.runtime import Runtime

from magid_graph import prompts
from magid_graph.context import Context
from magid_graph.models.grammars import scanner_grammar
from magid_graph.nodes.asking import ask_until_readable
from magid_graph.protocol import Found, merge_found, parse_scan, render_dialogue, render_turns, rough_tokens, windows
from magid_graph.records import Moment, Turn
from magid_graph.room import room_for_dialogue
from magid_graph.seeds import seed_for
from magid_graph.state import DialogueInput, Scanned


async def scan(state: DialogueInput, runtime: Runtime[Context]) -> Scanned:
    """Ask the language model for the moments of a dialogue, window by window."""
    ctx, turns = runtime.context, state["turns"]
    budget = room_for_dialogue(ctx.settings)
    lines = render_turns(turns, range(len(turns)))
    shown = windows(lines, budget, ctx.settings.scanner.window_overlap, rough_tokens)
    finds = [
        await _scan_window(ctx, state["key"], turns, indices, _window(turns, lines, indices, budget))
        for indices in shown
    ]
    found = merge_found(finds, max_images=ctx.settings.scanner.max_images_per_dialogue)
    return {"moments": [Moment(turn=one.turn, description=one.description, reason=one.reason) for one in found]}


def _window(turns: Sequence[Turn], lines: Sequence[str], indices: range, budget: int) -> str:
    if len(indices) > 1:
        return "\n".join(lines[indices.start : indices.stop])
    # A turn that fills a window alone may be larger than the window: one character is one token at worst.
    return render_dialogue(turns, indices, max_chars=budget)


async def _scan_window(ctx: Context, key: str, turns: Sequence[Turn], indices: range, window: str) -> list[Found]:
    limit = ctx.settings.scanner.max_images_per_dialogue or None
    messages = prompts.render(
        f"scanner/{ctx.settings.scanner.strategy}", max_images=limit or "any number of", dialogue=window
    )
    return await ask_until_readable(
        ctx,
        "scanner",
        messages,
        lambda reply, _: parse_scan(
            reply, turns=indices, max_images=limit, utterances={i: turns[i]["text"] for i in indices}
        ),
        seed=seed_for(ctx.settings.run.seed, key, "scanner", indices[0]),
        grammar=_grammar(ctx, turns, indices, limit),
    )


def _grammar(ctx: Context, turns: Sequence[Turn], indices: range, limit: int | None) -> str:
    is_brief = ctx.settings.scanner.is_brief
    said = [turns[i]["text"] for i in indices] if is_brief else None
    return scanner_grammar(indices, limit or len(indices), is_brief=is_brief, said=said)
