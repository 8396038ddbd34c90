"""What stations tell a centre of their lots: more cases of support/centre_cases.py."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from nullbay.certs import delivery, ledger
from nullbay.certs.keys import PublicKey
from nullbay.certs.ledger import LedgerEntry
from nullbay.certs.lot_document import DOCUMENT_MAX_BYTES, LotDocument, LotEvent, note_of
from nullbay.domain.ids import LotRef
from nullbay.domain.intake import LotClosed, LotOpened, ManifestRow, ManifestTaken
from nullbay.domain.lot import InsertionEnd
from nullbay.server.cards import LineState, ManifestLine
from support import evidence_factory as factory
from support.centre import ADMIN, Answered, Door, MadeStation, lot_of
from support.centre_cases import Where, case
from support.centre_findings import CASES


def tells(of: MadeStation, event: LotEvent) -> tuple[LedgerEntry, bytes]:
    """The station's next entry, and the document that it names."""
    document = LotDocument(of.name, event)
    data = document.encode()
    return of.append(note_of(document, data)), data


def opened(of: MadeStation, lot: str = "LOT-1") -> tuple[LedgerEntry, bytes]:
    return tells(of, LotOpened(lot_of(lot), (), ADMIN, of.now()))


def closed(of: MadeStation, lot: str = "LOT-1") -> tuple[LedgerEntry, bytes]:
    return tells(of, LotClosed(LotRef(lot), ADMIN, of.now()))


def expects(of: MadeStation, *drives: str, lot: str = "LOT-1") -> tuple[LedgerEntry, bytes]:
    """A manifest: each drive as `serial` or `serial/tag`."""
    rows = tuple(
        ManifestRow(line, serial, tag, "")
        for line, (serial, _, tag) in enumerate((one.partition("/") for one in drives), start=2)
    )
    digest = hashlib.sha256("\n".join(drives).encode()).hexdigest()
    return tells(of, ManifestTaken(LotRef(lot), "m.csv", digest, rows, ADMIN, of.now()))


async def sent(door: Door, of: MadeStation, data: bytes, name: str = "") -> Answered:
    digest = name or hashlib.sha256(data).hexdigest()
    return await door.put(f"/v1/documents/{digest}", data, of.token)


async def told(door: Door, of: MadeStation, *given: tuple[LedgerEntry, bytes]) -> None:
    """Entries and documents, all taken."""
    await door.entries(of)
    for _, data in given:
        answer = await sent(door, of, data)
        assert answer.status == 201, answer.body


async def states(door: Door, lot: str = "LOT-1") -> dict[str, str]:
    account = await door.centre.lot(lot)
    return {one.line.serial or one.line.asset_tag: one.state.value for one in account.lines}


@case
async def a_lots_document_comes_after_its_entry_and_is_receipted(where: Where) -> None:
    one, other = MadeStation(), MadeStation("bench-2")
    async with where.open(one, other) as door:
        entry, data = opened(one)
        answer = await sent(door, one, data)
        assert (answer.status, answer.code) == (409, "ledger.missing")
        assert (await door.entry(one, entry)).status == 201
        # What one station's ledger names is nothing that another may deliver.
        answer = await sent(door, other, data)
        assert (answer.status, answer.code) == (409, "ledger.missing")
        first = await sent(door, one, data)
        assert first.status == 201
        said = delivery.read_receipt(first.body, PublicKey.from_pem(door.centre.public_key_pem))
        assert said.envelope_sha256 == hashlib.sha256(data).hexdigest()
        assert (said.station, said.head_sha256) == (one.name, entry.sha256)
        one.event()
        await door.entries(one)
        again = await sent(door, one, data)
        assert (again.status, again.body) == (200, first.body)
    async with where.open(one, other) as door:
        again = await sent(door, one, data)
        assert (again.status, again.body) == (200, first.body)
        [card] = await door.centre.lots()
        assert (card.lot, card.customer) == ("LOT-1", factory.LOT.customer)
        account = await door.centre.lot("lot-1")
        assert (account.open_at, account.card.stations) == ((one.name,), (one.name,))
        await told(door, one, closed(one))
        assert (await door.centre.lot("lot-1")).open_at == ()
        assert await door.codes() == []


