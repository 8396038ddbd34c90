"""Sampling against docs/sampling.md, against enumeration, and against planted residue."""

from __future__ import annotations

import hashlib
import hmac
import random
from collections import Counter
from fractions import Fraction
from itertools import accumulate, pairwise
from math import comb, exp, lgamma, log, log1p
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nullbay.domain import sampling
from nullbay.domain.odds import trials_until
from nullbay.domain.policy import Confidence, Full, NistR1, VerificationProfile
from nullbay.domain.ranges import ByteRange
from nullbay.domain.sampling import EDGE_BYTES, Layout
from support.markdown import table

PAGE = (Path(__file__).parents[3] / "docs" / "sampling.md").read_text()
MIB = 1024 * 1024
SEED = bytes(range(32))

# --- the page alone, read by somebody who never saw the code -----------------------------------

Extents = list[tuple[int, int]]


def page_draw(seed: bytes, stratum: int, i: int, below: int) -> tuple[int, int]:
    while True:
        message = b"nullbay/sample/1" + stratum.to_bytes(8, "big") + i.to_bytes(8, "big")
        value = int(hmac.new(seed, message, hashlib.sha256).hexdigest(), 16)
        i += 1
        if value < 2**256 - (2**256 % below):
            return value % below, i


def page_extents(profile: VerificationProfile, size: int, sector: int, seed: bytes) -> Extents:
    n = size // sector
    strata, pieces, piece = 1, 0, 1
    if isinstance(profile, NistR1):
        strata, pieces = 1000, 2
        piece = -(-(n // 1000 + (n % 1000 > 0)) // 20)
    if isinstance(profile, Confidence):
        miss, wanted = Fraction(10**6 - profile.residue_ppm, 10**6), 10**6 - profile.confidence_ppm
        strata = next(k for k in range(1, 9999) if miss**k <= Fraction(wanted, 10**6))
        pieces, piece = 1, MIB // sector
    if not pieces or size <= 128 * MIB or n // strata < 2 * pieces * piece:
        return [(0, size)]
    read = {(0, 64 * MIB), (size - 64 * MIB, size)}
    for k in range(strata):
        start, width = k * n // strata, (k + 1) * n // strata - k * n // strata
        a, i = page_draw(seed, k, 0, width)
        places = [a]
        if pieces == 2:
            places.append((a + piece + page_draw(seed, k, i, width - 2 * piece + 1)[0]) % width)
        for place in places:
            for first in (place, place - width):  # once as it is, once from the ring's beginning
                begin, end = max(first, 0), min(first + piece, width)
                if begin < end:
                    read.add(((start + begin) * sector, (start + end) * sector))
    merged: Extents = []
    for begin, end in sorted(read):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged


def plain(ranges: tuple[ByteRange, ...]) -> Extents:
    return [(one.start, one.end) for one in ranges]


def profile_of(cell: str) -> VerificationProfile:
    name, *numbers = cell.replace("`", "").split()
    match name:
        case "full":
            return Full()
        case "nist-r1-10pct":
            return NistR1()
        case _:
            return Confidence(*map(int, numbers))


DRAWS = [tuple(map(int, row)) for row in table(PAGE, "Stratum")]
ROWS = table(PAGE, "Profile (C and f in millionths)")
EXTENTS = [row for row in ROWS if len(row) == 6]
BOUNDS = [row for row in ROWS if len(row) == 7]


@pytest.mark.parametrize(("stratum", "i", "below", "number", "after"), DRAWS)
def test_draws_are_those_of_the_page(
    stratum: int, i: int, below: int, number: int, after: int
) -> None:
    assert sampling.draw(SEED, stratum, i, below) == (number, after)
    assert page_draw(SEED, stratum, i, below) == (number, after)


@pytest.mark.parametrize("row", EXTENTS, ids=lambda row: " ".join(row[:3]))
def test_extents_are_those_of_the_page(row: list[str]) -> None:
    profile, size, sector = profile_of(row[0]), int(row[1]), int(row[2])
    ours = sampling.extents(profile, size, sector, SEED)
    theirs = page_extents(profile, size, sector, SEED)
    assert plain(ours) == theirs
    joined = b"".join(a.to_bytes(8, "big") + b.to_bytes(8, "big") for a, b in theirs)
    digest = hashlib.sha256(b"nullbay/extents/1" + joined).hexdigest()
    assert sampling.extents_sha256(ours) == digest
    total = sum(end - start for start, end in theirs)
    assert row[3:] == [str(len(theirs)), str(total), f"`{digest}`"]


@pytest.mark.parametrize("row", BOUNDS, ids=lambda row: " ".join(row[:3]))
def test_bounds_are_those_of_the_page(row: list[str]) -> None:
    bounds = sampling.bounds_of(profile_of(row[0]), int(row[1]), int(row[2]))
    numbers = (
        bounds.planned_bytes,
        bounds.unit_bytes,
        bounds.scattered_bytes,
        bounds.contiguous_bytes,
    )
    assert list(map(str, numbers)) == row[3:]
    assert bounds.total_bytes == int(row[1])


def test_the_page_has_its_tables() -> None:
    assert (len(DRAWS), len(EXTENTS), len(BOUNDS)) == (6, 8, 8)


PROFILES = st.one_of(
    st.just(Full()),
    st.just(NistR1()),
    st.builds(
        Confidence,
        st.sampled_from([500_000, 900_000, 950_000, 990_000, 999_000]),
        st.sampled_from([999_999, 500_000, 100_000, 50_000, 10_000]),
    ),
)
SECTORS = st.sampled_from([512, 4096])


@st.composite
def drives(draw: st.DrawFn) -> tuple[int, int]:
    """Size and sector size: tiny, odd, near the borders, and large."""
    sector = draw(SECTORS)
    sectors = draw(
        st.one_of(
            st.integers(1, 50),
            st.integers(100 * MIB // sector, 140 * MIB // sector),
            st.integers(1, 24 * 10**12 // sector),
        )
    )
    return sectors * sector, sector


@settings(max_examples=60, deadline=None)
@given(PROFILES, drives(), st.binary(min_size=32, max_size=32))
def test_the_page_suffices_for_any_drive(
    profile: VerificationProfile, drive: tuple[int, int], seed: bytes
) -> None:
    size, sector = drive
    assert plain(sampling.extents(profile, size, sector, seed)) == page_extents(
        profile, size, sector, seed
    )


@settings(max_examples=40, deadline=None)
@given(PROFILES, drives(), st.binary(min_size=32, max_size=32))
def test_extents_are_sorted_apart_inside_and_hold_both_ends(
    profile: VerificationProfile, drive: tuple[int, int], seed: bytes
) -> None:
    size, sector = drive
    ranges = sampling.extents(profile, size, sector, seed)
    assert all(one.end < other.start for one, other in pairwise(ranges))
    assert all(one.start % sector == one.end % sector == 0 for one in ranges)
    edge = min(EDGE_BYTES, size)
    assert ranges[0].start == 0
    assert ranges[0].end >= edge
    assert ranges[-1].end == size
    assert ranges[-1].start <= size - edge
    total = sum(one.length for one in ranges)
    assert sampling.bounds_of(profile, size, sector).planned_bytes <= total <= size


# --- when a drive is read in full --------------------------------------------------------------


@pytest.mark.parametrize("sector", [512, 4096])
@pytest.mark.parametrize("profile", [Full(), NistR1(), Confidence(990_000, 10_000)])
@pytest.mark.parametrize("size", [4096, 1024 * 1024 + 4096, 128 * MIB - 4096, 128 * MIB])
def test_small_drives_are_read_in_full(
    profile: VerificationProfile, size: int, sector: int
) -> None:
    assert plain(sampling.extents(profile, size, sector, b"")) == [(0, size)]
    one_place = sampling.Bounds(
        planned_bytes=size,
        total_bytes=size,
        unit_bytes=sector,
        places=1,
        scattered_bytes=0,
        contiguous_bytes=0,
    )
    assert sampling.bounds_of(profile, size, sector) == one_place


def test_just_beyond_the_ends_samples_begin() -> None:
    assert sampling.layout_of(NistR1(), 128 * MIB + 512, 512) is not None
    # 459 strata of 2 MiB are the least that 1 MiB units make sense in.
    least = 459 * 2 * MIB
    assert sampling.layout_of(Confidence(990_000, 10_000), least, 512) is not None
    assert sampling.layout_of(Confidence(990_000, 10_000), least - 512, 512) is None


@pytest.mark.parametrize("seed", [b"", SEED[:31], SEED + b"\0"])
def test_a_seed_has_32_bytes(seed: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        sampling.extents(NistR1(), 130 * MIB, 512, seed)


@pytest.mark.parametrize(
    ("size", "sector"),
    [(0, 512), (-512, 512), (1000, 512), (512, 0), (512, -512), (3 * MIB, 3), (2**63 + 512, 512)],
)
@pytest.mark.parametrize("profile", [Full(), NistR1()])
def test_no_such_geometry(profile: VerificationProfile, size: int, sector: int) -> None:
    assert not sampling.is_geometry(size, sector)
    with pytest.raises(ValueError, match="whole sectors"):
        sampling.extents(profile, size, sector, SEED)


def test_the_largest_unit_there_can_be() -> None:
    ranges = sampling.extents(NistR1(), 2**63, 512, SEED)
    assert ranges[-1].end == 2**63
    assert len(sampling.extents_sha256(ranges)) == 64
    assert sampling.bounds_of(Confidence(500_000, 999_999), 2**63, 512).scattered_bytes < 2**63


# --- every sector alike, by enumeration --------------------------------------------------------


class Dice:
    """Instead of HMAC: draws that somebody else has laid out."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = list(numbers)
        self.asked: list[int] = []

    def __call__(self, _seed: bytes, _stratum: int, count: int, below: int) -> tuple[int, int]:
        self.asked.append(below)
        return self.numbers.pop(0), count + 1


def placements(
    layout: Layout, stratum: int, monkeypatch: pytest.MonkeyPatch
) -> list[list[tuple[int, int]]]:
    """Every way in which the pieces of a stratum can fall, each as likely as any other."""
    _, width = layout.stratum(stratum)
    gaps = range(width - 2 * layout.piece_sectors + 1) if layout.pieces == 2 else range(1)
    found = []
    for first in range(width):
        for gap in gaps:
            dice = Dice(first, gap)
            monkeypatch.setattr(sampling, "draw", dice)
            found.append(list(sampling._pieces(layout, stratum, b"")))
            assert dice.asked == [width, len(gaps)][: layout.pieces]
    return found


SMALL = [
    Layout(sectors, 512, strata, pieces, piece)
    for sectors, strata, pieces, piece in [
        (40, 2, 1, 1),
        (41, 2, 1, 5),
        (43, 2, 2, 1),
        (50, 2, 2, 4),
        (47, 3, 2, 3),
        (24, 2, 2, 3),
    ]
]


@pytest.mark.parametrize("layout", SMALL)
def test_every_sector_is_read_with_the_same_chance_and_pieces_never_overlap(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = []
    for stratum in range(layout.strata):
        start, width = layout.stratum(stratum)
        ends += [start, start + width]
        read: Counter[int] = Counter()
        ways = placements(layout, stratum, monkeypatch)
        for pieces in ways:
            sectors = [sector for begin, end in pieces for sector in range(begin, end)]
            assert len(sectors) == len(set(sectors)) == layout.pieces * layout.piece_sectors
            read.update(sectors)
        assert set(read) == set(range(start, start + width))
        assert len(set(read.values())) == 1
    # The strata fill the drive and nothing twice.
    assert ends[0] == 0
    assert ends[-1] == layout.sectors
    assert ends[1:-1:2] == ends[2::2]


def test_draws_are_uniform() -> None:
    """Chi-square over 10 values: beyond 40 in one of 10^5 honest runs; seeds are fixed."""
    drawn = Counter(sampling.draw(SEED, stratum, 0, 10)[0] for stratum in range(20_000))
    chi_square = sum((drawn[value] - 2000) ** 2 / 2000 for value in range(10))
    assert chi_square < 40


def test_biased_values_are_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    below = 3 * 2**250
    ceiling = 2**256 - 2**256 % below
    values = [2**256 - 1, ceiling, ceiling - 1]
    monkeypatch.setattr(hmac, "digest", lambda *_: values.pop(0).to_bytes(32, "big"))
    assert sampling.draw(SEED, 0, 5, below) == (below - 1, 8)
    assert values == []


def test_draws_differ_by_seed_stratum_and_counter() -> None:
    big = 2**200
    drawn = {
        sampling.draw(seed, stratum, count, big)[0]
        for seed in (SEED, bytes(32))
        for stratum in (0, 1, 256)
        for count in (0, 1, 256)
    }
    assert len(drawn) == 18


# --- bounds against all placements, exactly ----------------------------------------------------


def chance_to_miss(layout: Layout, run: range, ways: list[list[list[tuple[int, int]]]]) -> Fraction:
    """Exactly: the share of placements in which no piece touches the run, over its strata."""
    chance = Fraction(1)
    for stratum in range(layout.strata):
        missed = sum(
            all(end <= run.start or begin >= run.stop for begin, end in pieces)
            for pieces in ways[stratum]
        )
        chance *= Fraction(missed, len(ways[stratum]))
    return chance


@pytest.mark.parametrize("layout", SMALL)
def test_the_contiguous_bound_holds_at_every_place_and_not_one_sector_less(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = [placements(layout, stratum, monkeypatch) for stratum in range(layout.strata)]
    percent = Fraction(1, 100)

    def worst(length: int) -> Fraction:
        starts = range(layout.sectors - length + 1)
        return max(chance_to_miss(layout, range(a, a + length), ways) for a in starts)

    bound = sampling._contiguous_sectors(layout)
    if bound <= layout.sectors:
        assert worst(bound) <= percent
    # Tight but for a stratum that is one sector narrower than the widest: never too small.
    slack = 1 if layout.sectors % layout.strata == 0 else 3
    assert worst(min(bound, layout.sectors + 1) - slack) > percent


@given(
    st.integers(1, 10**6),
    st.integers(1, 10**6),
)
def test_the_scattered_bound_is_exact(one: int, other: int) -> None:
    read, sectors = min(one, other), max(one, other) + 1
    count = sampling._scattered_sectors(read, sectors)
    if count > 2000:
        return  # a power that large takes too long; the logarithms are tested below
    missed = Fraction(sectors - read, sectors)
    assert missed**count <= Fraction(1, 100)
    assert count == 1 or missed ** (count - 1) > Fraction(1, 100)


@pytest.mark.parametrize(
    ("residue_ppm", "counts"),
    [
        (50_000, (59, 90, 135)),
        (10_000, (299, 459, 688)),
        (1_000, (2_995, 4_603, 6_905)),
        (100, (29_956, 46_050, 69_075)),
    ],
)
def test_units_are_those_of_the_published_table(residue_ppm: int, counts: tuple[int, ...]) -> None:
    found = [Confidence(c, residue_ppm).units for c in (950_000, 990_000, 999_000)]
    assert tuple(found) == counts


@pytest.mark.parametrize(
    ("miss", "allowed", "count"),
    [
        (Fraction(1, 10), Fraction(1, 100), 2),  # where floating point says 3
        (Fraction(1, 2), Fraction(1, 4), 2),
        (Fraction(1, 100), Fraction(1, 100), 1),
        (Fraction(1, 1000), Fraction(1, 2), 1),
        (Fraction(999_999, 10**6), Fraction(1, 10**6), 13_815_504),
    ],
)
def test_trials(miss: Fraction, allowed: Fraction, count: int) -> None:
    assert trials_until(miss, allowed) == count


@given(st.integers(1, 10**6 - 1), st.integers(1, 10**6 - 1))
def test_trials_are_the_smallest_number(miss: int, allowed: int) -> None:
    chance, wanted = Fraction(miss, 10**6), Fraction(allowed, 10**6)
    count = trials_until(chance, wanted)
    if count < 500:
        assert chance**count <= wanted
        assert count == 1 or chance ** (count - 1) > wanted


@pytest.mark.parametrize("bad", [Fraction(0), Fraction(1), Fraction(-1, 2), Fraction(3, 2)])
def test_no_chance(bad: Fraction) -> None:
    for chances in ((bad, Fraction(1, 2)), (Fraction(1, 2), bad)):
        with pytest.raises(ValueError, match="chances"):
            trials_until(*chances)


def test_chances_too_fine_to_be_exact_are_refused() -> None:
    with pytest.raises(ValueError, match="chances"):
        trials_until(Fraction(1, 2), Fraction(1, 10**6 + 1))


# --- bounds against planted residue ------------------------------------------------------------

REAL: list[tuple[VerificationProfile, int, int]] = [
    (NistR1(), 1_000_204_886_016, 512),
    (NistR1(), 130 * MIB, 512),
    (NistR1(), 20_000_002_048, 4096),
    (Confidence(990_000, 10_000), 1_000_204_886_016, 512),
    (Confidence(950_000, 50_000), 4_000_787_030_016, 4096),
]
TRIALS = 4000


def tolerance(trials: int, chance: float) -> tuple[int, int]:
    """Fewest and most misses that one in 10^6 honest runs goes beyond, by the binomial law."""
    if chance in {0.0, 1.0}:
        return (0, 0) if chance == 0.0 else (trials, trials)
    logs = [
        lgamma(trials + 1) - lgamma(k + 1) - lgamma(trials - k + 1)
        + k * log(chance) + (trials - k) * log1p(-chance)
        for k in range(trials + 1)
    ]  # fmt: skip
    below = list(accumulate(exp(weight) for weight in logs))
    low = next(k for k in range(trials + 1) if below[k] > 5e-7)
    high = next(k for k in range(trials + 1) if below[-1] - below[k] < 5e-7)
    return low, high


def seeds(count: int) -> list[bytes]:
    return [hashlib.sha256(b"trial %d" % number).digest() for number in range(count)]


def misses(layout: Layout, run: range) -> int:
    """In how many of TRIALS seeds no piece touches the run. Only its strata matter."""
    strata = [
        stratum
        for stratum in range(layout.strata)
        if layout.stratum(stratum)[0] < run.stop and sum(layout.stratum(stratum)) > run.start
    ]
    return sum(
        all(
            end <= run.start or begin >= run.stop
            for stratum in strata
            for begin, end in sampling._pieces(layout, stratum, seed)
        )
        for seed in seeds(TRIALS)
    )


@pytest.mark.parametrize(("profile", "size", "sector"), REAL)
@pytest.mark.parametrize("part", [1.0, 0.5, 0.9])
def test_planted_contiguous_residue(
    profile: VerificationProfile, size: int, sector: int, part: float
) -> None:
    """At the worst places: inside a stratum, at its beginning, and halved by a border."""
    layout = sampling.layout_of(profile, size, sector)
    assert layout is not None
    bound = sampling.bounds_of(profile, size, sector).contiguous_bytes // sector
    run = max(1, int(bound * part))
    middle = layout.strata // 2
    start, width = layout.stratum(middle)
    half = run // 2
    places = {start - half: "border"}
    if run <= width:
        places |= {start: "beginning", start + (width - run) // 2: "inside"}
    for place, where in places.items():
        if where == "border":
            chance = _exact(layout, half, middle - 1) * _exact(layout, run - half, middle)
        else:
            chance = _exact(layout, run, middle)
        low, high = tolerance(TRIALS, float(chance))
        found = misses(layout, range(place, place + run))
        assert low <= found <= high, (where, found, float(chance))
        if part == 1.0:
            assert chance <= Fraction(1, 100)


def _exact(layout: Layout, run: int, stratum: int) -> Fraction:
    """From scratch: of all places of the pieces on a ring of w, those off a run of that length."""
    width, piece = layout.stratum(stratum)[1], layout.piece_sectors
    if run == 0:
        return Fraction(1)
    free = width - run
    if layout.pieces == 1:
        return Fraction(max(0, free - piece + 1), width)
    # Two pieces in a line of `free`: spread what is left over three gaps, in either order.
    left = free - 2 * piece
    ways = 2 * comb(left + 2, 2) if left >= 0 else 0
    return Fraction(ways, width * (width - 2 * piece + 1))


DENSE: list[tuple[VerificationProfile, int, int]] = [
    (NistR1(), 1_000_204_886_016, 512),
    (NistR1(), 130 * MIB, 4096),
    (Confidence(990_000, 10_000), 1000 * MIB, 512),
    (Confidence(950_000, 50_000), 999 * MIB, 4096),
]
"""Samples dense enough that few sectors make the bound."""


@pytest.mark.parametrize(("profile", "size", "sector"), DENSE)
@pytest.mark.parametrize("part", [1.0, 0.5])
def test_planted_scattered_residue(
    profile: VerificationProfile, size: int, sector: int, part: float
) -> None:
    """Single sectors anywhere at random, the ends not counted."""
    layout = sampling.layout_of(profile, size, sector)
    assert layout is not None
    bounds = sampling.bounds_of(profile, size, sector)
    count = max(1, int(bounds.scattered_bytes // sector * part))
    share = Fraction(layout.strata * layout.pieces * layout.piece_sectors, layout.sectors)
    chance = float(1 - share) ** count
    place = random.Random(20261121)
    missed, trials = 0, 1500
    for number in range(trials):
        seed = hashlib.sha256(b"scattered %d" % number).digest()
        missed += not any(
            _is_read(layout, place.randrange(layout.sectors), seed) for _ in range(count)
        )
    low, high = tolerance(trials, chance)
    assert low <= missed <= high, (missed, chance)
    if part == 1.0:
        assert chance <= 0.01 + 1e-12


def _is_read(layout: Layout, sector: int, seed: bytes) -> bool:
    stratum = (sector * layout.strata + layout.strata - 1) // layout.sectors
    while layout.stratum(stratum)[0] > sector:
        stratum -= 1
    while sum(layout.stratum(stratum)) <= sector:
        stratum += 1
    pieces = sampling._pieces(layout, stratum, seed)
    return any(begin <= sector < end for begin, end in pieces)


# --- how the bounds move -----------------------------------------------------------------------

SIZE = 4_000_787_030_016


def test_more_confidence_or_less_residue_never_widens_a_bound() -> None:
    before: sampling.Bounds | None = None
    for residue in (200_000, 100_000, 50_000, 10_000, 5_000, 1_000, 500):
        for confidence in (500_000, 900_000, 990_000, 999_000):
            bounds = sampling.bounds_of(Confidence(confidence, residue), SIZE, 4096)
            if before is not None and bounds.places >= before.places:
                assert bounds.scattered_bytes <= before.scattered_bytes
                assert bounds.contiguous_bytes <= before.contiguous_bytes
                assert bounds.planned_bytes >= before.planned_bytes
                before = bounds
            before = before or bounds


def test_a_larger_drive_never_has_a_smaller_contiguous_bound() -> None:
    """With pieces of one size; those of `nist-r1-10pct` grow with the drive, in steps."""
    profile = Confidence(950_000, 50_000)
    bounds = [
        sampling.bounds_of(profile, 512 * sectors, 512).contiguous_bytes
        for sectors in range(266_240, 400_000, 997)
    ]
    assert bounds == sorted(bounds)


@pytest.mark.parametrize(("profile", "size", "sector"), REAL)
def test_one_piece_is_harder_to_miss_than_two_strata(
    profile: VerificationProfile, size: int, sector: int
) -> None:
    layout, bounds = sampling.layout_of(profile, size, sector), None
    assert layout is not None
    bounds = sampling.bounds_of(profile, size, sector)
    assert bounds.unit_bytes < bounds.contiguous_bytes <= 2 * layout.widest * sector
    assert bounds.planned_bytes == bounds.places * bounds.unit_bytes


def test_nist_reads_at_least_a_tenth() -> None:
    for sectors in (262_145, 1_953_525_168, 976_754_646):
        bounds = sampling.bounds_of(NistR1(), sectors * 512, 512)
        assert bounds.planned_bytes * 10 >= bounds.total_bytes


@pytest.mark.parametrize(
    ("confidence", "residue"),
    [(499_999, 1), (1_000_000, 1), (500_000, 0), (500_000, 1_000_000), (-1, -1)],
)
def test_no_such_confidence(confidence: int, residue: int) -> None:
    with pytest.raises(ValueError, match="confidence is"):
        Confidence(confidence, residue)


def test_more_units_than_it_is_worth_are_refused() -> None:
    assert Confidence(990_000, 47).units <= 100_000
    with pytest.raises(ValueError, match="`full`"):
        Confidence(990_000, 46)
