"""`kill -9` of `nullbay wipe` at twenty moments: the right verdict, one certificate, nothing lost.

Real processes, drives made of software, a rate limit. The moments are chosen by what was observed
(progress told, files that appear), so that a slow machine hits the same phases as a fast one.
"""

from __future__ import annotations

import json
import random
import sqlite3
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from nullbay.certs import archive
from nullbay.domain.patterns import Keyed
from nullbay.lab.description import DriveDescription, LbaSpan
from nullbay.lab.hands import make_file_drive
from nullbay.lab.olddata import OldData
from nullbay.wipers.appendfile import read_records
from nullbay.wipers.stream import stream_of
from support.command import Operator, Running
from support.processes import Seen, children, until

SEED = 20
AT_A_TIME = 5
TRIES_MAX = 6
SECTORS = 6 * 2048
RATE_MB_S = "1"
OLD = OldData(11)
PHASES = ("opening", "writing", "verifying", "certifying", "after")
EXIT_REFUSED = 40

Trigger = Callable[[Running, Path], bool]
"""Returns at its moment; False where the command ended before."""


@dataclass(frozen=True)
class Kill:
    """When to kill, and whether the drive process is killed too."""

    name: str
    trigger: Trigger
    both: bool


@dataclass
class Case:
    """One drive on one station, and the kills it goes through."""

    name: str
    description: DriveDescription
    exit_codes: frozenset[int]
    kills: list[Kill]
    hits: list[tuple[str, str]] = field(default_factory=list)


def on_progress(phase: str, share: float) -> Trigger:
    def trigger(running: Running, _state: Path) -> bool:
        for line in running.lines():
            if line["schema"] == "nullbay.progress/1" and line["phase"] == phase:
                if int(line["done_bytes"]) >= share * int(line["total_bytes"]):
                    return True
            elif line["schema"] == "nullbay.wipe-result/1":
                return False
        return False

    return trigger


def on_result(running: Running, _state: Path) -> bool:
    """The last line is out, and the command is about to end."""
    return any(line["schema"] == "nullbay.wipe-result/1" for line in running.lines())


def on_files(pattern: str, *, count: int = 1, bytes_at_least: int = 0) -> Trigger:
    """Files appear in the state directory, or have grown."""

    def trigger(running: Running, state: Path) -> bool:
        def is_there() -> bool:
            found = [one for one in state.glob(pattern) if size(one) >= bytes_at_least]
            return len(found) >= count

        until(lambda: is_there() or running.process.poll() is not None)
        return running.process.poll() is None

    return trigger


def on_drive_process(running: Running, _state: Path) -> bool:
    until(lambda: bool(children(running.process.pid)) or running.process.poll() is not None)
    return running.process.poll() is None


def size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


def twenty() -> dict[str, list[tuple[str, Trigger]]]:
    """Moments by the phase they are meant for."""
    draw = random.Random(SEED)
    writing = sorted(draw.uniform(0.0, 0.95) for _ in range(4))
    verifying = sorted(draw.uniform(0.0, 0.95) for _ in range(4))
    return {
        "opening": [
            ("drive process there", on_drive_process),
            ("journal there", on_files("demo/journal.sqlite3")),
            ("job folder there", on_files("demo/jobs/j-*")),
            ("session began", on_files("demo/jobs/j-*/events", bytes_at_least=1)),
        ],
        "writing": [
            *((f"{share:.0%} written", on_progress("write", share)) for share in writing),
            ("a flush journalled", on_files("demo/jobs/j-*/ranges", bytes_at_least=1)),
        ],
        "verifying": [
            *((f"{share:.0%} read", on_progress("verify", share)) for share in verifying),
        ],
        "certifying": [
            ("transcript signed", on_files("demo/jobs/j-*/result")),
            ("record folder there", on_files("demo/records/j-*")),
            ("archive there", on_files("demo/records/j-*/*.tar.zst")),
            ("certificate there", on_files("demo/records/j-*/*.sigstore.json")),
            ("copy of the certificate there", on_files("../out/*.sigstore.json")),
        ],
        "after": [("result told", on_result), ("result told", on_result)],
    }


def cases() -> list[Case]:
    """Ten drives with two kills each; only a drive that was not yet told of is killed again."""
    moments = twenty()
    assert sum(map(len, moments.values())) == 20
    draw = random.Random(SEED + 1)
    both = [True, False] * 10
    draw.shuffle(both)

    def kill(phase: str) -> Kill:
        name, trigger = moments[phase].pop(0)
        return Kill(name, trigger, both.pop())

    plans = [
        ("clean", "opening", "writing"),
        ("clean", "writing", "verifying"),
        ("clean", "verifying", "after"),
        ("clean", "writing", "certifying"),
        ("clean", "opening", "verifying"),
        ("clean", "writing", "certifying"),
        ("unwritable", "writing", "certifying"),
        ("unwritable", "opening", "certifying"),
        ("ignored", "verifying", "after"),
        ("ignored", "opening", "certifying"),
    ]
    last = SECTORS - 100
    faults: dict[str, dict[str, Any]] = {
        "clean": {},
        "unwritable": {"unwritable": (LbaSpan(last, last + 7),)},
        "ignored": {"ignored_writes": (LbaSpan(last, last + 7),)},
    }
    return [
        Case(
            f"{number}-{kind}",
            DriveDescription(model="Lab", serial=f"KILL-{number}", sectors=SECTORS, **faults[kind]),
            frozenset({0, 10}) if kind == "clean" else frozenset({20}),
            [kill(phase) for phase in phases],
        )
        for number, (kind, *phases) in enumerate(plans)
    ]


