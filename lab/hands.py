"""What people do with drives made of software: make them, look, pull, put back, cut the power.

Each hand takes its turn between two commands of whoever holds the drive, in whatever process.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from nullbay.domain.clock import Clock
from nullbay.domain.drive import Drive
from nullbay.lab.description import DriveDescription
from nullbay.lab.description_file import read_description, write_description
from nullbay.lab.files import absent
from nullbay.lab.medium import Medium, curable_sectors
from nullbay.lab.olddata import OldData
from nullbay.lab.sight import Thermometer, device_path_of, see
from nullbay.lab.state import DriveFiles, Slot, StateError, make_state


def make_file_drive(
    path: Path, description: DriveDescription | None = None, *, old_data: OldData | None = None
) -> Path:
    """Make the files of a new drive beside `path` and return `path`; old ones are replaced.

    With a description it is written to `path` (JSON); without, `path` is read. The medium is sparse
    and holds `old_data`, which the other drive (table [other]) gets with the next seed.
    """
    if description is None:
        description = read_description(path)
    else:
        write_description(path, description)
    files = DriveFiles(path)
    for old in (files.state, files.cache(0), files.cache(1), files.image, files.other_image):
        old.unlink(missing_ok=True)
    images = [files.image] if description.other is None else [files.image, files.other_image]
    for number, image in enumerate(images):
        with image.open("xb") as file:
            file.truncate(description.size_bytes)
        if old_data is not None:
            mine = replace(old_data, seed=old_data.seed + number)
            mine.fill(image, description.sectors, description.logical_sector_bytes)
    make_state(files, sectors=description.sectors, curable=curable_sectors(description))
    with _hands_on(path) as medium:
        medium.state[Slot.READ_ONLY] = int(description.read_only)
    return path


def look(path: str | Path, clock: Clock) -> Drive:
    """The drive as its host's listing shows it, without holding it.

    Raises DeviceNotFoundError where it is pulled.
    """
    with _hands_on(Path(path)) as medium:
        if not medium.state[Slot.ATTACHED]:
            raise absent(medium.files, medium.description)
        return see(medium, clock, Thermometer(medium.description.temperature, clock.boottime()))


def is_attached(path: str | Path) -> bool:
    """Whether it is plugged in."""
    with _hands_on(Path(path)) as medium:
        return bool(medium.state[Slot.ATTACHED])


def device_path(path: str | Path) -> str:
    """Where the host sees it, plugged in or not."""
    return device_path_of(DriveFiles(Path(path)), read_description(Path(path)))


def pull(path: str | Path) -> None:
    """Take it out: power lost and with it the cache, every open handle dead. Twice is harmless."""
    with _hands_on(Path(path)) as medium:
        if medium.state[Slot.ATTACHED]:
            medium.state[Slot.ATTACHED] = 0
            medium.cut_power()


def put_back(path: str | Path, *, as_other: bool = False) -> None:
    """Plug it in again, or the drive of [other] instead: a new disk sequence number.

    Raises StateError where it is in already.
    """
    with _hands_on(Path(path)) as medium:
        if medium.state[Slot.ATTACHED]:
            raise StateError("the drive is plugged in already", next_step="Pull it first")
        if as_other:
            _ = medium.description.other_identity
        medium.state[Slot.IS_OTHER] = int(as_other)
        medium.state.add(Slot.INSERTIONS, 1)
        medium.state[Slot.ATTACHED] = 1


def cut_power(path: str | Path) -> None:
    """Lose the cache while nobody notices: no handle dies, the attachment stays."""
    with _hands_on(Path(path)) as medium:
        medium.cut_power()


@contextlib.contextmanager
def _hands_on(path: Path) -> Iterator[Medium]:
    """The drive between two of its commands, whoever holds it."""
    medium = Medium(read_description(path), DriveFiles(path))
    try:
        with medium.turn.taken():
            yield medium
    finally:
        medium.close()
