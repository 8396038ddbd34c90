"""The job directory: what a drive was sent and answered, kept by the bench until acknowledged.

`<state>/jobs/<job>/`, 0700, files 0600: `order` (plan, identity, first observation), `keys` (the two
secrets of the job), `events`, `ranges` and `exchanges` (append-only, checksummed), `result` (the
signed transcript). Everything a verdict rests on can be rebuilt from here after a crash.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

from nullbay.domain.canonical import canonical_json
from nullbay.domain.clock import Stamp
from nullbay.domain.codec import from_plain, to_plain
from nullbay.domain.drive import Attachment, Drive
from nullbay.domain.errors import MalformedError, NullbayError
from nullbay.domain.ids import JOB_ID_FORM, IdentityKey, JobId
from nullbay.domain.outcome import Exchange, ReadBack, SectorList, SessionEnd, StepOutcome
from nullbay.domain.plan import SanitizationPlan
from nullbay.domain.ranges import ByteRange, RangeSet
from nullbay.wipers.appendfile import (
    AppendFile,
    Fault,
    no_fault,
    read_records,
    sync_directory,
    write_durably,
)
from nullbay.wipers.protocol import StepSoFar
from nullbay.wipers.stream import KEY_BYTES

REWIND_BYTES = 1024 * 1024 * 1024
ORDER_SCHEMA = "nullbay.order/1"
FILE_MAX_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Order:
    """What was ordered: immutable from the first durable write of the job."""

    job_id: JobId
    plan: SanitizationPlan
    drive: Drive
    ordered: Stamp
    schema: str = ORDER_SCHEMA


@dataclass(frozen=True, slots=True)
class SessionBegan:
    """Work on an attachment begins."""

    kind: ClassVar[str] = "session-began"
    attachment: Attachment
    identity: IdentityKey
    at: Stamp
    resumed: bool


@dataclass(frozen=True, slots=True)
class Resumed:
    """The read-back before resuming; `from_zero` drops everything written before."""

    kind: ClassVar[str] = "resumed"
    read_back: ReadBack | None
    from_zero: bool


@dataclass(frozen=True, slots=True)
class StepIntended:
    """The next message to the drive process lets this step change the drive."""

    kind: ClassVar[str] = "step-intended"
    number: int
    at: Stamp


@dataclass(frozen=True, slots=True)
class StepEnded:
    """A step's outcome."""

    kind: ClassVar[str] = "step-ended"
    outcome: StepOutcome


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """Work on an attachment ended; `drive` is the last observation."""

    kind: ClassVar[str] = "session-ended"
    end: SessionEnd
    code: str
    at: Stamp
    drive: Drive | None


BenchEvent: TypeAlias = SessionBegan | Resumed | StepIntended | StepEnded | SessionEnded


@dataclass(frozen=True, slots=True)
class RangeRecord:
    """One flush: ranges in the order of time."""

    number: int
    ranges: tuple[ByteRange, ...]
    at: Stamp


@dataclass(frozen=True, slots=True)
class UnwritableRecord:
    """One sector that could not be written."""

    kind: ClassVar[str] = "unwritable"
    number: int
    lba: int
    errno: str


@dataclass(slots=True)
class Written:
    """What the ranges file tells of one step since the last start from zero."""

    flushes: list[RangeRecord] = field(default_factory=list)
    unwritable: list[int] = field(default_factory=list)


