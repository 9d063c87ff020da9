"""The commands of docs/trace.md are typed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.command_line import Terminal, written

PAGE = Path(__file__).parent.parent / "docs" / "trace.md"


def commands() -> list[list[str]]:
    """Every command of the page, without its comment."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    lines = [line.partition("  #")[0] for block in blocks for line in block.splitlines() if line.strip()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("magid-graph")]


def test_the_commands_of_the_page_do_what_they_say(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = Terminal(monkeypatch, capsys)
    talk = [{"id": "tea-with-dragon", "turns": ["hi", "hi", "look, the tea", "nice", "and here is the dragon"]}]
    strict = ("--set", "qa.min_clip_similarity=0.39", "--set", "generator.guidance_scale=5", "--json")
    run = terminal.dialogue(written("talk.json", talk), *strict).json()["run"]
    other = terminal.dialogue("talk.json", "--json").json()["run"]
    steps = terminal.type("trace", run, "tea-with-dragon", "--json").json()["steps"]
    picture = steps[-1]["read"]["drawing"]["image"]["path"]
    places = {
        "RUN": run,
        "RUN_A": run,
        "RUN_B": other,
        "ITEM": "tea-with-dragon",
        "RUN/branches/1": f"{run}/branches/1",
    }
    typed = 0
    for words in commands():
        if words[0] == "dialogue" or "--html" in words:
            continue
        words = [places.get(word, picture if word.startswith("images/") else word) for word in words]
        said = terminal.type(*words)
        assert said.code == 0, (words, said.err)
        typed += 1
    assert typed >= 15
