"""Floors no policy can lower, stated from the design page, not from the code, and then attacked.

Each predicate says on evidence alone that one of the page's conditions holds. Where one does, no
verdict may be sanitized, whatever else the evidence, the plan or the policy say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.domain.strategies import SAMPLED, History, Shape, evidences, job, put, shapes

from nullbay.domain import sampling
from nullbay.domain.clock import Stamp
from nullbay.domain.drive import HiddenState, Observed
from nullbay.domain.method import MediaKind, Method, Technique
from nullbay.domain.outcome import (
    JobEnd,
    JobEvidence,
    OutcomeKind,
    StepOutcome,
    VerificationResult,
)
from nullbay.domain.plan import OverwriteStep, SanitizationPlan, StepPurpose
from nullbay.domain.policy import Budgets, Full, NistR1
from nullbay.domain.ranges import ByteRange
from nullbay.domain.reasons import CATALOGUE, Group
from nullbay.domain.verdict import Effect, Verdict, conclude

# --- the page, sentence by sentence ------------------------------------------------------------


def writes_of(plan: SanitizationPlan, unit_id: str) -> list[OverwriteStep]:
    """Overwrites of one unit that are there to reach the method, by number."""
    found = [
        step
        for step in plan.steps
        if isinstance(step, OverwriteStep)
        and step.unit_id == unit_id
        and step.purpose is StepPurpose.METHOD
    ]
    return sorted(found, key=lambda step: step.number)


def outcomes_of(evidence: JobEvidence, number: int) -> list[StepOutcome]:
    return [outcome for outcome in evidence.outcomes if outcome.number == number]


def looks(evidence: JobEvidence) -> list[Observed]:
    return [one for one in (evidence.observed_start, evidence.observed_end) if one is not None]


def boots(evidence: JobEvidence) -> list[str]:
    return list(dict.fromkeys(session.started.boot_id for session in evidence.sessions))


def is_known_not_before(evidence: JobEvidence, one: Stamp, other: Stamp) -> bool:
    """Whether `one` is known to be no earlier than `other`."""
    order = boots(evidence)
    if one.boot_id not in order or other.boot_id not in order:
        return False
    a, b = order.index(one.boot_id), order.index(other.boot_id)
    return a > b or (a == b and one.boottime_us >= other.boottime_us)


def step_without_own_success(evidence: JobEvidence) -> bool:
    """A required step's outcome is not Succeeded by the device's own evidence after our command."""
    for step in evidence.plan.steps:
        outcomes = outcomes_of(evidence, step.number)
        if [outcome.kind for outcome in outcomes] != [OutcomeKind.SUCCEEDED]:
            return True
        if isinstance(step, OverwriteStep):
            flush = outcomes[0].last_flush
            if flush is None or not evidence.sessions:
                return True
            if not is_known_not_before(evidence, flush, evidence.sessions[0].started):
                return True  # an old success
    return False


def uncovered(ranges: Iterable[ByteRange], size: int) -> bool:
    at = 0
    for one in sorted(ranges):
        if one.start > at:
            return True
        at = max(at, one.end)
    return at < size


def sector_not_flushed(evidence: JobEvidence) -> bool:
    """Any addressable sector not known to be written and flushed."""
    for unit in evidence.plan.units:
        writes = writes_of(evidence.plan, unit.unit_id)
        for step in writes:
            for outcome in outcomes_of(evidence, step.number):
                if uncovered(outcome.flushed, unit.size_bytes):
                    return True
                if outcome.unwritable.count or outcome.unwritable.first:
                    return True
        if not writes or unit.size_bytes <= 0:
            return True
    return not evidence.plan.units


def hidden_capacity(evidence: JobEvidence) -> bool:
    """Hidden capacity not covered; an overwrite covers none, and not asked is not known."""
    answers = [evidence.plan.hidden_areas, *(one.hidden_areas for one in looks(evidence))]
    return any(
        not areas
        or any(area.state in {HiddenState.PRESENT, HiddenState.UNKNOWN} for area in areas)
        or any(area.hidden_bytes for area in areas)
        for areas in answers
    )


def unit_not_covered(evidence: JobEvidence) -> bool:
    """A LUN, namespace or zone of the drive not covered, in number or in size."""
    if evidence.observed_end is None:
        return True
    for observed in looks(evidence):
        for seen in observed.units:
            planned = [one for one in evidence.plan.units if one.unit_id == seen.unit_id]
            if len(planned) != 1 or not writes_of(evidence.plan, seen.unit_id):
                return True
            if planned[0].size_bytes != seen.size_bytes:
                return True
    return False


def residue_found(evidence: JobEvidence) -> bool:
    """A canary, an `old` sample or a pattern mismatch found."""
    results = [one.verification for one in evidence.outcomes if one.verification is not None]
    return any(result.mismatched or result.mismatches for result in results)


def is_good(evidence: JobEvidence, result: VerificationResult, size: int, sector: int) -> bool:
    """Whether everything was read that profile, seed and size prescribe, past the host's cache."""
    try:
        wanted = sampling.extents(result.profile, size, sector, result.seed)
    except ValueError:
        return False
    wanted_bytes = sum(one.end - one.start for one in wanted)
    simulated = evidence.plan.simulated and result.reads == "simulated"
    return (
        result.planned_bytes == result.read_bytes == wanted_bytes
        and result.extents_sha256 == sampling.extents_sha256(wanted)
        and not result.unreadable.count
        and not result.unreadable.first
        and (result.reads in {"direct", "direct+fua"} or simulated)
    )


