"""Twenty-four drives at once, one of which stops answering: nobody else waits for it.

The drive's file lies on a file system that is frozen, so that its writes hang in the kernel, as
those of a sick disk do.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.processes import until
from support.site import LoopBay, Site, detach, fill, is_clean, losetup

BAYS = 24
SICK = "A24"
SECTORS = 4 * 2048
RATE = 1_000_000
MIB = 1024 * 1024
GOOD = {"SANITIZED", "SANITIZED_WITH_EXCEPTIONS"}


@pytest.fixture
def ward(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, thawed and gone at the end."""
    image, mount = tmp_path / "ward.img", tmp_path / "ward"
    with image.open("wb") as file:
        file.truncate(32 * MIB)
    mount.mkdir()
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    device = losetup(image)
    try:
        subprocess.run(["mount", device, str(mount)], check=True)
        try:
            yield mount
        finally:
            subprocess.run(["fsfreeze", "--unfreeze", str(mount)], check=False, capture_output=True)
            subprocess.run(["umount", str(mount)], check=True)
    finally:
        detach(device)


@pytest.fixture
def site(tmp_path: Path, ward: Path) -> Iterator[Site]:
    bays: list[LoopBay] = []
    try:
        for number in range(1, BAYS + 1):
            name = f"A{number}"
            image = (ward if name == SICK else tmp_path) / f"drive-{number}.img"
            fill(image, SECTORS)
            bays.append(LoopBay(name, image, losetup(image)))
        site = Site(tmp_path / "site", bays, rate_bytes_per_s=RATE, with_centre=False)
        try:
            site.start()
            yield site
        finally:
            subprocess.run(["fsfreeze", "--unfreeze", str(ward)], check=False, capture_output=True)
            site.end()
    finally:
        for bay in bays:
            detach(bay.device)


def test_one_drive_stops_and_twenty_three_conclude(site: Site, ward: Path) -> None:
    for name in (SICK, *(f"A{number}" for number in range(1, BAYS))):
        assert site.approve(site.until_bay(name, "present"))
    until(lambda: (site.bay(SICK)["work"] or {}).get("phase") == "write")
    subprocess.run(["fsfreeze", "--freeze", str(ward)], check=True)
    others = [f"A{number}" for number in range(1, BAYS)]

    def concluded() -> int:
        status = site.status()
        assert status is not None, "the station does not answer"
        return sum(bay["state"] == "concluded" for bay in status["bays"] if bay["bay"] in others)

    until(lambda: concluded() >= len(others) // 2)
    until(lambda: concluded() == len(others))
    until(lambda: site.bay(SICK)["state"] == "stalled")
    shown = site.bay(SICK)
    assert (shown["action"], shown["verdict"]) == ("call", None)
    assert {site.bay(name)["verdict"] for name in others} <= GOOD
    assert all(is_clean(bay.image) for bay in site.bays if bay.name != SICK)
    subprocess.run(["fsfreeze", "--unfreeze", str(ward)], check=True)
    until(lambda: site.bay(SICK)["state"] == "concluded")
    shown = site.bay(SICK)
    assert shown["verdict"] not in GOOD or is_clean(site.bays[-1].image)
