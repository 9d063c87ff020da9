"""Captions by any transformers model that reads a picture and writes text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from magid_graph.models.device import memory_guard, pick_device, pick_dtype
from magid_graph.models.weights import folder_of, identity, opening

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

INSTRUCTION = "Describe this image in detail."


class TransformersCaptioner:
    """A chat model with eyes (LLaVA, Qwen-VL, SmolVLM …) or a plain image-to-text one (BLIP, a vision-encoder-decoder).

    Args:
        model: hub id or folder with safetensors weights.
        instruction: what a chat model is asked; plain models are not asked anything.
        temperature: 0 always takes the likeliest token; otherwise `top_k` and `top_p` limit what may be drawn.

    A caption depends on its picture and seed only (up to rounding), also within a batch: each picture draws from a
    random generator of its own, which transformers' own sampling does not offer.

    Raises:
        ModelUnavailable: the weights cannot be had.
    """

    def __init__(
        self,
        model: str,
        *,
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        instruction: str = INSTRUCTION,
        max_new_tokens: int = 128,
        temperature: float = 0.0,
        top_p: float = 1.0,
        top_k: int = 0,
    ) -> None:
        self._device = pick_device(device)
        self._dtype = pick_dtype(dtype, self._device)
        self._instruction = instruction
        self._max_new_tokens = max_new_tokens
        self._temperature, self._top_p, self._top_k = temperature, top_p, top_k
        self.parameters: dict[str, object] = {
            "instruction": instruction,
            "max_new_tokens": max_new_tokens,
            "temperature": temperature,
            "top_p": top_p,
            "top_k": top_k,
        }
        with opening(model):
            self._model, self._images, self._tokenizer, self._processor = _open(model, revision, self._dtype)
            self._model.to(self._device).eval()
        self.model_id = identity(model, revision)
        # A decoder with learned positions fails beyond its last one; two are kept for the start and the end.
        positions = getattr(getattr(self._model.config, "decoder", None), "n_positions", None)
        if positions is not None:
            self._max_new_tokens = min(max_new_tokens, positions - 2)

    def caption(self, images: Sequence[Image], seeds: Sequence[int]) -> list[str]:
        """One caption per picture, in order."""
        import torch

        if not images:
            return []
        pictures = [image.convert("RGB") for image in images]
        with memory_guard(f"a batch of {len(pictures)} captions", self._device), torch.inference_mode():
            inputs = self._inputs(pictures)
            tokens = self._model.generate(
                **inputs,
                do_sample=False,
                num_beams=1,
                max_new_tokens=self._max_new_tokens,
                logits_processor=self._sampling(seeds),
            )
            written = tokens[:, inputs["input_ids"].shape[1] :] if "input_ids" in inputs else tokens
            texts: list[str] = self._tokenizer.batch_decode(written, skip_special_tokens=True)
        return [" ".join(text.split()) for text in texts]

    def _inputs(self, pictures: list[Image]) -> dict[str, Any]:
        """The model's arguments: pixels only, or the instruction around each picture."""
        if self._processor is None:
            inputs = self._images(images=pictures, return_tensors="pt")
            return {"pixel_values": inputs["pixel_values"].to(self._device, self._dtype)}
        chats = [
            [
                {
                    "role": "user",
                    "content": [{"type": "image", "image": picture}, {"type": "text", "text": self._instruction}],
                }
            ]
            for picture in pictures
        ]
        # Padding goes before the text: what is written must follow it without a gap.
        inputs = self._processor.apply_chat_template(
            chats,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True, "padding_side": "left"},
        )
        return {name: self._placed(value) for name, value in inputs.items()}

    def _placed(self, value: Any) -> Any:
        if not hasattr(value, "to"):
            return value
        return value.to(self._device, self._dtype) if value.is_floating_point() else value.to(self._device)

    def _sampling(self, seeds: Sequence[int]) -> Any:
        """What makes "take the likeliest" a draw: temperature and limits as in sampling, then each row's own noise."""
        from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

        steps: list[Any] = []
        if self._temperature > 0:
            steps.append(TemperatureLogitsWarper(float(self._temperature)))
            if self._top_k > 0:
                steps.append(TopKLogitsWarper(self._top_k))
            if self._top_p < 1:
                steps.append(TopPLogitsWarper(self._top_p))
            steps.append(_Gumbel(seeds, self._device))
        return LogitsProcessorList(steps)


class _Gumbel:
    """Adds Gumbel noise to the logits, row by row: the largest sum is then an exact draw from their softmax."""

    def __init__(self, seeds: Sequence[int], device: torch.device) -> None:
        import torch

        self._generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        import torch

        noise = torch.empty_like(scores, dtype=torch.float32)
        for row, generator in zip(noise, self._generators, strict=True):
            row.exponential_(generator=generator)
        return scores.float() - noise.log()


def _open(model: str, revision: str | None, dtype: torch.dtype) -> tuple[Any, Any, Any, Any]:
    """The model, its image processor, its tokenizer, and the chat processor where it is a chat model."""
    from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoProcessor, AutoTokenizer

    source = {"revision": revision, "local_files_only": folder_of(model) is not None}
    network = AutoModelForImageTextToText.from_pretrained(model, dtype=dtype, use_safetensors=True, **source)
    if network.config.model_type == "vision-encoder-decoder":
        # Such a folder names no processor that joins the two.
        return (
            network,
            AutoImageProcessor.from_pretrained(model, **source),
            AutoTokenizer.from_pretrained(model, **source),
            None,
        )
    processor = AutoProcessor.from_pretrained(model, **source)
    chat = processor if getattr(processor, "chat_template", None) else None
    return network, processor.image_processor, processor.tokenizer, chat
