"""Days at the bench, drawn at random: whatever people scan and drives do, the promises hold.

Seeds rather than a state machine of Hypothesis: its runs were short and thin, and what goes wrong
here takes two drives, a tag and a pull within one minute.
"""

from __future__ import annotations

import random
from collections import Counter

import pytest

from nullbay.agent.intake.account import account, destroy_queue
from nullbay.agent.intake.pairing import pair
from nullbay.agent.intake.scans import AssetTag, BayScan, LabelSerial
from nullbay.config.aliases import Match, same_drive
from nullbay.domain.ids import BayId, LotRef
from nullbay.domain.intake import NotDetected, RemovalScanned, TagBound
from nullbay.domain.verdict import Verdict
from support.intake import ADA, BAYS, BOB, IntakeBench, identity

# neighbours of one batch, look-alikes, a WD, a Seagate SAS drive, and one without a name
SERIALS = ("Z1X2Y3W4", "Z1X2Y3W5", "Z1X2Y3WO", "Z1X2Y3W0", "K5L6M7N8")
DRIVES = (
    *(identity(serial, wwn=f"5000c500a000000{n}") for n, serial in enumerate(SERIALS)),
    identity("WD-WX31A76R3KFS", kind=(b"", b"WDC WD10JFCX")),
    identity("6SE1ZCSR0000B121LU63", kind=(b"SEAGATE", b"ST12000NM0027")),
    identity(""),
)
LABELS = (*(f"S/N: {serial}" for serial in SERIALS), "WX31A76R3KFS", "S/N: 6SE1ZCSR")
TAGS = ("TAG:INV-1", "TAG:INV-2", "TAG:INV-3", "TAG:INV-4")
TEXTS = (*LABELS, *TAGS, *TAGS, *BAYS)
MANIFEST = "Serial,Tag\nZ1X2Y3W4,INV-1\nWX31A76R3KFS,INV-2\n6SE1ZCSR,\n,INV-3\nMISSING99,INV-9\n"
STEPS = 120


class Day:
    """One station on one day."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.bench = IntakeBench()
        self.bench.open_lot(manifest=MANIFEST)
        self.codes: Counter[str] = Counter()

    def step(self) -> None:
        what = self.draw.choices(
            (self.appears, self.scans, self.works, self.is_pulled, self.time_passes, self.restarts),
            (6, 10, 3, 3, 3, 0.3),
        )[0]
        what()

    def appears(self) -> None:
        here = list(self.bench.state.here())
        empty = sorted(set(BAYS) - {stay.bay for stay in here if stay.bay})
        away = [drive for drive in DRIVES if drive not in [stay.identity for stay in here]]
        if empty:
            bay, drive = self.draw.choice(empty), self.draw.choice(away)
            self.bench.insert(bay, drive, arrived=self.draw.random() < 0.9)

    def scans(self) -> None:
        text = self.draw.choice(TEXTS)
        if not isinstance(self.bench.classify(text), BayScan | AssetTag | LabelSerial):
            return
        answer = self.bench.scan(text, self.draw.choice((ADA, BOB)))
        self.codes[answer.code] += 1
        if answer.label is None:
            assert answer.code not in {"removal.agrees", "removal.again"}
            return
        # a label: for that drive, with the verdict its job came to, and never with an alarm
        assert not answer.alarm
        assert answer.insertion is not None
        stay = self.bench.stay(answer.insertion)
        assert stay.scanned_out
        assert answer.label.verdict == stay.verdict
        assert answer.label.serial == stay.identity.serial.shown

    def works(self) -> None:
        here = list(self.bench.state.here())
        if here:
            verdict = self.draw.choice((None, *Verdict))
            self.bench.work(self.draw.choice(here).insertion, verdict)

    def is_pulled(self) -> None:
        here = list(self.bench.state.here())
        if here:
            self.bench.pull(self.draw.choice(here).insertion)

    def time_passes(self) -> None:
        self.bench.wait(self.draw.choice((1, 20, 61)))

    def restarts(self) -> None:
        self.bench.restart()

    def check(self) -> None:
        state = self.bench.state
        bays = [stay.bay for stay in state.here()]
        assert len(bays) == len(set(bays))
        for stay in state.stays.values():
            if stay.label_serial:
                assert isinstance(same_drive(stay.label_serial, stay.identity), Match)
        settled = [one.scan for one in self.bench.events if isinstance(one, TagBound) and one.scan]
        given_up = [one.scan for one in self.bench.events if isinstance(one, NotDetected)]
        assert len(settled) == len(set(settled))
        assert len(given_up) == len(set(given_up))
        assert not set(settled) & set(given_up)
        assert not {*settled, *given_up} & state.announced.keys()
        for one in self.bench.events:
            if isinstance(one, RemovalScanned) and not one.differs:
                assert one.verdict is not None

    def check_account(self) -> None:
        found = account(self.bench.state, self.bench.state.lots[LotRef("L-1")])
        rows = [row.insertion for row in found.rows if row.insertion]
        assert len(rows) == len(set(rows))
        assert not set(rows) & {stay.insertion for stay in found.surplus}
        assert len(rows) + len(found.surplus) == found.counts["drives"]
        assert all((row.verdict is not None) == (row.state == "done") for row in found.rows)
        queue = destroy_queue(self.bench.state)
        assert all(one.label_serial or one.asset_tag or one.insertion for one in queue)
        assert len({(one.label_serial, one.asset_tag, one.insertion) for one in queue}) == len(
            queue
        )


@pytest.mark.parametrize("seed", range(25))
def test_whatever_happens_in_a_day_the_promises_hold(seed: int) -> None:
    day = Day(seed)
    for number in range(STEPS):
        day.step()
        day.check()
        if number % 5 == 0:
            day.check_account()
    day.bench.check_replay()


def test_the_days_are_full_enough_to_say_something() -> None:
    codes: Counter[str] = Counter()
    for seed in range(25):
        day = Day(seed)
        for _ in range(STEPS):
            day.step()
        codes += day.codes
    assert codes.keys() >= {
        "scan.bay",
        "scan.waiting",
        "scan.bound",
        "scan.known",
        "scan.which",
        "scan.near",
        "scan.other-bay",
        "scan.other-drive",
        "removal.agrees",
        "removal.again",
        "removal.bay-wanted",
        "removal.bay-differs",
        "removal.serial-differs",
        "removal.verdict-differs",
    }, codes


def test_a_drive_comes_and_what_could_be_bound_is_bound() -> None:
    bench = IntakeBench()
    for text in LABELS:
        bench.scan(text)
    for bay, drive in zip(BAYS, DRIVES[3:], strict=False):
        bench.insert(BayId(bay), drive)
        assert pair(bench.state, bench.at).events == ()
    assert all(stay.is_bound for stay in bench.state.here())
