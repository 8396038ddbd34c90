"""`nullbay` as an operator runs it: a process of its own, its lines, its exit code."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SAFETY_S = 120
"""No test waits for this: it ends one that hangs."""

COMMAND = [sys.executable, "-I", "-m", "nullbay.cli.main"]


@dataclass(frozen=True)
class Done:
    """What a command left: exit code, its JSON lines, what stood beside them."""

    code: int
    lines: list[dict[str, Any]]
    stdout: bytes
    stderr: bytes

    @property
    def last(self) -> dict[str, Any]:
        return self.lines[-1]

    def codes(self, kind: str = "reasons") -> set[str]:
        """Codes of the reasons, or of the refusals."""
        return {one["code"] for one in self.last[kind]}


class Running:
    """A command under way. Its output is read line by line, so that a test can act on it."""

    def __init__(self, process: subprocess.Popen[bytes], stderr: Path) -> None:
        self.process, self._stderr = process, stderr
        self._raw: list[bytes] = []

    def lines(self) -> Iterator[dict[str, Any]]:
        """Each line as it comes."""
        assert self.process.stdout is not None
        for raw in self.process.stdout:
            self._raw.append(raw)
            yield json.loads(raw)

    def until(self, is_it: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Read on until a line is it; AssertionError where the command ends before."""
        for line in self.lines():
            if is_it(line):
                return line
        raise AssertionError(f"it ended before: {self._raw[-1:]}, {self._stderr.read_bytes()!r}")

    def until_done_bytes(self, count: int, phase: str = "write") -> dict[str, Any]:
        """Read on until so much is done in a phase."""
        return self.until(
            lambda line: (
                line["schema"] == "nullbay.progress/1"
                and line["phase"] == phase
                and int(line["done_bytes"]) >= count
            )
        )

    def until_said(self, words: bytes) -> None:
        """Wait until it stands on standard error."""
        end = time.monotonic() + SAFETY_S
        while words not in self._stderr.read_bytes():
            assert self.process.poll() is None, "it ended before"
            assert time.monotonic() < end, "it did not say so"
            time.sleep(0.01)

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def wait(self) -> Done:
        """Read to the end."""
        for _ in self.lines():
            pass
        code = self.process.wait(SAFETY_S)
        stdout = b"".join(self._raw)
        lines = [json.loads(one) for one in stdout.splitlines()]
        return Done(code, lines, stdout, self._stderr.read_bytes())


@dataclass(frozen=True)
class Operator:
    """Somebody at a station: one state directory, one folder for records."""

    folder: Path

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def run(self, *arguments: str | Path) -> Done:
        """A command, to its end, with `--json`."""
        with self.start(*arguments) as running:
            return running.wait()

    @contextmanager
    def start(self, *arguments: str | Path) -> Iterator[Running]:
        """A command under way; it does not outlive the block."""
        self.folder.mkdir(exist_ok=True)
        number = len(list(self.folder.glob("stderr-*")))
        stderr = self.folder / f"stderr-{number}"
        with (
            stderr.open("wb") as beside,
            subprocess.Popen(
                [*COMMAND, *map(str, arguments), "--json"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=beside,
                cwd=self.folder,
            ) as process,
        ):
            try:
                yield Running(process, stderr)
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait(SAFETY_S)

    def listed(self, device: str | Path) -> dict[str, Any]:
        """What `nullbay drives` says of one."""
        done = self.run("drives", device, "--outside-bays", "--state-dir", self.state)
        assert done.code == 0
        (found,) = done.last["drives"]
        return dict(found)

    def wipe_arguments(
        self, device: str | Path, policy: str, *more: str | Path, confirm: str | None = None
    ) -> list[str | Path]:
        """The command line of a wipe by somebody who looked at the listing."""
        text = self.listed(device)["confirm"] if confirm is None else confirm
        where: list[str | Path] = ["--state-dir", self.state, "--out", self.out]
        return ["wipe", device, "--policy", policy, "--confirm", text, *where, *more]

    def wipe(
        self, device: str | Path, policy: str, *more: str | Path, confirm: str | None = None
    ) -> Done:
        """Wipe it outside any bay, to the end."""
        arguments = self.wipe_arguments(device, policy, *more, confirm=confirm)
        return self.run(*arguments, "--outside-bays")

    def verify(self, certificate: str | Path) -> Done:
        """`cert verify` with the station's key."""
        trust = self.out / "station.pub.pem"
        return self.run("cert", "verify", certificate, "--trust", trust)

    def recheck(self, certificate: str | Path, device: str | Path, *more: str | Path) -> Done:
        """`cert recheck`."""
        return self.run("cert", "recheck", certificate, "--device", device, *more)

    def jobs(self, below: str = "") -> list[dict[str, Any]]:
        """What `nullbay jobs` lists, newest first; drives of software are below `demo`."""
        done = self.run("jobs", "--state-dir", self.state / below)
        assert done.code == 0
        return list(done.last["jobs"])
