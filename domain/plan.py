"""Plans: what will be done to one drive, why, and what was not chosen. A value, with a hash."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from nullbay.domain.canonical import canonical_sha256
from nullbay.domain.codec import U64, to_plain
from nullbay.domain.drive import HiddenArea, Unit
from nullbay.domain.ids import IdentityKey, PlanSha256, PolicyId
from nullbay.domain.lot import DataCategory, Destination
from nullbay.domain.method import MediaKind, Method, Technique, Transport
from nullbay.domain.patterns import Pattern
from nullbay.domain.policy import Budgets, HealthLine, VerificationProfile

EXCLUDABLE_AREAS = frozenset({"NVMe boot partitions", "NVMe replay protected memory block"})
"""Areas the standard itself leaves out (verdicts.md section 2); a plan may leave out no other."""


VerificationPlan: TypeAlias = VerificationProfile | None
"""How one step is verified by reading back; None: not at all, which no last pass may be."""


class StepPurpose(enum.StrEnum):
    """Whether a step reaches the method or only leaves the wished final state."""

    METHOD = "method"
    FINAL_STATE = "final-state"


@dataclass(frozen=True, slots=True)
class OverwriteStep:
    """Write `pattern` over every addressable byte of a unit, flush, verify by `verification`."""

    kind: ClassVar[str] = "overwrite"
    may_be_interrupted: ClassVar[bool] = True
    number: int
    unit_id: str
    purpose: StepPurpose
    pattern: Pattern
    verification: VerificationPlan
    estimate_s: int


@dataclass(frozen=True, slots=True)
class DeallocateStep:
    """Tell the drive that a unit is not needed: a state for resale, no part of the method."""

    kind: ClassVar[str] = "deallocate"
    may_be_interrupted: ClassVar[bool] = True
    number: int
    unit_id: str
    purpose: StepPurpose
    estimate_s: int


Step: TypeAlias = OverwriteStep | DeallocateStep
"""`may_be_interrupted`: whether a bench may stop in the middle of it and end, unless forced."""


@dataclass(frozen=True, slots=True)
class NotChosen:
    """A technique that was considered and left, with a coded reason."""

    technique: Technique
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class SanitizationPlan:
    """Everything that will be done, pinned to one identity and geometry.

    `limitations` are codes of what this plan cannot show, printed on the certificate.
    `excluded_areas` are areas the standard itself leaves out, by name (`EXCLUDABLE_AREAS`).
    `data_category` and `destination` are those of the lot that the required method came from: what
    is signed about the lot has to say the same.
    """

    identity_key: IdentityKey
    units: tuple[Unit, ...]
    media: MediaKind
    transport: Transport
    hidden_areas: tuple[HiddenArea, ...]
    policy_id: PolicyId
    policy_sha256: str
    scheme_id: str
    required_method: Method
    technique: Technique
    steps: tuple[Step, ...]
    not_chosen: tuple[NotChosen, ...]
    budgets: Budgets
    health: HealthLine
    limitations: tuple[str, ...]
    excluded_areas: tuple[str, ...]
    two_person_approval: bool
    simulated: bool
    data_category: DataCategory | None = None
    destination: Destination | None = None
    schema: str = "nullbay.plan/1"

    @property
    def sha256(self) -> PlanSha256:
        """What is approved: the canonical hash of the whole plan."""
        return PlanSha256(canonical_sha256(to_plain(self)))

    @property
    def size_bytes(self) -> int:
        """Addressable bytes of all units."""
        return sum(unit.size_bytes for unit in self.units)

    def unit(self, unit_id: str) -> Unit:
        """The unit of that id. Raises KeyError where the plan has none."""
        for unit in self.units:
            if unit.unit_id == unit_id:
                return unit
        raise KeyError(unit_id)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nullbay will not act: a coded reason and the evidence seen, safe to show."""

    code: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Held:
    """No allowed technique reaches the required method: the drive is held, with every reason.

    `destroy`: destruction is the way left; false where asking or another build may help.
    """

    required_method: Method
    not_chosen: tuple[NotChosen, ...]
    refusals: tuple[Refusal, ...]
    destroy: bool


@dataclass(frozen=True, slots=True)
class PatternKeyOrigin:
    """Where the job key came from: drawn here and kept in evidence, or released by the centre."""

    drawn_by: str
    commitment_sha256: str
    in_evidence: bool


PLANNED_BYTES_MAX: U64 = 2**63
