"""`nullbay wiperd` as a process of its own, with loop devices in its bays, and an agent's side."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nullbay.config.policies import resolve, shipped
from nullbay.domain.ids import JobId
from nullbay.domain.plan import SanitizationPlan
from nullbay.domain.policy import Policy
from nullbay.wipers import protocol as p
from nullbay.wipers.client import BenchClient, Held, connect
from nullbay.wipers.planner import plan as make_plan
from support.command import COMMAND, SAFETY_S
from support.processes import until

CLEAR: Policy = resolve(shipped(), "nist-clear-full")

WORKING_AGENT = """
import asyncio, sys
from pathlib import Path
from support.wiperd import begin, connect
from nullbay.wipers import protocol as p

async def main():
    client = await connect(Path(sys.argv[1]), "test")
    held, job = await begin(client, sys.argv[2])
    def heard(message):
        if isinstance(message, p.RangesFlushed):
            print(job, held.handle, flush=True)
    await client.work(job, held, heard, int(sys.argv[3]))

asyncio.run(main())
"""


class Wiperd:
    """One station's bench: configuration, state, socket; the process comes and goes."""

    def __init__(self, folder: Path, devices: list[str], door: Path) -> None:
        self.folder, self.socket = folder, door
        self.state = folder / "wiperd"
        self.settings = folder / "settings.toml"
        bays = [
            f'[[bay]]\nid = "L{n}"\nrow = 1\ncolumn = {n}\n'
            f'match = "{Path("/sys/class/block", Path(one).name).resolve()}"\n'
            for n, one in enumerate(devices, 1)
        ]
        self.settings.write_text('schema = "nullbay.config/1"\n' + "".join(bays))
        self.settings.chmod(0o644)

    @property
    def arguments(self) -> list[str]:
        return [
            *COMMAND,
            *("wiperd", "--config", str(self.settings), "--state-dir", str(self.state)),
            *("--socket", str(self.socket), "--agent-user", "0"),
        ]

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Started and listening; killed at the end if it is still there."""
        process = subprocess.Popen(self.arguments, stderr=subprocess.PIPE)
        try:
            until(lambda: self.listens() or process.poll() is not None)
            assert process.poll() is None, process.communicate()[1]
            yield process
        finally:
            process.kill()
            process.wait()
            assert process.stderr is not None
            process.stderr.close()

    def listens(self) -> bool:
        """Whether somebody would answer; a socket that a killed one left is not enough."""
        with socket.socket(socket.AF_UNIX) as link:
            return link.connect_ex(str(self.socket)) == 0

    def stop(self, process: subprocess.Popen[bytes]) -> int:
        """SIGTERM, and wait for its end."""
        process.send_signal(signal.SIGTERM)
        return process.wait(SAFETY_S)

    @contextmanager
    def agent(self, device: str, rate_bytes_per_s: int) -> Iterator[tuple[int, JobId, str]]:
        """An agent that works on a drive: pid, job and handle, once something is on the medium."""
        tests = Path(__file__).resolve().parents[1]
        child = subprocess.Popen(
            [sys.executable, "-c", WORKING_AGENT, str(self.socket), device, str(rate_bytes_per_s)],
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": str(tests)},
        )
        try:
            assert child.stdout is not None
            words = child.stdout.readline().split()
            assert len(words) == 2, "the agent ended before anything was written"
            yield child.pid, JobId(words[0].decode()), words[1].decode()
        finally:
            child.kill()
            child.wait()
            assert child.stdout is not None
            child.stdout.close()


@contextmanager
def socket_folder() -> Iterator[Path]:
    """A short path (108 bytes are all a socket may have) that others can reach."""
    with tempfile.TemporaryDirectory(prefix="nb-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def plan_of(held: Held) -> SanitizationPlan:
    """What CLEAR does to it."""
    planned = make_plan(held.drive, CLEAR)
    assert isinstance(planned, SanitizationPlan), planned
    return planned


async def begin(client: BenchClient, device: str) -> tuple[Held, JobId]:
    """A held drive and an approved job."""
    held = await client.open(device)
    plan = plan_of(held)
    view = await client.create(held, CLEAR.policy_id, CLEAR.sha256, plan.sha256, None, ())
    return held, view.job_id


__all__ = ["CLEAR", "Wiperd", "begin", "connect", "p", "plan_of", "socket_folder"]
