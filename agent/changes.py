"""What changed, for everybody who watches: bounded, resumable, never waited for.

The last changes are kept in memory. A watcher that comes back with the id of the last one it saw
goes on from there; where that is too long ago, or of another run, it is told to begin anew.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from nullbay.agent.desk import Change

KEPT = 2_000
RESET = "reset"


class Changes:
    """The station's changes of this run."""

    def __init__(self, run: str) -> None:
        """`run` tells this run of the station from every other."""
        self._run = run
        self._number = 0
        self._kept: deque[Change] = deque(maxlen=KEPT)
        self._more = asyncio.Event()

    def tell(self, topic: str, name: str = "") -> None:
        """Something of this topic changed."""
        self._number += 1
        self._kept.append(Change(self._run, self._number, topic, name))
        self._more.set()
        self._more = asyncio.Event()

    async def after(self, last: str | None) -> AsyncIterator[Change]:
        """Changes after the one with the id `last`, `<run>-<number>`; None: those to come."""
        at = self._number if last is None else self._position(last)
        if at is None:
            at = self._number
            yield Change(self._run, at, RESET, "")
        while True:
            more = self._more
            behind = [one for one in self._kept if one.number > at]
            if behind and behind[0].number > at + 1:
                at = self._number
                yield Change(self._run, at, RESET, "")
                continue
            for one in behind:
                at = one.number
                yield one
            if not behind:
                await more.wait()

    def _position(self, last: str) -> int | None:
        run, _, number = last.rpartition("-")
        if run != self._run or not number.isdecimal() or len(number) > 19:
            return None
        at = int(number)
        oldest = self._kept[0].number if self._kept else self._number + 1
        return at if oldest - 1 <= at <= self._number else None
