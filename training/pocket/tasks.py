"""What the pocket language model learns: the project's own briefs and the replies they should get."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from string import Template

from magid_graph.models.wording import LOOK_BACK, quotes
from training.pocket.dialogues import Dialogue, Turn, dialogue
from training.pocket.phrases import (
    Split,
    Thing,
    Topic,
    article,
    is_said,
    nonsense,
    pick_thing,
    split_words,
    table,
    things,
    words,
    world_places,
    world_things,
)

PROMPTS = Path(__file__).parents[2] / "magid_graph" / "prompts"
REASONS = ("off_topic", "off_topic", "off_topic", "ugly", "ugly", "blank", "unsafe")


ANSWERS = {
    "off_topic": "The picture missed the subject, so name it plainly.",
    "ugly": "The picture was poor, so ask for less.",
    "blank": "The picture was empty, so ask for one clear thing.",
    "unsafe": "The picture was unsafe, so keep it harmless.",
}


@dataclass(slots=True)
class Sample:
    """A brief, its reply, and for a scanner's brief what its utterances show."""

    brief: str
    reply: str
    marks: tuple[tuple[int, bool], ...] = ()
    """Where each utterance ends, and whether it shows something."""
    clues: tuple[tuple[int, bool], ...] = ()
    """The last letter of each word of the utterances, and whether the caption has that word."""


@cache
def template(task: str) -> Template:
    return Template((PROMPTS / task / "brief.md").read_text(encoding="utf-8").strip())


def utterance_line(index: int, turn: Turn) -> str:
    speaker = f"{turn.speaker}: " if turn.speaker else ""
    return f"Utterance: {index}: {speaker}{turn.text}"


def tagged(reason: str, lines: list[str]) -> str:
    """The reply protocol."""
    return f"<reason>{reason}</reason>\n<result>\n" + "\n".join(lines) + "\n</result>"


def scanner_reason(found: Dialogue, chosen: Sequence[int], first: int) -> str:
    """What these turns show, each in its own words first; or that none shows anything."""
    if not chosen:
        return "Nothing is shown."
    return " ".join(f"{claim(found, i, first)} shows {found.turns[i].caption}." for i in chosen)


def claim(found: Dialogue, i: int, first: int) -> str:
    """A turn's words, and those of the turn before that names what it shows."""
    turn = found.turns[i]
    said = f'Utterance {first + i}, "{best_quote(turn.text, turn.caption)}",'
    if is_named(turn, turn.text):
        return said
    earlier = (found.turns[back].text for back in range(i - 1, max(-1, i - LOOK_BACK - 1), -1))
    named = next((text for text in earlier if is_named(turn, text)), None)
    return said if named is None else f'{said} after "{best_quote(named, " ".join(turn.names))}",'


def is_named(turn: Turn, text: str) -> bool:
    return any(is_said(name, text) for name in turn.names)


def best_quote(text: str, caption: str) -> str:
    """Of the parts of an utterance that may be quoted the one with most of a caption's words."""
    wanted = set(caption.lower().split()) - SMALL_WORDS
    return max(quotes(text), key=lambda part: sum(word.strip(".,!?:;") in wanted for word in part.lower().split()))


def glimpse(rng: random.Random, split: Split) -> Sample:
    """The scanner's brief for one to three turns: many descriptions to copy, little to read."""
    found = dialogue(rng, split)
    while not found.moments() and rng.random() < 0.6:
        found = dialogue(rng, split)
    # A third of them ends with a turn that shows nothing.
    at = rng.choice(found.moments() if found.moments() and rng.random() < 0.7 else range(len(found.turns)))
    start = max(0, at - rng.choice([0, 0, 1]))
    turn = found.turns[at]
    if turn.caption and turn.names[0].lower() not in turn.text.lower():
        # What is shown was named earlier, in the exchange that this turn belongs to.
        start = max(0, at - 4)
    found.turns = found.turns[start : at + rng.choice([1, 1, 2])]
    return scanner_sample(found, 2, rng.choice([0, 0, start, rng.randint(0, 40)]))


def echo(rng: random.Random, split: Split) -> Sample:
    """Words without sense, to be said again: how copying is learned, not what is copied."""
    ours = [word for row in table("things") for word in row[1].replace("~", "").replace("+", "").split(", ")]
    picked = [rng.choice(ours) if rng.random() < 0.4 else nonsense(rng) for _ in range(rng.randint(4, 14))]
    return Sample("Say: " + ", ".join(picked), ", ".join(picked))


def scanner(rng: random.Random, split: Split) -> Sample:
    found = dialogue(rng, split)
    first = rng.randint(5, 80) if rng.random() < 0.12 else 0
    limit = rng.choices([2, 1, 3, None], [0.6, 0.15, 0.1, 0.15])[0]
    return scanner_sample(found, limit, first)


