"""run.db (SQLite, WAL): items, attempts, spans and the call cache. The one source of truth of a run.

An item is committed with its attempts, spans and exchanges in one transaction: after a kill it is either there as a
whole or still pending.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from magid_graph.errors import StorageFailed, UsageError
from magid_graph.pair_rows import PairRows
from magid_graph.records import Attempt, BadRow, Batch, Chain, Dialogue, ItemState, Pair, Row, Span, is_bad, is_chain
from magid_graph.schema import SCHEMA
from magid_graph.seeds import seed_for
from magid_graph.writer import Writer

STATES: tuple[ItemState, ...] = ("pending", "accepted", "rejected", "failed")


@dataclass(frozen=True, slots=True)
class Asked:
    """An exchange with the language model, by the hash of its call."""

    node: str
    turn: int | None
    call: str
    cached: bool


@dataclass(slots=True)
class Outcome:
    """How one item ended, and all that was recorded on the way."""

    key: str
    state: ItemState
    reason: str | None = None
    """Why it was rejected, or the cause of the fault."""
    message: str | None = None
    duration_s: float = 0.0
    attempts: Sequence[Attempt] = ()
    pairs: Sequence[Pair] = ()
    spans: Sequence[Span] = ()
    asked: Sequence[Asked] = ()


@dataclass(frozen=True, slots=True)
class Item:
    """A row of `items`."""

    position: int
    key: str
    state: ItemState
    reason: str | None
    message: str | None
    duration_s: float | None
    row: Row | None
    """`None` for a row of the input that could not be read."""

    @property
    def dialogue(self) -> Dialogue | None:
        return None if self.row is None or is_chain(self.row) else self.row

    @property
    def chain(self) -> Chain | None:
        return self.row if self.row is not None and is_chain(self.row) else None


@dataclass(frozen=True, slots=True)
class Pending:
    """A dialogue, or the beginning of a chain, to work on."""

    position: int
    row: Row
    retries: int
    """How often it was taken up again after it had failed."""


@dataclass(slots=True)
class Journal:
    """Opens or makes `run.db` in a run directory.

    Reads are synchronous and fast; writes from a running event loop go through one thread of their own, which puts
    whatever is waiting into one transaction.
    """

    path: Path
    _db: sqlite3.Connection = field(init=False)
    _writer: Writer = field(init=False)
    pair_rows: PairRows = field(init=False)
    _has_calls: bool = field(init=False, default=True)

    def __post_init__(self) -> None:
        self._db = self._open()
        self._writer = Writer(self._open)
        self.pair_rows = PairRows(self._db, self._writer)

    def _open(self) -> sqlite3.Connection:
        """A connection to a journal that has all tables. Raises `StorageFailed`, or `UsageError` for another file."""
        try:
            db = self._connect()
            db.executescript(SCHEMA)
            # Seeds depend on the item: no two calls of a run are the same, and one that begins with none finds none.
            self._has_calls = db.execute("SELECT 1 FROM calls LIMIT 1").fetchone() is not None
            return db
        except sqlite3.OperationalError as error:
            raise StorageFailed(f"`{self.path}` cannot be opened: {error}") from error
        except sqlite3.DatabaseError as error:
            raise UsageError(f"`{self.path}` is not a journal of magid-graph: {error}") from error

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=30)
        db.execute("PRAGMA journal_mode=WAL")
        # NORMAL: a killed process loses nothing; a power cut may lose the last commits, never tears one.
        db.execute("PRAGMA synchronous=NORMAL")
        return db

    # -- items

    def ingest(self, rows: Iterable[Row | BadRow]) -> None:
        """Put the input's rows into the journal, all of them or, if reading raises, none."""
        positioned = enumerate(rows)
        self._db.execute("BEGIN IMMEDIATE")
        try:
            while chunk := list(islice(positioned, 1000)):
                self._db.executemany(
                    "INSERT INTO items (position, key, state, reason, message, input) VALUES (?,?,?,?,?,?)",
                    [_item_row(position, row) for position, row in chunk],
                )
            (count,) = self._db.execute("SELECT count(*) FROM items").fetchone()
            self._db.execute("INSERT INTO facts VALUES ('ingested', ?)", (str(count),))
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise

    def is_ingested(self) -> bool:
        return self.ingested_rows() is not None

    def ingested_rows(self) -> int | None:
        """How many rows the input had; `None` before it was read to its end."""
        row = self._db.execute("SELECT value FROM facts WHERE name = 'ingested'").fetchone()
        return int(row[0]) if row else None

    def counts(self) -> dict[ItemState, int]:
        found = dict(self._db.execute("SELECT state, count(*) FROM items GROUP BY state").fetchall())
        return {state: found.get(state, 0) for state in STATES}

    def pending_count(self, *, only_retried: bool = False, after: int = -1) -> int:
        retried = "AND retries > 0" if only_retried else ""
        (count,) = self._db.execute(
            f"SELECT count(*) FROM items WHERE state = 'pending' {retried} AND position > ?", (after,)
        ).fetchone()
        return int(count)

    def pending(self, limit: int | None = None, *, only_retried: bool = False, after: int = -1) -> Iterator[Pending]:
        """Unfinished items in the input's order, read in pages so that memory stays bounded.

        `only_retried`: those that failed before and were reopened. `after`: those behind this position.
        """
        retried = "AND retries > 0" if only_retried else ""
        left = limit if limit is not None else -1
        while left != 0:
            page = 256 if left < 0 else min(256, left)
            rows = self._db.execute(
                f"SELECT position, retries, input FROM items WHERE state = 'pending' {retried} AND position > ?"
                " ORDER BY position LIMIT ?",
                (after, page),
            ).fetchall()
            if not rows:
                return
            for position, retries, text in rows:
                yield Pending(position, json.loads(text), retries)
            after, left = rows[-1][0], left - len(rows) if left > 0 else left

    def items(self, states: Sequence[ItemState] = STATES, *, is_shuffled: bool = False) -> Iterator[Item]:
        """Items in the order of the input, or in one that has nothing to do with it."""
        marks = ",".join("?" * len(states))
        order = "shuffled(key), position" if is_shuffled else "position"
        # A connection of its own: a long read must not share a snapshot with what is written meanwhile.
        with contextlib.closing(self._connect()) as db:
            db.create_function("shuffled", 1, _shuffled, deterministic=True)
            rows = db.execute(
                f"SELECT position, key, state, reason, message, duration_s, input FROM items"
                f" WHERE state IN ({marks}) ORDER BY {order}",
                states,
            )
            for position, key, state, reason, message, duration_s, text in rows:
                row: Row | BadRow = json.loads(text)
                yield Item(position, key, state, reason, message, duration_s, None if is_bad(row) else row)

    def reasons(self, state: ItemState) -> dict[str, int]:
        """How many items ended in this state, by reason, most frequent first."""
        rows = self._db.execute(
            "SELECT coalesce(reason, '?'), count(*) AS n FROM items WHERE state = ? GROUP BY reason ORDER BY n DESC",
            (state,),
        )
        return dict(rows.fetchall())

    def given_up(self) -> dict[str, int]:
        """How many moments ended without a picture, by the reason of the last attempt, most frequent first."""
        rows = self._db.execute(
            "SELECT coalesce(reason, '?'), count(*) AS n FROM attempts WHERE verdict = 'discard'"
            " GROUP BY reason ORDER BY n DESC"
        )
        return dict(rows.fetchall())

    def verdicts(self) -> dict[str, int]:
        """How many attempts ended in each verdict."""
        return dict(self._db.execute("SELECT verdict, count(*) FROM attempts GROUP BY verdict").fetchall())

    def reopen_failed(self, reason: str | None = None) -> int:
        """Make failed dialogues pending again; rows that could not be read stay failed. Returns how many."""
        changed = self._db.execute(
            "UPDATE items SET state = 'pending', reason = NULL, message = NULL, retries = retries + 1"
            " WHERE state = 'failed'"
            " AND reason <> 'bad_input' AND (?1 IS NULL OR reason = ?1)",
            (reason,),
        )
        return changed.rowcount

    def fail(self, position: int, reason: str, message: str) -> None:
        """Make a finished item failed, because of what was found later; what was recorded about it stays."""
        self._db.execute(
            "UPDATE items SET state = 'failed', reason = ?, message = ? WHERE position = ?", (reason, message, position)
        )

    def attempts(self, position: int) -> list[Attempt]:
        rows = self._db.execute("SELECT record FROM attempts WHERE position = ? ORDER BY turn, n", (position,))
        return [json.loads(text) for (text,) in rows]

    def pairs(self, *, accepted_only: bool = True, is_shuffled: bool = False) -> Iterator[Pair]:
        """Pairs of accepted chains: chain by chain, or in an order that scatters the pictures of each."""
        kept = "AND p.accepted" if accepted_only else ""
        order = "p.shuffled, p.position, p.iteration" if is_shuffled else "p.position, p.iteration"
        with contextlib.closing(self._connect()) as db:
            rows = db.execute(
                f"SELECT p.record FROM pairs p JOIN items i USING (position) WHERE i.state = 'accepted' {kept}"
                f" ORDER BY {order}"
            )
            for (text,) in rows:
                yield json.loads(text)

    def batches(self) -> Iterator[Batch]:
        """What the describer was asked for, in order."""
        with contextlib.closing(self._connect()) as db:
            for (text,) in db.execute("SELECT record FROM batches ORDER BY batch"):
                yield json.loads(text)

    def spans(self, position: int) -> list[Span]:
        rows = self._db.execute("SELECT record FROM spans WHERE position = ? ORDER BY seq", (position,))
        return [json.loads(text) for (text,) in rows]

    def asked(self, position: int) -> list[tuple[Asked, dict[str, Any]]]:
        """The exchanges of an item, each with the recorded call."""
        rows = self._db.execute(
            "SELECT e.node, e.turn, e.call, e.cached, c.value FROM exchanges e JOIN calls c ON c.hash = e.call"
            " WHERE e.position = ? ORDER BY e.seq",
            (position,),
        )
        return [(Asked(node, turn, call, bool(cached)), json.loads(value)) for node, turn, call, cached, value in rows]

    # -- the call cache

    def recall(self, call: str) -> dict[str, Any] | None:
        """What the call with this hash returned, if it was finished before this journal was opened."""
        if not self._has_calls:
            return None
        row = self._db.execute("SELECT value FROM calls WHERE hash = ?", (call,)).fetchone()
        return json.loads(row[0]) if row else None

    def remember(self, call: str, kind: str, value: dict[str, Any]) -> None:
        """Keep what a call returned. Written at once, in turn, by the journal's thread; nobody needs to wait for it:
        a kill can lose it only within the few milliseconds in which it could also have come before the call ended.
        """
        row = (call, kind, _json(value))
        self._writer.put(lambda db: db.execute("INSERT OR REPLACE INTO calls VALUES (?,?,?)", row))

    async def finish(self, outcome: Outcome) -> None:
        """Commit an item with everything recorded about it, over whatever an earlier failure left."""
        await self._writer.write(lambda db: _finish(db, outcome))

    def close(self) -> None:
        self._writer.close()
        self._db.close()


