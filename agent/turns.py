"""Turns: who of the approved may start now, by admission, asked again and again.

A drive waits for its turn without holding anything. Whoever waits is asked about whenever somebody
else is done, and every few seconds besides, because load and memory change by themselves.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from nullbay.agent.admission import (
    NO_ROUTE,
    Asking,
    Limits,
    Pressure,
    Running,
    decide,
    expected_bytes_per_s,
)
from nullbay.agent.rack import Place
from nullbay.domain.clock import Clock
from nullbay.domain.drive import Drive
from nullbay.wipers.platform.topology import Route

ASK_EVERY_S = 5.0


class Turns:
    """Everybody who waits or works."""

    def __init__(
        self,
        limits: Limits,
        clock: Clock,
        told: Callable[[Place], object],
        *,
        pressure: Callable[[], Pressure],
        route: Callable[[Drive], Route | None] = lambda _: NO_ROUTE,
    ) -> None:
        """`told` is called when the reasons of a waiting place changed.

        `route` is None for a drive whose way is being looked up: nobody starts before it is known.
        """
        self._limits, self._clock, self._told = limits, clock, told
        self._pressure, self._route = pressure, route
        self._waiting: dict[str, tuple[Place, float]] = {}
        self._running: dict[str, Place] = {}

    @asynccontextmanager
    async def turn(self, place: Place) -> AsyncIterator[bool]:
        """Wait for the turn of a place; False where its drive went, or it was called off."""
        bay = place.bay.bay_id
        self._waiting[bay] = (place, self._clock.boottime())
        try:
            while not (_is_over(place) or self._may_start(place)):
                with suppress(TimeoutError):
                    async with self._clock.timeout(ASK_EVERY_S):
                        place.nudge.clear()
                        await place.nudge.wait()
        finally:
            del self._waiting[bay]
        if _is_over(place):
            yield False
            return
        self._running[bay] = place
        try:
            yield True
        finally:
            del self._running[bay]
            self.ask_again()

    def ask_again(self) -> None:
        """Something that decides about turns changed."""
        for one, _ in self._waiting.values():
            one.nudge.set()

    def _may_start(self, place: Place) -> bool:
        drives = {
            bay: one.drive
            for bay, one in (
                *((bay, one) for bay, (one, _) in self._waiting.items()),
                *self._running.items(),
            )
            if one.drive is not None
        }
        waiting = [
            Asking(bay, since, _path(drives[bay]), expected_bytes_per_s(drives[bay]))
            for bay, (_, since) in self._waiting.items()
        ]
        running = [
            Running(bay, _path(drives[bay]), _speed(one, drives[bay]))
            for bay, one in self._running.items()
        ]
        routes = {_path(one): self._route(one) or NO_ROUTE for one in drives.values()}
        if place.drive is not None and self._route(place.drive) is None:
            return False
        decision = decide(waiting, running, self._limits, self._pressure(), routes)
        bay = place.bay.bay_id
        why = tuple(one.why for one in decision.waits if one.name == bay)
        if why != place.why:
            place.why = why
            self._told(place)
        return bay in decision.start


def _is_over(place: Place) -> bool:
    return place.is_gone or place.is_called_off


def _path(drive: Drive) -> str:
    return drive.attachment.device_path


def _speed(place: Place, drive: Drive) -> int:
    """What it moves, once that is known."""
    measured = place.work.bytes_per_s if place.work else 0
    return measured or expected_bytes_per_s(drive)


def nothing_known() -> Pressure:
    """A host that says nothing of itself: it limits nothing."""
    return Pressure(None, None, None)
