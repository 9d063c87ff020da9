"""What the README says is true: its commands parse, its files exist, its picture of the graph is the graph."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from magid_graph import config, graph, layers
from magid_graph.cli import app
from magid_graph.views import VIEWS
from tests.command_line import Terminal, written

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def command_lines() -> list[list[str]]:
    """Every `magid-graph …` of the README's shell blocks and of its text, without the comment behind it."""
    text = README.replace("\n", " ")
    inline = [f"magid-graph {found}" for found in re.findall(r"`magid-graph ([^`]+)`", text)]
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    shell = [part.strip() for line in lines for part in line.split("&&")]
    found = [shlex.split(line, comments=True) for line in [*inline, *shell]]
    return [words for words in found if words and words[0] == "magid-graph"]


def test_there_are_commands_to_check() -> None:
    assert len(command_lines()) >= 8


@pytest.mark.parametrize("words", command_lines(), ids=" ".join)
def test_every_command_line_parses(words: list[str]) -> None:
    name, *rest = words[1:]
    command: Any = typer.main.get_command(app)
    sub = command.commands[name]
    context = sub.make_context(name, list(rest))
    for assignment in context.params.get("set_") or ():
        config.load(assignments=[assignment])


def test_the_first_command_reads_its_example(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    terminal = Terminal(monkeypatch, capsys)
    assert "magid-graph dialogue examples/dialogues.json" in README
    plan = terminal.type("dialogue", "examples/dialogues.json", "--dry-run", "--json").json()
    assert (plan["dialogues"] > 0, plan["unreadable"]) == (True, 0)


def options_of(command: Any) -> Iterator[str]:
    """The options of a command and of all commands below it."""
    yield from (option for param in command.params for option in param.opts)
    for sub in getattr(command, "commands", {}).values():
        yield from options_of(sub)


def test_every_option_named_in_the_text_exists() -> None:
    known = set(options_of(typer.main.get_command(app)))
    prose = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", prose)) <= known | {"--help", "--version"}


def test_the_example_of_settings_is_accepted(tmp_path: Path) -> None:
    (example,) = blocks("toml")
    path = tmp_path / "magid.toml"
    path.write_text(example)
    assert config.load(config_path=path).settings.qa.clip_against == tomllib.loads(example)["qa"]["clip_against"]


def test_the_example_of_input_is_read(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = blocks("json")
    plan = Terminal(monkeypatch, capsys).type(
        "dialogue", written("in.json", json.loads(example)), "--dry-run", "--json"
    )
    assert (plan.json()["dialogues"], plan.json()["unreadable"]) == (1, 0)


def test_every_linked_file_exists() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_preset_is_in_the_table() -> None:
    table = README.partition("| preset |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == set(layers.presets())


def test_every_output_is_in_the_table() -> None:
    table = README.partition("## Output")[2].partition("##")[0]
    for name in ("gallery.html", "magi_dataset.json", "metadata.jsonl", "prompts.jsonl", "run.json", "run.db"):
        assert name in table
    assert "all files above but `run.json` are views of it" in table
    assert set(VIEWS) == {"prompts", "gallery"}


def test_the_picture_of_the_graph_is_what_the_command_draws(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drawing = README.partition("`magid-graph graph dialogue`")[2].partition("```\n")[2].partition("```")[0]
    assert drawing == Terminal(monkeypatch, capsys).type("graph", "dialogue").out


def test_the_picture_in_the_code_names_every_node() -> None:
    for build in graph.GRAPHS.values():
        nodes = set(build().get_graph().nodes) - {"__start__", "__end__"}
        assert all(node in (graph.__doc__ or "") for node in nodes)
