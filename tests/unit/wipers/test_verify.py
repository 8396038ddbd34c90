"""Verification: every difference is found and told right, and no byte of the medium leaves it."""

from __future__ import annotations

import asyncio
import hmac
import itertools
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nullbay.domain import sampling
from nullbay.domain.canonical import canonical_json
from nullbay.domain.clock import SystemClock
from nullbay.domain.codec import to_plain
from nullbay.domain.outcome import LISTED_MAX, Content, VerificationResult
from nullbay.domain.patterns import ZERO, Keyed, Pattern, Repeat
from nullbay.domain.policy import Confidence, Full, NistR1, VerificationProfile
from nullbay.domain.ports import BlockPort, PortErrorKind
from nullbay.domain.ranges import ByteRange, RangeSet
from nullbay.lab.clock import VirtualClock
from nullbay.lab.clock import run as run_virtually
from nullbay.lab.description import DriveDescription, LbaSpan
from nullbay.lab.files import open_file_drive
from nullbay.lab.hands import make_file_drive
from nullbay.wipers.control import Control
from nullbay.wipers.lanes import InlineExecutor, ThreadExecutor
from nullbay.wipers.platform.buffers import aligned
from nullbay.wipers.stream import COMPARED_BYTES, stream_of
from nullbay.wipers.verify import LAST_REGION_BYTES, ReadingRule, Verification, classify
from support.memory_port import MemoryPort, bad_sectors, refuse

KIB = 1024
MIB = 1024 * KIB
BLOCK = 64 * KIB
JOB_KEY = bytes(range(32))
FINDING_KEY = bytes(range(100, 132))
SEED = bytes(range(32, 64))
THREE = Repeat(bytes.fromhex("924924"))
PATTERNS = (ZERO, Keyed(), THREE)
GEOMETRIES = ((512, 512), (512, 4096), (4096, 4096))
CURE = ReadingRule(retries=0, retry_pause_s=0, cure_by_rewriting=True)
ONLY_READ = ReadingRule(retries=0, retry_pause_s=0, cure_by_rewriting=False)
SAFETY_S = 60


def written(pattern: Pattern, size: int, logical: int = 512, physical: int = 512) -> MemoryPort:
    """A drive that holds what was written."""
    port = MemoryPort(size, logical, physical)
    port.cache[:] = stream_of(pattern, JOB_KEY, 1, size).source().take(0, size)
    port.medium[:] = port.cache
    return port


def make(
    port: BlockPort,
    pattern: Pattern,
    rule: ReadingRule = ONLY_READ,
    profile: VerificationProfile | None = None,
    control: Control | None = None,
    **more: object,
) -> Verification:
    clock = SystemClock()
    profile = profile or Full()
    return Verification(
        port,
        stream_of(pattern, JOB_KEY, 1, MIB),
        profile,
        b"" if profile == Full() else SEED,
        rule,
        control or Control(clock),
        clock,
        FINDING_KEY,
        **{"block_bytes": BLOCK, **more},  # type: ignore[arg-type]
    )


def run(verifying: Verification, lanes: int = 2) -> VerificationResult:
    """All of it, lanes taking turns."""
    running = list(verifying.lanes(lanes))
    while running:
        for lane in tuple(running):
            if lane.step() is None:
                running.remove(lane)
    return verifying.result()


def verify(
    port: BlockPort, pattern: Pattern, rule: ReadingRule = ONLY_READ, **more: object
) -> VerificationResult:
    return run(make(port, pattern, rule, **more))  # type: ignore[arg-type]


def digest_of(lba: int, sector: bytes) -> str:
    message = b"nullbay/finding/1" + lba.to_bytes(8, "big") + sector
    return hmac.digest(FINDING_KEY, message, "sha256").hex()


