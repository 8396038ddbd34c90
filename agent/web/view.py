"""What the console shows of a bay, in words and shapes. Pure; the words stand here alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from nullbay.agent.desk import Desk, ScanAnswer
from nullbay.domain import reasons
from nullbay.domain.ids import LotRef
from nullbay.domain.status import Action, BayState, BayStatus, StationStatus, Why
from nullbay.domain.verdict import Verdict
from nullbay.web.pages import shown_bytes, shown_duration, shown_rate

GRID_MAX = 16
"""Rows and columns for which the style sheet has a grid; a bigger rack flows and scrolls."""

VERDICT_WORDS: Mapping[Verdict, str] = MappingProxyType(
    {
        Verdict.SANITIZED: "sanitized",
        Verdict.SANITIZED_WITH_EXCEPTIONS: "sanitized, with exceptions",
        Verdict.NOT_SANITIZED: "not sanitized",
        Verdict.INDETERMINATE: "indeterminate",
    }
)

_STATE_WORDS = {
    BayState.EMPTY: "empty",
    BayState.SETTLING: "just plugged in",
    BayState.REFUSED: "not taken",
    BayState.PRESENT: "was here at the start",
    BayState.PLANNED: "approve?",
    BayState.QUEUED: "queued",
    BayState.RUNNING: "working",
    BayState.PAUSED: "paused",
    BayState.STALLED: "does not answer",
    BayState.FENCED: "stuck",
    BayState.KNOWN: "done here before",
}
_PHASE_WORDS = {
    "write": "writing",
    "overwrite": "writing",
    "verify": "verifying",
    "read": "reading",
    "flush": "flushing",
}
_ASKING = frozenset({BayState.PLANNED, BayState.PRESENT, BayState.COUNTDOWN, BayState.KNOWN})
_ABORTABLE = frozenset(
    {BayState.QUEUED, BayState.RUNNING, BayState.PAUSED, BayState.STALLED, BayState.COUNTDOWN}
)


@dataclass(frozen=True, slots=True)
class WhyView:
    """A reason as a person reads it."""

    code: str
    text: str
    detail: str
    next_step: str


@dataclass(frozen=True, slots=True)
class BayView:
    """A bay's card. `word` is the action in capitals, `tone` names colour and shape.

    `percent` is None where nothing is under way; `is_again` where approving would repeat a job that
    has ended; `standing` changes whenever what can be done with the bay does.
    """

    status: BayStatus
    word: str
    tone: str
    line: str
    serial: str
    model: str
    percent: int | None
    left: str
    why: tuple[WhyView, ...]
    is_asking: bool
    is_again: bool
    is_abortable: bool
    standing: str

    @property
    def spoken(self) -> str:
        """For a screen reader: everything the card says, in one sentence."""
        parts = [f"Bay {self.status.bay}", self.word or "empty", self.line, self.serial, self.left]
        return ", ".join(part for part in parts if part)


def bay_view(bay: BayStatus) -> BayView:
    """One bay."""
    drive, work = bay.drive, bay.work
    percent = None
    if work is not None and work.total_bytes:
        percent = min(100, work.done_bytes * 100 // work.total_bytes)
    return BayView(
        status=bay,
        word="" if bay.action is Action.NONE else bay.action.value.upper(),
        tone="countdown" if bay.state is BayState.COUNTDOWN else bay.action.value,
        line=_line(bay),
        serial=(drive.serial or "no serial") if drive else "",
        model=f"{shown_bytes(drive.size_bytes)} {drive.model}" if drive else "",
        percent=percent,
        left=_left(bay),
        why=tuple(map(why_view, bay.why)),
        is_asking=may_approve(bay),
        is_again=bay.state in {BayState.CONCLUDED, BayState.KNOWN},
        is_abortable=bay.state in _ABORTABLE,
        standing=f"{bay.state.value} {bay.insertion or ''} {bay.job or ''} {bay.plan_sha256}",
    )


def picture(desk: Desk, problems: tuple[str, ...]) -> StationStatus:
    """The station now, with the problems of the listener that shows it (`Binding.problems`)."""
    status = desk.status()
    told = {why.code for why in status.problems}
    more = tuple(Why(code) for code in problems if code not in told)
    return replace(status, problems=(*status.problems, *more)) if more else status


def may_approve(bay: BayStatus) -> bool:
    """Whether a plan waits here for somebody's consent."""
    if not bay.plan_sha256 or not bay.confirm:
        return False
    if bay.state is BayState.CONCLUDED:
        return bay.verdict is None or not bay.verdict.is_sanitized
    return bay.state in _ASKING


def why_view(why: Why) -> WhyView:
    """A coded reason in plain words; a code nobody knows is shown as itself."""
    known = reasons.CATALOGUE.get(why.code)
    return WhyView(
        why.code, reasons.text_of(why.code), why.detail, known.next_step if known else ""
    )


def is_stop(answer: ScanAnswer) -> bool:
    """Whether what was scanned contradicts what is here: nobody goes on before having seen it."""
    return answer.alarm and answer.kind in {"removal", "label", "tag"}


@dataclass(frozen=True, slots=True)
class RackView:
    """The bays as they stand: None where no bay is. `grid` names classes of the style sheet."""

    cells: tuple[BayView | None, ...]
    grid: str


def rack_view(bays: Iterable[BayStatus]) -> RackView:
    """Rows and columns as configured; two bays in one place follow each other."""
    views = sorted(map(bay_view, bays), key=lambda one: (one.status.row, one.status.column))
    rows = max((one.status.row for one in views), default=0)
    columns = max((one.status.column for one in views), default=0)
    places = {(one.status.row, one.status.column): one for one in views}
    fits = rows <= GRID_MAX and columns <= GRID_MAX and len(places) == len(views)
    if not views or not fits:
        return RackView(tuple(views), "flow")
    cells = (
        places.get((row, column)) for row in range(1, rows + 1) for column in range(1, columns + 1)
    )
    return RackView(tuple(cells), f"rows-{rows} columns-{columns}")


def waiting_in(status: StationStatus, lot: LotRef | str) -> tuple[BayStatus, ...]:
    """The bays of a lot whose plans one person may approve at once: only plain proposals.

    A drive that was there before, or was finished here before, is asked about one by one.
    """
    return tuple(
        bay
        for bay in status.bays
        if bay.lot == lot and bay.state is BayState.PLANNED and may_approve(bay)
    )


def _line(bay: BayStatus) -> str:
    if bay.state is BayState.COUNTDOWN:
        return f"starts in {bay.countdown_s} s" if bay.countdown_s is not None else "starts soon"
    if bay.state is BayState.CONCLUDED and bay.verdict is not None:
        is_partly = bay.verdict is Verdict.SANITIZED_WITH_EXCEPTIONS
        return "has exceptions" if is_partly else VERDICT_WORDS[bay.verdict]
    if bay.state is BayState.RUNNING and bay.work is not None:
        return _PHASE_WORDS.get(bay.work.phase, bay.work.phase)
    if bay.state is BayState.REFUSED and bay.why:
        return reasons.text_of(bay.why[0].code)
    return _STATE_WORDS.get(bay.state, bay.state.value)


def _left(bay: BayStatus) -> str:
    if bay.work is None:
        return ""
    if bay.work.eta_s is None:
        return shown_rate(bay.work.bytes_per_s) if bay.work.bytes_per_s else ""
    return f"{shown_duration(bay.work.eta_s)} left"
