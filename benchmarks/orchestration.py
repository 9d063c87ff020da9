"""What the graphs, batchers and the journal cost on top of the models: `python -m benchmarks.orchestration`.

The models are stand-ins that take a known time asleep, so that what is left is this project's own work. Pictures are
16 x 16 pixels, 64 different ones: encoding them is not what is measured here (benchmarks/overlap.py does that).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import gc
import json
import os
import sqlite3
import tempfile
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from benchmarks.report import Figure, circumstances, table, write_section
from benchmarks.stand_ins import Device, Painter, Talker, dialogues, models, settings, small_pictures
from magid_graph import run_dir
from magid_graph.artifacts import Artifacts
from magid_graph.config import Loaded, Scanner
from magid_graph.context import Desk, Models
from magid_graph.journal import Journal
from magid_graph.runner import Runner

REFUSED = 0.3
"""Share of pictures that QA refuses: 1.5 pictures are drawn per dialogue, and one in thirty gets to feedback."""

BATCH = 8
DEVICE_A_S, DEVICE_C_S = 0.06, 0.02
LLM_S = 0.1


@dataclasses.dataclass(frozen=True)
class Effort:
    """How much of everything is run."""

    on_device: int = 1500
    repeats: int = 5
    per_repeat: int = 2000
    parked: tuple[int, int] = (1000, 4000)
    long: int = 100_000
    finished: int = 1_000_000


QUICK = Effort(on_device=300, repeats=2, per_repeat=400, parked=(200, 600), long=2000, finished=50_000)


@contextlib.asynccontextmanager
async def ready(count: int, lent: Models, *, in_flight: int = 4 * BATCH, **how: bool) -> AsyncIterator[Runner]:
    """A runner over that many dialogues in a directory of its own."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "run.db")
        journal.ingest(dialogues(count))
        chosen = settings(batch_size=BATCH, in_flight=in_flight, **how)
        desk = Desk(lent, chosen, journal, Artifacts(Path(folder)))
        try:
            yield Runner(journal, desk, chosen)
            assert sum(journal.counts().values()) == count
        finally:
            await desk.aclose()
            journal.close()


# -- against a device


async def on_device(count: int) -> list[Figure]:
    """Pictures per second of the graph over those of a bare loop of full batches on the same device."""
    device = Device(DEVICE_A_S, DEVICE_C_S)
    painter = Painter(device, small_pictures())
    async with ready(count, models(painter, talker=Talker(latency_s=LLM_S), refused=REFUSED)) as runner:
        started = time.perf_counter()
        await runner.run()
        took_s = time.perf_counter() - started
    drawn, busy_s = device.pictures, device.busy_s
    bare = bare_loop(painter, drawn)
    return [
        Figure("pictures/s of the graph over a bare loop on the same device", drawn / took_s / bare, bar=0.97),
        Figure("device busy", 100 * busy_s / took_s, "%", bar=95),
        Figure("pictures drawn per dialogue", drawn / count),
        Figure("pictures/s of the bare loop", bare, "/s"),
    ]


def bare_loop(painter: Painter, count: int) -> float:
    """Pictures per second of nothing but full batches, one after the other."""
    started = time.perf_counter()
    for first in range(0, count, BATCH):
        calls = min(BATCH, count - first)
        painter.generate(["a red boat"] * calls, range(calls))
    return count / (time.perf_counter() - started)


# -- without a device


async def without_latency(repeats: int, per_repeat: int) -> list[Figure]:
    """CPU and wall time per dialogue when models answer at once. The best repeat: other work only ever adds."""
    cpu_s, wall_s = [], []
    for _ in range(repeats):
        async with ready(per_repeat, instant_models()) as runner:
            cpu, wall = time.process_time(), time.perf_counter()
            await runner.run()
            cpu_s.append(time.process_time() - cpu)
            wall_s.append(time.perf_counter() - wall)
    return [
        Figure("CPU per dialogue, all threads", 1000 * min(cpu_s) / per_repeat, "ms", bar=3, better="less"),
        Figure("dialogues/s of one process, models that answer at once", per_repeat / min(wall_s), "/s", bar=300),
        Figure("CPU per dialogue, worst repeat", 1000 * max(cpu_s) / per_repeat, "ms"),
        Figure("dialogues/s, worst repeat", per_repeat / max(wall_s), "/s"),
    ]


