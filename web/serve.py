"""Where a room listens: 127.0.0.1 unless told otherwise, and never in the clear by accident.

Any other address needs TLS files, or the settings must say `insecure_http = true`; then the problem
code `http.insecure` stands on every page and in every status.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from aiohttp import web

from nullbay.domain.errors import NullbayError

INSECURE = "http.insecure"
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
SHUTDOWN_S = 5.0
CONNECTIONS_MAX = 256


class ListenError(NullbayError):
    """The address cannot be listened on; nothing was opened."""

    code = "http.listen"


@dataclass(frozen=True, slots=True)
class Binding:
    """Address, port (0: any free one), TLS files (PEM, both or none), names it is known by."""

    host: str = "127.0.0.1"
    port: int = 0
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    insecure_http: bool = False
    names: tuple[str, ...] = ()

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def has_tls(self) -> bool:
        """Whether it speaks TLS."""
        return self.tls_certificate is not None and self.tls_key is not None

    @property
    def problems(self) -> tuple[str, ...]:
        """Codes that pages show in red: `http.insecure` where the wire can be read by others."""
        return () if self.is_loopback or self.has_tls else (INSECURE,)

    @property
    def hosts(self) -> frozenset[str]:
        """The names a Host header may hold (`web.security.Gate.hosts`)."""
        own = {bracketed(self.host)} if self.host not in {"0.0.0.0", "::", ""} else set()  # noqa: S104
        local = LOOPBACK_NAMES if self.is_loopback or not own else frozenset()
        return frozenset(name.lower() for name in {*own, *local, *self.names})

    def require_allowed(self) -> None:
        """Raises ListenError for settings that contradict each other, or open HTTP in the clear."""
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ListenError(
                "TLS needs a certificate and a key", next_step="Give both files, or none"
            )
        if self.problems and not self.insecure_http:
            raise ListenError(
                f"{self.host} can be reached from elsewhere, and there are no TLS files",
                next_step="Give tls_certificate and tls_key, or say insecure_http = true",
                code=INSECURE,
            )


@dataclass(frozen=True, slots=True)
class Served:
    """A running listener. `url` has no slash at its end."""

    url: str
    port: int
    runner: web.AppRunner

    async def stop(self) -> None:
        """Stop listening, end the streams, let running answers end."""
        await self.runner.cleanup()


async def serve(app: web.Application, binding: Binding) -> Served:
    """Listen, and answer until `stop`.

    Raises ListenError: settings that are refused, TLS files that do not fit, an address in use.
    """
    binding.require_allowed()
    tls = _tls(binding)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    site = _Site(runner, binding.host, binding.port, ssl_context=tls)
    try:
        await site.start()
    except OSError as error:
        await runner.cleanup()
        raise ListenError(
            f"Cannot listen on {binding.host} port {binding.port}: {error.strerror}",
            next_step="Free the port or choose another",
        ) from None
    port = int(runner.addresses[0][1])
    return Served(url_of(binding, port), port, runner)


class _Site(web.TCPSite):
    """Listens, and hangs up on whoever comes when `CONNECTIONS_MAX` are there.

    aiohttp waits for ever for a first request: strangers could take every file descriptor, and
    journal and records of this process would have none left.
    """

    async def start(self) -> None:
        """As `TCPSite.start`, with the cap."""
        await web.BaseSite.start(self)
        server = self._runner.server
        assert server is not None, "set up before"  # noqa: S101 - our own order of calls

        def meet() -> asyncio.BaseProtocol:
            return server() if len(server.connections) < CONNECTIONS_MAX else _Full()

        self._server = await asyncio.get_running_loop().create_server(
            meet, self._host, self._port, ssl=self._ssl_context, backlog=self._backlog
        )


class _Full(asyncio.Protocol):
    """No room for this connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hang up."""
        transport.close()


def url_of(binding: Binding, port: int) -> str:
    """What a person types; 0.0.0.0 and :: become the first name, or localhost."""
    host = bracketed(binding.host)
    if binding.host in {"0.0.0.0", "::", ""}:  # noqa: S104
        host = next(iter(binding.names), "localhost")
    return f"{'https' if binding.has_tls else 'http'}://{host}:{port}"


def bracketed(host: str) -> str:
    """An IPv6 address as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def _tls(binding: Binding) -> ssl.SSLContext | None:
    if binding.tls_certificate is None or binding.tls_key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(binding.tls_certificate, binding.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise ListenError(
            f"The TLS files cannot be used: {error}", next_step="Check certificate and key"
        ) from None
    return context
