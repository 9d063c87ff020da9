"""Draws scenes: emoji on places painted in one picture-book style."""

from __future__ import annotations

import colorsys
import math
from functools import cache
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from training.pocket.world import COLOURABLE, COLOURS, IMAGE_SIZE, OBJECTS, Placed, Scene

FONT_PATH = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
"""Where Debian's fonts-noto-color-emoji puts the font."""
FONT_SIZE = 109
"""The only size at which the font has bitmaps."""
SCALE = 4
"""Places are painted this many times larger and reduced, for clean edges."""

PIXELS = {"large": 72, "medium": 54, "small": 42, "tiny": 38, "closeup": 104}
BASELINE = 114
"""Bottom of the main object, in pixels."""
GROUNDLESS = ("sky", "space", "underwater", "sea")
"""Where nothing throws a shadow on the ground."""
GROUPS = {
    2: ((32, 0), (96, 0)),
    3: ((32, 0), (96, 0), (64, -64)),
    4: ((32, -64), (96, -64), (32, 0), (96, 0)),
}
"""Centre and lift of each of several objects."""
CENTRES = {"centre": 64, "left": 32, "right": 96}
# Spots differ by multiples of 32 pixels, two latents: wherever an object of one size stands, its latents are the same,
# at both resolutions of the diffuser, and need learning only once.

Colour = tuple[int, int, int]


def draw(scene: Scene) -> Image.Image:
    """The scene as an RGB picture, `IMAGE_SIZE` pixels square."""
    picture = backdrop(scene.setting, scene.variant).copy()
    for placed in scene.objects:
        _put(picture, placed, scene.setting)
    return picture


