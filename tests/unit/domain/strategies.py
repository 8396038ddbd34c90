"""Evidence for the tests of the domain: good jobs, changed ones, and arbitrary ones.

A good job is built from its shape, with stamps, extents and digests as an honest bench would have
them. `changes` alters any part of a value to something plausible and wrong, by its type hints, so
that a field added later is altered too.
"""

from __future__ import annotations

import dataclasses
import enum
import types
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Annotated, Any, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from nullbay.domain import sampling
from nullbay.domain.clock import ClockSync, Stamp
from nullbay.domain.drive import (
    Attachment,
    DriveIdentity,
    Health,
    HiddenArea,
    HiddenState,
    NodeAttachment,
    Observed,
    Unit,
)
from nullbay.domain.ids import BayId, JobId, PolicyId
from nullbay.domain.method import MediaKind, Method, Technique, Transport
from nullbay.domain.outcome import (
    Content,
    JobEnd,
    JobEvidence,
    Mismatch,
    OutcomeKind,
    ReadBack,
    SectorList,
    Session,
    SessionEnd,
    StepOutcome,
    VerificationResult,
)
from nullbay.domain.patterns import ZERO, Keyed, Pattern, Repeat
from nullbay.domain.plan import (
    DeallocateStep,
    OverwriteStep,
    PatternKeyOrigin,
    SanitizationPlan,
    Step,
    StepPurpose,
)
from nullbay.domain.policy import (
    Budgets,
    Confidence,
    Full,
    HealthLine,
    NistR1,
    VerificationProfile,
)
from nullbay.domain.ranges import ByteRange
from nullbay.domain.text import RawText

MIB = 1024 * 1024
BOOT_A, BOOT_B = "5a0d6d5e-boot-a", "77b1c9f2-boot-b"
SEED = bytes(range(32))

DISK = Unit("disk", MIB, 512, 4096, read_only=False)
DISK_4K = Unit("disk", 3 * MIB, 4096, 4096, read_only=False)
LUNS = (replace(DISK, unit_id="lun:0"), replace(DISK, unit_id="lun:1", size_bytes=2 * MIB))
SAMPLED = replace(DISK, size_bytes=130 * MIB)
"""Just large enough that `nist-r1-10pct` samples it."""


def stamp(seconds: int, boot: str = BOOT_A, sync: ClockSync = ClockSync.SYNCHRONISED) -> Stamp:
    """A moment `seconds` after the boot."""
    return Stamp(f"2026-11-21T10:{seconds // 60:02}:{seconds % 60:02}.000000Z", seconds, boot, sync)


def identity(serial: bytes = b"WD-WX11A1", wwn: str = "0x50014ee2b1c2d3e4") -> DriveIdentity:
    """Who the drive is."""
    model = RawText(b"WDC WD40EFRX-68N32N0")
    return DriveIdentity(RawText(b"ATA"), model, RawText(serial), wwn, "", "", "a" * 64, "ata")


def attachment(boot: str = BOOT_A, diskseq: int = 9) -> Attachment:
    """Where the drive is; another `diskseq` is another time it was plugged in."""
    node = NodeAttachment("disk", "sdb", "8:16", diskseq)
    return Attachment(boot, (node,), "/devices/pci0000:00/0000:00:17.0/ata2", BayId("A1"), "ahci")


HIDDEN = (
    HiddenArea("HPA", HiddenState.ABSENT, 0, "READ NATIVE MAX ADDRESS EXT"),
    HiddenArea("DCO", HiddenState.NOT_APPLICABLE, 0, "IDENTIFY word 83"),
)


FULL: VerificationProfile = Full()
SILENT = Health()
"""A drive that tells nothing of its health."""


class History(enum.Enum):
    """What happened to a job on its way."""

    STRAIGHT = "one session"
    STOPPED = "nullbay was stopped and started again; the drive stayed"
    CRASHED = "nullbay crashed in one boot; the drive stayed"
    PULLED = "pulled and put back"
    REBOOTED = "the station lost power"
    PULLED_AND_RESTARTED = "pulled, put back, started again from zero"
    PULLED_TWICE = "pulled and put back twice"


