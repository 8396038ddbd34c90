"""The verdict, concluded from evidence alone by a pure function, with floors no policy lowers.

verdicts.md sections 1 and 2. There is no default success: every finding either forbids a sanitized
verdict or is on the closed list of exceptions, and what the evidence does not show counts against
it. docs/verdicts.md tells an auditor the same in words.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from nullbay.domain.clock import ClockSync, Stamp
from nullbay.domain.drive import Health, HiddenState, Observed, Unit
from nullbay.domain.finding import Effect, Finding, definite, exception, unknown
from nullbay.domain.method import Technique, reaches
from nullbay.domain.outcome import JobEnd, JobEvidence, SessionEnd
from nullbay.domain.plan import (
    EXCLUDABLE_AREAS,
    DeallocateStep,
    OverwriteStep,
    StepPurpose,
)
from nullbay.domain.policy import HealthLine
from nullbay.domain.sampling import is_geometry
from nullbay.domain.timeline import Timeline
from nullbay.domain.verdict_sessions import absence, identity, order
from nullbay.domain.verdict_steps import steps

__all__ = ["Conclusion", "Effect", "Finding", "Verdict", "conclude"]


class Verdict(enum.StrEnum):
    """The four words, everywhere the same."""

    SANITIZED = "SANITIZED"
    SANITIZED_WITH_EXCEPTIONS = "SANITIZED_WITH_EXCEPTIONS"
    NOT_SANITIZED = "NOT_SANITIZED"
    INDETERMINATE = "INDETERMINATE"

    @property
    def is_sanitized(self) -> bool:
        """Whether the document may be called a certificate."""
        return self in {Verdict.SANITIZED, Verdict.SANITIZED_WITH_EXCEPTIONS}

    @property
    def exit_code(self) -> int:
        """Exit status of commands that report a verdict."""
        return _EXIT[self]


_EXIT = {
    Verdict.SANITIZED: 0,
    Verdict.SANITIZED_WITH_EXCEPTIONS: 10,
    Verdict.NOT_SANITIZED: 20,
    Verdict.INDETERMINATE: 30,
}


@dataclass(frozen=True, slots=True)
class Conclusion:
    """A verdict with every finding that led to it, the weightiest first; SANITIZED has none."""

    verdict: Verdict
    findings: tuple[Finding, ...]


def conclude(evidence: JobEvidence) -> Conclusion:
    """The verdict on a job. Total: any evidence gets one of the four words, never an exception."""
    findings = tuple(sorted(dict.fromkeys(_findings(evidence)), key=_weight))
    effects = {finding.effect for finding in findings}
    if Effect.DEFINITE in effects:
        verdict = Verdict.NOT_SANITIZED
    elif Effect.UNKNOWN in effects:
        verdict = Verdict.INDETERMINATE
    elif Effect.EXCEPTION in effects:
        verdict = Verdict.SANITIZED_WITH_EXCEPTIONS
    else:
        verdict = Verdict.SANITIZED
    return Conclusion(verdict, findings)


def _weight(finding: Finding) -> tuple[int, bool]:
    """What decides comes first, and before it what a person can act on: the medium, not the job."""
    return _ORDER[finding.effect], finding.code.startswith(("job.", "step."))


_ORDER = {Effect.DEFINITE: 0, Effect.UNKNOWN: 1, Effect.EXCEPTION: 2}


def _findings(evidence: JobEvidence) -> Iterator[Finding]:
    timeline = Timeline(evidence.sessions)
    yield from _end(evidence)
    yield from _method(evidence)
    yield from identity(evidence)
    yield from order(evidence, timeline)
    yield from _units(evidence)
    yield from _hidden_areas(evidence)
    yield from steps(evidence, timeline)
    yield from absence(evidence, timeline)
    yield from _health(evidence)
    yield from _exceptions(evidence)


def _end(evidence: JobEvidence) -> Iterator[Finding]:
    match evidence.end:
        case JobEnd.COMPLETED:
            if not evidence.sessions or evidence.sessions[-1].end is not SessionEnd.FINISHED:
                yield unknown("evidence.contradictory", "completed, but the last session is not")
        case JobEnd.ABORTED:
            yield definite("job.aborted")
        case JobEnd.STOPPED_ON_ERRORS:
            yield definite("job.stopped-on-errors")
        case JobEnd.DEADLINE:
            yield unknown("job.deadline")
        case JobEnd.ABSENT_PAST_DEADLINE:
            yield unknown("job.absent-past-deadline")
        case JobEnd.CRASHED:
            yield unknown("job.crashed")


def _method(evidence: JobEvidence) -> Iterator[Finding]:
    plan = evidence.plan
    if not reaches(plan.technique, plan.media).satisfies(plan.required_method):
        detail = f"{plan.technique} on {plan.media} for {plan.required_method}"
        yield definite("method.not-reached", detail)
    if plan.technique is not Technique.HOST_OVERWRITE:
        yield unknown("technique.no-evidence-rule", plan.technique)
    if not any(step.purpose is StepPurpose.METHOD for step in plan.steps):
        yield definite("plan.empty")
    if any(isinstance(s, DeallocateStep) and s.purpose is StepPurpose.METHOD for s in plan.steps):
        yield unknown("evidence.contradictory", "deallocating reaches no method")
    for observed in _observations(evidence):
        if observed.media is not plan.media:
            yield unknown("evidence.contradictory", f"planned for {plan.media}: {observed.media}")


def _units(evidence: JobEvidence) -> Iterator[Finding]:
    plan = evidence.plan
    planned = {unit.unit_id: _shape(unit) for unit in plan.units}
    if len(planned) != len(plan.units):
        yield unknown("evidence.contradictory", "two units of the plan have one name")
    for unit in plan.units:
        if not is_geometry(unit.size_bytes, unit.logical_sector_bytes):
            yield unknown("evidence.contradictory", f"unit {unit.unit_id}: no such geometry")
    # Only writing counts: a step that deallocates covers nothing, whatever it says it is for.
    covered = {
        step.unit_id
        for step in plan.steps
        if isinstance(step, OverwriteStep) and step.purpose is StepPurpose.METHOD
    }
    if covered != planned.keys() or not planned:
        yield definite("unit.not-covered", "by the plan")
    for observed in _observations(evidence):
        seen = {unit.unit_id: _shape(unit) for unit in observed.units}
        if len(seen) != len(observed.units) or seen.keys() - planned.keys():
            yield definite("unit.not-covered", "a unit of the drive")
        if any(seen.get(unit_id) != shape for unit_id, shape in planned.items()):
            yield unknown("drive.geometry-changed")
    if any(unit.read_only for unit in (*plan.units, *evidence.observed_start.units)):
        yield unknown("evidence.contradictory", "read-only, and yet written")
    for area in plan.excluded_areas:
        if area not in EXCLUDABLE_AREAS:
            yield definite("unit.not-covered", "an area that no standard leaves out")


def _shape(unit: Unit) -> tuple[int, int]:
    return unit.size_bytes, unit.logical_sector_bytes


def _observations(evidence: JobEvidence) -> tuple[Observed, ...]:
    end = evidence.observed_end
    return (evidence.observed_start,) if end is None else (evidence.observed_start, end)


def _hidden_areas(evidence: JobEvidence) -> Iterator[Finding]:
    observed = [one.hidden_areas for one in _observations(evidence)]
    answers = [evidence.plan.hidden_areas, *observed]
    asked = {area.name for areas in answers for area in areas}
    for areas in answers:
        if not areas or asked - {area.name for area in areas}:
            yield unknown("overwrite.hidden-areas-unknown", "not asked every time")
        for area in areas:
            match area.state:
                case HiddenState.PRESENT:
                    yield definite("overwrite.hidden-area", area.name)
                case HiddenState.UNKNOWN:
                    yield unknown("overwrite.hidden-areas-unknown", area.name)
                case HiddenState.ABSENT | HiddenState.NOT_APPLICABLE:
                    if area.hidden_bytes:
                        detail = f"{area.name}: {area.hidden_bytes} bytes of nothing"
                        yield unknown("evidence.contradictory", detail)


def _health(evidence: JobEvidence) -> Iterator[Finding]:
    start, last = evidence.observed_start.health, evidence.observed_end
    end = last.health if last is not None else Health()
    before, after = start.reallocated_sectors, end.reallocated_sectors
    if before is not None and after is not None:
        if after > before:
            yield definite("health.retired-during", f"{after - before} sectors")
        elif after < before or before < 0:
            yield unknown("evidence.contradictory", "retired sectors came back")
    elif last is not None and (before is not None or after):
        # A count of 0 at the end tells that there were none at any time.
        yield unknown("health.not-compared")
    if before:
        yield exception("exception.sectors-retired", f"{before} sectors")
    line = evidence.plan.health
    below = {*_below(start, line, at_end=False), *_below(end, line, at_end=True)}
    if below:
        yield exception("exception.health-below-line", ", ".join(sorted(below)))


def _below(health: Health, line: HealthLine, *, at_end: bool) -> Iterator[str]:
    """Figures beyond the line; pending sectors count at the end only: writing cures them."""
    if _over(health.reallocated_sectors, line.reallocated_sectors_max):
        yield "reallocated sectors"
    if at_end and _over(health.pending_sectors, line.pending_sectors_max):
        yield "pending sectors"
    if _over(health.media_errors, line.media_errors_max):
        yield "media errors"
    if _over(health.percentage_used, line.percentage_used_max):
        yield "percentage used"


def _over(value: int | None, most: int | None) -> bool:
    return value is not None and most is not None and value > most


def _exceptions(evidence: JobEvidence) -> Iterator[Finding]:
    results = [outcome.verification for outcome in evidence.outcomes if outcome.verification]
    if cured := sum(abs(result.cured_by_rewriting) for result in results):
        yield exception("exception.read-errors-cured", f"{cured} sectors")
    if not evidence.identity.serial:
        yield exception("exception.serial-missing")
    if evidence.serial_shared:
        yield exception("exception.serial-duplicate")
    if any(stamp.sync is not ClockSync.SYNCHRONISED for stamp in _stamps(evidence)):
        yield exception("exception.clock-not-synchronised")
    for area in evidence.plan.excluded_areas:
        yield exception("exception.area-excluded-by-standard", area)


def _stamps(evidence: JobEvidence) -> Iterator[Stamp]:
    """Every moment the evidence tells."""
    for observed in _observations(evidence):
        yield observed.at
    for session in evidence.sessions:
        yield session.started
        yield session.ended
    for outcome in evidence.outcomes:
        yield outcome.started
        yield outcome.ended
        if outcome.last_flush is not None:
            yield outcome.last_flush
        if outcome.verification is not None:
            yield outcome.verification.drawn
            yield outcome.verification.ended
