"""Invented everyday dialogues in which some turns show something, with the caption that a picture of it would have."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from training.pocket.phrases import Split, Style, Topic, choose, frames, nonsense, pick_thing, words

PLAIN_SHARE = 0.4
"""Of the exchanges that dialogues are put together from; the others are of the free style."""


@dataclass(slots=True)
class Turn:
    """One utterance, and what a picture of it would show."""

    text: str
    caption: str = ""
    """Empty where nothing is shown."""
    names: tuple[str, ...] = ()
    """Words of which a right caption contains at least one."""
    shown: str = ""
    """The thing alone, as the reason names it."""
    speaker: str = ""


@dataclass(slots=True)
class Dialogue:
    turns: list[Turn]
    themes: list[str] = field(default_factory=list)
    """What the talk that shows nothing is about."""

    def moments(self) -> list[int]:
        """Positions of the turns that show something."""
        return [i for i, turn in enumerate(self.turns) if turn.caption]


def turn_of(part: str, topic: Topic, template: str) -> Turn:
    """A frame's turn; the one that starts with `*` shows the topic."""
    text, template = part.strip(), template.strip()
    if not text.startswith("*"):
        return Turn(sentence(topic.say(text)))
    caption = topic.caption(text, template)
    shows_thing = not template or "{a}" in template or "{n}" in template
    if shows_thing:
        shown, names = topic.captions["a"], (topic.thing.word, topic.thing.name)
    else:
        shown = topic.words["person"] if "{person}" in template else main_thing(caption)
        names = heads(shown)
    return Turn(sentence(topic.say(text[1:])), caption, names, shown)


def main_thing(caption: str) -> str:
    """A caption's first words, up to where they go on to say where the thing is or what it does."""
    said, following = caption.split(), {*words("joints"), *words("articles")}
    for at, word in enumerate(said[2:], 2):
        is_doing = word.endswith("ing") and word not in words("things_in_ing")
        # "a boy riding a pony", but not "a rocking chair".
        if word in words("joints") or (is_doing and (at + 1 == len(said) or said[at + 1] in following)):
            return " ".join(said[:at])
    return caption


def heads(shown: str) -> tuple[str, ...]:
    """The nouns that name a thing: the last word, and of "a bowl of plums" the bowl too."""
    return tuple(part.split()[-1] for part in reversed(shown.split(" of ")) if part.split())


def sentence(text: str) -> str:
    """Capitals after full stops, no doubled spaces."""
    text = re.sub(r"\s+", " ", text).strip()
    return re.sub(r"(^|[.!?] )([a-z])", lambda found: found[1] + found[2].upper(), text)


def exchange(frame: str, topic: Topic) -> list[Turn]:
    """The turns of a frame."""
    body, _, template = frame.partition("=>")
    return [turn_of(part, topic, template) for part in choose(body, topic.rng).split(" // ")]


def share(rng: random.Random, split: Split, style: Style) -> tuple[list[Turn], Topic]:
    """An exchange that shows something, with the reactions to it."""
    sections = frames("shares", split, style)
    section = rng.choices([*sections], [len(found) for found in sections.values()])[0]
    category = "" if section == "any" else rng.choice(section.split())
    topic = Topic.about(rng, split, pick_thing(rng, split, category))
    if section == "any" and rng.random() < 0.3:
        section = next((key for key in sections if topic.thing.category in key.split()), "any")
    turns = exchange(rng.choice(sections[section]), topic)
    for _ in range(rng.choice([0, 0, 1, 1, 1, 2])):
        turns += exchange(rng.choice(frames("reactions", split)[""]), topic)
    return turns, topic


def talk(rng: random.Random, split: Split, theme: str, topic: Topic | None, style: Style = "plain") -> list[Turn]:
    """An exchange that shows nothing."""
    about = topic if topic and rng.random() < 0.4 else Topic.about(rng, split, pick_thing(rng, split))
    turns = exchange(rng.choice(frames("talk", split, style)[theme]), about)
    return turns[: rng.choice([1, 2, 3])]


def segments(rng: random.Random, split: Split, plain: float) -> tuple[list[list[Turn]], list[str]]:
    """The exchanges of a dialogue in order, and the themes of those that show nothing."""
    shares = rng.choices([0, 1, 2, 3], [0.3, 0.38, 0.24, 0.08])[0]
    parts: list[list[Turn]] = []
    topic: Topic | None = None
    for _ in range(shares):
        turns, topic = share(rng, split, style_of(rng, plain))
        parts.append(turns)
    sections = frames("talk", split, style := style_of(rng, plain))
    ordinary = [key for key in sections if key not in ("greetings", "closings")]
    weights = [len(sections[key]) ** 0.75 for key in ordinary]
    favourites = rng.choices(ordinary, weights, k=2)
    length, wanted = sum(map(len, parts)), rng.randint(2, 6) if rng.random() < 0.75 else rng.randint(7, 14)
    themes: list[str] = []
    while length < wanted or not themes:
        theme = rng.choice(favourites) if rng.random() < 0.6 else rng.choices(ordinary, weights)[0]
        parts.append(talk(rng, split, theme, topic, style))
        length += len(parts[-1])
        themes.append(theme)
    rng.shuffle(parts)
    usual = frames("talk", split)
    if rng.random() < 0.45 and "greetings" in usual:
        parts.insert(0, talk(rng, split, "greetings", topic))
    if rng.random() < 0.35 and "closings" in usual:
        parts.append(talk(rng, split, "closings", topic))
    return parts, sorted(set(themes), key=themes.count, reverse=True)


