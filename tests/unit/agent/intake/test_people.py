from __future__ import annotations

import hashlib
from collections.abc import Coroutine
from datetime import date
from typing import Any

import pytest

from nullbay.agent.intake.people import (
    LOCKED_S,
    TRIES_MAX,
    People,
    enough_approvals,
    is_idle,
    two_person,
)
from nullbay.agent.intake.refusal import Refusal
from nullbay.config.person_pin import scrypt_text
from nullbay.config.roles import Act
from nullbay.config.settings import Operator, Role, Settings
from nullbay.domain.clock import Clock
from nullbay.domain.lot import Person
from nullbay.lab.clock import run

PIN = scrypt_text("4711", bytes(16))


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


ADA = Operator("ada", "Ada", "", Role.OPERATOR, digest("badge-ada"), PIN)
BOB = Operator("bob", "Bob", "", Role.VALIDATOR, digest("badge-bob"), PIN, date(2026, 1, 5))
CAT = Operator("cat", "Cat", "", Role.CUSTODIAN, digest("badge-cat"))
OLD = Operator("old", "Old", "", Role.OPERATOR, digest("badge-old"), PIN, date(2026, 1, 4))
SCRIPT = Operator("script", "Script", "", Role.OPERATOR, digest("bearer"))
NOBODY = Operator("nobody", "Without a badge")
CON = Operator("con", "Con", "", Role.CONCURRENCE)
EVERYBODY = (ADA, BOB, CAT, OLD, SCRIPT, NOBODY)


def at_the_bench(what: Any) -> None:
    """Run `what(people, clock)` on a Monday, 2026-01-05, in virtual time."""

    async def there(clock: Clock) -> None:
        made = what(People(EVERYBODY, clock), clock)
        if isinstance(made, Coroutine):
            await made

    run(there)


def code(answer: Operator | Refusal) -> str:
    assert isinstance(answer, Refusal), answer
    assert answer.told().isprintable()
    return answer.code


def test_badge_and_pin_make_a_person() -> None:
    def there(people: People, _clock: Clock) -> None:
        assert people.login("badge-ada", "4711") == ADA
        assert people.identify_badge("badge-ada") == ADA
        assert people.unlock("ada", "4711") == ADA

    at_the_bench(there)


@pytest.mark.parametrize("token", ["", "badge-eve", "badge-ada\n", "x" * 100_000, "\ud800"])
def test_an_unknown_badge_is_nobody_s(token: str) -> None:
    def there(people: People, _clock: Clock) -> None:
        assert code(people.identify_badge(token)) == "person.unknown-badge"
        assert code(people.login(token, "4711")) == "person.unknown-badge"
        assert code(people.by_bearer(token)) == "person.unknown-badge"

    at_the_bench(there)


def test_a_badge_that_has_a_pin_is_no_bearer_token_and_one_without_cannot_log_in() -> None:
    def there(people: People, _clock: Clock) -> None:
        assert code(people.by_bearer("badge-ada")) == "person.pin-needed"
        assert people.by_bearer("bearer") == SCRIPT
        assert people.by_digest(hashlib.sha256(b"bearer").digest()) == SCRIPT
        assert code(people.login("bearer", "")) == "person.no-pin"

    at_the_bench(there)


def test_five_wrong_pins_lock_that_person_for_a_while_and_nobody_else() -> None:
    async def there(people: People, clock: Clock) -> None:
        told = [code(people.login("badge-ada", f"000{one}")) for one in range(TRIES_MAX)]
        assert told == ["person.wrong-pin"] * (TRIES_MAX - 1) + ["person.locked"]
        assert code(people.login("badge-ada", "4711")) == "person.locked"
        assert code(people.unlock("ada", "4711")) == "person.locked"
        assert people.locked_for_s("ada") == LOCKED_S
        assert people.login("badge-bob", "4711") == BOB
        await clock.sleep(LOCKED_S - 1)
        assert code(people.login("badge-ada", "4711")) == "person.locked"
        await clock.sleep(1)
        assert people.locked_for_s("ada") == 0
        assert code(people.login("badge-ada", "0000")) == "person.wrong-pin"
        assert people.login("badge-ada", "4711") == ADA

    at_the_bench(there)


def test_a_right_pin_forgets_the_wrong_ones() -> None:
    def there(people: People, _clock: Clock) -> None:
        for _ in range(2):
            for _ in range(TRIES_MAX - 1):
                assert code(people.login("badge-ada", "0000")) == "person.wrong-pin"
            assert people.login("badge-ada", "4711") == ADA

    at_the_bench(there)


def test_a_qualification_holds_through_its_last_day() -> None:
    async def there(people: People, clock: Clock) -> None:
        assert people.login("badge-bob", "4711") == BOB
        assert code(people.login("badge-old", "4711")) == "person.qualification-ended"
        assert code(people.identify_badge("badge-old")) == "person.qualification-ended"
        assert code(people.allowed("old", Act.APPROVE)) == "person.qualification-ended"
        # whoever does not know the PIN learns nothing about the person
        assert code(people.login("badge-old", "0000")) == "person.wrong-pin"
        await clock.sleep(86_400)
        assert code(people.login("badge-bob", "4711")) == "person.qualification-ended"

    at_the_bench(there)


def test_a_role_allows_what_the_page_says() -> None:
    def there(people: People, _clock: Clock) -> None:
        assert people.allowed("ada", Act.APPROVE) == ADA
        refused = people.allowed("cat", Act.APPROVE)
        assert code(refused) == "person.role"
        assert isinstance(refused, Refusal)
        assert refused.text == "a custodian may not approve"
        assert people.allowed("cat", Act.SCAN) == CAT
        assert code(people.allowed("eve", Act.LOOK)) == "person.unknown"

    at_the_bench(there)


def test_people_are_those_of_the_configuration() -> None:
    async def there(clock: Clock) -> None:
        people = People.of(Settings(operators=(ADA,)), clock)
        assert people.person("ada") == ADA
        assert people.person("bob") is None

    run(there)


def test_two_people_means_two_ids_and_one_who_may_approve() -> None:
    assert two_person(ADA, BOB) is None
    assert two_person(ADA, CON) is None
    for first, second, said in (
        (ADA, ADA, "person.same"),
        (CON, ADA, "person.role"),
        (ADA, CAT, "person.role"),
    ):
        refused = two_person(first, second)
        assert refused is not None
        assert refused.code == said


def test_approvals_are_counted_by_id() -> None:
    ada, same, bob = (Person("operator", one) for one in ("ada", "ada", "bob"))
    assert not enough_approvals([ada, same], 2)
    assert not enough_approvals([ada, Person("operator", "")], 2)
    assert enough_approvals([ada, bob], 2)


def test_a_session_is_idle_after_its_time() -> None:
    assert not is_idle(100.0, 129.9, 30)
    assert is_idle(100.0, 130.0, 30)
