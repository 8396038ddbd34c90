"""Who else can reach a drive's bytes: open descriptors, and what lies beneath a loop device.

An exclusive claim shuts out mounts and other exclusive openers. It does not shut out a program that
opened the node before without saying so, nor one that writes to the file, the disk or the second
loop device beneath.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from nullbay.domain.ports import Use, UseKind
from nullbay.domain.text import show
from nullbay.wipers.platform import sysfs
from nullbay.wipers.platform.sysfs import Roots

_SHOWN = 200


def writers(numbers: Mapping[str, str], roots: Roots) -> Iterator[Use]:
    """Programs that have one of these nodes (device number to name) open for writing.

    Not this process and its children, which hold drives for it. Programs that may not be looked at
    are left out: who may not look may not open a disk either.
    """
    own = str(os.getpid())
    for process in sysfs.entries(roots.proc):
        pid = process.name
        if not pid.isdigit() or pid == own or _parent(process) == own:
            continue
        with suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                with suppress(OSError):
                    status = descriptor.stat()
                    number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
                    if not stat.S_ISBLK(status.st_mode) or number not in numbers:
                        continue
                    if _may_write(process / "fdinfo" / descriptor.name):
                        who = show(sysfs.text(process, "comm"))
                        what = f"process {pid} ({who}) has it open for writing"
                        yield Use(numbers[number], UseKind.OPEN, what)


def beneath(name: str, roots: Roots) -> Iterator[Use]:
    """What makes a loop device another view of something that is not ours alone."""
    loop = roots.block / name / "loop"
    file = sysfs.text(loop, "backing_file")
    if not file:
        return
    path = Path(os.fsdecode(file))
    size = None
    with suppress(OSError):
        status = path.stat()
        if stat.S_ISBLK(status.st_mode):
            yield Use(name, UseKind.HOLDER, f"a loop device over {show(file, _SHOWN)}")
            return
        size = status.st_size
    offset, limit = sysfs.number(loop, "offset") or 0, sysfs.number(loop, "sizelimit") or 0
    if offset or (limit and (size is None or limit < size)):
        yield Use(name, UseKind.HOLDER, f"shows only a part of {show(file, _SHOWN)}")
    for other in sysfs.entries(roots.block):
        if other.name != name and sysfs.text(other / "loop", "backing_file") == file:
            what = f"{show(other.name)} shows the same file {show(file, _SHOWN)}"
            yield Use(name, UseKind.HOLDER, what)


def _may_write(info: Path) -> bool:
    """By the `flags:` line of /proc/PID/fdinfo, octal; what does not say counts as writing."""
    for line in info.read_text("ascii", "replace").splitlines():
        if line.startswith("flags:"):
            with suppress(ValueError):
                return int(line.partition(":")[2], 8) & os.O_ACCMODE != os.O_RDONLY
    return True


def _parent(process: Path) -> str:
    """The fourth field of /proc/PID/stat, counted behind the name, which may hold anything."""
    text = sysfs.text(process, "stat").decode("ascii", "replace")
    fields = text.rpartition(")")[2].split()
    return fields[1] if len(fields) > 1 else ""
