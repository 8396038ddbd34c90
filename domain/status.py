"""What a station says of itself and its bays: to its console, to scripts, to the centre.

One picture for all of them, `nullbay.status/1`; codes and numbers, no sentences.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from nullbay.domain.clock import Stamp
from nullbay.domain.codec import U64
from nullbay.domain.ids import BayId, IdentityKey, InsertionId, JobId, LotRef
from nullbay.domain.verdict import Verdict

STATUS_SCHEMA = "nullbay.status/1"


class Action(enum.StrEnum):
    """What the operator does with a bay (bench.md, What the operator sees)."""

    NONE = "none"
    LEAVE = "leave"
    SHIP = "ship"
    SHRED = "shred"
    CALL = "call"


class BayState(enum.StrEnum):
    """How a bay stands.

    `present`: the drive was there before the station was, or came back after a link reset: it
    never starts by itself. `planned`: waits for an approval. `queued`: approved, waits for room.
    `known`: this drive was finished here before, its record is shown. `stalled`: its drive does not
    move, or its drive process does not answer. `fenced`: a dead drive process is stuck in the
    kernel and holds it.
    """

    EMPTY = "empty"
    SETTLING = "settling"
    REFUSED = "refused"
    PRESENT = "present"
    PLANNED = "planned"
    COUNTDOWN = "countdown"
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    STALLED = "stalled"
    FENCED = "fenced"
    CONCLUDED = "concluded"
    KNOWN = "known"


class Mode(enum.StrEnum):
    """How the station as a whole stands; only `working` starts jobs."""

    WORKING = "working"
    HOLDING = "holding"
    DRAINING = "draining"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class DriveCard:
    """A drive as a person names it; texts are safe to show."""

    identity_key: IdentityKey
    model: str
    serial: str
    wwn: str
    firmware: str
    size_bytes: U64
    media: str
    transport: str
    device: str
    simulated: bool


@dataclass(frozen=True, slots=True)
class WorkCard:
    """How far the work on a drive is. `eta_s` is None where nobody can tell."""

    step: int
    steps: int
    phase: str
    done_bytes: U64
    total_bytes: U64
    bytes_per_s: U64
    eta_s: int | None
    errors: int
    temperature_celsius: int | None


@dataclass(frozen=True, slots=True)
class Why:
    """A reason by its code, with the evidence for it in a few words."""

    code: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class BayStatus:
    """One bay now. Everything after `why` is empty where it does not apply."""

    bay: BayId
    row: int
    column: int
    state: BayState
    action: Action
    why: tuple[Why, ...] = ()
    drive: DriveCard | None = None
    insertion: InsertionId | None = None
    job: JobId | None = None
    lot: LotRef | None = None
    policy_id: str = ""
    method: str = ""
    plan_sha256: str = ""
    confirm: str = ""
    work: WorkCard | None = None
    countdown_s: int | None = None
    verdict: Verdict | None = None
    asset_tag: str = ""
    label_serial: str = ""
    since: Stamp | None = None


@dataclass(frozen=True, slots=True)
class Count:
    """How many of something."""

    name: str
    number: int


@dataclass(frozen=True, slots=True)
class StationStatus:
    """A station now. `head_*` is the last entry of its ledger; 64 zeros in an empty one.

    `problems` concern the whole station: why it holds, that its disk is full, that HTTP is open.
    `undelivered` counts what the centre has not acknowledged, `oldest_undelivered_s` its age.
    """

    station: str
    organization: str
    site: str
    version: str
    at: Stamp
    mode: Mode
    problems: tuple[Why, ...]
    bays: tuple[BayStatus, ...]
    jobs: tuple[Count, ...]
    head_sequence: U64
    head_sha256: str
    undelivered: int
    oldest_undelivered_s: int | None
    last_delivery: Stamp | None
    simulated: bool
    schema: str = STATUS_SCHEMA
