"""The models that ship, opened by the libraries' own loaders as a user of those libraries would."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from magid_graph import pocket
from magid_graph.errors import ModelUnavailable, WeightsDamaged

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def drawn() -> list[tuple[str, Image.Image]]:
    """A few scenes with their descriptions, drawn by the world and not by a model."""
    drawing = pytest.importorskip("training.pocket.drawing")
    from training.pocket.world import Placed, Scene, render

    if not Path(drawing.FONT_PATH).exists():
        pytest.skip("needs fonts-noto-color-emoji")
    wanted = {
        "a dog on the beach": ("beach", "dog"),
        "a pizza on a table": ("table", "pizza"),
        "an owl at night": ("night", "owl"),
        "a sailboat on the sea": ("sea", "sailboat"),
        "a guitar on a stage": ("stage", "guitar"),
        "a cactus in the desert": ("desert", "cactus"),
        "a penguin in the snow": ("snow", "penguin"),
        "a tractor on a farm": ("farm", "tractor"),
    }
    return [(text, render(Scene(place, (Placed(name),)))) for text, (place, name) in wanted.items()]


def test_importing_the_loader_imports_nothing_heavy() -> None:
    code = "import sys, magid_graph.pocket; print({'torch', 'transformers', 'numpy', 'PIL'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("name", pocket.NAMES)
def test_every_model_is_the_one_that_was_shipped(name: str) -> None:
    assert pocket.weights(name).exists()


def test_all_files_together_stay_small() -> None:
    sizes = [(pocket.WEIGHTS_DIR / file).stat().st_size for _, file in pocket.shipped()]
    assert sum(sizes) <= 50_000_000
    assert max(sizes) <= 25_000_000


def test_no_weights_are_pickles() -> None:
    suffixes = {path.suffix for path in pocket.WEIGHTS_DIR.rglob("*") if path.is_file()}
    assert suffixes <= {".safetensors", ".gguf", ".json", ".txt", ".jinja", ""}


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A private copy of the aesthetic head, and a loader that looks there."""
    shutil.copytree(pocket.WEIGHTS_DIR / "aesthetic", tmp_path / "aesthetic")
    shutil.copy(pocket.CHECKSUMS, tmp_path)
    monkeypatch.setattr(pocket, "WEIGHTS_DIR", tmp_path)
    monkeypatch.setattr(pocket, "CHECKSUMS", tmp_path / "SHA256SUMS")
    pocket.weights.cache_clear()
    yield tmp_path
    pocket.weights.cache_clear()


def test_a_changed_file_is_refused_by_name(copied: Path) -> None:
    path = copied / "aesthetic" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(WeightsDamaged, match=r"model\.safetensors"):
        pocket.weights("aesthetic")


def test_a_missing_file_is_refused_by_name(copied: Path) -> None:
    (copied / "aesthetic" / "config.json").unlink()
    with pytest.raises(WeightsDamaged, match=r"config\.json.*missing"):
        pocket.weights("aesthetic")


def test_an_unknown_model_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(ModelUnavailable, match="captioner"):
        pocket.weights("music")


def test_open_clip_opens_the_folder_and_finds_the_right_text(drawn: list[tuple[str, Image.Image]]) -> None:
    import open_clip
    import torch

    name = f"local-dir:{pocket.weights('clip')}"
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    tokens = open_clip.get_tokenizer(name)([text for text, _ in drawn])
    with torch.inference_mode():
        pictures = model.eval().encode_image(torch.stack([preprocess(picture) for _, picture in drawn]), normalize=True)
        likeness = pictures @ model.encode_text(tokens, normalize=True).T
    assert likeness.argmax(1).tolist() == list(range(len(drawn)))


