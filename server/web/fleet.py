"""The fleet as one looks at it: each station, its bays as they stand in the rack, its troubles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nullbay.domain.reasons import text_of
from nullbay.domain.status import Action, BayState, BayStatus, Mode, StationStatus
from nullbay.server.cards import Presence, StationCard, Totals
from nullbay.server.web import words
from nullbay.server.web.words import Moment, Sign

RACK_MAX = 48
WIDE_COLUMNS = 7
PROBLEMS_MAX = 6

STATES = {
    BayState.EMPTY: "empty",
    BayState.SETTLING: "settling",
    BayState.REFUSED: "refused",
    BayState.PRESENT: "waits to be asked",
    BayState.PLANNED: "waits for approval",
    BayState.COUNTDOWN: "starts soon",
    BayState.QUEUED: "queued",
    BayState.RUNNING: "running",
    BayState.PAUSED: "paused",
    BayState.STALLED: "stalled: its process does not answer",
    BayState.FENCED: "fenced: a dead process holds the drive",
    BayState.CONCLUDED: "finished",
    BayState.KNOWN: "finished here before",
}
MODES = {
    Mode.WORKING: "",
    Mode.HOLDING: "The station holds: it starts nothing.",
    Mode.DRAINING: "The station is being stopped: it starts nothing new.",
    Mode.STOPPED: "The station has stopped.",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One bay in the picture of a rack. `percent` is None where nothing is under way."""

    bay: str
    action: str
    sign: str
    word: str
    percent: int | None
    told: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something wrong with a station, in words."""

    text: str
    detail: str


@dataclass(frozen=True, slots=True)
class Tile:
    """A station on the page of the fleet."""

    name: str
    href: str
    place: str
    state: str
    sign: str
    tone: str
    word: str
    is_wide: bool
    problems: tuple[Trouble, ...]
    rack: tuple[tuple[Cell | None, ...], ...]
    no_rack: str
    heard: Moment | None
    undelivered: str
    findings: int


@dataclass(frozen=True, slots=True)
class Figure:
    """A number to see first."""

    number: str
    words: str
    sign: str = ""
    tone: str = "none"
    href: str = ""


def tiles(cards: Sequence[StationCard], *, linked: bool) -> tuple[Tile, ...]:
    """The stations, those with trouble first, then by name."""
    order = (Presence.OFFLINE, Presence.STALE, Presence.NEVER, Presence.ONLINE)
    ranked = sorted(cards, key=lambda one: (order.index(one.presence), one.station))
    return tuple(_tile(one, linked=linked) for one in ranked)


def figures(
    cards: Sequence[StationCard], totals: Totals, *, findings_href: str
) -> tuple[Figure, ...]:
    """What stands above the fleet."""
    online = sum(one.presence is Presence.ONLINE for one in cards)
    away = len(cards) - online
    bays = [bay for one in cards if one.status for bay in one.status.bays]
    undelivered = sum(one.status.undelivered for one in cards if one.status)

    def doing(action: Action) -> int:
        return sum(bay.action is action for bay in bays)

    found = totals.open_findings
    return (
        Figure(
            f"{online} of {len(cards)}",
            "stations online",
            "offline" if away else "online",
            "bad" if away else "good",
        ),
        Figure(str(doing(Action.LEAVE)), "bays at work", "leave", "work"),
        Figure(str(doing(Action.SHIP)), "bays to ship", "ship", "good"),
        Figure(
            str(doing(Action.SHRED) + doing(Action.CALL)),
            f"bays that need hands: {doing(Action.SHRED)} SHRED, {doing(Action.CALL)} CALL",
            "call",
            "warn" if doing(Action.SHRED) + doing(Action.CALL) else "none",
        ),
        Figure(str(undelivered), "not yet delivered by the stations", "clock"),
        Figure(
            str(found),
            "open findings",
            "triangle" if found else "check",
            "bad" if found else "good",
            findings_href,
        ),
    )


def _tile(card: StationCard, *, linked: bool) -> Tile:
    shown, status = words.PRESENCES[card.presence], card.status
    rack = _rack(status.bays) if status else ()
    return Tile(
        name=card.station,
        href=path_of(card.station) if linked else "",
        place=" · ".join(filter(None, (status.organization, status.site))) if status else "",
        state=card.presence.value,
        sign=shown.sign,
        tone=shown.tone,
        word=shown.words,
        is_wide=bool(rack) and len(rack[0]) >= WIDE_COLUMNS,
        problems=_problems(card),
        rack=rack,
        no_rack="This station has no bays yet." if status else "Nothing is known of its bays.",
        heard=words.ago(card.seen, card.age_s),
        undelivered=_undelivered(status),
        findings=card.open_findings,
    )


def path_of(station: str) -> str:
    """The address of a station's page."""
    return words.place("/stations", "/station", "station", station)


