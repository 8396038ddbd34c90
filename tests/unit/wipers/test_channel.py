"""Channels: frames over a socket as they may come, and the pair inside one process."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from nullbay.domain.clock import ClockSync, Stamp
from nullbay.domain.errors import MalformedError, TooLargeError
from nullbay.wipers import protocol as p
from nullbay.wipers.channel import (
    QUEUE_MESSAGES,
    ChannelClosedError,
    LocalChannel,
    StreamChannel,
    local_pair,
)

STAMP = Stamp("2026-11-21T20:00:00.000000Z", 1, "boot", ClockSync.UNKNOWN)
LIMIT_S = 30
"""No test waits for this: it ends one that hangs."""


@asynccontextmanager
async def linked() -> AsyncIterator[tuple[StreamChannel, socket.socket]]:
    """A bench's end, and the bare socket of its peer."""
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    theirs.setblocking(False)
    try:
        yield StreamChannel(reader, writer, p.FromDrive), theirs
    finally:
        theirs.close()
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


def run(test: Callable[[StreamChannel, socket.socket], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(LIMIT_S), linked() as (channel, peer):
            await test(channel, peer)

    asyncio.run(main())


def test_a_frame_may_come_in_pieces_and_several_at_once() -> None:
    async def test(channel: StreamChannel, peer: socket.socket) -> None:
        first, second = p.encode(p.Intent(1, STAMP)), p.encode(p.Hello("x", "y"))
        for at in range(len(first)):
            peer.send(first[at : at + 1])
            await asyncio.sleep(0)
        peer.send(second + second)
        assert await channel.receive() == p.Intent(1, STAMP)
        assert await channel.receive() == await channel.receive() == p.Hello("x", "y")

    run(test)


@pytest.mark.parametrize("kept", [0, 1, 3, 4, 5, -1])
def test_an_end_in_the_midst_of_a_frame_is_an_end(kept: int) -> None:
    async def test(channel: StreamChannel, peer: socket.socket) -> None:
        peer.send(p.encode(p.Hello("x", "y"))[:kept])
        peer.close()
        for _ in range(2):
            with pytest.raises(ChannelClosedError):
                await channel.receive()

    run(test)


def test_a_frame_beyond_the_cap_is_refused_before_it_is_read() -> None:
    async def test(channel: StreamChannel, peer: socket.socket) -> None:
        peer.send((p.FRAME_MAX_BYTES + 1).to_bytes(4, "big"))
        with pytest.raises(TooLargeError):
            await channel.receive()

    run(test)


@pytest.mark.parametrize("body", [b"", b"{}", b"\xff", b"[]", p.encode(p.Close())[4:]])
def test_a_frame_that_is_no_message_is_refused_and_the_next_is_read(body: bytes) -> None:
    async def test(channel: StreamChannel, peer: socket.socket) -> None:
        peer.send(len(body).to_bytes(4, "big") + body + p.encode(p.Hello("x", "y")))
        with pytest.raises(MalformedError):
            await channel.receive()
        assert await channel.receive() == p.Hello("x", "y")

    run(test)


def test_a_sender_waits_for_a_slow_reader_and_learns_of_a_dead_one() -> None:
    async def test(channel: StreamChannel, peer: socket.socket) -> None:
        large = p.Open("x" * 500_000)

        async def send_all() -> None:
            for _ in range(8):
                await channel.send(large)

        sending = asyncio.create_task(send_all())
        for _ in range(20):
            await asyncio.sleep(0)
        assert not sending.done()
        peer.close()
        with pytest.raises(ChannelClosedError):
            await sending
        with pytest.raises(ChannelClosedError):
            await channel.receive()

    run(test)


def test_a_closed_channel_says_so_on_both_sides() -> None:
    async def test(channel: StreamChannel, _peer: socket.socket) -> None:
        channel.close()
        with pytest.raises(ChannelClosedError):
            await channel.receive()
        with pytest.raises(ChannelClosedError):
            await asyncio.gather(*(channel.send(p.Close()) for _ in range(10)))

    run(test)


def local(test: Callable[[LocalChannel, LocalChannel], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(LIMIT_S):
            await test(*local_pair())

    asyncio.run(main())


def test_a_local_pair_speaks_through_the_same_codec() -> None:
    async def test(bench: LocalChannel, drive: LocalChannel) -> None:
        await bench.send(p.Acknowledged(3))
        assert await drive.receive() == p.Acknowledged(3)
        await drive.send(p.Intent(1, STAMP))
        assert await bench.receive() == p.Intent(1, STAMP)
        await drive.send(p.Close())
        with pytest.raises(MalformedError):
            await bench.receive()

    local(test)


def test_a_local_pair_is_bounded_and_a_full_one_can_be_closed() -> None:
    async def test(bench: LocalChannel, drive: LocalChannel) -> None:
        for _ in range(QUEUE_MESSAGES):
            await bench.send(p.Pause())
        waiting = asyncio.create_task(bench.send(p.Pause()))
        await asyncio.sleep(0)
        assert not waiting.done()
        drive.close()
        with pytest.raises(ChannelClosedError):
            await bench.receive()
        with pytest.raises(ChannelClosedError):
            await waiting
        with pytest.raises(ChannelClosedError):
            await bench.send(p.Pause())

    local(test)


def test_what_was_said_before_the_end_is_still_heard() -> None:
    async def test(bench: LocalChannel, drive: LocalChannel) -> None:
        await drive.send(p.Hello("x", "y"))
        drive.close()
        assert await bench.receive() == p.Hello("x", "y")
        for _ in range(2):
            with pytest.raises(ChannelClosedError):
                await bench.receive()

    local(test)
