"""A station's HTTP on an event loop of its own, for test tools that block."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from aiohttp import web

from nullbay.web.serve import Binding, Served, serve

T = TypeVar("T")
WAIT_S = 60.0


class Background:
    """A loop in a thread. What belongs to it is called through `call`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop

    def call(self, what: Callable[[], T]) -> T:
        """Run a function there and return what it returns."""

        async def inside() -> T:
            return what()

        return asyncio.run_coroutine_threadsafe(inside(), self.loop).result(WAIT_S)


@contextmanager
def background() -> Iterator[Background]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="http", daemon=True)
    thread.start()
    try:
        yield Background(loop)
    finally:
        asyncio.run_coroutine_threadsafe(_end_all(), loop).result(WAIT_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(WAIT_S)
        loop.close()


async def _end_all() -> None:
    """Cancel what is left and let closing connections close."""
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    for _ in range(10):
        await asyncio.sleep(0.01)


@contextmanager
def listening(there: Background, app: web.Application, binding: Binding) -> Iterator[Served]:
    started = asyncio.run_coroutine_threadsafe(serve(app, binding), there.loop).result(WAIT_S)
    try:
        yield started
    finally:
        asyncio.run_coroutine_threadsafe(started.stop(), there.loop).result(WAIT_S)
