"""Learning bays: which drive, which place, and files that are whole or untouched."""

from __future__ import annotations

import asyncio
import tomllib
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from nullbay.agent import bays_learn
from nullbay.agent.bays_learn import (
    FILE_NAME,
    LOCK_NAME,
    LessonError,
    lasting_match,
    lesson,
    one_new_drive,
    require_label,
    save,
)
from nullbay.config.problems import ConfigError
from nullbay.config.settings import load
from nullbay.domain.clock import ClockSync, Stamp
from nullbay.domain.drive import Bay, Drive
from nullbay.domain.ids import BayId
from nullbay.domain.method import Transport
from nullbay.lab.clock import VirtualClock, run
from nullbay.lab.host import Scripted, SimulatedDriveSource
from nullbay.wipers.bays import bay_of
from nullbay.wipers.platform import bayprint
from nullbay.wipers.platform.bayprint import read_bayprints
from nullbay.wipers.platform.filelock import FileLock, LockedError
from support.drives import drive
from support.stays import SLOTS, stay
from support.sysfs_tree import Tree

AT = Stamp("2026-11-21T20:00:00.000000Z", 1_000_000, "boot", ClockSync.SYNCHRONISED)
SATA = "/sys/devices/pci0000:00/0000:00:17.0/ata3/host2/target2:0:0/2:0:0:0"
HEAD = 'schema = "nullbay.config/1"\n'


def bay(name: str = "A1", column: int = 1) -> Bay:
    return Bay(BayId(name), 1, column, "")


def learn(one: Drive, name: str = "A1", column: int = 1) -> tuple[Bay, bays_learn.Lesson]:
    place = bay(name, column)
    return place, lesson(one, place, [one], AT)


@pytest.mark.parametrize(
    ("path", "transport", "match"),
    [
        (
            SATA,
            Transport.SATA,
            "/sys/devices/pci0000:00/0000:00:17.0/ata3/host*/target*:0:0/*:0:0:*",
        ),
        (
            "/sys/devices/pci0000:00/0000:00:1d.0/0000:03:00.0/nvme/nvme2",
            Transport.NVME,
            "/sys/devices/pci0000:00/0000:00:1d.0/0000:03:00.0/nvme/nvme*",
        ),
        (
            "/sys/devices/pci0000:00/0000:00:14.0/usb2/2-1/2-1:1.0/host6/target6:0:0/6:0:0:0",
            Transport.USB,
            "/sys/devices/pci0000:00/0000:00:14.0/usb2/2-1/2-1:1.0/host*/target*:0:0/*:0:0:*",
        ),
        (
            "/sys/devices/pci0000:00/0000:01:00.0/host0/target0:1:5/0:1:5:0",
            Transport.SCSI,
            "/sys/devices/pci0000:00/0000:01:00.0/host*/target*:1:5/*:1:5:*",
        ),
        (
            "/sys/devices/platform/soc/mmc_host/mmc0/mmc0:0001",
            Transport.MMC,
            "/sys/devices/platform/soc/mmc_host/mmc0/mmc0:*",
        ),
        ("/sys/devices/virtual/block/loop7", Transport.LOOP, "/sys/devices/virtual/block/loop7"),
        (
            "/sys/devices/pci0000:00/0000:00:05.0/virtio2",
            Transport.VIRTIO,
            "/sys/devices/pci0000:00/0000:00:05.0/virtio2",
        ),
    ],
)
def test_what_changes_with_each_plugging_becomes_a_wildcard(
    path: str, transport: Transport, match: str
) -> None:
    one = drive(device_path=path, transport=transport)
    assert lasting_match(one) == match
    assert fnmatchcase(path, match)
    assert bay_of(one, [Bay(BayId("A1"), 1, 1, match)]) == "A1"


