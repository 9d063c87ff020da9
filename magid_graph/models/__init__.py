"""What nodes call: small protocols over lists. One model family per file, opened by `models.opening`.

Heavy libraries are imported when a model is opened, never when this package is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from typing_extensions import TypeIs

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    Vectors = np.ndarray[Any, np.dtype[np.float32]]
    """L2-normalised embeddings, shape (n, dim), float32."""

Message = Mapping[str, str]
"""`{"role": "system" | "user" | "assistant", "content": text}`"""


@dataclass(frozen=True, slots=True)
class Reply:
    """A language model's answer."""

    text: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    truncated: bool = False
    """The reply ended because `max_tokens` was reached."""


class Chat(Protocol):
    """A language model that answers messages."""

    model_id: str
    can_constrain: bool
    """Whether `grammar` is honoured."""

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
        """One answer. Raises `ModelUnavailable`, `ServerUnreachable` (stop the run) or `ServerFailed` (this call)."""

    async def aclose(self) -> None:
        """Close its connections."""


class TextToImage(Protocol):
    """Draws descriptions."""

    model_id: str
    max_tokens: int
    """Tokens of a prompt that the text encoder reads; the rest would be ignored silently."""

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image]:
        """One RGB picture per prompt, in order; picture i depends on prompt i and seed i only.

        May return blank pictures (the caller checks); raises `OutOfMemory` when the batch does not fit.
        """

    def count_tokens(self, prompt: str) -> int:
        """Tokens of the prompt as the text encoder counts them, special tokens included."""

    def cut(self, prompt: str) -> str:
        """The prompt's longest beginning, in whole words, that fits `max_tokens`."""


class Embedder(Protocol):
    """A CLIP model: pictures and texts in one space."""

    model_id: str

    def embed_images(self, images: Sequence[Image]) -> Vectors:
        """One unit vector per picture."""

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """One unit vector per text; longer texts are cut at the model's context."""


class AestheticHead(Protocol):
    """A head on image embeddings of one particular model."""

    model_id: str
    embedding: str
    """`model_id` of the only `Embedder` whose vectors it can read."""

    def score(self, vectors: Vectors) -> list[float]:
        """Nominally 1 to 10, one per vector."""


class SafetyClassifier(Protocol):
    """Looks for unsafe pictures."""

    model_id: str

    def nsfw(self, images: Sequence[Image]) -> list[float]:
        """Probability that each picture is unsafe, 0 to 1."""


class Captioner(Protocol):
    """Describes pictures."""

    model_id: str

    def caption(self, images: Sequence[Image], seeds: Sequence[int]) -> list[str]:
        """One caption per picture, in order."""


class Onlooker(Protocol):
    """Describes one picture at a time, by asking a server."""

    model_id: str

    async def look(self, image: Image, seed: int) -> str:
        """The caption. Raises `ModelUnavailable`, `ServerUnreachable` (stop the run) or `ServerFailed` (this call)."""

    async def aclose(self) -> None:
        """Close its connections."""


def is_onlooker(captioner: Captioner | Onlooker) -> TypeIs[Onlooker]:
    """Whether it is asked about one picture at a time, rather than given a batch."""
    return hasattr(captioner, "look")