def verification_missing(evidence: JobEvidence) -> bool:
    """Verification missing, unfinished or unreadable where it had to be read."""
    for unit in evidence.plan.units:
        for last in writes_of(evidence.plan, unit.unit_id)[-1:]:
            for outcome in outcomes_of(evidence, last.number):
                result = outcome.verification
                if result is None or last.verification is None:
                    return True
                if result.profile not in (last.verification, Full()):
                    return True
                if not is_good(evidence, result, unit.size_bytes, unit.logical_sector_bytes):
                    return True
                flush = outcome.last_flush
                if flush is None or not is_known_not_before(evidence, result.drawn, flush):
                    return True
    return False


def identity_changed(evidence: JobEvidence) -> bool:
    """Identity or attachment changed in between."""
    key = evidence.plan.identity_key
    if not evidence.sessions or evidence.identity.key != key:
        return True
    for session in evidence.sessions:
        if session.identity_start != key or session.identity_end not in (None, key):
            return True
        if session.attachment_end is not None and session.attachment_end != session.attachment:
            return True
    last = evidence.sessions[-1]
    return last.identity_end is None or last.attachment_end is None


def absent_and_not_read(evidence: JobEvidence) -> bool:
    """Nobody held the drive for a while, and it was not fully verified afterwards."""
    sessions = evidence.sessions
    if len(sessions) < 2 and len(boots(evidence)) < 2:
        return False
    back = sessions[-1].started
    for unit in evidence.plan.units:
        steps = {
            step.number
            for step in evidence.plan.steps
            if isinstance(step, OverwriteStep) and step.unit_id == unit.unit_id
        }
        results = [
            outcome.verification
            for outcome in evidence.outcomes
            if outcome.number in steps and outcome.verification is not None
        ]
        if not any(
            result.profile == Full()
            and is_known_not_before(evidence, result.drawn, back)
            and is_good(evidence, result, unit.size_bytes, unit.logical_sector_bytes)
            for result in results
        ):
            return True
    return False


def method_not_reached(evidence: JobEvidence) -> bool:
    """Purge or more claimed from a technique that reaches only Clear on that medium.

    The table is of the standards page, last column. Of all techniques only the overwrite by the
    host can be proved so far; it is never more than Clear.
    """
    plan = evidence.plan
    return plan.technique is not Technique.HOST_OVERWRITE or plan.required_method is not (
        Method.CLEAR
    )


def not_completed(evidence: JobEvidence) -> bool:
    """A job that did not run to its end, or a drive nobody asked afterwards."""
    return evidence.end is not JobEnd.COMPLETED or evidence.observed_end is None


def retired_under_way(evidence: JobEvidence) -> bool:
    """Sectors retired while the Clear ran: they kept what they held, and nothing reaches them."""
    counts = [one.health.reallocated_sectors for one in looks(evidence)]
    return len(counts) > 1 and (counts[1] or 0) > (counts[0] or 0)


FLOORS: tuple[Callable[[JobEvidence], bool], ...] = (
    step_without_own_success,
    sector_not_flushed,
    hidden_capacity,
    unit_not_covered,
    residue_found,
    verification_missing,
    identity_changed,
    absent_and_not_read,
    method_not_reached,
    not_completed,
    retired_under_way,
)

CLOSED_LIST = {
    "exception.sectors-retired",
    "exception.read-errors-cured",
    "exception.serial-missing",
    "exception.serial-duplicate",
    "exception.clock-not-synchronised",
    "exception.health-below-line",
    "exception.area-excluded-by-standard",
}

