"""What a scan is: a badge, a bay, an asset tag or a label serial. Ambiguity is said, never guessed.

A scanner is a keyboard: anything may come. A badge is looked for first, and its text goes no
further. Then everything that could explain the text is collected: bays, manifests of active lots,
drives that are here, drives announced. One explanation is taken, several are told; where there is
none, the form decides (label_rules.toml), and where that cannot either, the text is asked about.
Prefixes say it outright: `BAY:A1`, `TAG:12345`, `S/N: Z1X2Y3W4`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from nullbay.agent.intake.refusal import Refusal
from nullbay.agent.intake.state import IntakeState
from nullbay.config.aliases import LABEL_MAX, Different, folded, label_readings, same_drive
from nullbay.config.intake_rules import label_rules
from nullbay.config.settings import Operator
from nullbay.domain.ids import BayId
from nullbay.domain.intake import Scanned
from nullbay.domain.text import show

TAG_MAX = 64
_BAY_PREFIX = re.compile(r"BAY[:# ] ?(?P<bay>.+)", re.IGNORECASE)
_TAG_PREFIX = re.compile(r"(?:TAG|ASSET(?: TAG)?|INV(?:ENTAR)?)[:#] ?(?P<tag>.+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Badge:
    """Somebody's badge: who it is, or why not. The text itself is not kept."""

    holder: Operator | Refusal


@dataclass(frozen=True, slots=True)
class BayScan:
    """The label of a bay."""

    bay: BayId


@dataclass(frozen=True, slots=True)
class AssetTag:
    """The organization's label on a drive."""

    tag: str


@dataclass(frozen=True, slots=True)
class LabelSerial:
    """The serial on a drive's own label, as scanned."""

    serial: str


@dataclass(frozen=True, slots=True)
class Unclear:
    """It could be several things: `could_be` are `bay`, `tag`, `serial`; a person has to say."""

    text: str
    could_be: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nothing that can be scanned here; `why` is empty, too-long or unreadable."""

    why: str


Classified: TypeAlias = Badge | BayScan | AssetTag | LabelSerial | Unclear | Unknown


@dataclass(frozen=True, slots=True)
class ScanContext:
    """What a scan is compared with. `badge` is `People.identify_badge`."""

    bays: Collection[BayId]
    state: IntakeState
    badge: Callable[[str], Operator | Refusal]


def classify(text: str, context: ScanContext) -> Classified:
    """What the text is, in this context. Never raises."""
    given = text.strip()
    if not given:
        return Unknown("empty")
    holder = context.badge(given)
    if not isinstance(holder, Refusal) or holder.code != "person.unknown-badge":
        return Badge(holder)
    if len(given) > LABEL_MAX:
        return Unknown("too-long")
    if not given.isprintable():
        return Unknown("unreadable")
    if outright := _outright(given, context):
        return outright
    could_be = []
    bay = _bay(given, context)
    if bay is not None:
        could_be.append("bay")
    if _is_known_tag(given, context.state):
        could_be.append("tag")
    if _is_known_serial(given, context.state):
        could_be.append("serial")
    match could_be:
        case ["bay"] if bay is not None:
            return BayScan(bay)
        case ["tag"]:
            return AssetTag(given)
        case ["serial"]:
            return LabelSerial(given)
        case []:
            return _by_form(given)
        case _:
            return Unclear(show(given), tuple(could_be))


def _outright(given: str, context: ScanContext) -> Classified | None:
    """What the text itself says it is; None where it says nothing."""
    if match := _BAY_PREFIX.fullmatch(given):
        bay = _bay(match["bay"].strip(), context)
        if bay is not None:
            return BayScan(bay)
    if match := _TAG_PREFIX.fullmatch(given):
        tag = match["tag"].strip()
        return AssetTag(tag) if 0 < len(tag) <= TAG_MAX else Unknown("too-long")
    if len(label_readings(given)) > 1:
        return LabelSerial(given)
    return None


def _bay(given: str, context: ScanContext) -> BayId | None:
    return next((bay for bay in context.bays if bay.casefold() == given.casefold()), None)


def _is_known_tag(given: str, state: IntakeState) -> bool:
    return (
        any(given in lot.by_tag for lot in state.lots.values() if lot.active)
        or any(stay.asset_tag == given for stay in state.stays.values())
        or any(one.asset_tag == given for one in _scanned(state))
    )


def _is_known_serial(given: str, state: IntakeState) -> bool:
    """A near miss counts: nothing but a serial is almost a serial."""
    readings = label_readings(given)
    if any(
        reading in lot.by_serial
        for lot in state.lots.values()
        if lot.active
        for reading in readings
    ):
        return True
    for stay in state.stays.values():
        if stay.label_serial and readings.keys() & label_readings(stay.label_serial).keys():
            return True
        if not isinstance(same_drive(given, stay.identity, bridged=stay.bridged), Different):
            return True
    return any(
        one.label_serial and readings.keys() & label_readings(one.label_serial).keys()
        for one in _scanned(state)
    )


def _scanned(state: IntakeState) -> Iterator[Scanned]:
    """Announcements that wait, and those whose drive never came."""
    yield from state.announced.values()
    yield from state.not_detected.values()


def _by_form(given: str) -> Classified:
    rules = label_rules()
    if any(form.fullmatch(folded(given)) for form in rules.serial_forms):
        return LabelSerial(given)
    if len(given) < rules.tag_below_characters:
        return AssetTag(given)
    could_be = ("serial", "tag") if len(given) <= TAG_MAX else ("serial",)
    return Unclear(show(given), could_be)
