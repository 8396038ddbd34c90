"""The station's desk: everything that a person or a script may ask it for, and nothing else.

The HTTP API and the console are written against this seam; `agent/station.py` stands behind it.
Whoever asks has been authenticated: `by` is that person. Refusals are DeskError with stable codes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nullbay.domain.clock import Stamp
from nullbay.domain.codec import U64
from nullbay.domain.errors import NullbayError
from nullbay.domain.ids import BayId, IdentityKey, InsertionId, JobId, LotRef
from nullbay.domain.intake import ScanId
from nullbay.domain.lot import Lot, Person
from nullbay.domain.status import Count, DriveCard, StationStatus, Why
from nullbay.domain.verdict import Verdict


class DeskError(NullbayError):
    """What was asked cannot be done now; nothing was changed. `http_status` is its RFC 9457 kind.

    Codes: desk.unknown (404), desk.conflict (409), desk.refused (409), desk.forbidden (403),
    desk.malformed (422), desk.stopped (503).
    """

    code = "desk.refused"

    def __init__(self, code: str, message: str, *, next_step: str = "") -> None:
        """`code` as listed above, or a reason code of the catalogue."""
        super().__init__(message, next_step=next_step)
        self.code = code


@dataclass(frozen=True, slots=True)
class JobCard:
    """A job, or what is proposed for a drive: then `job` is None and `state` is `planned`.

    `id` is the job's id, or the insertion's as long as there is no job.
    """

    id: str
    job: JobId | None
    insertion: InsertionId | None
    bay: BayId | None
    drive: DriveCard | None
    identity_key: IdentityKey
    state: str
    policy_id: str
    plan_sha256: str
    lot: LotRef | None
    attempt: int
    sessions: int
    verdict: Verdict | None
    reasons: tuple[Why, ...]
    people: tuple[Person, ...]
    started: Stamp | None
    ended: Stamp | None
    delivered: bool


@dataclass(frozen=True, slots=True)
class InsertionCard:
    """One stay of a drive; `closed` is None while it lasts."""

    insertion: InsertionId
    bay: BayId | None
    opened: Stamp | None
    closed: Stamp | None
    cause: str
    jobs: tuple[JobId, ...]
    refusals: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DriveHistory:
    """A drive's page: who it is, every stay and every job here, newest first."""

    drive: DriveCard
    insertions: tuple[InsertionCard, ...]
    jobs: tuple[JobCard, ...]


@dataclass(frozen=True, slots=True)
class ManifestLine:
    """One expected drive and what became of it.

    `state`: missing, scanned, received, working, done (see verdict), not-detected.
    """

    line: int
    serial: str
    asset_tag: str
    model: str
    state: str
    insertion: InsertionId | None
    verdict: Verdict | None
    near: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LotCard:
    """A lot, whether it is active and where, and its account.

    `surplus` are serials that are here and on no line; `bays` is empty where it holds for all.
    """

    lot: Lot
    active: bool
    bays: tuple[BayId, ...]
    opened: Stamp | None
    opened_by: str
    manifest_sha256: str
    lines: tuple[ManifestLine, ...]
    surplus: tuple[str, ...]
    counts: tuple[Count, ...]


@dataclass(frozen=True, slots=True)
class ManifestReport:
    """What a manifest file held; a file with any problem is not taken."""

    sha256: str
    lines: int
    problems: tuple[str, ...]
    taken: bool


@dataclass(frozen=True, slots=True)
class ScanAnswer:
    """What a scan did. `alarm` is for the ear: something does not agree.

    `kind`: badge, bay, tag, label, removal, unknown. `code` says what happened in one word,
    `message` in plain words. `label` is what is printed on a drive that leaves, line by line.
    `scan` names an announcement that waits for its drive, which can be withdrawn by it.
    """

    kind: str
    code: str
    message: str
    alarm: bool
    bay: BayId | None
    insertion: InsertionId | None
    label: tuple[str, ...] = ()
    scan: str = ""


@dataclass(frozen=True, slots=True)
class AskCandidate:
    """A drive that an open scan may mean, and in plain words why it is only like it.

    `can_bind` is false where the label says that it is another drive.
    """

    insertion: InsertionId
    bay: BayId | None
    serial: str
    why: str
    can_bind: bool


@dataclass(frozen=True, slots=True)
class AskCard:
    """A scan that a person has to settle: bind it to a drive, or take it back.

    `code` and `message` say what is in doubt; `alarm`: something contradicts. While it `holds`, the
    announced drive is not given up; else it is not detected when its minute is over.
    """

    scan: ScanId
    code: str
    message: str
    alarm: bool
    holds: bool
    label_serial: str
    asset_tag: str
    bay: BayId | None
    lot: LotRef | None
    by: str
    at: Stamp
    candidates: tuple[AskCandidate, ...]


@dataclass(frozen=True, slots=True)
class DestroyCard:
    """A drive to be destroyed. `reason`: not-detected or not-sanitized.

    `serial` is the label's where one was scanned. `since` is when it was announced or its job
    ended. `bay` is where it is or was; `place`: never-seen, here, pulled, scanned-out.
    """

    reason: str
    lot: LotRef | None
    serial: str
    asset_tag: str
    since: Stamp | None
    place: str
    bay: BayId | None
    insertion: InsertionId | None
    job: JobId | None
    identity_key: IdentityKey | None
    why: tuple[Why, ...]


