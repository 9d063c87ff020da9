from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from magid_graph import run_dir
from tests.command_line import Terminal, fakes, has_drawn, started, written

TALK: list[object] = [
    {"id": "cat", "turns": ["How are you?", "Look, a photo of my cat on the sofa!"]},
    {"id": "car", "turns": ["Check out this picture of the red car"]},
    {"id": "tax", "turns": ["What do you think about taxes?"]},
]
MANY: list[object] = [{"id": f"n{n}", "turns": [f"Look, a photo of cat number {n}"]} for n in range(60)]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(monkeypatch, capsys)


def only_run() -> Path:
    (found,) = Path("outputs").iterdir()
    return found


def test_a_dialogue_gets_its_pictures_and_a_person_is_told_where(terminal: Terminal) -> None:
    said = terminal.dialogue(written("talk.json", TALK))
    assert said.code == 0
    assert "input 3 = accepted 2 + rejected 1 + failed 0 + pending 0" in said.out
    assert f"next: open `{only_run()}/gallery.html` in a browser" in said.out
    told_why = f"next: without a picture: 1 no_moment: `magid-graph trace {only_run()} --reason no_moment` says why"
    assert told_why in said.out
    assert said.out.count("next:") == 2
    assert f"new run `{only_run()}`" in said.err
    for view in ("gallery.html", "prompts.jsonl", "dataset/magi_dataset.json", "dataset/train/metadata.jsonl"):
        assert (only_run() / view).is_file()


def test_the_same_command_continues_and_a_changed_one_says_what_changed(terminal: Terminal) -> None:
    source = written("talk.json", TALK)
    terminal.dialogue(source)
    first = only_run()
    assert f"continuing `{first}`" in terminal.dialogue(source).err
    other = terminal.dialogue(source, "--set", "run.seed=7").err
    assert f"beside the run before, `{first}`; changed since then: run.seed 0 -> 7" in other
    seeing = terminal.dialogue(source, "--set", "models.captioner=fake:").err
    assert "changed since then: models.captioner None -> fake:, run.seed 7 -> 0" in seeing
    written("talk.json", TALK[:2])
    assert "changed since then: the input" in terminal.dialogue(source).err
    assert len(list(Path("outputs").iterdir())) == 4


def test_new_starts_a_fresh_run_beside_and_says_how_to_go_on_with_it(terminal: Terminal) -> None:
    source = written("talk.json", TALK)
    terminal.dialogue(source)
    first = only_run()
    said = terminal.dialogue(source, "--new", "--limit", "1")
    assert f"new run `{first}~2`" in said.err
    assert "changed since then: nothing" in said.err
    assert "2 pending: `magid-graph dialogue talk.json" in said.out
    assert f"--out '{first}~2'` goes on" in said.out
    assert f"continuing `{first}~2`" in terminal.dialogue(source, "--out", f"{first}~2").err
    assert "pending 0" in terminal.type("status", f"{first}~2").out


def test_a_limit_is_worked_on_and_the_rest_stays(terminal: Terminal) -> None:
    source = written("talk.json", TALK)
    said = terminal.dialogue(source, "--out", "run", "--limit", "1")
    assert said.code == 0
    assert "accepted 1 + rejected 0 + failed 0 + pending 2" in said.out
    said = terminal.dialogue(source, "--out", "run")
    assert "accepted 2 + rejected 1 + failed 0 + pending 0" in said.out


def test_out_holds_one_run_only(terminal: Terminal) -> None:
    source = written("talk.json", TALK)
    terminal.dialogue(source, "--out", "run")
    assert "continuing `run`" in terminal.dialogue(source, "--out", "run").err
    said = terminal.dialogue(source, "--out", "run", "--set", "run.seed=1")
    assert said.code == 2
    assert "`run` holds another run (changed since: run.seed 0 -> 1)" in said.err


