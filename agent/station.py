"""The station behind its desk: answers, approves, aborts; what attending drives needs to know.

It decides with what is journalled and what the rack shows, and starts nothing itself: an approval
is written down in a place, and the attendance of that bay goes on from there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nullbay.agent.attend import BayRules
from nullbay.agent.cards import Cards, proposal
from nullbay.agent.changes import Changes
from nullbay.agent.desk import (
    Approval,
    AskCard,
    BayCounters,
    Change,
    Counters,
    DeskError,
    DestroyCard,
    DriveHistory,
    JobCard,
    LotCard,
    ManifestReport,
    RecordCard,
    RecordFiles,
    ScanAnswer,
    VerdictCount,
)
from nullbay.agent.documents import Documents
from nullbay.agent.journal.outbox import Outbox
from nullbay.agent.journal.store import Journal
from nullbay.agent.outbox import Deliverer, Standing
from nullbay.agent.rack import (
    WORKING,
    Place,
    card_of,
    in_order,
    may_approve,
    state_of,
    status_of,
)
from nullbay.agent.reception import Reception
from nullbay.agent.reserve import Reserve
from nullbay.agent.supervisor import Supervisor
from nullbay.certs.ledger import EMPTY
from nullbay.config import logs
from nullbay.config.roles import Act, Role, may
from nullbay.config.settings import Settings
from nullbay.domain.clock import Clock
from nullbay.domain.drive import Drive
from nullbay.domain.ids import BayId, IdentityKey, JobId, PolicyId
from nullbay.domain.lot import Lot, Person
from nullbay.domain.policy import Policy
from nullbay.domain.status import DriveCard, Mode, StationStatus, Why
from nullbay.domain.verdict import Verdict

log = logs.get("station")

FORBIDDEN = "desk.forbidden"
UNKNOWN = "desk.unknown"
CONFLICT = "desk.conflict"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the station is, as its status tells."""

    name: str
    organization: str
    site: str
    version: str
    simulated: bool


@dataclass(frozen=True, slots=True)
class Parts:
    """What a station is made of. `problems` tells what other parts have to complain of.

    `refused` tells why the bench refuses every drive.
    """

    identity: Identity
    settings: Settings
    policies: Mapping[PolicyId, Policy]
    resolve: Callable[[str], Policy | None]
    journal: Journal
    records: Path
    reception: Reception
    reserve: Reserve
    documents: Documents
    changes: Changes
    clock: Clock
    problems: Callable[[], tuple[Why, ...]]
    refused: Callable[[], tuple[Why, ...]]


