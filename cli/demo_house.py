"""The demo's house: a station and a centre in one process, with everything that is not simulated.

The bench, the journal, the console, the outbox, the centre and its database are the product; only
drives, host and who pushes them into bays are made up.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from nullbay.agent import pressure
from nullbay.agent.admission import NO_ROUTE
from nullbay.agent.assembly import Assembly, Outside
from nullbay.agent.rack import Place
from nullbay.agent.station import Station
from nullbay.agent.web.people import IntakePeople
from nullbay.certs.keys import FileSigner, PublicKey
from nullbay.cli import agent as station_service
from nullbay.cli import context
from nullbay.cli.demo_rack import Plugged
from nullbay.config import policies
from nullbay.config.roles import Role
from nullbay.config.server_settings import ServerSettings, StationEntry, UserEntry
from nullbay.config.server_settings_tables import UserRole
from nullbay.config.services import BayRule, CentreSettings, FileName, RecordsSettings, StationRules
from nullbay.config.settings import Operator, Settings
from nullbay.domain.clock import Clock
from nullbay.domain.drive import Bay, Drive
from nullbay.domain.ids import BayId
from nullbay.domain.lot import Person
from nullbay.lab import hands, loops
from nullbay.lab.host import SimulatedDriveSource, SimulatedHostFacts
from nullbay.server.centre import Centre
from nullbay.server.serve import running
from nullbay.server.web.login import link_path
from nullbay.web.serve import Binding, serve
from nullbay.wipers.bays import bay_of
from nullbay.wipers.client import BenchClient
from nullbay.wipers.lanes import ThreadExecutor
from nullbay.wipers.local import launch_local, local_client
from nullbay.wipers.service import Bench, Host, Placement
from nullbay.wipers.session import Surroundings

Connect = Callable[[], Awaitable[BenchClient]]

COUNTDOWN_S = 2
LINK_S = 3_600.0
MIB = 1024 * 1024
OPERATOR = Operator("op-demo", "Dana Demonstrator", "demonstrator", Role.OPERATOR)
PERSON: Person = OPERATOR.person()


@dataclass(frozen=True, slots=True)
class DemoHouse:
    """Everything that runs; `run` is what keeps the station working."""

    assembly: Assembly
    centre: Centre
    source: SimulatedDriveSource
    state: Path
    trust: tuple[PublicKey, ...]
    console: str
    console_login: str
    centre_url: str
    centre_login: str

    @property
    def station(self) -> Station:
        """The station's desk."""
        return self.assembly.station


@asynccontextmanager
async def open_house(
    folder: Path,
    plugged: list[Plugged],
    clock: Clock,
    *,
    unattended: bool = True,
    operator: Operator = OPERATOR,
) -> AsyncIterator[DemoHouse]:
    """Station and centre, listening on free ports of this machine, working until the end."""
    async with AsyncExitStack() as stack:
        state = _folder(folder / "station")
        station_key, bench_key = context.keys_of(state, lab=True)
        settings = _settings(plugged, clock, operator, unattended=unattended)
        owned = station_service.open_state(state, settings, clock, stack, lab=True)
        source = SimulatedDriveSource(clock)
        bench = await stack.enter_async_context(_bench(state, plugged, settings, bench_key, clock))
        devices = {_device_path(one, clock): one for one in plugged}
        assembly = Assembly(
            owned,
            Outside(
                clock=clock,
                source=source,
                connect=bench,
                pressure=lambda: pressure.read(state),
                route=lambda _: NO_ROUTE,
                unmapped=frozenset,
                problems=tuple,
                crashed=_crashed,
                beat=lambda _: None,
                device_of=lambda drive: devices[drive.attachment.device_path].device,
            ),
        )
        binding = Binding()
        web = station_service.station_web_of(assembly, owned, clock, binding)
        console = await serve(web.app, binding)
        stack.push_async_callback(console.stop)
        entrant = IntakePeople(owned.people).now(operator.operator_id)
        assert entrant is not None, "the demo's operator is in its settings"  # noqa: S101 - just written
        token = secrets.token_urlsafe(24)
        made = _centre_settings((station_key, bench_key), token)
        centre = await stack.enter_async_context(running(made, folder / "centre", clock))
        user = centre.site.people.find("demo")
        assert user is not None, "the demo's user is in its settings"  # noqa: S101 - just written
        key_file = folder / "centre.pub.pem"
        key_file.write_bytes(centre.centre.public_key_pem)
        token_file = state / "centre.token"
        token_file.touch(mode=0o600)
        token_file.write_text(token, "ascii")
        told = CentreSettings(
            centre.url, FileName(token_file.name, state), FileName(key_file.name, folder), 2
        )
        await stack.enter_async_context(station_service.delivering(assembly, owned, told, clock))
        trust = tuple(PublicKey.from_pem(one.public_key_pem) for one in (station_key, bench_key))
        yield DemoHouse(
            assembly,
            centre.centre,
            source,
            state,
            trust,
            console.url,
            console.url + web.login_path(entrant, ttl_s=LINK_S),
            centre.url,
            centre.url + link_path(centre.site, user, ttl_s=LINK_S),
        )


