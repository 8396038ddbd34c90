"""Where a drive hangs, from sysfs: the adapter, the links it shares, the slot, and what must hold.

Paths name places only as long as the machine is built as it was: another card, a new firmware or
another order of drivers moves them. An anchor is one part of a path with what was found there, so
that this can be noticed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nullbay.domain.text import show
from nullbay.wipers.platform import sysfs
from nullbay.wipers.platform.kinds import hba
from nullbay.wipers.platform.sysfs import DEFAULT_ROOTS, Roots

_PCI = re.compile(r"[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f]")
_SPEED = re.compile(r"([0-9]{1,3})(?:\.([0-9]))? GT/s")
_RATE = re.compile(r"([0-9]{1,2})(?:\.([0-9]))? Gbit")
_ATA = re.compile(r"ata[0-9]+")
_SAS_ADDRESS = re.compile(r"0x[0-9a-f]{16}")
_PHY = re.compile(r"[0-9]{1,3}")
_WIDTH_MAX = 32
_PHYS_MAX = 64
_PERCENT_FOR_DATA = 85
"""Of what a PCIe link carries, headers and flow control take the rest (128-byte payloads)."""


@dataclass(frozen=True, slots=True)
class Link:
    """Something that drives share: its name and the bytes per second it carries, as a bound."""

    name: str
    bytes_per_s: int


@dataclass(frozen=True, slots=True)
class Route:
    """How a drive's bytes reach memory. Links whose speed sysfs does not tell are left out.

    `hba` is as in `Attachment.hba`; `expander` is empty where there is none in the path.
    """

    hba: str
    expander: str
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class Slot:
    """What the machine itself calls a drive's place; empty where it does not tell.

    `phy` is the number on the expander or adapter, `sas_address` that of the attached port.
    """

    enclosure: str
    slot: str
    phy: str
    sas_address: str
    pci: str


@dataclass(frozen=True, slots=True)
class Anchor:
    """A part of a device path, and what was found there: empty if it is not there."""

    path: str
    found: str


def route_of(device_path: str, *, roots: Roots = DEFAULT_ROOTS) -> Route:
    """The adapter, the PCIe links from it to the processor, and a SAS expander's uplink."""
    links = [
        Link(Path(path).name, speed)
        for path in _pci_functions(device_path)
        if (speed := _pcie_bytes_per_s(_directory(path, roots)))
    ]
    expander, uplink = _expander(device_path, roots)
    return Route(hba(device_path, roots), expander, (*links, *uplink))


def slot_of(device_path: str, *, roots: Roots = DEFAULT_ROOTS) -> Slot:
    """Enclosure, slot, phy, SAS address and PCI function, as far as sysfs has them."""
    device = _directory(device_path, roots)
    name = next((p for p in device_path.split("/") if p.startswith("end_device-")), "")
    end = _directory(device_path.partition(f"/{name}/")[0], roots) / name if name else None
    sas = end / "sas_device" / name if end else None
    enclosure = _read(sas, "enclosure_identifier")
    slot = _read(sas, "bay_identifier")
    for entry in sysfs.entries(device):
        if entry.name.startswith("enclosure_device:"):
            enclosure = enclosure or show(sysfs.link_name(entry))
            slot = show(entry.name.removeprefix("enclosure_device:").strip())
    functions = _pci_functions(device_path)
    return Slot(
        enclosure,
        slot,
        _read(sas, "phy_identifier"),
        _read(sas, "sas_address"),
        Path(functions[-1]).name if functions else "",
    )


def sas_place(device_path: str, *, roots: Roots = DEFAULT_ROOTS) -> str:
    """Where a SAS port is, in numbers that last: `<path of the adapter>/sas-exp<address>-phy<n>`.

    Without an expander `<path of the adapter>/sas-phy<n>`; empty for everything else, and for wide
    ports. The kernel numbers ports and end devices as they come; an expander's address and a phy
    are the hardware's, which is why udev names them so too (path_id of systemd, ID_PATH).
    """
    parts = device_path.split("/")
    at = next((n for n, part in enumerate(parts) if part.startswith("end_device-")), 0)
    functions = _pci_functions(device_path)
    if not at or not functions:
        return ""
    end, port, above = (_directory("/".join(parts[: at + 1 - up]), roots) for up in range(3))
    phy = _read(end / "sas_device" / end.name, "phy_identifier")
    if _read(port / "sas_port" / port.name, "num_phys") != "1" or not _PHY.fullmatch(phy):
        return ""
    if not above.name.startswith("expander-"):
        return f"{functions[-1]}/sas-phy{phy}"
    address = _read(above / "sas_device" / above.name, "sas_address")
    return f"{functions[-1]}/sas-exp{address}-phy{phy}" if _SAS_ADDRESS.fullmatch(address) else ""


