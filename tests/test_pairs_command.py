"""`magid-graph pairs` as a person types it, over models that ship as stand-ins."""

from __future__ import annotations

import base64
import contextlib
import csv
import io
import json
import random
import signal
import sys
from pathlib import Path

import pyarrow.parquet
import pytest
from PIL import Image

from magid_graph.config import load
from magid_graph.models.chat import OpenAIChat
from magid_graph.models.vision_chat import VisionChatCaptioner
from tests.command_line import Terminal, fakes, has_drawn, started
from tests.scripted_server import ScriptedServer, says
from tests.test_kill import Driver, any_moment, everything

STAND_INS = [*fakes("describer.max_similarity=1"), "--set", "models.captioner=fake:"]
SMALL = ["--iterations", "2", "--batches", "2", "--descriptions", "3"]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(monkeypatch, capsys)


def test_a_run_of_pairs_ends_with_its_data_set_and_figures_and_is_found_again(terminal: Terminal) -> None:
    said = terminal.type("pairs", *STAND_INS, *SMALL)
    assert said.code == 0
    assert "input 6 = accepted 6 + rejected 0 + failed 0 + pending 0" in said.out
    assert "pairs: 12 accepted of 12 | chains ended by: 6 iterations" in said.out
    assert "agreement" in said.out
    assert "topic balance" in said.out
    (run,) = Path("outputs").iterdir()
    rows = [json.loads(line) for line in (run / "dataset/train/metadata.jsonl").read_text().splitlines()]
    assert len(rows) == 12
    assert Image.open(run / "contact_sheet.png").width > 3 * 160
    assert f"continuing `{run}`" in terminal.type("pairs", *STAND_INS, *SMALL).err
    summary = terminal.type("status", run, "--json").json()
    assert [one["pairs"] for one in summary["cycle"]] == [6, 6]
    assert (summary["pairs"]["accepted"], summary["diversity"]["descriptions"]) == (12, 6)


def test_exactly_as_many_pairs_as_are_counted(terminal: Terminal) -> None:
    assert terminal.type("pairs", *STAND_INS, "--count", "7", "--iterations", "3", "--out", "run").code == 0
    assert len(Path("run/dataset/train/metadata.jsonl").read_text().splitlines()) == 7


def test_a_dry_run_tells_pairs_and_calls_and_loads_nothing(terminal: Terminal) -> None:
    plan = terminal.type("pairs", "--iterations", "5", "--batches", "10", "--dry-run", "--json").json()
    assert plan["pairs"][1] == 500
    assert plan["estimate"]["pictures"] == [500, 500]
    assert plan["estimate"]["describer_questions"][0] == 10
    assert "500 pairs" in terminal.type("pairs", "--dry-run").out
    assert not Path("outputs").exists()


