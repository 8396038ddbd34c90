"""What changed, for whoever watches: a bounded past, numbered within one run of the centre."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

KEPT = 256


@dataclass(frozen=True, slots=True)
class Change:
    """Something changed: `topic` is station, record, finding, lot; `name` which one."""

    number: int
    topic: str
    name: str


class Changes:
    """The feed. Used on the event loop alone."""

    def __init__(self) -> None:
        """Nothing has changed yet."""
        self._recent: deque[Change] = deque(maxlen=KEPT)
        self._number = 0
        self._woken = asyncio.Event()

    def tell(self, topic: str, name: str) -> None:
        """Something changed now."""
        self._number += 1
        self._recent.append(Change(self._number, topic, name))
        self._woken.set()
        self._woken = asyncio.Event()

    async def after(self, last: int | None = None) -> AsyncIterator[Change]:
        """Changes after number `last` (None: from now); topic `reset` first where it is too old."""
        seen = self._number if last is None else last
        while True:
            oldest = self._recent[0].number if self._recent else self._number + 1
            if not oldest - 1 <= seen <= self._number:
                seen = self._number
                yield Change(seen, "reset", "")
            for one in tuple(self._recent):
                if one.number > seen:
                    seen = one.number
                    yield one
            if seen == self._number:
                await self._woken.wait()
