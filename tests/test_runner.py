from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tracers.langchain import wait_for_all_tracers
from PIL import Image

from magid_graph.config import Settings
from magid_graph.errors import ServerFailed, ServerUnreachable, StorageFailed
from magid_graph.journal import Journal, Outcome
from magid_graph.kinds import conclude
from magid_graph.models import Message
from magid_graph.models.fake import FakeEmbedder, FakeSafety, FakeTextToImage, obedient
from magid_graph.readers.text import normalise
from magid_graph.records import BadRow, Dialogue
from magid_graph.runner import Runner
from tests.graph_runs import Fakes, NotedChat, NotedPainter, answer, desk, dialogue, fake_settings
from tests.scripted_server import ScriptedServer, says

NOTHING_TO_SEE = ["hi", "hi, how are you?"]
BAD_ROW = BadRow(key="bad", cause="bad_input", message="no turns", source={"file": "made", "index": 9})


@asynccontextmanager
async def ready(
    run_dir: Path, rows: Iterable[Dialogue | BadRow], fakes: Fakes, settings: Settings | None = None
) -> AsyncIterator[tuple[Runner, Journal]]:
    """A runner over these rows; over what the run directory holds already, where it does."""
    settings = settings or fake_settings()
    async with desk(run_dir, fakes, settings) as (opened, journal):
        if not journal.is_ingested():
            journal.ingest(rows)
        yield Runner(journal, opened, settings), journal


def boats(count: int) -> list[Dialogue]:
    return [dialogue(f"d{n}", ["hello", f"look, here is the red boat number {n}"]) for n in range(count)]


def spoiling(key_text: str, error: Exception, *, otherwise: Any = obedient) -> Any:
    """Raises when asked about the dialogue with this text."""

    def reply(messages: Sequence[Message]) -> str:
        if key_text in messages[-1]["content"]:
            raise error
        return str(otherwise(messages))

    return reply


# -- what becomes of items


async def test_every_row_of_the_input_ends_in_exactly_one_state(tmp_path: Path) -> None:
    rows: list[Dialogue | BadRow] = [*boats(20), dialogue("dull", NOTHING_TO_SEE), BAD_ROW]
    chat = NotedChat(spoiling("number 7\n", ServerFailed("it said 500")))
    async with ready(tmp_path, rows, Fakes(chat=chat, clip=FakeEmbedder())) as (runner, journal):
        await runner.run()
        counts = journal.counts()
        assert sum(counts.values()) == len(rows)
        assert (counts["pending"], counts["failed"]) == (0, 2)
        assert counts["accepted"] > 0
        assert journal.reasons("failed") == {"bad_input": 1, "server_error": 1}
        assert journal.reasons("rejected")["no_moment"] == 1
        assert sum(runner.progress.ended.values()) == len(rows) - 1
        assert sum(runner.progress.verdicts.values()) == sum(journal.verdicts().values())
        assert runner.progress.in_flight == 0


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ServerFailed("it said 500"), "server_error"),
        (ZeroDivisionError("a bug"), "unexpected"),
        (ValueError("half an emoji: \ud83d"), "unexpected"),
    ],
)
async def test_one_bad_dialogue_never_stops_the_others(tmp_path: Path, error: Exception, cause: str) -> None:
    chat = NotedChat(spoiling("number 3\n", error))
    async with ready(tmp_path, boats(12), Fakes(chat=chat)) as (runner, journal):
        await runner.run()
        (failed,) = journal.items(["failed"])
        assert (failed.key, failed.reason) == ("d3", cause)
        assert normalise(str(error)) in (failed.message or "")
        assert journal.counts()["accepted"] == 11


