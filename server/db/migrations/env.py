"""Alembic's entry: run on the connection and in the transaction that the engine handed over."""

from __future__ import annotations

from alembic import context

from nullbay.server.db.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transactional_ddl=True,
)
context.run_migrations()
