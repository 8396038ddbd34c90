"""/v1: the station for scripts and the centre. Every handler asks the desk and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from aiohttp import web

from nullbay.agent.desk import (
    Approval,
    Change,
    Desk,
    DeskError,
    DriveHistory,
    JobCard,
    LotCard,
    ManifestReport,
    RecordFiles,
    ScanAnswer,
)
from nullbay.agent.web.metrics import MEDIA_TYPE as METRICS_TYPE
from nullbay.agent.web.metrics import Metrics
from nullbay.agent.web.people import People, person_of
from nullbay.agent.web.shapes import (
    AskList,
    BayList,
    Bind,
    ByBay,
    ById,
    ByIdentity,
    ByReference,
    Consent,
    DestroyList,
    DriveList,
    Health,
    JobList,
    LotConsent,
    LotList,
    Manifest,
    OpenLot,
    RecordList,
    Scan,
    Window,
)
from nullbay.agent.web.view import picture
from nullbay.config.roles import Act
from nullbay.domain.canonical import canonical_json
from nullbay.domain.codec import to_plain
from nullbay.domain.ids import IdentityKey
from nullbay.domain.status import BayStatus, StationStatus
from nullbay.web.routes import (
    Ask,
)
from nullbay.web.sse import Event, last_event_id

STATUSES = MappingProxyType(
    {
        "desk.unknown": 404,
        "desk.conflict": 409,
        "desk.refused": 409,
        "desk.forbidden": 403,
        "desk.malformed": 422,
        "desk.stopped": 503,
    }
)
"""The desk's codes; a reason code of the catalogue counts as desk.refused."""


