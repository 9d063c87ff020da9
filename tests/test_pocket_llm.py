"""The dialogues that the pocket language model learns from, the grammars of its replies, and what it makes of them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice

import pytest

from benchmarks import pocket_llm
from magid_graph.models.grammars import describer_grammar, feedback_grammar, scanner_grammar, shorten_grammar
from magid_graph.models.wording import LONGEST_QUOTE, LOOK_BACK, PLAIN, quotes, speaks_of_somebody, words_said
from magid_graph.protocol import parse_feedback, parse_numbered, parse_scan, parse_shortened
from training.pocket import tasks
from training.pocket.dialogues import dialogues, strewn
from training.pocket.phrases import frames

needs_weights = pytest.mark.skipif(not pocket_llm.GGUF.exists(), reason="the pocket language model is not here")


def test_the_same_seed_tells_the_same_dialogues() -> None:
    first, second = (list(islice(dialogues(3, "train"), 20)) for _ in range(2))
    assert first == second
    assert first != list(islice(dialogues(4, "train"), 20))


@pytest.mark.parametrize("name", ["shares", "talk", "reactions"])
def test_no_frame_is_both_learned_and_measured(name: str) -> None:
    learned, measured = frames(name, "train"), frames(name, "held_out")
    assert measured
    for section, found in measured.items():
        assert not set(found) & set(learned.get(section, ())), section


def test_a_quarter_of_the_dialogues_shows_nothing_and_the_rest_at_most_three() -> None:
    shown = [len(one.moments()) for one in islice(dialogues(1, "train"), 400)]
    assert 0.2 < shown.count(0) / len(shown) < 0.45
    assert max(shown) <= 3


def test_every_reply_to_learn_is_one_that_the_protocol_accepts() -> None:
    rng = random.Random(5)
    for _ in range(200):
        one = next(dialogues(rng.randrange(10**6), "train"))
        sample = tasks.scanner_sample(one, 2, 0)
        texts = {i: turn.text for i, turn in enumerate(one.turns)}
        found = parse_scan(sample.reply, turns=range(len(one.turns)), max_images=2)
        assert [f.turn for f in found] == one.moments()[:2], (texts, sample.reply)


def test_marks_point_at_the_ends_of_the_utterances() -> None:
    one = next(dialogues(11, "train"))
    sample = tasks.scanner_sample(one, 2, 0)
    for (end, is_shown), turn in zip(sample.marks, one.turns, strict=True):
        assert sample.brief[:end].endswith(turn.text)
        assert is_shown == bool(turn.caption)


def test_clues_are_the_words_that_the_caption_has() -> None:
    sample = tasks.scanner_sample(tasks.Dialogue([tasks.Turn("Hi Ann."), puppy()], []), 2, 0)
    words = {sample.brief[: end + 1].split()[-1].strip(".,"): is_used for end, is_used in sample.clues}
    assert words == {"Hi": False, "Ann": False, "My": False, "old": False, "puppy": True, "in": False, "mud": True}


def test_a_reason_quotes_the_turn_and_the_one_that_it_looks_back_to() -> None:
    here = tasks.Turn("Here she is, in the mud!", "a puppy in the mud", ("puppy", "dog"), "a puppy")
    talk = tasks.Dialogue([tasks.Turn("Show me your puppy!"), tasks.Turn("Wait."), here, puppy()], [])
    assert tasks.scanner_reason(talk, [2, 3], 5) == (
        'Utterance 7, "Here she is, in the mud!", after "Show me your puppy!", shows a puppy in the mud. '
        'Utterance 8, "My old puppy in mud", shows a puppy in the mud.'
    )
    assert tasks.scanner_reason(talk, [], 0) == "Nothing is shown."


def test_a_long_utterance_is_quoted_in_part() -> None:
    sentences = [f"This is {word} {'very ' * 20}long." for word in ("one", "two")]
    assert quotes("  Hi <b>there</b>\n\x07you ") == ["Hi b there /b you"]
    assert quotes(" ".join(sentences)) == sentences
    assert "".join(quotes("x" * 1000)) != "", "a word without an end is cut"
    assert all(len(part) <= LONGEST_QUOTE for part in quotes("very " * 200 + "x" * 1000))
    turn = tasks.Turn(" ".join(sentences), "a two", ("two",), "a two")
    assert tasks.claim(tasks.Dialogue([turn], []), 0, 0) == f'Utterance 0, "{sentences[1]}",'


def puppy() -> tasks.Turn:
    return tasks.Turn("My old puppy in mud", "a puppy in the mud", ("puppy", "dog"), "a puppy")


def test_strewn_words_leave_what_the_captions_need() -> None:
    rng, turn = random.Random(3), puppy()
    for _ in range(40):
        turn = strewn([turn], rng)[0]
    assert turn.text.split()[2:] == ["puppy", "in", "mud"]
    assert turn.text.split()[:2] != ["My", "old"]


def test_the_words_of_captions_are_those_said_and_plain_ones() -> None:
    found = strange = 0
    for one in islice(dialogues(2, "train"), 400):
        for at in one.moments():
            near = [turn.text for turn in one.turns[max(0, at - LOOK_BACK) : at + 1]]
            found += 1
            strange += not set(words_said([one.turns[at].caption.lower()])) <= {*words_said(near), *PLAIN}
    # Slips of the finger take a few words away, and a few captions have one that only talk is made of otherwise.
    assert strange / found < 0.04


def test_a_person_is_made_up_only_where_somebody_is_spoken_of() -> None:
    assert speaks_of_somebody("My sister took this one.")
    assert speaks_of_somebody("There HE’S again")
    assert not speaks_of_somebody("I found a shell in the sand, the theme of this week")
    puppy, sister = (scanner_grammar([0], 1, said=[said]) for said in ("our new puppy", "my sister with a puppy"))
    assert "text-0 ::= ( thing-opening " in puppy
    assert "text-0 ::= ( opening " in sister
    openings = [line for line in puppy.split("\n") if "opening ::=" in line]
    assert len(openings[0]) > len(openings[1])


def test_a_word_that_names_nothing_does_not_count_as_one_that_was_said() -> None:
    assert words_said(["A cat on a mat"]) == ["cat", "mat"]


@pytest.fixture(scope="module")
def ask() -> Iterator[pocket_llm.Asker]:
    with pocket_llm.served(pocket_llm.GGUF, threads=1) as asker:
        yield asker


PUPPY = [
    "Utterance: 0: Hi! How was your weekend?",
    "Utterance: 1: Great. Look at my puppy on the beach!",
    "Utterance: 2: So cute!",
]


@needs_weights
def test_the_pocket_scanner_finds_the_puppy(ask: pocket_llm.Asker) -> None:
    said = [line.split(": ", 2)[2] for line in PUPPY]
    reply = ask("scanner/brief", scanner_grammar(range(3), 2, said=said), max_images=2, dialogue="\n".join(PUPPY))
    found = parse_scan(reply, turns=range(3), max_images=2)
    assert [one.turn for one in found] == [1]
    assert "puppy" in found[0].description
    assert f'"{said[1]}"' in found[0].reason


@needs_weights
def test_a_grammar_keeps_every_reply_in_its_form(ask: pocket_llm.Asker) -> None:
    attempts = '1. "a puppy on a beach": off_topic, clip_similarity 0.120 < 0.210'
    reply = ask(
        "feedback/brief",
        feedback_grammar(1),
        dialogue=PUPPY[1],
        index=1,
        utterance="Great. Look at my puppy on the beach!",
        attempts=attempts,
    )
    assert parse_feedback(reply, turn=1, earlier=["a puppy on a beach"])
    reply = ask("describer/brief", describer_grammar(3), temperature=1.0, count=3, topic="animals", avoid="")
    # Whether they differ is the describer's quality, which the benchmark measures; here it is the form.
    assert [line.split(". ")[0] for line in reply.splitlines()] == ["1", "2", "3"]
    assert parse_numbered(reply, 3)
    reply = ask(
        "shorten/brief", shorten_grammar(), max_words=6, description="a photo of a red car on a road, highly detailed"
    )
    assert parse_shortened(reply, 6)


@needs_weights
def test_a_scanner_grammar_takes_no_other_index_and_no_more_pictures_than_allowed(ask: pocket_llm.Asker) -> None:
    lines = [f"Utterance: {i}: Look at this cat number {i} on the sofa!" for i in range(40, 48)]
    reply = ask("scanner/brief", scanner_grammar(range(40, 48), 3), max_images=3, dialogue="\n".join(lines))
    found = parse_scan(reply, turns=range(40, 48), max_images=3)
    assert len(found) <= 3
    reply = ask("scanner/brief", scanner_grammar([], 2), max_images=2, dialogue="")
    assert parse_scan(reply, turns=[], max_images=2) == []


@needs_weights
def test_held_out_dialogues_are_scanned_well(ask: pocket_llm.Asker) -> None:
    # A quick look; `python -m benchmarks.pocket_llm` measures against the bars.
    results = [pocket_llm.scan(ask, case) for case in pocket_llm.kept_cases(pocket_llm.HELD_OUT, 25)]
    assert pocket_llm.parsed(results) == 1
    assert pocket_llm.f1(results) > 0.6
