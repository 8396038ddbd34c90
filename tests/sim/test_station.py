"""The rules of the bench, in virtual time, through the station's desk."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from nullbay.agent.desk import Approval, DeskError
from nullbay.agent.journal.outbox import Outbox
from nullbay.certs import ledger, lot_document
from nullbay.config.services import AdmissionSettings
from nullbay.domain.ids import PolicyId
from nullbay.domain.status import Action, BayState, Mode
from nullbay.domain.verdict import Verdict
from nullbay.lab import clock as virtual
from nullbay.lab.clock import VirtualClock
from nullbay.lab.description import LbaSpan
from nullbay.wipers.guard import Pin
from support.crashes import signers
from support.rack import Rack, shipped
from support.station import LOT, OPERATOR, SECOND, Bench, drive

SIGNERS = signers()


def play(
    folder: Path,
    day: Callable[[Bench], Awaitable[None]],
    *,
    drives: int = 1,
    more: Mapping[str, object] | None = None,
    **given: object,
) -> None:
    """One day of a station; `more` is what its drives have in common."""
    rack = {f"A{n}": replace(drive(f"S-{n}"), **more or {}) for n in range(1, drives + 1)}  # type: ignore[arg-type]

    async def main(clock: VirtualClock) -> None:
        bench = Bench(Rack(folder, clock, signers=SIGNERS), clock, rack, **given)  # type: ignore[arg-type]
        try:
            await day(bench)
        finally:
            await bench.end()

    virtual.run(main, seed=1)


def test_an_attended_drive_waits_for_consent_and_is_let_go_of_when_pulled(tmp_path: Path) -> None:
    async def day(bench: Bench) -> None:
        await bench.start()
        bench.insert("A1")
        shown = await bench.until("A1", BayState.PLANNED)
        assert shown.action is Action.CALL
        assert [one.code for one in shown.why] == ["bay.approve"]
        assert shown.drive is not None
        assert shown.drive.serial == "S-1"
        await bench.clock.sleep(3_600)
        assert bench.status("A1").state is BayState.PLANNED
        await bench.approve("A1")
        shown = await bench.until("A1", BayState.RUNNING)
        assert shown.action is Action.LEAVE
        shown = await bench.until("A1", BayState.CONCLUDED)
        assert shown.verdict is Verdict.SANITIZED
        assert shown.action is Action.SHIP
        assert bench.kinds() == ["job-started", "job-concluded"]
        bench.pull("A1")
        await bench.until("A1", BayState.EMPTY)
        assert bench.kinds()[-1] == "insertion-closed removed"
        closed = bench.entries()[-1]
        assert isinstance(closed, ledger.InsertionClosed)
        assert closed.jobs == (shown.job,)

    play(tmp_path, day)


def test_an_unattended_bay_counts_down_and_pulling_cancels(tmp_path: Path) -> None:
    async def day(bench: Bench) -> None:
        station = await bench.start()
        await station.open_lot(LOT, (), OPERATOR)
        bench.insert("A1")
        shown = await bench.until("A1", BayState.COUNTDOWN)
        assert shown.countdown_s == 30
        await bench.clock.sleep(10)
        assert bench.status("A1").countdown_s == 20
        bench.pull("A1")
        await bench.until("A1", BayState.EMPTY)
        assert bench.kinds() == ["insertion-closed removed"]
        bench.insert("A1")
        await bench.until("A1", BayState.COUNTDOWN)
        before = bench.clock.boottime()
        await bench.until("A1", BayState.RUNNING)
        assert 29 <= bench.clock.boottime() - before <= 32
        shown = await bench.until("A1", BayState.CONCLUDED)
        assert shown.verdict is Verdict.SANITIZED
        started = bench.entries()[1]
        assert isinstance(started, ledger.JobStarted)
        assert [one.person_id for one in started.approvals] == ["op-1"]

    play(tmp_path, day, unattended=True)


def test_without_an_active_lot_nothing_starts_by_itself(tmp_path: Path) -> None:
    async def day(bench: Bench) -> None:
        station = await bench.start()
        bench.insert("A1")
        shown = await bench.until("A1", BayState.PLANNED)
        assert "bay.no-lot" in {one.code for one in shown.why}
        await station.open_lot(LOT, (), OPERATOR)
        await bench.until("A1", BayState.COUNTDOWN)

    play(tmp_path, day, unattended=True)


def test_a_drive_that_was_there_before_never_starts_by_itself(tmp_path: Path) -> None:
    async def day(bench: Bench) -> None:
        bench.insert("A1")
        station = await bench.start()
        await station.open_lot(LOT, (), OPERATOR)
        shown = await bench.until("A1", BayState.PRESENT)
        assert shown.action is Action.CALL
        await bench.clock.sleep(86_400)
        assert bench.status("A1").state is BayState.PRESENT
        assert bench.kinds() == []

    play(tmp_path, day, unattended=True)


def test_a_drive_finished_here_is_shown_and_not_wiped_again(tmp_path: Path) -> None:
    async def day(bench: Bench) -> None:
        station = await bench.start()
        await station.open_lot(LOT, (), OPERATOR)
        bench.insert("A1")
        done = await bench.until("A1", BayState.CONCLUDED)
        bench.pull("A1")
        await bench.until("A1", BayState.EMPTY)
        bench.insert("A1")
        shown = await bench.until("A1", BayState.KNOWN)
        assert (shown.job, shown.verdict, shown.action) == (
            done.job,
            Verdict.SANITIZED,
            Action.CALL,
        )
        await bench.clock.sleep(3_600)
        assert bench.kinds().count("job-started") == 1
        await bench.approve("A1")
        again = await bench.until("A1", BayState.CONCLUDED)
        assert again.job != done.job

    play(tmp_path, day, unattended=True)


def test_a_drive_pulled_halfway_goes_on_by_itself_when_it_is_back(tmp_path: Path) -> None:
    async def day(bench: Bench) -> None:
        await bench.start()
        bench.insert("A1")
        await bench.until("A1", BayState.PLANNED)
        await bench.approve("A1")
        await bench.until_working("A1")
        bench.pull("A1")
        await bench.until("A1", BayState.EMPTY)
        bench.insert("A1")
        shown = await bench.until("A1", BayState.CONCLUDED)
        assert shown.verdict is Verdict.SANITIZED
        assert bench.kinds() == ["job-started", "insertion-closed removed", "job-concluded"]

    play(tmp_path, day)


def test_what_needs_a_purge_is_for_the_shredder(tmp_path: Path) -> None:
    async def day(bench: Bench) -> None:
        await bench.start()
        bench.insert("A1")
        shown = await bench.until("A1", BayState.REFUSED)
        assert shown.action is Action.SHRED
        assert "plan.held-for-destruction" in {one.code for one in shown.why}
        with pytest.raises(DeskError):
            await bench.approve("A1")

    play(tmp_path, day, policy="nist-purge")


def test_only_the_plan_that_is_shown_is_approved_for_the_drive_that_is_there(
    tmp_path: Path,
) -> None:
    async def day(bench: Bench) -> None:
        station = await bench.start()
        bench.insert("A1")
        shown = await bench.until("A1", BayState.PLANNED)
        assert shown.insertion
        for which, approval, code in (
            (shown.insertion, Approval("0" * 64, shown.confirm), "plan.changed"),
            (shown.insertion, Approval(shown.plan_sha256, "S-2"), "usage.confirm"),
            ("i-unknown", Approval(shown.plan_sha256, shown.confirm), "desk.unknown"),
        ):
            with pytest.raises(DeskError) as refused:
                await station.approve(which, approval, OPERATOR)
            assert refused.value.code == code
        assert bench.status("A1").state is BayState.PLANNED

    play(tmp_path, day)


def test_two_bays_work_at_once_and_an_abort_concerns_one(tmp_path: Path) -> None:
    async def day(bench: Bench) -> None:
        station = await bench.start()
        for bay in ("A1", "A2"):
            bench.insert(bay)
        for bay in ("A1", "A2"):
            await bench.until(bay, BayState.PLANNED)
            await bench.approve(bay)
        for bay in ("A1", "A2"):
            await bench.until_working(bay)
        job = bench.status("A1").job
        assert job
        await station.abort(job, OPERATOR)
        shown = await bench.until("A1", BayState.CONCLUDED)
        assert shown.verdict is Verdict.NOT_SANITIZED
        shown = await bench.until("A2", BayState.CONCLUDED)
        assert shown.verdict is Verdict.SANITIZED

    play(tmp_path, day, drives=2)


def test_the_agent_stops_and_the_bench_goes_on(tmp_path: Path) -> None:
    async def day(bench: Bench) -> None:
        await bench.start()
        bench.insert("A1")
        await bench.until("A1", BayState.PLANNED)
        await bench.approve("A1")
        await bench.until_working("A1")
        job = bench.status("A1").job
        await bench.stop()
        await bench.clock.sleep(3.0)
        await bench.start()
        shown = await bench.until("A1", BayState.CONCLUDED)
        assert (shown.job, shown.verdict) == (job, Verdict.SANITIZED)
        assert job
        assert bench.journal.state(job).sessions == 1

    play(tmp_path, day)


def test_the_bench_dies_and_the_job_resumes_on_the_next_one(tmp_path: Path) -> None:
    async def day(bench: Bench) -> None:
        await bench.start()
        bench.insert("A1")
        await bench.until("A1", BayState.PLANNED)
        await bench.approve("A1")
        await bench.until_working("A1")
        bench.bench.fate.dead = True
        await bench.bench.die(with_drive_processes=True)
        await bench.clock.sleep(20)
        assert "bench.away" in {one.code for one in bench.assembly.station.status().problems}
        bench.bench = bench.rack.bench()
        shown = await bench.until("A1", BayState.CONCLUDED)
        assert shown.verdict is Verdict.SANITIZED
        assert bench.kinds().count("job-concluded") == 1

    play(tmp_path, day)


MANIFEST = b"Serial,Asset Tag\nS-1,T-1\nS-2,T-2\nS-9,T-9\n"


def test_what_happens_to_a_lot_is_bound_by_the_ledger_and_survives_a_restart(
    tmp_path: Path,
) -> None:
    async def day(bench: Bench) -> None:
        station = await bench.start()
        await station.open_lot(LOT, (), OPERATOR)
        bad = await station.take_manifest(LOT.reference, "x.csv", b"Serial\n1,2E+05\n", OPERATOR)
        assert not bad.taken
        report = await station.take_manifest(LOT.reference, "pallet.csv", MANIFEST, OPERATOR)
        await station.close_lot(LOT.reference, OPERATOR)
        codes = ["lot.opened", "lot.manifest", "lot.closed"]
        assert bench.lot_codes() == codes
        await bench.stop()
        station = await bench.start()
        assert bench.lot_codes() == codes
        assert station.lot(LOT.reference).manifest_sha256 == report.sha256
        outbox, told = Outbox(bench.journal), []
        while (waiting := outbox.next()) is not None:
            document = lot_document.read(outbox.document(waiting))
            told.append((document.station, document.reference, document.manifest_sha256))
            outbox.document_received(waiting, b"receipt")
        facts = ("simulation", LOT.reference)
        assert told == [(*facts, ""), (*facts, report.sha256), (*facts, "")]

    play(tmp_path, day, drives=1)


def test_a_drive_that_was_refused_leaves_with_what_it_was_scanned_by(tmp_path: Path) -> None:
    async def day(bench: Bench) -> None:
        station = await bench.start()
        await station.open_lot(LOT, (), OPERATOR)
        await station.scan("BAY:A1", OPERATOR)
        await station.scan("TAG:T-1", OPERATOR)
        bench.insert("A1")
        shown = await bench.until("A1", BayState.REFUSED)
        bench.pull("A1")
        await bench.until("A1", BayState.EMPTY)
        [closed] = bench.entries()
        assert isinstance(closed, ledger.InsertionClosed)
        assert closed.scanned == "T-1"
        assert closed.jobs == ()
        assert closed.refusals == tuple(one.code for one in shown.why)
        assert "plan.held-for-destruction" in closed.refusals

    play(tmp_path, day, policy="nist-purge")


def test_scanned_in_wiped_scanned_out_and_the_manifest_adds_up(tmp_path: Path) -> None:
    async def day(bench: Bench) -> None:
        station = await bench.start()
        await station.open_lot(LOT, (), OPERATOR)
        report = await station.take_manifest(LOT.reference, "pallet.csv", MANIFEST, OPERATOR)
        assert report.taken
        answer = await station.scan("S/N: S-1", OPERATOR)
        assert (answer.code, answer.alarm) == ("scan.waiting", False)
        await station.scan("TAG:T-1", OPERATOR)
        bench.insert("A1")
        shown = await bench.until("A1", BayState.PLANNED)
        assert (shown.asset_tag, shown.label_serial, shown.lot) == (
            "T-1",
            "S/N: S-1",
            LOT.reference,
        )
        await bench.approve("A1")
        await bench.until("A1", BayState.CONCLUDED)
        await station.scan("BAY:A1", OPERATOR)
        answer = await station.scan("S/N: S-1", OPERATOR)
        assert (answer.kind, answer.code, answer.alarm) == ("removal", "removal.agrees", False)
        bench.pull("A1")
        await bench.until("A1", BayState.EMPTY)
        closed = bench.entries()[-1]
        assert isinstance(closed, ledger.InsertionClosed)
        assert closed.scanned == "S/N: S-1"
        bench.insert("A3")  # on no line of the manifest
        await bench.until("A3", BayState.PLANNED)
        lot = station.lot(LOT.reference)
        states = {line.serial: line.state for line in lot.lines}
        assert states == {"S-1": "done", "S-2": "missing", "S-9": "missing"}
        assert lot.surplus == ("S-3",)

    play(tmp_path, day, drives=3)


def test_a_scan_out_of_the_wrong_bay_sounds_the_alarm(tmp_path: Path) -> None:
    async def day(bench: Bench) -> None:
        station = await bench.start()
        for bay in ("A1", "A2"):
            bench.insert(bay)
            await bench.until(bay, BayState.PLANNED)
            await bench.approve(bay)
        for bay in ("A1", "A2"):
            await bench.until(bay, BayState.CONCLUDED)
        await station.scan("BAY:A2", OPERATOR)
        answer = await station.scan("S/N: S-1", OPERATOR)
        assert answer.alarm
        assert answer.code == "removal.bay-differs"

    play(tmp_path, day, drives=2)


def test_an_announced_drive_that_never_appears_is_closed_as_not_detected(tmp_path: Path) -> None:
    async def day(bench: Bench) -> None:
        station = await bench.start()
        await station.open_lot(LOT, (), OPERATOR)
        await station.scan("S/N: ZA1B2C3D4E", OPERATOR)
        await bench.clock.sleep(55)
        assert bench.kinds() == []
        await bench.clock.sleep(10)
        assert bench.kinds() == ["insertion-closed not-detected"]
        closed = bench.entries()[-1]
        assert isinstance(closed, ledger.InsertionClosed)
        assert closed.scanned == "S/N: ZA1B2C3D4E"
        await bench.clock.sleep(3_600)
        assert len(bench.kinds()) == 1

    play(tmp_path, day)


def test_no_room_for_evidence_starts_nothing_and_says_so(tmp_path: Path) -> None:
    async def day(bench: Bench) -> None:
        station = await bench.start()
        await station.open_lot(LOT, (), OPERATOR)
        bench.insert("A1")
        shown = await bench.until("A1", BayState.PLANNED)
        assert "station.disk-full" in {one.code for one in shown.why}
        assert "station.disk-full" in {one.code for one in station.status().problems}
        with pytest.raises(DeskError) as refused:
            await bench.approve("A1")
        assert refused.value.code == "station.disk-full"
        await bench.clock.sleep(600)
        assert bench.kinds() == []

    play(tmp_path, day, unattended=True, reserve_bytes=2**60)


def test_two_people_approve_what_needs_two(tmp_path: Path) -> None:
    policy = replace(shipped("nist-clear"), policy_id=PolicyId("two/1"), two_person_approval=True)

    async def day(bench: Bench) -> None:
        station = await bench.start()
        await station.open_lot(LOT, (), OPERATOR)
        bench.insert("A1")
        await bench.until("A1", BayState.PLANNED)
        with pytest.raises(DeskError):
            await bench.approve("A1", SECOND)  # a second one is not the first
        await bench.approve("A1")
        assert bench.status("A1").state is BayState.PLANNED
        with pytest.raises(DeskError):
            await bench.approve("A1")
        await bench.approve("A1", SECOND)
        shown = await bench.until("A1", BayState.CONCLUDED)
        assert shown.verdict is Verdict.SANITIZED
        started = bench.entries()[0]
        assert isinstance(started, ledger.JobStarted)
        assert {one.person_id for one in started.approvals} == {"op-1", "op-2"}

    play(tmp_path, day, unattended=True, policy="two", policies={"two": policy})


def test_a_retired_stay_is_told_by_every_page_of_the_desk(tmp_path: Path) -> None:
    async def day(bench: Bench) -> None:
        station = await bench.start()
        bench.insert("A1")
        shown = await bench.until("A1", BayState.PLANNED)
        assert [one.id for one in station.jobs()] == [shown.insertion]
        await bench.approve("A1")
        shown = await bench.until("A1", BayState.CONCLUDED)
        assert shown.job
        assert shown.drive
        bench.pull("A1")
        await bench.until("A1", BayState.EMPTY)
        history = station.drive(shown.drive.identity_key)
        assert [one.cause for one in history.insertions] == ["removed"]
        assert [one.job for one in history.jobs] == [shown.job]
        assert history.drive.serial == "S-1"
        assert [one.job for one in station.records()] == [shown.job]
        assert station.record(shown.job).bundle.is_file()
        assert {one.name: one.number for one in station.status().jobs} == {"certified": 1}
        for unknown in ("j-20260101T000000-000000000000", "i-1", "../../etc/passwd"):
            with pytest.raises(DeskError):
                station.record(unknown)

    play(tmp_path, day)


def test_a_wall_clock_at_1970_and_jumping_changes_no_wait_and_breaks_no_chain(
    tmp_path: Path,
) -> None:
    async def day(bench: Bench) -> None:
        bench.clock.jump_wall(-56 * 365 * 86_400)
        station = await bench.start()
        await station.open_lot(LOT, (), OPERATOR)
        bench.insert("A1")
        await bench.until("A1", BayState.COUNTDOWN)
        before = bench.clock.boottime()
        bench.clock.jump_wall(56 * 365 * 86_400)
        await bench.until("A1", BayState.RUNNING)
        assert 28 <= bench.clock.boottime() - before <= 32
        bench.clock.jump_wall(-3_600)
        await bench.clock.sleep(2)
        bench.clock.jump_wall(7_200)
        shown = await bench.until("A1", BayState.CONCLUDED)
        assert shown.verdict is not None
        bench.pull("A1")
        await bench.until("A1", BayState.EMPTY)
        assert bench.kinds() == ["job-started", "job-concluded", "insertion-closed removed"]

    play(tmp_path, day, unattended=True)


def test_drives_without_a_name_each_go_on_with_their_own_job(tmp_path: Path) -> None:
    async def day(bench: Bench) -> None:
        await bench.start()
        for bay in ("A1", "A2", "A3"):
            bench.insert(bay)
            await bench.until(bay, BayState.PLANNED)
            await bench.approve(bay)
        for bay in ("A1", "A2", "A3"):
            await bench.until_working(bay)
        jobs = {bay: bench.status(bay).job for bay in ("A1", "A2", "A3")}
        assert len(set(jobs.values())) == 3
        await bench.stop()
        await bench.start()
        for bay, job in jobs.items():
            shown = await bench.until(bay, BayState.CONCLUDED)
            assert shown.job == job
            assert shown.verdict is Verdict.SANITIZED_WITH_EXCEPTIONS
        assert bench.kinds().count("job-started") == 3

    play(tmp_path, day, drives=3, more={"serial": "", "wwn": ""})


def test_who_is_too_many_waits_and_is_told_why(tmp_path: Path) -> None:
    async def day(bench: Bench) -> None:
        await bench.start()
        for bay in ("A1", "A2"):
            bench.insert(bay)
            await bench.until(bay, BayState.PLANNED)
            await bench.approve(bay)
        await bench.until("A1", BayState.RUNNING)
        shown = await bench.until("A2", BayState.QUEUED)
        await bench.clock.sleep(1)
        shown = bench.status("A2")
        assert [one.code for one in shown.why] == ["queue.jobs-max"]
        assert shown.action is Action.LEAVE
        await bench.until("A1", BayState.CONCLUDED)
        shown = await bench.until("A2", BayState.CONCLUDED)
        assert shown.verdict is Verdict.SANITIZED

    play(tmp_path, day, drives=2, admission=AdmissionSettings(jobs_max=1))


def test_a_failed_drive_is_tried_again_by_itself_as_often_as_the_settings_say(
    tmp_path: Path,
) -> None:
    async def day(bench: Bench) -> None:
        station = await bench.start()
        await station.open_lot(LOT, (), OPERATOR)
        bench.insert("A1")
        await bench.when(lambda: bench.kinds().count("job-concluded") == 3, "A1")
        shown = await bench.until("A1", BayState.CONCLUDED)
        assert shown.verdict is Verdict.NOT_SANITIZED
        assert shown.action is Action.SHRED
        await bench.clock.sleep(600)
        assert bench.kinds().count("job-started") == 3
        await bench.approve("A1")  # a person may, once more
        await bench.when(lambda: bench.kinds().count("job-started") == 4, "A1")

    bad = {"unwritable": (LbaSpan(5_000, 5_007),)}
    admission = AdmissionSettings(retries=2)
    play(tmp_path, day, unattended=True, more=bad, admission=admission)


def test_stopping_a_countdown_leaves_the_drive_to_a_person(tmp_path: Path) -> None:
    async def day(bench: Bench) -> None:
        station = await bench.start()
        await station.open_lot(LOT, (), OPERATOR)
        bench.insert("A1")
        shown = await bench.until("A1", BayState.COUNTDOWN)
        assert shown.insertion
        await station.abort(shown.insertion, OPERATOR)
        await bench.until("A1", BayState.PLANNED)
        await bench.clock.sleep(3_600)
        assert bench.status("A1").state is BayState.PLANNED
        assert bench.kinds() == []

    play(tmp_path, day, unattended=True)


def test_a_station_that_did_not_boot_from_its_own_disk_holds_everything_and_says_so(
    tmp_path: Path,
) -> None:
    async def day(bench: Bench) -> None:
        station = await bench.start()
        problems = {one.code for one in station.status().problems}
        assert "guard.undetermined" in problems
        assert station.status().mode is Mode.HOLDING
        bench.insert("A1")
        shown = await bench.until("A1", BayState.REFUSED)
        assert "guard.undetermined" in {one.code for one in shown.why}
        assert bench.kinds() == ["insertion-closed refused"]

    play(tmp_path, day, pins=(Pin("5000c500ffffffff", "PINNED-1", "OWN DISK"),))
