"""Loop devices of this kernel come and go, and are noticed through its own events."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from nullbay.agent import discovery
from nullbay.agent.discovery import DEAF, Discovery, UdevMonitor
from nullbay.agent.settling import Pace
from nullbay.domain.clock import SystemClock
from nullbay.domain.drive import Drive
from nullbay.domain.ports import Arrived, Departed, DriveEvent
from nullbay.wipers.platform import loop
from nullbay.wipers.platform.discover import list_drives

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="loop devices need root")

PATIENCE_S = 60.0
QUICK = Pace(settle_s=0.3, spacing_s=0.1, relist_s=3600.0)
"""Only events can lead to a listing in time."""


class Loops:
    """Loop devices on files of our own; everything else is left alone and not listened to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.attached: list[loop.AttachedLoop] = []

    def attach(self, name: str) -> loop.AttachedLoop:
        file = self.folder / name
        with file.open("ab") as opened:
            opened.truncate(1 << 20)
        one = loop.attach(file)
        self.attached.append(one)
        return one

    def detach(self, one: loop.AttachedLoop) -> None:
        self.attached.remove(one)
        loop.detach(one)

    def mine(self) -> tuple[Drive, ...]:
        return tuple(
            one
            for one in list_drives()
            if str(self.folder) in one.observed.media_source
            or any(one.attachment.nodes[0].diskseq == my.diskseq for my in self.attached)
        )


@pytest.fixture
def loops(tmp_path: Path) -> Iterator[Loops]:
    made = Loops(tmp_path)
    yield made
    for one in list(made.attached):
        made.detach(one)


def path_of(one: loop.AttachedLoop) -> str:
    return f"/sys/devices/virtual/block/{Path(one.device).name}"


async def hear(events: AsyncIterator[DriveEvent]) -> DriveEvent:
    async with SystemClock().timeout(PATIENCE_S):
        return await anext(events)


def discover(loops: Loops, **given: object) -> Discovery:
    return Discovery(SystemClock(), lister=loops.mine, pace=QUICK, **given)  # type: ignore[arg-type]


def test_attached_and_detached_devices_are_noticed(loops: Loops) -> None:
    first = loops.attach("there-before")

    async def main() -> None:
        async with discover(loops) as source:
            assert source.problems == ()
            (present,) = source.present()
            assert present.attachment.device_path == path_of(first)
            events = source.events()
            second = loops.attach("later")
            arrived = await hear(events)
            assert isinstance(arrived, Arrived)
            assert arrived.drive.attachment.device_path == path_of(second)
            assert arrived.drive.attachment.nodes[0].diskseq == second.diskseq
            assert arrived.drive.observed.size_bytes == 1 << 20
            assert not arrived.after_reset
            loops.detach(first)
            assert await hear(events) == Departed(path_of(first))
            assert [one.attachment.device_path for one in source.present()] == [path_of(second)]

    asyncio.run(main())


def test_many_at_once_arrive_once_each(loops: Loops) -> None:
    async def main() -> None:
        async with discover(loops) as source:
            events = source.events()
            made = {path_of(loops.attach(f"d{number}")) for number in range(8)}
            heard = [await hear(events) for _ in made]
            assert all(isinstance(one, Arrived) for one in heard)
            assert {one.attachment.device_path for one in source.present()} == made
            for one in list(loops.attached):
                loops.detach(one)
            gone = {await hear(events) for _ in made}
            assert gone == {Departed(path) for path in made}

    asyncio.run(main())


def test_a_monitor_that_dies_is_opened_anew(loops: Loops) -> None:
    opened: list[UdevMonitor] = []
    clock = SystemClock()

    def opener(told: Callable[[str], None], failed: Callable[[OSError], None]) -> UdevMonitor:
        opened.append(UdevMonitor(told, failed))
        return opened[-1]

    async def main() -> None:
        async with discover(loops, open_monitor=opener) as source:
            events = source.events()
            # what libudev's own socket says when it overflows
            opened[0]._monitor = _Overflowing(opened[0]._monitor)
            first = loops.attach("while-deaf")
            arrived = await hear(events)
            assert isinstance(arrived, Arrived)
            async with clock.timeout(PATIENCE_S):
                while len(opened) < 2 or any(one.code == DEAF for one in source.problems):
                    await clock.sleep(0.05)
            loops.detach(first)
            assert await hear(events) == Departed(path_of(first))

    asyncio.run(main())


class _Overflowing:
    def __init__(self, real: object) -> None:
        self._real = real  # its socket is open as long as it lives

    def poll(self, timeout: float) -> None:
        raise OSError(105, "No buffer space available")


def test_the_source_is_udevd_where_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    control = tmp_path / "control"
    monkeypatch.setattr(discovery, "UDEV_CONTROL", control)

    async def main() -> None:
        monitor = UdevMonitor(lambda _: None, lambda _: None)
        assert monitor.source == "kernel"
        assert monitor.is_current()
        control.touch()
        assert not monitor.is_current()
        monitor.close()
        monitor.close()
        monitor = UdevMonitor(lambda _: None, lambda _: None)
        assert monitor.source == "udev"
        monitor.close()

    asyncio.run(main())
