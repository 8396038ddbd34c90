"""Drives that leave, return, lose their cache, or are not who they seem to be."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nullbay.domain.outcome import OutcomeKind, SessionEnd
from nullbay.domain.patterns import ZERO, Keyed, OverwriteScheme
from nullbay.domain.plan import OverwriteStep
from nullbay.domain.policy import Full, NistR1, Policy
from nullbay.domain.record import Transcript
from nullbay.domain.verdict import Verdict
from nullbay.lab import clock as virtual
from nullbay.lab import hands
from nullbay.lab.clock import VirtualClock
from nullbay.lab.description import (
    CacheSpec,
    DeallocateKind,
    DriveDescription,
    EventKind,
    EventSpec,
    FlushKind,
    LossKind,
)
from support.crashes import (
    DEALLOCATED,
    NIST_CLEAR,
    OLD,
    SECTORS,
    ZERO_AFTERWARDS,
    drive,
    scratch,
    signers,
    variant,
)
from support.rack import Rack, audit, holds_stream, left, request_for, shipped

SIZE_BYTES = SECTORS * 512
SIGNERS = signers()
DOD = shipped("dod-5220-22-m/1")
TWO_KEYED = variant(NIST_CLEAR, "two-keyed", scheme=OverwriteScheme("two", (Keyed(), Keyed())))
ONLY_ZERO = variant(NIST_CLEAR, "only-zero", scheme=OverwriteScheme("zero", (ZERO,)))


def gone(*, written: int | None = None, read: int | None = None) -> EventSpec:
    return EventSpec(EventKind.GONE, after_written_bytes=written, after_read_bytes=read)


class Outcome:
    """What became of a drive: its records, old bytes left on it, whether it holds its stream."""

    def __init__(
        self, rack: Rack, path: Path, transcripts: list[Transcript], verdict: Verdict
    ) -> None:
        self.transcripts, self.verdict = transcripts, verdict
        self.evidence = transcripts[-1].evidence
        self.old_bytes = left(path, OLD)
        self.holds_stream = holds_stream(rack, transcripts[-1], path)
        self.results = [one.verification for one in self.evidence.outcomes if one.verification]


def wiped(description: DriveDescription, policy: Policy = NIST_CLEAR) -> Outcome:
    """Wipe a drive; whenever it is gone, put it back and ask again."""

    async def main(clock: VirtualClock) -> Outcome:
        path = hands.make_file_drive(folder / "drive.json", description, old_data=OLD)
        rack = Rack(folder, clock, signers=SIGNERS)
        for _ in range(10):
            process = rack.process()
            result = await process.wipe(request_for(path, clock, policy))
            await process.end()
            if result.recorded is not None:
                break
            assert result.open_code == "drive.gone", result
            audit(rack, allow_open=True)
            hands.put_back(path)
        found = audit(rack, allow_open=not description.serial)
        return Outcome(
            rack, path, list(found.transcripts.values()), list(found.verdicts.values())[-1]
        )

    with scratch() as folder:
        return virtual.run(main)


moments = st.integers(1, SIZE_BYTES - 1)


@settings(max_examples=30)
@given(at=moments, loss=st.sampled_from(LossKind), cache_kib=st.sampled_from([64, 256, 1024]))
def test_pulled_at_any_byte_with_its_cache_lost(at: int, loss: LossKind, cache_kib: int) -> None:
    cache = CacheSpec(cache_kib * 1024, loss)
    outcome = wiped(drive(cache=cache, seed=at, event=(gone(written=at),)))
    assert outcome.verdict is Verdict.SANITIZED
    assert outcome.old_bytes == 0
    assert outcome.holds_stream
    assert {one.profile for one in outcome.results} == {Full()}


@settings(max_examples=20)
@given(
    at=st.lists(moments, min_size=2, max_size=4, unique=True),
    reads=st.lists(moments, max_size=2, unique=True),
)
def test_pulled_again_and_again(at: list[int], reads: list[int]) -> None:
    events = tuple(gone(written=n) for n in sorted(at)) + tuple(gone(read=n) for n in reads)
    outcome = wiped(drive(event=events))
    assert outcome.verdict is Verdict.SANITIZED
    assert outcome.old_bytes == 0
    assert outcome.holds_stream
    assert len(outcome.evidence.sessions) > 1


@settings(max_examples=30)
@given(at=st.integers(1, 2 * SIZE_BYTES), loss=st.sampled_from(LossKind))
def test_a_power_cut_nobody_notices_leaves_nothing_or_is_found(at: int, loss: LossKind) -> None:
    """At any byte of the writing, then of the reading; the drive stays where it is."""
    cut = EventSpec(
        EventKind.POWER_CUT,
        after_written_bytes=at if at <= SIZE_BYTES else None,
        after_read_bytes=at - SIZE_BYTES if at > SIZE_BYTES else None,
    )
    cache = CacheSpec(1024 * 1024, loss)
    outcome = wiped(drive(cache=cache, seed=at, event=(cut,)))
    assert outcome.old_bytes == 0 or outcome.verdict is Verdict.NOT_SANITIZED
    assert outcome.verdict in {Verdict.SANITIZED, Verdict.NOT_SANITIZED}


@settings(max_examples=20)
@given(at=st.integers(64 * 1024, SIZE_BYTES), pulled=st.booleans())
def test_a_drive_that_only_says_it_flushed_is_caught(at: int, pulled: bool) -> None:
    """What it lost at the power cut is old data again, and verification reads it."""
    kind = EventKind.GONE if pulled else EventKind.POWER_CUT
    cut = EventSpec(kind, after_written_bytes=at)
    outcome = wiped(
        drive(cache=CacheSpec(1024 * 1024), flush=FlushKind.IGNORED, event=(cut,), seed=at)
    )
    if pulled:
        # what is lost was flushed by the drive's word, so its read-back before resuming differs
        assert any(one.restarted_from_zero for one in outcome.evidence.sessions) or at < 2 * 65536
    else:
        assert outcome.verdict is Verdict.NOT_SANITIZED
        assert outcome.old_bytes > 0


def test_a_drive_that_stayed_is_verified_as_planned_and_one_that_left_in_full() -> None:
    stayed, away = wiped(drive()), wiped(drive(event=(gone(written=SIZE_BYTES // 2),)))
    assert [one.profile for one in stayed.results] == [NistR1()]
    assert [one.profile for one in away.results] == [Full()]
    assert (stayed.verdict, away.verdict) == (Verdict.SANITIZED, Verdict.SANITIZED)


@pytest.mark.parametrize(
    "policy", [DOD, TWO_KEYED, ZERO_AFTERWARDS, ONLY_ZERO], ids=lambda p: p.policy_id
)
@pytest.mark.parametrize("where", ["write", "read"])
def test_interrupted_in_each_pass(policy: Policy, where: str) -> None:
    passes = len(policy.scheme.passes) + (policy is ZERO_AFTERWARDS)
    for number in range(passes):
        into = number * SIZE_BYTES + SIZE_BYTES // 2
        if where == "read":
            event = gone(read=SIZE_BYTES // 2 if number == 0 else SIZE_BYTES // 2 + number)
        else:
            event = gone(written=into)
        outcome = wiped(drive(event=(event,)), policy)
        assert outcome.verdict is Verdict.SANITIZED
        assert outcome.old_bytes == 0
        assert outcome.holds_stream
        assert len(outcome.evidence.sessions) == 2
        assert outcome.results[-1].profile == Full()
        assert len(outcome.evidence.outcomes) == passes


def test_a_pattern_without_a_key_proves_nothing_and_starts_again() -> None:
    """Zeros read back could be anybody's; the job starts from zero although they are there."""
    outcome = wiped(drive(event=(gone(written=SIZE_BYTES // 2),)), ONLY_ZERO)
    assert outcome.evidence.sessions[1].restarted_from_zero
    assert outcome.evidence.sessions[1].read_back is None
    keyed = wiped(drive(event=(gone(written=SIZE_BYTES // 2),)))
    back = keyed.evidence.sessions[1]
    assert back.read_back is not None
    assert back.read_back.is_match
    assert not back.restarted_from_zero


@pytest.mark.parametrize("kind", [DeallocateKind.ZEROS, DeallocateKind.OLD_DATA])
def test_deallocated_and_pulled_afterwards(kind: DeallocateKind) -> None:
    """The return is proved by the last pass, which a deallocation may have taken away."""
    event = gone(read=SIZE_BYTES // 2)
    outcome = wiped(drive(deallocate=kind, event=(event,)), DEALLOCATED)
    assert outcome.verdict is Verdict.SANITIZED
    assert outcome.old_bytes == 0
    assert [one.kind for one in outcome.evidence.outcomes] == [OutcomeKind.SUCCEEDED] * 2


def test_a_drive_that_cannot_deallocate_is_not_what_was_asked_for() -> None:
    outcome = wiped(drive(), DEALLOCATED)
    assert outcome.verdict is Verdict.NOT_SANITIZED
    assert outcome.evidence.outcomes[-1].codes == ("plan.deallocate-unsupported",)


# --- drives without a name ---------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_drives_without_a_name_are_told_apart_by_what_is_on_them(seed: int) -> None:
    """Three alike, in and out in any order, pulled at drawn moments: none is taken for another."""

    async def main(clock: VirtualClock) -> None:
        draw = random.Random(seed)
        rack = Rack(folder, clock, seed=seed, signers=SIGNERS)
        twins = {}
        for number in range(3):
            pulls = sorted(draw.sample(range(256 * 1024, SIZE_BYTES), 2))
            description = drive(
                serial="", seed=number, event=tuple(gone(written=at) for at in pulls), name="slot"
            )
            path = hands.make_file_drive(folder / f"t{number}.json", description, old_data=OLD)
            hands.pull(path)
            twins[path] = 0
        waiting, jobs_of = set(twins), {path: set[str]() for path in twins}
        while waiting:
            path = draw.choice(sorted(waiting))
            hands.put_back(path)
            process = rack.process()
            result = await process.wipe(request_for(path, clock, NIST_CLEAR))
            await process.end()
            assert result.job is not None, result
            jobs_of[path].add(result.job)
            if result.recorded is not None:
                waiting.remove(path)
                assert result.recorded.conclusion.verdict is Verdict.SANITIZED_WITH_EXCEPTIONS
                transcript = audit(rack, allow_open=True).transcripts[result.job]
                assert holds_stream(rack, transcript, path)
                hands.pull(path)
        assert not set.intersection(*jobs_of.values())
        assert not any(a & b for a in jobs_of.values() for b in jobs_of.values() if a is not b)
        # each was interrupted after something was flushed, so each has come back to its own job
        assert all(len(jobs) == 1 for jobs in jobs_of.values())
        found = audit(rack)
        for transcript in found.transcripts.values():
            for session in transcript.evidence.sessions[1:]:
                assert session.read_back is not None
                assert session.read_back.is_match
        assert not any(left(path, OLD) for path in twins)

    with scratch() as folder:
        virtual.run(main)


def test_another_drive_in_the_same_place_is_not_written_for_the_job_before_it_is_known() -> None:
    """The second twin gets a job of its own; the first one's waits, and is not shown to it."""

    async def main(clock: VirtualClock) -> None:
        rack = Rack(folder, clock, signers=SIGNERS)
        first = hands.make_file_drive(
            folder / "a.json",
            drive(serial="", name="slot", event=(gone(written=SIZE_BYTES // 2),)),
            old_data=OLD,
        )
        second = hands.make_file_drive(
            folder / "b.json", drive(serial="", name="slot", seed=1), old_data=OLD
        )
        process = rack.process()
        interrupted = await process.wipe(request_for(first, clock, NIST_CLEAR))
        other = await process.wipe(request_for(second, clock, NIST_CLEAR))
        hands.put_back(first)
        resumed = await process.wipe(request_for(first, clock, NIST_CLEAR))
        await process.end()
        assert interrupted.open_code == "drive.gone"
        assert other.job != interrupted.job == resumed.job
        found = audit(rack)
        assert [len(one.evidence.sessions) for one in found.transcripts.values()] == [1, 2]
        ends = [one.end for one in found.transcripts[resumed.job].evidence.sessions]  # type: ignore[index]
        assert ends == [SessionEnd.DRIVE_GONE, SessionEnd.FINISHED]

    with scratch() as folder:
        virtual.run(main)


def test_forgotten_jobs_are_concluded_as_nobody_knows() -> None:
    """A drive that never comes back: after the policy's patience its job is closed."""

    async def main(clock: VirtualClock) -> None:
        rack = Rack(folder, clock, signers=SIGNERS)
        pulled = drive(event=(gone(written=SIZE_BYTES // 2),))
        path = hands.make_file_drive(folder / "a.json", pulled, old_data=OLD)
        process = rack.process()
        result = await process.wipe(request_for(path, clock, NIST_CLEAR))
        await process.end()
        for days, verdicts in ((6, []), (2, [Verdict.INDETERMINATE])):
            await clock.sleep(days * 86_400)
            later = rack.process()
            await later.recover()
            await later.end()
            assert list(audit(rack, allow_open=not verdicts).verdicts.values()) == verdicts
        assert list(audit(rack).verdicts) == [result.job]

    with scratch() as folder:
        virtual.run(main)


def test_every_overwritten_unit_is_read_after_the_last_return() -> None:
    """Pulled after the verification, before the deallocation: verified once more, then unmapped."""
    description = drive(deallocate=DeallocateKind.ZEROS, event=(gone(read=SIZE_BYTES),))
    outcome = wiped(description, DEALLOCATED)
    assert outcome.verdict is Verdict.SANITIZED
    first = outcome.evidence.outcomes[0]
    back = outcome.evidence.sessions[-1].started
    assert first.verification is not None
    assert first.verification.drawn.boottime_us >= back.boottime_us
    steps = [one for one in outcome.evidence.plan.steps if isinstance(one, OverwriteStep)]
    assert len(steps) == 1
