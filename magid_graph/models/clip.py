"""Pictures and texts in one space, by any open_clip model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magid_graph.errors import ItemError, ModelUnavailable
from magid_graph.models.device import memory_guard, pick_device, pick_dtype
from magid_graph.models.weights import folder_of, identity, opening

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from magid_graph.models import Vectors


class OpenClipEmbedder:
    """An open_clip model.

    Args:
        model: `ViT-B-32/openai` (architecture/pretrained tag, as `open_clip.list_pretrained()` has them),
            `hf-hub:owner/name`, `local-dir:folder` or just the folder. Only safetensors weights are opened.
        batch_size: texts or pictures per forward pass, at most.

    `model_id` is `ViT-B-32/openai`, `hf-hub:owner/name`, or for a folder its name with a hash of its files
    (`clip@0123456789ab`): a head trained on its embeddings is bound to exactly these weights.

    Raises:
        ModelUnavailable: there is no such model, or its weights cannot be had.
    """

    def __init__(self, model: str, *, device: str = "auto", dtype: str = "auto", batch_size: int = 64) -> None:
        import torch

        self._device = pick_device(device)
        # Cosines are compared with limits that were set in float32, and bfloat16 keeps three digits: half precision is
        # float16 here, the format that CLIP was trained in.
        wanted = pick_dtype(dtype, self._device)
        self._dtype = torch.float16 if dtype == "auto" and wanted is torch.bfloat16 else wanted
        self._batch_size = batch_size
        with opening(model):
            self._model, self._preprocess, self._tokenizer, self.model_id = _open(model, self._dtype, self._device)

    def embed_images(self, images: Sequence[Image]) -> Vectors:
        """One unit vector per picture, float32 (n, dim)."""

        def encode(batch: Sequence[Image]) -> torch.Tensor:
            import torch

            pixels = torch.stack([self._preprocess(image.convert("RGB")) for image in batch])
            return self._tensor(self._model.encode_image(pixels.to(self._device, self._dtype)))

        return self._embed(images, encode)

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """One unit vector per text, float32 (n, dim); longer texts are cut at the model's context."""

        def encode(batch: Sequence[str]) -> torch.Tensor:
            return self._tensor(self._model.encode_text(self._tokenizer(list(batch)).to(self._device)))

        return self._embed(texts, encode)

    @staticmethod
    def _tensor(encoded: torch.Tensor) -> torch.Tensor:
        return encoded.float()

    def _embed(self, things: Sequence[Any], encode: Callable[[Sequence[Any]], torch.Tensor]) -> Vectors:
        import numpy as np
        import torch

        if not things:
            return np.zeros((0, self.dim), dtype=np.float32)
        with memory_guard(f"a batch for `{self.model_id}`", self._device), torch.inference_mode():
            starts = range(0, len(things), self._batch_size)
            encoded = torch.cat([encode(things[start : start + self._batch_size]) for start in starts])
            vectors = torch.nn.functional.normalize(encoded, dim=-1).cpu().numpy()
        if not np.isfinite(vectors).all():
            # A cosine that is not a number would pass every "smaller than the limit" test.
            raise ItemError(f"`{self.model_id}` gave an embedding that is not a number")
        return vectors.astype(np.float32, copy=False)

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        import torch

        with torch.inference_mode():
            return int(self._model.encode_text(self._tokenizer(["a"]).to(self._device)).shape[-1])


def _open(model: str, dtype: torch.dtype, device: torch.device) -> tuple[Any, Any, Any, str]:
    """The model, its preprocessing, its tokenizer and its id."""
    import open_clip
    import torch

    precision = {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16"}[dtype]
    name, options, model_id = _source(model)
    network, _, preprocess = open_clip.create_model_and_transforms(name, precision=precision, device=device, **options)
    return network.eval(), preprocess, open_clip.get_tokenizer(name), model_id


def _source(model: str) -> tuple[str, dict[str, Any], str]:
    """open_clip's name for the model, options for opening it, and our id."""
    if model.startswith("hf-hub:"):
        _require_hub_weights(model.removeprefix("hf-hub:"))
        return model, {}, model
    path = model.removeprefix("local-dir:")
    if model.startswith("local-dir:") or Path(path).expanduser().is_dir():
        folder = folder_of(path)
        if folder is None or not any(folder.glob("*.safetensors")):
            # open_clip would warn and go on with random weights, or open a pickle.
            raise ModelUnavailable(f"`{path}` is not a folder with an open_clip model's `.safetensors` weights")
        return f"local-dir:{folder}", {}, identity(str(folder))
    return _tagged(model)


def _tagged(model: str) -> tuple[str, dict[str, Any], str]:
    """A built-in architecture with a pretrained tag, whose weights are fetched now if need be."""
    import open_clip
    from open_clip.pretrained import download_pretrained

    architecture, _, tag = model.rpartition("/")
    config = open_clip.get_pretrained_cfg(architecture, tag) if architecture else None
    if not config:
        raise ModelUnavailable(
            f"open_clip has no model `{model}`: write `architecture/pretrained`, e.g. `ViT-B-32/openai`, "
            f"`hf-hub:owner/name` or `local-dir:folder`"
        )
    # The hub knows the weights by another name, which is the one to download.
    with opening(str(config.get("hf_hub") or model).rstrip("/")):
        weights_path = str(download_pretrained(config))
    if not weights_path.endswith(".safetensors"):
        raise ModelUnavailable(f"the weights of `{model}` are a pickle, which is not opened: choose another tag")
    # OpenAI's weights were trained with QuickGELU, which the plain architecture names do not switch on; open_clip only
    # warns, and the cosines come out wrong.
    return architecture, {"pretrained": tag, "force_quick_gelu": bool(config.get("quick_gelu", False))}, model


def _require_hub_weights(repository: str) -> None:
    """Fail here where open_clip would only log that there are no weights, and go on with random ones."""
    from open_clip.pretrained import download_pretrained_from_hf

    with opening(repository):
        weights_path = str(download_pretrained_from_hf(repository))
    if not weights_path.endswith(".safetensors"):
        raise ModelUnavailable(
            f"the weights of `hf-hub:{repository}` are a pickle, which is not opened: choose another model"
        )
