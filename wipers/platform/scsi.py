"""SCSI in bytes: INQUIRY, vital product data, READ CAPACITY(16), sense.

Sources: SPC-5 6.7 (INQUIRY), 7.7 (VPD pages), SBC-4 (READ CAPACITY(16), page B1h), SAT-4 (page
89h). Pure: bytes in, fields out; a page that is short or names another page raises MalformedError.
"""

from __future__ import annotations

from dataclasses import dataclass

from nullbay.domain.errors import MalformedError
from nullbay.domain.text import RawText

INQUIRY_BYTES = 96
VPD_MAX_BYTES = 1024
GOOD = 0x00
CHECK_CONDITION = 0x02

PAGE_SERIAL, PAGE_IDENTIFIERS, PAGE_ATA, PAGE_CHARACTERISTICS = 0x80, 0x83, 0x89, 0xB1
UNIT_ATTENTION = 0x06

_NAA, _EUI64 = 3, 2
_IDENTIFIER_MAX_BYTES = 64


def inquiry_cdb(page: int | None = None, length: int = INQUIRY_BYTES) -> bytes:
    """INQUIRY, standard data or one VPD page."""
    return bytes((0x12, page is not None, page or 0)) + length.to_bytes(2, "big") + b"\x00"


READ_CAPACITY_16 = bytes((0x9E, 0x10, *([0] * 8), 0, 0, 0, 32, 0, 0))
READ_CAPACITY_16_BYTES = 32


@dataclass(frozen=True, slots=True)
class Inquiry:
    """Standard INQUIRY data."""

    device_type: int
    removable: bool
    vendor: RawText
    product: RawText
    revision: RawText

    @classmethod
    def parse(cls, data: bytes) -> Inquiry:
        """Raises MalformedError for less than the 36 bytes every device must send."""
        if len(data) < 36:
            msg = "no INQUIRY data"
            raise MalformedError(msg)
        return cls(
            device_type=data[0] & 0x1F,
            removable=bool(data[1] & 0x80),
            vendor=RawText.of(data[8:16]),
            product=RawText.of(data[16:32]),
            revision=RawText.of(data[32:36]),
        )


def vpd(data: bytes, page: int) -> bytes:
    """What follows the 4-byte header of a VPD page, cut to the length it tells.

    Raises MalformedError for another page, or none.
    """
    if len(data) < 4 or data[1] != page:
        msg = f"no VPD page {page:02X}h"
        raise MalformedError(msg)
    return data[4 : 4 + int.from_bytes(data[2:4], "big")]


def serial(page: bytes) -> RawText:
    """VPD page 80h."""
    return RawText.of(vpd(page, PAGE_SERIAL))


@dataclass(frozen=True, slots=True)
class Identifiers:
    """World-wide names of the logical unit by VPD page 83h, as hex; empty where there is none."""

    naa: str
    eui64: str


def identifiers(page: bytes) -> Identifiers:
    """The first NAA and the first EUI-64 designator of the logical unit itself (association 0)."""
    body = vpd(page, PAGE_IDENTIFIERS)
    found: dict[int, str] = {}
    at = 0
    while at + 4 <= len(body):
        length = body[at + 3]
        designator = body[at + 4 : at + 4 + length]
        kind, association = body[at + 1] & 0x0F, body[at + 1] >> 4 & 0x03
        complete = len(designator) == length and 8 <= length <= _IDENTIFIER_MAX_BYTES
        if association == 0 and complete and any(designator):
            found.setdefault(kind, designator.hex())
        at += 4 + length
    return Identifiers(naa=found.get(_NAA, ""), eui64=found.get(_EUI64, ""))


def rotation(page: bytes) -> int:
    """VPD page B1h, medium rotation rate: 0 not reported, 1 non-rotating, 0401h to FFFEh rpm."""
    body = vpd(page, PAGE_CHARACTERISTICS)
    if len(body) < 2:
        msg = "VPD page B1h without a rotation rate"
        raise MalformedError(msg)
    return int.from_bytes(body[:2], "big")


def ata_identify(page: bytes) -> bytes:
    """The 512 bytes of IDENTIFY data that VPD page 89h carries at byte 60."""
    body = vpd(page, PAGE_ATA)
    data = body[56 : 56 + 512]
    if len(data) < 512:
        msg = "VPD page 89h without IDENTIFY data"
        raise MalformedError(msg)
    return data


def capacity(data: bytes) -> tuple[int, int]:
    """Sectors and bytes per sector by READ CAPACITY(16). Raises MalformedError for short data."""
    if len(data) < 12:
        msg = "no READ CAPACITY(16) data"
        raise MalformedError(msg)
    return int.from_bytes(data[:8], "big") + 1, int.from_bytes(data[8:12], "big")


def sense_key(sense: bytes) -> int | None:
    """The sense key of fixed or descriptor sense data; None where there is no sense."""
    if len(sense) >= 3 and sense[0] & 0x7F in (0x70, 0x71):
        return sense[2] & 0x0F
    if len(sense) >= 2 and sense[0] & 0x7F in (0x72, 0x73):
        return sense[1] & 0x0F
    return None
