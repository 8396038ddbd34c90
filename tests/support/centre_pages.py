"""A real centre with something to look at, behind its real pages."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import aiohttp
import pytest

from nullbay.certs import archive, bundle, delivery, ledger, statement
from nullbay.certs.keys import FileSigner
from nullbay.certs.transcript import sign_transcript
from nullbay.config.server_settings import ServerSettings, StationEntry, UserEntry
from nullbay.domain.canonical import canonical_json
from nullbay.domain.clock import Stamp, rfc3339
from nullbay.domain.codec import to_plain
from nullbay.domain.errors import NullbayError
from nullbay.domain.ids import BayId, IdentityKey, InsertionId, JobId, LotRef
from nullbay.domain.lot import InsertionEnd, Lot
from nullbay.domain.outcome import JobEvidence
from nullbay.domain.record import ArchiveReference
from nullbay.domain.status import (
    Action,
    BayState,
    BayStatus,
    DriveCard,
    Mode,
    StationStatus,
    Why,
    WorkCard,
)
from nullbay.domain.text import RawText
from nullbay.domain.verdict import Verdict, conclude
from nullbay.server.cards import ManifestLine, Via
from nullbay.server.centre import Centre
from nullbay.server.people import PasswordHash, Role
from nullbay.server.serve import open_centre
from nullbay.server.web.app import application_of, site_of
from nullbay.server.web.site import Site
from nullbay.web.serve import Binding, Served
from support import evidence_factory as factory
from support.web import HandClock, client, served

KeyOrNone = TypeVar("KeyOrNone", IdentityKey, "IdentityKey | None")
STATION, OTHER_STATION, SILENT_STATION = "ams1-station-07", "ber2-station-01", "muc1-station-02"
PASSWORD = "a password of some length"
USERS = {
    "vera": ("Vera Viewer", Role.VIEWER),
    "aude": ("Aude Auditor", Role.AUDITOR),
    "otto": ("Otto Operator", Role.OPERATOR),
    "ada": ("Ada Administrator", Role.ADMINISTRATOR),
}
TOKENS = {name: f"token-of-{name}-0123456789" for name in USERS}
_HASH = PasswordHash.of(PASSWORD, salt=bytes(16))


def about(
    evidence: JobEvidence, serial: str | bytes, model: str, job: str, bay: str
) -> JobEvidence:
    """The same work on another drive in another bay, as another job."""
    old = evidence.identity.key
    who = replace(factory.identity(serial), model=RawText.of(model))
    who = replace(who, wwn=f"naa.5{hashlib.sha256(RawText.of(serial).raw).hexdigest()[:15]}")

    def renamed(key: KeyOrNone) -> KeyOrNone:
        return who.key if key == old else key

    return replace(
        evidence,
        job_id=JobId(job),
        identity=who,
        plan=replace(evidence.plan, identity_key=who.key),
        sessions=tuple(
            replace(
                one,
                attachment=replace(one.attachment, bay=BayId(bay)),
                attachment_end=(
                    replace(one.attachment_end, bay=BayId(bay)) if one.attachment_end else None
                ),
                identity_start=renamed(one.identity_start),
                identity_end=renamed(one.identity_end),
            )
            for one in evidence.sessions
        ),
    )


class MovedClock(HandClock):
    """What is moved by hand is the wall clock too."""

    def now(self) -> Stamp:
        real = super().now()
        wall = datetime.fromisoformat(real.at) + timedelta(seconds=self.shift_s)
        moved = real.boottime_us + int(self.shift_s * 1_000_000)
        return replace(real, at=rfc3339(wall), boottime_us=moved)


@dataclass
class StationAtWork:
    """A station as the centre knows it: keys, a ledger, and what it delivers."""

    centre: Centre
    name: str
    station: FileSigner
    bench: FileSigner
    last: ledger.LedgerEntry | None = None
    jobs: int = 0

    @property
    def head(self) -> ledger.Head:
        return self.last.head if self.last else ledger.EMPTY

    def stamp(self) -> Stamp:
        return factory.stamp(1000 + self.head.sequence)

    async def says(self, event: ledger.LedgerEvent) -> ledger.LedgerEntry:
        """Append to its ledger and deliver."""
        entry = ledger.append(self.last, ledger.LedgerBody(self.stamp(), event), self.station)
        data = delivery.encode_entry(self.name, entry)
        await self.centre.deliveries.take_entry(self.name, entry.sha256, data)
        self.last = entry
        return entry

    async def starts(self, evidence: JobEvidence, bay: str, insertion: str) -> None:
        plan = evidence.plan
        await self.says(
            ledger.JobStarted(
                job_id=evidence.job_id,
                insertion_id=insertion,
                identity_key=evidence.identity.key,
                identify_sha256=evidence.identity.identify_sha256,
                plan_sha256=plan.sha256,
                policy_id=plan.policy_id,
                bay=bay,
                approvals=factory.PEOPLE,
                simulated=plan.simulated,
            )
        )

    async def finishes(
        self,
        kind: str,
        serial: str | bytes,
        *,
        model: str = "SAMSUNG MZ7L33T8HBLT",
        lot: Lot | None = factory.LOT,
        asset_tag: str = "",
        label_serial: str = "",
        bay: str = "A1",
    ) -> str:
        """A drive from plug to pull; everything of it delivered. Returns the record's digest."""
        self.jobs += 1
        number = f"{self.jobs:012x}"
        job, insertion = f"j-20261121T080000-{number}", f"i-{number}"
        evidence = about(factory.EVIDENCE[kind](), serial, model, job, bay)
        category = lot.data_category if lot else None
        destination = lot.destination if lot else None
        plan = replace(evidence.plan, data_category=category, destination=destination)
        evidence = replace(evidence, plan=plan)
        simulated = self.centre.settings.accept_simulated
        evidence = replace(evidence, plan=replace(evidence.plan, simulated=simulated))
        await self.starts(evidence, bay, insertion)
        packed = archive.pack(factory.archive_members())
        archive_sha256 = hashlib.sha256(packed).hexdigest()
        made = factory.transcript(evidence)
        context = factory.context(
            sign_transcript(made, self.bench),
            self.bench,
            archive=ArchiveReference(f"{job}.evidence.tar.zst", archive_sha256),
            bay=bay,
            statement_id=f"urn:uuid:0193500c-7b5e-7c1e-9d2f-{number}",
            station=self.name,
            chain_sequence=self.head.sequence + 1,
            chain_previous=self.head.sha256,
            previous=(),
            attempt=1,
            lot=lot,
            asset_tag=asset_tag,
            label_serial=label_serial,
        )
        conclusion = conclude(evidence)
        payload = statement.build(context, made, conclusion, station_key_name=self.station.key_name)
        data = bundle.make(payload, self.station)
        await self.says(
            ledger.JobConcluded(
                job_id=job,
                verdict=conclusion.verdict,
                end=evidence.end,
                reasons=tuple(one.code for one in conclusion.findings),
                statement_id=context.statement_id,
                statement_sha256=hashlib.sha256(payload).hexdigest(),
                archive_sha256=archive_sha256,
            )
        )
        await self.says(
            ledger.InsertionClosed(
                insertion_id=insertion,
                identity_key=evidence.identity.key,
                scanned=label_serial,
                bay=bay,
                cause=InsertionEnd.REMOVED,
                jobs=(job,),
                refusals=(),
            )
        )

        async def pieces() -> AsyncIterator[bytes]:
            yield packed

        take = self.centre.deliveries
        await take.take_evidence(self.name, archive_sha256, len(packed), pieces())
        digest = delivery.envelope_sha256(data)
        await take.take_record(self.name, digest, data)
        return digest

    async def is_well(self, bays: tuple[BayStatus, ...], *, problems: tuple[Why, ...] = ()) -> None:
        """Its status, as the centre would get it by asking."""
        status = StationStatus(
            station=self.name,
            organization="Example Recycling B.V.",
            site=self.name[:4].upper(),
            version="0.1.0",
            at=self.centre.clock.now(),
            mode=Mode.WORKING,
            problems=problems,
            bays=bays,
            jobs=(),
            head_sequence=self.head.sequence,
            head_sha256=self.head.sha256,
            undelivered=3 if problems else 0,
            oldest_undelivered_s=5400 if problems else None,
            last_delivery=None,
            simulated=False,
        )
        await self.centre.deliveries.take_status(
            self.name, canonical_json(to_plain(status)), Via.POLL
        )


