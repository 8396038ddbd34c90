"""Where log lines go: standard error, as JSON for the journal, in words for a person at a terminal.

Standard library alone, so that wiperd can have it; the agent and the centre take `config.logs`,
which puts structlog in front of it.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from typing import TextIO

from nullbay.domain.logline import JsonFormatter, PeopleFormatter

# Their own messages about every request and statement: with addresses that may hold one-time links.
_QUIET = ("aiohttp.access", "sqlalchemy.engine", "alembic.runtime")


def configure(
    *,
    level: int = logging.INFO,
    stream: TextIO | None = None,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """All loggers of this process, and Python's warnings, to `stream` (standard error)."""
    to = sys.stderr if stream is None else stream
    handler = logging.StreamHandler(to)
    if to.isatty():
        handler.setFormatter(PeopleFormatter())
    else:
        handler.setFormatter(JsonFormatter(to_journal=_is_journal(to, environ)))
    logging.basicConfig(handlers=[handler], level=level, force=True)
    logging.captureWarnings(capture=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def _is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether the stream is the one that systemd connected: `$JOURNAL_STREAM` is device:inode."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM", "") == f"{status.st_dev}:{status.st_ino}"
