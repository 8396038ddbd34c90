"""ATA in bytes: IDENTIFY DEVICE, pass-through CDBs, returned registers, DCO and SMART data.

Sources: ACS-3 and ACS-4 (words of IDENTIFY DEVICE data), SAT-4 12.2 (ATA PASS-THROUGH(16), ATA
Status Return), reference/standards.md 4.1 to 4.3. Pure: bytes in, fields out. A drive can send any
bytes; what does not have the form the standard prescribes raises MalformedError and is no answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nullbay.domain.errors import MalformedError
from nullbay.domain.ports import AtaAnswer, AtaTaskfile
from nullbay.domain.text import RawText

BLOCK_BYTES = 512

IDENTIFY = AtaTaskfile(command=0xEC, count=1)
READ_NATIVE_MAX_EXT = AtaTaskfile(command=0x27, device=0x40)
READ_NATIVE_MAX = AtaTaskfile(command=0xF8, device=0x40)
GET_NATIVE_MAX_EXT = AtaTaskfile(command=0x78, feature=0x0000, device=0x40)
DCO_IDENTIFY = AtaTaskfile(command=0xB1, feature=0xC2, count=1)
SMART_READ_DATA = AtaTaskfile(command=0xB0, feature=0xD0, count=1, lba=0xC24F00)

# These alone use the previous-content halves of the registers: 48-bit commands.
_EXTENDED_COMMANDS = frozenset({0x27, 0x78})

_REALLOCATED, _POWER_ON_HOURS, _TEMPERATURE, _PENDING = 5, 9, 194, 197
_AIRFLOW_TEMPERATURE = 190


@dataclass(frozen=True, slots=True)
class Identify:
    """512 bytes of IDENTIFY DEVICE data, checked for form."""

    raw: bytes

    @classmethod
    def parse(cls, data: bytes) -> Identify:
        """Raises MalformedError: short, constant (silent bridges), a wrong checksum, no ATA device.

        Word 255 holds signature A5h and a checksum that makes all bytes add up to 0; drives older
        than ATA-5 have no signature, and are taken at their word.
        """
        raw = data[:BLOCK_BYTES]
        if len(raw) < BLOCK_BYTES or len(set(raw)) == 1:
            msg = "no IDENTIFY data: short or all the same byte"
            raise MalformedError(msg)
        if raw[510] == 0xA5 and sum(raw) % 256:
            msg = "IDENTIFY data with a wrong checksum"
            raise MalformedError(msg)
        if raw[1] & 0x80:
            msg = "IDENTIFY data of something that is no ATA disk"
            raise MalformedError(msg)
        return cls(raw)

    def word(self, number: int) -> int:
        """One 16-bit word, little-endian."""
        return int.from_bytes(self.raw[2 * number : 2 * number + 2], "little")

    def _bit(self, number: int, bit: int) -> bool:
        return bool(self.word(number) >> bit & 1)

    def _number(self, first: int, words: int) -> int:
        return int.from_bytes(self.raw[2 * first : 2 * (first + words)], "little")

    def _text(self, first: int, last: int) -> RawText:
        raw = self.raw[2 * first : 2 * last + 2]
        swapped = bytes(raw[at ^ 1] for at in range(len(raw)))  # two characters a word, high first
        return RawText.of(swapped)

    def _valid(self, number: int) -> bool:
        """Bits 15:14 = 01b: the word means what the standard says."""
        return self.word(number) >> 14 == 0b01

    @property
    def serial(self) -> RawText:
        """Words 10 to 19."""
        return self._text(10, 19)

    @property
    def firmware(self) -> RawText:
        """Words 23 to 26."""
        return self._text(23, 26)

    @property
    def model(self) -> RawText:
        """Words 27 to 46."""
        return self._text(27, 46)

    @property
    def wwn(self) -> str:
        """Words 108 to 111 as 16 hex digits; empty where word 84 or 87 does not announce it."""
        announced = any(self._valid(number) and self._bit(number, 8) for number in (84, 87))
        value = 0
        for number in range(108, 112):
            value = value << 16 | self.word(number)
        return f"{value:016x}" if announced and value else ""

    @property
    def is_48_bit(self) -> bool:
        """Word 83 bit 10."""
        return self._valid(83) and self._bit(83, 10)

    @property
    def logical_sector_bytes(self) -> int:
        """Words 106, 117, 118: 512 unless announced otherwise."""
        if self._valid(106) and self._bit(106, 12):
            return max(2 * self._number(117, 2), BLOCK_BYTES)
        return BLOCK_BYTES

    @property
    def sectors(self) -> int:
        """User addressable logical sectors: words 230, 100 or 60, as words 69 and 83 say."""
        if self.is_48_bit:
            return self._number(230, 4) if self._bit(69, 3) else self._number(100, 4)
        return self._number(60, 2)

    @property
    def rotation(self) -> int:
        """Word 217: 0 not reported, 1 non-rotating, 0401h to FFFEh revolutions per minute."""
        return self.word(217)

    @property
    def has_hybrid_information(self) -> bool:
        """Word 78 bit 9: a flash cache in front of the platters."""
        return self.word(76) not in (0, 0xFFFF) and self._bit(78, 9)

    @property
    def has_hpa(self) -> bool | None:
        """Word 82 bit 10, Host Protected Area feature set; None where word 83 is not valid."""
        return self._bit(82, 10) if self._valid(83) else None

    @property
    def has_dco(self) -> bool | None:
        """Word 83 bit 11, Device Configuration Overlay feature set."""
        return self._bit(83, 11) if self._valid(83) else None

    @property
    def has_amax(self) -> bool:
        """Word 119 bit 8, Accessible Max Address Configuration; word not valid: there is none."""
        return self._valid(119) and self._bit(119, 8)

    @property
    def has_smart(self) -> bool:
        """Word 85 bit 0: SMART is enabled."""
        return self._valid(83) and self._bit(85, 0)


def pass_through_16(taskfile: AtaTaskfile, *, data_in_bytes: int, data_out: bytes) -> bytes:
    """The CDB of ATA PASS-THROUGH(16) for a non-data or PIO command (SAT-4 12.2.2.3).

    CK_COND is set where no data come: the registers are the answer then. Raises ValueError for
    lengths that are not whole 512-byte blocks.
    """
    if data_in_bytes % BLOCK_BYTES or len(data_out) % BLOCK_BYTES:
        msg = "ATA moves whole blocks of 512 bytes"
        raise ValueError(msg)
    extend = taskfile.command in _EXTENDED_COMMANDS
    if data_in_bytes:
        protocol, flags = 4, 0x0E  # PIO in; T_DIR in, BYT_BLOK, length in COUNT
    elif data_out:
        protocol, flags = 5, 0x06
    else:
        protocol, flags = 3, 0x20  # CK_COND
    lba = taskfile.lba.to_bytes(6, "little")
    return bytes(
        (
            0x85,
            protocol << 1 | extend,
            flags,
            taskfile.feature >> 8 & 0xFF,
            taskfile.feature & 0xFF,
            taskfile.count >> 8 & 0xFF,
            taskfile.count & 0xFF,
            lba[3],
            lba[0],
            lba[4],
            lba[1],
            lba[5],
            lba[2],
            taskfile.device,
            taskfile.command,
            0,
        )
    )


def answer_of(sense: bytes, data: bytes) -> AtaAnswer:
    """Registers from sense data, where a translation layer returned them (SAT-4 12.2.6).

    Descriptor format: descriptor 09h. Fixed format: the LBA's upper half is missing, so the LBA is
    given only where the sense says that it is zero. After a 28-bit command bits 27:24 are in
    DEVICE. All-zero registers are what bridges make up: they are None.
    """
    status = error = count = lba = None
    registers = _descriptor_registers(sense)
    if registers is not None and any(registers[3:]):
        error, status = registers[3], registers[13]
        count = registers[4] << 8 | registers[5]
        lba = int.from_bytes(bytes((registers[7], registers[9], registers[11])), "little")
        if registers[2] & 1:
            lba |= int.from_bytes(registers[6:11:2], "little") << 24
        else:
            lba |= (registers[12] & 0x0F) << 24
    elif _is_fixed_ata(sense):
        error, status, count = sense[3], sense[4], sense[6]
        if not sense[8] & 0x20:
            lba = int.from_bytes(sense[9:12], "little")
            lba |= 0 if sense[8] & 0x80 else (sense[5] & 0x0F) << 24
    return AtaAnswer(status, error, count, lba, sense, data)


def _descriptor_registers(sense: bytes) -> bytes | None:
    """The 14 bytes of the ATA Status Return descriptor, or None where there is none."""
    if len(sense) < 8 or sense[0] & 0x7F not in (0x72, 0x73):
        return None
    at = 8
    end = min(len(sense), 8 + sense[7])
    while at + 2 <= end:
        length = 2 + sense[at + 1]
        if sense[at] == 0x09 and length == 14 and at + length <= end:
            return sense[at : at + length]
        at += length
    return None


def _is_fixed_ata(sense: bytes) -> bool:
    """ASC/ASCQ 00h/1Dh, ATA PASS-THROUGH INFORMATION AVAILABLE, in fixed format."""
    return (
        len(sense) >= 14
        and sense[0] & 0x7F in (0x70, 0x71)
        and sense[12:14] == b"\x00\x1d"
        and any(sense[3:7])
    )


def native_max_sectors(answer: AtaAnswer) -> int | None:
    """Sectors by READ NATIVE MAX ADDRESS (EXT) or GET NATIVE MAX ADDRESS EXT.

    None without registers, or where the drive refused (status bit 0 ERR, bit 5 DF).
    """
    if answer.status is None or answer.status & 0x21 or answer.lba is None:
        return None
    return answer.lba + 1


def dco_sectors(data: bytes) -> int:
    """Sectors by DEVICE CONFIGURATION IDENTIFY: words 3 to 6, the maximum LBA without the overlay.

    Raises MalformedError: short, empty, or a wrong checksum (word 255, as in IDENTIFY data).
    """
    raw = data[:BLOCK_BYTES]
    if len(raw) < BLOCK_BYTES or not any(raw) or (raw[510] == 0xA5 and sum(raw) % 256):
        msg = "no DEVICE CONFIGURATION IDENTIFY data"
        raise MalformedError(msg)
    return int.from_bytes(raw[6:14], "little") + 1


@dataclass(frozen=True, slots=True)
class SmartFigures:
    """The SMART attributes nullbay reads; None where the drive has no such attribute."""

    reallocated_sectors: int | None
    pending_sectors: int | None
    power_on_hours: int | None
    temperature_celsius: int | None


def smart_figures(data: bytes) -> SmartFigures:
    """Attributes 5, 9, 190/194 and 197 of SMART READ DATA: 30 entries of 12 bytes from byte 2.

    The widths of the raw values are vendors' custom, read as smartmontools reads them by default:
    16 bits for 5, 24 for 9, 48 for 197, 8 for temperatures. Raises MalformedError: short, empty, or
    bytes that do not add up to 0.
    """
    raw = data[:BLOCK_BYTES]
    if len(raw) < BLOCK_BYTES or not any(raw) or sum(raw) % 256:
        msg = "no SMART data"
        raise MalformedError(msg)
    values = dict(_smart_attributes(raw))

    def value(attribute: int, size: int) -> int | None:
        return int.from_bytes(values[attribute][:size], "little") if attribute in values else None

    temperature = value(_TEMPERATURE, 1)
    if temperature is None:
        temperature = value(_AIRFLOW_TEMPERATURE, 1)
    return SmartFigures(
        reallocated_sectors=value(_REALLOCATED, 2),
        pending_sectors=value(_PENDING, 6),
        power_on_hours=value(_POWER_ON_HOURS, 3),
        temperature_celsius=temperature,
    )


def _smart_attributes(raw: bytes) -> Iterator[tuple[int, bytes]]:
    for at in range(2, 2 + 30 * 12, 12):
        if raw[at]:
            yield raw[at], raw[at + 5 : at + 11]
