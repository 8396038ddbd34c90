"""The overwrite engine: one pass over one unit, in blocks, by lanes (architecture.md section 7).

A range counts as written only after a successful flush of the drive issued after its last write.
Blocks that fail are split down to one aligned physical sector, retried, and listed; the first
sector that stays unwritable already decides a Clear, so the pass stops there unless told otherwise.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from nullbay.domain.clock import Clock, Stamp
from nullbay.domain.outcome import LISTED_MAX, SectorList
from nullbay.domain.policy import Budgets
from nullbay.domain.ports import BlockPort, PortError, PortErrorKind
from nullbay.domain.ranges import ByteRange, RangeSet
from nullbay.wipers.control import PAUSE_POLL_S, Control
from nullbay.wipers.stream import Stream

BLOCK_BYTES = 2 * 1024 * 1024
LANES = 2
FLUSH_BYTES = 1024 * 1024 * 1024
FLUSH_S = 5.0

_OF_A_SECTOR = frozenset({PortErrorKind.MEDIUM, PortErrorKind.OTHER})


@dataclass(frozen=True, slots=True)
class Flushed:
    """Ranges that are on the medium now, by the drive's own answer to the flush at `at`."""

    ranges: tuple[ByteRange, ...]
    at: Stamp


@dataclass(frozen=True, slots=True)
class Unwritable:
    """One logical sector that stayed unwritable after all retries."""

    lba: int
    errno: str


