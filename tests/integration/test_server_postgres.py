"""The centre on PostgreSQL: every case that holds on SQLite, and what only a server can do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from nullbay.server.db.engine import open_database
from nullbay.server.db.tables import METADATA
from support.centre import MadeStation
from support.centre_lots import CASES, Where
from support.postgres import Cluster, cluster, programs


@pytest.fixture(scope="module")
def postgres() -> Iterator[Cluster]:
    if programs() is None:
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    with cluster() as made:
        yield made


@pytest.mark.parametrize("name", CASES)
def test_on_postgresql(
    name: str, postgres: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        await CASES[name](Where(tmp_path, postgres.new_database(), monkeypatch))

    asyncio.run(run())


def test_migrations_make_the_tables_of_this_build(postgres: Cluster, tmp_path: Path) -> None:
    url = postgres.new_database()
    for _ in range(2):
        database = open_database(url, tmp_path)
        with database.reading() as connection:
            assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
        database.close()
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_is_away_is_waited_for(
    postgres: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The station is told to come again; what was receipted before is still there."""
    one = MadeStation()

    async def run() -> None:
        where = Where(tmp_path, postgres.new_database(), monkeypatch)
        async with where.open(one) as door:
            made = one.record()
            await door.entries(one)
            await asyncio.to_thread(postgres.stop)
            try:
                answer = await door.entry(one, one.event())
                assert (answer.status, answer.code) == (503, "centre.database")
            finally:
                await asyncio.to_thread(postgres.start)
            assert (await door.deliver(one, made)).status == 201
            assert (await door.centre.station_account(one.name)).accounted

    asyncio.run(run())
