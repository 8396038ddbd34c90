"""A whole station on virtual time: supervisor, attendances, reception, desk, and a bench.

Everything is the product but drives, host, clock and who pushes drives into bays.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from nullbay.agent.admission import NO_ROUTE
from nullbay.agent.assembly import Assembly, Outside, Owned
from nullbay.agent.desk import Approval
from nullbay.agent.intake.people import People
from nullbay.agent.journal.store import Journal
from nullbay.agent.rack import Place
from nullbay.agent.station import Identity, Station
from nullbay.agent.turns import nothing_known
from nullbay.certs import ledger
from nullbay.config.services import AdmissionSettings, BayRule, RecordsSettings, StationRules
from nullbay.config.settings import Operator, Settings
from nullbay.domain.drive import Bay, Drive
from nullbay.domain.ids import BayId, LotRef
from nullbay.domain.lot import DataCategory, Destination, Lot, Person
from nullbay.domain.policy import Policy
from nullbay.domain.status import BayState, BayStatus
from nullbay.lab import hands
from nullbay.lab.clock import VirtualClock
from nullbay.lab.description import DriveDescription
from nullbay.lab.host import SimulatedDriveSource
from nullbay.wipers.bays import bay_of
from nullbay.wipers.channel import ChannelClosedError
from nullbay.wipers.client import BenchClient
from nullbay.wipers.guard import Pin
from support.rack import BUILD, BenchProcess, Rack

OPERATOR = Person("operator", "op-1", "operator")
SECOND = Person("concurrence", "op-2", "supervisor")
LOT = Lot(
    LotRef("LOT-1"),
    customer="Customer",
    data_category=DataCategory.LOW,
    destination=Destination.RETAINED,
)


@dataclass
class Bench:
    """A rack whose bays each have a drive of their own, in or beside them."""

    rack: Rack
    clock: VirtualClock
    drives: dict[str, DriveDescription] = field(default_factory=dict)
    unattended: bool = False
    policy: str = "nist-clear"
    rules: dict[str, BayRule] = field(default_factory=dict)
    policies: dict[str, Policy] = field(default_factory=dict)
    reserve_bytes: int = 0
    pins: tuple[Pin, ...] = ()
    admission: AdmissionSettings = field(default_factory=AdmissionSettings)
    outs: list[Exception] = field(default_factory=list)
    unmapped: frozenset[BayId] = frozenset()
    employ: Callable[[Bench], None] = lambda _: None
    """What it gets before it runs: a deliverer, say."""
    runs: int = 0

    def __post_init__(self) -> None:
        self.folder = self.rack.folder / "drives"
        self.folder.mkdir(parents=True, exist_ok=True)
        for bay, description in self.drives.items():
            hands.make_file_drive(self.path(bay), description)
            hands.pull(self.path(bay))
        places = tuple(
            Bay(BayId(bay), 1, number, hands.device_path(self.path(bay)))
            for number, bay in enumerate(self.drives, start=1)
        )
        self.settings = Settings(
            station="simulation",
            bays=places,
            rules=StationRules(unattended=self.unattended),
            bay_rules=tuple(
                self.rules.get(one.bay_id, BayRule(one.bay_id, self.unattended)) for one in places
            ),
            operators=(Operator("op-1", "Olga Operator", "operator"),),
            default_policy=self.policy,
            records=RecordsSettings(self.reserve_bytes),
            admission=self.admission,
        )
        self.rack.pins = self.pins
        self.rack.bay_of = lambda drive: bay_of(drive, places) or BayId("")
        for policy in self.policies.values():
            self.rack.policies[policy.policy_id] = policy
        self.source = SimulatedDriveSource(self.clock)
        self.bench = self.rack.bench()
        self.journal: Journal
        self.running: asyncio.Task[None] | None = None

    def path(self, bay: str) -> Path:
        """The drive of a bay."""
        return self.folder / f"{bay}.json"

    async def start(self) -> Station:
        """The agent, on a bench that may be running already."""
        self.runs += 1
        self.journal = Journal(self.rack.state, self.clock)
        assert self.rack.signers

        def resolve(name: str) -> Policy | None:
            known = self.rack.policies.values()
            found = [one for one in known if one.policy_id.partition("/")[0] == name]
            return found[-1] if found else None

        self.assembly = Assembly(
            Owned(
                state=self.rack.state,
                journal=self.journal,
                station_key=self.rack.signers[0],
                identity=Identity("simulation", "", "", "0", simulated=True),
                settings=self.settings,
                people=People.of(self.settings, self.clock),
                policies=self.rack.policies,
                resolve=resolve,
                build=BUILD,
            ),
            Outside(
                clock=self.clock,
                source=self.source,
                connect=self._connect,
                pressure=nothing_known,
                route=lambda _: NO_ROUTE,
                unmapped=lambda: self.unmapped,
                problems=tuple,
                crashed=self._crashed,
                beat=lambda _: None,
                device_of=self._device,
                draw=random.Random(f"{self.rack.seed}/agent/{self.runs}").randbytes,
                render=lambda _: b"%PDF-",
                call=_inline,
                check_call=_inline_check,
            ),
        )
        self.employ(self)
        self.running = asyncio.get_running_loop().create_task(self.assembly.run())
        await self.clock.sleep(0.1)  # what is inserted from now on arrives
        return self.assembly.station

    async def stop(self) -> None:
        """The agent ends in good order; the bench goes on."""
        if self.running is not None:
            self.running.cancel()
            with suppress(asyncio.CancelledError):
                await self.running
        self.journal.close()

    async def end(self) -> None:
        """Everything ends."""
        await self.stop()
        await self.bench.end()
        assert not self.outs, self.outs

    def insert(self, bay: str) -> None:
        """Push the bay's drive in."""
        self.source.insert(self.path(bay))

    def pull(self, bay: str) -> None:
        """Pull it out."""
        self.source.remove(self.path(bay))

    def status(self, bay: str) -> BayStatus:
        """What the screen shows of a bay."""
        return next(one for one in self.assembly.station.status().bays if one.bay == bay)

    async def until(self, bay: str, *states: BayState, within_s: float = 300.0) -> BayStatus:
        """Wait until a bay stands like that."""
        return await self.when(lambda: self.status(bay).state in states, bay, within_s)

    async def when(self, ready: Callable[[], bool], bay: str, within_s: float = 300.0) -> BayStatus:
        """Wait until something is so."""
        until = self.clock.boottime() + within_s
        while not ready():
            if self.running is not None and self.running.done():
                self.running.result()
            assert self.clock.boottime() < until, self.status(bay)
            await self.clock.sleep(0.05)
        return self.status(bay)

    async def until_working(self, bay: str) -> None:
        """Wait until something of its drive is written."""

        def is_working() -> bool:
            work = self.status(bay).work
            return work is not None and work.done_bytes > 0

        await self.when(is_working, bay)

    async def approve(self, bay: str, by: Person = OPERATOR) -> None:
        """Consent to what the screen shows."""
        shown = self.status(bay)
        assert shown.insertion
        await self.assembly.station.approve(
            shown.insertion, Approval(shown.plan_sha256, shown.confirm), by
        )

    def entries(self) -> list[ledger.LedgerEvent]:
        """What the ledger says of drives, its chain checked."""
        return [one for one in self._every() if not isinstance(one, ledger.StationEvent)]

    def _every(self) -> list[ledger.LedgerEvent]:
        assert self.rack.signers
        entries = list(self.journal.ledger())
        ledger.check_chain(entries, self.rack.trust[:1])
        return [ledger.read_body(one.body).event for one in entries]

    def kinds(self) -> list[str]:
        """What the ledger says of drives, in short."""
        return [
            f"{one.kind} {one.cause.value}" if isinstance(one, ledger.InsertionClosed) else one.kind
            for one in self.entries()
        ]

    def lot_codes(self) -> list[str]:
        """What the ledger says of lots, in short."""
        return [one.code for one in self._every() if isinstance(one, ledger.StationEvent)]

    async def _connect(self) -> BenchClient:
        if self.bench.fate.dead:
            raise ChannelClosedError("no bench answers")
        client = BenchClient(self.bench.link(counted=True), "simulation")
        await client.hello()
        return client

    def _device(self, drive: Drive) -> str:
        there = drive.attachment.device_path
        return next(str(self.path(one.bay_id)) for one in self.settings.bays if one.match == there)

    def _crashed(self, place: Place, error: Exception) -> None:
        self.outs.append(error)


async def _inline_check(act: Callable[[], None]) -> None:
    act()


async def _inline(act: Callable[[], bytes]) -> bytes:
    return act()


def drive(serial: str, **more: object) -> DriveDescription:
    """A small drive."""
    plain = DriveDescription(sectors=20_000, model="LAB DISK", serial=serial, speed_mb_s=1)
    return replace(plain, **more)  # type: ignore[arg-type]


__all__ = ["LOT", "OPERATOR", "SECOND", "Bench", "BenchProcess", "drive"]
