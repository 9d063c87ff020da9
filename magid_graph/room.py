"""How much of a dialogue the scanner can be shown at once."""

from __future__ import annotations

from functools import cache

from magid_graph import prompts
from magid_graph.config import Settings
from magid_graph.protocol import rough_tokens


def room_for_dialogue(settings: Settings) -> int:
    """Tokens of a scanner prompt that are left for the dialogue itself."""
    used = _frame_tokens(settings.scanner.strategy)
    # A quarter is kept free: tokens are estimated, and a second question holds the first reply.
    return max(64, int(0.75 * (settings.llm.context_tokens - settings.llm.max_tokens) - used))


@cache
def _frame_tokens(strategy: str) -> int:
    """Tokens of the prompt around the dialogue."""
    frame = prompts.render(f"scanner/{strategy}", max_images="any number of", dialogue="")
    return sum(rough_tokens(message["content"]) for message in frame)
