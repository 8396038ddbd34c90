"""The journal: whole transactions, opened by two at once, refused where it is not ours."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from nullbay.agent.journal.store import FILE_NAME, JobRow, Journal, JournalError
from nullbay.certs import ledger
from nullbay.certs.keys import FileSigner, load_or_create
from nullbay.domain.clock import SystemClock
from nullbay.domain.errors import IllegalTransitionError
from nullbay.domain.ids import IdentityKey, InsertionId, JobId
from nullbay.domain.job import Armed, Ended, JobState, SessionOver, StartSigned
from nullbay.domain.lot import InsertionEnd
from nullbay.domain.outcome import JobEnd
from support.jobs import JOB, moment

CLOCK = SystemClock()
DRIVE_KEY = IdentityKey("ab" * 32)
STAY = InsertionId("i-1")


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> FileSigner:
    return load_or_create(tmp_path_factory.mktemp("keys") / "station.pem", "demo-station")


def row(job: str = JOB) -> JobRow:
    return JobRow(JobId(job), DRIVE_KEY, "p/1", "00", "11", {"schema": "x"}, 1, None, told=False)


def opened(folder: Path) -> Journal:
    return Journal(folder, CLOCK)


def test_what_was_written_is_there_again(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.add_job(row(), Armed("11", ()))
    journal.happened(JOB, StartSigned(), SessionOver(drive_gone=True))
    journal.set_statement_id(JOB, "urn:uuid:1")
    journal.set_statement_id(JOB, "urn:uuid:2")
    journal.close()
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600
    later = opened(tmp_path)
    assert later.state(JOB).state is JobState.ABSENT
    assert later.job(JOB).statement_id == "urn:uuid:1"
    assert later.events(JOB) == (Armed("11", ()), StartSigned(), SessionOver(drive_gone=True))
    assert [one.job_id for one in later.uncertified_jobs()] == [JOB]
    later.close()


def test_jobs_are_newest_first_also_within_a_second(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    names = [f"j-20261121T200000-{tail * 12}" for tail in "5a0"]
    for name in names:
        journal.add_job(row(name), Armed("11", ()))
    assert [one.job_id for one in journal.jobs()] == names[::-1]
    assert [one.job_id for one in journal.jobs(DRIVE_KEY)] == names[::-1]
    assert journal.jobs(IdentityKey("other")) == ()
    journal.close()


def test_of_events_that_cannot_be_none_is_written(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.add_job(row(), Armed("11", ()))
    with pytest.raises(IllegalTransitionError):
        journal.happened(JOB, StartSigned(), StartSigned())
    assert journal.state(JOB).state is JobState.ARMED
    with pytest.raises(IllegalTransitionError):
        journal.add_job(row("j-20261121T200001-000000000000"), Ended(JobEnd.ABORTED))
    assert len(journal.jobs()) == 1
    with pytest.raises(JournalError):
        journal.add_job(row(), Armed("11", ()))
    journal.close()


def entry_maker(
    signer: FileSigner, event: ledger.LedgerEvent
) -> Callable[[ledger.LedgerEntry | None], tuple[ledger.LedgerEntry, None]]:
    return lambda last: (ledger.append(last, ledger.LedgerBody(moment(1), event), signer), None)


def closing(stay: str = STAY) -> ledger.InsertionClosed:
    return ledger.InsertionClosed(stay, DRIVE_KEY, "", "A1", InsertionEnd.STATION_STOPPED, (), ())


def test_a_stay_is_open_until_its_closing_is_in_the_ledger(
    tmp_path: Path, signer: FileSigner
) -> None:
    journal = opened(tmp_path)
    journal.add_job(row(), Armed("11", ()))
    journal.open_insertion(STAY, DRIVE_KEY, "A1")
    journal.open_insertion(InsertionId("i-2"), DRIVE_KEY, "A2")
    journal.insertion_works(STAY, JOB)
    journal.close()
    journal = opened(tmp_path)
    assert [(one.insertion_id, one.job_id) for one in journal.open_insertions()] == [
        (STAY, JOB),
        ("i-2", None),
    ]

    def fails(_: ledger.LedgerEntry | None) -> tuple[ledger.LedgerEntry, None]:
        raise OSError("as it happens")

    with pytest.raises(OSError, match="as it happens"):
        journal.happened_with_entry(None, fails, closes=STAY)
    assert len(journal.open_insertions()) == 2
    assert journal.last_entry() is None
    journal.happened_with_entry(None, entry_maker(signer, closing()), closes=STAY)
    assert [one.insertion_id for one in journal.open_insertions()] == ["i-2"]
    assert len(list(journal.ledger())) == 1
    journal.close()


class Stop(BaseException):
    """As a simulation kills a process."""


@pytest.mark.parametrize(("moment_name", "kept"), [("begin", 0), ("commit", 0), ("committed", 1)])
def test_killed_around_a_transaction_it_is_whole_or_not_there(
    tmp_path: Path, moment_name: str, kept: int
) -> None:
    opened(tmp_path).close()
    armed: list[str] = []

    def fault(name: str) -> None:
        if armed and name == moment_name:
            raise Stop

    journal = Journal(tmp_path, CLOCK, fault=fault)
    armed.append(moment_name)
    with pytest.raises(Stop):
        journal.add_job(row(), Armed("11", ()))
    journal.close()
    later = opened(tmp_path)
    assert len(later.jobs()) == kept
    later.close()


def test_several_may_open_a_new_journal_at_once(tmp_path: Path) -> None:
    """Commands started together: each finds a whole journal, whoever made it."""
    gate = threading.Barrier(8)
    failed: list[BaseException] = []

    def one(number: int) -> None:
        try:
            gate.wait()
            journal = opened(tmp_path)
            journal.add_job(row(f"j-20261121T200000-{number:012}"), Armed("11", ()))
            journal.close()
        except BaseException as error:  # noqa: BLE001 - told by the test
            failed.append(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    journal = opened(tmp_path)
    assert len(journal.jobs()) == 8
    journal.check(full=True)
    journal.close()


def test_what_is_no_journal_of_ours_is_refused_and_not_changed(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    for content in (b"not a database at all" * 100, foreign(tmp_path / "other"), newer(tmp_path)):
        path.write_bytes(content)
        with pytest.raises(JournalError) as caught:
            opened(tmp_path)
        assert caught.value.next_step
        assert path.read_bytes() == content
        path.unlink()


def foreign(path: Path) -> bytes:
    database = sqlite3.connect(path)
    database.execute("PRAGMA application_id=77")
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("CREATE TABLE mine (x)")
    database.commit()
    database.close()
    return path.read_bytes()


def newer(folder: Path) -> bytes:
    path = folder / "newer"
    path.mkdir()
    opened(path).close()
    database = sqlite3.connect(path / FILE_NAME)
    database.execute("PRAGMA user_version=99")
    database.commit()
    database.close()
    return (path / FILE_NAME).read_bytes()


def test_a_disk_that_is_full_is_told_in_plain_words(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal._db.execute("PRAGMA max_page_count=1")

    def fill() -> None:
        for number in range(1000):
            journal.add_job(row(f"j-20261121T200000-{number:012}"), Armed("11", ()))

    with pytest.raises(JournalError, match="cannot be written"):
        fill()
    journal._db.execute("PRAGMA max_page_count=100000")
    count = len(journal.jobs())
    journal.add_job(row(), Armed("11", ()))
    assert len(journal.jobs()) == count + 1
    journal.close()
