"""`magid-graph trace` as a person meets it."""

from __future__ import annotations

import contextlib
import re
import shlex
from pathlib import Path

import pytest

from magid_graph.models.fake import FakeEmbedder
from magid_graph.run_dir import open_run
from magid_graph.trace.reading import Reading, Trace
from tests.command_line import Terminal, written
from tests.graph_runs import Fakes, dialogue, fake_settings
from tests.traced_runs import made_run

BOATS = [{"id": f"d{n}", "turns": ["hello", f"look, here is the red boat number {n}"]} for n in range(12)] + [
    {"id": "dull", "turns": ["hi", "hi, how are you?"]}
]
LIMITS = ("--set", "qa.min_clip_similarity=0.3", "--set", "retry.regenerate=1", "--set", "retry.feedback=0")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(monkeypatch, capsys)


def read_run(place: Path) -> list[Trace]:
    with contextlib.closing(Reading(open_run(place))) as reading:
        return list(reading.traces())


@pytest.fixture
def run(terminal: Terminal) -> Path:
    """A run with accepted, rejected and redrawn dialogues, under `outputs/`."""
    made = terminal.dialogue(written("boats.json", BOATS), *LIMITS, "--json").json()
    assert min(made["items"]["accepted"], made["items"]["rejected"], made["attempts"]["regenerate"]) > 0
    return Path(made["run"])


def test_the_newest_run_is_shown_when_none_is_named(terminal: Terminal, run: Path) -> None:
    said = terminal.type("trace")
    assert said.code == 0
    assert said.out == terminal.type("trace", run).out == terminal.type("trace", run.name).out
    assert f"{run}\n13 dialogues" in said.out


def test_a_run_at_a_glance_agrees_with_its_summary(terminal: Terminal, run: Path) -> None:
    status, seen = terminal.type("status", run, "--json").json(), terminal.type("trace", run, "--json").json()
    assert {state: count for state, count in status["items"].items() if count} == seen["items"]
    assert seen["why"]["rejected"] == status["rejected"]
    for verdict in ("accept", "regenerate", "discard"):
        assert sum(row[verdict] for row in seen["by_attempt"]) == status["attempts"][verdict]
        assert seen["edges"][f"qa/{verdict}"] == status["attempts"][verdict]
    match = next(one for one in seen["scores"] if one["score"] == "clip_similarity")
    assert sum(match["bins"]) == match["passed"] + match["refused"] == sum(status["attempts"].values())
    assert match["passed"] == status["attempts"]["accept"]
    shown = terminal.type("trace", run).out
    assert f"accept {status['attempts']['accept']}" in shown
    assert f"no moment {status['rejected']['no_moment']}" in shown


def test_filters_choose_items_everywhere(terminal: Terminal, run: Path) -> None:
    def keys(*words: str) -> set[str]:
        return {item["key"] for item in terminal.type("trace", run, *words, "--json").json()["matching"]}

    rejected = keys("--state", "rejected")
    assert keys("--state", "rejected", "--reason", "off_topic") == rejected - {"dull"} == keys("--reason", "off_topic")
    assert keys("--reason", "no_moment") == {"dull"}
    assert keys("--node", "qa") == {row["id"] for row in BOATS} - {"dull"}
    assert keys("--attempts", ">1") | keys("--attempts", "1") == keys("--node", "qa")
    assert keys("--grep", "BOAT NUMBER 7") == {"d7"}
    listed = terminal.type("trace", run, "--state", "rejected").out
    assert all(re.search(rf"\b{key}\b", listed) for key in rejected)


@pytest.mark.parametrize(
    ("words", "told"),
    [(("--state", "lost"), "there is no state `lost`"), (("--attempts", "many"), 'such as `--attempts ">2"`')],
)
def test_a_filter_that_means_nothing_is_refused(
    terminal: Terminal, run: Path, words: tuple[str, ...], told: str
) -> None:
    said = terminal.type("trace", run, *words)
    assert (said.code, said.out) == (2, "")
    assert told in said.err


async def test_an_item_is_told_step_by_step(terminal: Terminal, tmp_path: Path) -> None:
    fakes = Fakes(clip=FakeEmbedder([0.1, 0.3]))
    await made_run(tmp_path / "run", [dialogue("boat")], fakes=fakes, settings=fake_settings())
    said = terminal.type("trace", "run", "boat").out
    expected = (
        "boat · accepted",
        "scanner",
        "→ each moment",
        "turn 1",
        "attempt 1  → regenerate  off_topic: clip_similarity 0.100 < 0.210; redraw 1 of 2",
        "✗ clip_similarity 0.100 < 0.210   ← failed first",
        "attempt 2  → accept  every check passed",
        "✓ clip_similarity 0.300 ≥ 0.210",
    )
    places = [said.index(text) for text in expected]
    assert places == sorted(places)
    assert "Utterance: 2: lovely!" not in said
    assert "Utterance: 2: lovely!" in terminal.type("trace", "run", "boat", "--full").out


def test_an_item_is_found_by_the_beginning_of_its_key_or_by_a_picture(terminal: Terminal, run: Path) -> None:
    whole = terminal.type("trace", run, "d11", "--json").json()
    picture = whole["steps"][-1]["read"]["drawing"]["image"]["path"]
    assert terminal.type("trace", run, "d11", "--json").json() == terminal.type("trace", run, picture, "--json").json()
    assert terminal.type("trace", run, "du", "--json").json()["key"] == "dull"
    several = terminal.type("trace", run, "d")
    assert (several.code, several.out) == (2, "")
    assert "several items begin with `d`" in several.err


def test_what_the_screens_suggest_can_be_typed(terminal: Terminal, run: Path) -> None:
    for screen in (("trace", run), ("trace", run, "--state", "rejected")):
        suggested = re.findall(r"next: `(magid-graph [^`…]+)`", terminal.type(*screen).out)
        assert suggested
        for command in suggested:
            assert terminal.type(*shlex.split(command)[1:]).code == 0


def test_nothing_that_was_recorded_is_changed_by_looking(terminal: Terminal, run: Path) -> None:
    before = (run / "run.db").read_bytes()
    terminal.type("trace", run)
    terminal.type("trace", run, "d3", "--full")
    assert (run / "run.db").read_bytes() == before


def test_whoever_has_a_rejected_picture_finds_the_reason_with_the_command_that_the_summary_suggests(
    terminal: Terminal,
) -> None:
    summary = terminal.dialogue(written("boats.json", BOATS), *LIMITS).out
    (suggested,) = re.findall(r"next: without a picture: .*: `magid-graph (trace [^`]+)` says why", summary)
    told = terminal.type(*shlex.split(suggested)).out
    journal = read_run(next(Path("outputs").iterdir()))
    refused = [trace for trace in journal if trace.state == "rejected" and trace.attempts]
    assert refused
    for trace in refused:
        score = trace.attempts[-1]["scores"]["clip_similarity"]
        assert f"off_topic: clip_similarity {score:.3f} < 0.300" in told
        assert re.search(rf"^ *{trace.key} +rejected", told, re.MULTILINE)


def test_a_run_without_a_fault_or_a_refusal_suggests_no_trace(terminal: Terminal) -> None:
    said = terminal.dialogue(written("boats.json", BOATS[:2]))
    assert "magid-graph trace" not in said.out
