"""The outbox against a centre made of a dictionary and a real key: order, repeats, refusals."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from nullbay.agent.journal.outbox import Outbox
from nullbay.agent.journal.store import Journal
from nullbay.agent.outbox import (
    LAST_DELAY_S,
    REFUSED_DELAY_S,
    Answer,
    Deliverer,
    Standing,
    UnreachableError,
)
from nullbay.certs import delivery, ledger
from nullbay.certs.keys import FileSigner, PublicKey, load_or_create
from nullbay.domain.ids import JobId
from nullbay.domain.record import Receipt
from nullbay.lab.clock import VirtualClock, run

STATION = "bench-1"


@dataclass
class Centre:
    """Keeps entries by digest; `moods` are played one for each request before it is good again."""

    signer: FileSigner
    clock: VirtualClock
    moods: list[str] = field(default_factory=list)
    entries: list[ledger.LedgerEntry] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    head: tuple[int, str] | None = None

    async def put(self, path: str, body: bytes | Path) -> Answer:
        self.asked.append(path)
        mood = self.moods.pop(0) if self.moods else ""
        if mood == "away":
            raise UnreachableError("connection refused")
        if mood.isdecimal():
            return Answer(int(mood), "some.code", b"{}")
        assert isinstance(body, bytes)
        station, entry = delivery.decode_entry(body)
        assert station == STATION
        assert path == f"/v1/entries/{entry.sha256}"
        known = entry.sha256 in {one.sha256 for one in self.entries}
        if not known and entry.sequence > len(self.entries) + 1:
            return Answer(409, "ledger.gap", b"{}", len(self.entries) + 1)
        if not known:
            self.entries.append(entry)
        if mood == "lost":
            raise UnreachableError("connection reset after the body")
        head = self.head or (self.entries[-1].sequence, self.entries[-1].sha256)
        receipt = Receipt(
            "00" * 32 if mood == "wrong" else entry.sha256, STATION, *head, self.clock.now()
        )
        signed = delivery.sign_receipt(receipt, self.signer)
        if mood == "forged":
            plain = json.loads(signed)
            plain["signatures"][0]["sig"] = plain["signatures"][0]["sig"][::-1]
            signed = json.dumps(plain).encode()
        return Answer(200 if known else 201, "", signed)

    async def has(self, path: str) -> bool:
        raise AssertionError(path)

    async def heartbeat(self, status: bytes) -> Answer:
        raise AssertionError


@dataclass
class Bench:
    journal: Journal
    centre: Centre
    deliverer: Deliverer
    clock: VirtualClock
    signer: FileSigner

    def note(self, count: int = 1) -> None:
        """That many ledger entries more."""
        for number in range(count):
            event = ledger.StationEvent("station.started", str(number))

            body = ledger.LedgerBody(self.clock.now(), event)

            def make(last: ledger.LedgerEntry | None, body: ledger.LedgerBody = body) -> Any:
                return ledger.append(last, body, self.signer), None

            self.journal.happened_with_entry(None, make)

    async def deliver(self, attempts: int = 1) -> list[tuple[Standing, float]]:
        steps = [await self.deliverer.attempt() for _ in range(attempts)]
        return [(one.standing, one.delay_s) for one in steps]


def make(folder: Path, clock: VirtualClock) -> Bench:
    station = load_or_create(folder / "station.pem", "demo-station")
    centre_key = load_or_create(folder / "centre.pem", "demo-centre")
    journal = Journal(folder, clock)
    centre = Centre(centre_key, clock)

    def files(job: JobId) -> tuple[Path, Path]:
        raise AssertionError(job)

    public = PublicKey.from_pem(centre_key.public_key_pem)
    deliverer = Deliverer(journal, STATION, centre, public, files, clock, jitter=lambda: 1.0)
    return Bench(journal, centre, deliverer, clock, station)


def test_entries_arrive_once_and_in_order(tmp_path: Path) -> None:
    async def day(clock: VirtualClock) -> None:
        bench = make(tmp_path, clock)
        bench.note(3)
        steps = await bench.deliver(4)
        assert [one for one, _ in steps] == [Standing.DELIVERING] * 3 + [Standing.IDLE]
        assert [one.sequence for one in bench.centre.entries] == [1, 2, 3]
        assert Outbox(bench.journal).state().waiting == 0
        assert Outbox(bench.journal).state().last_delivery is not None

    run(day, seed=1)


def test_an_answer_that_got_lost_is_asked_for_again_with_the_same_bytes(tmp_path: Path) -> None:
    async def day(clock: VirtualClock) -> None:
        bench = make(tmp_path, clock)
        bench.note()
        bench.centre.moods = ["lost"]
        assert [one for one, _ in await bench.deliver(2)] == [
            Standing.UNREACHABLE,
            Standing.DELIVERING,
        ]
        assert bench.centre.asked[0] == bench.centre.asked[1]
        assert len(bench.centre.entries) == 1

    run(day, seed=1)


def test_weeks_without_a_centre_lose_nothing_and_never_give_up(tmp_path: Path) -> None:
    async def day(clock: VirtualClock) -> None:
        bench = make(tmp_path, clock)
        bench.note(2)
        bench.centre.moods = ["away"] * 3_000
        began = clock.boottime()

        async def until_idle() -> None:
            async def wake(seconds: float) -> None:
                if bench.deliverer.standing is Standing.IDLE and not bench.centre.moods:
                    raise StopAsyncIteration
                assert 0 < seconds <= LAST_DELAY_S
                await clock.sleep(seconds)

            await bench.deliverer.run(wake)

        with pytest.raises(StopAsyncIteration):
            await until_idle()
        assert clock.boottime() - began > 14 * 86_400
        assert [one.sequence for one in bench.centre.entries] == [1, 2]

    run(day, seed=1)


@pytest.mark.parametrize(
    ("mood", "standing", "later"),
    [
        ("forged", Standing.FORGED, False),
        ("wrong", Standing.FORGED, False),
        ("503", Standing.UNREACHABLE, False),
        ("507", Standing.UNREACHABLE, False),
        ("429", Standing.UNREACHABLE, False),
        ("401", Standing.REFUSED, False),
        ("409", Standing.REFUSED, True),
        ("400", Standing.REFUSED, True),
        ("302", Standing.REFUSED, True),
    ],
)
def test_what_is_no_receipt_delivers_nothing(
    tmp_path: Path, mood: str, standing: Standing, *, later: bool
) -> None:
    async def day(clock: VirtualClock) -> None:
        bench = make(tmp_path, clock)
        bench.note()
        bench.centre.moods = [mood]
        [(stands, delay_s)] = await bench.deliver()
        assert stands is standing
        assert (delay_s == REFUSED_DELAY_S) == later
        assert Outbox(bench.journal).state().waiting == 1
        assert (await bench.deliver())[0][0] is Standing.DELIVERING

    run(day, seed=1)


def test_a_centre_set_back_to_an_older_copy_gets_everything_again(tmp_path: Path) -> None:
    async def day(clock: VirtualClock) -> None:
        bench = make(tmp_path, clock)
        bench.note(4)
        await bench.deliver(4)
        del bench.centre.entries[1:]
        bench.note()
        steps = await bench.deliver(6)
        assert [one for one, _ in steps] == [
            Standing.UNREACHABLE,
            *[Standing.DELIVERING] * 4,
            Standing.IDLE,
        ]
        assert [one.sequence for one in bench.centre.entries] == [1, 2, 3, 4, 5]

    run(day, seed=1)


def test_a_centre_that_knows_a_later_head_means_that_the_journal_was_set_back(
    tmp_path: Path,
) -> None:
    async def day(clock: VirtualClock) -> None:
        bench = make(tmp_path, clock)
        bench.note()
        bench.centre.head = (7, hashlib.sha256(b"another history").hexdigest())
        assert (await bench.deliver())[0][0] is Standing.SET_BACK
        assert Outbox(bench.journal).state().waiting == 1

    run(day, seed=1)


def test_a_journal_of_the_version_before_gets_its_outbox_and_keeps_a_copy(tmp_path: Path) -> None:
    async def day(clock: VirtualClock) -> None:
        bench = make(tmp_path, clock)
        bench.note(2)
        db = bench.journal.db
        db.executescript(
            "DROP TABLE outbox; DROP TABLE insertion; DROP TABLE station_event;"
            "ALTER TABLE job DROP COLUMN state;"
        )
        db.execute("PRAGMA user_version=1")
        bench.journal.close()
        again = Journal(tmp_path, clock)
        assert (tmp_path / "journal-version-1.sqlite3").exists()
        assert Outbox(again).state().waiting == 2
        waiting = Outbox(again).next()
        assert waiting is not None
        assert waiting.entry.sequence == 1
        again.close()

    run(day, seed=1)
