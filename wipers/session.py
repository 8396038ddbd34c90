"""The drive's side of a job: holds one drive, executes one plan, says everything that happens.

Runs in a drive process of its own on a station (process.py), and inline in demo and simulation. It
keeps no files: what it says is journalled by the bench, before it acts where that matters.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field

from nullbay.domain.clock import Clock
from nullbay.domain.drive import Drive
from nullbay.domain.errors import NullbayError
from nullbay.domain.outcome import Exchange, OutcomeKind, ReadBack, SessionEnd, StepOutcome
from nullbay.domain.plan import DeallocateStep, OverwriteStep, Refusal
from nullbay.domain.ports import DriveAccess, PortError, PortErrorKind
from nullbay.domain.text import show
from nullbay.wipers import protocol as p
from nullbay.wipers.channel import Channel, ChannelClosedError
from nullbay.wipers.control import Control
from nullbay.wipers.lanes import LaneExecutor, TimedCalls
from nullbay.wipers.patience import SpeedWatch
from nullbay.wipers.readback import ReadBackRun
from nullbay.wipers.steps import Sizes, StepRun, StepWork
from nullbay.wipers.stream import stream_of
from nullbay.wipers.verify import ReadingRule, Verification

WATCH_S = 0.25
TEMPERATURE_S = 10.0
_GONE = (SessionEnd.DRIVE_GONE, "drive.gone")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a session needs besides its drive."""

    clock: Clock
    executor: LaneExecutor
    open_drive: Callable[[str], DriveAccess]
    build: str
    draw_seed: Callable[[int], bytes] = secrets.token_bytes
    sizes: Sizes = field(default_factory=Sizes)


