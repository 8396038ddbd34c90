"""What a signed record is made from: the transcript of the bench, and what the station adds."""

from __future__ import annotations

from dataclasses import dataclass

from nullbay.domain.clock import Stamp
from nullbay.domain.codec import U64
from nullbay.domain.lot import Lot, Person
from nullbay.domain.outcome import JobEvidence

TRANSCRIPT_SCHEMA = "nullbay.transcript/1"


@dataclass(frozen=True, slots=True)
class Build:
    """Which nullbay worked: version and digest of its installed files (hex; empty if unknown)."""

    version: str
    sha256: str
    kernel: str
    python: str


@dataclass(frozen=True, slots=True)
class Transcript:
    """What the bench key signs: the evidence a verdict is recomputed from, and who made it."""

    evidence: JobEvidence
    build: Build
    signed: Stamp
    schema: str = TRANSCRIPT_SCHEMA


@dataclass(frozen=True, slots=True)
class ArchiveReference:
    """The evidence archive beside the bundle: file name and SHA-256 in hex."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """The centre's word that it keeps a record, with the station's last head it has seen.

    Only a receipt makes a record Delivered; the head shows a station that its chain was not cut.
    """

    envelope_sha256: str
    station: str
    head_sequence: U64
    head_sha256: str
    received: Stamp
    schema: str = "nullbay.receipt/1"


@dataclass(frozen=True, slots=True)
class RecordContext:
    """What the station adds to a transcript: whose drive, who worked, where, which chain link.

    `transcript_envelope` is the DSSE envelope in JSON, as signed by the bench key. `previous` are
    the ids of earlier records of the same drive's attempts. `chain_previous` is the hash of the
    ledger entry before, hex. Empty strings mean: not known.
    """

    statement_id: str
    nonce: bytes
    transcript_envelope: bytes
    bench_public_key_pem: bytes
    archive: ArchiveReference
    issued: Stamp
    station: str
    bay: str
    chain_sequence: U64
    chain_previous: str
    attempt: int = 1
    previous: tuple[str, ...] = ()
    organization: str = ""
    lot: Lot | None = None
    asset_tag: str = ""
    label_serial: str = ""
    destination: str = ""
    people: tuple[Person, ...] = ()
