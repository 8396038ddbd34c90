"""What /proc tells of mounts and swap, as values. Pure: text in, entries out."""

from __future__ import annotations

import re
from dataclasses import dataclass

_OCTAL = re.compile(rb"\\([0-7]{3})")
SYSTEM_POINTS = (b"/", b"/boot", b"/usr", b"/var")


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo, unescaped: device number, mount point, type, source, super options."""

    devnum: str
    point: bytes
    fstype: str
    source: bytes
    options: bytes

    @property
    def is_system(self) -> bool:
        """Whether the running system stands on it: /, or /boot, /usr, /var and what is below."""
        below = self.point + b"/"
        return self.point == b"/" or any(below.startswith(at + b"/") for at in SYSTEM_POINTS[1:])


def parse_mountinfo(content: bytes) -> list[Mount]:
    """Lines of /proc/PID/mountinfo (proc_pid_mountinfo(5)); what has another form is left out."""
    found = []
    for line in content.splitlines():
        before, _, after = line.partition(b" - ")
        fields, tail = before.split(b" "), after.split(b" ")
        if len(fields) < 6 or len(tail) < 2:
            continue
        found.append(
            Mount(
                devnum=fields[2].decode("ascii", "replace"),
                point=unescape(fields[4]),
                fstype=tail[0].decode("ascii", "replace"),
                source=unescape(tail[1]),
                options=unescape(tail[2]) if len(tail) > 2 else b"",
            )
        )
    return found


def parse_swaps(content: bytes) -> list[bytes]:
    """Paths of the files and devices in /proc/swaps, below its headline."""
    lines = content.splitlines()[1:]
    return [unescape(line.split()[0]) for line in lines if line.split()]


def unescape(field: bytes) -> bytes:
    r"""The kernel writes blanks, line breaks and backslashes as \040, \012, \134."""
    return _OCTAL.sub(lambda match: bytes((int(match[1], 8) & 0xFF,)), field)
