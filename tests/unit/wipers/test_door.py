"""The bench's socket: who can reach it, what it replaces, who is heard."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path

import pytest

from nullbay.wipers.daemon import Door, DoorError, listen, peer_uid


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "door" / "s"


def door(path: Path) -> Door:
    return Door(path, os.getgid(), frozenset({os.getuid()}))


def test_owner_and_group_can_reach_it_whatever_the_umask(path: Path) -> None:
    for umask in (0o077, 0o000):
        before = os.umask(umask)
        try:
            listen(door(path)).close()
            assert stat.S_IMODE(path.lstat().st_mode) == 0o660
            assert os.umask(umask) == umask
        finally:
            os.umask(before)


def test_a_socket_that_nobody_listens_at_is_replaced(path: Path) -> None:
    listen(door(path)).close()
    with socket.socket(socket.AF_UNIX) as other:
        assert other.connect_ex(str(path)) == errno.ECONNREFUSED
    with listen(door(path)) as link, socket.socket(socket.AF_UNIX) as other:
        link.listen()
        assert other.connect_ex(str(path)) == 0


def test_one_that_somebody_listens_at_is_not(path: Path) -> None:
    with listen(door(path)) as link:
        link.listen()
        with pytest.raises(DoorError, match="somebody listens"):
            listen(door(path))
        with socket.socket(socket.AF_UNIX) as other:
            assert other.connect_ex(str(path)) == 0


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_nothing_else_is_replaced(path: Path, kind: str) -> None:
    path.parent.mkdir()
    if kind == "file":
        path.write_text("keep")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(path.parent / "elsewhere")
    before = path.lstat()
    with pytest.raises(DoorError, match="is no socket"):
        listen(door(path))
    assert path.lstat() == before


def test_a_place_where_none_can_be_made_is_told(tmp_path: Path) -> None:
    with pytest.raises(DoorError, match="no socket can be made"):
        listen(door(tmp_path / ("x" * 200)))


def test_the_peer_is_whom_the_kernel_says() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peer_uid(ours) == os.getuid()
