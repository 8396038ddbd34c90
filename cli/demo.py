"""`nullbay demo`: seven drives made of software, good ones and liars, to signed records.

Everything is real but the drives and their host: the same bench, guard, planner, engine, verdicts,
certificates and ledger. At the end the backing files are searched for the old data, which no
verdict was told about.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nullbay.agent.certify import Certifier, Station
from nullbay.agent.conduct import Conductor, WipeRequest, WipeResult
from nullbay.agent.journal.store import Journal
from nullbay.certs import bundle, statement
from nullbay.certs import verify as verifying
from nullbay.certs.keys import PublicKey
from nullbay.certs.predicate import Predicate
from nullbay.cli import context, output
from nullbay.cli.demo_rack import DemoDrive, Plugged, rack
from nullbay.cli.demo_screen import Screen
from nullbay.config import policies
from nullbay.domain.clock import Clock, ClockSync, SystemClock
from nullbay.domain.drive import Drive
from nullbay.domain.ids import BayId, LotRef
from nullbay.domain.lot import DataCategory, Destination, Lot, Person
from nullbay.domain.plan import Refusal
from nullbay.domain.reasons import text_of
from nullbay.lab import hands, loops
from nullbay.lab.host import SimulatedHostFacts
from nullbay.wipers import protocol as p
from nullbay.wipers.lanes import ThreadExecutor
from nullbay.wipers.local import launch_local
from nullbay.wipers.service import Bench, Host, Placement
from nullbay.wipers.session import Surroundings

RATE_BYTES_PER_S = 60_000_000
AWAY_S = 1.5
EXIT_NOT_AS_IT_SHOULD = 1
LOT = Lot(
    LotRef("DEMO-2026-01"),
    customer="Example Customer Ltd",
    site="Demo site",
    source="decommissioned servers",
    work_order="WO-1",
    data_category=DataCategory.LOW,
    destination=Destination.RETAINED,
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one drive ended, and whether that is how it should have."""

    drive: DemoDrive
    result: WipeResult
    seconds: float
    sessions: int
    old_bytes_left: int
    authentic: bool | None

    @property
    def as_it_should(self) -> bool:
        """As expected, authentic, and no old data behind a good word."""
        ending, recorded = self.drive.ending, self.result.recorded
        if ending.verdict is None:
            return recorded is None and ending.code in {one.code for one in self.result.refusals}
        if recorded is None or recorded.conclusion.verdict is not ending.verdict:
            return False
        codes = {one.code for one in recorded.conclusion.findings}
        clean = not ending.verdict.is_sanitized or self.old_bytes_left == 0
        reason = ending.code in codes or not ending.code
        return bool(reason and clean and self.authentic and self.sessions == ending.sessions)


