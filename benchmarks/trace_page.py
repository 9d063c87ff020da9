"""How long the page of a large run takes to write, and to open in a browser: `python -m benchmarks.trace_page [ITEMS]`.

The run is the recorded one of a few dialogues by stand-in models, its rows copied until there are enough.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

from magid_graph.page import write_page
from magid_graph.trace.reading import Reading
from tests.browser import opened_browser
from tests.graph_runs import dialogue
from tests.traced_runs import made_run

_TALK = [
    "hello there, how was your weekend?",
    "quiet, we went for a walk",
    "look, here is the red boat on the lake",
    "lovely!",
]


def copied(run_db: Path, items: int) -> None:
    """Copy what the journal holds about its items until there are this many."""
    with contextlib.closing(sqlite3.connect(run_db)) as db, db:
        (there,) = db.execute("SELECT count(*) FROM items").fetchone()
        for n in range(1, -(-items // there)):
            shift = n * there
            db.execute(
                "INSERT INTO items SELECT position + ?1, key || '-' || ?1, state, reason, message, finished_at,"
                " duration_s, retries, input FROM items WHERE position < ?2",
                (shift, there),
            )
            for table in ("attempts", "spans", "exchanges"):
                columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")][1:]
                rest = ", ".join(columns)
                db.execute(
                    f"INSERT INTO {table} (position, {rest}) SELECT position + ?1, {rest} FROM {table}"
                    " WHERE position < ?2",
                    (shift, there),
                )


def main() -> None:
    items = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "run"
        run = asyncio.run(made_run(place, [dialogue(f"talk-{n}", [*_TALK, f"bye {n}"]) for n in range(50)]))
        copied(place / "run.db", items)
        with contextlib.closing(Reading(run)) as reading:
            began = time.process_time()
            written = write_page(reading, place / "trace.html")
            wrote_s = time.process_time() - began
        size = written.path.stat().st_size
        print(f"{written.items} items: written in {wrote_s:.1f} s of processor time, {size / 1e6:.1f} MB")
        with opened_browser() as browser:
            page = browser.new_page()
            page.set_default_timeout(60_000)
            for _ in range(3):
                began = time.perf_counter()
                page.goto(written.path.resolve().as_uri())
                page.wait_for_selector(".card")
                opened_s = time.perf_counter() - began
                print(f"opened, first cards shown: {opened_s:.2f} s")


if __name__ == "__main__":
    main()
