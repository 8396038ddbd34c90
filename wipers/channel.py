"""Two-way channels of messages: over a socket, or inside one process through the same codec."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from nullbay.domain.errors import NullbayError
from nullbay.wipers.protocol import (
    LENGTH_BYTES,
    FromDrive,
    ToDrive,
    decode,
    encode,
    frame_length,
)

QUEUE_MESSAGES = 256


class ChannelClosedError(NullbayError):
    """The peer is gone; what it knew last is what it said last."""

    code = "channel.closed"


class Channel(Protocol):
    """Ordered, reliable, bounded."""

    async def send(self, message: Any) -> None:
        """Raises ChannelClosedError."""
        ...

    async def receive(self) -> Any:
        """The next message. Raises ChannelClosedError, MalformedError."""
        ...

    def close(self) -> None:
        """The peer's next receive raises ChannelClosedError."""
        ...


class StreamChannel:
    """Frames over an asyncio stream."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, incoming: Any
    ) -> None:
        """`incoming` is the union of messages this side may receive."""
        self._reader, self._writer, self._incoming = reader, writer, incoming

    async def send(self, message: Any) -> None:
        """Write one frame; waits while the peer does not read."""
        try:
            self._writer.write(encode(message))
            await self._writer.drain()
        except (ConnectionError, RuntimeError) as error:
            raise ChannelClosedError("the peer closed the channel") from error

    async def receive(self) -> Any:
        """Read one frame."""
        try:
            length = frame_length(await self._reader.readexactly(LENGTH_BYTES))
            body = await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise ChannelClosedError("the peer closed the channel") from error
        return decode(body, self._incoming)

    def close(self) -> None:
        """Close the socket."""
        self._writer.close()


class _Pair:
    """What two ends in one process share: frames on their way, and whether one end has closed."""

    def __init__(self) -> None:
        self.down: deque[bytes] = deque()
        self.up: deque[bytes] = deque()
        self.closed = False
        self._changed = asyncio.Event()

    def change(self) -> None:
        """Wake everybody who waits."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def until(self, ready: Callable[[], bool]) -> None:
        """Wait for it, or for the end."""
        while not (ready() or self.closed):
            await self._changed.wait()


class LocalChannel:
    """One end of a pair inside one process; every message is encoded and decoded all the same."""

    def __init__(
        self, pair: _Pair, outgoing: deque[bytes], incoming: deque[bytes], kinds: Any
    ) -> None:
        """Made by `local_pair`."""
        self._pair, self._outgoing, self._incoming = pair, outgoing, incoming
        self._kinds, self._closed = kinds, False

    async def send(self, message: Any) -> None:
        """Hand one frame over; waits while the peer has too many to read."""
        frame = encode(message)
        await self._pair.until(lambda: len(self._outgoing) < QUEUE_MESSAGES)
        if self._pair.closed:
            raise ChannelClosedError("the peer closed the channel")
        self._outgoing.append(frame)
        self._pair.change()

    async def receive(self) -> Any:
        """Take one frame; what the peer said before it closed is still heard."""
        await self._pair.until(lambda: bool(self._incoming))
        if self._closed or not self._incoming:
            raise ChannelClosedError("the peer closed the channel")
        frame = self._incoming.popleft()
        self._pair.change()
        return decode(frame[LENGTH_BYTES:], self._kinds)

    def close(self) -> None:
        """Tell the peer, also one that waits to send."""
        self._closed = self._pair.closed = True
        self._pair.change()


def local_pair(up: Any = FromDrive, down: Any = ToDrive) -> tuple[LocalChannel, LocalChannel]:
    """The upper end, which receives `up`, and the lower: of a bench and its drive process."""
    pair = _Pair()
    return (
        LocalChannel(pair, pair.down, pair.up, up),
        LocalChannel(pair, pair.up, pair.down, down),
    )
