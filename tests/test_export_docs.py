"""What docs/export.md says can be typed, and names every format."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from magid_graph.cli import app
from magid_graph.exporters import FORMATS
from magid_graph.exporters.layout import PLACEMENTS

PAGE = (Path(__file__).parent.parent / "docs" / "export.md").read_text("utf-8")
COMMANDS = [
    shlex.split(line, comments=True)[1:]
    for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_line_parses(words: list[str]) -> None:
    command: Any = typer.main.get_command(app)
    command.commands[words[0]].make_context(words[0], words[1:])


def test_every_format_and_placement_is_on_the_page() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == set(FORMATS) - {"recipe"}
    assert all(f"`{placement}`" in PAGE or f"--placement {placement}" in PAGE for placement in PLACEMENTS)
