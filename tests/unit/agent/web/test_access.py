"""Who gets what at the station: every route of the table, by who asks and how."""

from __future__ import annotations

import io
import json

import pytest

from nullbay.agent.web.app import station_web
from nullbay.config.roles import Act, Role, may
from nullbay.web.routes import Route
from nullbay.web.security import CSRF_HEADER, SAFE_METHODS
from nullbay.web.serve import Binding
from support.desk import FakeDesk, FakePeople, drive_card
from support.station_site import STATUS_TOKEN, bearer, site
from support.web import HandClock, run


def code(text: str) -> str:
    return str(json.loads(text)["code"])


def filled(route: Route) -> str:
    path = route.path
    for name in route.path_names:
        path = path.replace("{" + name + "}", "x")
    return path


def table() -> tuple[Route, ...]:
    desk = FakeDesk()
    return station_web(desk, FakePeople(), HandClock(), Binding(), version="0").routes


ANONYMOUS = {"/healthz", "/login", "/login/once/{token}", "/static/{digest}/{name}"}


def test_only_these_are_anonymous() -> None:
    assert {route.path for route in table() if route.access.is_anonymous} == ANONYMOUS


def test_strangers_get_nothing_anywhere() -> None:
    async def main() -> None:
        async with site() as here:
            for route in here.web.routes:
                if route.access.is_anonymous:
                    continue
                status, _ = await here.ask(route.method, filled(route))
                # A page sends a stranger to the login, everything else refuses.
                is_page = not route.path.startswith(("/v1", "/metrics", "/live"))
                assert status == (303 if is_page else 401), route.path
                status, text = await here.ask(route.method, filled(route), headers=bearer("no"))
                assert status in ({303} if is_page else {401}), text
                page = await here.ask(route.method, filled(route), headers={"HX-Request": "true"})
                assert page[0] in ({200} if is_page else {401})
            assert here.desk.asked == []

    run(main)


def test_the_status_token_reads_the_status_and_nothing_else() -> None:
    async def main() -> None:
        async with site() as here:
            open_to_it = set()
            for route in here.web.routes:
                if route.access.is_anonymous:
                    continue
                status, text = await here.ask(
                    route.method, filled(route), headers=bearer(STATUS_TOKEN)
                )
                if status == 200:
                    open_to_it.add(route.path)
                else:
                    assert status == 403, (route.path, text)
            assert open_to_it == {"/v1/status", "/metrics"}

    run(main)


@pytest.mark.parametrize("name", ["ada", "carl", "vera"])
def test_people_may_what_their_role_may(name: str) -> None:
    role = FakePeople().people[name][1]
    acts = {act.value for act in Act if may(role, act)}

    async def main() -> None:
        async with site() as here:
            for route in here.web.routes:
                if route.access.is_anonymous or route.path in {"/v1/events", "/live"}:
                    continue
                headers = bearer(f"token-{name}") | {"Origin": here.url}
                status, text = await here.ask(route.method, filled(route), headers=headers)
                assert (status == 403) == (not acts & route.access.roles), (route.path, text)

    run(main)


def test_another_host_sees_nothing_not_even_that_it_lives() -> None:
    async def main() -> None:
        async with site() as here:
            for path in ("/healthz", "/v1/status", "/", "/nothing"):
                for host in ("evil.example", "", "localhost.evil.example", "127.0.0.1@evil"):
                    status, _ = await here.ask("GET", path, headers={"Host": host})
                    assert status in {421, 400}, (path, host)
            assert (await here.ask("GET", "/healthz", headers={"Host": "LOCALHOST:1"}))[0] == 200

    run(main)


def test_every_change_by_cookie_needs_our_origin_and_the_token() -> None:
    async def main() -> None:
        async with site() as here:
            good = await here.log_in()
            for route in here.web.routes:
                if route.method in SAFE_METHODS or route.path == "/login":
                    continue
                path = filled(route)
                for headers, wanted in (
                    ({}, "http.foreign-origin"),
                    (good | {"Origin": "http://evil.example"}, "http.foreign-origin"),
                    (good | {"Origin": "null"}, "http.foreign-origin"),
                    (good | {"Origin": here.url.replace("http:", "https:")}, "http.foreign-origin"),
                    ({"Origin": here.url}, "http.csrf"),
                    (good | {CSRF_HEADER: "x"}, "http.csrf"),
                ):
                    status, text = await here.ask(route.method, path, headers=headers)
                    assert status == 403, (path, headers)
                    assert wanted in text, (path, headers)
            assert here.desk.asked == []

    run(main)


def test_a_foreign_origin_is_refused_with_a_token_too() -> None:
    async def main() -> None:
        async with site() as here:
            headers = bearer("token-ada") | {"Origin": "http://evil.example"}
            status, text = await here.ask(
                "POST", "/v1/scans", headers=headers, json={"text": "ZC1"}
            )
            assert (status, code(text)) == (403, "http.foreign-origin")
            assert here.desk.asked == []

    run(main)


