"""Processes of this machine, as /proc tells them: whose children, and whether they still run."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SAFETY_S = 120
"""Nothing waits for this: it ends a wait that would never end."""
POLL_S = 0.002
PROC = Path("/proc")


@dataclass(frozen=True)
class Seen:
    """One process: its id, and when it started, so that a later one of the same id is another."""

    pid: int
    started: str

    def is_running(self) -> bool:
        """Whether it is there and not only waits to be reaped."""
        fields = _fields(self.pid)
        return fields is not None and fields[19] == self.started and fields[0] not in {"Z", "X"}

    def kill(self) -> None:
        """SIGKILL."""
        if self.is_running():
            os.kill(self.pid, signal.SIGKILL)


def children(pid: int) -> tuple[Seen, ...]:
    """Processes that a process has started, and that still run."""
    found = []
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            fields = _fields(int(folder.name))
            if fields is not None and fields[1] == str(pid):
                found.append(Seen(int(folder.name), fields[19]))
    return tuple(found)


def until(is_it: Callable[[], bool], instead: Callable[[], object] = lambda: "") -> None:
    """Wait for something that comes; `instead` tells how things stand where it does not."""
    limit = time.monotonic() + SAFETY_S
    while not is_it():
        assert time.monotonic() < limit, f"it did not come: {instead()}"
        time.sleep(POLL_S)


def _fields(pid: int) -> list[str] | None:
    """/proc/PID/stat after the name: state, parent, ... the 20th is the start time."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
