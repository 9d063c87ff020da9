from __future__ import annotations

import asyncio
import json
import operator
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langgraph.graph import END, START, StateGraph
from PIL import Image
from typing_extensions import TypedDict

from magid_graph import graph
from magid_graph.config import Retry
from magid_graph.context import Context
from magid_graph.errors import BlankPicture, UnreadableReply
from magid_graph.models import Message
from magid_graph.models.fake import (
    FakeAestheticHead,
    FakeCaptioner,
    FakeEmbedder,
    FakeSafety,
    FakeTextToImage,
    obedient,
)
from magid_graph.routing import Router, compiled
from tests.graph_runs import BOAT, Fakes, NotedChat, NotedPainter, answer, desk, fake_settings, run_dialogue, turns

if TYPE_CHECKING:
    from magid_graph.models import Vectors

ALWAYS_OFF = 0.1


async def test_a_good_picture_is_accepted_at_once(tmp_path: Path) -> None:
    run = await run_dialogue(tmp_path)
    assert run.each("verdict") == ["accept"]
    (attempt,) = run.attempts
    assert attempt["turn"] == 1
    assert attempt["reason"] is None
    assert attempt["scores"] == {
        "clip_similarity": 0.3,
        "clip_utterance": 0.3,
        "clip_description": 0.3,
        "aesthetic": 6.0,
        "nsfw": 0.01,
    }
    assert attempt["image"] is not None
    assert (tmp_path / attempt["image"]["path"]).is_file()
    assert [span["node"] for span in run.spans] == ["scanner", "generator", "qa"]


async def test_a_refused_picture_is_redrawn_then_described_anew(tmp_path: Path) -> None:
    run = await run_dialogue(tmp_path, fakes=Fakes(clip=FakeEmbedder([0.10, 0.12, 0.15, 0.30])))
    assert run.each("reason") == ["off_topic", "off_topic", "off_topic", None]
    assert run.each("verdict") == ["regenerate", "regenerate", "feedback", "accept"]
    first, *redrawn, last = run.each("description")
    assert redrawn == [first, first]
    assert last != first
    assert len(set(run.each("seed"))) == 4
    nodes = [span["node"] for span in run.spans]
    assert nodes == ["scanner", *["generator", "qa"] * 3, "feedback", "generator", "qa"]


async def test_a_moment_that_always_fails_is_discarded_after_six_attempts_that_all_stay_on_record(
    tmp_path: Path,
) -> None:
    run = await run_dialogue(tmp_path, fakes=Fakes(clip=FakeEmbedder(ALWAYS_OFF)))
    redraw = ["regenerate", "regenerate"]
    assert run.each("verdict") == [*redraw, "feedback", *redraw, "discard"]
    assert run.each("n") == list(range(6))
    assert all((tmp_path / image["path"]).is_file() for image in run.each("image"))


async def test_a_dialogue_with_nothing_to_see_ends_after_the_scanner(tmp_path: Path) -> None:
    fakes = Fakes()
    run = await run_dialogue(tmp_path, ["hi", "how are you?", "fine, thanks"], fakes=fakes)
    assert run.state["moments"] == run.state["attempts"] == []
    assert fakes.painter.batches == []


async def test_two_moments_are_illustrated_side_by_side(tmp_path: Path) -> None:
    fakes = Fakes(clip=FakeEmbedder([ALWAYS_OFF, ALWAYS_OFF, 0.3, 0.3]))
    run = await run_dialogue(tmp_path, ["look, a red boat", "nice", "and here is a lighthouse"], fakes=fakes)
    assert [(attempt["turn"], attempt["n"]) for attempt in run.attempts] == [(0, 0), (0, 1), (2, 0), (2, 1)]
    assert len(fakes.painter.batches[0]) == 2


async def test_a_moment_that_fails_leaves_the_other_one_as_it_is(tmp_path: Path) -> None:
    def similarity(image: Image.Image) -> float:
        return 0.3 if image.getpixel((0, 0)) == (0, 0, 255) else ALWAYS_OFF

    def drawn(call: tuple[str, int]) -> Image.Image:
        picture = FakeTextToImage()._squares(call)
        picture.paste((0, 0, 255) if "lighthouse" in call[0] else (255, 0, 0), (0, 0, 8, 8))
        return picture

    fakes = Fakes(clip=FakeEmbedder(similarity), painter=NotedPainter(pictures=drawn))
    run = await run_dialogue(tmp_path, ["look, a red boat", "nice", "and here is a lighthouse"], fakes=fakes)
    assert [attempt["verdict"] for attempt in run.attempts if attempt["turn"] == 2] == ["accept"]
    assert len([attempt for attempt in run.attempts if attempt["turn"] == 0]) == 6


