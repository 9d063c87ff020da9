"""SDXL at full size, with random weights, drawn by this project and by a plain diffusers loop.

    python -m benchmarks.sdxl                     on a GPU: the real network at 1024²
    python -m benchmarks.sdxl --toy               the same code over a tiny network, e.g. on a laptop

Random weights cost what trained ones cost: speed does not depend on them. Both sides draw with the same loaded network,
the same steps and guidance, and a generator for each picture; the loop calls the pipeline and takes its pictures, no
more. The full-size network is saved to a temporary folder first (7 GB), so that it is opened as any other model is.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from magid_graph.errors import OutOfMemory
from magid_graph.models.device import memory_guard
from magid_graph.models.diffusion import DiffusersTextToImage

PROMPT = "A golden retriever with a red collar sits on a wooden pier beside a calm lake at sunset, photographic style"

GUIDANCE = {1: 1.0, 4: 1.0}
"""Few-step models are drawn without guidance, one forward pass per step instead of two; the others with 5.0."""

UNET = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
    "use_linear_projection": True,
}
VAE = {
    "sample_size": 1024,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "latent_channels": 4,
    "scaling_factor": 0.13025,
    # As in the 16-bit VAE: the decoder is not switched to float32.
    "force_upcast": False,
}
TEXT = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
TEXT_2 = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20}

TOY_UNET = UNET | {
    "sample_size": 32,
    "block_out_channels": (32, 64),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 1),
    "attention_head_dim": (2, 4),
    "cross_attention_dim": 64,
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 80,
}
TOY_VAE = VAE | {
    "sample_size": 64,
    "block_out_channels": (32, 64),
    "layers_per_block": 1,
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
}
TOY_TEXT = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


@dataclass(frozen=True)
class Row:
    """One measurement: pictures per second, `None` where the batch does not fit."""

    steps: int
    batch: int
    ours: float | None
    plain: float | None


def main() -> None:
    """Measure, and print a Markdown table."""
    options = arguments()
    toy = options.toy or not torch.cuda.is_available()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    size = options.size or (64 if toy else 1024)
    print(f"{'toy network' if toy else 'full-size SDXL'}, random weights, {size}², {machine(device)}\n")
    with tempfile.TemporaryDirectory() as folder:
        with torch.device(device):
            pipeline = build_pipeline(toy=toy, dtype=torch.float32 if device == "cpu" else torch.bfloat16)
        pipeline.save_pretrained(folder)
        del pipeline
        rows = list(measured(folder, options, device=device, size=size))
    print_table(rows)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sdxl", description=__doc__.splitlines()[0])
    parser.add_argument("--toy", action="store_true", help="tiny network (always, where there is no CUDA)")
    parser.add_argument("--size", type=int, help="height and width in pixels (1024, or 64 for the toy)")
    parser.add_argument("--steps", type=numbers, default=[50, 30, 4], help="comma-separated")
    parser.add_argument("--batches", type=numbers, default=[1, 2, 4, 8, 16], help="comma-separated")
    parser.add_argument("--repeats", type=int, default=3, help="timed batches per figure; the best counts")
    parser.add_argument("--compile", action="store_true", help="compile the denoiser (both sides draw with it)")
    return parser.parse_args()


def numbers(text: str) -> list[int]:
    """`50,30,4` as a list."""
    return [int(part) for part in text.split(",")]


def machine(device: str) -> str:
    """What the figures were measured on."""
    if device == "cuda":
        return f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
    threads = torch.get_num_threads()
    return f"CPU with {threads} thread(s), torch {torch.__version__}; images per second of processor time"


def build_pipeline(*, toy: bool, dtype: torch.dtype) -> Any:
    """SDXL's classes from configuration alone, on torch's default device."""
    from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    tokenizer = byte_tokenizer()
    first, second = (TOY_TEXT, TOY_TEXT) if toy else (TEXT, TEXT_2)
    shared = {
        "vocab_size": len(tokenizer),
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": tokenizer.bos_token_id,
    }
    pipeline = StableDiffusionXLPipeline(
        vae=AutoencoderKL(**(TOY_VAE if toy else VAE)),
        text_encoder=CLIPTextModel(CLIPTextConfig(**first, **shared)),
        text_encoder_2=CLIPTextModelWithProjection(
            CLIPTextConfig(**second, **shared, projection_dim=second["hidden_size"], hidden_act="gelu")
        ),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=UNet2DConditionModel(**(TOY_UNET if toy else UNET)),
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            timestep_spacing="leading",
            steps_offset=1,
        ),
    )
    torch.set_default_dtype(torch.float32)
    return pipeline


def byte_tokenizer() -> Any:
    """CLIP's tokenizer with one token per byte: the prompt fills the 77 places that the text encoder always reads."""
    from tokenizers import pre_tokenizers
    from transformers import CLIPTokenizer

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={token: index for index, token in enumerate(tokens)}, merges=[], model_max_length=77)


