"""What the API takes and gives beyond the desk's own cards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from nullbay.agent.desk import AskCard, DestroyCard, JobCard, LotCard, RecordCard
from nullbay.domain.ids import BayId, LotRef
from nullbay.domain.lot import DataCategory, Destination, Lot
from nullbay.domain.status import BayStatus, DriveCard, Mode
from nullbay.web.shapes import Items, Number, Text

BAYS_MAX = 512
MANIFEST_MAX_BYTES = 16 * 1024 * 1024
SHA256 = "^[0-9a-f]{64}$"
NO_CONTROLS = r"^[^\u0000-\u001f\u007f]*$"
"""One line of text; what is odd beyond that is shown escaped."""

Line = Annotated[str, Text(200, 0, NO_CONTROLS)]
Id = Annotated[str, Text(128, 1, NO_CONTROLS)]
Digest = Annotated[str, Text(64, 64, SHA256)]


@dataclass(frozen=True, slots=True)
class ById:
    """A job, an insertion, or a scan."""

    id: Id


@dataclass(frozen=True, slots=True)
class ByBay:
    """A bay."""

    bay: Id


@dataclass(frozen=True, slots=True)
class ByIdentity:
    """A drive."""

    identity: Annotated[str, Text(512, 1, NO_CONTROLS)]


@dataclass(frozen=True, slots=True)
class ByReference:
    """A lot."""

    reference: Id


@dataclass(frozen=True, slots=True)
class Manifest:
    """A lot and the name of the file that comes with the body."""

    reference: Id
    name: Line = "manifest.csv"


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a long list: at most `limit`, those after the one with the id `after`."""

    after: Id | None = None
    limit: Annotated[int, Number(1, 500)] = 100


@dataclass(frozen=True, slots=True)
class Health:
    """That the station answers, and how it stands; nothing else is said to strangers."""

    ok: bool
    mode: Mode


@dataclass(frozen=True, slots=True)
class BayList:
    """Every bay."""

    bays: tuple[BayStatus, ...]
    schema: str = "nullbay.bays/1"


@dataclass(frozen=True, slots=True)
class DriveList:
    """Drives that are in bays now."""

    drives: tuple[DriveCard, ...]
    schema: str = "nullbay.drives/1"


@dataclass(frozen=True, slots=True)
class JobList:
    """Proposals and jobs; `after` is what to ask with for more, None at the end."""

    jobs: tuple[JobCard, ...]
    after: str | None
    schema: str = "nullbay.jobs/1"


@dataclass(frozen=True, slots=True)
class LotList:
    """Lots, active ones first."""

    lots: tuple[LotCard, ...]
    schema: str = "nullbay.lots/1"


@dataclass(frozen=True, slots=True)
class RecordList:
    """Finished records, newest first; `after` as in JobList."""

    records: tuple[RecordCard, ...]
    after: str | None
    schema: str = "nullbay.records/1"


@dataclass(frozen=True, slots=True)
class AskList:
    """Scans that wait for a person's answer, the oldest first."""

    scans: tuple[AskCard, ...]
    schema: str = "nullbay.scans/1"


@dataclass(frozen=True, slots=True)
class DestroyList:
    """Drives to be destroyed."""

    drives: tuple[DestroyCard, ...]
    schema: str = "nullbay.destroy-queue/1"


@dataclass(frozen=True, slots=True)
class OpenLot:
    """A lot to open; empty texts and null where something is not known, no bays for all."""

    reference: Annotated[str, Text(64, 1, NO_CONTROLS)]
    customer: Line
    site: Line
    source: Line
    work_order: Line
    data_category: DataCategory | None
    destination: Destination | None
    bays: Annotated[tuple[Id, ...], Items(BAYS_MAX)]

    def lot(self) -> Lot:
        """As the domain knows it."""
        return Lot(
            LotRef(self.reference),
            self.customer,
            self.site,
            self.source,
            self.work_order,
            self.data_category,
            self.destination,
        )

    def bay_ids(self) -> tuple[BayId, ...]:
        """For which bays; empty for all."""
        return tuple(BayId(bay) for bay in self.bays)


@dataclass(frozen=True, slots=True)
class Consent:
    """Consent to one plan: its hash, and the text that the bay shows for confirming."""

    plan_sha256: Digest
    confirm: Annotated[str, Text(256)]


@dataclass(frozen=True, slots=True)
class LotConsent:
    """Consent to the plans one has looked at, by their hashes."""

    plans: Annotated[tuple[Digest, ...], Items(BAYS_MAX)]


@dataclass(frozen=True, slots=True)
class Scan:
    """What a scanner typed."""

    text: Annotated[str, Text(256)]


@dataclass(frozen=True, slots=True)
class Bind:
    """Which drive a scan means: its insertion."""

    insertion: Id
