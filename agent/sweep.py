"""Sweeping: what nobody comes to look at, looked at once in a while.

Jobs whose drive never came back are concluded when their policy's patience is over; the journal is
checked in full once a week, however often the station is started in between.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeAlias

from nullbay.agent.bench_link import BenchLink
from nullbay.agent.conduct import Conductor
from nullbay.agent.journal.store import Journal, check_in_full
from nullbay.agent.supervisor import Supervisor
from nullbay.domain.clock import Clock
from nullbay.domain.errors import NullbayError
from nullbay.wipers.appendfile import write_durably
from nullbay.wipers.client import BenchClient

WEEK = timedelta(days=7)
CHECKED_NAME = "journal-checked"
Call: TypeAlias = Callable[[Callable[[], None]], Awaitable[None]]


class Sweeper:
    """One station's sweeping."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        supervisor: Supervisor,
        link: BenchLink,
        conductor: Callable[[BenchClient], Conductor],
        call: Call,
    ) -> None:
        """All of them stay their owners'. `call` runs the check where it may take its time."""
        self._journal, self._clock, self._supervisor = journal, clock, supervisor
        self._link, self._conductor, self._call = link, conductor, call
        self._checked_file = journal.path.with_name(CHECKED_NAME)

    async def sweep(self) -> None:
        """Conclude what was forgotten; check the journal where that is due.

        Raises JournalError for a journal that does not check: the station stops then.
        """
        await self._check()
        client = self._link.current
        if client is None:
            return
        here = {place.job for place in self._supervisor.places}
        conductor = self._conductor(client)
        for row in self._journal.uncertified_jobs():
            if row.job_id not in here:
                with suppress(NullbayError):
                    await conductor.conclude_forgotten(row)

    async def _check(self) -> None:
        now = self._clock.now().at
        if not _is_due(self._checked_file, now):
            return
        await self._call(lambda: check_in_full(self._journal.path))
        write_durably(self._checked_file, now.encode())


def _is_due(file: Path, now: str) -> bool:
    """A week has passed by the wall clock, or nobody can tell."""
    try:
        passed = datetime.fromisoformat(now) - datetime.fromisoformat(file.read_text("ascii")[:40])
    except (OSError, ValueError, TypeError):
        return True
    return not timedelta() <= passed < WEEK
