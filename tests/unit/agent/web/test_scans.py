"""Open scans and the destroy queue over HTTP: what is told, who may settle, what is refused."""

from __future__ import annotations

import json

import pytest

from nullbay.agent.desk import ScanAnswer
from nullbay.agent.web.view import is_stop
from nullbay.domain.lot import Person
from nullbay.domain.verdict import Verdict
from support.desk import drive_card
from support.station_site import bearer, site
from support.web import run

ADA = bearer("token-ada")
SERIAL, LIKE = "ZC1A2B3C", "ZC1A2B3D"


def test_open_scans_are_told_with_their_drives_and_why() -> None:
    async def main() -> None:
        async with site() as here:
            assert json.loads((await here.ask("GET", "/v1/scans", headers=ADA))[1])["scans"] == []
            here.desk.insert("A1", drive_card(SERIAL))
            name = here.desk.ask_about(LIKE, "A1")
            (told,) = json.loads((await here.ask("GET", "/v1/scans", headers=ADA))[1])["scans"]
            assert (told["scan"], told["code"], told["label_serial"]) == (name, "scan.near", LIKE)
            (like,) = told["candidates"]
            assert (like["bay"], like["serial"], like["can_bind"]) == ("A1", SERIAL, True)
            assert like["why"] == "one character is another"

    run(main)


def test_a_person_binds_and_takes_back() -> None:
    async def main() -> None:
        async with site() as here:
            here.desk.insert("A1", drive_card(SERIAL))
            insertion = here.desk.bays["A1"].insertion
            first, second = here.desk.ask_about(LIKE, "A1"), here.desk.ask_about("X", "A1")
            path, body = f"/v1/scans/{first}/bind", {"insertion": insertion}
            status, text = await here.ask("POST", path, headers=ADA, json=body)
            assert (status, json.loads(text)["code"]) == (200, "scan.bound")
            status, text = await here.ask("POST", path, headers=ADA, json=body)
            assert (status, json.loads(text)["code"]) == (409, "scan.gone")
            path = f"/v1/scans/{second}/withdraw"
            status, text = await here.ask("POST", path, headers=ADA)
            assert (status, json.loads(text)["code"]) == (200, "scan.withdrawn")
            assert here.desk.asked == [
                ("settle", first, insertion, "ada"),
                ("settle", first, insertion, "ada"),
                ("withdraw", second, "ada"),
            ]
            assert here.desk.asks() == ()

    run(main)


def test_a_label_that_differs_is_refused() -> None:
    async def main() -> None:
        async with site() as here:
            here.desk.insert("A1", drive_card(SERIAL))
            name = here.desk.ask_about("OTHER", "A1", code="scan.other-drive", can_bind=False)
            body = {"insertion": here.desk.bays["A1"].insertion}
            path = f"/v1/scans/{name}/bind"
            status, text = await here.ask("POST", path, headers=ADA, json=body)
            assert (status, json.loads(text)["code"]) == (409, "scan.other-drive")
            assert len(here.desk.asks()) == 1
            await here.log_in()
            page = (await here.ask("GET", "/"))[1]
            assert f"/scans/{name}/withdraw" in page
            assert f"/scans/{name}/bind" not in page

    run(main)


def test_a_verifier_sees_open_scans_and_settles_none() -> None:
    async def main() -> None:
        async with site() as here:
            here.desk.insert("A1", drive_card(SERIAL))
            name = here.desk.ask_about(LIKE, "A1")
            vera = bearer("token-vera")
            assert (await here.ask("GET", "/v1/scans", headers=vera))[0] == 200
            for path, body in (("bind", {"insertion": "i-0001"}), ("withdraw", None)):
                there = f"/v1/scans/{name}/{path}"
                assert (await here.ask("POST", there, headers=vera, json=body))[0] == 403
            await here.log_in("vera")
            page = (await here.ask("GET", "/"))[1]
            assert LIKE in page
            assert f"/scans/{name}/" not in page
            assert here.desk.asked == []

    run(main)


def test_a_locked_screen_shows_the_question_and_no_answers() -> None:
    async def main() -> None:
        async with site() as here:
            headers = await here.log_in()
            here.desk.insert("A1", drive_card(SERIAL))
            name = here.desk.ask_about(LIKE, "A1")
            assert f"/scans/{name}/bind" in (await here.ask("GET", "/"))[1]
            here.clock.shift_s += 301
            page = (await here.ask("GET", "/"))[1]
            assert LIKE in page
            assert f"/scans/{name}/" not in page
            path = f"/scans/{name}/withdraw"
            assert (await here.ask("POST", path, headers=headers))[0] == 403
            assert here.desk.asked == []

    run(main)


def test_the_destroy_queue_is_told_and_counted_in_the_navigation() -> None:
    async def main() -> None:
        async with site() as here:
            await here.log_in()
            assert 'class="number"' not in (await here.ask("GET", "/"))[1]
            assert "Nothing is to be destroyed" in (await here.ask("GET", "/destroy-queue"))[1]
            here.desk.never_seen("<b>ZC0</b>", "INV-7", "L-1")
            here.desk.insert("A1", drive_card(SERIAL))
            here.desk.start("A1", (Person("operator", "ada"),))
            here.desk.conclude("A1", Verdict.NOT_SANITIZED, "job.aborted")
            lost, failed = json.loads((await here.ask("GET", "/v1/destroy-queue"))[1])["drives"]
            assert (lost["reason"], lost["lot"], lost["place"]) == (
                "not-detected",
                "L-1",
                "never-seen",
            )
            assert (failed["reason"], failed["serial"]) == ("not-sanitized", SERIAL)
            assert [one["code"] for one in failed["why"]] == ["job.aborted"]
            assert 'aria-label="2 to destroy"' in (await here.ask("GET", "/"))[1]
            page = (await here.ask("GET", "/destroy-queue"))[1]
            assert SERIAL in page
            assert "INV-7" in page
            assert "<b>ZC0" not in page

    run(main)


@pytest.mark.parametrize("code", ["serial", "bay", "verdict"])
def test_an_answer_that_alarms_never_carries_a_label(code: str) -> None:
    """Whatever the desk says: the page prints nothing while something does not agree."""

    async def main() -> None:
        async with site() as here:
            headers = await here.log_in()
            told = ScanAnswer(
                "removal", f"removal.{code}-differs", "STOP: look", True, None, None, ("SHIP", "x")
            )

            async def scan(*_asked: object) -> ScanAnswer:
                return told

            here.desk.scan = scan  # type: ignore[assignment,method-assign]
            text = (await here.ask("POST", "/scan", headers=headers, data={"text": "ZC"}))[1]
            assert 'data-for="stop"' in text
            assert "data-print" not in text
            assert "SHIP" not in text

    run(main)


@pytest.mark.parametrize("simulated", [True, False])
def test_a_label_from_the_laboratory_says_so(*, simulated: bool) -> None:
    async def main() -> None:
        async with site() as here:
            headers = await here.log_in()
            here.desk.simulated = simulated
            here.desk.insert("A1", drive_card(SERIAL))
            here.desk.start("A1", (Person("operator", "ada"),))
            here.desk.conclude("A1", Verdict.SANITIZED)
            text = (await here.ask("POST", "/scan", headers=headers, data={"text": SERIAL}))[1]
            label = text.partition('class="label ship"')[2].partition("</section>")[0]
            assert SERIAL in label
            assert ("SIMULATED" in label) is simulated

    run(main)


def test_a_strange_badge_is_no_stop() -> None:
    told = ScanAnswer("badge", "person.unknown-badge", "nobody", True, None, None)
    assert not is_stop(told)