_KINDS: tuple[tuple[BayState, Action, Verdict | None, int], ...] = (
    (BayState.RUNNING, Action.LEAVE, None, 42),
    (BayState.CONCLUDED, Action.SHIP, Verdict.SANITIZED, 0),
    (BayState.RUNNING, Action.LEAVE, None, 88),
    (BayState.CONCLUDED, Action.SHRED, Verdict.NOT_SANITIZED, 0),
    (BayState.EMPTY, Action.NONE, None, 0),
    (BayState.CONCLUDED, Action.CALL, Verdict.INDETERMINATE, 0),
    (BayState.RUNNING, Action.LEAVE, None, 7),
    (BayState.COUNTDOWN, Action.LEAVE, None, 0),
    (BayState.CONCLUDED, Action.SHIP, Verdict.SANITIZED, 0),
    (BayState.STALLED, Action.CALL, None, 0),
)


def rack(rows: int, columns: int) -> tuple[BayStatus, ...]:
    """Bays in every state."""
    made = []
    for number in range(rows * columns):
        row, column = divmod(number, columns)
        state, action, verdict, percent = _KINDS[number % len(_KINDS)]
        drive = DriveCard(
            identity_key=IdentityKey(f"{number:064x}"),
            model="WDC WD40EFZX-68AWUN0",
            serial=f"WD-WX{number:08d}",
            wwn="",
            firmware="81.00A81",
            size_bytes=4_000_787_030_016,
            media="magnetic",
            transport="sata",
            device="/dev/sdx",
            simulated=False,
        )
        work = WorkCard(1, 2, "overwrite", percent, 100, 180_000_000, 3600, 0, 38)
        made.append(
            BayStatus(
                bay=BayId(f"{chr(65 + row)}{column + 1}"),
                row=row + 1,
                column=column + 1,
                state=state,
                action=action,
                drive=None if state is BayState.EMPTY else drive,
                insertion=None if state is BayState.EMPTY else InsertionId(f"i-{number}"),
                work=work if percent else None,
                countdown_s=12 if state is BayState.COUNTDOWN else None,
                verdict=verdict,
            )
        )
    return tuple(made)


