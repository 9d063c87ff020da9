"""How people who share a picture talk about it: for CLIP, which also compares pictures with what was said."""

from __future__ import annotations

from random import Random

from training.pocket.captions import phrase
from training.pocket.world import SETTINGS, Placed, Scene, Split

FRAMES: dict[Split, tuple[str, ...]] = {
    "train": (
        "look at {it} {where}!!",
        "look at {it}!",
        "omg {it} {where} lol",
        "here's {it} {where}",
        "Here is {it} that I told you about.",
        "check out {it} {where}",
        "guess what i just saw: {it} {where}!",
        "We saw {it} {where} yesterday.",
        "i took this photo of {it}",
        "this is {it} {where}, isn't it great?",
        "Just got {it}! So happy.",
        "sending you a picture of {it} {where}",
        "so I'm {where} and there it is: {it}",
        "I finally have {it}, see?",
        "haha {it} {where}",
        "Can you believe it, {it} {where}!",
        "today we found {it} {where} :)",
        "My morning: {it} {where}.",
        "as promised, {it} {where}",
        "I made this, {it}.",
        "you have to see {it} {where}",
        "We are {where} now and this is {it}.",
        "I attached a photo, {it} {where}.",
        "finally {where}! and {it}",
        "Remember I mentioned {it}? Here you go.",
        "Yes, {it} {where}, I snapped it for you",
        "good morning from {it} {where}",
    ),
    "heldout": (
        "wow just look, {it} {where}!!!",
        "I wanted to show you {it} {where}",
        "Tadaa, {it}!",
        "spotted {it} {where} on my way back",
        "and this one is {it} {where}, what do you think?",
        "Hey, this is what I see right now: {it} {where}",
    ),
}
EMPTY: dict[Split, tuple[str, ...]] = {
    "train": (
        "look where we are, {it}!",
        "we just arrived, {it}",
        "here's the view: {it}",
        "greetings from {it}",
        "so pretty here, {it}",
    ),
    "heldout": (
        "what a place, {it}!",
        "this is the view I have, {it}",
    ),
}
MINE = ("my", "our", "my little", "the new", "this")


def utter(scene: Scene, rng: Random, split: Split = "train") -> str:
    """What somebody might type who shares a picture of the scene."""
    if not scene.objects:
        return rng.choice(EMPTY[split]).format(it=rng.choice(SETTINGS[scene.setting].alone))
    it = " and ".join(_owned(placed, rng, split) for placed in scene.objects)
    where = "" if scene.setting == "plain" else rng.choice(SETTINGS[scene.setting].phrases)
    text = " ".join(rng.choice(FRAMES[split]).format(it=it, where=where).split())
    return text.lower() if rng.random() < 0.3 else text


def _owned(placed: Placed, rng: Random, split: Split) -> str:
    words = phrase(placed, rng, split)
    article, _, rest = words.partition(" ")
    return f"{rng.choice(MINE)} {rest}" if article in ("a", "an", "the") and rng.random() < 0.5 else words
