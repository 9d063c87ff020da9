"""What a run over chains of pairs keeps in its journal beyond the items: batches, and how many pairs there are."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from magid_graph.errors import TooFewDescriptions
from magid_graph.records import Batch, Chain
from magid_graph.writer import Writer

if TYPE_CHECKING:
    from magid_graph.config import Settings
    from magid_graph.journal import Journal

_ACCEPTED = "FROM pairs p JOIN items i USING (position) WHERE i.state = 'accepted'"


class PairRows:
    """Reads by the journal's own connection, writes by its thread."""

    def __init__(self, db: sqlite3.Connection, writer: Writer) -> None:
        self._db = db
        self._writer = writer

    def batches(self) -> int:
        """How many batches have been described."""
        (count,) = self._db.execute("SELECT count(*) FROM batches").fetchone()
        return int(count)

    def accepted(self) -> int:
        """How many pairs are fine, whether they were asked for or more than that."""
        (count,) = self._db.execute(
            f"SELECT count(*) {_ACCEPTED} AND (p.accepted OR json_extract(p.record, '$.reason') = 'surplus')"
        ).fetchone()
        return int(count)

    def verdicts(self) -> dict[str, Any]:
        """How many pairs are accepted; and refused, by reason."""
        rows = self._db.execute(
            f"SELECT p.accepted, json_extract(p.record, '$.reason'), count(*) {_ACCEPTED} OR i.state = 'rejected'"
            " GROUP BY 1, 2 ORDER BY 3 DESC"
        ).fetchall()
        return {
            "accepted": sum(count for is_accepted, _, count in rows if is_accepted),
            "refused": {reason: count for is_accepted, reason, count in rows if not is_accepted},
        }

    def last_batch_with_pairs(self) -> int:
        """The latest batch of which a pair was accepted; -1 where there is none."""
        row = self._db.execute(
            f"SELECT json_extract(p.record, '$.batch') {_ACCEPTED} AND p.accepted ORDER BY p.position DESC LIMIT 1"
        ).fetchone()
        return int(row[0]) if row else -1

    async def add_batch(self, batch: Batch, chains: Sequence[Chain]) -> None:
        """Commit a batch with its chains; one that has no description is a failed item, for `retry`."""
        await self._writer.write(lambda db: _add_batch(db, batch, chains))

    async def describe(self, position: int, chain: Chain) -> None:
        """Give an item the description that it did not have."""
        row = json.dumps(chain, ensure_ascii=False), position
        await self._writer.write(lambda db: db.execute("UPDATE items SET input = ? WHERE position = ?", row))

    def settle(self, wanted: int) -> None:
        """Exactly `wanted` accepted pairs: what is more becomes surplus, chains that were not begun are given up.

        The first pairs by chain and iteration are kept, whatever the order in which chains ended. Nothing is given up
        before there are enough, and no chain that was begun: with it still to end, the others are never enough.
        """
        self._db.execute("BEGIN IMMEDIATE")
        try:
            _mark(self._db, "json_extract(record, '$.reason') = 'surplus'", is_accepted=True)
            kept = self._db.execute(
                f"SELECT p.position, p.iteration {_ACCEPTED} AND p.accepted ORDER BY 1, 2 LIMIT 1 OFFSET ?",
                (wanted - 1,),
            ).fetchone()
            if kept is not None:
                _mark(self._db, "accepted AND (position, iteration) > (?, ?)", kept, is_accepted=False)
                self._db.execute("DELETE FROM items WHERE state = 'pending'")
                _count_rows(self._db)
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise


def _add_batch(db: sqlite3.Connection, batch: Batch, chains: Sequence[Chain]) -> None:
    db.execute("INSERT OR REPLACE INTO batches VALUES (?,?)", (batch["batch"], json.dumps(batch, ensure_ascii=False)))
    (first,) = db.execute("SELECT coalesce(max(position) + 1, 0) FROM items").fetchone()
    for position, chain in enumerate(chains, first):
        is_described = chain["description"] is not None
        why = (None, None, None) if is_described else (TooFewDescriptions.cause, batch["fault"], time.time())
        db.execute(
            "INSERT INTO items (position, key, state, reason, message, finished_at, input) VALUES (?,?,?,?,?,?,?)",
            (
                position,
                chain["key"],
                "pending" if is_described else "failed",
                *why,
                json.dumps(chain, ensure_ascii=False),
            ),
        )
    _count_rows(db)


def _count_rows(db: sqlite3.Connection) -> None:
    """Say how many items there are: what is described is this run's input."""
    db.execute("INSERT OR REPLACE INTO facts SELECT 'ingested', count(*) FROM items")


def _mark(db: sqlite3.Connection, where: str, values: Sequence[int] = (), *, is_accepted: bool) -> None:
    to = ("1", "json('true')", "NULL") if is_accepted else ("0", "json('false')", "'surplus'")
    db.execute(
        f"UPDATE pairs SET accepted = {to[0]}, record = json_set(record, '$.accepted', {to[1]}, '$.reason', {to[2]})"
        f" WHERE {where}",
        values,
    )


def describes(journal: Journal) -> bool:
    """Whether the run's chains begin with what the describer finds, rather than with what was given."""
    return journal.pair_rows.batches() > 0 or not journal.is_ingested()


def wanted_pairs(journal: Journal, settings: Settings) -> int:
    """The pairs that the whole run has, if every chain reaches its last iteration and none is refused."""
    cycle = settings.cycle
    chains = cycle.batches * cycle.descriptions if describes(journal) else journal.ingested_rows() or 0
    return cycle.count or chains * cycle.iterations


def has_work(journal: Journal, settings: Settings, only_retried: bool) -> bool:
    """Whether anything is left to do; or anything that was taken up again."""
    cycle, rows = settings.cycle, journal.pair_rows
    if journal.pending_count(only_retried=only_retried):
        return True
    if cycle.count is not None and rows.verdicts()["accepted"] > cycle.count:
        return True  # killed before it was settled
    if only_retried or not describes(journal):
        return False
    return rows.batches() < cycle.batches if cycle.count is None else rows.accepted() < cycle.count
