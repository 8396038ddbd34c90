"""The station's HTTP as a whole: API and console behind one gate."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from nullbay.agent.desk import Desk
from nullbay.agent.web import api, api_table, console
from nullbay.agent.web.metrics import Metrics
from nullbay.agent.web.people import LOCKED_ROLES, Entrant, People, StationAuthenticator, caller_of
from nullbay.domain.clock import Clock
from nullbay.web.routes import Route, application
from nullbay.web.security import Gate
from nullbay.web.serve import Binding
from nullbay.web.sessions import Sessions


@dataclass(frozen=True, slots=True)
class StationWeb:
    """The application, to be served by `nullbay.web.serve.serve` at the same binding."""

    app: web.Application
    gate: Gate
    routes: tuple[Route, ...]

    def login_path(self, entrant: Entrant, *, ttl_s: float) -> str:
        """The path of a link that logs somebody in once, within `ttl_s`."""
        return "/login/once/" + self.gate.links.make(caller_of(entrant, "link"), ttl_s=ttl_s)


def station_web(
    desk: Desk,
    people: People,
    clock: Clock,
    binding: Binding,
    *,
    version: str,
    status_token_sha256: str | None = None,
    idle_lock_s: float = 300.0,
) -> StationWeb:
    """Everything under one roof; what `binding` leaves open is told as a problem of the station."""
    gate = Gate(
        clock,
        StationAuthenticator(people, status_token_sha256),
        Sessions(clock, idle_s=idle_lock_s, locked_roles=LOCKED_ROLES),
        binding.hosts,
    )
    pages, static = console.make_pages()
    desks = console.Console(desk, people, gate, pages, binding.problems)
    table = (
        *api_table.routes(api.Api(desk, people, Metrics(desk), binding.problems), version=version),
        *console.routes(desks, static),
    )
    app = application(table, gate, statuses=api.STATUSES, show_problem=desks.show_problem)
    return StationWeb(app, gate, table)
