"""Evidence archives: files named by their SHA-256, whole or not there at all.

An archive grows under a temporary name, is compared with the digest in its address, made durable
and renamed; only then the database hears of it. What a crash left under a temporary name is removed
at the next start. Blocking: called through `Work`.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
import threading
from pathlib import Path

from nullbay.domain.errors import NullbayError
from nullbay.server.db.engine import full

_NAME = re.compile(r"[0-9a-f]{64}")
_PART = re.compile(r"\.[0-9a-f]{16}\.part")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
WHAT = "an evidence archive"


class WrongDigestError(NullbayError):
    """What arrived is not what its address says."""

    code = "digest.wrong"


class EvidenceError(NullbayError):
    """The evidence folder cannot be used now."""

    code = "centre.evidence"


class Part:
    """An archive that is arriving. `keep` makes it one; `drop` leaves nothing behind.

    One call at a time, even where whoever waited for one has gone.
    """

    def __init__(self, folder: Path, sha256: str) -> None:
        self._final = _path(folder, sha256)
        self._sha256 = sha256
        self._path = folder / f".{secrets.token_hex(8)}.part"
        self._digest = hashlib.sha256()
        self._lock = threading.Lock()
        self._open = False
        self.bytes = 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        with _told():
            self._file = os.open(self._path, flags, 0o600)
        self._open = True

    def __del__(self) -> None:
        """Nobody waited for it any more."""
        self.drop()

    def write(self, data: bytes) -> None:
        """Append. Raises FullError, EvidenceError."""
        left = memoryview(data)
        with self._lock, _told():
            if not self._open:
                raise EvidenceError("the archive was dropped while it arrived")
            while left:
                left = left[os.write(self._file, left) :]
        self._digest.update(data)
        self.bytes += len(data)

    def keep(self) -> None:
        """Make it durable under its name. Raises WrongDigestError, FullError, EvidenceError."""
        if self._digest.hexdigest() != self._sha256:
            raise WrongDigestError(
                f"the archive's SHA-256 is {self._digest.hexdigest()}, not that of its address"
            )
        with self._lock, _told():
            if not self._open:
                raise EvidenceError("the archive was dropped while it arrived")
            os.fsync(self._file)
            self._close()
            if not self._final.parent.exists():
                self._final.parent.mkdir(mode=0o700, exist_ok=True)
                _sync(self._final.parent.parent)
            self._path.rename(self._final)
            _sync(self._final.parent)

    def drop(self) -> None:
        """Forget it, if it was not kept. Never raises."""
        with self._lock:
            self._close()
            try:
                self._path.unlink(missing_ok=True)
            except OSError:
                return

    def _close(self) -> None:
        if self._open:
            self._open = False
            os.close(self._file)


class Evidence:
    """The folder of archives. `reserve_bytes` of its disk stay free."""

    def __init__(self, folder: Path, *, reserve_bytes: int = 0) -> None:
        """Make the folder if it is not there; remove what a crash left. Raises EvidenceError."""
        self.folder = folder
        self._reserve_bytes = reserve_bytes
        with _told():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path in folder.iterdir():
                if _PART.fullmatch(path.name):
                    path.unlink(missing_ok=True)

    def begin(self, sha256: str, announced_bytes: int | None) -> Part:
        """Start receiving. Raises FullError where there is no room for what was announced."""
        if not _NAME.fullmatch(sha256):
            raise WrongDigestError("not a SHA-256 in lower-case hex")
        if self.free_bytes() < self._reserve_bytes + (announced_bytes or 0):
            raise full(WHAT)
        return Part(self.folder, sha256)

    def find(self, sha256: str) -> Path | None:
        """The archive's file, if it is there."""
        if not _NAME.fullmatch(sha256):
            return None
        path = _path(self.folder, sha256)
        try:
            return path if stat.S_ISREG(path.lstat().st_mode) else None
        except OSError:
            return None

    def free_bytes(self) -> int:
        """Room on its disk for this user. Raises EvidenceError."""
        with _told():
            facts = os.statvfs(self.folder)
        return facts.f_bavail * facts.f_frsize


class _told:  # noqa: N801 - reads as what it does
    """Errors of the disk as ours."""

    def __enter__(self) -> None:
        """Nothing."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Raises FullError, EvidenceError."""
        if not isinstance(error, OSError):
            return
        if error.errno in _FULL:
            raise full(WHAT) from error
        raise EvidenceError(
            f"The evidence folder cannot be used: {error.strerror or error}",
            next_step="See the folder that `server.evidence` names, its owner and its disk",
        ) from error


def _path(folder: Path, sha256: str) -> Path:
    return folder / sha256[:2] / sha256


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
