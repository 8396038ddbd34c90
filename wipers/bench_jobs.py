"""The bench's jobs: which plan may become one, how each stands, how it ends, when its folder goes.

What an agent says of a job counts only where the bench's own configuration, or the job's own
journal, says the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing

from nullbay.domain.drive import Drive
from nullbay.domain.errors import NullbayError
from nullbay.domain.ids import JobId, PolicyId
from nullbay.domain.lot import Person
from nullbay.domain.outcome import JobEnd, SessionEnd
from nullbay.domain.plan import Held, Refusal, SanitizationPlan
from nullbay.domain.policy import Policy
from nullbay.domain.record import Transcript
from nullbay.domain.text import show
from nullbay.wipers import bench_protocol as b
from nullbay.wipers.jobdir import JobDirectory, SessionBegan, SessionEnded, archive_member_readers
from nullbay.wipers.planner import plan as make_plan
from nullbay.wipers.service import Bench, HeldDrive, RefusedError


class BenchError(NullbayError):
    """What was asked for cannot be done now; nothing was touched."""

    code = "bench.cannot"


class Jobs:
    """Job folders of one bench, and the rules they are made, concluded and removed by."""

    def __init__(
        self,
        bench: Bench,
        policies: Mapping[PolicyId, Policy],
        sign: Callable[[Transcript], bytes],
    ) -> None:
        """`sign` signs transcripts with the bench key."""
        self._bench, self._policies, self._sign = bench, policies, sign
        self._crashes: dict[JobId, int] = {}
        self._makers: dict[JobId, object] = {}

    def derive(self, held: HeldDrive, ask: b.Create) -> SanitizationPlan:
        """The plan that was approved, derived here. Raises RefusedError where it is another."""
        policy = self._policies.get(PolicyId(ask.policy_id))
        if policy is None:
            raise refused("policy.unknown", show(ask.policy_id, 80))
        if policy.sha256 != ask.policy_sha256:
            raise refused("policy.changed", f"{policy.policy_id} is {policy.sha256[:16]} here")
        self._bench.guard(held.drive, outside_bays=held.outside_bays)
        planned = make_plan(held.drive, policy, ask.lot)
        if isinstance(planned, Held):
            raise RefusedError(planned.refusals, held.drive)
        if planned.sha256 != ask.plan_sha256:
            raise refused("plan.changed", f"the plan derived here is {planned.sha256[:16]}")
        if missing := approvals_missing(planned, ask.people):
            raise RefusedError((missing,), held.drive)
        return planned

    def create(self, held: HeldDrive, plan: SanitizationPlan, maker: object) -> b.JobView:
        """A new job. It is not forgotten while its maker, a connection, is there."""
        with closing(self._bench.create(held, plan)) as job:
            self._makers[job.order.job_id] = maker
            return self.view(job, running=False)

    def is_open(self, job: JobId) -> bool:
        """Whether there is a folder of it without a result."""
        if not self._bench.has(job):
            return False
        with closing(self.open(job)) as directory:
            return directory.result() is None

    def open(self, job: JobId) -> JobDirectory:
        """A job's folder, to be closed. Raises BenchError job.unknown, MalformedError."""
        if not self._bench.has(job):
            raise BenchError(
                f"the bench has no job {show(job, 40)}",
                next_step="Its record, if it has one, is among the records",
                code="job.unknown",
            )
        return self._bench.job(job)

    def for_drive(self, job: JobId, drive: Drive) -> JobDirectory:
        """A job's folder, open, for work on its own drive. Raises RefusedError for another."""
        directory = self.open(job)
        if directory.order.plan.identity_key != drive.identity.key:
            directory.close()
            raise refused("identity.changed", f"this is not the drive of {job}")
        return directory

    def listed(self, after: str) -> tuple[tuple[JobId, ...], bool]:
        """Some jobs, and whether others follow."""
        found = [one for one in self._bench.jobs() if one > after]
        return tuple(found[: b.JOBS_PER_ANSWER]), len(found) > b.JOBS_PER_ANSWER

    def view(self, job: JobDirectory, *, running: bool) -> b.JobView:
        """How a job stands."""
        seen = [one.attachment for one in job.events if isinstance(one, SessionBegan)]
        result = job.result()
        return b.JobView(
            order=job.order,
            attachment=(seen or [job.order.drive.attachment])[-1],
            begun=bool(job.events),
            running=running,
            end=self._bench.end_of(job),
            is_forgotten=self._bench.is_forgotten(job),
            result_sha256=None if result is None else hashlib.sha256(result).hexdigest(),
        )

    def crashed(self, job: JobId) -> None:
        """A drive process that worked on it died, perhaps before it did anything."""
        self._crashes[job] = self._crashes.get(job, 0) + 1

    def conclude(self, job: JobId, end: JobEnd) -> b.JobView:
        """The transcript, signed once. Raises RefusedError where the journal says otherwise."""
        with closing(self.open(job)) as directory:
            if directory.result() is None:
                self._require_fitting(directory, end)
                self._bench.conclude(directory, end, self._sign)
            return self.view(directory, running=False)

    def members(self, job: JobId) -> Iterator[tuple[str, bytes]]:
        """Archive members of a concluded job, one after another. Raises RefusedError."""
        with closing(self.open(job)) as directory:
            if directory.result() is None:
                raise refused("job.open", job)
        for name, read in archive_member_readers(directory.path):
            yield name, read()

    def acknowledge(self, job: JobId, result_sha256: str) -> None:
        """Remove a job whose result is known elsewhere; one that is gone is gone."""
        if not self._bench.has(job):
            return
        with closing(self.open(job)) as directory:
            known = self.view(directory, running=False).result_sha256
        if known is None or known != result_sha256:
            raise refused("job.other-result", job)
        self._bench.remove(job)
        self._crashes.pop(job, None)
        self._makers.pop(job, None)

    def forget(self, which: Collection[JobId], connected: Collection[object]) -> None:
        """Remove jobs that never began; those of a connection that is still there may yet begin."""
        self._makers = {job: one for job, one in self._makers.items() if one in connected}
        self._bench.remove_never_begun({*which} - self._makers.keys())

    def _require_fitting(self, job: JobDirectory, end: JobEnd) -> None:
        """A job ends as its own journal says, where that says something."""
        known = self._bench.end_of(job)
        match end:
            case _ if known is not None:
                fits = end is known
            case JobEnd.ABORTED:
                fits = True
            case JobEnd.CRASHED:
                crashed = [
                    one
                    for one in job.events
                    if isinstance(one, SessionEnded) and one.end is SessionEnd.CRASHED
                ]
                fits = bool(crashed or self._crashes.get(job.order.job_id))
            case JobEnd.ABSENT_PAST_DEADLINE:
                fits = self._bench.is_forgotten(job)
            case _:
                fits = False
        if not fits:
            said = known.value if known else "that it is not over"
            raise refused("job.other-end", f"its journal says {said}, not {end.value}")


def approvals_missing(plan: SanitizationPlan, people: tuple[Person, ...]) -> Refusal | None:
    """Two-person approval means two ids."""
    ids = {one.person_id for one in people}
    if plan.two_person_approval and len(ids) < 2:
        return Refusal("plan.approval-missing", f"{len(ids)} of 2 approvals")
    return None


def refused(code: str, evidence: str) -> RefusedError:
    """One reason why not."""
    return RefusedError((Refusal(code, evidence),))