@asynccontextmanager
async def _bench(
    state: Path, plugged: list[Plugged], settings: Settings, key: FileSigner, clock: Clock
) -> AsyncIterator[Connect]:
    """A bench in this process, asked through the same codec as wiperd."""
    system = next(look(one.device, clock) for one in plugged if one.drive.is_system)
    around = Surroundings(
        clock, ThreadExecutor(clock), lambda device: loops.open_lab_drive(device, clock), "demo"
    )
    host = Host(
        clock,
        SimulatedHostFacts(system),
        lambda device: look(device, clock),
        lambda: launch_local(around),
    )
    place = Placement(bay_of=lambda drive: bay_of(drive, settings.bays))
    made = Bench(state / "jobs", host, context.build(), place)
    service = context.bench_service(made, policies.shipped(), key)
    async with local_client(service) as client:

        async def connect() -> BenchClient:
            return client

        yield connect


def _centre_settings(keys: tuple[FileSigner, FileSigner], token: str) -> ServerSettings:
    """A centre that takes drives made of software, on a free port, with one station and user."""
    return ServerSettings(
        name="nullbay demonstration",
        port=0,
        accept_simulated=True,
        stations=(
            StationEntry(
                station="demo",
                url="",
                station_keys=keys[0].public_key_pem,
                bench_keys=keys[1].public_key_pem,
                token_sha256=hashlib.sha256(token.encode()).hexdigest(),
                expires=None,
                poll_token="",
                poll_ca=None,
            ),
        ),
        users=(UserEntry("demo", "Dana Demonstrator", UserRole.ADMINISTRATOR, "", "", None),),
    )


def look(device: str, clock: Clock) -> Drive:
    """A drive of the demo as a listing shows it."""
    if device.startswith("/dev/"):
        return loops.look_at_loop(device, clock)
    return hands.look(device, clock)


def _settings(
    plugged: list[Plugged], clock: Clock, operator: Operator, *, unattended: bool
) -> Settings:
    bays = tuple(
        Bay(BayId(one.drive.bay), *one.drive.place, _device_path(one, clock)) for one in plugged
    )
    return Settings(
        organization="nullbay demonstration",
        station="demo",
        site="Demo site",
        bays=bays,
        operators=(operator,),
        rules=StationRules(unattended=unattended, countdown_s=COUNTDOWN_S),
        bay_rules=tuple(
            BayRule(BayId(one.drive.bay), unattended=unattended, policy=one.drive.policy)
            for one in plugged
        ),
        records=RecordsSettings(8 * MIB),
    )


def _device_path(one: Plugged, clock: Clock) -> str:
    return look(one.device, clock).attachment.device_path


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, mode=0o700)
    return path


def _crashed(place: Place, error: Exception) -> None:
    raise RuntimeError(f"the demo's bay {place.bay.bay_id} went wrong") from error
