"""The station's own way of delivering, against a real centre over real HTTP."""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiohttp.test_utils import TestServer

from nullbay.agent.journal.stays import Stays
from nullbay.agent.journal.store import Journal
from nullbay.agent.outbox import Deliverer, Standing
from nullbay.agent.post import HttpPost
from nullbay.certs import delivery, ledger
from nullbay.certs.keys import PublicKey
from nullbay.certs.lot_document import LotDocument, LotEvent, note_of
from nullbay.domain.clock import SystemClock
from nullbay.domain.ids import LotRef
from nullbay.domain.intake import LotOpened, ManifestRow, ManifestTaken
from nullbay.domain.lot import Lot, Person
from support.centre import Door, MadeStation, open_door


def url_of(door: Door) -> str:
    server = door.client.server
    assert isinstance(server, TestServer)
    return str(server.make_url("")).rstrip("/")


async def in_pieces(door: Door, one: MadeStation, folder: Path) -> None:
    """What the deliverer does for a job, request by request, with what it makes of the answers."""
    made = one.record()
    archive = folder / "archive"
    archive.write_bytes(made.archive)
    key = PublicKey.from_pem(door.centre.public_key_pem)
    async with HttpPost(url_of(door), one.token, SystemClock()) as post:
        path = f"/v1/records/{made.name}"
        early = await post.put(path, made.bundle)
        assert (early.status, early.code) == (409, "evidence.missing")
        evidence = f"/v1/evidence/{made.archive_sha256}"
        assert not await post.has(evidence)
        assert (await post.put(evidence, archive)).status == 201
        assert await post.has(evidence)
        late = made.entries[1]
        gap = await post.put(f"/v1/entries/{late.sha256}", delivery.encode_entry(one.name, late))
        assert (gap.status, gap.code) == (409, "ledger.gap")
        for entry in made.entries:
            answer = await post.put(
                f"/v1/entries/{entry.sha256}", delivery.encode_entry(one.name, entry)
            )
            assert answer.status == 201
            assert delivery.read_receipt(answer.body, key).head_sha256 == entry.sha256
        answer = await post.put(path, made.bundle)
        assert answer.status == 201
        assert delivery.read_receipt(answer.body, key).envelope_sha256 == made.name
        assert (await post.heartbeat(one.status())).status == 204


def test_a_jobs_requests(tmp_path: Path) -> None:
    one = MadeStation()

    async def run() -> None:
        async with open_door(tmp_path / "centre", (one,)) as door:
            await in_pieces(door, one, tmp_path)
            assert (await door.centre.station_account(one.name)).accounted

    asyncio.run(run())


def test_lots_and_manifests_are_delivered_with_their_entries(tmp_path: Path) -> None:
    one = MadeStation()
    journal = Journal(tmp_path, SystemClock())
    by = Person("operator", "op-1")
    rows = (ManifestRow(2, "S-1", "", ""), ManifestRow(3, "S-2", "", ""))

    def write(event: LotEvent) -> None:
        document = LotDocument(one.name, event)
        data = document.encode()
        body = ledger.LedgerBody(one.now(), note_of(document, data))
        Stays(journal).happened_with_entry(
            event, lambda last: ledger.append(last, body, one.station_key), document=data
        )

    async def run() -> None:
        async with (
            open_door(tmp_path / "centre", (one,)) as door,
            HttpPost(url_of(door), one.token, SystemClock()) as post,
        ):
            key = PublicKey.from_pem(door.centre.public_key_pem)
            deliverer = Deliverer(
                journal, one.name, post, key, lambda _job: (Path(), Path()), SystemClock()
            )
            write(LotOpened(Lot(LotRef("LOT-1")), (), by, one.now()))
            write(ManifestTaken(LotRef("LOT-1"), "m.csv", "ab" * 32, rows, by, one.now()))
            for _ in range(4):
                step = await deliverer.attempt()
                assert step.standing is Standing.DELIVERING, step
            assert (await deliverer.attempt()).standing is Standing.IDLE
            account = await door.centre.lot("LOT-1")
            assert [row.line.serial for row in account.lines] == ["S-1", "S-2"]
            assert account.manifests[0].sha256 == "ab" * 32

    asyncio.run(run())
    journal.close()


def test_a_journal_is_delivered_and_a_journal_set_back_is_noticed(tmp_path: Path) -> None:
    one = MadeStation()
    journal = Journal(tmp_path, SystemClock())

    def write(code: str) -> None:
        event = ledger.StationEvent(code, "")
        journal.happened_with_entry(
            None,
            lambda last: (
                ledger.append(last, ledger.LedgerBody(one.now(), event), one.station_key),
                None,
            ),
        )

    async def run() -> None:
        async with (
            open_door(tmp_path / "centre", (one,)) as door,
            HttpPost(url_of(door), one.token, SystemClock()) as post,
        ):
            key = PublicKey.from_pem(door.centre.public_key_pem)

            def deliverer(of: Journal) -> Deliverer:
                return Deliverer(
                    of, one.name, post, key, lambda _job: (Path(), Path()), SystemClock()
                )

            for number in range(3):
                write(f"event {number}")
            for _ in range(3):
                assert (await deliverer(journal).attempt()).standing is Standing.DELIVERING
            assert (await deliverer(journal).attempt()).standing is Standing.IDLE
            card = (await door.centre.station(one.name)).card
            last = journal.last_entry()
            assert last is not None
            assert (card.head_sequence, card.head_sha256) == (3, last.sha256)
            # Another journal of the same station: what it has is not what was delivered.
            (tmp_path / "other").mkdir()
            other = Journal(tmp_path / "other", SystemClock())
            event = ledger.StationEvent("rewritten", "")
            other.happened_with_entry(
                None,
                lambda last: (
                    ledger.append(last, ledger.LedgerBody(one.now(), event), one.station_key),
                    None,
                ),
            )
            step = await deliverer(other).attempt()
            assert step.standing is not Standing.DELIVERING
            assert "ledger.fork" in step.detail
            assert await door.codes() == ["ledger.fork"]
            other.close()

    asyncio.run(run())
    journal.close()
