"""Taking in: each function is one whole transaction of a station's delivery.

The station's row is locked first, so that two deliveries of one station follow each other on both
databases. Outcomes are values; only what nobody expected is raised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from nullbay.certs.ledger import (
    EMPTY,
    Head,
    JobConcluded,
    LedgerBody,
    LedgerEntry,
    read_body,
)
from nullbay.domain.canonical import canonical_json
from nullbay.domain.clock import Stamp
from nullbay.domain.text import show
from nullbay.server.db.chain import fitted, insert_entry, settle
from nullbay.server.db.engine import Database
from nullbay.server.db.notes import note_happened
from nullbay.server.db.tables import (
    SEQUENCE_MAX,
    TEXT_CHARACTERS,
    archive,
    entry,
    record,
    record_file,
    refused,
    station,
    told_head,
)
from nullbay.server.findings import found
from nullbay.server.search import key_of

MakeReceipt = Callable[[Head], bytes]
MESSAGE_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Taken:
    """It is kept; the receipt given now or, the same bytes, the first time."""

    receipt: bytes
    is_new: bool


@dataclass(frozen=True, slots=True)
class Gap:
    """Entry `wanted` has to come first."""

    wanted: int


@dataclass(frozen=True, slots=True)
class Fork:
    """In the place of `sequence`, or before it, the centre has another entry."""

    sequence: int


@dataclass(frozen=True, slots=True)
class Missing:
    """The record's archive (`evidence`) or the entry that names it (`ledger`) is not here yet."""

    what: str


