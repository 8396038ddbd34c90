"""Learning bays: plug a drive in, scan its label, and the place it is in is the bay (bench.md).

What is learned stands in the configuration directory: `bays-learned.toml`, read like any other
file there, and beside it `bays-learned.json` with what has to hold for the paths to mean the same
places (wipers/platform/bayprint.py). Written by one at a time; complete or not at all; and only if
the whole configuration is sound with it.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nullbay.agent.places import lasting_path
from nullbay.config.aliases import Match, Near, is_bridged, same_drive
from nullbay.config.check import check
from nullbay.config.problems import ConfigError, Problem
from nullbay.config.settings_tables import SCHEMA
from nullbay.config.source import read_source, require_schema
from nullbay.domain.clock import Clock, Stamp
from nullbay.domain.drive import Bay, Drive
from nullbay.domain.errors import NullbayError
from nullbay.domain.method import Transport
from nullbay.domain.ports import Arrived, Departed, DriveEvent, DriveSource
from nullbay.domain.text import show
from nullbay.wipers.appendfile import write_durably
from nullbay.wipers.bays import VIRTUAL, bay_of
from nullbay.wipers.platform import bayprint
from nullbay.wipers.platform.bayprint import Bayprint, now_of, read_bayprints, unmapped
from nullbay.wipers.platform.filelock import FileLock
from nullbay.wipers.platform.sysfs import DEFAULT_ROOTS, Roots
from nullbay.wipers.platform.topology import anchors_of, sas_place, slot_of

__all__ = [
    "FILE_NAME",
    "Lesson",
    "LessonError",
    "lasting_match",
    "lesson",
    "now_of",
    "one_new_drive",
    "read_bayprints",
    "require_label",
    "save",
    "unmapped",
]

FILE_NAME = "bays-learned.toml"
LOCK_NAME = ".bays-learned.lock"
TOGETHER_S = 3.0
"""Two drives plugged in within this time could be meant both."""

_LITERALLY = frozenset({Transport.LOOP, Transport.VIRTIO, Transport.FABRICS})
_WILDCARDS = frozenset("*?[")


class LessonError(NullbayError):
    """Nothing was learned and nothing was changed.

    Codes: bays.none-came, bays.several, bays.label, bays.path-not-lasting, bays.ambiguous,
    bays.file-edited.
    """

    def __init__(self, code: str, message: str, next_step: str) -> None:
        """`code` as listed above."""
        super().__init__(message, next_step=next_step, code=code)


@dataclass(frozen=True, slots=True)
class Lesson:
    """The place a drive is in: what matches it, and what has to hold for that."""

    match: str
    print: Bayprint


async def one_new_drive(source: DriveSource, clock: Clock, *, patience_s: float) -> Drive:
    """The one drive that is plugged in now. A drive that leaves again is not it.

    Raises LessonError bays.none-came, and bays.several where more than one comes.
    """
    until_s = clock.boottime() + patience_s
    drive: Drive | None = None
    while True:
        event = await _next(source, clock, until_s - clock.boottime())
        match event:
            case None if drive is not None:
                return drive
            case None:
                raise LessonError("bays.none-came", "no drive was plugged in", "Try again")
            case Arrived() if drive is not None:
                raise LessonError(
                    "bays.several",
                    "more than one drive was plugged in",
                    "Take them out, and plug in one",
                )
            case Arrived(came):
                drive = came
                until_s = clock.boottime() + TOGETHER_S
            case Departed(device_path):
                if drive is not None and drive.attachment.device_path == device_path:
                    drive = None
                    until_s = clock.boottime() + patience_s


async def _next(source: DriveSource, clock: Clock, wait_s: float) -> DriveEvent | None:
    events: AsyncIterator[DriveEvent] = source.events()
    with suppress(TimeoutError, StopAsyncIteration):
        async with clock.timeout(max(0.0, wait_s)):
            return await anext(events)
    return None


def require_label(label: str, drive: Drive) -> None:
    """The scanned label names this drive. Raises LessonError bays.label, saying how near it is."""
    likeness = same_drive(label, drive.identity, bridged=is_bridged(drive))
    if isinstance(likeness, Match):
        return
    told = drive.identity.serial.shown or drive.identity.wwn or "no serial at all"
    near = f" (near: {likeness.why})" if isinstance(likeness, Near) else ""
    raise LessonError(
        "bays.label",
        f"the label says {show(label)!r}, the drive that came says {told!r}{near}",
        "Look which drive it is: another one may have come at the same moment",
    )


def lasting_match(drive: Drive, *, roots: Roots = DEFAULT_ROOTS) -> str:
    """A matcher for whatever drive is in this place, from this one's path.

    Numbers that the kernel gives anew at each plugging become wildcards; PCI addresses, SATA ports,
    USB ports and SCSI target numbers stay. SAS ports and end devices are numbered in the order in
    which they come: there expander and phy name the place. Raises LessonError bays.path-not-lasting
    where sysfs does not tell them.
    """
    path = drive.attachment.device_path
    if place := sas_place(path, roots=roots):
        return place
    if path.startswith(VIRTUAL) or drive.observed.transport in _LITERALLY:
        return path
    if not path.startswith("/sys/devices/"):
        return path
    lasting = "" if _WILDCARDS & set(path) else lasting_path(path)
    if not lasting:
        raise LessonError(
            "bays.path-not-lasting",
            f"nothing in {show(path, 300)} names the slot: its numbers are given anew each time",
            "Another adapter, or a driver that tells phys, is needed for this place",
        )
    return lasting


def lesson(
    drive: Drive, bay: Bay, present: Iterable[Drive], at: Stamp, *, roots: Roots = DEFAULT_ROOTS
) -> Lesson:
    """What is to be learned from this drive; the matcher in `bay` is not looked at.

    Raises LessonError: bays.path-not-lasting, and bays.ambiguous where the matcher would take
    another drive that is here too, or not this one.
    """
    match = lasting_match(drive, roots=roots)
    path = drive.attachment.device_path
    learned = replace(bay, match=match)
    taken = [
        one.attachment.device_path
        for one in (drive, *present)
        if bay_of(one, [learned], roots=roots) is not None
    ]
    if set(taken) != {path}:
        others = ", ".join(sorted(set(taken) - {path})) or "nothing"
        raise LessonError("bays.ambiguous", f"{match} would mean {others}", "Write the bay by hand")
    slot, anchors = slot_of(path, roots=roots), anchors_of(path, roots=roots)
    return Lesson(match, Bayprint(bay.bay_id, match, slot, anchors, at))


def save(directory: Path, bay: Bay, learned: Lesson) -> None:
    """Add the bay to the learned ones, or replace the one of that id.

    Raises ConfigError with every problem the configuration would have (an id or place that another
    bay has, for one), LessonError bays.file-edited, MalformedError, LockedError, OSError; then
    nothing was changed.
    """
    lock = FileLock(directory / LOCK_NAME, exclusive=True)
    try:
        file = directory / FILE_NAME
        text = _with(_read(file), replace(bay, match=learned.match)).encode()
        prints = [one for one in read_bayprints(directory) if one.bay != bay.bay_id]
        _require_sound(directory, text)
        # A print without its bay says nothing; a bay without its print would stand unquestioned.
        write_durably(
            directory / bayprint.FILE_NAME,
            bayprint.written_bayprints([*prints, learned.print]),
            mode=0o644,
        )
        write_durably(file, text, mode=0o644)
    finally:
        lock.release()


def _read(file: Path) -> list[dict[str, Any]]:
    """The tables of the learned bays, with what people added to them."""
    if not file.exists():
        return []
    # alone it need not be sound: a default policy may stand in another file
    source = read_source(file)
    require_schema(source, SCHEMA)
    data = source.data
    if data.keys() - {"schema", "bay"}:
        raise LessonError(
            "bays.file-edited",
            f"{FILE_NAME} holds more than bays, which would be lost",
            "Move everything but the bays to another file",
        )
    tables = data.get("bay", [])
    if not (isinstance(tables, list) and all(isinstance(one, dict) for one in tables)):
        raise LessonError(
            "bays.file-edited", f"{FILE_NAME} holds no list of bays", "Mend it, or remove it"
        )
    return tables


def _with(tables: list[dict[str, Any]], bay: Bay) -> str:
    """The file's text with this bay in it; a bay of that id keeps what else was said of it."""
    place = {"id": bay.bay_id, "row": bay.row, "column": bay.column, "match": bay.match}
    if any(one.get("id") == bay.bay_id for one in tables):
        tables = [{**one, **place} if one.get("id") == bay.bay_id else one for one in tables]
    else:
        tables = [*tables, place]
    lines = [
        "# Written by `nullbay bays learn`; it keeps added keys, but no comments.",
        f'schema = "{SCHEMA}"',
    ]
    for table in tables:
        lines += ["", "[[bay]]", *(f"{key} = {_value(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    """Texts, numbers and truth values: a bay has nothing else (config/settings_tables.py)."""
    match value:
        case str():
            return _quoted(value)
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case _:
            raise LessonError(
                "bays.file-edited",
                f"{FILE_NAME} holds a value that would be lost",
                "Give bays texts, numbers and truth values only",
            )


def _quoted(text: str) -> str:
    """A TOML basic string; whatever is not plain is escaped."""
    parts = (
        one
        if " " <= one <= "~" and one not in '"\\'
        else f"\\{one}"
        if one in '"\\'
        else f"\\U{ord(one):08x}"
        for one in text.encode("utf-8", "replace").decode()
    )
    return '"' + "".join(parts) + '"'


def _require_sound(directory: Path, text: bytes) -> None:
    """The configuration as it would be, beside the real one so that relative paths hold."""
    with _beside(directory) as trial:
        for entry in directory.iterdir():
            if entry.name not in (FILE_NAME, LOCK_NAME):
                (trial / entry.name).symlink_to(entry.absolute())
        (trial / FILE_NAME).write_bytes(text)
        problems = check(trial)
        prefix, real = f"{trial}/", f"{directory}/"
    if problems:
        raise ConfigError(
            Problem(
                one.file.replace(prefix, real),
                one.line,
                one.key,
                one.message.replace(prefix, real),
                one.right,
            )
            for one in problems
        )


@contextmanager
def _beside(directory: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=".nullbay-check-", dir=directory.parent) as trial:
        yield Path(trial)
