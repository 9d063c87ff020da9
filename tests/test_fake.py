"""The models that stand in for real ones: they answer the real prompts, and each call alike."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest

from magid_graph import prompts
from magid_graph.errors import OutOfMemory, ServerFailed
from magid_graph.models import Message
from magid_graph.models.fake import (
    FakeAestheticHead,
    FakeCaptioner,
    FakeChat,
    FakeEmbedder,
    FakeSafety,
    FakeTextToImage,
)
from magid_graph.protocol import parse_feedback, parse_numbered, parse_scan, parse_shortened

UTTERANCES = [
    "Hey, how was the trip?",
    "Lovely! Look at this red fishing boat in the harbour",
    "Wow, what a colour!",
    "And here is my grandfather's old house by the sea.",
]
DIALOGUE = "\n".join(f"Utterance: {turn}: {text}" for turn, text in enumerate(UTTERANCES))


async def answer(chat: FakeChat, messages: Sequence[Message], max_tokens: int = 200) -> str:
    return (await chat.reply(messages, temperature=0, max_tokens=max_tokens)).text


@pytest.mark.parametrize("strategy", ["zero-shot", "few-shot", "cot", "brief"])
async def test_the_fake_scanner_chooses_turns_that_show_something(strategy: str) -> None:
    said = dict(enumerate(UTTERANCES))
    messages = prompts.render(f"scanner/{strategy}", max_images=2, dialogue=DIALOGUE)
    found = parse_scan(await answer(FakeChat(), messages), turns=range(4), max_images=2, utterances=said)
    assert [(one.turn, one.description) for one in found] == [
        (1, "a picture of Lovely red fishing boat in harbour"),
        (3, "a picture of grandfather's old house by sea"),
    ]


async def test_the_fake_scanner_finds_nothing_where_nothing_is_shown() -> None:
    messages = prompts.render("scanner/cot", max_images=2, dialogue="Utterance: 0: See you tomorrow then.")
    assert parse_scan(await answer(FakeChat(), messages), turns=[0], max_images=2) == []


@pytest.mark.parametrize("name", ["feedback/full", "feedback/brief"])
async def test_the_fake_feedback_differs_from_every_earlier_description(name: str) -> None:
    earlier = ["a picture of grandfather's old house by sea"]
    for _ in range(4):
        attempts = "\n".join(f'{n}. "{text}": off_topic' for n, text in enumerate(earlier, 1))
        messages = prompts.render(
            name, dialogue=DIALOGUE, index=3, utterance=DIALOGUE.splitlines()[3], attempts=attempts
        )
        earlier.append(parse_feedback(await answer(FakeChat(), messages), turn=3, earlier=earlier))
    assert len(set(earlier)) == 5


@pytest.mark.parametrize("name", ["shorten/full", "shorten/brief"])
async def test_the_fake_shortens_to_the_words_that_are_allowed(name: str) -> None:
    messages = prompts.render(name, description="a long wooden pier at dawn with many gulls", max_words=5)
    assert parse_shortened(await answer(FakeChat(), messages), 5) == "a long wooden pier at"


async def test_the_fake_describer_gives_as_many_as_are_asked_for() -> None:
    messages = prompts.render("describer/brief", count=4, topic="boats at sea", avoid="")
    assert len(parse_numbered(await answer(FakeChat(), messages), 4)) == 4


async def test_replies_may_be_a_constant_a_sequence_with_faults_or_a_function() -> None:
    question = [{"role": "user", "content": "hi you"}]
    assert await answer(FakeChat("yes"), question) == "yes"
    scripted = FakeChat(["one", ServerFailed("boom"), "three"])
    assert await answer(scripted, question) == "one"
    with pytest.raises(ServerFailed, match="boom"):
        await answer(scripted, question)
    assert [await answer(scripted, question) for _ in range(2)] == ["three", "three"]
    assert await answer(FakeChat(lambda messages: messages[0]["content"].upper()), question) == "HI YOU"


async def test_a_fake_reply_is_cut_and_counted_in_words() -> None:
    reply = await FakeChat("one two three").reply([{"role": "user", "content": "a b"}], temperature=0, max_tokens=2)
    assert (reply.text, reply.prompt_tokens, reply.completion_tokens, reply.truncated) == ("one two", 2, 2, True)


def test_fake_pictures_depend_on_prompt_and_seed_only_and_are_never_blank() -> None:
    draw = FakeTextToImage(width=48, height=32).generate
    together = draw(["a dog", "a dog", "a cat"], [1, 2, 1])
    alone = [draw([prompt], [seed])[0] for prompt, seed in [("a dog", 1), ("a dog", 2), ("a cat", 1)]]
    assert [picture.tobytes() for picture in together] == [picture.tobytes() for picture in alone]
    assert len({picture.tobytes() for picture in together}) == 3
    assert together[0].size == (48, 32)
    assert together[0].mode == "RGB"
    assert np.asarray(together[0]).std() > 10


def test_a_fake_device_can_be_too_small() -> None:
    device = FakeTextToImage(fits=2)
    assert len(device.generate(["a", "b"], [1, 2])) == 2
    with pytest.raises(OutOfMemory):
        device.generate(["a", "b", "c"], [1, 2, 3])


def test_a_fake_prompt_is_cut_to_the_words_that_fit() -> None:
    device = FakeTextToImage()
    long = " ".join(["word"] * 100)
    assert device.count_tokens(long) == 102
    assert device.count_tokens(device.cut(long)) == device.max_tokens


def test_fake_pictures_lie_at_the_scripted_cosine_to_every_text() -> None:
    pictures = FakeTextToImage().generate(["a", "b", "c", "d"], [1, 2, 3, 4])
    embedder = FakeEmbedder([0.10, 0.12, 0.30])
    vectors = embedder.embed_images(pictures)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    assert np.allclose(vectors @ embedder.embed_texts(["any text"])[0], [0.10, 0.12, 0.30, 0.30])


def test_unscripted_cosines_depend_on_the_picture_alone_and_spread_over_the_usual_limit() -> None:
    pictures = FakeTextToImage().generate(["a dog"] * 200, range(200))
    embedder = FakeEmbedder()
    cosines = embedder.embed_images(pictures)[:, 0]
    assert np.array_equal(cosines[::-1], embedder.embed_images(pictures[::-1])[:, 0])
    assert 0.5 < (cosines >= 0.21).mean() < 0.75


def test_scores_and_captions_follow_their_scripts() -> None:
    pictures = FakeTextToImage().generate(["a", "b"], [1, 2])
    vectors = FakeEmbedder().embed_images(pictures)
    assert FakeAestheticHead([4.0, 5.5]).score(vectors) == [4.0, 5.5]
    assert FakeSafety(0.9).nsfw(pictures) == [0.9, 0.9]
    assert FakeCaptioner(lambda image: f"{image.width} pixels").caption(pictures, [1, 2]) == ["64 pixels"] * 2
    assert len(set(FakeCaptioner().caption(pictures, [1, 2]))) == 2
    with pytest.raises(RuntimeError, match="no classifier"):
        FakeSafety(RuntimeError("no classifier")).nsfw(pictures)


def test_fakes_import_nothing_heavy() -> None:
    code = "import sys, magid_graph.models.fake; print(sorted({'torch', 'numpy', 'PIL', 'openai'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