@dataclass(frozen=True)
class Shape:
    """What an honest job looked like."""

    units: tuple[Unit, ...] = (DISK,)
    passes: tuple[Pattern, ...] = (Keyed(),)
    final: Pattern | None = None
    deallocate: bool = False
    profile: VerificationProfile = FULL
    media: MediaKind = MediaKind.MAGNETIC
    serial: bytes = b"WD-WX11A1"
    serial_shared: bool = False
    history: History = History.STRAIGHT
    health: Health = SILENT
    simulated: bool = False


@cache
def planned_extents(profile: VerificationProfile, unit: Unit) -> tuple[int, str]:
    """Bytes and digest of what SEED prescribes."""
    ranges = sampling.extents(profile, unit.size_bytes, unit.logical_sector_bytes, SEED)
    return sum(one.length for one in ranges), sampling.extents_sha256(ranges)


def verified(
    profile: VerificationProfile,
    unit: Unit,
    drawn: Stamp,
    ended: Stamp,
    reads: str = "direct",
) -> VerificationResult:
    """A verification in which all was as it should be."""
    planned, digest = planned_extents(profile, unit)
    return VerificationResult(
        profile=profile,
        seed=b"" if profile == Full() else SEED,
        drawn=drawn,
        extents_sha256=digest,
        planned_bytes=planned,
        read_bytes=planned,
        reads=reads,
        mismatched=0,
        mismatches=(),
        unreadable=SectorList(),
        cured_by_rewriting=0,
        ended=ended,
    )


def steps_of(shape: Shape) -> tuple[Step, ...]:
    """As the planner makes them: passes by unit, then the final state; the last is verified."""
    made: list[Step] = []
    for unit in shape.units:
        for position, pattern in enumerate(shape.passes, 1):
            planned = shape.profile if position == len(shape.passes) else None
            number = len(made) + 1
            made.append(
                OverwriteStep(number, unit.unit_id, StepPurpose.METHOD, pattern, planned, 60)
            )
    for unit in shape.units:
        number, purpose = len(made) + 1, StepPurpose.FINAL_STATE
        if isinstance(shape.final, Keyed | Repeat):
            step = OverwriteStep(number, unit.unit_id, purpose, shape.final, shape.profile, 60)
            made.append(step)
        elif shape.deallocate:
            made.append(DeallocateStep(number, unit.unit_id, purpose, 60))
    return tuple(made)


def sessions_of(history: History, key: str) -> tuple[Session, ...]:
    """1,000 seconds each; a pull is another disk sequence number, a power cut another boot."""

    def one(start: int, end: SessionEnd, boot: str = BOOT_A, diskseq: int = 9) -> Session:
        here = attachment(boot, diskseq)
        cut = end in {SessionEnd.DRIVE_GONE, SessionEnd.CRASHED}
        return Session(
            attachment=here,
            started=stamp(start, boot),
            ended=stamp(start + 900, boot),
            identity_start=key,  # type: ignore[arg-type]
            identity_end=None if cut else key,  # type: ignore[arg-type]
            attachment_end=None if cut else here,
            end=end,
            resumed=False,
            restarted_from_zero=False,
            read_back=None,
        )

    def back(start: int, end: SessionEnd, boot: str = BOOT_A, diskseq: int = 9) -> Session:
        matched = ReadBack(64, 64, last_flushed_included=True)
        return replace(one(start, end, boot, diskseq), resumed=True, read_back=matched)

    end, gone = SessionEnd.FINISHED, SessionEnd.DRIVE_GONE
    match history:
        case History.STRAIGHT:
            return (one(1000, end),)
        case History.STOPPED:
            return (one(1000, SessionEnd.STOPPED), back(2000, end))
        case History.CRASHED:
            return (one(1000, SessionEnd.CRASHED), back(2000, end))
        case History.PULLED:
            return (one(1000, gone), back(2000, end, diskseq=10))
        case History.REBOOTED:
            return (one(1000, SessionEnd.CRASHED), back(100, end, BOOT_B, 4))
        case History.PULLED_AND_RESTARTED:
            again = back(2000, end, diskseq=10)
            return (one(1000, gone), replace(again, read_back=None, restarted_from_zero=True))
        case History.PULLED_TWICE:
            return (one(1000, gone), back(2000, gone, diskseq=10), back(3000, end, diskseq=11))


