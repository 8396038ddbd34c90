"""The people of the centre: named users, their roles and passwords.

Users stand in the centre's configuration, nowhere else. Roles are a ladder: each may do what the
one before may. Passwords are kept as scrypt (RFC 7914) and compared in constant time; an unknown
name costs the same as a wrong password.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from nullbay.config.server_settings import UserEntry
from nullbay.config.server_settings import UserRole as Role
from nullbay.domain.clock import Clock
from nullbay.domain.errors import MalformedError, NullbayError
from nullbay.web.problems import BusyError
from nullbay.web.sessions import Caller

__all__ = ["LoginRefusedError", "PasswordHash", "People", "Role", "User", "highest", "roles_of"]

PASSWORD_MIN = 12
PASSWORD_MAX_BYTES = 1024
HASHING_AT_ONCE = 2
WAITING_MAX = 32

_SALT_BYTES, _HASH_BYTES = 16, 32
_LOG_N, _R, _P = 15, 8, 1
_MEMORY_MAX_BYTES = 256 * 1024 * 1024


def roles_of(role: Role) -> frozenset[str]:
    """What `web.sessions.Caller.roles` holds for a role: it and every one before it."""
    ladder = list(Role)
    return frozenset(one.value for one in ladder[: ladder.index(role) + 1])


def highest(roles: frozenset[str]) -> Role | None:
    """The highest role among these words; None for none."""
    held = [role for role in Role if role.value in roles]
    return held[-1] if held else None


class LoginRefusedError(NullbayError):
    """Name and password do not fit; which of the two is never said."""

    code = "login.refused"

    def __init__(self) -> None:
        """The one answer to every wrong login."""
        super().__init__(
            "This name and password do not fit",
            next_step="Try again, or ask an administrator for a new password",
        )


@dataclass(frozen=True, slots=True)
class PasswordHash:
    """`scrypt$<log2 N>$<r>$<p>$<salt>$<hash>`, both in base64; bounded, so that no file stalls."""

    log_n: int
    r: int
    p: int
    salt: bytes
    digest: bytes

    @classmethod
    def parse(cls, text: str) -> PasswordHash:
        """The hash that `text` spells. Raises MalformedError without repeating the text."""
        parts = text.split("$") if len(text) <= 256 and text.isascii() else []
        try:
            kind, log_n, r, p, salt, digest = parts
            made = cls(
                int(log_n),
                int(r),
                int(p),
                base64.b64decode(salt, validate=True),
                base64.b64decode(digest, validate=True),
            )
        except (ValueError, binascii.Error):
            raise _bad_hash() from None
        memory = 128 * made.r << made.log_n if 0 <= made.log_n <= 20 else _MEMORY_MAX_BYTES
        fits = (
            kind == "scrypt"
            and 14 <= made.log_n <= 18
            and 1 <= made.r <= 16
            and 1 <= made.p <= 4
            and memory < _MEMORY_MAX_BYTES
            and 16 <= len(made.salt) <= 64
            and len(made.digest) == _HASH_BYTES
        )
        if not fits:
            raise _bad_hash()
        return made

    @classmethod
    def of(cls, password: str, *, salt: bytes | None = None) -> PasswordHash:
        """Hash a new password. Raises MalformedError where it is too short or too long."""
        if len(password) < PASSWORD_MIN or len(password.encode()) > PASSWORD_MAX_BYTES:
            raise MalformedError(
                f"a password has at least {PASSWORD_MIN} characters and at most "
                f"{PASSWORD_MAX_BYTES} bytes"
            )
        fresh = secrets.token_bytes(_SALT_BYTES) if salt is None else salt
        digest = _scrypt(password.encode(), fresh, _LOG_N, _R, _P)
        return cls(_LOG_N, _R, _P, fresh, digest)

    def encode(self) -> str:
        """As it stands in the configuration."""
        salt, digest = (base64.b64encode(one).decode() for one in (self.salt, self.digest))
        return f"scrypt${self.log_n}${self.r}${self.p}${salt}${digest}"

    def fits(self, password: str) -> bool:
        """Whether it is this password, in constant time. Takes tens of milliseconds."""
        raw = password.encode("utf-8", "surrogatepass")
        if len(raw) > PASSWORD_MAX_BYTES:
            return False
        found = _scrypt(raw, self.salt, self.log_n, self.r, self.p)
        return hmac.compare_digest(found, self.digest)


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may log in. Without a password only a one-time link opens the door.

    `token_sha256` is the digest of a bearer token for scripts, `expires` its last day.
    """

    user_id: str
    name: str
    role: Role
    password: PasswordHash | None = None
    token_sha256: str = ""
    expires: date | None = None

    @classmethod
    def of(cls, entry: UserEntry) -> User:
        """A user of the settings. Raises MalformedError for a password hash that is none."""
        return cls(
            entry.user_id,
            entry.name,
            entry.role,
            PasswordHash.parse(entry.password) if entry.password else None,
            entry.token_sha256,
            entry.expires,
        )

    def caller(self, how: str) -> Caller:
        """As whoever asks; `how` as in `web.sessions.Caller`."""
        return Caller(self.user_id, roles_of(self.role), how, self.name)


class People:
    """Who may log in; passwords are checked at bounded cost."""

    def __init__(self, users: Iterable[User], clock: Clock) -> None:
        """Raises MalformedError for two users of one id."""
        self._clock = clock
        self._users: dict[str, User] = {}
        for one in users:
            if one.user_id in self._users:
                raise MalformedError(f"two users are called {one.user_id}")
            self._users[one.user_id] = one
        self._hashing = asyncio.Semaphore(HASHING_AT_ONCE)
        self._waiting = 0

    def all(self) -> tuple[User, ...]:
        """Every user, by id."""
        return tuple(self._users[key] for key in sorted(self._users))

    def find(self, user_id: str) -> User | None:
        """The user of that id."""
        return self._users.get(user_id)

    async def authenticate(self, user_id: str, password: str) -> User:
        """The user, if the password fits. Raises LoginRefusedError, BusyError.

        How often somebody may guess is the caller's to bound (`web.sessions.Tries`).
        """
        found = self._users.get(user_id)
        stored = found.password if found is not None and found.password is not None else _DUMMY
        if self._waiting >= WAITING_MAX:
            raise BusyError("Too many people log in at once", next_step="Try again in a minute")
        self._waiting += 1
        try:
            async with self._hashing:
                fits = await asyncio.to_thread(stored.fits, password)
        finally:
            self._waiting -= 1
        if found is None or found.password is None or not fits:
            raise LoginRefusedError
        return found

    async def bearer(self, digest: bytes) -> Caller | None:
        """Whose token has this SHA-256, today; compares with every one, whichever fits."""
        today = self._clock.now().at[:10]
        found = None
        for one in self._users.values():
            fits = hmac.compare_digest(one.token_sha256 or "-", digest.hex())
            if fits and (one.expires is None or today <= one.expires.isoformat()):
                found = one.caller("bearer")
        return found


def _bad_hash() -> MalformedError:
    return MalformedError(
        "not a password hash of the form scrypt$15$8$1$<salt>$<hash>",
        next_step="Make one with `nullbay config password`",
    )


def _scrypt(password: bytes, salt: bytes, log_n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(
        password,
        salt=salt,
        n=1 << log_n,
        r=r,
        p=p,
        maxmem=_MEMORY_MAX_BYTES + (1 << 20),
        dklen=_HASH_BYTES,
    )


# Nobody's: what an unknown name is compared with, so that it takes as long.
_DUMMY = PasswordHash(_LOG_N, _R, _P, bytes(_SALT_BYTES), bytes(_HASH_BYTES))
