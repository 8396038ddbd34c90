"""Loop devices as drives: real block devices of a real kernel over a drive's own file.

A pull limits the device to one sector beyond the end of its file, which every open descriptor sees
at once: size 0, reads of 0 bytes, ENOSPC (reference/lab.md 2.3); the device itself vanishes with
its last descriptor. Put back, the same file is another loop device. What a medium does wrong is for
file drives: a loop device reads and writes what the file holds, has no cache to lose and no sector
that fails.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Self

from nullbay.domain.clock import Clock
from nullbay.domain.drive import Drive
from nullbay.domain.errors import NullbayError
from nullbay.domain.ports import BlockPort, DriveAccess
from nullbay.domain.ranges import ByteRange
from nullbay.domain.text import RawText, show
from nullbay.lab.description import DriveDescription
from nullbay.lab.description_file import read_description
from nullbay.lab.files import open_file_drive
from nullbay.lab.hands import make_file_drive
from nullbay.lab.olddata import OldData
from nullbay.lab.state import DriveFiles
from nullbay.wipers.platform import loop
from nullbay.wipers.platform.access import open_drive
from nullbay.wipers.platform.discover import find_drive

PULLED_BYTES = 512


class LoopError(NullbayError):
    """A description that no loop device can follow, or a hand that does not fit."""

    code = "lab.loop"


class LoopDevice:
    """One such drive, plugged in. Needs root. A context manager: leaving it detaches the device.

    Touches only the device it attached itself, known by its disk sequence number and its file.
    """

    def __init__(self, path: Path) -> None:
        """Attach the image of the drive described at `path` (`hands.make_file_drive`)."""
        description = read_description(path)
        _require_plain(description, path)
        self._image = DriveFiles(path).image
        self._sector_bytes = description.logical_sector_bytes
        self._sectors = description.sectors
        self._attached: loop.AttachedLoop | None = None
        self._last = ""
        self.put_back()

    @property
    def device(self) -> str:
        """Its node now. Raises LoopError while it is pulled."""
        return self._plugged().device

    @property
    def diskseq(self) -> int:
        """Its disk sequence number. Raises LoopError while it is pulled."""
        return self._plugged().diskseq

    def pull(self) -> None:
        """Every open descriptor sees the end of the device now; new ones find nothing."""
        attached = self._plugged()
        # The limit alone would leave the first sector to whoever still has the device open. A write
        # that passed the kernel's size check before lands behind the end of the file: lost, as in a
        # pull; `put_back` cuts it off.
        loop.set_window(attached, offset_bytes=0, limit_bytes=PULLED_BYTES)
        loop.set_window(attached, offset_bytes=self._size_bytes, limit_bytes=PULLED_BYTES)
        self._detach()

    def put_back(self) -> None:
        """The same file on another loop device than the last."""
        if self._attached is not None:
            raise LoopError("the drive is plugged in already", next_step="Pull it first")
        if self._image.stat().st_size > self._size_bytes:
            os.truncate(self._image, self._size_bytes)
        attached = self._attach()
        if attached.device == self._last:
            try:
                self._attached = self._attach()
            finally:
                loop.detach(attached)
        else:
            self._attached = attached
        self._last = self._plugged().device

    def lose(self, ranges: Iterable[ByteRange], old_data: OldData) -> None:
        """While pulled: sectors go back to their old content, as if a cache had died with them.

        The kernel tells nobody which writes a loop device was asked to flush, so the caller says
        what is lost: whatever the job's journal does not list as flushed.
        """
        if self._attached is not None:
            raise LoopError("the drive is plugged in", next_step="Pull it first")
        with self._image.open("r+b") as file:
            for one in ranges:
                first, last = one.start // self._sector_bytes, -(-one.end // self._sector_bytes)
                file.seek(first * self._sector_bytes)
                for lba in range(first, min(last, self._sectors)):
                    file.write(old_data.sector(lba, self._sector_bytes))

    def close(self) -> None:
        """Detach; closing twice, or while pulled, is harmless. The files stay."""
        if self._attached is not None:
            self._detach()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    @property
    def _size_bytes(self) -> int:
        return self._sectors * self._sector_bytes

    def _attach(self) -> loop.AttachedLoop:
        limit = self._size_bytes
        return loop.attach(self._image, sector_bytes=self._sector_bytes, limit_bytes=limit)

    def _plugged(self) -> loop.AttachedLoop:
        if self._attached is None:
            raise LoopError("the drive is pulled", next_step="Put it back first")
        return self._attached

    def _detach(self) -> None:
        attached, self._attached = self._plugged(), None
        loop.detach(attached)


class LoopAccess:
    """A loop device opened as the station opens a disk, under its laboratory identity."""

    def __init__(self, access: DriveAccess, description: DriveDescription) -> None:
        """Made by `open_loop_drive`."""
        self._access, self._description = access, description

    def observe(self) -> Drive:
        """What the kernel says, with model, serial and world-wide name as described."""
        return _as_described(self._access.observe(), self._description)

    def port(self, unit_id: str) -> BlockPort:
        """The Linux port. Raises KeyError for a unit it does not have."""
        return self._access.port(unit_id)

    def temperature_celsius(self) -> int | None:
        """None: files have none."""
        return self._access.temperature_celsius()

    def close(self) -> None:
        """Let go of the node."""
        self._access.close()


def make_loop_drive(
    path: Path, description: DriveDescription, *, old_data: OldData | None = None
) -> LoopDevice:
    """Make the files of a new drive at `path` and plug it in as a loop device."""
    _require_plain(description, path)
    return LoopDevice(make_file_drive(path, description, old_data=old_data))


def open_loop_drive(device: str, clock: Clock) -> LoopAccess:
    """Open and hold a loop device of the laboratory; works in any process.

    Raises what `wipers.platform.access.open_drive` raises, and LoopError for a loop device that the
    laboratory did not make.
    """
    description = _description_of(device)
    return LoopAccess(open_drive(device, clock=clock), description)


def open_lab_drive(device: str, clock: Clock) -> DriveAccess:
    """A drive of the laboratory: a loop device by its node, a file drive by its description."""
    if device.startswith("/dev/"):
        return open_loop_drive(device, clock)
    return open_file_drive(device, clock)


def look_at_loop(device: str, clock: Clock) -> Drive:
    """The drive as a listing shows it, without opening it."""
    return _as_described(find_drive(device, clock=clock), _description_of(device))


def _as_described(drive: Drive, description: DriveDescription) -> Drive:
    identity = replace(
        drive.identity,
        vendor=RawText.of(description.vendor),
        model=description.raw_model,
        serial=description.raw_serial,
        wwn=description.wwn,
        identify_source=f"simulated over {drive.identity.identify_source}",
    )
    return replace(drive, identity=identity, simulated=True)


def _description_of(device: str) -> DriveDescription:
    """The description beside the file behind a loop device."""
    image = loop.backing_file(device)
    for suffix in (".json", ".toml"):
        path = image.with_suffix(suffix)
        if image.suffix == ".img" and path.is_file():
            return read_description(path)
    raise LoopError(
        f"{show(device)} is a loop device, but none of the laboratory",
        next_step="Make one with nullbay.lab.loops.make_loop_drive",
    )


def _require_plain(description: DriveDescription, path: Path) -> None:
    """Refuse what a loop device cannot do, rather than leave it out."""
    faults = ("unreadable", "unreadable_until_rewritten", "unwritable", "ignored_writes", "slow")
    others = ("event", "cache", "temperature", "speed_mb_s", "error_delay_ms", "read_only")
    wanted = [name for name in (*faults, *others) if getattr(description, name)]
    if description.physical_sector_bytes != description.logical_sector_bytes:
        wanted.append("physical_sector_bytes")
    if wanted:
        raise LoopError(
            f"{show(path.name)}: a loop device cannot do {', '.join(wanted)}",
            next_step="Open it as a file drive, or leave these out",
        )
