"""`nullbay demo`: a station and a centre at work on nine drives made of software.

Good ones and liars, a lot with a manifest of which one is missing and one too many came, drives
arriving one after another. Everything is real but the drives and their host: bench, guard, planner,
engine, verdicts, certificates, ledger, console, delivery, centre. At the end the backing files are
searched for the old data, which no verdict was told about.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nullbay.certs import bundle, statement
from nullbay.certs import verify as verifying
from nullbay.certs.predicate import Predicate
from nullbay.cli import context, output
from nullbay.cli.demo_house import PERSON, DemoHouse, look, open_house
from nullbay.cli.demo_rack import MISSING, DemoDrive, Plugged, manifest, rack
from nullbay.cli.demo_screen import Screen
from nullbay.config import logs
from nullbay.domain.clock import Clock, ClockSync, SystemClock
from nullbay.domain.ids import JobId, LotRef
from nullbay.domain.lot import DataCategory, Destination, Lot
from nullbay.domain.reasons import text_of
from nullbay.domain.status import BayState, BayStatus
from nullbay.server.cards import LineState, LotAccount

ARRIVE_EVERY_S = 1.0
AWAY_S = 1.5
LOOK_EVERY_S = 0.1
WITHIN_S = 900.0
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
class Files:
    """Where a record is."""

    job: JobId
    bundle: Path
    archive: Path
    pdf: Path


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one drive ended, and whether that is how it should have."""

    drive: DemoDrive
    shown: BayStatus
    files: Files | None
    seconds: float
    sessions: int
    old_bytes_left: int
    authentic: bool | None

    @property
    def as_it_should(self) -> bool:
        """As expected, authentic, and no old data behind a good word."""
        ending, verdict = self.drive.ending, self.shown.verdict
        codes = {one.code for one in self.shown.why}
        if ending.verdict is None:
            return verdict is None and self.files is None and ending.code in codes
        clean = not ending.verdict.is_sanitized or self.old_bytes_left == 0
        reason = ending.code in codes or not ending.code
        is_same = verdict is ending.verdict and self.sessions == ending.sessions
        return bool(is_same and reason and clean and self.authentic)


@dataclass(frozen=True, slots=True)
class Accounts:
    """What station and centre say of the lot and of everything that was in a bay."""

    missing: tuple[str, ...]
    surplus: tuple[str, ...]
    missing_at_centre: tuple[str, ...]
    surplus_at_centre: tuple[str, ...]
    refused_at_centre: tuple[str, ...]
    accounted: bool
    insertions: int
    insertions_at_station: int
    records: int
    findings: tuple[str, ...]

    @property
    def as_it_should(self) -> bool:
        """One missing, one surplus, at the station and at the centre; nothing dropped out."""
        surplus = tuple(one.description.serial for one in rack() if _is_surplus(one))
        refused = tuple(one.description.serial for one in rack() if _is_held(one))
        return (
            self.missing == self.missing_at_centre == MISSING[:1]
            and self.surplus == self.surplus_at_centre == surplus
            and self.refused_at_centre == refused
            and self.accounted
            and self.insertions == self.insertions_at_station
        )


