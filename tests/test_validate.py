"""`magid-graph validate` explains an input; `--format` and `--map` reach the run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.command_line import Terminal
from tests.shapes import SHAPES, photochat, put

ROOT = Path(__file__).parent.parent
TALK = [["Look, a photo of my kite!", "It is so red."], ["Bread is ready.", "Oh, nice."]]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(monkeypatch, capsys)


def test_an_input_is_explained_with_its_first_rows(terminal: Terminal) -> None:
    put(Path("photochat/train"), SHAPES["PhotoChat"], TALK, name="train_00.json")
    put(Path("photochat/dev"), SHAPES["PhotoChat"], TALK[:1], name="dev_00.json")
    said = terminal.type("validate", "photochat")
    assert said.code == 0
    for sentence in (
        "format: photochat, because its rows have `dialogue` with `message` and `share_photo`",
        "3 dialogues, 6 turns, 2 speakers, 3 pictures of their own",
        "valid-0\n  A: Look, a photo of my kite!  [1 of its own pictures]",
    ):
        assert sentence in said.out
    report = terminal.type("validate", "photochat", "--json").json()
    assert report["splits"] == {"valid": 1, "train": 2}
    assert [(one["file"], one["dialogues"]) for one in report["files"]] == [
        ("dev/dev_00.json", 1),
        ("train/train_00.json", 2),
    ]


def test_problems_are_named_with_file_and_line_and_counted(terminal: Terminal) -> None:
    rows = [photochat(0, TALK[0]), *({"dialogue": [], "dialogue_id": at} for at in range(1, 31)), "lost"]
    Path("in.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    said = terminal.type("validate", "in.jsonl")
    assert said.code == 3
    assert "31 rows cannot be used" in said.out
    assert "  the dialogue has no turns (`in.jsonl`, line 2)\n" in said.out
    assert said.out.endswith("… and 11 more\n")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--format", "photocat"), "`photocat` is not a format (did you mean `photochat`?); there are `auto`"),
        (("--map", "dialog"), "write it as `--map turns=COLUMN`"),
        (("--map", "turns=talk"), "no row of `in.jsonl` has the column `talk` of `--map`; there are `said`"),
        (("--map", "turns=said", "--format", "magid"), "`--map` goes with `--format mapped`, not with `magid`"),
        ((), "is in no known format; its rows have `said`: say which holds the turns with `--map turns=COLUMN`"),
    ],
)
def test_a_mistake_is_answered_with_the_next_step(terminal: Terminal, words: tuple[str, ...], sentence: str) -> None:
    Path("in.jsonl").write_text('{"said": ["hi", "hello"]}\n')
    for command in ("validate", "dialogue"):
        said = terminal.type(command, "in.jsonl", *words)
        assert (said.code, said.out) == (2, "")
        assert sentence in said.err
    assert not Path("outputs").exists()


def test_a_folder_is_run_by_its_mapping_and_another_mapping_is_another_run(terminal: Terminal) -> None:
    for split in ("train", "test"):
        Path("talk").mkdir(exist_ok=True)
        rows = [{"said": one, "n": at} for at, one in enumerate(TALK)]
        Path(f"talk/{split}.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    words = ("--map", "turns=said", "--map", "id=n")
    first = terminal.dialogue("talk", *words, "--json").json()
    assert first["items"]["pending"] == first["items"]["failed"] == 0
    assert sum(first["items"].values()) == 4
    assert re.fullmatch(r"outputs/talk-[0-9a-f]{8}", first["run"])
    again = terminal.dialogue("talk", *words)
    assert "continuing" in again.err
    other = terminal.dialogue("talk", "--map", "turns=said")
    assert "changed since then: reader.map" in other.err
    Path("talk/test.jsonl").write_text(json.dumps({"said": ["hi"], "n": 0}))
    assert "changed since then: the input" in terminal.dialogue("talk", *words).err


def test_the_page_on_data_names_every_format_and_setting() -> None:
    from magid_graph.config import ReaderSettings
    from magid_graph.readers import FORMATS

    page = (ROOT / "docs" / "data.md").read_text("utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == set(FORMATS)
    assert set(re.findall(r"`reader\.(\w+)`", page)) == set(ReaderSettings.model_fields)
