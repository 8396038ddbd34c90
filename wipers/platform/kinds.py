"""One entry of /sys/block: what kind of block device it is, and what sysfs tells of it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nullbay.domain.canonical import canonical_sha256
from nullbay.domain.drive import DriveIdentity
from nullbay.domain.errors import MalformedError
from nullbay.domain.method import MediaKind, Transport
from nullbay.domain.text import RawText, show
from nullbay.wipers.identify import media_of_rotation
from nullbay.wipers.platform import scsi, sysfs
from nullbay.wipers.platform.ata import Identify
from nullbay.wipers.platform.sysfs import Roots

# SCSI device types: direct access, simplified direct access, host-managed zoned.
_DISK_TYPES = frozenset({0x00, 0x0E, 0x14})
# megaraid_sas shows physical disks on channels 0 and 1, its own volumes on 2 and above.
_MEGARAID_VOLUME_CHANNEL = 2
_PCI_ADDRESS = re.compile(r"[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f]")
_HCTL = re.compile(r"([0-9]+):([0-9]+):([0-9]+):([0-9]+)")
_MMC = re.compile(r"mmcblk[0-9]+(?:(boot|gp)([0-9]+))?")
_NVME = re.compile(r"nvme[0-9]+n[0-9]+")
_HEX = re.compile(r"[0-9a-f]{16,32}")

# Names of devices made of other devices, or of nothing (the kernel's own block drivers).
_OTHERS = (
    ("dm-", "a mapped device (LVM, LUKS or multipath)"),
    ("md", "a software RAID"),
    ("bcache", "a bcache device"),
    ("zram", "compressed memory"),
    ("ram", "memory"),
    ("nbd", "a network block device"),
    ("rbd", "a network block device (Ceph)"),
    ("drbd", "a replicated device"),
    ("zd", "a ZFS volume"),
    ("ublk", "a device made by a program"),
    ("xvd", "a virtual disk (Xen)"),
    ("pmem", "persistent memory"),
    ("sr", "an optical drive"),
    ("fd", "a floppy drive"),
)


@dataclass(frozen=True, slots=True)
class Told:
    """What the kind-specific part of sysfs tells of a node.

    `part` names the unit within the drive: `nsid:1`, `boot0`, or `lun:0` (which is `disk` where the
    drive turns out to have one only). `shares` are keys: nodes with a key in common are the same
    drive. `controllers` are the kernel's names of NVMe controllers.
    """

    part: str
    shares: frozenset[tuple[str, ...]]
    identity: DriveIdentity
    firmware: RawText
    transport: Transport
    media: MediaKind
    media_source: str
    device_path: str
    controllers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Node:
    """A block device that is a drive, or one unit or path of it."""

    path: Path
    name: str
    devnum: str
    diskseq: int
    told: Told


def look(path: Path, roots: Roots) -> Node | None:
    """What an entry of /sys/block is; None where it is no drive."""
    name = path.name
    told: Told | None = None
    if name.startswith("loop") and not is_empty_loop(path):
        told = _loop(path, roots)
    elif _MMC.fullmatch(name):
        told = _mmc(path, roots)
    elif (path / "device").exists():
        if _NVME.fullmatch(name):
            told = _nvme(path, roots)
        elif name.startswith("sd"):
            told = _scsi(path, roots)
        elif name.startswith("vd"):
            told = _virtio(path, roots)
    if told is None:
        return None
    return Node(path, name, sysfs.devnum(path), sysfs.number(path, "diskseq") or 0, told)


def is_empty_loop(path: Path) -> bool:
    """A loop device without a file behind it, or about to lose it.

    Detaching one that somebody holds open marks it `autoclear` and takes effect when it is let go
    of (loop(4), LOOP_CLR_FD): it was pulled, and whoever holds it has to let go.
    """
    loop = path / "loop"
    if not path.name.startswith("loop"):
        return False
    return not loop.exists() or sysfs.number(loop, "autoclear") == 1


def other_kind(path: Path, roots: Roots) -> str:
    """What a block device is that is no drive, in words."""
    name = path.name
    if name.startswith("sd") and (volume := _is_raid_volume(path / "device", roots)):
        return volume
    for prefix, words in _OTHERS:
        if name.startswith(prefix) and name[len(prefix) :][:1].isalnum():
            title = sysfs.text(path / "dm", "name") if prefix == "dm-" else b""
            return f"{words}, {show(title)}" if title else words
    return "no kind of drive that is known here"


def hba(device_path: str, roots: Roots) -> str:
    """PCI address and driver of the adapter a drive hangs on; empty where there is none."""
    parts = device_path.split("/")
    for at in range(len(parts) - 1, 0, -1):
        if _PCI_ADDRESS.fullmatch(parts[at]):
            directory = roots.sysfs.joinpath(*parts[2 : at + 1])
            return f"{parts[at]} {show(sysfs.link_name(directory / 'driver'))}".strip()
    return ""


def _loop(path: Path, roots: Roots) -> Told:
    file = sysfs.text(path / "loop", "backing_file")
    return Told(
        part="disk",
        shares=frozenset({("loop", path.name)}),
        identity=_identity(path / "loop", ("backing_file", "offset", "sizelimit"), model=b"loop"),
        firmware=RawText(b""),
        transport=Transport.LOOP,
        media=MediaKind.VIRTUAL,
        media_source=f"loop device on {show(file)}",
        device_path=roots.canonical(path),
    )


def _virtio(path: Path, roots: Roots) -> Told:
    device_path = roots.canonical(path / "device")
    return Told(
        part="disk",
        shares=frozenset({("path", device_path)}),
        identity=_identity(path, ("serial",), serial=sysfs.text(path, "serial")),
        firmware=RawText(b""),
        transport=Transport.VIRTIO,
        media=MediaKind.VIRTUAL,
        media_source="virtio disk",
        device_path=device_path,
    )


def _mmc(path: Path, roots: Roots) -> Told:
    device = path / "device"
    match = _MMC.fullmatch(path.name)
    area = "".join(match.groups(default="")) if match else ""
    is_emmc = sysfs.text(device, "type") == b"MMC"
    device_path = roots.canonical(device)
    return Told(
        part=area or "disk",
        shares=frozenset({("path", device_path)}),
        identity=_identity(
            device,
            ("name", "serial", "cid"),
            model=sysfs.text(device, "name"),
            serial=sysfs.text(device, "serial"),
        ),
        firmware=RawText.of(sysfs.text(device, "fwrev")),
        transport=Transport.MMC,
        media=MediaKind.EMMC if is_emmc else MediaKind.FLASH,
        media_source="sysfs device/type",
        device_path=device_path,
    )


def _nvme(path: Path, roots: Roots) -> Told | None:
    if sysfs.number(path, "hidden"):
        return None  # a path below a multipath head, which is the device to use
    controllers = controllers_of(path)
    if not controllers:
        return None
    first = controllers[0]
    names = ("subsysnqn", "serial", "model")
    subsystem = tuple(sysfs.text(first, name).strip().hex() for name in names)
    transport = sysfs.text(first, "transport")
    rotational = sysfs.number(path / "queue", "rotational")
    nsid = sysfs.number(path, "nsid")
    wwid = sysfs.text(path, "wwid").decode("ascii", "replace")
    return Told(
        part=f"nsid:{nsid if nsid is not None else 'unknown'}",
        shares=frozenset({("nvme", *subsystem)}),
        identity=_identity(
            first,
            (*names, "firmware_rev"),
            model=sysfs.text(first, "model"),
            serial=sysfs.text(first, "serial"),
            eui64=_hex(wwid.removeprefix("eui."), 16) or _hex(sysfs.text(path, "eui"), 16),
            nguid=_hex(wwid.removeprefix("eui."), 32) or _hex(sysfs.text(path, "nguid"), 32),
        ),
        firmware=RawText.of(sysfs.text(first, "firmware_rev")),
        transport=Transport.NVME if transport in (b"", b"pcie") else Transport.FABRICS,
        # Linux sets `rotational` on NVMe only where the namespace reports rotational media.
        media=MediaKind.MAGNETIC if rotational else MediaKind.FLASH,
        media_source="NVMe, rotational media " + ("reported" if rotational else "not reported"),
        device_path=roots.canonical(first),
        controllers=tuple(controller.name for controller in controllers),
    )


def controllers_of(path: Path) -> list[Path]:
    """The NVMe controllers behind a namespace's block device.

    `device` is the controller itself, or with several paths the subsystem, which has them as links.
    Never derived from the name: nvme1n1 need not belong to nvme1 (standards.md section 9).
    """
    device = path / "device"
    if (device / "cntlid").exists():
        return [device.resolve()]
    found = [entry for entry in sysfs.entries(device) if re.fullmatch(r"nvme[0-9]+", entry.name)]
    return [entry.resolve() for entry in found]


def _scsi(path: Path, roots: Roots) -> Told | None:
    device = path / "device"
    if sysfs.number(device, "type") not in _DISK_TYPES or _is_raid_volume(device, roots):
        return None
    device_path = roots.canonical(device)
    vendor = sysfs.text(device, "vendor")
    transport = _scsi_transport(device_path, vendor)
    identify = _cached_identify(device) if _is_ata(device_path, vendor) else None
    identity = _scsi_identity(device, vendor, identify)
    media, media_source = _scsi_media(device, identify)
    match = _HCTL.search(device_path.rsplit("/", 1)[-1])
    lun = match[4] if match else "0"
    shares: set[tuple[str, ...]] = {("path", device_path)}
    if identity.serial:
        serial = identity.serial.raw.hex()
        # Not the target alone: card readers and RAID adapters show different media as its LUNs.
        shares.add(("target", device_path.rsplit("/", 1)[0], serial))
        if identity.wwn and transport in (Transport.SAS, Transport.SCSI, Transport.FABRICS):
            shares.add(("unit", identity.wwn, serial))  # one unit reached by two ports
    return Told(
        part=f"lun:{lun}",
        shares=frozenset(shares),
        identity=identity,
        firmware=identify.firmware if identify else RawText.of(sysfs.text(device, "rev")),
        transport=transport,
        media=media,
        media_source=media_source,
        device_path=device_path,
    )


def _scsi_transport(device_path: str, vendor: bytes) -> Transport:
    if re.search(r"/usb[0-9]+/", device_path):
        return Transport.USB
    if re.search(r"/(?:session[0-9]+|rport-[0-9:-]+)/", device_path):
        return Transport.FABRICS
    if _is_ata(device_path, vendor):
        return Transport.SATA
    return Transport.SAS if "/end_device-" in device_path else Transport.SCSI


def _is_ata(device_path: str, vendor: bytes) -> bool:
    """An ATA drive behind libata, or behind a translation layer that says so (SAT-4 8.1)."""
    return vendor.strip() == b"ATA" or re.search(r"/ata[0-9]+/", device_path) is not None


def _cached_identify(device: Path) -> Identify | None:
    """IDENTIFY data as the translation layer gave it to the kernel (VPD page 89h)."""
    try:
        return Identify.parse(scsi.ata_identify(sysfs.attribute(device, "vpd_pg89")))
    except MalformedError:
        return None


def _scsi_identity(device: Path, vendor: bytes, identify: Identify | None) -> DriveIdentity:
    if identify is not None:
        return DriveIdentity(
            vendor=RawText(b""),
            model=identify.model,
            serial=identify.serial,
            wwn=identify.wwn,
            eui64="",
            nguid="",
            identify_sha256=hashlib.sha256(identify.raw).hexdigest(),
            identify_source="IDENTIFY DEVICE, kept in sysfs vpd_pg89",
        )
    try:
        serial = scsi.serial(sysfs.attribute(device, "vpd_pg80")).raw
    except MalformedError:
        serial = b""
    try:
        names = scsi.identifiers(sysfs.attribute(device, "vpd_pg83"))
    except MalformedError:
        names = scsi.Identifiers("", "")
    return _identity(
        device,
        ("vendor", "model", "rev", "vpd_pg80", "vpd_pg83"),
        vendor=b"" if vendor.strip() == b"ATA" else vendor,
        model=sysfs.text(device, "model"),
        serial=serial,
        wwn=names.naa,
        eui64=names.eui64,
    )


def _scsi_media(device: Path, identify: Identify | None) -> tuple[MediaKind, str]:
    if identify is not None and identify.rotation:
        media = media_of_rotation(identify.rotation, hybrid=identify.has_hybrid_information)
        return media, f"IDENTIFY word 217 = {identify.rotation:04X}h"
    try:
        rotation = scsi.rotation(sysfs.attribute(device, "vpd_pgb1"))
    except MalformedError:
        return MediaKind.UNKNOWN, "the drive did not say"
    return media_of_rotation(rotation, hybrid=False), f"VPD page B1h, rotation rate {rotation:04X}h"


def _is_raid_volume(device: Path, roots: Roots) -> str:
    """How an adapter's own volume shows itself among its disks; empty for a disk."""
    level = sysfs.text(device, "raid_level").strip()
    if level and level not in (b"N/A", b"RAID UNKNOWN"):
        return f"a RAID volume ({show(level)})"
    if sysfs.text(device, "model").strip().lower() in (b"logical volume", b"logical drive"):
        return "a RAID volume"
    match = _HCTL.search(roots.canonical(device).rsplit("/", 1)[-1])
    if match and int(match[2]) >= _MEGARAID_VOLUME_CHANNEL:
        host = roots.sysfs / "class" / "scsi_host" / f"host{match[1]}"
        if sysfs.text(host, "proc_name") == b"megaraid_sas":
            return "a RAID volume (megaraid_sas)"
    return ""


def _identity(
    directory: Path,
    attributes: Iterable[str],
    *,
    vendor: bytes = b"",
    model: bytes = b"",
    serial: bytes = b"",
    wwn: str = "",
    eui64: str = "",
    nguid: str = "",
) -> DriveIdentity:
    """An identity from sysfs; its digest covers the attributes it was read from."""
    names = tuple(attributes)
    read = {name: sysfs.attribute(directory, name).hex() for name in names}
    return DriveIdentity(
        vendor=RawText.of(vendor),
        model=RawText.of(model),
        serial=RawText.of(serial),
        wwn=wwn,
        eui64=eui64,
        nguid=nguid,
        identify_sha256=canonical_sha256(read),
        identify_source="sysfs " + ", ".join(names),
    )


def _hex(value: str | bytes, digits: int) -> str:
    """A world-wide name as lower-case hex of that many digits; empty for anything else."""
    told = value.decode("ascii", "replace") if isinstance(value, bytes) else value
    plain = re.sub(r"[\s-]", "", told).lower()
    return plain if _HEX.fullmatch(plain) and len(plain) == digits and int(plain, 16) else ""
