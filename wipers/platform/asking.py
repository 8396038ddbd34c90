"""Asking a drive who and how it is, through the ports, by commands that change nothing.

Every command has a timeout; the first one that runs into it ends the asking, so that the whole
takes bounded time. A command a drive refuses leaves its question open (UNKNOWN).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from nullbay.domain.drive import DriveIdentity, Health, HiddenArea, HiddenState
from nullbay.domain.errors import MalformedError
from nullbay.domain.method import MediaKind
from nullbay.domain.ports import (
    AtaPort,
    AtaTaskfile,
    NvmeCommand,
    NvmePort,
    PortError,
    PortErrorKind,
    ScsiPort,
)
from nullbay.domain.text import RawText
from nullbay.wipers.identify import Answer, UnitAnswer, media_of_rotation
from nullbay.wipers.platform import ata, nvme, scsi

TIMEOUT_S = 15.0
NAMESPACES_MAX = 128


def ask_ata(port: AtaPort, unit_id: str, *, bridged: bool) -> Answer | None:
    """IDENTIFY DEVICE, hidden areas, SMART. None where the drive gave no IDENTIFY data."""
    try:
        identify = ata.Identify.parse(_ata_data(port, ata.IDENTIFY))
    except MalformedError:
        return None
    unit = UnitAnswer(
        unit_id, identify.sectors * identify.logical_sector_bytes, identify.logical_sector_bytes
    )
    return Answer(
        identity=DriveIdentity(
            vendor=RawText(b""),
            model=identify.model,
            serial=identify.serial,
            wwn=identify.wwn,
            eui64="",
            nguid="",
            identify_sha256=hashlib.sha256(identify.raw).hexdigest(),
            identify_source="IDENTIFY DEVICE (ECh)",
        ),
        firmware=identify.firmware,
        media=media_of_rotation(identify.rotation, hybrid=identify.has_hybrid_information),
        media_source=f"IDENTIFY word 217 = {identify.rotation:04X}h" if identify.rotation else "",
        units=(unit,),
        hidden_areas=tuple(_ata_hidden_areas(port, identify)),
        health=_ata_health(port, identify),
        bridged=bridged,
    )


def _ata_data(port: AtaPort, taskfile: AtaTaskfile) -> bytes:
    """512 bytes, or nothing where the drive or the layer before it refused."""
    try:
        answer = port.ata(
            taskfile, data_in_bytes=ata.BLOCK_BYTES, data_out=b"", timeout_s=TIMEOUT_S
        )
    except PortError as error:
        _only_other(error)
        return b""
    return answer.data


def _only_other(error: PortError) -> None:
    """Go on after a refusal by the drive.

    A drive that left or hangs is asked no more, and where this process may not ask (a thread that
    dropped its capabilities), silence would be taken for the drive's.
    """
    left = error.kind in {PortErrorKind.GONE, PortErrorKind.TIMEOUT}
    if left or error.errno in {"EPERM", "EACCES"}:
        raise error


def _ata_hidden_areas(port: AtaPort, identify: ata.Identify) -> Iterator[HiddenArea]:
    """HPA, DCO and AMAX, each by its own command (standards.md 4.3): all sizes have to agree."""
    if identify.has_hpa:
        command, name = ata.READ_NATIVE_MAX, "READ NATIVE MAX ADDRESS"
        if identify.is_48_bit:
            command, name = ata.READ_NATIVE_MAX_EXT, "READ NATIVE MAX ADDRESS EXT"
        yield _area("HPA", _native_max(port, command), identify, name)
    else:
        yield _unsupported("HPA", "word 82 bit 10", valid=identify.has_hpa is not None)
    if identify.has_dco:
        yield _area("DCO", _dco_max(port), identify, "DEVICE CONFIGURATION IDENTIFY")
    else:
        yield _unsupported("DCO", "word 83 bit 11", valid=identify.has_dco is not None)
    if identify.has_amax:
        sectors = _native_max(port, ata.GET_NATIVE_MAX_EXT)
        yield _area("AMAX", sectors, identify, "GET NATIVE MAX ADDRESS EXT")
    else:
        yield _unsupported("AMAX", "word 119 bit 8", valid=True)


def _native_max(port: AtaPort, taskfile: AtaTaskfile) -> int | None:
    try:
        answer = port.ata(taskfile, data_in_bytes=0, data_out=b"", timeout_s=TIMEOUT_S)
    except PortError as error:
        _only_other(error)
        return None
    return ata.native_max_sectors(answer)


def _dco_max(port: AtaPort) -> int | None:
    try:
        return ata.dco_sectors(_ata_data(port, ata.DCO_IDENTIFY))
    except MalformedError:
        return None


def _unsupported(name: str, where: str, *, valid: bool) -> HiddenArea:
    if not valid:
        return HiddenArea(name, HiddenState.UNKNOWN, 0, f"IDENTIFY {where} is not valid")
    return HiddenArea(name, HiddenState.ABSENT, 0, f"IDENTIFY {where} = 0, not supported")


def _area(name: str, sectors: int | None, identify: ata.Identify, command: str) -> HiddenArea:
    if sectors is None:
        return HiddenArea(name, HiddenState.UNKNOWN, 0, f"{command}: no answer")
    source = f"{command}: {sectors} sectors, IDENTIFY: {identify.sectors}"
    hidden = sectors - identify.sectors
    if hidden < 0:
        return HiddenArea(name, HiddenState.UNKNOWN, 0, f"{source}, which cannot be")
    state = HiddenState.PRESENT if hidden else HiddenState.ABSENT
    return HiddenArea(name, state, hidden * identify.logical_sector_bytes, source)


def _ata_health(port: AtaPort, identify: ata.Identify) -> Health:
    if not identify.has_smart:
        return Health()
    try:
        figures = ata.smart_figures(_ata_data(port, ata.SMART_READ_DATA))
    except MalformedError:
        return Health()
    return Health(
        reallocated_sectors=figures.reallocated_sectors,
        pending_sectors=figures.pending_sectors,
        temperature_celsius=figures.temperature_celsius,
        power_on_hours=figures.power_on_hours,
    )


def ata_temperature(port: AtaPort) -> int | None:
    """Degrees Celsius by SMART READ DATA; None where the drive does not tell."""
    try:
        return ata.smart_figures(_ata_data(port, ata.SMART_READ_DATA)).temperature_celsius
    except MalformedError:
        return None


def ask_scsi(port: ScsiPort, unit_id: str) -> Answer:
    """INQUIRY, VPD pages 80h, 83h and B1h, READ CAPACITY(16), of one logical unit.

    Raises PortError where the drive gives no INQUIRY data.
    """
    inquiry_data = _scsi_data(port, scsi.inquiry_cdb(), scsi.INQUIRY_BYTES)
    try:
        inquiry = scsi.Inquiry.parse(inquiry_data)
    except MalformedError as error:
        raise PortError(PortErrorKind.OTHER, f"the drive gave {error}") from error
    pages = {page: _vpd(port, page) for page in (0x80, 0x83, 0xB1)}
    serial, names = RawText(b""), scsi.Identifiers("", "")
    if pages[0x80]:
        serial = scsi.serial(pages[0x80])
    if pages[0x83]:
        names = scsi.identifiers(pages[0x83])
    media, media_source = MediaKind.UNKNOWN, ""
    try:
        rotation = scsi.rotation(pages[0xB1])
    except MalformedError:
        rotation = 0
    if rotation:
        media = media_of_rotation(rotation, hybrid=False)
        media_source = f"VPD page B1h, rotation rate {rotation:04X}h"
    raw = inquiry_data + b"".join(pages[page] for page in (0x80, 0x83))
    return Answer(
        identity=DriveIdentity(
            vendor=inquiry.vendor,
            model=inquiry.product,
            serial=serial,
            wwn=names.naa,
            eui64=names.eui64,
            nguid="",
            identify_sha256=hashlib.sha256(raw).hexdigest(),
            identify_source="INQUIRY, VPD pages 80h and 83h",
        ),
        firmware=inquiry.revision,
        media=media,
        media_source=media_source,
        units=scsi_units(port, unit_id),
        hidden_areas=(
            HiddenArea("HPA, DCO", HiddenState.NOT_APPLICABLE, 0, "no such thing in SCSI"),
        ),
        health=Health(),
    )


def scsi_units(port: ScsiPort, unit_id: str) -> tuple[UnitAnswer, ...]:
    """One logical unit's size by READ CAPACITY(16); none where it does not tell."""
    try:
        data = _scsi_data(port, scsi.READ_CAPACITY_16, scsi.READ_CAPACITY_16_BYTES)
        sectors, sector_bytes = scsi.capacity(data)
    except MalformedError:
        return ()
    return (UnitAnswer(unit_id, sectors * sector_bytes, sector_bytes),)


