"""What a centre finds out, and how it accounts: more cases of support/centre_cases.py."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from nullbay.certs import ledger
from nullbay.config.server_settings import Limits
from nullbay.domain.canonical import canonical_json
from nullbay.domain.errors import MalformedError
from nullbay.domain.lot import InsertionEnd
from nullbay.domain.verdict import Verdict
from nullbay.server.cards import FindingState, LineState, ManifestLine, Presence, RecordQuery
from nullbay.server.centre import AcknowledgedError, UnknownError
from nullbay.server.db import standing
from support import evidence_factory as factory
from support.centre import MadeStation, bay
from support.centre_cases import CASES, Where, case, entry_like


@case
async def a_head_that_goes_back_is_found(where: Where) -> None:
    one = MadeStation()
    for _ in range(3):
        one.event()
    async with where.open(one) as door:
        await door.entries(one)
        assert (await door.heartbeat(one)).status == 204
        back = one.entries[1].head
        cut = {"head_sequence": back.sequence, "head_sha256": back.sha256}
        # So soon it may have been read before the last entry was written.
        assert (await door.heartbeat(one, one.status(**cut))).status == 204
        assert await door.codes() == []
        one.second += 60
        assert (await door.heartbeat(one, one.status(**cut))).status == 204
        assert await door.codes() == ["head.backwards"]
        # Once it happened it stays, whatever the station says afterwards.
        assert (await door.heartbeat(one)).status == 204
        assert await door.codes() == ["head.backwards"]


@case
async def an_emptied_ledger_is_found(where: Where) -> None:
    one = MadeStation()
    one.event()
    async with where.open(one) as door:
        await door.entries(one)
        one.second += 61
        body = one.status(head_sequence=0, head_sha256=ledger.GENESIS)
        assert (await door.heartbeat(one, body)).status == 204
        assert await door.codes() == ["head.backwards"]


@case
async def a_head_told_before_it_is_delivered_binds(where: Where) -> None:
    one = MadeStation()
    one.event()
    async with where.open(one) as door:
        await door.entries(one)
        one.event("first")
        assert (await door.heartbeat(one)).status == 204
        # The journal is rolled back and another history written, before anything was delivered.
        one.entries.pop()
        one.event("second")
        one.event("third")
        assert (await door.heartbeat(one)).status == 204
        assert await door.codes() == []
        await door.entries(one)
        assert await door.codes() == ["head.forked"]


@case
async def a_head_told_and_withdrawn_is_found(where: Where) -> None:
    one = MadeStation()
    one.event()
    one.event()
    async with where.open(one) as door:
        assert (await door.entry(one, one.entries[0])).status == 201
        assert (await door.heartbeat(one)).status == 204
        other = entry_like(one, 2, ledger.StationEvent("other", ""))
        body = one.status(head_sha256=other.sha256)
        assert (await door.heartbeat(one, body)).status == 204
        assert await door.codes() == ["head.forked"]
        body = one.status(head_sequence=1, head_sha256=one.entries[0].sha256)
        assert (await door.heartbeat(one, body)).status == 204
        assert await door.codes() == ["head.backwards", "head.forked"]


@case
async def a_head_with_another_digest_than_delivered_is_found(where: Where) -> None:
    one = MadeStation()
    one.event()
    one.event()
    async with where.open(one) as door:
        await door.entries(one)
        assert (await door.heartbeat(one, one.status(head_sha256="ab" * 32))).status == 204
        assert await door.codes() == ["head.forked"]


@case
async def a_status_that_was_overtaken_is_no_finding(where: Where) -> None:
    one = MadeStation()
    one.event()
    early = one.status()
    one.event()
    newer = one.status()
    async with where.open(one) as door:
        await door.entries(one)
        # Made before the second entry, arrived after it.
        assert (await door.heartbeat(one, early)).status == 204
        assert (await door.heartbeat(one, newer)).status == 204
        assert (await door.heartbeat(one, early)).status == 204
        assert await door.codes() == []
        card = (await door.centre.station(one.name)).card
        assert card.status is not None
        assert card.status.head_sequence == 2


@case
async def a_rolled_back_station_after_a_reboot_is_found(where: Where) -> None:
    one = MadeStation()
    one.event()
    one.event()
    async with where.open(one) as door:
        await door.entries(one)
        one.entries.pop()
        one.boot_id = "11111111-0b5d-4e7f-9a81-3c2d1e0f4b5a"
        assert (await door.heartbeat(one)).status == 204
        assert await door.codes() == ["head.backwards"]


@case
async def a_status_that_is_none_is_refused(where: Where) -> None:
    one = MadeStation()
    good = json.loads(one.status())
    async with where.open(one) as door:
        for change, code in (
            ({"schema": "nullbay.status/2"}, "input.unknown-schema"),
            ({"station": "bench-2"}, "station.other"),
            ({"site": "a\nb"}, "input.malformed"),
            ({"head_sha256": "x"}, "input.malformed"),
            ({"head_sequence": str(2**63)}, "input.malformed"),
            ({"more": 1}, "input.malformed"),
            ({"at": good["at"] | {"at": "2026-02-30T00:00:00.000000Z"}}, "input.malformed"),
            ({"at": good["at"] | {"boot_id": "a b"}}, "input.malformed"),
            ({"at": good["at"] | {"boottime_us": -1}}, "input.malformed"),
        ):
            answer = await door.heartbeat(one, canonical_json(good | change))
            assert answer.code == code
            assert 400 <= answer.status < 500
        card = (await door.centre.station(one.name)).card
        assert card.presence is Presence.NEVER


@case
async def an_archive_that_is_lost_stays_lost(where: Where) -> None:
    one = MadeStation()
    where.patch.setattr(standing, "LOOKED_FOR", 1)
    async with where.open(one) as door:
        first, *others = (one.record() for _ in range(4))
        assert (await door.deliver(one, first)).status == 201
        (await door.centre.archive(first.name)).unlink()
        assert await door.codes() == ["evidence.lost"]
        for made in others:
            assert (await door.deliver(one, made)).status == 201
            assert await door.codes() == ["evidence.lost"]
        # One that was lost long after it came is found when its turn comes.
        (await door.centre.archive(others[1].name)).unlink()
        for _ in range(5):
            door.clock.second += 30
            await door.centre.review()
        assert (await door.codes()).count("evidence.lost") == 2


@case
async def presence_follows_age(where: Where) -> None:
    one = MadeStation()
    async with where.open(one) as door:

        async def presence() -> Presence:
            (card,) = await door.centre.fleet()
            return card.presence

        assert await presence() is Presence.NEVER
        door.clock.second += 901
        assert await door.codes() == ["station.silent"]
        one.second = door.clock.second
        assert (await door.heartbeat(one)).status == 204
        assert await presence() is Presence.ONLINE
        assert await door.codes() == []
        door.clock.second += 121
        assert await presence() is Presence.STALE
        assert await door.codes() == []
        door.clock.second += 900
        assert await presence() is Presence.OFFLINE
        assert await door.codes() == ["station.silent"]
        # Silent again is another finding than silent before.
        found = await door.centre.findings(state=None)
        assert [row.state for row in found] == [FindingState.OPEN, FindingState.OVER]


@case
async def a_clock_that_is_wrong_is_found(where: Where) -> None:
    one = MadeStation(wall_s=-400)
    async with where.open(one) as door:
        assert (await door.heartbeat(one)).status == 204
        assert await door.codes() == ["station.wrong-clock"]


@case
async def a_job_that_never_ends_is_found_unless_it_is_shown(where: Where) -> None:
    one = MadeStation()
    one.start("j-1", "i-1")
    async with where.open(one) as door:
        await door.entries(one)
        (card,) = await door.centre.fleet()
        assert card.open_jobs == 1

        async def after(days: int, *bays: Any) -> list[str]:
            door.clock.second += days * 86_400
            one.second = door.clock.second
            assert (await door.heartbeat(one, one.status(bays=bays))).status == 204
            return await door.codes()

        assert await after(6, bay("j-1")) == []
        assert await after(6, bay(None, "i-1")) == []
        assert await after(6) == []
        assert await after(2) == ["job.open-too-long"]
        # A drive that is put back resumes its job.
        assert await after(1, bay("j-1", "i-2")) == []
        assert (await door.centre.station_account(one.name)).jobs_open == ("j-1",)


@case
async def a_record_that_does_not_come_is_found(where: Where) -> None:
    one = MadeStation()
    made = one.record()
    async with where.open(one) as door:
        await door.entries(one)
        assert await door.codes() == []
        door.clock.second += 3601
        one.second = door.clock.second
        assert (await door.heartbeat(one)).status == 204
        assert await door.codes() == ["record.missing"]
        account = await door.centre.station_account(one.name)
        assert account.records_missing == (made.job,)
        assert not account.accounted
        assert (await door.deliver(one, made)).status == 201
        assert await door.codes() == []
        assert (await door.centre.station_account(one.name)).accounted


@case
async def a_stay_that_is_never_closed_is_found(where: Where) -> None:
    one = MadeStation()
    made = one.record(close=False)
    async with where.open(one) as door:
        assert (await door.deliver(one, made)).status == 201
        assert (await door.centre.station_account(one.name)).insertions_open == (made.insertion,)
        door.clock.second += 86_401
        one.second = door.clock.second
        assert (await door.heartbeat(one)).status == 204
        assert await door.codes() == ["insertion.open-too-long"]
        one.close(made.insertion, (made.job,))
        await door.entries(one)
        assert await door.codes() == []
        assert (await door.centre.station_account(one.name)).accounted


@case
async def what_happens_twice_on_a_ledger_is_found(where: Where) -> None:
    one = MadeStation()
    made = one.record()
    one.start(made.job)
    said = ledger.read_body(made.entries[1].body).event
    assert isinstance(said, ledger.JobConcluded)
    one.append(replace(said, verdict=Verdict.INDETERMINATE, statement_sha256="ab" * 32))
    one.append(replace(said, job_id="j-nobody-started"))
    one.close(made.insertion)
    async with where.open(one) as door:
        assert (await door.deliver(one, made)).status == 201
        assert await door.codes() == ["insertion.doubled", "job.doubled", "job.never-started"]
        assert not (await door.centre.station_account(one.name)).accounted


@case
async def an_insertion_without_a_job_counts(where: Where) -> None:
    one = MadeStation()
    one.close("i-refused", cause=InsertionEnd.REFUSED)
    one.close("i-lost", cause=InsertionEnd.NOT_DETECTED, scanned="S6EPLOST")
    async with where.open(one) as door:
        await door.entries(one)
        account = await door.centre.station_account(one.name)
        assert {row.name: row.number for row in account.insertions} == {
            "not-detected": 1,
            "refused": 1,
        }
        assert account.accounted
        listed = await door.centre.insertions(one.name, limit=1)
        assert [row.insertion for row in listed.items] == ["i-lost"]
        rest = await door.centre.insertions(one.name, after=listed.after, limit=1)
        assert ([row.insertion for row in rest.items], rest.after) == (["i-refused"], None)


@case
async def a_finding_is_acknowledged_once_and_kept(where: Where) -> None:
    one = MadeStation()
    one.event()
    fork = entry_like(one, 1, ledger.StationEvent("other", ""))
    async with where.open(one) as door:
        await door.entries(one)
        assert (await door.entry(one, fork)).code == "ledger.fork"
        (found,) = await door.centre.findings()
        for note in ("", "  ", "x" * 1001, "a\x00b"):
            with pytest.raises(MalformedError):
                await door.centre.acknowledge(found.id, "ada", note)
        done = await door.centre.acknowledge(found.id, "ada", "Journal restored,\r\nsee ticket 7")
        assert done.state is FindingState.ACKNOWLEDGED
        assert (done.acknowledged_by, done.note) == ("ada", "Journal restored,\nsee ticket 7")
        with pytest.raises(AcknowledgedError):
            await door.centre.acknowledge(found.id, "bob", "me too")
        assert await door.codes() == []
        # It happens again: that is news.
        assert (await door.entry(one, fork)).code == "ledger.fork"
        assert await door.codes() == ["ledger.fork"]
        assert len(await door.centre.findings(state=None)) == 2
        with pytest.raises(UnknownError):
            await door.centre.finding("nothing\x00")


@case
async def refused_things_do_not_grow_without_end(where: Where) -> None:
    one = MadeStation()
    name = "ab" * 32
    async with where.open(one, limits=Limits(reserve_bytes=0, refused_kept=10)) as door:
        for number in range(25):
            body = f"junk {number}".encode()
            answer = await door.put(f"/v1/entries/{name}", body, one.token)
            assert answer.code == "input.malformed"
            await door.put(f"/v1/entries/{name}", b"the same", one.token)
        rows = (await door.centre.station(one.name)).refused
        assert len(rows) == 10
        assert {row.times for row in rows if row.times > 1} == {25}
        assert await door.codes() == ["input.malformed"]


@case
async def records_are_found_by_what_people_type(where: Where) -> None:
    one = MadeStation()
    async with where.open(one) as door:
        first = one.record(factory.good_evidence(serial="S6EP_1%A"), lot="Lot 7", asset_tag="AT-1")
        second = one.record(
            factory.good_evidence(serial="S6EPX1"),
            lot="Lot 8",
            asset_tag="at-2",
            label_serial="WD-XYZ",
        )
        third = one.record(factory.mismatched_evidence(), lot="", asset_tag="")
        for made in (first, second, third):
            assert (await door.deliver(one, made)).status == 201

        async def found(**asked: Any) -> set[str]:
            listed = await door.centre.records(RecordQuery(**asked))
            return {card.job for card in listed.items}

        assert await found() == {first.job, second.job, third.job}
        assert await found(serial=" s6ep_1% ") == {first.job}
        assert await found(serial="S6EP_") == {first.job}
        assert await found(serial="%") == set()
        assert await found(text="wd-x") == {second.job}
        assert await found(text="LOT ") == {first.job, second.job}
        assert await found(asset_tag="AT-") == {first.job, second.job}
        assert await found(lot="lot 8") == {second.job}
        assert await found(verdict=Verdict.NOT_SANITIZED) == {third.job}
        assert await found(station="bench-2\x00") == set()
        assert await found(text="\x00' OR 1=1 --\ud800") == set()
        with pytest.raises(MalformedError):
            await found(after="x")
        every = [card.job async for card in door.centre.every_record(RecordQuery())]
        assert every == [third.job, second.job, first.job]
        part = await door.centre.records(RecordQuery(limit=2))
        assert [card.job for card in part.items] == [third.job, second.job]
        rest = await door.centre.records(RecordQuery(limit=2, after=part.after))
        assert ([card.job for card in rest.items], rest.after) == ([first.job], None)


@case
async def a_lot_is_reconciled_with_its_manifest(where: Where) -> None:
    one = MadeStation()
    async with where.open(one) as door:
        good = factory.good_evidence(serial="DONE1")
        failed = one.record(
            replace(
                factory.unwritable_evidence(),
                identity=good.identity,
                plan=replace(factory.unwritable_evidence().plan, identity_key=good.identity.key),
                sessions=good.sessions,
            )
        )
        done = one.record(good)
        surplus = one.record(factory.good_evidence(serial="EXTRA"))
        one.close("i-lost", cause=InsertionEnd.NOT_DETECTED, scanned="LOST1 ")
        for made in (failed, done, surplus):
            answer = await door.deliver(one, made)
            assert answer.status == 201, answer.body
        account = await door.centre.lot("lot-1")
        assert account.accounted is None
        assert [drive.serial for drive in account.drives] == ["EXTRA", "DONE1"]
        (drive,) = (one for one in account.drives if one.serial == "DONE1")
        assert drive.verdict is Verdict.SANITIZED
        assert [card.verdict for card in drive.records] == [
            Verdict.SANITIZED,
            Verdict.NOT_SANITIZED,
        ]
        lines = (
            ManifestLine(2, "done1", ""),
            ManifestLine(3, "LOST1", ""),
            ManifestLine(4, "NEVER", "AT-NEVER"),
        )
        account = await door.centre.keep_manifest("LOT-1", lines, "ada")
        assert [row.state for row in account.lines] == [
            LineState.DONE,
            LineState.NOT_DETECTED,
            LineState.MISSING,
        ]
        assert [drive.serial for drive in account.surplus] == ["EXTRA"]
        assert account.accounted is False
        assert {row.name: row.number for row in account.counts} == {
            "expected": 3, "missing": 1, "not-detected": 1, "refused": 0, "done": 1, "surplus": 1,
        }  # fmt: skip
        account = await door.centre.keep_manifest(
            "LOT-1", (ManifestLine(2, "DONE1", ""), ManifestLine(3, "EXTRA", "")), "ada"
        )
        assert account.accounted is True
        await door.centre.keep_manifest("LOT-2", (ManifestLine(2, "X", ""),), "ada")
        cards = await door.centre.lots()
        assert [(card.lot, card.drives, card.has_manifest) for card in cards] == [
            ("LOT-1", 2, True),
            ("LOT-2", 0, True),
        ]
        with pytest.raises(UnknownError):
            await door.centre.lot("LOT-3")


__all__ = ["CASES", "Where"]