# --- full --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("logical", "physical"), GEOMETRIES)
@pytest.mark.parametrize("pattern", PATTERNS, ids=["zero", "keyed", "three"])
@pytest.mark.parametrize("size", [4096, BLOCK, 3 * BLOCK + 12_288])
def test_a_drive_that_holds_what_was_written_has_no_findings(
    logical: int, physical: int, pattern: Pattern, size: int
) -> None:
    port = written(pattern, size, logical, physical)
    result = verify(port, pattern)
    assert (result.mismatched, result.unreadable.count, result.cured_by_rewriting) == (0, 0, 0)
    assert result.planned_bytes == result.read_bytes == size
    assert sorted(port.read_ranges) == [
        ByteRange(at, min(at + BLOCK, size)) for at in range(0, size, BLOCK)
    ]
    assert not port.writes
    assert result.extents_sha256 == sampling.extents_sha256((ByteRange(0, size),))
    assert (result.seed, result.reads) == (b"", "direct")


@given(
    pattern=st.sampled_from(PATTERNS),
    geometry=st.sampled_from(GEOMETRIES),
    at=st.integers(0, 5 * BLOCK + 4095),
    bit=st.integers(0, 7),
)
def test_one_changed_bit_anywhere_is_found(
    pattern: Pattern, geometry: tuple[int, int], at: int, bit: int
) -> None:
    size = 5 * BLOCK + 4096
    port = written(pattern, size, *geometry)
    port.cache[at] ^= 1 << bit
    result = verify(port, pattern)
    lba = at // geometry[0]
    sector = bytes(port.cache[lba * geometry[0] : (lba + 1) * geometry[0]])
    (found,) = result.mismatches
    assert (result.mismatched, found.lba, found.first_byte) == (1, lba, at % geometry[0])
    assert found.keyed_digest == digest_of(lba, sector)
    assert result.read_bytes == size


