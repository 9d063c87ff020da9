"""Text to image by any diffusers pipeline."""

from __future__ import annotations

import copy
import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from magid_graph.errors import SettingsError
from magid_graph.models.device import memory_guard, pick_device, pick_dtype
from magid_graph.models.weights import folder_of, identity, opening

if TYPE_CHECKING:
    import numpy as np
    import torch
    from PIL.Image import Image

    Pixels = np.ndarray[Any, np.dtype[np.float32]]

BATCH_SIZES = (1, 2, 4, 8, 16)

BLANK_STDDEV = 2.0
"""In grey levels of 255, of a picture reduced to about 64 pixels: one small bright star on a black sky still has 6."""


class DiffusersTextToImage:
    """Draws with `AutoPipelineForText2Image`.

    Args:
        model: hub id or folder of a pipeline with safetensors weights.
        dtype: `auto` is bfloat16 on a GPU that has it, else float16; float32 on a CPU.
        vae: hub id or folder of another VAE, e.g. `madebyollin/sdxl-vae-fp16-fix`.
        refiner: hub id or folder of an SDXL refiner: it takes over after `refiner_split` of the steps.
        num_inference_steps, guidance_scale, height, width: `None` is the pipeline's own default.
        compile: compile the denoiser; batches are then padded to one of `batch_sizes`, so that each is compiled once.
        upscale_to: pictures whose shorter side is smaller are scaled up to it.
        call_options: further arguments of the pipeline's call, e.g. `{"max_sequence_length": 256}`.

    A safety checker that comes with the pipeline (Stable Diffusion 1.x) is not used: whoever calls this judges safety.

    `parameters` holds everything besides the model that a picture depends on, as plain JSON values: what a cache of
    pictures has to be keyed by, together with `model_id`, prompt and seed.

    Raises:
        ModelUnavailable: the weights cannot be had.
        SettingsError: an option that this pipeline does not have.
    """

    def __init__(
        self,
        model: str,
        *,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        height: int | None = None,
        width: int | None = None,
        negative_prompt: str | None = None,
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        vae: str | None = None,
        refiner: str | None = None,
        refiner_split: float = 0.8,
        compile: bool = False,
        batch_sizes: Sequence[int] = BATCH_SIZES,
        upscale_to: int | None = None,
        call_options: Mapping[str, Any] | None = None,
    ) -> None:
        self._device = pick_device(device)
        torch_dtype = pick_dtype(dtype, self._device)
        self._pipeline = _open_pipeline(model, revision, torch_dtype, vae=vae)
        self._refiner = _open_refiner(refiner, self._pipeline, torch_dtype) if refiner else None
        self._split = refiner_split
        self._upscale_to = upscale_to
        self._batch_sizes = sorted(batch_sizes) if compile else None
        wanted = {
            "num_inference_steps": num_inference_steps,
            "guidance_scale": guidance_scale,
            "height": height,
            "width": width,
            "negative_prompt": negative_prompt,
        }
        options = {name: value for name, value in wanted.items() if value is not None} | dict(call_options or {})
        self._options = _checked(options, self._pipeline, model)
        self._limits = _token_limits(self._pipeline, self._options)
        self.max_tokens = min((limit for _, limit in self._limits), default=sys.maxsize)
        self.model_id = identity(model, revision)
        self.parameters: dict[str, Any] = {
            **options,
            "dtype": str(torch_dtype).removeprefix("torch."),
            "vae": identity(vae) if vae else None,
            "refiner": identity(refiner) if refiner else None,
            "refiner_split": refiner_split if refiner else None,
            "upscale_to": upscale_to,
        }
        for pipeline in filter(None, (self._pipeline, self._refiner)):
            _prepare(pipeline, self._device, compile=compile)
        # The refiner shares it.
        _prepare_vae(getattr(self._pipeline, "vae", None), self._device)

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image]:
        """One RGB picture per prompt; picture i depends on prompt i and seed i only.

        The same seed in a batch of another size gives the same picture up to rounding, not bit by bit.
        """
        pictures: list[Image] = []
        size = self._batch_sizes[-1] if self._batch_sizes else max(1, len(prompts))
        for start in range(0, len(prompts), size):
            pictures += self._batch(list(prompts[start : start + size]), list(seeds[start : start + size]))
        return pictures

    def count_tokens(self, prompt: str) -> int:
        """Tokens of the prompt, special tokens included, by the pipeline's tokenizer.

        With several tokenizers of different limits (CLIP 77, T5 256): as if the one that is nearest its limit had the
        smallest one, so that `count_tokens(prompt) <= max_tokens` says whether all of them read the prompt whole.
        """
        over = [_length(tokenizer, prompt) - limit for tokenizer, limit in self._limits]
        return max(over) + self.max_tokens if over else len(prompt.split())

    def cut(self, prompt: str) -> str:
        """The prompt's longest beginning, in whole words, that fits `max_tokens`; of an endless word, some letters."""
        ends = [match.end() for match in re.finditer(r"\S+", prompt)]
        fitting = _longest([prompt[:end] for end in ends], self._fits)
        if fitting is None:
            fitting = _longest([prompt[:end] for end in range(len(prompt) + 1)], self._fits) or ""
        return fitting if fitting == prompt.rstrip() else fitting.rstrip(" ,;:-")

    def _fits(self, prompt: str) -> bool:
        return self.count_tokens(prompt) <= self.max_tokens

    def _batch(self, prompts: list[str], seeds: list[int]) -> list[Image]:
        import torch

        wanted = len(prompts)
        padding = self._padded(wanted) - wanted
        prompts, seeds = prompts + prompts[-1:] * padding, seeds + seeds[-1:] * padding
        # CPU generators: the same seed starts from the same noise on every device.
        generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        with memory_guard(f"a batch of {len(prompts)} pictures", self._device), torch.inference_mode():
            pixels = self._draw(prompts, generators)
        return [scaled_up(_picture(array), self._upscale_to) for array in pixels[:wanted]]

    def _padded(self, count: int) -> int:
        return next((size for size in self._batch_sizes or () if size >= count), count)

    def _draw(self, prompts: list[str], generators: list[torch.Generator]) -> Pixels:
        """Pixels in 0 to 1, float (n, height, width, 3); not-a-number where the model gave that."""
        options = dict(self._options)
        if "negative_prompt" in options:
            options["negative_prompt"] = [options["negative_prompt"]] * len(prompts)
        call = {"prompt": prompts, "generator": generators} | options
        if self._refiner is None:
            pixels: Pixels = _images(self._pipeline(**call, output_type="np"))
            return pixels
        latents = _images(self._pipeline(**call, output_type="latent", denoising_end=self._split))
        takes = inspect.signature(self._refiner.__call__).parameters
        call = {name: value for name, value in call.items() if name in takes}
        refined: Pixels = _images(self._refiner(**call, image=latents, denoising_start=self._split, output_type="np"))
        return refined


