"""Evidence that leads to one finding and to nothing else, for every finding there is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from unit.domain.strategies import (
    BOOT_B,
    DISK,
    HIDDEN,
    LUNS,
    MIB,
    SAMPLED,
    History,
    Place,
    Shape,
    attachment,
    identity,
    job,
    put,
    stamp,
    verified,
)

from nullbay.domain.clock import ClockSync
from nullbay.domain.drive import Health, HiddenArea, HiddenState, Unit
from nullbay.domain.method import MediaKind, Method, Technique
from nullbay.domain.outcome import (
    Content,
    JobEnd,
    JobEvidence,
    Mismatch,
    OutcomeKind,
    ReadBack,
    SectorList,
    SessionEnd,
    StepOutcome,
)
from nullbay.domain.patterns import ZERO, Keyed
from nullbay.domain.plan import DeallocateStep, OverwriteStep, StepPurpose
from nullbay.domain.policy import Confidence, Full, HealthLine, NistR1
from nullbay.domain.ranges import ByteRange
from nullbay.domain.verdict import Effect


@dataclass(frozen=True)
class Case:
    """Evidence and all that is found in it: code to effect."""

    name: str
    evidence: JobEvidence
    found: dict[str, Effect]


EXCEPTION, UNKNOWN, DEFINITE = Effect.EXCEPTION, Effect.UNKNOWN, Effect.DEFINITE
CONTRADICTORY = {"evidence.contradictory": UNKNOWN}

PLAIN = job()
TWO_PASSES = job(Shape(passes=(ZERO, Keyed())))
TWO_UNITS = job(Shape(units=LUNS))
DEALLOCATED = job(Shape(deallocate=True))
ZEROED = job(Shape(final=ZERO))
SAMPLES = job(Shape(units=(SAMPLED,), profile=NistR1()))
STOPPED = job(Shape(history=History.STOPPED))
PULLED = job(Shape(history=History.PULLED))
REBOOTED = job(Shape(history=History.REBOOTED))
RESTARTED = job(Shape(history=History.PULLED_AND_RESTARTED))
NAMELESS = job(Shape(serial=b""))
NO_NAME = {"exception.serial-missing": EXCEPTION}


def but(evidence: JobEvidence, *changes: tuple[Place, Any]) -> JobEvidence:
    """The evidence with these places changed."""
    for path, value in changes:
        evidence = put(evidence, path, value)
    return evidence


def health(before: Health, after: Health, line: HealthLine = HealthLine()) -> JobEvidence:  # noqa: B008
    return but(
        PLAIN,
        (("observed_start", "health"), before),
        (("observed_end", "health"), after),
        (("plan", "health"), line),
    )


def everywhere(units: tuple[Unit, ...]) -> JobEvidence:
    """A drive of those units, planned and seen."""
    holders = ("plan", "observed_start", "observed_end")
    return but(PLAIN, *(((holder, "units"), units) for holder in holders))


def hidden(*areas: HiddenArea) -> JobEvidence:
    holders = ("plan", "observed_start", "observed_end")
    return but(PLAIN, *(((holder, "hidden_areas"), areas) for holder in holders))


def area(state: HiddenState, hidden_bytes: int = 0) -> HiddenArea:
    return replace(HIDDEN[0], state=state, hidden_bytes=hidden_bytes)


def at(holder: Place, boottime: int, boot: str | None = None) -> list[tuple[Place, Any]]:
    """Move a stamp."""
    moves: list[tuple[Place, Any]] = [((*holder, "boottime_us"), boottime)]
    return moves if boot is None else [*moves, ((*holder, "boot_id"), boot)]


def shared(history: History, **changes: Any) -> JobEvidence:
    return replace(job(Shape(history=history, serial_shared=True)), **changes)


RESULT: Place = ("outcomes", 0, "verification")
OVERWRITE = PLAIN.plan.steps[0]
assert isinstance(OVERWRITE, OverwriteStep)
METHOD_DEALLOCATION = DeallocateStep(1, "disk", StepPurpose.METHOD, 60)
CLEARED = but(PLAIN, (("outcomes", 0, "flushed"), ()), (("outcomes", 0, "last_flush"), None))
ABSENT = replace(PLAIN, end=JobEnd.ABSENT_PAST_DEADLINE)
AWAY = {"job.absent-past-deadline": UNKNOWN}
SHARED = {"exception.serial-duplicate": EXCEPTION}
ZEROS_AWAY = job(Shape(history=History.PULLED, passes=(ZERO,)))
SESSION_OVERLAP = but(STOPPED, *at(("sessions", 0, "ended"), 2001))


CASES = (
    # How the job ended
    Case("aborted", replace(PLAIN, end=JobEnd.ABORTED), {"job.aborted": DEFINITE}),
    Case(
        "stopped on errors",
        replace(PLAIN, end=JobEnd.STOPPED_ON_ERRORS),
        {"job.stopped-on-errors": DEFINITE},
    ),
    Case("deadline", replace(PLAIN, end=JobEnd.DEADLINE), {"job.deadline": UNKNOWN}),
    Case("absent", ABSENT, AWAY),
    Case("crashed", replace(PLAIN, end=JobEnd.CRASHED), {"job.crashed": UNKNOWN}),
    Case(
        "completed, they say",
        but(PLAIN, (("sessions", 0, "end"), SessionEnd.STOPPED)),
        CONTRADICTORY,
    ),
    # Method and technique
    Case(
        "purge by overwrite",
        but(PLAIN, (("plan", "required_method"), Method.PURGE)),
        {"method.not-reached": DEFINITE},
    ),
    Case(
        "a technique without a rule",
        but(PLAIN, (("plan", "technique"), Technique.ATA_SANITIZE_BLOCK)),
        {"technique.no-evidence-rule": UNKNOWN},
    ),
    Case(
        "no step for the method",
        but(ZEROED, (("plan", "steps", 0, "purpose"), StepPurpose.FINAL_STATE)),
        {"plan.empty": DEFINITE, "unit.not-covered": DEFINITE},
    ),
    Case(
        "deallocating as a method",
        but(TWO_PASSES, (("plan", "steps", 0), METHOD_DEALLOCATION)),
        CONTRADICTORY,
    ),
    Case(
        "nothing but deallocating",
        but(PLAIN, (("plan", "steps", 0), METHOD_DEALLOCATION)),
        CONTRADICTORY | {"unit.not-covered": DEFINITE},
    ),
    Case(
        "planned for another medium",
        but(PLAIN, (("observed_start", "media"), MediaKind.FLASH)),
        CONTRADICTORY,
    ),
    Case(
        "another medium afterwards",
        but(PLAIN, (("observed_end", "media"), MediaKind.FLASH)),
        CONTRADICTORY,
    ),
    # Identity and attachment
    Case(
        "evidence of another drive",
        replace(PLAIN, identity=identity(b"OTHER")),
        {"identity.mixed": DEFINITE},
    ),
    Case(
        "a session with another drive",
        but(PULLED, (("sessions", 0, "identity_start"), "f" * 64)),
        {"identity.mixed": DEFINITE},
    ),
    Case(
        "another drive at the end",
        but(PLAIN, (("sessions", 0, "identity_end"), "f" * 64)),
        {"identity.mixed": DEFINITE},
    ),
    Case(
        "not asked at the end",
        but(PLAIN, (("sessions", 0, "identity_end"), None)),
        {"identity.not-confirmed": UNKNOWN},
    ),
    Case(
        "no session",
        replace(PLAIN, sessions=()),
        CONTRADICTORY | {"identity.not-confirmed": UNKNOWN, "verification.too-early": UNKNOWN},
    ),
    Case(
        "replugged unnoticed",
        but(PLAIN, (("sessions", 0, "attachment_end"), attachment(diskseq=10))),
        {"attachment.changed": UNKNOWN},
    ),
    Case(
        "replugged unnoticed, then stopped",
        but(STOPPED, (("sessions", 0, "attachment_end"), attachment(diskseq=10))),
        {"attachment.changed": UNKNOWN},
    ),
    Case(
        "attachment unknown at the end",
        but(PLAIN, (("sessions", 0, "attachment_end"), None)),
        {"attachment.changed": UNKNOWN},
    ),
    # Order of the record
    Case(
        "not observed afterwards",
        replace(PLAIN, observed_end=None),
        {"drive.not-observed-afterwards": UNKNOWN},
    ),
    Case(
        "observed before the last flush",
        but(TWO_UNITS, *at(("observed_end", "at"), 1034)),
        {"drive.not-observed-afterwards": UNKNOWN},
    ),
    Case(
        "observed before verification ended",
        but(PLAIN, *at(("observed_end", "at"), 1021)),
        {"drive.not-observed-afterwards": UNKNOWN},
    ),
    Case(
        "observed before a flush that nothing verified",
        but(
            TWO_PASSES,
            *at(("outcomes", 0, "started"), 1801),
            *at(("outcomes", 0, "ended"), 1850),
            *at(("outcomes", 0, "last_flush"), 1840),
            (("plan", "steps", 0, "unit_id"), "disk"),
        ),
        CONTRADICTORY | {"drive.not-observed-afterwards": UNKNOWN},
    ),
    Case(
        "observed after the session",
        but(PLAIN, *at(("observed_end", "at"), 1901)),
        {"drive.not-observed-afterwards": UNKNOWN},
    ),
    Case(
        "observed in no boot of the job",
        but(PLAIN, *at(("observed_end", "at"), 1800, BOOT_B)),
        {"drive.not-observed-afterwards": UNKNOWN},
    ),
    Case(
        "first observed when the work had begun",
        but(PLAIN, *at(("observed_start", "at"), 1011)),
        CONTRADICTORY,
    ),
    Case("first session resumed", but(PLAIN, (("sessions", 0, "resumed"), True)), CONTRADICTORY),
    Case(
        "first session started again",
        but(PLAIN, (("sessions", 0, "restarted_from_zero"), True)),
        CONTRADICTORY,
    ),
    Case(
        "first session read back",
        but(PLAIN, (("sessions", 0, "read_back"), ReadBack(1, 1, last_flushed_included=True))),
        CONTRADICTORY,
    ),
    Case(
        "went on after the end",
        but(STOPPED, (("sessions", 0, "end"), SessionEnd.FINISHED)),
        CONTRADICTORY,
    ),
    Case(
        "went on after an abort",
        but(STOPPED, (("sessions", 0, "end"), SessionEnd.ABORTED)),
        CONTRADICTORY,
    ),
    Case("sessions overlap", SESSION_OVERLAP, CONTRADICTORY),
    Case(
        "session ends before it begins",
        but(STOPPED, *at(("sessions", 0, "ended"), 999)),
        CONTRADICTORY,
    ),
    Case(
        "last session ends in another boot",
        but(PLAIN, *at(("sessions", 0, "ended"), 1900, BOOT_B)),
        CONTRADICTORY | {"drive.not-observed-afterwards": UNKNOWN},
    ),
    Case(
        "boots alternate",
        replace(
            REBOOTED,
            sessions=(
                REBOOTED.sessions[1],
                REBOOTED.sessions[0],
                replace(REBOOTED.sessions[1], started=stamp(9, BOOT_B)),
            ),
        ),
        CONTRADICTORY,
    ),
    Case(
        "step before the job", but(TWO_PASSES, *at(("outcomes", 0, "started"), 999)), CONTRADICTORY
    ),
    Case("step after the job", but(TWO_PASSES, *at(("outcomes", 1, "ended"), 1901)), CONTRADICTORY),
    Case(
        "flush before the job",
        but(TWO_PASSES, *at(("outcomes", 0, "last_flush"), 999)),
        CONTRADICTORY,
    ),
    Case(
        "flush after the step",
        but(TWO_PASSES, *at(("outcomes", 0, "last_flush"), 1026)),
        CONTRADICTORY,
    ),
    Case(
        "flush in a boot without a session",
        but(TWO_PASSES, *at(("outcomes", 0, "last_flush"), 1015, BOOT_B)),
        CONTRADICTORY | {"drive.not-observed-afterwards": UNKNOWN},
    ),
    Case("verification backwards", but(PLAIN, *at((*RESULT, "ended"), 1015)), CONTRADICTORY),
    Case(
        "passes in the wrong order",
        but(
            TWO_PASSES,
            *at(("outcomes", 0, "started"), 1100),
            *at(("outcomes", 0, "last_flush"), 1105),
            *at(("outcomes", 0, "ended"), 1115),
        ),
        CONTRADICTORY,
    ),
    # Units
    Case(
        "two units of one name",
        everywhere((DISK, DISK)),
        CONTRADICTORY | {"unit.not-covered": DEFINITE},
    ),
    Case(
        "no size",
        but(everywhere((replace(DISK, size_bytes=0),)), (("outcomes", 0, "flushed"), ())),
        CONTRADICTORY | {"verification.not-as-planned": UNKNOWN},
    ),
    Case(
        "no sector size",
        everywhere((replace(DISK, logical_sector_bytes=0),)),
        CONTRADICTORY | {"verification.not-as-planned": UNKNOWN},
    ),
    Case(
        "beyond any size",
        but(
            everywhere((replace(DISK, size_bytes=2**64),)),
            (("outcomes", 0, "flushed"), (ByteRange(0, 2**64),)),
        ),
        CONTRADICTORY | {"verification.not-as-planned": UNKNOWN},
    ),
    Case("no unit", everywhere(()), CONTRADICTORY | {"unit.not-covered": DEFINITE}),
    Case(
        "nothing at all",
        replace(but(everywhere(()), (("plan", "steps"), ())), outcomes=()),
        {"plan.empty": DEFINITE, "unit.not-covered": DEFINITE},
    ),
    Case(
        "a unit without an overwrite",
        but(everywhere(LUNS), (("plan", "steps", 0, "unit_id"), "lun:0")),
        {"unit.not-covered": DEFINITE},
    ),
    Case(
        "a unit seen before only",
        but(PLAIN, (("observed_start", "units"), (DISK, LUNS[1]))),
        {"unit.not-covered": DEFINITE},
    ),
    Case(
        "a unit seen afterwards only",
        but(PLAIN, (("observed_end", "units"), (DISK, LUNS[1]))),
        {"unit.not-covered": DEFINITE},
    ),
    Case(
        "a unit seen twice",
        but(PLAIN, (("observed_end", "units"), (DISK, DISK))),
        {"unit.not-covered": DEFINITE},
    ),
    Case(
        "a unit gone",
        but(TWO_UNITS, (("observed_end", "units"), LUNS[:1])),
        {"drive.geometry-changed": UNKNOWN},
    ),
    Case(
        "grown",
        but(PLAIN, (("observed_end", "units", 0, "size_bytes"), 2 * MIB)),
        {"drive.geometry-changed": UNKNOWN},
    ),
    Case(
        "other sectors",
        but(PLAIN, (("observed_start", "units", 0, "logical_sector_bytes"), 4096)),
        {"drive.geometry-changed": UNKNOWN},
    ),
    Case(
        "planned although read-only",
        but(PLAIN, (("plan", "units", 0, "read_only"), True)),
        CONTRADICTORY,
    ),
    Case(
        "written although read-only",
        but(PLAIN, (("observed_start", "units", 0, "read_only"), True)),
        CONTRADICTORY,
    ),
    Case(
        "an area left out that no standard leaves out",
        but(PLAIN, (("plan", "excluded_areas"), ("LBA 0-2047",))),
        {"unit.not-covered": DEFINITE, "exception.area-excluded-by-standard": EXCEPTION},
    ),
    # Hidden areas
    Case(
        "hidden capacity",
        hidden(area(HiddenState.PRESENT, 512)),
        {"overwrite.hidden-area": DEFINITE},
    ),
    Case(
        "hidden capacity, planned around",
        but(PLAIN, (("plan", "hidden_areas", 0), area(HiddenState.PRESENT))),
        {"overwrite.hidden-area": DEFINITE},
    ),
    Case(
        "hidden capacity afterwards",
        but(PLAIN, (("observed_end", "hidden_areas", 0), area(HiddenState.PRESENT))),
        {"overwrite.hidden-area": DEFINITE},
    ),
    Case(
        "perhaps hidden capacity",
        hidden(area(HiddenState.UNKNOWN)),
        {"overwrite.hidden-areas-unknown": UNKNOWN},
    ),
    Case("never asked", hidden(), {"overwrite.hidden-areas-unknown": UNKNOWN}),
    Case(
        "asked for less afterwards",
        but(PLAIN, (("observed_end", "hidden_areas"), HIDDEN[:1])),
        {"overwrite.hidden-areas-unknown": UNKNOWN},
    ),
    Case("bytes in an absent area", hidden(area(HiddenState.ABSENT, 1)), CONTRADICTORY),
    Case("bytes in no area", hidden(area(HiddenState.NOT_APPLICABLE, 1)), CONTRADICTORY),
    # Steps
    Case("an outcome twice", replace(PLAIN, outcomes=PLAIN.outcomes * 2), CONTRADICTORY),
    Case("a step twice", but(PLAIN, (("plan", "steps"), PLAIN.plan.steps * 2)), CONTRADICTORY),
    Case(
        "one outcome for two units",
        but(
            job(Shape(units=(LUNS[0], replace(LUNS[1], size_bytes=MIB)))),
            (("plan", "steps", 1, "number"), 1),
            (("outcomes",), job(Shape(units=LUNS[:1])).outcomes),
        ),
        CONTRADICTORY,
    ),
    Case(
        "an outcome of no step",
        replace(
            PLAIN,
            outcomes=(
                *PLAIN.outcomes,
                StepOutcome(7, OutcomeKind.SUCCEEDED, (), stamp(1100), stamp(1101)),
            ),
        ),
        CONTRADICTORY,
    ),
    Case(
        "a step for no unit",
        but(DEALLOCATED, (("plan", "steps", 1, "unit_id"), "lun:3")),
        CONTRADICTORY,
    ),
    Case(
        "a step not done",
        replace(DEALLOCATED, outcomes=DEALLOCATED.outcomes[:1]),
        {"step.missing": DEFINITE},
    ),
    Case(
        "a step not done, drive away",
        replace(DEALLOCATED, outcomes=DEALLOCATED.outcomes[:1], end=ABSENT.end),
        {"step.missing": UNKNOWN} | AWAY,
    ),
    Case(
        "refused",
        but(PLAIN, (("outcomes", 0, "kind"), OutcomeKind.REFUSED)),
        {"step.refused": DEFINITE},
    ),
    Case(
        "failed",
        but(PLAIN, (("outcomes", 0, "kind"), OutcomeKind.FAILED)),
        {"step.failed": DEFINITE},
    ),
    *(
        Case(
            f"given up: {code}",
            but(
                PLAIN,
                (("outcomes", 0, "kind"), OutcomeKind.FAILED),
                (("outcomes", 0, "codes"), (code,)),
            ),
            {"step.failed": DEFINITE, code: DEFINITE},
        )
        for code in ("health.too-many-errors", "health.too-slow")
    ),
    Case(
        "interrupted",
        but(PLAIN, (("outcomes", 0, "kind"), OutcomeKind.INTERRUPTED)),
        {"step.interrupted": DEFINITE},
    ),
    Case(
        "interrupted, noted after the session",
        but(
            TWO_PASSES,
            (("outcomes", 0, "kind"), OutcomeKind.INTERRUPTED),
            *at(("outcomes", 0, "ended"), 5000, "a later boot"),
            *at(("outcomes", 0, "last_flush"), 5000, "a later boot"),
        ),
        {"step.interrupted": DEFINITE},
    ),
    Case(
        "interrupted, drive away",
        but(ABSENT, (("outcomes", 0, "kind"), OutcomeKind.INTERRUPTED)),
        {"step.interrupted": UNKNOWN} | AWAY,
    ),
    Case(
        "indeterminate",
        but(PLAIN, (("outcomes", 0, "kind"), OutcomeKind.INDETERMINATE)),
        {"step.indeterminate": UNKNOWN},
    ),
    Case(
        "succeeded with a complaint",
        but(PLAIN, (("outcomes", 0, "codes"), ("write.stalled",))),
        {"step.contradictory": UNKNOWN},
    ),
    # Overwriting
    Case(
        "a hole",
        but(PLAIN, (("outcomes", 0, "flushed"), (ByteRange(0, 512), ByteRange(1024, MIB)))),
        {"overwrite.incomplete": DEFINITE},
    ),
    Case(
        "the last byte missing",
        but(PLAIN, (("outcomes", 0, "flushed", 0, "end"), MIB - 1)),
        {"overwrite.incomplete": DEFINITE},
    ),
    Case(
        "a hole, drive away",
        but(ABSENT, (("outcomes", 0, "flushed", 0, "start"), 1)),
        {"overwrite.incomplete": UNKNOWN} | AWAY,
    ),
    Case(
        "an earlier pass with a hole",
        but(TWO_PASSES, (("outcomes", 0, "flushed", 0, "start"), 512)),
        {"overwrite.incomplete": DEFINITE},
    ),
    Case(
        "written beyond the end",
        but(PLAIN, (("outcomes", 0, "flushed", 0, "end"), MIB + 512)),
        {"step.contradictory": UNKNOWN},
    ),
    Case(
        "nothing flushed",
        CLEARED,
        {"overwrite.incomplete": DEFINITE, "verification.too-early": UNKNOWN},
    ),
    Case(
        "ranges without a flush",
        but(TWO_PASSES, (("outcomes", 0, "last_flush"), None)),
        {"step.contradictory": UNKNOWN},
    ),
    Case(
        "unwritable sectors",
        but(PLAIN, (("outcomes", 0, "unwritable"), SectorList(2, (7, 8)))),
        {"overwrite.unwritable": DEFINITE},
    ),
    Case(
        "unwritable sectors, counted only",
        but(PLAIN, (("outcomes", 0, "unwritable"), SectorList(2))),
        {"overwrite.unwritable": DEFINITE},
    ),
    Case(
        "unwritable sectors, not counted",
        but(PLAIN, (("outcomes", 0, "unwritable"), SectorList(0, (7,)))),
        {"overwrite.unwritable": DEFINITE},
    ),
    Case("a keyed stream without a key", replace(PLAIN, pattern_key=None), CONTRADICTORY),
    Case(
        "a keyed stream after zeros without a key",
        replace(TWO_PASSES, pattern_key=None),
        CONTRADICTORY,
    ),
    Case(
        "a key without a commitment",
        but(PLAIN, (("pattern_key", "commitment_sha256"), "")),
        CONTRADICTORY,
    ),
    # Verification
    Case("not verified", but(PLAIN, (RESULT, None)), {"verification.missing": UNKNOWN}),
    Case(
        "no verification planned",
        but(PLAIN, (("plan", "steps", 0, "verification"), None)),
        {"verification.missing": UNKNOWN},
    ),
    Case(
        "no verification planned for the final state",
        but(ZEROED, (("plan", "steps", 1, "verification"), None)),
        {"verification.missing": UNKNOWN},
    ),
    Case(
        "no verification planned but for the final state",
        but(ZEROED, (("plan", "steps", 0, "verification"), None)),
        {"verification.missing": UNKNOWN},
    ),
    Case(
        "no verification planned for one unit",
        but(TWO_UNITS, (("plan", "steps", 0, "verification"), None)),
        {"verification.missing": UNKNOWN},
    ),
    Case(
        "an earlier pass verified, not the last",
        but(
            TWO_PASSES,
            (("plan", "steps", 0, "verification"), Full()),
            (("plan", "steps", 1, "verification"), None),
            (("outcomes", 0, "verification"), verified(Full(), DISK, stamp(1016), stamp(1022))),
        ),
        {"verification.missing": UNKNOWN},
    ),
    Case(
        "mismatches counted",
        but(PLAIN, ((*RESULT, "mismatched"), 1)),
        {"verification.mismatch": DEFINITE},
    ),
    Case(
        "mismatches listed",
        but(PLAIN, ((*RESULT, "mismatches"), (Mismatch(0, 0, Content.TEXT, "e" * 64),))),
        {"verification.mismatch": DEFINITE},
    ),
    Case(
        "mismatches in a pass nobody asked to verify",
        but(
            TWO_PASSES,
            (RESULT, replace(verified(Full(), DISK, stamp(1016), stamp(1022)), mismatched=1)),
        ),
        {"verification.mismatch": DEFINITE},
    ),
    Case(
        "mismatches in the final state",
        but(ZEROED, (("outcomes", 1, "verification", "mismatched"), 1)),
        {"verification.mismatch": DEFINITE},
    ),
    Case(
        "unreadable sectors",
        but(PLAIN, ((*RESULT, "unreadable"), SectorList(1, (4,)))),
        {"verification.unreadable": DEFINITE},
    ),
    Case(
        "unreadable sectors, not counted",
        but(PLAIN, ((*RESULT, "unreadable"), SectorList(0, (4,)))),
        {"verification.unreadable": DEFINITE},
    ),
    Case(
        "not all read",
        but(PLAIN, ((*RESULT, "read_bytes"), MIB - 512)),
        {"verification.unfinished": UNKNOWN},
    ),
    Case(
        "answered by the page cache",
        but(PLAIN, ((*RESULT, "reads"), "buffered")),
        {"verification.cached": UNKNOWN},
    ),
    Case(
        "simulated reads of a real drive",
        but(PLAIN, ((*RESULT, "reads"), "simulated")),
        {"verification.cached": UNKNOWN},
    ),
    Case(
        "buffered reads in software",
        but(job(Shape(simulated=True)), ((*RESULT, "reads"), "buffered")),
        {"verification.cached": UNKNOWN},
    ),
    Case(
        "another profile than planned",
        but(SAMPLES, (("plan", "steps", 0, "verification"), Confidence(990_000, 100_000))),
        {"verification.not-as-planned": UNKNOWN},
    ),
    Case(
        "planned bytes too few",
        but(PLAIN, ((*RESULT, "planned_bytes"), 512), ((*RESULT, "read_bytes"), 512)),
        {"verification.not-as-planned": UNKNOWN},
    ),
    Case(
        "extents of another seed",
        but(SAMPLES, ((*RESULT, "seed"), bytes(32))),
        {"verification.not-as-planned": UNKNOWN},
    ),
    Case(
        "no seed", but(SAMPLES, ((*RESULT, "seed"), b"")), {"verification.not-as-planned": UNKNOWN}
    ),
    Case(
        "drawn before the last flush",
        but(PLAIN, *at((*RESULT, "drawn"), 1014)),
        {"verification.too-early": UNKNOWN},
    ),
    Case(
        "drawn in the boot before the last flush",
        but(REBOOTED, *at((*RESULT, "drawn"), 9999, "5a0d6d5e-boot-a")),
        {"verification.too-early": UNKNOWN, "absence.not-fully-verified": UNKNOWN},
    ),
    # Absence
    Case(
        "read back something else",
        but(STOPPED, (("sessions", 1, "read_back", "matched"), 63)),
        {"absence.not-proved-same": UNKNOWN},
    ),
    Case(
        "away and sampled",
        replace(SAMPLES, sessions=PULLED.sessions, outcomes=()),
        {
            "absence.not-fully-verified": UNKNOWN,
            "step.missing": DEFINITE,
            "drive.not-observed-afterwards": UNKNOWN,
        },
    ),
    Case(
        "away while verification ran",
        but(PULLED, *at((*RESULT, "drawn"), 2000 - 1), *at(("outcomes", 0, "last_flush"), 1900)),
        {"absence.not-fully-verified": UNKNOWN},
    ),
    Case(
        "away with a full verification of nothing",
        but(
            job(Shape(history=History.PULLED, passes=(ZERO, Keyed()))),
            (("outcomes", 0, "verification"), verified(Full(), DISK, stamp(2016), stamp(2022))),
            (("outcomes", 0, "verification", "read_bytes"), 0),
            *at(("outcomes", 1, "verification", "drawn"), 1999),
            *at(("outcomes", 1, "last_flush"), 1998),
        ),
        {"absence.not-fully-verified": UNKNOWN},
    ),
    Case(
        "away, one unit not read",
        but(
            job(Shape(history=History.PULLED, units=LUNS)),
            *at(("outcomes", 0, "verification", "drawn"), 1999),
            *at(("outcomes", 0, "last_flush"), 1998),
        ),
        {"absence.not-fully-verified": UNKNOWN},
    ),
    Case(
        "away, and only what was deallocated read since",
        but(
            job(Shape(history=History.PULLED, deallocate=True)),
            *at((*RESULT, "drawn"), 1999),
            *at(("outcomes", 0, "last_flush"), 1998),
            (("outcomes", 1, "last_flush"), stamp(2035)),
            (("outcomes", 1, "verification"), verified(Full(), DISK, stamp(2036), stamp(2042))),
        ),
        {"absence.not-fully-verified": UNKNOWN},
    ),
    Case(
        "away, and an outcome of no step",
        replace(PULLED, outcomes=(*PULLED.outcomes, replace(PULLED.outcomes[0], number=5))),
        CONTRADICTORY,
    ),
    Case(
        "away, and a step for no unit",
        but(
            job(Shape(history=History.PULLED, final=ZERO)),
            (("plan", "steps", 1, "unit_id"), "lun:4"),
        ),
        CONTRADICTORY,
    ),
    Case(
        "a serial that two drives have, not read back",
        but(shared(History.PULLED), (("sessions", 1, "read_back"), None)),
        {"absence.not-proved-same": UNKNOWN} | SHARED,
    ),
    Case(
        "no serial, not read back",
        but(job(Shape(history=History.PULLED, serial=b"")), (("sessions", 1, "read_back"), None)),
        {"absence.not-proved-same": UNKNOWN} | NO_NAME,
    ),
    Case(
        "read back zeros, which any drive may hold",
        replace(ZEROS_AWAY, serial_shared=True),
        {"absence.not-proved-same": UNKNOWN} | SHARED,
    ),
    Case(
        "read back zeros of a drive that is deallocated at the end",
        job(Shape(history=History.PULLED, passes=(ZERO,), serial_shared=True, deallocate=True)),
        {"absence.not-proved-same": UNKNOWN} | SHARED,
    ),
    Case(
        "started again, but counting what was done before",
        but(shared(History.PULLED_AND_RESTARTED), *at(("outcomes", 0, "started"), 1500)),
        {"absence.not-proved-same": UNKNOWN} | SHARED,
    ),
    Case(
        "started again, but counting one pass of before",
        but(
            job(
                Shape(
                    history=History.PULLED_AND_RESTARTED,
                    passes=(ZERO, Keyed()),
                    serial_shared=True,
                )
            ),
            *at(("outcomes", 0, "started"), 1500),
        ),
        {"absence.not-proved-same": UNKNOWN} | SHARED,
    ),
    # Health
    Case("retired meanwhile", health(Health(0), Health(1)), {"health.retired-during": DEFINITE}),
    Case(
        "retired before and meanwhile",
        health(Health(2), Health(3)),
        {"health.retired-during": DEFINITE, "exception.sectors-retired": EXCEPTION},
    ),
    Case(
        "retired sectors come back",
        health(Health(3), Health(2)),
        CONTRADICTORY | {"exception.sectors-retired": EXCEPTION},
    ),
    Case(
        "retired less than none",
        health(Health(-1), Health(-1)),
        CONTRADICTORY | {"exception.sectors-retired": EXCEPTION},
    ),
    Case("told before only", health(Health(0), Health()), {"health.not-compared": UNKNOWN}),
    Case(
        "told before, and then not observed",
        replace(health(Health(0), Health()), observed_end=None),
        {"drive.not-observed-afterwards": UNKNOWN},
    ),
    Case("told afterwards only", health(Health(), Health(5)), {"health.not-compared": UNKNOWN}),
    # The closed list
    Case("retired before", health(Health(5), Health(5)), {"exception.sectors-retired": EXCEPTION}),
    Case(
        "pending afterwards",
        health(Health(), Health(pending_sectors=1)),
        {"exception.health-below-line": EXCEPTION},
    ),
    Case(
        "media errors over the line",
        health(Health(media_errors=9), Health(), HealthLine(media_errors_max=8)),
        {"exception.health-below-line": EXCEPTION},
    ),
    Case(
        "worn over the line",
        health(Health(), Health(percentage_used=101)),
        {"exception.health-below-line": EXCEPTION},
    ),
    Case(
        "retired over the line",
        health(Health(5), Health(5), HealthLine(reallocated_sectors_max=4)),
        {"exception.sectors-retired": EXCEPTION, "exception.health-below-line": EXCEPTION},
    ),
    Case(
        "read errors cured",
        but(PLAIN, ((*RESULT, "cured_by_rewriting"), 1)),
        {"exception.read-errors-cured": EXCEPTION},
    ),
    Case(
        "read errors cured, less than none elsewhere",
        but(
            TWO_UNITS,
            ((*RESULT, "cured_by_rewriting"), 1),
            (("outcomes", 1, "verification", "cured_by_rewriting"), -1),
        ),
        {"exception.read-errors-cured": EXCEPTION},
    ),
    Case("no serial", NAMELESS, NO_NAME),
    Case("blanks for a serial", job(Shape(serial=b"    ")), NO_NAME),
    Case("serial shared", replace(PLAIN, serial_shared=True), SHARED),
    *(
        Case(
            f"clock {sync}: {'.'.join(map(str, path))}",
            but(PLAIN, ((*path, "sync"), sync)),
            {"exception.clock-not-synchronised": EXCEPTION},
        )
        for path in (
            ("observed_start", "at"),
            ("observed_end", "at"),
            ("sessions", 0, "started"),
            ("sessions", 0, "ended"),
            ("outcomes", 0, "started"),
            ("outcomes", 0, "ended"),
            ("outcomes", 0, "last_flush"),
            (*RESULT, "drawn"),
            (*RESULT, "ended"),
        )
        for sync in (ClockSync.UNSYNCHRONISED, ClockSync.UNKNOWN)
    ),
    Case(
        "boot partitions",
        but(PLAIN, (("plan", "excluded_areas"), ("NVMe boot partitions",))),
        {"exception.area-excluded-by-standard": EXCEPTION},
    ),
)
