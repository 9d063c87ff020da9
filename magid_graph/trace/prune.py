"""Making a journal smaller: node runs and exchanges of what went well, but for a sample."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from magid_graph.run_dir import RunDir
from magid_graph.seeds import seed_for


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was, or would be, taken away."""

    items: int
    kept: int
    """Items that keep their node runs: all that did not go well, and the sample."""
    spans: int
    exchanges: int
    bytes_before: int
    bytes_after: int


def prune(run: RunDir, sample: int, *, is_trial: bool) -> Pruned:
    """Take away spans, exchanges and their replies of accepted items without a refusal, all but `sample` of them.

    Attempts, pairs and pictures stay: the data set needs them. Call it under the run's lock.
    """
    path = run.path / "run.db"
    size = path.stat().st_size
    db = sqlite3.connect(path, isolation_level=None, timeout=30)
    try:
        smooth = [position for position, key in db.execute(_SMOOTH)]
        # The same sample each time, and none that depends on the order of the input.
        scattered = sorted(smooth, key=lambda position: seed_for(0, str(position), "sample"))
        gone = scattered[sample:]
        db.execute("CREATE TEMP TABLE gone (position INTEGER PRIMARY KEY)")
        db.executemany("INSERT INTO gone VALUES (?)", [(position,) for position in gone])
        (spans,) = db.execute("SELECT count(*) FROM spans WHERE position IN gone").fetchone()
        (exchanges,) = db.execute("SELECT count(*) FROM exchanges WHERE position IN gone").fetchone()
        (items,) = db.execute("SELECT count(*) FROM items").fetchone()
        if not is_trial:
            _take_away(db)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        db.close()
    return Pruned(items, items - len(gone), spans, exchanges, size, path.stat().st_size)


_SMOOTH = """
SELECT position, key FROM items i WHERE state = 'accepted'
AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.position = i.position AND a.verdict <> 'accept')
"""


def _take_away(db: sqlite3.Connection) -> None:
    db.execute("BEGIN IMMEDIATE")
    db.execute("CREATE TEMP TABLE calls_gone AS SELECT DISTINCT call FROM exchanges WHERE position IN gone")
    db.execute("DELETE FROM spans WHERE position IN gone")
    db.execute("DELETE FROM exchanges WHERE position IN gone")
    db.execute(
        "DELETE FROM calls WHERE hash IN calls_gone AND hash NOT IN (SELECT call FROM exchanges)",
    )
    db.execute("COMMIT")
    db.execute("VACUUM")
