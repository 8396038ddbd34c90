"""Reception: lots, manifests and scans of this station, journalled first and folded then.

What was decided is an event in the journal; what is shown is derived from the events. Drives come
from the attendances, decisions from `agent/intake/`, and this room has no rules of its own.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable
from typing import TypeVar

from nullbay.agent.certify import Certifier
from nullbay.agent.changes import Changes
from nullbay.agent.desk import (
    AskCandidate,
    AskCard,
    DeskError,
    LotCard,
    ManifestLine,
    ManifestReport,
    ScanAnswer,
)
from nullbay.agent.intake.account import Account, ToDestroy, account, destroy_queue
from nullbay.agent.intake.asks import (
    BOUND,
    WITHDRAWN,
    OpenScan,
    bound_text,
    open_scans,
    withdrawn_text,
)
from nullbay.agent.intake.flow import Hand, Scanning, decide_scan
from nullbay.agent.intake.lots import decide_close, decide_manifest, decide_open
from nullbay.agent.intake.manifest import parse_manifest
from nullbay.agent.intake.pairing import (
    decide_bind,
    decide_withdraw,
    left_open,
    overdue,
    pair,
)
from nullbay.agent.intake.people import People
from nullbay.agent.intake.refusal import Refusal
from nullbay.agent.intake.scans import (
    AssetTag,
    Badge,
    BayScan,
    LabelSerial,
    ScanContext,
    Unclear,
    Unknown,
    classify,
)
from nullbay.agent.intake.state import IntakeState, LotState, Stay, fold, fold_all
from nullbay.agent.journal.stays import Stays
from nullbay.agent.rack import Place
from nullbay.certs.ledger import InsertionClosed
from nullbay.certs.lot_document import LotDocument, LotEvent, note_of
from nullbay.config.aliases import is_bridged
from nullbay.config.settings import Settings
from nullbay.domain.clock import Clock
from nullbay.domain.ids import BayId, InsertionId
from nullbay.domain.intake import (
    InsertionEnded,
    InsertionOpened,
    ScanId,
    Scanned,
    StationEvent,
    TagBound,
    WorkEnded,
    WorkStarted,
)
from nullbay.domain.lot import InsertionEnd, Lot, Person
from nullbay.domain.status import Count

PROBLEMS_SHOWN = 100
E = TypeVar("E")
_UNKNOWN = {
    "empty": "nothing was scanned",
    "too-long": "this is longer than any label",
    "unreadable": "this holds characters that no label has",
}


class Reception:
    """The intake of one station."""

    def __init__(
        self,
        stays: Stays,
        bays: Collection[BayId],
        settings: Settings,
        people: People,
        clock: Clock,
        certifier: Certifier,
        changes: Changes,
        draw: Callable[[int], bytes],
    ) -> None:
        """Replays the journal. `draw` gives the bytes of ids."""
        self._stays, self._bays, self._settings = stays, tuple(bays), settings
        self._clock, self._certifier, self._changes = clock, certifier, changes
        self._people, self._draw = people, draw
        self._state = fold_all(stays.events())
        self._started = clock.now()
        self._hands: dict[str, Hand] = {}
        self._queue: tuple[IntakeState, tuple[ToDestroy, ...]] | None = None
        if left := left_open(self._state, self._started):
            self._take(*left)

    @property
    def state(self) -> IntakeState:
        """What all events add up to."""
        return self._state

    # --- lots ------------------------------------------------------------------------------------

    def lots(self) -> tuple[LotCard, ...]:
        """Active ones first, then those of the settings that were never opened."""
        known = [self._card(one) for one in self._state.lots.values()]
        known.sort(key=lambda one: not one.active)
        here = {one.lot.reference for one in known}
        given = [one for one in self._settings.lots if one.reference not in here]
        return (*known, *(_unopened(one) for one in given))

    def lot(self, reference: str) -> LotCard | None:
        """One lot; None for one that nobody knows."""
        return next((one for one in self.lots() if one.lot.reference == reference), None)

    def open_lot(self, lot: Lot, bays: Collection[BayId], by: Person) -> LotCard:
        """Make it active."""
        event = decide_open(self._state, lot, bays, self._bays, by, self._clock.now())
        self._tell(_allowed(event))
        return self._card(self._state.lots[lot.reference])

    def close_lot(self, reference: str, by: Person) -> LotCard:
        """It takes no more drives."""
        event = _allowed(decide_close(self._state, reference, by, self._clock.now()))
        self._tell(event)
        return self._card(self._state.lots[event.reference])

    def take_manifest(self, reference: str, name: str, data: bytes, by: Person) -> ManifestReport:
        """A manifest for a lot; one with any problem is reported and not taken."""
        manifest = parse_manifest(data, name)
        told = tuple(one.told() for one in (*manifest.problems, *manifest.warnings))
        if not manifest.problems:
            now = self._clock.now()
            self._tell(_allowed(decide_manifest(self._state, reference, manifest, by, now)))
        elif self.lot(reference) is None:
            raise DeskError("desk.unknown", "no such lot", next_step="Open it first")
        return ManifestReport(
            manifest.sha256, manifest.lines, told[:PROBLEMS_SHOWN], not manifest.problems
        )

    def lot_of(self, bay: BayId, insertion: InsertionId | None) -> Lot | None:
        """The lot that the drive of a stay belongs to, else the one active for the bay."""
        stay = self._state.stays.get(insertion) if insertion else None
        if stay is not None and stay.lot is not None:
            return self._state.lots[stay.lot].lot
        active = self._state.active_lot(bay)
        return active.lot if active else None

    # --- stays -----------------------------------------------------------------------------------

    def arrived(self, place: Place) -> None:
        """A drive is held and has an insertion."""
        drive, insertion = place.drive, place.insertion
        assert drive is not None, "an arrival has a drive"  # noqa: S101 - the attendance's word
        assert insertion is not None, "an arrival has an insertion"  # noqa: S101 - the attendance's word
        active = self._state.active_lot(place.bay.bay_id)
        self._take(
            InsertionOpened(
                insertion=insertion,
                bay=place.bay.bay_id,
                identity=drive.identity,
                lot=active.lot.reference if active else None,
                arrived=not place.never_left,
                bridged=is_bridged(drive),
                at=self._clock.now(),
            )
        )
        # Finished here before; where one that left has been since, nobody knows.
        if place.verdict is not None and place.job is not None and place.never_left:
            now = self._clock.now()
            self._take(WorkEnded(insertion, place.job, place.verdict, now))
        self._bind_the_sure()

    def started(self, place: Place) -> None:
        """A job works on it."""
        if place.insertion is not None and place.job is not None:
            self._take(WorkStarted(place.insertion, place.job, self._clock.now()))

    def concluded(self, place: Place) -> None:
        """Its job has a verdict."""
        if place.insertion and place.job and place.verdict:
            now = self._clock.now()
            self._take(WorkEnded(place.insertion, place.job, place.verdict, now))

    def departed(self, place: Place) -> str:
        """Its stay is over; the label it was scanned out with, if it was.

        A drive that leaves without a job has no record: its closing bears what it was scanned in
        with, so that whoever has the manifest knows which line came.
        """
        stay = self._stay(place.insertion)
        if stay is None:
            return ""
        end = InsertionEnd.REMOVED if place.is_gone else InsertionEnd.STATION_STOPPED
        self._take(InsertionEnded(stay.insertion, end, self._clock.now()))
        if stay.scanned_out or stay.job is None:
            return stay.label_serial or ("" if stay.job else stay.asset_tag)
        return ""

    def tags(self, insertion: InsertionId | None) -> tuple[str, str]:
        """Asset tag and label serial of a stay."""
        stay = self._stay(insertion)
        return (stay.asset_tag, stay.label_serial) if stay else ("", "")

    def _stay(self, insertion: InsertionId | None) -> Stay | None:
        return self._state.stays.get(insertion) if insertion else None

    def loaders(self, bay: BayId, insertion: InsertionId | None) -> tuple[Person, ...]:
        """Who scanned the drive in, else who opened its lot."""
        stay = self._stay(insertion)
        if stay is not None and stay.bound_by is not None:
            return (stay.bound_by,)
        active = self._state.active_lot(bay)
        known = self._people.person(active.opened_by) if active else None
        return (known.person(),) if known else ()

    # --- scans -----------------------------------------------------------------------------------

    def scan(self, text: str, by: Person) -> ScanAnswer:
        """What a scanner typed: a badge, a bay, a tag or a label; its answer, nothing raised."""
        context = ScanContext(self._bays, self._state, self._people.identify_badge)
        match classify(text, context):
            case Badge(holder):
                if isinstance(holder, Refusal):
                    return ScanAnswer("badge", holder.code, holder.told(), True, None, None)  # noqa: FBT003 - an alarm
                told = "a badge: log in with it"
                return ScanAnswer("badge", "scan.badge", told, False, None, None)  # noqa: FBT003 - no alarm
            case Unknown(why):
                return ScanAnswer("unknown", f"scan.{why}", _UNKNOWN[why], True, None, None)  # noqa: FBT003 - an alarm
            case Unclear(shown, could_be):
                asked = (
                    f"{shown} could be a {' or a '.join(could_be)}: say which (TAG:, S/N:, BAY:)"
                )
                return ScanAnswer("unknown", "scan.unclear", asked, True, None, None)  # noqa: FBT003 - an alarm
            case BayScan() | AssetTag() | LabelSerial() as scan:
                return self._scanned(scan, by)

    def _scanned(self, scan: BayScan | AssetTag | LabelSerial, by: Person) -> ScanAnswer:
        fresh = ScanId(f"s-{self._draw(8).hex()}")
        hand = self._hands.get(by.person_id, Hand())
        around = Scanning(self._state, hand, by, self._clock.now(), fresh)
        decision = decide_scan(scan, around)
        if decision.events:
            self._take(*decision.events)
        self._hands[by.person_id] = decision.hand
        told = decision.answer
        message = "; ".join((told.message, *told.near))
        label = told.label.lines() if told.label is not None and not told.alarm else ()
        announced = [one.scan for one in decision.events if isinstance(one, Scanned)]
        waits = next((one for one in announced if one in self._state.announced), "")
        return ScanAnswer(
            told.kind, told.code, message, told.alarm, told.bay, told.insertion, label, waits
        )

    def asks(self) -> tuple[AskCard, ...]:
        """What scans left open, for a person to settle."""
        return tuple(map(_ask_card, open_scans(self._state, self._clock.now())))

    def settle(self, scan: str, insertion: str, by: Person) -> ScanAnswer:
        """This scan is that drive; a label that says another is refused."""
        now = self._clock.now()
        decided = decide_bind(self._state, ScanId(scan), InsertionId(insertion), by, now)
        bound = _allowed(decided)
        self._take(bound)
        others = self._bind_the_sure()
        return self._settled(bound.label_serial, BOUND, (self._bound(bound),), bound, others)

    def withdraw(self, scan: str, by: Person) -> ScanAnswer:
        """Take an announcement back."""
        before = self._state
        withdrawn = _allowed(decide_withdraw(before, ScanId(scan), by, self._clock.now()))
        self._take(withdrawn)
        others = self._bind_the_sure()
        told = (withdrawn_text(withdrawn, before),)
        label = before.announced[withdrawn.scan].label_serial
        return self._settled(label, WITHDRAWN, told, None, others)

    def destroy_queue(self) -> tuple[ToDestroy, ...]:
        """Drives to be destroyed, as of now; reckoned anew only when something happened."""
        if self._queue is None or self._queue[0] is not self._state:
            self._queue = (self._state, destroy_queue(self._state))
        return self._queue[1]

    def _settled(
        self,
        label: str,
        code: str,
        told: tuple[str, ...],
        bound: TagBound | None,
        others: tuple[TagBound, ...],
    ) -> ScanAnswer:
        """What the person is told; what became sure by it is told too, never matched silently."""
        stay = self._state.stays[bound.insertion] if bound else None
        return ScanAnswer(
            kind="label" if label else "tag",
            code=code,
            message="; ".join((*told, *map(self._bound, others))),
            alarm=False,
            bay=stay.bay if stay else None,
            insertion=stay.insertion if stay else None,
        )

    def _bound(self, bound: TagBound) -> str:
        return bound_text(bound, self._state.stays[bound.insertion])

    def _bind_the_sure(self) -> tuple[TagBound, ...]:
        """Bind what can mean only one drive: one that came, or was left when others went."""
        bound = pair(self._state, self._clock.now()).events
        if bound:
            self._take(*bound)
        return bound

    def tick(self) -> bool:
        """Give up announced drives whose time is over; each is closed in the ledger.

        First what became sure since is bound: a drive that is here is not given up. True where
        something was.
        """
        bound = self._bind_the_sure()
        for event in overdue(self._state, self._clock.now(), self._started):
            announced = self._state.announced[event.scan]
            closed = InsertionClosed(
                insertion_id=f"i-{uuid.UUID(bytes=self._draw(16), version=4)}",
                identity_key="",
                scanned=announced.label_serial or announced.asset_tag,
                bay=announced.bay or "",
                cause=InsertionEnd.NOT_DETECTED,
                jobs=(),
                refusals=(),
            )
            self._stays.happened_with_entry(event, self._certifier.entry_of(closed))
            self._fold((event,))
        return bool(bound)

    # --- inside ----------------------------------------------------------------------------------

    def _take(self, *events: StationEvent) -> None:
        """The journal first: what a crash forgets was never said."""
        self._stays.happened(events)
        self._fold(events)

    def _tell(self, event: LotEvent) -> None:
        """As `_take`, with the ledger entry that binds it and the document for the centre."""
        document = LotDocument(self._certifier.station_name, event)
        data = document.encode()
        entry = self._certifier.entry_of(note_of(document, data))
        self._stays.happened_with_entry(event, entry, document=data)
        self._fold((event,))

    def _fold(self, events: Iterable[StationEvent]) -> None:
        for event in events:
            self._state = fold(self._state, event)
        self._changes.tell("lot")

    def _card(self, lot: LotState) -> LotCard:
        found = account(self._state, lot)
        return LotCard(
            lot=lot.lot,
            active=lot.active,
            bays=lot.bays,
            opened=lot.opened,
            opened_by=lot.opened_by,
            manifest_sha256=lot.manifest_sha256,
            lines=tuple(
                ManifestLine(
                    line=one.row.line,
                    serial=one.row.serial,
                    asset_tag=one.row.asset_tag,
                    model=one.row.model,
                    state=one.state.value,
                    insertion=one.insertion,
                    verdict=one.verdict,
                    near=one.near,
                )
                for one in found.rows
            ),
            surplus=tuple(one.label_serial or one.identity.serial.shown for one in found.surplus),
            counts=_figures(found),
        )


def _ask_card(one: OpenScan) -> AskCard:
    scanned, ask = one.scanned, one.ask
    return AskCard(
        scan=scanned.scan,
        code=ask.code,
        message=ask.text,
        alarm=ask.alarm,
        holds=ask.holds,
        label_serial=scanned.label_serial,
        asset_tag=scanned.asset_tag,
        bay=scanned.bay,
        lot=scanned.lot,
        by=scanned.by.person_id,
        at=scanned.at,
        candidates=tuple(
            AskCandidate(
                like.stay.insertion,
                like.stay.bay,
                like.stay.identity.serial.shown,
                like.why,
                like.can_bind,
            )
            for like in one.candidates
        ),
    )


def _figures(found: Account) -> tuple[Count, ...]:
    """What a banner has room for; the lines say the rest."""
    if not found.rows:
        return (Count("drives", found.counts["drives"]),)
    matched = sum(one.insertion is not None for one in found.rows)
    given_up = found.counts["not-detected"]
    told = (
        Count("matched", matched),
        Count("missing", len(found.rows) - matched - given_up),
        Count("surplus", len(found.surplus)),
    )
    return (*told, Count("not detected", given_up)) if given_up else told


def _unopened(lot: Lot) -> LotCard:
    return LotCard(
        lot,
        active=False,
        bays=(),
        opened=None,
        opened_by="",
        manifest_sha256="",
        lines=(),
        surplus=(),
        counts=(),
    )


def _allowed(event: E | Refusal) -> E:
    if isinstance(event, Refusal):
        code = "desk.unknown" if event.code.endswith("unknown") else event.code
        raise DeskError(code, event.text, next_step=event.next_step)
    return event
