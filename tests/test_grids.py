"""The pocket language model's weights on the grids of its file."""

from __future__ import annotations

import gguf
import pytest
import torch
from torch import nn

from training.pocket import grids


@pytest.mark.parametrize("bits", [4, 5])
def test_a_file_says_the_weights_as_training_saw_them(bits: int) -> None:
    torch.manual_seed(0)
    weight = torch.randn(6, 64)
    weight[0, :32] = 0
    step = grids.steps(weight, bits)
    read = gguf.quants.dequantize(grids.packed(weight, step, bits), grids.KINDS[bits])
    assert torch.allclose(torch.from_numpy(read), grids.snapped(weight, step, bits), atol=1e-6)
    assert (grids.snapped(weight, step, bits) - weight).abs().max() < (0.5 if bits == 4 else 0.3)


def test_weights_read_from_a_file_are_not_rounded_back_to_what_they_were() -> None:
    torch.manual_seed(0)
    begun = grids.snapped(weight := torch.randn(64, 320), grids.steps(weight, 4), 4)
    learned = 0.05 * torch.randn_like(begun)
    moved = begun + learned
    written = grids.snapped(moved, grids.steps(moved, 4), 4)
    kept = ((written - begun) * learned).mean() / learned.square().mean()
    assert kept > 0.8


def test_gradients_on_the_grid_move_the_weights_behind() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(32, 4, bias=False))
    before = model[0].weight.detach().clone()
    found = grids.grids(dict(model.named_parameters()))
    with grids.on_grid(model, found):
        assert not torch.equal(model[0].weight, before)
        model(torch.ones(1, 32)).sum().backward()
    assert torch.equal(model[0].weight, before)
    assert model[0].weight.grad is not None
