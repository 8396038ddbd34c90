"""What of a statement follows from the transcript, computed in one place.

The station writes these fields from here; a verifier computes them again and compares. A station
that changes one of them (another serial, a milder reason, a fuller verification) is found out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from nullbay.domain import sampling
from nullbay.domain.clock import Stamp
from nullbay.domain.drive import Health, Unit
from nullbay.domain.method import reaches
from nullbay.domain.outcome import JobEvidence, ReadBack, SectorList, SessionEnd, StepOutcome
from nullbay.domain.patterns import Keyed, Repeat
from nullbay.domain.plan import OverwriteStep, PatternKeyOrigin, SanitizationPlan, Step
from nullbay.domain.policy import Confidence, VerificationProfile
from nullbay.domain.record import Transcript
from nullbay.domain.text import RawText, show
from nullbay.domain.verdict import Conclusion, Effect, Finding, Verdict

TEXT_MAX = 200
STANDARD = "NIST SP 800-88r2"
SOFTWARE_KEY = "software"
LIMIT_STATION_WORD = "limit.station-word"
LIMIT_SOFTWARE_KEY = "limit.software-key"
LIMIT_SIMULATED = "limit.simulated"


def derived(transcript: Transcript, conclusion: Conclusion) -> dict[str, Any]:
    """Every field of the predicate that the transcript determines, as plain JSON values."""
    evidence = transcript.evidence
    plan = evidence.plan
    return {
        "result": conclusion.verdict.value,
        "simulated": plan.simulated,
        "reasons": _findings(conclusion, lambda effect: effect is not Effect.EXCEPTION),
        "exceptions": _findings(conclusion, lambda effect: effect is Effect.EXCEPTION),
        "attempt": _attempt(evidence),
        "media": _media(evidence),
        "sanitization": _sanitization(evidence, conclusion.verdict),
        "verification": _verification(evidence),
        "patternKey": _pattern_key(evidence.pattern_key),
        "sessions": _sessions(evidence),
        "exchanges": {"count": str(evidence.exchanges), "sha256": code(evidence.exchanges_sha256)},
        "environment": {
            "build": {
                "version": code(transcript.build.version),
                "sha256": code(transcript.build.sha256),
                "kernel": code(transcript.build.kernel),
                "python": code(transcript.build.python),
            },
            "clock": {
                "sync": sorted({stamp.sync.value for stamp in _stamps(evidence)}),
                "bootIds": _once(code(stamp.boot_id) for stamp in _stamps(evidence)),
                "benchSignedAt": transcript.signed.at,
            },
        },
    }


def subjects(transcript: Transcript) -> list[dict[str, Any]]:
    """The drive as a subject: its world-wide name, and the digest of its identify data."""
    identity = transcript.evidence.identity
    if not identity.identify_sha256:
        return []
    name = identity.wwn or identity.eui64 or identity.nguid or f"key.{identity.key}"
    return [
        {"name": f"drive:{code(name)}"[:TEXT_MAX], "digest": {"sha256": identity.identify_sha256}}
    ]


def limitations(plan: SanitizationPlan, key_protection: str) -> list[str]:
    """Codes of what the record can't show: the plan's, and those of every signature."""
    more = [LIMIT_STATION_WORD]
    if key_protection == SOFTWARE_KEY:
        more.append(LIMIT_SOFTWARE_KEY)
    if plan.simulated:
        more.append(LIMIT_SIMULATED)
    return _once([*plan.limitations, *more])


def code(text: str | bytes, limit: int = TEXT_MAX) -> str:
    """A string of the drive, kernel or station in printable ASCII, cut with an ellipsis.

    ASCII alone, because what else is printable changes with Unicode: a record must read the same to
    a verifier of twenty years later. The drive's own strings stand in hex beside this form.
    """
    if isinstance(text, str) and len(text) <= limit and text.isascii() and text.isprintable():
        return text
    raw = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    return show(raw.decode("ascii", "surrogateescape"), limit)


def last_bay(evidence: JobEvidence) -> str | None:
    """The bay the bench saw the drive in at the end; None where it was in none or never seen."""
    bay = evidence.sessions[-1].attachment.bay if evidence.sessions else None
    return None if bay is None else code(bay)


def _findings(conclusion: Conclusion, wanted: Callable[[Effect], bool]) -> list[dict[str, Any]]:
    return [_finding(finding) for finding in conclusion.findings if wanted(finding.effect)]


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.code,
        "effect": finding.effect.value,
        "detail": code(finding.detail),
    }


def _attempt(evidence: JobEvidence) -> dict[str, Any]:
    sessions = evidence.sessions
    return {
        "jobId": code(evidence.job_id),
        "startedAt": sessions[0].started.at if sessions else None,
        "endedAt": sessions[-1].ended.at if sessions else None,
        "end": evidence.end.value,
    }


def _media(evidence: JobEvidence) -> dict[str, Any]:
    identity, plan, start = evidence.identity, evidence.plan, evidence.observed_start
    end = evidence.observed_end
    return {
        **_raw("manufacturer", identity.vendor),
        **_raw("model", identity.model),
        **_raw("serial", identity.serial),
        **_raw("firmware", start.firmware),
        "wwn": code(identity.wwn),
        "eui64": code(identity.eui64),
        "nguid": code(identity.nguid),
        "identityKey": identity.key,
        "identifySha256": identity.identify_sha256,
        "identifySource": code(identity.identify_source),
        "mediaType": plan.media.value,
        "mediaTypeSource": code(start.media_source),
        "transport": plan.transport.value,
        "removable": start.removable,
        "sizeBytes": str(plan.size_bytes),
        "units": [_unit(unit) for unit in plan.units],
        "hiddenAreas": [
            {
                "name": code(area.name),
                "state": area.state.value,
                "hiddenBytes": str(area.hidden_bytes),
                "source": code(area.source),
            }
            for area in start.hidden_areas
        ],
        "excludedAreas": [code(name) for name in plan.excluded_areas],
        "healthBefore": _health(start.health),
        "healthAfter": None if end is None else _health(end.health),
    }


def _raw(name: str, text: RawText) -> dict[str, str]:
    return {name: code(text.raw, 64), f"{name}Hex": text.raw.hex()}


def _unit(unit: Unit) -> dict[str, Any]:
    sector = unit.logical_sector_bytes
    return {
        "unitId": code(unit.unit_id),
        "sizeBytes": str(unit.size_bytes),
        "logicalBlocks": str(unit.size_bytes // sector if sector > 0 else 0),
        "logicalSectorBytes": sector,
        "physicalSectorBytes": unit.physical_sector_bytes,
    }


def _health(health: Health) -> dict[str, int | None]:
    return {
        "reallocatedSectors": health.reallocated_sectors,
        "pendingSectors": health.pending_sectors,
        "mediaErrors": health.media_errors,
        "percentageUsed": health.percentage_used,
        "temperatureCelsius": health.temperature_celsius,
        "powerOnHours": health.power_on_hours,
    }


def _sanitization(evidence: JobEvidence, verdict: Verdict) -> dict[str, Any]:
    plan = evidence.plan
    outcomes = {outcome.number: outcome for outcome in evidence.outcomes}
    attempted = reaches(plan.technique, plan.media)
    return {
        "standard": STANDARD,
        "method": {
            "required": plan.required_method.value,
            "attempted": attempted.value,
            "claimed": attempted.value if verdict.is_sanitized else None,
        },
        "technique": plan.technique.value,
        "policy": {"id": code(plan.policy_id), "sha256": plan.policy_sha256},
        "planSha256": plan.sha256,
        "scheme": code(plan.scheme_id),
        "passes": [_pass(step, outcomes.get(step.number)) for step in plan.steps],
        "notChosen": [
            {"technique": one.technique.value, "code": one.code, "detail": code(one.detail)}
            for one in plan.not_chosen
        ],
        "twoPersonApproval": plan.two_person_approval,
    }


def _pass(step: Step, outcome: StepOutcome | None) -> dict[str, Any]:
    return {
        "step": step.number,
        "unitId": code(step.unit_id),
        "kind": step.kind,
        "purpose": step.purpose.value,
        "pattern": _pattern(step.pattern) if isinstance(step, OverwriteStep) else None,
        "outcome": outcome.kind.value if outcome else None,
        "codes": [code(one) for one in outcome.codes] if outcome else [],
        "startedAt": outcome.started.at if outcome else None,
        "endedAt": outcome.ended.at if outcome else None,
        "flushedBytes": str(sum(r.length for r in outcome.flushed) if outcome else 0),
        "unwritable": _sectors(outcome.unwritable if outcome else SectorList()),
        "writtenAfterRetry": str(outcome.written_after_retry if outcome else 0),
    }


def _pattern(pattern: Keyed | Repeat) -> dict[str, str | None]:
    match pattern:
        case Keyed():
            return {"kind": pattern.kind, "unit": None}
        case Repeat():
            return {"kind": pattern.kind, "unit": pattern.unit.hex()}


def _sectors(sectors: SectorList) -> dict[str, Any]:
    return {"count": str(sectors.count), "first": [str(lba) for lba in sectors.first]}


def _verification(evidence: JobEvidence) -> list[dict[str, Any]]:
    outcomes = {outcome.number: outcome for outcome in evidence.outcomes}
    units = {unit.unit_id: unit for unit in evidence.plan.units}
    found = []
    for step in evidence.plan.steps:
        planned = step.verification if isinstance(step, OverwriteStep) else None
        outcome = outcomes.get(step.number)
        result = outcome.verification if outcome else None
        if planned is None and result is None:
            continue
        found.append(
            {
                "step": step.number,
                "unitId": code(step.unit_id),
                "planned": None if planned is None else _profile(planned),
                "result": _result(outcome, units.get(step.unit_id)),
            }
        )
    return found


def _result(outcome: StepOutcome | None, unit: Unit | None) -> dict[str, Any] | None:
    result = outcome.verification if outcome else None
    if result is None:
        return None
    done = result.read_bytes == result.planned_bytes
    return {
        "profile": _profile(result.profile),
        "seed": result.seed.hex(),
        "drawnAt": result.drawn.at,
        "extentsSha256": code(result.extents_sha256),
        "plannedBytes": str(result.planned_bytes),
        "readBytes": str(result.read_bytes),
        "reads": code(result.reads),
        "mismatched": str(result.mismatched),
        "mismatches": [
            {
                "lba": str(one.lba),
                "firstByte": one.first_byte,
                "content": one.content.value,
                "keyedDigest": code(one.keyed_digest),
            }
            for one in result.mismatches
        ],
        "unreadable": _sectors(result.unreadable),
        "curedByRewriting": str(result.cured_by_rewriting),
        "endedAt": result.ended.at,
        # A bound speaks of a reading that took place as a whole.
        "bounds": _bounds(result.profile, unit) if done and unit is not None else None,
    }


def _profile(profile: VerificationProfile) -> dict[str, Any]:
    figures = profile if isinstance(profile, Confidence) else None
    return {
        "kind": profile.kind,
        "confidencePpm": figures.confidence_ppm if figures else None,
        "residuePpm": figures.residue_ppm if figures else None,
    }


def _bounds(profile: VerificationProfile, unit: Unit) -> dict[str, Any] | None:
    try:
        bounds = sampling.bounds_of(profile, unit.size_bytes, unit.logical_sector_bytes)
    except (ValueError, ArithmeticError):
        return None
    return {
        "samples": str(bounds.places),
        "sampleBytes": str(bounds.unit_bytes),
        "scatteredBytes": str(bounds.scattered_bytes),
        "contiguousBytes": str(bounds.contiguous_bytes),
        "missProbabilityPercent": sampling.MISS_PROBABILITY_PERCENT,
    }


def _pattern_key(origin: PatternKeyOrigin | None) -> dict[str, Any] | None:
    if origin is None:
        return None
    return {
        "drawnBy": code(origin.drawn_by),
        "commitmentSha256": code(origin.commitment_sha256),
        "inEvidence": origin.in_evidence,
    }


def _sessions(evidence: JobEvidence) -> list[dict[str, Any]]:
    found = []
    before = None
    for session in evidence.sessions:
        attachment = session.attachment
        moved = before is not None and before.attachment != attachment
        left = before is not None and before.end is SessionEnd.DRIVE_GONE
        found.append(
            {
                "startedAt": session.started.at,
                "endedAt": session.ended.at,
                "end": session.end.value,
                "resumed": session.resumed,
                "afterAbsence": moved or left,
                "restartedFromZero": session.restarted_from_zero,
                "readBack": _read_back(session.read_back),
                "bootId": code(attachment.boot_id),
                "bay": code(attachment.bay or ""),
                "devicePath": code(attachment.device_path),
                "hba": code(attachment.hba),
                "nodes": [code(f"{node.unit_id} {node.name}") for node in attachment.nodes],
            }
        )
        before = session
    return found


def _read_back(read_back: ReadBack | None) -> dict[str, Any] | None:
    if read_back is None:
        return None
    return {
        "blocks": read_back.blocks,
        "matched": read_back.matched,
        "lastFlushedIncluded": read_back.last_flushed_included,
    }


def _stamps(evidence: JobEvidence) -> Iterable[Stamp]:
    for session in evidence.sessions:
        yield session.started
        yield session.ended


def _once(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(items))
