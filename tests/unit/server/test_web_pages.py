"""What the pages say: search, parts, verdicts, checks, and nothing that a browser would run."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from html import escape, unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yarl

from nullbay.certs import ledger
from nullbay.certs.lot_document import LotDocument, note_of
from nullbay.domain.ids import BayId, IdentityKey, LotRef
from nullbay.domain.intake import LotOpened, ManifestRow, ManifestTaken
from nullbay.domain.lot import InsertionEnd, Lot, Person
from nullbay.domain.status import Action, BayState, BayStatus, DriveCard, Why
from nullbay.server.cards import ManifestLine
from support import centre_pages as pages
from support.web import run

HOSTILE = """'"><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}"""


class Page(HTMLParser):
    """What a browser would make of a page: its elements, and the text of it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def require_harmless(text: str, path: str) -> Page:
    """Only elements and attributes of the templates: nothing runs, nothing is styled inline."""
    page = Page(text)
    for tag, attrs in page.tags:
        assert tag not in {"style", "iframe", "object", "embed", "base", "img"}, (path, tag)
        assert not [name for name in attrs if name.startswith("on") or name == "style"], path
        if tag == "script":
            assert (attrs.get("src") or "").startswith("/static/"), path
        for name in ("href", "src", "action"):
            value = attrs.get(name) or "/"
            assert value.startswith(("/", "#")), (path, value)
            assert not value.startswith("//"), (path, value)
    return page


@pytest.mark.parametrize("user_id", ["ada", "vera"])
def test_no_stored_text_becomes_markup(tmp_path: Path, user_id: str) -> None:
    async def main() -> None:
        async with pages.empty(tmp_path) as shown, pages.open_pages(shown) as listener:
            one = shown.stations[pages.STATION]
            lot = Lot(LotRef(HOSTILE[:60]), HOSTILE, HOSTILE, HOSTILE, HOSTILE)
            digest = await one.finishes(
                "mismatched",
                HOSTILE.encode()[:60],
                model=HOSTILE[:60],
                lot=lot,
                asset_tag=HOSTILE,
                label_serial=HOSTILE,
            )
            lines = (ManifestLine(1, HOSTILE, HOSTILE, HOSTILE),)
            await shown.centre.keep_manifest(lot.reference, lines, "ada")
            drive = DriveCard(
                IdentityKey("0" * 64), HOSTILE, HOSTILE, "", "", 1, HOSTILE, "", HOSTILE, False
            )
            why = (Why(HOSTILE, HOSTILE),)
            bay = BayStatus(
                BayId(HOSTILE), 1, 1, BayState.RUNNING, Action.CALL, why=why, drive=drive
            )
            await one.is_well((bay,), problems=why)
            await pages.make_findings(shown)
            for found in (await shown.centre.findings())[:1]:
                await shown.centre.acknowledge(found.id, "ada", HOSTILE)
            async with pages.logged_in(listener, user_id) as browser:
                seen = 0
                for path in (
                    "/",
                    "/live",
                    "/records",
                    f"/records/{digest}",
                    f"/records/{digest}/check",
                    "/lots",
                    "/findings",
                    "/findings?state=all",
                    "/stations",
                    f"/stations/{pages.STATION}",
                    "/users",
                ):
                    answer = await browser.get(path)
                    if answer.status == 403:
                        continue
                    assert answer.status == 200, path
                    page = require_harmless(await answer.text(), path)
                    seen += "alert(1)" in page.text
                lot_page = await browser.get("/lot", params={"reference": lot.reference})
                assert lot_page.status == 200
                seen += "alert(1)" in require_harmless(await lot_page.text(), "lot").text
                # The texts are there, as texts: a page without them would show nothing here.
                assert seen >= (7 if user_id == "ada" else 5)
                search = await browser.get("/records", params={"serial": HOSTILE, "lot": HOSTILE})
                require_harmless(await search.text(), "search")
                missing = await browser.get(
                    "/lots/" + quoted(HOSTILE), headers={"Accept": "text/html"}
                )
                assert missing.status == 404
                require_harmless(await missing.text(), "missing")

    run(main)


def quoted(text: str) -> str:
    """A path's part."""
    return "".join(f"%{byte:02X}" for byte in text.encode())


def test_every_page_is_under_a_strict_policy(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            pages.empty(tmp_path) as shown,
            pages.open_pages(shown) as listener,
            pages.logged_in(listener, "ada") as browser,
        ):
            for path in ("/", "/records", "/lots", "/findings", "/stations", "/users"):
                answer = await browser.get(path)
                policy = answer.headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy
                assert "unsafe" not in policy
                assert answer.headers["Cache-Control"] == "no-store"
                assert len(re.findall("<h1", await answer.text())) == 1

    run(main)


