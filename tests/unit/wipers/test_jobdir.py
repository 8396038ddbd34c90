"""The job directory: what is resumed, what counts for nothing, what a crash leaves behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from nullbay.domain.codec import to_plain
from nullbay.domain.errors import MalformedError, NullbayError
from nullbay.domain.ids import JobId
from nullbay.domain.outcome import SessionEnd
from nullbay.domain.ranges import ByteRange
from nullbay.wipers.appendfile import AppendFile
from nullbay.wipers.jobdir import (
    JobDirectory,
    RangeRecord,
    StepIntended,
    UnwritableRecord,
    archive_members,
    job_ids,
    remove,
    remove_never_begun,
)
from nullbay.wipers.protocol import StepSoFar
from support.jobs import JOB, KEYS, MIB, began, ended, moment, new_job


def flush(job: JobDirectory, start_mib: int, end_mib: int, second: int, step: int = 1) -> None:
    job.flushed(RangeRecord(step, (ByteRange(start_mib * MIB, end_mib * MIB),), moment(second)))


def flushed(found: StepSoFar | None) -> list[tuple[int, int]]:
    assert found is not None
    return [(one.start // MIB, one.end // MIB) for one in found.flushed]


def again(job: JobDirectory, rewind_bytes: int = MIB) -> JobDirectory:
    """The same folder in the next process."""
    job.close()
    return JobDirectory(job.path, rewind_bytes=rewind_bytes)


def test_a_job_is_there_again_as_it_was(tmp_path: Path) -> None:
    job = new_job(tmp_path)
    job.happened(began(1))
    job.happened(StepIntended(1, moment(2)))
    flush(job, 0, 3, 3)
    job.unwritable(UnwritableRecord(1, 77, "EIO"))
    later = again(job)
    assert later.order == job.order
    assert (later.job_key, later.finding_key) == (KEYS[:32], KEYS[32:])
    assert later.events == job.events == (began(1), StepIntended(1, moment(2)))
    assert later.written(1).unwritable == [77]
    assert [one.stat().st_mode & 0o777 for one in sorted(later.path.iterdir())] == [0o600] * 5
    assert later.path.stat().st_mode & 0o777 == 0o700


def test_what_was_flushed_last_is_written_again(tmp_path: Path) -> None:
    job = new_job(tmp_path, rewind_bytes=2 * MIB)
    for second, (start, end) in enumerate([(0, 1), (4, 5), (1, 2), (5, 6)]):
        flush(job, start, end, second)
    found = job.so_far(1)
    assert flushed(found) == [(0, 1), (4, 5)]
    assert found is not None
    assert found.last_flushed == ByteRange(5 * MIB, 6 * MIB)
    assert found.last_flush == moment(3)
    assert job.so_far(2) is None


def test_what_was_rewound_once_is_not_taken_up_by_the_next_session(tmp_path: Path) -> None:
    """It was not written again before the second session ended: nobody may count on it."""
    job = new_job(tmp_path)
    job.happened(began(0))
    flush(job, 0, 2, 1)
    flush(job, 2, 3, 2)
    assert flushed(job.so_far(1)) == [(0, 2)]
    job.happened(began(3, resumed=True))
    assert job.so_far(1) is not None
    job = again(job)
    flush(job, 3, 4, 4)
    flush(job, 4, 5, 5)
    # 2..3 was rewound and never written again; 4..5 is rewound now
    assert flushed(job.so_far(1)) == [(0, 2), (3, 4)]


def test_a_session_that_flushed_nothing_leaves_the_proof_of_the_one_before(tmp_path: Path) -> None:
    job = new_job(tmp_path)
    job.happened(began(0))
    flush(job, 0, 1, 1)
    for second in (2, 3):
        job.happened(began(second, resumed=True))
        found = again(job).so_far(1)
        assert flushed(found) == []
        assert found is not None
        assert found.last_flushed == ByteRange(0, MIB)
        job = again(job)


def test_after_a_start_from_zero_nothing_counts(tmp_path: Path) -> None:
    job = new_job(tmp_path)
    job.happened(began(0))
    flush(job, 0, 5, 1)
    job.unwritable(UnwritableRecord(1, 3, "EIO"))
    job.happened(began(2, resumed=True, from_zero=True))
    assert job.so_far(1) is None
    assert job.written(1).unwritable == []
    flush(job, 0, 1, 3)
    flush(job, 1, 2, 4)
    assert flushed(again(job).so_far(1)) == [(0, 1)]


def test_killed_between_the_event_and_the_ranges_it_still_counts_for_nothing(
    tmp_path: Path,
) -> None:
    job = new_job(tmp_path)
    job.happened(began(0))
    flush(job, 0, 5, 1)
    job.close()
    events = AppendFile(job.path / "events")
    events.append(to_plain(began(2, resumed=True, from_zero=True)))
    events.close()
    later = JobDirectory(job.path)
    assert later.so_far(1) is None
    ranges = (later.path / "ranges").read_bytes()
    later = again(later)
    assert later.so_far(1) is None
    assert (later.path / "ranges").read_bytes() == ranges


def test_the_last_moment_is_the_latest_of_all_files(tmp_path: Path) -> None:
    job = new_job(tmp_path)
    assert job.last_moment == moment(0)
    job.happened(began(10))
    assert job.last_moment == moment(10)
    flush(job, 0, 1, 30)
    assert job.last_moment == moment(30)
    job.happened(ended(40, SessionEnd.DRIVE_GONE))
    assert job.last_moment == moment(40)


def test_the_archive_has_the_pattern_key_and_not_the_finding_key(tmp_path: Path) -> None:
    job = new_job(tmp_path)
    job.happened(began(1))
    job.write_result(b"signed")
    members = archive_members(job.path)
    assert members["pattern-key.bin"] == KEYS[:32]
    assert not any(KEYS[32:] in content for content in members.values())
    assert members["transcript.dsse.json"] == b"signed"
    assert json.loads(members["events.jsonl"]) == to_plain(began(1))
    assert json.loads(members["order.json"]) == to_plain(job.order)
    job.close()


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda path: (path / "keys").write_bytes(b"x" * 63), "input.malformed"),
        (lambda path: (path / "order").write_bytes(b"{"), "input.malformed"),
        (lambda path: (path / "order").unlink(), "input.malformed"),
        (
            lambda path: (path / "order").write_text('{"schema": "nullbay.order/2"}'),
            "input.unknown-schema",
        ),
        (lambda path: (path / "events").write_bytes(b"x\ny\n"), "jobdir.broken"),
    ],
)
def test_a_folder_that_was_spoilt_is_told_so(
    tmp_path: Path, spoil: Callable[[Path], object], code: str
) -> None:
    job = new_job(tmp_path)
    job.close()
    spoil(job.path)
    with pytest.raises(NullbayError) as caught:
        JobDirectory(job.path)
    assert caught.value.code == code
    assert caught.value.next_step


def test_a_job_needs_an_id_of_known_form(tmp_path: Path) -> None:
    job = new_job(tmp_path)
    job.close()
    for wrong in ("../x", "j-1", JOB + "x"):
        with pytest.raises(MalformedError):
            JobDirectory.create(tmp_path, replace(job.order, job_id=JobId(wrong)), KEYS)


class Stop(BaseException):
    """As a simulation kills a process."""


def test_made_whole_or_not_at_all(tmp_path: Path) -> None:
    """Killed at every moment of its making: afterwards it is whole, or gone, and can be made."""
    moments: list[str] = []
    new_job(tmp_path / "once", fault=moments.append).close()
    assert len(moments) == 10
    for number in range(len(moments)):
        seen: list[str] = []
        jobs = tmp_path / str(number)

        def fault(moment: str, seen: list[str] = seen, last: int = number) -> None:
            seen.append(moment)
            if len(seen) > last:
                raise Stop

        with pytest.raises(Stop):
            new_job(jobs, fault=fault)
        if (jobs / JOB).exists():
            JobDirectory(jobs / JOB).close()
        remove_never_begun(jobs, {JOB})
        assert not jobs.exists() or not list(jobs.iterdir())
        new_job(jobs).close()


def test_only_what_never_began_is_removed(tmp_path: Path) -> None:
    new_job(tmp_path).close()
    for suffix in (".new", ".old"):
        (tmp_path / f"{JOB}{suffix}").mkdir()
        (tmp_path / f"{JOB}{suffix}" / "order").write_bytes(b"half")
    (tmp_path / "something-else").mkdir()
    remove_never_begun(tmp_path, ())
    assert {one.name for one in tmp_path.iterdir()} == {JOB, "something-else"}
    for sign in ("events", "result"):
        before = (tmp_path / JOB / sign).read_bytes() if (tmp_path / JOB / sign).exists() else None
        (tmp_path / JOB / sign).write_bytes(b"a drive may have been changed")
        remove_never_begun(tmp_path, {JOB})
        assert (tmp_path / JOB).exists(), "evidence was removed"
        if before is None:
            (tmp_path / JOB / sign).unlink()
        else:
            (tmp_path / JOB / sign).write_bytes(before)
    remove_never_begun(tmp_path, {JOB})
    assert {one.name for one in tmp_path.iterdir()} == {"something-else"}
    remove_never_begun(tmp_path / "nowhere", {JOB})


@pytest.mark.parametrize("moment", ["remove job", "removed job"])
def test_a_job_is_removed_at_once_whatever_crash_comes_in_between(
    tmp_path: Path, moment: str
) -> None:
    new_job(tmp_path).close()

    def fault(name: str) -> None:
        if name == moment:
            raise Stop

    with pytest.raises(Stop):
        remove(tmp_path / JOB, fault=fault)
    assert job_ids(tmp_path) == ((JOB,) if moment == "remove job" else ())
    if moment == "remove job":
        remove(tmp_path / JOB)
    remove_never_begun(tmp_path, ())
    assert not list(tmp_path.iterdir())
