"""How much a centre takes: records accepted and stations polled per second.

Over HTTP on the loopback, in one process with those who deliver: the clients' share of the machine
is in the figures. A record is what a station sends for one drive: three ledger entries, the
evidence archive, the bundle; each with its receipt, each durable before it is answered.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestServer

from nullbay.config.server_settings import Poll
from nullbay.domain.clock import SystemClock
from nullbay.server.cards import Presence
from nullbay.server.poll import Poller
from support.centre import Door, MadeStation, Record, open_door
from support.postgres import cluster, programs

STATIONS = 8
RECORDS_EACH = 25
POLLED = 200


@dataclass(frozen=True)
class Figure:
    """One figure with what it was measured on."""

    name: str
    unit: str
    measured: float


def figures(note: Callable[[str], None] = lambda _text: None) -> tuple[Figure, ...]:
    """Records per second on both databases, and polls per second.

    PostgreSQL is left out where it is not installed.
    """
    made: list[Figure] = []
    note("centre: records on SQLite")
    made.append(Figure("centre: records accepted, SQLite", "records/s", asyncio.run(accepted(""))))
    if programs() is not None:
        note("centre: records on PostgreSQL")
        with cluster() as postgres:
            rate = asyncio.run(accepted(postgres.new_database()))
        made.append(Figure("centre: records accepted, PostgreSQL", "records/s", rate))
    note("centre: polls")
    made.append(Figure("centre: stations polled", "stations/s", asyncio.run(polled())))
    return tuple(made)


async def accepted(database: str) -> float:
    """Records per second from `STATIONS` stations at once, each in order."""
    stations = tuple(MadeStation(f"bench-{number}") for number in range(STATIONS))
    work = {one.name: [one.record() for _ in range(RECORDS_EACH)] for one in stations}
    with tempfile.TemporaryDirectory(prefix="nullbay-bench-") as folder:
        async with open_door(Path(folder), stations, database=database) as door:
            began = time.monotonic()
            async with asyncio.TaskGroup() as group:
                for one in stations:
                    group.create_task(_deliver(door, one, work[one.name]))
            took = time.monotonic() - began
            for one in stations:
                account = await door.centre.station_account(one.name)
                assert account.accounted
                assert account.records == RECORDS_EACH
    return STATIONS * RECORDS_EACH / took


async def polled() -> float:
    """Stations per second, each with a status of one bay, `Poll().concurrency` at once."""
    stations = tuple(MadeStation(f"bench-{number}") for number in range(POLLED))
    statuses = {f"Bearer {one.poll_token}": one.status() for one in stations}

    async def answer(request: web.Request) -> web.Response:
        body = statuses[request.headers["Authorization"]]
        return web.Response(body=body, content_type="application/json")

    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="nullbay-bench-"))
        app = web.Application()
        app.router.add_get("/v1/status", answer)
        server = await stack.enter_async_context(TestServer(app))
        url = str(server.make_url("")).rstrip("/")
        entries = tuple(one.settings(url=url) for one in stations)
        door = await stack.enter_async_context(open_door(Path(folder), stations, entries=entries))
        poller = Poller(entries, door.centre.deliveries, Poll(), SystemClock(), door.centre.metrics)
        began = time.monotonic()
        await poller.round()
        took = time.monotonic() - began
        assert all(one.presence is Presence.ONLINE for one in await door.centre.fleet())
    return POLLED / took


async def _deliver(door: Door, one: MadeStation, records: list[Record]) -> None:
    for made in records:
        for entry in made.entries:
            assert (await door.entry(one, entry)).status == 201
        assert (await door.evidence(one, made.archive)).status == 201
        assert (await door.record(one, made.bundle)).status == 201


if __name__ == "__main__":
    for figure in figures(print):
        print(f"{figure.name}: {figure.measured:.1f} {figure.unit}")