def job(shape: Shape = Shape()) -> JobEvidence:
    """The evidence of an honest, completed job."""
    who = identity(shape.serial, "0x50014ee2b1c2d3e4" if shape.serial else "")
    sessions = sessions_of(shape.history, who.key)
    boot, start = sessions[-1].started.boot_id, sessions[-1].started.boottime_us
    steps = steps_of(shape)
    units = {unit.unit_id: unit for unit in shape.units}
    reads = "simulated" if shape.simulated else "direct"
    outcomes = []
    for position, step in enumerate(steps):
        at = start + 10 + position * 20
        outcome = StepOutcome(
            step.number, OutcomeKind.SUCCEEDED, (), stamp(at, boot), stamp(at + 15, boot)
        )
        if isinstance(step, OverwriteStep):
            unit = units[step.unit_id]
            outcome = replace(
                outcome,
                flushed=(ByteRange(0, unit.size_bytes),),
                last_flush=stamp(at + 5, boot),
                verification=None
                if step.verification is None
                else verified(
                    step.verification, unit, stamp(at + 6, boot), stamp(at + 12, boot), reads
                ),
            )
        outcomes.append(outcome)
    observed = Observed(
        at=stamp(900),
        units=shape.units,
        firmware=RawText(b"82.00A82"),
        media=shape.media,
        media_source="IDENTIFY word 217",
        transport=Transport.SATA,
        hidden_areas=HIDDEN,
        health=shape.health,
        removable=False,
    )
    plan = SanitizationPlan(
        identity_key=who.key,
        units=shape.units,
        media=shape.media,
        transport=Transport.SATA,
        hidden_areas=HIDDEN,
        policy_id=PolicyId("nist-clear/1"),
        policy_sha256="b" * 64,
        scheme_id="one-keyed-pass/1",
        required_method=Method.CLEAR,
        technique=Technique.HOST_OVERWRITE,
        steps=steps,
        not_chosen=(),
        budgets=Budgets(),
        health=HealthLine(),
        limitations=("limit.spare-areas",),
        excluded_areas=(),
        two_person_approval=False,
        simulated=shape.simulated,
    )
    return JobEvidence(
        job_id=JobId("j-20261121T101500-0123456789ab"),
        identity=who,
        serial_shared=shape.serial_shared,
        plan=plan,
        observed_start=observed,
        observed_end=replace(observed, at=stamp(start + 800, boot)),
        sessions=sessions,
        outcomes=tuple(outcomes),
        end=JobEnd.COMPLETED,
        pattern_key=PatternKeyOrigin("station", "c" * 64, in_evidence=True),
        exchanges=12,
        exchanges_sha256="d" * 64,
    )


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    """Every kind of honest job whose verdict is SANITIZED."""
    history = draw(st.sampled_from(History))
    sampled = draw(st.booleans()) and history is History.STRAIGHT
    profile = draw(st.sampled_from(SAMPLES)) if sampled else FULL
    final = draw(st.sampled_from([None, ZERO]))
    return Shape(
        units=(SAMPLED,) if sampled else draw(st.sampled_from([(DISK,), (DISK_4K,), LUNS])),
        passes=draw(st.sampled_from(SCHEMES)),
        final=final,
        deallocate=final is None and draw(st.booleans()),
        profile=profile,
        media=draw(st.sampled_from([MediaKind.MAGNETIC, MediaKind.FLASH, MediaKind.VIRTUAL])),
        history=history,
        health=draw(st.sampled_from([Health(), Health(0, 0, 0, 3, 30, 900)])),
        simulated=draw(st.booleans()),
    )


