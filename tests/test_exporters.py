"""Data sets are whole or as they were, never ship a picture that was not judged, and are not written twice."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from magid_graph.errors import DamagedPicture, StorageFailed, UsageError
from magid_graph.exporters import FORMATS, Layout, Sample
from magid_graph.exporters import files as exporters_files
from magid_graph.exporters.folder import RECORD, renewed
from magid_graph.exporters.layout import shares
from tests.exporting import attempt, dialogue, files, lines, pair, picture, write

SPLIT_UP = Layout(shares=shares("train=1,valid=1,test=1"))
OF_PAIRS = [name for name, format_ in FORMATS.items() if "pairs" in format_.kinds]


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def samples(run_dir: Path) -> list[Sample]:
    red, dark = picture(run_dir, 200), picture(run_dir, 20)
    return [
        dialogue("../../one", [attempt(dark, verdict="regenerate"), attempt(red, n=1), attempt(dark, turn=2)]),
        dialogue("two", [attempt(red)], speakers=["Ben", "Ann", "Ben", "Ann"]),
        dialogue("no moment", []),
    ]


def many(run_dir: Path, count: int) -> list[Sample]:
    images = [picture(run_dir, shade) for shade in range(20)]
    return [dialogue(f"d{n}", [attempt(images[n % 20])]) for n in range(count)]


@pytest.mark.parametrize("name", FORMATS)
def test_a_run_without_pictures_is_exported_too(name: str, run_dir: Path) -> None:
    assert write(name, [], run_dir).path.is_dir()


@pytest.mark.parametrize("name", FORMATS)
def test_writing_again_gives_the_same_files_and_writes_none(name: str, samples: list[Sample], run_dir: Path) -> None:
    first = write(name, samples, run_dir)
    before = files(first.path)
    assert (first.tally["kept"], first.tally["written"]) == (0, len(before) - 1)
    again = write(name, samples, run_dir)
    assert files(again.path) == before
    assert (again.tally["kept"], again.tally["written"]) == (len(before) - 1, 0)
    assert not [path for path in run_dir.rglob(".*") if path.name != RECORD]


@pytest.mark.parametrize("name", ["parquet", "webdataset"])
def test_shards_without_the_new_samples_are_kept(name: str, run_dir: Path) -> None:
    layout = Layout(shard_size=10)
    all_of_them = many(run_dir, 200)
    grown = [sample for sample in all_of_them if sample["key"] not in ("d40", "d150")]
    first = write(name, grown, run_dir, layout=layout)
    shards = len(list(first.path.rglob("*-*.parquet" if name == "parquet" else "*.tar")))
    assert 10 < shards < 40
    again = write(name, all_of_them, run_dir, layout=layout)
    assert 1 <= again.tally["written"] <= 12
    assert again.tally["kept"] > again.tally["written"] * 3
    whole = write(name, all_of_them, run_dir, layout=layout, out=run_dir / "fresh")
    assert files(whole.path) == files(again.path)


def test_pictures_that_are_no_longer_accepted_are_gone(samples: list[Sample], run_dir: Path) -> None:
    folder = write("jsonl", samples, run_dir).path
    assert len(list((folder / "images").rglob("*.png"))) == 2
    write("jsonl", samples[1:], run_dir)
    assert len(list((folder / "images").rglob("*.png"))) == 1


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("harm", ["changed", "missing"])
def test_a_damaged_picture_is_named_and_never_shipped(
    name: str, harm: str, samples: list[Sample], run_dir: Path
) -> None:
    before = files(write(name, samples[1:], run_dir).path)
    image = samples[0]["pictures"][1]["image"]
    origin = run_dir / image["path"]
    data = origin.read_bytes()
    origin.unlink()
    if harm == "changed":
        origin.write_bytes(data[:-20] + bytes([data[-20] ^ 1]) + data[-19:])
    with pytest.raises(DamagedPicture, match=image["sha256"]):
        write(name, samples, run_dir)
    assert files(run_dir / "exports" / name) == before
    assert [path.name for path in (run_dir / "exports").iterdir()] == [name]


@pytest.mark.parametrize("name", ["jsonl", "imagefolder", "parquet", "webdataset"])
def test_a_damaged_file_of_the_data_set_is_written_anew(name: str, samples: list[Sample], run_dir: Path) -> None:
    good = files(write(name, samples, run_dir).path)
    for relative in good:
        path = run_dir / "exports" / name / relative
        if path.suffix in (".png", ".tar", ".parquet"):
            path.unlink()
            path.write_bytes(b"not what was written")
    assert files(write(name, samples, run_dir).path) == good


def test_a_picture_is_read_once_and_linked(
    samples: list[Sample], run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    digest = hashlib.file_digest

    def noted(file: Any, kind: Any) -> Any:
        read.append(Path(file.name).suffix)
        return digest(file, kind)

    monkeypatch.setattr(hashlib, "file_digest", noted)
    for _ in range(2):
        read.clear()
        folder = write("jsonl", samples, run_dir).path
        assert read.count(".png") == 2
        assert {path.stat().st_nlink for path in folder.rglob("*.png")} == {2}


def test_pictures_are_copied_where_links_are_not_possible(
    samples: list[Sample], run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    for shipped in write("jsonl", samples, run_dir).path.rglob("*.png"):
        assert shipped.stat().st_nlink == 1
        assert hashlib.sha256(shipped.read_bytes()).hexdigest() == shipped.stem


def test_a_place_that_cannot_be_written_is_named(samples: list[Sample], run_dir: Path) -> None:
    (run_dir / "exports").write_text("a file")
    with pytest.raises(StorageFailed, match="cannot be written"):
        write("jsonl", samples, run_dir)


def test_a_folder_of_somebody_else_is_never_touched(samples: list[Sample], run_dir: Path) -> None:
    theirs = run_dir / "exports" / "jsonl"
    theirs.mkdir(parents=True)
    (theirs / "letter.txt").write_text("dear")
    with pytest.raises(UsageError, match="no export of magid-graph"):
        write("jsonl", samples, run_dir)
    assert [path.name for path in theirs.iterdir()] == ["letter.txt"]


def test_another_run_does_not_take_the_place_of_a_data_set(samples: list[Sample], run_dir: Path) -> None:
    folder = write("jsonl", samples, run_dir).path
    with pytest.raises(UsageError, match="another run"), renewed(folder, root=run_dir, owner="other"):
        pass


def test_what_a_person_put_beside_a_data_set_stays(samples: list[Sample], run_dir: Path) -> None:
    folder = write("jsonl", samples, run_dir).path
    (folder / "notes.txt").write_text("mine")
    write("jsonl", samples[1:], run_dir)
    write("jsonl", samples, run_dir)
    assert (folder / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("can_exchange", [True, False])
def test_what_is_there_is_a_whole_data_set_at_every_step(
    can_exchange: bool, samples: list[Sample], run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at any step: the old data set is there or the new one, and the next export mends what was left."""
    if not can_exchange:
        monkeypatch.setattr(exporters_files, "_exchanged", lambda *_: False)
    old = files(write("jsonl", samples[:1], run_dir).path)
    new = files(write("jsonl", samples, run_dir, out=run_dir / "other").path)

    class Killed(BaseException):
        pass

    for steps in range(100):
        left = iter(range(steps))
        rename = Path.rename

        def step(self: Path, target: Path, left: Any = left, rename: Any = rename) -> Path:
            if next(left, None) is None:
                raise Killed
            return rename(self, target)  # type: ignore[no-any-return]

        with monkeypatch.context() as patched:
            patched.setattr(Path, "rename", step)
            try:
                write("jsonl", samples, run_dir)
            except Killed:
                there = run_dir / "exports" / "jsonl"
                seen = files(there) if there.exists() else files(exporters_files.aside(there))
                assert {k: v for k, v in seen.items() if k != RECORD} in [
                    {k: v for k, v in each.items() if k != RECORD} for each in (old, new)
                ]
                continue
        assert files(run_dir / "exports" / "jsonl").keys() == new.keys()
        assert [path.name for path in (run_dir / "exports").iterdir()] == ["jsonl"]
        return
    raise AssertionError("it never ended")


