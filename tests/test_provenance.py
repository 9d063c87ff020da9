"""A picture's file says where it comes from, and nothing about it changes the picture or the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

import pytest
from PIL import Image

from magid_graph.artifacts import Artifacts
from magid_graph.provenance import TRAINED, Provenance
from tests.graph_runs import Fakes, desk, fake_settings

TOLD = Provenance(recipe="ab" * 32, model='m <"&> ünïcode 模型', seed=7)
Format = Literal["png", "jpeg"]


def drawn() -> Image.Image:
    return Image.effect_noise((32, 16), 80).convert("RGB")


def attributes(path: Path) -> dict[str, str]:
    """What the XMP packet says, by the local names of its attributes."""
    with Image.open(path) as image:
        packet = image.info.get("xmp") or image.info["XML:com.adobe.xmp"]
    text = packet.decode() if isinstance(packet, bytes) else packet
    (about,) = ElementTree.fromstring(text[text.index("<x:") : text.index("</x:xmpmeta>") + 12]).iter(
        "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description"
    )
    return {name.rpartition("}")[2]: value for name, value in about.attrib.items()}


@pytest.mark.parametrize("image_format", ["png", "jpeg"])
def test_a_file_names_recipe_model_and_seed_and_that_it_is_generated(tmp_path: Path, image_format: Format) -> None:
    file = Artifacts(tmp_path, image_format).save(drawn(), TOLD)
    told = attributes(tmp_path / file["path"])
    assert (told["recipe"], told["model"], told["seed"]) == (TOLD.recipe, TOLD.model, "7")
    assert told["DigitalSourceType"] == TRAINED


def test_other_tools_find_it_in_text_chunks_and_exif(tmp_path: Path) -> None:
    png = tmp_path / Artifacts(tmp_path).save(drawn(), TOLD)["path"]
    with Image.open(png) as image:
        image.load()
        assert {"Source": "AI-generated", "Seed": "7", "Model": TOLD.model}.items() <= image.info.items()
    jpeg = tmp_path / Artifacts(tmp_path, "jpeg").save(drawn(), TOLD)["path"]
    with Image.open(jpeg) as image:
        assert image.getexif()[0x0131] == "magid-graph"


@pytest.mark.parametrize("image_format", ["png", "jpeg"])
def test_pixels_are_the_same_with_and_without_it(tmp_path: Path, image_format: Format) -> None:
    image = drawn()
    told, silent = (Artifacts(tmp_path, image_format).save(image, each) for each in (TOLD, None))
    assert told["sha256"] != silent["sha256"]
    opened = [Image.open(tmp_path / file["path"]).convert("RGB").tobytes() for file in (told, silent)]
    assert opened[0] == opened[1]


@pytest.mark.parametrize("image_format", ["png", "jpeg"])
def test_the_same_picture_has_the_same_bytes_whenever_it_is_drawn(tmp_path: Path, image_format: Format) -> None:
    image = drawn()
    first = Artifacts(tmp_path / "one", image_format).save(image, TOLD)
    assert Artifacts(tmp_path / "two", image_format).save(image, TOLD) == first


async def saved_by_a_run(folder: Path, **settings: Any) -> dict[str, str]:
    async with desk(folder, Fakes(), fake_settings(**settings)) as (opened, _):
        file = await opened.draw("a red boat", 5, retry=False)
    return attributes(folder / file["path"])


async def test_a_run_tells_it_and_a_found_picture_is_not_called_generated(tmp_path: Path) -> None:
    told = await saved_by_a_run(tmp_path / "drawn")
    assert (told["seed"], told["model"], told["DigitalSourceType"]) == ("5", "fake:text_to_image", TRAINED)
    names = {**dict.fromkeys(("llm", "clip", "aesthetic", "safety"), "fake:"), "text_to_image": "retrieval:bank"}
    assert "DigitalSourceType" not in await saved_by_a_run(tmp_path / "found", models=names)


async def test_a_setting_leaves_it_out(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="xmp"):
        await saved_by_a_run(tmp_path, run={"provenance": False})
