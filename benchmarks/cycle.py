"""What pairs cost on top of the models: `python -m benchmarks.cycle [--long 100000]`.

First 2 batches of 10 chains of 5 iterations: a language model that takes 100 ms a call, a serial device that takes 20
ms a picture, another one that takes 20 ms a caption, and pictures of 512 x 512 that compress as badly as photographs,
encoded and synced to disk for real. Then, with `--long`, so many pairs from stand-ins that answer at once.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import os
import re
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import psutil  # type: ignore[import-untyped]
from PIL.Image import Image

from benchmarks.report import Figure, circumstances, table, write_section
from benchmarks.stand_ins import Device, Painter, Talker, models, photograph_like, small_pictures
from benchmarks.stand_ins import settings as settings_for
from magid_graph.artifacts import Artifacts
from magid_graph.config import Cycle, Describer, RunSettings, Settings
from magid_graph.context import Desk, Models
from magid_graph.journal import Journal
from magid_graph.kinds import PAIRS
from magid_graph.models import Message
from magid_graph.runner import Runner

BATCHES, DESCRIPTIONS, ITERATIONS = 2, 10, 5
LLM_S, PICTURE_S, CAPTION_S, SIDE = 0.1, 0.02, 0.02, 512


class Namer(Talker):
    """Answers a describer's question with descriptions that nobody gave before."""

    def __init__(self, *, latency_s: float = 0.0) -> None:
        super().__init__(latency_s=latency_s)
        self._given = 0

    async def reply(self, messages: Sequence[Message], **options: object) -> object:  # type: ignore[override]
        return await super().reply(messages, temperature=0, max_tokens=0)

    def _answer(self, question: str, seed: int | None) -> str:
        asked = re.search(r"Write (\d+) different", question)
        count = int(asked[1]) if asked else 1
        self._given += count
        return "\n".join(f"{n}. a red boat on a lake, view {self._given - count + n}" for n in range(1, count + 1))


class Teller:
    """Captions as fast as its device allows; each says something that was not said before."""

    model_id = "stand-in:captioner"

    def __init__(self, device: Device) -> None:
        self._device = device

    def caption(self, images: Sequence[Image], seeds: Sequence[int]) -> list[str]:
        self._device.run(len(seeds))
        return [f"A red boat lies on a calm lake in the morning, seen from side {seed}." for seed in seeds]


def lent(pictures: Sequence[Image], *, llm_s: float = 0.0, picture_s: float = 0.0, caption_s: float = 0.0) -> Models:
    drawing = models(Painter(Device(c=picture_s), pictures), talker=Namer(latency_s=llm_s))
    return dataclasses.replace(drawing, captioner=Teller(Device(c=caption_s)))


def chosen(batches: int, *, batch_size: int, provenance: bool) -> Settings:
    changes = {
        "cycle": Cycle(batches=batches, descriptions=DESCRIPTIONS, iterations=ITERATIONS),
        # The stand-in for CLIP puts all texts in one place.
        "describer": Describer(prompts=("brief",), max_similarity=1.0),
        "run": RunSettings(provenance=provenance),
    }
    return settings_for(batch_size=batch_size).model_copy(update=changes)


@contextlib.asynccontextmanager
async def ready(settings: Settings, opened: Models) -> AsyncIterator[tuple[Runner, Journal]]:
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "run.db")
        desk = Desk(opened, settings, journal, Artifacts(Path(folder)))
        try:
            yield Runner(journal, desk, settings, PAIRS), journal
        finally:
            await desk.aclose()
            journal.close()


async def overlapped(pictures: list[Image]) -> tuple[float, float]:
    """Seconds for 100 pairs, on the clock and of CPU."""
    settings = chosen(BATCHES, batch_size=4, provenance=True)
    opened = lent(pictures, llm_s=LLM_S, picture_s=PICTURE_S, caption_s=CAPTION_S)
    async with ready(settings, opened) as (runner, journal):
        started, cpu = time.perf_counter(), time.process_time()
        await runner.run()
        took_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu
        assert journal.pair_rows.accepted() == BATCHES * DESCRIPTIONS * ITERATIONS
    return took_s, cpu_s


