"""`nullbay wiperd`: the root service that works on drives, put together.

It believes its own configuration and nobody else's: whoever could write that could have any drive
wiped, so files that others may write are refused.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nullbay.certs.keys import FileSigner, load, load_or_create
from nullbay.cli import context, output
from nullbay.cli.context import StateError, UsageError
from nullbay.config import policies as policy_files
from nullbay.config import stdlog
from nullbay.config.credentials import Credential, credential_path
from nullbay.config.notify import Notifier, Watchdog
from nullbay.config.settings import DEFAULT_PATH, Settings
from nullbay.domain.drive import Drive
from nullbay.domain.errors import NullbayError
from nullbay.domain.ids import BayId
from nullbay.wipers.bays import bay_of
from nullbay.wipers.daemon import Daemon, Door
from nullbay.wipers.guard import Pin
from nullbay.wipers.platform.bayprint import now_of, read_bayprints, unmapped
from nullbay.wipers.platform.filelock import FileLock
from nullbay.wipers.service import Bench, Placement

LOOP = "event loop"
LOOP_WITHIN_S = 60.0
LINKS_MAX = 40


class UntrustedConfigurationError(NullbayError):
    """The configuration of a root daemon can be written by others; nothing was started."""

    code = "config.untrusted"


def wiperd(arguments: Any) -> int:
    """Serve until SIGTERM or a `stop` request; then drain."""
    stdlog.configure()
    state = _state_dir(arguments.state_dir)
    config = arguments.config if arguments.config is not None else DEFAULT_PATH
    require_trusted(config)
    lock = FileLock(state / "lock", exclusive=True)
    try:
        settings = context.load_settings(arguments, state)
        if settings.policies_directory is not None:
            require_trusted(settings.policies_directory)
        uid, gid = _agent(arguments.agent_user)
        asyncio.run(
            _serve(state, settings, config, Door(arguments.socket, gid, frozenset({0, uid})))
        )
    finally:
        lock.release()
    return 0


async def _serve(state: Path, settings: Settings, config: Path, door: Door) -> None:
    clock = context.make_clock()
    pins = tuple(Pin(one.wwn, one.serial, one.model) for one in settings.pins)
    place = Placement(pins, lambda drive: _bay_of(drive, settings, config))
    bench = Bench(state / "jobs", context.host_for(clock, lab=False), context.build(), place)
    policies = policy_files.load_policies(settings.policies_directory)
    people = frozenset(one.operator_id for one in settings.operators) or None
    service = context.bench_service(bench, policies, _bench_key(state), people)
    notifier = Notifier.from_environment()
    watchdog = Watchdog.from_environment(notifier, clock)
    watchdog.watch(LOOP, LOOP_WITHIN_S)
    daemon = Daemon(service, door, notifier, lambda: watchdog.beat(LOOP))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, daemon.terminate)
    feeding = asyncio.create_task(watchdog.run())
    output.note(f"nullbay wiperd: {len(settings.bays)} bays, {len(pins)} pinned disks")
    try:
        await daemon.run()
    finally:
        feeding.cancel()


def _bay_of(drive: Drive, settings: Settings, config: Path) -> BayId | None:
    """Its bay, if that still is where it was learned: the machine may have changed meanwhile."""
    bay = bay_of(drive, settings.bays)
    if bay is None:
        return None
    prints = tuple(one for one in read_bayprints(config) if one.bay == bay)
    return None if bay in unmapped(settings.bays, prints, now_of(prints)) else bay


def require_trusted(path: Path) -> None:
    """Configuration of a root process: owned by root, written by nobody else, up to the root.

    Raises UntrustedConfigurationError naming the first file or folder that is not. Whoever runs
    this without being root may only trust himself.
    """
    for one in _with_parents(path):
        try:
            status = one.lstat()
        except FileNotFoundError:
            continue
        trusted = {0, os.geteuid()}
        is_sticky_folder = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
        is_open = status.st_mode & 0o022 and not is_sticky_folder
        if status.st_uid not in trusted or (is_open and not stat.S_ISLNK(status.st_mode)):
            who = "is not root's" if status.st_uid not in trusted else "can be written by others"
            raise UntrustedConfigurationError(
                f"{one} {who}: whoever writes it could have any drive wiped",
                next_step="chown root and chmod go-w, then start again",
            )


def _with_parents(path: Path) -> Iterator[Path]:
    """The path and what stands in it, each with every folder above and whatever links lead to."""
    seen: set[Path] = set()
    yield from _places(path.absolute(), seen)
    if path.is_dir():
        for file in sorted(path.glob("*.toml")):
            yield from _places(file.absolute(), seen)


def _places(path: Path, seen: set[Path], links: int = 0) -> Iterator[Path]:
    if links > LINKS_MAX:
        raise UntrustedConfigurationError(
            "links of the configuration lead in circles", next_step="Use files instead of links"
        )
    for one in reversed((path, *path.parents)):
        if one not in seen:
            seen.add(one)
            yield one
            if one.is_symlink():
                yield from _places(one.parent / one.readlink(), seen, links + 1)


def _state_dir(given: Path) -> Path:
    state = given.absolute()
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = state.stat()
    if status.st_uid not in {0, os.geteuid()} or status.st_mode & 0o022:
        raise StateError(
            f"others may write to {state}",
            next_step="Give it to the user nullbay wiperd runs as, and chmod 700",
        )
    return state


def _bench_key(state: Path) -> FileSigner:
    """The key handed in by the service manager, else the state directory's own, made at first."""
    own = state / "keys" / "bench.pem"
    path = credential_path(Credential.BENCH_KEY, own)
    if path != own:
        return load(path)
    own.parent.mkdir(mode=0o700, exist_ok=True)
    jobs = state / "jobs"
    if not own.exists() and jobs.is_dir() and any(jobs.glob("j-*")):
        raise StateError(
            f"{state} holds jobs, but its key bench.pem is gone",
            next_step="Put the key back, or begin with another state directory",
        )
    return load_or_create(own, "bench")


def _agent(name: str) -> tuple[int, int]:
    """The agent's uid, and the group that may reach the socket."""
    if name.isdigit():
        return int(name), int(name)
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise UsageError(
            f"there is no user {name!r}", next_step="Install the package, or say --agent-user"
        ) from None
    return entry.pw_uid, entry.pw_gid


COMMANDS = {"wiperd": wiperd}
