"""Logging in and out, and what a foreign page or a guesser gets."""

from __future__ import annotations

import re
from pathlib import Path

import aiohttp

from nullbay.server.web.app import site_of
from nullbay.server.web.login import link_path
from nullbay.web.serve import Binding
from support import centre_pages as pages
from support.web import client, run


def test_whoever_is_unknown_is_sent_to_log_in_and_back(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            pages.empty(tmp_path) as shown,
            pages.open_pages(shown) as listener,
            client(listener.url) as browser,
        ):
            page = {"Accept": "text/html"}
            answer = await browser.get("/lots?text=a", headers=page, allow_redirects=False)
            assert answer.status == 303
            assert answer.headers["Location"] == "/login?next=%2Flots%3Ftext%3Da"
            answer = await browser.post(
                "/login",
                data={"user": "vera", "password": pages.PASSWORD, "next": "/lots?text=a"},
                headers={"Origin": listener.url},
                allow_redirects=False,
            )
            assert (answer.status, answer.headers["Location"]) == (303, "/lots?text=a")
            cookie = answer.headers["Set-Cookie"]
            assert "HttpOnly" in cookie
            assert "SameSite=Strict" in cookie
            assert (await browser.get("/lots?text=a")).status == 200

    run(main)


def test_no_login_leads_to_another_site(tmp_path: Path) -> None:
    async def main() -> None:
        async with pages.empty(tmp_path) as shown, pages.open_pages(shown) as listener:
            for target in ("//evil.example", "https://evil.example", "/\\evil.example", "x"):
                async with client(listener.url) as browser:
                    answer = await browser.post(
                        "/login",
                        data={"user": "vera", "password": pages.PASSWORD, "next": target},
                        headers={"Origin": listener.url},
                        allow_redirects=False,
                    )
                    assert answer.headers["Location"] == "/", target

    run(main)


def test_guessing_is_slowed_down_even_for_the_right_password(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            pages.empty(tmp_path) as shown,
            pages.open_pages(shown) as listener,
            client(listener.url) as browser,
        ):

            async def attempt(password: str) -> int:
                answer = await browser.post(
                    "/login",
                    data={"user": "vera", "password": password},
                    headers={"Origin": listener.url},
                    allow_redirects=False,
                )
                return answer.status

            seen = [await attempt("wrong") for _ in range(8)]
            assert seen[0] == 401
            assert seen[-1] == 429
            assert await attempt(pages.PASSWORD) == 429
            shown.clock.shift_s += 3600
            assert await attempt(pages.PASSWORD) == 303

    run(main)


def test_one_guesser_does_not_lock_out_the_others_of_an_address(tmp_path: Path) -> None:
    async def main() -> None:
        async with pages.empty(tmp_path) as shown, pages.open_pages(shown) as listener:
            async with client(listener.url) as browser:
                for number in range(10):
                    await browser.post(
                        "/login",
                        data={"user": f"guess-{number}", "password": "wrong"},
                        headers={"Origin": listener.url},
                    )
            async with pages.logged_in(listener, "vera") as browser:
                assert (await browser.get("/")).status == 200

    run(main)


def test_a_wrong_login_says_so_and_keeps_no_password(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            pages.empty(tmp_path) as shown,
            pages.open_pages(shown) as listener,
            client(listener.url) as browser,
        ):
            answer = await browser.post(
                "/login",
                data={"user": '"><script>alert(1)</script>', "password": "hunter2-hunter2"},
                headers={"Origin": listener.url},
            )
            text = await answer.text()
            assert "do not fit" in text
            assert "<script>alert" not in text
            assert "hunter2" not in text

    run(main)


