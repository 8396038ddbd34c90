"""`bays learn`, `bays list` and `config udev` on loop devices of this kernel."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nullbay.agent.bays_learn import LessonError
from nullbay.agent.discovery import Discovery
from nullbay.agent.settling import Pace
from nullbay.cli import bays
from nullbay.cli.context import UsageError
from nullbay.config.problems import ConfigError
from nullbay.config.settings import load
from nullbay.domain.drive import Drive
from nullbay.wipers.platform import bayprint, loop
from nullbay.wipers.platform.discover import list_drives

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="loop devices need root")


@pytest.fixture
def device(tmp_path: Path) -> Iterator[str]:
    file = tmp_path / "disk"
    with file.open("wb") as opened:
        opened.truncate(1 << 20)
    attached = loop.attach(file)
    yield attached.device
    loop.detach(attached)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "nullbay"
    made.mkdir()
    return made


def options(directory: Path, **given: Any) -> argparse.Namespace:
    usual = {
        "config": directory,
        "state_dir": directory / "no-state",
        "device": None,
        "bay": None,
        "row": None,
        "column": None,
        "label_serial": "",
        "no_label": False,
        "wait": 1.0,
        "out": None,
        "json": True,
    }
    return argparse.Namespace(**{**usual, **given})


def learn(directory: Path, device: str, bay: str = "A1", column: int = 1) -> int:
    given = options(directory, device=device, bay=bay, row=1, column=column, no_label=True)
    return bays.learn(given)


def test_a_bay_is_learned_listed_and_has_its_rules(
    directory: Path, device: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert learn(directory, device) == 0
    path = f"/sys/devices/virtual/block/{Path(device).name}"
    told = json.loads(capsys.readouterr().out)
    assert told["match"] == path
    assert told["device"] == device
    assert [one.match for one in load(directory).bays] == [path]

    assert bays.list_bays(options(directory)) == 0
    (listed,) = json.loads(capsys.readouterr().out)["bays"]
    assert listed["state"] == "learned"
    assert listed["drives"] == [{"device": device, "serial": ""}]
    assert bays.list_bays(options(directory, json=False)) == 0
    assert device in capsys.readouterr().out

    out = directory / "59-nullbay-bays.rules"
    assert bays.udev(options(directory, out=out)) == 0
    assert f'DEVPATH=="{path.removeprefix("/sys")}|' in out.read_text()
    assert json.loads(capsys.readouterr().out)["rules"] == out.read_text()


def test_the_drive_that_is_plugged_in_is_the_one(
    directory: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "plugged"
    with file.open("wb") as opened:
        opened.truncate(1 << 20)
    attached: list[loop.AttachedLoop] = []

    def mine() -> tuple[Drive, ...]:
        found = tuple(
            one
            for one in list_drives()
            if any(one.attachment.nodes[0].diskseq == my.diskseq for my in attached)
        )
        if not attached:  # listed once: now the operator's hand
            attached.append(loop.attach(file))
        return found

    monkeypatch.setattr(
        bays, "Discovery", lambda clock: Discovery(clock, lister=mine, pace=Pace(settle_s=0.3))
    )
    try:
        given = options(directory, bay="A1", row=1, column=1, no_label=True, wait=60.0)
        assert bays.learn(given) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["device"] == attached[0].device
        given = options(
            directory, bay="A1", row=1, column=1, label_serial="WX1", device=told["device"]
        )
        with pytest.raises(LessonError, match="no serial at all"):
            bays.learn(given)
    finally:
        for one in attached:
            loop.detach(one)


def test_a_bay_whose_machine_changed_is_unmapped_until_learned_again(
    directory: Path, device: str, capsys: pytest.CaptureFixture[str]
) -> None:
    learn(directory, device)
    file = directory / bayprint.FILE_NAME
    plain = json.loads(file.read_text())
    (one,) = plain["bays"]
    one["anchors"] = [{"path": "/sys/devices/pci0000:00/0000:00:00.7", "found": "PCI 1 2 3 4"}]
    file.write_text(json.dumps(plain))
    capsys.readouterr()
    assert bays.list_bays(options(directory)) == 1
    assert json.loads(capsys.readouterr().out)["bays"][0]["state"] == "unmapped"
    assert bays.list_bays(options(directory, json=False)) == 1
    assert "bays learn" in capsys.readouterr().out
    learn(directory, device)
    capsys.readouterr()
    assert bays.list_bays(options(directory)) == 0


def test_one_place_is_one_bay(directory: Path, device: str) -> None:
    learn(directory, device)
    with pytest.raises(ConfigError):
        learn(directory, device, "A2", 2)
    assert [one.bay_id for one in load(directory).bays] == ["A1"]


def test_a_mounted_drive_is_no_bay(directory: Path, device: str) -> None:
    """What is in use here is not what stands in a wipe bay."""
    point = directory.parent / "mounted"
    point.mkdir()
    subprocess.run(["mkfs.ext4", "-q", device], check=True, capture_output=True)
    subprocess.run(["mount", device, str(point)], check=True)
    try:
        with pytest.raises(bays.BayError):
            learn(directory, device)
    finally:
        subprocess.run(["umount", str(point)], check=True)
    assert not list(directory.iterdir())


def test_without_anybody_to_ask_everything_has_to_be_said(
    directory: Path, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(UsageError, match="--label-serial"):
        bays.learn(options(directory, device=device))
    with pytest.raises(UsageError, match="--bay"):
        bays.learn(options(directory, device=device, no_label=True))
    with pytest.raises(UsageError, match="directory"):
        bays.learn(options(directory / "file.toml", device=device))
    assert not list(directory.iterdir())
