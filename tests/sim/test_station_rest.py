"""What a station does beside wiping: forgets no job, says what is wrong, waits for a centre."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from nullbay.agent.desk import DeskError
from nullbay.agent.journal.outbox import Outbox
from nullbay.agent.rack import Place
from nullbay.agent.reserve import Reserve
from nullbay.certs import ledger, verify
from nullbay.cli import agent as service
from nullbay.domain.clock import Clock
from nullbay.domain.ids import BayId, PolicyId
from nullbay.domain.job import JobState
from nullbay.domain.lot import Lot
from nullbay.domain.outcome import JobEnd
from nullbay.domain.policy import Budgets
from nullbay.domain.status import Action, BayState, StationStatus
from nullbay.domain.verdict import Verdict
from nullbay.lab import clock as virtual
from nullbay.lab import hands
from nullbay.lab.clock import VirtualClock
from support.crashes import OLD, signers
from support.many import ManyBench
from support.paper_centre import PaperCentre
from support.rack import Rack, left, shipped
from support.station import LOT, OPERATOR, Bench, drive

SIGNERS = signers()
ABSENT_S = 3_600
DAY_S = 86_400.0
IMPATIENT = replace(
    shipped("nist-clear"),
    policy_id=PolicyId("impatient/1"),
    budgets=Budgets(absent_deadline_s=ABSENT_S),
)


def play(
    folder: Path,
    day: Callable[[Bench], Awaitable[None]],
    *,
    drives: int = 1,
    **given: object,
) -> None:
    """Some days of a station."""
    rack = {f"A{n}": drive(f"S-{n}") for n in range(1, drives + 1)}

    async def main(clock: VirtualClock) -> None:
        bench = Bench(Rack(folder, clock, signers=SIGNERS), clock, rack, **given)  # type: ignore[arg-type]
        try:
            await day(bench)
        finally:
            await bench.end()

    virtual.run(main, seed=1)


def problems(status: StationStatus) -> dict[str, str]:
    return {one.code: one.detail for one in status.problems}


# --- what nobody came back for ----------------------------------------------------------------


def test_a_job_whose_drive_never_comes_back_is_concluded_while_the_station_runs(
    tmp_path: Path,
) -> None:
    async def day(bench: Bench) -> None:
        station = await bench.start()
        for bay in ("A1", "A2"):
            bench.insert(bay)
            await bench.until(bay, BayState.PLANNED)
            await bench.approve(bay)
            await bench.until_working(bay)
        job = bench.status("A1").job
        assert job
        bench.pull("A1")
        await bench.until("A1", BayState.EMPTY)
        pulled = bench.clock.boottime()
        await bench.until("A2", BayState.CONCLUDED)
        await bench.clock.sleep(ABSENT_S - 120)
        assert bench.clock.boottime() - pulled < ABSENT_S
        assert bench.journal.state(job).verdict is None  # it may still come back
        await bench.when(lambda: bench.journal.state(job).verdict is not None, "A1")
        assert ABSENT_S <= bench.clock.boottime() - pulled <= ABSENT_S + 180
        concluded = [one for one in bench.entries() if isinstance(one, ledger.JobConcluded)]
        assert [(one.verdict, one.end) for one in concluded if one.job_id == job] == [
            (Verdict.INDETERMINATE, JobEnd.ABSENT_PAST_DEADLINE)
        ]
        assert bench.journal.state(job).state is JobState.CERTIFIED
        assert station.record(job).bundle.is_file()
        await bench.clock.sleep(ABSENT_S)
        assert bench.kinds().count("job-concluded") == 2
        # it comes back after all: what was concluded stays, nothing starts without being asked
        bench.insert("A1")
        shown = await bench.until("A1", BayState.KNOWN)
        assert (shown.verdict, shown.action) == (Verdict.INDETERMINATE, Action.CALL)
        await bench.clock.sleep(600)
        assert bench.kinds().count("job-started") == 2

    play(tmp_path, day, drives=2, policy="impatient", policies={"impatient": IMPATIENT})


def test_a_drive_that_is_back_in_time_is_not_forgotten(tmp_path: Path) -> None:
    async def day(bench: Bench) -> None:
        await bench.start()
        bench.insert("A1")
        await bench.until("A1", BayState.PLANNED)
        await bench.approve("A1")
        await bench.until_working("A1")
        bench.pull("A1")
        await bench.until("A1", BayState.EMPTY)
        await bench.clock.sleep(ABSENT_S - 120)
        bench.insert("A1")
        shown = await bench.until("A1", BayState.CONCLUDED)
        assert shown.verdict is Verdict.SANITIZED
        await bench.clock.sleep(2 * ABSENT_S)
        assert bench.kinds().count("job-concluded") == 1

    play(tmp_path, day, policy="impatient", policies={"impatient": IMPATIENT})


def test_a_job_whose_drive_is_here_has_all_the_time_it_needs(tmp_path: Path) -> None:
    """It works for longer than its policy waits for an absent one."""
    hurried = replace(IMPATIENT, budgets=Budgets(absent_deadline_s=2))

    async def day(bench: Bench) -> None:
        await bench.start()
        bench.insert("A1")
        await bench.until("A1", BayState.PLANNED)
        await bench.approve("A1")
        await bench.until_working("A1")
        began = bench.clock.boottime()
        shown = await bench.until("A1", BayState.CONCLUDED, within_s=DAY_S)
        # at least one sweep looked at it
        assert bench.clock.boottime() - began > 90
        assert shown.verdict is Verdict.SANITIZED
        assert bench.kinds() == ["job-started", "job-concluded"]

    async def main(clock: VirtualClock) -> None:
        big = {"A1": drive("S-1", sectors=200_000)}
        rack = Rack(tmp_path, clock, signers=SIGNERS)
        bench = Bench(rack, clock, big, policy="impatient", policies={"impatient": hurried})
        try:
            await day(bench)
        finally:
            await bench.end()

    virtual.run(main, seed=1)


# --- what the rack has to complain of ---------------------------------------------------------


def test_two_drives_in_what_is_called_one_bay_are_a_problem_and_only_one_is_touched(
    tmp_path: Path,
) -> None:
    async def day(bench: ManyBench) -> None:
        for name in ("d1", "d2"):
            bench.make(name, drive(f"S-{name}"))
        second = bench.file("d2")
        held = left(second, OLD)
        station = await bench.start()
        bench.push("d1", "A1")
        await bench.until("A1", BayState.PLANNED)
        bench.push("d2", "A1")
        await bench.when(lambda: "bay.two-drives" in problems(station.status()), "A1")
        assert problems(station.status())["bay.two-drives"] == "A1: /lab/a1-d2"
        assert {one.serial for one in station.drives()} == {"S-d1", "S-d2"}
        await bench.approve("A1")
        shown = await bench.until("A1", BayState.CONCLUDED)
        assert shown.drive is not None
        assert (shown.drive.serial, shown.verdict) == ("S-d1", Verdict.SANITIZED)
        assert left(second, OLD) == held > 0
        bench.take("d2")
        await bench.when(lambda: "bay.two-drives" not in problems(station.status()), "A1")
        assert {one.serial for one in station.drives()} == {"S-d1"}

    async def main(clock: VirtualClock) -> None:
        rack = Rack(tmp_path, clock, signers=SIGNERS)
        bench = ManyBench(rack, clock, {"A1": drive("none")})
        try:
            await day(bench)
        finally:
            await bench.end()

    virtual.run(main, seed=1)


def test_a_drive_that_comes_back_in_another_bay_is_finished_there_and_has_its_record(
    tmp_path: Path,
) -> None:
    async def main(clock: VirtualClock) -> None:
        rack = Rack(tmp_path, clock, signers=SIGNERS)
        bench = ManyBench(rack, clock, {bay: drive(f"none-{bay}") for bay in ("A1", "A2")})
        try:
            await day(bench)
        finally:
            await bench.end()

    async def day(bench: ManyBench) -> None:
        bench.make("d1", drive("S-1"))
        station = await bench.start()
        bench.push("d1", "A1")
        await bench.until("A1", BayState.PLANNED)
        await bench.approve("A1")
        await bench.until_working("A1")
        job = bench.status("A1").job
        bench.take("d1")
        await bench.until("A1", BayState.EMPTY)
        bench.push("d1", "A2")
        shown = await bench.until("A2", BayState.CONCLUDED)
        assert (shown.job, shown.verdict) == (job, Verdict.SANITIZED)
        assert left(bench.file("d1"), OLD) == 0
        files = station.record(str(job))
        checked = verify.verify(files.bundle.read_bytes(), bench.rack.trust, files.archive)
        assert checked.statement.predicate.environment.bay == "A2"
        started = bench.entries()[0]
        assert isinstance(started, ledger.JobStarted)
        assert started.bay == "A1"

    virtual.run(main, seed=1)


def test_a_bay_that_is_not_where_it_was_learned_takes_no_drive(tmp_path: Path) -> None:
    async def day(bench: Bench) -> None:
        hands.make_file_drive(bench.path("A1"), drive("S-1"), old_data=OLD)
        hands.pull(bench.path("A1"))
        bench.unmapped = frozenset({BayId("A1")})
        station = await bench.start()
        await station.open_lot(LOT, (), OPERATOR)
        assert problems(station.status())["bay.topology-changed"] == "A1"
        for bay in ("A1", "A2"):
            bench.insert(bay)
        await bench.until("A2", BayState.CONCLUDED)
        await bench.clock.sleep(3_600)
        assert bench.status("A1").state is BayState.EMPTY
        assert "S-1" in {one.serial for one in station.drives()}
        assert left(bench.path("A1"), OLD) == 20_000 * 512
        assert {one.bay for one in bench.entries() if isinstance(one, ledger.JobStarted)} == {"A2"}
        # learned again, and put in anew
        bench.unmapped = frozenset()
        assert "bay.topology-changed" not in problems(station.status())
        bench.pull("A1")
        bench.insert("A1")
        shown = await bench.until("A1", BayState.CONCLUDED)
        assert shown.verdict is Verdict.SANITIZED
        assert left(bench.path("A1"), OLD) == 0

    play(tmp_path, day, drives=2, unattended=True)


def test_a_drive_outside_the_bays_is_left_alone_and_shown(tmp_path: Path) -> None:
    async def day(bench: Bench) -> None:
        stray = hands.make_file_drive(bench.folder / "usb.json", drive("S-USB"), old_data=OLD)
        hands.pull(stray)
        held = left(stray, OLD)
        station = await bench.start()
        await station.open_lot(LOT, (), OPERATOR)
        bench.source.insert(stray)
        await bench.when(lambda: bool(station.drives()), "A1")
        [card] = station.drives()
        assert card.serial == "S-USB"
        assert station.drive(card.identity_key).drive.serial == "S-USB"
        await bench.clock.sleep(3_600)
        assert bench.status("A1").state is BayState.EMPTY
        assert station.jobs() == ()
        assert bench.kinds() == []
        assert left(stray, OLD) == held > 0
        for which in (card.identity_key, "usb", "S-USB"):
            with pytest.raises(DeskError):
                await station.abort(which, OPERATOR)
        bench.source.remove(stray)
        await bench.when(lambda: not station.drives(), "A1")

    play(tmp_path, day, unattended=True)


def test_one_attendance_that_breaks_is_called_for_and_the_others_go_on(tmp_path: Path) -> None:
    async def day(bench: Bench) -> None:
        station = await bench.start()
        asked: Callable[[Place], Lot | None] = station.lot_of

        def breaks(place: Place) -> Lot | None:
            if place.bay.bay_id == "A1":
                raise ZeroDivisionError("a mistake of ours")
            return asked(place)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(station, "lot_of", breaks)
            for bay in ("A2", "A1", "A3"):
                bench.insert(bay)
            shown = await bench.until("A1", BayState.REFUSED)
            assert shown.action is Action.CALL
            assert ("station.crashed", "ZeroDivisionError") in {
                (one.code, one.detail) for one in shown.why
            }
            for bay in ("A2", "A3"):
                await bench.until(bay, BayState.PLANNED)
                await bench.approve(bay)
            for bay in ("A2", "A3"):
                done = await bench.until(bay, BayState.CONCLUDED)
                assert done.verdict is Verdict.SANITIZED
            shown = bench.status("A1")
            assert (shown.state, shown.action) == (BayState.REFUSED, Action.CALL)
            assert shown.verdict is None
            assert [type(one) for one in bench.outs] == [ZeroDivisionError]
            bench.outs.clear()
            bench.pull("A1")
            await bench.until("A1", BayState.EMPTY)
        # its stay was closed, once; put in again it is attended as ever
        closed = [one for one in bench.entries() if isinstance(one, ledger.InsertionClosed)]
        assert [one.bay for one in closed] == ["A1"]
        bench.insert("A1")
        await bench.until("A1", BayState.PLANNED)
        await bench.approve("A1")
        await bench.until("A1", BayState.CONCLUDED)

    play(tmp_path, day, drives=3)


# --- a centre that is away --------------------------------------------------------------------


def test_days_without_a_centre_and_a_full_disk_lose_nothing(tmp_path: Path) -> None:
    """The disk is full when the folder says so: it holds the station up, and no delivery."""

    async def main(clock: VirtualClock) -> None:
        centre = PaperCentre(SIGNERS[1], clock, random.Random(1), is_away=True)
        rack = {f"A{n}": drive(f"S-{n}") for n in range(1, 4)}
        bench = Bench(
            Rack(tmp_path, clock, signers=SIGNERS),
            clock,
            rack,
            unattended=True,
            reserve_bytes=1,
            employ=centre.employed_by,
        )
        try:
            await away_and_back(bench, centre)
        finally:
            await bench.end()

    virtual.run(main, seed=1)


async def away_and_back(bench: Bench, centre: PaperCentre) -> None:
    clock = bench.clock
    station = await bench.start()
    telling = asyncio.create_task(
        service._tell(bench.assembly, cast("Any", centre), cast("Clock", clock), 60)
    )
    await station.open_lot(LOT, (), OPERATOR)
    for bay in ("A1", "A2"):
        bench.insert(bay)
        shown = await bench.until(bay, BayState.CONCLUDED)
        assert shown.verdict is Verdict.SANITIZED
        bench.pull(bay)
        await bench.until(bay, BayState.EMPTY)
        await clock.sleep(2 * DAY_S)
    unreached(station.status(), centre)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Reserve, "has_room", lambda _: False)
        bench.insert("A3")
        shown = await bench.until("A3", BayState.PLANNED)
        assert "station.disk-full" in {one.code for one in shown.why}
        await clock.sleep(DAY_S)
        assert bench.status("A3").state is BayState.PLANNED
        assert {"station.disk-full", "centre.unreachable"} <= problems(station.status()).keys()
        # the agent is started again meanwhile: what waits is in the journal
        telling.cancel()
        with suppress(asyncio.CancelledError):
            await telling
        await bench.stop()
        station = await bench.start()
        telling = asyncio.create_task(
            service._tell(bench.assembly, cast("Any", centre), cast("Clock", clock), 60)
        )
        waiting = station.status().undelivered
        assert waiting == 8
        centre.is_away = False
        await bench.when(lambda: station.status().undelivered == 0, "A3", within_s=1_200)
        assert "station.disk-full" in problems(station.status())
    # room again: what was here all the time waits for a person
    bench.pull("A3")
    await bench.until("A3", BayState.EMPTY)
    bench.insert("A3")
    shown = await bench.until("A3", BayState.CONCLUDED)
    assert shown.verdict is Verdict.SANITIZED
    bench.pull("A3")
    await bench.until("A3", BayState.EMPTY)
    await bench.when(lambda: station.status().undelivered == 0, "A3", within_s=1_200)
    await clock.sleep(120)

    telling.cancel()
    all_there(bench, centre)
    assert station.status().problems == ()
    assert station.status().last_delivery is not None
    assert centre.beats[-1]


def unreached(status: StationStatus, centre: PaperCentre) -> None:
    """What a station says of itself after four days without its centre."""
    assert "centre.unreachable" in problems(status)
    assert status.undelivered == status.head_sequence == 7  # the lot, and three of each drive
    assert status.oldest_undelivered_s is not None
    assert status.oldest_undelivered_s > 4 * DAY_S
    assert status.last_delivery is None
    assert centre.missed > 4 * 24 * 60 - 60
    assert (centre.entries, centre.beats) == ([], [])


def all_there(bench: Bench, centre: PaperCentre) -> None:
    """Everything once, in order, and nothing left to deliver."""
    entries = list(bench.journal.ledger())
    assert [one.sha256 for one in centre.entries] == [one.sha256 for one in entries]
    assert [one.sequence for one in centre.entries] == list(range(1, len(entries) + 1))
    assert len(centre.records) == len(centre.evidence) == 3
    assert len(centre.documents) == 1
    assert len(centre.taken) == len(set(centre.taken)) == len(entries) + 3 + 1
    jobs = bench.journal.jobs()
    assert {bench.journal.state(row.job_id).state for row in jobs} == {JobState.DELIVERED}
    out = Outbox(bench.journal).state()
    assert (out.waiting, out.oldest, out.refused) == (0, None, ())
