"""Words and sentence frames of the invented dialogues, and how a frame becomes a sentence.

A frame is a line such as `*(Look at|Check out) {my}( {at}|)!`: `(x|y)` is a choice, `{slot}` a word of the topic.
Frames and nouns whose hash falls into the reserve are used by the held-out split alone, so that nothing measured there
was seen in training.
"""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

Split = Literal["train", "held_out"]
Number = Literal["one", "many", "mass"]
Style = Literal["plain", "free"]
"""Short messages with few words beside the thing, or messages of all kinds of people (`talk/free`)."""

HERE = Path(__file__).parent
CHOICE = re.compile(r"\(([^()]*)\)")
SLOT = re.compile(r"\{([A-Za-z_]+)(?::([a-z,]+))?\}")


@dataclass(frozen=True, slots=True)
class Thing:
    """Something that can be seen, by the word a speaker uses for it."""

    word: str
    category: str
    number: Number
    name: str
    """The word that the picture-book world knows it by, or its own."""


def plural_of(word: str) -> str:
    if re.search(r"[^aeiou]y$", word):
        return word[:-1] + "ies"
    return word + ("es" if re.search(r"(s|x|ch|sh)$", word) else "s")


def number_of(word: str) -> Number:
    if word in words("uncounted"):
        return "mass"
    return "many" if re.search(r"[^suio]s$", word) and not re.search(r"( of | in )", word) else "one"


def lines(path: Path) -> Iterator[str]:
    """The lines that carry something."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            yield line.strip()


def is_said(word: str, text: str) -> bool:
    """Whether a text has the word, or one that begins with it."""
    return re.search(rf"\b{re.escape(word.lower())}", text.lower()) is not None


def is_reserved(text: str, share: int = 7) -> bool:
    """Whether the held-out split owns this line or word: one in `share`."""
    return zlib.crc32(text.encode()) % share == 0


@cache
def world_things() -> tuple[Thing, ...]:
    """The objects that the pocket text-to-image model is trained on, under all their names."""
    found: list[Thing] = []
    for line in lines(HERE / "objects.txt"):
        _, name, _, category, others = (part.strip() for part in line.split("|"))
        for word in (name, name, *(other.strip() for other in others.split(","))):
            if word:
                found.append(Thing(word, category, number_of(word), name))
    return tuple(found)


@cache
def world_places() -> dict[str, tuple[str, ...]]:
    """The places of the picture-book world, with the phrases that say where something is without saying whose it is."""
    rows = (line.split("|") for line in lines(HERE / "settings.txt"))
    phrases = ((name.strip(), split_words(said)) for name, said, _ in rows)
    return {name: tuple(one for one in said if not re.search(r"\b(my|our|her)\b", one)) for name, said in phrases}


@cache
def other_things() -> tuple[Thing, ...]:
    """Objects outside that world: what is said must be copied, known or not."""
    found: list[Thing] = []
    for category, words in table("things"):
        for word in (entry.strip() for entry in words.split(",")):
            bare = word.lstrip("~+")
            number: Number = "mass" if word[0] == "~" else "many" if word[0] == "+" else number_of(bare)
            found.append(Thing(bare, category, number, bare))
    return tuple(found)


@cache
def things(split: Split, source: Literal["world", "other"], category: str = "") -> tuple[Thing, ...]:
    """The things of a category that a split may use; the held-out split prefers the nouns reserved for it."""
    everything = world_things() if source == "world" else other_things()
    chosen = [t for t in everything if category in ("", t.category)]
    own = [t for t in chosen if (is_reserved(t.word, 9) and t.word != t.name) == (split == "held_out")]
    if source == "other":
        own = [t for t in chosen if is_reserved(t.word, 9) == (split == "held_out")]
    return tuple(own or (t for t in chosen if t.word == t.name))


@cache
def words(name: str) -> tuple[str, ...]:
    """A list of `talk/words.txt`."""
    rows = (line.split(":", 1) for line in lines(HERE / "talk" / "words.txt"))
    return next(split_words(row) for key, row in rows if key == name)


@cache
def modifiers() -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Adjectives and doings of each category."""
    table = {}
    for line in lines(HERE / "talk" / "modifiers.txt"):
        category, rest = line.split(":", 1)
        adjectives, _, doings = rest.partition(";")
        table[category] = (split_words(adjectives), split_words(doings))
    return table


def split_words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


