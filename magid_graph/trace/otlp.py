"""A run's node runs as OpenTelemetry spans with OpenInference attributes, sent where the person says and nowhere else.

They are made from the journal, when asked for: while a run works, nothing is traced to anybody. Pictures are named by
their files; their bytes are never sent.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from magid_graph.errors import MagidError, MissingExtra, UsageError
from magid_graph.records import Exchange, ImageFile
from magid_graph.trace.reading import Reading, Trace
from magid_graph.trace.steps import Step

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

_BATCH = 50
"""Items whose spans are sent together."""

_KINDS = {"generator": "TOOL", "qa": "EVALUATOR"}
"""OpenInference's kinds of span; other nodes are `CHAIN`."""


class NotSent(MagidError):
    """The receiver of spans could not be reached, or refused them."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where spans go."""

    url: str
    headers: Mapping[str, str]


def receiver(name: str, environment: Mapping[str, str] = os.environ) -> Receiver:
    """The receiver of this URL, or that of `langfuse` or `langsmith` by their own environment variables.

    Raises:
        UsageError: it is neither, or a variable is missing.
    """

    def needed(variable: str) -> str:
        if not (value := environment.get(variable)):
            raise UsageError(f"`--otlp {name}` needs the environment variable `{variable}`")
        return value

    if name == "langfuse":
        keys = f"{needed('LANGFUSE_PUBLIC_KEY')}:{needed('LANGFUSE_SECRET_KEY')}"
        host = environment.get("LANGFUSE_BASE_URL") or environment.get("LANGFUSE_HOST") or "https://cloud.langfuse.com"
        token = base64.b64encode(keys.encode()).decode()
        return Receiver(_traces(host.rstrip("/") + "/api/public/otel"), {"Authorization": f"Basic {token}"})
    if name == "langsmith":
        host = environment.get("LANGSMITH_ENDPOINT") or "https://api.smith.langchain.com"
        headers = {"x-api-key": needed("LANGSMITH_API_KEY")}
        if project := environment.get("LANGSMITH_PROJECT"):
            headers["Langsmith-Project"] = project
        return Receiver(_traces(host.rstrip("/") + "/otel"), headers)
    if not name.startswith(("http://", "https://")):
        raise UsageError(f"`--otlp {name}`: write the URL of an OTLP/HTTP receiver, `langfuse` or `langsmith`")
    return Receiver(_traces(name), {})


