"""The bench: opens drives through drive processes, keeps their jobs, signs what happened.

The same object serves `nullbay wipe`, the demo and the simulation in one process, and the root daemon
of a station. It believes nobody: it asks the guard, lets the drive process observe, derives the plan
itself and executes only that.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from nullbay.domain.clock import Clock
from nullbay.domain.drive import Drive
from nullbay.domain.errors import MalformedError, NullbayError
from nullbay.domain.ids import BayId, JobId, job_id
from nullbay.domain.outcome import JobEnd, SessionEnd
from nullbay.domain.plan import Refusal, SanitizationPlan
from nullbay.domain.ports import HostFacts
from nullbay.domain.record import Build, Transcript
from nullbay.wipers import protocol as p
from nullbay.wipers.appendfile import Fault, no_fault
from nullbay.wipers.channel import Channel, ChannelClosedError
from nullbay.wipers.evidence import evidence, standing
from nullbay.wipers.guard import GuardQuestion, Pin, refusals
from nullbay.wipers.jobdir import (
    JobDirectory,
    Order,
    RangeRecord,
    Resumed,
    SessionBegan,
    SessionEnded,
    StepEnded,
    StepIntended,
    UnwritableRecord,
)
from nullbay.wipers.stream import KEY_BYTES

OPEN_TIMEOUT_S = 120.0
SILENCE_MARGIN_S = 60.0


class RefusedError(NullbayError):
    """nullbay will not touch this drive; nothing was changed. `refusals` say why, with evidence."""

    code = "refused"

    def __init__(self, found: tuple[Refusal, ...], drive: Drive | None = None) -> None:
        """At least one reason."""
        super().__init__("refused: " + ", ".join(one.code for one in found))
        self.refusals, self.drive = found, drive


class WrongConfirmationError(NullbayError):
    """The text to confirm with is not this drive's; nothing was touched."""

    code = "usage.confirm"


class DriveProcess(Protocol):
    """A running drive process, or a task that plays one in this process."""

    channel: Channel

    def kill(self) -> None:
        """End it without asking."""
        ...


@dataclass(frozen=True, slots=True)
class Host:
    """Everything outside that a bench needs: real, or made of software."""

    clock: Clock
    facts: HostFacts
    find: Callable[[str], Drive]
    launch: Callable[[], Awaitable[DriveProcess]]


@dataclass(frozen=True, slots=True)
class Placement:
    """What the station's configuration says about a drive's place."""

    pins: tuple[Pin, ...] = ()
    bay_of: Callable[[Drive], BayId | None] = field(default=lambda _: None)
    outside_bays: bool = False


@dataclass(slots=True)
class HeldDrive:
    """A drive held open by its process: nobody else can open, mount or swap it meanwhile."""

    device: str
    drive: Drive
    process: DriveProcess

    async def close(self) -> None:
        """Let go of it."""
        try:
            await self.process.channel.send(p.Close())
        except ChannelClosedError:
            self.process.kill()


@dataclass(frozen=True, slots=True)
class SessionResult:
    """How a session ended; `same_drive` False: the read-back says this is not the job's drive."""

    end: SessionEnd
    code: str
    same_drive: bool = True


Listener = Callable[[p.FromDrive], object]


