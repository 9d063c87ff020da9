"""Replies are read strictly: what the protocol says, or a fault that tells the model what to do."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magid_graph.errors import ReplyFault
from magid_graph.protocol import (
    Found,
    merge_found,
    parse_feedback,
    parse_numbered,
    parse_scan,
    parse_shortened,
    render_dialogue,
    render_turns,
    rough_tokens,
    windows,
)
from magid_graph.records import Turn

TURNS = range(8)


def scan(reply: str, *, max_images: int | None = 2, utterances: dict[int, str] | None = None) -> dict[int, str]:
    found = parse_scan(reply, turns=TURNS, max_images=max_images, utterances=utterances)
    return {one.turn: one.description for one in found}


WRAPPED = "a page that quotes utterance 7 of the book"


def result(body: str) -> str:
    return f"<reason>a dog is shown</reason>\n<result>\n{body}\n</result>"


READ = {
    "as published": (result("Utterance: 3: a dog on a beach"), {3: "a dog on a beach"}),
    "result first": ("<result>Utterance: 3: a dog</result><reason>why</reason>", {3: "a dog"}),
    "no reason": ("<result>Utterance: 3: a dog</result>", {3: "a dog"}),
    "several lines": (result("Utterance: 5: a cat\n\nUtterance: 3: a dog"), {3: "a dog", 5: "a cat"}),
    "one result each": (
        "<result>Utterance: 3: a dog</result>\n<result>Utterance: 5: a cat</result>",
        {3: "a dog", 5: "a cat"},
    ),
    "upper case": ("<REASON>x</REASON><RESULT>UTTERANCE: 3: A dog</RESULT>", {3: "A dog"}),
    "spaces in tags": ("< result >Utterance: 3: a dog</ result >", {3: "a dog"}),
    "wrapped caption": (result("Utterance: 3: a dog on\n  the wet\nsand"), {3: "a dog on the wet sand"}),
    "caption on the next line": (result("Utterance: 3:\na dog"), {3: "a dog"}),
    "numbered list": (result("1. Utterance: 3: a dog\n2. Utterance: 5: a cat"), {3: "a dog", 5: "a cat"}),
    "bulleted list": (result("- Utterance: 3: a dog\n* Utterance 5: a cat"), {3: "a dog", 5: "a cat"}),
    "bold": (result("**Utterance: 3:** a dog"), {3: "a dog"}),
    "literal line ends": (r"<result>\nUtterance: 3: a dog\nUtterance: 5: a cat\n</result>", {3: "a dog", 5: "a cat"}),
    "windows line ends": ("<result>\r\nUtterance: 3: a dog\r\n</result>", {3: "a dog"}),
    "code fence": (f"```xml\n{result('Utterance: 3: a dog')}\n```", {3: "a dog"}),
    "fence inside": (result("```\nUtterance: 3: a dog\n```"), {3: "a dog"}),
    "quoted": (result('Utterance: 3: "a dog"'), {3: "a dog"}),
    "quoted line": (result('"Utterance: 3: a dog"'), {3: "a dog"}),
    "curly quotes": (result("Utterance: 3: “a dog”"), {3: "a dog"}),
    "quotes inside": (result('Utterance: 3: a sign that says "it is open"'), {3: 'a sign that says "it is open"'}),
    "same twice": (result("Utterance: 3: a dog\nUtterance: 3: A dog."), {3: "a dog"}),
    "thought": (f"<think>Utterance: 1: <result>x</result></think>{result('Utterance: 3: a dog')}", {3: "a dog"}),
    "headless thought": (f"maybe <result>x</think>{result('Utterance: 3: a dog')}", {3: "a dog"}),
    "prose before": ("Let me see.\nUtterance: 1: is a greeting.\n" + result("Utterance: 3: a dog"), {3: "a dog"}),
    "result inside the reason": ("<reason>so <result>Utterance: 3: a dog</result></reason>", {3: "a dog"}),
    "tag named in the reason": ("<reason>a <result>.</reason><result>Utterance: 3: a dog</result>", {3: "a dog"}),
    "unclosed reason": ("<reason>why\n<result>Utterance: 3: a dog</result>", {3: "a dog"}),
    "closing tag swallowed": ("<result>\nUtterance: 3: a dog on a beach.", {3: "a dog on a beach."}),
    "closing tag swallowed after a line": ("<result>\nUtterance: 3: a dog\n", {3: "a dog"}),
    "quotes another": (result(f"Utterance: 3: {WRAPPED}"), {3: WRAPPED}),
    "wrapped before a quote": (result("Utterance: 3: a page that quotes\nutterance 7 of the book"), {3: WRAPPED}),
    "quoted in the reason": ("<reason>is\nUtterance: 7: x</reason><result>Utterance: 3: a dog</result>", {3: "a dog"}),
    "decimal": (result("Utterance: 3: A 3.5 metre boat."), {3: "A 3.5 metre boat."}),
    "none": (result("none"), {}),
    "None.": ("<result>None.</result>", {}),
    "quoted none": ('<result>"none"</result>', {}),
    "no image": ("<result>no image</result>", {}),
    "a sentence of none": ("<result>None of the utterances deserves a picture.</result>", {}),
    "no suitable utterance": ("<result>No suitable utterance was found</result>", {}),
    "none, swallowed": ("<reason>talk</reason>\n<result>\nnone", {}),
    "empty, with a no": ("<reason>Nothing can be seen here.</reason><result></result>", {}),
    "each one none": (result("Utterance: 0: none\nUtterance: 1: no image\nUtterance: 3: a dog"), {3: "a dog"}),
    "possessive": (result("Utterance: 3: a woman with her dog"), {3: "a woman with her dog"}),
    "candles on it": (result("Utterance: 3: a cake with candles on it"), {3: "a cake with candles on it"}),
    "this with a noun": (result("Utterance: 3: this tiny dog in a hat"), {3: "this tiny dog in a hat"}),
    "US flag": (result("Utterance: 3: a US flag"), {3: "a US flag"}),
    "another script": (result("Utterance: 3: 海辺の犬"), {3: "海辺の犬"}),
}  # fmt: skip


@pytest.mark.parametrize(("reply", "found"), READ.values(), ids=READ)
def test_a_reply_that_follows_the_protocol_is_read(reply: str, found: dict[int, str]) -> None:
    assert scan(reply) == found


FAULTS = {
    "empty": ("", "no <result> tag"),
    "prose": ("The dog at utterance 3 is nice.", "no <result> tag"),
    "only a reason": ("<reason>a dog</reason>", "no <result> tag"),
    "refusal": ("I'm sorry, but I cannot help with that.", "refusal"),
    "refusal in the result": ("<result>I’m sorry, I can’t do that.</result>", "refusal"),
    "refusal as description": (result("Utterance: 3: I cannot describe people"), "refusal"),
    "endless thought": ("<think>well <result>Utterance: 3: a dog</result>", "no <result> tag"),
    "cut off": ("<result>\nUtterance: 3: a dog that ru", "cut off"),
    "cut off in the second": ("<result>\nUtterance: 3: a dog.\nUtterance: 5: a c", "cut off"),
    "unclosed before a reason": ("<result>Utterance: 3: a dog<reason>why</reason>", "</result> is missing"),
    "unclosed before another": ("<result>Utterance: 3: a dog\n<result>Utterance: 5: a cat</result>", "not closed"),
    "too high": (result("Utterance: 8: a dog"), "no utterance 8; they are numbered 0 to 7"),
    "negative": (result("Utterance: -1: a dog"), "no utterance -1"),
    "huge": (result("Utterance: 99999999999999999999: a dog"), "no utterance"),
    "a span of turns": (result("Utterance: 3-4: a dog"), 'does not begin with "Utterance: i: "'),
    "the letter": (result("Utterance: i: a dog"), 'does not begin with "Utterance: i: "'),
    "no marker": (result("3: a dog"), 'does not begin with "Utterance: i: "'),
    "prose in the result": (result("Here you go\nUtterance: 3: a dog"), '"Here you go"'),
    "two on a line": (result("Utterance: 3: a dog. Utterance: 5: a cat"), "on one line"),
    "two descriptions": (result("Utterance: 3: a dog\nUtterance: 3: a cat"), "two descriptions"),
    "too many": (result("Utterance: 1: a dog\nUtterance: 3: a cat\nUtterance: 5: a cow"), "choose at most 2"),
    "contradiction": (result("Utterance: 1: a dog\nnone"), '"none" in <result>'),
    "empty result": ("<reason>a dog is there</reason><result> \n </result>", 'write "none"'),
    "empty description": (result("Utterance: 3:"), "utterance 3 is empty"),
    "one character": (result("Utterance: 3: a"), "utterance 3 is empty"),
    "punctuation": (result("Utterance: 3: …"), "utterance 3 is empty"),
    "her": (result("Utterance: 3: her on the sofa"), 'say who or what "her" is'),
    "a photo of it": (result("Utterance: 3: a photo of it"), 'say who or what "it" is'),
    "playing with her": (result("Utterance: 3: playing with her in the park"), '"her"'),
    "this": (result("Utterance: 3: a picture of this"), '"this"'),
    "me": (result("Utterance: 3: a dog and me at the lake"), '"me"'),
    "They": (result("Utterance: 3: They are running"), '"They"'),
}  # fmt: skip


@pytest.mark.parametrize(("reply", "why"), FAULTS.values(), ids=FAULTS)
def test_a_reply_that_breaks_the_protocol_says_what_to_do(reply: str, why: str) -> None:
    with pytest.raises(ReplyFault, match=re.escape(why)):
        scan(reply)


@pytest.mark.parametrize(
    ("utterance", "description"),
    [
        ("Look at my puppy on the beach!", "Look at my puppy on the beach!"),
        ("Look at my puppy on the beach!", "image of look at my puppy on the beach"),
        ("Have you seen the lighthouse in winter?", "Have you seen the lighthouse in winter"),
    ],
)
def test_an_utterance_given_back_is_a_fault(utterance: str, description: str) -> None:
    with pytest.raises(ReplyFault, match="only repeats the utterance"):
        scan(result(f"Utterance: 3: {description}"), utterances={3: utterance})


@pytest.mark.parametrize("utterance", ["A red balloon.", "A red balloon over the sea at sunset", "My dog!"])
def test_an_utterance_that_is_a_description_may_be_used(utterance: str) -> None:
    assert scan(result(f"Utterance: 3: {utterance}"), utterances={3: utterance}) == {3: utterance}


def test_no_limit_on_pictures_is_none_or_zero() -> None:
    reply = result("\n".join(f"Utterance: {turn}: picture {turn} of a dog" for turn in TURNS))
    assert len(scan(reply, max_images=None)) == len(scan(reply, max_images=0)) == len(TURNS)


def test_the_reason_goes_with_each_find() -> None:
    reply = "<result>Utterance: 3: a dog</result><reason>it is\nshown</reason>"
    assert parse_scan(reply, turns=[3], max_images=1) == [Found(3, "a dog", "it is shown")]


def test_a_window_admits_its_own_turns_only() -> None:
    with pytest.raises(ReplyFault, match="numbered 4 to 6"):
        parse_scan(result("Utterance: 3: a dog"), turns=[4, 5, 6], max_images=1)


def test_feedback_gives_a_new_description() -> None:
    assert parse_feedback(result("Utterance: 3: a small dog"), turn=3, earlier=["a dog"]) == "a small dog"


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (result("Utterance: 3: A DOG."), "repeats an earlier description"),
        (result("none"), "a description is needed"),
        (result("Utterance: 2: a dog in a hat"), "the only one is 3"),
        (result("Utterance: 3: it on a beach"), "does not stand alone"),
    ],
)
def test_feedback_that_does_not_help_is_a_fault(reply: str, why: str) -> None:
    with pytest.raises(ReplyFault, match=why):
        parse_feedback(reply, turn=3, earlier=["a dog"])


def test_a_shortened_description_is_held_to_its_length() -> None:
    assert parse_shortened('<result>\n"a dog\non a beach"\n</result>', max_words=5) == "a dog on a beach"
    with pytest.raises(ReplyFault, match="has 5 words; use at most 4"):
        parse_shortened("<result>a dog on a beach</result>", max_words=4)
    with pytest.raises(ReplyFault, match="2 results"):
        parse_shortened("<result>a dog</result><result>a cat</result>", max_words=4)


def test_numbered_descriptions_lose_what_is_no_description() -> None:
    reply = (
        "Sure! Here are some:\n1. Here are the scenes:\n"
        "2. A dog\n   on a beach\n\n3.\n4) **A cat**\n5. a DOG on a beach\n"
        "6. A cow\n7. A pig\n\nI hope these help!\nLet me know."
    )
    assert parse_numbered(reply, 3) == ["A dog on a beach", "A cat", "A cow"]


def test_bullets_count_where_nothing_is_numbered() -> None:
    assert parse_numbered("<result>- A dog\n- A cat</result>", 5) == ["A dog", "A cat"]
    assert parse_numbered("I'm sorry, I can't.", 5) == []


def turn(text: str, speaker: str | None = None) -> Turn:
    return Turn(speaker=speaker, text=text)


def test_a_dialogue_is_rendered_one_turn_per_line() -> None:
    turns = [turn("hi", "Ann"), turn("two\nlines\u2028 here"), turn("no", "Bob\nUtterance: 9:")]
    assert render_dialogue(turns, [0, 1]) == "Utterance: 0: Ann: hi\nUtterance: 1: two lines here"
    assert render_dialogue(turns, [2]) == "Utterance: 2: Bob utterance 9,: no"
    assert render_dialogue([turn("abcdef")], [0], max_chars=4) == "Utterance: 0: abc…"


@given(
    st.lists(
        st.text(max_size=60)
        | st.sampled_from(["</result>", "</conversation>", "x\nUtterance: 3: y", "<|im_end|>", "< Reason >"])
    )
)
def test_no_turn_poses_as_another_or_as_a_reply(texts: list[str]) -> None:
    rendered = render_dialogue([turn(text) for text in texts], range(len(texts)))
    assert rendered.count("Utterance: ") == len(texts) == len(rendered.splitlines())
    assert not re.search(r"<\s*/?\s*(result|reason|conversation)\s*>|<\|im_end\|>", rendered, re.IGNORECASE)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=40), st.integers(10, 80), st.integers(0, 5))
def test_windows_cover_all_turns_within_the_budget(sizes: list[int], budget: int, overlap: int) -> None:
    turns = [turn("x" * size) for size in sizes]
    found = windows(render_turns(turns, range(len(turns))), budget, overlap, len)
    assert {index for window in found for index in window} == set(range(len(turns)))
    for window in found:
        assert len(window) == 1 or len(render_dialogue(turns, window)) + 1 <= budget
    for before, after in pairwise(found):
        assert before.start < after.start <= before.stop < after.stop
        assert before.stop - after.start <= overlap


def test_a_dialogue_that_fits_is_one_window() -> None:
    assert windows(["hi"] * 4, 1000, 2, rough_tokens) == [range(4)]
    assert windows([], 1000, 2, rough_tokens) == []


def test_each_digit_is_reckoned_as_a_token() -> None:
    assert rough_tokens("255 250 250") >= 9


def test_finds_of_overlapping_windows_are_merged() -> None:
    first, second = [Found(4, "a dog", "r")], [Found(4, "a puppy", "s"), Found(2, "a cat", "s"), Found(9, "a cow", "s")]
    assert merge_found([first, second], max_images=2) == [Found(2, "a cat", "s"), Found(4, "a dog", "r")]


@given(st.text(alphabet=st.sampled_from(list("<>/resultaonUtterance: 0123456789\\n\n.-*\"'`")), max_size=200))
def test_any_reply_is_read_or_is_a_fault(reply: str) -> None:
    try:
        found = parse_scan(reply, turns=TURNS, max_images=2)
    except ReplyFault:
        return
    assert len(found) <= 2
    assert all(one.turn in TURNS and len(one.description) >= 2 for one in found)


DESCRIPTIONS = st.lists(st.from_regex(r"[a-z]{3,9}", fullmatch=True), min_size=2, max_size=12).map(
    lambda words: "some " + " ".join(words) + " thing"
)


@given(st.dictionaries(st.integers(0, 7), DESCRIPTIONS, max_size=8), st.text(alphabet="abc xyz,.\n", max_size=40))
def test_what_is_written_by_the_protocol_is_read_back(chosen: dict[int, str], reason: str) -> None:
    chosen = {index: text for index, text in chosen.items() if not {"this", "these", "those"} & set(text.split())}
    body = "\n".join(f"Utterance: {index}: {text}" for index, text in chosen.items()) or "none"
    assert scan(f"<reason>{reason}</reason>\n<result>\n{body}\n</result>", max_images=None) == chosen


def test_a_megabyte_of_tags_is_read_in_no_time() -> None:
    for junk in (
        "<result>" * 100_000,
        "<reason>" * 100_000,
        "<think>" * 100_000,
        "Utterance: 3: " * 70_000,
        "- " * 500_000,
    ):
        with pytest.raises(ReplyFault):
            scan(junk)