@given(planted=st.dictionaries(st.integers(0, 20 * BLOCK - 1), st.integers(1, 255), max_size=40))
def test_every_planted_difference_is_found(planted: dict[int, int]) -> None:
    port = written(Keyed(), 20 * BLOCK)
    for at, change in planted.items():
        port.cache[at] ^= change
    result = verify(port, Keyed())
    first: dict[int, int] = {}
    for at in sorted(planted):
        first.setdefault(at // 512, at % 512)
    assert result.mismatched == len(first)
    assert {one.lba: one.first_byte for one in result.mismatches} == first
    for one in result.mismatches:
        sector = bytes(port.cache[one.lba * 512 : (one.lba + 1) * 512])
        assert one.keyed_digest == digest_of(one.lba, sector)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("edge", [0, 1, -1])
def test_at_the_borders_of_what_is_compared_at_a_time(pattern: Pattern, edge: int) -> None:
    size = 2 * COMPARED_BYTES
    port = written(pattern, size)
    at = (COMPARED_BYTES + edge) % size
    port.cache[at] ^= 0x80
    result = verify(port, pattern, block_bytes=size)
    assert [one.lba for one in result.mismatches] == [at // 512]


def test_old_data_of_the_same_pattern_elsewhere_differs() -> None:
    """Sectors of this very stream, in the wrong place: a drive whose writes wrapped around."""
    port = written(Keyed(), 4 * BLOCK)
    port.cache[2 * BLOCK : 2 * BLOCK + 512] = port.cache[:512]
    assert [one.lba for one in verify(port, Keyed()).mismatches] == [256]


def test_the_pass_before_differs_from_this_one() -> None:
    port = written(Keyed(), BLOCK)
    port.cache[:] = stream_of(Keyed(), JOB_KEY, 2, BLOCK).source().take(0, BLOCK)
    assert verify(port, Keyed()).mismatched == 128


LOOKS = {
    bytes(512): Content.ZERO,
    b"\xff" * 512: Content.FF,
    b"\x5a" * 512: Content.CONSTANT,
    b"Name;Street;Town\r\n".ljust(512, b"x"): Content.TEXT,
    b"\x00" * 511 + b"\x01": Content.OTHER,
    bytes(range(256)) * 2: Content.OTHER,
    b"a" * 460 + bytes(52): Content.OTHER,
    b"ab" * 231 + bytes(50): Content.TEXT,
}


@pytest.mark.parametrize("sector", LOOKS)
def test_how_a_sector_looks_that_is_not_what_it_should_be(sector: bytes) -> None:
    assert classify(memoryview(sector)) is LOOKS[sector]
    port = written(Keyed(), BLOCK)
    port.cache[1024:1536] = sector
    (found,) = verify(port, Keyed()).mismatches
    assert (found.lba, found.content) == (2, LOOKS[sector])


def test_no_byte_of_the_medium_is_in_the_result() -> None:
    marker = b"Kontonummer 0042-4711, Passwort: hunter2"
    port = written(Keyed(), 4 * BLOCK)
    for lba in (0, 100, 200):
        port.cache[lba * 512 : lba * 512 + len(marker)] = marker
    port.before_read = bad_sectors(port, [300])
    result = verify(port, Keyed())
    assert (result.mismatched, result.unreadable.count) == (3, 1)
    told = canonical_json(to_plain(result)) + repr(result).encode()
    for length in (8, 16):
        for start in range(len(marker) - length + 1):
            piece = marker[start : start + length]
            assert piece not in told
            assert piece.hex().encode() not in told
    assert result.mismatches[0].keyed_digest not in {
        hmac.digest(b"", marker, "sha256").hex(),
        digest_of(0, marker),
    }


def test_after_enough_differences_it_stops_and_says_that_it_did_not_read_all() -> None:
    port = written(Keyed(), 100 * BLOCK)
    port.cache[:] = bytes(len(port.cache))
    result = verify(port, Keyed())
    assert result.read_bytes < result.planned_bytes
    assert len(port.read_ranges) == 1, "one block says enough"
    assert [one.lba for one in result.mismatches] == list(range(LISTED_MAX))
    assert result.mismatched == 128, "what was read is counted, listed or not"


def test_the_first_differences_by_address_are_listed_whatever_was_read_first() -> None:
    port = written(Keyed(), 4 * BLOCK)
    port.cache[BLOCK : 4 * BLOCK] = bytes(3 * BLOCK)
    port.cache[512] ^= 1
    verifying = make(port, Keyed())
    one, other = verifying.lanes()
    block = verifying.claim()
    assert block is not None
    other.step()  # the second block, full of differences, before the first
    verifying.read(0, block, aligned(BLOCK), stream_of(Keyed(), JOB_KEY, 1, BLOCK).source())
    assert one.step() is None
    listed = [found.lba for found in verifying.result().mismatches]
    assert listed == [1, *range(128, 128 + LISTED_MAX - 1)]


def test_two_threads_read_each_block_once() -> None:
    size = 100 * BLOCK
    port = written(Keyed(), size)
    port.cache[70 * BLOCK] ^= 1
    both, meetings = threading.Barrier(2), itertools.count()

    def meet(_offset: int, _length: int) -> None:
        if next(meetings) < 4:
            both.wait(SAFETY_S)

    port.before_read = meet
    verifying = make(port, Keyed())

    async def main() -> None:
        async with asyncio.timeout(SAFETY_S):
            await ThreadExecutor(SystemClock()).run(verifying.lanes())

    asyncio.run(main())
    result = verifying.result()
    assert sorted(port.read_ranges) == [ByteRange(at, at + BLOCK) for at in range(0, size, BLOCK)]
    assert (result.read_bytes, [one.lba for one in result.mismatches]) == (size, [70 * 128])


# --- sampled -----------------------------------------------------------------------------------

SAMPLED = (NistR1(), Confidence(990_000, 100_000))
SIZE = 2 * sampling.EDGE_BYTES + 40 * MIB


class Sparse:
    """A drive of zeros of any size, that remembers what was read."""

    reads = "direct"

    def __init__(self, size: int, planted: int | None = None) -> None:
        self.geometry = MemoryPort(512).geometry.__class__(size, 512, 512)
        self.planted = planted
        self.read_ranges: list[ByteRange] = []

    def read_into(self, offset: int, buffer: memoryview) -> None:
        self.read_ranges.append(ByteRange(offset, offset + len(buffer)))
        buffer[:] = bytes(len(buffer))
        if self.planted is not None and offset <= self.planted < offset + len(buffer):
            buffer[self.planted - offset] = 1

    def current_size_bytes(self) -> int:
        return self.geometry.size_bytes

    def write_from(self, offset: int, buffer: memoryview) -> None:
        raise AssertionError

    def flush(self) -> None:
        raise AssertionError

    def deallocate(self, offset: int, length: int) -> None:
        raise AssertionError

    def close(self) -> None:
        raise AssertionError


@pytest.mark.parametrize("profile", SAMPLED)
def test_exactly_the_planned_extents_are_read(profile: VerificationProfile) -> None:
    port = Sparse(SIZE)
    result = verify(port, ZERO, profile=profile)
    planned = sampling.extents(profile, SIZE, 512, SEED)
    assert RangeSet(port.read_ranges).frozen() == planned
    assert sum(one.length for one in port.read_ranges) == result.planned_bytes, "nothing twice"
    assert result.planned_bytes == result.read_bytes < SIZE
    assert (result.seed, result.profile) == (SEED, profile)
    assert result.extents_sha256 == sampling.extents_sha256(planned)


@pytest.mark.parametrize("profile", SAMPLED)
def test_a_change_in_a_sample_is_found_and_one_beside_it_is_not(
    profile: VerificationProfile,
) -> None:
    planned = sampling.extents(profile, SIZE, 512, SEED)
    inside = next(one for one in planned if one.start > sampling.EDGE_BYTES)
    for at in (inside.start, inside.end - 1):
        (found,) = verify(Sparse(SIZE, at), ZERO, profile=profile).mismatches
        assert (found.lba, found.first_byte) == (at // 512, at % 512)
    for at in (inside.start - 1, inside.end):
        assert verify(Sparse(SIZE, at), ZERO, profile=profile).mismatched == 0


def test_the_region_written_last_is_read_last() -> None:
    """So that the drive's own cache, which holds it, does not answer for the medium."""
    size = 4 * LAST_REGION_BYTES
    last = ByteRange(2 * LAST_REGION_BYTES - 4 * MIB, 2 * LAST_REGION_BYTES)
    port = Sparse(size)
    result = verify(port, ZERO, last_written=last, block_bytes=4 * MIB)
    assert result.read_bytes == size
    late = [LAST_REGION_BYTES <= one.start < last.end for one in port.read_ranges]
    assert late == sorted(late), "all of it after everything else"
    assert sum(late) * 4 * MIB == LAST_REGION_BYTES
    for part in (port.read_ranges[: late.index(True)], port.read_ranges[late.index(True) :]):
        assert part == sorted(part)


def test_without_knowing_what_was_written_last_the_end_is_read_last() -> None:
    port = Sparse(3 * LAST_REGION_BYTES)
    verify(port, ZERO, block_bytes=4 * MIB)
    assert port.read_ranges == sorted(port.read_ranges)


def test_given_ranges_replace_what_the_profile_prescribes() -> None:
    port = written(Keyed(), 8 * BLOCK)
    ranges = (ByteRange(512, 1024), ByteRange(3 * BLOCK, 5 * BLOCK + 512))
    result = verify(port, Keyed(), ranges=ranges)
    assert RangeSet(port.read_ranges).frozen() == ranges
    assert result.planned_bytes == result.read_bytes == 512 + 2 * BLOCK + 512


# --- sectors that cannot be read ---------------------------------------------------------------


@pytest.mark.parametrize(("logical", "physical"), GEOMETRIES)
@pytest.mark.parametrize("position", [0, 5, 17, -1])
def test_an_unreadable_sector_is_listed_exactly(logical: int, physical: int, position: int) -> None:
    port = written(Keyed(), 4 * BLOCK, logical, physical)
    lba = position % (4 * BLOCK // logical)
    port.before_read = bad_sectors(port, [lba])
    result = verify(port, Keyed())
    per = physical // logical
    first = lba // per * per
    assert result.unreadable.first == tuple(range(first, first + per))
    assert result.unreadable.count == per
    assert result.read_bytes == result.planned_bytes - physical
    assert (result.mismatched, result.cured_by_rewriting) == (0, 0)
    assert not port.writes


@given(bad=st.sets(st.integers(0, 5 * 128 - 1), max_size=12), changed=st.integers(0, 5 * 128 - 1))
def test_any_unreadable_sectors_and_a_difference(bad: set[int], changed: int) -> None:
    port = written(Keyed(), 5 * BLOCK)
    port.before_read = bad_sectors(port, bad)
    port.cache[changed * 512 + 17] ^= 1
    result = verify(port, Keyed())
    assert result.unreadable.first == tuple(sorted(bad))
    assert [one.lba for one in result.mismatches] == ([] if changed in bad else [changed])
    assert result.read_bytes == (5 * 128 - len(bad)) * 512


@pytest.mark.parametrize("failures", [1, 2, 3])
def test_reading_again_cures(failures: int) -> None:
    port = written(Keyed(), 2 * BLOCK)
    tries = itertools.count(1)

    def flaky(offset: int, length: int) -> None:
        if offset <= 9 * 512 < offset + length and (length > 512 or next(tries) <= failures):
            raise refuse(errno="ENODATA")

    port.before_read = flaky
    rule = ReadingRule(retries=3, retry_pause_s=0, cure_by_rewriting=True)
    result = verify(port, Keyed(), rule)
    assert (result.unreadable.count, result.cured_by_rewriting) == (0, 0)
    assert result.read_bytes == 2 * BLOCK
    assert not port.writes, "what reads again is not written"


@pytest.mark.parametrize(("logical", "physical"), GEOMETRIES)
@pytest.mark.parametrize("position", [3, -1])
@pytest.mark.parametrize("tail", [0, 4096])
def test_rewriting_once_cures(logical: int, physical: int, position: int, tail: int) -> None:
    """The whole physical sector with what belongs there, flushed, and read back."""
    size = 2 * BLOCK + tail
    port = written(Keyed(), size, logical, physical)
    before = port.content
    lba = position % (size // logical)
    start = lba * logical // physical * physical
    end = min(start + physical, size)
    port.cache[start:end] = b"\xaa" * (end - start)
    bad = bad_sectors(port, [lba])

    def until_rewritten(offset: int, length: int) -> None:
        if not port.writes or not port.flushes:
            bad(offset, length)

    port.before_read = until_rewritten
    result = verify(port, Keyed(), CURE)
    assert (result.mismatched, result.unreadable.count) == (0, 0)
    assert result.cured_by_rewriting >= 1
    assert port.writes == [ByteRange(start, end)]
    assert port.content == before
    assert result.read_bytes == size


def test_a_last_physical_sector_of_which_the_drive_has_only_a_part_is_cured() -> None:
    port = written(Keyed(), BLOCK + 3 * 512, 512, 4096)
    before, bad = port.content, bad_sectors(port, [129])
    port.before_read = lambda offset, length: None if port.writes else bad(offset, length)
    result = verify(port, Keyed(), CURE)
    assert (result.cured_by_rewriting, result.unreadable.count) == (1, 0)
    assert port.writes == [ByteRange(BLOCK, BLOCK + 3 * 512)]
    assert port.content == before


def test_what_rewriting_does_not_cure_is_listed() -> None:
    port = written(Keyed(), BLOCK)
    port.before_read = bad_sectors(port, [7])
    result = verify(port, Keyed(), CURE)
    assert result.unreadable.first == (7,)
    assert port.writes == [ByteRange(7 * 512, 8 * 512)], "once, not again and again"


@pytest.mark.parametrize("what", ["write", "flush"])
def test_what_cannot_be_rewritten_or_flushed_is_not_cured(what: str) -> None:
    port = written(Keyed(), BLOCK)
    bad = bad_sectors(port, [7])
    port.before_read = lambda offset, length: None if port.writes else bad(offset, length)

    def fails(*_: int) -> None:
        raise refuse(PortErrorKind.READ_ONLY if what == "write" else PortErrorKind.OTHER)

    if what == "write":
        port.before_write = fails
    else:
        port.before_flush = fails
    result = verify(port, Keyed(), CURE)
    assert (result.unreadable.first, result.cured_by_rewriting) == ((7,), 0)


def test_a_cured_sector_that_reads_back_something_else_is_a_difference() -> None:
    """A drive that acknowledges the rewrite and keeps old data."""
    port = written(Keyed(), BLOCK)
    old = b"old".ljust(512, b"!")
    port.cache[512:1024] = old
    bad = bad_sectors(port, [1])

    def lies(offset: int, length: int) -> None:
        if not port.writes:
            bad(offset, length)
        port.cache[512:1024] = old

    port.before_read = lies
    result = verify(port, Keyed(), CURE)
    assert [one.lba for one in result.mismatches] == [1]


def test_a_recheck_never_writes() -> None:
    port = written(Keyed(), 4 * BLOCK, 512, 4096)
    port.before_read = bad_sectors(port, [1, 100, 511])

    def must_not(*_: int) -> None:
        raise AssertionError

    port.before_write = must_not
    port.before_flush = must_not
    rule = ReadingRule(retries=1, retry_pause_s=0, cure_by_rewriting=False)
    result = verify(port, Keyed(), rule)
    assert result.unreadable.count == 24


def test_too_many_unreadable_sectors_end_it() -> None:
    port = written(Keyed(), 100 * BLOCK)
    port.before_read = bad_sectors(port, range(12_800))
    result = verify(port, Keyed())
    assert result.unreadable.first == tuple(range(LISTED_MAX))
    assert (result.unreadable.count, result.read_bytes) == (128, 0)


def test_the_first_unreadable_ones_by_address_are_listed_whatever_was_read_first() -> None:
    port = written(Keyed(), 4 * BLOCK)
    port.before_read = bad_sectors(port, [3, *range(128, 256)])
    verifying = make(port, Keyed())
    first = verifying.claim()
    assert first is not None
    verifying.lanes()[1].step()
    verifying.read(0, first, aligned(BLOCK), stream_of(Keyed(), JOB_KEY, 1, BLOCK).source())
    assert verifying.result().unreadable.first == (3, *range(128, 128 + LISTED_MAX - 1))


def test_one_bad_logical_sector_is_cured_with_its_whole_physical_one() -> None:
    port = written(Keyed(), BLOCK, 512, 4096)
    before = port.content

    def bad(offset: int, length: int) -> None:
        if not port.writes and offset <= 11 * 512 < offset + length:
            raise refuse(errno="ENODATA")

    port.before_read = bad
    result = verify(port, Keyed(), CURE)
    assert (result.cured_by_rewriting, result.mismatched, result.read_bytes) == (1, 0, BLOCK)
    assert port.writes == [ByteRange(8 * 512, 16 * 512)]
    assert port.content == before


@pytest.mark.parametrize(
    ("kind", "code", "gone"),
    [
        (PortErrorKind.GONE, "drive.gone", True),
        (PortErrorKind.READ_ONLY, "drive.error", False),
    ],
)
def test_a_drive_that_leaves_ends_it(kind: PortErrorKind, code: str, *, gone: bool) -> None:
    port = written(Keyed(), 10 * BLOCK)

    def leaves(offset: int, _length: int) -> None:
        if offset >= 4 * BLOCK:
            raise refuse(kind)

    port.before_read = leaves
    verifying = make(port, Keyed(), CURE)
    result = run(verifying)
    assert (verifying.failure, verifying.gone) == (code, gone)
    assert (result.read_bytes, result.unreadable.count) == (4 * BLOCK, 0)


def test_a_drive_that_leaves_while_a_sector_is_cured_has_no_unreadable_sector() -> None:
    port = written(Keyed(), BLOCK)
    port.before_read = bad_sectors(port, [0])

    def leaves(_offset: int, _length: int) -> None:
        raise refuse(PortErrorKind.GONE)

    port.before_write = leaves
    verifying = make(port, Keyed(), CURE)
    result = run(verifying)
    assert (verifying.failure, result.unreadable.count) == ("drive.gone", 0)


def test_a_command_that_times_out_is_split_like_a_bad_one() -> None:
    port = written(Keyed(), BLOCK)
    port.before_read = bad_sectors(port, [3], lambda: refuse(PortErrorKind.TIMEOUT, "ETIMEDOUT"))
    assert verify(port, Keyed()).unreadable.first == (3,)


def test_a_file_drive_with_sectors_to_be_rewritten(tmp_path: Path) -> None:
    """The laboratory's drive, as Linux would answer: 512e, read errors that a rewrite cures."""
    description = DriveDescription(
        sectors=256,
        model="LAB",
        physical_sector_bytes=4096,
        unreadable_until_rewritten=(LbaSpan(64, 64),),
        unreadable=(LbaSpan(128, 128),),
    )
    path = make_file_drive(tmp_path / "drive.json", description)
    with open_file_drive(path, SystemClock()) as drive:
        result = verify(drive.port("disk"), ZERO, CURE)
    assert result.unreadable.first == tuple(range(128, 136))
    assert (result.cured_by_rewriting, result.mismatched, result.reads) == (1, 0, "simulated")


# --- control -----------------------------------------------------------------------------------


def virtually(
    port: MemoryPort,
    act: Callable[[VirtualClock, Verification], None],
    rule: ReadingRule = ONLY_READ,
    rate: int = 0,
) -> tuple[Verification, float]:
    async def main(clock: VirtualClock) -> tuple[Verification, float]:
        control = Control(clock, rate)
        verifying = Verification(
            port,
            stream_of(Keyed(), JOB_KEY, 1, 16 * BLOCK),
            Full(),
            b"",
            rule,
            control,
            clock,
            FINDING_KEY,
            block_bytes=16 * BLOCK,
        )
        act(clock, verifying)
        started = clock.boottime()
        await InlineExecutor(clock, clock.take_owed_s).run(verifying.lanes())
        return verifying, clock.boottime() - started

    return run_virtually(main)


def test_a_rate_limit_holds_for_reading_too() -> None:
    port = written(Keyed(), 32 * BLOCK)
    verifying, spent = virtually(port, lambda _clock, _one: None, rate=16 * BLOCK)
    assert verifying.result().read_bytes == 32 * BLOCK
    assert 1.75 <= spent <= 2.25
    assert {one.length for one in port.read_ranges} == {2 * BLOCK}, "so that a stop is heard soon"


def test_a_stop_is_heard_between_retries() -> None:
    port = written(Keyed(), 8 * BLOCK)
    port.before_read = bad_sectors(port, [1])

    def act(clock: VirtualClock, verifying: Verification) -> None:
        real = clock.wait_blocking

        def wait(seconds: float) -> None:
            verifying.control.stop("step.aborted")
            real(seconds)

        clock.wait_blocking = wait  # type: ignore[method-assign]

    rule = ReadingRule(retries=100, retry_pause_s=3600, cure_by_rewriting=True)
    verifying, spent = virtually(port, act, rule)
    result = verifying.result()
    assert (result.unreadable.count, result.cured_by_rewriting) == (0, 0)
    assert result.read_bytes == 512
    assert spent <= 3601
    assert not port.writes


def test_how_long_the_drive_owes_an_answer() -> None:
    port = written(Keyed(), BLOCK)
    seen: list[float] = []

    def act(clock: VirtualClock, verifying: Verification) -> None:
        def slow(_offset: int, _length: int) -> None:
            clock.wait_blocking(30.0)
            seen.append(verifying.longest_in_flight_s())

        port.before_read = slow

    verifying, _ = virtually(port, act)
    assert seen == [30.0]
    assert verifying.longest_in_flight_s() == 0
