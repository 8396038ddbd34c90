"""`nullbay server`: the centre as a service, put together."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from nullbay.cli import context
from nullbay.config import logs
from nullbay.config.credentials import Credential, credential_path
from nullbay.config.notify import Notifier, Watchdog
from nullbay.config.server_settings import ServerSettings, load_server_settings
from nullbay.server.serve import look_after, open_centre
from nullbay.server.web.app import application_of, site_of
from nullbay.web.serve import Binding, serve

REVIEW_WITHIN_S = 180.0

log = logs.get("server")


def server(arguments: Any) -> int:
    """Serve until SIGTERM."""
    logs.configure()
    state = arguments.state_dir.absolute()
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings = load_server_settings(arguments.config)
    asyncio.run(_serve(settings, state))
    return 0


async def _serve(settings: ServerSettings, state: Path) -> None:
    clock = context.make_clock()
    notifier = Notifier.from_environment()
    watchdog = Watchdog.from_environment(notifier, clock)
    watchdog.watch("review", REVIEW_WITHIN_S)
    async with open_centre(settings, state, clock) as centre:
        binding = binding_of(settings)
        served = await serve(application_of(site_of(centre, clock, binding)), binding)
        log.info("server.listening", url=served.url)
        working = asyncio.create_task(look_after(centre, alive=lambda: watchdog.beat("review")))
        feeding = asyncio.create_task(watchdog.run())

        def stop() -> None:
            notifier.stopping()
            working.cancel()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        notifier.ready(served.url)
        try:
            with suppress(asyncio.CancelledError):
                await working
        finally:
            feeding.cancel()
            await served.stop()


def binding_of(settings: ServerSettings) -> Binding:
    """Where the centre listens."""
    key = settings.tls_key
    return Binding(
        host=settings.address,
        port=settings.port,
        tls_certificate=settings.tls_certificate,
        tls_key=credential_path(Credential.TLS_KEY, key) if key else None,
        insecure_http=settings.insecure_http,
        names=settings.hosts,
    )


COMMANDS: dict[str, Callable[[Any], int]] = {"server": server}
