"""The planner: total, deterministic, a reason for everything, no Purge that becomes Clear."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.domain.strategies import put, spots, variants

from nullbay.domain.codec import from_plain, to_plain
from nullbay.domain.drive import Drive, HiddenArea, HiddenState
from nullbay.domain.ids import LotRef, PolicyId
from nullbay.domain.lot import DataCategory, Destination, Lot
from nullbay.domain.method import MediaKind, Method, Technique, Transport, reaches
from nullbay.domain.patterns import ZERO, Keyed, OverwriteScheme, Pattern, Repeat
from nullbay.domain.plan import (
    DeallocateStep,
    Held,
    OverwriteStep,
    SanitizationPlan,
    StepPurpose,
)
from nullbay.domain.policy import (
    CategoryRule,
    Confidence,
    FinalState,
    Full,
    NistR1,
    Policy,
    VerificationProfile,
)
from nullbay.domain.reasons import CATALOGUE, Group
from nullbay.wipers import planner
from nullbay.wipers.planner import plan
from support.drives import MIB, NO_HIDDEN_AREA, drive, offers, unit

HOST = Technique.HOST_OVERWRITE
ATA_BLOCK = Technique.ATA_SANITIZE_BLOCK
FIRMWARE = tuple(one for one in Technique if one is not HOST)


def policy(
    techniques: tuple[Technique, ...] = (HOST,),
    method: Method = Method.CLEAR,
    passes: tuple[Pattern, ...] = (Keyed(),),
    final_state: FinalState = FinalState.KEYED,
    categories: tuple[CategoryRule, ...] = (),
    other: VerificationProfile | None = None,
) -> Policy:
    return Policy(
        policy_id=PolicyId("test/1"),
        title="a test",
        method=method,
        categories=categories,
        techniques=techniques,
        scheme=OverwriteScheme("scheme/1", passes),
        verify_magnetic=NistR1(),
        verify_other=other or Full(),
        final_state=final_state,
    )


def planned(one: Drive, rules: Policy, lot: Lot | None = None) -> SanitizationPlan:
    made = plan(one, rules, lot)
    assert isinstance(made, SanitizationPlan), made
    return made


def held(one: Drive, rules: Policy, lot: Lot | None = None) -> Held:
    made = plan(one, rules, lot)
    assert isinstance(made, Held), made
    return made


def left(made: SanitizationPlan | Held) -> dict[Technique, str]:
    """Why each technique was left, one line for each."""
    found = {one.technique: one.code for one in made.not_chosen}
    assert len(found) == len(made.not_chosen)
    return found


# --- techniques --------------------------------------------------------------------------------


def test_the_technique_asked_for_is_chosen_and_nothing_is_left() -> None:
    made = planned(drive(), policy())
    assert (made.technique, made.required_method, made.not_chosen) == (HOST, Method.CLEAR, ())


def test_what_this_build_cannot_run_is_left_as_not_available() -> None:
    made = planned(drive(capabilities=offers(ATA_BLOCK)), policy((ATA_BLOCK, HOST)))
    assert left(made) == {ATA_BLOCK: "technique.not-available"}
    assert made.not_chosen[0].detail == f"asked for {ATA_BLOCK}"
    unasked = planned(drive(), policy((ATA_BLOCK, HOST)))
    assert left(unasked) == {ATA_BLOCK: "technique.not-available"}


def test_an_overwrite_that_the_drive_rules_out_is_not_chosen() -> None:
    made = held(drive(capabilities=offers(HOST, available=False)), policy())
    assert left(made) == {HOST: "technique.not-available"}


OTHER_INTERFACES = {
    Transport.SATA: {"scsi", "nvme"},
    Transport.SAS: {"ata", "nvme"},
    Transport.SCSI: {"ata", "nvme"},
    Transport.NVME: {"ata", "scsi"},
    Transport.FABRICS: {"ata"},
    Transport.USB: set[str](),
    Transport.UNKNOWN: set[str](),
    Transport.MMC: {"ata", "scsi", "nvme", "tcg"},
    Transport.VIRTIO: {"ata", "scsi", "nvme", "tcg"},
    Transport.LOOP: {"ata", "scsi", "nvme", "tcg"},
}


@pytest.mark.parametrize("transport", Transport)
def test_techniques_of_another_interface_say_so(transport: Transport) -> None:
    rules = policy((*FIRMWARE, HOST))
    made = planned(drive(transport=transport, media=MediaKind.FLASH), rules)
    for technique, code in left(made).items():
        foreign = technique.value.split("-")[0] in OTHER_INTERFACES[transport]
        assert code == ("technique.other-interface" if foreign else "technique.not-available")


def test_what_the_drive_offers_itself_is_not_of_another_interface() -> None:
    """An ATA drive behind a SCSI translation layer that passes its commands on."""
    one = drive(transport=Transport.SAS, capabilities=offers(ATA_BLOCK))
    assert left(planned(one, policy((ATA_BLOCK, HOST)))) == {ATA_BLOCK: "technique.not-available"}


def test_a_technique_below_the_method_is_left() -> None:
    overwrite = Technique.ATA_SANITIZE_OVERWRITE
    rules = policy((overwrite,), Method.PURGE)
    flash = held(drive(media=MediaKind.FLASH), rules)
    assert left(flash) == {overwrite: "technique.below-method", HOST: "technique.below-method"}
    assert flash.not_chosen[0].detail == "reaches clear on flash"
    assert left(held(drive(), rules))[overwrite] == "technique.not-available"


def test_an_overwrite_that_the_policy_does_not_allow_says_so() -> None:
    made = held(drive(), policy((ATA_BLOCK,), Method.CLEAR))
    assert left(made)[HOST] == "technique.not-allowed"


def test_the_order_of_the_policy_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "IMPLEMENTED", frozenset({HOST, ATA_BLOCK}))
    one = drive(capabilities=offers(ATA_BLOCK))
    first = planned(one, policy((ATA_BLOCK, HOST)))
    assert (first.technique, left(first)) == (ATA_BLOCK, {HOST: "technique.not-preferred"})
    second = planned(one, policy((HOST, ATA_BLOCK)))
    assert (second.technique, left(second)) == (HOST, {ATA_BLOCK: "technique.not-preferred"})


def test_destruction_is_not_done_by_a_station() -> None:
    rule = CategoryRule(DataCategory.HIGH, Destination.NOT_REUSED, Method.DESTROY)
    rules = policy((HOST, ATA_BLOCK), categories=(rule,))
    lot = Lot(LotRef("L1"), data_category=DataCategory.HIGH, destination=Destination.NOT_REUSED)
    made = held(drive(), rules, lot)
    assert set(left(made).values()) == {"technique.cannot-destroy"}
    assert (made.required_method, made.destroy) == (Method.DESTROY, True)


# --- held --------------------------------------------------------------------------------------


def test_a_drive_that_cannot_be_purged_is_held_for_destruction() -> None:
    made = held(drive(), policy((ATA_BLOCK,), Method.PURGE))
    assert [one.code for one in made.refusals] == ["plan.held-for-destruction"]
    assert (made.destroy, made.required_method) == (True, Method.PURGE)


def area(state: HiddenState, hidden_bytes: int = 0) -> tuple[HiddenArea, ...]:
    return (HiddenArea("HPA\x1b[2J", state, hidden_bytes, "READ NATIVE MAX"),)


@pytest.mark.parametrize(
    ("one", "codes"),
    [
        (drive(units=()), ["plan.size-zero"]),
        (drive(units=(unit(size_bytes=0),)), ["plan.size-zero"]),
        (drive(units=(unit(), unit("lun:1", 0))), ["plan.size-zero"]),
        (drive(units=(unit(read_only=True),)), ["plan.read-only"]),
        (drive(units=(unit(), unit("lun:1", read_only=True))), ["plan.read-only"]),
        (drive(hidden_areas=()), ["plan.hidden-areas-unknown"]),
        (drive(hidden_areas=area(HiddenState.UNKNOWN)), ["plan.hidden-areas-unknown"]),
        (drive(hidden_areas=area(HiddenState.PRESENT, 512)), ["plan.hidden-area"]),
        (
            drive(hidden_areas=(*NO_HIDDEN_AREA, *area(HiddenState.PRESENT, 512))),
            ["plan.hidden-area"],
        ),
        (
            drive(units=(unit(size_bytes=0, read_only=True),), hidden_areas=()),
            ["plan.size-zero", "plan.read-only", "plan.hidden-areas-unknown"],
        ),
    ],
)
def test_facts_that_make_an_overwrite_pointless(one: Drive, codes: list[str]) -> None:
    made = held(one, policy())
    assert [refusal.code for refusal in made.refusals] == codes
    assert not made.destroy, "mending the fact may help"
    assert "\x1b" not in "".join(refusal.evidence for refusal in made.refusals)
    # where nothing is allowed at all, both are said
    both = held(one, policy((ATA_BLOCK,), Method.PURGE))
    assert [refusal.code for refusal in both.refusals] == ["plan.held-for-destruction", *codes]


@pytest.mark.parametrize("state", [HiddenState.ABSENT, HiddenState.NOT_APPLICABLE])
def test_hidden_areas_that_are_known_not_to_be_there_do_not_matter(state: HiddenState) -> None:
    planned(drive(hidden_areas=area(state)), policy())


# --- steps -------------------------------------------------------------------------------------


def overwrites(made: SanitizationPlan) -> list[OverwriteStep]:
    return [one for one in made.steps if isinstance(one, OverwriteStep)]


def test_passes_in_order_and_the_last_one_verified() -> None:
    passes = (ZERO, Repeat(b"\xff"), Keyed())
    steps = overwrites(planned(drive(), policy(passes=passes)))
    assert tuple(one.pattern for one in steps) == passes
    assert [one.verification for one in steps] == [None, None, NistR1()]
    assert {one.purpose for one in steps} == {StepPurpose.METHOD}


def test_every_unit_is_covered() -> None:
    units = (unit("lun:0"), unit("lun:1", 8000 * MIB))
    steps = overwrites(planned(drive(units=units), policy(passes=(ZERO, Keyed()))))
    assert [(one.number, one.unit_id) for one in steps] == [
        (1, "lun:0"),
        (2, "lun:0"),
        (3, "lun:1"),
        (4, "lun:1"),
    ]


@pytest.mark.parametrize("media", MediaKind)
def test_sampling_is_for_magnetic_media_alone(media: MediaKind) -> None:
    (step,) = overwrites(planned(drive(media=media), policy()))
    assert step.verification == (NistR1() if media is MediaKind.MAGNETIC else Full())


def test_final_state_zero_is_one_more_verified_pass_over_each_unit() -> None:
    units = (unit("lun:0"), unit("lun:1"))
    made = planned(drive(units=units), policy(final_state=FinalState.ZERO))
    last = [one for one in overwrites(made) if one.purpose is StepPurpose.FINAL_STATE]
    assert [(one.number, one.unit_id, one.pattern) for one in last] == [
        (3, "lun:0", ZERO),
        (4, "lun:1", ZERO),
    ]
    assert {one.verification for one in last} == {NistR1()}


def test_zeros_are_not_written_twice() -> None:
    rules = policy(passes=(Keyed(), ZERO), final_state=FinalState.ZERO)
    assert len(planned(drive(), rules).steps) == 2


def test_final_state_deallocated_comes_after_the_method_and_is_no_part_of_it() -> None:
    made = planned(drive(), policy(final_state=FinalState.DEALLOCATED))
    first, last = made.steps
    assert isinstance(first, OverwriteStep)
    assert isinstance(last, DeallocateStep)
    assert (last.number, last.purpose) == (2, StepPurpose.FINAL_STATE)
    assert first.verification is not None, "the method is verified before"
    assert "limit.deallocated-afterwards" in made.limitations


def test_what_a_plan_cannot_show_is_said() -> None:
    always = {
        "limit.translation-layer",
        "limit.spare-areas",
        "limit.no-fua",
        "limit.station-word",
    }
    assert set(planned(drive(), policy()).limitations) == always
    virtual = planned(drive(media=MediaKind.VIRTUAL, transport=Transport.LOOP), policy())
    assert set(virtual.limitations) == {*always, "limit.virtual-medium"}
    simulated = planned(drive(simulated=True), policy())
    assert (set(simulated.limitations), simulated.simulated) == (
        {*always, "limit.simulated"},
        True,
    )


def test_areas_that_the_standard_leaves_out_are_named() -> None:
    assert planned(drive(), policy()).excluded_areas == ()
    nvme = planned(drive(transport=Transport.NVME, media=MediaKind.FLASH), policy())
    assert nvme.excluded_areas == (
        "NVMe boot partitions",
        "NVMe replay protected memory block",
    )


# --- properties --------------------------------------------------------------------------------

DRIVES = st.builds(
    drive,
    transport=st.sampled_from(Transport),
    media=st.sampled_from(MediaKind),
    units=st.lists(
        st.builds(
            unit,
            unit_id=st.sampled_from(["disk", "lun:1", "nsid:2"]),
            size_bytes=st.sampled_from([0, 512, 300 * MIB, 4_000_787_030_016, 2**62]),
            read_only=st.booleans(),
        ),
        max_size=3,
        unique_by=lambda one: one.unit_id,
    ).map(tuple),
    hidden_areas=st.lists(
        st.builds(
            HiddenArea,
            st.sampled_from(["HPA", "DCO", ""]),
            st.sampled_from(HiddenState),
            st.integers(0, 2**40),
            st.text(max_size=5),
        ),
        max_size=3,
    ).map(tuple),
    capabilities=st.lists(st.tuples(st.sampled_from(Technique), st.booleans()), max_size=4).map(
        lambda chosen: tuple(
            one for technique, yes in chosen for one in offers(technique, available=yes)
        )
    ),
    serial=st.binary(max_size=20),
    simulated=st.booleans(),
)
PROFILES = st.sampled_from([Full(), NistR1(), Confidence(990_000, 1_000)])
PASSES: st.SearchStrategy[Pattern] = st.sampled_from([Keyed(), ZERO, Repeat(b"\x92\x49\x24")])
POLICIES = st.builds(
    Policy,
    policy_id=st.just(PolicyId("any/1")),
    title=st.text(max_size=5),
    method=st.sampled_from(Method),
    categories=st.lists(
        st.builds(
            CategoryRule,
            st.sampled_from(DataCategory),
            st.sampled_from(Destination),
            st.sampled_from(Method),
        ),
        max_size=4,
    ).map(tuple),
    techniques=st.lists(st.sampled_from(Technique), max_size=6, unique=True).map(tuple),
    scheme=st.lists(PASSES, min_size=1, max_size=3).map(
        lambda passes: OverwriteScheme("any/1", tuple(passes))
    ),
    verify_magnetic=PROFILES,
    verify_other=PROFILES,
    final_state=st.sampled_from(FinalState),
    two_person_approval=st.booleans(),
)
LOTS = st.none() | st.builds(
    Lot,
    st.just(LotRef("L1")),
    data_category=st.none() | st.sampled_from(DataCategory),
    destination=st.none() | st.sampled_from(Destination),
)


@given(DRIVES, POLICIES, LOTS)
def test_any_drive_under_any_policy_has_one_answer(
    one: Drive, rules: Policy, lot: Lot | None
) -> None:
    made = plan(one, rules, lot)
    assert made == plan(one, rules, lot)
    # told to another process and derived there again, it has the same hash
    there = plan(from_plain(Drive, to_plain(one)), from_plain(Policy, to_plain(rules)), lot)
    assert made == there
    if isinstance(made, SanitizationPlan):
        assert isinstance(there, SanitizationPlan)
        assert made.sha256 == there.sha256
        assert from_plain(SanitizationPlan, to_plain(made)) == made
    else:
        assert made.refusals, "a held drive always says why"
    for left_out in made.not_chosen:
        assert CATALOGUE[left_out.code].group is Group.NOT_CHOSEN
    for refusal in made.refusals if isinstance(made, Held) else ():
        assert CATALOGUE[refusal.code].group is Group.REFUSAL


@given(DRIVES, POLICIES, LOTS)
def test_what_is_planned_reaches_what_is_required_and_covers_the_drive(
    one: Drive, rules: Policy, lot: Lot | None
) -> None:
    """A Purge never turns into a Clear, no unit is left out, the last pass is verified."""
    made = plan(one, rules, lot)
    required = rules.required_method(lot)
    assert made.required_method is required
    if isinstance(made, Held):
        assert made.destroy is any(
            refusal.code == "plan.held-for-destruction" for refusal in made.refusals
        )
        return
    assert reaches(made.technique, made.media).satisfies(required)
    assert required is Method.CLEAR, "this build overwrites, which is a Clear"
    assert made.technique in rules.techniques
    assert [step.number for step in made.steps] == list(range(1, len(made.steps) + 1))
    for each in made.units:
        mine = [step for step in made.steps if step.unit_id == each.unit_id]
        method = [step for step in mine if step.purpose is StepPurpose.METHOD]
        assert all(isinstance(step, OverwriteStep) for step in method)
        last = method[-1]
        assert isinstance(last, OverwriteStep)
        assert last.verification == rules.profile_for(made.media)
        assert max(step.number for step in method) < min(
            (step.number for step in mine if step.purpose is StepPurpose.FINAL_STATE),
            default=1000,
        )
    assert {step.unit_id for step in made.steps} == {each.unit_id for each in made.units}
    assert made.hidden_areas
    assert all(
        each.state in {HiddenState.ABSENT, HiddenState.NOT_APPLICABLE} for each in made.hidden_areas
    )
    assert not any(each.read_only or each.size_bytes <= 0 for each in made.units)


@given(DRIVES, POLICIES)
def test_a_stricter_lot_never_gets_a_weaker_plan(one: Drive, rules: Policy) -> None:
    for category in DataCategory:
        for destination in Destination:
            lot = Lot(LotRef("L"), data_category=category, destination=destination)
            made = plan(one, rules, lot)
            assert made.required_method.satisfies(plan(one, rules).required_method)


def test_the_hash_changes_with_every_field() -> None:
    """What is approved is the hash: nothing in a plan may change under it."""
    made = planned(
        drive(transport=Transport.NVME, media=MediaKind.FLASH, units=(unit(), unit("nsid:2"))),
        policy((ATA_BLOCK, HOST), passes=(ZERO, Keyed()), final_state=FinalState.DEALLOCATED),
    )
    touched: set[str] = set()
    for spot in spots(made, SanitizationPlan):
        for other in variants(spot.hint, spot.value):
            try:
                changed = put(made, spot.path, other)
                digest = changed.sha256
            except ValueError:  # no such value can be written down
                continue
            if changed != made:
                assert digest != made.sha256, spot.name
                touched.add(spot.name)
    reached = {name.split(".")[0].removesuffix("[]") for name in touched}
    assert reached == {field.name for field in fields(SanitizationPlan)}
