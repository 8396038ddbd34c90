"""Announced drives and drives that appeared: which belong together, and whose time is over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nullbay.agent.intake.refusal import Refusal
from nullbay.agent.intake.state import IntakeState, Stay
from nullbay.config.aliases import Match, Near, same_drive
from nullbay.domain.clock import Stamp
from nullbay.domain.ids import InsertionId
from nullbay.domain.intake import (
    InsertionEnded,
    NotDetected,
    ScanId,
    Scanned,
    ScanWithdrawn,
    TagBound,
)
from nullbay.domain.lot import InsertionEnd, Person
from nullbay.domain.text import show

WINDOW_S = 60
"""A scanned drive appears within it (verdicts.md section 3), and a scan follows its drive."""
_FAR = 2**62


@dataclass(frozen=True, slots=True)
class Ask:
    """An announcement that a person has to settle, and the drives it may mean.

    `near` shows them with why. An alarm means that something contradicts: it is no question of
    which, but of what went wrong. While one `holds`, the drive is not given up: it is here, or
    something so like it that a person has to look.
    """

    scan: ScanId
    code: str
    text: str
    insertions: tuple[InsertionId, ...]
    near: tuple[str, ...] = ()
    alarm: bool = False
    holds: bool = True


@dataclass(frozen=True, slots=True)
class Paired:
    """What can be bound now, and what has to be asked."""

    events: tuple[TagBound, ...]
    asks: tuple[Ask, ...]


def pair(state: IntakeState, at: Stamp) -> Paired:
    """Bind every announcement that can mean only one drive; ask about those that are in doubt.

    To be called after each InsertionOpened and each scan; `decide_scan` does it for its own.
    """
    unbound = [stay for stay in state.here() if not stay.is_bound and stay.verdict is None]
    waiting = list(state.announced.values())
    choices = {one.scan: _choices(one, unbound, state) for one in waiting}
    claimed: dict[InsertionId, list[ScanId]] = {}
    for scan, (stays, _) in choices.items():
        for stay in stays:
            claimed.setdefault(stay.insertion, []).append(scan)
    events: list[TagBound] = []
    asks: list[Ask] = []
    for one in waiting:
        stays, rule = choices[one.scan]
        if len(stays) == 1 and len(claimed[stays[0].insertion]) == 1:
            events.append(_bind(one, stays[0], rule, one.by, at))
        elif stays:
            asks.append(_several(one, stays))
    done = {event.insertion for event in events}
    left = [stay for stay in unbound if stay.insertion not in done]
    open_ = [one for one in waiting if not choices[one.scan][0]]
    for one in open_:
        outcome = _alone(one, open_, left, state, at)
        if isinstance(outcome, TagBound):
            events.append(outcome)
        elif outcome is not None:
            asks.append(outcome)
    return Paired(tuple(events), tuple(asks))


def overdue(state: IntakeState, at: Stamp, started: Stamp) -> tuple[NotDetected, ...]:
    """The announcements whose drive never appeared: 60 s, counted by boot time.

    `started` is when this station began to watch: what was announced before gets its time anew,
    for a drive may have been put in while nobody looked. What is asked about waits for a person.
    """
    asked = {ask.scan for ask in pair(state, at).asks if ask.holds}
    over = []
    for one in state.announced.values():
        since = min(_elapsed(one.at, at), _elapsed(started, at))
        if since >= WINDOW_S * 1_000_000 and one.scan not in asked:
            over.append(NotDetected(one.scan, at))
    return tuple(over)


def left_open(state: IntakeState, at: Stamp) -> tuple[InsertionEnded, ...]:
    """For the station's start: the end of every stay that nobody saw end.

    A drive that is still in its bay comes anew and keeps its tag, its label and its verdict.
    """
    stopped = InsertionEnd.STATION_STOPPED
    return tuple(InsertionEnded(stay.insertion, stopped, at) for stay in state.here())


def decide_bind(
    state: IntakeState, scan: ScanId, insertion: InsertionId, by: Person, at: Stamp
) -> TagBound | Refusal:
    """A person settles what was asked: this scan is that drive. A label that differs is refused.

    The rule that is kept is `person`, or the alias rule where one says so.
    """
    one, stay = state.announced.get(scan), state.stays.get(insertion)
    if one is None or stay is None or not stay.is_here:
        return Refusal("scan.gone", "the scan or the drive is not there any more", "Scan it again")
    if stay.is_bound:
        return Refusal("scan.bound-already", "that drive has a tag or a label already")
    rule = "person"
    if one.label_serial:
        likeness = same_drive(one.label_serial, stay.identity, bridged=stay.bridged)
        if isinstance(likeness, Match):
            rule = likeness.rule
        elif not isinstance(likeness, Near):
            return Refusal(
                "scan.other-drive",
                f"the drive says {stay.identity.serial.shown}, the label {show(one.label_serial)}",
                "Pull the drive and look at its label",
            )
    return _bind(one, stay, rule, by, at)


def decide_withdraw(
    state: IntakeState, scan: ScanId, by: Person, at: Stamp
) -> ScanWithdrawn | Refusal:
    """Take an announcement back: scanned by mistake."""
    if scan not in state.announced:
        return Refusal("scan.gone", "that scan does not wait any more")
    return ScanWithdrawn(scan, by, at)


def microseconds_between(earlier: Stamp, later: Stamp) -> int:
    """How long, either way, by boot time; far apart across boots."""
    if earlier.boot_id != later.boot_id:
        return _FAR
    return abs(later.boottime_us - earlier.boottime_us)


def _elapsed(since: Stamp, now: Stamp) -> int:
    return microseconds_between(since, now)


def _choices(one: Scanned, unbound: Sequence[Stay], state: IntakeState) -> tuple[list[Stay], str]:
    """The drives an announcement names for sure, and by which rule: label, bay, manifest."""
    serial = one.label_serial or _expected(one, state)
    if serial:
        found = []
        rule = ""
        for stay in unbound:
            likeness = same_drive(serial, stay.identity, bridged=stay.bridged)
            if isinstance(likeness, Match) and (one.bay is None or stay.bay == one.bay):
                found.append(stay)
                rule = likeness.rule
        return found, rule if one.label_serial else "manifest"
    if one.bay is not None:
        return [stay for stay in unbound if stay.bay == one.bay], "bay"
    return [], ""


def _alone(
    one: Scanned,
    waiting: Sequence[Scanned],
    unbound: Sequence[Stay],
    state: IntakeState,
    at: Stamp,
) -> TagBound | Ask | None:
    """An announcement that names no drive here: near, wrong bay, a tag alone; None: it waits."""
    serial = one.label_serial or _expected(one, state)
    fresh = [stay for stay in unbound if _came_with(stay, one)]
    if serial:
        return _contradiction(one, serial, unbound, fresh)
    if one.bay is not None or not fresh:
        return None
    if len(fresh) == 1 and len(waiting) == 1 and not _others_came(one, fresh[0], state):
        return _bind(one, fresh[0], "alone", one.by, at)
    return _several(one, fresh)


def _contradiction(
    one: Scanned, serial: str, unbound: Sequence[Stay], fresh: Sequence[Stay]
) -> Ask | None:
    near = []
    for stay in unbound:
        likeness = same_drive(serial, stay.identity, bridged=stay.bridged)
        if isinstance(likeness, Match):  # or it would have been a choice: its bay is another
            text = f"{show(serial)} is in bay {stay.bay}, not {one.bay}"
            return Ask(one.scan, "scan.other-bay", text, (stay.insertion,), alarm=True)
        if isinstance(likeness, Near):
            near.append((stay, likeness.why))
    if near:
        text = f"{show(serial)} is not here, but something like it: look at the label again"
        shown = tuple(f"{_serial(stay)} in bay {stay.bay} ({why})" for stay, why in near)
        # Neighbours of one batch are a character apart: alone that holds nothing up.
        holds = any(why != "one-character" for _, why in near)
        drives = tuple(stay.insertion for stay, _ in near)
        return Ask(one.scan, "scan.near", text, drives, shown, holds=holds)
    there = [stay for stay in fresh if one.bay is not None and stay.bay == one.bay]
    if there:
        text = f"the drive in bay {one.bay} says {_serial(there[0])}, not {show(serial)}"
        insertions = (there[0].insertion,)
        return Ask(one.scan, "scan.other-drive", text, insertions, alarm=True, holds=False)
    if not one.label_serial and len(fresh) == 1:
        text = (
            f"the manifest says {show(serial)} for tag {show(one.asset_tag)},"
            f" the drive {_serial(fresh[0])}"
        )
        return Ask(one.scan, "scan.manifest-differs", text, (fresh[0].insertion,), alarm=True)
    return None


def _came_with(stay: Stay, one: Scanned) -> bool:
    """Whether the drive arrived within the window around the scan."""
    return stay.arrived and microseconds_between(stay.opened, one.at) <= WINDOW_S * 1_000_000


def _others_came(one: Scanned, drive: Stay, state: IntakeState) -> bool:
    """Whether another drive arrived with the scan and is gone again: it may be the one meant."""
    return any(
        not stay.is_here
        and not stay.is_bound
        and stay.identity.key != drive.identity.key
        and _came_with(stay, one)
        for stay in state.stays.values()
    )


def _expected(one: Scanned, state: IntakeState) -> str:
    """The serial that a manifest of an active lot gives for a tag scanned alone."""
    for lot in state.lots.values():
        row = lot.by_tag.get(one.asset_tag) if one.asset_tag else None
        if row is not None and lot.active and one.lot in {None, lot.lot.reference}:
            return row.serial
    return ""


def _several(one: Scanned, stays: Sequence[Stay]) -> Ask:
    what = show(one.label_serial or one.asset_tag)
    shown = tuple(f"{_serial(stay)} in bay {stay.bay}" for stay in stays)
    text = f"{what}: which drive is it? Scan its bay, or the serial on its label"
    return Ask(one.scan, "scan.which", text, tuple(stay.insertion for stay in stays), shown)


def _bind(one: Scanned, stay: Stay, rule: str, by: Person, at: Stamp) -> TagBound:
    return TagBound(stay.insertion, one.scan, one.asset_tag, one.label_serial, rule, by, at)


def _serial(stay: Stay) -> str:
    return stay.identity.serial.shown or "no serial"