@dataclass(frozen=True, slots=True)
class Contradicted:
    """The record and what is already here cannot both be true."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class RecordRow:
    """What is kept of a checked record; see the columns of the same names."""

    envelope_sha256: str
    job: str
    verdict: str
    simulated: bool
    statement_id: str
    statement_sha256: str
    archive_sha256: str
    sequence: int
    previous: str
    attempt: int
    job_end: str
    reasons: tuple[str, ...]
    manufacturer: str
    model: str
    serial: str
    wwn: str
    identity_key: str
    media: str
    size_bytes: int
    asset_tag: str
    label_serial: str
    lot: str
    customer: str
    policy_id: str
    required: str
    claimed: str
    technique: str
    bay: str
    issued_at: str
    bundle: bytes


@dataclass(frozen=True, slots=True)
class RefusedThing:
    """Something that was not taken: `what` it claimed to be, its digest, why, how large."""

    what: str
    sha256: str
    code: str
    message: str
    bytes: int


def ensure_stations(database: Database, names: tuple[str, ...], now: Stamp) -> None:
    """A row for every station of the settings; rows of others are kept."""
    with database.writing() as connection:
        known = set(connection.execute(select(station.c.station)).scalars())
        for name in names:
            if name not in known:
                connection.execute(
                    insert(station).values(
                        station=name,
                        head_sequence=EMPTY.sequence,
                        head_sha256=EMPTY.sha256,
                        poll_error="",
                        known_since=now,
                        refused_dropped=0,
                    )
                )


def add_entry(
    database: Database,
    name: str,
    given: LedgerEntry,
    body: LedgerBody,
    now: Stamp,
    receipt: MakeReceipt,
) -> Taken | Gap | Fork:
    """Put an entry behind the last one; one that is there already gives its receipt again.

    Hash, form and signature were checked. A gap is remembered until the chain is past it.
    """
    with database.writing() as connection:
        row = _locked(connection, name)
        head = Head(row.head_sequence, row.head_sha256)
        if given.sequence <= head.sequence:
            there = connection.execute(
                select(entry.c.sha256, entry.c.receipt).where(
                    entry.c.station == name, entry.c.sequence == given.sequence
                )
            ).one()
            same = there.sha256 == given.sha256
            return Taken(there.receipt, is_new=False) if same else Fork(given.sequence)
        if given.sequence > head.sequence + 1:
            _remember_gap(connection, name, row, given.sequence, now)
            return Gap(head.sequence + 1)
        if given.previous != head.sha256:
            return Fork(head.sequence)
        made = receipt(given.head)
        insert_entry(connection, name, given, body, now, made)
        _compare_told(connection, name, given.head, now)
        past = row.gap_got is None or given.sequence >= row.gap_got
        connection.execute(
            update(station)
            .where(station.c.station == name)
            .values(
                head_sequence=given.sequence,
                head_sha256=given.sha256,
                last_delivery=now,
                # As long as entries come, the gap is being filled.
                gap_since=None if past else now,
                gap_got=None if past else row.gap_got,
            )
        )
        return Taken(made, is_new=True)


def has_archive(database: Database, name: str, sha256: str) -> bool:
    """Whether this station delivered that archive."""
    with database.reading() as connection:
        return _has_archive(connection, name, sha256)


def add_archive(database: Database, name: str, sha256: str, size: int, now: Stamp) -> bool:
    """Note an archive whose file is durable; whether it is new."""
    with database.writing() as connection:
        _locked(connection, name)
        if _has_archive(connection, name, sha256):
            return False
        values = {"station": name, "sha256": sha256, "bytes": size, "received": now}
        connection.execute(insert(archive).values(values))
        return True


def find_record(database: Database, name: str, envelope_sha256: str) -> tuple[bytes, bytes] | None:
    """Bundle and receipt of a record of this station that is here, for one that comes again."""
    with database.reading() as connection:
        there = connection.execute(
            select(record_file.c.bundle, record_file.c.receipt)
            .join(record, record.c.envelope_sha256 == record_file.c.envelope_sha256)
            .where(record.c.envelope_sha256 == envelope_sha256, record.c.station == name)
        ).one_or_none()
        return None if there is None else (there.bundle, there.receipt)


def add_record(
    database: Database, name: str, given: RecordRow, now: Stamp, receipt: MakeReceipt
) -> Taken | Missing | Contradicted:
    """Keep a record whose bytes were checked, if archive and ledger bear it out."""
    with database.writing() as connection:
        row = _locked(connection, name)
        there = connection.execute(
            select(record.c.envelope_sha256, record_file.c.receipt, record.c.statement_sha256)
            .join(record_file, record.c.envelope_sha256 == record_file.c.envelope_sha256)
            .where(record.c.station == name, record.c.job == fitted(given.job))
        ).one_or_none()
        if there is not None and there.envelope_sha256 == given.envelope_sha256:
            return Taken(there.receipt, is_new=False)
        if there is not None:
            same = there.statement_sha256 == given.statement_sha256
            what = "this record is here with another signature" if same else "another record of it"
            return Contradicted("record.replayed", f"job {show(given.job)}: {what} came first")
        if not _has_archive(connection, name, given.archive_sha256):
            return Missing("evidence")
        if given.sequence > row.head_sequence:
            return Missing("ledger")
        if why := _against_ledger(connection, name, given):
            return Contradicted("record.contradicts-ledger", why)
        made = receipt(Head(row.head_sequence, row.head_sha256))
        _insert_record(connection, name, given, now, made)
        settle(connection, name, given.job, has_record=True)
        connection.execute(
            update(station).where(station.c.station == name).values(last_delivery=now)
        )
        return Taken(made, is_new=True)


def refuse(
    database: Database, name: str, thing: RefusedThing, now: Stamp, *, keep: int, subject: str
) -> None:
    """Keep the digest of something that was refused, at most `keep` for a station, and a finding.

    The oldest make room; how many did is counted.
    """
    with database.writing() as connection:
        _locked(connection, name)
        mine = refused.c.station == name
        same = (
            mine & (refused.c.what == thing.what) & (refused.c.sha256 == thing.sha256),
            refused.c.code == thing.code,
        )
        there = connection.execute(select(refused.c.number).where(*same)).scalar_one_or_none()
        if there is not None:
            again = {"times": refused.c.times + 1, "last": now}
            connection.execute(update(refused).where(refused.c.number == there).values(again))
        else:
            connection.execute(
                insert(refused).values(
                    station=name,
                    what=thing.what,
                    sha256=thing.sha256,
                    code=thing.code,
                    message=show(thing.message, MESSAGE_CHARACTERS),
                    bytes=thing.bytes,
                    times=1,
                    first=now,
                    last=now,
                )
            )
            _make_room(connection, name, keep)
        detail = f"{thing.what} {thing.sha256[:16]}: {thing.message}"
        note_happened(connection, found(name, thing.code, subject, detail), now)


def _locked(connection: Connection, name: str) -> Any:
    return connection.execute(
        select(station).where(station.c.station == name).with_for_update()
    ).one()


def _has_archive(connection: Connection, name: str, sha256: str) -> bool:
    found_ = connection.execute(
        select(archive.c.sha256).where(archive.c.station == name, archive.c.sha256 == sha256)
    )
    return found_.first() is not None


def _remember_gap(connection: Connection, name: str, row: Any, got: int, now: Stamp) -> None:
    least = min(got, SEQUENCE_MAX) if row.gap_got is None else min(got, row.gap_got)
    connection.execute(
        update(station)
        .where(station.c.station == name)
        .values(gap_since=row.gap_since or now, gap_got=least)
    )


def _compare_told(connection: Connection, name: str, head: Head, now: Stamp) -> None:
    """Whether the station had named another entry in this place before it delivered this one."""
    passed = (told_head.c.station == name, told_head.c.sequence <= head.sequence)
    told = connection.execute(select(told_head.c.sequence, told_head.c.sha256).where(*passed)).all()
    if any(one.sequence == head.sequence and one.sha256 != head.sha256 for one in told):
        detail = "the entry delivered is not the one it had told of"
        note_happened(connection, found(name, "head.forked", str(head.sequence), detail), now)
    if told:
        connection.execute(delete(told_head).where(*passed))


def _against_ledger(connection: Connection, name: str, given: RecordRow) -> str:
    """What the ledger's entry in the record's place says otherwise; empty where it agrees."""
    row = connection.execute(
        select(entry.c.previous, entry.c.body).where(
            entry.c.station == name, entry.c.sequence == given.sequence
        )
    ).one_or_none()
    if row is None:
        return f"there is no entry {given.sequence}"
    said = read_body(row.body).event
    if not isinstance(said, JobConcluded):
        return f"entry {given.sequence} concludes no job"
    claims = (
        ("statement", said.statement_sha256, given.statement_sha256),
        ("job", said.job_id, given.job),
        ("verdict", said.verdict.value, given.verdict),
        ("archive", said.archive_sha256, given.archive_sha256),
        ("statement id", said.statement_id, given.statement_id),
        ("entry before", row.previous, given.previous),
    )
    return next(
        (f"entry {given.sequence} names another {what}" for what, a, b in claims if a != b), ""
    )


def _insert_record(
    connection: Connection, name: str, given: RecordRow, now: Stamp, receipt: bytes
) -> None:
    texts = {
        column: show(getattr(given, column), TEXT_CHARACTERS)
        for column in [
            "statement_id",
            "manufacturer",
            "model",
            "serial",
            "wwn",
            "asset_tag",
            "label_serial",
            "lot",
            "customer",
            "policy_id",
            "bay",
        ]
    }
    connection.execute(
        insert(record).values(
            envelope_sha256=given.envelope_sha256,
            station=name,
            job=fitted(given.job),
            verdict=given.verdict,
            simulated=given.simulated,
            statement_sha256=given.statement_sha256,
            archive_sha256=given.archive_sha256,
            sequence=given.sequence,
            attempt=given.attempt,
            job_end=given.job_end,
            reasons=canonical_json(list(given.reasons)),
            identity_key=given.identity_key,
            media=given.media,
            size_bytes=str(given.size_bytes),
            required=given.required,
            claimed=given.claimed,
            technique=given.technique,
            issued_at=given.issued_at,
            received=now,
            serial_key=key_of(texts["serial"]),
            label_serial_key=key_of(texts["label_serial"]),
            asset_tag_key=key_of(texts["asset_tag"]),
            wwn_key=key_of(texts["wwn"]),
            lot_key=key_of(texts["lot"]),
            **texts,
        )
    )
    connection.execute(
        insert(record_file).values(
            envelope_sha256=given.envelope_sha256, bundle=given.bundle, receipt=receipt
        )
    )


def _make_room(connection: Connection, name: str, keep: int) -> None:
    mine = refused.c.station == name
    held = connection.execute(select(func.count()).select_from(refused).where(mine)).scalar_one()
    if held <= keep:
        return
    oldest = (
        select(refused.c.number).where(mine).order_by(refused.c.last).limit(held - keep).subquery()
    )
    connection.execute(delete(refused).where(refused.c.number.in_(select(oldest.c.number))))
    connection.execute(
        update(station)
        .where(station.c.station == name)
        .values(refused_dropped=station.c.refused_dropped + (held - keep))
    )
