"""Ways in which drawn pictures go wrong, for training judges: light wear to ignore, and breakage to recognise.

Everything works on float tensors (n, 3, height, width) in 0..1 and at any resolution.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Breakage = Callable[[Tensor, Tensor], Tensor]
"""Pictures and their severities (n, 1, 1, 1) in 0..1 → broken pictures."""


def blurred(pictures: Tensor, severity: Tensor) -> Tensor:
    """Down to a few pixels and up again: all that survives is the mood."""
    size = pictures.shape[-1]
    cells = round(float(size * (0.26 - 0.19 * severity.mean())))
    small = F.interpolate(pictures, size=max(4, cells), mode="area")
    return F.interpolate(small, size=size, mode="bicubic", align_corners=False)


def noisy(pictures: Tensor, severity: Tensor) -> Tensor:
    """Grain as strong as the picture, or stronger."""
    return pictures + torch.randn_like(pictures) * (0.12 + 0.4 * severity)


def blotched(pictures: Tensor, severity: Tensor) -> Tensor:
    """Half-denoised: soft coloured patches where the sampler has not yet decided, in the size of a latent."""
    size = pictures.shape[-1]
    cells = torch.randn(len(pictures), 3, 8, 8)
    blots = F.interpolate(cells, size=size, mode="bicubic", align_corners=False) * 0.28 + 0.5
    return pictures * (1 - _share(severity)) + blots * _share(severity)


def faded(pictures: Tensor, severity: Tensor) -> Tensor:
    """Washed out to almost one colour."""
    keep = 0.45 - 0.38 * severity
    return pictures.mean((2, 3), keepdim=True) * (1 - keep) + pictures * keep


def doubled(pictures: Tensor, severity: Tensor) -> Tensor:
    """Two pictures on top of each other, neither of them winning."""
    share = 0.3 + 0.2 * severity
    return pictures * (1 - share) + pictures.roll(1, 0) * share


def torn(pictures: Tensor, severity: Tensor) -> Tensor:
    """Strips that slipped sideways."""
    slip = torch.randn(len(pictures), 8, 1) * (0.2 + 0.5 * severity[:, 0])
    rows = F.interpolate(slip[:, None], size=(pictures.shape[-2], 1), mode="nearest")[:, 0]
    return _moved(pictures, rows, torch.zeros(1, 1, 1))


def warped(pictures: Tensor, severity: Tensor) -> Tensor:
    """Melted: every region pulled somewhere else."""
    pull = torch.randn(len(pictures), 2, 6, 6) * (0.12 + 0.18 * severity)
    size = pictures.shape[-1]
    dx, dy = F.interpolate(pull, size=size, mode="bicubic", align_corners=False).unbind(1)
    return _moved(pictures, dx, dy)


def shuffled(pictures: Tensor, severity: Tensor) -> Tensor:
    """Tiles in the wrong places; the worse, the more of them."""
    count = 4 if float(severity.mean()) < 0.5 else 8
    n, _, size, _ = pictures.shape
    tile = size // count
    tiles = F.unfold(pictures, tile, stride=tile)
    order = torch.stack([_partly_shuffled(count * count, float(s)) for s in severity.flatten()])
    moved = tiles.gather(2, order[:, None].expand(n, tiles.shape[1], -1))
    return F.fold(moved, (tile * count, tile * count), tile, stride=tile)


BREAKAGES: tuple[Breakage, ...] = (blurred, noisy, blotched, faded, doubled, torn, warped, shuffled)


def broken(pictures: Tensor, *, least: float = 0.25) -> tuple[Tensor, Tensor]:
    """Every picture broken in one of the ways; also the severities (n,), `least` to 1.

    Neighbours share a way, so shuffle first when that matters.
    """
    severity = least + (1 - least) * torch.rand(len(pictures), 1, 1, 1)
    share = math.ceil(len(pictures) / len(BREAKAGES))
    parts = [
        breakage(part, how_much)
        for breakage, part, how_much in zip(BREAKAGES, pictures.split(share), severity.split(share), strict=False)
    ]
    return torch.cat(parts).clamp(0, 1), severity.flatten()


def worn(pictures: Tensor) -> Tensor:
    """Light wear that a judge of content should not mind: softness, grain, tint, a slip of the warp."""
    kinds = (_soft, _grainy, _tinted, _wobbly, _blocky)
    share = math.ceil(len(pictures) / (len(kinds) + 2))
    parts = pictures.split(share)
    aged = [kind(part) for kind, part in zip(kinds, parts, strict=False)]
    return torch.cat([*aged, *parts[len(aged) :]]).clamp(0, 1)


def _soft(pictures: Tensor) -> Tensor:
    size = pictures.shape[-1]
    small = F.interpolate(pictures, size=round(size * float(torch.empty(1).uniform_(0.46, 0.85))), mode="area")
    return F.interpolate(small, size=size, mode="bilinear", align_corners=False)


def _grainy(pictures: Tensor) -> Tensor:
    return pictures + torch.randn_like(pictures) * torch.rand(len(pictures), 1, 1, 1) * 0.07


def _tinted(pictures: Tensor) -> Tensor:
    gain = torch.empty(len(pictures), 3, 1, 1).uniform_(0.85, 1.15)
    return (pictures * gain + torch.empty(len(pictures), 1, 1, 1).uniform_(-0.06, 0.06)).clamp(0, 1)


def _wobbly(pictures: Tensor) -> Tensor:
    pull = torch.randn(len(pictures), 2, 5, 5) * 0.025
    dx, dy = F.interpolate(pull, size=pictures.shape[-1], mode="bicubic", align_corners=False).unbind(1)
    return _moved(pictures, dx, dy)


def _blocky(pictures: Tensor) -> Tensor:
    """What an 8× autoencoder leaves behind: detail lost in cells, colours slightly off."""
    size = pictures.shape[-1]
    cells = F.interpolate(torch.randn(len(pictures), 3, 16, 16) * 0.05, size=size, mode="bilinear", align_corners=False)
    return _soft(pictures) + cells


def _moved(pictures: Tensor, dx: Tensor, dy: Tensor) -> Tensor:
    """Each pixel taken from elsewhere; shifts (n, height, width) in -1..1 of the half width."""
    size = pictures.shape[-1]
    line = (torch.arange(size) + 0.5) / size * 2 - 1
    across, down = torch.broadcast_tensors(line[None, None, :] + dx, line[None, :, None] + dy)
    grid = torch.stack((across, down), -1)
    return F.grid_sample(pictures, grid, padding_mode="reflection", align_corners=False)


def _partly_shuffled(count: int, severity: float) -> Tensor:
    order = torch.arange(count)
    moving = torch.randperm(count)[: max(6, round(count * (0.3 + 0.7 * severity)))]
    order[moving] = moving[torch.randperm(len(moving))]
    return order


def _share(severity: Tensor) -> Tensor:
    return 0.4 + 0.45 * severity