def test_the_next_drive_in_the_slot_is_in_the_bay_and_the_neighbour_is_not() -> None:
    here = [Bay(BayId("A1"), 1, 1, lasting_match(drive()))]
    again = drive(device_path=SATA.replace("host2/target2:0:0/2:0", "host12/target12:0:0/12:0"))
    assert bay_of(again, here) == "A1"
    assert bay_of(drive(device_path=SATA.replace("ata3", "ata4")), here) is None


HBA = "/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0"


def on_sas(tree: Tree, port: int, phy: str) -> Drive:
    """A drive on a port of the adapter, with what sysfs tells of it."""
    end = f"{HBA}/host0/port-0:{port}/end_device-0:{port}"
    place = tree.roots.sysfs / end.removeprefix("/sys/")
    tree.write(place / "sas_device" / place.name, {"phy_identifier": phy})
    tree.write(place.parent / "sas_port" / place.parent.name, {"num_phys": 1})
    return drive(device_path=f"{end}/target0:0:{port}/0:0:{port}:0", transport=Transport.SAS)


def test_a_sas_bay_is_a_phy_whatever_the_kernel_calls_its_ports(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    first, beside = on_sas(tree, 3, "1"), on_sas(tree, 4, "2")
    place = bay()
    learned = lesson(first, place, [first, beside], AT, roots=tree.roots)
    assert learned.match == f"{HBA}/sas-phy1"
    known = [replace(place, match=learned.match)]
    assert bay_of(on_sas(tree, 9, "1"), known, roots=tree.roots) == "A1"
    assert bay_of(beside, known, roots=tree.roots) is None
    save(tmp_path, place, learned)
    assert load(tmp_path).bays == tuple(known)


def test_a_sas_port_of_which_sysfs_tells_no_phy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LessonError) as caught:
        lasting_match(on_sas(Tree(tmp_path), 3, ""))
    assert caught.value.code == "bays.path-not-lasting"


def test_a_matcher_that_takes_a_neighbour_too_is_refused() -> None:
    path = "/sys/devices/pci0000:00/0000:01:00.0/host0/target0:1:5/0:1:5:0"
    mine, other = (
        drive(device_path=one, transport=Transport.SCSI)
        for one in (path, path.replace("host0", "host1"))
    )
    with pytest.raises(LessonError) as caught:
        lesson(mine, bay(), [mine, other], AT)
    assert caught.value.code == "bays.ambiguous"


def test_the_label_has_to_be_this_drives() -> None:
    one = drive(serial=b"WX11A1B2C3D4")
    require_label("WX11A1B2C3D4", one)
    require_label(" wx11a1b2c3d4 ", one)
    for label, word in (("WX11A1B2C3D5", "near"), ("SOMETHING", "SOMETHING"), ("\x1b[2J", "says")):
        with pytest.raises(LessonError) as caught:
            require_label(label, one)
        assert caught.value.code == "bays.label"
        assert word in str(caught.value)
        assert str(caught.value).isprintable()


def waited(*script: tuple[float, str, int]) -> Drive:
    async def main(clock: VirtualClock) -> Drive:
        source = SimulatedDriveSource(clock, [stay(2, "THERE", 1)])
        steps = [
            Scripted(
                at_s,
                (lambda slot=slot: source.arrive(stay(slot, "NEW", 5)))  # type: ignore[misc]
                if what == "arrive"
                else (lambda slot=slot: source.depart(SLOTS[slot])),  # type: ignore[misc]
            )
            for at_s, what, slot in script
        ]
        playing = asyncio.create_task(source.play(steps))
        try:
            return await one_new_drive(source, clock, patience_s=60.0)
        finally:
            playing.cancel()

    return run(main)


def test_the_one_drive_that_comes_is_it() -> None:
    assert waited((10.0, "arrive", 0)) == stay(0, "NEW", 5)
    # one that leaves again is not; nor is one that was there and leaves
    script = ((5.0, "arrive", 0), (6.0, "depart", 0), (7.0, "depart", 2), (50.0, "arrive", 1))
    assert waited(*script) == stay(1, "NEW", 5)


