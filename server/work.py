"""Where blocking work is done: threads for the database, the disk and signatures, few and named.

The rest of the centre is one event loop that never blocks. Tests may put `InlineWork` in its place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from nullbay.domain.errors import NullbayError

T = TypeVar("T")
WAITING_MAX = 512


class BusyError(NullbayError):
    """More work waits than the centre takes on."""

    code = "centre.busy"


class Work(Protocol):
    """Runs blocking calls; each is whole once it began, whoever stopped waiting for it."""

    async def read(self, call: Callable[[], T]) -> T:
        """A look into the database or a file. Raises what it raises, BusyError."""
        ...

    async def write(self, call: Callable[[], T]) -> T:
        """A change of database or disk, one after the other on SQLite."""
        ...

    async def check(self, call: Callable[[], T]) -> T:
        """Computing: signatures, verdicts, documents."""
        ...

    def close(self) -> None:
        """Wait for what began; take no more."""
        ...


class ThreadWork:
    """`Work` in threads of three kinds, so that reading never waits behind checking."""

    def __init__(self, *, writers: int = 1, readers: int = 4, checkers: int = 2) -> None:
        """One writer on SQLite, some on PostgreSQL."""
        self._pools = {
            "write": ThreadPoolExecutor(writers, "centre-write"),
            "read": ThreadPoolExecutor(readers, "centre-read"),
            "check": ThreadPoolExecutor(checkers, "centre-check"),
        }
        self._waiting = dict.fromkeys(self._pools, 0)

    async def read(self, call: Callable[[], T]) -> T:
        """In a reading thread."""
        return await self._run("read", call)

    async def write(self, call: Callable[[], T]) -> T:
        """In a writing thread."""
        return await self._run("write", call)

    async def check(self, call: Callable[[], T]) -> T:
        """In a computing thread."""
        return await self._run("check", call)

    def close(self) -> None:
        """Every thread ends."""
        for pool in self._pools.values():
            pool.shutdown(wait=True)

    async def _run(self, kind: str, call: Callable[[], T]) -> T:
        # Reading is never turned away: what began has to be able to end.
        if kind != "read" and self._waiting[kind] >= WAITING_MAX:
            raise BusyError("The centre has more to do than it takes on", next_step="Come again")
        self._waiting[kind] += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pools[kind], call)
        finally:
            self._waiting[kind] -= 1


class InlineWork:
    """`Work` on the spot: for simulations, where there are no threads."""

    async def read(self, call: Callable[[], T]) -> T:
        """Now."""
        return call()

    async def write(self, call: Callable[[], T]) -> T:
        """Now."""
        return call()

    async def check(self, call: Callable[[], T]) -> T:
        """Now."""
        return call()

    def close(self) -> None:
        """Nothing to end."""
