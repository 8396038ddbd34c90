"""ATA bytes, against strings laid out by hand."""

from __future__ import annotations

import pytest

from nullbay.domain.errors import MalformedError
from nullbay.domain.method import MediaKind
from nullbay.domain.ports import AtaTaskfile
from nullbay.wipers.identify import media_of_rotation
from nullbay.wipers.platform import ata
from support import drive_bytes as made


def test_identify_tells_names_sizes_and_features() -> None:
    told = ata.Identify.parse(made.identify())
    assert told.serial.raw == b"WD-WCC1S0123456"
    assert told.model.raw == b"WDC WD10EZEX-08WN4A0"
    assert told.firmware.raw == b"01.01A01"
    assert told.wwn == "50014ee2b5f0a1c3"
    assert told.sectors == 1953525168
    assert told.logical_sector_bytes == 512
    assert told.is_48_bit
    assert told.has_smart
    assert (told.has_hpa, told.has_dco, told.has_amax) == (False, False, False)


def test_identify_announces_hidden_areas() -> None:
    told = ata.Identify.parse(
        made.identify(words={82: 0x0401, 83: 0x4C00, 119: 0x4100, 86: 0x0C00})
    )
    assert (told.has_hpa, told.has_dco, told.has_amax) == (True, True, True)


def test_words_that_are_not_valid_answer_nothing() -> None:
    told = ata.Identify.parse(made.identify(words={83: 0x0C00, 84: 0, 87: 0}))
    assert told.has_hpa is None
    assert told.has_dco is None
    assert told.wwn == ""
    assert not told.is_48_bit


def test_a_28_bit_drive_tells_its_size_in_words_60_and_61() -> None:
    told = ata.Identify.parse(made.identify(sectors=1_000_000, words={83: 0x4000, 100: 7}))
    assert told.sectors == 1_000_000


def test_4096_byte_sectors_and_extended_sector_counts() -> None:
    told = ata.Identify.parse(
        made.identify(words={106: 0x5000, 117: 2048, 69: 0x0008, 230: 5, 231: 1})
    )
    assert told.logical_sector_bytes == 4096
    assert told.sectors == 0x10005


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "short"),
        (bytes(511), "short"),
        (bytes(512), "same byte"),
        (b"\xff" * 512, "same byte"),
        (made.identify()[:-1] + b"\x00", "checksum"),
        (made.identify(words={0: 0x8580}), "no ATA disk"),
    ],
)
def test_what_is_no_identify_data_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(MalformedError, match=why):
        ata.Identify.parse(data)


def test_drives_older_than_the_checksum_are_read() -> None:
    old = made.identify()[:510] + bytes(2)
    assert ata.Identify.parse(old).serial.raw == b"WD-WCC1S0123456"


@pytest.mark.parametrize(
    "serial",
    [b"", b"\x1b[31m\x07X", b"$(rm -rf /);", b"\xff\xfe\x80\x81", b"`id`|&", b"S" * 20],
)
def test_hostile_serials_stay_raw(serial: bytes) -> None:
    told = ata.Identify.parse(made.identify(serial=serial))
    assert told.serial.raw == serial
    assert told.serial.shown.isprintable()


@pytest.mark.parametrize(
    ("rotation", "hybrid", "media"),
    [
        (0, False, MediaKind.UNKNOWN),
        (1, False, MediaKind.FLASH),
        (2, False, MediaKind.UNKNOWN),
        (0x0400, False, MediaKind.UNKNOWN),
        (0x0401, False, MediaKind.MAGNETIC),
        (7200, False, MediaKind.MAGNETIC),
        (7200, True, MediaKind.HYBRID),
        (0xFFFE, False, MediaKind.MAGNETIC),
        (0xFFFF, False, MediaKind.UNKNOWN),
    ],
)
def test_rotation_rates(rotation: int, hybrid: bool, media: MediaKind) -> None:
    assert media_of_rotation(rotation, hybrid=hybrid) is media


def test_hybrid_information_is_announced_in_word_78() -> None:
    assert ata.Identify.parse(made.identify(words={78: 0x0200})).has_hybrid_information
    assert not ata.Identify.parse(made.identify(words={76: 0, 78: 0x0200})).has_hybrid_information


