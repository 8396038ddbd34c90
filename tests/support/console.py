"""A browser at a station's console, and an operator's whole way with one drive.

`Bench` is what happens at the bench: a drive comes, its work ends, it is pulled. Any station can be
put behind it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from playwright.sync_api import Browser, Page, expect, sync_playwright

WAIT_MS = 60_000
CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Bench(Protocol):
    """A running station and what hands do to it. `badge` and `pin` are an operator's."""

    url: str
    badge: str
    pin: str

    def insert(self) -> tuple[str, str]:
        """A drive is put in; its bay and serial."""
        ...

    def let_it_run(self, bay: str) -> None:
        """The work goes on."""
        ...

    def let_it_end(self, bay: str) -> None:
        """The work ends well."""
        ...

    def pull(self, bay: str) -> None:
        """The drive is taken out."""
        ...


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's chromium, without a window."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()


@contextmanager
def clean_page(browser: Browser) -> Iterator[Page]:
    """A touch screen of 1024 × 600; an error of a script, or one of the policy, fails the test."""
    context = browser.new_context(viewport={"width": 1024, "height": 600}, has_touch=True)
    context.set_default_timeout(WAIT_MS)
    expect.set_options(timeout=WAIT_MS)
    made = context.new_page()
    wrong: list[str] = []
    made.on("pageerror", lambda error: wrong.append(str(error)))
    made.on(
        "console",
        lambda said: wrong.append(said.text) if "Content Security Policy" in said.text else None,
    )
    yield made
    context.close()
    assert wrong == []


def log_in(page: Page, bench: Bench) -> None:
    """As at the bench: the scanner types the badge and Enter, the person the PIN."""
    page.goto(bench.url + "/")
    page.keyboard.type(bench.badge)
    page.keyboard.press("Enter")
    page.keyboard.type(bench.pin)
    page.keyboard.press("Enter")
    expect(page.locator("#rack")).to_be_visible()


def scan(page: Page, text: str) -> None:
    page.keyboard.type(text)
    page.keyboard.press("Enter")


def whole_way(page: Page, bench: Bench, lot: str) -> None:
    """Log in, open a lot, scan, approve with two touches, SHIP, the certificate, scan out."""
    log_in(page, bench)
    page.get_by_role("link", name="Lots").tap()
    page.get_by_label("Reference").fill(lot)
    page.get_by_label("Customer").fill("Acme Bank")
    page.get_by_label("Data category").select_option("low")
    page.get_by_label("Destination").select_option("retained")
    page.get_by_role("button", name="Open", exact=True).tap()
    expect(page.get_by_role("heading", name=lot)).to_be_visible()
    page.get_by_role("link", name="Rack").tap()
    expect(page.locator("#lots")).to_contain_text(lot)

    bay, serial = bench.insert()
    card = page.locator(f"#bay-{bay}")
    expect(card).to_contain_text(serial)
    scan(page, serial)
    expect(page.locator("#notice .told.good")).to_contain_text(serial)

    card.tap()
    approve = page.get_by_role("button", name=re.compile("Approve: erase"))
    expect(approve).to_contain_text(serial)
    approve.tap()
    expect(page.locator("#sheet")).not_to_be_visible()
    expect(card).to_contain_text("LEAVE")
    bench.let_it_run(bay)
    expect(card.locator("progress")).to_be_visible()
    bench.let_it_end(bay)
    expect(card).to_contain_text("SHIP")

    card.tap()
    with page.expect_download() as download:
        page.get_by_role("link", name="Certificate (PDF)").tap()
    assert download.value.path().read_bytes().startswith(b"%PDF-")
    page.keyboard.press("Escape")
    scan(page, f"BAY:{bay}")
    expect(page.locator("#notice .told")).to_contain_text(re.compile(f"BAY.{bay}", re.IGNORECASE))
    scan(page, serial)
    out = page.locator("#notice .told.good")
    expect(out).to_contain_text(re.compile("ship", re.IGNORECASE))
    expect(out).to_contain_text(bay)
    bench.pull(bay)
    expect(card).to_contain_text("empty")
