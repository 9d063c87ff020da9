"""Trains the pocket aesthetic head: `python -m training.pocket.aesthetic DATA_DIR --clip CLIP_FOLDER --out FOLDER`.

A small MLP on the pocket CLIP's embeddings: clean scenes deserve 8, lightly worn ones 7.5, broken ones 3.5 down to 1.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from magid_graph.models.aesthetic import save_head
from magid_graph.models.weights import identity
from training.pocket import scenes
from training.pocket.broken import broken, worn
from training.pocket.clip import CLEAN_SCORE, EMBED, IMAGE_SIZE, image_tokens, pooled, target_score
from training.pocket.progress import quick_type
from training.pocket.world import Split

WORN_SCORE = 7.5
HIDDEN = 48
STEPS = 1500


@torch.no_grad()
def examples(clip_folder: Path, data_dir: Path, split: Split, count: int) -> tuple[Tensor, Tensor]:
    """Embeddings (n, EMBED) of clean, worn and broken pictures, and the scores they deserve (n,)."""
    tower = open_clip.create_model(f"local-dir:{clip_folder}").visual.eval()
    pixels, _ = scenes.read(split, data_dir)
    vectors, scores = [], []
    for i in range(0, count, 256):
        pictures = torch.from_numpy(np.array(pixels[i : min(count, i + 256)])).permute(0, 3, 1, 2).float() / 255
        damaged, severity = broken(pictures[torch.randperm(len(pictures))])
        for kind, score in (
            (pictures, torch.full((len(pictures),), CLEAN_SCORE)),
            (worn(pictures), torch.full((len(pictures),), WORN_SCORE)),
            (damaged, target_score(severity)),
        ):
            vectors.append(pooled(tower, image_tokens(tower, fitted(kind).to(quick_type()))))
            scores.append(score)
    return torch.cat(vectors), torch.cat(scores)


def fitted(pictures: Tensor) -> Tensor:
    """Pictures of any size in 0..1 as the tower's preprocessing gives them."""
    small = F.interpolate(pictures, size=IMAGE_SIZE, mode="bicubic", antialias=True, align_corners=False)
    return small.clamp(0, 1) * 2 - 1


def fit(vectors: Tensor, scores: Tensor) -> nn.Sequential:
    """The head that gives these vectors these scores."""
    head = nn.Sequential(nn.Linear(EMBED, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1))
    nn.init.constant_(head[2].bias, 5.0)
    optimizer = torch.optim.AdamW(head.parameters(), lr=4e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        picks = torch.randint(len(vectors), (512,))
        loss = F.smooth_l1_loss(head(vectors[picks] * EMBED**0.5)[:, 0], scores[picks])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        head[0].weight.mul_(EMBED**0.5)  # the head that is saved reads unit vectors
    return head


def area_under_curve(clean: Tensor, damaged: Tensor) -> float:
    """How often a clean picture scores above a broken one."""
    return float((clean[:, None] > damaged[None, :]).float().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument(
        "--clip", type=Path, required=True, help="the CLIP folder as it ships: the head is bound to its hash"
    )
    parser.add_argument("--count", type=int, default=8000, help="scenes")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(9)
    head = fit(*examples(args.clip, args.data_dir, "train", args.count))
    layers = [(layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in (head[0], head[2])]
    save_head(args.out, layers, embedding=identity(str(args.clip)))
    vectors, scores = examples(args.clip, args.data_dir, "heldout", 1500)
    with torch.no_grad():
        given = head(vectors)[:, 0]
    clean, aged, bad = given[scores == CLEAN_SCORE], given[scores == WORN_SCORE], given[scores < WORN_SCORE]
    print(f"AUC against broken: clean {area_under_curve(clean, bad):.3f}, worn {area_under_curve(aged, bad):.3f}")
    print(f"median clean {clean.median():.2f}, worn {aged.median():.2f}, broken {bad.median():.2f}")


if __name__ == "__main__":
    main()
