from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.kill_driver import drawing, question

KILLS = 50
DIALOGUES = 30
IN_FLIGHT = 6
MODELS = {
    "llm": "fake:0.02",
    "text_to_image": "fake:0.01",
    **dict.fromkeys(("clip", "aesthetic", "safety", "captioner"), "fake:"),
}
CHECKOUT = Path(__file__).parent.parent

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")


@dataclass(frozen=True)
class Moment:
    """When a run is killed: so long after it has asked its models so much, or has begun to write the data set."""

    delay_s: float
    calls: int = 0
    file: Path | None = None

    def has_come(self, calls: int) -> bool:
        return calls >= self.calls and (self.file is None or self.file.exists())


def any_moment(chance: random.Random, run_dir: Path) -> Moment:
    """As it begins, at work, or at the end."""
    return chance.choice(
        [
            Moment(chance.uniform(0, 0.3)),
            Moment(chance.uniform(0, 0.02), calls=chance.randint(1, 10)),
            Moment(chance.uniform(0, 0.02), calls=chance.randint(1, 10)),
            Moment(chance.uniform(0, 0.1), file=run_dir / "dataset"),
        ]
    )


class Driver:
    """Starts the same command over and over, and kills it."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.log.touch()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.kill_driver", str(log)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=CHECKOUT,
        )

    def run(self, arguments: list[str], *, kill_when: Moment | None = None) -> int:
        """The exit code of one run; `-9` where the kill met it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        child, ended = self._read(), threading.Event()
        if kill_when is not None:
            threading.Thread(target=self._kill, args=(child, kill_when, ended)).start()
        code = self._read()
        ended.set()
        return code

    def _kill(self, child: int, moment: Moment, ended: threading.Event) -> None:
        before = len(self.noted())
        while not moment.has_come(len(self.noted()) - before):
            if ended.wait(0.002):
                return
        if not ended.wait(moment.delay_s):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

    def _read(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())

    def noted(self) -> list[str]:
        return self.log.read_text().splitlines()

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    started = Driver(tmp_path / "calls.log")
    yield started
    started.close()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "dialogues.json"
    path.write_text(json.dumps([talk(n) for n in range(DIALOGUES)]))
    return path


def talk(n: int) -> list[str]:
    turns = ["hello there", f"look, here is the red boat with the number {n}", "lovely!"]
    more = [[], ["that is all"], ["and this is a photo of our green lighthouse", "where is it?"]]
    return turns + more[n % 3]


def command(source: Path, run_dir: Path) -> list[str]:
    named = [word for kind, model in MODELS.items() for word in ("--set", f"models.{kind}={model}")]
    # The stand-in's cosines lie between 0.1 and 0.4: with this limit every edge is taken.
    settings = [f"run.in_flight={IN_FLIGHT}", "qa.min_clip_similarity=0.21"]
    chosen = [word for setting in settings for word in ("--set", setting)]
    return ["dialogue", str(source), "--out", str(run_dir), "--quiet", *chosen, *named]


def test_a_run_killed_at_fifty_points_ends_as_if_it_had_never_been_interrupted(
    tmp_path: Path, source: Path, driver: Driver
) -> None:
    assert driver.run(command(source, tmp_path / "whole")) == 0
    expected, kinds = everything(tmp_path / "whole"), verdicts(tmp_path / "whole")
    assert {"accept", "regenerate", "feedback"} <= kinds
    chance, kills, runs = random.Random(2403), 0, 0
    while kills < KILLS:
        run_dir = tmp_path / f"killed-{runs}"
        killed = run_with_kills(driver, command(source, run_dir), run_dir, chance, KILLS - kills)
        kills, runs = kills + killed, runs + 1
        assert everything(run_dir) == expected
    assert runs < KILLS, "the kills missed the runs"