class Demo:
    """One run of the demo in a folder."""

    def __init__(self, folder: Path, *, use_loops: bool, once: bool) -> None:
        """Folder: `drives/`, `station/`, `centre/`, `certificates/`."""
        self._folder, self._use_loops, self._once = folder, use_loops, once
        self._screen = Screen()
        # the host is simulated, its clock too: it says of itself that it is synchronised
        self._clock: Clock = SystemClock(lambda: ClockSync.SYNCHRONISED)

    @property
    def certificates(self) -> Path:
        """Where the records are."""
        return self._folder / "certificates"

    def run(self) -> tuple[tuple[Outcome, ...], Accounts]:
        """The whole day; loop devices are given back whatever happens."""
        with ExitStack() as stack:
            output.note("Making nine drives, full of old data …")
            drives_folder = self._folder / "drives"
            drives_folder.mkdir(parents=True)
            plugged = [
                Plugged(one, drives_folder, stack, as_loop=self._use_loops and one.as_loop)
                for one in rack()
            ]
            for one in plugged:
                self._screen.add(one.drive.bay, one.drive.story)
            return asyncio.run(self._day(plugged))

    async def _day(self, plugged: list[Plugged]) -> tuple[tuple[Outcome, ...], Accounts]:
        async with open_house(self._folder, plugged, self._clock) as house:
            output.note(f"Console:  {house.console_login}")
            output.note(f"Centre:   {house.centre_login}")
            output.note("(each link logs in once; the addresses stay until the end)")
            working = asyncio.create_task(house.assembly.run())
            try:
                await self._open_lot(house)
                outcomes = await self._guarded(working, self._arrivals(house, plugged))
                if not self._once:
                    output.note("All drives are done. Look around; Ctrl-C ends the demonstration.")
                    await _until_interrupted()
                await self._guarded(working, self._clear(house, plugged))
                accounts = await self._accounts(house)
            finally:
                working.cancel()
                with suppress(asyncio.CancelledError):
                    await working
            return outcomes, accounts

    async def _guarded(self, working: asyncio.Task[None], errand: Any) -> Any:
        """An errand on a station that must not fail meanwhile."""
        doing = asyncio.create_task(errand)
        await asyncio.wait({working, doing}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            doing.cancel()
            working.result()
        return await doing

    async def _open_lot(self, house: DemoHouse) -> None:
        await self._clock.sleep(0.5)  # what comes from now on arrives
        await house.station.open_lot(LOT, (), PERSON)
        report = await house.station.take_manifest(
            LOT.reference, "manifest.csv", manifest(), PERSON
        )
        assert report.taken, report.problems  # noqa: S101 - the demo's own file

    async def _arrivals(self, house: DemoHouse, plugged: list[Plugged]) -> tuple[Outcome, ...]:
        tasks = []
        for one in plugged:
            tasks.append(asyncio.create_task(self._one(house, one)))
            await self._clock.sleep(ARRIVE_EVERY_S)
        return tuple(await asyncio.gather(*tasks))

    async def _one(self, house: DemoHouse, plugged: Plugged) -> Outcome:
        """Scan the tag, push the drive in, watch; pull it halfway where that is its story."""
        drive, bay, began = plugged.drive, plugged.drive.bay, self._clock.boottime()
        await house.station.scan(f"BAY:{bay}", PERSON)
        await house.station.scan(f"TAG:{drive.asset_tag}", PERSON)
        house.source.arrive(look(plugged.device, self._clock))
        if drive.pull_at:
            await self._until(
                house, bay, lambda shown: _share(shown) >= drive.pull_at, "pulled half-way"
            )
            self._screen.state(bay, "pulled out: waiting for it to come back")
            path = look(plugged.device, self._clock).attachment.device_path
            plugged.pull()
            house.source.depart(path)
            await self._until(house, bay, _is_empty, "empty")
            await self._clock.sleep(AWAY_S)
            plugged.put_back()
            house.source.arrive(look(plugged.device, self._clock))
        ends = {BayState.CONCLUDED, BayState.REFUSED}
        shown = await self._until(house, bay, lambda shown: shown.state in ends, "done")
        self._ended(shown)
        seconds = self._clock.boottime() - began
        if shown.job is not None and shown.verdict is not None:
            await house.station.document(shown.job)
        return self._outcome(house, plugged, shown, seconds)

    async def _until(
        self,
        house: DemoHouse,
        bay: str,
        ready: Callable[[BayStatus], bool],
        what: str,
        *,
        quiet: bool = False,
    ) -> BayStatus:
        until = self._clock.boottime() + WITHIN_S
        while True:
            shown = next(one for one in house.station.status().bays if one.bay == bay)
            if ready(shown):
                return shown
            if self._clock.boottime() > until:
                raise context.StateError(f"bay {bay} was not {what} in time: {shown.state}")
            if not quiet:
                self._screen.status(bay, shown)
            await self._clock.sleep(LOOK_EVERY_S)

    def _outcome(
        self, house: DemoHouse, plugged: Plugged, shown: BayStatus, seconds: float
    ) -> Outcome:
        files, authentic, sessions = None, None, 0
        if shown.job is not None and shown.verdict is not None:
            made = house.station.record(shown.job)
            self.certificates.mkdir(exist_ok=True)
            copies = {}
            for path in made.bundle.parent.iterdir():
                copies[path.name] = self.certificates / path.name
                copies[path.name].write_bytes(path.read_bytes())
            files = Files(
                shown.job,
                copies[made.bundle.name],
                copies[made.archive.name],
                copies[made.pdf.name],
            )
            checked = verifying.verify(files.bundle.read_bytes(), house.trust, files.archive)
            authentic = checked.verdict is shown.verdict
            sessions = house.station.job(shown.job).sessions
        left = plugged.old_bytes_left()
        return Outcome(plugged.drive, shown, files, seconds, sessions, left, authentic)

    async def _clear(self, house: DemoHouse, plugged: list[Plugged]) -> None:
        """Scan out what is finished, pull everything, and wait for the last delivery."""
        for one in plugged:
            bay = one.drive.bay
            shown = next(item for item in house.station.status().bays if item.bay == bay)
            if shown.verdict is not None:
                await house.station.scan(f"BAY:{bay}", PERSON)
                await house.station.scan(f"S/N: {one.drive.description.serial}", PERSON)
            if shown.state is not BayState.EMPTY:
                path = look(one.device, self._clock).attachment.device_path
                house.source.depart(path)
                await self._until(house, bay, _is_empty, "empty", quiet=True)
        until = self._clock.boottime() + WITHIN_S
        while house.station.status().undelivered:
            if self._clock.boottime() > until:
                raise context.StateError("the centre did not receive everything in time")
            await self._clock.sleep(LOOK_EVERY_S)

    async def _accounts(self, house: DemoHouse) -> Accounts:
        await house.centre.review()
        account = await house.centre.station_account("demo")
        lot = house.station.lot(LOT.reference)
        held = await house.centre.lot(LOT.reference)
        open_findings = await house.centre.findings()
        return Accounts(
            missing=tuple(one.serial for one in lot.lines if one.state == "missing"),
            surplus=lot.surplus,
            missing_at_centre=_serials(held, LineState.MISSING),
            surplus_at_centre=tuple(one.serial for one in held.surplus),
            refused_at_centre=_serials(held, LineState.REFUSED),
            accounted=account.accounted,
            insertions=sum(one.number for one in account.insertions),
            insertions_at_station=house.assembly.stays_closed(),
            records=account.records,
            findings=tuple(one.code for one in open_findings),
        )

    def _ended(self, shown: BayStatus) -> None:
        if shown.verdict is not None:
            mark, colour = output.MARKS[shown.verdict]
            state = f"{mark} {shown.verdict.value}"
            self._screen.state(shown.bay, state, done=True, colour=colour)
        else:
            self._screen.state(shown.bay, _refused_words(shown), done=True, colour="35")


async def _until_interrupted() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.remove_signal_handler(number)


def _is_empty(shown: BayStatus) -> bool:
    return shown.state is BayState.EMPTY


def _share(shown: BayStatus) -> float:
    work = shown.work
    return work.done_bytes / work.total_bytes if work and work.total_bytes else 0.0


def _serials(lot: LotAccount, state: LineState) -> tuple[str, ...]:
    return tuple(one.line.serial for one in lot.lines if one.state is state)


def _is_held(drive: DemoDrive) -> bool:
    return drive.ending.verdict is None and drive.on_manifest


def _is_surplus(drive: DemoDrive) -> bool:
    return not (drive.on_manifest or drive.is_system)


def demo(arguments: Any) -> int:
    """Run, show, tell."""
    logs.configure(level=logging.WARNING)  # to standard error: the output is the screen's
    clock = context.make_clock()
    default = Path("nullbay-demo") / clock.now().at[:19].replace(":", "")
    folder = (arguments.out or default).absolute()
    if folder.exists() and any(folder.iterdir()):
        raise context.UsageError(
            f"{folder} is not empty", next_step="Name another folder with --out"
        )
    use_loops = os.geteuid() == 0 and not arguments.no_loops
    run = Demo(folder, use_loops=use_loops, once=arguments.once)
    outcomes, accounts = run.run()
    good = accounts.as_it_should and all(one.as_it_should for one in outcomes)
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
            lot={
                "reference": LOT.reference,
                "missing": list(accounts.missing),
                "surplus": list(accounts.surplus),
            },
            centre={
                "accounted": accounts.accounted,
                "insertions": accounts.insertions,
                "insertions_at_station": accounts.insertions_at_station,
                "records": accounts.records,
                "missing": list(accounts.missing_at_centre),
                "surplus": list(accounts.surplus_at_centre),
                "refused": list(accounts.refused_at_centre),
                "findings": list(accounts.findings),
            },
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
    output.say(
        f"Lot {LOT.reference}: missing {_listed(accounts.missing)},"
        f" surplus {_listed(accounts.surplus)}."
    )
    output.say(
        f"The centre has {accounts.records} records and accounts for {accounts.insertions} of"
        f" {accounts.insertions_at_station} insertions. By the station's manifest: missing"
        f" {_listed(accounts.missing_at_centre)}, surplus {_listed(accounts.surplus_at_centre)}."
    )
    output.say(f"Certificates, records and PDFs: {run.certificates}")
    output.say(f"Check them:  {command}")
    output.say("             (exit 20: the worst verdict among them)")
    if not good:
        wrong = ", ".join(
            [one.drive.bay for one in outcomes if not one.as_it_should]
            + ([] if accounts.as_it_should else ["the accounts"])
        )
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
        (one.files.job if one.files else "-").rpartition("-")[2] or "-",
        f"{plain['seconds']} s",
    )


