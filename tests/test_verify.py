"""What is not as it was written is found, and counted where it is."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import Terminal, written

TALK: list[object] = [
    {"id": "cat", "turns": ["How are you?", "Look, a photo of my cat on the sofa!", "sweet"]},
    {"id": "car", "turns": ["Check out this picture of the red car", "nice"]},
    {"id": "tax", "turns": ["What do you think about taxes?"]},
]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    made = Terminal(monkeypatch, capsys)
    made.dialogue(written("talk.json", TALK), "--out", "run", "--quiet")
    return made


def verified(terminal: Terminal) -> dict[str, Any]:
    said = terminal.type("verify", "run", "--json")
    found: dict[str, Any] = said.json()
    assert said.code == (0 if found["is_whole"] else 3)
    return found


def change(statement: str) -> None:
    with contextlib.closing(sqlite3.connect("run/run.db")) as db, db:
        db.execute(statement)


def a_picture() -> Path:
    return min(Path("run/images").rglob("*.png"))


def faults(found: dict[str, Any]) -> dict[str, int]:
    return {fault["what"]: fault["count"] for fault in found["faults"]}


def test_a_run_as_it_was_written_is_whole(terminal: Terminal) -> None:
    found = verified(terminal)
    assert (found["is_whole"], found["items"], found["pictures"], found["orphans"]["count"]) == (True, 3, 2, 0)
    assert "all is as it was written" in terminal.type("verify", "run").out


def test_one_flipped_bit_is_found_by_verify_and_by_export_and_never_shipped(terminal: Terminal) -> None:
    picture = a_picture()
    data = bytearray(picture.read_bytes())
    data[-20] ^= 1
    picture.write_bytes(data)
    assert faults(verified(terminal)) == {"pictures are not what was judged": 1}
    said = terminal.type("verify", "run")
    assert (said.code, picture.name in said.out, "next: `magid-graph export run`" in said.out) == (3, True, True)
    terminal.type("export", "run", "--format", "jsonl", "--out", "out")
    assert not [path for path in Path("out").rglob("*.png") if path.name == picture.name]
    assert picture.stem not in Path("out/jsonl/train.jsonl").read_text()
    assert terminal.type("status", "run", "--json").json()["failed"] == {"damaged_picture": 1}
    assert terminal.type("retry", "run").code == 0
    assert verified(terminal)["is_whole"]


def test_a_missing_picture_and_one_that_nothing_names_are_told_apart(terminal: Terminal) -> None:
    picture = a_picture()
    picture.rename(picture.with_name("ab" * 32 + ".png"))
    found = verified(terminal)
    assert faults(found) == {"pictures are not there": 1}
    assert found["orphans"]["places"] == [picture.with_name("ab" * 32 + ".png").relative_to("run").as_posix()]


def test_a_file_that_nothing_names_is_no_harm(terminal: Terminal) -> None:
    a_picture().with_name("notes.txt").write_text("mine")
    found = verified(terminal)
    assert (found["is_whole"], found["orphans"]["count"]) == (True, 1)


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("DELETE FROM items WHERE key = 'tax'", "the journal does not hold every row of the input"),
        ("UPDATE attempts SET record = '{' WHERE turn = 1", "records of the journal are not JSON"),
        ("DELETE FROM calls WHERE kind = 'chat'", "records belong to nothing"),
        ("UPDATE attempts SET verdict = 'discard'", "accepted items have no accepted picture"),
    ],
)
def test_a_journal_that_was_changed_is_found(terminal: Terminal, statement: str, what: str) -> None:
    change(statement)
    assert what in faults(verified(terminal))


def test_who_has_a_damaged_journal_is_not_told_to_draw_pictures_again(terminal: Terminal) -> None:
    change("DELETE FROM items WHERE key = 'tax'")
    said = terminal.type("verify", "run").out
    assert "next: put back a copy of `run.db`" in said
    assert "magid-graph export" not in said


def test_a_damaged_page_of_the_journal_is_found(terminal: Terminal) -> None:
    change("VACUUM")
    data = bytearray(Path("run/run.db").read_bytes())
    data[-3000:] = bytes(3000)
    Path("run/run.db").write_bytes(data)
    assert verified(terminal)["is_whole"] is False


def test_what_is_no_run_is_a_usage_error(terminal: Terminal) -> None:
    assert terminal.type("verify", "nowhere").code == 2
    Path("run/run.db").unlink()
    assert terminal.type("verify", "run").code == 2
