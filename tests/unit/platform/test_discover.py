"""Drives from trees of plain files that look like sysfs."""

from __future__ import annotations

from pathlib import Path

import pytest

from nullbay.domain.drive import HiddenState
from nullbay.domain.method import MediaKind, Transport
from nullbay.wipers.platform.access import open_drive
from nullbay.wipers.platform.claim import ClaimError, DeviceNotFoundError, NotABlockDeviceError
from nullbay.wipers.platform.discover import find_drive, kernel_name, list_drives
from support import drive_bytes as made
from support.sysfs_tree import Tree

AHCI = "pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0"
SAS = "pci0000:00/0000:03:00.0/host2/port-2:0/end_device-2:0/target2:0:0"
USB = "pci0000:00/0000:00:14.0/usb2/2-1/2-1:1.0/host6/target6:0:0"
NAA = bytes.fromhex("5000c500a1b2c3d4")


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def sas(serial: bytes, naa: bytes = NAA) -> dict[str, bytes | str | int]:
    return {
        "vendor": "SEAGATE ",
        "model": "ST4000NM0023    ",
        "rev": "0004",
        "vpd_pg80": made.vpd(0x80, serial),
        "vpd_pg83": made.vpd(0x83, made.designator(3, naa)),
        "vpd_pgb1": made.vpd(0xB1, b"\x1c\x20" + bytes(58)),
    }


def sata(identify: bytes, *, inquiry_serial: bytes = b"") -> dict[str, bytes | str | int]:
    return {
        "vendor": "ATA     ",
        "model": "WDC WD10EZEX-08W",
        "rev": "1A01",
        "vpd_pg80": made.vpd(0x80, inquiry_serial),
        "vpd_pg89": made.vpd_89(identify),
    }


def test_a_sata_disk(tree: Tree) -> None:
    disk = tree.scsi("sda", AHCI, sata(made.identify()), sectors=1953525168)
    tree.partition(disk, 1)
    tree.link(
        tree.roots.sysfs / "devices/pci0000:00/0000:00:1f.2/driver",
        tree.roots.sysfs / "bus/pci/drivers/ahci",
    )
    (drive,) = list_drives(roots=tree.roots)
    assert drive.identity.model.raw == b"WDC WD10EZEX-08WN4A0"
    assert drive.identity.serial.raw == b"WD-WCC1S0123456"
    assert drive.identity.wwn == "50014ee2b5f0a1c3"
    assert drive.observed.firmware.raw == b"01.01A01"
    assert (drive.observed.transport, drive.observed.media) == (Transport.SATA, MediaKind.MAGNETIC)
    assert drive.attachment.device_path == f"/sys/devices/{AHCI}/0:0:0:0"
    assert drive.attachment.hba == "0000:00:1f.2 ahci"
    (node,) = drive.attachment.nodes
    assert (node.unit_id, node.name, node.devnum, node.diskseq) == ("disk", "sda", "8:16", 101)
    (unit,) = drive.observed.units
    assert unit.size_bytes == 1953525168 * 512
    assert (unit.logical_sector_bytes, unit.physical_sector_bytes) == (512, 4096)
    assert {area.state for area in drive.observed.hidden_areas} == {HiddenState.UNKNOWN}


def test_media_of_a_sata_disk_never_comes_from_the_queue(tree: Tree) -> None:
    tree.scsi("sda", AHCI, sata(made.identify(rotation=0)), {"queue/rotational": 1})
    other = AHCI.replace("ata1/host0/target0", "ata2/host1/target1")
    tree.scsi("sdb", other, {"vendor": "ATA     ", "model": "X"}, {"queue/rotational": 0})
    unknown, silent = list_drives(roots=tree.roots)
    assert unknown.observed.media is MediaKind.UNKNOWN
    assert silent.observed.media is MediaKind.UNKNOWN


def test_identify_data_of_a_drive_that_is_no_ata_drive_are_not_believed(tree: Tree) -> None:
    """The kernel's scsi_debug carries a page 89h with somebody else's IDENTIFY data."""
    tree.scsi("sda", SAS, {**sas(b"OWN"), "vpd_pg89": made.vpd_89(made.identify())})
    (drive,) = list_drives(roots=tree.roots)
    assert drive.identity.serial.raw == b"OWN"


def test_a_flash_disk_behind_a_sas_adapter_is_sata(tree: Tree) -> None:
    tree.scsi("sda", SAS, sata(made.identify(rotation=1)))
    (drive,) = list_drives(roots=tree.roots)
    assert (drive.observed.transport, drive.observed.media) == (Transport.SATA, MediaKind.FLASH)


