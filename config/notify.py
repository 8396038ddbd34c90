"""Readiness, status and watchdog, told to the service manager: sd_notify(3) over a datagram socket.

It stands in this room because it is one more thing a process gets from its surroundings, beside
configuration and credentials, and because both daemons above may use it. Standard library alone.
Where no manager listens (a terminal, a test) nothing is sent and nothing fails.
"""

from __future__ import annotations

import enum
import logging
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from nullbay.domain.clock import Clock
from nullbay.domain.logline import fields
from nullbay.domain.text import show

STATUS_MAX = 200
SEND_TIMEOUT_S = 1.0
UNWATCHED_PERIOD_S = 60.0
"""How often silence is looked for where no manager asks for a watchdog."""

_log = logging.getLogger("nullbay.watchdog")


class Told(enum.StrEnum):
    """What became of a message to the service manager."""

    SENT = "sent"
    NOBODY_LISTENS = "nobody-listens"
    UNDELIVERED = "undelivered"


class Notifier:
    """Speaks to the manager that started this process, if one did."""

    def __init__(self, address: str = "") -> None:
        """`address` as in $NOTIFY_SOCKET: a path, or a name in the abstract space after `@`."""
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._status = ""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Notifier:
        """By $NOTIFY_SOCKET. Drive processes, which get no environment, have none."""
        address = environ.get("NOTIFY_SOCKET", "")
        return cls(address if address.startswith(("/", "@")) else "")

    def ready(self, status: str = "") -> Told:
        """The service works: whoever waited for it goes on. Once, when it is true."""
        self._status = status
        return self._send("READY=1", _status(status))

    def status(self, text: str) -> Told:
        """One line for `systemctl status`."""
        self._status = text
        return self._send(_status(text))

    def stopping(self, text: str = "") -> Told:
        """The service has begun to end."""
        self._status = text
        return self._send("STOPPING=1", _status(text))

    def extend(self, seconds: float) -> Told:
        """Starting or stopping goes on: not to be given up within so many seconds from now.

        Tell it again before they are over. It reaches beyond TimeoutStopSec of the unit, and is how
        wiperd outlasts a drive that nothing can interrupt.
        """
        return self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}")

    def feed(self) -> Told:
        """Alive; only `Watchdog` says so."""
        return self._send("WATCHDOG=1")

    def worry(self, text: str) -> Told:
        """A line that stands in place of the status until `relief`."""
        return self._send(_status(text))

    def relief(self) -> Told:
        """The status again."""
        return self._send(_status(self._status))

    def _send(self, *assignments: str) -> Told:
        if not self._address:
            return Told.NOBODY_LISTENS
        message = "\n".join(assignments).encode()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as link:
                link.settimeout(SEND_TIMEOUT_S)
                link.connect(self._address)
                link.sendall(message)
        except OSError:
            return Told.UNDELIVERED
        return Told.SENT


def _status(text: str) -> str:
    """On one line: a line break would begin another message to the manager."""
    return f"STATUS={show(text, STATUS_MAX)}"


@dataclass(frozen=True, slots=True)
class Silence:
    """A part that has not said for too long that it advances."""

    part: str
    for_s: float
    within_s: float


@dataclass(slots=True)
class _Part:
    within_s: float
    beaten_at: float


class Watchdog:
    """Feeds the manager's watchdog while every part advances, and not one message longer.

    `run` is a task of the event loop, so a loop that stands still feeds nothing; each part of the
    daemon (the station, discovery, a review) beats in its own loop, so a part that hangs while
    the loop turns is noticed as well. A part that waits for something without end beats on a timer
    of its own while it waits.
    """

    def __init__(self, notifier: Notifier, clock: Clock, period_s: float | None = None) -> None:
        """`period_s` is the manager's patience (WatchdogSec); None where it has no watchdog."""
        self._notifier, self._clock = notifier, clock
        self._pause_s = (period_s or UNWATCHED_PERIOD_S) / 3
        self._parts: dict[str, _Part] = {}
        self._told: tuple[str, ...] = ()

    @classmethod
    def from_environment(
        cls, notifier: Notifier, clock: Clock, environ: Mapping[str, str] = os.environ
    ) -> Watchdog:
        """By $WATCHDOG_USEC, if it is meant for this process ($WATCHDOG_PID)."""
        microseconds, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
        is_ours = pid in {"", str(os.getpid())}
        given = microseconds.isascii() and microseconds.isdigit() and int(microseconds) > 0
        return cls(notifier, clock, int(microseconds) / 1_000_000 if given and is_ours else None)

    def watch(self, part: str, within_s: float) -> None:
        """From now on this part beats at least once in so many seconds."""
        self._parts[part] = _Part(within_s, self._clock.boottime())

    def beat(self, part: str) -> None:
        """The part advances. Raises KeyError for one that is not watched."""
        self._parts[part].beaten_at = self._clock.boottime()

    def forget(self, part: str) -> None:
        """The part has ended as it should."""
        self._parts.pop(part, None)

    def silent(self) -> tuple[Silence, ...]:
        """Parts that are over their bound now, by name; for /healthz too."""
        now = self._clock.boottime()
        return tuple(
            Silence(name, now - part.beaten_at, part.within_s)
            for name, part in sorted(self._parts.items())
            if now - part.beaten_at > part.within_s
        )

    async def run(self) -> None:
        """Look and feed, three times in the manager's patience, until cancelled."""
        while True:
            self._look()
            await self._clock.sleep(self._pause_s)

    def _look(self) -> None:
        silent = self.silent()
        if not silent:
            if self._told:
                self._told = ()
                _log.warning("watchdog.relief")
                self._notifier.relief()
            self._notifier.feed()
            return
        names = tuple(one.part for one in silent)
        text = ", ".join(f"{one.part} for {one.for_s:.0f} s" for one in silent)
        self._notifier.worry(f"does not advance: {text}")
        if names != self._told:
            self._told = names
            _log.error("watchdog.silent", extra=fields(parts=list(names), told=text))
