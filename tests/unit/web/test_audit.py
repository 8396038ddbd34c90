"""What strangers on the network can use up: nothing that the station needs for itself."""

from __future__ import annotations

import asyncio
import threading

import pytest

from nullbay.agent.intake.people import People
from nullbay.agent.intake.refusal import Refusal
from nullbay.agent.web.people import ENTERING_MAX, IntakePeople, PersonRefusedError
from nullbay.config.settings import Settings
from nullbay.web.problems import BusyError
from nullbay.web.serve import CONNECTIONS_MAX
from support.station_site import site
from support.web import HandClock, run


def test_strangers_take_no_more_connections_than_there_are_for_them() -> None:
    async def main() -> None:
        async with site() as here:
            host, _, port = here.url.removeprefix("http://").rpartition(":")
            writers = []
            ended = 0
            for _ in range(CONNECTIONS_MAX + 5):
                reader, writer = await asyncio.open_connection(host, int(port))
                writer.write(b"GET /healthz HTTP/1.1\r\n")  # and never an end of it
                writers.append(writer)
                if len(writers) > CONNECTIONS_MAX:
                    try:
                        ended += await reader.read() == b""
                    except ConnectionError:
                        ended += 1
            assert ended == 5
            for one in writers:
                one.close()
                try:
                    await one.wait_closed()
                except ConnectionError:
                    continue
            # room again, as soon as the listener has heard of it
            while (await _try(here.http, "/healthz")) != 200:  # noqa: ASYNC110 - no event tells of it
                await asyncio.sleep(0)

    run(main)


async def _try(http: object, path: str) -> int:
    try:
        reply = await http.get(path)  # type: ignore[attr-defined]
    except OSError:
        return 0
    return int(reply.status)


def test_strangers_guess_side_by_side_only_so_often() -> None:
    """A burst is past every slowing-down before its first answer: what it costs is bounded."""

    async def main() -> None:
        go = threading.Event()

        class Slow(People):
            def login(self, token: str, pin: str) -> Refusal:
                go.wait(60)
                return Refusal("person.unknown-badge", token, pin)

        people = IntakePeople(Slow.of(Settings(), HandClock()))
        first = [
            asyncio.ensure_future(people.enter(f"badge-{n}", "0")) for n in range(ENTERING_MAX)
        ]
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await people.enter("badge", "0")
        go.set()
        for one in await asyncio.gather(*first, return_exceptions=True):
            assert isinstance(one, PersonRefusedError)
        with pytest.raises(PersonRefusedError):  # room again
            await people.enter("badge", "0")

    run(main)
