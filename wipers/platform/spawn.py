"""Starting drive processes: a socket pair, isolated Python, a process group of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress

from nullbay.wipers.channel import Channel, StreamChannel
from nullbay.wipers.protocol import FromDrive

MODULE = "nullbay.wipers.process"
_ENVIRONMENT = {"LANG": "C.UTF-8", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


class SpawnedDriveProcess:
    """A drive process and the channel to it."""

    def __init__(self, channel: Channel, process: subprocess.Popen[bytes]) -> None:
        """Made by `spawn`."""
        self.channel, self._process = channel, process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL to its group; one that is stuck in the kernel stays, holding its drive."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def is_gone(self) -> bool:
        """Whether it is gone; reaps it."""
        return self._process.poll() is not None


async def spawn(module: str = MODULE) -> SpawnedDriveProcess:
    """Start one: standard input closed, environment cleared, standard error for its last words."""
    ours, theirs = socket.socketpair()
    try:
        process = _start(module, theirs)
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    return SpawnedDriveProcess(StreamChannel(reader, writer, FromDrive), process)


def _start(module: str, theirs: socket.socket) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-m", module, str(theirs.fileno())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=(theirs.fileno(),),
        process_group=0,
        env=_ENVIRONMENT,
    )
