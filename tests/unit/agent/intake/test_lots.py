"""Lots, their manifests, and what the account says: matched, missing, surplus, near."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nullbay.agent.intake.account import Account, account, destroy_queue
from nullbay.agent.intake.lots import decide_close, decide_manifest, decide_open
from nullbay.agent.intake.manifest import parse_manifest
from nullbay.agent.intake.refusal import Refusal
from nullbay.agent.intake.state import IntakeState, fold
from nullbay.domain.errors import MalformedError, UnknownSchemaError
from nullbay.domain.ids import BayId, InsertionId, JobId, LotRef
from nullbay.domain.intake import (
    InsertionEnded,
    LotClosed,
    LotOpened,
    NotDetected,
    ScanId,
    WorkStarted,
    event_from_plain,
    event_to_plain,
)
from nullbay.domain.lot import InsertionEnd, Lot
from nullbay.domain.verdict import Verdict
from support.intake import ADA, BAYS, IntakeBench, identity, moment

EIGHT = "".join(f"Z1X2Y{n}W{n},INV-{n}\n" for n in range(1, 9))
MANIFEST = "Serial,Tag\n" + EIGHT


def opened(state: IntakeState, lot: Lot, *bays: str) -> LotOpened | Refusal:
    return decide_open(state, lot, [BayId(bay) for bay in bays], BAYS, ADA, moment(1))


def code(answer: object) -> str:
    assert isinstance(answer, Refusal), answer
    return answer.code


def of(bench: IntakeBench, reference: str = "L-1") -> Account:
    bench.check_replay()
    return account(bench.state, bench.state.lots[LotRef(reference)])


def states(bench: IntakeBench, reference: str = "L-1") -> list[str]:
    return [row.state.value for row in of(bench, reference).rows]


# --- opening and closing -------------------------------------------------------------------------


def test_lots_for_different_bays_are_active_side_by_side() -> None:
    bench = IntakeBench()
    bench.open_lot("L-A", "A1", "A2")
    bench.open_lot("L-B", "B1")

    def active(bay: str) -> str | None:
        lot = bench.state.active_lot(BayId(bay))
        return None if lot is None else lot.lot.reference

    assert [active(bay) for bay in BAYS] == ["L-A", "L-A", None, "L-B"]
    bench.check_replay()


@pytest.mark.parametrize(
    ("first", "second"), [(("A1",), ("A2", "A1")), ((), ("A1",)), (("A1",), ()), ((), ())]
)
def test_lots_that_overlap_are_refused(first: tuple[str, ...], second: tuple[str, ...]) -> None:
    bench = IntakeBench()
    bench.open_lot("L-A", *first)
    assert code(opened(bench.state, Lot(LotRef("L-B")), *second)) == "lot.overlaps"
    closed = decide_close(bench.state, "L-A", ADA, moment(2))
    assert isinstance(closed, LotClosed)
    bench.keep(closed)
    assert isinstance(opened(bench.state, Lot(LotRef("L-B")), *second), LotOpened)


def test_what_cannot_be_opened_or_closed_says_why() -> None:
    bench = IntakeBench()
    bench.open_lot("L-A", "A1")
    state = bench.state
    assert code(opened(state, Lot(LotRef("L-A")), "B1")) == "lot.active"
    assert code(opened(state, Lot(LotRef("L-B")), "Z9")) == "lot.bay-unknown"
    for reference in ("", "x" * 121, "a\nb"):
        assert code(opened(state, Lot(LotRef(reference)), "B1")) == "lot.reference"
    assert code(decide_close(state, "L-X", ADA, moment(2))) == "lot.unknown"
    bench.keep(LotClosed(LotRef("L-A"), ADA, moment(2)))
    assert code(decide_close(bench.state, "L-A", ADA, moment(2))) == "lot.closed"
    assert code(opened(bench.state, Lot(LotRef("L-A"), "Another customer"))) == "lot.differs"
    reopened = opened(bench.state, Lot(LotRef("L-A")), "B1")
    assert isinstance(reopened, LotOpened)


def test_a_lot_opened_again_keeps_its_account() -> None:
    bench = IntakeBench()
    bench.open_lot(manifest=MANIFEST)
    bench.insert("A1", "Z1X2Y1W1")
    bench.keep(LotClosed(LotRef("L-1"), ADA, bench.at))
    assert bench.state.active_lot(BayId("A1")) is None
    bench.open_lot("L-1", "A2")
    assert states(bench)[0] == "received"
    assert bench.state.lots[LotRef("L-1")].bays == (BayId("A2"),)


def test_a_manifest_is_for_an_active_lot_and_without_problems() -> None:
    bench = IntakeBench()
    good, bad = parse_manifest(MANIFEST.encode()), parse_manifest(b"Serial\n")
    assert code(decide_manifest(bench.state, "L-1", good, ADA, moment(1))) == "lot.unknown"
    bench.open_lot()
    assert code(decide_manifest(bench.state, "L-1", bad, ADA, moment(1))) == "manifest.problems"
    bench.keep(LotClosed(LotRef("L-1"), ADA, moment(2)))
    assert code(decide_manifest(bench.state, "L-1", good, ADA, moment(3))) == "lot.closed"


# --- the account ---------------------------------------------------------------------------------


def test_a_row_goes_from_missing_to_done() -> None:
    bench = IntakeBench()
    bench.open_lot(manifest=MANIFEST)
    assert states(bench) == ["missing"] * 8
    bench.scan("S/N: Z1X2Y1W1")
    assert states(bench)[0] == "scanned"
    drive = bench.insert("A1", "Z1X2Y1W1")
    assert states(bench)[0] == "received"
    bench.work(drive)
    assert states(bench)[0] == "working"
    bench.work(drive, Verdict.SANITIZED)
    bench.pull(drive)
    row = of(bench).rows[0]
    assert (row.state, row.verdict, row.insertion) == ("done", Verdict.SANITIZED, drive)


def test_matched_missing_surplus_and_not_detected_are_counted() -> None:
    bench = IntakeBench()
    bench.open_lot(manifest=MANIFEST)
    for number, bay in ((1, "A1"), (2, "A2")):
        bench.work(bench.insert(bay, f"Z1X2Y{number}W{number}"), Verdict.SANITIZED)
    bench.work(bench.insert("A3", "Z1X2Y3W3"), Verdict.NOT_SANITIZED)
    bench.insert("B1", "QQQQQQQQ")
    bench.scan("S/N: Z1X2Y4W4")
    bench.wait(60)
    bench.scan("INV-5")
    found = of(bench)
    assert found.counts == {
        "expected": 8,
        "missing": 3,
        "scanned": 1,
        "received": 0,
        "working": 0,
        "done": 3,
        "not-detected": 1,
        "surplus": 1,
        "drives": 4,
        "SANITIZED": 2,
        "SANITIZED_WITH_EXCEPTIONS": 0,
        "NOT_SANITIZED": 1,
        "INDETERMINATE": 0,
    }
    assert [stay.identity.serial.shown for stay in found.surplus] == ["QQQQQQQQ"]
    assert [one.reason.value for one in destroy_queue(bench.state)] == [
        "not-detected",
        "not-sanitized",
    ]


def test_a_row_is_matched_by_the_alias_rules() -> None:
    bench = IntakeBench()
    bench.open_lot(manifest="Serial\nWX31A76R3KFS\n6SE1ZCSR\n")
    bench.insert("A1", identity("WD-WX31A76R3KFS", kind=(b"", b"WDC WD10JFCX")))
    bench.insert("A2", identity("6SE1ZCSR0000B121LU63", kind=(b"SEAGATE", b"")))
    assert states(bench) == ["received", "received"]
    assert of(bench).surplus == ()


def test_near_misses_are_shown_beside_the_row_and_never_matched() -> None:
    bench = IntakeBench()
    bench.open_lot(manifest="Serial\nZ1X2Y3W0\nK5L6M7N8\n")
    bench.insert("A1", "Z1X2Y3WO")
    found = of(bench)
    assert [row.state.value for row in found.rows] == ["missing", "missing"]
    assert [row.near for row in found.rows] == [("Z1X2Y3WO (lookalikes)",), ()]
    assert len(found.surplus) == 1


def test_a_row_without_a_serial_is_matched_by_its_tag() -> None:
    bench = IntakeBench()
    bench.open_lot(manifest="Serial,Tag\n,INV-1\nK5L6M7N8,INV-2\n")
    bench.scan("INV-1")
    drive = bench.insert("A1", "Z1X2Y3W4")
    assert bench.bound(drive)[0] == "INV-1"
    assert states(bench) == ["received", "missing"]


def test_a_tag_does_not_make_up_for_another_serial() -> None:
    bench = IntakeBench()
    bench.open_lot(manifest="Serial,Tag\nK5L6M7N8,INV-2\n")
    drive = bench.insert("A1", "Z1X2Y3W4")
    bench.scan("S/N: Z1X2Y3W4")
    bench.scan("INV-2")
    assert bench.bound(drive)[0] == "INV-2"
    (row,) = of(bench).rows
    assert (row.state.value, row.near) == ("missing", ("Z1X2Y3W4 (same asset tag)",))


def test_another_tag_than_expected_is_shown() -> None:
    bench = IntakeBench()
    bench.open_lot(manifest="Serial,Tag\nZ1X2Y3W4,INV-1\n")
    bench.insert("A1", "Z1X2Y3W4")
    bench.scan("S/N: Z1X2Y3W4")
    bench.scan("TAG:INV-9")
    (row,) = of(bench).rows
    assert (row.state.value, row.near) == ("received", ("INV-9 (another asset tag)",))


def test_two_drives_that_claim_one_row_are_both_in_doubt() -> None:
    bench = IntakeBench()
    bench.open_lot(manifest="Serial\nZ1X2Y3W4\n")
    bench.insert("A1", identity("Z1X2Y3W4", wwn="5000c500a0000001"))
    bench.insert("A2", identity("Z1X2Y3W4", wwn="5000c500a0000002"))
    (row,) = of(bench).rows
    assert row.state.value == "missing"
    assert row.near[:2] == ("Z1X2Y3W4 (two drives claim it)",) * 2


def test_a_drive_put_back_is_still_one_drive_and_keeps_what_it_left_with() -> None:
    bench = IntakeBench()
    bench.open_lot(manifest="Serial,Tag\nZ1X2Y3W4,INV-1\n")
    bench.scan("INV-1")
    first = bench.insert("A1", "Z1X2Y3W4")
    bench.work(first, Verdict.NOT_SANITIZED)
    bench.pull(first)
    again = bench.insert("A2", "Z1X2Y3W4")
    found = of(bench)
    assert found.counts["drives"] == 1
    assert (found.rows[0].insertion, found.rows[0].verdict) == (again, Verdict.NOT_SANITIZED)
    assert len(destroy_queue(bench.state)) == 1
    bench.work(again)
    assert states(bench) == ["working"]
    assert destroy_queue(bench.state) == ()
    bench.work(again, Verdict.SANITIZED)
    assert of(bench).rows[0].verdict is Verdict.SANITIZED
    assert destroy_queue(bench.state) == ()


def test_a_drive_behind_a_bridge_is_matched_by_its_bound_label_only() -> None:
    bench = IntakeBench()
    bench.open_lot(manifest="Serial,Tag\nZ1X2Y3W4,INV-1\n")
    bench.insert("A1", identity("Z1X2Y3W4"), bridged=True)
    assert states(bench) == ["missing"]


def test_without_a_manifest_nothing_is_missing_and_nothing_surplus() -> None:
    bench = IntakeBench()
    bench.open_lot()
    bench.insert("A1", "Z1X2Y3W4")
    found = of(bench)
    assert (found.rows, found.surplus) == ((), ())
    assert found.counts["drives"] == 1


def test_a_drive_belongs_to_the_lot_that_was_active_when_it_came() -> None:
    bench = IntakeBench()
    bench.open_lot("L-A", "A1", manifest="")
    bench.take_manifest("Serial\nZ1X2Y3W4\n", "L-A")
    bench.open_lot("L-B", "B1")
    bench.take_manifest("Serial\nZ1X2Y3W4\n", "L-B")
    bench.insert("B1", "Z1X2Y3W4")
    assert states(bench, "L-A") == ["missing"]
    assert states(bench, "L-B") == ["received"]


def test_a_later_manifest_takes_the_place_of_the_earlier() -> None:
    bench = IntakeBench()
    bench.open_lot(manifest=MANIFEST)
    bench.insert("A1", "Z1X2Y1W1")
    bench.take_manifest("Serial\nZ1X2Y1W1\n")
    assert states(bench) == ["received"]


def test_a_hundred_thousand_rows_and_a_full_rack_are_reconciled() -> None:
    bench = IntakeBench()
    rows = "".join(f"Z{number:07}\n" for number in range(100_000))
    bench.open_lot(manifest="Serial\n" + rows)
    bench.insert("A1", "Z0000007")
    bench.insert("A2", "QQQQQQQQ")
    found = of(bench)
    assert (found.counts["received"], found.counts["surplus"]) == (1, 1)
    assert found.rows[7].state.value == "received"


# --- the fold ------------------------------------------------------------------------------------


def test_events_about_what_nobody_knows_change_nothing() -> None:
    bench = IntakeBench()
    bench.open_lot()
    for event in (
        LotClosed(LotRef("L-9"), ADA, moment(1)),
        InsertionEnded(InsertionId("i-9"), InsertionEnd.REMOVED, moment(1)),
        WorkStarted(InsertionId("i-9"), JobId("j-9"), moment(1)),
        NotDetected(ScanId("s-9"), moment(1)),
    ):
        assert fold(bench.state, event) == bench.state


def test_a_stored_event_of_another_schema_or_kind_is_refused() -> None:
    plain = event_to_plain(NotDetected(ScanId("s-1"), moment(1)))
    assert plain["schema"] == "nullbay.station-event/1"
    with pytest.raises(UnknownSchemaError):
        event_from_plain({**plain, "schema": "nullbay.station-event/2"})
    with pytest.raises(MalformedError):
        event_from_plain({**plain, "event": {**plain["event"], "kind": "lot-burned"}})


def test_an_earlier_state_is_not_changed_by_a_later_event() -> None:
    bench = IntakeBench()
    bench.open_lot(manifest=MANIFEST)
    before = bench.state
    kept = replace(before)
    bench.insert("A1", "Z1X2Y1W1")
    assert before == kept
    assert not before.stays