@cache
def table(name: str) -> tuple[tuple[str, ...], ...]:
    """The rows of a `|`-separated file of `talk/`, and of those whose names it begins."""
    rows = (line for path in sorted((HERE / "talk").glob(f"{name}*.txt")) for line in lines(path))
    return tuple(tuple(cell.strip() for cell in line.split("|")) for line in rows)


@cache
def frames(name: str, split: Split, style: Style = "plain") -> dict[str, tuple[str, ...]]:
    """The frames of a file, and of those whose names it begins, by section, without the sections that a split lacks."""
    sections: dict[str, list[str]] = {}
    current: list[str] = sections.setdefault("", [])
    folder = HERE / "talk" / "free" if style == "free" else HERE / "talk"
    for path in sorted(folder.glob(f"{name}*.txt")):
        for line in lines(path):
            if line.startswith("[") and line.endswith("]"):
                current = sections.setdefault(line[1:-1], [])
            else:
                current.append(line)
    own = {key: tuple(f for f in found if is_reserved(f) == (split == "held_out")) for key, found in sections.items()}
    return {key: found for key, found in own.items() if found}


def choose(frame: str, rng: random.Random) -> str:
    """Settle every `(x|y)` of a frame, innermost first."""
    while found := CHOICE.search(frame):
        frame = frame[: found.start()] + rng.choice(found[1].split("|")) + frame[found.end() :]
    return frame


def article(word: str) -> str:
    vowel = word[0].lower() in "aeiou" and not re.match(r"(uni|euro|one|use|ute)", word)
    return f"{'an' if vowel or word.startswith('hour') else 'a'} {word}"


def pick_thing(rng: random.Random, split: Split, category: str = "") -> Thing:
    """A thing, from the picture-book world six times in ten, now and then one with an invented name."""
    draw = rng.random()
    if draw < (0.4 if split == "train" else 0.05):
        return invented(rng, category)
    source: Literal["world", "other"] = "world" if draw < 0.75 else "other"
    found = things(split, source, category) or things(split, "world", category) or things(split, "other", category)
    return rng.choice(found)


def invented(rng: random.Random, category: str) -> Thing:
    """A thing nobody has heard of, such as "a brindle velmok" or "a Tuesday plant": only copying can name it."""
    word = nonsense(rng) if rng.random() < 0.4 else rng.choice(ordinary_words())
    tail = rng.choice(["", "", "", " plant", " cake", " toy", " car", " machine", " bird", " stew", " tower"])
    return Thing(word + tail, category or "thing", "one", word + tail)


@cache
def ordinary_words() -> tuple[str, ...]:
    """The words of the frames and lists, which make names as good as any, without the other split's."""
    texts = " ".join(line for path in sorted((HERE / "talk").rglob("*.txt")) for line in lines(path))
    return tuple(word for word in sorted(set(re.findall(r"\b[a-z]{4,}\b", texts))) if not is_reserved(word, 9))


def nonsense(rng: random.Random) -> str:
    """A word that could be English."""
    syllables = [
        rng.choice(words("onsets")) + rng.choice(words("vowels")) + rng.choice(words("codas")) * (rng.random() < 0.6)
        for _ in range(rng.choice([1, 1, 2, 2, 3]))
    ]
    return "".join(syllables) + (rng.choice(words("tails")) if rng.random() < 0.5 else "")


def cased(slot: str, text: str) -> str:
    return text[:1].upper() + text[1:] if slot[0].isupper() else text


