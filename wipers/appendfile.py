"""Append-only, checksummed files: a torn tail is noticed and cut, a change in the middle refused.

One record a line: 16 hex digits, a blank, JSON. The digits are the first 8 bytes of
SHA-256(digits of the record before ‖ JSON), so records cannot be edited, dropped or moved unseen
(whoever may write the file can forge it all; what is signed later is the last digest).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nullbay.domain.canonical import canonical_json
from nullbay.domain.errors import NullbayError, TooLargeError

FIRST = "0" * 16
FILE_MAX_BYTES = 256 * 1024 * 1024
_DIGITS = 16
RECORD_OVERHEAD_BYTES = _DIGITS + 2


class BrokenFileError(NullbayError):
    """A record before the last does not fit its checksum: changed by somebody, or a bad disk."""

    code = "jobdir.broken"


Fault = Callable[[str], None]
"""Called with the name of a moment around each durable write; a simulation crashes there."""


def no_fault(_: str) -> None:
    """Nothing goes wrong."""


class AppendFile:
    """One such file, opened for appending after its records were checked."""

    def __init__(self, path: Path, *, fault: Fault = no_fault) -> None:
        """Create or check it; cut a torn last record. Raises BrokenFileError.

        `fault` is called with `append`, `torn` and `appended`, each with the file's name, around
        each write.
        """
        self._path, self._fault = path, fault
        created = not path.exists()
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            self.records, self._good_bytes, self.head = _checked(self._fd, path)
            if os.fstat(self._fd).st_size != self._good_bytes:
                os.ftruncate(self._fd, self._good_bytes)
                os.fsync(self._fd)
            if created:
                sync_directory(path.parent)
        except BaseException:
            os.close(self._fd)
            raise

    def append(self, plain: Any) -> None:
        """Write one record; returns only after it is on the medium.

        A write that fails half-way (disk full) leaves the file as it was for the next one. Raises
        TooLargeError for what could not be read again.
        """
        body = canonical_json(plain)
        if self._good_bytes + len(body) > FILE_MAX_BYTES - RECORD_OVERHEAD_BYTES:
            msg = f"{self._path.name} would have more than {FILE_MAX_BYTES} bytes"
            raise TooLargeError(msg, next_step="Report this fault")
        head = _digest(self.head, body)
        line = head.encode() + b" " + body + b"\n"
        self._fault(f"append {self._path.name}")
        try:
            self._fault(f"torn {self._path.name}")
        except BaseException:
            _write_all(self._fd, line[: len(line) // 2], self._good_bytes)
            raise
        _write_all(self._fd, line, self._good_bytes)
        os.fdatasync(self._fd)
        self._good_bytes += len(line)
        self.head = head
        self.records.append(json.loads(body))
        self._fault(f"appended {self._path.name}")

    def close(self) -> None:
        """Close it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def read_records(path: Path) -> list[Any]:
    """The records of a file, unchanged; a torn tail is left out. Raises BrokenFileError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        return _checked(fd, path)[0]
    finally:
        os.close(fd)


def sync_directory(path: Path) -> None:
    """Make names created or renamed in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_durably(
    path: Path, content: bytes, mode: int = 0o600, *, mark: str = "", fault: Fault = no_fault
) -> None:
    """Replace a file at once: written beside it, fsynced, renamed, directory fsynced.

    `mark` goes into the name beside it, where two processes may write the same file at a time.
    `fault` is called with `write`, `torn`, `written` and `renamed`, each with the file's name.
    """
    beside = path.with_name(path.name + (f".{mark}" if mark else "") + ".new")
    fault(f"write {path.name}")
    beside.unlink(missing_ok=True)
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        try:
            fault(f"torn {path.name}")
        except BaseException:
            _write_all(fd, content[: len(content) // 2], 0)
            raise
        _write_all(fd, content, 0)
        os.fsync(fd)
    finally:
        os.close(fd)
    fault(f"written {path.name}")
    beside.replace(path)
    sync_directory(path.parent)
    fault(f"renamed {path.name}")


def _write_all(fd: int, content: bytes, offset: int) -> None:
    view = memoryview(content)
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written


def _digest(head: str, body: bytes) -> str:
    return hashlib.sha256(head.encode() + body).hexdigest()[:_DIGITS]


def _checked(fd: int, path: Path) -> tuple[list[Any], int, str]:
    size = os.fstat(fd).st_size
    if size > FILE_MAX_BYTES:
        msg = f"{path.name} has {size} bytes, more than {FILE_MAX_BYTES}"
        raise BrokenFileError(msg, next_step="Keep the folder and call an engineer")
    content = _read_all(fd, size)
    records: list[Any] = []
    head, at = FIRST, 0
    for line in _lines(content):
        body = line[_DIGITS + 1 : -1]
        fits = (
            line.endswith(b"\n")
            and line[_DIGITS : _DIGITS + 1] == b" "
            and line[:_DIGITS] == _digest(head, body).encode()
        )
        if not fits:
            if at + len(line) < len(content):
                msg = f"record {len(records) + 1} of {path.name} does not fit its checksum"
                raise BrokenFileError(msg, next_step="Keep the folder and call an engineer")
            break
        records.append(json.loads(body))
        head, at = line[:_DIGITS].decode(), at + len(line)
    return records, at, head


def _lines(content: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(content):
        end = content.find(b"\n", at) + 1 or len(content)
        yield content[at:end]
        at = end


def _read_all(fd: int, size: int) -> bytes:
    parts, at = [], 0
    while at < size:
        part = os.pread(fd, min(size - at, 1 << 20), at)
        if not part:
            break
        parts.append(part)
        at += len(part)
    return b"".join(parts)
