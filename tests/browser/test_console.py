"""The console in a browser, at a desk moved by hand: what a bench asks of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from nullbay.agent.web.app import StationWeb, station_web
from nullbay.domain.clock import SystemClock
from nullbay.domain.lot import Person
from nullbay.domain.status import Action, BayState, Why
from nullbay.domain.verdict import Verdict
from nullbay.web.serve import Binding
from support.console import chromium, clean_page, log_in, scan, whole_way
from support.desk import LOT, FakeDesk, FakePeople, drive_card
from support.http_thread import Background, background, listening


@dataclass
class FakeBench:
    """A bench whose station is a desk moved by hand."""

    url: str
    desk: FakeDesk
    web: StationWeb
    there: Background
    badge: str = "badge-ada"
    pin: str = "1234"

    def insert(self) -> tuple[str, str]:
        self.there.call(lambda: self.desk.insert("B3", drive_card("ZC1A2B3C")))
        return "B3", "ZC1A2B3C"

    def let_it_run(self, bay: str) -> None:
        self.there.call(lambda: self.desk.progress(bay, 42))

    def let_it_end(self, bay: str) -> None:
        self.there.call(lambda: self.desk.conclude(bay, Verdict.SANITIZED))

    def pull(self, bay: str) -> None:
        self.there.call(lambda: self.desk.remove(bay))


@contextmanager
def fake_bench(folder: Path, port: int = 0) -> Iterator[FakeBench]:
    with background() as there:
        desk = there.call(lambda: FakeDesk(folder=folder))
        binding = Binding(port=port)
        web = there.call(
            lambda: station_web(desk, FakePeople(), SystemClock(), binding, version="0.1.0")
        )
        with listening(there, web.app, binding) as listener:
            yield FakeBench(listener.url, desk, web, there)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[FakeBench]:
    with fake_bench(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with clean_page(browser) as made:
        yield made


def test_an_operators_whole_way_with_a_drive(page: Page, bench: FakeBench) -> None:
    whole_way(page, bench, "L-2026-014")
    assert [name for name, *_ in bench.desk.asked] == [
        "open_lot",
        "scan",
        "approve",
        "scan",
        "scan",
    ]


def enter(page: Page, bench: FakeBench) -> None:
    """By a one-time link."""
    entrant = bench.there.call(lambda: FakePeople().now("ada"))
    assert entrant is not None
    page.goto(bench.url + bench.there.call(lambda: bench.web.login_path(entrant, ttl_s=60)))
    expect(page.locator("#rack")).to_be_visible()


def fill(bench: FakeBench) -> None:
    """Every kind of card there is."""
    ada = Person("operator", "ada")

    def inside() -> None:
        desk = bench.desk
        for number, bay in enumerate(desk.bays):
            model = "W" * 40 if number == 5 else "ST4000NM0035-1V4107"
            desk.insert(bay, drive_card(f"ZC1{number:02}A2B3C4D5E6F7", model))
        for bay in ("A1", "A2", "A3", "A6"):
            desk.start(bay, (ada,))
            desk.progress(bay, 33)
        for bay, verdict in zip(("B1", "B2", "B3", "B4"), Verdict, strict=True):
            desk.start(bay, (ada,))
            desk.conclude(bay, verdict)
        desk.set("C1", state=BayState.COUNTDOWN, action=Action.LEAVE, countdown_s=30)
        desk.problems = (Why("http.insecure"),)
        desk.simulated = True

    bench.there.call(inside)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_24_bays_fit_1024_by_600_and_nothing_is_cut(
    page: Page, bench: FakeBench, scheme: str
) -> None:
    fill(bench)
    page.emulate_media(color_scheme="light" if scheme == "light" else "dark")
    enter(page, bench)
    expect(page.locator("#bay-A1 progress")).to_be_visible()
    sizes = page.evaluate(
        "() => [document.documentElement.scrollHeight, document.documentElement.scrollWidth]"
    )
    assert sizes == [600, 1024]
    outside = page.evaluate(
        """() => [...document.querySelectorAll(".bay")].filter((one) => {
            const card = one.getBoundingClientRect();
            return [...one.querySelectorAll(".word, .shape, .name, progress, .serial")].some(
                (part) => {
                    const at = part.getBoundingClientRect();
                    return at.right > card.right || at.bottom > card.bottom || at.left < card.left;
                });
        }).map((one) => one.id)"""
    )
    assert outside == []
    small = page.evaluate(
        """() => [...document.querySelectorAll("button, nav a")]
            .map((one) => one.getBoundingClientRect())
            .filter((one) => one.width < 40 || one.height < 40).length"""
    )
    assert small == 0, "too small for a gloved finger"


def test_actions_differ_in_grey_by_lightness_shape_and_word(page: Page, bench: FakeBench) -> None:
    fill(bench)
    enter(page, bench)
    told = page.evaluate(
        """() => Object.fromEntries(["leave", "ship", "shred", "call"].map((tone) => {
            const card = document.querySelector(".bay." + tone);
            const [r, g, b] = getComputedStyle(card).backgroundColor.match(/[0-9]+/g).map(Number);
            return [tone, {
                grey: 0.2126 * r + 0.7152 * g + 0.0722 * b,
                word: card.querySelector(".word").textContent,
                shape: card.querySelector(".shape").innerHTML,
            }];
        }))"""
    )
    assert [one["word"] for one in told.values()] == ["LEAVE", "SHIP", "SHRED", "CALL"]
    assert len({one["shape"] for one in told.values()}) == 4
    greys = sorted(one["grey"] for one in told.values())
    assert min(b - a for a, b in pairwise(greys)) > 30


def test_a_scanner_never_presses_a_button(page: Page, bench: FakeBench) -> None:
    """Its Enter goes where its letters go: to the scan field, whatever had the focus."""
    bench.insert()
    enter(page, bench)
    page.locator("#bay-B3").tap()
    expect(page.locator("#sheet h2")).to_be_focused()
    page.get_by_role("button", name=re.compile("Approve: erase")).focus()
    scan(page, "ZC1A2B3C")
    expect(page.locator("#notice .told.good")).to_contain_text("ZC1A2B3C")
    expect(page.locator("#sheet")).not_to_be_visible()
    assert [name for name, *_ in bench.desk.asked] == ["scan"]
    scan(page, "unknown")
    expect(page.locator("#notice .told.bad")).to_contain_text("unknown")


def test_typing_elsewhere_is_not_taken_away(page: Page, bench: FakeBench) -> None:
    enter(page, bench)
    page.get_by_role("link", name="Lots").click()
    field = page.get_by_label("Customer")
    field.click()
    page.keyboard.type("Acme")
    bench.insert()
    page.keyboard.type(" Bank")
    expect(field).to_have_value("Acme Bank")


def test_the_keyboard_alone_approves_and_aborts(page: Page, bench: FakeBench) -> None:
    bench.insert()
    enter(page, bench)
    expect(page.locator("#bay-B3")).to_contain_text("CALL")
    page.locator("#bay-A1").focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    expect(page.locator("#bay-B3")).to_be_focused()
    page.keyboard.press("Enter")
    approve = page.get_by_role("button", name=re.compile("Approve: erase"))
    expect(approve).to_be_visible()
    expect(page.locator("#sheet h2")).to_be_focused()
    for _ in range(10):
        page.keyboard.press("Tab")
        if approve.evaluate("(one) => one === document.activeElement"):
            break
    page.keyboard.press("Enter")
    card = page.locator("#bay-B3")
    expect(card).to_contain_text("LEAVE")
    expect(page.locator("[data-scan]")).to_be_focused()
    card.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#sheet h2")).to_be_focused()
    abort = page.locator(".abort summary")
    abort.focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name=re.compile("Yes, abort")).focus()
    page.keyboard.press("Enter")
    expect(card).to_contain_text("SHRED")


def test_a_lot_is_approved_with_two_touches(page: Page, bench: FakeBench) -> None:
    def inside() -> None:
        desk = bench.desk
        desk.hold_lot(LOT)
        for bay in ("A1", "A2", "A3"):
            desk.insert(bay, drive_card(f"ZC{bay}"))

    bench.there.call(inside)
    enter(page, bench)
    page.get_by_role("button", name="Approve 3").tap()
    page.get_by_role("button", name="Approve: erase 3 drives").tap()
    for bay in ("A1", "A2", "A3"):
        expect(page.locator(f"#bay-{bay}")).to_contain_text("LEAVE")


def test_the_countdown_counts_and_is_stopped(page: Page, bench: FakeBench) -> None:
    bench.there.call(
        lambda: bench.desk.insert("A1", drive_card("ZC1"), BayState.COUNTDOWN, "", countdown_s=30)
    )
    enter(page, bench)
    card = page.locator("#bay-A1")
    expect(card).to_contain_text("starts in 30 s")
    bench.there.call(lambda: bench.desk.set("A1", countdown_s=12))
    expect(card).to_contain_text("starts in 12 s")
    card.tap()
    page.get_by_text("Stop the countdown").tap()
    page.get_by_role("button", name="Yes, do not start").tap()
    expect(card).to_contain_text("approve?")


def test_a_sheet_follows_its_bay(page: Page, bench: FakeBench) -> None:
    """A drive that was swapped under an open sheet cannot be approved by it."""
    bench.insert()
    enter(page, bench)
    page.locator("#bay-B3").tap()
    expect(page.locator("#sheet")).to_contain_text("ZC1A2B3C")
    bench.pull("B3")
    bench.there.call(lambda: bench.desk.insert("B3", drive_card("OTHER")))
    expect(page.locator("#sheet")).to_contain_text("erase OTHER")


def test_an_idle_screen_locks_by_itself_and_a_badge_opens_it(page: Page, bench: FakeBench) -> None:
    bench.insert()
    log_in(page, bench)
    sessions = bench.web.gate.sessions
    (cookie,) = page.context.cookies()
    bench.there.call(lambda: sessions.lock(cookie["value"]))
    expect(page.get_by_text("LOCKED")).to_be_visible()
    page.locator("#bay-B3").tap()
    expect(page.locator("#sheet")).to_contain_text("ZC1A2B3C")
    expect(page.get_by_role("button", name=re.compile("Approve"))).to_have_count(0)
    page.keyboard.press("Escape")
    scan(page, bench.badge)
    page.keyboard.type(bench.pin)
    page.keyboard.press("Enter")
    expect(page.get_by_text("LOCKED")).to_have_count(0)
    expect(page.locator("[data-scan]")).to_be_focused()


def test_a_lost_station_is_said_and_a_new_one_asks_to_log_in(page: Page, tmp_path: Path) -> None:
    with fake_bench(tmp_path) as bench:
        port = int(bench.url.rpartition(":")[2])
        enter(page, bench)
        expect(page.locator("#lost")).to_be_hidden()
    expect(page.locator("#lost")).to_be_visible()
    scan(page, "ZC1")
    expect(page.locator("#notice .told.bad")).to_contain_text("did not answer")
    with fake_bench(tmp_path, port=port):
        expect(page.get_by_label("PIN")).to_be_visible()
