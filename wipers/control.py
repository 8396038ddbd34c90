"""What the outside may ask of running lanes: pause, stop, slow down. Shared between threads."""

from __future__ import annotations

import threading

from nullbay.domain.clock import Clock

PAUSE_POLL_S = 0.1
BLOCKS_PER_S = 8
LEAST_BLOCK_BYTES = 64 * 1024


class Control:
    """Flags read before each block. Setting one is never lost and never blocks."""

    def __init__(
        self, clock: Clock, rate_limit_bytes_per_s: int = 0, *, errors_max: int = 0
    ) -> None:
        """Running, not paused. `errors_max` 0 is no limit."""
        self._clock = clock
        self._lock = threading.Lock()
        self._pauses: set[str] = set()
        self._rate = rate_limit_bytes_per_s
        self._allowed_at = self._old_rate_until = 0.0
        self._errors, self._errors_max = 0, errors_max
        self.stop_code: str | None = None

    def stop(self, code: str) -> None:
        """Ask every lane to end at its next block; the first reason stays."""
        with self._lock:
            self.stop_code = self.stop_code or code

    def count_errors(self, count: int = 1) -> None:
        """Sectors that failed, cured or not; one more than allowed gives the drive up."""
        with self._lock:
            self._errors += count
            is_over = self._errors_max and self._errors > self._errors_max
        if is_over:
            self.stop("health.too-many-errors")

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
        with self._lock:
            return tuple(sorted(self._pauses))

    @property
    def holds(self) -> bool:
        """Whether lanes are to wait now; a stop ends every pause."""
        return bool(self._pauses) and self.stop_code is None

    def set_rate(self, bytes_per_s: int) -> None:
        """0 lifts the limit."""
        with self._lock:
            self._old_rate_until = max(self._old_rate_until, self._allowed_at)
            self._rate, self._allowed_at = bytes_per_s, 0.0

    @property
    def rate_bytes_per_s(self) -> int:
        """The limit in force; 0 is none."""
        return self._rate

    @property
    def awaits_old_rate(self) -> bool:
        """Whether a lane may still be waiting as a limit asked that has been changed since."""
        return self._clock.boottime() < self._old_rate_until

    def block_bytes(self, normal: int) -> int:
        """How large the next block may be: under a limit small enough that no lane waits for long.

        A power of two from 64 KiB (a physical sector is at most that) to `normal`, which is one.
        """
        share = self._rate // BLOCKS_PER_S
        if not self._rate or share >= normal:
            return normal
        return max(min(LEAST_BLOCK_BYTES, normal), 1 << max(0, share.bit_length() - 1))

    def account(self, count_bytes: int) -> float:
        """Seconds to wait after moving so many bytes: all lanes together keep the rate."""
        if not self._rate:
            return 0.0
        with self._lock:
            if not self._rate:
                return 0.0
            now = self._clock.boottime()
            self._allowed_at = max(self._allowed_at, now) + count_bytes / self._rate
            return self._allowed_at - now
