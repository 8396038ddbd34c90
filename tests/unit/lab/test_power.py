"""Drives made of software: the write cache, power cuts, kills, and other processes."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from nullbay.domain.ports import PortErrorKind
from nullbay.lab.cache import MAGIC, RECORD
from nullbay.lab.description import (
    CacheSpec,
    LbaSpan,
    LossKind,
)
from nullbay.lab.files import abandon, open_file_drive
from nullbay.lab.hands import cut_power, look, pull, put_back
from nullbay.lab.olddata import OldData
from nullbay.lab.state import DriveFiles, Turn
from nullbay.wipers.platform.claim import ClaimError
from support.lab_drives import (
    ADVANCED,
    CLOCK,
    PLAIN,
    made,
    opened,
    read,
    unread,
    write,
)


@pytest.fixture(autouse=True)
def _nothing_stays_open(tmp_path: Path) -> Iterator[None]:
    yield
    abandon(tmp_path / "drive.json")


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


@pytest.mark.parametrize("cache_bytes", [65_536, 65_537, 66_000])
def test_a_write_larger_than_the_cache_passes_through(tmp_path: Path, cache_bytes: int) -> None:
    path = made(tmp_path, replace(PLAIN, sectors=4096, cache=CacheSpec(cache_bytes)))
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


@pytest.mark.parametrize("writes", range(2, 9))
def test_after_a_kill_the_newest_write_still_wins(tmp_path: Path, writes: int) -> None:
    """The cache's two logs take turns; each write fills three quarters of one."""
    path = made(tmp_path, replace(PLAIN, cache=CacheSpec(65_536)))
    drive = open_file_drive(path, CLOCK)
    for number in range(writes):
        write(drive.port("disk"), number, bytes([number + 1]) * (48 * 512))
    abandon(path)
    drive = open_file_drive(path, CLOCK)
    firsts = [read(drive.port("disk"), lba)[0] for lba in range(writes)]
    assert firsts == list(range(1, writes + 1))
    drive.port("disk").flush()
    landed = (tmp_path / "drive.img").read_bytes()
    assert landed[(writes - 1) * 512 :].rstrip(b"\0") == bytes([writes]) * (48 * 512)


def test_what_stood_in_the_cache_before_never_comes_back(tmp_path: Path) -> None:
    """Even if it looks like a record of the cache itself, right behind the newest one."""
    path = made(tmp_path, replace(PLAIN, cache=CacheSpec(65_536)))
    drive = open_file_drive(path, CLOCK)
    look_alike = RECORD.pack(MAGIC, 1, 50 * 512, 512) + b"E" * 480
    write(drive.port("disk"), 0, b"x" * 512 + look_alike + b"y" * 512)
    drive.port("disk").flush()
    write(drive.port("disk"), 7, b"n" * 512)
    abandon(path)
    drive = open_file_drive(path, CLOCK)
    whole = read(drive.port("disk"), 0, 60)
    before = b"x" * 512 + look_alike + b"y" * 512 + bytes(4 * 512)
    assert whole == before + b"n" * 512 + bytes(52 * 512)


@pytest.mark.parametrize("torn", [0, 1, 31, 32, 33, 500])
def test_a_write_torn_by_a_kill_is_as_if_never_sent(tmp_path: Path, torn: int) -> None:
    """The log as it stands when the process dies in the midst of adding to it."""
    path = made(tmp_path, replace(PLAIN, cache=CacheSpec(65_536)))
    drive = open_file_drive(path, CLOCK)
    write(drive.port("disk"), 7, b"n" * 512)
    abandon(path)
    with (tmp_path / "drive.cache0").open("r+b") as log:
        log.seek(RECORD.size + 512 + RECORD.size)
        log.write((b"t" * 512)[:torn])
    drive = open_file_drive(path, CLOCK)
    assert read(drive.port("disk"), 0, 60) == bytes(7 * 512) + b"n" * 512 + bytes(52 * 512)
    write(drive.port("disk"), 8, b"m" * 512)
    assert read(drive.port("disk"), 7, 2) == b"n" * 512 + b"m" * 512


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


def test_a_turn_at_the_drive_is_one_process_alone(tmp_path: Path) -> None:
    path = made(tmp_path, PLAIN)
    code = "import os, sys; os.lockf(os.open(sys.argv[1], os.O_RDWR), os.F_TLOCK, 0)"
    turn = Turn(tmp_path / "drive.turn")

    def others_may() -> bool:
        command = [sys.executable, "-I", "-c", code, str(DriveFiles(path).turn)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    with turn.taken():
        assert not others_may()
        with turn.taken():
            pass
        assert not others_may()
    assert others_may()
    turn.close()


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
