"""The micro-batcher: who shares a batch, who waits, and who gets which error."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from magid_graph.errors import ItemError, ModelUnavailable, OutOfMemory, RunStopped
from magid_graph.models.batcher import Batcher


class PoisonedError(ItemError):
    """The call in its message cannot be served."""


class Device:
    """Doubles numbers, slowly if asked, and remembers its batches. Refuses what is poisoned or does not fit."""

    def __init__(self, *, poison: Sequence[int] = (), fits: int = 10**9, seconds: float = 0.0) -> None:
        self.poison = set(poison)
        self.fits = fits
        self.seconds = seconds
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, calls: list[int]) -> list[int]:
        self.gate.wait(5)
        time.sleep(self.seconds)
        self.batches.append(calls)
        if len(calls) > self.fits:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20 GiB")
        if bad := self.poison.intersection(calls):
            raise PoisonedError(str(sorted(bad)))
        return [2 * call for call in calls]


Outcomes = list[int | BaseException]


async def submit_all(batcher: Batcher[int, int], calls: Sequence[int]) -> Outcomes:
    return await asyncio.gather(*map(batcher.submit, calls), return_exceptions=True)


def outcomes(
    device: Callable[[list[int]], Sequence[int]], calls: Sequence[int], *, max_batch: int = 4, max_waiting: int = 1000
) -> Outcomes:
    """Submit the calls together, in a loop of their own."""

    async def run() -> Outcomes:
        batcher = Batcher(device, name="device", max_batch=max_batch, max_waiting=max_waiting)
        try:
            return await asyncio.wait_for(submit_all(batcher, calls), 20)
        finally:
            await batcher.aclose()

    return asyncio.run(run())


async def queued(batcher: Batcher[int, int], calls: Sequence[int], *, retry: bool = False) -> list[asyncio.Task[int]]:
    """Submit the calls one after the other, and return when each has been taken up."""
    tasks = [asyncio.ensure_future(batcher.submit(call, retry=retry)) for call in calls]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


async def raised(awaitable: Awaitable[object]) -> BaseException | None:
    return (await asyncio.gather(awaitable, return_exceptions=True))[0]  # type: ignore[return-value]


# -- what shares a batch ----------------------------------------------------------------------------------------------


def test_calls_of_one_tick_share_batches_and_each_gets_its_own_result() -> None:
    device = Device()
    assert outcomes(device, range(10), max_batch=4) == [2 * n for n in range(10)]
    assert device.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


async def test_an_idle_model_starts_at_once_and_a_busy_one_gathers() -> None:
    device = Device()
    batcher = Batcher(device, name="device", max_batch=8, max_waiting=100)
    device.gate.clear()
    tasks = await queued(batcher, [1])
    tasks += await queued(batcher, [2])
    tasks += await queued(batcher, [3])
    device.gate.set()
    assert await asyncio.gather(*tasks) == [2, 4, 6]
    assert device.batches == [[1], [2, 3]]
    await batcher.aclose()


async def test_retries_go_first_then_the_order_of_arrival() -> None:
    device = Device()
    batcher = Batcher(device, name="device", max_batch=2, max_waiting=100)
    device.gate.clear()
    tasks = await queued(batcher, [1])
    tasks += await queued(batcher, [2, 3, 4])
    tasks += await queued(batcher, [5, 6, 7], retry=True)
    device.gate.set()
    await asyncio.gather(*tasks)
    assert device.batches == [[1], [5, 6], [7, 2], [3, 4]]
    await batcher.aclose()


async def test_only_calls_of_an_equal_group_share_a_batch_and_no_group_starves() -> None:
    device = Device()
    batcher = Batcher(device, name="device", max_batch=3, max_waiting=100, group=lambda call: call % 2)
    device.gate.clear()
    tasks = await queued(batcher, [1])
    tasks += await queued(batcher, [2, 3, 4, 5, 7, 9, 6])
    device.gate.set()
    await asyncio.gather(*tasks)
    assert device.batches == [[1], [2, 4, 6], [3, 5, 7], [9]]
    await batcher.aclose()


async def test_a_full_batch_is_laid_ready_while_one_of_its_size_runs() -> None:
    device = Device()
    batcher = Batcher(device, name="device", max_batch=2, max_waiting=100)
    await submit_all(batcher, [1, 2])
    device.gate.clear()
    tasks = await queued(batcher, [3, 4])
    tasks += await queued(batcher, [5, 6, 7])
    assert (batcher.statistics().running, batcher.statistics().waiting) == (4, 1)
    device.gate.set()
    await asyncio.gather(*tasks)
    assert device.batches == [[1, 2], [3, 4], [5, 6], [7]]
    await batcher.aclose()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=60), st.integers(1, 7), st.integers(1, 9))
def test_groups_are_never_mixed_and_batches_never_too_large(
    calls: list[tuple[int, bool]], max_batch: int, max_waiting: int
) -> None:
    seen: list[list[tuple[int, int]]] = []

    def run(batch: list[tuple[int, int]]) -> list[tuple[int, int]]:
        seen.append(batch)
        return batch

    async def submit() -> None:
        batcher = Batcher(run, name="device", max_batch=max_batch, max_waiting=max_waiting, group=lambda call: call[0])
        numbered = [(group, n) for n, (group, _) in enumerate(calls)]
        asked = [batcher.submit(call, retry=retry) for call, (_, retry) in zip(numbered, calls, strict=True)]
        assert await asyncio.wait_for(asyncio.gather(*asked), 20) == numbered
        await batcher.aclose()

    asyncio.run(submit())
    assert sorted(call for batch in seen for call in batch) == sorted((g, n) for n, (g, _) in enumerate(calls))
    assert all(len(batch) <= max_batch and len({group for group, _ in batch}) == 1 for batch in seen)


# -- bounded, cancellable, closable -----------------------------------------------------------------------------------


async def test_submit_waits_for_room_but_a_retry_does_not() -> None:
    device = Device()
    batcher = Batcher(device, name="device", max_batch=1, max_waiting=2)
    device.gate.clear()
    tasks = await queued(batcher, [1])
    tasks += await queued(batcher, [2, 3, 4, 5])
    assert batcher.statistics().waiting == 2
    tasks += await queued(batcher, [6], retry=True)
    assert batcher.statistics().waiting == 3
    device.gate.set()
    assert await asyncio.gather(*tasks) == [2, 4, 6, 8, 10, 12]
    assert device.batches == [[1], [6], [2], [3], [4], [5]]
    await batcher.aclose()


async def test_a_cancelled_caller_takes_its_waiting_call_along_and_frees_its_room() -> None:
    device = Device()
    batcher = Batcher(device, name="device", max_batch=4, max_waiting=2)
    device.gate.clear()
    (running,) = await queued(batcher, [1])
    waiting = await queued(batcher, [2, 3, 4])
    waiting[0].cancel()
    running.cancel()
    device.gate.set()
    assert await asyncio.gather(*waiting[1:]) == [6, 8]
    assert sorted(call for batch in device.batches for call in batch) == [1, 3, 4]
    assert await submit_all(batcher, [5, 6, 7]) == [10, 12, 14]
    await batcher.aclose()


async def test_a_cancelled_caller_of_a_failing_batch_is_not_run_again() -> None:
    device = Device(poison=[2])
    batcher = Batcher(device, name="device", max_batch=4, max_waiting=9)
    device.gate.clear()
    tasks = await queued(batcher, [1, 2, 3])
    tasks[2].cancel()
    device.gate.set()
    assert isinstance(await raised(tasks[1]), PoisonedError)
    assert device.batches == [[1, 2, 3], [1], [2]]
    await batcher.aclose()


async def test_closing_finishes_what_waits_and_refuses_what_comes() -> None:
    device = Device(seconds=0.01)
    batcher = Batcher(device, name="device", max_batch=2, max_waiting=3)
    tasks = await queued(batcher, range(8))
    closing = asyncio.ensure_future(batcher.aclose())
    await asyncio.sleep(0)
    with pytest.raises(RunStopped, match="`device` takes no more calls"):
        await batcher.submit(9)
    assert await asyncio.gather(*tasks) == [2 * n for n in range(8)]
    await closing
    assert "batcher-device" not in [thread.name for thread in threading.enumerate()]


async def test_closing_without_draining_keeps_the_running_batch_and_stops_the_rest() -> None:
    device = Device()
    batcher = Batcher(device, name="device", max_batch=1, max_waiting=2)
    device.gate.clear()
    tasks = await queued(batcher, range(6))
    closing = asyncio.ensure_future(batcher.aclose(drain=False))
    await asyncio.sleep(0.01)
    assert not closing.done()
    device.gate.set()
    await closing
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert ends[0] == 0
    assert [type(end) for end in ends[1:]] == [RunStopped] * 5
    assert device.batches == [[0]]


async def test_a_batcher_that_was_never_used_closes_and_so_does_a_closed_one() -> None:
    batcher = Batcher(Device(), name="device", max_batch=1, max_waiting=1)
    await batcher.aclose()
    await batcher.aclose()


def test_an_event_loop_that_ends_mid_batch_leaves_no_noise(capfd: pytest.CaptureFixture[str]) -> None:
    device = Device(seconds=0.05)

    async def give_up() -> None:
        batcher = Batcher(device, name="hasty", max_batch=1, max_waiting=1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(batcher.submit(1), 0.01)

    asyncio.run(give_up())
    time.sleep(0.1)
    assert capfd.readouterr() == ("", "")


# -- failing ----------------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 40), st.sets(st.integers(0, 39)), st.integers(1, 9), st.integers(1, 50))
def test_exactly_the_poison_calls_fail_each_with_its_own_error(
    count: int, poison: set[int], max_batch: int, max_waiting: int
) -> None:
    device = Device(poison=list(poison))
    ends = outcomes(device, range(count), max_batch=max_batch, max_waiting=max_waiting)
    for call, end in enumerate(ends):
        if call in poison:
            assert isinstance(end, PoisonedError)
            assert str(end) == f"[{call}]"
        else:
            assert end == 2 * call
    assert max(map(len, device.batches), default=0) <= max_batch


def test_one_poison_call_among_sixteen_costs_a_logarithm_of_batches() -> None:
    device = Device(poison=[5])
    ends = outcomes(device, range(16), max_batch=16)
    assert [call for call, end in enumerate(ends) if isinstance(end, PoisonedError)] == [5]
    assert len(device.batches) == 1 + 2 * 4


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 40), st.integers(1, 16), st.integers(1, 16), st.sets(st.integers(0, 39), max_size=3))
def test_out_of_memory_halves_until_it_fits_and_remembers(
    count: int, max_batch: int, fits: int, poison: set[int]
) -> None:
    device = Device(fits=fits, poison=list(poison))
    ends = outcomes(device, range(count), max_batch=max_batch)
    assert [isinstance(end, PoisonedError) or end == 2 * call for call, end in enumerate(ends)] == [True] * count
    assert [call for call, end in enumerate(ends) if isinstance(end, PoisonedError)] == sorted(
        call for call in poison if call < count
    )
    too_large = [len(batch) for batch in device.batches if len(batch) > fits]
    assert too_large == sorted(set(too_large), reverse=True), "a size that did not fit was tried again"


async def test_out_of_memory_lowers_the_limit_that_statistics_show() -> None:
    batcher = Batcher(Device(fits=3), name="device", max_batch=16, max_waiting=99)
    assert await submit_all(batcher, range(16)) == [2 * n for n in range(16)]
    assert batcher.statistics().max_batch == 2
    assert batcher.statistics().largest == 2
    await batcher.aclose()


@pytest.mark.parametrize(
    "error",
    [
        OutOfMemory("the picture is too large"),
        MemoryError("malloc"),
        type("OutOfMemoryError", (RuntimeError,), {})("allocation failed"),
        RuntimeError("MPS backend out of memory (MPS allocated: 18 GB)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_single_call_that_does_not_fit_fails_with_out_of_memory(error: Exception) -> None:
    def run(calls: list[int]) -> list[int]:
        raise error

    ends = outcomes(run, [1, 2])
    assert [type(end) for end in ends] == [OutOfMemory] * 2
    assert str(error) in str(ends[0])


def test_what_did_not_fit_is_freed_before_the_halves_run() -> None:
    class Tensor:
        pass

    tensors: list[weakref.ref[Tensor]] = []
    alive: list[bool] = []

    def run(calls: list[int]) -> list[int]:
        alive.append(any(tensor() is not None for tensor in tensors))
        tensor = Tensor()
        tensors.append(weakref.ref(tensor))
        if len(calls) > 1:
            raise RuntimeError("CUDA out of memory")
        return calls

    gc.disable()
    try:
        assert outcomes(run, [1, 2]) == [1, 2]
    finally:
        gc.enable()
    assert alive == [False, False, False]


def test_a_fault_that_stops_the_run_reaches_all_callers_without_bisecting() -> None:
    batches: list[list[int]] = []

    def run(calls: list[int]) -> list[int]:
        batches.append(calls)
        raise ModelUnavailable("`pocket:sd` is gone")

    ends = outcomes(run, range(4))
    assert [type(end) for end in ends] == [ModelUnavailable] * 4
    assert batches == [[0, 1, 2, 3]]


def test_a_model_that_returns_too_few_results_is_found_out() -> None:
    ends = outcomes(lambda calls: calls[:-1], [1, 2])
    assert [str(end) for end in ends] == ["`device` gave 0 results for 1 calls"] * 2


def test_a_model_that_raises_stop_iteration_does_not_hang_its_callers() -> None:
    def run(calls: list[int]) -> list[int]:
        raise StopIteration

    assert [type(end) for end in outcomes(run, [1, 2])] == [RuntimeError] * 2


def test_limits_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Batcher(Device(), name="device", max_batch=0, max_waiting=1)


# -- how fast ---------------------------------------------------------------------------------------------------------


async def test_statistics_tell_how_busy_the_model_was() -> None:
    batcher = Batcher(Device(seconds=0.01), name="device", max_batch=5, max_waiting=99)
    started = time.perf_counter()
    await submit_all(batcher, range(50))
    elapsed = time.perf_counter() - started
    seen = batcher.statistics()
    assert (seen.batches, seen.calls, seen.waiting, seen.running, seen.largest) == (10, 50, 0, 0, 5)
    assert 0.1 <= seen.busy_s <= elapsed
    await batcher.aclose()


async def test_thousands_of_calls_a_second_and_little_waiting_for_a_lone_one() -> None:
    # Bars far below what a quiet machine does (~70,000 calls/s, ~0.08 ms), so that a busy one passes too.
    batcher: Batcher[int, int] = Batcher(lambda calls: calls, name="device", max_batch=16, max_waiting=256)
    started = time.perf_counter()
    await submit_all(batcher, range(5000))
    assert 5000 / (time.perf_counter() - started) > 3000
    lone = []
    for call in range(200):
        started = time.perf_counter()
        await batcher.submit(call)
        lone.append(time.perf_counter() - started)
    assert sorted(lone)[100] < 0.002
    await batcher.aclose()
