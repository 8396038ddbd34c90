"""What an auditor tried at the bench: consent that outlives what it was given for, and stale words.

Each of these is one wipe that nobody approved, or one word about a drive that is not known to be
true of it (bench.md, The wrong disk).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from nullbay.agent.desk import Approval, DeskError
from nullbay.agent.reserve import DiskFullError, Reserve
from nullbay.config.services import AdmissionSettings, BayRule
from nullbay.domain.drive import Drive
from nullbay.domain.ids import BayId, LotRef, PolicyId
from nullbay.domain.status import Action, BayState
from nullbay.domain.verdict import Verdict
from nullbay.lab import clock as virtual
from nullbay.lab import hands
from nullbay.lab.clock import VirtualClock
from nullbay.lab.host import SimulatedHostFacts
from nullbay.wipers import protocol as p
from nullbay.wipers.channel import Channel, local_pair
from nullbay.wipers.service import Bench as Bench_
from nullbay.wipers.service import Host, Placement, RefusedError
from support.crashes import signers
from support.rack import BUILD, Rack, shipped
from support.station import LOT, OPERATOR, SECOND, Bench, drive

SIGNERS = signers()
OTHER_LOT = replace(LOT, reference=LotRef("LOT-2"), customer="Somebody else")


def play(
    folder: Path, day: Callable[[Bench], Awaitable[None]], *, drives: int = 1, **given: object
) -> None:
    """One day of a station."""
    rack = {f"A{n}": drive(f"S-{n}") for n in range(1, drives + 1)}

    async def main(clock: VirtualClock) -> None:
        bench = Bench(Rack(folder, clock, signers=SIGNERS), clock, rack, **given)  # type: ignore[arg-type]
        try:
            await day(bench)
        finally:
            await bench.end()

    virtual.run(main, seed=1)


def moving(bench: Bench, bay: str) -> Callable[[], bool]:
    """Whether a bay's drive is written to."""
    return lambda: bool((work := bench.status(bay).work) and work.done_bytes)


def test_what_is_aborted_while_it_waits_for_its_turn_never_starts(tmp_path: Path) -> None:
    async def day(bench: Bench) -> None:
        station = await bench.start()
        for bay in ("A1", "A2"):
            bench.insert(bay)
            await bench.until(bay, BayState.PLANNED)
            await bench.approve(bay)
        await bench.when(moving(bench, "A1"), "A1")
        waiting = await bench.until("A2", BayState.QUEUED)
        assert waiting.insertion
        await station.abort(waiting.insertion, OPERATOR)
        await bench.until("A1", BayState.CONCLUDED)
        await bench.clock.sleep(600)
        assert bench.kinds().count("job-started") == 1
        assert bench.status("A2").state is BayState.PLANNED
        await bench.approve("A2")  # whoever changes their mind says so again
        await bench.until("A2", BayState.CONCLUDED)

    play(tmp_path, day, drives=2, admission=AdmissionSettings(jobs_max=1))


def test_what_a_person_aborted_is_not_tried_again_by_itself(tmp_path: Path) -> None:
    async def day(bench: Bench) -> None:
        station = await bench.start()
        await station.open_lot(LOT, (), OPERATOR)
        bench.insert("A1")
        await bench.when(moving(bench, "A1"), "A1")
        job = bench.status("A1").job
        assert job
        await station.abort(job, OPERATOR)
        shown = await bench.until("A1", BayState.CONCLUDED)
        assert shown.verdict is Verdict.NOT_SANITIZED
        await bench.clock.sleep(600)
        assert bench.kinds().count("job-started") == 1

    play(tmp_path, day, unattended=True, admission=AdmissionSettings(retries=3))


def test_a_first_approval_is_not_for_the_lot_that_came_after_it(tmp_path: Path) -> None:
    policy = replace(shipped("nist-clear"), policy_id=PolicyId("two/1"), two_person_approval=True)

    async def day(bench: Bench) -> None:
        station = await bench.start()
        await station.open_lot(LOT, (), OPERATOR)
        bench.insert("A1")
        await bench.until("A1", BayState.PLANNED)
        await bench.approve("A1")
        bench.pull("A1")
        await bench.until("A1", BayState.EMPTY)
        await station.close_lot(LOT.reference, OPERATOR)
        bench.insert("A1")  # in no lot
        await bench.until("A1", BayState.PLANNED)
        await bench.approve("A1")
        await station.open_lot(OTHER_LOT, (), OPERATOR)
        await bench.when(lambda: bench.status("A1").lot == OTHER_LOT.reference, "A1")
        with pytest.raises(DeskError):  # nobody has approved it for this lot yet
            await bench.approve("A1", SECOND)
        await bench.clock.sleep(60)
        assert "job-started" not in bench.kinds()

    play(tmp_path, day, policy="two", policies={"two": policy})


def test_an_approval_is_not_for_a_drive_that_took_the_place_of_the_one_it_was_given_for(
    tmp_path: Path,
) -> None:
    async def day(bench: Bench) -> None:
        station = await bench.start()
        bench.insert("A1")
        shown = await bench.until("A1", BayState.PLANNED)
        bench.bench.fate.dead = True
        await bench.bench.die(with_drive_processes=True)
        assert shown.insertion
        await station.approve(shown.insertion, Approval(shown.plan_sha256, shown.confirm), OPERATOR)
        await bench.clock.sleep(1)
        # swapped before a listing tells of it
        path = bench.path("A1")
        hands.pull(path)
        hands.make_file_drive(path, drive("S-X"))
        before = path.with_suffix(".img").read_bytes()
        bench.bench = bench.rack.bench()
        await bench.clock.sleep(600)
        assert "job-started" not in bench.kinds()
        assert path.with_suffix(".img").read_bytes() == before

    play(tmp_path, day)


