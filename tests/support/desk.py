"""A station's desk that a test, or a person trying the pages, moves by hand."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

from nullbay.agent.changes import Changes
from nullbay.agent.desk import (
    Approval,
    AskCandidate,
    AskCard,
    BayCounters,
    Change,
    Counters,
    DeskError,
    DestroyCard,
    DriveHistory,
    InsertionCard,
    JobCard,
    LotCard,
    ManifestLine,
    ManifestReport,
    RecordCard,
    RecordFiles,
    ScanAnswer,
    VerdictCount,
)
from nullbay.agent.web.people import Entrant
from nullbay.config.roles import Act, Role, may
from nullbay.domain.clock import ClockSync, Stamp, SystemClock
from nullbay.domain.errors import NullbayError
from nullbay.domain.ids import BayId, IdentityKey, InsertionId, JobId, LotRef
from nullbay.domain.intake import ScanId
from nullbay.domain.lot import Lot, Person
from nullbay.domain.status import (
    Action,
    BayState,
    BayStatus,
    Count,
    DriveCard,
    Mode,
    StationStatus,
    Why,
    WorkCard,
)
from nullbay.domain.text import show
from nullbay.domain.verdict import Verdict

RUN = "run1"
ACTION = {
    Verdict.SANITIZED: Action.SHIP,
    Verdict.NOT_SANITIZED: Action.SHRED,
    Verdict.SANITIZED_WITH_EXCEPTIONS: Action.CALL,
    Verdict.INDETERMINATE: Action.CALL,
}


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def drive_card(
    serial: str, model: str = "ST4000NM0035-1V4107", size_bytes: int = 4_000_787_030_016
) -> DriveCard:
    """As the station makes it: hostile texts are shown safely, not trusted to be harmless."""
    return DriveCard(
        identity_key=IdentityKey(digest(serial + model)),
        model=show(model),
        serial=show(serial),
        wwn="0x5000c500a1b2c3d4",
        firmware="TNC3",
        size_bytes=size_bytes,
        media="magnetic",
        transport="sata",
        device="sdc",
        simulated=False,
    )


class PersonRefusedError(NullbayError):
    code = "people.refused"


class FakePeople:
    """Badge → (PIN, role). The badge of a person is `badge-<id>`, a script's token `token-<id>`."""

    def __init__(self, **people: tuple[str, Role]) -> None:
        self.people = people or {
            "ada": ("1234", Role.OPERATOR),
            "carl": ("5678", Role.CUSTODIAN),
            "vera": ("9999", Role.VERIFIER),
        }
        self.dismissed: set[str] = set()

    async def enter(self, badge: str, pin: str) -> Entrant:
        entrant = self.now(badge.removeprefix("badge-")) if badge.startswith("badge-") else None
        if entrant is None or self.people[entrant.person.person_id][0] != pin:
            raise PersonRefusedError("Badge and PIN do not belong together")
        return entrant

    async def bearer(self, digest: bytes) -> Entrant | None:
        for name in self.people:
            if hashlib.sha256(f"token-{name}".encode()).digest() == digest:
                return self.now(name)
        return None

    def now(self, person_id: str) -> Entrant | None:
        if person_id not in self.people or person_id in self.dismissed:
            return None
        role = self.people[person_id][1]
        acts = frozenset(act for act in Act if may(role, act))
        return Entrant(Person(role.value, person_id), person_id.capitalize(), acts)


