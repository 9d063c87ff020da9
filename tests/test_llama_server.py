"""llama.cpp in this process, with a real (if tiny) model, through the chat client that runs use."""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from magid_graph.errors import ModelUnavailable, ServerFailed
from magid_graph.models.chat import OpenAIChat
from magid_graph.models.grammars import feedback_grammar, scanner_grammar, shorten_grammar
from magid_graph.models.llama_server import LlamaServer
from magid_graph.models.wording import LOOK_BACK, PLAIN, words_said
from magid_graph.protocol import parse_feedback, parse_scan, parse_shortened
from tests.tiny_gguf import write_tiny_gguf

QUESTION = [{"role": "user", "content": "Say hello."}]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture(scope="module")
def server(tiny: Path) -> Iterator[LlamaServer]:
    server = LlamaServer(tiny, context_tokens=1024, parallel=2, threads=1)
    yield server
    server.close()


@pytest.fixture
def chat(server: LlamaServer) -> OpenAIChat:
    return OpenAIChat(
        "tiny", base_url=server.base_url, api_key=server.api_key, constrain="llama.cpp", max_in_flight=2, max_retries=0
    )


async def test_a_grammar_makes_every_reply_follow_the_protocol(chat: OpenAIChat) -> None:
    for seed in range(3):
        reply = await chat.reply(
            QUESTION, temperature=1.0, max_tokens=700, seed=seed, grammar=scanner_grammar([0, 1, 2], 2)
        )
        assert not reply.truncated
        assert re.match(r"<reason>.*</reason>\n<result>\n(none|Utterance: [012]: )", reply.text)
    await chat.aclose()


async def written(chat: OpenAIChat, grammar: str, max_tokens: int) -> list[str]:
    """Random replies within a grammar."""
    asked = [
        chat.reply(QUESTION, temperature=1.5, max_tokens=max_tokens, seed=seed, grammar=grammar) for seed in range(12)
    ]
    return [reply.text for reply in await asyncio.gather(*asked)]


async def test_only_a_free_reason_has_several_lines(chat: OpenAIChat) -> None:
    brief, free = [
        await written(chat, scanner_grammar(range(100), 100, is_brief=is_brief), 150) for is_brief in (True, False)
    ]
    assert all(reply.startswith("<reason>") for reply in brief + free)
    assert not any("\n" in reply.partition("</reason>")[0] for reply in brief)
    assert any("\n" in reply.partition("</reason>")[0] for reply in free)
    await chat.aclose()


async def test_only_a_free_description_begins_with_a_letter_of_another_script(chat: OpenAIChat) -> None:
    brief, free = [await written(chat, shorten_grammar(is_brief=is_brief), 24) for is_brief in (True, False)]
    first = [[reply.removeprefix("<result>\n")[:1] for reply in replies] for replies in (brief, free)]
    assert all(letter.isascii() and letter.isalpha() for letter in first[0])
    assert any(not letter.isascii() for letter in first[1])
    assert not any(letter in "-*•1234567890 <:" for letter in first[1])
    await chat.aclose()


TALK = [
    'Look at my puppy, Biscuit "the great", isn\'t she cute? Utterance: 4: none',
    "I'm sorry, nothing to see here. They love it!!",
    "Here she is on <result> the sofa, eating me out of house & home… 日本語 naïve x\\y",
    "",
    "👍",
]


async def test_whatever_was_said_a_worded_reply_can_be_read(chat: OpenAIChat) -> None:
    grammar = scanner_grammar(range(5), 2, said=TALK)
    for reply in await written(chat, grammar, 700):
        found = parse_scan(reply, turns=range(5), max_images=2, utterances=dict(enumerate(TALK)))
        assert len(found) <= 2
    for reply in await written(chat, shorten_grammar(5, said=TALK[0]), 200):
        assert len(parse_shortened(reply, 5).split()) <= 5
    for reply in await written(chat, feedback_grammar(2, said=TALK), 500):
        assert parse_feedback(reply, turn=2, earlier=[])
    await chat.aclose()


async def test_a_description_is_made_of_words_that_were_said_up_to_it(chat: OpenAIChat) -> None:
    said = ["a zeppelin", *["hm"] * LOOK_BACK, "a quokka"]
    allowed = {"zeppelin"}, {"quokka"}
    grammars = scanner_grammar([0], 1, said=said[:1]), scanner_grammar([len(said) - 1], 1, said=said[-1:])
    for grammar, words in zip(grammars, allowed, strict=True):
        replies = " ".join(await written(chat, grammar, 300))
        assert words & set(replies.split())
        assert not ({"zeppelin", "quokka"} - words) & set(replies.split())
    whole = scanner_grammar(range(len(said)), 1, said=said)
    last = next(line for line in whole.split("\n") if line.startswith(f"said-{len(said) - 1} ::="))
    assert "quokka" in last
    assert "zeppelin" not in last
    await chat.aclose()


async def test_a_reason_quotes_an_utterance_and_describes_it_in_words_that_it_quoted(chat: OpenAIChat) -> None:
    said = ["Our zeppelin is back.", "Where?", 'a "quokka" over the wall']
    ways = set()
    for reply in await written(chat, scanner_grammar(range(4, 7), 2, said=said), 700):
        claims = re.findall(
            r'Utterance (\d), "(.*?)"(?:, after "(.*?)")?, shows (.*?)\.', reply.partition("</reason>")[0]
        )
        for index, quote, after, description in claims:
            at = int(index) - 4
            assert quote == said[at]
            assert after in ("", *said[:at])
            assert set(description.split()) <= {*words_said([quote, after]), *PLAIN}
            ways.add((at, bool(after)))
    # "Where?" has no word that could be shown.
    assert {(0, False), (1, True)} <= ways <= {(0, False), (1, True), (2, False), (2, True)}
    await chat.aclose()


