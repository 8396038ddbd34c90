"""Lots: the documents that stations' ledgers name, the manifests in them, and manifests by hand.

A manifest given at the centre by a person stands in place of those of the stations; without one
the stations' count, each station's last.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    delete,
    false,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy import true as every

from nullbay.certs.ledger import Head
from nullbay.certs.lot_document import LotDocument, code_of
from nullbay.domain.clock import Stamp
from nullbay.domain.errors import MalformedError
from nullbay.domain.intake import LotOpened, ManifestTaken
from nullbay.domain.lot import InsertionEnd
from nullbay.domain.text import show
from nullbay.server.accounts import RefusedStay
from nullbay.server.cards import ManifestLine, ManifestSource
from nullbay.server.db.chain import fitted
from nullbay.server.db.engine import Database
from nullbay.server.db.intake import Contradicted, Missing, Taken
from nullbay.server.db.tables import (
    TEXT_CHARACTERS,
    insertion,
    lot_document,
    manifest_line,
    station,
)
from nullbay.server.search import key_of

LINES_MAX = 100_000
BY_HAND = ""
"""Stands for the station where a person gave a manifest."""


def find_document(database: Database, name: str, sha256: str) -> Missing | Taken | None:
    """Missing where no entry names it, Taken where it is here, None where it is awaited."""
    with database.reading() as connection:
        row = connection.execute(_document(name, sha256)).one_or_none()
    if row is None:
        return Missing("ledger")
    return None if row.receipt is None else Taken(row.receipt, is_new=False)


def add_document(
    database: Database,
    name: str,
    sha256: str,
    data: bytes,
    given: LotDocument,
    now: Stamp,
    receipt: Callable[[Head], bytes],
) -> Taken | Missing | Contradicted:
    """Keep a document that was checked, if an entry of this station's chain names it."""
    with database.writing() as connection:
        own = connection.execute(
            select(station).where(station.c.station == name).with_for_update()
        ).one()
        row = connection.execute(_document(name, sha256)).one_or_none()
        if row is None:
            return Missing("ledger")
        if row.receipt is not None:
            return Taken(row.receipt, is_new=False)
        lot = show(given.reference, TEXT_CHARACTERS)
        claims = (
            ("event", row.code, code_of(given)),
            ("lot", row.lot, lot),
            ("manifest", row.manifest_sha256, given.manifest_sha256),
        )
        for what, said, told in claims:
            if said != told:
                why = f"entry {row.sequence} names another {what}"
                return Contradicted("lot.contradicts-ledger", why)
        made = receipt(Head(own.head_sequence, own.head_sha256))
        customer = given.event.lot.customer if isinstance(given.event, LotOpened) else ""
        connection.execute(
            update(lot_document)
            .where(lot_document.c.station == name, lot_document.c.sha256 == sha256)
            .values(body=data, received=now, receipt=made, customer=show(customer, TEXT_CHARACTERS))
        )
        if isinstance(given.event, ManifestTaken) and _is_last(connection, name, row):
            rows = given.event.rows
            lines = [ManifestLine(r.line, r.serial, r.asset_tag, r.model) for r in rows]
            _replace(connection, name, lot, lines, given.event.by.person_id, now)
        connection.execute(
            update(station).where(station.c.station == name).values(last_delivery=now)
        )
        return Taken(made, is_new=True)


def keep_manifest(
    database: Database, lot: str, lines: tuple[ManifestLine, ...], by: str, now: Stamp
) -> None:
    """What a lot should hold by a person's word, instead of what a person said before.

    None at all: the stations' manifests count again. Raises MalformedError.
    """
    if not lot.strip() or len(lot) > TEXT_CHARACTERS:
        raise MalformedError("a lot has a reference of at most 400 characters")
    if len(lines) > LINES_MAX or len({one.line for one in lines}) != len(lines):
        raise MalformedError(f"a manifest has at most {LINES_MAX} lines, each with its own number")
    with database.writing() as connection:
        _replace(connection, BY_HAND, show(lot, TEXT_CHARACTERS), lines, by, now)


def manifests(
    connection: Connection, key: str
) -> tuple[tuple[ManifestSource, tuple[ManifestLine, ...]], ...]:
    """The manifests that count for a lot, with where each came from."""
    rows = connection.execute(
        select(manifest_line)
        .where(manifest_line.c.lot_key == key)
        .order_by(manifest_line.c.station, manifest_line.c.line)
    ).all()
    of: dict[str, list[Any]] = {}
    for row in rows:
        of.setdefault(row.station, []).append(row)
    if BY_HAND in of:
        of = {BY_HAND: of[BY_HAND]}
    digests = {
        row.station: row.manifest_sha256
        for row in connection.execute(
            select(lot_document.c.station, lot_document.c.manifest_sha256)
            .where(
                lot_document.c.lot_key == key,
                lot_document.c.code == _MANIFEST,
                lot_document.c.receipt.is_not(None),
            )
            .order_by(lot_document.c.sequence)
        )
    }
    return tuple(
        (
            ManifestSource(
                name, found[0].received_by, digests.get(name, ""), len(found), found[0].received
            ),
            tuple(ManifestLine(one.line, one.serial, one.asset_tag, one.model) for one in found),
        )
        for name, found in of.items()
    )


