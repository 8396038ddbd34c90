"""The bench as a daemon: a Unix socket, whose peers the kernel names, and an end that drains.

It outlives everybody who connects. What it does not outlive are its own drive processes' reasons to
run: when it is killed they read end of file, stop at the next block and end.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nullbay.domain.errors import NullbayError
from nullbay.wipers import bench_protocol as b
from nullbay.wipers.bench_connection import Connection
from nullbay.wipers.bench_server import STOP_S, BenchService
from nullbay.wipers.channel import StreamChannel
from nullbay.wipers.service import RefusedError

CONNECTIONS_MAX = 16
GOODBYE_S = 5.0
ASK_AGAIN_S = 2.0
BEAT_S = 5.0
SOCKET_MODE = 0o660
_UCRED = struct.Struct("3i")


class DoorError(NullbayError):
    """The socket cannot be made; nothing listens."""

    code = "bench.socket"


class Manager(Protocol):
    """Who started this daemon and watches it (sd_notify, or nobody)."""

    def ready(self, status: str = "") -> object:
        """It works."""
        ...

    def status(self, text: str) -> object:
        """One line about it."""
        ...

    def stopping(self, text: str = "") -> object:
        """It has begun to end."""
        ...

    def extend(self, seconds: float) -> object:
        """Ending takes so much longer."""
        ...


@dataclass(frozen=True, slots=True)
class Door:
    """Where it listens and who may ask: `gid` owns the socket (None: as it is made), `uids` ask."""

    path: Path
    gid: int | None
    uids: frozenset[int]


class Daemon:
    """Serves until it is stopped, by a request or by `terminate`."""

    def __init__(
        self,
        service: BenchService,
        door: Door,
        manager: Manager,
        beat: Callable[[], object] = lambda: None,
    ) -> None:
        """`beat` is called every few seconds while the loop turns."""
        self._service, self._door, self._manager, self._beat = service, door, manager, beat
        self._connections: dict[asyncio.Task[None], Connection | None] = {}
        self._ending: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Listen, serve, and at the end let go of every drive. Raises DoorError."""
        server = await asyncio.start_unix_server(self._met, sock=listen(self._door))
        beating = asyncio.create_task(self._beats())
        self._manager.ready(f"listening at {self._door.path}")
        try:
            await self._service.stopped.wait()
        finally:
            self._manager.stopping("letting go of the drives")
            server.close()
            with suppress(FileNotFoundError):
                self._door.path.unlink()
            await self._goodbye()
            beating.cancel()
            await self._service.aclose()

    def terminate(self) -> None:
        """Drain and end; a drive in a step that may not be interrupted is waited for."""
        if self._ending is None:
            self._service.begin_nothing()
            self._ending = asyncio.get_running_loop().create_task(self._drain())

    async def _drain(self) -> None:
        self._manager.stopping("asking every drive to stop at its next block")
        while True:
            self._manager.extend(STOP_S + GOODBYE_S)
            try:
                await self._service.stop()
            except RefusedError as error:
                self._manager.status(f"waiting: {error.refusals[0].evidence} cannot be interrupted")
                await self._service.clock.sleep(ASK_AGAIN_S)
            else:
                return

    async def _beats(self) -> None:
        while True:
            self._beat()
            await self._service.clock.sleep(BEAT_S)

    async def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One peer, from its first byte to its last; nothing of it is read before it is known."""
        task = asyncio.current_task()
        assert task is not None, "asyncio runs this as a task"  # noqa: S101 - its own rule
        channel = StreamChannel(reader, writer, b.ToBench)
        uid = peer_uid(writer.get_extra_info("socket"))
        connection = Connection(self._service, channel, uid, self._known)
        self._connections[task] = None
        try:
            if uid not in self._door.uids:
                why = f"uid {uid} may not ask the bench"
                await connection.refuse(
                    NullbayError(why, next_step="Ask as the agent, or root", code="bench.not-you")
                )
            elif len(self._connections) > CONNECTIONS_MAX:
                why = f"{CONNECTIONS_MAX} connections are open already"
                await connection.refuse(NullbayError(why, code="bench.full"))
            else:
                self._connections[task] = connection
                await connection.serve()
        finally:
            del self._connections[task]
            await self._shut(writer)

    def _known(self) -> tuple[object, ...]:
        return tuple(one for one in self._connections.values() if one is not None)

    async def _shut(self, writer: asyncio.StreamWriter) -> None:
        """What was said last may still be read; a peer that does not read is cut off."""
        writer.close()
        try:
            async with self._service.clock.timeout(GOODBYE_S):
                await writer.wait_closed()
        except (TimeoutError, OSError):
            writer.transport.abort()

    async def _goodbye(self) -> None:
        """Answers on their way arrive; then everybody is cut off."""
        tasks = [one for one in self._connections if one is not asyncio.current_task()]
        known = [one for one in self._connections.values() if one is not None]
        await asyncio.gather(*(one.flush(GOODBYE_S) for one in known))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def listen(door: Door) -> socket.socket:
    """A socket that only owner and group can reach. Raises DoorError.

    A socket that a killed daemon left behind is replaced; anything else of that name is not. The
    caller holds the lock of the state directory, so that no other daemon listens there.
    """
    path = door.path
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if path.is_symlink() or (path.exists() and not stat.S_ISSOCK(path.lstat().st_mode)):
            raise DoorError(f"{path} is there and is no socket", next_step="Name another --socket")
        if path.exists():
            _require_silent(path)
            path.unlink()
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            before = os.umask(0o777 & ~SOCKET_MODE)
            try:
                made.bind(os.fspath(path))
            finally:
                os.umask(before)
            if door.gid is not None and path.lstat().st_gid != door.gid:
                os.chown(path, -1, door.gid, follow_symlinks=False)
            made.setblocking(False)  # noqa: FBT003 - socket's own signature
        except BaseException:
            made.close()
            raise
    except OSError as error:
        msg = f"no socket can be made at {path}: {error.strerror or error}"
        raise DoorError(msg, next_step="See the directory it is in") from error
    return made


def _require_silent(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
        probe.setblocking(False)  # noqa: FBT003 - socket's own signature
        refused = {errno.ECONNREFUSED, errno.ENOENT}
        if probe.connect_ex(os.fspath(path)) not in refused:
            raise DoorError(f"somebody listens at {path} already", next_step="Stop it first")


def peer_uid(link: socket.socket) -> int:
    """Whom the kernel says the peer was when it connected (SO_PEERCRED, unix(7))."""
    said = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    _, uid, _ = _UCRED.unpack(said)
    return int(uid)
