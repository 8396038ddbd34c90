"""Where a job stands by its journal alone, and what evidence its records give."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from nullbay.domain.clock import ClockSync, Stamp
from nullbay.domain.outcome import (
    Content,
    JobEnd,
    Mismatch,
    OutcomeKind,
    SectorList,
    SessionEnd,
    VerificationResult,
)
from nullbay.domain.policy import Full
from nullbay.domain.ranges import ByteRange
from nullbay.domain.verdict import Verdict, conclude
from nullbay.wipers.evidence import Standing, evidence, standing
from nullbay.wipers.jobdir import (
    BenchEvent,
    RangeRecord,
    SessionEnded,
    StepEnded,
    StepIntended,
    UnwritableRecord,
)
from support.jobs import DOD, MIB, SIZE_BYTES, began, ended, moment, new_job, outcome

DONE, FAILED, CUT = OutcomeKind.SUCCEEDED, OutcomeKind.FAILED, OutcomeKind.INTERRUPTED
NOW = moment(100)


def stands(tmp_path: Path, *events: BenchEvent, passes: int = 1) -> Standing:
    job = new_job(tmp_path, DOD) if passes == 3 else new_job(tmp_path)
    for event in events:
        job.happened(event)
    job.close()
    return standing(job, NOW)


def step(number: int, kind: OutcomeKind, *codes: str) -> StepEnded:
    return StepEnded(outcome(number, kind, *codes))


def test_a_new_job_has_everything_to_do(tmp_path: Path) -> None:
    found = stands(tmp_path)
    assert (found.first_step, found.end, found.sessions, found.outcomes) == (1, None, (), ())


@pytest.mark.parametrize(
    ("events", "end"),
    [
        ((), None),
        ((step(1, DONE), ended(9, SessionEnd.FINISHED)), JobEnd.COMPLETED),
        ((step(1, DONE),), None),
        ((step(1, DONE), ended(9, SessionEnd.CRASHED, "step.crashed")), None),
        ((step(1, DONE), ended(9, SessionEnd.DRIVE_GONE, "drive.gone")), None),
        ((step(1, FAILED, "drive.error"),), JobEnd.STOPPED_ON_ERRORS),
        ((step(1, OutcomeKind.REFUSED),), JobEnd.STOPPED_ON_ERRORS),
        ((step(1, OutcomeKind.INDETERMINATE),), JobEnd.STOPPED_ON_ERRORS),
        ((step(1, CUT, "step.aborted"),), JobEnd.ABORTED),
        ((ended(9, SessionEnd.ABORTED, "step.aborted"),), JobEnd.ABORTED),
        ((step(1, FAILED, "step.deadline"),), JobEnd.DEADLINE),
        ((ended(9, SessionEnd.CRASHED, "step.deadline"),), JobEnd.DEADLINE),
        ((ended(9, SessionEnd.STOPPED, "identity.changed"),), JobEnd.STOPPED_ON_ERRORS),
        ((ended(9, SessionEnd.STOPPED, "step.interrupted"),), None),
        ((ended(9, SessionEnd.STOPPED, "drive.error"),), None),
        ((ended(9, SessionEnd.FINISHED),), None),
        ((ended(9, SessionEnd.ABORTED, "step.aborted"), began(10)), None),
    ],
)
def test_why_a_job_is_over_follows_from_the_journal(
    tmp_path: Path, events: tuple[BenchEvent, ...], end: JobEnd | None
) -> None:
    found = stands(tmp_path, began(1), StepIntended(1, moment(2)), *events)
    assert found.end is end


def test_a_mismatch_is_the_end_whatever_the_step_says(tmp_path: Path) -> None:
    result = VerificationResult(
        Full(), b"", moment(40), "", 10, 10, "simulated", 1,
        (Mismatch(5, 0, Content.TEXT, ""),), SectorList(), 0, moment(45),
    )  # fmt: skip
    found = replace(outcome(1, DONE), verification=result)
    assert stands(tmp_path, began(1), StepEnded(found)).end is JobEnd.STOPPED_ON_ERRORS


def test_steps_that_are_done_stay_done_until_one_of_them_is_begun_again(tmp_path: Path) -> None:
    events = [
        began(1),
        *(event for n in (1, 2) for event in (StepIntended(n, moment(n)), step(n, DONE))),
        StepIntended(3, moment(3)),
    ]
    found = stands(tmp_path / "a", *events, passes=3)
    assert found.first_step == 3
    assert [one.number for one in found.outcomes] == [1, 2]
    found = stands(tmp_path / "b", *events, began(4), StepIntended(2, moment(5)), passes=3)
    assert found.first_step == 2
    assert [one.number for one in found.outcomes] == [1]
    assert [one.number for one in found.intended] == [1, 2]
    found = stands(tmp_path / "c", *events, began(4, resumed=True, from_zero=True), passes=3)
    assert found.first_step == 1
    assert found.outcomes == ()
    assert found.intended == ()


def test_a_session_without_an_end_has_crashed_when_it_was_last_heard_of(tmp_path: Path) -> None:
    found = stands(
        tmp_path, began(1), StepIntended(1, moment(7)), began(20), ended(30, SessionEnd.STOPPED)
    )
    first, second = found.sessions
    assert (first.end, first.ended, first.identity_end) == (SessionEnd.CRASHED, moment(7), None)
    assert (second.end, second.ended) == (SessionEnd.STOPPED, moment(30))
    assert second.attachment_end == second.attachment


def test_a_step_without_an_outcome_gets_what_its_ranges_tell(tmp_path: Path) -> None:
    job = new_job(tmp_path)
    job.happened(began(1))
    job.happened(StepIntended(1, moment(2)))
    job.flushed(RangeRecord(1, (ByteRange(0, MIB),), moment(3)))
    job.flushed(RangeRecord(1, (ByteRange(MIB, 2 * MIB),), moment(4)))
    job.unwritable(UnwritableRecord(1, 9, "EIO"))
    job.unwritable(UnwritableRecord(1, 9, "EIO"))
    job.close()
    found = evidence(job, JobEnd.CRASHED, NOW)
    (one,) = found.outcomes
    assert (one.kind, one.codes) == (CUT, ("step.interrupted",))
    assert one.flushed == (ByteRange(0, 2 * MIB),)
    assert one.last_flush == moment(4)
    assert one.unwritable == SectorList(1, (9,))
    assert (one.started, one.ended) == (moment(2), NOW)
    assert conclude(found).verdict is Verdict.NOT_SANITIZED


def test_a_job_that_never_had_a_session_is_not_sanitized(tmp_path: Path) -> None:
    job = new_job(tmp_path)
    job.close()
    for end in JobEnd:
        assert not conclude(evidence(job, end, NOW)).verdict.is_sanitized


def test_evidence_names_what_was_observed_last(tmp_path: Path) -> None:
    job = new_job(tmp_path)
    observed = replace(job.order.drive.observed, at=moment(60))
    later = replace(job.order.drive, observed=observed, serial_shared=True)
    job.happened(began(1))
    job.happened(SessionEnded(SessionEnd.DRIVE_GONE, "drive.gone", moment(50), None))
    job.happened(began(55))
    job.happened(SessionEnded(SessionEnd.STOPPED, "drive.error", moment(61), later))
    job.close()
    found = evidence(job, JobEnd.ABORTED, NOW)
    assert found.observed_end is not None
    assert found.observed_end.at == moment(60)
    assert found.serial_shared
    assert found.plan.size_bytes == SIZE_BYTES
    assert found.pattern_key is not None
    assert found.pattern_key.in_evidence


def test_moments_of_another_boot_do_not_disturb_it(tmp_path: Path) -> None:
    other = Stamp("2026-11-22T08:00:00.000000Z", 5, "next-boot", ClockSync.UNKNOWN)
    found = stands(tmp_path, began(1), replace(began(2), at=other))
    assert [one.ended for one in found.sessions] == [moment(1), other]
