"""What the events of the intake add up to: `fold`, and the values it makes.

A replay of the journal gives the same state. Nothing here judges: what the events say happened.
A state is never changed; lots that no event touches are shared between states.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeAlias, TypeVar

from nullbay.config.aliases import Match, label_readings, same_drive
from nullbay.domain.clock import Stamp
from nullbay.domain.drive import DriveIdentity
from nullbay.domain.ids import BayId, InsertionId, JobId, LotRef
from nullbay.domain.intake import (
    InsertionEnded,
    InsertionOpened,
    LotClosed,
    LotOpened,
    ManifestRow,
    ManifestTaken,
    NotDetected,
    RemovalScanned,
    ScanId,
    Scanned,
    ScanWithdrawn,
    StationEvent,
    TagBound,
    WorkEnded,
    WorkStarted,
)
from nullbay.domain.lot import InsertionEnd, Lot, Person
from nullbay.domain.verdict import Verdict

GONE_MAX = 512
"""Drives that are gone, of which the newest are kept: to be scanned out, or once more."""

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Stay:
    """A drive in a bay, or lately pulled. `verdict` is None while its job lasts or without one.

    `ended` is None while it is in the bay. Tag and label are empty until they are bound, by
    `bound_by`, who brought the drive.
    """

    insertion: InsertionId
    bay: BayId | None
    identity: DriveIdentity
    lot: LotRef | None
    arrived: bool
    bridged: bool
    opened: Stamp
    ended: InsertionEnd | None = None
    asset_tag: str = ""
    label_serial: str = ""
    rule: str = ""
    job: JobId | None = None
    verdict: Verdict | None = None
    concluded: Stamp | None = None
    scanned_out: bool = False
    bound_by: Person | None = None

    @property
    def is_here(self) -> bool:
        """Whether the drive is in its bay."""
        return self.ended is None

    @property
    def is_bound(self) -> bool:
        """Whether a tag or a label is bound to it."""
        return bool(self.asset_tag or self.label_serial)


Stays: TypeAlias = Mapping[InsertionId, Stay]
Announcements: TypeAlias = Mapping[ScanId, Scanned]
Rows: TypeAlias = Mapping[str, ManifestRow]
_NO_ROWS: Rows = MappingProxyType({})
_NO_STAYS: Stays = MappingProxyType({})
_NOBODY: Announcements = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class LotState:
    """A lot with everything that belongs to its account.

    `by_serial` finds a manifest's row by any reading of its serial, `by_tag` by its asset tag.
    """

    lot: Lot
    active: bool
    bays: tuple[BayId, ...]
    opened: Stamp
    opened_by: str
    manifest_name: str = ""
    manifest_sha256: str = ""
    rows: tuple[ManifestRow, ...] = ()
    by_serial: Rows = field(default_factory=lambda: _NO_ROWS)
    by_tag: Rows = field(default_factory=lambda: _NO_ROWS)
    stays: Stays = field(default_factory=lambda: _NO_STAYS)
    not_detected: Announcements = field(default_factory=lambda: _NOBODY)

    def holds_for(self, bay: BayId) -> bool:
        """Whether it is the active lot of that bay."""
        return self.active and (not self.bays or bay in self.bays)


@dataclass(frozen=True, slots=True)
class IntakeState:
    """Everything the intake knows.

    `stays` are drives in bays and those that were pulled lately; `announced` waits for
    its drive; `not_detected` are announcements whose drive never came.
    """

    lots: Mapping[LotRef, LotState] = field(default_factory=lambda: MappingProxyType({}))
    stays: Stays = field(default_factory=lambda: _NO_STAYS)
    announced: Announcements = field(default_factory=lambda: _NOBODY)
    not_detected: Announcements = field(default_factory=lambda: _NOBODY)

    def active_lot(self, bay: BayId) -> LotState | None:
        """The lot that drives in that bay belong to."""
        return next((one for one in self.lots.values() if one.holds_for(bay)), None)

    def here(self) -> Iterator[Stay]:
        """Drives in bays."""
        return (stay for stay in self.stays.values() if stay.is_here)

    def stay_in(self, bay: BayId) -> Stay | None:
        """The drive in that bay."""
        return next((stay for stay in self.here() if stay.bay == bay), None)


def fold(state: IntakeState, event: StationEvent) -> IntakeState:
    """The state after an event."""
    match event:
        case LotOpened() | LotClosed() | ManifestTaken():
            return _fold_lot(state, event)
        case InsertionOpened():
            return _arrived(state, event)
        case InsertionEnded(insertion, cause):
            state = _changed(state, insertion, ended=cause)
            return replace(state, stays=_bounded(state.stays))
        case WorkStarted(insertion, job):
            # what it was scanned out with says nothing about what it is worth after this
            return _changed(
                state, insertion, job=job, verdict=None, concluded=None, scanned_out=False
            )
        case WorkEnded():
            return _concluded(state, event)
        case Scanned(scan):
            return replace(state, announced=_with(state.announced, scan, event))
        case ScanWithdrawn(scan):
            return replace(state, announced=_without(state.announced, scan))
        case NotDetected(scan):
            return _not_detected(state, scan)
        case TagBound():
            state = _changed(
                state,
                event.insertion,
                asset_tag=event.asset_tag,
                label_serial=event.label_serial,
                rule=event.rule,
                bound_by=event.by,
            )
            for scan, one in state.not_detected.items():
                if event.asset_tag and one.asset_tag == event.asset_tag:
                    state = _found_again(state, scan, one)
            left = state.announced if event.scan is None else _without(state.announced, event.scan)
            return replace(state, announced=left)
        case RemovalScanned():
            if event.differs or event.insertion is None:
                return state
            return _changed(state, event.insertion, scanned_out=True)


def fold_all(events: Iterable[StationEvent]) -> IntakeState:
    """The state after all events of a journal."""
    state = IntakeState()
    for event in events:
        state = fold(state, event)
    return state


def _concluded(state: IntakeState, event: WorkEnded) -> IntakeState:
    """Its job has a verdict; told again after a restart, it is as old as it was."""
    stay = state.stays.get(event.insertion)
    is_told_again = stay and (stay.job, stay.verdict) == (event.job, event.verdict)
    at = stay.concluded if stay and is_told_again else event.at
    return _changed(state, event.insertion, job=event.job, verdict=event.verdict, concluded=at)


def _fold_lot(state: IntakeState, event: LotOpened | LotClosed | ManifestTaken) -> IntakeState:
    reference = event.lot.reference if isinstance(event, LotOpened) else event.reference
    known = state.lots.get(reference)
    changed: LotState | None
    match event:
        case LotOpened(lot, bays, by, at):
            fresh = known or LotState(lot, active=True, bays=bays, opened=at, opened_by="")
            changed = replace(
                fresh, lot=lot, active=True, bays=bays, opened=at, opened_by=by.person_id
            )
        case LotClosed():
            changed = None if known is None else replace(known, active=False)
        case ManifestTaken():
            changed = None if known is None else _with_manifest(known, event)
    if changed is None:
        return state
    return replace(state, lots=_with(state.lots, reference, changed))


def _with_manifest(lot: LotState, event: ManifestTaken) -> LotState:
    by_serial: dict[str, ManifestRow] = {}
    by_tag: dict[str, ManifestRow] = {}
    for row in event.rows:
        for reading in label_readings(row.serial):
            by_serial.setdefault(reading, row)
        if row.asset_tag:
            by_tag.setdefault(row.asset_tag, row)
    return replace(
        lot,
        manifest_name=event.name,
        manifest_sha256=event.sha256,
        rows=event.rows,
        by_serial=MappingProxyType(by_serial),
        by_tag=MappingProxyType(by_tag),
    )


def _arrived(state: IntakeState, event: InsertionOpened) -> IntakeState:
    """A drive is here; one that had been given up under that label is found again.

    A bay holds one drive: whatever else was in it is over, if the station did not see it go. A
    drive that sat in its bay while the station was stopped keeps what was bound to it and what its
    job came to.
    """
    stay = Stay(
        event.insertion,
        event.bay,
        event.identity,
        event.lot,
        event.arrived,
        event.bridged,
        event.at,
    )
    for other in [one for one in state.here() if one.bay == event.bay and one.bay is not None]:
        state = _changed(state, other.insertion, ended=InsertionEnd.STATION_STOPPED)
    earlier = _stopped_with(state, stay)
    if earlier is not None:
        stay = replace(
            stay,
            lot=earlier.lot,
            asset_tag=earlier.asset_tag,
            label_serial=earlier.label_serial,
            rule=earlier.rule,
            bound_by=earlier.bound_by,
            job=earlier.job,
            verdict=earlier.verdict,
            concluded=earlier.concluded,
            scanned_out=earlier.scanned_out,
        )
        state = replace(state, stays=_without(state.stays, earlier.insertion))
    state = _stored(state, stay)
    state = replace(state, stays=_bounded(state.stays))
    for scan, one in state.not_detected.items():
        likeness = same_drive(one.label_serial, event.identity, bridged=event.bridged)
        if isinstance(likeness, Match):
            state = _found_again(state, scan, one)
    return state


def _stopped_with(state: IntakeState, stay: Stay) -> Stay | None:
    """The same drive's last stay, if it was in this bay when the station stopped."""
    if not stay.identity.is_strong or stay.arrived:
        return None
    key = stay.identity.key
    own = [one for one in state.stays.values() if one.identity.key == key]
    last = own[-1] if own else None
    if last is None or last.bay != stay.bay or last.ended is not InsertionEnd.STATION_STOPPED:
        return None
    return last