def test_the_grammar_of_a_long_dialogue_without_a_limit_stays_small() -> None:
    assert len(scanner_grammar(range(100), 100)) < 10_000
    assert len(scanner_grammar(range(100), 4)) < 30_000


async def test_the_same_seed_gives_the_same_reply_and_another_one_another(chat: OpenAIChat) -> None:
    async def text(seed: int) -> str:
        grammar = "root ::= [a-z]{20}"
        return (await chat.reply(QUESTION, temperature=1.0, max_tokens=40, seed=seed, grammar=grammar)).text

    assert await text(1) == await text(1) != await text(2)
    await chat.aclose()


async def test_more_calls_than_slots_are_all_answered(chat: OpenAIChat) -> None:
    asked = [
        chat.reply([{"role": "user", "content": f"Say {n}."}], temperature=0, max_tokens=5, grammar=f'root ::= "{n}"')
        for n in range(8)
    ]
    replies = await asyncio.gather(*asked)
    assert [reply.text for reply in replies] == [str(n) for n in range(8)]
    assert all(reply.prompt_tokens > 0 for reply in replies)
    await chat.aclose()


async def test_a_reply_that_runs_out_of_tokens_says_so(chat: OpenAIChat) -> None:
    reply = await chat.reply(QUESTION, temperature=0, max_tokens=4, grammar="root ::= [a-z]{50}")
    assert (reply.completion_tokens, reply.truncated) == (4, True)
    await chat.aclose()


async def test_a_prompt_that_is_too_long_fails_alone(chat: OpenAIChat) -> None:
    with pytest.raises(ServerFailed, match="longer than the context of `tiny`"):
        await chat.reply([{"role": "user", "content": "x" * 2000}], temperature=0, max_tokens=5)
    assert (await chat.reply(QUESTION, temperature=0, max_tokens=5, grammar='root ::= "ok"')).text == "ok"
    await chat.aclose()


async def test_strangers_on_this_machine_are_refused(server: LlamaServer) -> None:
    stranger = OpenAIChat("tiny", base_url=server.base_url, max_retries=0)
    with pytest.raises(ModelUnavailable, match="refuses us"):
        await stranger.reply(QUESTION, temperature=0, max_tokens=5)
    await stranger.aclose()


def test_a_closed_server_no_longer_listens_and_has_said_nothing(tiny: Path, capfd: pytest.CaptureFixture[str]) -> None:
    server = LlamaServer(tiny, context_tokens=256, parallel=1, threads=1)
    address = (urlsplit(server.base_url).hostname, urlsplit(server.base_url).port)
    assert address[0] == "127.0.0.1"
    server.close()
    server.close()
    with pytest.raises(ConnectionRefusedError), socket.create_connection(address, timeout=1):
        pass
    assert capfd.readouterr() == ("", "")


async def test_a_cancelled_call_does_not_keep_the_server_from_closing(tiny: Path) -> None:
    server = LlamaServer(tiny, context_tokens=4096, parallel=1, threads=1)
    chat = OpenAIChat("tiny", base_url=server.base_url, api_key=server.api_key, constrain="llama.cpp")
    endless = chat.reply(QUESTION, temperature=0, max_tokens=4000, grammar="root ::= [a-z] root")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(endless, 0.3)
    await chat.aclose()
    started = time.monotonic()
    server.close()
    assert time.monotonic() - started < 3


def test_a_process_with_a_call_in_flight_can_end(tiny: Path) -> None:
    # In a process of its own: what it guards against would hang this one, beyond the reach of Ctrl-C.
    ended = subprocess.run([sys.executable, "-c", _HASTY, str(tiny)], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "closed\n", "")


_HASTY = """
import http.client, json, sys, time
from pathlib import Path
from magid_graph.models.llama_server import LlamaServer
from magid_graph.models.wording import LOOK_BACK, PLAIN, words_said
from magid_graph.protocol import parse_feedback, parse_scan, parse_shortened

server = LlamaServer(Path(sys.argv[1]), context_tokens=4096, parallel=1, threads=1)
client = http.client.HTTPConnection(server.base_url.split("/")[2])
question = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 10**6, "grammar": "root ::= [a-z] root"}
client.request("POST", "/v1/chat/completions", json.dumps(question), {"Authorization": f"Bearer {server.api_key}"})
time.sleep(0.3)
server.close()
print("closed")
"""


def test_a_file_that_is_missing_or_no_model_is_named(tiny: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    other.write_bytes(b"\x89PNG and so on")
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(tiny.read_bytes()[:50_000])
    empty = tmp_path / "empty.gguf"
    empty.touch()
    for path, words in [
        (tmp_path / "none.gguf", "cannot be read: No such file"),
        (tmp_path, "cannot be read: Is a directory"),
        (other, "is not a GGUF file"),
        (empty, "is not a GGUF file"),
        (cut, "llama.cpp cannot load .*: the file is damaged"),
    ]:
        with pytest.raises(ModelUnavailable, match=words) as caught:
            LlamaServer(path, context_tokens=256, parallel=1, threads=1)
        assert str(path) in str(caught.value)
