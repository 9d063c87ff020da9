"""The picture-book world: its lists, its scenes, its captions, and (where the emoji font is installed) its pictures."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from training.pocket.world import (
    COLOURABLE,
    IMAGE_SIZE,
    OBJECTS,
    PLAUSIBLE,
    SETTINGS,
    Placed,
    Scene,
    caption,
    render,
    sample_scene,
)

FONT_PATH = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
needs_font = pytest.mark.skipif(
    not FONT_PATH.exists(), reason="pictures of the world need the package fonts-noto-color-emoji"
)


def test_the_world_knows_enough() -> None:
    assert len(OBJECTS) >= 150
    assert len(SETTINGS) >= 26


def test_no_word_means_two_objects() -> None:
    words = Counter(word for known in OBJECTS.values() for word in {known.name, *known.synonyms})
    assert [word for word, count in words.items() if count > 1] == []


def test_every_likely_place_and_colourable_object_exists() -> None:
    assert {known.category for known in OBJECTS.values()} <= set(PLAUSIBLE)
    assert {place for places in PLAUSIBLE.values() for place in places} <= set(SETTINGS)
    assert set(COLOURABLE) <= set(OBJECTS)


def test_a_scene_survives_json() -> None:
    rng = Random(1)
    for _ in range(50):
        scene = sample_scene(rng)
        assert Scene.from_json(json.loads(json.dumps(scene.to_json()))) == scene


def test_about_half_of_the_scenes_show_one_object() -> None:
    rng = Random(2)
    scenes = [sample_scene(rng) for _ in range(2000)]
    single = sum(len(scene.objects) == 1 and scene.objects[0].count == 1 for scene in scenes)
    assert 0.5 < single / len(scenes) < 0.65
    assert any(scene.objects == () for scene in scenes)


def words_for(placed: Placed) -> list[str]:
    known = OBJECTS[placed.name]
    return [known.name, known.plural, *known.synonyms]


@pytest.mark.parametrize("split", ["train", "heldout"])
def test_a_caption_names_every_object_and_the_place(split: str) -> None:
    rng = Random(3)
    for _ in range(300):
        scene = sample_scene(rng)
        text = caption(scene, rng, split).lower()  # type: ignore[arg-type]
        for placed in scene.objects:
            assert any(word in text for word in words_for(placed)), (scene, text)
        place = SETTINGS[scene.setting]
        assert scene.setting == "plain" or any(phrase in text for phrase in (*place.phrases, *place.alone)), (
            scene,
            text,
        )


def test_held_out_captions_use_other_frames() -> None:
    from training.pocket.captions import ADJECTIVES, CLOSE, OPENINGS, OWNERS

    for table in (ADJECTIVES, CLOSE, OPENINGS, OWNERS):
        assert set(table["train"]) & set(table["heldout"]) <= {""}


@needs_font
def test_equal_scenes_give_equal_pixels_and_others_do_not() -> None:
    scene = Scene("beach", (Placed("dog"),))
    assert render(scene).size == (IMAGE_SIZE, IMAGE_SIZE)
    assert render(scene).tobytes() == render(Scene("beach", (Placed("dog"),))).tobytes()
    assert render(scene).tobytes() != render(Scene("beach", (Placed("cat"),))).tobytes()


@needs_font
def test_every_object_and_every_place_can_be_drawn() -> None:
    from training.pocket.drawing import backdrop, sprite_of

    for name in OBJECTS:
        assert max(sprite_of(name, 72).size) == 72
    pictures = {backdrop(place, 0).tobytes() for place in SETTINGS}
    assert len(pictures) == len(SETTINGS)


@needs_font
def test_a_dyed_object_changes_colour() -> None:
    from training.pocket.drawing import sprite_of

    assert sprite_of("car", 54, "blue").tobytes() != sprite_of("car", 54, "red").tobytes()


@needs_font
def test_scenes_are_written_and_read_back_in_order(tmp_path: Path) -> None:
    import numpy as np

    from training.pocket import scenes

    scenes.write("heldout", 5, tmp_path)
    pixels, specs = scenes.read("heldout", tmp_path)
    assert pixels.shape == (5, IMAGE_SIZE, IMAGE_SIZE, 3)
    assert np.array_equal(pixels[3], np.asarray(render(specs[3])))
    assert specs == scenes.scenes_of("heldout", 5)


def test_the_two_splits_share_no_seed() -> None:
    from training.pocket.scenes import scenes_of

    train = {json.dumps(scene.to_json()) for scene in scenes_of("train", 300)}
    assert len(train & {json.dumps(scene.to_json()) for scene in scenes_of("heldout", 300)}) < 5


def test_the_code_of_a_scene_reads_back() -> None:
    import torch

    from training.pocket import hearing
    from training.pocket.sketch import AXES, BLOCKS, filled_up
    from training.pocket.world import NAMES, PLACES

    numbers = torch.Generator().manual_seed(1)
    rows = {"thing": hearing.NOTHING + 1, "role": 4, "count": 5, "size": 5, "hue": 7}
    codes = {
        block: torch.randn(rows[block], end - start, generator=numbers) for block, (start, end) in hearing.PARTS.items()
    }
    scene = Scene("beach", (Placed("dog", size="medium", slot="left"), Placed("car", size="medium", slot="right")))
    said = torch.tensor([hearing.answers(scene)])
    blank = filled_up(torch.zeros(1, BLOCKS, AXES))
    states = hearing.states_of(said, blank, codes)
    assert states.shape == (1, 40, 128)
    assert torch.allclose(states.mean(-1), torch.zeros(1, 40), atol=1e-4)
    things = [NAMES.index("dog"), NAMES.index("car"), len(NAMES) + PLACES.index("beach")]
    assert hearing.read_things(states, codes).tolist() == [things]


@needs_font
def test_the_vocabulary_of_trained_weights_can_be_taken_over(tmp_path: Path) -> None:
    from magid_graph import pocket
    from training.pocket import words

    folder = pocket.weights("text_to_image")
    words.adopt(folder, tmp_path)
    tokenizer, vectors = words.build(tmp_path)
    assert len(tokenizer) == len(vectors) == words.VOCABULARY_SIZE
    assert tokenizer.tokenize("A puppy on the beach") == ["a", "puppy", "on", "the", "beach"]


def test_a_joint_between_two_objects_is_now_and_then_another_word() -> None:
    from training.pocket.hearing import joined_anew

    rng, text = Random(1), "a cat next to a dog on a table"
    made = {joined_anew(text, ["moss"], rng) for _ in range(60)}
    assert made == {text, "a cat moss a dog on a table", "a cat moss moss a dog on a table"}


def test_scenes_can_be_mostly_of_two_objects() -> None:
    scenes = [sample_scene(Random(n), {"one": 1, "two": 9}) for n in range(200)]
    assert 0.8 < sum(len(scene.objects) == 2 for scene in scenes) / len(scenes) < 0.98


def test_a_sketch_holds_each_object_where_it_is_drawn_and_the_same_wherever_it_stands(tmp_path: Path) -> None:
    import numpy as np
    import torch

    from training.pocket.autoencoder import fit_axes
    from training.pocket.progress import save_state
    from training.pocket.sketch import AXES, Sketches

    pictures = np.stack([np.asarray(render(Scene("plain", (Placed(name),)))) for name in ("dog", "car", "pizza")])
    save_state(fit_axes(pictures), tmp_path / "axes.pt")
    left, right = (Placed("dog", size="medium", slot=slot) for slot in ("left", "right"))
    drawn = Sketches(tmp_path)([Scene("beach", (left,)), Scene("beach", (right,)), Scene("beach", ())])
    content = drawn[..., :AXES].view(3, 4, 4, AXES)
    loud = content.square().sum(-1)
    assert loud[0, :, :2].sum() > 0 == loud[0, :, 2:].sum()
    assert torch.allclose(content[0, :, :2], content[1, :, 2:], atol=1e-3)
    assert loud[2].sum() == 0


def test_muon_makes_every_direction_of_a_matrix_equal() -> None:
    import torch

    from training.pocket.muon import orthogonal

    spread = torch.linalg.svdvals(orthogonal(torch.randn(24, 60, generator=torch.Generator().manual_seed(2))))
    assert spread.min() > 0.5
    assert spread.max() < 1.3
