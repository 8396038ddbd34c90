"""The console: pages for people at the bench. Every page asks the desk; forms answer with a part.

A touch on a card opens its sheet, a touch on the sheet's button does it: two touches for a drive.
Answers to forms go to `#notice`; the cards themselves follow by the stream of `live.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiohttp import web

from nullbay.agent.desk import Approval, Desk, ScanAnswer
from nullbay.agent.web.api import bay_of
from nullbay.agent.web.forms import (
    Link,
    Login,
    LoginPage,
    LotConsentForm,
    ManifestForm,
    Nothing,
    Older,
    OpenLotForm,
    ScanForm,
)
from nullbay.agent.web.live import fragments
from nullbay.agent.web.people import LOOK, Entrant, People, caller_of, may, person_of
from nullbay.agent.web.shapes import (
    MANIFEST_MAX_BYTES,
    Bind,
    ByBay,
    ById,
    ByIdentity,
    ByReference,
    Consent,
)
from nullbay.agent.web.view import (
    VERDICT_WORDS,
    bay_view,
    is_stop,
    picture,
    rack_view,
    waiting_in,
    why_view,
)
from nullbay.config.roles import Act
from nullbay.domain.errors import NullbayError
from nullbay.domain.ids import IdentityKey
from nullbay.domain.lot import DataCategory, Destination
from nullbay.domain.status import StationStatus
from nullbay.web.bodies import FormBody
from nullbay.web.pages import SHARED_STATIC, Pages, Static, html, own_path, see_other
from nullbay.web.problems import Problem, TooManyTriesError, UnauthenticatedError
from nullbay.web.routes import Ask, EventAnswer, PageAnswer, Route
from nullbay.web.security import ANYONE, Access, Asked, Gate
from nullbay.web.serve import INSECURE
from nullbay.web.sessions import token_sha256
from nullbay.web.sse import Event

HERE = Path(__file__).parent
RECORDS_SHOWN = 50
MULTIPART_FRAME_BYTES = 16 * 1024
IS_FRAGMENT = "HX-Request"


def make_pages() -> tuple[Pages, Static]:
    """Templates and static files: this folder's and those shared by the rooms."""
    static = Static(HERE / "static", SHARED_STATIC)
    pages = Pages(
        HERE / "templates",
        static,
        why=why_view,
        verdict=VERDICT_WORDS.__getitem__,
        path=partial(quote, safe=""),
    )
    return pages, static


