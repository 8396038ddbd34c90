"""NVMe in bytes: Identify structures, namespace and controller lists, SMART / Health log.

Sources: NVM Express Base 2.0 5.17 (Identify, CNS values and data structures), 5.16.1.3 (log 02h),
NVM Command Set 1.0 4.1.5 (Identify Namespace); reference/standards.md 4.4. Pure: bytes in, fields
out; short or empty structures raise MalformedError.
"""

from __future__ import annotations

from dataclasses import dataclass

from nullbay.domain.errors import MalformedError
from nullbay.domain.ports import NvmeCommand
from nullbay.domain.text import RawText

IDENTIFY_BYTES = 4096
HEALTH_BYTES = 512
ALL_NAMESPACES = 0xFFFFFFFF
_KELVIN = 273

_CNS_NAMESPACE, _CNS_CONTROLLER, _CNS_ACTIVE = 0x00, 0x01, 0x02
_CNS_ALLOCATED, _CNS_ALLOCATED_NAMESPACE, _CNS_CONTROLLERS = 0x10, 0x11, 0x13


def _identify(cns: int, nsid: int = 0) -> NvmeCommand:
    return NvmeCommand(opcode=0x06, nsid=nsid, cdw10=cns)


IDENTIFY_CONTROLLER = _identify(_CNS_CONTROLLER)
ACTIVE_NAMESPACES = _identify(_CNS_ACTIVE)
ALLOCATED_NAMESPACES = _identify(_CNS_ALLOCATED)
CONTROLLER_LIST = _identify(_CNS_CONTROLLERS)
HEALTH_LOG = NvmeCommand(
    opcode=0x02, nsid=ALL_NAMESPACES, cdw10=(HEALTH_BYTES // 4 - 1) << 16 | 0x02
)


def identify_namespace(nsid: int, *, allocated: bool) -> NvmeCommand:
    """Identify Namespace; `allocated` also reaches namespaces attached to no controller here."""
    return _identify(_CNS_ALLOCATED_NAMESPACE if allocated else _CNS_NAMESPACE, nsid)


@dataclass(frozen=True, slots=True)
class Controller:
    """Identify Controller data (CNS 01h), the fields nullbay uses."""

    raw: bytes
    serial: RawText
    model: RawText
    firmware: RawText
    has_several_controllers: bool
    has_namespace_management: bool
    total_bytes: int
    unallocated_bytes: int

    @classmethod
    def parse(cls, data: bytes) -> Controller:
        """Raises MalformedError for short data, or data that are one byte repeated."""
        raw = _whole(data)
        return cls(
            raw=raw,
            serial=RawText.of(raw[4:24]),
            model=RawText.of(raw[24:64]),
            firmware=RawText.of(raw[64:72]),
            has_several_controllers=bool(raw[76] & 0x02),  # CMIC bit 1
            has_namespace_management=bool(raw[256] & 0x08),  # OACS bit 3
            total_bytes=int.from_bytes(raw[280:296], "little"),  # TNVMCAP
            unallocated_bytes=int.from_bytes(raw[296:312], "little"),  # UNVMCAP
        )


@dataclass(frozen=True, slots=True)
class Namespace:
    """Identify Namespace data (CNS 00h or 11h): size in bytes, sector size, world-wide names."""

    size_bytes: int
    logical_sector_bytes: int
    eui64: str
    nguid: str

    @classmethod
    def parse(cls, data: bytes) -> Namespace:
        """Raises MalformedError for short or empty data and for an LBA format that cannot be."""
        raw = _whole(data)
        flbas = raw[26]
        index = flbas & 0x0F | (flbas >> 5 & 0x03) << 4  # bits 6:5 are the upper part since 2.0
        shift = raw[128 + 4 * index + 2]  # LBADS
        if not 9 <= shift <= 31:
            msg = f"namespace with sectors of 2**{shift} bytes"
            raise MalformedError(msg)
        return cls(
            size_bytes=int.from_bytes(raw[0:8], "little") << shift,
            logical_sector_bytes=1 << shift,
            eui64=raw[120:128].hex() if any(raw[120:128]) else "",
            nguid=raw[104:120].hex() if any(raw[104:120]) else "",
        )


def namespace_list(data: bytes) -> list[int]:
    """Namespace ids of CNS 02h or 10h, ascending; zero ends the list."""
    if len(data) < IDENTIFY_BYTES:
        msg = "no namespace list"
        raise MalformedError(msg)
    found = []
    for at in range(0, IDENTIFY_BYTES, 4):
        nsid = int.from_bytes(data[at : at + 4], "little")
        if nsid == 0:
            break
        found.append(nsid)
    return found


def controller_count(data: bytes) -> int:
    """How many controllers the list of CNS 13h holds (its first 16-bit number)."""
    if len(data) < IDENTIFY_BYTES:
        msg = "no controller list"
        raise MalformedError(msg)
    return int.from_bytes(data[:2], "little")


@dataclass(frozen=True, slots=True)
class HealthLog:
    """SMART / Health Information log (02h). Degrees Celsius, percent, counts, hours."""

    temperature_celsius: int | None
    percentage_used: int
    media_errors: int
    power_on_hours: int

    @classmethod
    def parse(cls, data: bytes) -> HealthLog:
        """Raises MalformedError for short or empty data. A temperature of 0 K is not reported."""
        if len(data) < HEALTH_BYTES or not any(data):
            msg = "no SMART / Health log"
            raise MalformedError(msg)
        kelvin = int.from_bytes(data[1:3], "little")
        return cls(
            temperature_celsius=kelvin - _KELVIN if kelvin else None,
            percentage_used=data[5],
            media_errors=int.from_bytes(data[160:176], "little"),
            power_on_hours=int.from_bytes(data[128:144], "little"),
        )


def _whole(data: bytes) -> bytes:
    raw = data[:IDENTIFY_BYTES]
    if len(raw) < IDENTIFY_BYTES or len(set(raw)) == 1:
        msg = "no Identify data: short or all the same byte"
        raise MalformedError(msg)
    return raw