async def test_what_happened_before_a_fault_is_on_record(tmp_path: Path) -> None:
    chat = NotedChat([answer("Utterance: 1: a red boat"), "no tags", "still no tags"])
    async with ready(tmp_path, boats(1), Fakes(chat=chat, clip=FakeEmbedder(0.1))) as (runner, journal):
        await runner.run()
        assert journal.reasons("failed") == {"unreadable_reply": 1}
        assert [span["node"] for span in journal.spans(0)][-1] == "feedback"
        assert "UnreadableReply" in journal.spans(0)[-1]["error"]
        assert [attempt["verdict"] for attempt in journal.attempts(0)] == ["regenerate", "regenerate", "feedback"]
        assert [asked.node for asked, _ in journal.asked(0)] == ["scanner", "feedback", "feedback"]


async def test_a_limit_works_on_the_first_items_only(tmp_path: Path) -> None:
    async with ready(tmp_path, boats(10), Fakes()) as (runner, journal):
        await runner.run(limit=4)
        assert [item.key for item in journal.items(["accepted"])] == ["d0", "d1", "d2", "d3"]
        assert journal.counts()["pending"] == 6


@pytest.mark.parametrize(
    ("verdicts", "state", "reason"),
    [
        (["regenerate", "accept"], "accepted", None),
        (["regenerate", "discard"], "rejected", "ugly"),
        ([], "rejected", "no_moment"),
    ],
)
def test_an_item_with_a_kept_picture_is_accepted(verdicts: list[str], state: str, reason: str | None) -> None:
    attempts = [{"turn": 0, "n": n, "verdict": verdict, "reason": "ugly"} for n, verdict in enumerate(verdicts)]
    outcome = conclude("a", attempts)
    assert (outcome.state, outcome.reason) == (state, reason)


# -- stopping


async def test_a_fault_that_all_would_meet_stops_the_run_and_leaves_items_pending(tmp_path: Path) -> None:
    chat = NotedChat(spoiling("number 8\n", ServerUnreachable("`http://localhost:1` does not answer")))
    settings = fake_settings(run={"in_flight": 2})
    async with ready(tmp_path, boats(40), Fakes(chat=chat), settings) as (runner, journal):
        with pytest.raises(ServerUnreachable, match="does not answer"):
            await runner.run()
        counts = journal.counts()
        assert counts["failed"] == 0
        assert counts["pending"] >= 40 - 9
    async with ready(tmp_path, [], Fakes(), settings) as (runner, journal):
        await runner.run()
        assert journal.counts()["accepted"] == 40


async def test_a_check_that_meets_such_a_fault_stops_the_run_too(tmp_path: Path) -> None:
    fakes = Fakes(safety=FakeSafety(StorageFailed("the disk is full")))
    async with ready(tmp_path, boats(4), fakes) as (runner, journal):
        with pytest.raises(StorageFailed, match="disk is full"):
            await runner.run()
        assert journal.counts()["pending"] == 4


async def test_stop_finishes_what_is_in_hand_and_begins_nothing_new(tmp_path: Path) -> None:
    fakes = Fakes(chat=NotedChat(latency_s=0.05))
    async with ready(tmp_path, boats(30), fakes, fake_settings(run={"in_flight": 3})) as (runner, journal):
        running = asyncio.create_task(runner.run())
        await until(lambda: len(fakes.chat.asked) >= 3)
        runner.stop()
        await running
        assert journal.counts()["accepted"] == len(fakes.chat.asked) <= 6
        assert journal.counts()["pending"] == 30 - journal.counts()["accepted"]


async def test_abandon_stops_at_once_and_leaves_what_was_in_hand_pending(tmp_path: Path) -> None:
    fakes = Fakes(chat=NotedChat(latency_s=60))
    async with ready(tmp_path, boats(30), fakes, fake_settings(run={"in_flight": 3})) as (runner, journal):
        running = asyncio.create_task(runner.run())
        await until(lambda: len(fakes.chat.asked) == 3)
        runner.abandon()
        await asyncio.wait_for(running, 5)
        assert journal.counts()["pending"] == 30


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)


# -- going on


