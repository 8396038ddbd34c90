"""Accounts: whether nothing dropped out, at a station and in a lot. Pure.

A station's account follows from its chain: every job has one conclusion and one record, every
insertion that a job names is closed. A lot's account follows from its records and, where the centre
has one, the customer's list: every line is a drive that was done or never showed itself, and there
is no drive besides. The last attempt at a drive decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from nullbay.domain.status import Count
from nullbay.domain.verdict import Verdict
from nullbay.server.cards import (
    DriveAccount,
    JobCard,
    LineAccount,
    LineState,
    LotAccount,
    LotCard,
    ManifestLine,
    RecordCard,
    StationAccount,
)
from nullbay.server.search import key_of

CHAIN_CODES = frozenset(
    {
        "ledger.gap",
        "ledger.fork",
        "ledger.broken",
        "head.backwards",
        "head.forked",
        "job.doubled",
        "job.never-started",
        "insertion.doubled",
        "record.missing",
    }
)


@dataclass(frozen=True, slots=True)
class StationLedger:
    """What is known of a station's chain: `jobs` not settled, and which of their stays are closed.

    `causes` and `verdicts` are numbers by word.
    """

    station: str
    entries: int
    causes: Mapping[str, int]
    started: int
    concluded: int
    verdicts: Mapping[str, int]
    jobs: tuple[JobCard, ...]
    closed: frozenset[str]
    open_findings: frozenset[str]


@dataclass(frozen=True, slots=True)
class LotFacts:
    """What is known of a lot: records newest first, the customer's lines, what never showed itself.

    `not_detected` are the keys of what was scanned for drives that never enumerated.
    """

    reference: str
    records: tuple[RecordCard, ...]
    lines: tuple[ManifestLine, ...] = ()
    not_detected: frozenset[str] = frozenset()


def account_station(facts: StationLedger) -> StationAccount:
    """The account of a station."""
    open_jobs = tuple(one.job for one in facts.jobs if one.concluded_sequence is None)
    missing = tuple(
        one.job for one in facts.jobs if one.concluded_sequence is not None and not one.has_record
    )
    stays = tuple(
        dict.fromkeys(
            one.insertion
            for one in facts.jobs
            if one.insertion and one.insertion not in facts.closed
        )
    )
    return StationAccount(
        station=facts.station,
        entries=facts.entries,
        insertions=tuple(Count(cause, number) for cause, number in sorted(facts.causes.items())),
        jobs_started=facts.started,
        jobs_concluded=facts.concluded,
        jobs_open=open_jobs,
        insertions_open=stays,
        records=sum(facts.verdicts.values()),
        records_missing=missing,
        verdicts=tuple(Count(one.value, facts.verdicts.get(one.value, 0)) for one in Verdict),
        accounted=not (open_jobs or missing or stays or facts.open_findings & CHAIN_CODES),
    )


def account_lot(facts: LotFacts) -> LotAccount:
    """The account of a lot."""
    drives = _drives(facts)
    lines = tuple(_line(one, drives, facts.not_detected) for one in facts.lines)
    surplus = tuple(one for one in drives if one.on_manifest is False)
    counts = _line_counts(lines, surplus) if facts.lines else ()
    accounted = None
    if facts.lines:
        accounted = not surplus and all(one.state is not LineState.MISSING for one in lines)
    return LotAccount(
        card=_card(facts, drives),
        drives=drives,
        lines=lines,
        surplus=surplus,
        counts=counts,
        accounted=accounted,
    )


def _drives(facts: LotFacts) -> tuple[DriveAccount, ...]:
    """One for each identity, in the order of their latest records."""
    of: dict[str, list[RecordCard]] = {}
    for one in sorted(facts.records, key=lambda record: -record.number):
        of.setdefault(one.identity_key, []).append(one)
    named = {key for line in facts.lines for key in _line_keys(line)}
    return tuple(
        DriveAccount(
            identity_key=identity,
            model=records[0].model,
            serial=records[0].serial,
            label_serial=records[0].label_serial,
            asset_tag=records[0].asset_tag,
            verdict=records[0].verdict,
            records=tuple(records),
            on_manifest=bool(named & _drive_keys(records)) if facts.lines else None,
        )
        for identity, records in of.items()
    )


def _line(
    line: ManifestLine, drives: tuple[DriveAccount, ...], not_detected: frozenset[str]
) -> LineAccount:
    keys = _line_keys(line)
    for drive in drives:
        if keys & _drive_keys(drive.records):
            return LineAccount(line, LineState.DONE, drive.records[0])
    texts = {key for _, key in keys}
    state = LineState.NOT_DETECTED if texts & not_detected else LineState.MISSING
    return LineAccount(line, state, None)


def _line_keys(line: ManifestLine) -> frozenset[tuple[str, str]]:
    given = (("serial", key_of(line.serial)), ("tag", key_of(line.asset_tag)))
    return frozenset(one for one in given if one[1])


def _drive_keys(records: Iterable[RecordCard]) -> frozenset[tuple[str, str]]:
    """Device serial and label serial count alike; how they may differ is the station's rule."""

    def every() -> Iterator[tuple[str, str]]:
        for one in records:
            yield "serial", key_of(one.serial)
            yield "serial", key_of(one.label_serial)
            yield "tag", key_of(one.asset_tag)

    return frozenset(one for one in every() if one[1])


def _line_counts(
    lines: tuple[LineAccount, ...], surplus: tuple[DriveAccount, ...]
) -> tuple[Count, ...]:
    states = [Count(state.value, sum(one.state is state for one in lines)) for state in LineState]
    return (Count("expected", len(lines)), *states, Count("surplus", len(surplus)))


def _card(facts: LotFacts, drives: tuple[DriveAccount, ...]) -> LotCard:
    issued = [one.issued_at for one in facts.records]
    return LotCard(
        lot=facts.reference,
        customer=next((one.customer for one in facts.records if one.customer), ""),
        stations=tuple(sorted({one.station for one in facts.records})),
        drives=len(drives),
        records=len(facts.records),
        verdicts=tuple(
            Count(one.value, sum(drive.verdict is one for drive in drives)) for one in Verdict
        ),
        first=min(issued, default=""),
        last=max(issued, default=""),
        has_manifest=bool(facts.lines),
    )
