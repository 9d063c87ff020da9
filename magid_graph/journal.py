"""run.db (SQLite, WAL): items, attempts, spans and the call cache. The one source of truth of a run.

An item is committed with its attempts, spans and exchanges in one transaction: after a kill it is either there as a
whole or still pending.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from magid_graph.errors import StorageFailed, UsageError
from magid_graph.records import Attempt, BadRow, Dialogue, ItemState, Span, is_bad

T = TypeVar("T")

STATES: tuple[ItemState, ...] = ("pending", "accepted", "rejected", "failed")

_GATHERING_S = 0.002
"""Writes that come this close together share a transaction, and wake the writing thread once."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS items (
    position INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL DEFAULT 'pending',
    reason TEXT,
    message TEXT,
    finished_at REAL,
    duration_s REAL,
    retries INTEGER NOT NULL DEFAULT 0,
    input TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS items_by_state ON items (state, position);
CREATE TABLE IF NOT EXISTS attempts (
    position INTEGER NOT NULL, turn INTEGER NOT NULL, n INTEGER NOT NULL,
    verdict TEXT NOT NULL, reason TEXT, record TEXT NOT NULL,
    PRIMARY KEY (position, turn, n)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS attempts_by_verdict ON attempts (verdict);
CREATE TABLE IF NOT EXISTS spans (
    position INTEGER NOT NULL, seq INTEGER NOT NULL, record TEXT NOT NULL,
    PRIMARY KEY (position, seq)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS exchanges (
    position INTEGER NOT NULL, seq INTEGER NOT NULL,
    node TEXT NOT NULL, turn INTEGER, call TEXT NOT NULL, cached INTEGER NOT NULL,
    PRIMARY KEY (position, seq)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS calls (hash TEXT PRIMARY KEY, kind TEXT NOT NULL, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


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
    dialogue: Dialogue | None
    """`None` for a row of the input that could not be read."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A dialogue to work on."""

    dialogue: Dialogue
    retries: int
    """How often it was taken up again after it had failed."""


@dataclass(slots=True)
class _Write:
    run: Callable[[sqlite3.Connection], Any]
    done: asyncio.Future[Any] | None
    loop: asyncio.AbstractEventLoop | None


@dataclass(slots=True)
class Journal:
    """Opens or makes `run.db` in a run directory.

    Reads are synchronous and fast; writes from a running event loop go through one thread of their own, which puts
    whatever is waiting into one transaction.
    """

    path: Path
    _db: sqlite3.Connection = field(init=False)
    _writes: queue.SimpleQueue[_Write | None] = field(init=False, default_factory=queue.SimpleQueue)
    _thread: threading.Thread | None = field(init=False, default=None)
    _has_calls: bool = field(init=False, default=True)
    _fault: StorageFailed | None = field(init=False, default=None)
    """Why a write failed; no further one is taken."""

    def __post_init__(self) -> None:
        self._db = self._open()

    def _open(self) -> sqlite3.Connection:
        """A connection to a journal that has all tables. Raises `StorageFailed`, or `UsageError` for another file."""
        try:
            db = self._connect()
            db.executescript(_SCHEMA)
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

    def ingest(self, rows: Iterable[Dialogue | BadRow]) -> None:
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

    def pending_count(self, *, only_retried: bool = False) -> int:
        retried = "AND retries > 0" if only_retried else ""
        (count,) = self._db.execute(f"SELECT count(*) FROM items WHERE state = 'pending' {retried}").fetchone()
        return int(count)

    def pending(self, limit: int | None = None, *, only_retried: bool = False) -> Iterator[Pending]:
        """Unfinished dialogues in the input's order, read in pages so that memory stays bounded.

        `only_retried`: those that failed before and were reopened.
        """
        retried = "AND retries > 0" if only_retried else ""
        after, left = -1, limit if limit is not None else -1
        while left != 0:
            page = 256 if left < 0 else min(256, left)
            rows = self._db.execute(
                f"SELECT position, retries, input FROM items WHERE state = 'pending' {retried} AND position > ?"
                " ORDER BY position LIMIT ?",
                (after, page),
            ).fetchall()
            if not rows:
                return
            for _, retries, text in rows:
                yield Pending(json.loads(text), retries)
            after, left = rows[-1][0], left - len(rows) if left > 0 else left

    def items(self, states: Sequence[ItemState] = STATES) -> Iterator[Item]:
        marks = ",".join("?" * len(states))
        # A connection of its own: a long read must not share a snapshot with what is written meanwhile.
        with contextlib.closing(self._connect()) as db:
            rows = db.execute(
                f"SELECT position, key, state, reason, message, duration_s, input FROM items"
                f" WHERE state IN ({marks}) ORDER BY position",
                states,
            )
            for position, key, state, reason, message, duration_s, text in rows:
                row: Dialogue | BadRow = json.loads(text)
                dialogue = None if is_bad(row) else row
                yield Item(position, key, state, reason, message, duration_s, dialogue)

    def reasons(self, state: ItemState) -> dict[str, int]:
        """How many items ended in this state, by reason, most frequent first."""
        rows = self._db.execute(
            "SELECT coalesce(reason, '?'), count(*) AS n FROM items WHERE state = ? GROUP BY reason ORDER BY n DESC",
            (state,),
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
        self._put(_Write(lambda db: db.execute("INSERT OR REPLACE INTO calls VALUES (?,?,?)", row), None, None))

    async def finish(self, outcome: Outcome) -> None:
        """Commit an item with everything recorded about it, over whatever an earlier failure left."""
        await self._write(lambda db: _finish(db, outcome))

    # -- writing

    async def _write(self, run: Callable[[sqlite3.Connection], T]) -> None:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()
        self._put(_Write(run, done, loop))
        await done

    def _put(self, write: _Write) -> None:
        if self._fault is not None:
            raise self._fault
        if self._thread is None:
            self._thread = threading.Thread(target=self._write_all, args=(self._open(),), name="journal", daemon=True)
            self._thread.start()
        self._writes.put(write)

    def _write_all(self, db: sqlite3.Connection) -> None:
        stopped = False
        while not stopped:
            waiting = [self._writes.get()]
            time.sleep(_GATHERING_S)
            while not self._writes.empty():
                waiting.append(self._writes.get())
            stopped = None in waiting
            self._fault = _commit(db, [write for write in waiting if write is not None]) or self._fault
        db.close()

    def close(self) -> None:
        if self._thread is not None:
            self._writes.put(None)
            self._thread.join()
            self._thread = None
        self._db.close()


def _item_row(position: int, row: Dialogue | BadRow) -> tuple[Any, ...]:
    text = json.dumps(row, ensure_ascii=False)
    if is_bad(row):
        return position, row["key"], "failed", row["cause"], row["message"], text
    return position, row["key"], "pending", None, None, text


def _commit(db: sqlite3.Connection, writes: Sequence[_Write]) -> StorageFailed | None:
    """All writes in one transaction. A fault is told to everybody who waits, and returned."""
    fault = None
    try:
        if writes:
            _transaction(db, writes)
    except Exception as error:
        # Whatever it is: a thread that dies in silence would leave everybody waiting for ever.
        fault = StorageFailed(f"the journal cannot be written: {error}; make room or mend it, and run again")
    _settle([write for write in writes if write.done is not None], fault)
    return fault


def _transaction(db: sqlite3.Connection, writes: Sequence[_Write]) -> None:
    db.execute("BEGIN IMMEDIATE")
    try:
        for write in writes:
            write.run(db)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _settle(writes: Sequence[_Write], fault: Exception | None) -> None:
    """Wake whoever waits for these writes."""

    def settle() -> None:
        for write in writes:
            if write.done is not None and not write.done.done():
                if fault is None:
                    write.done.set_result(None)
                else:
                    write.done.set_exception(fault)

    # The loop may have been closed over our head (second Ctrl-C): then nobody waits.
    if writes and writes[0].loop is not None:
        with contextlib.suppress(RuntimeError):
            writes[0].loop.call_soon_threadsafe(settle)


def _finish(db: sqlite3.Connection, outcome: Outcome) -> None:
    (position,) = db.execute("SELECT position FROM items WHERE key = ?", (outcome.key,)).fetchone()
    for table in ("attempts", "spans", "exchanges"):
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
        "INSERT INTO spans VALUES (?,?,?)", [(position, seq, _json(span)) for seq, span in enumerate(outcome.spans)]
    )
    db.executemany(
        "INSERT INTO exchanges VALUES (?,?,?,?,?,?)",
        [(position, seq, a.node, a.turn, a.call, int(a.cached)) for seq, a in enumerate(outcome.asked)],
    )


def _json(record: object) -> str:
    return json.dumps(record, ensure_ascii=False)
