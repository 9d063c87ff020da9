"""Data sets are opened by those who will read them, or by their rules written down a second time; nothing is lost on
the way or comes out in another order.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import itertools
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from magid_graph.exporters import Layout, Sample
from magid_graph.exporters.layout import PLACEMENTS
from magid_graph.exporters.placement import placed
from magid_graph.exporters.roles import conversations
from magid_graph.exporters.rows import PictureRow, picture_rows
from magid_graph.readers.text import normalise
from magid_graph.records import Attempt, ImageFile
from tests.exporting import attempt, dialogue, lines, pair, picture, write

SHADES = (200, 20, 90)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("consumers") / "run"


@pytest.fixture(scope="module")
def images(run_dir: Path) -> list[ImageFile]:
    return [picture(run_dir, shade) for shade in SHADES]


@pytest.fixture
def samples(images: list[ImageFile]) -> list[Sample]:
    red, dark, _ = images
    return [
        dialogue("../../one", [attempt(red), attempt(dark, turn=2)]),
        dialogue("a.b/two", [attempt(red)], speakers=["Ben", "Ann", "Ben", "Ann"]),
        dialogue("no moment", []),
    ]


# -- the real ones


def test_datasets_opens_the_image_folder(samples: list[Sample], run_dir: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    folder = write("imagefolder", samples, run_dir, out=tmp_path).path
    for number, place in enumerate((folder, folder / "train")):
        cache = str(tmp_path / f"cache{number}")
        opened = datasets.load_dataset("imagefolder", data_dir=str(place), split="train", cache_dir=cache)
        assert set(opened.column_names) == {"image", *PictureRow.__annotations__}
        assert opened["group"][:] == ["../../one", "../../one", "a.b/two"]
        assert opened["speaker"][:] == ["", "", "Ann"]
        assert [image.getpixel((0, 0))[0] for image in opened["image"]] == [200, 20, 200]


def test_datasets_opens_dialogues_with_their_pictures_inside(
    samples: list[Sample], run_dir: Path, tmp_path: Path
) -> None:
    datasets = pytest.importorskip("datasets")
    folder = write("parquet", samples, run_dir, out=tmp_path).path
    rows = list(datasets.load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache")))
    assert [row["id"] for row in rows] == ["../../one", "a.b/two", "no moment"]
    assert [[image.getpixel((0, 0))[0] for image in row["images"]] for row in rows] == [[200, 20], [200], []]
    assert [turn["text"] for turn in rows[0]["turns"]] == [turn["text"] for turn in samples[0]["turns"]]
    assert [turn["pictures"] for turn in rows[0]["turns"]] == [[], [0], [1], []]
    assert rows[0]["pictures"][1]["description"] == "a dog at turn 2"


def test_datasets_opens_pairs(images: list[ImageFile], run_dir: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    matrix = [pair(image, iteration=n, caption=f"caption {n}") for n, image in enumerate(images)]
    folder = write("parquet", matrix, run_dir, out=tmp_path).path
    rows = list(datasets.load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache")))
    assert [(row["id"], row["text"], row["image"].getpixel((0, 0))[0]) for row in rows] == [
        (f"b000-c00-i0{n}", f"caption {n}", shade) for n, shade in enumerate(SHADES)
    ]
    assert rows[1]["parent"] == "b000-c00-i00"


def test_a_row_group_holds_few_pictures(images: list[ImageFile], run_dir: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    matrix = [pair(images[n % 3], chain=n) for n in range(70)]
    folder = write("parquet", matrix, run_dir, out=tmp_path).path
    file = parquet.ParquetFile(folder / "data" / "train-00000.parquet")
    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [32, 32, 6]


def test_webdataset_opens_the_shards(samples: list[Sample], run_dir: Path, tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    folder = write("webdataset", samples, run_dir, out=tmp_path).path
    (shard,) = (folder / "train").glob("*.tar")
    rows = list(webdataset.WebDataset(str(shard), shardshuffle=False).decode("pil"))
    assert [row["json"]["group"] for row in rows] == ["../../one", "../../one", "a.b/two"]
    assert [row["png"].getpixel((0, 0))[0] for row in rows] == [200, 20, 200]
    assert [row["txt"] for row in rows] == [row["json"]["text"] for row in rows]
    assert not [row["__key__"] for row in rows if "." in row["__key__"]]


def test_the_side_files_of_a_shard_are_those_of_img2dataset(
    samples: list[Sample], run_dir: Path, tmp_path: Path
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    train = write("webdataset", samples, run_dir, out=tmp_path).path / "train"
    table = parquet.read_table(train / "00000.parquet").to_pylist()
    assert [row["status"] for row in table] == ["success"] * 3
    assert {"key", "caption", "error_message", "width", "height", "sha256"} <= set(table[0])
    assert json.loads((train / "00000_stats.json").read_text())["successes"] == 3


# -- their rules, written down a second time


def loaded_as_llava(data_path: Path) -> list[dict[str, Any]]:
    """What LLaVA's lazy dataset and its v1 template make of a file."""
    loaded = []
    for source in json.loads(data_path.read_text("utf-8")):
        said = [(turn["from"], turn["value"]) for turn in source["conversations"]]
        if "image" in source:
            assert isinstance(source["image"], str), "one picture per sample"
            Image.open(data_path.parent / source["image"]).convert("RGB")
            said = [(who, moved_to_front(text)) for who, text in said]
        roles = {"human": 0, "gpt": 1}
        if roles[said[0][0]] != 0:
            said = said[1:]
        assert [roles[who] for who, _ in said] == [at % 2 for at in range(len(said))]
        found = [place for place, (_, text) in enumerate(said) if "<image>" in text]
        assert len(found) == ("image" in source)
        loaded.append({"said": said, "image": source.get("image")})
    return loaded


