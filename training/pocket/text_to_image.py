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
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Literal

import numpy as np
import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, StableDiffusionPipeline, UNet2DConditionModel
from torch import Tensor, nn
from transformers import BertModel, BertTokenizerFast

from training.pocket import words
from training.pocket.autoencoder import patches_of
from training.pocket.muon import Muon
from training.pocket.progress import Clock, device, learning_rate, load_state, save_state
from training.pocket.scenes import read
from training.pocket.world import COLOURS, NAMES, PLACES, Placed, Scene, caption, render, sample_scene

LATENTS = 32
SIDE = 8
UNDESCRIBED = 0.1
"""Share of pictures trained without a caption, for classifier-free guidance."""
FLOW_SHIFT = 3.0
SAVE_EVERY_S = 90
COUNTS = 5
SIZES = ("large", "medium", "small", "tiny", "closeup")
HUES = (None, *COLOURS)


Block = Literal["thing", "role", "count", "size", "hue"]
BLOCKS: dict[Block, tuple[int, int]] = {
    "thing": (0, 80),
    "role": (80, 96),
    "count": (96, 106),
    "size": (106, 117),
    "hue": (117, 128),
}
"""Which coordinates of a token say what; `thing` is an object or a place."""
ROLES = ("nothing", "first", "second", "setting")
NOTHING = len(NAMES) + len(PLACES)
"""Row of the `thing` code that stands for no object."""


def codebook(state_dir: Path) -> dict[Block, Tensor]:
    """The fixed code of every answer, [answers, width]: what the text encoder learns to say and the UNet to read.

    Fixed, so that both can be trained at the same time. Random, except that an object's code tells what it looks
    like: then what the UNet learns about drawing one object helps it with all that resemble it.
    """
    numbers = torch.Generator().manual_seed(20)
    rows: dict[Block, int] = {
        "thing": NOTHING + 1,
        "role": len(ROLES),
        "count": COUNTS,
        "size": len(SIZES),
        "hue": len(HUES),
    }
    codes = {block: torch.randn(rows[block], end - start, generator=numbers) for block, (start, end) in BLOCKS.items()}
    path = state_dir / "looks.pt"
    looks = load_state(path)
    if looks is None:
        looks = {"looks": looks_of_objects(state_dir)}
        save_state(looks, path)
    codes["thing"][: len(NAMES)] = looks["looks"]
    return codes


def looks_of_objects(state_dir: Path) -> Tensor:
    """Each object, drawn large, on the main axes along which objects differ; [objects, width], deviation 1."""
    axes = load_state(state_dir / "axes.pt")
    if axes is None:
        raise SystemExit(f"no `axes.pt` in `{state_dir}`: run `training.pocket.autoencoder latents` first")
    drawn = np.stack([np.asarray(render(Scene("plain", (Placed(name),)))) for name in NAMES])
    latents = ((patches_of(drawn) - axes["mean"]) @ axes["map"]).flatten(1)
    start, end = BLOCKS["thing"]
    left, spread, _ = torch.linalg.svd(latents - latents.mean(0), full_matrices=False)
    # Between whitened (all axes alike, objects easy to tell apart) and not (what matters most is loudest).
    looks = left[:, : end - start] * spread[: end - start] ** 0.35
    # Pale objects differ little from the pale ground; without this they would differ too little from each other.
    looks = looks / looks.norm(dim=1, keepdim=True) ** 0.7
    return looks / looks.std()


def answers(scene: Scene) -> list[list[int]]:
    """Rows of the codebook for the first object, the second and the setting; columns as in BLOCKS."""
    nothing = [NOTHING, 0, 0, 0, 0]
    said = [nothing[:], nothing[:], [len(NAMES) + PLACES.index(scene.setting), ROLES.index("setting"), 0, 0, 0]]
    for place, placed in enumerate(scene.objects[:2]):
        said[place] = [
            NAMES.index(placed.name),
            1 + place,
            placed.count,
            SIZES.index(placed.size),
            HUES.index(placed.colour),
        ]
    return said


