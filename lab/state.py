"""What a drive made of software remembers between processes, in files beside its description.

The state is a page of numbers mapped into memory: each change is one aligned store, so that a
process killed at any instant leaves it whole. `turn` keeps the drive and the hands that pull it
from acting at the same instant, within a process and between processes.
"""

from __future__ import annotations

import contextlib
import enum
import mmap
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nullbay.domain.errors import NullbayError
from nullbay.domain.text import show

MAGIC = b"nullbay.lab-drive-state/1\n".ljust(64, b"\0")
HEADER_BYTES = 4096


class StateError(NullbayError):
    """The files beside a description are missing or not what they should be."""

    code = "lab.state"


class Slot(enum.IntEnum):
    """One number of the state."""

    ATTACHED = 0
    INSERTIONS = 1
    POWER_CUTS = 2
    WRITTEN_BYTES = 3
    READ_BYTES = 4
    FLUSHES = 5
    EVENTS_DONE = 6
    READ_ONLY = 7
    SERIAL_CHANGED = 8
    IS_OTHER = 9
    SECTORS = 10


@dataclass(frozen=True, slots=True)
class DriveFiles:
    """The files of one drive, all named after its description."""

    description: Path

    @property
    def image(self) -> Path:
        """The medium: every addressable byte, sparse."""
        return self.description.with_suffix(".img")

    @property
    def other_image(self) -> Path:
        """The medium of the drive that comes in its place."""
        return self.description.with_suffix(".other.img")

    @property
    def state(self) -> Path:
        """The numbers."""
        return self.description.with_suffix(".state")

    @property
    def held(self) -> Path:
        """Locked by the process that has the drive open."""
        return self.description.with_suffix(".held")

    @property
    def turn(self) -> Path:
        """Locked for the length of one command."""
        return self.description.with_suffix(".turn")

    def cache(self, number: int) -> Path:
        """One of the two logs of the volatile write cache."""
        return self.description.with_suffix(f".cache{number}")


class DriveState:
    """The numbers of one drive, and one byte for each sector that a rewrite has cured."""

    def __init__(self, files: DriveFiles, curable: int) -> None:
        """Map it. Raises StateError where there is none or it belongs to another description."""
        size = HEADER_BYTES + curable
        try:
            with files.state.open("r+b") as file:
                if os.fstat(file.fileno()).st_size != size:
                    raise _wrong(files.state)
                self._map = mmap.mmap(file.fileno(), size)
        except OSError:
            raise _wrong(files.state) from None
        if self._map[: len(MAGIC)] != MAGIC:
            self._map.close()
            raise _wrong(files.state)
        self._whole = memoryview(self._map)
        self._numbers = self._whole[len(MAGIC) : HEADER_BYTES].cast("Q")
        self.cured = self._whole[HEADER_BYTES:]

    def __getitem__(self, slot: Slot) -> int:
        return self._numbers[slot]

    def __setitem__(self, slot: Slot, value: int) -> None:
        self._numbers[slot] = value

    def add(self, slot: Slot, value: int) -> None:
        """Count on."""
        self._numbers[slot] += value

    def close(self) -> None:
        """Unmap it."""
        for view in (self.cured, self._numbers, self._whole):
            view.release()
        self._map.close()


def make_state(files: DriveFiles, *, sectors: int, curable: int) -> None:
    """A new drive, attached for the first time."""
    with files.state.open("wb") as file:
        file.write(MAGIC)
        file.truncate(HEADER_BYTES + curable)
    state = DriveState(files, curable)
    state[Slot.SECTORS] = sectors
    state[Slot.INSERTIONS] = 1
    state[Slot.ATTACHED] = 1
    state.close()


class Turn:
    """One command or one hand at a time."""

    def __init__(self, path: Path) -> None:
        """The lock between processes is a POSIX record lock: it ends with its process."""
        self._inside = _locks.setdefault(path.resolve(), threading.RLock())
        self._depth = 0
        with self._inside:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Hold it."""
        with self._inside:
            if self._depth == 0:
                os.lockf(self._descriptor, os.F_LOCK, 0)
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if self._depth == 0:
                    os.lockf(self._descriptor, os.F_ULOCK, 0)

    def close(self) -> None:
        """Let go of the file; any close of it drops this process's lock, so nobody may hold it."""
        with self._inside:
            os.close(self._descriptor)


_locks: dict[Path, threading.RLock] = {}


def _wrong(path: Path) -> StateError:
    return StateError(
        f"{show(path.name)} is missing or does not belong to this description",
        next_step="Make the drive anew: nullbay.lab.files.make_file_drive",
    )
