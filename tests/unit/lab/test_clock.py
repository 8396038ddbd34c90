"""Virtual time: it jumps, it is the same twice, and it never hangs."""

from __future__ import annotations

import asyncio
import itertools
import socket
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from nullbay.domain.clock import Clock, ClockSync
from nullbay.lab.clock import (
    START,
    BusyLoopError,
    DeadlockError,
    NotSimulatedError,
    VirtualClock,
    run,
)

TWO_DAYS_S = 2 * 86_400.0


def test_time_jumps_to_the_next_timer() -> None:
    async def main(clock: VirtualClock) -> tuple[str, str, float]:
        before, from_s = clock.now().at, clock.boottime()
        await clock.sleep(TWO_DAYS_S)
        return before, clock.now().at, clock.boottime() - from_s

    assert run(main) == ("2026-01-05T06:00:00.000000Z", "2026-01-07T06:00:00.000000Z", TWO_DAYS_S)


def test_the_start_is_given() -> None:
    async def main(clock: VirtualClock) -> str:
        return clock.now().at

    assert run(main, start=datetime(2030, 5, 1, tzinfo=UTC)) == "2030-05-01T00:00:00.000000Z"
    with pytest.raises(ValueError, match="time zone"):
        run(main, start=datetime(2030, 5, 1))  # noqa: DTZ001


async def rack_day(clock: VirtualClock) -> list[tuple[str, str, int]]:
    """Tasks that meet, race, cancel each other and wake each other."""
    log: list[tuple[str, str, int]] = []
    queue: asyncio.Queue[int] = asyncio.Queue(3)

    def note(what: str) -> None:
        stamp = clock.now()
        log.append((what, stamp.at, stamp.boottime_us))

    async def bay(number: int) -> None:
        try:
            for block in range(20):
                clock.wait_blocking(0.1 * number)
                await clock.sleep(clock.take_owed_s() + 1)
                await queue.put(number * 100 + block)
                note(f"bay {number} block {block}")
            await asyncio.Event().wait()
        finally:
            note(f"bay {number} stops")

    async def reader() -> None:
        for _ in range(100):
            note(f"read {await queue.get()}")
        raise LookupError("enough")

    async def rack() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(1, 6):
                group.create_task(bay(number))
            group.create_task(reader())

    with pytest.raises(ExceptionGroup):
        await rack()
    return log


def test_two_runs_give_the_same_log() -> None:
    one, other = run(rack_day), run(rack_day)
    assert one == other
    assert len(one) == 205


def test_another_process_gives_the_same_log() -> None:
    """Sets of tasks must not be walked in the order of memory addresses."""
    code = (
        "import sys; sys.path[0:0] = sys.argv[1:]\n"
        "import test_clock as t\n"
        "ballast = [bytearray(n * 37) for n in range(999)]\n"
        "print(t.run(t.rack_day))"
    )
    here = __file__.rpartition("/")[0]
    logs = {
        subprocess.run(
            [sys.executable, "-B", "-c", code, here],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": str(seed)},
        ).stdout
        for seed in (1, 2)
    }
    assert logs == {f"{run(rack_day)}\n"}


def test_a_timeout_counts_virtual_seconds() -> None:
    async def main(clock: VirtualClock) -> float:
        from_s = clock.boottime()
        with pytest.raises(TimeoutError):
            async with clock.timeout(30):
                await asyncio.Event().wait()
        async with clock.timeout(None):
            await clock.sleep(1)
        return clock.boottime() - from_s

    assert run(main) == 31


def test_owed_time_shows_at_once_and_is_handed_over_once() -> None:
    async def main(clock: Clock) -> list[float]:
        assert isinstance(clock, VirtualClock)
        from_s, seen = clock.boottime(), []
        clock.wait_blocking(5)
        clock.wait_blocking(0)
        clock.wait_blocking(-1)
        seen.append(clock.boottime() - from_s)
        stamp = clock.now()
        await clock.sleep(clock.take_owed_s())
        assert clock.now() == stamp
        seen.append(clock.boottime() - from_s)
        seen.append(clock.take_owed_s())
        return seen

    assert run(main) == [5, 5, 0]


