"""Conducting one job: from a held drive to a signed, durable record. The station's decisions.

Every step is journalled before it has effects, so that a crash anywhere is followed by the same
verdict and one record. The caller sees a WipeResult, or a RefusedError in it; nothing is lost.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path

from nullbay.agent.certify import Certifier, Recorded
from nullbay.agent.journal.store import InsertionRow, JobRow, Journal
from nullbay.certs.ledger import InsertionClosed
from nullbay.domain.clock import UNKNOWN_BOOT
from nullbay.domain.codec import to_plain
from nullbay.domain.drive import Drive
from nullbay.domain.errors import MalformedError, NullbayError
from nullbay.domain.ids import InsertionId, JobId
from nullbay.domain.job import Armed, DriveBack, JobState, SessionOver
from nullbay.domain.lot import InsertionEnd, Lot, Person
from nullbay.domain.outcome import JobEnd, SessionEnd
from nullbay.domain.plan import Held, OverwriteStep, Refusal, SanitizationPlan
from nullbay.domain.policy import Full, Policy
from nullbay.wipers.channel import ChannelClosedError
from nullbay.wipers.jobdir import JobDirectory, SessionBegan
from nullbay.wipers.planner import plan as make_plan
from nullbay.wipers.protocol import Abort, Recheck
from nullbay.wipers.service import Bench, HeldDrive, Listener, RefusedError, is_named

CRASHES_MAX = 3
OPEN_PATIENCE_S = 5.0
REOPEN_PATIENCE_S = 30.0
CERTIFIED = frozenset({JobState.CERTIFIED, JobState.DELIVERED})


@dataclass(frozen=True, slots=True)
class WipeRequest:
    """What somebody asked for. `confirm` is compared with what the drive's listing showed."""

    device: str
    policy: Policy
    confirm: str
    lot: Lot | None = None
    asset_tag: str = ""
    label_serial: str = ""
    people: tuple[Person, ...] = ()
    restart: bool = False
    rate_limit_bytes_per_s: int = 0


@dataclass(frozen=True, slots=True)
class WipeResult:
    """How it ended: a record, an open job (`open_code` says why), or refusals; one of the three."""

    job: JobId | None
    recorded: Recorded | None
    refusals: tuple[Refusal, ...] = ()
    open_code: str = ""


@dataclass(frozen=True, slots=True)
class _Work:
    """One request under way: its drive, its stay, where records go, who listens."""

    request: WipeRequest
    held: HeldDrive
    insertion: _Insertion
    out: Path
    listener: Listener


@dataclass(slots=True)
class _Insertion:
    """This stay of the drive: for a command in the foreground, from its start to its end."""

    insertion_id: InsertionId
    drive: Drive | None = None

    @property
    def bay(self) -> str:
        """Where the drive is, as far as known."""
        return (self.drive.attachment.bay or "") if self.drive else ""

    def closed(self, result: WipeResult) -> InsertionClosed:
        """What the ledger says of it."""
        return InsertionClosed(
            insertion_id=self.insertion_id,
            identity_key=self.drive.identity.key if self.drive else "",
            scanned="",
            bay=self.bay,
            cause=InsertionEnd.REFUSED if result.refusals else InsertionEnd.STATION_STOPPED,
            jobs=(result.job,) if result.job else (),
            refusals=tuple(one.code for one in result.refusals),
        )


