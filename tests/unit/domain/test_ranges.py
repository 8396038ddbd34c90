"""Sets of ranges against plain sets of integers."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from nullbay.domain.ranges import ByteRange, RangeSet

SIZE = 12  # few places, so that ends meet ends
ENDS = st.integers(0, SIZE)


class RangesAgainstASet(RuleBasedStateMachine):
    """Whatever is put in and taken out, in whatever order."""

    def __init__(self) -> None:
        super().__init__()
        self.ranges, self.model = RangeSet(), set[int]()

    @rule(start=ENDS, end=ENDS)
    def add(self, start: int, end: int) -> None:
        self.ranges.add(start, end)
        self.model |= set(range(start, end))

    @rule(start=ENDS, end=ENDS)
    def remove(self, start: int, end: int) -> None:
        self.ranges.remove(start, end)
        self.model -= set(range(start, end))

    @rule(start=ENDS, end=ENDS)
    def ask(self, start: int, end: int) -> None:
        wanted = set(range(start, end))
        assert self.ranges.covers(start, end) == (wanted <= self.model)
        missing = list(self.ranges.missing(start, end))
        assert bytes_of(missing) == wanted - self.model
        assert all(one.end < other.start for one, other in pairwise(missing))

    @invariant()
    def same(self) -> None:
        frozen = self.ranges.frozen()
        assert bytes_of(frozen) == self.model
        assert all(one.end < other.start for one, other in pairwise(frozen))
        assert self.ranges.total_bytes == len(self.model)
        assert len(self.ranges) == len(frozen)
        assert tuple(self.ranges) == frozen

    @invariant()
    def order_does_not_matter(self) -> None:
        again = RangeSet(reversed(self.ranges.frozen()))
        assert again == self.ranges
        assert (again == RangeSet()) == (not self.model)


def bytes_of(ranges: list[ByteRange] | tuple[ByteRange, ...]) -> set[int]:
    return {byte for one in ranges for byte in range(one.start, one.end)}


TestRangesAgainstASet = RangesAgainstASet.TestCase
TestRangesAgainstASet.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_a_set_is_no_key_and_no_other_thing() -> None:
    with pytest.raises(TypeError):
        hash(RangeSet())
    assert RangeSet() != set()
    one = RangeSet([ByteRange(2, 4)])
    assert one not in (RangeSet([ByteRange(2, 5)]), RangeSet([ByteRange(1, 4)]))
    assert repr(RangeSet([ByteRange(0, 4), ByteRange(8, 9)])) == "RangeSet(0..4, 8..9)"


@pytest.mark.parametrize(("start", "end"), [(0, 0), (5, 4), (-1, 4), (-4, -2)])
def test_no_such_range(start: int, end: int) -> None:
    with pytest.raises(ValueError, match="not a byte range"):
        ByteRange(start, end)


def test_a_range_knows_its_length() -> None:
    assert ByteRange(512, 4096).length == 3584


def test_nothing_lies_below_zero() -> None:
    with pytest.raises(ValueError, match="not a byte range"):
        RangeSet().add(-1, 5)


def test_many_ranges_stay_cheap() -> None:
    """A pass journals its flushes in order; each is merged into the one before."""
    ranges = RangeSet()
    for number in range(200_000):
        ranges.add(number * 4, number * 4 + 4)
    assert len(ranges) == 1
    assert ranges.total_bytes == 800_000
