"""The tables of the centre, `nullbay.centre-database/1`; migrations/ makes exactly these.

What a station delivered is kept byte for byte (`body`, `envelope`, `bundle`) and never updated; the
columns beside it are drawn from it once, so that it can be searched. Receipts are kept as they were
given. Times are texts that sort by wall time, with boot time, boot id and sync state behind.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)
from sqlalchemy.types import TypeDecorator

from nullbay.domain.clock import ClockSync, Stamp

ID_CHARACTERS = 128
TEXT_CHARACTERS = 400
DIGEST_CHARACTERS = 64
STAMP_CHARACTERS = 160
SEQUENCE_MAX = 2**63 - 1
"""What a BIGINT holds; a higher number is refused before it gets here."""

# Names of constraints are said here, so that both databases and every later migration agree.
METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class StampText(TypeDecorator[Stamp]):
    """A moment as `<wall time> <boot time in µs> <boot id> <sync>`."""

    impl = String(STAMP_CHARACTERS)
    cache_ok = True

    def process_bind_param(self, value: Stamp | None, dialect: Dialect) -> str | None:
        """To text."""
        if value is None:
            return None
        return f"{value.at} {value.boottime_us} {value.boot_id} {value.sync.value}"

    def process_result_value(self, value: Any, dialect: Dialect) -> Stamp | None:
        """Back again."""
        if value is None:
            return None
        at, boottime_us, boot_id, sync = str(value).split(" ")
        return Stamp(at, int(boottime_us), boot_id, ClockSync(sync))


def _digest(name: str, *, nullable: bool = False, **more: Any) -> Column[str]:
    return Column(name, String(DIGEST_CHARACTERS), nullable=nullable, **more)


def _id(name: str, *, nullable: bool = False, **more: Any) -> Column[str]:
    return Column(name, String(ID_CHARACTERS), nullable=nullable, **more)


def _text(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, String(TEXT_CHARACTERS), nullable=nullable)


def _of_station(**more: Any) -> Column[str]:
    return Column(
        "station", String(ID_CHARACTERS), ForeignKey("station.station"), nullable=False, **more
    )


# SQLite gives out row numbers only for INTEGER, PostgreSQL needs more than 32 bits.
_NUMBER = BigInteger().with_variant(Integer(), "sqlite")

station = Table(
    "station",
    METADATA,
    _id("station", primary_key=True),
    # The chain as delivered.
    Column("head_sequence", BigInteger, nullable=False),
    _digest("head_sha256"),
    Column("last_delivery", StampText, nullable=True),
    # The last status, as received, and what the station last said of its chain.
    Column("status", LargeBinary, nullable=True),
    Column("status_at", StampText, nullable=True),
    Column("seen", StampText, nullable=True),
    Column("via", String(16), nullable=True),
    Column("poll_error", String(64), nullable=False),
    Column("poll_tried", StampText, nullable=True),
    # Entries that came while one before them was missing.
    Column("gap_since", StampText, nullable=True),
    Column("gap_got", BigInteger, nullable=True),
    Column("known_since", StampText, nullable=False),
    Column("refused_dropped", BigInteger, nullable=False),
)

entry = Table(
    "entry",
    METADATA,
    _of_station(primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    _digest("sha256"),
    _digest("previous"),
    Column("body", LargeBinary, nullable=False),
    Column("envelope", LargeBinary, nullable=True),
    Column("kind", String(32), nullable=False),
    _text("subject"),
    Column("at", StampText, nullable=False),
    Column("received", StampText, nullable=False),
    Column("receipt", LargeBinary, nullable=False),
    Index(None, "station", "sha256"),
)

told_head = Table(
    # Heads a station named before it delivered them.
    "told_head",
    METADATA,
    _of_station(primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    _digest("sha256", primary_key=True),
    Column("received", StampText, nullable=False),
)

job = Table(
    "job",
    METADATA,
    _of_station(primary_key=True),
    _id("job", primary_key=True),
    _id("insertion"),
    _digest("identity_key"),
    _id("policy_id"),
    _id("bay"),
    Column("simulated", Boolean, nullable=False),
    Column("started_sequence", BigInteger, nullable=True),
    Column("started", StampText, nullable=True),
    Column("started_received", StampText, nullable=True),
    Column("starts", Integer, nullable=False),
    Column("concluded_sequence", BigInteger, nullable=True),
    Column("concluded", StampText, nullable=True),
    Column("concluded_received", StampText, nullable=True),
    Column("conclusions", Integer, nullable=False),
    Column("verdict", String(32), nullable=True),
    _digest("statement_sha256", nullable=True),
    _digest("archive_sha256", nullable=True),
    Column("shown", StampText, nullable=True),
    Column("has_record", Boolean, nullable=False),
    Column("insertion_closed", Boolean, nullable=False),
    # Whether a review has to look at it: open, doubled, or without its record or closed stay.
    Column("unsettled", Boolean, nullable=False),
    Index(None, "station", "insertion"),
    Index(None, "unsettled"),
)

insertion = Table(
    "insertion",
    METADATA,
    _of_station(primary_key=True),
    _id("insertion", primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("closed", StampText, nullable=False),
    Column("closings", Integer, nullable=False),
    Column("cause", String(32), nullable=False),
    _id("bay"),
    _digest("identity_key"),
    _text("scanned"),
    _text("scanned_key"),
    # JSON lists of job ids and refusal codes.
    Column("jobs", LargeBinary, nullable=False),
    Column("refusals", LargeBinary, nullable=False),
    Column("jobs_number", Integer, nullable=False),
    Index(None, "scanned_key"),
)

archive = Table(
    "archive",
    METADATA,
    _of_station(primary_key=True),
    _digest("sha256", primary_key=True),
    Column("bytes", BigInteger, nullable=False),
    Column("received", StampText, nullable=False),
)

record = Table(
    "record",
    METADATA,
    Column("number", _NUMBER, primary_key=True, autoincrement=True),
    _digest("envelope_sha256"),
    _of_station(),
    _id("job"),
    Column("verdict", String(32), nullable=False),
    Column("simulated", Boolean, nullable=False),
    _text("statement_id"),
    _digest("statement_sha256"),
    _digest("archive_sha256"),
    Column("sequence", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("job_end", String(32), nullable=False),
    Column("reasons", LargeBinary, nullable=False),
    _text("manufacturer"),
    _text("model"),
    _text("serial"),
    _text("wwn"),
    _digest("identity_key"),
    Column("media", String(32), nullable=False),
    Column("size_bytes", String(20), nullable=False),
    _text("asset_tag"),
    _text("label_serial"),
    _text("lot"),
    _text("customer"),
    _text("policy_id"),
    Column("required", String(32), nullable=False),
    Column("claimed", String(32), nullable=False),
    Column("technique", String(64), nullable=False),
    _text("bay"),
    Column("issued_at", String(32), nullable=False),
    Column("received", StampText, nullable=False),
    # What is searched: trimmed, case-folded.
    _text("serial_key"),
    _text("label_serial_key"),
    _text("asset_tag_key"),
    _text("wwn_key"),
    _text("lot_key"),
    UniqueConstraint("envelope_sha256"),
    UniqueConstraint("station", "statement_sha256"),
    UniqueConstraint("station", "job"),
    Index(None, "serial_key"),
    Index(None, "label_serial_key"),
    Index(None, "asset_tag_key"),
    Index(None, "wwn_key"),
    Index(None, "lot_key"),
    Index(None, "identity_key"),
    Index(None, "station", "verdict"),
)

record_file = Table(
    # Apart from what is searched: a look at many records reads none of their files.
    "record_file",
    METADATA,
    _digest("envelope_sha256", primary_key=True),
    Column("bundle", LargeBinary, nullable=False),
    Column("receipt", LargeBinary, nullable=False),
)

refused = Table(
    "refused",
    METADATA,
    Column("number", _NUMBER, primary_key=True, autoincrement=True),
    _of_station(),
    Column("what", String(16), nullable=False),
    _digest("sha256"),
    Column("code", String(64), nullable=False),
    Column("message", String(TEXT_CHARACTERS), nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("times", BigInteger, nullable=False),
    Column("first", StampText, nullable=False),
    Column("last", StampText, nullable=False),
    UniqueConstraint("station", "what", "sha256", "code"),
)

finding = Table(
    "finding",
    METADATA,
    _digest("id", primary_key=True),
    _of_station(),
    Column("code", String(64), nullable=False),
    _text("subject"),
    _text("detail"),
    Column("first", StampText, nullable=False),
    Column("last", StampText, nullable=False),
    Column("over", StampText, nullable=True),
    Column("acknowledged", StampText, nullable=True),
    Column("acknowledged_by", String(ID_CHARACTERS), nullable=False),
    Column("note", String(2000), nullable=False),
    Index(None, "station", "code"),
)

lot_document = Table(
    # What ledgers name of lots; body and receipt as soon as the document is here.
    "lot_document",
    METADATA,
    _of_station(primary_key=True),
    _digest("sha256", primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("code", String(32), nullable=False),
    _text("lot"),
    _text("lot_key"),
    _digest("manifest_sha256"),
    _text("customer"),
    Column("body", LargeBinary, nullable=True),
    Column("received", StampText, nullable=True),
    Column("receipt", LargeBinary, nullable=True),
    Index(None, "lot_key"),
)

manifest_line = Table(
    # `station` gave it; empty where a person did, at the centre.
    "manifest_line",
    METADATA,
    Column("lot_key", String(TEXT_CHARACTERS), primary_key=True),
    _id("station", primary_key=True),
    Column("line", Integer, primary_key=True, autoincrement=False),
    _text("lot"),
    _text("serial"),
    _text("asset_tag"),
    _text("model"),
    Column("received", StampText, nullable=False),
    Column("received_by", String(ID_CHARACTERS), nullable=False),
)
