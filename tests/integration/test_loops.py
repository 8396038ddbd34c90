"""Loop devices as drives, on the real kernel: pulled, put back, released, never somebody else's."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from nullbay.domain.clock import SystemClock
from nullbay.domain.method import MediaKind, Transport
from nullbay.domain.ports import BlockPort, PortError, PortErrorKind
from nullbay.domain.ranges import ByteRange
from nullbay.lab.description import CacheSpec, DriveDescription, LbaSpan
from nullbay.lab.files import FileDrive, open_file_drive
from nullbay.lab.hands import make_file_drive, pull
from nullbay.lab.loops import (
    LoopDevice,
    LoopError,
    look_at_loop,
    make_loop_drive,
    open_lab_drive,
    open_loop_drive,
)
from nullbay.lab.olddata import OldData
from nullbay.wipers.platform import loop
from nullbay.wipers.platform.buffers import aligned
from nullbay.wipers.platform.claim import ClaimError
from nullbay.wipers.platform.loop import LoopDeviceError

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="loop devices need root")

CLOCK = SystemClock()
OLD = OldData(seed=9)
MIB = 1 << 20


def described(sector_bytes: int = 512, sectors: int = 20_001) -> DriveDescription:
    return DriveDescription(
        sectors=sectors,
        model="LAB LOOP",
        serial="LOOP-1",
        logical_sector_bytes=sector_bytes,
        physical_sector_bytes=sector_bytes,
    )


@pytest.fixture
def plugged(tmp_path: Path) -> Iterator[LoopDevice]:
    with make_loop_drive(tmp_path / "drive.json", described(), old_data=OLD) as device:
        yield device


def loops_of(image: Path) -> list[str]:
    """What losetup says, an independent witness."""
    found = subprocess.run(
        ["losetup", "-nO", "NAME", "-j", image], capture_output=True, text=True, check=True
    )
    return found.stdout.split()


@contextmanager
def descriptor(device: str) -> Iterator[int]:
    fd = os.open(device, os.O_RDWR | os.O_DIRECT)
    try:
        yield fd
    finally:
        os.close(fd)


def errno_of(call: Callable[[], object]) -> int:
    try:
        call()
    except OSError as error:
        return error.errno or 0
    return 0


def port_error(call: Callable[[], object]) -> PortError:
    with pytest.raises(PortError) as caught:
        call()
    return caught.value


@pytest.mark.parametrize(("sector_bytes", "sectors"), [(512, 20_001), (512, 1), (4096, 257)])
def test_a_loop_device_of_any_size(tmp_path: Path, sector_bytes: int, sectors: int) -> None:
    description = described(sector_bytes, sectors)
    with make_loop_drive(tmp_path / "drive.json", description, old_data=OLD) as device:
        access = open_loop_drive(device.device, CLOCK)
        drive = access.observe()
        (unit,) = drive.observed.units
        assert unit.size_bytes == sectors * sector_bytes
        assert (unit.logical_sector_bytes, unit.physical_sector_bytes) == (sector_bytes,) * 2
        port, buffer = access.port("disk"), aligned(sector_bytes)
        last = (sectors - 1) * sector_bytes
        port.read_into(last, buffer)
        assert bytes(buffer) == OLD.sector(sectors - 1, sector_bytes)
        buffer[:] = b"n" * sector_bytes
        port.write_from(last, buffer)
        port.flush()
        access.close()
    assert (tmp_path / "drive.img").read_bytes()[last:] == b"n" * sector_bytes


def test_it_is_simulated_and_has_the_described_identity(plugged: LoopDevice) -> None:
    access = open_loop_drive(plugged.device, CLOCK)
    drive = access.observe()
    assert drive.simulated
    assert drive.confirm == "LOOP-1"
    assert drive.identity.model.shown == "LAB LOOP"
    assert drive.identity.identify_source.startswith("simulated over sysfs")
    assert (drive.observed.media, drive.observed.transport) == (MediaKind.VIRTUAL, Transport.LOOP)
    assert drive.attachment.nodes[0].diskseq == plugged.diskseq
    assert access.port("disk").reads == "direct"
    assert access.temperature_celsius() is None
    assert look_at_loop(plugged.device, CLOCK).identity == drive.identity
    with pytest.raises(ClaimError):
        open_loop_drive(plugged.device, CLOCK)
    access.close()


def test_a_pull_is_what_the_kernel_shows_of_a_vanished_drive(plugged: LoopDevice) -> None:
    """reference/lab.md 2.3: reads of 0 bytes without error, ENOSPC, size 0."""
    buffer = aligned(MIB)
    with descriptor(plugged.device) as fd:
        assert os.preadv(fd, [buffer], 0) == MIB
        with Path(plugged.device).open("rb") as cached:
            assert cached.read(MIB) == bytes(buffer)
            plugged.pull()
        for offset in (0, MIB):
            assert os.preadv(fd, [buffer], offset) == 0
            assert errno_of(partial(os.pwritev, fd, [buffer], offset)) == errno.ENOSPC
        assert os.lseek(fd, 0, os.SEEK_END) == 0


def test_the_ports_call_it_gone_and_nothing_is_written(tmp_path: Path, plugged: LoopDevice) -> None:
    access = open_loop_drive(plugged.device, CLOCK)
    port, buffer = access.port("disk"), aligned(MIB)
    plugged.pull()
    assert_gone(port, buffer)
    assert port_error(access.observe).kind is PortErrorKind.GONE
    plugged.put_back()
    assert_gone(port, buffer)
    access.close()
    assert OLD.left_on(tmp_path / "drive.img", 512) == (ByteRange(0, 20_001 * 512),)


def assert_gone(port: BlockPort, buffer: memoryview) -> None:
    assert port.current_size_bytes() == 0
    answers = [
        port_error(lambda: port.read_into(0, buffer)),
        port_error(lambda: port.write_from(0, buffer)),
        port_error(port.flush),
    ]
    assert [one.kind for one in answers] == [PortErrorKind.GONE] * 3


def test_file_drives_answer_as_the_kernel_does(tmp_path: Path, plugged: LoopDevice) -> None:
    """The same questions to a loop device through the Linux port, and to a file drive."""
    path = make_file_drive(tmp_path / "file.json", described())
    real, soft = open_loop_drive(plugged.device, CLOCK), open_file_drive(path, CLOCK)
    buffer = aligned(MIB)
    end = 20_001 * 512

    def questions(port: BlockPort) -> list[tuple[str, str]]:
        asked: list[Callable[[], object]] = [
            lambda: port.read_into(0, buffer),
            lambda: port.write_from(MIB, buffer),
            lambda: port.read_into(end, buffer[:512]),
            lambda: port.write_from(end, buffer[:512]),
            lambda: port.read_into(end - 512, buffer[:1024]),
            lambda: port.write_from(0, buffer[:100]),
            port.flush,
        ]
        answers = []
        for ask in asked:
            try:
                ask()
            except PortError as error:
                answers.append((error.kind.value, error.errno))
            else:
                answers.append(("fine", ""))
        return answers

    here = questions(real.port("disk"))
    assert here == questions(soft.port("disk"))
    assert ("fine", "") in here
    plugged.pull()
    pull(path)
    gone = [kind for kind, _ in questions(real.port("disk"))]
    assert gone == [kind for kind, _ in questions(soft.port("disk"))]
    assert "fine" not in gone
    real.close()
    soft.close()


def test_put_back_it_is_another_device_with_the_same_content(plugged: LoopDevice) -> None:
    access = open_loop_drive(plugged.device, CLOCK)
    before = access.observe()
    buffer = aligned(MIB)
    buffer[:] = b"n" * MIB
    access.port("disk").write_from(0, buffer)
    access.port("disk").flush()
    plugged.pull()
    with pytest.raises(LoopError):
        _ = plugged.device
    plugged.put_back()
    access.close()
    again = open_loop_drive(plugged.device, CLOCK)
    after = again.observe()
    assert after.identity == before.identity
    assert after.attachment.nodes[0].name != before.attachment.nodes[0].name
    assert after.attachment.nodes[0].diskseq > before.attachment.nodes[0].diskseq
    buffer[:] = bytes(MIB)
    again.port("disk").read_into(0, buffer)
    assert bytes(buffer) == b"n" * MIB
    again.close()


def test_put_back_is_another_device_even_if_the_old_one_is_free(plugged: LoopDevice) -> None:
    for _ in range(3):
        before = plugged.device
        plugged.pull()
        plugged.put_back()
        assert plugged.device != before


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    def fails() -> None:
        with make_loop_drive(tmp_path / "drive.json", described()) as device:
            assert loops_of(tmp_path / "drive.img") == [device.device]
            raise LookupError

    with suppress(LookupError):
        fails()
    assert loops_of(tmp_path / "drive.img") == []
    with LoopDevice(tmp_path / "drive.json") as device:
        device.pull()
        assert loops_of(tmp_path / "drive.img") == []
        device.close()
        with pytest.raises(LoopError, match="pulled"):
            device.pull()


def test_a_device_in_use_goes_with_its_last_descriptor(tmp_path: Path) -> None:
    with make_loop_drive(tmp_path / "drive.json", described()) as device:
        name = device.device
        with descriptor(name):
            device.close()
            assert loops_of(tmp_path / "drive.img") == [name]
        assert loops_of(tmp_path / "drive.img") == []


def test_a_foreign_device_is_left_alone(tmp_path: Path) -> None:
    """Another program detached ours and took the number: no hand of ours reaches it."""
    (tmp_path / "theirs").write_bytes(bytes(MIB))
    with ExitStack() as stack:
        device = make_loop_drive(tmp_path / "drive.json", described())
        name = device.device
        subprocess.run(["losetup", "-d", name], check=True)
        subprocess.run(["losetup", name, tmp_path / "theirs"], check=True)
        stack.callback(subprocess.run, ["losetup", "-d", name], check=True)
        with pytest.raises(LoopDeviceError, match="no longer"):
            device.pull()
        with pytest.raises(LoopDeviceError, match="no longer"):
            device.close()
        with pytest.raises(LoopError, match="none of the laboratory"):
            open_loop_drive(name, CLOCK)
        assert loops_of(tmp_path / "theirs") == [name]
        with descriptor(name) as fd:
            assert os.lseek(fd, 0, os.SEEK_END) == MIB


def test_the_same_file_attached_again_by_another_program_is_foreign(tmp_path: Path) -> None:
    device = make_loop_drive(tmp_path / "drive.json", described())
    name = device.device
    subprocess.run(["losetup", "-d", name], check=True)
    subprocess.run(["losetup", name, tmp_path / "drive.img"], check=True)
    try:
        with pytest.raises(LoopDeviceError, match="no longer"):
            device.close()
        assert loops_of(tmp_path / "drive.img") == [name]
    finally:
        subprocess.run(["losetup", "-d", name], check=True)


def test_many_at_once_get_a_device_each(tmp_path: Path) -> None:
    images = [tmp_path / str(number) for number in range(6)]
    for image in images:
        image.write_bytes(bytes(65_536))
    with ThreadPoolExecutor(6) as pool:
        attached = list(pool.map(loop.attach, images))
    try:
        assert len({one.device for one in attached}) == 6
        for image, one in zip(images, attached, strict=True):
            assert loops_of(image) == [one.device]
    finally:
        for one in attached:
            loop.detach(one)
    assert not any(loop.is_attached(one) for one in attached)


def test_only_regular_files_are_attached(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "file").write_bytes(bytes(65_536))
    for path in (tmp_path, tmp_path / "link", tmp_path / "missing"):
        with pytest.raises(LoopDeviceError):
            loop.attach(path)
    assert loops_of(tmp_path / "file") == []


def test_what_a_cache_would_have_lost_can_be_taken_back(tmp_path: Path) -> None:
    with make_loop_drive(tmp_path / "drive.json", described(), old_data=OLD) as device:
        access = open_loop_drive(device.device, CLOCK)
        buffer = aligned(4 * MIB)
        buffer[:] = b"n" * len(buffer)
        access.port("disk").write_from(0, buffer)
        with pytest.raises(LoopError, match="plugged in"):
            device.lose((), OLD)
        device.pull()
        access.close()
        device.lose((ByteRange(MIB, 3 * MIB),), OLD)
        device.put_back()
    left = OLD.left_on(tmp_path / "drive.img", 512)
    assert left == (ByteRange(MIB, 3 * MIB), ByteRange(4 * MIB, 20_001 * 512))


def test_a_description_that_no_loop_device_can_follow_is_refused(tmp_path: Path) -> None:
    spans = (LbaSpan(1, 1),)
    for description, told in (
        (DriveDescription(sectors=8, model="LAB", unwritable=spans), "unwritable"),
        (DriveDescription(sectors=8, model="LAB", cache=CacheSpec(65_536)), "cache"),
        (DriveDescription(sectors=8, model="LAB", physical_sector_bytes=4096), "physical"),
    ):
        with pytest.raises(LoopError, match=told):
            make_loop_drive(tmp_path / "drive.json", description)


def test_both_kinds_open_by_one_word_in_another_process(
    tmp_path: Path, plugged: LoopDevice
) -> None:
    code = (
        "import sys\n"
        "from nullbay.domain.clock import SystemClock\n"
        "from nullbay.lab.loops import open_lab_drive\n"
        "for device in sys.argv[1:]:\n"
        "    drive = open_lab_drive(device, SystemClock()).observe()\n"
        "    print(drive.simulated, drive.confirm)"
    )
    path = make_file_drive(tmp_path / "file.json", described())
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, plugged.device, path],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["True LOOP-1", "True LOOP-1"]
    with open_file_drive(path, CLOCK) as drive:
        assert isinstance(drive, FileDrive)
    open_lab_drive(plugged.device, CLOCK).close()