class JobDirectory:
    """One job's files, open for appending."""

    def __init__(self, path: Path, *, fault: Fault = no_fault) -> None:
        """Open an existing directory and check it. Raises MalformedError, BrokenFileError."""
        self.path, self._fault = path, fault
        self.order = _read_order(path)
        keys = _read_capped(path / "keys")
        if len(keys) != 2 * KEY_BYTES:
            raise MalformedError(
                f"the keys of job {path.name} are damaged", next_step="Start a new job"
            )
        self.job_key, self.finding_key = keys[:KEY_BYTES], keys[KEY_BYTES:]
        self._events = AppendFile(path / "events", fault=fault)
        self._ranges = AppendFile(path / "ranges", fault=fault)
        self._exchanges = AppendFile(path / "exchanges", fault=fault)

    @classmethod
    def create(
        cls, jobs: Path, order: Order, keys: bytes, *, fault: Fault = no_fault
    ) -> JobDirectory:
        """A new job: complete on the medium before anything changes the drive, or not there at all."""
        if not JOB_ID_FORM.fullmatch(order.job_id):
            raise MalformedError("a job id of unknown form")
        jobs.mkdir(mode=0o700, parents=True, exist_ok=True)
        path, beside = jobs / order.job_id, jobs / (order.job_id + ".new")
        fault("create")
        beside.mkdir(mode=0o700)
        write_durably(beside / "order", canonical_json(to_plain(order)))
        write_durably(beside / "keys", keys)
        sync_directory(beside)
        beside.rename(path)
        sync_directory(jobs)
        fault("created")
        return cls(path, fault=fault)

    @property
    def events(self) -> tuple[BenchEvent, ...]:
        """Everything that happened, in order."""
        return tuple(from_plain(BenchEvent, record) for record in self._events.records)

    @property
    def exchanges(self) -> tuple[int, str]:
        """How many exchanges, and the checksum that chains them."""
        return len(self._exchanges.records), self._exchanges.head

    def happened(self, event: BenchEvent) -> None:
        """Journal an event durably; returns before the act it allows."""
        self._events.append(to_plain(event))

    def flushed(self, record: RangeRecord) -> None:
        """Journal ranges that are on the medium."""
        self._ranges.append({"kind": "flushed", **to_plain(record)})

    def unwritable(self, record: UnwritableRecord) -> None:
        """Journal a sector that could not be written."""
        self._ranges.append(to_plain(record))

    def exchanged(self, exchange: Exchange) -> None:
        """Journal an exchange; durable with the next event."""
        self._exchanges.append(to_plain(exchange), durable=False)

    def restart_ranges(self) -> None:
        """Everything written so far counts for nothing from here on."""
        self._ranges.append({"kind": "from-zero"})

    def written(self, number: int) -> Written:
        """What is known of one step."""
        found = Written()
        for record in self._ranges.records:
            kind = record.get("kind")
            if kind == "from-zero":
                found = Written()
            elif record.get("number") == number:
                if kind == "flushed":
                    plain = {key: value for key, value in record.items() if key != "kind"}
                    found.flushes.append(from_plain(RangeRecord, plain))
                else:
                    found.unwritable.append(from_plain(UnwritableRecord, record).lba)
        return found

    def so_far(self, number: int) -> StepSoFar | None:
        """Where to resume a step: the last GiB is rewound. None where nothing was flushed."""
        written = self.written(number)
        if not written.flushes:
            return None
        kept, rewound = list(written.flushes), 0
        while kept and rewound < REWIND_BYTES:
            rewound += sum(one.length for one in kept.pop().ranges)
        last = max((one for one in written.flushes[-1].ranges), key=lambda one: one.end)
        flushed = RangeSet(one for record in kept for one in record.ranges)
        # sectors that failed are tried again: they are missing from the ranges
        return StepSoFar(number, flushed.frozen(), last, written.flushes[-1].at, SectorList(), 0)

    def write_result(self, envelope: bytes) -> None:
        """The signed transcript; its presence means that the work of this job is over."""
        self._fault("result")
        write_durably(self.path / "result", envelope)
        self._fault("result-written")

    def result(self) -> bytes | None:
        """The signed transcript, None while the job is open."""
        path = self.path / "result"
        return _read_capped(path) if path.exists() else None

    def close(self) -> None:
        """Close every file."""
        for one in (self._events, self._ranges, self._exchanges):
            one.close()


def archive_members(path: Path) -> dict[str, bytes]:
    """What goes into the evidence archive: everything but the finding key and the files' own names."""
    keys = _read_capped(path / "keys")
    members = {
        "order.json": _read_capped(path / "order"),
        "pattern-key.bin": keys[:KEY_BYTES],
        "transcript.dsse.json": _read_capped(path / "result"),
    }
    for name in ("events", "ranges", "exchanges"):
        members[f"{name}.jsonl"] = _lines(read_records(path / name))
    return members


def open_jobs(jobs: Path) -> Sequence[JobId]:
    """Jobs with a directory, oldest first; half-made ones are removed."""
    if not jobs.is_dir():
        return ()
    for half in jobs.glob("*.new"):
        for file in half.iterdir():
            file.unlink()
        half.rmdir()
    return sorted(JobId(one.name) for one in jobs.iterdir() if JOB_ID_FORM.fullmatch(one.name))


def _read_order(path: Path) -> Order:
    try:
        plain = json.loads(_read_capped(path / "order"))
    except (OSError, ValueError) as error:
        msg = f"the order of job {path.name} cannot be read: {error}"
        raise MalformedError(msg[:300], next_step="Keep the folder and call an engineer") from None
    if not isinstance(plain, dict) or plain.get("schema") != ORDER_SCHEMA:
        msg = f"the order of job {path.name} is of another version"
        raise NullbayError(
            msg, code="input.unknown-schema", next_step="Finish it with the nullbay that began it"
        )
    return from_plain(Order, plain)


def _read_capped(path: Path) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    with os.fdopen(fd, "rb") as file:
        content = file.read(FILE_MAX_BYTES + 1)
    if len(content) > FILE_MAX_BYTES:
        raise MalformedError(f"{path.name} is larger than {FILE_MAX_BYTES} bytes")
    return content


def _lines(records: list[Any]) -> bytes:
    return b"".join(canonical_json(record) + b"\n" for record in records)
