"""Messages between a bench service and the drive process of one drive.

A frame is a 4-byte big-endian length and that many bytes of canonical JSON, at most 1 MiB. The
first message each way is a Hello; a protocol this build does not know ends the conversation. In
one process (demo, simulation) every message goes through the same codec.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from nullbay.domain.canonical import canonical_json
from nullbay.domain.clock import Stamp
from nullbay.domain.codec import U64, from_plain, to_plain
from nullbay.domain.drive import Drive
from nullbay.domain.errors import MalformedError, TooLargeError, UnknownSchemaError
from nullbay.domain.outcome import (
    Exchange,
    ReadBack,
    SectorList,
    StepOutcome,
    VerificationResult,
)
from nullbay.domain.plan import Refusal, SanitizationPlan
from nullbay.domain.policy import VerificationProfile
from nullbay.domain.ranges import ByteRange

PROTOCOL = "nullbay.drive-process/1"
FRAME_MAX_BYTES = 1024 * 1024
LENGTH_BYTES = 4


@dataclass(frozen=True, slots=True)
class Hello:
    """Who speaks which protocol."""

    kind: ClassVar[str] = "hello"
    protocol: str
    build: str


@dataclass(frozen=True, slots=True)
class Open:
    """Open and hold this drive, and say who it is."""

    kind: ClassVar[str] = "open"
    device: str


@dataclass(frozen=True, slots=True)
class Opened:
    """The drive is held; this is what it says of itself."""

    kind: ClassVar[str] = "opened"
    drive: Drive


@dataclass(frozen=True, slots=True)
class Refused:
    """The drive could not be opened or must not be touched; nothing was changed."""

    kind: ClassVar[str] = "refused"
    refusals: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class StepSoFar:
    """Where an earlier session left a step: `flushed` is rewound already, `last_flushed` is not."""

    number: int
    flushed: tuple[ByteRange, ...]
    last_flushed: ByteRange | None
    last_flush: Stamp | None
    unwritable: SectorList
    written_after_retry: U64


@dataclass(frozen=True, slots=True)
class Execute:
    """Carry the plan out from `first_step`.

    The keys are secrets of the job and stay in this message. `full_verification` is set after an
    absence. `prove_same`, for weak identities, refuses to write unless the read-back matches.
    """

    kind: ClassVar[str] = "execute"
    plan: SanitizationPlan
    job_key: bytes
    finding_key: bytes
    first_step: int
    so_far: StepSoFar | None
    full_verification: bool
    prove_same: bool
    rate_limit_bytes_per_s: U64


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The intent of that step is journalled: act."""

    kind: ClassVar[str] = "acknowledged"
    number: int


@dataclass(frozen=True, slots=True)
class Recheck:
    """Read a finished step back, writing nothing: a certificate's claim against the drive."""

    kind: ClassVar[str] = "recheck"
    plan: SanitizationPlan
    job_key: bytes
    finding_key: bytes
    number: int
    profile: VerificationProfile
    seed: bytes


