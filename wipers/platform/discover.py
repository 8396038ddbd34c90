"""Which drives are there, from sysfs alone: no disk is opened, no command is sent.

Opening every disk to look at it can hang on a sick one, spins sleeping ones up and makes udev probe
them. What stands in sysfs was read from the drive when the kernel found it; after a swap it may be
old, which is why access.py asks the drive itself.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from nullbay.domain.clock import Clock, Stamp, SystemClock, read_boot_id
from nullbay.domain.drive import (
    Attachment,
    Drive,
    Health,
    HiddenArea,
    HiddenState,
    NodeAttachment,
    Observed,
    Unit,
)
from nullbay.domain.method import Transport
from nullbay.domain.plan import Refusal
from nullbay.domain.text import show
from nullbay.wipers.platform import kinds, sysfs
from nullbay.wipers.platform.claim import ClaimError, DeviceNotFoundError, NotABlockDeviceError
from nullbay.wipers.platform.clocksync import kernel_clock_sync
from nullbay.wipers.platform.sysfs import DEFAULT_ROOTS, Roots

NOT_ASKED = "not asked: sysfs alone"


def system_clock() -> SystemClock:
    """The clock of this machine with the kernel's word on its synchronisation."""
    return SystemClock(kernel_clock_sync)


def list_drives(*, roots: Roots = DEFAULT_ROOTS, clock: Clock | None = None) -> tuple[Drive, ...]:
    """Every whole drive that is there, by first node, with `serial_shared` set.

    Partitions and unattached loop devices do not appear; namespaces of one NVMe subsystem, LUNs and
    paths of one drive appear once. Hidden areas are UNKNOWN here (nothing was asked), except on
    loop devices, which have none.
    """
    at = (clock or system_clock()).now()
    nodes = [node for path in sysfs.entries(roots.block) if (node := kinds.look(path, roots))]
    drives = [_drive(group, roots, at) for group in _folded(nodes)]
    serials = Counter(drive.identity.serial.raw for drive in drives if drive.identity.serial)
    return tuple(
        replace(drive, serial_shared=serials[drive.identity.serial.raw] > 1) for drive in drives
    )


def find_drive(device: str, *, roots: Roots = DEFAULT_ROOTS, clock: Clock | None = None) -> Drive:
    """The drive that a device node, a link to one, or a kernel name means.

    Raises DeviceNotFoundError, NotABlockDeviceError, and ClaimError guard.not-a-whole-drive for
    partitions and for block devices that are no drives, with what they are.
    """
    name = kernel_name(device, roots)
    for drive in list_drives(roots=roots, clock=clock):
        if any(node.name == name for node in drive.attachment.nodes):
            return drive
    raise _why_no_drive(name, roots)


def kernel_name(device: str, roots: Roots = DEFAULT_ROOTS) -> str:
    """The kernel's name of a block device given by node path, link or name.

    A node is known by its device number, never by its file name. Raises DeviceNotFoundError or
    NotABlockDeviceError.
    """
    if "/" not in device:
        if device and device not in {".", ".."} and (_class(roots) / device).exists():
            return device
        path = roots.dev / device
    else:
        path = Path(device)
    try:
        status = path.stat()
    except (OSError, ValueError):
        raise DeviceNotFoundError(
            f"there is no device {show(device)}", next_step="See `nullbay drives`"
        ) from None
    if not stat.S_ISBLK(status.st_mode):
        raise NotABlockDeviceError(
            f"{show(device)} is not a block device", next_step="See `nullbay drives`"
        )
    number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    name = sysfs.link_name(roots.sysfs / "dev" / "block" / number)
    if not name:
        raise DeviceNotFoundError(
            f"the kernel has no block device {number} behind {show(device)}",
            next_step="See `nullbay drives`",
        )
    return name


def _class(roots: Roots) -> Path:
    return roots.sysfs / "class" / "block"


