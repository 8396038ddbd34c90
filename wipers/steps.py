"""One overwrite step from start to outcome: write, flush, draw the seed, verify."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from nullbay.domain import sampling
from nullbay.domain.clock import Clock, Stamp
from nullbay.domain.outcome import OutcomeKind, SectorList, StepOutcome, VerificationResult
from nullbay.domain.plan import OverwriteStep
from nullbay.domain.policy import Full, VerificationProfile
from nullbay.domain.ports import BlockPort
from nullbay.domain.ranges import RangeSet
from nullbay.wipers import protocol as p
from nullbay.wipers.control import Control
from nullbay.wipers.lanes import LaneExecutor
from nullbay.wipers.overwrite import (
    BLOCK_BYTES,
    FLUSH_BYTES,
    FLUSH_S,
    Flushed,
    OverwritePass,
    Unwritable,
)
from nullbay.wipers.stream import stream_of
from nullbay.wipers.verify import ReadingRule, Verification

SPEED_WINDOW_S = 10.0
Report = Callable[[p.FromDrive], object]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is moved at a time, and how much or how long may be unflushed.

    Small ones give a small drive as many blocks and flushes as a large drive has.
    """

    block_bytes: int = BLOCK_BYTES
    flush_bytes: int = FLUSH_BYTES
    flush_s: float = FLUSH_S


@dataclass(frozen=True, slots=True)
class StepWork:
    """What a step works with."""

    order: p.Execute
    step: OverwriteStep
    port: BlockPort
    control: Control
    draw_seed: Callable[[int], bytes]


