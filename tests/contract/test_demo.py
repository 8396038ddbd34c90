"""What `nullbay demo` promises, by its JSON; and that it would say so if it were not kept."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nullbay.cli.demo import Accounts, Files, Outcome
from nullbay.cli.demo_rack import MISSING, DemoDrive, rack
from nullbay.domain.ids import BayId, JobId
from nullbay.domain.status import Action, BayState, BayStatus, Why
from nullbay.domain.verdict import Verdict
from support.command import COMMAND

WITHIN_S = 600
"""No test waits for this: it ends one that hangs."""
DRIVES = {one.bay: one for one in rack()}
FILES = Files(JobId("j-20260105T060000-000000000001"), Path("b"), Path("a"), Path("p"))


def test_once_as_a_script_runs_it_keeps_every_promise(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    done = subprocess.run(
        [*COMMAND, "demo", "--once", "--json", "--no-loops", "--out", str(folder)],
        cwd=tmp_path,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    [line] = done.stdout.splitlines()
    told: dict[str, Any] = json.loads(line)
    assert (told["schema"], told["exit_code"], told["loop_devices"]) == ("nullbay.demo/1", 0, False)

    drives = {one["bay"]: one for one in told["drives"]}
    assert list(drives) == list(DRIVES)
    assert [bay for bay, one in drives.items() if not one["as_it_should_be"]] == []
    for bay, one in drives.items():
        ending = DRIVES[bay].ending
        assert one["verdict"] == (ending.verdict.value if ending.verdict else None), bay
        assert (one["certificate"] is None) == (ending.verdict is None), bay
        if ending.verdict is not None and ending.verdict.is_sanitized:
            assert one["old_data_bytes_left"] == 0, bay
        if one["certificate"] is not None:
            assert Path(one["certificate"]).is_relative_to(folder)
            assert Path(one["pdf"]).read_bytes().startswith(b"%PDF-")
    # what nothing was done to still holds what was on it: the search does find old data
    for bay in ("A6", "A7"):
        assert drives[bay]["old_data_bytes_left"] > 0

    records = [one for one in told["drives"] if one["certificate"]]
    surplus = [one.description.serial for one in rack() if not (one.on_manifest or one.is_system)]
    lot, centre = told["lot"], told["centre"]
    assert len(surplus) == 1
    assert lot["missing"] == centre["missing"] == [MISSING[0]]
    assert lot["surplus"] == centre["surplus"] == surplus
    assert centre["refused"] == [DRIVES["A7"].description.serial]
    assert centre["accounted"] is True
    assert centre["insertions"] == centre["insertions_at_station"]
    # each drive was in its bay once, the one that was pulled twice
    assert centre["insertions"] == len(DRIVES) + sum(bool(one.pull_at) for one in rack())
    assert centre["records"] == len(records)


def shown_of(drive: DemoDrive, **changes: Any) -> BayStatus:
    """A bay in which the drive ended as it should."""
    ending = drive.ending
    made = BayStatus(
        bay=BayId(drive.bay),
        row=1,
        column=1,
        state=BayState.CONCLUDED if ending.verdict else BayState.REFUSED,
        action=Action.NONE,
        why=(Why(ending.code),) if ending.code else (),
        job=FILES.job if ending.verdict else None,
        verdict=ending.verdict,
    )
    return replace(made, **changes)


def outcome_of(bay: str) -> Outcome:
    """How a drive of the demo should end."""
    drive = DRIVES[bay]
    is_done = drive.ending.verdict is not None
    is_good = drive.ending.verdict is Verdict.SANITIZED
    return Outcome(
        drive=drive,
        shown=shown_of(drive),
        files=FILES if is_done else None,
        seconds=1.0,
        sessions=drive.ending.sessions if is_done else 0,
        old_bytes_left=0 if is_good else 4096,
        authentic=True if is_done else None,
    )


@pytest.mark.parametrize("bay", DRIVES)
def test_an_outcome_as_expected_is_as_it_should(bay: str) -> None:
    assert outcome_of(bay).as_it_should


@pytest.mark.parametrize(
    ("bay", "wrong"),
    [
        pytest.param(bay, wrong, id=f"{bay}-{next(iter(wrong))}")
        for bay, wrongs in {
            "A1": (
                {"shown": shown_of(DRIVES["A1"], verdict=Verdict.NOT_SANITIZED)},
                {"old_bytes_left": 512},
                {"sessions": 2},
                {"authentic": False},
                {"authentic": None},
            ),
            "A4": ({"sessions": 1}, {"old_bytes_left": 1}),
            "A3": (
                {"shown": shown_of(DRIVES["A3"], why=())},
                {"authentic": False},
            ),
            "A5": (
                {"shown": shown_of(DRIVES["A5"], verdict=Verdict.SANITIZED)},
                {"sessions": 2},
            ),
            "A6": ({"files": FILES}, {"shown": shown_of(DRIVES["A6"], why=())}),
            "A7": (
                {"shown": shown_of(DRIVES["A7"], verdict=Verdict.SANITIZED)},
                {"shown": shown_of(DRIVES["A7"], why=(Why("guard.system-drive"),))},
            ),
        }.items()
        for wrong in wrongs
    ],
)
def test_one_wrong_thing_about_a_drive_is_not_as_it_should(bay: str, wrong: dict[str, Any]) -> None:
    assert not replace(outcome_of(bay), **wrong).as_it_should


def accounts(**changes: Any) -> Accounts:
    """Accounts as promised."""
    surplus = (DRIVES["A9"].description.serial,)
    made = Accounts(
        missing=MISSING[:1],
        surplus=surplus,
        missing_at_centre=MISSING[:1],
        surplus_at_centre=surplus,
        refused_at_centre=(DRIVES["A7"].description.serial,),
        accounted=True,
        insertions=10,
        insertions_at_station=10,
        records=7,
        findings=(),
    )
    return replace(made, **changes)


def test_accounts_as_promised_are_as_they_should() -> None:
    assert accounts().as_it_should


@pytest.mark.parametrize(
    "wrong",
    [
        {"missing": ()},
        {"missing": (MISSING[0], "LAB-HDD-0001")},
        {"surplus": ()},
        {"surplus": (DRIVES["A9"].description.serial, DRIVES["A6"].description.serial)},
        {"missing_at_centre": ()},
        {"surplus_at_centre": ()},
        {"refused_at_centre": ()},
        {"accounted": False},
        {"insertions": 9},
        {"insertions_at_station": 11},
    ],
    ids=lambda one: f"{next(iter(one))}-{next(iter(one.values()))}",
)
def test_one_wrong_figure_is_not_as_it_should(wrong: dict[str, Any]) -> None:
    assert not accounts(**wrong).as_it_should