def _why_no_drive(name: str, roots: Roots) -> DeviceNotFoundError | ClaimError:
    path = roots.block / name
    if not path.exists():
        real = Path(os.path.realpath(_class(roots) / name))
        if (real / "partition").exists():
            evidence = f"{show(name)} is a partition of {show(real.parent.name)}"
            return ClaimError(Refusal("guard.not-a-whole-drive", evidence))
        return DeviceNotFoundError(
            f"there is no drive {show(name)}", next_step="See `nullbay drives`"
        )
    if kinds.is_empty_loop(path):
        return DeviceNotFoundError(
            f"nothing is attached to {show(name)}", next_step="Attach a file with losetup"
        )
    evidence = f"{show(name)} is {kinds.other_kind(path, roots)}"
    return ClaimError(Refusal("guard.not-a-whole-drive", evidence))


def _folded(nodes: Iterable[kinds.Node]) -> list[list[kinds.Node]]:
    """Nodes that share a key, together; groups and their members in the order of the nodes."""
    groups: list[list[kinds.Node]] = []
    for node in nodes:
        mine = [group for group in groups if any(node.told.shares & n.told.shares for n in group)]
        joined = [member for group in mine for member in group] + [node]
        groups = [group for group in groups if group not in mine]
        groups.append(joined)
    return sorted(groups, key=lambda group: _order(group[0].name))


def _order(name: str) -> tuple[int, str]:
    """Sda, sdb, … sdaa: shorter names first."""
    return len(name), name


def _drive(nodes: list[kinds.Node], roots: Roots, at: Stamp) -> Drive:
    """One drive from all its nodes; the first node of each unit gives the unit's geometry."""
    first = nodes[0].told
    parts = {node.told.part for node in nodes}
    alone = len(parts) == 1 and first.part.startswith("lun:")
    units: dict[str, Unit] = {}
    hidden: list[HiddenArea] = []
    attached: list[NodeAttachment] = []
    for node in nodes:
        unit_id = "disk" if alone else node.told.part
        attached.append(NodeAttachment(unit_id, node.name, node.devnum, node.diskseq))
        if unit_id not in units:
            unit, tail = geometry(node.path, unit_id)
            units[unit_id] = unit
            hidden += tail
    return Drive(
        identity=first.identity,
        attachment=Attachment(
            boot_id=read_boot_id(),
            nodes=tuple(attached),
            device_path=first.device_path,
            bay=None,
            hba=kinds.hba(first.device_path, roots),
        ),
        observed=Observed(
            at=at,
            units=tuple(units.values()),
            firmware=first.firmware,
            media=first.media,
            media_source=first.media_source,
            transport=first.transport,
            hidden_areas=(_not_asked(first.transport), *hidden),
            health=Health(),
            removable=bool(sysfs.number(nodes[0].path, "removable")),
        ),
    )


def geometry(path: Path, unit_id: str) -> tuple[Unit, list[HiddenArea]]:
    """A unit's geometry by sysfs, in whole logical sectors, and the tail that no transfer reaches.

    A loop device can end in the middle of a 4096-byte sector: those bytes can be neither read nor
    written through it, and count as hidden.
    """
    reported = (sysfs.number(path, "size") or 0) * sysfs.SECTOR_BYTES
    queue = path / "queue"
    logical = sysfs.number(queue, "logical_block_size") or sysfs.SECTOR_BYTES
    physical = sysfs.number(queue, "physical_block_size") or logical
    tail = reported % logical
    unit = Unit(
        unit_id=unit_id,
        size_bytes=reported - tail,
        logical_sector_bytes=logical,
        physical_sector_bytes=max(physical, logical),
        read_only=bool(sysfs.number(path, "ro")),
    )
    if not tail:
        return unit, []
    source = f"size {reported} is no multiple of the logical sector of {logical} bytes"
    return unit, [HiddenArea(f"tail of {unit_id}", HiddenState.PRESENT, tail, source)]


def _not_asked(transport: Transport) -> HiddenArea:
    if transport is Transport.LOOP:
        return HiddenArea(
            "capacity outside the addressable range",
            HiddenState.NOT_APPLICABLE,
            0,
            "a loop device has none",
        )
    return HiddenArea("capacity outside the addressable range", HiddenState.UNKNOWN, 0, NOT_ASKED)
