"""Muon (Keller Jordan, 2024): momentum whose matrices are made orthogonal before they are applied.

Every direction of a weight matrix then learns at the same speed, also those that only a rare object needs. Scaled as in
Moonlight (arXiv 2502.16982), so that a learning rate that suits AdamW suits it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from training.pocket.progress import quick_type

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic Newton-Schulz iteration, as published."""


@torch.no_grad()
def orthogonal(matrix: Tensor, steps: int = 5) -> Tensor:
    """Roughly the nearest matrix whose singular values are all one."""
    a, b, c = COEFFICIENTS
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if is_tall else matrix).to(quick_type())
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.T if is_tall else x).float()


def optimizers_for(
    weights: Iterable[nn.Parameter], inner: Iterable[nn.Parameter], lr: float, *, decay: float = 0.01
) -> list[torch.optim.Optimizer]:
    """Muon for the weights that are `inner`, the matrices of a model's blocks; AdamW for the others that learn."""
    blocks = [weight for weight in inner if weight.requires_grad]
    known = {id(weight) for weight in blocks}
    others = [weight for weight in weights if weight.requires_grad and id(weight) not in known]
    return [Muon(blocks, lr=lr), torch.optim.AdamW(others, lr=lr, betas=(0.9, 0.98), weight_decay=decay)]


class Muon(torch.optim.Optimizer):
    """For weights of two or more dimensions; the later ones are flattened into columns."""

    def __init__(
        self, weights: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.01
    ) -> None:
        super().__init__(weights, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """Apply one update; `closure` is not used."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, group)

    def _update(self, weight: nn.Parameter, group: dict[str, Any]) -> None:
        assert weight.grad is not None
        state = self.state[weight]
        mean = state.setdefault("mean", torch.zeros_like(weight))
        mean.lerp_(weight.grad, 1 - group["momentum"])
        matrix = weight.grad.lerp(mean, group["momentum"]).flatten(1)
        update = orthogonal(matrix) * 0.2 * max(matrix.shape) ** 0.5
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        weight.add_(update.view_as(weight), alpha=-group["lr"])