def named(connection: Connection) -> dict[str, tuple[str, str]]:
    """Lots that ledgers name: reference and customer by key."""
    rows = connection.execute(
        select(
            lot_document.c.lot_key,
            func.max(lot_document.c.lot).label("lot"),
            func.max(lot_document.c.customer).label("customer"),
        )
        .group_by(lot_document.c.lot_key)
        .order_by(lot_document.c.lot_key)
    )
    return {row.lot_key: (row.lot, row.customer) for row in rows}


def facts(connection: Connection, key: str) -> tuple[str, str, tuple[str, ...], tuple[str, ...]]:
    """A lot as ledgers name it: reference, customer, its stations, those where it is open."""
    rows = connection.execute(
        select(
            lot_document.c.station,
            lot_document.c.code,
            lot_document.c.lot,
            lot_document.c.customer,
        )
        .where(lot_document.c.lot_key == key)
        .order_by(lot_document.c.sequence)
    ).all()
    standing = {row.station: row.code for row in rows if row.code != _MANIFEST}
    return (
        next((row.lot for row in rows), ""),
        next((row.customer for row in reversed(rows) if row.customer), ""),
        tuple(sorted({row.station for row in rows})),
        tuple(sorted(name for name, code in standing.items() if code == "lot.opened")),
    )


def unseen(connection: Connection, key: str) -> frozenset[str]:
    """What was scanned for drives that never showed themselves, since the lot was opened."""
    lost = insertion.c.cause == InsertionEnd.NOT_DETECTED.value
    asked = select(insertion.c.scanned).where(
        lost, insertion.c.scanned_key != "", _since_opened(connection, key)
    )
    return frozenset(connection.execute(asked).scalars())


def refused(connection: Connection, key: str) -> tuple[RefusedStay, ...]:
    """Stays of scanned drives that left with refusals and no job, since the lot was opened."""
    asked = select(
        insertion.c.station, insertion.c.bay, insertion.c.scanned, insertion.c.refusals
    ).where(
        insertion.c.jobs_number == 0,
        insertion.c.cause != InsertionEnd.NOT_DETECTED.value,
        insertion.c.scanned_key != "",
        _since_opened(connection, key),
    )
    stays = [
        RefusedStay(row.station, row.bay, row.scanned, tuple(json.loads(row.refusals)))
        for row in connection.execute(asked.order_by(insertion.c.station, insertion.c.sequence))
    ]
    return tuple(one for one in stays if one.codes)


_MANIFEST = "lot.manifest"


def _since_opened(connection: Connection, key: str) -> ColumnElement[bool]:
    """Stays of the lot's stations since each opened it; all where no station has told of it."""
    rows = connection.execute(
        select(lot_document.c.station, func.min(lot_document.c.sequence).label("first"))
        .where(lot_document.c.lot_key == key)
        .group_by(lot_document.c.station)
    ).all()
    if not rows:
        return every()
    stays = (
        and_(insertion.c.station == row.station, insertion.c.sequence > row.first) for row in rows
    )
    return or_(false(), *stays)


def _document(name: str, sha256: str) -> Any:
    return select(
        lot_document.c.sequence,
        lot_document.c.code,
        lot_document.c.lot,
        lot_document.c.lot_key,
        lot_document.c.manifest_sha256,
        lot_document.c.receipt,
    ).where(lot_document.c.station == name, lot_document.c.sha256 == sha256)


def _is_last(connection: Connection, name: str, row: Any) -> bool:
    """Whether no later manifest of the lot is here: one that was held up changes nothing."""
    later = select(lot_document.c.sequence).where(
        lot_document.c.station == name,
        lot_document.c.lot_key == row.lot_key,
        lot_document.c.code == _MANIFEST,
        lot_document.c.sequence > row.sequence,
        lot_document.c.receipt.is_not(None),
    )
    return connection.execute(later).first() is None


def _replace(
    connection: Connection,
    source: str,
    lot: str,
    lines: Iterable[ManifestLine],
    by: str,
    now: Stamp,
) -> None:
    key = key_of(lot)
    connection.execute(
        delete(manifest_line).where(
            manifest_line.c.lot_key == key, manifest_line.c.station == source
        )
    )
    rows = [
        {
            "lot_key": key,
            "station": source,
            "line": one.line,
            "lot": lot,
            "serial": show(one.serial, TEXT_CHARACTERS),
            "asset_tag": show(one.asset_tag, TEXT_CHARACTERS),
            "model": show(one.model, TEXT_CHARACTERS),
            "received": now,
            "received_by": fitted(by),
        }
        for one in lines
    ]
    if rows:
        connection.execute(insert(manifest_line), rows)