def send(reading: Reading, to: Receiver) -> int:
    """Send the spans of all items, batch by batch. Returns how many were sent.

    Raises:
        MissingExtra: the packages of the extra `otlp` are not installed.
        NotSent: a batch was not taken; those before it were.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import SpanExportResult
    except ImportError:
        raise MissingExtra("`--otlp`", "otlp") from None
    exporter = OTLPSpanExporter(endpoint=to.url, headers=dict(to.headers), timeout=10)
    sent = 0
    try:
        for spans in _batches(reading):
            if exporter.export(spans) is not SpanExportResult.SUCCESS:
                raise NotSent(f"`{to.url}` did not take the spans ({sent} were sent before); is a receiver there?")
            sent += len(spans)
    finally:
        exporter.shutdown()  # type: ignore[no-untyped-call]
    return sent


def _traces(url: str) -> str:
    return url if url.rstrip("/").endswith("/v1/traces") else url.rstrip("/") + "/v1/traces"


def _batches(reading: Reading) -> Iterator[list[ReadableSpan]]:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    made = InMemorySpanExporter()
    # Of its own: the process may have a provider for other ends, and that one is left alone.
    provider = TracerProvider(resource=Resource({"service.name": "magid-graph"}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(made))
    tracer = provider.get_tracer("magid_graph")
    traces = (trace for trace in reading.traces() if trace.steps)
    while some := list(islice(traces, _BATCH)):
        for trace in some:
            _item(tracer, reading, trace)
        yield list(made.get_finished_spans())
        made.clear()


def _item(tracer: Any, reading: Reading, trace: Trace) -> None:
    begin = min(step.started_at for step in trace.steps)
    end = max(step.started_at + step.duration_s for step in trace.steps)
    attributes = {
        "openinference.span.kind": "CHAIN",
        "session.id": reading.run.path.resolve().name,
        "magid.key": trace.key,
        "magid.state": trace.state,
        "magid.reason": trace.reason,
        **_value("input", trace.input),
        **_value("output", [image["path"] for image in _kept(trace)]),
    }
    item = _begin(tracer, trace.kind, begin, attributes)
    for step in trace.steps:
        _step(tracer, step, item)
    _end(item, end, trace.message if trace.state == "failed" else None)


def _kept(trace: Trace) -> list[ImageFile]:
    images = [attempt["image"] for attempt in trace.attempts if attempt["verdict"] == "accept"]
    return [image for image in images if image is not None]


def _step(tracer: Any, step: Step, parent: Any) -> None:
    attempt = step.attempt
    attributes: dict[str, Any] = {
        "openinference.span.kind": _KINDS.get(step.node, "CHAIN"),
        "magid.turn": step.turn,
        "magid.attempt": step.number,
        "magid.edge": step.edge,
        "magid.why": step.why or None,
        **_value("input", step.read.get("description")),
        **_value("output", step.wrote),
    }
    if attempt is not None:
        image = attempt["image"]
        attributes |= {"magid.seed": attempt["seed"], "magid.prompt": attempt["prompt"]}
        attributes |= {"magid.image.path": image and image["path"], "magid.image.sha256": image and image["sha256"]}
    for one in step.scores():
        attributes |= {f"magid.score.{one.score}": one.value, f"magid.limit.{one.limit_name}": one.limit}
    span = _begin(tracer, step.node, step.started_at, attributes, parent)
    at = step.started_at
    for exchange in step.exchanges:
        # What was asked again was asked one after the other; the journal has no clock for each.
        asked = _begin(tracer, "llm", at, _llm(exchange), span)
        at += exchange["duration_s"]
        _end(asked, at, None)
    _end(span, step.started_at + step.duration_s, step.error)


def _begin(tracer: Any, name: str, at: float, attributes: Mapping[str, Any], parent: Any = None) -> Any:
    from opentelemetry.context import Context
    from opentelemetry.trace import set_span_in_context

    there = {key: value for key, value in attributes.items() if value is not None}
    # An empty context: whatever span the process is in is no parent of these.
    context = Context() if parent is None else set_span_in_context(parent, Context())
    return tracer.start_span(name, context=context, attributes=there, start_time=_ns(at))


def _end(span: Any, at: float, error: str | None) -> None:
    from opentelemetry.trace import Status, StatusCode

    span.set_status(Status(StatusCode.ERROR, error) if error else Status(StatusCode.OK))
    span.end(end_time=_ns(at))


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)


def _value(side: str, value: object) -> dict[str, Any]:
    """`input.value` or `output.value`, and whether it is text or JSON."""
    if value is None:
        return {}
    if isinstance(value, str):
        return {f"{side}.value": value, f"{side}.mime_type": "text/plain"}
    return {f"{side}.value": json.dumps(value, ensure_ascii=False), f"{side}.mime_type": "application/json"}


def _llm(exchange: Exchange) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "openinference.span.kind": "LLM",
        "llm.model_name": exchange["model"],
        "llm.token_count.prompt": exchange["prompt_tokens"],
        "llm.token_count.completion": exchange["completion_tokens"],
        "llm.token_count.total": exchange["prompt_tokens"] + exchange["completion_tokens"],
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.content": exchange["reply"],
        "magid.cached": exchange["cached"],
        **_value("output", exchange["reply"]),
    }
    for n, message in enumerate(exchange["messages"]):
        attributes[f"llm.input_messages.{n}.message.role"] = message["role"]
        attributes[f"llm.input_messages.{n}.message.content"] = _text(message["content"])
    return attributes


def _text(content: object) -> str:
    """A message's text; of one that shows a picture, the text alone: bytes are never sent."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(part["text"] for part in parts if isinstance(part, dict) and part.get("type") == "text")
