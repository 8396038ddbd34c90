"""Whether a label and a drive name the same thing, by rules that are data (label_rules.toml).

A label is read in every way the rules know, and so is what the drive says of itself; a match is a
reading they have in common. Anything less is shown as near, with the reason, and never matched.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TypeAlias

from nullbay.config.intake_rules import LabelRule, LabelRules, Side, label_rules
from nullbay.domain.drive import Drive, DriveIdentity
from nullbay.domain.method import Transport
from nullbay.domain.text import show

LABEL_MAX = 128
EXACT, FOLDED = "exact", "case-and-blanks"
NEAR_SHARED_MIN = 6
"""Fewer common characters say nothing: every drive of a batch begins alike."""
_BLANKS = re.compile(r"\s+")
_LOOKALIKES = str.maketrans({"O": "0", "Q": "0", "D": "0", "I": "1", "L": "1", "S": "5", "B": "8"})


@dataclass(frozen=True, slots=True)
class Match:
    """The label is this drive's, by that rule (`a+b` where the label and the drive needed one)."""

    rule: str


@dataclass(frozen=True, slots=True)
class Near:
    """Perhaps the same, perhaps a neighbour: a person has to look. `candidates` are drive serials.

    `why`: `lookalikes`, `one-character`, `part`, `vendor` (a rule of another vendor would agree) or
    `bridge` (it agrees, but a USB bridge answered for the drive).
    """

    candidates: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Different:
    """Nothing in common that means anything."""


Likeness: TypeAlias = Match | Near | Different


def same_drive(
    label: str,
    identity: DriveIdentity,
    *,
    bridged: bool = False,
    rules: LabelRules | None = None,
) -> Likeness:
    """Compare what a label says with what a drive says. `bridged`: see `is_bridged`."""
    known = rules or label_rules()
    readings = label_readings(label, known)
    spellings = drive_spellings(identity, known)
    shown = (identity.serial.shown or identity.wwn,)
    common = readings.keys() & spellings.keys()
    if common:
        if bridged:
            return Near(shown, "bridge")
        if label == _text(identity.serial.raw):
            return Match(EXACT)
        return Match(min(_joined(readings[text], spellings[text]) for text in common) or FOLDED)
    if readings.keys() & _every_spelling(identity, known):
        return Near(shown, "vendor")
    for mine in readings:
        for theirs in spellings:
            if why := likeness(mine, theirs):
                return Near(shown, why)
    return Different()


def is_bridged(drive: Drive) -> bool:
    """Whether a USB bridge answered for the drive: the drive itself did not answer IDENTIFY."""
    asked = "IDENTIFY" in drive.identity.identify_source
    return drive.observed.transport is Transport.USB and not asked


def folded(text: str) -> str:
    """A serial as it is compared: upper case, without blanks."""
    return _BLANKS.sub("", text[:LABEL_MAX]).upper()


def label_readings(label: str, rules: LabelRules | None = None) -> Mapping[str, str]:
    """Every way to read a label: the folded serial, and by which rule (empty: as it stands)."""
    known = rules or label_rules()
    upper = _BLANKS.sub(" ", label[:LABEL_MAX]).strip().upper()
    found = {folded(upper): ""} if upper else {}
    for rule in known.rules:
        if rule.side is Side.LABEL and (match := rule.form.fullmatch(upper)):
            found.setdefault(folded(match["serial"]), rule.rule_id)
    for rule in known.rules:
        if rule.side is Side.WWN:
            for text, how in list(found.items()):
                if match := rule.form.fullmatch(text):
                    found.setdefault(match["serial"], how)
    return {text: how for text, how in found.items() if text}


def drive_spellings(identity: DriveIdentity, rules: LabelRules | None = None) -> Mapping[str, str]:
    """Every label that would name this drive: folded, and by which rule (empty: as it stands)."""
    return spellings(
        _text(identity.serial.raw),
        identity.wwn,
        show(identity.vendor.raw),
        show(identity.model.raw),
        rules,
    )


def spellings(
    serial: str, wwn: str, vendor: str, model: str, rules: LabelRules | None = None
) -> Mapping[str, str]:
    """As `drive_spellings`, of a drive known by the texts of its record."""
    return dict(_spelled(serial, wwn, vendor, model, rules or label_rules()))


@lru_cache(maxsize=4096)
def _spelled(
    serial: str, wwn: str, vendor: str, model: str, rules: LabelRules
) -> tuple[tuple[str, str], ...]:
    own = folded(serial)
    found = {own: ""} if own else {}
    for rule in rules.rules:
        if rule.side is Side.LABEL or not _holds(rule, vendor, model):
            continue
        given = own if rule.side is Side.SERIAL else folded(wwn)
        if match := rule.form.fullmatch(given):
            found.setdefault(match["serial"], rule.rule_id)
    return tuple(found.items())


def likeness(one: str, other: str) -> str:
    """Why two folded serials that differ are still near; empty where they are not."""
    if min(len(one), len(other)) < NEAR_SHARED_MIN:
        return ""
    if one.translate(_LOOKALIKES) == other.translate(_LOOKALIKES):
        return "lookalikes"
    if _one_character_apart(one, other):
        return "one-character"
    short, long = sorted((one, other), key=len)
    if long.startswith(short) or long.endswith(short):
        return "part"
    return ""


def _one_character_apart(one: str, other: str) -> bool:
    """One character changed, added, left out, or two neighbours swapped."""
    short, long = sorted((one, other), key=len)
    if len(long) - len(short) > 1:
        return False
    start = next(
        (place for place, pair in enumerate(zip(short, long, strict=False)) if pair[0] != pair[1]),
        len(short),
    )
    rest_short, rest_long = short[start:], long[start:]
    if len(short) != len(long):
        return rest_short == rest_long[1:]
    swapped = rest_short[1::-1] + rest_short[2:]
    return rest_short[1:] == rest_long[1:] or swapped == rest_long


def _every_spelling(identity: DriveIdentity, rules: LabelRules) -> set[str]:
    """As `drive_spellings`, whatever vendor the rules are for."""
    serial = folded(_text(identity.serial.raw))
    matches = (rule.form.fullmatch(serial) for rule in rules.rules if rule.side is Side.SERIAL)
    return {match["serial"] for match in matches if match}


def _holds(rule: LabelRule, vendor: str, model: str) -> bool:
    if not rule.vendors and not rule.models:
        return True
    return any(fnmatchcase(vendor.upper(), glob) for glob in rule.vendors) or any(
        fnmatchcase(model.upper(), glob) for glob in rule.models
    )


def _text(raw: bytes) -> str:
    """Bytes that are no UTF-8 stay apart from every text a person can type."""
    return raw.decode("utf-8", "surrogateescape")


def _joined(label_rule: str, drive_rule: str) -> str:
    both = [rule for rule in (label_rule, drive_rule) if rule]
    return "+".join(both)
