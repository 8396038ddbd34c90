"""Who may use which route: the table as it is meant, and every door tried by everybody."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nullbay.server.people import Role, roles_of
from nullbay.server.web.app import table_of
from nullbay.web.routes import Route
from nullbay.web.serve import Served
from support import centre_pages as pages
from support.web import client, run

ANYONE, STATION = "anyone", "station"
MEANT = {
    "GET /": "viewer",
    "GET /live": "viewer",
    "GET /records": "viewer",
    "GET /records/{sha256}": "viewer",
    "GET /records/{sha256}/check": "auditor",
    "GET /lots": "viewer",
    "GET /lots/{reference}": "viewer",
    "GET /lot": "viewer",
    "GET /lot.csv": "auditor",
    "GET /findings": "auditor",
    "POST /findings/{finding}/acknowledge": "operator",
    "GET /stations": "auditor",
    "GET /stations/{station}": "auditor",
    "GET /station": "auditor",
    "GET /users": "administrator",
    "GET /login": ANYONE,
    "POST /login": ANYONE,
    "GET /login/link": ANYONE,
    "POST /login/link": ANYONE,
    "POST /logout": ANYONE,
    "GET /fonts/{name}": ANYONE,
    "GET /static/{digest}/{name}": ANYONE,
    "GET /healthz": ANYONE,
    "GET /metrics": "viewer",
    "GET /v1/openapi.json": "viewer",
    "GET /v1/stations": "viewer",
    "GET /v1/records": "viewer",
    "GET /v1/records.csv": "auditor",
    "GET /v1/records/{sha256}": "viewer",
    "GET /v1/records/{sha256}/pdf": "viewer",
    "GET /v1/records/{sha256}/bundle": "viewer",
    "GET /v1/records/{sha256}/receipt": "viewer",
    "GET /v1/records/{sha256}/evidence": "auditor",
    "GET /v1/lots": "viewer",
    "GET /v1/lots/{reference}": "viewer",
    "GET /v1/lots/{reference}.csv": "auditor",
    "PUT /v1/lots/{reference}/manifest": "operator",
    "GET /v1/findings": "auditor",
    "GET /v1/stations/{station}/account": "auditor",
    "PUT /v1/entries/{sha256}": STATION,
    "PUT /v1/records/{sha256}": STATION,
    "PUT /v1/documents/{sha256}": STATION,
    "HEAD /v1/evidence/{sha256}": STATION,
    "PUT /v1/evidence/{sha256}": STATION,
    "POST /v1/heartbeats": STATION,
}
EVERYBODY = {**{role.value: name for name, (_, role) in pages.USERS.items()}}


def lowest(route: Route) -> str:
    """The one word by which a route names who may use it."""
    if route.access.is_anonymous:
        return ANYONE
    (role,) = route.access.roles
    return role


def test_the_table_is_as_it_is_meant(tmp_path: Path) -> None:
    async def main() -> None:
        async with pages.empty(tmp_path) as shown:
            found = {f"{one.method} {one.path}": lowest(one) for one in table_of(shown.site)}
            assert found == MEANT

    run(main)


def may(who: str, needed: str) -> bool:
    if needed == ANYONE:
        return True
    if who in {ANYONE, STATION} or needed == STATION:
        return who == needed
    return needed in roles_of(Role(who))


def address(route: Route, digest: str) -> str:
    known = {
        "sha256": digest,
        "reference": "LOT-2026-0417",
        "finding": "0" * 32,
        "station": pages.STATION,
    }
    path = re.sub(r"\{(\w+)\}", lambda found: known.get(found[1], "x"), route.path)
    query = {"/lot": "reference=LOT-2026-0417", "/station": f"station={pages.STATION}"}
    asked = query.get(route.path.removesuffix(".csv"), "")
    return f"{path}?{asked}" if asked else path


def test_every_door_is_tried_by_everybody(tmp_path: Path) -> None:
    """Whoever is let in gets past 401 and 403; everybody else gets exactly one of them."""

    async def tried(listener: Served, route: Route, digest: str, who: str) -> int:
        headers = {"Origin": listener.url, "Accept": "application/json"}
        if who == STATION:
            headers["Authorization"] = f"Bearer {pages.STATION}"
        elif who != ANYONE:
            headers["Authorization"] = f"Bearer {pages.TOKENS[EVERYBODY[who]]}"
        async with (
            client(listener.url) as session,
            session.request(
                route.method,
                address(route, digest),
                headers=headers,
                allow_redirects=False,
                # A wrong body is refused only after it was asked who sends it.
                data=b"{}" if route.body is not None else None,
            ) as answer,
        ):
            await answer.read()
            return answer.status

    async def main() -> None:
        async with pages.empty(tmp_path) as shown:
            digest = await shown.stations[pages.STATION].finishes("good", "SERIAL-1")
            async with pages.open_pages(shown) as listener:
                for route in table_of(shown.site):
                    # The right answer to a wrong login is 401 as well.
                    if route.path.startswith("/login"):
                        continue
                    for who in (ANYONE, STATION, *EVERYBODY):
                        status = await tried(listener, route, digest, who)
                        refused = 401 if who == ANYONE else 403
                        told = f"{who}: {route.method} {route.path} answered {status}"
                        if may(who, lowest(route)):
                            assert status not in {401, 403}, told
                            assert status < 500, told
                        else:
                            assert status == refused, told

    run(main)


@pytest.mark.parametrize("user_id", pages.USERS)
def test_the_menu_shows_what_one_may_see(tmp_path: Path, user_id: str) -> None:
    async def main() -> None:
        async with pages.empty(tmp_path) as shown, pages.open_pages(shown) as listener:
            role = pages.USERS[user_id][1]
            async with pages.logged_in(listener, user_id) as browser:
                text = await (await browser.get("/")).text()
                for path in ("/records", "/lots", "/findings", "/stations", "/users"):
                    allowed = may(role.value, MEANT[f"GET {path}"])
                    assert (f'href="{path}"' in text) == allowed, path
                    assert ((await browser.get(path)).status == 200) == allowed, path

    run(main)


def test_only_who_may_check_and_download_is_offered_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with pages.empty(tmp_path) as shown, pages.open_pages(shown) as listener:
            digest = await shown.stations[pages.STATION].finishes("good", "SERIAL-1")
            for user_id, offered in (("vera", False), ("aude", True)):
                async with pages.logged_in(listener, user_id) as browser:
                    text = await (await browser.get(f"/records/{digest}")).text()
                    assert ("openssl dgst" in text) == offered
                    assert ("/evidence" in text) == offered
                    assert "Authentic." in text
                    json = await (await browser.get(f"/v1/records/{digest}")).json()
                    assert (json["check"] is not None) == offered

    run(main)
