"""Spans for others: sent to a receiver of the protocol when asked for, and to nobody otherwise."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from magid_graph.errors import UsageError
from magid_graph.trace.otlp import receiver
from tests.command_line import Terminal, written

TALK = [["hello there", "look, here is the red boat on the lake", "lovely!"], ["hello", "how are you?"]]


class Collector:
    """An OTLP/HTTP receiver on loopback that decodes what it is sent; it also counts whoever knocks."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.spans: list[Any] = []
        self.resources: list[Any] = []
        self.status = 200
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                collector.take(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                self.send_response(collector.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_GET(self) -> None:
                self.do_POST()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        import gzip

        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        self.requests.append((path, headers))
        if self.status == 200 and path.endswith("/v1/traces"):
            decoded = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
            message = ExportTraceServiceRequest.FromString(decoded)
            self.resources += [one.resource for one in message.resource_spans]
            self.spans += [s for one in message.resource_spans for scope in one.scope_spans for s in scope.spans]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    pytest.importorskip(
        "opentelemetry.sdk", reason="no OpenTelemetry here: `pip install 'magid-graph[otlp]'` brings it"
    )
    opened = Collector()
    yield opened
    opened.close()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(monkeypatch, capsys)


def attributes(span: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


def of_kind(collector: Collector, kind: str) -> list[dict[str, Any]]:
    found = [attributes(span) for span in collector.spans]
    return [one for one in found if one["openinference.span.kind"] == kind]


def test_a_receiver_gets_each_node_run_with_its_names(terminal: Terminal, collector: Collector) -> None:
    terminal.dialogue(written("talk.json", TALK), "--out", "run")
    said = terminal.type("trace", "run", "--otlp", collector.url)
    assert said.out == f"otlp: {len(collector.spans)} spans to {collector.url}/v1/traces\n"
    (asked, *_) = of_kind(collector, "LLM")
    assert asked["llm.input_messages.0.message.role"] == "user"
    assert asked["llm.token_count.total"] == asked["llm.token_count.prompt"] + asked["llm.token_count.completion"]
    (judged,) = of_kind(collector, "EVALUATOR")
    assert (judged["magid.edge"], judged["magid.limit.min_clip_similarity"]) == ("accept", -1.0)
    items = [span for span in collector.spans if span.name == "dialogue"]
    assert [attributes(span)["magid.state"] for span in items] == ["accepted", "rejected"]
    parents = {span.span_id for span in collector.spans}
    assert all(span.parent_span_id in parents for span in collector.spans if span.name != "dialogue")
    assert all(span.end_time_unix_nano >= span.start_time_unix_nano > 0 for span in collector.spans)


def test_pictures_are_sent_as_the_names_of_their_files(terminal: Terminal, collector: Collector) -> None:
    terminal.dialogue(written("talk.json", TALK), "--out", "run")
    terminal.type("trace", "run", "--otlp", collector.url)
    (drawn,) = of_kind(collector, "TOOL")
    assert Path("run", drawn["magid.image.path"]).is_file()
    sent = json.dumps([attributes(span) for span in collector.spans])
    assert "base64" not in sent
    assert max(len(str(value)) for span in collector.spans for value in attributes(span).values()) < 20_000


def test_a_receiver_that_refuses_is_an_error_with_its_address(terminal: Terminal, collector: Collector) -> None:
    terminal.dialogue(written("talk.json", TALK), "--out", "run")
    collector.status = 401
    said = terminal.type("trace", "run", "--otlp", collector.url)
    assert (said.code, said.out) == (1, "")
    assert f"`{collector.url}/v1/traces` did not take the spans" in said.err


def test_langfuse_and_langsmith_are_found_by_their_own_variables() -> None:
    langfuse = receiver(
        "langfuse", {"LANGFUSE_PUBLIC_KEY": "p", "LANGFUSE_SECRET_KEY": "s", "LANGFUSE_HOST": "http://127.0.0.1:3000/"}
    )
    assert langfuse.url == "http://127.0.0.1:3000/api/public/otel/v1/traces"
    assert langfuse.headers == {"Authorization": "Basic cDpz"}
    langsmith = receiver("langsmith", {"LANGSMITH_API_KEY": "k", "LANGSMITH_PROJECT": "pictures"})
    assert langsmith.url == "https://api.smith.langchain.com/otel/v1/traces"
    assert langsmith.headers == {"x-api-key": "k", "Langsmith-Project": "pictures"}
    with pytest.raises(UsageError, match="LANGFUSE_PUBLIC_KEY"):
        receiver("langfuse", {})
    with pytest.raises(UsageError, match="write the URL"):
        receiver("somewhere", {})


def test_by_default_nobody_is_told_whatever_the_environment_says(
    terminal: Terminal, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "LANGSMITH_TRACING": "true",
        "LANGCHAIN_TRACING_V2": "true",
        "LANGSMITH_API_KEY": "key",
        "LANGSMITH_ENDPOINT": collector.url,
        "LANGFUSE_PUBLIC_KEY": "key",
        "LANGFUSE_SECRET_KEY": "key",
        "LANGFUSE_HOST": collector.url,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
    }.items():
        monkeypatch.setenv(name, value)
    assert terminal.dialogue(written("talk.json", TALK), "--out", "run").code == 0
    terminal.type("trace", "run", "--html")
    assert collector.requests == []