@dataclass(frozen=True, slots=True)
class Api:
    """The handlers, with what they need."""

    desk: Desk
    people: People
    metrics: Metrics
    problems: tuple[str, ...] = ()

    async def healthz(self, ask: Ask[None, None]) -> Health:
        """Anonymous."""
        return Health(ok=True, mode=self.desk.status().mode)

    async def get_metrics(self, ask: Ask[None, None]) -> web.StreamResponse:
        """For Prometheus."""
        form = f"{METRICS_TYPE}; version=0.0.4; charset=utf-8"
        return web.Response(body=self.metrics.text(), headers={"Content-Type": form})

    async def status(self, ask: Ask[None, None]) -> StationStatus:
        """The picture now."""
        return picture(self.desk, self.problems)

    async def bays(self, ask: Ask[None, None]) -> BayList:
        """All of them."""
        return BayList(self.desk.status().bays)

    async def bay(self, ask: Ask[ByBay, None]) -> BayStatus:
        """One of them."""
        return bay_of(self.desk, ask.params.bay)

    async def drives(self, ask: Ask[None, None]) -> DriveList:
        """In bays now."""
        return DriveList(self.desk.drives())

    async def drive(self, ask: Ask[ByIdentity, None]) -> DriveHistory:
        """Present or past."""
        return self.desk.drive(IdentityKey(ask.params.identity))

    async def lots(self, ask: Ask[None, None]) -> LotList:
        """Known ones."""
        return LotList(self.desk.lots())

    async def lot(self, ask: Ask[ByReference, None]) -> LotCard:
        """One with its account."""
        return self.desk.lot(ask.params.reference)

    async def open_lot(self, ask: Ask[None, OpenLot]) -> LotCard:
        """Open."""
        by = person_of(ask, self.people, Act.LOTS)
        return await self.desk.open_lot(ask.body.lot(), ask.body.bay_ids(), by)

    async def close_lot(self, ask: Ask[ByReference, None]) -> LotCard:
        """Close."""
        by = person_of(ask, self.people, Act.LOTS)
        return await self.desk.close_lot(ask.params.reference, by)

    async def take_manifest(self, ask: Ask[Manifest, bytes]) -> ManifestReport:
        """A file with problems is answered with them, and not taken."""
        by = person_of(ask, self.people, Act.LOTS)
        params = ask.params
        return await self.desk.take_manifest(params.reference, params.name, ask.body, by)

    async def approve_lot(self, ask: Ask[ByReference, LotConsent]) -> JobList:
        """Arm what was looked at."""
        by = person_of(ask, self.people, Act.APPROVE, Act.CONCUR)
        jobs = await self.desk.approve_lot(ask.params.reference, ask.body.plans, by)
        return JobList(jobs, None)

    async def jobs(self, ask: Ask[Window, None]) -> JobList:
        """A window."""
        found = self.desk.jobs(after=ask.params.after, limit=ask.params.limit)
        return JobList(found, found[-1].id if len(found) == ask.params.limit else None)

    async def job(self, ask: Ask[ById, None]) -> JobCard:
        """One."""
        return self.desk.job(ask.params.id)

    async def approve(self, ask: Ask[ById, Consent]) -> JobCard:
        """Arm a plan."""
        by = person_of(ask, self.people, Act.APPROVE, Act.CONCUR)
        consent = Approval(ask.body.plan_sha256, ask.body.confirm)
        return await self.desk.approve(ask.params.id, consent, by)

    async def abort(self, ask: Ask[ById, None]) -> JobCard:
        """Conclude now, or cancel a countdown."""
        return await self.desk.abort(ask.params.id, person_of(ask, self.people, Act.ABORT))

    async def scan(self, ask: Ask[None, Scan]) -> ScanAnswer:
        """What a scanner typed."""
        return await self.desk.scan(ask.body.text, person_of(ask, self.people, Act.SCAN))

    async def asks(self, ask: Ask[None, None]) -> AskList:
        """Those in doubt."""
        return AskList(self.desk.asks())

    async def bind(self, ask: Ask[ById, Bind]) -> ScanAnswer:
        """To a drive."""
        by = person_of(ask, self.people, Act.SCAN)
        return await self.desk.settle(ask.params.id, ask.body.insertion, by)

    async def withdraw(self, ask: Ask[ById, None]) -> ScanAnswer:
        """Scanned by mistake."""
        return await self.desk.withdraw(ask.params.id, person_of(ask, self.people, Act.SCAN))

    async def destroy_queue(self, ask: Ask[None, None]) -> DestroyList:
        """All of it."""
        return DestroyList(self.desk.destroy_queue())

    async def records(self, ask: Ask[Window, None]) -> RecordList:
        """A window."""
        found = self.desk.records(after=ask.params.after, limit=ask.params.limit)
        return RecordList(found, found[-1].job if len(found) == ask.params.limit else None)

    async def bundle(self, ask: Ask[ById, None]) -> web.StreamResponse:
        """Signed."""
        return _file(self._files(ask).bundle, BUNDLE)

    async def archive(self, ask: Ask[ById, None]) -> web.StreamResponse:
        """Evidence."""
        return _file(self._files(ask).archive, ARCHIVE)

    async def pdf(self, ask: Ask[ById, None]) -> web.StreamResponse:
        """For people."""
        return _file(await self.desk.document(ask.params.id), PDF)

    async def events(self, ask: Ask[None, None]) -> AsyncIterator[Event]:
        """Changes from now on, or after Last-Event-ID."""
        last = last_event_id(ask.request)

        async def source() -> AsyncIterator[Event]:
            async for change in self.desk.changes(last):
                plain = canonical_json(to_plain(change)).decode()
                yield Event(event_id(change), change.topic, plain)

        return source()

    def _files(self, ask: Ask[ById, None]) -> RecordFiles:
        return self.desk.record(ask.params.id)


BUNDLE, ARCHIVE, PDF = "application/json", "application/zstd", "application/pdf"


def event_id(change: Change) -> str:
    """Run and number: where to go on."""
    return f"{change.run}-{change.number}"


def bay_of(desk: Desk, name: str) -> BayStatus:
    """One bay now. Raises DeskError desk.unknown."""
    for bay in desk.status().bays:
        if bay.bay == name:
            return bay
    raise DeskError("desk.unknown", "There is no such bay")


def _file(path: Path, media_type: str) -> web.StreamResponse:
    """A file to keep, under its own name."""
    if not path.is_file():
        raise DeskError("desk.unknown", "The file is not there", next_step="Look at the journal")
    name = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in path.name)
    return web.FileResponse(
        path,
        headers={
            "Content-Type": media_type,
            "Content-Disposition": f'attachment; filename="{name}"',
        },
    )
