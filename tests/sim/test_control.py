"""What people and heat do to a job under way: pause, continue, abort, slow down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from nullbay.agent.conduct import WipeResult
from nullbay.domain.verdict import Verdict
from nullbay.lab import clock as virtual
from nullbay.lab import hands
from nullbay.lab.clock import VirtualClock
from nullbay.lab.description import EventKind, EventSpec, SlowSpan, TemperatureSpec
from nullbay.wipers import protocol as p
from support.crashes import NIST_CLEAR, OLD, SECTORS, drive, scratch, signers
from support.rack import Audited, Fate, Killed, Process, Rack, audit, left, request_for

SIGNERS = signers()
SIZE_BYTES = SECTORS * 512
SLOW = 64 * 1024
"""Bytes per second at which a small drive takes ten seconds to write and ten to read."""


@dataclass
class Watched:
    """A wipe under somebody's hands: every message with its moment, results, the end."""

    heard: list[tuple[float, Any]] = field(default_factory=list)
    results: list[WipeResult] = field(default_factory=list)
    seconds: float = 0.0
    found: Audited | None = None
    old_bytes: int = 0

    @property
    def verdict(self) -> Verdict | None:
        recorded = self.results[-1].recorded
        return recorded.conclusion.verdict if recorded else None

    @property
    def codes(self) -> set[str]:
        recorded = self.results[-1].recorded
        return {one.code for one in recorded.conclusion.findings} if recorded else set()

    def progress(self) -> list[tuple[float, p.Progress]]:
        return [(at, one) for at, one in self.heard if isinstance(one, p.Progress)]


Hand = Callable[[Process, Any, int], None]
"""What somebody does on hearing a message: the process, the message, how many were heard."""


def watched(hand: Hand, *, rate: int = SLOW, tries: int = 6, **description: Any) -> Watched:
    """Wipe a drive; after each try that leaves the job open, put it back and try again."""

    async def main(clock: VirtualClock) -> Watched:
        path = hands.make_file_drive(folder / "drive.json", drive(**description), old_data=OLD)
        rack = Rack(folder, clock, signers=SIGNERS)
        seen = Watched()
        started = clock.boottime()
        for _ in range(tries):
            process = rack.process()

            def listen(message: Any, process: Process = process) -> None:
                seen.heard.append((clock.boottime() - started, message))
                hand(process, message, len(seen.heard))

            asked = request_for(path, clock, NIST_CLEAR, rate_limit_bytes_per_s=rate)
            try:
                seen.results.append(await process.wipe(asked, listen))
            except Killed:
                await process.die(with_drive_processes=True)
                continue
            await process.end()
            if seen.results[-1].recorded is not None:
                break
            if not hands.is_attached(path):
                hands.put_back(path)
        seen.seconds = clock.boottime() - started
        seen.found = audit(rack, allow_open=seen.results[-1].recorded is None)
        seen.old_bytes = left(path, OLD)
        return seen

    with scratch() as folder:
        return virtual.run(main)


def say(process: Process, message: Any) -> None:
    """Send something to the drive process, as somebody at the bench would."""
    process.soon(process.children[-1].channel.send(message))


def nothing(_process: Process, _message: Any, _count: int) -> None:
    """Nobody interferes."""


# --- rate --------------------------------------------------------------------------------------


def test_the_rate_holds_for_all_lanes_together() -> None:
    seen = watched(nothing)
    assert seen.verdict is Verdict.SANITIZED
    least = 2 * SIZE_BYTES / SLOW
    assert 0.9 * least <= seen.seconds <= 1.2 * least + 5
    fast = watched(nothing, rate=0, speed_mb_s=1)
    assert fast.seconds < 5


def test_the_limit_can_be_lifted_under_way() -> None:
    def lift(process: Process, _message: Any, count: int) -> None:
        if count == 20:
            say(process, p.SetRate(0))

    seen = watched(lift)
    assert seen.verdict is Verdict.SANITIZED
    assert seen.seconds < 10


# --- pause -------------------------------------------------------------------------------------


