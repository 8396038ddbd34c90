"""One drive, claimed: every node opened exclusively and locked, and the drive itself asked.

O_EXCL shuts out mounts, swap, md, LVM and other exclusive openers, and is refused while one of them
is there. flock keeps udev from probing and nullbay from working twice on one drive
(systemd.io/BLOCK_DEVICE_LOCKING). diskseq and device number of each descriptor are pinned, so that
another disk under the same name is never taken for this one.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import ExitStack
from dataclasses import dataclass, replace

from nullbay.domain.clock import Clock
from nullbay.domain.drive import Drive, NodeAttachment
from nullbay.domain.errors import NullbayError
from nullbay.domain.method import Transport
from nullbay.domain.plan import Refusal
from nullbay.domain.ports import BlockPort, PortError, PortErrorKind
from nullbay.domain.text import show
from nullbay.wipers.identify import Answer, IdentityError, combine
from nullbay.wipers.platform import asking, ioctls, kinds, sysfs
from nullbay.wipers.platform.block import LinuxBlockPort
from nullbay.wipers.platform.claim import ClaimError, DeviceNotFoundError
from nullbay.wipers.platform.discover import find_drive, system_clock
from nullbay.wipers.platform.passthrough import LinuxAtaPort, LinuxNvmePort, LinuxScsiPort
from nullbay.wipers.platform.sysfs import DEFAULT_ROOTS, Roots

__all__ = ["ClaimError", "LinuxDriveAccess", "open_drive"]

SETTLE_S = 3.0
SETTLE_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class _Held:
    """One claimed node: its descriptor, its attachment as pinned at open, its port."""

    fd: int
    node: NodeAttachment
    port: LinuxBlockPort


def open_drive(
    device: str,
    *,
    settle: bool = True,
    roots: Roots = DEFAULT_ROOTS,
    clock: Clock | None = None,
) -> LinuxDriveAccess:
    """Claim the drive a node or kernel name means, and have it confirm who it is.

    `settle` waits up to 3 s for programs that claim or lock a device for a moment only (udev while
    it probes) and for a listing that stays the same. Raises ClaimError with the refusal
    (guard.not-a-whole-drive, guard.open-elsewhere, guard.undetermined, identity.drive-silent,
    identity.disagrees), DeviceNotFoundError, NotABlockDeviceError, and PortError where the drive
    does not answer.
    """
    clock = clock or system_clock()
    deadline = clock.boottime() + (SETTLE_S if settle else 0.0)
    while True:
        drive = find_drive(device, roots=roots, clock=clock)
        _require_openable(drive)
        access = _claim(drive, roots, clock, deadline)
        try:
            if _nodes(find_drive(device, roots=roots, clock=clock)) == _nodes(drive):
                access.observe()
                return access
        except IdentityError as error:
            access.close()
            raise ClaimError(error.refusal) from error
        except BaseException:
            access.close()
            raise
        access.close()
        if clock.boottime() >= deadline:
            evidence = f"the device nodes of {show(device)} do not stay the same"
            raise ClaimError(Refusal("guard.undetermined", evidence))
        clock.wait_blocking(SETTLE_PAUSE_S)


def _require_openable(drive: Drive) -> None:
    if drive.observed.transport is Transport.VIRTIO:
        names = ", ".join(node.name for node in drive.attachment.nodes)
        evidence = f"{names} is a virtio disk, made by a hypervisor"
        raise ClaimError(Refusal("guard.not-a-whole-drive", evidence))


def _nodes(drive: Drive) -> tuple[NodeAttachment, ...]:
    return drive.attachment.nodes


def _claim(drive: Drive, roots: Roots, clock: Clock, deadline: float) -> LinuxDriveAccess:
    held = []
    with ExitStack() as undo:
        for node in drive.attachment.nodes:
            fd = _open_settled(node, roots, clock, deadline)
            undo.callback(os.close, fd)
            _lock(fd, node, roots, clock, deadline)
            _require_same(fd, node)
            port = LinuxBlockPort(fd, name=show(node.name))
            undo.callback(port.close)
            held.append(_Held(fd, node, port))
        undo.pop_all()
    return LinuxDriveAccess(tuple(held), roots, clock)


def _open_settled(node: NodeAttachment, roots: Roots, clock: Clock, deadline: float) -> int:
    """Wait for programs that claim a device for a moment only, such as losetup setting one up."""
    while True:
        try:
            return _open(node, roots)
        except ClaimError as error:
            busy = error.refusal.code == "guard.open-elsewhere"
            if not busy or clock.boottime() >= deadline:
                raise
        clock.wait_blocking(SETTLE_PAUSE_S)


def _open(node: NodeAttachment, roots: Roots) -> int:
    """A descriptor of our own; write-protected drives are opened for reading."""
    path = roots.dev / node.name
    flags = os.O_EXCL | os.O_DIRECT | os.O_CLOEXEC
    try:
        try:
            return os.open(path, os.O_RDWR | flags)
        except OSError as error:
            if error.errno != errno.EROFS:
                raise
            return os.open(path, os.O_RDONLY | flags)
    except OSError as error:
        raise _open_error(error, show(str(path))) from error


def _open_error(error: OSError, path: str) -> NullbayError:
    number = error.errno or 0
    if number == errno.EBUSY:
        evidence = f"{path} is in use exclusively (mounted, swap, md, LVM or another program)"
        return ClaimError(Refusal("guard.open-elsewhere", evidence))
    if number in (errno.EACCES, errno.EPERM):
        evidence = f"{path} may not be opened by this user: {os.strerror(number)}"
        return ClaimError(Refusal("guard.undetermined", evidence))
    if number == errno.ENOENT:
        return DeviceNotFoundError(f"there is no node {path}", next_step="See `nullbay drives`")
    gone = number in (errno.ENXIO, errno.ENODEV, errno.ENOMEDIUM)
    kind = PortErrorKind.GONE if gone else PortErrorKind.OTHER
    message = f"{path} could not be opened: {os.strerror(number)}"
    return PortError(kind, message, errno=ioctls.errno_name(number))


def _lock(fd: int, node: NodeAttachment, roots: Roots, clock: Clock, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno != errno.EWOULDBLOCK:
                raise PortError(
                    PortErrorKind.OTHER, f"flock: {os.strerror(error.errno or 0)}"
                ) from error
        if clock.boottime() >= deadline:
            evidence = f"{show(node.name)} is locked by {_lock_owner(fd, roots)}"
            raise ClaimError(Refusal("guard.open-elsewhere", evidence))
        clock.wait_blocking(SETTLE_PAUSE_S)


def _lock_owner(fd: int, roots: Roots) -> str:
    """Who holds the flock, by /proc/locks: `1: FLOCK ADVISORY WRITE 4711 00:06:123 0 EOF`."""
    status = os.fstat(fd)
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    for line in (
        sysfs.attribute(roots.proc, "locks", 1 << 20).decode("ascii", "replace").splitlines()
    ):
        fields = line.split()
        if len(fields) > 5 and fields[1] == "FLOCK" and fields[5] == device:
            name = sysfs.text(roots.proc / fields[4], "comm")
            return (
                f"process {show(fields[4])} ({show(name)})"
                if name
                else f"process {show(fields[4])}"
            )
    return "another program"


def _require_same(fd: int, node: NodeAttachment) -> None:
    """The descriptor is the disk that was listed: device number and, where known, diskseq."""
    status = os.fstat(fd)
    number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    if not stat.S_ISBLK(status.st_mode) or number != node.devnum:
        evidence = f"the node {show(node.name)} is not block device {node.devnum}"
        raise ClaimError(Refusal("guard.undetermined", evidence))
    if node.diskseq != _disk_sequence(fd):
        evidence = f"another disk came under the name {show(node.name)}"
        raise ClaimError(Refusal("guard.undetermined", evidence))


def _disk_sequence(fd: int) -> int:
    """Diskseq of the open disk; 0 where the kernel has none (before 5.15)."""
    try:
        return ioctls.disk_sequence(fd)
    except OSError:
        return 0


class LinuxDriveAccess:
    """DriveAccess on claimed nodes. The claim ends with `close`, or with the process."""

    def __init__(self, held: tuple[_Held, ...], roots: Roots, clock: Clock) -> None:
        """Made by open_drive, which has claimed every node."""
        self._held = held
        self._roots, self._clock = roots, clock
        self._ports: dict[str, LinuxBlockPort] = {}
        for one in held:
            self._ports.setdefault(one.node.unit_id, one.port)
        self._transport = Transport.UNKNOWN

    def observe(self) -> Drive:
        """List the drive again, ask it on the open descriptors, hold both against each other.

        Raises PortError GONE where one of the nodes no longer is the disk that was opened or has
        become smaller, TIMEOUT where the drive does not answer in time, and IdentityError.
        """
        listed = self._listed()
        self._transport = listed.observed.transport
        drive = combine(listed, self._ask(listed))
        units = tuple(
            replace(unit, read_only=unit.read_only or self._is_read_only(unit.unit_id))
            for unit in drive.observed.units
        )
        return replace(drive, observed=replace(drive.observed, units=units))

    def port(self, unit_id: str) -> BlockPort:
        """The block port of one unit, open as long as this access. Raises KeyError."""
        return self._ports[unit_id]

    def temperature_celsius(self) -> int | None:
        """By the kernel's sensor (drivetemp, nvme) where there is one, else asked of the drive."""
        first = self._held[0]
        device = self._roots.block / first.node.name / "device"
        for sensor in sysfs.entries(device / "hwmon") + sysfs.entries(device):
            millidegrees = sysfs.number(sensor, "temp1_input")
            if millidegrees is not None:
                return millidegrees // 1000
        name = show(first.node.name)
        if self._transport is Transport.NVME:
            return asking.nvme_temperature(LinuxNvmePort(first.fd, name))
        if self._transport in {Transport.SATA, Transport.USB}:
            return asking.ata_temperature(LinuxAtaPort(LinuxScsiPort(first.fd, name)))
        return None

    def close(self) -> None:
        """Give up every claim; closing twice is harmless. udev looks at the device afterwards."""
        held, self._held, self._ports = self._held, (), {}
        for one in held:
            one.port.close()
            os.close(one.fd)

    def _listed(self) -> Drive:
        first = self._held[0].node.name
        try:
            listed = find_drive(first, roots=self._roots, clock=self._clock)
        except NullbayError as error:
            raise PortError(PortErrorKind.GONE, f"{show(first)} is no longer there") from error
        nodes = {node.name: node for node in _nodes(listed)}
        for one in self._held:
            now = nodes.get(one.node.name)
            sequence = _disk_sequence(one.fd)
            if now is None or now.devnum != one.node.devnum or now.diskseq != sequence:
                message = f"{show(one.node.name)} is no longer the disk that was opened"
                raise PortError(PortErrorKind.GONE, message)
            size = one.port.current_size_bytes()
            if size < one.port.geometry.size_bytes:
                message = f"{show(one.node.name)} has shrunk to {size} bytes"
                raise PortError(PortErrorKind.GONE, message)
        return listed

    def _is_read_only(self, unit_id: str) -> bool:
        """Write-protected by the kernel's word, or because it could not be opened for writing."""
        for one in self._held:
            if one.node.unit_id == unit_id:
                flags = fcntl.fcntl(one.fd, fcntl.F_GETFL)
                return flags & os.O_ACCMODE == os.O_RDONLY or ioctls.is_read_only(one.fd)
        return False

    def _ask(self, listed: Drive) -> Answer | None:
        first = self._held[0]
        name = show(first.node.name)
        match listed.observed.transport:
            case Transport.NVME | Transport.FABRICS if first.node.unit_id.startswith("nsid:"):
                seen = {
                    controller.name
                    for one in self._held
                    for controller in kinds.controllers_of(self._roots.block / one.node.name)
                }
                return asking.ask_nvme(LinuxNvmePort(first.fd, name), len(seen))
            case Transport.SATA | Transport.USB as transport:
                port = LinuxAtaPort(LinuxScsiPort(first.fd, name))
                bridged = transport is Transport.USB
                return asking.ask_ata(port, first.node.unit_id, bridged=bridged)
            case Transport.SAS | Transport.SCSI | Transport.FABRICS:
                return self._ask_scsi()
            case _:
                return None

    def _ask_scsi(self) -> Answer | None:
        first = self._held[0]
        port = LinuxScsiPort(first.fd, show(first.node.name))
        if asking.is_ata_behind(port):
            return asking.ask_ata(LinuxAtaPort(port), first.node.unit_id, bridged=False)
        answer = asking.ask_scsi(port, first.node.unit_id)
        others = {one.node.unit_id: one for one in reversed(self._held)}
        del others[first.node.unit_id]
        units = [
            unit
            for unit_id, one in sorted(others.items())
            for unit in asking.scsi_units(LinuxScsiPort(one.fd, show(one.node.name)), unit_id)
        ]
        return replace(answer, units=(*answer.units, *units))
