"""`nullbay server`: the centre as a service."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nullbay.cli import context
from nullbay.config import logs
from nullbay.config.server_settings import ServerSettings, load_server_settings
from nullbay.server.serve import serve


def server(arguments: Any) -> int:
    """Serve until SIGTERM."""
    logs.configure()
    asyncio.run(_serve(load_server_settings(arguments.config), arguments.state_dir.absolute()))
    return 0


async def _serve(settings: ServerSettings, state: Path) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(settings, state, context.make_clock(), stop)


COMMANDS: dict[str, Callable[[Any], int]] = {"server": server}
