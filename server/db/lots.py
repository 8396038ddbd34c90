"""Lots: what stations' ledgers name of them, the documents that say it, and manifests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, or_, select, update

from nullbay.certs.ledger import Head
from nullbay.certs.lot_document import LotDocument, LotNote, code_of
from nullbay.domain.clock import Stamp
from nullbay.domain.errors import MalformedError
from nullbay.domain.intake import LotOpened, ManifestTaken
from nullbay.domain.lot import InsertionEnd
from nullbay.domain.text import show
from nullbay.server.accounts import LotFacts, RefusedStay, merged
from nullbay.server.cards import ManifestLine, ManifestSource, RecordCard
from nullbay.server.db.asking import refusals_of
from nullbay.server.db.engine import Database
from nullbay.server.db.intake import Contradicted, Missing, Taken
from nullbay.server.db.tables import (
    ID_CHARACTERS,
    TEXT_CHARACTERS,
    insertion,
    lot_document,
    manifest_line,
    station,
)
from nullbay.server.search import key_of
