"""GBNF grammars of the replies, for models served by llama.cpp: every reply parses, and every reply ends."""

from __future__ import annotations

from collections.abc import Sequence

_REASON = r'reason ::= "<reason>" [^<>\n ] [^<>\n]{2,158} "</reason>\n"'
# A description starts with a letter and holds no colon, so that no list mark, tag or second "Utterance: 3: " gets in.
_DESCRIPTION = r"text ::= [a-zA-Z] [^<>:\n]{2,158}"


def scanner_grammar(indices: Sequence[int], max_images: int) -> str:
    """A reason, then `none` or at most `max_images` lines, each with another of `indices`, in rising order."""
    if not indices or max_images < 1:
        return "\n".join([r'root ::= reason "<result>\nnone\n</result>"', _REASON])
    limit = min(max_images, len(indices))
    root = rf'root ::= reason "<result>\n" ( "none" | from-0-{limit} ) "\n</result>"'
    return "\n".join([root, _REASON, _DESCRIPTION, *_lines(sorted(set(indices)), limit)])


def _lines(indices: list[int], limit: int) -> list[str]:
    """`from-i-k`: one to `k` lines with indices from position `i` on."""
    rules = []
    for left in range(1, limit + 1):
        for at, index in enumerate(indices):
            is_last = at == len(indices) - 1
            more = f' ( "\\n" from-{at + 1}-{left - 1} )?' if left > 1 and not is_last else ""
            later = "" if is_last else f" | from-{at + 1}-{left}"
            rules.append(f'from-{at}-{left} ::= "Utterance: {index}: " text{more}{later}')
    return rules


def feedback_grammar(index: int) -> str:
    """A reason, then exactly one line for the utterance that was asked about."""
    root = rf'root ::= reason "<result>\nUtterance: {index}: " text "\n</result>"'
    return "\n".join([root, _REASON, _DESCRIPTION])


def describer_grammar(count: int) -> str:
    """Exactly `count` numbered lines."""
    lines = r' "\n" '.join(f'"{number}. " text' for number in range(1, count + 1))
    return "\n".join([f"root ::= {lines}", _DESCRIPTION])


def shorten_grammar() -> str:
    """One line between the result tags."""
    return "\n".join([r'root ::= "<result>\n" text "\n</result>"', _DESCRIPTION])
