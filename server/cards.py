"""What the centre tells whoever asks: pages, API, exports. Values alone.

Texts that came from stations are printable and bounded; a template still escapes them.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Generic, TypeVar

from nullbay.domain.clock import Stamp
from nullbay.domain.codec import U64
from nullbay.domain.lot import InsertionEnd
from nullbay.domain.outcome import JobEnd
from nullbay.domain.status import Count, StationStatus
from nullbay.domain.verdict import Verdict

T = TypeVar("T")


class Presence(enum.StrEnum):
    """How fresh a station's status is; `never`: nothing was ever heard of it."""

    ONLINE = "online"
    STALE = "stale"
    OFFLINE = "offline"
    NEVER = "never"


class Via(enum.StrEnum):
    """How a status came."""

    POLL = "poll"
    HEARTBEAT = "heartbeat"


class FindingState(enum.StrEnum):
    """`open`: holds, or did and nobody looked yet. `over`: does not hold any more.

    What once happened (a forgery, a fork) is never over; a person acknowledges it.
    """

    OPEN = "open"
    OVER = "over"
    ACKNOWLEDGED = "acknowledged"


@dataclass(frozen=True, slots=True)
class Listed(Generic[T]):
    """A part of a list; `after` asks for the next part, None where this is the end."""

    items: tuple[T, ...]
    after: str | None


@dataclass(frozen=True, slots=True)
class StationCard:
    """A station of the fleet. `status` is the last one; ages are of now, in seconds.

    `head_*` is the last ledger entry delivered. `poll_error` is the code of the last poll's
    failure, empty after one that worked or where the station is not polled.
    """

    station: str
    url: str
    presence: Presence
    seen: Stamp | None
    age_s: int | None
    via: Via | None
    status: StationStatus | None
    poll_error: str
    head_sequence: U64
    head_sha256: str
    last_delivery: Stamp | None
    records: int
    open_jobs: int
    open_findings: int


@dataclass(frozen=True, slots=True)
class RecordCard:
    """A record: what the statement says, in short. `number` is its place in the order of arrival.

    `claimed` is the method claimed (empty unless SANITIZED), `attempt` which one it was.
    """

    number: int
    envelope_sha256: str
    station: str
    job: str
    verdict: Verdict
    simulated: bool
    statement_id: str
    statement_sha256: str
    archive_sha256: str
    sequence: U64
    attempt: int
    end: JobEnd
    reasons: tuple[str, ...]
    manufacturer: str
    model: str
    serial: str
    wwn: str
    identity_key: str
    media: str
    size_bytes: U64
    asset_tag: str
    label_serial: str
    lot: str
    customer: str
    policy_id: str
    required: str
    claimed: str
    technique: str
    bay: str
    issued_at: str
    received: Stamp


@dataclass(frozen=True, slots=True)
class RecordQuery:
    """What to look for; empty: anything. `text` is a serial, label serial, WWN, asset tag or lot.

    `text`, `serial`, `asset_tag` and `lot` match from the beginning, without regard to case or
    blanks around them. `after` is the `after` of the part before. `since` and `until` are days of
    the signature in UTC (`2026-11-21`), both included.
    """

    text: str = ""
    serial: str = ""
    asset_tag: str = ""
    lot: str = ""
    station: str = ""
    verdict: Verdict | None = None
    after: str | None = None
    limit: int = 50
    since: str = ""
    until: str = ""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """A record checked again from the stored bytes, now. `code` says why it is not authentic."""

    authentic: bool
    verdict: Verdict | None
    code: str
    message: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RecordPage:
    """One record with its check result. `archive_bytes` None: the evidence file is not there."""

    card: RecordCard
    check: CheckResult
    bundle_bytes: int
    archive_bytes: int | None
    receipt: bytes
    others: tuple[RecordCard, ...]


@dataclass(frozen=True, slots=True)
class JobCard:
    """A job as the ledger tells it; `concluded_sequence` None while it is open."""

    station: str
    job: str
    insertion: str
    identity_key: str
    policy_id: str
    bay: str
    simulated: bool
    started_sequence: U64 | None
    started: Stamp | None
    concluded_sequence: U64 | None
    concluded: Stamp | None
    verdict: Verdict | None
    has_record: bool
    shown: Stamp | None


