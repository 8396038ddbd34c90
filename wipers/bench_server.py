"""The service behind the bench's messages: drives held, sessions running, jobs kept (bench_jobs).

It believes nobody. Plans are derived here, from policies read here; the guard is asked again before
a job is made and before each session; a job is concluded only as its own journal says, and its
folder goes only against the digest of its result. Drives stay held and sessions go on, whatever
becomes of those who asked for them. Nothing here opens, reads or closes a drive: only drive
processes do.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any

from nullbay.domain.drive import Drive
from nullbay.domain.errors import MalformedError, NullbayError
from nullbay.domain.ids import JobId, PolicyId
from nullbay.domain.logline import about, fields
from nullbay.domain.outcome import JobEnd, SessionEnd
from nullbay.domain.plan import Refusal, SanitizationPlan, Step
from nullbay.domain.policy import Policy
from nullbay.domain.record import Transcript
from nullbay.domain.text import show
from nullbay.wipers import bench_protocol as b
from nullbay.wipers import protocol as p
from nullbay.wipers.bench_jobs import BenchError, Jobs, refused
from nullbay.wipers.channel import ChannelClosedError
from nullbay.wipers.hearing import SessionResult
from nullbay.wipers.jobdir import JobDirectory
from nullbay.wipers.service import (
    RELEASE_S,
    Bench,
    DriveProcess,
    HeldDrive,
    Listener,
    require_confirmed,
)

HELD_MAX = 64
TICKETS_MAX = 16
FENCE_S = 10.0
POLL_S = 0.05
STOP_S = 60.0

_log = logging.getLogger("nullbay.bench")


@dataclass(slots=True)
class WorkUnderWay:
    """A session, or a re-check, of one job on one drive, and who listens."""

    job: JobId
    plan: SanitizationPlan
    listeners: list[Listener] = field(default_factory=list)
    ordered: asyncio.Event = field(default_factory=asyncio.Event)
    is_recheck: bool = False
    abort_asked: bool = False
    step: Step | None = None
    task: asyncio.Task[SessionResult] | None = None

    @property
    def may_be_interrupted(self) -> bool:
        """Whether it can be stopped at a next block."""
        return self.step is None or self.step.may_be_interrupted

    def heard(self, message: p.FromDrive) -> None:
        """Note the step, and hand it on."""
        match message:
            case p.Intent(number=number):
                self.step = next(one for one in self.plan.steps if one.number == number)
            case p.StepOver():
                self.step = None
            case _:
                pass
        for one in tuple(self.listeners):
            one(message)


@dataclass(slots=True)
class KeptDrive:
    """A held drive, by its handle: what works on it, and which approvals it can still be given."""

    handle: str
    held: HeldDrive
    tickets: list[str] = field(default_factory=list)
    jobs: list[JobId] = field(default_factory=list)
    work: WorkUnderWay | None = None

    @property
    def drive(self) -> Drive:
        """As it showed itself when it was opened."""
        return self.held.drive


class BenchService:
    """One bench. `serve` a connection with bench_connection.Connection; `aclose` at the end."""

    def __init__(
        self,
        bench: Bench,
        policies: Mapping[PolicyId, Policy],
        sign: Callable[[Transcript], bytes],
        public_key_pem: bytes,
        *,
        people: Collection[str] | None = None,
        draw: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """`sign` signs transcripts with the bench key; `draw` gives the bytes of handles.

        `people` are the ids that may stand under an approval; None where nobody is configured.
        """
        self._people = people
        self._bench, self._jobs = bench, Jobs(bench, policies, sign)
        self.public_key_pem, self._draw = public_key_pem, draw
        self.clock, self.build = bench.clock, bench.build
        self._kept: dict[str, KeptDrive] = {}
        self._opening: dict[str, asyncio.Lock] = {}
        self._working: dict[JobId, JobDirectory] = {}
        self._killed: list[tuple[Drive, DriveProcess]] = []
        self._stopping = False
        self._end: asyncio.Task[None] | None = None
        self.stopped = asyncio.Event()

    def refuses_all(self) -> tuple[Refusal, ...]:
        """Why every drive is refused now."""
        return self._bench.refuses_all()

    # --- drives --------------------------------------------------------------------------------

    async def open(
        self, device: str, confirm: str | None, *, patience_s: float, outside_bays: bool
    ) -> KeptDrive:
        """Hold a drive, or give the one that is held. Raises RefusedError and others."""
        self._require_running()
        seen = self._bench.find(device)
        async with self._opening.setdefault(seen.attachment.device_path, asyncio.Lock()):
            for kept in self._at(seen.attachment.device_path):
                if kept.drive.attachment.nodes == seen.attachment.nodes and not _is_dead(kept):
                    self._bench.guard(kept.drive, outside_bays=outside_bays)
                    require_confirmed(seen, confirm)
                    kept.held.outside_bays = outside_bays
                    return kept
                if kept.work is None:  # another drive is in its place, or its process ended
                    await self.close(kept)
            await self._until_let_go(seen, max(FENCE_S, patience_s))
            if len(self._kept) >= HELD_MAX:
                await self.tidy()
            if len(self._kept) >= HELD_MAX:
                raise BenchError(f"{HELD_MAX} drives are held already", code="bench.full")
            self._require_running()
            held = await self._bench.open(
                device, confirm, patience_s=patience_s, outside_bays=outside_bays
            )
            kept = KeptDrive("h-" + self._draw(8).hex(), held)
            self._kept[kept.handle] = kept
            return kept

    def kept(self, handle: str) -> KeptDrive:
        """The held drive of a handle. Raises RefusedError for one that is not, or no longer."""
        kept = self._kept.get(handle)
        if kept is None:
            raise refused("drive.not-held", show(handle, 40))
        return kept

    async def close(self, kept: KeptDrive) -> None:
        """Let go of a drive; work on it stops at its next block first, and its job stays open.

        Also where an abort was asked for that is not journalled yet: it was thought better of.
        """
        self._kept.pop(kept.handle, None)
        self._to_be_gone(kept)
        if kept.work is not None and kept.work.abort_asked:
            _task_of(kept.work).cancel()
            await asyncio.wait({_task_of(kept.work)})
        await self._stop_work(kept, RELEASE_S)
        await kept.held.close()
        with suppress(TimeoutError):
            async with self.clock.timeout(RELEASE_S):
                while not kept.held.process.is_gone():
                    await self.clock.sleep(POLL_S)
        self._reap()

    async def tidy(self) -> None:
        """Let go of idle drives that are no longer where they were."""
        idle = [one for one in self._kept.values() if one.work is None]
        left = [one for one in idle if _is_dead(one) or not self._is_there(one)]
        await asyncio.gather(*(self.close(one) for one in left))

    async def steer(self, kept: KeptDrive, how: b.Steering, bytes_per_s: int) -> None:
        """Tell whatever works on a drive; nothing does: nothing happens."""
        work = kept.work
        if work is None:
            return
        await work.ordered.wait()
        message: p.ToDrive
        match how:
            case b.Steering.PAUSE:
                message = p.Pause()
            case b.Steering.GO_ON:
                message = p.Continue()
            case b.Steering.RATE:
                message = p.SetRate(bytes_per_s)
            case b.Steering.ABORT:
                message, work.abort_asked = p.Abort(), True
        if kept.work is work:
            with suppress(ChannelClosedError):
                await kept.held.process.channel.send(message)

    # --- jobs ----------------------------------------------------------------------------------

    def ticket(self, kept: KeptDrive) -> str:
        """A word for one approval."""
        made = self._draw(16).hex()
        kept.tickets = [*kept.tickets[1 - TICKETS_MAX :], made]
        return made

    def create(self, kept: KeptDrive, ask: b.Create, *, maker: object) -> b.JobView:
        """A job of the plan that is derived here. Raises RefusedError, with nothing made."""
        self._require_running()
        if ask.ticket not in kept.tickets:
            raise refused("approval.replayed", "given before, or for another stay of a drive")
        kept.tickets.remove(ask.ticket)
        for one in ask.people:
            if self._people is not None and one.person_id not in self._people:
                raise refused("approval.unknown-person", show(one.person_id, 64))
        plan = self._jobs.derive(kept.held, ask)
        for job in kept.jobs:
            if self._jobs.is_open(job):
                raise refused("job.open", job)
        view = self._jobs.create(kept.held, plan, maker)
        kept.jobs.append(view.job_id)
        return view

    def look(self, job: JobId) -> b.JobView:
        """How a job stands. Raises BenchError job.unknown, and what a damaged folder raises."""
        if job in self._working:
            return self._jobs.view(self._working[job], running=True)
        with closing(self._jobs.open(job)) as directory:
            return self._jobs.view(directory, running=False)

    def jobs(self, after: str) -> tuple[tuple[JobId, ...], bool]:
        """Some jobs, and whether others follow."""
        return self._jobs.listed(after)

    async def work(self, ask: b.Work, kept: KeptDrive, listener: Listener) -> SessionResult:
        """A session from here to its end; one under way for this job is listened to instead."""
        work = kept.work
        if work is None or work.is_recheck or work.job != ask.job:
            self._require_idle(kept, ask.job)
            self._bench.guard(kept.drive, outside_bays=kept.held.outside_bays)
            job = self._jobs.for_drive(ask.job, kept.drive)
            if job.result() is not None:
                job.close()
                raise refused("job.concluded", ask.job)
            if self._bench.end_of(job) is not None:  # it ended while nobody listened
                job.close()
                return SessionResult(SessionEnd.FINISHED, "")
            rate = ask.rate_limit_bytes_per_s

            async def act(work: WorkUnderWay) -> SessionResult:
                return await self._bench.work(
                    job,
                    kept.held,
                    work.heard,
                    rate_limit_bytes_per_s=rate,
                    ordered=work.ordered.set,
                )

            work = self._begin(kept, job, act)
        return await self._listen(work, listener)

    async def recheck(self, ask: b.RecheckJob, kept: KeptDrive, listener: Listener) -> str:
        """Whether the drive, read in full, holds what a job wrote, else a code; joined likewise."""
        work = kept.work
        if work is None or not work.is_recheck or work.job != ask.job:
            self._require_idle(kept, ask.job)
            job = self._jobs.for_drive(ask.job, kept.drive)
            work = self._begin(kept, job, lambda work: self._recheck(kept, job, work))
            work.is_recheck = True
        return (await self._listen(work, listener)).code

    def conclude(self, job: JobId, end: JobEnd) -> b.JobView:
        """The transcript, signed once. Raises RefusedError where the journal says otherwise."""
        self._require_unworked(job)
        return self._jobs.conclude(job, end)

    def members(self, job: JobId) -> Iterator[tuple[str, bytes]]:
        """Archive members of a concluded job, one after another. Raises RefusedError."""
        return self._jobs.members(job)

    def acknowledge(self, job: JobId, result_sha256: str) -> None:
        """Remove a job whose result is known elsewhere; one that is gone is gone."""
        self._require_unworked(job)
        self._jobs.acknowledge(job, result_sha256)

    def forget(self, which: Collection[JobId], connected: Collection[object]) -> None:
        """Remove jobs that never began; those of a connection that is still there may yet begin."""
        self._jobs.forget({*which} - self._working.keys(), connected)

    # --- the end -------------------------------------------------------------------------------

    def uninterruptible(self) -> tuple[str, ...]:
        """Devices in a step that may not be interrupted."""
        return tuple(
            kept.held.device
            for kept in self._kept.values()
            if kept.work is not None and not kept.work.may_be_interrupted
        )

    def begin_nothing(self) -> None:
        """From now on no drive is opened and no work begins."""
        self._stopping = True

    async def stop(self, *, force: bool = False, within_s: float = STOP_S) -> None:
        """Every session stops at its next block; then every drive is let go of. For good.

        Raises RefusedError bench.uninterruptible where a drive must not be stopped, unless forced.
        """
        if (devices := self.uninterruptible()) and not force:
            raise refused("bench.uninterruptible", ", ".join(devices))
        self._stopping = True
        if self._end is None:  # a task of its own: it goes on if whoever asked is gone
            self._end = asyncio.create_task(self._let_go_of_all(within_s))
        await asyncio.shield(self._end)

    async def _let_go_of_all(self, within_s: float) -> None:
        kept = tuple(self._kept.values())
        await asyncio.gather(*(self._stop_work(one, within_s) for one in kept))
        await asyncio.gather(*(self.close(one) for one in kept))
        self.stopped.set()

    async def aclose(self) -> None:
        """Let go of everything, at once."""
        await self.stop(force=True, within_s=RELEASE_S)

    # --- inside --------------------------------------------------------------------------------

    def _at(self, device_path: str) -> tuple[KeptDrive, ...]:
        return tuple(
            one for one in self._kept.values() if one.drive.attachment.device_path == device_path
        )

    def _is_there(self, kept: KeptDrive) -> bool:
        try:
            seen = self._bench.find(kept.held.device)
        except NullbayError:
            return False
        return seen.attachment.nodes == kept.drive.attachment.nodes

    async def _until_let_go(self, seen: Drive, within_s: float) -> None:
        """Processes that were told to end have ended, of this drive. Raises RefusedError."""
        until = self.clock.boottime() + within_s
        while True:
            self._reap()
            nodes = {(node.name, node.devnum) for node in seen.attachment.nodes}
            if not any(
                nodes & {(node.name, node.devnum) for node in drive.attachment.nodes}
                for drive, _ in self._killed
            ):
                return
            if self.clock.boottime() >= until:
                raise refused("drive.fenced", f"its process has not ended for {within_s:.0f} s")
            await self.clock.sleep(POLL_S)

    def _drop(self, kept: KeptDrive) -> None:
        """A drive process that is not to be trusted any more."""
        self._kept.pop(kept.handle, None)
        kept.held.process.kill()
        kept.held.process.channel.close()
        self._to_be_gone(kept)

    def _to_be_gone(self, kept: KeptDrive) -> None:
        """Its process is to be seen ending before the drive is opened again."""
        self._reap()
        self._killed.append((kept.drive, kept.held.process))

    def _reap(self) -> None:
        self._killed = [one for one in self._killed if not one[1].is_gone()]

    def _begin(
        self,
        kept: KeptDrive,
        job: JobDirectory,
        act: Callable[[WorkUnderWay], Coroutine[Any, Any, SessionResult]],
    ) -> WorkUnderWay:
        """Start it, as a task of the bench: it outlives whoever asked."""
        work = WorkUnderWay(job.order.job_id, job.order.plan)
        kept.work, self._working[work.job] = work, job

        async def run() -> SessionResult:
            with about(job=work.job, bay=kept.drive.attachment.bay or ""):
                _log.info("session.began", extra=fields(device=kept.held.device))
                result = await acting()
                _log.info("session.ended", extra=fields(end=result.end, code=result.code))
                return result

        async def acting() -> SessionResult:
            try:
                result = await act(work)
            except Exception:
                self._drop(kept)
                raise
            finally:
                work.ordered.set()
                kept.work = None
                del self._working[work.job]
                job.close()
            if result.end is SessionEnd.CRASHED:
                self._jobs.crashed(work.job)
                self._drop(kept)
            return result

        work.task = asyncio.create_task(run())
        work.task.add_done_callback(lambda task: task.cancelled() or task.exception())
        return work

    async def _recheck(
        self, kept: KeptDrive, job: JobDirectory, work: WorkUnderWay
    ) -> SessionResult:
        try:
            code = await self._bench.recheck_job(job, kept.held, work.heard, work.ordered.set)
        except (ChannelClosedError, MalformedError, TimeoutError):
            return SessionResult(SessionEnd.CRASHED, "step.crashed")
        return SessionResult(SessionEnd.FINISHED, code)

    async def _listen(self, work: WorkUnderWay, listener: Listener) -> SessionResult:
        work.listeners.append(listener)
        try:
            return await asyncio.shield(_task_of(work))
        except asyncio.CancelledError:
            if _task_of(work).cancelled():
                raise refused("drive.not-held", "it was let go of meanwhile") from None
            raise
        finally:
            work.listeners.remove(listener)

    async def _stop_work(self, kept: KeptDrive, within_s: float) -> None:
        """Until nothing works on a drive any more: stopped at its next block, else killed."""
        work = kept.work
        if work is None:
            return
        channel = kept.held.process.channel
        try:
            async with self.clock.timeout(within_s):
                await work.ordered.wait()
                with suppress(ChannelClosedError):
                    await channel.send(p.Close())
                await asyncio.wait({_task_of(work)})
        except TimeoutError:
            kept.held.process.kill()
            channel.close()
            await asyncio.wait({_task_of(work)})

    def _require_running(self) -> None:
        if self._stopping:
            raise refused("bench.stopping", "it was asked to stop")

    def _require_idle(self, kept: KeptDrive, job: JobId) -> None:
        self._require_running()
        if kept.work is not None:
            raise refused("drive.busy", f"{kept.work.job} is worked on")
        self._require_unworked(job)

    def _require_unworked(self, job: JobId) -> None:
        if job in self._working:
            raise refused("drive.busy", f"{job} is worked on")


def _task_of(work: WorkUnderWay) -> asyncio.Task[SessionResult]:
    assert work.task is not None, "begun means started"  # noqa: S101 - our own order of calls
    return work.task


def _is_dead(kept: KeptDrive) -> bool:
    return kept.work is None and kept.held.process.is_gone()
