"""The signed statement as models, field by field; docs/certificate.md lists them for readers.

in-toto Statement v1 with predicateType `urn:nullbay:sanitization:v1`. Reading is strict by type and
by cap; fields this build does not know are kept, never needed. Names in JSON are camelCase; values
that may pass 2**53 are decimal strings. Everything here is a code, a number or an identifier.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from nullbay.certs.fields import (
    LIST_MAX,
    Base64,
    Code,
    Count,
    Decimal,
    Hex,
    Model,
    Sha256,
    Sha256OrNone,
    Text,
    Time,
)
from nullbay.domain.clock import ClockSync
from nullbay.domain.drive import HiddenState
from nullbay.domain.lot import DataCategory, Destination
from nullbay.domain.method import MediaKind, Method, Technique, Transport
from nullbay.domain.outcome import Content, JobEnd, OutcomeKind, SessionEnd
from nullbay.domain.plan import StepPurpose
from nullbay.domain.verdict import Effect, Verdict

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:nullbay:sanitization:v1"


class Digest(Model):
    """A digest of a subject, SHA-256 in hex."""

    sha256: Sha256


class Subject(Model):
    """What the statement is about: the evidence archive, and the drive by its identify data."""

    name: Annotated[Text, StringConstraints(min_length=1)]
    digest: Digest


class Reason(Model):
    """Why the verdict is not SANITIZED: a code of docs/reasons.md, its effect, and numbers."""

    code: Code
    effect: Effect
    detail: Text


class Attempt(Model):
    """Which attempt at this drive it was, and why its job ended. Times null where no work began."""

    job_id: Text
    number: Annotated[int, Field(ge=1, le=2**31)]
    previous: Annotated[tuple[Text, ...], Field(max_length=LIST_MAX)]
    started_at: Time | None
    ended_at: Time | None
    end: JobEnd


class HiddenArea(Model):
    """Capacity outside the addressable range, as observed when the job started."""

    name: Text
    state: HiddenState
    hidden_bytes: Decimal
    source: Text


class Unit(Model):
    """One addressable unit (disk, LUN, namespace) of the drive, as planned."""

    unit_id: Text
    size_bytes: Decimal
    logical_blocks: Decimal
    logical_sector_bytes: Count
    physical_sector_bytes: Count


class Health(Model):
    """Health figures of one moment; null where the drive did not say."""

    reallocated_sectors: Count | None
    pending_sectors: Count | None
    media_errors: Count | None
    percentage_used: Count | None
    temperature_celsius: Annotated[int, Field(ge=-1000, le=1000)] | None
    power_on_hours: Count | None


class Media(Model):
    """The drive. `…Hex` are the bytes as the drive gave them; the text beside is their ASCII form.

    `asset_tag` and `label_serial` were scanned or typed by a person; all else the drive said.
    """

    manufacturer: Text
    manufacturer_hex: Hex
    model: Text
    model_hex: Hex
    serial: Text
    serial_hex: Hex
    firmware: Text
    firmware_hex: Hex
    wwn: Text
    eui64: Text
    nguid: Text
    identity_key: Sha256
    identify_sha256: Sha256OrNone
    identify_source: Text
    media_type: MediaKind
    media_type_source: Text
    transport: Transport
    removable: bool
    size_bytes: Decimal
    units: Annotated[tuple[Unit, ...], Field(max_length=LIST_MAX)]
    hidden_areas: Annotated[tuple[HiddenArea, ...], Field(max_length=LIST_MAX)]
    excluded_areas: Annotated[tuple[Text, ...], Field(max_length=LIST_MAX)]
    health_before: Health
    health_after: Health | None
    asset_tag: Text
    label_serial: Text


class MethodClaim(Model):
    """Method the lot and policy required, what the technique can reach here, and what is claimed.

    `claimed` is null unless the verdict is one of the two SANITIZED.
    """

    required: Method
    attempted: Method
    claimed: Method | None


class PolicyReference(Model):
    """The policy by versioned id and canonical hash."""

    id: Text
    sha256: Sha256


class Sectors(Model):
    """How many sectors, and the first of them as logical block addresses."""

    count: Decimal
    first: Annotated[tuple[Decimal, ...], Field(max_length=LIST_MAX)]


class Pattern(Model):
    """What a pass wrote: the keyed AES-256-CTR stream, or `unit` (hex) repeated from byte 0."""

    kind: Literal["keyed", "repeat"]
    unit: Hex | None


class Pass(Model):
    """One step as planned, and how it ended; `outcome` null where it never ended at all.

    `flushed_bytes` were written and then flushed by the drive's own answer. `pattern` is null for
    a step that writes nothing (deallocate), which is no part of the method.
    """

    step: Count
    unit_id: Text
    kind: Literal["overwrite", "deallocate"]
    purpose: StepPurpose
    pattern: Pattern | None
    outcome: OutcomeKind | None
    codes: Annotated[tuple[Text, ...], Field(max_length=LIST_MAX)]
    started_at: Time | None
    ended_at: Time | None
    flushed_bytes: Decimal
    unwritable: Sectors
    written_after_retry: Decimal


class NotChosen(Model):
    """A technique that was considered and left, with a code of docs/reasons.md."""

    technique: Technique
    code: Code
    detail: Text


class Sanitization(Model):
    """What was to be done, by which rule, and what was done, pass by pass."""

    standard: Text
    method: MethodClaim
    technique: Technique
    policy: PolicyReference
    plan_sha256: Sha256
    scheme: Text
    passes: Annotated[tuple[Pass, ...], Field(max_length=LIST_MAX)]
    not_chosen: Annotated[tuple[NotChosen, ...], Field(max_length=LIST_MAX)]
    two_person_approval: bool


class Profile(Model):
    """Full, NIST r1 10 % sampling, or a number of units from confidence and residue (in ppm)."""

    kind: Literal["full", "nist-r1-10pct", "confidence"]
    confidence_ppm: Count | None
    residue_ppm: Count | None


class Bounds(Model):
    """Residue that would have been missed with at most 1 % probability, in bytes; 0: none.

    `scattered_bytes` in single sectors anywhere, `contiguous_bytes` in one piece wherever it lies.
    `samples` pieces of `sample_bytes` were drawn; the two ends of the unit were read besides.
    """

    samples: Decimal
    sample_bytes: Decimal
    scattered_bytes: Decimal
    contiguous_bytes: Decimal
    miss_probability_percent: Count


class Mismatch(Model):
    """A sector that did not hold the pattern: where, how it looked, and a keyed digest of it."""

    lba: Decimal
    first_byte: Count
    content: Content
    keyed_digest: Text


class VerificationResult(Model):
    """What reading back found. `bounds` is null where reading was not finished."""

    profile: Profile
    seed: Hex
    drawn_at: Time
    extents_sha256: Text
    planned_bytes: Decimal
    read_bytes: Decimal
    reads: Text
    mismatched: Decimal
    mismatches: Annotated[tuple[Mismatch, ...], Field(max_length=LIST_MAX)]
    unreadable: Sectors
    cured_by_rewriting: Decimal
    ended_at: Time
    bounds: Bounds | None


class Verification(Model):
    """Verification of one step: as planned, and its result (null: it did not take place)."""

    step: Count
    unit_id: Text
    planned: Profile | None
    result: VerificationResult | None


class PatternKey(Model):
    """Who drew the key of the keyed stream, its commitment, and whether the archive holds it."""

    drawn_by: Text
    commitment_sha256: Text
    in_evidence: bool


class ReadBack(Model):
    """Journalled ranges read back against the keyed stream before work went on."""

    blocks: Count
    matched: Count
    last_flushed_included: bool


class Session(Model):
    """One stretch of work on the drive; `after_absence`: it was away since the one before."""

    started_at: Time
    ended_at: Time
    end: SessionEnd
    resumed: bool
    after_absence: bool
    restarted_from_zero: bool
    read_back: ReadBack | None
    boot_id: Text
    bay: Text
    device_path: Text
    hba: Text
    nodes: Annotated[tuple[Text, ...], Field(max_length=LIST_MAX)]


class BuildInfo(Model):
    """Which nullbay worked, and on what."""

    version: Text
    sha256: Sha256OrNone
    kernel: Text
    python: Text


class ClockInfo(Model):
    """Sync states and boot ids of the work; when the bench signed and the station issued."""

    sync: Annotated[tuple[ClockSync, ...], Field(max_length=8)]
    boot_ids: Annotated[tuple[Text, ...], Field(max_length=LIST_MAX)]
    bench_signed_at: Time
    issued_at: Time
    issued_boottime_us: Decimal
    issued_boot_id: Text
    issued_sync: ClockSync


class Environment(Model):
    """Where and with what: station, bay, the station's key by name, build, clocks."""

    station: Text
    bay: Text
    station_key_name: Text
    key_protection: Code
    build: BuildInfo
    clock: ClockInfo


