"""Runs the tests, tier by tier: ``make test``, or some tiers: ``make test TIERS="unit house"``.

Long tiers have targets of their own (``make test-sim``, ``make test-faults``).

Says what a tier needs, installs it where it may (Debian, as root), and calls nothing a success that
did not run: a tier with no test in it fails, and with CI=true so does a skipped one, unless
docs/testing.md excuses it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import NoReturn

from support.markdown import table

TOP = Path(__file__).resolve().parents[1]

# Command → Debian package. The command decides, not the package: another system may have it too.
WITNESSES = {
    "jq": "jq",
    "openssl": "openssl",
    "pdftotext": "poppler-utils",
    "sha256sum": "coreutils",
    "tar": "tar",
    "zstd": "zstd",
}
DISKS = {"losetup": "util-linux", "mkfs.ext4": "e2fsprogs"}
CENTRE = {"pg_lsclusters": "postgresql"}
PACKAGE = {"debootstrap": "debootstrap", "systemd-analyze": "systemd"}


@dataclass(frozen=True)
class Tier:
    """A folder of tests and what it needs."""

    name: str
    commands: Mapping[str, str] = field(default_factory=dict)
    loops: bool = False
    """Needs root and loop devices."""
    ceiling_s: int = 600
    own_target: bool = False
    """Runs only when it is named."""


# Cheap answers first.
TIERS = (
    Tier("house", {"git": "git"}),
    Tier("unit", ceiling_s=1200),
    Tier("contract", WITNESSES | {"systemd-analyze": "systemd"}),
    Tier("integration", WITNESSES | DISKS | CENTRE | PACKAGE, loops=True, ceiling_s=1200),
    Tier("browser", {"chromium": "chromium"}),
    Tier("sim", ceiling_s=840, own_target=True),
    Tier("faults", DISKS, loops=True, ceiling_s=840, own_target=True),
)


@dataclass(frozen=True)
class Outcome:
    """How a tier ended. Counts are None when the tests did not live to tell."""

    tier: str
    result: str
    ok: bool
    seconds: float = 0.0
    counts: Mapping[str, int] | None = None


class Unavailable(Exception):  # noqa: N818 - a state of this machine, not a mistake
    """Why a tier cannot run here, and the command that changes it."""


def say(text: str) -> None:
    """A line now, whatever stdout is connected to."""
    print(text, flush=True)


def prepare(tier: Tier) -> None:
    """Have what the tier needs, or raise Unavailable; SystemExit when installing it failed."""
    as_root = os.geteuid() == 0
    with_root = f'sudo make test TIERS="{tier.name}"'
    missing = {command for command in tier.commands if shutil.which(command) is None}
    if tier.loops and not as_root:
        raise Unavailable(f"needs root; enable it: {with_root}")
    if missing:
        packages = sorted({tier.commands[command] for command in missing})
        if shutil.which("apt-get") is None:
            raise Unavailable(f"needs {', '.join(sorted(missing))}; install them and run again")
        if not as_root:
            raise Unavailable(f"needs {', '.join(packages)}; enable it: {with_root}")
        install(packages)
    if tier.loops:
        probe = subprocess.run(["losetup", "--find"], capture_output=True, text=True, check=False)
        if probe.returncode != 0:
            raise Unavailable(
                f"needs loop devices ({probe.stderr.strip()}); enable it: modprobe loop"
            )


def install(packages: list[str]) -> None:
    """Debian packages, quietly unless it fails."""
    say(f"   installing {' '.join(packages)}")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update"],
        ["apt-get", "install", "-y", "--no-install-recommends", *packages],
    ):
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            say("\n".join(done.stdout.splitlines()[-10:]))
            raise SystemExit(f"{' '.join(command)} failed, its last lines stand above")


def run(tier: Tier) -> Outcome:
    """The tier's tests, streamed, counted, and ended at its ceiling with all they started."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="nullbay-tiers-") as scratch:
        report = Path(scratch) / "report.xml"
        command = [sys.executable, "-m", "pytest", f"tests/{tier.name}", "-q"]
        # No caches in the tree: a tier run with sudo would leave root's files behind.
        command += ["-p", "no:cacheprovider", f"--junitxml={report}"]
        environment = os.environ | {"HYPOTHESIS_STORAGE_DIRECTORY": scratch}
        with subprocess.Popen(
            command, cwd=TOP, env=environment, stdin=subprocess.DEVNULL, start_new_session=True
        ) as tests:
            try:
                code = tests.wait(tier.ceiling_s)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                # Also what a test left running in its group; nothing outlives its tier.
                kill_group(tests.pid)
        seconds = time.monotonic() - started
        counts = count(report)
    if code is None:
        result = f"FAILED: over its ceiling of {tier.ceiling_s} s, killed"
    elif counts is None:
        result = f"FAILED: pytest ended with {code} and no report"
    elif not counts["passed"] + counts["failed"]:
        result = "FAILED: no test ran"
    elif counts["failed"] or code != 0:
        result = "FAILED"
    else:
        return Outcome(tier.name, "passed", ok=True, seconds=seconds, counts=counts)
    return Outcome(tier.name, result, ok=False, seconds=seconds, counts=counts)


