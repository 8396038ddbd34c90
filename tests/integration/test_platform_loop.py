"""The platform on real block devices: loop devices on temporary files, nothing else is opened."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nullbay.domain.clock import SystemClock
from nullbay.domain.drive import HiddenState
from nullbay.domain.method import MediaKind, Transport
from nullbay.domain.ports import PortError, PortErrorKind, UseKind
from nullbay.wipers.guard import GuardQuestion, refusals
from nullbay.wipers.platform.access import ClaimError, LinuxDriveAccess, open_drive
from nullbay.wipers.platform.block import LinuxBlockPort
from nullbay.wipers.platform.buffers import aligned, first_difference
from nullbay.wipers.platform.claim import DeviceNotFoundError, NotABlockDeviceError
from nullbay.wipers.platform.discover import find_drive, list_drives
from nullbay.wipers.platform.hostfacts import LinuxHostFacts

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="loop devices need root")

MIB = 1 << 20


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


class Loop:
    """A loop device on a file of its own; `detach` gives both back."""

    def __init__(self, file: Path, size: int, sector: int, *, protected: bool) -> None:
        self.file, self.sector, self.protected = file, sector, protected
        with file.open("wb") as opened:
            opened.truncate(size)
        self.attached: list[str] = []
        self.node = self.attach()

    def attach(self) -> str:
        options = ["--sector-size", str(self.sector), *(["--read-only"] if self.protected else [])]
        node = run("losetup", "--find", "--show", *options, str(self.file))
        self.attached.append(node)
        return node

    def shrink(self, size: int) -> None:
        """What a pulled drive looks like: the capacity is gone, the device is not."""
        os.truncate(self.file, size)
        run("losetup", "--set-capacity", self.node)

    def detach(self) -> None:
        while self.attached:
            run("losetup", "--detach", self.attached.pop())


Make = Callable[..., Loop]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Loop] = []

    def one(size: int = 4 * MIB, sector: int = 512, *, protected: bool = False) -> Loop:
        loop = Loop(tmp_path / f"drive{len(made)}", size, sector, protected=protected)
        made.append(loop)
        return loop

    yield one
    for loop in made:
        loop.detach()


@pytest.fixture
def claim() -> Iterator[Callable[[str], LinuxDriveAccess]]:
    claimed: list[LinuxDriveAccess] = []

    def one(device: str) -> LinuxDriveAccess:
        claimed.append(open_drive(device, settle=False))
        return claimed[-1]

    yield one
    for access in claimed:
        access.close()


Claim = Callable[[str], LinuxDriveAccess]


def pattern(length: int) -> memoryview:
    buffer = aligned(length)
    buffer[:] = bytes(at * 7 % 251 for at in range(length))
    return buffer


@pytest.mark.parametrize(
    ("size", "sector"),
    [(4 * MIB, 512), (4 * MIB, 4096), (MIB + 512, 512), (MIB + 3 * 4096, 4096), (512, 512)],
)
def test_every_byte_to_the_last_partial_block(
    make: Make, claim: Claim, size: int, sector: int
) -> None:
    loop = make(size, sector)
    port = claim(loop.node).port("disk")
    assert port.geometry.size_bytes == size == port.current_size_bytes()
    assert port.geometry.logical_sector_bytes == sector
    assert port.reads == "direct"
    written, read, block = pattern(size), aligned(size), 256 * 1024
    for at in range(0, size, block):
        port.write_from(at, written[at : at + block])
    port.flush()
    assert loop.file.read_bytes() == bytes(written), "by another way than the port's"
    for at in range(0, size, block):
        port.read_into(at, read[at : at + block])
    assert first_difference(written, read) is None


def test_what_lies_past_the_end_is_an_error_not_a_short_transfer(make: Make, claim: Claim) -> None:
    port = claim(make(MIB).node).port("disk")
    for call in (port.read_into, port.write_from):
        for at in (MIB - 512, MIB, 2 * MIB):
            with pytest.raises(PortError) as caught:
                call(at, aligned(4096))
            assert caught.value.kind is PortErrorKind.OTHER


def test_transfers_that_are_not_aligned_are_refused(make: Make, claim: Claim) -> None:
    port = claim(make(MIB, 4096).node).port("disk")
    with pytest.raises(PortError) as caught:
        port.read_into(512, aligned(512))
    assert (caught.value.kind, caught.value.errno) == (PortErrorKind.OTHER, "EINVAL")


@pytest.mark.parametrize("size", [512, 0])
def test_a_device_that_shrank_is_gone(make: Make, claim: Claim, size: int) -> None:
    loop = make(MIB)
    access = claim(loop.node)
    port = access.port("disk")
    loop.shrink(size)
    assert port.current_size_bytes() == size
    for call in (port.read_into, port.write_from):
        for at in (0, 512 * 1024):
            with pytest.raises(PortError) as caught:
                call(at, aligned(64 * 1024))
            assert caught.value.kind is PortErrorKind.GONE
    with pytest.raises(PortError) as caught:
        port.flush()
    assert caught.value.kind is PortErrorKind.GONE
    with pytest.raises(PortError) as caught:
        access.observe()
    assert caught.value.kind is PortErrorKind.GONE


def test_discard_empties_a_range_and_nothing_else(make: Make, claim: Claim) -> None:
    loop = make(4 * MIB, 4096)
    port = claim(loop.node).port("disk")
    port.write_from(0, pattern(4 * MIB))
    port.deallocate(MIB, 2 * MIB)
    port.flush()
    content = loop.file.read_bytes()
    assert content[MIB : 3 * MIB] == bytes(2 * MIB)
    assert content[:MIB] + content[3 * MIB :] == (
        bytes(pattern(4 * MIB)[:MIB]) + bytes(pattern(4 * MIB)[3 * MIB :])
    )


def test_the_port_keeps_working_when_another_port_of_the_device_closes(
    make: Make, claim: Claim
) -> None:
    access = claim(make(MIB).node)
    first = access.port("disk")
    assert isinstance(first, LinuxBlockPort)
    second = LinuxBlockPort(first._fd)
    second.close()
    second.close()
    first.read_into(0, aligned(512))


def test_a_write_protected_device_is_opened_for_reading_and_says_so(
    make: Make, claim: Claim
) -> None:
    loop = make(MIB, protected=True)
    access = claim(loop.node)
    assert access.observe().observed.units[0].read_only
    access.port("disk").read_into(0, aligned(4096))
    with pytest.raises(PortError) as caught:
        access.port("disk").write_from(0, aligned(4096))
    assert caught.value.kind is PortErrorKind.READ_ONLY


def test_a_loop_device_as_a_drive(make: Make, claim: Claim) -> None:
    loop = make(MIB + 4096, 4096)
    listed = find_drive(loop.node)
    assert listed.attachment in {drive.attachment for drive in list_drives()}
    assert (listed.observed.transport, listed.observed.media) == (Transport.LOOP, MediaKind.VIRTUAL)
    assert listed.observed.hidden_areas[0].state is HiddenState.NOT_APPLICABLE
    name = Path(loop.node).name
    assert listed.attachment.device_path == f"/sys/devices/virtual/block/{name}"
    observed = claim(loop.node).observe()
    assert observed.identity == listed.identity
    assert observed.attachment == listed.attachment
    assert observed.observed.units == listed.observed.units
    assert observed.confirm == listed.confirm


def test_a_drive_is_found_by_node_name_and_link(make: Make, tmp_path: Path) -> None:
    loop = make(MIB)
    link = tmp_path / "link with blanks; $(x)"
    link.symlink_to(loop.node)
    names = (loop.node, Path(loop.node).name, str(link))
    assert len({find_drive(name).attachment for name in names}) == 1
    with pytest.raises(NotABlockDeviceError):
        find_drive(str(loop.file))
    loop.detach()
    with pytest.raises(DeviceNotFoundError):
        find_drive(loop.node)


def test_attaching_again_is_another_attachment_of_the_same_identity(make: Make) -> None:
    loop = make(MIB)
    before = find_drive(loop.node)
    loop.detach()
    after = find_drive(loop.attach())
    assert before.attachment.nodes[0].diskseq != after.attachment.nodes[0].diskseq
    assert before.confirm != after.confirm
    assert before.identity.key == after.identity.key


def test_a_claimed_drive_is_claimed_once(make: Make, claim: Claim) -> None:
    loop = make(MIB)
    access = claim(loop.node)
    with pytest.raises(ClaimError) as caught:
        claim(loop.node)
    assert caught.value.refusal.code == "guard.open-elsewhere"
    access.close()
    access.close()
    claim(loop.node).port("disk").read_into(0, aligned(512))


def test_a_locked_drive_is_left_alone_and_the_evidence_names_who_holds_it(
    make: Make, claim: Claim
) -> None:
    loop = make(MIB)
    with Path(loop.node).open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        with pytest.raises(ClaimError) as caught:
            claim(loop.node)
    assert caught.value.refusal.code == "guard.open-elsewhere"
    assert f"locked by process {os.getpid()}" in caught.value.refusal.evidence
    claim(loop.node)


def test_settling_waits_for_a_lock_that_is_given_up(make: Make) -> None:
    """udev locks a device while it probes it."""
    loop = make(MIB)
    held = Path(loop.node).open("rb")  # noqa: SIM115 - closed by the clock below
    fcntl.flock(held, fcntl.LOCK_SH)

    class Waits(_Clock):
        def wait_blocking(self, seconds: float) -> None:
            super().wait_blocking(seconds)
            held.close()

    clock = Waits()
    open_drive(loop.node, clock=clock).close()
    assert clock.waited > 0


def test_settling_has_an_end(make: Make) -> None:
    loop = make(MIB)
    clock = _Clock()
    with Path(loop.node).open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        with pytest.raises(ClaimError):
            open_drive(loop.node, clock=clock)
    assert 3 <= clock.waited < 4


def test_nobody_else_mounts_or_locks_what_is_claimed(
    make: Make, claim: Claim, tmp_path: Path
) -> None:
    loop = make(8 * MIB)
    run("mkfs.ext4", "-q", loop.node)
    claim(loop.node)
    done = subprocess.run(
        ["mount", loop.node, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    with Path(loop.node).open("rb") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_mounted_drive_is_refused_by_guard_and_by_claim(
    make: Make, claim: Claim, tmp_path: Path
) -> None:
    loop = make(8 * MIB)
    run("mkfs.ext4", "-q", loop.node)
    point = tmp_path / "a mount\npoint"
    point.mkdir()
    run("mount", loop.node, str(point))
    try:
        drive = find_drive(loop.node)
        facts = LinuxHostFacts()
        answer = facts.uses_of(drive)
        assert answer.undetermined == ()
        (use,) = answer.uses
        assert use.kind is UseKind.MOUNT
        question = GuardQuestion(drive, answer, facts.root_drive(), (), None, outside_bays=True)
        (refusal,) = refusals(question)
        assert refusal.code == "guard.mounted"
        assert "a mount\\x0apoint (ext4)" in refusal.evidence
        with pytest.raises(ClaimError) as caught:
            claim(loop.node)
        assert caught.value.refusal.code == "guard.open-elsewhere"
    finally:
        run("umount", str(point))
    assert LinuxHostFacts().uses_of(drive).uses == ()
    claim(loop.node)


ELSEWHERE = """
import subprocess, sys
subprocess.run(["mount", sys.argv[1], sys.argv[2]], check=True)
print("mounted", flush=True)
sys.stdin.read()
"""


def test_a_mount_in_another_namespace_is_found(make: Make, tmp_path: Path) -> None:
    loop = make(8 * MIB)
    run("mkfs.ext4", "-q", loop.node)
    command = ["unshare", "--mount", "--propagation", "private", sys.executable, "-c", ELSEWHERE]
    with subprocess.Popen(
        [*command, loop.node, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "mounted\n"
        (use,) = LinuxHostFacts().uses_of(find_drive(loop.node)).uses
        assert use.kind is UseKind.MOUNT
        assert "in the mount namespace of process" in use.evidence
        other.communicate()
    assert LinuxHostFacts().uses_of(find_drive(loop.node)).uses == ()


def test_swap_and_loops_upon_loops_are_uses(make: Make) -> None:
    loop = make(4 * MIB)
    run("mkswap", loop.node)
    run("swapon", loop.node)
    try:
        kinds = [use.kind for use in LinuxHostFacts().uses_of(find_drive(loop.node)).uses]
        assert kinds == [UseKind.SWAP]
    finally:
        run("swapoff", loop.node)
    upon = run("losetup", "--find", "--show", loop.node)
    loop.attached.append(upon)
    (use,) = LinuxHostFacts().uses_of(find_drive(loop.node)).uses
    assert (use.kind, use.evidence) == (
        UseKind.HOLDER,
        f"{Path(upon).name} is a loop device on it",
    )


def test_this_machine_s_own_disk_is_known_without_opening_it() -> None:
    facts = LinuxHostFacts()
    root = facts.root_drive()
    if root is None:
        pytest.skip("the root file system of this machine is on no drive")
    assert UseKind.SYSTEM in {use.kind for use in facts.uses_of(root).uses}
    (code, *_) = [
        refusal.code
        for refusal in refusals(
            GuardQuestion(root, facts.uses_of(root), root, (), None, outside_bays=True)
        )
        if refusal.code == "guard.system-drive"
    ]
    assert code == "guard.system-drive"


class _Clock:
    """Waiting costs no time."""

    def __init__(self) -> None:
        self._real = SystemClock()
        self.waited = 0.0
        self.now = self._real.now
        self.sleep = self._real.sleep
        self.timeout = self._real.timeout

    def boottime(self) -> float:
        return self.waited

    def wait_blocking(self, seconds: float) -> None:
        self.waited += seconds
