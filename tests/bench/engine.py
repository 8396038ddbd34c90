"""The real drive process, asked over its own channel to write and to read, and watched."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nullbay.config import policies
from nullbay.domain.outcome import OutcomeKind
from nullbay.domain.patterns import Pattern
from nullbay.domain.plan import OverwriteStep, SanitizationPlan
from nullbay.domain.policy import Full
from nullbay.wipers import protocol as p
from nullbay.wipers.planner import plan
from nullbay.wipers.platform.spawn import SpawnedDriveProcess, spawn

JOB_KEY = bytes(range(32))
FINDING_KEY = bytes(32)
LETS_GO_S = 30
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Span:
    """When something was done, in microseconds since boot, and the CPU seconds of its process."""

    start_us: int
    end_us: int
    cpu_s: float

    @property
    def seconds(self) -> float:
        return (self.end_us - self.start_us) / 1e6


class Engine:
    """One drive process that holds one device."""

    def __init__(self, process: SpawnedDriveProcess, made: SanitizationPlan) -> None:
        self._process, self._plan = process, made
        self.memory_kib: dict[str, dict[str, int]] = {}

    @property
    def size_bytes(self) -> int:
        return self._plan.size_bytes

    async def write(self, pattern: Pattern, *, rate: int = 0, watch: bool = False) -> Span:
        """One pass over the device, flushed, not verified."""
        before = self._cpu_s()
        order = p.Execute(
            plan=self._planned(pattern, verify=False),
            job_key=JOB_KEY,
            finding_key=FINDING_KEY,
            first_step=1,
            so_far=None,
            full_verification=False,
            prove_same=False,
            rate_limit_bytes_per_s=rate,
        )
        await self._process.channel.send(order)
        span: Span | None = None
        while True:
            match await self._process.channel.receive():
                case p.Intent(number):
                    await self._process.channel.send(p.Acknowledged(number))
                case p.Progress() if watch:
                    self._look("write")
                case p.StepOver(outcome):
                    if outcome.kind is not OutcomeKind.SUCCEEDED:
                        raise RuntimeError(f"the pass failed: {outcome.codes}")
                    span = Span(
                        outcome.started.boottime_us,
                        outcome.ended.boottime_us,
                        self._cpu_s() - before,
                    )
                case p.SessionDone(code=code):
                    if span is None:
                        raise RuntimeError(f"the session ended: {code}")
                    return span
                case _:
                    pass

    async def verify(self, pattern: Pattern, *, watch: bool = False) -> Span:
        """Every byte read and compared with what `write` left."""
        before = self._cpu_s()
        made = self._planned(pattern, verify=True)
        await self._process.channel.send(
            p.Recheck(
                plan=made,
                job_key=JOB_KEY,
                finding_key=FINDING_KEY,
                number=1,
                profile=Full(),
                seed=b"",
            )
        )
        while True:
            match await self._process.channel.receive():
                case p.Progress() if watch:
                    self._look("verify")
                case p.Rechecked(result, code):
                    if code or result.mismatched or result.read_bytes != self.size_bytes:
                        raise RuntimeError(f"the verification failed: {code or result}")
                    return Span(
                        result.drawn.boottime_us, result.ended.boottime_us, self._cpu_s() - before
                    )
                case _:
                    pass

    def _planned(self, pattern: Pattern, *, verify: bool) -> SanitizationPlan:
        (step,) = self._plan.steps
        assert isinstance(step, OverwriteStep)
        changed = replace(step, pattern=pattern, verification=Full() if verify else None)
        return replace(self._plan, steps=(changed,))

    def _cpu_s(self) -> float:
        """User and system time of all its threads, ended ones included."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

    def _look(self, phase: str) -> None:
        """The most memory seen in a phase."""
        seen = {}
        for line in Path(f"/proc/{self._process.pid}/smaps_rollup").read_text().splitlines()[1:]:
            name, value = line.split(":")
            seen[name] = int(value.split()[0])
        seen["Private"] = seen["Private_Clean"] + seen["Private_Dirty"]
        if seen["Pss"] > self.memory_kib.get(phase, {}).get("Pss", 0):
            self.memory_kib[phase] = seen


@asynccontextmanager
async def engine(device: str) -> AsyncIterator[Engine]:
    """A drive process for a device made here."""
    process = await spawn()
    try:
        opened: Any = None
        p.require_hello(await process.channel.receive())
        await process.channel.send(p.Hello(p.PROTOCOL, "bench"))
        await process.channel.send(p.Open(device))
        opened = await process.channel.receive()
        if not isinstance(opened, p.Opened):
            raise TypeError(f"{device} could not be opened: {opened}")
        policy = policies.resolve(policies.shipped(), "nist-clear-full")
        made = plan(opened.drive, policy)
        if not isinstance(made, SanitizationPlan):
            raise TypeError(f"no plan for {device}: {made}")
        yield Engine(process, made)
        await process.channel.send(p.Close())
        async with asyncio.timeout(LETS_GO_S):
            while not process.is_gone():  # noqa: ASYNC110 - the kernel tells of a child by asking
                await asyncio.sleep(0.01)
    finally:
        if not process.is_gone():
            process.kill()
