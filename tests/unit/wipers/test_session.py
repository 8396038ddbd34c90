"""The drive's side: drives that never answer, peers that go away, faults of our own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

import pytest

from nullbay.domain.clock import ClockSync, Stamp
from nullbay.domain.drive import Drive
from nullbay.domain.errors import MalformedError
from nullbay.domain.outcome import OutcomeKind, SessionEnd
from nullbay.domain.ports import BlockPort, PortErrorKind
from nullbay.wipers import protocol as p
from nullbay.wipers.channel import ChannelClosedError, LocalChannel, local_pair
from nullbay.wipers.lanes import ThreadExecutor
from nullbay.wipers.session import TEMPERATURE_S, WATCH_S, DriveSession, Surroundings
from nullbay.wipers.steps import Sizes
from support.jobs import CLEAR, DRIVE, MIB, SIZE_BYTES, plan_for
from support.memory_port import MemoryPort, refuse

LIMIT_S = 60
"""No test waits for this: it ends one that hangs."""
PLAN = plan_for(CLEAR)
STALL_S = PLAN.budgets.stall_s


class JumpingClock:
    """Every wait is over at once, and the time has passed; threads may look at it too."""

    def __init__(self) -> None:
        self._now = 1000.0
        self.stands: Callable[[], bool] = lambda: False

    def now(self) -> Stamp:
        return Stamp("2026-11-21T20:00:00.000000Z", int(self._now * 1e6), "b", ClockSync.UNKNOWN)

    def boottime(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        if not self.stands():
            self._now += seconds
        await asyncio.sleep(0)

    async def until(self, moment: float) -> None:
        """Let others move the time until then."""
        for _ in range(100_000):
            if self._now >= moment:
                return
            await asyncio.sleep(0)
        raise AssertionError("nobody moves the time")

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[object]:
        return asyncio.timeout(None)

    def wait_blocking(self, seconds: float) -> None:
        """Lanes do not move the time."""


class Access:
    """A held drive over a port in memory."""

    def __init__(self, port: BlockPort) -> None:
        self._port = port
        self.observe_hook: Callable[[], Any] = lambda: None
        self.closed = False

    def observe(self) -> Drive:
        self.observe_hook()
        return DRIVE

    def port(self, unit_id: str) -> BlockPort:
        if unit_id != "disk":
            raise KeyError(unit_id)
        return self._port

    def temperature_celsius(self) -> int | None:
        return None

    def close(self) -> None:
        self.closed = True


class Bench:
    """The bench's end of a session, spoken by hand."""

    def __init__(self, port: MemoryPort, access: Access) -> None:
        self.port, self.access, self.clock = port, access, JumpingClock()
        self.channel, theirs = local_pair()
        around = Surroundings(
            self.clock,
            ThreadExecutor(self.clock),
            lambda _device: access,
            "test",
            sizes=Sizes(MIB, 2 * MIB, 5.0),
        )
        self._session = DriveSession(theirs, around)
        self.task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        self.task = asyncio.create_task(self._session.serve())
        p.require_hello(await self.channel.receive())
        await self.channel.send(p.Hello(p.PROTOCOL, "test"))
        await self.channel.send(p.Open("it"))
        assert await self.channel.receive() == p.Opened(DRIVE)

    async def execute(self, **changes: Any) -> None:
        order = p.Execute(PLAN, b"k" * 32, b"f" * 32, 1, None, False, False, 0)
        await self.channel.send(replace(order, **changes))

    async def until(self, kind: type[Any]) -> Any:
        while not isinstance(message := await self.channel.receive(), kind):
            pass
        return message

    async def ended(self) -> None:
        assert self.task is not None
        await asyncio.wait({self.task}, timeout=LIMIT_S)
        assert self.task.done()
        assert self.access.closed


def run(test: Callable[[Bench], Awaitable[None]], *, port: MemoryPort | None = None) -> Bench:
    """Play the bench against a session in this process, with lanes in threads."""
    used = port or MemoryPort(SIZE_BYTES, reads="simulated")
    made: list[Bench] = []

    async def main() -> None:
        bench = Bench(used, Access(used))
        made.append(bench)
        async with asyncio.timeout(LIMIT_S):
            await test(bench)

    asyncio.run(main())
    return made[0]


