"""A bench for tests of the intake: drives come and go, people scan, time passes as told.

Every event goes through its stored form, and at any moment a replay gives the same state.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from nullbay.agent.intake.flow import Answer, Hand, Scanning, decide_scan
from nullbay.agent.intake.lots import decide_manifest, decide_open
from nullbay.agent.intake.manifest import parse_manifest
from nullbay.agent.intake.pairing import Ask, left_open, overdue, pair
from nullbay.agent.intake.refusal import Refusal
from nullbay.agent.intake.scans import (
    AssetTag,
    BayScan,
    Classified,
    LabelSerial,
    ScanContext,
    classify,
)
from nullbay.agent.intake.state import IntakeState, Stay, fold, fold_all
from nullbay.domain.clock import ClockSync, Stamp
from nullbay.domain.drive import DriveIdentity
from nullbay.domain.ids import BayId, InsertionId, JobId, LotRef
from nullbay.domain.intake import (
    InsertionEnded,
    InsertionOpened,
    ScanId,
    StationEvent,
    WorkEnded,
    WorkStarted,
    event_from_plain,
    event_to_plain,
)
from nullbay.domain.lot import InsertionEnd, Lot, Person
from nullbay.domain.text import RawText
from nullbay.domain.verdict import Verdict

BAYS = tuple(BayId(name) for name in ("A1", "A2", "A3", "B1"))
ADA = Person("operator", "ada")
BOB = Person("operator", "bob")


def moment(seconds: float, boot: str = "boot-1") -> Stamp:
    """That many seconds after the station booted."""
    micro = int(seconds * 1_000_000)
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    at = f"2026-01-05T{6 + hours:02}:{minute:02}:{second:02}.000000Z"
    return Stamp(at, micro, boot, ClockSync.SYNCHRONISED)


def identity(
    serial: bytes | str,
    *,
    kind: tuple[bytes, bytes] = (b"", b"ST4000NM0035"),
    wwn: str = "",
) -> DriveIdentity:
    """A drive that says this of itself; `kind` is vendor and model."""
    raw = serial.encode() if isinstance(serial, str) else serial
    vendor, model = kind
    return DriveIdentity(
        RawText(vendor), RawText(model), RawText(raw), wwn, "", "", "", "IDENTIFY DEVICE (ECh)"
    )


def nobody(_token: str) -> Refusal:
    """No badge is known."""
    return Refusal("person.unknown-badge", "nobody here has this badge")


@dataclass
class IntakeBench:
    """The intake of a station with the bays A1, A2, A3 and B1."""

    state: IntakeState = field(default_factory=IntakeState)
    now_s: float = 100.0
    events: list[StationEvent] = field(default_factory=list)
    asks: tuple[Ask, ...] = ()
    hands: dict[str, Hand] = field(default_factory=dict)
    audit_hold: frozenset[InsertionId] = frozenset()
    _count: int = 0

    @property
    def at(self) -> Stamp:
        return moment(self.now_s)

    def keep(self, *events: StationEvent) -> None:
        for event in events:
            stored = json.loads(json.dumps(event_to_plain(event)))
            assert event_from_plain(stored) == event
            self.events.append(event)
            self.state = fold(self.state, event)

    def check_replay(self) -> None:
        assert fold_all(self.events) == self.state

    def wait(self, seconds: float) -> None:
        self.now_s += seconds
        self.keep(*overdue(self.state, self.at, moment(0)))

    def open_lot(self, reference: str = "L-1", *bays: str, manifest: str = "") -> None:
        lot = Lot(LotRef(reference))
        opened = decide_open(self.state, lot, [BayId(b) for b in bays], BAYS, ADA, self.at)
        assert not isinstance(opened, Refusal), opened
        self.keep(opened)
        if manifest:
            self.take_manifest(manifest, reference)

    def take_manifest(self, text: str, reference: str = "L-1") -> None:
        read = parse_manifest(text.encode(), "manifest.csv")
        taken = decide_manifest(self.state, reference, read, ADA, self.at)
        assert not isinstance(taken, Refusal), (taken, read.problems)
        self.keep(taken)

    def insert(
        self,
        bay: str,
        drive: DriveIdentity | str,
        *,
        arrived: bool = True,
        bridged: bool = False,
    ) -> InsertionId:
        """A drive appears in a bay; whatever that settles is bound."""
        self._count += 1
        insertion = InsertionId(f"i-{self._count}")
        one = identity(drive) if isinstance(drive, str) else drive
        lot = self.state.active_lot(BayId(bay))
        reference = None if lot is None else lot.lot.reference
        self.keep(InsertionOpened(insertion, BayId(bay), one, reference, arrived, bridged, self.at))
        paired = pair(self.state, self.at)
        self.keep(*paired.events)
        self.asks = paired.asks
        return insertion

    def pull(self, insertion: InsertionId, cause: InsertionEnd = InsertionEnd.REMOVED) -> None:
        self.keep(InsertionEnded(insertion, cause, self.at))

    def work(self, insertion: InsertionId, verdict: Verdict | None = None) -> JobId:
        job = JobId(f"j-{insertion}")
        self.keep(WorkStarted(insertion, job, self.at))
        if verdict is not None:
            self.keep(WorkEnded(insertion, job, verdict, self.at))
        return job

    def restart(self) -> None:
        """The station was killed and is back: nobody saw what happened to the drives."""
        self.keep(*left_open(self.state, self.at))

    def classify(self, text: str) -> Classified:
        return classify(text, ScanContext(BAYS, self.state, nobody))

    def scan(self, text: str, by: Person = ADA) -> Answer:
        """Somebody scans; what it was taken for has to be a bay, a tag or a label."""
        what = self.classify(text)
        assert isinstance(what, BayScan | AssetTag | LabelSerial), what
        self._count += 1
        hand = self.hands.get(by.person_id, Hand())
        fresh = ScanId(f"s-{self._count}")
        around = Scanning(self.state, hand, by, self.at, fresh, self.audit_hold)
        decision = decide_scan(what, around)
        self.hands[by.person_id] = decision.hand
        self.keep(*decision.events)
        assert decision.answer.message.isprintable()
        return decision.answer

    def stay(self, insertion: InsertionId) -> Stay:
        return self.state.stays[insertion]

    def bound(self, insertion: InsertionId) -> tuple[str, str, str]:
        """Asset tag, label serial and rule."""
        stay = self.stay(insertion)
        return stay.asset_tag, stay.label_serial, stay.rule
