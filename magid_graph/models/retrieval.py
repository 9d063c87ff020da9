"""Pictures from a folder instead of a diffuser: the nearest by CLIP, the MMDD baseline of the MAGID paper."""

from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from magid_graph.errors import DamagedPicture, ModelUnavailable
from magid_graph.models.weights import folder_of

if TYPE_CHECKING:
    from PIL.Image import Image

    from magid_graph.models import Embedder, Vectors

logger = logging.getLogger(__name__)

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"})


class RetrievalTextToImage:
    """The pictures of a folder, found by the cosine between text and picture.

    The seed picks among the `top_k` nearest: rank `seed mod top_k`, so that a redraw can show another picture.
    `top_k=1` is the plain baseline, whose retries are in vain.

    Args:
        folder: searched with its subfolders; what is not a readable picture is skipped, with a line in the log.
        max_pixels: larger pictures are skipped before they are decoded.

    Raises:
        ModelUnavailable: there is no such folder, or no picture in it.
    """

    max_tokens = sys.maxsize
    """The embedder cuts long texts at its own context."""

    def __init__(
        self, folder: str, embedder: Embedder, *, top_k: int = 3, max_pixels: int = 40_000_000, batch_size: int = 32
    ) -> None:
        root = folder_of(folder)
        if root is None:
            raise ModelUnavailable(f"there is no picture folder `{folder}`: check the path")
        self._embedder, self._top_k, self._max_pixels = embedder, top_k, max_pixels
        self._paths, self._vectors, digest = self._index(root, batch_size)
        self.model_id = f"{root.name}@{digest}"
        self.parameters: dict[str, object] = {"embedder": embedder.model_id, "top_k": top_k}

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image]:
        """One RGB picture per prompt, from among the nearest to it."""
        import numpy as np

        if not prompts:
            return []
        cosines = self._embedder.embed_texts(prompts) @ self._vectors.T
        top = min(self._top_k, len(self._paths))
        # Stable, so that equal cosines are ranked by name and not by chance.
        nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :top]
        return [
            read_picture(self._paths[ranks[seed % top]], max_pixels=self._max_pixels)
            for ranks, seed in zip(nearest, seeds, strict=True)
        ]

    def count_tokens(self, prompt: str) -> int:
        """Words: no description is too long."""
        return len(prompt.split())

    def cut(self, prompt: str) -> str:
        """The prompt itself."""
        return prompt

    def _index(self, root: Path, batch_size: int) -> tuple[list[Path], Vectors, str]:
        """The readable pictures, their embeddings, and a hash of their names and content."""
        import numpy as np

        digest = hashlib.sha256()
        paths: list[Path] = []
        vectors: list[Vectors] = []
        batch: list[Image] = []
        for path in candidates(root):
            try:
                batch.append(read_picture(path, max_pixels=self._max_pixels))
            except DamagedPicture as error:
                logger.warning("%s", error)
                continue
            paths.append(path)
            digest.update(
                f"{path.relative_to(root).as_posix()}\0".encode(errors="surrogateescape") + batch[-1].tobytes()
            )
            if len(batch) == batch_size:
                vectors.append(self._embedder.embed_images(batch))
                batch = []
        if batch:
            vectors.append(self._embedder.embed_images(batch))
        if not paths:
            raise ModelUnavailable(f"there is no readable picture in `{root.name}`: give a folder of pictures")
        return paths, np.concatenate(vectors), digest.hexdigest()[:12]


def candidates(root: Path) -> Iterable[Path]:
    """What may be pictures in a folder and its subfolders, by name."""
    return sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())


def read_picture(path: Path, *, max_pixels: int = 40_000_000) -> Image:
    """The picture upright, in RGB. Raises `DamagedPicture` where it is none, or larger than `max_pixels`."""
    from PIL import ImageOps
    from PIL.Image import DecompressionBombError
    from PIL.Image import open as open_picture

    try:
        with open_picture(path) as picture:
            if picture.width * picture.height > max_pixels:
                raise DamagedPicture(f"`{path.name}` has more than {max_pixels} pixels: it is skipped")
            return ImageOps.exif_transpose(picture).convert("RGB")
    except (OSError, ValueError, SyntaxError, DecompressionBombError) as error:
        raise DamagedPicture(f"`{path.name}` is not a readable picture: it is skipped ({error})") from error
