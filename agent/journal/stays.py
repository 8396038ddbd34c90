"""The journal's stays and station events: who was in which bay when, and what people did.

Station events are the truth of lots, manifests and scans; whoever needs a view replays them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from nullbay.agent.journal.store import Journal
from nullbay.certs import ledger
from nullbay.domain.canonical import canonical_json
from nullbay.domain.clock import Stamp
from nullbay.domain.codec import from_plain
from nullbay.domain.ids import IdentityKey, InsertionId
from nullbay.domain.intake import StationEvent, event_from_plain, event_to_plain
from nullbay.domain.status import DriveCard

_STAY = (
    "SELECT insertion_id, identity_key, insertion.bay, opened, card, ledger.body"
    " FROM insertion LEFT JOIN ledger ON ledger.sequence = insertion.closed_sequence"
)


@dataclass(frozen=True, slots=True)
class StayRow:
    """One stay of a drive; `closed` and `closing` are None while it lasts."""

    insertion_id: InsertionId
    identity_key: IdentityKey
    bay: str
    opened: Stamp
    card: DriveCard | None
    closed: Stamp | None
    closing: ledger.InsertionClosed | None


class Stays:
    """The stays and station events of one open journal."""

    def __init__(self, journal: Journal) -> None:
        """The journal stays its owner's."""
        self._journal = journal

    def of(self, identity: IdentityKey) -> tuple[StayRow, ...]:
        """Every stay of a drive, newest first."""
        rows = self._journal.db.execute(
            f"{_STAY} WHERE identity_key = ? ORDER BY insertion.rowid DESC", (identity,)
        )
        return tuple(_stay(row) for row in rows)

    def stay(self, insertion: InsertionId) -> StayRow | None:
        """One stay; None for one that never was."""
        row = self._journal.db.execute(f"{_STAY} WHERE insertion_id = ?", (insertion,)).fetchone()
        return _stay(row) if row else None

    def happened(self, events: Iterable[StationEvent]) -> None:
        """Append station events, all or none."""
        with self._journal.transaction():
            for event in events:
                self._append(event)

    def happened_with_entry(
        self,
        event: StationEvent,
        make: Callable[[ledger.LedgerEntry | None], ledger.LedgerEntry],
        *,
        document: bytes | None = None,
    ) -> None:
        """One station event and one ledger entry with the document it names, all or none."""

        def both(
            last: ledger.LedgerEntry | None,
        ) -> tuple[ledger.LedgerEntry, None]:
            self._append(event)
            return make(last), None

        self._journal.happened_with_entry(None, both, document=document)

    def events(self) -> Iterator[StationEvent]:
        """Every station event in order. Raises UnknownSchemaError for one of a newer nullbay."""
        for (text,) in self._journal.db.execute("SELECT event FROM station_event ORDER BY number"):
            yield event_from_plain(json.loads(text))

    def _append(self, event: StationEvent) -> None:
        text = canonical_json(event_to_plain(event)).decode()
        self._journal.db.execute(
            "INSERT INTO station_event (at, event) VALUES (?, ?)", (self._journal.stamp(), text)
        )


def _stay(row: tuple[Any, ...]) -> StayRow:
    body = ledger.read_body(row[5]) if row[5] is not None else None
    closing = body.event if body and isinstance(body.event, ledger.InsertionClosed) else None
    return StayRow(
        insertion_id=InsertionId(row[0]),
        identity_key=IdentityKey(row[1]),
        bay=row[2],
        opened=from_plain(Stamp, json.loads(row[3])),
        card=from_plain(DriveCard, json.loads(row[4])) if row[4] else None,
        closed=body.at if body and closing else None,
        closing=closing,
    )
