"""How much of a run happens at the same time: `python -m benchmarks.overlap`.

50 dialogues with 2 pictures each; a language model that takes 100 ms a call, a serial device that takes 20 ms a
picture, and pictures of 512 x 512 that compress as badly as photographs, encoded and synced to disk for real.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from PIL.Image import Image

from benchmarks.report import Figure, circumstances, table, write_section
from benchmarks.stand_ins import Critic, Device, Guard, Looker, Painter, Talker, dialogues, models, photograph_like
from benchmarks.stand_ins import settings as settings_for
from magid_graph.artifacts import Artifacts
from magid_graph.context import Desk
from magid_graph.journal import Journal
from magid_graph.models.diffusion import blank
from magid_graph.records import Dialogue
from magid_graph.runner import Runner

DIALOGUES, MOMENTS = 50, 2
LLM_S, PICTURE_S, SIDE = 0.1, 0.02, 512


async def overlapped(pictures: list[Image]) -> float:
    """Seconds that the graph takes."""
    settings = settings_for(batch_size=4)
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "run.db")
        journal.ingest(dialogues(DIALOGUES))
        lent = models(Painter(Device(c=PICTURE_S), pictures), talker=Talker(moments=MOMENTS, latency_s=LLM_S))
        desk = Desk(lent, settings, journal, Artifacts(Path(folder)))
        started = time.perf_counter()
        await Runner(journal, desk, settings).run()
        took_s = time.perf_counter() - started
        assert journal.verdicts() == {"accept": DIALOGUES * MOMENTS}
        await desk.aclose()
        journal.close()
    return took_s


async def serial(pictures: list[Image]) -> float:
    """Seconds that a plain loop takes over the same steps."""
    with tempfile.TemporaryDirectory() as folder:
        talker, painter = Talker(moments=MOMENTS, latency_s=LLM_S), Painter(Device(c=PICTURE_S), pictures)
        artifacts, started = Artifacts(Path(folder)), time.perf_counter()
        for dialogue in dialogues(DIALOGUES):
            await talker.reply(question(dialogue), temperature=0, max_tokens=100)
            for moment in range(MOMENTS):
                check(artifacts, painter.generate(["a red boat"], [hash((dialogue["key"], moment))])[0])
        return time.perf_counter() - started


def question(dialogue: Dialogue) -> list[dict[str, str]]:
    return [{"role": "user", "content": "\n".join(turn["text"] for turn in dialogue["turns"])}]


def check(artifacts: Artifacts, image: Image) -> None:
    """What happens to a picture between the device and the next one, with checks that cost nothing."""
    assert not blank(image)
    kept = [artifacts.open(artifacts.save(image))]
    Guard().nsfw(kept)
    Critic().score(Looker().embed_images(kept))


def measure(repeats: int) -> list[Figure]:
    """The best of some repeats: other work on the machine only ever adds."""
    pictures = [photograph_like(n, SIDE) for n in range(DIALOGUES * MOMENTS)]
    together = min(asyncio.run(overlapped(pictures)) for _ in range(repeats))
    one_by_one = min(asyncio.run(serial(pictures)) for _ in range(repeats))
    return [
        Figure("time per dialogue", 1000 * together / DIALOGUES, "ms", bar=80, better="less"),
        Figure("time per dialogue, the same steps in a serial loop", 1000 * one_by_one / DIALOGUES, "ms"),
        Figure("least possible on this device", 1000 * MOMENTS * PICTURE_S, "ms"),
    ]


def explained(figures: list[Figure]) -> str:
    return (
        f"`python -m benchmarks.overlap` prints this table: {DIALOGUES} dialogues, {MOMENTS} pictures each,"
        f" {1000 * LLM_S:.0f} ms per question to the language model, {1000 * PICTURE_S:.0f} ms per picture on a serial"
        f" device, PNGs of {SIDE} x {SIDE} pixels full of grain, encoded, synced to disk and checked; best of some"
        f" repeats. {circumstances()}\n\n{table(figures)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    options = parser.parse_args()
    figures = measure(options.repeats)
    for figure in figures:
        print("  ".join(figure.cells()))
    if options.write:
        write_section("Overlap", explained(figures))


if __name__ == "__main__":
    main()