def test_chains_begin_with_ones_own_descriptions_or_pictures(terminal: Terminal) -> None:
    Path("own.txt").write_text("a red boat\n\na barn\n")
    assert terminal.type("pairs", *STAND_INS, "--from-descriptions", "own.txt", "--iterations", "2").code == 0
    said = terminal.type("pairs", *STAND_INS, "--from-descriptions", "own.txt", "--iterations", "2", "--count", "9")
    assert (said.code, "4 accepted of 9 (what was given is used up)" in said.out) == (3, True)
    Path("pictures").mkdir()
    Image.effect_noise((80, 60), 90).save("pictures/one.png")
    Path("pictures/two.jpg").write_text("no picture")
    said = terminal.type("pairs", *STAND_INS, "--from-images", "pictures", "--iterations", "2", "--out", "run")
    assert (said.code, "input 2 = accepted 1 + rejected 0 + failed 1" in said.out) == (3, True)
    assert "1 bad_input" in said.out
    card = Path("run/dataset/README.md").read_text("utf-8")
    assert "Given, not drawn: 1 of the pictures. All others are AI-generated." in card
    assert "All pictures are AI-generated" not in card


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--from-images", "a", "--from-descriptions", "b"], "begins with one thing"),
        (["--from-descriptions", "nowhere.txt"], "cannot be read"),
        (["--from-descriptions", "one.json"], "`one.json` is no list"),
        (["--from-descriptions", "two.json"], "`two.json`: entry 2 is neither a string nor an object with a"),
        (["--from-descriptions", "three.jsonl"], "`three.jsonl`: line 2 is not JSON"),
        (["--from-images", "nowhere"], "no picture"),
        (["--topics", " , "], "names no topic"),
        (["--topics", "winter.txt"], "there is no such file"),
        (["--qa", "perhaps"], "cycle.qa"),
        (["--set", "models.captioner=none"], "need a captioner"),
        (["--set", 'describer.prompts=["nothing"]'], "no prompt `describer/nothing`"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(terminal: Terminal, words: list[str], message: str) -> None:
    Path("one.json").write_text('"a red boat"')
    Path("two.json").write_text('["a red boat", {"text": "a barn"}]')
    Path("three.jsonl").write_text('"a red boat"\n"a barn\n')
    said = terminal.type("pairs", *STAND_INS, *words)
    assert said.code == 2
    assert message in said.err


def test_a_killed_run_of_pairs_ends_as_if_it_had_never_been_interrupted(tmp_path: Path) -> None:
    def command(run_dir: Path) -> list[str]:
        slow = ["--set", "models.llm=fake:0.02", "--set", "models.text_to_image=fake:0.01", "--set", "run.in_flight=4"]
        wanted = ["--count", "41", "--iterations", "4", "--qa", "filter", "--set", "qa.min_clip_similarity=0.21"]
        return ["pairs", *STAND_INS, *slow, *wanted, "--quiet", "--out", str(run_dir)]

    chance, kills = random.Random(5), 0
    with contextlib.closing(Driver(tmp_path / "calls.log")) as driver:
        assert driver.run(command(tmp_path / "whole")) == 0
        expected = everything(tmp_path / "whole")
        while kills < 8:
            code, run_dir = -signal.SIGKILL, tmp_path / f"killed-{kills}"
            while code == -signal.SIGKILL:
                code = driver.run(command(run_dir), kill_when=any_moment(chance, run_dir) if kills < 8 else None)
                kills += code == -signal.SIGKILL
            assert code == 0
            assert everything(run_dir) == expected


@pytest.mark.skipif(sys.platform == "win32", reason="no signals")
def test_ctrl_c_finishes_the_chains_in_hand_and_the_same_command_goes_on(terminal: Terminal) -> None:
    slow = ["--set", "models.text_to_image=fake:0.2", "--set", "run.in_flight=2"]
    process = started("pairs", *STAND_INS, *SMALL, *slow, "--out", "run", until=has_drawn)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, "chains in hand; Ctrl-C again stops at once" in err) == (130, True)
    assert "--out run` goes on" in out
    assert "Traceback" not in err
    assert Path("run/dataset/train/metadata.jsonl").exists()
    items = terminal.type("status", "run", "--json").json()["items"]
    assert (items["accepted"] > 0, items["pending"] > 0) == (True, True)
    said = terminal.type("pairs", *STAND_INS, *SMALL, *slow, "--out", "run")
    assert (said.code, "pairs: 12 accepted of 12" in said.out) == (0, True)