class Stuck:
    """A drive that stops answering when it is asked to wait, and time that stands until then."""

    def __init__(self) -> None:
        self._reached, self.answers = threading.Event(), threading.Event()

    def wait(self) -> None:
        self._reached.set()
        self.answers.wait()

    def is_still_well(self) -> bool:
        return not self._reached.is_set()


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    made = Stuck()
    yield made
    made.answers.set()


def test_a_drive_that_never_answers_a_write_fails_its_step_in_time(stuck: Stuck) -> None:
    def before_write(offset: int, _length: int) -> None:
        if offset >= 4 * MIB:
            stuck.wait()

    async def test(bench: Bench) -> None:
        bench.clock.stands = stuck.is_still_well
        await bench.open()
        await bench.execute()
        intent = await bench.until(p.Intent)
        started = bench.clock.boottime()
        await bench.channel.send(p.Acknowledged(intent.number))
        over = await bench.until(p.StepOver)
        assert over.outcome.kind is OutcomeKind.FAILED
        assert over.outcome.codes == ("write.stalled",)
        # both watches move the time
        late_s = bench.clock.boottime() - started - STALL_S
        assert 0 < late_s <= 2 * (WATCH_S + TEMPERATURE_S)
        done = await bench.until(p.SessionDone)
        # a drive that owes an answer is not asked who it is
        assert (done.end, done.code, done.drive) == ("finished", "write.stalled", None)
        await bench.channel.send(p.Close())
        await bench.ended()

    run(test, port=MemoryPort(SIZE_BYTES, before_write=before_write))


def test_one_that_never_answers_a_flush_counts_nothing_as_written(stuck: Stuck) -> None:
    async def test(bench: Bench) -> None:
        bench.clock.stands = stuck.is_still_well
        await bench.open()
        await bench.execute()
        await bench.until(p.Intent)
        await bench.channel.send(p.Acknowledged(1))
        over = await bench.until(p.StepOver)
        assert over.outcome.codes == ("write.stalled",)
        assert over.outcome.flushed == ()
        assert over.outcome.last_flush is None
        await bench.channel.send(p.Close())
        await bench.ended()

    run(test, port=MemoryPort(SIZE_BYTES, before_flush=stuck.wait))


def test_a_drive_stuck_before_its_step_is_followed_by_silence(stuck: Stuck) -> None:
    """The bench gives up on silence; a session that kept talking would never be given up."""

    async def test(bench: Bench) -> None:
        await bench.open()
        bench.access.observe_hook = stuck.wait
        await bench.execute()
        said = asyncio.create_task(bench.channel.receive())
        await bench.clock.until(1000 + 3 * STALL_S)
        assert not said.done()
        stuck.answers.set()
        await said
        await bench.until(p.Intent)
        bench.channel.close()
        await bench.ended()

    run(test)


@pytest.mark.parametrize("after", ["hello", "open", "execute", "intent", "acknowledged", "paused"])
def test_when_the_bench_goes_away_the_session_ends_and_lets_go(after: str) -> None:
    async def test(bench: Bench) -> None:
        bench.task = asyncio.create_task(bench._session.serve())
        p.require_hello(await bench.channel.receive())
        bench.access.closed = after == "hello"
        if after != "hello":
            await bench.channel.send(p.Hello(p.PROTOCOL, "test"))
            await bench.channel.send(p.Open("it"))
            await bench.until(p.Opened)
        if after not in {"hello", "open"}:
            await bench.execute()
        if after in {"intent", "acknowledged", "paused"}:
            await bench.until(p.Intent)
        if after == "paused":
            await bench.channel.send(p.Pause())
        if after in {"acknowledged", "paused"}:
            await bench.channel.send(p.Acknowledged(1))
            await bench.until(p.Progress if after == "paused" else p.RangesFlushed)
        bench.channel.close()
        await bench.ended()

    run(test)


def test_nothing_is_written_before_the_intent_is_acknowledged() -> None:
    async def test(bench: Bench) -> None:
        await bench.open()
        await bench.execute()
        await bench.until(p.Intent)
        await bench.channel.send(p.Acknowledged(7))
        await bench.channel.send(p.Pause())
        await bench.channel.send(p.Continue())
        for _ in range(50):
            await asyncio.sleep(0)
        assert bench.port.writes == []
        await bench.channel.send(p.Acknowledged(1))
        over = await bench.until(p.StepOver)
        assert over.outcome.kind is OutcomeKind.SUCCEEDED
        bench.channel.close()
        await bench.ended()

    run(test)


