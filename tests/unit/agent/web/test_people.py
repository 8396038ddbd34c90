"""The people of the configuration behind the console's seam."""

from __future__ import annotations

from datetime import date

import pytest

from nullbay.agent.intake.people import People as Intake
from nullbay.agent.web.people import IntakePeople, PersonRefusedError, StationAuthenticator
from nullbay.config.person_pin import scrypt_text
from nullbay.config.roles import Act, Role
from nullbay.config.settings import Operator
from nullbay.web.sessions import token_sha256
from support.web import HandClock, run


def operator(name: str, role: Role = Role.OPERATOR, **more: object) -> Operator:
    token = token_sha256(f"token-{name}").hex()
    return Operator(name, name.capitalize(), "", role, token, **more)  # type: ignore[arg-type]


PIN = scrypt_text("1234", bytes(16))
ADA = operator("ada", pin_scrypt=PIN)
SCRIPT = operator("script", Role.CUSTODIAN)
PAST = operator("past", pin_scrypt=PIN, qualified_until=date(2020, 1, 1))


def people() -> IntakePeople:
    return IntakePeople(Intake((ADA, SCRIPT, PAST), HandClock()))


def test_badge_and_pin_let_somebody_in_with_what_the_role_may() -> None:
    entrant = run(lambda: people().enter("token-ada", "1234"))
    assert entrant.person.person_id == "ada"
    assert entrant.person.role == "operator"
    assert entrant.name == "Ada"
    assert {Act.APPROVE, Act.SCAN, Act.ABORT} <= entrant.acts
    assert Act.VERIFY not in entrant.acts


@pytest.mark.parametrize(
    ("badge", "pin", "code"),
    [
        ("token-ada", "0000", "person.wrong-pin"),
        ("token-nobody", "1234", "person.unknown-badge"),
        ("token-script", "", "person.no-pin"),
        ("token-past", "1234", "person.qualification-ended"),
    ],
)
def test_others_are_told_why_not(badge: str, pin: str, code: str) -> None:
    with pytest.raises(PersonRefusedError) as caught:
        run(lambda: people().enter(badge, pin))
    assert caught.value.code == code


def test_a_badge_that_needs_a_pin_is_no_bearer_token() -> None:
    async def main() -> list[str | None]:
        door = StationAuthenticator(people(), token_sha256("status").hex())
        found = [await door.bearer(token_sha256(f"token-{n}")) for n in ("ada", "script", "x")]
        found.append(await door.bearer(token_sha256("status")))
        return [one.person if one else None for one in found]

    assert run(main) == [None, "script", None, ""]


def test_who_is_not_qualified_any_more_may_nothing() -> None:
    now = people().now("past")
    assert now is None or not now.acts & {Act.APPROVE, Act.SCAN}
    assert people().now("nobody") is None
    script = people().now("script")
    assert script is not None
    assert Act.APPROVE not in script.acts
