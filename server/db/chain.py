"""What a ledger entry says of jobs and insertions, drawn into rows that can be asked."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, and_, insert, not_, select, update

from nullbay.certs.ledger import (
    InsertionClosed,
    JobConcluded,
    JobStarted,
    LedgerBody,
    LedgerEntry,
    StationEvent,
)
from nullbay.certs.lot_document import LotNote, named_by
from nullbay.domain.canonical import canonical_json
from nullbay.domain.clock import Stamp
from nullbay.domain.text import show
from nullbay.server.db.tables import (
    DIGEST_CHARACTERS,
    ID_CHARACTERS,
    TEXT_CHARACTERS,
    entry,
    insertion,
    job,
    lot_document,
)
from nullbay.server.search import key_of


def insert_entry(
    connection: Connection,
    name: str,
    given: LedgerEntry,
    body: LedgerBody,
    now: Stamp,
    receipt: bytes,
) -> None:
    """The entry as it came, and what follows from it for jobs and insertions."""
    kind, subject = type(body.event).kind, ""
    match body.event:
        case JobStarted():
            subject = body.event.job_id
            _job_started(connection, name, given.sequence, body.at, body.event, now)
        case JobConcluded():
            subject = body.event.job_id
            _job_concluded(connection, name, given.sequence, body.at, body.event, now)
        case InsertionClosed():
            subject = body.event.insertion_id
            _insertion_closed(connection, name, given.sequence, body.at, body.event)
        case StationEvent():
            subject = body.event.code
            if (note := named_by(body.event)) is not None:
                _names_document(connection, name, given.sequence, body.event.code, note)
    connection.execute(
        insert(entry).values(
            station=name,
            sequence=given.sequence,
            sha256=given.sha256,
            previous=given.previous,
            body=given.body,
            envelope=given.envelope,
            kind=kind,
            subject=show(subject, TEXT_CHARACTERS),
            at=body.at,
            received=now,
            receipt=receipt,
        )
    )


def _job_started(
    connection: Connection, name: str, sequence: int, at: Stamp, said: JobStarted, now: Stamp
) -> None:
    known = fitted(said.job_id)
    stay = fitted(said.insertion_id)
    there = _job(connection, name, known)
    if there is not None and there.starts:
        _change_job(connection, name, known, starts=there.starts + 1, unsettled=True)
        return
    closed = connection.execute(
        select(insertion.c.insertion).where(
            insertion.c.station == name, insertion.c.insertion == stay
        )
    ).first()
    values: dict[str, Any] = {
        "insertion": stay,
        "identity_key": show(said.identity_key, DIGEST_CHARACTERS),
        "policy_id": fitted(said.policy_id),
        "bay": fitted(said.bay),
        "simulated": said.simulated,
        "started_sequence": sequence,
        "started": at,
        "started_received": now,
        "starts": 1,
        "insertion_closed": not stay or closed is not None,
        "unsettled": True,
    }
    if there is not None:
        _change_job(connection, name, known, **values)
    else:
        nothing = {"conclusions": 0, "has_record": False}
        connection.execute(insert(job).values(station=name, job=known, **nothing, **values))


def _job_concluded(
    connection: Connection, name: str, sequence: int, at: Stamp, said: JobConcluded, now: Stamp
) -> None:
    known = fitted(said.job_id)
    there = _job(connection, name, known)
    if there is not None and there.conclusions:
        more = there.conclusions + 1
        _change_job(connection, name, known, conclusions=more, unsettled=True)
        return
    values: dict[str, Any] = {
        "concluded_sequence": sequence,
        "concluded": at,
        "concluded_received": now,
        "conclusions": 1,
        "verdict": said.verdict.value,
        "statement_sha256": show(said.statement_sha256, DIGEST_CHARACTERS),
        "archive_sha256": show(said.archive_sha256, DIGEST_CHARACTERS),
        "unsettled": True,
    }
    if there is not None:
        _change_job(connection, name, known, **values)
        return
    nothing = {"insertion": "", "identity_key": "", "policy_id": "", "bay": "", "starts": 0}
    connection.execute(
        insert(job).values(
            station=name,
            job=known,
            simulated=False,
            has_record=False,
            insertion_closed=True,
            **nothing,
            **values,
        )
    )


def _insertion_closed(
    connection: Connection, name: str, sequence: int, at: Stamp, said: InsertionClosed
) -> None:
    known = fitted(said.insertion_id)
    here = (insertion.c.station == name, insertion.c.insertion == known)
    there = connection.execute(select(insertion.c.closings).where(*here)).scalar_one_or_none()
    if there is not None:
        connection.execute(update(insertion).where(*here).values(closings=there + 1))
        return
    connection.execute(
        insert(insertion).values(
            station=name,
            insertion=known,
            sequence=sequence,
            closed=at,
            closings=1,
            cause=said.cause.value,
            bay=fitted(said.bay),
            identity_key=show(said.identity_key, DIGEST_CHARACTERS),
            scanned=show(said.scanned, TEXT_CHARACTERS),
            scanned_key=key_of(show(said.scanned, TEXT_CHARACTERS)),
            jobs=canonical_json([show(one, ID_CHARACTERS) for one in said.jobs]),
            refusals=canonical_json([show(one) for one in said.refusals]),
            jobs_number=len(said.jobs),
        )
    )
    mine = connection.execute(
        select(job.c.job).where(job.c.station == name, job.c.insertion == known)
    ).scalars()
    for one in list(mine):
        settle(connection, name, one, insertion_closed=True)


def settle(connection: Connection, name: str, known: str, **came: bool) -> None:
    """Note what came for a job, and whether a review still has to look at it."""
    columns = job.c
    needed = [columns.has_record, columns.insertion_closed]
    whole = and_(
        columns.starts == 1,
        columns.conclusions == 1,
        *(column.is_(True) for column in needed if column.name not in came),
    )
    _change_job(connection, name, known, **came, unsettled=not_(whole))


def _names_document(
    connection: Connection, name: str, sequence: int, code: str, note: LotNote
) -> None:
    """A document is awaited from now on; of two entries that name one, the first counts."""
    same = (lot_document.c.station == name, lot_document.c.sha256 == note.document)
    if connection.execute(select(lot_document.c.sequence).where(*same)).first() is not None:
        return
    lot = show(note.reference, TEXT_CHARACTERS)
    connection.execute(
        insert(lot_document).values(
            station=name,
            sha256=note.document,
            sequence=sequence,
            code=code,
            lot=lot,
            lot_key=key_of(lot),
            manifest_sha256=note.manifest,
            customer="",
        )
    )


def _job(connection: Connection, name: str, known: str) -> Any:
    return connection.execute(
        select(job).where(job.c.station == name, job.c.job == known)
    ).one_or_none()


def _change_job(connection: Connection, name: str, known: str, **values: Any) -> None:
    connection.execute(
        update(job).where(job.c.station == name, job.c.job == known).values(**values)
    )


def fitted(text: str) -> str:
    """An id as a column holds it: printable, bounded."""
    return show(text, ID_CHARACTERS)