@pytest.mark.parametrize(("limit", "kept"), [(0, 5), (3, 3)])
async def test_a_limit_of_zero_is_no_limit(tmp_path: Path, limit: int, kept: int) -> None:
    texts = [f"look, boat number {n}" for n in range(5)]
    run = await run_dialogue(tmp_path, texts, settings=fake_settings(scanner={"max_images_per_dialogue": limit}))
    assert [moment["turn"] for moment in run.state["moments"]] == list(range(kept))


async def test_more_moments_than_allowed_are_asked_for_again(tmp_path: Path) -> None:
    three = answer(*(f"Utterance: {n}: a red boat on lake {n}" for n in range(3)))
    fakes = Fakes(chat=NotedChat([three, answer("Utterance: 1: a red boat on a lake")]))
    run = await run_dialogue(tmp_path, fakes=fakes)
    assert [moment["turn"] for moment in run.state["moments"]] == [1]
    assert "choose at most 2" in fakes.chat.asked[1][-1]["content"]


# -- feedback


async def test_feedback_is_told_the_reason_with_score_and_limit_and_what_the_picture_showed(tmp_path: Path) -> None:
    fakes = Fakes(clip=FakeEmbedder([0.1, 0.1, 0.1, 0.3]), captioner=FakeCaptioner("a grey cat"))
    run = await run_dialogue(tmp_path, fakes=fakes)
    question = fakes.chat.asked[1][-1]["content"]
    assert "off_topic, clip_similarity 0.100 < 0.210 (the picture showed: a grey cat)" in question
    assert question.count("off_topic") == 3
    assert BOAT[1] in question
    assert run.attempts[-1]["verdict"] == "accept"


@pytest.mark.parametrize(
    ("fakes", "told"),
    [
        (Fakes(aesthetic=FakeAestheticHead(3.0)), "ugly, aesthetic 3.000 < 5.100"),
        (Fakes(safety=FakeSafety(0.9)), "unsafe, nsfw 0.900 > 0.500"),
    ],
)
async def test_feedback_is_told_of_each_check(tmp_path: Path, fakes: Fakes, told: str) -> None:
    await run_dialogue(tmp_path, fakes=fakes)
    assert told in fakes.chat.asked[1][-1]["content"]


async def test_a_repeated_description_is_refused_once(tmp_path: Path) -> None:
    old, new = "a red boat on a lake", "a red rowing boat, seen from the shore"
    chat = NotedChat([answer(f"Utterance: 1: {text}") for text in (old, old, new)])
    run = await run_dialogue(tmp_path, fakes=Fakes(chat=chat, clip=FakeEmbedder([0.1, 0.1, 0.1, 0.3])))
    assert run.each("description") == [old, old, old, new]
    assert "repeats an earlier description" in chat.asked[2][-1]["content"]


async def test_a_description_repeated_again_is_drawn_with_new_seeds(tmp_path: Path) -> None:
    chat = NotedChat([answer("Utterance: 1: a red boat on a lake")])
    run = await run_dialogue(tmp_path, fakes=Fakes(chat=chat, clip=FakeEmbedder(ALWAYS_OFF)))
    assert len(chat.asked) == 3
    assert len(set(run.each("seed"))) == 6


async def test_feedback_that_cannot_be_read_fails_the_item(tmp_path: Path) -> None:
    chat = NotedChat([answer("Utterance: 1: a red boat on a lake"), "no tags"])
    with pytest.raises(UnreadableReply, match="feedback's reply cannot be read"):
        await run_dialogue(tmp_path, fakes=Fakes(chat=chat, clip=FakeEmbedder(ALWAYS_OFF)))


# -- the scanner's reply


async def test_a_reply_that_cannot_be_read_is_asked_again_once_with_the_fault(tmp_path: Path) -> None:
    chat = NotedChat(["Sure! Utterance 1 would be great.", answer("Utterance: 1: a red boat on a lake")])
    run = await run_dialogue(tmp_path, fakes=Fakes(chat=chat))
    assert run.each("verdict") == ["accept"]
    *question, said, again = chat.asked[1]
    assert question == chat.asked[0]
    assert said == {"role": "assistant", "content": "Sure! Utterance 1 would be great."}
    assert "no <result> tag" in again["content"]