def states_of(said: Tensor, codes: dict[Block, Tensor]) -> Tensor:
    """What an ideal text encoder returns, [B, 40, 128], from answers [B, 3, 5].

    Token 0 tells the first object, 1 the second, 2 the setting, the others nothing. Each has mean 0 and deviation
    1, as the encoder's last normalisation leaves them. Without a caption every token tells nothing: mark that by
    answers of -1.
    """
    silent = said[..., 0] < 0
    rows = torch.where(silent.unsqueeze(-1), torch.tensor([NOTHING, 0, 0, 0, 0]), said)
    told = torch.cat([table[rows[..., i]] for i, table in enumerate(codes.values())], dim=-1)
    idle = torch.cat([table[row] for table, row in zip(codes.values(), (NOTHING, 0, 0, 0, 0), strict=True)])
    states = torch.cat([told, idle.expand(len(said), words.MAX_LENGTH - 3, -1)], dim=1)
    return nn.functional.layer_norm(states, (words.DIM,))


def idle_words(tokenizer: BertTokenizerFast, vectors: Tensor) -> list[str]:
    """Vocabulary far from everything the world knows, thrown into captions for the encoder to pass over."""
    from training.pocket.captions import BIG, SMALL
    from training.pocket.world import OBJECTS, SETTINGS

    texts = [name for known in OBJECTS.values() for name in (known.name, known.plural, *known.synonyms)]
    texts += [phrase for place in SETTINGS.values() for phrase in (place.name, *place.phrases)]
    texts += [
        *COLOURS,
        *SMALL,
        *BIG,
        "two three four 2 3 4 5 five six ten dozen single pair couple group few several both many trio",
    ]
    common = {"a", "the", "in", "on", "at", "of", "with", "by", "and", "to", "up", "out", "is", "for"}
    known_ids = sorted({i for ids in tokenizer(texts, add_special_tokens=False)["input_ids"] for i in ids})
    nearest = (vectors @ vectors[known_ids].T).max(1).values
    tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    return [
        token
        for i, token in enumerate(tokens)
        if token.isalpha() and len(token) > 2 and nearest[i] < 0.7 and token not in common
    ]


def scattered(text: str, idle: Sequence[str], rng: Random) -> str:
    """The caption with now and then words that mean nothing here, strewn in or as a sentence before or after it."""
    draw = rng.random()
    if draw < 0.35:
        return text
    strewn = [rng.choice(idle) for _ in range(rng.randint(1, 4))]
    if draw < 0.6:
        parts = text.split(" ")
        for word in strewn:
            parts.insert(rng.randrange(len(parts) + 1), word)
        return " ".join(parts)
    phrase = rng.choice(("{}", "the {}", "our {}", "a {} of", "a {}", "by {}", "with {}")).format(" ".join(strewn))
    if draw < 0.75:
        return f"{phrase} {text}"
    verb = rng.choice(("is", "fills", "looks", "makes", "has", "seems"))
    return rng.choice((f"{text}, {phrase}", f"{text} {phrase}", f"{text}. The {strewn[0]} {verb} {strewn[-1]}."))


def tokens_of(tokenizer: BertTokenizerFast, texts: list[str], *, padding: str = "max_length") -> dict[str, Tensor]:
    """Ids and mask; padded to the full length unless told otherwise, as the pipeline does it."""
    made = tokenizer(
        texts,
        padding=padding,
        truncation=True,
        max_length=words.MAX_LENGTH,
        return_tensors="pt",
        return_token_type_ids=False,
    )
    return dict(made)


def encode(encoder: BertModel, tokens: dict[str, Tensor], noise: float = 0.0) -> Tensor:
    """Hidden states [B, T, dim]; `noise` blurs the word vectors, so that neighbours of a known word mean the same."""
    vectors = encoder.embeddings.word_embeddings(tokens["input_ids"])
    if noise:
        vectors = vectors + noise * torch.randn_like(vectors)
    return encoder(inputs_embeds=vectors, attention_mask=tokens["attention_mask"]).last_hidden_state


