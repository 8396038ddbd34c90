"""What the units forbid does not blind the program, and does not break it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.command import COMMAND, SAFETY_S, Operator
from support.filesystem import KnownFiles, attached
from support.tree import TOP
from support.units import AGENT, FOLDER, SERVER, WIPERD

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="capabilities and loop devices need root")

MIB = 1 << 20
NOBODY = 65534
FENCED = [sys.executable, "-I", str(TOP / "tests/support/fenced.py")]
USES = """
import json, sys
from nullbay.wipers.platform.clocksync import kernel_clock_sync
from nullbay.wipers.platform.discover import find_drive
from nullbay.wipers.platform.hostfacts import LinuxHostFacts
answer = LinuxHostFacts().uses_of(find_drive(sys.argv[1]))
told = [[use.kind.value, use.evidence] for use in answer.uses]
print(json.dumps({"uses": told, "undetermined": answer.undetermined, "sync": kernel_clock_sync()}))
"""
OPEN_AND_WAIT = (
    "import os, sys; fd = os.open(sys.argv[1], os.O_RDWR); os.setgid(int(sys.argv[2]));"
    " os.setuid(int(sys.argv[2])); print('open', flush=True); sys.stdin.read()"
)


def behind(unit: str, *command: str | Path, without: str = "-") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*FENCED, FOLDER / unit, without, "--", *command],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def uses(device: str, without: str = "-") -> dict[str, Any]:
    done = behind(WIPERD, sys.executable, "-I", "-c", USES, device, without=without)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@contextmanager
def waiting(*command: str | Path) -> Iterator[int]:
    """A process that has said that it is there; it ends with the block."""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline()
            yield process.pid
        finally:
            process.kill()


@pytest.fixture
def device(tmp_path: Path) -> Iterator[str]:
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(24 * MIB)
    with attached(image) as node:
        yield node


@pytest.mark.parametrize("user", [0, NOBODY])
def test_wiperd_sees_who_has_a_drive_open_for_writing(device: str, user: int) -> None:
    """Root's own programs, with all their capabilities, and other people's."""
    opener = (sys.executable, "-I", "-c", OPEN_AND_WAIT, device, str(user))
    with waiting(*opener) as pid:
        wanted = ["open", f"process {pid} (python) has it open for writing"]
        names = [["open", said.replace("python3", "python")] for _, said in uses(device)["uses"]]
        assert wanted in names
        # the capability that the unit gives for this is the one that does it
        assert not uses(device, without="CAP_SYS_PTRACE")["uses"]
    assert not uses(device)["uses"]


def test_wiperd_sees_a_mount_in_another_mount_namespace(device: str, tmp_path: Path) -> None:
    KnownFiles(tmp_path / "image").fill(device, tmp_path / "mounted")
    elsewhere = (
        "unshare",
        "--mount",
        "sh",
        "-c",
        f"mount -t ext4 {device} {tmp_path}/mounted && echo mounted && read -r _",
    )
    with waiting(*elsewhere) as pid:
        told = uses(device)["uses"]
        assert [kind for kind, _ in told] == ["mount"]
        assert f"in the mount namespace of process {pid}" in told[0][1]


def test_the_word_of_the_kernel_on_its_clock_comes_through(device: str) -> None:
    assert uses(device)["sync"] in {"synchronised", "unsynchronised"}


def test_a_whole_wipe_works_behind_the_fences_of_wiperd(device: str, tmp_path: Path) -> None:
    """Start of a drive process, lanes that drop their capabilities, signalling it, the record."""
    operator = Operator(tmp_path / "operator")
    operator.folder.mkdir()
    arguments = operator.wipe_arguments(device, "nist-clear-full", "--outside-bays")
    done = behind(WIPERD, *COMMAND, *arguments, "--json")
    assert done.returncode in {0, 10}, done.stdout[-2000:] + done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["verdict"] in {"SANITIZED", "SANITIZED_WITH_EXCEPTIONS"}


def settings_of(daemon: str, port: int) -> str:
    return {
        "wiperd": 'schema = "nullbay.config/1"\n',
        "agent": f'schema = "nullbay.config/1"\n[http]\nport = {port}\n',
        "server": f'schema = "nullbay.server-config/1"\n[server]\nport = {port}\n',
    }[daemon]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("unit", [WIPERD, AGENT, SERVER])
def test_the_daemon_is_ready_is_fed_and_ends_when_told(unit: str, tmp_path: Path) -> None:
    """The command of the unit, behind the unit's fences, with a service manager that listens."""
    daemon = unit.removeprefix("nullbay-").removesuffix(".service")
    config, door = tmp_path / "config", tmp_path / "run/wiperd.sock"
    config.mkdir()
    (config / "settings.toml").write_text(settings_of(daemon, free_port()))
    places: list[str | Path] = ["--config", config, "--state-dir", tmp_path / "state"]
    places += [] if daemon == "server" else ["--socket", door]
    places += ["--agent-user", "nobody"] if daemon == "wiperd" else []
    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000"}
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(
            [*FENCED, FOLDER / unit, "-", "--", *COMMAND, daemon, *places],
            env=os.environ | environ,
            stderr=log,
        ) as process,
    ):
        manager.settimeout(SAFETY_S)
        manager.bind(environ["NOTIFY_SOCKET"])
        try:
            wait_for(manager, "READY=1")
            wait_for(manager, "WATCHDOG=1")
            if daemon == "wiperd":
                status = door.stat()
                assert (status.st_gid, status.st_mode & 0o777) == (NOBODY, 0o660)
            process.terminate()
            wait_for(manager, "STOPPING=1")
            assert process.wait(SAFETY_S) == 0
        except TimeoutError:
            pytest.fail((tmp_path / "log").read_text()[-2000:])
        finally:
            process.kill()


