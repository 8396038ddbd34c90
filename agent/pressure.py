"""How the host is: memory, load, room on the journal's disk (psutil)."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import psutil

from nullbay.agent.admission import Pressure

_HUNDREDTH = Decimal("0.01")


def read(state: Path) -> Pressure:
    """Now, for a station whose journal is in `state`. What cannot be read is None.

    Available memory is what can be had without swapping; load is the average of one minute, with
    those that wait for drives among them; room is what an ordinary user may take.
    """
    try:
        memory: int | None = psutil.virtual_memory().available
    except (OSError, psutil.Error):
        memory = None
    try:
        cpus = psutil.cpu_count() or 1
        load: Decimal | None = (Decimal(psutil.getloadavg()[0]) / cpus).quantize(_HUNDREDTH)
    except (OSError, psutil.Error):
        load = None
    try:
        free: int | None = psutil.disk_usage(str(state)).free
    except (OSError, psutil.Error):
        free = None
    return Pressure(memory, load, free)