def phase_of(state: Path, told: bool) -> str:
    """Where the command was when it was killed, by what it left on disk."""
    jobs = sorted((state / "demo" / "jobs").glob("j-*"))
    if told:
        return "after"
    if not jobs or not (jobs[-1] / "events").exists():
        return "opening"
    if (jobs[-1] / "result").exists():
        return "certifying"
    events = [one["kind"] for one in read_records(jobs[-1] / "events")]
    if "step-ended" in events:
        return "certifying"
    if events.count("step-intended") < max(1, events.count("session-began")):
        return "opening"
    flushed = 0
    for one in read_records(jobs[-1] / "ranges"):
        if one["kind"] in {"resumed", "from-zero"}:
            flushed = 0
        flushed += sum(int(r["end"]) - int(r["start"]) for r in one.get("ranges", ()))
    return "verifying" if flushed >= SECTORS * 512 else "writing"


def killed(operator: Operator, command: list[str | Path], kill: Kill) -> str | None:
    """Start the command and kill it; the phase it was in, or None where it ended before."""
    with operator.start(*command) as running:
        in_time = kill.trigger(running, operator.state)
        left = children(running.process.pid)
        running.process.kill()
        code = running.process.wait()
        if kill.both:
            for one in left:
                one.kill()
        _all_end(left)
    if not in_time and code >= 0:
        return None
    return phase_of(operator.state, told=kill.trigger is on_result)


def _all_end(left: tuple[Seen, ...]) -> None:
    """A drive process whose bench is gone ends at its next block, without being asked."""
    until(lambda: not any(one.is_running() for one in left))


def conducted(case: Case, folder: Path) -> None:
    """Run one drive through its kills, then to its end, and check everything that is left."""
    path = make_file_drive(folder / "drive.json", case.description, old_data=OLD)
    operator = Operator(folder / "station")
    arguments = operator.wipe_arguments(
        path, "nist-clear", "--rate-limit", RATE_MB_S, confirm=case.description.serial
    )
    is_told = False
    for kill in case.kills:
        phase = killed(operator, arguments, kill)
        case.hits.append((kill.name + (", both" if kill.both else ""), phase or "ended before"))
        is_told = phase in {"after", None} or was_told(operator.state / "demo")
    for _ in range(TRIES_MAX):
        if is_told:
            break
        done = operator.run(*arguments)
        is_told = done.code != EXIT_REFUSED
        assert not is_told or done.code in case.exit_codes, done.last
    assert is_told
    check(case, operator, folder)


def was_told(state: Path) -> bool:
    """Whether the command had told its result before the kill reached it, however late that was."""
    path = state / "journal.sqlite3"
    if not path.exists():
        return False
    with closing(sqlite3.connect(path)) as journal:
        tables = journal.execute("SELECT name FROM sqlite_master WHERE name = 'job'").fetchall()
        return bool(tables and journal.execute("SELECT 1 FROM job WHERE told = 1").fetchall())


def check(case: Case, operator: Operator, folder: Path) -> None:
    """One certificate, authentic, with the right verdict; a sound ledger; nothing half-made."""
    (bundle,) = operator.out.glob("*.sigstore.json")
    verified = operator.verify(bundle)
    assert verified.code in case.exit_codes, verified.last
    state = operator.state / "demo"
    found = operator.run("ledger", "check", "--state-dir", state).last
    assert found["exit_code"] == 0, found
    assert (found["open_jobs"], found["doubled"], found["never_started"]) == ([], [], [])
    job = bundle.name.removesuffix(".sigstore.json")
    assert not [*state.rglob("*.new"), *operator.out.glob("*.new")]
    assert [one.name for one in (state / "records").iterdir()] == [job]
    # the bench's folder of the job goes once the record was told, a kill in between or not
    assert {one.name.removesuffix(".old") for one in (state / "jobs").iterdir()} <= {job}
    if 20 not in case.exit_codes:
        assert OLD.left_on(folder / "drive.img", 512) == ()
        image = (folder / "drive.img").read_bytes()
        key = archive.read(operator.out / f"{job}.evidence.tar.zst")["pattern-key.bin"]
        assert image == stream(key, len(image))


def stream(job_key: bytes, length: int) -> bytes:
    """What the first pass of a job with this key leaves on a drive."""
    made = bytearray(length)
    stream_of(Keyed(), job_key, 1, length).fill(0, memoryview(made))
    return bytes(made)


def test_killed_at_twenty_moments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planned = cases()
    for case in planned:
        (tmp_path / case.name).mkdir()
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        ends = [pool.submit(conducted, case, tmp_path / case.name) for case in planned]
    with capsys.disabled():
        print(f"\n{'drive':<14} {'killed when':<40} phase hit")
        for case in planned:
            for name, phase in case.hits:
                print(f"{case.name:<14} {name:<40} {phase}")
    for end in ends:
        end.result()
    hits = Counter(phase for case in planned for _, phase in case.hits)
    assert sum(hits.values()) == 20
    for phase in PHASES:
        assert hits[phase], json.dumps(hits)
