"""What the service manager is told, and when its watchdog is fed: over a real datagram socket."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from nullbay.config.credentials import Credential, credential_path
from nullbay.config.notify import Notifier, Told, Watchdog
from nullbay.domain.logline import JsonFormatter
from nullbay.lab.clock import VirtualClock, run


class Manager:
    """Reads what a service says."""

    def __init__(self, address: str) -> None:
        self.link = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.link.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self.link.setblocking(False)

    def heard(self) -> list[str]:
        """Each message since the last time."""
        messages = []
        while True:
            try:
                messages.append(self.link.recv(65536).decode())
            except BlockingIOError:
                return messages


@pytest.fixture
def address(tmp_path: Path) -> str:
    return str(tmp_path / "notify")


@pytest.fixture
def manager(address: str) -> Iterator[Manager]:
    made = Manager(address)
    yield made
    made.link.close()


def test_ready_status_stopping(manager: Manager, address: str) -> None:
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": address})
    assert notifier.ready("24 bays") is Told.SENT
    assert notifier.status("3 drives at work") is Told.SENT
    assert notifier.extend(90) is Told.SENT
    assert notifier.stopping("draining") is Told.SENT
    assert manager.heard() == [
        "READY=1\nSTATUS=24 bays",
        "STATUS=3 drives at work",
        "EXTEND_TIMEOUT_USEC=90000000",
        "STOPPING=1\nSTATUS=draining",
    ]


def test_an_abstract_address() -> None:
    name = f"@nullbay-test-{os.getpid()}"
    manager = Manager(name)
    assert Notifier(name).feed() is Told.SENT
    assert manager.heard() == ["WATCHDOG=1"]
    manager.link.close()


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1234"}])
def test_without_a_manager_nothing_is_sent_and_nothing_fails(environ: dict[str, str]) -> None:
    assert Notifier.from_environment(environ).ready() is Told.NOBODY_LISTENS


def test_a_manager_that_went_away_costs_nothing_but_is_told(address: str) -> None:
    assert Notifier(address).ready() is Told.UNDELIVERED


def test_a_status_cannot_bring_another_message(manager: Manager, address: str) -> None:
    Notifier(address).status("drive \nREADY=1\x1b[2J")
    (heard,) = manager.heard()
    assert "\n" not in heard
    assert "\x1b" not in heard


def feeds(messages: list[str]) -> int:
    return messages.count("WATCHDOG=1")


def test_fed_while_every_part_advances_and_never_while_one_does_not(
    manager: Manager, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    environ = {
        "NOTIFY_SOCKET": address,
        "WATCHDOG_USEC": "60000000",
        "WATCHDOG_PID": str(os.getpid()),
    }

    async def day(clock: VirtualClock) -> None:
        notifier = Notifier.from_environment(environ)
        notifier.status("24 bays")
        manager.heard()
        watchdog = Watchdog.from_environment(notifier, clock, environ)
        watchdog.watch("supervisor", within_s=30)
        watchdog.watch("discovery", within_s=90)
        async with asyncio.TaskGroup() as group:
            feeding = group.create_task(watchdog.run())
            # both advance: at least once in each WatchdogSec
            for _ in range(30):
                await clock.sleep(10)
                watchdog.beat("supervisor")
                watchdog.beat("discovery")
            assert feeds(manager.heard()) >= 300 / 60 * 2
            # the supervisor stands still; the loop and discovery go on
            await clock.sleep(35)
            watchdog.beat("discovery")
            manager.heard()
            (silent,) = watchdog.silent()
            assert (silent.part, silent.within_s) == ("supervisor", 30)
            await clock.sleep(50)
            heard = manager.heard()
            assert not feeds(heard)
            assert any(
                line.startswith("STATUS=does not advance: supervisor for ") for line in heard
            )
            # it goes on: so does the feeding, and the status is the old one
            watchdog.beat("supervisor")
            await clock.sleep(25)
            heard = manager.heard()
            assert heard[0] == "STATUS=24 bays"
            assert feeds(heard)
            # a part that ended as it should holds nothing up
            watchdog.forget("supervisor")
            watchdog.beat("discovery")
            await clock.sleep(80)
            assert feeds(manager.heard())
            feeding.cancel()

    with caplog.at_level(logging.ERROR, "nullbay.watchdog"):
        run(day)
    (said,) = caplog.records
    line = json.loads(JsonFormatter().format(said))
    assert (line["event"], line["parts"]) == ("watchdog.silent", ["supervisor"])


def test_parts_are_watched_from_the_moment_they_are_named(address: str) -> None:
    async def start(clock: VirtualClock) -> None:
        await clock.sleep(1000)
        watchdog = Watchdog(Notifier(address), clock, 60)
        watchdog.watch("supervisor", within_s=30)
        assert not watchdog.silent()
        with pytest.raises(KeyError):
            watchdog.beat("supervisr")

    run(start)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "-5"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"},
    ],
)
def test_without_a_watchdog_silence_is_still_looked_for(
    environ: dict[str, str], manager: Manager, address: str
) -> None:
    async def start(clock: VirtualClock) -> None:
        watchdog = Watchdog.from_environment(Notifier(address), clock, environ)
        watchdog.watch("supervisor", within_s=30)
        async with asyncio.TaskGroup() as group:
            feeding = group.create_task(watchdog.run())
            await clock.sleep(100)
            feeding.cancel()

    run(start)
    assert any("does not advance: supervisor" in line for line in manager.heard())


# --- credentials -------------------------------------------------------------------------------


def test_a_credential_goes_before_the_file(tmp_path: Path) -> None:
    otherwise = tmp_path / "station.pem"
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert credential_path(Credential.STATION_KEY, otherwise, environ={}) == otherwise
    assert credential_path(Credential.STATION_KEY, otherwise, environ=environ) == otherwise
    given = tmp_path / "nullbay.station-key"
    given.symlink_to(tmp_path / "nowhere")
    # there and unreadable: no older key is taken instead
    assert credential_path(Credential.STATION_KEY, otherwise, environ=environ) == given
    assert credential_path(Credential.TLS_KEY, otherwise, environ=environ) == otherwise