def test_clip_knows_words_that_mean_nearly_the_same(drawn: list[tuple[str, Image.Image]]) -> None:
    from magid_graph.models.clip import OpenClipEmbedder

    clip = OpenClipEmbedder(str(pocket.weights("clip")))
    image = clip.embed_images([drawn[0][1]])[0]
    puppy, pizza = clip.embed_texts(["look at my puppy at the seaside!!", "we had pizza for dinner"]) @ image
    assert puppy > pizza + 0.2


def test_the_aesthetic_head_reads_this_clip_and_no_other() -> None:
    from magid_graph.models.aesthetic import EmbeddingHead
    from magid_graph.models.clip import OpenClipEmbedder

    folder = str(pocket.weights("aesthetic"))
    clip = OpenClipEmbedder(str(pocket.weights("clip")))
    assert EmbeddingHead(folder, embedding=clip.model_id).embedding == clip.model_id
    with pytest.raises(ModelUnavailable, match="embedding"):
        EmbeddingHead(folder, embedding="ViT-L-14/openai")


def test_noise_is_not_beautiful(drawn: list[tuple[str, Image.Image]]) -> None:
    from magid_graph.models.aesthetic import EmbeddingHead
    from magid_graph.models.clip import OpenClipEmbedder

    clip = OpenClipEmbedder(str(pocket.weights("clip")))
    head = EmbeddingHead(str(pocket.weights("aesthetic")), embedding=clip.model_id)
    clean = [picture for _, picture in drawn]
    noisy = [Image.blend(picture, Image.effect_noise(picture.size, 120).convert("RGB"), 0.7) for picture in clean]
    assert min(head.score(clip.embed_images(clean))) > 5.1 > max(head.score(clip.embed_images(noisy)))


def test_transformers_opens_the_captioner_which_names_object_and_place(drawn: list[tuple[str, Image.Image]]) -> None:
    from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

    from training.pocket.reading import objects_in, place_in

    folder = pocket.weights("captioner")
    model = AutoModelForImageTextToText.from_pretrained(folder).eval()
    inputs = AutoImageProcessor.from_pretrained(folder)([picture for _, picture in drawn], return_tensors="pt")
    texts = AutoTokenizer.from_pretrained(folder).batch_decode(model.generate(**inputs), skip_special_tokens=True)
    assert [place_in(text) for text in texts] == [place_in(wanted) for wanted, _ in drawn]
    # It takes a pizza for a paint palette; benchmarks/pocket.py measures how often such things happen.
    assert sum(objects_in(text)[:1] == objects_in(wanted) for text, (wanted, _) in zip(texts, drawn, strict=True)) >= 7


def test_captions_vary_with_temperature(drawn: list[tuple[str, Image.Image]]) -> None:
    from magid_graph.models.caption import TransformersCaptioner

    captioner = TransformersCaptioner(str(pocket.weights("captioner")), temperature=0.7)
    texts = captioner.caption([drawn[0][1]] * 8, seeds=range(8))
    assert len(set(texts)) >= 4
    assert sum("dog" in text for text in texts) >= 6


def test_diffusers_opens_the_pipeline_and_draws() -> None:
    from diffusers import AutoPipelineForText2Image

    pipeline = AutoPipelineForText2Image.from_pretrained(pocket.weights("text_to_image"))
    pipeline.set_progress_bar_config(disable=True)
    picture = pipeline("a dog on a beach", num_inference_steps=4).images[0]
    assert min(picture.size) >= 64


def test_the_clip_folder_says_what_it_is() -> None:
    config = json.loads((pocket.weights("clip") / "open_clip_config.json").read_text())
    assert config["model_cfg"]["vision_cfg"]["image_size"] >= 64


def test_a_caption_that_does_not_end_is_cut_at_the_last_position() -> None:
    from magid_graph.models.caption import TransformersCaptioner

    captioner = TransformersCaptioner(str(pocket.weights("captioner")), temperature=5.0)
    assert len(captioner.caption([Image.effect_noise((128, 128), 90).convert("RGB")] * 8, seeds=range(8))) == 8
