"""Lots and insertions: whose drives these are, and each stay of a drive in a bay."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from nullbay.domain.clock import Stamp
from nullbay.domain.drive import Attachment, DriveIdentity
from nullbay.domain.ids import InsertionId, JobId, LotRef


class DataCategory(enum.StrEnum):
    """Confidentiality of what was stored (FIPS 199)."""

    LOW = "low"
    MODERATE = "moderate"
    HIGH = "high"


class Destination(enum.StrEnum):
    """What becomes of the media: the two questions of SP 800-88's decision flow in one word."""

    RETAINED = "retained"
    LEAVING = "leaving"
    NOT_REUSED = "not-reused"


@dataclass(frozen=True, slots=True)
class Lot:
    """A batch of drives of one customer. Only the reference must be known; empty: unknown."""

    reference: LotRef
    customer: str = ""
    site: str = ""
    source: str = ""
    work_order: str = ""
    data_category: DataCategory | None = None
    destination: Destination | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who took part: signed data hold the id and role; names are rendering."""

    role: str
    person_id: str
    title: str = ""


class InsertionEnd(enum.StrEnum):
    """Why an insertion closed (verdicts.md section 3)."""

    REMOVED = "removed"
    REFUSED = "refused"
    NOT_DETECTED = "not-detected"
    STATION_STOPPED = "station-stopped"


@dataclass(frozen=True, slots=True)
class Insertion:
    """From plug to pull; closes with exactly one ledger entry naming its jobs or refusal codes."""

    insertion_id: InsertionId
    identity: DriveIdentity
    attachment: Attachment
    opened: Stamp
    jobs: tuple[JobId, ...] = ()
    refusals: tuple[str, ...] = ()
    closed: Stamp | None = None
    cause: InsertionEnd | None = None