def measured(folder: str, options: argparse.Namespace, *, device: str, size: int) -> Iterator[Row]:
    """A row for each number of steps and batch size."""
    for steps in options.steps:
        model = DiffusersTextToImage(
            folder,
            device=device,
            num_inference_steps=steps,
            guidance_scale=GUIDANCE.get(steps, 5.0),
            height=size,
            width=size,
            compile=options.compile,
            batch_sizes=options.batches,
        )
        for batch in options.batches:
            ours, plain = fastest(
                [
                    lambda m=model, b=batch: m.generate([PROMPT] * b, range(b)),
                    lambda m=model, b=batch: plain_loop(m, b),
                ],
                batch,
                repeats=options.repeats,
                device=device,
            )
            yield Row(steps, batch, ours, plain)


def plain_loop(model: DiffusersTextToImage, batch: int) -> None:
    """What one would write without this project: the same pipeline, called."""
    pipeline = model._pipeline
    with memory_guard("a plain batch", model._device):
        pipeline(
            prompt=[PROMPT] * batch,
            generator=[torch.Generator("cpu").manual_seed(seed) for seed in range(batch)],
            output_type="pil",
            **model._options,
        )


def fastest(calls: list[Callable[[], Any]], batch: int, *, repeats: int, device: str) -> list[float | None]:
    """Pictures per second of each call, warmed up, best of `repeats`; in turns: a busy machine hits all alike."""
    best: list[float | None] = [float("inf")] * len(calls)
    for repeat in range(repeats + 1):
        for index, call in enumerate(calls):
            if best[index] is None:
                continue
            try:
                taken = seconds(call, device)
            except OutOfMemory:
                best[index] = None
                continue
            if repeat:
                best[index] = min(best[index] or taken, taken)
    return [batch / value if value else None for value in best]


def seconds(call: Callable[[], Any], device: str) -> float:
    """Wall time of a call with the device; on a CPU, processor time, which other programs do not stretch."""
    clock = time.perf_counter if device == "cuda" else time.process_time
    started = clock()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - started


def print_table(rows: list[Row]) -> None:
    """All rows, then this project's share of the loop at the loop's best batch."""
    print("| steps | batch | magid-graph, images/s | plain loop, images/s |\n|---|---|---|---|")
    for row in rows:
        print(f"| {row.steps} | {row.batch} | {shown(row.ours)} | {shown(row.plain)} |")
    print()
    for steps in dict.fromkeys(row.steps for row in rows):
        of_steps = [row for row in rows if row.steps == steps]
        best_plain = max((row for row in of_steps if row.plain), key=lambda row: row.plain or 0, default=None)
        best_ours = max((row.ours or 0 for row in of_steps), default=0)
        if best_plain and best_plain.plain:
            share = best_ours / best_plain.plain
            loop = f"the plain loop's best ({best_plain.plain:.2f}, batch {best_plain.batch})"
            print(f"{steps} steps: best {best_ours:.2f} images/s, {share:.3f} of {loop}")


def shown(value: float | None) -> str:
    """A figure of the table."""
    return "does not fit" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    main()
