"""Which bay a drive is in: one matcher for everybody who asks.

Globs match the canonical sysfs device path. Loop, virtual and fabric paths match only where named
literally (bench.md): a pattern meant for a backplane must never catch one of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from nullbay.domain.drive import Bay, Drive
from nullbay.domain.ids import BayId

VIRTUAL = "/sys/devices/virtual/"


def bay_of(drive: Drive, bays: Iterable[Bay]) -> BayId | None:
    """The first bay whose matcher fits; None where the drive is in none."""
    path = drive.attachment.device_path
    for bay in bays:
        fits = path == bay.match if path.startswith(VIRTUAL) else fnmatchcase(path, bay.match)
        if fits:
            return bay.bay_id
    return None