@dataclass(frozen=True, slots=True)
class Console:
    """The handlers, with what they need."""

    desk: Desk
    people: People
    gate: Gate
    pages: Pages
    problems: tuple[str, ...] = ()

    # --- coming in -----------------------------------------------------------------------------

    async def login_page(self, ask: Ask[LoginPage, None]) -> str:
        """Badge and PIN."""
        return self._login(ask.params.next)

    async def login(self, ask: Ask[None, Login]) -> web.StreamResponse:
        """Right: a session. Wrong: slower and slower, by badge and by address."""
        body, gate = ask.body, self.gate
        badge, address = token_sha256(body.badge).hex(), ask.request.remote or ""
        try:
            gate.tries.require_allowed(badge)
            gate.address_tries.require_allowed(address)
            entrant = await self.people.enter(body.badge, body.pin)
        except TooManyTriesError as error:
            response = html(self._login(body.next, error), error.status)
            response.headers.update(error.headers)
            return response
        except NullbayError as error:
            gate.tries.failed(badge)
            gate.address_tries.failed(address)
            return html(self._login(body.next, error), UnauthenticatedError.status)
        gate.tries.passed(badge)
        return self._enter(ask, entrant, own_path(body.next))

    async def login_once(self, ask: Ask[Link, None]) -> web.StreamResponse:
        """By a link that works once."""
        caller = self.gate.links.redeem(ask.params.token)
        entrant = self.people.now(caller.person) if caller else None
        if entrant is None:
            raise UnauthenticatedError(
                "This link was used, or is too old", next_step="Log in with badge and PIN"
            )
        return self._enter(ask, entrant, "/")

    async def logout(self, ask: Ask[None, Nothing]) -> web.StreamResponse:
        """Out."""
        response = _go("/login")
        self.gate.sign_out(ask.request, response)
        return response

    async def lock(self, ask: Ask[None, Nothing]) -> web.StreamResponse:
        """The screen stays, nothing can be done on it."""
        self.gate.sessions.lock(ask.request.cookies.get(self.gate.cookie, ""))
        return _go("/")

    # --- the rack ------------------------------------------------------------------------------

    async def rack(self, ask: Ask[None, None]) -> str:
        """The rack as it stands."""
        status = self._picture()
        rack = rack_view(status.bays)
        return self._page("rack.html", ask, status, rack=rack, asks=self.desk.asks())

    async def live(self, ask: Ask[None, None]) -> AsyncIterator[Event]:
        """What changes on the rack's page."""
        cookie = ask.request.cookies.get(self.gate.cookie, "")

        def parts(
            status: StationStatus,
        ) -> Mapping[str, tuple[object, Callable[[], str]]]:
            session = self.gate.sessions.find(cookie, is_use=False)
            caller = session.caller if session else ask.caller
            is_locked = session is not None and session.is_locked
            common = self._common(status, caller.roles, is_locked=is_locked)
            lots = self._lots(status)
            head = (status.mode, status.problems, status.undelivered, status.simulated)
            made: dict[str, tuple[object, Callable[[], str]]] = {
                f"bay-{bay.bay}": (bay, partial(self._show, "_bay.html", bay=bay_view(bay)))
                for bay in status.bays
            }
            made["notes"] = (head, partial(self._show, "_notes.html", **common))
            made["lots"] = (
                (lots, is_locked),
                partial(self._show, "_lots.html", **common, lots=lots),
            )
            asks, waiting = self.desk.asks(), len(self.desk.destroy_queue())
            may_scan = Act.SCAN.value in caller.roles
            made["asks"] = (
                (asks, is_locked, may_scan),
                partial(self._show, "_asks.html", **common, asks=asks),
            )
            made["to-destroy"] = (
                waiting,
                partial(self._show, "_to_destroy.html", to_destroy=waiting),
            )
            made["desk"] = (is_locked, partial(self._show, "_desk.html", **common))
            return made

        return fragments(self.desk, self.gate.clock, self._picture, parts)

    async def sheet(self, ask: Ask[ByBay, None]) -> str:
        """A bay in full, with what can be done."""
        bay = bay_view(bay_of(self.desk, ask.params.bay))
        return self._show("_sheet.html", **self._common_of(ask), bay=bay)

    async def scan(self, ask: Ask[None, ScanForm]) -> str:
        """The answer to a scan."""
        by = person_of(ask, self.people, Act.SCAN)
        answer = await self.desk.scan(ask.body.text, by)
        return self._scanned(answer)

    async def bind(self, ask: Ask[ById, Bind]) -> str:
        """The touch on the drive that was meant."""
        by = person_of(ask, self.people, Act.SCAN)
        return self._scanned(await self.desk.settle(ask.params.id, ask.body.insertion, by))

    async def withdraw(self, ask: Ask[ById, Nothing]) -> str:
        """Scanned by mistake."""
        by = person_of(ask, self.people, Act.SCAN)
        return self._scanned(await self.desk.withdraw(ask.params.id, by))

    async def approve(self, ask: Ask[ById, Consent]) -> web.StreamResponse:
        """The second touch."""
        by = person_of(ask, self.people, Act.APPROVE, Act.CONCUR)
        consent = Approval(ask.body.plan_sha256, ask.body.confirm)
        job = await self.desk.approve(ask.params.id, consent, by)
        return self._done(f"Approved: {job.bay or job.id}")

    async def abort(self, ask: Ask[ById, Nothing]) -> web.StreamResponse:
        """Asked once by the sheet."""
        job = await self.desk.abort(ask.params.id, person_of(ask, self.people, Act.ABORT))
        return self._done(f"Stopped: {job.bay or job.id}")

    # --- lots ----------------------------------------------------------------------------------

    async def lots(self, ask: Ask[None, None]) -> str:
        """All of them, and a form for a new one."""
        return self._page(
            "lots.html",
            ask,
            self._picture(),
            lots=self.desk.lots(),
            categories=[one.value for one in DataCategory],
            destinations=[one.value for one in Destination],
        )

    async def lot(self, ask: Ask[ByReference, None]) -> str:
        """One, with its account."""
        status = self._picture()
        card = self.desk.lot(ask.params.reference)
        waiting = waiting_in(status, card.lot.reference)
        return self._page("lot.html", ask, status, card=card, waiting=len(waiting))

    async def open_lot(self, ask: Ask[None, OpenLotForm]) -> web.StreamResponse:
        """Then its page."""
        by = person_of(ask, self.people, Act.LOTS)
        opened = ask.body.opened()
        card = await self.desk.open_lot(opened.lot(), opened.bay_ids(), by)
        return _go(f"/lots/{quote(card.lot.reference, safe='')}")

    async def close_lot(self, ask: Ask[ByReference, Nothing]) -> web.StreamResponse:
        """Then its page again."""
        await self.desk.close_lot(ask.params.reference, person_of(ask, self.people, Act.LOTS))
        return _go(f"/lots/{quote(ask.params.reference, safe='')}")

    async def manifest(self, ask: Ask[ByReference, ManifestForm]) -> str:
        """What the file held."""
        by = person_of(ask, self.people, Act.LOTS)
        file = ask.body.file
        reference = ask.params.reference
        report = await self.desk.take_manifest(reference, file.name, file.data, by)
        return self._show("_manifest.html", report=report, reference=reference)

    async def lot_sheet(self, ask: Ask[ByReference, None]) -> str:
        """The plans of a lot that wait, to be looked at before they are approved together."""
        status = self._picture()
        card = self.desk.lot(ask.params.reference)
        bays = tuple(map(bay_view, waiting_in(status, card.lot.reference)))
        return self._show("_lot_sheet.html", **self._common_of(ask), card=card, bays=bays)

    async def approve_lot(self, ask: Ask[ByReference, LotConsentForm]) -> web.StreamResponse:
        """Those that stood on the sheet, no other."""
        by = person_of(ask, self.people, Act.APPROVE, Act.CONCUR)
        jobs = await self.desk.approve_lot(ask.params.reference, ask.body.plans, by)
        return self._done(f"Approved: {len(jobs)} drives of {ask.params.reference}")

    # --- what is to be destroyed ---------------------------------------------------------------

    async def destroy_queue(self, ask: Ask[None, None]) -> str:
        """All of it, to be printed."""
        drives = self.desk.destroy_queue()
        return self._page("destroy.html", ask, self._picture(), drives=drives)

    # --- drives and records --------------------------------------------------------------------

    async def drive(self, ask: Ask[ByIdentity, None]) -> str:
        """Every stay and every job."""
        history = self.desk.drive(IdentityKey(ask.params.identity))
        return self._page("drive.html", ask, self._picture(), history=history)

    async def records(self, ask: Ask[Older, None]) -> str:
        """The newest first."""
        found = self.desk.records(after=ask.params.after, limit=RECORDS_SHOWN)
        after = found[-1].job if len(found) == RECORDS_SHOWN else None
        return self._page("records.html", ask, self._picture(), records=found, after=after)

    # --- parts ---------------------------------------------------------------------------------

    def show_problem(self, request: web.Request, asked: Asked, told: Problem) -> web.StreamResponse:
        """A problem for a person: the login page, a notice beside the form, or a page."""
        is_fragment = IS_FRAGMENT in request.headers
        if told.status == UnauthenticatedError.status and request.path != "/login":
            here = own_path(request.path_qs) if request.method == "GET" and not is_fragment else "/"
            target = "/login" if here == "/" else f"/login?next={quote(here, safe='')}"
            return _go(target) if is_fragment else see_other(target)
        if is_fragment:
            response = html(self._show("_problem.html", problem=told), told.status)
            response.headers["HX-Retarget"] = "#notice"
            response.headers["HX-Reswap"] = "innerHTML"
            return response
        return html(self._show("problem.html", problem=told), told.status)

    def _scanned(self, answer: ScanAnswer) -> str:
        """The answer, with the label or the alarm where there is one."""
        simulated = self.desk.status().simulated
        return self._show(
            "_scanned.html", answer=answer, is_stop=is_stop(answer), simulated=simulated
        )

    def _picture(self) -> StationStatus:
        return picture(self.desk, self.problems)

    def _show(self, template: str, /, **values: Any) -> str:
        return self.pages.show(template, **values)

    def _page(
        self, template: str, ask: Ask[Any, Any], status: StationStatus, /, **values: Any
    ) -> str:
        session = ask.session
        common = self._common(
            status, ask.caller.roles, is_locked=session is not None and session.is_locked
        )
        return self._show(
            template,
            **common,
            caller=ask.caller,
            csrf=session.csrf if session else "",
            here=ask.request.path,
            to_destroy=len(self.desk.destroy_queue()),
            **({"lots": self._lots(status)} | values),
        )

    def _common_of(self, ask: Ask[Any, Any]) -> dict[str, Any]:
        is_locked = ask.session is not None and ask.session.is_locked
        return self._common(self._picture(), ask.caller.roles, is_locked=is_locked)

    def _common(
        self, status: StationStatus, roles: frozenset[str], *, is_locked: bool
    ) -> dict[str, Any]:
        return {
            "status": status,
            "acts": roles,
            "is_locked": is_locked,
            "insecure": any(why.code == INSECURE for why in status.problems),
            "problems": [why_view(one) for one in status.problems if one.code != INSECURE],
        }

    def _lots(self, status: StationStatus) -> tuple[tuple[Any, int], ...]:
        """Active lots, each with how many of its plans wait."""
        return tuple(
            (card, len(waiting_in(status, card.lot.reference)))
            for card in self.desk.lots()
            if card.active
        )

    def _login(self, target: str, error: NullbayError | None = None) -> str:
        status = self._picture()
        return self._show(
            "login.html",
            **self._common(status, frozenset(), is_locked=False),
            next=own_path(target),
            error=error,
        )

    def _enter(self, ask: Ask[Any, Any], entrant: Entrant, target: str) -> web.StreamResponse:
        response = see_other(target)
        self.gate.sign_in(ask.request, response, caller_of(entrant, "session"))
        return response

    def _done(self, words: str) -> web.StreamResponse:
        response = html(self._show("_done.html", words=words))
        response.headers["HX-Trigger"] = "sheet-done"
        return response


