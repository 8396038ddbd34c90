"""Drive processes that hang, die, lie or babble: bounded time, no false word, the bench goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from nullbay.agent.conduct import CRASHES_MAX, WipeResult
from nullbay.domain.clock import ClockSync, Stamp
from nullbay.domain.outcome import JobEnd
from nullbay.domain.policy import Policy
from nullbay.domain.ranges import ByteRange
from nullbay.domain.verdict import Verdict
from nullbay.lab import clock as virtual
from nullbay.lab import hands
from nullbay.lab.clock import VirtualClock
from nullbay.wipers import protocol as p
from nullbay.wipers.channel import Channel, ChannelClosedError, LocalChannel, local_pair
from nullbay.wipers.service import OPEN_TIMEOUT_S, REOPEN_S, SILENCE_MARGIN_S
from nullbay.wipers.session import DriveSession
from support.crashes import NIST_CLEAR, OLD, drive, scratch, signers, variant
from support.rack import (
    LETS_GO_S,
    Audited,
    Fate,
    Killed,
    MortalChannel,
    Process,
    Rack,
    SimulatedDriveProcess,
    audit,
    left,
    request_for,
)

SIGNERS = signers()
STALL_S = NIST_CLEAR.budgets.stall_s
SILENCE_S = STALL_S + SILENCE_MARGIN_S
STAMP = Stamp("2026-01-05T06:00:00.000000Z", 1, "a-boot", ClockSync.SYNCHRONISED)
SENT = ("exchanged", "intent", "ranges-flushed", "exchanged", "step-over", "session-done")


class Played:
    """How a wipe with sick drive processes ended, and how long that took."""

    def __init__(self, result: WipeResult, seconds: float, found: Audited, old_bytes: int) -> None:
        self.result, self.seconds, self.found, self.old_bytes = result, seconds, found, old_bytes

    @property
    def verdict(self) -> Verdict | None:
        return self.result.recorded.conclusion.verdict if self.result.recorded else None


Behave = Callable[[LocalChannel], Awaitable[None]]
Launch = Callable[[Process, Fate, Fate, int], Any]


class OddDriveProcess:
    """A drive process that is not ours: `behave` has its end of the channel."""

    def __init__(self, behave: Behave) -> None:
        ours, self._theirs = local_pair()
        self.channel: Channel = ours
        self._task = asyncio.create_task(self._run(behave))

    async def _run(self, behave: Behave) -> None:
        with suppress(ChannelClosedError):
            await behave(self._theirs)

    def kill(self) -> None:
        self._task.cancel()
        self._theirs.close()

    def is_gone(self) -> bool:
        return self._task.done()

    async def ended(self) -> None:
        self.channel.close()
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task


def wiped(launch: Launch, policy: Policy = NIST_CLEAR, **description: Any) -> Played:
    """One request; drive processes are made by `launch`."""

    async def main(clock: VirtualClock) -> Played:
        path = hands.make_file_drive(folder / "drive.json", drive(**description), old_data=OLD)
        rack = Rack(folder, clock, signers=SIGNERS)
        process = rack.process()
        rack.launch = lambda bench, own, number: launch(process, bench, own, number)
        started = clock.boottime()
        result = await process.wipe(request_for(path, clock, policy))
        seconds = clock.boottime() - started
        await process.end()
        rack.launch = None
        found = audit(rack, allow_open=True)
        return Played(result, seconds, found, left(path, OLD))

    with scratch() as folder:
        return virtual.run(main)


def odd(behave: Behave) -> Launch:
    return lambda _process, _bench, _own, _number: OddDriveProcess(behave)


def honest(process: Process, bench: Fate, own: Fate, _number: int) -> Any:
    return SimulatedDriveProcess(process.around(own), bench, own)


# --- silence -----------------------------------------------------------------------------------


async def _silent(_theirs: LocalChannel) -> None:
    await asyncio.Event().wait()


async def _wordless(theirs: LocalChannel) -> None:
    theirs.close()


async def _foreign(theirs: LocalChannel) -> None:
    await theirs.send(p.Hello("nullbay.drive-process/99", "x"))
    await theirs.receive()


async def _early(theirs: LocalChannel) -> None:
    await theirs.send(p.Hello(p.PROTOCOL, "x"))
    await theirs.receive()
    await theirs.send(p.Acknowledged(1))
    await theirs.receive()


@pytest.mark.parametrize("behave", [_silent, _wordless, _foreign, _early])
def test_one_that_never_opens_its_drive_is_a_refusal(behave: Behave) -> None:
    played = wiped(odd(behave))
    assert played.result.job is None
    assert {one.code for one in played.result.refusals} == {"guard.undetermined"}
    assert played.seconds <= OPEN_TIMEOUT_S + 1
    assert played.found.ledger == ("insertion-closed",)


class SilentAfter:
    """A real drive process whose words stop coming after a message of some kind; it works on."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, process: Process, _bench: Fate, own: Fate, number: int) -> Any:
        quiet = False

        def heard(message: Any) -> list[Any]:
            nonlocal quiet
            said = [] if quiet else [message]
            quiet = quiet or message.kind == self.kind
            return said

        return Interfered(process, own, heard if number == 0 else lambda message: [message])