@dataclass
class Shown:
    """A centre, its pages, its stations and the clock that is moved by hand."""

    centre: Centre
    site: Site
    clock: HandClock
    stations: dict[str, StationAtWork]
    digests: dict[str, str] = field(default_factory=dict)


@asynccontextmanager
async def empty(folder: Path, *, simulated: bool = False) -> AsyncIterator[Shown]:
    """A centre that knows three stations and has heard of none."""
    clock = MovedClock()
    demo = "demo-" if simulated else ""
    signers = {
        name: (factory.signer(f"{demo}{name}"), factory.signer(f"{demo}{name}-bench"))
        for name in (STATION, OTHER_STATION, SILENT_STATION)
    }
    settings = ServerSettings(
        name="Example Recycling",
        accept_simulated=simulated,
        stations=tuple(
            StationEntry(
                station=name,
                url=f"http://{name}.example.org:8443",
                station_keys=one.public_key_pem,
                bench_keys=bench.public_key_pem,
                token_sha256=hashlib.sha256(name.encode()).hexdigest(),
                expires=None,
                poll_token="",
                poll_ca=None,
            )
            for name, (one, bench) in signers.items()
        ),
        users=tuple(
            UserEntry(
                user_id=user_id,
                name=name,
                role=role,
                password=_HASH.encode(),
                token_sha256=hashlib.sha256(TOKENS[user_id].encode()).hexdigest(),
                expires=None,
            )
            for user_id, (name, role) in USERS.items()
        ),
    )
    async with open_centre(settings, folder, clock) as centre:
        yield Shown(
            centre,
            site_of(centre, clock, Binding()),
            clock,
            {
                name: StationAtWork(centre, name, one, bench)
                for name, (one, bench) in signers.items()
            },
        )


