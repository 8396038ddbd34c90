"""The centre's SQLite file: its form, its guarantees, and what is never touched."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, select

from nullbay.domain.clock import ClockSync, Stamp
from nullbay.server.db import engine
from nullbay.server.db.engine import (
    DatabaseError,
    DatabaseFormError,
    FullError,
    open_database,
)
from nullbay.server.db.intake import ensure_stations
from nullbay.server.db.tables import METADATA, StampText, station
from support import evidence_factory as factory

NOW = factory.stamp(0)


def test_migrations_make_the_tables_of_this_build(tmp_path: Path) -> None:
    for _ in range(2):
        database = open_database("", tmp_path)
        with database.reading() as connection:
            assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
            pragmas = {
                name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
                for name in ("journal_mode", "synchronous", "foreign_keys")
            }
        database.close()
        assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    assert (tmp_path / engine.FILE_NAME).stat().st_mode & 0o777 == 0o600


def test_a_transaction_is_whole_or_nothing(tmp_path: Path) -> None:
    database = open_database("", tmp_path)
    ensure_stations(database, ("bench-1",), NOW)

    def half() -> None:
        with database.writing() as connection:
            values = {"station": "bench-2", "head_sequence": 0, "head_sha256": "", "poll_error": ""}
            connection.execute(insert(station).values(**values, known_since=NOW, refused_dropped=0))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    with database.reading() as connection:
        assert connection.execute(select(station.c.station)).scalars().all() == ["bench-1"]
    database.close()


def test_stations_are_added_and_never_lost(tmp_path: Path) -> None:
    database = open_database("", tmp_path)
    ensure_stations(database, ("b", "a"), NOW)
    ensure_stations(database, ("c",), factory.stamp(1))
    with database.reading() as connection:
        found = connection.execute(select(station.c.station, station.c.known_since)).all()
    database.close()
    assert sorted((name, stamp.at) for name, stamp in found) == [
        ("a", NOW.at),
        ("b", NOW.at),
        ("c", factory.stamp(1).at),
    ]


def test_a_newer_form_is_refused_unchanged(tmp_path: Path) -> None:
    open_database("", tmp_path).close()
    path = tmp_path / engine.FILE_NAME
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(DatabaseFormError, match="9999"):
        open_database("", tmp_path)
    assert path.read_bytes() == before


def test_a_file_of_something_else_is_refused_unchanged(tmp_path: Path) -> None:
    path = tmp_path / engine.FILE_NAME
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    with pytest.raises(DatabaseFormError, match="something else"):
        open_database("", tmp_path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("t",)]
        assert connection.execute("PRAGMA application_id").fetchone() == (0,)
    connection.close()


def test_a_file_that_is_none_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / engine.FILE_NAME
    path.write_bytes(b"this is no database, and was somebody's" * 100)
    before = path.read_bytes()
    with pytest.raises(DatabaseError):
        open_database("", tmp_path)
    assert path.read_bytes() == before


def test_a_place_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError):
        open_database("", tmp_path / "nowhere")
    with pytest.raises(DatabaseError):
        open_database("nonsense", tmp_path)


def test_an_older_form_is_copied_before_it_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = open_database("", tmp_path)
    ensure_stations(database, ("bench-1",), NOW)
    database.close()
    migrations = tmp_path / "migrations"
    shutil.copytree(engine.MIGRATIONS, migrations)
    (migrations / "versions" / "v0002.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\n"
        'revision = "0002"\ndown_revision = "0001"\n'
        'def upgrade():\n    op.add_column("station", sa.Column("more", sa.Integer))\n'
    )
    monkeypatch.setattr(engine, "MIGRATIONS", migrations)
    database = open_database("", tmp_path)
    with database.reading() as connection:
        row = connection.exec_driver_sql("SELECT station, more FROM station").one()
    database.close()
    assert tuple(row) == ("bench-1", None)
    copy = sqlite3.connect(tmp_path / f"{engine.FILE_NAME}.0001")
    assert copy.execute("SELECT station FROM station").fetchall() == [("bench-1",)]
    assert copy.execute("SELECT version_num FROM alembic_version").fetchall() == [("0001",)]
    copy.close()


def test_a_migration_that_fails_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_database("", tmp_path).close()
    migrations = tmp_path / "migrations"
    shutil.copytree(engine.MIGRATIONS, migrations)
    (migrations / "versions" / "v0002.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\n"
        'revision = "0002"\ndown_revision = "0001"\n'
        'def upgrade():\n    op.add_column("station", sa.Column("more", sa.Integer))\n'
        '    op.drop_table("no_such_table")\n'
    )
    with monkeypatch.context() as patch:
        patch.setattr(engine, "MIGRATIONS", migrations)
        with pytest.raises(DatabaseError):
            open_database("", tmp_path)
    database = open_database("", tmp_path)
    with database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    database.close()


def test_a_full_database_is_told_as_such_and_heals(tmp_path: Path) -> None:
    database = open_database("", tmp_path)
    ensure_stations(database, ("bench-1",), NOW)
    with database.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}")
        # The pool gives the same connection again.
    names = tuple(f"bench-{number:03}" + "x" * 90 for number in range(500))
    with pytest.raises(FullError):
        ensure_stations(database, names, NOW)
    with database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
    ensure_stations(database, names, NOW)
    with database.reading() as connection:
        assert len(connection.execute(select(station.c.station)).all()) == 501
    database.close()


@given(
    st.builds(
        Stamp,
        st.just("2026-11-21T08:00:00.000000Z"),
        st.integers(0, 2**62),
        st.uuids().map(str),
        st.sampled_from(ClockSync),
    )
)
def test_moments_come_back_as_they_were(stamp: Stamp) -> None:
    kind = StampText()
    text = kind.process_bind_param(stamp, None)  # type: ignore[arg-type]
    assert kind.process_result_value(text, None) == stamp  # type: ignore[arg-type]
