"""Which parts of a device path name a place, and which the kernel counts on at each plugging."""

from __future__ import annotations

import re

_NAMED_ANEW = ("end_device-", "expander-", "port-")
_HOST = re.compile(r"host[0-9]+")


def lasting_path(device_path: str) -> str:
    """The path as a glob that takes whatever is plugged in there, numbers that change as wildcards.

    PCI addresses, SATA ports, USB ports and SCSI target numbers stay. Empty for SAS: its ports and
    end devices are numbered in the order in which they come.
    """
    parts = device_path.split("/")
    if any(part.startswith(_NAMED_ANEW) for part in parts):
        return ""
    return "/".join(_lasting(part, parts[at - 1] if at else "") for at, part in enumerate(parts))


def place_of(device_path: str) -> str:
    """Equal for two plugings into one place; for SAS that is its adapter, which errs by asking."""
    lasting = lasting_path(device_path)
    if lasting:
        return lasting
    parts = device_path.split("/")
    at = next((at for at, part in enumerate(parts) if _HOST.fullmatch(part)), len(parts))
    return "/".join(parts[:at])


def _lasting(part: str, before: str) -> str:
    if _HOST.fullmatch(part):
        return "host*"
    if part.startswith("target") and ":" in part:
        return "target*:" + part.partition(":")[2]
    if before.startswith("target") and ":" in before:
        return "*:" + ":".join(part.split(":")[1:3]) + ":*"
    if before == "nvme" and part.startswith("nvme"):
        return "nvme*"
    if before.startswith("mmc") and ":" in part:
        return part.partition(":")[0] + ":*"
    return part
