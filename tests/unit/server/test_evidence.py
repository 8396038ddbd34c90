"""Evidence files: durable before anybody hears of them, and nothing half."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from nullbay.server.db.engine import FullError
from nullbay.server.evidence import Evidence, EvidenceError, WrongDigestError

DATA = b"an archive" * 1000
NAME = hashlib.sha256(DATA).hexdigest()


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if not path.is_dir())


def test_it_is_durable_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence = Evidence(tmp_path / "evidence")
    done: list[str] = []
    real_sync, real_rename = os.fsync, Path.rename

    def sync(descriptor: int) -> None:
        done.append("sync " + Path(f"/proc/self/fd/{descriptor}").readlink().name[:8])
        real_sync(descriptor)

    def rename(self: Path, target: Any) -> Path:
        done.append("rename")
        return real_rename(self, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "rename", rename)
    part = evidence.begin(NAME, len(DATA))
    part.write(DATA)
    part.keep()
    assert done[0].startswith("sync .")
    assert done[1:] == ["sync evidence", "rename", f"sync {NAME[:2]}"]
    found = evidence.find(NAME)
    assert found is not None
    assert found.read_bytes() == DATA
    assert found.stat().st_mode & 0o777 == 0o600


def test_what_is_not_kept_leaves_nothing(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path)
    part = evidence.begin(NAME, None)
    part.write(DATA[:-1])
    with pytest.raises(WrongDigestError):
        part.keep()
    part.drop()
    part.drop()
    assert files(tmp_path) == []
    # Whoever still held it cannot write into a file that is somebody else's by now.
    part = evidence.begin(NAME, None)
    part.write(DATA)
    part.drop()
    with pytest.raises(EvidenceError):
        part.write(b"more")
    with pytest.raises(EvidenceError):
        part.keep()
    assert files(tmp_path) == []


def test_leftovers_of_a_crash_are_removed_and_nothing_else(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path)
    part = evidence.begin(NAME, None)
    part.write(DATA)
    (tmp_path / "somebody's").write_bytes(b"file")
    assert len(files(tmp_path)) == 2
    Evidence(tmp_path)
    assert files(tmp_path) == ["somebody's"]
    part.drop()
    part = evidence.begin(NAME, None)
    # Whoever waited for it has gone.
    del part
    assert files(tmp_path) == ["somebody's"]


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "AB" * 32, "ab" * 31, NAME + "\n"])
def test_names_are_digests(tmp_path: Path, name: str) -> None:
    evidence = Evidence(tmp_path)
    assert evidence.find(name) is None
    with pytest.raises(WrongDigestError):
        evidence.begin(name, None)


def test_a_link_in_its_place_is_no_archive(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path)
    (tmp_path / NAME[:2]).mkdir()
    (tmp_path / NAME[:2] / NAME).symlink_to("/etc/hostname")
    assert evidence.find(NAME) is None


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_disk_without_room_is_told_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    evidence = Evidence(tmp_path)
    part = evidence.begin(NAME, None)

    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refuse)
        with pytest.raises(FullError):
            part.write(DATA)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        part.write(DATA)
        with pytest.raises(FullError):
            part.keep()
    part.drop()
    assert files(tmp_path) == []
    assert evidence.find(NAME) is None


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(EvidenceError):
        Evidence(tmp_path / "file")


def test_the_reserve_stays_free(tmp_path: Path) -> None:
    free = Evidence(tmp_path).free_bytes()
    with pytest.raises(FullError):
        Evidence(tmp_path, reserve_bytes=2 * free).begin(NAME, None)
    with pytest.raises(FullError):
        Evidence(tmp_path).begin(NAME, 2 * free)
    Evidence(tmp_path).begin(NAME, 1).drop()
