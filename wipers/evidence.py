"""From the job directory to evidence: a pure function of what was journalled."""

from __future__ import annotations

from dataclasses import dataclass

from nullbay.domain.clock import Stamp
from nullbay.domain.outcome import (
    JobEnd,
    JobEvidence,
    OutcomeKind,
    SectorList,
    Session,
    SessionEnd,
    StepOutcome,
)
from nullbay.domain.plan import OverwriteStep, PatternKeyOrigin
from nullbay.domain.ranges import RangeSet
from nullbay.wipers.jobdir import (
    BenchEvent,
    JobDirectory,
    SessionBegan,
    SessionEnded,
    StepEnded,
    StepIntended,
    moment_of,
)
from nullbay.wipers.stream import commitment


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a job stands, by its journal alone, so that it stands the same after a crash.

    Outcomes that count, steps begun, sessions so far, the first step still to do (0: none), and why
    the job is over (None: a session is still to come).
    """

    sessions: tuple[Session, ...]
    outcomes: tuple[StepOutcome, ...]
    intended: tuple[StepIntended, ...]
    first_step: int
    end: JobEnd | None


def standing(job: JobDirectory, now: Stamp) -> Standing:
    """Replay the events. A session without an end has crashed.

    Starting from zero drops every outcome, beginning a step again drops its own and all after it.
    """
    events = job.events
    outcomes: dict[int, StepOutcome] = {}
    intended: dict[int, StepIntended] = {}
    for event in events:
        match event:
            case SessionBegan(from_zero=True):
                outcomes.clear()
                intended.clear()
            case StepIntended():
                outcomes = {n: one for n, one in outcomes.items() if n < event.number}
                intended = {n: one for n, one in intended.items() if n < event.number}
                intended[event.number] = event
            case StepEnded(outcome):
                outcomes[outcome.number] = outcome
            case _:
                pass
    done = {number for number, outcome in outcomes.items() if is_done(outcome)}
    todo = [step.number for step in job.order.plan.steps if step.number not in done]
    first_step = min(todo, default=0)
    return Standing(
        sessions=_sessions(events, now),
        outcomes=tuple(outcomes[number] for number in sorted(outcomes)),
        intended=tuple(intended[number] for number in sorted(intended)),
        first_step=first_step,
        end=_end(events, tuple(outcomes.values()), is_all_done=not first_step),
    )


def _end(
    events: tuple[BenchEvent, ...], outcomes: tuple[StepOutcome, ...], *, is_all_done: bool
) -> JobEnd | None:
    """Why the job is over; work that is done still needs a last look at the drive."""
    last = events[-1] if events and isinstance(events[-1], SessionEnded) else None
    codes = {code for outcome in outcomes for code in outcome.codes}
    codes |= {last.code} if last else set()
    if "step.aborted" in codes:
        return JobEnd.ABORTED
    if "step.deadline" in codes:
        return JobEnd.DEADLINE
    if "identity.changed" in codes or any(is_failed(outcome) for outcome in outcomes):
        return JobEnd.STOPPED_ON_ERRORS
    if is_all_done and last is not None and last.end is SessionEnd.FINISHED:
        return JobEnd.COMPLETED
    return None


def is_done(outcome: StepOutcome) -> bool:
    """Whether the next step may follow."""
    result = outcome.verification
    clean = result is None or not (result.mismatched or result.unreadable.count)
    return outcome.kind is OutcomeKind.SUCCEEDED and clean


def is_failed(outcome: StepOutcome) -> bool:
    """Whether going on is pointless: neither done nor merely interrupted."""
    return not is_done(outcome) and outcome.kind is not OutcomeKind.INTERRUPTED


def evidence(job: JobDirectory, end: JobEnd, now: Stamp) -> JobEvidence:
    """All a verdict rests on. Steps begun that have no outcome get what the ranges tell."""
    stands = standing(job, now)
    known = {outcome.number for outcome in stands.outcomes}
    outcomes = [*stands.outcomes]
    outcomes += [_interrupted(job, one, now) for one in stands.intended if one.number not in known]
    count, head = job.exchanges
    last = next(
        (event.drive for event in reversed(job.events) if isinstance(event, SessionEnded)), None
    )
    order = job.order
    return JobEvidence(
        job_id=order.job_id,
        identity=order.drive.identity,
        serial_shared=order.drive.serial_shared or (last is not None and last.serial_shared),
        plan=order.plan,
        observed_start=order.drive.observed,
        observed_end=last.observed if last else None,
        sessions=stands.sessions,
        outcomes=tuple(sorted(outcomes, key=lambda one: one.number)),
        end=end,
        pattern_key=PatternKeyOrigin("station", commitment(job.job_key), in_evidence=True),
        exchanges=count,
        exchanges_sha256=head,
    )


def _interrupted(job: JobDirectory, intent: StepIntended, now: Stamp) -> StepOutcome:
    """A step whose end was never journalled: what was flushed is known, everything else is not."""
    step = next(one for one in job.order.plan.steps if one.number == intent.number)
    written = job.written(intent.number) if isinstance(step, OverwriteStep) else None
    if written is None:
        return StepOutcome(
            intent.number, OutcomeKind.INDETERMINATE, ("step.crashed",), intent.at, now
        )
    unwritable = sorted(set(written.unwritable))
    return StepOutcome(
        number=intent.number,
        kind=OutcomeKind.INTERRUPTED,
        codes=("step.interrupted",),
        started=intent.at,
        ended=now,
        flushed=RangeSet(one for record in written.flushes for one in record.ranges).frozen(),
        last_flush=written.flushes[-1].at if written.flushes else None,
        unwritable=SectorList(len(unwritable), tuple(unwritable[:64])),
    )


def _sessions(events: tuple[BenchEvent, ...], now: Stamp) -> tuple[Session, ...]:
    sessions: list[Session] = []
    began: SessionBegan | None = None
    last_at = now
    for event in events:
        match event:
            case SessionBegan():
                if began is not None:
                    sessions.append(_session(began, None, last_at))
                began = event
            case SessionEnded() if began is not None:
                sessions.append(_session(began, event, event.at))
                began = None
            case _:
                pass
        last_at = moment_of(event)
    if began is not None:
        sessions.append(_session(began, None, last_at))
    return tuple(sessions)


def _session(began: SessionBegan, ended: SessionEnded | None, at: Stamp) -> Session:
    drive = ended.drive if ended else None
    return Session(
        attachment=began.attachment,
        started=began.at,
        ended=at,
        identity_start=began.identity,
        identity_end=drive.identity.key if drive else None,
        attachment_end=drive.attachment if drive else None,
        end=ended.end if ended else SessionEnd.CRASHED,
        resumed=began.resumed,
        restarted_from_zero=began.from_zero,
        read_back=began.read_back,
    )
