"""What went wrong, as RFC 9457 problem details: a stable code, plain words, what to do next.

No stack trace, no exception text of a library leaves the process: whatever is no NullbayError is
logged and told as `internal`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType

import structlog
from aiohttp import web

from nullbay.domain.canonical import canonical_json
from nullbay.domain.codec import to_plain
from nullbay.domain.errors import MalformedError, NullbayError, TooLargeError
from nullbay.domain.text import show

MEDIA_TYPE = "application/problem+json"
URN = "urn:nullbay:problem:"
DETAIL_MAX = 600

log = structlog.get_logger("nullbay.web")


class HttpError(NullbayError):
    """Refused by the HTTP layer itself; `status` is the answer's, `headers` go with it."""

    code = "http.error"
    status = 400

    def __init__(
        self, message: str, *, next_step: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        """Say what happened, what to do next, and which headers the answer carries."""
        super().__init__(message, next_step=next_step)
        self.headers = dict(headers or {})


class UnauthenticatedError(HttpError):
    """Nobody is known to be asking."""

    code = "http.unauthenticated"
    status = 401


class ForbiddenError(HttpError):
    """Whoever asks may not have this."""

    code = "http.forbidden"
    status = 403


class ForeignOriginError(ForbiddenError):
    """A page of another origin asked for a change."""

    code = "http.foreign-origin"


class CsrfError(ForbiddenError):
    """A change was asked for with a cookie and without the token that goes with it."""

    code = "http.csrf"


class WrongHostError(HttpError):
    """The Host header names nobody who lives here."""

    code = "http.wrong-host"
    status = 421


class NotFoundError(HttpError):
    """No such address."""

    code = "http.not-found"
    status = 404


class MethodError(HttpError):
    """The address exists, not for this method."""

    code = "http.method"
    status = 405


class MediaTypeError(HttpError):
    """The body is of a type that is not taken here."""

    code = "http.media-type"
    status = 415


class TooManyTriesError(HttpError):
    """Too many failed attempts; the next one is looked at later."""

    code = "http.too-many-tries"
    status = 429


class SlowBodyError(HttpError):
    """The body did not arrive in time."""

    code = "http.timeout"
    status = 408


class BusyError(HttpError):
    """No room for this now."""

    code = "http.busy"
    status = 503


STATUSES: Mapping[str, int] = MappingProxyType(
    {
        MalformedError.code: 400,
        "input.unknown-schema": 400,
        TooLargeError.code: 413,
        "internal": 500,
    }
    | {
        kind.code: kind.status
        for kind in (
            HttpError,
            UnauthenticatedError,
            ForbiddenError,
            ForeignOriginError,
            CsrfError,
            WrongHostError,
            NotFoundError,
            MethodError,
            MediaTypeError,
            TooManyTriesError,
            SlowBodyError,
            BusyError,
        )
    }
)
"""Which HTTP status a code of this room has; a room on top adds its own."""


@dataclass(frozen=True, slots=True)
class Problem:
    """RFC 9457, with the code, and what to do next in words for a person."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    next_step: str


def problem(error: Exception, statuses: Mapping[str, int]) -> Problem:
    """The problem to tell. `statuses` maps codes to HTTP statuses; an unknown code is a 500."""
    if isinstance(error, web.HTTPException):
        error = _of_aiohttp(error)
    if not isinstance(error, NullbayError):
        log.error("request failed", code="internal", exc_info=error)
        return _made(500, "internal", "This is a fault of nullbay itself", "See its log")
    status = error.status if isinstance(error, HttpError) else _status(error, statuses)
    if status >= 500:
        expected = isinstance(error, HttpError) or status == 503
        log.error("request failed", code=error.code, exc_info=None if expected else error)
    return _made(status, error.code, str(error), error.next_step)


def answer(told: Problem, headers: Mapping[str, str] | None = None) -> web.Response:
    """The problem as a response."""
    body = canonical_json(to_plain(told))
    return web.Response(status=told.status, body=body, content_type=MEDIA_TYPE, headers=headers)


def headers_of(error: Exception) -> dict[str, str]:
    """Headers that the answer to this error must carry (Allow, Retry-After, WWW-Authenticate)."""
    if isinstance(error, HttpError):
        return error.headers
    if isinstance(error, web.HTTPMethodNotAllowed):
        return {"Allow": ",".join(sorted(error.allowed_methods))}
    return {}


def _status(error: NullbayError, statuses: Mapping[str, int]) -> int:
    """By the error's own code, else by that of the nearest kind of error it is."""
    kinds = [kind for kind in type(error).__mro__ if issubclass(kind, NullbayError)]
    codes = [error.code, *(kind.code for kind in kinds)]
    return next((statuses[code] for code in codes if code in statuses), 500)


def _of_aiohttp(error: web.HTTPException) -> NullbayError:
    match error.status:
        case 404:
            return NotFoundError("No such address")
        case 405:
            return MethodError("Not with this method")
        case 413:
            return TooLargeError("More was sent than is read here")
        case status if 400 <= status < 500:
            return HttpError(f"Not a request that is understood here ({status})")
        case status:
            return NullbayError(f"The server answered {status}", code="internal")


def _made(status: int, code: str, detail: str, next_step: str) -> Problem:
    return Problem(
        type=URN + code,
        title=HTTPStatus(status).phrase,
        status=status,
        code=code,
        detail=show(detail, DETAIL_MAX),
        next_step=show(next_step, DETAIL_MAX),
    )
