"""What an auditor tried once, pinned: each of these had fooled an earlier build or broken it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from nullbay.domain.clock import SystemClock
from nullbay.lab.description import DriveDescription
from nullbay.lab.hands import look, make_file_drive
from nullbay.lab.olddata import OldData
from support.command import COMMAND, SAFETY_S, Done, Operator

OLD = OldData(7)
SECTORS = 16_384


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    made = Operator(tmp_path / "station")
    made.folder.mkdir()
    return made


def make(operator: Operator, name: str, description: DriveDescription) -> Path:
    return make_file_drive(operator.folder / f"{name}.json", description, old_data=OLD)


def wipe(operator: Operator, drive: Path, *more: str, policy: str = "nist-clear-full") -> Done:
    confirm = look(drive, SystemClock()).confirm
    words: list[str | Path] = ["wipe", drive, "--policy", policy, "--confirm", confirm]
    return operator.run(*words, "--state-dir", operator.state, "--out", operator.out, *more)


NAMED = DriveDescription(SECTORS, model="M", serial="A1")
NAMELESS = DriveDescription(SECTORS, model="M")


def test_a_record_nobody_was_told_is_not_told_of_a_drive_that_was_filled_again(
    operator: Operator,
) -> None:
    drive = make(operator, "a", NAMED)
    image = drive.with_suffix(".img")
    old = image.read_bytes()
    words = ["wipe", str(drive), "--policy", "nist-clear", "--confirm", "A1"]
    place = ["--state-dir", str(operator.state), "--out", str(operator.out)]
    unheard = subprocess.run(
        ["sh", "-c", '"$@" >&-', "sh", *COMMAND, *words, *place],
        capture_output=True,
        timeout=SAFETY_S,
        check=False,
    )
    assert unheard.returncode == 10, unheard.stderr
    image.write_bytes(old)
    assert wipe(operator, drive, policy="nist-clear").code == 10
    assert OLD.left_on(image, 512) == ()


def test_what_was_flushed_before_a_gap_is_read_again(operator: Operator) -> None:
    """Killed while verifying by samples; somebody writes while nobody holds the drive."""
    drive = make(operator, "b", DriveDescription(400_000, model="M", serial="A1"))
    words = ["--policy", "nist-clear", "--confirm", "A1", "--rate-limit", "60"]
    place: list[str | Path] = ["--state-dir", operator.state, "--out", operator.out]
    with operator.start("wipe", drive, *words, *place) as running:
        running.until_done_bytes(1, phase="verify")
        running.process.kill()
    done = operator.run("wipe", drive, "--policy", "nist-clear", "--confirm", "A1", *place)
    assert done.code == 10
    shown = operator.run("cert", "show", done.last["certificate"]).last["statement"]
    ((result,),) = [[one["result"]] for one in shown["predicate"]["verification"]]
    assert result["profile"]["kind"] == "full"


def test_a_nameless_drive_full_of_zeros_is_proved_by_nothing(operator: Operator) -> None:
    policies = operator.folder / "policies"
    policies.mkdir()
    own = """
schema = "nullbay.policy/1"
id = "zeros/1"
title = "zeros"
method = "clear"
techniques = ["host-overwrite"]
[overwrite]
scheme = "zeros/1"
passes = ["00"]
[verification]
magnetic = "full"
other = "full"
"""
    (policies / "zeros.toml").write_text(own)
    config = operator.folder / "config.toml"
    config.write_text('schema = "nullbay.config/1"\n[policies]\ndirectory = "policies"\n')
    done = wipe(operator, make(operator, "c", NAMELESS), "--config", str(config), policy="zeros/1")
    assert done.code == 10, done.stderr
    other = make(operator, "d", NAMELESS)
    other.with_suffix(".img").write_bytes(bytes(SECTORS * 512))
    again = operator.run("cert", "recheck", done.last["certificate"], "--device", other)
    assert again.code == 40
    assert again.codes("refusals") == {"identity.unprovable"}


@pytest.mark.parametrize("lost", ["journal.sqlite3", "keys/station.pem", "keys/bench.pem"])
def test_a_station_that_lost_its_memory_or_its_key_does_not_begin_anew(
    operator: Operator, lost: str
) -> None:
    drive = make(operator, "e", NAMED)
    assert wipe(operator, drive).code == 10
    before = sorted(path.name for path in (operator.state / "demo" / "jobs").iterdir())
    (operator.state / "demo" / lost).unlink()
    done = wipe(operator, drive)
    assert done.code == 1
    assert done.last["error"]["code"] == "state.unusable"
    assert sorted(path.name for path in (operator.state / "demo" / "jobs").iterdir()) == before


def test_records_of_two_stations_do_not_share_a_folder(operator: Operator) -> None:
    drive = make(operator, "f", NAMED)
    assert wipe(operator, drive).code == 10
    shutil.rmtree(operator.state)
    done = wipe(operator, drive)
    assert (done.code, done.last["error"]["code"]) == (2, "usage.wrong")


@pytest.mark.parametrize(
    "more",
    [
        ("--asset-tag", "x" * 129),
        ("--operator", ""),
        ("--operator", "ada "),
        ("--lot", "a\x1b[31mb"),
    ],
)
def test_odd_words_are_usage_errors(operator: Operator, more: tuple[str, str]) -> None:
    done = wipe(operator, make(operator, "g", NAMED), *more)
    assert done.code == 2
    assert OLD.left_on(operator.folder / "g.img", 512) != ()


def test_a_folder_that_cannot_hold_records_is_found_before_the_wipe(operator: Operator) -> None:
    drive = make(operator, "h", NAMED)
    words: list[str | Path] = ["--policy", "nist-clear", "--confirm", "A1"]
    words += ["--state-dir", operator.state]
    done = operator.run("wipe", drive, *words, "--out", os.devnull + "/x")
    assert done.code == 2
    assert OLD.left_on(drive.with_suffix(".img"), 512) != ()
