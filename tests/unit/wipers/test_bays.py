"""Which bay a drive is in: globs for a backplane, and nothing caught that does not hang there."""

from __future__ import annotations

import pytest

from nullbay.domain.drive import Bay
from nullbay.domain.ids import BayId
from nullbay.domain.method import Transport
from nullbay.wipers.bays import bay_of
from support.drives import drive

SLOT = "/sys/devices/pci0000:00/0000:00:1c.0/0000:03:00.0/host{}/port-{}:{}/end_device/target"
LOOP = "/sys/devices/virtual/block/loop{}"


def bay(name: str, match: str) -> Bay:
    return Bay(BayId(name), 1, 1, match)


def where(path: str, *bays: Bay, transport: Transport = Transport.SAS) -> str | None:
    return bay_of(drive(transport=transport, device_path=path), bays)


def test_a_glob_names_a_slot_whatever_number_the_host_got() -> None:
    bays = [bay(f"A{n}", SLOT.format("*", "*", n)) for n in range(1, 25)]
    for slot in range(1, 25):
        for host in (0, 7, 12):
            assert where(SLOT.format(host, host, slot), *bays) == f"A{slot}"


def test_neighbours_are_not_mixed_up() -> None:
    """Off by one, or a prefix: slot 1 is neither 0 nor 2 nor 10 nor 11."""
    bays = [bay(f"A{n}", SLOT.format("*", "*", n)) for n in (0, 1, 2, 10, 11)]
    for slot in (0, 1, 2, 10, 11):
        assert where(SLOT.format(0, 0, slot), *bays) == f"A{slot}"
    for slot in (3, 12, 100, 110):
        assert where(SLOT.format(0, 0, slot), *bays) is None


def test_case_counts_and_the_whole_path_has_to_fit() -> None:
    assert where("/sys/devices/pci0000:00/ata3", bay("A1", "/sys/devices/PCI0000:00/ata3")) is None
    assert (
        where("/sys/devices/pci0000:00/ata3/x", bay("A1", "/sys/devices/pci0000:00/ata3")) is None
    )
    assert (
        where("/sys/devices/pci0000:00/ata3", bay("A1", "/sys/devices/pci0000:00/ata[34]")) == "A1"
    )


def test_the_first_bay_that_fits_is_taken() -> None:
    path = SLOT.format(0, 0, 1)
    assert where(path, bay("wide", "/sys/devices/pci*"), bay("narrow", path)) == "wide"
    assert where(path, bay("narrow", path), bay("wide", "/sys/devices/pci*")) == "narrow"


def test_in_no_bay() -> None:
    assert where(SLOT.format(0, 0, 1)) is None
    assert where(SLOT.format(0, 0, 1), bay("A2", SLOT.format("*", "*", 2))) is None


@pytest.mark.parametrize("match", ["*", "/sys/devices/*", "/sys/devices/virtual/block/loop*"])
def test_a_pattern_never_catches_a_loop_device(match: str) -> None:
    path = LOOP.format(3)
    assert where(path, bay("A1", match), transport=Transport.LOOP) is None
    assert where(path, bay("A1", path), transport=Transport.LOOP) == "A1"
    assert where(LOOP.format(30), bay("A1", path), transport=Transport.LOOP) is None


@pytest.mark.parametrize(
    ("path", "transport"),
    [
        ("/sys/devices/virtual/nvme-fabrics/ctl/nvme4", Transport.FABRICS),
        ("/sys/devices/platform/host5/session1/target5:0:0/5:0:0:1", Transport.FABRICS),
        ("/sys/devices/pci0000:00/0000:05:00.0/host6/rport-6:0-2/6:0:0:0", Transport.FABRICS),
        ("/sys/devices/pci0000:00/0000:00:04.0/virtio1", Transport.VIRTIO),
    ],
)
def test_what_is_reached_over_a_network_is_in_a_bay_only_if_it_is_named_literally(
    path: str, transport: Transport
) -> None:
    for match in ("*", "/sys/devices/*", path[:-1] + "*", path[:-1] + "?"):
        assert where(path, bay("A1", match), transport=transport) is None
    assert where(path, bay("A1", path), transport=transport) == "A1"


def test_a_literal_path_with_brackets_is_literal_where_patterns_do_not_count() -> None:
    path = "/sys/devices/virtual/block/[x]"
    assert where(path, bay("A1", path), transport=Transport.LOOP) == "A1"
