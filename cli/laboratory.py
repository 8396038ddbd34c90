"""`nullbay lab …`: make drives of software and move them about."""

from __future__ import annotations

from typing import Any

from nullbay.cli import context, output
from nullbay.lab import hands
from nullbay.lab.olddata import OldData
from nullbay.lab.state import DriveFiles


def make(arguments: Any) -> int:
    """Make the files of the drive that a description describes."""
    image = DriveFiles(arguments.path).image
    if image == arguments.path or (image.exists() and not arguments.force):
        raise context.UsageError(f"{image} is there already", next_step="Say --force to replace it")
    old = OldData(arguments.old_data) if arguments.old_data is not None else None
    return _told(arguments, "made", hands.make_file_drive(arguments.path, old_data=old))


def pull(arguments: Any) -> int:
    """Take it out."""
    hands.pull(arguments.path)
    return _told(arguments, "pulled", None)


def put_back(arguments: Any) -> int:
    """Plug it in again."""
    hands.put_back(arguments.path)
    return _told(arguments, "plugged in", None)


def _told(arguments: Any, what: str, _: object) -> int:
    drive = None if what == "pulled" else hands.look(arguments.path, context.make_clock())
    if arguments.json:
        output.emit(
            "lab", path=str(arguments.path), done=what, confirm=drive.confirm if drive else None
        )
    else:
        output.say(
            f"{arguments.path}: {what}" + (f"; confirm with {drive.confirm}" if drive else "")
        )
    return 0


COMMANDS = {"lab make": make, "lab pull": pull, "lab put-back": put_back}