def test_a_drive_in_another_bay_is_not_held_under_a_name_that_it_took_over(
    tmp_path: Path,
) -> None:
    """The kernel gives names away again: what was sdb here may be sdb in the next bay."""

    async def day(bench: Bench) -> None:
        station = await bench.start()
        await station.open_lot(LOT, (), OPERATOR)
        real = bench._device

        def renamed(drive: Drive) -> str:
            there = drive.attachment.device_path
            return (
                str(bench.path("A2"))
                if there == hands.device_path(bench.path("A1"))
                else real(drive)
            )

        bench._device = renamed  # type: ignore[method-assign]
        await bench.stop()
        station = await bench.start()
        hands.put_back(bench.path("A2"))  # no listing has told of it yet
        bench.insert("A1")
        await bench.until("A1", BayState.REFUSED, BayState.COUNTDOWN)
        await bench.clock.sleep(600)
        assert "job-started" not in bench.kinds()
        shown = bench.status("A1")
        assert shown.state is BayState.REFUSED
        assert shown.drive
        assert shown.drive.serial == "S-1"
        assert "identity.changed" in {one.code for one in shown.why}
        bench.pull("A1")
        await bench.until("A1", BayState.EMPTY)

    rules = {
        "A1": BayRule(BayId("A1"), True),
        "A2": BayRule(BayId("A2"), False),
    }
    play(tmp_path, day, drives=2, unattended=True, rules=rules)


def test_what_was_finished_before_and_plugged_in_again_gets_no_label(tmp_path: Path) -> None:
    """Nobody knows where it was meanwhile: the screen says CALL, and so does the scanner."""

    async def day(bench: Bench) -> None:
        station = await bench.start()
        bench.insert("A1")
        await bench.until("A1", BayState.PLANNED)
        await bench.approve("A1")
        await bench.until("A1", BayState.CONCLUDED)
        await station.scan("BAY:A1", OPERATOR)
        assert (await station.scan("S/N: S-1", OPERATOR)).label
        bench.pull("A1")
        await bench.until("A1", BayState.EMPTY)
        await bench.clock.sleep(86_400)
        bench.insert("A1")
        shown = await bench.until("A1", BayState.KNOWN)
        assert shown.action is Action.CALL
        for _ in range(2):
            await station.scan("BAY:A1", OPERATOR)
            answer = await station.scan("S/N: S-1", OPERATOR)
            assert not answer.label
            assert "SHIP" not in answer.message
        await bench.approve("A1")
        await bench.until("A1", BayState.CONCLUDED)
        await station.scan("BAY:A1", OPERATOR)
        answer = await station.scan("S/N: S-1", OPERATOR)
        assert answer.code == "removal.agrees"
        assert answer.label

    play(tmp_path, day)


def _no_room(*_: object) -> None:
    msg = "no room"
    raise DiskFullError(msg)


def test_consent_that_found_no_room_is_given_anew_by_all_who_give_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = replace(shipped("nist-clear"), policy_id=PolicyId("two/1"), two_person_approval=True)

    async def day(bench: Bench) -> None:
        await bench.start()
        bench.insert("A1")
        await bench.until("A1", BayState.PLANNED)
        await bench.approve("A1")
        with monkeypatch.context() as patched:  # full between the question and the answer
            patched.setattr(Reserve, "take", _no_room)
            await bench.approve("A1", SECOND)
            await bench.clock.sleep(60)
        assert "job-started" not in bench.kinds()
        await bench.approve("A1")
        await bench.clock.sleep(60)
        assert "job-started" not in bench.kinds()
        await bench.approve("A1", SECOND)
        await bench.until("A1", BayState.CONCLUDED)

    play(tmp_path, day, policy="two", policies={"two": policy})


def test_a_drive_process_opens_what_the_guard_saw_and_not_what_a_link_says_by_then(
    tmp_path: Path,
) -> None:
    """A stolen agent that turns a link of its own between the two: no other drive is claimed."""
    opened = []

    async def main(clock: VirtualClock) -> None:
        path = hands.make_file_drive(tmp_path / "drive.json", drive("S-1"))

        class Child:
            def __init__(self) -> None:
                ours, self.theirs = local_pair()
                self.channel: Channel = ours
                self.task = asyncio.create_task(self.answer())

            async def answer(self) -> None:
                await self.theirs.send(p.Hello(p.PROTOCOL, BUILD.version))
                await self.theirs.receive()
                asked = await self.theirs.receive()
                assert isinstance(asked, p.Open)
                opened.append(asked.device)
                self.theirs.close()

            def kill(self) -> None:
                self.theirs.close()

            def is_gone(self) -> bool:
                return True

        async def launch() -> Child:
            return Child()

        def find(_device: str) -> Drive:
            return replace(hands.look(path, clock), simulated=False)

        bench = Bench_(
            tmp_path / "jobs",
            Host(clock, SimulatedHostFacts(), find, launch),
            BUILD,
            Placement(bay_of=lambda _: BayId("A1")),
        )
        with pytest.raises(RefusedError):
            await bench.open("/somewhere/of/the/agent/link")
        assert opened == [hands.look(path, clock).attachment.nodes[0].name]

    virtual.run(main)