@dataclass(slots=True)
class Topic:
    """What one exchange is about: a thing, where it is, what it does, who is with it."""

    rng: random.Random
    split: Split
    thing: Thing
    words: dict[str, str] = field(default_factory=dict)
    """What each slot says."""
    captions: dict[str, str] = field(default_factory=dict)
    """What a caption says for it, where that differs."""

    @classmethod
    def about(cls, rng: random.Random, split: Split, thing: Thing) -> Topic:
        topic = cls(rng, split, thing)
        topic.describe_thing()
        topic.describe_place()
        topic.describe_person()
        topic.describe_companion()
        topic.words |= {
            "when": rng.choice(words("when")),
            "city": rng.choice(words("cities")),
            "name": rng.choice(words("pets")),
        }
        topic.words["place_the"] = rng.choice(
            ["the garden", "our street", "the park", "the lake", "the farm", "the city", "our yard"]
        )
        topic.words["weather"] = rng.choice(["snowy", "rainy", "foggy", "wet"])
        return topic

    def describe_thing(self) -> None:
        rng, thing = self.rng, self.thing
        adjectives, doings = modifiers().get(thing.category, ((), ()))
        noun, number, count = thing.word, thing.number, ""
        if (
            number == "one"
            and thing.category not in ("scene", "food", "person")
            and " of " not in noun
            and rng.random() < 0.1
        ):
            noun, number = plural_of(noun), "many"
            count = rng.choice(["two", "three", "four", "five", "", "", ""])
        if rng.random() < 0.45:
            noun = f"{rng.choice(adjectives or modifiers()['any'][0])} {noun}"
        many = number == "many"
        own = rng.choice(["my", "our", "my", "the"])
        caption = article(noun) if number == "one" else f"{count} {noun}".strip()
        spoken = caption if number == "one" or count else rng.choice([noun, f"some {noun}"])
        counted = f"{count} {noun}".strip()
        self.words |= {"a": spoken, "n": noun, "the": f"the {counted}", "my": f"{own} {counted}"}
        self.words["this"] = f"{'these' if many else 'this'} {count}".strip()
        self.captions |= {"a": caption, "n": noun}
        self.words["doing"] = rng.choice(doings or ("standing",))
        they = "they" if many else rng.choice(["she", "he", "it"] if thing.category == "animal" else ["it"])
        self.words |= {
            "they": they,
            "it": {"they": "them", "she": "her", "he": "him"}.get(they, "it"),
            "is": "are" if many else "is",
        }
        self.words["theyre"] = f"{they}'re" if many else f"{they}'s"

    def describe_companion(self) -> None:
        """`{b}`, a second thing that is seen with the first."""
        other = Topic(self.rng, self.split, pick_thing(self.rng, self.split))
        other.describe_thing()
        self.words |= {"b": other.captions["a"], "the_b": other.words["the"]}
        self.captions["b"] = other.captions["a"]

    def describe_place(self) -> None:
        rng = self.rng
        preposition, place, *rule = rng.choice(table("places"))
        article_rule = rule[0] if rule else "a"
        if article_rule == "-":
            self.words |= {"at": f"{preposition} {place}", "place": "park"}
            self.captions["at"] = self.words["at"]
            return
        spoken = "the" if article_rule == "the" else rng.choice(["the", "the", "our", "my", "a"])
        said = article(place) if spoken == "a" else f"{spoken} {place}"
        self.words |= {"at": f"{preposition} {said}", "place": place}
        self.captions["at"] = f"{preposition} {'the ' + place if article_rule == 'the' else article(place)}"

    def describe_person(self) -> None:
        who, person, they = self.rng.choice(table("people"))
        self.words |= {"who": who, "who_they": they, "who_is": "are" if they == "they" else "is"}
        if they == "they" and not who.endswith(("s", "kids")):
            self.words["who_is"] = "is"
        self.words["was_who"] = "were" if self.words["who_is"] == "are" else "was"
        self.words |= {"person": person, "theyre_who": f"{they}'re" if they == "they" else f"{they}'s"}
        doing = self.rng.choice(list(lines_of_doings()))
        self.words["whodoing"], self.captions["whodoing"] = self.fill_both(doing)

    def fill_both(self, text: str) -> tuple[str, str]:
        """A text with things of the categories it names, as said and as captioned."""

        def other(found: re.Match[str]) -> str:
            thing = pick_thing(self.rng, self.split, self.rng.choice((found[2] or "").split(",")))
            inner = Topic(self.rng, self.split, thing)
            inner.describe_thing()
            return inner.words["the"] if found[1] == "the" else inner.captions["a"]

        filled = SLOT.sub(other, text)
        return filled, filled

    def say(self, text: str) -> str:
        """The text with its slots filled, as a speaker says it."""

        def word(found: re.Match[str]) -> str:
            if found[2]:
                return self.fill_both(found[0])[0]
            return cased(found[1], self.words[found[1].lower()])

        return SLOT.sub(word, text)

    def caption(self, text: str, template: str) -> str:
        """The caption of a frame's text: only what that text, or the template, mentions."""
        if not template:
            template = " ".join(["{a}", *(slot for slot in ("{doing}", "{at}") if slot in text.lower())])
        if "{at}" not in text.lower():
            template = template.replace("{at}", "")
        if not re.search(r"\{(a|my|the|this)\}", text.lower()):
            template = template.replace("{a}", "{n}" if self.words["is"] == "are" else "{a}")
        filled = SLOT.sub(lambda found: self.captions.get(found[1]) or self.words[found[1]], template)
        filled = re.sub(r"\b(our|my)\b", "a", filled)
        return re.sub(r"\s+", " ", filled).strip()


@cache
def lines_of_doings() -> tuple[str, ...]:
    return tuple(lines(HERE / "talk" / "doings.txt"))
