"""The journal's outbox: what the centre has not acknowledged yet, in the order of the ledger.

A row is written with its ledger entry in one transaction (`store.Journal.happened_with_entry`). It
is done when the centre's receipt for the entry is kept here and, where a record or a document
belongs to it, the one for that too, or the centre's refusal of it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from nullbay.agent.journal.store import Journal
from nullbay.certs.ledger import LedgerEntry
from nullbay.domain.clock import Stamp
from nullbay.domain.codec import from_plain
from nullbay.domain.ids import JobId
from nullbay.domain.job import Delivered, JobState

_WAITING = (
    "SELECT outbox.sequence, previous, body, sha256, envelope, job_id, entry_receipt IS NOT NULL,"
    " document IS NOT NULL"
    " FROM outbox JOIN ledger USING (sequence) WHERE delivered_at IS NULL"
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """One ledger entry on its way, and the job whose record or the document that goes with it."""

    entry: LedgerEntry
    job_id: JobId | None
    entry_is_there: bool
    has_document: bool

    @property
    def name(self) -> str:
        """What a person calls that which goes with the entry."""
        return self.job_id or f"lot document of entry {self.entry.sequence}"


@dataclass(frozen=True, slots=True)
class OutboxState:
    """How many entries wait, since when, and when the last one was acknowledged.

    `refused` names jobs and documents, each with the centre's code.
    """

    waiting: int
    oldest: Stamp | None
    last_delivery: Stamp | None
    refused: tuple[tuple[str, str], ...]


class Outbox:
    """The outbox rows of one open journal."""

    def __init__(self, journal: Journal) -> None:
        """The journal stays its owner's."""
        self._journal = journal

    def next(self) -> Waiting | None:
        """The oldest entry that is not acknowledged; None when the centre has everything."""
        row = self._journal.db.execute(f"{_WAITING} ORDER BY outbox.sequence LIMIT 1").fetchone()
        return Waiting(LedgerEntry(*row[:5]), row[5], bool(row[6]), bool(row[7])) if row else None

    def document(self, waiting: Waiting) -> bytes:
        """The document that goes with an entry, byte for byte as the entry names it."""
        asked = "SELECT document FROM outbox WHERE sequence = ?"
        return bytes(self._journal.db.execute(asked, (waiting.entry.sequence,)).fetchone()[0])

    def entry_received(self, waiting: Waiting, receipt: bytes) -> None:
        """The centre has the entry; where nothing goes with it, the row is done."""
        done = None if waiting.job_id or waiting.has_document else self._journal.stamp()
        with self._journal.transaction():
            self._journal.db.execute(
                "UPDATE outbox SET entry_receipt = ?, delivered_at = ? WHERE sequence = ?",
                (receipt, done, waiting.entry.sequence),
            )

    def record_received(self, waiting: Waiting, receipt: bytes) -> None:
        """The centre has the record: the job is Delivered."""
        job = waiting.job_id
        assert job is not None, "a receipt for a record that was not sent"  # noqa: S101 - our own order of calls
        with self._journal.transaction():
            self._journal.db.execute(
                "UPDATE outbox SET record_receipt = ?, refused = NULL, delivered_at = ?"
                " WHERE sequence = ?",
                (receipt, self._journal.stamp(), waiting.entry.sequence),
            )
        if self._journal.state(job).state is JobState.CERTIFIED:
            self._journal.happened(job, Delivered(hashlib.sha256(receipt).hexdigest()))

    def document_received(self, waiting: Waiting, receipt: bytes) -> None:
        """The centre has the document."""
        with self._journal.transaction():
            self._journal.db.execute(
                "UPDATE outbox SET document_receipt = ?, refused = NULL, delivered_at = ?"
                " WHERE sequence = ?",
                (receipt, self._journal.stamp(), waiting.entry.sequence),
            )

    def refused(self, waiting: Waiting, code: str) -> None:
        """The centre will not have what goes with this entry, whatever is tried.

        It is kept and shown, and not repeated.
        """
        with self._journal.transaction():
            self._journal.db.execute(
                "UPDATE outbox SET refused = ?, delivered_at = ? WHERE sequence = ?",
                (code[:200], self._journal.stamp(), waiting.entry.sequence),
            )

    def deliver_again_from(self, sequence: int) -> None:
        """The centre lost what it had from this entry on: all of it waits again."""
        with self._journal.transaction():
            self._journal.db.execute(
                "UPDATE outbox SET entry_receipt = NULL, record_receipt = NULL,"
                " document_receipt = NULL, delivered_at = NULL WHERE sequence >= ?",
                (sequence,),
            )

    def retry_refused(self) -> int:
        """Put refused records and documents back into the queue; how many."""
        with self._journal.transaction():
            done = self._journal.db.execute(
                "UPDATE outbox SET refused = NULL, delivered_at = NULL WHERE refused IS NOT NULL"
            )
            return done.rowcount

    def state(self) -> OutboxState:
        """The figures that a station shows."""
        db = self._journal.db
        waiting = db.execute("SELECT COUNT(*) FROM outbox WHERE delivered_at IS NULL").fetchone()[0]
        oldest = db.execute(
            "SELECT body FROM outbox JOIN ledger USING (sequence) WHERE delivered_at IS NULL"
            " ORDER BY outbox.sequence LIMIT 1"
        ).fetchone()
        last = db.execute(
            "SELECT delivered_at FROM outbox WHERE entry_receipt IS NOT NULL"
            " AND delivered_at IS NOT NULL ORDER BY sequence DESC LIMIT 1"
        ).fetchone()
        refused = db.execute(
            "SELECT COALESCE(job_id, 'lot document of entry ' || sequence), refused FROM outbox"
            " WHERE refused IS NOT NULL ORDER BY sequence"
        ).fetchall()
        return OutboxState(
            waiting,
            from_plain(Stamp, json.loads(oldest[0])["at"]) if oldest else None,
            from_plain(Stamp, json.loads(last[0])) if last else None,
            tuple((name, code) for name, code in refused),
        )
