"""The console's pages without a browser: hostile texts, forms, live parts, downloads."""

from __future__ import annotations

import asyncio
import html
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from nullbay.agent.web.metrics import between_s
from nullbay.agent.web.view import bay_view, may_approve, rack_view
from nullbay.domain.clock import ClockSync, Stamp
from nullbay.domain.ids import BayId, LotRef
from nullbay.domain.lot import DataCategory, Lot, Person
from nullbay.domain.status import Action, BayState, BayStatus, DriveCard, Mode, Why
from nullbay.domain.verdict import Verdict
from support.desk import LOT, digest, drive_card
from support.station_site import Site, bearer, site
from support.web import run

ADA = Person("operator", "ada")
HOSTILE = (
    '"><script>alert(1)</script>',
    "'-alert(1)-'",
    "<img src=x onerror=alert(1)>",
    "{{7711*3}}",
    '" hx-get="/logout" x="',
    "</title><svg onload=alert(1)>",
)


class Tags(HTMLParser):
    """What a browser would make of a page: elements and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.bad: list[str] = []
        self.in_script = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "script":
            self.scripts.append(given.get("src") or "inline")
            self.in_script = True
        if tag in {"img", "iframe", "object", "embed", "style", "base"}:
            self.bad.append(tag)
        self.bad += [name for name in given if name.startswith("on") or name == "style"]
        for name in ("href", "src", "action", "hx-get", "hx-post"):
            value = given.get(name)
            if value is not None and not value.startswith("/"):
                self.bad.append(f"{name}={value}")

    def handle_endtag(self, tag: str) -> None:
        self.in_script = self.in_script and tag != "script"

    def handle_data(self, data: str) -> None:
        if self.in_script and data.strip():
            self.bad.append("inline script")


def fill(here: Site, text: str) -> DriveCard:
    """The text wherever a drive or a person can put one."""
    card = drive_card("ZC1")
    drive = DriveCard(
        identity_key=card.identity_key,
        model=text,
        serial=text,
        wwn=text,
        firmware=text,
        size_bytes=1,
        media=text,
        transport=text,
        device=text,
        simulated=True,
    )
    here.desk.station = here.desk.site = text
    here.desk.problems = (Why(text, text),)
    here.desk.insert("A1", drive, asset_tag=text, label_serial=text, policy_id=text, method=text)
    here.desk.set("A1", why=(Why("bay.approve", text), Why(text, text)))
    here.desk.insert("A2", drive)
    here.desk.start("A2", (Person(text, text, text),))
    here.desk.progress("A2", 50, phase=text)
    here.desk.insert("A3", drive, asset_tag=text)
    here.desk.start("A3", (ADA,))
    here.desk.conclude("A3", Verdict.NOT_SANITIZED, text)
    return drive


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_stay_texts(text: str) -> None:
    async def main() -> None:
        async with site() as here:
            headers = await here.log_in()
            lot = Lot(LotRef(text), text, text, text, text, DataCategory.HIGH)
            await here.desk.open_lot(lot, (), ADA)
            await here.desk.take_manifest(text, "m", f"serial\n{text}\n".encode(), ADA)
            drive = fill(here, text)
            quoted = quote(text, safe="")
            for path in (
                "/",
                "/bays/A1",
                "/bays/A2",
                "/bays/A3",
                "/lots",
                f"/lots/{quoted}",
                f"/lots/{quoted}/approve",
                "/records",
                f"/drives/{drive.identity_key}",
                "/login",
            ):
                status, page = await here.ask("GET", path)
                assert status == 200, path
                tags = Tags(page)
                assert tags.bad == [], path
                assert all(one.startswith("/static/") for one in tags.scripts)
                assert "23133" not in page
            status, page = await here.ask("POST", "/scan", headers=headers, data={"text": text})
            assert Tags(page).bad == []
            assert html.escape(text, quote=False).split("&")[0][:3] in html.unescape(page)

    run(main)


async def events(here: Site, path: str, count: int, **headers: str) -> list[dict[str, str]]:
    """The first events of a stream."""
    found: list[dict[str, str]] = []
    async with here.http.get(path, headers=headers) as reply:
        assert reply.status == 200
        assert reply.headers["Content-Type"] == "text/event-stream"
        event: dict[str, str] = {}
        async for raw in reply.content:
            line = raw.decode().rstrip("\n")
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                event[name] = event.get(name, "") + value
            elif not line and "data" in event:
                found.append(event)
                event = {}
                if len(found) == count:
                    return found
            elif not line:
                event = {}
    return found


def test_events_are_resumed_where_they_broke_off() -> None:
    async def main() -> None:
        async with site() as here:
            auth = bearer("token-ada")
            for number in range(5):
                here.desk.tell("bay", f"A{number + 1}")
            got = await events(here, "/v1/events", 3, **auth, **{"Last-Event-ID": "run1-2"})
            assert [one["id"] for one in got] == ["run1-3", "run1-4", "run1-5"]
            assert json.loads(got[0]["data"]) == {
                "run": "run1",
                "number": "3",
                "topic": "bay",
                "name": "A3",
            }
            # Another run of the station: begin anew.
            got = await events(here, "/v1/events", 1, **auth, **{"Last-Event-ID": "run0-99"})
            assert got[0]["event"] == "reset"

    run(main)


def test_the_rack_follows_by_itself_and_a_page_that_was_away_is_right_again() -> None:
    async def main() -> None:
        async with site() as here:
            await here.log_in()
            first = [json.loads(one["data"]) for one in await events(here, "/live", 29)]
            assert {one["id"] for one in first} >= {"bay-A1", "bay-D6", "lots", "desk", "asks"}
            here.desk.insert("B2", drive_card("ZC9"))
            again = {
                one["id"]: one["html"]
                for one in map(json.loads, [e["data"] for e in await events(here, "/live", 29)])
            }
            assert "ZC9" in again["bay-B2"]
            assert "CALL" in again["bay-B2"]

            async def change() -> None:
                while True:
                    here.desk.progress("B2", 10 + len(here.clock.slept) % 50)
                    await asyncio.sleep(0.01)

            here.desk.start("B2", (ADA,))
            task = asyncio.create_task(change())
            try:
                got = await events(here, "/live", 32)
            finally:
                task.cancel()
            last = [json.loads(one["data"]) for one in got][-1]
            assert last["id"] == "bay-B2"
            assert "LEAVE" in last["html"]
            # However often it changed: a second between two pictures of it.
            assert set(here.clock.slept) == {1.0}

    run(main)


def test_a_stream_ends_with_its_session() -> None:
    async def main() -> None:
        async with site() as here:
            await here.log_in()
            here.clock.timeout_max_s = 0.05
            async with here.http.get("/v1/events") as reply:
                assert reply.status == 200
                here.web.gate.sessions.end_all_of("ada")
                rest = await asyncio.wait_for(reply.content.read(), 30)
                assert b"data" not in rest

    run(main)


def test_two_touches_approve_a_drive() -> None:
    async def main() -> None:
        async with site() as here:
            headers = await here.log_in()
            here.desk.insert("A1", drive_card("ZC1"))
            _, sheet = await here.ask("GET", "/bays/A1")
            form = dict(re.findall(r'name="(\w+)" value="([^"]*)"', sheet))
            assert form == {"plan_sha256": digest("plan i-0001"), "confirm": "ZC1"}
            path = re.findall(r'hx-post="(/jobs/[^"]+/approve)"', sheet)[0]
            assert (await here.ask("POST", path, headers=headers, data=form))[0] == 200
            assert here.desk.bays["A1"].state is BayState.RUNNING
            status, text = await here.ask(
                "POST", path, headers=headers | {"HX-Request": "true"}, data=form
            )
            assert status == 409
            assert "desk.conflict" in text
            _, sheet = await here.ask("GET", "/bays/A1")
            assert "erase" not in sheet
            path = re.findall(r'hx-post="(/jobs/[^"]+/abort)"', sheet)[0]
            assert (await here.ask("POST", path, headers=headers, data={}))[0] == 200
            assert here.desk.bays["A1"].action is Action.SHRED

    run(main)


def test_a_lot_is_approved_as_it_was_looked_at() -> None:
    async def main() -> None:
        async with site() as here:
            headers = await here.log_in()
            await here.desk.open_lot(LOT, (), ADA)
            for bay in ("A1", "A2"):
                here.desk.insert(bay, drive_card(f"ZC{bay}"))
            here.desk.insert("A3", drive_card("ZCA3"), BayState.PRESENT, "bay.present")
            path = f"/lots/{LOT.reference}/approve"
            _, sheet = await here.ask("GET", path)
            plans = re.findall(r'name="plans" value="(\w+)"', sheet)
            assert len(plans) == 2
            here.desk.insert("A4", drive_card("ZCA4"))  # came after the look
            data = [("plans", one) for one in plans]
            assert (await here.ask("POST", path, headers=headers, data=data))[0] == 200
            states = [here.desk.bays[bay].state.value for bay in ("A1", "A2", "A3", "A4")]
            assert states == ["running", "running", "present", "planned"]

    run(main)


def test_a_lot_is_opened_gets_a_manifest_and_is_closed() -> None:
    async def main() -> None:
        async with site() as here:
            headers = await here.log_in()
            form = {"reference": "L 7/x", "customer": "Acme", "data_category": "high", "bays": "A1"}
            reply = await here.http.post("/lots", headers=headers, data=form)
            assert reply.headers["HX-Redirect"] == "/lots/L%207%2Fx"
            assert here.desk.asked[-1][1:] == (
                Lot(LotRef("L 7/x"), "Acme", data_category=DataCategory.HIGH),
                ("A1",),
                "ada",
            )
            bad = form | {"reference": "M", "data_category": "secret"}
            assert (await here.ask("POST", "/lots", headers=headers, data=bad))[0] == 400
            for content, wanted in ((b"serial\nZC1\nZC2\n", "2 drives"), (b"=cmd()", "not taken")):
                data = aiohttp.FormData()
                data.add_field("file", io.BytesIO(content), filename="../../m.csv")
                status, text = await here.ask(
                    "POST", "/lots/L%207%2Fx/manifest", headers=headers, data=data
                )
                assert status == 200
                assert wanted in text
            status, text = await here.ask("GET", "/lots/L%207%2Fx")
            assert text.count(">missing<") == 2
            path = "/lots/L%207%2Fx/close"
            assert (await here.ask("POST", path, headers=headers, data={}))[0] == 200
            assert "closed" in (await here.ask("GET", "/lots/L%207%2Fx"))[1]

    run(main)


def test_files_of_records_are_for_those_who_are_logged_in(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as here:
            here.desk.insert("A1", drive_card("ZC1"))
            job = here.desk.start("A1", (ADA,))
            here.desk.conclude("A1", Verdict.SANITIZED)
            assert (await here.ask("GET", f"/v1/records/{job}/pdf"))[0] == 401
            await here.log_in()
            assert f"/v1/records/{job}/pdf" in (await here.ask("GET", "/records"))[1]
            assert (await here.ask("GET", f"/v1/records/{job}/pdf"))[0] == 200
            (tmp_path / f"{job}.pdf").unlink()
            assert (await here.ask("GET", f"/v1/records/{job}/pdf"))[0] == 404

    run(main)


def test_pages_nobody_knows_and_pages_after_logging_out() -> None:
    async def main() -> None:
        async with site() as here:
            reply = await here.http.get("/records?after=x", allow_redirects=False)
            assert reply.headers["Location"] == "/login?next=%2Frecords%3Fafter%3Dx"
            headers = await here.log_in()
            status, text = await here.ask("GET", "/drives/unknown")
            assert status == 404
            assert "desk.unknown" in text
            assert "<main" in text
            reply = await here.http.post("/logout", headers=headers, data={})
            assert reply.headers["HX-Redirect"] == "/login"
            assert (await here.ask("GET", "/"))[0] == 303

    run(main)


def test_metrics_are_prometheus_and_say_what_the_desk_says() -> None:
    async def main() -> None:
        async with site() as here:
            here.desk.insert("A1", drive_card("ZC1"))
            here.desk.start("A1", (ADA,))
            here.desk.progress("A1", 50)
            here.desk.insert("A2", drive_card("ZC2"))
            here.desk.start("A2", (ADA,))
            here.desk.conclude("A2", Verdict.SANITIZED)
            here.desk.undelivered = 7
            here.desk.mode = Mode.DRAINING
            status, text = await here.ask("GET", "/metrics", headers=bearer("status-token"))
            assert status == 200
            found = {
                (sample.name, *sorted(sample.labels.values())): sample.value
                for family in text_string_to_metric_families(text)
                for sample in family.samples
            }
            assert found["nullbay_jobs", "running"] == 1
            assert found["nullbay_bay_written_bytes_total", "A1"] == 2_000_393_515_008
            assert found["nullbay_bay_bytes_per_second", "A1"] == 182_000_000
            assert found["nullbay_bay_errors_total", "A1"] == 0
            assert found["nullbay_outbox_depth",] == 7
            assert found["nullbay_verdicts_total", "", "SANITIZED"] == 1
            assert found["nullbay_mode", "draining"] == 1
            assert found["nullbay_bays", "empty"] == 22
            assert not [name for name, *_ in found if name.startswith("python")]

    run(main)


def test_seconds_since_a_delivery_do_not_follow_a_clock_that_was_set() -> None:
    early = Stamp("1970-01-01T00:00:00.000000Z", 1_000_000, "boot", ClockSync.UNSYNCHRONISED)
    late = Stamp("2026-01-01T00:00:00.000000Z", 61_000_000, "boot", ClockSync.SYNCHRONISED)
    assert between_s(early, late) == 60
    other = Stamp("2026-01-01T00:00:30.000000Z", 5, "next boot", ClockSync.SYNCHRONISED)
    assert between_s(late, other) == 30
    assert between_s(other, late) == 0


def bay(**values: Any) -> BayStatus:
    given: dict[str, Any] = {
        "bay": BayId("A1"),
        "row": 1,
        "column": 1,
        "state": BayState.EMPTY,
        "action": Action.NONE,
    }
    return BayStatus(**(given | values))


@pytest.mark.parametrize("state", list(BayState))
def test_every_state_has_words(state: BayState) -> None:
    view = bay_view(bay(state=state, action=Action.CALL, countdown_s=5))
    assert view.line
    assert view.word == "CALL"
    assert view.spoken.startswith("Bay A1, CALL")


@pytest.mark.parametrize("verdict", list(Verdict))
def test_a_sanitized_drive_is_not_offered_again(verdict: Verdict) -> None:
    here = bay(state=BayState.CONCLUDED, verdict=verdict, plan_sha256="0" * 64, confirm="x")
    assert may_approve(here) is not verdict.is_sanitized


def test_a_rack_that_is_no_grid_flows() -> None:
    assert rack_view([bay(), bay(bay=BayId("B2"), row=2, column=3)]).grid == "rows-2 columns-3"
    assert len(rack_view([bay(), bay(bay=BayId("B2"), row=2, column=3)]).cells) == 6
    assert rack_view([bay(), bay(bay=BayId("A2"))]).grid == "flow"
    assert rack_view([bay(row=40)]).grid == "flow"
    assert rack_view([]).cells == ()
