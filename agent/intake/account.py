"""A lot's account: what was expected, what came, what became of it; and what is to be destroyed.

Derived from the state each time. A row is matched by its label serial and the alias rules, or by
the asset tag bound to a drive where the row has no serial; near misses are shown beside the row.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from nullbay.agent.intake.state import IntakeState, LotState, Stay
from nullbay.config.aliases import drive_spellings, folded, label_readings, likeness
from nullbay.domain.clock import Stamp
from nullbay.domain.ids import InsertionId, LotRef
from nullbay.domain.intake import ManifestRow, Scanned
from nullbay.domain.verdict import Verdict

NEAR_SHOWN_MAX = 5
NEAR_COMPARED_MAX = 50_000
"""Pairs of missing rows and surplus drives that are compared; beyond it none is."""


class RowState(enum.StrEnum):
    """What became of an expected drive."""

    MISSING = "missing"
    SCANNED = "scanned"
    RECEIVED = "received"
    WORKING = "working"
    DONE = "done"
    NOT_DETECTED = "not-detected"


@dataclass(frozen=True, slots=True)
class AccountRow:
    """An expected drive. `near` are serials and tags that are like it, each with why."""

    row: ManifestRow
    state: RowState
    insertion: InsertionId | None
    verdict: Verdict | None
    near: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Account:
    """Expected rows in the order of the file; `surplus` are drives here that are on none."""

    rows: tuple[AccountRow, ...]
    surplus: tuple[Stay, ...]
    counts: Mapping[str, int]


class DestroyReason(enum.StrEnum):
    """Why a drive is in the destroy queue."""

    NOT_DETECTED = "not-detected"
    NOT_SANITIZED = "not-sanitized"


@dataclass(frozen=True, slots=True)
class ToDestroy:
    """A drive nobody can clear: named as it was scanned, or as the drive names itself.

    `since`: when it was announced, or its job ended; None for one that was concluded before this
    was kept. `stay` is the last one of a drive that was here.
    """

    reason: DestroyReason
    lot: LotRef | None
    label_serial: str
    asset_tag: str
    insertion: InsertionId | None
    since: Stamp | None
    stay: Stay | None


def account(state: IntakeState, lot: LotState) -> Account:
    """Reconcile a lot's manifest with its drives. Without a manifest there is no surplus.

    Costs a look at every row; near misses a comparison of each missing row with each surplus drive.
    """
    drives = _latest(lot.stays.values())
    found, doubtful = _matched(lot, drives)
    announced = [one for one in state.announced.values() if one.lot == lot.lot.reference]
    waiting = _lines(lot, announced)
    given_up = _lines(lot, list(lot.not_detected.values()))
    taken = {stay.insertion for stay in found.values()}
    left = [stay for stay in drives if stay.insertion not in taken]
    missing = len(lot.rows) - len(found)
    compared = left if missing * len(left) <= NEAR_COMPARED_MAX else []
    rows = []
    for row in lot.rows:
        stay = found.get(row.line)
        if stay is not None:
            rows.append(_met(row, stay))
            continue
        row_state = RowState.MISSING
        if row.line in given_up:
            row_state = RowState.NOT_DETECTED
        if row.line in waiting:
            row_state = RowState.SCANNED
        near = (*doubtful.get(row.line, ()), *_near(row, compared))
        rows.append(AccountRow(row, row_state, None, None, near[:NEAR_SHOWN_MAX]))
    surplus = tuple(left) if lot.rows else ()
    return Account(tuple(rows), surplus, _counts(rows, surplus, drives))


def destroy_queue(state: IntakeState) -> tuple[ToDestroy, ...]:
    """Drives to be destroyed: announced and never detected, or last concluded NOT_SANITIZED."""
    queue = [
        ToDestroy(
            DestroyReason.NOT_DETECTED,
            one.lot,
            one.label_serial,
            one.asset_tag,
            insertion=None,
            since=one.at,
            stay=None,
        )
        for one in state.not_detected.values()
    ]
    for stay in _latest(_all_stays(state)):
        if stay.verdict is Verdict.NOT_SANITIZED:
            serial = stay.label_serial or stay.identity.serial.shown
            why = DestroyReason.NOT_SANITIZED
            queue.append(
                ToDestroy(
                    why, stay.lot, serial, stay.asset_tag, stay.insertion, stay.concluded, stay
                )
            )
    return tuple(queue)


def _all_stays(state: IntakeState) -> Iterator[Stay]:
    for lot in state.lots.values():
        yield from lot.stays.values()
    for stay in state.stays.values():
        if stay.lot is None or stay.lot not in state.lots:
            yield stay


def _latest(stays: Iterable[Stay]) -> list[Stay]:
    """The last stay of each drive; drives without a name of their own count each stay."""
    last: dict[str, Stay] = {}
    for stay in stays:
        name = stay.identity.key if stay.identity.is_strong else stay.insertion
        earlier = last.pop(name, None)
        last[name] = _carried(earlier, stay)
    return list(last.values())


def _carried(earlier: Stay | None, stay: Stay) -> Stay:
    """A drive put back keeps its tag, its label and the verdict it left with, until told anew."""
    if earlier is None:
        return stay
    told = replace(
        stay,
        asset_tag=stay.asset_tag or earlier.asset_tag,
        label_serial=stay.label_serial or earlier.label_serial,
    )
    if stay.job is None:
        told = replace(told, job=earlier.job, verdict=earlier.verdict, concluded=earlier.concluded)
    return told


def _matched(
    lot: LotState, drives: Sequence[Stay]
) -> tuple[dict[int, Stay], dict[int, tuple[str, ...]]]:
    """Drives by the line of their row; and for rows that two drives claim, which ones."""
    claims: dict[int, list[Stay]] = {}
    for stay in drives:
        lines = {lot.by_serial[text].line for text in _names(stay) if text in lot.by_serial}
        tagged = lot.by_tag.get(stay.asset_tag)
        if not lines and tagged is not None and not tagged.serial:
            lines = {tagged.line}
        if len(lines) == 1:
            claims.setdefault(lines.pop(), []).append(stay)
    found = {line: stays[0] for line, stays in claims.items() if len(stays) == 1}
    doubtful = {
        line: tuple(f"{_shown(stay)} (two drives claim it)" for stay in stays)
        for line, stays in claims.items()
        if len(stays) > 1
    }
    return found, doubtful


def _names(stay: Stay) -> set[str]:
    """Every folded label that names the drive; a bridged one is known by its bound label alone."""
    own = set() if stay.bridged else set(drive_spellings(stay.identity))
    return own | ({*label_readings(stay.label_serial)} if stay.label_serial else set())


def _met(row: ManifestRow, stay: Stay) -> AccountRow:
    if stay.verdict is not None:
        state = RowState.DONE
    else:
        state = RowState.WORKING if stay.job is not None else RowState.RECEIVED
    near: tuple[str, ...] = ()
    if row.asset_tag and stay.asset_tag and row.asset_tag != stay.asset_tag:
        near = (f"{stay.asset_tag} (another asset tag)",)
    return AccountRow(row, state, stay.insertion, stay.verdict, near)


def _lines(lot: LotState, scans: Sequence[Scanned]) -> set[int]:
    """The lines of the manifest that announcements name, by label or by tag."""
    rows = [
        lot.by_serial.get(text) for one in scans for text in label_readings(one.label_serial)
    ] + [lot.by_tag.get(one.asset_tag) for one in scans if one.asset_tag]
    return {row.line for row in rows if row is not None}


def _near(row: ManifestRow, drives: Sequence[Stay]) -> Iterator[str]:
    mine = folded(row.serial)
    for stay in drives:
        why = next((why for name in _names(stay) if (why := likeness(mine, name))), "")
        if not why and row.asset_tag and stay.asset_tag == row.asset_tag:
            why = "same asset tag"
        if why:
            yield f"{_shown(stay)} ({why})"


def _shown(stay: Stay) -> str:
    return stay.identity.serial.shown or stay.label_serial or stay.insertion


def _counts(
    rows: Sequence[AccountRow], surplus: Sequence[Stay], drives: Sequence[Stay]
) -> dict[str, int]:
    counts = {state.value: 0 for state in RowState}
    for row in rows:
        counts[row.state.value] += 1
    counts |= {"expected": len(rows), "surplus": len(surplus), "drives": len(drives)}
    for verdict in Verdict:
        counts[verdict.value] = sum(stay.verdict is verdict for stay in drives)
    return counts
