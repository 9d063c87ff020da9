"""Models that ship and are addressed like real ones (`fake:`): instant, deterministic, for tests and benchmarks.

What a fake answers is a constant, a sequence (one value per call in order, the last one for ever) or a function of what
is asked. An exception among the values is raised instead.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from magid_graph.errors import OutOfMemory
from magid_graph.models import Message, Reply

if TYPE_CHECKING:
    from PIL.Image import Image

    from magid_graph.models import Vectors

Asked = TypeVar("Asked")
Value = TypeVar("Value")


Scripted: TypeAlias = Value | Exception | Sequence[Value | Exception] | Callable[[Asked], Value]
"""What a fake answers, and what it is asked."""


def scripted(values: Scripted[Value, Asked]) -> Callable[[Asked], Value]:
    """A function that answers as `values` say."""
    if callable(values):
        return values
    script = list(values) if isinstance(values, Sequence) and not isinstance(values, str) else [values]
    coming = iter(script)

    def answer(asked: Asked) -> Value:
        value = next(coming, script[-1])
        if isinstance(value, Exception):
            raise value
        return value

    return answer


def picture_number(image: Image) -> int:
    """A number below 1000 that depends on the pixels only: for scores that no order of calls can change."""
    return int.from_bytes(hashlib.sha256(image.tobytes()).digest()[:4]) % 1000


class FakeChat:
    """Answers this project's prompts the way a plain but obedient model would."""

    can_constrain = False

    def __init__(
        self,
        replies: Scripted[str, Sequence[Message]] | None = None,
        *,
        latency_s: float = 0.0,
        model_id: str = "fake:chat",
    ) -> None:
        self.model_id = model_id
        self._answer: Callable[[Sequence[Message]], str] = scripted(obedient if replies is None else replies)
        self._latency_s = latency_s

    async def reply(
        self,
        messages: Sequence[Message],
        *,
        temperature: float,
        max_tokens: int,
        seed: int | None = None,
        grammar: str | None = None,
        top_p: float = 1.0,
        top_k: int = 0,
    ) -> Reply:
        """The scripted reply, cut at `max_tokens` words; a token is a word."""
        await asyncio.sleep(self._latency_s)
        text = self._answer(messages)
        words = text.split()
        asked = sum(len(message["content"].split()) for message in messages)
        if len(words) > max_tokens:
            return Reply(" ".join(words[:max_tokens]), asked, max_tokens, truncated=True)
        return Reply(text, asked, len(words))

    async def aclose(self) -> None:
        """Nothing to close."""


_SHOWN = re.compile(r"\b(look|here is|here's|here it is|check out|photo|picture|pic|snapped)\b", re.IGNORECASE)
_TURN = re.compile(r"^Utterance: (\d+): (.*)$", re.MULTILINE)
_ABOUT = re.compile(r"belongs to utterance (\d+): |pictures for utterance (\d+) \(")
_SHORTEN = re.compile(r"\bat most (\d+) words", re.IGNORECASE)
_LIST = re.compile(r"\bWrite (\d+) different\b")
_UNSEEN = (
    " a about an and are at be been but can check for from had has have he hello her here here's hers hey hi him his i"
    " i'm is it it's its just let's like lol look looks love me mine my nice of oh ok our ours out photo photos pic"
    " pics picture pictures please she snapped so that that's the their them there these they this those to us very was"
    " we were what with wow yes you your "
)
_VIEWS = ("a picture of", "a clear picture of", "a close view of", "a simple drawing of", "a bright painting of")


def obedient(messages: Sequence[Message]) -> str:
    """A reply in the protocol to a scanner, feedback, shortening or describer prompt."""
    prompt = next((m["content"] for m in messages if m["role"] == "user"), "")
    if about := _ABOUT.search(prompt):
        return _redescribed(prompt, int(about[1] or about[2]))
    if words := _SHORTEN.search(prompt) if "horten this" in prompt else None:
        return f"<result>\n{' '.join(_to_shorten(prompt).split()[: int(words[1])])}\n</result>"
    if count := _LIST.search(prompt):
        topic = _describe(prompt.partition("about ")[2].partition(".")[0]) or "a picture of a house"
        # The list of what there is already ends the prompt, the latest first.
        last = max((int(number) for number in re.findall(r", number (\d+)", prompt)), default=0)
        return "\n".join(f"{n}. {topic}, number {last + n}" for n in range(1, int(count[1]) + 1))
    return _scanned(prompt)


def _scanned(prompt: str) -> str:
    limit = re.search(r"\bat most (\d+)", prompt, re.IGNORECASE)
    turns = [(int(turn), _describe(text)) for turn, text in _TURN.findall(prompt) if _SHOWN.search(text)]
    lines = [f"Utterance: {turn}: {description}" for turn, description in turns if description]
    return _in_tags("these utterances show something", lines[: int(limit[1]) if limit else None])


def _redescribed(prompt: str, turn: int) -> str:
    said = dict(_TURN.findall(prompt)).get(str(turn), "")
    content = (_describe(said) or "a picture of the moment").removeprefix(_VIEWS[0]).strip()
    new = next((f"{view} {content}" for view in _VIEWS[1:] if f"{view} {content}" not in prompt), f"only {content}")
    return _in_tags("the picture was refused", [f"Utterance: {turn}: {new}"])