def test_out_is_never_something_else(terminal: Terminal) -> None:
    source = written("talk.json", TALK)
    said = terminal.dialogue(source, "--out", source)
    assert (said.code, "`talk.json` is a file" in said.err) == (2, True)
    Path("full").mkdir()
    Path("full/letter.txt").write_text("dear")
    said = terminal.dialogue(source, "--out", "full")
    assert (said.code, "`full` is not empty and holds no run" in said.err) == (2, True)
    said = terminal.dialogue(source, "--out", "talk.json/run")
    assert (said.code, "`talk.json/run` cannot be made" in said.err) == (1, True)


def test_a_run_killed_as_it_began_begins_again(terminal: Terminal) -> None:
    Path("run").mkdir()
    Path("run/run.lock").touch()
    Path("run/.abc.part").touch()
    assert terminal.dialogue(written("talk.json", TALK), "--out", "run").code == 0


def test_resuming_takes_settings_that_change_only_how_the_work_is_done(terminal: Terminal) -> None:
    source = written("talk.json", TALK)
    terminal.dialogue(source, "--out", "run", "--limit", "1")
    said = terminal.dialogue(source, "--out", "run", "--set", "generator.batch_size=1")
    assert "continuing `run`" in said.err
    assert run_dir.open_run(Path("run")).settings().generator.batch_size == 1


def test_two_processes_never_work_on_one_run(terminal: Terminal) -> None:
    source = written("talk.json", TALK)
    terminal.dialogue(source, "--out", "run")
    with run_dir.open_run(Path("run")).lock():
        said = terminal.dialogue(source, "--out", "run")
    assert (said.code, "another process is working on `run`" in said.err) == (2, True)


def test_the_plan_loads_and_makes_nothing(terminal: Terminal) -> None:
    source = written("talk.json", [*TALK, {"id": "bad", "turns": []}])
    said = terminal.type("dialogue", source, "--preset", "paper", "--dry-run")
    assert said.code == 0
    assert "input: 3 dialogues with 4 turns, 1 unreadable rows" in said.out
    assert "the dialogue has no turns" in said.out
    plan = terminal.type("dialogue", source, "--preset", "paper", "--dry-run", "--json").json()
    assert plan["models"]["llm"].startswith("openai:")
    assert plan["estimate"]["llm_calls"][0] == 3
    assert not Path("outputs").exists()


def test_quiet_says_nothing_and_json_says_only_json(terminal: Terminal) -> None:
    source = written("talk.json", [*TALK, {"id": "bad", "turns": []}])
    said = terminal.dialogue(source, "--quiet")
    assert (said.code, said.out, said.err) == (3, "", "")
    summary = terminal.dialogue(source, "--json").json()
    assert summary["items"] == {"pending": 0, "accepted": 2, "rejected": 1, "failed": 1}
    status = terminal.type("status", only_run(), "--json").json()
    assert [(one["key"], one["cause"]) for one in status["failures"]] == [("bad", "bad_input")]
    assert set(terminal.type("export", only_run(), "--json").json()) == {"magid", "imagefolder", "prompts", "gallery"}
    assert terminal.type("retry", only_run(), "--json").json()["failed"] == {"bad_input": 1}


def test_standard_input_is_read(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(TALK).encode())))
    assert terminal.dialogue("-").code == 0
    assert only_run().name.startswith("stdin-")


def test_a_run_is_found_by_its_name_and_others_are_listed(terminal: Terminal) -> None:
    terminal.dialogue(written("talk.json", TALK))
    assert terminal.type("status", only_run().name).code == 0
    said = terminal.type("status", "nowhere")
    assert (said.code, f"there is no run in `nowhere`; runs under `outputs`: `{only_run()}`" in said.err) == (2, True)


def test_retry_is_no_use_for_rows_that_cannot_be_read(terminal: Terminal) -> None:
    said = terminal.dialogue(written("talk.json", [*TALK, {"id": "bad", "turns": []}]), "--out", "run")
    assert "next: 1 bad_input: mend them in `talk.json`" in said.out
    assert "magid-graph retry" not in said.out
    assert "taking up again: 0 failed" in terminal.type("retry", "run").err


