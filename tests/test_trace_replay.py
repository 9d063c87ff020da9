"""Replays of recorded states on the real graph."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from magid_graph.errors import UsageError
from magid_graph.models.fake import FakeEmbedder
from magid_graph.run_dir import RunDir, open_run
from magid_graph.trace.branch import branches_of, original_of
from magid_graph.trace.diffing import Pair, compare
from magid_graph.trace.reading import Reading, Trace
from magid_graph.trace.replay import Branch, Change, plan, replay
from tests.command_line import Terminal, written
from tests.command_line import fakes as stand_ins
from tests.graph_runs import Fakes, dialogue, fake_settings
from tests.traced_runs import made_run

TWO_MOMENTS = ["look, a red boat", "nice", "and here is a lighthouse"]


@pytest.fixture
async def run(tmp_path: Path) -> RunDir:
    """Two moments; the pictures' similarity depends on their pixels, and few are good enough at once."""
    settings = fake_settings(qa={"min_clip_similarity": 0.39})
    return await made_run(
        tmp_path / "run", [dialogue("boat", TWO_MOMENTS)], fakes=Fakes(clip=FakeEmbedder()), settings=settings
    )


async def branch_of(
    run: RunDir,
    start: str,
    *assignments: str,
    turn: int | None = 0,
    fakes: Fakes | None = None,
    description: str | None = None,
    seed: int | None = None,
) -> Branch:
    with contextlib.closing(Reading(run)) as reading:
        planned = plan(reading, "boat", start, Change(assignments, description, seed), turn=turn)
        return await replay(planned, (fakes or Fakes(clip=FakeEmbedder())).models())


def read(run: RunDir) -> Trace:
    with contextlib.closing(Reading(run)) as reading:
        return reading.trace("boat")


def fingerprints(run: RunDir) -> dict[str, str]:
    """Of every file that was there before any branch."""
    files = [file for file in run.path.rglob("*") if file.is_file() and "branches" not in file.parts]
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def nodes(steps: Sequence[object]) -> list[str]:
    return [step.name for step in steps]  # type: ignore[attr-defined]


async def test_a_replay_without_changes_comes_out_the_same_from_every_node_and_pays_for_nothing(run: RunDir) -> None:
    original, before = read(run), fingerprints(run)
    assert {step.node for step in original.steps} == {"scanner", "generator", "qa", "feedback"}
    for step in original.steps:
        fakes = Fakes(clip=FakeEmbedder())
        branch = await branch_of(run, step.name, turn=step.turn, fakes=fakes)
        again = read(branch.run)
        assert fakes.calls == 0, step.name
        assert again.attempts == original.attempts
        assert nodes(again.steps) == nodes(original.steps)
        assert [step.exchanges for step in again.steps if step.turn is None] or step.node == "scanner"
        assert (again.state, again.reason) == (original.state, original.reason)
        assert Pair(original, again).what() == []
        for attempt in again.attempts:
            assert attempt["image"] is not None
            data = (branch.run.path / attempt["image"]["path"]).read_bytes()
            assert hashlib.sha256(data).hexdigest() == attempt["image"]["sha256"]
    assert fingerprints(run) == before


async def test_from_qa_with_another_limit_the_other_edge_is_taken(run: RunDir) -> None:
    original, before = read(run), fingerprints(run)
    assert next(step for step in original.steps if (step.turn, step.name) == (0, "qa#2")).edge == "regenerate"
    branch = await branch_of(run, "qa#2", "qa.min_clip_similarity=0.1")
    steps = [step for step in read(branch.run).steps if step.turn == 0]
    assert nodes(steps) == ["generator#1", "qa#1", "generator#2", "qa#2"]
    assert [step.edge for step in steps if step.edge] == ["regenerate", "accept"]
    assert branch.changes == ["qa.min_clip_similarity 0.39 -> 0.1"]
    # The other moment is as it was.
    assert read(branch.run).branches()[2] == original.branches()[2]
    assert fingerprints(run) == before
    (beside,) = [one for one in Pair(original, read(branch.run)).changed() if one.left and one.right]
    # QA goes on to the aesthetic check, which the refusal had spared.
    assert (beside.number, beside.changed()) == (2, ["clip_similarity", "aesthetic", "verdict"])


