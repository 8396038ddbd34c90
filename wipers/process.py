"""The drive process: `python -I -m nullbay.wipers.process`, one for each drive.

Standard library and cryptography only, so that it starts fast and stays small. When the peer goes
away it reads end of file, stops at the next block and ends; nobody adopts it.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Callable
from typing import TypeAlias

from nullbay import __version__
from nullbay.domain.clock import Clock, SystemClock
from nullbay.domain.ports import DriveAccess
from nullbay.wipers.channel import StreamChannel
from nullbay.wipers.lanes import ThreadExecutor
from nullbay.wipers.platform.access import open_drive
from nullbay.wipers.platform.clocksync import kernel_clock_sync
from nullbay.wipers.platform.privileges import drop_capabilities
from nullbay.wipers.protocol import ToDrive
from nullbay.wipers.session import DriveSession, Surroundings

Opener: TypeAlias = Callable[[str, Clock], DriveAccess]


def main(arguments: list[str], opener: Opener) -> int:
    """Serve one drive over the socket whose descriptor is the only argument.

    The bench decides when to end, not a terminal's Ctrl-C. Lanes drop every capability and stay
    uid 0.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(_serve(int(arguments[0]), opener))
    return 0


async def _serve(descriptor: int, opener: Opener) -> None:
    clock = SystemClock(kernel_clock_sync)
    link = socket.socket(fileno=descriptor)
    reader, writer = await asyncio.open_unix_connection(sock=link)
    executor = ThreadExecutor(clock, drop_capabilities)
    around = Surroundings(clock, executor, lambda device: opener(device, clock), __version__)
    await DriveSession(StreamChannel(reader, writer, ToDrive), around).serve()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], lambda device, _clock: open_drive(device)))
