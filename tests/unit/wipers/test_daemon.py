"""The bench as a daemon: readiness, its end, and whom it waits for."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from nullbay.domain.clock import SystemClock
from nullbay.domain.drive import Drive
from nullbay.domain.errors import NullbayError
from nullbay.domain.record import Build
from nullbay.lab.host import SimulatedHostFacts
from nullbay.wipers import daemon as daemons
from nullbay.wipers.bench_server import BenchService
from nullbay.wipers.channel import ChannelClosedError
from nullbay.wipers.client import connect
from nullbay.wipers.daemon import Daemon, Door
from nullbay.wipers.service import Bench, DriveProcess, Host, Placement

LIMIT_S = 60
"""No test waits for this: it ends one that hangs."""
NOT_ME = 4242


class Manager:
    """Who is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.is_ready = asyncio.Event()

    def ready(self, status: str = "") -> None:
        self.told.append("ready")
        self.is_ready.set()

    def status(self, text: str) -> None:
        self.told.append(text)

    def stopping(self, text: str = "") -> None:
        self.told.append("stopping")

    def extend(self, seconds: float) -> None:
        self.told.append("extend")


def find(_: str) -> Drive:
    raise NullbayError("there are no drives here", code="device.not-found")


async def launch() -> DriveProcess:
    raise AssertionError("nothing is to be opened")


def served(
    folder: Path,
    act: Callable[[Daemon, BenchService, Path], Awaitable[None]],
    uids: frozenset[int] = frozenset({os.getuid()}),
) -> list[str]:
    """A running daemon, until it ends; what its manager was told."""
    manager, path = Manager(), folder / "s"

    async def main() -> None:
        host = Host(SystemClock(), SimulatedHostFacts(), find, launch)
        bench = Bench(folder / "jobs", host, Build("1", "", "", ""), Placement())
        service = BenchService(bench, {}, lambda _: b"", b"a key")
        daemon = Daemon(service, Door(path, None, uids), manager)
        async with asyncio.timeout(LIMIT_S):
            running = asyncio.create_task(daemon.run())
            await manager.is_ready.wait()
            await act(daemon, service, path)
            await running

    asyncio.run(main())
    assert not path.exists()
    return manager.told


def test_it_is_ready_when_it_listens_and_ends_when_it_is_told(tmp_path: Path) -> None:
    async def act(daemon: Daemon, _: BenchService, path: Path) -> None:
        client = await connect(path, "test")
        assert (await client.hello()).bench_public_key_pem == b"a key"
        assert await client.jobs() == ()
        daemon.terminate()
        daemon.terminate()
        await client.ended()

    told = served(tmp_path, act)
    assert told[0] == "ready"
    assert "stopping" in told


def test_a_stop_that_was_asked_for_is_answered_before_the_end(tmp_path: Path) -> None:
    async def act(_: Daemon, service: BenchService, path: Path) -> None:
        client = await connect(path, "test")
        if os.getuid() == 0:
            await client.stop()
        else:
            with pytest.raises(NullbayError) as caught:
                await client.stop()
            assert caught.value.code == "bench.not-root"
            await service.stop()

    served(tmp_path, act)


def test_a_step_that_may_not_be_interrupted_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemons, "ASK_AGAIN_S", 0.001)
    asked = 0

    def uninterruptible(_: BenchService) -> tuple[str, ...]:
        nonlocal asked
        asked += 1
        return ("/dev/sdx",) if asked < 4 else ()

    monkeypatch.setattr(BenchService, "uninterruptible", uninterruptible)

    async def act(daemon: Daemon, _: BenchService, path: Path) -> None:
        client = await connect(path, "test")
        daemon.terminate()
        with pytest.raises((NullbayError, ChannelClosedError)) as caught:
            await client.open("/dev/sdx")
        assert caught.value.code in {"refused", "channel.closed"}

    told = served(tmp_path, act)
    assert told.count("waiting: /dev/sdx cannot be interrupted") == 3
    assert told.count("extend") == 4


def test_whom_the_kernel_does_not_name_is_not_heard(tmp_path: Path) -> None:
    async def act(_: Daemon, service: BenchService, path: Path) -> None:
        with pytest.raises(NullbayError) as caught:
            await connect(path, "test")
        assert caught.value.code == "bench.not-you"
        await service.stop()

    served(tmp_path, act, frozenset({NOT_ME}))
