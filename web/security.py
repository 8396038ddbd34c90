"""What every request meets before a handler does: host, origin, who asks, whether they may.

Order: Host (421), who asks (401), whether they may (403), for changes Origin and CSRF (403). Every
answer leaves with the same strict headers.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from types import MappingProxyType

from aiohttp import web

from nullbay.domain.clock import Clock
from nullbay.web.problems import (
    CsrfError,
    ForbiddenError,
    ForeignOriginError,
    UnauthenticatedError,
    WrongHostError,
)
from nullbay.web.sessions import (
    SECRET_MAX_CHARACTERS,
    Authenticator,
    Caller,
    LoginLinks,
    Session,
    Sessions,
    Tries,
    token_sha256,
)

CSRF_HEADER = "X-CSRF-Token"
SAFE_METHODS = frozenset({"GET", "HEAD"})
WRONG_TOKEN_COSTS_S = 0.5
WRONG_TOKENS_AT_ONCE_MAX = 64

HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "Content-Security-Policy": (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
            "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
            "frame-ancestors 'none'"
        ),
        "X-Content-Type-Options": "nosniff",
        # Not no-referrer: with it browsers send `Origin: null` for our own forms.
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        "Cache-Control": "no-store",
        "Server": "nullbay",
    }
)
"""On every answer; what an answer sets itself stays. No HSTS: a station is often reached by its
address with its own certificate, and a browser that insists could never be let in again."""


@dataclass(frozen=True, slots=True)
class Access:
    """Who may use a route: anybody, or whoever has one of the roles."""

    roles: frozenset[str] = frozenset()
    is_anonymous: bool = False


ANYONE = Access(is_anonymous=True)


def only(*roles: str) -> Access:
    """Access for callers with at least one of these roles."""
    return Access(frozenset(roles))


NOBODY = Caller("", frozenset(), "anonymous")


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks, and their session if it is one."""

    caller: Caller
    session: Session | None = None