def rows(text: str) -> list[str]:
    """The serial numbers of a list of records, in its order."""
    return re.findall(r'<a class="mono" href="/records/[0-9a-f]{64}">([^<]*)</a>', text)


def test_search_finds_by_each_field(tmp_path: Path) -> None:
    async def main() -> None:
        async with pages.empty(tmp_path) as shown, pages.open_pages(shown) as listener:
            await pages.fill(shown)
            async with pages.logged_in(listener, "vera") as browser:

                async def found(**query: str) -> list[str]:
                    return rows(await (await browser.get("/records", params=query)).text())

                assert len(await found()) == 10
                assert await found(serial="s6epnx0t000003") == ["S6EPNX0T000003"]
                assert await found(serial=" S6EPNX0T000005 ") == ["S6EPNX0T000005"]
                assert await found(asset_tag="AT-0000002") == ["S6EPNX0T000002"]
                assert await found(lot="LOT-2026-0501") == ["5000C500A1B2C3D4"]
                assert await found(verdict="INDETERMINATE") == ["S6EPNX0T000005"]
                assert await found(station=pages.OTHER_STATION) == ["5000C500A1B2C3D4"]
                assert await found(serial="S6EPNX0T000003", verdict="SANITIZED") == []
                assert await found(text="AT-0000001") == ["S6EPNX0T000001"]
                assert await found(serial="%") == []
                assert await found(serial="_") == []
                # Signed on the made-up day of the evidence.
                assert len(await found(since="2026-11-21", until="2026-11-21")) == 10
                assert await found(since="2026-11-22") == []
                assert await found(until="2026-11-20") == []
                wrong = await browser.get("/records", params={"since": "yesterday"})
                assert wrong.status == 400

    run(main)


def test_long_lists_come_in_parts_that_lose_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with pages.empty(tmp_path) as shown, pages.open_pages(shown) as listener:
            for number in range(7):
                await shown.stations[pages.STATION].finishes("good", f"SERIAL-{number}")
            async with pages.logged_in(listener, "vera") as browser:
                seen: list[str] = []
                path: str | None = "/records?limit=3&serial=SERIAL"
                while path is not None:
                    text = await (await browser.get(path)).text()
                    seen += rows(text)
                    older = re.search(r'rel="next" href="([^"]+)"', text)
                    path = older[1].replace("&amp;", "&") if older else None
                assert seen == [f"SERIAL-{number}" for number in reversed(range(7))]
                wrong = await browser.get("/records?after=nonsense")
                assert wrong.status == 400

    run(main)


@pytest.mark.parametrize(
    ("kind", "words", "action"),
    [
        ("good", "SANITIZED", "Release"),
        ("sampled", "SANITIZED", "Release"),
        ("excepted", "SANITIZED, WITH EXCEPTIONS", "Hold"),
        ("mismatched", "NOT SANITIZED", "Do not release"),
        ("unwritable", "NOT SANITIZED", "Do not release"),
        ("absent", "INDETERMINATE", "Do not release"),
    ],
)
def test_a_record_says_its_verdict_and_what_to_do(
    tmp_path: Path, kind: str, words: str, action: str
) -> None:
    async def main() -> None:
        async with pages.empty(tmp_path) as shown, pages.open_pages(shown) as listener:
            digest = await shown.stations[pages.STATION].finishes(kind, "SERIAL-1")
            async with pages.logged_in(listener, "aude") as browser:
                text = await (await browser.get(f"/records/{digest}")).text()
                assert f"<h1>{words}</h1>" in text
                assert f"<b>{action}</b>" in text
                assert text.count('class="pass"') == 8
                assert "Job concluded" in text
                assert "Insertion closed" in text
                if kind == "sampled":
                    assert "Read back by sample: 10.0 %" in text
                    assert "22.6 kB" in text
                if kind == "mismatched":
                    assert "verification.mismatch" in text

    run(main)


def test_a_check_is_made_from_the_stored_bytes_now(tmp_path: Path) -> None:
    """Evidence that changed on the disk shows at the next look, at its own step."""

    async def main() -> None:
        async with pages.empty(tmp_path) as shown, pages.open_pages(shown) as listener:
            digest = await shown.stations[pages.STATION].finishes("good", "SERIAL-1")
            archive = await shown.centre.archive(digest)
            async with pages.logged_in(listener, "aude") as browser:
                path = f"/records/{digest}/check"
                assert "Not authentic" not in await (await browser.get(path)).text()
                archive.chmod(0o600)
                archive.write_bytes(archive.read_bytes() + b"x")
                text = await (await browser.get(path)).text()
                assert "<h1>NOT AUTHENTIC</h1>" in text
                assert "<h1>SANITIZED</h1>" not in text
                assert "Release" not in text
                assert text.count('class="pass"') == 7
                assert text.count('class="fail"') == 1
                assert "certificate.archive" in text
                # No document in good words about a record that is none.
                answer = await browser.get(f"/v1/records/{digest}/pdf")
                assert answer.status == 422
                assert (await answer.json())["code"] == "record.not-authentic"
                assert (await browser.get(f"/v1/records/{digest}/bundle")).status == 200
                archive.unlink()
                text = await (await browser.get(path)).text()
                assert text.count('class="skip-it"') == 1
                assert "Authentic, but its evidence archive is not here." in text

    run(main)


