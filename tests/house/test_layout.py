"""The shape of the tree: rooms, links, sizes, and what no committed file may say."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings

import pytest

from support.tree import PACKAGE, TOP, files, room_files, rooms, shown

SOFT_LINES, HARD_LINES = 400, 600
TEST_LINES = 900


def test_src_holds_the_import_name_and_nothing_else() -> None:
    assert {path.name for path in (TOP / "src").iterdir() if path.suffix != ".egg-info"} == {
        "nullbay"
    }
    held = {path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    assert held - set(rooms()) == {"__init__.py", "py.typed"}


def test_every_code_folder_is_linked_and_every_link_is_a_code_folder() -> None:
    folders = {path.parent.name for path in TOP.glob("*/__init__.py")}
    assert folders == set(rooms())


def test_links_are_relative_and_lead_somewhere_in_the_tree() -> None:
    for path in files():
        if path.is_symlink():
            assert not path.readlink().is_absolute(), shown(path)
            assert path.resolve(strict=True).is_relative_to(TOP), shown(path)


def test_rooms_have_no_name_of_their_own() -> None:
    """`import config` finds nothing of ours where root processes run (`python -I`)."""
    code = (
        "import importlib.util, sys\n"
        "print(*[name for name in sys.argv[1:] if importlib.util.find_spec(name)])\n"
        "import nullbay.domain"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, *rooms(), "support", "tests"],
        cwd=TOP,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == []


def test_rooms_say_what_they_are() -> None:
    for room in rooms():
        first = (TOP / room / "__init__.py").read_text().splitlines()[0]
        assert re.fullmatch(r'""".+\."""', first), f"{room}/__init__.py:1 says: {first}"


def test_modules_stay_readable() -> None:
    too_long: list[str] = []
    for path in files():
        if path.suffix != ".py" or path.is_symlink():
            continue
        lines = len(path.read_text().splitlines())
        limit = TEST_LINES if shown(path).startswith("tests/") else HARD_LINES
        if lines > limit:
            too_long.append(f"{shown(path)} has {lines} lines, the limit is {limit}")
        elif lines > SOFT_LINES and path in room_files():
            warnings.warn(
                f"soft limit: {shown(path)} has {lines} lines; split it by sense before {limit}",
                UserWarning,
                stacklevel=1,
            )
    assert not too_long


# In pieces, so that this file passes its own test.
FORBIDDEN = {
    "a package index": re.compile("py" + r"pi\.org|python" + r"hosted\.org"),
    "a path of somebody's machine": re.compile(
        r"(?<![\w.])/(?:wo" + r"rk/|opt/py" + r"pi|opt/whe" + r"els|root/\.|home/\w)"
    ),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_committed_file_names(what: str) -> None:
    found: list[str] = []
    for path in files():
        if path.is_symlink():
            continue
        data = path.read_bytes()
        if b"\0" in data:
            continue
        for number, line in enumerate(data.decode(errors="replace").splitlines(), 1):
            if FORBIDDEN[what].search(line):
                found.append(f"{shown(path)}:{number}: {line.strip()[:100]}")
    assert not found
