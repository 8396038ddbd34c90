"""Verification: read what profile and seed prescribe, compare with the stream, judge nothing.

Reads bypass the host's page cache and use FUA where the port has it; the region written last is
read last, so that the drive's own cache does not answer for the medium. A sector that cannot be
read is read again, then (in a job, never in a re-check) written once more and read back.
"""

from __future__ import annotations

import bisect
import threading
from collections.abc import Iterable
from dataclasses import dataclass

from nullbay.domain import sampling
from nullbay.domain.clock import Clock
from nullbay.domain.outcome import LISTED_MAX, Content, Mismatch, SectorList, VerificationResult
from nullbay.domain.policy import VerificationProfile
from nullbay.domain.ports import BlockPort, PortError, PortErrorKind
from nullbay.domain.ranges import ByteRange
from nullbay.wipers.control import PAUSE_POLL_S, Control
from nullbay.wipers.platform.buffers import aligned, first_difference
from nullbay.wipers.stream import COMPARED_BYTES, Source, Stream, finding_digest

BLOCK_BYTES = 2 * 1024 * 1024
LANES = 2
LAST_REGION_BYTES = 256 * 1024 * 1024
_TEXT_SHARE_PERCENT = 90
_OF_A_SECTOR = frozenset({PortErrorKind.MEDIUM, PortErrorKind.OTHER, PortErrorKind.TIMEOUT})


@dataclass(frozen=True, slots=True)
class ReadingRule:
    """How to treat sectors that do not read: how often to retry, and whether to write them anew."""

    retries: int
    retry_pause_s: int
    cure_by_rewriting: bool


