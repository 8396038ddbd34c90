"""What every question to the database shares: counting, cutting lists into parts."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Select

from nullbay.domain.errors import MalformedError

LIMIT_MAX = 1000


def counts(connection: Connection, asked: Select[Any], by: ColumnElement[str]) -> dict[str, int]:
    """How many rows by the values of a column."""
    return {row[0]: row[1] for row in connection.execute(asked.group_by(by))}


def limited(limit: int) -> int:
    """How many are listed at once: at least one, at most 1,000."""
    return max(1, min(limit, LIMIT_MAX))


def cursor(after: str) -> int:
    """The number that an earlier part of a list ended with. Raises MalformedError."""
    if not after.isascii() or not after.isdigit() or len(after) > 18:
        raise MalformedError("`after` is not what an earlier part said")
    return int(after)
