"""Templates that escape, numbers that do not flatter, files that are what they were."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from aiohttp import web
from jinja2 import UndefinedError

from nullbay.domain.clock import ClockSync, Stamp
from nullbay.web.pages import (
    FOREVER,
    SHARED_STATIC,
    Pages,
    Static,
    own_path,
    shown_bytes,
    shown_duration,
    shown_rate,
    shown_stamp,
)
from nullbay.web.routes import application
from nullbay.web.security import Gate
from nullbay.web.sessions import FixedTokens, Sessions
from support.web import HandClock, client, run, served

VENDORED = {
    # htmx.org 2.0.11 from the npm registry, dist/htmx.min.js and LICENSE
    "htmx.min.js": "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717",
    "htmx-LICENSE.txt": "d3d2456f76414f2456104660ebd65aff1c04cd7966b942bdabd63f3cdb316a38",
}


def test_vendored_files_are_the_ones_that_were_looked_at() -> None:
    held = {path.name: path.read_bytes() for path in SHARED_STATIC.iterdir()}
    assert {name: hashlib.sha256(data).hexdigest() for name, data in held.items()} == VENDORED


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1 kB"),
        (480_103_981_056, "480 GB"),
        (999_999_999_999, "999 GB"),
        (1_920_383_410_176, "1.92 TB"),
        (4_000_787_030_016, "4 TB"),
        (18_000_207_937_536, "18 TB"),
        (10**18, "1000 PB"),
    ],
)
def test_sizes_are_never_rounded_up(count: int, text: str) -> None:
    assert shown_bytes(count) == text


def test_times_and_rates() -> None:
    told = [shown_duration(n) for n in (0, 59, 60, 3540, 3600, 11_100, 86_400, 200_000)]
    assert told == ["0 s", "59 s", "1 min", "59 min", "1 h 00", "3 h 05", "1 d 0 h", "2 d 7 h"]
    assert shown_rate(182_500_000) == "182 MB/s"
    assert shown_rate(5) == "under 1 MB/s"
    stamp = Stamp("2026-11-21T20:00:01.500000Z", 0, "b", ClockSync.UNKNOWN)
    assert shown_stamp(stamp) == "2026-11-21 20:00:01 UTC"
    assert shown_stamp(None) == "–"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("/lots/L%201?x=1", "/lots/L%201?x=1"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("", "/"),
        ("/a\r\nSet-Cookie: x", "/"),
        ("/ä", "/"),
    ],
)
def test_only_own_paths_are_gone_on_to(given: str, kept: str) -> None:
    assert own_path(given) == kept


def make(folder: Path) -> tuple[Pages, Static]:
    (folder / "static").mkdir()
    (folder / "static" / "a.css").write_text("a{}")
    (folder / "page.html").write_text("{{ text }}{{ static('a.css') }}")
    static = Static(folder / "static", SHARED_STATIC)
    return Pages(folder, static), static


def test_texts_are_escaped_and_gaps_are_errors(tmp_path: Path) -> None:
    pages, _ = make(tmp_path)
    assert pages.show("page.html", text="<b>").startswith("&lt;b&gt;/static/")
    with pytest.raises(UndefinedError):
        pages.show("page.html")


def test_static_files_live_for_ever_at_their_digest_only(tmp_path: Path) -> None:
    _, static = make(tmp_path)

    async def main() -> None:
        clock = HandClock()
        gate = Gate(clock, FixedTokens([]), Sessions(clock), frozenset({"127.0.0.1"}))
        app: web.Application = application([static.route()], gate)
        async with served(app) as listener, client(listener.url) as session:
            reply = await session.get(static.url("a.css"))
            assert await reply.text() == "a{}"
            assert reply.headers["Cache-Control"] == FOREVER
            assert reply.headers["Content-Type"] == "text/css; charset=utf-8"
            reply = await session.get(static.url("htmx.min.js"))
            assert reply.headers["Content-Type"].startswith("text/javascript")
            for path in ("/static/0/a.css", "/static/x/..%2Fpage.html", "/static/a.css"):
                assert (await session.get(path)).status == 404

    run(main)
    with pytest.raises(KeyError):
        static.url("page.html")
