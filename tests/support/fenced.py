"""Runs a command behind the fences of a unit that need no service manager.

    python fenced.py UNIT WITHOUT -- COMMAND…

As systemd does it: the capability bounding set, the group, no new privileges, the filter of system
calls, no memory both writable and executable. WITHOUT is a capability to take away as well, or `-`.
Sets of system calls are asked of systemd-analyze; libseccomp is what systemd itself filters with.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import subprocess
import sys
from pathlib import Path

ALLOW, EPERM = 0x7FFF0000, 0x00050000 | 1
MASKED_EQUAL = 7
PROT_WRITE, PROT_EXEC = 2, 4
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38
CAPABILITIES = {
    "CAP_DAC_OVERRIDE": 1,
    "CAP_SYS_RAWIO": 17,
    "CAP_SYS_PTRACE": 19,
    "CAP_SYS_ADMIN": 21,
}
LAST_CAPABILITY = int(Path("/proc/sys/kernel/cap_last_cap").read_text())


class Argument(ctypes.Structure):
    """struct scmp_arg_cmp."""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


def settings(unit: Path, name: str) -> list[str]:
    """Every value of a setting."""
    lines = (line.partition("=") for line in unit.read_text().splitlines())
    return [value for key, _, value in lines if key == name]


def members(name: str) -> set[str]:
    """The system calls of a set, sets inside it included; a single name is itself."""
    if not name.startswith("@"):
        return {name}
    told = subprocess.run(
        ["systemd-analyze", "--no-pager", "syscall-filter", name],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    words = [line.strip() for line in told.splitlines()[1:]]
    found = set()
    for word in words:
        if word and not word.startswith("#"):
            found |= members(word)
    return found


def allowed(unit: Path) -> set[str]:
    """What the lines of SystemCallFilter leave, taken in order; systemd always adds @default."""
    found = members("@default")
    for value in settings(unit, "SystemCallFilter"):
        named = {call for word in value.removeprefix("~").split() for call in members(word)}
        found = found - named if value.startswith("~") else found | named
    return found


class Filter:
    """One filter of libseccomp."""

    def __init__(self, otherwise: int) -> None:
        self.library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
        self.library.seccomp_init.restype = ctypes.c_void_p
        self.context = ctypes.c_void_p(self.library.seccomp_init(otherwise))

    def add(self, action: int, call: str, *compare: Argument) -> None:
        """A rule; a call that this machine does not have needs none."""
        number = self.library.seccomp_syscall_resolve_name(call.encode())
        if number >= 0:
            given = (Argument * len(compare))(*compare)
            code = self.library.seccomp_rule_add_array(
                self.context, action, number, len(compare), given
            )
            assert code == 0, (call, code)

    def load(self) -> None:
        """From now on, for this process and what it starts."""
        assert self.library.seccomp_load(self.context) == 0


def main(unit: Path, without: str, command: list[str]) -> None:
    """Put up the fences and become the command."""
    libc = ctypes.CDLL(None, use_errno=True)
    calls = Filter(EPERM)
    for call in sorted(allowed(unit)):
        calls.add(ALLOW, call)
    memory = Filter(ALLOW)
    both = PROT_WRITE | PROT_EXEC
    memory.add(EPERM, "mmap", Argument(2, MASKED_EQUAL, both, both))
    for call in ("mprotect", "pkey_mprotect"):
        memory.add(EPERM, call, Argument(2, MASKED_EQUAL, PROT_EXEC, PROT_EXEC))
    (kept,) = settings(unit, "CapabilityBoundingSet")
    keep = {CAPABILITIES[name] for name in kept.split() if name != without}
    for capability in range(LAST_CAPABILITY + 1):
        if capability not in keep:
            assert libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0
    # Root without capabilities stands for the unit's user: what is tested may lie where only root
    # can read. Its group stands for the unit's group.
    if settings(unit, "Group"):
        os.setgroups([])
        os.setgid(pwd.getpwnam("nobody").pw_gid)
    assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert settings(unit, "MemoryDenyWriteExecute") == ["yes"]
    memory.load()
    calls.load()
    os.execv(command[0], command)  # noqa: S606 - becoming it is the point


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[4:])
