"""The order of moments in a job, and whether its drive was ever out of reach.

CLOCK_BOOTTIME never jumps but starts again with every boot; the order of boots is the order of the
sessions. A moment of a boot in which no session began has no place. Wall time orders nothing here:
anybody can set it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TypeAlias

from nullbay.domain.clock import UNKNOWN_BOOT, Stamp
from nullbay.domain.drive import Attachment
from nullbay.domain.outcome import Session, SessionEnd

Place: TypeAlias = tuple[int, int]
"""Which boot of the job, and microseconds in it."""


class Timeline:
    """Places for the moments of a job."""

    def __init__(self, sessions: tuple[Session, ...]) -> None:
        """Boots are numbered as the sessions come."""
        boots = dict.fromkeys(session.started.boot_id for session in sessions)
        self._boots = {boot: number for number, boot in enumerate(boots)}

    def place(self, moment: Stamp) -> Place | None:
        """Where a moment belongs, None if no session began in its boot."""
        boot = self._boots.get(moment.boot_id)
        return None if boot is None else (boot, moment.boottime_us)

    def in_order(self, *moments: Stamp) -> bool:
        """Whether every moment has a place and none comes before the one named ahead of it."""
        places = [place for moment in moments if (place := self.place(moment)) is not None]
        return len(places) == len(moments) and all(a <= b for a, b in pairwise(places))


def was_away(sessions: tuple[Session, ...]) -> bool:
    """Whether the drive was, or may have been, out of reach between the sessions of a job."""
    boots = {session.started.boot_id for session in sessions}
    return len(sessions) > 1 and (
        len(boots) > 1 or may_have_been_away(sessions[:-1], sessions[-1].attachment)
    )


def may_have_been_away(earlier: tuple[Session, ...], here: Attachment) -> bool:
    """Whether a drive attached `here` may have been out of reach since the earlier sessions began.

    It was not only where none of them saw it go and all name the same attachment as now, by a known
    boot and a disk sequence number for every node.
    """
    known_boot = here.boot_id not in {"", UNKNOWN_BOOT}
    told_apart = known_boot and bool(here.nodes) and all(node.diskseq for node in here.nodes)
    return any(
        not told_apart or session.attachment != here or session.end is SessionEnd.DRIVE_GONE
        for session in earlier
    )
