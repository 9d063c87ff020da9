"""Makes the autoencoder: 128×128 pixels to 8×8 latents of 32 channels and back.

    python -m training.pocket.autoencoder latents DATA --state DIR
        DIR/axes.pt and DIR/still.npy, float16 [N, 32, 8, 8]
    python -m training.pocket.autoencoder train DATA --state DIR --minutes 60
        DIR/vae, a diffusers AutoencoderKL

The latents are not learnt: they are the main axes (PCA) of the world's 16×16 patches, which already draw every
object recognisably when read back linearly. So the diffuser can start at once, and the decoder, which is taught to
draw sharply from them, trains beside it. The encoder learns to find the same latents. State is saved as it goes; a
script started again goes on.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from training.pocket.drawing import backdrop
from training.pocket.progress import Clock, device, learning_rate, load_state, quick_type, save_state
from training.pocket.scenes import read
from training.pocket.world import Scene, render

CHANNELS = (8, 16, 48, 96, 128)
LATENTS = 32
PATCH = 16
CELLS = 8
CROP_CELLS = 5
"""Side of the crops that most of the training draws, in patches: 39 % of the pixels, nearly all of the objects."""
NOISE = 0.1
"""Noise on the latents in training: a decoder that shrugs it off forgives a diffuser its small errors."""
SAVE_EVERY_S = 90


def build() -> AutoencoderKL:
    """An untrained autoencoder: most of its width where pictures are small, because that is where it is cheap."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(CHANNELS),
        up_block_types=("UpDecoderBlock2D",) * len(CHANNELS),
        block_out_channels=CHANNELS,
        latent_channels=LATENTS,
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=PATCH * CELLS,
        mid_block_add_attention=False,
        scaling_factor=1.0,
        force_upcast=False,
    )


def patches_of(pixels: np.ndarray) -> Tensor:
    """Pictures cut up: [N, 128, 128, 3] uint8 to [N, 64, 768] in -1..1."""
    pictures = torch.from_numpy(np.array(pixels)).float() / 127.5 - 1
    cut = pictures.view(-1, CELLS, PATCH, CELLS, PATCH, 3).permute(0, 1, 3, 2, 4, 5)
    return cut.reshape(-1, CELLS * CELLS, PATCH * PATCH * 3)


def fit_axes(pixels: np.ndarray, samples: int = 3000) -> dict[str, Tensor]:
    """Mean patch [768] and the map to latents [768, 32].

    Each axis is divided by the root of its deviation, not by all of it: the coarse axes stay louder than the fine
    ones, so that a diffuser settles them first, but not so much louder that it neglects the fine ones. The whole
    has deviation 1.
    """
    patches = patches_of(pixels[:samples]).flatten(0, 1)
    mean = patches.mean(0)
    covariance = (patches - mean).T @ (patches - mean) / len(patches)
    variances, axes = torch.linalg.eigh(covariance)
    spread = variances.flip(0)[:LATENTS].sqrt()
    return {"mean": mean, "map": axes.flip(1)[:, :LATENTS] / (spread.sqrt() * spread.mean().sqrt())}


def write_latents(data_dir: Path, state_dir: Path) -> None:
    """Fit the axes, and project every training scene on them, drawn with each object exactly in its slot.

    Two pixels of shift change most of the fine latents of an object: an hour is enough to learn it in one position.
    """
    pixels, scenes = read("train", data_dir)
    axes = load_state(state_dir / "axes.pt")
    if axes is None:
        axes = fit_axes(pixels)
        save_state(axes, state_dir / "axes.pt")
    shape = (len(scenes), LATENTS, CELLS, CELLS)
    latents = np.lib.format.open_memmap(state_dir / "still.npy", mode="w+", dtype=np.float16, shape=shape)
    for start in range(0, len(scenes), 500):
        drawn = np.stack([np.asarray(render(_still(scene))) for scene in scenes[start : start + 500]])
        found = (patches_of(drawn) - axes["mean"]) @ axes["map"]
        latents[start : start + 500] = found.transpose(1, 2).reshape(-1, LATENTS, CELLS, CELLS).numpy()
    latents.flush()


def _still(scene: Scene) -> Scene:
    return replace(scene, objects=tuple(replace(placed, dx=0, dy=0) for placed in scene.objects))


@cache
def _empty_place(setting: str, variant: int) -> np.ndarray:
    return np.asarray(backdrop(setting, variant))


