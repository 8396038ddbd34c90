"""Reading back before resuming: is this the drive that was written, and is what was flushed there?

At least 64 blocks of 64 KiB out of the journalled ranges, the end of the last flushed range among
them (architecture.md section 7). A pattern without a key proves nothing, so there is nothing to read.
"""

from __future__ import annotations

import secrets

from nullbay.domain import sampling
from nullbay.domain.clock import Clock
from nullbay.domain.outcome import ReadBack
from nullbay.domain.patterns import Keyed
from nullbay.domain.plan import OverwriteStep
from nullbay.domain.ports import BlockPort, DriveAccess, PortError, PortErrorKind
from nullbay.domain.ranges import ByteRange, RangeSet
from nullbay.wipers import protocol as p
from nullbay.wipers.control import Control
from nullbay.wipers.lanes import LaneExecutor
from nullbay.wipers.platform.buffers import aligned, first_difference
from nullbay.wipers.stream import Stream, stream_of

READ_BACK_BLOCKS = 64
READ_BACK_BYTES = 64 * 1024


def choose(so_far: p.StepSoFar, sector_bytes: int, seed: bytes) -> tuple[ByteRange, ...]:
    """Blocks to read back, by address; all of it where little was flushed. The last range's end always."""
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


async def read_back(
    order: p.Execute, access: DriveAccess, executor: LaneExecutor, control: Control, clock: Clock
) -> ReadBack | None:
    """What the drive holds of the order's step; None where nothing can be proved by reading."""
    so_far = order.so_far
    if so_far is None:
        return None
    step = next((one for one in order.plan.steps if one.number == so_far.number), None)
    if not isinstance(step, OverwriteStep) or not isinstance(step.pattern, Keyed):
        return None
    port = access.port(step.unit_id)
    chosen = choose(
        so_far, port.geometry.logical_sector_bytes, secrets.token_bytes(sampling.SEED_BYTES)
    )
    if not chosen:
        return None
    stream = stream_of(step.pattern, order.job_key, step.number, READ_BACK_BYTES)
    got, want = aligned(READ_BACK_BYTES), aligned(READ_BACK_BYTES)
    matched = 0
    for block in chosen:
        while control.paused and not control.stop_code:
            await clock.sleep(0.25)
        if control.stop_code:
            break
        length = block.length
        matched += await executor.call(
            lambda at=block.start, n=length: _holds(port, stream, at, got[:n], want[:n])  # type: ignore[misc]
        )
    last = so_far.last_flushed
    included = last is not None and any(block.start < last.end <= block.end for block in chosen)
    return ReadBack(len(chosen), matched, included)


def _holds(port: BlockPort, stream: Stream, at: int, got: memoryview, want: memoryview) -> bool:
    try:
        port.read_into(at, got)
    except PortError as error:
        if error.kind is PortErrorKind.GONE:
            raise
        return False
    stream.fill(at, want)
    return first_difference(got, want) is None


def _blocks(one: ByteRange, sector_bytes: int) -> list[ByteRange]:
    """Blocks of at most 64 KiB; the last ends where the range ends."""
    size = max(READ_BACK_BYTES - READ_BACK_BYTES % sector_bytes, sector_bytes)
    starts = range(one.start, one.end, size)
    return [ByteRange(at, min(at + size, one.end)) for at in starts]
