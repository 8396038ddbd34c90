"""The intake's rules at the bench, one by one (bench.md, Lots, labels, people; verdicts.md 3)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nullbay.agent.intake.account import destroy_queue
from nullbay.agent.intake.flow import Hand
from nullbay.agent.intake.pairing import decide_bind, decide_withdraw, overdue, pair
from nullbay.agent.intake.refusal import Refusal
from nullbay.agent.intake.removal import decide_removal
from nullbay.domain.ids import BayId, InsertionId, LotRef
from nullbay.domain.intake import (
    InsertionOpened,
    LotClosed,
    NotDetected,
    RemovalScanned,
    ScanId,
    TagBound,
)
from nullbay.domain.lot import InsertionEnd, Person
from nullbay.domain.status import Action
from nullbay.domain.verdict import Verdict
from support.intake import ADA, BOB, IntakeBench, identity, moment

S1, S2, S3 = "Z1X2Y3W4", "Q7R8T9V2", "K5L6M7N8"
TAG = "TAG:INV-1001"


@pytest.fixture
def bench() -> Iterator[IntakeBench]:
    made = IntakeBench()
    yield made
    made.check_replay()


# --- intake: scan first ------------------------------------------------------------------------


def test_a_scanned_label_binds_the_drive_that_then_appears(bench: IntakeBench) -> None:
    assert bench.scan(f"S/N: {S1}").code == "scan.waiting"
    bench.wait(30)
    drive = bench.insert("A1", S1)
    assert bench.bound(drive) == ("", f"S/N: {S1}", "serial-words")
    assert not bench.state.announced
    bench.wait(60)
    assert not bench.state.not_detected


def test_label_and_tag_are_one_drive_in_either_order(bench: IntakeBench) -> None:
    bench.scan(TAG)
    bench.scan(f"S/N: {S1}")
    bench.scan(f"S/N: {S2}")
    bench.scan("TAG:INV-1002")
    assert len(bench.state.announced) == 2
    second, first = bench.insert("A2", S2), bench.insert("A1", S1)
    assert bench.bound(first)[:2] == ("INV-1001", f"S/N: {S1}")
    assert bench.bound(second)[:2] == ("INV-1002", f"S/N: {S2}")


def test_scans_of_two_people_are_two_drives(bench: IntakeBench) -> None:
    bench.scan(TAG, ADA)
    bench.scan(f"S/N: {S1}", BOB)
    assert len(bench.state.announced) == 2


def test_a_tag_and_a_label_far_apart_in_time_are_two_drives(bench: IntakeBench) -> None:
    bench.scan(TAG)
    bench.now_s += 61
    bench.scan(f"S/N: {S1}")
    assert len(bench.state.announced) == 2


def test_a_label_waits_for_its_own_drive_whatever_else_arrives(bench: IntakeBench) -> None:
    bench.scan(f"S/N: {S1}")
    other = bench.insert("A1", S2)
    assert not bench.stay(other).is_bound
    assert bench.asks == ()
    mine = bench.insert("A2", S1)
    assert bench.bound(mine)[1] == f"S/N: {S1}"


def test_a_tag_alone_binds_only_where_nothing_else_could_be_meant(bench: IntakeBench) -> None:
    assert bench.scan(TAG).code == "scan.waiting"
    only = bench.insert("A1", S1)
    assert bench.bound(only) == ("INV-1001", "", "alone")


def test_a_tag_alone_and_two_drives_is_asked(bench: IntakeBench) -> None:
    first, second = bench.insert("A1", S1), bench.insert("A2", S2)
    answer = bench.scan(TAG)
    assert answer.code == "scan.which"
    assert answer.near == (f"{S1} in bay A1", f"{S2} in bay A2")
    assert not bench.stay(first).is_bound
    assert not bench.stay(second).is_bound
    # the bay settles it
    assert bench.scan("BAY:A2").code == "scan.bound"
    assert bench.bound(second) == ("INV-1001", "", "bay")


def test_a_drive_pulled_again_may_have_been_the_one_a_tag_means(bench: IntakeBench) -> None:
    first, second = bench.insert("A1", S1), bench.insert("A2", S2)
    assert bench.scan(TAG).code == "scan.which"
    bench.pull(first)
    assert [ask.code for ask in pair(bench.state, bench.at).asks] == ["scan.which"]
    assert bench.scan(TAG).code == "scan.which"
    assert not bench.stay(second).is_bound


def test_a_drive_pushed_in_twice_is_one_drive(bench: IntakeBench) -> None:
    bench.pull(bench.insert("A1", S1))
    again = bench.insert("A1", S1)
    assert bench.scan(TAG).code == "scan.bound"
    assert bench.bound(again) == ("INV-1001", "", "alone")


def test_two_tags_alone_and_one_drive_is_asked(bench: IntakeBench) -> None:
    bench.scan(TAG, ADA)
    bench.scan("TAG:INV-1002", BOB)
    drive = bench.insert("A1", S1)
    assert [ask.code for ask in bench.asks] == ["scan.which", "scan.which"]
    assert not bench.stay(drive).is_bound


def test_a_tag_beside_a_label_that_waits_is_asked(bench: IntakeBench) -> None:
    bench.scan(f"S/N: {S1}", ADA)
    bench.scan(TAG, BOB)
    drive = bench.insert("A1", S2)
    assert [ask.code for ask in bench.asks] == ["scan.which"]
    assert not bench.stay(drive).is_bound


def test_a_drive_that_was_there_long_before_is_not_meant_by_a_tag_alone(
    bench: IntakeBench,
) -> None:
    old = bench.insert("A1", S1)
    bench.now_s += 61
    present = bench.insert("A2", S2, arrived=False)
    assert bench.scan(TAG).code == "scan.waiting"
    fresh = bench.insert("A3", S3)
    assert bench.bound(fresh)[0] == "INV-1001"
    assert not bench.stay(old).is_bound
    assert not bench.stay(present).is_bound


def test_a_tag_that_the_manifest_knows_stands_for_its_serial(bench: IntakeBench) -> None:
    bench.open_lot(manifest=f"Serial,Tag\n{S1},INV-1001\n{S2},INV-1002\n")
    other, mine = bench.insert("A1", S2), bench.insert("A2", S1)
    assert bench.scan("INV-1001").code == "scan.bound"
    assert bench.bound(mine) == ("INV-1001", "", "manifest")
    assert not bench.stay(other).is_bound


def test_a_tag_whose_manifest_names_another_serial_is_an_alarm(bench: IntakeBench) -> None:
    bench.open_lot(manifest=f"Serial,Tag\n{S1},INV-1001\n")
    bench.scan("INV-1001")
    drive = bench.insert("A1", S2)
    (ask,) = bench.asks
    assert (ask.code, ask.alarm) == ("scan.manifest-differs", True)
    assert not bench.stay(drive).is_bound


def test_a_label_in_another_bay_than_scanned_is_an_alarm(bench: IntakeBench) -> None:
    bench.scan("BAY:A1")
    bench.scan(f"S/N: {S1}")
    drive = bench.insert("A2", S1)
    (ask,) = bench.asks
    assert (ask.code, ask.alarm, ask.insertions) == ("scan.other-bay", True, (drive,))
    assert not bench.stay(drive).is_bound


def test_another_drive_in_the_scanned_bay_is_an_alarm_and_the_scanned_one_not_detected(
    bench: IntakeBench,
) -> None:
    bench.scan("BAY:A1")
    bench.scan(f"S/N: {S1}")
    bench.insert("A1", S2)
    (ask,) = bench.asks
    assert (ask.code, ask.alarm) == ("scan.other-drive", True)
    bench.wait(60)
    assert [one.label_serial for one in bench.state.not_detected.values()] == [f"S/N: {S1}"]


def test_the_bay_may_follow_the_label(bench: IntakeBench) -> None:
    bench.open_lot("L-A", "A1")
    bench.open_lot("L-B", "B1")
    bench.scan(f"S/N: {S1}")
    assert next(iter(bench.state.announced.values())).lot is None
    answer = bench.scan("b1")
    assert (answer.code, answer.bay) == ("scan.waiting", "B1")
    (waiting,) = bench.state.announced.values()
    assert (waiting.bay, waiting.lot) == ("B1", "L-B")


def test_scanned_twice_is_announced_once_and_the_time_counts_from_the_last(
    bench: IntakeBench,
) -> None:
    bench.scan(f"S/N: {S1}")
    bench.scan(TAG)
    bench.wait(50)
    assert bench.scan(f"S/N: {S1}").code == "scan.waiting"
    assert bench.scan(TAG).code == "scan.waiting"
    assert bench.scan(S1, BOB).code == "scan.waiting"
    assert len(bench.state.announced) == 1
    bench.wait(50)
    assert not bench.state.not_detected
    assert bench.bound(bench.insert("A1", S1))[:2] == ("INV-1001", f"S/N: {S1}")


def test_scanned_again_after_its_bay_it_is_meant_for_that_bay(bench: IntakeBench) -> None:
    bench.scan(f"S/N: {S1}", ADA)
    bench.scan("TAG:INV-7", BOB)
    bench.now_s += 61  # what they had in hand is nothing any more; no tick came between
    for bay, text in (("A1", f"S/N: {S1}"), ("A2", "TAG:INV-7")):
        assert bench.scan(f"BAY:{bay}").code == "scan.bay"
        assert bench.scan(text).bay == bay
        bench.now_s += 61
    assert [one.bay for one in bench.state.announced.values()] == ["A1", "A2"]


def test_two_announcements_that_claim_one_drive_are_asked(bench: IntakeBench) -> None:
    bench.open_lot(manifest=f"Serial,Tag\n{S1},INV-1001\n")
    bench.scan("INV-1001", ADA)
    bench.scan(S1, BOB)
    drive = bench.insert("A1", S1)
    assert [ask.code for ask in bench.asks] == ["scan.which", "scan.which"]
    assert not bench.stay(drive).is_bound


def test_a_label_that_two_drives_answer_to_is_asked(bench: IntakeBench) -> None:
    bench.scan(f"S/N: {S1}")
    bench.now_s += 1
    first = bench.insert("A1", identity("", wwn="5000c500a0000001"))
    assert not bench.stay(first).is_bound
    bench.keep(
        *(
            InsertionOpened(
                InsertionId(f"x-{number}"),
                BayId(f"A{number}"),
                identity(S1, wwn=f"5000c500a000001{number}"),
                None,
                arrived=True,
                bridged=False,
                at=bench.at,
            )
            for number in (2, 3)
        )
    )
    paired = pair(bench.state, bench.at)
    assert [ask.code for ask in paired.asks] == ["scan.which"]
    assert paired.events == ()


def test_the_manifest_of_a_closed_lot_says_nothing_about_a_tag(bench: IntakeBench) -> None:
    bench.open_lot(manifest=f"Serial,Tag\n{S1},INV-1001\n")
    bench.keep(LotClosed(LotRef("L-1"), ADA, bench.at))
    bench.scan(TAG)
    assert bench.bound(bench.insert("A1", S2)) == ("INV-1001", "", "alone")


def test_an_announced_drive_belongs_to_the_lot_whose_manifest_names_it(
    bench: IntakeBench,
) -> None:
    bench.open_lot("L-A", "A1")
    bench.take_manifest(f"Serial,Tag\n{S1},INV-1001\n", "L-A")
    bench.open_lot("L-B", "B1")
    bench.scan(S1)
    bench.scan("INV-1001", BOB)
    bench.scan(f"S/N: {S2}", Person("operator", "cat"))
    assert [one.lot for one in bench.state.announced.values()] == ["L-A", "L-A", None]


# --- intake: drive first -----------------------------------------------------------------------


def test_a_drive_that_is_there_is_bound_by_its_label_at_any_time(bench: IntakeBench) -> None:
    drive = bench.insert("A1", S1)
    bench.wait(3600)
    answer = bench.scan(S1)
    assert (answer.code, answer.insertion) == ("scan.bound", drive)
    assert bench.scan(TAG).code == "scan.bound"
    assert bench.bound(drive) == ("INV-1001", S1, "exact")
    assert bench.scan(S1).code == "scan.known"
    assert bench.scan(TAG).code == "scan.known"


def test_a_tag_before_the_label_of_a_drive_that_is_there(bench: IntakeBench) -> None:
    drive = bench.insert("A1", S1)
    bench.insert("A2", S2)
    assert bench.scan(TAG).code == "scan.which"
    assert bench.scan(S1).code == "scan.bound"
    assert bench.bound(drive) == ("INV-1001", S1, "exact")
    assert not bench.state.announced


def test_a_label_scanned_at_the_wrong_bay_is_an_alarm(bench: IntakeBench) -> None:
    drive = bench.insert("A1", S1)
    bench.insert("A2", S2)
    bench.scan("BAY:A2")
    answer = bench.scan(S1)
    assert (answer.code, answer.alarm) == ("scan.other-bay", True)
    assert not bench.stay(drive).is_bound
    bench.scan("BAY:A2")
    answer = bench.scan(f"S/N: {S3}")
    assert (answer.code, answer.alarm) == ("scan.other-drive", True)
    assert not bench.state.announced


def test_a_bay_scanned_long_ago_says_nothing(bench: IntakeBench) -> None:
    drive = bench.insert("A1", S1)
    bench.scan("BAY:A2")
    bench.now_s += 61
    assert bench.scan(S1).code == "scan.bound"
    assert bench.bound(drive)[1] == S1


def test_two_drives_of_one_serial_are_never_told_apart_by_it(bench: IntakeBench) -> None:
    bench.insert("A1", identity(S1, wwn="5000c500a0000001"))
    bench.insert("A2", identity(S1, wwn="5000c500a0000002"))
    answer = bench.scan(S1)
    assert (answer.code, answer.alarm) == ("scan.two-drives", True)
    assert not any(stay.is_bound for stay in bench.state.here())


def test_a_drive_behind_a_bridge_is_near_and_not_bound(bench: IntakeBench) -> None:
    drive = bench.insert("A1", S1, bridged=True)
    answer = bench.scan(S1)
    assert answer.code == "scan.near"
    assert answer.near == (f"{S1} in bay A1 (bridge)",)
    assert not bench.stay(drive).is_bound


# --- near, never silently ----------------------------------------------------------------------


def test_near_misses_are_shown_and_a_person_settles_them(bench: IntakeBench) -> None:
    drive = bench.insert("A1", "Z1X2Y3WO")
    answer = bench.scan("S/N: Z1X2Y3W0")
    assert answer.code == "scan.near"
    assert answer.near == ("Z1X2Y3WO in bay A1 (lookalikes)",)
    assert not bench.stay(drive).is_bound
    bench.wait(600)  # something so like it is here: not given up
    (scan,) = bench.state.announced
    bound = decide_bind(bench.state, scan, drive, BOB, bench.at)
    assert isinstance(bound, TagBound)
    bench.keep(bound)
    assert bench.bound(drive) == ("", "S/N: Z1X2Y3W0", "person")


def test_a_neighbour_of_the_batch_does_not_keep_a_dead_drive_waiting(bench: IntakeBench) -> None:
    bench.insert("A1", "Z1X2Y3W5")
    answer = bench.scan("S/N: Z1X2Y3W4")
    assert answer.near == ("Z1X2Y3W5 in bay A1 (one-character)",)
    bench.wait(60)
    assert len(bench.state.not_detected) == 1


def test_a_person_may_not_bind_a_label_to_another_drive(bench: IntakeBench) -> None:
    drive = bench.insert("A1", S2)
    bench.scan(f"S/N: {S1}")
    (scan,) = bench.state.announced
    refused = decide_bind(bench.state, scan, drive, BOB, bench.at)
    assert isinstance(refused, Refusal)
    assert refused.code == "scan.other-drive"
    gone = decide_bind(bench.state, ScanId("s-none"), drive, BOB, bench.at)
    assert isinstance(gone, Refusal)
    assert gone.code == "scan.gone"


def test_a_person_settles_which_drive_a_tag_means(bench: IntakeBench) -> None:
    first, second = bench.insert("A1", S1), bench.insert("A2", S2)
    bench.scan(TAG)
    (scan,) = bench.state.announced
    bound = decide_bind(bench.state, scan, second, BOB, bench.at)
    assert isinstance(bound, TagBound)
    bench.keep(bound)
    assert bench.bound(second) == ("INV-1001", "", "person")
    again = decide_bind(bench.state, scan, first, BOB, bench.at)
    assert isinstance(again, Refusal)


# --- never detected ----------------------------------------------------------------------------


def test_a_drive_that_does_not_appear_within_60_s_goes_to_the_destroy_queue(
    bench: IntakeBench,
) -> None:
    bench.open_lot()
    bench.scan(TAG)
    bench.scan(f"S/N: {S1}")
    bench.wait(59.9)
    assert destroy_queue(bench.state) == ()
    bench.wait(0.1)
    assert isinstance(bench.events[-1], NotDetected)
    (entry,) = destroy_queue(bench.state)
    assert (entry.reason, entry.lot) == ("not-detected", "L-1")
    assert (entry.label_serial, entry.asset_tag) == (f"S/N: {S1}", "INV-1001")
    bench.wait(60)
    assert len(destroy_queue(bench.state)) == 1


def test_given_up_twice_is_one_drive_in_the_queue(bench: IntakeBench) -> None:
    bench.open_lot()
    for text in (f"S/N: {S1}", S1):
        bench.scan(text)
        bench.wait(60)
    assert [one.label_serial for one in destroy_queue(bench.state)] == [S1]
    assert len(bench.state.lots[LotRef("L-1")].not_detected) == 1


def test_one_that_appears_after_all_leaves_the_queue(bench: IntakeBench) -> None:
    bench.open_lot()
    bench.scan(f"S/N: {S1}")
    bench.scan(TAG)
    bench.wait(60)
    assert len(destroy_queue(bench.state)) == 1
    assert len(bench.state.lots[LotRef("L-1")].not_detected) == 1
    bench.insert("A1", S1)
    assert destroy_queue(bench.state) == ()
    assert not bench.state.lots[LotRef("L-1")].not_detected


def test_a_tag_given_up_is_found_again_by_its_tag(bench: IntakeBench) -> None:
    bench.scan(TAG)
    bench.wait(60)
    assert len(destroy_queue(bench.state)) == 1
    bench.insert("A1", S1)
    bench.scan(TAG)
    assert destroy_queue(bench.state) == ()


def test_what_is_asked_about_is_not_given_up(bench: IntakeBench) -> None:
    bench.insert("A1", S1)
    bench.insert("A2", S2)
    assert bench.scan(TAG).code == "scan.which"
    bench.wait(300)
    assert not bench.state.not_detected


def test_a_scan_taken_back_is_forgotten(bench: IntakeBench) -> None:
    bench.scan(f"S/N: {S1}")
    (scan,) = bench.state.announced
    withdrawn = decide_withdraw(bench.state, scan, ADA, bench.at)
    assert not isinstance(withdrawn, Refusal)
    bench.keep(withdrawn)
    bench.wait(60)
    assert destroy_queue(bench.state) == ()
    assert isinstance(decide_withdraw(bench.state, scan, ADA, bench.at), Refusal)


def test_a_station_that_was_not_watching_gives_the_time_anew(bench: IntakeBench) -> None:
    bench.scan(f"S/N: {S1}")
    # the agent came back 50 s later; the drive may have been put in meanwhile
    assert overdue(bench.state, moment(205), moment(150)) == ()
    assert len(overdue(bench.state, moment(210), moment(150))) == 1
    # the machine was booted: its boot time began anew
    assert overdue(bench.state, moment(40, "boot-2"), moment(10, "boot-2")) == ()
    assert len(overdue(bench.state, moment(70, "boot-2"), moment(10, "boot-2"))) == 1


# --- removal -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdict", "action"),
    [
        (Verdict.SANITIZED, Action.SHIP),
        (Verdict.SANITIZED_WITH_EXCEPTIONS, Action.CALL),
        (Verdict.NOT_SANITIZED, Action.SHRED),
        (Verdict.INDETERMINATE, Action.CALL),
    ],
)
def test_serial_bay_and_verdict_agree_and_the_label_is_printed(
    bench: IntakeBench, verdict: Verdict, action: Action
) -> None:
    bench.open_lot()
    bench.scan(TAG)
    bench.scan(f"S/N: {S1}")
    drive = bench.insert("A1", S1)
    job = bench.work(drive, verdict)
    asked = bench.scan(S1)
    assert (asked.code, asked.label) == ("removal.bay-wanted", None)
    answer = bench.scan("BAY:A1")
    assert (answer.kind, answer.code, answer.alarm) == ("removal", "removal.agrees", False)
    label = answer.label
    assert label is not None
    assert (label.action, label.verdict, label.job) == (action, verdict, job)
    assert label.lines() == (
        action.value.upper(),
        verdict.value,
        f"S/N: {S1}",
        f"Label: S/N: {S1}",
        "Tag: INV-1001",
        "Lot: L-1",
        f"Job: {job}",
        "Bay: A1",
        "Date: 2026-01-05",
    )
    last = bench.events[-1]
    assert isinstance(last, RemovalScanned)
    assert (last.insertion, last.verdict, last.differs) == (drive, verdict, ())


def test_bay_first_and_then_serial_is_as_good(bench: IntakeBench) -> None:
    drive = bench.insert("A1", S1)
    bench.work(drive, Verdict.SANITIZED)
    bench.scan("BAY:A1")
    assert bench.scan(S1).code == "removal.agrees"


def test_the_only_drive_that_was_pulled_needs_no_bay(bench: IntakeBench) -> None:
    drive = bench.insert("A1", S1)
    bench.work(drive, Verdict.SANITIZED)
    bench.pull(drive)
    answer = bench.scan(S1)
    assert (answer.code, answer.bay) == ("removal.agrees", "A1")


def test_a_drive_that_was_refused_and_pulled_does_not_stand_in_the_way(
    bench: IntakeBench,
) -> None:
    bench.pull(bench.insert("A2", S2), InsertionEnd.REFUSED)
    drive = bench.insert("A1", S1)
    bench.work(drive, Verdict.SANITIZED)
    bench.pull(drive)
    assert bench.scan(S1).code == "removal.agrees"


def test_of_two_that_were_pulled_the_bay_is_wanted(bench: IntakeBench) -> None:
    drives = [bench.insert("A1", S1), bench.insert("A2", S2)]
    for drive in drives:
        bench.work(drive, Verdict.SANITIZED)
        bench.pull(drive)
    assert bench.scan(S1).code == "removal.bay-wanted"
    assert bench.scan("BAY:A1").code == "removal.agrees"
    assert bench.scan(S2).code == "removal.agrees"


def test_the_wrong_bay_is_an_alarm_and_no_label(bench: IntakeBench) -> None:
    first, second = bench.insert("A1", S1), bench.insert("A2", S2)
    bench.work(first, Verdict.SANITIZED)
    bench.work(second, Verdict.NOT_SANITIZED)
    bench.scan(S2)
    answer = bench.scan("BAY:A1")
    assert (answer.code, answer.alarm, answer.label) == ("removal.bay-differs", True, None)
    assert answer.message == "STOP: Q7R8T9V2 was in bay A2, not A1"
    assert not bench.stay(second).scanned_out
    last = bench.events[-1]
    assert isinstance(last, RemovalScanned)
    assert last.differs == ("bay",)


def test_a_serial_of_another_drive_at_a_concluded_bay_is_an_alarm(bench: IntakeBench) -> None:
    drive = bench.insert("A1", S1)
    bench.work(drive, Verdict.SANITIZED)
    bench.scan("BAY:A1")
    answer = bench.scan(f"S/N: {S3}")
    assert (answer.code, answer.alarm, answer.label) == ("removal.serial-differs", True, None)
    assert answer.insertion == drive


def test_a_record_that_says_otherwise_is_an_alarm(bench: IntakeBench) -> None:
    drive = bench.insert("A1", S1)
    bench.work(drive, Verdict.SANITIZED)
    for told, differs in (
        (Verdict.SANITIZED, ()),
        (None, ()),
        (Verdict.NOT_SANITIZED, ("verdict",)),
    ):
        removal = decide_removal(bench.state, S1, BayId("A1"), ADA, bench.at, verdict=told)
        assert removal.event.differs == differs
        assert removal.agrees is (removal.label is not None)


def test_a_drive_pulled_while_it_was_worked_on_has_no_verdict_and_no_label(
    bench: IntakeBench,
) -> None:
    drive = bench.insert("A1", S1)
    bench.work(drive)
    bench.pull(drive)
    answer = bench.scan(S1)
    assert (answer.code, answer.alarm, answer.label) == ("removal.verdict-differs", True, None)


def test_a_drive_drawn_for_audit_gets_no_label_yet(bench: IntakeBench) -> None:
    drive = bench.insert("A1", S1)
    bench.work(drive, Verdict.SANITIZED)
    bench.audit_hold = frozenset({drive})
    bench.scan("BAY:A1")
    answer = bench.scan(S1)
    assert (answer.code, answer.label) == ("removal.audit-hold", None)
    assert not bench.stay(drive).scanned_out
    bench.audit_hold = frozenset()
    bench.scan("BAY:A1")
    assert bench.scan(S1).code == "removal.agrees"


def test_scanned_out_twice_gives_the_label_again_and_announces_nothing(
    bench: IntakeBench,
) -> None:
    drive = bench.insert("A1", S1)
    bench.work(drive, Verdict.SANITIZED)
    bench.pull(drive)
    first = bench.scan(S1).label
    kept = len(bench.events)
    again = bench.scan(S1)
    assert (again.code, again.label) == ("removal.again", first)
    bench.wait(60)
    assert len(bench.events) == kept


def test_a_tag_at_removal_asks_for_the_serial(bench: IntakeBench) -> None:
    bench.scan(TAG)
    drive = bench.insert("A1", S1)
    bench.work(drive, Verdict.SANITIZED)
    assert bench.scan(TAG).code == "removal.serial-wanted"


def test_a_drive_that_was_refused_is_announced_anew(bench: IntakeBench) -> None:
    drive = bench.insert("A1", S1)
    bench.pull(drive, InsertionEnd.REFUSED)
    assert bench.scan(f"S/N: {S1}").code == "scan.waiting"


def test_a_drive_put_back_is_the_one_in_the_bay(bench: IntakeBench) -> None:
    first = bench.insert("A1", S1)
    bench.work(first)
    bench.pull(first)
    second = bench.insert("A2", S1)
    bench.work(second, Verdict.SANITIZED)
    bench.scan("BAY:A2")
    assert bench.scan(S1).insertion == second


def test_what_is_in_hand_is_forgotten_after_a_removal(bench: IntakeBench) -> None:
    drive = bench.insert("A1", S1)
    bench.work(drive, Verdict.SANITIZED)
    bench.scan(S1)
    bench.scan("BAY:A1")
    assert bench.hands["ada"] == Hand()
    assert bench.scan("BAY:A1").code == "scan.bay"


def test_hundreds_of_drives_pulled_and_not_scanned_do_not_fill_the_memory(
    bench: IntakeBench,
) -> None:
    for number in range(600):
        drive = bench.insert("A1", f"Z{number:07}")
        bench.work(drive, Verdict.SANITIZED)
        bench.pull(drive)
    assert len(bench.state.stays) == 512
    assert bench.state.stay_in(BayId("A1")) is None


# --- restarts ------------------------------------------------------------------------------------


def test_a_drive_that_sat_in_its_bay_keeps_tag_label_and_verdict_over_a_restart(
    bench: IntakeBench,
) -> None:
    bench.open_lot()
    bench.scan(TAG)
    bench.scan(f"S/N: {S1}")
    before = bench.insert("A1", S1)
    job = bench.work(before, Verdict.SANITIZED)
    bench.restart()
    assert list(bench.state.here()) == []
    after = bench.insert("A1", S1, arrived=False)
    stay = bench.stay(after)
    assert (stay.asset_tag, stay.label_serial) == ("INV-1001", f"S/N: {S1}")
    assert (stay.job, stay.verdict, stay.lot, stay.bound_by) == (
        job,
        Verdict.SANITIZED,
        "L-1",
        ADA,
    )
    bench.scan("BAY:A1")
    assert bench.scan(S1).code == "removal.agrees"


@pytest.mark.parametrize(
    ("bay", "serial", "arrived"), [("A2", S1, False), ("A1", S2, False), ("A1", S1, True)]
)
def test_another_drive_another_bay_or_a_new_insertion_keeps_nothing(
    bench: IntakeBench, bay: str, serial: str, arrived: bool
) -> None:
    bench.insert("A1", S1)
    bench.scan(S1)
    bench.restart()
    assert not bench.stay(bench.insert(bay, serial, arrived=arrived)).is_bound


def test_a_bay_holds_one_drive_whatever_the_station_missed(bench: IntakeBench) -> None:
    first = bench.insert("A1", S1)
    second = bench.insert("A1", S2)
    assert [stay.insertion for stay in bench.state.here()] == [second]
    assert bench.stay(first).ended is InsertionEnd.STATION_STOPPED


def test_a_label_is_known_again_after_a_restart(bench: IntakeBench) -> None:
    drive = bench.insert("A1", S1)
    bench.work(drive, Verdict.SANITIZED)
    bench.restart()
    bench.insert("A1", S1, arrived=False)
    bench.pull(InsertionId("i-2"))
    assert bench.scan(S1).code == "removal.agrees"