async def test_what_has_changed_since_the_run_is_told_before_anything_is_paid(run: RunDir) -> None:
    run.manifest["prompts"]["again"] = "another"
    with contextlib.closing(Reading(run)) as reading:
        planned = plan(reading, "boat", "qa", Change(["qa.min_clip_similarity=0.2"]), turn=0)
        assert planned.told() == [
            "prompt again, which changed since the run",
            "qa.min_clip_similarity 0.39 -> 0.2",
        ]


async def test_a_description_of_ones_own_is_drawn(run: RunDir) -> None:
    fakes = Fakes(clip=FakeEmbedder(0.5))
    branch = await branch_of(run, "generator#1", description="a blue boat", fakes=fakes)
    (attempt,) = [one for one in read(branch.run).attempts if one["turn"] == 0]
    assert (attempt["description"], attempt["verdict"]) == ("a blue boat", "accept")
    assert [prompt for prompt, _ in fakes.painter.drawn] == ["a blue boat"]
    assert branch.paid.drawn == 1


async def test_a_seed_of_ones_own_is_used_for_the_next_picture_only(run: RunDir) -> None:
    fakes = Fakes(clip=FakeEmbedder(0.1))
    branch = await branch_of(run, "generator#2", seed=7, fakes=fakes)
    seeds = [one["seed"] for one in read(branch.run).attempts if one["turn"] == 0]
    was = [one["seed"] for one in read(run).attempts if one["turn"] == 0]
    assert seeds[:2] == [was[0], 7]
    assert 7 not in seeds[2:]


async def test_another_setting_of_the_generator_draws_anew(run: RunDir) -> None:
    fakes = Fakes(clip=FakeEmbedder(0.5))
    branch = await branch_of(run, "generator#1", "generator.guidance_scale=9", fakes=fakes)
    assert len(fakes.painter.drawn) == branch.paid.drawn == 1
    assert open_run(branch.run.path).settings().generator.guidance_scale == 9


async def test_a_branch_is_a_run_of_its_own_and_knows_its_original(run: RunDir) -> None:
    first, second = await branch_of(run, "qa#1"), await branch_of(run, "qa#1")
    assert (first.run.path.name, second.run.path.name) == ("1", "2")
    assert original_of(open_run(second.run.path)).path.samefile(run.path)
    assert branches_of(run) == [first.run.path, second.run.path]
    assert read(open_run(first.run.path)).key == "boat"


@pytest.mark.parametrize(
    ("start", "turn", "change", "told"),
    [
        ("qa", None, Change(), "choose one: `--turn 0`, `--turn 2`"),
        ("qa#99", 0, Change(), "did not come to `qa#99`; it came to generator#1"),
        ("qa#1", 0, Change(description="a boat"), "replay `--from generator#…`"),
        ("qa#1", 0, Change(["qa.min_aestetic=5"]), "did you mean `qa.min_aesthetic`"),
    ],
)
async def test_what_cannot_be_replayed_is_said_before_anything_is_made(
    run: RunDir, start: str, turn: int | None, change: Change, told: str
) -> None:
    with contextlib.closing(Reading(run)) as reading, pytest.raises(UsageError) as refused:
        plan(reading, "boat", start, change, turn=turn)
    assert told in str(refused.value)
    assert not (run.path / "branches").exists()