def test_a_damaged_given_picture_fails_its_chain_alone(terminal: Terminal) -> None:
    Path("pictures").mkdir()
    for name in ("one", "two"):
        Image.effect_noise((80, 60), 90).save(f"pictures/{name}.png")
    command = ["pairs", *STAND_INS, "--from-images", "pictures", "--iterations", "2", "--out", "run"]
    assert terminal.type(*command).code == 0
    rows = [json.loads(line) for line in Path("run/dataset/train/metadata.jsonl").read_text().splitlines()]
    given = next(row for row in rows if row["iteration"] == 0)
    damaged = next(Path("run/images").rglob(Path(given["file_name"]).name))
    damaged.unlink()
    damaged.write_bytes(b"no picture")
    assert terminal.type("export", "run", "--format", "csv").code == 0
    assert len(Path("run/exports/csv/train.csv").read_text("utf-8").splitlines()) == 1 + 2
    assert terminal.type("status", "run", "--json").json()["failed"] == {"damaged_picture": 1}
    said = terminal.type("retry", "run")
    assert (said.code, "accepted 1 + rejected 0 + failed 1" in said.out) == (3, True)


def test_the_matrix_of_pairs_is_exported_with_a_row_for_each(terminal: Terminal) -> None:
    assert terminal.type("pairs", *STAND_INS, *SMALL, "--out", "run").code == 0
    formats = ("imagefolder", "llava", "csv", "parquet")
    assert terminal.type("export", "run", *(word for name in formats for word in ("--format", name))).code == 0
    exports = Path("run/exports")
    matrix = [(batch, chain, iteration) for batch in range(2) for chain in range(3) for iteration in range(2)]

    lines = (exports / "imagefolder/train/metadata.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert (exports / "imagefolder/train/metadata.jsonl").read_bytes() == Path(
        "run/dataset/train/metadata.jsonl"
    ).read_bytes()
    assert [(row["batch"], row["chain"], row["iteration"]) for row in rows] == matrix
    assert all(row["text"] and (exports / "imagefolder/train" / row["file_name"]).is_file() for row in rows)

    table = pyarrow.parquet.read_table(exports / "parquet/data").to_pylist()
    with (exports / "csv/train.csv").open(encoding="utf-8", newline="") as file:
        comma_separated = list(csv.DictReader(file))
    for row, columnar, plain in zip(rows, table, comma_separated, strict=True):
        assert [columnar[name] for name in row if name != "file_name"] == [row[n] for n in row if n != "file_name"]
        assert [plain[name] for name in ("id", "text", "iteration")] == [row["id"], row["text"], str(row["iteration"])]

    samples = json.loads((exports / "llava/train.json").read_text("utf-8"))
    for row, sample in zip(rows, samples, strict=True):
        asked, answered = sample["conversations"]
        assert (sample["id"], (exports / "llava" / sample["image"]).is_file()) == (row["id"], True)
        assert (asked["from"], asked["value"].startswith("<image>\n")) == ("human", True)
        assert answered == {"from": "gpt", "value": row["text"]}


async def test_a_chat_model_with_eyes_is_sent_a_small_picture_and_the_instruction() -> None:
    with ScriptedServer(says("A red boat.")) as server:
        chat = OpenAIChat("eyes", base_url=server.url)
        captioner = VisionChatCaptioner(chat, instruction="What is this?", temperature=0.5, top_p=0.9, top_k=7)
        caption = await captioner.look(Image.new("RGB", (1024, 700), "red"), 3)
        await captioner.aclose()
    assert caption == "A red boat."
    body = server.requests[0].body
    assert [body[name] for name in ("model", "temperature", "top_p", "top_k", "seed")] == ["eyes", 0.5, 0.9, 7, 3]
    picture, question = body["messages"][0]["content"]
    assert question == {"type": "text", "text": "What is this?"}
    head, _, data = picture["image_url"]["url"].partition(",")
    assert head == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (512, 350)


def test_the_synergy_preset_is_the_published_set_up() -> None:
    settings = load("synergy").settings
    asking, drawing = settings.describer, settings.generator
    assert (asking.temperature, asking.top_k, asking.top_p) == (1.2, 50, 0.8)
    assert (drawing.num_inference_steps, drawing.refiner_split) == (100, 0.8)
    assert "refiner" in str(drawing.refiner)
    assert (settings.cycle.qa, settings.qa.checks) == ("off", ())
    assert "llava" in str(settings.models.captioner)
