"""Records to print, awkward and changed ones among them, and what tools read in the PDF."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from nullbay.domain.drive import Health, HiddenArea, HiddenState
from nullbay.domain.ids import LotRef
from nullbay.domain.lot import DataCategory, Destination, Lot, Person
from nullbay.domain.outcome import Content, JobEvidence, Mismatch, OutcomeKind, SectorList
from nullbay.domain.patterns import Keyed, Pattern, Repeat
from nullbay.domain.text import RawText
from support.evidence_factory import Certified, certify, good_evidence, unit

MARKUP = (
    '#set page(fill: red)[*b* _i_] $x^2$ #panic("x") #import "x" // /* @x <l> `c` \\u{41} ```r``` '
)
ESCAPES = "\x1b[31m\x07\r\n\x00\x9b2J"
REORDERING = "\u202egnirts\u202c \u2066x\u2069 \u200f"
FOREIGN = "\u05d0\u05d1 \u0627\u0628 \u65e5\u672c \U0001f4a9 \ufb01 e\u0301"
HOSTILE = {
    "markup": (MARKUP * 3)[:200],
    "escapes": (ESCAPES + "S3RIAL") * 10,
    "reordering": REORDERING * 8,
    "foreign": FOREIGN * 8,
    "long": "W" * 200,
    "shell": "$(reboot); `reboot` && reboot | sh > /dev/sda",
    "quotes": "\"'\"'}{)(][,;:",
}


def rewritten(made: Certified, change: Callable[[dict[str, Any]], object]) -> bytes:
    """The bundle with another statement inside; its signature no longer fits, form alone does."""
    file = json.loads(made.bundle)
    statement = json.loads(made.payload)
    change(statement["predicate"])
    payload = json.dumps(statement, ensure_ascii=False).encode()
    file["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
    return json.dumps(file).encode()


def hostile(text: str) -> Certified:
    """A good record in which every text of the drive and of people is this one."""
    good = good_evidence(serial=text)
    who = replace(good.identity, vendor=RawText.of(text), model=RawText.of(text))
    start = replace(good.observed_start, firmware=RawText.of(text), media_source=text)
    lot = Lot(LotRef(text), text, text, text, text, DataCategory.HIGH, Destination.LEAVING)
    evidence = replace(
        good,
        identity=who,
        plan=replace(good.plan, identity_key=who.key, scheme_id=text),
        sessions=tuple(
            replace(one, identity_start=who.key, identity_end=who.key) for one in good.sessions
        ),
        observed_start=start,
    )
    return certify(
        evidence,
        organization=text,
        lot=lot,
        asset_tag=text,
        label_serial=text + "x",
        destination=text,
        people=(Person(text, text, text), Person("operator", text)),
    )


def extreme() -> Certified:
    """Two units, 35 passes on each, everything wrong, every list and every text long."""
    patterns: tuple[Pattern, ...] = tuple(
        Keyed() if position < 4 or position > 30 else Repeat(bytes([position]) * 3)
        for position in range(35)
    )
    units = (
        unit(4_000_787_030_016, unit_id="lun:0"),
        unit(4_000_787_030_016, 4096, unit_id="lun:1"),
    )
    evidence = good_evidence(units=units, patterns=patterns, serial=HOSTILE["markup"])
    return certify(
        _everything_wrong(evidence),
        organization="W" * 200,
        lot=Lot(
            LotRef("L" * 200),
            "M" * 200,
            "W " * 100,
            "Q" * 200,
            "w" * 200,
            DataCategory.HIGH,
            Destination.NOT_REUSED,
        ),
        asset_tag=HOSTILE["long"],
        label_serial=HOSTILE["foreign"],
        destination="D" * 200,
        people=tuple(Person("R" * 200, f"{n}" + "i" * 150, "title " * 30) for n in range(30)),
    )


def _everything_wrong(good: JobEvidence) -> JobEvidence:
    who = replace(good.identity, model=RawText.of("W" * 200), vendor=RawText.of("W" * 200))
    last = good.outcomes[-1]
    assert last.verification is not None
    found = tuple(
        Mismatch(7_812_000_000 + 17 * n, n, list(Content)[n % 6], f"{n:064x}") for n in range(64)
    )
    differing = replace(
        last.verification,
        mismatched=123_456,
        mismatches=found,
        unreadable=SectorList(3000, tuple(range(900_000, 900_064))),
    )
    failed = replace(
        good.outcomes[0],
        kind=OutcomeKind.FAILED,
        codes=("write.unwritable-sector", "drive.error"),
        unwritable=SectorList(1000, tuple(range(800_000, 800_064))),
    )
    health = Health(5, 3, 9, 130, 60, 31_877)
    areas = tuple(
        HiddenArea(f"area{n}", list(HiddenState)[n % 4], 10**12 * (n % 4 == 1), "x" * 80)
        for n in range(8)
    )
    assert good.observed_end is not None
    return replace(
        good,
        identity=who,
        serial_shared=True,
        plan=replace(
            good.plan,
            identity_key=who.key,
            limitations=(
                "limit.spare-areas",
                "limit.translation-layer",
                "limit.virtual-medium",
                "limit.no-fua",
                "limit.deallocated-afterwards",
            ),
        ),
        sessions=tuple(
            replace(one, identity_start=who.key, identity_end=who.key) for one in good.sessions
        ),
        observed_start=replace(good.observed_start, health=health, hidden_areas=areas),
        observed_end=replace(good.observed_end, health=replace(health, reallocated_sectors=9)),
        outcomes=(
            failed,
            *good.outcomes[1:-1],
            replace(last, verification=differing),
        ),
    )


def simulated() -> Certified:
    """A good record of a drive made of software, signed by demo keys."""
    good = good_evidence(simulated=True)
    read = good.outcomes[-1].verification
    assert read is not None
    outcome = replace(good.outcomes[-1], verification=replace(read, reads="simulated"))
    return certify(replace(good, outcomes=(*good.outcomes[:-1], outcome)))


def pdf_text(path: Path, first: int = 1, last: int = 0, *, layout: bool = False) -> str:
    """What pdftotext reads on these pages; without `layout`, in reading order."""
    command = ["pdftotext", "-q", "-f", str(first), *(["-l", str(last)] if last else [])]
    command += ["-layout"] if layout else []
    done = subprocess.run([*command, path, "-"], check=True, capture_output=True)
    return done.stdout.decode("utf-8")


def joined(text: str) -> str:
    """Text without any blanks: line breaks inside a long word do not matter."""
    return re.sub(r"\s+", "", text)


def pdf_facts(path: Path) -> dict[str, str]:
    """What pdfinfo says."""
    done = subprocess.run(["pdfinfo", path], check=True, capture_output=True, text=True)
    return {
        name.strip(): value.strip()
        for name, _, value in (line.partition(":") for line in done.stdout.splitlines())
    }
