"""What the outside may ask of running lanes: pause, stop, slow down. Shared between threads."""

from __future__ import annotations

import threading

from nullbay.domain.clock import Clock

PAUSE_POLL_S = 0.1


class Control:
    """Flags read before each block. Setting one is never lost and never blocks."""

    def __init__(self, clock: Clock, rate_limit_bytes_per_s: int = 0) -> None:
        """Running, not paused."""
        self._clock = clock
        self._lock = threading.Lock()
        self._pauses: set[str] = set()
        self._rate = rate_limit_bytes_per_s
        self._allowed_at = 0.0
        self.stop_code: str | None = None

    def stop(self, code: str) -> None:
        """Ask every lane to end at its next block; the first reason stays."""
        with self._lock:
            self.stop_code = self.stop_code or code

    def pause(self, why: str) -> None:
        """Hold; each reason has to be lifted."""
        with self._lock:
            self._pauses.add(why)

    def go_on(self, why: str) -> None:
        """Lift one reason."""
        with self._lock:
            self._pauses.discard(why)

    @property
    def paused(self) -> tuple[str, ...]:
        """Reasons for holding, sorted."""
        return tuple(sorted(self._pauses))

    def set_rate(self, bytes_per_s: int) -> None:
        """0 lifts the limit."""
        with self._lock:
            self._rate, self._allowed_at = bytes_per_s, 0.0

    def account(self, count_bytes: int) -> float:
        """Seconds to wait after moving that many bytes, so that all lanes together keep the rate."""
        if not self._rate:
            return 0.0
        with self._lock:
            now = self._clock.boottime()
            self._allowed_at = max(self._allowed_at, now) + count_bytes / self._rate
            return self._allowed_at - now