async def fill(shown: Shown) -> None:
    """A working day: two lots, every verdict, a manifest, findings."""
    first, second = shown.stations[STATION], shown.stations[OTHER_STATION]
    small = Lot(LotRef("LOT-2026-0501"), customer="Stadtwerke Nord", site="Berlin")
    kinds = ("good", "sampled", "excepted", "mismatched", "unwritable", "absent", "resumed")
    for number, kind in enumerate(kinds):
        serial = f"S6EPNX0T{number:06d}"
        digest = await first.finishes(
            kind,
            serial,
            asset_tag=f"AT-{number:07d}",
            label_serial=serial,
            bay=f"A{number + 1}",
        )
        shown.digests[kind] = digest
    shown.digests["again"] = await first.finishes(
        "good", "S6EPNX0T000004", asset_tag="AT-0000004", bay="B1"
    )
    shown.digests["surplus"] = await first.finishes("good", "ZZZ-NOT-LISTED", bay="B2")
    shown.digests["other"] = await second.finishes(
        "multi-unit", "5000C500A1B2C3D4", model="SEAGATE ST14000NM0048", lot=small
    )
    await first.says(
        ledger.InsertionClosed(
            "i-ffff", "", "S6EPNX0T000008", "A9", InsertionEnd.NOT_DETECTED, (), ()
        )
    )
    await shown.centre.keep_manifest(
        factory.LOT.reference,
        tuple(
            ManifestLine(n + 1, f"S6EPNX0T{n:06d}", f"AT-{n:07d}", "SAMSUNG MZ7L33T8HBLT")
            for n in range(9)
        ),
        "ada",
    )
    await first.is_well(rack(2, 6))
    await second.is_well(rack(2, 12), problems=(Why("disk.nearly-full", "2.1 GB left"),))
    await make_findings(shown)
    await shown.centre.review()


async def make_findings(shown: Shown) -> None:
    """A forged entry and a forged record arrive, and are refused."""
    one = shown.stations[STATION]
    forged = replace(one, station=factory.signer("somebody"))
    body = ledger.LedgerBody(one.stamp(), ledger.StationEvent("station.started", ""))
    entry = ledger.append(forged.last, body, forged.station)
    wrong = replace(entry, sequence=entry.sequence - 1, previous="11" * 32)
    wrong = replace(wrong, sha256=ledger.entry_hash(wrong.sequence, wrong.previous, wrong.body))
    for name, data in (
        (wrong.sha256, delivery.encode_entry(STATION, wrong)),
        ("22" * 32, b'{"schema":"nullbay.delivered-entry/9"}'),
    ):
        with pytest.raises(NullbayError):
            await shown.centre.deliveries.take_entry(STATION, name, data)


@asynccontextmanager
async def open_pages(shown: Shown) -> AsyncIterator[Served]:
    """The pages on a port of loopback."""
    async with served(application_of(shown.site)) as listener:
        yield listener


@asynccontextmanager
async def logged_in(listener: Served, user_id: str) -> AsyncIterator[aiohttp.ClientSession]:
    """A browser of this user's."""
    async with client(listener.url) as session:
        answer = await session.post(
            "/login",
            data={"user": user_id, "password": PASSWORD},
            headers={"Origin": listener.url},
        )
        assert answer.status == 200, await answer.text()
        yield session
