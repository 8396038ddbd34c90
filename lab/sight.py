"""How a drive made of software looks: identity, attachment, health and temperature."""

from __future__ import annotations

import hashlib
import re

from nullbay.domain.canonical import canonical_sha256
from nullbay.domain.clock import Clock
from nullbay.domain.codec import to_plain
from nullbay.domain.drive import (
    Attachment,
    Capability,
    Drive,
    DriveIdentity,
    Health,
    NodeAttachment,
    Observed,
    Unit,
)
from nullbay.domain.method import Technique
from nullbay.domain.text import RawText
from nullbay.lab.description import DriveDescription, TemperatureSpec
from nullbay.lab.medium import Medium
from nullbay.lab.state import DriveFiles, DriveState, Slot

SOURCE = "simulated"


class Thermometer:
    """Up with work, down with rest, between idle and most."""

    def __init__(self, spec: TemperatureSpec | None, now_s: float) -> None:
        """Cool at first; without a spec it tells nothing."""
        self._spec = spec
        self._degrees = float(spec.idle_celsius) if spec else 0.0
        self._until_s = now_s

    def work(self, start_s: float, seconds: float) -> None:
        """The drive worked from `start_s` on."""
        if self._spec is None:
            return
        self._rest(start_s)
        self._degrees += seconds / 60 * self._spec.up_per_busy_minute
        self._degrees = min(self._degrees, self._spec.most_celsius)
        self._until_s = start_s + seconds

    def celsius(self, now_s: float) -> int | None:
        """Degrees now."""
        if self._spec is None:
            return None
        self._rest(now_s)
        return round(self._degrees)

    def _rest(self, now_s: float) -> None:
        if self._spec is not None and now_s > self._until_s:
            self._degrees -= (now_s - self._until_s) / 60 * self._spec.down_per_idle_minute
            self._degrees = max(self._degrees, self._spec.idle_celsius)
            self._until_s = now_s


def drive_name(files: DriveFiles, description: DriveDescription) -> str:
    """Its kernel name: the one described, else made from the file's."""
    return description.name or re.sub(r"[^a-z0-9]+", "-", files.description.stem.lower())[:31]


def device_path_of(files: DriveFiles, description: DriveDescription) -> str:
    """What a bay's `match` is compared with: a bay of the laboratory is `/lab/<name>`."""
    return f"/lab/{drive_name(files, description)}"


def see(medium: Medium, clock: Clock, thermometer: Thermometer) -> Drive:
    """One observation. Call it in a turn, on a drive that is attached."""
    description, state = medium.description, medium.state
    logical = description.logical_sector_bytes
    unit = Unit(
        unit_id="disk",
        size_bytes=state[Slot.SECTORS] * logical,
        logical_sector_bytes=logical,
        physical_sector_bytes=description.physical_sector_bytes,
        read_only=bool(state[Slot.READ_ONLY]),
    )
    observed = Observed(
        at=clock.now(),
        units=(unit,),
        firmware=RawText.of(description.firmware),
        media=description.media,
        media_source=SOURCE,
        transport=description.transport,
        hidden_areas=description.hidden_areas,
        health=_health(medium, thermometer.celsius(clock.boottime())),
        removable=description.removable,
    )
    return Drive(
        identity=_identity(description, state),
        attachment=_attachment(medium, clock),
        observed=observed,
        capabilities=(Capability(Technique.HOST_OVERWRITE, available=True, source=SOURCE),),
        simulated=True,
    )


def _identity(description: DriveDescription, state: DriveState) -> DriveIdentity:
    model, serial = description.raw_model, description.raw_serial
    wwn, eui64, nguid = description.wwn, description.eui64, description.nguid
    if state[Slot.IS_OTHER]:
        other = description.other_identity
        model, serial = RawText.of(other.model), RawText.of(other.serial_hex or other.serial)
        wwn, eui64, nguid = other.wwn, "", ""
    elif state[Slot.SERIAL_CHANGED]:
        other = description.other_identity
        serial = RawText.of(other.serial_hex or other.serial)
    vendor = RawText.of(description.vendor)
    parts = [to_plain(part) for part in (vendor, model, serial, wwn, eui64, nguid)]
    return DriveIdentity(
        vendor=vendor,
        model=model,
        serial=serial,
        wwn=wwn,
        eui64=eui64,
        nguid=nguid,
        identify_sha256=canonical_sha256(["nullbay.lab-identify/1", *parts]),
        identify_source=SOURCE,
    )


def _attachment(medium: Medium, clock: Clock) -> Attachment:
    """A disk sequence number is never given twice: the upper bits are the drive's own."""
    name = drive_name(medium.files, medium.description)
    own = hashlib.sha256(name.encode() + b"\0" + medium.description.raw_serial.raw).digest()
    node = NodeAttachment(
        unit_id="disk",
        name=name,
        devnum=f"240:{int.from_bytes(own[:2], 'big')}",
        diskseq=int.from_bytes(own[2:5], "big") << 16 | medium.state[Slot.INSERTIONS],
    )
    return Attachment(
        boot_id=clock.now().boot_id,
        nodes=(node,),
        device_path=device_path_of(medium.files, medium.description),
        bay=None,
        hba=SOURCE,
    )


def _health(medium: Medium, celsius: int | None) -> Health:
    spec, written = medium.description.health, medium.state[Slot.WRITTEN_BYTES]
    grown = written // spec.reallocated_every_bytes if spec.reallocated_every_bytes else 0
    return Health(
        reallocated_sectors=spec.reallocated_sectors + grown,
        pending_sectors=spec.pending_sectors + medium.pending_sectors,
        media_errors=spec.media_errors,
        percentage_used=spec.percentage_used,
        temperature_celsius=celsius,
        power_on_hours=spec.power_on_hours,
    )
