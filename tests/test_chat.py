"""The language-model client against a scripted server, and against llama.cpp with a toy model."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from langchain_core.tracers.langchain import wait_for_all_tracers

from magid_graph.errors import ModelUnavailable, RunStopped, ServerFailed, ServerUnreachable
from magid_graph.models import Reply
from magid_graph.models.chat import MAX_TIMEOUTS_IN_A_ROW, OpenAIChat
from tests.scripted_server import (
    Answer,
    ScriptedServer,
    breaks_off,
    completion,
    drips,
    drops,
    fails,
    hangs,
    page,
    says,
)

QUESTION = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Say hello."}]
SOON = {"Retry-After-Ms": "5"}
"""Keeps tests quick: the client would wait half a second before its first retry."""


@asynccontextmanager
async def chat_with(url: str, **options: Any) -> AsyncIterator[OpenAIChat]:
    chat = OpenAIChat("toy", base_url=url, **{"timeout_s": 5.0, "max_retries": 2, **options})
    try:
        yield chat
    finally:
        await chat.aclose()


async def ask(url: str, *, grammar: str | None = None, **options: Any) -> Reply:
    async with chat_with(url, **options) as chat:
        return await chat.reply(QUESTION, temperature=0.3, max_tokens=20, seed=5, grammar=grammar)


async def refusal(*answers: Answer, expected: type[Exception], **options: Any) -> tuple[str, int]:
    """The error's words, and how often the server was asked."""
    with ScriptedServer(*answers) as server:
        with pytest.raises(expected) as caught:
            await ask(server.url, **options)
        assert type(caught.value) is expected
        return str(caught.value).replace(server.url, "URL"), len(server.requests)


# -- good answers -----------------------------------------------------------------------------------------------------


async def test_a_reply_comes_with_its_tokens_and_the_server_gets_what_was_asked() -> None:
    with ScriptedServer(says("hello there")) as server:
        assert await ask(server.url) == Reply("hello there", prompt_tokens=7, completion_tokens=2)
        (request,) = server.requests
    assert request.body["messages"] == QUESTION
    assert {k: request.body[k] for k in ("model", "temperature", "max_tokens", "seed")} == {
        "model": "toy",
        "temperature": 0.3,
        "max_tokens": 20,
        "seed": 5,
    }


async def test_a_reply_that_ran_out_of_tokens_says_so() -> None:
    with ScriptedServer(says("hello th", finish="length")) as server:
        assert (await ask(server.url)).truncated


@pytest.mark.parametrize("answer", [says(None, refusal="I cannot help with that"), says(""), says(None)])
async def test_an_empty_reply_is_a_reply(answer: Answer) -> None:
    with ScriptedServer(answer) as server:
        assert (await ask(server.url)).text == ""


async def test_a_reply_without_usage_counts_no_tokens() -> None:
    body = completion("hi").replace(b'"usage"', b'"other"')
    with ScriptedServer(page(body, content_type="application/json")) as server:
        assert await ask(server.url) == Reply("hi")


@pytest.mark.parametrize(
    ("constrain", "sent"),
    [
        ("llama.cpp", {"grammar": 'root ::= "yes"'}),
        ("vllm", {"structured_outputs": {"grammar": 'root ::= "yes"'}}),
        ("auto", {}),
        ("none", {}),
    ],
)
async def test_a_grammar_is_sent_as_the_server_reads_it(constrain: str, sent: dict[str, Any]) -> None:
    with ScriptedServer(says("yes")) as server:
        await ask(server.url, constrain=constrain, grammar='root ::= "yes"')
        body = server.requests[0].body
        assert {key: body[key] for key in ("grammar", "structured_outputs") if key in body} == sent


async def test_no_more_calls_are_in_flight_than_the_server_has_slots() -> None:
    with ScriptedServer(hangs(0.05)) as server:
        async with chat_with(server.url, max_in_flight=2) as chat:
            asked = [chat.reply(QUESTION, temperature=0, max_tokens=5) for _ in range(6)]
            await asyncio.gather(*asked)
        times = [request.at for request in server.requests]
    assert all(later - earlier > 0.04 for earlier, later in zip(times, times[2:], strict=False))


# -- asked again ------------------------------------------------------------------------------------------------------


async def test_a_rate_limit_is_waited_out_for_as_long_as_the_server_asks() -> None:
    with ScriptedServer(fails(429, headers={"Retry-After": "0.4"}), says("hello")) as server:
        assert (await ask(server.url)).text == "hello"
        first, second = server.requests
    assert 0.4 <= second.at - first.at < 2


@pytest.mark.parametrize(
    "mishap",
    [fails(500, headers=SOON), fails(503, headers=SOON), drops, breaks_off],
    ids=["500", "503", "drop", "half"],
)
async def test_a_passing_mishap_is_asked_again(mishap: Answer) -> None:
    with ScriptedServer(mishap, says("hello")) as server:
        assert (await ask(server.url)).text == "hello"
        assert len(server.requests) == 2