def scanner_sample(found: Dialogue, limit: int | None, first: int) -> Sample:
    """The scanner's brief for a dialogue; of more moments than allowed the first are taken."""
    lines = [utterance_line(first + i, turn) for i, turn in enumerate(found.turns)]
    brief = template("scanner").substitute(max_images=limit or "any number of", dialogue="\n".join(lines))
    chosen = found.moments()[:limit]
    results = [f"Utterance: {first + i}: {found.turns[i].caption}" for i in chosen] or ["none"]
    ends, clues, at = list[tuple[int, bool]](), list[tuple[int, bool]](), brief.index(lines[0])
    for line, turn in zip(lines, found.turns, strict=True):
        clues += [(at + len(line) - len(turn.text) + spot, used) for spot, used in clues_of(turn)]
        at += len(line)
        ends.append((at, bool(turn.caption)))
        at += 1
    return Sample(brief, tagged(scanner_reason(found, chosen, first), results), tuple(ends), tuple(clues))


SMALL_WORDS = frozenset({"a", "an", "the", "of", "in", "on", "at", "with", "and", "to", "for", "from", "by", "is"})


def clues_of(turn: Turn) -> list[tuple[int, bool]]:
    """The last letter of each word of the turn, and whether its caption has that word."""
    used = set(re.findall(r"[\w'-]+", f"{turn.caption} {turn.shown}".lower())) - SMALL_WORDS if turn.caption else set()
    return [(found.end() - 1, found[0].lower() in used) for found in re.finditer(r"[\w'-]+", turn.text)]


def attempt_line(number: int, caption: str, reason: str, rng: random.Random, split: Split) -> str:
    score = {
        "off_topic": f"clip_similarity {rng.uniform(0.02, 0.2):.3f} < 0.210",
        "ugly": f"aesthetic {rng.uniform(2.0, 5.0):.2f} < 5.10",
        "unsafe": f"nsfw {rng.uniform(0.6, 0.99):.2f} > 0.50",
        "blank": "blank",
    }[reason]
    line = f'{number}. "{caption}": {reason}, {score}'
    if rng.random() < 0.35:
        other = Topic.about(rng, split, pick_thing(rng, split))
        line += f" (the picture showed: {other.captions['a']} {other.captions['at']})"
    return line


def feedback(rng: random.Random, split: Split) -> Sample:
    """One to six failed attempts, often the same caption several times; the reply is the next plainer one."""
    found = dialogue(rng, split)
    while not found.moments():
        found = dialogue(rng, split)
    index = rng.choice(found.moments())
    turn, (steps, _) = found.turns[index], caption_ladder(found.turns[index])
    done = rng.randint(1, max(1, min(3, len(steps) - 1)))
    captions = [caption for caption in steps[:done] for _ in range(rng.choice([1, 1, 2, 3]))][:6]
    reason = rng.choice(REASONS)
    attempts = [
        attempt_line(n, c, reason if n == len(captions) else rng.choice(REASONS), rng, split)
        for n, c in enumerate(captions, 1)
    ]
    start = max(0, index - rng.choice([0, 0, 0, 1, 1, 2, 3, 8]))
    context = "\n".join(utterance_line(i, found.turns[i]) for i in range(start, index + 1))
    brief = template("feedback").substitute(
        dialogue=context, index=index, utterance=turn.text, attempts="\n".join(attempts)
    )
    better = next((step for step in steps if step not in captions), f"a picture of {steps[-1]}")
    return Sample(brief, tagged(ANSWERS[reason], [f"Utterance: {index}: {better}"]))


def caption_ladder(turn: Turn) -> tuple[list[str], str]:
    """Captions of a turn from its own to the plainest, and the plain noun."""
    name = next((one for one in turn.names if one in world_names()), turn.names[0])
    shown = turn.shown
    plain = article(name) if shown.startswith(("a ", "an ")) else name
    if shown and shown.split()[-1] not in turn.names[0]:
        name, plain = shown, shown
    place = next((place for place in place_captions() if turn.caption.endswith(place)), "")
    steps = [
        turn.caption,
        f"{shown} {place}".strip(),
        f"{plain} {place}".strip(),
        plain,
        f"a close-up of {plain}",
        f"a simple drawing of {plain}",
    ]
    return list(dict.fromkeys(steps)), name


@cache
def world_names() -> frozenset[str]:
    return frozenset(thing.name for thing in things("train", "world"))


@cache
def place_captions() -> tuple[str, ...]:
    """Every place as captions write it, longest first."""
    found = []
    for preposition, place, *rule in table("places"):
        kept = rule[0] if rule else "a"
        found.append(
            f"{preposition} " + (place if kept == "-" else f"the {place}" if kept == "the" else article(place))
        )
    return tuple(sorted(found, key=len, reverse=True))


@cache
def topics() -> tuple[tuple[str, tuple[Thing, ...], tuple[str, ...]], ...]:
    """What may be asked for, with the things of the picture-book world that it makes one think of, and the places."""
    known = {thing.name: thing for thing in reversed(world_things())}
    found = []
    for names, objects, places in table("topics"):
        things_of = tuple(known[one] for one in split_words(objects) if one in known)
        found += [(name, things_of, split_words(places)) for name in split_words(names)]
    return tuple(found)


