"""The thread that writes to the journal: whatever is waiting goes into one transaction."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from magid_graph.errors import StorageFailed

Change: TypeAlias = Callable[[sqlite3.Connection], Any]
"""What one write does, inside a transaction."""

_GATHERING_S = 0.002
"""Writes that come this close together share a transaction, and wake the writing thread once."""


@dataclass(slots=True)
class _Write:
    run: Change
    done: asyncio.Future[Any] | None
    loop: asyncio.AbstractEventLoop | None


class Writer:
    """Takes changes from a running event loop; `open_` makes the connection that they are written through."""

    def __init__(self, open_: Callable[[], sqlite3.Connection]) -> None:
        self._open = open_
        self._writes: deque[_Write | None] = deque()
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._is_rung = False
        """The thread is about to look at what is waiting: to wake it takes longer than to lay a write down."""
        self._thread: threading.Thread | None = None
        self._fault: StorageFailed | None = None
        """Why a write failed; no further one is taken."""

    async def write(self, run: Change) -> None:
        """Return once the change is committed. Raises `StorageFailed`."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()
        self._put(_Write(run, done, loop))
        await done

    def put(self, run: Change) -> None:
        """Have the change written, in turn; nobody waits for it."""
        self._put(_Write(run, None, None))

    def close(self) -> None:
        """Write what was put, and end the thread."""
        if self._thread is not None:
            self._lay_down(None)
            self._thread.join()
            self._thread = None

    def _put(self, write: _Write) -> None:
        if self._fault is not None:
            raise self._fault
        if self._thread is None:
            self._thread = threading.Thread(target=self._write_all, args=(self._open(),), name="journal", daemon=True)
            self._thread.start()
        self._lay_down(write)

    def _lay_down(self, write: _Write | None) -> None:
        self._writes.append(write)
        if not self._is_rung:
            self._is_rung = True
            self._bell.put(None)

    def _write_all(self, db: sqlite3.Connection) -> None:
        stopped = False
        while not stopped:
            self._bell.get()
            time.sleep(_GATHERING_S)
            # Before looking: what is laid down from here on rings again.
            self._is_rung = False
            waiting = [self._writes.popleft() for _ in range(len(self._writes))]
            stopped = None in waiting
            self._fault = _commit(db, [write for write in waiting if write is not None]) or self._fault
            del waiting  # or an idle thread would keep the last writes alive
        db.close()


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
