"""What every page of the centre shares: who looks at it, what stands around it, how it is made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from nullbay import __version__, certs
from nullbay.server.centre import Centre
from nullbay.server.metrics import CentreMetrics
from nullbay.server.people import People, Role, highest
from nullbay.web import pages, problems
from nullbay.web.problems import Problem
from nullbay.web.routes import Ask
from nullbay.web.security import NOBODY, Access, Asked, Gate, only
from nullbay.web.serve import INSECURE

HERE = Path(__file__).resolve().parent
FONTS = Path(certs.__file__).resolve().parent / "fonts"
WARNINGS = {
    INSECURE: "This page comes over an open connection: passwords can be read on the way. "
    "Give the centre TLS files."
}
MAY = {
    Role.VIEWER: "see stations, records and lots",
    Role.AUDITOR: "also see findings, keys and evidence, check records, export",
    Role.OPERATOR: "also acknowledge findings",
    Role.ADMINISTRATOR: "everything, and see who may",
}


def at_least(role: Role) -> Access:
    """Access for this role and every one above; callers carry all roles below theirs."""
    return only(role.value)


VIEWER, AUDITOR = at_least(Role.VIEWER), at_least(Role.AUDITOR)
OPERATOR, ADMINISTRATOR = at_least(Role.OPERATOR), at_least(Role.ADMINISTRATOR)


@dataclass(frozen=True, slots=True)
class NavItem:
    """A place to go."""

    href: str
    words: str
    current: bool
    count: int = 0


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands around the content of a page."""

    organization: str
    nav: tuple[NavItem, ...]
    name: str
    role: str
    csrf: str
    warnings: tuple[str, ...]
    simulated: bool
    version: str


_NAV = (
    ("/", "Fleet", Role.VIEWER),
    ("/records", "Records", Role.VIEWER),
    ("/lots", "Lots", Role.VIEWER),
    ("/findings", "Findings", Role.AUDITOR),
    ("/stations", "Stations", Role.AUDITOR),
    ("/users", "Users", Role.ADMINISTRATOR),
)


class Site:
    """The centre's pages: what they are made from and with."""

    def __init__(
        self,
        centre: Centre,
        people: People,
        gate: Gate,
        metrics: CentreMetrics,
        *,
        organization: str = "",
        warnings: tuple[str, ...] = (),
    ) -> None:
        """`warnings` are problem codes of the listener (`web.serve.Binding.problems`)."""
        self.centre = centre
        self.people = people
        self.gate = gate
        self.metrics = metrics
        self.organization = organization
        self.warnings = tuple(WARNINGS.get(code, code) for code in warnings)
        self.static = pages.Static(HERE / "static")
        self.pages = pages.Pages(HERE / "templates", self.static)

    async def page(
        self, ask: Ask[Any, Any], template: str, title: str, **values: Any
    ) -> web.Response:
        """A page with its frame, for whoever asks."""
        frame = self.frame(
            Asked(ask.caller, ask.session),
            ask.request.path,
            findings=await self.centre.open_findings(),
        )
        text = self.pages.show(template, title=title, frame=frame, **values)
        return pages.html(text)

    def frame(self, asked: Asked, path: str, *, findings: int = 0) -> Frame | None:
        """What stands around a page; None for somebody unknown."""
        caller = asked.caller
        if caller.how == NOBODY.how or not caller.roles:
            return None
        current = next((href for href, _, _ in _NAV[1:] if path.startswith(href)), "/")
        return Frame(
            organization=self.organization,
            nav=tuple(
                NavItem(href, words, href == current, findings if href == "/findings" else 0)
                for href, words, role in _NAV
                if role.value in caller.roles
            ),
            name=caller.name or caller.person,
            role=str(highest(caller.roles) or ""),
            csrf=asked.session.csrf if asked.session else "",
            warnings=self.warnings,
            simulated=self.centre.settings.accept_simulated,
            version=__version__,
        )

    def show_problem(self, request: web.Request, asked: Asked, told: Problem) -> web.StreamResponse:
        """A problem as a page; whoever is not logged in is sent to do that first."""
        if "text/html" not in request.headers.get("Accept", "*/*").replace("*/*", "text/html"):
            return problems.answer(told)
        locked = asked.session is not None and asked.session.is_locked
        if (told.status == 401 or (told.status == 403 and locked)) and request.method == "GET":
            query = urlencode({"next": request.path_qs}) if request.path_qs != "/" else ""
            return pages.see_other("/login" + (f"?{query}" if query else ""))
        text = self.pages.show(
            "problem.html",
            title=told.title,
            frame=self.frame(asked, request.path),
            problem=told,
        )
        return pages.html(text, told.status)