class Chain(Model):
    """The place in the station's ledger: sequence of its entry, hash of the one before."""

    sequence: Decimal
    previous: Sha256OrNone


class Person(Model):
    """Somebody who took part, by id and role; names are rendering."""

    role: Text
    id: Text
    title: Text


class LotInfo(Model):
    """Whose drive: the lot's reference and what was said with it; empty or null: not said."""

    reference: Text
    customer: Text
    site: Text
    source: Text
    work_order: Text
    data_category: DataCategory | None
    destination: Destination | None


class Exchanges(Model):
    """How many commands the bench exchanged with the drive, and the digest of all of them."""

    count: Decimal
    sha256: Text


class EmbeddedSignature(Model):
    """One DSSE signature."""

    sig: Base64


class EmbeddedEnvelope(Model):
    """The bench's transcript as it was signed: a DSSE envelope of its own."""

    payload_type: Text
    payload: Base64
    signatures: Annotated[tuple[EmbeddedSignature, ...], Field(min_length=1, max_length=1)]


class BenchKey(Model):
    """The bench's public key: SubjectPublicKeyInfo, DER in base64."""

    spki: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]+={0,2}$", max_length=1024)]


class Predicate(Model):
    """One attempt to sanitize one drive: verdict, grounds, and everything that shows them.

    `id` is the record's own; `nonce` makes its digest unguessable. `simulated` marks drives made of
    software. `transcript` is the evidence itself, signed by the bench; what repeats it here is
    compared with it when the record is verified.
    """

    id: Annotated[Text, StringConstraints(min_length=1)]
    nonce: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{2}){16,64}$")]
    result: Verdict
    simulated: bool
    reasons: Annotated[tuple[Reason, ...], Field(max_length=LIST_MAX)]
    exceptions: Annotated[tuple[Reason, ...], Field(max_length=LIST_MAX)]
    limitations: Annotated[tuple[Code, ...], Field(max_length=LIST_MAX)]
    organization: Text
    lot: LotInfo | None
    destination: Text
    attempt: Attempt
    media: Media
    sanitization: Sanitization
    verification: Annotated[tuple[Verification, ...], Field(max_length=LIST_MAX)]
    pattern_key: PatternKey | None
    sessions: Annotated[tuple[Session, ...], Field(max_length=LIST_MAX)]
    exchanges: Exchanges
    environment: Environment
    chain: Chain
    people: Annotated[tuple[Person, ...], Field(max_length=LIST_MAX)]
    bench_key: BenchKey
    transcript: EmbeddedEnvelope


class Statement(Model):
    """An in-toto Statement v1 about one drive and its evidence archive."""

    statement_type: Annotated[Literal["https://in-toto.io/Statement/v1"], Field(alias="_type")]
    subject: Annotated[tuple[Subject, ...], Field(min_length=1, max_length=16)]
    predicate_type: Literal["urn:nullbay:sanitization:v1"]
    predicate: Predicate
