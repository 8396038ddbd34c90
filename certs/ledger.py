"""The station's ledger: a hash chain in which every job and every insertion has its entry.

Deleting, editing or reordering an entry breaks the chain; a tail cut off is seen by whoever knows a
later head (the centre, a certificate, a signed entry elsewhere). Entries that open or close
something are signed by the station. Pure: entries come from and go to the caller's storage.
Entries after the last signed one rest on the storage alone until the next one is signed.

Hash of an entry (reference/evidence.md section 6): SHA-256 over a label, the sequence number in 8
bytes big-endian, the hash of the entry before (32 bytes; zeros before the first) and the SHA-256 of
the body. Every part has a fixed length, so no two entries share an encoding.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias, cast

from nullbay.certs import dsse
from nullbay.certs.keys import PublicKey, SignatureInvalidError
from nullbay.certs.strictjson import read_json
from nullbay.domain.canonical import canonical_json
from nullbay.domain.clock import Stamp
from nullbay.domain.codec import U64, from_plain, to_plain
from nullbay.domain.errors import MalformedError, NullbayError, TooLargeError, UnknownSchemaError
from nullbay.domain.lot import InsertionEnd, Person
from nullbay.domain.outcome import JobEnd
from nullbay.domain.ports import Signer
from nullbay.domain.verdict import Verdict

PAYLOAD_TYPE = "application/vnd.nullbay.ledger+json"
BODY_SCHEMA = "nullbay.ledger-entry/1"
HEAD_SCHEMA = "nullbay.ledger-head/1"
LABEL = b"nullbay/ledger-entry/1"
GENESIS = "00" * 32
BODY_MAX_BYTES = 256 * 1024


class LedgerBrokenError(NullbayError):
    """The chain is not what was written: `sequence` of the first entry that shows it, and why."""

    code = "ledger.broken"

    def __init__(self, sequence: int, why: str) -> None:
        """`why` in plain words."""
        super().__init__(
            f"ledger entry {sequence}: {why}",
            next_step="Keep the file as it is; compare with the centre's copy and certificates",
        )
        self.sequence = sequence
        self.why = why


@dataclass(frozen=True, slots=True)
class JobStarted:
    """Signed before anything changes the drive: which drive, by which plan, who approved."""

    kind: ClassVar[str] = "job-started"
    job_id: str
    insertion_id: str
    identity_key: str
    identify_sha256: str
    plan_sha256: str
    policy_id: str
    bay: str
    approvals: tuple[Person, ...]
    simulated: bool


@dataclass(frozen=True, slots=True)
class JobConcluded:
    """The one conclusion of a job: verdict, reason codes, and the record that states them."""

    kind: ClassVar[str] = "job-concluded"
    job_id: str
    verdict: Verdict
    end: JobEnd
    reasons: tuple[str, ...]
    statement_id: str
    statement_sha256: str
    archive_sha256: str


@dataclass(frozen=True, slots=True)
class InsertionClosed:
    """The one closing of an insertion: its jobs, or the refusal codes.

    `identity_key` is empty where the drive never showed itself; `scanned` is what a person scanned.
    """

    kind: ClassVar[str] = "insertion-closed"
    insertion_id: str
    identity_key: str
    scanned: str
    bay: str
    cause: InsertionEnd
    jobs: tuple[str, ...]
    refusals: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StationEvent:
    """Something else worth keeping: a lot opened or closed, a manifest taken, a key made."""

    kind: ClassVar[str] = "station-event"
    code: str
    detail: str


LedgerEvent: TypeAlias = JobStarted | JobConcluded | InsertionClosed | StationEvent
MILESTONES = (JobStarted, JobConcluded, InsertionClosed)


@dataclass(frozen=True, slots=True)
class LedgerBody:
    """What an entry says, and when; its canonical JSON is what is hashed."""

    at: Stamp
    event: LedgerEvent
    schema: str = BODY_SCHEMA

    def encode(self) -> bytes:
        """Canonical JSON. Raises TooLargeError beyond 256 KiB."""
        data = canonical_json(to_plain(self))
        if len(data) > BODY_MAX_BYTES:
            raise TooLargeError(f"a ledger entry has at most {BODY_MAX_BYTES} bytes")
        return data


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain: how many entries, and the hash of the last (genesis: 0 and zeros)."""

    sequence: U64
    sha256: str
    schema: str = HEAD_SCHEMA

    def encode(self) -> bytes:
        """Canonical JSON: what the station signs at a milestone."""
        return canonical_json(to_plain(self))


EMPTY = Head(0, GENESIS)


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One entry as stored: hashes in hex, `body` as hashed, a DSSE `envelope` at milestones."""

    sequence: int
    previous: str
    body: bytes
    sha256: str
    envelope: bytes | None = None

    @property
    def head(self) -> Head:
        """The chain's end if this entry is the last."""
        return Head(self.sequence, self.sha256)