def test_everybody_waiting_for_nobody_is_told() -> None:
    async def waits_in_vain(clock: VirtualClock) -> None:
        await clock.sleep(10)
        await asyncio.Event().wait()

    with pytest.raises(DeadlockError, match="waits_in_vain") as told:
        run(waits_in_vain)
    assert told.value.code == "lab.deadlock"


def test_a_deadlock_among_tasks_names_them() -> None:
    async def main(clock: VirtualClock) -> None:
        locks = asyncio.Lock(), asyncio.Lock()

        async def takes(first: int) -> None:
            async with locks[first]:
                await clock.sleep(1)
                async with locks[1 - first]:
                    pass

        async with asyncio.TaskGroup() as group:
            group.create_task(takes(0), name="left")
            group.create_task(takes(1), name="right")

    with pytest.raises(DeadlockError, match=r"left at .*right at "):
        run(main)


def test_running_in_circles_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nullbay.lab.clock.STEPS_WITHOUT_TIME_MAX", 1000)

    async def main(clock: VirtualClock) -> None:
        while True:
            await clock.sleep(0)

    with pytest.raises(BusyLoopError):
        run(main)


def test_threads_and_sockets_are_refused() -> None:
    async def thread(_clock: VirtualClock) -> None:
        await asyncio.to_thread(print)

    async def watch(_clock: VirtualClock) -> None:
        here, there = socket.socketpair()
        with here, there:
            asyncio.get_running_loop().add_reader(here, print)

    for main in (thread, watch):
        with pytest.raises(NotSimulatedError):
            run(main)


def test_a_callback_from_elsewhere_arrives() -> None:
    async def main(_clock: VirtualClock) -> str:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[str] = loop.create_future()
        loop.call_soon_threadsafe(future.set_result, "here")
        return await future

    assert run(main) == "here"


def test_the_wall_clock_jumps_and_timers_do_not_notice() -> None:
    async def main(clock: VirtualClock) -> tuple[str, float]:
        from_s = clock.boottime()
        clock.jump_wall(-3600)
        await clock.sleep(60)
        return clock.now().at, clock.boottime() - from_s

    assert run(main) == ("2026-01-05T05:01:00.000000Z", 60)


def test_a_reboot_brings_a_new_boot_id_and_boot_time_from_zero() -> None:
    async def main(clock: VirtualClock) -> None:
        before = clock.now()
        await clock.sleep(100)
        clock.reboot(off_s=600)
        after = clock.now()
        assert after.boot_id != before.boot_id
        assert after.boottime_us == 0
        assert after.at == "2026-01-05T06:11:40.000000Z"
        await clock.sleep(1)
        assert clock.now().boottime_us == 1_000_000

    run(main)


def test_boot_ids_come_from_the_seed() -> None:
    async def main(clock: VirtualClock) -> str:
        return clock.now().boot_id

    assert run(main) == run(main)
    assert run(main) != run(main, seed=1)


def test_the_sync_state_is_settable() -> None:
    async def main(clock: VirtualClock) -> tuple[ClockSync, ClockSync]:
        before = clock.now().sync
        clock.set_sync(ClockSync.UNSYNCHRONISED)
        return before, clock.now().sync

    assert run(main) == (ClockSync.SYNCHRONISED, ClockSync.UNSYNCHRONISED)


def test_errors_of_the_program_come_out() -> None:
    async def main(clock: VirtualClock) -> None:
        await clock.sleep(1)
        raise LookupError("as it is")

    with pytest.raises(LookupError, match="as it is"):
        run(main)


def test_stamps_are_exact_for_weeks() -> None:
    async def main(clock: VirtualClock) -> list[int]:
        stamps = []
        for _ in range(5):
            await clock.sleep(604_800 + 0.001)
            stamps.append(clock.now().boottime_us)
        return stamps

    stamps = run(main)
    assert all(
        abs(later - earlier - 604_800_001_000) <= 1 for earlier, later in itertools.pairwise(stamps)
    )
    assert START.tzinfo is UTC
