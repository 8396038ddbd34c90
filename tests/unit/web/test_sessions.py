"""Sessions, login links and slowed-down guessing, by a clock moved by hand."""

from __future__ import annotations

import pytest

from nullbay.web.problems import TooManyTriesError
from nullbay.web.sessions import Caller, LoginLinks, Sessions, Tries
from support.web import HandClock

ANNA = Caller("anna", frozenset({"view", "operate"}), "link")


def test_a_session_locks_after_idling_and_keeps_only_what_a_locked_one_may() -> None:
    clock = HandClock()
    sessions = Sessions(clock, idle_s=300, locked_roles=frozenset({"view"}))
    cookie = sessions.open(ANNA)
    clock.shift_s += 299
    first = sessions.find(cookie, is_use=True)
    assert first is not None
    assert first.caller.roles == {"view", "operate"}
    assert first.caller.how == "session"
    clock.shift_s += 299
    assert sessions.find(cookie, is_use=False) is not None
    clock.shift_s += 2  # looking is no use
    locked = sessions.find(cookie, is_use=True)
    assert locked is not None
    assert locked.is_locked
    assert locked.caller.roles == {"view"}
    assert locked.caller.how == "locked"
    again = sessions.find(cookie, is_use=True)
    assert again is not None
    assert again.is_locked


def test_a_session_ends_by_age_however_busy() -> None:
    clock = HandClock()
    sessions = Sessions(clock, idle_s=1000, max_age_s=3600)
    cookie = sessions.open(ANNA)
    for _ in range(4):
        clock.shift_s += 890
        assert sessions.find(cookie, is_use=True) is not None
    clock.shift_s += 890
    assert sessions.find(cookie, is_use=True) is None
    assert len(sessions) == 0


def test_a_full_house_lets_the_longest_unused_go() -> None:
    clock = HandClock()
    sessions = Sessions(clock, cap=3)
    cookies = []
    for _ in range(3):
        cookies.append(sessions.open(ANNA))
        clock.shift_s += 1
    assert sessions.find(cookies[0], is_use=True)
    cookies.append(sessions.open(ANNA))
    assert [sessions.find(one, is_use=False) is not None for one in cookies] == [
        True,
        False,
        True,
        True,
    ]


def test_locking_ending_and_ending_all() -> None:
    sessions = Sessions(HandClock())
    one, two, other = (
        sessions.open(ANNA),
        sessions.open(ANNA),
        sessions.open(Caller("ben", frozenset({"view"}), "link")),
    )
    sessions.lock(one)
    found = sessions.find(one, is_use=True)
    assert found is not None
    assert found.caller.roles == frozenset()
    sessions.end_all_of("anna")
    assert sessions.find(one, is_use=True) is None
    assert sessions.find(two, is_use=True) is None
    assert sessions.find(other, is_use=True) is not None
    sessions.end(other)
    assert sessions.find(other, is_use=True) is None
    assert sessions.find("x" * 100_000, is_use=True) is None


def test_cookies_and_csrf_tokens_differ_and_are_long() -> None:
    sessions = Sessions(HandClock())
    cookies = [sessions.open(ANNA) for _ in range(20)]
    tokens = {one.csrf for c in cookies if (one := sessions.find(c, is_use=True))}
    assert len({*cookies, *tokens}) == 40
    assert min(map(len, {*cookies, *tokens})) >= 43


def test_a_login_link_works_once_and_in_time() -> None:
    clock = HandClock()
    links = LoginLinks(clock)
    token = links.make(ANNA, ttl_s=600)
    caller = links.redeem(token)
    assert caller is not None
    assert caller.person == "anna"
    assert links.redeem(token) is None
    late = links.make(ANNA, ttl_s=600)
    clock.shift_s += 601
    assert links.redeem(late) is None
    assert links.redeem("") is None


def test_guessing_gets_slower_and_slower_and_is_forgiven_by_success() -> None:
    clock = HandClock()
    tries = Tries(clock, free=3, first_s=10, max_s=60)
    for _ in range(3):
        tries.require_allowed("badge", "address")
        tries.failed("badge")
    tries.require_allowed("badge")
    waits = []
    for _ in range(5):
        tries.failed("badge")
        with pytest.raises(TooManyTriesError) as caught:
            tries.require_allowed("address", "badge")
        waits.append(int(caught.value.headers["Retry-After"]))
        clock.shift_s += waits[-1]
        tries.require_allowed("badge")
    assert waits == [10, 20, 40, 60, 60]
    tries.require_allowed("address")
    tries.passed("badge")
    tries.failed("badge")
    tries.require_allowed("badge")


def test_what_failed_is_remembered_up_to_a_number() -> None:
    clock = HandClock()
    tries = Tries(clock, free=0, cap=10)
    for number in range(100):
        tries.failed(str(number))
    tries.require_allowed("0")
    with pytest.raises(TooManyTriesError):
        tries.require_allowed("99")
