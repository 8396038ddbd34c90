"""Which bay a drive is in: one matcher for everybody who asks.

Globs match the canonical sysfs device path. Loop, virtual and fabric paths match only where named
literally (bench.md): a pattern meant for a backplane must never catch one of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from nullbay.domain.drive import Bay, Drive
from nullbay.domain.ids import BayId
from nullbay.domain.method import Transport

VIRTUAL = "/sys/devices/virtual/"
_NOT_IN_A_BACKPLANE = frozenset({Transport.LOOP, Transport.FABRICS, Transport.VIRTIO})


def bay_of(drive: Drive, bays: Iterable[Bay]) -> BayId | None:
    """The first bay whose matcher fits; None where the drive is in none."""
    path = drive.attachment.device_path
    # iSCSI and Fibre Channel disks hang below PCI and platform devices like any other
    literally = path.startswith(VIRTUAL) or drive.observed.transport in _NOT_IN_A_BACKPLANE
    for bay in bays:
        if path == bay.match if literally else fnmatchcase(path, bay.match):
            return bay.bay_id
    return None
