"""A centre behind its HTTP door, and stations with true keys, ledgers and records: cheap ones."""

from __future__ import annotations

import hashlib
import io
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from structlog.testing import capture_logs

from nullbay.certs import archive, bundle, delivery, ledger, statement
from nullbay.certs.keys import FileSigner
from nullbay.certs.ledger import Head, LedgerEntry
from nullbay.certs.transcript import sign_transcript
from nullbay.config.server_settings import Limits, Poll, ServerSettings, StationEntry
from nullbay.domain.canonical import canonical_json
from nullbay.domain.clock import Clock, ClockSync, Stamp, SystemClock
from nullbay.domain.codec import to_plain
from nullbay.domain.ids import BayId, InsertionId, JobId, LotRef
from nullbay.domain.lot import InsertionEnd, Lot, Person
from nullbay.domain.outcome import JobEvidence
from nullbay.domain.record import ArchiveReference
from nullbay.domain.status import Action, BayState, BayStatus, Mode, StationStatus
from nullbay.domain.verdict import Verdict, conclude
from nullbay.server.centre import Centre
from nullbay.server.ingest_routes import STATUSES, StationTokens, routes
from nullbay.server.serve import open_centre
from nullbay.web.routes import application
from nullbay.web.security import Gate
from nullbay.web.sessions import Sessions
from support import evidence_factory as factory

ADMIN = Person("operator", "op-1", "technician")


@dataclass(frozen=True)
class Record:
    """A record with everything that has to be delivered before it, in order."""

    job: str
    insertion: str
    entries: tuple[LedgerEntry, ...]
    archive: bytes
    bundle: bytes
    verdict: Verdict

    @property
    def name(self) -> str:
        """As the address names it."""
        return delivery.envelope_sha256(self.bundle)

    @property
    def archive_sha256(self) -> str:
        return hashlib.sha256(self.archive).hexdigest()


