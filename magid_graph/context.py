"""What a run lends to its nodes: models behind batchers and the call cache, settings, a place for spans."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from magid_graph.artifacts import Artifacts
from magid_graph.config import Settings, fingerprint
from magid_graph.diversity import Seen
from magid_graph.errors import BlankPicture
from magid_graph.journal import Asked
from magid_graph.models import (
    AestheticHead,
    Captioner,
    Chat,
    Embedder,
    Message,
    Onlooker,
    Reply,
    SafetyClassifier,
    TextToImage,
    is_onlooker,
)
from magid_graph.models.batcher import Batcher
from magid_graph.models.diffusion import blank
from magid_graph.phash import phash
from magid_graph.provenance import Provenance
from magid_graph.readers.text import normalise
from magid_graph.recent import Recent
from magid_graph.records import Attempt, End, ImageFile, Pair, Span

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    Vector = np.ndarray[Any, np.dtype[np.float32]]

T = TypeVar("T")
R = TypeVar("R")

_MAX_WAITING = 4096
_SAVERS = 4
_KEPT_VECTORS = 2048
"""Embeddings kept for the next check or attempt that wants them: some 6 MB."""


@dataclass(frozen=True, slots=True)
class Models:
    """The models of a run, opened."""

    chat: Chat
    text_to_image: TextToImage
    clip: Embedder
    aesthetic_clip: Embedder
    """The same object as `clip` where both checks share an embedding."""
    aesthetic: AestheticHead | None
    safety: SafetyClassifier | None
    captioner: Captioner | Onlooker | None = None


class Calls(Protocol):
    """Where finished calls are kept: a run's journal, or that of a branch with what its original paid for."""

    def recall(self, call: str) -> dict[str, Any] | None:
        """What the call with this hash returned, if it is known."""

    def remember(self, call: str, kind: str, value: dict[str, Any]) -> None:
        """Keep what a call returned."""


@dataclass(slots=True)
class Tally:
    """What the live view shows of the models' work."""

    llm_calls: int = 0
    llm_tokens: int = 0
    drawn: int = 0
    captions: int = 0
    from_cache: int = 0


