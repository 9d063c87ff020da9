"""Perceptual hashes: pictures that look alike have hashes that differ in few bits."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

SAME = 6
"""Bits of 64 in which two pictures that look the same differ at most."""

_SIDE, _KEPT = 32, 8


def phash(image: Image) -> str:
    """16 hex digits: which of the picture's slowest 64 waves (DCT of 32 x 32 grey levels) are above their median."""
    import numpy as np
    from PIL.Image import Resampling

    # `reduce` first: a filter over a megapixel costs twenty times what is gained by its last bit.
    small = image.convert("L").reduce(max(1, min(image.size) // (2 * _SIDE))).resize((_SIDE, _SIDE), Resampling.BOX)
    waves = _cosines() @ np.asarray(small, np.float32) @ _cosines().T
    bits = (waves > np.median(waves)).flatten()
    return f"{int.from_bytes(np.packbits(bits).tobytes(), 'big'):016x}"


def bits_apart(one: str, other: str) -> int:
    """Hamming distance of two hashes, 0 to 64."""
    return (int(one, 16) ^ int(other, 16)).bit_count()


@cache
def _cosines() -> Any:
    """The first rows of the DCT-II of 32 numbers."""
    import numpy as np

    rows, columns = np.arange(_KEPT)[:, None], np.arange(_SIDE)[None, :]
    return np.cos(np.pi * rows * (2 * columns + 1) / (2 * _SIDE)).astype(np.float32)
