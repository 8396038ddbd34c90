"""The bench: opens drives through drive processes, keeps their jobs, signs what happened.

The same object serves `nullbay wipe`, the demo and the simulation in one process, and the root
daemon of a station. It believes nobody: it asks the guard, lets the drive process observe, derives
the plan itself and executes only that.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from nullbay.domain.clock import Clock
from nullbay.domain.drive import Drive
from nullbay.domain.errors import MalformedError, NullbayError
from nullbay.domain.ids import JOB_ID_FORM, BayId, JobId, job_id
from nullbay.domain.outcome import JobEnd
from nullbay.domain.plan import OverwriteStep, Refusal, SanitizationPlan
from nullbay.domain.policy import Full
from nullbay.domain.ports import HostFacts
from nullbay.domain.reasons import CATALOGUE
from nullbay.domain.record import Build, Transcript
from nullbay.domain.text import show
from nullbay.domain.timeline import may_have_been_away
from nullbay.wipers import protocol as p
from nullbay.wipers.appendfile import Fault, no_fault
from nullbay.wipers.channel import Channel, ChannelClosedError
from nullbay.wipers.evidence import evidence, standing
from nullbay.wipers.guard import GuardQuestion, Pin, refusals, whole_station
from nullbay.wipers.hearing import Hearing, SessionResult
from nullbay.wipers.jobdir import (
    REWIND_BYTES,
    JobDirectory,
    Order,
    job_ids,
    remove,
    remove_never_begun,
)
from nullbay.wipers.stream import KEY_BYTES

OPEN_TIMEOUT_S = 120.0
SILENCE_MARGIN_S = 60.0
RELEASE_S = 10.0
REOPEN_S = 0.25


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

    def is_gone(self) -> bool:
        """Whether it has ended; one that is stuck in the kernel has not, killed or not."""
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
    clock: Clock
    outside_bays: bool = False

    async def close(self) -> None:
        """Let go of it and wait until it is free for others; one that does not is killed."""
        try:
            async with self.clock.timeout(RELEASE_S):
                await self.process.channel.send(p.Close())
                while True:
                    await self.process.channel.receive()
        except ChannelClosedError:
            return
        except (TimeoutError, MalformedError):
            self.process.kill()
        finally:
            self.process.channel.close()


Listener = Callable[[p.FromDrive], object]


class Bench:
    """Opens, works, concludes. `jobs` is the folder of job directories."""

    def __init__(
        self,
        jobs: Path,
        host: Host,
        build: Build,
        placement: Placement,
        *,
        draw: Callable[[int], bytes] = secrets.token_bytes,
        rewind_bytes: int = REWIND_BYTES,
        fault: Fault = no_fault,
    ) -> None:
        """Nothing is touched yet. `draw` gives the bytes of keys and job ids."""
        self._jobs, self._host, self._build, self._placement = jobs, host, build, placement
        self._draw, self._rewind_bytes, self._fault = draw, rewind_bytes, fault

    @property
    def clock(self) -> Clock:
        """The clock of its host."""
        return self._host.clock

    @property
    def build(self) -> Build:
        """Which nullbay this is."""
        return self._build

    def find(self, device: str) -> Drive:
        """What the kernel's records say of a device; the drive is not asked, and not opened."""
        return self._host.find(device)

    async def open(
        self,
        device: str,
        confirm: str | None = None,
        *,
        patience_s: float = 0.0,
        outside_bays: bool = False,
    ) -> HeldDrive:
        """Guard, open, let the drive say who it is, guard again. Raises RefusedError.

        `confirm` is what a person typed and must be this drive's text; WrongConfirmationError.
        A drive that is held elsewhere may become free within `patience_s`: the drive process of a
        dead bench lets go of it at its next block. `outside_bays`: root said so in as many words.
        """
        until = self._host.clock.boottime() + patience_s
        while True:
            try:
                return await self._open_once(device, confirm, outside_bays=outside_bays)
            except RefusedError as error:
                is_held = {one.code for one in error.refusals} == {"guard.open-elsewhere"}
                if not is_held or self._host.clock.boottime() >= until:
                    raise
            await self._host.clock.sleep(REOPEN_S)

    async def _open_once(
        self, device: str, confirm: str | None, *, outside_bays: bool
    ) -> HeldDrive:
        seen = self._host.find(device)
        self.guard(seen, outside_bays=outside_bays)
        require_confirmed(seen, confirm)
        process = await self._host.launch()
        try:
            async with self._host.clock.timeout(OPEN_TIMEOUT_S):
                p.require_hello(await process.channel.receive())
                await process.channel.send(p.Hello(p.PROTOCOL, self._build.version))
                await process.channel.send(p.Open(_name_of(seen, device)))
                answer = await process.channel.receive()
        except (TimeoutError, ChannelClosedError, MalformedError) as error:
            process.kill()
            why = str(error) or f"the drive did not answer within {OPEN_TIMEOUT_S:.0f} s"
            raise RefusedError((Refusal("guard.undetermined", show(why)),), seen) from None
        except BaseException:
            process.kill()
            raise
        match answer:
            case p.Opened(said):
                drive = _placed(said, self._placement)
                held = HeldDrive(device, drive, process, self._host.clock, outside_bays)
            case p.Refused(found):
                await HeldDrive(device, seen, process, self._host.clock).close()
                raise RefusedError(found, seen)
            case _:
                process.kill()
                why = "the drive process answered out of order"
                raise RefusedError((Refusal("guard.undetermined", why),), seen)
        try:
            self._compare(seen, drive)
            self.guard(drive, outside_bays=outside_bays)
        except BaseException:
            await held.close()
            raise
        return held

    def create(self, held: HeldDrive, plan: SanitizationPlan) -> JobDirectory:
        """A new job for a held drive and the plan derived from it; keys are drawn here."""
        now = self._host.clock.now()
        keys = self._draw(2 * KEY_BYTES)
        order = Order(job_id(now.at, self._draw(6)), plan, held.drive, now)
        return JobDirectory.create(
            self._jobs, order, keys, rewind_bytes=self._rewind_bytes, fault=self._fault
        )

    def job(self, job: JobId) -> JobDirectory:
        """An existing job."""
        return JobDirectory(self._jobs / job, rewind_bytes=self._rewind_bytes, fault=self._fault)

    async def work(
        self,
        job: JobDirectory,
        held: HeldDrive,
        listener: Listener,
        *,
        rate_limit_bytes_per_s: int = 0,
        ordered: Callable[[], object] = lambda: None,
    ) -> SessionResult:
        """One session: from where the job stands to its end, the drive's departure, or a stop.

        `ordered` is called when the drive process has its order: from then on it can be steered.

        Whatever a drive process does, this returns within the job's deadline: what it says is
        refused where it cannot be, and silence is taken for a crash.
        """
        clock, budgets = self._host.clock, job.order.plan.budgets
        order, from_zero = self._execute(job, held.drive, rate_limit_bytes_per_s)
        hearing = Hearing(
            clock,
            job,
            held.drive,
            order,
            lambda one: _placed(one, self._placement),
            from_zero=from_zero,
        )
        silence_s = budgets.stall_s + SILENCE_MARGIN_S
        until = clock.boottime() + budgets.deadline_s + silence_s
        try:
            await held.process.channel.send(order)
            ordered()
            while True:
                async with clock.timeout(max(0.0, min(silence_s, until - clock.boottime()))):
                    message = await held.process.channel.receive()
                answer = hearing.take(message)
                listener(message)
                if isinstance(answer, SessionResult):
                    return answer
                if answer is not None:
                    await held.process.channel.send(answer)
        except (ChannelClosedError, MalformedError):
            code = "step.crashed"
        except TimeoutError:
            code = "step.deadline" if clock.boottime() >= until else "write.stalled"
        held.process.kill()
        return hearing.crashed(code)

    async def recheck_job(
        self,
        job: JobDirectory,
        held: HeldDrive,
        listener: Listener,
        ordered: Callable[[], object] = lambda: None,
    ) -> str:
        """Whether a drive, read in full, still holds what a job wrote: empty, or a code why not.

        Raises ChannelClosedError, MalformedError, and TimeoutError after silence or the deadline.
        """
        plan = job.order.plan
        if not all(isinstance(step, OverwriteStep) for step in plan.steps):
            return "verification.missing"
        for number in {step.unit_id: step.number for step in plan.steps}.values():
            order = p.Recheck(plan, job.job_key, job.finding_key, number, Full(), b"")
            answer = await self.recheck(held, order, listener, ordered)
            found = answer.result
            if answer.code:
                return answer.code if answer.code in CATALOGUE else "drive.error"
            if found.mismatched or found.read_bytes != found.planned_bytes:
                return "verification.mismatch"
        return ""

    async def recheck(
        self,
        held: HeldDrive,
        order: p.Recheck,
        listener: Listener,
        ordered: Callable[[], object] = lambda: None,
    ) -> p.Rechecked:
        """Compare a drive with what a step of a job wrote on it.

        Raises ChannelClosedError, MalformedError, and TimeoutError after silence or the deadline.
        """
        clock, budgets = self._host.clock, order.plan.budgets
        await held.process.channel.send(order)
        ordered()
        async with clock.timeout(budgets.deadline_s):
            while True:
                async with clock.timeout(budgets.stall_s + SILENCE_MARGIN_S):
                    message = await held.process.channel.receive()
                listener(message)
                if isinstance(message, p.Rechecked):
                    return message

    def conclude(
        self, job: JobDirectory, end: JobEnd, sign: Callable[[Transcript], bytes]
    ) -> bytes:
        """The transcript of a job that is over, signed by the bench key; made once and kept."""
        result = job.result()
        if result is None:
            now = self._host.clock.now()
            result = sign(Transcript(evidence(job, end, now), self._build, now))
            job.write_result(result)
        return result

    def end_of(self, job: JobDirectory) -> JobEnd | None:
        """Why the job is over, by what is journalled; None while a session is to come."""
        return standing(job, self._host.clock.now()).end

    def is_forgotten(self, job: JobDirectory) -> bool:
        """Whether an open job has waited for its drive for longer than its policy allows."""
        if job.result() is not None:
            return False
        patience = timedelta(seconds=job.order.plan.budgets.absent_deadline_s)
        now = datetime.fromisoformat(self._host.clock.now().at)
        try:
            return now - datetime.fromisoformat(job.last_moment.at) > patience
        except (ValueError, TypeError):  # a moment that a drive process made up
            return False

    def jobs(self) -> tuple[JobId, ...]:
        """Jobs that there are folders of, in the order of their ids."""
        return job_ids(self._jobs)

    def has(self, job: JobId) -> bool:
        """Whether there is a folder of it."""
        return bool(JOB_ID_FORM.fullmatch(job)) and (self._jobs / job).is_dir()

    def remove(self, job: JobId) -> None:
        """Remove a job's folder, whole or not at all."""
        remove(self._jobs / job, fault=self._fault)

    def remove_never_begun(self, which: Collection[JobId]) -> None:
        """Remove what a crash kept from beginning, of these. Only while nobody makes jobs."""
        remove_never_begun(self._jobs, which)

    def _execute(self, job: JobDirectory, drive: Drive, rate: int) -> tuple[p.Execute, bool]:
        """The order for the rest of a job, and whether it starts the job again.

        Between two sessions nobody held the drive, so after any of them every unit is verified in
        full, and the last pass over it is done again from where it may be resumed. A drive without
        a name of its own that may have been away proves by its content that it is the job's; where
        there is nothing to prove it by, it stayed in its place, and the job starts again.
        """
        now, plan = self._host.clock.now(), job.order.plan
        stands = standing(job, now)
        away = (
            may_have_been_away(stands.sessions, drive.attachment)
            or any(one.started.boot_id != now.boot_id for one in stands.sessions)
            or job.order.drive.attachment != drive.attachment
        )
        let_go = bool(stands.sessions)
        named = is_named(drive) and is_named(job.order.drive)
        first_step = stands.first_step or max(step.number for step in plan.steps) + 1
        if let_go or away:
            last_passes = {
                step.unit_id: step.number for step in plan.steps if isinstance(step, OverwriteStep)
            }
            first_step = min(first_step, *last_passes.values())
        so_far = job.so_far(first_step)
        is_begun = bool(stands.sessions and stands.first_step)
        from_zero = is_begun and not (named or away or so_far)
        order = p.Execute(
            plan=plan,
            job_key=job.job_key,
            finding_key=job.finding_key,
            first_step=min(step.number for step in plan.steps) if from_zero else first_step,
            so_far=so_far,
            full_verification=let_go or away,
            prove_same=away and not named,
            rate_limit_bytes_per_s=rate or plan.budgets.rate_limit_bytes_per_s,
        )
        return order, from_zero

    def refuses_all(self) -> tuple[Refusal, ...]:
        """Why no drive may be touched on this station at all."""
        return whole_station(self._placement.pins, self._host.facts.root_drive())

    def guard(self, drive: Drive, *, outside_bays: bool = False) -> None:
        """Ask whether this drive may be touched at all. Raises RefusedError."""
        question = GuardQuestion(
            drive=drive,
            host=self._host.facts.uses_of(drive),
            root_drive=self._host.facts.root_drive(),
            pins=self._placement.pins,
            bay=self._placement.bay_of(drive),
            outside_bays=outside_bays or self._placement.outside_bays,
        )
        if found := refusals(question):
            raise RefusedError(found, drive)

    def _compare(self, seen: Drive, opened: Drive) -> None:
        """The kernel's records may keep an old serial after a swap; the drive tells the truth."""
        if seen.attachment.nodes != opened.attachment.nodes:
            raise RefusedError((Refusal("identity.changed", "the device nodes changed"),), opened)


def require_confirmed(drive: Drive, confirm: str | None) -> None:
    """Raise WrongConfirmationError unless the text is this drive's; None is not asked for."""
    if confirm is not None and confirm != drive.confirm:
        raise WrongConfirmationError(
            "the text to confirm with is not that of this drive; nothing was touched",
            next_step="Take it from `nullbay drives`, and look at the drive's label",
        )


def _name_of(seen: Drive, device: str) -> str:
    """What a drive process opens: the kernel's own name of the drive that the guard let through.

    Not what was asked for: whoever asks may own a link in that path and turn it meanwhile. A drive
    that is in no bay would be claimed, and asked, before it is found to be another one.
    Drives made of software have no name but their file.
    """
    return device if seen.simulated else seen.attachment.nodes[0].name


def is_named(drive: Drive) -> bool:
    """Whether its serial tells it from every other drive; else only its content can."""
    return bool(drive.identity.serial) and not drive.serial_shared


def _placed(drive: Drive, placement: Placement) -> Drive:
    """A drive process does not know the bays: the bench does."""
    return replace(drive, attachment=replace(drive.attachment, bay=placement.bay_of(drive)))