class Conductor:
    """Conducts one request at a time; several drives have a conductor each."""

    def __init__(
        self,
        bench: Bench,
        journal: Journal,
        certifier: Certifier,
        *,
        draw: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """All parts are open and checked. `draw` gives the bytes of insertion ids."""
        self._bench, self._journal, self._certifier, self._draw = bench, journal, certifier, draw
        self._working: HeldDrive | None = None
        self._abort_asked = False

    def recover(self) -> None:
        """Close what a killed process left open: folders of jobs that never began, records, stays.

        Jobs that nobody has worked on for longer than their policy waits for an absent drive are
        concluded. Only while no other process works with this state directory. A job that cannot be
        read is left for whoever asks for its drive.
        """
        self._bench.remove_unknown({row.job_id for row in self._journal.jobs()})
        for row in self._journal.uncertified_jobs():
            with suppress(NullbayError, OSError):
                job = self._bench.job(row.job_id)
                try:
                    if not self._conclude_if_over(job) and self._bench.is_forgotten(job):
                        self._conclude(job, JobEnd.ABSENT_PAST_DEADLINE)
                    if job.result() is not None:
                        self._certifier.certify(row, job, None)
                finally:
                    job.close()
        for one in self._journal.open_insertions():
            self._certifier.close_insertion(_cut_off(one))

    async def abort(self) -> None:
        """Conclude what is under way as stopped by an operator; harmless when nothing is."""
        self._abort_asked = True
        if self._working is not None:
            with suppress(ChannelClosedError):
                await self._working.process.channel.send(Abort())

    async def wipe(self, request: WipeRequest, out: Path, listener: Listener) -> WipeResult:
        """One drive, from request to record. Raises WrongConfirmationError; refusals are results.

        Whatever ends it, a cancellation included, the stay of the drive is closed in the ledger.
        """
        self._abort_asked = False
        made = uuid.UUID(bytes=self._draw(16), version=4)
        insertion = _Insertion(InsertionId(f"i-{made}"))
        try:
            held = await self._bench.open(
                request.device, request.confirm, patience_s=OPEN_PATIENCE_S
            )
        except RefusedError as error:
            insertion.drive = error.drive
            result = WipeResult(None, None, error.refusals)
            self._certifier.close_insertion(insertion.closed(result))
            return result
        try:
            try:
                insertion.drive = held.drive
                key = held.drive.identity.key
                self._journal.open_insertion(insertion.insertion_id, key, insertion.bay)
                result = await self._with_drive(request, held, insertion, out, listener)
            finally:
                await held.close()
        except BaseException:
            for one in self._journal.open_insertions():
                if one.insertion_id == insertion.insertion_id:
                    self._certifier.close_insertion(_cut_off(one))
            raise
        self._certifier.close_insertion(insertion.closed(result))
        return result

    async def _with_drive(
        self,
        request: WipeRequest,
        held: HeldDrive,
        insertion: _Insertion,
        out: Path,
        listener: Listener,
    ) -> WipeResult:
        planned = make_plan(held.drive, request.policy, request.lot)
        work = _Work(request, held, insertion, out, listener)
        for row in self._journal.jobs(held.drive.identity.key):
            if (result := await self._earlier(row, work, planned)) is not None:
                return result
        if isinstance(planned, Held):
            refusals = tuple(
                Refusal(one.code, f"{one.technique}: {one.detail}") for one in planned.not_chosen
            )
            return WipeResult(None, None, (*planned.refusals, *refusals))
        if missing := approvals_missing(planned, request.people):
            return WipeResult(None, None, (missing,))
        job = self._begin(request, held, planned, insertion)
        try:
            result = await self._sessions(job, work, is_same=True)
        finally:
            job.close()
        if result is None:
            changed = Refusal("identity.changed", "during the first session")
            return WipeResult(job.order.job_id, None, (changed,))
        return result

    async def _earlier(
        self, row: JobRow, work: _Work, planned: SanitizationPlan | Held
    ) -> WipeResult | None:
        """Resume, finish or tell an earlier job of this drive; None: it does not concern it.

        A record that nobody was told is told now only if the drive never left and, read in full,
        still holds what was written: nobody held it meanwhile. What is passed over is never told
        later, and the drive gets a job of its own.
        """
        request, state = work.request, self._journal.state(row.job_id).state
        if state in CERTIFIED and row.told:
            return None
        same_policy = row.policy_sha256 == request.policy.sha256
        job = self._bench.job(row.job_id)
        try:
            was_here = _was_here(job, work.held)
            is_same = was_here or (is_named(work.held.drive) and is_named(job.order.drive))
            self._conclude_if_over(job)
            if request.restart and is_same and job.result() is None:
                self._conclude(job, JobEnd.ABORTED)
            if job.result() is not None:
                if state not in CERTIFIED:
                    self._certifier.certify(row, job, work.out if is_same else None)
                aborted = self._journal.state(row.job_id).end is JobEnd.ABORTED
                if was_here and same_policy and not (request.restart and aborted):
                    recorded = self._certifier.record_of(row, work.out)
                    doubt = await self._doubt(recorded, job, work)
                    if doubt in {"drive.gone", "step.aborted"}:
                        return WipeResult(row.job_id, None, open_code=doubt)
                    if not doubt:
                        return WipeResult(row.job_id, recorded)
                if is_same:
                    with suppress(NullbayError, OSError):  # its files may be archived elsewhere
                        self._certifier.record_of(row, work.out)
                    self._journal.set_told(row.job_id)
                return None
            if request.restart:
                return None
            if refusal := _not_resumable(job, row, planned, same_policy=same_policy):
                return WipeResult(row.job_id, None, refusal) if is_same else None
            return await self._sessions(job, work, is_same=is_same)
        finally:
            job.close()

    async def _doubt(self, recorded: Recorded, job: JobDirectory, work: _Work) -> str:
        """Why a record's word may not be true of the drive now; empty if it is.

        One that promises nothing is always true.
        """
        if not recorded.conclusion.verdict.is_sanitized:
            return ""
        plan = job.order.plan
        if not all(isinstance(step, OverwriteStep) for step in plan.steps):
            return "verification.missing"
        self._working = work.held
        try:
            for number in {step.unit_id: step.number for step in plan.steps}.values():
                order = Recheck(plan, job.job_key, job.finding_key, number, Full(), b"")
                answer = await self._bench.recheck(work.held, order, work.listener)
                found = answer.result
                if answer.code:
                    return answer.code
                if found.mismatched or found.read_bytes != found.planned_bytes:
                    return "verification.mismatch"
        except (ChannelClosedError, MalformedError, TimeoutError):
            work.held.process.kill()
            return "step.crashed"
        finally:
            self._working = None
        return ""

    def _begin(
        self, request: WipeRequest, held: HeldDrive, plan: SanitizationPlan, insertion: _Insertion
    ) -> JobDirectory:
        """Job directory, journal row, signed job-started entry; then the drive may be changed."""
        job = self._bench.create(held, plan)
        earlier = self._journal.jobs(plan.identity_key) if is_named(held.drive) else ()
        row = JobRow(
            job_id=job.order.job_id,
            identity_key=plan.identity_key,
            policy_id=plan.policy_id,
            policy_sha256=plan.policy_sha256,
            plan_sha256=plan.sha256,
            request=_request_facts(request, insertion),
            attempt=1 + len(earlier),
            statement_id=None,
            told=False,
        )
        self._journal.add_job(row, Armed(plan.sha256, request.people))
        self._certifier.start(job, row)
        return job

    async def _sessions(
        self, job: JobDirectory, work: _Work, *, is_same: bool
    ) -> WipeResult | None:
        """Sessions until the job is over or its drive is gone; a crashed process is started anew.

        `is_same`: this is known to be the job's drive. None: it is found not to be.
        """
        job_id, held, crashes = job.order.job_id, work.held, 0
        while job.result() is None:
            if self._conclude_if_over(job):
                break
            if self._abort_asked and not is_same:
                return WipeResult(job_id, None, open_code="step.aborted")
            if self._abort_asked or crashes > CRASHES_MAX:
                self._conclude(job, JobEnd.ABORTED if self._abort_asked else JobEnd.CRASHED)
                break
            self._attach(job, work.insertion)
            self._working = held
            try:
                result = await self._bench.work(
                    job,
                    held,
                    work.listener,
                    rate_limit_bytes_per_s=work.request.rate_limit_bytes_per_s,
                )
            finally:
                self._working = None
            is_same = bool(result.same_drive)
            if is_same and self._bench.end_of(job) is not None:
                continue
            is_gone = result.end is SessionEnd.DRIVE_GONE or not is_same
            self._journal.happened(job_id, SessionOver(drive_gone=is_gone))
            if result.same_drive is False:
                return None
            code = result.code or "step.interrupted"
            if is_same and result.end is SessionEnd.CRASHED:
                crashes += 1
                if crashes > CRASHES_MAX or not (code := await self._reopen(held, work.request)):
                    continue
            if not (is_same and self._abort_asked):
                return WipeResult(job_id, None, open_code=code)
        return WipeResult(job_id, self._certifier.certify(self._journal.job(job_id), job, work.out))

    async def _reopen(self, held: HeldDrive, request: WipeRequest) -> str:
        """A new drive process for the same drive; else the code of the reason why there is none."""
        try:
            again = await self._bench.open(request.device, patience_s=REOPEN_PATIENCE_S)
        except RefusedError as error:
            return error.refusals[0].code
        except NullbayError as error:
            return "drive.gone" if error.code == "device.not-found" else "drive.error"
        if again.drive.identity.key != held.drive.identity.key:
            await again.close()
            return "identity.changed"
        held.drive, held.process = again.drive, again.process
        return ""

    def _attach(self, job: JobDirectory, insertion: _Insertion) -> None:
        """Bring the journalled state to RUNNING, whatever a crash left."""
        job_id = job.order.job_id
        self._journal.insertion_works(insertion.insertion_id, job_id)
        state = self._journal.state(job_id).state
        if state is JobState.ARMED:
            self._certifier.start(job, self._journal.job(job_id))
        elif state is JobState.RUNNING and job.events:
            self._journal.happened(job_id, SessionOver(drive_gone=False), DriveBack())
        elif state is JobState.ABSENT:
            self._journal.happened(job_id, DriveBack())

    def _conclude_if_over(self, job: JobDirectory) -> bool:
        """Conclude a job whose journal says that it is over, also where a crash came in between."""
        end = self._bench.end_of(job) if job.result() is None else None
        if end is not None:
            self._conclude(job, end)
        return end is not None

    def _conclude(self, job: JobDirectory, end: JobEnd) -> None:
        """The transcript, signed by the bench key; the journal is told when it is certified.

        A crash may have come between a job's row and its start in the ledger.
        """
        row = self._journal.job(job.order.job_id)
        if self._journal.state(row.job_id).state is JobState.ARMED:
            self._certifier.start(job, row)
        self._bench.conclude(job, end, self._certifier.sign_transcript)


def approvals_missing(plan: SanitizationPlan, people: tuple[Person, ...]) -> Refusal | None:
    """Two-person approval means two ids."""
    ids = {one.person_id for one in people}
    if plan.two_person_approval and len(ids) < 2:
        return Refusal("plan.approval-missing", f"{len(ids)} of 2 approvals")
    return None


def _not_resumable(
    job: JobDirectory, row: JobRow, planned: SanitizationPlan | Held, *, same_policy: bool
) -> tuple[Refusal, ...]:
    """Why an open job of this drive cannot go on as asked; empty if it can."""
    if not same_policy:
        return (Refusal("job.open", f"{row.job_id} under {row.policy_id}"),)
    if isinstance(planned, Held):
        return planned.refusals
    if planned.sha256 != row.plan_sha256:
        changed = [
            one.name
            for one in fields(planned)
            if getattr(planned, one.name) != getattr(job.order.plan, one.name)
        ]
        if "units" in changed:
            changed.append(f"{job.order.plan.units} before, {planned.units} now")
        return (Refusal("plan.changed", f"{row.job_id}: {', '.join(changed)}"),)
    return ()


def _was_here(job: JobDirectory, held: HeldDrive) -> bool:
    """Whether the job's drive was last seen on this very attachment, and has not left since."""
    here = held.drive.attachment
    if not here.boot_id or here.boot_id == UNKNOWN_BOOT or not all(n.diskseq for n in here.nodes):
        return False
    seen = [event.attachment for event in job.events if isinstance(event, SessionBegan)]
    return here == (seen or [job.order.drive.attachment])[-1]


def _cut_off(row: InsertionRow) -> InsertionClosed:
    """The closing of a stay that its command did not live to close."""
    return InsertionClosed(
        insertion_id=row.insertion_id,
        identity_key=row.identity_key,
        scanned="",
        bay=row.bay,
        cause=InsertionEnd.STATION_STOPPED,
        jobs=(row.job_id,) if row.job_id else (),
        refusals=(),
    )


def _request_facts(request: WipeRequest, insertion: _Insertion) -> dict[str, object]:
    """What the record needs of the request, as it was when the job began."""
    return {
        "schema": "nullbay.job-request/1",
        "insertion": insertion.insertion_id,
        "lot": to_plain(request.lot),
        "asset_tag": request.asset_tag,
        "label_serial": request.label_serial,
        "people": [to_plain(one) for one in request.people],
    }
