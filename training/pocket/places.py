"""One painter per place. Each leaves the lower middle clear for objects; `rng` makes small variations only."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from training.pocket.drawing import Easel

SKY = ((120, 190, 245), (214, 238, 252))
WHITE = (255, 255, 255)


def _outdoors(rng: Random, *, clouds: int = 2) -> Easel:
    easel = Easel(*SKY, rng)
    for i in range(clouds):
        easel.cloud(24 + 62 * i + rng.randint(-10, 10), 16 + 8 * i + rng.randint(-3, 3), 8 + rng.random() * 2)
    return easel


def plain(rng: Random) -> Easel:
    easel = Easel((250, 244, 232), (240, 228, 208), rng)
    easel.gradient(92, 128, (232, 216, 190), (222, 204, 176))
    return easel


def meadow(rng: Random) -> Easel:
    easel = _outdoors(rng)
    easel.hill(70, 6, rng.random(), (150, 210, 110))
    easel.hill(84, 4, 2 + rng.random(), (120, 192, 86))
    for i in range(9):
        easel.oval(6 + i * 14.5, 92 + (i * 37) % 30, 1.6, 1.6, (255, 250, 210))
    return easel


def beach(rng: Random) -> Easel:
    easel = _outdoors(rng, clouds=1)
    easel.oval(104, 18, 9, 9, (255, 226, 90))
    easel.gradient(52, 78, (42, 150, 210), (110, 210, 225))
    easel.hill(76, 1.5, rng.random() * 3, WHITE, 2)
    easel.hill(79, 1.5, rng.random() * 3, (244, 218, 160), 2)
    easel.hill(104, 3, rng.random(), (236, 204, 140))
    easel.oval(14, 118, 3, 2, (255, 180, 160))
    return easel


def forest(rng: Random) -> Easel:
    easel = Easel((150, 205, 160), (190, 225, 170), rng)
    for i in range(7):
        easel.fir(4 + i * 20 + rng.randint(-2, 2), 82, 54 + (i * 29) % 20, (52, 122, 82))
    for i in range(6):
        easel.fir(-2 + i * 27 + rng.randint(-2, 2), 92, 56 + (i * 17) % 16, (34, 96, 62))
    easel.hill(88, 2, rng.random(), (82, 140, 70))
    easel.hill(106, 2, 1, (70, 124, 60))
    return easel


def snow(rng: Random) -> Easel:
    easel = Easel((176, 206, 232), (226, 238, 248), rng)
    for i in range(3):
        easel.fir(16 + i * 46 + rng.randint(-4, 4), 80, 40, (120, 160, 170))
    easel.hill(76, 4, rng.random(), (238, 245, 252))
    easel.hill(92, 3, 2, WHITE)
    for i in range(28):
        easel.oval((i * 47 + rng.randint(0, 6)) % 128, (i * 29) % 90, 1.5, 1.5, WHITE)
    return easel


def desert(rng: Random) -> Easel:
    easel = Easel((250, 214, 140), (255, 238, 196), rng)
    easel.oval(28, 22, 11, 11, (255, 250, 220))
    easel.hill(66, 9, rng.random(), (226, 170, 96))
    easel.hill(80, 7, 2.6 + rng.random() * 0.5, (216, 150, 78))
    easel.hill(98, 4, 5, (204, 136, 66))
    return easel


def city(rng: Random) -> Easel:
    easel = Easel((176, 206, 236), (232, 236, 244), rng)
    tints = ((134, 152, 182), (160, 142, 166), (118, 140, 160), (172, 160, 150), (140, 160, 190), (150, 134, 150))
    for i, tint in enumerate(tints):
        x, top = i * 22 - 2, 18 + (i * 31 + 8) % 34 + rng.randint(-2, 2)
        easel.rect(x, top, x + 20, 92, tint)
        for row in range(top + 5, 84, 9):
            for column in (4, 11):
                easel.rect(x + column, row, x + column + 4, row + 5, (255, 240, 180))
    easel.rect(0, 88, 128, 96, (196, 196, 200))
    easel.rect(0, 96, 128, 128, (96, 100, 110))
    for i in range(5):
        easel.rect(4 + i * 28, 120, 18 + i * 28, 122, (240, 240, 230))
    return easel


def kitchen(rng: Random) -> Easel:
    easel = Easel((252, 240, 214), (250, 232, 200), rng)
    for i in range(3):
        easel.rect(4 + i * 42, 6, 40 + i * 42, 34, (112, 168, 160), 2)
        easel.oval(35 + i * 42, 28, 1.5, 1.5, WHITE)
    for i in range(16):
        easel.rect(i * 8 + 0.4, 42, i * 8 + 7.6, 49, (236, 246, 246))
        easel.rect(i * 8 + 0.4, 50, i * 8 + 7.6, 57, (214, 232, 232))
    easel.rect(84 + rng.randint(-3, 3), 40, 104, 62, (190, 194, 200), 3)
    easel.rect(0, 66, 128, 74, (150, 108, 76))
    easel.rect(0, 74, 128, 128, (226, 208, 180))
    for x in (42, 85):
        easel.line(x, 76, x, 128, (190, 168, 138), 1)
    return easel


def living_room(rng: Random) -> Easel:
    easel = Easel((238, 204, 176), (244, 216, 190), rng)
    easel.rect(8, 12, 44, 54, WHITE, 2)
    easel.rect(11, 15, 41, 51, (160, 212, 240))
    easel.line(26, 15, 26, 51, WHITE, 1.5)
    easel.rect(4, 8, 12, 62, (196, 92, 84), 3)
    easel.rect(40, 8, 48, 62, (196, 92, 84), 3)
    easel.rect(84, 14, 116, 38, (130, 88, 60), 1)
    easel.rect(87, 17, 113, 35, (240, 228, 180))
    easel.oval(100 + rng.randint(-4, 4), 28, 7, 6, (110, 160, 120))
    easel.gradient(82, 128, (176, 122, 82), (150, 100, 66))
    easel.oval(64, 112, 62, 13, (206, 110, 100))
    easel.oval(64, 112, 54, 10, (226, 150, 130))
    return easel


def table(rng: Random) -> Easel:
    easel = Easel((120, 152, 140), (152, 180, 164), rng)
    easel.oval(30 + rng.randint(-4, 4), 30, 14, 14, (168, 196, 178))
    easel.oval(98 + rng.randint(-4, 4), 22, 9, 9, (168, 196, 178))
    easel.gradient(76, 122, (196, 140, 88), (164, 106, 60))
    for y in (86, 98, 111):
        easel.line(0, y, 128, y + rng.randint(-1, 1), (150, 98, 56), 0.8)
    easel.rect(0, 122, 128, 128, (112, 70, 40))
    return easel


def sea(rng: Random) -> Easel:
    easel = _outdoors(rng, clouds=2)
    for i, tint in enumerate(((70, 160, 220), (48, 136, 204), (34, 114, 184), (26, 94, 162))):
        easel.hill(62 + i * 17, 2.5, i * 1.7 + rng.random(), tint, 4)
    return easel


def sky(rng: Random) -> Easel:
    easel = Easel((64, 150, 236), (176, 220, 250), rng)
    for x, y, size in ((22, 26, 12), (100, 42, 14), (30, 100, 15), (92, 108, 18), (66, 14, 8)):
        easel.cloud(x + rng.randint(-5, 5), y + rng.randint(-3, 3), size)
    return easel


def night(rng: Random) -> Easel:
    easel = Easel((14, 18, 52), (52, 60, 120), rng)
    for i in range(34):
        size = 0.6 + (i % 3) * 0.35
        easel.oval((i * 41 + 7) % 128, (i * 23 + rng.randint(0, 3)) % 84, size, size, (255, 250, 210))
    easel.oval(102, 22, 12, 12, (255, 246, 200))
    easel.oval(97, 19, 10, 10, (22, 27, 64))
    easel.hill(84, 5, rng.random(), (30, 50, 70))
    easel.hill(98, 3, 2, (24, 40, 56))
    return easel


def sunset(rng: Random) -> Easel:
    easel = Easel((118, 72, 150), (255, 176, 90), rng)
    easel.gradient(0, 44, (118, 72, 150), (240, 110, 110))
    easel.gradient(44, 84, (240, 110, 110), (255, 200, 100))
    easel.oval(64 + rng.randint(-6, 6), 66, 20, 20, (255, 240, 150))
    for x, y in ((20, 26), (98, 34)):
        easel.cloud(x + rng.randint(-6, 6), y, 8, (250, 150, 140))
    easel.hill(78, 4, rng.random(), (130, 66, 96))
    easel.hill(94, 3, 2, (92, 46, 80))
    return easel


def rain(rng: Random) -> Easel:
    easel = Easel((104, 118, 138), (160, 172, 184), rng)
    for x in (14, 50, 88, 120):
        easel.cloud(x + rng.randint(-4, 4), 14, 15, (126, 138, 156))
    easel.hill(86, 2, rng.random(), (108, 132, 122))
    easel.oval(30, 116, 26, 5, (150, 168, 186))
    easel.oval(100, 108, 20, 4, (150, 168, 186))
    for i in range(44):
        x, y = (i * 37 + rng.randint(0, 4)) % 128, (i * 53) % 120
        easel.line(x, y, x - 3, y + 9, (206, 222, 240), 0.9)
    return easel


def garden(rng: Random) -> Easel:
    easel = _outdoors(rng, clouds=1)
    for i in range(11):
        easel.rect(i * 12 + 1, 44, i * 12 + 9, 80, WHITE, 3)
    easel.rect(0, 54, 128, 59, (246, 246, 250))
    easel.hill(76, 1, 0, (112, 186, 84))
    for i in range(16):
        x, y = i * 8 + 4, 80 + (i * 5) % 7
        easel.line(x, y, x, y + 7, (60, 130, 60), 1)
        easel.oval(x, y, 3, 3, ((240, 90, 110), (255, 210, 80), (200, 120, 220), (255, 140, 70))[i % 4])
    easel.oval(8 + rng.randint(-3, 3), 122, 5, 4, (80, 150, 66))
    return easel


def mountain(rng: Random) -> Easel:
    easel = _outdoors(rng, clouds=1)
    shift = rng.randint(-4, 4)
    for x, top, wide, tint in (
        (26, 26, 46, (128, 142, 172)),
        (104, 30, 44, (136, 150, 180)),
        (64, 10, 52, (104, 118, 152)),
    ):
        x += shift
        easel.shape([(x - wide, 92), (x, top), (x + wide, 92)], tint)
        cap = wide * 0.3
        easel.shape([(x - cap, top + 24), (x, top), (x + cap, top + 24), (x + 5, top + 19), (x - 4, top + 26)], WHITE)
    easel.hill(84, 3, rng.random(), (104, 160, 96))
    easel.hill(100, 3, 2, (90, 146, 82))
    return easel


def farm(rng: Random) -> Easel:
    easel = _outdoors(rng, clouds=1)
    easel.hill(72, 3, rng.random(), (226, 200, 104))
    x = 88 + rng.randint(-3, 3)
    easel.rect(x - 22, 40, x + 22, 80, (196, 60, 52))
    easel.shape([(x - 27, 42), (x - 15, 26), (x, 20), (x + 15, 26), (x + 27, 42)], (120, 62, 56))
    easel.rect(x - 9, 56, x + 9, 80, WHITE)
    easel.rect(x - 7, 58, x + 7, 80, (160, 44, 40))
    easel.line(x - 7, 58, x + 7, 80, WHITE, 1.5)
    easel.line(x + 7, 58, x - 7, 80, WHITE, 1.5)
    easel.hill(80, 2, 1, (140, 188, 86))
    for i in range(6):
        easel.rect(2 + i * 10, 70, 4 + i * 10, 86, (150, 110, 70))
    for y in (73, 79):
        easel.rect(0, y, 58, y + 2, (166, 124, 80))
    return easel


def road(rng: Random) -> Easel:
    easel = _outdoors(rng)
    easel.hill(60, 4, rng.random(), (138, 196, 108))
    easel.hill(66, 1, 1, (120, 182, 90))
    easel.shape([(58, 64), (70, 64), (126, 128), (2, 128)], (104, 108, 118))
    for y, half in ((68, 0.7), (78, 1.2), (92, 1.8), (110, 2.6)):
        easel.shape(
            [(64 - half, y), (64 + half, y), (64 + half * 1.4, y + half * 5), (64 - half * 1.4, y + half * 5)],
            (250, 240, 160),
        )
    return easel


def park(rng: Random) -> Easel:
    easel = _outdoors(rng, clouds=1)
    easel.hill(72, 2, rng.random(), (140, 206, 104))
    for x in (14, 112):
        easel.tree(x + rng.randint(-3, 3), 82, 46, (70, 152, 74))
    easel.rect(46, 66, 82, 70, (158, 104, 62), 1)
    easel.rect(46, 73, 82, 77, (158, 104, 62), 1)
    easel.rect(49, 66, 52, 86, (90, 90, 96))
    easel.rect(76, 66, 79, 86, (90, 90, 96))
    easel.hill(86, 2, 2, (116, 188, 84))
    easel.shape([(0, 100), (128, 94), (128, 106), (0, 114)], (226, 206, 162))
    return easel


def office(rng: Random) -> Easel:
    easel = Easel((214, 224, 234), (228, 234, 240), rng)
    for i in range(3):
        easel.rect(6 + i * 40, 8, 42 + i * 40, 52, (150, 198, 232), 1)
        for y in range(11, 34, 5):
            easel.line(6 + i * 40, y, 42 + i * 40, y, (238, 244, 250), 1.6)
    easel.rect(104 + rng.randint(-2, 2), 50, 116, 78, (110, 124, 144), 1)
    easel.rect(8, 56, 30, 78, WHITE, 1)
    for y in (60, 65, 70):
        easel.line(11, y, 27, y, (150, 160, 176), 1)
    easel.rect(0, 76, 128, 84, (92, 106, 130))
    easel.gradient(84, 128, (150, 160, 178), (126, 136, 156))
    return easel


def classroom(rng: Random) -> Easel:
    easel = Easel((246, 232, 196), (248, 236, 206), rng)
    easel.rect(12, 8, 116, 60, (150, 104, 66), 2)
    easel.rect(15, 11, 113, 57, (44, 98, 80))
    for x, y, long in ((24, 20, 34), (24, 28, 24), (72, 20, 26)):
        easel.line(x, y, x + long + rng.randint(-3, 3), y, (226, 238, 226), 1.4)
    easel.oval(88, 40, 9, 9, (226, 238, 226))
    easel.oval(88, 40, 7.5, 7.5, (44, 98, 80))
    easel.rect(0, 82, 128, 86, (150, 110, 74))
    easel.gradient(86, 128, (216, 170, 112), (196, 148, 92))
    return easel


def stage(rng: Random) -> Easel:
    easel = Easel((54, 20, 44), (92, 32, 56), rng)
    sway = rng.randint(-3, 3)
    for x in (34, 94):
        easel.shape(
            [(x, 0), (64 - 34 + (x - 34) * 0.5 + sway, 100), (64 + 34 + (x - 94) * 0.5 + sway, 100)], (170, 104, 110)
        )
    for i in range(4):
        tint = (206, 40, 52) if i % 2 else (176, 28, 42)
        easel.rect(i * 7, 0, i * 7 + 7, 98, tint)
        easel.rect(121 - i * 7, 0, 128 - i * 7, 98, tint)
    for i in range(8):
        easel.oval(8 + i * 16, 4, 9, 9, (196, 36, 48))
    easel.gradient(92, 128, (190, 128, 78), (146, 90, 52))
    easel.oval(64, 112, 50, 11, (240, 206, 140))
    return easel


def harbour(rng: Random) -> Easel:
    easel = _outdoors(rng, clouds=1)
    easel.gradient(56, 100, (60, 140, 190), (90, 170, 206))
    x = 20 + rng.randint(-3, 3)
    easel.rect(x - 6, 18, x + 6, 60, WHITE, 1)
    for y in (24, 38, 52):
        easel.rect(x - 6, y, x + 6, y + 6, (214, 64, 60))
    easel.rect(x - 8, 10, x + 8, 18, (80, 86, 100), 2)
    for i, tint in enumerate(((230, 160, 90), (150, 190, 220), (226, 120, 110))):
        easel.rect(64 + i * 20, 38, 82 + i * 20, 58, tint)
        easel.shape([(62 + i * 20, 38), (73 + i * 20, 28), (84 + i * 20, 38)], (130, 80, 70))
    easel.rect(0, 96, 128, 128, (166, 122, 84))
    for i in range(8):
        easel.line(i * 18, 96, i * 18, 128, (126, 88, 58), 1)
    for post in (8, 118):
        easel.rect(post - 4, 84, post + 4, 104, (110, 76, 52), 2)
    return easel


def lake(rng: Random) -> Easel:
    easel = _outdoors(rng, clouds=1)
    easel.hill(48, 8, rng.random(), (110, 170, 150))
    easel.hill(54, 6, 3, (84, 150, 112))
    easel.gradient(60, 98, (120, 196, 226), (70, 156, 204))
    for x, y in ((24, 70), (84, 76), (40, 86), (104, 90)):
        easel.line(x, y, x + 20, y, (206, 236, 246), 1)
    easel.hill(98, 2, rng.random(), (134, 190, 96))
    for i in range(5):
        easel.line(4 + i * 3, 100, 3 + i * 3, 82, (72, 130, 70), 1.2)
    return easel


def bedroom(rng: Random) -> Easel:
    easel = Easel((190, 180, 226), (210, 200, 236), rng)
    easel.rect(50, 8, 78, 36, WHITE, 2)
    easel.rect(53, 11, 75, 33, (40, 54, 104))
    easel.oval(66 + rng.randint(-3, 3), 20, 5, 5, (255, 244, 200))
    easel.rect(0, 40, 128, 92, (140, 96, 76), 6)
    easel.rect(12, 54, 54, 76, WHITE, 7)
    easel.rect(74, 54, 116, 76, WHITE, 7)
    easel.gradient(74, 128, (110, 140, 206), (90, 118, 186))
    easel.rect(0, 74, 128, 82, (236, 240, 250))
    return easel


def underwater(rng: Random) -> Easel:
    easel = Easel((60, 190, 216), (14, 66, 130), rng)
    for x in (18, 52, 92):
        easel.shape([(x, 0), (x + 12, 0), (x + 26, 90), (x - 8, 90)], (84, 196, 220))
    easel.gradient(64, 108, (40, 142, 186), (18, 84, 146))
    easel.hill(106, 4, rng.random(), (222, 200, 150))
    for x, tint in ((10, (240, 96, 110)), (22, (250, 150, 80)), (110, (200, 100, 180)), (120, (240, 96, 110))):
        for dx, high in ((-4, 16), (0, 24), (4, 18)):
            easel.rect(x + dx - 1.6, 114 - high, x + dx + 1.6, 114, tint, 1.5)
    for i in range(7):
        easel.oval(12 + i * 17, 20 + (i * 31) % 60 + rng.randint(-3, 3), 1.8, 1.8, (206, 240, 250))
    return easel


def space(rng: Random) -> Easel:
    easel = Easel((10, 8, 30), (44, 20, 70), rng)
    for i in range(46):
        size = 0.5 + (i % 3) * 0.35
        easel.oval((i * 41 + 5) % 128, (i * 29 + rng.randint(0, 3)) % 128, size, size, (240, 240, 255))
    easel.oval(24, 28 + rng.randint(-3, 3), 14, 14, (236, 140, 90))
    easel.oval(20, 24, 5, 4, (250, 170, 120))
    easel.oval(106, 24, 9, 9, (110, 190, 220))
    easel.oval(106, 24, 16, 2.4, (220, 210, 170))
    easel.hill(112, 3, rng.random(), (150, 150, 166))
    for x in (20, 60, 102):
        easel.oval(x, 121, 8, 2.6, (122, 122, 140))
    return easel


def bathroom(rng: Random) -> Easel:
    easel = Easel((196, 232, 236), (206, 238, 240), rng)
    for y in range(0, 84, 14):
        easel.line(0, y, 128, y, WHITE, 1.2)
    for x in range(0, 129, 14):
        easel.line(x, 0, x, 84, WHITE, 1.2)
    easel.oval(64, 28 + rng.randint(-1, 1), 20, 20, (120, 170, 184))
    easel.oval(64, 28, 17, 17, (232, 246, 250))
    easel.rect(6, 40, 24, 70, (250, 190, 190), 2)
    easel.rect(104, 40, 122, 70, (250, 220, 150), 2)
    easel.gradient(84, 128, (130, 178, 190), (106, 156, 170))
    for x in range(-20, 150, 22):
        easel.line(64 + (x - 64) * 0.7, 84, x, 128, (160, 202, 210), 1)
    return easel


def library(rng: Random) -> Easel:
    easel = Easel((104, 70, 48), (92, 60, 40), rng)
    tints = ((190, 70, 60), (70, 110, 150), (220, 180, 90), (90, 140, 96), (150, 90, 140), (230, 220, 200))
    for shelf in range(4):
        floor = 24 + shelf * 23
        x, i = 3.0, shelf * 5 + rng.randint(0, 1)
        while x < 122:
            wide = 5 + (i * 7) % 4
            easel.rect(x, floor - 12 - (i * 5) % 6, x + wide - 0.8, floor, tints[i % 6], 0.5)
            x, i = x + wide, i + 1
        easel.rect(0, floor, 128, floor + 3, (140, 98, 66))
    easel.gradient(96, 128, (176, 70, 62), (146, 54, 50))
    easel.rect(0, 96, 128, 99, (226, 190, 110))
    return easel


def stadium(rng: Random) -> Easel:
    easel = Easel(*SKY, rng)
    easel.gradient(26, 68, (96, 104, 130), (120, 128, 150))
    for row in range(5):
        for i in range(26):
            tint = ((236, 90, 90), (250, 220, 120), (240, 240, 240), (100, 150, 230))[(i * 7 + row * 3) % 4]
            easel.oval(i * 5 + (row % 2) * 2.5, 31 + row * 8, 1.9, 1.9, tint)
    for x in (12, 116):
        easel.rect(x - 1, 4, x + 1, 30, (90, 96, 110))
        easel.rect(x - 8, 2, x + 8, 10, (255, 252, 220), 2)
    for i in range(4):
        easel.rect(0, 68 + i * 15, 128, 83 + i * 15, ((96, 186, 84), (82, 170, 72))[i % 2])
    easel.line(0, 76 + rng.randint(-1, 1), 128, 76, WHITE, 1.4)
    easel.line(64, 76, 64, 128, WHITE, 1.2)
    return easel


def autumn(rng: Random) -> Easel:
    easel = Easel((226, 216, 196), (250, 234, 200), rng)
    tints = ((226, 120, 50), (206, 70, 50), (240, 176, 60))
    for i in range(6):
        easel.tree(6 + i * 24 + rng.randint(-2, 2), 84, 50 + (i * 13) % 14, tints[i % 3])
    easel.hill(82, 2, rng.random(), (206, 150, 84))
    easel.hill(100, 2, 2, (190, 128, 68))
    for i in range(22):
        easel.oval((i * 37) % 128, 88 + (i * 23 + rng.randint(0, 2)) % 38, 2, 1.3, tints[i % 3])
    return easel


PAINTERS: dict[str, Callable[[Random], Easel]] = {
    "plain": plain,
    "beach": beach,
    "forest": forest,
    "snow": snow,
    "desert": desert,
    "city": city,
    "kitchen": kitchen,
    "living room": living_room,
    "table": table,
    "sea": sea,
    "sky": sky,
    "night": night,
    "sunset": sunset,
    "rain": rain,
    "garden": garden,
    "mountain": mountain,
    "farm": farm,
    "road": road,
    "park": park,
    "office": office,
    "classroom": classroom,
    "stage": stage,
    "harbour": harbour,
    "lake": lake,
    "bedroom": bedroom,
    "underwater": underwater,
    "space": space,
    "bathroom": bathroom,
    "library": library,
    "stadium": stadium,
    "autumn": autumn,
    "meadow": meadow,
}
