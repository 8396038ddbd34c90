"""The journal's file: opened, checked, migrated, read and appended to.

WAL and synchronous=FULL: what a method returned from survives a power cut. Nothing is ever updated
but the derived columns of a job. A journal that does not check stops the station with plain words
and is never deleted.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from nullbay.certs.ledger import LedgerEntry
from nullbay.domain.canonical import canonical_json
from nullbay.domain.clock import UNKNOWN_BOOT, Clock, Stamp
from nullbay.domain.codec import from_plain, to_plain
from nullbay.domain.drive import Attachment
from nullbay.domain.errors import NullbayError, UnknownSchemaError
from nullbay.domain.ids import IdentityKey, InsertionId, JobId
from nullbay.domain.job import Certified, Job, JobEvent, transition
from nullbay.domain.status import DriveCard
from nullbay.wipers.appendfile import Fault, no_fault, sync_directory

FILE_NAME = "journal.sqlite3"
BUSY_TIMEOUT_S = 30
_APPLICATION_ID = 0x6E756C6C
EVENT_SCHEMA = "nullbay.job-event/1"
_LEDGER = "SELECT ledger.sequence, previous, body, sha256, envelope FROM ledger"
_JOB = (
    "SELECT job_id, identity_key, policy_id, policy_sha256, plan_sha256, request, attempt,"
    " statement_id, told FROM job"
)
_UNCERTIFIED = (
    f"{_JOB} WHERE NOT EXISTS (SELECT 1 FROM job_event WHERE job_event.job_id = job.job_id"  # noqa: S608
    " AND json_extract(event, '$.event.kind') = ?) ORDER BY rowid"
)


class JournalError(NullbayError):
    """The journal cannot be used. It was not changed."""

    code = "journal.unusable"


@dataclass(frozen=True, slots=True)
class JobRow:
    """The immutable facts of a job, and whether its result has been told."""

    job_id: JobId
    identity_key: IdentityKey
    policy_id: str
    policy_sha256: str
    plan_sha256: str
    request: dict[str, Any]
    attempt: int
    statement_id: str | None
    told: bool


@dataclass(frozen=True, slots=True)
class InsertionRow:
    """One stay of a drive that is not closed in the ledger yet, and the job it worked on last."""

    insertion_id: InsertionId
    identity_key: IdentityKey
    bay: str
    job_id: JobId | None


class Journal:
    """One open journal. Methods are whole transactions."""

    def __init__(self, state: Path, clock: Clock, *, fault: Fault = no_fault) -> None:
        """Open or create `<state>/journal.sqlite3`. Raises JournalError.

        `fault` is called with `begin`, `commit` and `committed` around each transaction; a
        simulation crashes there.
        """
        self._clock, self._fault = clock, fault
        self.path = state / FILE_NAME
        try:
            # of two that start at once, one makes it and both open it
            os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
            sync_directory(state)
            self._db = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute("PRAGMA foreign_keys=ON")
            self._check()
            self._migrate()
        except (sqlite3.Error, OSError) as error:
            msg = f"the journal {self.path} cannot be used: {error}"
            raise JournalError(
                msg, next_step="Keep the file; restore it or run `nullbay journal check`"
            ) from error

    @property
    def db(self) -> sqlite3.Connection:
        """The connection, for the modules of this folder."""
        return self._db

    def stamp(self) -> str:
        """This moment as it stands in rows."""
        return canonical_json(to_plain(self._clock.now())).decode()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def add_job(self, row: JobRow, event: JobEvent) -> None:
        """A new job with its first event."""
        with self.transaction():
            values = (
                row.job_id,
                row.identity_key,
                row.policy_id,
                row.policy_sha256,
                row.plan_sha256,
                canonical_json(row.request).decode(),
                row.attempt,
            )
            self._db.execute(
                "INSERT INTO job (job_id, identity_key, policy_id, policy_sha256, plan_sha256,"
                " request, attempt) VALUES (?, ?, ?, ?, ?, ?, ?)",
                values,
            )
            self._add_event(row.job_id, event)

    def happened(self, job: JobId, *events: JobEvent) -> Job:
        """Append events to a job, all or none; its new state. Raises IllegalTransitionError."""
        with self.transaction():
            for event in events:
                self._add_event(job, event)
            return self.state(job)

    def happened_with_entry(
        self,
        job: JobId | None,
        make: Callable[[LedgerEntry | None], tuple[LedgerEntry, JobEvent | None]],
        *,
        closes: str | None = None,
        document: bytes | None = None,
    ) -> LedgerEntry:
        """Append one ledger entry and, with it or not at all, a job's event or a stay's closing.

        `make` gets the last entry and runs inside the transaction, so no other process can
        put an entry in between; what it writes to disk must be durable when it returns. The entry
        goes into the outbox in the same transaction, a job's record with the one that concludes
        it, a `document` with the one that names it.
        """
        with self.transaction():
            entry, event = make(self.last_entry())
            self._db.execute(
                "INSERT INTO ledger (sequence, previous, body, sha256, envelope)"
                " VALUES (?, ?, ?, ?, ?)",
                (entry.sequence, entry.previous, entry.body, entry.sha256, entry.envelope),
            )
            record = job if isinstance(event, Certified) else None
            self._db.execute(
                "INSERT INTO outbox (sequence, job_id, document) VALUES (?, ?, ?)",
                (entry.sequence, record, document),
            )
            if job is not None and event is not None:
                self._add_event(job, event)
            if closes is not None:
                self._db.execute("DELETE FROM open_insertion WHERE insertion_id = ?", (closes,))
                self._db.execute(
                    "UPDATE insertion SET closed_sequence = ? WHERE insertion_id = ?",
                    (entry.sequence, closes),
                )
            return entry

    def open_insertion(
        self,
        insertion: InsertionId,
        identity: IdentityKey,
        bay: str,
        card: DriveCard | None = None,
        attachment: Attachment | None = None,
    ) -> None:
        """A drive is held: its stay will be closed in the ledger, whatever comes."""
        shown = None if card is None else canonical_json(to_plain(card)).decode()
        there = None if attachment is None else canonical_json(to_plain(attachment)).decode()
        with self.transaction():
            self._db.execute(
                "INSERT INTO open_insertion (insertion_id, identity_key, bay) VALUES (?, ?, ?)",
                (insertion, identity, bay),
            )
            self._db.execute(
                "INSERT INTO insertion (insertion_id, identity_key, bay, opened, card, attachment)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (insertion, identity, bay, self.stamp(), shown, there),
            )

    def insertion_works(self, insertion: InsertionId, job: JobId) -> None:
        """The job that this stay works on now."""
        with self.transaction():
            self._db.execute(
                "UPDATE open_insertion SET job_id = ? WHERE insertion_id = ?", (job, insertion)
            )

    def never_left(self, insertion: InsertionId) -> bool:
        """Whether the drive of a stay was attached just like that in its stay before.

        Same boot and same disk sequence number: the kernel never lost it. What cannot be known is
        taken for having left.
        """
        rows = self._db.execute(
            "SELECT attachment FROM insertion WHERE identity_key ="
            " (SELECT identity_key FROM insertion WHERE insertion_id = ?)"
            " AND rowid <= (SELECT rowid FROM insertion WHERE insertion_id = ?)"
            " ORDER BY rowid DESC LIMIT 2",
            (insertion, insertion),
        ).fetchall()
        if len(rows) < 2 or rows[0][0] is None or rows[0] != rows[1]:
            return False
        there: Attachment = from_plain(Attachment, json.loads(rows[0][0]))
        known_boot = there.boot_id not in {"", UNKNOWN_BOOT}
        return known_boot and all(node.diskseq for node in there.nodes)

    def job_of_stay(self, insertion: InsertionId) -> JobId | None:
        """The job that an open stay works on; None while there is none."""
        found = self._db.execute(
            "SELECT job_id FROM open_insertion WHERE insertion_id = ?", (insertion,)
        ).fetchone()
        return JobId(found[0]) if found and found[0] else None

    def open_insertions(self) -> tuple[InsertionRow, ...]:
        """Stays that are not closed in the ledger, oldest first."""
        rows = self._db.execute(
            "SELECT insertion_id, identity_key, bay, job_id FROM open_insertion ORDER BY rowid"
        )
        return tuple(InsertionRow(*row) for row in rows)

    def last_entry(self) -> LedgerEntry | None:
        """The last ledger entry, None in an empty ledger."""
        row = self._db.execute(f"{_LEDGER} ORDER BY ledger.sequence DESC LIMIT 1").fetchone()
        return LedgerEntry(*row) if row else None

    def entry(self, sequence: int) -> LedgerEntry | None:
        """The ledger entry of that number, None where there is none."""
        row = self._db.execute(f"{_LEDGER} WHERE sequence = ?", (sequence,)).fetchone()
        return LedgerEntry(*row) if row else None

    def ledger(self) -> Iterator[LedgerEntry]:
        """Every entry in order."""
        for row in self._db.execute(f"{_LEDGER} ORDER BY sequence"):
            yield LedgerEntry(*row)

    def jobs(self, identity: IdentityKey | None = None) -> tuple[JobRow, ...]:
        """Jobs, newest first; only those of one identity key where given."""
        where, values = (
            (" WHERE identity_key = ?", (identity,)) if identity is not None else ("", ())
        )
        rows = self._db.execute(f"{_JOB}{where} ORDER BY rowid DESC", values)
        return tuple(_row(row) for row in rows)

    def uncertified_jobs(self) -> tuple[JobRow, ...]:
        """Jobs without a record, oldest first."""
        rows = self._db.execute(_UNCERTIFIED, (Certified.kind,))
        return tuple(_row(row) for row in rows)

    def has_job(self, job: JobId) -> bool:
        """Whether there is such a job."""
        found = self._db.execute("SELECT 1 FROM job WHERE job_id = ?", (job,)).fetchone()
        return found is not None

    def job(self, job: JobId) -> JobRow:
        """One job's facts. Raises JournalError for an unknown job."""
        found = self._db.execute(f"{_JOB} WHERE job_id = ?", (job,)).fetchone()
        if found is not None:
            return _row(found)
        msg = f"no job {job} in the journal"
        raise JournalError(msg, next_step="See `nullbay jobs`")

    def events(self, job: JobId) -> tuple[JobEvent, ...]:
        """Everything that happened to a job."""
        rows = self._db.execute(
            "SELECT event FROM job_event WHERE job_id = ? ORDER BY number", (job,)
        )
        return tuple(_event(json.loads(row[0])) for row in rows)

    def times(self, job: JobId) -> tuple[Stamp, ...]:
        """When each thing happened to a job, in order."""
        rows = self._db.execute("SELECT at FROM job_event WHERE job_id = ? ORDER BY number", (job,))
        return tuple(from_plain(Stamp, json.loads(row[0])) for row in rows)

    def conclusion_of(self, job: JobId) -> LedgerEntry | None:
        """The ledger entry that concludes a job; None as long as there is none."""
        row = self._db.execute(
            f"{_LEDGER} JOIN outbox USING (sequence) WHERE job_id = ?", (job,)
        ).fetchone()
        return LedgerEntry(*row) if row else None

    def states(self) -> dict[str, int]:
        """How many jobs stand in which state."""
        told: Counter[str] = Counter()
        for job, state in self._db.execute("SELECT job_id, state FROM job"):
            # rows of the version before have no derived state until something happens to them
            told[state or self.state(job).state.value] += 1
        return dict(told)

    def state(self, job: JobId) -> Job:
        """A job's state, replayed from its events. Raises JournalError for an unknown job."""
        row = self._db.execute("SELECT plan_sha256 FROM job WHERE job_id = ?", (job,)).fetchone()
        if row is None:
            msg = f"no job {job} in the journal"
            raise JournalError(msg, next_step="See `nullbay jobs`")
        state = Job(job, row[0])
        for event in self.events(job):
            state, _ = transition(state, event)
        return state

    def set_statement_id(self, job: JobId, statement_id: str) -> None:
        """The id of the job's record, fixed before it is signed so that a repeat uses the same."""
        with self.transaction():
            self._db.execute(
                "UPDATE job SET statement_id = COALESCE(statement_id, ?) WHERE job_id = ?",
                (statement_id, job),
            )

    def set_told(self, job: JobId) -> None:
        """The result reached whoever asked: a repeated command starts a new job."""
        with self.transaction():
            self._db.execute("UPDATE job SET told = 1 WHERE job_id = ?", (job,))

    def check(self, *, full: bool) -> None:
        """Ask SQLite whether the file is sound. Raises JournalError."""
        found = self._db.execute(
            "PRAGMA integrity_check" if full else "PRAGMA quick_check"
        ).fetchall()
        if found != [("ok",)]:
            msg = f"the journal {self.path} is damaged: {found[0][0]}"
            raise JournalError(
                msg[:300], next_step="Keep the file; restore a copy; call an engineer"
            )

    def _add_event(self, job: JobId, event: JobEvent) -> None:
        after, _ = transition(self.state(job), event)
        number = self._db.execute(
            "SELECT COUNT(*) FROM job_event WHERE job_id = ?", (job,)
        ).fetchone()[0]
        plain = {"schema": EVENT_SCHEMA, "event": to_plain(event)}
        self._db.execute(
            "INSERT INTO job_event (job_id, number, at, event) VALUES (?, ?, ?, ?)",
            (job, number, self.stamp(), canonical_json(plain).decode()),
        )
        self._db.execute("UPDATE job SET state = ? WHERE job_id = ?", (after.state.value, job))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, for the modules of this folder.

        Raises JournalError where SQLite cannot; nothing was changed then.
        """
        self._fault("begin")
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._fault("commit")
            self._db.execute("COMMIT")
        except BaseException as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                msg = f"the journal {self.path} cannot be written: {error}"
                raise JournalError(msg, next_step="See that the disk has room") from error
            raise
        self._fault("committed")

    def _check(self) -> None:
        application = self._db.execute("PRAGMA application_id").fetchone()[0]
        if application not in (0, _APPLICATION_ID):
            msg = f"{self.path} is no journal of nullbay"
            raise JournalError(msg, next_step="Name another state directory")
        self.check(full=False)

    def _migrate(self) -> None:
        """Numbered SQL files; the database is copied first, a newer one is refused unchanged."""
        folder = resources.files("nullbay.agent.journal").joinpath("migrations")
        files = sorted(folder.iterdir(), key=lambda one: one.name)
        scripts = [one.read_text("utf-8") for one in files if one.name.endswith(".sql")]
        have = self._version()
        if have > len(scripts):
            msg = f"the journal {self.path} is of version {have}; this nullbay knows {len(scripts)}"
            raise JournalError(msg, next_step="Install a newer nullbay")
        if 0 < have < len(scripts):
            self._copy(have)
        for number, script in enumerate(scripts[have:], start=have + 1):
            with self.transaction():
                if self._version() >= number:
                    continue  # another process did it meanwhile
                for statement in script.split(";"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA application_id={_APPLICATION_ID}")
                self._db.execute(f"PRAGMA user_version={number}")

    def _version(self) -> int:
        return int(self._db.execute("PRAGMA user_version").fetchone()[0])

    def _copy(self, version: int) -> None:
        target = self.path.with_name(f"journal-version-{version}.sqlite3")
        with sqlite3.connect(target) as copy:
            self._db.backup(copy)
        copy.close()


def check_in_full(path: Path) -> None:
    """SQLite's whole integrity check, on a connection of its own: for a thread beside the writer.

    Raises JournalError.
    """
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)) as db:
            found = db.execute("PRAGMA integrity_check").fetchall()
    except sqlite3.Error as error:
        found = [(str(error),)]
    if found != [("ok",)]:
        raise JournalError(
            f"the journal {path} is damaged: {found[0][0]}"[:300],
            next_step="Keep the file; `nullbay journal recover` saves what can be read",
        )


def _row(row: tuple[Any, ...]) -> JobRow:
    return JobRow(
        job_id=JobId(row[0]),
        identity_key=IdentityKey(row[1]),
        policy_id=row[2],
        policy_sha256=row[3],
        plan_sha256=row[4],
        request=json.loads(row[5]),
        attempt=row[6],
        statement_id=row[7],
        told=bool(row[8]),
    )


def _event(plain: Any) -> JobEvent:
    if not isinstance(plain, dict) or plain.get("schema") != EVENT_SCHEMA:
        raise UnknownSchemaError(
            "a job event of another version", next_step="Install a newer nullbay"
        )
    return from_plain(JobEvent, plain["event"])
