"""Which drives came and went, from whole lists: pure, so that any storm of events can be tried.

An event is a hint that something changed, never what changed. What counts is the difference
between what sysfs lists and what was told before; therefore nothing can get lost, arrive twice, or
grow without bound.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from nullbay.agent.places import place_of
from nullbay.domain.drive import Drive
from nullbay.domain.ids import IdentityKey
from nullbay.domain.ports import Arrived, Departed, DriveEvent

UNSETTLED_MAX = 1024
"""Devices waited for at once; beyond it all of them are waited for together."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How patient discovery is, in seconds.

    `settle_s`: quiet time after a device's last event; `settle_max_s`: a device that never gets
    quiet is listed all the same. `spacing_s`: from one listing to the next, whatever happens.
    `relist_s`: everything, always. `patience_s`: when a listing counts as stalled. `reset_s`: a
    drive back in its place within it was not plugged in anew. `retry_s`: after a listing failed.
    `reopen_s`, `reopen_max_s`: first and longest wait before events are asked for again.
    """

    settle_s: float = 2.0
    settle_max_s: float = 15.0
    spacing_s: float = 0.5
    relist_s: float = 60.0
    retry_s: float = 10.0
    patience_s: float = 20.0
    reset_s: float = 30.0
    reopen_s: float = 1.0
    reopen_max_s: float = 60.0


class Settling:
    """Devices that had an event, by kernel name, and when each counts as quiet."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._waiting: dict[str, tuple[float, float]] = {}
        self._together: tuple[float, float] | None = None

    def noticed(self, name: str, at_s: float) -> None:
        """Something happened to this device."""
        if name not in self._waiting and len(self._waiting) >= UNSETTLED_MAX:
            first = self._together[0] if self._together else at_s
            self._together = (first, at_s)
            return
        first = self._waiting[name][0] if name in self._waiting else at_s
        self._waiting[name] = (first, at_s)

    @property
    def names(self) -> frozenset[str]:
        """Devices that are not quiet yet, as far as they are known one by one."""
        return frozenset(self._waiting)

    @property
    def is_overrun(self) -> bool:
        """Whether more devices had events than are known one by one."""
        return self._together is not None

    def due_s(self) -> float | None:
        """When the next device gets quiet; None while all are."""
        moments = [*self._waiting.values(), *([self._together] if self._together else [])]
        return min((self._quiet_s(moment) for moment in moments), default=None)

    def take_settled(self, at_s: float) -> bool:
        """Forget the devices that are quiet by now; whether there were any."""
        ready = [name for name, moment in self._waiting.items() if self._quiet_s(moment) <= at_s]
        for name in ready:
            del self._waiting[name]
        if self._together is not None and self._quiet_s(self._together) <= at_s:
            self._together = None
            return True
        return bool(ready)

    def _quiet_s(self, moment: tuple[float, float]) -> float:
        first, last = moment
        longest_s = max(self._pace.settle_s, self._pace.settle_max_s)
        return min(last + self._pace.settle_s, first + longest_s)


def is_same_stay(one: Drive, other: Drive) -> bool:
    """Whether two lists saw one drive that stayed: same place, same disk of the kernel.

    The kernel numbers every disk it makes (diskseq), so a re-plug under the same name differs
    (reference/lab.md 5); a drive keeps one such number while namespaces or paths come and go.
    """
    return one.identity.key == other.identity.key and _shares_disk(one, other)


def _shares_disk(one: Drive, other: Drive) -> bool:
    here, there = one.attachment, other.attachment
    if here.device_path != there.device_path or here.boot_id != there.boot_id:
        return False
    numbers = {node.diskseq for node in here.nodes if node.diskseq}
    others = {node.diskseq for node in there.nodes if node.diskseq}
    if numbers or others:
        return bool(numbers & others)
    return bool({n.devnum for n in here.nodes} & {n.devnum for n in there.nodes})


def _numbers(drive: Drive) -> frozenset[tuple[str, int]]:
    """The kernel's disks that a drive is: they outlast a change of its first path."""
    there = drive.attachment
    return frozenset((there.boot_id, node.diskseq) for node in there.nodes if node.diskseq)


@dataclass(frozen=True, slots=True)
class _Stay:
    drive: Drive
    after_reset: bool = False