def test_none_and_several_are_refused() -> None:
    with pytest.raises(LessonError) as caught:
        waited((100.0, "arrive", 0))
    assert caught.value.code == "bays.none-came"
    with pytest.raises(LessonError) as caught:
        waited((10.0, "arrive", 0), (12.0, "arrive", 1))
    assert caught.value.code == "bays.several"


def test_a_learned_bay_is_in_the_settings_with_its_print(tmp_path: Path) -> None:
    directory = tmp_path / "nullbay"
    directory.mkdir()
    (directory / "station.toml").write_text(HEAD + '[station]\nname = "S"\n')
    tree = Tree(tmp_path / "tree")
    one = drive()
    place = bay()
    learned = lesson(one, place, [one], AT, roots=tree.roots)
    save(directory, place, learned)
    settings = load(directory)
    assert settings.bays == (replace(place, match=lasting_match(one)),)
    assert settings.station == "S"
    assert read_bayprints(directory) == (learned.print,)
    for name in (FILE_NAME, bayprint.FILE_NAME):
        assert (directory / name).stat().st_mode & 0o777 == 0o644
    assert {entry.name for entry in directory.iterdir()} == {
        "station.toml",
        FILE_NAME,
        bayprint.FILE_NAME,
        LOCK_NAME,
    }
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")] == []


def test_learning_again_moves_the_bay_and_keeps_the_rest(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(HEAD + '[policies]\ndefault = "nist-clear"\n')
    save(tmp_path, *learn(drive()))
    save(tmp_path, *learn(drive(device_path=SATA.replace("ata3", "ata4")), "A2", 2))
    file = tmp_path / FILE_NAME
    file.write_text(file.read_text().replace('id = "A1"', 'id = "A1"\nunattended = true'))
    save(tmp_path, *learn(drive(device_path=SATA.replace("ata3", "ata5")), "A1", 3))
    tables = tomllib.loads(file.read_text())["bay"]
    assert [(one["id"], one["column"], "ata5" in one["match"]) for one in tables] == [
        ("A1", 3, True),
        ("A2", 2, False),
    ]
    assert tables[0]["unattended"] is True
    assert [one.bay for one in read_bayprints(tmp_path)] == ["A2", "A1"]


def test_a_bay_that_would_break_the_settings_changes_nothing(tmp_path: Path) -> None:
    policies = tmp_path / "elsewhere"
    policies.mkdir()
    directory = tmp_path / "nullbay"
    directory.mkdir()
    (directory / "a.toml").write_text(
        HEAD
        + '[policies]\ndirectory = "../elsewhere"\n[[bay]]\nid = "A1"\nrow = 1\ncolumn = 1\n'
        + 'match = "/sys/devices/virtual/block/loop7"\n'
    )
    before = {entry.name: entry.read_bytes() for entry in directory.iterdir()}
    with pytest.raises(ConfigError) as caught:
        save(directory, *learn(drive(), "A1", 2))
    assert f"{directory}/{FILE_NAME}" in str(caught.value)
    assert ".nullbay-check-" not in str(caught.value)
    after = {e.name: e.read_bytes() for e in directory.iterdir() if e.name != LOCK_NAME}
    assert after == before
    save(directory, *learn(drive(), "A2", 2))
    assert len(load(directory).bays) == 2


def test_hostile_names_stay_in_their_quotes(tmp_path: Path) -> None:
    name = 'A1"\nmatch = "/sys/devices/virtual/block/loop0'
    with pytest.raises(ConfigError):
        save(tmp_path, *learn(drive(), name))
    assert not (tmp_path / FILE_NAME).exists()


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / LOCK_NAME, exclusive=True)
    with pytest.raises(LockedError):
        save(tmp_path, *learn(drive()))
    lock.release()
    save(tmp_path, *learn(drive()))


def test_what_people_added_beside_the_bays_is_not_lost(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text(HEAD + '[station]\nname = "S"\n')
    with pytest.raises(LessonError) as caught:
        save(tmp_path, *learn(drive()))
    assert caught.value.code == "bays.file-edited"