# --- the properties ----------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(shapes())
def test_an_honest_job_is_sanitized_and_no_floor_holds(shape: Shape) -> None:
    evidence = job(shape)
    assert conclude(evidence).findings == ()
    assert conclude(evidence).verdict is Verdict.SANITIZED
    assert [floor.__name__ for floor in FLOORS if floor(evidence)] == []


@settings(max_examples=1500, deadline=None)
@given(evidences())
def test_no_floor_is_ever_crossed(evidence: JobEvidence) -> None:
    """Arbitrary evidence, contradictory too: one of four words, and never a false certificate."""
    conclusion = conclude(evidence)
    if conclusion.verdict.is_sanitized:
        assert [floor.__name__ for floor in FLOORS if floor(evidence)] == []
    assert {finding.code for finding in conclusion.findings} <= CATALOGUE.keys()
    for finding in conclusion.findings:
        is_exception = finding.effect is Effect.EXCEPTION
        assert (finding.code in CLOSED_LIST) == is_exception
        assert CATALOGUE[finding.code].group is (Group.EXCEPTION if is_exception else Group.VERDICT)
    if conclusion.verdict is Verdict.SANITIZED:
        assert conclusion.findings == ()


@settings(max_examples=300, deadline=None)
@given(
    evidences(),
    st.builds(
        Budgets,
        errors_max=st.integers(0, 2**40),
        slow_below_bytes_per_s=st.integers(0, 2**60),
        slow_s=st.integers(60, 2**40),
        continue_past_unwritable=st.booleans(),
    ),
)
def test_no_budget_changes_what_evidence_is_worth(evidence: JobEvidence, budgets: Budgets) -> None:
    other = replace(evidence, plan=replace(evidence.plan, budgets=budgets))
    assert conclude(other) == conclude(evidence)


@settings(max_examples=300, deadline=None)
@given(
    evidences(),
    st.data(),
    st.sampled_from(["health.too-many-errors", "health.too-slow"]),
    st.sampled_from([OutcomeKind.FAILED, OutcomeKind.INTERRUPTED, OutcomeKind.SUCCEEDED]),
)
def test_a_drive_that_was_given_up_is_never_sanitized(
    evidence: JobEvidence, data: st.DataObject, code: str, kind: OutcomeKind
) -> None:
    if not evidence.outcomes:
        return
    number = data.draw(st.integers(0, len(evidence.outcomes) - 1))
    given_up = put(evidence, ("outcomes", number, "codes"), (code,))
    conclusion = conclude(put(given_up, ("outcomes", number, "kind"), kind))
    assert not conclusion.verdict.is_sanitized
    if kind is OutcomeKind.FAILED and len({one.number for one in evidence.outcomes}) == len(
        evidence.outcomes
    ):
        planned = {step.number for step in evidence.plan.steps}
        is_planned = evidence.outcomes[number].number in planned
        assert (code in {one.code for one in conclusion.findings}) == is_planned


SAMPLED_AND_STOPPED = job(Shape(units=(SAMPLED,), profile=NistR1(), history=History.STOPPED))


def breaking(evidence: JobEvidence) -> dict[str, JobEvidence]:
    """The evidence broken in the way of each floor, in the simplest manner."""
    plan, first = evidence.plan, evidence.outcomes[0]
    result = first.verification
    assert result is not None
    assert evidence.observed_end is not None
    observed = evidence.observed_end
    hidden = (replace(observed.hidden_areas[0], state=HiddenState.PRESENT, hidden_bytes=512),)
    more = (*observed.units, replace(observed.units[0], unit_id="lun:5"))
    wrong = replace(result, mismatched=1)
    return {
        "step_without_own_success": put(evidence, ("outcomes", 0, "kind"), OutcomeKind.FAILED),
        "sector_not_flushed": put(evidence, ("outcomes", 0, "flushed"), (ByteRange(512, 2**20),)),
        "hidden_capacity": put(evidence, ("observed_end", "hidden_areas"), hidden),
        "unit_not_covered": put(evidence, ("observed_end", "units"), more),
        "residue_found": put(evidence, ("outcomes", 0, "verification"), wrong),
        "verification_missing": put(evidence, ("outcomes", 0, "verification"), None),
        "identity_changed": put(evidence, ("sessions", 0, "identity_start"), "f" * 64),
        "absent_and_not_read": SAMPLED_AND_STOPPED,
        "method_not_reached": replace(evidence, plan=replace(plan, required_method=Method.PURGE)),
        "not_completed": replace(evidence, end=JobEnd.DEADLINE),
        "retired_under_way": put(evidence, ("observed_end", "health", "reallocated_sectors"), 1),
    }


