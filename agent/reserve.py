"""Room on the disk, set aside before a drive is touched.

A wipe whose evidence cannot be kept would be a wipe without a record.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from nullbay.domain.errors import NullbayError
from nullbay.domain.ids import InsertionId

FOLDER = "reserve"


class DiskFullError(NullbayError):
    """There is no room for the evidence of one more job; nothing was begun."""

    code = "station.disk-full"


class Reserve:
    """One file of a fixed size for each job under way; what a dead process left is given back."""

    def __init__(self, state: Path, bytes_per_job: int) -> None:
        """`state` is the state directory."""
        self._folder, self._bytes_per_job = state / FOLDER, bytes_per_job
        self._folder.mkdir(mode=0o700, exist_ok=True)
        for left in self._folder.iterdir():
            left.unlink()

    def take(self, insertion: InsertionId) -> None:
        """Set room aside. Raises DiskFullError where there is none; then nothing is kept."""
        if not self._bytes_per_job:
            return
        path = self._folder / insertion
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, self._bytes_per_job)
        except OSError as error:
            path.unlink()
            raise DiskFullError(
                f"no room for {self._bytes_per_job} bytes in {self._folder.parent}",
                next_step="Make room in the state directory",
            ) from error
        finally:
            os.close(descriptor)

    def has_room(self) -> bool:
        """Whether one more job could be taken in now."""
        there = os.statvfs(self._folder)
        return there.f_bavail * there.f_frsize >= self._bytes_per_job

    def give_back(self, insertion: InsertionId) -> None:
        """The job's evidence is about to be written, or there will be none."""
        with suppress(FileNotFoundError):
            (self._folder / insertion).unlink()