class Bench:
    """Opens, works, concludes. `jobs` is the folder of job directories."""

    def __init__(
        self, jobs: Path, host: Host, build: Build, placement: Placement, *, fault: Fault = no_fault
    ) -> None:
        """Nothing is touched yet."""
        self._jobs, self._host, self._build, self._placement = jobs, host, build, placement
        self._fault = fault

    async def open(self, device: str, confirm: str | None = None) -> HeldDrive:
        """Guard, open, let the drive say who it is, guard again. Raises RefusedError.

        `confirm` is what a person typed and must be this drive's text; WrongConfirmationError.
        """
        seen = self._host.find(device)
        self._guard(seen)
        if confirm is not None and confirm != seen.confirm:
            raise WrongConfirmationError(
                "the text to confirm with is not that of this drive; nothing was touched",
                next_step="Take it from `nullbay drives`, and look at the drive's label",
            )
        process = await self._host.launch()
        try:
            async with self._host.clock.timeout(OPEN_TIMEOUT_S):
                p.require_hello(await process.channel.receive())
                await process.channel.send(p.Hello(p.PROTOCOL, self._build.version))
                await process.channel.send(p.Open(device))
                answer = await process.channel.receive()
        except TimeoutError:
            process.kill()
            refusal = Refusal(
                "guard.undetermined", f"the drive did not answer within {OPEN_TIMEOUT_S:.0f} s"
            )
            raise RefusedError((refusal,), seen) from None
        except BaseException:
            process.kill()
            raise
        match answer:
            case p.Opened(drive):
                held = HeldDrive(device, drive, process)
            case p.Refused(found):
                await HeldDrive(device, seen, process).close()
                raise RefusedError(found, seen)
            case _:
                process.kill()
                raise MalformedError("the drive process answered out of order")
        try:
            self._compare(seen, drive)
            self._guard(drive)
        except BaseException:
            await held.close()
            raise
        return held

    def create(self, held: HeldDrive, plan: SanitizationPlan) -> JobDirectory:
        """A new job for a held drive and the plan derived from it; keys are drawn here."""
        now = self._host.clock.now()
        keys = secrets.token_bytes(2 * KEY_BYTES)
        order = Order(job_id(now.at, secrets.token_bytes(6)), plan, held.drive, now)
        return JobDirectory.create(self._jobs, order, keys, fault=self._fault)

    def job(self, job: JobId) -> JobDirectory:
        """An existing job."""
        return JobDirectory(self._jobs / job, fault=self._fault)

    async def work(
        self,
        job: JobDirectory,
        held: HeldDrive,
        listener: Listener,
        *,
        rate_limit_bytes_per_s: int = 0,
    ) -> SessionResult:
        """One session: from where the job stands to its end, the drive's departure, or a stop."""
        order = self._execute(job, held.drive, rate_limit_bytes_per_s)
        if order is None:
            return SessionResult(SessionEnd.FINISHED, "")
        session = _Session(
            self._host.clock, job, held, resumed=order.so_far is not None or order.prove_same
        )
        silence_s = job.order.plan.budgets.stall_s + SILENCE_MARGIN_S
        try:
            await held.process.channel.send(order)
            while True:
                async with self._host.clock.timeout(silence_s):
                    message = await held.process.channel.receive()
                result = await session.take(message)
                listener(message)
                if result is not None:
                    return result
        except (TimeoutError, ChannelClosedError, MalformedError) as error:
            code = "write.stalled" if isinstance(error, TimeoutError) else "step.crashed"
            held.process.kill()
            session.crashed(code)
            return SessionResult(SessionEnd.CRASHED, code)

    async def recheck(self, held: HeldDrive, order: p.Recheck, listener: Listener) -> p.Rechecked:
        """Compare a drive with what a job wrote on it. Raises ChannelClosedError, TimeoutError."""
        await held.process.channel.send(order)
        while True:
            async with self._host.clock.timeout(order.plan.budgets.stall_s + SILENCE_MARGIN_S):
                message = await held.process.channel.receive()
            listener(message)
            if isinstance(message, p.Rechecked):
                return message

    def conclude(
        self, job: JobDirectory, end: JobEnd, sign: Callable[[Transcript], bytes]
    ) -> bytes:
        """The transcript of a job that is over, signed by the bench key and kept; once and for all."""
        result = job.result()
        if result is None:
            now = self._host.clock.now()
            result = sign(Transcript(evidence(job, end, now), self._build, now))
            job.write_result(result)
        return result

    def end_of(self, job: JobDirectory, result: SessionResult) -> JobEnd | None:
        """Why the job is over after this session; None while it may be resumed."""
        stands = standing(job, self._host.clock.now())
        if result.code == "step.deadline":
            return JobEnd.DEADLINE
        if result.end is SessionEnd.ABORTED:
            return JobEnd.ABORTED
        if result.code == "identity.changed" and result.same_drive:
            return JobEnd.STOPPED_ON_ERRORS
        if result.end is SessionEnd.FINISHED:
            return (
                JobEnd.COMPLETED
                if not stands.failed and not stands.first_step
                else JobEnd.STOPPED_ON_ERRORS
            )
        return None

    def _execute(self, job: JobDirectory, drive: Drive, rate: int) -> p.Execute | None:
        """The order for the rest of a job; None when nothing is left to do."""
        stands = standing(job, self._host.clock.now())
        if stands.failed or not stands.first_step:
            return None
        before = stands.sessions
        away = any(
            one.attachment != drive.attachment or one.end is SessionEnd.DRIVE_GONE for one in before
        )
        return p.Execute(
            plan=job.order.plan,
            job_key=job.job_key,
            finding_key=job.finding_key,
            first_step=stands.first_step,
            so_far=job.so_far(stands.first_step),
            full_verification=away,
            prove_same=away and not drive.identity.is_strong,
            rate_limit_bytes_per_s=rate or job.order.plan.budgets.rate_limit_bytes_per_s,
        )

    def _guard(self, drive: Drive) -> None:
        question = GuardQuestion(
            drive=drive,
            host=self._host.facts.uses_of(drive),
            root_drive=self._host.facts.root_drive(),
            pins=self._placement.pins,
            bay=self._placement.bay_of(drive),
            outside_bays=self._placement.outside_bays,
        )
        if found := refusals(question):
            raise RefusedError(found, drive)

    def _compare(self, seen: Drive, opened: Drive) -> None:
        """The kernel's records may keep an old serial after a swap; the drive tells the truth."""
        if seen.attachment.nodes != opened.attachment.nodes:
            raise RefusedError((Refusal("identity.changed", "the device nodes changed"),), opened)


