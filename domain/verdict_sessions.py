"""Findings about who was there and when: identity, the order of the record, absence."""

from __future__ import annotations

from collections.abc import Iterator

from nullbay.domain.finding import Finding, definite, unknown
from nullbay.domain.outcome import JobEvidence, OutcomeKind, Session, SessionEnd, StepOutcome
from nullbay.domain.patterns import Keyed
from nullbay.domain.plan import OverwriteStep
from nullbay.domain.policy import Full
from nullbay.domain.timeline import Timeline, was_away
from nullbay.domain.verdict_steps import verification

_CUT_SHORT = frozenset({SessionEnd.DRIVE_GONE, SessionEnd.STOPPED, SessionEnd.CRASHED})


def identity(evidence: JobEvidence) -> Iterator[Finding]:
    """The drive of the plan, and no other, from the first session to the last."""
    key = evidence.plan.identity_key
    if evidence.identity.key != key:
        yield definite("identity.mixed", "the evidence names another drive than the plan")
    for session in evidence.sessions:
        if session.identity_start != key or session.identity_end not in {None, key}:
            yield definite("identity.mixed")
        gone = session.end in _CUT_SHORT and session.attachment_end is None
        if session.attachment_end != session.attachment and not gone:
            yield unknown("attachment.changed")
    if not evidence.sessions:
        yield unknown("identity.not-confirmed", "no session")
    elif evidence.sessions[-1].identity_end is None:
        yield unknown("identity.not-confirmed")


def order(evidence: JobEvidence, timeline: Timeline) -> Iterator[Finding]:
    """Sessions that follow each other, work within them, a last look after the work."""
    sessions = evidence.sessions
    if evidence.observed_end is None:
        yield unknown("drive.not-observed-afterwards")
    if not sessions:
        return
    first = sessions[0]
    if first.resumed or first.restarted_from_zero or first.read_back is not None:
        yield unknown("evidence.contradictory", "the session before the first is missing")
    if any(session.end not in _CUT_SHORT for session in sessions[:-1]):
        yield unknown("evidence.contradictory", "work went on after its end")
    if not _is_sequence(sessions, timeline):
        yield unknown("evidence.contradictory", "sessions out of order")
    for outcome in evidence.outcomes:
        if outcome.kind is OutcomeKind.SUCCEEDED and not _is_within(outcome, sessions, timeline):
            yield unknown("evidence.contradictory", f"step {outcome.number} outside the sessions")
    for earlier, later in _following(evidence):
        if not timeline.in_order(earlier.ended, later.started):
            detail = f"step {later.number} began before step {earlier.number} ended"
            yield unknown("evidence.contradictory", detail)
    yield from _observed_in_time(evidence, timeline)


def absence(evidence: JobEvidence, timeline: Timeline) -> Iterator[Finding]:
    """A drive that nobody held for a while was read in full afterwards, and is the same one."""
    for session in evidence.sessions[1:]:
        found = session.read_back
        if found is not None and not found.is_match and not session.restarted_from_zero:
            yield unknown("absence.not-proved-same", "read-back differed")
    if len(evidence.sessions) < 2:
        return
    if {unit.unit_id for unit in evidence.plan.units} - _read_in_full_since(evidence, timeline):
        yield unknown("absence.not-fully-verified")
    if not was_away(evidence.sessions):
        return
    if evidence.identity.serial and not evidence.serial_shared:
        return
    # The name proves nothing: each return is proved by this job's own stream, or undone by
    # starting again from zero.
    for session in evidence.sessions[1:]:
        if not _is_proved(evidence, session) and not _is_undone(evidence, session, timeline):
            yield unknown("absence.not-proved-same")


def _is_sequence(sessions: tuple[Session, ...], timeline: Timeline) -> bool:
    """Each begins after the one before it ended; a crash may be noted only after the next boot."""
    last = sessions[-1]
    if last.started.boot_id != last.ended.boot_id:
        return False
    for number, session in enumerate(sessions):
        moments = [session.started]
        if timeline.place(session.ended) is not None:
            moments.append(session.ended)
        moments += [later.started for later in sessions[number + 1 : number + 2]]
        if not timeline.in_order(*moments):
            return False
    return True


def _is_within(outcome: StepOutcome, sessions: tuple[Session, ...], timeline: Timeline) -> bool:
    first, last = sessions[0].started, sessions[-1].ended
    moments = [(outcome.started, outcome.ended)]
    if outcome.last_flush is not None:
        moments.append((outcome.last_flush, outcome.ended))
    if outcome.verification is not None:
        moments.append((outcome.verification.drawn, outcome.verification.ended))
    return all(timeline.in_order(first, one, other, last) for one, other in moments)


def _following(evidence: JobEvidence) -> Iterator[tuple[StepOutcome, StepOutcome]]:
    """Outcomes of steps that follow each other on one unit, where both succeeded."""
    outcomes = {one.number: one for one in evidence.outcomes if one.kind is OutcomeKind.SUCCEEDED}
    last: dict[str, StepOutcome] = {}
    for step in sorted(evidence.plan.steps, key=lambda step: step.number):
        outcome = outcomes.get(step.number)
        if outcome is None:
            continue
        if step.unit_id in last:
            yield last[step.unit_id], outcome
        last[step.unit_id] = outcome


def _observed_in_time(evidence: JobEvidence, timeline: Timeline) -> Iterator[Finding]:
    """What the drive said before the work is from before, what it said afterwards from after."""
    work = [one for one in evidence.outcomes if one.kind is OutcomeKind.SUCCEEDED]
    before, end = evidence.observed_start.at, evidence.observed_end
    known = timeline.place(before) is not None
    if known and not all(timeline.in_order(before, one.started) for one in work):
        yield unknown("evidence.contradictory", "first observed after the work began")
    moments = [one.last_flush for one in work if one.last_flush is not None]
    moments += [one.verification.ended for one in work if one.verification is not None]
    last = evidence.sessions[-1]
    moments.append(last.started)
    if end is not None and not all(timeline.in_order(one, end.at, last.ended) for one in moments):
        yield unknown("drive.not-observed-afterwards", "not between the end of the work and now")


def _read_in_full_since(evidence: JobEvidence, timeline: Timeline) -> set[str]:
    """Units of which every byte was read without a fault after the drive came back last."""
    back = evidence.sessions[-1].started
    units = {unit.unit_id: unit for unit in evidence.plan.units}
    steps = {step.number: step for step in evidence.plan.steps if isinstance(step, OverwriteStep)}
    done: set[str] = set()
    for outcome in evidence.outcomes:
        step, result = steps.get(outcome.number), outcome.verification
        if step is None or step.unit_id not in units or result is None:
            continue
        found = verification(evidence.plan, units[step.unit_id], Full(), outcome, timeline)
        if not any(found) and timeline.in_order(back, result.drawn):
            done.add(step.unit_id)
    return done


def _is_proved(evidence: JobEvidence, session: Session) -> bool:
    """Only a keyed stream can name a drive: many drives hold zeros."""
    keyed = any(
        isinstance(step, OverwriteStep) and isinstance(step.pattern, Keyed)
        for step in evidence.plan.steps
    )
    return keyed and session.read_back is not None and session.read_back.is_match


def _is_undone(evidence: JobEvidence, session: Session, timeline: Timeline) -> bool:
    """Whether all that counts was done after this session began from zero."""
    return session.restarted_from_zero and all(
        timeline.in_order(session.started, outcome.started) for outcome in evidence.outcomes
    )
