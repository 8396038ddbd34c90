"""Noticing drives: kernel and udev events as hints, sysfs as the truth.

An event only says which device to look at; once that device is quiet everything is listed again
and compared (settling.py). Everything is also listed every minute, after every error and whenever
events may have been lost, so a station without any event at all still notices, only later.
Listing runs in a thread of its own: a sysfs that hangs costs that thread and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol, Self

import pyudev  # type: ignore[import-untyped]

from nullbay.agent.settling import Pace, Presence, Settling
from nullbay.domain.clock import Clock
from nullbay.domain.drive import Drive
from nullbay.domain.ports import DriveEvent
from nullbay.domain.status import Why
from nullbay.domain.text import show
from nullbay.wipers.lanes import ThreadExecutor
from nullbay.wipers.platform.discover import list_drives

__all__ = ["DEAF", "FAILED", "STALLED", "Discovery", "Monitor", "Pace", "UdevMonitor"]

STALLED = "discovery.stalled"
FAILED = "discovery.failed"
DEAF = "discovery.deaf"

UDEV_CONTROL = Path("/run/udev/control")
NAME_MAX = 64
TAKEN_AT_ONCE = 1000
STEP_S = 0.001
"""The shortest wait: a timer may come a rounding error before its moment."""
BUFFER_BYTES = 8 << 20

Lister = Callable[[], tuple[Drive, ...]]
Caller = Callable[[Lister], Awaitable[tuple[Drive, ...]]]


class Monitor(Protocol):
    """Somebody who tells of events."""

    def is_current(self) -> bool:
        """Whether it listens where the events are now."""
        ...

    def close(self) -> None:
        """Tell nothing more; closing twice is harmless."""
        ...


MonitorOpener = Callable[[Callable[[str], None], Callable[[OSError], None]], Monitor]
"""Opens a monitor that tells kernel names of devices, or why it heard its last."""


class UdevMonitor:
    """Events of whole block devices, from udevd where it runs and from the kernel where not.

    udevd tells of a device after it worked on it, and only then is sysfs complete. Where it does
    not run, its source would be silent for ever.
    """

    def __init__(self, told: Callable[[str], None], failed: Callable[[OSError], None]) -> None:
        """Raises OSError where the kernel gives no socket."""
        self._told, self._failed = told, failed
        self.source = _source()
        try:
            context = pyudev.Context()
        except ImportError as error:  # libudev itself is not there
            raise OSError(str(error)) from error
        monitor = pyudev.Monitor.from_netlink(context, self.source)
        # partitions say nothing that their disk does not say; filtered in the kernel
        monitor.filter_by("block", "disk")
        with suppress(OSError):  # beyond the usual limit only for CAP_NET_ADMIN
            monitor.set_receive_buffer_size(BUFFER_BYTES)
        monitor.start()
        self._monitor = monitor
        self._loop = asyncio.get_running_loop()
        self._descriptor: int = monitor.fileno()
        self._is_open = True
        self._loop.add_reader(self._descriptor, self._take)

    def is_current(self) -> bool:
        """Not after udevd began or ceased to run."""
        return self._is_open and self.source == _source()

    def close(self) -> None:
        """Stop listening."""
        if self._is_open:
            self._is_open = False
            self._loop.remove_reader(self._descriptor)
            self._monitor = None

    def _take(self) -> None:
        """Take what is there; the loop asks again at once while there is more."""
        try:
            for _ in range(TAKEN_AT_ONCE):
                device = self._monitor.poll(timeout=0)
                if device is None:
                    return
                self._told(str(device.sys_name))
        except (OSError, UnicodeError) as error:
            self.close()
            self._failed(error if isinstance(error, OSError) else OSError(str(error)))


def _source() -> str:
    return "udev" if UDEV_CONTROL.exists() else "kernel"


class Discovery:
    """`domain.ports.DriveSource` of this machine; an async context manager, one consumer.

    Entering lists once: what is there then is `present` and does not arrive. Where even that first
    list stalls, what it brings later arrives as `after_reset`: nobody knows when it was plugged in.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        lister: Lister = list_drives,
        open_monitor: MonitorOpener = UdevMonitor,
        call: Caller | None = None,
        pace: Pace | None = None,
        changed: Callable[[], object] = lambda: None,
        beat: Callable[[], object] = lambda: None,
    ) -> None:
        """`call` runs the lister where it may block; `changed` hears that problems changed.

        `beat` is called whenever the loop comes round, at least once in a minute.
        """
        self._clock, self._lister, self._open_monitor = clock, lister, open_monitor
        self._call = call or ThreadExecutor(clock).call
        self._pace = pace or Pace()
        self._changed, self._beat = changed, beat
        self._presence = Presence(self._pace)
        self._settling = Settling(self._pace)
        self._something, self._news = asyncio.Event(), asyncio.Event()
        self._problems: dict[str, Why] = {}
        self._monitor: Monitor | None = None
        self._heard_from_s = 0.0
        self._reopen_at_s: float | None = None
        self._reopen_after_s = self._pace.reopen_s
        self._listing: asyncio.Task[tuple[Drive, ...]] | None = None
        self._listed_from_s = float("-inf")
        self._relist_at_s = 0.0
        self._has_begun = False
        self._late = False
        self._closed = False
        self._task: asyncio.Task[None] | None = None

    @property
    def problems(self) -> tuple[Why, ...]:
        """What keeps it from noticing drives: discovery.stalled, discovery.failed, discovery.deaf.

        Deaf means that events cannot be had: drives are noticed by the list of every minute.
        """
        return tuple(self._problems.values())

    @property
    def settling(self) -> frozenset[str]:
        """Kernel names of devices that had an event and are not quiet yet."""
        return self._settling.names

    def present(self) -> tuple[Drive, ...]:
        """Every drive that is there, as far as `events` has told."""
        return self._presence.present()

    async def events(self) -> AsyncIterator[DriveEvent]:
        """Arrivals and departures; what came and went while nobody asked is not told.

        Ends after leaving the context.
        """
        while True:
            self._news.clear()
            while (event := self._presence.next_event()) is not None:
                yield event
            if self._closed:
                return
            if self._task is not None and self._task.done():
                self._task.result()  # a defect must not look like an empty rack
            await self._news.wait()

    def look(self) -> None:
        """List everything now, without waiting for an event."""
        self._relist_at_s = self._clock.boottime()
        self._something.set()

    async def __aenter__(self) -> Self:
        """Listen first, then list once, for at most `patience_s`."""
        self._tend_monitor()
        self._relist_at_s = self._clock.boottime()
        self._task = asyncio.create_task(self._run(), name="discovery")
        self._task.add_done_callback(lambda _: self._news.set())
        with suppress(TimeoutError):
            async with self._clock.timeout(self._pace.patience_s):
                while not self._has_begun:
                    await self._news.wait()
                    self._news.clear()
        self._late = not self._has_begun
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Stop; a listing that hangs is left behind."""
        self._closed = True
        tasks = [task for task in (self._task, self._listing) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._monitor is not None:
            self._monitor.close()
        self._news.set()

    def _noticed(self, name: str) -> None:
        self._settling.noticed(name[:NAME_MAX], self._clock.boottime())
        self._something.set()

    def _deafened(self, error: OSError) -> None:
        """Events were lost or there will be none: list, and listen anew."""
        if self._monitor is not None:
            self._monitor.close()
            self._monitor = None
            if self._clock.boottime() - self._heard_from_s > self._pace.reopen_max_s:
                self._reopen_after_s = self._pace.reopen_s
        self._problem(DEAF, error)
        self._reopen_at_s = self._clock.boottime() + self._reopen_after_s
        self._reopen_after_s = min(2 * self._reopen_after_s, self._pace.reopen_max_s)
        self.look()

    async def _run(self) -> None:
        while True:
            self._beat()
            now_s = self._clock.boottime()
            if self._reopen_at_s is not None and self._reopen_at_s <= now_s:
                self._tend_monitor()
            if self._listing is not None:
                self._tend_listing(now_s)
            if self._listing is None and self._is_due(now_s):
                self._begin_listing(now_s)
            wait_s = max(STEP_S, self._next_s() - self._clock.boottime())
            with suppress(TimeoutError):
                async with self._clock.timeout(wait_s):
                    await self._something.wait()
            self._something.clear()

    def _next_s(self) -> float:
        """When something is to be done even if nothing happens."""
        moments = [] if self._reopen_at_s is None else [self._reopen_at_s]
        if self._listing is None:
            settled_s = self._settling.due_s()
            due_s = self._relist_at_s if settled_s is None else min(self._relist_at_s, settled_s)
            moments.append(max(due_s, self._listed_from_s + self._pace.spacing_s))
        elif STALLED not in self._problems:
            moments.append(self._listed_from_s + self._pace.patience_s)
        return min(moments, default=self._clock.boottime() + self._pace.relist_s)

    def _is_due(self, now_s: float) -> bool:
        if now_s < self._listed_from_s + self._pace.spacing_s:
            return False
        settled = self._settling.take_settled(now_s)
        return settled or self._relist_at_s <= now_s

    def _begin_listing(self, now_s: float) -> None:
        self._listed_from_s = now_s
        self._relist_at_s = now_s + self._pace.relist_s
        if self._monitor is not None and not self._monitor.is_current():
            self._monitor.close()
            self._tend_monitor()

        async def listed() -> tuple[Drive, ...]:
            return await self._call(self._lister)

        self._listing = asyncio.create_task(listed(), name="listing of drives")
        self._listing.add_done_callback(lambda _: self._something.set())

    def _tend_listing(self, now_s: float) -> None:
        listing = self._listing
        if listing is None or not listing.done():
            if self._listed_from_s + self._pace.patience_s <= now_s and STALLED not in (
                self._problems
            ):
                waited_s = round(now_s - self._listed_from_s)
                self._problem(STALLED, f"for {waited_s} s by now")
            return
        self._listing = None
        if self._problems.pop(STALLED, None) is not None:
            # what it read is from before it hung
            self._changed()
            self._relist_at_s = now_s
            return
        try:
            drives = listing.result()
        except Exception as error:  # noqa: BLE001 - whatever sysfs did, the next list may go well
            self._problem(FAILED, error)
            self._relist_at_s = min(self._relist_at_s, now_s + self._pace.retry_s)
            return
        if self._problems.pop(FAILED, None) is not None:
            self._changed()
        self._take(drives, now_s)

    def _take(self, drives: tuple[Drive, ...], now_s: float) -> None:
        if self._has_begun:
            again = self._presence.listed(
                drives,
                now_s,
                unsettled=self._settling.names,
                all_unsettled=self._settling.is_overrun,
            )
            for name in sorted(again):
                self._settling.noticed(name, now_s)
        elif self._late:
            self._presence.listed(drives, now_s, were_there=True)
        else:
            self._presence.begin(drives)
        self._has_begun = True
        self._news.set()

    def _tend_monitor(self) -> None:
        self._reopen_at_s = None
        try:
            self._monitor = self._open_monitor(self._noticed, self._deafened)
        except OSError as error:
            self._monitor = None
            self._deafened(error)
            return
        self._heard_from_s = self._clock.boottime()
        if self._problems.pop(DEAF, None) is not None:
            self._changed()
            # whatever happened in between, nobody told
            self.look()

    def _problem(self, code: str, evidence: object) -> None:
        self._problems[code] = Why(code, show(str(evidence), 200))
        self._changed()
