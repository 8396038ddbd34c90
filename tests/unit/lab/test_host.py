"""A host made of data: uses, open questions, arrivals and departures by virtual time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from nullbay.domain.clock import SystemClock
from nullbay.domain.drive import Drive
from nullbay.domain.ports import (
    Arrived,
    DriveEvent,
    DriveSource,
    HostAnswer,
    HostFacts,
    Use,
    UseKind,
)
from nullbay.lab.clock import VirtualClock, run
from nullbay.lab.description import DriveDescription
from nullbay.lab.hands import is_attached, look, make_file_drive
from nullbay.lab.host import HostError, Scripted, SimulatedDriveSource, SimulatedHostFacts


def made(folder: Path, name: str) -> Path:
    description = DriveDescription(sectors=8, model="LAB", serial=f"LAB-{name}")
    return make_file_drive(folder / f"{name}.json", description)


def seen(folder: Path, name: str) -> Drive:
    return look(made(folder, name), SystemClock())


def test_uses_and_open_questions_are_told_by_device_path(tmp_path: Path) -> None:
    system, used, free = (seen(tmp_path, name) for name in ("system", "used", "free"))
    host = SimulatedHostFacts(root=system)
    facts: HostFacts = host
    host.use(used, UseKind.MOUNT, "/srv")
    host.use(used, UseKind.HOLDER, "md0")
    host.leave_open(used, "mount namespaces")
    assert facts.root_drive() == system
    assert [use.kind for use in facts.uses_of(system).uses] == [UseKind.SYSTEM]
    assert facts.uses_of(used) == HostAnswer(
        (
            Use("used", UseKind.MOUNT, "simulated: /srv"),
            Use("used", UseKind.HOLDER, "simulated: md0"),
        ),
        ("mount namespaces",),
    )
    assert facts.uses_of(free) == HostAnswer((), ())
    host.release(used)
    assert facts.uses_of(used) == HostAnswer((), ())
    assert SimulatedHostFacts().root_drive() is None


def test_a_scripted_day_of_two_bays(tmp_path: Path) -> None:
    left, right = made(tmp_path, "left"), made(tmp_path, "right")

    async def day(clock: VirtualClock) -> list[tuple[str, str, int]]:
        present = look(right, clock)
        rack = SimulatedDriveSource(clock, [present])
        source: DriveSource = rack
        log: list[tuple[str, str, int]] = []

        def note(event: DriveEvent) -> None:
            path = (
                event.drive.attachment.device_path
                if isinstance(event, Arrived)
                else event.device_path
            )
            log.append((event.kind, path, round(clock.boottime())))

        async def consume() -> None:
            async for event in source.events():
                note(event)

        hands = [
            Scripted(7200, lambda: rack.remove(left)),
            Scripted(60, lambda: rack.insert(left)),
            Scripted(60, lambda: rack.remove(right)),
            Scripted(7300, lambda: rack.insert(right)),
        ]
        assert source.present() == (present,)
        async with asyncio.TaskGroup() as group:
            group.create_task(consume())
            await rack.play(hands)
            rack.close()
        (back,) = source.present()
        assert back.attachment.nodes[0].diskseq > present.attachment.nodes[0].diskseq
        return log

    assert run(day) == [
        ("arrived", "/lab/left", 120),
        ("departed", "/lab/right", 120),
        ("departed", "/lab/left", 7260),
        ("arrived", "/lab/right", 7360),
    ]
    assert not is_attached(left)
    assert is_attached(right)


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    drive = seen(tmp_path, "a")

    async def main(clock: VirtualClock) -> None:
        source = SimulatedDriveSource(clock)
        source.arrive(drive)
        with pytest.raises(HostError, match="taken"):
            source.arrive(drive)
        source.depart("/lab/a")
        with pytest.raises(HostError, match="no drive"):
            source.depart("/lab/a")
        source.close()
        with pytest.raises(HostError, match="nobody"):
            source.arrive(drive)
        assert [event.kind async for event in source.events()] == ["arrived", "departed"]

    run(main)
