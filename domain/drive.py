"""Drives: who one is (identity), where it is (attachment), how it is (observed), and its units."""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass
from typing import TypeAlias

from nullbay.domain.canonical import canonical_sha256
from nullbay.domain.clock import Stamp
from nullbay.domain.codec import U64, to_plain
from nullbay.domain.ids import BayId, IdentityKey
from nullbay.domain.method import MediaKind, Transport
from nullbay.domain.text import RawText

CONFIRM_MAX_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class DriveIdentity:
    """What survives re-plug and reboot. Missing parts are empty; nothing is made up.

    `identify_sha256` is the digest of the raw identify data, or of the sysfs attributes read where
    the drive has none (`identify_source` says which); hex.
    """

    vendor: RawText
    model: RawText
    serial: RawText
    wwn: str
    eui64: str
    nguid: str
    identify_sha256: str
    identify_source: str

    @property
    def is_strong(self) -> bool:
        """Whether it tells this drive from every other: a serial or a world-wide name is there."""
        return bool(self.serial) or bool(self.wwn or self.eui64 or self.nguid)

    @property
    def key(self) -> IdentityKey:
        """Digest of the naming parts. Equal keys of weak identities prove nothing."""
        parts = [self.vendor, self.model, self.serial, self.wwn, self.eui64, self.nguid]
        return IdentityKey(canonical_sha256([to_plain(part) for part in parts]))


@dataclass(frozen=True, slots=True)
class NodeAttachment:
    """One unit's device node: kernel name, `major:minor`, disk sequence number (0: unknown)."""

    unit_id: str
    name: str
    devnum: str
    diskseq: U64


@dataclass(frozen=True, slots=True)
class Attachment:
    """What does not survive re-plug: which boot, which nodes, which path, which bay."""

    boot_id: str
    nodes: tuple[NodeAttachment, ...]
    device_path: str
    bay: BayId | None
    hba: str


class HiddenState(enum.StrEnum):
    """What is known of an area outside the addressable range."""

    ABSENT = "absent"
    PRESENT = "present"
    UNKNOWN = "unknown"
    NOT_APPLICABLE = "not-applicable"


@dataclass(frozen=True, slots=True)
class HiddenArea:
    """HPA, DCO, accessible maximum address or unallocated NVM capacity, and where from."""

    name: str
    state: HiddenState
    hidden_bytes: U64
    source: str


@dataclass(frozen=True, slots=True)
class Health:
    """Health figures of one moment; None where the drive did not say."""

    reallocated_sectors: int | None = None
    pending_sectors: int | None = None
    media_errors: int | None = None
    percentage_used: int | None = None
    temperature_celsius: int | None = None
    power_on_hours: int | None = None


@dataclass(frozen=True, slots=True)
class Unit:
    """One addressable unit of a drive and its geometry in bytes.

    `unit_id` names it within the drive whatever the kernel calls it: `disk`, `lun:1`, `nsid:2`.
    """

    unit_id: str
    size_bytes: U64
    logical_sector_bytes: int
    physical_sector_bytes: int
    read_only: bool


@dataclass(frozen=True, slots=True)
class Observed:
    """A drive at a time: geometry, transport, medium, hidden areas, health."""

    at: Stamp
    units: tuple[Unit, ...]
    firmware: RawText
    media: MediaKind
    media_source: str
    transport: Transport
    hidden_areas: tuple[HiddenArea, ...]
    health: Health
    removable: bool

    @property
    def size_bytes(self) -> int:
        """Addressable bytes of all units."""
        return sum(unit.size_bytes for unit in self.units)


@dataclass(frozen=True, slots=True)
class Capability:
    """One technique the drive can do, or why not, with the observation it came from."""

    technique: str
    available: bool
    source: str


Capabilities: TypeAlias = tuple[Capability, ...]


@dataclass(frozen=True, slots=True)
class Drive:
    """One device with all its units, as one observation saw it.

    `simulated` is true for everything from lab/ and travels into every document.
    `serial_shared` is true where another present drive gives the same serial.
    """

    identity: DriveIdentity
    attachment: Attachment
    observed: Observed
    capabilities: Capabilities = ()
    simulated: bool = False
    serial_shared: bool = False

    @property
    def confirm(self) -> str:
        """What an operator types: the serial where it is readable and alone, else a token.

        The token is bound to this attachment, so that it is worthless after a re-plug.
        """
        serial = self.identity.serial
        if serial.is_plain and not self.serial_shared and len(serial.raw) <= CONFIRM_MAX_CHARACTERS:
            return serial.shown
        there = self.attachment
        nodes = [f"{node.devnum} {node.diskseq}" for node in there.nodes]
        bound = "\n".join([self.identity.key, there.boot_id, there.device_path, *nodes])
        return "nb-" + hashlib.sha256(bound.encode()).hexdigest()[:10]


@dataclass(frozen=True, slots=True)
class Bay:
    """A place for a drive: id, position on the rack, and the glob on the canonical sysfs path."""

    bay_id: BayId
    row: int
    column: int
    match: str
