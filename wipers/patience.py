"""When a drive is given up although it answers: it has moved too little for too long.

The time that counts is the drive's own: a pause, waits for a rate limit of ours and gaps in our own
watching are left out, so a station that was suspended, or told to go slowly, ends no job.
"""

from __future__ import annotations

from collections import deque

from nullbay.domain.policy import Budgets
from nullbay.wipers.control import Control

TICK_MAX_S = 2.0
"""What lies between two looks and is more than this, nobody watched."""
LIMITED_BYTES_MIN = 16 * 1024 * 1024
"""What a rate limit must let through in a window for the speed under it to mean anything: blocks
of 2 MiB, two at a time, with long waits in between."""
LIMITED_SHARE = 2
_MARKS = 64


class SpeedWatch:
    """The speed of one session: from its first step on, over a window that slides.

    Under a rate limit no more than half of it is asked of the drive, so a limit below the minimum
    ends no job.
    """

    def __init__(self, budgets: Budgets, control: Control) -> None:
        """Nothing has been moved yet."""
        self._least, self._window_s = budgets.slow_below_bytes_per_s, budgets.slow_s
        self._control = control
        self._active_s = self._short_by = 0.0
        self._looked_at: float | None = None
        self._moved_before = 0
        self._work: object = None
        self._marks: deque[tuple[float, float]] = deque([(0.0, 0.0)])

    def is_too_slow(self, now: float, work: object, moved_bytes: int) -> bool:
        """Whether to give the drive up, by what `work` (a step) has moved so far, at `now`.

        To be asked about four times a second. Once a whole window has been watched, its bytes are
        compared with what they should have been.
        """
        if work is not self._work:
            self._work, self._looked_at, self._moved_before = work, now, moved_bytes
            return False
        before = now if self._looked_at is None else self._looked_at
        spent = 0.0 if self._is_held() else min(max(0.0, now - before), TICK_MAX_S)
        self._looked_at = now
        self._active_s += spent
        self._short_by += spent * self._asked() - (moved_bytes - self._moved_before)
        self._moved_before = moved_bytes
        if not self._least or self._active_s - self._marks[-1][0] < self._window_s / _MARKS:
            return False
        self._marks.append((self._active_s, self._short_by))
        while self._active_s - self._marks[1][0] >= self._window_s:
            self._marks.popleft()
        since, short_then = self._marks[0]
        return self._active_s - since >= self._window_s and self._short_by > short_then

    def _is_held(self) -> bool:
        rate = self._control.rate_bytes_per_s
        is_throttled = bool(rate) and rate * self._window_s < LIMITED_BYTES_MIN
        return self._control.holds or self._control.awaits_old_rate or is_throttled

    def _asked(self) -> float:
        rate = self._control.rate_bytes_per_s
        return min(self._least, rate / LIMITED_SHARE) if rate else self._least