class Station:
    """`agent.desk.Desk` for whoever asks, `agent.attend.Front` for whoever attends a drive."""

    def __init__(self, parts: Parts) -> None:
        """`employ` gives it its supervisor, `deliver_by` its deliverer, before anybody asks."""
        self._parts = parts
        self._cards = Cards(parts.journal, parts.records)
        self._outbox = Outbox(parts.journal)
        self._supervisor: Supervisor | None = None
        self._deliverer: Deliverer | None = None
        self._is_stopping = False
        self._verdicts: Counter[tuple[Verdict, str]] = Counter()
        self._crashed: Callable[[Place, Exception], None] = lambda _place, _error: None

    def employ(self, supervisor: Supervisor, crashed: Callable[[Place, Exception], None]) -> None:
        """The supervisor of its bays; `crashed` is told what should not have happened."""
        self._supervisor, self._crashed = supervisor, crashed

    def deliver_by(self, deliverer: Deliverer) -> None:
        """Who delivers its records."""
        self._deliverer = deliverer

    def stop_starting(self) -> None:
        """Nothing new starts from now on."""
        self._is_stopping = True
        self._parts.changes.tell("station")

    # --- what attending a drive needs ------------------------------------------------------------

    def rules(self, place: Place) -> BayRules:
        """Policy, countdown and retries of a bay."""
        settings, bay = self._parts.settings, place.bay.bay_id
        name = settings.policy_of(bay)
        return BayRules(
            policy=self._parts.resolve(name) if name else None,
            unattended=settings.runs_unattended(bay),
            countdown_s=settings.rules.countdown_s,
            retries=settings.admission.retries,
        )

    def lot_of(self, place: Place) -> Lot | None:
        """The lot of a drive that is here, else the one active for its bay."""
        return self._parts.reception.lot_of(place.bay.bay_id, place.insertion)

    def reasons_to_hold(self) -> tuple[Why, ...]:
        """Why nothing may start now."""
        found = []
        if self._is_stopping:
            found.append(Why("station.stopping"))
        if not self._parts.reserve.has_room():
            found.append(Why("station.disk-full"))
        found += self._parts.refused()
        return tuple(found)

    def loaders(self, place: Place) -> tuple[Person, ...]:
        """Who scanned the drive in, else who opened its lot."""
        return self._parts.reception.loaders(place.bay.bay_id, place.insertion)

    def tags(self, place: Place) -> tuple[str, str]:
        """What was scanned for it."""
        return self._parts.reception.tags(place.insertion)

    def arrived(self, place: Place) -> None:
        """A drive is held and has an insertion."""
        device, insertion = place.device, place.insertion
        log.info("drive.arrived", device=device, insertion=insertion, is_new=place.is_new)
        self._parts.reception.arrived(place)

    def started(self, place: Place) -> None:
        """A job works on it."""
        approved = [one.person_id for one in place.approvals]
        log.info("job.working", job=place.job, insertion=place.insertion, approved_by=approved)
        self._parts.reception.started(place)

    def concluded(self, place: Place) -> None:
        """Its job has a verdict."""
        why = [one.code for one in place.why]
        log.info("job.concluded", job=place.job, verdict=place.verdict, why=why)
        if place.verdict is not None:
            self._verdicts.update((place.verdict, one.code) for one in place.why or (Why(""),))
        if place.job is not None and (files := self._cards.files(place.job)) is not None:
            self._parts.documents.soon(files)
        self._parts.reception.concluded(place)

    def departed(self, place: Place) -> str:
        """It is gone, or let go of; the label that was scanned at its removal."""
        log.info("drive.departed", insertion=place.insertion, job=place.job, is_gone=place.is_gone)
        return self._parts.reception.departed(place)

    def crashed(self, place: Place, error: Exception) -> None:
        """To the log."""
        self._crashed(place, error)

    # --- the desk: looking -----------------------------------------------------------------------

    def status(self) -> StationStatus:
        """The picture now."""
        parts, now = self._parts, self._parts.clock.boottime()
        head = parts.journal.last_entry()
        out = self._outbox.state()
        at = parts.clock.now()
        oldest_s = None
        if out.oldest is not None and out.oldest.boot_id == at.boot_id:
            oldest_s = max(0, (at.boottime_us - out.oldest.boottime_us) // 1_000_000)
        mode = Mode.DRAINING if self._is_stopping else Mode.WORKING
        problems = self._problems()
        if mode is Mode.WORKING and self.reasons_to_hold():
            mode = Mode.HOLDING
        return StationStatus(
            station=parts.identity.name,
            organization=parts.identity.organization,
            site=parts.identity.site,
            version=parts.identity.version,
            at=at,
            mode=mode,
            problems=problems,
            bays=tuple(status_of(one, now) for one in in_order(self._places)),
            jobs=self._cards.counts(),
            head_sequence=head.sequence if head else EMPTY.sequence,
            head_sha256=head.sha256 if head else EMPTY.sha256,
            undelivered=out.waiting,
            oldest_undelivered_s=oldest_s,
            last_delivery=out.last_delivery,
            simulated=parts.identity.simulated,
        )

    def counters(self) -> Counters:
        """Since this run began."""
        return Counters(
            tuple(
                BayCounters(one.bay.bay_id, one.written_bytes, one.errors)
                for one in in_order(self._places)
            ),
            tuple(VerdictCount(*what, number) for what, number in sorted(self._verdicts.items())),
        )

    def drives(self) -> tuple[DriveCard, ...]:
        """Drives in bays, then those that are in none."""
        inside = [card_of(one.drive) for one in in_order(self._places) if one.drive]
        return (*inside, *(card_of(one) for one in self._outside))

    def drive(self, identity: IdentityKey) -> DriveHistory:
        """One drive's page."""
        present = next((one for one in self.drives() if one.identity_key == identity), None)
        found = self._cards.history(identity, present)
        if found is None:
            raise DeskError(UNKNOWN, "no such drive was ever here")
        return found

    def jobs(self, *, after: str | None = None, limit: int = 100) -> tuple[JobCard, ...]:
        """Proposals, then jobs."""
        proposals = [proposal(one) for one in in_order(self._places) if may_approve(one)]
        ids = [one.id for one in proposals]
        if after in ids:
            proposals, after = proposals[ids.index(after) + 1 :], None
        elif after is not None:
            proposals = []
        room = limit - len(proposals)
        return (*proposals[:limit], *(self._cards.jobs(after, room) if room > 0 else ()))

    def job(self, which: str) -> JobCard:
        """One job or proposal."""
        for place in self._places:
            if place.insertion == which and may_approve(place):
                return proposal(place)
        return self._cards.job(self._parts.journal.job(self._known_job(which)))

    def lots(self) -> tuple[LotCard, ...]:
        """Active ones first."""
        return self._parts.reception.lots()

    def lot(self, reference: str) -> LotCard:
        """One lot."""
        found = self._parts.reception.lot(reference)
        if found is None:
            raise DeskError(UNKNOWN, "no such lot", next_step="Open it first")
        return found

    def asks(self) -> tuple[AskCard, ...]:
        """What scans left open."""
        return self._parts.reception.asks()

    def destroy_queue(self) -> tuple[DestroyCard, ...]:
        """Drives to be destroyed."""
        return tuple(map(self._cards.to_destroy, self._parts.reception.destroy_queue()))

    def records(self, *, after: str | None = None, limit: int = 100) -> tuple[RecordCard, ...]:
        """Finished records."""
        return self._cards.records(after, limit)

    def record(self, job: str) -> RecordFiles:
        """A record's files."""
        found = self._cards.files(self._known_job(job))
        if found is None:
            raise DeskError(UNKNOWN, "this job has no record yet")
        return found

    async def document(self, job: str) -> Path:
        """A record's document."""
        files = self.record(job)
        await self._parts.documents.require(files)
        return files.pdf

    def changes(self, last: str | None) -> AsyncIterator[Change]:
        """Changes as they happen."""
        return self._parts.changes.after(last)

    # --- the desk: changing ----------------------------------------------------------------------

    async def open_lot(self, lot: Lot, bays: tuple[BayId, ...], by: Person) -> LotCard:
        """Make a lot active."""
        _require(by, Act.LOTS)
        card = self._parts.reception.open_lot(lot, bays, by)
        self._plan_again()
        return card

    async def close_lot(self, reference: str, by: Person) -> LotCard:
        """It takes no more drives."""
        _require(by, Act.LOTS)
        card = self._parts.reception.close_lot(reference, by)
        self._plan_again()
        return card

    async def take_manifest(
        self, reference: str, name: str, data: bytes, by: Person
    ) -> ManifestReport:
        """A manifest for a lot."""
        _require(by, Act.LOTS)
        return self._parts.reception.take_manifest(reference, name, data, by)

    async def scan(self, text: str, by: Person) -> ScanAnswer:
        """What a scanner typed."""
        _require(by, Act.SCAN)
        answer = self._parts.reception.scan(text, by)
        self.tags_changed()
        return answer

    async def settle(self, scan: str, insertion: str, by: Person) -> ScanAnswer:
        """This scan is that drive."""
        _require(by, Act.SCAN)
        answer = self._parts.reception.settle(scan, insertion, by)
        self.tags_changed()
        return answer

    async def withdraw(self, scan: str, by: Person) -> ScanAnswer:
        """Take an announcement back."""
        _require(by, Act.SCAN)
        answer = self._parts.reception.withdraw(scan, by)
        self.tags_changed()
        return answer

    def tags_changed(self) -> None:
        """Something may have been bound: the bays show it, and jobs that start have it."""
        for place in self._places:
            tags = self.tags(place)
            if tags != (place.asset_tag, place.label_serial):
                place.asset_tag, place.label_serial = tags
                self._parts.changes.tell("bay", place.bay.bay_id)

    async def approve(self, which: str, approval: Approval, by: Person) -> JobCard:
        """Arm a plan."""
        place = self._place(which)
        self._approve(place, approval, by)
        return proposal(place)

    async def approve_lot(
        self, reference: str, plans: tuple[str, ...], by: Person
    ) -> tuple[JobCard, ...]:
        """Arm the plans of a lot that somebody looked at, all or none."""
        waiting = [
            one
            for one in in_order(self._places)
            if may_approve(one)
            and one.lot
            and one.lot.reference == reference
            and one.plan
            and one.plan.sha256 in plans
            # one that was finished here before is asked for one by one
            and one.verdict is None
        ]
        shown = [one.plan.sha256 for one in waiting if one.plan]
        if not plans or set(plans) - set(shown):
            raise DeskError(
                "plan.changed", "these are not the plans that wait now", next_step="Look again"
            )
        if len(set(shown)) < len(shown):
            raise DeskError(
                CONFLICT,
                "several drives have the same plan and no name of their own",
                next_step="Approve them one by one",
            )
        for place in waiting:
            assert place.plan is not None, "may_approve looked"  # noqa: S101 - the lines above
            assert place.drive is not None, "may_approve looked"  # noqa: S101 - the lines above
            self._approve(place, Approval(place.plan.sha256, place.drive.confirm), by)
        return tuple(proposal(one) for one in waiting)

    async def abort(self, which: str, by: Person) -> JobCard:
        """Conclude a job, or stop a countdown."""
        _require(by, Act.ABORT)
        for place in self._places:
            if which in {place.insertion, place.job} and place.drive is not None:
                attendance = self._supervisor and self._supervisor.attendance(place.bay.bay_id)
                if attendance:
                    await attendance.abort()
                return self.job(place.job) if place.job else proposal(place)
        self._known_job(which)
        raise DeskError(
            CONFLICT, "the drive of this job is not here", next_step="Put it in, or wait"
        )

    # --- inside ----------------------------------------------------------------------------------

    def _approve(self, place: Place, approval: Approval, by: Person) -> None:
        is_second = bool(place.approvals)
        if not (may(Role(by.role), Act.APPROVE) or (is_second and may(Role(by.role), Act.CONCUR))):
            raise DeskError(FORBIDDEN, "your role may not approve this plan")
        if hold := self.reasons_to_hold():
            raise DeskError(hold[0].code, "nothing may start on this station now")
        if place.drive is None or place.plan is None or not may_approve(place):
            raise DeskError(CONFLICT, "no plan waits for an approval in this bay")
        if approval.plan_sha256 != place.plan.sha256:
            raise DeskError(
                "plan.changed", "this is not the plan that is shown now", next_step="Look again"
            )
        if approval.confirm != place.drive.confirm:
            raise DeskError(
                "usage.confirm",
                "the text to confirm with is not that of this drive",
                next_step="Compare the drive's label with the screen",
            )
        if by.person_id in {one.person_id for one in place.approvals}:
            raise DeskError(CONFLICT, "you have approved it already; a second person has to")
        place.approvals = (*place.approvals, by)
        needed = 2 if place.plan.two_person_approval else 1
        place.is_approved = len(place.approvals) >= needed
        place.nudge.set()
        self._parts.changes.tell("bay", place.bay.bay_id)

    def _problems(self) -> tuple[Why, ...]:
        found = list(self.reasons_to_hold()) + list(self._parts.problems())
        if self._supervisor is not None:
            found += self._supervisor.problems()
        if not self._places:
            found.append(Why("bay.learn-first"))
        deliverer = self._deliverer
        if deliverer and deliverer.standing not in {Standing.IDLE, Standing.DELIVERING}:
            found.append(Why(deliverer.standing.value, deliverer.detail))
        found += [Why("centre.refused", f"{name}: {code}") for name, code in self._refused]
        return tuple(found)

    @property
    def _refused(self) -> tuple[tuple[str, str], ...]:
        return self._outbox.state().refused[:20]

    @property
    def _places(self) -> tuple[Place, ...]:
        return self._supervisor.places if self._supervisor else ()

    @property
    def _outside(self) -> tuple[Drive, ...]:
        return self._supervisor.outside if self._supervisor else ()

    def _place(self, which: str) -> Place:
        for place in self._places:
            if which in {place.insertion, place.job} and place.drive is not None:
                return place
        raise DeskError(UNKNOWN, "no drive waits here under this id", next_step="Look again")

    def _known_job(self, which: str) -> JobId:
        job = JobId(which)
        if not self._parts.journal.has_job(job):
            raise DeskError(UNKNOWN, "no such job")
        return job

    def _plan_again(self) -> None:
        """The lot of a bay changed: what waits there needs a plan for it."""
        now = self._parts.clock.boottime()
        for place in self._places:
            if place.drive is not None and state_of(place, now) not in WORKING:
                place.is_outdated = True
                place.nudge.set()
        self._parts.changes.tell("station")


def _require(by: Person, act: Act) -> None:
    if not may(Role(by.role), act):
        raise DeskError(FORBIDDEN, f"your role, {by.role}, may not do that")