@pytest.mark.parametrize("name", OF_PAIRS)
def test_pairs_are_exported_with_what_made_them(name: str, run_dir: Path) -> None:
    images = [picture(run_dir, shade) for shade in (10, 20, 30)]
    folder = write(name, [pair(image, iteration=n) for n, image in enumerate(images)], run_dir)
    assert (folder.tally["samples"], folder.tally["pictures"]) == (3, 3)
    assert not +folder.notes or name in ("openai", "recipe")


# -- splits


def test_a_dialogue_stays_in_its_split_whatever_else_is_there(run_dir: Path) -> None:
    layout = Layout(shares=shares("train=0.8,valid=0.1,test=0.1"))
    found = [layout.split(f"d{n}", None) for n in range(10_000)]
    assert [round(found.count(split) / 10_000, 1) for split in ("train", "valid", "test")] == [0.8, 0.1, 0.1]
    assert found[:100] == [layout.split(f"d{n}", None) for n in range(100)]


def test_the_split_of_the_source_is_kept(run_dir: Path) -> None:
    sample = dialogue("one", [], source={"split": "test"}, layout=SPLIT_UP)
    assert sample["split"] == "test"


def test_all_pairs_of_a_chain_are_in_one_split(run_dir: Path) -> None:
    image = picture(run_dir, 9)
    splits = [{pair(image, chain=c, iteration=i, layout=SPLIT_UP)["split"] for i in range(5)} for c in range(30)]
    assert {len(split) for split in splits} == {1}
    assert set().union(*splits) == {"train", "valid", "test"}


@pytest.mark.parametrize("text", ["train=x", "dev=1", "train=-1,test=2", "1,2,3,4", "", "train=0"])
def test_shares_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--splits.*e\.g\. `train"):
        shares(text)


# -- placement


@pytest.mark.parametrize(
    ("placement", "expected"),
    [
        ("after", [["txt", "hi"], ["txt", "look"], ["img"], ["txt", "oh"]]),
        ("own_turn", [["txt", "hi"], ["txt", "look"], ["img"], ["txt", "oh"]]),
        ("in_place", [["txt", "hi"], ["img"], ["txt", "oh"]]),
    ],
)
def test_a_picture_stands_where_it_is_placed(placement: Any, expected: list[list[str]], run_dir: Path) -> None:
    sample = dialogue("one", [attempt(picture(run_dir, 1))], texts=["hi", "look", "oh"])
    folder = write("magid", [sample], run_dir, layout=Layout(placement=placement)).path
    (row,) = json.loads((folder / "magi_dataset.json").read_text()).values()
    assert [entry[:1] if entry[0] == "img" else entry for entry in row] == expected
    folder = write("jsonl", [sample], run_dir, layout=Layout(placement=placement)).path
    turns = lines(folder / "train.jsonl")[0]["turns"]
    assert {
        "after": [("hi", []), ("look", [0]), ("oh", [])],
        "own_turn": [("hi", []), ("look", []), ("", [0]), ("oh", [])],
        "in_place": [("hi", []), ("", [0]), ("oh", [])],
    }[placement] == [(turn["text"], turn["pictures"]) for turn in turns]
    assert [turn["replaced"] for turn in turns if turn["pictures"]] == ["look" if placement == "in_place" else None]
