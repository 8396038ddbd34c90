"""Small looks that pages take often: the ledger's word on one job, how many findings are open."""

from __future__ import annotations

from sqlalchemy import func, select

from nullbay.server.cards import EntryCard
from nullbay.server.db.engine import Database
from nullbay.server.db.tables import entry, finding, insertion, job


def entries_of_job(database: Database, name: str, job_id: str) -> tuple[EntryCard, ...]:
    """The ledger entries that opened and closed a job, and the one that closed its stay."""
    with database.reading() as connection:
        found = connection.execute(
            select(job.c.started_sequence, job.c.concluded_sequence, insertion.c.sequence)
            .select_from(job)
            .outerjoin(
                insertion,
                (insertion.c.station == job.c.station)
                & (insertion.c.insertion == job.c.insertion)
                & (job.c.insertion != ""),
            )
            .where(job.c.station == name, job.c.job == job_id)
        ).one_or_none()
        numbers = [number for number in found or () if number is not None]
        rows = connection.execute(
            select(
                entry.c.station,
                entry.c.sequence,
                entry.c.sha256,
                entry.c.kind,
                entry.c.at,
                entry.c.subject,
                entry.c.received,
            )
            .where(entry.c.station == name, entry.c.sequence.in_(numbers))
            .order_by(entry.c.sequence)
        ).all()
    return tuple(EntryCard(*row) for row in rows)


def open_findings(database: Database) -> int:
    """How many findings nobody has looked at and that still hold, or did."""
    with database.reading() as connection:
        number: int = connection.execute(
            select(func.count())
            .select_from(finding)
            .where(finding.c.over.is_(None), finding.c.acknowledged.is_(None))
        ).scalar_one()
    return number
