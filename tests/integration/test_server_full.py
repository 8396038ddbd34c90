"""A centre whose disk is really full: a small file system in memory, filled by deliveries."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from nullbay.server.cards import RecordQuery
from support.centre import Door, MadeStation, Record, open_door


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def grow(place: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=64m", place], check=True)


def fill(ballast: Path) -> None:
    """Until nothing more goes in."""
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * 65536):
            pass
    assert ballast.stat().st_size > 0


async def deliver(door: Door, one: MadeStation, made: Record) -> list[int]:
    """Statuses of everything a station sends for a record, in order."""
    statuses = [(await door.entry(one, entry)).status for entry in made.entries]
    statuses.append((await door.evidence(one, made.archive)).status)
    statuses.append((await door.record(one, made.bundle)).status)
    return statuses


def test_a_full_disk_is_told_and_heals(small: Path) -> None:
    one = MadeStation()

    async def run() -> None:
        kept: list[Record] = []
        async with open_door(small, (one,)) as door:
            while True:
                made = one.record()
                statuses = await deliver(door, one, made)
                if set(statuses) != {201}:
                    break
                kept.append(made)
            assert kept
            # What had no room was told so; what rests on it has to wait, and is not refused.
            assert 507 in statuses
            assert set(statuses) <= {200, 201, 409, 507}
            assert (await door.record(one, made.bundle)).status in {409, 507}
            # What was receipted before is there, and can be read while nothing can be written.
            for before in kept:
                assert await door.centre.bundle(before.name) == before.bundle
        files = [path for path in (small / "evidence").rglob("*") if path.is_file()]
        names = {before.archive_sha256 for before in (*kept, made)}
        assert {path.name for path in files} <= names
        await asyncio.to_thread(grow, small)
        async with open_door(small, (one,)) as door:
            for record in (*kept, made):
                assert set(await deliver(door, one, record)) <= {200, 201}
            listed = await door.centre.records(RecordQuery(limit=1000))
            assert len(listed.items) == len(kept) + 1
            account = await door.centre.station_account(one.name)
            assert account.accounted
            assert await door.codes() == []

    asyncio.run(run())


def test_it_heals_without_being_started_again(small: Path) -> None:
    one = MadeStation()

    async def run() -> None:
        async with open_door(small, (one,)) as door:
            made = one.record()
            assert set(await deliver(door, one, made)) == {201}
            ballast = small / "ballast"
            await asyncio.to_thread(fill, ballast)
            again = one.record()
            statuses = await deliver(door, one, again)
            assert 507 in statuses
            ballast.unlink()
            assert set(await deliver(door, one, again)) <= {200, 201}
            assert (await door.centre.station_account(one.name)).accounted

    asyncio.run(run())
