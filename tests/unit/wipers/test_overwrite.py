"""The overwrite engine: every byte once, nothing counted before its flush, bad sectors listed."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nullbay.domain.clock import Clock, SystemClock
from nullbay.domain.outcome import LISTED_MAX
from nullbay.domain.patterns import ZERO, Keyed, Pattern, Repeat
from nullbay.domain.policy import Budgets
from nullbay.domain.ports import BlockPort, PortErrorKind
from nullbay.domain.ranges import ByteRange, RangeSet
from nullbay.lab.clock import VirtualClock
from nullbay.lab.clock import run as run_virtually
from nullbay.lab.description import CacheSpec, DriveDescription, EventKind, EventSpec, LbaSpan
from nullbay.lab.files import open_file_drive
from nullbay.lab.hands import cut_power, make_file_drive
from nullbay.wipers.control import Control
from nullbay.wipers.lanes import InlineExecutor, ThreadExecutor
from nullbay.wipers.overwrite import BLOCK_BYTES, Flushed, OverwritePass, Unwritable
from nullbay.wipers.stream import stream_of
from support.memory_port import OLD, MemoryPort, bad_sectors, lbas_of_physical, refuse

KIB = 1024
BLOCK = 64 * KIB
JOB_KEY = bytes(range(32))
THREE = Repeat(bytes.fromhex("924924"))
GEOMETRIES = ((512, 512), (512, 4096), (4096, 4096))
PAST = Budgets(write_retries=0, continue_past_unwritable=True)
STOP = Budgets(write_retries=0)
SAFETY_S = 60


def expected(pattern: Pattern, size: int) -> bytes:
    return bytes(stream_of(pattern, JOB_KEY, 1, size).source().take(0, size))


@dataclass
class Told:
    """What a pass reported, in order."""

    events: list[Flushed | Unwritable] = field(default_factory=list)

    def __call__(self, event: Flushed | Unwritable) -> None:
        self.events.append(event)

    @property
    def flushed(self) -> RangeSet:
        flushes = [one for one in self.events if isinstance(one, Flushed)]
        return RangeSet(part for one in flushes for part in one.ranges)

    @property
    def flushed_blocks(self) -> list[int]:
        """How many blocks each flush made durable."""
        flushes = [one for one in self.events if isinstance(one, Flushed)]
        return [sum(part.length for part in one.ranges) // BLOCK for one in flushes]

    @property
    def unwritable(self) -> list[int]:
        return [one.lba for one in self.events if isinstance(one, Unwritable)]


def make_pass(
    port: BlockPort,
    told: Told,
    pattern: Pattern = ZERO,
    budgets: Budgets = STOP,
    clock: Clock | None = None,
    control: Control | None = None,
    already: RangeSet | None = None,
    **sizes: float,
) -> OverwritePass:
    clock = clock or SystemClock()
    block = int(sizes.pop("block_bytes", BLOCK))
    return OverwritePass(
        port,
        stream_of(pattern, JOB_KEY, 1, block),
        budgets,
        control or Control(clock),
        clock,
        told,
        already_flushed=already or RangeSet(),
        block_bytes=block,
        **sizes,  # type: ignore[arg-type]
    )


def run_inline(
    port: BlockPort,
    *,
    pattern: Pattern = ZERO,
    budgets: Budgets = STOP,
    already: RangeSet | None = None,
    around: Callable[[VirtualClock, Control], None] = lambda _clock, _control: None,
    rate: int = 0,
    **sizes: float,
) -> tuple[OverwritePass, Told]:
    """A whole pass on virtual time, two lanes taking turns."""

    async def main(clock: VirtualClock) -> tuple[OverwritePass, Told]:
        told, control = Told(), Control(clock, rate)
        work = make_pass(port, told, pattern, budgets, clock, control, already, **sizes)
        around(clock, control)
        executor = InlineExecutor(clock, clock.take_owed_s)
        await executor.run(work.lanes())
        await executor.call(work.finish)
        return work, told

    return run_virtually(main)


def run_threads(port: BlockPort, pattern: Pattern, budgets: Budgets = STOP) -> OverwritePass:
    """A whole pass on real threads."""

    async def main() -> OverwritePass:
        clock = SystemClock()
        work = make_pass(port, Told(), pattern, budgets, clock)
        executor = ThreadExecutor(clock)
        async with asyncio.timeout(SAFETY_S):
            await executor.run(work.lanes())
            await executor.call(work.finish)
        return work

    return asyncio.run(main())


def write_one(work: OverwritePass) -> ByteRange:
    """One lane's turn, without the lane."""
    block = work.claim()
    assert block is not None
    data = stream_of(ZERO, JOB_KEY, 1, BLOCK).source().take(block.start, block.length)
    work.write(0, block, data)
    return block


