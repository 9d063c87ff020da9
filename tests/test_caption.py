"""Captioners of both kinds, at toy size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from magid_graph.errors import ModelUnavailable
from magid_graph.models.caption import TransformersCaptioner
from tests import tiny_models
from tests.tiny_models import TinyModels

BOTH = pytest.mark.parametrize("build", [tiny_models.image_to_text, tiny_models.vision_chat])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyModels:
    return TinyModels(tmp_path_factory.mktemp("tiny"))


def pictures() -> list[Image.Image]:
    noise = np.random.default_rng(0).integers(0, 255, (3, 48, 40, 3), dtype=np.uint8)
    return [Image.fromarray(pixels) for pixels in noise]


@BOTH
def test_a_caption_depends_on_its_picture_and_seed_only(tiny: TinyModels, build) -> None:
    captioner = TransformersCaptioner(tiny(build), device="cpu", max_new_tokens=12, temperature=1.0)
    together = captioner.caption(pictures(), [1, 2, 3])
    alone = [captioner.caption([picture], [seed])[0] for picture, seed in zip(pictures(), [1, 2, 3], strict=True)]
    assert together == alone
    assert len(set(together)) == 3
    assert all(together)


@BOTH
def test_temperature_gives_variants_and_zero_gives_none(tiny: TinyModels, build) -> None:
    warm, cold = (TransformersCaptioner(tiny(build), device="cpu", max_new_tokens=8, temperature=t) for t in (1.5, 0.0))
    picture = pictures()[0]
    assert len(set(warm.caption([picture] * 5, [1, 2, 3, 4, 5]))) > 1
    assert len(set(cold.caption([picture] * 5, [1, 2, 3, 4, 5]))) == 1


def test_top_k_of_one_is_the_likeliest_whatever_the_temperature(tiny: TinyModels) -> None:
    folder = tiny(tiny_models.image_to_text)
    one = TransformersCaptioner(folder, device="cpu", max_new_tokens=8, temperature=2.0, top_k=1, top_p=0.9)
    likeliest = TransformersCaptioner(folder, device="cpu", max_new_tokens=8)
    assert one.caption(pictures(), [1, 2, 3]) == likeliest.caption(pictures(), [1, 2, 3])


def test_draws_follow_the_models_probabilities(tiny: TinyModels) -> None:
    import torch

    from magid_graph.models.caption import _Gumbel

    logits = torch.tensor([[0.0, 1.0, 2.0, -float("inf")]]).repeat(4000, 1)
    drawn = _Gumbel(range(4000), torch.device("cpu"))(torch.zeros(4000, 1), logits).argmax(dim=-1)
    shares = torch.bincount(drawn, minlength=4) / 4000
    assert torch.allclose(shares, logits[0].softmax(dim=-1), atol=0.03)


def test_a_chat_model_is_not_quoted_with_its_question(tiny: TinyModels) -> None:
    captioner = TransformersCaptioner(
        tiny(tiny_models.vision_chat), device="cpu", max_new_tokens=4, instruction="describe this image in detail"
    )
    assert all("describe this image" not in caption for caption in captioner.caption(pictures(), [1, 2, 3]))


def test_no_pictures_give_no_captions(tiny: TinyModels) -> None:
    assert TransformersCaptioner(tiny(tiny_models.image_to_text), device="cpu").caption([], []) == []


def test_a_model_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="hf download"):
        TransformersCaptioner("nobody/no-such-captioner", device="cpu")
    with pytest.raises(ModelUnavailable, match="cannot be opened"):
        TransformersCaptioner(str(tmp_path), device="cpu")
