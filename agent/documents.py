"""Documents of records, rendered beside the work: one at a time, never in a drive's way.

What counts is the signed bundle; its document is a view that can be made from it at any time, with
the same bytes. It is made soon after the record, or when somebody asks for it first.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from nullbay.agent.desk import RecordFiles
from nullbay.wipers.appendfile import write_durably

WAITING_MAX = 1_000
Render: TypeAlias = Callable[[bytes], bytes]
Call: TypeAlias = Callable[[Callable[[], bytes]], Awaitable[bytes]]


class Documents:
    """Renders what is asked for, and by and by what was recorded."""

    def __init__(self, render: Render, call: Call) -> None:
        """`call` runs the rendering where it may take its time."""
        self._render, self._call = render, call
        self._one_at_a_time = asyncio.Lock()
        self._waiting: deque[RecordFiles] = deque(maxlen=WAITING_MAX)
        self._something = asyncio.Event()

    def soon(self, files: RecordFiles) -> None:
        """Render this one when there is time."""
        self._waiting.append(files)
        self._something.set()

    async def require(self, files: RecordFiles) -> None:
        """Render this one now, unless it is there. Raises NullbayError, OSError."""
        async with self._one_at_a_time:
            if not files.pdf.is_file():
                made = await self._call(lambda: self._render(files.bundle.read_bytes()))
                write_durably(files.pdf, made, 0o644)

    async def run(self, failed: Callable[[Exception], object]) -> None:
        """Render what waits, for ever; one that fails is told and left."""
        while True:
            while self._waiting:
                try:
                    await self.require(self._waiting.popleft())
                except Exception as error:  # noqa: BLE001 - a view that fails harms no record
                    failed(error)
            self._something.clear()
            await self._something.wait()
