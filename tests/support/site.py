"""A real site: wiperd, agent and server as processes of this machine, drives on loop devices.

Everything is the product as it is installed, each daemon with the state directory it would have.
Only loop devices that were made here, on files of the test's own folder, are in its bays.
"""

from __future__ import annotations

import hashlib
import json
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nullbay.certs.keys import load_or_create
from support.command import COMMAND
from support.processes import Seen, children, until

SECTOR = 512
TOKEN = "operator-token-of-a-test-0123456789"
CENTRE_TOKEN = "station-token-of-a-test-0123456789"
USER_TOKEN = "auditor-token-of-a-test-0123456789"
LINE = b"nullbay customer data that must be gone, sector %012d ......\n"
DEADLINE_S = 30


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Daemon:
    """One daemon: how it is started, and the process that runs now."""

    name: str
    arguments: list[str]
    folder: Path
    starts: int = 0
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.starts += 1
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*COMMAND, *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"},
            )

    def kill(self) -> None:
        """`kill -9`."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and wait."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)

    def log(self) -> str:
        return (self.folder / f"{self.name}.log").read_text("utf-8", "replace")

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid


@dataclass
class LoopBay:
    """A bay and the loop device in it."""

    name: str
    image: Path
    device: str


@dataclass
class Site:
    """The three daemons and the bays."""

    folder: Path
    bays: list[LoopBay]
    rate_bytes_per_s: int = 0
    station_more: str = ""
    bay_more: str = ""
    with_centre: bool = True
    station_port: int = field(default_factory=free_port)
    centre_port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        etc = self.folder / "etc"
        (etc / "policies").mkdir(parents=True)
        (etc / "policies" / "test.toml").write_text(self._policy())
        (etc / "station.toml").write_text(self._station())
        for daemon, name in (("agent", "station"), ("wiperd", "bench"), ("server", "centre")):
            keys = self.folder / daemon / "keys"
            keys.mkdir(parents=True)
            (self.folder / daemon).chmod(0o700)
            made = load_or_create(keys / f"{name}.pem", name)
            (etc / f"{name}.pub.pem").write_bytes(made.public_key_pem)
        (etc / "centre.token").write_text(CENTRE_TOKEN)
        centre = self.folder / "etc-server"
        centre.mkdir()
        (centre / "server.toml").write_text(self._centre())
        sock = self.folder / "wiperd.sock"
        state = {name: str(self.folder / name) for name in ("agent", "wiperd", "server")}
        self.wiperd = Daemon(
            "wiperd",
            [
                *("wiperd", "--config", str(etc), "--state-dir", state["wiperd"]),
                *("--socket", str(sock), "--agent-user", "root"),
            ],
            self.folder,
        )
        self.agent = Daemon(
            "agent",
            ["agent", "--config", str(etc), "--state-dir", state["agent"], "--socket", str(sock)],
            self.folder,
        )
        self.server = Daemon(
            "server",
            ["server", "--config", str(centre), "--state-dir", state["server"]],
            self.folder,
        )

    @property
    def daemons(self) -> list[Daemon]:
        return [self.wiperd, self.agent, *([self.server] if self.with_centre else [])]

    def start(self) -> None:
        """All of them, until they answer."""
        for daemon in self.daemons:
            daemon.start()
        self.until_up()

    def until_up(self) -> None:
        """Until every bay is known and the centre answers."""
        until(lambda: self.status() is not None)
        if self.with_centre:
            until(lambda: self.ask(self.centre_url, "/healthz", "")[0] == 200)

    def end(self) -> None:
        """Everything ends, in good order where it still runs."""
        for daemon in self.daemons:
            if daemon.process is not None and daemon.process.poll() is None:
                daemon.stop()

    @property
    def station_url(self) -> str:
        return f"http://127.0.0.1:{self.station_port}"

    @property
    def centre_url(self) -> str:
        return f"http://127.0.0.1:{self.centre_port}"

    def status(self) -> dict[str, Any] | None:
        """The station's status; None while it does not answer."""
        code, plain = self.ask(self.station_url, "/v1/status", TOKEN)
        return plain if code == 200 else None

    def bay(self, name: str) -> dict[str, Any]:
        """One bay, as soon as the station answers."""
        found: dict[str, Any] = {}

        def answered() -> bool:
            status = self.status()
            if status is not None:
                found.update(next(one for one in status["bays"] if one["bay"] == name))
            return bool(found)

        until(answered)
        return found

    def until_bay(self, name: str, *states: str) -> dict[str, Any]:
        """Wait until a bay stands like that."""
        until(lambda: self.bay(name)["state"] in states, self.status)
        return self.bay(name)

    def approve(self, bay: dict[str, Any]) -> bool:
        """Consent to what a bay shows."""
        body = {"plan_sha256": bay["plan_sha256"], "confirm": bay["confirm"]}
        path = f"/v1/jobs/{bay['insertion']}/approve"
        return self.ask(self.station_url, path, TOKEN, body)[0] == 200

    def ask(self, url: str, path: str, token: str, body: Any = None) -> tuple[int, Any]:
        """One request; 0 where nobody answers."""
        request = urllib.request.Request(  # noqa: S310 - our own addresses
            url + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"}
            | ({"Authorization": f"Bearer {token}"} if token else {}),
        )
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:  # noqa: S310 - our own addresses
                data = answer.read()
                kind = answer.headers.get_content_type()
                return answer.status, json.loads(data) if kind.endswith("json") else data
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError:
            return 0, None

    def drive_processes(self) -> tuple[Seen, ...]:
        """The drive processes of wiperd."""
        return children(self.wiperd.pid)

    def nullbay(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Another command on the agent's state directory."""
        return subprocess.run([*COMMAND, *arguments], capture_output=True, check=False)

    def _policy(self) -> str:
        shipped = (Path(__file__).parents[2] / "config/policies/nist-clear-full-1.toml").read_text()
        named = shipped.replace('id = "nist-clear-full/1"', 'id = "test-clear/1"')
        rate = f"\n[budgets]\nrate_limit_bytes_per_s = {self.rate_bytes_per_s}\n"
        return named + (rate if self.rate_bytes_per_s else "")

    def _station(self) -> str:
        lines = [
            'schema = "nullbay.config/1"',
            "[station]",
            'name = "bench-1"',
            self.station_more,
            "[policies]",
            'default = "test-clear/1"',
            "[http]",
            f"port = {self.station_port}",
            f'status_token_sha256 = "{sha256("status token of a test")}"',
            "[records]",
            "reserve_bytes_per_job = 1048576",
            "[[operator]]",
            'id = "op-1"',
            'name = "Olga Operator"',
            f'token_sha256 = "{sha256(TOKEN)}"',
        ]
        if self.with_centre:
            lines += [
                "[centre]",
                f'url = "http://127.0.0.1:{self.centre_port}"',
                'token_file = "centre.token"',
                'public_key_file = "centre.pub.pem"',
                "heartbeat_s = 1",
            ]
        for number, bay in enumerate(self.bays, start=1):
            lines += [
                "[[bay]]",
                f'id = "{bay.name}"',
                f"row = {(number - 1) // 6 + 1}",
                f"column = {(number - 1) % 6 + 1}",
                f'match = "/sys/devices/virtual/block/{Path(bay.device).name}"',
                self.bay_more,
            ]
        return "\n".join(lines) + "\n"

    def _centre(self) -> str:
        etc = self.folder / "etc"
        return f"""schema = "nullbay.server-config/1"
[server]
name = "Centre of a test"
port = {self.centre_port}
[[station]]
id = "bench-1"
token_sha256 = "{sha256(CENTRE_TOKEN)}"
station_key = "{etc / "station.pub.pem"}"
bench_key = "{etc / "bench.pub.pem"}"
[[user]]
id = "auditor"
name = "Anna Auditor"
role = "administrator"
token_sha256 = "{sha256(USER_TOKEN)}"
"""


def fill(image: Path, sectors: int) -> None:
    """A customer's data, recognisable in every sector."""
    with image.open("wb") as file:
        for lba in range(sectors):
            line = LINE % lba
            file.write((line * (SECTOR // len(line) + 1))[:SECTOR])


def is_clean(image: Path) -> bool:
    """Whether nothing of it is left."""
    return LINE[:40] not in image.read_bytes()


def losetup(image: Path) -> str:
    """A loop device on this file."""
    done = subprocess.run(
        ["losetup", "--find", "--show", str(image)], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def detach(device: str) -> None:
    """Pull it. The kernel says nothing while somebody still holds it: whoever listens is told."""
    subprocess.run(["losetup", "--detach", device], check=False, capture_output=True)
    with suppress(OSError):
        (Path("/sys/block") / Path(device).name / "uevent").write_text("change")


def pause(seconds: float) -> None:
    """For a moment that is drawn, not for something to happen."""
    time.sleep(seconds)
