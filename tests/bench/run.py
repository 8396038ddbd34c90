"""`make bench`: how fast the engine writes and reads back, beside other programs; station, centre.

As root, on loop devices over files in memory that are made here and released whatever happens: the
same devices for everybody, and nothing else is ever opened for writing. Other programs disturb any
single run, so every figure of ours is measured next to one of `fio`, in alternating order, several
times, and the median of the ratios is what counts. docs/performance.md explains the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

from bench import centre, station  # noqa: E402 - found beside this file
from bench.engine import Engine, engine  # noqa: E402

from nullbay.certs import verify  # noqa: E402
from nullbay.certs.keys import PublicKey  # noqa: E402
from nullbay.domain.patterns import ZERO, Keyed, Pattern  # noqa: E402
from nullbay.wipers.platform import loop  # noqa: E402
from support import evidence_factory  # noqa: E402

MEMORY = Path("/dev/shm")
MIB = 1 << 20
GIB = 1 << 30
SECTOR_BYTES = 4096
FIO_BLOCK = "4M"
NWIPE_MIB = 256
STATION_MIB = 64
WATCHED_RATE = 200_000_000
VERIFY_S = 3.0
TIMEOUT_S = 600
TOOLS = {"fio": "fio", "nwipe": "nwipe", "shred": "coreutils"}


@dataclass(frozen=True)
class Row:
    """One line of the table. `beside` is what the ratio compares with; `met` None: no goal."""

    name: str
    unit: str
    measured: float
    goal: str = ""
    beside: str = ""
    beside_measured: float | None = None
    ratio: float | None = None
    met: bool | None = None


@dataclass
class Pairs:
    """Figures of ours and of fio that were taken side by side."""

    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)

    def row(self, name: str) -> Row:
        ratio = statistics.median(self.ratios)
        return Row(
            name,
            "MB/s",
            statistics.median(self.ours),
            ">= 0.97 of fio",
            f"fio psync direct {FIO_BLOCK}",
            statistics.median(self.theirs),
            ratio,
            ratio >= 0.97,
        )


@dataclass
class Bench:
    """What is measured with, and what came of it."""

    runs: int
    device: str
    size_bytes: int
    many: list[str]
    many_bytes: int
    scratch: Path
    rows: list[Row] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    async def everything(self) -> None:
        """All of it; what cannot be measured is said."""
        await self.attempt("CPU time", self.cpu)
        await self.attempt("memory", self.memory)
        await self.attempt("certificates", self.certificates)
        await self.attempt("one drive", lambda: self.beside_fio("one drive", [self.device]))
        await self.attempt(
            "eight drives", lambda: self.beside_fio(f"{len(self.many)} drives", self.many)
        )

        await self.attempt("a station of 24 bays", self.station)
        await self.attempt("the centre", self.centre)

    async def station(self) -> None:
        """CPU of the agent, with 24 bays idle and at work."""
        cost = await asyncio.to_thread(station.station, self.scratch, mib=STATION_MIB)
        name = f"agent, {station.BAYS} bays"
        idle = cost.idle_share
        self.rows.append(
            Row(f"{name} idle, CPU", "% of one", idle * 100, goal="< 1", met=idle < 0.01)
        )
        self.rows.append(Row(f"{name} at work, CPU", "% of one", cost.running_share * 100))
        speed = cost.wiped_bytes / cost.running_s / 1e6
        self.rows.append(Row(f"{name} at work, from approval to record", "MB/s", speed))

    async def centre(self) -> None:
        """Records accepted and stations polled."""
        figures = await asyncio.to_thread(centre.figures, say)
        self.rows += [Row(one.name, one.unit, one.measured) for one in figures]

    async def attempt(self, what: str, measure: Callable[[], Awaitable[None]]) -> None:
        """One part; a failure of it is no end of the others."""
        say(f"-- {what}")
        try:
            await measure()
        except (OSError, RuntimeError, TypeError, subprocess.SubprocessError) as error:
            self.skipped.append(f"{what}: {error}")

    async def beside_fio(self, name: str, devices: list[str]) -> None:
        """Write and read back, fixed and keyed pattern, next to fio."""
        need("fio")
        found = {key: Pairs() for key in ("write fixed", "read fixed", "write keyed", "read keyed")}
        async with AsyncExitStack() as stack:
            engines = [await stack.enter_async_context(engine(one)) for one in devices]
            # ours hold the devices by O_EXCL and flock, which keeps nobody out who asks for neither
            for _ in range(self.runs):
                for pattern, word in ((ZERO, "fixed"), (Keyed(), "keyed")):
                    await side_by_side(
                        found[f"write {word}"],
                        lambda: fio(devices, "write"),
                        lambda one=pattern: together(engines, one, "write"),  # type: ignore[misc]
                    )
                    await side_by_side(
                        found[f"read {word}"],
                        lambda: fio(devices, "read"),
                        lambda one=pattern: together(engines, one, "verify"),  # type: ignore[misc]
                    )
        for key, pairs in found.items():
            verb, word = key.split()
            does = "written" if verb == "write" else "verified"
            self.rows.append(pairs.row(f"{name}, {does}, {word} pattern"))

    async def cpu(self) -> None:
        """CPU seconds per GiB of a random pattern, ours, shred's and nwipe's."""
        ours = []
        fixed = []
        async with engine(self.device) as one:
            for _ in range(self.runs):
                ours.append((await one.write(Keyed())).cpu_s / (one.size_bytes / GIB))
                fixed.append((await one.write(ZERO)).cpu_s / (one.size_bytes / GIB))
        measured = statistics.median(ours)
        others = []
        try:
            need("shred")
            spent = [
                child_cpu_s(["shred", "-n1", self.device]) / (self.size_bytes / GIB)
                for _ in range(min(3, self.runs))
            ]
            others.append(("shred -n1", statistics.median(spent)))
        except RuntimeError as error:
            self.skipped.append(str(error))
        try:
            need("nwipe")
            others.append(("nwipe prng", self.nwipe()))
        except RuntimeError as error:
            self.skipped.append(str(error))
        unit, goal = "CPU s/GiB", "<= 0.2"
        name = "random pattern, CPU time"
        for beside, other in others:
            self.rows.append(
                Row(name, unit, measured, goal, beside, other, measured / other, measured <= 0.2)
            )
        if not others:
            self.rows.append(Row(name, unit, measured, goal, met=measured <= 0.2))
        self.rows.append(Row("fixed pattern, CPU time", unit, statistics.median(fixed)))

    def nwipe(self) -> float:
        """Debian's nwipe, one random pass, without a terminal, on a small device of its own."""
        with made(self.scratch / "nwipe.img", NWIPE_MIB * MIB) as device:
            command = ["nwipe", "--nogui", "--autonuke", "--nowait", "--method=prng"]
            command += ["--rounds=1", "--noblank", "--verify=off"]
            command += [f"--logfile={self.scratch / 'nwipe.log'}", device]
            spent = child_cpu_s(command)
        log = (self.scratch / "nwipe.log").read_text(errors="replace")
        if f"{NWIPE_MIB * MIB} bytes written to {device}" not in log:
            raise RuntimeError("nwipe did not write its device")
        return spent / (NWIPE_MIB * MIB / GIB)

    async def memory(self) -> None:
        """PSS of a drive process with its buffers, the most that was seen while it worked."""
        async with engine(self.device) as one:
            await one.write(Keyed(), rate=WATCHED_RATE * 4, watch=True)
            await one.verify(Keyed(), watch=True)
            seen = one.memory_kib
        for phase, words in (("write", "writing"), ("verify", "verifying")):
            if phase not in seen:
                raise RuntimeError(f"too fast to be looked at while {words}")
            pss = seen[phase]["Pss"] / 1024
            private = seen[phase]["Private"] / 1024
            self.rows.append(
                Row(
                    f"memory of a drive process, {words}",
                    "MiB PSS",
                    pss,
                    "<= 40",
                    "of it private",
                    private,
                    None,
                    pss <= 40,
                )
            )

    async def certificates(self) -> None:
        """Whole checks of one certificate: signatures, transcript, verdict, every field."""
        certified = evidence_factory.certify(evidence_factory.good_evidence())
        trust = PublicKey.from_pem(certified.station.public_key_pem)
        count, started = 0, time.perf_counter()
        while (spent := time.perf_counter() - started) < VERIFY_S:
            verify.verify(certified.bundle, (trust,), None)
            count += 1
        self.rows.append(Row("cert verify, one core", "checks/s", count / spent))


