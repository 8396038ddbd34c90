"""A station whose bays any drive may be put into: the drive's kernel name says where it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from nullbay.agent.rack import status_of
from nullbay.domain.drive import Drive
from nullbay.domain.ids import BayId
from nullbay.domain.status import BayStatus
from nullbay.lab import hands
from nullbay.lab.description import DriveDescription
from nullbay.lab.description_file import read_description, write_description
from nullbay.lab.olddata import OldData
from nullbay.wipers.bays import bay_of
from support.crashes import OLD
from support.station import Bench


@dataclass
class ManyBench(Bench):
    """As its parent, but the drives in `drives` are nowhere: they only give the bays their names.

    Names of drives have lower-case letters and digits.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        bays = tuple(
            replace(one, match=f"/lab/{one.bay_id.lower()}-*") for one in self.settings.bays
        )
        self.settings = replace(self.settings, bays=bays)
        self.rack.bay_of = lambda drive: bay_of(drive, bays) or BayId("")
        self.bench = self.rack.bench()  # one that knows these bays; nothing was asked of the other

    def file(self, name: str) -> Path:
        """The description of a drive."""
        return self.folder / f"{name}.json"

    def make(self, name: str, description: DriveDescription, old_data: OldData = OLD) -> None:
        """A drive full of old data, in no bay."""
        hands.make_file_drive(self.file(name), description, old_data=old_data)
        hands.pull(self.file(name))

    def push(self, name: str, bay: str) -> None:
        """Put it into a bay, or anywhere else that is named."""
        there = replace(read_description(self.file(name)), name=f"{bay.lower()}-{name}")
        write_description(self.file(name), there)
        self.source.insert(self.file(name))

    def take(self, name: str) -> None:
        """Pull it."""
        self.source.remove(self.file(name))

    def status(self, bay: str) -> BayStatus:
        """As the station's status shows it, without the other bays."""
        place = next(one for one in self.assembly.supervisor.places if one.bay.bay_id == bay)
        return status_of(place, self.clock.boottime())

    def _device(self, drive: Drive) -> str:
        return str(self.file(drive.attachment.device_path.rpartition("-")[2]))
