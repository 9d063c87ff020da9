"""Deciding again from recorded scores, and making a journal smaller."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from magid_graph.config import Qa
from magid_graph.records import Attempt, ImageFile, Limits, Scores
from magid_graph.run_dir import open_run
from magid_graph.trace.prune import prune
from magid_graph.trace.reading import Reading
from magid_graph.trace.requalify import decide
from tests.command_line import Terminal, written
from tests.graph_runs import dialogue, fake_settings
from tests.traced_runs import made_run

LIMITS = Limits(min_clip_similarity=0.2, min_aesthetic=5.0, max_nsfw=0.5)


def attempt(n: int, match: float, aesthetic: float | None = 6.0, **fields: Any) -> Attempt:
    reason = "off_topic" if match < 0.2 else None
    made = Attempt(
        turn=0,
        n=n,
        description="a boat",
        prompt="a boat",
        fitted="whole",
        seed=n,
        image=ImageFile(sha256=f"{n}" * 64, path=f"images/{n}.png", width=8, height=8),
        scores=Scores(
            clip_similarity=match, clip_utterance=match / 2, clip_description=match, aesthetic=aesthetic, nsfw=0.01
        ),
        limits=LIMITS,
        reason=reason,  # type: ignore[typeddict-item]
        note=None,
        verdict="regenerate" if reason else "accept",
    )
    return {**made, **fields}  # type: ignore[typeddict-item]


MADE = [attempt(0, 0.1), attempt(1, 0.15), attempt(2, 0.3)]


@pytest.mark.parametrize(
    ("qa", "kept", "change"),
    [
        ({"min_clip_similarity": 0.2}, 2, None),
        ({"min_clip_similarity": 0.12}, 1, "another picture"),
        ({"min_clip_similarity": 0.4}, None, "refused"),
        ({"min_clip_similarity": 0.2, "min_aesthetic": 7}, None, "refused"),
        ({"min_clip_similarity": 0.2, "clip_against": "utterance"}, None, "refused"),
        ({"min_clip_similarity": 0.9, "checks": ["safety"]}, 0, "another picture"),
    ],
)
def test_the_first_attempt_that_passes_is_kept(qa: dict[str, Any], kept: int | None, change: str | None) -> None:
    settings = Qa.model_validate(qa)
    again = decide(MADE, settings, settings.limits())
    assert (again.kept["n"] if again.kept else None, again.change(MADE)) == (kept, change)
    assert again.attempts[-1]["verdict"] == ("accept" if kept is not None else "discard")
    assert len(again.attempts) == (kept + 1 if kept is not None else 3)


def test_a_score_that_nobody_measured_is_a_refusal_and_is_told() -> None:
    qa = Qa.model_validate({"min_clip_similarity": 0.05})
    again = decide([attempt(0, 0.1, None)], qa, qa.limits())
    assert (again.kept, again.is_unknown) == (None, True)
    assert not decide([attempt(0, 0.1, None)], Qa(), Qa().limits()).is_unknown


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(monkeypatch, capsys)


def test_requalify_shows_what_would_change_and_applies_it_beside_the_old_data_set(terminal: Terminal) -> None:
    source = written("boats.json", [{"id": f"d{n}", "turns": [f"look, boat number {n}"]} for n in range(15)])
    strict = ("--set", "qa.min_clip_similarity=0.3", "--set", "qa.measure_all=true", "--set", "retry.feedback=0")
    run = Path(terminal.dialogue(source, *strict, "--json").json()["run"])
    files = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    words = ("requalify", run, "--set", "qa.min_clip_similarity=0.2")
    found = terminal.type(*words, "--json").json()
    lenient = terminal.dialogue(source, *strict[2:], "--set", "qa.min_clip_similarity=0.2", "--out", "other", "--json")
    # A run with these limits draws the same pictures, and keeps what requalify says it would.
    assert found["kept"] == lenient.json()["items"]["accepted"] > found["kept_before"]
    assert sum(found["changes"].values()) > 0
    points = found["curves"]["min_clip_similarity"]
    assert [kept for _, kept in points] == sorted((kept for _, kept in points), reverse=True)
    assert [0.2, found["kept"]] in points

    said = terminal.type(*words, "--apply")
    assert f"moments with a picture: {found['kept_before']} -> {found['kept']} of 15" in said.out
    view = run / "views" / "1"
    status = terminal.type("status", view, "--json").json()
    assert status["items"]["accepted"] == found["kept"]
    shipped = json.loads((view / "dataset" / "magi_dataset.json").read_text())
    assert shipped == json.loads(Path("other/dataset/magi_dataset.json").read_text())
    assert {file: file.read_bytes() for file in files} == files


def test_what_needs_a_model_cannot_be_decided_again(terminal: Terminal) -> None:
    run = Path(terminal.dialogue(written("a.json", [["look, a boat"]]), "--json").json()["run"])
    said = terminal.type("requalify", run, "--set", "generator.guidance_scale=9")
    assert (said.code, said.out) == (2, "")
    assert "`generator.guidance_scale` cannot be changed without a model" in said.err


async def test_prune_keeps_every_refusal_and_a_sample_and_the_data_set_is_the_same(tmp_path: Path) -> None:
    rows = [dialogue(f"d{n}", [f"look, boat number {n}"]) for n in range(40)]
    from magid_graph.models.fake import FakeEmbedder
    from tests.graph_runs import Fakes

    settings = fake_settings(qa={"min_clip_similarity": 0.2})
    run = await made_run(tmp_path / "run", rows, fakes=Fakes(clip=FakeEmbedder()), settings=settings)
    with contextlib.closing(Reading(run)) as reading:
        before = {trace.key: trace for trace in reading.traces()}
    smooth = {key for key, trace in before.items() if len(trace.attempts) == 1 and trace.state == "accepted"}
    assert 5 < len(smooth) < 40
    trial = prune(run, 3, is_trial=True)
    pruned = prune(run, 3, is_trial=False)
    assert (pruned.kept, pruned.spans) == (40 - len(smooth) + 3, trial.spans)
    assert pruned.bytes_after < pruned.bytes_before
    with contextlib.closing(Reading(open_run(run.path))) as reading:
        after = {trace.key: trace for trace in reading.traces()}
    assert {key: trace.attempts for key, trace in after.items()} == {k: t.attempts for k, t in before.items()}
    assert all(after[key] == before[key] for key in before.keys() - smooth)
    assert sum(bool(after[key].steps) for key in smooth) == 3
    with contextlib.closing(sqlite3.connect(run.path / "run.db")) as db:
        asked = db.execute("SELECT count(*) FROM calls WHERE kind = 'chat'").fetchone()
        assert asked == db.execute("SELECT count(DISTINCT call) FROM exchanges").fetchone()
