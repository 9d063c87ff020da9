"""Seeds that depend on what is drawn, never on batch, order, shard or resume."""

from __future__ import annotations

import hashlib


def seed_for(run_seed: int, key: str, *place: int | str) -> int:
    """A seed in [0, 2**31) for one place (turn, attempt, …) of one item."""
    # Not `hash()`: Python salts it per process, and a resumed run must redraw the same picture.
    text = "\x1f".join([str(run_seed), key, *map(str, place)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