def word_loss(states: Tensor, said: Tensor, codes: dict[Block, Tensor]) -> tuple[Tensor, Tensor]:
    """Distance from the ideal states plus cross-entropy of the answers read back; and the share of right things."""
    ideal = states_of(said, codes)[:, : states.shape[1]]
    distance = (states - ideal).square().mean(-1)
    total = distance[:, :3].mean() + 0.3 * distance[:, 3:].mean()
    right = torch.zeros(())
    heard = said[:, 0, 0] >= 0
    for i, (block, (start, end)) in enumerate(BLOCKS.items()):
        table = codes[block]
        likeness = states[heard, :3, start:end] @ table.T - 0.5 * table.square().sum(-1)
        logits = likeness * (8 / (end - start))
        total = total + 0.3 * nn.functional.cross_entropy(logits.flatten(0, 1), said[heard, :, i].flatten())
        if block == "thing":
            right = (logits.argmax(-1) == said[heard, :, 0]).float().mean(0)
    return total, right


def train_words(data_dir: Path, state_dir: Path, *, minutes: float, peak: float, batch: int) -> None:
    """Teach the text encoder what captions say, on endless captions."""
    tokenizer, vectors = words.build(data_dir / "words")
    encoder, codes = words.build_encoder(vectors).train(), codebook(state_dir)
    learnt = [weight for weight in encoder.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(learnt, lr=peak, betas=(0.9, 0.98), weight_decay=0.01)
    step, clock, path = 0, Clock(minutes), state_dir / "text.pt"
    state = load_state(path)
    if state is not None:
        encoder.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step, clock = state["step"], Clock(minutes, state["spent_s"])
    rng, idle = Random(step + 5), idle_words(tokenizer, vectors)
    saved_s = clock.spent_s
    while not clock.is_over:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(peak, step, clock.fraction)
        scenes = [sample_scene(rng) for _ in range(batch)]
        said = torch.tensor([answers(scene) for scene in scenes])
        texts = [scattered(caption(scene, rng), idle, rng) for scene in scenes]
        texts[0], said[0] = "", -1
        with torch.autocast("cpu", torch.bfloat16):
            states = encode(encoder, tokens_of(tokenizer, texts, padding="longest"), noise=0.025)
        loss, right = word_loss(states.float(), said, codes)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(learnt, 1.0)
        optimizer.step()
        step += 1
        if step % 100 == 0:
            print(f"step {step} loss {loss.item():.3f} right {right.tolist()} {clock.fraction:.0%}", flush=True)
        if clock.spent_s - saved_s > SAVE_EVERY_S or clock.is_over:
            saved_s = clock.spent_s
            save_state(
                {"model": encoder.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "spent_s": saved_s},
                path,
            )
    report_words(data_dir, state_dir)


@torch.no_grad()
def report_words(data_dir: Path, state_dir: Path, count: int = 1000) -> None:
    """Print how often held-out captions are understood."""
    tokenizer, encoder = load_encoder(data_dir, state_dir)
    rng = Random(123_456_789)
    scenes = [sample_scene(rng) for _ in range(count)]
    texts = [caption(scene, rng, "heldout") for scene in scenes]
    said = torch.tensor([answers(scene) for scene in scenes])
    loss, right = word_loss(encode(encoder, tokens_of(tokenizer, texts)), said, codebook(state_dir))
    print(f"held-out captions: loss {loss:.3f}, first, second, setting right {right.tolist()}", flush=True)


def load_encoder(data_dir: Path, state_dir: Path) -> tuple[BertTokenizerFast, BertModel]:
    """The tokenizer and the trained text encoder."""
    tokenizer, vectors = words.build(data_dir / "words")
    state = load_state(state_dir / "text.pt")
    if state is None:
        raise SystemExit(f"no `text.pt` in `{state_dir}`: run the words step first")
    encoder = words.build_encoder(vectors)
    encoder.load_state_dict(state["model"])
    return tokenizer, encoder.eval()


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


def read_things(states: Tensor, codes: dict[Block, Tensor]) -> Tensor:
    """Which thing each of the first three tokens means, [B, 3]."""
    start, end = BLOCKS["thing"]
    table = codes["thing"]
    return (states[:, :3, start:end] @ table.T - 0.5 * table.square().sum(-1)).argmax(-1)


class Speaker:
    """Turns training scenes into text states: ideal ones, and once it is trained, the text encoder's own for a quarter.

    Where the encoder mishears a caption the ideal state is kept: the UNet should learn its accent, not its mistakes.
    """

    def __init__(self, scenes: list[Scene], data_dir: Path, state_dir: Path) -> None:
        self.scenes, self.codes = scenes, codebook(state_dir)
        self.said = torch.tensor([answers(scene) for scene in scenes])
        self.trained = load_encoder(data_dir, state_dir) if (state_dir / "text.pt").exists() else None

    def __call__(self, rows: np.ndarray, rng: Random) -> Tensor:
        """States [B, 40, 128] for the scenes at `rows`, some of them silent."""
        said = self.said[rows]
        said[torch.rand(len(rows)) < UNDESCRIBED] = -1
        states = states_of(said, self.codes)
        states = states + 0.12 * torch.rand(len(rows), 1, 1) * torch.randn_like(states)
        if self.trained is not None:
            part = len(rows) // 4
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
    """How often each scene is drawn from: `focus` times as often as others if it shows one large object."""
    weights = [focus if scene.objects and scene.objects[0].size == "large" else 1.0 for scene in scenes]
    return np.array(weights) / sum(weights)


def optimizers_for(unet: UNet2DConditionModel, peak: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW for what comes in, goes out, or is a vector."""
    inner = [weight for name, weight in unet.named_parameters() if "_blocks." in name and weight.ndim > 1]
    known = {id(weight) for weight in inner}
    outer = [weight for weight in unet.parameters() if id(weight) not in known]
    return [Muon(inner, lr=peak), torch.optim.AdamW(outer, lr=peak, betas=(0.9, 0.98), weight_decay=0.01)]


def train_unet(data_dir: Path, state_dir: Path, *, minutes: float, peak: float, batch: int, focus: float) -> None:
    """Flow matching: from latents and noise mixed at a random level, predict noise minus latents."""
    fixed = torch.from_numpy(np.load(state_dir / "still.npy"))
    _, scenes = read("train", data_dir)
    speak = Speaker(scenes, data_dir, state_dir)
    where, path = device(), state_dir / "unet.pt"
    unet, smooth = build_unet().to(where).train(), build_unet().to(where)
    smooth.load_state_dict(unet.state_dict())
    optimizers = optimizers_for(unet, peak)
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
        # What the text decides is decided while the picture is still noise, so most samples are taken there.
        level = torch.sigmoid(torch.randn(batch, 1, 1, 1, device=where) + 0.7)
        with torch.autocast(where.type, torch.bfloat16):
            flow = unet(clean + level * (noise - clean), level.flatten() * 1000, states).sample
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
        if step % 100 == 0:
            print(
                f"step {step} loss {running / 100:.4f} {step * batch} samples {clock.spent_s:.0f} s",
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


def export(data_dir: Path, state_dir: Path, out_dir: Path) -> None:
    """Write the pipeline folder in float16."""
    pipeline = build_pipeline(data_dir, state_dir)
    for part in (pipeline.vae, pipeline.text_encoder, pipeline.unet):
        part.half()
    pipeline.save_pretrained(out_dir, safe_serialization=True)
    # transformers opens a model in the type its config names; the file is half precision, a CPU computes in full.
    config_path = out_dir / "text_encoder" / "config.json"
    config = json.loads(config_path.read_text(encoding="utf-8"))
    config_path.write_text(json.dumps(config | {"dtype": "float32"}, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=("words", "unet", "export"))
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--state", type=Path, required=True, help="folder for the training state")
    parser.add_argument("--out", type=Path, help="where `export` writes the pipeline")
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument(
        "--focus", type=float, default=1.0, help="`unet`: how much oftener scenes of one large object come"
    )
    args = parser.parse_args()
    torch.manual_seed(0)
    if args.stage == "export":
        export(args.data_dir, args.state, args.out)
        return
    if args.stage == "words":
        train_words(args.data_dir, args.state, minutes=args.minutes, peak=args.lr, batch=args.batch)
        return
    train_unet(args.data_dir, args.state, minutes=args.minutes, peak=args.lr, batch=args.batch, focus=args.focus)


if __name__ == "__main__":
    main()
