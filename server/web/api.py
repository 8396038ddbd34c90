"""The read API: the same as the pages, in JSON and CSV, under the same roles."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from aiohttp import web

from nullbay import __version__
from nullbay.server import export, metrics
from nullbay.server.cards import (
    CheckResult,
    EntryCard,
    FindingCard,
    FindingState,
    LotAccount,
    LotCard,
    ManifestLine,
    RecordCard,
    StationAccount,
    StationCard,
)
from nullbay.server.web import downloads, lots
from nullbay.server.web.pages import UNKNOWN, FindingsParams, LotsParams
from nullbay.server.web.query import DigestParams, LotParams, RecordsParams, StationParams, query_of
from nullbay.server.web.site import AUDITOR, OPERATOR, VIEWER, Site
from nullbay.web.bodies import JsonBody
from nullbay.web.openapi import openapi
from nullbay.web.routes import Ask, JsonAnswer, PageAnswer, RawAnswer, Route
from nullbay.web.security import ANYONE
from nullbay.web.shapes import Items, Number, Text

MANIFEST_LINES_MAX = 20_000
MANIFEST_MAX_BYTES = 8 * 1024 * 1024

RECORD_COLUMNS = (
    "verdict",
    "serial",
    "label_serial",
    "asset_tag",
    "manufacturer",
    "model",
    "wwn",
    "size_bytes",
    "media",
    "lot",
    "customer",
    "station",
    "bay",
    "job",
    "attempt",
    "policy",
    "method_required",
    "method_claimed",
    "technique",
    "reasons",
    "simulated",
    "signed_at",
    "received_at",
    "record_sha256",
    "statement_sha256",
    "evidence_sha256",
)


@dataclass(frozen=True, slots=True)
class Health:
    """The centre answers. Nothing else is told to strangers."""

    ok: bool = True
    schema: str = "nullbay.health/1"


@dataclass(frozen=True, slots=True)
class Stations:
    """Every station that reports here, or did."""

    stations: tuple[StationCard, ...]
    schema: str = "nullbay.centre-stations/1"


@dataclass(frozen=True, slots=True)
class Account:
    """Whether everything on a station's chain is concluded, closed and here."""

    account: StationAccount
    schema: str = "nullbay.centre-station-account/1"


@dataclass(frozen=True, slots=True)
class Records:
    """Records that fit, newest first; `after` asks for the next part, null at the end."""

    records: tuple[RecordCard, ...]
    after: str | None
    schema: str = "nullbay.centre-records/1"


@dataclass(frozen=True, slots=True)
class Record:
    """One record, the ledger entries of its job, other records of its drive.

    `check` was made for this answer from the stored bytes; null for callers who may not check.
    """

    record: RecordCard
    check: CheckResult | None
    entries: tuple[EntryCard, ...]
    others: tuple[RecordCard, ...]
    bundle_bytes: int
    archive_bytes: int | None
    schema: str = "nullbay.centre-record/1"


@dataclass(frozen=True, slots=True)
class Lots:
    """Lots, the one with the latest record first."""

    lots: tuple[LotCard, ...]
    schema: str = "nullbay.centre-lots/1"


@dataclass(frozen=True, slots=True)
class Lot:
    """One lot reconciled."""

    lot: LotAccount
    schema: str = "nullbay.centre-lot/1"


@dataclass(frozen=True, slots=True)
class Findings:
    """Findings, alarms first, then newest first."""

    findings: tuple[FindingCard, ...]
    schema: str = "nullbay.centre-findings/1"


@dataclass(frozen=True, slots=True)
class Line:
    """A drive that the customer's list names: its number there, and what the list says of it."""

    line: Annotated[int, Number(1, 10_000_000)]
    serial: Annotated[str, Text(200)]
    asset_tag: Annotated[str, Text(200)]
    model: Annotated[str, Text(200)] = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a lot should hold."""

    lines: Annotated[tuple[Line, ...], Items(MANIFEST_LINES_MAX)]
    schema: str = "nullbay.centre-manifest/1"


def routes(site: Site) -> tuple[Route, ...]:
    """JSON, CSV, metrics, health; the OpenAPI document is `document_route`'s."""
    return (*_json(site), *_csv(site), *_plain(site))


