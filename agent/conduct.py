"""Conducting one job: from a held drive to a signed, durable record. The station's decisions.

Every step is journalled before it has effects, so that a crash anywhere is followed by the same
verdict and one record. The caller sees a WipeResult, or a RefusedError in it; nothing is lost.
"""

from __future__ import annotations

import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nullbay.agent.certify import Certifier, Recorded
from nullbay.agent.journal.store import JobRow, Journal
from nullbay.certs.ledger import InsertionClosed
from nullbay.domain.codec import to_plain
from nullbay.domain.drive import Drive
from nullbay.domain.ids import JobId
from nullbay.domain.job import Armed, DriveBack, JobState, SessionOver
from nullbay.domain.lot import InsertionEnd, Lot, Person
from nullbay.domain.outcome import JobEnd, SessionEnd
from nullbay.domain.plan import Held, Refusal, SanitizationPlan
from nullbay.domain.policy import Policy
from nullbay.wipers.channel import ChannelClosedError
from nullbay.wipers.jobdir import JobDirectory
from nullbay.wipers.planner import plan as make_plan
from nullbay.wipers.protocol import Abort
from nullbay.wipers.service import Bench, HeldDrive, Listener, RefusedError

CRASHES_MAX = 3
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
    """How it ended: a record, an open job waiting for its drive, or refusals. Exactly one of the three."""

    job: JobId | None
    recorded: Recorded | None
    refusals: tuple[Refusal, ...] = ()
    open_code: str = ""


@dataclass(slots=True)
class _Insertion:
    """This stay of the drive: for a command in the foreground, from its start to its end."""

    insertion_id: str
    drive: Drive | None = None

    def closed(self, result: WipeResult) -> InsertionClosed:
        """What the ledger says of it."""
        return InsertionClosed(
            insertion_id=self.insertion_id,
            identity_key=self.drive.identity.key if self.drive else "",
            scanned="",
            bay=(self.drive.attachment.bay or "") if self.drive else "",
            cause=InsertionEnd.REFUSED if result.refusals else InsertionEnd.STATION_STOPPED,
            jobs=(result.job,) if result.job else (),
            refusals=tuple(one.code for one in result.refusals),
        )


