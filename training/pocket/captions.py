"""Says a scene in words: many frames, synonyms, and words that change nothing."""

from __future__ import annotations

from random import Random

from training.pocket.world import OBJECTS, SETTINGS, Placed, Scene, Split

MASS = frozenset(
    (  # noqa: SIM905
        "beer, bread, broccoli, cattle, cheddar, cheese, chocolate, citrus, coffee, corn, corn on the cob, "
        "father christmas, gelato, homemade bread, hot chocolate, ice cream, lettuce, luggage, noodle soup, "
        "pasta, popcorn, ramen, red wine, santa, santa claus, soft serve, soup, spaghetti, sushi, sweetcorn, "
        "toast, wine"
    ).split(", ")
)
"""Words that need no article."""
MOVES = (
    "sitting", "standing", "resting", "playing", "walking around", "relaxing", "looking at the camera", "lying down",
    "waiting", "sleeping", "running", "jumping", "eating", "drinking", "looking around", "napping",
    "catching a frisbee",
    "chasing a toy", "playing with a toy", "wagging its tail", "in a basket", "curled up", "exploring",
    "sniffing around",
    "with a happy face", "taking a nap", "hiding", "begging for a treat", "enjoying the day", "howling",
    "eating leaves",
)  # fmt: skip
VERBS: dict[str, tuple[str, ...]] = {
    "animal": MOVES,
    "wild": (*MOVES, "roaming", "wandering", "looking for food"),
    "bird": (*MOVES, "perched", "singing", "flying by", "spreading its wings"),
    "marine": (*MOVES, "swimming", "moving along", "splashing", "floating", "jumping out of the water", "diving"),
    "food": (
        "served", "sitting", "waiting to be eaten", "freshly made", "ready to eat", "placed", "for breakfast",
        "for lunch",
        "for dinner", "steaming", "in a bowl", "on a plate", "straight from the oven", "that we made", "half eaten", "",
    ),
    "vehicle": (
        "parked", "standing", "driving", "waiting", "stopped", "speeding along", "with its lights on", "in motion",
        "for sale", "",
    ),
    "flyer": ("flying", "hovering", "landing", "taking off", "passing by", "soaring", ""),
    "boat": ("sailing", "floating", "anchored", "drifting", "gliding along", "leaving", ""),
    "building": ("standing", "rising up", "with open doors", "seen from afar", "", ""),
    "plant": ("growing", "standing", "blooming", "in a vase", "in a pot", "in full bloom", "swaying in the wind", ""),
    "person": (
        "posing", "smiling", "having fun", "standing", "in action", "enjoying the moment", "laughing", "waving",
        "playing",
        "getting ready", "with friends", "taking a break", "in a costume", "",
    ),
}  # fmt: skip
THINGS = (
    "lying", "placed", "resting", "left", "sitting", "on display", "lying around", "hanging", "waiting to be used", "",
    "ready for the trip", "that I bought", "from the shop", "", "",
)  # fmt: skip
ADJECTIVES: dict[Split, tuple[str, ...]] = {
    "train": tuple(
        (  # noqa: SIM905
            "cute lovely beautiful pretty nice charming shiny old new friendly happy colorful bright gorgeous "
            "sweet fancy simple classic delightful wonderful perfect curious proud calm cheerful playful fresh "
            "clean favorite special amazing vintage modern funny magnificent graceful sleepy homemade delicious "
            "famous majestic young elegant cozy fluffy brand-new"
        ).split()
    ),
    "heldout": tuple(
        (  # noqa: SIM905
            "adorable stunning handsome fantastic splendid quirky peaceful glossy rustic humble sturdy radiant "
            "jolly mysterious ancient dazzling gentle impressive tidy striking lonely weathered"
        ).split()
    ),
}
OWNERS: dict[Split, tuple[str, ...]] = {
    "train": ("my", "our", "my friend's", "her", "his", "their", "Anna's", "my sister's", "grandpa's"),
    "heldout": ("my cousin's", "your", "Mario's", "my neighbor's", "my uncle's"),
}
OPENINGS: dict[Split, tuple[str, ...]] = {
    "train": (
        "", "", "", "", "a photo of ", "a picture of ", "an image of ", "a photograph of ", "a cozy photo of ",
        "a drawing of ", "an illustration of ", "a storybook picture of ", "a snapshot of ", "a bright picture of ",
        "there is ", "this is ", "here is ", "a view of ", "the image shows ", "the picture shows ",
        "a detailed photo of ", "a painting of ", "look at ", "a scene with ", "a colorful illustration of ",
        "a realistic photo of ", "a high quality image of ", "in the picture there is ", "a shot of ",
        "the photo shows ", "a wide shot of ", "a candid photo of ", "a sunny photo of ", "a warm picture of ",
    ),
    "heldout": (
        "", "a cheerful snapshot of ", "we can see ", "an artistic rendering of ", "a portrait of ",
        "pictured here is ", "a postcard of ", "a professional photograph of ", "this image depicts ",
        "a dreamy image of ", "a children's book illustration of ", "imagine ",
    ),
}  # fmt: skip
ENDINGS: dict[Split, tuple[str, ...]] = {
    "train": (
        "", "", "", "", "", "", ", photographic style", ", storybook style", " on a sunny day", ", in bright colors",
        ", with soft light", " in warm light", ", highly detailed", ", looking cheerful",
        ". The mood is calm and happy.", ". The colors are bright.", ", in the afternoon", " with a nice background",
        ". It looks very inviting.", ", natural light", ", vivid and clear", ", 4k", ". The scene is peaceful.",
        ", with fine details", ", just as we saw it", " this morning", ", shot from the front", " today",
        ". Everything looks neat and clear.", ", sharp focus", " on our holiday", ", digital art",
    ),
    "heldout": (
        "", "", ", photographic style", ", rendered in lively colors", ". A gentle glow fills the picture.",
        ", during our vacation", ", captured with a good lens", ". The atmosphere is joyful.", ", cinematic lighting",
        " last weekend", ", minimal composition",
    ),
}  # fmt: skip
TOGETHER: dict[Split, tuple[str, ...]] = {
    "train": (
        " and ", " and ", " and ", " next to ", " beside ", " with ", " together with ", ", ", " close to ", " near ",
        " to the left of ", " in front of ", " holding ", " wearing ", " on ", " by ", " behind ", " and also ",
        " playing with ",
        " under ", " looking at ", " and then ", " as well as ",
    ),
    "heldout": (" alongside ", " and ", " accompanied by ", " right by ", " plus "),
}  # fmt: skip
COUNTS: dict[int, tuple[str, ...]] = {
    2: ("two", "two", "a couple of", "2", "a pair of", "both"),
    3: ("three", "three", "3", "a trio of", "a few"),
    4: ("four", "four", "4", "a group of four", "several"),
}
CLOSE: dict[Split, tuple[str, ...]] = {
    "train": (
        "a close-up of ",
        "a closeup photo of ",
        "a macro shot of ",
        "a close up picture of ",
        "a very close view of ",
    ),
    "heldout": ("a tight close-up of ", "an extreme close-up showing "),
}
SMALL = ("tiny", "small", "little", "miniature", "very small")
BIG = ("big", "large", "huge")