# --- every byte --------------------------------------------------------------------------------


@pytest.mark.parametrize(("logical", "physical"), GEOMETRIES)
@pytest.mark.parametrize("pattern", [ZERO, Keyed(), THREE], ids=["zero", "keyed", "three"])
@pytest.mark.parametrize("size", [4096, BLOCK - 4096, BLOCK, BLOCK + 4096, 5 * BLOCK + 12_288])
def test_every_byte_is_written_and_flushed(
    logical: int, physical: int, pattern: Pattern, size: int
) -> None:
    port = MemoryPort(size, logical, physical, cached=True)
    work, told = run_inline(port, pattern=pattern)
    assert bytes(port.medium) == expected(pattern, size)
    assert work.flushed.frozen() == told.flushed.frozen() == (ByteRange(0, size),)
    assert (work.failure, work.unwritable_count, work.written_bytes) == (None, 0, size)
    assert sum(one.length for one in port.writes) == size


@pytest.mark.parametrize("sectors", [1, 2, 7, 127, 129, 128 * 3 + 5])
def test_odd_sizes_that_end_within_a_physical_sector(sectors: int) -> None:
    port = MemoryPort(sectors * 512, 512, 4096)
    work, _ = run_inline(port, pattern=Keyed())
    assert port.content == expected(Keyed(), sectors * 512)
    assert work.flushed.covers(0, sectors * 512)


def test_the_real_block_size() -> None:
    size = 2 * BLOCK_BYTES + 512
    port = MemoryPort(size)
    run_inline(port, pattern=Keyed(), block_bytes=BLOCK_BYTES)
    assert port.content == expected(Keyed(), size)


@given(
    ranges=st.lists(st.tuples(st.integers(0, 700), st.integers(1, 200)), max_size=6),
    sectors=st.integers(1, 700),
)
def test_what_was_flushed_before_is_not_written_again(
    ranges: list[tuple[int, int]], sectors: int
) -> None:
    size = sectors * 512
    before = RangeSet()
    for start, length in ranges:
        before.add(min(start, sectors) * 512, min(start + length, sectors) * 512)
    port = MemoryPort(size, 512, 4096)
    work, told = run_inline(port, pattern=Keyed(), already=RangeSet(before))
    missing = tuple(before.missing(0, size))
    assert port.covered().frozen() == told.flushed.frozen() == missing
    assert sum(one.length for one in port.writes) == sum(one.length for one in missing)
    assert work.flushed.frozen() == (ByteRange(0, size),)
    assert work.written_bytes == size
    whole = expected(Keyed(), size)
    for one in missing:
        assert port.content[one.start : one.end] == whole[one.start : one.end]


def test_two_threads_write_each_block_once() -> None:
    """Two writes are under way at the same time, and no block is taken twice."""
    size = 200 * BLOCK + 512
    port = MemoryPort(size)
    both = threading.Barrier(2)
    meetings = itertools.count()

    def meet(_offset: int, _length: int) -> None:
        # the first four writes in two pairs: neither ends before the other has begun
        if next(meetings) < 4:
            both.wait(SAFETY_S)

    port.before_write = meet
    work = run_threads(port, Keyed())
    assert sorted(port.writes) == [
        ByteRange(at, min(at + BLOCK, size)) for at in range(0, size, BLOCK)
    ]
    assert port.content == expected(Keyed(), size)
    assert work.flushed.frozen() == (ByteRange(0, size),)


