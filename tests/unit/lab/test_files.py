"""Drives made of software: faults, sizes, hands at the bench, and what a handle then answers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from nullbay.domain.clock import Clock, SystemClock
from nullbay.domain.drive import HiddenState
from nullbay.domain.method import Transport
from nullbay.domain.ports import BlockPort, DriveAccess, PortError, PortErrorKind
from nullbay.domain.ranges import ByteRange
from nullbay.lab.clock import VirtualClock, run
from nullbay.lab.description import (
    CacheSpec,
    DeallocateKind,
    DriveDescription,
    EventKind,
    EventSpec,
    FlushKind,
    HealthSpec,
    LbaSpan,
    LossKind,
    OtherDrive,
    SlowSpan,
    TemperatureSpec,
)
from nullbay.lab.files import FileDrive, abandon, open_file_drive
from nullbay.lab.hands import cut_power, look, make_file_drive, pull, put_back
from nullbay.lab.olddata import OldData
from nullbay.lab.state import StateError
from nullbay.wipers.platform.claim import ClaimError, DeviceNotFoundError

PLAIN = DriveDescription(sectors=1001, model="LAB DISK", serial="LAB-1")
ADVANCED = replace(PLAIN, sectors=1003, physical_sector_bytes=4096)
OTHER = OtherDrive(model="LAB DISK", serial="LAB-2")
CLOCK = SystemClock()


@pytest.fixture(autouse=True)
def _nothing_stays_open(tmp_path: Path) -> Iterator[None]:
    yield
    abandon(tmp_path / "drive.json")


def made(folder: Path, description: DriveDescription, old_data: OldData | None = None) -> Path:
    return make_file_drive(folder / "drive.json", description, old_data=old_data)


def opened(
    folder: Path, description: DriveDescription, old_data: OldData | None = None
) -> FileDrive:
    abandon(folder / "drive.json")
    return open_file_drive(made(folder, description, old_data), CLOCK)


def read(port: BlockPort, lba: int, sectors: int = 1) -> bytes:
    buffer = bytearray(sectors * port.geometry.logical_sector_bytes)
    port.read_into(lba * port.geometry.logical_sector_bytes, memoryview(buffer))
    return bytes(buffer)


def write(port: BlockPort, lba: int, data: bytes) -> None:
    port.write_from(lba * port.geometry.logical_sector_bytes, memoryview(data))


def refused(port: BlockPort, lba: int, data: bytes) -> PortError:
    with pytest.raises(PortError) as caught:
        write(port, lba, data)
    return caught.value


def unread(port: BlockPort, lba: int, sectors: int = 1) -> PortError:
    with pytest.raises(PortError) as caught:
        read(port, lba, sectors)
    return caught.value


# --- geometry and identity -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("logical", "physical", "sectors"),
    [(512, 512, 1), (512, 512, 1001), (512, 4096, 1003), (4096, 4096, 77), (512, 16384, 33)],
)
def test_every_sector_of_any_geometry_can_be_written_and_read(
    tmp_path: Path, logical: int, physical: int, sectors: int
) -> None:
    description = DriveDescription(
        sectors=sectors,
        model="LAB",
        logical_sector_bytes=logical,
        physical_sector_bytes=physical,
    )
    drive = opened(tmp_path, description)
    port = drive.port("disk")
    assert port.geometry.size_bytes == port.current_size_bytes() == sectors * logical
    for lba in range(sectors):
        write(port, lba, lba.to_bytes(4, "big") * (logical // 4))
    whole = read(port, 0, sectors)
    assert whole == b"".join(lba.to_bytes(4, "big") * (logical // 4) for lba in range(sectors))
    assert refused(port, sectors, bytes(logical)).errno == "ENOSPC"
    assert refused(port, sectors - 1, bytes(2 * logical)).errno == "ENOSPC"
    unread(port, sectors)
    assert read(port, 0, sectors) == whole
    drive.close()
    assert (tmp_path / "drive.img").stat().st_size == sectors * logical


def test_transfers_are_whole_sectors(tmp_path: Path) -> None:
    port = opened(tmp_path, PLAIN).port("disk")
    for offset, length in ((1, 512), (0, 100), (0, 513)):
        with pytest.raises(PortError) as caught:
            port.write_from(offset, memoryview(bytes(length)))
        assert (caught.value.kind, caught.value.errno) == (PortErrorKind.OTHER, "EINVAL")


def test_it_is_what_the_ports_ask_for(tmp_path: Path) -> None:
    access: DriveAccess = opened(tmp_path, PLAIN)
    port: BlockPort = access.port("disk")
    assert port.reads == "simulated"
    with pytest.raises(KeyError):
        access.port("lun:1")
    port.close()
    assert read(port, 0) == bytes(512)
    access.close()
    access.close()


def test_the_drive_says_who_it_is_and_that_it_is_simulated(tmp_path: Path) -> None:
    description = DriveDescription(
        sectors=1003,
        model="LAB DISK",
        serial_hex=b"\x1b[31mX\xff",
        wwn="5000c500a1b2c3d4",
        transport=Transport.NVME,
        physical_sector_bytes=4096,
        health=HealthSpec(reallocated_sectors=3, power_on_hours=40_000),
    )
    drive = opened(tmp_path, description).observe()
    assert drive.simulated
    assert drive.identity.serial.raw == b"\x1b[31mX\xff"
    assert drive.identity.wwn == "5000c500a1b2c3d4"
    assert drive.identity.identify_source == "simulated"
    assert drive.confirm.startswith("nb-")
    (unit,) = drive.observed.units
    assert (unit.size_bytes, unit.physical_sector_bytes) == (1003 * 512, 4096)
    assert drive.observed.transport is Transport.NVME
    assert [area.state for area in drive.observed.hidden_areas] == [HiddenState.ABSENT]
    assert drive.observed.health.reallocated_sectors == 3
    assert drive.observed.health.power_on_hours == 40_000
    assert drive.attachment.device_path == "/lab/drive"
    assert look(tmp_path / "drive.json", CLOCK).identity == drive.identity


# --- faults --------------------------------------------------------------------------------------


def test_an_unreadable_sector_fails_the_whole_command_and_its_physical_sector(
    tmp_path: Path,
) -> None:
    port = opened(tmp_path, replace(ADVANCED, unreadable=(LbaSpan(10, 10),))).port("disk")
    error = unread(port, 0, 1000)
    assert (error.kind, error.errno) == (PortErrorKind.MEDIUM, "ENODATA")
    failing = {lba for lba in range(1003) if lba // 8 == 1}
    for lba in range(32):
        if lba in failing:
            assert unread(port, lba).kind is PortErrorKind.MEDIUM
        else:
            read(port, lba)


def test_an_unwritable_sector_fails_its_physical_sector_as_a_whole(tmp_path: Path) -> None:
    old = OldData(seed=1)
    drive = opened(tmp_path, replace(ADVANCED, unwritable=(LbaSpan(21, 21),)), old)
    port = drive.port("disk")
    error = refused(port, 0, b"n" * (1000 * 512))
    assert (error.kind, error.errno) == (PortErrorKind.MEDIUM, "EREMOTEIO")
    for lba in range(16, 24):
        assert refused(port, lba, b"n" * 512).kind is PortErrorKind.MEDIUM
    write(port, 24, b"n" * (979 * 512))
    assert read(port, 0, 16) == b"n" * (16 * 512)
    assert read(port, 24, 979) == b"n" * (979 * 512)
    left = old.left_on(tmp_path / "drive.img", 512)
    assert left == (ByteRange(16 * 512, 24 * 512),)


def test_nvme_names_a_write_fault_otherwise(tmp_path: Path) -> None:
    bad = replace(PLAIN, unwritable=(LbaSpan(0, 0),), transport=Transport.NVME)
    assert refused(opened(tmp_path, bad).port("disk"), 0, bytes(512)).errno == "ENODATA"


def test_the_last_physical_sector_may_be_a_part_of_one(tmp_path: Path) -> None:
    """1003 = 125 × 8 + 3: the last three sectors stand alone and count as a whole."""
    spans = (LbaSpan(1002, 1002),)
    drive = opened(tmp_path, replace(ADVANCED, unreadable_until_rewritten=spans))
    port = drive.port("disk")
    assert drive.observe().observed.health.pending_sectors == 1
    for lba in (1000, 1001, 1002):
        unread(port, lba)
    read(port, 999)
    assert refused(port, 1002, bytes(512)).kind is PortErrorKind.MEDIUM
    write(port, 1000, b"n" * 1536)
    assert read(port, 1000, 3) == b"n" * 1536
    assert drive.observe().observed.health.pending_sectors == 0


def test_a_sector_is_cured_only_by_writing_all_of_its_physical_sector(tmp_path: Path) -> None:
    spans = (LbaSpan(17, 17), LbaSpan(40, 55))
    path = made(tmp_path, replace(ADVANCED, unreadable_until_rewritten=spans))
    drive = open_file_drive(path, CLOCK)
    port = drive.port("disk")
    assert drive.observe().observed.health.pending_sectors == 3
    for lba in range(16, 24):
        assert refused(port, lba, bytes(512)).kind is PortErrorKind.MEDIUM
    assert refused(port, 4, bytes(16 * 512)).kind is PortErrorKind.MEDIUM
    assert drive.observe().observed.health.pending_sectors == 3
    write(port, 16, b"n" * 4096)
    assert read(port, 16, 8) == b"n" * 4096
    write(port, 40, b"n" * 4096)
    read(port, 40, 8)
    assert unread(port, 40, 16).errno == "ENODATA"
    drive.close()
    drive = open_file_drive(path, CLOCK)
    assert drive.observe().observed.health.pending_sectors == 1
    read(drive.port("disk"), 16, 8)


def test_ignored_writes_are_acknowledged_and_never_land(tmp_path: Path) -> None:
    old = OldData(seed=2)
    port = opened(tmp_path, replace(PLAIN, ignored_writes=(LbaSpan(5, 9),)), old).port("disk")
    write(port, 0, b"n" * (1001 * 512))
    port.flush()
    assert read(port, 4) == read(port, 10) == b"n" * 512
    assert read(port, 5, 5) == b"".join(old.sector(lba, 512) for lba in range(5, 10))
    assert old.left_on(tmp_path / "drive.img", 512) == (ByteRange(5 * 512, 10 * 512),)


def test_speed_and_slow_sectors_cost_time(tmp_path: Path) -> None:
    description = replace(
        PLAIN,
        sectors=100_000,
        speed_mb_s=10,
        error_delay_ms=7000,
        slow=(SlowSpan(50, 60, 2000),),
        unreadable=(LbaSpan(99_999, 99_999),),
    )
    path = made(tmp_path, description)

    async def main(clock: VirtualClock) -> list[float]:
        port = open_file_drive(path, clock).port("disk")
        costs = []
        for lba, sectors in ((1000, 19_531), (60, 1), (49, 1), (61, 1), (40, 100)):
            read(port, lba, sectors)
            costs.append(round(clock.take_owed_s(), 3))
            await clock.sleep(1000)
        unread(port, 99_999)
        return [*costs, round(clock.take_owed_s(), 3)]

    assert run(main) == [1.0, 2.0, 0.0, 0.0, 2.005, 7.0]


def test_a_drive_does_one_thing_at_a_time(tmp_path: Path) -> None:
    path = made(tmp_path, replace(PLAIN, sectors=100_000, speed_mb_s=1))

    async def main(clock: VirtualClock) -> list[float]:
        port, waits = open_file_drive(path, clock).port("disk"), []
        for lba in (0, 10_000, 20_000):
            write(port, lba, bytes(1_000_448))
            waits.append(round(clock.take_owed_s(), 2))
        return waits

    assert run(main) == [1.0, 2.0, 3.0]


def test_a_flush_may_fail_or_lie(tmp_path: Path) -> None:
    cached = replace(PLAIN, cache=CacheSpec(1 << 20))
    liar = opened(tmp_path, replace(cached, flush=FlushKind.IGNORED))
    write(liar.port("disk"), 0, b"n" * 512)
    liar.port("disk").flush()
    assert (tmp_path / "drive.img").read_bytes()[:512] == bytes(512)
    liar.close()
    broken = opened(tmp_path, replace(cached, flush=FlushKind.FAILS)).port("disk")
    write(broken, 0, b"n" * 512)
    with pytest.raises(PortError) as caught:
        broken.flush()
    assert (caught.value.kind, caught.value.errno) == (PortErrorKind.OTHER, "EIO")


def test_deallocating(tmp_path: Path) -> None:
    old = OldData(seed=3)
    for kind in (DeallocateKind.ZEROS, DeallocateKind.OLD_DATA):
        drive = opened(tmp_path, replace(PLAIN, deallocate=kind, cache=CacheSpec(1 << 20)), old)
        write(drive.port("disk"), 0, b"n" * 1024)
        drive.port("disk").deallocate(512, 512 * 999)
        zeros = kind is DeallocateKind.ZEROS
        assert read(drive.port("disk"), 0) == b"n" * 512
        assert read(drive.port("disk"), 1) == (bytes(512) if zeros else b"n" * 512)
        assert read(drive.port("disk"), 7) == (bytes(512) if zeros else old.sector(7, 512))
        assert read(drive.port("disk"), 1000) == old.sector(1000, 512)
        drive.close()
    with pytest.raises(PortError) as caught:
        opened(tmp_path, PLAIN).port("disk").deallocate(0, 512)
    assert (caught.value.kind, caught.value.errno) == (PortErrorKind.OTHER, "ENOTSUP")


def test_health_and_temperature_move(tmp_path: Path) -> None:
    description = replace(
        PLAIN,
        sectors=1_000_000,
        speed_mb_s=1,
        health=HealthSpec(reallocated_sectors=2, reallocated_every_bytes=30_000_000),
        temperature=TemperatureSpec(30, 45, 10, 5),
    )
    path = made(tmp_path, description)

    async def main(clock: VirtualClock) -> list[int | None]:
        drive = open_file_drive(path, clock)
        seen = [drive.temperature_celsius()]
        for _ in range(2):
            write(drive.port("disk"), 0, bytes(60_000_256))
            await clock.sleep(clock.take_owed_s())
            seen += [drive.temperature_celsius()]
        await clock.sleep(120)
        seen += [drive.temperature_celsius(), drive.observe().observed.health.temperature_celsius]
        await clock.sleep(86_400)
        return [
            *seen,
            drive.temperature_celsius(),
            drive.observe().observed.health.reallocated_sectors,
        ]

    assert run(main) == [30, 40, 45, 35, 35, 30, 6]
    assert opened(tmp_path, PLAIN).temperature_celsius() is None


# --- hands and events ----------------------------------------------------------------------------


def assert_gone(drive: FileDrive) -> None:
    """What a vanished device answers (reference/lab.md 2.3), as the Linux port tells it."""
    port = drive.port("disk")
    assert port.current_size_bytes() == 0
    assert (unread(port, 0).kind, unread(port, 0).errno) == (PortErrorKind.GONE, "")
    error = refused(port, 0, bytes(512))
    assert (error.kind, error.errno) == (PortErrorKind.GONE, "ENOSPC")
    for call in (port.flush, drive.observe, lambda: port.deallocate(0, 512)):
        with pytest.raises(PortError) as caught:
            call()
        assert caught.value.kind is PortErrorKind.GONE


def test_pulled_and_put_back(tmp_path: Path) -> None:
    path = made(tmp_path, PLAIN)
    drive = open_file_drive(path, CLOCK)
    before = drive.observe()
    write(drive.port("disk"), 3, b"n" * 512)
    pull(path)
    pull(path)
    assert_gone(drive)
    with pytest.raises(DeviceNotFoundError):
        look(path, CLOCK)
    put_back(path)
    assert_gone(drive)
    with pytest.raises(StateError, match="already"):
        put_back(path)
    drive.close()
    drive = open_file_drive(path, CLOCK)
    after = drive.observe()
    assert after.identity == before.identity
    assert after.attachment.nodes[0].diskseq > before.attachment.nodes[0].diskseq
    assert replace(after.attachment, nodes=()) == replace(before.attachment, nodes=())
    assert read(drive.port("disk"), 3) == b"n" * 512


def test_a_pulled_drive_does_not_open(tmp_path: Path) -> None:
    path = made(tmp_path, PLAIN)
    pull(path)
    for _ in range(2):
        with pytest.raises(DeviceNotFoundError):
            open_file_drive(path, CLOCK)
    put_back(path)
    open_file_drive(path, CLOCK).close()


def test_another_drive_comes_back(tmp_path: Path) -> None:
    old = OldData(seed=10)
    path = made(tmp_path, replace(PLAIN, other=OTHER), old)
    before = look(path, CLOCK)
    pull(path)
    put_back(path, as_other=True)
    drive = open_file_drive(path, CLOCK)
    seen = drive.observe()
    assert seen.identity.serial.raw == b"LAB-2"
    assert seen.identity.key != before.identity.key
    assert read(drive.port("disk"), 7) == OldData(seed=11).sector(7, 512)
    drive.close()
    pull(path)
    put_back(path)
    assert look(path, CLOCK).identity == before.identity


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    path = made(tmp_path, PLAIN)
    drive = open_file_drive(path, CLOCK)
    with pytest.raises(ClaimError) as caught:
        open_file_drive(path, CLOCK)
    assert caught.value.refusal.code == "guard.open-elsewhere"
    assert look(path, CLOCK).simulated
    with pytest.raises(ClaimError):
        open_file_drive(path, CLOCK)
    assert child("try", path).wait_for("refused guard.open-elsewhere")
    drive.close()
    assert child("try", path).wait_for("opened")


@pytest.mark.parametrize("after", [0, 1, 512, 700, 100 * 512])
def test_gone_after_so_many_bytes(tmp_path: Path, after: int) -> None:
    event = EventSpec(EventKind.GONE, after_written_bytes=after)
    drive = opened(tmp_path, replace(PLAIN, event=(event,)))
    error = refused(drive.port("disk"), 0, b"n" * (200 * 512))
    assert (error.kind, error.errno) == (PortErrorKind.GONE, "ENOSPC")
    assert_gone(drive)
    landed = (tmp_path / "drive.img").read_bytes().rstrip(b"\0")
    assert landed == b"n" * (-(-after // 512) * 512)
    drive.close()
    put_back(tmp_path / "drive.json")
    write(open_file_drive(tmp_path / "drive.json", CLOCK).port("disk"), 0, bytes(1001 * 512))


def test_events_while_reading_and_at_a_moment(tmp_path: Path) -> None:
    events = (
        EventSpec(EventKind.READ_ONLY, after_read_bytes=1024),
        EventSpec(EventKind.SERIAL_CHANGES, after_ms=60_000),
        EventSpec(EventKind.CAPACITY_SHRINKS, after_ms=120_000, sectors=500),
        EventSpec(EventKind.GONE, after_ms=180_000),
    )
    path = made(tmp_path, replace(PLAIN, event=events, other=OTHER))

    async def main(clock: VirtualClock) -> None:
        drive = open_file_drive(path, clock)
        port = drive.port("disk")
        write(port, 0, bytes(512))
        read(port, 0, 2)
        error = refused(port, 0, bytes(512))
        assert (error.kind, error.errno) == (PortErrorKind.READ_ONLY, "EPERM")
        assert drive.observe().observed.units[0].read_only
        await clock.sleep(60)
        assert drive.observe().identity.serial.raw == b"LAB-2"
        await clock.sleep(60)
        assert port.current_size_bytes() == 500 * 512
        assert drive.observe().observed.size_bytes == 500 * 512
        read(port, 499)
        assert unread(port, 500).kind is PortErrorKind.GONE
        assert unread(port, 499, 2).kind is PortErrorKind.GONE
        await clock.sleep(60)
        assert_gone(drive)

    run(main)


def test_another_drive_answers_under_the_same_handle(tmp_path: Path) -> None:
    event = EventSpec(EventKind.ANOTHER_DRIVE, after_written_bytes=1024)
    drive = opened(tmp_path, replace(PLAIN, event=(event,), other=OTHER), OldData(seed=20))
    before = drive.observe()
    write(drive.port("disk"), 0, b"n" * 2048)
    after = drive.observe()
    assert after.attachment == before.attachment
    assert after.identity.serial.raw == b"LAB-2"
    assert read(drive.port("disk"), 0) == OldData(seed=21).sector(0, 512)
    assert read(drive.port("disk"), 2) == b"n" * 512


def test_write_protected_from_the_start(tmp_path: Path) -> None:
    drive = opened(tmp_path, replace(PLAIN, read_only=True))
    error = refused(drive.port("disk"), 0, bytes(512))
    assert (error.kind, error.errno) == (PortErrorKind.READ_ONLY, "EROFS")
    assert drive.observe().observed.units[0].read_only


# --- the write cache -----------------------------------------------------------------------------


def test_unflushed_writes_are_lost_at_a_pull_and_flushed_ones_are_not(tmp_path: Path) -> None:
    path = made(tmp_path, replace(PLAIN, cache=CacheSpec(1 << 20)))
    drive = open_file_drive(path, CLOCK)
    port = drive.port("disk")
    write(port, 0, b"f" * 5120)
    port.flush()
    write(port, 5, b"u" * 5120)
    assert read(port, 0, 20) == b"f" * 2560 + b"u" * 5120 + bytes(2560)
    pull(path)
    drive.close()
    put_back(path)
    port = open_file_drive(path, CLOCK).port("disk")
    assert read(port, 0, 20) == b"f" * 5120 + bytes(5120)


def test_a_power_cut_that_nobody_notices(tmp_path: Path) -> None:
    path = made(tmp_path, replace(PLAIN, cache=CacheSpec(1 << 20)))
    drive = open_file_drive(path, CLOCK)
    before = drive.observe().attachment
    write(drive.port("disk"), 0, b"u" * 512)
    cut_power(path)
    assert read(drive.port("disk"), 0) == bytes(512)
    assert drive.observe().attachment == before
    write(drive.port("disk"), 1, b"v" * 512)
    drive.port("disk").flush()
    assert read(drive.port("disk"), 0, 2) == bytes(512) + b"v" * 512


def test_a_full_cache_writes_its_oldest_back(tmp_path: Path) -> None:
    path = made(tmp_path, replace(PLAIN, sectors=4096, cache=CacheSpec(1 << 20)))
    port = open_file_drive(path, CLOCK).port("disk")
    for lba in range(0, 4096, 64):
        write(port, lba, b"n" * (64 * 512))
    waiting = sum((tmp_path / f"drive.cache{number}").stat().st_size for number in (0, 1))
    assert 1 << 19 <= waiting <= (1 << 20) + 64 * 64
    pull(path)
    landed = (tmp_path / "drive.img").read_bytes()
    kept = len(landed.rstrip(b"\0"))
    assert landed[:kept] == b"n" * kept
    assert 1 << 20 <= kept <= 3 << 19


def test_a_write_larger_than_the_cache_passes_through(tmp_path: Path) -> None:
    path = made(tmp_path, replace(PLAIN, sectors=4096, cache=CacheSpec(65_536)))
    port = open_file_drive(path, CLOCK).port("disk")
    data = bytes(range(256)) * 8192
    write(port, 0, data)
    assert read(port, 0, 4096) == data
    pull(path)
    landed = (tmp_path / "drive.img").read_bytes()
    assert landed[: len(data) - 65_536] == data[:-65_536]
    assert landed != data


def test_some_of_the_cache_may_survive_in_any_order(tmp_path: Path) -> None:
    path = made(tmp_path, replace(PLAIN, cache=CacheSpec(1 << 20, LossKind.SOME), seed=4))
    port = open_file_drive(path, CLOCK).port("disk")
    for lba in range(100):
        write(port, lba, b"n" * 512)
    pull(path)
    landed = (tmp_path / "drive.img").read_bytes()
    kept = [lba for lba in range(100) if landed[lba * 512] != 0]
    assert 20 < len(kept) < 80
    assert kept != list(range(len(kept)))


def test_reading_from_the_cache_does_not_meet_the_bad_sector_below(tmp_path: Path) -> None:
    spans = (LbaSpan(8, 8),)
    description = replace(ADVANCED, unreadable_until_rewritten=spans, cache=CacheSpec(1 << 20))
    path = made(tmp_path, description)
    port = open_file_drive(path, CLOCK).port("disk")
    write(port, 8, b"n" * 4096)
    assert read(port, 0, 24) == bytes(4096) + b"n" * 4096 + bytes(4096)
    cut_power(path)
    assert unread(port, 0, 24).kind is PortErrorKind.MEDIUM
    write(port, 8, b"n" * 4096)
    port.flush()
    cut_power(path)
    assert read(port, 8, 8) == b"n" * 4096


def test_a_liar_with_a_cache_shows_the_new_data_until_it_writes_back(tmp_path: Path) -> None:
    description = replace(PLAIN, ignored_writes=(LbaSpan(5, 5),), cache=CacheSpec(1 << 20))
    port = opened(tmp_path, description, OldData(seed=5)).port("disk")
    write(port, 5, b"n" * 512)
    assert read(port, 5) == b"n" * 512
    port.flush()
    assert read(port, 5) == OldData(seed=5).sector(5, 512)


# --- other processes -----------------------------------------------------------------------------


CHILD = """
import sys
from nullbay.domain.clock import SystemClock
from nullbay.domain.errors import NullbayError
from nullbay.lab.files import open_file_drive

