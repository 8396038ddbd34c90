"""Saving what can be read of a damaged journal into a new file. The damaged one is never changed.

Rows are copied one by one, table by table, in the order of their dependence. What the copy is worth
is then said by the chain of its ledger and by the replay of its jobs, not by SQLite alone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from nullbay.agent.journal.store import FILE_NAME, Journal, JournalError
from nullbay.certs import ledger
from nullbay.certs.keys import PublicKey
from nullbay.domain.clock import Clock
from nullbay.domain.errors import NullbayError

RECOVERED_NAME = "journal-recovered.sqlite3"
DAMAGED_NAME = "journal-damaged-{}.sqlite3"
TABLES = (
    "ledger",
    "job",
    "job_event",
    "open_insertion",
    "insertion",
    "station_event",
    "outbox",
)


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a recovery found. `chain_error` is empty where the saved ledger is unbroken."""

    path: Path
    rows: int
    unreadable: int
    entries: int
    chain_error: str
    jobs: int
    jobs_not_replaying: int

    @property
    def is_whole(self) -> bool:
        """Whether nothing is known to be missing and everything that was saved checks."""
        return not (self.unreadable or self.chain_error or self.jobs_not_replaying)


def recover(state: Path, clock: Clock, key: PublicKey) -> Recovered:
    """Save the journal of `state` beside it. Raises JournalError where nothing can be read."""
    target = state / "recovering"
    target.mkdir(mode=0o700, exist_ok=True)
    for left in target.iterdir():
        left.unlink()
    made = Journal(target, clock)
    # a row whose partner is lost is still a row worth saving
    made.db.execute("PRAGMA foreign_keys=OFF")
    rows = unreadable = 0
    uri = f"{(state / FILE_NAME).absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as damaged, made.transaction():
            for table in TABLES:
                for row in _rows(damaged, table):
                    if row is None:
                        unreadable += 1
                        continue
                    rows += 1
                    into = f"{table} ({', '.join(row)})"
                    places = ", ".join("?" * len(row))
                    made.db.execute(f"INSERT INTO {into} VALUES ({places})", tuple(row.values()))  # noqa: S608 - our own names
    except sqlite3.Error as error:
        msg = f"the journal cannot be read at all: {error}"
        raise JournalError(msg, next_step="Restore a copy; keep the damaged file") from error
    report = _judge(made, key, rows, unreadable, state / RECOVERED_NAME)
    made.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    made.close()
    (target / FILE_NAME).rename(report.path)
    for left in target.iterdir():
        left.unlink()
    target.rmdir()
    return report


def put_in_place(state: Path) -> Path:
    """Make the recovered file the journal; where the damaged one is kept now."""
    number = 1
    while (kept := state / DAMAGED_NAME.format(number)).exists():
        number += 1
    journal = state / FILE_NAME
    journal.rename(kept)
    for suffix in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            journal.with_name(journal.name + suffix).rename(kept.with_name(kept.name + suffix))
    (state / RECOVERED_NAME).rename(journal)
    return kept


def _rows(damaged: sqlite3.Connection, table: str) -> Iterator[dict[str, object] | None]:
    """Every row by the names of its columns; None for each that the file no longer gives.

    A journal of an earlier version lacks whole tables: they have no rows.
    """
    there = "SELECT name FROM pragma_table_info(?)"
    try:
        columns = [row[0] for row in damaged.execute(there, (table,))]
        if not columns:
            return
        numbers = [row[0] for row in damaged.execute(f"SELECT rowid FROM {table} ORDER BY rowid")]  # noqa: S608 - our own table names
    except sqlite3.Error:
        try:
            top = damaged.execute(f"SELECT MAX(rowid) FROM {table}").fetchone()[0] or 0  # noqa: S608 - our own table names
        except sqlite3.Error:
            yield None
            return
        numbers = list(range(1, int(top) + 1))
    for number in numbers:
        try:
            row = damaged.execute(f"SELECT * FROM {table} WHERE rowid = ?", (number,)).fetchone()  # noqa: S608 - our own table names
        except sqlite3.Error:
            row = None
        yield dict(zip(columns, row, strict=True)) if row else None


def _judge(made: Journal, key: PublicKey, rows: int, unreadable: int, path: Path) -> Recovered:
    entries = tuple(made.ledger())
    chain_error = ""
    try:
        ledger.check_chain(entries, [key])
    except NullbayError as error:
        chain_error = str(error)
    jobs = made.jobs()
    bad = 0
    for row in jobs:
        try:
            made.state(row.job_id)
        except NullbayError:
            bad += 1
    return Recovered(path, rows, unreadable, len(entries), chain_error, len(jobs), bad)
