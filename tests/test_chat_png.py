"""Chats as pictures."""

from __future__ import annotations

import contextlib
from pathlib import Path

from PIL import Image

from magid_graph.page.chats import _font, _length, _shown, _wrapped, file_name, write_chats
from magid_graph.trace.reading import Reading
from tests.graph_runs import dialogue
from tests.traced_runs import made_run


async def test_each_dialogue_with_a_picture_becomes_a_chat(tmp_path: Path) -> None:
    strange = "look, here is a photo of 🐈 \u202eשלום עולם " + "w" * 300
    run = await made_run(tmp_path, [dialogue("boat"), dialogue("small", ["hi"]), dialogue("../x", ["hi", strange])])
    with contextlib.closing(Reading(run)) as reading:
        assert write_chats(reading, tmp_path / "chats") == 2
    files = sorted((tmp_path / "chats").iterdir())
    assert [file.name[:2] for file in files] == ["bo", "x-"]
    for file in files:
        with Image.open(file) as chat:
            assert chat.width == 720
            assert len(chat.getcolors(1_000_000) or ()) > 20  # letters are there, and a picture


def test_no_key_chooses_a_path_and_no_two_keys_share_a_file() -> None:
    assert file_name("../../etc/passwd").startswith("etc-passwd-")
    assert file_name("a/b") != file_name("a-b")
    assert file_name("שלום").startswith("dialogue-")


def test_lines_are_no_wider_than_their_bubble_and_lose_no_letter() -> None:
    text = "Look at this " + "very" * 80 + " long word"
    lines = _wrapped(text, _font(22), 300)
    assert all(_length(line, _font(22)) <= 300 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_an_emoji_that_the_font_lacks_is_named() -> None:
    assert _shown("a 🦩 here") == "a [flamingo] here"
