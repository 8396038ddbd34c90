"""Accounts: whether nothing dropped out, at a station and in a lot. Pure.

A station's account follows from its chain: every job has one conclusion and one record, every
insertion that a job names is closed. A lot's account follows from its records and, where the centre
has one, the customer's list: every line is a drive that was done or never showed itself, and there
is no drive besides. The last attempt at a drive decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from nullbay.config.aliases import label_readings, spellings
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
    ManifestSource,
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
class RefusedStay:
    """A stay that no job was done in: what was scanned for the drive, and why not, in codes."""

    station: str
    bay: str
    scanned: str
    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LotFacts:
    """What is known of a lot: records newest first, the customer's lines, what never showed itself.

    `not_detected` is what was scanned for drives that never enumerated, `refused` are those that
    came and were not worked on. `stations` have told of the lot, `open_at` those where it is open.
    """

    reference: str
    records: tuple[RecordCard, ...]
    lines: tuple[ManifestLine, ...] = ()
    not_detected: frozenset[str] = frozenset()
    refused: tuple[RefusedStay, ...] = ()
    customer: str = ""
    stations: tuple[str, ...] = ()
    open_at: tuple[str, ...] = ()
    manifests: tuple[ManifestSource, ...] = ()


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
    lines = tuple(_lines(facts, drives))
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
        open_at=facts.open_at,
        manifests=facts.manifests,
    )


def merged(manifests: Iterable[Iterable[ManifestLine]]) -> tuple[ManifestLine, ...]:
    """One list of several: a drive that an earlier one names already is not expected twice."""
    known: set[str] = set()
    lines: list[ManifestLine] = []
    for given in manifests:
        fresh = [line for line in given if not known & _line_names(line)]
        known.update(name for line in fresh for name in _line_names(line))
        lines += fresh
    return tuple(lines)


def _drives(facts: LotFacts) -> tuple[DriveAccount, ...]:
    """One for each identity, in the order of their latest records."""
    of: dict[str, list[RecordCard]] = {}
    for one in sorted(facts.records, key=lambda record: -record.number):
        of.setdefault(one.identity_key, []).append(one)
    expected = {name for line in facts.lines for name in _line_names(line)}
    return tuple(
        DriveAccount(
            identity_key=identity,
            model=records[0].model,
            serial=records[0].serial,
            label_serial=records[0].label_serial,
            asset_tag=records[0].asset_tag,
            verdict=records[0].verdict,
            records=tuple(records),
            on_manifest=bool(expected & _drive_names(records)) if facts.lines else None,
        )
        for identity, records in of.items()
    )


def _lines(facts: LotFacts, drives: tuple[DriveAccount, ...]) -> Iterator[LineAccount]:
    """What became of every line: by its drive's record, else by what was scanned for it."""
    by_name: dict[str, int] = {}
    for number, drive in enumerate(drives):
        for name in _drive_names(drive.records):
            by_name.setdefault(name, number)
    lost = {name for scanned in facts.not_detected for name in _scan_names(scanned)}
    refusals = {name: one.codes for one in facts.refused for name in _scan_names(one.scanned)}
    for line in facts.lines:
        found = [by_name[name] for name in _line_names(line) if name in by_name]
        if found:
            yield LineAccount(line, LineState.DONE, drives[min(found)].records[0])
            continue
        names = _line_names(line) | _tag_names(line.asset_tag)
        codes = next((refusals[name] for name in sorted(names) if name in refusals), None)
        if codes is not None:
            yield LineAccount(line, LineState.REFUSED, None, codes)
        else:
            state = LineState.NOT_DETECTED if names & lost else LineState.MISSING
            yield LineAccount(line, state, None)


def _line_names(line: ManifestLine) -> frozenset[str]:
    """Every reading of a line's serial; its asset tag counts where it has none."""
    return _serial_names(line.serial) or _tag_names(line.asset_tag)


def _drive_names(records: Iterable[RecordCard]) -> frozenset[str]:
    """Everything a manifest may call the drive: by the rules that its station reads labels by."""
    names: set[str] = set()
    for one in records:
        own = spellings(one.serial, one.wwn, one.manufacturer, one.model)
        names.update(f"serial {text}" for text in own)
        names |= _serial_names(one.label_serial) | _tag_names(one.asset_tag)
    return frozenset(names)


def _scan_names(scanned: str) -> frozenset[str]:
    """A scan that is kept alone may have been a label or a tag."""
    return _serial_names(scanned) | _tag_names(scanned)


def _serial_names(serial: str) -> frozenset[str]:
    return frozenset(f"serial {text}" for text in label_readings(serial))


def _tag_names(tag: str) -> frozenset[str]:
    return frozenset({f"tag {key_of(tag)}"} if key_of(tag) else ())


def _line_counts(
    lines: tuple[LineAccount, ...], surplus: tuple[DriveAccount, ...]
) -> tuple[Count, ...]:
    states = [Count(state.value, sum(one.state is state for one in lines)) for state in LineState]
    return (Count("expected", len(lines)), *states, Count("surplus", len(surplus)))


def _card(facts: LotFacts, drives: tuple[DriveAccount, ...]) -> LotCard:
    issued = [one.issued_at for one in facts.records]
    return LotCard(
        lot=facts.reference,
        customer=next((one.customer for one in facts.records if one.customer), facts.customer),
        stations=tuple(sorted({one.station for one in facts.records} | {*facts.stations})),
        drives=len(drives),
        records=len(facts.records),
        verdicts=tuple(
            Count(one.value, sum(drive.verdict is one for drive in drives)) for one in Verdict
        ),
        first=min(issued, default=""),
        last=max(issued, default=""),
        has_manifest=bool(facts.lines),
    )
