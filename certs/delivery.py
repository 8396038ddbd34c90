"""What goes between a station and the centre: ledger entries one way, receipts the other.

A record is named by the digest of its envelope alone: a tool that completes the file around it (a
time stamp, a log entry) makes no other record of it. An entry is named by its own hash in the
chain. A receipt is the centre's signed word; a station believes nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import cast

from nullbay.certs import bundle, dsse
from nullbay.certs.keys import PublicKey
from nullbay.certs.ledger import BODY_MAX_BYTES, LedgerEntry, entry_hash
from nullbay.certs.strictjson import read_json
from nullbay.domain.canonical import canonical_json
from nullbay.domain.codec import U64, from_plain, to_plain
from nullbay.domain.errors import MalformedError, UnknownSchemaError
from nullbay.domain.ports import Signer
from nullbay.domain.record import Receipt

RECEIPT_TYPE = "application/vnd.nullbay.receipt+json"
ENTRY_SCHEMA = "nullbay.delivered-entry/1"
RECEIPT_SCHEMA = "nullbay.receipt/1"
ENTRY_ENVELOPE_MAX_BYTES = 4 * 1024
ENTRY_MAX_BYTES = 512 * 1024
RECEIPT_MAX_BYTES = 16 * 1024
STATION_MAX = 120
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class _Delivered:
    """A ledger entry on its way; `body` and `envelope` are standard base64."""

    station: str
    sequence: U64
    previous: str
    body: str
    sha256: str
    envelope: str | None
    schema: str = ENTRY_SCHEMA


def envelope_sha256(bundle_bytes: bytes) -> str:
    """The name of a record: SHA-256 of its envelope's canonical JSON, in lower-case hex.

    Raises MalformedError and its kinds for what is no bundle.
    """
    plain = bundle.read(bundle_bytes).envelope.plain()
    return hashlib.sha256(canonical_json(plain)).hexdigest()


def encode_entry(station: str, entry: LedgerEntry) -> bytes:
    """The canonical JSON that delivers an entry of this station's ledger."""
    envelope = entry.envelope
    return canonical_json(
        to_plain(
            _Delivered(
                station,
                entry.sequence,
                entry.previous,
                base64.b64encode(entry.body).decode("ascii"),
                entry.sha256,
                None if envelope is None else base64.b64encode(envelope).decode("ascii"),
            )
        )
    )


def decode_entry(data: bytes) -> tuple[str, LedgerEntry]:
    """The station that is named, and the entry. Success proves that its hash is its own.

    Whether it follows from the entry before, and whose signature it bears, is for the caller to
    check. Raises MalformedError, TooLargeError, UnknownSchemaError.
    """
    plain = read_json(data, ENTRY_MAX_BYTES, "a delivered entry")
    given = plain.get("schema") if isinstance(plain, dict) else None
    if given != ENTRY_SCHEMA:
        raise UnknownSchemaError(f"a delivered entry that is not of schema {ENTRY_SCHEMA}")
    read = cast("_Delivered", from_plain(_Delivered, plain))
    if not 0 < len(read.station) <= STATION_MAX:
        raise MalformedError(f"$.station: expected 1 to {STATION_MAX} characters")
    for name, digest in (("previous", read.previous), ("sha256", read.sha256)):
        if not _SHA256.fullmatch(digest):
            raise MalformedError(f"$.{name}: expected 64 lower-case hex digits")
    if read.sequence < 1:
        raise MalformedError("$.sequence: the first entry has number 1")
    body = dsse.base64_bytes(read.body, BODY_MAX_BYTES, "the entry's body")
    envelope = (
        None
        if read.envelope is None
        else dsse.base64_bytes(read.envelope, ENTRY_ENVELOPE_MAX_BYTES, "the entry's envelope")
    )
    if entry_hash(read.sequence, read.previous, body) != read.sha256:
        raise MalformedError("the entry's hash is not that of its content")
    return read.station, LedgerEntry(read.sequence, read.previous, body, read.sha256, envelope)


def sign_receipt(receipt: Receipt, signer: Signer) -> bytes:
    """The receipt as a DSSE envelope in JSON, signed by the centre."""
    return dsse.sign(RECEIPT_TYPE, canonical_json(to_plain(receipt)), signer)


def read_receipt(data: bytes, key: PublicKey) -> Receipt:
    """The receipt of an envelope. Success proves that this centre's key signed exactly this.

    What it is about is for the caller to compare. Raises MalformedError, TooLargeError,
    UnknownSchemaError, SignatureInvalidError.
    """
    # The size first: an envelope may be much larger than any receipt.
    envelope = dsse.from_plain(read_json(data, RECEIPT_MAX_BYTES, "the receipt"))
    payload = envelope.require(key, RECEIPT_TYPE)
    plain = read_json(payload, RECEIPT_MAX_BYTES, "the receipt")
    if not isinstance(plain, dict) or plain.get("schema") != RECEIPT_SCHEMA:
        raise UnknownSchemaError(f"a receipt that is not of schema {RECEIPT_SCHEMA}")
    return cast("Receipt", from_plain(Receipt, plain))