def say(text):
    print(text, flush=True)

what, path = sys.argv[1:]
try:
    drive = open_file_drive(path, SystemClock())
except NullbayError as error:
    say(f"refused {error.code}")
    sys.exit()
say("opened")
port = drive.port("disk")
lba = 0
while what == "write":
    port.write_from(lba * 512, memoryview(b"n" * 512))
    if lba == 9:
        port.flush()
    lba += 1
    say(f"wrote {lba}")
    sys.stdin.readline()
"""


class Child:
    """A process that opens a drive."""

    def __init__(self, what: str, path: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-c", CHILD, what, path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait_for(self, text: str) -> bool:
        """Read its lines up to this one."""
        assert self.process.stdout is not None
        assert self.process.stdin is not None
        with self.process.stdout as lines, self.process.stdin:
            found = text in (line.strip() for line in lines)
        self.process.wait()
        return found

    def step_to(self, text: str) -> None:
        """Let it go on until it says this, and no further."""
        assert self.process.stdout is not None
        assert self.process.stdin is not None
        for line in self.process.stdout:
            if line.strip() == text:
                return
            if line.startswith("wrote"):
                self.process.stdin.write("\n")
                self.process.stdin.flush()
        raise AssertionError(f"it never said {text}")

    def kill(self) -> None:
        """As hard as it gets."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