def test_bodies_too_big_unknown_or_of_wrong_types_change_nothing() -> None:
    async def main() -> None:
        async with site() as here:
            headers = bearer("token-ada")
            consent = {"plan_sha256": "0" * 64, "confirm": "x"}
            for path, body, wanted in (
                ("/v1/scans", {"text": "x" * 257}, 400),
                ("/v1/scans", {"text": 5}, 400),
                ("/v1/scans", {"text": "x", "more": 1}, 400),
                ("/v1/scans", {}, 400),
                ("/v1/scans", {"text": "x" * 100_000}, 413),
                ("/v1/jobs/x/approve", consent | {"plan_sha256": "0" * 63}, 400),
                ("/v1/jobs/x/approve", consent | {"plan_sha256": "G" * 64}, 400),
                ("/v1/jobs/x/approve", consent | {"by": "vera"}, 400),
                ("/v1/lots/x/approve", {"plans": ["0" * 64] * 513}, 400),
                ("/v1/lots", {"reference": "L"}, 400),
            ):
                status, _ = await here.ask("POST", path, headers=headers, json=body)
                assert status == wanted, (path, body)
            csv = headers | {"Content-Type": "text/csv"}
            status, _ = await here.ask(
                "PUT",
                "/v1/lots/x/manifest",
                headers=csv,
                data=io.BytesIO(b"," * (16 * 1024 * 1024 + 1)),
            )
            assert status == 413
            assert here.desk.asked == []

    run(main)


def test_somebody_dismissed_does_nothing_more_with_an_open_session() -> None:
    async def main() -> None:
        async with site() as here:
            headers = await here.log_in()
            here.people.dismissed.add("ada")
            assert (await here.ask("POST", "/scan", headers=headers, data={"text": "x"}))[0] == 403
            assert here.desk.asked == []

    run(main)


def test_an_idle_screen_locks_shows_the_rack_and_does_nothing() -> None:
    async def main() -> None:
        async with site() as here:
            headers = await here.log_in()
            here.desk.insert("A1", drive_card("ZC1"))
            here.clock.shift_s += 301
            status, text = await here.ask("GET", "/")
            assert status == 200
            assert "LOCKED" in text
            assert "ZC1" in text
            assert "Approve" not in (await here.ask("GET", "/bays/A1"))[1]
            status, _ = await here.ask("POST", "/scan", headers=headers, data={"text": "x"})
            assert status == 403
            form = {"badge": "badge-ada", "pin": "1234", "next": "/"}
            status, _ = await here.ask("POST", "/login", headers={"Origin": here.url}, data=form)
            assert status == 303
            assert "LOCKED" not in (await here.ask("GET", "/"))[1]
            assert here.desk.asked == []

    run(main)


def test_login_by_badge_and_pin_slows_guessing_down() -> None:
    async def main() -> None:
        async with site() as here:

            async def enter(pin: str, **more: str) -> int:
                form = {"badge": "badge-ada", "pin": pin} | more
                headers = {"Origin": here.url}
                return (await here.ask("POST", "/login", headers=headers, data=form))[0]

            assert await enter("1234") == 303
            for _ in range(5):
                assert await enter("0000") == 401
            assert await enter("1234") == 429
            assert await enter("5678", badge="badge-carl") == 303
            here.clock.shift_s += 16
            assert await enter("1234") == 303
            assert await enter("1234", next="//evil.example/") == 303

    run(main)


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/\\evil", "javascript:1", "/\r\nX: y"]
)
def test_login_never_leads_away(target: str) -> None:
    async def main() -> None:
        async with site() as here:
            form = {"badge": "badge-ada", "pin": "1234", "next": target}
            reply = await here.http.post(
                "/login", headers={"Origin": here.url}, data=form, allow_redirects=False
            )
            assert (reply.status, reply.headers["Location"]) == (303, "/")

    run(main)


def test_a_login_link_works_once() -> None:
    async def main() -> None:
        async with site() as here:
            entrant = here.people.now("ada")
            assert entrant is not None
            path = here.web.login_path(entrant, ttl_s=60)
            assert (await here.ask("GET", path))[0] == 303
            here.http.cookie_jar.clear()
            assert (await here.ask("GET", path))[0] == 303
            assert (await here.ask("GET", "/v1/bays"))[0] == 401

    run(main)


def test_health_says_only_that() -> None:
    async def main() -> None:
        async with site() as here:
            status, text = await here.ask("GET", "/healthz")
            assert (status, json.loads(text)) == (200, {"ok": True, "mode": "working"})

    run(main)


def test_a_fault_inside_is_told_without_its_words() -> None:
    async def main() -> None:
        async with site() as here:
            here.desk.error = RuntimeError("/var/lib/secret")
            status, text = await here.ask("GET", "/v1/status", headers=bearer("token-ada"))
            assert (status, code(text)) == (500, "internal")
            assert "secret" not in text

    run(main)


def test_insecure_http_stands_on_every_page_in_red_and_in_the_status() -> None:
    async def main(*, insecure: bool) -> None:
        binding = Binding("0.0.0.0", insecure_http=True) if insecure else Binding()  # noqa: S104
        async with site(binding=binding) as here:
            assert ("INSECURE HTTP" in (await here.ask("GET", "/login"))[1]) is insecure
            await here.log_in()
            for path in ("/", "/lots", "/records"):
                assert ("INSECURE HTTP" in (await here.ask("GET", path))[1]) is insecure
            status = json.loads((await here.ask("GET", "/v1/status"))[1])
            assert ("http.insecure" in [one["code"] for one in status["problems"]]) is insecure

    run(lambda: main(insecure=True))
    run(lambda: main(insecure=False))


def test_roles_of_the_tests_people_are_those_of_the_settings() -> None:
    assert {role for _, role in FakePeople().people.values()} == {
        Role.OPERATOR,
        Role.CUSTODIAN,
        Role.VERIFIER,
    }
