"""The demo's rack: nine drives made of software, what each does, and how it should end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from nullbay.domain.method import MediaKind
from nullbay.domain.verdict import Verdict
from nullbay.lab import hands, loops
from nullbay.lab.description import DriveDescription, LbaSpan
from nullbay.lab.olddata import OldData

MB = 1_000_000
OLD_SEED = 2026


@dataclass(frozen=True, slots=True)
class Ending:
    """How a drive should end: a verdict with a reason, or refusal with a code; perhaps resumed."""

    verdict: Verdict | None
    code: str = ""
    sessions: int = 1


@dataclass(frozen=True, slots=True)
class DemoDrive:
    """One drive of the rack. `pull_at` is the share of the first pass at which it is pulled."""

    bay: str
    story: str
    description: DriveDescription
    policy: str
    ending: Ending
    pull_at: float = 0.0
    is_system: bool = False
    as_loop: bool = False
    on_manifest: bool = True

    @property
    def place(self) -> tuple[int, int]:
        """Row and column on the rack, three in a row."""
        number = int(self.bay[1:]) - 1
        return number // 3 + 1, number % 3 + 1

    @property
    def asset_tag(self) -> str:
        """The customer's tag on it."""
        return f"AT-{self.description.serial[-4:]}"


def rack() -> tuple[DemoDrive, ...]:
    """Good ones, a bad, a pulled, a lying, the system's own, one to shred, a surplus one."""
    hdd = DriveDescription(
        sectors=400_000,
        model="NB-LAB HDD 200",
        serial="LAB-HDD-0001",
        wwn="5000c500a0000001",
        speed_mb_s=60,
    )
    return (
        DemoDrive(
            "A1",
            "a good hard disk, 512-byte sectors",
            hdd,
            "nist-clear",
            Ending(Verdict.SANITIZED),
            as_loop=True,
        ),
        DemoDrive(
            "A2",
            "a good solid-state drive, 4096-byte sectors",
            DriveDescription(
                sectors=36_621,
                model="NB-LAB SSD 150",
                serial="LAB-SSD-0002",
                media=MediaKind.FLASH,
                logical_sector_bytes=4096,
                physical_sector_bytes=4096,
            ),
            "nist-clear",
            Ending(Verdict.SANITIZED),
            as_loop=True,
        ),
        DemoDrive(
            "A3",
            "a hard disk with sectors that cannot be written",
            replace(
                hdd,
                serial="LAB-HDD-0003",
                wwn="5000c500a0000003",
                unwritable=(LbaSpan(250_000, 250_007),),
            ),
            "nist-clear",
            Ending(Verdict.NOT_SANITIZED, "overwrite.unwritable"),
        ),
        DemoDrive(
            "A4",
            "a hard disk pulled half-way and put back",
            replace(hdd, serial="LAB-HDD-0004", wwn="5000c500a0000004"),
            "nist-clear",
            Ending(Verdict.SANITIZED, sessions=2),
            pull_at=0.5,
        ),
        DemoDrive(
            "A5",
            "a drive that says yes to writes and ignores some",
            replace(
                hdd,
                serial="LAB-HDD-0005",
                wwn="5000c500a0000005",
                ignored_writes=(LbaSpan(100_000, 180_000),),
            ),
            "nist-clear",
            Ending(Verdict.NOT_SANITIZED, "verification.mismatch"),
        ),
        DemoDrive(
            "A6",
            "the station's own disk, in a bay by mistake",
            replace(hdd, serial="LAB-SYS-0006", wwn="5000c500a0000006"),
            "nist-clear",
            Ending(None, "guard.system-drive"),
            is_system=True,
            on_manifest=False,
        ),
        DemoDrive(
            "A7",
            "a drive that only knows overwrite, where a purge is required",
            replace(hdd, serial="LAB-OLD-0007", wwn="5000c500a0000007"),
            "nist-purge",
            Ending(None, "plan.held-for-destruction"),
        ),
        DemoDrive(
            "A8",
            "another good hard disk",
            replace(hdd, serial="LAB-HDD-0008", wwn="5000c500a0000008"),
            "nist-clear",
            Ending(Verdict.SANITIZED),
            as_loop=True,
        ),
        DemoDrive(
            "A9",
            "a good hard disk that no line of the manifest names",
            replace(hdd, serial="LAB-HDD-0010", wwn="5000c500a0000010"),
            "nist-clear",
            Ending(Verdict.SANITIZED),
            as_loop=True,
            on_manifest=False,
        ),
    )


MISSING = ("LAB-HDD-0009", "AT-0009")
"""On the manifest, and never arrived."""


def manifest() -> bytes:
    """What the customer says the pallet holds: eight drives, of which one does not come."""
    lines = [
        (one.description.serial, one.asset_tag, one.description.model)
        for one in rack()
        if one.on_manifest
    ]
    lines.append((*MISSING, "NB-LAB HDD 200"))
    return "\n".join(["Serial,Asset tag,Model", *(",".join(one) for one in lines), ""]).encode()


class Plugged:
    """A drive of the rack with its files, in a bay or out of it."""

    def __init__(self, drive: DemoDrive, folder: Path, stack: ExitStack, *, as_loop: bool) -> None:
        """Make its files, full of old data, and plug it in."""
        self.drive = drive
        self._path = folder / f"{drive.bay}.json"
        self._old = OldData(OLD_SEED)
        self._image: Callable[[], Path]
        self._loop: loops.LoopDevice | None = None
        if as_loop:
            # a loop device is as fast as its file
            description = replace(drive.description, speed_mb_s=0)
            self._loop = stack.enter_context(
                loops.make_loop_drive(self._path, description, old_data=self._old)
            )
        else:
            hands.make_file_drive(self._path, drive.description, old_data=self._old)

    @property
    def device(self) -> str:
        """What to open now."""
        return self._loop.device if self._loop else str(self._path)

    def pull(self) -> None:
        """Take it out."""
        if self._loop:
            self._loop.pull()
        else:
            hands.pull(self._path)

    def put_back(self) -> None:
        """Plug it in again."""
        if self._loop:
            self._loop.put_back()
        else:
            hands.put_back(self._path)

    def old_bytes_left(self) -> int:
        """Bytes of old data on the medium, by reading the backing file, not by asking the drive."""
        ranges = self._old.left_on(
            self._path.with_suffix(".img"), self.drive.description.logical_sector_bytes
        )
        return sum(one.length for one in ranges)
