"""The wrong-disk questions: may this drive be touched at all?

Pure. Only questions about the wrong disk stand here; sizes, hidden areas and write protection are
the planner's. Each answer carries its evidence, and what could not be determined counts as a "no"
(architecture.md section 5, bench.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nullbay.domain.drive import Drive
from nullbay.domain.ids import BayId
from nullbay.domain.method import Transport
from nullbay.domain.plan import Refusal
from nullbay.domain.ports import HostAnswer, UseKind
from nullbay.domain.text import show
from nullbay.wipers.identify import SHARED_CONTROLLER

EVIDENCE_MAX_CHARACTERS = 400
LISTED_MAX = 4


@dataclass(frozen=True, slots=True)
class Pin:
    """One of the station's own disks, by what its identity shows; empty parts are not known."""

    wwn: str
    serial: str
    model: str


@dataclass(frozen=True, slots=True)
class GuardQuestion:
    """All a guard's answer rests on. `outside_bays`: root said so in as many words."""

    drive: Drive
    host: HostAnswer
    root_drive: Drive | None
    pins: tuple[Pin, ...]
    bay: BayId | None
    outside_bays: bool


_CODES = {
    UseKind.SYSTEM: "guard.system-drive",
    UseKind.MOUNT: "guard.mounted",
    UseKind.SWAP: "guard.swap",
    UseKind.HOLDER: "guard.held",
    UseKind.OPEN: "guard.open-elsewhere",
}


def refusals(question: GuardQuestion) -> tuple[Refusal, ...]:
    """Every reason not to touch the drive, each code once; none: it may go on."""
    return tuple(
        Refusal(code, _safe("; ".join(evidence)))
        for code, evidence in _by_code(_findings(question))
    )


def _safe(evidence: str) -> str:
    """Evidence comes shown already, with backslashes for what was escaped; those stay single."""
    shown = show(evidence, 12 * len(evidence) + 1)
    if shown != evidence.replace("\\", "\\\\"):
        return show(evidence, EVIDENCE_MAX_CHARACTERS)
    cut = len(evidence) > EVIDENCE_MAX_CHARACTERS
    return evidence[: EVIDENCE_MAX_CHARACTERS - 1] + "…" if cut else evidence


def _by_code(findings: Iterable[tuple[str, str]]) -> Iterator[tuple[str, list[str]]]:
    """Findings of one code together, in the order of their first one, the first few in words."""
    found: dict[str, list[str]] = {}
    for code, evidence in findings:
        told = found.setdefault(code, [])
        if evidence not in told:
            told.append(evidence)
    for code, told in found.items():
        more = len(told) - LISTED_MAX
        yield code, [*told[:LISTED_MAX], *([f"and {more} more"] if more > 0 else [])]


def _findings(question: GuardQuestion) -> Iterator[tuple[str, str]]:
    yield from _kind(question)
    yield from _system(question)
    yield from _pinned(question)
    for use in question.host.uses:
        if use.kind is not UseKind.SYSTEM:
            yield _CODES[use.kind], f"{use.node}: {use.evidence}"
    for capability in question.drive.capabilities:
        if capability.technique == SHARED_CONTROLLER and capability.available:
            yield "guard.shared-controller", capability.source
    for what in question.host.undetermined:
        yield "guard.undetermined", what
    if question.bay is None and not question.outside_bays:
        yield "guard.outside-bays", f"no bay matches {question.drive.attachment.device_path}"


def _kind(question: GuardQuestion) -> Iterator[tuple[str, str]]:
    """Disks that are nobody's to hand over. A bay that names a fabric path literally admits it."""
    transport = question.drive.observed.transport
    names = ", ".join(node.name for node in question.drive.attachment.nodes)
    if transport is Transport.VIRTIO:
        yield "guard.not-a-whole-drive", f"{names} is a virtio disk, made by a hypervisor"
    elif transport is Transport.FABRICS and question.bay is None:
        yield "guard.not-a-whole-drive", f"{names} is reached over a network"


def _system(question: GuardQuestion) -> Iterator[tuple[str, str]]:
    for use in question.host.uses:
        if use.kind is UseKind.SYSTEM:
            yield _CODES[use.kind], f"{use.node}: {use.evidence}"
    root = question.root_drive
    if root is None:
        return
    ours = {node.name for node in question.drive.attachment.nodes}
    shared = sorted(ours & {node.name for node in root.attachment.nodes})
    same_boot = root.attachment.boot_id == question.drive.attachment.boot_id
    if shared and same_boot:
        yield "guard.system-drive", f"{shared[0]} carries the root file system"
    elif root.identity.is_strong and root.identity.key == question.drive.identity.key:
        yield "guard.system-drive", "same serial and names as the drive under the root file system"


def _pinned(question: GuardQuestion) -> Iterator[tuple[str, str]]:
    for pin in question.pins:
        if match := pin_match(pin, question.drive):
            yield "guard.pinned", match
    yield from _root(question.pins, question.root_drive)


def _root(pins: tuple[Pin, ...], root: Drive | None) -> Iterator[tuple[str, str]]:
    if not pins:
        return
    if root is None:
        yield "guard.undetermined", "it could not be determined which drive the station runs from"
    elif not any(pin_match(pin, root) for pin in pins):
        serial = root.identity.serial.shown or "without a serial"
        names = ", ".join(node.name for node in root.attachment.nodes)
        yield "guard.root-not-pinned", f"the root file system is on {names}, serial {serial}"


def whole_station(pins: tuple[Pin, ...], root: Drive | None) -> tuple[Refusal, ...]:
    """Why every drive of this station is refused, whatever it is; empty where none is for that."""
    return tuple(Refusal(code, show(evidence)) for code, evidence in _root(pins, root))


def pin_match(pin: Pin, drive: Drive) -> str:
    """By what a pin is this drive; empty where it is not.

    Equal world-wide names suffice. Equal serials suffice unless both name and model tell the two
    apart, as with makers who give every drive one serial. A pin with nothing but a model means
    every drive of that model which does not say more.
    """
    identity = drive.identity
    names = {_name(name) for name in (identity.wwn, identity.eui64, identity.nguid)} - {""}
    if pin.wwn and _name(pin.wwn) in names:
        return f"world-wide name {pin.wwn} is pinned"
    if pin.serial:
        other_name = bool(pin.wwn and names)
        other_model = bool(pin.model and identity.model and pin.model != identity.model.shown)
        same = pin.serial == identity.serial.shown and not (other_name and other_model)
        return f"serial {pin.serial} is pinned" if same else ""
    if pin.wwn or not pin.model or identity.is_strong or pin.model != identity.model.shown:
        return ""
    return f"model {pin.model} is pinned"


def _name(name: str) -> str:
    """A world-wide name as people and tools write it: without prefixes, colons and case."""
    plain = name.strip().lower()
    for prefix in ("0x", "naa.", "eui.", "uuid."):
        plain = plain.removeprefix(prefix)
    return "".join(character for character in plain if character.isalnum())
