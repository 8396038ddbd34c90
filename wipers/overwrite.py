"""The overwrite engine: one pass over one unit, in blocks, by lanes (architecture.md section 7).

A range counts as written only after a successful flush of the drive issued after its last write.
Blocks that fail are split down to one aligned physical sector, retried, and listed; the first sector
that stays unwritable already decides a Clear, so the pass stops there unless told otherwise.
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
from nullbay.wipers.platform.buffers import aligned
from nullbay.wipers.stream import Stream

BLOCK_BYTES = 4 * 1024 * 1024
LANES = 2
FLUSH_BYTES = 1024 * 1024 * 1024
FLUSH_S = 5.0


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
        self.port, self.stream, self.budgets, self.control, self.clock = (
            port,
            stream,
            budgets,
            control,
            clock,
        )
        self._report = report
        self._block_bytes, self._flush_bytes, self._flush_s = block_bytes, flush_bytes, flush_s
        self._lock = threading.RLock()
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
        self.unwritable_first: list[int] = []
        self.cured_by_retry = 0
        self.failure: str | None = None
        self.gone = False
        self._in_flight: dict[int, float] = {}

    def lanes(self, count: int = LANES) -> tuple[WriteLane, ...]:
        """Lanes with a buffer each."""
        return tuple(WriteLane(self, number, self._block_bytes) for number in range(count))

    @property
    def unwritable(self) -> SectorList:
        """Sectors that could not be written, the first of them by address."""
        with self._lock:
            return SectorList(
                self.unwritable_count, tuple(sorted(self.unwritable_first)[:LISTED_MAX])
            )

    def longest_in_flight_s(self) -> float:
        """How long the oldest unanswered call to the drive has been out."""
        with self._lock:
            started = min(self._in_flight.values(), default=None)
        return 0.0 if started is None else self.clock.boottime() - started

    def claim(self) -> ByteRange | None:
        """The next block nobody has taken; None when all are taken or the pass stops."""
        with self._lock:
            if self.failure or self.control.stop_code:
                return None
            while self._index < len(self._todo):
                part = self._todo[self._index]
                start = max(self._at, part.start)
                if start >= part.end:
                    self._index += 1
                    continue
                border = (start // self._block_bytes + 1) * self._block_bytes
                end = min(border, part.end)
                self._at = end
                return ByteRange(start, end)
            return None

    def write(self, lane: int, block: ByteRange, buffer: memoryview) -> None:
        """Write one block, split it where it fails, and flush when it is time."""
        try:
            self._write_split(lane, block.start, buffer)
        except PortError as error:
            self._fail(error)
            return
        if self._is_flush_due():
            self.flush()

    def flush(self) -> None:
        """Make everything written before this call durable, and report it; failures end the pass."""
        with self._flush_lock:
            with self._lock:
                ranges, self._pending, self._pending_bytes = self._pending, [], 0
                self._last_flush_s = self.clock.boottime()
            if not ranges or self.gone:
                return
            token = -1
            try:
                self._out(token)
                self.port.flush()
            except PortError as error:
                self._fail(error, code="write.flush-failed")
                return
            finally:
                self._back(token)
            stamp = self.clock.now()
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

    def _write_split(self, lane: int, offset: int, buffer: memoryview) -> None:
        try:
            self._write_once(lane, offset, buffer)
        except PortError as error:
            if error.kind not in {PortErrorKind.MEDIUM, PortErrorKind.OTHER}:
                raise
            physical = self.port.geometry.physical_sector_bytes
            if len(buffer) > physical:
                middle = _middle(offset, len(buffer), physical)
                self._write_split(lane, offset, buffer[:middle])
                if not (self.failure or self.control.stop_code):
                    self._write_split(lane, offset + middle, buffer[middle:])
                return
            self._write_sector(lane, offset, buffer, error)
            return
        with self._lock:
            done = ByteRange(offset, offset + len(buffer))
            self._pending.append(done)
            self._pending_bytes += done.length
            self.written_bytes += done.length
            self.last_written = done

    def _write_sector(self, lane: int, offset: int, buffer: memoryview, error: PortError) -> None:
        for _ in range(self.budgets.write_retries):
            self.clock.wait_blocking(self.budgets.retry_pause_s)
            try:
                self._write_once(lane, offset, buffer)
            except PortError as again:
                if again.kind not in {PortErrorKind.MEDIUM, PortErrorKind.OTHER}:
                    raise
                error = again
                continue
            with self._lock:
                self._pending.append(ByteRange(offset, offset + len(buffer)))
                self._pending_bytes += len(buffer)
                self.written_bytes += len(buffer)
                self.cured_by_retry += 1
            return
        logical = self.port.geometry.logical_sector_bytes
        lbas = range(offset // logical, (offset + len(buffer)) // logical)
        with self._lock:
            self.unwritable_count += len(lbas)
            self.unwritable_first = sorted({*self.unwritable_first, *lbas})[:LISTED_MAX]
            if not self.budgets.continue_past_unwritable:
                self.failure = self.failure or "write.unwritable-sector"
        for lba in lbas:
            self._report(Unwritable(lba, error.errno))

    def _write_once(self, lane: int, offset: int, buffer: memoryview) -> None:
        self._out(lane)
        try:
            self.port.write_from(offset, buffer)
        finally:
            self._back(lane)

    def _out(self, token: int) -> None:
        with self._lock:
            self._in_flight[token] = self.clock.boottime()

    def _back(self, token: int) -> None:
        with self._lock:
            self._in_flight.pop(token, None)

    def _is_flush_due(self) -> bool:
        with self._lock:
            overdue = self.clock.boottime() - self._last_flush_s >= self._flush_s
            return self._pending_bytes >= self._flush_bytes or (overdue and self._pending_bytes > 0)

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
    """One lane of a pass: claims a block, fills its buffer, writes."""

    def __init__(self, owner: OverwritePass, number: int, block_bytes: int) -> None:
        """One page-aligned buffer of a block."""
        self._pass, self._number = owner, number
        self._buffer = aligned(block_bytes)
        self._held: tuple[int, int] | None = None

    def step(self) -> float | None:
        """One block; waits while paused."""
        control = self._pass.control
        if control.paused and not control.stop_code:
            return PAUSE_POLL_S
        block = self._pass.claim()
        if block is None:
            return None
        view = self._buffer[: block.length]
        phase = self._pass.stream.phase(block.start)
        if (
            phase is None
            or self._held is None
            or self._held[0] != phase
            or self._held[1] < block.length
        ):
            self._pass.stream.fill(block.start, view)
            self._held = None if phase is None else (phase, block.length)
        self._pass.write(self._number, block, view)
        return control.account(block.length)


def _middle(offset: int, length: int, physical: int) -> int:
    """Where to split: half, on a border of physical sectors of the drive."""
    middle = offset + length // 2
    border = middle - middle % physical
    if border <= offset:
        border = offset - offset % physical + physical
    return border - offset
