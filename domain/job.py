"""The life of a job: a pure transition from state and event to state and commands.

An illegal pair raises: it would be a defect, and guessing would be worse. Replaying a job's
journalled events through `transition` gives its state after a crash.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import ClassVar, TypeAlias

from nullbay.domain.errors import IllegalTransitionError
from nullbay.domain.ids import JobId
from nullbay.domain.lot import Person
from nullbay.domain.outcome import JobEnd
from nullbay.domain.verdict import Verdict


class JobState(enum.StrEnum):
    """Where a job stands."""

    PLANNED = "planned"
    ARMED = "armed"
    RUNNING = "running"
    PAUSED = "paused"
    ABSENT = "absent"
    STOPPING = "stopping"
    ENDED = "ended"
    CONCLUDED = "concluded"
    CERTIFIED = "certified"
    DELIVERED = "delivered"


@dataclass(frozen=True, slots=True)
class Job:
    """A job's state. `end` is set once it ended, `verdict` once concluded."""

    job_id: JobId
    plan_sha256: str
    state: JobState = JobState.PLANNED
    approvals: tuple[Person, ...] = ()
    sessions: int = 0
    end: JobEnd | None = None
    verdict: Verdict | None = None
    statement_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Armed:
    """Somebody, or the policy, approved the plan's hash."""

    kind: ClassVar[str] = "armed"
    plan_sha256: str
    approvals: tuple[Person, ...]


@dataclass(frozen=True, slots=True)
class StartSigned:
    """The signed job-started entry is in the ledger: now the drive may be changed."""

    kind: ClassVar[str] = "start-signed"


@dataclass(frozen=True, slots=True)
class SessionOver:
    """Work on the attached drive stopped without finishing: it went away, or nullbay stopped."""

    kind: ClassVar[str] = "session-over"
    drive_gone: bool


@dataclass(frozen=True, slots=True)
class DriveBack:
    """The drive of this job is attached again (or nullbay is), confirmed as the same."""

    kind: ClassVar[str] = "drive-back"


@dataclass(frozen=True, slots=True)
class Paused:
    """An operator or the temperature asked for a pause."""

    kind: ClassVar[str] = "paused"


@dataclass(frozen=True, slots=True)
class Continued:
    """The pause is over."""

    kind: ClassVar[str] = "continued"


@dataclass(frozen=True, slots=True)
class AbortAsked:
    """An operator wants the job concluded now."""

    kind: ClassVar[str] = "abort-asked"


@dataclass(frozen=True, slots=True)
class Ended:
    """The work is over, for this reason; evidence is complete."""

    kind: ClassVar[str] = "ended"
    end: JobEnd


@dataclass(frozen=True, slots=True)
class Concluded:
    """The verdict was concluded from the evidence."""

    kind: ClassVar[str] = "concluded"
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Certified:
    """Statement signed, evidence files durable, ledger entry written."""

    kind: ClassVar[str] = "certified"
    statement_sha256: str


@dataclass(frozen=True, slots=True)
class Delivered:
    """The centre's receipt arrived."""

    kind: ClassVar[str] = "delivered"
    receipt_sha256: str


JobEvent: TypeAlias = (
    Armed
    | StartSigned
    | SessionOver
    | DriveBack
    | Paused
    | Continued
    | AbortAsked
    | Ended
    | Concluded
    | Certified
    | Delivered
)


class Command(enum.StrEnum):
    """What the caller has to do next."""

    SIGN_START = "sign-start"
    WORK = "work"
    PAUSE = "pause"
    CONTINUE = "continue"
    STOP = "stop"
    CONCLUDE = "conclude"
    CERTIFY = "certify"
    DELIVER = "deliver"


def transition(job: Job, event: JobEvent) -> tuple[Job, tuple[Command, ...]]:
    """The next state and what to do. Raises IllegalTransitionError for an impossible pair."""
    state = JobState
    match job.state, event:
        case state.PLANNED, Armed(plan_sha256, approvals) if plan_sha256 == job.plan_sha256:
            return replace(job, state=state.ARMED, approvals=approvals), (Command.SIGN_START,)
        case state.ARMED, StartSigned():
            return replace(job, state=state.RUNNING, sessions=1), (Command.WORK,)
        case state.ARMED, AbortAsked():
            return replace(job, state=state.STOPPING), (Command.STOP,)
        case state.RUNNING, Paused():
            return replace(job, state=state.PAUSED), (Command.PAUSE,)
        case state.PAUSED, Continued():
            return replace(job, state=state.RUNNING), (Command.CONTINUE,)
        case ((state.RUNNING | state.PAUSED), SessionOver()):
            return replace(job, state=state.ABSENT), ()
        case state.ABSENT, DriveBack():
            return replace(job, state=state.RUNNING, sessions=job.sessions + 1), (Command.WORK,)
        case ((state.RUNNING | state.PAUSED), AbortAsked()):
            return replace(job, state=state.STOPPING), (Command.STOP,)
        case state.ABSENT, AbortAsked():
            return replace(job, state=state.ENDED, end=JobEnd.ABORTED), (Command.CONCLUDE,)
        case state.STOPPING, SessionOver():
            return replace(job, state=state.ENDED, end=JobEnd.ABORTED), (Command.CONCLUDE,)
        case (
            (state.ARMED | state.RUNNING | state.PAUSED | state.ABSENT | state.STOPPING),
            Ended(end),
        ):
            return replace(job, state=state.ENDED, end=end), (Command.CONCLUDE,)
        case state.ENDED, Concluded(verdict):
            return replace(job, state=state.CONCLUDED, verdict=verdict), (Command.CERTIFY,)
        case state.CONCLUDED, Certified(digest):
            return replace(job, state=state.CERTIFIED, statement_sha256=digest), (Command.DELIVER,)
        case state.CERTIFIED, Delivered():
            return replace(job, state=state.DELIVERED), ()
        case _:
            msg = f"{type(event).__name__} cannot happen to a job that is {job.state}"
            raise IllegalTransitionError(msg, next_step="Report this with the job's journal")
