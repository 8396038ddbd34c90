"""What scans left open, as a person is asked: which drives it may be, and which of them can be it.

The answers are `pairing.decide_bind` and `pairing.decide_withdraw`; nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from nullbay.agent.intake.pairing import Ask, decide_bind, pair
from nullbay.agent.intake.refusal import Refusal
from nullbay.agent.intake.state import IntakeState, Stay
from nullbay.config.aliases import Near, same_drive
from nullbay.domain.clock import Stamp
from nullbay.domain.intake import Scanned, ScanWithdrawn, TagBound
from nullbay.domain.text import show

BOUND, WITHDRAWN = "scan.bound", "scan.withdrawn"
WHY_NEAR: Mapping[str, str] = MappingProxyType(
    {
        "lookalikes": "letters that look alike are read otherwise",
        "one-character": "one character is another",
        "part": "one is a part of the other",
        "vendor": "it would be the same by the rule of another vendor",
        "bridge": "the serial is the same, but a USB bridge said it",
    }
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A drive that may be meant; `why` in plain words where it is only like it, else empty.

    `can_bind` is false where a person's word would be refused: its label says another drive.
    """

    stay: Stay
    why: str
    can_bind: bool


@dataclass(frozen=True, slots=True)
class OpenScan:
    """An announcement in doubt, with the drives it may be."""

    scanned: Scanned
    ask: Ask
    candidates: tuple[Candidate, ...]


def open_scans(state: IntakeState, at: Stamp) -> tuple[OpenScan, ...]:
    """Everything that waits for a person's answer, the oldest announcement first."""
    return tuple(_open(state, ask, at) for ask in pair(state, at).asks)


def bound_text(bound: TagBound, stay: Stay) -> str:
    """What a person is told who settled it."""
    what = " and ".join(show(part) for part in (bound.label_serial, bound.asset_tag) if part)
    return f"{what} belongs to the drive in bay {stay.bay}"


def withdrawn_text(withdrawn: ScanWithdrawn, state: IntakeState) -> str:
    """What a person is told who took it back; `state` is the one before."""
    one = state.announced[withdrawn.scan]
    what = " and ".join(show(part) for part in (one.label_serial, one.asset_tag) if part)
    return f"{what} is taken back: no drive is expected for it"


def _open(state: IntakeState, ask: Ask, at: Stamp) -> OpenScan:
    one = state.announced[ask.scan]
    stays = (state.stays[name] for name in ask.insertions)
    return OpenScan(one, ask, tuple(_candidate(state, one, stay, at) for stay in stays))


def _candidate(state: IntakeState, one: Scanned, stay: Stay, at: Stamp) -> Candidate:
    why = ""
    if one.label_serial:
        likeness = same_drive(one.label_serial, stay.identity, bridged=stay.bridged)
        why = WHY_NEAR[likeness.why] if isinstance(likeness, Near) else ""
    decision = decide_bind(state, one.scan, stay.insertion, one.by, at)
    return Candidate(stay, why, not isinstance(decision, Refusal))
