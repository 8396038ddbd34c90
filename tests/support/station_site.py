"""A station's HTTP around a desk moved by hand, and a client that can log in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from nullbay.agent.web.app import StationWeb, station_web
from nullbay.web.security import CSRF_HEADER
from nullbay.web.serve import Binding
from nullbay.web.sessions import token_sha256
from support.desk import FakeDesk, FakePeople
from support.web import HandClock, client, served

STATUS_TOKEN = "status-token"


@dataclass
class Site:
    http: aiohttp.ClientSession
    url: str
    web: StationWeb
    desk: FakeDesk
    people: FakePeople
    clock: HandClock

    async def log_in(self, name: str = "ada") -> dict[str, str]:
        """Headers that a change on a page needs."""
        entrant = self.people.now(name)
        assert entrant is not None
        reply = await self.http.get(self.web.login_path(entrant, ttl_s=60))
        text = await reply.text()
        assert reply.status == 200, text
        csrf = text.split('"X-CSRF-Token": "')[1].split('"')[0]
        return {"Origin": self.url, CSRF_HEADER: csrf}

    async def ask(self, method: str, path: str, **more: Any) -> tuple[int, str]:
        reply = await self.http.request(method, path, allow_redirects=False, **more)
        return reply.status, await reply.text()


@asynccontextmanager
async def site(folder: Path | None = None, binding: Binding | None = None) -> AsyncIterator[Site]:
    desk, people, clock = FakeDesk(folder=folder), FakePeople(), HandClock()
    web = station_web(
        desk,
        people,
        clock,
        binding or Binding(),
        version="0.1.0",
        status_token_sha256=token_sha256(STATUS_TOKEN).hex(),
    )
    # Listens on loopback, whatever the binding says.
    async with served(web.app) as listener, client(listener.url) as http:
        yield Site(http, listener.url, web, desk, people, clock)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