SAMPLES: tuple[VerificationProfile, ...] = (NistR1(), Confidence(990_000, 100_000))
SCHEMES: tuple[tuple[Pattern, ...], ...] = (
    (Keyed(),),
    (ZERO,),
    (ZERO, Repeat(b"\xff"), Keyed()),
    (Keyed(), Keyed()),
    (Repeat(b"\x92\x49\x24"),),
)


# --- changing any part of a value --------------------------------------------------------------

T = TypeVar("T")
Place: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True)
class Spot:
    """One place in a tree of values: where, its type hint, what is there."""

    path: Place
    hint: Any
    value: Any

    @property
    def name(self) -> str:
        """The path without positions: `outcomes[].verification.seed`."""
        return "".join("[]" if isinstance(part, int) else f".{part}" for part in self.path)[1:]


def spots(value: Any, hint: Any, path: Place = ()) -> Iterator[Spot]:
    """Every place below a value, itself included."""
    if path:
        yield Spot(path, hint, value)
    if dataclasses.is_dataclass(value):
        hints = get_type_hints(type(value), include_extras=True)
        for field in dataclasses.fields(value):
            yield from spots(getattr(value, field.name), hints[field.name], (*path, field.name))
    elif isinstance(value, tuple):
        item_hint = next(iter(get_args(hint)), None)
        for position, item in enumerate(value):
            yield from spots(item, item_hint, (*path, position))


def put(tree: T, path: Place, value: Any) -> T:
    """The tree with that place changed. Raises ValueError where a class refuses the value."""
    head, *rest = path
    if isinstance(head, int):
        assert isinstance(tree, tuple)
        inner = put(tree[head], tuple(rest), value) if rest else value
        return (*tree[:head], inner, *tree[head + 1 :])  # type: ignore[return-value]
    inner = put(getattr(tree, head), tuple(rest), value) if rest else value
    return replace(tree, **{head: inner})  # type: ignore[type-var]


OTHER_VALUES: dict[type, tuple[Any, ...]] = {
    Stamp: (stamp(0), stamp(950), stamp(5000), stamp(150, BOOT_B), stamp(1020, "boot-elsewhere")),
    Unit: (replace(DISK, size_bytes=0), replace(DISK, unit_id="lun:7"), DISK),
    RawText: (RawText(b""), RawText(b"  "), RawText(b"OTHER")),
    Attachment: (attachment(), attachment(diskseq=77), attachment(BOOT_B), attachment("", 0)),
    HiddenArea: (
        HiddenArea("HPA", HiddenState.PRESENT, 512, "x"),
        HiddenArea("AMAX", HiddenState.ABSENT, 0, "x"),
    ),
    ReadBack: (
        ReadBack(64, 64, last_flushed_included=True),
        ReadBack(64, 63, last_flushed_included=True),
        ReadBack(0, 0, last_flushed_included=False),
    ),
    SectorList: (SectorList(), SectorList(3, (1, 2, 9)), SectorList(0, (5,))),
    Health: (Health(), Health(4, 1, 2, 120, 70, 9), Health(reallocated_sectors=0)),
    ByteRange: (ByteRange(0, 512), ByteRange(512, MIB), ByteRange(0, 2**60)),
    Mismatch: (Mismatch(8, 3, Content.TEXT, "e" * 64),),
    Full: (Full(),),
    NistR1: (NistR1(),),
    Confidence: (Confidence(990_000, 1_000), Confidence(500_000, 999_999)),
    Keyed: (Keyed(),),
    Repeat: (ZERO, Repeat(b"\xff")),
    PatternKeyOrigin: (PatternKeyOrigin("centre", "", in_evidence=False),),
    VerificationResult: (
        verified(Full(), DISK, stamp(1016), stamp(1022)),
        verified(Full(), DISK, stamp(5), stamp(6)),
        replace(verified(Full(), DISK, stamp(1016), stamp(1022)), read_bytes=0),
    ),
    OverwriteStep: (
        OverwriteStep(1, "disk", StepPurpose.METHOD, Keyed(), None, 1),
        OverwriteStep(9, "disk", StepPurpose.FINAL_STATE, ZERO, Full(), 1),
    ),
    DeallocateStep: (DeallocateStep(1, "disk", StepPurpose.METHOD, 1),),
    StepOutcome: (
        StepOutcome(1, OutcomeKind.SUCCEEDED, (), stamp(1010), stamp(1025)),
        StepOutcome(9, OutcomeKind.FAILED, ("drive.error",), stamp(1010), stamp(1025)),
    ),
    Session: sessions_of(History.PULLED, identity().key),
}
TEXTS = (
    "",
    "disk",
    "lun:1",
    BOOT_A,
    BOOT_B,
    "unknown",
    "direct",
    "buffered",
    "simulated",
    "f" * 64,
)
INTEGERS = (0, 1, -1, 2, 64, 511, 512, MIB, 2**63, 2**64, 10**20)


