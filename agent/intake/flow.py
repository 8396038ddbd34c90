"""The intake's flow: a scan announces a drive, a drive appears, both are bound; or it never comes.

Scan first or drive first, label and tag in either order, perhaps the bay. A label binds only by an
alias rule. A tag alone binds only where nothing else could be meant: its bay was scanned, the
manifest names its serial, or exactly one unbound drive arrived and exactly one scan waits. Anything
else is asked. Pure: state, time and new ids are given in, events and an answer come out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

from nullbay.agent.intake.pairing import WINDOW_S, Ask, microseconds_between, pair
from nullbay.agent.intake.removal import DriveLabel, decide_removal, drive_label, named_by
from nullbay.agent.intake.scans import AssetTag, BayScan, LabelSerial
from nullbay.agent.intake.state import IntakeState, Stay, fold
from nullbay.config.aliases import Match, Near, label_readings, same_drive
from nullbay.domain.clock import Stamp
from nullbay.domain.ids import BayId, InsertionId, LotRef
from nullbay.domain.intake import ScanId, Scanned, StationEvent, TagBound
from nullbay.domain.lot import Person
from nullbay.domain.text import show

Announceable: TypeAlias = BayScan | AssetTag | LabelSerial


@dataclass(frozen=True, slots=True)
class Hand:
    """What one person has just scanned, each with its moment; older than the window it is nothing.

    `bay`: a bay, for whatever comes next. `leaving`: a serial that waits for its bay, or empty.
    `bound`: the drive that was bound last, for a tag that follows.
    """

    bay: BayId | None = None
    leaving: str = ""
    bound: InsertionId | None = None
    at: Stamp | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a scan did. `kind` is bay, tag, label or removal; `alarm` is for the ear.

    `near` are drives that are like what was scanned, each with why. `label` is to be printed.
    """

    kind: str
    code: str
    message: str
    alarm: bool = False
    bay: BayId | None = None
    insertion: InsertionId | None = None
    near: tuple[str, ...] = ()
    label: DriveLabel | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """Events to keep in this order, what the person has in hand now, and what to tell."""

    events: tuple[StationEvent, ...]
    hand: Hand
    answer: Answer


@dataclass(frozen=True, slots=True)
class Scanning:
    """Around a scan: who, when, what is in hand, and a fresh id in case it announces a drive.

    `audit_hold` are stays whose drive was drawn for independent re-verification: no label until
    another person's result is in.
    """

    state: IntakeState
    hand: Hand
    by: Person
    at: Stamp
    fresh: ScanId
    audit_hold: frozenset[InsertionId] = frozenset()


def decide_scan(scan: Announceable, around: Scanning) -> Decision:
    """What a scanned bay, tag or label does."""
    around = replace(around, hand=_still_in_hand(around))
    match scan:
        case BayScan(bay):
            return _bay_scanned(bay, around)
        case AssetTag(tag):
            return _tag_scanned(tag, around)
        case LabelSerial(serial):
            return _label_scanned(serial, around)


def _bay_scanned(bay: BayId, around: Scanning) -> Decision:
    hand = Hand(bay=bay, at=around.at)
    if around.hand.leaving:
        return _removed(around.hand.leaving, bay, around)
    waiting = _own_waiting(around)
    if waiting is not None and waiting.bay is None:
        event = replace(waiting, bay=bay, lot=_lot(around.state, bay, waiting), at=around.at)
        return _announced(event, around, "bay", hand)
    answer = Answer("bay", "scan.bay", f"bay {bay}: now the drive's label or tag", bay=bay)
    return Decision((), hand, answer)


def _tag_scanned(tag: str, around: Scanning) -> Decision:
    state, hand = around.state, around.hand
    known = [
        stay
        for stay in state.stays.values()
        if stay.asset_tag == tag and (stay.is_here or stay.job is not None)
    ]
    if known:
        stay = known[-1]
        here = ("tag", stay.bay, stay.insertion)
        if stay.is_here and stay.verdict is None:
            return _told(around, *here, "scan.known", f"tag {show(tag)} is in bay {stay.bay}")
        text = f"tag {show(tag)}: to take the drive out, scan the serial on its label"
        return _told(around, *here, "removal.serial-wanted", text)
    lately = state.stays.get(hand.bound) if hand.bound is not None else None
    if lately is not None and lately.is_here and not lately.asset_tag:
        bound = TagBound(
            lately.insertion, None, tag, lately.label_serial, lately.rule, around.by, around.at
        )
        return _bound(bound, lately, around, "tag")
    twice = next((one for one in state.announced.values() if one.asset_tag == tag), None)
    if twice is not None:
        again = replace(twice, bay=twice.bay or hand.bay, at=around.at)
        return _announced(again, around, "tag", hand)
    waiting = _own_waiting(around)
    if waiting is not None and not waiting.asset_tag:
        event = replace(waiting, asset_tag=tag, at=around.at)
    else:
        event = _fresh(around, asset_tag=tag)
    return _announced(event, around, "tag", Hand(bay=hand.bay, at=hand.at))


