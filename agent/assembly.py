"""Putting a station together, and running it: the same for the daemon, the demo and the simulation.

What differs comes in from outside: the clock, the bench, where drives are noticed, who delivers.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from nullbay.agent.admission import Limits, Pressure
from nullbay.agent.attend import House
from nullbay.agent.bench_link import BenchLink
from nullbay.agent.certify import Certifier
from nullbay.agent.certify import Station as Signing
from nullbay.agent.changes import Changes
from nullbay.agent.conduct import Conductor
from nullbay.agent.documents import Call, Documents, Render
from nullbay.agent.intake.people import People
from nullbay.agent.journal.outbox import Outbox
from nullbay.agent.journal.stays import Stays
from nullbay.agent.journal.store import Journal
from nullbay.agent.outbox import Deliverer, Standing
from nullbay.agent.rack import Place
from nullbay.agent.reception import Reception
from nullbay.agent.reserve import Reserve
from nullbay.agent.station import Identity, Parts, Station
from nullbay.agent.supervisor import Supervisor
from nullbay.agent.sweep import Call as CheckCall
from nullbay.agent.sweep import Sweeper
from nullbay.agent.turns import Turns
from nullbay.certs import ledger, pdf
from nullbay.certs.keys import PublicKey
from nullbay.config.settings import Settings
from nullbay.domain.clock import Clock
from nullbay.domain.drive import Drive
from nullbay.domain.errors import NullbayError
from nullbay.domain.ids import BayId, PolicyId
from nullbay.domain.policy import Policy
from nullbay.domain.ports import DriveSource, Signer
from nullbay.domain.record import Build
from nullbay.domain.status import Why
from nullbay.wipers.channel import ChannelClosedError
from nullbay.wipers.client import BenchClient
from nullbay.wipers.platform.topology import Route

CONNECT_AGAIN_S = 2.0
TICK_S = 1.0

Beat = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Outside:
    """What is different for a daemon, a demo and a simulation.

    `connect` gives a client of the bench. `pressure` and `route` are what turns depend on.
    `problems` tells what the parts outside complain of, `crashed` is told of what should not have
    happened, `beat` is called by each loop that is alive. `device_of` is
    what the bench opens a drive by, `draw` gives the bytes of ids, `render` a record's document,
    by `call`; `failed` is told what went wrong there.
    """

    clock: Clock
    source: DriveSource
    connect: Callable[[], Awaitable[BenchClient]]
    pressure: Callable[[], Pressure]
    route: Callable[[Drive], Route | None]
    unmapped: Callable[[], frozenset[BayId]]
    problems: Callable[[], tuple[Why, ...]]
    crashed: Callable[[Place, Exception], None]
    beat: Beat
    device_of: Callable[[Drive], str] = lambda drive: drive.attachment.nodes[0].name
    failed: Callable[[Exception], object] = lambda _: None
    draw: Callable[[int], bytes] = secrets.token_bytes
    render: Render = pdf.render
    call: Call = asyncio.to_thread
    check_call: CheckCall = asyncio.to_thread


@dataclass(frozen=True, slots=True)
class Owned:
    """What belongs to one state directory: opened and checked by whoever assembles."""

    state: Path
    journal: Journal
    station_key: Signer
    identity: Identity
    settings: Settings
    people: People
    policies: Mapping[PolicyId, Policy]
    resolve: Callable[[str], Policy | None]
    build: Build


class SourceEndedError(NullbayError):
    """The drive source ended while the station runs: it would not notice a drive any more."""

    code = "discovery.ended"


class Assembly:
    """A station with all its parts. `run` works until it is cancelled or a part fails."""

    def __init__(self, owned: Owned, outside: Outside) -> None:
        """Nothing runs yet."""
        self._owned, self._outside = owned, outside
        clock, journal = outside.clock, owned.journal
        self.records = owned.state / "records"
        self.records.mkdir(mode=0o700, exist_ok=True)
        self.changes = Changes(outside.draw(6).hex())
        self.link = BenchLink(outside.connect)
        self._signing = Signing(
            owned.identity.name,
            owned.identity.organization,
            owned.identity.site,
            owned.station_key,
            b"",
        )
        bays = tuple(bay.bay_id for bay in owned.settings.bays)
        reserve = Reserve(owned.state, owned.settings.records.reserve_bytes_per_job)
        self._is_away = False
        self._is_recovering = True
        self._documents = Documents(outside.render, outside.call)
        self.reception = Reception(
            Stays(journal),
            bays,
            owned.settings,
            owned.people,
            clock,
            self._certifier(b""),
            self.changes,
            outside.draw,
        )
        self.station = Station(
            Parts(
                identity=owned.identity,
                settings=owned.settings,
                policies=owned.policies,
                resolve=owned.resolve,
                journal=journal,
                records=self.records,
                reception=self.reception,
                reserve=reserve,
                documents=self._documents,
                changes=self.changes,
                clock=clock,
                problems=self._problems,
                refused=self._refused,
            )
        )
        self._turns = Turns(
            _limits(owned.settings),
            clock,
            self._tell,
            pressure=outside.pressure,
            route=outside.route,
        )
        house = House(
            clock=clock,
            bench=self.link.client,
            journal=journal,
            conductor=self._conductor,
            policies=owned.policies,
            changes=self.changes,
            turns=self._turns,
            reserve=reserve,
            device_of=outside.device_of,
            front=self.station,
        )
        self.supervisor = Supervisor(house, outside.source, owned.settings.bays, outside.unmapped)
        self.station.employ(self.supervisor, outside.crashed)
        self.deliverer: Deliverer | None = None
        self._sweeper = Sweeper(
            journal, clock, self.supervisor, self.link, self._conductor, outside.check_call
        )

    def ask_again(self) -> None:
        """What turns depend on is known better now."""
        self._turns.ask_again()

    def deliver_by(self, deliverer: Deliverer) -> None:
        """Who delivers what is recorded; without one everything waits in the outbox."""
        self.deliverer = deliverer
        self.station.deliver_by(deliverer)

    def stays_closed(self) -> int:
        """How many stays its ledger has closed."""
        bodies = (ledger.read_body(one.body).event for one in self._owned.journal.ledger())
        return sum(isinstance(one, ledger.InsertionClosed) for one in bodies)

    async def run(self) -> None:
        """Recover, then attend, deliver, and look after deadlines. A failing part ends it all."""
        try:
            async with asyncio.TaskGroup() as group:
                # what is recorded is delivered also while there is no bench
                if self.deliverer is not None:
                    group.create_task(self.deliverer.run(self._until_recorded))
                group.create_task(self._tick())
                group.create_task(self._documents.run(self._outside.failed))
                await self._recover()
                self._is_recovering = False
                await self.supervisor.run()
                raise SourceEndedError("nothing tells of drives any more")
        finally:
            await self.supervisor.stop()
            await self.link.close()

    async def _recover(self) -> None:
        """Close what the run before left open, as soon as there is a bench to ask."""
        while True:
            try:
                client = await self.link.client()
                await self._conductor(client).recover()
            except ChannelClosedError:
                self._is_away = True
                self.changes.tell("station")
                await self._outside.clock.sleep(CONNECT_AGAIN_S)
                continue
            self._is_away = False
            self.changes.tell("station")
            return

    async def _tick(self) -> None:
        """Once a second: deadlines of scans, the life sign; once a minute: what was forgotten."""
        count = 0
        while True:
            await self._outside.clock.sleep(TICK_S)
            self._outside.beat("station")
            if self.reception.tick():
                self.station.tags_changed()
            await self._see_bench()
            count += 1
            if count % 60 == 0:
                with suppress(ChannelClosedError):
                    await self._sweeper.sweep()

    async def _see_bench(self) -> None:
        """Look for another bench where the last one is gone, also while no bay asks for it."""
        if self.link.current is None and not self._is_recovering:
            with suppress(ChannelClosedError, TimeoutError, NullbayError):
                async with self._outside.clock.timeout(CONNECT_AGAIN_S):
                    await self.link.client()
        is_away = self.link.current is None
        if is_away != self._is_away:
            self._is_away = is_away
            self.changes.tell("station")
            for place in self.supervisor.places:  # whoever waits finds out that it is not held
                place.nudge.set()

    async def _until_recorded(self, seconds: float) -> None:
        """Wait so long; while everything is delivered, only until there is something new."""
        clock, outbox = self._outside.clock, Outbox(self._owned.journal)
        until = clock.boottime() + seconds
        while (left := until - clock.boottime()) > 0:
            await clock.sleep(min(left, TICK_S))
            is_idle = self.deliverer is not None and self.deliverer.standing is Standing.IDLE
            if is_idle and outbox.next() is not None:
                return

    def _problems(self) -> tuple[Why, ...]:
        away = (Why("bench.away"),) if self._is_away else ()
        return (*away, *self._outside.problems())

    def _refused(self) -> tuple[Why, ...]:
        """Why the bench refuses every drive, by its last greeting."""
        client = self.link.current
        found = client.greeting.refuses_all if client else ()
        return tuple(Why(one.code, one.evidence) for one in found)

    def _conductor(self, client: BenchClient) -> Conductor:
        key = client.greeting.bench_public_key_pem
        PublicKey.from_pem(key)
        certifier = self._certifier(key)
        return Conductor(
            client,
            self._owned.journal,
            certifier,
            draw=self._outside.draw,
            is_elsewhere=self.supervisor.is_present,
        )

    def _certifier(self, bench_key: bytes) -> Certifier:
        return Certifier(
            self._owned.journal,
            replace(self._signing, bench_public_key_pem=bench_key),
            self._owned.build,
            self._outside.clock,
            self.records,
            draw=self._outside.draw,
            render=None,
        )

    def _tell(self, place: Place) -> None:
        self.changes.tell("bay", place.bay.bay_id)


def _limits(settings: Settings) -> Limits:
    """Of the settings; without a number of jobs, one in every bay."""
    given = settings.admission
    return Limits(
        jobs_max=given.jobs_max,
        bytes_per_s_total=given.bytes_per_s_total,
        bytes_per_s_per_hba=given.bytes_per_s_per_hba,
        memory_available_min_bytes=given.memory_available_min_bytes,
        load_per_cpu_max=given.load_per_cpu_max,
        disk_bytes_per_job=settings.records.reserve_bytes_per_job,
    )