def style_of(rng: random.Random, plain: float) -> Style:
    return "plain" if rng.random() < plain else "free"


def merge_some(turns: list[Turn], rng: random.Random) -> list[Turn]:
    """The same turns, some with sentences around them or joined with the next one."""
    asides = frames("asides", "train")
    merged: list[Turn] = []
    for turn in turns:
        if rng.random() < 0.16:
            before = choose(rng.choice(asides["before"]), rng)
            turn.text = f"{before} {turn.text[:1].lower() + turn.text[1:] if before[-1] == ',' else turn.text}"
        if rng.random() < 0.14:
            turn.text = f"{turn.text} {choose(rng.choice(asides['after']), rng)}"
        if merged and rng.random() < 0.07 and not (merged[-1].caption and turn.caption) and len(turns) > 3:
            last = merged.pop()
            shown = last if last.caption else turn
            turn = Turn(f"{last.text} {turn.text}", shown.caption, shown.names, shown.shown)
        merged.append(turn)
    return merged


def texting(text: str, rng: random.Random) -> str:
    """As typed on a phone: lower case, short forms, few full stops."""
    text = text.lower() if rng.random() < 0.8 else text
    if rng.random() < 0.5:
        for long, short in (pair.split("=") for pair in words("shorthand")):
            text = re.sub(rf"\b{long}\b", short, text)
    if rng.random() < 0.5:
        text = text.replace("'", "")
    return text.rstrip(".") if rng.random() < 0.7 else text


def mistyped(turn: Turn, rng: random.Random) -> str:
    """With a slip of the finger, though not in the words that the caption needs."""
    typed = turn.text.split(" ")
    spot = rng.randrange(len(typed))
    word = typed[spot]
    if len(word) > 3 and word.isalpha() and word.lower() not in turn.caption.lower().split():
        cut = rng.randrange(1, len(word) - 1)
        typed[spot] = word[:cut] + word[cut + 1] + word[cut] + word[cut + 2 :]
    return " ".join(typed)


def slurred(turn: Turn, rng: random.Random) -> str:
    """With small words left out or doubled, so that no frame is known by its letter."""
    kept = turn.caption.lower().split()
    said = []
    for word in turn.text.split(" "):
        if word.lower().strip(".,!?") in kept or rng.random() > 0.12:
            said.append(word)
        elif rng.random() < 0.3:
            said.append(f"{word} {rng.choice(words('fillers'))}")
    return " ".join(said) or turn.text


def styled(turns: list[Turn], rng: random.Random) -> list[Turn]:
    """One register for the whole dialogue."""
    register = rng.choices(["plain", "texting", "emoji", "loud"], [0.55, 0.27, 0.13, 0.05])[0]
    for turn in turns:
        if register == "texting":
            turn.text = texting(turn.text, rng)
        if register in ("emoji", "texting") and rng.random() < 0.2:
            turn.text += " " + rng.choice(words("emoji"))
        if register == "loud" and rng.random() < 0.3:
            turn.text = turn.text.upper() if rng.random() < 0.4 else turn.text.replace(".", "!!")
        if rng.random() < 0.04:
            turn.text = mistyped(turn, rng)
        if rng.random() < 0.25:
            turn.text = slurred(turn, rng)
    return turns


def strewn(turns: list[Turn], rng: random.Random) -> list[Turn]:
    """With other words in place of some that the captions do not need: what is shown is known by few words, not by all.

    There are some hundreds of frames; without this, they are learnt by heart.
    """
    for turn in turns:
        kept = turn.caption.lower().split()
        said = turn.text.split(" ")
        for spot, word in enumerate(said):
            if word.lower().strip(".,!?:") not in kept and rng.random() < 0.12:
                said[spot] = anything(rng)
        turn.text = " ".join(said)
    return turns


def anything(rng: random.Random) -> str:
    """Any word: of talk, of things, or of no language."""
    draw = rng.random()
    if draw < 0.2:
        return nonsense(rng)
    return rng.choice(small_talk()) if draw < 0.6 else pick_thing(rng, "train").word.split(" ")[-1]


@cache
def small_talk() -> tuple[str, ...]:
    """The words of the frames that show nothing."""
    styles: tuple[Style, ...] = ("plain", "free")
    lines = [line for style in styles for section in frames("talk", "train", style).values() for line in section]
    return tuple(sorted({word for line in lines for word in line.split() if word.isalpha()}))


def give_speakers(turns: list[Turn], rng: random.Random) -> None:
    """Names for the speakers, who mostly take turns."""
    crowd = rng.choice(words("pairs")).split("/")
    if rng.random() < 0.7:
        crowd = rng.sample(words("speakers"), rng.choice([2, 2, 2, 3, 4]))
    at = 0
    for turn in turns:
        turn.speaker = crowd[at % len(crowd)]
        at += 0 if rng.random() < 0.1 else 1


def dialogue(rng: random.Random, split: Split, plain: float = PLAIN_SHARE) -> Dialogue:
    """An invented dialogue of 3 to about 16 turns with 0 to 3 that show something, a share of them plain."""
    parts, themes = segments(rng, split, plain)
    turns = styled(merge_some([turn for part in parts for turn in part], rng), rng)
    if split == "train" and rng.random() < 0.25:
        turns = strewn(turns, rng)
    if rng.random() < 0.5:
        give_speakers(turns, rng)
    return Dialogue(turns[:18], themes)


def dialogues(seed: int, split: Split, plain: float = PLAIN_SHARE) -> Iterator[Dialogue]:
    """Without end."""
    rng = random.Random(f"{split}-{seed}")
    while True:
        yield dialogue(rng, split, plain)