def _found_again(state: IntakeState, scan: ScanId, one: Scanned) -> IntakeState:
    state = replace(state, not_detected=_without(state.not_detected, scan))
    lot = state.lots.get(one.lot) if one.lot is not None else None
    if lot is None or one.lot is None:
        return state
    lot = replace(lot, not_detected=_without(lot.not_detected, scan))
    return replace(state, lots=_with(state.lots, one.lot, lot))


def _not_detected(state: IntakeState, scan: ScanId) -> IntakeState:
    one = state.announced.get(scan)
    if one is None:
        return state
    for known, earlier in state.not_detected.items():
        if _same_announcement(earlier, one):
            state = _found_again(state, known, earlier)
    state = replace(
        state,
        announced=_without(state.announced, scan),
        not_detected=_with(state.not_detected, scan, one),
    )
    lot = state.lots.get(one.lot) if one.lot is not None else None
    if lot is None or one.lot is None:
        return state
    lot = replace(lot, not_detected=_with(lot.not_detected, scan, one))
    return replace(state, lots=_with(state.lots, one.lot, lot))


def _same_announcement(earlier: Scanned, one: Scanned) -> bool:
    """Whether a drive that is given up was given up before, under the same label or tag."""
    if earlier.asset_tag and earlier.asset_tag == one.asset_tag:
        return True
    return bool(label_readings(earlier.label_serial).keys() & label_readings(one.label_serial))