def _item_row(position: int, row: Row | BadRow) -> tuple[Any, ...]:
    text = _json(row)
    if is_bad(row):
        return position, row["key"], "failed", row["cause"], row["message"], text
    return position, row["key"], "pending", None, None, text


def _finish(db: sqlite3.Connection, outcome: Outcome) -> None:
    found = db.execute("SELECT position, finished_at FROM items WHERE key = ?", (outcome.key,)).fetchone()
    position, finished_at = found
    if finished_at is not None:
        for table in ("attempts", "pairs", "spans", "exchanges"):
            db.execute(f"DELETE FROM {table} WHERE position = ?", (position,))
    db.execute(
        "UPDATE items SET state = ?, reason = ?, message = ?, finished_at = ?, duration_s = ? WHERE position = ?",
        (outcome.state, outcome.reason, outcome.message, time.time(), outcome.duration_s, position),
    )
    db.executemany(
        "INSERT INTO attempts VALUES (?,?,?,?,?,?)",
        [(position, a["turn"], a["n"], a["verdict"], a["reason"], _json(a)) for a in outcome.attempts],
    )
    db.executemany(
        "INSERT INTO pairs VALUES (?,?,?,?,?)",
        [(position, p["iteration"], p["accepted"], _shuffled(p["id"]), _json(p)) for p in outcome.pairs],
    )
    db.executemany(
        "INSERT INTO spans VALUES (?,?,?)", [(position, seq, _json(span)) for seq, span in enumerate(outcome.spans)]
    )
    db.executemany(
        "INSERT INTO exchanges VALUES (?,?,?,?,?,?)",
        [(position, seq, a.node, a.turn, a.call, int(a.cached)) for seq, a in enumerate(outcome.asked)],
    )


def _shuffled(key: str) -> int:
    """A place in an order that has nothing to do with that of items or chains, the same in every run."""
    return seed_for(0, key, "shuffled")


def _json(record: object) -> str:
    return orjson.dumps(record).decode()
