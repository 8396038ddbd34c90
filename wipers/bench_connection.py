"""One connection to the bench: greeting, caps, one task for each request, answers in order of need.

A peer that is not understood, asks for too much at once or does not read loses its connection and
nothing else: sessions belong to the bench, and their words are only copied here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

from nullbay.domain.errors import MalformedError, NullbayError
from nullbay.domain.text import show
from nullbay.wipers import bench_protocol as b
from nullbay.wipers import protocol as p
from nullbay.wipers.bench_server import BenchService
from nullbay.wipers.channel import Channel, ChannelClosedError
from nullbay.wipers.service import RefusedError

_log = logging.getLogger("nullbay.bench")

HELLO_S = 10.0
REFUSED_S = 2.0
SEND_S = 30.0
IN_FLIGHT_MAX = 256
FLUSH_POLL_S = 0.05
OUTGOING_MAX = 1024
PROGRESS_ABOVE = 128
PATIENCE_MAX_MS = 600_000


class Connection:
    """Serves one peer until either side has enough."""

    def __init__(
        self,
        service: BenchService,
        channel: Channel,
        uid: int,
        connected: Callable[[], Collection[object]] | None = None,
    ) -> None:
        """`uid`: whom the kernel says the peer is; `connected` tells all connections there are."""
        self._service, self._channel, self._uid = service, channel, uid
        self._connected = connected or (lambda: (self,))
        self._clock = service.clock
        self._outgoing: asyncio.Queue[Any] = asyncio.Queue(OUTGOING_MAX)
        self._tasks: set[asyncio.Task[None]] = set()
        self._overflowed = asyncio.Event()

    async def serve(self) -> None:
        """Greet, then answer until the peer is gone or has to go. Raises nothing of a peer's."""
        try:
            if not await self._greet():
                return
            await self._service.tidy()
            parts = [
                asyncio.create_task(self._read()),
                asyncio.create_task(self._write()),
                asyncio.create_task(self._overflowed.wait()),
            ]
            try:
                done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
                for one in done:
                    one.result()
            finally:
                await _cancelled([*parts, *self._tasks])
        except ChannelClosedError:
            pass
        except MalformedError as error:
            await self._last_word(error)
        finally:
            self._channel.close()

    async def refuse(self, error: NullbayError) -> None:
        """Say why nothing of this peer is heard, and close.

        A socket that is closed with unread bytes in it takes back what was said last, so the
        peer's greeting is waited for, briefly, and passed over.
        """
        await self._last_word(error)
        with suppress(TimeoutError, ChannelClosedError, MalformedError):
            async with self._clock.timeout(REFUSED_S):
                await self._channel.receive()
        self._channel.close()

    async def flush(self, within_s: float) -> None:
        """Wait until what is to be said has been taken, as long as the peer reads."""
        with suppress(TimeoutError):
            async with self._clock.timeout(within_s):
                while self._tasks or self._outgoing.qsize():
                    await self._clock.sleep(FLUSH_POLL_S)

    async def _greet(self) -> bool:
        service = self._service
        hello = b.BenchHello(
            b.PROTOCOL, service.build, service.public_key_pem, service.refuses_all()
        )
        try:
            async with self._clock.timeout(HELLO_S):
                b.require_agent(await self._channel.receive())
                await self._channel.send(hello)
        except TimeoutError:
            return False
        return True

    async def _last_word(self, error: NullbayError) -> None:
        told = b.FailedAnswer(0, error.code, show(str(error), 300), show(error.next_step, 300))
        with suppress(ChannelClosedError, TimeoutError):
            async with self._clock.timeout(HELLO_S):
                await self._channel.send(told)

    async def _read(self) -> None:
        while True:
            message = await self._channel.receive()
            if isinstance(message, b.AgentHello):
                raise MalformedError("a second greeting")
            if len(self._tasks) >= IN_FLIGHT_MAX:
                raise MalformedError(f"more than {IN_FLIGHT_MAX} requests at once")
            task = asyncio.create_task(self._answer(message))
            self._tasks.add(task)
            task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        """A fault of this code ends the connection: its peer must not wait for ever."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            if isinstance(error, Exception):
                _log.error("bench.fault", exc_info=error)
            self._overflowed.set()

    async def _write(self) -> None:
        while True:
            message = await self._outgoing.get()
            try:
                async with self._clock.timeout(SEND_S):
                    await self._channel.send(message)
            except TimeoutError:
                raise ChannelClosedError("the peer does not read") from None

    async def _answer(self, message: b.Request) -> None:
        number = message.request
        answer: b.Answer
        try:
            answer = await self._done(message)
        except RefusedError as error:
            answer = b.RefusedAnswer(number, error.refusals, error.drive)
        except NullbayError as error:
            answer = _failed(number, error.code, str(error), error.next_step)
        except PermissionError as error:
            answer = _failed(number, "environment.permission", str(error), "Run it as root")
        except OSError as error:
            answer = _failed(number, "environment.os", str(error), "See the message")
        await self._outgoing.put(answer)

    async def _done(self, message: b.Request) -> b.Answer:  # noqa: C901 - one case for each message
        service, number = self._service, message.request
        done = b.DoneAnswer(number)
        match message:
            case b.Open():
                return b.HeldAnswer(number, await self._open(message))
            case b.Close():
                await service.close(service.kept(message.handle))
                return done
            case b.AskTicket():
                return b.TicketAnswer(number, service.ticket(service.kept(message.handle)))
            case b.Create():
                kept = service.kept(message.handle)
                return b.ViewAnswer(number, service.create(kept, message, maker=self))
            case b.Look():
                return b.ViewAnswer(number, service.look(message.job))
            case b.AskJobs():
                return b.JobsAnswer(number, *service.jobs(message.after))
            case b.Work():
                kept = service.kept(message.handle)
                result = await service.work(message, kept, lambda one: self._heard(number, one))
                return b.WorkAnswer(number, result.end, result.code, result.same_drive)
            case b.RecheckJob():
                kept = service.kept(message.handle)
                code = await service.recheck(message, kept, lambda one: self._heard(number, one))
                return b.RecheckAnswer(number, code)
            case b.Conclude():
                return b.ViewAnswer(number, service.conclude(message.job, message.end))
            case b.AskMembers():
                for name, content in service.members(message.job):
                    await self._parts(number, name, content)
                return done
            case b.Acknowledge():
                service.acknowledge(message.job, message.result_sha256)
                return done
            case b.Forget():
                service.forget(message.jobs, self._connected())
                return done
            case b.Steer():
                kept = service.kept(message.handle)
                await service.steer(kept, message.how, message.bytes_per_s)
                return done
            case b.Stop():
                self._require_root("stop the bench")
                await service.stop(force=message.force)
                return done

    async def _open(self, message: b.Open) -> b.Held:
        if message.outside_bays:
            self._require_root("open drives outside the bays")
        kept = await self._service.open(
            message.device,
            message.confirm,
            patience_s=min(max(message.patience_ms, 0), PATIENCE_MAX_MS) / 1000,
            outside_bays=message.outside_bays,
        )
        return b.Held(kept.handle, kept.held.device, kept.drive)

    def _require_root(self, what: str) -> None:
        if self._uid != 0:
            raise NullbayError(
                f"uid {self._uid} may not {what}", next_step="Run it as root", code="bench.not-root"
            )

    async def _parts(self, number: int, name: str, content: bytes) -> None:
        for at in range(0, len(content) or 1, b.PART_BYTES):
            await self._outgoing.put(b.Part(number, name, content[at : at + b.PART_BYTES]))

    def _heard(self, number: int, message: p.FromDrive) -> None:
        """Copied for showing; progress gives way where the peer reads slowly."""
        if isinstance(message, p.Progress) and self._outgoing.qsize() > PROGRESS_ABOVE:
            return
        told = b.Heard(number, message)
        try:
            if not isinstance(message, p.Progress):
                p.encode(told)
            self._outgoing.put_nowait(told)
        except MalformedError:  # larger than a message may be, with its envelope
            return
        except asyncio.QueueFull:
            self._overflowed.set()


def _failed(number: int, code: str, message: str, next_step: str) -> b.FailedAnswer:
    return b.FailedAnswer(number, code, message[:2000], next_step[:2000])


async def _cancelled(tasks: Collection[asyncio.Task[Any]]) -> None:
    for one in tasks:
        one.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