def anchors_of(device_path: str, *, roots: Roots = DEFAULT_ROOTS) -> tuple[Anchor, ...]:
    """What must hold for this path to mean the same place: every PCI function and SATA port in it.

    The drive's own PCI function is none of them (an NVMe drive takes it along), its slot is.
    """
    paths = _pci_functions(device_path)
    if "/nvme/" in device_path and paths:
        paths = paths[:-1]
    parts = device_path.split("/")
    paths += ["/".join(parts[: at + 1]) for at, part in enumerate(parts) if _ATA.fullmatch(part)]
    now = look_again(paths, roots=roots)
    return tuple(Anchor(path, now[path]) for path in paths)


def look_again(paths: Iterable[str], *, roots: Roots = DEFAULT_ROOTS) -> Mapping[str, str]:
    """What is found at these paths now."""
    return {path: _found(path, roots) for path in paths}


def _found(path: str, roots: Roots) -> str:
    directory = _directory(path, roots)
    name = directory.name
    if _ATA.fullmatch(name):
        number = sysfs.number(directory / "ata_port" / name, "port_no")
        return "" if number is None else f"SATA port {number}"
    parts = [_read(directory, key) for key in ("vendor", "device")]
    if not all(parts):
        return ""
    parts += [_read(directory, key) for key in ("subsystem_vendor", "subsystem_device")]
    return " ".join(["PCI", *(part or "-" for part in parts)])


def _pci_functions(device_path: str) -> list[str]:
    parts = device_path.split("/")
    return ["/".join(parts[: at + 1]) for at, part in enumerate(parts) if _PCI.fullmatch(part)]


def _pcie_bytes_per_s(function: Path) -> int:
    """By `current_link_speed` and `current_link_width`; 0 where the function has no PCIe link.

    8b/10b up to 5 GT/s, 128b/130b above (PCI Express Base 4.0, 4.2).
    """
    match = _SPEED.match(_read(function, "current_link_speed"))
    width = sysfs.number(function, "current_link_width") or 0
    if match is None or not 1 <= width <= _WIDTH_MAX:
        return 0
    tenths = int(match[1]) * 10 + int(match[2] or 0)
    bits_per_s = tenths * 100_000_000 * width
    data, line = (8, 10) if tenths <= 50 else (128, 130)
    return bits_per_s * data // line // 8 * _PERCENT_FOR_DATA // 100


def _expander(device_path: str, roots: Roots) -> tuple[str, list[Link]]:
    """The expander nearest to the adapter, and its wide port: phys times negotiated rate."""
    parts = device_path.split("/")
    at = next((n for n, part in enumerate(parts) if part.startswith("expander-")), 0)
    if not at:
        return "", []
    port = _directory("/".join(parts[:at]), roots)
    name = f"{parts[at]} {port.name}"
    phys = [entry.name for entry in sysfs.entries(port) if entry.name.startswith("phy-")]
    total = 0
    for phy in phys[:_PHYS_MAX]:
        match = _RATE.match(_read(port / phy / "sas_phy" / phy, "negotiated_linkrate"))
        if match is not None:
            tenths = int(match[1]) * 10 + int(match[2] or 0)
            total += tenths * 100_000_000 * 8 // 10 // 8
    return name, [Link(name, total)] if total else []


def _directory(path: str, roots: Roots) -> Path:
    return roots.sysfs / path.removeprefix("/sys/").lstrip("/")


def _read(directory: Path | None, name: str) -> str:
    return "" if directory is None else show(sysfs.text(directory, name).strip())
