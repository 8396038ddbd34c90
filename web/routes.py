"""One typed table of routes: from it come the application and the OpenAPI document.

A handler gets an `Ask` whose parameters and body have been read, bounded and typed, from a caller
who may ask. It returns a value of the route's answer type, or `Answer` to choose status or headers,
or (pages, downloads) a response of its own. It raises NullbayError for anything expected.
"""

from __future__ import annotations

import dataclasses
import enum
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from aiohttp import web

from nullbay.domain.canonical import canonical_json
from nullbay.domain.codec import to_plain
from nullbay.domain.errors import MalformedError
from nullbay.web import problems
from nullbay.web.bodies import BodyKind, read_body
from nullbay.web.problems import Problem
from nullbay.web.security import NOBODY, Access, Asked, Gate, set_headers
from nullbay.web.sessions import Caller, Session
from nullbay.web.shapes import hints_of, unwrapped, within
from nullbay.web.sse import Streams

P = TypeVar("P")
B = TypeVar("B")

_PATH_PARAMETER = re.compile(r"\{(\w+)\}")
_INTEGER = re.compile(r"-?[0-9]{1,16}")


@dataclass(frozen=True, slots=True)
class Ask(Generic[P, B]):
    """What a handler gets: who asks, what for, and with what."""

    caller: Caller
    params: P
    body: B
    session: Session | None
    request: web.Request


@dataclass(frozen=True, slots=True)
class Answer:
    """A value with a status other than the route's first, or with headers."""

    value: Any
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JsonAnswer:
    """A value of this type, as `to_plain` spells it."""

    type: Any


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """Bytes of one of these media types; the handler returns a response, or bytes of the first."""

    media_types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EventAnswer:
    """Server-sent events; the handler returns an AsyncIterator of `web.sse.Event`."""

    type: Any


@dataclass(frozen=True, slots=True)
class PageAnswer:
    """HTML as text, or a response of the handler's own; not part of the OpenAPI document."""


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Nothing but a status."""


AnswerKind = JsonAnswer | RawAnswer | EventAnswer | PageAnswer | NoAnswer
Handler = Callable[[Ask[Any, Any]], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the table.

    `params` is a frozen dataclass: fields named in the path are path parameters, the others query
    parameters (those with a default may be left out). `errors` are the codes beyond those that any
    route may answer. `is_use` is False where a page asks by itself: that keeps no session awake.
    """

    method: str
    path: str
    summary: str
    access: Access
    handler: Handler
    answer: AnswerKind
    params: type | None = None
    body: BodyKind | None = None
    statuses: tuple[int, ...] = (200,)
    errors: tuple[str, ...] = ()
    is_use: bool = True

    @property
    def path_names(self) -> tuple[str, ...]:
        """The parameters that stand in the path."""
        return tuple(_PATH_PARAMETER.findall(self.path))


ShowProblem = Callable[[web.Request, Asked, Problem], web.StreamResponse]

STREAMS = web.AppKey("streams", Streams)


def application(
    routes: Iterable[Route],
    gate: Gate,
    *,
    statuses: Mapping[str, int] = MappingProxyType({}),
    show_problem: ShowProblem | None = None,
    streams: Streams | None = None,
) -> web.Application:
    """The aiohttp application of a table.

    `statuses` maps a room's own codes to HTTP statuses. `show_problem` renders a problem for a
    person where a page was asked for (or sends them to log in).
    """
    table = _Table(gate, dict(problems.STATUSES) | dict(statuses), show_problem)
    app = web.Application(middlewares=[table.outermost])
    app[STREAMS] = table.streams = Streams(gate.clock) if streams is None else streams
    for route in routes:
        # aiohttp's own pattern would not let a parameter hold a brace.
        path = _PATH_PARAMETER.sub(r"{\1:[^/]+}", route.path)
        app.router.add_route(route.method, path, table.endpoint(route))
    app.on_shutdown.append(_close_streams)
    app.on_response_prepare.append(_prepare)
    return app


async def _close_streams(app: web.Application) -> None:
    await app[STREAMS].close()


async def _prepare(_request: web.Request, response: web.StreamResponse) -> None:
    set_headers(response)


