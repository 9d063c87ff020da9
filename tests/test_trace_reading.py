from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest

from magid_graph.errors import UsageError
from magid_graph.journal import Journal
from magid_graph.models.fake import FakeEmbedder
from magid_graph.records import BadRow
from magid_graph.run_dir import RunDir
from magid_graph.spans import told_once
from magid_graph.trace.reading import Reading, Trace
from tests.graph_runs import Fakes, NotedChat, answer, dialogue, fake_settings, run_dialogue
from tests.traced_runs import made_run

TWO_MOMENTS = ["look, a red boat", "nice", "and here is a lighthouse"]
BAD_ROW = BadRow(key="bad", cause="bad_input", message="no turns", source={"file": "made", "index": 9})


def read(run: RunDir, key: str = "boat") -> Trace:
    with contextlib.closing(Reading(run)) as reading:
        return reading.trace(key)


async def test_a_trace_tells_every_node_run_in_order_and_the_edge_that_each_led_to(tmp_path: Path) -> None:
    fakes = Fakes(clip=FakeEmbedder([0.1, 0.1, 0.1, 0.3]))
    trace = read(await made_run(tmp_path / "run", fakes=fakes))
    assert [step.name for step in trace.steps] == [
        *("scanner", "generator#1", "qa#1", "generator#2", "qa#2", "generator#3", "qa#3"),
        *("feedback#3", "generator#4", "qa#4"),
    ]
    assert [(step.name, step.edge, step.why) for step in trace.steps if step.edge] == [
        ("scanner", "each moment", "1 moment"),
        ("qa#1", "regenerate", "off_topic: clip_similarity 0.100 < 0.210; redraw 1 of 2"),
        ("qa#2", "regenerate", "off_topic: clip_similarity 0.100 < 0.210; redraw 2 of 2"),
        ("qa#3", "feedback", "off_topic: clip_similarity 0.100 < 0.210; feedback 1 of 1"),
        ("qa#4", "accept", "every check passed"),
    ]


async def test_what_a_node_read_is_the_state_that_it_saw(tmp_path: Path) -> None:
    fakes = Fakes(clip=FakeEmbedder([0.1, 0.1, 0.1, 0.3]))
    trace = read(await made_run(tmp_path / "run", fakes=fakes))
    steps = {step.name: step for step in trace.steps}
    first, last = trace.attempts[0], trace.attempts[3]
    assert steps["scanner"].wrote["moments"][0]["description"] == first["description"]
    assert steps["generator#1"].read["description"] == first["description"]
    assert steps["qa#2"].read["drawing"]["image"] == trace.attempts[1]["image"]
    assert steps["feedback#3"].read["description"] == first["description"]
    assert steps["feedback#3"].read["attempts"] == trace.attempts[:3]
    assert steps["feedback#3"].wrote == {"description": last["description"]}
    assert steps["generator#4"].read["description"] == last["description"] != first["description"]
    assert steps["generator#4"].wrote["drawing"]["seed"] == last["seed"]
    assert [turn["text"] for turn in steps["qa#1"].read["context"]][-1] == "look, here is the red boat on the lake"


async def test_each_exchange_belongs_to_the_node_run_that_had_it(tmp_path: Path) -> None:
    replies = [
        *("no tags", answer("Utterance: 1: a red boat")),
        *("Utterance: what?", answer("Utterance: 1: a boat"), answer("Utterance: 1: a ship")),
    ]
    fakes = Fakes(chat=NotedChat(replies), clip=FakeEmbedder(0.1))
    settings = fake_settings(retry={"regenerate": 0, "feedback": 2})
    trace = read(await made_run(tmp_path / "run", fakes=fakes, settings=settings))
    said = {step.name: [exchange["reply"] for exchange in step.exchanges] for step in trace.steps if step.exchanges}
    assert said == {"scanner": replies[:2], "feedback#1": replies[2:4], "feedback#2": replies[4:]}