@case
async def a_lot_is_reconciled_with_the_manifest_its_station_was_given(where: Where) -> None:
    one = MadeStation()
    # Before the lot was opened the same tag went through, on a drive of somebody else.
    one.close("i-before", cause=InsertionEnd.REFUSED, scanned="NEVER")
    given = [opened(one), expects(one, "SN: DONE1", "LOST1", "HELD1/AT-9", "NEVER", "/AT-5")]
    done = one.record(factory.good_evidence(serial="DONE1"))
    tagged = one.record(factory.good_evidence(serial="BYTAG"), asset_tag="AT-5")
    surplus = one.record(factory.good_evidence(serial="EXTRA"))
    one.close("i-lost", cause=InsertionEnd.NOT_DETECTED, scanned="LOST1 ")
    one.append(
        ledger.InsertionClosed(
            "i-held", "", "AT-9", "A2", InsertionEnd.REMOVED, (), ("plan.held-for-destruction",)
        )
    )
    one.close("i-untouched", scanned="NEVER")
    async with where.open(one) as door:
        await told(door, one, *given)
        for made in (done, tagged, surplus):
            assert (await door.deliver(one, made)).status == 201
        assert await states(door) == {
            "SN: DONE1": "done",
            "LOST1": "not-detected",
            "HELD1": "refused",
            "NEVER": "missing",
            "AT-5": "done",
        }
        account = await door.centre.lot("LOT-1")
        assert [drive.serial for drive in account.surplus] == ["EXTRA"]
        assert account.accounted is False
        [held] = [row for row in account.lines if row.state is LineState.REFUSED]
        assert held.refusals == ("plan.held-for-destruction",)
        [source] = account.manifests
        assert (source.station, source.by, source.lines) == (one.name, ADMIN.person_id, 5)
        # A person's word stands in place of it, and is taken back by giving no line.
        by_hand = await door.centre.keep_manifest("LOT-1", (ManifestLine(1, "EXTRA", ""),), "ada")
        assert [(source.station, source.by) for source in by_hand.manifests] == [("", "ada")]
        assert [row.line.serial for row in by_hand.lines] == ["EXTRA"]
        back = await door.centre.keep_manifest("LOT-1", (), "ada")
        assert back.manifests == account.manifests
        assert back.lines == account.lines


@case
async def the_last_manifest_of_a_station_counts(where: Where) -> None:
    one = MadeStation()
    given = [opened(one), expects(one, "OLD-1", "OLD-2"), expects(one, "NEW-1")]
    async with where.open(one) as door:
        await door.entries(one)
        for _, data in (given[0], given[2], given[1]):  # the earlier one was held up on its way
            assert (await sent(door, one, data)).status == 201
        assert await states(door) == {"NEW-1": "missing"}
        await told(door, one, expects(one, "LAST-1", "LAST-2"))
        assert await states(door) == {"LAST-1": "missing", "LAST-2": "missing"}
        assert await states(door, "lot-1 ") == await states(door)


@case
async def stations_that_share_a_lot_expect_each_drive_once(where: Where) -> None:
    one, two = MadeStation("bench-1"), MadeStation("bench-2")
    async with where.open(one, two) as door:
        await told(door, one, opened(one), expects(one, "S-1", "S-2", "S-3"))
        await told(door, two, opened(two), expects(two, "s-2", "SN: S-3", "S-4"))
        for station, serial in ((one, "S-1"), (two, "S-2"), (two, "S-4")):
            made = station.record(factory.good_evidence(serial=serial))
            assert (await door.deliver(station, made)).status == 201
        assert await states(door) == {
            "S-1": "done",
            "S-2": "done",
            "S-3": "missing",
            "S-4": "done",
        }
        account = await door.centre.lot("LOT-1")
        assert account.surplus == ()
        assert account.open_at == account.card.stations == ("bench-1", "bench-2")
        assert [source.station for source in account.manifests] == ["bench-1", "bench-2"]
        # Another list of one of them changes nothing of the other's.
        await told(door, one, expects(one, "S-1"))
        assert set(await states(door)) == {"S-1", "s-2", "SN: S-3", "S-4"}


@case
async def a_document_that_is_not_what_was_named_is_refused(where: Where) -> None:
    one = MadeStation()
    _, data = opened(one)
    digest = hashlib.sha256(data).hexdigest()
    foreign = LotDocument("bench-9", LotClosed(LotRef("LOT-1"), ADMIN, one.now()))
    one.append(note_of(foreign, foreign.encode()))
    garbage = b'{"schema":"nullbay.lot-document/1"}'
    one.append(note_of(foreign, garbage))
    newer = b'{"schema":"nullbay.lot-document/2"}'
    one.append(note_of(foreign, newer))
    lot = LotDocument(one.name, LotOpened(lot_of("LOT-1"), (), ADMIN, one.now()))
    elsewhere = replace(lot, event=LotOpened(lot_of("LOT-2"), (), ADMIN, one.now()))
    one.append(note_of(elsewhere, lot.encode()))
    huge = bytes(DOCUMENT_MAX_BYTES + 1)
    async with where.open(one) as door:
        await door.entries(one)
        for body, name, status, code in (
            (data.replace(b"LOT-1", b"LOT-2"), digest, 422, "digest.wrong"),
            (data.replace(b"LOT-1", b"LOT-2"), "", 409, "ledger.missing"),
            (foreign.encode(), "", 403, "station.other"),
            (garbage, "", 400, "input.malformed"),
            (newer, "", 400, "input.unknown-schema"),
            (lot.encode(), "", 422, "lot.contradicts-ledger"),
            (huge, "", 413, "input.too-large"),
        ):
            answer = await sent(door, one, body, name)
            assert (answer.status, answer.code) == (status, code)
        page = await door.centre.station(one.name)
        assert {row.code for row in page.refused} == {
            "digest.wrong",
            "station.other",
            "input.malformed",
            "input.unknown-schema",
            "lot.contradicts-ledger",
            "input.too-large",
        }
        assert {row.what for row in page.refused} == {"document"}
        assert hashlib.sha256(garbage).hexdigest() in {row.sha256 for row in page.refused}
        assert (await sent(door, one, data)).status == 201
        assert "lot.contradicts-ledger" in await door.codes()


__all__ = ["CASES", "Where"]