def variants(hint: Any, value: Any) -> list[Any]:
    """Other values for a place of that type."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return variants(args[0], value)
    if origin in (Union, types.UnionType):
        return [other for arg in args for other in variants(arg, value)]
    if hint is types.NoneType:
        return [None]
    if isinstance(value, tuple):
        dropped = [value[:n] + value[n + 1 :] for n in range(len(value))]
        added = [(*value, other) for other in variants(args[0], None)] if args else []
        return [(), value[::-1], *dropped, *(value + value[:1],), *added]
    if hasattr(hint, "__supertype__"):
        return variants(hint.__supertype__, value)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return list(hint)
    if hint is bool:
        return [True, False]
    if hint is int:
        near = [value + 1, value - 1, value // 2, value * 2] if isinstance(value, int) else []
        return [*near, *INTEGERS]
    if hint is str:
        return list(TEXTS)
    if hint is bytes:
        return [b"", b"\x00" * 32, b"   ", b"X"]
    return list(OTHER_VALUES.get(hint, ()))


@st.composite
def changed(draw: st.DrawFn, evidence: JobEvidence, most: int = 3) -> JobEvidence:
    """The evidence with up to `most` places changed to something else, contradictory or not."""
    for _ in range(draw(st.integers(1, most))):
        spot = _pick(draw, Spot((), JobEvidence, evidence))
        if others := variants(spot.hint, spot.value):
            try:
                evidence = put(evidence, spot.path, draw(st.sampled_from(others)))
            except ValueError:
                continue
    return evidence


def _pick(draw: st.DrawFn, spot: Spot) -> Spot:
    """A place: down from field to field, stopping anywhere."""
    while True:
        below = _children(spot)
        if not below or (spot.path and draw(st.integers(0, 3)) == 0):
            return spot
        spot = draw(st.sampled_from(below))


def _children(spot: Spot) -> list[Spot]:
    if dataclasses.is_dataclass(spot.value):
        return [
            Spot((*spot.path, name), hint, getattr(spot.value, name))
            for name, hint in _relevant(spot.value.__class__)
        ]
    if isinstance(spot.value, tuple):
        hint = next(iter(get_args(spot.hint)), None)
        return [Spot((*spot.path, n), hint, item) for n, item in enumerate(spot.value)]
    return []


@cache
def _relevant(kind: type) -> list[tuple[str, Any]]:
    """Fields with their hints, without those that only carry words: a waste of examples."""
    words = {"schema", "estimate_s", "source", "media_source", "policy_sha256", "firmware"}
    hints = get_type_hints(kind, include_extras=True)
    names = {field.name for field in dataclasses.fields(kind)} - words
    return [(name, hint) for name, hint in sorted(hints.items()) if name in names]


def evidences() -> st.SearchStrategy[JobEvidence]:
    """Arbitrary evidence, near enough to honest evidence to be believed."""
    return shapes().flatmap(lambda shape: changed(job(shape)))