def test_an_authentic_file_in_the_place_of_another_is_noticed(tmp_path: Path) -> None:
    """Somebody swaps two good records in the database: each is authentic, neither belongs there."""

    async def main() -> None:
        async with pages.empty(tmp_path) as shown, pages.open_pages(shown) as listener:
            one = shown.stations[pages.STATION]
            digests = [await one.finishes("good", f"SERIAL-{n}") for n in range(2)]
            bundles = [await shown.centre.bundle(digest) for digest in digests]
            with closing(sqlite3.connect(tmp_path / "centre.sqlite3")) as database, database:
                for digest, bundle in zip(digests, reversed(bundles), strict=True):
                    changed = database.execute(
                        "UPDATE record_file SET bundle = ? WHERE envelope_sha256 = ?",
                        (bundle, digest),
                    )
                    assert changed.rowcount == 1
            async with pages.logged_in(listener, "aude") as browser:
                for digest in digests:
                    text = await (await browser.get(f"/records/{digest}")).text()
                    assert "<h1>NOT AUTHENTIC</h1>" in text
                    assert "<h1>SANITIZED</h1>" not in text

    run(main)


def test_a_record_whose_station_left_the_settings_is_not_called_authentic(tmp_path: Path) -> None:
    async def main() -> None:
        async with pages.empty(tmp_path) as shown, pages.open_pages(shown) as listener:
            digest = await shown.stations[pages.STATION].finishes("good", "SERIAL-1")
            shown.centre.stations.pop(pages.STATION)
            async with pages.logged_in(listener, "aude") as browser:
                text = await (await browser.get(f"/records/{digest}")).text()
                assert "<h1>CANNOT BE CHECKED</h1>" in text
                assert "<h1>SANITIZED</h1>" not in text
                assert "station.removed" in text

    run(main)