@dataclass(frozen=True, slots=True)
class Rechecked:
    """What the re-check read; `code` is empty or says why it ended early."""

    kind: ClassVar[str] = "rechecked"
    result: VerificationResult
    code: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Hold after the current block."""

    kind: ClassVar[str] = "pause"


@dataclass(frozen=True, slots=True)
class Continue:
    """Go on."""

    kind: ClassVar[str] = "continue"


@dataclass(frozen=True, slots=True)
class Abort:
    """Stop at the next block and report; the job will be concluded."""

    kind: ClassVar[str] = "abort"


@dataclass(frozen=True, slots=True)
class SetRate:
    """Limit all lanes together; 0 lifts the limit."""

    kind: ClassVar[str] = "set-rate"
    bytes_per_s: U64


@dataclass(frozen=True, slots=True)
class Close:
    """Let go of the drive and end."""

    kind: ClassVar[str] = "close"


@dataclass(frozen=True, slots=True)
class Resuming:
    """Result of the read-back before resuming, and whether the job starts again from zero."""

    kind: ClassVar[str] = "resuming"
    read_back: ReadBack | None
    from_zero: bool


@dataclass(frozen=True, slots=True)
class Intent:
    """About to change the drive by this step; waits for Acknowledged."""

    kind: ClassVar[str] = "intent"
    number: int
    at: Stamp


@dataclass(frozen=True, slots=True)
class RangesFlushed:
    """Bytes of a step that are on the medium now."""

    kind: ClassVar[str] = "ranges-flushed"
    number: int
    ranges: tuple[ByteRange, ...]
    at: Stamp


@dataclass(frozen=True, slots=True)
class SectorUnwritable:
    """A sector that could not be written."""

    kind: ClassVar[str] = "sector-unwritable"
    number: int
    lba: U64
    errno: str


@dataclass(frozen=True, slots=True)
class Exchanged:
    """One exchange with the drive worth keeping."""

    kind: ClassVar[str] = "exchanged"
    exchange: Exchange


@dataclass(frozen=True, slots=True)
class Progress:
    """Four times a second: which phase of which step, bytes, speed, time left, errors."""

    kind: ClassVar[str] = "progress"
    number: int
    steps: int
    phase: str
    done_bytes: U64
    total_bytes: U64
    bytes_per_s: U64
    eta_s: int | None
    errors: int
    temperature_celsius: int | None
    paused: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StepOver:
    """How a step ended."""

    kind: ClassVar[str] = "step-over"
    outcome: StepOutcome


@dataclass(frozen=True, slots=True)
class SessionDone:
    """No more will be done on this attachment. `drive` is the last observation, if there is one."""

    kind: ClassVar[str] = "session-done"
    end: str
    code: str
    drive: Drive | None
    at: Stamp


ToDrive: TypeAlias = (
    Hello | Open | Execute | Recheck | Acknowledged | Pause | Continue | Abort | SetRate | Close
)
FromDrive: TypeAlias = (
    Hello
    | Opened
    | Refused
    | Rechecked
    | Resuming
    | Intent
    | RangesFlushed
    | SectorUnwritable
    | Exchanged
    | Progress
    | StepOver
    | SessionDone
)
Message: TypeAlias = ToDrive | FromDrive


def encode(message: Any) -> bytes:
    """One frame. Raises TooLargeError beyond the cap, before anything is sent."""
    body = canonical_json(to_plain(message))
    if len(body) > FRAME_MAX_BYTES:
        msg = f"a message of {len(body)} bytes is larger than {FRAME_MAX_BYTES}"
        raise TooLargeError(msg)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def frame_length(prefix: bytes) -> int:
    """Length of the frame that follows. Raises TooLargeError beyond the cap."""
    length = int.from_bytes(prefix, "big")
    if length > FRAME_MAX_BYTES:
        msg = f"a message of {length} bytes is larger than {FRAME_MAX_BYTES}"
        raise TooLargeError(msg)
    return length


def decode(body: bytes, direction: Any) -> Any:
    """The message in a frame's body. Raises MalformedError.

    `direction` is the union of what may come: ToDrive, FromDrive, or one of the bench's own.
    """
    try:
        plain = json.loads(body)
    except (ValueError, RecursionError):
        msg = "a message is no JSON"
        raise MalformedError(msg) from None
    return from_plain(direction, plain)


def require_hello(message: object) -> Hello:
    """The peer's Hello. Raises UnknownSchemaError for any other message or protocol."""
    if not isinstance(message, Hello) or message.protocol != PROTOCOL:
        said = message.protocol if isinstance(message, Hello) else type(message).__name__
        msg = f"the peer speaks {said[:60]!r}, not {PROTOCOL!r}"
        raise UnknownSchemaError(
            msg, next_step="Install the same nullbay everywhere and start again"
        )
    return message
