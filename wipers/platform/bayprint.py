"""What a bay was when it was learned: so that a changed machine unmaps it (bench.md).

Stands beside the settings as `bays-learned.json`, `nullbay.bays-learned/1`; standard library only,
so that the root daemon can ask the same question as the station.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nullbay.domain.clock import Stamp
from nullbay.domain.codec import from_plain, to_plain
from nullbay.domain.drive import Bay
from nullbay.domain.errors import MalformedError, TooLargeError
from nullbay.domain.ids import BayId
from nullbay.wipers.platform.topology import Anchor, Slot, look_again

FILE_NAME = "bays-learned.json"
SCHEMA = "nullbay.bays-learned/1"
FILE_MAX_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Bayprint:
    """One learned bay: its matcher then, its slot by the machine's own words, what must hold."""

    bay: BayId
    match: str
    slot: Slot
    anchors: tuple[Anchor, ...]
    learned: Stamp


@dataclass(frozen=True, slots=True)
class Bayprints:
    """The file as a whole."""

    bays: tuple[Bayprint, ...]
    schema: str = SCHEMA


def read_bayprints(directory: Path) -> tuple[Bayprint, ...]:
    """Those of a configuration directory; none where nothing was learned.

    Raises MalformedError, TooLargeError, UnknownSchemaError: a bay whose print cannot be read may
    be another place by now.
    """
    try:
        with (directory / FILE_NAME).open("rb") as file:
            raw = file.read(FILE_MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return ()
    if len(raw) > FILE_MAX_BYTES:
        raise TooLargeError(f"{FILE_NAME} is larger than {FILE_MAX_BYTES} bytes")
    try:
        plain = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise MalformedError(
            f"{FILE_NAME} is not JSON", next_step="Learn the bays again, or put the file back"
        ) from error
    read: Bayprints = from_plain(Bayprints, plain)
    return read.bays


def written_bayprints(prints: Iterable[Bayprint]) -> bytes:
    """The bytes of the file."""
    plain = to_plain(Bayprints(tuple(prints)))
    return json.dumps(plain, indent=1, sort_keys=True).encode() + b"\n"


def now_of(prints: Iterable[Bayprint]) -> Mapping[str, str]:
    """What is found now at every place that the prints speak of."""
    return look_again({anchor.path for one in prints for anchor in one.anchors})


def unmapped(
    bays: Iterable[Bay], prints: Iterable[Bayprint], now: Mapping[str, str]
) -> tuple[BayId, ...]:
    """Bays that count as no bays until learned again, because the machine is not what it was.

    Also where the matcher is another than was learned. A bay without a print was written by hand
    and stands for itself. `now` is what `now_of` found; what it does not hold has gone.
    """
    learned = {one.bay: one for one in prints}
    return tuple(
        bay.bay_id
        for bay in bays
        if (one := learned.get(bay.bay_id)) is not None
        and (
            one.match != bay.match
            or any(now.get(anchor.path, "") != anchor.found for anchor in one.anchors)
        )
    )