async def test_a_second_run_over_a_finished_journal_calls_no_model(tmp_path: Path) -> None:
    async with ready(tmp_path, boats(6), Fakes()) as (runner, _):
        await runner.run()
    again = Fakes()
    async with ready(tmp_path, boats(6), again) as (runner, journal):
        await runner.run()
        assert journal.counts()["accepted"] == 6
    assert again.calls == 0


async def test_retry_takes_up_failed_items_and_pays_only_for_what_was_not_finished(tmp_path: Path) -> None:
    broken = Fakes(painter=NotedPainter(pictures=spoiled_pictures("number 2")))
    async with ready(tmp_path, boats(5), broken) as (runner, journal):
        await runner.run()
        assert journal.reasons("failed") == {"unexpected": 1}
    mended = Fakes()
    async with ready(tmp_path, [], mended) as (runner, journal):
        assert journal.reopen_failed() == 1
        await runner.run()
        assert journal.counts()["accepted"] == 5
        assert journal.reasons("failed") == {}
        (exchange,) = journal.asked(2)
        assert exchange[0].cached
    assert (len(mended.chat.asked), len(mended.painter.drawn)) == (0, 1)


def spoiled_pictures(text: str) -> Any:
    whole = FakeTextToImage()

    def draw(call: tuple[str, int]) -> Image.Image:
        if text in call[0]:
            raise ValueError("the pipeline broke")
        return whole.generate([call[0]], [call[1]])[0]

    return draw


async def test_a_picture_that_was_damaged_meanwhile_is_drawn_again(tmp_path: Path) -> None:
    async with ready(tmp_path, boats(1), Fakes()) as (runner, journal):
        await runner.run()
        image = journal.attempts(0)[0]["image"]
        journal._db.execute("UPDATE items SET state = 'pending'")
    assert image is not None
    whole = (tmp_path / image["path"]).read_bytes()
    (tmp_path / image["path"]).write_bytes(whole[:-10])
    again = Fakes()
    async with ready(tmp_path, [], again) as (runner, journal):
        await runner.run()
    assert len(again.painter.drawn) == 1
    assert (tmp_path / image["path"]).read_bytes() == whole


# -- many at once


class InFlight(NotedChat):
    """Counts the questions that are being answered."""

    now = most = 0

    async def reply(self, messages: Sequence[Message], **options: Any) -> Any:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            return await super().reply(messages, **options)
        finally:
            self.now -= 1


async def test_no_more_dialogues_are_in_flight_than_allowed(tmp_path: Path) -> None:
    chat = InFlight(latency_s=0.01)
    async with ready(tmp_path, boats(40), Fakes(chat=chat), fake_settings(run={"in_flight": 5})) as (runner, _):
        await runner.run()
    assert chat.most == 5


async def outcome_of(run_dir: Path, settings: Settings) -> list[Any]:
    """Everything that must not depend on how the work was shared out."""
    async with ready(run_dir, boats(25), Fakes(clip=FakeEmbedder()), settings) as (runner, journal):
        await runner.run()
        return [(item.key, item.state, item.reason, journal.attempts(item.position)) for item in journal.items()]


async def test_results_do_not_depend_on_batch_size_or_dialogues_in_flight(tmp_path: Path) -> None:
    runs = [
        await outcome_of(tmp_path / f"{batch}-{flying}", sharing(batch, flying))
        for batch, flying in [(1, 1), (4, 3), (16, 64)]
    ]
    assert runs[0] == runs[1] == runs[2]
    attempts = [attempt for *_, attempts in runs[0] for attempt in attempts]
    assert {attempt["verdict"] for attempt in attempts} >= {"accept", "regenerate", "feedback"}


def sharing(batch: int, flying: int) -> Settings:
    return fake_settings(generator={"batch_size": batch}, qa={"batch_size": batch}, run={"in_flight": flying})


