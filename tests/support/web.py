"""HTTP in tests: a clock that is moved by hand, a listener on loopback, a client that counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

import aiohttp

from nullbay.domain.clock import Stamp, SystemClock
from nullbay.web.serve import Binding, Served, serve

T = TypeVar("T")


class HandClock:
    """Real time plus what a test adds; sleeping adds it instead of waiting."""

    def __init__(self) -> None:
        self._real = SystemClock()
        self.shift_s = 0.0
        self.slept: list[float] = []
        self.timeout_max_s: float | None = None
        """The longest any timeout waits in real time."""

    def now(self) -> Stamp:
        return self._real.now()

    def boottime(self) -> float:
        return self._real.boottime() + self.shift_s

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.shift_s += seconds
        await asyncio.sleep(0)

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[object]:
        if seconds is not None and self.timeout_max_s is not None:
            seconds = min(seconds, self.timeout_max_s)
        return self._real.timeout(seconds)

    def wait_blocking(self, seconds: float) -> None:
        self.shift_s += seconds


@asynccontextmanager
async def served(app: aiohttp.web.Application, **binding: Any) -> AsyncIterator[Served]:
    listener = await serve(app, Binding(**binding))
    try:
        yield listener
    finally:
        await listener.stop()


@asynccontextmanager
async def client(base: str) -> AsyncIterator[aiohttp.ClientSession]:
    """Keeps cookies also for an address without a name."""
    jar = aiohttp.CookieJar(unsafe=True)
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(base, cookie_jar=jar, timeout=timeout) as session:
        yield session


def run(main: Callable[[], Awaitable[T]]) -> T:
    async def whole() -> T:
        return await main()

    return asyncio.run(whole())
