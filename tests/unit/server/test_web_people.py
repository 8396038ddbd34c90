"""Users, roles and passwords: who gets in."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from datetime import date

import pytest

from nullbay.config.server_settings import UserEntry
from nullbay.domain.errors import MalformedError
from nullbay.server.people import (
    LoginRefusedError,
    PasswordHash,
    People,
    Role,
    User,
    highest,
    roles_of,
)
from support.web import HandClock

PASSWORD = "correct horse battery"
TOKEN, OLD_TOKEN = (hashlib.sha256(one).digest() for one in (b"token", b"old token"))
HASHED = PasswordHash.of(PASSWORD, salt=bytes(16))


def people() -> People:
    return People(
        (
            User("ada", "Ada", Role.ADMINISTRATOR, HASHED),
            User("link-only", "By link", Role.VIEWER),
            User("script", "Script", Role.AUDITOR, None, TOKEN.hex(), date(2999, 1, 1)),
            User("old", "Old script", Role.AUDITOR, None, OLD_TOKEN.hex(), date(2001, 1, 1)),
        ),
        HandClock(),
    )


def test_each_role_may_what_the_one_before_may() -> None:
    ladder = list(Role)
    for number, role in enumerate(ladder):
        assert roles_of(role) == {one.value for one in ladder[: number + 1]}
        assert highest(roles_of(role)) is role
    assert highest(frozenset({"station"})) is None


def test_the_right_password_gets_in() -> None:
    assert asyncio.run(people().authenticate("ada", PASSWORD)).role is Role.ADMINISTRATOR


@pytest.mark.parametrize(
    ("who", "password"),
    [
        ("ada", PASSWORD + " "),
        ("ada", ""),
        ("ada", "x" * 2000),
        ("ada", "\ud800"),
        ("nobody", PASSWORD),
        ("link-only", ""),
        ("link-only", PASSWORD),
    ],
)
def test_everybody_else_gets_the_same_refusal(who: str, password: str) -> None:
    with pytest.raises(LoginRefusedError) as refused:
        asyncio.run(people().authenticate(who, password))
    assert str(refused.value) == str(LoginRefusedError())


def test_a_hash_is_scrypt_as_others_compute_it() -> None:
    kind, log_n, r, p, _, digest = HASHED.encode().split("$")
    assert (kind, log_n, r, p) == ("scrypt", "15", "8", "1")
    theirs = hashlib.scrypt(
        PASSWORD.encode(), salt=bytes(16), n=2**15, r=8, p=1, maxmem=2**26, dklen=32
    )
    assert PasswordHash.parse(HASHED.encode()).digest == theirs
    assert len(digest) == 44


def test_a_fresh_salt_each_time() -> None:
    assert PasswordHash.of(PASSWORD) != PasswordHash.of(PASSWORD)


@pytest.mark.parametrize("password", ["short", "x" * 11, "x" * 1025])
def test_a_new_password_has_bounds(password: str) -> None:
    with pytest.raises(MalformedError):
        PasswordHash.of(password)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("scrypt", "plain"),
        lambda text: text.replace("$15$", "$30$"),
        lambda text: text.replace("$15$", "$2$"),
        lambda text: text.replace("$15$", "$-1$"),
        lambda text: text.replace("$8$", "$9999$"),
        lambda text: text.replace("$1$", "$0$"),
        lambda text: text[:-8],
        lambda text: text + "$",
        lambda _: "",
        lambda _: "hunter2",
        lambda _: "$" * 300,
        lambda _: "é",
    ],
)
def test_a_hash_that_is_none_or_would_stall_is_refused(change: object) -> None:
    assert callable(change)
    text = change(HASHED.encode())
    with pytest.raises(MalformedError) as refused:
        PasswordHash.parse(text)
    assert not text or text not in str(refused.value)


def test_users_come_from_the_settings() -> None:
    entry = UserEntry("bob", "Bob Müller", Role.AUDITOR, HASHED.encode(), "", None)
    made = User.of(entry)
    assert (made.user_id, made.role, made.password) == ("bob", Role.AUDITOR, HASHED)
    assert User.of(replace(entry, password="")).password is None
    with pytest.raises(MalformedError):
        User.of(replace(entry, password="hunter2"))


def test_two_of_one_id_are_refused() -> None:
    one = User("ada", "Ada", Role.VIEWER)
    with pytest.raises(MalformedError, match="ada"):
        People((one, one), HandClock())


def test_a_token_is_its_owners_until_its_last_day() -> None:
    caller = asyncio.run(people().bearer(TOKEN))
    assert caller is not None
    assert (caller.person, caller.roles) == ("script", roles_of(Role.AUDITOR))
    assert asyncio.run(people().bearer(OLD_TOKEN)) is None
    assert asyncio.run(people().bearer(bytes(32))) is None
    assert asyncio.run(people().bearer(b"")) is None
