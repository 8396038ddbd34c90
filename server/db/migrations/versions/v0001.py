"""The first form."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Every table, empty."""
    op.create_table(
        "manifest_line",
        sa.Column("lot_key", sa.String(length=400), nullable=False),
        sa.Column("station", sa.String(length=128), nullable=False),
        sa.Column("line", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("lot", sa.String(length=400), nullable=False),
        sa.Column("serial", sa.String(length=400), nullable=False),
        sa.Column("asset_tag", sa.String(length=400), nullable=False),
        sa.Column("model", sa.String(length=400), nullable=False),
        sa.Column("received", sa.String(160), nullable=False),
        sa.Column("received_by", sa.String(length=128), nullable=False),
        sa.PrimaryKeyConstraint("lot_key", "station", "line", name=op.f("pk_manifest_line")),
    )
    op.create_table(
        "record_file",
        sa.Column("envelope_sha256", sa.String(length=64), nullable=False),
        sa.Column("bundle", sa.LargeBinary(), nullable=False),
        sa.Column("receipt", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("envelope_sha256", name=op.f("pk_record_file")),
    )
    op.create_table(
        "station",
        sa.Column("station", sa.String(length=128), nullable=False),
        sa.Column("head_sequence", sa.BigInteger(), nullable=False),
        sa.Column("head_sha256", sa.String(length=64), nullable=False),
        sa.Column("last_delivery", sa.String(160), nullable=True),
        sa.Column("status", sa.LargeBinary(), nullable=True),
        sa.Column("status_at", sa.String(160), nullable=True),
        sa.Column("seen", sa.String(160), nullable=True),
        sa.Column("via", sa.String(length=16), nullable=True),
        sa.Column("poll_error", sa.String(length=64), nullable=False),
        sa.Column("poll_tried", sa.String(160), nullable=True),
        sa.Column("gap_since", sa.String(160), nullable=True),
        sa.Column("gap_got", sa.BigInteger(), nullable=True),
        sa.Column("known_since", sa.String(160), nullable=False),
        sa.Column("refused_dropped", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("station", name=op.f("pk_station")),
    )
    op.create_table(
        "archive",
        sa.Column("station", sa.String(length=128), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("received", sa.String(160), nullable=False),
        sa.ForeignKeyConstraint(["station"], ["station.station"], name=op.f("fk_archive_station")),
        sa.PrimaryKeyConstraint("station", "sha256", name=op.f("pk_archive")),
    )
    op.create_table(
        "entry",
        sa.Column("station", sa.String(length=128), nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("previous", sa.String(length=64), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=True),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.String(length=400), nullable=False),
        sa.Column("at", sa.String(160), nullable=False),
        sa.Column("received", sa.String(160), nullable=False),
        sa.Column("receipt", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["station"], ["station.station"], name=op.f("fk_entry_station")),
        sa.PrimaryKeyConstraint("station", "sequence", name=op.f("pk_entry")),
    )
    op.create_index(op.f("ix_entry_station_sha256"), "entry", ["station", "sha256"], unique=False)
    op.create_table(
        "finding",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("station", sa.String(length=128), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=400), nullable=False),
        sa.Column("detail", sa.String(length=400), nullable=False),
        sa.Column("first", sa.String(160), nullable=False),
        sa.Column("last", sa.String(160), nullable=False),
        sa.Column("over", sa.String(160), nullable=True),
        sa.Column("acknowledged", sa.String(160), nullable=True),
        sa.Column("acknowledged_by", sa.String(length=128), nullable=False),
        sa.Column("note", sa.String(length=2000), nullable=False),
        sa.ForeignKeyConstraint(["station"], ["station.station"], name=op.f("fk_finding_station")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_finding")),
    )
    op.create_index(op.f("ix_finding_station_code"), "finding", ["station", "code"], unique=False)
    op.create_table(
        "insertion",
        sa.Column("station", sa.String(length=128), nullable=False),
        sa.Column("insertion", sa.String(length=128), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("closed", sa.String(160), nullable=False),
        sa.Column("closings", sa.Integer(), nullable=False),
        sa.Column("cause", sa.String(length=32), nullable=False),
        sa.Column("bay", sa.String(length=128), nullable=False),
        sa.Column("identity_key", sa.String(length=64), nullable=False),
        sa.Column("scanned", sa.String(length=400), nullable=False),
        sa.Column("scanned_key", sa.String(length=400), nullable=False),
        sa.Column("jobs", sa.LargeBinary(), nullable=False),
        sa.Column("refusals", sa.LargeBinary(), nullable=False),
        sa.Column("jobs_number", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["station"], ["station.station"], name=op.f("fk_insertion_station")
        ),
        sa.PrimaryKeyConstraint("station", "insertion", name=op.f("pk_insertion")),
    )
    op.create_index(op.f("ix_insertion_scanned_key"), "insertion", ["scanned_key"], unique=False)
    op.create_table(
        "job",
        sa.Column("station", sa.String(length=128), nullable=False),
        sa.Column("job", sa.String(length=128), nullable=False),
        sa.Column("insertion", sa.String(length=128), nullable=False),
        sa.Column("identity_key", sa.String(length=64), nullable=False),
        sa.Column("policy_id", sa.String(length=128), nullable=False),
        sa.Column("bay", sa.String(length=128), nullable=False),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.Column("started_sequence", sa.BigInteger(), nullable=True),
        sa.Column("started", sa.String(160), nullable=True),
        sa.Column("started_received", sa.String(160), nullable=True),
        sa.Column("starts", sa.Integer(), nullable=False),
        sa.Column("concluded_sequence", sa.BigInteger(), nullable=True),
        sa.Column("concluded", sa.String(160), nullable=True),
        sa.Column("concluded_received", sa.String(160), nullable=True),
        sa.Column("conclusions", sa.Integer(), nullable=False),
        sa.Column("verdict", sa.String(length=32), nullable=True),
        sa.Column("statement_sha256", sa.String(length=64), nullable=True),
        sa.Column("archive_sha256", sa.String(length=64), nullable=True),
        sa.Column("shown", sa.String(160), nullable=True),
        sa.Column("has_record", sa.Boolean(), nullable=False),
        sa.Column("insertion_closed", sa.Boolean(), nullable=False),
        sa.Column("unsettled", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["station"], ["station.station"], name=op.f("fk_job_station")),
        sa.PrimaryKeyConstraint("station", "job", name=op.f("pk_job")),
    )
    op.create_index(op.f("ix_job_station_insertion"), "job", ["station", "insertion"], unique=False)
    op.create_index(op.f("ix_job_unsettled"), "job", ["unsettled"], unique=False)
    op.create_table(
        "lot_document",
        sa.Column("station", sa.String(length=128), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.String(length=32), nullable=False),
        sa.Column("lot", sa.String(length=400), nullable=False),
        sa.Column("lot_key", sa.String(length=400), nullable=False),
        sa.Column("manifest_sha256", sa.String(length=64), nullable=False),
        sa.Column("customer", sa.String(length=400), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("received", sa.String(160), nullable=True),
        sa.Column("receipt", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(
            ["station"], ["station.station"], name=op.f("fk_lot_document_station")
        ),
        sa.PrimaryKeyConstraint("station", "sha256", name=op.f("pk_lot_document")),
    )
    op.create_index(op.f("ix_lot_document_lot_key"), "lot_document", ["lot_key"], unique=False)
    op.create_table(
        "record",
        sa.Column(
            "number",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("envelope_sha256", sa.String(length=64), nullable=False),
        sa.Column("station", sa.String(length=128), nullable=False),
        sa.Column("job", sa.String(length=128), nullable=False),
        sa.Column("verdict", sa.String(length=32), nullable=False),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.Column("statement_id", sa.String(length=400), nullable=False),
        sa.Column("statement_sha256", sa.String(length=64), nullable=False),
        sa.Column("archive_sha256", sa.String(length=64), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("job_end", sa.String(length=32), nullable=False),
        sa.Column("reasons", sa.LargeBinary(), nullable=False),
        sa.Column("manufacturer", sa.String(length=400), nullable=False),
        sa.Column("model", sa.String(length=400), nullable=False),
        sa.Column("serial", sa.String(length=400), nullable=False),
        sa.Column("wwn", sa.String(length=400), nullable=False),
        sa.Column("identity_key", sa.String(length=64), nullable=False),
        sa.Column("media", sa.String(length=32), nullable=False),
        sa.Column("size_bytes", sa.String(length=20), nullable=False),
        sa.Column("asset_tag", sa.String(length=400), nullable=False),
        sa.Column("label_serial", sa.String(length=400), nullable=False),
        sa.Column("lot", sa.String(length=400), nullable=False),
        sa.Column("customer", sa.String(length=400), nullable=False),
        sa.Column("policy_id", sa.String(length=400), nullable=False),
        sa.Column("required", sa.String(length=32), nullable=False),
        sa.Column("claimed", sa.String(length=32), nullable=False),
        sa.Column("technique", sa.String(length=64), nullable=False),
        sa.Column("bay", sa.String(length=400), nullable=False),
        sa.Column("issued_at", sa.String(length=32), nullable=False),
        sa.Column("received", sa.String(160), nullable=False),
        sa.Column("serial_key", sa.String(length=400), nullable=False),
        sa.Column("label_serial_key", sa.String(length=400), nullable=False),
        sa.Column("asset_tag_key", sa.String(length=400), nullable=False),
        sa.Column("wwn_key", sa.String(length=400), nullable=False),
        sa.Column("lot_key", sa.String(length=400), nullable=False),
        sa.ForeignKeyConstraint(["station"], ["station.station"], name=op.f("fk_record_station")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_record")),
        sa.UniqueConstraint("envelope_sha256", name=op.f("uq_record_envelope_sha256")),
        sa.UniqueConstraint("station", "job", name=op.f("uq_record_station_job")),
        sa.UniqueConstraint(
            "station", "statement_sha256", name=op.f("uq_record_station_statement_sha256")
        ),
    )
    op.create_index(op.f("ix_record_asset_tag_key"), "record", ["asset_tag_key"], unique=False)
    op.create_index(op.f("ix_record_identity_key"), "record", ["identity_key"], unique=False)
    op.create_index(
        op.f("ix_record_label_serial_key"), "record", ["label_serial_key"], unique=False
    )
    op.create_index(op.f("ix_record_lot_key"), "record", ["lot_key"], unique=False)
    op.create_index(op.f("ix_record_serial_key"), "record", ["serial_key"], unique=False)
    op.create_index(
        op.f("ix_record_station_verdict"), "record", ["station", "verdict"], unique=False
    )
    op.create_index(op.f("ix_record_wwn_key"), "record", ["wwn_key"], unique=False)
    op.create_table(
        "refused",
        sa.Column(
            "number",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("station", sa.String(length=128), nullable=False),
        sa.Column("what", sa.String(length=16), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("message", sa.String(length=400), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("times", sa.BigInteger(), nullable=False),
        sa.Column("first", sa.String(160), nullable=False),
        sa.Column("last", sa.String(160), nullable=False),
        sa.ForeignKeyConstraint(["station"], ["station.station"], name=op.f("fk_refused_station")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_refused")),
        sa.UniqueConstraint(
            "station", "what", "sha256", "code", name=op.f("uq_refused_station_what_sha256_code")
        ),
    )
    op.create_table(
        "told_head",
        sa.Column("station", sa.String(length=128), nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("received", sa.String(160), nullable=False),
        sa.ForeignKeyConstraint(
            ["station"], ["station.station"], name=op.f("fk_told_head_station")
        ),
        sa.PrimaryKeyConstraint("station", "sequence", "sha256", name=op.f("pk_told_head")),
    )
