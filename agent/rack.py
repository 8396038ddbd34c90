"""The rack as it stands: one place for each bay, and what an operator is shown of it. Pure.

Nothing here waits or touches anything. `agent/attend.py` moves a place along; this says what its
state means: the state, the action, the reasons.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from nullbay.domain.clock import Stamp
from nullbay.domain.drive import Bay, Drive
from nullbay.domain.ids import InsertionId, JobId
from nullbay.domain.lot import Lot, Person
from nullbay.domain.plan import Refusal, SanitizationPlan
from nullbay.domain.policy import Policy
from nullbay.domain.status import Action, BayState, BayStatus, DriveCard, Why, WorkCard
from nullbay.domain.text import show
from nullbay.domain.verdict import Verdict
from nullbay.wipers import protocol as p

STALLED_AFTER_S = 20.0
APPROVABLE = frozenset(
    {BayState.PLANNED, BayState.PRESENT, BayState.COUNTDOWN, BayState.KNOWN, BayState.CONCLUDED}
)
WORKING = frozenset({BayState.QUEUED, BayState.RUNNING, BayState.PAUSED})

_ACTION = {
    BayState.EMPTY: Action.NONE,
    BayState.SETTLING: Action.LEAVE,
    BayState.COUNTDOWN: Action.LEAVE,
    BayState.QUEUED: Action.LEAVE,
    BayState.RUNNING: Action.LEAVE,
    BayState.PAUSED: Action.LEAVE,
}
_CONCLUDED = {
    Verdict.SANITIZED: Action.SHIP,
    Verdict.NOT_SANITIZED: Action.SHRED,
    Verdict.SANITIZED_WITH_EXCEPTIONS: Action.CALL,
    Verdict.INDETERMINATE: Action.CALL,
}
_ASKS = {
    BayState.PLANNED: "bay.approve",
    BayState.PRESENT: "bay.present",
    BayState.KNOWN: "bay.known",
    BayState.STALLED: "bay.stalled",
    BayState.FENCED: "drive.fenced",
}


@dataclass(slots=True)
class Place:
    """One bay and what is in it. `until_s` and `heard` are moments of boot time, in seconds.

    `is_new`: plugged in by hand while the station looked. `never_left`: attached since its last
    stay without a gap. `is_held_back`: somebody stopped its
    countdown. `is_outdated`: its lot changed, plan again. `is_called_off`: aborted before its
    turn came. `written_bytes` and `errors` count up for
    the bay as long as the station runs.
    """

    bay: Bay
    state: BayState = BayState.EMPTY
    drive: Drive | None = None
    device: str = ""
    insertion: InsertionId | None = None
    lot: Lot | None = None
    policy: Policy | None = None
    plan: SanitizationPlan | None = None
    refusals: tuple[Refusal, ...] = ()
    destroy: bool = False
    why: tuple[Why, ...] = ()
    approvals: tuple[Person, ...] = ()
    job: JobId | None = None
    work: p.Progress | None = None
    heard: float = 0.0
    until_s: float = 0.0
    verdict: Verdict | None = None
    asset_tag: str = ""
    label_serial: str = ""
    since: Stamp | None = None
    is_new: bool = False
    never_left: bool = False
    is_gone: bool = False
    is_approved: bool = False
    is_held_back: bool = False
    is_outdated: bool = False
    is_called_off: bool = False
    nudge: asyncio.Event = field(default_factory=asyncio.Event)
    written_bytes: int = 0
    errors: int = 0

    def empty(self) -> None:
        """Nothing is in it; what was counted since the start stays."""
        fresh = Place(self.bay)
        for name in self.__slots__:
            if name not in {"bay", "written_bytes", "errors"}:
                setattr(self, name, getattr(fresh, name))

    async def until(self, ready: Callable[[], bool]) -> None:
        """Wait for it; whoever changes a place sets `nudge`."""
        while not ready():
            self.nudge.clear()
            await self.nudge.wait()


def card_of(drive: Drive) -> DriveCard:
    """A drive as a person names it."""
    identity, observed = drive.identity, drive.observed
    return DriveCard(
        identity_key=identity.key,
        model=show(identity.model.raw),
        serial=show(identity.serial.raw),
        wwn=show(identity.wwn or identity.eui64 or identity.nguid),
        firmware=show(observed.firmware.raw),
        size_bytes=observed.size_bytes,
        media=observed.media.value,
        transport=observed.transport.value,
        device=" ".join(node.name for node in drive.attachment.nodes),
        simulated=drive.simulated,
    )


def state_of(place: Place, now: float) -> BayState:
    """The state as it is shown: work that nobody hears of any more is stalled."""
    if place.state is not BayState.RUNNING:
        return place.state
    if now - place.heard > STALLED_AFTER_S:
        return BayState.STALLED
    return BayState.PAUSED if place.work and place.work.paused else BayState.RUNNING


def action_of(place: Place, now: float) -> Action:
    """What the operator does (verdicts.md section 1, bench.md)."""
    state = state_of(place, now)
    if state is BayState.CONCLUDED:
        return _CONCLUDED[place.verdict] if place.verdict else Action.CALL
    if state is BayState.REFUSED and place.destroy:
        return Action.SHRED
    return _ACTION.get(state, Action.CALL)


def status_of(place: Place, now: float) -> BayStatus:
    """Everything a screen, a script or the centre is told of a bay."""
    state = state_of(place, now)
    why = tuple(Why(one.code, one.evidence) for one in place.refusals) + place.why
    if state in _ASKS:
        why = (Why(_ASKS[state]), *why)
    plan = place.plan
    return BayStatus(
        bay=place.bay.bay_id,
        row=place.bay.row,
        column=place.bay.column,
        state=state,
        action=action_of(place, now),
        why=why,
        drive=card_of(place.drive) if place.drive else None,
        insertion=place.insertion,
        job=place.job,
        lot=place.lot.reference if place.lot else None,
        policy_id=place.policy.policy_id if place.policy else "",
        method=plan.required_method.value if plan else "",
        plan_sha256=plan.sha256 if plan else "",
        confirm=place.drive.confirm if place.drive and state in APPROVABLE else "",
        work=_work(place.work) if place.work and state in WORKING | {BayState.STALLED} else None,
        countdown_s=max(0, round(place.until_s - now)) if state is BayState.COUNTDOWN else None,
        verdict=place.verdict,
        asset_tag=place.asset_tag,
        label_serial=place.label_serial,
        since=place.since,
    )


def may_approve(place: Place) -> bool:
    """Whether a plan waits here for somebody's consent."""
    if place.plan is None or place.state not in APPROVABLE:
        return False
    is_done = place.verdict is not None and place.verdict.is_sanitized
    return not (place.state is BayState.CONCLUDED and is_done)


def in_order(places: Iterable[Place]) -> list[Place]:
    """By row and column."""
    return sorted(places, key=lambda one: (one.bay.row, one.bay.column, one.bay.bay_id))


def _work(said: p.Progress) -> WorkCard:
    return WorkCard(
        step=said.number,
        steps=said.steps,
        phase=said.phase,
        done_bytes=said.done_bytes,
        total_bytes=said.total_bytes,
        bytes_per_s=said.bytes_per_s,
        eta_s=said.eta_s,
        errors=said.errors,
        temperature_celsius=said.temperature_celsius,
    )
