"""Models that cost a known time and nothing else, so that what is left is the cost of this project's own work.

They answer from hashes of what they are asked: the same call gives the same answer in any batch, order or process.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as pillow

from magid_graph.config import Generator, Llm, ModelNames, Retry, RunSettings, Settings
from magid_graph.context import Models
from magid_graph.models import Message, Reply
from magid_graph.records import Dialogue

if TYPE_CHECKING:
    from PIL.Image import Image

    from magid_graph.models import Vectors

_KINDS = 64
"""Different small pictures; the first pixel of each tells which it is."""


class Device:
    """A serial device whose batch of b calls takes `a + c * b` seconds: asleep, so that it takes no CPU."""

    def __init__(self, a: float = 0.0, c: float = 0.0) -> None:
        self.a, self.c = a, c
        self.busy_s = 0.0
        self.pictures = 0
        self._lock = threading.Lock()

    def run(self, count: int) -> None:
        with self._lock:
            self.pictures += count
            if self.a or self.c:
                started = time.perf_counter()
                time.sleep(self.a + self.c * count)
                self.busy_s += time.perf_counter() - started


class Talker:
    """A language model that chooses the first `moments` turns, and describes anew when asked to."""

    model_id = "stand-in:chat"
    can_constrain = False

    def __init__(self, *, moments: int = 1, latency_s: float = 0.0) -> None:
        self.calls = 0
        self._moments = moments
        self._latency_s = latency_s

    async def aclose(self) -> None:
        """Nothing to close."""

    async def reply(
        self,
        messages: Sequence[Message],
        *,
        temperature: float,
        max_tokens: int,
        seed: int | None = None,
        grammar: str | None = None,
    ) -> Reply:
        self.calls += 1
        if self._latency_s:
            await asyncio.sleep(self._latency_s)
        return Reply(self._answer(messages[-1]["content"], seed), prompt_tokens=400, completion_tokens=60)

    def _answer(self, question: str, seed: int | None) -> str:
        if "Refused so far:" in question:
            turn = question.partition("belongs to utterance ")[2].partition(":")[0]
            chosen = [f"Utterance: {turn}: a lighthouse on a cliff above a calm sea, view {seed}"]
        else:
            chosen = [f"Utterance: {turn}: a red boat on a lake at dawn, view {seed}" for turn in range(self._moments)]
        return "<reason>They look at something.</reason>\n<result>\n" + "\n".join(chosen) + "\n</result>"


class Painter:
    """Draws one of the given pictures, by the seed, as fast as the device allows."""

    model_id = "stand-in:pictures"
    max_tokens = 77

    def __init__(self, device: Device, pictures: Sequence[Image]) -> None:
        self._device = device
        self._pictures = pictures

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image]:
        self._device.run(len(seeds))
        return [self._pictures[seed % len(self._pictures)] for seed in seeds]

    def count_tokens(self, prompt: str) -> int:
        return len(prompt.split()) + 2

    def cut(self, prompt: str) -> str:
        return " ".join(prompt.split()[: self.max_tokens - 2])


class Looker:
    """Embeds pictures and texts: `refused` of the small pictures, told by their first pixel, match no text."""

    model_id = "stand-in:clip"

    def __init__(self, *, refused: float = 0.0) -> None:
        similarity = np.where(np.arange(256) < refused * _KINDS, 0.1, 0.3)
        self._of_kind = np.stack([similarity, np.sqrt(1 - similarity**2)], axis=1).astype(np.float32)
        self._of_texts = np.tile(np.array([1, 0], np.float32), (256, 1))

    def embed_images(self, images: Sequence[Image]) -> Vectors:
        return self._of_kind[[image.getpixel((0, 0))[0] for image in images]]  # type: ignore[index]

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        return self._of_texts[: len(texts)]


class Critic:
    """Likes every picture."""

    model_id = "stand-in:aesthetic"
    embedding = Looker.model_id

    def score(self, vectors: Vectors) -> list[float]:
        return [6.0] * len(vectors)


class Guard:
    """Finds every picture safe."""

    model_id = "stand-in:safety"

    def nsfw(self, images: Sequence[Image]) -> list[float]:
        return [0.01] * len(images)


def small_pictures() -> list[Image]:
    """Pictures that cost next to nothing to encode."""
    return [_small_picture(kind) for kind in range(_KINDS)]


def _small_picture(kind: int) -> Image:
    """A picture of two colours; the red of its first pixel is `kind`."""
    pixels = np.full((16, 16, 3), 40, np.uint8)
    pixels[8:] = 200
    pixels[0, 0] = (kind, 0, 0)
    return pillow.fromarray(pixels)


def photograph_like(seed: int, side: int) -> Image:
    """Smooth areas under fine grain, which compresses about as badly as a photograph."""
    noise = np.random.default_rng(seed)
    coarse = pillow.fromarray(noise.integers(0, 255, (8, 8, 3), np.uint8)).resize((side, side))
    grain = noise.integers(-6, 7, (side, side, 3), np.int16)
    return pillow.fromarray(np.clip(np.asarray(coarse, np.int16) + grain, 0, 255).astype(np.uint8))


def models(painter: Painter, *, talker: Talker | None = None, refused: float = 0.0) -> Models:
    looker = Looker(refused=refused)
    return Models(
        chat=talker or Talker(),
        text_to_image=painter,
        clip=looker,
        aesthetic_clip=looker,
        aesthetic=Critic(),
        safety=Guard(),
    )


def settings(*, batch_size: int = 8, in_flight: int = 0, provenance: bool = False, spans: bool = True) -> Settings:
    """The paper's own retries: three attempts, one feedback, three more.

    `provenance`: with it every picture is a file of its own, written and synced; without, equal ones are one file.
    """
    named = ModelNames(llm="fake:", text_to_image="fake:", clip="fake:", aesthetic="fake:", safety="fake:")
    return Settings(
        models=named,
        llm=Llm(),
        generator=Generator(batch_size=batch_size),
        retry=Retry(regenerate=2, feedback=1),
        run=RunSettings(in_flight=in_flight, provenance=provenance, spans=spans),
    )


def dialogues(count: int, *, first: int = 0) -> Iterator[Dialogue]:
    """Eight turns each, as people write them."""
    for n in range(first, first + count):
        turns = [{"speaker": "ab"[turn % 2], "text": f"{_TALK[turn]} ({n})"} for turn in range(len(_TALK))]
        yield Dialogue(key=f"dialogue-{n}", turns=turns, source={"file": "made", "index": n})  # type: ignore[typeddict-item]


_TALK = (
    "look what came in this morning, right at the end of our jetty",
    "a red boat! whose is it?",
    "nobody knows, it was tied to the post when I got up",
    "is there a name on it?",
    "no name, only a number on the stern, half gone",
    "ask at the harbour, they keep a list",
    "good idea, I will walk over after breakfast",
    "tell me what they say",
)
