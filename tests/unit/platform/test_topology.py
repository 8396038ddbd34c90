"""Adapter, links, slots and anchors from trees of plain files that look like sysfs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from nullbay.domain.clock import ClockSync, Stamp
from nullbay.domain.drive import Bay
from nullbay.domain.errors import MalformedError, TooLargeError, UnknownSchemaError
from nullbay.domain.ids import BayId
from nullbay.wipers.platform import bayprint
from nullbay.wipers.platform.bayprint import (
    Bayprint,
    read_bayprints,
    unmapped,
    written_bayprints,
)
from nullbay.wipers.platform.topology import (
    Anchor,
    Link,
    Slot,
    anchors_of,
    look_again,
    route_of,
    sas_place,
    slot_of,
)
from support.sysfs_tree import Tree

ROOT = "pci0000:00/0000:00:01.0"
HBA = f"{ROOT}/0000:01:00.0"
AHCI = "pci0000:00/0000:00:1f.2"
NVME = f"{ROOT}/0000:03:00.0/nvme/nvme2"
SATA = f"{AHCI}/ata3/host2/target2:0:0/2:0:0:0"
EXPANDER = f"{HBA}/host0/port-0:0/expander-0:0"
SAS = f"{EXPANDER}/port-0:0:5/end_device-0:0:5/target0:0:5/0:0:5:0"
AT = Stamp("2026-11-21T20:00:00.000000Z", 1_000_000, "boot", ClockSync.SYNCHRONISED)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    made = Tree(tmp_path)
    function(made, ROOT, device="0x1901", speed="8.0 GT/s PCIe", width=16)
    function(made, HBA, device="0x00af", speed="8.0 GT/s PCIe", width=8)
    function(made, AHCI, device="0xa352")
    return made


def function(tree: Tree, path: str, *, device: str, speed: str = "", width: int = 0) -> None:
    place = tree.roots.sysfs / "devices" / path
    tree.write(
        place,
        {
            "vendor": "0x8086",
            "device": device,
            "subsystem_vendor": "0x1000",
            "subsystem_device": "0x3010",
        },
    )
    if speed:
        tree.write(place, {"current_link_speed": speed, "current_link_width": width})


def at(device: str) -> str:
    return f"/sys/devices/{device}"


@pytest.mark.parametrize(
    ("speed", "width", "low", "high"),
    [
        ("2.5 GT/s PCIe", 1, 200e6, 250e6),
        ("5.0 GT/s PCIe", 4, 1.6e9, 2.0e9),
        ("8.0 GT/s PCIe", 8, 6.3e9, 7.9e9),
        ("16.0 GT/s PCIe", 8, 12.6e9, 15.8e9),
    ],
)
def test_a_link_carries_less_than_its_line_rate(
    tmp_path: Path, speed: str, width: int, low: float, high: float
) -> None:
    tree = Tree(tmp_path)
    function(tree, HBA, device="0x00af", speed=speed, width=width)
    (link,) = route_of(at(SAS), roots=tree.roots).links
    assert low < link.bytes_per_s < high


@pytest.mark.parametrize(("speed", "width"), [("Unknown", 8), ("8.0 GT/s PCIe", 0), ("x" * 99, 1)])
def test_a_link_that_tells_nothing_bounds_nothing(tmp_path: Path, speed: str, width: int) -> None:
    tree = Tree(tmp_path)
    function(tree, HBA, device="0x00af", speed=speed, width=width)
    assert route_of(at(SAS), roots=tree.roots).links == ()


def test_the_route_of_a_drive_behind_an_expander(tree: Tree) -> None:
    port = f"{HBA}/host0/port-0:0"
    for number in range(4):
        phy = tree.roots.sysfs / "devices" / port / f"phy-0:{number}"
        tree.write(phy / "sas_phy" / phy.name, {"negotiated_linkrate": "12.0 Gbit"})
    route = route_of(at(SAS), roots=tree.roots)
    assert route.hba == "0000:01:00.0"
    assert route.expander == "expander-0:0 port-0:0"
    assert [link.name for link in route.links] == [
        "0000:00:01.0",
        "0000:01:00.0",
        "expander-0:0 port-0:0",
    ]
    assert route.links[-1] == Link("expander-0:0 port-0:0", 4 * 1_200_000_000)


def test_a_controller_of_the_chipset_has_no_link_of_its_own(tree: Tree) -> None:
    route = route_of(at(SATA), roots=tree.roots)
    assert (route.hba, route.expander, route.links) == ("0000:00:1f.2", "", ())


def test_the_slot_in_the_machines_own_words(tree: Tree) -> None:
    end = tree.roots.sysfs / "devices" / SAS.partition("/target")[0]
    tree.write(
        end / "sas_device" / end.name,
        {
            "bay_identifier": 7,
            "enclosure_identifier": "0x500056b31234abff",
            "phy_identifier": 5,
            "sas_address": "0x500056b31234abc5",
        },
    )
    slot = slot_of(at(SAS), roots=tree.roots)
    assert slot == Slot("0x500056b31234abff", "7", "5", "0x500056b31234abc5", "0000:01:00.0")
    device = tree.roots.sysfs / "devices" / SAS
    device.mkdir(parents=True, exist_ok=True)
    (device / "enclosure_device:Slot 08\x1b").symlink_to("../enclosure/0:0:9:0/Slot 08")
    assert slot_of(at(SAS), roots=tree.roots).slot == "Slot 08\\x1b"
    assert slot_of(at(SATA), roots=tree.roots) == Slot("", "", "", "", "0000:00:1f.2")


def test_anchors_are_functions_and_ports_but_not_the_drive(tree: Tree) -> None:
    function(tree, f"{ROOT}/0000:03:00.0", device="0x5016")
    tree.write(tree.roots.sysfs / "devices" / AHCI / "ata3/ata_port/ata3", {"port_no": 3})
    assert anchors_of(at(SATA), roots=tree.roots) == (
        Anchor(at(AHCI), "PCI 0x8086 0xa352 0x1000 0x3010"),
        Anchor(at(f"{AHCI}/ata3"), "SATA port 3"),
    )
    assert [one.path for one in anchors_of(at(NVME), roots=tree.roots)] == [at(ROOT)]
    assert anchors_of("/sys/devices/virtual/block/loop7", roots=tree.roots) == ()


def sas_port(tree: Tree, end: str, *, phy: str = "5", phys: str = "1", address: str = "") -> None:
    """What sysfs tells of an end device, its port and the expander above."""
    path = tree.roots.sysfs / "devices" / end
    tree.write(path / "sas_device" / path.name, {"phy_identifier": phy})
    tree.write(path.parent / "sas_port" / path.parent.name, {"num_phys": phys})
    if address:
        above = path.parent.parent
        tree.write(above / "sas_device" / above.name, {"sas_address": address})


def test_a_sas_place_keeps_its_name_when_the_kernel_counts_on(tree: Tree) -> None:
    address = "0x500056b31234abff"
    sas_port(tree, SAS.partition("/target")[0], address=address)
    place = at(f"{HBA}/sas-exp{address}-phy5")
    assert sas_place(at(SAS), roots=tree.roots) == place
    later = f"{EXPANDER}/port-0:0:17/end_device-0:0:17/target0:0:22/0:0:22:0"
    sas_port(tree, later.partition("/target")[0], address=address)
    assert sas_place(at(later), roots=tree.roots) == place
    direct = f"{HBA}/host0/port-0:3/end_device-0:3/target0:0:3/0:0:3:0"
    sas_port(tree, direct.partition("/target")[0], phy="3")
    assert sas_place(at(direct), roots=tree.roots) == at(f"{HBA}/sas-phy3")


@pytest.mark.parametrize(
    "odd",
    [{"phys": "2"}, {"phys": ""}, {"phy": ""}, {"phy": "5/../6"}, {"address": "0x1"}],
)
def test_what_names_no_single_phy_is_no_sas_place(tree: Tree, odd: dict[str, str]) -> None:
    sas_port(tree, SAS.partition("/target")[0], **{"address": "0x500056b31234abff", **odd})
    assert sas_place(at(SAS), roots=tree.roots) == ""
    assert sas_place(at(SATA), roots=tree.roots) == ""


def learned(tree: Tree, device: str, match: str = "") -> Bayprint:
    anchors = anchors_of(at(device), roots=tree.roots)
    return Bayprint(BayId("A1"), match or at(device), Slot("", "", "", "", ""), anchors, AT)


def test_a_bay_stays_mapped_while_the_machine_stays(tree: Tree) -> None:
    tree.write(tree.roots.sysfs / "devices" / AHCI / "ata3/ata_port/ata3", {"port_no": 3})
    one = learned(tree, SATA)
    bays = [Bay(BayId("A1"), 1, 1, one.match), Bay(BayId("A2"), 1, 2, at(SAS))]
    paths = [anchor.path for anchor in one.anchors]

    def gone() -> tuple[str, ...]:
        return unmapped(bays, [one], look_again(paths, roots=tree.roots))

    assert gone() == ()
    # another order of drivers: ata3 is another port now
    tree.write(tree.roots.sysfs / "devices" / AHCI / "ata3/ata_port/ata3", {"port_no": 1})
    assert gone() == ("A1",)
    tree.write(tree.roots.sysfs / "devices" / AHCI / "ata3/ata_port/ata3", {"port_no": 3})
    assert gone() == ()
    # another card in that place
    function(tree, AHCI, device="0xffff")
    assert gone() == ("A1",)
    shutil.rmtree(tree.roots.sysfs / "devices" / AHCI)
    assert gone() == ("A1",)


def test_a_matcher_changed_by_hand_is_not_what_was_learned(tree: Tree) -> None:
    one = learned(tree, SAS)
    now = look_again([anchor.path for anchor in one.anchors], roots=tree.roots)
    changed = [Bay(BayId("A1"), 1, 1, at(SATA))]
    assert unmapped(changed, [one], now) == ("A1",)
    assert unmapped([Bay(BayId("A1"), 1, 1, one.match)], [one], now) == ()


def test_prints_are_read_as_they_were_written(tree: Tree, tmp_path: Path) -> None:
    assert read_bayprints(tmp_path) == ()
    one = learned(tree, SAS)
    (tmp_path / bayprint.FILE_NAME).write_bytes(written_bayprints([one]))
    assert read_bayprints(tmp_path) == (one,)


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"{", MalformedError),
        (b"[" * 100_000, MalformedError),
        (b"\xff", MalformedError),
        (b'{"schema": "nullbay.bays-learned/2", "bays": []}', UnknownSchemaError),
        (b'{"schema": "nullbay.bays-learned/1"}', MalformedError),
        (b" " * (bayprint.FILE_MAX_BYTES + 1), TooLargeError),
    ],
)
def test_prints_that_cannot_be_trusted_are_refused(
    tmp_path: Path, raw: bytes, error: type[Exception]
) -> None:
    (tmp_path / bayprint.FILE_NAME).write_bytes(raw)
    with pytest.raises(error):
        read_bayprints(tmp_path)
