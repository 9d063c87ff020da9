"""Heads on embeddings."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from magid_graph.errors import ModelUnavailable
from magid_graph.models.aesthetic import LAION_WIDTHS, EmbeddingHead, convert_laion, save_head

RNG = np.random.default_rng(0)


def unit_vectors(count: int, dim: int) -> np.ndarray:
    vectors = RNG.normal(size=(count, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def layers(*widths: int) -> list[tuple[np.ndarray, np.ndarray]]:
    shapes = zip(widths[1:], widths[:-1], strict=True)
    return [
        (RNG.normal(size=shape).astype(np.float32), RNG.normal(size=shape[0]).astype(np.float32)) for shape in shapes
    ]


def laion() -> torch.nn.Sequential:
    """The published head's layers, dropouts included, with random weights."""
    stack: list[torch.nn.Module] = []
    for index, (wide, narrow) in enumerate(pairwise(LAION_WIDTHS)):
        stack += [torch.nn.Linear(wide, narrow)] + ([torch.nn.Dropout(0.2)] if index < 3 else [])
    return torch.nn.Sequential(*stack).eval()


def state(head: torch.nn.Sequential) -> dict[str, torch.Tensor]:
    return {f"layers.{name}": tensor for name, tensor in head.state_dict().items()}


def test_a_linear_head_is_a_product_and_a_bias(tmp_path: Path) -> None:
    (weight, bias), vectors = layers(16, 1)[0], unit_vectors(3, 16)
    save_head(tmp_path, [(weight, bias)], embedding="clip@1")
    head = EmbeddingHead(str(tmp_path), embedding="clip@1")
    assert np.allclose(head.score(vectors), vectors @ weight[0] + bias[0], atol=1e-5)
    assert head.score(vectors[:0]) == []


@pytest.mark.parametrize(("activation", "reference"), [("relu", torch.nn.ReLU()), ("gelu", torch.nn.GELU())])
def test_an_mlp_gives_what_torch_gives(tmp_path: Path, activation, reference: torch.nn.Module) -> None:
    stack, vectors = layers(16, 8, 4, 1), unit_vectors(5, 16)
    save_head(tmp_path, stack, embedding="clip@1", activation=activation)
    hidden = torch.from_numpy(vectors)
    for index, (weight, bias) in enumerate(stack):
        hidden = torch.nn.functional.linear(
            reference(hidden) if index else hidden, torch.from_numpy(weight), torch.from_numpy(bias)
        )
    assert np.allclose(EmbeddingHead(str(tmp_path), embedding="clip@1").score(vectors), hidden[:, 0], atol=1e-4)


def test_a_head_refuses_an_embedding_it_was_not_trained_for(tmp_path: Path) -> None:
    save_head(tmp_path, layers(16, 1), embedding="pocket-clip@0123456789ab")
    with pytest.raises(ModelUnavailable) as refusal:
        EmbeddingHead(str(tmp_path), embedding="ViT-B-32/openai")
    assert "pocket-clip@0123456789ab" in str(refusal.value)
    assert "ViT-B-32/openai" in str(refusal.value)


def test_laions_head_is_read_from_safetensors_and_folded(tmp_path: Path) -> None:
    published, vectors = laion(), unit_vectors(4, 768)
    # A vision tower in the same file, as on the hub, is not read.
    save_file(state(published) | {"vision_model.weight": torch.zeros(3)}, tmp_path / "laion.safetensors")
    head = EmbeddingHead(str(tmp_path / "laion.safetensors"), embedding="ViT-L-14/openai")
    with torch.no_grad():
        assert np.allclose(head.score(vectors), published(torch.from_numpy(vectors))[:, 0], atol=1e-4)
    with pytest.raises(ModelUnavailable, match="ViT-L-14/openai"):
        EmbeddingHead(str(tmp_path / "laion.safetensors"), embedding="ViT-B-32/openai")


def test_laions_pickle_is_converted_without_running_it(tmp_path: Path) -> None:
    published, vectors = laion(), unit_vectors(4, 768)
    torch.save(state(published), tmp_path / "head.pth")
    convert_laion(tmp_path / "head.pth", tmp_path / "head")
    head = EmbeddingHead(str(tmp_path / "head"), embedding="ViT-L-14/openai")
    with torch.no_grad():
        assert np.allclose(head.score(vectors), published(torch.from_numpy(vectors))[:, 0], atol=1e-4)


def test_another_file_is_not_taken_for_laions(tmp_path: Path) -> None:
    save_file({"layers.0.weight": torch.zeros(1, 768), "layers.0.bias": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelUnavailable, match="neither"):
        EmbeddingHead(str(tmp_path / "other.safetensors"), embedding="ViT-L-14/openai")


@pytest.mark.parametrize(
    "damage", ['{"embedding": "clip@1", "dim": 9, "kind": "linear", "scale": "1-10"}', "{", '{"embedding": "clip@1"}']
)
def test_a_damaged_head_is_not_opened(tmp_path: Path, damage: str) -> None:
    save_head(tmp_path, layers(16, 1), embedding="clip@1")
    (tmp_path / "config.json").write_text(damage)
    with pytest.raises(ModelUnavailable, match=str(tmp_path.name)):
        EmbeddingHead(str(tmp_path), embedding="clip@1")


def test_a_head_that_is_not_there_says_so() -> None:
    with pytest.raises(ModelUnavailable, match="no model folder"):
        EmbeddingHead("/no/such/head", embedding="clip@1")
