"""Opening and closing lots, taking manifests: what is allowed, decided from the state alone."""

from __future__ import annotations

from collections.abc import Collection

from nullbay.agent.intake.manifest import Manifest
from nullbay.agent.intake.refusal import Refusal
from nullbay.agent.intake.state import IntakeState, LotState
from nullbay.domain.clock import Stamp
from nullbay.domain.ids import BayId
from nullbay.domain.intake import LotClosed, LotOpened, ManifestTaken
from nullbay.domain.lot import Lot, Person
from nullbay.domain.text import show

REFERENCE_MAX = 120


def decide_open(
    state: IntakeState,
    lot: Lot,
    bays: Collection[BayId],
    known: Collection[BayId],
    by: Person,
    at: Stamp,
) -> LotOpened | Refusal:
    """Make a lot active for `bays`, for all `known` ones without any.

    Refused: a reference that is none, bays that are not known, bays that another active lot holds,
    a lot that is active already, or one that was here under the same reference with other facts.
    """
    if not 0 < len(lot.reference) <= REFERENCE_MAX or not lot.reference.isprintable():
        text = f"a lot needs a reference of 1 to {REFERENCE_MAX} printable characters"
        return Refusal("lot.reference", text)
    unknown = sorted(set(bays) - set(known))
    if unknown:
        return Refusal(
            "lot.bay-unknown",
            f"no bay is called {show(unknown[0])}",
            "Choose from the bays of this station",
        )
    earlier = state.lots.get(lot.reference)
    if earlier is not None and earlier.active:
        return Refusal("lot.active", f"lot {show(lot.reference)} is active already")
    if earlier is not None and earlier.lot != lot:
        return Refusal(
            "lot.differs",
            f"lot {show(lot.reference)} was here before with another customer, category or site",
            "Open it as it was, or under another reference",
        )
    for other in state.lots.values():
        if shared := _shared(other, bays, known):
            return Refusal(
                "lot.overlaps",
                f"lot {show(other.lot.reference)} is active for bay {shared}",
                "Close it first, or leave that bay out",
            )
    return LotOpened(lot, tuple(sorted(set(bays))), by, at)


def _shared(other: LotState, bays: Collection[BayId], known: Collection[BayId]) -> str:
    """A bay that the other lot holds and this one wants; empty where there is none."""
    if not other.active:
        return ""
    if not bays and not other.bays:
        return "every one"
    held, wanted = set(other.bays or known), set(bays or known)
    return min(held & wanted, default="")


def decide_close(state: IntakeState, reference: str, by: Person, at: Stamp) -> LotClosed | Refusal:
    """Take no more drives into a lot. Those in its bays go on and stay in its account."""
    lot = _lot(state, reference)
    if lot is None:
        return _unknown(reference)
    if not lot.active:
        return Refusal("lot.closed", f"lot {show(reference)} is closed already")
    return LotClosed(lot.lot.reference, by, at)


def decide_manifest(
    state: IntakeState, reference: str, manifest: Manifest, by: Person, at: Stamp
) -> ManifestTaken | Refusal:
    """Take a manifest that has no problem for an active lot, in place of an earlier one."""
    lot = _lot(state, reference)
    if lot is None:
        return _unknown(reference)
    if not lot.active:
        return Refusal(
            "lot.closed", f"lot {show(reference)} is closed", "Open it again to take a manifest"
        )
    if manifest.problems:
        count = len(manifest.problems)
        return Refusal(
            "manifest.problems",
            f"the file has {count} problem{'' if count == 1 else 's'} and was not taken",
            "Mend the file; every problem is told with its line",
        )
    return ManifestTaken(lot.lot.reference, manifest.name, manifest.sha256, manifest.rows, by, at)


def _lot(state: IntakeState, reference: str) -> LotState | None:
    return next(
        (lot for known, lot in state.lots.items() if known == reference),
        None,
    )


def _unknown(reference: str) -> Refusal:
    return Refusal("lot.unknown", f"no lot is called {show(reference)}", "Open it first")
