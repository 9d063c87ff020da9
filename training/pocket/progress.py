"""What every training script here shares: a clock, a learning rate, and a state file that survives interruption."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import torch


class Clock:
    """Counts the processor minutes of all sittings, so that a resumed training ends when one sitting would have.

    Time on the processor: machines are shared, and the learning rate follows the clock.
    """

    def __init__(self, minutes: float, spent_s: float = 0.0) -> None:
        self.limit_s = minutes * 60
        self.started = time.process_time() - spent_s

    @property
    def spent_s(self) -> float:
        return time.process_time() - self.started

    @property
    def fraction(self) -> float:
        """How much of the time is over, 0 to 1."""
        return min(1.0, self.spent_s / self.limit_s)

    @property
    def is_over(self) -> bool:
        return self.spent_s >= self.limit_s


def learning_rate(peak: float, step: int, fraction: float, warmup: int = 200) -> float:
    """A short warm-up, then half a cosine over the time there is, down to a twentieth."""
    return peak * min(1.0, (step + 1) / warmup) * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * fraction)))


def save_state(state: dict[str, Any], path: Path) -> None:
    """Write the state beside `path`, then rename: a killed training leaves the last whole one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def load_state(path: Path) -> dict[str, Any] | None:
    """The saved state, or None at the first start."""
    return torch.load(path, weights_only=True) if path.exists() else None


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def quick_type() -> torch.dtype:
    """The number type that training computes in: half the bits where the processor has instructions for them.

    A processor that has none (AVX2 only) imitates bfloat16 eighty times slower than it computes in single precision.
    """
    has_bfloat16 = torch.cuda.is_available() or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.bfloat16 if has_bfloat16 else torch.float32
