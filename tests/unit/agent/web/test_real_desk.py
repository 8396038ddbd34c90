"""The station's own desk behind its HTTP, held against its document; no desk by hand.

Journal, bench, engine and certificates are the product; the drives are made of software.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from nullbay.agent.desk import Approval
from nullbay.cli.demo_house import DemoHouse, look, open_house
from nullbay.cli.demo_rack import DemoDrive, Ending, Plugged
from nullbay.config.roles import Role
from nullbay.config.settings import Operator
from nullbay.domain.clock import ClockSync, SystemClock
from nullbay.domain.ids import LotRef
from nullbay.domain.lot import DataCategory, Destination, Lot
from nullbay.domain.status import BayState, BayStatus
from nullbay.domain.verdict import Verdict
from nullbay.lab.description import DriveDescription
from support.http_thread import Background, background

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import requests
    import schemathesis
    from schemathesis import GenerationMode

EXAMPLES = 5
TOKEN = "token-of-a-real-desk"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
WAIT_S = 120.0
OPERATOR = Operator(
    "op-1",
    "Olga Operator",
    "operator",
    Role.OPERATOR,
    hashlib.sha256(TOKEN.encode()).hexdigest(),
)
LOT = Lot(
    LotRef("LOT-1"),
    customer="Customer",
    data_category=DataCategory.LOW,
    destination=Destination.RETAINED,
)


def _drive(bay: str, serial: str, *, is_system: bool = False) -> DemoDrive:
    description = DriveDescription(sectors=4_000, model="LAB DISK", serial=serial)
    ending = Ending(None if is_system else Verdict.SANITIZED)
    return DemoDrive(bay, "a disk", description, "nist-clear", ending, is_system=is_system)


DRIVES = (
    _drive("A1", "ZC1A2B3C"),
    _drive("A2", "ZC1A2B3D"),
    _drive("A3", "LAB-SYSTEM", is_system=True),
)


@dataclass
class Site:
    """A station at work: one drive finished, one that waits for consent."""

    there: Background
    house: DemoHouse
    document: dict[str, Any]

    @property
    def url(self) -> str:
        return self.house.console

    def get(self, path: str) -> requests.Response:
        return requests.get(self.url + path, headers=HEADERS, timeout=60)

    def wait(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.there.loop).result(WAIT_S)

    def bay(self, bay: str) -> BayStatus:
        shown = self.there.call(self.house.station.status).bays
        return next(one for one in shown if one.bay == bay)


async def _until(house: DemoHouse, bay: str, state: BayState) -> BayStatus:
    async with asyncio.timeout(WAIT_S):
        changes = house.station.changes(None)
        while True:
            shown = next(one for one in house.station.status().bays if one.bay == bay)
            if shown.state is state:
                return shown
            await anext(changes)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    drives = folder / "drives"
    drives.mkdir()
    clock = SystemClock(lambda: ClockSync.SYNCHRONISED)
    with ExitStack() as stack:
        plugged = [Plugged(one, drives, stack, as_loop=False) for one in DRIVES]
        there = stack.enter_context(background())
        opened = open_house(folder, plugged, clock, unattended=False, operator=OPERATOR)

        def wait(work: Any) -> Any:
            return asyncio.run_coroutine_threadsafe(work, there.loop).result(WAIT_S)

        house: DemoHouse = wait(opened.__aenter__())
        working: asyncio.Task[None] = there.call(
            lambda: asyncio.get_running_loop().create_task(house.assembly.run())
        )

        async def begin() -> None:
            while house.assembly.link.current is None:
                await clock.sleep(0.05)
            await clock.sleep(0.5)  # what comes from now on arrives
            await house.station.open_lot(LOT, (), OPERATOR.person())
            for one in plugged:
                house.source.arrive(look(one.device, clock))
            for bay in ("A1", "A2"):
                await _until(house, bay, BayState.PLANNED)
            shown = next(one for one in house.station.status().bays if one.bay == "A1")
            assert shown.insertion
            approval = Approval(shown.plan_sha256, shown.confirm)
            await house.station.approve(shown.insertion, approval, OPERATOR.person())
            done = await _until(house, "A1", BayState.CONCLUDED)
            assert done.job
            await house.station.document(done.job)

        async def end() -> None:
            working.cancel()
            with suppress(asyncio.CancelledError):
                await working

        try:
            wait(begin())
            document = requests.get(
                house.console + "/v1/openapi.json", headers=HEADERS, timeout=60
            ).json()
            yield Site(there, house, document)
            assert not working.done(), "the station ended under what was sent"
        finally:
            wait(end())
            wait(opened.__aexit__(None, None, None))


def test_what_the_station_says_is_what_its_document_says(site: Site) -> None:
    status = site.get("/v1/status").json()
    assert {one["bay"]: one["state"] for one in status["bays"]} == {
        "A1": "concluded",
        "A2": "planned",
        "A3": "refused",
    }
    [job] = [one for one in site.get("/v1/jobs").json()["jobs"] if one["job"]]
    assert (job["verdict"], job["attempt"]) == ("SANITIZED", 1)
    for name in ("bundle", "archive", "pdf"):
        assert site.get(f"/v1/records/{job['job']}/{name}").status_code == 200
    [lot] = site.get("/v1/lots").json()["lots"]
    assert lot["lot"]["reference"] == LOT.reference


def test_events_are_resumed_where_they_broke_off(site: Site) -> None:
    first = _events(site, 1, stir=True)
    run, _, number = first[0]["id"].rpartition("-")
    for _ in range(3):
        _stir(site)
    again = _events(site, 3, last=first[0]["id"])
    got = [int(one["id"].rpartition("-")[2]) for one in again]
    assert got == [int(number) + one for one in (1, 2, 3)]
    assert {one["id"].rpartition("-")[0] for one in again} == {run}
    told = json.loads(again[0]["data"])
    assert (told["run"], told["number"]) == (run, str(int(number) + 1))
    # of another run, or of a future that never was: begin anew
    for strange in ("another-7", f"{run}-999999999"):
        assert _events(site, 1, last=strange)[0]["event"] == "reset"
    # what nobody was ever told
    refused = requests.get(
        site.url + "/v1/events", headers={**HEADERS, "Last-Event-ID": "a b"}, timeout=60
    )
    assert refused.status_code == 400


def _stir(site: Site) -> None:
    """Something happens that everybody is told."""
    site.there.call(lambda: site.house.assembly.changes.tell("station"))


def _events(site: Site, count: int, last: str = "", *, stir: bool = False) -> list[dict[str, str]]:
    headers = {**HEADERS, **({"Last-Event-ID": last} if last else {})}
    found: list[dict[str, str]] = []
    event: dict[str, str] = {}
    with requests.get(site.url + "/v1/events", headers=headers, stream=True, timeout=60) as reply:
        assert reply.status_code == 200
        for raw in reply.iter_lines(chunk_size=1):
            line = raw.decode()
            if line.startswith("retry:") and stir:
                _stir(site)
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                event[name] = event.get(name, "") + value
            elif not line:
                if "data" in event:
                    found.append(event)
                event = {}
            if len(found) == count:
                return found
    raise AssertionError(found)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_the_real_desk_keeps_to_the_document(site: Site, mode: GenerationMode) -> None:
    """Whatever is sent: documented statuses, bodies as their schemas say, never a 500."""
    before, asked = site.bay("A2"), 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        schema = schemathesis.openapi.from_dict(site.document)
        schema.config.update(base_url=site.url)
        for result in schema.get_all_operations():
            operation: Any = result.ok()  # type: ignore[union-attr]
            definition = site.document["paths"][operation.path][operation.method]
            has_input = definition["parameters"] or "requestBody" in definition
            if operation.path == "/v1/events" or not (has_input or mode is GenerationMode.POSITIVE):
                continue  # one never ends, the others leave nothing to send wrongly

            @settings(
                max_examples=EXAMPLES,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
                database=None,
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def check(case: Any) -> None:
                nonlocal asked
                asked += 1
                case.call_and_validate(headers=HEADERS, timeout=60)

            check()
    assert asked > 20
    after = site.bay("A2")
    # nothing that was made up consented to anything, and what is on disk is whole
    assert (after.state, after.insertion) == (BayState.PLANNED, before.insertion)
    assert site.there.call(lambda: site.house.station.status().head_sequence) >= 2
    assert len(site.get("/v1/records").json()["records"]) == 1


def test_the_journal_is_whole_afterwards(site: Site) -> None:
    path = Path(site.house.state) / "journal.sqlite3"
    assert path.is_file()
    site.there.call(lambda: site.house.assembly._owned.journal.check(full=True))
