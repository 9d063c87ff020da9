"""Draws many scenes ahead of training: `python -m training.pocket.scenes OUT --train 50000 --heldout 2000`.

Writes OUT/scenes_{train,heldout}.npy (uint8, [N, 128, 128, 3]) and .jsonl (one scene a line, same order).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from random import Random

import numpy as np

from training.pocket.world import IMAGE_SIZE, Scene, Split, render, sample_scene

SEEDS: dict[Split, int] = {"train": 11, "heldout": 987_654_321}


def scenes_of(split: Split, count: int) -> list[Scene]:
    """The first `count` scenes of a split; a longer list starts with the shorter one."""
    rng = Random(SEEDS[split])
    return [sample_scene(rng) for _ in range(count)]


def write(split: Split, count: int, out_dir: Path) -> None:
    """Draw `count` scenes of the split into `out_dir`."""
    out_dir.mkdir(parents=True, exist_ok=True)
    scenes = scenes_of(split, count)
    with (out_dir / f"scenes_{split}.jsonl").open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(scene.to_json()) + "\n" for scene in scenes)
    path = out_dir / f"scenes_{split}.npy"
    shape = (count, IMAGE_SIZE, IMAGE_SIZE, 3)
    pixels = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    for i, scene in enumerate(scenes):
        pixels[i] = np.asarray(render(scene))
    pixels.flush()


def read(split: Split, data_dir: Path) -> tuple[np.ndarray, list[Scene]]:
    """The pictures (memory-mapped) and scenes that `write` left."""
    pixels = np.load(data_dir / f"scenes_{split}.npy", mmap_mode="r")
    lines = (data_dir / f"scenes_{split}.jsonl").read_text(encoding="utf-8").splitlines()
    return pixels, [Scene.from_json(json.loads(line)) for line in lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out_dir", type=Path)
    parser.add_argument("--train", type=int, default=50_000)
    parser.add_argument("--heldout", type=int, default=2_000)
    args = parser.parse_args()
    write("heldout", args.heldout, args.out_dir)
    write("train", args.train, args.out_dir)


if __name__ == "__main__":
    main()