def _label_scanned(serial: str, around: Scanning) -> Decision:
    state, hand = around.state, around.hand
    named = named_by(state, serial)
    if len(named) > 1:
        bays = ", ".join(str(stay.bay) for stay in named)
        text = f"{show(serial)} names more than one drive: bays {bays}"
        return _told(around, "label", None, None, "scan.two-drives", text, alarm=True)
    if named:
        return _named(named[0], serial, around)
    other = state.stay_in(hand.bay) if hand.bay is not None else None
    if other is not None and hand.bay is not None:
        if other.verdict is not None:
            return _removed(serial, hand.bay, around)
        near = _near_texts(serial, [other])
        text = f"the drive in bay {hand.bay} says {_serial(other)}, not {show(serial)}"
        answer = Answer("label", "scan.other-drive", text, alarm=True, bay=hand.bay, near=near)
        return Decision((), Hand(), answer)
    twice = _announced_as(serial, state)
    if twice is not None:
        again = replace(twice, bay=twice.bay or hand.bay, at=around.at)
        return _announced(again, around, "label", hand)
    waiting = _own_waiting(around)
    if waiting is not None and not waiting.label_serial:
        event = replace(waiting, label_serial=serial, at=around.at)
        event = replace(event, lot=event.lot or _lot(state, event.bay, event))
    else:
        event = _fresh(around, label_serial=serial)
    return _announced(event, around, "label", Hand(bay=hand.bay, at=hand.at))


def _named(stay: Stay, serial: str, around: Scanning) -> Decision:
    """A label that names one drive: bound at intake, or taken out once it is concluded."""
    bay = around.hand.bay
    if stay.scanned_out and bay in {None, stay.bay}:
        return _again(stay, serial, around)
    if stay.verdict is not None or not stay.is_here:
        where = bay or _pulled_from(stay, around.state)
        if where is not None:
            return _removed(serial, where, around)
        hand = Hand(leaving=serial, at=around.at)
        text = f"{show(serial)}: now scan the bay it was in"
        answer = Answer(
            "removal", "removal.bay-wanted", text, bay=stay.bay, insertion=stay.insertion
        )
        return Decision((), hand, answer)
    if bay is not None and stay.bay != bay:
        text = f"{show(serial)} is in bay {stay.bay}, not {bay}"
        return _told(around, "label", stay.bay, stay.insertion, "scan.other-bay", text, alarm=True)
    if stay.label_serial:
        text = f"{show(serial)} is known: bay {stay.bay}"
        return _told(around, "label", stay.bay, stay.insertion, "scan.known", text)
    likeness = same_drive(serial, stay.identity, bridged=stay.bridged)
    rule = likeness.rule if isinstance(likeness, Match) else stay.rule
    waiting = _own_waiting(around)
    tag, scan = stay.asset_tag, None
    if waiting is not None and not waiting.label_serial and not tag:
        tag, scan = waiting.asset_tag, waiting.scan
    bound = TagBound(stay.insertion, scan, tag, serial, rule, around.by, around.at)
    return _bound(bound, stay, around, "label")


def _again(stay: Stay, serial: str, around: Scanning) -> Decision:
    """Scanned out already: its label once more, and nothing is kept."""
    label = drive_label(stay, serial, around.at)
    text = f"{show(serial)} was scanned out of bay {stay.bay} already"
    answer = Answer(
        "removal", "removal.again", text, bay=stay.bay, insertion=stay.insertion, label=label
    )
    return Decision((), Hand(), answer)


def _removed(serial: str, bay: BayId, around: Scanning) -> Decision:
    removal = decide_removal(around.state, serial, bay, around.by, around.at)
    insertion = None if removal.stay is None else removal.stay.insertion
    if removal.agrees and insertion in around.audit_hold:
        text = f"AUDIT HOLD: {show(serial)} waits for another person's result"
        held = Answer("removal", "removal.audit-hold", text, bay=bay, insertion=insertion)
        return Decision((), Hand(), held)
    if removal.label is not None:
        word = removal.label.action.value.upper()
        text = f"{word}: {removal.label.verdict.value}, {show(serial)} from bay {bay}"
        code, alarm = "removal.agrees", False
    else:
        text = _difference(removal.event.differs, removal.stay, serial, bay)
        code, alarm = f"removal.{removal.event.differs[0]}-differs", True
    answer = Answer("removal", code, text, alarm, bay, insertion, (), removal.label)
    return Decision((removal.event,), Hand(), answer)


def _difference(differs: tuple[str, ...], stay: Stay | None, serial: str, bay: BayId) -> str:
    if "serial" in differs:
        was = "no drive" if stay is None else _serial(stay)
        return f"STOP: bay {bay} held {was}, not {show(serial)}"
    where = "" if stay is None else f" {show(serial)} was in bay {stay.bay}, not {bay}"
    if "bay" in differs:
        return f"STOP:{where}"
    return f"STOP: {show(serial)} has no verdict: do not take it away"


