"""Records and lots as people ask for them. Each function is one consistent look."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, or_, select

from nullbay.domain.outcome import JobEnd
from nullbay.domain.status import Count
from nullbay.domain.verdict import Verdict
from nullbay.server.accounts import LotFacts, merged
from nullbay.server.cards import Listed, LotCard, RecordCard, RecordQuery
from nullbay.server.db import lots as lot_rows
from nullbay.server.db.asking import counts, cursor, limited
from nullbay.server.db.engine import Database
from nullbay.server.db.tables import manifest_line, record, record_file
from nullbay.server.search import key_of

LOTS_MAX = 200


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record with its files, and the other records of the same drive, newest first."""

    card: RecordCard
    bundle: bytes
    receipt: bytes
    others: tuple[RecordCard, ...]


def records(database: Database, query: RecordQuery) -> Listed[RecordCard]:
    """Records that fit, newest first."""
    asked = select(record).order_by(record.c.number.desc()).limit(limited(query.limit) + 1)
    for condition in _conditions(query):
        asked = asked.where(condition)
    with database.reading() as connection:
        rows = connection.execute(asked).all()
    cards = tuple(map(_record_card, rows))
    shown = cards[: limited(query.limit)]
    return Listed(shown, str(shown[-1].number) if len(cards) > len(shown) else None)


def record_of(database: Database, envelope_sha256: str) -> StoredRecord | None:
    """One record with its files."""
    with database.reading() as connection:
        row = connection.execute(
            select(record).where(record.c.envelope_sha256 == envelope_sha256)
        ).one_or_none()
        if row is None:
            return None
        files = connection.execute(
            select(record_file.c.bundle, record_file.c.receipt).where(
                record_file.c.envelope_sha256 == envelope_sha256
            )
        ).one()
        others = connection.execute(
            select(record)
            .where(
                record.c.identity_key == row.identity_key,
                record.c.envelope_sha256 != envelope_sha256,
            )
            .order_by(record.c.number.desc())
            .limit(100)
        ).all()
    return StoredRecord(
        _record_card(row), files.bundle, files.receipt, tuple(map(_record_card, others))
    )


def lots(database: Database, text: str) -> tuple[LotCard, ...]:
    """Lots by their last record, the newest first; those without one at the end."""
    wanted = key_of(text)
    with database.reading() as connection:
        asked = (
            select(
                record.c.lot_key,
                func.max(record.c.lot).label("lot"),
                func.max(record.c.customer).label("customer"),
                func.count().label("records"),
                func.count(func.distinct(record.c.identity_key)).label("drives"),
                func.min(record.c.issued_at).label("first"),
                func.max(record.c.issued_at).label("last"),
            )
            .where(record.c.lot_key != "")
            .group_by(record.c.lot_key)
            .order_by(func.max(record.c.number).desc())
            .limit(LOTS_MAX)
        )
        if wanted:
            asked = asked.where(_begins(record.c.lot_key, wanted))
        rows = connection.execute(asked).all()
        listed = connection.execute(
            select(manifest_line.c.lot_key, func.max(manifest_line.c.lot).label("lot"))
            .group_by(manifest_line.c.lot_key)
            .order_by(manifest_line.c.lot_key)
        ).all()
        keys = {one.lot_key for one in listed}
        cards = tuple(_lot_card(connection, row, keys) for row in rows)
        told = lot_rows.named(connection)
    known = {row.lot_key for row in rows}
    others = {one.lot_key: (one.lot, "") for one in listed} | told
    alone = tuple(
        LotCard(lot, customer, (), 0, 0, (), "", "", has_manifest=key in keys)
        for key, (lot, customer) in sorted(others.items())
        if key not in known and key.startswith(wanted)
    )
    return cards + alone