class Desk:
    """Where nodes hand in their model calls: merged into batches, cached by content, saved off the event loop."""

    def __init__(self, models: Models, settings: Settings, journal: Calls, artifacts: Artifacts) -> None:
        self.models = models
        self.artifacts = artifacts
        self.tally = Tally()
        self._settings = settings
        self._journal = journal
        self._drawing_recipe = self._recipe()
        size = settings.qa.batch_size
        self._draw: Batcher[tuple[str, int], Image] = Batcher(
            self._generate, name="text_to_image", max_batch=settings.generator.batch_size, max_waiting=_MAX_WAITING
        )
        # Encoding lets go of the interpreter's lock, and a sync to disk waits: both gain from threads.
        self._savers = ThreadPoolExecutor(_SAVERS, "artifacts")
        self._embed: dict[str, Batcher[list[ImageFile | str], list[Vector]]] = {
            embedder.model_id: Batcher(
                partial(self._embed_all, embedder), name="embedding", max_batch=size, max_waiting=_MAX_WAITING
            )
            for embedder in (models.clip, models.aesthetic_clip)
        }
        self._vectors: Recent[tuple[str, str, str], Vector] = Recent(_KEPT_VECTORS)
        self._nsfw: Batcher[ImageFile, float] = Batcher(
            self._classify, name="safety", max_batch=size, max_waiting=_MAX_WAITING
        )
        self._captions: Batcher[tuple[ImageFile, int], str] = Batcher(
            self._caption, name="captioner", max_batch=settings.captioner.batch_size, max_waiting=_MAX_WAITING
        )

    async def aclose(self) -> None:
        batchers: tuple[Batcher[Any, Any], ...] = (
            self._draw,
            *self._embed.values(),
            self._nsfw,
        )
        for batcher in (*batchers, self._captions):
            await batcher.aclose()
        self._savers.shutdown()
        await self.models.chat.aclose()
        if self.models.captioner is not None and is_onlooker(self.models.captioner):
            await self.models.captioner.aclose()

    # -- the language model

    async def ask(
        self,
        messages: Sequence[Message],
        *,
        temperature: float,
        seed: int,
        grammar: str | None,
        top_p: float = 1.0,
        top_k: int = 0,
    ) -> tuple[Reply, str, bool]:
        """The reply, the hash of the call, and whether it came from the cache."""
        chat, max_tokens = self.models.chat, self._settings.llm.max_tokens
        grammar = grammar if chat.can_constrain else None
        question = {
            "model": chat.model_id,
            "messages": [dict(message) for message in messages],
            "temperature": temperature,
            "max_tokens": max_tokens,
            "seed": seed,
            "grammar": grammar,
        }
        # Only where they say something: not every chat model has them.
        limits: dict[str, Any] = ({"top_p": top_p} if top_p < 1 else {}) | ({"top_k": top_k} if top_k else {})
        question |= limits
        call = fingerprint("chat", question)
        if (known := self._journal.recall(call)) is not None:
            self.tally.from_cache += 1
            return _reply(known), call, True
        started = time.perf_counter()
        reply = await chat.reply(
            messages, temperature=temperature, max_tokens=max_tokens, seed=seed, grammar=grammar, **limits
        )
        reply = replace(reply, text=normalise(reply.text))
        self.tally.llm_calls += 1
        self.tally.llm_tokens += reply.prompt_tokens + reply.completion_tokens
        answer = {
            "reply": reply.text,
            "prompt_tokens": reply.prompt_tokens,
            "completion_tokens": reply.completion_tokens,
            "truncated": reply.truncated,
            "duration_s": round(time.perf_counter() - started, 4),
        }
        self._journal.remember(call, "chat", question | answer)
        return reply, call, False

    # -- drawing

    async def draw(self, prompt: str, seed: int, *, retry: bool) -> ImageFile:
        """One picture on disk. Raises `BlankPicture` where the model drew nothing."""
        call = fingerprint("picture", self._drawing_recipe, prompt, seed)
        known = self._journal.recall(call)
        if known is not None:
            kept: ImageFile = known["image"]
            if await self._beside(self.artifacts.is_intact, kept):
                self.tally.from_cache += 1
                return kept
        image = await self._draw.submit((prompt, seed), retry=retry)
        self.tally.drawn += 1
        file = await self._beside(partial(self._save, provenance=self._provenance(call, seed)), image)
        if file is None:
            raise BlankPicture(f"`{self.models.text_to_image.model_id}` drew a blank picture for `{prompt}`")
        self._journal.remember(call, "picture", {"prompt": prompt, "seed": seed, "image": file})
        return file

    def _save(self, image: Image, provenance: Provenance | None) -> ImageFile | None:
        return None if blank(image) else self.artifacts.save(image, provenance)

    def _provenance(self, recipe: str, seed: int) -> Provenance | None:
        if not self._settings.run.provenance:
            return None
        model = self._settings.models.text_to_image
        is_found = model.startswith("retrieval:")
        return Provenance(recipe, self.models.text_to_image.model_id, seed, is_generated=not is_found)

    async def _beside(self, work: Callable[[T], R], on: T) -> R:
        """Do what reads or writes files beside the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._savers, work, on)

    def _recipe(self) -> dict[str, object]:
        """Everything besides prompt and seed that a picture depends on."""
        settings = self._settings
        return {
            "model": self.models.text_to_image.model_id,
            "image_format": settings.run.image_format,
            **settings.generator.model_dump(mode="json", exclude={"batch_size", "compile", "max_faults", "too_long"}),
        }

    def _generate(self, calls: list[tuple[str, int]]) -> list[Image]:
        prompts, seeds = zip(*calls, strict=True)
        return self.models.text_to_image.generate(prompts, seeds)

    # -- judging

    async def vectors(self, embedder: Embedder, *shown: ImageFile | str) -> list[Vector]:
        """Embeddings of pictures and texts, in order; all checks and attempts that read one share it."""
        places = [_place(embedder, thing) for thing in shown]
        known = [self._vectors.get(place) for place in places]
        missing = [thing for thing, vector in zip(shown, known, strict=True) if vector is None]
        made = iter(await self._embed[embedder.model_id].submit(missing) if missing else ())
        found = [next(made) if vector is None else vector for vector in known]
        for place, vector in zip(places, found, strict=True):
            self._vectors.put(place, vector)
        return found

    async def nsfw(self, file: ImageFile) -> float:
        return await self._nsfw.submit(file)

    async def caption(self, file: ImageFile, seed: int) -> str:
        """What the picture shows, in the captioner's words; each picture is asked about once."""
        captioner = self.models.captioner
        assert captioner is not None
        parameters = getattr(captioner, "parameters", {})
        call = fingerprint("caption", captioner.model_id, parameters, file["sha256"], seed)
        if (known := self._journal.recall(call)) is not None:
            self.tally.from_cache += 1
            return str(known["caption"])
        if is_onlooker(captioner):
            said = await captioner.look(await self._beside(self.artifacts.open, file), seed)
        else:
            said = await self._captions.submit((file, seed))
        caption = normalise(said)
        self.tally.captions += 1
        self._journal.remember(call, "caption", {"image": file, "caption": caption})
        return caption

    async def phash(self, file: ImageFile) -> str:
        """The picture's perceptual hash."""
        return await self._beside(self._hash, file)

    def _hash(self, file: ImageFile) -> str:
        return phash(self.artifacts.open(file))

    def _embed_all(self, embedder: Embedder, calls: list[list[ImageFile | str]]) -> list[list[Vector]]:
        """Pictures and texts of one batch, each kind in one call to the model."""
        shown = [thing for call in calls for thing in call]
        texts = [thing for thing in shown if isinstance(thing, str)]
        files = [thing for thing in shown if not isinstance(thing, str)]
        of_texts = iter(embedder.embed_texts(texts) if texts else ())
        of_files = iter(embedder.embed_images(self._opened(files)) if files else ())
        return [[next(of_texts if isinstance(thing, str) else of_files) for thing in call] for call in calls]

    def _opened(self, files: Sequence[ImageFile]) -> list[Image]:
        return [self.artifacts.open(file) for file in files]

    def _classify(self, files: list[ImageFile]) -> list[float]:
        assert self.models.safety is not None
        return self.models.safety.nsfw(self._opened(files))

    def _caption(self, calls: list[tuple[ImageFile, int]]) -> list[str]:
        assert self.models.captioner is not None
        assert not is_onlooker(self.models.captioner)
        files, seeds = zip(*calls, strict=True)
        return self.models.captioner.caption(self._opened(files), seeds)


