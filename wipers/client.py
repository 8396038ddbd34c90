"""The agent's side of the bench: asks, waits for answers, hands on what is told meanwhile.

One connection serves every drive of a station. Whatever the bench says is decoded under caps, and
an answer that does not fit its question ends the connection: every waiting call then raises
ChannelClosedError, and so does every later one. Connect anew and open the drives again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from nullbay.domain.errors import MalformedError, NullbayError
from nullbay.domain.ids import JobId
from nullbay.domain.lot import Lot, Person
from nullbay.domain.outcome import JobEnd
from nullbay.wipers import bench_protocol as b
from nullbay.wipers.bench_protocol import BenchHello, Held, JobView
from nullbay.wipers.channel import Channel, ChannelClosedError, StreamChannel
from nullbay.wipers.hearing import SessionResult
from nullbay.wipers.protocol import FromDrive
from nullbay.wipers.service import RefusedError, WrongConfirmationError

__all__ = ["BenchClient", "BenchHello", "Held", "JobView", "Listener", "connect"]

MEMBERS_MAX_BYTES = 512 * 1024 * 1024
FORGET_AT_ONCE = 2000

Listener = Callable[[FromDrive], object]
A = TypeVar("A")


@dataclass(slots=True)
class _Call:
    """A request under way: who waits for its answer, and what comes before it."""

    answer: asyncio.Future[Any]
    listener: Listener | None = None
    parts: dict[str, list[bytes]] = field(default_factory=dict)
    parts_bytes: int = 0


class BenchClient:
    """Speaks with one bench. `hello` first; then any number of calls at once."""

    def __init__(self, channel: Channel, build: str, *, outside_bays: bool = False) -> None:
        """`build` is this nullbay's version. `outside_bays` is asked for with every drive."""
        self._channel, self._build, self._outside_bays = channel, build, outside_bays
        self._calls: dict[int, _Call] = {}
        self._count = 0
        self._reader: asyncio.Task[None] | None = None
        self._said: BenchHello | None = None
        self._why = "the bench is gone"
        self._ended = asyncio.Event()

    async def hello(self) -> BenchHello:
        """Exchange greetings, once; later calls tell what was said then.

        Raises UnknownSchemaError, ChannelClosedError, NullbayError with the bench's refusal.
        """
        if self._said is None:
            with suppress(ChannelClosedError):  # a bench that is full says so before it listens
                await self._channel.send(b.AgentHello(b.PROTOCOL, self._build))
            said = await self._channel.receive()
            if isinstance(said, b.FailedAnswer):
                raise NullbayError(said.message, next_step=said.next_step, code=said.code)
            self._said = b.require_bench(said)
            self._reader = asyncio.create_task(self._read())
        return self._said

    @property
    def greeting(self) -> BenchHello:
        """What the bench said of itself. Raises ChannelClosedError before `hello`."""
        if self._said is None:
            raise ChannelClosedError("the bench was not greeted yet")
        return self._said

    @property
    def is_open(self) -> bool:
        """Whether the bench can still be asked."""
        return self._reader is not None and not self._ended.is_set()

    async def ended(self) -> None:
        """Wait until the connection is over, whoever ended it."""
        await self._ended.wait()

    async def aclose(self) -> None:
        """End the connection; drives stay held and jobs go on."""
        self._channel.close()
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        self._end()

    # --- drives --------------------------------------------------------------------------------

    async def open(
        self, device: str, confirm: str | None = None, *, patience_s: float = 0.0
    ) -> Held:
        """Have a drive held. Raises RefusedError, WrongConfirmationError, ChannelClosedError.

        A drive that the bench holds already is given again, by the same handle. One that somebody
        else holds may become free within `patience_s`.
        """
        patience_ms = round(patience_s * 1000)
        answer = await self._ask(
            lambda n: b.Open(n, device, confirm, patience_ms, self._outside_bays), b.HeldAnswer
        )
        return answer.held

    async def close(self, held: Held) -> None:
        """Let go of a drive and wait until it is free. Raises where it is worked on."""
        await self._ask(lambda n: b.Close(n, held.handle), b.DoneAnswer)

    async def abort(self, held: Held) -> None:
        """Let the work on this drive stop at its next block and be concluded."""
        await self._steer(held, b.Steering.ABORT)

    async def pause(self, held: Held) -> None:
        """Hold after the current block."""
        await self._steer(held, b.Steering.PAUSE)

    async def go_on(self, held: Held) -> None:
        """End a pause."""
        await self._steer(held, b.Steering.GO_ON)

    async def set_rate(self, held: Held, bytes_per_s: int) -> None:
        """Limit all lanes of a drive together; 0 lifts the limit."""
        await self._steer(held, b.Steering.RATE, bytes_per_s)

    # --- jobs ----------------------------------------------------------------------------------

    async def create(
        self,
        held: Held,
        policy_id: str,
        policy_sha256: str,
        plan_sha256: str,
        lot: Lot | None,
        people: tuple[Person, ...],
    ) -> JobView:
        """A job of an approved plan; the bench derives the plan again. Raises RefusedError."""
        given = await self._ask(lambda n: b.AskTicket(n, held.handle), b.TicketAnswer)
        answer = await self._ask(
            lambda n: b.Create(
                n,
                given.ticket,
                held.handle,
                policy_id,
                policy_sha256,
                plan_sha256,
                lot,
                people,
            ),
            b.ViewAnswer,
        )
        return answer.view

    async def look(self, job: JobId) -> JobView:
        """How a job stands. Raises NullbayError `job.unknown` where its folder is gone."""
        return (await self._ask(lambda n: b.Look(n, job), b.ViewAnswer)).view

    async def jobs(self) -> tuple[JobId, ...]:
        """Every job that the bench keeps a folder of."""
        found: list[JobId] = []
        while True:
            after = found[-1] if found else ""
            answer = await self._ask(partial(b.AskJobs, after=after), b.JobsAnswer)
            found += answer.jobs
            if not (answer.more and answer.jobs):
                return tuple(found)

    async def work(
        self, job: JobId, held: Held, listener: Listener, rate_limit_bytes_per_s: int = 0
    ) -> SessionResult:
        """One session of a job, or the rest of the one under way. `listener` hears it.

        Raises RefusedError, ChannelClosedError, NullbayError; the session goes on if this call is
        cancelled.
        """
        answer = await self._ask(
            lambda n: b.Work(n, job, held.handle, rate_limit_bytes_per_s), b.WorkAnswer, listener
        )
        return SessionResult(answer.end, answer.code, answer.same_drive)

    async def recheck(self, job: JobId, held: Held, listener: Listener) -> str:
        """Whether the drive, read in full, holds what the job wrote; empty or a code why not."""
        answer = await self._ask(
            lambda n: b.RecheckJob(n, job, held.handle), b.RecheckAnswer, listener
        )
        return answer.code

    async def conclude(self, job: JobId, end: JobEnd) -> JobView:
        """Have the transcript signed. Raises RefusedError where the bench knows another end."""
        return (await self._ask(lambda n: b.Conclude(n, job, end), b.ViewAnswer)).view

    async def members(self, job: JobId) -> dict[str, bytes]:
        """What goes into the evidence archive, the signed transcript among it."""
        _, parts = await self._call(lambda n: b.AskMembers(n, job), b.DoneAnswer)
        return {name: b"".join(pieces) for name, pieces in parts.items()}

    async def acknowledge(self, job: JobId, result_sha256: str) -> None:
        """The record is durable: the bench removes the job's folder; again is harmless.

        Raises RefusedError where the digest is not that of the job's result.
        """
        await self._ask(lambda n: b.Acknowledge(n, job, result_sha256), b.DoneAnswer)

    async def forget_unknown(self, known: Collection[JobId]) -> None:
        """Have jobs removed that never began and that nobody knows. Only while none is made."""
        unknown = [one for one in await self.jobs() if one not in set(known)]
        for at in range(0, max(1, len(unknown)), FORGET_AT_ONCE):
            some = tuple(unknown[at : at + FORGET_AT_ONCE])
            await self._ask(partial(b.Forget, jobs=some), b.DoneAnswer)

    async def stop(self, *, force: bool = False) -> None:
        """Let the bench end, its sessions stopped at their next block. For uid 0."""
        await self._ask(lambda n: b.Stop(n, force), b.DoneAnswer)

    # --- inside --------------------------------------------------------------------------------

    async def _steer(self, held: Held, how: b.Steering, bytes_per_s: int = 0) -> None:
        await self._ask(lambda n: b.Steer(n, held.handle, how, bytes_per_s), b.DoneAnswer)

    async def _ask(
        self, make: Callable[[int], b.Request], wanted: type[A], listener: Listener | None = None
    ) -> A:
        answer, _ = await self._call(make, wanted, listener)
        return answer

    async def _call(
        self, make: Callable[[int], b.Request], wanted: type[A], listener: Listener | None = None
    ) -> tuple[A, dict[str, list[bytes]]]:
        if not self.is_open:
            raise ChannelClosedError(self._why)
        self._count += 1
        number = self._count
        call = _Call(asyncio.get_running_loop().create_future(), listener)
        self._calls[number] = call
        try:
            await self._channel.send(make(number))
            answer = await call.answer
        finally:
            del self._calls[number]
            if call.answer.done() and not call.answer.cancelled():
                call.answer.exception()  # seen, also where the question could not be sent
        match answer:
            case b.RefusedAnswer():
                raise RefusedError(answer.refusals, answer.drive)
            case b.FailedAnswer(code=WrongConfirmationError.code):
                raise WrongConfirmationError(answer.message, next_step=answer.next_step)
            case b.FailedAnswer():
                raise NullbayError(answer.message, next_step=answer.next_step, code=answer.code)
            case _:
                pass
        if isinstance(answer, wanted):
            return answer, call.parts
        self._end("the bench answered out of order")
        self._channel.close()
        raise ChannelClosedError(self._why)

    async def _read(self) -> None:
        try:
            while True:
                self._take(await self._channel.receive())
        except MalformedError as error:
            self._end(f"the bench was not understood: {error}")
        except ChannelClosedError:
            self._end()
        finally:
            self._channel.close()
            self._end()

    def _take(self, message: Any) -> None:
        if isinstance(message, b.FailedAnswer) and message.request == 0:
            self._why = message.message
            raise ChannelClosedError(message.message)
        number = getattr(message, "request", None)
        call = self._calls.get(number) if isinstance(number, int) else None
        if call is None or call.answer.done():
            return
        match message:
            case b.Heard(message=told):
                if call.listener is not None:
                    try:
                        call.listener(told)
                    except Exception as error:  # noqa: BLE001 - the caller's own, given back to it
                        call.answer.set_exception(error)
            case b.Part(name=name, data=data):
                call.parts_bytes += len(data)
                if call.parts_bytes > MEMBERS_MAX_BYTES:
                    raise MalformedError(f"an archive of more than {MEMBERS_MAX_BYTES} bytes")
                call.parts.setdefault(name, []).append(data)
            case _:
                call.answer.set_result(message)

    def _end(self, why: str = "") -> None:
        if self._ended.is_set():
            return
        self._why = why or self._why
        self._ended.set()
        for call in self._calls.values():
            if not call.answer.done():
                call.answer.set_exception(ChannelClosedError(self._why))


async def connect(path: Path, build: str, *, outside_bays: bool = False) -> BenchClient:
    """A client of the bench whose socket is at `path`, its greeting heard.

    Raises ChannelClosedError where nobody listens there, and what `BenchClient.hello` raises.
    """
    try:
        reader, writer = await asyncio.open_unix_connection(path)
    except OSError as error:
        msg = f"no bench answers at {path}: {error.strerror or error}"
        raise ChannelClosedError(msg, next_step="See that nullbay wiperd is running") from error
    client = BenchClient(
        StreamChannel(reader, writer, b.FromBench), build, outside_bays=outside_bays
    )
    try:
        await client.hello()
    except BaseException:
        writer.close()
        raise
    return client