def moved_to_front(text: str) -> str:
    if "<image>" not in text:
        return text
    return ("<image>\n" + text.replace("<image>", "").strip()).strip()


def loaded_as_llama_factory(folder: Path) -> list[dict[str, Any]]:
    """What LLaMA-Factory's sharegpt converter keeps; it drops, with a warning, what breaks its rules."""
    kept = []
    for entry in json.loads((folder / "dataset_info.json").read_text()).values():
        assert entry["formatting"] == "sharegpt"
        columns = entry["columns"]
        for row in json.loads((folder / entry["file_name"]).read_text("utf-8")):
            messages, pictures = row[columns["messages"]], row[columns["images"]]
            odd, even = {"human", "observation"}, {"gpt", "function_call"}
            for at, message in enumerate(messages):
                assert message["from"] in (odd if at % 2 == 0 else even), "it would be dropped"
            assert len(messages) % 2 == 0, "it would be dropped"
            assert "".join(message["value"] for message in messages).count("<image>") == len(pictures)
            for marker in ("<video>", "<audio>"):
                assert not any(marker in message["value"] for message in messages)
            for name in pictures:
                Image.open(folder / name).load()
            kept.append({"said": [(m["from"], m["value"]) for m in messages], "images": pictures})
    return kept


def accepted_for_fine_tuning(path: Path) -> list[list[dict[str, Any]]]:
    """Examples as OpenAI's and Azure's documents ask for them."""
    examples = []
    for row in lines(path):
        assert set(row) == {"messages"}
        assert row["messages"][-1]["role"] == "assistant"
        for message in row["messages"]:
            parts = message["content"] if isinstance(message["content"], list) else []
            if message["role"] == "assistant":
                assert isinstance(message["content"], str)
            for part in parts:
                if part["type"] == "image_url":
                    kind, data = re.fullmatch(r"data:image/(png|jpeg);base64,(.*)", part["image_url"]["url"]).groups()  # type: ignore[union-attr]
                    assert Image.open(io.BytesIO(base64.b64decode(data, validate=True))).format == kind.upper()
        examples.append(row["messages"])
    return examples


def test_whoever_shares_the_picture_is_the_human(samples: list[Sample], run_dir: Path, tmp_path: Path) -> None:
    folder = write("sharegpt", samples[1:2], run_dir, out=tmp_path)
    (row,) = loaded_as_llama_factory(folder.path)
    assert row["said"] == [("human", "look, my dog 🐶\n<image>"), ("gpt", "שלום")]
    assert {note: count for note, count in folder.notes.items() if count} == {
        "conversations turned round, so that whoever shares a picture is the human": 1,
        "turns left out before the human's first": 1,
        "turns left out after the assistant's last": 1,
    }


