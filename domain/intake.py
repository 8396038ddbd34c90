"""What happens at a station's intake: lots, manifests, scans and stays, as events that are kept.

`nullbay.station-event/1`: the agent's journal stores them in order, and everything shown (active
lots, reconciliation, the destroy queue) is derived from them by `agent/intake/`. Stamps are the
moment the event was decided; a replay takes them as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NewType, TypeAlias

from nullbay.domain.clock import Stamp
from nullbay.domain.codec import from_plain, to_plain
from nullbay.domain.drive import DriveIdentity
from nullbay.domain.ids import BayId, InsertionId, JobId, LotRef
from nullbay.domain.lot import InsertionEnd, Lot, Person
from nullbay.domain.verdict import Verdict

STATION_EVENT_SCHEMA = "nullbay.station-event/1"

ScanId = NewType("ScanId", str)
"""Names one announced drive from its first scan until it is bound, withdrawn or not detected."""


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One expected drive: `line` in the file from 1; empty texts where the file gives none."""

    line: int
    serial: str
    asset_tag: str
    model: str


@dataclass(frozen=True, slots=True)
class LotOpened:
    """A lot takes drives from now on in these bays, in all of them where none is named."""

    kind: ClassVar[str] = "lot-opened"
    lot: Lot
    bays: tuple[BayId, ...]
    by: Person
    at: Stamp


@dataclass(frozen=True, slots=True)
class LotClosed:
    """A lot takes no more drives; those that are here go on."""

    kind: ClassVar[str] = "lot-closed"
    reference: LotRef
    by: Person
    at: Stamp


@dataclass(frozen=True, slots=True)
class ManifestTaken:
    """What the customer says the lot holds; takes the place of an earlier manifest of the lot."""

    kind: ClassVar[str] = "manifest-taken"
    reference: LotRef
    name: str
    sha256: str
    rows: tuple[ManifestRow, ...]
    by: Person
    at: Stamp


@dataclass(frozen=True, slots=True)
class InsertionOpened:
    """A drive is in a bay and answered. `lot` is the one active for the bay at that moment.

    `arrived` is false for a drive that was there before the station was. `bridged`: behind a USB
    bridge that answers for it, so that its serial proves nothing.
    """

    kind: ClassVar[str] = "insertion-opened"
    insertion: InsertionId
    bay: BayId | None
    identity: DriveIdentity
    lot: LotRef | None
    arrived: bool
    bridged: bool
    at: Stamp


@dataclass(frozen=True, slots=True)
class InsertionEnded:
    """The drive is gone, or was refused; the insertion's ledger entry says the rest."""

    kind: ClassVar[str] = "insertion-ended"
    insertion: InsertionId
    cause: InsertionEnd
    at: Stamp


@dataclass(frozen=True, slots=True)
class WorkStarted:
    """A job works on the drive of an insertion, for the first time or again."""

    kind: ClassVar[str] = "work-started"
    insertion: InsertionId
    job: JobId
    at: Stamp


@dataclass(frozen=True, slots=True)
class WorkEnded:
    """The job concluded. What a drive is worth is what its last job says."""

    kind: ClassVar[str] = "work-ended"
    insertion: InsertionId
    job: JobId
    verdict: Verdict
    at: Stamp


@dataclass(frozen=True, slots=True)
class Scanned:
    """Somebody announced a drive at intake: by label serial, asset tag, or both; perhaps its bay.

    The same `scan` again completes the announcement; its deadline counts from the last one.
    """

    kind: ClassVar[str] = "scanned"
    scan: ScanId
    asset_tag: str
    label_serial: str
    bay: BayId | None
    lot: LotRef | None
    by: Person
    at: Stamp


@dataclass(frozen=True, slots=True)
class TagBound:
    """Asset tag and label serial belong to the drive of this insertion, by that rule.

    `rule` is an alias rule's id, `alone` where one unbound drive and one tag left no choice, or
    `manifest`. `scan` is the announcement that is settled by it, None where there was none.
    """

    kind: ClassVar[str] = "tag-bound"
    insertion: InsertionId
    scan: ScanId | None
    asset_tag: str
    label_serial: str
    rule: str
    by: Person
    at: Stamp


@dataclass(frozen=True, slots=True)
class ScanWithdrawn:
    """Somebody took an announcement back: scanned by mistake."""

    kind: ClassVar[str] = "scan-withdrawn"
    scan: ScanId
    by: Person
    at: Stamp


@dataclass(frozen=True, slots=True)
class NotDetected:
    """An announced drive never appeared (verdicts.md section 3): it goes to the destroy queue."""

    kind: ClassVar[str] = "not-detected"
    scan: ScanId
    at: Stamp


@dataclass(frozen=True, slots=True)
class RemovalScanned:
    """A drive was scanned out. `differs` names what did not agree; empty: it may be labelled.

    `insertion` is None where no stay could be meant. `verdict` is the one it was compared with.
    """

    kind: ClassVar[str] = "removal-scanned"
    insertion: InsertionId | None
    label_serial: str
    bay: BayId | None
    verdict: Verdict | None
    differs: tuple[str, ...]
    by: Person
    at: Stamp


StationEvent: TypeAlias = (
    LotOpened
    | LotClosed
    | ManifestTaken
    | InsertionOpened
    | InsertionEnded
    | WorkStarted
    | WorkEnded
    | Scanned
    | TagBound
    | ScanWithdrawn
    | NotDetected
    | RemovalScanned
)


@dataclass(frozen=True, slots=True)
class KeptEvent:
    """An event as it is stored."""

    event: StationEvent
    schema: str = STATION_EVENT_SCHEMA


def event_to_plain(event: StationEvent) -> Any:
    """The plain JSON value that is stored for an event, with its schema."""
    return to_plain(KeptEvent(event))


def event_from_plain(plain: Any) -> StationEvent:
    """Read what `event_to_plain` made. Raises MalformedError, UnknownSchemaError."""
    kept: KeptEvent = from_plain(KeptEvent, plain)
    return kept.event