def is_ata_behind(port: ScsiPort) -> bool:
    """Whether a translation layer answers for an ATA drive: vendor `ATA` (SAT-4 8.1)."""
    try:
        inquiry = scsi.Inquiry.parse(_scsi_data(port, scsi.inquiry_cdb(), scsi.INQUIRY_BYTES))
    except MalformedError:
        return False
    return inquiry.vendor.raw == b"ATA"


def _vpd(port: ScsiPort, page: int) -> bytes:
    """A whole VPD page, header included; empty where the drive does not have it."""
    data = _scsi_data(port, scsi.inquiry_cdb(page, scsi.VPD_MAX_BYTES), scsi.VPD_MAX_BYTES)
    try:
        return data[:4] + scsi.vpd(data, page)
    except MalformedError:
        return b""


def _scsi_data(port: ScsiPort, cdb: bytes, length: int) -> bytes:
    """Data-in of a command that ended GOOD, else nothing."""
    try:
        answer = port.scsi(cdb, data_in_bytes=length, data_out=b"", timeout_s=TIMEOUT_S)
    except PortError as error:
        _only_other(error)
        return b""
    return answer.data if answer.status == scsi.GOOD else b""


def ask_nvme(port: NvmePort, controllers_seen: int) -> Answer:
    """Identify Controller, every namespace of the subsystem, the health log.

    `controllers_seen` is how many controllers of the subsystem this host has. Raises PortError
    where the drive gives no Identify data.
    """
    try:
        controller = nvme.Controller.parse(_nvme_data(port, nvme.IDENTIFY_CONTROLLER))
        attached, hidden = _namespaces(port, controller)
    except MalformedError as error:
        raise PortError(PortErrorKind.OTHER, f"the drive gave {error}") from error
    first = attached[min(attached)] if attached else nvme.Namespace(0, 512, "", "")
    return Answer(
        identity=DriveIdentity(
            vendor=RawText(b""),
            model=controller.model,
            serial=controller.serial,
            wwn="",
            eui64=first.eui64,
            nguid=first.nguid,
            identify_sha256=hashlib.sha256(controller.raw).hexdigest(),
            identify_source="NVMe Identify Controller",
        ),
        firmware=controller.firmware,
        media=MediaKind.UNKNOWN,
        media_source="",
        units=tuple(
            UnitAnswer(f"nsid:{nsid}", told.size_bytes, told.logical_sector_bytes)
            for nsid, told in attached.items()
        ),
        hidden_areas=(*hidden, _unallocated(controller)),
        health=_nvme_health(port),
        shared=_shared(port, controller, controllers_seen),
    )


