"""The grids of GGUF's blocks of 4 and 5 bits: weights are trained on the grid on which they will ship.

Rounding trained weights afterwards can undo the training: what began on a grid (weights read from a GGUF) has moved by
less than half a step, and goes back to where it was. So the steps are chosen anew once, off the old grid, and from then
on every forward pass sees the weights as they will be written, while small changes add up in the weights behind them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import gguf
import numpy as np
import torch
from torch import Tensor, nn

BLOCK = 32
REACH = 1.0
"""How many steps beyond the grid's end a block's largest weight lies: a finer grid for all, for one that is cut."""
KINDS = {4: gguf.GGMLQuantizationType.Q4_0, 5: gguf.GGMLQuantizationType.Q5_0}


def bits_of(name: str) -> int:
    """More bits where weights are few or matter most."""
    return 4 if ".ffn_" in name else 5


def steps(weight: Tensor, bits: int) -> Tensor:
    """The step of each block of 32 weights, `[blocks, 1]`, in the 16 bits that the file has for it."""
    blocks = weight.detach().reshape(-1, BLOCK)
    largest = blocks.gather(1, blocks.abs().argmax(1, keepdim=True))
    found = (largest / -(2 ** (bits - 1) + REACH)).half().float()
    return torch.where(found == 0, torch.ones_like(found), found)


def grids(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The steps of every matrix."""
    return {name: steps(value, bits_of(name)) for name, value in weights.items() if value.ndim > 1}


def codes(weight: Tensor, step: Tensor, bits: int) -> Tensor:
    half = 2 ** (bits - 1)
    return (weight.detach().reshape(-1, BLOCK) / step).round_().clamp_(-half, half - 1)


def snapped(weight: Tensor, step: Tensor, bits: int) -> Tensor:
    """The weights as a file with these steps says them."""
    return codes(weight, step, bits).mul_(step).view_as(weight)


@contextmanager
def on_grid(model: nn.Module, found: Mapping[str, Tensor]) -> Iterator[None]:
    """Within, the model's matrices lie on their grids; gradients found there are those of the weights behind."""
    behind = {name: value for name, value in model.named_parameters() if name in found}
    free = {name: value.data for name, value in behind.items()}
    for name, value in behind.items():
        value.data = snapped(value, found[name], bits_of(name))
    try:
        yield
    finally:
        for name, value in behind.items():
            value.data = free[name]


def packed(weight: Tensor, step: Tensor, bits: int) -> np.ndarray:
    """The bytes of a matrix as Q4_0 or Q5_0: per block the step, for 5 bits the high bits, and two codes a byte."""
    raw = (codes(weight, step, bits) + 2 ** (bits - 1)).to(torch.uint8).numpy()
    parts = [step.half().numpy().view(np.uint8)]
    if bits == 5:
        parts.append(np.packbits(raw >> 4, axis=-1, bitorder="little"))
    parts.append((raw[:, :16] & 15) | ((raw[:, 16:] & 15) << 4))
    return np.concatenate(parts, axis=-1).reshape(weight.shape[0], -1)
