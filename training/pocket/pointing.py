"""Lets a UNet's attention begin by looking at the sketch where it belongs.

Which of the sixteen sketch tokens lies where a latent is, gradient descent finds late: after 16,000 samples a UNet that
had been trained without a sketch still drew the same picture with it and without it. So three heads of each attention
over text start from a least-squares answer: their queries say where a latent is, their keys where a token is, their
values hand over what it shows. All of it goes on learning.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import Tensor

from training.pocket.sketch import AXES, WHERE, places

HEADS = 3
"""Heads of each attention that are given over."""
SHARPNESS = 14.0
"""How much likelier a head looks at its own block's token than at one that shares its row only, as a logarithm."""


@torch.no_grad()
def point_at_sketch(unet: UNet2DConditionModel, look: Callable[[], object]) -> None:
    """Set the heads; `look` runs the UNet once on pictures as training shows them."""
    readers = [module for name, module in unet.named_modules() if name.endswith("attn2")]
    for reader in readers:
        seen: list[Tensor] = []
        watch = reader.register_forward_pre_hook(
            lambda _, args, kwargs, seen=seen: seen.append(args[0]), with_kwargs=True
        )
        look()
        watch.remove()
        _point(reader, torch.cat(seen))


def _point(reader: Attention, hidden: Tensor) -> None:
    """Give the weakest heads of one attention new queries, keys and values."""
    width = reader.to_q.out_features // reader.heads
    outward = reader.to_out[0].weight
    strength = outward.square().sum(0).view(reader.heads, width).sum(1)
    where = places()[:, : WHERE - AXES]
    find = _least_squares(hidden.flatten(0, 1), where.repeat(len(hidden), 1))
    scale = (SHARPNESS * width**0.5 / 6.25) ** 0.5
    for i, head in enumerate(strength.argsort()[:HEADS].tolist()):
        rows = slice(head * width, (head + 1) * width)
        said = WHERE - AXES
        reader.to_q.weight[rows][:] = 0
        reader.to_q.weight[rows][:said] = scale * find.T
        reader.to_k.weight[rows][:] = 0
        reader.to_k.weight[rows][:said, AXES:WHERE] = scale * torch.eye(said)
        reader.to_v.weight[rows][:] = 0
        reader.to_v.weight[rows][:, i * width : (i + 1) * width] = torch.eye(width)
        outward[:, rows] = 0.3 * outward.std() * torch.randn(outward.shape[0], width)


def _least_squares(x: Tensor, y: Tensor) -> Tensor:
    """[width, answers]: what to multiply hidden states by to know where they are."""
    gram = x.T @ x + 1e-3 * len(x) * torch.eye(x.shape[1])
    return torch.linalg.solve(gram, x.T @ y)