async def test_a_second_reply_that_cannot_be_read_is_a_fault_of_the_item(tmp_path: Path) -> None:
    fakes = Fakes(chat=NotedChat(["no tags", "none again"]))
    with pytest.raises(UnreadableReply, match="scanner's reply cannot be read, also when asked again"):
        await run_dialogue(tmp_path, fakes=fakes)
    assert fakes.painter.batches == []


async def test_a_long_dialogue_is_scanned_in_windows_that_overlap(tmp_path: Path) -> None:
    texts = [f"this is a quite ordinary line of talk, the one with the number {n}" for n in range(60)]
    texts[31] = "look, here is the red boat on the lake"
    fakes = Fakes()
    settings = fake_settings(
        llm={"context_tokens": 2048, "max_tokens": 256}, scanner={"strategy": "zero-shot", "window_overlap": 3}
    )
    run = await run_dialogue(tmp_path, texts, fakes=fakes, settings=settings)
    windows = [shown_turns(messages, texts) for messages in fakes.chat.asked]
    assert len(windows) > 1
    assert sorted({turn for window in windows for turn in window}) == list(range(60))
    assert all(one[-3:] == other[:3] for one, other in pairwise(windows))
    assert [moment["turn"] for moment in run.state["moments"]] == [31]


def shown_turns(messages: Sequence[Message], texts: Sequence[str]) -> list[int]:
    """The turns that a prompt shows whole."""
    asked = messages[-1]["content"] + "\n"
    return [turn for turn, text in enumerate(texts) if f"Utterance: {turn}: {text}\n" in asked]


# -- drawing


def long_reply(shorter: str) -> Any:
    """Describes with too many words, and shortens to `shorter`."""

    def reply(messages: Sequence[Message]) -> str:
        if "Shorten this" in messages[-1]["content"]:
            return f"<result>\n{shorter}\n</result>"
        return answer("Utterance: 1: a red boat" + " with one more red sail" * 30)

    return reply


@pytest.mark.parametrize(
    ("shorter", "too_long", "fitted", "drawn"),
    [
        ("a red boat with red sails", "shorten", "shortened", "a red boat with red sails"),
        ("still far too long " * 30, "shorten", "cut", "a red boat with one more red sail with one"),
        ("a red boat with red sails", "cut", "cut", "a red boat with one more red sail with one"),
    ],
)
async def test_a_description_that_is_too_long_is_shortened_or_cut_and_recorded(
    tmp_path: Path, shorter: str, too_long: str, fitted: str, drawn: str
) -> None:
    fakes = Fakes(chat=NotedChat(long_reply(shorter)))
    run = await run_dialogue(tmp_path, fakes=fakes, settings=fake_settings(generator={"too_long": too_long}))
    (attempt,) = run.attempts
    assert attempt["fitted"] == fitted
    assert attempt["prompt"].startswith(drawn)
    assert fakes.painter.count_tokens(attempt["prompt"]) <= fakes.painter.max_tokens
    assert attempt["description"].count("sail") == 30
    assert fakes.painter.drawn[0][0] == attempt["prompt"]


async def test_a_shortened_description_is_drawn_again_as_it_was_shortened(tmp_path: Path) -> None:
    fakes = Fakes(chat=NotedChat(long_reply("a red boat with red sails")), clip=FakeEmbedder(0.1))
    run = await run_dialogue(tmp_path, fakes=fakes, settings=fake_settings(retry={"feedback": 0}))
    assert len(run.attempts) == 3
    assert len(set(run.each("prompt"))) == 1
    assert len(fakes.chat.asked) == 2


async def test_what_is_drawn_is_held_against_the_unsafe_terms_too(tmp_path: Path) -> None:
    fakes = Fakes(chat=NotedChat(long_reply("a red boat on fire")))
    run = await run_dialogue(tmp_path, fakes=fakes, settings=fake_settings(qa={"blocked_terms": ["fire"]}))
    assert run.attempts[0]["reason"] == "unsafe"
    assert fakes.painter.drawn == []


async def test_the_style_follows_the_description(tmp_path: Path) -> None:
    chat = NotedChat([answer("Utterance: 1: A 3.5 metre boat.")])
    settings = fake_settings(generator={"style": "photographic style"})
    run = await run_dialogue(tmp_path, fakes=Fakes(chat=chat), settings=settings)
    assert run.attempts[0]["prompt"] == "A 3.5 metre boat, photographic style"


