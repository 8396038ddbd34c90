"""Cards: jobs, drives and records of the journal as the desk shows them. Reads, decides nothing."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from nullbay.agent.desk import (
    DestroyCard,
    DriveHistory,
    InsertionCard,
    JobCard,
    RecordCard,
    RecordFiles,
)
from nullbay.agent.intake.account import ToDestroy
from nullbay.agent.journal.stays import Stays
from nullbay.agent.journal.store import JobRow, Journal
from nullbay.agent.rack import Place, card_of
from nullbay.certs import ledger
from nullbay.domain.codec import from_plain
from nullbay.domain.ids import BayId, IdentityKey, InsertionId, JobId, LotRef
from nullbay.domain.job import Job, JobState
from nullbay.domain.lot import Person
from nullbay.domain.status import Count, DriveCard, Why

CERTIFIED = frozenset({JobState.CERTIFIED, JobState.DELIVERED})


class Cards:
    """The journal, card by card. `records` is the folder of finished records."""

    def __init__(self, journal: Journal, records: Path) -> None:
        """The journal stays its owner's."""
        self._journal, self._stays, self._records = journal, Stays(journal), records
        self._reasons: dict[JobId, tuple[Why, ...]] = {}

    def job(self, row: JobRow) -> JobCard:
        """A job as it stands."""
        job = self._journal.state(row.job_id)
        insertion = InsertionId(str(row.request.get("insertion", "")))
        stay = self._stays.stay(insertion)
        times = self._journal.times(row.job_id)
        said = self._conclusion(row.job_id) if job.state in CERTIFIED else None
        lot = row.request.get("lot")
        return JobCard(
            id=row.job_id,
            job=row.job_id,
            insertion=insertion or None,
            bay=BayId(stay.bay) if stay and stay.bay else None,
            drive=stay.card if stay else None,
            identity_key=row.identity_key,
            state=job.state.value,
            policy_id=row.policy_id,
            plan_sha256=row.plan_sha256,
            lot=LotRef(lot["reference"]) if isinstance(lot, dict) else None,
            attempt=row.attempt,
            sessions=job.sessions,
            verdict=job.verdict,
            reasons=tuple(Why(code) for code in said.reasons) if said else (),
            people=from_plain(tuple[Person, ...], row.request.get("people", [])),
            started=times[0] if times else None,
            ended=times[-1] if times and job.state in CERTIFIED else None,
            delivered=job.state is JobState.DELIVERED,
        )

    def record(self, row: JobRow, job: Job) -> RecordCard:
        """A finished record."""
        stay = self._stays.stay(InsertionId(str(row.request.get("insertion", ""))))
        times = self._journal.times(row.job_id)
        lot = row.request.get("lot")
        assert job.verdict is not None, "a certified job has a verdict"  # noqa: S101 - the state machine's word
        return RecordCard(
            job=row.job_id,
            verdict=job.verdict,
            drive=stay.card if stay else None,
            lot=LotRef(lot["reference"]) if isinstance(lot, dict) else None,
            asset_tag=str(row.request.get("asset_tag", "")),
            statement_sha256=job.statement_sha256 or "",
            issued=times[-1] if times else None,
            delivered=job.state is JobState.DELIVERED,
        )

    def records(self, after: str | None, limit: int) -> tuple[RecordCard, ...]:
        """Finished records, newest first."""
        found = []
        for row in _after(self._journal.jobs(), after):
            job = self._journal.state(row.job_id)
            if job.state in CERTIFIED:
                found.append(self.record(row, job))
            if len(found) == limit:
                break
        return tuple(found)

    def jobs(self, after: str | None, limit: int) -> tuple[JobCard, ...]:
        """Jobs, newest first."""
        rows = _after(self._journal.jobs(), after)
        return tuple(self.job(row) for row in rows[:limit])

    def history(self, identity: IdentityKey, present: DriveCard | None) -> DriveHistory | None:
        """One drive's page; None for a drive that was never here."""
        stays = self._stays.of(identity)
        jobs = tuple(self.job(row) for row in self._journal.jobs(identity))
        card = present or next((one.card for one in stays if one.card), None)
        if card is None:
            return None
        cards = tuple(
            InsertionCard(
                insertion=one.insertion_id,
                bay=BayId(one.bay) if one.bay else None,
                opened=one.opened,
                closed=one.closed,
                cause=one.closing.cause.value if one.closing else "",
                jobs=tuple(JobId(job) for job in one.closing.jobs) if one.closing else (),
                refusals=one.closing.refusals if one.closing else (),
            )
            for one in stays
        )
        return DriveHistory(card, cards, jobs)

    def files(self, job: JobId) -> RecordFiles | None:
        """Where a record's files are; None where there is no such record."""
        folder = self._records / job
        files = RecordFiles(
            folder / f"{job}.sigstore.json",
            folder / f"{job}.evidence.tar.zst",
            folder / f"{job}.pdf",
        )
        return files if files.bundle.is_file() else None

    def to_destroy(self, one: ToDestroy) -> DestroyCard:
        """A drive of the destroy queue, with what its last job says."""
        stay = one.stay
        place = "never-seen"
        if stay is not None:
            place = "scanned-out" if stay.scanned_out else "here" if stay.is_here else "pulled"
        job = stay.job if stay else None
        return DestroyCard(
            reason=one.reason.value,
            lot=one.lot,
            serial=one.label_serial,
            asset_tag=one.asset_tag,
            since=one.since,
            place=place,
            bay=stay.bay if stay else None,
            insertion=one.insertion,
            job=job,
            identity_key=stay.identity.key if stay else None,
            why=self._why(job) if job else (),
        )

    def _why(self, job: JobId) -> tuple[Why, ...]:
        """The reasons of a concluded job; they never change, and the queue is looked at often."""
        if job not in self._reasons:
            said = self._conclusion(job)
            if said is None:
                return ()
            self._reasons[job] = tuple(Why(code) for code in said.reasons)
        return self._reasons[job]

    def counts(self) -> tuple[Count, ...]:
        """How many jobs stand how."""
        return tuple(Count(name, number) for name, number in self._journal.states().items())

    def _conclusion(self, job: JobId) -> ledger.JobConcluded | None:
        entry = self._journal.conclusion_of(job)
        body = ledger.read_body(entry.body).event if entry else None
        return body if isinstance(body, ledger.JobConcluded) else None


def proposal(place: Place) -> JobCard:
    """What is proposed for a drive: no job yet."""
    assert place.drive is not None, "a place with a drive"  # noqa: S101 - the caller looked
    assert place.insertion is not None, "a place whose drive is held"  # noqa: S101 - the caller looked
    return JobCard(
        id=place.insertion,
        job=None,
        insertion=place.insertion,
        bay=place.bay.bay_id,
        drive=card_of(place.drive),
        identity_key=place.drive.identity.key,
        state="planned",
        policy_id=place.policy.policy_id if place.policy else "",
        plan_sha256=place.plan.sha256 if place.plan else "",
        lot=place.lot.reference if place.lot else None,
        attempt=0,
        sessions=0,
        verdict=place.verdict,
        reasons=tuple(Why(one.code, one.evidence) for one in place.refusals) + place.why,
        people=place.approvals,
        started=None,
        ended=None,
        delivered=False,
    )


def _after(rows: Iterable[JobRow], after: str | None) -> list[JobRow]:
    """Rows behind the one of that id; all where it is not among them."""
    listed = list(rows)
    for place, row in enumerate(listed):
        if row.job_id == after:
            return listed[place + 1 :]
    return listed