async def test_a_hanging_server_is_asked_again() -> None:
    with ScriptedServer(hangs(0.5), says("hello")) as server:
        assert (await ask(server.url, timeout_s=0.2)).text == "hello"
        assert len(server.requests) == 2


# -- faults of one call -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "words", "requests"),
    [
        (fails(500, "the GPU fell off", headers=SOON), "`URL` answered HTTP 500: the GPU fell off, asked 3 times", 3),
        (page(b"<html>bad gateway</html>", code=502), "`URL` answered HTTP 502: ", 3),
        (
            fails(400, "temperature: must be 1."),
            "`URL` answered HTTP 400: temperature: must be 1. Change what it names, e.g. `--set llm.temperature=1`",
            1,
        ),
        (fails(422, "no such role"), "`URL` answered HTTP 422: no such role", 1),
        (
            fails(400, "This model's maximum context length is 4096 tokens", code="context_length_exceeded"),
            "The prompt is longer than the context of `toy`: This model's maximum context length is 4096 tokens",
            1,
        ),
        (fails(429, "slow down", headers=SOON), "`URL` is rate limited, asked 3 times: slow down", 3),
        (page(b"\x00\xffgarbage", content_type="application/json"), "no chat completion", 1),
        (page(completion("x")[:40], content_type="application/json"), "no chat completion", 1),
        (page(b"null", content_type="application/json"), "no chat completion", 1),
        (page(b"{}", content_type="application/json"), "no chat completion", 1),
        (page(b'{"choices": []}', content_type="application/json"), "no chat completion", 1),
        (page(b'{"error": {"message": "overloaded"}}', content_type="application/json"), "overloaded", 1),
    ],
)
async def test_a_fault_of_one_call_fails_that_call(answer: Answer, words: str, requests: int) -> None:
    said, asked = await refusal(answer, expected=ServerFailed)
    assert words in said
    assert asked == requests


# -- faults that every call would meet --------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [401, 403])
async def test_a_refused_key_is_not_tried_again_and_never_shown(code: int) -> None:
    answer = fails(code, "Incorrect API key provided: sk-secret.")
    said, asked = await refusal(answer, expected=ModelUnavailable, api_key="sk-secret")
    assert said.startswith("`URL` refuses us: Incorrect API key provided: …. Name the variable that holds its key: ")
    assert asked == 1


async def test_a_server_that_wants_a_key_we_do_not_have_says_so() -> None:
    said, _ = await refusal(fails(401, "no key"), expected=ModelUnavailable)
    assert said.endswith("Name the variable that holds its key: `--set llm.api_key_env=NAME`")


async def test_an_unknown_model_is_told_with_those_that_are_served() -> None:
    with ScriptedServer(fails(404, "no such model"), models=["qwen", "llama"]) as server:
        with pytest.raises(ModelUnavailable, match="knows no model `toy`; it serves `llama`, `qwen`"):
            await ask(server.url)
        assert len(server.requests) == 1


async def test_a_wrong_path_is_told_with_the_usual_one() -> None:
    said, asked = await refusal(page(b"<html>404</html>", code=404), expected=ModelUnavailable)
    assert "usually ends in `/v1`" in said
    assert asked == 1


async def test_a_server_that_answers_with_html_is_told_apart() -> None:
    said, asked = await refusal(page(b"<!DOCTYPE html><html>Welcome</html>"), expected=ModelUnavailable)
    assert "The server at `URL` answered with HTML: is this an OpenAI-compatible endpoint" in said
    assert asked == 1


async def test_a_used_up_quota_stops_the_run() -> None:
    answer = fails(429, "You exceeded your quota", code="insufficient_quota", headers=SOON)
    said, _ = await refusal(answer, expected=ModelUnavailable)
    assert said.startswith("The quota of this key is used up at `URL`")


async def test_a_rate_limit_of_hours_stops_the_run_at_once() -> None:
    answer = fails(429, "Daily limit", headers={"Retry-After": "3600"})
    said, asked = await refusal(answer, expected=ModelUnavailable)
    assert said == "`URL` asks to wait 3600 s: Daily limit. Run the same command later"
    assert asked == 1


async def test_a_server_that_always_hangs_up_is_unreachable() -> None:
    said, asked = await refusal(drops, expected=ServerUnreachable)
    assert said.startswith("`URL` does not answer (Server disconnected")
    assert asked == 3