BLACK = Image.new("RGB", (64, 64))
SQUARES = FakeTextToImage()._squares(("a red boat", 1))


async def test_a_blank_picture_is_drawn_again_without_counting_as_an_attempt(tmp_path: Path) -> None:
    fakes = Fakes(painter=NotedPainter(pictures=[BLACK, BLACK, SQUARES]))
    run = await run_dialogue(tmp_path, fakes=fakes)
    assert run.each("n") == [0]
    assert run.each("verdict") == ["accept"]
    seeds = [seed for _, seed in fakes.painter.drawn]
    assert len(set(seeds)) == 3
    assert run.attempts[0]["seed"] == seeds[-1]


async def test_a_model_that_draws_nothing_but_blanks_fails_the_item(tmp_path: Path) -> None:
    fakes = Fakes(painter=NotedPainter(pictures=BLACK))
    with pytest.raises(BlankPicture, match="drew a blank picture"):
        await run_dialogue(tmp_path, fakes=fakes, settings=fake_settings(generator={"max_faults": 1}))
    assert len(fakes.painter.drawn) == 2


# -- judging


@pytest.mark.parametrize(("blocked", "word"), [(["crimson"], "crimson"), ([], "nude")])
async def test_an_unsafe_description_is_never_drawn(tmp_path: Path, blocked: list[str], word: str) -> None:
    first = f"a {word} figure on a boat"
    chat = NotedChat([answer(f"Utterance: 1: {text}") for text in (first, "a red boat on a lake")])
    fakes = Fakes(chat=chat)
    run = await run_dialogue(tmp_path, fakes=fakes, settings=fake_settings(qa={"blocked_terms": blocked}))
    assert run.each("verdict") == ["feedback", "accept"]
    refused = run.attempts[0]
    assert (refused["image"], refused["reason"]) == (None, "unsafe")
    assert refused["note"] == f"the description holds `{word}`"
    assert [prompt for prompt, _ in fakes.painter.drawn] == ["a red boat on a lake"]
    assert f"the description holds `{word}`" in chat.asked[1][-1]["content"]


async def test_a_check_that_raises_refuses_the_picture(tmp_path: Path) -> None:
    fakes = Fakes(safety=FakeSafety([RuntimeError("the classifier broke"), 0.01]))
    run = await run_dialogue(tmp_path, fakes=fakes)
    assert run.each("reason") == ["unchecked", None]
    assert run.each("verdict") == ["regenerate", "accept"]
    assert run.attempts[0]["note"] == "safety: the classifier broke"
    assert run.attempts[0]["scores"]["nsfw"] is None


@pytest.mark.parametrize("without", [{"safety": None}, {"aesthetic": None}], ids=str)
async def test_a_check_whose_model_is_missing_refuses_every_picture(tmp_path: Path, without: Any) -> None:
    run = await run_dialogue(tmp_path, fakes=Fakes(**without))
    assert set(run.each("reason")) == {"unchecked"}
    assert run.each("verdict")[-1] == "discard"


async def test_cheap_checks_come_first_and_a_failure_spares_the_others(tmp_path: Path) -> None:
    fakes = Fakes(safety=FakeSafety(0.9))
    run = await run_dialogue(tmp_path, fakes=fakes)
    assert run.attempts[0]["scores"]["clip_similarity"] is None
    run = await run_dialogue(tmp_path / "all", fakes=fakes, settings=fake_settings(qa={"measure_all": True}))
    assert run.attempts[0]["reason"] == "unsafe"
    assert run.attempts[0]["scores"]["clip_similarity"] == 0.3


class TwoTexts(FakeEmbedder):
    """The picture lies at 0.3 to descriptions and at 0.15 to utterances."""

    def embed_images(self, images: Sequence[Image.Image]) -> Vectors:
        return np.tile(np.array([0.3, 0.15, 0.94], np.float32), (len(images), 1))

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        return np.array([[0, 1, 0] if text in BOAT else [1, 0, 0] for text in texts], np.float32)


@pytest.mark.parametrize(
    ("against", "judged", "reason"),
    [("description", 0.3, None), ("utterance", 0.15, "off_topic"), ("both", 0.15, "off_topic")],
)
async def test_the_picture_is_measured_against_both_texts_and_judged_by_the_chosen_one(
    tmp_path: Path, against: str, judged: float, reason: str | None
) -> None:
    settings = fake_settings(qa={"clip_against": against}, retry={"regenerate": 0, "feedback": 0})
    run = await run_dialogue(tmp_path, fakes=Fakes(clip=TwoTexts()), settings=settings)
    (attempt,) = run.attempts
    assert (attempt["scores"]["clip_utterance"], attempt["scores"]["clip_description"]) == (0.15, 0.3)
    assert (attempt["scores"]["clip_similarity"], attempt["reason"]) == (judged, reason)


