"""A real `nullbay wiperd` with loop devices: killed agents, killed benches, draining, its door."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import pytest

from nullbay.certs.keys import PublicKey
from nullbay.certs.transcript import read_transcript
from nullbay.domain.codec import from_plain
from nullbay.domain.ids import JobId
from nullbay.domain.outcome import JobEnd, SessionEnd
from nullbay.domain.verdict import conclude
from nullbay.wipers import bench_protocol as b
from nullbay.wipers.appendfile import read_records
from nullbay.wipers.channel import ChannelClosedError
from nullbay.wipers.client import BenchClient, Held
from nullbay.wipers.daemon import CONNECTIONS_MAX
from nullbay.wipers.jobdir import BenchEvent, SessionEnded
from nullbay.wipers.protocol import FRAME_MAX_BYTES, encode
from nullbay.wipers.service import RefusedError
from support.command import SAFETY_S
from support.filesystem import attached, digest
from support.processes import children, until
from support.wiperd import Wiperd, begin, connect, plan_of, socket_folder

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="loop devices need root")

MIB = 1 << 20
SIZE = 8 * MIB
SLOW = 2 * MIB
DRIVES = 24
STRANGER = 65533
T = TypeVar("T")


class Bench:
    """A loop device in a bay and a wiperd for it."""

    def __init__(self, wiperd: Wiperd, device: str, image: Path) -> None:
        self.wiperd, self.device, self.image = wiperd, device, image

    def ask(self, act: Callable[[BenchClient], Awaitable[T]]) -> T:
        """As an agent that connects, asks and goes."""

        async def main() -> T:
            async with asyncio.timeout(SAFETY_S):
                client = await connect(self.wiperd.socket, "test")
                try:
                    return await act(client)
                finally:
                    await client.aclose()

        return asyncio.run(main())

    def events(self, job: JobId) -> list[BenchEvent]:
        path = self.wiperd.state / "jobs" / job / "events"
        return [from_plain(BenchEvent, one) for one in read_records(path)]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    image = tmp_path / "drive.img"
    image.write_bytes(b"customer" * (SIZE // 8))
    with attached(image) as device, socket_folder() as folder:
        yield Bench(Wiperd(tmp_path, [device], folder / "wiperd.sock"), device, image)


async def finished(client: BenchClient, job: JobId, held: Held) -> str:
    """Work on a job to its signed end; the verdict of its transcript. It is acknowledged."""
    view = await client.look(job)
    while view.end is None:
        result = await client.work(job, held, lambda _: None)
        view = await client.look(job)
        assert view.end is not None or result.end is not SessionEnd.CRASHED, result
    view = await client.conclude(job, view.end)
    members = await client.members(job)
    key = PublicKey.from_pem((await client.hello()).bench_public_key_pem)
    said = read_transcript(members["transcript.dsse.json"], key)
    assert said.evidence.job_id == job
    assert view.result_sha256 is not None
    await client.acknowledge(job, view.result_sha256)
    assert job not in await client.jobs()
    return conclude(said.evidence).verdict.value


# --- death -------------------------------------------------------------------------------------


def test_a_job_goes_on_without_its_agent_and_the_next_one_is_attached(bench: Bench) -> None:
    with bench.wiperd.running() as process:
        with bench.wiperd.agent(bench.device, SLOW) as (pid, job, handle):
            os.kill(pid, signal.SIGKILL)
            drives = children(process.pid)

        async def attach(client: BenchClient) -> str:
            assert (await client.look(job)).running
            held = await client.open(bench.device)
            assert held.handle == handle
            heard: list[str] = []
            result = await client.work(job, held, lambda one: heard.append(one.kind))
            assert (result.end, result.code) == (SessionEnd.FINISHED, "")
            assert "session-done" in heard
            verdict = await finished(client, job, held)
            await client.close(held)
            return verdict

        assert bench.ask(attach) == "SANITIZED_WITH_EXCEPTIONS"
        assert len(drives) == 1, "one process for one drive, from its notice to its removal"
        until(lambda: not any(one.is_running() for one in drives))
    assert b"customer" not in bench.image.read_bytes()


def test_drive_processes_die_with_their_bench_and_the_job_is_resumed(bench: Bench) -> None:
    with bench.wiperd.running() as process, bench.wiperd.agent(bench.device, SLOW) as (_, job, _):
        drives = children(process.pid)
        assert len(drives) == 1
        process.kill()
        until(lambda: not any(one.is_running() for one in drives))
    os.close(os.open(bench.device, os.O_RDWR | os.O_EXCL))
    with bench.wiperd.running():

        async def resume(client: BenchClient) -> str:
            held = await client.open(bench.device, patience_s=30)
            view = await client.look(job)
            assert view.begun
            assert not view.running
            assert view.end is None
            return await finished(client, job, held)

        assert bench.ask(resume) == "SANITIZED_WITH_EXCEPTIONS"
    assert b"customer" not in bench.image.read_bytes()


def test_a_stop_drains_and_the_job_is_resumed(bench: Bench) -> None:
    with bench.wiperd.running() as process, bench.wiperd.agent(bench.device, SLOW) as (_, job, _):
        drives = children(process.pid)
        assert bench.wiperd.stop(process) == 0
        assert not bench.wiperd.socket.exists()
        until(lambda: not any(one.is_running() for one in drives))
    (ended,) = [one for one in bench.events(job) if isinstance(one, SessionEnded)]
    assert (ended.end, ended.code) == (SessionEnd.STOPPED, "step.interrupted")
    assert ended.drive is not None, "it looked at the drive a last time"
    with bench.wiperd.running():

        async def resume(client: BenchClient) -> str:
            return await finished(client, job, await client.open(bench.device, patience_s=30))

        assert bench.ask(resume) == "SANITIZED_WITH_EXCEPTIONS"


def test_a_stop_can_be_asked_for_by_root(bench: Bench) -> None:
    with bench.wiperd.running() as process:
        bench.ask(lambda client: client.stop())
        assert process.wait(SAFETY_S) == 0


def test_a_drive_stays_held_by_nobody_but_its_process(bench: Bench) -> None:
    with bench.wiperd.running() as process:
        bench.ask(lambda client: client.open(bench.device))
        (drive,) = children(process.pid)
        node = Path(bench.device).stat().st_rdev
        assert node in nodes_of(drive.pid)
        assert node not in nodes_of(process.pid), "the main process has opened a drive"
        with pytest.raises(OSError, match="busy"):
            os.open(bench.device, os.O_RDWR | os.O_EXCL)


def nodes_of(pid: int) -> set[int]:
    """Devices that a process has open."""
    found = set()
    for one in Path(f"/proc/{pid}/fd").iterdir():
        try:
            status = one.stat()
        except FileNotFoundError:
            continue
        if stat.S_ISBLK(status.st_mode):
            found.add(status.st_rdev)
    return found


# --- its door ----------------------------------------------------------------------------------


def test_a_drive_outside_its_bays_is_refused_and_untouched(bench: Bench, tmp_path: Path) -> None:
    image = tmp_path / "foreign.img"
    image.write_bytes(b"foreign!" * (SIZE // 8))
    before = digest(image)
    with attached(image) as device, bench.wiperd.running():

        async def ask(client: BenchClient) -> set[str]:
            with pytest.raises(RefusedError) as caught:
                await client.open(device)
            return {one.code for one in caught.value.refusals}

        assert bench.ask(ask) == {"guard.outside-bays"}
    assert digest(image) == before


@pytest.mark.parametrize("path", ["/dev/null", "/nowhere", "", "settings.toml"])
def test_what_is_no_drive_is_not_opened(bench: Bench, path: str) -> None:
    async def ask(client: BenchClient) -> str:
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the code is looked at
            await client.open(path)
        return str(caught.value.code)  # type: ignore[attr-defined]

    with bench.wiperd.running():
        assert bench.ask(ask).startswith("device.")


def test_its_socket_is_for_owner_and_group(bench: Bench) -> None:
    with bench.wiperd.running():
        assert stat.S_IMODE(bench.wiperd.socket.stat().st_mode) == 0o660


def test_the_kernel_says_who_asks(bench: Bench) -> None:
    """Also one who could open the socket is not heard."""
    with bench.wiperd.running():
        bench.wiperd.socket.chmod(0o666)
        said = subprocess.run(
            ["/usr/bin/python3", "-c", STRANGERS_WORDS, str(bench.wiperd.socket)],
            user=STRANGER,
            group=STRANGER,
            capture_output=True,
            check=True,
            cwd="/",
            timeout=SAFETY_S,
        ).stdout
        assert b"bench.not-you" in said
        assert b"bench_public_key_pem" not in said


STRANGERS_WORDS = """
import socket, sys
link = socket.socket(socket.AF_UNIX)
link.connect(sys.argv[1])
body = b'{"build":"x","kind":"hello","protocol":"nullbay.bench/1"}'
try:
    link.sendall(len(body).to_bytes(4, "big") + body)
