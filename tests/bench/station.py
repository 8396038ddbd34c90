"""What a station with twenty-four bays costs its machine: CPU of the agent, idle and at work."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.processes import until
from support.site import LoopBay, Site, detach, fill, losetup

BAYS = 24
MIB = 1024 * 1024
IDLE_S = 60.0
SECTORS_PER_MIB = 2048
TICKS = os.sysconf("SC_CLK_TCK")
DONE = {"concluded", "refused"}


@dataclass(frozen=True)
class StationCost:
    """Shares of one CPU, 1.0 being all of it."""

    idle_share: float
    running_share: float
    running_s: float
    wiped_bytes: int


def station(scratch: Path, *, mib: int) -> StationCost:
    """Twenty-four idle bays for a minute, then all of them at work at once, as root."""
    with _site(scratch, mib) as site:
        until(lambda: all(site.bay(bay.name)["state"] == "present" for bay in site.bays))
        idle = _share(site.agent.pid, lambda: time.sleep(IDLE_S))
        began = time.monotonic()

        def work() -> None:
            for bay in site.bays:
                assert site.approve(site.bay(bay.name))
            until(lambda: _stands(site) <= DONE)

        running = _share(site.agent.pid, work)
        took = time.monotonic() - began
        return StationCost(idle, running, took, len(site.bays) * mib * MIB)


def _stands(site: Site) -> set[str]:
    status = site.status()
    return {bay["state"] for bay in status["bays"]} if status else {"unknown"}


def _share(pid: int, act: Callable[[], object]) -> float:
    before, began = _cpu_s(pid), time.monotonic()
    act()
    return (_cpu_s(pid) - before) / (time.monotonic() - began)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@contextmanager
def _site(scratch: Path, mib: int) -> Iterator[Site]:
    bays: list[LoopBay] = []
    try:
        for number in range(1, BAYS + 1):
            image = scratch / f"bay-{number}.img"
            fill(image, mib * SECTORS_PER_MIB)
            bays.append(LoopBay(f"A{number}", image, losetup(image)))
        site = Site(scratch / "site", bays, with_centre=False)
        try:
            site.start()
            yield site
        finally:
            site.end()
    finally:
        for bay in bays:
            detach(bay.device)
