"""One drive, wiped by processes that are killed at chosen moments until one of them finishes."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nullbay.certs.keys import FileSigner, load_or_create
from nullbay.domain.ids import JobId, PolicyId
from nullbay.domain.policy import FinalState, Policy
from nullbay.domain.verdict import Verdict
from nullbay.lab import clock as virtual
from nullbay.lab import hands
from nullbay.lab.clock import VirtualClock
from nullbay.lab.description import CacheSpec, DriveDescription
from nullbay.lab.olddata import OldData
from nullbay.wipers.channel import ChannelClosedError
from nullbay.wipers.evidence import standing
from nullbay.wipers.jobdir import JobDirectory
from support.rack import (
    Audited,
    BenchProcess,
    Fate,
    Killed,
    Rack,
    audit,
    holds_stream,
    left,
    pattern_key_of,
    request_for,
    shipped,
)

OLD = OldData(7)
SECTORS = 1280
TRIES_MAX = 8
NIST_CLEAR = shipped("nist-clear")


def variant(base: Policy, name: str, **changes: Any) -> Policy:
    """A policy like another."""
    return replace(base, policy_id=PolicyId(f"{name}/1"), **changes)


ZERO_AFTERWARDS = variant(NIST_CLEAR, "zero-afterwards", final_state=FinalState.ZERO)
DEALLOCATED = variant(NIST_CLEAR, "deallocated", final_state=FinalState.DEALLOCATED)


def drive(**more: Any) -> DriveDescription:
    """A small drive with a name, and a write cache that a pull empties."""
    usual = {"model": "Lab", "serial": "SER1", "sectors": SECTORS, "cache": CacheSpec(256 * 1024)}
    return DriveDescription(**{**usual, **more})


@dataclass(frozen=True)
class Scenario:
    """A drive, a policy, and the verdict that is right for them."""

    name: str
    description: DriveDescription = field(default_factory=drive)
    verdict: Verdict = Verdict.SANITIZED
    policy: Policy = NIST_CLEAR

    @property
    def is_named(self) -> bool:
        return bool(self.description.serial)


@dataclass(frozen=True)
class Deaths:
    """Who dies when: the moment's number in the first process, in the second, in its drive process.

    `with_drive_process`: the drive process dies with its bench; else it ends by itself. `replug`:
    after a death the drive is pulled, which empties its cache, and put back. `reboot`: the mains
    fail, for the station and its drives.
    """

    first: int | None = None
    second: int | None = None
    drive_process: int | None = None
    with_drive_process: bool = True
    replug: bool = False
    reboot: bool = False

    @property
    def out_of_sight(self) -> bool:
        return self.replug or self.reboot


@dataclass(frozen=True)
class Played:
    """The moments that the first process, and its first drive process, lived to see."""

    moments: list[str]
    drive_moments: list[str]
    audited: Audited
    tries: int


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder in memory where there is one: thousands of fsyncs are no part of what is tested."""
    memory = Path("/dev/shm")
    usable = memory.is_dir() and os.access(memory, os.W_OK)
    folder = Path(tempfile.mkdtemp(prefix="nullbay-sim-", dir=memory if usable else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def signers() -> tuple[FileSigner, FileSigner]:
    """Two keys for many racks."""
    with scratch() as folder:
        return (
            load_or_create(folder / "station.pem", "demo-station"),
            load_or_create(folder / "bench.pem", "demo-bench"),
        )


_SIGNERS = signers()


def play(scenario: Scenario, deaths: Deaths = Deaths()) -> Played:
    """Wipe the drive, dying as told and trying again, until a record is told; then audit it all."""
    with scratch() as folder:
        return virtual.run(lambda clock: _play(folder, clock, scenario, deaths))


async def _play(folder: Path, clock: VirtualClock, scenario: Scenario, deaths: Deaths) -> Played:
    path = hands.make_file_drive(folder / "drive.json", scenario.description, old_data=OLD)
    rack = Rack(folder, clock, signers=_SIGNERS)
    mortal = [Fate(deaths.first), Fate(deaths.second)]
    fates = [*mortal, *(Fate() for _ in range(TRIES_MAX - len(mortal)))]
    drive_fate = Fate(deaths.drive_process)
    keys: dict[str, bytes] = {}
    ended_here: set[str] = set()
    for number, fate in enumerate(fates):
        process = None
        try:
            process = rack.process(fate, drive_fate if number == 0 else None)
            result = await process.wipe(request_for(path, clock, scenario.policy))
            await process.end()
        except Killed:
            if process is not None:
                await process.die(with_drive_processes=deaths.with_drive_process)
            if has_told(fate):
                break
            ended = _look_at_jobs(rack, scenario, keys)
            if deaths.out_of_sight or scenario.policy is DEALLOCATED:
                ended_here |= ended
            if deaths.reboot:
                hands.cut_power(path)
                clock.reboot(off_s=600)
            if deaths.replug:
                hands.pull(path)
                hands.put_back(path)
            continue
        if result.recorded is not None:
            break
        # a drive process that dies while it is opened is a refusal: nothing was touched
        assert deaths.drive_process is not None, result
        assert {one.code for one in result.refusals} == {"guard.undetermined"}, result
        assert result.job is None
    else:
        raise AssertionError(f"no record after {TRIES_MAX} tries")
    await _tidied(rack)
    audited = audit(rack, allow_open=deaths.out_of_sight and not scenario.is_named)
    assert len({**audited.verdicts, **dict.fromkeys(audited.open_jobs)}) == 1 + len(ended_here)
    for job, before in keys.items():
        assert pattern_key_of(rack, JobId(job)) == before
    _check_verdict(rack, scenario, audited, path)
    return Played(mortal[0].moments, drive_fate.moments, audited, number + 1)


@dataclass(frozen=True)
class Apart:
    """Who dies alone, and when: the agent, whose bench works on, or the bench, whose agent stays.

    `second`: the moment of the next one. `later_s`: so long nobody listens to the bench.
    """

    agent: int | None = None
    bench: int | None = None
    second: int | None = None
    later_s: float = 0.0
    with_drive_process: bool = True


@dataclass(frozen=True)
class PlayedApart:
    """The moments of the first agent and of the first bench, and the job's sessions."""

    agent_moments: list[str]
    bench_moments: list[str]
    sessions: int


def play_apart(scenario: Scenario, deaths: Apart = Apart()) -> PlayedApart:
    """The same with two processes that die one without the other."""
    with scratch() as folder:
        return virtual.run(lambda clock: _play_apart(folder, clock, scenario, deaths))


async def _play_apart(
    folder: Path, clock: VirtualClock, scenario: Scenario, deaths: Apart
) -> PlayedApart:
    path = hands.make_file_drive(folder / "drive.json", scenario.description, old_data=OLD)
    rack = Rack(folder, clock, signers=_SIGNERS)
    agents = [Fate(deaths.agent), Fate(deaths.second if deaths.agent is not None else None)]
    benches = [Fate(deaths.bench), Fate(deaths.second if deaths.bench is not None else None)]
    first_agent, first_bench = agents[0], benches[0]
    request = request_for(path, clock, scenario.policy)
    bench = rack.bench(benches.pop(0))
    process, fate = None, agents.pop(0)
    for _ in range(TRIES_MAX):
        dying = asyncio.create_task(_dying(bench, deaths))
        try:
            if process is None:
                process = rack.process(fate, bench=bench)
            result = await process.wipe(request)
        except Killed:
            if process is not None:
                await process.die()
            if has_told(fate):
                break
            await clock.sleep(deaths.later_s)
            process, fate = None, agents.pop(0) if agents else Fate()
            continue
        except ChannelClosedError:
            result = None
        finally:
            if not bench.fate.dead:
                dying.cancel()
            await asyncio.gather(dying, return_exceptions=True)
        if result is not None and result.recorded is not None:
            break
        assert bench.fate.dead, result
        assert result is None or result.open_code == "bench.gone", result
        bench = rack.bench(benches.pop(0) if benches else Fate())
        assert process is not None
        await process.leave_for(bench)
    else:
        raise AssertionError(f"no record after {TRIES_MAX} tries")
    if process is not None and not fate.dead:
        await process.end()
    if not bench.fate.dead:
        await bench.end()
    await _tidied(rack)
    audited = audit(rack)
    assert len(audited.verdicts) == 1
    _check_verdict(rack, scenario, audited, path)
    (said,) = audited.transcripts.values()
    return PlayedApart(first_agent.moments, first_bench.moments, len(said.evidence.sessions))


async def _dying(bench: BenchProcess, deaths: Apart) -> None:
    """A dead bench's sockets close."""
    await bench.fate.died.wait()
    await bench.die(with_drive_processes=deaths.with_drive_process)


def has_told(fate: Fate) -> bool:
    """Whether a process lived to note that its result was told."""
    told = ["tell", "begin", "commit", "committed"]
    return any(fate.moments[at : at + 4] == told for at in range(len(fate.moments)))


async def _tidied(rack: Rack) -> None:
    """Whatever was killed when: the next start removes the folders of jobs that were told."""
    later = rack.process()
    await later.recover()
    told = {row.job_id for row in later.journal.jobs() if row.told}
    await later.end()
    jobs = rack.state / "jobs"
    assert not told & {one.name for one in jobs.iterdir()}


def _check_verdict(rack: Rack, scenario: Scenario, audited: Audited, path: Path) -> None:
    verdicts = list(audited.verdicts.values())
    assert set(verdicts) == {scenario.verdict}, audited.transcripts
    if scenario.verdict.is_sanitized:
        assert left(path, OLD) == 0
    last = list(audited.transcripts.values())[-1]
    if scenario.verdict.is_sanitized and scenario.policy is not DEALLOCATED:
        assert holds_stream(rack, last, path)


def _look_at_jobs(rack: Rack, scenario: Scenario, keys: dict[str, bytes]) -> set[str]:
    """Remember the jobs' keys; which jobs are followed by another if the drive leaves now.

    Those that are over, since nobody knows what becomes of a drive out of sight (nor, of one that
    was deallocated, what it should read as), and those of a drive without a name that has nothing
    on it which tells it from others.
    """
    ended = set()
    known = rack.known_jobs()
    for path in sorted((rack.state / "jobs").glob("j-*")):
        if path.name not in known:
            continue
        with scratch() as copy:
            job = JobDirectory(shutil.copytree(path, copy / path.name))
            is_over = standing(job, rack.clock.now()).end is not None or job.result() is not None
            so_far = [job.so_far(step.number) for step in job.order.plan.steps]
            job.close()
        if is_over or not (scenario.is_named or any(so_far)):
            ended.add(path.name)
        keys.setdefault(path.name, (path / "keys").read_bytes()[:32])
    return ended
