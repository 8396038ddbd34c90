"""Append-only files: what survives a torn write, what is refused, what a full disk leaves."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nullbay.domain.errors import TooLargeError
from nullbay.wipers import appendfile
from nullbay.wipers.appendfile import (
    AppendFile,
    BrokenFileError,
    read_records,
    write_durably,
)

RECORDS = [{"n": number, "text": "x" * number} for number in range(5)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with five records."""
    path = tmp_path / "events"
    file = AppendFile(path)
    for record in RECORDS:
        file.append(record)
    file.close()
    return path


def reopened(path: Path) -> AppendFile:
    file = AppendFile(path)
    file.close()
    return file


def ends(path: Path) -> list[int]:
    """Where each record ends."""
    content = path.read_bytes()
    return [at + 1 for at, byte in enumerate(content) if byte == ord("\n")]


def test_records_are_there_again_and_go_on(path: Path) -> None:
    file = AppendFile(path)
    assert file.records == RECORDS
    file.append({"n": 5})
    file.close()
    assert read_records(path) == [*RECORDS, {"n": 5}]


def test_cut_at_every_byte_only_the_torn_record_is_lost(path: Path) -> None:
    content, borders = path.read_bytes(), ends(path)
    for length in range(len(content)):
        path.write_bytes(content[:length])
        whole = sum(border <= length for border in borders)
        assert read_records(path) == RECORDS[:whole]
        file = AppendFile(path)
        assert file.records == RECORDS[:whole]
        file.append({"after": length})
        file.close()
        assert read_records(path) == [*RECORDS[:whole], {"after": length}]


@pytest.mark.parametrize("tail", [b"\0" * 40, b"\xff" * 3, b"0" * 16 + b" {}\n", b"\n"])
def test_a_tail_that_was_never_a_record_is_cut(path: Path, tail: bytes) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole + tail)
    assert reopened(path).records == RECORDS
    assert path.read_bytes() == whole


def test_a_change_before_the_last_record_is_refused_and_nothing_is_cut(path: Path) -> None:
    content, borders = path.read_bytes(), ends(path)
    for at in range(borders[-2] - 1):
        changed = bytearray(content)
        changed[at] ^= 1
        path.write_bytes(changed)
        with pytest.raises(BrokenFileError, match="does not fit its checksum"):
            AppendFile(path)
        assert path.read_bytes() == bytes(changed)


@given(st.data())
def test_records_cannot_be_left_out_moved_or_doubled(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("moved") / "events"
    file = AppendFile(path)
    for record in RECORDS:
        file.append(record)
    file.close()
    lines = path.read_bytes().splitlines(keepends=True)
    chosen = data.draw(st.lists(st.sampled_from(lines), min_size=2, max_size=7))
    path.write_bytes(b"".join(chosen))
    if chosen == lines[: len(chosen)]:
        assert reopened(path).records == RECORDS[: len(chosen)]
        return
    try:
        found = reopened(path).records
    except BrokenFileError:
        return
    # only the last line may be taken for a torn one
    assert found == RECORDS[: len(chosen) - 1]


def test_a_full_disk_in_the_middle_of_a_record_leaves_room_for_the_next(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, really = AppendFile(path), os.pwrite

    def half(fd: int, data: memoryview, offset: int) -> int:
        if len(data) < 4:
            raise OSError(errno.ENOSPC, "full")
        return really(fd, data[: len(data) // 2], offset)

    for size in (3000, 1):
        monkeypatch.setattr(os, "pwrite", half)
        with pytest.raises(OSError, match="full"):
            file.append({"lost": "y" * size})
        monkeypatch.undo()
        assert file.records == RECORDS
    file.append({"kept": 1})
    file.append({"kept": 2})
    file.close()
    assert reopened(path).records == [*RECORDS, {"kept": 1}, {"kept": 2}]


def test_a_file_never_grows_beyond_what_is_read_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = 100
    monkeypatch.setattr(appendfile, "FILE_MAX_BYTES", path.stat().st_size + room)
    file = AppendFile(path)
    with pytest.raises(TooLargeError):
        file.append({"x": "y" * room})
    overhead = len(b'{"x":""}') + appendfile.RECORD_OVERHEAD_BYTES
    file.append({"x": "y" * (room - overhead)})
    with pytest.raises(TooLargeError):
        file.append({})
    file.close()
    assert len(reopened(path).records) == len(RECORDS) + 1


def test_a_file_too_large_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appendfile, "FILE_MAX_BYTES", path.stat().st_size - 1)
    with pytest.raises(BrokenFileError, match="more than"):
        AppendFile(path)
    with pytest.raises(BrokenFileError, match="more than"):
        read_records(path)


def test_links_are_not_followed(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(path)
    for use in (AppendFile, read_records):
        with pytest.raises(OSError, match="symbolic"):
            use(link)


class Stop(BaseException):
    """As a simulation kills a process."""


def stop_at(moment: str) -> Callable[[str], None]:
    def fault(name: str) -> None:
        if name.startswith(moment):
            raise Stop

    return fault


@pytest.mark.parametrize(("moment", "kept"), [("append ", 0), ("torn", 0), ("appended", 1)])
def test_the_moments_of_an_append(path: Path, moment: str, kept: int) -> None:
    file = AppendFile(path, fault=stop_at(moment))
    with pytest.raises(Stop):
        file.append({"n": 5})
    file.close()
    torn = moment == "torn"
    assert (path.stat().st_size > ends(path)[-1]) == torn
    assert reopened(path).records == [*RECORDS, *[{"n": 5}] * kept]


@pytest.mark.parametrize(
    ("moment", "kept"),
    [("write", b"old"), ("torn", b"old"), ("written", b"old"), ("renamed", b"new")],
)
def test_a_file_is_replaced_at_once_or_not_at_all(tmp_path: Path, moment: str, kept: bytes) -> None:
    path = tmp_path / "result"
    write_durably(path, b"old")
    with pytest.raises(Stop):
        write_durably(path, b"new", fault=stop_at(moment + " "))
    assert path.read_bytes() == kept
    write_durably(path, b"after")
    assert path.read_bytes() == b"after"
    assert [one.name for one in tmp_path.iterdir()] == ["result"]


def test_two_writers_of_one_name_do_not_meet_in_the_file_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "station.pub.pem"

    def other(moment: str) -> None:
        if moment.startswith("written"):
            write_durably(path, b"other", mark="b")

    write_durably(path, b"mine", mark="a", fault=other)
    assert path.read_bytes() == b"mine"
