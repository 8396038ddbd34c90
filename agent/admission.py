"""Which waiting jobs may start now, and why the others may not: pure, asked again at every change.

Oldest first. What the oldest waits for is kept for it: a younger job that would take of it waits
too, so a big one is never starved by small ones that always just fit. A job that asks for more than
a link carries starts when it has that link to itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from nullbay.domain.drive import Drive
from nullbay.domain.method import MediaKind, Transport
from nullbay.domain.status import Why
from nullbay.wipers.platform.topology import Route

JOBS_MAX = "queue.jobs-max"
HBA = "queue.hba-bandwidth"
TOTAL = "queue.total-bandwidth"
MEMORY = "queue.memory"
LOAD = "queue.load"
DISK = "queue.disk"

MEMORY_PER_JOB_BYTES = 96 << 20
"""A drive process with its buffers; what was just started does not show in free memory yet."""

NO_ROUTE = Route("", "", ())
_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """`[admission]` of the settings; 0 is no limit. `disk_free_min_bytes` stays free for records.

    `disk_bytes_per_job` is what each job's records may need.
    """

    jobs_max: int = 0
    bytes_per_s_total: int = 0
    bytes_per_s_per_hba: int = 0
    memory_available_min_bytes: int = 0
    load_per_cpu_max: Decimal = Decimal(0)
    disk_free_min_bytes: int = 0
    disk_bytes_per_job: int = 0


@dataclass(frozen=True, slots=True)
class Pressure:
    """How the host is. None where it could not be read, which then limits nothing."""

    memory_available_bytes: int | None
    load_per_cpu: Decimal | None
    disk_free_bytes: int | None


@dataclass(frozen=True, slots=True)
class Asking:
    """A job that wants to start: its name, when it began to wait, on which device path.

    `bytes_per_s` is what it is expected to move, see `expected_bytes_per_s`.
    """

    name: str
    since_s: float
    device_path: str
    bytes_per_s: int


@dataclass(frozen=True, slots=True)
class Running:
    """A job at work and what it moves: measured once it is known, else what was expected."""

    name: str
    device_path: str
    bytes_per_s: int


@dataclass(frozen=True, slots=True)
class Waits:
    """A job that may not start yet, and why."""

    name: str
    why: Why


@dataclass(frozen=True, slots=True)
class Decision:
    """Who starts now, oldest first, and who waits."""

    start: tuple[str, ...]
    waits: tuple[Waits, ...]


def expected_bytes_per_s(drive: Drive) -> int:
    """What an overwrite of this drive moves at best, by medium and interface, in bytes per second.

    Rather too much than too little: measured speed takes its place once the job runs.
    """
    media, transport = drive.observed.media, drive.observed.transport
    if transport is Transport.NVME:
        return 3000 * _MB
    if transport is Transport.USB:
        return 150 * _MB if media is MediaKind.MAGNETIC else 400 * _MB
    if media is MediaKind.FLASH:
        return 1100 * _MB if transport is Transport.SAS else 550 * _MB
    return 280 * _MB if media in (MediaKind.MAGNETIC, MediaKind.HYBRID) else 550 * _MB


def decide(
    waiting: Iterable[Asking],
    running: Iterable[Running],
    limits: Limits,
    pressure: Pressure,
    topology: Mapping[str, Route],
) -> Decision:
    """Who may start now. `topology` is the route of each device path; unknown ones share nothing.

    Calling it again with everybody it let start among the running ones lets nobody else start.
    """
    room = _Room(limits, pressure, topology)
    for one in running:
        room.take(one.device_path, one.bytes_per_s)
    room.starts_here()
    start: list[str] = []
    waits: list[Waits] = []
    for asking in sorted(waiting, key=lambda one: (one.since_s, one.name)):
        why = room.refusal(asking)
        if why is None:
            room.take(asking.device_path, asking.bytes_per_s)
            start.append(asking.name)
        else:
            waits.append(Waits(asking.name, why))
    return Decision(tuple(start), tuple(waits))


@dataclass(slots=True)
class _Use:
    """One shared thing: what it carries, what is taken, by how many, who is waited for."""

    bound: int
    taken: int = 0
    jobs: int = 0
    kept_for: str = ""


class _Room:
    """What is left while the waiting ones are gone through."""

    def __init__(self, limits: Limits, pressure: Pressure, topology: Mapping[str, Route]) -> None:
        self._limits, self._pressure, self._topology = limits, pressure, topology
        self._uses: dict[tuple[str, str], _Use] = {}
        self._jobs = 0
        self._started = 0
        self._stopped: Why | None = None

    def take(self, device_path: str, bytes_per_s: int) -> None:
        self._jobs += 1
        self._started += 1
        for use in self._of(device_path).values():
            use.taken += bytes_per_s
            use.jobs += 1

    def starts_here(self) -> None:
        """Those taken so far run already: memory and disk as they are know of them."""
        self._started = 0

    def refusal(self, asking: Asking) -> Why | None:
        """Why it may not start; what it waits for is then kept for it."""
        if self._stopped is None:
            self._stopped = self._whole_host()
        if self._stopped is not None:
            return self._stopped
        uses = self._of(asking.device_path)
        short = {
            key: use
            for key, use in uses.items()
            if use.kept_for or (use.jobs and use.taken + asking.bytes_per_s > use.bound)
        }
        if not short:
            return None
        (code, name), use = min(short.items())
        if use.kept_for:
            detail = f"{name}: kept for {use.kept_for}"
        else:
            detail = f"{name}: {use.taken} of {use.bound} bytes/s taken"
        for key, use in uses.items():
            if key in short:
                use.kept_for = use.kept_for or asking.name
            else:
                # or it would wait for this one as soon as the other is free
                use.taken += asking.bytes_per_s
                use.jobs += 1
        return Why(code, detail)

    def _whole_host(self) -> Why | None:
        limits, now = self._limits, self._pressure
        if limits.jobs_max and self._jobs >= limits.jobs_max:
            return Why(JOBS_MAX, f"{self._jobs} of {limits.jobs_max}")
        more = self._started + 1
        if now.memory_available_bytes is not None and limits.memory_available_min_bytes:
            left = now.memory_available_bytes - more * MEMORY_PER_JOB_BYTES
            if left < limits.memory_available_min_bytes:
                return Why(MEMORY, f"{now.memory_available_bytes} bytes available")
        if (
            now.load_per_cpu is not None
            and limits.load_per_cpu_max
            and now.load_per_cpu > limits.load_per_cpu_max
        ):
            return Why(LOAD, f"{now.load_per_cpu} per CPU")
        if now.disk_free_bytes is not None and (
            limits.disk_free_min_bytes or limits.disk_bytes_per_job
        ):
            left = now.disk_free_bytes - more * limits.disk_bytes_per_job
            if left < limits.disk_free_min_bytes:
                return Why(DISK, f"{now.disk_free_bytes} bytes free")
        return None

    def _of(self, device_path: str) -> dict[tuple[str, str], _Use]:
        """Everything shared on this path, by code and name."""
        route = self._topology.get(device_path, NO_ROUTE)
        bounds = {(HBA, link.name): link.bytes_per_s for link in route.links}
        if route.hba and self._limits.bytes_per_s_per_hba:
            bounds[HBA, f"adapter {route.hba}"] = self._limits.bytes_per_s_per_hba
        if self._limits.bytes_per_s_total:
            bounds[TOTAL, "all jobs"] = self._limits.bytes_per_s_total
        return {
            key: self._uses.setdefault(key, _Use(bound)) for key, bound in bounds.items() if bound
        }
