"""The volatile write cache of a drive made of software.

Two logs beside the drive's image take turns: when the newer is full, the older is written back and
becomes the newer. So at least half and at most all of the cache's size waits for a flush, memory
holds only an index, and a killed process loses nothing: the cache is the drive's, not the host's.
Only a power cut empties it.
"""

from __future__ import annotations

import os
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from nullbay.lab.state import DriveFiles

RECORD = struct.Struct("<8sQQQ")
MAGIC = b"NBCACHE1"
END = bytes(RECORD.size)
PART_BYTES = 4096
SCRATCH_BYTES = 1024 * 1024

Land: TypeAlias = Callable[[int, memoryview], None]


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes `start` to `end` of the drive, newest in log `log` at `position` of that file."""

    start: int
    end: int
    log: int
    position: int


@dataclass(frozen=True, slots=True)
class _Record:
    generation: int
    offset: int
    length: int
    position: int


class WriteCache:
    """Unflushed writes. Callers take turns (`state.Turn`); `land` puts bytes on the medium."""

    def __init__(self, files: DriveFiles, size_bytes: int, land: Land) -> None:
        """Continue with what the logs hold."""
        self._half = size_bytes // 2 // PART_BYTES * PART_BYTES
        self._scratch = memoryview(bytearray(min(SCRATCH_BYTES, self._half)))
        self._land = land
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._logs = [os.open(files.cache(number), flags, 0o600) for number in (0, 1)]
        self.forget()

    def forget(self) -> None:
        """Read the logs again: another process emptied or filled them."""
        self._starts: list[int] = []
        self._pieces: list[Piece] = []
        self._used = [0, 0]
        held = [list(_records(log)) for log in self._logs]
        generations = [records[-1].generation if records else 0 for records in held]
        self._current = 0 if generations[0] >= generations[1] else 1
        self._generation = max(1, *generations)
        for log in (1 - self._current, self._current):
            for record in held[log]:
                end = record.offset + record.length
                self._insert(Piece(record.offset, end, log, record.position))
                self._used[log] = record.position + record.length

    def add(self, offset: int, data: memoryview) -> None:
        """Take a write in; write the oldest back where there is no room."""
        for start in range(0, len(data), self._half):
            self._add_one(offset + start, data[start : start + self._half])

    def pieces(self, start: int, end: int) -> Iterator[Piece]:
        """What of start..end is in the cache, in order, cut to the span."""
        first = max(0, bisect_right(self._starts, start) - 1)
        for piece in self._pieces[first : bisect_left(self._starts, end)]:
            if piece.end > start:
                yield _cut(piece, start, end)

    def read(self, piece: Piece, buffer: memoryview) -> None:
        """The bytes of a piece."""
        read_whole(self._logs[piece.log], piece.position, buffer)

    def write_back(self) -> None:
        """Everything to the medium, as an honest flush does."""
        for log in (1 - self._current, self._current):
            self._write_back_log(log)

    def lose(self, keeps: Callable[[int], bool]) -> None:
        """A power cut: record after record, oldest first, reaches the medium only if `keeps(n)`."""
        number = 0
        for log in (1 - self._current, self._current):
            for record in _records(self._logs[log]):
                if keeps(number):
                    end = record.offset + record.length
                    self._copy(Piece(record.offset, end, log, record.position))
                number += 1
            self._empty(log)
        self.forget()

    def close(self) -> None:
        """Close the logs; what they hold stays."""
        for log in self._logs:
            os.close(log)

    def _add_one(self, offset: int, data: memoryview) -> None:
        if self._used[self._current] and self._used[self._current] + len(data) > self._half:
            older = 1 - self._current
            self._write_back_log(older)
            self._current = older
            self._generation += 1
        log, at = self._current, self._used[self._current]
        header = RECORD.pack(MAGIC, self._generation, offset, len(data))
        position = at + len(header)
        # The header comes last and makes the record valid; what stands behind is ended first. The
        # log is not cut and grown anew each time: that would cost more than the writing.
        write_whole(self._logs[log], position, data)
        write_whole(self._logs[log], position + len(data), memoryview(END))
        write_whole(self._logs[log], at, memoryview(header))
        self._used[log] = position + len(data)
        self._insert(Piece(offset, offset + len(data), log, position))

    def _write_back_log(self, log: int) -> None:
        for piece in self._pieces:
            if piece.log == log:
                self._copy(piece)
        self._empty(log)
        self._pieces = [piece for piece in self._pieces if piece.log != log]
        self._starts = [piece.start for piece in self._pieces]

    def _copy(self, piece: Piece) -> None:
        """A piece to the medium, a scratch buffer at a time."""
        for start in range(piece.start, piece.end, len(self._scratch)):
            part = _cut(piece, start, start + len(self._scratch))
            data = self._scratch[: part.end - part.start]
            self.read(part, data)
            self._land(part.start, data)

    def _empty(self, log: int) -> None:
        write_whole(self._logs[log], 0, memoryview(END))
        self._used[log] = 0

    def _insert(self, new: Piece) -> None:
        """Newest wins: cut what it covers."""
        first = max(0, bisect_right(self._starts, new.start) - 1)
        if first < len(self._pieces) and self._pieces[first].end <= new.start:
            first += 1
        last = bisect_left(self._starts, new.end)
        kept = [new]
        if first < last:
            if self._pieces[first].start < new.start:
                kept.insert(0, _cut(self._pieces[first], 0, new.start))
            if self._pieces[last - 1].end > new.end:
                kept.append(_cut(self._pieces[last - 1], new.end, self._pieces[last - 1].end))
        self._pieces[first:last] = kept
        self._starts[first:last] = [piece.start for piece in kept]


def _cut(piece: Piece, start: int, end: int) -> Piece:
    start, end = max(start, piece.start), min(end, piece.end)
    return Piece(start, end, piece.log, piece.position + start - piece.start)


def _records(log: int) -> Iterator[_Record]:
    """Records from the beginning; one without its header was never acknowledged."""
    size, at = os.fstat(log).st_size, 0
    while at + RECORD.size <= size:
        magic, generation, offset, length = RECORD.unpack(os.pread(log, RECORD.size, at))
        at += RECORD.size
        if magic != MAGIC or at + length > size:
            return
        yield _Record(generation, offset, length, at)
        at += length


def read_whole(descriptor: int, offset: int, buffer: memoryview) -> None:
    """Fill the buffer; beyond the end of a sparse file there are zeros."""
    done = 0
    while done < len(buffer):
        count = os.preadv(descriptor, [buffer[done:]], offset + done)
        if count == 0:
            buffer[done:] = bytes(len(buffer) - done)
            return
        done += count


def write_whole(descriptor: int, offset: int, data: memoryview) -> None:
    """Write all of it."""
    done = 0
    while done < len(data):
        done += os.pwrite(descriptor, data[done:], offset + done)
