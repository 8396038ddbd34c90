"""The commands beside a running station, and what it does about a state directory that is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from nullbay.agent.journal.store import FILE_NAME
from support.processes import until
from support.site import TOKEN, LoopBay, Site, detach, fill, losetup

SECTORS = 8 * 2048
RATE = 2_000_000


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    image = tmp_path / "drive.img"
    fill(image, SECTORS)
    bay = LoopBay("A1", image, losetup(image))
    try:
        site = Site(tmp_path / "site", [bay], rate_bytes_per_s=RATE, with_centre=False)
        (site.folder / "token").write_text(TOKEN + "\n")
        try:
            site.start()
            yield site
        finally:
            site.end()
    finally:
        detach(bay.device)


def ask(site: Site, what: str, which: str, *more: str) -> int:
    done = site.nullbay(
        *(what, which, "--url", site.station_url, "--token-file", str(site.folder / "token")),
        *("--json", *more),
    )
    return done.returncode


def test_approving_and_aborting_from_a_terminal(site: Site) -> None:
    until(lambda: site.bay("A1")["state"] == "present", site.status)
    shown = site.bay("A1")
    right = ("--plan", shown["plan_sha256"], "--confirm", shown["confirm"])
    assert ask(site, "approve", shown["insertion"], "--plan", "0" * 64, *right[2:]) == 40
    assert ask(site, "approve", shown["insertion"], *right[:2], "--confirm", "another") == 40
    assert ask(site, "approve", "i-none", *right) == 40
    assert site.bay("A1")["state"] == "present"
    assert ask(site, "approve", shown["insertion"], *right) == 0
    until(lambda: (site.bay("A1")["work"] or {}).get("phase") == "write", site.status)
    assert ask(site, "abort", site.bay("A1")["job"]) == 0
    until(lambda: site.bay("A1")["state"] == "concluded", site.status)
    shown = site.bay("A1")
    assert shown["verdict"] == "NOT_SANITIZED"
    lines = [json.loads(line) for line in site.agent.log().splitlines()]
    told = [one for one in lines if one["event"] == "job.concluded"]
    assert [(one["bay"], one["job"]) for one in told] == [("A1", shown["job"])]
    assert all(one["schema"] == "nullbay.log/1" for one in lines)
    (site.folder / "token").write_text("somebody else's token")
    assert ask(site, "abort", site.bay("A1")["job"]) == 40


def test_two_agents_on_one_state_directory(site: Site) -> None:
    second = site.nullbay(*site.agent.arguments)
    assert second.returncode == 2
    assert b"another nullbay works with" in second.stderr
    assert site.status() is not None


def test_a_damaged_journal_stops_the_station_and_is_kept_and_saved(site: Site) -> None:
    until(lambda: site.bay("A1")["state"] == "present", site.status)
    detach(site.bays[0].device)
    until(lambda: site.bay("A1")["state"] == "empty", site.status)
    assert site.agent.stop() == 0
    path = site.folder / "agent" / FILE_NAME
    data = bytearray(path.read_bytes())
    at = data.index(b'"kind":"insertion-closed"')
    data[at : at + 10] = b"x" * 10
    path.write_bytes(bytes(data))
    again = site.nullbay(*site.agent.arguments)
    assert again.returncode == 2, again.stderr
    assert b"ledger entry" in again.stderr
    assert path.read_bytes() == bytes(data)
    state = ("--state-dir", str(site.folder / "agent"))
    saved = site.nullbay("journal", "recover", "--json", *state)
    assert saved.returncode == 1
    assert b"chain_error" in saved.stdout
    assert path.read_bytes() == bytes(data)
