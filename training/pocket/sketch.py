"""What a picture's objects look like, roughly and in place: the sixteen tokens that the text encoder adds to its code.

A diffuser that hears only *which* objects to draw must learn each one's looks at every spot while it learns to remove
noise, and most of its samples go into that. So the text encoder draws a sketch: for each block of 32 × 32 pixels, the
latents (on their main axes) of the objects alone, without the place. A step of that costs a tenth of a denoising step,
and the diffuser only has to finish what the sketch says.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from training.pocket import words
from training.pocket.drawing import BASELINE, CENTRES, GROUPS, PIXELS, sprite_of
from training.pocket.progress import load_state, save_state
from training.pocket.world import COLOURABLE, COLOURS, IMAGE_SIZE, NAMES, Placed, Scene, Size

BLOCKS_A_SIDE = 4
BLOCKS = BLOCKS_A_SIDE**2
FIRST = 3
"""The token of the first block; the ones before it are the code of first object, second object and setting."""
AXES, WHERE = 100, 112
"""Main axes of a block's 128 latents, then (to WHERE) the block's row and column: attention cannot count tokens.

The token's last coordinates take up what its normalisation demands.
"""
LOUDEST = 95.0
"""Squared length of the loudest sketches, of the 128 that a normalised token has."""

Spot = tuple[int, int]
"""Centre and lift of an object, in pixels; lift -1 stands for the middle of the picture."""


def spots_of(placed: Placed) -> tuple[Spot, ...]:
    """Where the drawing puts an object of one kind, without its shift."""
    if placed.size == "closeup":
        return ((IMAGE_SIZE // 2, -1),)
    return GROUPS[placed.count] if placed.slot == "group" else ((CENTRES[placed.slot], 0),)


def _alone(name: str, size: Size, colour: str | None, spot: Spot, ground: Image.Image) -> Image.Image:
    """The object on `ground`, without place and shadow."""
    picture, sprite, (x, lift) = ground.copy(), sprite_of(name, PIXELS[size], colour), spot
    top = IMAGE_SIZE // 2 - sprite.height // 2 if size == "closeup" else BASELINE + lift - sprite.height
    picture.paste(sprite, (x - sprite.width // 2, top), sprite)
    return picture


def _kinds() -> list[tuple[str, Size, str | None, Spot]]:
    """Every object in every size, colour and spot in which scenes have it."""
    middle = IMAGE_SIZE // 2
    where: list[tuple[Size, Spot]] = [("large", (middle, 0)), ("tiny", (middle, 0)), ("closeup", (middle, -1))]
    where += [("medium", (CENTRES[slot], 0)) for slot in ("left", "right")]
    where += [("small", spot) for spot in dict.fromkeys(spot for group in GROUPS.values() for spot in group)]
    return [
        (name, size, colour, spot)
        for name in NAMES
        for colour in ((None, *COLOURS) if name in COLOURABLE else (None,))
        for size, spot in where
    ]


class Sketches:
    """The sketch of any scene, as a sum over its objects."""

    def __init__(self, state_dir: Path) -> None:
        path = state_dir / "sketches.pt"
        state = load_state(path)
        if state is None:
            state = _drawn(state_dir)
            save_state(state, path)
        self.rows = {kind: row for row, kind in enumerate(_kinds())}
        self.table: Tensor = state["table"][..., :AXES].float()
        self.codes: Tensor = state["codes"]
        """[BLOCKS, words.DIM]: what the encoder's inner layers say at a block's token, before the sketch is drawn."""

    def __call__(self, scenes: list[Scene]) -> Tensor:
        """What an ideal encoder says at the blocks' tokens, [B, BLOCKS, words.DIM]: mean 0 and deviation 1 each."""
        found = torch.zeros(len(scenes), BLOCKS, AXES)
        for i, scene in enumerate(scenes):
            for placed in scene.objects:
                for spot in spots_of(placed):
                    found[i] += self.table[self.rows[placed.name, placed.size, placed.colour, spot]]
        return filled_up(found)


def filled_up(content: Tensor) -> Tensor:
    """The content of blocks [..., BLOCKS, AXES] with their places, and what makes each token one that is normalised."""
    told = torch.cat([content, places().expand(*content.shape[:-1], -1)], -1)
    spare = words.DIM - WHERE
    level = told.sum(-1, keepdim=True) / spare
    rest = (words.DIM - told.square().sum(-1, keepdim=True) - spare * level.square()).clamp(min=0) / spare
    signs = torch.tensor([1.0, -1.0]).repeat(spare // 2)
    return torch.cat([told, rest.sqrt() * signs - level], -1)


def places() -> Tensor:
    """Row and column of each block, [BLOCKS, WHERE - AXES]; each coordinate sums to 0 over the blocks."""
    line = 2.5 * torch.eye(BLOCKS_A_SIDE) - 2.5 / BLOCKS_A_SIDE
    row, column = line.repeat_interleave(BLOCKS_A_SIDE, 0), line.repeat(BLOCKS_A_SIDE, 1)
    return torch.cat([row, column, torch.zeros(BLOCKS, WHERE - AXES - 2 * BLOCKS_A_SIDE)], 1)


def _drawn(state_dir: Path) -> dict[str, Tensor]:
    from training.pocket.autoencoder import CELLS, PATCH, patches_of

    axes = load_state(state_dir / "axes.pt")
    if axes is None:
        raise SystemExit(f"no `axes.pt` in `{state_dir}`: run `training.pocket.autoencoder latents` first")
    patch = ((axes["mean"].view(PATCH, PATCH, 3) + 1) * 127.5).round().clamp(0, 255).byte().numpy()
    ground = np.tile(patch, (CELLS, CELLS, 1))
    empty = (patches_of(ground[None]) - axes["mean"]) @ axes["map"]
    kinds, parts = _kinds(), []
    for start in range(0, len(kinds), 256):
        drawn = np.stack([np.asarray(_alone(*kind, Image.fromarray(ground))) for kind in kinds[start : start + 256]])
        latents = (patches_of(drawn) - axes["mean"]) @ axes["map"] - empty
        parts.append(_blocks(latents))
    blocks = torch.cat(parts)
    rows = blocks.flatten(0, 1)
    _, main = torch.linalg.eigh(rows.T @ rows)
    table = blocks @ main.flip(1)[:, :AXES]
    lengths = table.square().sum(-1).flatten()
    table *= (LOUDEST / lengths[lengths > 0].quantile(0.995)) ** 0.5
    numbers = torch.Generator().manual_seed(21)
    codes = torch.nn.functional.layer_norm(torch.randn(BLOCKS, words.DIM, generator=numbers), (words.DIM,))
    return {"table": table.half(), "codes": codes}


def _blocks(latents: Tensor) -> Tensor:
    """Latents of cells [N, 64, 32] as blocks of two by two [N, 16, 128]."""
    side = BLOCKS_A_SIDE
    grid = latents.view(-1, side, 2, side, 2, latents.shape[-1]).permute(0, 1, 3, 2, 4, 5)
    return grid.reshape(len(latents), BLOCKS, -1)


def imagined(said: Tensor, codes: Tensor) -> Tensor:
    """What ideal inner layers say, [B, FIRST + BLOCKS, DIM], from the ideal code `said` [B, ≥ FIRST, DIM]."""
    return torch.cat([said[:, :FIRST], codes.expand(len(said), -1, -1)], 1)
