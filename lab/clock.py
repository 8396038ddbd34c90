"""A clock for simulations: time jumps to the next timer, and nothing ever really waits.

`run` gives a coroutine an event loop of its own whose time is a number. When every task waits, the
number becomes the moment of the earliest timer. The same program therefore gives the same events
at the same times on every machine: there are no threads, no sockets and no real clock in it.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import selectors
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from contextvars import Context
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn, TypeVar, TypeVarTuple

from nullbay.domain.clock import ClockSync, Stamp, SystemClock, rfc3339
from nullbay.domain.errors import NullbayError

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

START = datetime(2026, 1, 5, 6, 0, tzinfo=UTC)
"""A Monday morning, early shift."""
UPTIME_AT_START_S = 60.0
STEPS_WITHOUT_TIME_MAX = 1_000_000
TASKS_SHOWN_MAX = 20


class DeadlockError(NullbayError):
    """Every task waits and no timer is set: virtual time would stand for ever."""

    code = "lab.deadlock"


class BusyLoopError(NullbayError):
    """Tasks run on and on without letting virtual time pass."""

    code = "lab.busy-loop"


class NotSimulatedError(NullbayError):
    """Threads, sockets and processes run in real time; virtual time has no place for them."""

    code = "lab.not-simulated"


class VirtualClock:
    """`domain.clock.Clock` on the loop that `run` made.

    Blocking code (a drive process's lanes, inline) spends time by `wait_blocking`. That time is
    owed: this clock shows it at once, and whoever called the blocking code lets it pass for
    everybody by sleeping for `take_owed_s()` (`wipers.lanes.InlineExecutor` does).
    """

    def __init__(self, loop: VirtualLoop, *, start: datetime, seed: int) -> None:
        self._loop = loop
        self._waits = SystemClock()
        self._seed = seed
        self._boots = 0
        self._wall_at_zero = start
        self._boottime_at_zero = UPTIME_AT_START_S
        self._owed_s = 0.0
        self._sync = ClockSync.SYNCHRONISED
        self._boot_id = self._make_boot_id()

    def now(self) -> Stamp:
        """This moment, owed time included."""
        wall = self._wall_at_zero + timedelta(seconds=self._elapsed_s())
        boottime_us = int(self.boottime() * 1_000_000)
        return Stamp(rfc3339(wall), boottime_us, self._boot_id, self._sync)

    def boottime(self) -> float:
        """Seconds since the virtual boot, owed time included."""
        return self._boottime_at_zero + self._elapsed_s()

    async def sleep(self, seconds: float) -> None:
        """Wait in a task; costs no real time."""
        await self._waits.sleep(seconds)

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[object]:
        """Cancel what runs inside after so much virtual time."""
        return self._waits.timeout(seconds)

    def wait_blocking(self, seconds: float) -> None:
        """Owe this much time; it passes for other tasks once the caller's caller sleeps for it."""
        if seconds > 0:
            self._owed_s += seconds

    def take_owed_s(self) -> float:
        """What blocking code has spent since the last call, in seconds; it is forgotten here.

        Sleep for it before the next await: until then this clock is back at the loop's time.
        """
        owed, self._owed_s = self._owed_s, 0.0
        return owed

    def set_sync(self, sync: ClockSync) -> None:
        """What the kernel is to say about synchronisation from now on."""
        self._sync = sync

    def jump_wall(self, seconds: float) -> None:
        """Set the wall clock forward, or back; boot time and timers do not notice."""
        self._wall_at_zero += timedelta(seconds=seconds)

    def reboot(self, *, off_s: float = 0.0) -> None:
        """A new boot id, boot time from zero, the wall clock `off_s` later. Timers are kept.

        What a reboot does to tasks and drives is the caller's to play: cancel the ones, cut the
        power of the others.
        """
        self._boots += 1
        self._boot_id = self._make_boot_id()
        self._boottime_at_zero = -self._elapsed_s()
        self.jump_wall(off_s)

    def _elapsed_s(self) -> float:
        return self._loop.time() + self._owed_s

    def _make_boot_id(self) -> str:
        raw = hashlib.sha256(f"nullbay lab boot {self._seed} {self._boots}".encode()).hexdigest()
        return f"{raw[:8]}-{raw[8:12]}-4{raw[13:16]}-8{raw[17:20]}-{raw[20:32]}"


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is a number, moved on when every task waits."""

    def __init__(self) -> None:
        self._time_s = 0.0
        self._steps = 0
        super().__init__(_NoWaiting(self._idle))
        numbers = itertools.count(1)

        def make(loop: asyncio.AbstractEventLoop, coro: Any, **given: Any) -> asyncio.Task[Any]:
            return _NumberedTask(next(numbers), coro, loop=loop, **given)

        self.set_task_factory(make)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._time_s

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """There is one thread: the same as call_soon, without waking anybody through a pipe."""
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Any, *args: Any
    ) -> NoReturn:
        """Refused: a thread would finish at a real time."""
        raise NotSimulatedError(
            f"A thread was asked for in virtual time, to run {func!r}"[:300],
            next_step="Run it inline, through wipers.lanes.InlineExecutor",
        )

    def _idle(self, timeout: float | None) -> None:
        """Asked by the loop where it would wait: 0 if tasks are ready, None if no timer is set."""
        if timeout is None:
            raise DeadlockError(
                "Every task waits and no timer is set: " + self._waiting(),
                next_step="Find who should have woken one of them",
            )
        if timeout > 0:
            self._time_s += timeout
            self._steps = 0
            return
        self._steps += 1
        if self._steps > STEPS_WITHOUT_TIME_MAX:
            self._steps = 0
            raise BusyLoopError(
                f"{STEPS_WITHOUT_TIME_MAX} steps of the loop and no time has passed: "
                + self._waiting(),
                next_step="Let one of them sleep, or wait for an event",
            )

    def _waiting(self) -> str:
        """Which tasks there are and the line each stands at."""
        tasks = sorted(asyncio.all_tasks(self), key=hash)
        places = []
        for task in tasks[:TASKS_SHOWN_MAX]:
            frames = task.get_stack(limit=1)
            where = f"{frames[0].f_code.co_qualname}:{frames[0].f_lineno}" if frames else "its end"
            places.append(f"{task.get_name()} at {where}")
        if len(tasks) > TASKS_SHOWN_MAX:
            places.append(f"and {len(tasks) - TASKS_SHOWN_MAX} more")
        return ", ".join(places) or "no task is left"


class _NumberedTask(asyncio.Task[T]):
    """A task that hashes by its number.

    asyncio keeps tasks in sets; in the order of memory addresses a TaskGroup would cancel its tasks
    in another order on every run.
    """

    def __init__(self, number: int, coro: Coroutine[Any, Any, T], **given: Any) -> None:
        self._number = number
        if given.get("name") is None:
            given["name"] = f"task-{number}"
        super().__init__(coro, **given)

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


class _NoWaiting(selectors.BaseSelector):
    """A selector in which nothing ever happens: it asks the loop to move its time instead."""

    def __init__(self, idle: Callable[[float | None], None]) -> None:
        self._idle = idle
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Take the loop's own wake-up pipe, which comes first; refuse everything else."""
        if self._keys:
            raise NotSimulatedError(
                "A socket or pipe was to be watched in virtual time",
                next_step="Use a port made of software in simulations",
            )
        key = selectors.SelectorKey(fileobj, fileobj, events, data)
        self._keys[fileobj] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """Give the loop's own pipe back."""
        return self._keys.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """No events; time moves instead."""
        self._idle(timeout)
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """What is registered."""
        return self._keys


def run(
    main: Callable[[VirtualClock], Coroutine[Any, Any, T]],
    *,
    start: datetime = START,
    seed: int = 0,
) -> T:
    """Run `main(clock)` to its end in virtual time and return what it returns.

    The wall clock begins at `start` (with a time zone), boot ids come from `seed`. Raises
    DeadlockError where time would never move again, BusyLoopError where nobody lets it, and
    NotSimulatedError for threads and sockets.
    """
    if start.tzinfo is None:
        raise ValueError("a start needs a time zone")
    loop = VirtualLoop()
    clock = VirtualClock(loop, start=start, seed=seed)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main(clock))
