"""Pictures from a folder, found by CLIP."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from magid_graph.errors import ModelUnavailable
from magid_graph.models.retrieval import RetrievalTextToImage

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


class ColourEmbedder:
    """A space of three colours, in which "red" is red."""

    model_id = "colours"

    def embed_images(self, images: list[Image.Image]) -> np.ndarray:
        return self._unit([np.asarray(image, dtype=np.float32).mean(axis=(0, 1)) for image in images])

    def embed_texts(self, texts: list[str]) -> np.ndarray:
        return self._unit([COLOURS[text] for text in texts])

    @staticmethod
    def _unit(rows: list) -> np.ndarray:
        vectors = np.asarray(rows, dtype=np.float32) + 1e-6
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    for name, colour in {
        "red": "red",
        "deep/dark-red": "darkred",
        "pink": "pink",
        "blue": "blue",
        "navy": "navy",
    }.items():
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), colour).save(path)
    return tmp_path


def colour(image: Image.Image) -> str:
    red, _, blue = image.getpixel((0, 0))
    return "red" if red > blue else "blue"


def test_the_nearest_picture_is_returned(bank: Path) -> None:
    model = RetrievalTextToImage(str(bank), ColourEmbedder(), top_k=2)
    assert [colour(picture) for picture in model.generate(["red", "blue", "red"], [0, 1, 2])] == ["red", "blue", "red"]


def test_another_seed_can_give_the_next_nearest(bank: Path) -> None:
    model = RetrievalTextToImage(str(bank), ColourEmbedder(), top_k=2)
    drawn = [model.generate(["red"], [seed])[0].getpixel((0, 0)) for seed in (0, 1, 2)]
    assert drawn[0] != drawn[1]
    assert drawn[0] == drawn[2]


def test_unreadable_files_are_skipped_and_named(bank: Path, caplog: pytest.LogCaptureFixture) -> None:
    (bank / "broken.png").write_bytes(b"\x89PNG nothing")
    (bank / "notes.txt").write_text("not a picture")
    Image.new("RGB", (100, 100)).save(bank / "huge.png")
    with caplog.at_level(logging.WARNING):
        model = RetrievalTextToImage(str(bank), ColourEmbedder(), top_k=99, max_pixels=9_999)
    assert len(model._paths) == 5
    assert [name for name in ("broken.png", "huge.png", "notes.txt") if name in caplog.text] == [
        "broken.png",
        "huge.png",
    ]


def test_a_bank_is_known_by_its_content(bank: Path) -> None:
    before, again = (RetrievalTextToImage(str(bank), ColourEmbedder()).model_id for _ in range(2))
    Image.new("RGB", (8, 8), "green").save(bank / "green.png")
    assert before == again
    assert RetrievalTextToImage(str(bank), ColourEmbedder()).model_id != before


def test_a_folder_without_pictures_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="no readable picture"):
        RetrievalTextToImage(str(tmp_path), ColourEmbedder())
    with pytest.raises(ModelUnavailable, match="folder"):
        RetrievalTextToImage(str(tmp_path / "missing"), ColourEmbedder())


def test_no_description_is_too_long(bank: Path) -> None:
    model = RetrievalTextToImage(str(bank), ColourEmbedder())
    assert model.count_tokens("word " * 1000) <= model.max_tokens
    assert model.cut("word " * 1000) == "word " * 1000
    assert model.generate([], []) == []
