"""Trains the pocket captioner: `python -m training.pocket.captioner DATA_DIR …`.

A transformers `VisionEncoderDecoderModel`: the eye is the pocket CLIP's image tower, moved weight by weight into a
`ViTModel`; the pen is a two-layer GPT-2 that learns to say what was drawn. First the pen learns alone, so that the eye
looks at every picture only once; then both learn together.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    VisionEncoderDecoderModel,
    ViTConfig,
    ViTImageProcessor,
    ViTModel,
)
from transformers.modeling_outputs import BaseModelOutput

from training.pocket import scenes
from training.pocket.broken import worn
from training.pocket.captions import MASS, VERBS
from training.pocket.clip import (
    CROP,
    GRID,
    IMAGE_SIZE,
    PATCH,
    WHOLE_FROM,
    Lessons,
    chosen,
    draw_batch,
    grid_of,
    image_tokens,
    shrunk,
    times_drawn,
)
from training.pocket.muon import optimizers_for
from training.pocket.progress import quick_type
from training.pocket.reading import objects_in, place_in
from training.pocket.world import NAMES, OBJECTS, PLACES, SETTINGS, Placed, Scene

VOCABULARY_SIZE = 1200
LENGTH = 40
SHORT = 27
"""Tokens of the longest sentence that is trained on."""
EYE_WIDTH, PEN_WIDTH = 192, 128
BATCH = 128
SAYINGS = 5
"""Sentences written per scene before training."""
LEARNING_RATE, TOGETHER_RATE = 2e-3, 1e-3
HEAD_START = 60
NUMBERS = {2: ("two", "two", "a pair of"), 3: ("three",), 4: ("four",)}
PRESENT = "there is", "there are"
OPENINGS = (
    "",
    "",
    "",
    "",
    "a picture of ",
    "an illustration of ",
    "a storybook picture of ",
    "{there} ",
    "this picture shows ",
    "here we see ",
)
LOOKS = ("", "", "", "", "cute ", "colorful ", "nice ", "lovely ", "bright ")
PAIRINGS = (" and ", " next to ", " beside ", " with ", " together with ")
CLOSE = ("a close-up of {it} {where}", "{it} seen up close {where}", "a large {bare} filling the picture {where}")


def describe(scene: Scene, rng: Random) -> str:
    """What a truthful caption of the scene says: nothing but what can be seen, in canonical names."""
    where = "" if scene.setting == "plain" else rng.choice(SETTINGS[scene.setting].phrases)
    if not scene.objects:
        return _finished(
            rng.choice(("", "", "a picture of ", "an illustration of ")) + rng.choice(SETTINGS[scene.setting].alone)
        )
    first = scene.objects[0]
    if first.size == "closeup" and rng.random() < 0.7:
        frame = rng.choice(CLOSE[:2] if first.name in MASS else CLOSE)
        return _finished(frame.format(it=_noun(first, rng), bare=first.name, where=where))
    subject = rng.choice(PAIRINGS).join(_noun(placed, rng) for placed in scene.objects)
    there = PRESENT[first.count > 1]
    opening = rng.choice(OPENINGS).format(there=there)
    if where and rng.random() < 0.12:
        return _finished(f"{where} {there} {subject}")
    return _finished(f"{opening}{subject} {_doing(first, rng)} {where}")


def _noun(placed: Placed, rng: Random) -> str:
    known, look = OBJECTS[placed.name], rng.choice(LOOKS)
    size = "small " if placed.size == "tiny" else ""
    colour = f"{placed.colour} " if placed.colour else ""
    if placed.count > 1:
        return f"{rng.choice(NUMBERS[placed.count])} {look}{colour}{known.plural}"
    body = f"{size or look}{colour}{known.name}"
    if known.name in MASS or (known.name == known.plural and known.name.endswith("s")):
        return body
    return f"{'an' if body[0] in 'aeiou' else 'a'} {body}"


def _doing(placed: Placed, rng: Random) -> str:
    # A camera is something that a picture can show, so nobody looks at it here.
    verbs = [verb for verb in VERBS.get(OBJECTS[placed.name].category, ("",)) if "camera" not in verb]
    return rng.choice(verbs) if rng.random() < 0.35 else ""


def _finished(text: str) -> str:
    text = " ".join(text.split())
    return text[0].upper() + text[1:] + "."


def build_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """Byte-level pieces of the captions themselves."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>", model_max_length=LENGTH
    )


