from __future__ import annotations

from pathlib import Path

from magid_graph import config, run_dir
from magid_graph.readers import open_input
from magid_graph.session import make, take_up_again
from magid_graph.summary import sum_up
from magid_graph.views import write_views

FAKES = [
    *(f"models.{kind}=fake:" for kind in ("llm", "text_to_image", "clip", "aesthetic", "safety")),
    "models.captioner=none",
]


def run_of(tmp_path: Path) -> run_dir.RunDir:
    source = tmp_path / "in.json"
    source.write_text('[["hello", "look at my dog"], ["look, a cat"]]')
    loaded = config.load(assignments=[*FAKES, "qa.min_clip_similarity=-1", "qa.min_aesthetic=0"])
    wanted = run_dir.manifest(loaded, "in.json", run_dir.sha256_of(source))
    run = run_dir.locate("in", wanted, out=tmp_path / "out", is_fresh=False)
    with open_input(source) as dialogues:
        make(run, dialogues, limit=None, is_quiet=True)
    return run_dir.open_run(run.path)


def test_a_damaged_picture_is_never_shipped_and_retry_draws_it_again(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    shipped = run.path / "dataset" / "train" / "metadata.jsonl"
    assert len(shipped.read_text().splitlines()) == 2
    picture = next((run.path / "images").rglob("*.png"))
    data = bytearray(picture.read_bytes())
    data[-10] ^= 1
    picture.unlink()
    picture.write_bytes(data)

    journal = run.journal()
    files = write_views(run, journal)
    assert len(shipped.read_text().splitlines()) == 1
    assert sum_up(run, journal, files)["failed"] == {"damaged_picture": 1}
    journal.close()

    ended = take_up_again(run, reason=None, is_quiet=True)
    assert (ended.code, ended.summary["failed"]) == (0, {})
    assert len(shipped.read_text().splitlines()) == 2
