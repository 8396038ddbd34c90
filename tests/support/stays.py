"""Drives in slots, as one plugging each made them."""

from __future__ import annotations

from dataclasses import replace

from nullbay.domain.drive import Drive, NodeAttachment
from support.drives import drive

SLOTS = tuple(f"/sys/devices/pci0000:00/ata{n}/host{n}/target{n}:0:0/{n}:0:0:0" for n in range(3))


def stay(slot: int, serial: str, diskseq: int) -> Drive:
    """The drive `serial` in a slot; the kernel numbered it `diskseq` when it was plugged in."""
    one = drive(serial=serial.encode(), device_path=SLOTS[slot])
    node = NodeAttachment("disk", f"sd{chr(97 + slot)}", f"8:{16 * slot}", diskseq)
    return replace(
        one,
        identity=replace(one.identity, wwn=f"0xw{serial}"),
        attachment=replace(one.attachment, nodes=(node,)),
    )