def _namespaces(
    port: NvmePort, controller: nvme.Controller
) -> tuple[dict[int, nvme.Namespace], list[HiddenArea]]:
    """Every namespace that exists, attached or not; those that do not tell count as hidden."""
    active = nvme.namespace_list(_nvme_data(port, nvme.ACTIVE_NAMESPACES))
    nsids = list(active)
    if controller.has_namespace_management:
        nsids += nvme.namespace_list(_nvme_data(port, nvme.ALLOCATED_NAMESPACES))
    nsids = sorted(set(nsids))
    found: dict[int, nvme.Namespace] = {}
    hidden = []
    for nsid in nsids[:NAMESPACES_MAX]:
        command = nvme.identify_namespace(nsid, allocated=nsid not in active)
        try:
            found[nsid] = nvme.Namespace.parse(_nvme_data(port, command))
        except MalformedError as error:
            name = f"namespace nsid:{nsid}"
            hidden.append(HiddenArea(name, HiddenState.UNKNOWN, 0, f"Identify Namespace: {error}"))
    if len(nsids) > NAMESPACES_MAX:
        name = f"namespaces after the first {NAMESPACES_MAX}"
        source = f"the drive lists {len(nsids)}"
        hidden.append(HiddenArea(name, HiddenState.UNKNOWN, 0, source))
    return found, hidden


def _unallocated(controller: nvme.Controller) -> HiddenArea:
    """Capacity in no namespace. Without namespace management a host cannot have made any."""
    name = "unallocated NVM capacity"
    if not controller.has_namespace_management:
        source = "Identify Controller OACS bit 3 = 0, no namespace management"
        return HiddenArea(name, HiddenState.ABSENT, 0, source)
    if not controller.total_bytes:
        return HiddenArea(name, HiddenState.UNKNOWN, 0, "Identify Controller TNVMCAP = 0")
    unallocated = controller.unallocated_bytes
    state = HiddenState.PRESENT if unallocated else HiddenState.ABSENT
    return HiddenArea(name, state, unallocated, f"Identify Controller UNVMCAP = {unallocated}")


def _shared(port: NvmePort, controller: nvme.Controller, controllers_seen: int) -> str:
    """Evidence that controllers exist which this host does not see; what is not told is yes."""
    if not controller.has_several_controllers:
        return ""
    try:
        count = nvme.controller_count(_nvme_data(port, nvme.CONTROLLER_LIST))
    except MalformedError:
        return "CMIC bit 1 is set and the drive does not list its controllers"
    if count <= controllers_seen:
        return ""
    return f"the drive has {count} controllers, this host sees {controllers_seen}"


def _nvme_health(port: NvmePort) -> Health:
    try:
        log = nvme.HealthLog.parse(_nvme_data(port, nvme.HEALTH_LOG, nvme.HEALTH_BYTES))
    except MalformedError:
        return Health()
    return Health(
        media_errors=log.media_errors,
        percentage_used=log.percentage_used,
        temperature_celsius=log.temperature_celsius,
        power_on_hours=log.power_on_hours,
    )


def nvme_temperature(port: NvmePort) -> int | None:
    """Degrees Celsius by the health log; None where the drive does not tell."""
    return _nvme_health(port).temperature_celsius


def _nvme_data(port: NvmePort, command: NvmeCommand, length: int = nvme.IDENTIFY_BYTES) -> bytes:
    """Data of a command that succeeded, else nothing."""
    try:
        answer = port.admin(command, data_in_bytes=length, data_out=b"", timeout_s=TIMEOUT_S)
    except PortError as error:
        _only_other(error)
        return b""
    return answer.data if answer.status == 0 else b""