class FakeDesk:
    """Rows × columns of bays. What was asked stands in `asked`; hands are the methods below it."""

    def __init__(self, rows: int = 4, columns: int = 6, folder: Path | None = None) -> None:
        self.bays: dict[str, BayStatus] = {}
        for row in range(1, rows + 1):
            for column in range(1, columns + 1):
                name = f"{chr(64 + row)}{column}"
                self.bays[name] = BayStatus(BayId(name), row, column, BayState.EMPTY, Action.NONE)
        self.asked: list[tuple[object, ...]] = []
        self.mode = Mode.WORKING
        self.problems: tuple[Why, ...] = ()
        self.simulated = False
        self.undelivered = 0
        self.station = "bench-1"
        self.site = "Hall 3"
        self.error: Exception | None = None
        self._folder = folder
        self._clock = SystemClock(lambda: ClockSync.SYNCHRONISED)
        self._changes = Changes(RUN)
        self._lots: dict[str, LotCard] = {}
        self._jobs: dict[str, JobCard] = {}
        self._stays: dict[str, InsertionCard] = {}
        self._known: dict[str, DriveCard] = {}
        self._records: dict[str, RecordCard] = {}
        self._asks: dict[str, AskCard] = {}
        self._never_seen: list[DestroyCard] = []
        self._bay_in_hand: str | None = None
        self._number = 0

    # --- hands ---------------------------------------------------------------------------------

    def set(self, bay: str, **values: object) -> None:
        self.bays[bay] = replace(self.bays[bay], **values)  # type: ignore[arg-type]
        self._changes.tell("bay", bay)

    def insert(
        self,
        bay: str,
        drive: DriveCard,
        state: BayState = BayState.PLANNED,
        why: str = "bay.approve",
        **more: object,
    ) -> None:
        """A drive comes, and a plan waits for it."""
        self._number += 1
        insertion = InsertionId(f"i-{self._number:04}")
        self._known[drive.identity_key] = drive
        self._stays[insertion] = InsertionCard(insertion, BayId(bay), self.now(), None, "", (), ())
        active = [one for one in self._lots.values() if one.active]
        values: dict[str, object] = {
            "state": state,
            "action": Action.CALL if state is not BayState.COUNTDOWN else Action.LEAVE,
            "why": (Why(why),) if why else (),
            "drive": drive,
            "insertion": insertion,
            "lot": active[0].lot.reference if active else None,
            "policy_id": "nist-clear/1",
            "method": "clear",
            "plan_sha256": digest(f"plan {insertion}"),
            "confirm": drive.serial,
            "since": self.now(),
        }
        self.set(bay, **(values | more))

    def start(self, bay: str, people: tuple[Person, ...] = ()) -> JobId:
        """Its job runs."""
        here = self.bays[bay]
        self._number += 1
        job = JobId(f"j-20261121T2000{self._number:02}-{digest(bay)[:12]}")
        self._jobs[job] = JobCard(
            id=job,
            job=job,
            insertion=here.insertion,
            bay=here.bay,
            drive=here.drive,
            identity_key=here.drive.identity_key if here.drive else IdentityKey(""),
            state="running",
            policy_id=here.policy_id,
            plan_sha256=here.plan_sha256,
            lot=here.lot,
            attempt=1,
            sessions=1,
            verdict=None,
            reasons=(),
            people=people,
            started=self.now(),
            ended=None,
            delivered=False,
        )
        self.set(
            bay,
            state=BayState.RUNNING,
            action=Action.LEAVE,
            why=(),
            job=job,
            confirm="",
            countdown_s=None,
        )
        self.progress(bay, 0)
        return job

    def progress(self, bay: str, percent: float, phase: str = "write", errors: int = 0) -> None:
        drive = self.bays[bay].drive
        total = drive.size_bytes if drive else 0
        done = int(total * percent / 100)
        rate = 182_000_000
        self.set(
            bay,
            work=WorkCard(1, 2, phase, done, total, rate, (total - done) // rate, errors, 38),
        )

    def conclude(self, bay: str, verdict: Verdict, *codes: str) -> None:
        here = self.bays[bay]
        why = tuple(Why(code, "") for code in codes)
        self.set(
            bay,
            state=BayState.CONCLUDED,
            action=ACTION[verdict],
            verdict=verdict,
            why=why,
            work=None,
        )
        assert here.job is not None
        self._jobs[here.job] = replace(
            self._jobs[here.job], state="concluded", verdict=verdict, reasons=why, ended=self.now()
        )
        self._records[here.job] = RecordCard(
            here.job,
            verdict,
            here.drive,
            here.lot,
            here.asset_tag,
            digest(here.job),
            self.now(),
            delivered=False,
        )
        if self._folder is not None:
            for suffix in (".sigstore.json", ".tar.zst", ".pdf"):
                (self._folder / (here.job + suffix)).write_bytes(b"%PDF-1.7 " + suffix.encode())

    def remove(self, bay: str) -> None:
        here = self.bays[bay]
        if here.insertion is not None:
            self._stays[here.insertion] = replace(
                self._stays[here.insertion], closed=self.now(), cause="removed"
            )
        self.bays[bay] = BayStatus(here.bay, here.row, here.column, BayState.EMPTY, Action.NONE)
        self._changes.tell("bay", bay)

    def ask_about(
        self,
        serial: str,
        *bays: str,
        code: str = "scan.near",
        why: str = "one character is another",
        alarm: bool = False,
        can_bind: bool = True,
    ) -> str:
        """A scan was left open: it may mean the drives of these bays."""
        self._number += 1
        name = f"s-{self._number:04}"
        here = [self.bays[bay] for bay in bays]
        self._asks[name] = AskCard(
            scan=ScanId(name),
            code=code,
            message=f"{show(serial)} is not here, but something like it: look at the label again",
            alarm=alarm,
            holds=False,
            label_serial=show(serial),
            asset_tag="INV-1001",
            bay=None,
            lot=None,
            by="ada",
            at=self.now(),
            candidates=tuple(
                AskCandidate(one.insertion, one.bay, one.drive.serial, why, can_bind)
                for one in here
                if one.insertion and one.drive
            ),
        )
        self._changes.tell("lot")
        return name

    def never_seen(self, serial: str, tag: str = "", lot: str | None = None) -> None:
        """An announced drive did not come."""
        self._never_seen.append(
            DestroyCard(
                reason="not-detected",
                lot=LotRef(lot) if lot else None,
                serial=show(serial),
                asset_tag=tag,
                since=self.now(),
                place="never-seen",
                bay=None,
                insertion=None,
                job=None,
                identity_key=None,
                why=(),
            )
        )
        self._changes.tell("lot")

    def hold_lot(self, lot: Lot, bays: tuple[BayId, ...] = (), by: str = "ada") -> LotCard:
        """A lot is active."""
        self._lots[lot.reference] = LotCard(lot, True, bays, self.now(), by, "", (), (), ())
        self._changes.tell("lot", lot.reference)
        return self.lot(lot.reference)

    def tell(self, topic: str, name: str = "") -> None:
        self._changes.tell(topic, name)

    def now(self) -> Stamp:
        return self._clock.now()

    # --- the desk ------------------------------------------------------------------------------

    def status(self) -> StationStatus:
        if self.error is not None:
            raise self.error
        states = [job.state for job in self._jobs.values()]
        return StationStatus(
            station=self.station,
            organization="Example Recycling",
            site=self.site,
            version="0.1.0",
            at=self.now(),
            mode=self.mode,
            problems=self.problems,
            bays=tuple(self.bays.values()),
            jobs=tuple(Count(state, states.count(state)) for state in sorted(set(states))),
            head_sequence=len(self._records),
            head_sha256="0" * 64,
            undelivered=self.undelivered,
            oldest_undelivered_s=120 if self.undelivered else None,
            last_delivery=None,
            simulated=self.simulated,
        )

    def counters(self) -> Counters:
        return Counters(
            tuple(
                BayCounters(one.bay, one.work.done_bytes if one.work else 0, 0)
                for one in self.bays.values()
            ),
            tuple(VerdictCount(one.verdict, "", 1) for one in self._records.values())[:1],
        )

    def drives(self) -> tuple[DriveCard, ...]:
        return tuple(one.drive for one in self.bays.values() if one.drive)

    def drive(self, identity: IdentityKey) -> DriveHistory:
        if identity not in self._known:
            raise DeskError("desk.unknown", "This drive was never here")
        jobs = tuple(one for one in self._jobs.values() if one.identity_key == identity)
        stays = {
            one.insertion
            for one in self.bays.values()
            if one.drive and one.drive.identity_key == identity
        } | {one.insertion for one in jobs}
        return DriveHistory(
            self._known[identity],
            tuple(self._stays[one] for one in sorted(filter(None, stays), reverse=True)),
            jobs[::-1],
        )

    def jobs(self, *, after: str | None = None, limit: int = 100) -> tuple[JobCard, ...]:
        return _window([*self._proposals(), *reversed(self._jobs.values())], after, limit)

    def job(self, which: str) -> JobCard:
        for one in [*self._proposals(), *self._jobs.values()]:
            if which in {one.id, one.insertion} and (one.job is None or which == one.id):
                return one
        raise DeskError("desk.unknown", "There is no such job")

    def lots(self) -> tuple[LotCard, ...]:
        return tuple(
            sorted(map(self._account, self._lots.values()), key=lambda one: not one.active)
        )

    def lot(self, reference: str) -> LotCard:
        if reference not in self._lots:
            raise DeskError("desk.unknown", "There is no such lot")
        return self._account(self._lots[reference])

    async def open_lot(self, lot: Lot, bays: tuple[BayId, ...], by: Person) -> LotCard:
        self.asked.append(("open_lot", lot, bays, by.person_id))
        if lot.reference in self._lots:
            raise DeskError("desk.conflict", "This lot was opened before")
        return self.hold_lot(lot, bays, by.person_id)

    async def close_lot(self, reference: str, by: Person) -> LotCard:
        self.lot(reference)
        self._lots[reference] = replace(self._lots[reference], active=False)
        self._changes.tell("lot", reference)
        return self.lot(reference)

    async def take_manifest(
        self, reference: str, name: str, data: bytes, by: Person
    ) -> ManifestReport:
        self.lot(reference)
        self.asked.append(("take_manifest", reference, name, data))
        lines = data.decode("utf-8", "replace").splitlines()
        if not lines or not lines[0].startswith("serial"):
            return ManifestReport(
                hashlib.sha256(data).hexdigest(), 0, ("line 1: no column is called serial",), False
            )
        read = tuple(
            ManifestLine(number, show(line.split(",")[0]), "", "", "missing", None, None, ())
            for number, line in enumerate(lines[1:], 2)
        )
        self._lots[reference] = replace(
            self._lots[reference], lines=read, manifest_sha256=hashlib.sha256(data).hexdigest()
        )
        self._changes.tell("lot", reference)
        return ManifestReport(hashlib.sha256(data).hexdigest(), len(read), (), True)

    async def scan(self, text: str, by: Person) -> ScanAnswer:
        self.asked.append(("scan", text, by.person_id))
        in_hand, self._bay_in_hand = self._bay_in_hand, None
        if text.startswith("BAY:") and text[4:] in self.bays:
            self._bay_in_hand = text[4:]
            told = f"BAY:{show(text[4:])}: now the label"
            return ScanAnswer("bay", "scan.bay", told, False, BayId(text[4:]), None)
        if text.startswith("S/N:"):
            told = f"{show(text)}: now the drive"
            return ScanAnswer("label", "scan.waiting", told, False, None, None, (), "s-waits")
        for one in self.bays.values():
            if one.drive is None or text != one.drive.serial:
                continue
            if one.verdict is None:
                self.set(one.bay, label_serial=text)
                return ScanAnswer(
                    "label",
                    "scan.matched",
                    f"{show(text)} is in {one.bay}",
                    False,
                    one.bay,
                    one.insertion,
                )
            if in_hand not in {None, one.bay}:
                told = f"STOP: {show(text)} was in bay {one.bay}, not {in_hand}"
                return ScanAnswer("removal", "removal.bay-differs", told, True, one.bay, None)
            return ScanAnswer(
                "removal",
                "removal.agrees",
                f"{show(text)} in {one.bay}: {one.action.value}. Pull it",
                False,
                one.bay,
                one.insertion,
                (
                    one.action.value.upper(),
                    one.verdict.value,
                    f"S/N: {text}",
                    f"Label: S/N: {text}-0123456789",
                    "Tag: INV-1001",
                    "Lot: L-2026-014",
                    f"Job: {one.job}",
                    f"Bay: {one.bay}",
                    f"Date: {self.now().at[:10]}",
                ),
            )
        return ScanAnswer(
            "unknown", "scan.unknown", f"No drive here is called {show(text)}", True, None, None
        )

    def asks(self) -> tuple[AskCard, ...]:
        return tuple(self._asks.values())

    async def settle(self, scan: str, insertion: str, by: Person) -> ScanAnswer:
        self.asked.append(("settle", scan, insertion, by.person_id))
        ask = self._asked_about(scan)
        here = next((one for one in ask.candidates if one.insertion == insertion), None)
        if here is None:
            raise DeskError("scan.gone", "The drive is not there any more")
        if not here.can_bind:
            raise DeskError("scan.other-drive", f"The drive says {here.serial}")
        del self._asks[scan]
        self._changes.tell("lot")
        told = f"{ask.label_serial} belongs to the drive in bay {here.bay}"
        return ScanAnswer("label", "scan.bound", told, False, here.bay, here.insertion)

    async def withdraw(self, scan: str, by: Person) -> ScanAnswer:
        self.asked.append(("withdraw", scan, by.person_id))
        if scan != "s-waits":
            self._asked_about(scan)
            del self._asks[scan]
        self._changes.tell("lot")
        return ScanAnswer("label", "scan.withdrawn", "The scan is taken back", False, None, None)

    def _asked_about(self, scan: str) -> AskCard:
        if scan not in self._asks:
            raise DeskError("scan.gone", "That scan does not wait any more")
        return self._asks[scan]

    def destroy_queue(self) -> tuple[DestroyCard, ...]:
        ended = (
            DestroyCard(
                reason="not-sanitized",
                lot=one.lot,
                serial=one.drive.serial if one.drive else "",
                asset_tag=one.asset_tag,
                since=one.issued,
                place="here",
                bay=self._jobs[one.job].bay,
                insertion=self._jobs[one.job].insertion,
                job=one.job,
                identity_key=one.drive.identity_key if one.drive else None,
                why=self._jobs[one.job].reasons,
            )
            for one in self._records.values()
            if one.verdict is Verdict.NOT_SANITIZED
        )
        return (*self._never_seen, *ended)

    async def approve(self, which: str, approval: Approval, by: Person) -> JobCard:
        self.asked.append(("approve", which, approval, by.person_id))
        here = self._proposed(which)
        if here.plan_sha256 != approval.plan_sha256:
            raise DeskError("plan.changed", "The plan is not the one that was approved")
        if here.confirm != approval.confirm:
            raise DeskError("usage.confirm", "That is not this drive")
        return self._jobs[self.start(here.bay, (by,))]

    async def approve_lot(
        self, reference: str, plans: tuple[str, ...], by: Person
    ) -> tuple[JobCard, ...]:
        self.lot(reference)
        self.asked.append(("approve_lot", reference, plans, by.person_id))
        waiting = {
            one.plan_sha256: one
            for one in self.bays.values()
            if one.lot == reference and one.state is BayState.PLANNED
        }
        if not set(plans) <= waiting.keys():
            raise DeskError("plan.changed", "One of the plans waits no more")
        return tuple(self._jobs[self.start(waiting[one].bay, (by,))] for one in plans)

    async def abort(self, which: str, by: Person) -> JobCard:
        self.asked.append(("abort", which, by.person_id))
        for one in self.bays.values():
            if which == one.job and one.state is BayState.RUNNING:
                self.conclude(one.bay, Verdict.NOT_SANITIZED, "job.aborted")
                return self._jobs[one.job]
            if which == one.insertion and one.state is BayState.COUNTDOWN:
                self.set(one.bay, state=BayState.PLANNED, action=Action.CALL, countdown_s=None)
                return self.job(which)
        self.job(which)
        raise DeskError("desk.conflict", "Nothing runs there")

    def records(self, *, after: str | None = None, limit: int = 100) -> tuple[RecordCard, ...]:
        found = list(reversed(self._records.values()))
        ids: list[str] = [one.job for one in found]
        return tuple(found[_start(ids, after) :][:limit])

    def record(self, job: str) -> RecordFiles:
        if job not in self._records or self._folder is None:
            raise DeskError("desk.unknown", "There is no such record")
        return RecordFiles(
            *(self._folder / (job + suffix) for suffix in (".sigstore.json", ".tar.zst", ".pdf"))
        )

    async def document(self, job: str) -> Path:
        return self.record(job).pdf

    def changes(self, last: str | None) -> AsyncIterator[Change]:
        return self._changes.after(last)

    def _proposed(self, which: str) -> BayStatus:
        for one in self.bays.values():
            if one.insertion == which and one.confirm:
                return one
        if which not in self._stays:
            self.job(which)
        raise DeskError("desk.conflict", "Nothing waits for consent there")

    def _proposals(self) -> list[JobCard]:
        return [
            JobCard(
                id=one.insertion,
                job=None,
                insertion=one.insertion,
                bay=one.bay,
                drive=one.drive,
                identity_key=one.drive.identity_key if one.drive else IdentityKey(""),
                state="planned",
                policy_id=one.policy_id,
                plan_sha256=one.plan_sha256,
                lot=one.lot,
                attempt=1,
                sessions=0,
                verdict=None,
                reasons=one.why,
                people=(),
                started=None,
                ended=None,
                delivered=False,
            )
            for one in self.bays.values()
            if one.insertion is not None and one.state in {BayState.PLANNED, BayState.COUNTDOWN}
        ]

    def _account(self, card: LotCard) -> LotCard:
        here = {
            one.drive.serial: one
            for one in self.bays.values()
            if one.drive and one.lot == card.lot.reference
        }
        lines = tuple(
            replace(
                line,
                state="missing"
                if line.serial not in here
                else "done"
                if here[line.serial].verdict
                else "received",
                insertion=here[line.serial].insertion if line.serial in here else None,
                verdict=here[line.serial].verdict if line.serial in here else None,
            )
            for line in card.lines
        )
        listed = {line.serial for line in lines}
        missing = sum(line.state == "missing" for line in lines)
        surplus = tuple(sorted(here.keys() - listed)) if lines else ()
        counts = (
            Count("matched", len(lines) - missing),
            Count("missing", missing),
            Count("surplus", len(surplus)),
        )
        return replace(card, lines=lines, surplus=surplus, counts=counts)


def _window(cards: list[JobCard], after: str | None, limit: int) -> tuple[JobCard, ...]:
    return tuple(cards[_start([one.id for one in cards], after) :][:limit])


def _start(ids: list[str], after: str | None) -> int:
    if after is None:
        return 0
    if after not in ids:
        raise DeskError("desk.unknown", "There is nothing of that id")
    return ids.index(after) + 1


LOT = Lot(LotRef("L-2026-014"), "Acme Bank", "Hall 3", "pallet 7", "WO-88")
