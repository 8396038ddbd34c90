"""Scans that mean no drive for sure, and what is to be destroyed: through a whole station."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from nullbay.agent.desk import DeskError
from nullbay.certs import ledger
from nullbay.domain.lot import Person
from nullbay.domain.status import Action, BayState
from nullbay.domain.verdict import Verdict
from nullbay.lab import clock as virtual
from nullbay.lab.clock import VirtualClock
from nullbay.lab.description import LbaSpan
from support.crashes import signers
from support.rack import Rack
from support.station import LOT, OPERATOR, Bench, drive

SIGNERS = signers()
COLLEAGUE = Person("operator", "op-2", "operator")
VERIFIER = Person("verifier", "vera")


def play(folder: Path, day: Callable[[Bench], Awaitable[None]], *serials: str) -> None:
    """One day of a station with a drive of that serial beside each bay."""
    rack = {f"A{n}": drive(serial) for n, serial in enumerate(serials, start=1)}

    async def main(clock: VirtualClock) -> None:
        bench = Bench(Rack(folder, clock, signers=SIGNERS), clock, rack)
        try:
            await day(bench)
        finally:
            await bench.end()

    virtual.run(main, seed=1)


def test_a_near_miss_is_asked_and_bound_by_a_person(tmp_path: Path) -> None:
    """An O that is read as a zero: held, shown with why, matched by nobody but a person."""

    async def day(bench: Bench) -> None:
        station = await bench.start()
        await station.open_lot(LOT, (), OPERATOR)
        bench.insert("A1")
        await bench.until("A1", BayState.PLANNED)
        answer = await station.scan("S/N: WXO12345", OPERATOR)
        assert answer.code == "scan.near"
        (ask,) = station.asks()
        assert (ask.code, ask.holds, ask.scan) == ("scan.near", True, answer.scan)
        (like,) = ask.candidates
        assert (like.bay, like.serial, like.can_bind) == ("A1", "WX012345", True)
        assert "look alike" in like.why
        await bench.clock.sleep(3_600)
        assert len(station.asks()) == 1, "it waits for a person, however long"
        assert station.destroy_queue() == ()
        assert bench.status("A1").label_serial == ""

        told = await station.settle(ask.scan, like.insertion, OPERATOR)
        assert (told.code, told.bay) == ("scan.bound", "A1")
        assert station.asks() == ()
        assert bench.status("A1").label_serial == "S/N: WXO12345"
        with pytest.raises(DeskError) as refused:
            await station.settle(ask.scan, like.insertion, OPERATOR)
        assert refused.value.code == "scan.gone"

        await bench.approve("A1")
        await bench.until("A1", BayState.CONCLUDED)
        assert bench.assembly.station.jobs()[0].people[0].person_id == "op-1"

    play(tmp_path, day, "WX012345")


def test_a_label_of_another_drive_cannot_be_bound(tmp_path: Path) -> None:
    async def day(bench: Bench) -> None:
        station = await bench.start()
        bench.insert("A1")
        shown = await bench.until("A1", BayState.PLANNED)
        await station.scan("BAY:A1", OPERATOR)
        answer = await station.scan("S/N: ZQ999888", OPERATOR)
        assert (answer.code, answer.alarm, answer.label) == ("scan.other-drive", True, ())
        assert station.asks() == (), "answered at once: nothing was announced"
        waits = await station.scan("S/N: ZQ999888", OPERATOR)
        assert waits.code == "scan.waiting"
        assert shown.insertion
        with pytest.raises(DeskError) as refused:
            await station.settle(waits.scan, shown.insertion, OPERATOR)
        assert refused.value.code == "scan.other-drive"
        assert bench.status("A1").label_serial == ""

    play(tmp_path, day, "WX012345")


def test_a_neighbours_serial_holds_nothing_up_and_a_drive_that_came_late_is_found(
    tmp_path: Path,
) -> None:
    """One character apart alone: it is shown, and not detected when its minute is over."""

    async def day(bench: Bench) -> None:
        station = await bench.start()
        await station.open_lot(LOT, (), OPERATOR)
        bench.insert("A1")
        await bench.until("A1", BayState.PLANNED)
        await station.scan("S/N: ZC1A2B3C", OPERATOR)
        (ask,) = station.asks()
        assert (ask.code, ask.holds) == ("scan.near", False)
        await bench.clock.sleep(50)
        assert station.destroy_queue() == ()
        await bench.clock.sleep(15)
        assert station.asks() == ()
        (lost,) = station.destroy_queue()
        assert (lost.reason, lost.lot, lost.place) == ("not-detected", "LOT-1", "never-seen")
        assert (lost.serial, lost.since is not None) == ("S/N: ZC1A2B3C", True)
        closed = bench.entries()[-1]
        assert isinstance(closed, ledger.InsertionClosed)
        assert closed.cause.value == "not-detected"
        bench.insert("A2")
        await bench.until("A2", BayState.PLANNED)
        assert station.destroy_queue() == (), "it came after all"

    play(tmp_path, day, "ZC1A2B3X", "ZC1A2B3C")


def test_a_scan_taken_back_expects_nothing(tmp_path: Path) -> None:
    async def day(bench: Bench) -> None:
        station = await bench.start()
        waits = await station.scan("S/N: ZC1A2B3C", OPERATOR)
        assert (waits.code, waits.scan != "") == ("scan.waiting", True)
        with pytest.raises(DeskError) as refused:
            await station.withdraw(waits.scan, VERIFIER)
        assert refused.value.code == "desk.forbidden"
        assert (await station.withdraw(waits.scan, OPERATOR)).code == "scan.withdrawn"
        await bench.clock.sleep(120)
        assert station.destroy_queue() == ()
        assert bench.kinds() == []
        with pytest.raises(DeskError) as refused:
            await station.withdraw(waits.scan, OPERATOR)
        assert refused.value.code == "scan.gone"

    play(tmp_path, day, "WX012345")


def test_what_becomes_sure_by_an_answer_is_told(tmp_path: Path) -> None:
    """Two tags, two drives: a person says the first, the second follows, both are told."""

    async def day(bench: Bench) -> None:
        station = await bench.start()
        await station.scan("TAG:INV-1", OPERATOR)
        await station.scan("TAG:INV-2", OPERATOR)
        bench.insert("A1")
        bench.insert("A2")
        await bench.until("A2", BayState.PLANNED)
        first, second = station.asks()
        assert (first.code, second.code) == ("scan.which", "scan.which")
        assert [one.bay for one in first.candidates] == ["A1", "A2"]
        await bench.clock.sleep(120)
        assert station.destroy_queue() == (), "they are here: nobody says that they are not"
        told = await station.settle(first.scan, first.candidates[1].insertion, OPERATOR)
        assert "INV-1 belongs to the drive in bay A2" in told.message
        assert "INV-2 belongs to the drive in bay A1" in told.message
        assert [bench.status(bay).asset_tag for bay in ("A1", "A2")] == ["INV-2", "INV-1"]
        assert station.asks() == ()

    play(tmp_path, day, "WX012345", "ZC1A2B3C")


def test_a_drive_left_over_by_another_ones_label_is_bound_and_not_given_up(tmp_path: Path) -> None:
    """A tag and two drives are asked about; a colleague scans one's label: the tag is the other's.

    Nobody scans after that: what became sure has to be seen before the minute is over.
    """

    async def day(bench: Bench) -> None:
        station = await bench.start()
        bench.insert("A1")
        bench.insert("A2")
        await bench.until("A2", BayState.PLANNED)
        await station.scan("TAG:INV-1", OPERATOR)
        assert [one.code for one in station.asks()] == ["scan.which"]
        told = await station.scan("S/N: WX012345", COLLEAGUE)
        assert (told.code, told.bay) == ("scan.bound", "A1")
        await bench.clock.sleep(120)
        assert station.destroy_queue() == ()
        assert [bench.status(bay).asset_tag for bay in ("A1", "A2")] == ["", "INV-1"]

    play(tmp_path, day, "WX012345", "ZC1A2B3C")


def test_a_drive_that_was_not_sanitized_is_in_the_queue_until_it_is_again(tmp_path: Path) -> None:
    rack = {
        "A1": drive("WX012345", ignored_writes=(LbaSpan(100, 120),)),
        "A2": drive("ZC1A2B3C"),
    }

    async def main(clock: VirtualClock) -> None:
        bench = Bench(Rack(tmp_path, clock, signers=SIGNERS), clock, rack)
        try:
            station = await bench.start()
            await station.open_lot(LOT, (), OPERATOR)
            for bay in rack:
                bench.insert(bay)
                await bench.until(bay, BayState.PLANNED)
                await bench.approve(bay)
            shown = await bench.until("A1", BayState.CONCLUDED)
            await bench.until("A2", BayState.CONCLUDED)
            assert shown.verdict is Verdict.NOT_SANITIZED
            (failed,) = station.destroy_queue()
            assert (failed.reason, failed.serial) == ("not-sanitized", "WX012345")
            assert (failed.job, failed.bay, failed.place) == (shown.job, "A1", "here")
            assert [one.code for one in failed.why] == [one.code for one in shown.why]
            assert failed.since is not None

            await station.scan("BAY:A2", OPERATOR)
            wrong = await station.scan("WX012345", OPERATOR)
            assert (wrong.code, wrong.alarm, wrong.label) == ("removal.bay-differs", True, ())
            await station.scan("BAY:A1", OPERATOR)
            out = await station.scan("WX012345", OPERATOR)
            assert (out.code, out.label[0]) == ("removal.agrees", "SHRED")
            await station.scan("BAY:A2", OPERATOR)
            again = await station.scan("WX012345", OPERATOR)
            assert (again.code, again.label) == ("removal.bay-differs", ()), "not once more either"
            assert [one.place for one in station.destroy_queue()] == ["scanned-out"]

            before = failed.since
            await bench.stop()
            station = await bench.start()
            again_shown = await bench.until("A1", BayState.CONCLUDED)
            assert again_shown.action is Action.SHRED
            assert {one.code for one in again_shown.why} == {one.code for one in shown.why}
            (failed,) = station.destroy_queue()
            assert failed.since == before, "a restart makes it no younger"
        finally:
            await bench.end()

    virtual.run(main, seed=1)
