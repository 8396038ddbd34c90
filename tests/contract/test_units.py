"""The units as systemd itself reads and scores them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from support.units import AGENT, ALL, FOLDER, SERVER, WIPERD

BOUNDS = {AGENT: 25, SERVER: 25, WIPERD: 40}
"""Exposure as `systemd-analyze security` counts it, in tenths."""


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("name", ALL)
def test_exposure_is_within_its_bound(name: str) -> None:
    bound = f"--threshold={BOUNDS[name]}"
    done = analyze("security", "--offline=true", bound, FOLDER / name)
    assert done.returncode == 0, done.stdout
    told = re.search(r"Overall exposure level for .*: ([0-9.]+)", done.stdout)
    assert told
    assert float(told[1]) <= BOUNDS[name] / 10


def test_the_bound_can_be_missed(tmp_path: Path) -> None:
    """The same unit with its fences taken down is over it."""
    open_unit = tmp_path / WIPERD
    kept = (
        line for line in (FOLDER / WIPERD).read_text().splitlines() if "CapabilityB" not in line
    )
    open_unit.write_text("\n".join(kept).replace("ProtectSystem=strict", ""))
    done = analyze("security", "--offline=true", f"--threshold={BOUNDS[WIPERD]}", open_unit)
    assert done.returncode != 0


def test_systemd_understands_every_line(tmp_path: Path) -> None:
    """Under a root that has what the units name: users, command, documents."""
    units = tmp_path / "units"
    units.mkdir()
    for name in ALL:
        text = (FOLDER / name).read_text().replace("/usr/bin/nullbay", shutil.which("true") or "")
        (units / name).write_text(text)
    done = analyze("verify", "--man=no", *(units / name for name in ALL))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_wrong_line_is_noticed(tmp_path: Path) -> None:
    unit = tmp_path / AGENT
    text = (FOLDER / AGENT).read_text().replace("/usr/bin/nullbay", shutil.which("true") or "")
    unit.write_text(text.replace("OOMPolicy", "").replace("ProtectSystem", "ProtectSystems"))
    assert "ProtectSystems" in analyze("verify", "--man=no", unit).stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_users_and_places_are_made_as_written(tmp_path: Path) -> None:
    """systemd-sysusers and systemd-tmpfiles on an empty root of their own."""
    for tool, name in (("sysusers", "nullbay.sysusers"), ("tmpfiles", "nullbay.tmpfiles")):
        folder = tmp_path / "usr/lib" / f"{tool}.d"
        folder.mkdir(parents=True)
        shutil.copy(FOLDER / name, folder / "nullbay.conf")
    (tmp_path / "etc").mkdir()
    for command in (["systemd-sysusers"], ["systemd-tmpfiles", "--create"]):
        done = subprocess.run(
            [*command, f"--root={tmp_path}", "nullbay.conf"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    passwd = (tmp_path / "etc/passwd").read_text()
    assert re.search(
        r"^nullbay:x:\d+:\d+:nullbay station:.*:/usr/sbin/nologin$", passwd, re.MULTILINE
    )
    state = tmp_path / "var/lib/nullbay-wiperd"
    assert (state.stat().st_mode & 0o777, state.stat().st_uid) == (0o700, 0)
