"""Attending one drive in one bay, from plug to pull: guard, propose, arm, run, show, let go.

One task for each bay that is occupied. It waits for nobody but its own drive, lets no exception
out, and starts nothing that nobody approved: an operator, or the policy in an unattended bay after
a countdown (bench.md, The wrong disk).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from nullbay.agent.changes import Changes
from nullbay.agent.conduct import BENCH_GONE, Conductor, Stay, WipeRequest, WipeResult
from nullbay.agent.journal.store import JobRow, Journal
from nullbay.agent.rack import WORKING, Place
from nullbay.agent.reserve import DiskFullError, Reserve
from nullbay.agent.settling import is_same_stay
from nullbay.agent.turns import Turns
from nullbay.certs import ledger
from nullbay.config import logs
from nullbay.domain.clock import Clock
from nullbay.domain.codec import from_plain
from nullbay.domain.drive import Drive
from nullbay.domain.ids import JobId, PolicyId
from nullbay.domain.job import JobState
from nullbay.domain.lot import InsertionEnd, Lot, Person
from nullbay.domain.plan import Held, Refusal
from nullbay.domain.policy import Policy
from nullbay.domain.status import BayState, Why
from nullbay.wipers import protocol as p
from nullbay.wipers.channel import ChannelClosedError
from nullbay.wipers.client import BenchClient
from nullbay.wipers.planner import plan as make_plan
from nullbay.wipers.service import RefusedError, is_named

TELL_EVERY_S = 1.0
BENCH_AWAY_S = 2.0
RETRY_FIRST_S = 5.0
STUMBLES_MAX = 3
FENCED = "drive.fenced"
CERTIFIED = frozenset({JobState.CERTIFIED, JobState.DELIVERED})


@dataclass(frozen=True, slots=True)
class BayRules:
    """What the configuration says of a bay now. `policy` is None where nothing names one."""

    policy: Policy | None
    unattended: bool
    countdown_s: float
    retries: int


class Front(Protocol):
    """What attending a drive needs of the rest of the station."""

    def rules(self, place: Place) -> BayRules:
        """Of this bay."""
        ...

    def lot_of(self, place: Place) -> Lot | None:
        """The lot that is active for this bay."""
        ...

    def reasons_to_hold(self) -> tuple[Why, ...]:
        """Why nothing may start on this station now; empty if all is well."""
        ...

    def loaders(self, place: Place) -> tuple[Person, ...]:
        """Who put this drive in, as far as known."""
        ...

    def tags(self, place: Place) -> tuple[str, str]:
        """Asset tag and label serial that were scanned for it; empty if none was."""
        ...

    def arrived(self, place: Place) -> None:
        """A drive is held and has an insertion."""
        ...

    def started(self, place: Place) -> None:
        """A job works on it."""
        ...

    def concluded(self, place: Place) -> None:
        """Its job has a verdict."""
        ...

    def departed(self, place: Place) -> str:
        """It is gone, or let go of; what was scanned at its removal."""
        ...

    def crashed(self, place: Place, error: Exception) -> None:
        """Something happened that should not have: told to the log."""
        ...


@dataclass(frozen=True, slots=True)
class House:
    """What all attendances share."""

    clock: Clock
    bench: Callable[[], Awaitable[BenchClient]]
    journal: Journal
    conductor: Callable[[BenchClient], Conductor]
    policies: Mapping[PolicyId, Policy]
    changes: Changes
    turns: Turns
    reserve: Reserve
    device_of: Callable[[Drive], str]
    front: Front


class Attendance:
    """One drive in one bay. `abort` concludes its job; the rest is told through its place."""

    def __init__(self, house: House, place: Place, drive: Drive, *, may_start: bool) -> None:
        """`may_start`: it was plugged in just now, by hand; otherwise it never starts by itself."""
        self._house, self._place, self._may_start = house, place, may_start
        self._conductor: Conductor | None = None
        self._client: BenchClient | None = None
        self._met: Drive | None = None
        self._stumbles = 0
        self._by_policy = False
        self._is_heard = False
        self._told_at = 0.0
        self._tries = 0
        place.empty()
        place.is_new = may_start
        place.drive, place.device = drive, house.device_of(drive)
        self._is_now(BayState.SETTLING)

    async def abort(self) -> None:
        """Conclude what is under way; before it is, only stop its countdown."""
        place = self._place
        if self._conductor is not None and place.state in WORKING:
            await self._conductor.abort()
        place.is_called_off = place.state is BayState.QUEUED
        place.is_held_back = place.is_outdated = True
        place.nudge.set()

    async def attend(self) -> None:
        """Until the drive is gone. Raises nothing but CancelledError, after letting go."""
        with logs.about(bay=self._place.bay.bay_id):
            await self._attend()

    async def _attend(self) -> None:
        place = self._place
        while not place.is_gone:
            try:
                await self._stay()
            except ChannelClosedError:
                # it was not held for a while: what waited for a consent is asked about anew
                self._may_start = False
                self._drop_consent()
                self._is_now(BayState.SETTLING, Why("bench.away"))
                await self._pause(BENCH_AWAY_S)
            except Exception as error:  # noqa: BLE001 - one bay's trouble is never another's
                self._house.front.crashed(place, error)
                self._is_now(BayState.REFUSED, Why("station.crashed", type(error).__name__))
                await place.until(lambda: place.is_gone)
        place.empty()
        self._house.changes.tell("bay", place.bay.bay_id)

    async def _stay(self) -> None:
        """One insertion: opened, closed in the ledger whatever happens."""
        place, house = self._place, self._house
        client = await house.bench()
        conductor = house.conductor(client)
        self._conductor, self._client = conductor, client
        try:
            stay = await conductor.take(place.device)
        except RefusedError as error:
            fenced = any(one.code == FENCED for one in error.refusals)
            place.refusals = error.refusals
            self._is_now(BayState.FENCED if fenced else BayState.REFUSED)
            if fenced:
                await self._pause(RETRY_FIRST_S)
                return
            await place.until(lambda: place.is_gone)
            return
        if await self._is_another(conductor, stay):
            return
        place.drive, place.insertion, place.refusals = stay.drive, stay.insertion_id, ()
        end = InsertionEnd.STATION_STOPPED
        try:
            open_job = await self._open_job(client, stay)
            if open_job is None:
                self._look_up(stay)
            house.front.arrived(place)
            await self._serve(conductor, stay, open_job)
            end = InsertionEnd.REMOVED
        finally:
            scanned = house.front.departed(place)
            # the bench goes on without this process, which finds it again
            keep = end is InsertionEnd.STATION_STOPPED
            # a drive that nothing was done on closes with the reasons that were shown for it
            shown = None if stay.jobs else _shown(place)
            await conductor.leave(stay, end, scanned, shown, keep=keep)

    async def _is_another(self, conductor: Conductor, stay: Stay) -> bool:
        """Refuse what took over the name or the place of the drive that is attended, until it goes.

        The kernel gives names away again: between a pull and the listing that tells of it, the name
        may be that of a drive in the next bay, or in this one. No word given for the drive before
        is for that one.
        """
        place, found = self._place, stay.drive
        here = found.attachment.bay == place.bay.bay_id
        if here and (self._met is None or is_same_stay(self._met, found)):
            self._met = found
            return False
        changed = Refusal("identity.changed", "another drive has its name or its place")
        place.refusals = (changed,)
        self._drop_consent()
        self._is_now(BayState.REFUSED)
        codes = (changed.code,)
        # The bench goes on holding it for the bay that it is in.
        await conductor.leave(stay, InsertionEnd.REFUSED, refusals=codes, keep=True)
        await place.until(lambda: place.is_gone)
        return True

    def _drop_consent(self) -> None:
        """Nothing is approved any more, by nobody."""
        self._place.is_approved, self._place.approvals = False, ()

    async def _serve(self, conductor: Conductor, stay: Stay, open_job: JobRow | None) -> None:
        """Resume what is open, then propose and work for as long as the drive is here."""
        place = self._place
        if open_job is not None:
            await self._resume(conductor, stay, open_job)
        while not place.is_gone:
            await self._consent()
            if place.is_approved and place.plan is not None and place.policy is not None:
                await self._work(conductor, stay, self._request(stay, place.policy))
            else:
                self._drop_consent()

    async def _open_job(self, client: BenchClient, stay: Stay) -> JobRow | None:
        """The unfinished job that this very drive is known to belong to."""
        for row in self._house.journal.jobs(stay.drive.identity.key):
            if self._house.journal.state(row.job_id).state in CERTIFIED:
                continue
            view = await client.look(row.job_id)
            here = view.attachment == stay.drive.attachment
            if here or (is_named(stay.drive) and is_named(view.order.drive)):
                return row
        return None

    async def _resume(self, conductor: Conductor, stay: Stay, row: JobRow) -> None:
        """Go on with it under the policy it began with."""
        place = self._place
        policy = self._house.policies.get(PolicyId(row.policy_id))
        place.job, place.policy = row.job_id, policy
        place.lot = from_plain(Lot | None, row.request.get("lot"))
        if policy is None or policy.sha256 != row.policy_sha256:
            place.refusals = (Refusal("job.open", f"{row.job_id} under {row.policy_id}"),)
            self._is_now(BayState.REFUSED)
            await place.until(lambda: place.is_gone)
            return
        planned = make_plan(stay.drive, policy, place.lot)
        place.plan = None if isinstance(planned, Held) else planned
        people: tuple[Person, ...] = from_plain(tuple[Person, ...], row.request.get("people", []))
        confirm = stay.drive.confirm
        request = WipeRequest(place.device, policy, confirm, place.lot, people=people)
        await self._work(conductor, stay, request)

    def _look_up(self, stay: Stay) -> None:
        """Show the record of a drive that was finished here before; it is not wiped by itself."""
        place, journal = self._place, self._house.journal
        rows = journal.jobs(stay.drive.identity.key) if is_named(stay.drive) else ()
        for row in rows[:1]:
            place.verdict, place.job = journal.state(row.job_id).verdict, row.job_id
            place.never_left = journal.never_left(stay.insertion_id)
            self._tries = int(place.never_left)  # then it is not known from before, but done here
            place.why = tuple(Why(code) for code in _reasons(journal, row.job_id))
            self._may_start = False

    async def _consent(self) -> None:
        """Propose, and wait until the plan is armed or the drive is gone."""
        place, house = self._place, self._house
        while not (place.is_gone or place.is_approved):
            if self._is_let_go():
                raise ChannelClosedError("the bench is gone")
            self._propose()
            if place.state is BayState.COUNTDOWN:
                if await self._counted_down():
                    place.is_approved = not house.front.reasons_to_hold()
                    self._by_policy = place.is_approved
                    place.approvals = house.front.loaders(place) if place.is_approved else ()
            else:
                await place.until(self._is_decided)

    def _is_let_go(self) -> bool:
        """Whether the bench that held this drive is gone; another one has to take it."""
        return self._client is not None and not self._client.is_open

    async def _counted_down(self) -> bool:
        """Whether the time passed without anybody or anything deciding otherwise."""
        clock, place = self._house.clock, self._place
        try:
            async with clock.timeout(max(0.0, place.until_s - clock.boottime())):
                await place.until(self._is_decided)
        except TimeoutError:
            return True
        return False

    def _is_decided(self) -> bool:
        place = self._place
        if place.is_outdated:
            place.is_outdated = False
            return True
        return place.is_gone or place.is_approved or self._is_let_go()

    def _propose(self) -> None:
        """The plan for the lot and policy of this moment, and how it may start."""
        place, front = self._place, self._house.front
        assert place.drive is not None, "a place with a drive"  # noqa: S101 - our own order of calls
        before = (place.plan and place.plan.sha256, place.lot)
        rules, place.lot = front.rules(place), front.lot_of(place)
        place.asset_tag, place.label_serial = front.tags(place)
        place.policy, place.plan, place.refusals, place.destroy = rules.policy, None, (), False
        if rules.policy is None:
            self._is_now(BayState.REFUSED, Why("bay.no-policy"))
            return
        planned = make_plan(place.drive, rules.policy, place.lot)
        if before != (None if isinstance(planned, Held) else planned.sha256, place.lot):
            place.approvals = ()  # given for another plan, or another lot
        if isinstance(planned, Held):
            left = tuple(
                Refusal(one.code, f"{one.technique}: {one.detail}") for one in planned.not_chosen
            )
            place.refusals, place.destroy = (*planned.refusals, *left), planned.destroy
            self._is_now(BayState.REFUSED)
            return
        place.plan = planned
        if place.verdict is not None:
            state = BayState.CONCLUDED if self._tries else BayState.KNOWN
            self._is_now(state, *(place.why if self._tries else ()))
            return
        hold = front.reasons_to_hold()
        asks_nobody = rules.unattended and rules.policy.unattended
        by_itself = self._may_start and asks_nobody and not planned.two_person_approval
        if by_itself and place.lot is None:
            hold = (*hold, Why("bay.no-lot"))
        if by_itself and not hold and not place.is_held_back:
            if place.state is not BayState.COUNTDOWN:
                place.until_s = self._house.clock.boottime() + rules.countdown_s
            self._is_now(BayState.COUNTDOWN)
            return
        self._is_now(BayState.PLANNED if self._may_start else BayState.PRESENT, *hold)

    def _request(self, stay: Stay, policy: Policy) -> WipeRequest:
        place = self._place
        return WipeRequest(
            device=place.device,
            policy=policy,
            confirm=stay.drive.confirm,
            lot=place.lot,
            asset_tag=place.asset_tag,
            label_serial=place.label_serial,
            people=place.approvals,
        )

    async def _work(self, conductor: Conductor, stay: Stay, request: WipeRequest) -> None:
        """Wait for room, run, show how it ended; stumbles are tried again, a few times."""
        place, house = self._place, self._house
        self._is_now(BayState.QUEUED)
        known, place.verdict = place.verdict, None
        place.work, self._is_heard = None, False
        async with house.turns.turn(place) as admitted:
            if not admitted:
                place.verdict = known
                self._drop_consent()
                called_off, place.is_called_off = place.is_called_off, False
                if not called_off or place.is_gone or not self._has_open_job():
                    return
            try:
                house.reserve.take(stay.insertion_id)
            except DiskFullError:
                place.verdict = known
                self._drop_consent()  # asked again when there is room
                return
            place.heard = house.clock.boottime()
            self._is_now(BayState.RUNNING)
            try:
                result = await conductor.run(stay, request, None, self._listen, abort=not admitted)
            finally:
                house.reserve.give_back(stay.insertion_id)
        self._drop_consent()
        self._tries += 1
        await self._ended(conductor, stay, request, result)

    async def _ended(
        self, conductor: Conductor, stay: Stay, request: WipeRequest, result: WipeResult
    ) -> None:
        place, house = self._place, self._house
        place.job = result.job or place.job
        if result.recorded is not None:
            conclusion = result.recorded.conclusion
            place.verdict, self._stumbles = conclusion.verdict, 0
            await conductor.told(result.recorded.job)
            self._is_now(
                BayState.CONCLUDED, *(Why(one.code, one.detail) for one in conclusion.findings)
            )
            house.front.concluded(place)
            if not conclusion.verdict.is_sanitized and self._may_retry():
                place.is_approved, place.approvals = True, request.people
            return
        if result.refusals:
            place.refusals = result.refusals
            self._is_now(BayState.REFUSED)
            await place.until(lambda: place.is_gone)
            return
        if result.open_code == BENCH_GONE:
            raise ChannelClosedError("the bench is gone")
        self._stumbles += 1
        self._is_now(BayState.QUEUED, Why(result.open_code or "step.interrupted"))
        if self._stumbles > STUMBLES_MAX:
            self._is_now(BayState.REFUSED, Why(result.open_code or "step.interrupted"))
            await place.until(lambda: place.is_gone)
            return
        await self._pause(RETRY_FIRST_S * 2**self._stumbles)
        if not place.is_gone:
            await self._work(conductor, stay, request)

    def _has_open_job(self) -> bool:
        job = self._place.job
        return job is not None and self._house.journal.state(job).state not in CERTIFIED

    def _may_retry(self) -> bool:
        """Whether it starts once more unasked: only what began so here, never what was stopped."""
        place, rules = self._place, self._house.front.rules(self._place)
        if place.is_gone or place.is_held_back or place.plan is None or place.policy is None:
            return False
        asks_nobody = rules.unattended and place.policy.unattended
        asks_nobody = asks_nobody and self._by_policy
        return asks_nobody and not place.plan.two_person_approval and self._tries <= rules.retries

    def _listen(self, message: p.FromDrive) -> None:
        """A word of the drive process; what it says is shown once a second."""
        place, now = self._place, self._house.clock.boottime()
        if not (isinstance(message, p.Progress) and _stands_still(place.work, message)):
            place.heard = now
        match message:
            case p.Progress():
                place.work = message
            case p.RangesFlushed(_, ranges):
                place.written_bytes += sum(one.length for one in ranges)
            case p.SectorUnwritable():
                place.errors += 1
            case p.SessionDone() if place.insertion is not None:
                self._house.reserve.give_back(place.insertion)  # the evidence is written next
        if not self._is_heard and place.insertion is not None:
            self._is_heard = True
            place.job = self._house.journal.job_of_stay(place.insertion)
            self._house.front.started(place)
        if now - self._told_at >= TELL_EVERY_S:
            self._told_at = now
            self._house.changes.tell("bay", place.bay.bay_id)

    async def _pause(self, seconds: float) -> None:
        """Wait, at most until the drive is gone."""
        with suppress(TimeoutError):
            async with self._house.clock.timeout(seconds):
                await self._place.until(lambda: self._place.is_gone)

    def _is_now(self, state: BayState, *why: Why) -> None:
        place = self._place
        if place.state is not state:
            place.since = self._house.clock.now()
        place.state, place.why = state, why
        self._house.changes.tell("bay", place.bay.bay_id)


def _shown(place: Place) -> tuple[str, ...]:
    """The codes of why nothing is done on a drive."""
    return tuple(one.code for one in place.refusals)


def _reasons(journal: Journal, job: JobId) -> tuple[str, ...]:
    """The codes that a job was concluded with, as its ledger entry says."""
    entry = journal.conclusion_of(job)
    said = ledger.read_body(entry.body).event if entry else None
    return said.reasons if isinstance(said, ledger.JobConcluded) else ()


def _stands_still(before: p.Progress | None, now: p.Progress) -> bool:
    """Whether a drive process lives and its drive does not move, and no pause is the reason."""
    return (
        before is not None
        and not now.paused
        and (before.number, before.phase, before.done_bytes, before.errors)
        == (now.number, now.phase, now.done_bytes, now.errors)
    )


async def let_go(task: asyncio.Task[None]) -> None:
    """End an attendance: its stay is closed before this returns."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
