"""The list of mishaps that a person may meet: each gets one clear sentence, and nothing is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command_line import Terminal, fakes, written
from tests.scripted_server import ScriptedServer, fails, page, says

GOOD: dict[str, object] = {"id": "good", "turns": ["Look, a photo of my cat on the sofa!"]}
NO_MOMENT = "<reason>nothing is shown</reason>\n<result>\nnone\n</result>"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(monkeypatch, capsys)


# -- the input as a whole


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("missing.json", None, "`missing.json` does not exist"),
        ("empty.json", "", "`empty.json` is empty"),
        ("list.json", "[]", "`list.json` is empty"),
        ("prose.json", "Hello there", "not valid JSON: Expecting value (line 1, column 1)"),
        ("comma.json", '[\n  ["a"],\n  ["b" "c"]\n]', "not valid JSON: Expecting ',' delimiter (line 3, column 8)"),
        ("cut.json", '[["a"],\n ["b"]', "is the file cut off? (line 2, column 7)"),
        ("latin.txt", b"caf\xe9", "`latin.txt` is not UTF-8"),
        ("talk.doc", "a,b", "`talk.doc` has no known extension"),
        ("talk.csv", "a,b\n1,2", "`talk.csv` is in no known format; its rows have `a`, `b`"),
    ],
)
def test_an_input_that_cannot_be_read_is_named_and_leaves_nothing_behind(
    terminal: Terminal, name: str, content: str | bytes | None, sentence: str
) -> None:
    if content is not None:
        Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    for words in ((), ("--dry-run",)):
        said = terminal.dialogue(name, *words)
        assert (said.code, said.out) == (2, "")
        assert said.err.startswith("error: ")
        assert sentence in said.err
        assert len(said.err.splitlines()) == 1
    assert not Path("outputs").exists() or not list(Path("outputs").iterdir())


def test_a_folder_without_dialogues_is_no_input(terminal: Terminal) -> None:
    Path("folder").mkdir()
    said = terminal.dialogue("folder")
    assert (said.code, "`folder` holds no file with dialogues" in said.err) == (2, True)


def test_of_two_dialogues_with_one_id_the_second_fails_and_names_the_first(terminal: Terminal) -> None:
    rows = [{"id": name, "turns": ["hello"]} for name in "aba"]
    Path("twice.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    assert terminal.dialogue("twice.jsonl", "--out", "run").code == 3
    (failure,) = terminal.type("status", "run", "--json").json()["failures"]
    assert "the id `a` was given before (`twice.jsonl`, line 1)" in failure["message"]
    assert "(`twice.jsonl`, line 3)" in failure["message"]


# -- one row of it


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"turns": []}, "the dialogue has no turns"),
        ({"turns": [""]}, "turn 0 has no text"),
        ({"turns": [{"speaker": "Ada"}]}, "turn 0 has no text"),
        ({"turns": ["a", 3]}, "turn 1 is a number"),
        ({"turns": "hello"}, "`turns` is a string"),
        ({"id": {"a": 1}, "turns": ["a"]}, "`id` is an object"),
        (7, "the row is a number"),
        (None, "the row is null"),
        ({"turns": ["x" * 1_000_000]}, "turn 0 has 1,000,000 characters"),
    ],
)
def test_a_bad_dialogue_fails_with_its_cause_and_stops_no_other(terminal: Terminal, row: object, sentence: str) -> None:
    said = terminal.dialogue(written("in.json", [["x"], row, GOOD]), "--out", "run", "--json")
    assert said.code == 3
    assert said.json()["items"] == {"pending": 0, "accepted": 1, "rejected": 1, "failed": 1}
    (failure,) = terminal.type("status", "run", "--json").json()["failures"]
    assert failure["cause"] == "bad_input"
    assert sentence in failure["message"]


def test_a_cut_line_fails_alone(terminal: Terminal) -> None:
    Path("in.jsonl").write_text(json.dumps(GOOD) + '\n{"id": "cut", "turns": ["loo')
    assert terminal.dialogue("in.jsonl", "--out", "run").code == 3
    (failure,) = terminal.type("status", "run", "--json").json()["failures"]
    assert "Unterminated string starting at (column 25) (`in.jsonl`, line 2)" in failure["message"]


STRANGE_IDS = ["../../x", "/etc/passwd", "C:\\x", "L" * 300, "CON", "Case", "case", "a\nb", "שלום", "<b>&", "..", "?"]


def test_any_id_is_taken_and_none_becomes_a_path(terminal: Terminal, tmp_path: Path) -> None:
    rows = [{"id": name, "turns": [f"Look, a photo of cat {n}"]} for n, name in enumerate(STRANGE_IDS)]
    said = terminal.dialogue(written("in.json", rows), "--out", "run")
    assert (said.code, f"accepted {len(rows)} + rejected 0 + failed 0" in said.out) == (0, True)
    assert set(json.loads(Path("run/dataset/magi_dataset.json").read_text("utf-8"))) == set(STRANGE_IDS)
    assert {path.name for path in tmp_path.iterdir()} == {"in.json", "run"}
    names = {path.name for path in Path("run").rglob("*")}
    assert not any(name in names for name in STRANGE_IDS)


@pytest.mark.parametrize(
    "text",
    ["a photo of a \ud800cat", "a photo of a\u0000 cat", "photo: \u202eשלום עולם", "a photo of a 🐈\u200d⬛ cat"],
)
def test_any_text_comes_through(terminal: Terminal, text: str) -> None:
    said = terminal.dialogue(written("in.json", [["Look, " + text]]), "--out", "run")
    assert (said.code, "accepted 1" in said.out) == (0, True)
    assert "\0" not in Path("run/gallery.html").read_text("utf-8")


# -- settings


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--preset", "papr"), "there is no preset `papr`; did you mean `paper`?"),
        (("--set", "qa.min_aestetic=5"), "unknown setting `qa.min_aestetic` (--set); did you mean `qa.min_aesthetic`?"),
        (("--set", "qa.max_nsfw=2"), "`qa.max_nsfw` (--set): Input should be less than or equal to 1, not `2`"),
        (("--set", "qa.max_nsfw"), "write it as `--set key=value`"),
        (("--set", "models.llm=gpt4:x"), "`models.llm=gpt4:x`: there is no such backend; known: `openai:`"),
        (("--config", "none.toml"), "`none.toml` cannot be read: No such file"),
        (("--limit", "0"), "greater than or equal to 1"),
        (("--limit", "few"), "--limit"),
        (("--bogus",), "--bogus"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_before_anything_is_made(
    terminal: Terminal, words: tuple[str, ...], sentence: str
) -> None:
    said = terminal.type("dialogue", written("in.json", [GOOD]), *words)
    assert (said.code, said.out) == (2, "")
    assert sentence in said.err
    assert not Path("outputs").exists()


# -- models and servers


def test_without_a_key_a_person_is_told_which(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    said = terminal.dialogue(written("in.json", [GOOD]), "--out", "run", "--set", "models.llm=openai:gpt-4o-mini")
    assert said.code == 1
    assert "OPENAI_API_KEY" in said.err
    assert len([line for line in said.err.splitlines() if line.startswith("error: ")]) == 1
    assert "pending 1" in terminal.type("status", "run").out


def test_a_model_that_is_not_there_is_named(terminal: Terminal) -> None:
    source = written("in.json", [GOOD])
    for setting in ("models.llm=gguf:none.gguf", "models.text_to_image=retrieval:none"):
        said = terminal.dialogue(source, "--set", setting)
        assert said.code == 1
        assert "error: " in said.err
        assert "none" in said.err.rpartition("error: ")[2]


def test_a_server_that_is_down_stops_the_run_and_the_same_command_goes_on(terminal: Terminal) -> None:
    source = written("in.json", [GOOD, ["Hello"]])
    with ScriptedServer(says(NO_MOMENT)) as server:
        url = server.url
    words = ("--out", "run", "--set", f"models.llm=openai:qwen@{url}", "--set", "llm.max_retries=0")
    said = terminal.dialogue(source, *words)
    assert said.code == 1
    assert url in said.err
    assert "input 2 = accepted 0 + rejected 0 + failed 0 + pending 2" in said.out
    assert "pending 2" in terminal.type("status", "run").out


def test_what_was_finished_before_a_fault_is_in_the_data_set(terminal: Terminal) -> None:
    source = written("in.json", [["Hello"], GOOD, GOOD | {"id": "again"}])
    with ScriptedServer(says(NO_MOMENT), fails(401, "Incorrect API key provided")) as server:
        words = ("--set", f"models.llm=openai:qwen@{server.url}", "--set", "llm.max_retries=0")
        said = terminal.dialogue(source, "--out", "run", "--set", "run.in_flight=1", *words)
    assert said.code == 1
    assert "refuses us" in said.err
    assert "input 3 = accepted 0 + rejected 1 + failed 0 + pending 2" in said.out
    assert "2 pending: `magid-graph dialogue" in said.out
    assert len(json.loads(Path("run/dataset/magi_dataset.json").read_text())) == 1


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (page(b"<html><body>Welcome to nginx</body></html>"), "HTML"),
        (fails(404, "The model `qwen` does not exist"), "qwen"),
        (fails(401, "Incorrect API key provided"), "refuses us: Incorrect API key provided"),
    ],
    ids=["html", "model not found", "wrong key"],
)
def test_a_server_that_is_none_of_ours_stops_the_run(
    terminal: Terminal, answer: Callable[..., None], sentence: str
) -> None:
    with ScriptedServer(answer) as server:
        words = ("--out", "run", "--set", f"models.llm=openai:qwen@{server.url}", "--set", "llm.max_retries=0")
        said = terminal.dialogue(written("in.json", [GOOD]), *words)
    assert said.code == 1
    assert sentence in said.err
    assert "the same command goes on" in said.err
    assert "pending 1" in terminal.type("status", "run").out


# -- the disk

_SMALL_DISK = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({bytes}, {bytes}))
from magid_graph.cli import main
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on files")
@pytest.mark.parametrize("most", [20_000, 120_000], ids=["as it begins", "in the middle"])
def test_a_full_disk_loses_nothing(terminal: Terminal, most: int) -> None:
    source = written("many.json", [{"id": f"n{n}", "turns": [f"Look, a photo of cat {n}"]} for n in range(60)])
    words = ["dialogue", source, "--out", "run", *fakes()]
    command = [sys.executable, "-c", _SMALL_DISK.format(bytes=most), *words]
    full = subprocess.run(command, capture_output=True, text=True)
    assert full.returncode == 1
    assert "Traceback" not in full.stderr
    assert "error: " in full.stderr
    said = terminal.type(*words)
    assert (said.code, "accepted 60 + rejected 0 + failed 0 + pending 0" in said.out) == (0, True)


def test_a_place_that_cannot_be_written_is_named(terminal: Terminal) -> None:
    source = written("in.json", [GOOD])
    Path("outputs").write_text("a file where the runs would go")
    said = terminal.dialogue(source)
    assert said.code == 1
    assert "cannot be made" in said.err
    assert "choose another `--out`" in said.err


def test_a_damaged_journal_or_manifest_is_named(terminal: Terminal) -> None:
    source = written("in.json", [GOOD])
    terminal.dialogue(source, "--out", "run")
    Path("run/run.db").write_bytes(b"not a database" * 100)
    said = terminal.type("status", "run")
    assert (said.code, "`run/run.db` is not a journal" in said.err) == (2, True)
    Path("run/run.json").write_text("{")
    said = terminal.type("status", "run")
    assert (said.code, "`run/run.json` cannot be read" in said.err) == (2, True)


@pytest.mark.parametrize("content", ["{}", "[]", "null", '{"identity": 7}', '{"input": {}}'])
def test_a_manifest_of_another_program_is_named(terminal: Terminal, content: str) -> None:
    Path("run").mkdir()
    Path("run/run.json").write_text(content)
    source = written("in.json", [GOOD])
    for said in (
        terminal.dialogue(source, "--out", "run"),
        *(terminal.type(command, "run") for command in ("status", "retry", "export")),
    ):
        assert (said.code, said.out) == (2, "")
        assert "`run/run.json` cannot be read: it is no manifest of magid-graph" in said.err
    assert [path.name for path in Path("run").iterdir()] == ["run.json"]


def test_a_run_without_its_journal_is_not_given_an_empty_one(terminal: Terminal) -> None:
    terminal.dialogue(written("in.json", [GOOD]), "--out", "run")
    Path("run/run.db").unlink()
    for command in ("status", "retry", "export"):
        said = terminal.type(command, "run")
        assert (said.code, "there is no journal `run/run.db`" in said.err) == (2, True)
        assert not Path("run/run.db").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text there")
def test_a_file_name_that_is_not_utf8_is_read_and_shown(terminal: Terminal) -> None:
    name = os.fsdecode(b"caf\xe9.json")
    Path(name).write_text(json.dumps([["x"], {"turns": []}, GOOD]))
    said = terminal.dialogue(name, "--json")
    assert (said.code, said.json()["items"]["accepted"]) == (3, 1)
    assert "caf?.json" in said.json()["next"][0] + said.json()["next"][-2]
    (run,) = Path("outputs").iterdir()
    assert json.loads((run / "run.json").read_text("utf-8"))["input"]["path"] == "caf?.json"
    said = terminal.type("status", run)
    assert said.code == 0
    assert "caf\ufffd.json" in said.out
    out = os.fsdecode(b"r\xe9sum\xe9")
    assert terminal.dialogue(name, "--out", out).code == 3
    assert terminal.type("status", out).code == 0
    said = terminal.dialogue(os.fsdecode(b"\xe9.json"))
    assert (said.code, "`?.json` does not exist" in said.err) == (2, True)


def test_a_run_of_another_version_is_named(terminal: Terminal) -> None:
    terminal.dialogue(written("in.json", [GOOD, ["x"]]), "--out", "run", "--limit", "1")
    manifest = json.loads(Path("run/run.json").read_text())
    manifest["settings"]["qa"]["older"] = 1
    Path("run/run.json").write_text(json.dumps(manifest | {"magid_graph": "0.0.1"}))
    said = terminal.type("retry", "run")
    assert (said.code, "`run` was made by magid-graph 0.0.1" in said.err) == (2, True)