@pytest.mark.parametrize("message", [p.Acknowledged, p.Hello, p.Execute, p.Open])
def test_what_is_not_allowed_now_ends_the_session(message: type[Any]) -> None:
    """A second order, another drive, another greeting while work is under way."""

    async def test(bench: Bench) -> None:
        await bench.open()
        if message is p.Acknowledged:
            # early ones are for no intent: they change nothing
            await bench.channel.send(p.Acknowledged(1))
            await bench.execute()
            await bench.until(p.Intent)
            bench.channel.close()
            await bench.ended()
            assert bench.port.writes == []
            return
        await bench.execute()
        await bench.until(p.Intent)
        if message is p.Execute:
            await bench.execute()
        elif message is p.Open:
            await bench.channel.send(p.Open("another"))
        else:
            await bench.channel.send(p.Hello(p.PROTOCOL, "again"))
        with pytest.raises(ChannelClosedError):
            await bench.until(p.SessionDone)
        await bench.ended()
        assert bench.port.writes == []

    run(test)


def test_an_order_before_a_drive_is_open_ends_the_session() -> None:
    async def test(bench: Bench) -> None:
        bench.task = asyncio.create_task(bench._session.serve())
        p.require_hello(await bench.channel.receive())
        await bench.channel.send(p.Hello(p.PROTOCOL, "test"))
        await bench.execute()
        with pytest.raises(ChannelClosedError):
            await bench.channel.receive()
        await asyncio.wait({bench.task})

    run(test)


def test_a_fault_of_its_own_is_not_silence_but_the_end() -> None:
    """The peer sees the channel close at once, instead of waiting for a word."""

    async def test(bench: Bench) -> None:
        await bench.open()
        plan = replace(PLAN, steps=tuple(replace(one, unit_id="none") for one in PLAN.steps))
        await bench.execute(plan=plan)
        await bench.until(p.Intent)
        await bench.channel.send(p.Acknowledged(1))
        with pytest.raises(ChannelClosedError):
            await bench.until(p.SessionDone)
        await bench.ended()
        assert bench.task is not None
        assert isinstance(bench.task.exception(), KeyError)

    run(test)


def test_a_drive_that_is_gone_after_the_work_was_not_seen_afterwards() -> None:
    async def test(bench: Bench) -> None:
        await bench.open()
        await bench.execute()
        await bench.until(p.Intent)

        def gone() -> None:
            raise refuse(PortErrorKind.GONE, "ENODEV")

        bench.access.observe_hook = gone
        await bench.channel.send(p.Acknowledged(1))
        over = await bench.until(p.StepOver)
        assert over.outcome.kind is OutcomeKind.SUCCEEDED
        done = await bench.until(p.SessionDone)
        assert (done.end, done.code, done.drive) == (SessionEnd.DRIVE_GONE, "drive.gone", None)
        await bench.channel.send(p.Close())
        await bench.ended()

    run(test)


def test_a_drive_too_hot_that_stops_telling_goes_on() -> None:
    """A pause that nothing could end would be for ever."""
    degrees: list[int | None] = [90, 90, 90, None]

    class Thermometer(Access):
        def temperature_celsius(self) -> int | None:
            return degrees.pop(0) if len(degrees) > 1 else degrees[0]

    async def main() -> None:
        port = MemoryPort(SIZE_BYTES, reads="simulated")
        bench = Bench(port, Thermometer(port))
        async with asyncio.timeout(LIMIT_S):
            await bench.open()
            await bench.execute()
            await bench.until(p.Intent)
            for _ in range(100):
                await asyncio.sleep(0)
            await bench.channel.send(p.Acknowledged(1))
            over = await bench.until(p.StepOver)
            assert over.outcome.kind is OutcomeKind.SUCCEEDED
            await bench.channel.send(p.Close())
            await bench.ended()

    asyncio.run(main())


def test_a_message_that_is_none_ends_the_session() -> None:
    async def test(bench: Bench) -> None:
        await bench.open()
        assert isinstance(bench.channel, LocalChannel)
        bench.channel._outgoing.append(b"\0\0\0\2{}")
        bench.channel._pair.change()
        with pytest.raises((ChannelClosedError, MalformedError)):
            await bench.channel.receive()
        await bench.ended()

    run(test)
