"""The centre: everything its pages, its API and its stations may ask of it, and nothing else.

One service object behind every door. Blocking work goes through `Work`; time and waiting through
the Clock. Whoever asks has been authenticated: `by` is a person's id, `station` a station's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from nullbay.certs import delivery, pdf, verify
from nullbay.certs.keys import FileSigner
from nullbay.config.server_settings import ServerSettings
from nullbay.domain.clock import Clock
from nullbay.domain.errors import MalformedError, NullbayError
from nullbay.server import accounts
from nullbay.server.cards import (
    CheckResult,
    EntryCard,
    FindingCard,
    FindingState,
    InsertionCard,
    Listed,
    LotAccount,
    LotCard,
    ManifestLine,
    RecordCard,
    RecordPage,
    RecordQuery,
    StationAccount,
    StationCard,
    StationPage,
    Totals,
)
from nullbay.server.changes import Change, Changes
from nullbay.server.db import lookup, lots, queries, standing, trail
from nullbay.server.db.engine import Database
from nullbay.server.deliveries import Deliveries
from nullbay.server.evidence import Evidence
from nullbay.server.metrics import CentreMetrics
from nullbay.server.receive import KnownStation
from nullbay.server.search import clean
from nullbay.server.work import Work

T = TypeVar("T")
EXPORT_PART = 500
NOTE_MAX = 1000


class UnknownError(NullbayError):
    """No such station, record, lot or finding here."""

    code = "centre.unknown"


class AcknowledgedError(NullbayError):
    """Somebody has acknowledged the finding already; what was said then stands."""

    code = "finding.acknowledged"


class Centre:
    """The service. Made, and closed again, by `serve.open_centre`.

    `deliveries` is the door for stations; everything else here is for people.
    """

    def __init__(
        self,
        settings: ServerSettings,
        database: Database,
        evidence: Evidence,
        signer: FileSigner,
        clock: Clock,
        work: Work,
        metrics: CentreMetrics,
    ) -> None:
        """Everything is open already. Raises MalformedError for a station whose keys are none."""
        self.settings, self.clock, self.metrics = settings, clock, metrics
        self._database, self._evidence, self._work = database, evidence, work
        self._changes = Changes()
        self.deliveries = Deliveries(
            settings, database, evidence, signer, clock, work, metrics, self._changes
        )

    @property
    def stations(self) -> dict[str, KnownStation]:
        """The stations of the settings by name, with their keys."""
        return self.deliveries.stations

    @property
    def public_key_pem(self) -> bytes:
        """What receipts are checked with."""
        return self.deliveries.public_key_pem

    def changes(self, last: int | None = None) -> AsyncIterator[Change]:
        """Changes after number `last` (None: from now); topic `reset` first where it is too old."""
        return self._changes.after(last)

    async def totals(self) -> Totals:
        """The whole centre in numbers."""
        fleet = await self.fleet()
        return await self._read(
            queries.totals, fleet, accept_simulated=self.settings.accept_simulated
        )

    async def fleet(self) -> tuple[StationCard, ...]:
        """Every station of the settings, and those that have records and left; by name."""
        return await self._read(queries.fleet, self.settings, self.clock.now())

    async def station(self, station: str) -> StationPage:
        """One station whole. Raises UnknownError."""
        cards = [one for one in await self.fleet() if one.station == station]
        if not cards:
            raise _unknown("station", station)
        account = await self.station_account(station)
        return await self._read(queries.station_page, cards[0], account)

    async def station_account(self, station: str) -> StationAccount:
        """Whether nothing dropped out there. Raises UnknownError."""
        facts = await self._read(queries.station_facts, clean(station))
        if facts is None:
            raise _unknown("station", station)
        return accounts.account_station(facts)

    async def insertions(
        self, station: str, *, after: str | None = None, limit: int = 100
    ) -> Listed[InsertionCard]:
        """Closed insertions of a station, newest first."""
        return await self._read(queries.insertions, clean(station), after, limit)

    async def records(self, query: RecordQuery) -> Listed[RecordCard]:
        """Records that fit, newest first. Raises MalformedError for an `after` that is none."""
        return await self._read(lookup.records, replace(query, station=clean(query.station)))

    async def every_record(self, query: RecordQuery) -> AsyncIterator[RecordCard]:
        """All that fit, for exports; part by part, never all in memory."""
        part = replace(query, after=None, limit=EXPORT_PART)
        while True:
            listed = await self.records(part)
            for one in listed.items:
                yield one
            if listed.after is None:
                return
            part = replace(part, after=listed.after)

    async def record(self, envelope_sha256: str) -> RecordPage:
        """One record, checked again now from the stored bytes. Raises UnknownError."""
        found = await self.stored(envelope_sha256)
        archive = self._evidence.find(found.card.archive_sha256)
        known = self.stations.get(found.card.station)
        check = await self._work.check(partial(_check_again, found, known, archive))
        size = None
        if archive is not None:
            size = (await self._work.read(archive.stat)).st_size
        return RecordPage(found.card, check, len(found.bundle), size, found.receipt, found.others)

    async def entries_of_job(self, station: str, job: str) -> tuple[EntryCard, ...]:
        """What the station's ledger says of a job and its stay, oldest first."""
        return await self._read(trail.entries_of_job, station, job)

    async def open_findings(self) -> int:
        """How many findings are open: for every page, so cheaper than `totals`."""
        return await self._read(trail.open_findings)

    async def stored(self, envelope_sha256: str) -> lookup.StoredRecord:
        """A record as it is kept, nothing of it checked again. Raises UnknownError."""
        found = await self._read(lookup.record_of, clean(envelope_sha256))
        if found is None:
            raise _unknown("record", envelope_sha256[:16])
        return found

    async def bundle(self, envelope_sha256: str) -> bytes:
        """The record's file, byte for byte as delivered. Raises UnknownError."""
        return (await self.stored(envelope_sha256)).bundle

    async def pdf(self, envelope_sha256: str) -> bytes:
        """The document of a record, rendered now from its signed data. Raises UnknownError."""
        data = await self.bundle(envelope_sha256)
        return await self._work.check(partial(pdf.render, data))

    async def archive(self, envelope_sha256: str) -> Path:
        """The evidence file of a record. Raises UnknownError where record or file is not here."""
        found = await self._read(lookup.record_of, clean(envelope_sha256))
        path = None if found is None else self._evidence.find(found.card.archive_sha256)
        if path is None:
            raise _unknown("evidence archive", envelope_sha256[:16])
        return path

    async def lots(self, *, text: str = "") -> tuple[LotCard, ...]:
        """Lots that records, manifests or ledgers name, the one with the latest record first."""
        return await self._read(lookup.lots, text)

    async def lot(self, reference: str) -> LotAccount:
        """One lot reconciled. Raises UnknownError where nothing names it."""
        facts = await self._read(lookup.lot_facts, clean(reference))
        if not (facts.records or facts.lines or facts.stations):
            raise _unknown("lot", reference)
        return accounts.account_lot(facts)

    async def keep_manifest(
        self, reference: str, lines: tuple[ManifestLine, ...], by: str
    ) -> LotAccount:
        """What a lot should hold, instead of what was said before. Raises MalformedError."""
        now = self.clock.now()
        await self._work.write(
            partial(lots.keep_manifest, self._database, clean(reference), lines, by, now)
        )
        self._changes.tell("lot", reference)
        return await self.lot(reference)

    async def findings(
        self, *, state: FindingState | None = FindingState.OPEN, station: str = ""
    ) -> tuple[FindingCard, ...]:
        """Findings of a state (None: all), alarms first, then newest first; at most 2,000."""
        return await self._read(queries.findings, state, clean(station))

    async def finding(self, finding_id: str) -> FindingCard:
        """One finding. Raises UnknownError."""
        found = await self._read(queries.finding_of, clean(finding_id))
        if found is None:
            raise _unknown("finding", finding_id)
        return found

    async def acknowledge(self, finding_id: str, by: str, note: str) -> FindingCard:
        """A person has seen it and says what it was; kept, never taken back.

        Raises UnknownError; MalformedError for a note that is empty or longer than 1,000
        characters; AcknowledgedError where somebody already did.
        """
        said = note.replace("\r\n", "\n").strip()
        if not 0 < len(said) <= NOTE_MAX or not said.replace("\n", "").isprintable():
            raise MalformedError(f"a note is 1 to {NOTE_MAX} printable characters")
        before = await self.finding(finding_id)
        done = await self._work.write(
            partial(standing.acknowledge, self._database, finding_id, by, said, self.clock.now())
        )
        if not done:
            raise AcknowledgedError(
                f"{before.acknowledged_by or 'somebody'} has acknowledged it already"
            )
        self._changes.tell("finding", finding_id)
        return await self.finding(finding_id)

    async def review(self) -> None:
        """Derive every condition anew and keep what changed; the server does it by itself."""
        now = self.clock.now()
        await self._work.write(
            partial(standing.review, self._database, self.settings, self._evidence.find, now)
        )

    async def _read(self, call: Callable[..., T], *args: object, **more: object) -> T:
        return await self._work.read(partial(call, self._database, *args, **more))


