"""Data sets are opened by those who will read them, and never ship a picture that was not judged."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from magid_graph.errors import DamagedPicture, StorageFailed
from magid_graph.exporters import EXPORTERS, READS_EXCHANGES, FinishedItem
from magid_graph.exporters.imagefolder import PictureRow
from magid_graph.exporters.items import finished_items
from magid_graph.journal import Asked, Journal, Outcome
from magid_graph.records import (
    Attempt,
    BadRow,
    Dialogue,
    Exchange,
    ImageFile,
    ItemState,
    Limits,
    Scores,
    Turn,
    Verdict,
)


def picture(run_dir: Path, shade: int) -> ImageFile:
    drawn = run_dir / "drawn.png"
    run_dir.mkdir(exist_ok=True)
    Image.new("RGB", (16, 16), (shade, 0, 0)).save(drawn)
    sha256 = hashlib.sha256(drawn.read_bytes()).hexdigest()
    path = f"images/{sha256[:2]}/{sha256}.png"
    (run_dir / path).parent.mkdir(parents=True, exist_ok=True)
    drawn.replace(run_dir / path)
    return ImageFile(sha256=sha256, path=path, width=16, height=16)


def attempt(image: ImageFile | None, *, turn: int = 1, n: int = 0, verdict: Verdict = "accept") -> Attempt:
    return Attempt(
        turn=turn,
        n=n,
        description=f"a dog at turn {turn}",
        prompt="a dog, photographic style",
        fitted="whole",
        seed=7 + n,
        image=image,
        scores=Scores(clip_similarity=0.3, clip_utterance=0.3, clip_description=None, aesthetic=5.5, nsfw=0.01),
        limits=Limits(min_clip_similarity=0.2, min_aesthetic=5.1, max_nsfw=0.5),
        reason=None if verdict == "accept" else "off_topic",
        note=None,
        verdict=verdict,
    )


def item(key: str, state: ItemState, attempts: list[Attempt], *, speaker: str | None = None) -> FinishedItem:
    turns = [
        Turn(speaker=None, text="hi"),
        Turn(speaker=speaker, text="look, my dog 🐶"),
        Turn(speaker=None, text="שלום"),
    ]
    exchange = Exchange(
        node="scanner",
        turn=None,
        model="fake:chat",
        messages=[{"role": "user", "content": "two\nlines"}],
        reply="<result>none</result>",
        prompt_tokens=3,
        completion_tokens=4,
        duration_s=0.1,
        cached=False,
    )
    return FinishedItem(
        key=key,
        state=state,
        reason=None if state == "accepted" else "unreadable_reply",
        dialogue=Dialogue(key=key, turns=turns, source={"file": "in.json", "index": 0}),
        attempts=attempts,
        exchanges=[exchange],
    )


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def items(run_dir: Path) -> list[FinishedItem]:
    red, dark = picture(run_dir, 200), picture(run_dir, 20)
    bad_row = item("bad", "failed", [])
    bad_row["dialogue"] = None
    return [
        item("../../one", "accepted", [attempt(dark, verdict="regenerate"), attempt(red, n=1), attempt(dark, turn=2)]),
        item("two", "accepted", [attempt(red)], speaker="Ann"),
        item("no moment", "accepted", []),
        item("three", "rejected", [attempt(dark, verdict="discard"), attempt(None, n=1, verdict="discard")]),
        item("four", "failed", [attempt(red)]),
        bad_row,
    ]


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


TEXTS = [["txt", "hi"], ["txt", "look, my dog 🐶"], ["txt", "שלום"]]


def test_the_magi_data_set_has_the_released_shape(items: list[FinishedItem], run_dir: Path) -> None:
    path = EXPORTERS["magi"](items, run_dir)
    assert path == run_dir / "dataset" / "magi_dataset.json"
    rows = json.loads(path.read_text(encoding="utf-8"))
    assert list(rows) == ["../../one", "two", "no moment", "three"]
    assert [entry[0] for entry in rows["../../one"]] == ["txt", "txt", "img", "txt", "img"]
    assert [entry for entry in rows["../../one"] if entry[0] == "txt"] == rows["no moment"] == rows["three"] == TEXTS
    _, file, caption = rows["../../one"][4]
    assert caption == "a dog at turn 2"
    with Image.open(path.parent / file) as image:
        assert image.getpixel((0, 0)) == (20, 0, 0)


def test_datasets_opens_the_image_folder(items: list[FinishedItem], run_dir: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    path = EXPORTERS["imagefolder"](items, run_dir)
    EXPORTERS["magi"](items, run_dir)
    assert path == run_dir / "dataset" / "train" / "metadata.jsonl"
    for number, folder in enumerate((path.parent, path.parent.parent)):
        cache = str(tmp_path / f"cache{number}")
        opened = datasets.load_dataset("imagefolder", data_dir=str(folder), split="train", cache_dir=cache)
        assert set(opened.column_names) == {"image", *PictureRow.__annotations__} - {"file_name"}
        assert opened["dialogue"][:] == ["../../one", "../../one", "two"]
        assert opened["turn"][:] == [1, 2, 1]
        assert opened["attempt"][:] == [1, 0, 0]
        assert opened["speaker"][:] == ["", "", "Ann"]
        assert [image.getpixel((0, 0))[0] for image in opened["image"]] == [200, 20, 200]


def test_every_row_has_every_key(items: list[FinishedItem], run_dir: Path) -> None:
    rows = read_lines(EXPORTERS["imagefolder"](items, run_dir))
    assert {tuple(row) for row in rows} == {tuple(PictureRow.__annotations__)}
    assert rows[0]["clip_description"] is None


def test_every_exchange_is_in_the_prompts(items: list[FinishedItem], run_dir: Path) -> None:
    path = EXPORTERS["prompts"](items, run_dir)
    rows = read_lines(path)
    assert path == run_dir / "prompts.jsonl"
    assert [row["key"] for row in rows] == [each["key"] for each in items]
    assert rows[0]["messages"] == [{"role": "user", "content": "two\nlines"}]
    assert rows[4]["state"] == "failed"


@pytest.mark.parametrize("name", EXPORTERS)
def test_a_run_without_pictures_is_exported_too(name: str, run_dir: Path) -> None:
    text = EXPORTERS[name](iter([]), run_dir).read_text(encoding="utf-8")
    assert {"magi": "{\n}\n", "imagefolder": "", "prompts": ""}.get(name, text) == text


@pytest.mark.parametrize("name", EXPORTERS)
def test_writing_again_gives_the_same_bytes_and_leaves_nothing_behind(
    name: str, items: list[FinishedItem], run_dir: Path
) -> None:
    path = EXPORTERS[name](iter(items), run_dir)
    before = path.read_bytes()
    assert EXPORTERS[name](iter(items), run_dir).read_bytes() == before
    assert not [file for file in run_dir.rglob("*") if file.name.endswith(".part")]


def test_pictures_that_are_no_longer_accepted_are_removed(items: list[FinishedItem], run_dir: Path) -> None:
    images = EXPORTERS["imagefolder"](items, run_dir).parent / "images"
    assert len(list(images.iterdir())) == 2
    EXPORTERS["imagefolder"](items[1:], run_dir)
    assert len(list(images.iterdir())) == 1


@pytest.mark.parametrize("name", ["magi", "imagefolder"])
@pytest.mark.parametrize("harm", ["changed", "missing", "copy changed"])
def test_a_damaged_picture_is_named_and_never_shipped(
    name: str, harm: str, items: list[FinishedItem], run_dir: Path
) -> None:
    before = EXPORTERS[name](items[1:], run_dir).read_bytes()
    image = items[0]["attempts"][2]["image"]
    assert image is not None
    origin = run_dir / image["path"]
    if harm == "copy changed":
        shipped = run_dir / "dataset" / "train" / "images" / origin.name
        shipped.write_bytes(b"not a picture")
        EXPORTERS[name](items, run_dir)
        assert shipped.read_bytes() == origin.read_bytes()
        return
    origin.unlink()
    if harm == "changed":
        origin.write_bytes(b"not the picture")
    with pytest.raises(DamagedPicture, match=image["sha256"]):
        EXPORTERS[name](items, run_dir)
    assert (
        run_dir / "dataset" / ("magi_dataset.json" if name == "magi" else "train/metadata.jsonl")
    ).read_bytes() == before
    assert not [file for file in run_dir.rglob("*") if file.name.endswith(".part")]


@pytest.mark.parametrize("name", ["magi", "imagefolder"])
@pytest.mark.parametrize("again", [False, True])
def test_a_picture_is_read_once(
    name: str, again: bool, items: list[FinishedItem], run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if again:
        EXPORTERS[name](items[1:], run_dir)
    read: list[str] = []
    digest = hashlib.file_digest

    def noted(file: Any, kind: str) -> Any:
        read.append(file.name)
        return digest(file, kind)

    monkeypatch.setattr(hashlib, "file_digest", noted)
    EXPORTERS[name](items[1:], run_dir)
    assert len(read) == 1


def test_pictures_are_linked_where_links_are_possible(items: list[FinishedItem], run_dir: Path) -> None:
    for shipped in (EXPORTERS["imagefolder"](items, run_dir).parent / "images").iterdir():
        assert shipped.stat().st_nlink == 2


def test_pictures_are_copied_where_links_are_not_possible(
    items: list[FinishedItem], run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    for shipped in (EXPORTERS["imagefolder"](items, run_dir).parent / "images").iterdir():
        assert shipped.stat().st_nlink == 1
        assert hashlib.sha256(shipped.read_bytes()).hexdigest() == shipped.stem


@pytest.mark.parametrize("name", EXPORTERS)
def test_a_place_that_cannot_be_written_is_named(name: str, items: list[FinishedItem], run_dir: Path) -> None:
    blocked = EXPORTERS[name](items, run_dir)
    blocked.unlink()
    blocked.mkdir()
    with pytest.raises(StorageFailed, match="cannot be written"):
        EXPORTERS[name](items, run_dir)


async def test_the_journal_gives_finished_items_in_the_order_of_the_input(run_dir: Path) -> None:
    run_dir.mkdir()
    journal = Journal(run_dir / "run.db")
    good, left = item("a", "accepted", [])["dialogue"], item("b", "accepted", [])["dialogue"]
    assert good is not None
    assert left is not None
    unreadable = BadRow(
        key="bad", cause="bad_input", message="turn 0 has no text", source={"file": "in.json", "index": 0}
    )
    journal.ingest([unreadable, good, left])
    call = item("a", "accepted", [])["exchanges"][0]
    journal.remember("c1", "chat", {**call, "truncated": False})
    kept = attempt(picture(run_dir, 9))
    asked = [Asked("feedback", 2, "c1", True), Asked("feedback", 1, "c1", False), Asked("scanner", None, "c1", False)]
    await journal.finish(Outcome("a", "accepted", attempts=[kept], asked=asked))
    bad, accepted = finished_items(journal, with_exchanges=True)
    journal.close()
    assert (bad["key"], bad["state"], bad["reason"], bad["dialogue"]) == ("bad", "failed", "bad_input", None)
    assert (accepted["dialogue"], accepted["attempts"]) == (good, [kept])
    # Moments are asked about side by side: their order is that of the turns, not that of the clock.
    assert [(one["node"], one["turn"]) for one in accepted["exchanges"]] == [
        ("scanner", None),
        ("feedback", 1),
        ("feedback", 2),
    ]
    assert accepted["exchanges"][0] == call


@pytest.mark.parametrize("name", EXPORTERS)
def test_formats_that_show_no_exchanges_do_not_need_them(name: str, items: list[FinishedItem], run_dir: Path) -> None:
    whole = EXPORTERS[name](items, run_dir).read_bytes()
    for each in items:
        each["exchanges"] = []
    assert (EXPORTERS[name](items, run_dir).read_bytes() == whole) == (name not in READS_EXCHANGES)
