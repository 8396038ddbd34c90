"""Byte strings as drives send them, laid out by hand from the standards (ACS-4, SPC-5, NVMe 2.0).

Written apart from the codecs they test: offsets stand here a second time on purpose.
"""

from __future__ import annotations


def swapped(text: bytes, size: int) -> bytes:
    """An ATA string: padded with blanks, the two bytes of each word exchanged."""
    padded = text.ljust(size, b" ")[:size]
    return b"".join(padded[at : at + 2][::-1] for at in range(0, size, 2))


def identify(
    *,
    serial: bytes = b"WD-WCC1S0123456",
    model: bytes = b"WDC WD10EZEX-08WN4A0",
    firmware: bytes = b"01.01A01",
    sectors: int = 1953525168,
    rotation: int = 7200,
    wwn: int = 0x50014EE2B5F0A1C3,
    words: dict[int, int] | None = None,
) -> bytes:
    """IDENTIFY DEVICE data of a 48-bit drive with SMART, without HPA, DCO or AMAX."""
    data = bytearray(512)

    def put(word: int, value: int, size: int = 2) -> None:
        data[2 * word : 2 * word + size] = value.to_bytes(size, "little")

    data[20:40] = swapped(serial, 20)
    data[46:54] = swapped(firmware, 8)
    data[54:94] = swapped(model, 40)
    put(60, min(sectors, 0x0FFFFFFF), 4)
    put(76, 0x0006)
    put(82, 0x0001)
    put(83, 0x4400)
    put(84, 0x4100)
    put(85, 0x0001)
    put(86, 0x0400)
    put(87, 0x4100)
    put(100, sectors, 8)
    for at in range(4):
        put(108 + at, wwn >> (48 - 16 * at) & 0xFFFF)
    put(119, 0x4000)
    put(217, rotation)
    for word, value in (words or {}).items():
        put(word, value)
    return checked(data)


def checked(data: bytearray) -> bytes:
    """Signature A5h and the checksum that makes all 512 bytes add up to zero."""
    data[510] = 0xA5
    data[511] = 0
    data[511] = -sum(data) % 256
    return bytes(data)


def dco(max_lba: int) -> bytes:
    """DEVICE CONFIGURATION IDENTIFY data."""
    data = bytearray(512)
    data[0] = 2
    data[6:14] = max_lba.to_bytes(8, "little")
    return checked(data)


def smart(attributes: dict[int, bytes]) -> bytes:
    """SMART READ DATA: number to six raw bytes."""
    data = bytearray(512)
    data[0] = 16
    for at, (number, raw) in enumerate(attributes.items()):
        start = 2 + 12 * at
        data[start] = number
        data[start + 3 : start + 5] = b"\x64\x64"
        data[start + 5 : start + 11] = raw
    data[511] = -sum(data) % 256
    return bytes(data)


def ata_status_sense(
    *, lba: int = 0, status: int = 0x50, error: int = 0, device: int = 0x40, extend: bool = True
) -> bytes:
    """Descriptor-format sense with an ATA Status Return descriptor (SAT-4 table 190)."""
    low = lba.to_bytes(6, "little")
    descriptor = bytes(
        (
            0x09,
            0x0C,
            1 if extend else 0,
            error,
            0,
            1,
            low[3] if extend else 0,
            low[0],
            low[4] if extend else 0,
            low[1],
            low[5] if extend else 0,
            low[2],
            device,
            status,
        )
    )
    return bytes((0x72, 0x01, 0x00, 0x1D, 0, 0, 0, len(descriptor))) + descriptor


def fixed_ata_sense(*, lba: int, upper_nonzero: bool, status: int = 0x50) -> bytes:
    """Fixed-format sense with ATA registers (SAT-4 table 191)."""
    flags = 0x80 | (0x20 if upper_nonzero else 0)
    information = bytes((0x00, status, 0x40, 0x01))
    specific = bytes((flags,)) + lba.to_bytes(6, "little")[:3]
    return bytes((0x70, 0, 0x01)) + information + b"\x0a" + specific + b"\x00\x1d" + bytes(4)


def inquiry(
    *, vendor: bytes = b"SEAGATE", product: bytes = b"ST4000NM0023", revision: bytes = b"0004"
) -> bytes:
    """Standard INQUIRY data, 96 bytes, a disk."""
    head = bytes((0x00, 0x00, 0x06, 0x12, 91, 0, 0, 2))
    return (head + vendor.ljust(8) + product.ljust(16) + revision.ljust(4)).ljust(96, b"\x00")


def vpd(page: int, body: bytes) -> bytes:
    """A VPD page with its header."""
    return bytes((0x00, page)) + len(body).to_bytes(2, "big") + body


def designator(kind: int, value: bytes, *, association: int = 0) -> bytes:
    """One designator of VPD page 83h, binary."""
    return bytes((0x01, association << 4 | kind, 0, len(value))) + value


def vpd_89(identify_data: bytes) -> bytes:
    """ATA Information VPD page: IDENTIFY data at byte 60."""
    return vpd(0x89, bytes(4) + b"linux   libata          3.00".ljust(52) + identify_data)


def controller(
    *,
    serial: bytes = b"S4EWNX0R123456",
    model: bytes = b"Samsung SSD 970 EVO 1TB",
    firmware: bytes = b"2B2QEXE7",
    cmic: int = 0,
    oacs: int = 0,
    total: int = 0,
    unallocated: int = 0,
) -> bytes:
    """NVMe Identify Controller data."""
    data = bytearray(4096)
    data[0:4] = b"\x4d\x14\x4d\x14"
    data[4:24] = serial.ljust(20)[:20]
    data[24:64] = model.ljust(40)[:40]
    data[64:72] = firmware.ljust(8)[:8]
    data[76] = cmic
    data[256:258] = oacs.to_bytes(2, "little")
    data[280:296] = total.to_bytes(16, "little")
    data[296:312] = unallocated.to_bytes(16, "little")
    return bytes(data)


def namespace(
    *, blocks: int = 1953525168, shift: int = 9, eui64: bytes = b"", nguid: bytes = b""
) -> bytes:
    """NVMe Identify Namespace data with two LBA formats, the second one in use."""
    data = bytearray(4096)
    data[0:8] = blocks.to_bytes(8, "little")
    data[8:16] = blocks.to_bytes(8, "little")
    data[25] = 1
    data[26] = 1
    data[104:120] = nguid.ljust(16, b"\x00")
    data[120:128] = eui64.ljust(8, b"\x00")
    data[128 + 2] = 12 if shift == 9 else 9
    data[132 + 2] = shift
    return bytes(data)


def numbers(values: list[int]) -> bytes:
    """A namespace list."""
    return b"".join(value.to_bytes(4, "little") for value in values).ljust(4096, b"\x00")


def health_log(*, kelvin: int = 311, used: int = 3, errors: int = 0, hours: int = 4711) -> bytes:
    """NVMe log page 02h."""
    data = bytearray(512)
    data[1:3] = kelvin.to_bytes(2, "little")
    data[3] = 100
    data[5] = used
    data[128:144] = hours.to_bytes(16, "little")
    data[160:176] = errors.to_bytes(16, "little")
    return bytes(data)