class StepRun:
    """A step under way. `perform` returns its outcome; the rest may be asked meanwhile."""

    def __init__(
        self,
        work: StepWork,
        clock: Clock,
        executor: LaneExecutor,
        so_far: p.StepSoFar | None,
        sizes: Sizes,
    ) -> None:
        """`so_far` is what an earlier session flushed of this step and a read-back confirmed."""
        self._work, self._clock, self._executor, self._so_far = work, clock, executor, so_far
        self._sizes = sizes
        self._phase = "write"
        self._is_over = False
        self._writing: OverwritePass | None = None
        self._verifying: Verification | None = None
        self._given_up = asyncio.Event()
        self._window: deque[tuple[float, int]] = deque()
        self._last_flush: Stamp | None = so_far.last_flush if so_far else None

    @property
    def last_flush(self) -> Stamp | None:
        """The last flush the drive confirmed, in this session or an earlier one."""
        return self._last_flush

    def give_up(self) -> None:
        """Stop waiting for lanes that do not come back."""
        self._given_up.set()

    def longest_in_flight_s(self) -> float:
        """How long the drive has owed an answer."""
        part = self._verifying or self._writing
        return part.longest_in_flight_s() if part else 0.0

    def moved_bytes(self) -> int | None:
        """Written and read back so far; None before and after that work."""
        if self._writing is None or self._is_over:
            return None
        read_bytes = self._verifying.read_bytes if self._verifying else 0
        return self._writing.written_bytes + read_bytes

    async def perform(self, report: Report) -> StepOutcome:
        """Write and verify. Never raises for what a drive does: that is the outcome."""
        started = self._clock.now()
        writing = await self._write(report)
        code = self._stop_code(writing.failure)
        missing = next(writing.flushed.missing(0, self._work.port.geometry.size_bytes), None)
        verification: VerificationResult | None = None
        kind, codes = OutcomeKind.SUCCEEDED, tuple[str, ...]()
        if code:
            kind, codes = _kind_of(code), (code,)
        elif writing.unwritable_count:
            kind, codes = OutcomeKind.FAILED, ("write.unwritable-sector",)
        elif missing is not None:
            kind, codes = OutcomeKind.INDETERMINATE, ("drive.error",)
        elif self._work.step.verification is not None:
            verifying = await self._verify(self._work.step.verification, writing)
            verification = verifying.result()
            if code := self._stop_code(verifying.failure):
                kind, codes = _kind_of(code), (code,)
        self._is_over = True
        earlier = self._so_far
        unwritable = writing.unwritable
        if earlier is not None and earlier.unwritable.count:
            first = tuple(sorted({*earlier.unwritable.first, *unwritable.first}))
            unwritable = SectorList(earlier.unwritable.count + unwritable.count, first)
        return StepOutcome(
            number=self._work.step.number,
            kind=kind,
            codes=codes,
            started=started,
            ended=self._clock.now(),
            flushed=writing.flushed.frozen(),
            last_flush=self._last_flush,
            unwritable=unwritable,
            written_after_retry=writing.cured_by_retry
            + (earlier.written_after_retry if earlier else 0),
            verification=verification,
        )

    def progress(self, steps: int, temperature_celsius: int | None) -> p.Progress:
        """Where it stands; speed over the last ten seconds, time left of this phase."""
        size = self._work.port.geometry.size_bytes
        done, total, errors = 0, size, 0
        if self._verifying is not None:
            done, total = self._verifying.read_bytes, self._verifying.planned_bytes
            errors = self._verifying.mismatched
        elif self._writing is not None:
            done, errors = self._writing.written_bytes, self._writing.unwritable_count
        now = self._clock.boottime()
        self._window.append((now, done))
        while len(self._window) > 1 and now - self._window[0][0] > SPEED_WINDOW_S:
            self._window.popleft()
        since, before = self._window[0]
        speed = int((done - before) / (now - since)) if now > since else 0
        return p.Progress(
            number=self._work.step.number,
            steps=steps,
            phase=self._phase,
            done_bytes=done,
            total_bytes=total,
            bytes_per_s=max(0, speed),
            eta_s=(total - done) // speed if speed > 0 else None,
            errors=errors,
            temperature_celsius=temperature_celsius,
            paused=self._work.control.paused,
        )

    async def _write(self, report: Report) -> OverwritePass:
        work, number = self._work, self._work.step.number

        def tell(event: Flushed | Unwritable) -> None:
            match event:
                case Flushed(ranges, at):
                    self._last_flush = at
                    report(p.RangesFlushed(number, ranges, at))
                case Unwritable(lba, errno):
                    report(p.SectorUnwritable(number, lba, errno))

        flushed = RangeSet(self._so_far.flushed if self._so_far else ())
        stream = stream_of(work.step.pattern, work.order.job_key, number, self._sizes.block_bytes)
        writing = self._writing = OverwritePass(
            work.port,
            stream,
            work.order.plan.budgets,
            work.control,
            self._clock,
            tell,
            already_flushed=flushed,
            block_bytes=self._sizes.block_bytes,
            flush_bytes=self._sizes.flush_bytes,
            flush_s=self._sizes.flush_s,
        )
        if await self._unless_given_up(self._executor.run(writing.lanes())):
            await self._unless_given_up(self._executor.call(writing.finish))
        return writing

    async def _verify(self, planned: VerificationProfile, writing: OverwritePass) -> Verification:
        work = self._work
        self._phase = "verify"
        self._window.clear()
        profile = Full() if work.order.full_verification else planned
        sampled = not isinstance(profile, Full)
        verifying = self._verifying = Verification(
            work.port,
            stream_of(
                work.step.pattern, work.order.job_key, work.step.number, self._sizes.block_bytes
            ),
            profile,
            work.draw_seed(sampling.SEED_BYTES) if sampled else b"",
            ReadingRule(
                work.order.plan.budgets.write_retries,
                work.order.plan.budgets.retry_pause_s,
                cure_by_rewriting=True,
            ),
            work.control,
            self._clock,
            work.order.finding_key,
            last_written=writing.last_written,
            block_bytes=self._sizes.block_bytes,
        )
        await self._unless_given_up(self._executor.run(verifying.lanes()))
        return verifying

    async def _unless_given_up(self, work: Awaitable[object]) -> bool:
        """Whether the work came to its end; a stuck thread is left behind."""
        task = asyncio.ensure_future(work)
        stop = asyncio.ensure_future(self._given_up.wait())
        done, _ = await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if task in done:
            task.result()
            return True
        task.cancel()
        return False

    def _stop_code(self, failure: str | None) -> str | None:
        return failure or self._work.control.stop_code


def _kind_of(code: str) -> OutcomeKind:
    """Interrupted is what may be resumed; a read-only or stalled drive has failed."""
    if code in {"drive.gone", "step.aborted", "step.interrupted"}:
        return OutcomeKind.INTERRUPTED
    return OutcomeKind.FAILED