@dataclass
class MadeStation:
    """A station that exists as keys and a ledger alone. `second` is its clock, of one boot."""

    name: str = "bench-1"
    simulated: bool = False
    station_key: FileSigner = field(init=False)
    bench_key: FileSigner = field(init=False)
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    poll_token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    entries: list[LedgerEntry] = field(default_factory=list)
    second: float = 10_000.0
    boot_id: str = factory.BOOT
    wall_s: float = 0.0
    """How wrong its wall clock is; its boot time never is."""

    def __post_init__(self) -> None:
        demo = "demo-" if self.simulated else ""
        self.station_key = factory.signer(f"{demo}{self.name}")
        self.bench_key = factory.signer(f"{demo}{self.name}-bench")

    @property
    def head(self) -> Head:
        return self.entries[-1].head if self.entries else ledger.EMPTY

    def settings(self, url: str = "", expires: date | None = None) -> StationEntry:
        """As the centre's configuration knows it."""
        return StationEntry(
            station=self.name,
            url=url,
            station_keys=self.station_key.public_key_pem,
            bench_keys=self.bench_key.public_key_pem,
            token_sha256=hashlib.sha256(self.token.encode()).hexdigest(),
            expires=expires,
            poll_token=self.poll_token,
            poll_ca=None,
        )

    def now(self) -> Stamp:
        self.second += 1
        wall = factory.stamp(self.second + self.wall_s).at
        return replace(factory.stamp(self.second, boot_id=self.boot_id), at=wall)

    def append(self, event: ledger.LedgerEvent) -> LedgerEntry:
        """The next entry of its ledger."""
        last = self.entries[-1] if self.entries else None
        self.entries.append(
            ledger.append(last, ledger.LedgerBody(self.now(), event), self.station_key)
        )
        return self.entries[-1]

    def event(self, code: str = "station.started") -> LedgerEntry:
        return self.append(ledger.StationEvent(code, ""))

    def start(self, job: str, insertion: str = "", **changes: Any) -> LedgerEntry:
        said = ledger.JobStarted(
            job_id=job,
            insertion_id=insertion or f"i-{job}",
            identity_key=factory.identity().key,
            identify_sha256=factory.identity().identify_sha256,
            plan_sha256="cc" * 32,
            policy_id="nist-clear/1",
            bay="A1",
            approvals=(ADMIN,),
            simulated=self.simulated,
        )
        return self.append(replace(said, **changes))

    def close(
        self,
        insertion: str,
        jobs: tuple[str, ...] = (),
        cause: InsertionEnd = InsertionEnd.REMOVED,
        scanned: str = "",
    ) -> LedgerEntry:
        return self.append(
            ledger.InsertionClosed(
                insertion, factory.identity().key, scanned, "A1", cause, jobs, ()
            )
        )

    def record(
        self,
        evidence: JobEvidence | None = None,
        *,
        lot: str = "LOT-1",
        station: str = "",
        signer: FileSigner | None = None,
        bench: FileSigner | None = None,
        start: bool = True,
        close: bool = True,
        **context: Any,
    ) -> Record:
        """A whole job: started, concluded with its record, its stay closed."""
        random = secrets.token_bytes(6)
        job = JobId(f"j-20261121T080000-{random.hex()}")
        said = evidence or factory.good_evidence(
            serial=f"S6EP{random.hex().upper()}", simulated=self.simulated
        )
        whose = replace(factory.LOT, reference=LotRef(lot)) if lot else None
        category = whose.data_category if whose else None
        destination = whose.destination if whose else None
        plan = replace(said.plan, data_category=category, destination=destination)
        said = replace(said, job_id=job, plan=plan)
        first = len(self.entries)
        if start:
            self.start(job, identity_key=said.identity.key)
        packed = archive.pack(factory.archive_members() | {"more": random})
        key, bench_key = signer or self.station_key, bench or self.bench_key
        made = factory.transcript(said)
        envelope = sign_transcript(made, bench_key)
        changes: dict[str, Any] = {
            "station": station or self.name,
            "statement_id": f"urn:uuid:{random.hex()}",
            "nonce": secrets.token_bytes(16),
            "chain_sequence": self.head.sequence + 1,
            "chain_previous": self.head.sha256,
            "lot": whose,
            "asset_tag": f"AT-{random.hex()}",
            "label_serial": "",
            "attempt": 1,
            "previous": (),
        } | context
        added = replace(
            factory.context(
                envelope,
                bench_key,
                archive=ArchiveReference(
                    f"{job}.evidence.tar.zst", hashlib.sha256(packed).hexdigest()
                ),
            ),
            **changes,
        )
        conclusion = conclude(said)
        payload = statement.build(added, made, conclusion, station_key_name=key.key_name)
        self.append(
            ledger.JobConcluded(
                job_id=job,
                verdict=conclusion.verdict,
                end=said.end,
                reasons=tuple(one.code for one in conclusion.findings),
                statement_id=added.statement_id,
                statement_sha256=hashlib.sha256(payload).hexdigest(),
                archive_sha256=added.archive.sha256,
            )
        )
        insertion = f"i-{job}"
        if close:
            self.close(insertion, (job,))
        return Record(
            job,
            insertion,
            tuple(self.entries[first:]),
            packed,
            bundle.make(payload, key),
            conclusion.verdict,
        )

    def status(self, **changes: Any) -> bytes:
        """What it says of itself, with one bay that is empty."""
        head = self.head
        said = StationStatus(
            station=self.name,
            organization="Example Recycling",
            site="Hall 3",
            version="0.1.0",
            at=self.now(),
            mode=Mode.WORKING,
            problems=(),
            bays=(bay(),),
            jobs=(),
            head_sequence=head.sequence,
            head_sha256=head.sha256,
            undelivered=0,
            oldest_undelivered_s=None,
            last_delivery=None,
            simulated=self.simulated,
        )
        return canonical_json(to_plain(replace(said, **changes)))


def bay(job: str | None = None, insertion: str | None = None) -> BayStatus:
    """A bay, empty or at work."""
    return BayStatus(
        bay=BayId("A1"),
        row=1,
        column=1,
        state=BayState.RUNNING if job else BayState.EMPTY,
        action=Action.LEAVE if job else Action.NONE,
        job=None if job is None else JobId(job),
        insertion=None if insertion is None else InsertionId(insertion),
    )


@dataclass
class Answered:
    """A station's view of an answer."""

    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def code(self) -> str:
        """The problem's code."""
        return str(json.loads(self.body)["code"])