@dataclass(slots=True)
class Gate:
    """One door for all requests of a room.

    `hosts`: names (no ports) by which it is known, besides the address a connection came in by.
    `origins`: origins of its pages besides its own (`https://…` of a proxy in front of it). For
    logging in, `tries` is keyed by who is claimed, `address_tries` by where it comes from.
    """

    clock: Clock
    authenticator: Authenticator
    sessions: Sessions
    hosts: frozenset[str]
    origins: frozenset[str] = frozenset()
    cookie: str = "nullbay_session"
    links: LoginLinks = field(init=False)
    tries: Tries = field(init=False)
    address_tries: Tries = field(init=False)
    _sleeping: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        """Links and slowed-down guessing on the same clock."""
        self.links = LoginLinks(self.clock)
        self.tries = Tries(self.clock)
        # Many people log in from one bench, or from behind one proxy: more is free by address.
        self.address_tries = Tries(self.clock, free=30, first_s=5.0, max_s=60.0)

    def require_host(self, request: web.Request) -> None:
        """Raises WrongHostError unless the Host header names us: a page elsewhere may not rebind.

        The address that the connection came in by counts as a name: nobody else can own it.
        """
        name = host_name(request.headers.get("Host", ""))
        if name and (name in self.hosts or _is_same_address(name, _local_address(request))):
            return
        raise WrongHostError(
            "The Host header names somebody else",
            next_step="Use an address of this machine, or add the name to the settings",
        )

    async def who(self, request: web.Request, *, is_use: bool) -> Asked:
        """Who asks; NOBODY without credentials. `is_use` keeps a session from idling.

        Raises UnauthenticatedError for a bearer token nobody holds: a wrong one is never ignored.
        """
        if (given := request.headers.get("Authorization")) is not None:
            return Asked(await self._bearer(given))
        cookie = request.cookies.get(self.cookie)
        session = self.sessions.find(cookie, is_use=is_use) if cookie else None
        return Asked(session.caller, session) if session else Asked(NOBODY)

    def require_access(self, asked: Asked, access: Access) -> None:
        """Raises UnauthenticatedError or ForbiddenError."""
        if access.is_anonymous or asked.caller.roles & access.roles:
            return
        if asked.session is not None and asked.session.is_locked:
            raise ForbiddenError("The screen is locked", next_step="Log in again")
        if asked.caller.how == NOBODY.how:
            raise _unauthenticated("Nobody is logged in")
        raise ForbiddenError("That is not among what you may do")

    def require_own_page(
        self, request: web.Request, asked: Asked, access: Access, *, is_page: bool
    ) -> None:
        """For a change: a foreign Origin is refused from anybody; a cookie needs our own, and CSRF.

        `is_page`: a form of ours, where the browser sends an Origin even before anybody logged in.
        What anybody may do (log in over a locked screen) needs no token: it uses no login.
        """
        if request.method in SAFE_METHODS:
            return
        origin = request.headers.get("Origin")
        if origin is None and (asked.session is not None or is_page):
            raise ForeignOriginError("A change needs an Origin", next_step="Use the console")
        if origin is not None and origin not in {self._own_origin(request), *self.origins}:
            raise ForeignOriginError("A page of another origin asked for this")
        if asked.session is not None and not access.is_anonymous:
            sent = request.headers.get(CSRF_HEADER, "")
            if not hmac.compare_digest(token_sha256(sent), token_sha256(asked.session.csrf)):
                raise CsrfError("The page is older than the login", next_step="Load it again")

    def sign_in(self, request: web.Request, response: web.StreamResponse, caller: Caller) -> None:
        """Open a session and put its cookie on the response; a session before it ends."""
        if old := request.cookies.get(self.cookie):
            self.sessions.end(old)
        response.set_cookie(
            self.cookie,
            self.sessions.open(caller),
            path="/",
            httponly=True,
            samesite="Strict",
            secure=request.secure,
        )

    def sign_out(self, request: web.Request, response: web.StreamResponse) -> None:
        """End the session of this browser."""
        if cookie := request.cookies.get(self.cookie):
            self.sessions.end(cookie)
        response.del_cookie(
            self.cookie, path="/", httponly=True, samesite="Strict", secure=request.secure
        )

    async def _bearer(self, given: str) -> Caller:
        scheme, _, token = given.partition(" ")
        if scheme.lower() != "bearer" or not 0 < len(token) <= SECRET_MAX_CHARACTERS:
            raise _unauthenticated("Only bearer tokens are taken")
        caller = await self.authenticator.bearer(token_sha256(token))
        if caller is not None:
            return caller
        # A wrong token costs time, but never blocks the right one that comes from the same address.
        if self._sleeping < WRONG_TOKENS_AT_ONCE_MAX:
            self._sleeping += 1
            try:
                await self.clock.sleep(WRONG_TOKEN_COSTS_S)
            finally:
                self._sleeping -= 1
        raise _unauthenticated("Nobody holds this token")

    def _own_origin(self, request: web.Request) -> str:
        # The Host was checked before; the scheme is the connection's own.
        return f"{'https' if request.secure else 'http'}://{request.headers.get('Host', '')}"


def host_name(header: str) -> str:
    """The name in a Host header, lower-case, without port; empty for nonsense."""
    text = header.strip().lower()
    if text.startswith("["):
        name, bracket, port = text.partition("]")
        name += bracket
        port = port.removeprefix(":") if port else "0"
    else:
        name, colon, port = text.partition(":")
        port = port if colon else "0"
    return name if port.isascii() and port.isdigit() else ""


def set_headers(response: web.StreamResponse) -> None:
    """The strict headers, where the answer does not say otherwise."""
    for name, value in HEADERS.items():
        if name == "Server":
            response.headers[name] = value
        else:
            response.headers.setdefault(name, value)


def _unauthenticated(message: str) -> UnauthenticatedError:
    return UnauthenticatedError(
        message,
        next_step="Log in, or send a bearer token",
        headers={"WWW-Authenticate": 'Bearer realm="nullbay"'},
    )


def _local_address(request: web.Request) -> str:
    name = request.transport.get_extra_info("sockname") if request.transport else None
    return str(name[0]) if isinstance(name, tuple) and name else ""


def _is_same_address(name: str, local: str) -> bool:
    try:
        return ip_address(name.strip("[]")) == ip_address(local.partition("%")[0])
    except ValueError:
        return False
