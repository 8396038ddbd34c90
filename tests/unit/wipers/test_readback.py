"""Which blocks are read back before a job is resumed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nullbay.domain.outcome import SectorList
from nullbay.domain.ranges import ByteRange, RangeSet
from nullbay.wipers.protocol import StepSoFar
from nullbay.wipers.readback import READ_BACK_BLOCKS, READ_BACK_BYTES, choose

SECTOR = 4096


@st.composite
def so_fars(draw: st.DrawFn) -> StepSoFar:
    """Ranges of whole sectors, the last flushed one among them or rewound."""
    borders = draw(st.lists(st.integers(0, 20_000), min_size=2, max_size=12, unique=True))
    borders.sort()
    ranges = tuple(
        ByteRange(a * SECTOR, b * SECTOR) for a, b in zip(borders[::2], borders[1::2], strict=False)
    )
    last = draw(st.sampled_from(ranges))
    kept = draw(st.sampled_from([ranges, tuple(one for one in ranges if one != last)]))
    return StepSoFar(1, kept, last, None, SectorList(), 0)


@given(so_fars(), st.binary(min_size=32, max_size=32))
def test_enough_blocks_all_flushed_and_the_end_of_the_last_range(
    so_far: StepSoFar, seed: bytes
) -> None:
    chosen = choose(so_far, SECTOR, seed)
    assert so_far.last_flushed is not None
    flushed = RangeSet((*so_far.flushed, so_far.last_flushed))
    assert all(flushed.covers(one.start, one.end) for one in chosen)
    assert all(one.start % SECTOR == one.end % SECTOR == 0 for one in chosen)
    assert all(one.length <= READ_BACK_BYTES for one in chosen)
    assert list(chosen) == sorted(set(chosen))
    assert any(one.start < so_far.last_flushed.end <= one.end for one in chosen)
    everything = sum(-(-one.length // READ_BACK_BYTES) for one in flushed)
    assert len(chosen) == min(everything, READ_BACK_BLOCKS)
    if everything <= READ_BACK_BLOCKS:
        assert RangeSet(chosen) == flushed


def test_the_blocks_depend_on_the_seed() -> None:
    so_far = StepSoFar(1, (ByteRange(0, 2**30),), ByteRange(0, SECTOR), None, SectorList(), 0)
    assert choose(so_far, SECTOR, b"a" * 32) != choose(so_far, SECTOR, b"b" * 32)
    assert choose(so_far, SECTOR, b"a" * 32) == choose(so_far, SECTOR, b"a" * 32)


def test_nothing_flushed_is_nothing_to_read() -> None:
    assert choose(StepSoFar(1, (), None, None, SectorList(), 0), SECTOR, b"a" * 32) == ()