def lot_facts(database: Database, reference: str) -> LotFacts:
    """Everything the account of a lot is made from; empty where nothing names it."""
    key = key_of(reference)
    with database.reading() as connection:
        rows = connection.execute(
            select(record)
            .where(record.c.lot_key == key, record.c.lot_key != "")
            .order_by(record.c.number.desc())
        ).all()
        given = lot_rows.manifests(connection, key)
        by_hand = connection.execute(
            select(func.max(manifest_line.c.lot)).where(manifest_line.c.lot_key == key)
        ).scalar()
        lot, customer, stations, open_at = lot_rows.facts(connection, key)
        unseen = lot_rows.unseen(connection, key) if given else frozenset()
        refused = lot_rows.refused(connection, key) if given else ()
    return LotFacts(
        reference=by_hand or lot or (rows[0].lot if rows else reference),
        records=tuple(map(_record_card, rows)),
        lines=merged(lines for _, lines in given),
        not_detected=unseen,
        refused=refused,
        customer=customer,
        stations=stations,
        open_at=open_at,
        manifests=tuple(source for source, _ in given),
    )


def _record_card(row: Row[Any]) -> RecordCard:
    return RecordCard(
        number=row.number,
        envelope_sha256=row.envelope_sha256,
        station=row.station,
        job=row.job,
        verdict=Verdict(row.verdict),
        simulated=row.simulated,
        statement_id=row.statement_id,
        statement_sha256=row.statement_sha256,
        archive_sha256=row.archive_sha256,
        sequence=row.sequence,
        attempt=row.attempt,
        end=JobEnd(row.job_end),
        reasons=tuple(json.loads(row.reasons)),
        manufacturer=row.manufacturer,
        model=row.model,
        serial=row.serial,
        wwn=row.wwn,
        identity_key=row.identity_key,
        media=row.media,
        size_bytes=int(row.size_bytes),
        asset_tag=row.asset_tag,
        label_serial=row.label_serial,
        lot=row.lot,
        customer=row.customer,
        policy_id=row.policy_id,
        required=row.required,
        claimed=row.claimed,
        technique=row.technique,
        bay=row.bay,
        issued_at=row.issued_at,
        received=row.received,
    )


def _lot_card(connection: Connection, row: Row[Any], listed: set[str]) -> LotCard:
    """With the verdicts of each drive's last record and the stations that took part."""
    last = (
        select(func.max(record.c.number))
        .where(record.c.lot_key == row.lot_key)
        .group_by(record.c.identity_key)
    )
    verdicts = counts(
        connection,
        select(record.c.verdict, func.count()).where(record.c.number.in_(last)),
        record.c.verdict,
    )
    stations = connection.execute(
        select(record.c.station)
        .where(record.c.lot_key == row.lot_key)
        .distinct()
        .order_by(record.c.station)
    ).scalars()
    return LotCard(
        lot=row.lot,
        customer=row.customer,
        stations=tuple(stations),
        drives=row.drives,
        records=row.records,
        verdicts=tuple(Count(one.value, verdicts.get(one.value, 0)) for one in Verdict),
        first=row.first,
        last=row.last,
        has_manifest=row.lot_key in listed,
    )


def _conditions(query: RecordQuery) -> Iterable[ColumnElement[bool]]:
    if text := key_of(query.text):
        columns = ("serial_key", "label_serial_key", "wwn_key", "asset_tag_key", "lot_key")
        yield or_(*(_begins(record.c[column], text) for column in columns))
    if serial := key_of(query.serial):
        of_serial = ("serial_key", "label_serial_key")
        yield or_(*(_begins(record.c[column], serial) for column in of_serial))
    if tag := key_of(query.asset_tag):
        yield _begins(record.c.asset_tag_key, tag)
    if lot := key_of(query.lot):
        yield _begins(record.c.lot_key, lot)
    if query.station:
        yield record.c.station == query.station
    if query.verdict is not None:
        yield record.c.verdict == query.verdict.value
    # Times are RFC 3339 in UTC and sort as texts; what follows a day is a T, and U comes after it.
    if query.since:
        yield record.c.issued_at >= query.since
    if query.until:
        yield record.c.issued_at < f"{query.until}U"
    if query.after is not None:
        yield record.c.number < cursor(query.after)


def _begins(column: ColumnElement[str], text: str) -> ColumnElement[bool]:
    return column.startswith(text, autoescape=True)
