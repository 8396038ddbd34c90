"""A drive made of software over one sparse file: opened, read and written like a real one.

`hands.py` makes such drives, pulls them and puts them back; `open_file_drive` opens one, in this
process or another. What it answers is what the Linux port answers for the same cause
(`wipers/platform/block.py`, reference/lab.md 2.3).
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from nullbay.domain.clock import Clock
from nullbay.domain.drive import Drive
from nullbay.domain.plan import Refusal
from nullbay.domain.ports import Geometry, PortError
from nullbay.domain.text import show
from nullbay.lab.description import (
    DriveDescription,
    EventKind,
    EventSpec,
)
from nullbay.lab.description_file import read_description
from nullbay.lab.medium import DriveAnswerError, Medium
from nullbay.lab.sight import Thermometer, drive_name, see
from nullbay.lab.state import DriveFiles, Slot
from nullbay.wipers.platform.block import error_kind
from nullbay.wipers.platform.claim import ClaimError, DeviceNotFoundError

UNIT = "disk"


class FileDrive:
    """One such drive, opened and held: `domain.ports.DriveAccess`.

    A handle belongs to one insertion. Once the drive is pulled it stays dead, even when the drive
    is back; open it again then.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        """Claim and open it; see `open_file_drive`."""
        self.description = read_description(path)
        self._files = DriveFiles(path)
        self._clock = clock
        self._held = _hold(self, self._files, self.description)
        try:
            self._medium = Medium(self.description, self._files)
        except BaseException:
            _let_go(self._files, self._held)
            raise
        state = self._medium.state
        self._insertion = state[Slot.INSERTIONS]
        self._opened_s = self._busy_until_s = clock.boottime()
        self._time = threading.Lock()
        self._thermometer = Thermometer(self.description.temperature, self._opened_s)
        self._opened_read_only = bool(state[Slot.READ_ONLY])
        self._is_open = True
        logical = self.description.logical_sector_bytes
        self.geometry = Geometry(
            state[Slot.SECTORS] * logical, logical, self.description.physical_sector_bytes
        )
        if not state[Slot.ATTACHED]:
            self.close()
            raise absent(self._files, self.description)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def observe(self) -> Drive:
        """Who and how it is now. Raises PortError where it is gone."""
        with self._medium.turn.taken():
            self._begin()
            if not self._is_alive():
                raise self._error(errno.ENODEV, "answer")
            return see(self._medium, self._clock, self._thermometer)

    def port(self, unit_id: str) -> FilePort:
        """The port of its one unit, `disk`."""
        if unit_id != UNIT:
            raise KeyError(unit_id)
        return FilePort(self)

    def temperature_celsius(self) -> int | None:
        """Degrees now; None where the description gives it no thermometer."""
        with self._medium.turn.taken():
            if not self._is_alive():
                raise self._error(errno.ENODEV, "tell its temperature")
            return self._thermometer.celsius(self._clock.boottime())

    def close(self) -> None:
        """Let go; closing twice is harmless."""
        if self._is_open:
            self._is_open = False
            self._medium.close()
            _let_go(self._files, self._held)

    def current_size_bytes(self) -> int:
        """What it reports now."""
        with self._medium.turn.taken():
            self._begin()
            return self._size_now()

    def read(self, offset: int, buffer: memoryview) -> None:
        """One read command."""
        what = f"read {len(buffer)} bytes at {offset}"
        with self._command(what, offset, len(buffer)):
            if not self._is_alive():
                raise self._vanished(what)
            if offset + len(buffer) > self._size_now():
                raise self._vanished(what)
            self._medium.read(offset, buffer)
            self._medium.state.add(Slot.READ_BYTES, len(buffer))

    def write(self, offset: int, data: memoryview) -> None:
        """One write command. An event due in the midst of it happens in the midst of it."""
        what = f"write {len(data)} bytes at {offset}"
        with self._command(what, offset, len(data)):
            if self._opened_read_only:
                raise DriveAnswerError(errno.EROFS)
            done = 0
            while done < len(data):
                self._begin()
                if not self._is_alive() or offset + len(data) > self._size_now():
                    raise DriveAnswerError(errno.ENOSPC)
                if self._medium.state[Slot.READ_ONLY]:
                    raise DriveAnswerError(errno.EPERM)
                part = data[done : done + self._room_before_event(len(data) - done)]
                self._medium.write(offset + done, part)
                self._medium.state.add(Slot.WRITTEN_BYTES, len(part))
                done += len(part)

    def flush(self) -> None:
        """One flush command."""
        with self._command("flush its cache", 0, 0, transfer=False):
            if not self._is_alive():
                raise DriveAnswerError(errno.EIO)
            self._medium.flush()
            if self._has_changed():
                raise self._vanished("flush its cache")

    def deallocate(self, offset: int, length: int) -> None:
        """One deallocate command; takes no time."""
        with self._command("deallocate", offset, 0, transfer=False):
            if not self._is_alive():
                raise DriveAnswerError(errno.EIO)
            self._medium.deallocate(offset, length)

    @contextlib.contextmanager
    def _command(
        self, what: str, offset: int, length: int, *, transfer: bool = True
    ) -> Iterator[None]:
        """A turn at the drive, its answer as a PortError, and the time it all took."""
        failed = False
        try:
            with self._medium.turn.taken():
                self._begin()
                sector = self.geometry.logical_sector_bytes
                if offset % sector or length % sector or offset < 0:
                    raise self._error(errno.EINVAL, what, transfer=transfer)
                yield
        except DriveAnswerError as answer:
            failed = True
            raise self._error(answer.number, what, transfer=transfer) from None
        finally:
            self._spend(offset, length, failed=failed)

    def _begin(self) -> None:
        """Notice other hands, let due events happen."""
        self._medium.catch_up()
        state = self._medium.state
        elapsed_ms = (self._clock.boottime() - self._opened_s) * 1000
        for number, event in enumerate(self.description.event):
            done = state[Slot.EVENTS_DONE]
            if not done >> number & 1 and self._is_due(event, elapsed_ms):
                state[Slot.EVENTS_DONE] = done | 1 << number
                self._happen(event)

    def _is_due(self, event: EventSpec, elapsed_ms: float) -> bool:
        state = self._medium.state
        if event.after_written_bytes is not None:
            return state[Slot.WRITTEN_BYTES] >= event.after_written_bytes
        if event.after_read_bytes is not None:
            return state[Slot.READ_BYTES] >= event.after_read_bytes
        return event.after_ms is not None and elapsed_ms >= event.after_ms

    def _happen(self, event: EventSpec) -> None:
        state = self._medium.state
        match event.what:
            case EventKind.GONE:
                state[Slot.ATTACHED] = 0
                self._medium.cut_power()
            case EventKind.POWER_CUT:
                self._medium.cut_power()
            case EventKind.READ_ONLY:
                state[Slot.READ_ONLY] = 1
            case EventKind.SERIAL_CHANGES:
                state[Slot.SERIAL_CHANGED] = 1
            case EventKind.CAPACITY_SHRINKS:
                state[Slot.SECTORS] = event.sectors or 0
            case EventKind.ANOTHER_DRIVE:
                self._medium.cut_power()
                state[Slot.IS_OTHER] = 1

    def _room_before_event(self, length: int) -> int:
        """How much of a write comes before the next event, in whole sectors."""
        state, sector = self._medium.state, self.geometry.logical_sector_bytes
        for number, event in enumerate(self.description.event):
            if event.after_written_bytes is not None and not state[Slot.EVENTS_DONE] >> number & 1:
                room = event.after_written_bytes - state[Slot.WRITTEN_BYTES]
                length = min(length, -(-room // sector) * sector)
        return length

    def _is_alive(self) -> bool:
        state = self._medium.state
        return bool(state[Slot.ATTACHED]) and state[Slot.INSERTIONS] == self._insertion

    def _size_now(self) -> int:
        if not self._is_alive():
            return 0
        return self._medium.state[Slot.SECTORS] * self.geometry.logical_sector_bytes

    def _has_changed(self) -> bool:
        return self._size_now() != self.geometry.size_bytes

    def _error(self, number: int, what: str, *, transfer: bool = True) -> PortError:
        kind = error_kind(number, gone=self._has_changed(), transfer=transfer)
        message = f"{drive_name(self._files, self.description)} could not {what}"
        return PortError(
            kind, f"{message}: {os.strerror(number)}", errno=errno.errorcode.get(number, "")
        )

    def _vanished(self, what: str) -> PortError:
        """A transfer that ended short: no errno, only fewer bytes than asked for."""
        name = drive_name(self._files, self.description)
        kind = error_kind(0, gone=self._has_changed(), transfer=True)
        return PortError(kind, f"{name} has {self._size_now()} bytes; could not {what}")

    def _spend(self, offset: int, length: int, *, failed: bool) -> None:
        """Let the command's time pass. One drive does one thing at a time, whoever asks."""
        description = self.description
        cost_s = 0.0
        if length and description.speed_mb_s:
            cost_s += length / (description.speed_mb_s * 1_000_000)
        if failed:
            cost_s += description.error_delay_ms / 1000
        sector = description.logical_sector_bytes
        first, last = offset // sector, (offset + length) // sector - 1
        for slow in description.slow:
            if length and slow.first_lba <= last and slow.last_lba >= first:
                cost_s += slow.delay_ms / 1000
        if cost_s == 0:
            return
        with self._time:
            now = self._clock.boottime()
            start = max(now, self._busy_until_s)
            self._busy_until_s = start + cost_s
            self._thermometer.work(start, cost_s)
            wait_s = self._busy_until_s - now
        self._clock.wait_blocking(wait_s)


class FilePort:
    """The one unit of a FileDrive: `domain.ports.BlockPort`. Closing it leaves the drive held."""

    reads = "simulated"

    def __init__(self, drive: FileDrive) -> None:
        self._drive = drive
        self.geometry = drive.geometry

    def current_size_bytes(self) -> int:
        """The size it reports now; 0 once it is gone."""
        return self._drive.current_size_bytes()

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill all of `buffer`, from the cache where that is newer, or raise PortError."""
        self._drive.read(offset, buffer)

    def write_from(self, offset: int, buffer: memoryview) -> None:
        """Write all of `buffer`, into the cache where there is one, or raise PortError."""
        self._drive.write(offset, buffer)

    def flush(self) -> None:
        """What the description's `flush` says."""
        self._drive.flush()

    def deallocate(self, offset: int, length: int) -> None:
        """What the description's `deallocate` says."""
        self._drive.deallocate(offset, length)

    def close(self) -> None:
        """Nothing to give back: the drive holds the files."""


def open_file_drive(description_path: str | Path, clock: Clock) -> FileDrive:
    """Open and hold the drive of a description file; works in any process.

    Raises ClaimError (guard.open-elsewhere) where somebody holds it, DeviceNotFoundError where it
    is pulled, DescriptionError and StateError where its files are wrong.
    """
    return FileDrive(Path(description_path), clock)


def abandon(path: str | Path) -> None:
    """End this process's handle on the drive, if it has one: what the kernel does after a kill.

    The drive keeps its cache and its attachment. For crashes played within one process.
    """
    if (handle := _handles.get(DriveFiles(Path(path)).held.resolve())) is not None:
        handle.close()


def _hold(handle: FileDrive, files: DriveFiles, description: DriveDescription) -> int:
    """Lock it against every other opener: by record lock between processes, by a table within."""
    name = drive_name(files, description)
    taken = ClaimError(Refusal("guard.open-elsewhere", show(name)))
    with _holding:
        if files.held.resolve() in _handles:
            raise taken
        descriptor = os.open(files.held, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.lockf(descriptor, os.F_TLOCK, 0)
        except OSError:
            os.close(descriptor)
            raise taken from None
        _handles[files.held.resolve()] = handle
    return descriptor


def _let_go(files: DriveFiles, descriptor: int) -> None:
    with _holding:
        os.close(descriptor)
        del _handles[files.held.resolve()]


def absent(files: DriveFiles, description: DriveDescription) -> DeviceNotFoundError:
    """The error for a drive that is not there."""
    return DeviceNotFoundError(
        f"{show(drive_name(files, description))} is not plugged in", next_step="Put it back"
    )


_holding = threading.Lock()
_handles: dict[Path, FileDrive] = {}