def _plain(one: Outcome) -> dict[str, Any]:
    said = _said(one.files.bundle) if one.files else None
    codes = [item.code for item in one.shown.why]
    return {
        "bay": one.drive.bay,
        "story": one.drive.story,
        "serial": one.drive.description.serial,
        "method": said.sanitization.method.required.value if said else None,
        "technique": said.sanitization.technique if said else None,
        "verification": _verification(said) if said else None,
        "verdict": one.shown.verdict.value if one.shown.verdict else None,
        "action": None if one.files else _refused_words(one.shown),
        "reasons": codes,
        "reason_texts": [text_of(code) for code in codes],
        "evidence": [] if one.files else [item.detail for item in one.shown.why],
        "certificate": str(one.files.bundle) if one.files else None,
        "pdf": str(one.files.pdf) if one.files else None,
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


def _refused_words(shown: BayStatus) -> str:
    held = any(one.code == "plan.held-for-destruction" for one in shown.why)
    return "HELD FOR DESTRUCTION" if held else "REFUSED"


def _listed(serials: tuple[str, ...]) -> str:
    return ", ".join(serials) or "none"


def _left(outcomes: tuple[Outcome, ...]) -> int:
    return sum(
        one.old_bytes_left
        for one in outcomes
        if one.shown.verdict and one.shown.verdict.is_sanitized
    )


COMMANDS = {"demo": demo}