def test_retry_takes_up_one_cause_and_draws_a_lost_picture_again(terminal: Terminal) -> None:
    source = written("talk.json", TALK)
    terminal.dialogue(source, "--out", "run")
    next(Path("run/images").rglob("*.png")).unlink()
    assert terminal.type("export", "run").code == 0
    said = terminal.type("status", "run")
    assert "failed: 1 damaged_picture" in said.out
    assert "next: 1 failed: `magid-graph retry run` takes them up again" in said.out
    said = terminal.type("retry", "run", "--reason", "server_error")
    assert said.code == 2
    assert "nothing in `run` failed for `server_error`; causes there: damaged_picture" in said.err
    said = terminal.type("retry", "run", "--reason", "damaged_picture")
    assert (said.code, "failed 0 + pending 0" in said.out) == (0, True)


def test_retry_works_on_nothing_but_what_failed(terminal: Terminal) -> None:
    source = written("talk.json", MANY[:6])
    terminal.dialogue(source, "--out", "run", "--limit", "2")
    next(Path("run/images").rglob("*.png")).unlink()
    said = terminal.type("export", "run")
    said = terminal.type("status", "run")
    assert "1 failed: `magid-graph retry run` takes them up again, and nothing else" in said.out
    said = terminal.type("retry", "run")
    assert "taking up again: 1 failed" in said.err
    assert "input 6 = accepted 2 + rejected 0 + failed 0 + pending 4" in said.out


def test_views_are_written_again_only_where_something_changed(terminal: Terminal) -> None:
    source = written("talk.json", TALK)
    terminal.dialogue(source, "--out", "run", "--limit", "1")
    gallery, shown = Path("run/gallery.html"), Path("run/dataset/magi_dataset.json")
    terminal.dialogue(source, "--out", "run")
    assert len(json.loads(shown.read_text())) == 3
    shown.write_text("{}")
    said = terminal.dialogue(source, "--out", "run")
    assert shown.read_text() == "{}"
    assert f"gallery: {gallery}" in said.out
    gallery.unlink()
    terminal.dialogue(source, "--out", "run")
    assert gallery.exists()
    assert len(json.loads(shown.read_text())) == 3
    shown.write_text("{}")
    terminal.type("export", "run")
    assert len(json.loads(shown.read_text())) == 3


def test_a_lost_row_is_an_error(terminal: Terminal) -> None:
    source = written("talk.json", TALK)
    terminal.dialogue(source, "--out", "run")
    with contextlib.closing(sqlite3.connect("run/run.db")) as db, db:
        db.execute("DELETE FROM items WHERE key = 'tax'")
    for said in (terminal.dialogue(source, "--out", "run"), terminal.type("status", "run")):
        assert (said.code, said.out) == (1, "")
        assert "the input had 3 rows, but `run/run.db` holds 2 items" in said.err


def test_changed_model_files_or_prompts_are_never_mixed_into_a_run(terminal: Terminal) -> None:
    source = written("talk.json", TALK)
    terminal.dialogue(source, "--out", "run", "--limit", "1")
    file = Path("run/run.json")
    manifest = json.loads(file.read_text())
    assert manifest["opened"]["text_to_image"] == "fake:text_to_image"
    file.write_text(json.dumps(manifest | {"opened": {**manifest["opened"], "clip": "fake:clip@old"}}))
    for said in (terminal.dialogue(source, "--out", "run"), terminal.dialogue(source, "--out", "run", "--quiet")):
        assert said.code == 2
        assert "the models' files have changed since it began (clip fake:clip@old -> fake:clip)" in said.err
        assert "--new`" in said.err
    assert "pending 2" in terminal.type("status", "run").out
    for changed in ({"prompts": dict.fromkeys(manifest["prompts"], "old")}, {"weights": "old"}):
        file.write_text(json.dumps(manifest | changed))
        said = terminal.type("retry", "run")
        assert said.code == 2
        assert ("prompt scanner/" if "prompts" in changed else "the shipped weights") in said.err


def test_chosen_formats_are_written_again(terminal: Terminal) -> None:
    terminal.dialogue(written("talk.json", TALK), "--out", "run")
    Path("run/gallery.html").unlink()
    said = terminal.type("export", "run", "--format", "gallery")
    assert said.out == f"gallery: {Path('run/gallery.html')}\n"
    assert Path("run/gallery.html").exists()
    said = terminal.type("export", "run", "--format", "doc")
    assert (said.code, "there is no format `doc`; formats: magid, imagefolder, parquet" in said.err) == (2, True)