def run_with_kills(driver: Driver, arguments: list[str], run_dir: Path, chance: random.Random, at_most: int) -> int:
    """The same command until it is done, killed up to `at_most` times; returns how often."""
    begun, kills, code = len(driver.noted()), 0, -signal.SIGKILL
    while code == -signal.SIGKILL:
        finished, asked_before = finished_calls(run_dir), len(driver.noted())
        code = driver.run(arguments, kill_when=any_moment(chance, run_dir) if kills < at_most else None)
        assert code in (0, -signal.SIGKILL)
        kills += code == -signal.SIGKILL
        assert not finished & set(driver.noted()[asked_before:]), "a call was made again that had been finished"
    paid = driver.noted()[begun:]
    # What a kill can cost is what was being answered: a question or two pictures for each dialogue in flight.
    assert len(paid) - len(set(paid)) <= kills * 2 * IN_FLIGHT
    return kills


def finished_calls(run_dir: Path) -> set[str]:
    """The calls whose results are on record, as the driver notes them."""
    if not (run_dir / "run.db").exists():
        return set()
    with contextlib.closing(sqlite3.connect(run_dir / "run.db")) as db:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'calls'").fetchone():
            return set()
        kinds = "SELECT kind, value FROM calls WHERE kind IN ('chat', 'picture')"
        rows = [(kind, json.loads(value)) for kind, value in db.execute(kinds)]
    return {
        drawing(call["prompt"], call["seed"]) if kind == "picture" else question(call["messages"], call["seed"])
        for kind, call in rows
    }


def everything(run_dir: Path) -> dict[str, Any]:
    """All that a run leaves, without clock times and without what came from the cache."""
    files = [path for path in run_dir.rglob("*") if path.is_file()]
    assert not [str(path) for path in files if path.suffix == ".part"], "half-written files were left behind"
    for path in run_dir.glob("images/*/*"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.stem, "a picture is torn"
    contents = {str(path.relative_to(run_dir)): unnamed(path, run_dir) for path in files if is_result(path)}
    return {**contents, **rows(run_dir), "prompts": prompts(run_dir)}


def unnamed(path: Path, run_dir: Path) -> bytes:
    """A file's bytes, without the run's own name, which pages for people carry."""
    return path.read_bytes().replace(run_dir.name.encode(), b"run")


def is_result(path: Path) -> bool:
    # The page shows clock times, packed; what it shows besides is in the rows that are compared.
    timed = ("run.json", "run.lock", "prompts.jsonl", "gallery.html")
    return path.name not in timed and not path.name.startswith("run.db")


def rows(run_dir: Path) -> dict[str, Any]:
    with contextlib.closing(sqlite3.connect(run_dir / "run.db")) as db:
        return {
            "items": db.execute("SELECT position, key, state, reason, message, input FROM items").fetchall(),
            "attempts": db.execute("SELECT * FROM attempts").fetchall(),
            "exchanges": db.execute(
                "SELECT position, turn, node, call FROM exchanges ORDER BY position, turn, seq"
            ).fetchall(),
            "spans": [
                (position, *sorted(node_and_attempt(db, position)))
                for (position,) in db.execute("SELECT position FROM items ORDER BY position")
            ],
        }


def node_and_attempt(db: sqlite3.Connection, position: int) -> list[tuple[str, int, int]]:
    spans = [json.loads(text) for (text,) in db.execute("SELECT record FROM spans WHERE position = ?", (position,))]
    return [(span["node"], span["turn"] or 0, span["attempt"] or 0) for span in spans]


def prompts(run_dir: Path) -> list[dict[str, Any]]:
    (path,) = run_dir.rglob("prompts.jsonl")
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return [
        {name: value for name, value in record.items() if name not in ("duration_s", "cached")} for record in records
    ]


def verdicts(run_dir: Path) -> set[str]:
    with contextlib.closing(sqlite3.connect(run_dir / "run.db")) as db:
        return {verdict for (verdict,) in db.execute("SELECT DISTINCT verdict FROM attempts")}


def test_a_run_with_fake_models_imports_no_heavy_library(tmp_path: Path, source: Path) -> None:
    script = (
        "import sys; from magid_graph import cli\n"
        f"sys.argv = ['magid-graph', *{command(source, tmp_path / 'run')!r}]\n"
        "try: cli.main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print([name for name in ('torch', 'diffusers', 'transformers', 'open_clip', 'openai') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