class Presence:
    """What is there, what was told of it, and who has just left."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._there: dict[str, _Stay] = {}
        self._told: dict[str, _Stay] = {}
        self._left: dict[tuple[str, IdentityKey], tuple[str, float]] = {}
        self._gone: dict[tuple[str, int], float] = {}
        self._doubted: dict[str, IdentityKey] = {}

    def begin(self, drives: Iterable[Drive]) -> None:
        """The first list: these were there before anybody looked, and do not arrive."""
        self._there = {drive.attachment.device_path: _Stay(drive) for drive in drives}
        self._told = dict(self._there)

    def listed(
        self,
        drives: Iterable[Drive],
        at_s: float,
        *,
        unsettled: frozenset[str] = frozenset(),
        all_unsettled: bool = False,
        were_there: bool = False,
    ) -> frozenset[str]:
        """Take a new list. Returns the kernel names that have to be looked at once more.

        A drive with an unsettled node may leave but not arrive. One that left its place just
        before, or that the kernel did not even make anew, was not plugged in. Where the disk is the
        same and its identity suddenly another, two lists in a row must say so: sysfs may have been
        read while the drive did not answer. `were_there` marks every arrival as not plugged in.
        """
        now = {drive.attachment.device_path: drive for drive in drives}
        numbers = {number for stay in self._there.values() for number in _numbers(stay.drive)}
        again: set[str] = set()
        there: dict[str, _Stay] = {}
        doubted: dict[str, IdentityKey] = {}
        arriving: list[tuple[str, Drive]] = []
        for path, drive in now.items():
            old = self._there.get(path)
            if old is not None and is_same_stay(old.drive, drive):
                there[path] = replace(old, drive=drive)
                continue
            if old is not None and _shares_disk(old.drive, drive):
                key = drive.identity.key
                if self._doubted.get(path) != key:
                    doubted[path] = key
                    again |= {node.name for node in drive.attachment.nodes}
                    there[path] = old
                    continue
            arriving.append((path, drive))
        for path, stay in self._there.items():
            if path not in there:
                self._leaves(stay.drive, at_s)
        for path, drive in arriving:
            if not (all_unsettled or unsettled & {node.name for node in drive.attachment.nodes}):
                stayed = bool((numbers | self._gone.keys()) & _numbers(drive))
                back = were_there or stayed or self._was_here(drive, at_s)
                there[path] = _Stay(drive, back)
        self._there, self._doubted = there, doubted
        self._left = {
            who: (digest, left_s)
            for who, (digest, left_s) in self._left.items()
            if at_s - left_s <= self._pace.reset_s
        }
        self._gone = {
            number: left_s
            for number, left_s in self._gone.items()
            if at_s - left_s <= self._pace.reset_s
        }
        return frozenset(again)

    def next_event(self) -> DriveEvent | None:
        """The next thing to tell, departures first; it counts as told. None when all is told."""
        for path, stay in self._told.items():
            now = self._there.get(path)
            if now is None or not is_same_stay(stay.drive, now.drive):
                del self._told[path]
                return Departed(path)
        for path, stay in self._there.items():
            told = self._told.get(path)
            if told is None:
                self._told[path] = stay
                return Arrived(stay.drive, after_reset=stay.after_reset)
            if told is not stay:
                self._told[path] = stay
        return None

    def present(self) -> tuple[Drive, ...]:
        """The drives that were told to be there, as last listed."""
        return tuple(
            self._there[path].drive
            if path in self._there and is_same_stay(stay.drive, self._there[path].drive)
            else stay.drive
            for path, stay in self._told.items()
        )

    def _leaves(self, drive: Drive, at_s: float) -> None:
        who = (place_of(drive.attachment.device_path), drive.identity.key)
        self._left[who] = (drive.identity.identify_sha256, at_s)
        self._gone.update(dict.fromkeys(_numbers(drive), at_s))

    def _was_here(self, drive: Drive, at_s: float) -> bool:
        """Whether this drive left this place a moment ago; its path may be another by now."""
        who = (place_of(drive.attachment.device_path), drive.identity.key)
        if who not in self._left:
            return False
        digest, left_s = self._left[who]
        # equal keys of nameless drives prove nothing
        same = drive.identity.is_strong or digest == drive.identity.identify_sha256
        return same and at_s - left_s <= self._pace.reset_s