def styled(description: str, suffix: str) -> str:
    """The description with a style after it: "A 3.5 metre boat." gives "A 3.5 metre boat, photographic style".

    Only a full stop that ends the last sentence is taken off; after other marks ("…", "!", "U.S.") the style just
    follows.
    """
    description, suffix = description.strip(), suffix.strip().lstrip(",").strip()
    if not suffix or not description:
        return description or suffix
    if re.search(r"\.\w+\.$", description):
        return f"{description}, {suffix}"
    if description.endswith((".", ",", ";", ":")) and not description.endswith(".."):
        description = description[:-1].rstrip()
    separator = " " if description.endswith(("..", "…", "!", "?")) else ", "
    return f"{description}{separator}{suffix}" if description else suffix


def blank(image: Image) -> bool:
    """Whether a picture is constant or almost so: what a VAE that overflows leaves behind. Milliseconds at 1024²."""
    import numpy as np

    rgb, factor = image if image.mode == "RGB" else image.convert("RGB"), min(image.size) // 64
    small = rgb.reduce(factor) if factor > 1 else rgb
    # Channel by channel in memory: a seventh of the time of the standard deviation along the outer axes.
    channels = np.asarray(small).reshape(-1, 3).T.astype(np.float64, order="C")
    return float(channels.std(axis=1).max()) < BLANK_STDDEV


