"""The words that a short reply is made of: those that were said, and plain ones of captions.

A small model mixes up what was said where, and misspells what it copies. A grammar of these words leaves it nothing
else to write: no word of another utterance, no misspelling, no "me" or "it" that a picture could not show.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Sequence

from magid_graph.protocol.descriptions import BACK_REFERENCES, POINTERS, SPEAKER_REFERENCES

LOOK_BACK = 4
"""Turns before an utterance whose words its description may use: "Here she is!" needs them."""
_LONGEST_WORD = 24
MOST_WORDS = 14
_BEGINNING = 4
"""Letters that two words share which a small model may confuse."""
_BEFORE_SAID = 4
"""Plain words before the first that was said: "a girl with a" harmonica."""
LONGEST_QUOTE = 160
"""Characters of an utterance that a reason repeats."""
_WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")
_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+")


def words_of(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NEVER = (
    BACK_REFERENCES
    | SPEAKER_REFERENCES
    | POINTERS
    | words_of(
        "i i'm i've i'll i'd my mine we we're we've we'll our ours you you're you've your yours he's she's it's "
        "they're that's there's here's what's who's let's here there what who why how when yes yeah no none nothing n "
        "null sorry apologies unfortunately look see was were am been do does did don't can't won't is are be has have "
        "had get got going went came want know think said say says saw looks will would should could if because but or "
        "so just really too also than then not any more most even again now today yesterday tomorrow finally right "
        "when where which while some this that these those hi hey oh ok okay lol haha sure please thanks"
    )
)
"""What only talk is made of, or what would make of a description a refusal, a "none", or one that needs the talk.

