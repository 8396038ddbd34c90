"""Who may come in: the seam to the station's people, and what their acts open here.

A caller's roles in this room are acts (`config.roles.Act`): look, scan, lots, approve, concur,
abort; and `status`, which the centre's read-only token has.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Protocol

from nullbay.agent.intake import people as intake
from nullbay.agent.intake.refusal import Refusal
from nullbay.config.roles import Act
from nullbay.config.settings import Operator
from nullbay.domain.errors import NullbayError
from nullbay.domain.lot import Person
from nullbay.web.problems import BusyError, ForbiddenError
from nullbay.web.routes import Ask
from nullbay.web.security import Access, only
from nullbay.web.sessions import Caller, FixedTokens

HASHING_AT_ONCE = 2
ENTERING_MAX = 16
STATUS = "status"
STATUS_CALLER = Caller("", frozenset({STATUS}), "bearer", name="status token")
LOCKED_ROLES = frozenset({Act.LOOK.value})
"""What a locked screen still shows: the rack, so that it can be read from two metres."""


@dataclass(frozen=True, slots=True)
class Entrant:
    """A person who may come in now: how records name them, how pages do, what they may do."""

    person: Person
    name: str
    acts: frozenset[Act]


class People(Protocol):
    """The people of the station."""

    async def enter(self, badge: str, pin: str) -> Entrant:
        """Who holds this badge, if the PIN is theirs.

        Raises NullbayError with a code that says why not.
        """
        ...

    async def bearer(self, digest: bytes) -> Entrant | None:
        """Whose bearer token has this SHA-256; never a badge that needs a PIN."""
        ...

    def now(self, person_id: str) -> Entrant | None:
        """The same person as of now; None for one who is not known, or not qualified, any more."""
        ...


class PersonRefusedError(NullbayError):
    """Somebody could not come in; the code is the intake's own (`person.…`)."""

    code = "person.refused"


class IntakePeople:
    """The people of the configuration (`agent.intake.people`) behind this seam."""

    def __init__(self, people: intake.People) -> None:
        self._people = people
        self._hashing = asyncio.Semaphore(HASHING_AT_ONCE)
        self._entering = 0

    async def enter(self, badge: str, pin: str) -> Entrant:
        """Badge and PIN. Raises PersonRefusedError, and BusyError where too many try at once.

        Strangers ask this too: what they can have computed is bounded, and so are its threads.
        """
        if self._entering >= ENTERING_MAX:
            raise BusyError("Too many people log in at once", next_step="Try again in a minute")
        self._entering += 1
        try:
            async with self._hashing:
                # A tenth of a second of scrypt: the loop has other work.
                found = await asyncio.to_thread(self._people.login, badge, pin)
        finally:
            self._entering -= 1
        if isinstance(found, Refusal):
            raise PersonRefusedError(found.text, next_step=found.next_step, code=found.code)
        return self._entrant(found)

    async def bearer(self, digest: bytes) -> Entrant | None:
        """Whose bearer token has this SHA-256."""
        found = self._people.by_digest(digest)
        return None if isinstance(found, Refusal) else self._entrant(found)

    def now(self, person_id: str) -> Entrant | None:
        """As the configuration and the calendar have it now."""
        found = self._people.person(person_id)
        entrant = self._entrant(found) if found else None
        return entrant if entrant and entrant.acts else None

    def _entrant(self, operator: Operator) -> Entrant:
        acts = {
            act
            for act in Act
            if not isinstance(self._people.allowed(operator.operator_id, act), Refusal)
        }
        return Entrant(operator.person(), operator.name, frozenset(acts))


def caller_of(entrant: Entrant, how: str) -> Caller:
    """A person as `nullbay.web` knows callers."""
    roles = frozenset(act.value for act in entrant.acts)
    person = entrant.person
    return Caller(person.person_id, roles, how, name=entrant.name, title=person.title)


def may(*acts: Act) -> Access:
    """Access for people who may do one of these."""
    return only(*(act.value for act in acts))


LOOK = may(Act.LOOK)
STATUS_OR_LOOK = only(STATUS, Act.LOOK.value)


class StationAuthenticator:
    """Bearer tokens: the centre's read-only one, and those of people."""

    def __init__(self, people: People, status_token_sha256: str | None) -> None:
        self._people = people
        known = [(status_token_sha256, STATUS_CALLER)] if status_token_sha256 else []
        self._status = FixedTokens(known)

    async def bearer(self, digest: bytes) -> Caller | None:
        """Who holds the token with this SHA-256."""
        status = await self._status.bearer(digest)
        entrant = await self._people.bearer(digest)
        if status is not None:
            return status
        return caller_of(entrant, "bearer") if entrant else None


def person_of(ask: Ask[Any, Any], people: People, *acts: Act) -> Person:
    """Who asks, as records name them, if they may still do one of the acts.

    Raises ForbiddenError: a session may be older than somebody's dismissal.
    """
    entrant = people.now(ask.caller.person)
    if entrant is None or not entrant.acts & set(acts):
        raise ForbiddenError("That is not among what you may do", next_step="Log in again")
    return entrant.person
