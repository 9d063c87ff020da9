"""Drawing with real diffusers pipelines at toy size."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from magid_graph.errors import ModelUnavailable, OutOfMemory, SettingsError
from magid_graph.models.device import memory_guard
from magid_graph.models.diffusion import DiffusersTextToImage, blank, scaled_up, styled
from tests import tiny_models
from tests.tiny_models import TinyModels

PROMPTS = ["a dog on the beach", "a red boat", "a small cat in the forest", "a large blue boat"]
SEEDS = [11, 12, 13, 2**63 - 1]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyModels:
    return TinyModels(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def sdxl(tiny: TinyModels) -> DiffusersTextToImage:
    return DiffusersTextToImage(tiny(tiny_models.sdxl), device="cpu", num_inference_steps=2, guidance_scale=5.0)


def difference(one: Image.Image, other: Image.Image) -> float:
    """Largest difference of any level, of 255."""
    return float(np.abs(np.asarray(one, dtype=float) - np.asarray(other, dtype=float)).max())


@pytest.mark.parametrize("build", [tiny_models.stable_diffusion, tiny_models.sdxl])
def test_a_picture_depends_on_its_own_prompt_and_seed_only(tiny: TinyModels, build) -> None:
    model = DiffusersTextToImage(tiny(build), device="cpu", num_inference_steps=2, guidance_scale=5.0)
    together = model.generate(PROMPTS, SEEDS)
    assert [(picture.size, picture.mode) for picture in together] == [((64, 64), "RGB")] * 4
    for picture, prompt, seed in zip(together, PROMPTS, SEEDS, strict=True):
        assert difference(picture, model.generate([prompt], [seed])[0]) <= 2


def test_another_seed_gives_another_picture_and_the_same_seed_the_same(sdxl: DiffusersTextToImage) -> None:
    first, again, other = (sdxl.generate(PROMPTS[:1], [seed])[0] for seed in (1, 1, 2))
    assert difference(first, again) == 0
    assert difference(first, other) > 10


def test_nothing_is_drawn_for_no_prompts(sdxl: DiffusersTextToImage) -> None:
    assert sdxl.generate([], []) == []


def test_size_and_negative_prompt_reach_the_pipeline(tiny: TinyModels) -> None:
    options = {"device": "cpu", "num_inference_steps": 2, "guidance_scale": 5.0, "height": 48, "width": 32}
    plain = DiffusersTextToImage(tiny(tiny_models.sdxl), **options)
    steered = DiffusersTextToImage(tiny(tiny_models.sdxl), negative_prompt="red", **options)
    one, other = (model.generate(PROMPTS[:2], SEEDS[:2]) for model in (plain, steered))
    assert one[0].size == (32, 48)
    assert difference(one[0], other[0]) > 0


def test_the_refiner_takes_over_and_shares_what_it_can(tiny: TinyModels) -> None:
    options = {"device": "cpu", "num_inference_steps": 5, "guidance_scale": 5.0}
    refined = DiffusersTextToImage(
        tiny(tiny_models.sdxl), refiner=tiny(tiny_models.sdxl_refiner), refiner_split=0.6, **options
    )
    plain = DiffusersTextToImage(tiny(tiny_models.sdxl), **options)
    pictures = refined.generate(PROMPTS[:2], SEEDS[:2])
    assert refined._refiner.vae is refined._pipeline.vae
    assert refined._refiner.text_encoder_2 is refined._pipeline.text_encoder_2
    assert difference(pictures[0], plain.generate(PROMPTS[:1], SEEDS[:1])[0]) > 5
    assert difference(pictures[1], refined.generate(PROMPTS[1:2], SEEDS[1:2])[0]) <= 2
    assert refined.parameters["refiner"].startswith("sdxl_refiner@")


def test_a_refiner_without_sdxl_is_a_settings_error(tiny: TinyModels) -> None:
    with pytest.raises(SettingsError, match="SDXL"):
        DiffusersTextToImage(tiny(tiny_models.stable_diffusion), refiner=tiny(tiny_models.sdxl_refiner), device="cpu")


def test_another_vae_is_used_and_named(tiny: TinyModels, tmp_path: Path) -> None:
    tiny_models.vae(tmp_path / "other-vae")
    model = DiffusersTextToImage(
        tiny(tiny_models.sdxl), vae=str(tmp_path / "other-vae"), device="cpu", num_inference_steps=2
    )
    plain = DiffusersTextToImage(tiny(tiny_models.sdxl), device="cpu", num_inference_steps=2)
    assert difference(model.generate(["a dog"], [1])[0], plain.generate(["a dog"], [1])[0]) > 5
    assert model.parameters["vae"].startswith("other-vae@")


def test_compiled_batches_are_padded_and_split(tiny: TinyModels) -> None:
    model = DiffusersTextToImage(tiny(tiny_models.sdxl), device="cpu", num_inference_steps=1, batch_sizes=(1, 4))
    model._batch_sizes = [1, 4]  # as `compile=True` sets it; compiling itself takes a minute on a CPU
    sizes: list[int] = []
    draw = model._draw
    model._draw = lambda prompts, generators: (sizes.append(len(prompts)), draw(prompts, generators))[1]
    pictures = model.generate([*PROMPTS, *PROMPTS[:3]], [*SEEDS, *SEEDS[:3]])
    assert sizes == [4, 4]
    assert len(pictures) == 7
    assert difference(pictures[4], pictures[0]) <= 2


def test_a_vae_that_overflows_is_tried_again_in_float32(tiny: TinyModels) -> None:
    model = DiffusersTextToImage(tiny(tiny_models.sdxl), device="cpu", dtype="bfloat16", num_inference_steps=2)
    sound = model.generate(PROMPTS[:2], SEEDS[:2])
    vae = model._pipeline.vae

    def overflow(module: torch.nn.Module, inputs: object, output: torch.Tensor) -> torch.Tensor:
        if output.dtype is torch.float32:
            return output
        broken = output.clone()
        broken[0] = float("nan")
        return broken

    vae.decoder.register_forward_hook(overflow)
    repaired = model.generate(PROMPTS[:2], SEEDS[:2])
    assert vae.dtype is torch.bfloat16
    assert not blank(repaired[0])
    assert difference(repaired[0], sound[0]) < 60
    assert difference(repaired[1], sound[1]) == 0


def test_what_stays_not_a_number_comes_back_as_a_blank_picture(tiny: TinyModels) -> None:
    model = DiffusersTextToImage(tiny(tiny_models.sdxl), device="cpu", num_inference_steps=1)
    model._pipeline.unet.register_forward_hook(lambda module, inputs, output: (output[0] * float("nan"),))
    assert [blank(picture) for picture in model.generate(PROMPTS[:2], SEEDS[:2])] == [True, True]


def test_tokens_are_counted_as_the_text_encoders_see_them(sdxl: DiffusersTextToImage) -> None:
    assert sdxl.max_tokens == 77
    assert sdxl.count_tokens("") == 2
    assert sdxl.count_tokens("a dog on the beach") == 7
    assert sdxl.count_tokens("dog " * 75) == 77


def test_tokens_are_counted_right_while_a_batch_is_drawn(sdxl: DiffusersTextToImage) -> None:
    prompt, over = "a red boat on the beach", threading.Event()
    tokenizer = sdxl._pipeline.tokenizer

    def tokenize() -> None:
        while not over.is_set():
            tokenizer(["a dog"] * 2, padding="max_length", max_length=77, truncation=True)

    drawing = threading.Thread(target=tokenize)
    drawing.start()
    try:
        assert {sdxl.count_tokens(prompt) for _ in range(2000)} == {8}
        assert {sdxl.count_tokens("dog " * 90) for _ in range(500)} == {92}
    finally:
        over.set()
        drawing.join()


def test_a_pipelines_own_safety_checker_blackens_nothing(tiny: TinyModels, tmp_path: Path) -> None:
    folder = tiny_models.with_safety_checker(tmp_path / "checked", tiny(tiny_models.stable_diffusion))
    options = {"device": "cpu", "num_inference_steps": 1}
    checked = DiffusersTextToImage(str(folder), **options)
    plain = DiffusersTextToImage(tiny(tiny_models.stable_diffusion), **options)
    pictures = [model.generate(PROMPTS[:1], SEEDS[:1])[0] for model in (checked, plain)]
    assert difference(*pictures) == 0
    assert not blank(pictures[0])


def test_a_long_description_is_cut_at_a_word(sdxl: DiffusersTextToImage) -> None:
    assert sdxl.cut("a dog on the beach") == "a dog on the beach"
    cut = sdxl.cut("dog, " * 100)
    assert sdxl.count_tokens(cut) <= 77
    assert cut.endswith("dog")
    assert sdxl.count_tokens(f"{cut}, dog, dog") > 77


def test_one_endless_word_is_cut_by_letters(sdxl: DiffusersTextToImage) -> None:
    cut = sdxl.cut("x" * 500)
    assert set(cut) == {"x"}
    assert sdxl.count_tokens(cut) <= 77


def test_an_option_the_pipeline_lacks_is_a_settings_error(tiny: TinyModels) -> None:
    with pytest.raises(SettingsError, match="max_sequence_length"):
        DiffusersTextToImage(tiny(tiny_models.sdxl), device="cpu", call_options={"max_sequence_length": 9})


def test_options_of_the_call_reach_the_pipeline(tiny: TinyModels) -> None:
    folder = tiny(tiny_models.sdxl)
    plain, skipping = (
        DiffusersTextToImage(folder, device="cpu", num_inference_steps=2, call_options=options)
        for options in ({}, {"clip_skip": 1})
    )
    assert difference(plain.generate(["a dog"], [1])[0], skipping.generate(["a dog"], [1])[0]) > 0
    assert skipping.parameters["clip_skip"] == 1


@pytest.mark.parametrize(
    ("model", "advice"),
    [
        ("nobody/no-such-model", "hf download nobody/no-such-model"),
        ("/no/such/folder", "no model folder"),
        ("./here/not", "no model folder"),
    ],
)
def test_a_model_that_is_not_there_says_what_to_do(model: str, advice: str) -> None:
    with pytest.raises(ModelUnavailable, match=advice):
        DiffusersTextToImage(model, device="cpu")


def test_a_folder_without_safetensors_is_not_opened(tiny: TinyModels, tmp_path: Path) -> None:
    import shutil

    folder = shutil.copytree(tiny(tiny_models.sdxl), tmp_path / "pickled")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(ModelUnavailable, match="pickled"):
        DiffusersTextToImage(str(folder), device="cpu")


def test_the_same_weights_elsewhere_are_the_same_model(
    tiny: TinyModels, tmp_path: Path, sdxl: DiffusersTextToImage
) -> None:
    import shutil

    from magid_graph.models.weights import identity

    copy = shutil.copytree(tiny(tiny_models.sdxl), tmp_path / "sdxl")
    assert identity(str(copy)) == sdxl.model_id
    (copy / "model_index.json").write_text("{}")
    assert identity(str(copy)) != sdxl.model_id


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("MPS backend out of memory"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: not enough memory"),
    ],
)
def test_a_full_memory_is_told_from_other_faults(error: BaseException) -> None:
    with pytest.raises(OutOfMemory, match="smaller batch"), memory_guard("a batch", torch.device("cpu")):
        raise error
    with pytest.raises(RuntimeError, match="shape"), memory_guard("a batch", torch.device("cpu")):
        raise RuntimeError("shape mismatch")


@pytest.mark.parametrize(
    ("description", "suffix", "expected"),
    [
        ("A 3.5 metre boat.", "photographic style", "A 3.5 metre boat, photographic style"),
        ("A 3.5 metre boat", ", photographic style", "A 3.5 metre boat, photographic style"),
        ("A dog. It runs.", "photo", "A dog. It runs, photo"),
        ("A dog waiting…", "photo", "A dog waiting… photo"),
        ("A dog waiting...", "photo", "A dog waiting... photo"),
        ("What a boat!", "photo", "What a boat! photo"),
        ("A flag of the U.S.", "photo", "A flag of the U.S., photo"),
        ('A sign that says "Stop."', "photo", 'A sign that says "Stop.", photo'),
        ("A dog,", "photo", "A dog, photo"),
        ("A dog.", "", "A dog."),
        (" A dog. ", "  ", "A dog."),
        ("", "photo", "photo"),
        (".", "photo", "photo"),
    ],
)
def test_a_style_follows_the_description(description: str, suffix: str, expected: str) -> None:
    assert styled(description, suffix) == expected


def test_blank_pictures_are_told_from_dark_ones() -> None:
    night = Image.new("RGB", (512, 512))
    ImageDraw.Draw(night).ellipse((240, 240, 254, 254), fill="white")
    faint = Image.fromarray(np.random.default_rng(0).integers(100, 102, (64, 64, 3), dtype=np.uint8))
    assert blank(Image.new("RGB", (512, 512)))
    assert blank(Image.new("RGB", (1, 1), "pink"))
    assert blank(faint)
    assert not blank(night)
    assert not blank(Image.linear_gradient("L"))


def test_small_pictures_are_scaled_up_and_large_ones_left() -> None:
    small = Image.linear_gradient("L").convert("RGB").resize((128, 64))
    assert scaled_up(small, 256).size == (512, 256)
    assert scaled_up(small, 64) is small
    assert scaled_up(small, None) is small
