"""The planner: media, capabilities and policy in; steps with reasons, or a held drive, out. Pure.

A Purge that cannot be reached never turns into a Clear: the drive is held, with every reason
(architecture.md section 5, step 4).
"""

from __future__ import annotations

from nullbay.domain.drive import Drive, HiddenState, Unit
from nullbay.domain.lot import Lot
from nullbay.domain.method import MediaKind, Method, Technique, Transport, reaches
from nullbay.domain.patterns import ZERO, Pattern
from nullbay.domain.plan import (
    DeallocateStep,
    Held,
    NotChosen,
    OverwriteStep,
    Refusal,
    SanitizationPlan,
    Step,
    StepPurpose,
)
from nullbay.domain.policy import FinalState, Policy, VerificationProfile
from nullbay.domain.text import show

_SPEED_BYTES_PER_S = {
    MediaKind.MAGNETIC: 150_000_000,
    MediaKind.HYBRID: 150_000_000,
    MediaKind.FLASH: 450_000_000,
    MediaKind.EMMC: 40_000_000,
    MediaKind.VIRTUAL: 1_000_000_000,
    MediaKind.UNKNOWN: 100_000_000,
}
_LINK_SPEED_BYTES_PER_S = {Transport.NVME: 1_500_000_000, Transport.USB: 100_000_000}
IMPLEMENTED = frozenset({Technique.HOST_OVERWRITE})

# Which commands can reach a drive at all, by the first word of a technique's name. Overwriting
# needs none of them. A USB bridge may pass any on; what is not known is not ruled out.
_ANY_INTERFACE = frozenset({"ata", "scsi", "nvme", "tcg"})
_INTERFACES = {
    Transport.SATA: frozenset({"ata", "tcg"}),
    Transport.SAS: frozenset({"scsi", "tcg"}),
    Transport.SCSI: frozenset({"scsi", "tcg"}),
    Transport.NVME: frozenset({"nvme", "tcg"}),
    Transport.FABRICS: frozenset({"scsi", "nvme", "tcg"}),
    Transport.USB: _ANY_INTERFACE,
    Transport.UNKNOWN: _ANY_INTERFACE,
    Transport.MMC: frozenset[str](),
    Transport.VIRTIO: frozenset[str](),
    Transport.LOOP: frozenset[str](),
}


def plan(drive: Drive, policy: Policy, lot: Lot | None = None) -> SanitizationPlan | Held:
    """What to do with this drive under this policy for this lot, or why nothing will be done.

    Total and deterministic: the bench derives it again and compares hashes.
    """
    required = policy.required_method(lot)
    refusals = tuple(_refusals(drive))
    chosen, not_chosen = _choose(drive, policy, required)
    if chosen is None:
        held = Refusal("plan.held-for-destruction", f"{policy.policy_id} requires {required}")
        return Held(required, not_chosen, (held, *refusals), destroy=True)
    if refusals:
        return Held(required, not_chosen, refusals, destroy=False)
    return SanitizationPlan(
        identity_key=drive.identity.key,
        units=drive.observed.units,
        media=drive.observed.media,
        transport=drive.observed.transport,
        hidden_areas=drive.observed.hidden_areas,
        policy_id=policy.policy_id,
        policy_sha256=policy.sha256,
        scheme_id=policy.scheme.scheme_id,
        required_method=required,
        technique=chosen,
        steps=_steps(drive, policy),
        not_chosen=not_chosen,
        budgets=policy.budgets,
        health=policy.health,
        limitations=_limitations(drive, policy),
        excluded_areas=_excluded_areas(drive),
        two_person_approval=policy.two_person_approval,
        simulated=drive.simulated,
        data_category=lot.data_category if lot else None,
        destination=lot.destination if lot else None,
    )


def _refusals(drive: Drive) -> list[Refusal]:
    """Facts of the drive that make an overwrite pointless, told before hours are spent on it."""
    found = []
    observed = drive.observed
    if not observed.units or any(unit.size_bytes <= 0 for unit in observed.units):
        found.append(
            Refusal("plan.size-zero", f"{len(observed.units)} units, {observed.size_bytes} bytes")
        )
    found += [
        Refusal("plan.read-only", show(unit.unit_id)) for unit in observed.units if unit.read_only
    ]
    if not observed.hidden_areas:
        found.append(Refusal("plan.hidden-areas-unknown", "never asked"))
    for area in observed.hidden_areas:
        evidence = show(f"{area.name} ({area.source})")
        if area.state is HiddenState.PRESENT:
            found.append(Refusal("plan.hidden-area", f"{evidence}: {area.hidden_bytes} bytes"))
        elif area.state is HiddenState.UNKNOWN:
            found.append(Refusal("plan.hidden-areas-unknown", evidence))
    return found