@cache
def usual_places(thing: str) -> tuple[str, ...]:
    """Where the topics have the thing of this name."""
    return tuple(place for _, objects, places in topics() for place in places if thing in {one.name for one in objects})


def where(rng: random.Random, thing: Thing, names: Sequence[str]) -> str:
    """Somewhere in the picture-book world: in one of the places named, or else mostly where such a thing usually is."""
    chosen = names or (usual_places(thing.name) if rng.random() < 0.8 else ())
    places = world_places()
    return rng.choice(places[rng.choice([name for name in chosen if name in places] or [*places])])


def scene_caption(rng: random.Random, thing: Thing, place: str) -> str:
    """A caption that nobody's utterance asked for."""
    topic = Topic.about(rng, "train", thing)
    shown = topic.captions["a"]
    if rng.random() < 0.1:
        other = Topic.about(rng, "train", rng.choice(world_things()))
        return f"{shown} and {other.captions['a']} {place}"
    return f"{shown} {topic.words['doing']} {place}" if rng.random() < 0.25 else f"{shown} {place}"


GROUPS = ("animal", "food", "vehicle", "building", "plant", "sport", "instrument", "clothes", "furniture", "bird")


def asked_topic(rng: random.Random, split: Split) -> tuple[str, Sequence[Thing], Sequence[str], str]:
    """A topic as somebody may write it, its things, its places, and the phrase for the place if it names one."""
    world = world_things()
    match rng.choices(["anything", "theme", "group", "place", "thing"], [0.25, 0.35, 0.12, 0.13, 0.15])[0]:
        case "theme":
            said, objects, places = rng.choice(topics())
            return said, objects, places, ""
        case "group":
            group = rng.choice(GROUPS)
            said = group if group in ("food", "clothes", "furniture") else f"{group}s"
            return said, [thing for thing in world if thing.category == group], (), ""
        case "place":
            place = where(rng, world[0], [*world_places()])
            return rng.choice([f"things {place}", f"scenes {place}", place]), world, (), place
        case "thing":
            thing = pick_thing(rng, split)
            return (
                rng.choice([thing.word, article(thing.word)]) if thing.number == "one" else thing.word,
                [thing],
                (),
                "",
            )
    return "anything", world, (), ""


def describer(rng: random.Random, split: Split) -> Sample:
    """Captions on a topic, of different things where it allows that, and all unlike those that were there already."""
    said, objects, places, place = asked_topic(rng, split)
    count = rng.choice([1, 2, 3, 4, 5, 6, 8, 10, 10, 10])
    avoided = rng.choice([0, 0, 0, 1, 3, 6, 10, 12, 20])
    made: dict[str, None] = {}
    left: list[Thing] = []
    while len(made) < count + avoided:
        left = left or rng.sample(objects, len(objects))
        thing = left.pop()
        made[scene_caption(rng, thing, place or where(rng, thing, places))] = None
    captions = list(made)
    brief = template("describer").substitute(count=count, topic=said, avoid="\n".join(captions[count:]))
    return Sample(brief.strip(), "\n".join(f"{n}. {caption}" for n, caption in enumerate(captions[:count], 1)))


def shorten(rng: random.Random, split: Split) -> Sample:
    """A caption with frills, and without them."""
    topic = Topic.about(rng, split, pick_thing(rng, split))
    thing, doing, at = topic.captions["a"], topic.words["doing"], topic.captions["at"]
    frills = rng.sample(words("frills"), rng.randint(1, 5))
    cut = rng.randint(0, len(frills))
    opening = rng.choice(
        ["", "", "a photo of ", "a beautiful picture of ", "a wonderful scene with ", "we see ", "the image shows "]
    )
    long = f"{opening}{thing} {doing} {', '.join(frills[:cut])} {at}, {', '.join(frills[cut:])}".strip(" ,").replace(
        "  ", " "
    )
    limit = rng.choice([4, 6, 8, 10, 12, 15, 20, 30])
    plain = Thing(topic.thing.word, topic.thing.category, topic.thing.number, topic.thing.name)
    bare = plain.word if plain.number != "one" else article(plain.word)
    steps = [f"{thing} {doing} {at}", f"{thing} {at}", f"{bare} {at}", thing, bare]
    short = next((step for step in steps if len(step.split()) <= limit), bare)
    return Sample(template("shorten").substitute(max_words=limit, description=long), f"<result>\n{short}\n</result>")


TASKS = {scanner: 0.28, glimpse: 0.44, echo: 0.06, feedback: 0.08, describer: 0.08, shorten: 0.06}


def samples(seed: int, split: Split) -> Iterator[Sample]:
    """The training mix, without end."""
    rng = random.Random(f"{split}-{seed}-tasks")
    while True:
        task = rng.choices([*TASKS], [*TASKS.values()])[0]
        yield replace(task(rng, split))