def test_blocks_lie_on_borders_of_blocks_wherever_a_pass_begins() -> None:
    port = MemoryPort(4 * BLOCK)
    run_inline(port, already=RangeSet([ByteRange(0, 512)]))
    assert [one.start % BLOCK for one in port.writes] == [512, 0, 0, 0]


# --- flushes -----------------------------------------------------------------------------------


def test_nothing_counts_before_its_flush() -> None:
    port, told = MemoryPort(4 * BLOCK, cached=True), Told()
    work = make_pass(port, told)
    first = write_one(work)
    assert (len(work.flushed), told.events, port.flushes) == (0, [], 0)
    later: list[ByteRange] = []
    # while the flush is under way the other lane writes: that is not promised by it
    port.before_flush = lambda: later.append(write_one(work)) if not later else None
    work.flush()
    assert work.flushed.frozen() == told.flushed.frozen() == (first,)
    assert work.last_flush is not None
    work.flush()
    assert work.flushed.frozen() == (ByteRange(0, 2 * BLOCK),)
    work.flush()
    assert port.flushes == 2, "there was nothing more to flush"


def test_flushes_come_by_volume() -> None:
    port = MemoryPort(10 * BLOCK)
    _, told = run_inline(port, flush_bytes=4 * BLOCK)
    assert told.flushed_blocks == [4, 4, 2]
    assert port.flushes == 3


def test_flushes_come_by_time() -> None:
    port = MemoryPort(6 * BLOCK)

    def slow(clock: VirtualClock, _control: Control) -> None:
        port.before_write = lambda _offset, _length: clock.wait_blocking(2.0)

    _, told = run_inline(port, around=slow, flush_s=5.0)
    assert told.flushed_blocks == [3, 3]


def test_a_slow_flush_is_not_followed_by_another() -> None:
    port = MemoryPort(8 * BLOCK)

    def slow(clock: VirtualClock, _control: Control) -> None:
        port.before_write = lambda _offset, _length: clock.wait_blocking(2.0)
        port.before_flush = lambda: clock.wait_blocking(60.0)

    _, told = run_inline(port, around=slow, flush_s=5.0)
    assert told.flushed_blocks == [3, 3, 2]


def test_a_lane_does_not_wait_for_the_flush_of_another() -> None:
    port = MemoryPort(8 * BLOCK)
    work = make_pass(port, Told(), flush_bytes=BLOCK)
    flushing, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        flushing.set()
        assert go_on.wait(SAFETY_S)

    port.before_flush = wait
    lane = threading.Thread(target=write_one, args=(work,))
    lane.start()
    assert flushing.wait(SAFETY_S)
    for _ in range(3):
        write_one(work)  # due for a flush each time, and not held up
    assert port.flushes == 0
    go_on.set()
    lane.join(SAFETY_S)
    work.finish()
    assert work.flushed.total_bytes == 4 * BLOCK


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (PortErrorKind.OTHER, "write.flush-failed"),
        (PortErrorKind.TIMEOUT, "write.flush-failed"),
        (PortErrorKind.READ_ONLY, "write.flush-failed"),
        (PortErrorKind.GONE, "drive.gone"),
    ],
)
def test_a_failed_flush_ends_the_pass_and_counts_nothing(kind: PortErrorKind, code: str) -> None:
    port = MemoryPort(20 * BLOCK, cached=True)

    def fails_once() -> None:
        port.before_flush = lambda: None
        raise refuse(kind)

    port.before_flush = fails_once
    work, told = run_inline(port, flush_bytes=4 * BLOCK)
    assert work.failure == code
    assert len(port.writes) <= 5, "lanes stop at the next block"
    # what the failed flush should have made durable is lost for this pass, if a later one works too
    assert not any(work.flushed.covers(one.start, one.end) for one in port.writes[:4])
    assert work.flushed.frozen() == told.flushed.frozen()
    assert work.gone is (kind is PortErrorKind.GONE)