async def cpu_of(count: int, **how: bool) -> float:
    """Milliseconds of CPU per dialogue."""
    async with ready(count, instant_models(), **how) as runner:
        before = time.process_time()
        await runner.run()
        return 1000 * (time.process_time() - before) / count


def of_recording(repeats: int, per_repeat: int) -> list[Figure]:
    """What spans, and pictures that are files of their own, add: in turns with runs without, the best of each."""
    ways: dict[str, dict[str, bool]] = {"with": {}, "without": {"spans": False}, "files": {"provenance": True}}
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(repeats):
        for name, how in ways.items():
            best[name] = min(best[name], asyncio.run(cpu_of(per_repeat, **how)))
    share = 100 * (1 - best["without"] / best["with"])
    return [
        Figure("throughput that recording spans takes, by CPU", share, "%", bar=3, better="less"),
        Figure("CPU per dialogue, each picture a synced file of its own", best["files"], "ms"),
    ]


def instant_models() -> Models:
    return models(Painter(Device(), small_pictures()), refused=REFUSED)


# -- memory


async def per_parked(counts: tuple[int, int]) -> Figure:
    """Memory of a dialogue that waits for its picture: the slope between two numbers of them."""
    few, many = counts
    tracemalloc.start()
    used = [await parked_bytes(count) for count in (few, many)]
    tracemalloc.stop()
    kilobytes = (used[1] - used[0]) / (many - few) / 1000
    return Figure(f"memory per dialogue in flight ({few:,} to {many:,} parked)", kilobytes, "KB", bar=50, better="less")


class Gate(Device):
    """A device that is busy until it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = threading.Event()

    def run(self, count: int) -> None:
        self.opened.wait()


async def parked_bytes(count: int) -> int:
    """What `count` dialogues hold while they all wait for pictures."""
    gate, talker = Gate(), Talker()
    async with ready(count, models(Painter(gate, small_pictures()), talker=talker), in_flight=count) as runner:
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        running = asyncio.create_task(runner.run())
        while talker.calls < count:
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
        gc.collect()
        used = tracemalloc.get_traced_memory()[0] - before
        gate.opened.set()
        await running
    return used


async def over_many(count: int) -> list[Figure]:
    """Resident memory at the end of the first and of the last tenth of a long run."""
    process, sizes = psutil.Process(), []
    async with ready(count, instant_models()) as runner:
        running = asyncio.create_task(runner.run())
        for tenth in range(1, 11):
            while runner.progress.ended.total() < count * tenth // 10 and not running.done():
                await asyncio.sleep(0.1)
            sizes.append(process.memory_info().rss / 1e6)
        await running
    return [
        Figure(
            f"growth over {count:,} dialogues, last tenth over first", sizes[-1] / sizes[0], bar=1.05, better="less"
        ),
        Figure("resident memory after the first tenth", sizes[0], "MB"),
        Figure("resident memory after the last tenth", sizes[-1], "MB"),
    ]


# -- reopening


def reopening(count: int) -> list[Figure]:
    """Seconds until a run of finished items is open again, its items counted and a runner at hand."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run"
        fill(path, count)
        size_gb = (path / "run.db").stat().st_size / 1e9
        started = time.perf_counter()
        asyncio.run(reopen(path, count))
        took_s = time.perf_counter() - started
    return [
        Figure(f"reopening a run of {count:,} finished items", took_s, "s", bar=5, better="less"),
        Figure("size of its run.db", size_gb, "GB"),
    ]


