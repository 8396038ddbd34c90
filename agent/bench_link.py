"""The link to the bench: one connection for all bays, made anew when it was lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from nullbay.wipers.client import BenchClient


class BenchLink:
    """Gives an open client, connecting where there is none; everybody gets the same."""

    def __init__(self, connect: Callable[[], Awaitable[BenchClient]]) -> None:
        """`connect` raises ChannelClosedError where no bench answers."""
        self._connect = connect
        self._client: BenchClient | None = None
        self._one_at_a_time = asyncio.Lock()

    @property
    def current(self) -> BenchClient | None:
        """The client, if there is one that can be asked."""
        return self._client if self._client is not None and self._client.is_open else None

    async def client(self) -> BenchClient:
        """An open client. Raises ChannelClosedError, and what the greeting raises."""
        async with self._one_at_a_time:
            if self.current is None:
                self._client = await self._connect()
            assert self._client is not None, "connect gives a client"  # noqa: S101 - the line above
            return self._client

    async def close(self) -> None:
        """End the connection; drives stay held and jobs go on."""
        if self._client is not None:
            await self._client.aclose()
