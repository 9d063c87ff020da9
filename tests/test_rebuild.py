"""A recipe holds no picture, and the pictures that are drawn from it again are compared with what was described."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from magid_graph.models.fake import FakeTextToImage
from magid_graph.phash import SAME, bits_apart, phash
from tests.command_line import Terminal, written
from tests.exporting import files, lines

TALK: list[object] = [
    {"id": "cat", "turns": ["How are you?", "Look, a photo of my cat on the sofa!", "sweet"]},
    {"id": "car", "turns": ["Check out this picture of the red car", "nice"]},
    {"id": "tax", "turns": ["What do you think about taxes?"]},
]
RECIPE = Path("run/exports/recipe")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    made = Terminal(monkeypatch, capsys)
    made.dialogue(written("talk.json", TALK), "--out", "run", "--quiet")
    assert made.type("export", "run", "--recipe-only").code == 0
    return made


def change_samples(change: Any) -> None:
    rows = lines(RECIPE / "samples.jsonl")
    for row in rows:
        change(row)
    (RECIPE / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_recipe_holds_no_picture_and_all_that_one_depends_on(terminal: Terminal) -> None:
    assert not [path for path in RECIPE.rglob("*") if path.suffix in (".png", ".tar", ".parquet")]
    recipe = json.loads((RECIPE / "recipe.json").read_text())
    assert recipe["model"] == "fake:text_to_image"
    assert {"generator.num_inference_steps", "models.text_to_image", "run.image_format"} <= set(recipe["settings"])
    (picture,) = lines(RECIPE / "samples.jsonl")[0]["sample"]["pictures"]
    assert picture["seed"] is not None
    assert picture["prompt"]


def test_pictures_drawn_again_are_the_same_and_make_the_same_data_set(terminal: Terminal) -> None:
    said = terminal.type("rebuild", RECIPE, "--out", "again", "--format", "jsonl", "--json")
    assert (said.code, said.json()["pictures"]) == (0, {"same": 2, "alike": 0, "different": 0, "not_drawn": 0})
    terminal.type("export", "run", "--format", "jsonl")
    left_out = ("README.md", "scores.svg", ".export.json")
    original = {name: data for name, data in files(Path("run/exports/jsonl")).items() if name not in left_out}
    assert {name: data for name, data in files(Path("again/jsonl")).items() if name not in left_out} == original


def test_a_picture_that_is_another_is_counted_and_not_shipped(terminal: Terminal) -> None:
    def other(row: dict[str, Any]) -> None:
        if row["sample"]["key"] == "cat":
            row["sample"]["pictures"][0]["image"]["sha256"] = "0" * 64
            row["phashes"] = [f"{int(row['phashes'][0], 16) ^ (2**64 - 1):016x}"]

    change_samples(other)
    said = terminal.type("rebuild", RECIPE, "--out", "again")
    assert (said.code, "1 pictures are the same to the byte, 0 look alike, 1 differ" in said.out) == (3, True)
    assert [row["group"] for row in lines(Path("again/imagefolder/train/metadata.jsonl"))] == ["car"]
    assert {tuple(row["likeness"]) for row in lines(Path("again/rebuilt.jsonl"))} == {("different",), ("same",), ()}


def test_other_bytes_of_the_same_looks_are_alike(terminal: Terminal) -> None:
    def other(row: dict[str, Any]) -> None:
        for picture in row["sample"]["pictures"]:
            picture["image"]["sha256"] = "0" * 64

    change_samples(other)
    said = terminal.type("rebuild", RECIPE, "--out", "again", "--json")
    assert (said.code, said.json()["pictures"]["alike"]) == (0, 2)


def test_stopped_it_goes_on_and_draws_no_picture_twice(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal.type("rebuild", RECIPE, "--out", "again")

    def refuse(*_: object) -> None:
        raise AssertionError("drawn twice")

    monkeypatch.setattr(FakeTextToImage, "generate", refuse)
    assert terminal.type("rebuild", RECIPE, "--out", "again").code == 0


def test_what_is_no_recipe_is_a_usage_error(terminal: Terminal) -> None:
    assert terminal.type("rebuild", "run", "--out", "again").code == 2
    (RECIPE / "recipe.json").write_text("{")
    said = terminal.type("rebuild", RECIPE, "--out", "again")
    assert (said.code, "`export RUN --recipe-only` makes one" in said.err) == (2, True)
    assert terminal.type("rebuild", RECIPE, "--out", "again", "--format", "recipe").code == 2


def test_a_recipe_and_pictures_are_not_asked_for_together(terminal: Terminal) -> None:
    assert terminal.type("export", "run", "--recipe-only", "--format", "csv").code == 2


def test_a_perceptual_hash_knows_a_picture_at_another_size_and_not_another_picture() -> None:
    noise = Image.effect_noise((32, 32), 200).resize((256, 256), Image.Resampling.BICUBIC)
    assert bits_apart(phash(noise), phash(noise.resize((128, 128)))) <= SAME
    assert bits_apart(phash(noise), phash(noise.rotate(90))) > SAME