def test_settings_are_shown_as_they_are_written_and_never_cut(terminal: Terminal) -> None:
    Path("magid.toml").write_text('[qa]\nchecks = ["match"]\n')
    out = terminal.type("config", "--set", "models.llm=openai:" + "x" * 200).out
    rows = {line.split()[0]: line for line in out.splitlines()}
    assert "x" * 200 in rows["models.llm"]
    assert rows["qa.checks"].split() == ["qa.checks", '["match"]', "magid.toml"]
    assert terminal.type("config", "--json").json()["qa.checks"] == {"value": ["match"], "from": "magid.toml"}


def test_doctor_tells_what_each_preset_needs(terminal: Terminal) -> None:
    said = terminal.type("doctor")
    assert said.code == 0
    assert "preset openai: needs more" in said.out
    assert "set OPENAI_API_KEY" in said.out


@pytest.mark.parametrize("command", ["", "dialogue", "status", "retry", "export", "config", "doctor"])
def test_every_command_explains_itself(terminal: Terminal, command: str) -> None:
    said = terminal.type(*command.split(), "--help")
    assert (said.code, "Options:" in said.out) == (0, True)


def test_help_is_quick_because_it_imports_no_model_library() -> None:
    script = (
        "import sys; sys.argv[1:] = ['--help']\nfrom magid_graph.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'open_clip', 'langgraph'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


# -- signals


def has_asked() -> bool:
    """Whether a moment was found, so that its picture is being drawn."""
    if not Path("run/run.db").exists():
        return False
    with contextlib.closing(sqlite3.connect("run/run.db")) as db, contextlib.suppress(sqlite3.OperationalError):
        return db.execute("SELECT 1 FROM calls").fetchone() is not None
    return False


def begun(*words: str, until: Callable[[], bool] = has_drawn) -> subprocess.Popen[str]:
    """A run of dialogues that takes a while, once it has begun to work."""
    return started("dialogue", *fakes("models.llm=fake:0.3", "run.in_flight=4"), *words, until=until)


@pytest.mark.skipif(sys.platform == "win32", reason="no signals")
def test_ctrl_c_finishes_what_is_in_hand_and_the_same_command_goes_on(terminal: Terminal) -> None:
    process = begun(written("many.json", MANY), "--out", "run")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Ctrl-C again stops at once" in err
    assert "Traceback" not in err
    assert "--out run` goes on" in out
    assert Path("run/dataset/magi_dataset.json").exists()
    status = terminal.type("status", "run", "--json").json()["items"]
    assert status["accepted"] >= 4
    assert status["pending"] > 0
    said = terminal.dialogue("many.json", "--out", "run", "--set", "models.llm=fake:0.3", "--set", "run.in_flight=60")
    assert (said.code, "accepted 60 + rejected 0 + failed 0 + pending 0" in said.out) == (0, True)


@pytest.mark.skipif(sys.platform == "win32", reason="no signals")
def test_a_second_ctrl_c_waits_for_no_picture(terminal: Terminal) -> None:
    source = written("many.json", MANY)
    process = begun(source, "--out", "run", "--set", "models.text_to_image=fake:30", until=has_asked)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)  # two signals that come together are one
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    since = time.monotonic()
    out, err = process.communicate(timeout=60)
    assert time.monotonic() - since < 10
    assert process.returncode == 130
    assert "--out run` goes on" in out
    assert "Traceback" not in err
    assert "terminate called" not in err
    assert "accepted 0 + rejected 0 + failed 0 + pending 60" in terminal.type("status", "run").out
    assert not Path("run/dataset").exists()


@pytest.mark.skipif(os.name == "nt", reason="no pipes of this kind")
def test_a_reader_that_leaves_early_gets_no_traceback() -> None:
    command = f"{sys.executable} -c 'from magid_graph.cli import main; main()' config | head -1"
    said = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert said.stdout.startswith("setting")
    assert said.stderr == ""


def test_python_runs_the_package_as_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "magid_graph", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("magid-graph ")