def _changed(state: IntakeState, insertion: InsertionId, **changes: object) -> IntakeState:
    """The stay with other values; an insertion nobody opened changes nothing."""
    stay = state.stays.get(insertion)
    if stay is None:
        return state
    return _stored(state, replace(stay, **changes))  # type: ignore[arg-type]


def _stored(state: IntakeState, stay: Stay) -> IntakeState:
    state = replace(state, stays=_with(state.stays, stay.insertion, stay))
    lot = state.lots.get(stay.lot) if stay.lot is not None else None
    if lot is None or stay.lot is None:
        return state
    lot = replace(lot, stays=_with(lot.stays, stay.insertion, stay))
    return replace(state, lots=_with(state.lots, stay.lot, lot))


def _bounded(stays: Stays) -> Stays:
    """All that are in bays; of those that are gone, the newest."""
    gone = [one.insertion for one in stays.values() if not one.is_here]
    dropped = set(gone[:-GONE_MAX])
    if not dropped:
        return stays
    left = {one: stay for one, stay in stays.items() if one not in dropped}
    return MappingProxyType(left)


def _with(mapping: Mapping[K, V], key: K, value: V) -> Mapping[K, V]:
    return MappingProxyType({**mapping, key: value})


def _without(mapping: Mapping[K, V], key: K) -> Mapping[K, V]:
    return MappingProxyType({one: value for one, value in mapping.items() if one != key})