def test_two_sharers_make_two_conversations_and_one_picture_each(
    samples: list[Sample], run_dir: Path, tmp_path: Path
) -> None:
    loaded = loaded_as_llava(write("llava", samples[:1], run_dir, out=tmp_path).path / "train.json")
    assert [row["said"] for row in loaded] == [
        [("human", "<image>\nlook, my dog 🐶"), ("gpt", "שלום")],
        [("human", "hi"), ("gpt", "look, my dog 🐶"), ("human", "<image>\nשלום"), ("gpt", "bye")],
    ]


def test_pairs_are_a_question_and_its_answer(images: list[ImageFile], run_dir: Path, tmp_path: Path) -> None:
    matrix = [pair(image, iteration=n, caption=f"caption {n}") for n, image in enumerate(images)]
    loaded = loaded_as_llava(write("llava", matrix, run_dir, out=tmp_path).path / "train.json")
    assert [row["said"] for row in loaded] == [
        [("human", "<image>\nPlease describe this image in detail."), ("gpt", f"caption {n}")] for n in range(3)
    ]


def test_a_placeholder_in_somebody_s_words_is_no_picture(
    images: list[ImageFile], run_dir: Path, tmp_path: Path
) -> None:
    sample = dialogue("x", [attempt(images[0], turn=0)], texts=["see <image> and <video>", "I typed <image> too"])
    loaded_as_llava(write("llava", [sample], run_dir, out=tmp_path).path / "train.json")
    folder = write("sharegpt", [sample], run_dir, out=tmp_path)
    (row,) = loaded_as_llama_factory(folder.path)
    assert "see ‹image› and ‹video›" in row["said"][0][1]


def test_a_picture_that_nobody_answers_is_said_to_be_left_out(
    images: list[ImageFile], run_dir: Path, tmp_path: Path
) -> None:
    folder = write("llava", [dialogue("x", [attempt(images[0], turn=3)])], run_dir, out=tmp_path)
    assert loaded_as_llava(folder.path / "train.json") == []
    assert folder.notes["pictures left out, because nobody answers them"] == 1


# -- nothing is lost, nothing comes out in another order

TEXTS = st.text(min_size=1, max_size=20).map(normalise).filter(str.strip)
SPEAKERS = st.sampled_from(["Ann", "Ben", "Cy"])


@st.composite
def dialogues(draw: st.DrawFn) -> tuple[list[str], list[str | None], list[tuple[int, int]]]:
    """Texts, speakers, and the turn and shade of each picture."""
    texts = draw(st.lists(TEXTS, min_size=1, max_size=6))
    named = draw(st.booleans())
    speakers: list[str | None] = [draw(SPEAKERS) if named else None for _ in texts]
    turns = draw(st.lists(st.integers(0, len(texts) - 1), max_size=3))
    return texts, speakers, [(turn, draw(st.integers(0, 2))) for turn in sorted(turns)]


def made(key: str, drawn: tuple[Any, Any, Any], images: list[ImageFile]) -> Sample:
    texts, speakers, pictures = drawn
    numbers: Counter[int] = Counter()
    attempts: list[Attempt] = []
    for turn, shade in pictures:
        attempts.append(attempt(images[shade], turn=turn, n=numbers[turn]))
        numbers[turn] += 1
    return dialogue(key, attempts, texts=texts, speakers=speakers)


def quickly(examples: int) -> Any:
    kept = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=kept)


def hashes(sample: Sample) -> list[str]:
    return [one["image"]["sha256"] for one in sample["pictures"]]


