"""Messages between the agent and the bench: questions, answers, and what is told meanwhile.

Framing is that of protocol.py: a 4-byte big-endian length and canonical JSON, at most 1 MiB. The
first message each way is a Hello. Every request carries a number of its own, and every answer that
number, so that many drives are worked on over one connection; `Heard` and `Part` come before the
answer to their request. The bench believes none of it: what it does, it derives itself.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from nullbay.domain.codec import U64
from nullbay.domain.drive import Attachment, Drive
from nullbay.domain.errors import UnknownSchemaError
from nullbay.domain.ids import JobId
from nullbay.domain.lot import Lot, Person
from nullbay.domain.outcome import JobEnd, SessionEnd
from nullbay.domain.plan import Refusal
from nullbay.domain.record import Build
from nullbay.domain.text import show
from nullbay.wipers.jobdir import Order
from nullbay.wipers.protocol import FromDrive

PROTOCOL = "nullbay.bench/1"
PART_BYTES = 256 * 1024
JOBS_PER_ANSWER = 2000


# --- from the agent ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AgentHello:
    """Who speaks which protocol; `build` is a version."""

    kind: ClassVar[str] = "hello"
    protocol: str
    build: str


@dataclass(frozen=True, slots=True)
class Open:
    """Hold this drive. `outside_bays` is honoured only for uid 0."""

    kind: ClassVar[str] = "open"
    request: int
    device: str
    confirm: str | None
    patience_ms: int
    outside_bays: bool


@dataclass(frozen=True, slots=True)
class Close:
    """Let go of a drive."""

    kind: ClassVar[str] = "close"
    request: int
    handle: str


@dataclass(frozen=True, slots=True)
class AskTicket:
    """A word that one approval for this drive, where it is now, may be given with, once."""

    kind: ClassVar[str] = "ask-ticket"
    request: int
    handle: str


@dataclass(frozen=True, slots=True)
class Create:
    """Make a job of an approved plan. The bench derives the plan from its own policies."""

    kind: ClassVar[str] = "create"
    request: int
    ticket: str
    handle: str
    policy_id: str
    policy_sha256: str
    plan_sha256: str
    lot: Lot | None
    people: tuple[Person, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """How a job stands."""

    kind: ClassVar[str] = "look"
    request: int
    job: JobId


@dataclass(frozen=True, slots=True)
class AskJobs:
    """Which jobs the bench keeps, in the order of their ids, after one of them (empty: all)."""

    kind: ClassVar[str] = "ask-jobs"
    request: int
    after: str


@dataclass(frozen=True, slots=True)
class Work:
    """One session of a job on a held drive; a session under way is listened to instead."""

    kind: ClassVar[str] = "work"
    request: int
    job: JobId
    handle: str
    rate_limit_bytes_per_s: U64


@dataclass(frozen=True, slots=True)
class RecheckJob:
    """Read the drive and compare it in full with what the job wrote; the keys stay here."""

    kind: ClassVar[str] = "recheck-job"
    request: int
    job: JobId
    handle: str


@dataclass(frozen=True, slots=True)
class Conclude:
    """Sign the transcript of a job that is over, for this reason."""

    kind: ClassVar[str] = "conclude"
    request: int
    job: JobId
    end: JobEnd


@dataclass(frozen=True, slots=True)
class AskMembers:
    """What goes into the evidence archive of a job whose transcript is signed."""

    kind: ClassVar[str] = "ask-members"
    request: int
    job: JobId


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """The record of this result is durable: the job's folder may go."""

    kind: ClassVar[str] = "acknowledge"
    request: int
    job: JobId
    result_sha256: str


@dataclass(frozen=True, slots=True)
class Forget:
    """Remove jobs that never began, and what is half-made."""

    kind: ClassVar[str] = "forget"
    request: int
    jobs: tuple[JobId, ...]


class Steering(enum.StrEnum):
    """What can be asked of work under way."""

    PAUSE = "pause"
    GO_ON = "go-on"
    RATE = "rate"
    ABORT = "abort"


@dataclass(frozen=True, slots=True)
class Steer:
    """To whatever works on this drive now; harmless where nothing does."""

    kind: ClassVar[str] = "steer"
    request: int
    handle: str
    how: Steering
    bytes_per_s: U64


@dataclass(frozen=True, slots=True)
class Stop:
    """Let every session stop at its next block, and end. For uid 0."""

    kind: ClassVar[str] = "stop"
    request: int
    force: bool


