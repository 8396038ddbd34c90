"""The job directory: what a drive was sent and answered, kept by the bench until acknowledged.

`<state>/jobs/<job>/`, 0700, files 0600: `order` (plan, identity, first observation), `keys` (the
two secrets of the job), `events`, `ranges` and `exchanges` (append-only, checksummed), `result`
(the signed transcript). Everything a verdict rests on can be rebuilt from here after a crash
(docs/decisions/crash-safety.md).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self, TypeAlias

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
HALF_MADE = ".new"
LEAVING = ".old"
FLUSHED = "flushed"
FROM_ZERO = "from-zero"
RESUMED = "resumed"


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
    """Work on an attachment begins, after the read-back where the job is resumed.

    `from_zero`: everything written before counts for nothing from here on.
    """

    kind: ClassVar[str] = "session-began"
    attachment: Attachment
    identity: IdentityKey
    at: Stamp
    resumed: bool
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


BenchEvent: TypeAlias = SessionBegan | StepIntended | StepEnded | SessionEnded


def moment_of(event: BenchEvent) -> Stamp:
    """When an event happened."""
    return event.outcome.ended if isinstance(event, StepEnded) else event.at


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
    """What the ranges file tells of one step since the last start from zero.

    `flushes` lack what was rewound when the step was resumed, until it is written again; `last` is
    the last flush, rewound or not.
    """

    flushes: list[RangeRecord] = field(default_factory=list)
    last: RangeRecord | None = None
    unwritable: list[int] = field(default_factory=list)

    def rewind(self, length: int) -> None:
        """Take the last bytes out: a drive may have lost what it said was flushed."""
        rewound = 0
        while self.flushes and rewound < length:
            rewound += sum(one.length for one in self.flushes.pop().ranges)


class JobDirectory:
    """One job's files, open for appending."""

    def __init__(
        self, path: Path, *, rewind_bytes: int = REWIND_BYTES, fault: Fault = no_fault
    ) -> None:
        """Open an existing directory and check it. Raises MalformedError, BrokenFileError.

        `rewind_bytes`: how much of what was flushed last is written again on resuming.
        """
        self.path, self._rewind_bytes, self._fault = path, rewind_bytes, fault
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
        self._happened: list[BenchEvent] = [
            from_plain(BenchEvent, record) for record in self._events.records
        ]
        self._restart_ranges()

    @classmethod
    def create(
        cls,
        jobs: Path,
        order: Order,
        keys: bytes,
        *,
        rewind_bytes: int = REWIND_BYTES,
        fault: Fault = no_fault,
    ) -> Self:
        """A new job: whole on the medium before anything changes the drive, or not there at all."""
        if not JOB_ID_FORM.fullmatch(order.job_id):
            raise MalformedError("a job id of unknown form")
        jobs.mkdir(mode=0o700, parents=True, exist_ok=True)
        path, beside = jobs / order.job_id, jobs / (order.job_id + HALF_MADE)
        fault("create job")
        beside.mkdir(mode=0o700)
        write_durably(beside / "order", canonical_json(to_plain(order)), fault=fault)
        write_durably(beside / "keys", keys, fault=fault)
        beside.rename(path)
        sync_directory(jobs)
        fault("created job")
        return cls(path, rewind_bytes=rewind_bytes, fault=fault)

    @property
    def events(self) -> tuple[BenchEvent, ...]:
        """Everything that happened, in order."""
        return tuple(self._happened)

    @property
    def last_moment(self) -> Stamp:
        """When something was last journalled of it, in the order of the files."""
        moments = [self.order.ordered, *map(moment_of, self.events)]
        flushes = [one for one in self._ranges.records if one.get("kind") == FLUSHED]
        moments += [from_plain(Stamp, one["at"]) for one in flushes[-1:]]
        return max(moments, key=lambda one: one.at)

    @property
    def exchanges(self) -> tuple[int, str]:
        """How many exchanges, and the checksum that chains them."""
        return len(self._exchanges.records), self._exchanges.head

    def happened(self, event: BenchEvent) -> None:
        """Journal an event durably; returns before the act it allows."""
        self._events.append(to_plain(event))
        self._happened.append(event)
        if isinstance(event, SessionBegan):
            if event.from_zero:
                self._restart_ranges()
            elif event.resumed:
                self._ranges.append({"kind": RESUMED})

    def flushed(self, record: RangeRecord) -> None:
        """Journal ranges that are on the medium."""
        self._ranges.append({"kind": FLUSHED, **to_plain(record)})

    def unwritable(self, record: UnwritableRecord) -> None:
        """Journal a sector that could not be written."""
        self._ranges.append(to_plain(record))

    def exchanged(self, exchange: Exchange) -> None:
        """Journal an exchange."""
        self._exchanges.append(to_plain(exchange))

    def written(self, number: int) -> Written:
        """What is known of one step."""
        found = Written()
        for record in self._ranges.records:
            kind = record.get("kind")
            if kind == FROM_ZERO:
                found = Written()
            elif kind == RESUMED:
                found.rewind(self._rewind_bytes)
            elif record.get("number") == number:
                if kind == FLUSHED:
                    plain = {key: value for key, value in record.items() if key != "kind"}
                    found.last = from_plain(RangeRecord, plain)
                    found.flushes.append(found.last)
                else:
                    found.unwritable.append(from_plain(UnwritableRecord, record).lba)
        return found

    def so_far(self, number: int) -> StepSoFar | None:
        """Where to resume a step, rewound. None where nothing of it was flushed."""
        written = self.written(number)
        if written.last is None:
            return None
        end = max(written.last.ranges, key=lambda one: one.end)
        written.rewind(self._rewind_bytes)
        flushed = RangeSet(one for record in written.flushes for one in record.ranges)
        # sectors that failed are tried again: they are missing from the ranges
        return StepSoFar(number, flushed.frozen(), end, written.last.at, SectorList(), 0)

    def write_result(self, envelope: bytes) -> None:
        """The signed transcript; its presence means that the work of this job is over."""
        write_durably(self.path / "result", envelope, fault=self._fault)

    def result(self) -> bytes | None:
        """The signed transcript, None while the job is open."""
        path = self.path / "result"
        return _read_capped(path) if path.exists() else None

    def close(self) -> None:
        """Close every file."""
        for one in (self._events, self._ranges, self._exchanges):
            one.close()

    def _restart_ranges(self) -> None:
        """Let the ranges begin anew as often as the events say, also where a crash came between."""
        starts = sum(isinstance(event, SessionBegan) and event.from_zero for event in self.events)
        marks = sum(record.get("kind") == FROM_ZERO for record in self._ranges.records)
        for _ in range(marks, starts):
            self._ranges.append({"kind": FROM_ZERO})