def test_replay_and_diff_are_commands(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal(monkeypatch, capsys)
    source = written("boats.json", [{"id": f"d{n}", "turns": ["hello", f"look, boat number {n}"]} for n in range(6)])
    strict = ("--set", "qa.min_clip_similarity=0.3")
    run = Path(terminal.dialogue(source, *strict, "--json").json()["run"])
    redrawn = terminal.type("trace", run, "--attempts", ">1", "--json").json()["matching"][0]["key"]
    said = terminal.type("trace", "replay", run, redrawn, "--from", "qa#1", "--limit", "min_clip_similarity=0.05")
    assert (said.code, "paid: 0 questions, 0 pictures" in said.out) == (0, True)
    assert "≠ verdict" in said.out
    assert f"branch {run}/branches/1: {redrawn} from qa#1" in said.out
    told = terminal.type("trace", "diff", run / "branches" / "1", "--json").json()
    assert told["attempts"][0]["right"]["verdict"] == "accept"
    other = Path(terminal.dialogue(source, "--json", "--out", "lenient").json()["run"])
    runs = terminal.type("trace", "diff", run, other, "--json").json()
    assert runs["changes"] == ["qa.min_clip_similarity 0.3 -> -1.0"]
    assert runs["same"] + len(runs["changed"]) == 6
    assert redrawn in [item["key"] for item in runs["changed"]]
    assert f"{len(runs['changed'])} changed" in terminal.type("trace", "diff", run, other).out
    assert "≠ verdict" in terminal.type("trace", "diff", run, other, redrawn).out


async def test_runs_without_a_common_item_cannot_be_compared(tmp_path: Path) -> None:
    one = await made_run(tmp_path / "one", [dialogue("a")])
    other = await made_run(tmp_path / "other", [dialogue("b")])
    with contextlib.closing(Reading(one)) as left, contextlib.closing(Reading(other)) as right:  # noqa: SIM117
        with pytest.raises(UsageError, match="no item in common"):
            compare(left, right)


def test_a_chain_is_replayed_from_every_node_with_the_same_pairs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = Terminal(monkeypatch, capsys)
    chosen = ["models.captioner=fake:", "cycle.qa=gate", "qa.min_clip_similarity=0.2", "cycle.batches=1"]
    words = stand_ins(*chosen, "cycle.descriptions=1", "cycle.iterations=3")
    made = terminal.type("pairs", *words, "--out", "chains", "--quiet", "--json")
    assert made.code == 0
    with contextlib.closing(Reading(open_run(Path("chains")))) as reading:
        (original,) = reading.traces()
        assert [step.node for step in original.steps].count("captioner") == len(original.pairs) > 0
        for step in original.steps:
            place = ("--from", step.name, "--turn", str(step.turn))
            told = terminal.type("trace", "replay", "chains", original.key, *place, "--json").json()
            assert [told["paid"][kind] for kind in ("questions", "pictures", "captions")] == [0, 0, 0]
            with contextlib.closing(Reading(open_run(Path(told["branch"])))) as branch:
                again = branch.trace(original.key)
            assert (list(again.pairs), again.attempts) == (list(original.pairs), original.attempts)
            assert [one.name for one in again.steps] == [one.name for one in original.steps]


def test_on_pocket_models_a_replay_without_changes_gives_the_identical_picture_and_pays_for_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = Terminal(monkeypatch, capsys)
    talk = written("talk.json", [{"id": "cat", "turns": ["Any news?", "Look, a photo of our cat on the beach!"]}])
    run = Path(terminal.type("dialogue", talk, "--json", "--quiet").json()["run"])
    steps = terminal.type("trace", run, "cat", "--json").json()["steps"]
    drawn = [step["wrote"]["drawing"]["image"]["sha256"] for step in steps if step["node"] == "generator"]
    told = terminal.type("trace", "replay", run, "cat", "--from", "generator#1", "--json").json()
    assert told["paid"] | {"from_cache": 0} == {"questions": 0, "pictures": 0, "captions": 0, "from_cache": 0}
    assert told["changed"] == []
    again = terminal.type("trace", told["branch"], "cat", "--json").json()["steps"]
    files = [step["wrote"]["drawing"]["image"] for step in again if step["node"] == "generator"]
    data = [(Path(told["branch"]) / file["path"]).read_bytes() for file in files]
    assert [hashlib.sha256(one).hexdigest() for one in data] == drawn != []
