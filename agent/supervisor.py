"""The supervisor: which drive is in which bay, one attendance for each, none waiting for another.

It takes arrivals and departures as they come and never waits for a drive. A drive outside the bays
is left alone and shown; a second one where there is one already is a reason to call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from nullbay.agent.attend import Attendance, House, let_go
from nullbay.agent.rack import Place
from nullbay.domain.drive import Attachment, Bay, Drive
from nullbay.domain.ids import BayId
from nullbay.domain.ports import Arrived, Departed, DriveSource
from nullbay.domain.status import Why
from nullbay.wipers.bays import bay_of


@dataclass(slots=True)
class _Bay:
    """One bay at work; `waiting` is a drive that came before the one before was let go of."""

    place: Place
    attendance: Attendance | None = None
    task: asyncio.Task[None] | None = None
    waiting: tuple[Drive, bool] | None = None


class Supervisor:
    """Attends every bay of a rack. `run` returns when the drive source ends."""

    def __init__(
        self,
        house: House,
        source: DriveSource,
        bays: Iterable[Bay],
        unmapped: Callable[[], frozenset[BayId]],
    ) -> None:
        """`unmapped`: bays whose place on the machine is not what was learned."""
        self._house, self._source, self._unmapped = house, source, unmapped
        self._bays = {bay.bay_id: _Bay(Place(bay)) for bay in bays}
        self._outside: dict[str, Drive] = {}
        self._doubled: dict[BayId, str] = {}

    @property
    def places(self) -> tuple[Place, ...]:
        """Every bay."""
        return tuple(one.place for one in self._bays.values())

    @property
    def outside(self) -> tuple[Drive, ...]:
        """Drives that are in no wipe bay: left alone."""
        return tuple(self._outside.values())

    def problems(self) -> tuple[Why, ...]:
        """Bays whose matcher fits two drives at once, and bays that have to be learned again."""
        doubled = [Why("bay.two-drives", f"{bay}: {path}") for bay, path in self._doubled.items()]
        gone = [Why("bay.topology-changed", bay) for bay in sorted(self._unmapped())]
        return (*doubled, *gone)

    def is_present(self, attachment: Attachment) -> bool:
        """Whether a drive is attached just like that in some bay now."""
        return any(
            one.drive is not None and one.drive.attachment.nodes == attachment.nodes
            for one in self.places
        )

    def attendance(self, bay: BayId) -> Attendance | None:
        """Who attends that bay now."""
        return self._bays[bay].attendance

    async def run(self) -> None:
        """Drives that are here already first: they never start by themselves."""
        for drive in self._source.present():
            self._arrived(drive, may_start=False)
        async for event in self._source.events():
            match event:
                case Arrived(drive, after_reset):
                    self._arrived(drive, may_start=not after_reset)
                case Departed(device_path):
                    self._departed(device_path)

    async def stop(self) -> None:
        """Let go of every bay; every stay is closed when this returns."""
        tasks = [one.task for one in self._bays.values() if one.task is not None]
        for one in self._bays.values():
            one.waiting = None
        await asyncio.gather(*(let_go(task) for task in tasks))

    def _arrived(self, drive: Drive, *, may_start: bool) -> None:
        bay_id = bay_of(drive, [one.place.bay for one in self._bays.values()])
        if bay_id is None or bay_id in self._unmapped():
            self._outside[drive.attachment.device_path] = drive
            self._house.changes.tell("station")
            return
        bay = self._bays[bay_id]
        if bay.task is None:
            self._begin(bay, drive, may_start=may_start)
        elif bay.place.is_gone:
            bay.waiting = (drive, may_start)
        else:
            self._doubled[bay_id] = drive.attachment.device_path
            self._outside[drive.attachment.device_path] = drive
            self._house.changes.tell("station")

    def _departed(self, device_path: str) -> None:
        if self._outside.pop(device_path, None) is not None:
            self._doubled = {k: v for k, v in self._doubled.items() if v != device_path}
            self._house.changes.tell("station")
            return
        for bay in self._bays.values():
            if bay.waiting is not None and bay.waiting[0].attachment.device_path == device_path:
                bay.waiting = None
                return
            there = bay.place.drive
            if there is not None and there.attachment.device_path == device_path:
                bay.place.is_gone = True
                bay.place.nudge.set()

    def _begin(self, bay: _Bay, drive: Drive, *, may_start: bool) -> None:
        bay.attendance = Attendance(self._house, bay.place, drive, may_start=may_start)
        bay.task = asyncio.create_task(bay.attendance.attend())
        bay.task.add_done_callback(lambda _: self._over(bay))

    def _over(self, bay: _Bay) -> None:
        """The bay is empty; whoever waited for it comes in."""
        bay.task = bay.attendance = None
        if bay.waiting is not None:
            (drive, may_start), bay.waiting = bay.waiting, None
            self._begin(bay, drive, may_start=may_start)
