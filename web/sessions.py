"""Who is asking, and what keeps others from asking in their name.

Sessions live in memory: a restart asks everybody to log in again. Their ids, CSRF tokens and login
links are 256 random bits; what is kept is a digest.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from nullbay.domain.clock import Clock
from nullbay.web.problems import TooManyTriesError

SECRET_MAX_CHARACTERS = 512


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `roles` decide what they get; `how` is `bearer`, `session`, `locked` or `link`.

    `person` is an id as signed records hold it, `name` is rendering.
    """

    person: str
    roles: frozenset[str]
    how: str
    name: str = ""
    title: str = ""


class Authenticator(Protocol):
    """Whoever knows bearer tokens: a room's settings or its database."""

    async def bearer(self, digest: bytes) -> Caller | None:
        """Who holds the token with this SHA-256; None for nobody."""
        ...


class FixedTokens:
    """Bearer tokens from settings: SHA-256 in hex, and whose they are."""

    def __init__(self, known: Iterable[tuple[str, Caller]]) -> None:
        self._known = [(bytes.fromhex(digest), caller) for digest, caller in known]

    async def bearer(self, digest: bytes) -> Caller | None:
        """Compares with every known token, in a time that does not depend on which one fits."""
        found = None
        for known, caller in self._known:
            if hmac.compare_digest(known, digest):
                found = caller
        return found


def token_sha256(token: str) -> bytes:
    """What is kept and compared instead of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True, slots=True)
class Session:
    """One browser that has logged in. `csrf` goes with every change; `is_locked` after idling."""

    caller: Caller
    csrf: str
    opened_s: float
    used_s: float
    is_locked: bool


class Sessions:
    """Open sessions, at most `cap`; the one unused for longest makes room.

    After `idle_s` without use a session is locked: its caller keeps only `locked_roles` (a rack
    stays readable, nothing can be started) until somebody logs in again. After `max_age_s` it ends.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        idle_s: float = 300.0,
        max_age_s: float = 12 * 3600.0,
        cap: int = 64,
        locked_roles: frozenset[str] = frozenset(),
    ) -> None:
        self._clock = clock
        self._idle_s = idle_s
        self._max_age_s = max_age_s
        self._cap = cap
        self._locked_roles = locked_roles
        self._open: dict[bytes, Session] = {}

    def open(self, caller: Caller) -> str:
        """A new session for somebody who has just proved who they are; returns the cookie."""
        self._forget_old()
        while len(self._open) >= self._cap:
            del self._open[min(self._open, key=lambda key: self._open[key].used_s)]
        cookie, now = secrets.token_urlsafe(32), self._clock.boottime()
        self._open[token_sha256(cookie)] = Session(
            replace(caller, how="session"), secrets.token_urlsafe(32), now, now, is_locked=False
        )
        return cookie

    def find(self, cookie: str, *, is_use: bool) -> Session | None:
        """The session of a cookie; `is_use` says that a person did something just now."""
        if len(cookie) > SECRET_MAX_CHARACTERS:
            return None
        key, now = token_sha256(cookie), self._clock.boottime()
        session = self._open.get(key)
        if session is None:
            return None
        if now - session.opened_s > self._max_age_s:
            del self._open[key]
            return None
        if not session.is_locked and now - session.used_s > self._idle_s:
            session = self._lock(key)
        elif is_use and not session.is_locked:
            session = self._open[key] = replace(session, used_s=now)
        return session

    def lock(self, cookie: str) -> None:
        """Lock a session at once."""
        key = token_sha256(cookie)
        if key in self._open:
            self._lock(key)

    def end(self, cookie: str) -> None:
        """Log out."""
        self._open.pop(token_sha256(cookie), None)

    def end_all_of(self, person: str) -> None:
        """Log a person out everywhere: dismissed, or the token was changed."""
        for key in [key for key, one in self._open.items() if one.caller.person == person]:
            del self._open[key]

    def __len__(self) -> int:
        """How many are open."""
        return len(self._open)

    def _lock(self, key: bytes) -> Session:
        session = self._open[key]
        caller = replace(
            session.caller, roles=session.caller.roles & self._locked_roles, how="locked"
        )
        self._open[key] = locked = replace(session, caller=caller, is_locked=True)
        return locked

    def _forget_old(self) -> None:
        now = self._clock.boottime()
        for key in [key for key, one in self._open.items() if now - one.opened_s > self._max_age_s]:
            del self._open[key]


class LoginLinks:
    """Links that log somebody in once, within their time; what the demo prints."""

    def __init__(self, clock: Clock, *, cap: int = 16) -> None:
        self._clock = clock
        self._cap = cap
        self._open: dict[bytes, tuple[Caller, float]] = {}

    def make(self, caller: Caller, *, ttl_s: float) -> str:
        """A token for one login within `ttl_s`; the oldest is forgotten where there are many."""
        while len(self._open) >= self._cap:
            del self._open[next(iter(self._open))]
        token = secrets.token_urlsafe(32)
        until = self._clock.boottime() + ttl_s
        self._open[token_sha256(token)] = (replace(caller, how="link"), until)
        return token

    def redeem(self, token: str) -> Caller | None:
        """Whose link this is; it is used up by this. None if it never was, was used, or is old."""
        caller, until = self._open.pop(token_sha256(token), (None, 0.0))
        return caller if self._clock.boottime() <= until else None


class Tries:
    """Slows guessing down: after `free` failures each one costs a doubling wait, up to `max_s`.

    Keys are whatever is guessed at or guessed from (a badge, an address). At most `cap` keys are
    kept; the one that failed longest ago is forgotten first.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        free: int = 4,
        first_s: float = 15.0,
        max_s: float = 900.0,
        cap: int = 1024,
    ) -> None:
        self._clock = clock
        self._free = free
        self._first_s = first_s
        self._max_s = max_s
        self._cap = cap
        self._failed: dict[str, tuple[int, float]] = {}

    def require_allowed(self, *keys: str) -> None:
        """Raises TooManyTriesError while one of the keys has to wait."""
        now = self._clock.boottime()
        left_s = max((self._failed.get(key, (0, 0.0))[1] - now for key in keys), default=0.0)
        if left_s > 0:
            seconds = int(left_s) + 1
            raise TooManyTriesError(
                "Too many failed attempts",
                next_step=f"Try again in {seconds} s",
                headers={"Retry-After": str(seconds)},
            )

    def failed(self, *keys: str) -> None:
        """It was wrong."""
        for key in keys:
            count = self._failed.pop(key, (0, 0.0))[0] + 1
            doublings = min(count - self._free - 1, 30)
            wait_s = min(self._first_s * 2**doublings, self._max_s) if count > self._free else 0.0
            self._failed[key] = (count, self._clock.boottime() + wait_s)
            while len(self._failed) > self._cap:
                del self._failed[next(iter(self._failed))]

    def passed(self, *keys: str) -> None:
        """It was right: start over."""
        for key in keys:
            self._failed.pop(key, None)