def scaled_up(image: Image, shorter_side: int | None) -> Image:
    """A small picture at `shorter_side` pixels, with its edges drawn after; a larger one, or `None`, as it is."""
    from PIL import ImageFilter
    from PIL.Image import Resampling

    if not shorter_side or min(image.size) >= shorter_side:
        return image
    factor = shorter_side / min(image.size)
    large = image.resize((round(image.width * factor), round(image.height * factor)), Resampling.LANCZOS)
    # The blur of a picture scaled up is about as wide as one of its own pixels: a narrower mask would not reach it.
    return large.filter(ImageFilter.UnsharpMask(radius=factor * 0.6, percent=60, threshold=1))


def _open_pipeline(model: str, revision: str | None, dtype: torch.dtype, *, vae: str | None) -> Any:
    parts: dict[str, Any] = {}
    if vae:
        with opening(vae):
            from diffusers import AutoencoderKL

            local = folder_of(vae) is not None
            parts["vae"] = AutoencoderKL.from_pretrained(vae, dtype=dtype, use_safetensors=True, local_files_only=local)
    with opening(model):
        from diffusers import AutoPipelineForText2Image, DiffusionPipeline

        try:
            return _from_pretrained(AutoPipelineForText2Image, model, revision, dtype, parts)
        except ValueError as error:
            # Pipelines too new for the list of "auto" ones are opened by the class that their own index names.
            if "AutoPipeline" not in str(error):
                raise
            return _from_pretrained(DiffusionPipeline, model, revision, dtype, parts)


def _open_refiner(refiner: str, base: Any, dtype: torch.dtype) -> Any:
    """The refiner, sharing what it has in common with the base model: the second text encoder and the VAE."""
    if "denoising_end" not in inspect.signature(base.__call__).parameters or not hasattr(base, "text_encoder_2"):
        raise SettingsError(
            f"a refiner works with SDXL pipelines only, and this is a `{type(base).__name__}`: remove `refiner`"
        )
    with opening(refiner):
        from diffusers import AutoPipelineForImage2Image

        shared = {"text_encoder_2": base.text_encoder_2, "tokenizer_2": base.tokenizer_2, "vae": base.vae}
        return _from_pretrained(AutoPipelineForImage2Image, refiner, None, dtype, shared)


def _from_pretrained(
    opener: Any, model: str, revision: str | None, dtype: torch.dtype, parts: Mapping[str, Any]
) -> Any:
    import torch

    folder = folder_of(model)
    options: dict[str, Any] = {"dtype": dtype, "use_safetensors": True, **parts}
    if folder:
        variant = "fp16" if any(folder.glob("*/*.fp16.safetensors")) else None
        return opener.from_pretrained(str(folder), local_files_only=True, variant=variant, **options)
    if dtype is not torch.float32:
        # Half the download, where the model has it.
        try:
            return opener.from_pretrained(model, revision=revision, variant="fp16", **options)
        except (ValueError, OSError) as error:
            if "variant" not in str(error) and "fp16" not in str(error):
                raise
    return opener.from_pretrained(model, revision=revision, **options)


def _prepare(pipeline: Any, device: torch.device, *, compile: bool) -> None:
    """Onto the device, silent, without watermark and without a checker of its own."""
    pipeline.set_progress_bar_config(disable=True)
    if getattr(pipeline, "safety_checker", None) is not None:
        # It blackens what it refuses, which would be taken for a fault and drawn again. QA judges safety instead.
        pipeline.safety_checker = None
    pipeline.to(device)
    if getattr(pipeline, "watermark", None) is not None:
        # `invisible-watermark`, if installed, changes pixels; `add_watermarker=False` is known to SDXL pipelines only.
        pipeline.watermark = None
    denoiser = getattr(pipeline, "unet", None) or getattr(pipeline, "transformer", None)
    if compile and denoiser is not None:
        denoiser.compile(dynamic=False)


def _prepare_vae(vae: Any, device: torch.device) -> None:
    """A VAE that notices when its numbers overflow, and that a GPU's memory is large enough for."""
    if vae is None:
        return
    vae.decode = _careful(vae)
    if device.type == "cuda" and hasattr(vae, "enable_slicing"):
        # Decoding 16 pictures of 1024² at once needs more memory than drawing them, and one by one is as fast.
        vae.enable_slicing()