class PauseOnce:
    """Pause at the `at`-th message of a phase, for `seconds`."""

    def __init__(self, phase: str, seconds: float, at: int = 3) -> None:
        self._phase, self._seconds, self._left = phase, seconds, at

    def __call__(self, process: Process, message: Any, _count: int) -> None:
        if isinstance(message, p.Progress) and message.phase == self._phase:
            self._left -= 1
            if self._left == 0:
                say(process, p.Pause())
                process.soon(self._go_on(process))

    async def _go_on(self, process: Process) -> None:
        await process.rack.clock.sleep(self._seconds)
        await process.children[-1].channel.send(p.Continue())


@pytest.mark.parametrize("phase", ["write", "verify"])
def test_paused_nothing_moves_and_afterwards_it_goes_on(phase: str) -> None:
    seen = watched(PauseOnce(phase, 3600.0))
    assert seen.verdict is Verdict.SANITIZED
    assert seen.seconds > 3600 + 2 * SIZE_BYTES / SLOW * 0.9
    paused = [one for _, one in seen.progress() if one.paused == ("operator",)]
    assert len(paused) > 10_000
    # a block that was on its way when the pause came is finished
    assert paused[-1].done_bytes - paused[8].done_bytes == 0
    assert seen.found is not None
    (transcript,) = seen.found.transcripts.values()
    assert len(transcript.evidence.sessions) == 1


def test_a_crash_while_paused_ends_the_pause_and_nothing_else() -> None:
    pause = PauseOnce("write", 3600.0)

    def hand(process: Process, message: Any, count: int) -> None:
        pause(process, message, count)
        if isinstance(message, p.Progress) and message.paused and count > 200:
            process.fate.dead = True
            process.fate.check()

    seen = watched(hand)
    assert seen.verdict is Verdict.SANITIZED
    assert seen.old_bytes == 0


def test_too_hot_it_waits_until_it_is_cooler() -> None:
    heat = TemperatureSpec(30, 80, up_per_busy_minute=60_000, down_per_idle_minute=60)
    seen = watched(nothing, speed_mb_s=1, temperature=heat)
    assert seen.verdict is Verdict.SANITIZED
    hot = [(at, one) for at, one in seen.progress() if one.paused == ("temperature",)]
    assert hot
    budgets = NIST_CLEAR.budgets
    for at, one in hot:
        assert one.temperature_celsius is not None
        assert one.temperature_celsius >= budgets.continue_below_celsius, at
    pauses = [b - a for (a, _), (b, _) in pairwise(hot) if b - a < 1]
    assert sum(pauses) >= budgets.pause_above_celsius - budgets.continue_below_celsius


# --- abort -------------------------------------------------------------------------------------


class AbortAt:
    """Abort when the `at`-th message of a kind, or progress of a phase, is heard."""

    def __init__(self, what: str, at: int = 1) -> None:
        self._what, self._left = what, at
        self.done = False

    def __call__(self, process: Process, message: Any, _count: int) -> None:
        name = message.phase if isinstance(message, p.Progress) else message.kind
        if name == self._what:
            self._left -= 1
            if self._left == 0:
                assert process.conducting is not None
                process.soon(process.conducting.abort())
                self.done = True


@pytest.mark.parametrize(
    ("what", "at"),
    [("exchanged", 1), ("intent", 1), ("write", 1), ("ranges-flushed", 2), ("write", 20),
     ("verify", 1), ("verify", 20)],
)  # fmt: skip
def test_aborted_means_concluded_and_recorded(what: str, at: int) -> None:
    seen = watched(AbortAt(what, at))
    assert len(seen.results) == 1
    assert seen.verdict is Verdict.NOT_SANITIZED
    assert "job.aborted" in seen.codes
    assert seen.seconds < 2 * SIZE_BYTES / SLOW


