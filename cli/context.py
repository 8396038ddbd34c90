"""Putting a station together for one command: settings, keys, journal, bench; real or from lab/.

A drive made of software is recognised by its description file. It gets a state directory of its own
(`demo` below the real one), so that no key, journal or ledger is ever shared with real drives.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import platform
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nullbay
from nullbay.agent.certify import Certifier, Station
from nullbay.agent.conduct import Conductor
from nullbay.agent.journal.store import FILE_NAME as JOURNAL_FILE
from nullbay.agent.journal.store import Journal
from nullbay.certs import transcript
from nullbay.certs.keys import FileSigner, load_or_create
from nullbay.cli.parser import DEFAULT_STATE
from nullbay.config import policies as policy_files
from nullbay.config import settings as setting_files
from nullbay.config.settings import Settings
from nullbay.domain.clock import Clock, SystemClock
from nullbay.domain.drive import Drive
from nullbay.domain.errors import NullbayError
from nullbay.domain.ids import BayId, LotRef, PolicyId
from nullbay.domain.lot import Lot, Person
from nullbay.domain.policy import Policy
from nullbay.domain.record import Build
from nullbay.domain.text import show
from nullbay.wipers.appendfile import sync_directory
from nullbay.wipers.bays import bay_of
from nullbay.wipers.bench_server import BenchService
from nullbay.wipers.guard import Pin
from nullbay.wipers.local import local_client
from nullbay.wipers.platform.clocksync import kernel_clock_sync
from nullbay.wipers.platform.discover import find_drive
from nullbay.wipers.platform.filelock import FileLock, LockedError
from nullbay.wipers.platform.hostfacts import LinuxHostFacts
from nullbay.wipers.platform.spawn import spawn
from nullbay.wipers.service import Bench, Host, Placement

LAB_BAY = BayId("lab")
LAB_PROCESS = "nullbay.lab.process"
KEY_FILES = ("station.pem", "bench.pem")
PERSON_ID_FORM = re.compile(r"[A-Za-z0-9._@-]{1,64}")
LOCK_PATIENCE_S = 5.0
LOCK_POLL_S = 0.1


class StateError(NullbayError):
    """The state directory is not what this station left; nothing was touched."""

    code = "state.unusable"


class UsageError(NullbayError):
    """The command was used wrongly; nothing was touched."""

    code = "usage.wrong"


def is_lab(device: str) -> bool:
    """A regular file describes a drive made of software; real drives are device nodes."""
    return Path(device).is_file()


def make_clock() -> SystemClock:
    """The clock of this machine."""
    return SystemClock(kernel_clock_sync)


def host_for(clock: Clock, *, lab: bool) -> Host:
    """The real host, or the one of the laboratory."""
    if not lab:
        return Host(clock, LinuxHostFacts(), find_drive, spawn)
    from nullbay.lab.hands import look
    from nullbay.lab.host import SimulatedHostFacts

    return Host(
        clock, SimulatedHostFacts(), lambda path: look(path, clock), lambda: spawn(LAB_PROCESS)
    )


def state_dir(arguments: Any, *, lab: bool) -> Path:
    """The state directory, made 0700 if it is not there."""
    given = arguments.state_dir or os.environ.get("NULLBAY_STATE_DIR") or DEFAULT_STATE
    top = Path(given).absolute()
    for path in (top, top / "demo") if lab else (top,):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
        if status.st_uid not in {0, os.geteuid()} or status.st_mode & 0o022:
            raise StateError(
                f"others may write to {path}",
                next_step="Run it as the user it belongs to (`sudo -u nullbay nullbay …` for an"
                " installed station), or give it to yours and chmod 700",
            )
    return top / "demo" if lab else top


def require_history(state: Path, keys: tuple[str, ...] = KEY_FILES) -> None:
    """Keys, journal and records of a state directory belong together. Raises StateError.

    A journal that is gone, and began anew, would silently forget failed drives; a key made anew
    would sign what follows as somebody else.
    """
    journal = state / JOURNAL_FILE
    kept = journal.is_file() and journal.stat().st_size > 0
    used = [name for name in ("jobs", "records") if any((state / name).glob("j-*"))]
    if used and not kept:
        raise StateError(
            f"{state} holds {' and '.join(used)} but no journal",
            next_step="Put the journal back, or begin with another state directory",
        )
    missing = [name for name in keys if kept and not (state / "keys" / name).exists()]
    if missing:
        raise StateError(
            f"{state} has a journal, but its key {missing[0]} is gone",
            next_step="Put the key back, or begin with another state directory",
        )


def load_settings(arguments: Any, state: Path | None) -> Settings:
    """Settings and pins. Raises ConfigError with every mistake."""
    return setting_files.load(arguments.config, state=state)


def load_policy(name: str | None, settings: Settings) -> Policy:
    """The policy asked for, else the default of the settings. Raises ConfigError, UsageError."""
    known = policy_files.load_policies(settings.policies_directory)
    if settings.default_policy is not None:
        policy_files.resolve(known, settings.default_policy)
    wanted = name or settings.default_policy
    if wanted is None:
        raise UsageError(
            "no policy was named", next_step="Say --policy; `nullbay config policies` lists them"
        )
    return policy_files.resolve(known, wanted)


def find_lot(reference: str | None, settings: Settings) -> Lot | None:
    """A lot of the settings; where none are configured, a reference alone is taken as it is."""
    if reference is None:
        return None
    return settings.lot(reference) if settings.lots else Lot(LotRef(reference))


def find_people(ids: list[str], settings: Settings) -> tuple[Person, ...]:
    """Operators by id; where none are configured, ids are taken as they are."""
    known = {one.operator_id: one.person() for one in settings.operators}
    if odd := [one for one in ids if not PERSON_ID_FORM.fullmatch(one)]:
        raise UsageError(
            f"{show(odd[0])!r} is no id of a person",
            next_step="Use 1 to 64 letters, digits and . _ @ -",
        )
    if not known:
        return tuple(Person("operator", one) for one in ids)
    if missing := [one for one in ids if one not in known]:
        raise UsageError(
            f"no operator is called {missing[0]!r}", next_step="See [[operator]] in the settings"
        )
    return tuple(known[one] for one in ids)


def placement(arguments: Any, settings: Settings, *, lab: bool) -> Placement:
    """Bays and pins. `--outside-bays` is honoured only for uid 0."""
    if lab:
        return Placement(bay_of=lambda _: LAB_BAY)
    outside = bool(arguments.outside_bays)
    if outside and os.geteuid() != 0:
        raise UsageError("--outside-bays is for root", next_step="Run it as root")
    pins = tuple(Pin(one.wwn, one.serial, one.model) for one in settings.pins)
    bays: Callable[[Drive], BayId | None] = lambda drive: bay_of(drive, settings.bays)  # noqa: E731
    return Placement(pins, bays, outside)


@dataclass(slots=True)
class StationParts:
    """An open station. `close` lets go of journal and lock."""

    state: Path
    settings: Settings
    clock: Clock
    make_service: Callable[[], BenchService]
    journal: Journal
    certifier: Certifier
    lock: FileLock

    @asynccontextmanager
    async def conductor(self) -> AsyncIterator[Conductor]:
        """A conductor on a bench of this process; at the end every drive is let go of."""
        async with local_client(self.make_service()) as client:
            yield Conductor(client, self.journal, self.certifier)

    async def recover(self) -> None:
        """Finish what a killed process left. Only while alone with the state directory."""
        async with self.conductor() as conductor:
            await conductor.recover()

    def close(self) -> None:
        """Let go."""
        self.journal.close()
        self.lock.release()


def open_station(arguments: Any, *, lab: bool, host: Host | None = None) -> StationParts:
    """Everything a wipe needs. Raises ConfigError, JournalError, LockedError, KeyFileError."""
    state = state_dir(arguments, lab=lab)
    require_history(state)
    settings = load_settings(arguments, state)
    clock = host.clock if host else make_clock()
    lock = _shared_lock(state, clock)
    station_key, bench_key = keys_of(state, lab=lab)
    policies = policy_files.load_policies(settings.policies_directory)
    records = state / "records"
    if not records.exists():
        records.mkdir(mode=0o700, exist_ok=True)
        sync_directory(state)
    journal = Journal(state, clock)
    made = build()
    name = settings.station or ("demo" if lab else platform.node())
    station = Station(
        name, settings.organization, settings.site, station_key, bench_key.public_key_pem
    )
    place = placement(arguments, settings, lab=lab)
    bench = Bench(state / "jobs", host or host_for(clock, lab=lab), made, place)

    def make_service() -> BenchService:
        return bench_service(bench, policies, bench_key)

    certifier = Certifier(journal, station, made, clock, records)
    parts = StationParts(state, settings, clock, make_service, journal, certifier, lock)
    lock.release()
    with suppress(LockedError):
        alone = FileLock(state / "lock", exclusive=True)
        try:
            asyncio.run(parts.recover())
        finally:
            alone.release()
    parts.lock = _shared_lock(state, clock)
    return parts


def bench_service(
    bench: Bench,
    policies: Mapping[PolicyId, Policy],
    bench_key: FileSigner,
    people: frozenset[str] | None = None,
) -> BenchService:
    """The bench with its key, for whoever may ask it; `people` may approve (None: anybody)."""
    return BenchService(
        bench,
        policies,
        lambda made: transcript.sign_transcript(made, bench_key),
        bench_key.public_key_pem,
        people=people,
    )


def _shared_lock(state: Path, clock: Clock) -> FileLock:
    """Beside other commands; one that starts may be tidying up for a moment. Raises LockedError."""
    until = clock.boottime() + LOCK_PATIENCE_S
    while True:
        try:
            return FileLock(state / "lock", exclusive=False)
        except LockedError:
            if clock.boottime() >= until:
                raise
        clock.wait_blocking(LOCK_POLL_S)


def keys_of(state: Path, *, lab: bool) -> tuple[FileSigner, FileSigner]:
    """Station key and bench key, made on first use, 0600."""
    folder = state / "keys"
    folder.mkdir(mode=0o700, exist_ok=True)
    prefix = "demo-" if lab else ""
    return (
        load_or_create(folder / "station.pem", prefix + "station"),
        load_or_create(folder / "bench.pem", prefix + "bench"),
    )


def build() -> Build:
    """Which nullbay this is: version, digest of its Python files, kernel, interpreter."""
    digest = hashlib.sha256()
    root = Path(nullbay.__file__).parent
    for file in sorted(
        path for room in root.iterdir() if room.is_dir() for path in room.rglob("*.py")
    ):
        digest.update(file.relative_to(root).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return Build(
        nullbay.__version__, digest.hexdigest(), platform.release(), platform.python_version()
    )