class Counting(FakeEmbedder):
    embedded = 0

    def embed_images(self, images: Sequence[Image.Image]) -> Vectors:
        self.embedded += len(images)
        return super().embed_images(images)


async def test_one_embedding_serves_both_checks_that_read_it(tmp_path: Path) -> None:
    clip = Counting(0.3)
    run = await run_dialogue(tmp_path, fakes=Fakes(clip=clip))
    assert run.attempts[0]["scores"]["aesthetic"] == 6.0
    assert clip.embedded == 1


# -- the whole


@pytest.mark.parametrize(("regenerate", "feedback"), [(0, 0), (2, 0), (2, 1), (0, 3), (4, 4)])
async def test_the_recursion_limit_is_enough_for_the_longest_path(
    tmp_path: Path, regenerate: int, feedback: int
) -> None:
    retry = Retry(regenerate=regenerate, feedback=feedback)

    def always_new(messages: Sequence[Message]) -> str:
        return answer(f"Utterance: 1: a red boat on lake number {len(chat.asked)}")

    chat = NotedChat(always_new)
    fakes = Fakes(chat=chat, clip=FakeEmbedder(ALWAYS_OFF))
    settings = fake_settings(retry={"regenerate": regenerate, "feedback": feedback})
    run = await run_dialogue(tmp_path, fakes=fakes, settings=settings)
    assert len(run.attempts) == retry.max_attempts()
    assert len(run.spans) - 1 == 2 * retry.max_attempts() + feedback <= graph.recursion_limit(retry)


async def test_state_and_spans_are_plain_json(tmp_path: Path) -> None:
    run = await run_dialogue(tmp_path, fakes=Fakes(clip=FakeEmbedder([0.1, 0.1, 0.1, 0.3])))
    assert json.loads(json.dumps(run.state)) == run.state
    assert json.loads(json.dumps(run.spans)) == run.spans


async def test_spans_tell_what_each_node_wrote_and_which_edge_was_taken(tmp_path: Path) -> None:
    run = await run_dialogue(tmp_path, fakes=Fakes(clip=FakeEmbedder([0.1, 0.3])))
    scanner, drawn, judged, *_ = run.spans
    assert scanner["wrote"]["moments"] == run.state["moments"]
    assert (drawn["turn"], drawn["attempt"]) == (1, 0)
    assert [span["edge"] for span in run.spans if "edge" in span] == ["regenerate", "accept"]
    assert judged["duration_s"] >= 0


async def test_seeds_do_not_depend_on_the_order_of_work(tmp_path: Path) -> None:
    """Two dialogues one after the other, the other way round, and at once."""

    async def seeds(name: str, keys: Sequence[str], *, at_once: bool = False) -> dict[str, list[int]]:
        settings, fakes = fake_settings(), Fakes(clip=FakeEmbedder())
        async with desk(make_dir(tmp_path / name), fakes, settings) as (opened, _):
            built = graph.dialogue()

            async def one(key: str) -> tuple[str, list[int]]:
                state = await built.ainvoke({"key": key, "turns": turns(BOAT)}, context=Context(opened, settings))
                return key, [attempt["seed"] for attempt in state["attempts"]]

            runs = await asyncio.gather(*map(one, keys)) if at_once else [await one(key) for key in keys]
        return dict(runs)

    keys = [f"dialogue {n}" for n in range(12)]
    one_by_one = await seeds("one", keys)
    assert await seeds("backwards", keys[::-1]) == one_by_one
    assert await seeds("at-once", keys, at_once=True) == one_by_one
    assert len({seed for found in one_by_one.values() for seed in found}) == sum(map(len, one_by_one.values()))


