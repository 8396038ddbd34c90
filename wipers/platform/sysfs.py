"""Reading sysfs: capped, as raw bytes, and never an error for what is not there.

What stands in an attribute was often sent by a drive, so it is bytes of any kind and any length
until it became a RawText or a number. Roots are parameters, so that a tree of plain files will do.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ATTRIBUTE_MAX_BYTES = 4096
SECTOR_BYTES = 512
"""Unit of `size` and `start` in sysfs, whatever the device's own sectors are."""

_NUMBER = re.compile(rb"[0-9]{1,20}")
_DEVNUM = re.compile(rb"[0-9]{1,10}:[0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class Roots:
    """Where sysfs, the device nodes and procfs are."""

    sysfs: Path = Path("/sys")
    dev: Path = Path("/dev")
    proc: Path = Path("/proc")

    @property
    def block(self) -> Path:
        """Whole disks, one link each."""
        return self.sysfs / "block"

    def canonical(self, path: Path) -> str:
        """The device path of a sysfs entry as the kernel tells it, beginning with /sys/devices."""
        inside = os.path.relpath(os.path.realpath(path), os.path.realpath(self.sysfs))
        return "/sys/" + inside


DEFAULT_ROOTS = Roots()


def attribute(directory: Path, name: str, limit: int = ATTRIBUTE_MAX_BYTES) -> bytes:
    """At most `limit` bytes of an attribute, empty where it does not exist or cannot be read."""
    try:
        with (directory / name).open("rb", buffering=0) as file:
            return file.read(limit) or b""
    except OSError:
        return b""


def text(directory: Path, name: str) -> bytes:
    """An attribute without its line break, still raw."""
    return attribute(directory, name).removesuffix(b"\n")


def number(directory: Path, name: str) -> int | None:
    """A decimal attribute that is not negative, else None."""
    value = attribute(directory, name, 64).strip()
    return int(value) if _NUMBER.fullmatch(value) else None


def devnum(directory: Path) -> str:
    """`major:minor` of a block device's directory, empty where it has none."""
    value = attribute(directory, "dev", 64).strip()
    return value.decode("ascii") if _DEVNUM.fullmatch(value) else ""


def entries(directory: Path) -> list[Path]:
    """What is in a directory, by name; nothing where it does not exist."""
    try:
        return sorted(directory.iterdir(), key=lambda path: path.name)
    except OSError:
        return []


def link_name(path: Path) -> str:
    """The last part of what a link points to, empty where there is no link."""
    try:
        return path.readlink().name
    except OSError:
        return ""


def partitions(disk: Path) -> Iterator[Path]:
    """Directories of a disk's partitions."""
    return (entry for entry in entries(disk) if (entry / "partition").exists())
