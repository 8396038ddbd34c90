"""Two-way channels of messages: over a socket, or inside one process through the same codec."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from nullbay.domain.errors import NullbayError
from nullbay.wipers.protocol import (
    LENGTH_BYTES,
    FromDrive,
    Message,
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

    async def send(self, message: Message) -> None:
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

    async def send(self, message: Message) -> None:
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


class LocalChannel:
    """One end of a pair inside one process; every message is encoded and decoded all the same."""

    def __init__(
        self,
        outgoing: asyncio.Queue[bytes | None],
        incoming: asyncio.Queue[bytes | None],
        kinds: Any,
    ) -> None:
        """Made by `local_pair`."""
        self._outgoing, self._incoming, self._kinds = outgoing, incoming, kinds
        self._closed = False

    async def send(self, message: Message) -> None:
        """Hand one frame over; waits while the peer's queue is full."""
        if self._closed:
            raise ChannelClosedError("the channel is closed")
        await self._outgoing.put(encode(message))

    async def receive(self) -> Any:
        """Take one frame."""
        frame = None if self._closed else await self._incoming.get()
        if frame is None:
            self._closed = True
            raise ChannelClosedError("the peer closed the channel")
        return decode(frame[LENGTH_BYTES:], self._kinds)

    def close(self) -> None:
        """Tell the peer; a full queue loses its oldest frame, as a dying process would."""
        self._closed = True
        for queue in (self._outgoing, self._incoming):
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(None)


def local_pair() -> tuple[LocalChannel, LocalChannel]:
    """The bench's end and the drive process's end."""
    down: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUE_MESSAGES)
    up: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUE_MESSAGES)
    return LocalChannel(down, up, FromDrive), LocalChannel(up, down, ToDrive)
