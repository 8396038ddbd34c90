"""Scanning a drive out: serial, bay and verdict must agree; only then is there a label to print.

bench.md: otherwise the alarm sounds, and says which of them differs.
"""

from __future__ import annotations

from dataclasses import dataclass

from nullbay.agent.intake.state import IntakeState, Stay
from nullbay.config.aliases import Match, label_readings, same_drive
from nullbay.domain.clock import Stamp
from nullbay.domain.ids import BayId, JobId, LotRef
from nullbay.domain.intake import RemovalScanned
from nullbay.domain.lot import Person
from nullbay.domain.status import Action
from nullbay.domain.verdict import Verdict

ACTIONS = {
    Verdict.SANITIZED: Action.SHIP,
    Verdict.SANITIZED_WITH_EXCEPTIONS: Action.CALL,
    Verdict.NOT_SANITIZED: Action.SHRED,
    Verdict.INDETERMINATE: Action.CALL,
}


@dataclass(frozen=True, slots=True)
class DriveLabel:
    """What is printed on a drive that leaves, as data. `serial` is what the drive itself said."""

    action: Action
    verdict: Verdict
    serial: str
    label_serial: str
    asset_tag: str
    lot: LotRef | None
    bay: BayId | None
    job: JobId | None
    at: Stamp

    def lines(self) -> tuple[str, ...]:
        """The label's text from top to bottom; what is not known is left out."""
        known = [
            ("S/N", self.serial),
            ("Label", self.label_serial if self.label_serial != self.serial else ""),
            ("Tag", self.asset_tag),
            ("Lot", self.lot or ""),
            ("Job", self.job or ""),
            ("Bay", self.bay or ""),
            ("Date", self.at.at[:10]),
        ]
        words = (self.action.value.upper(), self.verdict.value)
        return (*words, *(f"{name}: {text}" for name, text in known if text))


@dataclass(frozen=True, slots=True)
class Removal:
    """The event to keep and, where everything agrees, the label; `stay` is the drive meant."""

    event: RemovalScanned
    stay: Stay | None
    label: DriveLabel | None

    @property
    def agrees(self) -> bool:
        """Whether serial, bay and verdict agree."""
        return not self.event.differs


def decide_removal(
    state: IntakeState,
    serial: str,
    bay: BayId,
    by: Person,
    at: Stamp,
    *,
    verdict: Verdict | None = None,
) -> Removal:
    """Compare a scanned serial and bay with what happened in that bay.

    `verdict` is what the record says, where the caller knows it: then it has to be the same too.
    `differs` names, of serial, bay and verdict, those that do not agree.
    """
    named = named_by(state, serial)
    of_bay = _last_in(state, bay)
    stay = named[0] if len(named) == 1 else None
    differs = []
    if stay is None:
        differs.append("serial")
    elif stay.bay != bay:
        differs.append("bay")
    concluded = None if stay is None else stay.verdict
    if stay is not None and (concluded is None or (verdict is not None and verdict != concluded)):
        differs.append("verdict")
    meant = stay or of_bay
    event = RemovalScanned(
        None if meant is None else meant.insertion,
        serial,
        bay,
        concluded if stay is not None else None,
        tuple(differs),
        by,
        at,
    )
    agrees = stay is not None and not differs
    return Removal(event, meant, drive_label(stay, serial, at) if stay and agrees else None)


def drive_label(stay: Stay, serial: str, at: Stamp) -> DriveLabel | None:
    """What is printed for a drive whose label says `serial`; None while it has no verdict."""
    if stay.verdict is None:
        return None
    return DriveLabel(
        ACTIONS[stay.verdict],
        stay.verdict,
        stay.identity.serial.shown,
        stay.label_serial or serial,
        stay.asset_tag,
        stay.lot,
        stay.bay,
        stay.job,
        at,
    )


def named_by(state: IntakeState, serial: str) -> list[Stay]:
    """The drives that a label names: here, or worked on and lately pulled.

    A drive's latest stay counts; one that was refused, or pulled before any job, is gone.
    """
    readings = label_readings(serial).keys()
    found: dict[str, Stay] = {}
    for stay in state.stays.values():
        if not stay.is_here and stay.job is None:
            continue
        bound = stay.label_serial and readings & label_readings(stay.label_serial).keys()
        likeness = same_drive(serial, stay.identity, bridged=stay.bridged)
        if bound or isinstance(likeness, Match):
            name = stay.identity.key if stay.identity.is_strong else stay.insertion
            found[name] = stay
    return list(found.values())


def _last_in(state: IntakeState, bay: BayId) -> Stay | None:
    """The drive in a bay, or the last one that was worked on there."""
    stays = [
        stay for stay in state.stays.values() if stay.bay == bay and (stay.is_here or stay.job)
    ]
    here = [stay for stay in stays if stay.is_here]
    last = here or stays
    return last[-1] if last else None
