"""Asking stations how they are: a few at once, each within a deadline, no answer without bounds.

A station that does not answer costs its own turn and nobody else's. The token goes to the address
in the settings only: redirects are not followed.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field

import aiohttp
import structlog

from nullbay.config.server_settings import Poll, StationEntry
from nullbay.domain.clock import Clock
from nullbay.domain.errors import MalformedError, NullbayError
from nullbay.server.cards import Via
from nullbay.server.deliveries import Deliveries
from nullbay.server.metrics import CentreMetrics
from nullbay.server.receive import STATUS_MAX_BYTES

PATH = "/v1/status"
JITTER = 0.2
_CHUNK_BYTES = 64 * 1024

log = structlog.get_logger("nullbay.server")


class PollError(NullbayError):
    """A station's answer that is none: poll.unreachable, poll.tls, poll.http-503 and the like."""

    code = "poll.failed"


@dataclass(slots=True)
class Poller:
    """Asks every station that has an address, for ever; `round` asks each once.

    `failures` counts how often each one failed in a row.
    """

    stations: tuple[StationEntry, ...]
    deliveries: Deliveries
    settings: Poll
    clock: Clock
    metrics: CentreMetrics
    failures: dict[str, int] = field(default_factory=dict)
    _tls: dict[str, ssl.SSLContext] = field(default_factory=dict)

    async def run(self) -> None:
        """Every station at its own moments, until cancelled."""
        asked = [one for one in self.stations if one.url]
        room = asyncio.Semaphore(self.settings.concurrency)
        async with self._session() as session, asyncio.TaskGroup() as group:
            for place, one in enumerate(asked):
                # Spread over the first interval: not all at once after a start.
                first_s = self.settings.interval_s * place / len(asked)
                group.create_task(self._for_ever(session, one, room, first_s), name="poll")

    async def round(self, names: Iterable[str] | None = None) -> None:
        """Ask each station once (those named, else all), at most `concurrency` at a time."""
        wanted = None if names is None else set(names)
        room = asyncio.Semaphore(self.settings.concurrency)
        async with self._session() as session, asyncio.TaskGroup() as group:
            for one in self.stations:
                if one.url and (wanted is None or one.station in wanted):
                    group.create_task(self._once(session, one, room), name="poll")

    async def _for_ever(
        self,
        session: aiohttp.ClientSession,
        station: StationEntry,
        room: asyncio.Semaphore,
        first_s: float,
    ) -> None:
        await self.clock.sleep(first_s)
        turn = 0
        while True:
            await self._once(session, station, room)
            turn += 1
            await self.clock.sleep(self.settings.interval_s * _jitter(station.station, turn))

    async def _once(
        self, session: aiohttp.ClientSession, station: StationEntry, room: asyncio.Semaphore
    ) -> None:
        """One question; whatever goes wrong becomes a code, never an exception of the poller."""
        async with room:
            began = self.clock.boottime()
            code = ""
            try:
                async with self.clock.timeout(self.settings.deadline_s):
                    data = await self._ask(session, station)
                await self.deliveries.take_status(station.station, data, Via.POLL)
            except TimeoutError:
                code = "poll.deadline"
            except NullbayError as error:
                code = error.code
            except Exception:
                code = "poll.failed"
                log.exception("poll failed", station=station.station)
            seconds = self.clock.boottime() - began
            self.metrics.polled(answered=not code, seconds=seconds)
            self.failures[station.station] = (
                self.failures.get(station.station, 0) + 1 if code else 0
            )
            if code:
                await self._failed(station.station, code)

    async def _failed(self, station: str, code: str) -> None:
        try:
            await self.deliveries.poll_failed(station, code)
        except NullbayError as error:
            log.warning("poll not noted", station=station, code=error.code)

    async def _ask(self, session: aiohttp.ClientSession, station: StationEntry) -> bytes:
        """The body of an answer. Raises PollError, MalformedError."""
        headers = {"Authorization": f"Bearer {station.poll_token}", "Accept": "application/json"}
        try:
            async with session.get(
                station.url + PATH,
                headers=headers,
                allow_redirects=False,
                ssl=self._context(station),
            ) as answer:
                if answer.status != 200:
                    raise PollError(
                        f"the station answered {answer.status}", code=f"poll.http-{answer.status}"
                    )
                if answer.content_type != "application/json":
                    raise PollError("the station answered no JSON", code="poll.media-type")
                return await _capped(answer)
        except aiohttp.ClientSSLError as error:
            raise PollError(f"TLS with the station failed: {error}", code="poll.tls") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise PollError(
                f"the station cannot be reached: {error}", code="poll.unreachable"
            ) from None

    def _context(self, station: StationEntry) -> ssl.SSLContext | bool:
        if station.poll_ca is None:
            return True
        name = str(station.poll_ca)
        if name not in self._tls:
            try:
                self._tls[name] = ssl.create_default_context(cafile=name)
            except (OSError, ssl.SSLError):
                raise PollError("`poll_ca` holds no certificates", code="poll.tls") from None
        return self._tls[name]

    def _session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=self.settings.concurrency, enable_cleanup_closed=True
        )
        # No environment: a proxy or a .netrc of the service's user has no business here. Time is
        # the Clock's, so aiohttp sets no limits of its own.
        return aiohttp.ClientSession(
            connector=connector,
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None, sock_read=None),
            auto_decompress=False,
            max_line_size=8190,
            max_field_size=8190,
        )


async def _capped(answer: aiohttp.ClientResponse) -> bytes:
    if (answer.content_length or 0) > STATUS_MAX_BYTES:
        raise MalformedError("the station's answer is too large", code="input.too-large")
    held = bytearray()
    async for piece in answer.content.iter_chunked(_CHUNK_BYTES):
        held += piece
        if len(held) > STATUS_MAX_BYTES:
            raise MalformedError("the station's answer is too large", code="input.too-large")
    return bytes(held)


def _jitter(name: str, turn: int) -> float:
    """A factor of 1 ± 20 %, the same for the same station and turn: no two stay in step."""
    digest = hashlib.sha256(f"{name}\0{turn}".encode()).digest()
    return 1 - JITTER + 2 * JITTER * int.from_bytes(digest[:4], "big") / 2**32