def routes(console: Console, static: Static) -> tuple[Route, ...]:
    """The console's part of the table."""
    lots = may(Act.LOTS)
    approving = may(Act.APPROVE, Act.CONCUR)
    button = FormBody(Nothing)
    manifest = FormBody(ManifestForm, MANIFEST_MAX_BYTES + MULTIPART_FRAME_BYTES)

    def page(path: str, access: Access, handler: Any, params: type | None = None) -> Route:
        return Route("GET", path, "", access, handler, PageAnswer(), params)

    def form(
        path: str, access: Access, handler: Any, body: FormBody, params: type | None = None
    ) -> Route:
        return Route("POST", path, "", access, handler, PageAnswer(), params, body)

    return (
        static.route(),
        page("/", LOOK, console.rack),
        page("/login", ANYONE, console.login_page, LoginPage),
        form("/login", ANYONE, console.login, FormBody(Login)),
        page("/login/once/{token}", ANYONE, console.login_once, Link),
        form("/logout", LOOK, console.logout, button),
        form("/lock", LOOK, console.lock, button),
        Route("GET", "/live", "", LOOK, console.live, EventAnswer(str), is_use=False),
        page("/bays/{bay}", LOOK, console.sheet, ByBay),
        form("/scan", may(Act.SCAN), console.scan, FormBody(ScanForm)),
        form("/scans/{id}/bind", may(Act.SCAN), console.bind, FormBody(Bind), ById),
        form("/scans/{id}/withdraw", may(Act.SCAN), console.withdraw, button, ById),
        page("/destroy-queue", LOOK, console.destroy_queue),
        form("/jobs/{id}/approve", approving, console.approve, FormBody(Consent), ById),
        form("/jobs/{id}/abort", may(Act.ABORT), console.abort, button, ById),
        page("/lots", LOOK, console.lots),
        form("/lots", lots, console.open_lot, FormBody(OpenLotForm)),
        page("/lots/{reference}", LOOK, console.lot, ByReference),
        form("/lots/{reference}/close", lots, console.close_lot, button, ByReference),
        form("/lots/{reference}/manifest", lots, console.manifest, manifest, ByReference),
        page("/lots/{reference}/approve", LOOK, console.lot_sheet, ByReference),
        form(
            "/lots/{reference}/approve",
            approving,
            console.approve_lot,
            FormBody(LotConsentForm),
            ByReference,
        ),
        page("/drives/{identity}", LOOK, console.drive, ByIdentity),
        page("/records", LOOK, console.records, Older),
    )


def _go(target: str) -> web.Response:
    """Tell htmx to walk on to another page."""
    return web.Response(status=200, headers={"HX-Redirect": target})
