"""A drive that was scanned out: its label once more, but never against what is known."""

from __future__ import annotations

from nullbay.agent.intake.account import destroy_queue
from nullbay.domain.verdict import Verdict
from support.intake import IntakeBench

SERIAL = "WX012345"


def out(bench: IntakeBench, bay: str) -> str:
    bench.scan(f"BAY:{bay}")
    answer = bench.scan(SERIAL)
    assert (answer.label is None) == answer.alarm
    return answer.code


def test_its_label_comes_once_more_for_its_own_bay_alone() -> None:
    bench = IntakeBench()
    bench.work(bench.insert("A1", SERIAL), Verdict.SANITIZED)
    assert out(bench, "A1") == "removal.agrees"
    assert out(bench, "A1") == "removal.again"
    assert out(bench, "A2") == "removal.bay-differs"
    bench.check_replay()


def test_one_that_is_wiped_again_is_scanned_out_again() -> None:
    bench = IntakeBench()
    drive = bench.insert("A1", SERIAL)
    bench.work(drive, Verdict.SANITIZED)
    assert out(bench, "A1") == "removal.agrees"
    bench.now_s += 100
    bench.work(drive)
    assert not bench.stay(drive).scanned_out
    bench.work(drive, Verdict.NOT_SANITIZED)
    bench.now_s += 100
    bench.scan("BAY:A1")
    answer = bench.scan(SERIAL)
    assert (answer.code, answer.label and answer.label.action.value) == ("removal.agrees", "shred")
    (entry,) = destroy_queue(bench.state)
    assert entry.since is not None
    assert entry.since.boottime_us == 200 * 1_000_000
    bench.check_replay()
