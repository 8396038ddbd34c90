"""Sweeping: jobs whose drive never came back are concluded when their policy's patience is over."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from nullbay.agent.bench_link import BenchLink
from nullbay.agent.conduct import Conductor
from nullbay.agent.journal.store import Journal
from nullbay.agent.supervisor import Supervisor
from nullbay.domain.clock import Clock
from nullbay.domain.errors import NullbayError
from nullbay.wipers.client import BenchClient

WEEK_S = 7 * 86_400.0


class Sweeper:
    """What nobody comes to look at, looked at once in a while."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        supervisor: Supervisor,
        link: BenchLink,
        conductor: Callable[[BenchClient], Conductor],
    ) -> None:
        """All of them stay their owners'."""
        self._journal, self._clock, self._supervisor = journal, clock, supervisor
        self._link, self._conductor = link, conductor
        self._checked = clock.boottime()

    async def sweep(self) -> None:
        """Conclude what was forgotten; check the journal in full once a week.

        Raises JournalError for a journal that does not check: the station stops then.
        """
        if self._clock.boottime() - self._checked >= WEEK_S:
            self._journal.check(full=True)
            self._checked = self._clock.boottime()
        client = self._link.current
        if client is None:
            return
        here = {place.job for place in self._supervisor.places}
        conductor = self._conductor(client)
        for row in self._journal.uncertified_jobs():
            if row.job_id not in here:
                with suppress(NullbayError):
                    await conductor.conclude_forgotten(row)
