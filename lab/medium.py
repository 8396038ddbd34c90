"""The medium of a drive made of software: what its sectors do, without time or handles.

It answers with the kernel's errnos (reference: docs/lab.md); a port makes errors of them.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from pathlib import Path

from nullbay.domain.method import Transport
from nullbay.domain.ranges import ByteRange, RangeSet
from nullbay.domain.text import show
from nullbay.lab.cache import WriteCache, read_whole, write_whole
from nullbay.lab.description import (
    DeallocateKind,
    DriveDescription,
    FlushKind,
    LossKind,
)
from nullbay.lab.state import DriveFiles, DriveState, Slot, StateError, Turn

ZEROS = memoryview(bytes(1024 * 1024))


class DriveAnswerError(Exception):
    """The drive answered with this errno. Errors of the files beneath stay OSErrors."""

    def __init__(self, number: int) -> None:
        super().__init__(os.strerror(number))
        self.number = number


class Medium:
    """Image, cache, faults and state of one drive. Use it inside `turn.taken()`."""

    def __init__(self, description: DriveDescription, files: DriveFiles) -> None:
        """Open the files. Raises StateError where there are none."""
        self.description, self.files = description, files
        self._curable = description.physical(description.unreadable_until_rewritten)
        self.state = DriveState(files, curable_sectors(description))
        self._images = [_open_image(files.image)]
        if description.other is not None:
            self._images.append(_open_image(files.other_image))
        self._unreadable = Spans(description.physical(description.unreadable))
        self._unwritable = Spans(description.physical(description.unwritable))
        self._ignored = Spans(description.logical(description.ignored_writes))
        self._cures = _Cures(self._curable, description.physical_sector_bytes, self.state.cured)
        self._cuts_seen = self.state[Slot.POWER_CUTS]
        self.turn = Turn(files.turn)
        self._cache: WriteCache | None = None
        if description.cache is not None:
            with self.turn.taken():
                self._cache = WriteCache(files, description.cache.bytes, self._land)

    @property
    def pending_sectors(self) -> int:
        """Physical sectors that wait for a rewrite."""
        return self._cures.pending

    def catch_up(self) -> None:
        """Take note of a power cut by somebody else's hand."""
        if self._cuts_seen != self.state[Slot.POWER_CUTS]:
            self._cuts_seen = self.state[Slot.POWER_CUTS]
            if self._cache is not None:
                self._cache.forget()

    def read(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer, or fail as a whole at the first unreadable physical sector."""
        end = offset + len(buffer)
        cached = () if self._cache is None else tuple(self._cache.pieces(offset, end))
        at = offset
        for piece in cached:
            self._require_readable(at, piece.start)
            at = piece.end
        self._require_readable(at, end)
        read_whole(self._image, offset, buffer)
        if self._cache is not None:
            for piece in cached:
                self._cache.read(piece, buffer[piece.start - offset : piece.end - offset])

    def write(self, offset: int, data: memoryview) -> None:
        """Take it, or fail at the first physical sector that refuses: what lies before it is taken.

        A part of a physical sector cannot be written where the rest of it cannot be read.
        """
        end = offset + len(data)
        bad = self._first_refusing(offset, end)
        stop = end if bad is None else max(offset, bad)
        if stop > offset:
            if self._cache is None:
                self._land(offset, data[: stop - offset])
            else:
                self._cache.add(offset, data[: stop - offset])
        if bad is not None:
            is_nvme = self.description.transport is Transport.NVME
            raise DriveAnswerError(errno.ENODATA if is_nvme else errno.EREMOTEIO)

    def flush(self) -> None:
        """Empty the cache onto the medium, or do what the description says instead."""
        if self.description.flush is FlushKind.FAILS:
            raise DriveAnswerError(errno.EIO)
        self.state.add(Slot.FLUSHES, 1)
        if self._cache is not None and self.description.flush is FlushKind.HONEST:
            self._cache.write_back()

    def deallocate(self, offset: int, length: int) -> None:
        """Forget a range, or pretend to."""
        kind = self.description.deallocate
        if kind is DeallocateKind.UNSUPPORTED:
            raise DriveAnswerError(errno.EOPNOTSUPP)
        if kind is DeallocateKind.ZEROS:
            if self._cache is not None:
                self._cache.write_back()
            for start in range(offset, offset + length, len(ZEROS)):
                self._land(start, ZEROS[: min(len(ZEROS), offset + length - start)])

    def cut_power(self) -> None:
        """Lose what is in the cache, or some of it."""
        self.state.add(Slot.POWER_CUTS, 1)
        cuts = self._cuts_seen = self.state[Slot.POWER_CUTS]
        if self._cache is None or self.description.cache is None:
            return
        loses_some = self.description.cache.loss is LossKind.SOME
        seed = self.description.seed

        def keeps(number: int) -> bool:
            drawn = hashlib.sha256(f"nullbay lab loss {seed} {cuts} {number}".encode()).digest()
            return loses_some and drawn[0] < 128

        self._cache.lose(keeps)

    def close(self) -> None:
        """Close every file."""
        with self.turn.taken():
            for image in self._images:
                os.close(image)
            if self._cache is not None:
                self._cache.close()
            self.state.close()
        self.turn.close()

    @property
    def _image(self) -> int:
        return self._images[self.state[Slot.IS_OTHER]]

    def _land(self, offset: int, data: memoryview) -> None:
        """Bytes reach the medium, except in a region whose writes are ignored."""
        end = offset + len(data)
        for start, stop in self._ignored.gaps(offset, end):
            write_whole(self._image, start, data[start - offset : stop - offset])
        self._cures.cure(offset, end)

    def _require_readable(self, start: int, end: int) -> None:
        if self._first_unreadable(start, end) is not None:
            raise DriveAnswerError(errno.ENODATA)

    def _first_unreadable(self, start: int, end: int) -> int | None:
        found = [self._unreadable.first_in(start, end), self._cures.first_in(start, end)]
        return min((one for one in found if one is not None), default=None)

    def _first_refusing(self, start: int, end: int) -> int | None:
        physical = self.description.physical_sector_bytes
        found = [self._unwritable.first_in(start, end)]
        head, tail = start - start % physical, end - end % physical
        size = self.description.size_bytes
        partial = {head} if start != head else set()
        if end not in (tail, size):
            partial.add(tail)
        found += [
            sector
            for sector in partial
            if self._first_unreadable(sector, min(sector + physical, size)) is not None
        ]
        return min((one for one in found if one is not None), default=None)


class Spans:
    """Immutable byte ranges that can be asked for the first byte they share with another."""

    def __init__(self, ranges: Iterable[ByteRange]) -> None:
        """Merge them."""
        merged = RangeSet(ranges).frozen()
        self._starts = [one.start for one in merged]
        self._ends = [one.end for one in merged]

    def first_in(self, start: int, end: int) -> int | None:
        """The first byte of start..end that is in; None where none is."""
        at = bisect_right(self._ends, start)
        if start < end and at < len(self._starts) and self._starts[at] < end:
            return max(start, self._starts[at])
        return None

    def gaps(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The parts of start..end that are not in."""
        first, last = bisect_right(self._ends, start), bisect_left(self._starts, end)
        for at in range(first, last):
            if self._starts[at] > start:
                yield start, self._starts[at]
            start = self._ends[at]
        if start < end:
            yield start, end


class _Cures:
    """Physical sectors that cannot be read until they are rewritten: one byte of state for each."""

    def __init__(self, ranges: Iterable[ByteRange], physical: int, cured: memoryview) -> None:
        merged = RangeSet(ranges).frozen()
        self._physical, self._cured = physical, cured
        self._spans: list[tuple[int, int, int]] = []
        base = 0
        for one in merged:
            self._spans.append((one.start, one.end, base))
            base += -(-one.length // physical)

    @property
    def pending(self) -> int:
        """How many are left."""
        return bytes(self._cured).count(0)

    def first_in(self, start: int, end: int) -> int | None:
        """The first byte of start..end in a sector that is still to be rewritten."""
        for low, first, last in self._overlaps(start, end):
            found = bytes(self._cured[first:last]).find(0)
            if found >= 0:
                base = next(base for at, _, base in self._spans if at == low)
                return max(start, low + (first - base + found) * self._physical)
        return None

    def cure(self, start: int, end: int) -> None:
        """These bytes were written; a write that could not cure its sectors was refused before."""
        for _, first, last in self._overlaps(start, end):
            self._cured[first:last] = b"\1" * (last - first)

    def _overlaps(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Start of the span, first and last index of the touched sectors."""
        for low, high, base in self._spans:
            if low < end and high > start and start < end:
                first = base + (max(start, low) - low) // self._physical
                last = base + -(-(min(end, high) - low) // self._physical)
                yield low, first, last


def curable_sectors(description: DriveDescription) -> int:
    """How many physical sectors the state keeps a byte for."""
    size = description.physical_sector_bytes
    merged = RangeSet(description.physical(description.unreadable_until_rewritten))
    return sum(-(-one.length // size) for one in merged)


def _open_image(path: Path) -> int:
    """A regular file and nothing else: never a link, never a device."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise StateError(
            f"{show(path.name)} is not a regular file",
            next_step="Drives made of software live in regular files; make the drive anew",
        )
    return descriptor