def test_two_actuators_are_one_drive_of_two_units(tree: Tree) -> None:
    other = bytes.fromhex("5000c500a1b2c3d5")
    tree.scsi("sda", SAS, sas(b"ZVT0ABCD"), lun=0)
    tree.scsi("sdb", SAS, sas(b"ZVT0ABCD", other), lun=1)
    (drive,) = list_drives(roots=tree.roots)
    assert [unit.unit_id for unit in drive.observed.units] == ["lun:0", "lun:1"]
    assert [node.name for node in drive.attachment.nodes] == ["sda", "sdb"]
    assert drive.observed.transport is Transport.SAS
    assert not drive.serial_shared


def test_one_unit_by_two_ports_is_one_drive_with_two_nodes(tree: Tree) -> None:
    tree.scsi("sda", SAS, sas(b"ZVT0ABCD"))
    tree.scsi("sdb", SAS.replace("2:0", "2:1"), sas(b"ZVT0ABCD"))
    (drive,) = list_drives(roots=tree.roots)
    assert [unit.unit_id for unit in drive.observed.units] == ["disk"]
    assert [node.unit_id for node in drive.attachment.nodes] == ["disk", "disk"]


def test_card_readers_and_equal_serials_are_not_one_drive(tree: Tree) -> None:
    for lun, name in enumerate(("sda", "sdb")):
        tree.scsi(name, USB, {"vendor": "Generic", "model": f"Slot {lun}"}, lun=lun)
    apart = bytes.fromhex("5000c500a1b2c3d5")
    tree.scsi("sdc", SAS, sas(b"SAME"))
    tree.scsi("sdd", SAS.replace("2:0", "2:1"), sas(b"SAME", apart))
    drives = list_drives(roots=tree.roots)
    assert [drive.attachment.nodes[0].name for drive in drives] == ["sda", "sdb", "sdc", "sdd"]
    assert [drive.serial_shared for drive in drives] == [False, False, True, True]
    assert drives[2].confirm.startswith("nb-")


def test_equal_names_behind_usb_bridges_are_not_one_drive(tree: Tree) -> None:
    tree.scsi("sda", USB, sas(b"000000000000"))
    tree.scsi("sdb", USB.replace("2-1", "2-2"), sas(b"000000000000"))
    assert len(list_drives(roots=tree.roots)) == 2


def nvme_names(serial: str = "S4EWNX0R123456      ") -> dict[str, bytes | str | int]:
    return {
        "model": "Samsung SSD 970 EVO 1TB".ljust(40),
        "serial": serial,
        "firmware_rev": "2B2QEXE7",
        "subsysnqn": "nqn.2014.08.org.nvmexpress:144d144d" + serial.strip(),
    }


def test_namespaces_of_a_controller_are_one_drive(tree: Tree) -> None:
    pci = "pci0000:00/0000:00:04.0/nvme"
    controller = tree.nvme("nvme0", pci, nvme_names())
    for nsid in (1, 2):
        wwid = "eui.0025385a91b0c1d2" if nsid == 1 else "eui.00000000000000000025385a91b0c1d3"
        space = tree.disk(
            f"nvme0n{nsid}",
            f"{pci}/nvme0",
            {"nsid": nsid, "wwid": wwid, "queue/rotational": 0},
        )
        tree.link(space / "device", controller)
    tree.disk("nvme0c0n1", f"{pci}/nvme0", {"hidden": 1, "nsid": 1})
    (drive,) = list_drives(roots=tree.roots)
    assert [unit.unit_id for unit in drive.observed.units] == ["nsid:1", "nsid:2"]
    assert drive.identity.serial.raw == b"S4EWNX0R123456"
    assert (drive.identity.eui64, drive.identity.nguid) == ("0025385a91b0c1d2", "")
    assert drive.attachment.device_path == f"/sys/devices/{pci}/nvme0"
    assert (drive.observed.transport, drive.observed.media) == (Transport.NVME, MediaKind.FLASH)


def test_the_controller_is_found_by_links_not_by_numbers(tree: Tree) -> None:
    """nvme1n1 on controller nvme0, below a multipath head."""
    controller = tree.nvme("nvme0", "pci0000:00/0000:00:04.0/nvme", nvme_names())
    tree.nvme("nvme1", "pci0000:00/0000:00:05.0/nvme", nvme_names("OTHER"))
    head = tree.roots.sysfs / "devices/virtual/nvme-subsystem/nvme-subsys1"
    tree.link(head / "nvme0", controller)
    space = tree.disk("nvme1n1", "virtual/nvme-subsystem/nvme-subsys1", {"nsid": 1})
    tree.link(space / "device", head)
    (drive,) = list_drives(roots=tree.roots)
    assert drive.identity.serial.raw == b"S4EWNX0R123456"
    assert drive.attachment.device_path.endswith("0000:00:04.0/nvme/nvme0")


