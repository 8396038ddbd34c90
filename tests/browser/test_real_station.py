"""The operator's whole way at a real station, its record seen at a real centre; no desk by hand.

Journal, bench, engine, certificates, console, outbox and centre are the product; the drive is made
of software, and a thread pushes it in.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from nullbay.cli.demo_house import DemoHouse, look, open_house
from nullbay.cli.demo_rack import DemoDrive, Ending, Plugged
from nullbay.config.person_pin import scrypt_text
from nullbay.config.roles import Role
from nullbay.config.settings import Operator
from nullbay.domain.clock import ClockSync, SystemClock
from nullbay.domain.verdict import Verdict
from nullbay.lab.description import DriveDescription
from support.console import chromium, clean_page, whole_way
from support.http_thread import Background, background

BADGE, PIN, LOT = "badge-of-olga-operator", "4711", "REAL-1"
WAIT_S = 120.0
OPERATOR = Operator(
    "op-1",
    "Olga Operator",
    "operator",
    Role.OPERATOR,
    hashlib.sha256(BADGE.encode()).hexdigest(),
    scrypt_text(PIN),
)
DRIVES = (
    DemoDrive(
        "A1",
        "a good hard disk",
        DriveDescription(sectors=60_000, model="LAB DISK", serial="ZC1A2B3C", speed_mb_s=8),
        "nist-clear",
        Ending(Verdict.SANITIZED),
    ),
    DemoDrive(
        "A2",
        "the station's own",
        DriveDescription(sectors=2_000, model="LAB DISK", serial="LAB-SYSTEM"),
        "nist-clear",
        Ending(None),
        is_system=True,
    ),
)


class RealBench:
    """`support.console.Bench` for a station that works by itself."""

    badge, pin = BADGE, PIN

    def __init__(self, there: Background, folder: Path, plugged: list[Plugged]) -> None:
        self._there, self._drive = there, plugged[0]
        self._clock = SystemClock(lambda: ClockSync.SYNCHRONISED)
        opened = open_house(folder, plugged, self._clock, unattended=False, operator=OPERATOR)
        self._opened = opened
        self.house: DemoHouse = self._wait(opened.__aenter__())
        self.url = self.house.console
        self._working: asyncio.Task[None] = there.call(
            lambda: asyncio.get_running_loop().create_task(self.house.assembly.run())
        )

    def close(self) -> None:
        self._wait(self._stop())
        self._wait(self._opened.__aexit__(None, None, None))

    def insert(self) -> tuple[str, str]:
        drive = self._there.call(lambda: look(self._drive.device, self._clock))
        self._there.call(lambda: self.house.source.arrive(drive))
        return "A1", "ZC1A2B3C"

    def let_it_run(self, bay: str) -> None:
        """It does by itself."""

    def let_it_end(self, bay: str) -> None:
        """It does by itself."""

    def pull(self, bay: str) -> None:
        drive = self._there.call(lambda: look(self._drive.device, self._clock))
        self._there.call(lambda: self.house.source.depart(drive.attachment.device_path))

    def _wait(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._there.loop).result(WAIT_S)

    async def _stop(self) -> None:
        self._working.cancel()
        with suppress(asyncio.CancelledError):
            await self._working


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[RealBench]:
    drives = tmp_path / "drives"
    drives.mkdir()
    with ExitStack() as stack:
        plugged = [Plugged(one, drives, stack, as_loop=False) for one in DRIVES]
        there = stack.enter_context(background())
        made = RealBench(there, tmp_path, plugged)
        stack.callback(made.close)
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with clean_page(browser) as made:
        yield made


def test_from_login_to_scan_out_and_the_record_at_the_centre(page: Page, bench: RealBench) -> None:
    whole_way(page, bench, LOT)
    page.goto(bench.house.centre_login)
    page.get_by_role("button", name="Log in").click()
    page.goto(bench.house.centre_url + "/records")
    page.get_by_label("Serial number").fill("ZC1A2B3C")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name="ZC1A2B3C").click()
    expect(page.locator("main")).to_contain_text(
        re.compile("certificate of sanitization", re.IGNORECASE)
    )
    expect(page.locator("main")).to_contain_text(LOT)