async def side_by_side(
    pairs: Pairs, theirs: Callable[[], Awaitable[float]], ours: Callable[[], Awaitable[float]]
) -> None:
    """Theirs, ours, theirs, ours: each neighbour is compared, in both orders."""
    series = [await theirs(), await ours(), await theirs(), await ours()]
    pairs.theirs += series[0::2]
    pairs.ours += series[1::2]
    pairs.ratios += [series[1] / series[0], series[1] / series[2], series[3] / series[2]]


async def together(engines: list[Engine], pattern: Pattern, what: str) -> float:
    """MB/s of all drives, from the first one's start to the last one's end."""
    work = [one.write(pattern) if what == "write" else one.verify(pattern) for one in engines]
    spans = await asyncio.gather(*work)
    start, end = min(one.start_us for one in spans), max(one.end_us for one in spans)
    return sum(one.size_bytes for one in engines) / (end - start)


async def fio(devices: list[str], mode: str) -> float:
    """MB/s of fio, one job for each device; the same devices, the whole of them."""
    command = ["fio", "--ioengine=psync", "--direct=1", f"--bs={FIO_BLOCK}", f"--rw={mode}"]
    command += ["--end_fsync=1", "--thread=0", "--output-format=json"]
    for number, device in enumerate(devices):
        command += [f"--name=job{number}", f"--filename={device}"]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    stdout, _ = await asyncio.wait_for(process.communicate(), TIMEOUT_S)
    if process.returncode != 0:
        raise RuntimeError(f"fio ended with {process.returncode}")
    told = [job[mode] for job in json.loads(stdout)["jobs"]]
    return float(sum(one["io_bytes"] for one in told) / max(one["runtime"] for one in told) / 1000)