class Interfered:
    """A real drive process; what it says goes through somebody's hands."""

    def __init__(self, process: Process, own: Fate, hands_on: Callable[[Any], list[Any]]) -> None:
        ours, theirs = local_pair()
        self.channel: Channel = ours
        self._theirs, self._own, self._clock = theirs, own, process.rack.clock
        around = process.around(own)
        session = DriveSession(_Altered(MortalChannel(theirs, own), hands_on), around)
        self._task = asyncio.create_task(session.serve())

    def kill(self) -> None:
        self._own.dead = True
        self._task.cancel()
        self._theirs.close()

    def is_gone(self) -> bool:
        return self._task.done()

    async def ended(self) -> None:
        self.channel.close()
        done, _ = await asyncio.wait({self._task}, timeout=LETS_GO_S)
        assert done
        error = None if self._task.cancelled() else self._task.exception()
        assert error is None or isinstance(error, Killed), error


class _Altered:
    def __init__(self, inner: Channel, hands_on: Callable[[Any], list[Any]]) -> None:
        self._inner, self._hands_on = inner, hands_on

    async def send(self, message: p.Message) -> None:
        for one in self._hands_on(message):
            await self._inner.send(one)

    async def receive(self) -> Any:
        return await self._inner.receive()

    def close(self) -> None:
        self._inner.close()


@pytest.mark.parametrize("kind", ["opened", "intent", "ranges-flushed", "step-over"])
def test_one_that_falls_silent_is_given_up_in_time_and_started_again(kind: str) -> None:
    played = wiped(SilentAfter(kind))
    assert played.verdict is Verdict.SANITIZED
    assert played.old_bytes == 0
    assert SILENCE_S <= played.seconds < SILENCE_S + 60


def test_all_of_them_silent_ends_in_a_record_of_what_is_missing() -> None:
    async def behave(theirs: LocalChannel) -> None:
        await theirs.send(p.Hello(p.PROTOCOL, "x"))
        await theirs.receive()
        opened = await theirs.receive()
        await theirs.send(p.Opened(hands.look(opened.device, clock_of[0])))
        await _silent(theirs)

    clock_of: list[Any] = []

    def launch(process: Process, _bench: Fate, _own: Fate, _number: int) -> Any:
        clock_of[:] = [process.rack.clock]
        return OddDriveProcess(behave)

    played = wiped(launch)
    assert played.verdict is Verdict.NOT_SANITIZED
    assert [one.evidence.end for one in played.found.transcripts.values()] == [JobEnd.CRASHED]
    assert played.seconds < (CRASHES_MAX + 1) * (SILENCE_S + REOPEN_S) + 60


def test_one_that_babbles_and_never_ends_is_stopped_at_the_deadline() -> None:
    policy = variant(
        NIST_CLEAR, "short", budgets=replace(NIST_CLEAR.budgets, deadline_s=1800, stall_s=60)
    )

    def babble(process: Process, _bench: Fate, own: Fate, _number: int) -> Any:
        def heard(message: Any) -> list[Any]:
            if message.kind == "intent":
                process.soon(talk())
            return [] if message.kind == "intent" else [message]

        async def talk() -> None:
            with suppress(ChannelClosedError):
                while True:
                    await process.rack.clock.sleep(0.25)
                    said = p.Progress(1, 1, "write", 0, 1, 0, None, 0, None, ())
                    await child._theirs.send(said)

        child = Interfered(process, own, heard)
        return child

    played = wiped(babble, policy)
    assert played.verdict is Verdict.NOT_SANITIZED
    assert played.seconds < 1800 + 60 + SILENCE_MARGIN_S + 10


# --- lies --------------------------------------------------------------------------------------


def _once(kind: str, change: Callable[[Any], list[Any]]) -> Launch:
    """The first drive process's first message of a kind is changed."""

    def launch(process: Process, _bench: Fate, own: Fate, number: int) -> Any:
        done = number > 0

        def heard(message: Any) -> list[Any]:
            nonlocal done
            if done or message.kind != kind:
                return [message]
            done = True
            return change(message)

        return Interfered(process, own, heard)

    return launch