@pytest.mark.parametrize("floor", FLOORS, ids=lambda floor: floor.__name__)
def test_every_floor_can_be_reached(floor: Callable[[JobEvidence], bool]) -> None:
    """A predicate that never holds would prove nothing."""
    broken = breaking(job())[floor.__name__]
    assert floor(broken)
    assert not conclude(broken).verdict.is_sanitized


@pytest.mark.parametrize("media", MediaKind)
@pytest.mark.parametrize("required", Method)
@pytest.mark.parametrize("technique", Technique)
def test_only_clear_by_overwrite_can_be_proved(
    media: MediaKind, required: Method, technique: Technique
) -> None:
    evidence = job(Shape(media=media))
    plan = replace(evidence.plan, required_method=required, technique=technique)
    verdict = conclude(replace(evidence, plan=plan)).verdict
    possible = required is Method.CLEAR and technique is Technique.HOST_OVERWRITE
    assert verdict.is_sanitized == possible


# --- less evidence never makes a better verdict ------------------------------------------------

RANK = {
    Verdict.SANITIZED: 2,
    Verdict.SANITIZED_WITH_EXCEPTIONS: 1,
    Verdict.NOT_SANITIZED: 0,
    Verdict.INDETERMINATE: 0,
}


def without_one_thing(evidence: JobEvidence) -> list[JobEvidence]:
    """All ways to leave out one outcome, verification, session, observation or answer."""
    less = [replace(evidence, observed_end=None), replace(evidence, pattern_key=None)]
    for n, outcome in enumerate(evidence.outcomes):
        rest = evidence.outcomes[:n] + evidence.outcomes[n + 1 :]
        less.append(replace(evidence, outcomes=rest))
        less.append(put(evidence, ("outcomes", n, "verification"), None))
        less.append(put(evidence, ("outcomes", n, "last_flush"), None))
        for k in range(len(outcome.flushed)):
            cut = outcome.flushed[:k] + outcome.flushed[k + 1 :]
            less.append(put(evidence, ("outcomes", n, "flushed"), cut))
    for n in (0, len(evidence.sessions) - 1):
        rest_ = evidence.sessions[:n] + evidence.sessions[n + 1 :]
        less.append(replace(evidence, sessions=rest_))
    for path in (("plan",), ("observed_start",), ("observed_end",)):
        holder = getattr(evidence, path[0])
        if holder is None:
            continue
        for n in range(len(holder.hidden_areas)):
            rest__ = holder.hidden_areas[:n] + holder.hidden_areas[n + 1 :]
            less.append(put(evidence, (*path, "hidden_areas"), rest__))
    for n in range(len(evidence.plan.steps)):
        rest___ = evidence.plan.steps[:n] + evidence.plan.steps[n + 1 :]
        less.append(put(evidence, ("plan", "steps"), rest___))
    counts = [observed.health.reallocated_sectors for observed in looks(evidence)]
    if counts.count(None) == 0:  # a drive that never tells is another drive
        less.append(put(evidence, ("observed_start", "health", "reallocated_sectors"), None))
        less.append(put(evidence, ("observed_end", "health", "reallocated_sectors"), None))
    return less


BADNESS: tuple[tuple[tuple[str | int, ...], object], ...] = (
    (("outcomes", 0, "verification", "mismatched"), 3),
    (("outcomes", 0, "verification", "cured_by_rewriting"), 3),
    (("outcomes", 0, "kind"), OutcomeKind.INTERRUPTED),
    (("outcomes", 0, "unwritable", "count"), 1),
    (("observed_end", "health", "reallocated_sectors"), 7),
    (("sessions", 0, "identity_start"), "f" * 64),
    (("sessions", 0, "read_back"), None),
    (("identity", "serial", "raw"), b""),
    (("plan", "steps", 0, "verification"), None),
)


@settings(max_examples=150, deadline=None)
@given(shapes(), st.sampled_from([None, *BADNESS]))
def test_less_evidence_is_never_better(
    shape: Shape, bad: tuple[tuple[str | int, ...], object] | None
) -> None:
    evidence = job(shape)
    if bad is not None:
        try:
            evidence = put(evidence, *bad)
        except (AttributeError, TypeError):  # this shape has no such place
            return
    had = RANK[conclude(evidence).verdict]
    for less in without_one_thing(evidence):
        assert RANK[conclude(less).verdict] <= had
