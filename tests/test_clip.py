"""open_clip models, at toy size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from magid_graph.errors import ItemError, ModelUnavailable
from magid_graph.models.clip import OpenClipEmbedder
from tests import tiny_models


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.open_clip_model(tmp_path_factory.mktemp("clip") / "tiny-clip")


@pytest.fixture(scope="module")
def embedder(folder: Path) -> OpenClipEmbedder:
    return OpenClipEmbedder(str(folder), device="cpu", batch_size=2)


def pictures() -> list[Image.Image]:
    noise = np.random.default_rng(0).integers(0, 255, (5, 40, 60, 3), dtype=np.uint8)
    return [Image.fromarray(pixels) for pixels in noise]


def test_pictures_and_texts_become_unit_vectors_of_one_space(embedder: OpenClipEmbedder) -> None:
    for vectors in (embedder.embed_images(pictures()), embedder.embed_texts(["a dog", "a cat", "a boat", "", "…"])):
        assert vectors.shape == (5, 16)
        assert vectors.dtype == np.float32
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_a_vector_does_not_depend_on_its_batch(embedder: OpenClipEmbedder) -> None:
    together = embedder.embed_images(pictures())
    assert np.allclose(together[4], embedder.embed_images(pictures()[4:])[0], atol=1e-5)


def test_modes_other_than_rgb_are_read(embedder: OpenClipEmbedder) -> None:
    assert embedder.embed_images(
        [Image.new("RGBA", (9, 9)), Image.new("L", (200, 3)), Image.new("P", (1, 1))]
    ).shape == (3, 16)


def test_a_long_text_is_cut_and_does_not_crash(embedder: OpenClipEmbedder) -> None:
    long, longer = "dog " * 200, "dog " * 200 + "cat"
    assert np.allclose(embedder.embed_texts([long]), embedder.embed_texts([longer]), atol=1e-6)


def test_no_pictures_give_no_vectors(embedder: OpenClipEmbedder) -> None:
    assert embedder.embed_images([]).shape == (0, 16)


def test_a_folder_is_known_by_its_content(folder: Path, embedder: OpenClipEmbedder, tmp_path: Path) -> None:
    other = tiny_models.open_clip_model(tmp_path / "tiny-clip", seed=1)
    assert embedder.model_id.startswith("tiny-clip@")
    assert OpenClipEmbedder(f"local-dir:{folder}", device="cpu").model_id == embedder.model_id
    assert OpenClipEmbedder(str(other), device="cpu").model_id != embedder.model_id


def test_a_vector_that_is_not_a_number_is_an_error(folder: Path) -> None:
    broken = OpenClipEmbedder(str(folder), device="cpu")
    broken._model.visual.proj.data[:] = float("nan")
    with pytest.raises(ItemError, match="not a number"):
        broken.embed_images(pictures())


@pytest.mark.parametrize(
    ("model", "advice"),
    [
        ("ViT-B-32/openai", "hf download timm/vit_base_patch32_clip_224.openai`"),
        ("hf-hub:nobody/no-such-clip", "hf download nobody/no-such-clip`"),
        ("ViT-B-32/no-such-tag", "architecture/pretrained"),
        ("no-such-model", "architecture/pretrained"),
        ("local-dir:/no/such/folder", "no model folder"),
    ],
)
def test_a_model_that_is_not_there_says_what_to_do(model: str, advice: str) -> None:
    with pytest.raises(ModelUnavailable, match=advice):
        OpenClipEmbedder(model, device="cpu")


def test_a_folder_without_weights_is_refused_instead_of_filled_with_noise(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "open_clip_config.json").write_text((folder / "open_clip_config.json").read_text())
    with pytest.raises(ModelUnavailable, match="safetensors"):
        OpenClipEmbedder(str(tmp_path), device="cpu")


def test_openai_weights_get_the_activation_they_were_trained_with() -> None:
    import open_clip

    # What the loader relies on: the tag says so, the plain architecture does not.
    assert open_clip.get_pretrained_cfg("ViT-B-32", "openai")["quick_gelu"]
    assert not open_clip.get_model_config("ViT-B-32").get("quick_gelu")
