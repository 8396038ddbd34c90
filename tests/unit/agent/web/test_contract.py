"""The OpenAPI document, and the station held against it by schemathesis."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from nullbay.agent.web.api import STATUSES
from nullbay.agent.web.app import station_web
from nullbay.domain.lot import Person
from nullbay.domain.verdict import Verdict
from nullbay.web import problems
from nullbay.web.routes import PageAnswer
from nullbay.web.serve import Binding
from support.desk import LOT, FakeDesk, FakePeople, digest, drive_card
from support.http_thread import background, listening
from support.markdown import table
from support.tree import TOP
from support.web import HandClock, run

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import schemathesis
    from schemathesis import GenerationMode

EXAMPLES = 12
ADA = Person("operator", "ada")


@dataclass
class Station:
    url: str
    document: dict[str, Any]
    desk: FakeDesk


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    desk = FakeDesk(rows=1, columns=4, folder=tmp_path_factory.mktemp("records"))
    run(lambda: desk.open_lot(LOT, (), ADA))
    for bay in desk.bays:
        desk.insert(bay, drive_card(f"ZC1{bay}"))
    desk.start("A2", (ADA,))
    desk.conclude("A2", Verdict.NOT_SANITIZED, "job.aborted")
    desk.start("A3", (ADA,))
    desk.progress("A3", 40)
    binding = Binding()
    web = station_web(desk, FakePeople(), HandClock(), binding, version="0.1.0")
    with background() as there, listening(there, web.app, binding) as listener:
        import requests  # noqa: PLC0415 - comes with schemathesis

        reply = requests.get(
            listener.url + "/v1/openapi.json",
            headers={"Authorization": "Bearer token-ada"},
            timeout=60,
        )
        yield Station(listener.url, reply.json(), desk)


def test_the_document_is_openapi(station: Station) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        schemathesis.openapi.from_dict(station.document).validate()
    assert station.document["openapi"] == "3.1.0"
    paths = station.document["paths"]
    for path in ("status", "bays", "drives", "lots", "jobs", "scans", "events", "records"):
        assert f"/v1/{path}" in paths
    assert {"/healthz", "/metrics", "/v1/openapi.json"} <= paths.keys()
    assert "/" not in paths


def test_every_reference_leads_somewhere(station: Station) -> None:
    text = json.dumps(station.document)
    held = station.document["components"]["schemas"]
    used = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert used <= held.keys()
    assert used


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_the_station_keeps_to_the_document(station: Station, mode: GenerationMode) -> None:
    """Whatever is sent: documented statuses, bodies as their schemas say, never a 500."""
    asked = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        schema = schemathesis.openapi.from_dict(station.document)
        schema.config.update(base_url=station.url)
        for result in schema.get_all_operations():
            operation: Any = result.ok()  # type: ignore[union-attr]
            definition = station.document["paths"][operation.path][operation.method]
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
                case.call_and_validate(headers={"Authorization": "Bearer token-ada"}, timeout=60)

            check()
    assert asked > 20
    assert known_drive_is_still_there(station.desk)


def known_drive_is_still_there(desk: FakeDesk) -> bool:
    return desk.bays["A1"].plan_sha256 == digest("plan i-0001")


def test_records_come_as_files(station: Station) -> None:
    import requests  # noqa: PLC0415 - comes with schemathesis

    headers = {"Authorization": "Bearer token-ada"}
    found = requests.get(station.url + "/v1/records", headers=headers, timeout=60).json()
    job = found["records"][0]["job"]
    for name, media_type in (
        ("bundle", "application/json"),
        ("archive", "application/zstd"),
        ("pdf", "application/pdf"),
    ):
        reply = requests.get(f"{station.url}/v1/records/{job}/{name}", headers=headers, timeout=60)
        assert reply.status_code == 200
        assert reply.headers["Content-Type"] == media_type
        assert reply.headers["Content-Disposition"].startswith(f'attachment; filename="{job}')
        assert reply.content.startswith(b"%PDF-1.7")
    reply = requests.get(f"{station.url}/v1/records/nothing/pdf", headers=headers, timeout=60)
    assert reply.status_code == 404


# --- docs/http.md ------------------------------------------------------------------------------


def documented() -> str:
    return (TOP / "docs" / "http.md").read_text()


def test_the_page_names_every_address_and_who_may() -> None:
    web = station_web(FakeDesk(), FakePeople(), HandClock(), Binding(), version="0")
    rows = {
        f"| `{route.method} {route.path}` | "
        + ("anybody" if route.access.is_anonymous else ", ".join(sorted(route.access.roles)))
        + f" | {route.summary} |"
        for route in web.routes
        if not isinstance(route.answer, PageAnswer) and route.summary
    }
    rows = {row for row in rows if "/static/" not in row}
    found = {line for line in documented().splitlines() if re.match(r"\| `[A-Z]+ /", line)}
    assert found == rows


def test_the_page_gives_every_code_its_status() -> None:
    told = {
        code: {int(status) for status in row[0].split(", ")}
        for row in table(documented(), "status")
        for code in re.findall(r"`([a-z]+\.[a-z-]+|internal)`", row[1])
    }
    known = dict(problems.STATUSES) | dict(STATUSES)
    assert known.keys() - told.keys() == {"http.error"}
    assert all(known[code] in told[code] for code in told)
