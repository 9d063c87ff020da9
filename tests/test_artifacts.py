from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from PIL import Image

from magid_graph.artifacts import Artifacts, sweep, write_atomically
from magid_graph.errors import DamagedPicture, StorageFailed


@pytest.mark.parametrize("image_format", ["png", "jpeg"])
def test_a_picture_is_named_by_its_bytes(tmp_path: Path, image_format: str) -> None:
    file = Artifacts(tmp_path, image_format).save(Image.effect_noise((32, 16), 40).convert("RGB"))  # type: ignore[arg-type]
    assert hashlib.sha256((tmp_path / file["path"]).read_bytes()).hexdigest() == file["sha256"]
    assert file["path"] == f"images/{file['sha256'][:2]}/{file['sha256']}.{image_format}"
    assert (file["width"], file["height"]) == (32, 16)


def test_a_picture_comes_back_in_another_process(tmp_path: Path) -> None:
    image = Image.effect_noise((8, 8), 40).convert("RGB")
    file = Artifacts(tmp_path).save(image)
    assert Artifacts(tmp_path).open(file).tobytes() == image.tobytes()


def test_flipped_bytes_are_found(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path)
    file = artifacts.save(Image.effect_noise((8, 8), 40).convert("RGB"))
    data = bytearray((tmp_path / file["path"]).read_bytes())
    data[-20] ^= 1
    (tmp_path / file["path"]).write_bytes(data)
    assert not artifacts.is_intact(file)
    with pytest.raises(DamagedPicture, match="missing or damaged"):
        Artifacts(tmp_path).open(file)


def test_nothing_half_written_is_left_where_writing_fails(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(StorageFailed, match="taken"):
        write_atomically(tmp_path / "taken", b"data")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_what_a_killed_process_left_half_written_is_swept_away(tmp_path: Path) -> None:
    file = Artifacts(tmp_path).save(Image.effect_noise((8, 8), 40).convert("RGB"))
    for name in (
        ".abc.part",
        "images/.abc.part",
        "dataset/.abc.part",
        ".dataset.part/train/half.json",
        "exports/.csv.part/half.csv",
    ):
        write_atomically(tmp_path / name, b"half")
    sweep(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / file["path"]]


def test_a_format_that_loses_detail_is_judged_as_it_is_on_disk(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path, "jpeg")
    file = artifacts.save(Image.effect_noise((32, 32), 80).convert("RGB"))
    assert artifacts.open(file).tobytes() == Artifacts(tmp_path, "jpeg").open(file).tobytes()
