"""A drive process that is a task of this process: for the demo and the simulation."""

from __future__ import annotations

import asyncio

from nullbay.wipers.channel import Channel, local_pair
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


async def launch_local(around: Surroundings) -> LocalDriveProcess:
    """Start one."""
    return LocalDriveProcess(around)
