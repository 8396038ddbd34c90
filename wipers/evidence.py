"""From the job directory to evidence: what happened, put together by a pure function of the records."""

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
    Resumed,
    SessionBegan,
    SessionEnded,
    StepEnded,
    StepIntended,
)
from nullbay.wipers.stream import commitment


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a job stands: outcomes that count, sessions so far, the first step still to do (0: none)."""

    sessions: tuple[Session, ...]
    outcomes: tuple[StepOutcome, ...]
    intended: tuple[StepIntended, ...]
    first_step: int
    failed: bool


def standing(job: JobDirectory, now: Stamp) -> Standing:
    """Replay the events. Starting from zero drops outcomes; a session without an end has crashed."""
    events = job.events
    outcomes: dict[int, StepOutcome] = {}
    intended: dict[int, StepIntended] = {}
    for event in events:
        match event:
            case Resumed(_, from_zero) if from_zero:
                outcomes.clear()
                intended.clear()
            case StepIntended():
                intended[event.number] = event
                outcomes.pop(event.number, None)
            case StepEnded(outcome):
                outcomes[outcome.number] = outcome
            case _:
                pass
    done = {number for number, outcome in outcomes.items() if is_done(outcome)}
    todo = [step.number for step in job.order.plan.steps if step.number not in done]
    failed = any(is_failed(outcome) for outcome in outcomes.values())
    return Standing(
        sessions=_sessions(events, now),
        outcomes=tuple(outcomes[number] for number in sorted(outcomes)),
        intended=tuple(intended[number] for number in sorted(intended)),
        first_step=min(todo, default=0),
        failed=failed,
    )


def is_done(outcome: StepOutcome) -> bool:
    """Whether the next step may follow."""
    result = outcome.verification
    clean = result is None or not (result.mismatched or result.unreadable.count)
    return outcome.kind is OutcomeKind.SUCCEEDED and clean


def is_failed(outcome: StepOutcome) -> bool:
    """Whether going on is pointless: neither done nor merely interrupted."""
    return not is_done(outcome) and outcome.kind is not OutcomeKind.INTERRUPTED


def evidence(job: JobDirectory, end: JobEnd, now: Stamp) -> JobEvidence:
    """All a verdict rests on. Steps that were begun and have no outcome get what the ranges tell."""
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
    resumed: Resumed | None = None
    last_at: Stamp | None = None
    for event in events:
        match event:
            case SessionBegan():
                if began is not None:
                    sessions.append(_session(began, resumed, None, last_at or event.at))
                began, resumed = event, None
            case Resumed():
                resumed = event
            case SessionEnded() if began is not None:
                sessions.append(_session(began, resumed, event, event.at))
                began = None
            case _:
                pass
        last_at = _at(event) or last_at
    if began is not None:
        sessions.append(_session(began, resumed, None, last_at or now))
    return tuple(sessions)


def _session(
    began: SessionBegan, resumed: Resumed | None, ended: SessionEnded | None, at: Stamp
) -> Session:
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
        restarted_from_zero=resumed.from_zero if resumed else False,
        read_back=resumed.read_back if resumed else None,
    )


def _at(event: BenchEvent) -> Stamp | None:
    match event:
        case StepEnded(outcome):
            return outcome.ended
        case Resumed():
            return None
        case _:
            return event.at
