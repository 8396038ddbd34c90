"""What a centre must do, whatever database it keeps its rows in: each case through the HTTP door.

Run by the unit tier on SQLite and by the integration tier on PostgreSQL.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from nullbay.certs import archive, bundle, delivery, dsse, ledger
from nullbay.certs.keys import PublicKey
from nullbay.config.server_settings import Limits
from nullbay.domain.canonical import canonical_json
from nullbay.domain.verdict import Verdict
from nullbay.server.cards import FindingState, RecordQuery
from nullbay.server.centre import UnknownError
from support import evidence_factory as factory
from support.centre import Door, MadeStation, Record, open_door

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@dataclass(frozen=True)
class Where:
    """A state directory and a database of a case's own."""

    state: Path
    database: str
    patch: pytest.MonkeyPatch

    def open(self, *stations: MadeStation, **more: Any) -> AbstractAsyncContextManager[Door]:
        return open_door(self.state, stations, database=self.database, **more)


Case = Callable[[Where], Awaitable[None]]
CASES: dict[str, Case] = {}


def case(function: Case) -> Case:
    CASES[function.__name__] = function
    return function


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something that happens elsewhere, for a generous time."""
    for _ in range(3000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError


def entry_like(of: MadeStation, at: int, event: ledger.LedgerEvent) -> ledger.LedgerEntry:
    """Another entry in place of number `at`, properly signed."""
    before = of.entries[at - 2] if at > 1 else None
    return ledger.append(before, ledger.LedgerBody(of.now(), event), of.station_key)


@case
async def a_record_is_delivered_in_order_and_receipted(where: Where) -> None:
    one = MadeStation()
    async with where.open(one) as door:
        made = one.record()
        answer = await door.record(one, made.bundle)
        assert (answer.status, answer.code) == (409, "evidence.missing")
        assert (await door.evidence(one, made.archive)).status == 201
        assert (await door.evidence(one, made.archive)).status == 200
        answer = await door.record(one, made.bundle)
        assert (answer.status, answer.code) == (409, "ledger.missing")
        key = PublicKey.from_pem(door.centre.public_key_pem)
        for entry in made.entries:
            answer = await door.entry(one, entry)
            assert answer.status == 201
            said = delivery.read_receipt(answer.body, key)
            assert said.envelope_sha256 == said.head_sha256 == entry.sha256
            assert (said.station, said.head_sequence) == (one.name, entry.sequence)
        answer = await door.record(one, made.bundle)
        assert answer.status == 201
        said = delivery.read_receipt(answer.body, key)
        assert said.envelope_sha256 == made.name
        assert (said.head_sequence, said.head_sha256) == (one.head.sequence, one.head.sha256)
        page = await door.centre.record(made.name)
        assert page.check.authentic
        assert page.check.verdict is Verdict.SANITIZED
        assert page.archive_bytes == len(made.archive)
        assert page.receipt == answer.body
        assert await door.centre.bundle(made.name) == made.bundle
        assert (await door.centre.archive(made.name)).read_bytes() == made.archive
        account = await door.centre.station_account(one.name)
        assert account.accounted
        assert await door.codes() == []


@case
async def whatever_comes_again_gets_the_same_receipt(where: Where) -> None:
    one = MadeStation()
    made = one.record()
    receipts: list[bytes] = []
    for status in (201, 200, 200):
        # Each time by a centre that was started anew.
        async with where.open(one) as door:
            answers = [await door.entry(one, entry) for entry in made.entries]
            assert (await door.evidence(one, made.archive)).status == status
            answers.append(await door.record(one, made.bundle))
            assert {answer.status for answer in answers} == {status}
            receipts.append(b"".join(answer.body for answer in answers))
            one.event()
            assert (await door.entry(one, one.entries[-1])).status == 201
    assert len(set(receipts)) == 1


@case
async def an_entry_signed_again_is_the_same_entry(where: Where) -> None:
    one = MadeStation()
    entry = one.start("j-1")
    again = ledger.append(None, ledger.read_body(entry.body), one.station_key)
    assert again.sha256 == entry.sha256
    assert again.envelope != entry.envelope
    async with where.open(one) as door:
        first = await door.entry(one, entry)
        assert (await door.entry(one, again)).body == first.body


@case
async def another_entry_in_the_same_place_is_a_fork(where: Where) -> None:
    one = MadeStation()
    for code in ("a", "b", "c"):
        one.event(code)
    other = entry_like(one, 2, ledger.StationEvent("rewritten", ""))
    behind = ledger.append(
        other, ledger.LedgerBody(one.now(), ledger.StationEvent("next", "")), one.station_key
    )
    behind_3 = ledger.append(
        behind, ledger.LedgerBody(one.now(), ledger.StationEvent("4", "")), one.station_key
    )
    async with where.open(one) as door:
        await door.entries(one)
        for entry in (other, behind, behind_3):
            answer = await door.entry(one, entry)
            assert (answer.status, answer.code) == (409, "ledger.fork")
        page = await door.centre.station(one.name)
        assert page.card.head_sha256 == one.head.sha256
        kept = {row.sha256 for row in page.refused}
        body = delivery.encode_entry(one.name, other)
        assert hashlib.sha256(body).hexdigest() in kept
        found = await door.centre.findings()
        assert {row.code for row in found} == {"ledger.fork"}
        assert {row.subject for row in found} == {"2", "3"}
        assert not page.account.accounted


@case
async def a_missing_entry_is_named_and_found_if_it_stays_missing(where: Where) -> None:
    one = MadeStation()
    for _ in range(4):
        one.event()
    async with where.open(one) as door:
        assert (await door.entry(one, one.entries[0])).status == 201
        answer = await door.entry(one, one.entries[3])
        assert (answer.status, answer.code) == (409, "ledger.gap")
        assert answer.headers["Nullbay-Wanted-Sequence"] == "2"
        assert await door.codes() == []
        door.clock.second += 301
        assert await door.codes() == ["ledger.gap"]
        await door.entries(one)
        assert await door.codes() == []
        (over,) = await door.centre.findings(state=FindingState.OVER)
        assert over.code == "ledger.gap"
        assert over.over is not None


@case
async def an_entry_that_the_station_did_not_sign_is_refused(where: Where) -> None:
    one, thief = MadeStation(), MadeStation()
    entry = one.start("j-1")
    foreign = ledger.append(None, ledger.read_body(entry.body), thief.station_key)
    unsigned = replace(entry, envelope=None)
    bench = ledger.append(None, ledger.read_body(entry.body), one.bench_key)
    late = replace(entry, previous="11" * 32)
    late = replace(late, sha256=ledger.entry_hash(1, late.previous, late.body))
    async with where.open(one) as door:
        for forged in (foreign, unsigned, bench, late):
            answer = await door.entry(one, forged)
            assert (answer.status, answer.code) == (422, "ledger.broken")
        assert (await door.centre.station(one.name)).card.head_sequence == 0
        assert "ledger.broken" in await door.codes()
        assert (await door.entry(one, entry)).status == 201


@case
async def what_is_not_an_entry_is_refused(where: Where) -> None:
    one = MadeStation()
    good = delivery.encode_entry(one.name, one.event())
    name = one.entries[0].sha256
    newer = canonical_json(json.loads(good) | {"schema": "nullbay.delivered-entry/2"})
    beyond = replace(one.entries[0], sequence=2**63)
    beyond = replace(beyond, sha256=ledger.entry_hash(2**63, beyond.previous, beyond.body))
    cases = [
        (b"", "input.malformed"),
        (good[:-7], "input.malformed"),
        (b"\xff" + good, "input.malformed"),
        (newer, "input.unknown-schema"),
        (delivery.encode_entry("bench-2", one.entries[0]), "station.other"),
        (b" " * (delivery.ENTRY_MAX_BYTES + 1), "input.too-large"),
    ]
    async with where.open(one) as door:
        for sent, code in cases:
            answer = await door.put(f"/v1/entries/{name}", sent, one.token)
            assert answer.code == code
            assert 400 <= answer.status < 500
        answer = await door.entry(one, beyond)
        assert (answer.status, answer.code) == (400, "input.malformed")
        for at in ("2026-13-01T00:00:00.000000Z", "yesterday", "0001-01-01T00:00:00.000000Z"):
            odd = replace(one.now(), at=at)
            body = ledger.LedgerBody(odd, ledger.StationEvent("odd", ""))
            answer = await door.entry(one, ledger.append(None, body, one.station_key))
            assert (answer.status, answer.code) == (400, "input.malformed")
        odd = replace(one.now(), boot_id="a b")
        body = ledger.LedgerBody(odd, ledger.StationEvent("odd", ""))
        answer = await door.entry(one, ledger.append(None, body, one.station_key))
        assert (answer.status, answer.code) == (400, "input.malformed")
        answer = await door.put(f"/v1/entries/{'0' * 64}", good, one.token)
        assert (answer.status, answer.code) == (422, "digest.wrong")
        for path in ("/v1/entries/x", f"/v1/entries/{name.upper()}", f"/v1/entries/{name}0"):
            assert (await door.put(path, good, one.token)).status == 400
        rows = (await door.centre.station(one.name)).refused
        assert {code for _, code in cases} <= {row.code for row in rows}
        assert hashlib.sha256(good[:-7]).hexdigest() in {row.sha256 for row in rows}


def resigned(made: Record, by: Any) -> bytes:
    """The same statement with a new signature of the same key: another envelope."""
    file = bundle.read(made.bundle)
    sealed = dsse.seal(file.envelope.payload_type, file.envelope.payload, by)
    return canonical_json(dict(file.plain) | {"dsseEnvelope": sealed.plain()})


def malleated(made: Record) -> bytes:
    """The same signature in its other form, which anybody can compute without a key."""
    file = bundle.read(made.bundle)
    r, s = decode_dss_signature(file.envelope.signature)
    twin = encode_dss_signature(r, P256_ORDER - s)
    return canonical_json(
        dict(file.plain) | {"dsseEnvelope": replace(file.envelope, signature=twin).plain()}
    )


@case
async def forged_records_are_refused_and_their_digests_kept(where: Where) -> None:
    one, thief = MadeStation(), MadeStation()
    async with where.open(one) as door:
        by_thief = one.record(signer=thief.station_key, bench=thief.bench_key)
        stolen_agent = one.record(bench=thief.bench_key)
        exchanged = one.record(signer=one.bench_key, bench=one.station_key)
        one_key = one.record(bench=one.station_key)
        elsewhere = one.record(station="bench-2")
        edited = one.record(factory.mismatched_evidence())
        file = bundle.read(edited.bundle)
        payload = file.envelope.payload.replace(b"NOT_SANITIZED", b"SANITIZED", 1)
        lying = dsse.seal(file.envelope.payload_type, payload, one.station_key)
        lie = canonical_json(dict(file.plain) | {"dsseEnvelope": lying.plain()})
        flipped = replace(file.envelope, payload=payload)
        flip = canonical_json(dict(file.plain) | {"dsseEnvelope": flipped.plain()})
        await door.entries(one)
        for made in (by_thief, stolen_agent, exchanged, one_key, elsewhere, edited):
            assert (await door.evidence(one, made.archive)).status == 201
        cases = [
            (by_thief.bundle, "record.not-authentic"),
            (stolen_agent.bundle, "record.not-authentic"),
            (exchanged.bundle, "record.not-authentic"),
            (one_key.bundle, "record.not-authentic"),
            (elsewhere.bundle, "station.other"),
            (lie, "record.not-authentic"),
            (flip, "record.not-authentic"),
        ]
        for data, code in cases:
            answer = await door.record(one, data)
            assert answer.code == code, answer.body
            assert answer.status in {403, 422}
        rows = (await door.centre.station(one.name)).refused
        kept = {row.sha256 for row in rows}
        assert {hashlib.sha256(data).hexdigest() for data, _ in cases} <= kept
        assert (await door.centre.records(RecordQuery())).items == ()
        assert {"record.not-authentic", "station.other"} <= set(await door.codes())


@case
async def malformed_records_are_refused(where: Where) -> None:
    one = MadeStation()
    async with where.open(one) as door:
        made = one.record()
        await door.entries(one)
        assert (await door.evidence(one, made.archive)).status == 201
        huge = b" " * (bundle.BUNDLE_MAX_BYTES + 1)
        for body, status, code in (
            (made.bundle[:-100], 400, "input.malformed"),
            (b"", 400, "input.malformed"),
            (b"[]", 400, "input.malformed"),
            (b'{"mediaType":"x"}', 400, "input.unknown-schema"),
            (huge, 413, "input.too-large"),
        ):
            answer = await door.record(one, body, made.name)
            assert (answer.status, answer.code) == (status, code)
        answer = await door.record(one, made.bundle, "ab" * 32)
        assert (answer.status, answer.code) == (422, "digest.wrong")
        rows = (await door.centre.station(one.name)).refused
        # What was not read is kept by the digest that its address claims.
        assert (made.name, "input.too-large") in {(row.sha256, row.code) for row in rows}
        assert (await door.record(one, made.bundle)).status == 201


@case
async def a_record_in_another_form_is_no_second_record(where: Where) -> None:
    one = MadeStation()
    async with where.open(one) as door:
        made = one.record()
        first = await door.deliver(one, made)
        assert first.status == 201
        for other in (resigned(made, one.station_key), malleated(made)):
            assert delivery.envelope_sha256(other) != made.name
            answer = await door.record(one, other)
            assert (answer.status, answer.code) == (422, "record.replayed")
        # Completed by a tool, as bundles are: the same envelope, the same record.
        fuller = canonical_json(dict(bundle.read(made.bundle).plain) | {"log": []})
        answer = await door.record(one, fuller, made.name)
        assert (answer.status, answer.body) == (200, first.body)
        assert await door.centre.bundle(made.name) == made.bundle
        assert len((await door.centre.records(RecordQuery())).items) == 1


@case
async def a_record_must_say_what_the_ledger_says(where: Where) -> None:
    one = MadeStation()
    async with where.open(one) as door:
        made = one.record()
        later = one.record(chain_sequence=made.entries[0].sequence)
        before = one.record(chain_previous="ab" * 32)
        beyond = one.record(chain_sequence=1000)
        named = one.record(statement_id="urn:uuid:one", close=False)
        unnamed = one.record(close=False)
        swapped = resigned(unnamed, one.station_key)
        await door.entries(one)
        for each in (made, later, before, beyond, named, unnamed):
            assert (await door.evidence(one, each.archive)).status == 201
        for each, status, code in (
            (later, 422, "record.contradicts-ledger"),
            (before, 422, "record.contradicts-ledger"),
            (beyond, 409, "ledger.missing"),
        ):
            answer = await door.record(one, each.bundle)
            assert (answer.status, answer.code) == (status, code)
        # The statement is what the ledger names; who signed it when is not.
        assert (await door.record(one, swapped)).status == 201
        assert (await door.record(one, named.bundle)).status == 201


@case
async def evidence_is_there_whole_or_not_at_all(where: Where) -> None:
    one, two = MadeStation("bench-1"), MadeStation("bench-2")
    data = archive.pack({"a": b"x" * 100_000})
    name = hashlib.sha256(data).hexdigest()
    path = f"/v1/evidence/{name}"

    async def head(door: Door, token: str) -> int:
        answer = await door.put(path, None, token, kind="application/zstd", method="HEAD")
        assert answer.body == b""
        return answer.status

    async def in_pieces(*pieces: bytes) -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    async with where.open(one, two, limits=Limits(2048, 0)) as door:
        answer = await door.evidence(one, b"y" * 4096)
        assert (answer.status, answer.code) == (413, "input.too-large")
        answer = await door.put(
            path, in_pieces(b"z" * 2000, b"z" * 2000), one.token, kind="application/zstd"
        )
        assert (answer.status, answer.code) == (413, "input.too-large")
    async with where.open(one, two) as door:
        assert await head(door, one.token) == 404
        answer = await door.evidence(one, data[:-1], name)
        assert (answer.status, answer.code) == (422, "digest.wrong")
        assert await head(door, one.token) == 404
        answer = await door.put(
            path, in_pieces(data[:10], data[10:]), one.token, kind="application/zstd"
        )
        assert answer.status == 201
        assert await head(door, one.token) == 200
        # What one station delivered tells another nothing.
        assert await head(door, two.token) == 404
        assert (await door.evidence(two, data)).status == 201
    folder = where.state / "evidence"
    assert [one.name for one in folder.rglob("*") if one.is_file()] == [name]


@case
async def an_upload_that_breaks_off_leaves_nothing(where: Where) -> None:
    one = MadeStation()
    data = archive.pack({"a": b"x" * 100_000})
    async with where.open(one) as door:

        async def half() -> AsyncIterator[bytes]:
            yield data[: len(data) // 2]
            raise ConnectionError

        with pytest.raises(Exception):  # noqa: B017, PT011 - however the client tells it
            await door.put(
                f"/v1/evidence/{hashlib.sha256(data).hexdigest()}",
                half(),
                one.token,
                kind="application/zstd",
            )
        folder = where.state / "evidence"
        await until(lambda: not any(one.is_file() for one in folder.rglob("*")))
        # A broken connection is everyday life, and no finding.
        assert await door.codes() == []
        assert (await door.evidence(one, data)).status == 201


@case
async def more_than_there_is_room_for_comes_again_later(where: Where) -> None:
    one = MadeStation()
    data = archive.pack({"a": b"x" * 100_000})
    entry = one.event()
    async with where.open(one, limits=Limits(reserve_bytes=0, deliveries_at_once=1)) as door:
        arrives, goes_on = asyncio.Event(), asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield data[:10]
            arrives.set()
            await goes_on.wait()
            yield data[10:]

        path = f"/v1/evidence/{hashlib.sha256(data).hexdigest()}"
        upload = asyncio.ensure_future(door.put(path, slow(), one.token, kind="application/zstd"))
        await arrives.wait()
        statuses = set()
        for _ in range(1000):
            answer = await door.entry(one, entry)
            statuses.add(answer.status)
            if answer.status == 503:
                break
        assert 503 in statuses
        assert answer.code == "http.busy"
        assert answer.headers["Retry-After"] == "2"
        goes_on.set()
        assert (await upload).status == 201
        assert (await door.entry(one, entry)).status in {200, 201}


@case
async def a_lost_archive_is_found_and_taken_again(where: Where) -> None:
    one = MadeStation()
    async with where.open(one) as door:
        made = one.record()
        assert (await door.deliver(one, made)).status == 201
        (await door.centre.archive(made.name)).unlink()
        assert await door.codes() == ["evidence.lost"]
        page = await door.centre.record(made.name)
        assert page.archive_bytes is None
        with pytest.raises(UnknownError):
            await door.centre.archive(made.name)
        assert (await door.evidence(one, made.archive)).status == 200
        assert await door.codes() == []


@case
async def drives_of_software_are_refused_unless_the_centre_is_for_them(where: Where) -> None:
    demo = MadeStation("demo-1", simulated=True)
    made = demo.record(start=False)
    started = MadeStation("demo-2", simulated=True)
    started.start("j-1")
    async with where.open(demo, started) as door:
        await door.entries(demo)
        assert (await door.evidence(demo, made.archive)).status == 201
        for answer in (
            await door.record(demo, made.bundle),
            await door.entry(started, started.entries[0]),
            await door.heartbeat(demo),
        ):
            assert (answer.status, answer.code) == (403, "simulated.refused")
        assert (await door.centre.records(RecordQuery())).items == ()


@case
async def a_centre_for_drives_of_software_says_so_everywhere(where: Where) -> None:
    demo = MadeStation("demo-1", simulated=True)
    async with where.open(demo, accept_simulated=True) as door:
        made = demo.record()
        answer = await door.deliver(demo, made)
        assert answer.status == 201
        (card,) = (await door.centre.records(RecordQuery())).items
        assert card.simulated
        assert (await door.centre.totals()).simulated_accepted
        assert b"demo-centre" in (where.state / "keys" / "centre.pem").read_bytes()
        assert (await door.heartbeat(demo)).status == 204


@case
async def tokens_open_only_their_own_door(where: Where) -> None:
    one, two = MadeStation("bench-1"), MadeStation("bench-2")
    entry, day = one.event(), date(2026, 11, 21)
    entries = (one.settings(expires=day), two.settings())
    async with where.open(one, two, entries=entries) as door:
        body = delivery.encode_entry(one.name, entry)
        path = f"/v1/entries/{entry.sha256}"
        for token in ("x" * 32, one.token + "x", one.poll_token, "\xe4" * 20):
            assert (await door.put(path, body, token)).status == 401
        answer = await door.put(path, body, "", headers={"Authorization": "Basic eDp5"})
        assert answer.status == 401
        # Another station's token opens another station's door.
        answer = await door.put(path, body, two.token)
        assert (answer.status, answer.code) == (403, "station.other")
        assert (await door.put(path, body, one.token)).status == 201
        door.clock.second += 86_400
        answer = await door.put(path, body, one.token)
        assert answer.status == 401


@case
async def a_station_without_settings_is_shown_and_found(where: Where) -> None:
    one, two = MadeStation("bench-1"), MadeStation("bench-2")
    async with where.open(one, two) as door:
        made = one.record()
        assert (await door.deliver(one, made)).status == 201
        token = one.token
    async with where.open(two) as door:
        assert [card.station for card in await door.centre.fleet()] == ["bench-1", "bench-2"]
        assert "station.removed" in await door.codes()
        answer = await door.record(one, made.bundle, token=token)
        assert answer.status == 401
        page = await door.centre.record(made.name)
        assert (page.check.authentic, page.check.code) == (False, "station.removed")


@case
async def a_full_disk_keeps_nothing_half_and_heals(where: Where) -> None:
    one = MadeStation()
    made = one.record()
    full = True

    real = os.write

    def write(file: int, data: memoryview) -> int:
        # As the kernel does it, in the middle of a file: a part goes in, then nothing.
        if full and len(data) < len(made.archive):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(file, data[:100] if full else data)

    async with where.open(one) as door:
        await door.entries(one)
        where.patch.setattr("nullbay.server.evidence.os.write", write)
        answer = await door.evidence(one, made.archive)
        assert (answer.status, answer.code) == (507, "centre.full")
        assert not [path for path in (where.state / "evidence").rglob("*") if path.is_file()]
        answer = await door.record(one, made.bundle)
        assert (answer.status, answer.code) == (409, "evidence.missing")
        full = False
        assert (await door.evidence(one, made.archive)).status == 201
        assert (await door.record(one, made.bundle)).status == 201
        assert await door.codes() == []


@case
async def no_room_is_told_before_anything_is_read(where: Where) -> None:
    one = MadeStation()
    async with where.open(one, limits=Limits(reserve_bytes=2**50)) as door:
        answer = await door.evidence(one, archive.pack({"a": b"b"}))
        assert (answer.status, answer.code) == (507, "centre.full")


@case
async def stations_deliver_at_the_same_time(where: Where) -> None:
    stations = [MadeStation(f"bench-{number}") for number in range(4)]
    async with where.open(*stations) as door:

        async def all_of(one: MadeStation) -> None:
            for _ in range(3):
                made = one.record()
                for entry in made.entries:
                    assert (await door.entry(one, entry)).status == 201
                assert (await door.evidence(one, made.archive)).status == 201
                # An impatient station sends it twice at once: one of them is first.
                both = await asyncio.gather(
                    door.record(one, made.bundle), door.record(one, made.bundle)
                )
                assert sorted(answer.status for answer in both) == [200, 201]
                assert both[0].body == both[1].body

        async with asyncio.TaskGroup() as group:
            for one in stations:
                group.create_task(all_of(one))
        assert await door.codes() == []
        assert len((await door.centre.records(RecordQuery())).items) == 12
        for one in stations:
            account = await door.centre.station_account(one.name)
            assert account.accounted
            assert account.records == 3


@case
async def whoever_watches_is_told(where: Where) -> None:
    one = MadeStation()
    async with where.open(one) as door:
        watching = door.centre.changes()
        news = asyncio.ensure_future(anext(watching))
        await asyncio.sleep(0)
        assert (await door.entry(one, one.event())).status == 201
        change = await news
        assert (change.topic, change.name) == ("station", one.name)
        old = await anext(door.centre.changes(10_000))
        assert old.topic == "reset"
        again = await anext(door.centre.changes(change.number - 1))
        assert again == change


@case
async def nobody_waits_for_ever_for_a_clock_of_the_past(where: Where) -> None:
    """A station whose clock says 1970: delivered in order of sequence, and told."""
    one = MadeStation(wall_s=-1_795_000_000)
    async with where.open(one) as door:
        made = one.record()
        assert (await door.deliver(one, made)).status == 201
        one.wall_s = 20 * 86_400 * 365
        assert (await door.deliver(one, one.record())).status == 201
        assert (await door.heartbeat(one)).status == 204
        assert await door.codes() == ["station.wrong-clock"]
