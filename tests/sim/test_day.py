"""A seeded day of two bays, told twice alike: drives of all sorts, pulled, paused, aborted.

The seed decides the drives, who pulls them when, and every key. Signatures are random and not in
the log; everything else is: messages, a job's events, ledger entries, verdicts, with their times.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nullbay.agent.conduct import Conductor, WipeResult
from nullbay.agent.journal.store import Journal
from nullbay.certs import ledger
from nullbay.domain.codec import to_plain
from nullbay.domain.drive import Drive
from nullbay.domain.ids import BayId
from nullbay.domain.policy import Policy
from nullbay.domain.ports import Arrived
from nullbay.domain.verdict import Verdict
from nullbay.lab import clock as virtual
from nullbay.lab import hands
from nullbay.lab.clock import VirtualClock
from nullbay.lab.description import CacheSpec, DriveDescription, LbaSpan, LossKind, SlowSpan
from nullbay.lab.host import SimulatedDriveSource
from support.crashes import NIST_CLEAR, OLD, ZERO_AFTERWARDS, scratch, signers
from support.rack import Rack, audit, left, request_for, shipped

SIGNERS = signers()
SEEDS = (1, 2, 3)
DRIVES_PER_BAY = 5
GOOD = {Verdict.SANITIZED, Verdict.SANITIZED_WITH_EXCEPTIONS}
BAD = {Verdict.NOT_SANITIZED}
DEFECTS = ("clean", "clean", "clean", "unwritable", "ignored", "slow", "cured", "nameless")


@dataclass(frozen=True)
class Guest:
    """One drive's part in the day: what it is, what is done to it, which verdicts are right."""

    name: str
    description: DriveDescription
    policy: Policy
    verdicts: frozenset[Verdict]
    pulls: tuple[tuple[float, float], ...]
    """After so many seconds in the bay it is pulled, for so many seconds."""
    pause_s: float
    abort_after_s: float