CHANGES: dict[str, Callable[[Any], list[Any]]] = {
    "dropped": lambda _: [],
    "doubled": lambda one: [one, one],
    "preceded-by-hello": lambda one: [p.Hello(p.PROTOCOL, "x"), one],
    "preceded-by-a-refusal": lambda one: [p.Refused(()), one],
    "preceded-by-the-end": lambda one: [p.SessionDone("finished", "", None, STAMP), one],
    "preceded-by-an-unknown-end": lambda one: [p.SessionDone("well", "", None, STAMP), one],
    "preceded-by-an-unknown-code": lambda one: [p.SessionDone("stopped", "xx", None, STAMP), one],
    "preceded-by-another-step": lambda one: [p.Intent(9, STAMP), one],
    "preceded-by-a-read-back": lambda one: [p.Resuming(None, from_zero=True), one],
    "preceded-by-ranges-beyond": lambda one: [
        p.RangesFlushed(1, (ByteRange(0, 2**60),), STAMP),
        one,
    ],
    "preceded-by-ranges-of-none": lambda one: [p.RangesFlushed(1, (), STAMP), one],
    "preceded-by-a-sector-beyond": lambda one: [p.SectorUnwritable(1, 2**63, "EIO"), one],
}


@pytest.mark.parametrize("kind", sorted(set(SENT)))
@pytest.mark.parametrize("change", CHANGES)
def test_messages_that_cannot_be_are_refused_and_the_job_goes_on(kind: str, change: str) -> None:
    played = wiped(_once(kind, CHANGES[change]))
    assert played.verdict is Verdict.SANITIZED
    assert played.old_bytes == 0
    assert len(played.found.verdicts) == 1


def test_one_that_always_lies_ends_in_a_record_of_what_is_missing() -> None:
    def launch(process: Process, _bench: Fate, own: Fate, _number: int) -> Any:
        def heard(message: Any) -> list[Any]:
            early = p.SessionDone("finished", "", None, STAMP)
            return [early] if message.kind == "intent" else [message]

        return Interfered(process, own, heard)

    played = wiped(launch)
    assert played.verdict is Verdict.NOT_SANITIZED
    assert played.old_bytes > 0


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\0\0\0\2{}",
        b"\0\0\0\4null",
        b"\0\0\0\3\xff\xfe\xfd",
        b"\0\0\0\x0f" + b"[" * 15,
        b"\0\0\0\x18" + b'{"kind":"step-over","x":',
        b'\0\0\0\x13{"kind":"progress"}',
    ],
)
def test_frames_that_are_no_messages_are_refused_and_the_job_goes_on(frame: bytes) -> None:
    def launch(process: Process, _bench: Fate, own: Fate, number: int) -> Any:
        def heard(message: Any) -> list[Any]:
            if number == 0 and message.kind == "ranges-flushed":
                child._theirs._outgoing.append(frame)
            return [message]

        child = Interfered(process, own, heard)
        return child

    played = wiped(launch)
    assert played.verdict is Verdict.SANITIZED
    assert played.old_bytes == 0


# --- death -------------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [1, CRASHES_MAX, CRASHES_MAX + 1])
def test_one_that_is_killed_is_started_again_up_to_the_limit(times: int) -> None:
    def launch(process: Process, bench: Fate, own: Fate, number: int) -> Any:
        dying = Fate(name="drive flushed") if number < times else own
        return SimulatedDriveProcess(process.around(dying), bench, dying)

    played = wiped(launch)
    if times <= CRASHES_MAX:
        assert played.verdict is Verdict.SANITIZED
        assert played.old_bytes == 0
    else:
        assert played.verdict is Verdict.NOT_SANITIZED
    (transcript,) = played.found.transcripts.values()
    assert len(transcript.evidence.sessions) == min(times, CRASHES_MAX) + 1


def test_a_drive_that_a_killed_process_does_not_let_go_of_leaves_the_job_open() -> None:
    """It is stuck in the kernel: no second process gets the drive, and nothing is concluded."""

    def launch(process: Process, bench: Fate, own: Fate, number: int) -> Any:
        return _Stuck(process, own) if number == 0 else honest(process, bench, own, number)

    played = wiped(launch)
    assert played.result.recorded is None
    assert played.result.open_code == "drive.fenced"
    assert played.result.job in played.found.open_jobs
    assert played.found.ledger == ("job-started", "insertion-closed")


class _Stuck(Interfered):
    """It says nothing after its intent, and SIGKILL does not reach it."""

    def __init__(self, process: Process, own: Fate) -> None:

        def heard(message: Any) -> list[Any]:
            return [] if message.kind == "intent" else [message]

        super().__init__(process, own, heard)
        self._ours, self.channel = self.channel, _Unheard(self.channel)

    def kill(self) -> None:
        """In vain."""

    async def ended(self) -> None:
        self.channel = self._ours
        await super().ended()


class _Unheard:
    """Whoever is stuck does not notice that its peer has closed the channel."""

    def __init__(self, inner: Channel) -> None:
        self.send, self.receive = inner.send, inner.receive

    def close(self) -> None:
        pass
