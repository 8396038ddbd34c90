"""Advisory locks on files: whoever dies lets go."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from nullbay.domain.errors import NullbayError


class LockedError(NullbayError):
    """Another process holds the lock."""

    code = "station.running"


class FileLock:
    """A held lock; released by `release` or by the end of the process."""

    def __init__(self, path: Path, *, exclusive: bool) -> None:
        """Take it or raise LockedError at once."""
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(self._fd, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._fd)
            raise LockedError(
                f"another nullbay process works with {path.parent}",
                next_step="Use the running station, or wait for it to end",
            ) from None

    def release(self) -> None:
        """Let go."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
