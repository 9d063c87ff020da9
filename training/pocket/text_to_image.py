"""Trains the pocket diffuser: a text encoder that knows the world's words, and a UNet that turns noise into latents.

    python -m training.pocket.text_to_image words DATA --state DIR --minutes 45
        the text encoder, from captions alone
    python -m training.pocket.text_to_image unet DATA --state DIR --minutes 75
        flow matching on DIR/still.npy
    python -m training.pocket.text_to_image export DATA --state DIR --out FOLDER
        the diffusers pipeline folder, float16

DATA holds the scenes and `words/` (see words.py); DIR is where autoencoder.py left its latents and VAE. Language is
learnt apart from pictures, because captions cost nothing: the encoder is taught to say in a fixed code what a
caption's scene contains, the UNet to draw from that code. So both can be trained at the same time; started again
when the encoder is there, the UNet also hears what it really says.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from random import Random

import numpy as np
import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, StableDiffusionPipeline, UNet2DConditionModel
from torch import Tensor, nn
from transformers import BertModel

from training.pocket import words
from training.pocket.hearing import (
    answers,
    codebook,
    encode,
    load_encoder,
    read_things,
    states_of,
    tokens_of,
    train_sketch,
    train_words,
)
from training.pocket.muon import optimizers_for
from training.pocket.pointing import point_at_sketch
from training.pocket.progress import Clock, device, learning_rate, load_state, quick_type, save_state
from training.pocket.scenes import read
from training.pocket.sketch import Sketches
from training.pocket.world import Scene, caption

LATENTS = 32
SIDE = 8
UNDESCRIBED = 0.1
"""Share of pictures trained without a caption, for classifier-free guidance."""
FLOW_SHIFT = 3.0
SAVE_EVERY_S = 90


def build_unet() -> UNet2DConditionModel:
    """Convolutions at 8×8, attention at 4×4 only: on a CPU twice the samples per second of attention at both."""
    return UNet2DConditionModel(
        sample_size=SIDE,
        in_channels=LATENTS,
        out_channels=LATENTS,
        cross_attention_dim=words.DIM,
        block_out_channels=(96, 144),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        mid_block_type=None,
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=16,
        attention_head_dim=6,
        time_embedding_dim=128,
        use_linear_projection=True,
    )


class Speaker:
    """Turns training scenes into text states: ideal ones, and once it is trained, the text encoder's own for a half.

    Where the encoder mishears a caption the ideal state is kept: the UNet should learn its accent, not its mistakes.
    """

    def __init__(self, scenes: list[Scene], data_dir: Path, state_dir: Path) -> None:
        self.scenes, self.codes = scenes, codebook(state_dir)
        self.said = torch.tensor([answers(scene) for scene in scenes])
        self.sketched = Sketches(state_dir)(scenes).half()
        self.trained = load_encoder(data_dir, state_dir) if (state_dir / "text.pt").exists() else None

    def __call__(self, rows: np.ndarray, rng: Random) -> Tensor:
        """States [B, 40, 128] for the scenes at `rows`, some of them silent."""
        said = self.said[rows]
        said[torch.rand(len(rows)) < UNDESCRIBED] = -1
        states = states_of(said, self.sketched[rows].float(), self.codes)
        states = states + 0.2 * torch.rand(len(rows), 1, 1) * torch.randn_like(states)
        if self.trained is not None:
            part = len(rows) // 2
            own, right = self._own(rows[:part], rng)
            states[:part][right] = own[right]
        return states

    @torch.no_grad()
    def _own(self, rows: np.ndarray, rng: Random) -> tuple[Tensor, Tensor]:
        """What the encoder makes of a caption of each scene, and where it understood every thing."""
        assert self.trained is not None
        tokenizer, encoder = self.trained
        silent = torch.tensor([rng.random() < UNDESCRIBED for _ in rows])
        texts = ["" if hush else caption(self.scenes[row], rng) for row, hush in zip(rows, silent, strict=True)]
        states = encode(encoder, tokens_of(tokenizer, texts))
        right = (read_things(states, self.codes) == self.said[rows, :, 0]).all(1)
        return states, right | silent


def shares_of(scenes: list[Scene], focus: float) -> np.ndarray:
    """How often each scene is drawn from: `focus` times as often as others if it shows two objects."""
    weights = [focus if len(scene.objects) == 2 else 1.0 for scene in scenes]
    return np.array(weights) / sum(weights)


def begun_unet(folder: Path | None) -> UNet2DConditionModel:
    """An untrained UNet, or the one of the pipeline in `folder`."""
    unet = build_unet()
    if folder is not None:
        unet.load_state_dict(UNet2DConditionModel.from_pretrained(folder / "unet").float().state_dict())
    return unet


def noise_level(count: int) -> Tensor:
    """Random levels, 0 to 1, [count, 1, 1, 1]."""
    # What the text decides is decided while the picture is still noise, so most samples are taken there.
    return torch.sigmoid(torch.randn(count, 1, 1, 1) + 0.7)


def mixed(clean: Tensor, noise: Tensor, level: Tensor) -> Tensor:
    return clean + level * (noise - clean)


def train_unet(
    data_dir: Path,
    state_dir: Path,
    *,
    minutes: float,
    peak: float,
    batch: int,
    focus: float,
    begin_from: Path | None = None,
) -> None:
    """Flow matching: from latents and noise mixed at a random level, predict noise minus latents."""
    fixed = torch.from_numpy(np.load(state_dir / "still.npy"))
    _, scenes = read("train", data_dir)
    speak = Speaker(scenes, data_dir, state_dir)
    where, path = device(), state_dir / "unet.pt"
    unet, smooth = begun_unet(begin_from), build_unet().to(where)
    if not path.exists():
        rows = np.arange(256)
        states, clean = speak(rows, Random(3)), fixed[rows].float()
        level, noise = noise_level(len(rows)), torch.randn_like(clean)
        point_at_sketch(unet, lambda: unet(mixed(clean, noise, level), level.flatten() * 1000, states))
    unet.to(where).train()
    smooth.load_state_dict(unet.state_dict())
    inner = [weight for name, weight in unet.named_parameters() if "_blocks." in name and weight.ndim > 1]
    optimizers = optimizers_for(unet.parameters(), inner, peak)
    step, clock = 0, Clock(minutes)
    state = load_state(path)
    if state is not None:
        unet.load_state_dict(state["model"])
        smooth.load_state_dict(state["smooth"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        step, clock = state["step"], Clock(minutes, state["spent_s"])
    rng, numbers, shares = Random(step + 7), np.random.default_rng(step + 7), shares_of(scenes, focus)
    running, saved_s = 0.0, clock.spent_s
    while not clock.is_over:
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(peak, step, clock.fraction)
        rows = numbers.choice(len(scenes), size=batch, p=shares)
        states = speak(rows, rng).to(where)
        clean = fixed[rows].float().to(where)
        noise = torch.randn_like(clean)
        level = noise_level(batch).to(where)
        with torch.autocast(where.type, torch.bfloat16, enabled=quick_type() == torch.bfloat16):
            flow = unet(mixed(clean, noise, level), level.flatten() * 1000, states).sample
        loss = (flow.float() - (noise - clean)).square().mean()
        unet.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        step += 1
        with torch.no_grad():
            keep = min(0.999, step / (step + 10))
            torch._foreach_lerp_(list(smooth.parameters()), list(unet.parameters()), 1 - keep)
        running += loss.item()
        if step % 50 == 0:
            print(
                f"step {step} loss {running / 50:.4f} {step * batch} samples {clock.spent_s:.0f} s",
                flush=True,
            )
            running = 0.0
        if clock.spent_s - saved_s > SAVE_EVERY_S or clock.is_over:
            saved_s = clock.spent_s
            parts = {"model": unet.state_dict(), "smooth": smooth.state_dict(), "step": step, "spent_s": saved_s}
            save_state(parts | {"optimizers": [optimizer.state_dict() for optimizer in optimizers]}, path)


def with_pooler(encoder: BertModel) -> BertModel:
    """The encoder with the pooling layer that transformers expects in a BERT folder; nothing here reads it."""
    whole = BertModel(encoder.config)
    whole.load_state_dict(encoder.state_dict(), strict=False)
    whole.pooler.dense.weight.data.zero_()
    return whole.eval()


def build_pipeline(data_dir: Path, state_dir: Path) -> StableDiffusionPipeline:
    """The parts trained so far as one stock pipeline."""
    tokenizer, encoder = load_encoder(data_dir, state_dir)
    state = load_state(state_dir / "unet.pt")
    if state is None:
        raise SystemExit(f"no `unet.pt` in `{state_dir}`: run the unet step first")
    unet = build_unet()
    unet.load_state_dict(state["smooth"])
    scheduler = DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=FLOW_SHIFT, steps_offset=1
    )
    return StableDiffusionPipeline(
        vae=AutoencoderKL.from_pretrained(state_dir / "vae"),
        text_encoder=with_pooler(encoder),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def forget_origin(config_path: Path) -> None:
    """Drop the name of the folder that a part was loaded from: it means nothing elsewhere."""
    config = json.loads(config_path.read_text(encoding="utf-8"))
    config.pop("_name_or_path", None)
    config_path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def export(data_dir: Path, state_dir: Path, out_dir: Path) -> None:
    """Write the pipeline folder in float16."""
    pipeline = build_pipeline(data_dir, state_dir)
    for part in (pipeline.vae, pipeline.text_encoder, pipeline.unet):
        part.half()
    pipeline.save_pretrained(out_dir, safe_serialization=True)
    forget_origin(out_dir / "vae" / "config.json")
    # transformers opens a model in the type its config names; the file is half precision, a CPU computes in full.
    config_path = out_dir / "text_encoder" / "config.json"
    config = json.loads(config_path.read_text(encoding="utf-8"))
    config_path.write_text(json.dumps(config | {"dtype": "float32"}, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=("sketch", "words", "unet", "export"))
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--state", type=Path, required=True, help="folder for the training state")
    parser.add_argument("--out", type=Path, help="where `export` writes the pipeline")
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--focus", type=float, default=2.0, help="`unet`: how much oftener scenes of two objects come")
    parser.add_argument("--begin-from", type=Path, help="a pipeline folder that the first sitting's model begins with")
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    if args.stage == "export":
        export(args.data_dir, args.state, args.out)
        return
    how = {"minutes": args.minutes, "peak": args.lr, "batch": args.batch}
    if args.stage == "sketch":
        train_sketch(args.data_dir, args.state, **how)
    elif args.stage == "words":
        train_words(args.data_dir, args.state, **how, begin_from=args.begin_from)
    else:
        train_unet(args.data_dir, args.state, **how, focus=args.focus, begin_from=args.begin_from)


if __name__ == "__main__":
    main()
