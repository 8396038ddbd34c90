"""Who a drive is and how it is: what it answered itself, held against what the kernel recorded.

Pure. The kernel reads names when it finds a drive and keeps them; after a swap in the same slot it
can show the old serial (reference/lab.md 7). Only the drive's own answer counts, and where the two
name different drives nothing is done.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from nullbay.domain.drive import (
    Capability,
    Drive,
    DriveIdentity,
    Health,
    HiddenArea,
    HiddenState,
    Observed,
    Unit,
)
from nullbay.domain.method import MediaKind, Transport
from nullbay.domain.plan import Refusal
from nullbay.domain.ports import PortError, PortErrorKind
from nullbay.domain.reasons import CATALOGUE
from nullbay.domain.text import RawText, show

SHARED_CONTROLLER = "shared-controller"
"""Name among a drive's capabilities: its NVM subsystem has controllers this host does not see."""

ROTATION_MIN, ROTATION_MAX = 0x0401, 0xFFFE


def media_of_rotation(rotation: int, *, hybrid: bool) -> MediaKind:
    """IDENTIFY word 217, or the rotation rate of VPD page B1h: 1 is flash, a rate is magnetic.

    0 (not reported) and the reserved values say nothing: UNKNOWN.
    """
    if rotation == 1:
        return MediaKind.FLASH
    if ROTATION_MIN <= rotation <= ROTATION_MAX:
        return MediaKind.HYBRID if hybrid else MediaKind.MAGNETIC
    return MediaKind.UNKNOWN


@dataclass(frozen=True, slots=True)
class UnitAnswer:
    """A unit as the drive itself tells it: size in bytes, logical sector size."""

    unit_id: str
    size_bytes: int
    logical_sector_bytes: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What a drive answered on its open descriptors.

    `units` are all that exist, with or without a node. `media_source` is empty where the drive did
    not say what it is made of. `shared` is the evidence that other controllers reach it, or empty.
    `bridged` is true where something between answers INQUIRY in its own name (USB).
    """

    identity: DriveIdentity
    firmware: RawText
    media: MediaKind
    media_source: str
    units: tuple[UnitAnswer, ...]
    hidden_areas: tuple[HiddenArea, ...]
    health: Health
    shared: str = ""
    bridged: bool = False


class IdentityError(PortError):
    """The drive did not confirm that it is who the kernel says. `refusal` has the coded reason."""

    def __init__(self, refusal: Refusal) -> None:
        """Carry the refusal; the code of the error is the code of the refusal."""
        super().__init__(PortErrorKind.OTHER, f"{CATALOGUE[refusal.code].text}: {refusal.evidence}")
        self.code = refusal.code
        self.next_step = CATALOGUE[refusal.code].next_step
        self.refusal = refusal


def combine(listed: Drive, answer: Answer | None) -> Drive:
    """The drive as it answered, at the place where the kernel has it.

    `answer` None: nothing could be asked. That is in order for a loop device, which is a kernel
    device and no more, and for MMC, which the kernel reads anew at each insertion; anything else
    stays unidentified.

    Raises IdentityError identity.drive-silent, or identity.disagrees where serial, model,
    world-wide name or size contradict the kernel's records.
    """
    if answer is None:
        if listed.observed.transport in {Transport.LOOP, Transport.MMC}:
            return listed
        evidence = f"no answer from the drive behind {listed.observed.transport}"
        raise IdentityError(Refusal("identity.drive-silent", evidence))
    if not answer.bridged and (differences := _disagreements(listed.identity, answer.identity)):
        raise IdentityError(Refusal("identity.disagrees", "; ".join(differences)))
    observed = replace(
        listed.observed,
        firmware=answer.firmware,
        hidden_areas=(*_tails(listed.observed), *answer.hidden_areas, *_capacity(listed, answer)),
        health=answer.health,
    )
    if answer.media_source:
        observed = replace(observed, media=answer.media, media_source=answer.media_source)
    shared = (
        (Capability(SHARED_CONTROLLER, available=True, source=answer.shared),)
        if answer.shared
        else ()
    )
    return replace(
        listed,
        identity=answer.identity,
        observed=observed,
        capabilities=(*listed.capabilities, *shared),
    )


def _disagreements(kernel: DriveIdentity, drive: DriveIdentity) -> list[str]:
    """What contradicts. What the kernel did not record contradicts nothing.

    Models: SCSI has room for 16 of an ATA model's 40 characters, so a beginning agrees.
    """
    found = []
    if kernel.serial and kernel.serial.raw != drive.serial.raw:
        found.append(_differ("serial", drive.serial.raw, kernel.serial.raw))
    if kernel.model and not drive.model.raw.startswith(kernel.model.raw):
        found.append(_differ("model", drive.model.raw, kernel.model.raw))
    for name in ("wwn", "eui64", "nguid"):
        recorded, told = getattr(kernel, name), getattr(drive, name)
        if recorded and told and recorded != told:
            found.append(_differ(name, told, recorded))
    return found


def _differ(what: str, told: bytes | str, recorded: bytes | str) -> str:
    return f"{what}: the drive says {_quoted(told)}, the kernel recorded {_quoted(recorded)}"


def _quoted(text: bytes | str) -> str:
    return f"'{show(text)}'" if text else "nothing"


def _tails(observed: Observed) -> list[HiddenArea]:
    """What the listing found by arithmetic stays; what it did not ask is answered now."""
    return [area for area in observed.hidden_areas if area.state is HiddenState.PRESENT]


def _capacity(listed: Drive, answer: Answer) -> list[HiddenArea]:
    """Sizes by drive and by kernel: less than the drive has is hidden, more is another drive."""
    units = {unit.unit_id: unit for unit in listed.observed.units}
    areas = []
    for told in answer.units:
        unit = units.get(told.unit_id)
        if unit is None:
            name = f"unattached namespace {told.unit_id}"
            source = "the drive lists it, the kernel has no node for it"
            areas.append(HiddenArea(name, HiddenState.PRESENT, told.size_bytes, source))
            continue
        areas.append(_unit_capacity(unit, told, bridged=answer.bridged))
    return areas


def _unit_capacity(unit: Unit, told: UnitAnswer, *, bridged: bool) -> HiddenArea:
    """A bridge may translate sector sizes; it cannot add bytes."""
    source = f"the drive says {told.size_bytes} bytes, the kernel {unit.size_bytes}"
    missing = told.size_bytes - unit.size_bytes
    translated = told.logical_sector_bytes != unit.logical_sector_bytes and not bridged
    if missing < 0 or translated:
        evidence = f"{unit.unit_id}: {source}; sectors of {told.logical_sector_bytes}"
        evidence += f" and {unit.logical_sector_bytes} bytes"
        raise IdentityError(Refusal("identity.disagrees", evidence))
    state = HiddenState.PRESENT if missing else HiddenState.ABSENT
    name = f"capacity of {unit.unit_id} the kernel does not show"
    return HiddenArea(name, state, missing, source)
