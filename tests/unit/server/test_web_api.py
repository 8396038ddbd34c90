"""The read API: the same facts in JSON and CSV, described truly, answering anything with sense."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from prometheus_client.parser import text_string_to_metric_families

from nullbay.domain.ids import LotRef
from nullbay.domain.lot import Lot
from nullbay.server.web import lots
from nullbay.server.web.api import RECORD_COLUMNS
from support import centre_pages as pages
from support.web import client, run

EXAMPLES = 12
READ = ("/v1/stations", "/v1/records", "/v1/lots", "/v1/findings", "/metrics", "/healthz")


def bearer(user_id: str = "ada") -> dict[str, str]:
    return {"Authorization": f"Bearer {pages.TOKENS[user_id]}"}


@dataclass
class Running:
    """A filled centre that answers in a thread of its own."""

    url: str
    digests: dict[str, str]
    document: dict[str, Any]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("centre")
    started, loop = threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()
    found: list[Running] = []

    async def main() -> None:
        async with pages.empty(folder) as shown, pages.open_pages(shown) as listener:
            await pages.fill(shown)
            async with client(listener.url) as session:
                document = await (await session.get("/v1/openapi.json", headers=bearer())).json()
            found.append(Running(listener.url, shown.digests, document))
            started.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
    thread.start()
    started.wait(60)
    yield found[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(60)
    loop.close()


def get(running: Running, path: str, user_id: str = "ada", **query: str) -> tuple[int, str, bytes]:
    async def main() -> tuple[int, str, bytes]:
        async with client(running.url) as session:
            answer = await session.get(path, params=query, headers=bearer(user_id))
            return answer.status, answer.headers["Content-Type"], await answer.read()

    return run(main)


def test_the_description_names_what_stations_deliver_and_people_read(running: Running) -> None:
    paths = running.document["paths"]
    assert {"put", "get"} <= set(paths["/v1/records/{sha256}"])
    assert set(paths["/v1/evidence/{sha256}"]) == {"head", "put"}
    for path in ("/v1/entries/{sha256}", "/v1/heartbeats", "/v1/lots/{reference}.csv", *READ):
        assert path in paths
    assert not [path for path in paths if not path.startswith(("/v1/", "/metrics", "/healthz"))]
    assert paths["/v1/findings"]["get"]["x-roles"] == ["auditor"]
    assert paths["/healthz"]["get"]["security"] == []
    identifiers = [one["operationId"] for path in paths.values() for one in path.values()]
    assert len(identifiers) == len(set(identifiers))


@pytest.mark.parametrize("path", [path for path in READ if path != "/metrics"])
def test_answers_fit_their_schema(running: Running, path: str) -> None:
    status, kind, body = get(running, path)
    assert (status, kind.split(";")[0]) == (200, "application/json")
    schema = running.document["paths"][path]["get"]["responses"]["200"]["content"]
    jsonschema.Draft202012Validator(
        {
            **schema["application/json"]["schema"],
            "components": running.document["components"],
        }
    ).validate(json.loads(body))
    assert json.loads(body)["schema"].endswith("/1")


def test_a_record_with_its_check_and_its_entries(running: Running) -> None:
    digest = running.digests["mismatched"]
    _, _, body = get(running, f"/v1/records/{digest}")
    told = json.loads(body)
    assert told["record"]["verdict"] == "NOT_SANITIZED"
    assert told["check"]["authentic"] is True
    assert told["check"]["verdict"] == "NOT_SANITIZED"
    kinds = [one["kind"] for one in told["entries"]]
    assert kinds == ["job-started", "job-concluded", "insertion-closed"]
    assert get(running, "/v1/records/" + "0" * 64)[0] == 404
    assert get(running, "/v1/records/nonsense")[0] == 400


def test_the_files_are_those_that_were_delivered(running: Running) -> None:
    at = f"/v1/records/{running.digests['good']}"
    status, kind, document = get(running, f"{at}/pdf")
    assert (status, kind, document[:5]) == (200, "application/pdf", b"%PDF-")
    _, _, data = get(running, f"{at}/bundle")
    assert json.loads(data)["dsseEnvelope"]["payloadType"] == "application/vnd.in-toto+json"
    _, kind, packed = get(running, f"{at}/evidence")
    assert (kind, packed[:4]) == ("application/zstd", bytes.fromhex("28b52ffd"))
    _, _, receipt = get(running, f"{at}/receipt")
    assert json.loads(receipt)["payloadType"] == "application/vnd.nullbay.receipt+json"


def table(body: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(body.decode("utf-8"), newline="")))


def test_records_as_csv_are_all_that_fit(running: Running) -> None:
    status, kind, body = get(running, "/v1/records.csv", limit="2")
    assert status == 200
    assert kind == "text/csv; charset=utf-8; header=present"
    rows = table(body)
    assert len(rows) == 10
    assert tuple(rows[0]) == RECORD_COLUMNS
    (one,) = table(get(running, "/v1/records.csv", serial="S6EPNX0T000005")[2])
    assert (one["verdict"], one["bay"], one["customer"]) == (
        "INDETERMINATE",
        "A6",
        "Müller & Söhne GmbH",
    )
    assert table(get(running, "/v1/records.csv", serial="nothing")[2]) == []


def test_a_lot_as_csv_accounts_for_every_drive(running: Running) -> None:
    rows = table(get(running, "/v1/lots/LOT-2026-0417.csv")[2])
    assert tuple(rows[0]) == lots.COLUMNS
    assert [one["account"] for one in rows] == [
        "matched",
        "matched",
        "matched",
        "failed",
        "matched",
        "failed",
        "matched",
        "missing",
        "not detected",
        "surplus",
    ]


def test_no_formula_of_a_drive_or_customer_reaches_a_spreadsheet(tmp_path: Path) -> None:
    formula = '=HYPERLINK("http://evil.example";"open")'

    async def main() -> None:
        async with pages.empty(tmp_path) as shown, pages.open_pages(shown) as listener:
            one = shown.stations[pages.STATION]
            await one.finishes(
                "good",
                b"@SUM(1+1)",
                model="+cmd|' /C calc'!A0",
                lot=Lot(LotRef("LOT"), customer=formula),
                asset_tag="-2+3",
                label_serial="\t=1",
            )
            async with client(listener.url) as session:
                for path in ("/v1/records.csv", "/v1/lots/LOT.csv"):
                    body = await (await session.get(path, headers=bearer())).read()
                    for row in table(body):
                        for name, cell in row.items():
                            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r")), name
                        assert row["serial"] == "'@SUM(1+1)"
                        assert row["asset_tag"] == "'-2+3"

    run(main)


def test_a_large_export_comes_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of two, pieces of 200 bytes: nothing is lost where they meet."""
    monkeypatch.setattr("nullbay.server.centre.EXPORT_PART", 2)
    monkeypatch.setattr("nullbay.server.export.PIECE_BYTES", 200)

    async def main() -> None:
        async with pages.empty(tmp_path) as shown, pages.open_pages(shown) as listener:
            for number in range(5):
                await shown.stations[pages.STATION].finishes("good", f"SERIAL-{number}")
            async with client(listener.url) as session:
                answer = await session.get("/v1/records.csv", headers=bearer())
                assert answer.headers["Transfer-Encoding"] == "chunked"
                serials = [one["serial"] for one in table(await answer.read())]
                assert serials == [f"SERIAL-{number}" for number in (4, 3, 2, 1, 0)]

    run(main)