Request: TypeAlias = (
    Open
    | Close
    | AskTicket
    | Create
    | Look
    | AskJobs
    | Work
    | RecheckJob
    | Conclude
    | AskMembers
    | Acknowledge
    | Forget
    | Steer
    | Stop
)
ToBench: TypeAlias = AgentHello | Request


# --- from the bench ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BenchHello:
    """Which bench this is, and the key that it signs transcripts with (SPKI in PEM).

    `refuses_all`: why it refuses every drive now, whatever it is; empty where all is well.
    """

    kind: ClassVar[str] = "hello"
    protocol: str
    build: Build
    bench_public_key_pem: bytes
    refuses_all: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """A drive held open by its process: nobody else can open, mount or swap it meanwhile."""

    handle: str
    device: str
    drive: Drive


@dataclass(frozen=True, slots=True)
class JobView:
    """How a job stands, by the bench's own journal.

    `attachment` is where its drive was last seen, `begun` whether a session left a trace, `running`
    whether one is under way now. `end` says why the work is over (None: a session is to come),
    `is_forgotten` that its drive has been away for longer than the policy waits, `result_sha256`
    the digest of its signed transcript (None: not concluded).
    """

    order: Order
    attachment: Attachment
    begun: bool
    running: bool
    end: JobEnd | None
    is_forgotten: bool
    result_sha256: str | None

    @property
    def job_id(self) -> JobId:
        """Which job."""
        return self.order.job_id


@dataclass(frozen=True, slots=True)
class HeldAnswer:
    """The drive is held."""

    kind: ClassVar[str] = "held"
    request: int
    held: Held


@dataclass(frozen=True, slots=True)
class TicketAnswer:
    """Valid once, for this handle."""

    kind: ClassVar[str] = "ticket"
    request: int
    ticket: str


@dataclass(frozen=True, slots=True)
class ViewAnswer:
    """A job as it stands now."""

    kind: ClassVar[str] = "view"
    request: int
    view: JobView


@dataclass(frozen=True, slots=True)
class JobsAnswer:
    """Some jobs; `more` where others follow."""

    kind: ClassVar[str] = "jobs"
    request: int
    jobs: tuple[JobId, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class WorkAnswer:
    """How a session ended (see hearing.SessionResult)."""

    kind: ClassVar[str] = "work-over"
    request: int
    end: SessionEnd
    code: str
    same_drive: bool | None


@dataclass(frozen=True, slots=True)
class RecheckAnswer:
    """Empty: the drive holds what the job wrote; else a code why that is not known."""

    kind: ClassVar[str] = "recheck-over"
    request: int
    code: str


@dataclass(frozen=True, slots=True)
class DoneAnswer:
    """It was done."""

    kind: ClassVar[str] = "done"
    request: int


@dataclass(frozen=True, slots=True)
class RefusedAnswer:
    """It will not be done, and nothing was touched. `drive`: as far as it showed itself."""

    kind: ClassVar[str] = "refused"
    request: int
    refusals: tuple[Refusal, ...]
    drive: Drive | None


@dataclass(frozen=True, slots=True)
class FailedAnswer:
    """It could not be done. Request 0: no request but the whole connection, which ends."""

    kind: ClassVar[str] = "failed"
    request: int
    code: str
    message: str
    next_step: str


@dataclass(frozen=True, slots=True)
class Part:
    """The next piece of an archive member."""

    kind: ClassVar[str] = "part"
    request: int
    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Heard:
    """What the drive process says meanwhile; for showing only."""

    kind: ClassVar[str] = "heard"
    request: int
    message: FromDrive


Answer: TypeAlias = (
    HeldAnswer
    | TicketAnswer
    | ViewAnswer
    | JobsAnswer
    | WorkAnswer
    | RecheckAnswer
    | DoneAnswer
    | RefusedAnswer
    | FailedAnswer
)
FromBench: TypeAlias = BenchHello | Answer | Part | Heard


def require_agent(message: object) -> AgentHello:
    """The agent's Hello. Raises UnknownSchemaError for any other message or protocol."""
    if not isinstance(message, AgentHello) or message.protocol != PROTOCOL:
        raise _unknown(message)
    return message


def require_bench(message: object) -> BenchHello:
    """The bench's Hello. Raises UnknownSchemaError for any other message or protocol."""
    if not isinstance(message, BenchHello) or message.protocol != PROTOCOL:
        raise _unknown(message)
    return message


def _unknown(message: object) -> UnknownSchemaError:
    said = message.protocol if isinstance(message, AgentHello | BenchHello) else "nothing of it"
    return UnknownSchemaError(
        f"the peer speaks {show(said, 60)!r}, not {PROTOCOL!r}",
        next_step="Install the same nullbay everywhere and start again",
    )
