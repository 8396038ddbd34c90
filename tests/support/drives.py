"""Drives as values, for tests of what is decided about them."""

from __future__ import annotations

import hashlib

from nullbay.domain.clock import ClockSync, Stamp
from nullbay.domain.drive import (
    Attachment,
    Capability,
    Drive,
    DriveIdentity,
    Health,
    HiddenArea,
    HiddenState,
    NodeAttachment,
    Observed,
    Unit,
)
from nullbay.domain.method import MediaKind, Technique, Transport
from nullbay.domain.text import RawText

MIB = 1024 * 1024
NOW = Stamp("2026-11-21T20:00:00.000000Z", 1_000_000, "boot", ClockSync.SYNCHRONISED)
NO_HIDDEN_AREA = (HiddenArea("HPA", HiddenState.ABSENT, 0, "READ NATIVE MAX"),)


def unit(unit_id: str = "disk", size_bytes: int = 4000 * MIB, *, read_only: bool = False) -> Unit:
    """A unit with 512-byte sectors on 4 KiB ones."""
    return Unit(unit_id, size_bytes, 512, 4096, read_only)


def offers(*techniques: Technique, available: bool = True) -> tuple[Capability, ...]:
    """What the drive answered about techniques."""
    return tuple(Capability(one.value, available, f"asked for {one}") for one in techniques)


def drive(
    *,
    transport: Transport = Transport.SATA,
    media: MediaKind = MediaKind.MAGNETIC,
    units: tuple[Unit, ...] = (unit(),),
    hidden_areas: tuple[HiddenArea, ...] = NO_HIDDEN_AREA,
    capabilities: tuple[Capability, ...] = (),
    serial: bytes = b"WD-WX11A1",
    device_path: str = "/sys/devices/pci0000:00/0000:00:17.0/ata3/host2/target2:0:0/2:0:0:0",
    simulated: bool = False,
) -> Drive:
    """A healthy drive."""
    return Drive(
        identity=DriveIdentity(
            vendor=RawText(b""),
            model=RawText(b"WDC WD40EFRX"),
            serial=RawText(serial),
            wwn="0x50014ee2b1c2d3e4",
            eui64="",
            nguid="",
            identify_sha256=hashlib.sha256(serial).hexdigest(),
            identify_source="IDENTIFY DEVICE",
        ),
        attachment=Attachment(
            boot_id="boot",
            nodes=tuple(
                NodeAttachment(one.unit_id, f"sd{chr(98 + number)}", f"8:{16 * number}", 7)
                for number, one in enumerate(units)
            ),
            device_path=device_path,
            bay=None,
            hba="0000:00:17.0 ahci",
        ),
        observed=Observed(
            at=NOW,
            units=units,
            firmware=RawText(b"82.00A82"),
            media=media,
            media_source="IDENTIFY DEVICE word 217",
            transport=transport,
            hidden_areas=hidden_areas,
            health=Health(),
            removable=False,
        ),
        capabilities=capabilities,
        simulated=simulated,
    )
