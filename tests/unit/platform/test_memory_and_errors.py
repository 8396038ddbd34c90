"""Buffers, comparing, what errnos mean, and the small helpers of the platform."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nullbay.domain.clock import ClockSync
from nullbay.domain.ports import PortError, PortErrorKind
from nullbay.wipers.platform import clocksync, ioctls, passthrough, privileges
from nullbay.wipers.platform.block import LinuxBlockPort, error_kind
from nullbay.wipers.platform.buffers import aligned, first_difference

KIND = PortErrorKind


@pytest.mark.parametrize("length", [1, 512, mmap.PAGESIZE, mmap.PAGESIZE + 1, 1 << 20])
def test_buffers_are_page_aligned_zeroed_and_writable(length: int) -> None:
    buffer = aligned(length)
    assert buffer.nbytes == length
    assert ctypes.addressof(ctypes.c_char.from_buffer(buffer)) % mmap.PAGESIZE == 0
    assert bytes(buffer) == bytes(length)
    buffer[-1] = 7
    assert buffer[-1] == 7


def test_no_buffer_of_nothing() -> None:
    with pytest.raises(ValueError, match="0 bytes"):
        aligned(0)


@given(
    data=st.binary(min_size=1, max_size=5000), changes=st.lists(st.integers(0, 4999), max_size=3)
)
def test_the_first_difference_is_the_first(data: bytes, changes: list[int]) -> None:
    a, b = aligned(len(data)), aligned(len(data))
    a[:], b[:] = data, data
    places = sorted({place for place in changes if place < len(data)})
    for place in places:
        b[place] ^= 0x80
    expected = places[0] if places else None
    assert first_difference(a, b) == expected
    assert first_difference(b, a) == expected
    assert first_difference(memoryview(data), b) == expected, "read-only memory"


def test_difference_at_the_ends_of_a_large_buffer() -> None:
    a, b = aligned(3 << 20), aligned(3 << 20)
    assert first_difference(a, b) is None
    b[-1] = 1
    assert first_difference(a, b) == (3 << 20) - 1
    b[0] = 1
    assert first_difference(a, b) == 0
    assert first_difference(a[100:200], b[100:200]) is None


def test_lengths_that_differ_are_no_comparison() -> None:
    with pytest.raises(ValueError, match="cannot compare"):
        first_difference(aligned(512), aligned(513))
    assert first_difference(memoryview(b""), memoryview(b"")) is None


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ENODATA", KIND.MEDIUM),
        ("EREMOTEIO", KIND.MEDIUM),
        ("EILSEQ", KIND.MEDIUM),
        ("EIO", KIND.MEDIUM),
        ("ENODEV", KIND.GONE),
        ("ENXIO", KIND.GONE),
        ("ENOLINK", KIND.GONE),
        ("EROFS", KIND.READ_ONLY),
        ("EPERM", KIND.READ_ONLY),
        ("ETIMEDOUT", KIND.TIMEOUT),
        ("ENOSPC", KIND.OTHER),
        ("EINVAL", KIND.OTHER),
        ("EBADE", KIND.OTHER),
    ],
)
def test_what_an_errno_means(name: str, kind: PortErrorKind) -> None:
    number = getattr(errno, name)
    assert error_kind(number, gone=False, transfer=True) is kind
    assert error_kind(number, gone=True, transfer=True) is KIND.GONE


def test_a_flush_means_no_sector() -> None:
    assert error_kind(errno.EIO, gone=False, transfer=False) is KIND.OTHER
    assert error_kind(errno.EIO, gone=True, transfer=False) is KIND.GONE


def test_a_plain_file_is_no_block_device(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb+") as file, pytest.raises(PortError) as caught:
        LinuxBlockPort(file.fileno(), name="file")
    assert caught.value.errno == "ENOTTY"


def test_structures_are_as_long_as_the_kernel_s() -> None:
    assert ctypes.sizeof(ioctls._SgIoHeader) == 88
    assert ctypes.sizeof(ioctls._NvmePassthru) == 72


def test_commands_move_data_one_way() -> None:
    with pytest.raises(ValueError, match="one way"):
        ioctls.sg_io(-1, b"\x12", data_in_bytes=1, data_out=b"x", timeout_s=1)
    with pytest.raises(ValueError, match="one way"):
        ioctls.nvme_admin(-1, 6, 0, (0,) * 6, data_in_bytes=2 << 20, data_out=b"", timeout_s=1)


def told(
    *, status: int = 0, host: int = 0, driver: int = 0, sense: bytes = b"", data: bytes = b""
) -> ioctls.SgAnswer:
    return ioctls.SgAnswer(status, host, driver, sense, data, 0)


def sent(monkeypatch: pytest.MonkeyPatch, answers: list[ioctls.SgAnswer | OSError]) -> list[bytes]:
    commands: list[bytes] = []

    def sg_io(_fd: int, cdb: bytes, **_rest: object) -> ioctls.SgAnswer:
        commands.append(cdb)
        answer = answers[min(len(commands), len(answers)) - 1]
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(ioctls, "sg_io", sg_io)
    return commands


def ask(data_in_bytes: int = 4) -> bytes:
    port = passthrough.LinuxScsiPort(-1, "sdx")
    return port.scsi(b"\x12", data_in_bytes=data_in_bytes, data_out=b"", timeout_s=1).data


UNIT_ATTENTION = told(status=2, sense=b"\x70\x00\x06" + bytes(15))


def test_a_unit_attention_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = sent(monkeypatch, [UNIT_ATTENTION, told(data=b"good")])
    assert ask() == b"good"
    assert len(commands) == 2


def test_unit_attentions_without_end_do_not_hold_up(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = sent(monkeypatch, [UNIT_ATTENTION])
    assert ask() == b""
    assert len(commands) == 3


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (told(host=0x01), KIND.GONE),
        (told(host=0x03), KIND.TIMEOUT),
        (told(driver=0x06), KIND.TIMEOUT),
        (told(host=0x07), KIND.OTHER),
        (OSError(errno.ENODEV, ""), KIND.GONE),
        (OSError(errno.EPERM, ""), KIND.OTHER),
    ],
)
def test_a_command_nobody_answered(
    monkeypatch: pytest.MonkeyPatch, answer: ioctls.SgAnswer | OSError, kind: PortErrorKind
) -> None:
    sent(monkeypatch, [answer])
    with pytest.raises(PortError) as caught:
        ask()
    assert caught.value.kind is kind


def test_a_clock_that_no_daemon_disciplines() -> None:
    assert clocksync.meaning(5) is ClockSync.UNSYNCHRONISED
    assert {clocksync.meaning(state) for state in range(5)} == {ClockSync.SYNCHRONISED}
    assert {clocksync.meaning(state) for state in (-1, 6)} == {ClockSync.UNKNOWN}
    assert clocksync.kernel_clock_sync() in set(ClockSync)


DROPPING = """
import os, threading
from nullbay.wipers.platform.privileges import drop_capabilities

def sets(task):
    lines = open(f"/proc/self/task/{task}/status").read().splitlines()
    return [l.split()[1] for l in lines if l.startswith(("CapPrm", "CapEff", "NoNewPrivs"))]

def lane():
    print(drop_capabilities())
    print(*sets(threading.get_native_id()), os.getuid())

before = sets(os.getpid())
thread = threading.Thread(target=lane)
thread.start()
thread.join()
print(sets(os.getpid()) == before)
"""


def test_a_lane_gives_up_what_it_may_and_no_other_thread_does() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-c", DROPPING], check=True, capture_output=True, text=True
    )
    lines = done.stdout.splitlines()
    assert lines[2] == "True"
    if os.geteuid() == 0:
        assert lines[:2] == ["dropped", "0000000000000000 0000000000000000 1 0"]
    else:
        assert lines[0] == privileges.Dropped.NOT_ROOT
