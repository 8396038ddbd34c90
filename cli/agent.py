"""`nullbay agent`: the station as a service, put together from this machine's parts."""

from __future__ import annotations

import asyncio
import platform
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import nullbay
from nullbay.agent import pressure
from nullbay.agent.assembly import Assembly, Outside, Owned
from nullbay.agent.discovery import Discovery, Pace
from nullbay.agent.intake.people import People
from nullbay.agent.journal.store import Journal
from nullbay.agent.outbox import Deliverer
from nullbay.agent.post import HttpPost
from nullbay.agent.rack import Place
from nullbay.agent.station import Identity
from nullbay.agent.web.app import StationWeb, station_web
from nullbay.agent.web.people import IntakePeople
from nullbay.certs import ledger
from nullbay.certs.keys import FileSigner, PublicKey, load, load_or_create
from nullbay.cli import context
from nullbay.config import logs
from nullbay.config import policies as policy_files
from nullbay.config.credentials import Credential, credential_path
from nullbay.config.notify import Notifier, Watchdog
from nullbay.config.problems import ConfigError
from nullbay.config.services import CentreSettings, FileName
from nullbay.config.settings import DEFAULT_PATH, Settings
from nullbay.domain.canonical import canonical_json
from nullbay.domain.clock import Clock
from nullbay.domain.codec import to_plain
from nullbay.domain.drive import Bay, Drive
from nullbay.domain.ids import BayId
from nullbay.domain.policy import Policy
from nullbay.domain.status import Why
from nullbay.web.serve import Binding, serve
from nullbay.wipers.client import connect
from nullbay.wipers.platform.bayprint import now_of, read_bayprints, unmapped
from nullbay.wipers.platform.filelock import FileLock, LockedError
from nullbay.wipers.platform.topology import Route, route_of

TOKEN_MAX_BYTES = 4096
STATION_WITHIN_S = 30.0
DISCOVERY_WITHIN_S = 180.0
FINGERPRINT_S = 60.0

log = logs.get("agent")


def agent(arguments: Any) -> int:
    """Serve until SIGTERM; what the bench works on goes on without it."""
    logs.configure()
    state = context.state_dir(arguments, lab=False)
    try:
        lock = FileLock(state / "lock", exclusive=True)
    except LockedError as error:
        raise context.StateError(
            f"another nullbay works with {state}",
            next_step="Stop it first; one state directory has one station",
        ) from error
    try:
        asyncio.run(_serve(arguments, state))
    finally:
        lock.release()
    return 0


async def _serve(arguments: Any, state: Path) -> None:
    clock = context.make_clock()
    notifier = Notifier.from_environment()
    watchdog = Watchdog.from_environment(notifier, clock)
    watchdog.watch("station", STATION_WITHIN_S)
    watchdog.watch("discovery", DISCOVERY_WITHIN_S)
    settings = context.load_settings(arguments, state)
    async with AsyncExitStack() as stack:
        owned = open_state(state, settings, clock, stack)
        pace = Pace(settle_s=float(settings.rules.settle_s))
        discovery = await stack.enter_async_context(
            Discovery(clock, pace=pace, beat=lambda: watchdog.beat("discovery"))
        )
        machine = Machine(arguments.config or DEFAULT_PATH, settings.bays, clock)
        await machine.look()
        looking = asyncio.create_task(machine.run())
        stack.callback(looking.cancel)
        binding = binding_of(settings)
        assembly = Assembly(
            owned,
            Outside(
                clock=clock,
                source=discovery,
                connect=lambda: connect(arguments.socket, nullbay.__version__),
                pressure=lambda: pressure.read(state),
                route=machine.route,
                unmapped=machine.unmapped,
                problems=lambda: (
                    *discovery.problems,
                    *(Why(code) for code in binding.problems),
                ),
                crashed=_crashed,
                failed=_failed,
                beat=watchdog.beat,
            ),
        )
        machine.told = assembly.ask_again
        if settings.centre is not None:
            await stack.enter_async_context(delivering(assembly, owned, settings.centre, clock))
        made = station_web_of(assembly, owned, clock, binding)
        served = await serve(made.app, binding)
        stack.push_async_callback(served.stop)
        log.info("agent.listening", url=served.url)
        await _run(assembly, watchdog, notifier, served.url)


async def _run(assembly: Assembly, watchdog: Watchdog, notifier: Notifier, url: str) -> None:
    """Until SIGTERM or SIGINT; a part that fails ends the process, and its manager restarts it."""
    loop = asyncio.get_running_loop()
    working = asyncio.create_task(assembly.run())
    feeding = asyncio.create_task(watchdog.run())

    def stop() -> None:
        notifier.stopping("letting go of the bays")
        assembly.station.stop_starting()
        working.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    notifier.ready(url)
    try:
        with suppress(asyncio.CancelledError):
            await working
    finally:
        feeding.cancel()


