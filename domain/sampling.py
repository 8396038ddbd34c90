"""Where verification reads, and what it could have missed. Pure arithmetic, recomputable by anyone.

The unit is split into K strata of nearly equal width. In each stratum m pieces of equal length are
placed on the stratum bent into a ring, without overlap, so that every sector of a stratum is read
with the same probability (on a straight line the ends would hardly ever be read). Places come from
HMAC-SHA256 and rejection, never a remainder of a biased range. docs/sampling.md has known answers.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from nullbay.domain.codec import U64
from nullbay.domain.odds import trials_until
from nullbay.domain.policy import Confidence, Full, NistR1, VerificationProfile
from nullbay.domain.ranges import ByteRange, RangeSet

LABEL = b"nullbay/sample/1"
EXTENTS_LABEL = b"nullbay/extents/1"
SEED_BYTES = 32
EDGE_BYTES = 64 * 1024 * 1024
CONFIDENCE_UNIT_BYTES = 1024 * 1024
SIZE_MAX_BYTES = 2**63
NIST_STRATA = 1000
NIST_PIECES = 2
NIST_PIECE_DIVISOR = 20
MISS_PROBABILITY_PERCENT = 1
_SPACE = 2**256


@dataclass(frozen=True, slots=True)
class Layout:
    """Sampling of one unit in logical sectors: in each stratum `pieces` of `piece_sectors`."""

    sectors: int
    sector_bytes: int
    strata: int
    pieces: int
    piece_sectors: int

    def stratum(self, number: int) -> tuple[int, int]:
        """First sector and width of a stratum."""
        start = number * self.sectors // self.strata
        return start, (number + 1) * self.sectors // self.strata - start

    @property
    def widest(self) -> int:
        """Width of the widest stratum in sectors."""
        return _divided_up(self.sectors, self.strata)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a sampled verification says in plain numbers.

    `scattered_bytes`: residue of at least this much, in single sectors anywhere at random, would
    have been found with at least 99 % probability. `contiguous_bytes`: the same for one piece,
    wherever it lies. Both 0 where every byte was read.
    """

    planned_bytes: U64
    total_bytes: U64
    unit_bytes: U64
    places: U64
    scattered_bytes: U64
    contiguous_bytes: U64


def is_geometry(size_bytes: int, sector_bytes: int) -> bool:
    """Whether a unit of that size and logical sector size can be sampled and verified at all."""
    return (
        0 < size_bytes <= SIZE_MAX_BYTES
        and sector_bytes > 0
        and CONFIDENCE_UNIT_BYTES % sector_bytes == 0
        and size_bytes % sector_bytes == 0
    )


def layout_of(profile: VerificationProfile, size_bytes: int, sector_bytes: int) -> Layout | None:
    """The layout, or None where every byte is read: `full`, and units too small to sample.

    Raises ValueError for a size that is not whole sectors, and for a sector that 1 MiB is not a
    multiple of: a sample unit would be no whole number of sectors.
    """
    if not is_geometry(size_bytes, sector_bytes):
        msg = f"not a size in whole sectors: {size_bytes} of {sector_bytes}"
        raise ValueError(msg)
    sectors = size_bytes // sector_bytes
    match profile:
        case Full():
            return None
        case NistR1():
            strata, pieces = NIST_STRATA, NIST_PIECES
            piece = _divided_up(_divided_up(sectors, strata), NIST_PIECE_DIVISOR)
        case Confidence():
            strata, pieces = profile.units, 1
            piece = CONFIDENCE_UNIT_BYTES // sector_bytes
    narrowest = sectors // strata
    if narrowest < 2 * pieces * piece or size_bytes <= 2 * EDGE_BYTES:
        return None
    return Layout(sectors, sector_bytes, strata, pieces, piece)


def extents(
    profile: VerificationProfile, size_bytes: int, sector_bytes: int, seed: bytes
) -> tuple[ByteRange, ...]:
    """Every byte range to read, sorted and merged: samples plus the first and last 64 MiB."""
    layout = layout_of(profile, size_bytes, sector_bytes)
    if layout is None:
        return (ByteRange(0, size_bytes),)
    if len(seed) != SEED_BYTES:
        msg = f"a seed has {SEED_BYTES} bytes"
        raise ValueError(msg)
    chosen = RangeSet()
    chosen.add(0, EDGE_BYTES)
    chosen.add(size_bytes - EDGE_BYTES, size_bytes)
    for number in range(layout.strata):
        for start, end in _pieces(layout, number, seed):
            chosen.add(start * sector_bytes, end * sector_bytes)
    return chosen.frozen()


