"""Server-sent events over a real socket: heartbeats, slow clients, caps, endings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest

from nullbay.web.routes import Ask, EventAnswer, Route, application
from nullbay.web.security import ANYONE, Gate
from nullbay.web.sessions import FixedTokens, Sessions
from nullbay.web.sse import Event, Streams
from support.web import HandClock, client, run, served

Source = Callable[[], AsyncIterator[Event]]


@asynccontextmanager
async def stream(
    source: Source, clock: HandClock, cap: int = 64
) -> AsyncIterator[tuple[aiohttp.ClientSession, Streams]]:
    async def events(_ask: Ask[None, None]) -> AsyncIterator[Event]:
        return source()

    gate = Gate(clock, FixedTokens([]), Sessions(clock), frozenset({"127.0.0.1"}))
    streams = Streams(clock, cap=cap)
    routes = [Route("GET", "/events", "News", ANYONE, events, EventAnswer(str))]
    app = application(routes, gate, streams=streams)
    async with served(app) as listener, client(listener.url) as session:
        yield session, streams


async def until(ready: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not ready():  # noqa: ASYNC110 - the other side is a socket
            await asyncio.sleep(0.005)


async def nothing() -> AsyncIterator[Event]:
    await asyncio.Event().wait()
    yield Event("", "", "")


async def endless() -> AsyncIterator[Event]:
    number = 0
    while True:
        number += 1
        yield Event(str(number), "big", "x" * 60_000)


def test_a_quiet_stream_breathes() -> None:
    async def main() -> None:
        clock = HandClock()
        clock.timeout_max_s = 0.01
        async with stream(nothing, clock) as (session, _), session.get("/events") as reply:
            text = await reply.content.readexactly(len(b"retry: 2000\n\n: here\n\n: here\n\n"))
            assert text == b"retry: 2000\n\n: here\n\n: here\n\n"

    run(main)


def test_who_takes_nothing_is_cut_off_and_the_source_is_closed() -> None:
    async def main() -> None:
        clock = HandClock()
        clock.timeout_max_s = 0.2
        closed: list[int] = []
        sent = 0

        async def source() -> AsyncIterator[Event]:
            nonlocal sent
            try:
                async for event in endless():
                    sent += 1
                    yield event
            finally:
                closed.append(sent)

        async with stream(source, clock) as (session, streams):
            reply = await session.get("/events")
            await until(lambda: bool(closed))
            assert len(streams) == 0
            # What was taken from the source is what sockets and the bounded queue hold.
            assert closed[0] * 60_000 < 64 * 1024 * 1024
            with pytest.raises(aiohttp.ClientError):
                await reply.content.read()
            reply.close()

    run(main)


def test_who_leaves_is_noticed() -> None:
    async def main() -> None:
        clock = HandClock()
        clock.timeout_max_s = 0.05
        async with stream(nothing, clock) as (session, streams):
            reply = await session.get("/events")
            await until(lambda: len(streams) == 1)
            reply.close()
            await until(lambda: len(streams) == 0)

    run(main)


def test_there_is_room_for_so_many() -> None:
    async def main() -> None:
        async with stream(nothing, HandClock(), cap=2) as (session, streams):
            held = [await session.get("/events") for _ in range(2)]
            assert [reply.status for reply in held] == [200, 200]
            await until(lambda: len(streams) == 2)
            reply = await session.get("/events")
            assert reply.status == 503
            assert (await reply.json(content_type=None))["code"] == "http.busy"
            for one in held:
                one.close()

    run(main)


def test_stopping_ends_every_stream() -> None:
    async def main() -> None:
        async with stream(nothing, HandClock()) as (session, streams):
            reply = await session.get("/events")
            await until(lambda: len(streams) == 1)
            await streams.close()
            assert len(streams) == 0
            assert (await reply.content.read()).endswith(b"retry: 2000\n\n")

    run(main)


def test_a_source_that_fails_ends_its_stream() -> None:
    async def fails() -> AsyncIterator[Event]:
        yield Event("1", "x", "y")
        raise RuntimeError("inside")

    async def main() -> None:
        async with stream(fails, HandClock()) as (session, streams):
            text = await (await session.get("/events")).text()
            assert text.endswith("id: 1\nevent: x\ndata: y\n\n")
            assert "inside" not in text
            await until(lambda: len(streams) == 0)

    run(main)


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_line_ends_in_data_cannot_make_events_up(ending: str) -> None:
    data = f"a{ending}{ending}event: made-up{ending}data: b"
    assert Event("1", "x", data).encoded() == (
        b"id: 1\nevent: x\ndata: a\ndata: \ndata: event: made-up\ndata: data: b\n\n"
    )
