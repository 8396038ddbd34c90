"""Good evidence, made of values alone, and what is signed from it."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from nullbay.certs import bundle, statement
from nullbay.certs.keys import FileSigner, PublicKey
from nullbay.certs.transcript import sign_transcript
from nullbay.domain import sampling
from nullbay.domain.clock import ClockSync, Stamp, rfc3339
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
from nullbay.domain.ids import BayId, JobId, LotRef, PolicyId
from nullbay.domain.lot import DataCategory, Destination, Lot, Person
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
from nullbay.domain.patterns import ZERO, Keyed, Pattern
from nullbay.domain.plan import (
    NotChosen,
    OverwriteStep,
    PatternKeyOrigin,
    SanitizationPlan,
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
from nullbay.domain.record import ArchiveReference, Build, RecordContext, Transcript
from nullbay.domain.text import RawText
from nullbay.domain.verdict import Conclusion, conclude

MIB = 1024 * 1024
BOOT = "6f3a2c1e-0b5d-4e7f-9a81-3c2d1e0f4b5a"
JOB_KEY = bytes(range(32))
SEED = hashlib.sha256(b"a seed drawn after the last flush").digest()
EPOCH = datetime(2026, 11, 21, 8, 0, 0, tzinfo=UTC)


def stamp(second: float, *, boot_id: str = BOOT, sync: ClockSync = ClockSync.SYNCHRONISED) -> Stamp:
    """A moment of the made-up day, `second` seconds into it."""
    at = rfc3339(EPOCH + timedelta(seconds=second))
    return Stamp(at, int((1000 + second) * 1_000_000), boot_id, sync)


def identity(serial: bytes | str = "S6EPNX0T123456") -> DriveIdentity:
    """A drive with a world-wide name."""
    return DriveIdentity(
        vendor=RawText.of("ATA"),
        model=RawText.of("SAMSUNG MZ7L33T8HBLT"),
        serial=RawText.of(serial),
        wwn="naa.5002538f12345678",
        eui64="",
        nguid="",
        identify_sha256=hashlib.sha256(b"identify" + RawText.of(serial).raw).hexdigest(),
        identify_source="ata-identify",
    )


def unit(size_bytes: int = 64 * MIB, sector_bytes: int = 512, unit_id: str = "disk") -> Unit:
    """One addressable unit."""
    return Unit(unit_id, size_bytes, sector_bytes, 4096, read_only=False)


def attachment(boot_id: str = BOOT, diskseq: int = 17, bay: str | None = "A1") -> Attachment:
    """In bay A1, as sdx."""
    return Attachment(
        boot_id=boot_id,
        nodes=(NodeAttachment("disk", "sdx", "65:112", diskseq),),
        device_path="/devices/pci0000:00/0000:00:17.0/ata3/host2/target2:0:0/2:0:0:0",
        bay=None if bay is None else BayId(bay),
        hba="ahci 0000:00:17.0",
    )


def observed(units: tuple[Unit, ...], second: float, **changes: object) -> Observed:
    """A healthy magnetic drive without hidden areas."""
    good = Observed(
        at=stamp(second),
        units=units,
        firmware=RawText.of("JXTC404Q"),
        media=MediaKind.MAGNETIC,
        media_source="ata-identify word 217",
        transport=Transport.SATA,
        hidden_areas=(HiddenArea("hpa", HiddenState.ABSENT, 0, "ata-identify"),),
        health=Health(reallocated_sectors=0, pending_sectors=0, power_on_hours=31_877),
        removable=False,
    )
    return replace(good, **changes)  # type: ignore[arg-type]


def verification(
    of: Unit, profile: VerificationProfile, second: float, **changes: object
) -> VerificationResult:
    """A reading as the profile prescribes, complete, with nothing found."""
    layout = sampling.layout_of(profile, of.size_bytes, of.logical_sector_bytes)
    seed = b"" if layout is None else SEED
    ranges = sampling.extents(profile, of.size_bytes, of.logical_sector_bytes, seed)
    planned = sum(one.length for one in ranges)
    good = VerificationResult(
        profile=profile,
        seed=seed,
        drawn=stamp(second),
        extents_sha256=sampling.extents_sha256(ranges),
        planned_bytes=planned,
        read_bytes=planned,
        reads="direct",
        mismatched=0,
        mismatches=(),
        unreadable=SectorList(),
        cured_by_rewriting=0,
        ended=stamp(second + 100),
    )
    return replace(good, **changes)  # type: ignore[arg-type]


def plan(
    who: DriveIdentity,
    units: tuple[Unit, ...],
    profile: VerificationProfile,
    patterns: tuple[Pattern, ...] = (Keyed(),),
    *,
    simulated: bool = False,
) -> SanitizationPlan:
    """Clear by overwriting: the passes one after the other, unit by unit, the last one verified."""
    steps: list[OverwriteStep] = []
    for one in units:
        for position, pattern in enumerate(patterns, 1):
            last = position == len(patterns)
            steps.append(
                OverwriteStep(
                    number=len(steps) + 1,
                    unit_id=one.unit_id,
                    purpose=StepPurpose.METHOD,
                    pattern=pattern,
                    verification=profile if last else None,
                    estimate_s=60,
                )
            )
    return SanitizationPlan(
        identity_key=who.key,
        units=units,
        media=MediaKind.MAGNETIC,
        transport=Transport.SATA,
        hidden_areas=(HiddenArea("hpa", HiddenState.ABSENT, 0, "ata-identify"),),
        policy_id=PolicyId("nist-clear/1"),
        policy_sha256=hashlib.sha256(b"policy").hexdigest(),
        scheme_id="keyed-1/1",
        required_method=Method.CLEAR,
        technique=Technique.HOST_OVERWRITE,
        steps=tuple(steps),
        not_chosen=(
            NotChosen(Technique.ATA_SANITIZE_BLOCK, "technique.not-available", "ata-identify"),
        ),
        budgets=Budgets(),
        health=HealthLine(),
        limitations=("limit.spare-areas", "limit.translation-layer"),
        excluded_areas=(),
        two_person_approval=False,
        simulated=simulated,
        data_category=LOT.data_category,
        destination=LOT.destination,
    )


def session(first: float, last: float, end: SessionEnd = SessionEnd.FINISHED) -> Session:
    """Work on the attached drive that nothing disturbed."""
    key = identity().key
    return Session(
        attachment=attachment(),
        started=stamp(first),
        ended=stamp(last),
        identity_start=key,
        identity_end=key,
        attachment_end=attachment(),
        end=end,
        resumed=False,
        restarted_from_zero=False,
        read_back=None,
    )


def good_evidence(
    *,
    profile: VerificationProfile | None = None,
    units: tuple[Unit, ...] | None = None,
    serial: bytes | str = "S6EPNX0T123456",
    patterns: tuple[Pattern, ...] = (Keyed(),),
    simulated: bool = False,
) -> JobEvidence:
    """Evidence of a drive overwritten and verified without a flaw: SANITIZED."""
    profile, units = profile or Full(), units or (unit(),)
    who = identity(serial)
    made = plan(who, units, profile, patterns, simulated=simulated)
    outcomes = []
    for number, step in enumerate(made.steps):
        assert isinstance(step, OverwriteStep)
        begin = 10.0 + 300 * number
        outcomes.append(
            StepOutcome(
                number=step.number,
                kind=OutcomeKind.SUCCEEDED,
                codes=(),
                started=stamp(begin),
                ended=stamp(begin + 250),
                flushed=(ByteRange(0, made.unit(step.unit_id).size_bytes),),
                last_flush=stamp(begin + 100),
                verification=(
                    verification(made.unit(step.unit_id), step.verification, begin + 110)
                    if step.verification is not None
                    else None
                ),
            )
        )
    over = 20.0 + 300 * len(made.steps)
    return JobEvidence(
        job_id=JobId("j-20261121T080000-0123456789ab"),
        identity=who,
        serial_shared=False,
        plan=made,
        observed_start=observed(units, 5),
        observed_end=observed(units, over - 5),
        sessions=(replace(session(1, over), identity_start=who.key, identity_end=who.key),),
        outcomes=tuple(outcomes),
        end=JobEnd.COMPLETED,
        pattern_key=PatternKeyOrigin(
            drawn_by="station",
            commitment_sha256=hashlib.sha256(b"nullbay/pattern-key/1" + JOB_KEY).hexdigest(),
            in_evidence=True,
        ),
        exchanges=4711,
        exchanges_sha256=hashlib.sha256(b"exchanges").hexdigest(),
    )


def sampled_evidence() -> JobEvidence:
    """A 4 TB drive verified by sampling: SANITIZED."""
    return good_evidence(profile=NistR1(), units=(unit(4_000_787_030_016),))


def excepted_evidence() -> JobEvidence:
    """Sampled, sectors retired before, an area left out: SANITIZED_WITH_EXCEPTIONS."""
    good = good_evidence(profile=Confidence(990_000, 10_000), units=(unit(1_000_204_886_016),))
    assert good.observed_end is not None
    health = Health(reallocated_sectors=3, pending_sectors=0, power_on_hours=50_000)
    return replace(
        good,
        plan=replace(good.plan, excluded_areas=("NVMe boot partitions",)),
        observed_start=replace(good.observed_start, health=health),
        observed_end=replace(good.observed_end, health=health),
    )


def mismatched_evidence() -> JobEvidence:
    """Two sectors did not hold the pattern, one could not be read: NOT_SANITIZED."""
    good = good_evidence()
    result = good.outcomes[-1].verification
    assert result is not None
    found = (
        Mismatch(2048, 0, Content.TEXT, hashlib.sha256(b"keyed").hexdigest()),
        Mismatch(2049, 17, Content.ZERO, hashlib.sha256(b"other").hexdigest()),
    )
    bad_reading: dict[str, Any] = {
        "mismatched": 2,
        "mismatches": found,
        "unreadable": SectorList(1, (4096,)),
    }
    bad = replace(good.outcomes[-1], verification=replace(result, **bad_reading))
    return replace(good, outcomes=(*good.outcomes[:-1], bad))


def unwritable_evidence() -> JobEvidence:
    """Stopped at the first sector that would not be written: NOT_SANITIZED."""
    good = good_evidence()
    stopped = replace(
        good.outcomes[0],
        kind=OutcomeKind.FAILED,
        codes=("write.unwritable-sector",),
        flushed=(ByteRange(0, 8 * MIB),),
        unwritable=SectorList(1, (8 * MIB // 512,)),
        verification=None,
    )
    return replace(good, outcomes=(stopped,), end=JobEnd.STOPPED_ON_ERRORS)


def absent_evidence() -> JobEvidence:
    """Pulled half-way and never seen again: INDETERMINATE."""
    good = good_evidence()
    gone = replace(session(1, 60, SessionEnd.DRIVE_GONE), identity_end=None, attachment_end=None)
    return replace(
        good,
        observed_end=None,
        sessions=(gone,),
        outcomes=(
            replace(
                good.outcomes[0],
                kind=OutcomeKind.INTERRUPTED,
                flushed=(ByteRange(0, 32 * MIB),),
                verification=None,
            ),
        ),
        end=JobEnd.ABSENT_PAST_DEADLINE,
    )


def resumed_evidence() -> JobEvidence:
    """Pulled half-way, put back, read back, finished and verified in full: SANITIZED."""
    good = good_evidence()
    gone = replace(session(1, 5, SessionEnd.DRIVE_GONE), identity_end=None, attachment_end=None)
    back = replace(
        session(8, 320),
        attachment=attachment(diskseq=18),
        attachment_end=attachment(diskseq=18),
        resumed=True,
        read_back=ReadBack(64, 64, last_flushed_included=True),
    )
    return replace(good, sessions=(gone, back))


def multi_unit_evidence() -> JobEvidence:
    """A dual-actuator drive, three passes on each half: SANITIZED."""
    halves = (unit(unit_id="lun:0"), unit(unit_id="lun:1"))
    return good_evidence(units=halves, patterns=(ZERO, Keyed(), ZERO))


EVIDENCE = {
    "good": good_evidence,
    "sampled": sampled_evidence,
    "excepted": excepted_evidence,
    "mismatched": mismatched_evidence,
    "unwritable": unwritable_evidence,
    "absent": absent_evidence,
    "resumed": resumed_evidence,
    "multi-unit": multi_unit_evidence,
}
"""One maker for each kind of ending."""


def transcript(evidence: JobEvidence | None = None) -> Transcript:
    """The evidence with the build that made it."""
    return Transcript(
        evidence=evidence or good_evidence(),
        build=Build("0.1.0", hashlib.sha256(b"build").hexdigest(), "6.12.0-1-amd64", "3.13.5"),
        signed=stamp(900),
    )


def signer(name: str = "station-7") -> FileSigner:
    """A key that lives as long as the test."""
    return FileSigner(ec.generate_private_key(ec.SECP256R1()), name)


LOT = Lot(
    reference=LotRef("LOT-2026-0417"),
    customer="Müller & Söhne GmbH",
    site="Hamburg 2",
    source="R740 7XK2J53 slot 4",
    work_order="WO-88123",
    data_category=DataCategory.MODERATE,
    destination=Destination.LEAVING,
)
PEOPLE = (
    Person("operator", "op-117", "technician"),
    Person("supervisor", "sv-004", "shift lead"),
)


@dataclass(frozen=True)
class Certified:
    """A certificate with everything that made it."""

    station: FileSigner
    bench: FileSigner
    transcript: Transcript
    envelope: bytes
    context: RecordContext
    conclusion: Conclusion
    payload: bytes
    bundle: bytes

    @property
    def trust(self) -> tuple[PublicKey, ...]:
        """Station and bench."""
        return self.station.public_key, self.bench.public_key


def context(
    envelope: bytes,
    bench: FileSigner,
    *,
    archive: ArchiveReference | None = None,
    bay: str = "A1",
    **changes: object,
) -> RecordContext:
    """What the station adds: lot, people, place, link of the chain."""
    made = RecordContext(
        statement_id="urn:uuid:0193500c-7b5e-7c1e-9d2f-0a1b2c3d4e5f",
        nonce=hashlib.sha256(b"nonce").digest()[:16],
        transcript_envelope=envelope,
        bench_public_key_pem=bench.public_key_pem,
        archive=archive
        or ArchiveReference("job.evidence.tar.zst", hashlib.sha256(b"archive").hexdigest()),
        issued=stamp(901),
        station="ams1-station-07",
        bay=bay,
        attempt=2,
        previous=("urn:uuid:0193500c-0000-7c1e-9d2f-0a1b2c3d4e5f",),
        chain_sequence=18_231,
        chain_previous=hashlib.sha256(b"previous entry").hexdigest(),
        organization="Example Recycling B.V.",
        lot=LOT,
        asset_tag="AT-0099123",
        label_serial="S6EPNX0T123456",
        destination="resale",
        people=PEOPLE,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def certify(
    evidence: JobEvidence | None = None,
    *,
    station: FileSigner | None = None,
    bench: FileSigner | None = None,
    archive: ArchiveReference | None = None,
    **changes: object,
) -> Certified:
    """A signed certificate about the evidence; `changes` are fields of the context."""
    made = transcript(evidence)
    demo = "demo-" if made.evidence.plan.simulated else ""
    station, bench = station or signer(f"{demo}station-7"), bench or signer(f"{demo}bench-7")
    envelope = sign_transcript(made, bench)
    added = context(envelope, bench, archive=archive, **changes)  # type: ignore[arg-type]
    conclusion = conclude(made.evidence)
    payload = statement.build(added, made, conclusion, station_key_name=station.key_name)
    return Certified(
        station, bench, made, envelope, added, conclusion, payload, bundle.make(payload, station)
    )


def archive_members(job_key: bytes = JOB_KEY) -> dict[str, bytes]:
    """What an evidence archive holds, in small."""
    return {
        "exchanges.jsonl": b'{"schema":"nullbay.exchange/1"}\n' * 50,
        "pattern-key.bin": job_key,
        "ranges.jsonl": secrets.token_hex(64).encode() + b"\n",
    }


def write_key_file(path: Path, key: PublicKey) -> Path:
    """A trust file of one key."""
    path.write_bytes(key.pem)
    return path