def _json(site: Site) -> tuple[Route, ...]:
    centre = site.centre

    async def stations(_ask: Ask[None, None]) -> Stations:
        return Stations(await centre.fleet())

    async def account(ask: Ask[StationParams, None]) -> Account:
        await centre.review()  # findings about the chain count, so they are those of now
        return Account(await centre.station_account(ask.params.station))

    async def records(ask: Ask[RecordsParams, None]) -> Records:
        listed = await centre.records(query_of(ask.params))
        return Records(listed.items, listed.after)

    async def record(ask: Ask[DigestParams, None]) -> Record:
        page = await centre.record(ask.params.sha256)
        may_check = bool(ask.caller.roles & AUDITOR.roles)
        return Record(
            record=page.card,
            check=page.check if may_check else None,
            entries=await centre.entries_of_job(page.card.station, page.card.job),
            others=page.others,
            bundle_bytes=page.bundle_bytes,
            archive_bytes=page.archive_bytes,
        )

    async def every_lot(ask: Ask[LotsParams, None]) -> Lots:
        return Lots(await centre.lots(text=ask.params.text))

    async def lot(ask: Ask[LotParams, None]) -> Lot:
        return Lot(await centre.lot(ask.params.reference))

    async def findings(ask: Ask[FindingsParams, None]) -> Findings:
        state = None if ask.params.state == "all" else FindingState.OPEN
        return Findings(await centre.findings(state=state, station=ask.params.station))

    async def manifest(ask: Ask[LotParams, Manifest]) -> Lot:
        lines = tuple(
            ManifestLine(one.line, one.serial, one.asset_tag, one.model) for one in ask.body.lines
        )
        kept = await centre.keep_manifest(ask.params.reference, lines, ask.caller.person)
        return Lot(kept)

    def get(path: str, told: str, handler: Any, kind: type, **more: Any) -> Route:
        access = more.pop("access", VIEWER)
        return Route("GET", path, told, access, handler, JsonAnswer(kind), **more)

    unknown = (UNKNOWN,)
    return (
        get("/v1/stations", "The fleet", stations, Stations),
        get(
            "/v1/stations/{station}/account",
            "Whether nothing dropped out at a station",
            account,
            Account,
            access=AUDITOR,
            params=StationParams,
            errors=unknown,
        ),
        get("/v1/records", "Search records", records, Records, params=RecordsParams),
        get(
            "/v1/records/{sha256}",
            "One record",
            record,
            Record,
            params=DigestParams,
            errors=unknown,
        ),
        get("/v1/lots", "Lots", every_lot, Lots, params=LotsParams),
        get("/v1/lots/{reference}", "One lot", lot, Lot, params=LotParams, errors=unknown),
        get(
            "/v1/findings",
            "Findings",
            findings,
            Findings,
            params=FindingsParams,
            access=AUDITOR,
        ),
        Route(
            "PUT",
            "/v1/lots/{reference}/manifest",
            "Say what a lot should hold, instead of what was said before",
            OPERATOR,
            manifest,
            JsonAnswer(Lot),
            params=LotParams,
            body=JsonBody(Manifest, MANIFEST_MAX_BYTES),
        ),
    )


def _csv(site: Site) -> tuple[Route, ...]:
    async def records(ask: Ask[RecordsParams, None]) -> web.StreamResponse:
        async def rows() -> AsyncIterator[Sequence[str]]:
            async for card in site.centre.every_record(query_of(ask.params)):
                yield record_cells(card)

        pieces = export.csv(RECORD_COLUMNS, rows())
        return await downloads.stream(ask, "records.csv", pieces, downloads.CSV_TYPE)

    async def lot(ask: Ask[LotParams, None]) -> web.StreamResponse:
        account = await site.centre.lot(ask.params.reference)

        async def rows() -> AsyncIterator[Sequence[str]]:
            for drive in lots.drives_of(account):
                yield drive.cells()

        pieces = export.csv(lots.COLUMNS, rows())
        return await downloads.stream(ask, "lot.csv", pieces, downloads.CSV_TYPE)

    answer = RawAnswer((export.CONTENT_TYPE,))
    return (
        Route(
            "GET",
            "/v1/records.csv",
            "Records that fit, all of them, as CSV",
            AUDITOR,
            records,
            answer,
            params=RecordsParams,
        ),
        *(
            Route(
                "GET",
                path,
                "One lot reconciled, as CSV",
                AUDITOR,
                lot,
                kind,
                params=LotParams,
                errors=(UNKNOWN,),
            )
            for path, kind in (("/v1/lots/{reference}.csv", answer), ("/lot.csv", PageAnswer()))
        ),
    )


def _plain(site: Site) -> tuple[Route, ...]:
    async def health(_ask: Ask[None, None]) -> Health:
        return Health()

    async def scrape(_ask: Ask[None, None]) -> web.Response:
        text = site.metrics.text(
            await site.centre.totals(), await site.centre.fleet(), await site.centre.findings()
        )
        return web.Response(body=text, headers={"Content-Type": metrics.MEDIA_TYPE})

    return (
        Route("GET", "/healthz", "Whether it answers", ANYONE, health, JsonAnswer(Health)),
        Route(
            "GET",
            "/metrics",
            "Figures for Prometheus",
            VIEWER,
            scrape,
            RawAnswer(("text/plain",)),
            is_use=False,
        ),
    )


def document_route(table: Sequence[Route], statuses: dict[str, int], cookie: str) -> Route:
    """`/v1/openapi.json` of this table, itself among it."""
    held: dict[str, Any] = {}

    async def document(_ask: Ask[None, None]) -> dict[str, Any]:
        return held

    route = Route(
        "GET",
        "/v1/openapi.json",
        "This description",
        VIEWER,
        document,
        JsonAnswer(Any),
    )
    held |= openapi(
        (*table, route),
        title="nullbay centre",
        version=__version__,
        statuses=statuses,
        cookie=cookie,
    )
    return route


def record_cells(card: RecordCard) -> tuple[str, ...]:
    """A record as a line of CSV, in the order of RECORD_COLUMNS."""
    return (
        card.verdict.value,
        card.serial,
        card.label_serial,
        card.asset_tag,
        card.manufacturer,
        card.model,
        card.wwn,
        str(card.size_bytes),
        card.media,
        card.lot,
        card.customer,
        card.station,
        card.bay,
        card.job,
        str(card.attempt),
        card.policy_id,
        card.required,
        card.claimed,
        card.technique,
        " ".join(card.reasons),
        "yes" if card.simulated else "no",
        card.issued_at,
        card.received.at,
        card.envelope_sha256,
        card.statement_sha256,
        card.archive_sha256,
    )