def test_namespaces_over_a_network_say_so(tree: Tree) -> None:
    controller = tree.nvme(
        "nvme3", "virtual/nvme-fabrics/ctl", {**nvme_names(), "transport": "tcp"}
    )
    space = tree.disk("nvme3n1", "virtual/nvme-fabrics/ctl/nvme3", {"nsid": 1})
    tree.link(space / "device", controller)
    (drive,) = list_drives(roots=tree.roots)
    assert drive.observed.transport is Transport.FABRICS


def test_a_loop_device(tree: Tree) -> None:
    tree.loop("loop0", "/srv/image")
    tree.loop("loop1", "")
    (drive,) = list_drives(roots=tree.roots)
    assert drive.attachment.device_path == "/sys/devices/virtual/block/loop0"
    assert (drive.observed.transport, drive.observed.media) == (Transport.LOOP, MediaKind.VIRTUAL)
    assert not drive.identity.is_strong
    assert [area.state for area in drive.observed.hidden_areas] == [HiddenState.NOT_APPLICABLE]
    with pytest.raises(DeviceNotFoundError, match="nothing is attached"):
        find_drive("loop1", roots=tree.roots)


def test_a_loop_device_keeps_its_identity_on_another_number(tree: Tree) -> None:
    tree.loop("loop0", "/srv/image")
    tree.loop("loop1", "/srv/image")
    first, second = list_drives(roots=tree.roots)
    assert first.identity.key == second.identity.key
    assert first.confirm != second.confirm


def test_bytes_after_the_last_whole_sector_count_as_hidden(tree: Tree) -> None:
    tree.loop("loop0", "/srv/image", sectors=2049, logical=4096)
    (drive,) = list_drives(roots=tree.roots)
    assert drive.observed.size_bytes == 2048 * 512
    tail = drive.observed.hidden_areas[1]
    assert (tail.state, tail.hidden_bytes) == (HiddenState.PRESENT, 512)


def test_emmc_areas_are_units_of_one_drive(tree: Tree) -> None:
    card = "platform/sdhci/mmc_host/mmc0/mmc0:0001"
    device = tree.roots.sysfs / "devices" / card
    tree.write(device, {"type": "MMC", "name": "8GTF4R", "serial": "0x12345678", "fwrev": "0x06"})
    for name in ("mmcblk0", "mmcblk0boot0", "mmcblk0boot1"):
        tree.link(tree.disk(name, f"{card}/block") / "device", device)
    (drive,) = list_drives(roots=tree.roots)
    assert [unit.unit_id for unit in drive.observed.units] == ["disk", "boot0", "boot1"]
    assert drive.observed.media is MediaKind.EMMC


@pytest.mark.parametrize(
    ("name", "device", "words"),
    [
        ("dm-0", "virtual/block", "a mapped device"),
        ("md127", "virtual/block", "a software RAID"),
        ("zram0", "virtual/block", "compressed memory"),
        ("nbd0", "virtual/block", "a network block device"),
        ("rbd0", "rbd/0/block", "Ceph"),
        ("strange0", "virtual/block", "no kind of drive"),
    ],
)
def test_devices_made_of_others_are_no_drives(
    tree: Tree, name: str, device: str, words: str
) -> None:
    tree.disk(name, device, {"dm/name": b"vg-\x1b[2Jroot\n"})
    assert list_drives(roots=tree.roots) == ()
    with pytest.raises(ClaimError, match=words) as caught:
        find_drive(name, roots=tree.roots)
    assert caught.value.code == "guard.not-a-whole-drive"
    assert caught.value.refusal.evidence.isprintable()


def test_a_partition_is_no_drive(tree: Tree) -> None:
    disk = tree.scsi("sda", AHCI, sata(made.identify()))
    tree.partition(disk, 1)
    with pytest.raises(ClaimError, match="sda1 is a partition of sda"):
        find_drive("sda1", roots=tree.roots)