@dataclass(frozen=True, slots=True)
class RecordCard:
    """A finished record."""

    job: JobId
    verdict: Verdict
    drive: DriveCard | None
    lot: LotRef | None
    asset_tag: str
    statement_sha256: str
    issued: Stamp | None
    delivered: bool


@dataclass(frozen=True, slots=True)
class RecordFiles:
    """Where a record's files are."""

    bundle: Path
    archive: Path
    pdf: Path


@dataclass(frozen=True, slots=True)
class Approval:
    """Consent to one plan. `confirm` is the text that `BayStatus.confirm` shows for that drive."""

    plan_sha256: str
    confirm: str


@dataclass(frozen=True, slots=True)
class Change:
    """Something changed: `topic` is bay, lot, job, station; `name` which one. Nothing secret.

    `number` counts up within one run of the station (`run`); both together make an SSE id.
    """

    run: str
    number: U64
    topic: str
    name: str


@dataclass(frozen=True, slots=True)
class BayCounters:
    """What was written in a bay and what went wrong there, since this run began."""

    bay: BayId
    written_bytes: U64
    errors: int


@dataclass(frozen=True, slots=True)
class VerdictCount:
    """How often a verdict was given for this reason; the reason is empty for SANITIZED."""

    verdict: Verdict
    reason: str
    number: int


@dataclass(frozen=True, slots=True)
class Counters:
    """What only grows while the station runs: for /metrics."""

    bays: tuple[BayCounters, ...]
    verdicts: tuple[VerdictCount, ...]


class Desk(Protocol):
    """The station, as far as others may ask it."""

    def status(self) -> StationStatus:
        """The picture now."""
        ...

    def counters(self) -> Counters:
        """What happened since this run began."""
        ...

    def drives(self) -> tuple[DriveCard, ...]:
        """Drives that are in bays now."""
        ...

    def drive(self, identity: IdentityKey) -> DriveHistory:
        """One drive, present or past. Raises DeskError desk.unknown."""
        ...

    def jobs(self, *, after: str | None = None, limit: int = 100) -> tuple[JobCard, ...]:
        """Proposals first, then jobs, newest first; those after the card of that id."""
        ...

    def job(self, which: str) -> JobCard:
        """One job or proposal. Raises DeskError desk.unknown."""
        ...

    def lots(self) -> tuple[LotCard, ...]:
        """Known lots, active ones first."""
        ...

    def lot(self, reference: str) -> LotCard:
        """Raises DeskError desk.unknown."""
        ...

    async def open_lot(self, lot: Lot, bays: tuple[BayId, ...], by: Person) -> LotCard:
        """Make a lot active for these bays, all without any. Raises DeskError desk.conflict."""
        ...

    async def close_lot(self, reference: str, by: Person) -> LotCard:
        """It takes no more drives. Raises DeskError."""
        ...

    async def take_manifest(
        self, reference: str, name: str, data: bytes, by: Person
    ) -> ManifestReport:
        """A CSV manifest for a lot. Raises DeskError; a bad file is a report with problems."""
        ...

    async def scan(self, text: str, by: Person) -> ScanAnswer:
        """What a scanner typed. Never raises for odd texts: the answer says so."""
        ...

    def asks(self) -> tuple[AskCard, ...]:
        """What scans left open, for a person to settle; the oldest first."""
        ...

    async def settle(self, scan: str, insertion: str, by: Person) -> ScanAnswer:
        """This scan is that drive. Raises DeskError: scan.gone, scan.other-drive and others."""
        ...

    async def withdraw(self, scan: str, by: Person) -> ScanAnswer:
        """Take an announcement back. Raises DeskError scan.gone."""
        ...

    def destroy_queue(self) -> tuple[DestroyCard, ...]:
        """Announced and never detected, or last concluded NOT_SANITIZED."""
        ...

    async def approve(self, which: str, approval: Approval, by: Person) -> JobCard:
        """Arm the plan of a proposal. Raises DeskError: plan.changed, usage.confirm and others."""
        ...

    async def approve_lot(
        self, reference: str, plans: tuple[str, ...], by: Person
    ) -> tuple[JobCard, ...]:
        """Arm the plans with these SHA-256 that wait in the lot's bays: those `by` looked at.

        A drive that came meanwhile is not armed. Raises DeskError; plan.changed, with nothing
        armed, where one of them waits no more.
        """
        ...

    async def abort(self, which: str, by: Person) -> JobCard:
        """Conclude a job now, or cancel a proposal's countdown. Raises DeskError."""
        ...

    def records(self, *, after: str | None = None, limit: int = 100) -> tuple[RecordCard, ...]:
        """Finished records, newest first."""
        ...

    def record(self, job: str) -> RecordFiles:
        """Raises DeskError desk.unknown. Its document may not be made yet."""
        ...

    async def document(self, job: str) -> Path:
        """The document of a record, made now if it has to be. Raises DeskError desk.unknown."""
        ...

    def changes(self, last: str | None) -> AsyncIterator[Change]:
        """Changes after the SSE id `last`; a first one with topic `reset` where it is too old."""
        ...
