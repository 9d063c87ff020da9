"""Merges the calls of many graph runs into batches for one model."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from queue import SimpleQueue
from typing import Generic, TypeAlias, TypeVar

from magid_graph.errors import OutOfMemory, RunStopped
from magid_graph.models.device import is_out_of_memory

Call = TypeVar("Call")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class BatchStatistics:
    """What a batcher did so far."""

    batches: int
    """Batches that were run, failed ones included."""
    calls: int
    """Calls in them; a call of a failing batch is counted again each time it runs."""
    busy_s: float
    waiting: int
    running: int
    """Calls handed to the model and not answered yet."""
    largest: int
    """Calls in the largest batch that succeeded."""
    max_batch: int
    """The limit in force: smaller than asked for once memory has run out."""


@dataclass(slots=True, eq=False)
class _Ticket(Generic[Call, Result]):
    """A call and whoever waits for its result."""

    number: int
    call: Call
    answer: asyncio.Future[Result]


class _Lane(Generic[Call, Result]):
    """The waiting calls of one group. Ordered dicts, because a cancelled call leaves from the middle."""

    def __init__(self) -> None:
        self.retries: OrderedDict[_Ticket[Call, Result], None] = OrderedDict()
        self.fresh: OrderedDict[_Ticket[Call, Result], None] = OrderedDict()

    def __len__(self) -> int:
        return len(self.retries) + len(self.fresh)

    def turn(self) -> tuple[bool, int]:
        """Sorts lanes: those with a retry first, then the longest wait."""
        first = next(iter(self.retries or self.fresh))
        return not self.retries, first.number

    def take(self, count: int) -> tuple[list[_Ticket[Call, Result]], int]:
        """The next tickets, and how many of them were fresh."""
        retries = list(islice(self.retries, count))
        fresh = list(islice(self.fresh, count - len(retries)))
        for ticket in retries:
            del self.retries[ticket]
        for ticket in fresh:
            del self.fresh[ticket]
        return retries + fresh, len(fresh)


_Batch: TypeAlias = list[_Ticket[Call, Result]]


class Batcher(Generic[Call, Result]):
    """Runs calls in batches on one thread of its own; belongs to the event loop that first submits to it.

    An idle model gets what is there at the end of the event loop's tick; calls that come while it is busy form the
    next batches, retries first, then in order of arrival, and only calls of an equal `group` share one. A batch that
    fails is run again in halves until the failing calls stand alone, so that each gets its own error; one that runs
    out of memory also lowers `max_batch` for good. A `RunStopped` goes to all callers of its batch at once.
    """

    def __init__(
        self,
        run: Callable[[list[Call]], Sequence[Result]],
        *,
        name: str,
        max_batch: int,
        max_waiting: int,
        group: Callable[[Call], Hashable] = lambda call: None,
    ) -> None:
        """`run` returns one result per call, in order. `submit` waits while `max_waiting` calls are queued."""
        if max_batch < 1 or max_waiting < 1:
            raise ValueError(f"`{name}`: max_batch and max_waiting must be at least 1")
        self.name = name
        self.max_batch = max_batch
        self._run = run
        self._group = group
        self._lanes: dict[Hashable, _Lane[Call, Result]] = {}
        self._suspects: deque[_Batch[Call, Result]] = deque()
        self._room = asyncio.Semaphore(max_waiting)
        self._inbox: SimpleQueue[_Batch[Call, Result] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop
        self._batches = 0
        self._calls = 0
        self._busy_s = 0.0
        self._largest = 0
        self._numbers = 0
        self._inside = 0
        self._handed: list[int] = []
        self._is_due = False
        self._is_closed = False
        self._is_dropping = False
        self._settled = asyncio.Event()

    async def submit(self, call: Call, *, retry: bool = False) -> Result:
        """The call's result. Raises what `run` raised for this call, or `RunStopped` once the batcher is closed.

        A retry goes before all fresh calls and does not wait for room: its caller has been through the queue.
        """
        if self._is_closed:
            raise self._closed()
        group = self._group(call)
        self._start()
        self._inside += 1
        try:
            if not retry:
                await self._room.acquire()
                if self._is_dropping:
                    self._room.release()
                    raise self._closed()
            return await self._enqueue(group, call, retry)
        finally:
            self._inside -= 1
            self._settle()

    async def aclose(self, *, drain: bool = True) -> None:
        """Refuse new calls, finish those that wait (or with `drain=False` fail them), and end the thread.

        The batch that is running is always waited for: a model cannot be interrupted.
        """
        self._is_closed = True
        if not drain:
            self._drop_waiting()
        self._settle()
        if self._thread is None:
            return
        await self._settled.wait()
        self._inbox.put(None)
        self._thread.join()

    def statistics(self) -> BatchStatistics:
        """A snapshot, for the live view."""
        waiting = sum(map(len, self._lanes.values())) + sum(map(len, self._suspects))
        return BatchStatistics(
            batches=self._batches,
            calls=self._calls,
            busy_s=self._busy_s,
            waiting=waiting,
            running=sum(self._handed),
            largest=self._largest,
            max_batch=self.max_batch,
        )

    # -- on the event loop, which is what serialises all of this ------------------------------------------------------

    def _start(self) -> None:
        if self._thread is None:
            self._loop = asyncio.get_running_loop()
            # A daemon, so that a second Ctrl-C does not have to wait for a picture that nobody wants any more.
            self._thread = threading.Thread(target=self._work, name=f"batcher-{self.name}", daemon=True)
            self._thread.start()

    async def _enqueue(self, group: Hashable, call: Call, retry: bool) -> Result:
        self._numbers += 1
        ticket: _Ticket[Call, Result] = _Ticket(self._numbers, call, self._loop.create_future())
        lane = self._lanes.get(group)
        if lane is None:
            lane = self._lanes[group] = _Lane()
        (lane.retries if retry else lane.fresh)[ticket] = None
        if not self._is_due and (not self._handed or self._may_lay_ready(lane)):
            # Not at once: callers that were woken together in this tick belong into one batch.
            self._is_due = True
            self._loop.call_soon(self._dispatch)
        try:
            return await ticket.answer
        except asyncio.CancelledError:
            self._forget(group, ticket)
            raise

    def _forget(self, group: Hashable, ticket: _Ticket[Call, Result]) -> None:
        """Take a cancelled call out of the queue, if it still waits there."""
        lane = self._lanes.get(group)
        if lane is None:
            return
        lane.retries.pop(ticket, None)
        if ticket in lane.fresh:
            del lane.fresh[ticket]
            self._room.release()
        if not lane:
            del self._lanes[group]

    def _may_lay_ready(self, lane: _Lane[Call, Result]) -> bool:
        # A second batch is laid ready while the first one runs, or else the model idles until the event loop gets
        # round to it. Only a full one (it cannot grow), and only of a size that has been seen to fit the memory.
        return len(self._handed) == 1 and len(lane) >= self.max_batch <= self._largest

    def _dispatch(self) -> None:
        """Hand over what may go."""
        self._is_due = False
        while len(self._handed) < 2:
            if not self._handed and self._suspects:
                batch = self._next_suspects()
            elif self._lanes:
                group, lane = min(self._lanes.items(), key=lambda item: item[1].turn())
                if self._handed and (self._suspects or not self._may_lay_ready(lane)):
                    return
                batch = self._take(group, lane)
            else:
                return
            if batch:
                self._handed.append(len(batch))
                self._inbox.put(batch)

    def _take(self, group: Hashable, lane: _Lane[Call, Result]) -> _Batch[Call, Result]:
        batch, fresh = lane.take(self.max_batch)
        for _ in range(fresh):
            self._room.release()
        if not lane:
            del self._lanes[group]
        return batch

    def _next_suspects(self) -> _Batch[Call, Result]:
        """The next part of a batch that failed, without the callers that have gone since."""
        part = [ticket for ticket in self._suspects.popleft() if not ticket.answer.done()]
        if len(part) > self.max_batch:
            self._suspects.appendleft(part[self.max_batch :])
        return part[: self.max_batch]

    def _answer(self, batch: _Batch[Call, Result], results: Sequence[Result]) -> None:
        self._handed.pop(0)
        self._largest = max(self._largest, len(batch))
        self._dispatch()
        for ticket, result in zip(batch, results, strict=True):
            if not ticket.answer.done():
                ticket.answer.set_result(result)
        self._settle()

    def _fail(self, batch: _Batch[Call, Result], error: BaseException) -> None:
        self._handed.pop(0)
        if len(batch) == 1 or isinstance(error, RunStopped) or not isinstance(error, Exception):
            self._refuse(batch, error)
        elif self._is_dropping:
            self._refuse(batch, self._closed())
        else:
            half = len(batch) // 2
            if isinstance(error, OutOfMemory):
                self.max_batch = min(self.max_batch, half)
            self._suspects.extendleft([batch[half:], batch[:half]])
        self._dispatch()
        self._settle()

    def _drop_waiting(self) -> None:
        self._is_dropping = True
        for lane in list(self._lanes.values()):
            tickets, fresh = lane.take(len(lane))
            self._refuse(tickets, self._closed())
            for _ in range(fresh):
                self._room.release()
        for suspects in self._suspects:
            self._refuse(suspects, self._closed())
        self._lanes.clear()
        self._suspects.clear()

    def _refuse(self, tickets: _Batch[Call, Result], error: BaseException) -> None:
        for ticket in tickets:
            if not ticket.answer.done():
                ticket.answer.set_exception(error)

    def _closed(self) -> RunStopped:
        return RunStopped(f"`{self.name}` takes no more calls: it is closed")

    def _settle(self) -> None:
        if self._is_closed and not self._inside and not self._handed:
            self._settled.set()

    # -- on the worker thread -----------------------------------------------------------------------------------------

    def _work(self) -> None:
        while (batch := self._inbox.get()) is not None:
            report = self._outcome(batch)
            # The loop may have been closed over our head (second Ctrl-C): then nobody waits for the answer.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(report)
            del batch, report  # or an idle batcher would keep its last pictures alive

    def _outcome(self, batch: _Batch[Call, Result]) -> Callable[[], None]:
        """Run the batch; what comes back is to be called on the event loop."""
        started = time.perf_counter()
        try:
            results = self._run([ticket.call for ticket in batch])
            if len(results) != len(batch):
                raise ValueError(f"`{self.name}` gave {len(results)} results for {len(batch)} calls")
            return partial(self._answer, batch, results)
        except BaseException as error:
            return partial(self._fail, batch, _as_answer(error))
        finally:
            self._busy_s += time.perf_counter() - started
            self._batches += 1
            self._calls += len(batch)


def _as_answer(error: BaseException) -> BaseException:
    """The error as callers get it."""
    if isinstance(error, OutOfMemory) or is_out_of_memory(error):
        # Made anew: the original's traceback would keep the tensors alive that did not fit, while the halves run.
        return OutOfMemory(str(error))
    if isinstance(error, StopIteration):  # a future refuses to carry one
        return RuntimeError("the model raised StopIteration")
    return error