Four of a thousand captions that training has hold one of these.
"""
_PEOPLE = words_of(
    "person people man woman boy girl child children baby babies toddler family crowd couple team group someone"
)
_SEEN_BESIDE = words_of(
    "table road street tree trees garden mountain beach sea sky snow rain sunset sunrise night morning moon stars "
    "window room stage park lake river forest field meadow house home kitchen bed chair sofa couch plate bowl basket "
    "box hand mouth lap space place toy costume clothes party wedding birthday candles flowers lights water grass "
    "ground wall costumes blanket campfire cardboard line reflections decorations graduation branches landscape cabin "
    "balcony garage breakfast cake frost finish arms top"
)
"""Plain words for what else is seen: one caption in a hundred of the training begins with one that was not said."""
PLAIN = (
    _PEOPLE
    | _SEEN_BESIDE
    | words_of(
        "a an the and of with in on at by from under above below behind beside between next to near front around "
        "outside inside over up out one two three four five many old young little wearing holding riding eating "
        "drinking sleeping asleep sitting standing lying running walking playing jumping flying swimming smiling "
        "crossing missing covered full small big tiny huge giant new broken fresh colorful cracked stained fallen "
        "painted parked half-eaten odd red blue green yellow white black brown pink orange purple golden striped "
        "something close-up close picture drawing painting simple blooming squashed tight fat making messy trying "
        "funny bowing newborn homemade wooden snowy rainy foggy wet animals"
    )
)
"""What captions say without its having been said. Training has captions of these words and the ones said only."""

_SOMEBODY = _PEOPLE | words_of(
    "he she they him her them his their he's she's they're hes shes theyre who everyone everybody someone somebody "
    "all kid kids guy guys lady ladies man men women boys girls mr mrs ms dr mom mum mummy mama mother dad daddy papa "
    "father parents son sons daughter daughters brother brothers sister sisters twins cousin cousins niece nephew "
    "aunt auntie uncle grandma granny gran nan nana grandpa grandad granddad grandson granddaughter grandkids "
    "grandchildren husband wife boyfriend girlfriend fiance partner friend friends neighbor neighbour neighbors "
    "neighbours roommate colleague colleagues coworker coworkers boss teacher coach student students class band choir "
    "singer dancer player players doctor nurse driver farmer waiter chef cook artist bride groom wedding wearing"
)
"""What is said where a person is seen: without one of these, "a man" is made up."""

_SMALL = words_of("a an the and of with in on at by from")
"""Plain words that name nothing: a description of nothing else would be "a"."""


def words_said(texts: Iterable[str]) -> list[str]:
    """The words of texts that a description may use, as they were said and in lower case, each once."""
    found: dict[str, None] = {}
    for text in texts:
        for word in _WORD.findall(text.replace("’", "'")):
            if len(word) <= _LONGEST_WORD and word.lower() not in _NEVER | _SMALL:
                found |= {word: None, word.lower(): None}
    return list(found)


def quotes(text: str) -> list[str]:
    """How a reason may quote an utterance: whole if it is short, else one of its sentences, or a part of a long one."""
    shown = " ".join("".join(" " if c in "<>" or not c.isprintable() else c for c in text).split())
    if len(shown) <= LONGEST_QUOTE:
        return [shown]
    parts = [part for sentence in _SENTENCE_END.split(shown) for part in textwrap.wrap(sentence, LONGEST_QUOTE)]
    return list(dict.fromkeys(parts))


def speaks_of_somebody(text: str) -> bool:
    """Whether a person may be seen in what the text says."""
    return not _SOMEBODY.isdisjoint(re.findall(r"[a-z']+", text.lower().replace("’", "'")))


def wording(name: str, said: Sequence[str], most_words: int = MOST_WORDS, *, with_people: bool = True) -> list[str]:
    """GBNF rules by which `text-name` is at most `most_words` plain words and words of `said`, one of these soon.

    `with_people`: it may begin with "a man", said or not.
    """
    if not said:
        return [f'text-{name} ::= plain ( " " plain ){{1,{max(2, most_words) - 1}}}']
    return [*_worded(name, most_words, with_people), f"said-{name} ::= {any_of(said)}"]


def joint_wording(name: str, parts: Sequence[str], *, with_people: bool) -> list[str]:
    """The rule `text-name` for the words of several, whose rules `said-part` stand elsewhere."""
    return [*_worded(name, MOST_WORDS, with_people), f"said-{name} ::= {' | '.join(f'said-{part}' for part in parts)}"]


def _worded(name: str, most_words: int, with_people: bool) -> list[str]:
    begins = min(_BEFORE_SAID, max(0, most_words - 1))
    rest = max(0, most_words - begins - 1)
    opening = "opening" if with_people else "thing-opening"
    return [
        f'text-{name} ::= ( {opening} " " ){{0,{begins}}} said-{name} ( " " word-{name} ){{0,{rest}}}',
        f"word-{name} ::= plain | said-{name}",
    ]


def plain_rules(said: Iterable[str]) -> list[str]:
    """The rules `plain`, and `opening` and `thing-opening` of what comes before the first word that was said.

    A plain word that begins like one of `said` is left out: with "golden" at hand, "a goldfish" would lose its fish.
    """
    heard = {word.lower() for word in said}
    begun = {word[:_BEGINNING] for word in heard if len(word) > _BEGINNING}
    allowed = {word for word in PLAIN if word[:_BEGINNING] not in begun or word in heard}
    opening = allowed - _SEEN_BESIDE
    return [
        f"plain ::= {any_of(allowed)}",
        f"opening ::= {any_of(opening)}",
        f"thing-opening ::= {any_of(opening - _PEOPLE)}",
    ]


def any_of(words: Iterable[str]) -> str:
    """One of the words, as a tree of their letters: llama.cpp follows every branch that is still open."""
    branches: dict[str, set[str]] = {}
    for word in words:
        branches.setdefault(word[0], set()).add(word[1:])
    return " | ".join(_branch(letter, rests) for letter, rests in sorted(branches.items()))


def _branch(letter: str, rests: set[str]) -> str:
    if len(rests) == 1:
        return json.dumps(letter + next(iter(rests)), ensure_ascii=False)
    more = f"( {any_of(rests - {''})} )" + ("?" if "" in rests else "")
    return f"{json.dumps(letter, ensure_ascii=False)} {more}"