class DriveSession:
    """One drive, from open to close."""

    def __init__(self, channel: Channel, around: Surroundings) -> None:
        """Nothing is opened before the Hello of the peer."""
        self._channel, self._around = channel, around
        self._clock = around.clock
        self._calls = TimedCalls(around.executor, around.clock)
        self._access: DriveAccess | None = None
        self._control = Control(around.clock)
        self._acknowledged: asyncio.Queue[int | None] = asyncio.Queue()
        self._sequence = 0
        self._run: StepRun | None = None
        self._reading_back: ReadBackRun | None = None
        self._temperature: int | None = None

    async def serve(self) -> None:
        """Until Close, or until the peer is gone: then stop at the next block, let go of the drive.

        A fault of this code ends it as well: the peer sees the channel close.
        """
        work: asyncio.Task[None] | None = None
        try:
            await self._channel.send(p.Hello(p.PROTOCOL, self._around.build))
            p.require_hello(await self._channel.receive())
            while True:
                match await self._channel.receive():
                    case p.Open(device) if work is None or work.done():
                        await self._open(device)
                    case p.Execute() as order if self._access is not None and (
                        work is None or work.done()
                    ):
                        self._control = Control(
                            self._clock,
                            order.rate_limit_bytes_per_s,
                            errors_max=order.plan.budgets.errors_max,
                        )
                        work = self._start(self._execute(self._access, order))
                    case p.Recheck() as order if self._access is not None and (
                        work is None or work.done()
                    ):
                        self._control = Control(self._clock)
                        work = self._start(self._recheck(self._access, order))
                    case p.Acknowledged(number):
                        self._acknowledged.put_nowait(number)
                    case p.Pause():
                        self._control.pause("operator")
                    case p.Continue():
                        self._control.go_on("operator")
                    case p.SetRate(rate):
                        self._control.set_rate(rate)
                    case p.Abort():
                        self._control.stop("step.aborted")
                    case p.Close():
                        break
                    case other:
                        msg = f"{type(other).__name__} is not allowed now"
                        raise NullbayError(msg, code="protocol.order")  # noqa: TRY301 - ends the session
        except (ChannelClosedError, NullbayError):
            self._control.stop("step.interrupted")
        finally:
            self._control.stop("step.interrupted")
            self._acknowledged.put_nowait(None)
            try:
                if work is not None:
                    with suppress(ChannelClosedError):
                        await work
            finally:
                if self._access is not None:
                    with suppress(PortError):
                        self._access.close()
                self._channel.close()

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Work that fails by a fault of this code must not leave the peer waiting."""

        def look(task: asyncio.Task[None]) -> None:
            if task.cancelled() or task.exception() is not None:
                self._channel.close()

        self._acknowledged = asyncio.Queue()
        task = asyncio.create_task(work)
        task.add_done_callback(look)
        return task

    async def _open(self, device: str) -> None:
        if self._access is not None:
            self._access.close()
            self._access = None
        try:
            self._access = await self._calls.call(lambda: self._around.open_drive(device))
            drive = await self._calls.call(self._access.observe)
        except NullbayError as error:
            await self._channel.send(p.Refused((_refusal_of(error),)))
        else:
            await self._channel.send(p.Opened(drive))

    async def _execute(self, access: DriveAccess, order: p.Execute) -> None:
        watches = [
            asyncio.create_task(self._watch(order)),
            asyncio.create_task(self._watch_temperature(access, order)),
        ]
        try:
            end, code = await self._steps(access, order)
        except PortError as error:
            is_gone = error.kind is PortErrorKind.GONE
            end, code = _GONE if is_gone else (SessionEnd.STOPPED, "drive.error")
        finally:
            for watch in watches:
                watch.cancel()
            await asyncio.gather(*watches, return_exceptions=True)
        drive = await self._observe(access) if code != "write.stalled" else None
        if drive is None and (end, code) == (SessionEnd.FINISHED, ""):
            # all is done, and then it did not answer: nobody saw it afterwards
            end, code = _GONE
        await self._channel.send(p.SessionDone(end, code, drive, self._clock.now()))

    async def _steps(self, access: DriveAccess, order: p.Execute) -> tuple[SessionEnd, str]:
        steps = [step for step in order.plan.steps if step.number >= order.first_step]
        so_far = order.so_far
        if so_far is not None or order.prove_same:
            found = await self._read_back(access, order)
            if code := self._control.stop_code:
                return _cut_short(code)
            is_match = found is not None and found.is_match
            from_zero = not is_match and not order.prove_same
            await self._channel.send(p.Resuming(found, from_zero=from_zero))
            if from_zero:
                so_far, steps = None, list(order.plan.steps)
            elif not is_match:
                return SessionEnd.STOPPED, "identity.changed"
        for step in steps:
            mine = so_far if so_far is not None and so_far.number == step.number else None
            drive = await self._observe(access)
            if drive is None:
                return _GONE
            if drive.identity.key != order.plan.identity_key:
                return SessionEnd.STOPPED, "identity.changed"
            if code := self._control.stop_code:
                return _cut_short(code)
            await self._say(step.unit_id, "identity", drive.identity.key, "")
            await self._channel.send(p.Intent(step.number, self._clock.now()))
            await self._allowed(step.number)
            outcome = await self._one_step(access, order, step.number, mine)
            if outcome.codes == ("step.interrupted",):
                return _cut_short("step.interrupted")
            if outcome.kind is OutcomeKind.INTERRUPTED and "drive.gone" in outcome.codes:
                return _GONE
            await self._channel.send(p.StepOver(outcome))
            if "step.aborted" in outcome.codes:
                return _cut_short("step.aborted")
            if outcome.kind is not OutcomeKind.SUCCEEDED or _found_residue(outcome):
                return SessionEnd.FINISHED, (*outcome.codes, "verification.mismatch")[0]
        return SessionEnd.FINISHED, ""

    async def _allowed(self, number: int) -> None:
        """Until the intent is journalled. Raises ChannelClosedError if the peer went away."""
        while (got := await self._acknowledged.get()) != number:
            if got is None:
                raise ChannelClosedError("the peer went away before it allowed a step")

    async def _one_step(
        self, access: DriveAccess, order: p.Execute, number: int, so_far: p.StepSoFar | None
    ) -> StepOutcome:
        step = next(one for one in order.plan.steps if one.number == number)
        port = access.port(step.unit_id)
        if isinstance(step, DeallocateStep):
            return await self._deallocate(access, step)
        work = StepWork(order, step, port, self._control, self._around.draw_seed)
        run = StepRun(work, self._clock, self._around.executor, so_far, self._around.sizes)
        self._run = run
        outgoing: asyncio.Queue[p.FromDrive] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        pump = asyncio.create_task(self._pump(outgoing))
        try:
            outcome = await run.perform(
                lambda message: loop.call_soon_threadsafe(outgoing.put_nowait, message)
            )
            await self._clock.sleep(0)  # what lanes reported is delivered by the loop's next turn
            await outgoing.join()
        finally:
            pump.cancel()
            self._run = None
        if run.last_flush is not None:
            await self._say(step.unit_id, "flush", run.last_flush.at, "")
        return outcome

    async def _deallocate(self, access: DriveAccess, step: DeallocateStep) -> StepOutcome:
        port, started = access.port(step.unit_id), self._clock.now()
        try:
            await self._calls.call(lambda: port.deallocate(0, port.geometry.size_bytes))
            await self._calls.call(port.flush)
        except PortError as error:
            gone = error.kind is PortErrorKind.GONE
            kind = OutcomeKind.INTERRUPTED if gone else OutcomeKind.REFUSED
            code = "drive.gone" if gone else "plan.deallocate-unsupported"
            return StepOutcome(step.number, kind, (code,), started, self._clock.now())
        return StepOutcome(step.number, OutcomeKind.SUCCEEDED, (), started, self._clock.now())

    async def _pump(self, outgoing: asyncio.Queue[p.FromDrive]) -> None:
        while True:
            message = await outgoing.get()
            try:
                await self._channel.send(message)
            except ChannelClosedError:
                self._control.stop("step.interrupted")
            finally:
                outgoing.task_done()

    async def _recheck(self, access: DriveAccess, order: p.Recheck) -> None:
        """Read only: sectors that do not read are not written anew."""
        step = next(one for one in order.plan.steps if one.number == order.number)
        if not isinstance(step, OverwriteStep):
            msg = "only a step that wrote something can be checked by reading"
            raise NullbayError(msg, code="protocol.order")
        block_bytes = self._around.sizes.block_bytes
        verifying = Verification(
            access.port(step.unit_id),
            stream_of(step.pattern, order.job_key, step.number, block_bytes),
            order.profile,
            order.seed,
            ReadingRule(retries=1, retry_pause_s=0, cure_by_rewriting=False),
            self._control,
            self._clock,
            order.finding_key,
            block_bytes=block_bytes,
        )
        watch = asyncio.create_task(self._watch_recheck(verifying, order))
        try:
            await self._around.executor.run(verifying.lanes())
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
        code = verifying.failure or self._control.stop_code or ""
        await self._channel.send(p.Rechecked(verifying.result(), code))

    async def _watch_recheck(self, verifying: Verification, order: p.Recheck) -> None:
        """Says nothing more of a drive that has not answered for longer than the stall time."""
        started, size = self._clock.boottime(), verifying.planned_bytes
        while True:
            await self._clock.sleep(WATCH_S)
            done, spent = verifying.read_bytes, self._clock.boottime() - started
            speed = int(done / spent) if spent > 0 else 0
            eta = (size - done) // speed if speed else None
            errors = verifying.mismatched
            if verifying.longest_in_flight_s() <= order.plan.budgets.stall_s:
                await self._channel.send(
                    p.Progress(order.number, 1, "recheck", done, size, speed, eta, errors, None, ())
                )

    async def _read_back(self, access: DriveAccess, order: p.Execute) -> ReadBack | None:
        """What the drive holds of what an earlier session wrote."""
        run = ReadBackRun.of(order, access, self._around.draw_seed)
        if run is None:
            return None
        self._reading_back = run
        try:
            return await run.perform(self._calls, self._control, self._clock)
        finally:
            self._reading_back = None

    async def _observe(self, access: DriveAccess) -> Drive | None:
        try:
            return await self._calls.call(access.observe)
        except PortError:
            return None

    async def _say(self, unit_id: str, command: str, answer: str, errno: str) -> None:
        self._sequence += 1
        exchange = Exchange(self._sequence, self._clock.now(), unit_id, command, answer, errno)
        await self._channel.send(p.Exchanged(exchange))

    async def _watch(self, order: p.Execute) -> None:
        """Progress, stall, speed and deadline, four times a second; even when nobody listens.

        A drive that has not answered for longer than the stall time ends its step; where there is
        no step yet, nothing more is said, and the peer draws its conclusion from the silence.
        """
        started, budgets = self._clock.boottime(), order.plan.budgets
        speed = SpeedWatch(budgets, self._control)
        while True:
            await self._clock.sleep(WATCH_S)
            if self._clock.boottime() - started > budgets.deadline_s:
                self._control.stop("step.deadline")
            run = self._run
            if run is not None and run.longest_in_flight_s() > budgets.stall_s:
                self._control.stop("write.stalled")
                run.give_up()
            moved = run.moved_bytes() if run is not None else None
            if moved is not None and speed.is_too_slow(self._clock.boottime(), run, moved):
                self._control.stop("health.too-slow")
            progress = self._progress(order)
            if progress is not None and self._calls.longest_s() <= budgets.stall_s:
                with suppress(ChannelClosedError):
                    await self._channel.send(progress)

    def _progress(self, order: p.Execute) -> p.Progress | None:
        steps = len(order.plan.steps)
        if self._run is not None:
            return self._run.progress(steps, self._temperature)
        if self._reading_back is not None:
            run, paused = self._reading_back, self._control.paused
            done, total = run.done_bytes, run.total_bytes
            return p.Progress(
                run.number, steps, "resume", done, total, 0, None, 0, self._temperature, paused
            )
        return None

    async def _watch_temperature(self, access: DriveAccess, order: p.Execute) -> None:
        """Apart from the other watch: a sick drive may not answer."""
        while True:
            try:
                celsius = await self._around.executor.call(access.temperature_celsius)
            except PortError:
                celsius = None
            self._heed_temperature(celsius, order)
            await self._clock.sleep(TEMPERATURE_S)

    def _heed_temperature(self, celsius: int | None, order: p.Execute) -> None:
        """A drive that does not tell any more is treated like one that never did: it goes on."""
        self._temperature = celsius
        if celsius is not None and celsius > order.plan.budgets.pause_above_celsius:
            self._control.pause("temperature")
        elif celsius is None or celsius < order.plan.budgets.continue_below_celsius:
            self._control.go_on("temperature")


def _cut_short(code: str) -> tuple[SessionEnd, str]:
    """How a session ends that was told to stop before its work was done."""
    return (SessionEnd.ABORTED if code == "step.aborted" else SessionEnd.STOPPED), code


def _refusal_of(error: NullbayError) -> Refusal:
    """Errors that know their refusal bring it; a drive without an answer is not touched."""
    known = getattr(error, "refusal", None)
    if isinstance(known, Refusal):
        return known
    code = error.code
    if isinstance(error, PortError):
        code = "drive.gone" if error.kind is PortErrorKind.GONE else "guard.undetermined"
    return Refusal(code, show(str(error), 200))


def _found_residue(outcome: StepOutcome) -> bool:
    result = outcome.verification
    return result is not None and bool(result.mismatched or result.unreadable.count)