class _Table:
    """Wraps handlers: what comes before one is called, and what its answer becomes."""

    streams: Streams

    def __init__(
        self, gate: Gate, statuses: Mapping[str, int], show_problem: ShowProblem | None
    ) -> None:
        self._gate = gate
        self._statuses = statuses
        self._show_problem = show_problem

    @property
    def outermost(self) -> Any:
        """The middleware around everything, also around addresses nobody knows."""

        @web.middleware
        async def outermost(
            request: web.Request,
            handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
        ) -> web.StreamResponse:
            try:
                self._gate.require_host(request)
                return await handler(request)
            except Exception as error:  # noqa: BLE001 - the border: nothing raw leaves
                # A browser walking along gets a page; whoever named a type gets that.
                is_page = "text/html" in request.headers.get("Accept", "")
                return self._told(request, Asked(NOBODY), error, is_page=is_page)

        return outermost

    def endpoint(self, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """What aiohttp calls for a route."""
        is_page = isinstance(route.answer, PageAnswer)

        async def endpoint(request: web.Request) -> web.StreamResponse:
            asked = Asked(NOBODY)
            try:
                asked = await self._gate.who(request, is_use=route.is_use)
                self._gate.require_access(asked, route.access)
                self._gate.require_own_page(request, asked, route.access, is_page=is_page)
                ask = Ask(
                    asked.caller,
                    _read_params(route, request),
                    await read_body(request, route.body, self._gate.clock),
                    asked.session,
                    request,
                )
                return await self._answer(route, ask, await route.handler(ask))
            except Exception as error:  # noqa: BLE001 - the border: nothing raw leaves
                return self._told(request, asked, error, is_page=is_page)

        return endpoint

    async def _answer(self, route: Route, ask: Ask[Any, Any], given: Any) -> web.StreamResponse:
        if isinstance(given, web.StreamResponse):
            return given
        answer = given if isinstance(given, Answer) else Answer(given)
        status = answer.status or route.statuses[0]
        if status not in route.statuses:
            msg = f"{route.method} {route.path} answers {status}, which its route does not name"
            raise ValueError(msg)
        match route.answer:
            case JsonAnswer(hint):
                body = canonical_json(to_plain(answer.value, hint))
                media_type = "application/json"
            case RawAnswer(media_types):
                body, media_type = answer.value, media_types[0]
            case PageAnswer():
                body, media_type = answer.value.encode(), "text/html"
            case EventAnswer():
                return await self.streams.serve(
                    ask.request, answer.value, lambda: self._is_still_allowed(route, ask)
                )
            case NoAnswer():
                return web.Response(status=status, headers=answer.headers)
        return web.Response(
            status=status,
            body=body,
            content_type=media_type,
            charset="utf-8" if media_type.startswith("text/") else None,
            headers=answer.headers,
        )

    def _is_still_allowed(self, route: Route, ask: Ask[Any, Any]) -> bool:
        """A stream outlives the request that opened it, but not its session."""
        if ask.session is None:
            return True
        cookie = ask.request.cookies.get(self._gate.cookie, "")
        session = self._gate.sessions.find(cookie, is_use=False)
        return session is not None and bool(session.caller.roles & route.access.roles)

    def _told(
        self, request: web.Request, asked: Asked, error: Exception, *, is_page: bool
    ) -> web.StreamResponse:
        told = problems.problem(error, self._statuses)
        headers = problems.headers_of(error)
        if is_page and self._show_problem is not None:
            response = self._show_problem(request, asked, told)
            response.headers.update(headers)
        else:
            response = problems.answer(told, headers)
        if request.can_read_body and told.status in {401, 403, 408, 413, 415, 421}:
            # What was refused unread is not read now either, only to reuse the connection.
            response.force_close()
        return response


def _read_params(route: Route, request: web.Request) -> Any:
    if route.params is None:
        if request.query:
            raise MalformedError("No query is taken here")
        return None
    hints = hints_of(route.params)
    in_path = set(route.path_names)
    if unknown := sorted(set(request.query) - (hints.keys() - in_path)):
        raise MalformedError(f"The query holds {unknown[0]}, which is not known here"[:300])
    values: dict[str, Any] = {}
    for one in dataclasses.fields(route.params):
        if one.name in in_path:
            given = [request.match_info[one.name]]
        else:
            given = request.query.getall(one.name, [])
        if len(given) > 1:
            raise MalformedError(f"The query holds {one.name} twice")
        if given:
            values[one.name] = _read_param(hints[one.name], given[0], one.name)
        elif one.default is dataclasses.MISSING:
            raise MalformedError(f"The query lacks {one.name}")
    read = route.params(**values)
    within(route.params, read, "parameters")
    return read


def _read_param(hint: Any, text: str, name: str) -> Any:
    inner = unwrapped(hint)
    inner = unwrapped(getattr(inner, "__origin__", inner))
    if inner is str:
        return text
    if inner is int and _INTEGER.fullmatch(text):
        return int(text)
    if inner is bool and text in {"true", "false"}:
        return text == "true"
    if isinstance(inner, type) and issubclass(inner, enum.Enum):
        for member in inner:
            if member.value == text:
                return member
    raise MalformedError(f"The parameter {name} is not of its type"[:300])
