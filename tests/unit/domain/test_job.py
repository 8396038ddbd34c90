"""The life of a job: every state against every event, and replays."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nullbay.domain.codec import from_plain, to_plain
from nullbay.domain.errors import IllegalTransitionError
from nullbay.domain.ids import JobId
from nullbay.domain.job import (
    AbortAsked,
    Armed,
    Certified,
    Command,
    Concluded,
    Continued,
    Delivered,
    DriveBack,
    Ended,
    Job,
    JobEvent,
    JobState,
    Paused,
    SessionOver,
    StartSigned,
    transition,
)
from nullbay.domain.lot import Person
from nullbay.domain.outcome import JobEnd
from nullbay.domain.verdict import Verdict

PLAN, OTHER_PLAN = "a" * 64, "b" * 64
WHO = (Person("operator", "op-1"), Person("validator", "op-2"))
NEW = Job(JobId("j-20261121T101500-0123456789ab"), PLAN)

EVENTS: dict[str, JobEvent] = {
    "armed": Armed(PLAN, WHO),
    "armed for another plan": Armed(OTHER_PLAN, WHO),
    "start signed": StartSigned(),
    "drive gone": SessionOver(drive_gone=True),
    "session over": SessionOver(drive_gone=False),
    "drive back": DriveBack(),
    "paused": Paused(),
    "continued": Continued(),
    "abort asked": AbortAsked(),
    "ended": Ended(JobEnd.COMPLETED),
    "ended by deadline": Ended(JobEnd.DEADLINE),
    "concluded": Concluded(Verdict.NOT_SANITIZED),
    "certified": Certified("c" * 64),
    "delivered": Delivered("d" * 64),
}

P, A, R, Z, X, S, E, C, F, D = JobState  # in the order of a life
W, STOP, CONCLUDE = (Command.WORK,), (Command.STOP,), (Command.CONCLUDE,)

LEGAL: dict[tuple[JobState, str], tuple[JobState, tuple[Command, ...]]] = {
    (P, "armed"): (A, (Command.SIGN_START,)),
    (A, "start signed"): (R, W),
    (A, "abort asked"): (S, STOP),
    (A, "ended"): (E, CONCLUDE),
    (A, "ended by deadline"): (E, CONCLUDE),
    (R, "paused"): (Z, (Command.PAUSE,)),
    (R, "drive gone"): (X, ()),
    (R, "session over"): (X, ()),
    (R, "abort asked"): (S, STOP),
    (R, "ended"): (E, CONCLUDE),
    (R, "ended by deadline"): (E, CONCLUDE),
    (Z, "continued"): (R, (Command.CONTINUE,)),
    (Z, "drive gone"): (X, ()),
    (Z, "session over"): (X, ()),
    (Z, "abort asked"): (S, STOP),
    (Z, "ended"): (E, CONCLUDE),
    (Z, "ended by deadline"): (E, CONCLUDE),
    (X, "drive back"): (R, W),
    (X, "abort asked"): (E, CONCLUDE),
    (X, "ended"): (E, CONCLUDE),
    (X, "ended by deadline"): (E, CONCLUDE),
    (S, "drive gone"): (E, CONCLUDE),
    (S, "session over"): (E, CONCLUDE),
    (S, "ended"): (E, CONCLUDE),
    (S, "ended by deadline"): (E, CONCLUDE),
    (E, "concluded"): (C, (Command.CERTIFY,)),
    (C, "certified"): (F, (Command.DELIVER,)),
    (F, "delivered"): (D, ()),
}


def in_state(state: JobState) -> Job:
    """A job as it would be in that state."""
    order = list(JobState)
    after = order.index(state)
    return replace(
        NEW,
        state=state,
        approvals=WHO if after else (),
        sessions=2 if after > order.index(A) else 0,
        end=JobEnd.COMPLETED if after >= order.index(E) else None,
        verdict=Verdict.SANITIZED if after >= order.index(C) else None,
        statement_sha256="e" * 64 if after >= order.index(F) else None,
    )


@pytest.mark.parametrize("name", EVENTS)
@pytest.mark.parametrize("state", JobState)
def test_every_pair(state: JobState, name: str) -> None:
    job, event = in_state(state), EVENTS[name]
    wanted = LEGAL.get((state, name))
    if wanted is None:
        with pytest.raises(IllegalTransitionError) as caught:
            transition(job, event)
        assert caught.value.code == "job.illegal-transition"
        assert str(state) in str(caught.value)
        assert caught.value.next_step
        return
    after, commands = transition(job, event)
    assert (after.state, commands) == wanted
    assert (after.job_id, after.plan_sha256) == (job.job_id, job.plan_sha256)


def test_every_kind_of_event_is_in_the_table() -> None:
    assert {type(event) for event in EVENTS.values()} == set(JobEvent.__args__)
    assert {name for _, name in LEGAL} == EVENTS.keys() - {"armed for another plan"}


def run(*events: JobEvent, job: Job = NEW) -> tuple[Job, list[Command]]:
    told: list[Command] = []
    for event in events:
        job, commands = transition(job, event)
        told += commands
    return job, told


def test_a_life_without_trouble() -> None:
    job, told = run(
        Armed(PLAN, WHO),
        StartSigned(),
        Ended(JobEnd.COMPLETED),
        Concluded(Verdict.SANITIZED),
        Certified("c" * 64),
        Delivered("d" * 64),
    )
    assert job == replace(
        NEW,
        state=JobState.DELIVERED,
        approvals=WHO,
        sessions=1,
        end=JobEnd.COMPLETED,
        verdict=Verdict.SANITIZED,
        statement_sha256="c" * 64,
    )
    assert told == [
        Command.SIGN_START,
        Command.WORK,
        Command.CONCLUDE,
        Command.CERTIFY,
        Command.DELIVER,
    ]


def test_nothing_is_done_to_a_drive_before_the_start_is_signed() -> None:
    armed, told = run(Armed(PLAN, WHO))
    assert told == [Command.SIGN_START]
    assert armed.sessions == 0
    with pytest.raises(IllegalTransitionError):
        run(Armed(OTHER_PLAN, WHO))


def test_sessions_are_counted() -> None:
    gone, back = SessionOver(drive_gone=True), DriveBack()
    job, _ = run(Armed(PLAN, ()), StartSigned(), gone, back, Paused(), gone, back)
    assert (job.state, job.sessions) == (JobState.RUNNING, 3)


def test_an_abort_is_an_abort_wherever_it_comes() -> None:
    started = (Armed(PLAN, ()), StartSigned())
    gone = SessionOver(drive_gone=True)
    for events in (
        (*started, AbortAsked(), gone),
        (*started, Paused(), AbortAsked(), SessionOver(drive_gone=False)),
        (*started, gone, AbortAsked()),
    ):
        job, told = run(*events)
        assert (job.state, job.end) == (JobState.ENDED, JobEnd.ABORTED)
        assert told[-1] is Command.CONCLUDE


def test_work_that_ended_before_the_abort_arrived_keeps_its_end() -> None:
    job, _ = run(Armed(PLAN, ()), StartSigned(), AbortAsked(), Ended(JobEnd.COMPLETED))
    assert job.end is JobEnd.COMPLETED


@given(st.lists(st.sampled_from(sorted(EVENTS)), max_size=40))
def test_a_replay_leads_to_the_same_state(names: list[str]) -> None:
    """Journalled events, read back from JSON after a crash anywhere, tell where a job stands."""
    job, journal = NEW, []
    for name in names:
        try:
            job, _ = transition(job, EVENTS[name])
        except IllegalTransitionError:
            continue
        journal.append(to_plain(EVENTS[name]))
        again = NEW
        for plain in journal:
            event: JobEvent = from_plain(JobEvent, plain)
            again, _ = transition(again, event)
        assert again == job
    order = [JobState.ENDED, JobState.CONCLUDED, JobState.CERTIFIED, JobState.DELIVERED]
    assert (job.end is not None) == (job.state in order)
    assert (job.verdict is not None) == (job.state in order[1:])
    assert (job.statement_sha256 is not None) == (job.state in order[2:])
