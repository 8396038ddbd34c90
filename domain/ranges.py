"""Sets of byte ranges: what is written and flushed, what was read, what is missing."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nullbay.domain.codec import U64


@dataclass(frozen=True, slots=True, order=True)
class ByteRange:
    """Bytes from `start` up to, not including, `end`."""

    start: U64
    end: U64

    def __post_init__(self) -> None:
        """Refuse empty and backward ranges: they would hide a mistake."""
        if not 0 <= self.start < self.end:
            msg = f"not a byte range: {self.start}..{self.end}"
            raise ValueError(msg)

    @property
    def length(self) -> int:
        """Bytes in it."""
        return self.end - self.start


class RangeSet:
    """A mutable set of bytes as sorted, disjoint, non-adjacent ranges."""

    __slots__ = ("_ends", "_starts")

    def __init__(self, ranges: Iterable[ByteRange] = ()) -> None:
        """Start from any ranges, in any order, overlapping or not."""
        self._starts: list[int] = []
        self._ends: list[int] = []
        for one in ranges:
            self.add(one.start, one.end)

    def add(self, start: int, end: int) -> None:
        """Put bytes start..end in; O(log n) plus what it merges. Raises ValueError below 0."""
        if start < 0:
            msg = f"not a byte range: {start}..{end}"
            raise ValueError(msg)
        if end <= start:
            return
        first = bisect_left(self._ends, start)
        last = bisect_right(self._starts, end)
        if first < last:
            start = min(start, self._starts[first])
            end = max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]

    def remove(self, start: int, end: int) -> None:
        """Take bytes start..end out."""
        if end <= start:
            return
        first = bisect_right(self._ends, start)
        last = bisect_left(self._starts, end)
        if first >= last:
            return
        kept = []
        if self._starts[first] < start:
            kept.append((self._starts[first], start))
        if self._ends[last - 1] > end:
            kept.append((end, self._ends[last - 1]))
        self._starts[first:last] = [a for a, _ in kept]
        self._ends[first:last] = [b for _, b in kept]

    def __iter__(self) -> Iterator[ByteRange]:
        """Ranges in order."""
        return (ByteRange(a, b) for a, b in zip(self._starts, self._ends, strict=True))

    def __len__(self) -> int:
        """How many disjoint ranges."""
        return len(self._starts)

    def __eq__(self, other: object) -> bool:
        """Same bytes."""
        return (
            isinstance(other, RangeSet)
            and self._starts == other._starts
            and self._ends == other._ends
        )

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        """For debugging."""
        return (
            "RangeSet("
            + ", ".join(f"{a}..{b}" for a, b in zip(self._starts, self._ends, strict=True))
            + ")"
        )

    @property
    def total_bytes(self) -> int:
        """Bytes in the set."""
        return sum(self._ends) - sum(self._starts)

    def covers(self, start: int, end: int) -> bool:
        """Whether every byte of start..end is in (an empty span is)."""
        if end <= start:
            return True
        at = bisect_right(self._starts, start) - 1
        return at >= 0 and self._ends[at] >= end

    def missing(self, start: int, end: int) -> Iterator[ByteRange]:
        """The parts of start..end that are not in, in order."""
        at = start
        for one in self:
            if one.end <= at:
                continue
            if one.start >= end:
                break
            if one.start > at:
                yield ByteRange(at, one.start)
            at = max(at, one.end)
        if at < end:
            yield ByteRange(at, end)

    def frozen(self) -> tuple[ByteRange, ...]:
        """A value to store."""
        return tuple(self)