def archive_members(path: Path) -> dict[str, bytes]:
    """What goes into the evidence archive: everything but the finding key."""
    return {name: read() for name, read in archive_member_readers(path)}


def archive_member_readers(path: Path) -> tuple[tuple[str, Callable[[], bytes]], ...]:
    """The same, one after another: name, and what reads it."""

    def lines(name: str) -> tuple[str, Callable[[], bytes]]:
        return f"{name}.jsonl", lambda: _lines(read_records(path / name))

    return (
        ("order.json", lambda: _read_capped(path / "order")),
        ("pattern-key.bin", lambda: _read_capped(path / "keys")[:KEY_BYTES]),
        ("transcript.dsse.json", lambda: _read_capped(path / "result")),
        *map(lines, ("events", "ranges", "exchanges")),
    )


def job_ids(jobs: Path) -> tuple[JobId, ...]:
    """Jobs that have a folder, in the order of their ids."""
    names = [one.name for one in jobs.iterdir()] if jobs.is_dir() else []
    return tuple(JobId(name) for name in sorted(names) if JOB_ID_FORM.fullmatch(name))


def remove(path: Path, *, fault: Fault = no_fault) -> None:
    """Remove a job's folder: at once for whoever looks, whatever crash comes in between."""
    leaving = path.with_name(path.name + LEAVING)
    fault("remove job")
    path.rename(leaving)
    sync_directory(path.parent)
    fault("removed job")
    _remove_folder(leaving)


def remove_never_begun(jobs: Path, which: Collection[JobId]) -> None:
    """Remove those jobs of `which` that never began, and what is half-made or half-removed.

    Only while nobody else makes jobs. Whatever may have touched a drive stays: it is evidence.
    """
    if not jobs.is_dir():
        return
    for folder in sorted(jobs.iterdir()):
        name = folder.name.removesuffix(HALF_MADE).removesuffix(LEAVING)
        if JOB_ID_FORM.fullmatch(name) and (
            folder.name != name or (name in which and not _has_begun(folder))
        ):
            _remove_folder(folder)


def _has_begun(folder: Path) -> bool:
    events = folder / "events"
    return (folder / "result").exists() or (events.exists() and events.stat().st_size > 0)


def _remove_folder(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    sync_directory(folder.parent)


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
