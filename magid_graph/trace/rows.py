"""What a journal holds about each item, streamed side by side. Opened for reading only."""

from __future__ import annotations

import difflib
import json
import re
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from magid_graph.errors import StorageFailed, UsageError
from magid_graph.journal import STATES, Asked
from magid_graph.records import Attempt, Chain, Dialogue, Exchange, ItemState, Pair, Span, exchange_of, is_bad
from magid_graph.run_dir import RunDir

_COLUMNS = "i.position, i.key, i.state, i.reason, i.message, i.duration_s, i.retries, i.input"
_BY_PICTURE = (
    "SELECT DISTINCT key FROM items JOIN attempts USING (position) WHERE instr(record, ?) ORDER BY position LIMIT 4"
)
_EXCHANGES = "SELECT e.position, e.node, e.turn, e.cached, c.value FROM exchanges e JOIN calls c ON c.hash = e.call"


@dataclass(slots=True)
class Row:
    """One item with its records, as they were written."""

    position: int
    key: str
    state: ItemState
    reason: str | None
    message: str | None
    duration_s: float | None
    retries: int
    input: Dialogue | Chain | None
    """`None` for a row of the input that could not be read."""
    pairs: list[Pair] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    exchanges: list[Exchange] = field(default_factory=list)


class Rows:
    """The rows of one journal."""

    def __init__(self, run: RunDir) -> None:
        """Raises `UsageError` where there is no journal."""
        self._path = run.path / "run.db"
        if not self._path.exists():
            raise UsageError(f"there is no journal `{self._path}`; `{run.command()}` begins the run again")
        self._db = self._connect()

    def _connect(self) -> sqlite3.Connection:
        try:
            db = sqlite3.connect(f"{self._path.resolve().as_uri()}?mode=ro", uri=True, timeout=30)
            db.execute("SELECT 1 FROM items LIMIT 1")
            return db
        except sqlite3.OperationalError as error:
            raise StorageFailed(f"`{self._path}` cannot be read: {error}") from error
        except sqlite3.DatabaseError as error:
            raise UsageError(f"`{self._path}` is not a journal of magid-graph: {error}") from error

    def stream(self, states: Sequence[ItemState] | None = None, *, with_exchanges: bool) -> Iterator[Row]:
        """Rows in the input's order.

        The tables are ordered by position: one pass over each, side by side, and nothing is kept but the row in hand.
        """
        chosen = "" if states is None else f"WHERE i.state IN ({','.join('?' * len(states))})"
        items = self._db.execute(f"SELECT {_COLUMNS} FROM items i {chosen} ORDER BY i.position", states or ())
        attempts = _Follower(self._db, "SELECT position, record FROM attempts ORDER BY position, turn, n")
        spans = _Follower(self._db, "SELECT position, record FROM spans ORDER BY position, seq")
        pairs = _Follower(self._db, "SELECT position, record FROM pairs ORDER BY position, iteration")
        asked = _Follower(self._db, f"{_EXCHANGES} ORDER BY e.position, e.seq") if with_exchanges else None
        for found in items:
            row = _row(found)
            row.attempts = [json.loads(text) for (text,) in attempts.of(row.position)]
            row.spans = [json.loads(text) for (text,) in spans.of(row.position)]
            row.pairs = [json.loads(text) for (text,) in pairs.of(row.position)]
            row.exchanges = [_exchange(*one) for one in asked.of(row.position)] if asked else []
            yield row

    def one(self, key: str) -> Row | None:
        found = self._db.execute(f"SELECT {_COLUMNS} FROM items i WHERE i.key = ?", (key,)).fetchone()
        if found is None:
            return None
        row = _row(found)
        at = (row.position,)
        attempts = self._db.execute("SELECT record FROM attempts WHERE position = ? ORDER BY turn, n", at)
        row.attempts = [json.loads(text) for (text,) in attempts]
        spans = self._db.execute("SELECT record FROM spans WHERE position = ? ORDER BY seq", at)
        row.spans = [json.loads(text) for (text,) in spans]
        pairs = self._db.execute("SELECT position, record FROM pairs WHERE position = ? ORDER BY iteration", at)
        row.pairs = [json.loads(text) for _, text in pairs]
        asked = self._db.execute(f"{_EXCHANGES} WHERE e.position = ? ORDER BY e.seq", at)
        row.exchanges = [_exchange(*one) for _, *one in asked]
        return row

    def key_of(self, name: str) -> str:
        """The key of the item that a person means. Raises `UsageError` where it is none, or not one."""
        ways: tuple[tuple[str, str], ...] = (
            ("SELECT key FROM items WHERE key = ?", name),
            ("SELECT key FROM items WHERE substr(key, 1, length(?1)) = ?1 ORDER BY position LIMIT 4", name),
        )
        if re.fullmatch(r"[0-9a-f]{8,64}", Path(name).stem):
            ways = (*ways, (_BY_PICTURE, f'"{Path(name).stem}'))
        for query, words in ways:
            found = [key for (key,) in self._db.execute(query, (words,))]
            if len(found) == 1:
                return str(found[0])
            if found:
                raise UsageError(f"several items begin with `{name}`: {', '.join(f'`{key}`' for key in found)}, …")
        keys = [key for (key,) in self._db.execute("SELECT key FROM items ORDER BY position LIMIT 10000")]
        near = difflib.get_close_matches(name, keys, 3)
        hint = f"; did you mean {', '.join(f'`{key}`' for key in near)}?" if near else ""
        raise UsageError(f"there is no item `{name}` in `{self._path.parent}`{hint}")

    def keys(self) -> list[str]:
        """Of all items, in the input's order."""
        return [key for (key,) in self._db.execute("SELECT key FROM items ORDER BY position")]

    def asked(self, position: int) -> list[Asked]:
        """The exchanges of an item, by the hashes of their calls."""
        rows = self._db.execute(
            "SELECT node, turn, call, cached FROM exchanges WHERE position = ? ORDER BY seq", (position,)
        )
        return [Asked(node, turn, call, bool(cached)) for node, turn, call, cached in rows]

    def call(self, call: str) -> tuple[str, dict[str, Any]] | None:
        """The kind of the call with this hash, and what it returned, if it is known."""
        found = self._db.execute("SELECT kind, value FROM calls WHERE hash = ?", (call,)).fetchone()
        return (found[0], json.loads(found[1])) if found else None

    def counts(self) -> dict[ItemState, int]:
        found = dict(self._db.execute("SELECT state, count(*) FROM items GROUP BY state").fetchall())
        return {state: found.get(state, 0) for state in STATES}

    def pictures(self) -> int:
        rows = self._db.execute("SELECT (SELECT count(*) FROM attempts) + (SELECT count(*) FROM pairs)")
        return int(rows.fetchone()[0])

    def close(self) -> None:
        self._db.close()


class _Follower:
    """One table's rows, handed out as the items come to their position."""

    def __init__(self, db: sqlite3.Connection, query: str) -> None:
        self._rows = db.execute(query)
        self._next = self._rows.fetchone()

    def of(self, position: int) -> Iterator[tuple[Any, ...]]:
        while self._next is not None and self._next[0] <= position:
            at, *rest = self._next
            self._next = self._rows.fetchone()
            if at == position:
                yield tuple(rest)


def _row(found: tuple[Any, ...]) -> Row:
    position, key, state, reason, message, duration_s, retries, text = found
    read = json.loads(text)
    return Row(position, key, state, reason, message, duration_s, retries, None if is_bad(read) else read)


def _exchange(node: str, turn: int | None, cached: int, text: str) -> Exchange:
    return exchange_of((node, turn, bool(cached)), json.loads(text))
