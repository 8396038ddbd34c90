"""The centre as a service: what it opens, what runs beside it, how it stops."""

from __future__ import annotations

import asyncio
import os
import stat
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from nullbay.certs.keys import KeyFileError, load_or_create
from nullbay.config.server_settings import Limits, ServerSettings
from nullbay.domain.clock import SystemClock
from nullbay.domain.errors import MalformedError
from nullbay.server.serve import Running, RunningError, open_centre, running, serve
from nullbay.web.serve import ListenError
from support.centre import MadeStation

SETTINGS = ServerSettings(port=0, limits=Limits(reserve_bytes=0))


def test_it_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    one = MadeStation()
    settings = replace(SETTINGS, stations=(one.settings(),))

    async def run() -> None:
        stop, listens = asyncio.Event(), asyncio.Event()
        at: list[str] = []

        def ready(made: Running) -> None:
            at.append(made.url)
            listens.set()

        task = asyncio.create_task(serve(settings, tmp_path, SystemClock(), stop, ready=ready))
        await listens.wait()
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{at[0]}/healthz") as answer:
                assert answer.status == 200
            headers = {"Authorization": f"Bearer {one.token}", "Content-Type": "application/json"}
            async with session.post(
                f"{at[0]}/v1/heartbeats", data=one.status(), headers=headers
            ) as answer:
                assert answer.status == 204
            # Not even a station's token opens what people see.
            async with session.get(f"{at[0]}/v1/stations", headers=headers) as answer:
                assert answer.status == 403
        stop.set()
        await task
        # Everything was let go of: it can be started again.
        async with running(settings, tmp_path, SystemClock()) as again:
            assert (await again.centre.totals()).open_findings == 0

    asyncio.run(run())


def test_its_state_is_nobody_elses(tmp_path: Path) -> None:
    state = tmp_path / "new" / "state"

    async def run() -> None:
        async with open_centre(SETTINGS, state, SystemClock()) as centre:
            assert centre.public_key_pem.startswith(b"-----BEGIN PUBLIC KEY-----")

    asyncio.run(run())
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    for path in state.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_two_centres_never_share_a_state(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_centre(SETTINGS, tmp_path, SystemClock()):
            with pytest.raises(RunningError):
                async with open_centre(SETTINGS, tmp_path, SystemClock()):
                    pass

    asyncio.run(run())


def test_a_centre_for_drives_of_software_is_another_centre(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_centre(SETTINGS, tmp_path, SystemClock()):
            pass
        with pytest.raises(KeyFileError):
            async with open_centre(
                replace(SETTINGS, accept_simulated=True), tmp_path, SystemClock()
            ):
                pass

    asyncio.run(run())


def test_settings_that_cannot_work_stop_it_at_once(tmp_path: Path) -> None:
    one = MadeStation()
    same = replace(one.settings(), bench_keys=one.station_key.public_key_pem)
    twin = replace(MadeStation("bench-2").settings(), token_sha256=one.settings().token_sha256)
    none = replace(one.settings(), station_keys=b"no key")

    async def run() -> None:
        for stations in ((same,), (one.settings(), twin), (none,)):
            with pytest.raises(MalformedError):
                async with open_centre(
                    replace(SETTINGS, stations=stations), tmp_path, SystemClock()
                ):
                    pass
        with pytest.raises(ListenError):
            async with running(replace(SETTINGS, address="0.0.0.0"), tmp_path, SystemClock()):  # noqa: S104
                pass
        async with running(SETTINGS, tmp_path, SystemClock()):
            pass

    asyncio.run(run())


def test_keys_and_addresses_may_come_from_the_service_manager(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tmp_path / "credentials"
    key = load_or_create(given / "nullbay.receipt-key", "centre-of-credentials")
    (given / "nullbay.database-url").write_text(f"sqlite:///{tmp_path}/elsewhere.sqlite3\n")
    monkeypatch.setitem(os.environ, "CREDENTIALS_DIRECTORY", str(given))

    async def run() -> None:
        state = tmp_path / "state"
        async with open_centre(SETTINGS, state, SystemClock()) as centre:
            assert centre.public_key_pem == key.public_key_pem
        assert (tmp_path / "elsewhere.sqlite3").exists()
        assert not (state / "centre.sqlite3").exists()
        demo = replace(SETTINGS, accept_simulated=True)
        with pytest.raises(KeyFileError):
            async with open_centre(demo, tmp_path / "demo", SystemClock()):
                pass

    asyncio.run(run())