def make_dir(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def test_the_graphs_have_the_nodes_of_the_paper() -> None:
    ends = {"__start__", "__end__"}
    assert set(graph.dialogue().get_graph().nodes) - ends == {"scanner", "generator", "qa", "feedback"}
    assert set(graph.illustrate().get_graph().nodes) - ends == {"generator", "qa", "feedback"}


async def test_one_moment_can_be_illustrated_on_its_own(tmp_path: Path) -> None:
    settings, fakes = fake_settings(), Fakes(clip=FakeEmbedder([0.1, 0.3]))
    moment = {"key": "a", "turn": 1, "context": turns(BOAT[:2]), "description": "a red boat", "attempts": []}
    async with desk(tmp_path, fakes, settings) as (opened, _):
        state = await graph.illustrate().ainvoke(moment, context=Context(opened, settings))
    assert [attempt["verdict"] for attempt in state["attempts"]] == ["regenerate", "accept"]
    assert moment["attempts"] == []


class Listener(BaseCallbackHandler):
    """Notes the nodes whose beginning it is told of."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def on_chain_start(self, *args: object, name: str = "", **kwargs: object) -> None:
        self.heard.append(name)


async def test_a_callback_handler_hears_of_each_node(tmp_path: Path) -> None:
    settings, listener = fake_settings(), Listener()
    given = {"key": "a", "turns": turns(BOAT)}
    async with desk(tmp_path, Fakes(), settings) as (opened, _):
        told = await graph.dialogue().ainvoke(given, {"callbacks": [listener]}, context=Context(opened, settings))
        untold = await graph.dialogue().ainvoke(given, context=Context(opened, settings))
    assert [name for name in listener.heard if name in ("scanner", "generator", "qa")] == ["scanner", "generator", "qa"]
    assert told == untold


async def test_a_router_sees_what_langgraph_would_show_it() -> None:
    class Given(TypedDict):
        turn: int

    class Gathered(TypedDict):
        kept: Annotated[list[int], operator.add]

    class State(Given, Gathered):
        said: str

    async def speak(state: Given) -> dict[str, object]:
        return {"said": "yes", "turn": state["turn"] + 1}

    async def gather(state: Gathered) -> dict[str, object]:
        return {"kept": [len(state["kept"])]}

    def route(state: State) -> str:
        seen.append({**state})
        return "on"

    seen: list[dict[str, object]] = []
    drawn: StateGraph[Any, Context, Any, Any] = StateGraph(State, context_schema=Context)
    drawn.add_node("speak", speak, input_schema=Given)
    drawn.add_node("gather", gather, input_schema=Gathered)
    drawn.add_edge(START, "speak")
    drawn.add_conditional_edges("speak", Router(route), {"on": "gather"})
    drawn.add_conditional_edges("gather", Router(route), {"on": END})
    made, given = compiled(drawn, "made"), {"turn": 0, "kept": [7, 7]}
    await made.ainvoke(given)
    # Where somebody listens, the step is LangGraph's own.
    await made.ainvoke(given, {"callbacks": [Listener()]})
    assert seen[:2] == seen[2:] == [{"turn": 1, "said": "yes"}, {"kept": [7, 7, 2]}]


async def test_each_moment_goes_its_own_way(tmp_path: Path) -> None:
    """Four moments that end after one, two, three and six attempts, side by side."""

    def similarity(image: Image.Image) -> float:
        return 0.3 if image.getpixel((0, 0)) == (255, 255, 255) else ALWAYS_OFF

    def drawn(call: tuple[str, int]) -> Image.Image:
        picture = FakeTextToImage()._squares(call)
        name = next(name for name in WAYS if name in call[0])
        seen[name] += 1
        picture.paste((255, 255, 255) if seen[name] == WAYS[name] else (0, 0, 0), (0, 0, 8, 8))
        return picture

    seen: Counter[str] = Counter()
    fakes = Fakes(clip=FakeEmbedder(similarity), painter=NotedPainter(pictures=drawn))
    settings = fake_settings(scanner={"max_images_per_dialogue": 0})
    run = await run_dialogue(tmp_path, [f"look, a {name}" for name in WAYS], fakes=fakes, settings=settings)
    drawn_for = Counter(attempt["turn"] for attempt in run.attempts)
    assert [drawn_for[turn] for turn in range(len(WAYS))] == list(WAYS.values())
    assert [span["turn"] for span in run.spans if span["node"] == "feedback"] == [3]


WAYS = {"boat": 1, "lighthouse": 2, "bridge": 3, "castle": 6}
"""What is seen, and the attempt that is good; feedback names it again."""


def test_the_obedient_model_speaks_the_protocol() -> None:
    assert "none" in obedient([{"role": "user", "content": "Utterance: 0: hello"}])


async def test_without_spans_the_pictures_and_their_scores_stay_on_record(tmp_path: Path) -> None:
    run = await run_dialogue(tmp_path, settings=fake_settings(run={"spans": False}))
    assert run.spans == []
    assert run.each("verdict") == ["accept"]
