"""What a station tells of its lots: documents beside the ledger, bound to it by their digest.

A lot's facts and a manifest's rows are too much for the ledger. They go to the centre as a document
of their own; the ledger entry of the same transaction names it. A document that no entry names is
nobody's word, and one that says something else than its entry is refused.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TypeAlias, cast

from nullbay.certs.ledger import StationEvent
from nullbay.certs.strictjson import read_json
from nullbay.domain.canonical import canonical_json
from nullbay.domain.codec import from_plain, to_plain
from nullbay.domain.errors import MalformedError, TooLargeError, UnknownSchemaError
from nullbay.domain.intake import LotClosed, LotOpened, ManifestRow, ManifestTaken

DOCUMENT_SCHEMA = "nullbay.lot-document/1"
NOTE_SCHEMA = "nullbay.lot-note/1"
DOCUMENT_MAX_BYTES = 32 * 1024 * 1024
"""Twice the largest manifest that a station reads, and what JSON puts around 100,000 rows."""
NOTE_MAX_BYTES = 8 * 1024
ROWS_MAX = 100_000
LINE_MAX = 10_000_000
TEXT_MAX = 400
_STATION_MAX = 120
_SHA256 = re.compile(r"[0-9a-f]{64}")

LotEvent: TypeAlias = LotOpened | LotClosed | ManifestTaken


@dataclass(frozen=True, slots=True)
class LotDocument:
    """What happened to a lot at a station: opened with its facts, closed, or a manifest's rows."""

    station: str
    event: LotEvent
    schema: str = DOCUMENT_SCHEMA

    @property
    def reference(self) -> str:
        """The lot's."""
        event = self.event
        return event.lot.reference if isinstance(event, LotOpened) else event.reference

    @property
    def manifest_sha256(self) -> str:
        """The digest of the file that the rows were read from; empty where there are none."""
        return self.event.sha256 if isinstance(self.event, ManifestTaken) else ""

    def encode(self) -> bytes:
        """Canonical JSON. Raises TooLargeError, and MalformedError for a name nobody would take."""
        self.require_names()
        data = canonical_json(to_plain(self))
        if len(data) > DOCUMENT_MAX_BYTES:
            raise TooLargeError(f"a lot document has at most {DOCUMENT_MAX_BYTES} bytes")
        return data

    def require_names(self) -> None:
        """Whether station and lot are named. Raises MalformedError."""
        if not 0 < len(self.station) <= _STATION_MAX:
            raise MalformedError(f"$.station: expected 1 to {_STATION_MAX} characters")
        if not 0 < len(self.reference) <= TEXT_MAX or not self.reference.strip():
            raise MalformedError(f"a lot has a reference of 1 to {TEXT_MAX} characters")


@dataclass(frozen=True, slots=True)
class LotNote:
    """What the ledger says of a document: which lot, the document's and the manifest's digests."""

    reference: str
    document: str
    manifest: str
    schema: str = NOTE_SCHEMA


_CODES: dict[type[LotEvent], str] = {
    LotOpened: "lot.opened",
    LotClosed: "lot.closed",
    ManifestTaken: "lot.manifest",
}


def code_of(document: LotDocument) -> str:
    """The code of the ledger entry that names such a document."""
    return _CODES[type(document.event)]


def note_of(document: LotDocument, data: bytes) -> StationEvent:
    """The ledger's event that names a document, whose bytes are `data`."""
    digest = hashlib.sha256(data).hexdigest()
    note = LotNote(document.reference, digest, document.manifest_sha256)
    return StationEvent(code_of(document), canonical_json(to_plain(note)).decode())


def named_by(event: StationEvent) -> LotNote | None:
    """What a ledger's event names; None for one that names no lot's document in a known way."""
    if event.code not in _CODES.values():
        return None
    try:
        plain = read_json(event.detail.encode(), NOTE_MAX_BYTES, "a lot note")
        note = cast("LotNote", from_plain(LotNote, plain))
    except MalformedError:
        return None
    digests = (note.document, note.manifest) if note.manifest else (note.document,)
    sound = 0 < len(note.reference) <= TEXT_MAX and all(map(_SHA256.fullmatch, digests))
    return note if sound else None


def read(data: bytes) -> LotDocument:
    """The document of these bytes, which are its canonical form.

    Success proves nothing about who said it: the ledger entry that names its digest does. Raises
    MalformedError, TooLargeError, UnknownSchemaError.
    """
    plain = read_json(data, DOCUMENT_MAX_BYTES, "a lot document")
    if not isinstance(plain, dict) or plain.get("schema") != DOCUMENT_SCHEMA:
        raise UnknownSchemaError(f"a lot document that is not of schema {DOCUMENT_SCHEMA}")
    document = cast("LotDocument", from_plain(LotDocument, plain))
    document.require_names()
    if isinstance(document.event, ManifestTaken):
        _require_rows(document.event)
    if canonical_json(to_plain(document)) != data:
        raise MalformedError("a lot document that is not in canonical form")
    return document


def _require_rows(event: ManifestTaken) -> None:
    if not _SHA256.fullmatch(event.sha256):
        raise MalformedError("$.event.sha256: expected 64 lower-case hex digits")
    if len(event.rows) > ROWS_MAX or len({row.line for row in event.rows}) != len(event.rows):
        raise MalformedError(f"a manifest has at most {ROWS_MAX} rows, each of a line of its own")
    for row in event.rows:
        _require_row(row)


def _require_row(row: ManifestRow) -> None:
    if not 1 <= row.line <= LINE_MAX:
        raise MalformedError(f"a manifest's line is 1 to {LINE_MAX}")
    if any(len(text) > TEXT_MAX for text in (row.serial, row.asset_tag, row.model)):
        raise MalformedError(f"a manifest's cell has at most {TEXT_MAX} characters")
    if not row.serial and not row.asset_tag:
        raise MalformedError("a manifest's row names no drive")
