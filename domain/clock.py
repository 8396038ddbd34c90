"""Time, the one named effect of this room: every wait in nullbay goes through a Clock.

Wall time says when, CLOCK_BOOTTIME says how long (it counts while the station sleeps and never
jumps), the boot id says which count. Evidence carries all three and the synchronisation state.
"""

from __future__ import annotations

import asyncio
import enum
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
UNKNOWN_BOOT = "unknown"


class ClockSync(enum.StrEnum):
    """Whether the kernel says its clock is synchronised; what it does not say is unknown."""

    SYNCHRONISED = "synchronised"
    UNSYNCHRONISED = "unsynchronised"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Stamp:
    """A moment: wall time (RFC 3339, UTC, microseconds), boot time in µs, which boot, sync."""

    at: str
    boottime_us: int
    boot_id: str
    sync: ClockSync


class Clock(Protocol):
    """All time and all waiting."""

    def now(self) -> Stamp:
        """This moment."""
        ...

    def boottime(self) -> float:
        """Seconds since boot, monotonic, counting suspend."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait in a task."""
        ...

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[object]:
        """Cancel what runs inside after `seconds` with TimeoutError; None never does."""
        ...

    def wait_blocking(self, seconds: float) -> None:
        """Wait in a thread of a drive process (never on the event loop)."""
        ...


class SystemClock:
    """The clock of this machine."""

    def __init__(self, sync: Callable[[], ClockSync] = lambda: ClockSync.UNKNOWN) -> None:
        """`sync` asks the kernel (`wipers.platform.kernel_clock_sync`); without it, unknown."""
        self._boot_id = read_boot_id()
        self._sync = sync

    def now(self) -> Stamp:
        """This moment, with the word of `sync` on synchronisation."""
        return Stamp(
            rfc3339(datetime.now(UTC)),
            int(self.boottime() * 1_000_000),
            self._boot_id,
            self._sync(),
        )

    def boottime(self) -> float:
        """CLOCK_BOOTTIME in seconds."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    async def sleep(self, seconds: float) -> None:
        """asyncio.sleep."""
        await asyncio.sleep(seconds)

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[object]:
        """asyncio.timeout."""
        return asyncio.timeout(seconds)

    def wait_blocking(self, seconds: float) -> None:
        """time.sleep."""
        time.sleep(seconds)


def read_boot_id() -> str:
    """The kernel's id of this boot, or `unknown` where /proc does not tell."""
    try:
        return BOOT_ID.read_text("ascii").strip()[:64] or UNKNOWN_BOOT
    except (OSError, UnicodeDecodeError):
        return UNKNOWN_BOOT


def rfc3339(moment: datetime) -> str:
    """UTC with microseconds and a Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
