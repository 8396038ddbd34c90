"""The pages' routes: each names the lowest role that may see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from aiohttp import web

from nullbay.domain.verdict import Verdict
from nullbay.server.cards import FindingState, StationPage
from nullbay.server.people import Role
from nullbay.server.receive import RefusedError
from nullbay.server.web import downloads, findings, fleet, lots, record, words
from nullbay.server.web.query import (
    DigestParams,
    FindingParams,
    LotParams,
    RecordsParams,
    StationParams,
    query_of,
    record_row,
)
from nullbay.server.web.site import (
    ADMINISTRATOR,
    AUDITOR,
    FONTS,
    MAY,
    OPERATOR,
    VIEWER,
    Site,
)
from nullbay.web.bodies import FormBody
from nullbay.web.pages import see_other
from nullbay.web.problems import NotFoundError
from nullbay.web.routes import Ask, Handler, PageAnswer, RawAnswer, Route
from nullbay.web.security import ANYONE, Access
from nullbay.web.shapes import Text

LIST_MAX = 200
FORM_MAX_BYTES = 16 * 1024
UNKNOWN, STATION_REMOVED = "centre.unknown", "station.removed"
FONT_NAMES = ("Inter-Regular.otf", "Inter-SemiBold.otf", "InterDisplay-Bold.otf")
PAGE = PageAnswer()


@dataclass(frozen=True, slots=True)
class FindingsParams:
    """Which findings; empty: the open ones."""

    state: Annotated[str, Text(16, 0, "^(open|all)?$")] = ""
    station: Annotated[str, Text(128)] = ""


@dataclass(frozen=True, slots=True)
class LotsParams:
    """Lots whose reference begins so."""

    text: Annotated[str, Text(200)] = ""


@dataclass(frozen=True, slots=True)
class NoteForm:
    """What somebody found out about a finding."""

    note: Annotated[str, Text(1000, 1)]


@dataclass(frozen=True, slots=True)
class FontParams:
    """Which font."""

    name: Annotated[str, Text(64)]


def routes(site: Site) -> tuple[Route, ...]:
    """Everything a person looks at."""
    return (*_fleet(site), *_records(site), *_lots(site), *_findings(site), *_people(site))


def _fleet(site: Site) -> tuple[Route, ...]:
    async def show(ask: Ask[None, None]) -> web.Response:
        cards, totals = await site.centre.fleet(), await site.centre.totals()
        is_auditor = Role.AUDITOR.value in ask.caller.roles
        return await site.page(
            ask,
            "fleet.html",
            "Fleet",
            figures=fleet.figures(cards, totals, findings_href="/findings" if is_auditor else ""),
            stations=fleet.tiles(cards, linked=is_auditor),
        )

    async def font(ask: Ask[FontParams, None]) -> web.FileResponse:
        if ask.params.name not in FONT_NAMES:
            raise NotFoundError("No such font")
        path = FONTS / ask.params.name
        headers = {"Content-Type": "font/otf", "Cache-Control": "public, max-age=604800"}
        return web.FileResponse(path, headers=headers)

    return (
        Route("GET", "/", "The fleet", VIEWER, show, PAGE),
        # A page that refreshes itself keeps nobody logged in.
        Route("GET", "/live", "The fleet, asked for by the page", VIEWER, show, PAGE, is_use=False),
        Route(
            "GET",
            "/fonts/{name}",
            "A font of the pages",
            ANYONE,
            font,
            PAGE,
            FontParams,
            is_use=False,
        ),
    )


def _records(site: Site) -> tuple[Route, ...]:
    async def search(ask: Ask[RecordsParams, None]) -> web.Response:
        given = ask.params
        listed = await site.centre.records(query_of(given))
        told = words.plural(len(listed.items), "record") + (
            ", and there are older ones" if listed.after else ""
        )
        return await site.page(
            ask,
            "records.html",
            "Records",
            query=given,
            searching=given.is_search,
            verdicts=[words.VERDICTS[one] for one in Verdict],
            station_ids=[one.station for one in await site.centre.fleet()],
            records=[record_row(one) for one in listed.items],
            told=told,
            first=given.address("/records") if given.after else "",
            next=given.address("/records", after=listed.after) if listed.after else "",
            csv=given.address("/v1/records.csv") if Role.AUDITOR.value in ask.caller.roles else "",
        )

    async def show(ask: Ask[DigestParams, None]) -> web.Response:
        sha256 = ask.params.sha256
        page = await site.centre.record(sha256)
        data = await site.centre.bundle(sha256)
        entries = await site.centre.entries_of_job(page.card.station, page.card.job)
        may_audit = Role.AUDITOR.value in ask.caller.roles
        told = record.page_of(page, data, entries, may_audit=may_audit)
        return await site.page(
            ask,
            "record.html",
            told.subject,
            record=told,
            check=record.check_of(page.check, site.gate.clock.now().at),
            may_audit=may_audit,
            shell=record.shell(page.card),
            command=record.command(page.card),
        )

    async def pdf(ask: Ask[DigestParams, None]) -> web.Response:
        page = await site.centre.record(ask.params.sha256)
        if not page.check.authentic and page.check.code != STATION_REMOVED:
            raise RefusedError(
                "record.not-authentic",
                "The record does not check any more, so that no document is made of it",
                next_step="See its page; the signed file itself can still be downloaded",
            )
        data = await site.centre.pdf(ask.params.sha256)
        return downloads.file(data, downloads.PDF_TYPE, f"{record.file_name(page.card)}.pdf")

    async def bundle(ask: Ask[DigestParams, None]) -> web.Response:
        stored = await site.centre.stored(ask.params.sha256)
        name = f"{record.file_name(stored.card)}.sigstore.json"
        return downloads.file(stored.bundle, downloads.BUNDLE_TYPE, name)

    async def evidence(ask: Ask[DigestParams, None]) -> web.FileResponse:
        stored = await site.centre.stored(ask.params.sha256)
        path = await site.centre.archive(ask.params.sha256)
        name = f"{record.file_name(stored.card)}.evidence.tar.zst"
        return downloads.from_disk(path, downloads.EVIDENCE_TYPE, name)

    async def receipt(ask: Ask[DigestParams, None]) -> web.Response:
        stored = await site.centre.stored(ask.params.sha256)
        name = f"{record.file_name(stored.card)}.receipt.json"
        return downloads.file(stored.receipt, downloads.RECEIPT_TYPE, name)

    def one(
        path: str,
        told: str,
        access: Access,
        handler: Handler,
        *types: str,
        more: tuple[str, ...] = (),
    ) -> Route:
        answer = RawAnswer(types) if types else PAGE
        errors = (UNKNOWN, *more)
        return Route("GET", path, told, access, handler, answer, params=DigestParams, errors=errors)

    here, api = "/records/{sha256}", "/v1/records/{sha256}"
    return (
        Route("GET", "/records", "Search records", VIEWER, search, PAGE, params=RecordsParams),
        one(here, "One record", VIEWER, show),
        one(f"{here}/check", "One record, checked again", AUDITOR, show),
        one(
            f"{api}/pdf",
            "The document of a record",
            VIEWER,
            pdf,
            downloads.PDF_TYPE,
            more=("record.not-authentic",),
        ),
        one(f"{api}/bundle", "The signed file", VIEWER, bundle, downloads.BUNDLE_TYPE),
        one(f"{api}/evidence", "Its evidence", AUDITOR, evidence, downloads.EVIDENCE_TYPE),
        one(f"{api}/receipt", "The receipt for it", VIEWER, receipt, downloads.RECEIPT_TYPE),
    )


def _lots(site: Site) -> tuple[Route, ...]:
    async def every(ask: Ask[LotsParams, None]) -> web.Response:
        found = await site.centre.lots(text=ask.params.text)
        return await site.page(
            ask,
            "lots.html",
            "Lots",
            text=ask.params.text,
            lots=[lots.row_of(one) for one in found[:LIST_MAX]],
            more=max(0, len(found) - LIST_MAX),
        )

    async def show(ask: Ask[LotParams, None]) -> web.Response:
        account = await site.centre.lot(ask.params.reference)
        may_export = Role.AUDITOR.value in ask.caller.roles
        page = lots.page_of(account, may_export=may_export)
        return await site.page(ask, "lot.html", page.reference, lot=page)

    return (
        Route("GET", "/lots", "Lots", VIEWER, every, PAGE, params=LotsParams),
        *(
            Route(
                "GET",
                path,
                "One lot reconciled",
                VIEWER,
                show,
                PAGE,
                params=LotParams,
                errors=(UNKNOWN,),
            )
            for path in ("/lots/{reference}", "/lot")
        ),
    )


def _findings(site: Site) -> tuple[Route, ...]:
    async def every(ask: Ask[FindingsParams, None]) -> web.Response:
        is_all = ask.params.state == "all"
        found = await site.centre.findings(
            state=None if is_all else FindingState.OPEN, station=ask.params.station
        )
        # Open ones first, whatever else is shown.
        found = tuple(sorted(found, key=lambda one: one.state is not FindingState.OPEN))
        return await site.page(
            ask,
            "findings.html",
            "Findings",
            all=is_all,
            station=ask.params.station,
            findings=[findings.finding_of(one) for one in found[:LIST_MAX]],
            more=max(0, len(found) - LIST_MAX),
            may_acknowledge=Role.OPERATOR.value in ask.caller.roles and ask.session is not None,
        )

    async def acknowledge(ask: Ask[FindingParams, NoteForm]) -> web.Response:
        await site.centre.acknowledge(ask.params.finding, ask.caller.person, ask.body.note)
        return see_other("/findings?state=all")

    async def stations(ask: Ask[None, None]) -> web.Response:
        rows = [findings.row_of(one) for one in await site.centre.fleet()]
        return await site.page(ask, "stations.html", "Stations", stations=rows)

    async def station(ask: Ask[StationParams, None]) -> web.Response:
        page = await site.centre.station(ask.params.station)
        told = findings.station_of(page, _keys(site, page))
        return await site.page(ask, "station.html", told.name, station=told)

    return (
        Route("GET", "/findings", "Findings", AUDITOR, every, PAGE, params=FindingsParams),
        Route(
            "POST",
            "/findings/{finding}/acknowledge",
            "Take a finding on, with a note",
            OPERATOR,
            acknowledge,
            PAGE,
            params=FindingParams,
            body=FormBody(NoteForm, FORM_MAX_BYTES),
            errors=(UNKNOWN, "finding.acknowledged"),
        ),
        Route("GET", "/stations", "Stations", AUDITOR, stations, PAGE),
        *(
            Route(
                "GET",
                path,
                "One station with its keys and ledger",
                AUDITOR,
                station,
                PAGE,
                params=StationParams,
                errors=(UNKNOWN,),
            )
            for path in ("/stations/{station}", "/station")
        ),
    )


def _keys(site: Site, page: StationPage) -> list[findings.Key]:
    known = site.centre.stations.get(page.card.station)
    if known is None:
        return []
    return [
        *(findings.Key("station", one.name, one.key_id) for one in known.station_keys),
        *(findings.Key("bench", one.name, one.key_id) for one in known.bench_keys),
    ]


def _people(site: Site) -> tuple[Route, ...]:
    async def users(ask: Ask[None, None]) -> web.Response:
        return await site.page(
            ask,
            "users.html",
            "Users",
            users=[
                {
                    "name": one.name,
                    "user_id": one.user_id,
                    "role": one.role.value,
                    "may": MAY[one.role],
                    "by": ", ".join(
                        filter(
                            None,
                            (
                                "password" if one.password else "",
                                "token" if one.token_sha256 else "",
                            ),
                        )
                    )
                    or "login link only",
                }
                for one in site.people.all()
            ],
        )

    return (Route("GET", "/users", "Who may log in", ADMINISTRATOR, users, PAGE),)