async def test_moments_that_are_worked_on_side_by_side_are_told_apart(tmp_path: Path) -> None:
    fakes = Fakes(clip=FakeEmbedder([0.1, 0.1, 0.3, 0.3]))
    trace = read(await made_run(tmp_path / "run", [dialogue("boat", TWO_MOMENTS)], fakes=fakes))
    branches = trace.branches()
    assert list(branches) == [None, 0, 2]
    assert [step.name for step in branches[2]] == ["generator#1", "qa#1", "generator#2", "qa#2"]
    assert {turn: len(attempts) for turn, attempts in trace.moments().items()} == {0: 2, 2: 2}


async def test_a_fault_is_on_the_step_that_met_it(tmp_path: Path) -> None:
    fakes = Fakes(chat=NotedChat([answer("Utterance: 1: a red boat"), "x" * 5000]), clip=FakeEmbedder(0.1))
    trace = read(await made_run(tmp_path / "run", fakes=fakes))
    assert (trace.state, trace.reason) == ("failed", "unreadable_reply")
    assert trace.steps[-1].name == "feedback#3"
    assert (trace.steps[-1].error or "").startswith("UnreadableReply: ")
    assert [exchange["reply"] for exchange in trace.steps[-1].exchanges] == ["x" * 5000] * 2


async def test_items_are_streamed_in_the_inputs_order_with_their_own_records(tmp_path: Path) -> None:
    rows = [*(dialogue(f"d{n}", ["hello", f"look, boat number {n}"]) for n in range(30)), BAD_ROW]
    settings = fake_settings(retry={"regenerate": 0, "feedback": 0})
    run = await made_run(tmp_path / "run", rows, fakes=Fakes(clip=FakeEmbedder()), settings=settings)
    with contextlib.closing(Reading(run)) as reading:
        streamed = list(reading.traces())
        assert [trace.key for trace in streamed] == [row["key"] for row in rows]
        assert streamed == [reading.trace(trace.key) for trace in streamed]
        rejected = list(reading.traces(["rejected"]))
        assert rejected == [trace for trace in streamed if trace.state == "rejected"] != []
    assert streamed[-1].dialogue is None
    assert streamed[-1].reasons() == ["bad_input"]


async def test_an_unknown_item_names_the_nearest_one(tmp_path: Path) -> None:
    run = await made_run(tmp_path / "run")
    with pytest.raises(UsageError, match="did you mean `boat`"):
        read(run, "boot")


async def test_a_span_stays_under_two_kilobytes_and_says_nothing_that_an_attempt_says(tmp_path: Path) -> None:
    long = " ".join(f"word{n}" for n in range(60))
    scan = f"<reason>{'because ' * 400}</reason>\n<result>\nUtterance: 1: {long}\n</result>"
    fakes = Fakes(chat=NotedChat([scan, answer(f"Utterance: 1: new {long}")]), clip=FakeEmbedder(0.1))
    run = await made_run(tmp_path / "run", fakes=fakes)
    with contextlib.closing(Journal(run.path / "run.db")) as journal:
        spans = [json.dumps(span) for span in journal.spans(0)]
    assert len(spans) == 1 + 2 * 6 + 1
    assert max(map(len, spans)) <= 2048
    assert not [span for span in spans if long in span or "sha256" in span]
    assert [moment["description"] for moment in read(run).steps[0].wrote["moments"]] == [long]


async def test_a_picture_that_was_never_judged_is_told_by_the_span_that_drew_it(tmp_path: Path) -> None:
    run = await run_dialogue(tmp_path)
    scanner, drawn, judged = run.spans
    assert told_once(run.spans, []) == run.spans
    assert told_once(run.spans, run.attempts) == [
        scanner | {"wrote": {"moments": [{"turn": 1, "reason": run.state["moments"][0]["reason"]}]}},
        drawn | {"wrote": {}},
        judged | {"wrote": {}},
    ]
