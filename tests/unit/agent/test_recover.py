"""A damaged journal: refused in plain words, saved as far as it can be read, never changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nullbay.agent.journal.recover import put_in_place, recover
from nullbay.agent.journal.store import FILE_NAME, Journal, JournalError
from nullbay.certs import ledger
from nullbay.certs.keys import FileSigner, PublicKey, load_or_create
from nullbay.domain.clock import SystemClock

PAGE = 4096
CLOCK = SystemClock()


def filled(folder: Path, entries: int) -> FileSigner:
    signer = load_or_create(folder / "station.pem", "demo-station")
    journal = Journal(folder, CLOCK)
    for number in range(entries):
        body = ledger.LedgerBody(CLOCK.now(), ledger.StationEvent("station.started", "x" * number))

        def make(last: ledger.LedgerEntry | None, body: ledger.LedgerBody = body) -> Any:
            return ledger.append(last, body, signer), None

        journal.happened_with_entry(None, make)
    journal.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    journal.close()
    return signer


def damage(path: Path, needle: bytes) -> None:
    """Zero the page that holds these bytes."""
    data = path.read_bytes()
    at = data.index(needle) // PAGE * PAGE
    path.write_bytes(data[:at] + bytes(PAGE) + data[at + PAGE :])


def test_a_sound_journal_is_saved_whole(tmp_path: Path) -> None:
    signer = filled(tmp_path, 50)
    report = recover(tmp_path, CLOCK, PublicKey.from_pem(signer.public_key_pem))
    assert report.is_whole
    assert report.entries == 50


def test_a_damaged_one_stops_the_station_and_what_is_left_is_saved(tmp_path: Path) -> None:
    signer = filled(tmp_path, 200)
    path = tmp_path / FILE_NAME
    damage(path, b"x" * 120)
    before = path.read_bytes()
    with pytest.raises(JournalError) as refused:
        Journal(tmp_path, CLOCK).check(full=True)
    assert refused.value.next_step
    report = recover(tmp_path, CLOCK, PublicKey.from_pem(signer.public_key_pem))
    assert not report.is_whole
    assert report.unreadable
    assert 0 < report.entries < 200
    assert report.chain_error
    assert path.read_bytes() == before
    kept = put_in_place(tmp_path)
    assert kept.read_bytes() == before
    saved = Journal(tmp_path, CLOCK)
    saved.check(full=True)
    assert len(list(saved.ledger())) == report.entries
    saved.close()


def test_two_recoveries_overwrite_no_damaged_file(tmp_path: Path) -> None:
    signer = filled(tmp_path, 3)
    key = PublicKey.from_pem(signer.public_key_pem)
    names = set()
    for _ in range(2):
        recover(tmp_path, CLOCK, key)
        names.add(put_in_place(tmp_path).name)
    assert len(names) == 2
