"""The repository as the house tests see it: what is committed, or about to be."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
PACKAGE = TOP / "src" / "nullbay"


@cache
def files() -> tuple[Path, ...]:
    """Every file git has or would take (new ones included, ignored ones not), links as links."""
    listed = subprocess.run(
        # sudo runs the tests in somebody else's tree; git would refuse it
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "-co", "--exclude-standard"],
        cwd=TOP,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    paths = (TOP / name for name in sorted(set(filter(None, listed.split("\0")))))
    return tuple(path for path in paths if path.is_symlink() or path.exists())


def rooms() -> tuple[str, ...]:
    """The code folders, as src/nullbay/ links them."""
    return tuple(sorted(path.name for path in PACKAGE.iterdir() if path.is_symlink()))


def room_files() -> tuple[Path, ...]:
    """Every file of the rooms, where it stands."""
    names = set(rooms())
    return tuple(path for path in files() if path.relative_to(TOP).parts[0] in names)


def shown(path: Path) -> str:
    """A path as a reader of the repository knows it."""
    return path.relative_to(TOP).as_posix()
