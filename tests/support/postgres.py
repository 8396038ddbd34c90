"""A PostgreSQL cluster of a test's own: in a folder, on a Unix socket, gone afterwards."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

ROOTS = Path("/usr/lib/postgresql")
USER = "postgres"
TIMEOUT_S = 120


def programs() -> Path | None:
    """Where initdb and pg_ctl are: the newest that Debian installed, or on the PATH."""
    found = [path for path in ROOTS.glob("*/bin/initdb") if re.fullmatch(r"\d+", path.parts[-3])]
    if found:
        return max(found, key=lambda path: int(path.parts[-3])).parent
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else None


@dataclass(frozen=True)
class Cluster:
    """A running cluster."""

    folder: Path
    programs: Path

    def url(self, database: str = "postgres") -> str:
        return f"postgresql+psycopg://{USER}@/{database}?host={self.folder}"

    def new_database(self) -> str:
        """The address of an empty database."""
        name = f"centre_{secrets.token_hex(6)}"
        engine = sa.create_engine(self.url(), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return self.url(name)

    def stop(self) -> None:
        """As `pg_ctl stop -m immediate`: what a killed server leaves."""
        self._control("stop", "-m", "immediate")

    def start(self) -> None:
        options = f"-c listen_addresses= -c unix_socket_directories={self.folder}"
        self._control("start", "-l", str(self.folder / "log"), "-o", options)

    def _control(self, *words: str) -> None:
        as_postgres(
            [self.programs / "pg_ctl", "-w", "-D", self.folder / "data", *words], self.folder
        )


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Made by initdb, started, and stopped whatever happens. A Unix socket's path is short."""
    where = programs()
    if where is None:
        raise FileNotFoundError("initdb")
    folder = Path(tempfile.mkdtemp(prefix="nullbay-pg-"))
    made = Cluster(folder, where)
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, USER, USER)
        as_postgres(
            [where / "initdb", "-D", folder / "data", "-U", USER, "-A", "trust", "-E", "UTF8"],
            folder,
        )
        made.start()
        yield made
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            made.stop()
        shutil.rmtree(folder, ignore_errors=True)


def as_postgres(command: list[str | Path], folder: Path) -> None:
    """PostgreSQL does not run as root."""
    subprocess.run(
        command,
        user=USER if os.geteuid() == 0 else None,
        check=True,
        capture_output=True,
        cwd=folder,
        timeout=TIMEOUT_S,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": str(folder)},
    )