class Conductor:
    """Conducts one request at a time; several drives have a conductor each."""

    def __init__(self, bench: Bench, journal: Journal, certifier: Certifier) -> None:
        """All parts are open and checked."""
        self._bench, self._journal, self._certifier = bench, journal, certifier
        self._working: HeldDrive | None = None
        self._abort_asked = False

    async def abort(self) -> None:
        """Conclude what is under way as stopped by an operator; harmless when nothing is."""
        self._abort_asked = True
        if self._working is not None:
            with suppress(ChannelClosedError):
                await self._working.process.channel.send(Abort())

    async def wipe(self, request: WipeRequest, out: Path, listener: Listener) -> WipeResult:
        """One drive, from request to record. Raises WrongConfirmationError; refusals are results."""
        insertion = _Insertion(f"i-{uuid.uuid4()}")
        try:
            held = await self._bench.open(request.device, request.confirm)
            insertion.drive = held.drive
            try:
                result = await self._with_drive(request, held, insertion, out, listener)
            finally:
                await held.close()
        except RefusedError as error:
            insertion.drive = error.drive
            result = WipeResult(None, None, error.refusals)
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
        for row in self._journal.jobs(held.drive.identity.key):
            if (
                result := await self._earlier(row, request, held, planned, out, listener)
            ) is not None:
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
            result = await self._sessions(job, held, request, out, listener)
        finally:
            job.close()
        if result is None:
            raise RefusedError(
                (Refusal("identity.changed", "during the first session"),), held.drive
            )
        return result

    async def _earlier(  # noqa: PLR0913 - the questions to ask of an earlier job
        self,
        row: JobRow,
        request: WipeRequest,
        held: HeldDrive,
        planned: SanitizationPlan | Held,
        out: Path,
        listener: Listener,
    ) -> WipeResult | None:
        """Resume, finish or tell an earlier job of this drive; None: it does not concern it."""
        state = self._journal.state(row.job_id).state
        if state in CERTIFIED and row.told:
            return None
        same_policy = row.policy_sha256 == request.policy.sha256
        job = self._bench.job(row.job_id)
        try:
            is_here = held.drive.identity.is_strong or _was_here(job, held)
            if state in CERTIFIED or job.result() is not None:
                if not is_here:
                    return None
                recorded = (
                    self._certifier.record_of(row, out)
                    if state in CERTIFIED
                    else self._certifier.certify(row, job, out)
                )
                return WipeResult(row.job_id, recorded) if same_policy else None
            if request.restart:
                if is_here:
                    self._settle(job, JobEnd.ABORTED)
                    self._certifier.certify(row, job, None)
                return None
            if refusal := _not_resumable(row, planned, same_policy=same_policy):
                return WipeResult(row.job_id, None, refusal) if is_here else None
            return await self._sessions(job, held, request, out, listener)
        finally:
            job.close()

    def _begin(
        self, request: WipeRequest, held: HeldDrive, plan: SanitizationPlan, insertion: _Insertion
    ) -> JobDirectory:
        """Job directory, journal row, signed job-started entry: before anything changes the drive."""
        job = self._bench.create(held, plan)
        earlier = self._journal.jobs(plan.identity_key) if held.drive.identity.is_strong else ()
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
        self,
        job: JobDirectory,
        held: HeldDrive,
        request: WipeRequest,
        out: Path,
        listener: Listener,
    ) -> WipeResult | None:
        """Sessions until the job is over or its drive is gone; a crashed process is started anew."""
        job_id, crashes = job.order.job_id, 0
        while job.result() is None:
            if self._abort_asked:
                self._settle(job, JobEnd.ABORTED)
                break
            self._attach(job)
            self._working = held
            try:
                result = await self._bench.work(
                    job, held, listener, rate_limit_bytes_per_s=request.rate_limit_bytes_per_s
                )
            finally:
                self._working = None
            if not result.same_drive:
                self._journal.happened(job_id, SessionOver(drive_gone=True))
                return None
            end = self._bench.end_of(job, result)
            if end is None and result.end is SessionEnd.CRASHED:
                crashes += 1
                end = JobEnd.CRASHED if crashes > CRASHES_MAX else None
                if end is None:
                    self._journal.happened(job_id, SessionOver(drive_gone=False))
                    await self._reopen(held, request)
                    continue
            if end is None:
                self._journal.happened(
                    job_id, SessionOver(drive_gone=result.end is SessionEnd.DRIVE_GONE)
                )
                return WipeResult(job_id, None, open_code=result.code or "step.interrupted")
            self._settle(job, end)
        return WipeResult(job_id, self._certifier.certify(self._journal.job(job_id), job, out))

    async def _reopen(self, held: HeldDrive, request: WipeRequest) -> None:
        """A new drive process for the same drive. Raises RefusedError where it is not there any more."""
        again = await self._bench.open(request.device, None)
        if again.drive.identity.key != held.drive.identity.key:
            await again.close()
            raise RefusedError((Refusal("identity.changed", "after a crash"),), again.drive)
        held.drive, held.process = again.drive, again.process

    def _attach(self, job: JobDirectory) -> None:
        """Bring the journalled state to RUNNING, whatever a crash left."""
        job_id = job.order.job_id
        state = self._journal.state(job_id).state
        if state is JobState.ARMED:
            self._certifier.start(job, self._journal.job(job_id))
        elif state is JobState.RUNNING and job.events:
            self._journal.happened(job_id, SessionOver(drive_gone=False), DriveBack())
        elif state is JobState.ABSENT:
            self._journal.happened(job_id, DriveBack())

    def _settle(self, job: JobDirectory, end: JobEnd) -> None:
        """The transcript, signed by the bench key; then the job is ended in the journal."""
        self._bench.conclude(job, end, self._certifier.sign_transcript)


def approvals_missing(plan: SanitizationPlan, people: tuple[Person, ...]) -> Refusal | None:
    """Two-person approval means two ids."""
    ids = {one.person_id for one in people}
    if plan.two_person_approval and len(ids) < 2:
        return Refusal("plan.approval-missing", f"{len(ids)} of 2 approvals")
    return None


def _not_resumable(
    row: JobRow, planned: SanitizationPlan | Held, *, same_policy: bool
) -> tuple[Refusal, ...]:
    """Why an open job of this drive cannot go on as asked; empty if it can."""
    if not same_policy:
        return (Refusal("job.open", f"{row.job_id} under {row.policy_id}"),)
    if isinstance(planned, Held):
        return planned.refusals
    if planned.sha256 != row.plan_sha256:
        return (Refusal("plan.changed", f"{row.job_id} was planned for another geometry"),)
    return ()


def _was_here(job: JobDirectory, held: HeldDrive) -> bool:
    """Whether the job's drive was last seen on this very attachment."""
    return job.order.drive.attachment == held.drive.attachment or any(
        getattr(event, "attachment", None) == held.drive.attachment for event in job.events
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
