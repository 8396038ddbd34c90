"""What stations say of themselves, and what follows: statuses, heads, reviews, acknowledgements."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from nullbay.config.server_settings import ServerSettings
from nullbay.domain.canonical import canonical_json
from nullbay.domain.clock import Stamp
from nullbay.domain.codec import to_plain
from nullbay.domain.status import StationStatus
from nullbay.server.cards import Via
from nullbay.server.db.chain import fitted
from nullbay.server.db.engine import Database
from nullbay.server.db.notes import note_happened
from nullbay.server.db.notes import review as review_findings
from nullbay.server.db.tables import (
    entry,
    finding,
    insertion,
    job,
    record,
    station,
    told_head,
)
from nullbay.server.findings import (
    Facts,
    InsertionFacts,
    JobFacts,
    StationFacts,
    derive,
    found,
)

TOLD_MAX = 256
ON_ITS_WAY_US = 60_000_000
LOOKED_FOR = 200
TURN_US = 30_000_000


def add_status(database: Database, name: str, status: StationStatus, via: Via, now: Stamp) -> bool:
    """Keep a status and compare its head with the chain; False for one older than the last."""
    with database.writing() as connection:
        row = connection.execute(
            select(station).where(station.c.station == name).with_for_update()
        ).one()
        if _is_older(status.at, row.status_at):
            return False
        _compare_head(connection, name, row, status, now)
        connection.execute(
            update(station)
            .where(station.c.station == name)
            .values(
                status=canonical_json(to_plain(status)),
                status_at=status.at,
                seen=now,
                via=via.value,
                poll_error="" if via is Via.POLL else row.poll_error,
                poll_tried=now if via is Via.POLL else row.poll_tried,
            )
        )
        shown = sorted({fitted(bay.job) for bay in status.bays if bay.job is not None})
        if shown:
            connection.execute(
                update(job).where(job.c.station == name, job.c.job.in_(shown)).values(shown=now)
            )
        stays = sorted({fitted(b.insertion) for b in status.bays if b.insertion is not None})
        if stays:
            connection.execute(
                update(job)
                .where(job.c.station == name, job.c.insertion.in_(stays))
                .values(shown=now)
            )
        return True


def poll_failed(database: Database, name: str, code: str, now: Stamp) -> None:
    """A poll did not work: why, and when it was tried."""
    with database.writing() as connection:
        connection.execute(
            update(station)
            .where(station.c.station == name)
            .values(poll_error=code[:64], poll_tried=now)
        )


def review(
    database: Database,
    settings: ServerSettings,
    find_archive: Callable[[str], Path | None],
    now: Stamp,
) -> None:
    """Derive every condition anew and bring the kept findings into line."""
    with database.reading() as connection:
        facts = _facts(connection, settings, find_archive, now)
    holds = derive(facts, now, settings.findings)
    with database.writing() as connection:
        review_findings(connection, holds, now)


def acknowledge(database: Database, finding_id: str, by: str, note: str, now: Stamp) -> bool:
    """Note who has seen a finding and what they say; False where somebody already did."""
    with database.writing() as connection:
        done = connection.execute(
            update(finding)
            .where(finding.c.id == finding_id, finding.c.acknowledged.is_(None))
            .values(acknowledged=now, acknowledged_by=fitted(by), note=note)
        )
        return done.rowcount == 1


def _is_older(at: Stamp, last: Stamp | None) -> bool:
    """Whether a status was made before one that is kept already; across boots nobody can tell."""
    return last is not None and at.boot_id == last.boot_id and at.boottime_us < last.boottime_us


def _compare_head(
    connection: Connection, name: str, row: Any, status: StationStatus, now: Stamp
) -> None:
    """What the station says of its chain's end against what it delivered and said before."""
    said, digest = status.head_sequence, status.head_sha256
    here = found(name, "head.forked", str(said), f"it tells {digest[:16]}…")
    if 0 < said <= row.head_sequence:
        kept = connection.execute(
            select(entry.c.sha256).where(entry.c.station == name, entry.c.sequence == said)
        ).scalar_one()
        if kept != digest:
            note_happened(connection, here, now)
    told = connection.execute(
        select(told_head).where(told_head.c.station == name).order_by(told_head.c.sequence.desc())
    ).all()
    if any(one.sequence == said and one.sha256 != digest for one in told):
        note_happened(connection, here, now)
    highest = max([row.head_sequence, *(one.sequence for one in told)])
    if said < highest and not _was_on_its_way(connection, name, status, row.head_sequence, told):
        detail = f"it tells of {said} entries, there were {highest}"
        note_happened(connection, found(name, "head.backwards", str(highest), detail), now)
    if said > row.head_sequence:
        _remember_told(connection, name, said, digest, now, held=len(told))


