"""A host made of data: what it does with its drives, and which come and go, by virtual time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from nullbay.domain.clock import Clock
from nullbay.domain.drive import Drive
from nullbay.domain.errors import NullbayError
from nullbay.domain.ports import Arrived, Departed, DriveEvent, HostAnswer, Use, UseKind
from nullbay.lab import hands

EVENTS_MAX = 10_000


class HostError(NullbayError):
    """A simulated host was told something that cannot be."""

    code = "lab.host"


class SimulatedHostFacts:
    """`domain.ports.HostFacts` from what was told: uses and open questions by device path."""

    def __init__(self, root: Drive | None = None) -> None:
        """`root` carries the root file system; None: that cannot be determined."""
        self._root = root
        self._uses: dict[str, list[Use]] = {}
        self._undetermined: dict[str, list[str]] = {}

    def uses_of(self, drive: Drive) -> HostAnswer:
        """What was told of this drive's device path; the root drive carries the system besides."""
        path = drive.attachment.device_path
        uses = list(self._uses.get(path, ()))
        if self._root is not None and self._root.attachment.device_path == path:
            node = self._root.attachment.nodes[0].name
            uses.append(Use(node, UseKind.SYSTEM, "simulated: carries the root file system"))
        return HostAnswer(tuple(uses), tuple(self._undetermined.get(path, ())))

    def root_drive(self) -> Drive | None:
        """The drive given as root."""
        return self._root

    def use(self, drive: Drive, kind: UseKind, evidence: str) -> None:
        """From now on the host uses this drive."""
        node = drive.attachment.nodes[0].name
        uses = self._uses.setdefault(drive.attachment.device_path, [])
        uses.append(Use(node, kind, f"simulated: {evidence}"))

    def release(self, drive: Drive) -> None:
        """From now on it does not, and no question is open."""
        self._uses.pop(drive.attachment.device_path, None)
        self._undetermined.pop(drive.attachment.device_path, None)

    def leave_open(self, drive: Drive, question: str) -> None:
        """A question about this drive's use that cannot be answered."""
        self._undetermined.setdefault(drive.attachment.device_path, []).append(question)


@dataclass(frozen=True, slots=True)
class Scripted:
    """What somebody does `at_s` seconds after the script began."""

    at_s: float
    act: Callable[[], object]


class SimulatedDriveSource:
    """`domain.ports.DriveSource`: drives come and go because somebody says so.

    One consumer; `events` ends after `close`. With file drives, `insert` and `remove` are the
    hands: they put the drive's own state right and then tell.
    """

    def __init__(self, clock: Clock, present: Iterable[Drive] = ()) -> None:
        """`present` are there from the beginning and do not arrive."""
        self._clock = clock
        self._present = {drive.attachment.device_path: drive for drive in present}
        self._untold: deque[DriveEvent] = deque()
        self._something = asyncio.Event()
        self._closed = False

    def present(self) -> tuple[Drive, ...]:
        """Every drive that is there now, in the order of arrival."""
        return tuple(self._present.values())

    async def events(self) -> AsyncIterator[DriveEvent]:
        """Arrivals and departures in order, until closed."""
        while True:
            while self._untold:
                yield self._untold.popleft()
            if self._closed:
                return
            self._something.clear()
            await self._something.wait()

    def arrive(self, drive: Drive) -> None:
        """A drive is there. Raises HostError where its place is taken."""
        path = drive.attachment.device_path
        if path in self._present:
            raise HostError(f"{path} is taken", next_step="Let its drive depart first")
        self._tell(Arrived(drive))
        self._present[path] = drive

    def depart(self, device_path: str) -> None:
        """A drive is gone. Raises HostError where there is none."""
        if device_path not in self._present:
            raise HostError(f"{device_path} has no drive", next_step="Let one arrive first")
        self._tell(Departed(device_path))
        del self._present[device_path]

    def insert(self, description: Path, *, as_other: bool = False) -> Drive:
        """Plug a file drive in (again, where it was pulled) and let it arrive."""
        if not hands.is_attached(description):
            hands.put_back(description, as_other=as_other)
        drive = hands.look(description, self._clock)
        self.arrive(drive)
        return drive

    def remove(self, description: Path) -> None:
        """Pull a file drive and let it depart."""
        device_path = hands.device_path(description)
        hands.pull(description)
        self.depart(device_path)

    def close(self) -> None:
        """No more events: the consumer's loop ends after those already told."""
        self._closed = True
        self._something.set()

    async def play(self, script: Iterable[Scripted]) -> None:
        """Do everything in the script at its time, in order of time."""
        began_s = self._clock.boottime()
        for step in sorted(script, key=lambda step: step.at_s):
            await self._clock.sleep(max(0.0, began_s + step.at_s - self._clock.boottime()))
            step.act()

    def _tell(self, event: DriveEvent) -> None:
        if self._closed or len(self._untold) >= EVENTS_MAX:
            raise HostError(
                "nobody takes the events of this source", next_step="Read events() while it plays"
            )
        self._untold.append(event)
        self._something.set()