@dataclass(frozen=True, slots=True)
class Context:
    """What one graph run works with, and what it leaves: `spans`, `asked`, `attempts`, `pairs`, a chain's `ends`."""

    desk: Desk
    settings: Settings
    retries: int = 0
    """How often this item was taken up again after a failure: that many more questions and draws are allowed."""
    seeds: Mapping[tuple[int, int], int] = field(default_factory=dict)
    """Seeds that a person chose, by turn and number of the attempt."""
    spans: list[Span] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    """Kept here as well as in the state, which is lost when a graph run fails and not read when it succeeds."""
    pairs: list[Pair] = field(default_factory=list)
    ends: list[End] = field(default_factory=list)
    """Why a chain has no next iteration; nothing while it goes on."""
    seen: Seen | None = None
    """All first descriptions of the run so far; for the describer."""

    async def ask(
        self,
        node: str,
        messages: Sequence[Message],
        *,
        seed: int,
        turn: int | None = None,
        grammar: str | None = None,
        temperature: float | None = None,
        top_p: float = 1.0,
        top_k: int = 0,
    ) -> Reply:
        """The language model's reply, recorded as an exchange of this item."""
        warmth = self.settings.llm.temperature if temperature is None else temperature
        reply, call, cached = await self.desk.ask(
            messages, temperature=warmth, seed=seed, grammar=grammar, top_p=top_p, top_k=top_k
        )
        self.asked.append(Asked(node, turn, call, cached))
        return reply


def _place(embedder: Embedder, shown: ImageFile | str) -> tuple[str, str, str]:
    """Where the embedding of a picture or text is kept."""
    kind, name = ("text", shown) if isinstance(shown, str) else ("picture", shown["sha256"])
    return embedder.model_id, kind, name


def _reply(known: dict[str, Any]) -> Reply:
    return Reply(known["reply"], known["prompt_tokens"], known["completion_tokens"], known["truncated"])