def _choose(
    drive: Drive, policy: Policy, required: Method
) -> tuple[Technique | None, tuple[NotChosen, ...]]:
    """The first technique in the policy's order that reaches the method, and why not the others."""
    media = drive.observed.media
    offered = {capability.technique: capability for capability in drive.capabilities}
    chosen: Technique | None = None
    left: list[NotChosen] = []
    for technique in policy.techniques:
        reached = reaches(technique, media)
        capability = offered.get(technique)
        if required is Method.DESTROY:
            left.append(
                NotChosen(
                    technique, "technique.cannot-destroy", "only destruction satisfies this lot"
                )
            )
        elif capability is None and not _fits(technique, drive.observed.transport):
            told = f"the drive is attached by {drive.observed.transport}"
            left.append(NotChosen(technique, "technique.other-interface", told))
        elif not reached.satisfies(required):
            left.append(
                NotChosen(technique, "technique.below-method", f"reaches {reached} on {media}")
            )
        elif technique not in IMPLEMENTED or (capability is not None and not capability.available):
            source = show(capability.source) if capability else "not asked by this build"
            left.append(NotChosen(technique, "technique.not-available", source))
        elif chosen is not None:
            left.append(
                NotChosen(technique, "technique.not-preferred", f"{chosen} stands before it")
            )
        else:
            chosen = technique
    if Technique.HOST_OVERWRITE not in policy.techniques:
        reached = reaches(Technique.HOST_OVERWRITE, media)
        code = "technique.not-allowed" if reached.satisfies(required) else "technique.below-method"
        left.append(NotChosen(Technique.HOST_OVERWRITE, code, f"reaches {reached} on {media}"))
    return chosen, tuple(left)


def _fits(technique: Technique, transport: Transport) -> bool:
    """Whether the technique's commands exist on that interface."""
    interface = technique.value.partition("-")[0]
    return interface not in _ANY_INTERFACE or interface in _INTERFACES[transport]


def _steps(drive: Drive, policy: Policy) -> tuple[Step, ...]:
    """Passes over every unit; the last of each purpose is verified by the policy's profile."""
    profile = policy.profile_for(drive.observed.media)
    steps: list[Step] = []
    for unit in drive.observed.units:
        passes = policy.scheme.passes
        for position, pattern in enumerate(passes, start=1):
            verification = profile if position == len(passes) else None
            steps.append(
                _overwrite(drive, unit, len(steps) + 1, StepPurpose.METHOD, pattern, verification)
            )
    for unit in drive.observed.units:
        number = len(steps) + 1
        match policy.final_state:
            case FinalState.KEYED:
                pass
            case FinalState.ZERO:
                if policy.scheme.passes[-1] != ZERO:
                    steps.append(
                        _overwrite(drive, unit, number, StepPurpose.FINAL_STATE, ZERO, profile)
                    )
            case FinalState.DEALLOCATED:
                steps.append(DeallocateStep(number, unit.unit_id, StepPurpose.FINAL_STATE, 60))
    return tuple(steps)


def _overwrite(
    drive: Drive,
    unit: Unit,
    number: int,
    purpose: StepPurpose,
    pattern: Pattern,
    verification: VerificationProfile | None,
) -> OverwriteStep:
    speed = min(
        _SPEED_BYTES_PER_S[drive.observed.media]
        if drive.observed.transport is not Transport.NVME
        else 1 << 62,
        _LINK_SPEED_BYTES_PER_S.get(drive.observed.transport, 1 << 62),
    )
    return OverwriteStep(
        number=number,
        unit_id=unit.unit_id,
        purpose=purpose,
        pattern=pattern,
        verification=verification,
        estimate_s=max(1, unit.size_bytes // speed),
    )


def _limitations(drive: Drive, policy: Policy) -> tuple[str, ...]:
    """What this plan cannot show, as codes; printed on the document."""
    codes = ["limit.translation-layer", "limit.spare-areas", "limit.no-fua", "limit.station-word"]
    if drive.observed.media is MediaKind.VIRTUAL:
        codes.append("limit.virtual-medium")
    if policy.final_state is FinalState.DEALLOCATED:
        codes.append("limit.deallocated-afterwards")
    if drive.simulated:
        codes.append("limit.simulated")
    return tuple(codes)


def _excluded_areas(drive: Drive) -> tuple[str, ...]:
    """Areas the standard itself leaves out (verdicts.md section 2)."""
    if drive.observed.transport is Transport.NVME:
        return ("NVMe boot partitions", "NVMe replay protected memory block")
    return ()
