"""`kill -9` of every daemon at random, twenty times each, while drives are wiped at a limited rate.

Six bays on loop devices, an operator who approves whatever asks, a centre that receives. When the
killing ends, everything must add up: every job concluded once, every insertion closed once, the
chain unbroken, each record delivered once, and no drive called sanitized that is not.
"""

from __future__ import annotations

import random
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from nullbay.agent.journal.store import Journal
from nullbay.certs import ledger, verify
from nullbay.certs.keys import PublicKey
from nullbay.domain.clock import SystemClock
from support.processes import until
from support.site import (
    USER_TOKEN,
    LoopBay,
    Site,
    detach,
    fill,
    is_clean,
    losetup,
    pause,
)

KILLS = 20
BAYS = 6
SECTORS = 16 * 2048
RATE = 4_000_000
SEED = 3
VICTIMS = ("agent", "wiperd", "drive process", "server")
ASKING = {"planned", "present"}
AT_WORK = {"running", "paused", "stalled"}
DONE = {"concluded", "refused"}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    bays = []
    try:
        for number in range(1, BAYS + 1):
            image = tmp_path / f"drive-{number}.img"
            fill(image, SECTORS)
            bays.append(LoopBay(f"A{number}", image, losetup(image)))
        site = Site(tmp_path / "site", bays, rate_bytes_per_s=RATE)
        try:
            site.start()
            yield site
        finally:
            site.end()
    finally:
        for bay in bays:
            detach(bay.device)


def work_along(site: Site) -> dict[str, str]:
    """Approve whatever asks; how the bays stand. Empty while the station does not answer."""
    status = site.status()
    if status is None:
        return {}
    for bay in status["bays"]:
        if bay["state"] in ASKING and bay["plan_sha256"]:
            site.approve(bay)
    return {bay["bay"]: (bay["work"] or {}).get("phase") or bay["state"] for bay in status["bays"]}


def kill(site: Site, victim: str, draw: random.Random) -> str:
    """One `kill -9`; the phase that the drives were in."""
    phases: dict[str, str] = {}

    def somebody_works() -> bool:
        phases.clear()
        phases.update(work_along(site))
        has_process = victim != "drive process" or bool(site.drive_processes())
        works = {"write", "verify", "read-back", "deallocate"} & set(phases.values())
        idle = bool(phases) and set(phases.values()) <= DONE
        return (bool(works) or idle) and has_process

    until(somebody_works, site.status)
    pause(draw.random())
    busy = Counter(one for one in phases.values() if one not in DONE)
    phase = busy.most_common(1)[0][0] if busy else "idle"
    match victim:
        case "agent":
            site.agent.kill()
            site.agent.start()
        case "wiperd":
            site.wiperd.kill()
            site.wiperd.start()
        case "server":
            site.server.kill()
            site.server.start()
        case _:
            victim_process = draw.choice(site.drive_processes())
            victim_process.kill()
            until(lambda: not victim_process.is_running())
    site.until_up()
    return phase


def renew(site: Site) -> None:
    """Pull the drives that are done, and put full ones in: there is always something to wipe."""
    done = [bay for bay in site.bays if site.bay(bay.name)["state"] in DONE | {"known"}]
    for bay in done:
        detach(bay.device)
    for bay in done:
        site.until_bay(bay.name, "empty")
        fill(bay.image, SECTORS)
        device = losetup_at(bay)
        assert device == bay.device


def losetup_at(bay: LoopBay) -> str:
    """On the same loop device as before: its bay is that device."""
    subprocess.run(["losetup", bay.device, str(bay.image)], check=True)
    return bay.device


def test_twenty_kills_of_each_and_everything_adds_up(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    draw = random.Random(SEED)
    order = [victim for victim in VICTIMS for _ in range(KILLS)]
    draw.shuffle(order)
    table: Counter[tuple[str, str]] = Counter()
    for number, victim in enumerate(order):
        table[victim, kill(site, victim, draw)] += 1
        if number % 8 == 7:
            renew(site)
    finish(site)
    with capsys.disabled():
        print("\nkilled           phase        times")
        for (victim, phase), times in sorted(table.items()):
            print(f"{victim:<16} {phase:<12} {times}")
    starts = {one.name: one.starts - 1 for one in site.daemons}
    assert starts == {"agent": KILLS, "wiperd": KILLS, "server": KILLS}
    clean = {bay.name: is_clean(bay.image) for bay in site.bays}
    said = {bay.name: site.bay(bay.name) for bay in site.bays}
    for name, shown in said.items():
        if shown["verdict"] in {"SANITIZED", "SANITIZED_WITH_EXCEPTIONS"}:
            assert clean[name], f"{name} is called {shown['verdict']} and is not"
    for bay in site.bays:
        detach(bay.device)
    until(lambda: all(site.bay(bay.name)["state"] == "empty" for bay in site.bays))
    until(lambda: (status := site.status()) is not None and status["undelivered"] == 0)
    concluded = check_ledger(site)
    check_centre(site, concluded)


def finish(site: Site) -> None:
    """Let everybody work to the end."""

    def over() -> bool:
        stands = work_along(site)
        return bool(stands) and set(stands.values()) <= DONE | {"known"}

    for _ in range(5):
        try:
            until(over)
        except AssertionError:
            continue
        return
    until(over)


def check_ledger(site: Site) -> int:
    """The chain, its jobs and its insertions; every record authentic. How many jobs concluded."""
    assert site.agent.stop() == 0
    state = site.folder / "agent"
    keys = tuple(
        PublicKey.from_pem((site.folder / "etc" / f"{name}.pub.pem").read_bytes())
        for name in ("station", "bench")
    )
    journal = Journal(state, SystemClock())
    try:
        entries = list(journal.ledger())
        assert not journal.open_insertions()
    finally:
        journal.close()
    ledger.check_chain(entries, keys[:1])
    report = ledger.check_jobs(entries)
    assert not report.doubled
    assert not report.never_started
    assert not report.unconcluded
    events = [ledger.read_body(one.body).event for one in entries]
    closed = Counter(one.insertion_id for one in events if isinstance(one, ledger.InsertionClosed))
    assert set(closed.values()) == {1}
    concluded = [one for one in events if isinstance(one, ledger.JobConcluded)]
    assert concluded
    for one in concluded:
        folder = state / "records" / one.job_id
        bundle = (folder / f"{one.job_id}.sigstore.json").read_bytes()
        checked = verify.verify(bundle, keys, folder / f"{one.job_id}.evidence.tar.zst")
        assert checked.verdict is one.verdict
    print(Counter(one.verdict.value for one in concluded))
    return len(concluded)


def check_centre(site: Site, concluded: int) -> None:
    """The centre has every record once, and misses nothing."""
    code, plain = site.ask(site.centre_url, "/v1/stations/bench-1/account", USER_TOKEN)
    assert code == 200, plain
    account = plain["account"]
    assert account["records"] == concluded
    assert account["accounted"], account
