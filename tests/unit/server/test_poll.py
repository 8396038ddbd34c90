"""Polling: bounded, within a deadline, and whatever a station answers is survived."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from nullbay.config.server_settings import Poll
from nullbay.domain.clock import SystemClock
from nullbay.server.cards import Presence, StationCard, Via
from nullbay.server.poll import Poller
from nullbay.server.receive import STATUS_MAX_BYTES
from support.centre import Door, MadeStation, open_door

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def polled(
    state: Path, answers: dict[str, tuple[MadeStation, Answer]], poll: Poll | None = None
) -> AsyncIterator[tuple[Door, Poller]]:
    """Stations that answer `GET /v1/status` as told, and a centre that asks them."""
    async with AsyncExitStack() as stack:
        entries = []
        for made, answer in answers.values():
            app = web.Application()
            app.router.add_get("/{path:.*}", answer)
            server = await stack.enter_async_context(TestServer(app))
            entries.append(made.settings(url=str(server.make_url("")).rstrip("/")))
        stations = tuple(made for made, _ in answers.values())
        door = await stack.enter_async_context(open_door(state, stations, entries=tuple(entries)))
        poller = Poller(
            tuple(entries),
            door.centre.deliveries,
            poll or Poll(),
            SystemClock(),
            door.centre.metrics,
        )
        yield door, poller


async def cards(door: Door) -> dict[str, StationCard]:
    return {one.station: one for one in await door.centre.fleet()}


def as_json(body: bytes, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json")


def test_a_status_is_asked_for_with_the_read_only_token(tmp_path: Path) -> None:
    one = MadeStation()
    asked: list[tuple[str, str | None]] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append((request.path, request.headers.get("Authorization")))
        return as_json(one.status())

    async def run() -> None:
        async with polled(tmp_path, {"one": (one, answer)}) as (door, poller):
            await poller.round()
            card = (await cards(door))[one.name]
            assert (card.presence, card.via, card.poll_error) == (Presence.ONLINE, Via.POLL, "")
            assert card.status is not None
            assert asked == [("/v1/status", f"Bearer {one.poll_token}")]
            assert await door.codes() == []

    asyncio.run(run())


async def _never(_request: web.Request) -> web.Response:
    await asyncio.Event().wait()
    return web.Response()


async def _endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    piece = b" " * 65536
    for _ in range(2 * STATUS_MAX_BYTES // len(piece)):
        await response.write(piece)
    return response


async def _away(_request: web.Request) -> web.Response:
    return web.Response(status=302, headers={"Location": "http://127.0.0.1:9/v1/status"})


async def _plain(_request: web.Request) -> web.Response:
    return web.Response(text="hello")


async def _garbage(_request: web.Request) -> web.Response:
    return as_json(b'{"schema":')


async def _newer(_request: web.Request) -> web.Response:
    return as_json(MadeStation("odd").status().replace(b"nullbay.status/1", b"nullbay.status/2"))


async def _other(_request: web.Request) -> web.Response:
    return as_json(MadeStation("somebody-else").status())


async def _broken(_request: web.Request) -> web.Response:
    return web.Response(status=503)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (_never, "poll.deadline"),
        (_endless, "input.too-large"),
        (_away, "poll.http-302"),
        (_plain, "poll.media-type"),
        (_garbage, "input.malformed"),
        (_newer, "input.unknown-schema"),
        (_other, "station.other"),
        (_broken, "poll.http-503"),
    ],
)
def test_an_answer_that_is_none_costs_one_turn(tmp_path: Path, answer: Answer, code: str) -> None:
    good, odd = MadeStation("good"), MadeStation("odd")

    async def well(_request: web.Request) -> web.Response:
        return as_json(good.status())

    async def run() -> None:
        answers = {"odd": (odd, answer), "good": (good, well)}
        async with polled(tmp_path, answers, Poll(deadline_s=1, concurrency=2)) as (door, poller):
            await poller.round()
            found = await cards(door)
            assert (found["odd"].poll_error, found["odd"].presence) == (code, Presence.NEVER)
            assert (found["good"].poll_error, found["good"].presence) == ("", Presence.ONLINE)

    asyncio.run(run())


def test_a_station_that_is_off_is_told_and_comes_back(tmp_path: Path) -> None:
    one = MadeStation()

    async def run() -> None:
        entries = (one.settings(url="http://127.0.0.1:9"),)
        async with open_door(tmp_path, (one,), entries=entries) as door:
            poller = Poller(
                entries, door.centre.deliveries, Poll(), SystemClock(), door.centre.metrics
            )
            await poller.round()
            assert (await cards(door))[one.name].poll_error == "poll.unreachable"
            assert poller.failures == {one.name: 1}
            # It cannot be reached from here, but it reaches us.
            assert (await door.heartbeat(one)).status == 204
            card = (await cards(door))[one.name]
            assert (card.presence, card.via) == (Presence.ONLINE, Via.HEARTBEAT)

    asyncio.run(run())


def test_no_more_are_asked_at_once_than_the_settings_say(tmp_path: Path) -> None:
    stations = [MadeStation(f"bench-{number}") for number in range(9)]
    now, most = 0, 0

    def answer_of(one: MadeStation) -> Answer:
        async def answer(_request: web.Request) -> web.Response:
            nonlocal now, most
            now += 1
            most = max(most, now)
            for _ in range(20):
                await asyncio.sleep(0)
            now -= 1
            return as_json(one.status())

        return answer

    async def run() -> None:
        answers = {one.name: (one, answer_of(one)) for one in stations}
        async with polled(tmp_path, answers, Poll(concurrency=3)) as (door, poller):
            await poller.round()
            assert {one.presence for one in (await cards(door)).values()} == {Presence.ONLINE}
            assert 1 <= most <= 3

    asyncio.run(run())


def test_it_goes_on_asking(tmp_path: Path) -> None:
    one = MadeStation()
    turns = 0
    enough = asyncio.Event()

    async def answer(_request: web.Request) -> web.Response:
        nonlocal turns
        turns += 1
        if turns == 3:
            enough.set()
        # Once it fails in a way nobody foresaw.
        return as_json(one.status() if turns != 2 else b"\xff")

    class Quick(SystemClock):
        async def sleep(self, seconds: float) -> None:
            assert 24 <= seconds <= 36 or seconds == 0
            await super().sleep(0)

    async def run() -> None:
        async with polled(tmp_path, {"one": (one, answer)}) as (door, poller):
            poller.clock = Quick()
            task = asyncio.create_task(poller.run())
            await enough.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert (await cards(door))[one.name].presence is Presence.ONLINE

    asyncio.run(run())


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that is its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "station")])
    begins = datetime(2020, 1, 1, tzinfo=UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=36_500))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "tls.pem", folder / "tls.key"
    certificate.write_bytes(made.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate, private


def test_a_station_with_tls_is_checked_with_its_own_authority(tmp_path: Path) -> None:
    one = MadeStation()
    certificate, private = self_signed(tmp_path)
    junk = tmp_path / "junk.pem"
    junk.write_text("no certificate")
    seen: list[str | None] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        return as_json(one.status())

    async def run() -> None:
        app = web.Application()
        app.router.add_get("/v1/status", answer)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, private)
        server = TestServer(app, scheme="https")
        await server.start_server(ssl=context)
        base = one.settings(url=f"https://127.0.0.1:{server.port}")
        try:
            async with open_door(tmp_path / "state", (one,), entries=(base,)) as door:
                for authority, code in ((None, "poll.tls"), (junk, "poll.tls"), (certificate, "")):
                    poller = Poller(
                        (replace(base, poll_ca=authority),),
                        door.centre.deliveries,
                        Poll(),
                        SystemClock(),
                        door.centre.metrics,
                    )
                    await poller.round()
                    assert (await cards(door))[one.name].poll_error == code
                # The token was told to nobody whose certificate was not right.
                assert seen == [f"Bearer {one.poll_token}"]
        finally:
            await server.close()

    asyncio.run(run())
