"""The console kept up to date: parts of the page, sent when what they show changed.

One pass looks at the whole station and sends what differs from what was sent before, so a page that
was cut off is right again with the first pass after it is back. Passes are at least a second apart,
however fast the station changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress

from nullbay.agent.desk import Desk
from nullbay.domain.canonical import canonical_json
from nullbay.domain.clock import Clock
from nullbay.domain.status import StationStatus
from nullbay.web.sse import Event

PASS_S = 1.0
QUIET_S = 5.0
"""How often somebody looks without being told of a change: locks, counters, clocks."""
FRAGMENT = "fragment"

Parts = Callable[[StationStatus], Mapping[str, tuple[object, Callable[[], str]]]]
"""From a picture: for each element id what it shows (compared), and how to render it."""


async def fragments(
    desk: Desk, clock: Clock, look: Callable[[], StationStatus], parts: Parts
) -> AsyncIterator[Event]:
    """Events `fragment` with `{"id", "html"}`, all of them first. `look` takes the picture."""
    woken = asyncio.Event()
    watch = asyncio.create_task(_watch(desk, woken), name="console-watch")
    sent: dict[str, object] = {}
    try:
        while True:
            woken.clear()
            status = look()
            current = parts(status)
            for name, (shown, render) in current.items():
                if name not in sent or sent[name] != shown:
                    sent[name] = shown
                    yield fragment(name, render())
            await clock.sleep(PASS_S)
            is_moving = any(bay.work or bay.countdown_s is not None for bay in status.bays)
            if not is_moving:
                with suppress(TimeoutError):
                    async with clock.timeout(QUIET_S):
                        await woken.wait()
    finally:
        watch.cancel()
        with suppress(asyncio.CancelledError):
            await watch


def fragment(name: str, html: str) -> Event:
    """One part of the page by its element's id."""
    return Event("", FRAGMENT, canonical_json({"id": name, "html": html}).decode())


async def _watch(desk: Desk, woken: asyncio.Event) -> None:
    async for _ in desk.changes(None):
        woken.set()
