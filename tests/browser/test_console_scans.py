"""Open scans, the label, STOP and the destroy queue in a browser, at a desk moved by hand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser.test_console import FakeBench, enter, fake_bench
from playwright.sync_api import Browser, Page, expect

from nullbay.domain.lot import Person
from nullbay.domain.verdict import Verdict
from support.console import chromium, clean_page, scan
from support.desk import drive_card

ADA = Person("operator", "ada")
SERIAL, LIKE = "ZC1A2B3C", "ZC1A2B3D"
COUNTED = """
window.tones = 0; window.prints = 0;
window.print = () => { window.prints += 1; };
const make = AudioContext.prototype.createOscillator;
AudioContext.prototype.createOscillator = function () {
  window.tones += 1;
  return make.call(this);
};
"""


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
        made.add_init_script(COUNTED)
        yield made


def two_drives(bench: FakeBench) -> str:
    """A scan that is almost the serial of either; its id."""

    def inside() -> str:
        bench.desk.insert("A1", drive_card(SERIAL))
        bench.desk.insert("A2", drive_card("ZC1A2B3E"))
        return bench.desk.ask_about(LIKE, "A1", "A2")

    return bench.there.call(inside)


def concluded(bench: FakeBench, verdict: Verdict = Verdict.SANITIZED) -> None:
    """A drive in B3 that is done."""

    def inside() -> None:
        bench.desk.insert("B3", drive_card(SERIAL))
        bench.desk.start("B3", (ADA,))
        bench.desk.conclude("B3", verdict)

    bench.there.call(inside)


def test_an_open_scan_is_shown_as_it_comes_and_settled_by_touch(
    page: Page, bench: FakeBench
) -> None:
    enter(page, bench)
    strip = page.locator("#asks")
    expect(strip).to_be_hidden()
    name = two_drives(bench)
    expect(strip).to_contain_text(f"{LIKE} is not here")
    expect(strip).to_contain_text("one character is another")
    small = strip.evaluate(
        """(one) => [...one.querySelectorAll("button")].map((one) => one.getBoundingClientRect())
            .filter((one) => one.width < 44 || one.height < 44).length"""
    )
    assert small == 0
    assert page.evaluate("() => document.documentElement.scrollHeight") == 600
    page.get_by_role("button", name=f"It is A1 {SERIAL}").tap()
    expect(page.locator("#notice .told.good")).to_contain_text("belongs to the drive in bay A1")
    expect(strip).to_be_hidden()
    insertion = bench.desk.bays["A1"].insertion
    assert bench.desk.asked == [("settle", name, insertion, "ada")]


def test_open_scans_leave_the_rack_readable_and_say_how_many(page: Page, bench: FakeBench) -> None:
    """24 bays at 1024 × 600 and three questions: those that contradict come first."""

    def inside() -> None:
        for number, bay in enumerate(bench.desk.bays):
            bench.desk.insert(bay, drive_card(f"ZC1{number:02}A2B3C4D5E6F7"))
        for bay in ("A1", "A2"):
            bench.desk.ask_about(LIKE, bay)
        bench.desk.ask_about("ZC9", "A3", code="scan.other-bay", alarm=True)

    bench.there.call(inside)
    enter(page, bench)
    expect(page.locator("#asks .ask")).to_have_count(3)
    expect(page.locator("#asks .ask").first).to_contain_text("1 of 3")
    expect(page.locator("#asks .ask").first).to_contain_text("ZC9")
    outside = page.evaluate(
        """() => [...document.querySelectorAll(".bay")].filter((one) => {
            const card = one.getBoundingClientRect();
            return [...one.querySelectorAll(".word, .shape, .name, .serial")].some((part) => {
                const at = part.getBoundingClientRect();
                return at.right > card.right || at.bottom > card.bottom || at.left < card.left;
            });
        }).map((one) => one.id)"""
    )
    assert outside == []
    assert page.evaluate("() => document.documentElement.scrollHeight") == 600


def test_an_open_scan_is_settled_by_the_keyboard_alone(page: Page, bench: FakeBench) -> None:
    name = two_drives(bench)
    enter(page, bench)
    back = page.get_by_role("button", name="Take the scan back")
    expect(back).to_be_visible()
    expect(page.locator("[data-scan]")).to_be_focused()
    for _ in range(40):
        page.keyboard.press("Tab")
        if back.evaluate("(one) => one === document.activeElement"):
            break
    page.keyboard.press("Enter")
    expect(page.locator("#asks")).to_be_hidden()
    expect(page.locator("[data-scan]")).to_be_focused()
    assert bench.desk.asked == [("withdraw", name, "ada")]


def test_a_scanner_answers_no_question(page: Page, bench: FakeBench) -> None:
    two_drives(bench)
    enter(page, bench)
    page.get_by_role("button", name="It is A1").focus()
    scan(page, SERIAL)
    expect(page.locator("#notice .told.good")).to_contain_text(SERIAL)
    expect(page.locator("#asks")).to_contain_text(LIKE)
    assert [name for name, *_ in bench.desk.asked] == ["scan"]


def test_a_mistaken_scan_is_taken_back_where_it_is_answered(page: Page, bench: FakeBench) -> None:
    enter(page, bench)
    scan(page, "S/N: ZC77")
    page.get_by_role("button", name="Take it back").tap()
    expect(page.locator("#notice .told.good")).to_contain_text("taken back")
    assert bench.desk.asked[-1] == ("withdraw", "s-waits", "ada")


def test_a_drive_that_leaves_shows_its_label_and_prints_it(page: Page, bench: FakeBench) -> None:
    concluded(bench)
    enter(page, bench)
    scan(page, "BAY:B3")
    expect(page.locator("#notice .told")).to_contain_text("BAY:B3")
    scan(page, SERIAL)
    label = page.locator("#sheet .label")
    expect(label).to_contain_text("SHIP")
    expect(label).to_contain_text(f"S/N: {SERIAL}")
    page.get_by_role("button", name="Print the label").tap()
    page.keyboard.press("F9")
    assert page.evaluate("() => window.prints") == 2
    page.emulate_media(media="print")
    seen = page.evaluate(
        """() => [...document.querySelectorAll("body *")].filter((one) =>
            one.checkVisibility() && one.textContent.trim() && !one.closest(".label")
            && !one.querySelector(".label")).length"""
    )
    assert seen == 0, "the label alone"
    for width, height in (("90mm", "50mm"), ("62mm", "100mm"), ("210mm", "297mm")):
        paper = page.pdf(width=width, height=height)
        assert len(re.findall(rb"/Type /Page\b", paper)) == 1
    page.emulate_media(media="screen")
    scan(page, "unknown")  # whoever goes on scanning is done with it
    expect(page.locator("#sheet")).not_to_be_visible()
    expect(page.locator("#notice .told.bad")).to_be_visible()
    page.keyboard.press("F9")
    assert page.evaluate("() => window.prints") == 2, "there is nothing to print any more"


def test_stop_stays_until_it_is_seen_and_prints_nothing(page: Page, bench: FakeBench) -> None:
    concluded(bench)
    enter(page, bench)
    scan(page, "BAY:A1")
    expect(page.locator("#notice .told")).to_contain_text("BAY:A1")
    scan(page, SERIAL)
    stop = page.locator("#stop")
    expect(stop.get_by_role("heading", name="STOP")).to_be_visible()
    expect(stop).to_contain_text("was in bay B3, not A1")
    assert page.locator(".label").count() == 0
    box = stop.bounding_box()
    assert box
    assert (box["x"], box["width"]) == (0, 1024)
    assert page.evaluate("() => window.tones") == 3
    asked = len(bench.desk.asked)
    scan(page, SERIAL)  # scanning on is not having seen it
    expect(stop).to_be_visible()
    assert len(bench.desk.asked) == asked
    assert page.evaluate("() => window.tones") == 6
    page.keyboard.press("F9")
    assert page.evaluate("() => window.prints") == 0
    page.keyboard.press("Escape")
    expect(stop).not_to_be_visible()
    expect(page.locator("[data-scan]")).to_be_focused()
    scan(page, "BAY:A1")
    expect(page.locator("#notice .told.good")).to_contain_text("BAY:A1")
    scan(page, SERIAL)
    page.get_by_role("button", name="I have seen it").tap()
    expect(stop).not_to_be_visible()


def test_the_destroy_queue_is_counted_as_it_grows_and_printed(page: Page, bench: FakeBench) -> None:
    enter(page, bench)
    number = page.locator("#to-destroy .number")
    expect(number).to_have_count(0)
    bench.there.call(lambda: bench.desk.never_seen("ZC000001", "INV-7", "L-1"))
    expect(number).to_have_text("1")
    concluded(bench, Verdict.NOT_SANITIZED)
    expect(number).to_have_text("2")
    page.get_by_role("link", name="Destroy").tap()
    rows = page.locator("table.destroy tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("not detected")
    expect(rows.last).to_contain_text(SERIAL)
    page.get_by_role("button", name="Print the list").tap()
    page.keyboard.press("F9")
    assert page.evaluate("() => window.prints") == 2
    page.emulate_media(media="print")
    expect(page.locator("header.top")).to_be_hidden()
    expect(rows.last).to_be_visible()