def open_tokenizer(folder: Path, drawn: list[Scene], begin_from: Path | None) -> PreTrainedTokenizerFast:
    """The tokenizer that training began with, or the captioner's in `begin_from`, or a new one."""
    if begin_from is not None:
        return PreTrainedTokenizerFast.from_pretrained(begin_from)
    if not (folder / "tokenizer.json").exists():
        rng = Random("captioner tokenizer")
        build_tokenizer([describe(scene, rng) for scene in drawn[:20_000]]).save_pretrained(folder)
    return PreTrainedTokenizerFast.from_pretrained(folder)


def eye_from(clip_folder: Path) -> ViTModel:
    """The CLIP image tower as transformers' ViT; same last hidden states."""
    tower = open_clip.create_model(f"local-dir:{clip_folder}").visual
    config = ViTConfig(
        hidden_size=EYE_WIDTH,
        num_hidden_layers=len(tower.transformer.resblocks),
        num_attention_heads=EYE_WIDTH // 64,
        intermediate_size=EYE_WIDTH * 4,
        image_size=IMAGE_SIZE,
        patch_size=PATCH,
        layer_norm_eps=1e-5,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    eye = ViTModel(config)
    eye.load_state_dict(_renamed(tower, eye.state_dict()))
    return eye.eval()


def _renamed(tower: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """open_clip's weights under transformers' names; what it lacks (a bias, an unused pooler) is zero."""
    found = {name: torch.zeros_like(value) for name, value in state.items()}
    found |= {
        "embeddings.cls_token": tower.class_embedding[None, None],
        "embeddings.position_embeddings": tower.positional_embedding[None],
        "embeddings.patch_embeddings.projection.weight": tower.conv1.weight,
        "layernorm.weight": tower.ln_post.weight,
        "layernorm.bias": tower.ln_post.bias,
    }
    for i, block in enumerate(tower.transformer.resblocks):
        found |= {LAYER.format(i=i) + name: value for name, value in _layer(block).items()}
    if unknown := found.keys() - state.keys():
        raise ValueError(f"transformers names its ViT weights differently: {sorted(unknown)[:4]}")
    return found


LAYER = "layers.{i}."


def _layer(block: nn.Module) -> dict[str, Tensor]:
    parts: dict[str, Tensor] = {}
    for kind in ("weight", "bias"):
        joint = getattr(block.attn, f"in_proj_{kind}").chunk(3)
        parts |= {f"attention.{name}_proj.{kind}": value for name, value in zip("qkv", joint, strict=True)}
        parts[f"attention.o_proj.{kind}"] = getattr(block.attn.out_proj, kind)
        parts[f"layernorm_before.{kind}"] = getattr(block.ln_1, kind)
        parts[f"layernorm_after.{kind}"] = getattr(block.ln_2, kind)
        parts[f"mlp.fc1.{kind}"] = getattr(block.mlp.c_fc, kind)
        parts[f"mlp.fc2.{kind}"] = getattr(block.mlp.c_proj, kind)
    return parts


def assemble(eye: ViTModel, tokenizer: PreTrainedTokenizerFast) -> VisionEncoderDecoderModel:
    """The eye with a fresh pen; only the pen, and the projection between them, learn."""
    ends = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=LENGTH,
        n_embd=PEN_WIDTH,
        n_layer=2,
        n_head=4,
        add_cross_attention=True,
        is_decoder=True,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        **ends,
    )
    torch.manual_seed(6)
    model = VisionEncoderDecoderModel(encoder=eye, decoder=GPT2LMHeadModel(config))
    model.encoder.requires_grad_(False)
    for name, value in (ends | {"decoder_start_token_id": tokenizer.bos_token_id}).items():
        setattr(model.config, name, value)
        setattr(model.generation_config, name, value)
    model.generation_config.max_length = LENGTH
    return model


def hand_over(pen_of: Path, model: VisionEncoderDecoderModel) -> None:
    """Let the model begin with the pen of the captioner in the folder `pen_of`."""
    known = VisionEncoderDecoderModel.from_pretrained(pen_of).float()
    model.decoder.load_state_dict(known.decoder.state_dict())
    model.enc_to_dec_proj.load_state_dict(known.enc_to_dec_proj.state_dict())


@torch.no_grad()
def look(eye_folder: Path, pixels: np.ndarray[Any, Any], *, ages: bool) -> Tensor:
    """What the eye sees in each picture: (n, 1 + patches, EYE_WIDTH), worn when `ages`."""
    tower = open_clip.create_model(f"local-dir:{eye_folder}").visual.eval()
    seen = torch.empty(len(pixels), 1 + GRID * GRID, EYE_WIDTH, dtype=torch.bfloat16)
    for i in range(0, len(pixels), 256):
        batch = shrunk(pixels[i : i + 256]).float() / 255
        y, x = torch.randint(CROP - IMAGE_SIZE + 1, (2,)).tolist() if ages and i // 256 % 2 else (-1, -1)
        small = batch[:, :, y : y + IMAGE_SIZE, x : x + IMAGE_SIZE] if y >= 0 else _fitted(batch)
        small = worn(small) if ages else small
        seen[i : i + 256] = image_tokens(tower, (small * 2 - 1).to(quick_type()))
    return seen


def _fitted(batch: Tensor) -> Tensor:
    return F.interpolate(batch, size=IMAGE_SIZE, mode="bilinear", antialias=True, align_corners=False)


def sayings(drawn: list[Scene], tokenizer: PreTrainedTokenizerFast) -> Tensor:
    """(n, SAYINGS, SHORT) token ids, `<s>` … `</s>`, padded; longer sentences are cut short of their end."""
    rng = Random("captioner")
    texts = [f"<s>{describe(scene, rng)}</s>" for scene in drawn for _ in range(SAYINGS)]
    ids = tokenizer(texts, padding="max_length", max_length=SHORT, truncation=True, return_tensors="np")["input_ids"]
    return torch.from_numpy(ids.astype(np.int16)).view(len(drawn), SAYINGS, SHORT)


def picture_lessons(pixels: np.ndarray[Any, Any], drawn: list[Scene], said: Tensor) -> Lessons:
    """What eye and pen learn from together."""
    return Lessons(
        pixels=torch.cat([shrunk(pixels[i : i + 512]) for i in range(0, len(pixels), 512)]),
        texts=said[: len(drawn)],
        places=torch.tensor([PLACES.index(scene.setting) for scene in drawn]),
        grids=torch.stack([grid_of(scene) for scene in drawn]),
        same=torch.zeros(len(drawn)),
        drawn_from=torch.tensor([i for i, scene in enumerate(drawn) for _ in range(times_drawn(scene))]),
    )


def train(model: VisionEncoderDecoderModel, seen: Tensor, said: Tensor, minutes: float, state_dir: Path) -> None:
    """Teach the pen for `minutes` of processor time in all; saves its state and goes on from it."""
    learning = [p for p in model.parameters() if p.requires_grad]
    optimizers = optimizers_for(learning, _matrices(model), LEARNING_RATE, decay=0.02)
    step, spent_s = _resume(model, optimizers, state_dir)
    rng = torch.Generator().manual_seed(77 + step)
    saved = time.process_time()
    begun = saved - spent_s
    while spent_s < minutes * 60:
        loss = _loss(model, seen, said, rng)
        _learn(optimizers, loss, rate(step, spent_s / (minutes * 60)))
        step, spent_s = step + 1, time.process_time() - begun
        if step % 50 == 0:
            print(f"{step} {spent_s:.0f}s loss {loss.item():.3f}", flush=True)
        if time.process_time() - saved > 60:
            saved = time.process_time()
            _save(model, optimizers, step, spent_s, state_dir)
    _save(model, optimizers, step, spent_s, state_dir)


def _matrices(model: nn.Module) -> list[nn.Parameter]:
    """What Muon teaches: the matrices of eye and pen, but neither their words nor their places."""
    tables = ("embed", "wte", "wpe", "lm_head", "conv1", "patch")
    return [
        weight
        for name, weight in model.named_parameters()
        if weight.ndim == 2 and weight.requires_grad and name.split(".")[-2] not in tables and "embed" not in name
    ]


def _learn(optimizers: list[torch.optim.Optimizer], loss: Tensor, rate: float) -> None:
    loss.backward()
    nn.utils.clip_grad_norm_([p for o in optimizers for g in o.param_groups for p in g["params"]], 1.0)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        optimizer.zero_grad()


def rate(step: int, progress: float) -> float:
    """Learning rate: a short warm-up, then a cosine over the time there is."""
    return LEARNING_RATE * min(1, (step + 1) / 200) * (0.02 + 0.98 * (1 + math.cos(math.pi * min(1, progress))) / 2)


def _loss(model: VisionEncoderDecoderModel, seen: Tensor, said: Tensor, rng: torch.Generator) -> Tensor:
    picks = torch.randint(len(said), (BATCH,), generator=rng)
    rows = picks + len(said) * torch.randint(len(seen) // len(said), (BATCH,), generator=rng)
    return spoken_loss(model, seen[rows], said[picks, torch.randint(said.shape[1], (BATCH,), generator=rng)].long())


def spoken_loss(model: VisionEncoderDecoderModel, seen: Tensor, ids: Tensor) -> Tensor:
    """How surprised the pen is by sentences about what the eye saw."""
    looked = BaseModelOutput(last_hidden_state=seen.to(quick_type()))
    with sdpa_kernel(SDPBackend.MATH), torch.autocast("cpu", torch.bfloat16, enabled=quick_type() == torch.bfloat16):
        logits = model(encoder_outputs=looked, decoder_input_ids=ids[:, :-1]).logits
    return F.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten(), ignore_index=0, label_smoothing=0.02)


def train_together(
    model: VisionEncoderDecoderModel, tower: nn.Module, data: Lessons, minutes: float, state_dir: Path
) -> None:
    """Teach eye (`tower`) and pen together, on the patches that matter; `data.texts` are sayings.

    The eye is also asked what every patch shows: that is where the pen looks the name of an object up.
    """
    patch = nn.Linear(EYE_WIDTH, 1 + len(NAMES))
    nn.init.zeros_(patch.weight)
    care = torch.tensor([0.15] + [1.0] * len(NAMES))
    pupils = nn.ModuleDict({"tower": tower, "model": model, "patch": patch})
    optimizers = optimizers_for(pupils.parameters(), _matrices(pupils), TOGETHER_RATE, decay=0.02)
    step, spent_s = _resume(pupils, optimizers, state_dir)
    rng = torch.Generator().manual_seed(78 + step)
    saved = time.process_time()
    begun = saved - spent_s
    while spent_s < minutes * 60:
        if spent_s >= WHOLE_FROM * minutes * 60:
            data.drawn_from = torch.arange(len(data.pixels))
        batch = draw_batch(data, rng)
        # In the end it sees pictures as they are: whole, and with one object more often than with two.
        is_partial = spent_s < WHOLE_FROM * minutes * 60
        kept = chosen(batch["grids"], rng) if is_partial else torch.arange(GRID * GRID).expand(BATCH, -1)
        # A head that knows nothing yet would first of all spoil the eye.
        with torch.set_grad_enabled(step >= HEAD_START):
            tokens = image_tokens(tower, (worn(batch["pixels"]) * 2 - 1).to(quick_type()), kept)
        named = F.cross_entropy(
            patch(tokens[:, 1:].float()).flatten(0, 1), batch["grids"].flatten(1).gather(1, kept).flatten(), weight=care
        )
        said = spoken_loss(model, tokens, batch["texts"])
        speed = min(1, (step + 1) / 30) * max(0.01, 1 - spent_s / (minutes * 60))
        _learn(optimizers, said + 0.5 * named, TOGETHER_RATE * speed)
        step, spent_s = step + 1, time.process_time() - begun
        if step % 25 == 0 or step < 3:
            print(f"{step} {spent_s:.0f}s loss {said.item():.3f} patches {named.item():.3f}", flush=True)
        if time.process_time() - saved > 45:
            saved = time.process_time()
            _save(pupils, optimizers, step, spent_s, state_dir)
    _save(pupils, optimizers, step, spent_s, state_dir)


def _save(
    model: nn.Module, optimizers: list[torch.optim.Optimizer], step: int, spent_s: float, state_dir: Path
) -> None:
    state_dir.mkdir(parents=True, exist_ok=True)
    parts = {"model": model.state_dict(), "step": step, "spent_s": spent_s}
    parts["optimizers"] = [optimizer.state_dict() for optimizer in optimizers]
    torch.save(parts, state_dir / "course.part")
    (state_dir / "course.part").replace(state_dir / "course.pt")


def _spent(state_dir: Path) -> float:
    path = state_dir / "course.pt"
    return float(torch.load(path, weights_only=True)["spent_s"]) if path.exists() else 0.0


def _resume(model: nn.Module, optimizers: list[torch.optim.Optimizer], state_dir: Path) -> tuple[int, float]:
    if not (state_dir / "course.pt").exists():
        return 0, 0.0
    parts = torch.load(state_dir / "course.pt", weights_only=True)
    model.load_state_dict(parts["model"])
    for optimizer, state in zip(optimizers, parts["optimizers"], strict=True):
        optimizer.load_state_dict(state)
    return parts["step"], parts["spent_s"]


def export(model: VisionEncoderDecoderModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """The folder that `AutoModelForImageTextToText` opens, in half precision on disk and single in memory."""
    model.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    ViTImageProcessor(
        size={"height": IMAGE_SIZE, "width": IMAGE_SIZE}, resample=3, image_mean=[0.5] * 3, image_std=[0.5] * 3
    ).save_pretrained(folder)
    _open_in_single_precision(folder)


def _open_in_single_precision(folder: Path) -> None:
    # transformers opens weights in the type that the config names, and half precision crawls on a CPU.
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    for part in (config, config["encoder"], config["decoder"]):
        part["dtype"] = "float32"
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def check(folder: Path, data_dir: Path, count: int = 600) -> dict[str, float]:
    """How often greedy captions of held-out scenes are right."""
    from PIL import Image
    from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

    model = AutoModelForImageTextToText.from_pretrained(folder).eval()
    processor, tokenizer = AutoImageProcessor.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    pixels, drawn = scenes.read("heldout", data_dir)
    with torch.no_grad():
        inputs = processor([Image.fromarray(p) for p in pixels[:count]], return_tensors="pt")
        written = [model.generate(**{"pixel_values": part}) for part in inputs["pixel_values"].split(100)]
    texts = [text for part in written for text in tokenizer.batch_decode(part, skip_special_tokens=True)]
    print(*texts[:12], sep="\n")
    return scored(drawn[:count], texts)


def scored(drawn: list[Scene], texts: list[str]) -> dict[str, float]:
    """How often captions are right about their scenes."""
    right = {"main object": 0, "all objects": 0, "counts": 0, "place": 0}
    filled = [scene for scene in drawn if scene.objects]
    for scene, text in zip(drawn, texts, strict=True):
        found, true = objects_in(text), [(placed.name, placed.count) for placed in scene.objects]
        right["place"] += place_in(text) == scene.setting
        if true:
            right["main object"] += true[0][0] in [name for name, _ in found]
            right["all objects"] += {name for name, _ in true} <= {name for name, _ in found}
            right["counts"] += true == found
    return {name: count / (len(drawn) if name == "place" else len(filled)) for name, count in right.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--clip", type=Path, required=True, help="the trained CLIP's folder")
    parser.add_argument("--state", type=Path, required=True, help="checkpoints; training goes on from there")
    parser.add_argument("--minutes", type=float, default=6, help="of the pen alone; 0 with `--begin-from`")
    parser.add_argument("--limit", type=int, default=20_000, help="scenes the pen learns from")
    parser.add_argument("--together-minutes", type=float, default=10, help="of eye and pen together")
    parser.add_argument("--together-limit", type=int, default=12_000, help="scenes they learn from")
    parser.add_argument(
        "--begin-from", type=Path, help="a captioner's folder whose pen and words the first sitting takes"
    )
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(8)
    pixels, drawn = scenes.read("train", args.data_dir)
    pixels, drawn = pixels[: args.limit], drawn[: args.limit]
    tokenizer = open_tokenizer(args.state / "tokenizer", drawn, args.begin_from)
    model, tower = assemble(eye_from(args.clip), tokenizer), open_clip.create_model(f"local-dir:{args.clip}").visual
    if args.begin_from is not None:
        hand_over(args.begin_from, model)
    said = sayings(drawn, tokenizer)
    if args.minutes and _spent(args.state / "pen") < args.minutes * 60:
        seen = torch.cat([look(args.clip, pixels, ages=False), look(args.clip, pixels, ages=True)])
        train(model, seen, said, args.minutes, args.state / "pen")
        del seen
    if args.minutes:
        model.load_state_dict(torch.load(args.state / "pen" / "course.pt", weights_only=True)["model"])
    data = picture_lessons(pixels[: args.together_limit], drawn[: args.together_limit], said)
    train_together(model, tower, data, args.together_minutes, args.state / "both")
    model.encoder.load_state_dict(_renamed(tower, model.encoder.state_dict()))
    export(model, tokenizer, args.out)
    print(check(args.out, args.data_dir))


if __name__ == "__main__":
    main()