class OverwritePass:
    """State of one pass, shared by its lanes. Every public method may be called from any thread."""

    def __init__(  # noqa: PLR0913 - the parts of a pass
        self,
        port: BlockPort,
        stream: Stream,
        budgets: Budgets,
        control: Control,
        clock: Clock,
        report: Callable[[Flushed | Unwritable], None],
        *,
        already_flushed: RangeSet,
        block_bytes: int = BLOCK_BYTES,
        flush_bytes: int = FLUSH_BYTES,
        flush_s: float = FLUSH_S,
    ) -> None:
        """`already_flushed` are ranges an earlier session wrote and this one does not repeat."""
        self._port, self._stream, self._budgets = port, stream, budgets
        self.control, self._clock, self._report = control, clock, report
        self._block_bytes, self._flush_bytes, self._flush_s = block_bytes, flush_bytes, flush_s
        self._lock = threading.Lock()
        self._flush_lock = threading.Lock()
        self._size = port.geometry.size_bytes
        self._todo = list(already_flushed.missing(0, self._size))
        self._at = 0
        self._index = 0
        self._pending: list[ByteRange] = []
        self._pending_bytes = 0
        self._last_flush_s = clock.boottime()
        self.flushed = RangeSet(already_flushed)
        self.last_flush: Stamp | None = None
        self.written_bytes = self.flushed.total_bytes
        self.last_written: ByteRange | None = None
        self.unwritable_count = 0
        self._unwritable_first: list[int] = []
        self.cured_by_retry = 0
        self.failure: str | None = None
        self.gone = False
        self._in_flight: dict[int, float] = {}

    def lanes(self, count: int = LANES) -> tuple[WriteLane, ...]:
        """Lanes with a source of bytes each."""
        return tuple(WriteLane(self, number, self._stream) for number in range(count))

    @property
    def unwritable(self) -> SectorList:
        """Sectors that could not be written, the first of them by address."""
        with self._lock:
            return SectorList(self.unwritable_count, tuple(self._unwritable_first))

    def longest_in_flight_s(self) -> float:
        """How long the oldest unanswered call to the drive has been out."""
        # a copy, made in one step of the interpreter: lanes come and go meanwhile
        started = min(self._in_flight.copy().values(), default=None)
        return 0.0 if started is None else self._clock.boottime() - started

    def claim(self) -> ByteRange | None:
        """The next block nobody has taken; None when all are taken or the pass stops."""
        largest = self.control.block_bytes(self._block_bytes)
        with self._lock:
            if self.failure or self.control.stop_code:
                return None
            while self._index < len(self._todo):
                part = self._todo[self._index]
                start = max(self._at, part.start)
                if start >= part.end:
                    self._index += 1
                    continue
                self._at = min((start // largest + 1) * largest, part.end)
                return ByteRange(start, self._at)
            return None

    def write(self, lane: int, block: ByteRange, data: memoryview) -> None:
        """Write one block, split it where it fails, and flush when it is time."""
        try:
            self._write_split(lane, block.start, data)
        except PortError as error:
            self._fail(error)
            return
        if self._is_flush_due():
            self.flush()

    def flush(self) -> None:
        """Make all that was written before durable, and report it; failures end the pass."""
        with self._flush_lock:
            with self._lock:
                ranges, self._pending, self._pending_bytes = self._pending, [], 0
                self._last_flush_s = self._clock.boottime()
            if not ranges or self.gone:
                return
            token = -1
            self._in_flight[token] = self._clock.boottime()
            try:
                self._port.flush()
            except PortError as error:
                self._fail(error, code="write.flush-failed")
                return
            finally:
                del self._in_flight[token]
            stamp = self._clock.now()
            self._last_flush_s = self._clock.boottime()
            merged = RangeSet(ranges).frozen()
            with self._lock:
                for one in merged:
                    self.flushed.add(one.start, one.end)
                self.last_flush = stamp
            self._report(Flushed(merged, stamp))

    def finish(self) -> None:
        """The last flush; call after every lane is done."""
        if not self.gone:
            self.flush()

    def _write_split(self, lane: int, offset: int, data: memoryview) -> None:
        try:
            self._write_once(lane, offset, data)
        except PortError as error:
            if error.kind not in _OF_A_SECTOR:
                raise
            physical = self._port.geometry.physical_sector_bytes
            if offset // physical == (offset + len(data) - 1) // physical:
                self._retry_sector(lane, offset, data, error)
                return
            middle = _middle(offset, len(data), physical)
            self._write_split(lane, offset, data[:middle])
            if not self._stops():
                self._write_split(lane, offset + middle, data[middle:])
            return
        self._wrote(offset, len(data), cured=False)

    def _retry_sector(self, lane: int, offset: int, data: memoryview, error: PortError) -> None:
        """One physical sector, or as much of it as there is, until it is written or given up."""
        for _ in range(self._budgets.write_retries):
            self._clock.wait_blocking(self._budgets.retry_pause_s)
            if self.control.stop_code:
                return  # neither written nor known to be unwritable
            try:
                self._write_once(lane, offset, data)
            except PortError as again:
                if again.kind not in _OF_A_SECTOR:
                    raise
                error = again
            else:
                self._wrote(offset, len(data), cured=True)
                return
        logical = self._port.geometry.logical_sector_bytes
        lbas = range(offset // logical, (offset + len(data)) // logical)
        self.control.count_errors(len(lbas))
        with self._lock:
            self.unwritable_count += len(lbas)
            self._unwritable_first = sorted({*self._unwritable_first, *lbas})[:LISTED_MAX]
            if not self._budgets.continue_past_unwritable:
                self.failure = self.failure or "write.unwritable-sector"
        for lba in lbas:
            self._report(Unwritable(lba, error.errno))

    def _wrote(self, offset: int, length: int, *, cured: bool) -> None:
        done = ByteRange(offset, offset + length)
        with self._lock:
            self._pending.append(done)
            self._pending_bytes += length
            self.written_bytes += length
            self.last_written = done
            self.cured_by_retry += cured
        if cured:
            self.control.count_errors()

    def _write_once(self, lane: int, offset: int, data: memoryview) -> None:
        self._in_flight[lane] = self._clock.boottime()
        try:
            self._port.write_from(offset, data)
        finally:
            del self._in_flight[lane]

    def _is_flush_due(self) -> bool:
        """Asked by every lane after every block; while one lane flushes, the others go on."""
        if not self._pending_bytes or self._flush_lock.locked():
            return False
        overdue = self._clock.boottime() - self._last_flush_s >= self._flush_s
        return overdue or self._pending_bytes >= self._flush_bytes

    def _stops(self) -> bool:
        return bool(self.failure or self.control.stop_code)

    def _fail(self, error: PortError, code: str | None = None) -> None:
        codes = {
            PortErrorKind.GONE: "drive.gone",
            PortErrorKind.READ_ONLY: "write.read-only",
            PortErrorKind.TIMEOUT: "write.stalled",
        }
        with self._lock:
            if error.kind is PortErrorKind.GONE:
                self.gone = True
                self.failure = "drive.gone"
            else:
                self.failure = self.failure or code or codes.get(error.kind, "drive.error")


class WriteLane:
    """One lane of a pass: claims a block, takes its bytes from the stream, writes."""

    def __init__(self, owner: OverwritePass, number: int, stream: Stream) -> None:
        """Its own source, because cipher contexts are not shared."""
        self._pass, self._number, self._source = owner, number, stream.source()

    def step(self) -> float | None:
        """One block; waits while paused."""
        control = self._pass.control
        if control.holds:
            return PAUSE_POLL_S
        block = self._pass.claim()
        if block is None:
            return None
        self._pass.write(self._number, block, self._source.take(block.start, block.length))
        return control.account(block.length)


def _middle(offset: int, length: int, physical: int) -> int:
    """Where to split: half, on a border of physical sectors of the drive."""
    middle = offset + length // 2
    border = middle - middle % physical
    if border <= offset:
        border = offset - offset % physical + physical
    return border - offset
