"""The picture-book world: what it knows, and what one scene of it contains.

A scene is plain data (`Scene.to_json`); `drawing.py` draws it and `captions.py` says it in words. Importing this
module reads two small text files and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from PIL.Image import Image

Split = Literal["train", "heldout"]
Size = Literal["large", "medium", "small", "tiny", "closeup"]

HERE = Path(__file__).parent
IMAGE_SIZE = 128
"""Width and height of a rendered scene, in pixels."""

COLOURS: dict[str, float] = {"red": 0.0, "orange": 0.08, "green": 0.35, "blue": 0.59, "purple": 0.78, "pink": 0.9}
"""Colour names and the hue each stands for, 0 to 1."""
COLOURABLE: dict[str, str] = {
    "car": "red",
    "balloon": "red",
    "t-shirt": "blue",
    "dress": "blue",
    "backpack": "red",
    "umbrella": "purple",
}
"""Objects that come in several colours, and the colour of the plain picture."""

LAND = ("meadow", "forest", "park", "garden", "snow", "autumn", "mountain", "lake", "night", "sunset", "rain")
HOME = ("living room", "table", "bedroom", "office")
PLAUSIBLE: dict[str, tuple[str, ...]] = {
    "animal": (*LAND, "farm", "living room", "beach", "road"),
    "wild": (*LAND, "desert", "beach"),
    "bird": (*LAND, "sky", "beach", "sea", "farm"),
    "marine": ("sea", "underwater", "beach", "harbour", "lake", "table"),
    "food": ("table", "kitchen", "garden", "park", "living room", "farm", "beach", "office"),
    "vehicle": ("road", "city", "farm", "mountain", "night", "rain", "sunset", "snow", "desert", "beach", "harbour"),
    "flyer": ("sky", "space", "night", "sunset", "mountain", "sea", "city"),
    "boat": ("sea", "harbour", "lake", "sunset", "night", "beach", "rain"),
    "building": (*LAND, "city", "farm", "beach", "desert"),
    "plant": (*LAND, "desert", "beach", "table", "living room", "city"),
    "sport": ("stadium", "park", "beach", "meadow", "classroom", "bedroom"),
    "instrument": ("stage", "living room", "classroom", "bedroom", "city", "park"),
    "clothes": ("bedroom", "table", "living room", "stage", "classroom", "beach", "city"),
    "furniture": ("living room", "bedroom", "bathroom", "office", "library", "garden", "kitchen"),
    "thing": (*HOME, "kitchen", "classroom", "library", "stage", "garden", "snow", "city", "road"),
    "person": (*LAND, "beach", "city", "stage", "stadium", "road", "living room", "classroom"),
}


@dataclass(frozen=True)
class Object:
    """Something the world can draw."""

    glyph: str
    name: str
    plural: str
    category: str
    synonyms: tuple[str, ...]
    """Other words for it, singular or mass; two objects never share one."""


@dataclass(frozen=True)
class Setting:
    """A place the world can draw."""

    name: str
    phrases: tuple[str, ...]
    """Ways to say where something is, preposition included."""
    alone: tuple[str, ...]
    """Ways to name the place when nothing is in it."""


@dataclass(frozen=True)
class Placed:
    """One kind of object in a scene."""

    name: str
    count: int = 1
    size: Size = "large"
    colour: str | None = None
    slot: str = "centre"
    """`centre`, `left`, `right`, or `group` for several of one kind."""
    dx: int = 0
    dy: int = 0
    """Shift from the slot in pixels, -2 to 2."""


@dataclass(frozen=True)
class Scene:
    """What a picture contains; the ground truth of everything trained on the world."""

    setting: str
    objects: tuple[Placed, ...]
    variant: int = 0
    """Which of the setting's small variations is drawn, 0 to VARIANTS - 1."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"objects": [asdict(placed) for placed in self.objects]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Scene:
        return cls(data["setting"], tuple(Placed(**placed) for placed in data["objects"]), data["variant"])


VARIANTS = 4


def _rows(file: str) -> list[list[str]]:
    lines = (HERE / file).read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.split("|")] for line in lines if line and not line.startswith("#")]


def _list(cell: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in cell.split(","))


OBJECTS: dict[str, Object] = {row[1]: Object(*row[:4], _list(row[4])) for row in _rows("objects.txt")}
"""Everything that can be in a scene, by canonical name."""
SETTINGS: dict[str, Setting] = {row[0]: Setting(row[0], _list(row[1]), _list(row[2])) for row in _rows("settings.txt")}
"""Every place, by canonical name; `plain` stands for no place at all."""

NAMES = tuple(OBJECTS)
PLACES = tuple(SETTINGS)


KINDS = {"one": 53, "two": 28, "several": 10, "closeup": 4, "empty": 5}
"""What scenes hold, and how many of a hundred."""


def sample_scene(rng: Random, kinds: Mapping[str, int] = KINDS) -> Scene:
    """A random scene: one object (about half), two, several of one kind, a close-up, or an empty place."""
    kind = rng.choices((*kinds,), (*kinds.values(),))[0]
    variant = rng.randrange(VARIANTS)
    if kind == "empty":
        return Scene(rng.choice(PLACES[1:]), (), variant)
    first = rng.choice(NAMES)
    return Scene(_place_for(first, rng), _placed(kind, first, rng), variant)


def _placed(kind: str, first: str, rng: Random) -> tuple[Placed, ...]:
    if kind == "two":
        second = rng.choice([name for name in NAMES if name != first])
        return (_put(first, rng, size="medium", slot="left"), _put(second, rng, size="medium", slot="right"))
    if kind == "several":
        return (_put(first, rng, size="small", slot="group", count=rng.choice((2, 2, 3, 3, 4))),)
    if kind == "closeup":
        return (_put(first, rng, size="closeup"),)
    return (_put(first, rng, size="tiny" if rng.random() < 0.08 else "large"),)


def _put(name: str, rng: Random, *, size: Size, slot: str = "centre", count: int = 1) -> Placed:
    colour = rng.choice(tuple(COLOURS)) if name in COLOURABLE and rng.random() < 0.6 else None
    return Placed(name, count, size, colour, slot, rng.randint(-2, 2), rng.randint(-2, 2))


def _place_for(name: str, rng: Random) -> str:
    """Half the time a likely place, else any: a diffuser must not learn that sharks are always at sea."""
    draw = rng.random()
    if draw < 0.16:
        return "plain"
    return rng.choice(PLAUSIBLE[OBJECTS[name].category] if draw < 0.58 else PLACES[1:])


def render(scene: Scene) -> Image:
    """The scene as an RGB picture of `IMAGE_SIZE` × `IMAGE_SIZE` pixels; equal scenes give equal pixels."""
    from training.pocket import drawing

    return drawing.draw(scene)


def caption(scene: Scene, rng: Random, split: Split = "train") -> str:
    """The scene in words; the held-out split uses other sentence frames than training."""
    from training.pocket import captions

    return captions.say(scene, rng, split)