def test_a_link_opens_once_and_only_for_a_while(tmp_path: Path) -> None:
    async def main() -> None:
        async with pages.empty(tmp_path) as shown, pages.open_pages(shown) as listener:
            ada = shown.site.people.find("ada")
            assert ada is not None

            async def follow(path: str) -> int:
                async with client(listener.url) as browser:
                    assert (await browser.get(path)).status == 200
                    answer = await browser.post(
                        "/login/link",
                        data={"secret": path.partition("=")[2]},
                        headers={"Origin": listener.url},
                        allow_redirects=False,
                    )
                    if answer.status == 303:
                        assert (await browser.get("/users")).status == 200
                    return answer.status

            first = link_path(shown.site, ada)
            assert await follow(first) == 303
            assert await follow(first) == 401
            late = link_path(shown.site, ada)
            shown.clock.shift_s += 3600
            assert await follow(late) == 401

    run(main)


def test_a_change_needs_our_own_page_and_its_token(tmp_path: Path) -> None:
    async def main() -> None:
        async with pages.empty(tmp_path) as shown, pages.open_pages(shown) as listener:
            await pages.make_findings(shown)
            (found, *_) = await shown.centre.findings()
            path = f"/findings/{found.id}/acknowledge"
            async with pages.logged_in(listener, "otto") as browser:
                token = await csrf(browser)
                own, foreign = {"Origin": listener.url}, {"Origin": "https://evil.example"}
                right = {"X-CSRF-Token": token}
                for headers in (own, right, {**foreign, **right}, {**own, "X-CSRF-Token": "x"}):
                    answer = await browser.post(path, data={"note": "n"}, headers=headers)
                    assert answer.status == 403, headers
                assert len(await shown.centre.findings()) == 2
                note = {"note": "the journal was restored"}
                answer = await browser.post(path, data=note, headers={**own, **right})
                assert answer.status == 200
            found = await shown.centre.finding(found.id)
            assert (found.acknowledged_by, found.note) == ("otto", "the journal was restored")

    run(main)


def test_logging_out_ends_the_session_on_the_server(tmp_path: Path) -> None:
    async def main() -> None:
        async with pages.empty(tmp_path) as shown, pages.open_pages(shown) as listener:
            async with pages.logged_in(listener, "vera") as browser:
                cookies = {one.key: one.value for one in browser.cookie_jar}
                headers = {"Origin": listener.url, "X-CSRF-Token": await csrf(browser)}
                assert (await browser.post("/logout", headers=headers)).status == 200
            async with client(listener.url) as again:
                answer = await again.get(
                    "/v1/stations", cookies=cookies, headers={"Accept": "application/json"}
                )
                assert answer.status == 401

    run(main)


def test_an_idle_session_asks_for_the_password_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            pages.empty(tmp_path) as shown,
            pages.open_pages(shown) as listener,
            pages.logged_in(listener, "vera") as browser,
        ):
            page = {"Accept": "text/html"}
            for _ in range(4):
                shown.clock.shift_s += 600
                # A page that refreshes itself is no use of the session.
                await browser.get("/live", headers=page)
            answer = await browser.get("/", headers=page, allow_redirects=False)
            assert (answer.status, answer.headers["Location"]) == (303, "/login")

    run(main)


def test_a_page_over_an_open_connection_says_so(tmp_path: Path) -> None:
    async def main() -> None:
        async with pages.empty(tmp_path) as shown:
            site = site_of(shown.centre, shown.clock, Binding("192.0.2.1", insecure_http=True))
            shown.site = site
            site.gate.hosts |= {"127.0.0.1"}
            async with pages.open_pages(shown) as listener, client(listener.url) as browser:
                assert "open connection" in await (await browser.get("/login")).text()
            async with (
                pages.open_pages(shown) as listener,
                pages.logged_in(listener, "vera") as browser,
            ):
                assert "open connection" in await (await browser.get("/")).text()

    run(main)


async def csrf(browser: aiohttp.ClientSession) -> str:
    """The token that the page holds for its script."""
    found = re.search(
        r'<meta name="csrf" content="([^"]+)">', await (await browser.get("/")).text()
    )
    assert found
    return found[1]
