"""A drive that is taken, worked on more than once, and left; and what the bench keeps meanwhile."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from nullbay.agent.conduct import Conductor, WipeRequest
from nullbay.certs import ledger
from nullbay.domain.lot import InsertionEnd
from nullbay.domain.verdict import Verdict
from nullbay.lab import clock as virtual
from nullbay.lab import hands
from nullbay.lab.clock import VirtualClock
from nullbay.wipers import bench_server
from nullbay.wipers import protocol as p
from nullbay.wipers.service import RefusedError, WrongConfirmationError
from support.crashes import NIST_CLEAR, OLD, drive, scratch, signers
from support.rack import Audited, Process, Rack, audit, left, request_for

SIGNERS = signers()


class Scene:
    """An agent and a bench of its own, and one drive."""

    def __init__(self, rack: Rack, process: Process, path: Path) -> None:
        self.rack, self.process, self.path = rack, process, path
        self.request = request_for(path, rack.clock, NIST_CLEAR)

    @property
    def conductor(self) -> Conductor:
        return self.process.conductor()

    @property
    def folders(self) -> set[str]:
        jobs = self.rack.state / "jobs"
        return {one.name for one in jobs.iterdir()} if jobs.is_dir() else set()

    def closings(self) -> list[ledger.InsertionClosed]:
        bodies = [ledger.read_body(one.body).event for one in self.process.journal.ledger()]
        return [one for one in bodies if isinstance(one, ledger.InsertionClosed)]


def played(act: Callable[[Scene], Awaitable[None]], **description: Any) -> Audited:
    async def main(clock: VirtualClock) -> Audited:
        path = hands.make_file_drive(folder / "drive.json", drive(**description), old_data=OLD)
        rack = Rack(folder, clock, signers=SIGNERS)
        bench = rack.bench()
        process = rack.process(bench=bench)
        await process.connect()
        scene = Scene(rack, process, path)
        await act(scene)
        await scene.process.end()
        await bench.end()
        return audit(rack, allow_open=True)

    with scratch() as folder:
        return virtual.run(main)


def quiet(_: p.FromDrive) -> None:
    """Nobody listens."""


def test_two_jobs_in_one_stay_are_both_named_when_it_closes() -> None:
    async def act(scene: Scene) -> None:
        conductor = scene.conductor
        stay = await conductor.take(str(scene.path))
        jobs = []
        for _ in range(2):
            result = await conductor.run(stay, scene.request, scene.rack.out, quiet)
            assert result.recorded is not None
            assert result.job is not None
            assert scene.folders == {result.job}
            await conductor.told(result.job)
            assert scene.folders == set()
            jobs.append(result.job)
        assert jobs[0] != jobs[1]
        assert not scene.closings(), "the stay goes on"
        await conductor.leave(stay, InsertionEnd.REMOVED, "ASSET-1")
        (closed,) = scene.closings()
        assert closed.jobs == tuple(jobs)
        assert (closed.cause, closed.scanned) == (InsertionEnd.REMOVED, "ASSET-1")
        assert left(scene.path, OLD) == 0

    assert list(played(act).verdicts.values()) == [Verdict.SANITIZED] * 2


def test_a_record_that_was_not_told_is_told_in_the_same_stay() -> None:
    async def act(scene: Scene) -> None:
        conductor = scene.conductor
        stay = await conductor.take(str(scene.path))
        first = await conductor.run(stay, scene.request, scene.rack.out, quiet)
        again = await conductor.run(stay, scene.request, scene.rack.out, quiet)
        assert again.recorded is not None
        assert again.job == first.job
        await conductor.leave(stay, InsertionEnd.REMOVED)

    assert len(played(act).verdicts) == 1


def test_a_folder_that_is_gone_does_not_block_its_drive() -> None:
    """Acknowledged, and the agent died before it noted that: the record is there, the keys not."""

    async def act(scene: Scene) -> None:
        conductor = scene.conductor
        stay = await conductor.take(str(scene.path))
        first = await conductor.run(stay, scene.request, scene.rack.out, quiet)
        (name,) = scene.folders
        shutil.rmtree(scene.rack.state / "jobs" / name)
        second = await conductor.run(stay, scene.request, scene.rack.out, quiet)
        assert second.recorded is not None
        assert second.job != first.job
        await conductor.leave(stay, InsertionEnd.REMOVED)

    assert list(played(act).verdicts.values()) == [Verdict.SANITIZED] * 2


def test_a_refused_drive_is_a_stay_that_is_closed() -> None:
    async def act(scene: Scene) -> None:
        scene.rack.facts._root = hands.look(scene.path, scene.rack.clock)
        with pytest.raises(RefusedError):
            await scene.conductor.take(str(scene.path))
        (closed,) = scene.closings()
        assert closed.cause is InsertionEnd.REFUSED
        assert "guard.system-drive" in closed.refusals
        assert scene.process.children == []

    played(act)


def test_another_drives_text_confirms_nothing() -> None:
    async def act(scene: Scene) -> None:
        conductor = scene.conductor
        stay = await conductor.take(str(scene.path))
        wrong = WipeRequest(str(scene.path), NIST_CLEAR, "SER2")
        with pytest.raises(WrongConfirmationError):
            await conductor.run(stay, wrong, None, quiet)
        assert scene.folders == set()
        await conductor.leave(stay, InsertionEnd.REMOVED)

    assert played(act).verdicts == {}


def test_an_agent_that_comes_back_is_attached_and_may_abort() -> None:
    async def act(scene: Scene) -> None:
        conductor = scene.conductor
        stay = await conductor.take(str(scene.path))
        slow = WipeRequest(
            str(scene.path), NIST_CLEAR, scene.request.confirm, rate_limit_bytes_per_s=64 * 1024
        )
        written = asyncio.Event()

        def heard(message: p.FromDrive) -> None:
            if isinstance(message, p.RangesFlushed):
                written.set()

        work = asyncio.create_task(conductor.run(stay, slow, scene.rack.out, heard))
        await written.wait()
        bench = scene.process.bench
        await scene.process.die()
        await asyncio.gather(work, return_exceptions=True)
        later = scene.process = scene.rack.process(bench=bench)
        await later.recover()
        again = await later.conductor().take(str(scene.path))
        assert again.held == stay.held
        (job,) = await later.client.jobs() if later.client else ()
        assert later.client is not None
        assert (await later.client.look(job)).running
        resumed = later.conductor()
        going = asyncio.create_task(resumed.run(again, slow, scene.rack.out, quiet))
        await scene.rack.clock.sleep(1)
        await resumed.abort()
        result = await going
        assert result.job == job
        assert result.recorded is not None
        assert result.recorded.conclusion.verdict is Verdict.NOT_SANITIZED
        await resumed.leave(again, InsertionEnd.REMOVED)

    found = played(act)
    (transcript,) = found.transcripts.values()
    assert len(transcript.evidence.sessions) == 1


def test_held_drives_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_server, "HELD_MAX", 1)

    async def act(scene: Scene) -> None:
        other = hands.make_file_drive(scene.path.with_name("other.json"), drive(serial="O"))
        client = scene.process.client
        assert client is not None
        held = await client.open(str(scene.path))
        with pytest.raises(Exception, match="held already") as caught:
            await client.open(str(other))
        assert getattr(caught.value, "code", "") == "bench.full"
        await client.close(held)
        assert (await client.open(str(other))).device == str(other)

    played(act)


def test_a_drive_that_was_pulled_makes_room_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_server, "HELD_MAX", 1)

    async def act(scene: Scene) -> None:
        other = hands.make_file_drive(scene.path.with_name("other.json"), drive(serial="O"))
        client = scene.process.client
        assert client is not None
        held = await client.open(str(scene.path))
        hands.pull(scene.path)
        assert (await client.open(str(other))).handle != held.handle
        with pytest.raises(RefusedError):
            await client.create(held, "x", "x", "x", None, ())

    played(act)