def test_pass_through_identify_is_the_cdb_every_tool_sends() -> None:
    cdb = ata.pass_through_16(ata.IDENTIFY, data_in_bytes=512, data_out=b"")
    assert cdb.hex() == "85080e0000000100000000000000ec00"


def test_pass_through_puts_48_bit_fields_where_sat_wants_them() -> None:
    taskfile = AtaTaskfile(command=0x27, feature=0x1122, count=0x3344, lba=0x060504030201)
    cdb = ata.pass_through_16(taskfile, data_in_bytes=0, data_out=b"")
    assert cdb.hex() == "85072011223344040105020603002700"


def test_pass_through_smart_read_data() -> None:
    cdb = ata.pass_through_16(ata.SMART_READ_DATA, data_in_bytes=512, data_out=b"")
    assert cdb.hex() == "85080e00d0000100" + "00" + "004f" + "00c2" + "00b000"


def test_pass_through_moves_whole_blocks_only() -> None:
    with pytest.raises(ValueError, match="512"):
        ata.pass_through_16(ata.IDENTIFY, data_in_bytes=100, data_out=b"")


def test_registers_from_descriptor_sense() -> None:
    answer = ata.answer_of(made.ata_status_sense(lba=0x1BF1F72AF, status=0x50), b"")
    assert (answer.status, answer.error, answer.lba) == (0x50, 0, 0x1BF1F72AF)
    assert ata.native_max_sectors(answer) == 0x1BF1F72B0


def test_after_28_bit_commands_the_highest_bits_are_in_device() -> None:
    sense = made.ata_status_sense(lba=0xEDCBA9, device=0x4F, extend=False)
    assert ata.answer_of(sense, b"").lba == 0xFEDCBA9


def test_registers_from_fixed_sense_only_as_far_as_they_go() -> None:
    assert (
        ata.answer_of(made.fixed_ata_sense(lba=0x123456, upper_nonzero=False), b"").lba == 0x123456
    )
    cut = ata.answer_of(made.fixed_ata_sense(lba=0x123456, upper_nonzero=True), b"")
    assert (cut.status, cut.lba) == (0x50, None)
    assert ata.native_max_sectors(cut) is None


@pytest.mark.parametrize(
    "sense",
    [
        b"",
        b"\x72",
        bytes(22),
        b"\x72\x01\x00\x1d\x00\x00\x00\x0e\x09\x0c" + bytes(12),  # registers a bridge made up
        b"\x72\x01\x00\x1d\x00\x00\x00\xff\x09\xff" + bytes(6),  # a length past the end
        b"\x70\x00\x05" + bytes(15),  # ILLEGAL REQUEST
    ],
)
def test_no_registers_are_made_up(sense: bytes) -> None:
    answer = ata.answer_of(sense, b"")
    assert (answer.status, answer.error, answer.count, answer.lba) == (None, None, None, None)


@pytest.mark.parametrize("status", [0x51, 0x71, 0x70])
def test_a_refused_native_max_is_no_size(status: int) -> None:
    answer = ata.answer_of(made.ata_status_sense(lba=100, status=status, error=4), b"")
    assert ata.native_max_sectors(answer) is None


def test_dco_tells_the_capacity_without_overlay() -> None:
    assert ata.dco_sectors(made.dco(1953525167)) == 1953525168
    for wrong in (b"", bytes(512), made.dco(5)[:-1] + b"\x99"):
        with pytest.raises(MalformedError):
            ata.dco_sectors(wrong)


def test_smart_figures() -> None:
    data = made.smart(
        {
            5: bytes((8, 0, 3, 0, 0, 0)),
            9: bytes((0x39, 0x30, 0, 9, 9, 9)),
            194: bytes((38, 0, 12, 0, 55, 0)),
            197: bytes((2, 1, 0, 0, 0, 0)),
        }
    )
    told = ata.smart_figures(data)
    assert told == ata.SmartFigures(8, 0x102, 12345, 38)


def test_smart_figures_a_drive_does_not_have() -> None:
    told = ata.smart_figures(made.smart({190: bytes((41, 0, 0, 0, 0, 0))}))
    assert told == ata.SmartFigures(None, None, None, 41)
    for wrong in (b"", bytes(512), made.smart({5: bytes(6)})[:-1] + b"\x01"):
        with pytest.raises(MalformedError):
            ata.smart_figures(wrong)
