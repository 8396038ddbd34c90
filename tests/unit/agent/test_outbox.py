"""The outbox against a centre made of a dictionary and a real key: order, repeats, refusals."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from nullbay.agent.journal.outbox import Outbox
from nullbay.agent.journal.stays import Stays
from nullbay.agent.journal.store import Journal
from nullbay.agent.outbox import (
    LAST_DELAY_S,
    REFUSED_DELAY_S,
    Answer,
    Deliverer,
    Standing,
    UnreachableError,
)
from nullbay.certs import delivery, ledger, lot_document
from nullbay.certs.keys import FileSigner, PublicKey, load_or_create
from nullbay.certs.lot_document import LotDocument, named_by, note_of
from nullbay.domain.ids import JobId, LotRef
from nullbay.domain.intake import LotOpened
from nullbay.domain.lot import Lot, Person
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
    documents: dict[str, bytes] = field(default_factory=dict)

    async def put(self, path: str, body: bytes | Path) -> Answer:
        self.asked.append(path)
        mood = self.moods.pop(0) if self.moods else ""
        if mood == "away":
            raise UnreachableError("connection refused")
        if mood.isdecimal():
            return Answer(int(mood), "some.code", b"{}")
        assert isinstance(body, bytes)
        if path.startswith("/v1/documents/"):
            return self._document(path, body, mood)
        station, entry = delivery.decode_entry(body)
        assert station == STATION
        assert path == f"/v1/entries/{entry.sha256}"
        known = entry.sha256 in {one.sha256 for one in self.entries}
        if not known and entry.sequence > len(self.entries) + 1:
            return Answer(409, "ledger.gap", b"{}", len(self.entries) + 1)
        if not known:
            self.entries.append(entry)
        return self._received(entry.sha256, mood, is_known=known)

    def _document(self, path: str, body: bytes, mood: str) -> Answer:
        """Only what an entry that is here names."""
        digest = hashlib.sha256(body).hexdigest()
        assert path == f"/v1/documents/{digest}"
        events = (ledger.read_body(one.body).event for one in self.entries)
        notes = (named_by(one) for one in events if isinstance(one, ledger.StationEvent))
        if digest not in {note.document for note in notes if note}:
            return Answer(409, "ledger.missing", b"{}")
        known = digest in self.documents
        self.documents[digest] = body
        return self._received(digest, mood, is_known=known)

    def _received(self, digest: str, mood: str, *, is_known: bool) -> Answer:
        if mood == "lost":
            raise UnreachableError("connection reset after the body")
        head = self.head or (self.entries[-1].sequence, self.entries[-1].sha256)
        receipt = Receipt(
            "00" * 32 if mood == "wrong" else digest, STATION, *head, self.clock.now()
        )
        signed = delivery.sign_receipt(receipt, self.signer)
        if mood == "forged":
            plain = json.loads(signed)
            plain["signatures"][0]["sig"] = plain["signatures"][0]["sig"][::-1]
            signed = json.dumps(plain).encode()
        return Answer(200 if is_known else 201, "", signed)

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
    public: PublicKey

    def note(self, count: int = 1) -> None:
        """That many ledger entries more."""
        for number in range(count):
            event = ledger.StationEvent("station.started", str(number))

            body = ledger.LedgerBody(self.clock.now(), event)

            def make(last: ledger.LedgerEntry | None, body: ledger.LedgerBody = body) -> Any:
                return ledger.append(last, body, self.signer), None

            self.journal.happened_with_entry(None, make)

    def lot(self) -> bytes:
        """A lot is opened: the document that goes with its entry."""
        lot = Lot(LotRef("LOT-1"), customer="Customer")
        event = LotOpened(lot, (), Person("operator", "op-1"), self.clock.now())
        document = LotDocument(STATION, event)
        data = document.encode()
        body = ledger.LedgerBody(self.clock.now(), note_of(document, data))
        stays = Stays(self.journal)
        stays.happened_with_entry(
            event, lambda last: ledger.append(last, body, self.signer), document=data
        )
        return data

    async def deliver(self, attempts: int = 1) -> list[tuple[Standing, float]]:
        steps = [await self.deliverer.attempt() for _ in range(attempts)]
        return [(one.standing, one.delay_s) for one in steps]


def make(folder: Path, clock: VirtualClock) -> Bench:
    station = load_or_create(folder / "station.pem", "demo-station")
    centre_key = load_or_create(folder / "centre.pem", "demo-centre")
    journal = Journal(folder, clock)
    centre = Centre(centre_key, clock)

    public = PublicKey.from_pem(centre_key.public_key_pem)
    deliverer = Deliverer(journal, STATION, centre, public, no_files, clock, jitter=lambda: 1.0)
    return Bench(journal, centre, deliverer, clock, station, public)


def no_files(job: JobId) -> tuple[Path, Path]:
    raise AssertionError(job)


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


def test_a_document_goes_after_the_entry_that_names_it_and_before_the_next(tmp_path: Path) -> None:
    async def day(clock: VirtualClock) -> None:
        bench = make(tmp_path, clock)
        bench.note()
        data = bench.lot()
        bench.note()
        assert Outbox(bench.journal).state().waiting == 3
        steps = await bench.deliver(5)
        assert [one for one, _ in steps] == [Standing.DELIVERING] * 4 + [Standing.IDLE]
        digest = hashlib.sha256(data).hexdigest()
        assert bench.centre.documents == {digest: data}
        assert [path.split("/")[2] for path in bench.centre.asked] == [
            "entries", "entries", "documents", "entries",
        ]  # fmt: skip
        assert Outbox(bench.journal).state().waiting == 0

    run(day, seed=1)


@pytest.mark.parametrize(
    ("mood", "standing"),
    [
        ("lost", Standing.UNREACHABLE),
        ("forged", Standing.FORGED),
        ("wrong", Standing.FORGED),
        ("507", Standing.UNREACHABLE),
        ("401", Standing.REFUSED),
    ],
)
def test_a_document_is_believed_by_its_receipt_alone_and_sent_again_after_a_restart(
    tmp_path: Path, mood: str, standing: Standing
) -> None:
    async def day(clock: VirtualClock) -> None:
        bench = make(tmp_path, clock)
        data = bench.lot()
        bench.centre.moods = ["", mood]
        assert [one for one, _ in await bench.deliver(2)] == [Standing.DELIVERING, standing]
        bench.journal.close()
        again = make(tmp_path, clock)
        again.deliverer = Deliverer(
            again.journal, STATION, bench.centre, bench.public, no_files, clock
        )
        assert (await again.deliver())[0][0] is Standing.DELIVERING
        assert bench.centre.asked[1] == bench.centre.asked[2]
        assert list(bench.centre.documents.values()) == [data]
        assert Outbox(again.journal).state().waiting == 0

    run(day, seed=1)


def test_a_document_that_the_centre_has_no_entry_for_is_tried_again(tmp_path: Path) -> None:
    async def day(clock: VirtualClock) -> None:
        bench = make(tmp_path, clock)
        bench.lot()
        await bench.deliver()
        [lost] = bench.centre.entries
        bench.centre.entries.clear()
        assert (await bench.deliver())[0][0] is Standing.UNREACHABLE
        assert Outbox(bench.journal).state().waiting == 1
        bench.centre.entries.append(lost)
        assert (await bench.deliver())[0][0] is Standing.DELIVERING
        assert Outbox(bench.journal).state().waiting == 0

    run(day, seed=1)


def test_a_refused_document_is_kept_and_shown_and_holds_nothing_up(tmp_path: Path) -> None:
    async def day(clock: VirtualClock) -> None:
        bench = make(tmp_path, clock)
        bench.lot()
        bench.note()
        bench.centre.moods = ["", "422"]
        steps = await bench.deliver(4)
        assert [one for one, _ in steps] == [Standing.DELIVERING] * 3 + [Standing.IDLE]
        outbox = Outbox(bench.journal)
        assert outbox.state().refused == (("lot document of entry 1", "some.code 422"),)
        assert bench.centre.documents == {}
        assert outbox.retry_refused() == 1
        await bench.deliver(2)
        assert len(bench.centre.documents) == 1
        assert outbox.state().refused == ()

    run(day, seed=1)


def test_a_centre_set_back_gets_its_documents_again(tmp_path: Path) -> None:
    async def day(clock: VirtualClock) -> None:
        bench = make(tmp_path, clock)
        data = bench.lot()
        await bench.deliver(2)
        bench.centre.entries.clear()
        bench.centre.documents.clear()
        bench.note()
        bench.note()
        await bench.deliver(6)
        assert list(bench.centre.documents.values()) == [data]
        assert [one.sequence for one in bench.centre.entries] == [1, 2, 3]

    run(day, seed=1)


class Stop(BaseException):
    """As a simulation kills a process."""


@pytest.mark.parametrize(("moment", "kept"), [("begin", 0), ("commit", 0), ("committed", 1)])
def test_event_entry_and_document_are_there_together_or_not_at_all(
    tmp_path: Path, moment: str, kept: int
) -> None:
    async def day(clock: VirtualClock) -> None:
        bench = make(tmp_path, clock)
        bench.journal.close()
        armed: list[str] = []

        def fault(point: str) -> None:
            if point in armed:
                raise Stop

        bench.journal = Journal(tmp_path, clock, fault=fault)
        armed.append(moment)
        with pytest.raises(Stop):
            bench.lot()
        bench.journal.close()
        again = Journal(tmp_path, clock)
        events = list(Stays(again).events())
        assert len(events) == len(list(again.ledger())) == Outbox(again).state().waiting == kept
        waiting = Outbox(again).next()
        if waiting is not None:
            said = ledger.read_body(waiting.entry.body).event
            assert isinstance(said, ledger.StationEvent)
            note = named_by(said)
            data = Outbox(again).document(waiting)
            assert note is not None
            assert note.document == hashlib.sha256(data).hexdigest()
            assert lot_document.read(data).event == events[0]
        again.close()

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