def wait_for(manager: socket.socket, message: str) -> None:
    """Until the daemon says so. Raises TimeoutError."""
    while manager.recv(4096).decode().partition("\n")[0] != message:
        pass


@pytest.mark.parametrize("unit", [AGENT, SERVER])
def test_the_program_works_behind_the_fences_of_the_others(unit: str) -> None:
    """With no capability: signatures, databases, documents, sockets, netlink."""
    code = """
import asyncio, socket, sqlite3, sys
import aiohttp.web, alembic, jinja2, psycopg, pyudev, sqlalchemy, structlog, zstandard
from nullbay.certs import fonts, pdf
from nullbay.wipers.platform.clocksync import kernel_clock_sync
import typst
typst.compile(b"= Verdict", format="pdf")
assert sqlalchemy.create_engine("sqlite://").connect().scalar(sqlalchemy.text("select 1")) == 1
async def serve():
    async def answer(request):
        return aiohttp.web.Response(text="ok")
    app = aiohttp.web.Application()
    app.router.add_get("/", answer)
    runner = aiohttp.web.AppRunner(app)
    await runner.setup()
    site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    async with aiohttp.ClientSession() as session, session.get(f"http://{host}:{port}/") as got:
        print(await got.text())
    await runner.cleanup()
asyncio.run(serve())
if sys.argv[1] == "nullbay-agent.service":
    pyudev.Monitor.from_netlink(pyudev.Context(), "kernel").start()
    assert kernel_clock_sync() != "unknown"
"""
    done = behind(unit, sys.executable, "-I", "-c", code, unit)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr


def test_the_fences_are_up(tmp_path: Path) -> None:
    """A test behind fences that are not there would show nothing."""
    sleep = shutil.which("sleep") or ""
    chroot = behind(WIPERD, shutil.which("chroot") or "", tmp_path, sleep, "0")
    assert "Operation not permitted" in chroot.stderr
    writable = "import mmap; mmap.mmap(-1, 4096, prot=7)"
    assert "PermissionError" in behind(AGENT, sys.executable, "-I", "-c", writable).stderr
    clock = "import time; time.clock_settime(time.CLOCK_REALTIME, time.time())"
    assert "PermissionError" in behind(WIPERD, sys.executable, "-I", "-c", clock).stderr
