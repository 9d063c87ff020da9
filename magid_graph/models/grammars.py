"""GBNF grammars of the replies, for models served by llama.cpp: every reply parses, and every reply ends.

`is_brief` is for models trained on these replies, which ramble when they may. Others think before they answer: they get
room for a reason of several lines, and for descriptions that begin with a letter of any script.
"""

from __future__ import annotations

from collections.abc import Sequence

_BRIEF = (
    r'reason ::= "<reason>" [^<>\n ] [^<>\n]{2,158} "</reason>\n"',
    # Begins with a letter and holds no colon, so that no list mark, tag or second "Utterance: 3: " gets in.
    r"text ::= [a-zA-Z] [^<>:\n]{2,158}",
)
_FREE = (
    r'reason ::= "<reason>" [^<\n ] [^<]{2,1998} "</reason>\n"',
    r"text ::= [a-zA-Z\u00AA-\u1FFF\u2C00-\uD7FF\uF900-\U0010FFFF] [^<>\n]{1,598}",
)
_MAX_COUNTED = 4
"""Rules that count lines grow with their number: 100 utterances and pictures would be 700 KB of them."""


def scanner_grammar(indices: Sequence[int], max_images: int, *, is_brief: bool = True) -> str:
    """A reason, then `none` or lines each with another of `indices`, in rising order.

    At most `max_images` lines where that is a small number; more have to be counted in the reply.
    """
    reason, text = _BRIEF if is_brief else _FREE
    if not indices or max_images < 1:
        return "\n".join([r'root ::= reason "<result>\nnone\n</result>"', reason])
    limit = min(max_images, len(indices))
    limit = limit if limit <= _MAX_COUNTED else 0
    root = rf'root ::= reason "<result>\n" ( "none" | from-0-{limit} ) "\n</result>"'
    return "\n".join([root, reason, text, *_lines(sorted(set(indices)), limit)])


def _lines(indices: list[int], limit: int) -> list[str]:
    """`from-i-k`: one to `k` lines with indices from position `i` on; `from-i-0` any number of them."""
    rules = []
    for left in range(1, limit + 1) or (0,):
        for at, index in enumerate(indices):
            is_last = at == len(indices) - 1
            more = "" if is_last or left == 1 else f' ( "\\n" from-{at + 1}-{max(0, left - 1)} )?'
            later = "" if is_last else f" | from-{at + 1}-{left}"
            rules.append(f'from-{at}-{left} ::= "Utterance: {index}: " text{more}{later}')
    return rules


def feedback_grammar(index: int, *, is_brief: bool = True) -> str:
    """A reason, then exactly one line for the utterance that was asked about."""
    root = rf'root ::= reason "<result>\nUtterance: {index}: " text "\n</result>"'
    return "\n".join([root, *(_BRIEF if is_brief else _FREE)])


def describer_grammar(count: int, *, is_brief: bool = True) -> str:
    """Exactly `count` numbered lines."""
    lines = r' "\n" '.join(f'"{number}. " text' for number in range(1, count + 1))
    return "\n".join([f"root ::= {lines}", _text(is_brief)])


def shorten_grammar(*, is_brief: bool = True) -> str:
    """One line between the result tags."""
    return "\n".join([r'root ::= "<result>\n" text "\n</result>"', _text(is_brief)])


def _text(is_brief: bool) -> str:
    return (_BRIEF if is_brief else _FREE)[1]
