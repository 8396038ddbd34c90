"""What udev itself makes of the rules: `udevadm test` in a mount namespace of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from nullbay.agent.udev_rules import FILE_NAME, udev_rules
from nullbay.domain.drive import Bay
from nullbay.domain.ids import BayId
from nullbay.wipers.platform import loop

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="loop devices need root")

# Stands for all that distributions run for a disk: hdparm, vgchange, bcache-register.
_LATER = """\
SUBSYSTEM=="block", OPTIONS+="watch", RUN+="/usr/bin/later-program"
SUBSYSTEM=="block", ENV{SYSTEMD_READY}!="0", ENV{TAKEN_BY_MDADM}="1"
"""
# /dev and /run are private and empty: the simulation makes links and a database.
_SCRIPT = """\
set -e
mount -t tmpfs none /run
mkdir -p /run/udev/rules.d
cp "$1"/*.rules /run/udev/rules.d/
mount -t tmpfs none /dev
mknod /dev/null c 1 3
mknod "/dev/$2" b $3
exec udevadm test --action=add "/sys/class/block/$2" 2>&1
"""


class Simulation:
    """One loop device with an ext4 file system, and what udev says of it."""

    def __init__(self, folder: Path, attached: loop.AttachedLoop) -> None:
        self.name = Path(attached.device).name
        self.folder = folder

    def said(self, rules: str) -> str:
        place = self.folder / "rules"
        place.mkdir(exist_ok=True)
        (place / FILE_NAME).write_text(rules)
        (place / "98-later.rules").write_text(_LATER)
        number = Path(f"/sys/class/block/{self.name}/dev").read_text().strip().replace(":", " ")
        command = ["unshare", "--mount", "sh", "-c", _SCRIPT.replace("$3", number), "sh"]
        done = subprocess.run(
            [*command, str(place), self.name],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        assert f"/run/udev/rules.d/{FILE_NAME}" in done.stdout, "udev did not read the file"
        return done.stdout


@pytest.fixture
def simulation(tmp_path: Path) -> Iterator[Simulation]:
    file = tmp_path / "disk"
    with file.open("wb") as opened:
        opened.truncate(4 << 20)
    subprocess.run(["mkfs.ext4", "-q", str(file)], check=True, capture_output=True)
    attached = loop.attach(file)
    yield Simulation(tmp_path, attached)
    loop.detach(attached)


def in_bay(name: str) -> str:
    return udev_rules([Bay(BayId("A1"), 1, 1, f"/sys/devices/virtual/block/{name}")]).text


def test_udev_leaves_a_drive_in_a_bay_alone(simulation: Simulation) -> None:
    outside = simulation.said(in_bay("loop99999"))
    # otherwise the next assertions would show nothing
    assert "ID_FS_TYPE=ext4" in outside
    assert "later-program" in outside
    assert "TAKEN_BY_MDADM=1" in outside
    inside = simulation.said(in_bay(simulation.name)).splitlines()
    for line in (
        "SYSTEMD_READY=0",
        "UDISKS_IGNORE=1",
        "ID_FS_TYPE=none",
        "DM_UDEV_DISABLE_OTHER_RULES_FLAG=1",
        "nompath=1",
        "run: '/bin/true'",
    ):
        assert line in inside
    said = "\n".join(inside)
    assert "ID_FS_UUID" not in said
    assert "TAKEN_BY_MDADM" not in said
    assert "run: '/usr/bin/later-program'" not in inside
    assert "/dev/disk/" not in said


def test_udev_finds_nothing_wrong_with_the_file(simulation: Simulation) -> None:
    bays = [
        Bay(BayId("A1"), 1, 1, "/sys/devices/pci0000:00/0000:00:1f.2/ata[3-6]/*"),
        Bay(BayId("A2"), 1, 2, "/sys/devices/pci0000:00/0000:00:01.0/host?/target*/*"),
        Bay(BayId("A3"), 1, 3, f"/sys/devices/virtual/block/{simulation.name}"),
        Bay(BayId("A4"), 1, 4, "/sys/devices/pci0000:00/0000:01:00.0/sas-phy1"),
    ]
    rules = udev_rules(bays).text
    said = simulation.said(rules)
    complaints = [line for line in said.splitlines() if f"{FILE_NAME}:" in line]
    # only what it did: set the program; complaints of the parser name file and line the same way
    assert len(complaints) == 1, complaints
    assert complaints[0].endswith("RUN '/bin/true'")
    broken = simulation.said(rules.replace('UDISKS_AUTO}="0"', "UDISKS_AUTO}=0"))
    assert [line for line in broken.splitlines() if f"{FILE_NAME}:" in line] != complaints


def test_udevadm_verify_agrees(tmp_path: Path) -> None:
    """From systemd 254 on; older ones do not know the word and say so."""
    file = tmp_path / FILE_NAME
    file.write_text(in_bay("loop7"))
    done = subprocess.run(
        ["udevadm", "verify", str(file)], capture_output=True, text=True, check=False, timeout=60
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0 or "Unknown command verb" in said, said
