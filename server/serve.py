"""The centre as a running service: what is opened at start, what runs beside it, how it stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from nullbay.certs.keys import DEMO_PREFIX, FileSigner, KeyFileError, load, load_or_create
from nullbay.config.credentials import Credential, credential_path
from nullbay.config.notify import Notifier, Watchdog
from nullbay.config.server_settings import ServerSettings
from nullbay.domain.clock import Clock
from nullbay.domain.errors import NullbayError
from nullbay.server.centre import Centre
from nullbay.server.db.engine import open_database
from nullbay.server.db.intake import ensure_stations
from nullbay.server.evidence import Evidence
from nullbay.server.metrics import CentreMetrics
from nullbay.server.poll import Poller
from nullbay.server.web.app import application_of, site_of
from nullbay.server.web.site import Site
from nullbay.server.work import ThreadWork, Work
from nullbay.web.serve import Binding, Served
from nullbay.web.serve import serve as listen
from nullbay.wipers.platform.filelock import FileLock, LockedError

KEY_FILE = Path("keys") / "centre.pem"
KEY_NAME = "centre"
EVIDENCE_FOLDER = "evidence"
REVIEW = "review"
REVIEW_S = 30.0
REVIEW_WITHIN_S = 240.0
WRITERS_POSTGRESQL = 4

log = structlog.get_logger("nullbay.server")


class RunningError(NullbayError):
    """Another centre works with this state directory; nothing was opened."""

    code = "centre.running"


@asynccontextmanager
async def open_centre(
    settings: ServerSettings,
    state: Path,
    clock: Clock,
    *,
    metrics: CentreMetrics | None = None,
    work: Work | None = None,
) -> AsyncIterator[Centre]:
    """The centre, open: database in this build's form, evidence folder, key.

    The key is made on first use; a centre that takes drives of software has one named `demo-…`.
    Raises RunningError, DatabaseError, EvidenceError, KeyFileError, MalformedError, OSError.
    """
    _make_folder(state)
    with _only_one(state):
        async with _opened(settings, state, clock, metrics or CentreMetrics(), work) as centre:
            yield centre


@asynccontextmanager
async def _opened(
    settings: ServerSettings, state: Path, clock: Clock, metrics: CentreMetrics, work: Work | None
) -> AsyncIterator[Centre]:
    signer = _signer(state, simulated=settings.accept_simulated)
    database = open_database(_database_url(settings), state)
    own_work = work
    try:
        evidence = Evidence(
            settings.evidence or state / EVIDENCE_FOLDER,
            reserve_bytes=settings.limits.reserve_bytes,
        )
        names = tuple(one.station for one in settings.stations)
        ensure_stations(database, names, clock.now())
        if own_work is None:
            own_work = ThreadWork(writers=1 if database.is_sqlite else WRITERS_POSTGRESQL)
        yield Centre(settings, database, evidence, signer, clock, own_work, metrics)
    finally:
        if own_work is not None:
            own_work.close()
        database.close()


@dataclass(frozen=True, slots=True)
class Running:
    """A centre that answers. `url` has no slash at its end."""

    url: str
    centre: Centre
    site: Site
    served: Served


@asynccontextmanager
async def running(
    settings: ServerSettings,
    state: Path,
    clock: Clock,
    *,
    alive: Callable[[], None] = lambda: None,
) -> AsyncIterator[Running]:
    """The whole service: pages, API, deliveries, polls and reviews, until the block is left.

    Raises as `open_centre`, and ListenError.
    """
    binding = Binding(
        host=settings.address,
        port=settings.port,
        tls_certificate=settings.tls_certificate,
        tls_key=_tls_key(settings),
        insecure_http=settings.insecure_http,
        names=settings.hosts,
    )
    async with open_centre(settings, state, clock) as centre:
        site = site_of(centre, clock, binding)
        served = await listen(application_of(site), binding)
        after = asyncio.create_task(look_after(centre, alive=alive), name="look-after")
        try:
            yield Running(served.url, centre, site, served)
        finally:
            after.cancel()
            with suppress(asyncio.CancelledError):
                await after
            await served.stop()


async def serve(
    settings: ServerSettings,
    state: Path,
    clock: Clock,
    stop: asyncio.Event,
    *,
    notifier: Notifier | None = None,
    ready: Callable[[Running], None] = lambda _running: None,
) -> None:
    """Run until `stop` is set. `ready` is called once, when it listens.

    The service manager hears of readiness and stopping; its watchdog is fed while reviews go on.
    Raises as `running`.
    """
    manager = notifier or Notifier.from_environment()
    watchdog = Watchdog.from_environment(manager, clock)
    watchdog.watch(REVIEW, REVIEW_WITHIN_S)
    feeding = asyncio.create_task(watchdog.run(), name="watchdog")
    try:
        async with running(settings, state, clock, alive=lambda: watchdog.beat(REVIEW)) as made:
            ready(made)
            manager.ready(f"listening on {made.url}, {len(settings.stations)} stations")
            log.info("listening", url=made.url, stations=len(settings.stations))
            await stop.wait()
            manager.stopping("finishing deliveries")
    finally:
        feeding.cancel()
        with suppress(asyncio.CancelledError):
            await feeding


async def look_after(centre: Centre, *, alive: Callable[[], None] = lambda: None) -> None:
    """Poll the stations and review the findings until cancelled.

    `alive` is called after every review: a watchdog is fed only while the loop and the writing
    thread get on. What fails is logged and tried again at the next turn.
    """
    poller = Poller(
        centre.settings.stations,
        centre.deliveries,
        centre.settings.poll,
        centre.clock,
        centre.metrics,
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(poller.run(), name="poller")
        group.create_task(_review(centre, alive), name="review")


async def _review(centre: Centre, alive: Callable[[], None]) -> None:
    while True:
        try:
            await centre.review()
        except NullbayError as error:
            log.warning("review failed", code=error.code, detail=str(error))
        except Exception:
            # A fault of ours must not end the reviews to come; the log has it.
            log.exception("review failed", code="internal")
        alive()
        await centre.clock.sleep(REVIEW_S)


def _make_folder(path: Path) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


@contextmanager
def _only_one(state: Path) -> Iterator[None]:
    """One centre for one state directory. Raises RunningError."""
    try:
        lock = FileLock(state / "lock", exclusive=True)
    except LockedError:
        raise RunningError(
            f"another centre works with {state}",
            next_step="Stop that one, or use another state directory",
        ) from None
    try:
        yield
    finally:
        lock.release()


def _signer(state: Path, *, simulated: bool) -> FileSigner:
    """The key handed in by the service manager, else the state directory's own, made at first."""
    own = state / KEY_FILE
    path = credential_path(Credential.RECEIPT_KEY, own)
    if path == own:
        return load_or_create(own, f"{DEMO_PREFIX}-{KEY_NAME}" if simulated else KEY_NAME)
    key = load(path)
    if key.key_name.startswith(DEMO_PREFIX) != simulated:
        raise KeyFileError(
            f"{path} holds key {key.key_name!r}, which is for another kind of centre",
            next_step="Keys named demo… belong to centres that take drives of software, no others",
        )
    return key


def _database_url(settings: ServerSettings) -> str:
    """The address from the settings, or one with a password from the service manager."""
    nowhere = Path()
    path = credential_path(Credential.DATABASE_URL, nowhere)
    return settings.database if path == nowhere else path.read_text("utf-8").strip()


def _tls_key(settings: ServerSettings) -> Path | None:
    if settings.tls_key is None:
        return None
    return credential_path(Credential.TLS_KEY, settings.tls_key)
