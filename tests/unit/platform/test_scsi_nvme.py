"""SCSI and NVMe bytes, against strings laid out by hand."""

from __future__ import annotations

import pytest

from nullbay.domain.errors import MalformedError
from nullbay.wipers.platform import nvme, scsi
from support import drive_bytes as made


def test_inquiry() -> None:
    told = scsi.Inquiry.parse(made.inquiry())
    assert told.vendor.raw == b"SEAGATE"
    assert told.product.raw == b"ST4000NM0023"
    assert told.revision.raw == b"0004"
    assert (told.device_type, told.removable) == (0, False)
    with pytest.raises(MalformedError):
        scsi.Inquiry.parse(bytes(35))


def test_inquiry_cdbs() -> None:
    assert scsi.inquiry_cdb().hex() == "120000006000"
    assert scsi.inquiry_cdb(0x83, 1024).hex() == "120183040000"


@pytest.mark.parametrize(
    "serial",
    [b"Z1Z0ABCD0000R5", b"", b";rm -rf x", b"\xff\xfe\x00\x01", b"\x1b]0;x\x07", b"9" * 200],
)
def test_serial_page_keeps_what_the_drive_said(serial: bytes) -> None:
    told = scsi.serial(made.vpd(0x80, b"  " + serial + b"  "))
    assert told.raw == serial
    assert told.shown.isprintable()
    assert len(told.shown) <= 64


def test_pages_that_name_another_page_are_no_answer() -> None:
    with pytest.raises(MalformedError):
        scsi.serial(made.vpd(0x83, b"X"))
    with pytest.raises(MalformedError):
        scsi.serial(b"\x00\x80\x00")


def test_a_page_ends_where_it_says() -> None:
    assert scsi.serial(made.vpd(0x80, b"ABC") + b"GARBAGE").raw == b"ABC"
    assert scsi.serial(b"\x00\x80\xff\xffABC").raw == b"ABC"


def test_identifiers_of_the_unit_not_of_the_port() -> None:
    naa, eui = bytes.fromhex("5000c500a1b2c3d4"), bytes.fromhex("0025385a91b0c1d2")
    body = (
        made.designator(3, bytes.fromhex("5000c500ffffffff"), association=1)
        + made.designator(1, b"SEAGATE Z1Z0")
        + made.designator(3, naa)
        + made.designator(3, bytes.fromhex("5000c50000000000"))
        + made.designator(2, eui)
    )
    told = scsi.identifiers(made.vpd(0x83, body))
    assert (told.naa, told.eui64) == (naa.hex(), eui.hex())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x01\x03\x00\xff\x50",  # a length past the end
        made.designator(3, bytes(8)),  # all zero
        made.designator(3, b"\x50\x00"),  # too short to be a name
        b"\x01\x03",
    ],
)
def test_broken_identifiers_name_nothing(body: bytes) -> None:
    assert scsi.identifiers(made.vpd(0x83, body)) == scsi.Identifiers("", "")


def test_rotation_and_capacity() -> None:
    assert scsi.rotation(made.vpd(0xB1, b"\x1c\x20" + bytes(58))) == 7200
    assert scsi.capacity((999).to_bytes(8, "big") + b"\x00\x00\x10\x00" + bytes(20)) == (1000, 4096)
    with pytest.raises(MalformedError):
        scsi.rotation(made.vpd(0xB1, b"\x00"))
    with pytest.raises(MalformedError):
        scsi.capacity(bytes(8))


def test_identify_data_in_the_ata_information_page() -> None:
    data = made.identify()
    assert scsi.ata_identify(made.vpd_89(data)) == data
    with pytest.raises(MalformedError):
        scsi.ata_identify(made.vpd(0x89, bytes(200)))


@pytest.mark.parametrize(
    ("sense", "key"),
    [
        (b"\x70\x00\x06" + bytes(15), 6),
        (b"\xf0\x00\x83" + bytes(15), 3),
        (b"\x72\x05\x24\x00\x00\x00\x00\x00", 5),
        (b"", None),
        (b"\x00\x00\x00", None),
    ],
)
def test_sense_keys(sense: bytes, key: int | None) -> None:
    assert scsi.sense_key(sense) == key


def test_controller() -> None:
    told = nvme.Controller.parse(
        made.controller(cmic=0x02, oacs=0x0008, total=2**65, unallocated=4096)
    )
    assert told.serial.raw == b"S4EWNX0R123456"
    assert told.model.raw == b"Samsung SSD 970 EVO 1TB"
    assert told.firmware.raw == b"2B2QEXE7"
    assert told.has_several_controllers
    assert told.has_namespace_management
    assert (told.total_bytes, told.unallocated_bytes) == (2**65, 4096)


def test_controller_of_one() -> None:
    told = nvme.Controller.parse(made.controller(cmic=0x01, oacs=0x0017))
    assert not told.has_several_controllers
    assert not told.has_namespace_management


@pytest.mark.parametrize("data", [b"", bytes(4095), bytes(4096), b"\xff" * 4096])
def test_what_is_no_identify_data_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        nvme.Controller.parse(data)
    with pytest.raises(MalformedError):
        nvme.Namespace.parse(data)


def test_namespace_size_by_the_format_in_use() -> None:
    nguid, eui = bytes(range(16)), b"\x00\x25\x38\x5a\x91\xb0\xc1\xd2"
    told = nvme.Namespace.parse(made.namespace(blocks=1000, shift=12, eui64=eui, nguid=nguid))
    assert (told.size_bytes, told.logical_sector_bytes) == (4_096_000, 4096)
    assert (told.eui64, told.nguid) == (eui.hex(), nguid.hex())
    assert nvme.Namespace.parse(made.namespace(blocks=1000, shift=9)).eui64 == ""


@pytest.mark.parametrize("shift", [0, 8, 32, 255])
def test_impossible_sector_sizes_are_refused(shift: int) -> None:
    with pytest.raises(MalformedError):
        nvme.Namespace.parse(made.namespace(shift=shift))


def test_lists() -> None:
    assert nvme.namespace_list(made.numbers([1, 2, 7])) == [1, 2, 7]
    assert nvme.namespace_list(bytes(4096)) == []
    assert len(nvme.namespace_list(b"\x01" * 4096)) == 1024
    assert nvme.controller_count(b"\x02\x00".ljust(4096, b"\x00")) == 2
    with pytest.raises(MalformedError):
        nvme.namespace_list(bytes(100))
    with pytest.raises(MalformedError):
        nvme.controller_count(b"\x02\x00")


def test_health_log() -> None:
    told = nvme.HealthLog.parse(made.health_log(kelvin=311, used=3, errors=2**70, hours=4711))
    assert told == nvme.HealthLog(38, 3, 2**70, 4711)
    assert nvme.HealthLog.parse(made.health_log(kelvin=0)).temperature_celsius is None
    with pytest.raises(MalformedError):
        nvme.HealthLog.parse(bytes(512))


def test_commands_as_the_specification_numbers_them() -> None:
    assert (nvme.HEALTH_LOG.opcode, nvme.HEALTH_LOG.cdw10) == (0x02, 0x007F0002)
    assert nvme.HEALTH_LOG.nsid == 0xFFFFFFFF
    attached, allocated = (nvme.identify_namespace(3, allocated=flag) for flag in (False, True))
    assert (attached.opcode, attached.nsid, attached.cdw10) == (0x06, 3, 0x00)
    assert (allocated.opcode, allocated.nsid, allocated.cdw10) == (0x06, 3, 0x11)