def entry_hash(sequence: int, previous: str, body: bytes) -> str:
    """The hash of an entry in hex. Raises ValueError for what is no sequence number or hash."""
    before = bytes.fromhex(previous)
    if len(before) != hashlib.sha256().digest_size:
        msg = "the hash before has 32 bytes"
        raise ValueError(msg)
    try:
        number = sequence.to_bytes(8, "big")
    except OverflowError:
        msg = f"not a sequence number: {sequence}"
        raise ValueError(msg) from None
    return hashlib.sha256(LABEL + number + before + hashlib.sha256(body).digest()).hexdigest()


def append(last: LedgerEntry | None, body: LedgerBody, signer: Signer) -> LedgerEntry:
    """The entry after `last` (None: the first), signed if it is a milestone."""
    head = EMPTY if last is None else last.head
    data = body.encode()
    sequence = head.sequence + 1
    digest = entry_hash(sequence, head.sha256, data)
    envelope = None
    if isinstance(body.event, MILESTONES):
        envelope = dsse.sign(PAYLOAD_TYPE, Head(sequence, digest).encode(), signer)
    return LedgerEntry(sequence, head.sha256, data, digest, envelope)


def read_body(data: bytes) -> LedgerBody:
    """What an entry says. Raises MalformedError, TooLargeError, UnknownSchemaError."""
    plain = read_json(data, BODY_MAX_BYTES, "a ledger entry")
    if not isinstance(plain, dict) or plain.get("schema") != BODY_SCHEMA:
        raise UnknownSchemaError(f"a ledger entry that is not of schema {BODY_SCHEMA}")
    body = cast("LedgerBody", from_plain(LedgerBody, plain))
    if canonical_json(to_plain(body)) != data:
        raise MalformedError("a ledger entry that is not in canonical form")
    return body


def check_chain(
    entries: Iterable[LedgerEntry],
    keys: Sequence[PublicKey],
    *,
    after: Head = EMPTY,
    expected: Head | None = None,
) -> Head:
    """The head of a chain whose every entry follows from the one before, in order, unchanged.

    `keys` are the station's keys, those of the past among them. `after` is where `entries` begin;
    `expected` is a head somebody else knows, which must lie on the chain. Success proves
    that up to the last milestone nothing was changed, left out or put in without a station key,
    and that at least the entries up to `expected` are there. Raises LedgerBrokenError.
    """
    head = after
    met = expected is None or expected == after
    for entry in entries:
        _check_entry(entry, head, keys)
        head = entry.head
        if expected is not None and head.sequence == expected.sequence:
            if head != expected:
                raise LedgerBrokenError(head.sequence, "it is not the entry others have seen here")
            met = True
    if not met:
        why = f"the chain ends here, but {expected.sequence if expected else 0} was seen before"
        raise LedgerBrokenError(head.sequence, why)
    return head


@dataclass(frozen=True, slots=True)
class JobsReport:
    """Jobs that the entries leave open, and ids that were opened or closed more than once.

    `never_started` were concluded without a start on the chain.
    """

    unconcluded: tuple[str, ...]
    never_started: tuple[str, ...]
    doubled: tuple[str, ...]


def check_jobs(entries: Iterable[LedgerEntry]) -> JobsReport:
    """Whether nothing dropped out, over a chain that `check_chain` passed."""
    started: dict[str, int] = {}
    concluded: dict[str, int] = {}
    closed: dict[str, int] = {}
    for entry in entries:
        match read_body(entry.body).event:
            case JobStarted(job_id=job):
                started[job] = started.get(job, 0) + 1
            case JobConcluded(job_id=job):
                concluded[job] = concluded.get(job, 0) + 1
            case InsertionClosed(insertion_id=insertion):
                closed[insertion] = closed.get(insertion, 0) + 1
            case StationEvent():
                pass
    counts = [*started.items(), *concluded.items(), *closed.items()]
    return JobsReport(
        unconcluded=tuple(job for job in started if job not in concluded),
        never_started=tuple(job for job in concluded if job not in started),
        doubled=tuple(dict.fromkeys(name for name, count in counts if count > 1)),
    )


def _check_entry(entry: LedgerEntry, head: Head, keys: Sequence[PublicKey]) -> None:
    number = head.sequence + 1
    if entry.sequence != number:
        raise LedgerBrokenError(number, f"is missing; {entry.sequence} comes next")
    if entry.previous != head.sha256:
        raise LedgerBrokenError(number, "does not follow from the entry before")
    if entry.sha256 != entry_hash(number, head.sha256, entry.body):
        raise LedgerBrokenError(number, "was changed after it was hashed")
    try:
        body = read_body(entry.body)
    except MalformedError as error:
        raise LedgerBrokenError(number, str(error)) from None
    if isinstance(body.event, MILESTONES) and entry.envelope is None:
        raise LedgerBrokenError(number, f"a {body.event.kind} entry without its signature")
    if entry.envelope is not None and not _is_signed(entry, entry.envelope, keys):
        raise LedgerBrokenError(number, "its signature is not the station's")


def _is_signed(entry: LedgerEntry, envelope: bytes, keys: Sequence[PublicKey]) -> bool:
    try:
        read = dsse.read(envelope)
    except MalformedError:
        return False
    if read.payload_type != PAYLOAD_TYPE or read.payload != entry.head.encode():
        return False
    for key in keys:
        try:
            read.require(key, PAYLOAD_TYPE)
        except SignatureInvalidError:
            continue
        return True
    return False