def extents_sha256(ranges: tuple[ByteRange, ...]) -> str:
    """Digest of the ordered extents: SHA-256 over the label, then start and end, 8 bytes each."""
    digest = hashlib.sha256(EXTENTS_LABEL)
    for one in ranges:
        digest.update(one.start.to_bytes(8, "big") + one.end.to_bytes(8, "big"))
    return digest.hexdigest()


def bounds_of(profile: VerificationProfile, size_bytes: int, sector_bytes: int) -> Bounds:
    """The bounds of a layout, over the draw of the seed; the ends read besides do not count."""
    layout = layout_of(profile, size_bytes, sector_bytes)
    if layout is None:
        return Bounds(size_bytes, size_bytes, sector_bytes, 1, 0, 0)
    read = layout.strata * layout.pieces * layout.piece_sectors
    return Bounds(
        planned_bytes=read * sector_bytes,
        total_bytes=size_bytes,
        unit_bytes=layout.piece_sectors * sector_bytes,
        places=layout.strata * layout.pieces,
        scattered_bytes=_scattered_sectors(read, layout.sectors) * sector_bytes,
        contiguous_bytes=_contiguous_sectors(layout) * sector_bytes,
    )


def draw(seed: bytes, stratum: int, count: int, below: int) -> tuple[int, int]:
    """A uniform integer in 0..below-1 and the next counter.

    HMAC-SHA256(seed, label ‖ stratum ‖ i), both 8 bytes big-endian, read as a 256-bit integer;
    values at or above the largest multiple of `below` are rejected and i counts on.
    """
    ceiling = _SPACE - _SPACE % below
    while True:
        message = LABEL + stratum.to_bytes(8, "big") + count.to_bytes(8, "big")
        value = int.from_bytes(hmac.digest(seed, message, "sha256"), "big")
        count += 1
        if value < ceiling:
            return value % below, count


def _pieces(layout: Layout, number: int, seed: bytes) -> Iterator[tuple[int, int]]:
    start, width = layout.stratum(number)
    piece, counter = layout.piece_sectors, 0
    first, counter = draw(seed, number, counter, width)
    places = [first]
    if layout.pieces == NIST_PIECES:
        gap, counter = draw(seed, number, counter, width - 2 * piece + 1)
        places.append((first + piece + gap) % width)
    for place in places:
        tail = min(piece, width - place)
        yield start + place, start + place + tail
        if tail < piece:
            yield start, start + piece - tail


def _divided_up(one: int, by: int) -> int:
    return -(-one // by)


def _scattered_sectors(read: int, sectors: int) -> int:
    """Smallest r with (1 - read/sectors)^r <= 1 %."""
    return trials_until(1 - Fraction(read, sectors), Fraction(MISS_PROBABILITY_PERCENT, 100))


def _contiguous_sectors(layout: Layout) -> int:
    """Smallest run that is missed with at most 1 %, wherever it lies.

    A run inside one stratum is missed with p(L); one across a border with p(a)·p(L-a), at most
    p(L/2)², because p is log-concave; one that contains a whole stratum never.
    """
    low, high = 1, 2 * layout.widest
    while low < high:
        middle = (low + high) // 2
        if _miss_at_most_percent(layout, middle):
            high = middle
        else:
            low = middle + 1
    return low


def _miss_at_most_percent(layout: Layout, run: int) -> bool:
    half = run // 2
    inside, whole = _miss(layout, run)
    left, right = _miss(layout, half), _miss(layout, run - half)
    one = inside * 100 <= whole * MISS_PROBABILITY_PERCENT
    two = left[0] * right[0] * 100 <= left[1] * right[1] * MISS_PROBABILITY_PERCENT
    return one and two


def _miss(layout: Layout, run: int) -> tuple[int, int]:
    """Probability that no piece of a stratum touches a run inside it, as a fraction.

    The gap left is W - L sectors long; ordered places for two pieces without overlap in it are
    (G-2s+2)(G-2s+1), on the whole ring W(W-2s+1); for one piece G-s+1 of W.
    """
    width, piece = layout.widest, layout.piece_sectors
    gap = width - run
    if layout.pieces == 1:
        return max(0, gap - piece + 1), width
    free = gap - 2 * piece
    if free < 0:
        return 0, 1
    return (free + 2) * (free + 1), width * (width - 2 * piece + 1)
