"""Opening the centre's database: which one, with what guarantees, brought to this build's form.

SQLite runs in WAL mode with synchronous=FULL and one writer; PostgreSQL as its administrator set it
up. What a transaction returned from survives a power cut on both. Errors of either come out as
two of ours: no room left, or not to be reached.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg import errors as postgresql
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from nullbay.domain.errors import NullbayError

FILE_NAME = "centre.sqlite3"
BUSY_TIMEOUT_S = 30
CONNECT_TIMEOUT_S = 10
MIGRATIONS = Path(__file__).resolve().parent / "migrations"
_SQLITE, _POSTGRESQL = "sqlite", "postgresql"
_WRITES = "nullbay_writes"
_APPLICATION_ID = 0x6E756C63  # "nulc"; the journal of a station has "null"
_FULL = (postgresql.DiskFull, postgresql.OutOfMemory)
_NO_ROOM_BYTES = 256 * 1024
_CHECKED_MAX_BYTES = 1024 * 1024 * 1024
"""A larger file is not read through at every start."""


class DatabaseError(NullbayError):
    """The database cannot be used now; what was asked for did not happen."""

    code = "centre.database"


class DatabaseFormError(DatabaseError):
    """It is of a form this build does not know, or of somebody else; it was not changed."""

    code = "centre.database-form"


class FullError(NullbayError):
    """There is no room left; nothing of what was sent is kept."""

    code = "centre.full"


def full(what: str) -> FullError:
    """No room for `what`."""
    return FullError(
        f"The centre has no room left for {what}",
        next_step="Make room on its disk; the station keeps it and delivers it again",
    )


@dataclass(frozen=True, slots=True)
class Database:
    """An open database. `reading` and `writing` are whole transactions, from any thread."""

    engine: Engine

    @property
    def is_sqlite(self) -> bool:
        """Whether only one may write at a time."""
        return self.engine.dialect.name == _SQLITE

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent look. Raises DatabaseError."""
        with _told(self.engine), self.engine.connect() as connection:
            if not self.is_sqlite:
                connection = connection.execution_options(isolation_level="REPEATABLE READ")  # noqa: PLW2901 - the same one, for this look
            with connection.begin():
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """All of it or nothing, durable on return. Raises FullError, DatabaseError."""
        with (
            _told(self.engine),
            self.engine.connect() as connection,
            connection.execution_options(**{_WRITES: True}).begin(),
        ):
            yield connection

    def close(self) -> None:
        """Let go of every connection."""
        self.engine.dispose()


def open_database(url: str, state: Path) -> Database:
    """Open the database of `url`, or the SQLite file in the state directory where it is empty.

    An older form is brought to this build's (an SQLite file is copied first); a newer or foreign
    one is refused unchanged. Raises DatabaseError and its kinds, FullError.
    """
    try:
        where = make_url(url) if url else URL.create(_SQLITE, database=str(state / FILE_NAME))
    except ArgumentError:
        raise DatabaseError("The database's address is none that is understood") from None
    database = Database(_engine(where))
    try:
        if database.is_sqlite:
            _prepare_file(database)
        _migrate(database)
    except BaseException:
        database.close()
        raise
    return database


def _engine(where: URL) -> Engine:
    if where.get_backend_name() == _SQLITE:
        engine = create_engine(
            where, connect_args={"timeout": BUSY_TIMEOUT_S}, pool_size=8, hide_parameters=True
        )
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    # A transaction that waits for ever would hold a thread for ever.
    options = "-c statement_timeout=60000 -c idle_in_transaction_session_timeout=60000"
    return create_engine(
        where,
        connect_args={"connect_timeout": CONNECT_TIMEOUT_S, "options": options},
        pool_pre_ping=True,
        # What is in a row has no business in a log.
        hide_parameters=True,
        pool_size=8,
        max_overflow=4,
    )


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    # Transactions are begun by _begin_sqlite, not by the driver's guesses.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _prepare_file(database: Database) -> None:
    """Refuse a file that is not ours before anything is written into it."""
    path = Path(str(database.engine.url.database))
    try:
        # 0600 from the start; of two that begin at once, one makes it and both open it.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise DatabaseError(f"The database {path} cannot be used: {error.strerror}") from None
    with database.writing() as connection:
        found = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
        tables = connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar_one()
        if found != _APPLICATION_ID and (found or tables):
            raise DatabaseFormError(
                f"{path} is a database of something else; it was not changed",
                next_step="Name another file, or another state directory",
            )
        if found != _APPLICATION_ID:
            connection.exec_driver_sql(f"PRAGMA application_id = {_APPLICATION_ID}")
        if path.stat().st_size <= _CHECKED_MAX_BYTES:
            _require_sound(connection, path)


def _require_sound(connection: Connection, path: Path) -> None:
    found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
    if found != "ok":
        raise DatabaseError(
            f"The database {path} is damaged: {str(found)[:200]}",
            next_step="Keep the file and restore a copy; stations deliver what is missing",
        )


def _migrate(database: Database) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    script = ScriptDirectory.from_config(config)
    with database.reading() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    wanted = script.get_current_head()
    if found == wanted:
        return
    if found is not None and found not in {one.revision for one in script.walk_revisions()}:
        raise DatabaseFormError(
            f"The database is of form {found}, which this build does not know; it was not changed",
            next_step="Use the nullbay that wrote it, or a newer one",
        )
    if found is not None and database.is_sqlite:
        _copy_first(database, found)
    with database.writing() as connection:
        if not database.is_sqlite:
            # Two that start at once: the second waits, and finds nothing left to do.
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_APPLICATION_ID})"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _copy_first(database: Database, form: str) -> None:
    path = Path(str(database.engine.url.database))
    copy = path.with_name(f"{path.name}.{form}")
    copy.unlink(missing_ok=True)
    with _told(database.engine), database.engine.connect() as connection:
        driver = connection.connection.dbapi_connection
        if driver is None:
            raise DatabaseError("The database was closed while it was copied")
        cursor = driver.cursor()
        # A parameter, and no transaction around it: VACUUM wants neither a name nor one.
        cursor.execute("VACUUM INTO ?", (str(copy),))
        cursor.close()


@contextmanager
def _told(engine: Engine) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        if _is_full(engine, error):
            raise full("a row of its database") from error
        raise _unusable() from error
    except SQLAlchemyError as error:
        raise _unusable() from error


def _is_full(engine: Engine, error: DBAPIError) -> bool:
    if isinstance(error.orig, _FULL):
        return True
    name = getattr(error.orig, "sqlite_errorname", "")
    if name == "SQLITE_FULL":
        return True
    if not name.startswith("SQLITE_IOERR"):
        return False
    # Where a file beside the database could not grow, SQLite says no more than that.
    try:
        facts = os.statvfs(Path(str(engine.url.database)).parent)
    except OSError:
        return False
    return facts.f_bavail * facts.f_frsize < _NO_ROOM_BYTES


def _unusable() -> DatabaseError:
    return DatabaseError(
        "The centre's database cannot be used now",
        next_step="See the server's log; what was sent is delivered again",
    )
