"""Lanes: small workers that each do one block at a time, so that waiting is their caller's affair.

On a station each lane runs in a thread of the drive process; in simulation all lanes run inline on
virtual time, and a seeded day gives the same event log twice.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol, TypeVar

from nullbay.domain.clock import Clock

T = TypeVar("T")


class Lane(Protocol):
    """One worker."""

    def step(self) -> float | None:
        """Do one block. Seconds to wait before the next; None when there is nothing left to do."""
        ...


class LaneExecutor(Protocol):
    """Runs lanes to their end."""

    async def run(self, lanes: Sequence[Lane]) -> None:
        """Return when every lane is done; then raise the first exception of one, if any."""
        ...

    async def call(self, function: Callable[[], T]) -> T:
        """Run one blocking call to the drive."""
        ...


class ThreadExecutor:
    """A daemon thread for each lane: one stuck in the kernel can be left behind."""

    def __init__(self, clock: Clock, enter_lane: Callable[[], object] = lambda: None) -> None:
        """Waits go through `clock`; `enter_lane` drops privileges, in each lane's thread."""
        self._clock, self._enter_lane = clock, enter_lane

    async def run(self, lanes: Sequence[Lane]) -> None:
        """Start all, wait for all."""
        results = await asyncio.gather(
            *(self.call(lambda lane=lane: self._drive(lane)) for lane in lanes),  # type: ignore[misc]
            return_exceptions=True,
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def call(self, function: Callable[[], T]) -> T:
        """Not in the default executor: it joins its threads at exit, and a stuck one never ends."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def settle(result: T | None, error: BaseException | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]

        def work() -> None:
            result, error = None, None
            try:
                result = function()
            except BaseException as caught:  # noqa: BLE001 - handed to the awaiting task
                error = caught
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(settle, result, error)

        threading.Thread(target=work, name="lane", daemon=True).start()
        return await future

    def _drive(self, lane: Lane) -> None:
        self._enter_lane()
        while (wait_s := lane.step()) is not None:
            if wait_s > 0:
                self._clock.wait_blocking(wait_s)


class InlineExecutor:
    """All lanes on the event loop, block by block; the time a block took is slept afterwards."""

    def __init__(self, clock: Clock, take_owed_s: Callable[[], float]) -> None:
        """`take_owed_s` tells how long the calls since the last asking would have taken."""
        self._clock = clock
        self._take_owed_s = take_owed_s

    async def run(self, lanes: Sequence[Lane]) -> None:
        """Lanes take turns in a fixed order."""
        waiting = list(lanes)
        while waiting:
            for lane in tuple(waiting):
                wait_s = lane.step()
                await self._clock.sleep(self._take_owed_s() + (wait_s or 0.0))
                if wait_s is None:
                    waiting.remove(lane)

    async def call(self, function: Callable[[], T]) -> T:
        """Run it, then sleep what it owes."""
        try:
            return function()
        finally:
            await self._clock.sleep(self._take_owed_s())


class TimedCalls:
    """Single calls to a drive, and how long the oldest has been without an answer."""

    def __init__(self, executor: LaneExecutor, clock: Clock) -> None:
        """Calls go through `executor`."""
        self._executor, self._clock = executor, clock
        self._out: dict[int, float] = {}
        self._count = 0

    async def call(self, function: Callable[[], T]) -> T:
        """Run one."""
        self._count += 1
        token = self._count
        self._out[token] = self._clock.boottime()
        try:
            return await self._executor.call(function)
        finally:
            del self._out[token]

    def longest_s(self) -> float:
        """0 while none is out."""
        started = min(self._out.values(), default=None)
        return 0.0 if started is None else self._clock.boottime() - started
