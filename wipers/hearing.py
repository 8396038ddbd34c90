"""What a drive process says in one session: journalled in its order, refused out of it.

A drive process is believed about its drive and about nothing else: a message that cannot follow
from the order it was given, or that speaks of bytes the drive does not have, ends the session.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nullbay.domain.clock import Clock
from nullbay.domain.drive import Drive, Unit
from nullbay.domain.errors import MalformedError
from nullbay.domain.outcome import ReadBack, SessionEnd, StepOutcome
from nullbay.domain.plan import OverwriteStep
from nullbay.domain.ranges import ByteRange, RangeSet
from nullbay.domain.reasons import CATALOGUE
from nullbay.wipers import protocol as p
from nullbay.wipers.evidence import is_done
from nullbay.wipers.jobdir import (
    JobDirectory,
    RangeRecord,
    SessionBegan,
    SessionEnded,
    StepEnded,
    StepIntended,
    UnwritableRecord,
)


@dataclass(frozen=True, slots=True)
class SessionResult:
    """How a session ended.

    `same_drive` False: the read-back says that this is not the job's drive; None: that had to be
    found out and was not. In both cases nothing was written, and nothing is journalled.
    """

    end: SessionEnd
    code: str
    same_drive: bool | None = True


class Hearing:
    """The bench's side of one session. `take` every message; `crashed` if they end too early."""

    def __init__(
        self,
        clock: Clock,
        job: JobDirectory,
        drive: Drive,
        order: p.Execute,
        placed: Callable[[Drive], Drive],
        *,
        from_zero: bool,
    ) -> None:
        """`placed` adds to an observed drive what the bench knows of its place.

        `from_zero`: the order itself starts the job again.
        """
        self._clock, self._job, self._drive, self._placed = clock, job, drive, placed
        self._ordered = clock.now()  # before any moment that the drive process tells
        self._plan, self._prove_same = order.plan, order.prove_same
        self._reads_back = order.so_far is not None or order.prove_same
        self._awaits_read_back, self._from_zero = self._reads_back, from_zero
        self._found: ReadBack | None = None
        self._todo = [one.number for one in order.plan.steps if one.number >= order.first_step]
        self._step: int | None = None
        self._so_far = order.so_far
        self._flushed = RangeSet()
        self._failed = self._began = self._is_other_drive = False

    def take(self, message: object) -> SessionResult | p.Acknowledged | None:
        """Journal one message; the result if it was the last, or an answer to it.

        Raises MalformedError for what cannot come now.
        """
        match message:
            case p.Progress():
                return None
            case p.SessionDone():
                return self._done(message)
            case _ if self._is_other_drive:
                pass
            case p.Resuming(found, from_zero) if self._awaits_read_back:
                is_match = found is not None and found.is_match
                if from_zero == (is_match or self._prove_same):
                    raise MalformedError("a read-back that does not fit its order")
                self._awaits_read_back = False
                self._is_other_drive = not is_match and not from_zero
                self._found, self._from_zero = found, from_zero
                if from_zero:
                    self._so_far = None
                    self._todo = [one.number for one in self._plan.steps]
                return None
            case _ if self._awaits_read_back:
                pass
            case p.Exchanged(exchange):
                self._begin()
                self._job.exchanged(exchange)
                return None
            case p.Intent(number, at) if self._is_next(number):
                self._begin()
                self._job.happened(StepIntended(number, at))
                self._step = number
                resumed = self._so_far if self._so_far and self._so_far.number == number else None
                self._flushed = RangeSet(resumed.flushed if resumed else ())
                return p.Acknowledged(number)
            case p.RangesFlushed(number, ranges, at) if self._fits(number, ranges):
                self._job.flushed(RangeRecord(number, ranges, at))
                for one in ranges:
                    self._flushed.add(one.start, one.end)
                return None
            case p.SectorUnwritable(number, lba, errno) if self._is_sector(number, lba):
                self._job.unwritable(UnwritableRecord(number, lba, errno[:16]))
                return None
            case p.StepOver(outcome) if self._is_outcome(outcome):
                self._over(outcome)
                return None
            case _:
                pass
        raise MalformedError(f"{type(message).__name__} from a drive process out of order")

    def crashed(self, code: str) -> SessionResult:
        """The process is gone, silent, or not to be understood."""
        return self._ended(SessionEnd.CRASHED, code, None)

    def _done(self, message: p.SessionDone) -> SessionResult:
        ends = {one.value: one for one in SessionEnd if one is not SessionEnd.CRASHED}
        end = ends.get(message.end)
        is_early = self._step is not None or (self._todo and not self._failed)
        if end is None or not _is_known((message.code,)):
            raise MalformedError("a session that ends in an unknown way")
        if end is SessionEnd.FINISHED and (is_early or self._awaits_read_back):
            raise MalformedError("a session that is finished before its work is")
        if end is SessionEnd.FINISHED and not message.code and message.drive is None:
            raise MalformedError("a session that is finished and did not look at its drive")
        return self._ended(end, message.code, message.drive)

    def _ended(self, end: SessionEnd, code: str, drive: Drive | None) -> SessionResult:
        """A session that ended before it did or found anything leaves no trace in the job."""
        if self._is_other_drive:
            return SessionResult(end, code, same_drive=False)
        if self._prove_same and self._awaits_read_back:
            return SessionResult(end, code, same_drive=None)
        is_telling = end is SessionEnd.FINISHED or code == "identity.changed"
        if not (self._began or is_telling):
            return SessionResult(end, code)
        self._begin()
        seen = self._placed(drive) if drive is not None else None
        self._job.happened(SessionEnded(end, code, self._clock.now(), seen))
        return SessionResult(end, code)

    def _begin(self) -> None:
        if not self._began:
            self._began = True
            began = SessionBegan(
                self._drive.attachment,
                self._drive.identity.key,
                self._ordered,
                resumed=self._reads_back,
                read_back=self._found,
                from_zero=self._from_zero,
            )
            self._job.happened(began)

    def _over(self, outcome: StepOutcome) -> None:
        self._job.happened(StepEnded(outcome))
        self._step = None
        self._failed = not is_done(outcome)
        self._todo = [number for number in self._todo if number != outcome.number]

    def _is_outcome(self, outcome: StepOutcome) -> bool:
        """Of the step under way, and of no other bytes than those that were told flushed."""
        is_of_it = outcome.number == self._step and _is_known(outcome.codes)
        return is_of_it and RangeSet(outcome.flushed) == self._flushed

    def _is_next(self, number: int) -> bool:
        return self._step is None and not self._failed and self._todo[:1] == [number]

    def _unit(self, number: int) -> Unit | None:
        """The one that the step under way overwrites; None for any other step."""
        for step in self._plan.steps:
            if step.number == number == self._step and isinstance(step, OverwriteStep):
                return self._plan.unit(step.unit_id)
        return None

    def _fits(self, number: int, ranges: tuple[ByteRange, ...]) -> bool:
        unit = self._unit(number)
        return unit is not None and bool(ranges) and max(r.end for r in ranges) <= unit.size_bytes

    def _is_sector(self, number: int, lba: int) -> bool:
        unit = self._unit(number)
        return unit is not None and lba < unit.size_bytes // unit.logical_sector_bytes


def _is_known(codes: tuple[str, ...]) -> bool:
    return all(code in CATALOGUE or not code for code in codes)
