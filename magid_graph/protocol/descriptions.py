"""Judging a description: it says something, it stands alone, and it is not the utterance given back."""

from __future__ import annotations

import re
from collections.abc import Sequence

from magid_graph.errors import ReplyFault
from magid_graph.protocol.tags import is_refusal


def _set_of(words: str) -> frozenset[str]:
    return frozenset(words.split())


BACK_REFERENCES = _set_of("he him his himself she her hers herself it its itself they them their theirs themselves")
"""Words that point back: fine after something that they can point to ("a cake with candles on it"), a fault before."""

SPEAKER_REFERENCES = _set_of("me us myself ourselves")
"""Words that only the speaker can resolve: always a fault."""

POINTERS = _set_of("this these those")
"""Words that point at something outside the description, unless a noun follows."""

PICTURE_WORDS = _set_of(
    "image images picture pictures photo photos photograph photographs pic pics shot snapshot selfie view scene "
    "drawing illustration portrait closeup close-up close up video"
)
"""What "a photo of it" shows is not the photo."""

_FUNCTION_WORDS = _set_of(
    "a an the of in on at by with without and or to from for into over under near as is are was were be been being "
    "while that which who where when very some"
)
_CONVERSATION = _set_of(
    "i i'm i've i'll i'd you you're you've your yours we we're we've our ours my mine me us is are was were am have "
    "has had do does did will would can could should let's it's that's here's there's what's look here check wow hey "
    "hi thanks thank please just yes yeah no oh lol"
)
_ALPHANUMERIC = re.compile(r"[^\W_]")
_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")
_QUOTED = re.compile(r"\"[^\"]*\"|“[^”]*”|(?<!\w)'[^']*'(?!\w)|‘[^’]*’(?!\w)")
_QUOTES = (('"', '"'), ("'", "'"), ("“", "”"), ("‘", "’"), ("«", "»"), ("`", "`"), ("**", "**"), ("*", "*"))
_MIN_ECHO_WORDS = 4


def normalised(text: str) -> str:
    """The words of a text in lower case: what has the same words is the same description."""
    return " ".join(_words(text))


def unquoted(text: str) -> str:
    """One line, without the quotes or asterisks around the whole."""
    text = " ".join(text.split())
    for left, right in _QUOTES:
        inner = text[len(left) : -len(right)]
        if text.startswith(left) and text.endswith(right) and inner and left not in inner and right not in inner:
            return unquoted(inner)
    # A quoted line loses its opening quote together with its marker.
    return text.strip('"“”') if len(re.findall(r"[\"“”]", text)) == 1 else text


def check(description: str, *, what: str, utterance: str = "") -> None:
    """Raise `ReplyFault` unless the description can be drawn as it is. `what` names it in the message."""
    if len(_ALPHANUMERIC.findall(description)) < 2:
        raise ReplyFault(f"{what} is empty; describe what the picture shows")
    if is_refusal(description):
        raise ReplyFault(f"{what} is a refusal; describe what the picture shows, or leave that utterance out")
    if _is_echo(description, utterance):
        raise ReplyFault(f"{what} only repeats the utterance; describe what the picture shows")
    if word := unresolved(description):
        raise ReplyFault(f'{what} does not stand alone; say who or what "{word}" is')


def check_new(description: str, earlier: Sequence[str]) -> None:
    """Raise `ReplyFault` when the words of the description are those of an earlier one."""
    if normalised(description) in {normalised(other) for other in earlier}:
        raise ReplyFault(f'"{description}" repeats an earlier description; describe the picture differently')


def unresolved(description: str) -> str | None:
    """The first word that refers to something which the description does not name.

    A check of words, not of grammar: "a dog with her" passes, because the dog might be meant. What is quoted (the text
    on a sign) is not looked at.
    """
    # "US" is a country, "us" is not.
    words: list[str] = _WORD.findall(_QUOTED.sub(" ", description.replace("’", "'")))
    for at, word in enumerate(words):
        if word in SPEAKER_REFERENCES or (word.lower() in POINTERS and not _points_at_noun(words[at + 1 :])):
            return word
        if word.lower() in BACK_REFERENCES and not _names_something(words[:at]):
            return word
    return None


def _points_at_noun(following: Sequence[str]) -> bool:
    return bool(following) and following[0].lower() not in _FUNCTION_WORDS


def _names_something(words: Sequence[str]) -> bool:
    dull = _FUNCTION_WORDS | PICTURE_WORDS | BACK_REFERENCES | POINTERS
    content = [word for word in words if word.lower() not in dull]
    # "playing with her": a description that opens with what is done has not said yet who does it.
    return any(not (at == 0 and word.lower().endswith("ing") and words[0] == word) for at, word in enumerate(content))


def _is_echo(description: str, utterance: str) -> bool:
    """Whether the description is what was said, rather than what is seen.

    Judged by content: "A red balloon." is a description whoever says it, "Look at my red balloon!" is not.
    """
    said, described = _words(utterance), _words(description)
    if len(said) < _MIN_ECHO_WORDS or not (_CONVERSATION & set(said) or utterance.rstrip().endswith("?")):
        return False
    return len(described) - len(said) <= 3 and f" {' '.join(said)} " in f" {' '.join(described)} "


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text.replace("’", "'"))]
