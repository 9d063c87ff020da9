"""An OpenAI-compatible server on loopback that answers as its script says, mishaps included."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

Answer = Callable[[BaseHTTPRequestHandler, dict[str, Any]], None]
"""Writes one response, given the request's JSON."""


@dataclass(frozen=True)
class Request:
    """What the client sent."""

    body: dict[str, Any]
    headers: Mapping[str, str]
    """Names in lower case."""
    at: float
    """`time.monotonic()` on arrival."""


class ScriptedServer:
    """Gives each chat completion the next answer, the last one for ever. Use it as a context manager."""

    def __init__(self, *answers: Answer, models: Sequence[str] | None = None) -> None:
        """`models`: what `/v1/models` lists; without it, that page is missing."""
        self.requests: list[Request] = []
        self.connections = 0
        self._answers = answers
        self._models = models
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        script = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                script.connections += 1
                super().setup()

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with script._lock:
                    answer = script._answers[min(len(script.requests), len(script._answers) - 1)]
                    headers = {name.lower(): value for name, value in self.headers.items()}
                    script.requests.append(Request(body, headers, time.monotonic()))
                try:
                    answer(self, body)
                except OSError:
                    self.close_connection = True  # the client hung up

            def do_GET(self) -> None:
                if script._models is None:
                    send(self, 404, b"404 page not found", content_type="text/plain")
                else:
                    listed = {"object": "list", "data": [{"id": name, "object": "model"} for name in script._models]}
                    send(self, 200, json.dumps(listed).encode())

            def log_message(self, format: str, *args: object) -> None:
                """Nothing: the test's output is for the test."""

        return Handler


def send(
    handler: BaseHTTPRequestHandler,
    code: int,
    body: bytes,
    *,
    content_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> None:
    """Write a whole response."""
    handler.send_response(code)
    for name, value in {"Content-Type": content_type, "Content-Length": str(len(body)), **(headers or {})}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


def completion(text: str | None, finish: str = "stop", **message: object) -> bytes:
    """The JSON of a chat completion; 7 prompt tokens, one completion token per word."""
    tokens = len((text or "").split())
    reply = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "scripted",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}
        ],
        "usage": {"prompt_tokens": 7, "completion_tokens": tokens, "total_tokens": 7 + tokens},
    }
    return json.dumps(reply).encode()


def says(text: str | Callable[[list[dict[str, str]]], str] | None, finish: str = "stop", **message: object) -> Answer:
    """A good answer; `text` may be a function of the messages."""

    def answer(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        words = text(body["messages"]) if callable(text) else text
        send(handler, 200, completion(words, finish, **message))

    return answer


def fails(
    status: int, message: str = "scripted", *, headers: Mapping[str, str] | None = None, **error: object
) -> Answer:
    """An error as OpenAI words it; `headers` such as `{"Retry-After": "1"}`."""
    body = json.dumps({"error": {"message": message, "type": "scripted", **error}}).encode()
    return lambda handler, _: send(handler, status, body, headers=headers)


def page(body: bytes, *, code: int = 200, content_type: str = "text/html; charset=utf-8") -> Answer:
    """Any body at all: HTML, garbage, half a JSON."""
    return lambda handler, _: send(handler, code, body, content_type=content_type)


def drops(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
    """Hangs up without a word."""
    handler.close_connection = True


def breaks_off(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
    """Promises a whole body, sends half of it, and hangs up."""
    whole = completion("never read")
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(whole)))
    handler.end_headers()
    handler.wfile.write(whole[: len(whole) // 2])
    handler.close_connection = True


def drips(text: str, seconds_per_byte: float) -> Answer:
    """A good answer, byte by byte: each read succeeds, the whole takes for ever."""

    def answer(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        whole = completion(text)
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(whole)))
        handler.end_headers()
        for byte in whole:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            time.sleep(seconds_per_byte)

    return answer


def hangs(seconds: float) -> Answer:
    """Says nothing for a while, then a good answer."""

    def answer(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        time.sleep(seconds)
        send(handler, 200, completion("too late"))

    return answer