async def serial(pictures: list[Image]) -> float:
    """Seconds that a plain loop takes over the same steps: describe, draw, save, caption."""
    with tempfile.TemporaryDirectory() as folder:
        opened, artifacts = (
            lent(pictures, llm_s=LLM_S, picture_s=PICTURE_S, caption_s=CAPTION_S),
            Artifacts(Path(folder)),
        )
        assert isinstance(opened.captioner, Teller)
        started = time.perf_counter()
        for batch in range(BATCHES):
            await opened.chat.reply([{"role": "user", "content": "Write 10 different"}], temperature=1, max_tokens=100)
            for n in range(DESCRIPTIONS * ITERATIONS):
                (image,) = opened.text_to_image.generate(["a red boat"], [batch * DESCRIPTIONS * ITERATIONS + n])
                artifacts.save(image)
                opened.captioner.caption([image], [n])
        return time.perf_counter() - started


async def over_many(pairs: int) -> list[Figure]:
    """Pace, and resident memory at the end of the first and of the last tenth of a long run."""
    process, sizes = psutil.Process(), []
    settings = chosen(-(-pairs // (DESCRIPTIONS * ITERATIONS)), batch_size=8, provenance=False)
    async with ready(settings, lent(small_pictures())) as (runner, journal):
        chains = settings.cycle.batches * DESCRIPTIONS
        cpu, wall = time.process_time(), time.perf_counter()
        running = asyncio.create_task(runner.run())
        for tenth in range(1, 11):
            while runner.progress.ended.total() < chains * tenth // 10 and not running.done():
                await asyncio.sleep(0.1)
            sizes.append(process.memory_info().rss / 1e6)
        await running
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        assert journal.pair_rows.accepted() == chains * ITERATIONS
    made = chains * ITERATIONS
    return [
        Figure(f"pairs/s over {made:,} pairs, models that answer at once", made / wall, "/s", bar=300),
        Figure("pairs per second of CPU, all threads", made / cpu, "/s"),
        Figure("growth, last tenth over first", sizes[-1] / sizes[0], bar=1.05, better="less"),
        Figure("resident memory after the first tenth", sizes[0], "MB"),
        Figure("resident memory after the last tenth", sizes[-1], "MB"),
    ]


def measure(repeats: int, long: int) -> Iterator[Figure]:
    """The best of some repeats: other work on the machine only ever adds."""
    count = BATCHES * DESCRIPTIONS * ITERATIONS
    pictures = [photograph_like(n, SIDE) for n in range(count)]
    together, cpu_s = map(min, zip(*(asyncio.run(overlapped(pictures)) for _ in range(repeats)), strict=True))
    yield Figure("time per pair", 1000 * together / count, "ms", bar=40, better="less")
    yield Figure("CPU per pair, all threads", 1000 * cpu_s / count, "ms")
    one_by_one = min(asyncio.run(serial(pictures)) for _ in range(repeats))
    yield Figure("time per pair, the same steps in a serial loop", 1000 * one_by_one / count, "ms")
    yield Figure("least possible on these devices", 1000 * PICTURE_S, "ms")
    if long:
        yield from asyncio.run(over_many(long))


def explained(figures: Sequence[Figure]) -> str:
    return (
        f"`python -m benchmarks.cycle --long N` prints this table: {BATCHES} batches of {DESCRIPTIONS} chains of"
        f" {ITERATIONS} iterations, {1000 * LLM_S:.0f} ms per question to the language model, {1000 * PICTURE_S:.0f} ms"
        f" per picture on a serial device, {1000 * CAPTION_S:.0f} ms per caption on another, PNGs of {SIDE} x {SIDE}"
        " pixels full of grain, encoded and synced to disk; best of some repeats. The long run has pictures of 16 x 16"
        f" pixels and models that answer at once. {circumstances()}\n\n{table(figures)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--long", type=int, default=0, metavar="PAIRS", help="a long run of so many pairs as well")
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    options = parser.parse_args()
    os.environ.setdefault("LANGGRAPH_STRICT_MSGPACK", "true")
    figures = []
    for figure in measure(options.repeats, options.long):
        figures.append(figure)
        print("  ".join(figure.cells()), flush=True)
    if options.write:
        write_section("Cycle", explained(figures))


if __name__ == "__main__":
    main()