class Demo:
    """One run of the demo in a folder."""

    def __init__(self, folder: Path, *, use_loops: bool) -> None:
        """Folder: `drives/`, `state/`, `certificates/`."""
        self._folder, self._use_loops = folder, use_loops
        self._screen = Screen()
        # the host is simulated, its clock too: it says of itself that it is synchronised
        self._clock: Clock = SystemClock(lambda: ClockSync.SYNCHRONISED)

    @property
    def certificates(self) -> Path:
        """Where the records are."""
        return self._folder / "certificates"

    def run(self) -> tuple[Outcome, ...]:
        """All drives at once; loop devices are given back whatever happens."""
        with ExitStack() as stack:
            output.note("Making seven drives, full of old data …")
            drives_folder = self._folder / "drives"
            drives_folder.mkdir(parents=True)
            plugged = [
                Plugged(one, drives_folder, stack, as_loop=self._use_loops and one.as_loop)
                for one in rack()
            ]
            for one in plugged:
                self._screen.add(one.drive.bay, one.drive.story)
            return asyncio.run(self._all(plugged))

    async def _all(self, plugged: list[Plugged]) -> tuple[Outcome, ...]:
        state = self._folder / "state"
        (state / "records").mkdir(parents=True, mode=0o700)
        state.chmod(0o700)
        station_key, bench_key = context.keys_of(state, lab=True)
        system = next(self._look(one.device) for one in plugged if one.drive.is_system)
        around = Surroundings(
            self._clock,
            ThreadExecutor(self._clock),
            lambda device: loops.open_lab_drive(device, self._clock),
            "demo",
        )
        host = Host(
            self._clock, SimulatedHostFacts(system), self._look, lambda: launch_local(around)
        )
        build = context.build()
        journal = Journal(state, self._clock)
        try:
            station = Station("demo", "nullbay demonstration", "Demo site", station_key, bench_key)
            certifier = Certifier(journal, station, build, self._clock, state / "records")
            trust = tuple(
                PublicKey.from_pem(one.public_key_pem) for one in (station_key, bench_key)
            )

            def conductor(bay: str) -> Conductor:
                bench = Bench(state / "jobs", host, build, Placement(bay_of=lambda _: BayId(bay)))
                return Conductor(bench, journal, certifier)

            tasks = [self._one(one, conductor(one.drive.bay), journal, trust) for one in plugged]
            return tuple(await asyncio.gather(*tasks))
        finally:
            journal.close()

    async def _one(
        self, plugged: Plugged, conductor: Conductor, journal: Journal, trust: tuple[PublicKey, ...]
    ) -> Outcome:
        bay, started = plugged.drive.bay, self._clock.boottime()
        pulled = False

        def listen(message: p.FromDrive) -> None:
            nonlocal pulled
            if not isinstance(message, p.Progress):
                return
            self._screen.progress(bay, message)
            far = message.done_bytes >= plugged.drive.pull_at * message.total_bytes
            if plugged.drive.pull_at and far and not pulled:
                pulled = True
                plugged.pull()

        request = self._request(plugged)
        result = await conductor.wipe(request, self.certificates, listen)
        while result.open_code == "drive.gone":
            self._screen.state(bay, "pulled out: waiting for it to come back")
            await self._clock.sleep(AWAY_S)
            plugged.put_back()
            self._screen.state(bay, "back: reading back what was written")
            request = replace(request, device=plugged.device)
            result = await conductor.wipe(request, self.certificates, listen)
        authentic = None
        if result.recorded is not None:
            data = result.recorded.bundle.read_bytes()
            checked = verifying.verify(data, trust, result.recorded.archive)
            authentic = checked.verdict is result.recorded.conclusion.verdict
        self._ended(bay, result)
        sessions = journal.state(result.job).sessions if result.job else 0
        seconds = self._clock.boottime() - started
        return Outcome(
            plugged.drive, result, seconds, sessions, plugged.old_bytes_left(), authentic
        )

    def _request(self, plugged: Plugged) -> WipeRequest:
        return WipeRequest(
            device=plugged.device,
            policy=policies.resolve(policies.shipped(), plugged.drive.policy),
            confirm=self._look(plugged.device).confirm,
            lot=LOT,
            asset_tag=f"AT-{plugged.drive.description.serial[-4:]}",
            label_serial=plugged.drive.description.serial,
            people=(Person("operator", "op-demo", "demonstrator"),),
            rate_limit_bytes_per_s=RATE_BYTES_PER_S,
        )

    def _look(self, device: str) -> Drive:
        if device.startswith("/dev/"):
            return loops.look_at_loop(device, self._clock)
        return hands.look(device, self._clock)

    def _ended(self, bay: str, result: WipeResult) -> None:
        if result.recorded is not None:
            verdict = result.recorded.conclusion.verdict
            mark, colour = output.MARKS[verdict]
            self._screen.state(bay, f"{mark} {verdict.value}", done=True, colour=colour)
        else:
            self._screen.state(bay, _refused_words(result.refusals), done=True, colour="35")