def _to_shorten(prompt: str) -> str:
    tagged = re.search(r"<description>\s*(.*?)\s*</description>", prompt, re.DOTALL)
    return tagged[1] if tagged else prompt.partition(" words: ")[2]


def _describe(text: str) -> str:
    """The words of an utterance that can be seen; "" where there are none."""
    seen = [word for word in re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", text) if f" {word.lower()} " not in _UNSEEN]
    return f"{_VIEWS[0]} {' '.join(seen)}" if seen else ""


def _in_tags(reason: str, lines: Sequence[str]) -> str:
    result = "\n".join(lines) or "none"
    return f"<reason>{reason if lines else 'nothing is shown'}</reason>\n<result>\n{result}\n</result>"


class FakeTextToImage:
    """Draws coloured squares that depend on prompt and seed; a batch takes the seconds it is told to."""

    max_tokens = 77

    def __init__(
        self,
        *,
        width: int = 64,
        height: int = 64,
        seconds_per_batch: float = 0.0,
        seconds_per_picture: float = 0.0,
        fits: int | None = None,
        pictures: Scripted[Image, tuple[str, int]] | None = None,
        model_id: str = "fake:text_to_image",
    ) -> None:
        """`fits`: pictures of a larger batch are out of memory. `pictures`: instead of squares, by (prompt, seed)."""
        self.model_id = model_id
        self._size = (width, height)
        self._seconds = (seconds_per_batch, seconds_per_picture)
        self._fits = fits
        self._draw: Callable[[tuple[str, int]], Image] = scripted(self._squares if pictures is None else pictures)

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image]:
        """One picture per prompt."""
        if self._fits is not None and len(prompts) > self._fits:
            raise OutOfMemory(f"`{self.model_id}`: {len(prompts)} pictures do not fit")
        if busy := self._seconds[0] + self._seconds[1] * len(prompts):
            time.sleep(busy)
        return [self._draw(call) for call in zip(prompts, seeds, strict=True)]

    def _squares(self, call: tuple[str, int]) -> Image:
        from PIL import Image

        colours = hashlib.shake_128(repr(call).encode()).digest(8 * 8 * 3)
        return Image.frombytes("RGB", (8, 8), colours).resize(self._size, Image.Resampling.NEAREST)

    def count_tokens(self, prompt: str) -> int:
        """Words, and the two tokens around them."""
        return len(prompt.split()) + 2

    def cut(self, prompt: str) -> str:
        """The first words."""
        return " ".join(prompt.split()[: self.max_tokens - 2])


def _spread(image: Image) -> float:
    return 0.1 + 0.3 * picture_number(image) / 1000


class FakeEmbedder:
    """All texts lie in one direction, and each picture at the scripted cosine to it.

    Unscripted, the cosine depends on the pixels and is spread evenly from 0.1 to 0.4, so that both verdicts occur.
    """

    _DIM = 8

    def __init__(
        self,
        similarities: Scripted[float, Image] = _spread,
        *,
        model_id: str = "fake:clip",
    ) -> None:
        self.model_id = model_id
        self._similarity: Callable[[Image], float] = scripted(similarities)

    def embed_images(self, images: Sequence[Image]) -> Vectors:
        """One unit vector per picture; pictures that differ lie in different directions as a rule."""
        import numpy as np

        vectors = np.zeros((len(images), self._DIM), np.float32)
        for vector, image in zip(vectors, images, strict=True):
            cosine = self._similarity(image)
            vector[0] = cosine
            vector[1 + picture_number(image) % (self._DIM - 1)] = (1 - cosine**2) ** 0.5
        return vectors

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """The same unit vector for every text."""
        import numpy as np

        vectors = np.zeros((len(texts), self._DIM), np.float32)
        vectors[:, 0] = 1
        return vectors


class FakeAestheticHead:
    """Gives scripted scores, whatever it is shown."""

    def __init__(
        self,
        scores: Scripted[float, object] = 6.0,
        *,
        embedding: str = "fake:clip",
        model_id: str = "fake:aesthetic",
    ) -> None:
        self.model_id = model_id
        self.embedding = embedding
        self._score: Callable[[object], float] = scripted(scores)

    def score(self, vectors: Vectors) -> list[float]:
        """One per vector."""
        return [self._score(vector) for vector in vectors]


class FakeSafety:
    """Gives scripted probabilities, whatever it is shown."""

    def __init__(
        self,
        scores: Scripted[float, Image] = 0.01,
        *,
        model_id: str = "fake:safety",
    ) -> None:
        self.model_id = model_id
        self._nsfw: Callable[[Image], float] = scripted(scores)

    def nsfw(self, images: Sequence[Image]) -> list[float]:
        """One per picture."""
        return [self._nsfw(image) for image in images]


def _named(image: Image) -> str:
    return f"coloured squares, number {picture_number(image)}"


class FakeCaptioner:
    """Says a scripted caption, or the number of the picture."""

    def __init__(
        self,
        captions: Scripted[str, Image] = _named,
        *,
        model_id: str = "fake:captioner",
    ) -> None:
        self.model_id = model_id
        self._caption: Callable[[Image], str] = scripted(captions)

    def caption(self, images: Sequence[Image], seeds: Sequence[int]) -> list[str]:
        """One per picture."""
        return [self._caption(image) for image in images]