def child(what: str, path: Path) -> Child:
    return Child(what, path)


def test_killing_the_process_is_no_power_cut(tmp_path: Path) -> None:
    path = made(tmp_path, replace(PLAIN, cache=CacheSpec(1 << 20)))
    writer = child("write", path)
    writer.step_to("wrote 15")
    writer.kill()
    drive = open_file_drive(path, CLOCK)
    assert read(drive.port("disk"), 0, 16) == b"n" * (15 * 512) + bytes(512)
    drive.close()
    cut_power(path)
    drive = open_file_drive(path, CLOCK)
    assert read(drive.port("disk"), 0, 16) == b"n" * (10 * 512) + bytes(6 * 512)


def test_a_pull_reaches_the_drive_in_another_process(tmp_path: Path) -> None:
    path = made(tmp_path, replace(PLAIN, cache=CacheSpec(1 << 20)))
    writer = child("write", path)
    writer.step_to("wrote 12")
    with pytest.raises(ClaimError):
        open_file_drive(path, CLOCK)
    pull(path)
    assert writer.process.stdin is not None
    writer.process.stdin.write("\n")
    writer.process.stdin.flush()
    assert writer.process.wait() == 1
    writer.kill()
    put_back(path)
    port = open_file_drive(path, CLOCK).port("disk")
    assert read(port, 0, 13) == b"n" * (10 * 512) + bytes(3 * 512)


