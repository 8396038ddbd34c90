"""Where a room may listen, under which names, and with what."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest
from aiohttp import web

from nullbay.web.routes import Ask, NoAnswer, Route, application
from nullbay.web.security import ANYONE, Gate, host_name
from nullbay.web.serve import Binding, ListenError, serve, url_of
from nullbay.web.sessions import FixedTokens, Sessions
from support.web import HandClock, client, run, served


def app_for(binding: Binding) -> web.Application:
    async def here(_ask: Ask[None, None]) -> None:
        return None

    clock = HandClock()
    gate = Gate(clock, FixedTokens([]), Sessions(clock), binding.hosts)
    return application([Route("GET", "/x", "x", ANYONE, here, NoAnswer())], gate)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_this_machine_alone_needs_nothing(host: str) -> None:
    binding = Binding(host)
    binding.require_allowed()
    assert binding.problems == ()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "bench.example", ""])  # noqa: S104
def test_any_other_address_needs_tls_or_a_plain_word(host: str, tmp_path: Path) -> None:
    with pytest.raises(ListenError) as caught:
        Binding(host).require_allowed()
    assert caught.value.code == "http.insecure"
    insecure = Binding(host, insecure_http=True)
    insecure.require_allowed()
    assert insecure.problems == ("http.insecure",)
    tls = Binding(host, tls_certificate=tmp_path / "c", tls_key=tmp_path / "k", insecure_http=True)
    tls.require_allowed()
    assert tls.problems == ()


def test_half_of_tls_is_refused() -> None:
    with pytest.raises(ListenError):
        Binding(tls_key=Path("k")).require_allowed()


def test_names_it_is_known_by() -> None:
    assert Binding().hosts == {"127.0.0.1", "localhost", "[::1]"}
    assert Binding("192.0.2.7", names=("Bench.Example",)).hosts == {"192.0.2.7", "bench.example"}
    assert url_of(Binding("0.0.0.0", names=("bench",)), 80) == "http://bench:80"  # noqa: S104
    assert url_of(Binding("::1"), 80) == "http://[::1]:80"


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("127.0.0.1:8420", "127.0.0.1"),
        ("LocalHost", "localhost"),
        ("[::1]:80", "[::1]"),
        ("[::1]", "[::1]"),
        ("a:b", ""),
        ("a:80:90", ""),
        ("a:", ""),
        ("[::1]x", ""),
        ("", ""),
    ],
)
def test_names_in_host_headers(header: str, name: str) -> None:
    assert host_name(header) == name


def test_an_address_in_use_is_told() -> None:
    async def main() -> None:
        async with served(app_for(Binding())) as first:
            with pytest.raises(ListenError, match="in use"):
                await serve(app_for(Binding()), Binding(port=first.port))

    run(main)


def test_it_speaks_tls(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-keyout", str(key), "-out", str(certificate)),
            *subject,
        ],
        check=True,
        capture_output=True,
    )

    async def main() -> None:
        binding = {"tls_certificate": certificate, "tls_key": key}
        async with served(app_for(Binding()), **binding) as listener:
            assert listener.url.startswith("https://")
            context = ssl.create_default_context(cafile=str(certificate))
            async with (
                client(listener.url) as session,
                session.get("/x", ssl=context) as reply,
            ):
                assert reply.status == 200
        wrong = Binding(tls_certificate=key, tls_key=certificate)
        with pytest.raises(ListenError):
            await serve(app_for(Binding()), wrong)

    run(main)
