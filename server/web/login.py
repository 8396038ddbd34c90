"""Logging in: by name and password, or by a link that opens once. And out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from aiohttp import web

from nullbay.domain.errors import NullbayError
from nullbay.server.people import LoginRefusedError, User
from nullbay.server.web.site import Site
from nullbay.web.bodies import FormBody
from nullbay.web.pages import html, own_path, see_other
from nullbay.web.problems import TooManyTriesError
from nullbay.web.routes import Ask, PageAnswer, Route
from nullbay.web.security import ANYONE
from nullbay.web.sessions import Tries
from nullbay.web.shapes import Text

LINK_TTL_S = 900.0
# Behind a proxy everybody comes from one address: a guesser there must not lock out the others.
ADDRESS_FREE = 60
FORM_MAX_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class LoginQuery:
    """Where to go afterwards."""

    next: Annotated[str, Text(2048)] = "/"


@dataclass(frozen=True, slots=True)
class LoginForm:
    """Who, and how that is proved."""

    user: Annotated[str, Text(64)]
    password: Annotated[str, Text(1024)]
    next: Annotated[str, Text(2048)] = "/"


@dataclass(frozen=True, slots=True)
class LinkQuery:
    """The secret of a login link."""

    secret: Annotated[str, Text(256)]


@dataclass(frozen=True, slots=True)
class LinkForm:
    """The same, sent by the button."""

    secret: Annotated[str, Text(256)]


class LinkUsedError(NullbayError):
    """A login link that is unknown, used, or too old."""

    code = "login.link"

    def __init__(self) -> None:
        """The one answer to every link that does not open."""
        super().__init__(
            "This login link was used or is too old",
            next_step="Log in with name and password, or ask for a new link",
        )


STATUSES = {LoginRefusedError.code: 401, LinkUsedError.code: 401}


def link_path(site: Site, user: User, *, ttl_s: float = LINK_TTL_S) -> str:
    """The path of a new link that logs this user in once; the demonstration prints it."""
    return "/login/link?secret=" + site.gate.links.make(user.caller("session"), ttl_s=ttl_s)


def routes(site: Site) -> tuple[Route, ...]:
    """Login, link, logout."""
    by_address = Tries(site.gate.clock, free=ADDRESS_FREE, first_s=5.0, max_s=300.0)

    def form(user: str, next_path: str, error: NullbayError | None) -> str:
        return site.pages.show(
            "login.html",
            title="Log in",
            frame=None,
            organization=site.organization,
            user=user,
            next=next_path,
            error=error,
            warnings=site.warnings,
        )

    async def show_login(ask: Ask[LoginQuery, None]) -> web.Response:
        return html(form("", own_path(ask.params.next), None))

    async def log_in(ask: Ask[None, LoginForm]) -> web.Response:
        given, next_path = ask.body, own_path(ask.body.next)
        name, address = f"user {given.user}", str(ask.request.remote)
        try:
            site.gate.tries.require_allowed(name)
            by_address.require_allowed(address)
            user = await site.people.authenticate(given.user, given.password)
        except TooManyTriesError as error:
            response = html(form(given.user, next_path, error), 429)
            response.headers.update(error.headers)
            return response
        except LoginRefusedError as error:
            site.gate.tries.failed(name)
            by_address.failed(address)
            return html(form(given.user, next_path, error), 401)
        site.gate.tries.passed(name)
        response = see_other(next_path)
        site.gate.sign_in(ask.request, response, user.caller("session"))
        return response

    async def show_link(ask: Ask[LinkQuery, None]) -> web.Response:
        # Looking does not use it up: mail readers and chats fetch every link they see.
        return html(
            site.pages.show(
                "link.html",
                title="Log in",
                frame=None,
                organization=site.organization,
                secret=ask.params.secret,
            )
        )

    async def follow_link(ask: Ask[None, LinkForm]) -> web.Response:
        caller = site.gate.links.redeem(ask.body.secret)
        if caller is None:
            raise LinkUsedError
        response = see_other("/")
        site.gate.sign_in(ask.request, response, caller)
        return response

    async def log_out(ask: Ask[None, None]) -> web.Response:
        response = see_other("/login")
        site.gate.sign_out(ask.request, response)
        return response

    page = PageAnswer()
    return (
        Route("GET", "/login", "Log in", ANYONE, show_login, page, params=LoginQuery),
        Route(
            "POST",
            "/login",
            "Log in with name and password",
            ANYONE,
            log_in,
            page,
            body=FormBody(LoginForm, FORM_MAX_BYTES),
        ),
        Route("GET", "/login/link", "A link that opens once", ANYONE, show_link, page, LinkQuery),
        Route(
            "POST",
            "/login/link",
            "Log in by a link",
            ANYONE,
            follow_link,
            page,
            body=FormBody(LinkForm, FORM_MAX_BYTES),
        ),
        Route("POST", "/logout", "Log out", ANYONE, log_out, page),
    )
