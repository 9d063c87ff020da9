"""Turning an utterance back into what a person would have written: spaces of tokenisers, emoji by name."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

_APOSTROPHE = re.compile(r"(?<=\w) (['’]) ?(?=(?:s|re|ve|ll|d|m)\b)|(?<=\w)(['’]) (?=(?:s|re|ve|ll|d|m)\b)", re.I)
_NOT = re.compile(r"(?<=\w) ?(?=n ?['’] ?t\b)(n) ?(['’]) ?(t)\b", re.I)
_CLOSING = re.compile(r" +([.,!?;:%)\]}…]+)(?=\s|$)")
_OPENING = re.compile(r"(?<!\S)([(\[{$£€]) +")
_QUOTED = re.compile(r'(?<!\S)" +([^"]*?[^" ]) +"(?!\w)')
_JOINED = re.compile(r"\b(gon|wan) (na)\b|\b(got) (ta)\b", re.I)
_SMILEY = re.compile(r"[:;]['-]?[)(\]\[]")


def detokenised(text: str) -> str:
    """`do n't , you know ?` as `don't, you know?`. Only spaces go: every other character stays, in its place."""
    if " " not in text:
        return text
    text = _NOT.sub(r"\1\2\3", text)
    text = _APOSTROPHE.sub(lambda found: found[1] or found[2], text)
    text = _JOINED.sub(lambda found: "".join(part for part in found.groups() if part), text)
    text = _QUOTED.sub(r'"\1"', text)
    text = _OPENING.sub(r"\1", text)
    return _CLOSING.sub(lambda found: found[0] if _SMILEY.fullmatch(found[1]) else found[1], text)


def with_emoji(text: str) -> str:
    """`:camera_with_flash:` as the emoji; only names of the Unicode list, so `5:30 and 6:15` and `:x:` stay."""
    if ":" not in text:
        return text
    pieces = text.split(":")
    if len(pieces) < 3:
        return text
    names = _emoji_by_name()
    if len(pieces) == 3:  # one emoji, or none: two thirds of the time of the loop
        before, name, after = pieces
        return before + names[name] + after if name in names else text
    turned, at = [pieces[0]], 1
    while at < len(pieces):
        # `emoji.emojize` takes 8 microseconds for an utterance, ten times as long.
        if at + 1 < len(pieces) and (found := names.get(pieces[at])):
            turned.append(found + pieces[at + 1])
            at += 2
        else:
            turned.append(f":{pieces[at]}")
            at += 1
    return "".join(turned)


@cache
def _emoji_by_name() -> dict[str, str]:
    """As `emoji.demojize` names them; of several forms of one emoji, the fully qualified one."""
    from emoji import EMOJI_DATA

    # The lower the status, the better qualified; the last form of a name stays.
    by_status = sorted(EMOJI_DATA.items(), key=lambda item: -item[1]["status"])
    return {about["en"].strip(":"): form for form, about in by_status}


def wording(*, emoji: bool, detokenise: bool) -> Callable[[str], str] | None:
    """What is done to each utterance; `None`: nothing."""
    if emoji and detokenise:
        return lambda text: detokenised(with_emoji(text))
    return with_emoji if emoji else detokenised if detokenise else None