except OSError:
    pass
try:
    while part := link.recv(65536):
        sys.stdout.buffer.write(part)
except ConnectionResetError:
    pass
"""


def test_a_second_one_on_the_same_state_is_refused(bench: Bench) -> None:
    with bench.wiperd.running():
        other = Wiperd(bench.wiperd.folder, [bench.device], bench.wiperd.socket.with_name("other"))
        done = subprocess.run(other.arguments, capture_output=True, check=False, timeout=SAFETY_S)
        assert done.returncode == 1
        assert b"another nullbay process" in done.stderr
        assert not other.socket.exists()


def test_a_configuration_that_others_may_write_is_refused(bench: Bench) -> None:
    bench.wiperd.settings.chmod(0o666)
    done = subprocess.run(
        bench.wiperd.arguments, capture_output=True, check=False, timeout=SAFETY_S
    )
    assert done.returncode == 2
    assert b"can be written by others" in done.stderr
    assert not bench.wiperd.socket.exists()


# --- peers that do not behave ------------------------------------------------------------------


def hello(link: socket.socket) -> None:
    link.sendall(encode(b.AgentHello(b.PROTOCOL, "x")))
    length = int.from_bytes(link.recv(4, socket.MSG_WAITALL), "big")
    link.recv(length, socket.MSG_WAITALL)


def heard_to_the_end(link: socket.socket) -> bytes:
    heard = b""
    try:
        while part := link.recv(65536):
            heard += part
    except ConnectionResetError:
        pass
    return heard


def test_odd_peers_are_cut_off_and_the_others_go_on(bench: Bench) -> None:
    before = digest(bench.image)
    with bench.wiperd.running():
        for words, code in (
            ((FRAME_MAX_BYTES + 1).to_bytes(4, "big"), b"input.too-large"),
            (b"\xff\xff\xff\xff", b"input.too-large"),
            (b"\0\0\0\4null", b"input.malformed"),
        ):
            for is_greeted in (False, True):
                with socket.socket(socket.AF_UNIX) as link:
                    link.settimeout(SAFETY_S)
                    link.connect(str(bench.wiperd.socket))
                    if is_greeted:
                        hello(link)
                    link.sendall(words)
                    assert code in heard_to_the_end(link)
        held = bench.ask(lambda client: client.open(bench.device))
        assert plan_of(held).units[0].size_bytes == SIZE
    assert digest(bench.image) == before


def test_connections_are_counted(bench: Bench) -> None:
    with bench.wiperd.running():
        links = [socket.socket(socket.AF_UNIX) for _ in range(CONNECTIONS_MAX)]
        try:
            for link in links:
                link.settimeout(SAFETY_S)
                link.connect(str(bench.wiperd.socket))
                hello(link)
            with pytest.raises(Exception, match="connections") as caught:
                bench.ask(lambda client: client.jobs())
            assert getattr(caught.value, "code", "") == "bench.full"
        finally:
            for link in links:
                link.close()
        until(lambda: answers(bench))


def answers(bench: Bench) -> bool:
    try:
        return bench.ask(lambda client: client.jobs()) == ()
    except ChannelClosedError:
        return False
    except Exception as error:
        if getattr(error, "code", "") == "bench.full":
            return False
        raise


def test_a_flood_without_reading_ends_its_own_connection_alone(bench: Bench) -> None:
    ask = encode(b.Open(1, bench.device, None, 600_000, outside_bays=False))
    with bench.wiperd.running(), socket.socket(socket.AF_UNIX) as link:
        link.settimeout(SAFETY_S)
        link.connect(str(bench.wiperd.socket))
        hello(link)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            link.sendall(ask * 1_000_000)
        held = bench.ask(lambda client: client.open(bench.device, patience_s=30))
        assert held.device == bench.device


def test_a_rack_of_drives_at_once_over_one_connection(tmp_path: Path) -> None:
    async def one(client: BenchClient, device: str) -> str:
        held, job = await begin(client, device)
        verdict = await finished(client, job, held)
        await client.close(held)
        return verdict

    with ExitStack() as stack:
        images = [tmp_path / f"{number}.img" for number in range(DRIVES)]
        for image in images:
            image.write_bytes(b"customer" * (2 * MIB // 8))
        devices = [stack.enter_context(attached(image)) for image in images]
        door = stack.enter_context(socket_folder()) / "wiperd.sock"
        bench = Bench(Wiperd(tmp_path, devices, door), devices[0], images[0])
        process = stack.enter_context(bench.wiperd.running())

        async def everything(client: BenchClient) -> list[str]:
            return await asyncio.gather(*(one(client, device) for device in devices))

        assert bench.ask(everything) == ["SANITIZED_WITH_EXCEPTIONS"] * DRIVES
        until(lambda: not children(process.pid))
        assert not any(b"customer" in image.read_bytes() for image in images)


def test_an_aborted_job_is_concluded_as_that_and_as_nothing_else(bench: Bench) -> None:
    with bench.wiperd.running(), bench.wiperd.agent(bench.device, SLOW) as (_, job, _):

        async def stop(client: BenchClient) -> JobEnd | None:
            held = await client.open(bench.device)
            with pytest.raises(RefusedError):
                await client.conclude(job, JobEnd.ABORTED)
            await client.abort(held)
            await client.work(job, held, lambda _: None)
            with pytest.raises(RefusedError) as caught:
                await client.conclude(job, JobEnd.COMPLETED)
            assert [one.code for one in caught.value.refusals] == ["job.other-end"]
            return (await client.look(job)).end

        assert bench.ask(stop) is JobEnd.ABORTED
