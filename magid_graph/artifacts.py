"""Pictures as files: named by their content, never half-written."""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import shutil
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from magid_graph.errors import DamagedPicture, StorageFailed
from magid_graph.provenance import Provenance
from magid_graph.recent import Recent
from magid_graph.records import ImageFile

if TYPE_CHECKING:
    from PIL.Image import Image

_KEPT_PIXELS = 64 * 1024 * 1024
"""Kept decoded between generator and QA: two large batches of 1024 x 1024, 200 MB, whatever the pictures' size."""

_NEIGHBOURS = itertools.count()
"""Tells the half-written files of one process apart; a process id, those of several."""


class Artifacts:
    """The `images/` of a run directory. Its methods block and may be called from any thread."""

    def __init__(self, run_dir: Path, image_format: Literal["png", "jpeg"] = "png") -> None:
        self._run_dir = run_dir
        self._format = image_format
        self._recent: Recent[str, Image] = Recent(_KEPT_PIXELS, size=_pixels)

    def save(self, image: Image, provenance: Provenance | None = None) -> ImageFile:
        """Write the picture, with where it comes from, and return its record; the same picture is written once."""
        data = self._encode(image, provenance)
        sha256 = hashlib.sha256(data).hexdigest()
        path = f"images/{sha256[:2]}/{sha256}.{self._format}"
        file = ImageFile(sha256=sha256, path=path, width=image.width, height=image.height)
        if not self.is_intact(file):
            # All neighbours in one folder, where `sweep` finds them: there may be millions of pictures in the others.
            write_atomically(self._run_dir / path, data, beside=self._run_dir / "images")
        # What a resumed run would read from the file, and judge, is not what was drawn when the format loses detail.
        if self._format == "png":
            self._recent.put(sha256, image)
        return file

    def open(self, file: ImageFile) -> Image:
        """The picture, RGB. Raises `DamagedPicture` where the file is missing or not what was written."""
        image = self._recent.get(file["sha256"])
        if image is None:
            image = self._decode(file)
            self._recent.put(file["sha256"], image)
        return image

    def is_intact(self, file: ImageFile) -> bool:
        """Whether the bytes on disk are those that were written."""
        try:
            return hashlib.sha256((self._run_dir / file["path"]).read_bytes()).hexdigest() == file["sha256"]
        except OSError:
            return False

    def _encode(self, image: Image, provenance: Provenance | None) -> bytes:
        buffer = io.BytesIO()
        if self._format == "png":
            # Twice as fast as the default, and as small for photographs; the usual level 1 is slower and larger.
            told = provenance.for_png() if provenance else {}
            image.save(buffer, "PNG", compress_level=1, compress_type=zlib.Z_RLE, **told)
        else:
            told = provenance.for_jpeg() if provenance else {}
            image.save(buffer, "JPEG", quality=95, subsampling=0, **told)
        return buffer.getvalue()

    def _decode(self, file: ImageFile) -> Image:
        from PIL import Image as pillow

        if not self.is_intact(file):
            raise DamagedPicture(
                f"`{file['path']}` is missing or damaged; `magid-graph retry` draws it again, unless it was given"
            )
        with pillow.open(self._run_dir / file["path"]) as image:
            return image.convert("RGB")


def _pixels(image: Image) -> int:
    return image.width * image.height


def sweep(run_dir: Path) -> None:
    """Remove what a killed process left half-written. For whoever holds the run's lock."""
    for folder in (run_dir, run_dir / "images", run_dir / "dataset", run_dir / "exports"):
        for part in folder.glob(".*.part"):
            if part.is_dir():
                shutil.rmtree(part, ignore_errors=True)
            else:
                part.unlink(missing_ok=True)


def write_atomically(path: Path, data: bytes, *, beside: Path | None = None) -> None:
    """Write to a neighbour, fsync, rename: readers see the old file, the new one, or none; never half of one.

    `beside`: the neighbour's folder, on the same file system; unset: that of `path`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not `tempfile`: its names, modes and checks took half of the time of a small picture.
        neighbour = (beside or path.parent) / f".{os.getpid()}-{next(_NEIGHBOURS)}.part"
        try:
            with neighbour.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            neighbour.replace(path)
        except BaseException:
            neighbour.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StorageFailed(f"`{path}` cannot be written: {error.strerror or error}") from error