def kill_group(leader: int) -> None:
    """End a process group, if any of it is left."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return


def count(report: Path) -> Mapping[str, int] | None:
    """Passed, failed (errors too) and skipped, as pytest wrote them down."""
    try:
        suite = ET.parse(report).getroot().find("testsuite")  # noqa: S314 - pytest's own
    except (OSError, ET.ParseError):
        return None
    if suite is None:
        return None
    total, skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
    failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
    return {"passed": total - failed - skipped, "failed": failed, "skipped": skipped}


def excused() -> dict[str, str]:
    """Tiers that CI may skip, with the reason, from docs/testing.md."""
    rows = table((TOP / "docs" / "testing.md").read_text(), "Excused tier")
    found = {row[0].strip("`"): " ".join(row[1:]) for row in rows}
    names = {tier.name for tier in TIERS}
    if wrong := [name for name, why in found.items() if name not in names or not why]:
        raise SystemExit(f"docs/testing.md excuses what is no tier, or gives no reason: {wrong}")
    return found


def attempt(tier: Tier, excuses: Mapping[str, str]) -> Outcome:
    """One tier, from its needs to its result."""
    say(f"== {tier.name}")
    try:
        prepare(tier)
    except Unavailable as reason:
        if os.environ.get("CI") != "true":
            return Outcome(tier.name, f"skipped: {reason}", ok=True)
        if why := excuses.get(tier.name):
            return Outcome(tier.name, f"skipped, excused: {why}", ok=True)
        return Outcome(tier.name, f"FAILED: skipped: {reason}", ok=False)
    except SystemExit as reason:
        return Outcome(tier.name, f"FAILED: {reason}", ok=False)
    return run(tier)


def summary(outcomes: list[Outcome]) -> str:
    """The time table, and the sum of the tests where every tier that ran has told its own."""
    lines = [f"{'tier':<12} {'tests':>6} {'skipped':>7} {'seconds':>8}  result"]
    for outcome in outcomes:
        counts = outcome.counts or {}
        tests = counts.get("passed", 0) + counts.get("failed", 0)
        lines.append(
            f"{outcome.tier:<12} {tests:>6} {counts.get('skipped', 0):>7} {outcome.seconds:>8.1f}"
            f"  {outcome.result}"
        )
    if all(outcome.counts is not None or outcome.ok for outcome in outcomes):
        total = {
            word: sum((outcome.counts or {}).get(word, 0) for outcome in outcomes)
            for word in ("passed", "failed", "skipped")
        }
        lines.append(", ".join(f"{number} {word}" for word, number in total.items()))
    return "\n".join(lines)


def stop(_number: int, _frame: FrameType | None) -> NoReturn:
    """Being told to stop unwinds like Ctrl-C, so that the tests' processes end too."""
    raise KeyboardInterrupt


def main(names: list[str]) -> int:
    """The tiers named, all short ones without names; 0 only if each did what it should."""
    known = {tier.name: tier for tier in TIERS}
    if unknown := [name for name in names if name not in known]:
        say(f"no such tier: {', '.join(unknown)}; there are {', '.join(known)}")
        return 2
    signal.signal(signal.SIGTERM, stop)
    # Debian keeps mkfs and losetup where only root's PATH looks.
    os.environ["PATH"] = os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"
    excuses = excused()
    wanted = names or [tier.name for tier in TIERS if not tier.own_target]
    outcomes = [attempt(known[name], excuses) for name in wanted]
    say("\n" + summary(outcomes))
    return 0 if all(outcome.ok for outcome in outcomes) else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