def _put(picture: Image.Image, placed: Placed, setting: str) -> None:
    base = BASELINE + placed.dy
    sprite = sprite_of(placed.name, PIXELS[placed.size], placed.colour)
    if placed.size == "closeup":
        picture.paste(sprite, (64 - sprite.width // 2, 64 - sprite.height // 2), sprite)
        return
    spots = GROUPS[placed.count] if placed.slot == "group" else ((CENTRES[placed.slot], 0),)
    for x, lift in spots:
        if setting not in GROUNDLESS:
            shade = _shadow(sprite.width)
            picture.paste((40, 40, 60), (x + placed.dx - shade.width // 2, base + lift - shade.height // 2 - 1), shade)
        picture.paste(sprite, (x + placed.dx - sprite.width // 2, base + lift - sprite.height), sprite)


@cache
def _shadow(width: int) -> Image.Image:
    wide, high = round(width * 0.92), max(6, width // 6)
    mask = Image.new("L", (wide * 2, high * 2), 0)
    ImageDraw.Draw(mask).ellipse((0, 0, wide * 2 - 1, high * 2 - 1), fill=80)
    return mask.resize((wide, high), Image.Resampling.LANCZOS)


@cache
def _glyph(name: str) -> Image.Image:
    font = ImageFont.truetype(FONT_PATH, FONT_SIZE)
    sheet = Image.new("RGBA", (300, 200))
    ImageDraw.Draw(sheet).text((20, 20), OBJECTS[name].glyph, font=font, embedded_color=True)
    return sheet.crop(sheet.getbbox())


@cache
def sprite_of(name: str, size: int, colour: str | None = None) -> Image.Image:
    """The object alone, its longer side `size` pixels, RGBA."""
    glyph = _glyph(name)
    if colour is not None and colour != COLOURABLE.get(name):
        glyph = _dyed(glyph, COLOURS[colour])
    scale = size / max(glyph.size)
    return glyph.resize((round(glyph.width * scale), round(glyph.height * scale)), Image.Resampling.LANCZOS)


def _dyed(glyph: Image.Image, hue: float) -> Image.Image:
    """The glyph with every saturated pixel turned to one hue; greys and glints stay."""
    hsv = np.array(glyph.convert("RGB").convert("HSV"))
    hsv[..., 0] = round(hue * 255)
    hsv[..., 1] = np.where(hsv[..., 1] > 60, np.maximum(hsv[..., 1], 165), hsv[..., 1])
    dyed = Image.fromarray(hsv, "HSV").convert("RGB")
    dyed.putalpha(glyph.getchannel("A"))
    return dyed


class Easel:
    """A large canvas addressed in the coordinates of the small picture."""

    def __init__(self, top: Colour, bottom: Colour, rng: Random) -> None:
        self.rng = rng
        self.image = Image.new("RGB", (IMAGE_SIZE * SCALE, IMAGE_SIZE * SCALE))
        self.pen = ImageDraw.Draw(self.image)
        self.gradient(0, IMAGE_SIZE, top, bottom)

    def gradient(self, top: float, bottom: float, above: Colour, below: Colour) -> None:
        first, last = round(top * SCALE), round(bottom * SCALE)
        for y in range(first, last):
            mix = (y - first) / max(1, last - first)
            colour = tuple(round(a + (b - a) * mix) for a, b in zip(above, below, strict=True))
            self.pen.line((0, y, self.image.width, y), fill=colour)

    def rect(self, x0: float, y0: float, x1: float, y1: float, fill: Colour, radius: float = 0) -> None:
        self.pen.rounded_rectangle([v * SCALE for v in (x0, y0, x1, y1)], radius * SCALE, fill=fill)

    def oval(self, x: float, y: float, rx: float, ry: float, fill: Colour) -> None:
        self.pen.ellipse([v * SCALE for v in (x - rx, y - ry, x + rx, y + ry)], fill=fill)

    def shape(self, points: list[tuple[float, float]], fill: Colour) -> None:
        self.pen.polygon([(x * SCALE, y * SCALE) for x, y in points], fill=fill)

    def line(self, x0: float, y0: float, x1: float, y1: float, fill: Colour, width: float = 1) -> None:
        self.pen.line([v * SCALE for v in (x0, y0, x1, y1)], fill=fill, width=round(width * SCALE))

    def hill(self, height: float, swell: float, phase: float, fill: Colour, waves: float = 1.0) -> None:
        """Ground up to a soft wave around `height`."""
        edge = [(x, height + swell * math.sin(phase + waves * x / 128 * 2 * math.pi)) for x in range(0, 129, 2)]
        self.shape([*edge, (128, 128), (0, 128)], fill)

    def cloud(self, x: float, y: float, size: float, fill: Colour = (255, 255, 255)) -> None:
        for dx, dy, r in ((-1.0, 0.15, 0.6), (0.0, -0.2, 0.85), (0.95, 0.15, 0.65), (0.4, 0.3, 0.6), (-0.5, 0.3, 0.6)):
            self.oval(x + dx * size, y + dy * size, r * size, r * size * 0.8, fill)

    def tree(self, x: float, base: float, size: float, leaf: Colour) -> None:
        self.rect(x - size * 0.1, base - size * 0.6, x + size * 0.1, base, (124, 84, 56))
        for dx, dy, r in ((0.0, -1.15, 0.42), (-0.3, -0.8, 0.38), (0.3, -0.8, 0.38)):
            self.oval(x + dx * size, base + dy * size, r * size, r * size, leaf)

    def fir(self, x: float, base: float, size: float, leaf: Colour) -> None:
        self.rect(x - size * 0.06, base - size * 0.2, x + size * 0.06, base, (110, 76, 54))
        for step in range(3):
            low, wide = base - size * (0.15 + 0.32 * step), size * (0.42 - 0.09 * step)
            self.shape([(x - wide, low), (x + wide, low), (x, low - size * 0.55)], leaf)

    def finish(self) -> Image.Image:
        soft = self.image.filter(ImageFilter.GaussianBlur(1.2))
        return soft.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BOX)


@cache
def backdrop(setting: str, variant: int) -> Image.Image:
    """The empty place, in one of its small variations."""
    from training.pocket.places import PAINTERS

    return PAINTERS[setting](Random(f"{setting}-{variant}")).finish()


def hue(h: float, s: float, v: float) -> Colour:
    """An RGB colour from hue, saturation and value, each 0 to 1."""
    r, g, b = colorsys.hsv_to_rgb(h % 1, s, v)
    return round(r * 255), round(g * 255), round(b * 255)
