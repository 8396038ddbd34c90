"""Who else can reach a drive's bytes: found on real loop devices, with a real other process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nullbay.domain.ports import UseKind
from nullbay.wipers.platform.discover import find_drive
from nullbay.wipers.platform.hostfacts import LinuxHostFacts

MIB = 1024 * 1024


@pytest.fixture
def loops(tmp_path: Path) -> Iterator[Loops]:
    made = Loops(tmp_path / "image")
    try:
        yield made
    finally:
        made.release()


class Loops:
    """Loop devices on one own file, released in reverse order."""

    def __init__(self, image: Path) -> None:
        self.image, self.nodes = image, list[str]()
        with image.open("wb") as file:
            file.truncate(8 * MIB)

    def attach(self, over: str = "", *options: str) -> str:
        command = ["losetup", "--find", "--show", *options, over or str(self.image)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        self.nodes.append(done.stdout.strip())
        return self.nodes[-1]

    def release(self) -> None:
        for node in reversed(self.nodes):
            subprocess.run(["losetup", "--detach", node], check=True)


def told(node: str) -> list[tuple[UseKind, str]]:
    uses = LinuxHostFacts().uses_of(find_drive(node)).uses
    return [(use.kind, use.evidence) for use in uses]


def test_a_loop_device_alone_on_its_file_is_used_by_nobody(loops: Loops) -> None:
    assert told(loops.attach()) == []


def test_a_loop_device_over_a_block_device_is_a_view_of_somebody_elses_disk(loops: Loops) -> None:
    lower = loops.attach()
    upper = loops.attach(lower)
    assert (UseKind.HOLDER, f"a loop device over {lower}") in told(upper)


def test_a_part_of_a_file_is_not_a_drive(loops: Loops) -> None:
    ((kind, evidence),) = told(loops.attach("", "--offset", str(MIB)))
    assert kind is UseKind.HOLDER
    assert evidence.startswith("shows only a part of ")


def test_two_loop_devices_on_one_file_are_both_refused(loops: Loops) -> None:
    nodes = [loops.attach(), loops.attach()]
    for node in nodes:
        ((kind, evidence),) = told(node)
        assert kind is UseKind.HOLDER
        assert "shows the same file" in evidence


def test_a_program_with_a_plain_descriptor_for_writing_is_found(loops: Loops) -> None:
    """A grandchild: what this process and its children hold, they hold for it."""
    node = loops.attach()
    code = (
        "import sys; f = open(sys.argv[1], 'r+b', buffering=0); print('open', flush=True); f.read"
    )
    wait = "sys.stdin.read()"
    with subprocess.Popen(
        ["sh", "-c", '"$@"; true', "sh", sys.executable, "-c", f"{code}; {wait}", node],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == b"open\n"
        found = told(node)
        other.stdin.close()
    assert any(kind is UseKind.OPEN and "open for writing" in what for kind, what in found)
    assert told(node) == []
