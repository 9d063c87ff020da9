"""Replies to records: one function per kind of reply."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from magid_graph.errors import ReplyFault
from magid_graph.protocol.descriptions import check, check_new, normalised, unquoted
from magid_graph.protocol.tags import is_refusal, plain, reason_of, results_of


class Found(NamedTuple):
    """A turn that the language model chose."""

    turn: int
    description: str
    reason: str


_MARKER = re.compile(
    r"""^[ \t]*
    (?:[-*•+][ \t]+|\(?\d+[.)][ \t]+)?        # a list's bullet or number
    [*"'`“]*utterance\b[*]*[ \t]*[:\#]?[ \t]*
    \[?(-?\d+)\]?[*]*
    (?:[ \t]*:(?![ \t]*\d+[ \t]*:)|[.](?=\s)|[ \t]+[-–—](?=[ \t]))[*]*
    (.*)$""",
    re.IGNORECASE | re.VERBOSE,
)
_INNER_MARKER = re.compile(r"\butterance[ \t]*:[ \t]*\d+[ \t]*:", re.IGNORECASE)
_NOTHING = re.compile(
    r"\A\W*(?:none\b.*|nothing|n/?a|null"
    r"|no (?:\w+ ){0,3}(?:images?|pictures?|photos?|moments?|utterances?|results?)\b.*)\W*\Z",
    re.IGNORECASE,
)
_SAYS_NO = re.compile(r"\b(?:no|none|nothing|not|nobody|never|neither)\b|n['’]t\b", re.IGNORECASE)
_NUMBERED = re.compile(r"^[ \t]*\(?\d+[.):][ \t]*(.*)$")
_BULLETED = re.compile(r"^[ \t]*[-*•+][ \t]+(.*)$")
_PREAMBLE = re.compile(
    r"\A(?:here(?:'s| is| are)\b|sure\b|certainly\b|of course\b|below\b|i hope\b|let me know\b)", re.IGNORECASE
)
_ANY_TAG = re.compile(r"</?\s*(?:reason|result)\s*>", re.IGNORECASE)


def parse_scan(
    reply: str, *, turns: Sequence[int], max_images: int | None, utterances: Mapping[int, str] | None = None
) -> list[Found]:
    """The chosen turns in order; empty when the reply says that none deserves a picture.

    `turns`: the indices that were shown. `max_images`: `None` or 0 is no limit. `utterances`: the text of each turn, to
    recognise a reply that gives it back. Raises `ReplyFault`.
    """
    text = plain(reply)
    reason = reason_of(text)
    found: dict[int, str] = {}
    for body in results_of(text):
        for turn, description in _choices(body, reason):
            _check_choice(turn, description, turns, found, (utterances or {}).get(turn, ""))
            found[turn] = found.get(turn, description)
    if max_images and len(found) > max_images:
        raise ReplyFault(f"{len(found)} utterances were chosen; choose at most {max_images}, the best ones")
    return [Found(turn, found[turn], reason) for turn in sorted(found)]


def parse_feedback(reply: str, *, turn: int, earlier: Sequence[str]) -> str:
    """The new description of this one turn. Raises `ReplyFault`, also when it repeats an `earlier` one."""
    found = parse_scan(reply, turns=[turn], max_images=1)
    if not found:
        raise ReplyFault(f'a description is needed; write "Utterance: {turn}: " and the new description')
    check_new(found[0].description, earlier)
    return found[0].description


def parse_shortened(reply: str, max_words: int) -> str:
    """The shortened description. Raises `ReplyFault` when it is longer than `max_words`."""
    bodies = [unquoted(body) for body in results_of(plain(reply))]
    if len(bodies) > 1:
        raise ReplyFault(f"there are {len(bodies)} results; write one")
    check(bodies[0], what="the description")
    if (words := len(bodies[0].split())) > max_words:
        raise ReplyFault(f"the description has {words} words; use at most {max_words}")
    return bodies[0]


def parse_numbered(reply: str, count: int) -> list[str]:
    """Up to `count` different descriptions from a numbered list (or, when nothing is numbered, a bulleted one)."""
    kept: dict[str, str] = {}
    for description in read_list(reply):
        kept.setdefault(normalised(description), description)
    return list(kept.values())[:count]


def read_list(reply: str) -> list[str]:
    """The items of a numbered list (or, when nothing is numbered, a bulleted one), repeats and all.

    Blank items, and prose before, between and after, are not items.
    """
    lines = _ANY_TAG.sub("\n", plain(reply)).split("\n")
    items = [unquoted(item) for item in _listed(lines, _NUMBERED) or _listed(lines, _BULLETED)]
    return [item for item in items if normalised(item) and not _is_preamble(item)]


def _choices(body: str, reason: str) -> Iterator[tuple[int, str]]:
    """The chosen turns of one result body with their descriptions, as written."""
    entries = _entries(body)
    if not entries and not body.strip() and not _SAYS_NO.search(reason):
        raise ReplyFault('the <result> is empty; write "none" in it if no utterance deserves a picture')
    for turn, description in entries:
        # Models that go through every utterance say so of each one: "Utterance: 4: none".
        if not _NOTHING.match(description):
            yield turn, description


def _entries(body: str) -> list[tuple[int, str]]:
    """The marked lines of a body, each joined with the lines it wraps onto."""
    lines = [line for line in body.split("\n") if line.strip()]
    if _NOTHING.match(" ".join(body.split())) and not any(map(_MARKER.match, lines)):
        return []
    entries: list[tuple[int, str]] = []
    for line in lines:
        if marker := _MARKER.match(line):
            entries.append((int(marker[1][:9]), marker[2]))
        elif entries and not _NOTHING.match(line):
            entries[-1] = entries[-1][0], f"{entries[-1][1]} {line}"
        else:
            raise ReplyFault(_unmarked(line.strip()))
    return [(turn, unquoted(text)) for turn, text in entries]


def _unmarked(line: str) -> str:
    if is_refusal(line):
        return 'the <result> is a refusal; write "none" in it if no utterance deserves a picture'
    return f'"{line[:60]}" in <result> does not begin with "Utterance: i: ", where i is the number of the utterance'


def _check_choice(turn: int, description: str, turns: Sequence[int], found: Mapping[int, str], utterance: str) -> None:
    if turn not in turns:
        raise ReplyFault(f"there is no utterance {turn}; {_allowed(turns)}")
    if _INNER_MARKER.search(description):
        raise ReplyFault("two utterances are on one line; write each on a line of its own")
    check(description, what=f"the description of utterance {turn}", utterance=utterance)
    if turn in found and normalised(found[turn]) != normalised(description):
        raise ReplyFault(f"utterance {turn} has two descriptions; give each utterance one")


def _allowed(turns: Sequence[int]) -> str:
    if len(turns) == 1:
        return f"the only one is {turns[0]}"
    return f"they are numbered {min(turns)} to {max(turns)}" if turns else "there are none"


def _listed(lines: Sequence[str], pattern: re.Pattern[str]) -> list[str]:
    items: list[str] = []
    for before, line in zip(["", *lines], lines, strict=False):
        if match := pattern.match(line):
            items.append(match[1])
        elif items and before.strip() and (line.startswith((" ", "\t")) or line[:1].islower()):
            items[-1] += f" {line.strip()}"
    return items


def _is_preamble(description: str) -> bool:
    return description.endswith(":") or is_refusal(description) or _PREAMBLE.match(description) is not None
