"""Policies: which method a lot requires, what may be done to reach it, and when to give up."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, TypeAlias

from nullbay.domain.canonical import canonical_sha256
from nullbay.domain.codec import U64, to_plain
from nullbay.domain.ids import PolicyId
from nullbay.domain.lot import DataCategory, Destination, Lot
from nullbay.domain.method import MediaKind, Method, Technique
from nullbay.domain.odds import trials_until
from nullbay.domain.patterns import OverwriteScheme

PPM = 1_000_000
SAMPLE_UNITS_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Full:
    """Read every addressable byte."""

    kind: ClassVar[str] = "full"


@dataclass(frozen=True, slots=True)
class NistR1:
    """SP 800-88r1 4.7: 1,000 strata, two places in each, each 5 % of it; both ends always."""

    kind: ClassVar[str] = "nist-r1-10pct"


@dataclass(frozen=True, slots=True)
class Confidence:
    """Enough 1 MiB units to find, with `confidence_ppm`, residue in `residue_ppm` of all units."""

    kind: ClassVar[str] = "confidence"
    confidence_ppm: int
    residue_ppm: int

    def __post_init__(self) -> None:
        """Both strictly between 0 and 1, confidence at least one half, at most 100,000 units."""
        if not (PPM // 2 <= self.confidence_ppm < PPM and 0 < self.residue_ppm < PPM):
            msg = "confidence is 0.5 up to below 1, residue above 0 and below 1"
            raise ValueError(msg)
        if self.units > SAMPLE_UNITS_MAX:
            msg = f"{self.units} units are more than {SAMPLE_UNITS_MAX}: say `full` instead"
            raise ValueError(msg)

    @property
    def units(self) -> int:
        """The smallest n with (1-f)^n <= 1-C (reference/standards.md section 6)."""
        miss = Fraction(PPM - self.residue_ppm, PPM)
        return trials_until(miss, Fraction(PPM - self.confidence_ppm, PPM))


VerificationProfile: TypeAlias = Full | NistR1 | Confidence


class FinalState(enum.StrEnum):
    """What a drive leaves with: the last pass, zeros (one more verified pass), or unmapped."""

    KEYED = "keyed"
    ZERO = "zero"
    DEALLOCATED = "deallocated"


@dataclass(frozen=True, slots=True)
class CategoryRule:
    """The method one data category requires for one destination."""

    category: DataCategory
    destination: Destination
    method: Method


@dataclass(frozen=True, slots=True)
class Budgets:
    """Limits of patience. Seconds, degrees Celsius, bytes per second; a limit of 0 is none.

    `continue_past_unwritable` writes the rest of a drive that cannot pass, to leave less on it.
    `errors_max` and `slow_below_bytes_per_s` over `slow_s` are per session, and give a drive up.
    """

    write_retries: int = 3
    retry_pause_s: int = 1
    continue_past_unwritable: bool = False
    stall_s: int = 120
    deadline_s: int = 14 * 86_400
    absent_deadline_s: int = 7 * 86_400
    pause_above_celsius: int = 65
    continue_below_celsius: int = 55
    rate_limit_bytes_per_s: U64 = 0
    errors_max: int = 1000
    slow_below_bytes_per_s: U64 = 1_000_000
    slow_s: int = 900

    def __post_init__(self) -> None:
        """Refuse limits that mean nothing."""
        if not (0 <= self.write_retries <= 100 and 0 <= self.retry_pause_s <= 3600):
            msg = "write_retries is 0 to 100, retry_pause_s 0 to 3600"
            raise ValueError(msg)
        if (
            min(self.stall_s, self.deadline_s, self.absent_deadline_s) < 1
            or self.rate_limit_bytes_per_s < 0
        ):
            msg = "stall_s, deadline_s, absent_deadline_s are at least 1, a rate is not negative"
            raise ValueError(msg)
        if self.errors_max < 0 or self.slow_below_bytes_per_s < 0 or self.slow_s < 60:
            msg = "errors_max and slow_below_bytes_per_s are not negative, slow_s is at least 60"
            raise ValueError(msg)
        if self.slow_below_bytes_per_s and self.longest_retry_s >= self.slow_s:
            msg = "slow_s is more than all retries of one sector wait"
            raise ValueError(msg)
        if not 0 < self.continue_below_celsius < self.pause_above_celsius:
            msg = "continue_below_celsius is above 0 and below pause_above_celsius"
            raise ValueError(msg)

    @property
    def longest_retry_s(self) -> int:
        """Seconds that one sector's retries wait; the drive's own time comes on top."""
        return self.write_retries * self.retry_pause_s


@dataclass(frozen=True, slots=True)
class HealthLine:
    """Worst health still released without remark; None sets no line. Below it: an exception."""

    reallocated_sectors_max: int | None = None
    pending_sectors_max: int | None = 0
    media_errors_max: int | None = None
    percentage_used_max: int | None = 100


@dataclass(frozen=True, slots=True)
class Policy:
    """One sanitization policy. Its id is versioned; its hash goes into plan and certificate.

    `method` is the least required of any lot; `categories` may require more, never less.
    `fallback` names a second policy whose plan may follow a failed one, shown beside it.
    """

    policy_id: PolicyId
    title: str
    method: Method
    categories: tuple[CategoryRule, ...]
    techniques: tuple[Technique, ...]
    scheme: OverwriteScheme
    verify_magnetic: VerificationProfile
    verify_other: VerificationProfile
    final_state: FinalState
    unattended: bool = False
    two_person_approval: bool = False
    fallback: PolicyId | None = None
    budgets: Budgets = Budgets()
    health: HealthLine = HealthLine()
    schema: str = "nullbay.policy/1"

    @property
    def sha256(self) -> str:
        """Canonical hash of everything above, lower-case hex."""
        return canonical_sha256(to_plain(self))

    def required_method(self, lot: Lot | None) -> Method:
        """The method this lot's drives must reach: the strictest of base and matching rules.

        A lot with a category but no destination is taken to leave the organization's control.
        """
        required = self.method
        if lot is not None and lot.data_category is not None:
            destination = lot.destination or Destination.LEAVING
            for rule in self.categories:
                applies = rule.category is lot.data_category and rule.destination is destination
                if applies and rule.method.rank > required.rank:
                    required = rule.method
        return required

    def profile_for(self, media: MediaKind) -> VerificationProfile:
        """Sampling is for magnetic media; all else, the unknown included, gets `verify_other`."""
        return self.verify_magnetic if media is MediaKind.MAGNETIC else self.verify_other
