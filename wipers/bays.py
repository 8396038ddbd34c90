"""Which bay a drive is in: one matcher for everybody who asks.

Globs match the canonical sysfs device path. Loop, virtual and fabric paths match only where named
literally (bench.md): a pattern meant for a backplane must never catch one of them. A SAS slot is
no part of the device path; it is matched by expander and phy (`topology.sas_place`).
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from nullbay.domain.drive import Bay, Drive
from nullbay.domain.ids import BayId
from nullbay.domain.method import Transport
from nullbay.wipers.platform.sysfs import DEFAULT_ROOTS, Roots
from nullbay.wipers.platform.topology import sas_place

VIRTUAL = "/sys/devices/virtual/"
_NOT_IN_A_BACKPLANE = frozenset({Transport.LOOP, Transport.FABRICS, Transport.VIRTIO})


def is_sas_place(match: str) -> bool:
    """Whether a matcher names a SAS adapter or expander and a phy of it."""
    return match.rpartition("/")[2].startswith("sas-")


def bay_of(drive: Drive, bays: Iterable[Bay], *, roots: Roots = DEFAULT_ROOTS) -> BayId | None:
    """The first bay whose matcher fits; None where the drive is in none."""
    path = drive.attachment.device_path
    # iSCSI and Fibre Channel disks hang below PCI and platform devices like any other
    literally = path.startswith(VIRTUAL) or drive.observed.transport in _NOT_IN_A_BACKPLANE
    for bay in bays:
        if is_sas_place(bay.match):
            if bay.match == sas_place(path, roots=roots):
                return bay.bay_id
            continue
        if path == bay.match if literally else fnmatchcase(path, bay.match):
            return bay.bay_id
    return None