def _check_again(
    found: lookup.StoredRecord, known: KnownStation | None, archive: Path | None
) -> CheckResult:
    if known is None:
        why = "the station is in the settings no more, nor are its keys"
        return _wrong("station.removed", why)
    try:
        checked = verify.verify(found.bundle, (*known.station_keys, *known.bench_keys), archive)
    except (NullbayError, OSError) as error:
        code = error.code if isinstance(error, NullbayError) else "evidence.lost"
        return _wrong(code, str(error))
    # `verify` has all keys in one list and knows nothing of rows: an authentic file in another's
    # place would pass, and a bench key in the station's.
    if delivery.envelope_sha256(found.bundle) != found.card.envelope_sha256:
        return _wrong("digest.wrong", "the stored file is not the one that was received")
    if checked.station_key.key_id not in {one.key_id for one in known.station_keys}:
        return _wrong("certificate.signature", "a bench key signed where the station's belongs")
    return CheckResult(
        authentic=True, verdict=checked.verdict, code="", message="", notes=checked.notes
    )


def _wrong(code: str, message: str) -> CheckResult:
    return CheckResult(authentic=False, verdict=None, code=code, message=message, notes=())


def _unknown(what: str, name: str) -> UnknownError:
    return UnknownError(f"No {what} {name!r} is known here")