def test_a_manifest_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    right = {"line": 1, "serial": "SERIAL-1", "asset_tag": "AT-1", "model": ""}

    async def main() -> None:
        async with pages.empty(tmp_path) as shown, pages.open_pages(shown) as listener:
            lot = Lot(LotRef("LOT 7"), customer="Stadtwerke")
            await shown.stations[pages.STATION].finishes("good", "SERIAL-1", lot=lot)
            async with client(listener.url) as session:

                async def put(lines: object, schema: str, user_id: str = "otto") -> int:
                    answer = await session.put(
                        "/v1/lots/LOT%207/manifest",
                        json={"lines": lines, "schema": schema},
                        headers=bearer(user_id),
                    )
                    return answer.status

                name = "nullbay.centre-manifest/1"
                for lines, schema, status in (
                    ([right], "nullbay.centre-manifest/2", 400),
                    ([right, right], name, 400),
                    ([{**right, "serial": 7}], name, 400),
                    ([{**right, "other": ""}], name, 400),
                    ([{**right, "serial": "x" * 201}], name, 400),
                    ("nonsense", name, 400),
                ):
                    assert await put(lines, schema) == status, lines
                    assert not (await shown.centre.lot("LOT 7")).card.has_manifest
                assert await put([right], name, "aude") == 403
                second = {**right, "line": 2, "serial": "SERIAL-2"}
                assert await put([right, second], name) == 200
            account = await shown.centre.lot("LOT 7")
            assert [one.state.value for one in account.lines] == ["done", "missing"]

    run(main)


def test_metrics_tell_what_was_taken_refused_and_found(running: Running) -> None:
    status, _, body = get(running, "/metrics")
    assert status == 200
    found = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }
    assert found["nullbay_centre_records_accepted_total", "SANITIZED"] == 6
    assert found["nullbay_centre_records_accepted_total", "NOT_SANITIZED"] == 2
    assert found["nullbay_centre_records", "INDETERMINATE"] == 1
    assert found["nullbay_centre_entries_accepted_total",] == 31
    assert found["nullbay_centre_refused_total", "entry", "ledger.fork"] == 1
    assert found["nullbay_centre_findings_open", "ledger.fork"] == 1
    assert found["nullbay_centre_stations", "online"] == 2
    assert found["nullbay_centre_stations", "never"] == 1
    assert found["nullbay_centre_undelivered",] == 3


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda one: one.name)
def test_anything_asked_of_the_read_api_gets_an_answer_it_describes(
    running: Running, mode: schemathesis.GenerationMode
) -> None:
    """schemathesis: no 500, no status, type or schema beyond the description, nothing let through.

    What fits the description is taken, what does not is refused.
    """
    schema = schemathesis.openapi.from_dict(running.document)
    tried = 0
    for found in schema.include(method="GET").get_all_operations():
        operation = found.ok()  # type: ignore[union-attr]
        if mode is schemathesis.GenerationMode.NEGATIVE and not operation.definition.raw.get(
            "parameters"
        ):
            continue

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=(Phase.explicit, Phase.generate),
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            answer = case.call(base_url=running.url, headers=bearer())
            assert answer.status_code < 500, case
            case.validate_response(answer)

        ask()
        tried += 1
    assert tried == (16 if mode is schemathesis.GenerationMode.POSITIVE else 12)
