"""Findings and stations as pages: what does not add up, and who may deliver with which keys."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nullbay.certs.pdf_blocks import Fact, fact
from nullbay.domain.text import show
from nullbay.server.cards import (
    EntryCard,
    FindingCard,
    FindingState,
    RefusedCard,
    StationCard,
    StationPage,
)
from nullbay.server.finding_kinds import CATALOGUE, Severity
from nullbay.server.web import words
from nullbay.server.web.fleet import path_of
from nullbay.server.web.record import KINDS
from nullbay.server.web.words import Moment, Sign

STATES = {
    FindingState.OPEN: Sign("triangle", "bad", "open"),
    FindingState.ACKNOWLEDGED: Sign("check", "none", "acknowledged"),
    FindingState.OVER: Sign("check", "good", "over by itself"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding with what it means and what to do."""

    number: str
    css: str
    title: str
    state: Sign
    severity: str
    meaning: str
    next_step: str
    station: str
    station_href: str
    subject: str
    detail: str
    first: Moment | None
    last: Moment | None
    over: Moment | None
    acknowledged: Moment | None
    acknowledged_by: str
    note: str
    code: str
    open: bool


@dataclass(frozen=True, slots=True)
class Key:
    """A public key that is believed for a station."""

    kind: str
    name: str
    key_id: str


@dataclass(frozen=True, slots=True)
class Line:
    """A ledger entry of a station."""

    sequence: str
    at: Moment | None
    words: str
    subject: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Row:
    """A station in the list."""

    name: str
    href: str
    state: Sign
    heard: Moment | None
    head: str
    delivered: Moment | None
    records: int
    open_jobs: int
    findings: int


@dataclass(frozen=True, slots=True)
class Station:
    """A station with its keys and how far its ledger has come."""

    name: str
    state: Sign
    facts: tuple[Fact, ...]
    ledger: tuple[Fact, ...]
    accounted: Sign
    open_jobs: tuple[str, ...]
    keys: tuple[Key, ...]
    entries: tuple[Line, ...]
    refused: tuple[RefusedCard, ...]
    records_href: str
    findings_href: str


def finding_of(card: FindingCard) -> Finding:
    """A finding in the catalogue's words; an unknown code is shown as itself."""
    kind = CATALOGUE.get(card.code)
    state = STATES[card.state]
    is_open = card.state is FindingState.OPEN
    return Finding(
        number=card.id,
        css=("open" if card.severity == Severity.ALARM else "minor") if is_open else "known",
        title=(kind.text if kind else card.code).rstrip("."),
        state=state,
        severity=card.severity if is_open else "",
        meaning="Alarm: somebody may be hiding or inventing something."
        if card.severity == Severity.ALARM and is_open
        else "",
        next_step=kind.next_step if kind else "",
        station=card.station,
        station_href=path_of(card.station) if card.station else "",
        subject=card.subject,
        detail=card.detail,
        first=words.moment(card.first),
        last=words.moment(card.last),
        over=words.moment(card.over),
        acknowledged=words.moment(card.acknowledged),
        acknowledged_by=card.acknowledged_by,
        note=card.note,
        code=card.code,
        open=is_open,
    )


def row_of(card: StationCard) -> Row:
    """A line of the list of stations."""
    return Row(
        name=card.station,
        href=path_of(card.station),
        state=words.PRESENCES[card.presence],
        heard=words.ago(card.seen, card.age_s),
        head=f"{card.head_sequence:,}",
        delivered=words.moment(card.last_delivery),
        records=card.records,
        open_jobs=card.open_jobs,
        findings=card.open_findings,
    )


def station_of(page: StationPage, keys: Iterable[Key]) -> Station:
    """A station's page."""
    card, account = page.card, page.account
    return Station(
        name=card.station,
        state=words.PRESENCES[card.presence],
        facts=_facts(card),
        ledger=(
            Fact("Last entry", f"{card.head_sequence:,}"),
            fact("Its SHA-256", card.head_sha256 if card.head_sequence else "", "mono"),
            Fact("Last delivery", _when(words.moment(card.last_delivery))),
            Fact("Jobs", f"{account.jobs_started:,} started, {account.jobs_concluded:,} concluded"),
            Fact(
                "Insertions closed",
                ", ".join(f"{one.number:,} {one.name}" for one in account.insertions) or "none",
            ),
            Fact("Records", f"{account.records:,}"),
        ),
        accounted=_accounted(page),
        open_jobs=account.jobs_open,
        keys=tuple(keys),
        entries=tuple(_line(one) for one in page.entries),
        refused=page.refused,
        records_href=words.address("/records", station=card.station),
        findings_href=words.address("/findings", state="all", station=card.station),
    )


def _facts(card: StationCard) -> tuple[Fact, ...]:
    status = card.status
    told = status.version if status else ""
    return (
        fact("Address", card.url),
        fact(
            "Site", " · ".join(filter(None, (status.organization, status.site))) if status else ""
        ),
        fact("Version", told),
        Fact(
            "Last heard", _when(words.moment(card.seen)) + (f", by {card.via}" if card.via else "")
        ),
        *((fact("Last question", card.poll_error),) if card.poll_error else ()),
        Fact("Open findings", str(card.open_findings)),
    )


def _accounted(page: StationPage) -> Sign:
    if not page.card.head_sequence:
        return Sign("none", "none", "nothing delivered yet")
    if page.account.accounted:
        return Sign("check", "good", "every job and stay is accounted for")
    return Sign("triangle", "warn", _open_words(page))


def _open_words(page: StationPage) -> str:
    account = page.account
    parts = [
        words.plural(len(account.jobs_open), "job") + " open" if account.jobs_open else "",
        words.plural(len(account.insertions_open), "stay") + " not closed"
        if account.insertions_open
        else "",
        words.plural(len(account.records_missing), "record") + " missing"
        if account.records_missing
        else "",
    ]
    return ", ".join(filter(None, parts)) or "findings about its ledger are open"


def _when(moment: Moment | None) -> str:
    return moment.full if moment else "never"


def _line(one: EntryCard) -> Line:
    return Line(
        f"{one.sequence:,}",
        words.moment(one.at),
        KINDS.get(one.kind, one.kind),
        show(one.subject, 160),
        one.sha256,
    )
