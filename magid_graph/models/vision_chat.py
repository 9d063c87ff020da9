"""Captions by a chat model with eyes: hosted, or served by vLLM or llama.cpp behind an OpenAI-compatible API."""

from __future__ import annotations

import asyncio
import base64
import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

    from magid_graph.models.chat import OpenAIChat


class VisionChatCaptioner:
    """Asks a chat model about one picture at a time; pictures travel in the question, as data URIs.

    Args:
        chat: the model, on its server; it bounds how many questions are in flight.
        max_side: a larger picture is scaled down to this many pixels on its longer side.
        top_k: 0 is not sent.
    """

    def __init__(
        self,
        chat: OpenAIChat,
        *,
        instruction: str,
        temperature: float = 0.0,
        top_p: float = 1.0,
        top_k: int = 0,
        max_tokens: int = 256,
        max_side: int = 512,
    ) -> None:
        self._chat = chat
        self._max_side = max_side
        self._sampling: dict[str, Any] = {"temperature": temperature, "max_tokens": max_tokens}
        self._sampling |= ({"top_p": top_p} if top_p < 1 else {}) | ({"top_k": top_k} if top_k else {})
        self._instruction = instruction
        self.model_id = chat.model_id
        self.parameters: dict[str, object] = {"instruction": instruction, "max_side": max_side, **self._sampling}

    async def look(self, image: Image, seed: int) -> str:
        """The caption, "" if the model gives none. Raises what `Chat.reply` does."""
        uri = await asyncio.to_thread(data_uri, image, self._max_side)
        question: list[dict[str, Any]] = [
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": uri}},
                    {"type": "text", "text": self._instruction},
                ],
            }
        ]
        return (await self._chat.reply(question, seed=seed, **self._sampling)).text

    async def aclose(self) -> None:
        """Close the connections."""
        await self._chat.aclose()


def data_uri(image: Image, max_side: int) -> str:
    """The picture as a JPEG in a `data:` URI, scaled down to `max_side` pixels on the longer side if it is larger."""
    from PIL.Image import Resampling

    small = image.convert("RGB")
    small.thumbnail((max_side, max_side), Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=92)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
