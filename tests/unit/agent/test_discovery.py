"""Discovery on virtual time, with a monitor and a sysfs made of data."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nullbay.agent.discovery import DEAF, FAILED, STALLED, Discovery, Lister
from nullbay.agent.settling import Pace
from nullbay.domain.drive import Drive
from nullbay.domain.ports import Arrived, Departed, DriveEvent, DriveSource
from nullbay.lab.clock import VirtualClock, run
from support.stays import SLOTS, stay

PACE = Pace(
    settle_s=2.0,
    settle_max_s=10.0,
    spacing_s=0.5,
    relist_s=60.0,
    retry_s=10.0,
    patience_s=20.0,
    reset_s=30.0,
    reopen_s=1.0,
    reopen_max_s=16.0,
)


@dataclass
class Host:
    """A sysfs and its events; `slow_s` and `broken` are what the next listings suffer from."""

    clock: VirtualClock
    slots: dict[int, Drive] = field(default_factory=dict)
    slow_s: float = 0.0
    broken: Exception | None = None
    deaf: bool = False
    current: bool = True
    listings: list[float] = field(default_factory=list)
    openings: list[float] = field(default_factory=list)
    listing: int = 0
    tell: Callable[[str], None] = lambda _: None
    fail: Callable[[OSError], None] = lambda _: None

    def open(self, told: Callable[[str], None], failed: Callable[[OSError], None]) -> Host:
        self.openings.append(self.clock.boottime())
        if self.deaf:
            raise OSError(105, "No buffer space available")
        self.tell, self.fail, self.current = told, failed, True
        return self

    def is_current(self) -> bool:
        return self.current

    def close(self) -> None:
        self.tell = lambda _: None

    async def call(self, lister: Lister) -> tuple[Drive, ...]:
        assert self.listing == 0, "a listing was started on top of another"
        self.listing += 1
        try:
            found = lister()
            await self.clock.sleep(self.slow_s)
            return found
        finally:
            self.listing -= 1

    def list(self) -> tuple[Drive, ...]:
        self.listings.append(self.clock.boottime())
        if self.broken is not None:
            raise self.broken
        return tuple(self.slots.values())

    def put(self, slot: int, one: Drive | None, *, quietly: bool = False) -> None:
        self.slots.pop(slot, None)
        if one is not None:
            self.slots[slot] = one
        if not quietly:
            self.tell(f"sd{chr(97 + slot)}")


class Listener:
    """Notes every event with its time."""

    def __init__(self, host: Host, source: Discovery) -> None:
        self.source, self.host = source, host
        self.heard: list[tuple[float, DriveEvent]] = []
        self._task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        async for event in self.source.events():
            self.heard.append((self.host.clock.boottime(), event))

    @property
    def events(self) -> list[DriveEvent]:
        return [event for _, event in self.heard]

    async def stop(self) -> None:
        await self._task


Scene = Callable[[Host, Discovery, Listener], Coroutine[Any, Any, None]]


def play(scene: Scene, *first: tuple[int, Drive], **faults: Any) -> Listener:
    async def main(clock: VirtualClock) -> Listener:
        host = Host(clock, dict(first), **faults)
        source = Discovery(
            clock, lister=host.list, open_monitor=host.open, call=host.call, pace=PACE
        )
        async with source:
            listener = Listener(host, source)
            await scene(host, source, listener)
        await listener.stop()
        return listener

    return run(main)


def test_it_is_a_drive_source_and_ends() -> None:
    async def scene(host: Host, source: Discovery, _listener: Listener) -> None:
        as_port: DriveSource = source
        assert as_port.present() == (stay(0, "A", 1),)
        assert source.problems == ()
        await host.clock.sleep(300)

    assert play(scene, (0, stay(0, "A", 1))).events == []


def test_a_drive_arrives_once_it_is_quiet() -> None:
    async def scene(host: Host, source: Discovery, listener: Listener) -> None:
        began = host.clock.boottime()
        host.put(0, stay(0, "A", 1))
        for _ in range(6):
            await host.clock.sleep(0.5)
            host.tell("sda")
        assert listener.events == []
        assert source.settling == {"sda"}
        await host.clock.sleep(10)
        ((at, event),) = listener.heard
        assert event == Arrived(stay(0, "A", 1))
        assert at - began == pytest.approx(3.0 + PACE.settle_s, abs=0.1)
        assert source.present() == (stay(0, "A", 1),)
        assert source.settling == frozenset()

    play(scene)


def test_a_pull_is_told_and_a_swap_is_two_things() -> None:
    async def scene(host: Host, _source: Discovery, listener: Listener) -> None:
        host.put(0, None)
        await host.clock.sleep(5)
        assert listener.events == [Departed(SLOTS[0])]
        await host.clock.sleep(60)
        host.put(0, stay(0, "B", 2))
        await host.clock.sleep(5)
        host.put(0, stay(0, "C", 3))
        await host.clock.sleep(5)

    assert play(scene, (0, stay(0, "A", 1))).events == [
        Departed(SLOTS[0]),
        Arrived(stay(0, "B", 2)),
        Departed(SLOTS[0]),
        Arrived(stay(0, "C", 3)),
    ]


def test_a_link_reset_is_no_insertion() -> None:
    async def scene(host: Host, _source: Discovery, _listener: Listener) -> None:
        host.put(0, None)
        await host.clock.sleep(5)
        host.put(0, stay(0, "A", 2))
        await host.clock.sleep(5)

    assert play(scene, (0, stay(0, "A", 1))).events == [
        Departed(SLOTS[0]),
        Arrived(stay(0, "A", 2), after_reset=True),
    ]


def test_without_any_event_the_list_of_every_minute_finds_it() -> None:
    async def scene(host: Host, _source: Discovery, _listener: Listener) -> None:
        host.put(0, stay(0, "A", 1), quietly=True)
        await host.clock.sleep(PACE.relist_s + 1)

    assert play(scene).events == [Arrived(stay(0, "A", 1))]


def test_lost_events_cost_a_list_and_the_monitor_is_opened_anew() -> None:
    async def scene(host: Host, source: Discovery, listener: Listener) -> None:
        host.put(0, stay(0, "A", 1), quietly=True)
        host.fail(OSError(105, "No buffer space available"))
        await host.clock.sleep(0.9)
        assert listener.events == [Arrived(stay(0, "A", 1))]
        assert [one.code for one in source.problems] == [DEAF]
        host.put(1, stay(1, "B", 2), quietly=True)
        await host.clock.sleep(2)
        assert source.problems == ()
        assert listener.events[1:] == [Arrived(stay(1, "B", 2))]
        host.put(1, None)
        await host.clock.sleep(3)
        assert listener.events[2:] == [Departed(SLOTS[1])]

    play(scene)


def test_a_monitor_that_cannot_be_had_is_asked_for_with_back_off() -> None:
    async def scene(host: Host, source: Discovery, listener: Listener) -> None:
        assert [one.code for one in source.problems] == [DEAF]
        await host.clock.sleep(200)
        waits = [b - a for a, b in zip(host.openings, host.openings[1:], strict=False)]
        assert waits[:5] == pytest.approx([1, 2, 4, 8, 16], abs=0.1)
        assert max(waits) == pytest.approx(PACE.reopen_max_s, abs=0.1)
        # deaf, it still sees
        host.put(0, stay(0, "A", 1), quietly=True)
        await host.clock.sleep(PACE.reopen_max_s + 1)
        assert listener.events == [Arrived(stay(0, "A", 1))]
        host.deaf = False
        await host.clock.sleep(PACE.reopen_max_s + 1)
        assert source.problems == ()

    play(scene, deaf=True)


def test_when_udevd_starts_it_is_listened_to() -> None:
    async def scene(host: Host, _source: Discovery, _listener: Listener) -> None:
        host.current = False
        await host.clock.sleep(PACE.relist_s + 1)
        assert len(host.openings) == 2
        assert host.current

    play(scene)


def test_a_listing_that_hangs_is_reported_and_never_started_twice() -> None:
    async def scene(host: Host, source: Discovery, listener: Listener) -> None:
        host.slow_s = 500.0
        host.put(0, stay(0, "A", 1))
        await host.clock.sleep(PACE.settle_s + PACE.patience_s + 1)
        assert [one.code for one in source.problems] == [STALLED]
        host.put(1, stay(1, "B", 1))
        await host.clock.sleep(100)
        count = len(host.listings)
        host.slow_s = 0.0
        await host.clock.sleep(400)
        assert len(host.listings) > count
        assert source.problems == ()
        assert listener.events == [Arrived(stay(0, "A", 1)), Arrived(stay(1, "B", 1))]

    play(scene)


def test_what_a_hung_listing_read_is_not_believed() -> None:
    async def scene(host: Host, _source: Discovery, _listener: Listener) -> None:
        host.slow_s = 100.0
        host.put(0, stay(0, "A", 1))
        await host.clock.sleep(PACE.settle_s + 1)
        host.put(0, None, quietly=True)
        host.slow_s = 0.0
        await host.clock.sleep(200)

    assert play(scene).events == []


def test_where_even_the_first_list_hangs_nothing_counts_as_plugged_in() -> None:
    async def main(clock: VirtualClock) -> list[DriveEvent]:
        host = Host(clock, {0: stay(0, "A", 1)}, slow_s=100.0)
        source = Discovery(
            clock, lister=host.list, open_monitor=host.open, call=host.call, pace=PACE
        )
        async with source:
            assert clock.boottime() - 60 == pytest.approx(PACE.patience_s, abs=0.1)
            assert source.present() == ()
            host.slow_s = 0.0
            listener = Listener(host, source)
            await clock.sleep(200)
        await listener.stop()
        return listener.events

    assert run(main) == [Arrived(stay(0, "A", 1), after_reset=True)]


def test_a_listing_that_fails_is_reported_and_tried_again() -> None:
    async def scene(host: Host, source: Discovery, listener: Listener) -> None:
        host.broken = PermissionError(13, "no \x1b[31m sysfs")
        host.put(0, stay(0, "A", 1))
        await host.clock.sleep(5)
        (problem,) = source.problems
        assert problem.code == FAILED
        assert problem.detail.isprintable()
        assert listener.events == []
        host.broken = None
        await host.clock.sleep(PACE.retry_s + 1)
        assert source.problems == ()
        assert listener.events == [Arrived(stay(0, "A", 1))]

    play(scene)


def test_a_flood_of_events_is_listed_at_intervals() -> None:
    async def scene(host: Host, source: Discovery, _listener: Listener) -> None:
        before = len(host.listings)
        for number in range(20_000):
            host.tell(f"sd{number % 5000}")
            if number % 100 == 0:
                await host.clock.sleep(0.05)
        await host.clock.sleep(5)
        assert len(host.listings) - before <= 10.0 / PACE.spacing_s + 6
        assert source.settling == frozenset()

    play(scene)


def test_a_defect_in_it_is_no_empty_rack() -> None:
    async def main(clock: VirtualClock) -> None:
        host = Host(clock)

        def current() -> bool:
            raise RuntimeError("a defect")

        async with Discovery(
            clock, lister=host.list, open_monitor=host.open, call=host.call, pace=PACE
        ) as source:
            host.is_current = current  # type: ignore[method-assign]
            with pytest.raises(RuntimeError, match="a defect"):
                async for _ in source.events():
                    pass

    run(main)


happenings = st.lists(
    st.tuples(
        st.sampled_from(["plug", "swap", "pull", "noise", "lose", "fail", "slow", "wait"]),
        st.integers(0, 2),
        st.floats(0.0, 30.0),
    ),
    max_size=25,
)


@given(happenings)
def test_in_the_end_everybody_knows_what_is_there(script: list[tuple[str, int, float]]) -> None:
    async def scene(host: Host, source: Discovery, _listener: Listener) -> None:
        for diskseq, (what, slot, wait_s) in enumerate(script, start=10):
            match what:
                case "plug" | "swap":
                    host.put(slot, stay(slot, "A" if what == "plug" else "B", diskseq))
                case "pull":
                    host.put(slot, None)
                case "lose":
                    host.put(slot, stay(slot, "C", diskseq), quietly=True)
                case "noise":
                    host.tell(f"sd{chr(97 + slot)}")
                case "fail":
                    host.fail(OSError(105, "No buffer space available"))
                case "slow":
                    host.slow_s = 0.0 if host.slow_s else 25.0
                case _:
                    pass
            await host.clock.sleep(wait_s)
        host.slow_s = 0.0
        await host.clock.sleep(400)
        assert source.problems == ()
        assert set(source.present()) == set(host.slots.values())

    listener = play(scene, (0, stay(0, "A", 1)))
    there = {SLOTS[0]}
    for event in listener.events:
        if isinstance(event, Arrived):
            assert event.drive.attachment.device_path not in there
            there.add(event.drive.attachment.device_path)
        else:
            assert event.device_path in there
            there.remove(event.device_path)
    assert there == {one.attachment.device_path for one in listener.host.slots.values()}


def test_the_same_storm_gives_the_same_log() -> None:
    async def scene(host: Host, _source: Discovery, _listener: Listener) -> None:
        for diskseq in range(10, 30):
            host.put(diskseq % 3, stay(diskseq % 3, "ABC"[diskseq % 2], diskseq))
            await host.clock.sleep(1.7)
        await host.clock.sleep(100)

    assert play(scene).heard == play(scene).heard