def guest(draw: random.Random, name: str) -> Guest:
    """Somebody's drive."""
    logical = draw.choice([512, 512, 4096])
    physical = draw.choice([logical, 4096])
    sectors = draw.randrange(256, 1024) * 1024 // logical
    defect = draw.choice(DEFECTS)
    span = LbaSpan(sectors // 2, sectors // 2 + draw.randrange(1, 4))
    cache = draw.choice([None, CacheSpec(128 * 1024), CacheSpec(512 * 1024, LossKind.SOME)])
    aborts = draw.random() < 0.1
    pulled = draw.random() < 0.4 and defect != "nameless"
    description = DriveDescription(
        model=f"Model {draw.randrange(3)}",
        serial="" if defect == "nameless" else f"S-{name}",
        name=name,
        sectors=sectors,
        logical_sector_bytes=logical,
        physical_sector_bytes=physical,
        speed_mb_s=draw.choice([1, 2]),
        seed=draw.randrange(1000),
        cache=cache,
        unwritable=(span,) if defect == "unwritable" else (),
        ignored_writes=(span,) if defect == "ignored" else (),
        unreadable_until_rewritten=(span,) if defect == "cured" else (),
        slow=(SlowSpan(span.first_lba, span.last_lba, 2000),) if defect == "slow" else (),
    )
    verdicts = BAD if defect in {"unwritable", "ignored"} else GOOD
    return Guest(
        name,
        description,
        draw.choice([NIST_CLEAR, NIST_CLEAR, ZERO_AFTERWARDS, shipped("dod-5220-22-m/1")]),
        frozenset(verdicts | BAD if aborts else verdicts),
        tuple((draw.uniform(0.1, 2.0), draw.uniform(1, 90)) for _ in range(2 * pulled)),
        pause_s=draw.uniform(1, 600) if draw.random() < 0.2 else 0.0,
        abort_after_s=draw.uniform(0.1, 2.0) if aborts else 0.0,
    )


class Day:
    """Two bays, their operators, and the station that reacts to arrivals."""

    def __init__(self, folder: Path, clock: VirtualClock, seed: int) -> None:
        self._clock, self._folder, self._seed = clock, folder, seed
        self._rack = Rack(folder, clock, seed=seed, signers=SIGNERS, bay_of=_bay)
        self._source = SimulatedDriveSource(clock)
        self._process = self._rack.process()
        self._conductors: dict[str, Conductor] = {}
        self._guests: dict[str, Guest] = {}
        self._ends: dict[str, asyncio.Queue[WipeResult]] = {}
        self.log: list[str] = []

    async def run(self) -> None:
        """From the first drive to the last, then the audit."""
        await self._process.connect()
        self._conductors = {bay: self._process.conductor() for bay in ("bay1", "bay2")}
        station = asyncio.create_task(self._station())
        async with asyncio.TaskGroup() as bays:
            for bay in self._conductors:
                bays.create_task(self._bay(bay))
        self._source.close()
        await station
        await self._process.end()
        found = audit(self._rack)
        assert len(found.verdicts) == 2 * DRIVES_PER_BAY
        for job, transcript in found.transcripts.items():
            for session in transcript.evidence.sessions[-1:]:
                name = session.attachment.nodes[0].name
                assert found.verdicts[job] in self._guests[name].verdicts, name
        for name, one in self._guests.items():
            image = self._folder / f"{name}.json"
            assert one.verdicts & GOOD == set() or left(image, OLD) == 0 or one.abort_after_s
        self.log += _records(self._rack)

    async def _station(self) -> None:
        """Notices arrivals; each stay is conducted by the conductor of its bay."""
        async with asyncio.TaskGroup() as stays:
            async for event in self._source.events():
                self._note(event.kind)
                if isinstance(event, Arrived):
                    stays.create_task(self._stay(event.drive))

    async def _stay(self, drive: Drive) -> None:
        name = drive.attachment.nodes[0].name
        one, bay = self._guests[name], name[:4]
        path = self._folder / f"{name}.json"

        def listen(message: Any) -> None:
            plain = to_plain(message)
            digest = hashlib.sha256(repr(plain).encode()).hexdigest()[:12]
            self._note(f"{name} {message.kind} {digest}")

        asked = request_for(path, self._clock, one.policy)
        self._rack.policies[one.policy.policy_id] = one.policy
        result = await self._conductors[bay].wipe(asked, self._rack.out, listen)
        await self._process.tell(result)
        said = result.recorded.conclusion.verdict.value if result.recorded else result.open_code
        self._note(f"{name} {said} {[one.code for one in result.refusals]}")
        self._ends[name].put_nowait(result)

    async def _bay(self, bay: str) -> None:
        """The operator of one bay: drives come one after another."""
        draw = random.Random(f"{self._seed} {bay}")
        for number in range(DRIVES_PER_BAY):
            await self._clock.sleep(draw.uniform(1, 300))
            one = guest(draw, f"{bay}-{number}")
            self._guests[one.name], self._ends[one.name] = one, asyncio.Queue()
            path = self._folder / f"{one.name}.json"
            hands.make_file_drive(path, one.description, old_data=OLD)
            hands.pull(path)
            self._source.insert(path)
            helper = asyncio.create_task(self._interfere(one, self._conductors[bay]))
            await self._until_finished(one, path)
            helper.cancel()
            with suppress(asyncio.CancelledError):
                await helper
            if hands.is_attached(path):
                self._source.remove(path)

    async def _until_finished(self, one: Guest, path: Path) -> None:
        pulls = iter(one.pulls)
        while True:
            after_s, away_s = next(pulls, (1e9, 0.0))
            try:
                async with self._clock.timeout(after_s):
                    result = await self._ends[one.name].get()
            except TimeoutError:
                self._source.remove(path)
                result = await self._ends[one.name].get()
                if result.recorded is None:
                    await self._clock.sleep(away_s)
                    self._source.insert(path)
                    continue
            assert result.recorded is not None, result
            return

    async def _interfere(self, one: Guest, conductor: Conductor) -> None:
        if one.pause_s:
            await self._clock.sleep(0.3)
            if (held := conductor._working) is not None:
                await conductor._bench.pause(held)
            await self._clock.sleep(one.pause_s)
            if (held := conductor._working) is not None:
                await conductor._bench.go_on(held)
        if one.abort_after_s:
            await self._clock.sleep(one.abort_after_s)
            await conductor.abort()

    def _note(self, what: str) -> None:
        self.log.append(f"{self._clock.boottime():.6f} {what}")


def _bay(drive: Drive) -> BayId:
    return BayId(drive.attachment.device_path.removeprefix("/lab/")[:4])


def _records(rack: Rack) -> Iterator[str]:
    """What the journal and the ledger tell of the day, without what rests on signatures."""
    journal = Journal(rack.state, rack.clock)
    try:
        for row in reversed(journal.jobs()):
            yield f"{row.job_id} {row.statement_id} {row.plan_sha256}"
            for number, event in enumerate(journal.events(row.job_id)):
                plain = {**to_plain(event), "statement_sha256": None}
                yield f"{row.job_id} {number} {plain}"
        for entry in journal.ledger():
            body = ledger.read_body(entry.body)
            plain = to_plain(body.event)
            for signed in ("statement_sha256", "archive_sha256"):
                plain.pop(signed, None)
            yield f"{entry.sequence} {body.at.at} {plain}"
    finally:
        journal.close()


def day(seed: int) -> list[str]:
    """The log of one day."""

    async def main(clock: VirtualClock) -> list[str]:
        made = Day(folder, clock, seed)
        try:
            await made.run()
        except BaseException as error:
            error.add_note(
                f"replay: NULLBAY_SIM_SEED={seed} .venv/bin/python -m pytest tests/sim/test_day.py"
            )
            error.add_note("\n".join(made.log[-20:]))
            raise
        return made.log

    with scratch() as folder:
        return virtual.run(main, seed=seed)


def seeds() -> tuple[int, ...]:
    given = os.environ.get("NULLBAY_SIM_SEED")
    return (int(given),) if given else SEEDS


@pytest.mark.parametrize("seed", seeds())
def test_the_same_seed_tells_the_same_day(seed: int) -> None:
    first = day(seed)
    assert len(first) > 200
    assert first == day(seed)


def test_another_seed_tells_another_day() -> None:
    one, other = seeds()[0], seeds()[0] + 1000
    assert day(one) != day(other)


def test_a_failing_seed_says_how_to_replay_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(_self: Day) -> None:
        raise AssertionError("as it happens")

    monkeypatch.setattr(Day, "run", fails)
    with pytest.raises(AssertionError) as caught:
        day(42)
    assert "NULLBAY_SIM_SEED=42" in caught.value.__notes__[0]
    assert isinstance(caught.value, AssertionError)
