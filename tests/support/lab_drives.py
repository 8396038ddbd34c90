"""Drives made of software for tests: made, opened, read and written in few words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from nullbay.domain.clock import SystemClock
from nullbay.domain.ports import BlockPort, PortError
from nullbay.lab.description import DriveDescription, OtherDrive
from nullbay.lab.files import FileDrive, abandon, open_file_drive
from nullbay.lab.hands import make_file_drive
from nullbay.lab.olddata import OldData

PLAIN = DriveDescription(sectors=1001, model="LAB DISK", serial="LAB-1")
ADVANCED = replace(PLAIN, sectors=1003, physical_sector_bytes=4096)
OTHER = OtherDrive(model="LAB DISK", serial="LAB-2")
CLOCK = SystemClock()


def made(folder: Path, description: DriveDescription, old_data: OldData | None = None) -> Path:
    return make_file_drive(folder / "drive.json", description, old_data=old_data)


def opened(
    folder: Path, description: DriveDescription, old_data: OldData | None = None
) -> FileDrive:
    abandon(folder / "drive.json")
    return open_file_drive(made(folder, description, old_data), CLOCK)


def read(port: BlockPort, lba: int, sectors: int = 1) -> bytes:
    buffer = bytearray(sectors * port.geometry.logical_sector_bytes)
    port.read_into(lba * port.geometry.logical_sector_bytes, memoryview(buffer))
    return bytes(buffer)


def write(port: BlockPort, lba: int, data: bytes) -> None:
    port.write_from(lba * port.geometry.logical_sector_bytes, memoryview(data))


def refused(port: BlockPort, lba: int, data: bytes) -> PortError:
    with pytest.raises(PortError) as caught:
        write(port, lba, data)
    return caught.value


def unread(port: BlockPort, lba: int, sectors: int = 1) -> PortError:
    with pytest.raises(PortError) as caught:
        read(port, lba, sectors)
    return caught.value