@quickly(15)
@given(drawn=st.lists(dialogues(), max_size=4), placement=st.sampled_from(PLACEMENTS))
def test_every_dialogue_comes_back_as_it_was(
    drawn: list[Any], placement: Any, images: list[ImageFile], run_dir: Path
) -> None:
    given_ = [made(f"d{n}", each, images) for n, each in enumerate(drawn)]
    layout = Layout(placement=placement)
    folder = write("jsonl", given_, run_dir, layout=layout).path
    for sample, row in itertools.zip_longest(given_, lines(folder / "train.jsonl")):
        assert (row["id"], row["source"]) == (sample["key"], sample["source"])
        turns = {turn["turn"]: turn["replaced"] or turn["text"] for turn in reversed(row["turns"])}
        assert [turns[at] for at in sorted(turns)] == [turn["text"] for turn in sample["turns"]]
        order = [number for turn in row["turns"] for number in turn["pictures"]]
        assert [row["pictures"][number]["image"]["sha256"] for number in order] == hashes(sample)
    magid = json.loads((write("magid", given_, run_dir, layout=layout).path / "magi_dataset.json").read_text("utf-8"))
    assert list(magid) == [sample["key"] for sample in given_]
    for sample in given_:
        entries = magid[sample["key"]]
        assert [Path(entry[1]).stem for entry in entries if entry[0] == "img"] == hashes(sample)
        expected = [turn["text"] for turn in placed(sample, placement) if turn["text"]]
        assert [entry[1] for entry in entries if entry[0] == "txt"] == expected


@quickly(15)
@given(drawn=st.lists(dialogues(), max_size=4))
def test_every_picture_comes_back_with_its_row(drawn: list[Any], images: list[ImageFile], run_dir: Path) -> None:
    given_ = [made(f"d{n}", each, images) for n, each in enumerate(drawn)]
    expected = [row for sample in given_ for _, row in picture_rows(sample)]
    table = write("csv", given_, run_dir).path
    with (table / "train.csv").open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    assert [{name: row[name] for name in row if name != "file_name"} for row in found] == [
        {name: "" if value is None else str(value) for name, value in row.items()} for row in expected
    ]
    for row in found:
        assert hashlib.sha256((table / row["file_name"]).read_bytes()).hexdigest() == row["sha256"]
    folder = write("imagefolder", given_, run_dir).path
    rows = lines(folder / "train" / "metadata.jsonl")
    assert [{name: row[name] for name in row if name != "file_name"} for row in rows] == expected


@quickly(15)
@given(drawn=st.lists(dialogues(), max_size=4), placement=st.sampled_from(PLACEMENTS))
def test_whatever_was_said_trainers_take_it(
    drawn: list[Any], placement: Any, images: list[ImageFile], run_dir: Path
) -> None:
    given_ = [made(f"d{n}", each, images) for n, each in enumerate(drawn)]
    layout = Layout(placement=placement)
    pictures = sum(len(sample["pictures"]) for sample in given_)
    left_out = "pictures left out, because nobody answers them"
    folder = write("llava", given_, run_dir, layout=layout)
    shipped = [row for row in loaded_as_llava(folder.path / "train.json") if row["image"]]
    assert len(shipped) + folder.notes[left_out] == pictures
    folder = write("sharegpt", given_, run_dir, layout=layout)
    rows = loaded_as_llama_factory(folder.path)
    assert sum(len(row["images"]) for row in rows) + folder.notes[left_out] == pictures
    accepted_for_fine_tuning(write("openai", given_, run_dir, layout=layout).path / "train.jsonl")


@quickly(200)
@given(drawn=dialogues(), at_most=st.sampled_from([None, 1]))
def test_a_conversation_says_what_was_said_in_that_order(drawn: Any, at_most: int | None) -> None:
    images = [ImageFile(sha256=f"{n}" * 64, path=f"images/{n}.png", width=8, height=8) for n in range(3)]
    sample = made("d", drawn, images)
    told = "\n".join(turn["text"] for turn in sample["turns"])
    notes: Counter[str] = Counter()
    seen = []
    for conversation in conversations(sample, "after", notes, at_most=at_most):
        assert "\n".join(message.text for message in conversation.said) in told
        assert [m.role for m in conversation.said] == ["human", "assistant"] * (len(conversation.said) // 2)
        assert not [m for m in conversation.said if m.role == "assistant" and m.pictures]
        seen += conversation.pictures
    unanswered = notes["pictures left out, because nobody answers them"]
    assert len(seen) + unanswered == len(sample["pictures"])
    assert len({id(one) for one in seen}) == len(seen)
