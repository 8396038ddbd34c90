"""Loop devices: attached, limited and detached by ioctl, each known by its disk sequence number.

linux/loop.h, loop(4). A number is never trusted: between two calls another program may have taken
the device, so every change asks first whether this still is the disk that was attached here.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from nullbay.domain.errors import NullbayError
from nullbay.domain.text import show
from nullbay.wipers.platform import ioctls

LOOP_CLR_FD = 0x4C01
LOOP_SET_STATUS64 = 0x4C04
LOOP_GET_STATUS64 = 0x4C05
LOOP_SET_CAPACITY = 0x4C07
LOOP_CONFIGURE = 0x4C0A
LOOP_CTL_GET_FREE = 0x4C82
_FLAG_READ_ONLY = 1

# struct loop_info64: device, inode, rdevice, offset, sizelimit; number, encryption type and key
# size, flags; file name, cipher name, key; two init vectors.
_INFO = struct.Struct("=5Q4I64s64s32s2Q")
_OFFSET, _SIZE_LIMIT = 3, 4
# struct loop_config: descriptor, block size, the info, 64 reserved bytes.
_CONFIG = struct.Struct(f"=2I{_INFO.size}s64s")

_CONTROL = Path("/dev/loop-control")
_TRIES = 64


class LoopDeviceError(NullbayError):
    """A loop device could not be made or changed."""

    code = "device.loop"


@dataclass(frozen=True, slots=True)
class AttachedLoop:
    """A loop device attached here: its node, and what tells it from every later one."""

    device: str
    diskseq: int
    backing_device: int
    backing_inode: int


def attach(
    backing: Path, *, sector_bytes: int = 512, limit_bytes: int = 0, read_only: bool = False
) -> AttachedLoop:
    """Attach a regular file to a free loop device, with that logical sector size.

    At most `limit_bytes` of the file are shown (0: all of it).

    Other programs may take the free device first: then the next one is tried. Raises
    LoopDeviceError where none can be had (no root, no loop driver, no free device).
    """
    access = os.O_RDONLY if read_only else os.O_RDWR
    try:
        file = os.open(backing, access | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise _failed(f"open {show(str(backing))}", error) from error
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise LoopDeviceError(
                f"{show(str(backing))} is not a regular file", next_step="Give a file"
            )
        for _ in range(_TRIES):
            attached = _attach_to_free(file, sector_bytes, limit_bytes, read_only=read_only)
            if attached is not None:
                return attached
    finally:
        os.close(file)
    raise LoopDeviceError(
        f"other programs took {_TRIES} free loop devices first", next_step="Try again"
    )


def set_window(loop: AttachedLoop, *, offset_bytes: int, limit_bytes: int) -> None:
    """Let the device show another part of its file; whoever has it open sees the new size at once.

    From `offset_bytes` on, at most `limit_bytes` (0: no limit); beyond the end of the file the
    device has size 0. Raises LoopDeviceError where it no longer is this disk.
    """
    with _opened(loop) as descriptor:
        for tries_left in reversed(range(_TRIES)):
            try:
                info = list(_info(descriptor))
                info[_OFFSET], info[_SIZE_LIMIT] = offset_bytes, limit_bytes
                fcntl.ioctl(descriptor, LOOP_SET_STATUS64, _INFO.pack(*info))
                fcntl.ioctl(descriptor, LOOP_SET_CAPACITY)
                return
            except OSError as error:
                # EAGAIN: pages were cached while the kernel was dropping them.
                if error.errno != errno.EAGAIN or not tries_left:
                    raise _failed(f"change the window of {loop.device}", error) from error


def detach(loop: AttachedLoop) -> None:
    """Detach it; while somebody else has it open, the kernel waits for the last close.

    Raises LoopDeviceError where it no longer is this disk, detached already included.
    """
    with _opened(loop) as descriptor:
        try:
            fcntl.ioctl(descriptor, LOOP_CLR_FD)
        except OSError as error:
            raise _failed(f"detach {loop.device}", error) from error


def is_attached(loop: AttachedLoop) -> bool:
    """Whether the device still is this disk."""
    try:
        with _opened(loop):
            return True
    except LoopDeviceError:
        return False


def backing_file(device: str) -> Path:
    """The file behind a loop device, by sysfs. Raises LoopDeviceError where there is none."""
    attribute = Path("/sys/class/block", Path(device).name, "loop", "backing_file")
    try:
        raw = attribute.read_bytes()[:8192]
    except OSError as error:
        raise _failed(f"find the file behind {show(device)}", error) from error
    return Path(os.fsdecode(raw.removesuffix(b"\n")))


def _attach_to_free(
    file: int, sector_bytes: int, limit_bytes: int, *, read_only: bool
) -> AttachedLoop | None:
    """One try; None where another program was faster."""
    try:
        control = os.open(_CONTROL, os.O_RDWR | os.O_CLOEXEC)
        try:
            number = fcntl.ioctl(control, LOOP_CTL_GET_FREE)
        finally:
            os.close(control)
        device = f"/dev/loop{number}"
        descriptor = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise _failed("find a free loop device", error) from error
    try:
        flags = _FLAG_READ_ONLY if read_only else 0
        name = os.fsencode(Path(f"/proc/self/fd/{file}").readlink())[:63]
        info = _INFO.pack(0, 0, 0, 0, limit_bytes, 0, 0, 0, flags, name, b"", b"", 0, 0)
        try:
            fcntl.ioctl(
                descriptor, LOOP_CONFIGURE, _CONFIG.pack(file, sector_bytes, info, bytes(64))
            )
        except OSError as error:
            if error.errno == errno.EBUSY:
                return None
            raise _failed(f"attach {device}", error) from error
        status = os.fstat(file)
        diskseq = ioctls.disk_sequence(descriptor)
        return AttachedLoop(device, diskseq, status.st_dev, status.st_ino)
    finally:
        os.close(descriptor)


@contextmanager
def _opened(loop: AttachedLoop) -> Iterator[int]:
    """A descriptor of the device, proved to be this disk with this file behind it."""
    try:
        descriptor = os.open(loop.device, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _failed(f"open {loop.device}", error) from error
    try:
        info = None
        with suppress(OSError):
            info = _info(descriptor)
        sequence = ioctls.disk_sequence(descriptor)
        backing = (loop.backing_device, loop.backing_inode)
        if info is None or info[:2] != backing or sequence != loop.diskseq:
            raise LoopDeviceError(
                f"{loop.device} is no longer the disk that was attached here",
                next_step="Leave it alone: it belongs to somebody else, or to nobody",
            )
        yield descriptor
    finally:
        os.close(descriptor)


def _info(descriptor: int) -> tuple[int, ...]:
    answer = bytearray(_INFO.size)
    fcntl.ioctl(descriptor, LOOP_GET_STATUS64, answer)
    return _INFO.unpack(answer)


def _failed(what: str, error: OSError) -> LoopDeviceError:
    number = error.errno or 0
    hint = "Run it as root" if number in (errno.EACCES, errno.EPERM) else "See `modprobe loop`"
    return LoopDeviceError(f"could not {what}: {os.strerror(number)}", next_step=hint)
