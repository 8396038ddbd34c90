"""What people ask: fleet, stations, findings. Each function is one consistent look."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Row, func, select

from nullbay.config.server_settings import ServerSettings
from nullbay.domain.clock import Stamp
from nullbay.domain.codec import from_plain
from nullbay.domain.errors import MalformedError
from nullbay.domain.lot import InsertionEnd
from nullbay.domain.status import Count, StationStatus
from nullbay.domain.verdict import Verdict
from nullbay.server.accounts import StationLedger
from nullbay.server.cards import (
    EntryCard,
    FindingCard,
    FindingState,
    InsertionCard,
    JobCard,
    Listed,
    Presence,
    RefusedCard,
    StationAccount,
    StationCard,
    StationPage,
    Totals,
    Via,
)
from nullbay.server.db.asking import counts, cursor, limited
from nullbay.server.db.engine import Database
from nullbay.server.db.tables import (
    entry,
    finding,
    insertion,
    job,
    record,
    refused,
    station,
)
from nullbay.server.findings import CATALOGUE, Severity, age_s

FINDINGS_MAX = 2000
LATEST_ENTRIES = 50
LATEST_REFUSED = 50
OPEN_JOBS_MAX = 500
_OPEN = (finding.c.over.is_(None), finding.c.acknowledged.is_(None))


def fleet(database: Database, settings: ServerSettings, now: Stamp) -> tuple[StationCard, ...]:
    """Every station of the settings, and every other that has entries here; by name."""
    with database.reading() as connection:
        rows = connection.execute(select(station).order_by(station.c.station)).all()
        records = counts(connection, select(record.c.station, func.count()), record.c.station)
        open_jobs = counts(
            connection,
            select(job.c.station, func.count()).where(
                job.c.unsettled.is_(True), job.c.conclusions == 0
            ),
            job.c.station,
        )
        open_findings = counts(
            connection, select(finding.c.station, func.count()).where(*_OPEN), finding.c.station
        )
    urls = {one.station: one.url for one in settings.stations}
    return tuple(
        _station_card(
            row,
            urls.get(row.station, ""),
            settings,
            now,
            records=records.get(row.station, 0),
            open_jobs=open_jobs.get(row.station, 0),
            open_findings=open_findings.get(row.station, 0),
        )
        for row in rows
        if row.station in urls or row.head_sequence
    )


def totals(database: Database, cards: Iterable[StationCard], *, accept_simulated: bool) -> Totals:
    """The whole centre in numbers."""
    cards = tuple(cards)
    with database.reading() as connection:
        verdicts = counts(connection, select(record.c.verdict, func.count()), record.c.verdict)
    return Totals(
        stations=tuple(
            Count(one.value, sum(card.presence is one for card in cards)) for one in Presence
        ),
        records=tuple(Count(one.value, verdicts.get(one.value, 0)) for one in Verdict),
        entries=sum(card.head_sequence for card in cards),
        open_jobs=sum(card.open_jobs for card in cards),
        open_findings=sum(card.open_findings for card in cards),
        simulated_accepted=accept_simulated,
    )


def station_page(database: Database, card: StationCard, account: StationAccount) -> StationPage:
    """What is worth seeing of one station."""
    name = card.station
    with database.reading() as connection:
        jobs = connection.execute(
            select(job)
            .where(job.c.station == name, job.c.unsettled.is_(True), job.c.conclusions == 0)
            .order_by(job.c.started_sequence)
            .limit(OPEN_JOBS_MAX)
        ).all()
        entries = connection.execute(
            select(
                entry.c.station,
                entry.c.sequence,
                entry.c.sha256,
                entry.c.kind,
                entry.c.at,
                entry.c.subject,
                entry.c.received,
            )
            .where(entry.c.station == name)
            .order_by(entry.c.sequence.desc())
            .limit(LATEST_ENTRIES)
        ).all()
        bad = connection.execute(
            select(refused)
            .where(refused.c.station == name)
            .order_by(refused.c.last.desc(), refused.c.number.desc())
            .limit(LATEST_REFUSED)
        ).all()
        found = _findings(connection, FindingState.OPEN, name)
    return StationPage(
        card=card,
        account=account,
        open_jobs=tuple(map(_job_card, jobs)),
        entries=tuple(EntryCard(*row) for row in entries),
        refused=tuple(
            RefusedCard(
                row.station,
                row.what,
                row.sha256,
                row.code,
                row.message,
                row.bytes,
                row.times,
                row.first,
                row.last,
            )
            for row in bad
        ),
        findings=found,
    )


def station_facts(database: Database, name: str) -> StationLedger | None:
    """What the account of a station is made from; None for one that is not here."""
    with database.reading() as connection:
        row = connection.execute(
            select(station.c.head_sequence).where(station.c.station == name)
        ).one_or_none()
        if row is None:
            return None
        mine = job.c.station == name
        numbers = connection.execute(
            select(func.count(job.c.started_sequence), func.count(job.c.concluded_sequence)).where(
                mine
            )
        ).one()
        causes = counts(
            connection,
            select(insertion.c.cause, func.count()).where(insertion.c.station == name),
            insertion.c.cause,
        )
        verdicts = counts(
            connection,
            select(record.c.verdict, func.count()).where(record.c.station == name),
            record.c.verdict,
        )
        unsettled = connection.execute(
            select(job).where(mine, job.c.unsettled.is_(True)).order_by(job.c.job)
        ).all()
        codes = connection.execute(
            select(finding.c.code).where(finding.c.station == name, *_OPEN)
        ).scalars()
        return StationLedger(
            station=name,
            entries=row.head_sequence,
            causes=causes,
            started=numbers[0],
            concluded=numbers[1],
            verdicts=verdicts,
            jobs=tuple(map(_job_card, unsettled)),
            closed=frozenset(one.insertion for one in unsettled if one.insertion_closed),
            open_findings=frozenset(codes),
        )


def insertions(
    database: Database, name: str, after: str | None, limit: int
) -> Listed[InsertionCard]:
    """Closed insertions of a station, newest first; `after` is a sequence number."""
    asked = (
        select(insertion)
        .where(insertion.c.station == name)
        .order_by(insertion.c.sequence.desc())
        .limit(limited(limit) + 1)
    )
    if after is not None:
        asked = asked.where(insertion.c.sequence < cursor(after))
    with database.reading() as connection:
        rows = connection.execute(asked).all()
    cards = tuple(
        InsertionCard(
            station=row.station,
            insertion=row.insertion,
            sequence=row.sequence,
            closed=row.closed,
            cause=InsertionEnd(row.cause),
            bay=row.bay,
            identity_key=row.identity_key,
            scanned=row.scanned,
            jobs=tuple(json.loads(row.jobs)),
            refusals=tuple(json.loads(row.refusals)),
        )
        for row in rows
    )
    shown = cards[: limited(limit)]
    return Listed(shown, str(shown[-1].sequence) if len(cards) > len(shown) else None)


def findings(database: Database, state: FindingState | None, name: str) -> tuple[FindingCard, ...]:
    """Findings of a state and, if named, a station: alarms first, then newest first."""
    with database.reading() as connection:
        return _findings(connection, state, name)


def finding_of(database: Database, finding_id: str) -> FindingCard | None:
    """One finding."""
    with database.reading() as connection:
        row = connection.execute(select(finding).where(finding.c.id == finding_id)).one_or_none()
    return None if row is None else _finding_card(row)


def _findings(
    connection: Connection, state: FindingState | None, name: str
) -> tuple[FindingCard, ...]:
    asked = select(finding).order_by(finding.c.first.desc(), finding.c.id).limit(FINDINGS_MAX)
    match state:
        case FindingState.OPEN:
            asked = asked.where(*_OPEN)
        case FindingState.OVER:
            asked = asked.where(finding.c.over.is_not(None), finding.c.acknowledged.is_(None))
        case FindingState.ACKNOWLEDGED:
            asked = asked.where(finding.c.acknowledged.is_not(None))
        case None:
            pass
    if name:
        asked = asked.where(finding.c.station == name)
    cards = map(_finding_card, connection.execute(asked))
    return tuple(sorted(cards, key=lambda one: one.severity != Severity.ALARM))


def _finding_card(row: Row[Any]) -> FindingCard:
    state = FindingState.OPEN if row.over is None else FindingState.OVER
    kind = CATALOGUE.get(row.code)
    return FindingCard(
        id=row.id,
        station=row.station,
        code=row.code,
        severity=(kind.severity if kind else Severity.WARNING).value,
        subject=row.subject,
        detail=row.detail,
        state=state if row.acknowledged is None else FindingState.ACKNOWLEDGED,
        first=row.first,
        last=row.last,
        over=row.over,
        acknowledged=row.acknowledged,
        acknowledged_by=row.acknowledged_by,
        note=row.note,
    )


def _station_card(
    row: Row[Any],
    url: str,
    settings: ServerSettings,
    now: Stamp,
    *,
    records: int,
    open_jobs: int,
    open_findings: int,
) -> StationCard:
    age = None if row.seen is None else int(age_s(row.seen, now))
    if age is None:
        presence = Presence.NEVER
    elif age > settings.findings.offline_s:
        presence = Presence.OFFLINE
    else:
        presence = Presence.STALE if age > settings.findings.stale_s else Presence.ONLINE
    return StationCard(
        station=row.station,
        url=url,
        presence=presence,
        seen=row.seen,
        age_s=age,
        via=None if row.via is None else Via(row.via),
        status=None if row.status is None else _status(row.status),
        poll_error=row.poll_error,
        head_sequence=row.head_sequence,
        head_sha256=row.head_sha256,
        last_delivery=row.last_delivery,
        records=records,
        open_jobs=open_jobs,
        open_findings=open_findings,
    )


# A status is read at every page and changes at every poll: reading it once is enough.
@lru_cache(maxsize=2048)
def _status(data: bytes) -> StationStatus | None:
    """The last status; None where another version of the centre kept it in a form of its own."""
    try:
        read: StationStatus = from_plain(StationStatus, json.loads(data))
    except MalformedError:
        return None
    return read


def _job_card(row: Row[Any]) -> JobCard:
    return JobCard(
        station=row.station,
        job=row.job,
        insertion=row.insertion,
        identity_key=row.identity_key,
        policy_id=row.policy_id,
        bay=row.bay,
        simulated=row.simulated,
        started_sequence=row.started_sequence,
        started=row.started,
        concluded_sequence=row.concluded_sequence,
        concluded=row.concluded,
        verdict=None if row.verdict is None else Verdict(row.verdict),
        has_record=row.has_record,
        shown=row.shown,
    )