def _careful(vae: Any) -> Callable[..., Any]:
    """`vae.decode` that decodes again in float32 what came out constant or not a number.

    A hook here works for every pipeline class, and keeps the latents: nothing has to be drawn anew.
    """
    import torch

    plain = vae.decode

    def decode(latents: torch.Tensor, *args: Any, **options: Any) -> Any:
        output = plain(latents, *args, **options)
        sample = output[0] if isinstance(output, tuple) else output.sample
        if vae.dtype is torch.float32:
            return output
        for index in _overflowed(sample):
            sample[index : index + 1] = _in_float32(vae, plain, latents[index : index + 1], args, options)
        return output

    return decode


def _overflowed(sample: torch.Tensor) -> list[int]:
    """Positions of the pictures that are constant or not a number."""
    import torch

    flat = sample.detach().float().flatten(1)
    # -1 to 1 here, so that `BLANK_STDDEV` of 255 levels is twice its share.
    bad = ~torch.isfinite(flat).all(dim=1) | (flat.std(dim=1) < BLANK_STDDEV / 255 * 2)
    return [int(index) for index in bad.nonzero().flatten().tolist()]


def _in_float32(vae: Any, plain: Callable[..., Any], latents: torch.Tensor, args: Any, options: Any) -> torch.Tensor:
    import torch

    dtype = vae.dtype
    vae.to(dtype=torch.float32)
    try:
        output = plain(latents.float(), *args, **options)
    finally:
        vae.to(dtype=dtype)
    sample: torch.Tensor = output[0] if isinstance(output, tuple) else output.sample
    return sample.to(dtype)


def _checked(options: Mapping[str, Any], pipeline: Any, model: str) -> dict[str, Any]:
    """The options, all of which the pipeline's call has; `negative_prompt` is dropped where it means nothing."""
    takes = inspect.signature(pipeline.__call__).parameters
    known = dict(options)
    if "negative_prompt" not in takes:
        known.pop("negative_prompt", None)
    unknown = sorted(set(known) - set(takes))
    if unknown:
        raise SettingsError(
            f"the pipeline of `{model}` (a `{type(pipeline).__name__}`) has no option `{unknown[0]}`: remove it"
        )
    return known


def _token_limits(pipeline: Any, options: Mapping[str, Any]) -> list[tuple[Any, int]]:
    """Copies of the pipeline's tokenizers, each with the tokens that are read of a prompt.

    Copies, because prompts are counted while a batch is drawn in another thread, and a fast tokenizer keeps truncation
    and padding in itself: the pipeline's own would now and then count as if it were cutting.
    """
    from transformers import PreTrainedTokenizerBase

    takes = inspect.signature(pipeline.__call__).parameters
    default = takes["max_sequence_length"].default if "max_sequence_length" in takes else None
    longest = options.get("max_sequence_length") or default
    names = ("tokenizer", "tokenizer_2", "tokenizer_3", "tokenizer_4")
    tokenizers = [
        part for part in (getattr(pipeline, name, None) for name in names) if isinstance(part, PreTrainedTokenizerBase)
    ]
    limits = [(tokenizer, min(tokenizer.model_max_length, longest or sys.maxsize)) for tokenizer in tokenizers]
    return [(copy.deepcopy(tokenizer), int(limit)) for tokenizer, limit in limits if limit < 1_000_000]


def _length(tokenizer: Any, prompt: str) -> int:
    return len(tokenizer(prompt, truncation=False, verbose=False)["input_ids"])


def _longest(beginnings: Sequence[str], fits: Callable[[str], bool]) -> str | None:
    """The longest of ever longer texts that fits, by bisection."""
    low, high = 0, len(beginnings)
    while low < high:
        middle = (low + high) // 2
        if fits(beginnings[middle]):
            low = middle + 1
        else:
            high = middle
    return beginnings[low - 1] if low else None


def _images(output: Any) -> Any:
    return output[0] if isinstance(output, tuple) else output.images


def _picture(array: Pixels) -> Image:
    """An RGB picture; what is not a number becomes black, which `blank` then finds."""
    import numpy as np
    from PIL.Image import fromarray

    levels = np.nan_to_num(array, nan=0.0, posinf=1.0, neginf=0.0).clip(0, 1) * 255
    return fromarray(levels.round().astype(np.uint8)).convert("RGB")
