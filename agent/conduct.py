"""Conducting one job: from a held drive to a signed, durable record. The station's decisions.

Every step is journalled before it has effects, so that a crash anywhere is followed by the same
verdict and one record. Drives and job folders are the bench's, which is asked through its client.
The caller sees a WipeResult, or a RefusedError; nothing is lost.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nullbay.agent.certify import Certifier, Recorded
from nullbay.agent.journal.store import JobRow, Journal
from nullbay.agent.rack import card_of
from nullbay.agent.standing import closing, cut_off, not_resumable, was_here
from nullbay.domain.codec import to_plain
from nullbay.domain.drive import Attachment, Drive
from nullbay.domain.errors import NullbayError
from nullbay.domain.ids import InsertionId, JobId
from nullbay.domain.job import Armed, DriveBack, JobState, SessionOver
from nullbay.domain.lot import InsertionEnd, Lot, Person
from nullbay.domain.outcome import JobEnd, SessionEnd
from nullbay.domain.plan import Held as HeldForDestruction
from nullbay.domain.plan import Refusal, SanitizationPlan
from nullbay.domain.policy import Policy
from nullbay.wipers.bench_jobs import approvals_missing
from nullbay.wipers.channel import ChannelClosedError
from nullbay.wipers.client import BenchClient, Held, JobView, Listener
from nullbay.wipers.hearing import SessionResult
from nullbay.wipers.planner import plan as make_plan
from nullbay.wipers.service import RefusedError, is_named, require_confirmed

CRASHES_MAX = 3
OPEN_PATIENCE_S = 5.0
REOPEN_PATIENCE_S = 30.0
CERTIFIED = frozenset({JobState.CERTIFIED, JobState.DELIVERED})
JOB_UNKNOWN = "job.unknown"
BENCH_GONE = "bench.gone"


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


@dataclass(slots=True)
class Stay:
    """One stay of a drive, held and guarded, from its notice to its removal.

    `held` changes where a crashed drive process was started anew. `jobs` are those worked on in
    this stay, `refusals` the codes of the last refusal.
    """

    insertion_id: InsertionId
    held: Held
    jobs: tuple[JobId, ...] = ()
    refusals: tuple[str, ...] = ()

    @property
    def drive(self) -> Drive:
        """As it showed itself when it was opened."""
        return self.held.drive


@dataclass(slots=True)
class _Work:
    """One request under way: its stay, where records go, who listens, the job worked on."""

    request: WipeRequest
    stay: Stay
    out: Path | None
    listener: Listener
    job: JobId | None = None


class Conductor:
    """Conducts one request at a time; several drives have a conductor each.

    It lives as long as its client: where the bench is gone, whoever connects anew makes another.
    """

    def __init__(
        self,
        bench: BenchClient,
        journal: Journal,
        certifier: Certifier,
        *,
        draw: Callable[[int], bytes] = secrets.token_bytes,
        is_elsewhere: Callable[[Attachment], bool] = lambda _: False,
    ) -> None:
        """All parts are open and checked. `draw` gives the bytes of insertion ids.

        `is_elsewhere`: whether that very attachment is another conductor's affair now. Drives
        without a name share their jobs' key; a job whose drive is in another bay is not this one's.
        """
        self._bench, self._journal, self._certifier, self._draw = bench, journal, certifier, draw
        self._is_elsewhere = is_elsewhere
        self._working: Held | None = None
        self._abort_asked = False

    async def recover(self) -> None:
        """Close what a killed process left open: folders of jobs that never began, records, stays.

        Jobs that nobody has worked on for longer than their policy waits for an absent drive are
        concluded. Only while no other process works with this state directory. A job that cannot be
        read is left for whoever asks for its drive. Raises ChannelClosedError.
        """
        rows = {row.job_id: row for row in self._journal.jobs()}
        await self._bench.forget_unknown(rows.keys())
        for row in self._journal.uncertified_jobs():
            with _LeftAsItIs():
                await self.conclude_forgotten(row)
        for job in await self._bench.jobs():
            if (row_ := rows.get(job)) is not None and row_.told:
                with _LeftAsItIs():
                    await self._acknowledge(job)
        for one in self._journal.open_insertions():
            self._certifier.close_insertion(cut_off(one))

    async def conclude_forgotten(self, row: JobRow) -> None:
        """Conclude a job whose drive has been away for longer than its policy waits.

        Only for a job that nobody works on. Raises NullbayError, ChannelClosedError.
        """
        view = await self._conclude_if_over(await self._bench.look(row.job_id))
        if view.result_sha256 is None and view.is_forgotten and not view.running:
            view = await self._conclude(view, JobEnd.ABSENT_PAST_DEADLINE)
        if view.result_sha256 is not None:
            await self._certify(row, view, None)

    async def abort(self) -> None:
        """Conclude what is under way as stopped by an operator; harmless when nothing is."""
        self._abort_asked = True
        if self._working is not None:
            with suppress(ChannelClosedError, RefusedError):
                await self._bench.abort(self._working)

    async def take(
        self, device: str, confirm: str | None = None, *, patience_s: float = OPEN_PATIENCE_S
    ) -> Stay:
        """Have a drive opened and guarded, and journal its stay; `leave` ends it.

        Raises WrongConfirmationError, and RefusedError after the stay was closed in the ledger.
        """
        insertion = InsertionId(f"i-{uuid.UUID(bytes=self._draw(16), version=4)}")
        try:
            held = await self._bench.open(device, confirm, patience_s=patience_s)
        except RefusedError as error:
            codes = tuple(one.code for one in error.refusals)
            closed = closing(insertion, error.drive, InsertionEnd.REFUSED, refusals=codes)
            self._certifier.close_insertion(closed)
            raise
        drive = held.drive
        try:
            bay = drive.attachment.bay or ""
            self._journal.open_insertion(
                insertion, drive.identity.key, bay, card_of(drive), drive.attachment
            )
        except BaseException:
            await self._let_go(held)
            raise
        return Stay(insertion, held)

    async def run(
        self,
        stay: Stay,
        request: WipeRequest,
        out: Path | None,
        listener: Listener,
        *,
        abort: bool = False,
    ) -> WipeResult:
        """One request for a drive that was taken, to its record; the stay goes on afterwards.

        `abort`: an open job of it is concluded as stopped by an operator, and nothing is worked on.

        Raises WrongConfirmationError. Where the bench goes away meanwhile, the job stays open with
        the code bench.gone: connect anew, take the drive again and run the same request.
        """
        self._abort_asked = abort
        require_confirmed(stay.drive, request.confirm)
        return await self._run(stay, request, out, listener)

    async def leave(
        self,
        stay: Stay,
        cause: InsertionEnd,
        scanned: str = "",
        refusals: tuple[str, ...] | None = None,
        *,
        keep: bool = False,
    ) -> None:
        """Let go of the drive and close its stay in the ledger. `scanned`: what a person scanned.

        `refusals` are those of the last request where nothing else is said. `keep`: the bench goes
        on holding the drive and working on it, for whoever takes it next.
        """
        try:
            if not keep:
                await self._let_go(stay.held)
        finally:
            closed = closing(
                stay.insertion_id,
                stay.drive,
                cause,
                jobs=stay.jobs,
                scanned=scanned,
                refusals=stay.refusals if refusals is None else refusals,
            )
            self._certifier.close_insertion(closed)

    async def wipe(self, request: WipeRequest, out: Path | None, listener: Listener) -> WipeResult:
        """One drive, from request to record. Raises WrongConfirmationError; refusals are results.

        Whatever ends it, a cancellation included, the stay of the drive is closed in the ledger.
        """
        self._abort_asked = False
        try:
            stay = await self.take(request.device, request.confirm)
        except RefusedError as error:
            return WipeResult(None, None, error.refusals)
        cause = InsertionEnd.STATION_STOPPED
        try:
            result = await self._run(stay, request, out, listener)
            if result.refusals:
                cause = InsertionEnd.REFUSED
        finally:
            await self.leave(stay, cause)
        return result

    async def told(self, job: JobId) -> None:
        """The result reached whoever asked: a repeated request starts a new job.

        Its folder at the bench is not needed any more.
        """
        self._journal.set_told(job)
        with _LeftAsItIs(), suppress(ChannelClosedError):
            await self._acknowledge(job)

    async def _run(
        self, stay: Stay, request: WipeRequest, out: Path | None, listener: Listener
    ) -> WipeResult:
        work, job, stay.refusals = _Work(request, stay, out, listener), None, ()
        try:
            result = await self._with_drive(work)
        except ChannelClosedError:
            if work.job is None:
                raise
            result = WipeResult(work.job, None, open_code=BENCH_GONE)
        except RefusedError as error:
            result = WipeResult(work.job, None, error.refusals)
        except BaseException:
            job = work.job
            raise
        else:
            job = result.job
        finally:
            self._working = None
            if job is not None and job not in stay.jobs:
                stay.jobs = (*stay.jobs, job)
        stay.refusals = tuple(one.code for one in result.refusals)
        return result

    async def _with_drive(self, work: _Work) -> WipeResult:
        request, drive = work.request, work.stay.drive
        planned = make_plan(drive, request.policy, request.lot)
        for row in await self._open_rows(drive):
            if (result := await self._earlier(row, work, planned)) is not None:
                return result
        if isinstance(planned, HeldForDestruction):
            refusals = tuple(
                Refusal(one.code, f"{one.technique}: {one.detail}") for one in planned.not_chosen
            )
            return WipeResult(None, None, (*planned.refusals, *refusals))
        if missing := approvals_missing(planned, request.people):
            return WipeResult(None, None, (missing,))
        view = await self._begin(work, planned)
        result = await self._sessions(view, work, is_same=True)
        if result is None:
            changed = Refusal("identity.changed", "during the first session")
            return WipeResult(view.job_id, None, (changed,))
        return result

    async def _open_rows(self, drive: Drive) -> list[JobRow]:
        """Jobs of this drive's key that were not told to the end: those of this place first."""
        here, other = [], []
        for row in self._journal.jobs(drive.identity.key):
            if row.told and self._journal.state(row.job_id).state in CERTIFIED:
                continue
            attachment = None
            with _LeftAsItIs():  # `_earlier` says what is wrong with it
                attachment = (await self._bench.look(row.job_id)).attachment
            if attachment == drive.attachment:
                here.append(row)
            elif attachment is None or not self._is_elsewhere(attachment):
                other.append(row)
        return here + other

    async def _earlier(
        self, row: JobRow, work: _Work, planned: SanitizationPlan | HeldForDestruction
    ) -> WipeResult | None:
        """Resume, finish or tell an earlier job of this drive; None: it does not concern it.

        A record that nobody was told is told now only if the drive never left and, read in full,
        still holds what was written: nobody held it meanwhile. What is passed over is never told
        later, and the drive gets a job of its own. So does one whose record is made and whose
        folder is gone from the bench: it was acknowledged, and nothing can be compared any more.
        """
        request, state = work.request, self._journal.state(row.job_id).state
        if state in CERTIFIED and row.told:
            return None
        try:
            view = await self._bench.look(row.job_id)
        except NullbayError as error:
            if error.code != JOB_UNKNOWN or state not in CERTIFIED:
                raise
            self._pass_over(row, work)
            return None
        same_policy = row.policy_sha256 == request.policy.sha256
        is_here = was_here(view, work.stay.drive.attachment)
        is_same = is_here or (is_named(work.stay.drive) and is_named(view.order.drive))
        view = await self._conclude_if_over(view)
        if request.restart and is_same and view.result_sha256 is None and not view.running:
            view = await self._conclude(view, JobEnd.ABORTED)
        if view.result_sha256 is not None:
            if state not in CERTIFIED:
                await self._certify(row, view, work.out if is_same else None)
            aborted = self._journal.state(row.job_id).end is JobEnd.ABORTED
            if is_here and same_policy and not (request.restart and aborted):
                result = await self._told_again(row, work)
                if result is not None:
                    return result
            if is_same:
                self._pass_over(row, work)
                with _LeftAsItIs():
                    await self._acknowledge(row.job_id)
            return None
        if request.restart and not view.running:
            return None
        if refusal := not_resumable(view, row, planned, same_policy=same_policy):
            return WipeResult(row.job_id, None, refusal) if is_same else None
        return await self._sessions(view, work, is_same=is_same)

    def _pass_over(self, row: JobRow, work: _Work) -> None:
        """A record that is not told for this drive any more; whoever asked gets its files."""
        with suppress(NullbayError, OSError):  # its files may be archived elsewhere
            self._certifier.record_of(row, work.out)
        self._journal.set_told(row.job_id)

    async def _told_again(self, row: JobRow, work: _Work) -> WipeResult | None:
        """A record made before, if it is true of the drive now; None: it is not known to be."""
        recorded = self._certifier.record_of(row, work.out)
        if not recorded.conclusion.verdict.is_sanitized:
            return WipeResult(row.job_id, recorded)  # one that promises nothing is always true
        self._working = work.stay.held
        try:
            doubt = await self._bench.recheck(row.job_id, work.stay.held, work.listener)
        finally:
            self._working = None
        if doubt in {"drive.gone", "step.aborted"}:
            return WipeResult(row.job_id, None, open_code=doubt)
        if doubt == "step.crashed" and (code := await self._reopen(work.stay)):
            return WipeResult(row.job_id, None, open_code=code)
        return None if doubt else WipeResult(row.job_id, recorded)

    async def _begin(self, work: _Work, plan: SanitizationPlan) -> JobView:
        """Job directory, journal row, signed job-started entry; then the drive may be changed."""
        request, stay = work.request, work.stay
        view = await self._bench.create(
            stay.held,
            plan.policy_id,
            plan.policy_sha256,
            plan.sha256,
            request.lot,
            request.people,
        )
        earlier = self._journal.jobs(plan.identity_key) if is_named(stay.drive) else ()
        row = JobRow(
            job_id=view.job_id,
            identity_key=plan.identity_key,
            policy_id=plan.policy_id,
            policy_sha256=plan.policy_sha256,
            plan_sha256=plan.sha256,
            request=_request_facts(request, stay),
            attempt=1 + len(earlier),
            statement_id=None,
            told=False,
        )
        self._journal.add_job(row, Armed(plan.sha256, request.people))
        self._certifier.start(view.order, row)
        return view

    async def _sessions(self, view: JobView, work: _Work, *, is_same: bool) -> WipeResult | None:
        """Sessions until the job is over or its drive is gone; a crashed process is started anew.

        `is_same`: this is known to be the job's drive. None: it is found not to be.
        """
        job_id, stay, crashes = view.job_id, work.stay, 0
        work.job = job_id
        while view.result_sha256 is None:
            if view.end is not None and not view.running:
                view = await self._conclude(view, view.end)
                break
            if self._abort_asked and not is_same:
                return WipeResult(job_id, None, open_code="step.aborted")
            if self._abort_asked and view.running:
                await self._bench.abort(stay.held)
            elif self._abort_asked or crashes > CRASHES_MAX:
                end = JobEnd.ABORTED if self._abort_asked else JobEnd.CRASHED
                view = await self._conclude(view, end)
                break
            self._attach(view, stay)
            result = await self._session(job_id, work)
            is_same = bool(result.same_drive)
            view = await self._bench.look(job_id)
            if is_same and view.end is not None:
                continue
            is_gone = result.end is SessionEnd.DRIVE_GONE or not is_same
            self._journal.happened(job_id, SessionOver(drive_gone=is_gone))
            if result.same_drive is False:
                work.job = None
                return None
            code = result.code or "step.interrupted"
            if is_same and result.end is SessionEnd.CRASHED:
                crashes += 1
                if crashes > CRASHES_MAX or not (code := await self._reopen(stay)):
                    continue
            if not (is_same and self._abort_asked):
                return WipeResult(job_id, None, open_code=code)
        return WipeResult(job_id, await self._certify(self._journal.job(job_id), view, work.out))

    async def _session(self, job_id: JobId, work: _Work) -> SessionResult:
        """One session, or the rest of one that is under way at the bench."""
        self._working = work.stay.held
        try:
            return await self._bench.work(
                job_id, work.stay.held, work.listener, work.request.rate_limit_bytes_per_s
            )
        finally:
            self._working = None

    async def _reopen(self, stay: Stay) -> str:
        """A new drive process for the same drive; else the code of the reason why there is none."""
        before = stay.held
        try:
            again = await self._bench.open(before.device, patience_s=REOPEN_PATIENCE_S)
        except RefusedError as error:
            return error.refusals[0].code
        except ChannelClosedError:
            raise
        except NullbayError as error:
            return "drive.gone" if error.code == "device.not-found" else "drive.error"
        if again.drive.identity.key != before.drive.identity.key:
            await self._let_go(again)
            return "identity.changed"
        stay.held = again
        return ""

    def _attach(self, view: JobView, stay: Stay) -> None:
        """Bring the journalled state to RUNNING, whatever a crash left."""
        job_id = view.job_id
        self._journal.insertion_works(stay.insertion_id, job_id)
        state = self._journal.state(job_id).state
        if state is JobState.ARMED:
            self._certifier.start(view.order, self._journal.job(job_id))
        elif state is JobState.RUNNING and view.begun and not view.running:
            self._journal.happened(job_id, SessionOver(drive_gone=False), DriveBack())
        elif state is JobState.ABSENT:
            self._journal.happened(job_id, DriveBack())

    async def _conclude_if_over(self, view: JobView) -> JobView:
        """Conclude a job whose journal says that it is over, also where a crash came in between."""
        if view.result_sha256 is None and view.end is not None and not view.running:
            return await self._conclude(view, view.end)
        return view

    async def _conclude(self, view: JobView, end: JobEnd) -> JobView:
        """The transcript, signed by the bench key; the journal is told when it is certified.

        A crash may have come between a job's row and its start in the ledger.
        """
        row = self._journal.job(view.job_id)
        if self._journal.state(row.job_id).state is JobState.ARMED:
            self._certifier.start(view.order, row)
        return await self._bench.conclude(view.job_id, end)

    async def _certify(self, row: JobRow, view: JobView, out: Path | None) -> Recorded:
        members = await self._bench.members(view.job_id)
        return self._certifier.certify(row, view.order, members, out)

    async def _acknowledge(self, job: JobId) -> None:
        """The record is durable here and was told: the bench need not keep the job any more."""
        if self._journal.state(job).state not in CERTIFIED:
            return
        view = await self._bench.look(job)
        if view.result_sha256 is not None:
            await self._bench.acknowledge(job, view.result_sha256)

    async def _let_go(self, held: Held) -> None:
        """A bench that is gone holds nothing; a handle that it does not know is let go of."""
        with suppress(ChannelClosedError, RefusedError):
            await self._bench.close(held)


class _LeftAsItIs:
    """A job that cannot be read is left as it is; that the bench is gone is not passed over."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        is_end = isinstance(error, ChannelClosedError)
        return isinstance(error, NullbayError | OSError) and not is_end


def _request_facts(request: WipeRequest, stay: Stay) -> dict[str, object]:
    """What the record needs of the request, as it was when the job began."""
    return {
        "schema": "nullbay.job-request/1",
        "insertion": stay.insertion_id,
        "lot": to_plain(request.lot),
        "asset_tag": request.asset_tag,
        "label_serial": request.label_serial,
        "people": [to_plain(one) for one in request.people],
    }