class _Session:
    """Journals what a drive process says, in the order in which it says it."""

    def __init__(self, clock: Clock, job: JobDirectory, held: HeldDrive, *, resumed: bool) -> None:
        self._clock, self._job, self._held, self._resumed = clock, job, held, resumed
        self._began = False
        self._is_other_drive = False

    async def take(self, message: object) -> SessionResult | None:
        """Journal one message; the result when it was the last."""
        match message:
            case p.Resuming(found, from_zero):
                if not from_zero and not (found and found.is_match):
                    self._is_other_drive = True
                    return None
                self._begin()
                self._job.happened(Resumed(found, from_zero))
                if from_zero:
                    self._job.restart_ranges()
            case p.Intent(number, at):
                self._begin()
                self._job.happened(StepIntended(number, at))
                await self._held.process.channel.send(p.Acknowledged(number))
            case p.RangesFlushed(number, ranges, at):
                self._job.flushed(RangeRecord(number, ranges, at))
            case p.SectorUnwritable(number, lba, errno):
                self._job.unwritable(UnwritableRecord(number, lba, errno))
            case p.Exchanged(exchange):
                self._job.exchanged(exchange)
            case p.StepOver(outcome):
                self._job.happened(StepEnded(outcome))
            case p.SessionDone(code=code) if self._is_other_drive:
                return SessionResult(SessionEnd.STOPPED, code, same_drive=False)
            case p.SessionDone(end, code, drive, at):
                self._begin()
                self._job.happened(SessionEnded(SessionEnd(end), code, at, drive))
                return SessionResult(SessionEnd(end), code)
            case p.Progress():
                pass
            case other:
                raise MalformedError(f"{type(other).__name__} from a drive process out of order")
        return None

    def crashed(self, code: str) -> None:
        """The process is gone or silent."""
        self._begin()
        self._job.happened(SessionEnded(SessionEnd.CRASHED, code, self._clock.now(), None))

    def _begin(self) -> None:
        if not self._began:
            self._began = True
            drive = self._held.drive
            now = self._clock.now()
            self._job.happened(
                SessionBegan(drive.attachment, drive.identity.key, now, self._resumed)
            )
