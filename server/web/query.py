"""What requests name: records, lots, stations, findings, and what to look for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from nullbay.certs import pdf_words
from nullbay.domain.verdict import Verdict
from nullbay.server.cards import RecordCard, RecordQuery
from nullbay.server.web import words
from nullbay.server.web.lots import path_of
from nullbay.server.web.words import Moment, Sign
from nullbay.web.shapes import Number, Text

PAGE_ROWS = 50
SHA256_FORM = "^[0-9a-f]{64}$"
DAY_FORM = "^([0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01]))?$"

SearchText = Annotated[str, Text(200)]
Day = Annotated[str, Text(10, 0, DAY_FORM)]


@dataclass(frozen=True, slots=True)
class DigestParams:
    """A record by the SHA-256 of its envelope."""

    sha256: Annotated[str, Text(64, 64, SHA256_FORM)]


@dataclass(frozen=True, slots=True)
class LotParams:
    """A lot by its reference."""

    reference: Annotated[str, Text(400, 1)]


@dataclass(frozen=True, slots=True)
class StationParams:
    """A station by its id."""

    station: Annotated[str, Text(128, 1)]


@dataclass(frozen=True, slots=True)
class FindingParams:
    """A finding by its id."""

    finding: Annotated[str, Text(128, 1, "^[0-9a-f]+$")]


@dataclass(frozen=True, slots=True)
class RecordsParams:
    """What to look for among records; empty: anything. Days are of the signature, in UTC.

    `text` is any of serial, label serial, WWN, asset tag, lot. All match from the beginning.
    """

    text: SearchText = ""
    serial: SearchText = ""
    asset_tag: SearchText = ""
    lot: SearchText = ""
    station: SearchText = ""
    verdict: Annotated[
        str,
        Text(32, 0, "^(SANITIZED|SANITIZED_WITH_EXCEPTIONS|NOT_SANITIZED|INDETERMINATE)?$"),
    ] = ""
    since: Day = ""
    until: Day = ""
    after: Annotated[str, Text(18, 0, "^[0-9]*$")] = ""
    limit: Annotated[int, Number(1, 200)] = PAGE_ROWS

    @property
    def is_search(self) -> bool:
        """Whether anything is looked for."""
        return any((self.text, self.serial, self.asset_tag, self.lot, self.station)) or any(
            (self.verdict, self.since, self.until)
        )

    def address(self, path: str, *, after: str = "") -> str:
        """The same search at a path, its part after `after`."""
        return words.address(
            path,
            text=self.text,
            serial=self.serial,
            asset_tag=self.asset_tag,
            lot=self.lot,
            station=self.station,
            verdict=self.verdict,
            since=self.since,
            until=self.until,
            limit=self.limit if self.limit != PAGE_ROWS else None,
            after=after,
        )


@dataclass(frozen=True, slots=True)
class RecordRow:
    """A record in a list."""

    href: str
    verdict: Sign
    simulated: bool
    serial: str
    model: str
    size: str
    asset_tag: str
    lot: str
    lot_href: str
    station: str
    bay: str
    issued: Moment | None


def query_of(given: RecordsParams) -> RecordQuery:
    """The search as the centre takes it."""
    return RecordQuery(
        text=given.text,
        serial=given.serial,
        asset_tag=given.asset_tag,
        lot=given.lot,
        station=given.station,
        verdict=Verdict(given.verdict) if given.verdict else None,
        after=given.after or None,
        limit=given.limit,
        since=given.since,
        until=given.until,
    )


def record_row(card: RecordCard) -> RecordRow:
    """A line of the list."""
    return RecordRow(
        href=f"/records/{card.envelope_sha256}",
        verdict=words.VERDICTS[card.verdict],
        simulated=card.simulated,
        serial=card.serial or "none",
        model=card.model or words.NONE,
        size=pdf_words.human(card.size_bytes),
        asset_tag=card.asset_tag,
        lot=card.lot,
        lot_href=path_of(card.lot) if card.lot else "",
        station=card.station,
        bay=card.bay,
        issued=words.moment(card.issued_at),
    )