class Verification:
    """One verification of one unit, shared by its lanes."""

    def __init__(  # noqa: PLR0913 - the parts of a verification
        self,
        port: BlockPort,
        stream: Stream,
        profile: VerificationProfile,
        seed: bytes,
        rule: ReadingRule,
        control: Control,
        clock: Clock,
        finding_key: bytes,
        *,
        last_written: ByteRange | None = None,
        ranges: tuple[ByteRange, ...] | None = None,
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        """`ranges` replaces what profile and seed prescribe (for read-backs before resuming)."""
        geometry = port.geometry
        self._port, self._stream, self.control, self._clock = port, stream, control, clock
        self._rule, self._finding_key = rule, finding_key
        self._profile, self._seed = profile, seed
        self.drawn = clock.now()
        planned = ranges
        if planned is None:
            planned = sampling.extents(
                profile, geometry.size_bytes, geometry.logical_sector_bytes, seed
            )
        self._extents_sha256 = sampling.extents_sha256(planned)
        self.planned_bytes = sum(one.length for one in planned)
        self._block_bytes = control.block_bytes(block_bytes)
        self._blocks = iter(
            _in_order(planned, last_written, geometry.size_bytes, self._block_bytes)
        )
        self._lock = threading.Lock()
        self._in_flight: dict[int, float] = {}
        self.read_bytes = 0
        self.mismatched = 0
        self._mismatches: list[Mismatch] = []
        self._unreadable: list[int] = []
        self._unreadable_count = 0
        self._cured = 0
        self.failure: str | None = None
        self.gone = False

    def lanes(self, count: int = LANES) -> tuple[ReadLane, ...]:
        """Lanes with their buffers."""
        return tuple(
            ReadLane(self, number, self._stream.source(), self._block_bytes)
            for number in range(count)
        )

    def longest_in_flight_s(self) -> float:
        """How long the oldest unanswered call to the drive has been out."""
        # a copy, made in one step of the interpreter: lanes come and go meanwhile
        started = min(self._in_flight.copy().values(), default=None)
        return 0.0 if started is None else self._clock.boottime() - started

    def result(self) -> VerificationResult:
        """What was found so far; complete only if every planned byte was read."""
        with self._lock:
            return VerificationResult(
                profile=self._profile,
                seed=self._seed,
                drawn=self.drawn,
                extents_sha256=self._extents_sha256,
                planned_bytes=self.planned_bytes,
                read_bytes=self.read_bytes,
                reads=self._port.reads,
                mismatched=self.mismatched,
                mismatches=tuple(self._mismatches),
                unreadable=SectorList(self._unreadable_count, tuple(self._unreadable)),
                cured_by_rewriting=self._cured,
                ended=self._clock.now(),
            )

    def claim(self) -> ByteRange | None:
        """The next block to read; None when all are taken, or enough is known."""
        with self._lock:
            enough = self.mismatched + self._unreadable_count >= LISTED_MAX
            if self.failure or self.control.stop_code or enough:
                return None
            return next(self._blocks, None)

    def read(self, lane: int, block: ByteRange, buffer: memoryview, source: Source) -> None:
        """Read one block, compare it, count what differs."""
        try:
            self._read_split(lane, block.start, buffer, source)
        except PortError as error:
            with self._lock:
                self.gone = self.gone or error.kind is PortErrorKind.GONE
                self.failure = "drive.gone" if self.gone else self.failure or "drive.error"

    def _read_split(self, lane: int, offset: int, buffer: memoryview, source: Source) -> None:
        try:
            self._read_once(lane, offset, buffer)
        except PortError as error:
            if error.kind not in _OF_A_SECTOR:
                raise
            logical = self._port.geometry.logical_sector_bytes
            if len(buffer) > logical:
                middle = len(buffer) // logical // 2 * logical
                self._read_split(lane, offset, buffer[:middle], source)
                if not self.control.stop_code:
                    self._read_split(lane, offset + middle, buffer[middle:], source)
                return
            if not self._read_sector(lane, offset, buffer, source):
                return
        if not source.is_held_by(buffer, offset):
            self._list_differences(offset, buffer)
        with self._lock:
            self.read_bytes += len(buffer)

    def _read_sector(self, lane: int, offset: int, buffer: memoryview, source: Source) -> bool:
        """Whether the sector could be read after all; if not, it is listed."""
        for _ in range(self._rule.retries):
            self._clock.wait_blocking(self._rule.retry_pause_s)
            if self.control.stop_code:
                return False  # neither read nor known to be unreadable
            if self._try_read(lane, offset, buffer):
                self.control.count_errors()
                return True
        self.control.count_errors()
        rewritten = self._rule.cure_by_rewriting and self._rewrite(lane, offset, source)
        if rewritten and self._try_read(lane, offset, buffer):
            with self._lock:
                self._cured += 1
            return True
        with self._lock:
            self._unreadable_count += 1
            bisect.insort(self._unreadable, offset // self._port.geometry.logical_sector_bytes)
            del self._unreadable[LISTED_MAX:]
        return False

    def _rewrite(self, lane: int, offset: int, source: Source) -> bool:
        """The physical sector around `offset`, once: of a bad one a drive cannot write a part."""
        physical = self._port.geometry.physical_sector_bytes
        start = offset - offset % physical
        end = min(start + physical, self._port.geometry.size_bytes)
        self._in_flight[lane] = self._clock.boottime()
        try:
            self._port.write_from(start, source.take(start, end - start))
            self._port.flush()
        except PortError as error:
            if error.kind is PortErrorKind.GONE:
                raise
            return False
        finally:
            del self._in_flight[lane]
        return True

    def _try_read(self, lane: int, offset: int, buffer: memoryview) -> bool:
        try:
            self._read_once(lane, offset, buffer)
        except PortError as error:
            if error.kind is PortErrorKind.GONE:
                raise
            return False
        return True

    def _read_once(self, lane: int, offset: int, buffer: memoryview) -> None:
        self._in_flight[lane] = self._clock.boottime()
        try:
            self._port.read_into(offset, buffer)
        finally:
            del self._in_flight[lane]

    def _list_differences(self, offset: int, buffer: memoryview) -> None:
        logical = self._port.geometry.logical_sector_bytes
        want = aligned(max(COMPARED_BYTES, logical))
        for start in range(0, len(buffer), len(want)):
            got = buffer[start : start + len(want)]
            self._stream.fill(offset + start, want[: len(got)])
            for at in range(0, len(got), logical):
                sector = got[at : at + logical]
                first = first_difference(sector, want[at : at + logical])
                if first is not None:
                    self._differs((offset + start + at) // logical, first, sector)

    def _differs(self, lba: int, first: int, sector: memoryview) -> None:
        """Count it; the first of them by address are listed."""
        with self._lock:
            self.mismatched += 1
            if len(self._mismatches) >= LISTED_MAX and lba > self._mismatches[-1].lba:
                return
            digest = finding_digest(self._finding_key, lba, sector)
            found = Mismatch(lba, first, classify(sector), digest)
            bisect.insort(self._mismatches, found, key=lambda one: one.lba)
            del self._mismatches[LISTED_MAX:]


class ReadLane:
    """One lane of a verification."""

    def __init__(self, owner: Verification, number: int, source: Source, block_bytes: int) -> None:
        """A buffer to read into, a source to compare with."""
        self._owner, self._number, self._source = owner, number, source
        self._buffer = aligned(block_bytes)

    def step(self) -> float | None:
        """One block; waits while paused."""
        control = self._owner.control
        if control.holds:
            return PAUSE_POLL_S
        block = self._owner.claim()
        if block is None:
            return None
        self._owner.read(self._number, block, self._buffer[: block.length], self._source)
        return control.account(block.length)


def classify(sector: memoryview) -> Content:
    """How a sector looks that is not what it should be; tells a class, never bytes."""
    content = bytes(sector)
    if not content.strip(b"\x00"):
        return Content.ZERO
    if not content.strip(b"\xff"):
        return Content.FF
    if not content.strip(content[:1]):
        return Content.CONSTANT
    printable = sum(1 for byte in content if 0x20 <= byte < 0x7F or byte in b"\t\r\n")
    return Content.TEXT if printable * 100 >= len(content) * _TEXT_SHARE_PERCENT else Content.OTHER


def _in_order(
    planned: tuple[ByteRange, ...],
    last_written: ByteRange | None,
    size_bytes: int,
    block_bytes: int,
) -> Iterable[ByteRange]:
    """Blocks by address, those near the last write after all others."""
    end = last_written.end if last_written else size_bytes
    start = max(0, end - LAST_REGION_BYTES)
    late: list[ByteRange] = []
    for one in planned:
        for block in _cut(one, block_bytes):
            if block.start < end and block.end > start:
                late.append(block)
            else:
                yield block
    yield from late


def _cut(one: ByteRange, block_bytes: int) -> Iterable[ByteRange]:
    at = one.start
    while at < one.end:
        border = (at // block_bytes + 1) * block_bytes
        yield ByteRange(at, min(border, one.end))
        at = min(border, one.end)
