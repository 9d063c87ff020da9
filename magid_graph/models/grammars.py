"""GBNF grammars of the replies, for models served by llama.cpp: every reply parses, and every reply ends.

`is_brief` is for models trained on these replies, which ramble when they may. Others think before they answer: they get
room for a reason of several lines, and for descriptions that begin with a letter of any script.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache

from magid_graph.models.wording import (
    LOOK_BACK,
    MOST_WORDS,
    joint_wording,
    plain_rules,
    quotes,
    speaks_of_somebody,
    wording,
    words_said,
)

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


def scanner_grammar(
    indices: Sequence[int], max_images: int, *, is_brief: bool = True, said: Sequence[str] | None = None
) -> str:
    """A reason, then `none` or lines each with another of `indices`, in rising order.

    At most `max_images` lines where that is a small number; more have to be counted in the reply. `said` is the text of
    each of `indices`, in rising order: with it, the reason quotes each utterance before it says what that shows, and a
    description is made of words that were quoted and of plain ones.
    """
    if not indices or max_images < 1:
        reason, _ = _BRIEF if is_brief else _FREE
        return "\n".join([r'root ::= reason "<result>\nnone\n</result>"', reason])
    limit = min(max_images, len(indices))
    limit = limit if limit <= _MAX_COUNTED else 0
    ordered = tuple(sorted(set(indices)))
    if said is None:
        return _of_any_words(ordered, limit, is_brief=is_brief)
    told = rf'reason ::= "<reason>" ( "Nothing is shown." | why-0-{limit} ) "</reason>\n"'
    whys = _chain("why", len(ordered), limit, "claim-{}", " ")
    lines = _chain("line", len(ordered), limit, "result-{}", r"\n")
    return "\n".join([_root(limit), told, *whys, *lines, *_worded(ordered, said)])


def _root(limit: int) -> str:
    return rf'root ::= reason "<result>\n" ( "none" | line-0-{limit} ) "\n</result>"'


@lru_cache(maxsize=256)
def _of_any_words(ordered: tuple[int, ...], limit: int, *, is_brief: bool) -> str:
    """The scanner's grammar where descriptions are free: the same for all dialogues of a length."""
    reason, text = _BRIEF if is_brief else _FREE
    lines = _chain("line", len(ordered), limit, "result-{}", r"\n")
    results = [f'result-{at} ::= "Utterance: {index}: " text' for at, index in enumerate(ordered)]
    return "\n".join([_root(limit), reason, text, *lines, *results])


def _worded(ordered: Sequence[int], said: Sequence[str]) -> list[str]:
    """The rules `claim-i` and `result-i` by position: what an utterance shows, in its words and plain ones.

    A claim quotes the utterance first, and perhaps one before it that it looks back to: a small model finds the right
    word where it was said just before, and mixes things up over a distance.
    """
    words, people = [words_said([text]) for text in said], [speaks_of_somebody(text) for text in said]
    rules = plain_rules(word for spoken in words for word in spoken)

    def joint(name: str, these: Sequence[int]) -> list[str]:
        parts = [str(one) for one in these if words[one]]
        return joint_wording(name, parts, with_people=any(people[one] for one in these))

    for at, (index, text) in enumerate(zip(ordered, said, strict=True)):
        rules.append(f"quote-{at} ::= {' | '.join(json.dumps(quote, ensure_ascii=False) for quote in quotes(text))}")
        rules += wording(str(at), words[at], with_people=people[at])
        earlier = [back for back in range(max(0, at - LOOK_BACK), at) if words[back]]
        for back in earlier:
            rules += joint(f"{at}-{back}", (at, back))
        ways = [rf'", after \"" quote-{back} "\", shows " text-{at}-{back}' for back in earlier]
        if words[at] or not earlier:
            ways.insert(0, f'", shows " text-{at}')
        rules.append(rf'claim-{at} ::= "Utterance {index}, \"" quote-{at} "\"" ( {" | ".join(ways)} ) "."')
        if earlier:
            rules += joint(f"{at}-any", (at, *earlier))
        rules.append(f'result-{at} ::= "Utterance: {index}: " text-{at}{"-any" if earlier else ""}')
    return rules


def _chain(name: str, count: int, limit: int, entry: str, between: str) -> list[str]:
    """`name-i-k`: one to `k` entries from position `i` on, in rising order; `name-i-0` any number of them.

    `entry`: the rule of an entry, by position.
    """
    rules = []
    for left in range(1, limit + 1) or (0,):
        for at in range(count):
            is_last = at == count - 1
            more = "" if is_last or left == 1 else f' ( "{between}" {name}-{at + 1}-{max(0, left - 1)} )?'
            later = "" if is_last else f" | {name}-{at + 1}-{left}"
            rules.append(f"{name}-{at}-{left} ::= {entry.format(at)}{more}{later}")
    return rules


def feedback_grammar(index: int, *, is_brief: bool = True, said: Sequence[str] | None = None) -> str:
    """A reason, then exactly one line for the utterance that was asked about, in words of `said` if that is given."""
    reason, text = _BRIEF if is_brief else _FREE
    if said is None:
        return "\n".join([rf'root ::= reason "<result>\nUtterance: {index}: " text "\n</result>"', reason, text])
    root = rf'root ::= reason "<result>\nUtterance: {index}: " text-said "\n</result>"'
    words = words_said(said)
    return "\n".join([root, reason, *plain_rules(words), *wording("said", words)])


def describer_grammar(count: int, *, is_brief: bool = True) -> str:
    """Exactly `count` numbered lines; brief ones of at most 80 characters."""
    lines = r' "\n" '.join(f'"{number}. " text' for number in range(1, count + 1))
    text = r"text ::= [a-zA-Z] [^<>:\n]{2,79}" if is_brief else _FREE[1]
    return "\n".join([f"root ::= {lines}", text])


def shorten_grammar(max_words: int | None = None, *, is_brief: bool = True, said: str | None = None) -> str:
    """One line between the result tags, of at most `max_words` words of `said` if these are given."""
    if said is None:
        text = (_BRIEF if is_brief else _FREE)[1]
        return "\n".join([r'root ::= "<result>\n" text "\n</result>"', text])
    words = words_said([said])
    rules = wording("said", words, max_words or MOST_WORDS)
    return "\n".join([r'root ::= "<result>\n" text-said "\n</result>"', *plain_rules(words), *rules])
