"""Every ioctl nullbay sends to a block device, with its number and layout, in one place.

Numbers and structures are those of the kernel's exported headers (linux/fs.h, scsi/sg.h,
linux/nvme_ioctl.h). Every call here raises OSError as the kernel gave it; what that means is said
one floor up (block.py, passthrough.py).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import struct
from dataclasses import dataclass

BLKGETSIZE64 = 0x80081272
BLKSSZGET = 0x1268
BLKPBSZGET = 0x127B
BLKROGET = 0x125E
BLKDISCARD = 0x1277
BLKGETDISKSEQ = 0x80081280
SG_IO = 0x2285
NVME_IOCTL_ADMIN_CMD = 0xC0484E41

_SG_DXFER_NONE = -1
_SG_DXFER_TO_DEV = -2
_SG_DXFER_FROM_DEV = -3
_SENSE_BYTES = 64
DATA_MAX_BYTES = 1 << 20


def errno_name(number: int) -> str:
    """The name a person looks up, such as EIO; empty for a number without one.

    Python calls 95 by its older name ENOTSUP; the kernel's drivers mean EOPNOTSUPP.
    """
    if number == errno.EOPNOTSUPP:
        return "EOPNOTSUPP"
    return errno.errorcode.get(number, "")


def size_bytes(fd: int) -> int:
    """BLKGETSIZE64: bytes the device has now; 0 once it is gone (reference/lab.md 2.3)."""
    return _unsigned(fd, BLKGETSIZE64, "=Q")


def logical_sector_bytes(fd: int) -> int:
    """BLKSSZGET: what offsets and lengths must be multiples of."""
    return _unsigned(fd, BLKSSZGET, "=i")


def physical_sector_bytes(fd: int) -> int:
    """BLKPBSZGET: what the drive writes at once without reading first."""
    return _unsigned(fd, BLKPBSZGET, "=I")


def is_read_only(fd: int) -> bool:
    """BLKROGET: whether the kernel takes the device for write-protected."""
    return _unsigned(fd, BLKROGET, "=i") != 0


def disk_sequence(fd: int) -> int:
    """BLKGETDISKSEQ: a number no other disk of this boot has, or had, under any name."""
    return _unsigned(fd, BLKGETDISKSEQ, "=Q")


def discard(fd: int, offset: int, length: int) -> None:
    """BLKDISCARD: TRIM, UNMAP, Deallocate; returns when the drive took it."""
    fcntl.ioctl(fd, BLKDISCARD, struct.pack("=QQ", offset, length))


def _unsigned(fd: int, request: int, layout: str) -> int:
    answer = bytearray(struct.calcsize(layout))
    fcntl.ioctl(fd, request, answer)
    (value,) = struct.unpack(layout, answer)
    return int(value)


class _SgIoHeader(ctypes.Structure):
    """struct sg_io_hdr of scsi/sg.h."""

    _fields_ = (
        ("interface_id", ctypes.c_int),
        ("dxfer_direction", ctypes.c_int),
        ("cmd_len", ctypes.c_ubyte),
        ("mx_sb_len", ctypes.c_ubyte),
        ("iovec_count", ctypes.c_ushort),
        ("dxfer_len", ctypes.c_uint),
        ("dxferp", ctypes.c_void_p),
        ("cmdp", ctypes.c_void_p),
        ("sbp", ctypes.c_void_p),
        ("timeout", ctypes.c_uint),
        ("flags", ctypes.c_uint),
        ("pack_id", ctypes.c_int),
        ("usr_ptr", ctypes.c_void_p),
        ("status", ctypes.c_ubyte),
        ("masked_status", ctypes.c_ubyte),
        ("msg_status", ctypes.c_ubyte),
        ("sb_len_wr", ctypes.c_ubyte),
        ("host_status", ctypes.c_ushort),
        ("driver_status", ctypes.c_ushort),
        ("resid", ctypes.c_int),
        ("duration", ctypes.c_uint),
        ("info", ctypes.c_uint),
    )


@dataclass(frozen=True, slots=True)
class SgAnswer:
    """What SG_IO gave back: statuses of drive, host adapter and driver, sense, data, residual."""

    status: int
    host_status: int
    driver_status: int
    sense: bytes
    data: bytes
    residual_bytes: int


def sg_io(
    fd: int, cdb: bytes, *, data_in_bytes: int, data_out: bytes, timeout_s: float
) -> SgAnswer:
    """Send one SCSI command. The ioctl can succeed while the command failed: look at all of it.

    Raises ValueError for data both ways or more than 1 MiB, OSError where the kernel refused to
    send it.
    """
    if (data_in_bytes and data_out) or max(data_in_bytes, len(data_out)) > DATA_MAX_BYTES:
        msg = "SG_IO moves data one way, at most 1 MiB"
        raise ValueError(msg)
    command = ctypes.create_string_buffer(cdb, len(cdb))
    sense = ctypes.create_string_buffer(_SENSE_BYTES)
    length = data_in_bytes or len(data_out)
    data = ctypes.create_string_buffer(data_out, length) if length else None
    header = _SgIoHeader(
        interface_id=ord("S"),
        dxfer_direction=_direction(data_in_bytes, data_out),
        cmd_len=len(cdb),
        mx_sb_len=_SENSE_BYTES,
        dxfer_len=length,
        dxferp=ctypes.addressof(data) if data is not None else None,
        cmdp=ctypes.addressof(command),
        sbp=ctypes.addressof(sense),
        timeout=int(timeout_s * 1000),
    )
    fcntl.ioctl(fd, SG_IO, header)
    residual = min(max(header.resid, 0), length)
    return SgAnswer(
        status=header.status,
        host_status=header.host_status,
        driver_status=header.driver_status,
        sense=sense.raw[: min(header.sb_len_wr, _SENSE_BYTES)],
        data=data.raw[: length - residual] if data is not None and data_in_bytes else b"",
        residual_bytes=residual,
    )


def _direction(data_in_bytes: int, data_out: bytes) -> int:
    if data_in_bytes:
        return _SG_DXFER_FROM_DEV
    return _SG_DXFER_TO_DEV if data_out else _SG_DXFER_NONE


class _NvmePassthru(ctypes.Structure):
    """struct nvme_passthru_cmd of linux/nvme_ioctl.h, 72 bytes."""

    _fields_ = (
        ("opcode", ctypes.c_ubyte),
        ("flags", ctypes.c_ubyte),
        ("rsvd1", ctypes.c_ushort),
        ("nsid", ctypes.c_uint),
        ("cdw2", ctypes.c_uint),
        ("cdw3", ctypes.c_uint),
        ("metadata", ctypes.c_uint64),
        ("addr", ctypes.c_uint64),
        ("metadata_len", ctypes.c_uint),
        ("data_len", ctypes.c_uint),
        ("cdw10", ctypes.c_uint),
        ("cdw11", ctypes.c_uint),
        ("cdw12", ctypes.c_uint),
        ("cdw13", ctypes.c_uint),
        ("cdw14", ctypes.c_uint),
        ("cdw15", ctypes.c_uint),
        ("timeout_ms", ctypes.c_uint),
        ("result", ctypes.c_uint),
    )


def nvme_admin(
    fd: int,
    opcode: int,
    nsid: int,
    cdws: tuple[int, int, int, int, int, int],
    *,
    data_in_bytes: int,
    data_out: bytes,
    timeout_s: float,
) -> tuple[int, int, bytes]:
    """Send one admin command; `cdws` are command dwords 10 to 15. Returns status, result, data-in.

    The status is the kernel's: SCT<<8 | SC, with DNR as 4000h; 0 is success. Raises ValueError for
    data both ways or more than 1 MiB, OSError where no completion came (EINTR: the kernel gave up).
    """
    if (data_in_bytes and data_out) or max(data_in_bytes, len(data_out)) > DATA_MAX_BYTES:
        msg = "an NVMe admin command moves data one way, at most 1 MiB"
        raise ValueError(msg)
    length = data_in_bytes or len(data_out)
    data = ctypes.create_string_buffer(data_out, length) if length else None
    command = _NvmePassthru(
        opcode=opcode,
        nsid=nsid,
        addr=ctypes.addressof(data) if data is not None else 0,
        data_len=length,
        timeout_ms=int(timeout_s * 1000),
    )
    command.cdw10, command.cdw11, command.cdw12 = cdws[:3]
    command.cdw13, command.cdw14, command.cdw15 = cdws[3:]
    status = fcntl.ioctl(fd, NVME_IOCTL_ADMIN_CMD, command)
    given = data.raw if data is not None and data_in_bytes else b""
    return status, command.result, given