def test_two_lanes_lose_nothing(tmp_path: Path) -> None:
    path = made(tmp_path, replace(PLAIN, sectors=20_000, cache=CacheSpec(1 << 18)))
    port = open_file_drive(path, CLOCK).port("disk")

    def lane(number: int) -> None:
        for lba in range(number * 16, 20_000 - 16, 32):
            write(port, lba, bytes([number + 1]) * (16 * 512))

    lanes = [threading.Thread(target=lane, args=(number,)) for number in (0, 1)]
    for one in lanes:
        one.start()
    for one in lanes:
        one.join()
    port.flush()
    landed = (tmp_path / "drive.img").read_bytes()
    stripe = b"\1" * (16 * 512) + b"\2" * (16 * 512)
    assert landed[: 19_968 * 512] == stripe * (19_968 // 32)


# --- files ---------------------------------------------------------------------------------------


def test_old_data_is_recognised_in_any_sector(tmp_path: Path) -> None:
    old = OldData(seed=6, marker=b"MARKER-4711", marker_lbas=(12, 1000))
    made(tmp_path, PLAIN, old)
    image = tmp_path / "drive.img"
    content = image.read_bytes()
    assert content.count(b"MARKER-4711") == 2
    assert content[12 * 512 + 64 :].startswith(b"MARKER-4711")
    assert old.left_on(image, 512) == (ByteRange(0, 1001 * 512),)
    assert OldData(seed=7).left_on(image, 512) == ()
    with image.open("r+b") as file:
        file.write(bytes(12 * 512))
        file.seek(13 * 512)
        file.write(bytes(988 * 512))
    assert old.left_on(image, 512) == (ByteRange(12 * 512, 13 * 512),)


def test_sparse_old_data_leaves_holes(tmp_path: Path) -> None:
    old = OldData(seed=6, every=100_000, marker=b"M", marker_lbas=(5,))
    made(tmp_path, replace(PLAIN, sectors=10_000_000), old)
    image = tmp_path / "drive.img"
    assert image.stat().st_size == 5_120_000_000
    assert image.stat().st_blocks * 512 < 10_000_000


def test_a_medium_is_a_regular_file_never_a_link_or_device(tmp_path: Path) -> None:
    path = made(tmp_path, PLAIN)
    image = tmp_path / "drive.img"
    image.unlink()
    image.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_bytes(bytes(1001 * 512))
    with pytest.raises(OSError, match=r"drive\.img"):
        open_file_drive(path, CLOCK)
    image.unlink()
    os.mkfifo(image)
    with pytest.raises(StateError, match="not a regular file"):
        open_file_drive(path, CLOCK)


def test_a_description_without_its_files_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "new.toml"
    path.write_text('schema = "nullbay.lab-drive/1"\nmodel = "LAB"\nsectors = 8\n')
    with pytest.raises(StateError) as caught:
        open_file_drive(path, CLOCK)
    assert "make_file_drive" in caught.value.next_step
    make_file_drive(path)
    clock: Clock = CLOCK
    with open_file_drive(str(path), clock) as drive:
        assert drive.observe().observed.size_bytes == 4096


def test_a_crash_within_one_process_leaves_the_drive_as_it_was(tmp_path: Path) -> None:
    path = made(tmp_path, replace(PLAIN, cache=CacheSpec(1 << 20)))
    drive = open_file_drive(path, CLOCK)
    before = drive.observe().attachment
    write(drive.port("disk"), 0, b"n" * 512)
    abandon(path)
    abandon(path)
    again = open_file_drive(path, CLOCK)
    assert again.observe().attachment == before
    assert read(again.port("disk"), 0) == b"n" * 512
