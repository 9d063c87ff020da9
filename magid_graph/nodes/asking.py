"""Asking the language model for a reply that follows the protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from magid_graph import prompts
from magid_graph.context import Context
from magid_graph.errors import ReplyFault, UnreadableReply
from magid_graph.models import Message

T = TypeVar("T")

_ASKED = 2
"""The question, and once more with the fault of the first reply."""


async def ask_until_readable(
    ctx: Context,
    node: str,
    messages: Sequence[Message],
    parse: Callable[[str, bool], T],
    *,
    seed: int,
    turn: int | None = None,
    grammar: str | None = None,
) -> T:
    """The parsed reply. A reply that cannot be read is asked again once, with the fault.

    `parse` takes the reply and whether it is the last one that will be asked for; it raises `ReplyFault`.

    Raises:
        UnreadableReply: the second reply could not be read either.
    """
    conversation = list(messages)
    # A retry begins with the same questions, whose bad replies are known already and cost nothing.
    asked = _ASKED * (1 + ctx.retries)
    for n in range(asked):
        # A model at temperature 0 would repeat itself word for word when asked again.
        warmth = ctx.settings.llm.temperature if n == 0 else max(0.5, ctx.settings.llm.temperature)
        reply = await ctx.ask(node, conversation, seed=seed + n, turn=turn, grammar=grammar, temperature=warmth)
        try:
            return parse(reply.text, n == asked - 1)
        except ReplyFault as fault:
            why = f"{fault} (the reply was cut at {reply.completion_tokens} tokens)" if reply.truncated else str(fault)
            again = prompts.render("again", fault=why)
            conversation = [*messages, {"role": "assistant", "content": reply.text}, *again]
    raise UnreadableReply(f"the {node}'s reply cannot be read, also when asked again: {why}")