def _was_on_its_way(
    connection: Connection, name: str, status: StationStatus, head: int, told: Any
) -> bool:
    """Whether the status was made before the entries beyond it, and only arrived after them.

    Then the first of them bears a boot time of the same boot that is later, or little earlier: an
    entry has its moment before it stands in the ledger. Whoever cut off a tail a moment ago is
    found by the next status. A head told of after this status is seen by `_is_older` already.
    """
    if any(one.sequence > max(status.head_sequence, head) for one in told):
        return False
    after = connection.execute(
        select(entry.c.at).where(
            entry.c.station == name, entry.c.sequence == status.head_sequence + 1
        )
    ).scalar_one_or_none()
    return (
        after is not None
        and after.boot_id == status.at.boot_id
        and after.boottime_us + ON_ITS_WAY_US >= status.at.boottime_us
    )


def _remember_told(
    connection: Connection, name: str, sequence: int, digest: str, now: Stamp, *, held: int
) -> None:
    mine = told_head.c.station == name
    known = connection.execute(
        select(told_head.c.sequence).where(
            mine, told_head.c.sequence == sequence, told_head.c.sha256 == digest
        )
    ).first()
    if known is not None:
        return
    if held >= TOLD_MAX:
        # The lowest are compared first when they are delivered; one of the middle is missed least.
        middle = connection.execute(
            select(told_head.c.sequence)
            .where(mine)
            .order_by(told_head.c.sequence)
            .offset(TOLD_MAX // 2)
            .limit(1)
        ).scalar_one()
        connection.execute(delete(told_head).where(mine, told_head.c.sequence == middle))
    values = {"station": name, "sequence": sequence, "sha256": digest, "received": now}
    connection.execute(insert(told_head).values(values))


def _looked_for(connection: Connection, now: Stamp) -> list[tuple[str, str]]:
    """Archives to look for this time: the latest, those found missing before, and some in turn.

    Looking for every file at every review would read the whole folder.
    """
    newest = select(record.c.station, record.c.archive_sha256).order_by(record.c.number.desc())
    highest = connection.execute(select(func.max(record.c.number))).scalar() or 0
    turn = now.boottime_us // TURN_US * LOOKED_FOR % (highest + 1)
    asked = (
        newest.limit(LOOKED_FOR),
        select(record.c.station, record.c.archive_sha256)
        .where(record.c.number > turn)
        .order_by(record.c.number)
        .limit(LOOKED_FOR),
        select(finding.c.station, finding.c.subject).where(
            finding.c.code == "evidence.lost", finding.c.over.is_(None)
        ),
    )
    every = [(row[0], row[1]) for one in asked for row in connection.execute(one)]
    return list(dict.fromkeys(every))


def _facts(
    connection: Connection,
    settings: ServerSettings,
    find_archive: Callable[[str], Path | None],
    now: Stamp,
) -> Facts:
    configured = {one.station for one in settings.stations}
    stations = tuple(
        StationFacts(
            station=row.station,
            configured=row.station in configured,
            known_since=row.known_since,
            seen=row.seen,
            status_at=row.status_at,
            head_sequence=row.head_sequence,
            gap_since=row.gap_since,
            gap_got=row.gap_got,
        )
        for row in connection.execute(select(station).order_by(station.c.station))
        if row.station in configured or row.head_sequence
    )
    jobs = tuple(
        JobFacts(
            station=row.station,
            job=row.job,
            insertion=row.insertion,
            starts=row.starts,
            conclusions=row.conclusions,
            started_received=row.started_received,
            concluded_received=row.concluded_received,
            shown=row.shown,
            insertion_closed=row.insertion_closed,
            has_record=row.has_record,
        )
        for row in connection.execute(
            select(job).where(job.c.unsettled.is_(True)).order_by(job.c.station, job.c.job)
        )
    )
    doubled = tuple(
        InsertionFacts(row.station, row.insertion, row.closings)
        for row in connection.execute(
            select(insertion.c.station, insertion.c.insertion, insertion.c.closings)
            .where(insertion.c.closings > 1)
            .order_by(insertion.c.station, insertion.c.insertion)
        )
    )
    lost = tuple(
        (of, digest) for of, digest in _looked_for(connection, now) if find_archive(digest) is None
    )
    return Facts(stations, jobs, doubled, lost)
