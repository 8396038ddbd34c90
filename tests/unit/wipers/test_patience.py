"""What counts as slow: bytes over the drive's own time, in a window that slides."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nullbay.domain.clock import ClockSync, Stamp, SystemClock
from nullbay.domain.policy import Budgets
from nullbay.wipers.control import Control
from nullbay.wipers.patience import LIMITED_BYTES_MIN, TICK_MAX_S, SpeedWatch

LEAST = 1_000_000
WINDOW_S = 900
BUDGETS = Budgets(slow_below_bytes_per_s=LEAST, slow_s=WINDOW_S)
LOOK_S = 0.25
WORK = object()


class HandClock(SystemClock):
    """Time as a test sets it."""

    def __init__(self) -> None:
        self.at = 5000.0

    def boottime(self) -> float:
        return self.at

    def now(self) -> Stamp:
        return Stamp("2026-11-21T20:00:00.000000Z", int(self.at * 1e6), "b", ClockSync.UNKNOWN)


class Watched:
    """A drive of any speed, looked at four times a second."""

    def __init__(self, budgets: Budgets = BUDGETS, rate: int = 0) -> None:
        self.clock = HandClock()
        self.control = Control(self.clock, rate)
        self.watch = SpeedWatch(budgets, self.control)
        self.moved = 0.0
        self.work = WORK

    def look(self) -> bool:
        return self.watch.is_too_slow(self.clock.at, self.work, int(self.moved))

    def given_up_after(self, seconds: float, speed: float) -> float | None:
        """Seconds until it is given up at that speed; None if it is not."""
        until = self.clock.at + seconds
        started = self.clock.at
        while self.clock.at < until:
            if self.look():
                return self.clock.at - started
            self.clock.at += LOOK_S
            self.moved += speed * LOOK_S
        return None


def about_a_window(seconds: float | None) -> bool:
    return seconds is not None and WINDOW_S <= seconds <= WINDOW_S * 1.04


def test_below_the_minimum_for_a_window_and_not_before() -> None:
    assert about_a_window(Watched().given_up_after(2 * WINDOW_S, LEAST * 0.99))
    assert about_a_window(Watched().given_up_after(2 * WINDOW_S, 0))
    assert Watched().given_up_after(20 * WINDOW_S, LEAST * 1.01) is None
    never = Budgets(slow_below_bytes_per_s=0, slow_s=60)
    assert Watched(never).given_up_after(20 * WINDOW_S, 0) is None


def test_what_was_fast_before_counts_no_longer_than_a_window() -> None:
    drive = Watched()
    assert drive.given_up_after(10 * WINDOW_S, 100 * LEAST) is None
    seconds = drive.given_up_after(2 * WINDOW_S, LEAST // 2)
    assert about_a_window(seconds)


def test_a_slow_stretch_shorter_than_a_window_is_forgiven() -> None:
    drive = Watched()
    for _ in range(10):
        assert drive.given_up_after(WINDOW_S * 0.8, 0) is None
        assert drive.given_up_after(WINDOW_S * 0.3, 10 * LEAST) is None


@pytest.mark.parametrize("gap_s", [10.0, 3600.0, 1e6])
def test_time_that_nobody_watched_does_not_count(gap_s: float) -> None:
    """A station that slept: the boot clock went on."""
    drive = Watched()
    for _ in range(10):
        assert drive.given_up_after(WINDOW_S / 20, 0) is None
        drive.clock.at += gap_s
        assert not drive.look()
    left_s = WINDOW_S / 2 - 10 * TICK_MAX_S
    seconds = drive.given_up_after(2 * WINDOW_S, 0)
    assert seconds is not None
    assert left_s <= seconds <= WINDOW_S / 2 + WINDOW_S * 0.04


def pause(drive: Watched) -> None:
    drive.control.pause("operator")


def heat(drive: Watched) -> None:
    drive.control.pause("temperature")


def crawl(drive: Watched) -> None:
    drive.control.set_rate(LIMITED_BYTES_MIN // WINDOW_S - 1)


def wait_for_an_old_limit(drive: Watched) -> None:
    drive.control.set_rate(1)
    drive.control.account(100 * WINDOW_S)
    drive.control.set_rate(0)


@pytest.mark.parametrize("hold", [pause, heat, crawl, wait_for_an_old_limit])
def test_time_in_which_we_held_it_does_not_count(hold: Callable[[Watched], None]) -> None:
    drive = Watched()
    assert drive.given_up_after(WINDOW_S / 2, 0) is None
    hold(drive)
    assert drive.given_up_after(50 * WINDOW_S, 0) is None


def test_after_a_pause_the_window_goes_on() -> None:
    drive = Watched()
    assert drive.given_up_after(WINDOW_S / 2, 0) is None
    pause(drive)
    assert drive.given_up_after(3 * WINDOW_S, 0) is None
    drive.control.go_on("operator")
    seconds = drive.given_up_after(2 * WINDOW_S, 0)
    assert seconds is not None
    assert WINDOW_S * 0.45 <= seconds <= WINDOW_S * 0.55


def test_under_a_limit_half_of_it_is_asked() -> None:
    rate = 200_000
    assert Watched(rate=rate).given_up_after(20 * WINDOW_S, rate * 0.95) is None
    assert Watched(rate=rate).given_up_after(20 * WINDOW_S, rate * 0.51) is None
    assert about_a_window(Watched(rate=rate).given_up_after(2 * WINDOW_S, rate * 0.49))
    far_above = Watched(rate=1000 * LEAST)
    assert about_a_window(far_above.given_up_after(2 * WINDOW_S, LEAST * 0.99))


def test_a_limit_lifted_is_not_held_against_what_was_moved_under_it() -> None:
    drive = Watched(rate=100_000)
    assert drive.given_up_after(WINDOW_S * 0.9, 100_000) is None
    drive.control.set_rate(0)
    assert drive.given_up_after(20 * WINDOW_S, LEAST * 1.1) is None


def test_steps_of_one_session_share_the_window_and_what_lies_between_is_nobodys() -> None:
    drive = Watched()
    assert drive.given_up_after(WINDOW_S / 2, 0) is None
    drive.clock.at += 5 * WINDOW_S
    drive.work, drive.moved = object(), 1e15  # resumed: so much was there before
    seconds = drive.given_up_after(2 * WINDOW_S, 0)
    assert seconds is not None
    assert WINDOW_S * 0.45 <= seconds <= WINDOW_S * 0.55


def test_a_long_window_is_remembered_in_little() -> None:
    drive = Watched(Budgets(slow_s=864_000))
    drive.given_up_after(40_000, 10 * LEAST)
    assert len(drive.watch._marks) < 100


@pytest.mark.parametrize("most", [1, 7])
def test_one_error_more_than_allowed_ends_the_work(most: int) -> None:
    control = Control(HandClock(), errors_max=most)
    control.count_errors(most)
    assert control.stop_code is None
    control.count_errors()
    assert control.stop_code == "health.too-many-errors"
    unlimited = Control(HandClock())
    unlimited.count_errors(10**9)
    assert unlimited.stop_code is None
