"""Findings about what was done: outcomes of steps, what is written, what was read back."""

from __future__ import annotations

from collections.abc import Iterator

from nullbay.domain import sampling
from nullbay.domain.drive import Unit
from nullbay.domain.finding import Effect, Finding, definite, unknown
from nullbay.domain.outcome import (
    JobEnd,
    JobEvidence,
    OutcomeKind,
    StepOutcome,
    VerificationResult,
)
from nullbay.domain.patterns import Keyed
from nullbay.domain.plan import OverwriteStep, SanitizationPlan, Step, StepPurpose
from nullbay.domain.policy import Full, VerificationProfile
from nullbay.domain.ranges import RangeSet
from nullbay.domain.timeline import Timeline

_DIRECT = frozenset({"direct", "direct+fua"})


def steps(evidence: JobEvidence, timeline: Timeline) -> Iterator[Finding]:
    """Every step of the plan, and what was found by any reading, planned or not."""
    plan = evidence.plan
    numbers = [outcome.number for outcome in evidence.outcomes]
    planned = [step.number for step in plan.steps]
    if len(set(numbers)) != len(numbers) or len(set(planned)) != len(planned):
        yield unknown("evidence.contradictory", "a step number is there twice")
    if set(numbers) - set(planned):
        yield unknown("evidence.contradictory", "an outcome of no step")
    for outcome in evidence.outcomes:
        yield from _residue(outcome)
        if outcome.unwritable.count or outcome.unwritable.first:
            detail = f"step {outcome.number}: {outcome.unwritable.count} sectors"
            yield definite("overwrite.unwritable", detail)
    outcomes = {outcome.number: outcome for outcome in evidence.outcomes}
    away = evidence.end is JobEnd.ABSENT_PAST_DEADLINE
    units = {unit.unit_id: unit for unit in plan.units}
    for step in plan.steps:
        one, unit = outcomes.get(step.number), units.get(step.unit_id)
        if unit is None:
            yield unknown("evidence.contradictory", f"step {step.number} is for no unit")
        if one is None:
            yield _unfinished("step.missing", step, away=away)
            continue
        yield from _outcome_kind(step, one, away=away)
        if isinstance(step, OverwriteStep) and unit is not None:
            yield from _overwrite(unit, step, one, away=away)
            if step.verification is not None:
                yield from verification(plan, unit, step.verification, one, timeline)
    yield from _last_pass_verified(plan)
    yield from _key(evidence)


def verification(
    plan: SanitizationPlan,
    unit: Unit,
    planned: VerificationProfile,
    outcome: StepOutcome,
    timeline: Timeline,
) -> Iterator[Finding]:
    """What is wrong with the verification of one pass over one unit; nothing: rely on it."""
    detail = f"step {outcome.number}"
    result = outcome.verification
    if result is None:
        yield unknown("verification.missing", detail)
        return
    yield from _residue(outcome)
    if result.read_bytes != result.planned_bytes:
        read = f"{result.read_bytes} of {result.planned_bytes} bytes"
        yield unknown("verification.unfinished", f"{detail}: {read}")
    if result.reads not in _DIRECT and not (plan.simulated and result.reads == "simulated"):
        yield unknown("verification.cached", detail)
    if result.profile not in (planned, Full()) or not _as_prescribed(unit, result):
        yield unknown("verification.not-as-planned", detail)
    if outcome.last_flush is None or not timeline.in_order(outcome.last_flush, result.drawn):
        yield unknown("verification.too-early", detail)


def _residue(outcome: StepOutcome) -> Iterator[Finding]:
    detail, result = f"step {outcome.number}", outcome.verification
    if result is None:
        return
    if result.mismatched or result.mismatches:
        yield definite("verification.mismatch", f"{detail}: {result.mismatched} sectors")
    if result.unreadable.count or result.unreadable.first:
        yield definite("verification.unreadable", f"{detail}: {result.unreadable.count} sectors")


def _unfinished(code: str, step: Step, *, away: bool) -> Finding:
    """Known not done, unless the drive is out of reach past its deadline: then nobody knows."""
    detail = f"step {step.number}"
    return unknown(code, detail) if away else definite(code, detail)


def _outcome_kind(step: Step, outcome: StepOutcome, *, away: bool) -> Iterator[Finding]:
    match outcome.kind:
        case OutcomeKind.SUCCEEDED:
            if outcome.codes:
                yield unknown("step.contradictory", f"step {step.number}")
        case OutcomeKind.REFUSED:
            yield definite("step.refused", f"step {step.number}")
        case OutcomeKind.FAILED:
            yield definite("step.failed", f"step {step.number}: " + ", ".join(outcome.codes))
            if "health.too-many-errors" in outcome.codes:
                yield definite("health.too-many-errors", f"step {step.number}")
            if "health.too-slow" in outcome.codes:
                yield definite("health.too-slow", f"step {step.number}")
        case OutcomeKind.INTERRUPTED:
            yield _unfinished("step.interrupted", step, away=away)
        case OutcomeKind.INDETERMINATE:
            detail = f"step {step.number}: " + ", ".join(outcome.codes)
            yield unknown("step.indeterminate", detail)


def _overwrite(
    unit: Unit, step: OverwriteStep, outcome: StepOutcome, *, away: bool
) -> Iterator[Finding]:
    flushed = RangeSet(outcome.flushed)
    missing = sum(part.length for part in flushed.missing(0, unit.size_bytes))
    if missing:
        effect = Effect.UNKNOWN if away else Effect.DEFINITE
        yield Finding("overwrite.incomplete", effect, f"step {step.number}: {missing} bytes")
    if any(one.end > unit.size_bytes for one in flushed):
        yield unknown("step.contradictory", f"step {step.number}: written beyond the end")
    if outcome.last_flush is None and outcome.flushed:
        yield unknown("step.contradictory", f"step {step.number}: ranges without a flush")


def _as_prescribed(unit: Unit, result: VerificationResult) -> bool:
    """Whether planned bytes and extents are those that profile, seed and geometry prescribe."""
    size, sector = unit.size_bytes, unit.logical_sector_bytes
    try:
        ranges = sampling.extents(result.profile, size, sector, result.seed)
    except ValueError:
        return False
    planned = sum(one.length for one in ranges)
    return (
        planned == result.planned_bytes and sampling.extents_sha256(ranges) == result.extents_sha256
    )


def _last_pass_verified(plan: SanitizationPlan) -> Iterator[Finding]:
    for unit in plan.units:
        for purpose in StepPurpose:
            passes = [
                step
                for step in plan.steps
                if isinstance(step, OverwriteStep)
                and step.unit_id == unit.unit_id
                and step.purpose is purpose
            ]
            if passes and max(passes, key=lambda step: step.number).verification is None:
                yield unknown("verification.missing", f"unit {unit.unit_id}: none planned")


def _key(evidence: JobEvidence) -> Iterator[Finding]:
    """A keyed stream without a commitment to its key could be anything."""
    keyed = any(
        isinstance(step, OverwriteStep) and isinstance(step.pattern, Keyed)
        for step in evidence.plan.steps
    )
    if keyed and (evidence.pattern_key is None or not evidence.pattern_key.commitment_sha256):
        yield unknown("evidence.contradictory", "a keyed stream without a key")
