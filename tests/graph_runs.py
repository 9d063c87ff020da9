"""Runs of the real graphs with models that ship for tests."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL.Image import Image

from magid_graph import graph
from magid_graph.artifacts import Artifacts
from magid_graph.config import Settings
from magid_graph.context import Context, Desk, Models
from magid_graph.journal import Journal
from magid_graph.models import Message, Reply
from magid_graph.models.fake import (
    FakeAestheticHead,
    FakeChat,
    FakeEmbedder,
    FakeSafety,
    FakeTextToImage,
    obedient,
)
from magid_graph.records import Attempt, Dialogue, Span, Turn

FAKE = dict.fromkeys(("llm", "text_to_image", "clip", "aesthetic", "safety"), "fake:")

BOAT = ["hello there", "look, here is the red boat on the lake", "lovely!"]
"""The obedient model illustrates turn 1."""


def fake_settings(**changes: Mapping[str, object]) -> Settings:
    """Sections with what differs from the defaults: `fake_settings(retry={"feedback": 0})`."""
    return Settings.model_validate({"models": FAKE, **changes})


def turns(texts: Sequence[str]) -> list[Turn]:
    return [Turn(speaker=None, text=text) for text in texts]


def dialogue(key: str, texts: Sequence[str] = BOAT) -> Dialogue:
    return Dialogue(key=key, turns=turns(texts), source={"file": "made", "index": 0})


def answer(*lines: str) -> str:
    """A reply in the protocol."""
    return "<reason>it can be seen</reason>\n<result>\n" + ("\n".join(lines) or "none") + "\n</result>"


class NotedChat(FakeChat):
    """Keeps what it was asked."""

    def __init__(self, replies: Any = None, *, latency_s: float = 0.0) -> None:
        super().__init__(replies if replies is not None else obedient, latency_s=latency_s)
        self.asked: list[list[Message]] = []

    async def reply(self, messages: Sequence[Message], **options: Any) -> Reply:
        self.asked.append(list(messages))
        return await super().reply(messages, **options)


class NotedPainter(FakeTextToImage):
    """Keeps the batches that it drew."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.batches: list[list[tuple[str, int]]] = []

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image]:
        self.batches.append(list(zip(prompts, seeds, strict=True)))
        return super().generate(prompts, seeds)

    @property
    def drawn(self) -> list[tuple[str, int]]:
        return [call for batch in self.batches for call in batch]


@dataclass
class Fakes:
    """The models of a test, by default obedient and content with every picture."""

    chat: NotedChat = field(default_factory=NotedChat)
    painter: NotedPainter = field(default_factory=NotedPainter)
    clip: Any = field(default_factory=lambda: FakeEmbedder(0.3))
    aesthetic: FakeAestheticHead | None = field(default_factory=FakeAestheticHead)
    safety: FakeSafety | None = field(default_factory=FakeSafety)
    captioner: Any = None

    def models(self) -> Models:
        return Models(
            chat=self.chat,
            text_to_image=self.painter,
            clip=self.clip,
            aesthetic_clip=self.clip,
            aesthetic=self.aesthetic,
            safety=self.safety,
            captioner=self.captioner,
        )

    @property
    def calls(self) -> int:
        """Questions asked and pictures drawn."""
        return len(self.chat.asked) + len(self.painter.drawn)


@asynccontextmanager
async def desk(run_dir: Path, fakes: Fakes, settings: Settings) -> AsyncIterator[tuple[Desk, Journal]]:
    """A desk and its journal, closed again at the end."""
    run_dir.mkdir(parents=True, exist_ok=True)
    journal = Journal(run_dir / "run.db")
    opened = Desk(fakes.models(), settings, journal, Artifacts(run_dir, settings.run.image_format))
    try:
        yield opened, journal
    finally:
        await opened.aclose()
        journal.close()


@dataclass
class Run:
    """What one graph run left."""

    state: dict[str, Any]
    spans: list[Span]

    @property
    def attempts(self) -> list[Attempt]:
        return sorted(self.state["attempts"], key=lambda attempt: (attempt["turn"], attempt["n"]))

    def each(self, name: str) -> list[Any]:
        """One field of all attempts, in order."""
        return [attempt[name] for attempt in self.attempts]  # type: ignore[literal-required]


async def run_dialogue(
    run_dir: Path,
    texts: Sequence[str] = BOAT,
    *,
    fakes: Fakes | None = None,
    settings: Settings | None = None,
    key: str = "a",
    check: Callable[[dict[str, Any]], None] = lambda state: None,
) -> Run:
    """The `dialogue` graph over one dialogue."""
    settings = settings or fake_settings()
    async with desk(run_dir, fakes or Fakes(), settings) as (opened, _):
        context = Context(opened, settings)
        given = {"key": key, "turns": turns(texts)}
        before = copy.deepcopy(given)
        limit = graph.recursion_limit(settings.retry)
        state = await graph.dialogue().ainvoke(given, {"recursion_limit": limit}, context=context)
        assert given == before
        return Run(state, context.spans)