def test_aborted_while_it_is_read_back_is_not_taken_for_a_difference() -> None:
    """The blocks that were not read any more say nothing about the drive."""
    gone = EventSpec(EventKind.GONE, after_written_bytes=SIZE_BYTES // 2)
    for serial in ("SER1", ""):
        abort = AbortAt("resume", 1)
        seen = watched(abort, serial=serial, event=(gone,), slow=(SlowSpan(0, SECTORS - 1, 400),))
        assert abort.done, "it was not read back slowly enough to be interrupted"
        ends = [(one.open_code, one.recorded is not None) for one in seen.results]
        if serial:
            assert ends == [("drive.gone", False), ("", True)]
            assert seen.verdict is Verdict.NOT_SANITIZED
            assert "job.aborted" in seen.codes
        else:
            # whose job it is was never found out, so it is not concluded
            assert ends[:2] == [("drive.gone", False), ("step.aborted", False)]
            assert seen.verdict is Verdict.SANITIZED_WITH_EXCEPTIONS
        assert seen.found is not None
        assert len(seen.found.verdicts) == 1


def test_aborted_while_the_drive_is_still_being_opened() -> None:
    """Nothing was written, and there is a record that says so."""

    async def main(clock: VirtualClock) -> Audited:
        path = hands.make_file_drive(folder / "drive.json", drive(), old_data=OLD)
        rack = Rack(folder, clock, signers=SIGNERS)
        process = rack.process()
        await process.connect()
        conductor = process.conductor()
        wipe = asyncio.create_task(
            conductor.wipe(request_for(path, clock, NIST_CLEAR), rack.out, lambda _: None)
        )
        await asyncio.sleep(0)
        await conductor.abort()
        await process.tell(await wipe)
        await process.end()
        assert left(path, OLD) == SIZE_BYTES
        return audit(rack)

    with scratch() as folder:
        found = virtual.run(main)
    assert list(found.verdicts.values()) == [Verdict.NOT_SANITIZED]


@pytest.mark.parametrize("moment", ["appended events", "write result", "renamed result", "begin"])
def test_aborted_and_killed_before_it_was_recorded_stays_aborted(moment: str) -> None:
    """The same command does not take up again what an operator has stopped."""
    aborted = False

    def hand(process: Process, message: Any, _count: int) -> None:
        nonlocal aborted
        if isinstance(message, p.RangesFlushed) and not aborted:
            aborted = True
            assert process.conducting is not None
            process.soon(process.conducting.abort())
        if isinstance(message, p.StepOver):
            process.fate._name = moment

    seen = watched(hand)
    assert seen.verdict is Verdict.NOT_SANITIZED
    assert "job.aborted" in seen.codes
    assert seen.found is not None
    assert len(seen.found.verdicts) == 1


def test_restart_concludes_the_open_job_and_starts_another() -> None:
    async def main(clock: VirtualClock) -> Audited:
        pulled = drive(event=(EventSpec(EventKind.GONE, after_written_bytes=SIZE_BYTES // 2),))
        path = hands.make_file_drive(folder / "drive.json", pulled, old_data=OLD)
        rack = Rack(folder, clock, signers=SIGNERS)
        process = rack.process()
        assert (await process.wipe(request_for(path, clock, NIST_CLEAR))).open_code == "drive.gone"
        hands.put_back(path)
        again = replace(request_for(path, clock, NIST_CLEAR), restart=True)
        result = await process.wipe(again)
        await process.end()
        assert result.recorded is not None
        assert left(path, OLD) == 0
        return audit(rack)

    with scratch() as folder:
        found = virtual.run(main)
    assert list(found.verdicts.values()) == [Verdict.NOT_SANITIZED, Verdict.SANITIZED]


@pytest.mark.parametrize("seed", range(0, 120, 3))
def test_restart_killed_anywhere_ends_with_the_new_job_sanitized(seed: int) -> None:
    async def main(clock: VirtualClock) -> Audited:
        pulled = drive(event=(EventSpec(EventKind.GONE, after_written_bytes=SIZE_BYTES // 2),))
        path = hands.make_file_drive(folder / "drive.json", pulled, old_data=OLD)
        rack = Rack(folder, clock, signers=SIGNERS)
        process = rack.process()
        await process.wipe(request_for(path, clock, NIST_CLEAR))
        await process.end()
        hands.put_back(path)
        for fate in (Fate(seed), Fate()):
            process = rack.process(fate)
            again = replace(request_for(path, clock, NIST_CLEAR), restart=True)
            try:
                result = await process.wipe(again)
            except Killed:
                await process.die(with_drive_processes=True)
                continue
            await process.end()
            assert result.recorded is not None
            assert result.recorded.conclusion.verdict is Verdict.SANITIZED
            break
        assert left(path, OLD) == 0
        return audit(rack)

    with scratch() as folder:
        found = virtual.run(main)
    first, *_, last = found.verdicts.values()
    assert (first, last) == (Verdict.NOT_SANITIZED, Verdict.SANITIZED)


# --- telling again -----------------------------------------------------------------------------


def untold(hand: Hand, change: Callable[[Path], object] = lambda _: None) -> Watched:
    """Killed after the record was made and before anybody was told; then asked again, and again."""

    async def main(clock: VirtualClock) -> Watched:
        path = hands.make_file_drive(folder / "drive.json", drive(speed_mb_s=1), old_data=OLD)
        rack = Rack(folder, clock, signers=SIGNERS)
        seen = Watched()
        process = rack.process(Fate(name="tell"))
        with pytest.raises(Killed):
            await process.wipe(request_for(path, clock, NIST_CLEAR))
        await process.die(with_drive_processes=True)
        change(path)
        for _ in range(3):
            process = rack.process()

            def listen(message: Any, process: Process = process) -> None:
                seen.heard.append((clock.boottime(), message))
                hand(process, message, len(seen.heard))

            seen.results.append(await process.wipe(request_for(path, clock, NIST_CLEAR), listen))
            await process.end()
            if seen.results[-1].recorded is not None:
                break
            if not hands.is_attached(path):
                hands.put_back(path)
        seen.found = audit(rack, allow_open=True)
        seen.old_bytes = left(path, OLD)
        return seen

    with scratch() as folder:
        return virtual.run(main)


def spoil(path: Path) -> None:
    """Somebody wrote to the drive while nobody held it."""
    with path.with_suffix(".img").open("r+b") as image:
        image.seek(SIZE_BYTES // 2)
        image.write(b"new data")


def test_a_record_is_told_again_after_the_drive_was_read_in_full() -> None:
    seen = untold(nothing)
    assert seen.verdict is Verdict.SANITIZED
    assert {one.phase for _, one in seen.progress()} == {"recheck"}
    assert seen.found is not None
    assert len(seen.found.verdicts) == 1


def test_a_drive_written_to_meanwhile_gets_a_job_of_its_own() -> None:
    seen = untold(nothing, spoil)
    assert seen.found is not None
    assert list(seen.found.verdicts.values()) == [Verdict.SANITIZED] * 2
    assert seen.results[-1].job == list(seen.found.verdicts)[-1]


def test_aborted_while_it_is_read_the_record_waits_to_be_told() -> None:
    seen = untold(AbortAt("recheck"))
    assert [one.open_code for one in seen.results] == ["step.aborted", ""]
    assert seen.verdict is Verdict.SANITIZED
    assert seen.found is not None
    assert len(seen.found.verdicts) == 1


def test_pulled_while_it_is_read_the_record_is_told_no_more() -> None:
    pulled = False

    def pull(process: Process, message: Any, _count: int) -> None:
        nonlocal pulled
        if isinstance(message, p.Progress) and not pulled:
            pulled = True
            hands.pull(process.rack.folder / "drive.json")

    seen = untold(pull)
    assert [one.open_code for one in seen.results] == ["drive.gone", ""]
    assert seen.found is not None
    assert list(seen.found.verdicts.values()) == [Verdict.SANITIZED] * 2


def test_a_drive_process_that_dies_while_it_reads_is_no_reason_to_believe() -> None:
    killed = False

    def kill(process: Process, message: Any, _count: int) -> None:
        nonlocal killed
        if isinstance(message, p.Progress) and not killed:
            killed = True
            process.children[-1].kill()

    seen = untold(kill)
    assert seen.verdict is Verdict.SANITIZED
    assert seen.old_bytes == 0
    assert seen.found is not None
    assert len(seen.found.verdicts) == 2