async def reopen(path: Path, count: int) -> None:
    run = run_dir.open_run(path)
    journal = run.journal()
    assert journal.counts()["accepted"] == count
    desk = Desk(instant_models(), run.settings(), journal, Artifacts(path))
    runner = Runner(journal, desk, run.settings())
    await runner.run()
    await desk.aclose()
    journal.close()


def fill(path: Path, count: int) -> None:
    """A run directory as `count` finished dialogues leave it: what one real run recorded, under other keys."""
    path.mkdir()
    chosen = settings()
    wanted = run_dir.manifest(Loaded(chosen, "pocket", {}), "made.json", "0" * 64)
    (path / "run.json").write_text(json.dumps(wanted))
    asyncio.run(finish_one(path))
    with contextlib.closing(sqlite3.connect(path / "run.db", isolation_level=None)) as db:
        db.execute("PRAGMA cache_size=-400000")
        db.execute("BEGIN")
        for name in ("items", "attempts", "spans", "exchanges", "calls"):
            repeat(db, name, count)
        db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


async def finish_one(path: Path) -> None:
    """One dialogue, one picture, with the shortest of the prompts: some 6 KB in the journal."""
    chosen = settings().model_copy(update={"scanner": Scanner(strategy="brief")})
    journal = Journal(path / "run.db")
    journal.ingest(dialogues(1))
    desk = Desk(models(Painter(Device(), small_pictures())), chosen, journal, Artifacts(path))
    await Runner(journal, desk, chosen).run()
    await desk.aclose()
    journal.close()


def repeat(db: sqlite3.Connection, name: str, count: int) -> None:
    """The rows that one item left in a table, for each further item."""
    left = db.execute(f"SELECT * FROM {name}").fetchall()
    marks = ",".join("?" * len(left[0]))
    db.executemany(f"INSERT INTO {name} VALUES ({marks})", renamed(name, left, count))


def renamed(name: str, left: list[tuple[object, ...]], count: int) -> Iterator[tuple[object, ...]]:
    for n in range(1, count):
        for number, row in enumerate(left):
            if name == "calls":
                yield (f"{n:056x}{number:08x}", *row[1:])
            elif name == "items":
                yield (n, f"dialogue-{n}", *row[2:])
            else:
                yield (n, *row[1:])


# -- all of it


def measure(effort: Effort) -> Iterator[Figure]:
    yield from asyncio.run(on_device(effort.on_device))
    yield from asyncio.run(without_latency(effort.repeats, effort.per_repeat))
    yield from of_recording(effort.repeats, effort.per_repeat // 2)
    yield asyncio.run(per_parked(effort.parked))
    yield from asyncio.run(over_many(effort.long))
    yield from reopening(effort.finished)


def explained(figures: list[Figure]) -> str:
    device = f"{DEVICE_A_S} s + {DEVICE_C_S} s per picture"
    return (
        "`python -m benchmarks.orchestration` prints this table. Models are stand-ins: a device whose batch takes "
        f"{device} (at most {BATCH} pictures), a language model that answers after {LLM_S} s, and QA that refuses "
        f"{100 * REFUSED:.0f} % of the pictures, so that every retry edge is taken; below the first block all of them "
        "answer at once. Pictures are 16 x 16 pixels of 64 kinds, and equal ones are one file: encoding and syncing is "
        "the next section's. Rates and shares of time need free CPU: a "
        "load average far above the number of cores means that other programs had most of it. "
        f"{circumstances()}\n\n{table(figures)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small part of everything, in about half a minute")
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    options = parser.parse_args()
    os.environ.setdefault("LANGGRAPH_STRICT_MSGPACK", "true")
    figures = []
    for figure in measure(QUICK if options.quick else Effort()):
        figures.append(figure)
        print("  ".join(figure.cells()), flush=True)
    if options.write:
        write_section("Orchestration", explained(figures))


if __name__ == "__main__":
    main()
