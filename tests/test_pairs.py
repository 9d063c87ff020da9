"""Chains of image-text pairs, by the real graphs and the real runner over models that ship for tests."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from magid_graph.artifacts import Artifacts
from magid_graph.beginnings import Beginnings
from magid_graph.config import Settings
from magid_graph.errors import NoProgress, ServerFailed, ServerUnreachable
from magid_graph.journal import Journal
from magid_graph.kinds import PAIRS
from magid_graph.models import Message, Reply
from magid_graph.models.fake import FakeCaptioner, FakeEmbedder, FakeSafety, obedient
from magid_graph.records import Chain, Pair
from magid_graph.runner import Runner
from tests.graph_runs import Fakes, NotedChat, NotedPainter, answer, desk, fake_settings

NUMBER = re.compile(r"\d+")


def drawn(call: tuple[str, int]) -> Image.Image:
    """A picture that shows the number in its prompt."""
    shown = int(NUMBER.findall(call[0])[-1])
    picture = Image.new("RGB", (64, 64), (shown % 256, shown // 256, call[1] % 256))
    picture.paste((200, 200, 200), (0, 32, 64, 64))
    return picture


def read(picture: Image.Image) -> int:
    low, high, _ = picture.getpixel((0, 0))  # type: ignore[misc]
    return int(low + 256 * high)


def counting() -> FakeCaptioner:
    """Answers `k + 1` for a picture that was drawn from `k`."""
    return FakeCaptioner(lambda picture: f"the number {read(picture) + 1}")


def fakes(**changes: Any) -> Fakes:
    return Fakes(**{"painter": NotedPainter(pictures=drawn), "captioner": counting(), **changes})


def settings(**sections: dict[str, Any]) -> Settings:
    cycle = {"iterations": 3, "batches": 2, "descriptions": 4, **sections.pop("cycle", {})}
    describer = {"prompts": ("brief",), "max_similarity": 1.0, **sections.pop("describer", {})}
    return fake_settings(cycle=cycle, describer=describer, **sections)


@asynccontextmanager
async def ready(
    run_dir: Path, lent: Fakes, chosen: Settings, chains: Sequence[Chain] = ()
) -> AsyncIterator[tuple[Runner, Journal]]:
    async with desk(run_dir, lent, chosen) as (opened, journal):
        if chains and not journal.is_ingested():
            journal.ingest(chains)
        yield Runner(journal, opened, chosen, PAIRS), journal


async def made(run_dir: Path, lent: Fakes, chosen: Settings, chains: Sequence[Chain] = ()) -> list[Pair]:
    async with ready(run_dir, lent, chosen, chains) as (runner, journal):
        await runner.run()
        return list(journal.pairs())


def given(count: int) -> list[Chain]:
    return [
        Chain(key=f"b000-c{n:02d}", batch=0, chain=n, topic=None, description=f"the number {n * 100}")
        for n in range(count)
    ]


# -- the cycle


@pytest.mark.parametrize("iterations", [1, 5, 17])
async def test_each_picture_is_drawn_from_the_caption_before(tmp_path: Path, iterations: int) -> None:
    pairs = await made(tmp_path, fakes(), settings(cycle={"iterations": iterations}), given(2))
    for chain in range(2):
        own = [pair for pair in pairs if pair["chain"] == chain]
        assert [pair["caption"] for pair in own] == [f"the number {chain * 100 + n + 1}" for n in range(iterations)]
        assert [pair["description"] for pair in own] == [f"the number {chain * 100 + n}" for n in range(iterations)]
        assert [pair["parent"] for pair in own] == [None, *(pair["id"] for pair in own[:-1])]
        assert [pair["iteration"] for pair in own] == list(range(iterations))
    assert len({pair["seed"] for pair in pairs}) == len(pairs)


async def test_b_batches_of_m_descriptions_and_n_iterations_make_b_m_n_pairs(tmp_path: Path) -> None:
    lent = fakes()
    async with ready(tmp_path, lent, settings()) as (runner, journal):
        await runner.run()
        assert journal.counts() == {"pending": 0, "accepted": 8, "rejected": 0, "failed": 0}
        assert journal.reasons("accepted") == {"iterations": 8}
        keys = [item.key for item in journal.items()]
        assert keys == [f"b{batch:03d}-c{chain:02d}" for batch in range(2) for chain in range(4)]
        assert len(list(journal.pairs())) == 2 * 4 * 3
        first = [text for batch in journal.batches() for text in batch["descriptions"]]
        assert len(set(first)) == 8
    asked = [messages[-1]["content"] for messages in lent.chat.asked]
    assert all(text in asked[1] for text in first[:4]), "the second batch is told what the first one has"


async def test_a_chain_ends_where_its_caption_repeats_if_asked_to(tmp_path: Path) -> None:
    stuck = FakeCaptioner(lambda picture: "the number 7")
    chosen = settings(cycle={"iterations": 9, "stop_fixed_point": True})
    async with ready(tmp_path, fakes(captioner=stuck), chosen, given(1)) as (runner, journal):
        await runner.run()
        assert journal.reasons("accepted") == {"fixed_point": 1}
        assert [pair["is_fixed_point"] for pair in journal.pairs()] == [False, True]


@pytest.mark.parametrize(
    ("captions", "is_fixed_point"),
    [
        ({0: 2, 2: 1, 1: 2}, [False, False, True]),  # round and round: 0, 2, 1, 2
        ({0: 3, 3: 5, 5: 0}, [False, False, True]),  # back to its first description
        ({0: 0}, [True]),
    ],
)
async def test_a_caption_that_repeats_any_earlier_text_of_its_chain_is_a_fixed_point(
    tmp_path: Path, captions: dict[int, int], is_fixed_point: list[bool]
) -> None:
    going_round = FakeCaptioner(lambda picture: f"The number {captions[read(picture)]}.")
    chosen = settings(cycle={"iterations": 9, "stop_fixed_point": True})
    async with ready(tmp_path, fakes(captioner=going_round), chosen, given(1)) as (runner, journal):
        await runner.run()
        assert journal.reasons("accepted") == {"fixed_point": 1}
        assert [pair["is_fixed_point"] for pair in journal.pairs()] == is_fixed_point


async def test_a_caption_that_repeats_what_feedback_wrote_is_a_fixed_point(tmp_path: Path) -> None:
    lent = fakes(
        chat=NotedChat(lambda _: answer("Utterance: 0: the number 8")),
        captioner=FakeCaptioner(lambda picture: "the number 8"),
        safety=FakeSafety(lambda picture: float(read(picture) == 0)),
    )
    chosen = settings(cycle={"iterations": 9, "qa": "gate", "stop_fixed_point": True}, retry={"regenerate": 0})
    (pair,) = await made(tmp_path, lent, chosen, given(1))
    assert (pair["description"], pair["is_fixed_point"]) == ("the number 8", True)


class Turning(FakeEmbedder):
    """The text with number k lies k times a twentieth of a right angle from that with number 0."""

    def embed_texts(self, texts: Sequence[str]) -> Any:
        angles = [int((NUMBER.findall(text) or ["0"])[-1]) % 100 * np.pi / 40 for text in texts]
        vectors = np.zeros((len(texts), 8), np.float32)
        vectors[:, 0], vectors[:, 1] = np.cos(angles), np.sin(angles)
        return vectors


async def test_a_chain_ends_where_it_has_drifted_too_far(tmp_path: Path) -> None:
    chosen = settings(cycle={"iterations": 9, "stop_drift": 0.02})
    async with ready(tmp_path, fakes(clip=Turning(0.3)), chosen, given(1)) as (runner, journal):
        await runner.run()
        pairs = list(journal.pairs())
        assert journal.reasons("accepted") == {"drift": 1}
    drift = [pair["drift"]["text"] for pair in pairs]
    assert drift == [pytest.approx(1 - np.cos(n * np.pi / 40), abs=1e-5) for n in (1, 2, 3)]


async def test_a_long_caption_is_kept_whole_and_drawn_shortened(tmp_path: Path) -> None:
    words = " ".join(f"word{n}" for n in range(120))
    captioner = FakeCaptioner(lambda picture: f"the number {read(picture) + 1} {words}")
    painter = NotedPainter(pictures=lambda call: drawn((call[0].partition("word")[0], call[1])))
    first, second = await made(
        tmp_path, fakes(captioner=captioner, painter=painter), settings(cycle={"iterations": 2}), given(1)
    )
    assert first["caption"].split()[-1] == "word119"
    assert second["description"] == first["caption"]
    assert second["fitted"] == "shortened"
    assert second["prompt"] is not None
    assert len(second["prompt"].split()) < 77


# -- the describer


def replying(*replies: str) -> NotedChat:
    return NotedChat(list(replies))


@pytest.mark.parametrize(
    ("replies", "why"),
    [
        (["1. a boat 1\n2.\n3. \n4. a barn 2", "1. a bear 3\n2. a bird 4"], {}),
        (["1. a boat 1\n2. A boat 1!\n3. a boat 1\n4. a barn 2", "1. a bear 3\n2. a bird 4"], {"repeats"}),
        (["Sure! Here is some prose, about a boat 1 and a barn.", "1. a b 1\n2. a c 2\n3. a d 3\n4. an e 4"], {}),
        (["1. a boat 1", "1. a barn 2", "1. a bear 3", "1. a bird 4"], {}),
        (["\n".join(f"{n}. a boat {n}" for n in range(1, 12))], {"surplus"}),
        (["1. this\n2. a boat 1\n3. I'm sorry, I cannot\n4. a barn 2", "- a bear 3\n- a bird 4"], {"unusable"}),
    ],
    ids=["blanks", "duplicates", "prose", "too few", "too many", "unusable"],
)
async def test_a_batch_has_exactly_the_wanted_descriptions(tmp_path: Path, replies: list[str], why: set[str]) -> None:
    chosen = settings(cycle={"batches": 1, "iterations": 1})
    async with ready(tmp_path, fakes(chat=replying(*replies)), chosen) as (runner, journal):
        await runner.run()
        (batch,) = journal.batches()
        assert (len(batch["descriptions"]), batch["fault"]) == (4, None)
        assert len({text.lower().strip("!") for text in batch["descriptions"]}) == 4
        assert {line["why"] for line in batch["dropped"]} >= set(why)
        assert batch["questions"] == len(replies)
        assert len(list(journal.pairs())) == 4


async def test_near_duplicates_are_told_by_embedding_over_the_whole_run(tmp_path: Path) -> None:
    replies = ["1. a boat 10\n2. a barn 20", "1. a ship 11\n2. a shed 30", "1. a hut 40"]
    chosen = settings(cycle={"descriptions": 2, "iterations": 1}, describer={"max_similarity": 0.99})
    async with ready(tmp_path, fakes(chat=replying(*replies), clip=Turning(0.3)), chosen) as (runner, journal):
        await runner.run()
        first, second = journal.batches()
    assert first["descriptions"] == ["a boat 10", "a barn 20"]
    assert second["descriptions"] == ["a shed 30", "a hut 40"]
    assert [(line["text"], line["why"]) for line in second["dropped"]] == [("a ship 11", "near_duplicate")]


async def test_a_describer_that_has_no_more_to_say_leaves_failed_chains_which_retry_describes(tmp_path: Path) -> None:
    chosen = settings(cycle={"batches": 1, "iterations": 1})
    async with ready(tmp_path, fakes(chat=replying("1. a boat 1\n2. a barn 2")), chosen) as (runner, journal):
        await runner.run()
        assert journal.counts() == {"pending": 0, "accepted": 2, "rejected": 0, "failed": 2}
        assert journal.reasons("failed") == {"too_few_descriptions": 2}
        assert journal.reopen_failed() == 2
    async with ready(tmp_path, fakes(chat=replying("1. a bear 3", "1. a bird 4")), chosen) as (runner, journal):
        await runner.run(only_retried=True)
        assert journal.counts()["accepted"] == 4
        assert [pair["description"] for pair in journal.pairs()][2:] == ["a bear 3", "a bird 4"]


async def test_batches_go_through_the_topics_and_the_prompts(tmp_path: Path) -> None:
    chosen = settings(
        cycle={"batches": 4, "iterations": 1},
        describer={"topics": ("ships", "barns"), "prompts": ("scenes", "moments")},
    )
    async with ready(tmp_path, fakes(), chosen) as (runner, journal):
        await runner.run()
        batches = list(journal.batches())
    assert [batch["topic"] for batch in batches] == ["ships", "barns", "ships", "barns"]
    assert len({(batch["topic"], batch["prompt"]) for batch in batches}) == 4


# -- QA


def is_odd(picture: Image.Image) -> float:
    return 0.1 if read(picture) % 2 else 0.3


async def test_with_filter_refused_pictures_are_no_pairs_and_the_chain_goes_on(tmp_path: Path) -> None:
    chosen = settings(cycle={"iterations": 4, "qa": "filter"})
    async with ready(tmp_path, fakes(clip=FakeEmbedder(is_odd)), chosen, given(1)) as (runner, journal):
        await runner.run()
        assert [pair["iteration"] for pair in journal.pairs()] == [0, 2]
        every = list(journal.pairs(accepted_only=False))
        assert [pair["reason"] for pair in every] == [None, "off_topic", None, "off_topic"]


async def test_with_gate_pictures_are_redrawn_and_a_chain_ends_where_one_is_refused_for_good(tmp_path: Path) -> None:
    chosen = settings(cycle={"iterations": 4, "qa": "gate"}, retry={"regenerate": 1, "feedback": 0})
    async with ready(tmp_path, fakes(clip=FakeEmbedder(is_odd)), chosen, given(1)) as (runner, journal):
        await runner.run()
        assert journal.reasons("accepted") == {"refused": 1}
        assert [pair["iteration"] for pair in journal.pairs()] == [0]
        assert [a["verdict"] for a in journal.attempts(0)] == ["accept", "regenerate", "discard"]


async def test_with_qa_off_all_is_measured_and_only_the_unsafe_refused(tmp_path: Path) -> None:
    safety = FakeSafety(lambda picture: 0.9 if read(picture) == 1 else 0.01)
    chosen = settings(cycle={"iterations": 3, "qa": "off"})
    async with ready(tmp_path, fakes(clip=FakeEmbedder(0.1), safety=safety), chosen, given(1)) as (runner, journal):
        await runner.run()
        every = list(journal.pairs(accepted_only=False))
    assert [pair["reason"] for pair in every] == [None, "unsafe", None]
    assert all(pair["scores"]["clip_similarity"] is not None for pair in every)


# -- exact counts


@pytest.mark.parametrize(("count", "qa"), [(1, "off"), (7, "off"), (24, "off"), (11, "filter")])
async def test_there_are_exactly_as_many_accepted_pairs_as_were_asked_for(tmp_path: Path, count: int, qa: str) -> None:
    chosen = settings(cycle={"count": count, "qa": qa, "iterations": 3})
    async with ready(tmp_path, fakes(clip=FakeEmbedder(is_odd)), chosen) as (runner, journal):
        await runner.run()
        pairs = list(journal.pairs())
        assert len(pairs) == journal.pair_rows.verdicts()["accepted"] == count
        assert journal.counts()["pending"] == 0
        assert sum(journal.counts().values()) == journal.ingested_rows()
        # The last pair asked for is in the last chain: none was begun that was not needed.
        assert pairs[-1]["key"] == list(journal.items())[-1].key


async def test_a_count_that_nothing_reaches_stops_the_run(tmp_path: Path) -> None:
    chosen = settings(cycle={"count": 5, "qa": "filter"}, run={"in_flight": 4})
    async with ready(tmp_path, fakes(clip=FakeEmbedder(0.1)), chosen) as (runner, _):
        with pytest.raises(NoProgress, match="10 batches in a row"):
            await runner.run()


# -- faults


def failing_at(number: int, error: Exception) -> FakeCaptioner:
    def caption(picture: Image.Image) -> str:
        if read(picture) == number:
            raise error
        return f"the number {read(picture) + 1}"

    return FakeCaptioner(caption)


async def test_a_fault_in_one_chain_leaves_the_others_whole(tmp_path: Path) -> None:
    chosen = settings(cycle={"iterations": 5})
    lent = fakes(captioner=failing_at(302, ZeroDivisionError("a bug")))
    async with ready(tmp_path, lent, chosen, given(6)) as (runner, journal):
        await runner.run()
        assert journal.reasons("failed") == {"unexpected": 1}
        assert len(list(journal.pairs())) == 5 * 5
        assert journal.reopen_failed() == 1
    async with ready(tmp_path, fakes(), chosen) as (runner, journal):
        await runner.run(only_retried=True)
        assert len(list(journal.pairs())) == 6 * 5


async def test_a_question_that_fails_costs_one_batch(tmp_path: Path) -> None:
    def reply(messages: Sequence[Message]) -> str:
        if "about barns" in messages[-1]["content"]:
            raise ServerFailed("it said 500")
        return obedient(messages)

    chosen = settings(cycle={"batches": 3}, describer={"topics": ("ships", "barns", "bears")})
    async with ready(tmp_path, fakes(chat=NotedChat(reply)), chosen) as (runner, journal):
        await runner.run()
        assert journal.counts() == {"pending": 0, "accepted": 8, "rejected": 0, "failed": 4}


async def test_a_server_that_is_gone_stops_the_run_and_it_goes_on_where_it_was(tmp_path: Path) -> None:
    chat_then: list[Any] = ["1. a boat 1\n2. a barn 2\n3. a bear 3\n4. a bird 4", ServerUnreachable("gone")]
    async with ready(tmp_path / "a", fakes(chat=NotedChat(chat_then)), settings()) as (runner, journal):
        with pytest.raises(ServerUnreachable):
            await runner.run()
        assert journal.counts()["failed"] == 0
    async with ready(tmp_path / "a", fakes(), settings()) as (runner, journal):
        await runner.run()
        assert journal.counts() == {"pending": 0, "accepted": 8, "rejected": 0, "failed": 0}


# -- what chains begin with


# -- stopping


async def test_stop_finishes_the_chains_in_hand_and_describes_no_further_batch(tmp_path: Path) -> None:
    chosen, whole = settings(run={"in_flight": 1}), await made(tmp_path / "whole", fakes(), settings())
    lent = fakes(painter=NotedPainter(pictures=drawn, seconds_per_batch=0.05))
    async with ready(tmp_path / "run", lent, chosen) as (runner, journal):
        running = asyncio.create_task(runner.run())
        await until(lambda: journal.counts()["accepted"] > 0)
        runner.stop()
        await running
        assert journal.counts()["pending"] > 0
        assert len(list(journal.pairs())) == 3 * journal.counts()["accepted"]
    assert await made(tmp_path / "run", fakes(), chosen) == whole


async def test_a_count_that_is_reached_while_stopping_is_exact(tmp_path: Path) -> None:
    chosen = settings(cycle={"count": 4}, run={"in_flight": 1})
    lent = fakes(painter=NotedPainter(pictures=drawn, seconds_per_batch=0.05))
    async with ready(tmp_path, lent, chosen) as (runner, journal):
        running = asyncio.create_task(runner.run())
        await until(lambda: len(lent.painter.drawn) == 4)
        runner.stop()
        await running
        assert len(list(journal.pairs())) == 4
        assert len(list(journal.pairs(accepted_only=False))) == 6


async def test_a_count_is_made_exact_by_the_next_command_where_a_kill_came_before(tmp_path: Path) -> None:
    await made(tmp_path, fakes(), settings(), given(2))  # all six pairs, and nobody has counted
    async with ready(tmp_path, fakes(), settings(cycle={"count": 4})) as (runner, journal):
        assert PAIRS.has_work(journal, settings(cycle={"count": 4}), False)
        await runner.run()
        assert len(list(journal.pairs())) == 4
        assert not PAIRS.has_work(journal, settings(cycle={"count": 4}), False)


async def test_abandon_waits_for_no_first_description(tmp_path: Path) -> None:
    lent = fakes(chat=NotedChat(latency_s=60))
    async with ready(tmp_path, lent, settings()) as (runner, journal):
        running = asyncio.create_task(runner.run())
        await until(lambda: len(lent.chat.asked) == 1)
        runner.abandon()
        await asyncio.wait_for(running, 5)
        assert (list(journal.batches()), sum(journal.counts().values())) == ([], 0)


async def test_abandon_waits_for_no_description_that_is_asked_for_again(tmp_path: Path) -> None:
    async with ready(tmp_path, fakes(chat=replying("nothing")), settings()) as (runner, journal):
        await runner.run()
        failed = journal.counts()["failed"]
        assert failed == journal.reopen_failed() > 0
    lent = fakes(chat=NotedChat(latency_s=60))
    async with ready(tmp_path, lent, settings()) as (runner, journal):
        running = asyncio.create_task(runner.run(only_retried=True))
        await until(lambda: len(lent.chat.asked) == 1)
        runner.abandon()
        await asyncio.wait_for(running, 5)
        assert journal.counts()["pending"] == failed


async def test_the_live_view_counts_the_pairs_of_the_whole_run_when_it_goes_on(tmp_path: Path) -> None:
    await made(tmp_path, fakes(), settings())
    async with ready(tmp_path, fakes(), settings()) as (runner, _):
        await runner.run()
        assert runner.progress.more()[0] == ("pairs", "24/24", "accepted")


class SlowerThenOn(NotedChat):
    """Takes a minute for each question but the first."""

    async def reply(self, messages: Sequence[Message], **options: Any) -> Reply:
        if self.asked:
            await asyncio.sleep(60)
        return await super().reply(messages, **options)


async def test_a_fault_that_stops_the_run_waits_for_no_first_description(tmp_path: Path) -> None:
    lent = fakes(chat=SlowerThenOn(), captioner=failing_at(1, ServerUnreachable("gone")))
    async with ready(tmp_path, lent, settings()) as (runner, _):
        with pytest.raises(ServerUnreachable):
            await asyncio.wait_for(runner.run(), 5)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)


def beginning(tmp_path: Path, name: str, text: str) -> list[tuple[str | None, str | None]]:
    path = tmp_path / name
    path.write_text(text)
    return list(Beginnings(path, "descriptions")._descriptions())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("own.txt", "a red  boat\n\n  a barn \n"),
        ("own.json", json.dumps(["a red boat", {"description": "a barn", "topic": None}])),
        ("own.jsonl", '"a red boat"\n{"description": "a barn"}\n'),
    ],
)
def test_ones_own_descriptions_are_read_from_lines_and_json(tmp_path: Path, name: str, text: str) -> None:
    assert beginning(tmp_path, name, text) == [("a red boat", None), ("a barn", None)]


async def test_a_chain_may_begin_with_a_given_picture(tmp_path: Path) -> None:
    image = Artifacts(tmp_path).save(drawn(("the number 40", 0)))
    row = Chain(key="b000-c00", batch=0, chain=0, topic=None, description=None, image=image)
    first, second, _ = await made(tmp_path, fakes(), settings(), [row])
    assert (first["caption"], first["prompt"], first["image"]) == ("the number 41", None, image)
    assert (second["description"], second["caption"]) == ("the number 41", "the number 42")


def each(pairs: list[Pair], of: Callable[[Pair], Any]) -> list[Any]:
    return [of(pair) for pair in pairs]


async def test_pairs_can_be_scattered_the_same_way_in_every_run(tmp_path: Path) -> None:
    orders = []
    for name in ("a", "b"):
        async with ready(tmp_path / name, fakes(), settings()) as (runner, journal):
            await runner.run()
            orders.append(each(list(journal.pairs(is_shuffled=True)), lambda pair: pair["id"]))
            together = each(list(journal.pairs()), lambda pair: pair["id"])
    assert orders[0] == orders[1] != together
    assert sorted(orders[0]) == together
