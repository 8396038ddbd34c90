"""Findings as they are kept: noted, over, acknowledged, never deleted."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from sqlalchemy import Connection, func, insert, select, update

from nullbay.domain.clock import Stamp
from nullbay.server.db.tables import finding
from nullbay.server.findings import CATALOGUE, Found

SUBJECTS_MAX = 200
"""Open findings of one kind at one station; beyond, one more stands for all the others."""


def note_happened(connection: Connection, said: Found, now: Stamp) -> None:
    """Note something that happened: again in the same row, until somebody acknowledged that."""
    mine = (
        finding.c.station == said.station,
        finding.c.code == said.code,
        finding.c.acknowledged.is_(None),
    )
    there = _row(connection, said)
    if there is None:
        held = connection.execute(select(func.count()).select_from(finding).where(*mine))
        if held.scalar_one() >= SUBJECTS_MAX:
            said = Found(said.station, said.code, "", "and more of the same kind")
            there = _row(connection, said)
    if there is not None:
        connection.execute(update(finding).where(finding.c.id == there).values(last=now))
        return
    _insert(connection, said, now)


def review(connection: Connection, holds: Iterable[Found], now: Stamp) -> None:
    """Bring the kept conditions into line with those that hold now.

    One that holds again after it was over is a new finding.
    """
    conditions = [kind.code for kind in CATALOGUE.values() if not kind.lasting]
    kept = connection.execute(
        select(
            finding.c.id, finding.c.station, finding.c.code, finding.c.subject, finding.c.detail
        ).where(finding.c.code.in_(conditions), finding.c.over.is_(None))
    )
    known = {(row.station, row.code, row.subject): (row.id, row.detail) for row in kept}
    for said in holds:
        there = known.pop((said.station, said.code, said.subject), None)
        if there is None:
            _insert(connection, said, now)
        elif there[1] != said.detail:
            connection.execute(
                update(finding).where(finding.c.id == there[0]).values(detail=said.detail)
            )
    for over, _ in known.values():
        connection.execute(update(finding).where(finding.c.id == over).values(over=now, last=now))


def _row(connection: Connection, said: Found) -> str | None:
    return connection.execute(
        select(finding.c.id).where(
            finding.c.station == said.station,
            finding.c.code == said.code,
            finding.c.subject == said.subject,
            finding.c.acknowledged.is_(None),
        )
    ).scalar()


def _insert(connection: Connection, said: Found, now: Stamp) -> None:
    connection.execute(
        insert(finding).values(
            id=secrets.token_hex(16),
            station=said.station,
            code=said.code,
            subject=said.subject,
            detail=said.detail,
            first=now,
            last=now,
            acknowledged_by="",
            note="",
        )
    )