class StandClock:
    """A clock that stands until it is put forward; waiting is that of the machine."""

    def __init__(self) -> None:
        self._real = SystemClock()
        self.second = 10_000.0
        self.boot_id = "centre-boot"

    def now(self) -> Stamp:
        return replace(factory.stamp(self.second), boot_id=self.boot_id, sync=ClockSync.UNKNOWN)

    def boottime(self) -> float:
        return self._real.boottime()

    async def sleep(self, seconds: float) -> None:
        await self._real.sleep(seconds)

    def timeout(self, seconds: float | None) -> Any:
        return self._real.timeout(seconds)

    def wait_blocking(self, seconds: float) -> None:
        self._real.wait_blocking(seconds)


@dataclass
class Door:
    """A centre and a client before its HTTP door. Tests put its clock forward."""

    centre: Centre
    client: TestClient[Any, Any]
    clock: StandClock

    async def put(
        self,
        path: str,
        body: Any,
        token: str,
        *,
        kind: str = "application/json",
        method: str = "PUT",
        headers: dict[str, str] | None = None,
    ) -> Answered:
        sent = {"Authorization": f"Bearer {token}", "Content-Type": kind} | (headers or {})
        if isinstance(body, bytes) and len(body) > 2**20:
            body = io.BytesIO(body)
        async with self.client.request(method, path, data=body, headers=sent) as answer:
            return await _answered(answer)

    async def entry(
        self, of: MadeStation, entry: LedgerEntry, *, token: str = "", station: str = ""
    ) -> Answered:
        body = delivery.encode_entry(station or of.name, entry)
        return await self.put(f"/v1/entries/{entry.sha256}", body, token or of.token)

    async def evidence(self, of: MadeStation, data: bytes, name: str = "") -> Answered:
        digest = name or hashlib.sha256(data).hexdigest()
        return await self.put(f"/v1/evidence/{digest}", data, of.token, kind="application/zstd")

    async def record(
        self, of: MadeStation, data: bytes, name: str = "", token: str = ""
    ) -> Answered:
        digest = name or delivery.envelope_sha256(data)
        return await self.put(f"/v1/records/{digest}", data, token or of.token)

    async def heartbeat(self, of: MadeStation, body: bytes = b"") -> Answered:
        return await self.put("/v1/heartbeats", body or of.status(), of.token, method="POST")

    async def entries(self, of: MadeStation) -> None:
        """Deliver what is not here yet."""
        page = await self.centre.station(of.name)
        for one in of.entries[page.card.head_sequence :]:
            assert (await self.entry(of, one)).status == 201

    async def deliver(self, of: MadeStation, made: Record) -> Answered:
        """Everything in order; the record's answer."""
        await self.entries(of)
        assert (await self.evidence(of, made.archive)).status in {200, 201}
        return await self.record(of, made.bundle)

    async def codes(self) -> list[str]:
        """Codes of the open findings after a review."""
        await self.centre.review()
        return sorted(one.code for one in await self.centre.findings())


async def _answered(answer: ClientResponse) -> Answered:
    return Answered(answer.status, await answer.read(), dict(answer.headers))


@asynccontextmanager
async def open_door(
    state: Path,
    stations: tuple[MadeStation, ...],
    *,
    database: str = "",
    accept_simulated: bool = False,
    limits: Limits | None = None,
    entries: tuple[StationEntry, ...] = (),
    clock: Clock | None = None,
) -> AsyncIterator[Door]:
    """A centre that knows these stations, listening on a port of its own."""
    settings = ServerSettings(
        database=database,
        accept_simulated=accept_simulated,
        limits=limits or Limits(reserve_bytes=0),
        poll=Poll(),
        stations=entries or tuple(one.settings() for one in stations),
    )
    stands = StandClock()
    # Tracebacks drawn for people take seconds each.
    with capture_logs():
        async with _centre(settings, state, clock or stands, stands) as door:
            yield door


@asynccontextmanager
async def _centre(
    settings: ServerSettings, state: Path, clock: Clock, stands: StandClock
) -> AsyncIterator[Door]:
    async with open_centre(settings, state, clock) as centre:
        doors = routes(
            centre.deliveries,
            SystemClock(),
            evidence_max_bytes=settings.limits.evidence_max_bytes,
            at_once=settings.limits.deliveries_at_once,
        )
        gate = Gate(
            SystemClock(),
            StationTokens(centre.deliveries),
            Sessions(SystemClock()),
            frozenset({"127.0.0.1"}),
        )
        app = application(doors, gate, statuses=STATUSES)
        async with TestClient(TestServer(app)) as client:
            yield Door(centre, client, stands)


def lot_of(reference: str) -> Lot:
    return replace(factory.LOT, reference=LotRef(reference))
