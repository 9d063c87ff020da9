"""A dialogue as the language model is shown it, in windows where it does not fit at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from magid_graph.protocol.replies import Found
from magid_graph.records import Turn

# What could be taken for the tags of our prompts and replies, for a thought, or for a chat template's control tokens.
_DIGIT = re.compile(r"[0-9]")
_MARKUP = re.compile(
    r"<(\s*/?\s*(?:result|reason|think(?:ing)?|conversation|description)\s*|\|[^<>|]*\|)>", re.IGNORECASE
)
_MARKER = re.compile(r"\butterance[ \t]*:[ \t]*(\d+)[ \t]*:", re.IGNORECASE)


def render_dialogue(turns: Sequence[Turn], indices: Iterable[int], *, max_chars: int | None = None) -> str:
    """One line per turn: `Utterance: i: Speaker: text`, without the speaker where there is none.

    Dialogues are text from strangers: line ends inside a turn become spaces, `<result>`-like tags and control tokens
    get angle quotes (`‹result›`), and a quoted `Utterance: 3:` loses its colons, so that no turn can pose as another
    one or as a reply. `max_chars` cuts each turn's text.
    """
    return "\n".join(render_turns(turns, indices, max_chars=max_chars))


def render_turns(turns: Sequence[Turn], indices: Iterable[int], *, max_chars: int | None = None) -> list[str]:
    """The lines of `render_dialogue`."""
    return [f"Utterance: {index}: {_line(turns[index], max_chars)}" for index in indices]


def windows(lines: Sequence[str], budget_tokens: int, overlap: int, estimate: Callable[[str], int]) -> list[range]:
    """Ranges that cover all turns, each within the budget; neighbours share up to `overlap` turns.

    `lines`: the turns as `render_turns` shows them. One that is larger than the budget gets a window of its own:
    render it again with `max_chars`.
    """
    # With the line end of the last one, as it is counted in a window.
    if lines and estimate("\n".join([*lines, ""])) <= budget_tokens:
        return [range(len(lines))]
    costs = [estimate(f"{line}\n") for line in lines]
    found: list[range] = []
    start = end = 0
    while end < len(lines):
        start = _next_start(costs, budget_tokens, max(start, end - overlap), end)
        end = _fill(costs, budget_tokens, start)
        found.append(range(start, end))
    return found


def merge_found(finds: Iterable[Iterable[Found]], *, max_images: int | None = None) -> list[Found]:
    """The finds of overlapping windows as one list in order of turns; a turn found twice counts as first found.

    `max_images` (`None` or 0: no limit) keeps the first turns: each window was held to it, their sum was not.
    """
    merged: dict[int, Found] = {}
    for find in (find for window in finds for find in window):
        merged.setdefault(find.turn, find)
    return [merged[turn] for turn in sorted(merged)][: max_images or None]


def rough_tokens(text: str) -> int:
    """An upper estimate without a tokenizer: English runs at about 4 bytes a token, most scripts at 3 or fewer.

    Many tokenizers have a token for each digit and no longer ones.
    """
    return (len(text.encode("utf-8", "replace")) + 2 * len(_DIGIT.findall(text))) // 3 + 1


def harmless(text: str) -> str:
    """The text in one line, with nothing in it that could be taken for the protocol's own marks."""
    text = " ".join(text.split())
    # Looked for first, because these patterns take a third of the scanner's time and hardly ever match.
    if "<" in text:
        text = _MARKUP.sub(r"‹\1›", text)
    return _MARKER.sub(r"utterance \1,", text) if "utterance" in text.lower() else text


def _line(turn: Turn, max_chars: int | None) -> str:
    text = harmless(turn["text"])
    if max_chars is not None and len(text) > max_chars:
        text = text[: max(0, max_chars - 1)].rstrip() + "…"
    return f"{harmless(turn['speaker'])}: {text}" if turn["speaker"] else text


def _fill(costs: Sequence[int], budget: int, start: int) -> int:
    end, spent = start, 0
    while end < len(costs) and (end == start or spent + costs[end] <= budget):
        spent += costs[end]
        end += 1
    return end


def _next_start(costs: Sequence[int], budget: int, start: int, covered: int) -> int:
    """The first start whose window reaches beyond what is covered."""
    while start < covered and _fill(costs, budget, start) <= covered:
        start += 1
    return start
