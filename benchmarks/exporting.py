"""How fast data sets are written from pictures that are there, and in how much memory. Nothing is encoded again.

Each measurement has a process of its own; files lie in a temporary folder and are removed.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
from PIL.Image import Image

from benchmarks.report import Figure
from magid_graph.exporters import FORMATS, Layout, Sample
from magid_graph.exporters.folder import renewed
from magid_graph.exporters.samples import sample_of_dialogue
from magid_graph.records import Attempt, Dialogue, ImageFile, Limits, Scores, Turn

_LARGE, _SIDE = 400, 512
_SPEEDS = ("imagefolder", "jsonl", "parquet", "webdataset", "openai")
_MEMORIES = ("imagefolder", "parquet", "webdataset", "llava")


def figures(*, pictures: int) -> list[Figure]:
    """Pictures per second of 512 x 512, written the first time and again, and memory at so many small pictures."""
    with tempfile.TemporaryDirectory(prefix="magid-graph-io-") as place:
        large, small = Path(place) / "large", Path(place) / "small"
        _draw(large, _LARGE, _SIDE)
        _draw(small, pictures, 8)
        return [
            *(figure for name in _SPEEDS for figure in _speed(name, large)),
            *(_memory(name, small, pictures) for name in _MEMORIES),
        ]


def _speed(name: str, run_dir: Path) -> Iterator[Figure]:
    for what in ("written", "written again, unchanged"):
        measured = _measured(name, run_dir, _LARGE)
        title = f"{name}, {_SIDE} x {_SIDE}, {what}"
        yield Figure(f"{title}: by processor time", _LARGE / measured["cpu_s"], "pictures/s", 200)
        yield Figure(f"{title}: by the clock, disk included", _LARGE / measured["seconds"], "pictures/s")


def _memory(name: str, run_dir: Path, count: int) -> Figure:
    measured = _measured(name, run_dir, count)
    what = f"{name}, {count:,} small pictures: memory above that of an empty export"
    return Figure(what, measured["mb"] - _measured(name, run_dir, 0)["mb"], "MB", 200, "less")


def _measured(name: str, run_dir: Path, count: int) -> dict[str, float]:
    """The export in a process of its own: seconds, and the most memory it had."""
    command = [sys.executable, "-m", "benchmarks.exporting", name, str(run_dir), str(count)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def _export(name: str, run_dir: Path, count: int) -> None:
    """What the process does: it prints what it took."""
    started, cpu = time.perf_counter(), time.process_time()
    out = run_dir / "exports" / (name if count else f"{name}-empty")
    with renewed(out, root=run_dir, owner="benchmark") as folder:
        FORMATS[name].write(_samples(run_dir, count), folder, Layout())
    took = {"seconds": time.perf_counter() - started, "cpu_s": time.process_time() - cpu}
    print(json.dumps({**took, "mb": _peak_mb()}))


def _peak_mb() -> float:
    # Not `getrusage`: what it says of a child begins with what its parent had.
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return float(psutil.Process().memory_info().rss) / 2**20


def _draw(run_dir: Path, count: int, side: int) -> None:
    """Distinct pictures with as much detail as photographs, as a run stores them, and a list of them."""
    import numpy as np
    from PIL.Image import Resampling, fromarray

    chance = np.random.default_rng(0)
    run_dir.mkdir()
    with (run_dir / "pictures.jsonl").open("w") as listed:
        for _ in range(count):
            rough = fromarray(chance.integers(0, 256, (max(8, side // 8), max(8, side // 8), 3), np.uint8))
            image = rough.resize((side, side), Resampling.BICUBIC)
            listed.write(json.dumps(_kept(image, run_dir)) + "\n")


def _kept(image: Image, run_dir: Path) -> ImageFile:
    """As `Artifacts.save` does, without waiting for the disk: a hundred thousand waits are minutes."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    sha256 = hashlib.sha256(buffer.getvalue()).hexdigest()
    path = f"images/{sha256[:2]}/{sha256}.png"
    (run_dir / path).parent.mkdir(parents=True, exist_ok=True)
    (run_dir / path).write_bytes(buffer.getvalue())
    return ImageFile(sha256=sha256, path=path, width=image.width, height=image.height)


def _samples(run_dir: Path, count: int) -> Iterator[Sample]:
    with (run_dir / "pictures.jsonl").open() as listed:
        for number, line in zip(range(count), listed, strict=False):
            texts = ("how was the trip?", "look, here is the boat on the lake", "lovely, and so red")
            turns = [Turn(speaker=None, text=text) for text in texts]
            dialogue = Dialogue(key=f"d{number}", turns=turns, source={"file": "made", "index": number})
            yield sample_of_dialogue(dialogue, [_attempt(json.loads(line))], Layout(), model="benchmark")


def _attempt(image: ImageFile) -> Attempt:
    return Attempt(
        turn=1,
        n=0,
        description="a red boat on a calm lake under a wide sky",
        prompt="a red boat on a calm lake under a wide sky, photographic style",
        fitted="whole",
        seed=7,
        image=image,
        scores=Scores(clip_similarity=0.3, clip_utterance=0.3, clip_description=None, aesthetic=5.5, nsfw=0.01),
        limits=Limits(min_clip_similarity=0.2, min_aesthetic=5.1, max_nsfw=0.5),
        reason=None,
        note=None,
        verdict="accept",
    )


if __name__ == "__main__":
    _export(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
