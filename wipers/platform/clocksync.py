"""Whether the kernel calls its clock synchronised."""

from __future__ import annotations

import ctypes

from nullbay.domain.clock import ClockSync

_libc = ctypes.CDLL(None, use_errno=True)

# struct timex: `modes` comes first, and 0 there changes nothing. The rest is the kernel's to fill;
# 208 bytes on 64-bit machines, fewer on others (adjtimex(2)).
_TIMEX_BYTES = 256
_TIME_ERROR = 5
_TIME_STATES = range(6)


def kernel_clock_sync() -> ClockSync:
    """The kernel's word: adjtimex(2) returns TIME_ERROR (5) while nothing disciplines the clock.

    A good answer means that a time daemon disciplined the clock lately, not that the time is right.
    """
    buffer = ctypes.create_string_buffer(_TIMEX_BYTES)
    return meaning(_libc.adjtimex(buffer))


def meaning(state: int) -> ClockSync:
    """What a return value of adjtimex(2) says; -1 (no permission, no such call) says nothing."""
    if state not in _TIME_STATES:
        return ClockSync.UNKNOWN
    return ClockSync.UNSYNCHRONISED if state == _TIME_ERROR else ClockSync.SYNCHRONISED