def _announced(event: Scanned, around: Scanning, kind: str, hand: Hand) -> Decision:
    """Keep an announcement, and bind whatever that settles."""
    state = fold(around.state, event)
    paired = pair(state, around.at)
    events: tuple[StationEvent, ...] = (event, *paired.events)
    mine = next((one for one in paired.events if one.scan == event.scan), None)
    if mine is not None:
        stay = state.stays[mine.insertion]
        answer = Answer(
            kind, "scan.bound", _bound_text(mine, stay), bay=stay.bay, insertion=stay.insertion
        )
        return Decision(events, replace(hand, bound=stay.insertion, at=around.at), answer)
    asked = next((ask for ask in paired.asks if ask.scan == event.scan), None)
    if asked is not None:
        answer = _asked(asked, kind)
    else:
        what = " and ".join(part for part in (event.label_serial, event.asset_tag) if part)
        where = f" into bay {event.bay}" if event.bay else ""
        text = (
            f"{show(what)}: now put the drive{where}" if where else f"{show(what)}: now the drive"
        )
        answer = Answer(kind, "scan.waiting", text, bay=event.bay)
    return Decision(events, hand, answer)


def _asked(ask: Ask, kind: str) -> Answer:
    return Answer(kind, ask.code, ask.text, ask.alarm, None, None, ask.near)


def _bound(bound: TagBound, stay: Stay, around: Scanning, kind: str) -> Decision:
    hand = Hand(bound=stay.insertion, at=around.at)
    text = _bound_text(bound, stay)
    answer = Answer(kind, "scan.bound", text, bay=stay.bay, insertion=stay.insertion)
    return Decision((bound,), hand, answer)


def _bound_text(bound: TagBound, stay: Stay) -> str:
    what = " and ".join(part for part in (bound.label_serial, bound.asset_tag) if part)
    return f"{show(what)} belongs to the drive in bay {stay.bay}"


def _told(
    around: Scanning,
    kind: str,
    bay: BayId | None,
    insertion: InsertionId | None,
    code: str,
    text: str,
    *,
    alarm: bool = False,
) -> Decision:
    """An answer that changes nothing."""
    return Decision((), around.hand, Answer(kind, code, text, alarm, bay, insertion))


def _still_in_hand(around: Scanning) -> Hand:
    at = around.hand.at
    if at is None or microseconds_between(at, around.at) > WINDOW_S * 1_000_000:
        return Hand()
    return around.hand


def _own_waiting(around: Scanning) -> Scanned | None:
    """This person's last announcement that still waits within the window."""
    mine = [
        one
        for one in around.state.announced.values()
        if one.by.person_id == around.by.person_id
        and microseconds_between(one.at, around.at) <= WINDOW_S * 1_000_000
    ]
    return mine[-1] if mine else None


def _announced_as(serial: str, state: IntakeState) -> Scanned | None:
    """The announcement that has this label already: scanned twice is scanned once."""
    readings = label_readings(serial).keys()
    return next(
        (
            one
            for one in state.announced.values()
            if one.label_serial and readings & label_readings(one.label_serial).keys()
        ),
        None,
    )


def _fresh(around: Scanning, *, asset_tag: str = "", label_serial: str = "") -> Scanned:
    bay = around.hand.bay
    event = Scanned(around.fresh, asset_tag, label_serial, bay, None, around.by, around.at)
    return replace(event, lot=_lot(around.state, bay, event))


def _lot(state: IntakeState, bay: BayId | None, event: Scanned) -> LotRef | None:
    """The lot an announced drive belongs to: of its bay, of its manifest row, or the only one."""
    if bay is not None:
        lot = state.active_lot(bay)
        return None if lot is None else lot.lot.reference
    active = [lot for lot in state.lots.values() if lot.active]
    readings = label_readings(event.label_serial)
    naming = [
        lot
        for lot in active
        if event.asset_tag in lot.by_tag or any(text in lot.by_serial for text in readings)
    ]
    few = naming or active
    return few[0].lot.reference if len(few) == 1 else None


def _pulled_from(stay: Stay, state: IntakeState) -> BayId | None:
    """The bay, where the drive is the only one that was pulled and not scanned out."""
    pulled = [
        one
        for one in state.stays.values()
        if not one.is_here and not one.scanned_out and one.job is not None
    ]
    return stay.bay if pulled == [stay] else None


def _near_texts(serial: str, stays: list[Stay]) -> tuple[str, ...]:
    found = []
    for stay in stays:
        likeness = same_drive(serial, stay.identity, bridged=stay.bridged)
        if isinstance(likeness, Near):
            found.append(f"{_serial(stay)} in bay {stay.bay} ({likeness.why})")
    return tuple(found)


def _serial(stay: Stay) -> str:
    return stay.identity.serial.shown or "no serial"
