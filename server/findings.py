"""Findings: what a person has to look at, derived from what is stored, by rules without effects.

Two sorts. A *condition* (a silent station, a job that never ends) is derived anew at every review
and is over when it no longer follows. Something that *happened* (a forgery, a fork, a head that
went back) cannot be taken back: it stays until a person acknowledges it, and then it is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from nullbay.config.server_settings import FindingLimits
from nullbay.domain.clock import Stamp
from nullbay.domain.text import show
from nullbay.server.finding_kinds import CATALOGUE, Kind, Severity

__all__ = [
    "CATALOGUE",
    "Facts",
    "Found",
    "InsertionFacts",
    "JobFacts",
    "Kind",
    "Severity",
    "StationFacts",
    "age_s",
    "derive",
    "found",
    "wall_difference_s",
]

SUBJECT_MAX = 120
DETAIL_MAX = 300
CLOCK_DIFFERS_S = 300


@dataclass(frozen=True, slots=True)
class Found:
    """A finding as derived. `subject` is what is concerned; with station and code it is unique."""

    station: str
    code: str
    subject: str = ""
    detail: str = ""


def found(station: str, code: str, subject: str = "", detail: str = "") -> Found:
    """A finding with texts that are safe to show."""
    return Found(station, code, show(subject, SUBJECT_MAX), show(detail, DETAIL_MAX))


@dataclass(frozen=True, slots=True)
class StationFacts:
    """What is stored of a station. `known_since`: since when it stands in the settings.

    `status_at` is its clock when it last told of itself, `seen` ours.
    """

    station: str
    configured: bool
    known_since: Stamp
    seen: Stamp | None
    status_at: Stamp | None
    head_sequence: int
    gap_since: Stamp | None
    gap_got: int | None


@dataclass(frozen=True, slots=True)
class JobFacts:
    """A job that is not as it should be: open, doubled, or without its record or closed stay."""

    station: str
    job: str
    insertion: str
    starts: int
    conclusions: int
    started_received: Stamp | None
    concluded_received: Stamp | None
    shown: Stamp | None
    insertion_closed: bool
    has_record: bool


@dataclass(frozen=True, slots=True)
class InsertionFacts:
    """An insertion that was closed more than once."""

    station: str
    insertion: str
    closings: int


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything the rules look at. `lost` are records whose archive is gone: station, digest."""

    stations: tuple[StationFacts, ...] = ()
    jobs: tuple[JobFacts, ...] = ()
    insertions: tuple[InsertionFacts, ...] = ()
    lost: tuple[tuple[str, str], ...] = ()


def age_s(then: Stamp, now: Stamp) -> float:
    """Seconds between two moments of the centre, never negative.

    Within one boot by boot time, which no clock setting changes; across boots by wall time.
    """
    if then.boot_id == now.boot_id:
        return max(0.0, (now.boottime_us - then.boottime_us) / 1_000_000)
    return max(0.0, wall_difference_s(then, now))


def wall_difference_s(then: Stamp, now: Stamp) -> float:
    """Seconds from one wall time to another; negative where `then` is later."""
    return (_moment(now.at) - _moment(then.at)).total_seconds()


def derive(facts: Facts, now: Stamp, limits: FindingLimits) -> tuple[Found, ...]:
    """Every condition that holds now. The same facts give the same findings, in the same order."""
    every = [
        *_of_stations(facts.stations, now, limits),
        *_of_jobs(facts.jobs, now, limits),
        *(
            found(one.station, "insertion.doubled", one.insertion, f"{one.closings} times")
            for one in facts.insertions
            if one.closings > 1
        ),
        *(found(station, "evidence.lost", digest) for station, digest in facts.lost),
    ]
    return tuple(dict.fromkeys(every))


def _of_stations(
    stations: Iterable[StationFacts], now: Stamp, limits: FindingLimits
) -> Iterator[Found]:
    for one in stations:
        if not one.configured:
            yield found(one.station, "station.removed")
            continue
        silent = age_s(one.seen or one.known_since, now)
        if silent > limits.offline_s:
            # Without the number of seconds: the finding must not change at every look.
            said = f"last heard {one.seen.at}" if one.seen else "never heard"
            yield found(one.station, "station.silent", "", said)
        if one.status_at is not None and one.seen is not None:
            differs = abs(wall_difference_s(one.status_at, one.seen))
            if differs > CLOCK_DIFFERS_S:
                yield found(one.station, "station.wrong-clock")
        if one.gap_since is not None and age_s(one.gap_since, now) > limits.gap_s:
            detail = f"entry {one.head_sequence + 1} is missing, {one.gap_got} came"
            yield found(one.station, "ledger.gap", str(one.head_sequence + 1), detail)


def _of_jobs(jobs: Iterable[JobFacts], now: Stamp, limits: FindingLimits) -> Iterator[Found]:
    for one in jobs:
        if one.starts > 1 or one.conclusions > 1:
            detail = f"started {one.starts}, concluded {one.conclusions} times"
            yield found(one.station, "job.doubled", one.job, detail)
        if one.starts == 0:
            yield found(one.station, "job.never-started", one.job)
        since = _latest(one.started_received, one.shown)
        if one.conclusions == 0 and since is not None and age_s(since, now) > limits.job_open_s:
            yield found(one.station, "job.open-too-long", one.job)
        ended = one.concluded_received
        if ended is None:
            continue
        if not one.has_record and age_s(ended, now) > limits.record_missing_s:
            yield found(one.station, "record.missing", one.job)
        left = _latest(ended, one.shown)
        if (
            one.insertion
            and not one.insertion_closed
            and left is not None
            and age_s(left, now) > limits.insertion_open_s
        ):
            yield found(one.station, "insertion.open-too-long", one.insertion, f"job {one.job}")


def _latest(*moments: Stamp | None) -> Stamp | None:
    """By wall time; all are the centre's own."""
    return max((one for one in moments if one is not None), key=lambda one: one.at, default=None)


def _moment(at: str) -> datetime:
    return datetime.fromisoformat(at)
