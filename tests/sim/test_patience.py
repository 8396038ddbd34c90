"""Drives that are given up: too many errors, too little moved. And those that are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nullbay.agent.conduct import WipeResult
from nullbay.domain.outcome import JobEnd, JobEvidence, OutcomeKind, SessionEnd
from nullbay.domain.policy import Budgets
from nullbay.domain.verdict import Verdict
from nullbay.lab import clock as virtual
from nullbay.lab import hands
from nullbay.lab.clock import VirtualClock
from nullbay.lab.description import EventKind, EventSpec, LbaSpan, SlowSpan
from nullbay.wipers import protocol as p
from support.crashes import NIST_CLEAR, OLD, SECTORS, drive, scratch, signers, variant
from support.rack import Process, Rack, audit, left, request_for

SIGNERS = signers()
BLOCK = 64 * 1024
SIZE_BYTES = SECTORS * 512
EVERYWHERE = (0, SECTORS - 1)
BETTER = (
    Verdict.SANITIZED,
    Verdict.SANITIZED_WITH_EXCEPTIONS,
    Verdict.INDETERMINATE,
    Verdict.NOT_SANITIZED,
)

Hand = Callable[[Process, Any], None]


@dataclass
class Seen:
    """What became of a drive: the last record, and when what was heard."""

    results: list[WipeResult] = field(default_factory=list)
    heard: list[tuple[float, Any]] = field(default_factory=list)
    evidence: JobEvidence | None = None
    old_bytes: int = 0

    @property
    def verdict(self) -> Verdict:
        recorded = self.results[-1].recorded
        assert recorded is not None
        return recorded.conclusion.verdict

    @property
    def codes(self) -> list[str]:
        recorded = self.results[-1].recorded
        assert recorded is not None
        return [one.code for one in recorded.conclusion.findings]

    @property
    def failed(self) -> Any:
        """The one outcome of a drive that was given up, as an auditor finds it in the record."""
        assert self.evidence is not None
        assert self.evidence.end is JobEnd.STOPPED_ON_ERRORS
        assert self.evidence.sessions[-1].end is SessionEnd.FINISHED
        (outcome,) = self.evidence.outcomes
        assert outcome.kind is OutcomeKind.FAILED
        return outcome

    def moments(self, kind: type[Any]) -> list[float]:
        return [at for at, one in self.heard if isinstance(one, kind)]


def nobody(_process: Process, _message: Any) -> None:
    """Nobody interferes."""


def wiped(budgets: Budgets, hand: Hand = nobody, *, rate: int = 0, **description: Any) -> Seen:
    """Wipe a drive under these budgets; one that went away is put back."""
    policy = variant(NIST_CLEAR, "patient", budgets=budgets)

    async def main(clock: VirtualClock) -> Seen:
        path = hands.make_file_drive(folder / "drive.json", drive(**description), old_data=OLD)
        rack = Rack(folder, clock, signers=SIGNERS)
        seen, started = Seen(), clock.boottime()
        for _ in range(3):
            process = rack.process()

            def listen(message: Any, process: Process = process) -> None:
                seen.heard.append((clock.boottime() - started, message))
                hand(process, message)

            asked = request_for(path, clock, policy, rate_limit_bytes_per_s=rate)
            seen.results.append(await process.wipe(asked, listen))
            await process.end()
            if seen.results[-1].recorded is not None:
                break
            hands.put_back(path)
        found = audit(rack)
        (transcript,) = found.transcripts.values()
        seen.evidence, seen.old_bytes = transcript.evidence, left(path, OLD)
        return seen

    with scratch() as folder:
        return virtual.run(main)


# --- speed -------------------------------------------------------------------------------------


def slow(delay_s: int, span: tuple[int, int] = EVERYWHERE) -> dict[str, Any]:
    """A drive that takes so long for each block of these sectors."""
    return {"slow": (SlowSpan(*span, delay_s * 1000),)}


def test_a_drive_that_moves_too_little_for_a_whole_window_is_given_up() -> None:
    seen = wiped(Budgets(slow_s=120), **slow(30))
    assert seen.verdict is Verdict.NOT_SANITIZED
    assert seen.codes[0] == "health.too-slow"
    assert seen.failed.codes == ("health.too-slow",)
    assert seen.failed.verification is None
    (intent,), (over,) = seen.moments(p.Intent), seen.moments(p.StepOver)
    # after the window, each lane finishes the block it has begun
    assert 120 <= over - intent <= 120 + 3 * 30
    assert 0 < seen.old_bytes < SIZE_BYTES


def test_its_bay_is_free_at_once_and_another_job_may_follow() -> None:
    policy = variant(NIST_CLEAR, "patient", budgets=Budgets(slow_s=60))
    calm = variant(NIST_CLEAR, "calm", budgets=Budgets(slow_below_bytes_per_s=0))

    async def main(clock: VirtualClock) -> None:
        path = hands.make_file_drive(folder / "drive.json", drive(**slow(30)), old_data=OLD)
        rack = Rack(folder, clock, signers=SIGNERS)
        for one, verdict in ((policy, Verdict.NOT_SANITIZED), (calm, Verdict.SANITIZED)):
            process = rack.process()
            result = await process.wipe(request_for(path, clock, one))
            await process.end()
            assert result.recorded is not None
            assert result.recorded.conclusion.verdict is verdict
        assert len(audit(rack).verdicts) == 2

    with scratch() as folder:
        virtual.run(main)


def test_it_may_become_slow_in_the_middle_or_while_it_is_read_back() -> None:
    half = (SECTORS // 2, SECTORS - 1)
    seen = wiped(Budgets(slow_s=100, slow_below_bytes_per_s=BLOCK // 25), **slow(30, half))
    assert seen.failed.codes == ("health.too-slow",)
    assert seen.failed.flushed
    # written within the window, not read within it
    seen = wiped(Budgets(slow_s=400), **slow(30))
    assert seen.failed.codes == ("health.too-slow",)
    assert seen.failed.verification is not None
    assert seen.failed.verification.read_bytes < seen.failed.verification.planned_bytes
    assert seen.verdict is Verdict.NOT_SANITIZED
    assert seen.old_bytes == 0


@pytest.mark.parametrize(
    "budgets",
    [
        Budgets(slow_s=60, slow_below_bytes_per_s=0),
        Budgets(slow_s=60, slow_below_bytes_per_s=BLOCK // 30 - 100),
        Budgets(slow_s=601),
    ],
)
def test_one_that_is_just_fast_enough_goes_on_to_its_end(budgets: Budgets) -> None:
    assert wiped(budgets, **slow(30)).verdict is Verdict.SANITIZED


@pytest.mark.parametrize("phase", ["write", "verify"])
def test_a_paused_drive_is_not_given_up(phase: str) -> None:
    paused = False

    async def go_on(process: Process) -> None:
        await process.rack.clock.sleep(400)
        await process.children[-1].channel.send(p.Continue())

    def hand(process: Process, message: Any) -> None:
        nonlocal paused
        if isinstance(message, p.Progress) and message.phase == phase and not paused:
            paused = True
            process.soon(process.children[-1].channel.send(p.Pause()))
            process.soon(go_on(process))

    seen = wiped(Budgets(slow_s=60, slow_below_bytes_per_s=BLOCK // 20), hand, **slow(10))
    assert paused
    assert seen.verdict is Verdict.SANITIZED
    assert seen.heard[-1][0] > 400


MEASURED: dict[str, Any] = {"rate": 64 * 1024, "sectors": 20 * 1024 * 1024 // 512}
"""A limit that lets enough through in 260 s for the speed under it to be looked at."""


def test_a_drive_that_our_own_limit_slows_down_is_not_given_up() -> None:
    seen = wiped(Budgets(slow_s=60), rate=4096, sectors=2 * SECTORS)
    assert seen.verdict is Verdict.SANITIZED
    assert seen.heard[-1][0] >= 2 * SIZE_BYTES / 4096
    by_policy = Budgets(slow_s=60, rate_limit_bytes_per_s=4096)
    assert wiped(by_policy).verdict is Verdict.SANITIZED
    seen = wiped(Budgets(slow_s=260), **MEASURED)
    assert seen.verdict is Verdict.SANITIZED
    assert seen.heard[-1][0] >= 320


def test_one_that_is_far_below_our_own_limit_is_given_up_all_the_same() -> None:
    lame = (SlowSpan(0, MEASURED["sectors"] - 1, 5000),)
    seen = wiped(Budgets(slow_s=260), **MEASURED, slow=lame)
    assert seen.failed.codes == ("health.too-slow",)


def test_a_limit_set_and_lifted_under_way_is_not_the_drives_fault() -> None:
    count = 0

    def hand(process: Process, message: Any) -> None:
        nonlocal count
        if isinstance(message, p.Progress) and message.phase == "write":
            count += 1
            if count in {2, 1500}:
                rate = 100 if count == 2 else 0
                process.soon(process.children[-1].channel.send(p.SetRate(rate)))

    seen = wiped(Budgets(slow_s=60, slow_below_bytes_per_s=BLOCK // 20), hand, **slow(5))
    assert count > 1500
    assert seen.verdict is Verdict.SANITIZED


def test_each_session_has_a_window_of_its_own() -> None:
    gone = EventSpec(EventKind.GONE, after_ms=100_000)
    seen = wiped(Budgets(slow_s=150), event=(gone,), **slow(30))
    assert [one.open_code for one in seen.results] == ["drive.gone", ""]
    assert seen.failed.codes == ("health.too-slow",)
    first, second = seen.moments(p.Intent)
    assert first < 100 <= second
    assert seen.moments(p.StepOver)[-1] - second >= 150


# --- errors ------------------------------------------------------------------------------------

BAD = tuple(LbaSpan(at, at) for at in range(100, 1100, 100))
"""Ten sectors, each by itself."""


def test_the_last_error_allowed_does_not_end_a_job_and_the_next_one_does() -> None:
    budgets = Budgets(continue_past_unwritable=True, errors_max=10)
    seen = wiped(budgets, unwritable=BAD)
    assert seen.failed.codes == ("write.unwritable-sector",)
    assert seen.failed.unwritable.count == 10
    seen = wiped(replace(budgets, errors_max=9), unwritable=(*BAD, LbaSpan(1200, 1200)))
    assert seen.verdict is Verdict.NOT_SANITIZED
    assert "health.too-many-errors" in seen.codes
    assert seen.failed.codes == ("health.too-many-errors",)
    assert seen.failed.unwritable.count == 10
    seen = wiped(replace(budgets, errors_max=0), unwritable=(*BAD, LbaSpan(1200, 1200)))
    assert seen.failed.codes == ("write.unwritable-sector",)
    assert seen.failed.unwritable.count == 11


def test_sectors_that_cannot_be_read_count_as_well() -> None:
    seen = wiped(Budgets(errors_max=3), unreadable=BAD)
    assert seen.failed.codes == ("health.too-many-errors",)
    assert seen.failed.verification.unreadable.count == 4
    assert seen.verdict is Verdict.NOT_SANITIZED


def test_errors_that_take_long_end_by_the_budget_of_time() -> None:
    budgets = Budgets(slow_s=120, continue_past_unwritable=True)
    seen = wiped(budgets, unwritable=BAD, error_delay_ms=10_000)
    assert seen.failed.codes == ("health.too-slow",)
    assert "overwrite.unwritable" in seen.codes


# --- no budget makes anything better -----------------------------------------------------------

SPANS = st.lists(st.sampled_from(BAD), max_size=3, unique=True).map(tuple)


@settings(max_examples=10, deadline=None)
@given(
    errors_max=st.integers(0, 8),
    slow_s=st.integers(60, 400),
    least=st.sampled_from([0, 1, BLOCK // 20, 10**6]),
    past=st.booleans(),
    delay_s=st.sampled_from([0, 3, 30]),
    unwritable=SPANS,
    unreadable=SPANS,
)
def test_no_budget_makes_a_verdict_better(
    errors_max: int,
    slow_s: int,
    least: int,
    past: bool,
    delay_s: int,
    unwritable: tuple[LbaSpan, ...],
    unreadable: tuple[LbaSpan, ...],
) -> None:
    sick = {"unwritable": unwritable, "unreadable": unreadable, **slow(delay_s)}
    without = Budgets(continue_past_unwritable=past, errors_max=0, slow_below_bytes_per_s=0)
    limits = replace(without, errors_max=errors_max, slow_s=slow_s, slow_below_bytes_per_s=least)
    patient, limited = wiped(without, **sick), wiped(limits, **sick)
    assert BETTER.index(limited.verdict) >= BETTER.index(patient.verdict)
    assert (limited.verdict is patient.verdict) or limited.codes[0].startswith("health.too-")
    if limited.verdict.is_sanitized:
        assert limited.old_bytes == 0