@pytest.mark.parametrize("answer", [hangs(1.5), drips("slow", 0.05)], ids=["hangs", "drips"])
async def test_a_reply_that_is_not_whole_in_time_fails_that_call(answer: Answer) -> None:
    said, asked = await refusal(answer, expected=ServerFailed, timeout_s=0.6, max_retries=1)
    assert said.startswith("`URL` gave no whole reply within 0.6 s, asked 2 times: raise `llm.timeout_s`")
    assert asked == 2


async def test_a_server_that_answers_no_call_at_all_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    send, calls = httpx2.AsyncHTTPTransport.handle_async_request, itertools.count(1)

    async def send_the_fourth(transport: httpx2.AsyncHTTPTransport, request: httpx2.Request) -> httpx2.Response:
        if next(calls) != 4:
            raise httpx2.ReadTimeout("too slow")
        return await send(transport, request)

    monkeypatch.setattr(httpx2.AsyncHTTPTransport, "handle_async_request", send_the_fourth)
    with ScriptedServer(says("hello")) as server:
        async with chat_with(server.url, max_retries=0) as chat:
            asked = [await _outcome(chat) for _ in range(3 + 1 + MAX_TIMEOUTS_IN_A_ROW)]
    assert asked == [ServerFailed] * 3 + [str] + [ServerFailed] * (MAX_TIMEOUTS_IN_A_ROW - 1) + [ServerUnreachable]


async def _outcome(chat: OpenAIChat) -> type:
    try:
        return type((await chat.reply(QUESTION, temperature=0, max_tokens=5)).text)
    except (ServerFailed, ServerUnreachable) as error:
        return type(error)


async def test_a_host_that_never_connects_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    async def lost(*args: object, **options: object) -> None:
        raise httpx2.ConnectTimeout("nobody there")

    monkeypatch.setattr(httpx2.AsyncHTTPTransport, "handle_async_request", lost)
    with pytest.raises(ServerUnreachable, match="cannot be reached in time, asked 1 times"):
        await ask("http://10.255.255.1/v1", max_retries=0)


async def test_a_server_that_is_down_is_unreachable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
    with pytest.raises(ServerUnreachable, match=f"`{url}` does not answer .*, asked 1 times: is the server running"):
        await ask(url, max_retries=0)


async def test_a_cancelled_call_hangs_up_quietly() -> None:
    with ScriptedServer(hangs(0.3)) as server:
        async with chat_with(server.url) as chat:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(chat.reply(QUESTION, temperature=0, max_tokens=5), 0.1)


# -- opening ----------------------------------------------------------------------------------------------------------


def test_a_hosted_model_without_a_key_is_refused_when_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ModelUnavailable, match="`openai:gpt-4o-mini` needs a key: set `OPENAI_API_KEY`"):
        OpenAIChat("gpt-4o-mini")


async def test_a_hosted_model_is_sent_its_key_and_the_newer_token_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer(says("hi")) as server:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-mine")
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        chat = OpenAIChat("gpt-4o-mini")
        await chat.reply(QUESTION, temperature=0, max_tokens=9)
        await chat.aclose()
        (request,) = server.requests
    assert chat.model_id == "openai:gpt-4o-mini"
    assert request.headers["authorization"] == "Bearer sk-mine"
    assert request.body["max_completion_tokens"] == 9


async def test_the_key_for_openai_is_never_sent_to_another_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-mine")
    with ScriptedServer(says("hi")) as server:
        await ask(server.url)
        assert "sk-mine" not in str(server.requests[0].headers)


@pytest.mark.parametrize("url", ["localhost:8000", "htp://host/v1", "http://", "qwen"])
def test_what_is_no_url_is_refused_when_opened(url: str) -> None:
    with pytest.raises(ModelUnavailable, match="is not the URL of a server"):
        OpenAIChat("toy", base_url=url)


async def test_a_password_in_the_url_is_not_shown() -> None:
    async with chat_with("http://me:secret@127.0.0.1:9/v1", max_retries=0) as chat:
        assert chat.model_id == "openai:toy@http://127.0.0.1:9/v1"
        with pytest.raises(RunStopped) as caught:
            await chat.reply(QUESTION, temperature=0, max_tokens=5)
        assert "secret" not in str(caught.value)


async def test_a_proxy_in_the_environment_is_not_asked_for_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with ScriptedServer(says("hi")) as server:
        assert (await ask(server.url)).text == "hi"


async def test_nothing_is_traced_to_a_vendor_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer(says("hi")) as server, ScriptedServer(says("traced")) as vendor:
        monkeypatch.setenv("LANGSMITH_TRACING", "true")
        monkeypatch.setenv("LANGCHAIN_TRACING_V2", "true")
        monkeypatch.setenv("LANGSMITH_API_KEY", "key")
        monkeypatch.setenv("LANGSMITH_ENDPOINT", vendor.url)
        await ask(server.url)
        await asyncio.to_thread(wait_for_all_tracers)
        assert vendor.connections == 0
