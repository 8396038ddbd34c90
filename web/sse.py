"""Server-sent events: one-way news to browsers and scripts, resumed after a break.

A stream takes from its source only what it can send, so a source keeps a bounded past of its own
and says when what a client last saw is too old. A client that takes nothing for `slow_s` is cut
off; it comes back with `Last-Event-ID` and goes on.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog
from aiohttp import ClientConnectionResetError, web

from nullbay.domain.clock import Clock
from nullbay.domain.errors import MalformedError
from nullbay.web.problems import BusyError

MEDIA_TYPE = "text/event-stream"
QUEUE_MAX = 64
log = structlog.get_logger("nullbay.web")
_ID = re.compile(r"[\x21-\x7e]{1,128}")
_LINE_ENDS = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Event:
    """One event: `id` printable ASCII without blanks (empty: none), `data` any text."""

    id: str
    name: str
    data: str

    def encoded(self) -> bytes:
        """As it goes over the wire."""
        lines = [f"id: {self.id}"] if self.id else []
        lines += [f"event: {self.name}"] if self.name else []
        lines += [f"data: {line}" for line in _LINE_ENDS.split(self.data)]
        return ("\n".join(lines) + "\n\n").encode()


def last_event_id(request: web.Request) -> str | None:
    """What the client saw last. Raises MalformedError for what no event of ours was called."""
    given = request.headers.get("Last-Event-ID")
    if given is None:
        return None
    if not _ID.fullmatch(given):
        raise MalformedError("Last-Event-ID is none of ours", next_step="Ask without it")
    return given


class Streams:
    """Every open stream of an application, at most `cap`; all end when it stops."""

    def __init__(
        self, clock: Clock, *, cap: int = 64, heartbeat_s: float = 15.0, slow_s: float = 20.0
    ) -> None:
        self._clock = clock
        self._cap = cap
        self._heartbeat_s = heartbeat_s
        self._slow_s = slow_s
        self._open: set[asyncio.Queue[Event | None]] = set()
        self._none_open = asyncio.Event()

    async def serve(
        self,
        request: web.Request,
        source: AsyncIterator[Event],
        is_allowed: Callable[[], bool] = lambda: True,
    ) -> web.StreamResponse:
        """Send a source to its end, to the client's end, or until `is_allowed` says no.

        Raises BusyError where too many listen.
        """
        if len(self._open) >= self._cap:
            raise BusyError("Too many are listening", next_step="Close another window")
        response = web.StreamResponse(
            headers={"Content-Type": MEDIA_TYPE, "X-Accel-Buffering": "no"}
        )
        queue: asyncio.Queue[Event | None] = asyncio.Queue(QUEUE_MAX)
        self._open.add(queue)
        try:
            await response.prepare(request)
            await self._run(request, response, source, queue, is_allowed)
        finally:
            self._open.discard(queue)
            if not self._open:
                self._none_open.set()
        return response

    async def close(self) -> None:
        """End every stream and wait until they have; one that is stuck is given `slow_s`."""
        self._none_open.clear()
        for queue in self._open:
            while not queue.empty():
                queue.get_nowait()
            queue.put_nowait(None)
        if self._open:
            await self._none_open.wait()

    def __len__(self) -> int:
        """How many listen."""
        return len(self._open)

    async def _run(
        self,
        request: web.Request,
        response: web.StreamResponse,
        source: AsyncIterator[Event],
        queue: asyncio.Queue[Event | None],
        is_allowed: Callable[[], bool],
    ) -> None:
        pump = asyncio.create_task(_pump(source, queue), name="sse-pump")
        try:
            await self._send(response, b"retry: 2000\n\n")
            await self._relay(response, queue, is_allowed)
        except TimeoutError:
            # Nothing was taken for so long: whatever is buffered would never arrive either.
            if request.transport is not None:
                request.transport.abort()
        except (ClientConnectionResetError, ConnectionError):
            pass
        finally:
            pump.cancel()
            with suppress(asyncio.CancelledError):
                await pump

    async def _relay(
        self,
        response: web.StreamResponse,
        queue: asyncio.Queue[Event | None],
        is_allowed: Callable[[], bool],
    ) -> None:
        while is_allowed():
            try:
                async with self._clock.timeout(self._heartbeat_s):
                    event = await queue.get()
            except TimeoutError:
                await self._send(response, b": here\n\n")
                continue
            if event is None:
                return
            await self._send(response, event.encoded())

    async def _send(self, response: web.StreamResponse, data: bytes) -> None:
        async with self._clock.timeout(self._slow_s):
            await response.write(data)


async def _pump(source: AsyncIterator[Event], queue: asyncio.Queue[Event | None]) -> None:
    """From the source to the queue; a full queue makes the source wait, not the memory grow.

    A source that fails ends its stream; the client comes back and asks again.
    """
    try:
        async for event in source:
            await queue.put(event)
    except Exception:
        log.exception("an event source failed")
    finally:
        close = getattr(source, "aclose", None)
        if close is not None:
            await close()
    await queue.put(None)
