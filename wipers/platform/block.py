"""A block device as a BlockPort: direct transfers that moved every byte or raised.

O_DIRECT keeps the page cache out, so that what is read came from the drive. Reads carry no FUA: the
block layer offers none for reads, and pass-through reads (NVMe, SCSI) need capabilities that
overwrite lanes have dropped; `reads` says so, and certificates repeat it.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Sequence
from typing import TypeAlias

from nullbay.domain.ports import Geometry, PortError, PortErrorKind
from nullbay.wipers.platform import ioctls

# A vanished device answers with these (reference/lab.md 2.3 and 7).
_GONE = frozenset({errno.ENODEV, errno.ENXIO, errno.ENOLINK, errno.ESHUTDOWN, errno.ENOMEDIUM})
_READ_ONLY = frozenset({errno.EROFS, errno.EPERM})
# What the block layer makes of a drive that refused a sector: unrecovered (ENODATA), write fault or
# target error (EREMOTEIO), protection information (EILSEQ), and the unspecific EIO.
_MEDIUM = frozenset({errno.ENODATA, errno.EREMOTEIO, errno.EILSEQ, errno.EIO})


_Vectored: TypeAlias = Callable[[int, Sequence[memoryview], int], int]


def error_kind(number: int, *, gone: bool, transfer: bool) -> PortErrorKind:
    """What an errno of a block device means to the one who writes or reads.

    `gone` is the answer to BLKGETSIZE64 asked after the error: the size is no longer the one pinned
    at open. `transfer` is false for a flush or a discard, which mean no sector in particular.

    ENODATA, EREMOTEIO, EILSEQ and EIO are MEDIUM whatever the length of the transfer: one bad
    sector fails the whole of it, so the caller has to split down to one physical sector to know.
    EIO is also what a locked drive gives, or one that lost its host adapter while keeping its size;
    the split then ends at a sector that is unwritable on its own, which is as true. Where no sector
    was meant they are OTHER.
    """
    if gone or number in _GONE:
        return PortErrorKind.GONE
    if number in _READ_ONLY:
        return PortErrorKind.READ_ONLY
    if number == errno.ETIMEDOUT:
        return PortErrorKind.TIMEOUT
    if transfer and number in _MEDIUM:
        return PortErrorKind.MEDIUM
    return PortErrorKind.OTHER


class LinuxBlockPort:
    """BlockPort on a descriptor of a whole block device, opened O_DIRECT.

    Keeps a descriptor of its own on the same open file, so that closing the port does not give up
    the claim of whoever opened it. Calls may come from several threads at once: every transfer
    names its offset. Raises PortError where the device does not tell its geometry.
    """

    def __init__(self, fd: int, *, name: str = "block device") -> None:
        """Pin size and sector sizes now; `name` is for messages."""
        self._name = name
        self._fd = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
        try:
            flags = fcntl.fcntl(self._fd, fcntl.F_GETFL)
            self._may_write = flags & os.O_ACCMODE == os.O_RDWR
            self._direct = bool(flags & os.O_DIRECT)
            logical = ioctls.logical_sector_bytes(self._fd)
            size = ioctls.size_bytes(self._fd)
            physical = max(ioctls.physical_sector_bytes(self._fd), logical)
        except OSError as error:
            os.close(self._fd)
            raise self._error(error.errno or 0, "tell its geometry", gone=False) from error
        self._reported_bytes = size
        # A tail shorter than a logical sector cannot be addressed at all; hidden_tail names it.
        self._geometry = Geometry(size - size % logical, logical, physical)

    @property
    def geometry(self) -> Geometry:
        """Pinned at open; the size is rounded down to whole logical sectors."""
        return self._geometry

    @property
    def reads(self) -> str:
        """`direct`; `buffered` if the descriptor was opened without O_DIRECT."""
        return "direct" if self._direct else "buffered"

    def current_size_bytes(self) -> int:
        """BLKGETSIZE64 now, in whole logical sectors; 0 where the device no longer answers."""
        now = self._reported_now()
        return now - now % self._geometry.logical_sector_bytes

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the whole of `buffer`, or raise PortError."""
        self._move(os.preadv, "read", offset, buffer)

    def write_from(self, offset: int, buffer: memoryview) -> None:
        """Write the whole of `buffer`, or raise PortError; durable only after `flush`."""
        if not self._may_write:
            message = f"{self._name} is write-protected"
            raise PortError(PortErrorKind.READ_ONLY, message, errno="EROFS")
        self._move(os.pwritev, "write", offset, buffer)

    def flush(self) -> None:
        """A cache flush, answered by the drive: fsync of a block device sends it and waits."""
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise self._error(error.errno or 0, "flush its cache", transfer=False) from error
        if self._is_gone():
            raise self._vanished("flush its cache")

    def deallocate(self, offset: int, length: int) -> None:
        """BLKDISCARD. EOPNOTSUPP, where the drive has no such command, comes as OTHER."""
        try:
            ioctls.discard(self._fd, offset, length)
        except OSError as error:
            raise self._error(error.errno or 0, "deallocate", transfer=False) from error

    def close(self) -> None:
        """Let go of this port's descriptor; closing twice is harmless."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _move(self, call: _Vectored, verb: str, offset: int, buffer: memoryview) -> None:
        done = 0
        what = f"{verb} {buffer.nbytes} bytes at {offset}"
        while done < buffer.nbytes:
            try:
                moved = call(self._fd, [buffer[done:]], offset + done)
            except OSError as error:
                raise self._error(error.errno or 0, what) from error
            if moved % self._geometry.logical_sector_bytes or moved == 0:
                # 0 or an odd count: the end of a device that shrank or left, without an errno.
                if self._is_gone():
                    raise self._vanished(what)
                message = f"{self._name} stopped after {done + moved} bytes of: {what}"
                raise PortError(PortErrorKind.OTHER, message)
            done += moved

    def _reported_now(self) -> int:
        try:
            return ioctls.size_bytes(self._fd)
        except OSError:
            return 0

    def _is_gone(self) -> bool:
        return self._reported_now() != self._reported_bytes

    def _vanished(self, what: str) -> PortError:
        now = self._reported_now()
        was = self._reported_bytes
        return PortError(
            PortErrorKind.GONE, f"{self._name} has {now} bytes instead of {was}; could not {what}"
        )

    def _error(
        self, number: int, what: str, *, transfer: bool = True, gone: bool | None = None
    ) -> PortError:
        left = self._is_gone() if gone is None else gone
        kind = error_kind(number, gone=left, transfer=transfer)
        message = f"{self._name} could not {what}: {os.strerror(number)}"
        return PortError(kind, message, errno=ioctls.errno_name(number))
