"""Reading back before resuming: is this the drive that was written, and is what was flushed there?

At least 64 blocks of 64 KiB out of the journalled ranges, the end of the last flushed range among
them (architecture.md section 7). A pattern without a key proves nothing: there is nothing to read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from nullbay.domain import sampling
from nullbay.domain.clock import Clock
from nullbay.domain.outcome import ReadBack
from nullbay.domain.patterns import Keyed
from nullbay.domain.plan import OverwriteStep
from nullbay.domain.ports import BlockPort, DriveAccess, PortError, PortErrorKind
from nullbay.domain.ranges import ByteRange, RangeSet
from nullbay.wipers import protocol as p
from nullbay.wipers.control import Control
from nullbay.wipers.lanes import TimedCalls
from nullbay.wipers.platform.buffers import aligned, first_difference
from nullbay.wipers.stream import Stream, stream_of

READ_BACK_BLOCKS = 64
READ_BACK_BYTES = 64 * 1024
PAUSE_POLL_S = 0.25


def choose(so_far: p.StepSoFar, sector_bytes: int, seed: bytes) -> tuple[ByteRange, ...]:
    """Blocks to read back, by address, the end of the last flushed range always among them.

    All blocks where little was flushed.
    """
    flushed = RangeSet(so_far.flushed)
    if so_far.last_flushed is not None:
        flushed.add(so_far.last_flushed.start, so_far.last_flushed.end)
    blocks = [block for one in flushed for block in _blocks(one, sector_bytes)]
    if len(blocks) <= READ_BACK_BLOCKS:
        return tuple(blocks)
    chosen: set[ByteRange] = set()
    if so_far.last_flushed is not None:
        last_end = so_far.last_flushed.end
        chosen.add(next(block for block in blocks if block.start < last_end <= block.end))
    counter = 0
    while len(chosen) < READ_BACK_BLOCKS:
        index, counter = sampling.draw(seed, 0, counter, len(blocks))
        chosen.add(blocks[index])
    return tuple(sorted(chosen))


class ReadBackRun:
    """One read-back under way; how far it is may be asked meanwhile."""

    def __init__(
        self, port: BlockPort, stream: Stream, so_far: p.StepSoFar, blocks: tuple[ByteRange, ...]
    ) -> None:
        """Made by `of`."""
        self._port, self._stream, self._blocks = port, stream, blocks
        self.number = so_far.number
        last = so_far.last_flushed
        self._last_included = last is not None and any(
            block.start < last.end <= block.end for block in blocks
        )
        self.done_bytes = 0
        self.total_bytes = sum(block.length for block in blocks)

    @classmethod
    def of(cls, order: p.Execute, access: DriveAccess, draw: Callable[[int], bytes]) -> Self | None:
        """For the step that an order resumes; None where nothing can be proved by reading."""
        so_far = order.so_far
        if so_far is None:
            return None
        step = next((one for one in order.plan.steps if one.number == so_far.number), None)
        if not isinstance(step, OverwriteStep) or not isinstance(step.pattern, Keyed):
            return None
        port = access.port(step.unit_id)
        sector_bytes = port.geometry.logical_sector_bytes
        blocks = choose(so_far, sector_bytes, draw(sampling.SEED_BYTES))
        stream = stream_of(step.pattern, order.job_key, step.number, READ_BACK_BYTES)
        return cls(port, stream, so_far, blocks) if blocks else None

    async def perform(self, calls: TimedCalls, control: Control, clock: Clock) -> ReadBack:
        """Read and compare; a stop leaves blocks unread, which then do not match."""
        got, want = aligned(READ_BACK_BYTES), aligned(READ_BACK_BYTES)
        matched = 0
        for block in self._blocks:
            while control.holds:
                await clock.sleep(PAUSE_POLL_S)
            if control.stop_code:
                break
            matched += await calls.call(lambda block=block: self._holds(block, got, want))  # type: ignore[misc]
            self.done_bytes += block.length
        return ReadBack(len(self._blocks), matched, self._last_included)

    def _holds(self, block: ByteRange, got: memoryview, want: memoryview) -> bool:
        got, want = got[: block.length], want[: block.length]
        try:
            self._port.read_into(block.start, got)
        except PortError as error:
            if error.kind is PortErrorKind.GONE:
                raise
            return False
        self._stream.fill(block.start, want)
        return first_difference(got, want) is None


def _blocks(one: ByteRange, sector_bytes: int) -> list[ByteRange]:
    """Blocks of at most 64 KiB; the last ends where the range ends."""
    size = max(READ_BACK_BYTES - READ_BACK_BYTES % sector_bytes, sector_bytes)
    starts = range(one.start, one.end, size)
    return [ByteRange(at, min(at + size, one.end)) for at in starts]
