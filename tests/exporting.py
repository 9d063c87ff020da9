"""Samples to export, made without a run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from magid_graph.exporters import FORMATS, Folder, Layout, Sample
from magid_graph.exporters.folder import renewed
from magid_graph.exporters.samples import sample_of_dialogue, sample_of_pair
from magid_graph.records import Attempt, Dialogue, Drift, ImageFile, Limits, Pair, PairModels, Scores, Turn, Verdict
from tests.graph_runs import fake_settings

SCORES = Scores(clip_similarity=0.3, clip_utterance=0.3, clip_description=None, aesthetic=5.5, nsfw=0.01)


def picture(run_dir: Path, shade: int) -> ImageFile:
    """A picture of a run, told by its red."""
    run_dir.mkdir(exist_ok=True, parents=True)
    drawn = run_dir / "drawn.png"
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
        scores=SCORES,
        limits=Limits(min_clip_similarity=0.2, min_aesthetic=5.1, max_nsfw=0.5),
        reason=None if verdict == "accept" else "off_topic",
        note=None,
        verdict=verdict,
    )


def dialogue(
    key: str,
    attempts: Sequence[Attempt],
    *,
    texts: Sequence[str] = ("hi", "look, my dog 🐶", "שלום", "bye"),
    speakers: Sequence[str | None] | None = None,
    layout: Layout | None = None,
    source: dict[str, Any] | None = None,
) -> Sample:
    voices = speakers or [None] * len(texts)
    turns = [Turn(speaker=voice, text=text) for voice, text in zip(voices, texts, strict=True)]
    record = Dialogue(key=key, turns=turns, source={"file": "in.json", "index": 0, **(source or {})})  # type: ignore[typeddict-item]
    return sample_of_dialogue(record, list(attempts), layout or Layout(), model="fake:text_to_image")


def pair(
    image: ImageFile, *, chain: int = 0, iteration: int = 0, caption: str = "a red dog", layout: Layout | None = None
) -> Sample:
    key = f"b000-c{chain:02d}"
    record = Pair(
        id=f"{key}-i{iteration:02d}",
        key=key,
        batch=0,
        chain=chain,
        iteration=iteration,
        parent=f"{key}-i{iteration - 1:02d}" if iteration else None,
        topic=None,
        description="a dog",
        prompt="a dog, photographic style",
        fitted="whole",
        caption=caption,
        seed=7,
        image=image,
        scores=SCORES,
        agreement=0.4,
        drift=Drift(text=0.1, image=None),
        phash="0" * 16,
        is_fixed_point=False,
        models=PairModels(text_to_image="fake:text_to_image", captioner="fake:captioner"),
        accepted=True,
        reason=None,
    )
    return sample_of_pair(record, layout or Layout())


def write(
    name: str, samples: Iterable[Sample], run_dir: Path, *, layout: Layout | None = None, out: Path | None = None
) -> Folder:
    """The data set in this format, written as `magid-graph export` does."""
    path = (out or run_dir / "exports") / name
    run_dir.mkdir(exist_ok=True, parents=True)
    manifest = {"magid_graph": "0", "settings": fake_settings().model_dump(mode="json"), "versions": {}}
    (run_dir / "run.json").write_text(json.dumps(manifest))
    with renewed(path, root=run_dir, owner="test") as folder:
        FORMATS[name].write(samples, folder, layout or Layout())
    return folder


def files(folder: Path) -> dict[str, bytes]:
    """Every file of a data set."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().split(b"\n") if line]