class Crops:
    """Windows of training scenes, objects in their slots, with their latents and a mask of the objects."""

    def __init__(self, data_dir: Path, state_dir: Path, seed: int) -> None:
        _, self.scenes = read("train", data_dir)
        self.latents = np.load(state_dir / "still.npy", mmap_mode="r")
        self.rng = np.random.default_rng(seed)

    def batch(self, size: int, cells: int) -> tuple[Tensor, Tensor, Tensor]:
        """Latents [B, 32, c, c], pictures in -1..1 [B, 3, 16c, 16c], masks [B, 1, 16c, 16c]."""
        parts = [self._one(int(row), cells) for row in self.rng.integers(len(self.scenes), size=size)]
        latents, pictures, behind = (np.stack(column) for column in zip(*parts, strict=True))
        mask = torch.from_numpy((pictures != behind).any(-1)).float().unsqueeze(1)
        wanted = torch.from_numpy(pictures).float().permute(0, 3, 1, 2).contiguous() / 127.5 - 1
        return torch.from_numpy(latents).float(), wanted, mask

    def _one(self, row: int, cells: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        room = CELLS - cells
        # Objects stand in the lower half; one window in four looks elsewhere.
        is_low = self.rng.random() < 0.75
        top = int(self.rng.integers(max(0, room - 1) if is_low else 0, room + 1))
        left = int(self.rng.integers(room + 1))
        scene = _still(self.scenes[row])
        rows, columns = slice(top * PATCH, (top + cells) * PATCH), slice(left * PATCH, (left + cells) * PATCH)
        picture, behind = np.asarray(render(scene)), _empty_place(scene.setting, scene.variant)
        latents = self.latents[row, :, top : top + cells, left : left + cells]
        return latents, picture[rows, columns], behind[rows, columns]


def loss_of(drawn: Tensor, wanted: Tensor, objects: Tensor) -> Tensor:
    """Absolute error of colours and of edges, objects counting three times."""
    weight = 1 + 2 * objects
    error = drawn - wanted
    across = ((error[..., 1:] - error[..., :-1]).abs() * weight[..., 1:]).mean()
    down = ((error[..., 1:, :] - error[..., :-1, :]).abs() * weight[..., 1:, :]).mean()
    return (error.abs() * weight).mean() + 0.5 * (across + down)


def train(data_dir: Path, state_dir: Path, *, minutes: float, peak: float, batch: int) -> None:
    """Teach the decoder to draw, and in every fourth batch the encoder to find the latents.

    Crops at first, whole pictures at the end.
    """
    where, path = device(), state_dir / "autoencoder.pt"
    model = build().to(where).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=peak, betas=(0.9, 0.99))
    step, clock = 0, Clock(minutes)
    state = load_state(path)
    if state is not None:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step, clock = state["step"], Clock(minutes, state["spent_s"])
    crops = Crops(data_dir, state_dir, seed=step + 1)
    running, saved_s = 0.0, clock.spent_s
    while not clock.is_over:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(peak, step, clock.fraction)
        whole = clock.fraction > 0.8 or step % 10 == 0
        latents, wanted, objects = (
            part.to(where) for part in crops.batch(batch // 2 if whole else batch, CELLS if whole else CROP_CELLS)
        )
        with torch.autocast(where.type, torch.bfloat16, enabled=quick_type() == torch.bfloat16):
            loss = loss_of(model.decode(latents + NOISE * torch.randn_like(latents)).sample.float(), wanted, objects)
            if step % 4 == 0:
                loss = loss + 0.2 * nn.functional.mse_loss(model.encode(wanted).latent_dist.mean.float(), latents)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        running += loss.item()
        if step % 100 == 0:
            print(f"step {step} loss {running / 100:.4f} {clock.spent_s:.0f} s {clock.fraction:.0%}", flush=True)
            running = 0.0
        if clock.spent_s - saved_s > SAVE_EVERY_S or clock.is_over:
            saved_s = clock.spent_s
            save_state(
                {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "spent_s": saved_s},
                path,
            )
            save_folder(model, state_dir)


def save_folder(model: AutoencoderKL, state_dir: Path) -> None:
    """Write DIR/vae; its posterior spreads as much as the noise it was trained with."""
    with torch.no_grad():
        model.quant_conv.weight[LATENTS:] = 0
        model.quant_conv.bias[LATENTS:] = 2 * float(np.log(NOISE))
    model.save_pretrained(state_dir / "vae")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=("latents", "train"))
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--state", type=Path, required=True, help="folder for the training state and the result")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--batch", type=int, default=16)
    args = parser.parse_args()
    torch.manual_seed(0)
    if args.stage == "latents":
        write_latents(args.data_dir, args.state)
    else:
        train(args.data_dir, args.state, minutes=args.minutes, peak=args.lr, batch=args.batch)


if __name__ == "__main__":
    main()
