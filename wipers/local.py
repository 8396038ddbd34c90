"""Drive processes and benches as tasks of this process, behind the same codec as real ones."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nullbay.wipers import bench_protocol as b
from nullbay.wipers.bench_connection import Connection
from nullbay.wipers.bench_server import BenchService
from nullbay.wipers.channel import Channel, local_pair
from nullbay.wipers.client import BenchClient
from nullbay.wipers.session import DriveSession, Surroundings


class LocalDriveProcess:
    """Speaks through the same codec as a real one."""

    def __init__(self, around: Surroundings) -> None:
        """Starts at once; needs a running loop."""
        ours, theirs = local_pair()
        self.channel: Channel = ours
        self._theirs = theirs
        self._task = asyncio.create_task(DriveSession(theirs, around).serve())

    def kill(self) -> None:
        """As SIGKILL would: nothing more is said, the drive is let go of."""
        self._task.cancel()
        self._theirs.close()

    def is_gone(self) -> bool:
        """Whether its task has ended."""
        return self._task.done()


async def launch_local(around: Surroundings) -> LocalDriveProcess:
    """Start one."""
    return LocalDriveProcess(around)


@asynccontextmanager
async def local_client(
    service: BenchService, *, outside_bays: bool = False
) -> AsyncIterator[BenchClient]:
    """A client of a bench in this process; at the end the bench lets go of everything."""
    ours, theirs = local_pair(b.FromBench, b.ToBench)
    serving = asyncio.create_task(Connection(service, theirs, os.geteuid()).serve())
    client = BenchClient(ours, service.build.version, outside_bays=outside_bays)
    try:
        await client.hello()
        yield client
    finally:
        await client.aclose()
        await asyncio.gather(serving, return_exceptions=True)
        await service.aclose()