def say(scene: Scene, rng: Random, split: Split = "train") -> str:
    """One caption of the scene, capitalised or not as people write."""
    text = _sentence(scene, rng, split) if scene.objects else _empty(scene, rng, split)
    return text[0].upper() + text[1:] if rng.random() < 0.7 else text


def _empty(scene: Scene, rng: Random, split: Split) -> str:
    opening, ending = rng.choice(OPENINGS[split]), rng.choice(ENDINGS[split])
    return opening + rng.choice(SETTINGS[scene.setting].alone) + ending


def _sentence(scene: Scene, rng: Random, split: Split) -> str:
    subject = rng.choice(TOGETHER[split]).join(phrase(placed, rng, split) for placed in scene.objects)
    first = scene.objects[0]
    verb = _verb(first, rng)
    where = _where(scene, rng)
    opening = rng.choice(CLOSE[split] if first.size == "closeup" else OPENINGS[split])
    ending = rng.choice(ENDINGS[split])
    draw = rng.random()
    if where and draw < 0.12:
        return f"{where}, {opening}{subject}{ending}"
    if draw < 0.22:
        return ", ".join(part for part in (_keywords(scene, rng), where) if part) + (
            ending if ending[:1] == "," else ""
        )
    if where and draw < 0.3:
        return f"{opening}{subject} {where}{', ' + verb if verb else ''}{ending}"
    return " ".join(part for part in (opening + subject, verb, where) if part) + ending


def _verb(placed: Placed, rng: Random) -> str:
    if rng.random() < 0.4:
        return ""
    return rng.choice(VERBS.get(OBJECTS[placed.name].category, THINGS))


def _where(scene: Scene, rng: Random) -> str:
    if scene.setting == "plain" and rng.random() < 0.75:
        return ""
    return rng.choice(SETTINGS[scene.setting].phrases)


def _keywords(scene: Scene, rng: Random) -> str:
    def key(placed: Placed) -> str:
        name = OBJECTS[placed.name].plural if placed.count > 1 else placed.name
        return " ".join(part for part in (_count(placed, rng), _look(placed, rng), name) if part)

    return ", ".join(key(placed) for placed in scene.objects)


def _count(placed: Placed, rng: Random) -> str:
    return rng.choice(COUNTS[placed.count]) if placed.count > 1 else ""


def _look(placed: Placed, rng: Random) -> str:
    size = (
        rng.choice(SMALL)
        if placed.size == "tiny"
        else rng.choice(BIG)
        if placed.size == "large" and rng.random() < 0.06
        else ""
    )
    return " ".join(part for part in (size, placed.colour) if part)


def phrase(placed: Placed, rng: Random, split: Split = "train") -> str:
    """The object with article or number, looks, and now and then a word that changes nothing."""
    word = _word(placed, rng)
    idle = rng.choice(ADJECTIVES[split]) if rng.random() < 0.35 else ""
    body = " ".join(part for part in (idle, _look(placed, rng), word) if part)
    if placed.count > 1:
        return f"{_count(placed, rng)} {body}"
    if rng.random() < 0.1:
        return f"{rng.choice(OWNERS[split])} {body}"
    if word in MASS or (word.endswith("s") and not word.endswith(("ss", "us", "is")) and word not in OBJECTS):
        return body
    if rng.random() < 0.07:
        return f"the {body}"
    return f"{'an' if body[0] in 'aeiou' else 'a'} {body}"


def _word(placed: Placed, rng: Random) -> str:
    known = OBJECTS[placed.name]
    if placed.count > 1:
        spoken = [word for word in known.synonyms if not word.endswith("s") and word not in MASS and " of " not in word]
        return rng.choice(spoken) + "s" if spoken and rng.random() < 0.2 else known.plural
    return rng.choice(known.synonyms) if rng.random() < 0.4 else known.name
