"""The whole table of the centre's routes, and the application made from it."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from nullbay.domain.clock import Clock
from nullbay.server import ingest_routes
from nullbay.server.centre import Centre
from nullbay.server.people import People, User
from nullbay.server.web import api, login, pages
from nullbay.server.web.site import Site
from nullbay.web.routes import Route, application
from nullbay.web.security import Gate
from nullbay.web.serve import Binding
from nullbay.web.sessions import Authenticator, Caller, Sessions

IDLE_S = 30 * 60.0
SESSIONS_MAX = 256

STATUSES: Mapping[str, int] = {
    **ingest_routes.STATUSES,
    **login.STATUSES,
    "pdf.not-rendered": 500,
}
"""HTTP statuses of every code that the centre may tell."""


class Tokens:
    """Bearer tokens of people and of stations: asked one after the other."""

    def __init__(self, *known: Authenticator) -> None:
        self._known = known

    async def bearer(self, digest: bytes) -> Caller | None:
        """Whose token it is."""
        for one in self._known:
            caller = await one.bearer(digest)
            if caller is not None:
                return caller
        return None


def site_of(centre: Centre, clock: Clock, binding: Binding) -> Site:
    """The pages of a centre with the people of its settings.

    Raises MalformedError for a password hash that is none.
    """
    people = People(map(User.of, centre.settings.users), clock)
    tokens = Tokens(people, ingest_routes.StationTokens(centre.deliveries))
    sessions = Sessions(clock, idle_s=IDLE_S, cap=SESSIONS_MAX)
    gate = Gate(clock, tokens, sessions, binding.hosts | frozenset(centre.settings.hosts))
    return Site(
        centre,
        people,
        gate,
        centre.metrics,
        organization=centre.settings.name,
        warnings=binding.problems,
    )


def table_of(site: Site) -> tuple[Route, ...]:
    """Every route of the centre: the stations' deliveries, the read API, the pages."""
    limits = site.centre.settings.limits
    deliveries = ingest_routes.routes(
        site.centre.deliveries,
        site.gate.clock,
        evidence_max_bytes=limits.evidence_max_bytes,
        at_once=limits.deliveries_at_once,
    )
    own = (*api.routes(site), *login.routes(site), *pages.routes(site))
    # The more exact path first: `lots/x.csv` would fit `lots/{reference}` as well.
    exact = sorted((*deliveries, *own), key=lambda one: not one.path.endswith(".csv"))
    document = api.document_route(exact, dict(STATUSES), site.gate.cookie)
    return (*exact, document, site.static.route())


def application_of(site: Site) -> web.Application:
    """The centre over HTTP."""
    return application(table_of(site), site.gate, statuses=STATUSES, show_problem=site.show_problem)