def child_cpu_s(command: list[str]) -> float:
    """User and system seconds of a command and what it started."""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            os.killpg(process.pid, 9)
            raise
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


@contextmanager
def made(image: Path, size: int) -> Iterator[str]:
    """A loop device over a file in memory, every page of it there already."""
    with image.open("wb") as file:
        for _ in range(size // MIB):
            file.write(b"\xc5" * MIB)
    attached = loop.attach(image, sector_bytes=SECTOR_BYTES)
    try:
        yield attached.device
    finally:
        loop.detach(attached)
        image.unlink()


def need(tool: str) -> None:
    """RuntimeError where a program is missing."""
    if shutil.which(tool) is None:
        raise RuntimeError(f"{tool} is not here: apt-get install {TOOLS[tool]}")


def install() -> None:
    """What is missing, where it may be installed."""
    missing = sorted({package for tool, package in TOOLS.items() if shutil.which(tool) is None})
    if missing and shutil.which("apt-get"):
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        say(f"installing {', '.join(missing)}")
        for command in (
            ["apt-get", "-qq", "update"],
            ["apt-get", "-qq", "install", "-y", "--no-install-recommends", *missing],
        ):
            subprocess.run(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
            )


def say(text: str) -> None:
    """Progress, beside the result."""
    print(text, file=sys.stderr, flush=True)


def table(rows: list[Row]) -> str:
    """The figures in words."""
    lines = [
        f"{'':38} {'measured':>9} {'':9} {'goal':15} {'beside':>24} {'':>9} {'ratio':>6}",
    ]
    for row in rows:
        mark = {True: "met", False: "MISSED", None: ""}[row.met]
        digits = 3 if row.measured < 10 else 1 if row.measured < 1000 else 0
        other = "" if row.beside_measured is None else f"{row.beside_measured:.{digits}f}"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        lines.append(
            f"{row.name:38} {row.measured:>9.{digits}f} {row.unit:9} {row.goal:15} "
            f"{row.beside:>24} {other:>9} {ratio:>6}  {mark}".rstrip()
        )
    return "\n".join(lines)


def plain(bench: Bench) -> dict[str, object]:
    """`nullbay.bench/1`."""
    return {
        "schema": "nullbay.bench/1",
        "runs": bench.runs,
        "one_drive_bytes": bench.size_bytes,
        "each_of_many_bytes": bench.many_bytes,
        "many": len(bench.many),
        "processors": os.cpu_count(),
        "rows": [
            {
                "name": row.name,
                "unit": row.unit,
                "measured": row.measured,
                "goal": row.goal or None,
                "met": row.met,
                "beside": row.beside or None,
                "beside_measured": row.beside_measured,
                "ratio": row.ratio,
            }
            for row in bench.rows
        ],
        "not_measured": bench.skipped,
    }


def main() -> int:
    """0; 1 where something could not be measured."""
    parser = argparse.ArgumentParser(description="Speed and memory, on loop devices, as root.")
    parser.add_argument("--json", action="store_true", help="print nullbay.bench/1")
    parser.add_argument("--runs", type=int, default=5, help="repetitions of each measurement")
    parser.add_argument("--mib", type=int, default=2048, help="size of the one drive")
    parser.add_argument("--many", type=int, default=8, help="how many drives at once")
    parser.add_argument("--many-mib", type=int, default=512, help="size of each of them")
    wanted = parser.parse_args()
    if os.geteuid() != 0:
        say("bench: loop devices need root; run it: sudo make bench")
        return 1
    install()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nb-", dir=MEMORY)))
        one = stack.enter_context(made(scratch / "one.img", wanted.mib * MIB))
        many = [
            stack.enter_context(made(scratch / f"{number}.img", wanted.many_mib * MIB))
            for number in range(wanted.many)
        ]
        bench = Bench(wanted.runs, one, wanted.mib * MIB, many, wanted.many_mib * MIB, scratch)
        asyncio.run(bench.everything())
    print(json.dumps(plain(bench)) if wanted.json else table(bench.rows))
    for line in bench.skipped:
        say(f"not measured: {line}")
    return 1 if bench.skipped else 0


if __name__ == "__main__":
    sys.exit(main())