def demo(arguments: Any) -> int:
    """Run, show, tell."""
    clock = context.make_clock()
    default = Path("nullbay-demo") / clock.now().at[:19].replace(":", "")
    folder = (arguments.out or default).absolute()
    if folder.exists() and any(folder.iterdir()):
        raise context.UsageError(
            f"{folder} is not empty", next_step="Name another folder with --out"
        )
    use_loops = os.geteuid() == 0 and not arguments.no_loops
    run = Demo(folder, use_loops=use_loops)
    outcomes = run.run()
    good = all(one.as_it_should for one in outcomes)
    code = 0 if good else EXIT_NOT_AS_IT_SHOULD
    command = output.verify_command(run.certificates, run.certificates)
    if arguments.json:
        output.emit(
            "demo",
            exit_code=code,
            loop_devices=use_loops,
            folder=str(folder),
            certificates=str(run.certificates),
            check=command,
            drives=[_plain(one) for one in outcomes],
        )
        return code
    output.say()
    output.say(output.table(_HEAD, [_row(one) for one in outcomes]))
    output.say()
    for one in outcomes:
        for text in _plain(one)["reason_texts"][:1]:
            output.say(f"{one.drive.bay}, {one.drive.story}: {text}.")
    output.say()
    output.say(
        f"Old data left on the drives called sanitized: {_left(outcomes)} bytes"
        " (their files were searched)."
    )
    output.say(f"Certificates, records and PDFs: {run.certificates}")
    output.say(f"Check them:  {command}")
    output.say("             (exit 20: the worst verdict among them)")
    if not good:
        wrong = ", ".join(one.drive.bay for one in outcomes if not one.as_it_should)
        output.say(output.painted(f"Not as it should be: {wrong}", "31"))
    return code


_HEAD = (
    "bay",
    "drive",
    "method",
    "technique",
    "verification",
    "verdict",
    "reason",
    "certificate",
    "time",
)


def _row(one: Outcome) -> tuple[str, ...]:
    plain = _plain(one)
    return (
        one.drive.bay,
        plain["serial"],
        plain["method"] or "-",
        plain["technique"] or "-",
        plain["verification"] or "-",
        plain["verdict"] or plain["action"],
        ", ".join(plain["reasons"][:1]) or "-",
        (one.result.job or "-").rpartition("-")[2] or "-",
        f"{plain['seconds']} s",
    )


def _plain(one: Outcome) -> dict[str, Any]:
    recorded = one.result.recorded
    said = _said(recorded.bundle) if recorded else None
    findings = [item.code for item in recorded.conclusion.findings] if recorded else []
    refusals = [item.code for item in one.result.refusals]
    return {
        "bay": one.drive.bay,
        "story": one.drive.story,
        "serial": one.drive.description.serial,
        "method": said.sanitization.method.required.value if said else None,
        "technique": said.sanitization.technique if said else None,
        "verification": _verification(said) if said else None,
        "verdict": recorded.conclusion.verdict.value if recorded else None,
        "action": None if recorded else _refused_words(one.result.refusals),
        "reasons": findings or refusals,
        "reason_texts": [text_of(code) for code in findings or refusals],
        "evidence": [item.evidence for item in one.result.refusals],
        "certificate": str(recorded.bundle) if recorded else None,
        "pdf": str(recorded.pdf) if recorded else None,
        "sessions": one.sessions,
        "old_data_bytes_left": one.old_bytes_left,
        "as_it_should_be": one.as_it_should,
        "seconds": round(one.seconds, 1),
    }


def _said(path: Path) -> Predicate:
    return statement.read(bundle.read(path.read_bytes()).envelope.payload).predicate


def _verification(said: Predicate) -> str | None:
    results = [one.result for one in said.verification if one.result is not None]
    if not results:
        return None
    last = results[-1]
    return f"{last.profile.kind}, {last.read_bytes / said.media.size_bytes:.0%} read"


def _refused_words(found: tuple[Refusal, ...]) -> str:
    held = any(one.code == "plan.held-for-destruction" for one in found)
    return "HELD FOR DESTRUCTION" if held else "REFUSED"


def _left(outcomes: tuple[Outcome, ...]) -> int:
    return sum(
        one.old_bytes_left
        for one in outcomes
        if one.result.recorded is not None and one.result.recorded.conclusion.verdict.is_sanitized
    )


COMMANDS = {"demo": demo}