def _undelivered(status: StationStatus | None) -> str:
    if status is None:
        return words.NONE
    if not status.undelivered:
        return "nothing"
    age = status.oldest_undelivered_s
    return f"{status.undelivered}" + ("" if age is None else f", since {words.span(age)}")


def _problems(card: StationCard) -> tuple[Trouble, ...]:
    found: list[Trouble] = []
    if card.presence in {Presence.STALE, Presence.OFFLINE} and card.age_s is not None:
        found.append(
            Trouble(f"Nothing heard for {words.span(card.age_s)}; below is what it last said", "")
        )
    if card.presence is Presence.NEVER:
        found.append(Trouble("It never answered and never sent anything", ""))
    if card.poll_error:
        found.append(Trouble("The last question to it went unanswered", card.poll_error))
    if card.status is not None:
        if told := MODES[card.status.mode]:
            found.append(Trouble(told, ""))
        found += [Trouble(_sentence(why.code), why.detail) for why in card.status.problems]
    return tuple(found[:PROBLEMS_MAX])


def _sentence(code: str) -> str:
    """The words of a code, with a capital letter; a code nobody knows stays as it is."""
    text = text_of(code)
    return text if text == code else text[:1].upper() + text[1:]


def _rack(bays: Sequence[BayStatus]) -> tuple[tuple[Cell | None, ...], ...]:
    """Rows and columns as they stand; a station that says nonsense gets one row."""
    if not bays:
        return ()
    rows, columns = [one.row for one in bays], [one.column for one in bays]
    places = {(one.row, one.column): one for one in bays}
    height, width = max(rows) - min(rows) + 1, max(columns) - min(columns) + 1
    if len(places) < len(bays) or height > RACK_MAX or width > RACK_MAX:
        cells = [_cell(one) for one in bays]
        return tuple(tuple(cells[start : start + 6]) for start in range(0, len(cells), 6))
    return tuple(
        tuple(
            _cell(places[row, column]) if (row, column) in places else None
            for column in range(min(columns), max(columns) + 1)
        )
        for row in range(min(rows), max(rows) + 1)
    )


def _cell(bay: BayStatus) -> Cell:
    shown: Sign = words.ACTIONS[bay.action]
    percent = None
    if bay.work is not None and bay.work.total_bytes and bay.action is Action.LEAVE:
        percent = min(100, bay.work.done_bytes * 100 // bay.work.total_bytes)
    word = shown.words or ("empty" if bay.state is BayState.EMPTY else "–")
    if percent is not None:
        word = f"{percent} %"
    elif bay.countdown_s is not None:
        word = f"in {bay.countdown_s} s"
    return Cell(bay.bay, bay.action.value, shown.sign, word, percent, _told(bay, shown, percent))


def _told(bay: BayStatus, shown: Sign, percent: int | None) -> str:
    """Everything about a bay in one line, for whoever points at it or listens."""
    drive = bay.drive
    parts = [
        f"Bay {bay.bay}: {shown.words or 'nothing to do'}",
        STATES[bay.state] + ("" if percent is None else f", {percent} %"),
        f"{drive.model} {drive.serial}".strip() if drive else "",
        words.VERDICTS[bay.verdict].words if bay.verdict else "",
        *(text_of(why.code) for why in bay.why[:2]),
    ]
    return "; ".join(filter(None, parts))
