"""Pictures in the terminal, by every way that a terminal may have."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console
from rich.table import Table

from magid_graph.trace.pictures import Graphics, Picture, graphics_of, sixel


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Red above, blue below."""
    image = Image.new("RGB", (40, 40), (255, 0, 0))
    image.paste((0, 0, 255), (0, 20, 40, 40))
    image.save(tmp_path / "flag.png")
    return tmp_path / "flag.png"


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=60, legacy_windows=False)


def printed(file: Path, graphics: Graphics) -> str:
    console = terminal()
    grid = Table.grid()
    grid.add_row(Picture(file, 8, graphics), "beside")
    console.print(grid)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_half_blocks_hold_two_pixels_each(file: Path) -> None:
    lines = printed(file, "blocks").splitlines()
    assert [line.count("▀") for line in lines] == [8] * 4
    assert "38;2;255;0;0;48;2;255;0;0" in lines[0]
    assert "38;2;0;0;255;48;2;0;0;255" in lines[3]


def test_kitty_is_sent_the_picture_in_pieces_without_moving_the_layout(file: Path) -> None:
    text = printed(file, "kitty")
    pieces = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", text)
    assert "c=8,r=4" in pieces[0][0]
    with Image.open(io.BytesIO(base64.b64decode("".join(data for _, data in pieces)))) as sent:
        assert (sent.size, sent.getpixel((0, 0)), sent.getpixel((0, 39))) == ((40, 40), (255, 0, 0), (0, 0, 255))
    bare = re.sub(r"\x1b(_G[^\x1b]*\x1b\\|\[[\d;]*[A-Za-z]|[78])", "", text)
    assert bare.splitlines()[0].startswith(" " * 8 + "beside")


def test_iterm2_is_sent_the_picture_with_its_size_in_cells(file: Path) -> None:
    found = re.search(
        r"\x1b\]1337;File=inline=1;size=(\d+);width=8;height=4;[^:]*:([^\x07]*)\x07", printed(file, "iterm2")
    )
    assert found
    assert len(base64.b64decode(found[2])) == int(found[1])


def test_a_sixel_paints_every_pixel_in_its_colour() -> None:
    image = Image.new("RGB", (5, 9), (255, 0, 0))
    image.paste((0, 0, 255), (0, 6, 5, 9))
    assert painted(sixel(image), (5, 9)) == [[(100, 0, 0)] * 5] * 6 + [[(0, 0, 100)] * 5] * 3


def painted(text: str, size: tuple[int, int]) -> list[list[tuple[int, int, int] | None]]:
    """What a terminal makes of it: colours in percent."""
    cells: list[list[tuple[int, int, int] | None]] = [[None] * size[0] for _ in range(size[1])]
    colours: dict[int, tuple[int, int, int]] = {}
    x = top = colour = 0
    body = text.removesuffix("\x1b\\").partition("q")[2].partition(f"{size[0]};{size[1]}")[2]
    for define, number, repeat, char in re.findall(r"#(\d+;2;\d+;\d+;\d+)|#(\d+)|(?:!(\d+))?([?-~$-])", body):
        if define:
            index, _, *parts = map(int, define.split(";"))
            colours[index] = tuple(parts)  # type: ignore[assignment]
        elif number:
            colour = int(number)
        elif char == "$":
            x = 0
        elif char == "-":
            x, top = 0, top + 6
        else:
            run = int(repeat or 1)
            for row in range(6):
                if (ord(char) - 63) >> row & 1:
                    cells[top + row][x : x + run] = [colours[colour]] * run
            x += run
    return cells


@pytest.mark.parametrize(
    ("environ", "graphics"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM_PROGRAM": "ghostty"}, "kitty"),
        ({"TERM_PROGRAM": "iTerm.app"}, "iterm2"),
        ({"TERM": "xterm-256color"}, "blocks"),
        ({"TMUX": "/tmp/tmux", "KITTY_WINDOW_ID": "1"}, "blocks"),
    ],
)
def test_the_best_that_the_terminal_has_is_chosen(environ: dict[str, str], graphics: Graphics) -> None:
    assert graphics_of(terminal(), environ) == graphics


def test_no_picture_is_drawn_into_a_file() -> None:
    assert graphics_of(Console(file=io.StringIO()), {"TERM": "xterm-kitty"}) == "none"


def test_a_missing_picture_is_said(tmp_path: Path) -> None:
    assert "picture" in printed(tmp_path / "gone.png", "blocks")