def test_a_record_that_cannot_be_told_is_still_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Damaged in the database: no verdict in big words, and the check says what is wrong."""

    async def main() -> None:
        async with pages.empty(tmp_path) as shown, pages.open_pages(shown) as listener:
            digest = await shown.stations[pages.STATION].finishes("good", "SERIAL-1")

            async def damaged(_: str) -> bytes:
                return b"{}"

            monkeypatch.setattr(shown.centre, "bundle", damaged)
            async with pages.logged_in(listener, "aude") as browser:
                answer = await browser.get(f"/records/{digest}")
                text = await answer.text()
                assert answer.status == 200
                assert "No view of this record" in text
                assert "<h1>SANITIZED</h1>" not in text

    run(main)


def test_what_is_made_of_software_says_so_on_every_page(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            pages.empty(tmp_path, simulated=True) as shown,
            pages.open_pages(shown) as listener,
            pages.logged_in(listener, "ada") as browser,
        ):
            digest = await shown.stations[pages.STATION].finishes("good", "SERIAL-1")
            for path in ("/", "/records", f"/records/{digest}", "/lots", "/findings", "/stations"):
                assert "SIMULATED" in await (await browser.get(path)).text(), path
            text = await (await browser.get(f"/records/{digest}")).text()
            assert "SIMULATED: a drive made of software" in text
            assert "Nothing real was sanitized" in text
            assert ">SIM<" in await (await browser.get("/records")).text()

    run(main)


def test_a_lot_shows_what_its_station_told_of_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with pages.empty(tmp_path) as shown, pages.open_pages(shown) as listener:
            one = shown.stations[pages.STATION]
            lot = Lot(LotRef("LOT-9"), customer="Stadtwerke Nord")
            rows = (ManifestRow(2, "HELD-1", "AT-1", ""), ManifestRow(3, "NEVER-1", "", ""))
            by = Person("operator", "olga")
            for event in (
                LotOpened(lot, (), by, one.stamp()),
                ManifestTaken(lot.reference, "m.csv", "ab" * 32, rows, by, one.stamp()),
            ):
                document = LotDocument(pages.STATION, event)
                data = document.encode()
                await one.says(note_of(document, data))
                await shown.centre.deliveries.take_document(
                    pages.STATION, hashlib.sha256(data).hexdigest(), data
                )
            held = ("plan.held-for-destruction",)
            await one.says(
                ledger.InsertionClosed("i-1", "", "AT-1", "A1", InsertionEnd.REMOVED, (), held)
            )
            async with pages.logged_in(listener, "vera") as browser:
                text = await (await browser.get("/lots/LOT-9")).text()
                told = re.sub(r"\s+", " ", Page(text).text)
                for words in (
                    "Stadtwerke Nord",
                    f"open at {pages.STATION}",
                    f"manifest given at {pages.STATION} by olga, 2 lines",
                    "came, and was not worked on: plan.held-for-destruction",
                    "not accounted for",
                ):
                    assert words in told, (words, told)
                assert "1 refused" in told or "1refused" in told
                assert "LOT-9" in await (await browser.get("/lots")).text()

    run(main)


def test_a_lot_accounts_for_every_drive(tmp_path: Path) -> None:
    async def main() -> None:
        async with pages.empty(tmp_path) as shown, pages.open_pages(shown) as listener:
            await pages.fill(shown)
            async with pages.logged_in(listener, "vera") as browser:
                text = await (await browser.get("/lots/LOT-2026-0417")).text()
                page = Page(text)
                told = re.sub(r"\s+", " ", page.text)
                for words in (
                    "9 on the manifest",
                    "7 matched",
                    "1 missing",
                    "1 surplus",
                    "1 not detected",
                    "2 failed",
                    "not accounted for",
                ):
                    assert re.sub(" ", "", words) in re.sub(" ", "", told), words
                assert "2 attempts" in told
                assert "CSV" not in told
                assert "manifest given here by ada, 9 lines" in told
                without = await (await browser.get("/lots/lot-2026-0501")).text()
                assert "nobody can tell" in without

    run(main)


def test_stations_show_presence_and_racks_by_word_and_sign(tmp_path: Path) -> None:
    async def main() -> None:
        async with pages.empty(tmp_path) as shown, pages.open_pages(shown) as listener:
            one = shown.stations[pages.STATION]
            await one.is_well(pages.rack(2, 6))
            async with pages.logged_in(listener, "vera") as browser:
                for shift, word in ((0, "online"), (300, "stale"), (1200, "offline")):
                    shown.clock.shift_s = shift
                    text = await (await browser.get("/")).text()
                    section = text[text.index(pages.STATION) :]
                    assert f"</svg>{word}</span>" in section.replace("\n", ""), word
                for word in ("SHIP", "SHRED", "CALL", "42 %", "in 12 s", "empty"):
                    assert f"<i>{word}</i>" in text
                assert "Bay A1: LEAVE; running, 42 %" in text

    run(main)


def test_a_rack_that_makes_no_sense_is_still_shown(tmp_path: Path) -> None:
    async def main() -> None:
        async with pages.empty(tmp_path) as shown, pages.open_pages(shown) as listener:
            bays = pages.rack(1, 3)
            wild = (
                replace(bays[0], row=1, column=1),
                replace(bays[1], row=1, column=1),
                replace(bays[2], row=2_000_000_000, column=-5),
            )
            await shown.stations[pages.STATION].is_well(wild)
            async with pages.logged_in(listener, "vera") as browser:
                text = await (await browser.get("/")).text()
                assert len(text) < 60_000
                for name in ("A1", "A2", "A3"):
                    assert f"<span>{name}</span>" in text

    run(main)


def test_a_page_nobody_has_says_so_in_words(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            pages.empty(tmp_path) as shown,
            pages.open_pages(shown) as listener,
            pages.logged_in(listener, "vera") as browser,
        ):
            page = {"Accept": "text/html"}
            for path in ("/records/" + "0" * 64, "/lots/none", "/nowhere", "/findings"):
                answer = await browser.get(path, headers=page)
                assert answer.status in {403, 404}, path
                assert answer.content_type == "text/html", path

    run(main)


@pytest.mark.parametrize("name", ["A B/C", "..", ".", "{x}", "a.csv", "ü&b=c", "%2F", "a?b#c"])
def test_a_lot_of_any_name_opens_from_its_links(tmp_path: Path, name: str) -> None:
    async def main() -> None:
        async with pages.empty(tmp_path) as shown, pages.open_pages(shown) as listener:
            one = shown.stations[pages.STATION]
            await one.finishes("good", "SERIAL-1", lot=Lot(LotRef(name)))
            async with pages.logged_in(listener, "aude") as browser:
                text = await (await browser.get("/lots")).text()
                link = re.search(r'<a href="(/lot[^"]+)"><b>', text)
                assert link
                answer = await browser.get(yarl.URL(unescape(link[1]), encoded=True))
                text = await answer.text()
                assert f"<h1>{escape(name)} " in text
                csv = re.search(r'href="([^"]+)" download', text)
                assert csv
                answer = await browser.get(yarl.URL(unescape(csv[1]), encoded=True))
                assert "SERIAL-1" in await answer.text()

    run(main)