@dataclass(frozen=True, slots=True)
class InsertionCard:
    """An insertion that was closed."""

    station: str
    insertion: str
    sequence: U64
    closed: Stamp
    cause: InsertionEnd
    bay: str
    identity_key: str
    scanned: str
    jobs: tuple[str, ...]
    refusals: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EntryCard:
    """A ledger entry as delivered: what kind, when, about what."""

    station: str
    sequence: U64
    sha256: str
    kind: str
    at: Stamp
    subject: str
    received: Stamp


@dataclass(frozen=True, slots=True)
class RefusedCard:
    """Something a station sent that was not taken; only its digest was kept."""

    station: str
    what: str
    sha256: str
    code: str
    message: str
    bytes: int
    times: int
    first: Stamp
    last: Stamp


@dataclass(frozen=True, slots=True)
class FindingCard:
    """Something a person has to look at. `severity`: alarm, warning. `id` is stable.

    `subject` names the job, entry, insertion or digest concerned, or is empty.
    """

    id: str
    station: str
    code: str
    severity: str
    subject: str
    detail: str
    state: FindingState
    first: Stamp
    last: Stamp
    over: Stamp | None
    acknowledged: Stamp | None
    acknowledged_by: str
    note: str


@dataclass(frozen=True, slots=True)
class StationAccount:
    """Whether nothing dropped out at a station: everything here follows from its chain.

    `accounted`: every job on the chain is concluded and every conclusion has its record here, every
    insertion that a job names is closed, and no finding about the chain is open.
    """

    station: str
    entries: int
    insertions: tuple[Count, ...]
    jobs_started: int
    jobs_concluded: int
    jobs_open: tuple[str, ...]
    insertions_open: tuple[str, ...]
    records: int
    records_missing: tuple[str, ...]
    verdicts: tuple[Count, ...]
    accounted: bool


@dataclass(frozen=True, slots=True)
class StationPage:
    """One station whole: card, account, what it works on, its latest entries and refusals."""

    card: StationCard
    account: StationAccount
    open_jobs: tuple[JobCard, ...]
    entries: tuple[EntryCard, ...]
    refused: tuple[RefusedCard, ...]
    findings: tuple[FindingCard, ...]


@dataclass(frozen=True, slots=True)
class ManifestLine:
    """A drive that the customer's list names."""

    line: int
    serial: str
    asset_tag: str
    model: str = ""


@dataclass(frozen=True, slots=True)
class ManifestSource:
    """Where a manifest came from: a station, or (empty) a person at the centre.

    `by` is who gave it there, `sha256` that of the file a station read.
    """

    station: str
    by: str
    sha256: str
    lines: int
    received: Stamp


class LineState(enum.StrEnum):
    """What became of a drive of a lot. `refused`: it came, and no job was done on it."""

    MISSING = "missing"
    NOT_DETECTED = "not-detected"
    REFUSED = "refused"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class LineAccount:
    """A line of the manifest, its state, and the record that decides (the last attempt's).

    `refusals` are the codes of why there is none, where the drive came.
    """

    line: ManifestLine
    state: LineState
    record: RecordCard | None
    refusals: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DriveAccount:
    """A drive of a lot: every record of it, newest first; the first one decides."""

    identity_key: str
    model: str
    serial: str
    label_serial: str
    asset_tag: str
    verdict: Verdict
    records: tuple[RecordCard, ...]
    on_manifest: bool | None


@dataclass(frozen=True, slots=True)
class LotCard:
    """A lot in short: drives by the verdict of their last attempt."""

    lot: str
    customer: str
    stations: tuple[str, ...]
    drives: int
    records: int
    verdicts: tuple[Count, ...]
    first: str
    last: str
    has_manifest: bool


@dataclass(frozen=True, slots=True)
class LotAccount:
    """A lot reconciled. `lines` and `surplus` are empty without a manifest.

    `surplus` are drives with records that no line names. `accounted`: no line is missing and there
    is no surplus; without a manifest None, nobody can tell. `open_at` are stations where it takes
    drives; `manifests` are those that `lines` were made of.
    """

    card: LotCard
    drives: tuple[DriveAccount, ...]
    lines: tuple[LineAccount, ...]
    surplus: tuple[DriveAccount, ...]
    counts: tuple[Count, ...]
    accounted: bool | None
    open_at: tuple[str, ...]
    manifests: tuple[ManifestSource, ...]


@dataclass(frozen=True, slots=True)
class Totals:
    """The whole centre in numbers."""

    stations: tuple[Count, ...]
    records: tuple[Count, ...]
    entries: int
    open_jobs: int
    open_findings: int
    simulated_accepted: bool
