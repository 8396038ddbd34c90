"""Drives made of software: faults, sizes, hands at the bench, and what a handle then answers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from nullbay.domain.clock import Clock
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
    SlowSpan,
    TemperatureSpec,
)
from nullbay.lab.files import FileDrive, abandon, open_file_drive
from nullbay.lab.hands import look, make_file_drive, pull, put_back
from nullbay.lab.olddata import OldData
from nullbay.lab.state import StateError
from nullbay.wipers.platform.claim import DeviceNotFoundError
from support.lab_drives import (
    ADVANCED,
    CLOCK,
    OTHER,
    PLAIN,
    made,
    opened,
    read,
    refused,
    unread,
    write,
)


@pytest.fixture(autouse=True)
def _nothing_stays_open(tmp_path: Path) -> Iterator[None]:
    yield
    abandon(tmp_path / "drive.json")


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


def test_what_goes_on_its_own_loses_its_cache_too(tmp_path: Path) -> None:
    event = EventSpec(EventKind.GONE, after_written_bytes=2048)
    path = made(tmp_path, replace(PLAIN, event=(event,), cache=CacheSpec(65_536)))
    port = open_file_drive(path, CLOCK).port("disk")
    write(port, 0, b"f" * 1024)
    port.flush()
    write(port, 2, b"u" * 1024)
    with pytest.raises(PortError):
        port.flush()
    abandon(path)
    put_back(path)
    port = open_file_drive(path, CLOCK).port("disk")
    assert read(port, 0, 4) == b"f" * 1024 + bytes(1024)


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