async def test_a_journal_holds_what_the_graph_returned(tmp_path: Path) -> None:
    async with ready(tmp_path, boats(3), Fakes(clip=FakeEmbedder())) as (runner, journal):
        await runner.run()
        for item in journal.items():
            attempts = journal.attempts(item.position)
            assert [attempt["n"] for attempt in attempts] == list(range(len(attempts)))
            assert json.loads(json.dumps(attempts)) == attempts
            assert {span["node"] for span in journal.spans(item.position)} >= {"scanner", "generator", "qa"}
            for attempt in attempts:
                assert attempt["image"] is not None
                assert (tmp_path / attempt["image"]["path"]).is_file()


async def test_an_outcome_written_twice_is_there_once(tmp_path: Path) -> None:
    async with ready(tmp_path, boats(1), Fakes()) as (runner, journal):
        await runner.run()
        before = journal.attempts(0), journal.spans(0)
        (item,) = journal.items()
        await journal.finish(Outcome(item.key, item.state, attempts=before[0], spans=before[1]))
        assert (journal.attempts(0), journal.spans(0)) == before
        assert journal.asked(0) == []


async def test_retry_asks_new_questions_where_the_old_replies_were_unreadable(tmp_path: Path) -> None:
    async with ready(tmp_path, boats(1), Fakes(chat=NotedChat(["no tags", "still no tags"]))) as (runner, journal):
        await runner.run()
        assert journal.reasons("failed") == {"unreadable_reply": 1}
    mended = Fakes()
    async with ready(tmp_path, [], mended) as (runner, journal):
        journal.reopen_failed()
        await runner.run(only_retried=True)
        assert journal.counts()["accepted"] == 1
        assert [asked.cached for asked, _ in journal.asked(0)] == [True, True, False]
    assert len(mended.chat.asked) == 1


async def test_a_retry_leaves_alone_what_has_not_been_tried(tmp_path: Path) -> None:
    chat = NotedChat(spoiling("number 0\n", ServerFailed("it said 500")))
    async with ready(tmp_path, boats(4), Fakes(chat=chat)) as (runner, journal):
        await runner.run(limit=1)
    async with ready(tmp_path, [], Fakes()) as (runner, journal):
        journal.reopen_failed()
        await runner.run(only_retried=True)
        assert (journal.counts()["accepted"], journal.counts()["pending"]) == (1, 3)


async def test_a_check_that_cannot_run_is_a_fault_and_not_a_rejection(tmp_path: Path) -> None:
    async with ready(tmp_path, boats(1), Fakes(safety=FakeSafety([RuntimeError("no model")]))) as (runner, journal):
        await runner.run()
        assert journal.reasons("failed") == {"unchecked": 1}
        assert {attempt["reason"] for attempt in journal.attempts(0)} == {"unchecked"}
        assert "feedback" not in [span["node"] for span in journal.spans(0)]


async def test_lone_surrogates_in_a_reply_are_replaced(tmp_path: Path) -> None:
    chat = NotedChat([answer("Utterance: 1: a red boat \ud83d")])
    async with ready(tmp_path, boats(1), Fakes(chat=chat)) as (runner, journal):
        await asyncio.wait_for(runner.run(), 60)
        assert journal.attempts(0)[0]["description"] == "a red boat \ufffd"


async def test_no_dialogue_is_traced_to_a_vendor_whatever_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ScriptedServer(says("traced")) as vendor:
        monkeypatch.setenv("LANGSMITH_TRACING", "true")
        monkeypatch.setenv("LANGCHAIN_TRACING_V2", "true")
        monkeypatch.setenv("LANGSMITH_API_KEY", "key")
        monkeypatch.setenv("LANGSMITH_ENDPOINT", vendor.url)
        async with ready(tmp_path, boats(1), Fakes()) as (runner, _):
            await runner.run()
        await asyncio.to_thread(wait_for_all_tracers)
        assert vendor.connections == 0