def open_state(
    state: Path, settings: Settings, clock: Clock, stack: AsyncExitStack, *, lab: bool = False
) -> Owned:
    """Journal and key of a state directory, checked. Raises JournalError, LedgerBrokenError."""
    key = _station_key(state, lab=lab)
    journal = Journal(state, clock)
    stack.callback(journal.close)
    ledger.check_chain(journal.ledger(), [PublicKey.from_pem(key.public_key_pem)])
    policies = policy_files.load_policies(settings.policies_directory)

    def resolve(name: str) -> Policy | None:
        try:
            return policy_files.resolve(policies, name)
        except ConfigError:
            return None

    name = settings.station or ("demo" if lab else platform.node())
    identity = Identity(
        name, settings.organization, settings.site, nullbay.__version__, simulated=lab
    )
    return Owned(
        state=state,
        journal=journal,
        station_key=key,
        identity=identity,
        settings=settings,
        people=People.of(settings, clock),
        policies=policies,
        resolve=resolve,
        build=context.build(),
    )


@asynccontextmanager
async def delivering(
    assembly: Assembly, owned: Owned, centre: CentreSettings, clock: Clock
) -> AsyncIterator[None]:
    """Deliver to the centre, and tell it how the station is where it wants to be told."""
    key = PublicKey.from_pem(_read(centre.public_key_file, None))
    token = _read(centre.token_file, Credential.CENTRE_TOKEN).decode("ascii").strip()

    async with HttpPost(centre.url, token, clock) as post:
        assembly.deliver_by(
            Deliverer(
                owned.journal,
                owned.identity.name,
                post,
                key,
                lambda job: _bundle_and_archive(assembly, job),
                clock,
                told=lambda: assembly.changes.tell("station"),
            )
        )
        telling = asyncio.create_task(_tell(assembly, post, clock, centre.heartbeat_s))
        try:
            yield
        finally:
            telling.cancel()


async def _tell(assembly: Assembly, post: HttpPost, clock: Clock, every_s: int) -> None:
    """The status, pushed; a centre that is away misses it."""
    while every_s:
        status = canonical_json(to_plain(assembly.station.status()))
        with suppress(Exception):
            await post.heartbeat(status)
        await clock.sleep(every_s)


def station_web_of(assembly: Assembly, owned: Owned, clock: Clock, binding: Binding) -> StationWeb:
    """API and console of a station."""
    return station_web(
        assembly.station,
        IntakePeople(owned.people),
        clock,
        binding,
        version=nullbay.__version__,
        status_token_sha256=owned.settings.http.status_token_sha256,
        idle_lock_s=float(owned.settings.rules.idle_lock_s),
    )


def binding_of(settings: Settings) -> Binding:
    """Where the console listens."""
    http = settings.http
    key = http.tls_key.located() if http.tls_key else None
    return Binding(
        host=http.address,
        port=http.port,
        tls_certificate=http.tls_certificate.located() if http.tls_certificate else None,
        tls_key=credential_path(Credential.TLS_KEY, key) if key else None,
        insecure_http=http.insecure_http,
        names=http.hosts,
    )


class Machine:
    """What sysfs tells of bays and adapters, read in a thread: a hanging one holds nobody up."""

    def __init__(self, folder: Path, bays: tuple[Bay, ...], clock: Clock) -> None:
        """`folder` is the configuration."""
        self._folder, self._bays, self._clock = folder, bays, clock
        self._unmapped: frozenset[BayId] = frozenset()
        self._routes: dict[str, Route] = {}
        self._wanted: set[str] = set()
        self._something = asyncio.Event()
        self.told: Callable[[], object] = lambda: None

    def unmapped(self) -> frozenset[BayId]:
        """Bays that are not where they were learned, as of the last look."""
        return self._unmapped

    def route(self, drive: Drive) -> Route | None:
        """The way to a drive; None until somebody has looked, which is done at once."""
        path = drive.attachment.device_path
        if path not in self._routes:
            self._wanted.add(path)
            self._something.set()
        return self._routes.get(path)

    async def look(self) -> None:
        """Once, now."""
        wanted, self._wanted = self._wanted, set()
        self._routes |= await asyncio.to_thread(lambda: {one: route_of(one) for one in wanted})
        self._unmapped = await asyncio.to_thread(self._compare)

    async def run(self) -> None:
        """Look now and then, for ever."""
        while True:
            with suppress(TimeoutError):
                async with self._clock.timeout(FINGERPRINT_S):
                    await self._something.wait()
            self._something.clear()
            await self.look()
            self.told()

    def _compare(self) -> frozenset[BayId]:
        prints = read_bayprints(self._folder)
        return frozenset(unmapped(self._bays, prints, now_of(prints)))


def _station_key(state: Path, *, lab: bool) -> FileSigner:
    """The key handed in by the service manager, else the state directory's own."""
    own = state / "keys" / "station.pem"
    path = credential_path(Credential.STATION_KEY, own)
    if path != own:
        return load(path)
    context.require_history(state, keys=("station.pem",))
    own.parent.mkdir(mode=0o700, exist_ok=True)
    return load_or_create(own, "demo-station" if lab else "station")


def _bundle_and_archive(assembly: Assembly, job: str) -> tuple[Path, Path]:
    files = assembly.station.record(job)
    return files.bundle, files.archive


def _read(name: FileName, credential: Credential | None) -> bytes:
    path = name.located()
    if credential is not None:
        path = credential_path(credential, path)
    with path.open("rb") as file:
        return file.read(TOKEN_MAX_BYTES)


def _crashed(place: Place, error: Exception) -> None:
    log.error("attendance.crashed", bay=place.bay.bay_id, job=place.job, exc_info=error)


def _failed(error: Exception) -> None:
    log.error("document.failed", exc_info=error)


COMMANDS: dict[str, Callable[[Any], int]] = {"agent": agent}
