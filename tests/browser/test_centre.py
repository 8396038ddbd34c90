"""The centre in a real browser: from the login to a finding that is taken on."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Page, async_playwright

from nullbay.web.serve import Served
from support import centre_pages as pages
from support.web import run

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@asynccontextmanager
async def browser(
    listener: Served, complaints: list[str], *, width: int = 1280, dark: bool = False
) -> AsyncIterator[Page]:
    """A page of Chromium; what it has to complain of is collected."""
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        context = await chromium.new_context(
            base_url=listener.url,
            viewport={"width": width, "height": 800},
            color_scheme="dark" if dark else "light",
        )
        page = await context.new_page()
        page.on("console", lambda told: complaints.append(f"{told.type}: {told.text}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        try:
            yield page
        finally:
            await chromium.close()


async def log_in(page: Page, user_id: str) -> None:
    await page.goto("/")
    await page.get_by_label("Name").fill(user_id)
    await page.get_by_label("Password").fill(pages.PASSWORD)
    await page.keyboard.press("Enter")
    await page.get_by_role("heading", name="Fleet").wait_for()


def test_a_working_day_at_the_centre(tmp_path: Path) -> None:
    complaints: list[str] = []

    async def main() -> None:
        async with pages.empty(tmp_path) as shown, pages.open_pages(shown) as listener:
            await pages.fill(shown)
            async with browser(listener, complaints) as page:
                await log_in(page, "otto")
                await the_fleet(page)
                await the_record(page, shown)
                await the_lot(page)
                await the_finding(page, shown)
                await page.get_by_role("button", name="Log out").click()
                await page.get_by_role("heading", name="Log in").wait_for()
                await page.goto("/records")
                await page.get_by_role("heading", name="Log in").wait_for()

    run(main)
    assert complaints == []


async def the_fleet(page: Page) -> None:
    station = page.get_by_role("region", name=pages.STATION)
    assert await station.get_by_text("online", exact=True).is_visible()
    assert await station.get_by_text("SHIP", exact=True).count() == 3
    assert await station.get_by_text("SHRED", exact=True).is_visible()
    silent = page.get_by_role("region", name=pages.SILENT_STATION)
    assert await silent.get_by_text("never heard").is_visible()


async def the_record(page: Page, shown: pages.Shown) -> None:
    await page.get_by_role("link", name="Records", exact=True).click()
    await page.get_by_label("Serial number").fill("s6epnx0t000001")
    await page.get_by_role("button", name="Search").click()
    await page.get_by_role("link", name="S6EPNX0T000001").click()
    await page.get_by_role("heading", name="SANITIZED").wait_for()
    assert await page.get_by_text("Read back by sample: 10.0 %").is_visible()
    assert await page.get_by_text("passed", exact=True).count() == 8
    await page.get_by_role("button", name="Check again now").click()
    await page.wait_for_url("**/check*")
    assert await page.get_by_text("Authentic.").is_visible()
    _, document = await download(page, "PDF to print")
    assert document.startswith(b"%PDF-")
    name, certificate = await download(page, "Certificate")
    assert name.endswith(".sigstore.json")
    digest = shown.digests["sampled"]
    assert certificate == await shown.centre.bundle(digest)
    _, packed = await download(page, "Evidence archive")
    card = (await shown.centre.record(digest)).card
    assert hashlib.sha256(packed).hexdigest() == card.archive_sha256


async def download(page: Page, name: str) -> tuple[str, bytes]:
    """What a link downloads: the name it suggests, and the bytes."""
    async with page.expect_download() as downloading:
        await page.get_by_role("link", name=name).click()
    found = await downloading.value
    return found.suggested_filename, held(await found.path())


def held(path: str | Path) -> bytes:
    return Path(path).read_bytes()


async def the_lot(page: Page) -> None:
    await page.get_by_role("link", name="Lots", exact=True).click()
    await page.get_by_role("link", name="LOT-2026-0417").click()
    assert await page.get_by_text("not accounted for").is_visible()
    assert await page.get_by_role("cell", name="missing", exact=True).is_visible()
    _, table = await download(page, "CSV")
    rows = list(csv.DictReader(io.StringIO(table.decode("utf-8"))))
    assert [one["account"] for one in rows].count("missing") == 1


async def the_finding(page: Page, shown: pages.Shown) -> None:
    await page.get_by_role("link", name="Findings").click()
    finding = page.get_by_role("article").filter(has_text="ledger.fork")
    assert await finding.get_by_text("alarm", exact=True).is_visible()
    await finding.get_by_label("What was found out").fill("restored from Monday's copy")
    await finding.get_by_role("button", name="Acknowledge").click()
    await page.wait_for_url("**/findings?state=all")
    finding = page.get_by_role("article").filter(has_text="ledger.fork")
    assert await finding.get_by_text("acknowledged", exact=True).is_visible()
    assert await finding.get_by_text("by otto").is_visible()
    assert [one.code for one in await shown.centre.findings()] == ["input.unknown-schema"]


def test_the_fleet_keeps_itself_up_to_date(tmp_path: Path) -> None:
    complaints: list[str] = []

    async def main() -> None:
        async with pages.empty(tmp_path) as shown, pages.open_pages(shown) as listener:
            one = shown.stations[pages.STATION]
            await one.is_well(pages.rack(1, 2))
            async with browser(listener, complaints) as page:
                await page.clock.install()
                await log_in(page, "vera")
                station = page.get_by_role("region", name=pages.STATION)
                assert await station.get_by_text("SHRED", exact=True).count() == 0
                await one.is_well(pages.rack(1, 4))
                await page.clock.run_for(11_000)
                await station.get_by_text("SHRED", exact=True).wait_for()
                # What is no longer refreshed says so, until it is refreshed again.
                warning = page.get_by_text("Not refreshed since")
                assert not await warning.is_visible()
                await page.route("**/live", lambda route: route.abort())
                await page.clock.run_for(11_000)
                await warning.wait_for()
                await page.unroute("**/live")
                await page.clock.run_for(11_000)
                await warning.wait_for(state="hidden")

    run(main)
    assert [one for one in complaints if "ERR_FAILED" not in one] == []


def test_nothing_is_wider_than_a_telephone(tmp_path: Path) -> None:
    complaints: list[str] = []

    async def main() -> None:
        async with pages.empty(tmp_path) as shown, pages.open_pages(shown) as listener:
            await pages.fill(shown)
            async with browser(listener, complaints, width=390, dark=True) as page:
                await log_in(page, "ada")
                for path in (
                    "/",
                    "/records",
                    f"/records/{shown.digests['mismatched']}",
                    "/lots",
                    "/lots/LOT-2026-0417",
                    "/findings?state=all",
                    "/stations",
                    "/users",
                ):
                    await page.goto(path)
                    wider = await page.evaluate(
                        "document.documentElement.scrollWidth"
                        " - document.documentElement.clientWidth"
                    )
                    assert wider <= 0, path

    run(main)
    assert complaints == []


def test_the_keyboard_alone_gets_everywhere(tmp_path: Path) -> None:
    complaints: list[str] = []

    async def main() -> None:
        async with pages.empty(tmp_path) as shown, pages.open_pages(shown) as listener:
            await shown.stations[pages.STATION].finishes("good", "SERIAL-1")
            async with browser(listener, complaints) as page:
                await log_in(page, "ada")
                await page.keyboard.press("Tab")
                skip = page.get_by_role("link", name="To the content")
                assert await skip.evaluate("one => one === document.activeElement")
                for _ in range(3):
                    await page.keyboard.press("Tab")
                await page.keyboard.press("Enter")
                await page.get_by_role("heading", name="Records").wait_for()
                # The search field has the focus as soon as the page is there.
                await page.keyboard.type("SERIAL")
                await page.keyboard.press("Enter")
                await page.wait_for_url("**/records?serial=SERIAL*")
                assert await page.get_by_role("link", name="SERIAL-1").is_visible()

    run(main)
    assert complaints == []