@given(cut_after=st.integers(0, 40), flush_every=st.integers(1, 8))
def test_whenever_power_is_cut_what_was_reported_is_there(cut_after: int, flush_every: int) -> None:
    size = 32 * BLOCK
    port = MemoryPort(size, cached=True)
    count = itertools.count()

    def cut(_offset: int, _length: int) -> None:
        if next(count) >= cut_after:
            raise refuse(PortErrorKind.GONE, "ENODEV")

    port.before_write = cut
    work, told = run_inline(port, pattern=Keyed(), flush_bytes=flush_every * BLOCK)
    whole = expected(Keyed(), size)
    for one in told.flushed:
        assert port.medium[one.start : one.end] == whole[one.start : one.end]
    assert work.flushed == told.flushed
    if cut_after < 32:
        assert (work.failure, work.gone) == ("drive.gone", True)
        assert told.flushed.total_bytes == cut_after // flush_every * flush_every * BLOCK
    else:
        assert work.failure is None
        assert bytes(port.medium) == whole


def test_a_drive_that_lost_its_cache_unnoticed_was_told_of_only_what_it_kept(
    tmp_path: Path,
) -> None:
    """The lab's cache: what is not reported as flushed may be old data again."""
    size = 16 * BLOCK
    path = make_file_drive(
        tmp_path / "drive.json",
        DriveDescription(sectors=size // 512, model="LAB", cache=CacheSpec(size)),
    )
    told = Told()
    with open_file_drive(path, SystemClock()) as drive:
        work = make_pass(drive.port("disk"), told, Repeat(b"\xee"), flush_bytes=6 * BLOCK)
        lane = work.lanes(1)[0]
        for _ in range(10):
            assert lane.step() is not None
        cut_power(path)
        content = (tmp_path / "drive.img").read_bytes()
    assert told.flushed.frozen() == (ByteRange(0, 6 * BLOCK),)
    assert content == b"\xee" * (6 * BLOCK) + bytes(10 * BLOCK)


# --- sectors that cannot be written ------------------------------------------------------------

POSITIONS = {
    "the first": 0,
    "the second": 1,
    "the last of a block": 127,
    "the first of a block": 128,
    "in the middle": 200,
    "the last but one": -2,
    "the last": -1,
}


@pytest.mark.parametrize(("logical", "physical"), [*GEOMETRIES, (512, 65_536)])
@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("tail", [0, 4096])
def test_one_unwritable_sector_is_found_exactly(
    logical: int, physical: int, position: str, tail: int
) -> None:
    size = 4 * BLOCK + tail
    port = MemoryPort(size, logical, physical)
    lba = POSITIONS[position] * 512 // logical if POSITIONS[position] > 0 else POSITIONS[position]
    lba %= size // logical
    port.before_write = bad_sectors(port, [lba])
    work, told = run_inline(port, pattern=Keyed(), budgets=PAST)
    bad = lbas_of_physical(port, [lba])
    assert sorted(told.unwritable) == bad
    assert (work.unwritable.count, list(work.unwritable.first)) == (len(bad), bad[:LISTED_MAX])
    assert work.failure is None
    start, end = bad[0] * logical, (bad[-1] + 1) * logical
    assert tuple(work.flushed.missing(0, size)) == (ByteRange(start, end),)
    whole = expected(Keyed(), size)
    assert port.content[:start] == whole[:start]
    assert port.content[start:end] == OLD * (end - start)
    assert port.content[end:] == whole[end:]


@pytest.mark.parametrize("sectors", [1, 3, 7])
def test_a_last_physical_sector_of_which_the_drive_has_only_a_part(sectors: int) -> None:
    size = BLOCK + sectors * 512
    port = MemoryPort(size, 512, 4096)
    port.before_write = bad_sectors(port, [size // 512 - 1])
    work, told = run_inline(port, budgets=PAST)
    assert told.unwritable == [128 + at for at in range(sectors)]
    assert tuple(work.flushed.missing(0, size)) == (ByteRange(BLOCK, size),)
    assert port.content[:BLOCK] == bytes(BLOCK)


@given(
    bad=st.sets(st.integers(0, 5 * 128 + 6), max_size=12),
    geometry=st.sampled_from([(512, 512), (512, 4096)]),
)
def test_any_bad_sectors_are_listed_and_all_others_written(
    bad: set[int], geometry: tuple[int, int]
) -> None:
    size = (5 * 128 + 7) * 512
    port = MemoryPort(size, *geometry)
    port.before_write = bad_sectors(port, bad)
    work, told = run_inline(port, pattern=Keyed(), budgets=PAST)
    gone = lbas_of_physical(port, bad)
    assert sorted(told.unwritable) == gone
    assert (work.unwritable.count, list(work.unwritable.first)) == (len(gone), gone[:LISTED_MAX])
    whole = expected(Keyed(), size)
    for lba in range(size // 512):
        got = port.content[lba * 512 : (lba + 1) * 512]
        assert got == (OLD * 512 if lba in gone else whole[lba * 512 : (lba + 1) * 512])
    assert work.flushed.total_bytes == size - len(gone) * 512


def test_the_first_of_very_many_are_listed() -> None:
    port = MemoryPort(4 * BLOCK)
    port.before_write = bad_sectors(port, range(0, 512, 2))
    work, told = run_inline(port, budgets=PAST)
    assert (work.unwritable.count, len(told.unwritable)) == (256, 256)
    assert work.unwritable.first == tuple(range(0, 2 * LISTED_MAX, 2))


@pytest.mark.parametrize("lba", [0, 127, 130, 511])
def test_by_default_the_first_one_ends_the_pass(lba: int) -> None:
    size = 64 * BLOCK
    port = MemoryPort(size)
    port.before_write = bad_sectors(port, [lba])
    work, told = run_inline(port)
    assert work.failure == "write.unwritable-sector"
    assert told.unwritable == [lba]
    assert work.unwritable.count == 1
    block = lba // 128
    written = port.covered().total_bytes
    assert written <= (block + 2) * BLOCK, "the rest is left alone"
    assert work.flushed == port.covered(), "what was written is flushed and counted all the same"
    after = (lba + 1) * 512
    assert port.content[after : after + 512] in {OLD * 512, bytes(512)}
    assert port.content[lba * 512 : after] == OLD * 512


def test_ranges_that_begin_within_a_physical_sector_are_split_at_its_borders() -> None:
    """An earlier session may have ended anywhere; a bad sector still is one physical sector."""
    size = BLOCK
    port = MemoryPort(size, 512, 4096)
    port.before_write = bad_sectors(port, [10])
    _, told = run_inline(port, budgets=PAST, already=RangeSet([ByteRange(0, 7 * 512)]))
    assert told.unwritable == list(range(8, 16))
    assert port.content[7 * 512 : 8 * 512] == bytes(512)


@pytest.mark.parametrize(
    ("first", "end", "bad", "listed"),
    [
        (7, 12, 10, [8, 9, 10, 11]),
        (1, 9, 8, [8]),
        (1, 9, 3, [1, 2, 3, 4, 5, 6, 7]),
        (3, 6, 4, [3, 4, 5]),
    ],
)
def test_a_short_range_across_a_border_of_physical_sectors(
    first: int, end: int, bad: int, listed: list[int]
) -> None:
    port = MemoryPort(BLOCK, 512, 4096)
    port.before_write = bad_sectors(port, [bad])
    before = RangeSet([ByteRange(0, first * 512), ByteRange(end * 512, BLOCK)])
    work, told = run_inline(port, budgets=PAST, already=before)
    assert told.unwritable == listed
    for lba in set(range(first, end)) - set(listed):
        assert port.content[lba * 512 : (lba + 1) * 512] == bytes(512)
    assert work.flushed.total_bytes == BLOCK - len(listed) * 512


def test_the_first_by_address_are_listed_whichever_lane_met_them_first() -> None:
    port = MemoryPort(2 * BLOCK)
    port.before_write = bad_sectors(port, [5, *range(128, 256)])
    told = Told()
    work = make_pass(port, told, budgets=PAST)
    first, second = work.claim(), work.claim()
    assert first is not None
    assert second is not None
    data = stream_of(ZERO, JOB_KEY, 1, BLOCK).source().take(0, BLOCK)
    work.write(1, second, data)
    work.write(0, first, data)
    assert work.unwritable.first == (5, *range(128, 128 + LISTED_MAX - 1))
    assert told.unwritable == [*range(128, 256), 5]


@pytest.mark.parametrize("retries", [1, 3, 7])
@pytest.mark.parametrize("kind", [PortErrorKind.MEDIUM, PortErrorKind.OTHER])
def test_a_retry_cures(retries: int, kind: PortErrorKind) -> None:
    """Down to one sector, then as often as the policy allows, with its pauses."""
    port = MemoryPort(2 * BLOCK)
    tries = itertools.count(1)
    waited: list[float] = []

    def flaky(offset: int, length: int) -> None:
        inside = offset <= 5 * 512 < offset + length
        if inside and (length > 512 or next(tries) <= retries):
            raise refuse(kind)

    def watch(clock: VirtualClock, _control: Control) -> None:
        real = clock.wait_blocking

        def wait(seconds: float) -> None:
            waited.append(seconds)
            real(seconds)

        clock.wait_blocking = wait  # type: ignore[method-assign]

    port.before_write = flaky
    budgets = Budgets(write_retries=retries, retry_pause_s=2)
    work, told = run_inline(port, budgets=budgets, around=watch)
    assert (work.failure, work.unwritable_count, told.unwritable) == (None, 0, [])
    assert work.cured_by_retry == 1
    assert waited == [2] * retries
    assert port.content == bytes(2 * BLOCK)
    assert work.flushed.covers(0, 2 * BLOCK)


def test_one_failure_more_than_retries_is_unwritable() -> None:
    port = MemoryPort(BLOCK)
    tries = itertools.count(1)

    def stubborn(offset: int, length: int) -> None:
        if offset <= 512 < offset + length and (length > 512 or next(tries) <= 4):
            raise refuse(errno="EREMOTEIO")

    port.before_write = stubborn
    work, told = run_inline(port, budgets=Budgets(write_retries=3, retry_pause_s=0))
    assert Unwritable(1, "EREMOTEIO") in told.events
    assert (work.failure, work.cured_by_retry) == ("write.unwritable-sector", 0)


def test_being_stopped_ends_the_retries_and_calls_no_sector_bad() -> None:
    port = MemoryPort(BLOCK)
    port.before_write = bad_sectors(port, [1])

    def stop_soon(clock: VirtualClock, control: Control) -> None:
        real = clock.wait_blocking

        def wait(seconds: float) -> None:
            control.stop("step.aborted")
            real(seconds)

        clock.wait_blocking = wait  # type: ignore[method-assign]

    work, told = run_inline(
        port, budgets=Budgets(100, 3600, slow_below_bytes_per_s=0), around=stop_soon
    )
    assert (told.unwritable, work.unwritable_count, work.failure) == ([], 0, None)
    assert work.flushed.frozen() == (ByteRange(0, 512),)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (PortErrorKind.GONE, "drive.gone"),
        (PortErrorKind.READ_ONLY, "write.read-only"),
        (PortErrorKind.TIMEOUT, "write.stalled"),
    ],
)
@pytest.mark.parametrize("after", [0, 1, 5])
def test_what_is_no_sectors_fault_ends_the_pass(kind: PortErrorKind, code: str, after: int) -> None:
    port = MemoryPort(20 * BLOCK)
    count = itertools.count()

    def fails(_offset: int, _length: int) -> None:
        if next(count) >= after:
            raise refuse(kind)

    port.before_write = fails
    work, told = run_inline(port, budgets=Budgets(continue_past_unwritable=True))
    assert work.failure == code
    assert (told.unwritable, work.unwritable_count) == ([], 0)
    assert next(count) <= after + 3, "nothing is tried again, and lanes stop"
    if kind is PortErrorKind.GONE:
        assert port.flushes == 0, "a drive that is gone is not asked to flush"
        assert len(work.flushed) == 0
    else:
        assert work.flushed.total_bytes == after * BLOCK


def test_a_drive_that_is_gone_is_not_asked_to_flush_what_was_written_before() -> None:
    port = MemoryPort(4 * BLOCK)
    told = Told()
    work = make_pass(port, told)
    write_one(work)

    def leaves(_offset: int, _length: int) -> None:
        raise refuse(PortErrorKind.GONE)

    port.before_write = leaves
    write_one(work)
    work.flush()
    work.finish()
    assert (port.flushes, len(work.flushed), told.events) == (0, 0, [])


def test_a_drive_that_leaves_while_a_block_is_split_has_no_bad_sectors() -> None:
    port = MemoryPort(BLOCK)
    count = itertools.count()

    def fails(_offset: int, _length: int) -> None:
        raise refuse(PortErrorKind.MEDIUM if next(count) < 3 else PortErrorKind.GONE)

    port.before_write = fails
    work, told = run_inline(port, budgets=PAST)
    assert (work.failure, told.events) == ("drive.gone", [])


def test_file_drives_and_memory_agree(tmp_path: Path) -> None:
    """The laboratory's drive answers as Linux would, 512e with a bad sector at its partial end."""
    sectors = 128 * 3 + 5
    path = make_file_drive(
        tmp_path / "drive.json",
        DriveDescription(
            sectors=sectors,
            model="LAB 512e",
            physical_sector_bytes=4096,
            unwritable=(LbaSpan(100, 100), LbaSpan(sectors - 1, sectors - 1)),
        ),
    )
    memory = MemoryPort(sectors * 512, 512, 4096)
    memory.before_write = bad_sectors(memory, [100, sectors - 1])
    with open_file_drive(path, SystemClock()) as drive:
        one, told = run_inline(drive.port("disk"), budgets=PAST)
    other, _ = run_inline(memory, budgets=PAST)
    assert one.unwritable == other.unwritable
    assert one.flushed == other.flushed
    assert told.unwritable == [*range(96, 104), *range(384, 389)]


@pytest.mark.parametrize(
    ("event", "code"),
    [(EventKind.GONE, "drive.gone"), (EventKind.READ_ONLY, "write.read-only")],
)
def test_a_file_drive_that_goes_or_turns_read_only(
    tmp_path: Path, event: EventKind, code: str
) -> None:
    path = make_file_drive(
        tmp_path / "drive.json",
        DriveDescription(
            sectors=128 * 8,
            model="LAB",
            event=(EventSpec(what=event, after_written_bytes=3 * BLOCK + 1024),),
        ),
    )
    with open_file_drive(path, SystemClock()) as drive:
        work, told = run_inline(drive.port("disk"), pattern=Repeat(b"\xee"), flush_bytes=BLOCK)
    assert work.failure == code
    content = (tmp_path / "drive.img").read_bytes()
    for one in told.flushed:
        assert content[one.start : one.end] == b"\xee" * one.length
    assert told.flushed.total_bytes == 3 * BLOCK


# --- control -----------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [10_000, 200_000, 1_000_000, 50_000_000])
def test_a_rate_limit_holds_for_all_lanes_together(rate: int) -> None:
    size = 64 * BLOCK
    port = MemoryPort(size)
    moments: list[tuple[float, int]] = []

    def note(clock: VirtualClock, _control: Control) -> None:
        start = clock.boottime()

        def write(_offset: int, length: int) -> None:
            moments.append((clock.boottime() - start, length))

        port.before_write = write

    run_inline(port, rate=rate, around=note, block_bytes=16 * BLOCK)
    done = 0
    largest = max(length for _, length in moments)
    for at, length in moments:
        # two lanes: two blocks may be under way when a moment is looked at
        assert done <= at * rate + 2 * largest
        done += length
    assert done == size
    assert moments[-1][0] >= (size - 2 * largest) / rate
    assert moments[-1][0] <= size / rate + 1


def test_what_one_lane_moved_the_other_waits_for_as_well() -> None:
    async def main(clock: VirtualClock) -> None:
        control = Control(clock, 1000)
        assert control.account(1000) == 1.0
        assert control.account(500) == 1.5, "at the same moment, by another lane"
        await clock.sleep(1.0)
        assert control.account(500) == 1.0
        await clock.sleep(60.0)
        assert control.account(500) == 0.5, "time not used is not saved up"
        control.set_rate(500)
        assert control.account(500) == 1.0, "nor owed to another limit"
        control.set_rate(0)
        assert control.account(500) == 0.0

    run_virtually(main)


def test_under_a_limit_no_lane_waits_for_long() -> None:
    """Blocks get smaller, so that a stop is heard soon; they stay powers of two."""
    clock = SystemClock()
    assert Control(clock).block_bytes(BLOCK_BYTES) == BLOCK_BYTES
    for rate in (1, 1_000, 700_000, 1_000_000, 8_000_000, 33_000_000, 10**10):
        size = Control(clock, rate).block_bytes(BLOCK_BYTES)
        assert size & (size - 1) == 0
        assert 65_536 <= size <= BLOCK_BYTES
        assert size == 65_536 or size <= rate / 8
        assert size == BLOCK_BYTES or 2 * size > rate / 8


def test_a_limit_can_be_set_and_lifted_under_way() -> None:
    port = MemoryPort(32 * BLOCK)
    spent: dict[int, float] = {}

    def change(clock: VirtualClock, control: Control) -> None:
        start = clock.boottime()

        def write(offset: int, _length: int) -> None:
            spent[offset // BLOCK] = clock.boottime() - start
            if offset == 8 * BLOCK:
                control.set_rate(BLOCK)  # one block a second
            if offset == 16 * BLOCK:
                control.set_rate(0)

        port.before_write = write

    run_inline(port, around=change)
    assert spent[8] == 0
    assert spent[16] - spent[8] >= 5
    assert spent[31] - spent[16] <= 2


def test_while_paused_nothing_is_written_and_every_reason_counts() -> None:
    size = 8 * BLOCK
    port = MemoryPort(size)

    async def main(clock: VirtualClock) -> None:
        control = Control(clock)
        work = make_pass(port, Told(), clock=clock, control=control)
        control.pause("operator")
        control.pause("temperature")
        executor = InlineExecutor(clock, clock.take_owed_s)
        running = asyncio.create_task(executor.run(work.lanes()))
        await clock.sleep(3600)
        assert list(control.paused) == ["operator", "temperature"]
        control.go_on("operator")
        await clock.sleep(3600)
        assert list(control.paused) == ["temperature"]
        assert not port.writes
        control.go_on("temperature")
        await running
        assert port.content == bytes(size)

    run_virtually(main)


@pytest.mark.parametrize("paused", [True, False])
def test_a_stop_is_heard_at_the_next_block_even_in_a_pause(paused: bool) -> None:
    port = MemoryPort(100 * BLOCK)

    async def main(clock: VirtualClock) -> None:
        control = Control(clock)
        work = make_pass(port, Told(), clock=clock, control=control)
        port.before_write = lambda _offset, _length: clock.wait_blocking(1.0)
        executor = InlineExecutor(clock, clock.take_owed_s)
        running = asyncio.create_task(executor.run(work.lanes()))
        await clock.sleep(10)
        if paused:
            control.pause("operator")
            await clock.sleep(100)
        control.stop("step.aborted")
        control.stop("step.interrupted")
        await running
        await executor.call(work.finish)
        assert control.stop_code == "step.aborted", "the first reason stays"
        assert 10 <= len(port.writes) <= 12
        assert work.failure is None
        assert work.flushed == port.covered()

    run_virtually(main)


def test_how_long_the_drive_owes_an_answer() -> None:
    port = MemoryPort(4 * BLOCK)

    async def main(clock: VirtualClock) -> None:
        work = make_pass(port, Told(), clock=clock)
        seen: list[float] = []

        def stuck(_offset: int, _length: int) -> None:
            clock.wait_blocking(42.0)
            seen.append(work.longest_in_flight_s())

        port.before_write = stuck
        port.before_flush = lambda: stuck(0, 0)
        assert work.longest_in_flight_s() == 0
        write_one(work)
        work.flush()
        assert seen == [42.0, 42.0]
        assert work.longest_in_flight_s() == 0

        def leaves(_offset: int, _length: int) -> None:
            raise refuse(PortErrorKind.GONE)

        port.before_write = leaves
        write_one(work)
        assert work.longest_in_flight_s() == 0

    run_virtually(main)


def test_an_exception_that_is_no_port_error_is_not_swallowed() -> None:
    """A fault of ours must not look like a finished pass."""
    port = MemoryPort(4 * BLOCK)

    def broken(_offset: int, _length: int) -> None:
        raise LookupError("a fault of ours")

    port.before_write = broken
    with pytest.raises(LookupError):
        run_threads(port, ZERO)
