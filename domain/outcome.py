"""What happened: exchanges, outcomes of steps, verifications, sessions. All of it evidence."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from nullbay.domain.clock import Stamp
from nullbay.domain.codec import U64
from nullbay.domain.drive import Attachment, DriveIdentity, Observed
from nullbay.domain.ids import IdentityKey, JobId
from nullbay.domain.plan import PatternKeyOrigin, SanitizationPlan
from nullbay.domain.policy import VerificationProfile
from nullbay.domain.ranges import ByteRange

LISTED_MAX = 64


class OutcomeKind(enum.StrEnum):
    """How a step ended. There is no default: what is not known is INDETERMINATE."""

    SUCCEEDED = "succeeded"
    REFUSED = "refused"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    INDETERMINATE = "indeterminate"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One command to a drive and its answer; customers' bytes and secrets never get this far.

    `command` and `answer` are short texts or hex; `errno` is a name such as EIO, or empty.
    """

    sequence: int
    at: Stamp
    unit_id: str
    command: str
    answer: str
    errno: str


@dataclass(frozen=True, slots=True)
class SectorList:
    """How many sectors, and the first of them (logical block addresses)."""

    count: U64 = 0
    first: tuple[U64, ...] = ()


class Content(enum.StrEnum):
    """What a sector that differs looks like, without telling its bytes."""

    ZERO = "zero"
    FF = "ff"
    CONSTANT = "constant"
    OTHER_PASS = "other-pass"
    TEXT = "text"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One sector that does not hold the pattern: where, how it looks, and a keyed digest of it."""

    lba: U64
    first_byte: int
    content: Content
    keyed_digest: str


@dataclass(frozen=True, slots=True)
class VerificationResult:
    """What reading back found. Complete only if `read_bytes` equals `planned_bytes`.

    `seed` was drawn after the last write and flush (empty for full); `extents_sha256` is the digest
    of the planned extents, which anyone can recompute from seed, profile and geometry.
    `reads` says how the medium was read: `direct`, `direct+fua`, `buffered` or `simulated`.
    """

    profile: VerificationProfile
    seed: bytes
    drawn: Stamp
    extents_sha256: str
    planned_bytes: U64
    read_bytes: U64
    reads: str
    mismatched: U64
    mismatches: tuple[Mismatch, ...]
    unreadable: SectorList
    cured_by_rewriting: U64
    ended: Stamp


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """How one step ended. `flushed`: bytes written and then flushed, by the drive's own answer."""

    number: int
    kind: OutcomeKind
    codes: tuple[str, ...]
    started: Stamp
    ended: Stamp
    flushed: tuple[ByteRange, ...] = ()
    last_flush: Stamp | None = None
    unwritable: SectorList = SectorList()
    written_after_retry: U64 = 0
    verification: VerificationResult | None = None


class SessionEnd(enum.StrEnum):
    """Why one stretch of work on an attached drive ended."""

    FINISHED = "finished"
    DRIVE_GONE = "drive-gone"
    STOPPED = "stopped"
    ABORTED = "aborted"
    CRASHED = "crashed"


@dataclass(frozen=True, slots=True)
class ReadBack:
    """Journalled ranges read back against the keyed stream before resuming."""

    blocks: int
    matched: int
    last_flushed_included: bool

    @property
    def is_match(self) -> bool:
        """All of them, at least one, the last flushed among them."""
        return self.blocks > 0 and self.blocks == self.matched and self.last_flushed_included


@dataclass(frozen=True, slots=True)
class Session:
    """One stretch of work on one attachment. `identity_end` None: the drive could not be asked."""

    attachment: Attachment
    started: Stamp
    ended: Stamp
    identity_start: IdentityKey
    identity_end: IdentityKey | None
    attachment_end: Attachment | None
    end: SessionEnd
    resumed: bool
    restarted_from_zero: bool
    read_back: ReadBack | None


class JobEnd(enum.StrEnum):
    """Why a job was concluded."""

    COMPLETED = "completed"
    STOPPED_ON_ERRORS = "stopped-on-errors"
    ABORTED = "aborted"
    DEADLINE = "deadline"
    ABSENT_PAST_DEADLINE = "absent-past-deadline"
    CRASHED = "crashed"


@dataclass(frozen=True, slots=True)
class JobEvidence:
    """All a verdict rests on, and nothing else: the verdict can be recomputed from it by anyone."""

    job_id: JobId
    identity: DriveIdentity
    serial_shared: bool
    plan: SanitizationPlan
    observed_start: Observed
    observed_end: Observed | None
    sessions: tuple[Session, ...]
    outcomes: tuple[StepOutcome, ...]
    end: JobEnd
    pattern_key: PatternKeyOrigin | None
    exchanges: U64
    exchanges_sha256: str
    schema: str = "nullbay.job-evidence/1"