def test_adapters_own_volumes_are_no_drives(tree: Tree) -> None:
    tree.scsi("sda", SAS, {"vendor": "HPE", "model": "X", "raid_level": "RAID 5"})
    tree.scsi("sdb", SAS.replace("2:0", "2:1"), {"vendor": "LSI", "model": "Logical Volume"})
    volume = "pci0000:00/0000:03:00.0/host4/target4:2:0"
    tree.scsi("sdc", volume, {"vendor": "AVAGO", "model": "MR9361"})
    tree.write(tree.roots.sysfs / "class/scsi_host/host4", {"proc_name": "megaraid_sas"})
    jbod = "pci0000:00/0000:03:00.0/host4/target4:0:3"
    tree.scsi("sdd", jbod, {"vendor": "SEAGATE", "model": "ST4", "raid_level": "N/A"})
    assert [drive.attachment.nodes[0].name for drive in list_drives(roots=tree.roots)] == ["sdd"]
    with pytest.raises(ClaimError, match="RAID 5"):
        find_drive("sda", roots=tree.roots)


def test_virtio_disks_are_listed_and_never_opened(tree: Tree) -> None:
    disk = tree.disk("vda", "pci0000:00/0000:00:02.0/virtio1/block", {"serial": "ROOT"})
    tree.link(disk / "device", tree.roots.sysfs / "devices/pci0000:00/0000:00:02.0/virtio1")
    (drive,) = list_drives(roots=tree.roots)
    assert drive.observed.transport is Transport.VIRTIO
    for name in ("vda", "vdb"):
        with pytest.raises((ClaimError, DeviceNotFoundError)) as caught:
            open_drive(name, roots=tree.roots, settle=False)
        assert caught.value.code == {
            "vda": "guard.not-a-whole-drive",
            "vdb": "device.not-found",
        }.get(name)


def test_optical_drives_are_no_drives(tree: Tree) -> None:
    tree.scsi("sda", AHCI, {"type": 5, "vendor": "X", "model": "DVD"})
    assert list_drives(roots=tree.roots) == ()


HOSTILE = [
    b"",
    b"\x1b[31mred\x07",
    b"A" * 200,
    b"\xff\xfe\xfd",
    b";rm -rf x",
    b"$(reboot)`id`",
    "\u202egnp.exe".encode(),
    b"line\nbreak",
]


@pytest.mark.parametrize("serial", HOSTILE)
def test_hostile_serials_are_kept_raw_and_shown_safely(tree: Tree, serial: bytes) -> None:
    tree.scsi("sda", SAS, sas(serial))
    (drive,) = list_drives(roots=tree.roots)
    assert drive.identity.serial.raw == serial
    assert drive.identity.serial.shown.isprintable()
    assert drive.confirm.isprintable()
    assert len(drive.confirm) <= 40
    assert find_drive("sda", roots=tree.roots).identity == drive.identity


@pytest.mark.parametrize("junk", [b"", b"\x00", b"\xff" * 4000, b"\x00\x80\xff\xff"])
def test_broken_pages_leave_a_drive_without_a_name(tree: Tree, junk: bytes) -> None:
    pages = ("vpd_pg80", "vpd_pg83", "vpd_pg89", "vpd_pgb1")
    tree.scsi("sda", SAS, {"vendor": "X", "model": "Y"} | dict.fromkeys(pages, junk))
    (drive,) = list_drives(roots=tree.roots)
    assert not drive.identity.serial
    assert drive.observed.media is MediaKind.UNKNOWN


def test_attributes_that_are_no_numbers_are_none(tree: Tree) -> None:
    tree.loop("loop0", "/x")
    path = tree.roots.sysfs / "devices/virtual/block/loop0"
    tree.write(path, {"size": "-5", "diskseq": "1e9", "queue/logical_block_size": b"\xff"})
    (drive,) = list_drives(roots=tree.roots)
    assert drive.observed.size_bytes == 0
    assert drive.attachment.nodes[0].diskseq == 0
    assert drive.observed.units[0].logical_sector_bytes == 512


@pytest.mark.parametrize("name", ["", ".", "..", "sdz", "/dev/none\x00", "a/../../b", "loop0/.."])
def test_names_of_nothing(tree: Tree, name: str) -> None:
    tree.loop("loop0", "/x")
    with pytest.raises((DeviceNotFoundError, NotABlockDeviceError)) as caught:
        kernel_name(name, tree.roots)
    assert caught.value.code in {"device.not-found", "device.not-a-block-device"}
    assert str(caught.value).isprintable()


def test_a_file_is_no_block_device(tree: Tree, tmp_path: Path) -> None:
    file = tmp_path / "plain"
    file.touch()
    with pytest.raises(NotABlockDeviceError):
        find_drive(str(file), roots=tree.roots)


def test_an_empty_machine_has_no_drives(tmp_path: Path) -> None:
    assert list_drives(roots=Tree(tmp_path).roots) == ()
